/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cache model against whole transfers: a little driver that does everything right, or leaves out
 * exactly one thing. Right must give right data and no violation, whatever the adversary's seed;
 * each omission must be found, as the right kind.
 */
#include "nsdk_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/emu/emu_internal.h"

#define PAGES 16u
#define BYTES (PAGES * 4096u)
#define SEEDS 100u
#define OWNER "emu:test queue 1 cid 7"

enum omission {
	NOTHING,
	FRESH_FLUSH,
	WRITEBACK_BEFORE_READ,
	FENCE_BEFORE_READ,
	INVALIDATE_BEFORE_WRITE,
	FENCE_BEFORE_WRITE,
	INVALIDATE_AFTER_WRITE,
	FENCE_AFTER_WRITE,
	RIGHT_FENCE_AFTER_WRITE, /* the cheaper one instead */
	ACQUIRE_AFTER_WRITE,
	OWN_LINES,          /* the CPU writes beside the buffer before … */
	OWN_LINES_LATER,    /* … or after the device writes it */
};

static const struct nsdk_line_ops *ops;
static struct nsdk_cache_model *model;
static unsigned char *memory;
static uint64_t random_state;
static unsigned wrong_bytes; /* transfers that delivered anything but the right data */

static void before(void)
{
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	ops = nsdk_cache_model_line_ops();
	nsdk_cache_model_reset();
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
	munmap(memory, BYTES);
}

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % below;
}

static void fill(unsigned char *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (unsigned char)draw(256);
}

static const void *floor_line(const void *va)
{
	return (const void *)((uintptr_t)va & ~(uintptr_t)63);
}

static size_t lines_of(const void *va, size_t bytes)
{
	return (((uintptr_t)va & 63) + bytes + 63) / 64;
}

/* The device reads what the CPU wrote. */
static void transfer_to_device(unsigned char *buffer, size_t bytes, enum omission omit)
{
	static unsigned char got[8192];

	fill(buffer, bytes);
	if (omit != WRITEBACK_BEFORE_READ)
		ops->writeback(floor_line(buffer), lines_of(buffer, bytes));
	if (omit != FENCE_BEFORE_READ)
		ops->fence_for_device();
	nsdk_cache_model_read(model, buffer, got, bytes, false, OWNER);
	wrong_bytes += memcmp(got, buffer, bytes) != 0;
}

static void give_for_write(unsigned char *buffer, size_t bytes, enum omission omit)
{
	if (omit != INVALIDATE_BEFORE_WRITE)
		ops->writeback_invalidate(floor_line(buffer), lines_of(buffer, bytes));
	if (omit != FENCE_BEFORE_WRITE)
		ops->fence_for_device();
}

static void take_back(unsigned char *buffer, size_t bytes, enum omission omit)
{
	if (omit != ACQUIRE_AFTER_WRITE)
		ops->acquire_for_cpu();
	if (omit != INVALIDATE_AFTER_WRITE)
		ops->writeback_invalidate(floor_line(buffer), lines_of(buffer, bytes));
	if (omit == RIGHT_FENCE_AFTER_WRITE)
		ops->fence_for_device();
	else if (omit != FENCE_AFTER_WRITE)
		ops->fence_for_cpu();
}

/* The CPU reads what the device wrote. */
static void transfer_from_device(unsigned char *buffer, size_t bytes, enum omission omit)
{
	static unsigned char sent[8192];

	/* What the buffer was used for last: it is dirty. */
	fill(buffer, bytes);
	fill(sent, bytes);
	give_for_write(buffer, bytes, omit);
	if (omit == OWN_LINES)
		buffer[-1]++;
	nsdk_cache_model_write(model, buffer, sent, bytes, false, OWNER);
	if (omit == OWN_LINES_LATER)
		buffer[-1]++;
	take_back(buffer, bytes, omit);
	wrong_bytes += memcmp(buffer, sent, bytes) != 0;
	nsdk_cache_model_consumed(model, buffer, bytes, OWNER);
}

