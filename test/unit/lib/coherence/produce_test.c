/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers that are clean by construction: against tables that count, and against the cache model. */
#include "nsdk_unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_device.h"
#include "fake_lines.h"
#include "lib/coherence/coherence_internal.h"
#include "lib/coherence/lines.h"
#include "lib/coherence/shadow.h"
#include "lib/emu/emu_internal.h"

#define BYTES (FAKE_LINES * NSDK_LINE_BYTES)

static struct fake_device fake;
static struct nsdk_coherence *coh;
static struct nsdk_flush_batch *batch;
static struct nsdk_shadow shadow;
static uint8_t source[BYTES + 64];
static uint64_t random_state = 7;

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % below;
}

static void make(enum nsdk_policy policy, const struct nsdk_line_ops *ops, void *memory)
{
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.dev.line_ops = ops;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, policy, &coh), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_shadow_create((uintptr_t)memory, BYTES, &shadow), 0);
	nsdk_coherence_set_shadow(coh, &shadow);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, 64, &batch), 0);
	fake_lines_clear();
	for (unsigned i = 0; i < sizeof(source); i++)
		source[i] = (uint8_t)(i * 31 + i / 251 + 1);
}

static void unmake(void)
{
	nsdk_flush_batch_destroy(batch);
	nsdk_coherence_drop_shadow(coh, &shadow);
	nsdk_coherence_destroy(coh);
	nsdk_shadow_destroy(&shadow);
}

static unsigned sum(const unsigned *counts)
{
	unsigned total = 0;

	for (unsigned i = 0; i < FAKE_LINES; i++)
		total += counts[i];
	return total;
}

static unsigned flushed(void)
{
	return sum(fake_lines.writebacks) + sum(fake_lines.invalidates);
}

