/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include "fake_device.h"
#include "fake_lines.h"
#include "lib/coherence/coherence_internal.h"
#include "lib/coherence/shadow.h"
#include "lib/env/thread.h"

static struct fake_device fake;
static struct nsdk_coherence *coh;
static struct nsdk_flush_batch *batch;
static uint64_t random_state;

static void make(enum nsdk_policy policy, unsigned max_ranges)
{
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.dev.line_ops = &fake_line_ops;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, policy, &coh), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, max_ranges, &batch), 0);
	fake_lines_clear();
}

static void unmake(void)
{
	nsdk_flush_batch_destroy(batch);
	nsdk_coherence_destroy(coh);
}

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % below;
}

static unsigned fences(void)
{
	return fake_lines.fences_for_cpu + fake_lines.fences_for_device;
}

/* What each line is to get: 0 nothing, 1 a write-back, 2 an invalidation. */
static unsigned char wanted[FAKE_LINES];
static bool wanted_for_cpu;
/* And what it is to have got before the commit already, as part of a first range of some size. */
static unsigned char wanted_early[FAKE_LINES];
static bool is_first, is_early;

static void want(unsigned offset, unsigned bytes, unsigned char strength)
{
	for (unsigned byte = offset; byte < offset + bytes; byte++)
		if (wanted[byte / 64] < strength)
			wanted[byte / 64] = strength;
}

/* A first range to the device of 16 lines or more does not wait; whether this is one. */
static void want_early(unsigned offset, unsigned bytes, bool for_device, unsigned char strength)
{
	unsigned first = offset / 64, end = (offset + bytes + 63) / 64;

	if (bytes == 0)
		return;
	if (is_first && for_device && end - first >= 16) {
		is_early = true;
		memset(wanted_early + first, strength, end - first);
	}
	is_first = false;
}

static void want_nothing(void)
{
	memset(wanted, 0, sizeof(wanted));
	memset(wanted_early, 0, sizeof(wanted_early));
	wanted_for_cpu = is_early = false;
	is_first = true;
}

static void add_at_random(void)
{
	/* Small and large ones, in clusters so that they touch and overlap. */
	unsigned lines = 1 + draw(draw(4) ? 6 : 200);
	unsigned offset = draw((FAKE_LINES - 210) * 64), bytes = draw(lines * 64 + 1);
	enum nsdk_dma_dir dir = (enum nsdk_dma_dir)(1 + draw(3));

	if (draw(2))
		offset = offset % (64 * 64);
	if (draw(3) == 0)
		offset -= offset % 64;
	if (draw(2)) {
		nsdk_flush_batch_for_device(batch, fake_memory + offset, bytes, dir);
		want(offset, bytes, dir == NSDK_DMA_TO_DEVICE ? 1 : 2);
		want_early(offset, bytes, true, dir == NSDK_DMA_TO_DEVICE ? 1 : 2);
	} else {
		nsdk_flush_batch_for_cpu(batch, fake_memory + offset, bytes, dir);
		if (dir != NSDK_DMA_TO_DEVICE && bytes > 0) {
			want_early(offset, bytes, false, 2);
			want(offset, bytes, 2);
			wanted_for_cpu = true;
		}
	}
}

/*
 * Whether what happened is what the naive model wants; once each, unless the batch may be early. What went
 * out with a first range and was added again has two operations.
 */
static bool lines_are_right(bool once)
{
	for (unsigned i = 0; i < FAKE_LINES; i++) {
		unsigned written = fake_lines.writebacks[i], invalidated = fake_lines.invalidates[i];
		unsigned strongest = invalidated ? 2 : written ? 1 : 0;

		if (strongest != wanted[i] || (once && written + invalidated > 1u + (wanted_early[i] != 0)))
			return false;
	}
	return !fake_lines.bad_range;
}

/* Before the commit: the first range, if it is of some size, and nothing else. */
static bool early_lines_are_right(void)
{
	for (unsigned i = 0; i < FAKE_LINES; i++)
		if (fake_lines.writebacks[i] != (wanted_early[i] == 1) ||
		    fake_lines.invalidates[i] != (wanted_early[i] == 2))
			return false;
	return !fake_lines.bad_range;
}