static void start(uint64_t seed, bool flush_fresh)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(seed, &model), 0);
	nsdk_cache_model_reset();
	random_state = seed;
	wrong_bytes = 0;
	if (flush_fresh) {
		ops->writeback_invalidate(memory, BYTES / 64);
		ops->fence_for_device();
	}
	nsdk_cache_model_map(model, memory, BYTES);
}

static void stop(struct nsdk_cache_model_stats *stats)
{
	nsdk_cache_model_stats(stats);
	nsdk_cache_model_unmap(model, memory, BYTES);
	nsdk_cache_model_put(model);
}

/* Some transfers of each way; @p omit in each of them. */
static void run(uint64_t seed, enum omission omit, struct nsdk_cache_model_stats *stats)
{
	bool shared = omit == OWN_LINES || omit == OWN_LINES_LATER;

	memset(memory, 0, BYTES);
	start(seed, true);
	for (unsigned i = 0; i < 12; i++) {
		size_t bytes = 4096;
		unsigned char *buffer = memory + 4096 + (size_t)draw(PAGES - 3) * 4096;

		/* Any length and place, as long as the lines are the buffer's own. */
		if (shared || draw(3) == 0) {
			bytes = 1 + draw(700);
			buffer += 1 + draw(3000);
		}
		/* A neighbour is needed in the same line. */
		if (shared && (uintptr_t)buffer % 64 == 0)
			buffer++;
		if (draw(2) && !shared)
			transfer_to_device(buffer, bytes, omit);
		else
			transfer_from_device(buffer, bytes, omit);
	}
	stop(stats);
}

static void right_is_right_whatever_the_seed(void)
{
	struct nsdk_cache_model_stats stats;
	uint64_t evictions = 0, prefetches = 0;

	for (uint64_t seed = 1; seed <= 10 * SEEDS; seed++) {
		run(seed, NOTHING, &stats);
		if (stats.violations_total != 0 || wrong_bytes != 0) {
			NSDK_ASSERT_INT(stats.violations_total, 0);
			NSDK_ASSERT_INT(wrong_bytes, 0);
			printf("# seed %llu: %s\n", (unsigned long long)seed, nsdk_unit_log_last());
			return;
		}
		NSDK_ASSERT_INT(stats.seed, seed);
		CU_ASSERT(stats.fences >= 12 && stats.device_reads + stats.device_writes == 12);
		evictions += stats.evictions;
		prefetches += stats.prefetches;
	}
	/* The adversary was there. */
	CU_ASSERT(evictions > 0);
	CU_ASSERT(prefetches > 0);
}

/* How many seeds find the omission as that kind; with @p only nothing else may be reported. */
static unsigned found_by(enum omission omit, enum nsdk_violation_kind kind, bool only,
			 unsigned *delivered_wrong)
{
	struct nsdk_cache_model_stats stats;
	unsigned found = 0;

	*delivered_wrong = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run(seed, omit, &stats);
		found += stats.violations[kind] > 0;
		*delivered_wrong += wrong_bytes > 0;
		if (only)
			NSDK_ASSERT_INT(stats.violations_total, stats.violations[kind]);
	}
	return found;
}

/* @p at_least: 100, except for fences, whose line operations may by luck have been early each time. */
static void omission_is_found(const char *what, enum omission omit, enum nsdk_violation_kind kind,
			      bool only, bool data_too, unsigned at_least)
{
	unsigned wrong, found = found_by(omit, kind, only, &wrong);

	printf("# without %s: found by %u of %u seeds as \"%s\", wrong data in %u\n", what, found, SEEDS,
	       nsdk_violation_name(kind), wrong);
	CU_ASSERT(found >= at_least);
	if (data_too)
		CU_ASSERT(wrong > SEEDS * 9 / 10);
}

static void finds_a_missing_writeback_before_the_device_reads(void)
{
	omission_is_found("write-back before a read", WRITEBACK_BEFORE_READ,
			  NSDK_VIOLATION_STALE_DEVICE_READ, true, true, SEEDS);
}