static void what_was_copied_in_is_not_flushed(void)
{
	struct nsdk_coherence_stats stats;

	make(NSDK_POLICY_NOSNOOP, &fake_line_ops, fake_memory);
	nsdk_dma_copy_in(coh, fake_memory + 4096, source, 4096);
	CU_ASSERT_EQUAL(memcmp(fake_memory + 4096, source, 4096), 0);
	NSDK_ASSERT_INT(sum(fake_lines.streamed), 64);
	/* Fenced by the one who stored: a fence of another thread would not order these stores. */
	NSDK_ASSERT_INT(fake_lines.fences_for_device, 1);
	NSDK_ASSERT_INT(fake_lines.after_fence, 0);
	/* Any number of times, by batch or by sync. */
	for (unsigned i = 0; i < 3; i++) {
		nsdk_flush_batch_for_device(batch, fake_memory + 4096, 4096, NSDK_DMA_TO_DEVICE);
		nsdk_flush_batch_commit(batch);
		nsdk_sync_for_device(coh, fake_memory + 4096, 4096, NSDK_DMA_TO_DEVICE);
	}
	NSDK_ASSERT_INT(flushed(), 0);
	nsdk_coherence_stats(coh, &stats);
	NSDK_ASSERT_INT((long)stats.bytes_skipped_clean, 6 * 4096);
	NSDK_ASSERT_INT((long)stats.batches, 0);
	/* Its neighbours are. */
	nsdk_flush_batch_for_device(batch, fake_memory + 4096 - 64, 4096 + 128, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(flushed(), 2);
	NSDK_ASSERT_INT(fake_lines.writebacks[63], 1);
	NSDK_ASSERT_INT(fake_lines.writebacks[128], 1);
	unmake();
}

static void an_ordinary_store_is_said_and_flushed(void)
{
	make(NSDK_POLICY_NOSNOOP, &fake_line_ops, fake_memory);
	nsdk_dma_fill(coh, fake_memory, 0x5a, 4096);
	CU_ASSERT_TRUE(fake_memory[0] == 0x5a && memcmp(fake_memory, fake_memory + 1, 4095) == 0);
	nsdk_dma_dirty(coh, fake_memory + 100, 1);
	fake_memory[100] = 1;
	nsdk_flush_batch_for_device(batch, fake_memory, 4096, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(flushed(), 1);
	NSDK_ASSERT_INT(fake_lines.writebacks[1], 1);
	nsdk_dma_dirty(coh, fake_memory, 0);
	fake_lines_clear();
	nsdk_sync_for_device(coh, fake_memory, 4096, NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(flushed(), 1);
	unmake();
}

static void what_a_device_writes_is_not_vouched_for(void)
{
	static const enum nsdk_dma_dir dirs[] = { NSDK_DMA_FROM_DEVICE, NSDK_DMA_BIDIRECTIONAL };

	make(NSDK_POLICY_NOSNOOP, &fake_line_ops, fake_memory);
	for (unsigned i = 0; i < 4; i++) {
		enum nsdk_dma_dir dir = dirs[i / 2];

		nsdk_dma_copy_in(coh, fake_memory, source, 8192);
		fake_lines_clear();
		/* Nothing is dirty, so nothing has to be dropped before … */
		if (i % 2) {
			nsdk_flush_batch_for_device(batch, fake_memory, 8192, dir);
			nsdk_flush_batch_commit(batch);
		} else {
			nsdk_sync_for_device(coh, fake_memory, 8192, dir);
		}
		NSDK_ASSERT_INT(flushed(), 0);
		/* … but what was fetched meanwhile has to be dropped after, */
		nsdk_sync_for_cpu(coh, fake_memory, 8192, dir);
		NSDK_ASSERT_INT(sum(fake_lines.invalidates), 128);
		/* and the next time it is a buffer like any other. */
		fake_lines_clear();
		nsdk_sync_for_device(coh, fake_memory, 8192, NSDK_DMA_TO_DEVICE);
		NSDK_ASSERT_INT(sum(fake_lines.writebacks), 128);
	}
	unmake();
}

static void what_was_copied_out_is_clean(void)
{
	static uint8_t got[8192];

	make(NSDK_POLICY_NOSNOOP, &fake_line_ops, fake_memory);
	memcpy(fake_memory, source, sizeof(got));
	nsdk_dma_copy_out(coh, got, fake_memory, sizeof(got));
	CU_ASSERT_EQUAL(memcmp(got, source, sizeof(got)), 0);
	NSDK_ASSERT_INT(sum(fake_lines.invalidates), 128);
	/* Loaded, then dropped, then fenced. */
	NSDK_ASSERT_INT(fake_lines.acquires, 1);
	NSDK_ASSERT_INT(fake_lines.before_acquire, 0);
	NSDK_ASSERT_INT(fake_lines.after_fence, 0);
	fake_lines_clear();
	nsdk_flush_batch_for_device(batch, fake_memory, sizeof(got), NSDK_DMA_FROM_DEVICE);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(flushed(), 0);
	unmake();
}

/* Any offset and length: the bytes arrive, and lines shared with something else stay unmarked. */
static void odd_ranges_mark_whole_lines_only(void)
{
	uint8_t wanted[2048];

	make(NSDK_POLICY_NOSNOOP, &fake_line_ops, fake_memory);
	for (unsigned round = 0; round < 5000; round++) {
		unsigned offset = draw(512), bytes = draw(1024), from = draw(64);
		unsigned kind = draw(3);
		bool clean_before = draw(2);

		if (clean_before)
			nsdk_dma_fill(coh, fake_memory, 0xee, 2048);
		else
			nsdk_dma_dirty(coh, fake_memory, 2048);
		memset(fake_memory, 0xee, 2048);
		memset(wanted, 0xee, sizeof(wanted));
		fake_lines_clear();
		if (kind == 0) {
			memcpy(wanted + offset, source + from, bytes);
			nsdk_dma_copy_in(coh, fake_memory + offset, source + from, bytes);
		} else if (kind == 1) {
			memset(wanted + offset, (int)round, bytes);
			nsdk_dma_fill(coh, fake_memory + offset, (int)round, bytes);
		} else {
			nsdk_dma_copy_out(coh, wanted + offset, fake_memory + offset, bytes);
		}
		if (memcmp(wanted, fake_memory, sizeof(wanted)) != 0 || fake_lines.bad_range) {
			CU_FAIL("bytes that are wrong");
			break;
		}
		for (unsigned i = 0; i < 32; i++) {
			bool inside = i * 64 >= offset && (i + 1) * 64 <= offset + bytes;
			/* Part of it was stored in the ordinary way; copying out stores nothing. */
			bool part = kind != 2 && bytes && !inside && (i + 1) * 64 > offset &&
				    i * 64 < offset + bytes;

			CU_ASSERT_EQUAL(nsdk_shadow_is_clean(&shadow, (uintptr_t)fake_memory + i * 64),
					inside || (clean_before && !part));
		}
	}
	unmake();
}

static void coherent_is_plain_copying(void)
{
	static uint8_t got[4096];

	make(NSDK_POLICY_COHERENT, &fake_line_ops, fake_memory);
	/* Left by a device whose DMA bypasses the caches, in the same memory. */
	nsdk_shadow_mark_clean(&shadow, (uintptr_t)fake_memory, (uintptr_t)fake_memory + 8192);
	nsdk_dma_copy_in(coh, fake_memory, source, 4096);
	nsdk_dma_fill(coh, fake_memory + 4096, 7, 4096);
	nsdk_dma_copy_out(coh, got, fake_memory, 4096);
	CU_ASSERT_EQUAL(memcmp(got, source, 4096), 0);
	NSDK_ASSERT_INT(fake_lines.calls + fake_lines.fences_for_device, 0);
	/* Ordinary stores they were, so that device must flush. */
	for (unsigned i = 0; i < 128; i++)
		CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, (uintptr_t)fake_memory + i * 64));
	unmake();
}

static void memory_outside_of_the_pools_is_flushed_as_ever(void)
{
	make(NSDK_POLICY_NOSNOOP, &fake_line_ops, fake_memory);
	nsdk_coherence_drop_shadow(coh, &shadow);
	nsdk_dma_copy_in(coh, fake_memory, source, 4096);
	CU_ASSERT_EQUAL(memcmp(fake_memory, source, 4096), 0);
	nsdk_flush_batch_for_device(batch, fake_memory, 4096, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(sum(fake_lines.writebacks), 64);
	unmake();
}

/* Every way this CPU has: the bytes. */
static void every_kind_copies_and_fills(void)
{
	static uint8_t to[4096] __attribute__((aligned(64)));

	for (unsigned k = 0; k < nsdk_lines_kind_count; k++) {
		const struct nsdk_line_ops *ops = &nsdk_lines_kinds[k].ops;

		if (!nsdk_lines_kinds[k].usable())
			continue;
		for (unsigned lines = 1; lines <= 62; lines++) {
			unsigned from = draw(64);

			memset(to, 0, sizeof(to));
			for (unsigned i = 0; i < sizeof(source); i++)
				source[i] = (uint8_t)(i * 7 + lines);
			ops->copy(to + 64, source + from, lines);
			ops->fence_for_device();
			CU_ASSERT_EQUAL(memcmp(to + 64, source + from, (size_t)lines * 64), 0);
			CU_ASSERT_TRUE(to[63] == 0 && to[64 + lines * 64] == 0);
			ops->fill(to + 64, 0xa5, lines);
			ops->fence_for_device();
			CU_ASSERT_TRUE(to[64] == 0xa5 &&
				       memcmp(to + 64, to + 65, (size_t)lines * 64 - 1) == 0);
			CU_ASSERT_TRUE(to[63] == 0 && to[64 + lines * 64] == 0);
		}
	}
}

/* --- in front of the cache model --- */

static struct nsdk_cache_model *model;
static uint8_t *memory;
static uint8_t seen[8192];

static void make_model(void)
{
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(1, &model), 0);
	make(NSDK_POLICY_NOSNOOP, nsdk_cache_model_line_ops(), memory);
	nsdk_sync_for_device(coh, memory, BYTES, NSDK_DMA_FROM_DEVICE);
	nsdk_cache_model_map(model, memory, BYTES);
}

static void unmake_model(void)
{
	unmake();
	nsdk_cache_model_unmap(model, memory, BYTES);
	nsdk_cache_model_put(model);
	nsdk_unit_log_stop();
	munmap(memory, BYTES);
}

static uint64_t violations(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations_total;
}

static void the_device_sees_what_was_copied_in(void)
{
	make_model();
	for (unsigned round = 0; round < 50; round++) {
		unsigned bytes = 1 + draw(8192), from = draw(64);

		nsdk_dma_copy_in(coh, memory, source + from + round, bytes);
		nsdk_flush_batch_for_device(batch, memory, bytes, NSDK_DMA_TO_DEVICE);
		nsdk_flush_batch_commit(batch);
		nsdk_cache_model_read(model, memory, seen, bytes, false, "emu:test");
		CU_ASSERT_EQUAL(memcmp(seen, source + from + round, bytes), 0);
	}
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake_model();
}

static void the_model_finds_who_forgets_to_say_dirty(void)
{
	struct nsdk_violation found;

	make_model();
	nsdk_dma_copy_in(coh, memory, source, 4096);
	memory[200] ^= 1;
	nsdk_flush_batch_for_device(batch, memory, 4096, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(batch);
	nsdk_cache_model_read(model, memory, seen, 4096, false, "emu:test");
	NSDK_ASSERT_INT((long)violations(), 1);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&found, 1), 1);
	CU_ASSERT_EQUAL(found.kind, NSDK_VIOLATION_STALE_DEVICE_READ);
	CU_ASSERT_PTR_EQUAL(found.va, memory + 192);
	CU_ASSERT_PTR_NOT_NULL(strstr(found.missing, "nsdk_dma_dirty"));
	/* Flushed as a buffer like any other and forgotten again, it is that other call. */
	nsdk_dma_dirty(coh, memory, 4096);
	nsdk_sync_for_device(coh, memory, 4096, NSDK_DMA_TO_DEVICE);
	nsdk_cache_model_reset();
	memory[200] ^= 1;
	nsdk_cache_model_read(model, memory, seen, 4096, false, "emu:test");
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&found, 1), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(found.missing, "nsdk_sync_for_device"));
	unmake_model();
}