static void against_a_naive_model(bool early, unsigned rounds)
{
	struct nsdk_coherence_stats stats;
	uint64_t writebacks = 0, invalidates = 0, commits = 0;

	for (unsigned round = 0; round < rounds; round++) {
		unsigned adds = draw(draw(2) ? 6 : 60);
		bool any = false;

		make(NSDK_POLICY_NOSNOOP, early ? 1 + draw(5) : 64);
		for (unsigned commit = 0; commit < 3; commit++) {
			fake_lines_clear();
			want_nothing();
			writebacks = invalidates = 0;
			for (unsigned i = 0; i < adds; i++)
				add_at_random();
			/* Line operations may be early; the fence is not. */
			NSDK_ASSERT_INT(fences(), 0);
			if (!early) {
				NSDK_ASSERT_INT(fake_lines.calls, is_early);
				CU_ASSERT(early_lines_are_right());
			}
			nsdk_flush_batch_commit(batch);
			any = false;
			for (unsigned i = 0; i < FAKE_LINES; i++) {
				any = any || wanted[i];
				writebacks += fake_lines.writebacks[i];
				invalidates += fake_lines.invalidates[i];
			}
			if (!lines_are_right(!early)) {
				CU_FAIL("a line got the wrong operation, none, or more than one");
				unmake();
				return;
			}
			NSDK_ASSERT_INT(fences(), any);
			NSDK_ASSERT_INT(fake_lines.fences_for_cpu, wanted_for_cpu);
			NSDK_ASSERT_INT(fake_lines.after_fence, 0);
			if (!early)
				NSDK_ASSERT_INT(fake_lines.acquires, wanted_for_cpu);
			/* What is given needs no acquire. */
			if (wanted_for_cpu && !early && !is_early)
				NSDK_ASSERT_INT(fake_lines.before_acquire, 0);
			commits += any;
			/* Empty now: another commit has nothing to do. */
			nsdk_flush_batch_commit(batch);
			NSDK_ASSERT_INT(fences(), any);
		}
		nsdk_coherence_stats(coh, &stats);
		CU_ASSERT(stats.lines_written_back >= writebacks);
		CU_ASSERT(stats.lines_invalidated >= invalidates);
		CU_ASSERT(stats.batches <= 3);
		unmake();
	}
	CU_ASSERT(commits > rounds);
}

static void random_ranges_against_a_naive_model(void)
{
	random_state = 1;
	against_a_naive_model(false, 1500);
}

static void a_full_batch_flushes_early_and_fences_once(void)
{
	random_state = 2;
	against_a_naive_model(true, 1500);
}