static void finds_a_missing_fence_before_the_device_reads(void)
{
	omission_is_found("fence before a read", FENCE_BEFORE_READ, NSDK_VIOLATION_STALE_DEVICE_READ, true,
			  true, 95);
}

static void finds_a_missing_invalidation_before_the_device_writes(void)
{
	omission_is_found("invalidation before a write", INVALIDATE_BEFORE_WRITE,
			  NSDK_VIOLATION_LATE_WRITEBACK, true, true, SEEDS);
}

static void finds_a_missing_fence_before_the_device_writes(void)
{
	omission_is_found("fence before a write", FENCE_BEFORE_WRITE, NSDK_VIOLATION_LATE_WRITEBACK, true,
			  true, 95);
}

static void finds_a_missing_invalidation_after_the_device_wrote(void)
{
	/* The next transfer in the same buffer makes its stale lines dirty: more kinds follow. */
	omission_is_found("invalidation after a write", INVALIDATE_AFTER_WRITE,
			  NSDK_VIOLATION_STALE_CPU_READ, false, true, SEEDS);
}

static void finds_a_missing_fence_after_the_device_wrote(void)
{
	omission_is_found("fence after a write", FENCE_AFTER_WRITE, NSDK_VIOLATION_STALE_CPU_READ, false,
			  true, SEEDS);
}

static void finds_the_wrong_fence_after_the_device_wrote(void)
{
	omission_is_found("the stronger fence after a write", RIGHT_FENCE_AFTER_WRITE,
			  NSDK_VIOLATION_STALE_CPU_READ, true, false, SEEDS);
}

static void finds_a_missing_acquire_after_the_device_wrote(void)
{
	omission_is_found("acquire after a write", ACQUIRE_AFTER_WRITE, NSDK_VIOLATION_STALE_CPU_READ,
			  true, false, SEEDS);
}

static void finds_two_owners_in_one_line(void)
{
	/* The neighbour's stores also make lines dirty over the device's data. */
	omission_is_found("lines of one's own, dirty before", OWN_LINES, NSDK_VIOLATION_SHARED_LINE, false,
			  false, SEEDS);
	omission_is_found("lines of one's own, dirty after", OWN_LINES_LATER, NSDK_VIOLATION_SHARED_LINE,
			  false, false, SEEDS);
}

/* Whatever the kernel zeroed in the cache, memory still has the last owner's data. */
static void finds_a_missing_flush_of_fresh_pages(void)
{
	static unsigned char got[4096], zeroes[4096];
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation violation;

	for (int flushed = 0; flushed < 2; flushed++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			start(seed, flushed);
			nsdk_cache_model_read(model, memory + 8192, got, sizeof(got), false, OWNER);
			nsdk_cache_model_violations(&violation, 1);
			stop(&stats);
			NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_STALE_DEVICE_READ],
					flushed ? 0 : 64);
			NSDK_ASSERT_INT(stats.violations_total, flushed ? 0 : 64);
			NSDK_ASSERT_INT(memcmp(got, zeroes, sizeof(got)) == 0, flushed);
			if (!flushed)
				NSDK_ASSERT_TEXT(violation.missing,
						 "the flush of a fresh page before it was mapped");
		}
	}
	/* A device that writes to such a page loses its data to the zeroes later. */
	start(1, false);
	fill(got, sizeof(got));
	nsdk_cache_model_write(model, memory, got, sizeof(got), false, OWNER);
	take_back(memory, sizeof(got), NOTHING);
	stop(&stats);
	NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_LATE_WRITEBACK], 64);
}

/* Fresh pages are clean after the flush, each line for itself. */
static void a_fresh_page_may_be_flushed_in_parts(void)
{
	static unsigned char got[64];
	struct nsdk_cache_model_stats stats;

	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(5, &model), 0);
	nsdk_cache_model_reset();
	ops->writeback(memory + 64, 1);
	ops->fence_for_device();
	nsdk_cache_model_map(model, memory, BYTES);
	nsdk_cache_model_read(model, memory + 64, got, 64, false, OWNER);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 0);
	nsdk_cache_model_read(model, memory, got, 64, false, OWNER);
	nsdk_cache_model_read(model, memory + 128, got, 64, false, OWNER);
	stop(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 2);
}