static void a_buffer_goes_round(void)
{
	static uint8_t got[8192];

	make_model();
	for (unsigned round = 0; round < 50; round++) {
		/* Read from the device and copied out, with nothing dropped before. */
		nsdk_flush_batch_for_device(batch, memory, 8192, NSDK_DMA_FROM_DEVICE);
		nsdk_flush_batch_commit(batch);
		nsdk_cache_model_write(model, memory, source + round, 8192, false, "emu:test");
		nsdk_flush_batch_for_cpu(batch, memory, 8192, NSDK_DMA_FROM_DEVICE);
		nsdk_flush_batch_commit(batch);
		nsdk_cache_model_consumed(model, memory, 8192, "emu:test");
		nsdk_dma_copy_out(coh, got, memory, 8192);
		CU_ASSERT_EQUAL(memcmp(got, source + round, 8192), 0);
		/* Sometimes changed, which is said, and written to the device. */
		if (draw(2)) {
			nsdk_dma_dirty(coh, memory + 1000, 100);
			memset(memory + 1000, (int)round, 100);
			memset(got + 1000, (int)round, 100);
		}
		nsdk_flush_batch_for_device(batch, memory, 8192, NSDK_DMA_TO_DEVICE);
		nsdk_flush_batch_commit(batch);
		nsdk_cache_model_read(model, memory, seen, 8192, false, "emu:test");
		CU_ASSERT_EQUAL(memcmp(seen, got, 8192), 0);
		nsdk_cache_model_adversary(model);
	}
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake_model();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(what_was_copied_in_is_not_flushed),
	NSDK_UNIT_TEST(an_ordinary_store_is_said_and_flushed),
	NSDK_UNIT_TEST(what_a_device_writes_is_not_vouched_for),
	NSDK_UNIT_TEST(what_was_copied_out_is_clean),
	NSDK_UNIT_TEST(odd_ranges_mark_whole_lines_only),
	NSDK_UNIT_TEST(coherent_is_plain_copying),
	NSDK_UNIT_TEST(memory_outside_of_the_pools_is_flushed_as_ever),
	NSDK_UNIT_TEST(every_kind_copies_and_fills),
	NSDK_UNIT_TEST(the_device_sees_what_was_copied_in),
	NSDK_UNIT_TEST(the_model_finds_who_forgets_to_say_dirty),
	NSDK_UNIT_TEST(a_buffer_goes_round),
};

NSDK_UNIT_MAIN("lib/coherence/produce", tests)