static void a_first_range_of_some_size_does_not_wait(void)
{
	struct nsdk_coherence_stats stats;

	make(NSDK_POLICY_NOSNOOP, 8);
	/* Short ones do, and so does what is behind them. */
	nsdk_flush_batch_for_device(batch, fake_memory, 15 * 64, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_for_device(batch, fake_memory + 8192, 8192, NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(fake_lines.calls, 0);
	nsdk_flush_batch_commit(batch);
	fake_lines_clear();
	/* The second waits; and what has been sent is sent again, as its last line may hold more now. */
	nsdk_flush_batch_for_device(batch, fake_memory, 16 * 64 - 8, NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(fake_lines.calls, 1);
	nsdk_flush_batch_for_device(batch, fake_memory + 8192, 8192, NSDK_DMA_FROM_DEVICE);
	nsdk_flush_batch_for_device(batch, fake_memory + 16 * 64 - 8, 8, NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(fake_lines.calls, 1);
	NSDK_ASSERT_INT(fences(), 0);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(fake_lines.calls, 3);
	NSDK_ASSERT_INT(fake_lines.writebacks[15], 2);
	NSDK_ASSERT_INT(fences(), 1);
	NSDK_ASSERT_INT(fake_lines.after_fence, 0);
	/* A fence is behind it: the next one does not wait either, whichever way its data goes. */
	fake_lines_clear();
	nsdk_flush_batch_for_device(batch, fake_memory, 8192, NSDK_DMA_BIDIRECTIONAL);
	NSDK_ASSERT_INT(fake_lines.calls, 1);
	NSDK_ASSERT_INT(fake_lines.invalidates[127], 1);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(fences(), 1);
	nsdk_coherence_stats(coh, &stats);
	NSDK_ASSERT_INT(stats.batches, 3);
	NSDK_ASSERT_INT(stats.lines_written_back, 15 + 128 + 16 + 1);
	NSDK_ASSERT_INT(stats.lines_invalidated, 128 + 128);
	unmake();
}

/* In it, in front of it, behind it, over it: lines that are clean are not sent along. */
static void a_first_range_leaves_out_what_is_clean(void)
{
	const uintptr_t memory = (uintptr_t)fake_memory, inside = memory + 4096;
	struct nsdk_shadow shadow;

	make(NSDK_POLICY_NOSNOOP, 8);
	CU_ASSERT_EQUAL_FATAL(nsdk_shadow_create(inside, 8192, &shadow), 0);
	nsdk_coherence_set_shadow(coh, &shadow);
	nsdk_shadow_mark_clean(&shadow, inside + 640, inside + 704);
	nsdk_shadow_mark_clean(&shadow, inside + 4096, inside + 8192);
	for (unsigned first = 0; first <= 4; first++) {
		for (unsigned pages = 1; first + pages <= 5; pages++) {
			bool touches = first < 3 && first + pages > 1;

			fake_lines_clear();
			nsdk_flush_batch_for_device(batch, fake_memory + first * 4096, pages * 4096,
						    NSDK_DMA_TO_DEVICE);
			NSDK_ASSERT_INT(fake_lines.calls, !touches);
			nsdk_flush_batch_commit(batch);
			for (unsigned i = 0; i < FAKE_LINES; i++) {
				bool added = i / 64 >= first && i / 64 < first + pages;
				bool clean = i == 64 + 10 || i / 64 == 2;

				if (fake_lines.writebacks[i] != (added && !clean))
					CU_FAIL("a clean line was sent, or one that is not was left out");
			}
		}
	}
	/* One page of it, away from what is clean. */
	fake_lines_clear();
	nsdk_flush_batch_for_device(batch, (void *)(inside + 1024), 2048, NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(fake_lines.calls, 1);
	nsdk_flush_batch_commit(batch);
	nsdk_coherence_drop_shadow(coh, &shadow);
	unmake();
	nsdk_shadow_destroy(&shadow);
}

static void neighbours_become_one_operation(void)
{
	make(NSDK_POLICY_NOSNOOP, 8);
	for (unsigned i = 0; i < 100; i++)
		nsdk_flush_batch_for_device(batch, fake_memory + i * 512, 512, NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(fake_lines.calls, 0);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(fake_lines.calls, 1);
	unmake();

	/* Downwards they take room, but are one operation all the same. */
	make(NSDK_POLICY_NOSNOOP, 8);
	for (unsigned i = 8; i-- > 0;)
		nsdk_flush_batch_for_device(batch, fake_memory + i * 512, 512, NSDK_DMA_FROM_DEVICE);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(fake_lines.calls, 1);
	NSDK_ASSERT_INT(fake_lines.invalidates[63], 1);
	unmake();
}

/* The largest batch, added in the worst order, so that the sort has something to do. */
static void large_batches_are_sorted(void)
{
	enum { RANGES = 1000 };
	bool right = true;

	make(NSDK_POLICY_NOSNOOP, 65536);
	want_nothing();
	random_state = 3;
	for (unsigned i = 0; i < RANGES; i++) {
		/* 7 and 1000 have no common divisor: every second line once, in a scattered order. */
		unsigned line = i * 7 % RANGES * 2;

		nsdk_flush_batch_for_device(batch, fake_memory + line * 64, 64, NSDK_DMA_TO_DEVICE);
		want(line * 64, 64, 1);
	}
	nsdk_flush_batch_commit(batch);
	right = lines_are_right(true);
	CU_ASSERT(right);
	NSDK_ASSERT_INT(fake_lines.calls, RANGES);
	unmake();
}

static void one_acquire_before_each_flush_that_takes_back(void)
{
	make(NSDK_POLICY_NOSNOOP, 2);
	nsdk_flush_batch_for_cpu(batch, fake_memory, 64, NSDK_DMA_FROM_DEVICE);
	nsdk_flush_batch_for_cpu(batch, fake_memory + 256, 64, NSDK_DMA_FROM_DEVICE);
	NSDK_ASSERT_INT(fake_lines.acquires, 0);
	nsdk_flush_batch_for_cpu(batch, fake_memory + 512, 64, NSDK_DMA_FROM_DEVICE);
	/* Two went out early; the third may belong to a completion that was seen only now. */
	NSDK_ASSERT_INT(fake_lines.acquires, 1);
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(fake_lines.acquires, 2);
	NSDK_ASSERT_INT(fake_lines.before_acquire, 0);
	NSDK_ASSERT_INT(fake_lines.fences_for_cpu, 1);
	unmake();
}

static void inactive_does_nothing(void)
{
	struct nsdk_coherence_stats stats;

	make(NSDK_POLICY_COHERENT, 1);
	CU_ASSERT_FALSE(nsdk_flush_batch_active(batch));
	for (unsigned i = 0; i < 10; i++) {
		nsdk_flush_batch_for_device(batch, fake_memory + i * 256, 64, NSDK_DMA_BIDIRECTIONAL);
		nsdk_flush_batch_for_cpu(batch, fake_memory + i * 256, 64, NSDK_DMA_BIDIRECTIONAL);
	}
	nsdk_flush_batch_commit(batch);
	NSDK_ASSERT_INT(fake_lines.calls + fences() + fake_lines.acquires, 0);
	nsdk_coherence_stats(coh, &stats);
	NSDK_ASSERT_INT(stats.batches + stats.bytes_skipped_clean, 0);
	unmake();
}

static void refuses_a_capacity_that_makes_no_sense(void)
{
	struct nsdk_flush_batch *other = batch;

	nsdk_unit_log_start();
	make(NSDK_POLICY_NOSNOOP, 1);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_flush_batch_create(coh, 0, &other), -EINVAL);
	CU_ASSERT_PTR_NULL(other);
	NSDK_ASSERT_ONE_SENTENCE("1 to 65536 ranges, not 0");
	NSDK_ASSERT_INT(nsdk_flush_batch_create(coh, 65537, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("not 65537");
	unmake();
	nsdk_unit_log_stop();
	nsdk_flush_batch_destroy(NULL);
}

static void no_memory_is_an_error_and_leaves_nothing(void)
{
	make(NSDK_POLICY_NOSNOOP, 1);
	nsdk_unit_log_start();
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		struct nsdk_flush_batch *other = NULL;
		int err = nsdk_flush_batch_create(coh, 16, &other);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(err, -ENOMEM);
			CU_ASSERT_PTR_NULL(other);
			NSDK_ASSERT_ONE_SENTENCE("no memory");
		} else {
			NSDK_ASSERT_INT(err, 0);
			NSDK_ASSERT_INT(n, 3);
			nsdk_unit_fail_none();
			nsdk_flush_batch_destroy(other);
			break;
		}
	}
	nsdk_unit_log_stop();
	unmake();
}

/* Who takes a range back may store to it next: its CPUs are noted, of the range and nothing else. */
static void who_takes_back_owns(void)
{
	struct nsdk_shadow shadow;
	uint64_t mine;

	make(NSDK_POLICY_NOSNOOP, 8);
	CU_ASSERT_EQUAL_FATAL(nsdk_shadow_create((uintptr_t)fake_memory, sizeof(fake_memory), &shadow), 0);
	nsdk_coherence_set_shadow(coh, &shadow);
	CU_ASSERT_EQUAL_FATAL(nsdk_thread_register(), 0);
	mine = (uint64_t)1 << nsdk_thread_cpu_class();
	CU_ASSERT_NOT_EQUAL(mine, 1);
	for (unsigned d = 0; d < 3; d++) {
		uintptr_t page = (uintptr_t)fake_memory + d * 8192;
		static const enum nsdk_dma_dir each[] = {
			NSDK_DMA_TO_DEVICE, NSDK_DMA_FROM_DEVICE, NSDK_DMA_BIDIRECTIONAL,
		};

		/* Nobody is known to have stored: it may have been anybody. */
		CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, page, page + 4096), 1);
		nsdk_flush_batch_for_cpu(batch, (void *)(page + 100), 500, each[d]);
		nsdk_flush_batch_commit(batch);
		CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, page, page + 4096), mine);
		CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, page + 4096, page + 8192), 1);
	}
	nsdk_thread_unregister();
	nsdk_coherence_drop_shadow(coh, &shadow);
	unmake();
	nsdk_shadow_destroy(&shadow);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(random_ranges_against_a_naive_model),
	NSDK_UNIT_TEST(a_full_batch_flushes_early_and_fences_once),
	NSDK_UNIT_TEST(a_first_range_of_some_size_does_not_wait),
	NSDK_UNIT_TEST(a_first_range_leaves_out_what_is_clean),
	NSDK_UNIT_TEST(neighbours_become_one_operation),
	NSDK_UNIT_TEST(large_batches_are_sorted),
	NSDK_UNIT_TEST(one_acquire_before_each_flush_that_takes_back),
	NSDK_UNIT_TEST(inactive_does_nothing),
	NSDK_UNIT_TEST(refuses_a_capacity_that_makes_no_sense),
	NSDK_UNIT_TEST(no_memory_is_an_error_and_leaves_nothing),
	NSDK_UNIT_TEST(who_takes_back_owns),
};

NSDK_UNIT_MAIN("lib/coherence/batch", tests)