/*
 * A completion queue that bypasses the caches: four entries in a line, the device writes one at a
 * time, the host invalidates before it looks. The head doorbell comes later than the next entries.
 */
static void entries_that_share_a_line_are_no_violation(void)
{
	struct nsdk_cache_model_stats stats;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		unsigned char *queue = memory;
		unsigned head = 0;

		memset(memory, 0, BYTES);
		start(seed, true);
		give_for_write(queue, 256, NOTHING);
		for (unsigned tail = 0; tail < 64; tail++) {
			unsigned char entry[16];

			memset(entry, (int)(tail + 1), sizeof(entry));
			nsdk_cache_model_write(model, queue + tail % 16 * 16, entry, sizeof(entry), false,
					       OWNER);
			if (draw(3) == 0)
				continue;
			take_back(queue, 256, NOTHING);
			for (; head <= tail; head++) {
				if (memcmp(queue + head % 16 * 16, &(unsigned char){ head + 1 }, 1) != 0)
					wrong_bytes++;
				/* Told one by one, while the device may be writing on. */
				nsdk_cache_model_consumed(model, queue + head % 16 * 16, 16, OWNER);
			}
		}
		stop(&stats);
		NSDK_ASSERT_INT(stats.violations_total, 0);
		NSDK_ASSERT_INT(wrong_bytes, 0);
	}
}

/* A callback gives the buffer to the device again before the device hears that it was consumed. */
static void a_buffer_that_is_given_again_is_judged_by_its_first_use(void)
{
	static unsigned char sent[4096];
	struct nsdk_cache_model_stats stats;

	for (int right = 0; right < 2; right++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			memset(memory, 0, BYTES);
			start(seed, true);
			give_for_write(memory, 4096, NOTHING);
			for (unsigned i = 0; i < 4; i++) {
				fill(sent, sizeof(sent));
				nsdk_cache_model_write(model, memory, sent, 4096, false, OWNER);
				if (right)
					take_back(memory, 4096, NOTHING);
				give_for_write(memory, 4096, NOTHING);
				nsdk_cache_model_write(model, memory, sent, 4096, false, OWNER);
				nsdk_cache_model_consumed(model, memory, 4096, OWNER);
				take_back(memory, 4096, NOTHING);
				nsdk_cache_model_consumed(model, memory, 4096, OWNER);
			}
			stop(&stats);
			if (right)
				NSDK_ASSERT_INT(stats.violations_total, 0);
			else
				NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_STALE_CPU_READ], 4 * 64);
		}
	}
}

/* A transfer may come in pieces that end inside a line. */
static void pieces_of_one_transfer_do_not_hide_the_next_omission(void)
{
	static unsigned char sent[512];
	struct nsdk_cache_model_stats stats;

	start(3, true);
	for (unsigned i = 0; i < 10; i++) {
		fill(sent, sizeof(sent));
		give_for_write(memory, 512, NOTHING);
		nsdk_cache_model_write(model, memory, sent, 100, false, OWNER);
		nsdk_cache_model_write(model, memory + 100, sent + 100, 412, false, OWNER);
		take_back(memory, 512, i == 9 ? INVALIDATE_AFTER_WRITE : NOTHING);
		nsdk_cache_model_consumed(model, memory, 512, OWNER);
	}
	stop(&stats);
	NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_STALE_CPU_READ], 8);
	NSDK_ASSERT_INT(stats.violations_total, 8);
}

static void snooped_dma_needs_no_syncs(void)
{
	static unsigned char data[4096], got[4096];
	struct nsdk_cache_model_stats stats;

	/* Not even of fresh pages. */
	start(1, false);
	for (unsigned i = 0; i < 50; i++) {
		unsigned char *buffer = memory + draw(BYTES - 4096);

		fill(data, sizeof(data));
		nsdk_cache_model_write(model, buffer, data, sizeof(data), true, OWNER);
		wrong_bytes += memcmp(buffer, data, sizeof(data)) != 0;
		fill(buffer, sizeof(data));
		nsdk_cache_model_read(model, buffer, got, sizeof(got), true, OWNER);
		wrong_bytes += memcmp(buffer, got, sizeof(got)) != 0;
		nsdk_cache_model_consumed(model, buffer, sizeof(got), OWNER);
		nsdk_cache_model_adversary(model);
	}
	stop(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 0);
	NSDK_ASSERT_INT(wrong_bytes, 0);
}

/* Snooped data in a line goes to memory as well: a later no-snoop read finds it. */
static void snooped_writes_reach_memory(void)
{
	static unsigned char data[256], got[256];
	struct nsdk_cache_model_stats stats;

	start(1, true);
	fill(data, sizeof(data));
	nsdk_cache_model_write(model, memory + 32, data, sizeof(data), true, OWNER);
	nsdk_cache_model_read(model, memory + 32, got, sizeof(got), false, OWNER);
	NSDK_ASSERT_INT(memcmp(data, got, sizeof(got)), 0);
	stop(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 0);
}

static void the_same_seed_makes_the_same_choices(void)
{
	struct nsdk_cache_model_stats first, again, other;

	run(77, INVALIDATE_AFTER_WRITE, &first);
	run(77, INVALIDATE_AFTER_WRITE, &again);
	NSDK_ASSERT_INT(memcmp(&first, &again, sizeof(first)), 0);
	run(78, INVALIDATE_AFTER_WRITE, &other);
	CU_ASSERT(memcmp(&first, &other, sizeof(first)) != 0);
}

static void a_seed_of_zero_is_chosen_and_said(void)
{
	struct nsdk_cache_model_stats stats;
	char text[64];

	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(0, &model), 0);
	nsdk_cache_model_stats(&stats);
	CU_ASSERT(stats.seed != 0);
	snprintf(text, sizeof(text), "seed=%llu repeats", (unsigned long long)stats.seed);
	CU_ASSERT(nsdk_unit_log_has(text));
	nsdk_cache_model_put(model);
	nsdk_cache_model_put(NULL);
}

static void the_model_lives_while_anybody_holds_it(void)
{
	struct nsdk_cache_model *second;
	struct nsdk_cache_model_stats stats;
	static unsigned char got[64];

	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(11, &model), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(12, &second), 0);
	CU_ASSERT_PTR_EQUAL(model, second);
	nsdk_cache_model_map(model, memory, BYTES);
	nsdk_cache_model_put(second);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.seed, 11);
	/* Still fresh, still known. */
	nsdk_cache_model_read(model, memory, got, 64, false, OWNER);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 1);
	nsdk_cache_model_put(model);
	/* Nobody holds it: memory is memory, and nothing more is found. Counts stay. */
	nsdk_cache_model_read(model, memory + 64, got, 64, false, OWNER);
	nsdk_cache_model_consumed(model, memory + 64, 64, OWNER);
	nsdk_cache_model_adversary(model);
	ops->writeback(memory, 4);
	ops->fence_for_device();
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 1);
}

/* Line operations meet pages before they are mapped; no device does. */
static void memory_that_is_not_mapped_is_just_memory(void)
{
	static unsigned char data[4096], got[4096];
	struct nsdk_cache_model_stats stats;

	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(4, &model), 0);
	fill(memory, 4096);
	fill(data, 4096);
	ops->writeback_invalidate(memory, 64);
	ops->fence_for_device();
	nsdk_cache_model_write(model, memory, data, 4096, false, OWNER);
	NSDK_ASSERT_INT(memcmp(memory, data, 4096), 0);
	fill(memory, 4096);
	nsdk_cache_model_read(model, memory, got, 4096, false, OWNER);
	NSDK_ASSERT_INT(memcmp(memory, got, 4096), 0);
	nsdk_cache_model_consumed(model, memory, 4096, OWNER);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 0);
	nsdk_cache_model_put(model);
}

/* Two address spaces may map the same memory; it is forgotten with the last. */
static void memory_mapped_twice_is_known_until_both_are_gone(void)
{
	static unsigned char got[64];
	struct nsdk_cache_model_stats stats;

	start(9, true);
	nsdk_cache_model_map(model, memory + 4096, 4096);
	nsdk_cache_model_unmap(model, memory, BYTES);
	memory[4096] = 1;
	nsdk_cache_model_read(model, memory + 4096, got, 64, false, OWNER);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 1);
	nsdk_cache_model_unmap(model, memory + 4096, 4096);
	nsdk_cache_model_read(model, memory + 4096, got, 64, false, OWNER);
	NSDK_ASSERT_INT(got[0], 1);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 1);
	nsdk_cache_model_put(model);
}

/* What is unmapped is not looked at: it may not be there any more. */
static void unmapped_memory_is_left_alone(void)
{
	unsigned char *gone = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static unsigned char data[4096];
	struct nsdk_cache_model_stats stats;

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(gone, MAP_FAILED);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		start(seed, true);
		nsdk_cache_model_map(model, gone, 8192);
		fill(gone, 4096);
		nsdk_cache_model_write(model, gone, data, 4096, false, OWNER);
		/* Waits for its fence over the end of the mapping. */
		ops->writeback_invalidate(gone, 64);
		nsdk_cache_model_unmap(model, gone, 8192);
		mprotect(gone, 8192, PROT_NONE);
		ops->fence_for_cpu();
		for (unsigned i = 0; i < 200; i++)
			nsdk_cache_model_adversary(model);
		mprotect(gone, 8192, PROT_READ | PROT_WRITE);
		stop(&stats);
	}
	munmap(gone, 8192);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(right_is_right_whatever_the_seed),
	NSDK_UNIT_TEST(finds_a_missing_writeback_before_the_device_reads),
	NSDK_UNIT_TEST(finds_a_missing_fence_before_the_device_reads),
	NSDK_UNIT_TEST(finds_a_missing_invalidation_before_the_device_writes),
	NSDK_UNIT_TEST(finds_a_missing_fence_before_the_device_writes),
	NSDK_UNIT_TEST(finds_a_missing_invalidation_after_the_device_wrote),
	NSDK_UNIT_TEST(finds_a_missing_fence_after_the_device_wrote),
	NSDK_UNIT_TEST(finds_the_wrong_fence_after_the_device_wrote),
	NSDK_UNIT_TEST(finds_a_missing_acquire_after_the_device_wrote),
	NSDK_UNIT_TEST(finds_two_owners_in_one_line),
	NSDK_UNIT_TEST(finds_a_missing_flush_of_fresh_pages),
	NSDK_UNIT_TEST(a_fresh_page_may_be_flushed_in_parts),
	NSDK_UNIT_TEST(entries_that_share_a_line_are_no_violation),
	NSDK_UNIT_TEST(a_buffer_that_is_given_again_is_judged_by_its_first_use),
	NSDK_UNIT_TEST(pieces_of_one_transfer_do_not_hide_the_next_omission),
	NSDK_UNIT_TEST(snooped_dma_needs_no_syncs),
	NSDK_UNIT_TEST(snooped_writes_reach_memory),
	NSDK_UNIT_TEST(the_same_seed_makes_the_same_choices),
	NSDK_UNIT_TEST(a_seed_of_zero_is_chosen_and_said),
	NSDK_UNIT_TEST(the_model_lives_while_anybody_holds_it),
	NSDK_UNIT_TEST(memory_that_is_not_mapped_is_just_memory),
	NSDK_UNIT_TEST(memory_mapped_twice_is_known_until_both_are_gone),
	NSDK_UNIT_TEST(unmapped_memory_is_left_alone),
};

NSDK_UNIT_MAIN("lib/emu/cache", tests, .before = before, .after = after)
