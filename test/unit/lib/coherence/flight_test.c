/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large batches: shared with flush lcores, and left to WBINVD, in front of the cache model, which does
 * what caches do: a line that nobody cleaned reaches the device stale.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nsdk/env.h>

#include "fake_device.h"
#include "lib/coherence/flusher.h"
#include "lib/coherence/profile.h"
#include "lib/emu/emu_internal.h"
#include "lib/env/thread.h"

/* Many times what a crew or WBINVD is planned for at all, by the profile below. */
#define PART ((size_t)256 << 10)
#define BYTES (4 * PART)
#define MAX_RANGES 64u
#define PATIENCE_NS (60 * UINT64_C(1000000000))

static struct fake_device fake, other;
static struct nsdk_coherence *coh, *other_coh;
static struct nsdk_flush_batch *batch;
static struct nsdk_shadow shadow;
static struct nsdk_cache_model *model;
static uint8_t *memory;
static uint8_t wanted[BYTES], seen[BYTES];
static size_t large_bytes;     /* of the profile's last point */
static size_t timed_bytes;     /* of many batches, one after the other */
static uint64_t crew_large_ns; /* what it says that a crew takes for that */
static cpu_set_t whole;

/* What the gate's way in is like. */
static struct {
	unsigned runs[2]; /* by CPU; the gate's own tests included */
	int error;        /* of run() */
	bool does_nothing; /* it says that it ran, and did not */
	bool refuses;      /* a device as proof */
	unsigned slow_us;
} way;

static int way_open(void **priv, const nsdk_cpumask_t *cpus, char *reason, size_t reason_bytes)
{
	(void)cpus;
	(void)reason;
	(void)reason_bytes;
	*priv = &way;
	return 0;
}

static void way_close(void *priv)
{
	(void)priv;
}

static int way_add(void *priv, int device_fd, char *reason, size_t reason_bytes)
{
	(void)priv;
	(void)device_fd;
	snprintf(reason, reason_bytes, "not that one");
	return way.refuses ? -EINVAL : 0;
}

static void way_remove(void *priv, int device_fd)
{
	(void)priv;
	(void)device_fd;
}

/*
 * Time passes evenly, so the gate's look at whether lines left the cache finds a machine that does not
 * show it, and goes by the rest.
 */
/*
 * Not 0: where the clock stands, from make() to unmake(). So a flush lcore that the machine holds up is
 * waited for, and is not called lost, which is another test's (crew_test.c).
 */
static _Atomic uint64_t still_ns;

/* But for this thread, whose next so many looks make it go on by so much each. */
static _Thread_local unsigned looks_left;
static _Thread_local uint64_t look_ns;

uint64_t __real_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void)
{
	uint64_t still = still_ns;

	if (still && looks_left > 0) {
		looks_left--;
		still_ns += look_ns;
	}
	return still ? still : __real_nsdk_clock_ns();
}

/* Whether each flight loses its flush lcore on the way: it is counted twice as it begins, and as it ends. */
static bool loses_crew;
static unsigned sizes_asked;

unsigned __real_nsdk_crew_size(const struct nsdk_crew *crew);
unsigned __wrap_nsdk_crew_size(const struct nsdk_crew *crew);
unsigned __wrap_nsdk_crew_size(const struct nsdk_crew *crew)
{
	return loses_crew && ++sizes_asked % 3 == 0 ? 0 : __real_nsdk_crew_size(crew);
}

uint64_t __wrap_nsdk_ticks(void);
uint64_t __wrap_nsdk_ticks(void)
{
	static _Thread_local uint64_t ticks; /* nobody else makes it go faster */

	return ticks++;
}

static int way_run(void *priv, unsigned cpu)
{
	(void)priv;
	way.runs[cpu & 1]++;
	if (way.error)
		return way.error;
	if (way.slow_us)
		usleep(way.slow_us);
	if (!way.does_nothing)
		nsdk_cache_model_wbinvd(cpu);
	return 0;
}

static const struct nsdk_gate_ops way_ops = {
	.name = "model",
	.open = way_open,
	.close = way_close,
	.add_proof = way_add,
	.remove_proof = way_remove,
	.run = way_run,
};

static void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(set), &set), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_thread_register(), 0);
	/* Each time it stands for another thread, which has not come from anywhere. */
	nsdk_cpu_classes_believe();
}

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(whole), &whole), 0);
	if (!CPU_ISSET(0, &whole) || !CPU_ISSET(1, &whole))
		nsdk_skip("CPUs 0 and 1 are needed");
	memset(&way, 0, sizeof(way));
	large_bytes = BYTES;
	timed_bytes = PART;
	crew_large_ns = 600 * 1000;
	looks_left = 0;
	loses_crew = false;
	sizes_asked = 0;
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_thread_unregister();
	sched_setaffinity(0, sizeof(whole), &whole);
	nsdk_unit_log_stop();
}

static void table(struct nsdk_profile *profile, enum nsdk_tune_what what, enum nsdk_tune_way tune_way,
		  unsigned cpus, uint64_t small_ns, uint64_t large_ns)
{
	struct nsdk_tune_table *out = &profile->flush.tables[profile->flush.count++];

	*out = (struct nsdk_tune_table){ .what = what, .way = tune_way, .cpus = cpus, .count = 2 };
	out->points[0] = (struct nsdk_tune_point){ 4096, small_ns, small_ns, small_ns };
	out->points[1] = (struct nsdk_tune_point){ large_bytes, large_ns, large_ns, large_ns };
}

/* From 32 KiB or so on the crew is better, from 64 KiB on WBINVD, if these have any costs at all. */
static void make(const struct nsdk_flush_opts *opts, bool crew, bool wbinvd)
{
	struct nsdk_profile *profile;
	struct nsdk_flusher *flusher;

	CU_ASSERT_EQUAL_FATAL(nsdk_flusher_setup(opts, &way_ops, true), 0);
	flusher = nsdk_flusher_hold();
	CU_ASSERT_EQUAL_FATAL(nsdk_profile_create(&profile), 0);
	for (unsigned w = 0; w < 2; w++) {
		table(profile, NSDK_TUNE_LINES, (enum nsdk_tune_way)w, 1, 1000, 1024 * 1000);
		if (crew)
			table(profile, NSDK_TUNE_CREW, (enum nsdk_tune_way)w, 1, 10000, crew_large_ns);
	}
	if (wbinvd) {
		table(profile, NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 1, 50000, 60000);
		table(profile, NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 2, 60000, 70000);
	}
	nsdk_planner_from_profile(&flusher->planner, profile);
	nsdk_profile_free(profile);
	nsdk_flusher_release(flusher);

	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	nsdk_cache_model_reset();
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(1, &model), 0);
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.dev.line_ops = nsdk_cache_model_line_ops();
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_shadow_create((uintptr_t)memory, BYTES, &shadow), 0);
	nsdk_coherence_set_shadow(coh, &shadow);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, MAX_RANGES, &batch), 0);
	nsdk_sync_for_device(coh, memory, BYTES, NSDK_DMA_FROM_DEVICE);
	nsdk_cache_model_map(model, memory, BYTES);
	still_ns = __real_nsdk_clock_ns();
}

static void unmake(void)
{
	still_ns = 0;
	nsdk_flush_batch_destroy(batch);
	nsdk_coherence_drop_shadow(coh, &shadow);
	nsdk_coherence_destroy(coh);
	nsdk_cache_model_unmap(model, memory, BYTES);
	nsdk_cache_model_put(model);
	nsdk_shadow_destroy(&shadow);
	munmap(memory, BYTES);
	NSDK_ASSERT_INT(nsdk_flush_teardown(), 0);
}

/* A store of the CPU we are on: what a program does, and what the model is to be told of it. */
static void store(size_t offset, size_t bytes, uint8_t value)
{
	nsdk_dma_dirty(coh, memory + offset, bytes);
	memset(memory + offset, value, bytes);
	memset(wanted + offset, value, bytes);
	nsdk_cache_model_stored(memory + offset, bytes, (unsigned)sched_getcpu());
}

static void arrive(void)
{
	uint64_t deadline_ns = __real_nsdk_clock_ns() + PATIENCE_NS;

	while (!nsdk_flush_batch_poll(batch)) {
		if (__real_nsdk_clock_ns() > deadline_ns) {
			CU_FAIL("it does not arrive");
			return;
		}
		sched_yield();
	}
}

static bool device_sees_it(size_t offset, size_t bytes)
{
	nsdk_cache_model_read(model, memory + offset, seen, bytes, false, "emu:test");
	return memcmp(seen, wanted + offset, bytes) == 0;
}

static uint64_t violations(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations_total;
}

static struct nsdk_coherence_stats stats(void)
{
	struct nsdk_coherence_stats out;

	nsdk_coherence_stats(coh, &out);
	return out;
}

/* --- with flush lcores --- */

static const struct nsdk_flush_opts with_crew = { .flush_cpus = "1", .no_profile = true };

static void a_large_batch_is_shared_and_arrives(void)
{
	struct nsdk_flush_status status;
	bool waited = false;

	make(&with_crew, true, false);
	pin_to(0);
	for (unsigned round = 0; round < 8; round++) {
		store(0, BYTES, (uint8_t)(round + 1));
		nsdk_flush_batch_for_device(batch, memory, PART, NSDK_DMA_TO_DEVICE);
		nsdk_flush_batch_for_device(batch, memory + 2 * PART, PART, NSDK_DMA_FROM_DEVICE);
		nsdk_flush_batch_for_device(batch, memory + PART / 2, PART, NSDK_DMA_TO_DEVICE);
		if (!nsdk_flush_batch_begin(batch)) {
			waited = true;
			CU_ASSERT_FALSE(nsdk_flush_batch_begin(batch));
			arrive();
		}
		CU_ASSERT_TRUE(device_sees_it(0, PART + PART / 2));
		/* What the device writes is not overwritten later by a line that was left dirty. */
		memset(wanted + 2 * PART, 0xd0, PART);
		nsdk_cache_model_write(model, memory + 2 * PART, wanted + 2 * PART, PART, false,
				       "emu:test");
		nsdk_flush_batch_for_cpu(batch, memory + 2 * PART, PART, NSDK_DMA_FROM_DEVICE);
		if (!nsdk_flush_batch_begin(batch))
			arrive();
		nsdk_cache_model_consumed(model, memory + 2 * PART, PART, "emu:test");
		CU_ASSERT_EQUAL(memcmp(memory + 2 * PART, wanted + 2 * PART, PART), 0);
	}
	CU_ASSERT_TRUE(waited);
	NSDK_ASSERT_INT((long)violations(), 0);
	nsdk_flush_status(&status);
	NSDK_ASSERT_INT(status.flush_cpus, 1);
	NSDK_ASSERT_INT((long)status.jobs, 16);
	NSDK_ASSERT_INT((long)(status.lines_by_flush_cpus + status.lines_by_submitters),
			(long)(8 * (5 * PART / 2 + PART) / 64));
	CU_ASSERT_TRUE(status.lines_by_submitters > 0);
	NSDK_ASSERT_INT((long)stats().batches_shared, 16);
	NSDK_ASSERT_INT((long)stats().lines_written_back, (long)(8 * (PART + PART / 2) / 64));
	NSDK_ASSERT_INT((long)stats().lines_invalidated, (long)(8 * 2 * PART / 64 + BYTES / 64));
	unmake();
}

static void a_small_batch_is_done_at_once(void)
{
	make(&with_crew, true, false);
	store(0, 16384, 9);
	nsdk_flush_batch_for_device(batch, memory, 16384, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_TRUE(nsdk_flush_batch_begin(batch));
	CU_ASSERT_TRUE(device_sees_it(0, 16384));
	CU_ASSERT_TRUE(nsdk_flush_batch_begin(batch));
	CU_ASSERT_TRUE(nsdk_flush_batch_poll(batch));
	NSDK_ASSERT_INT((long)stats().batches_shared, 0);
	NSDK_ASSERT_INT((long)stats().batches, 2); /* the fresh memory's sync is one */
	unmake();
}

static void what_comes_meanwhile_is_the_next_batch(void)
{
	make(&with_crew, true, false);
	store(0, 3 * PART, 1);
	nsdk_flush_batch_for_device(batch, memory, 2 * PART, NSDK_DMA_TO_DEVICE);
	(void)nsdk_flush_batch_begin(batch);
	nsdk_flush_batch_for_device(batch, memory + 2 * PART, PART, NSDK_DMA_TO_DEVICE);
	arrive();
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	/* The second by a commit, which waits. */
	nsdk_flush_batch_commit(batch);
	CU_ASSERT_TRUE(device_sees_it(2 * PART, PART));
	/* A commit while one is under way waits for both. */
	store(0, 3 * PART, 2);
	nsdk_flush_batch_for_device(batch, memory, 2 * PART, NSDK_DMA_TO_DEVICE);
	(void)nsdk_flush_batch_begin(batch);
	nsdk_flush_batch_for_device(batch, memory + 2 * PART, 4096, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(batch);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART + 4096));
	NSDK_ASSERT_INT((long)violations(), 0);
	/* And an end waits, too. */
	store(0, 2 * PART, 3);
	nsdk_flush_batch_for_device(batch, memory, 2 * PART, NSDK_DMA_TO_DEVICE);
	(void)nsdk_flush_batch_begin(batch);
	unmake();
}

/* More ranges than the batch holds: some went out early, without a fence, and all are right. */
static void a_full_list_is_no_harm(void)
{
	make(&with_crew, true, false);
	store(0, BYTES, 7);
	for (unsigned i = 0; i < 3 * MAX_RANGES; i++)
		nsdk_flush_batch_for_device(batch, memory + (size_t)i * 4096, 3072,
					    i % 3 ? NSDK_DMA_TO_DEVICE : NSDK_DMA_BIDIRECTIONAL);
	if (!nsdk_flush_batch_begin(batch))
		arrive();
	for (unsigned i = 0; i < 3 * MAX_RANGES; i++)
		CU_ASSERT_TRUE(device_sees_it((size_t)i * 4096, 3072));
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake();
}

/*
 * One large batch after the other, each right. Lines alone look at the clock when they begin and when they
 * end, the crew at least once in between, so by that clock it takes twice as long, whatever it does and
 * however often it looks while it waits: the clock goes on twice, not once for each look.
 */
static void send_timed(unsigned count)
{
	for (unsigned round = 0; round < count; round++) {
		store(0, timed_bytes, (uint8_t)(round + 1));
		nsdk_flush_batch_for_device(batch, memory, timed_bytes, NSDK_DMA_TO_DEVICE);
		look_ns = 100000;
		looks_left = 2;
		nsdk_flush_batch_commit(batch);
		looks_left = 0;
		CU_ASSERT_TRUE(device_sees_it(0, timed_bytes));
	}
	NSDK_ASSERT_INT((long)violations(), 0);
}

static void a_crew_that_is_slow_is_left_but_for_tries(void)
{
	uint64_t shared, tried;

	large_bytes = timed_bytes;
	make(&with_crew, true, false);
	pin_to(0);
	send_timed(1);
	NSDK_ASSERT_INT((long)stats().batches_shared, 1);
	send_timed(20);
	shared = stats().batches_shared;
	tried = stats().batches_tried;
	CU_ASSERT_TRUE(shared < 12);
	/* It was a try of lines alone that showed it. */
	CU_ASSERT_TRUE(tried > 0);
	send_timed(60);
	CU_ASSERT_TRUE(stats().batches_tried > tried);
	NSDK_ASSERT_INT((long)(stats().batches_shared - shared), (long)(stats().batches_tried - tried));
	CU_ASSERT_TRUE(stats().batches_tried - tried < 10);
	unmake();
}

/* What is left of a crew that lost somebody may well be as fast as it was. */
static void a_crew_that_lost_somebody_is_not_judged_by_that(void)
{
	large_bytes = timed_bytes;
	make(&with_crew, true, false);
	pin_to(0);
	loses_crew = true;
	send_timed(20);
	NSDK_ASSERT_INT((long)stats().batches_shared, 20);
	loses_crew = false;
	send_timed(20);
	CU_ASSERT_TRUE(stats().batches_shared < 32);
	unmake();
}

/* Such a profile gives no size from which on anything is planned; then that is 1 MiB. */
static void speak_against_the_crew(void)
{
	crew_large_ns = 1100 * 1000;
	timed_bytes = BYTES;
}

/* A profile that sees no use in the crew is not the last word on it. */
static void what_the_profile_is_against_is_tried_too(void)
{
	speak_against_the_crew();
	large_bytes = timed_bytes;
	make(&with_crew, true, false);
	pin_to(0);
	send_timed(40);
	CU_ASSERT_TRUE(stats().batches_tried > 0);
	NSDK_ASSERT_INT((long)stats().batches_shared, (long)stats().batches_tried);
	unmake();
}

/* A member is not lost, however much of the made-up time passes. */
static const struct nsdk_flush_opts patient = {
	.flush_cpus = "1", .no_profile = true, .flush_timeout_ns = UINT64_C(1) << 60,
};

/* The reactor comes by once a millisecond, and a flush lcore is not to blame for that. */
static void a_reactor_that_was_away_blames_nobody(void)
{
	large_bytes = timed_bytes;
	make(&patient, true, false);
	pin_to(0);
	for (unsigned round = 0; round < 12; round++) {
		bool arrived;

		store(0, timed_bytes, (uint8_t)(round + 1));
		nsdk_flush_batch_for_device(batch, memory, timed_bytes, NSDK_DMA_TO_DEVICE);
		arrived = nsdk_flush_batch_begin(batch);
		while (!arrived) {
			still_ns += 1000000;
			arrived = nsdk_flush_batch_poll(batch);
		}
		CU_ASSERT_TRUE(device_sees_it(0, timed_bytes));
	}
	NSDK_ASSERT_INT((long)stats().batches_shared, 12);
	NSDK_ASSERT_INT((long)stats().batches_tried, 0);
	unmake();
}

/* Lines alone take 20 us; the crew, which is polled, that and 10 us a poll. */
static void what_is_polled_is_learned_from(void)
{
	unsigned alone = 0;

	large_bytes = timed_bytes;
	make(&patient, true, false);
	pin_to(0);
	look_ns = 20000;
	for (unsigned round = 0; round < 40; round++) {
		uint64_t shared = stats().batches_shared;
		bool arrived;

		store(0, timed_bytes, (uint8_t)(round + 1));
		nsdk_flush_batch_for_device(batch, memory, timed_bytes, NSDK_DMA_TO_DEVICE);
		looks_left = 1;
		arrived = nsdk_flush_batch_begin(batch);
		while (!arrived) {
			still_ns += 10000;
			sched_yield();
			arrived = nsdk_flush_batch_poll(batch);
		}
		looks_left = 0;
		CU_ASSERT_TRUE(device_sees_it(0, timed_bytes));
		alone += stats().batches_shared == shared;
		/* The first that was not shared was a try, and the only one so far. */
		if (alone == 1 && stats().batches_shared == shared)
			NSDK_ASSERT_INT((long)stats().batches_tried, 1);
	}
	CU_ASSERT_TRUE(alone > 20);
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake();
}

/* All that the crew can do at a time, by somebody who does not go on with it. */
static struct nsdk_crew_job *jobs[NSDK_CREW_MAX_JOBS];

static void keep_crew_busy(void)
{
	static const struct nsdk_crew_range nothing;
	struct nsdk_flusher *flusher = nsdk_flusher_hold();

	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++)
		NSDK_ASSERT_INT(nsdk_crew_start(flusher->crew, nsdk_cache_model_line_ops(), &nothing, 1, 0,
						false, &jobs[i]), 0);
	nsdk_flusher_release(flusher);
}

static void let_crew_go(void)
{
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++)
		nsdk_crew_finish(jobs[i]);
}

/* Many batches, for none of which the crew has room; none is shared or a try. */
static void send_without_room(void)
{
	large_bytes = timed_bytes;
	make(&with_crew, true, false);
	pin_to(0);
	keep_crew_busy();
	send_timed(20);
	let_crew_go();
	NSDK_ASSERT_INT((long)stats().batches_shared, 0);
	NSDK_ASSERT_INT((long)stats().batches_tried, 0);
}

/* What was done here because the crew had no room says nothing of the crew. */
static void a_crew_without_room_is_not_judged(void)
{
	send_without_room();
	send_timed(1);
	NSDK_ASSERT_INT((long)stats().batches_shared, 1);
	NSDK_ASSERT_INT((long)stats().batches_tried, 0);
	unmake();
}

static void a_try_that_was_not_made_is_not_counted(void)
{
	speak_against_the_crew();
	send_without_room();
	/* It is due still. */
	send_timed(1);
	NSDK_ASSERT_INT((long)stats().batches_shared, 1);
	NSDK_ASSERT_INT((long)stats().batches_tried, 1);
	unmake();
}

/* --- with WBINVD --- */

static const struct nsdk_flush_opts with_wbinvd = {
	.wbinvd = NSDK_WBINVD_KVM, .wbinvd_per_second = 1000, .wbinvd_cpus = "0-1", .no_profile = true,
};

static unsigned runs_before[2];

static void forget_runs(void)
{
	runs_before[0] = way.runs[0];
	runs_before[1] = way.runs[1];
}

static unsigned runs_on(unsigned cpu)
{
	return way.runs[cpu] - runs_before[cpu];
}

static void send_to_device(size_t offset, size_t bytes, enum nsdk_dma_dir dir)
{
	nsdk_flush_batch_for_device(batch, memory + offset, bytes, dir);
	if (!nsdk_flush_batch_begin(batch))
		arrive();
}

static void wbinvd_runs_on_who_stored_and_nowhere_else(void)
{
	struct nsdk_flush_status status;
	uint64_t before_0;

	make(&with_wbinvd, false, true);
	pin_to(1); /* so that this thread, which hands over, is known as CPU 1 */
	nsdk_flush_status(&status);
	CU_ASSERT_TRUE(status.wbinvd_open);
	forget_runs();
	before_0 = nsdk_flush_wbinvd_on(0);
	store(0, 2 * PART, 1);
	send_to_device(0, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT(runs_on(0), 0);
	NSDK_ASSERT_INT(runs_on(1), 1);
	NSDK_ASSERT_INT((long)(nsdk_flush_wbinvd_on(0) - before_0), 0);
	NSDK_ASSERT_INT((long)stats().wbinvd, 1);
	NSDK_ASSERT_INT((long)stats().lines_written_back, 0);

	/* Another CPU has stored to part of it. */
	pin_to(0);
	store(PART, 64, 2);
	pin_to(1);
	send_to_device(0, 2 * PART, NSDK_DMA_FROM_DEVICE);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT(runs_on(0), 1);
	NSDK_ASSERT_INT(runs_on(1), 2);
	NSDK_ASSERT_INT((long)stats().wbinvd, 3);
	NSDK_ASSERT_INT((long)violations(), 0);
	/* Too small for it. */
	store(0, 4096, 3);
	send_to_device(0, 4096, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_TRUE(device_sees_it(0, 4096));
	NSDK_ASSERT_INT(runs_on(0) + runs_on(1), 3);
	unmake();
}

static void *store_unregistered(void *arg)
{
	(void)arg;
	store(4096, 4096, 0x77);
	return NULL;
}

static void who_is_not_known_is_not_guessed(void)
{
	pthread_t thread;

	make(&with_wbinvd, false, true);
	pin_to(0);
	forget_runs();
	store(0, 2 * PART, 1);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, store_unregistered, NULL), 0);
	pthread_join(thread, NULL);
	send_to_device(0, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT(runs_on(0) + runs_on(1), 0);
	CU_ASSERT_TRUE(stats().lines_written_back >= 2 * PART / 64);
	/* Nor who hands it over, if that is somebody unknown. */
	nsdk_thread_unregister();
	store(2 * PART, 2 * PART, 2);
	send_to_device(2 * PART, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_TRUE(device_sees_it(2 * PART, 2 * PART));
	NSDK_ASSERT_INT(runs_on(0) + runs_on(1), 0);
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake();
}

static void what_is_taken_back_is_never_left_to_wbinvd(void)
{
	make(&with_wbinvd, false, true);
	pin_to(0);
	forget_runs();
	store(0, 2 * PART, 1);
	send_to_device(0, 2 * PART, NSDK_DMA_FROM_DEVICE);
	NSDK_ASSERT_INT(runs_on(0), 1);
	memset(wanted, 0xd1, 2 * PART);
	nsdk_cache_model_write(model, memory, wanted, 2 * PART, false, "emu:test");
	nsdk_flush_batch_for_cpu(batch, memory, 2 * PART, NSDK_DMA_FROM_DEVICE);
	CU_ASSERT_TRUE(nsdk_flush_batch_begin(batch));
	nsdk_cache_model_consumed(model, memory, 2 * PART, "emu:test");
	CU_ASSERT_EQUAL(memcmp(memory, wanted, 2 * PART), 0);
	NSDK_ASSERT_INT(runs_on(0), 1);
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake();
}

/* The gate is another device's: its proof may go while a flight of ours rests on it. */
static void who_is_no_proof_does_not_use_the_gate(void)
{
	make(&with_wbinvd, false, true);
	pin_to(0);
	nsdk_flush_batch_destroy(batch);
	nsdk_coherence_drop_shadow(coh, &shadow);
	nsdk_coherence_destroy(coh);
	fake_device_init(&other, NSDK_SNOOP_PERMITTED, true, true);
	other.dev.line_ops = nsdk_cache_model_line_ops();
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&other.dev, NSDK_POLICY_NOSNOOP, &other_coh), 0);
	way.refuses = true;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	nsdk_coherence_set_shadow(coh, &shadow);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, MAX_RANGES, &batch), 0);
	forget_runs();
	store(0, 2 * PART, 1);
	send_to_device(0, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT(runs_on(0) + runs_on(1), 0);
	NSDK_ASSERT_INT((long)violations(), 0);
	nsdk_coherence_destroy(other_coh);
	nsdk_unit_log_clear();
	unmake();
}

static void over_the_budget_it_is_lines(void)
{
	struct nsdk_flush_opts opts = with_wbinvd;
	struct nsdk_flush_status status;

	opts.wbinvd_per_second = 1;
	make(&opts, false, true);
	pin_to(0);
	forget_runs();
	/* The bucket is full to begin with, and again a second later. */
	for (unsigned i = 0; i < 4; i++) {
		if (i == 3)
			still_ns += 1000000000;
		store(0, 2 * PART, (uint8_t)(i + 1));
		send_to_device(0, 2 * PART, NSDK_DMA_TO_DEVICE);
		CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
		NSDK_ASSERT_INT(runs_on(0), i == 3 ? 2 : 1);
	}
	nsdk_flush_status(&status);
	NSDK_ASSERT_INT((long)status.wbinvd_over_budget, 2);
	NSDK_ASSERT_INT((long)stats().wbinvd, 2);
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake();
}

static void fails_and_is_lines(enum nsdk_dma_dir dir)
{
	struct nsdk_flush_status status;
	bool written = dir == NSDK_DMA_TO_DEVICE;

	make(&with_wbinvd, false, true);
	pin_to(0);
	way.error = -EIO;
	store(0, 2 * PART, 5);
	send_to_device(0, 2 * PART, dir);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT((long)stats().wbinvd, 0);
	NSDK_ASSERT_INT((long)stats().lines_written_back, written ? (long)(2 * PART / 64) : 0);
	NSDK_ASSERT_INT((long)stats().lines_invalidated,
			(long)((written ? 0 : 2 * PART / 64) + BYTES / 64));
	nsdk_flush_status(&status);
	CU_ASSERT_FALSE(status.wbinvd_open);
	NSDK_ASSERT_INT((long)status.wbinvd_failed, 1);
	NSDK_ASSERT_INT((long)violations(), 0);
	unmake();
}

static void a_wbinvd_that_fails_is_lines(void)
{
	fails_and_is_lines(NSDK_DMA_BIDIRECTIONAL);
}

static void a_wbinvd_that_fails_is_write_backs(void)
{
	fails_and_is_lines(NSDK_DMA_TO_DEVICE);
}

/* A commit waits for it, and so does the batch's end: its memory may be gone after that. */
static void a_slow_wbinvd_is_waited_for(void)
{
	make(&with_wbinvd, false, true);
	pin_to(0);
	way.slow_us = 50000;
	forget_runs();
	store(0, 2 * PART, 1);
	nsdk_flush_batch_for_device(batch, memory, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_FALSE(nsdk_flush_batch_begin(batch));
	nsdk_flush_batch_commit(batch);
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT(runs_on(0), 1);
	store(0, 2 * PART, 2);
	nsdk_flush_batch_for_device(batch, memory, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_FALSE(nsdk_flush_batch_begin(batch));
	nsdk_flush_batch_destroy(batch);
	batch = NULL;
	CU_ASSERT_TRUE(device_sees_it(0, 2 * PART));
	NSDK_ASSERT_INT((long)violations(), 0);
	way.slow_us = 0;
	unmake();
}

/* The model is not taken in: it would show an execution that did not take place. */
static void the_model_shows_a_wbinvd_that_was_skipped(void)
{
	make(&with_wbinvd, false, true);
	pin_to(0);
	way.does_nothing = true;
	store(0, 2 * PART, 6);
	send_to_device(0, 2 * PART, NSDK_DMA_TO_DEVICE);
	CU_ASSERT_FALSE(device_sees_it(0, 2 * PART));
	CU_ASSERT_TRUE(violations() > 0);
	nsdk_unit_log_clear();
	unmake();
}

/* --- setting up --- */

static void setting_up_has_its_rules(void)
{
	struct nsdk_flush_opts opts = { .flush_cpus = "" };

	NSDK_ASSERT_INT(nsdk_flush_setup(&opts), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("empty");
	nsdk_unit_log_clear();
	opts.flush_cpus = "1023";
	NSDK_ASSERT_INT(nsdk_flush_setup(&opts), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("1023");
	nsdk_unit_log_clear();
	opts.flush_cpus = NULL;
	opts.wbinvd = (enum nsdk_wbinvd)7;
	NSDK_ASSERT_INT(nsdk_flush_setup(&opts), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("7");
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_flush_teardown(), 0);

	make(&with_crew, true, false);
	NSDK_ASSERT_INT(nsdk_flush_setup(NULL), -EALREADY);
	NSDK_ASSERT_ONE_SENTENCE("already");
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_flush_teardown(), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("detach");
	nsdk_unit_log_clear();
	unmake();
	/* Not behind the back of engines that are there. */
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	NSDK_ASSERT_INT(nsdk_flush_setup(NULL), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("before the first");
	nsdk_unit_log_clear();
	nsdk_coherence_destroy(coh);
}

static void a_gate_without_proof_says_so_once(void)
{
	struct nsdk_flush_status status;

	nsdk_flush_status(&status);
	CU_ASSERT_FALSE(status.wbinvd_open);
	CU_ASSERT_STRING_EQUAL(status.wbinvd_reason, "it was not asked for");
	/* The CPU's own gate is no match for the model's line operations. */
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_setup(&with_wbinvd), 0);
	fake_device_init(&fake, NSDK_SNOOP_PERMITTED, true, true);
	fake.dev.line_ops = nsdk_cache_model_line_ops();
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(nsdk_unit_log_last(), "a model's"));
	nsdk_unit_log_clear();
	nsdk_flush_status(&status);
	CU_ASSERT_FALSE(status.wbinvd_open);
	nsdk_coherence_destroy(coh);
	NSDK_ASSERT_INT(nsdk_flush_teardown(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_large_batch_is_shared_and_arrives),
	NSDK_UNIT_TEST(a_small_batch_is_done_at_once),
	NSDK_UNIT_TEST(what_comes_meanwhile_is_the_next_batch),
	NSDK_UNIT_TEST(a_full_list_is_no_harm),
	NSDK_UNIT_TEST(wbinvd_runs_on_who_stored_and_nowhere_else),
	NSDK_UNIT_TEST(who_is_not_known_is_not_guessed),
	NSDK_UNIT_TEST(what_is_taken_back_is_never_left_to_wbinvd),
	NSDK_UNIT_TEST(who_is_no_proof_does_not_use_the_gate),
	NSDK_UNIT_TEST(over_the_budget_it_is_lines),
	NSDK_UNIT_TEST(a_wbinvd_that_fails_is_lines),
	NSDK_UNIT_TEST(a_wbinvd_that_fails_is_write_backs),
	NSDK_UNIT_TEST(a_slow_wbinvd_is_waited_for),
	NSDK_UNIT_TEST(the_model_shows_a_wbinvd_that_was_skipped),
	NSDK_UNIT_TEST(setting_up_has_its_rules),
	NSDK_UNIT_TEST(a_gate_without_proof_says_so_once),
	NSDK_UNIT_TEST(a_crew_that_is_slow_is_left_but_for_tries),
	NSDK_UNIT_TEST(a_crew_that_lost_somebody_is_not_judged_by_that),
	NSDK_UNIT_TEST(what_the_profile_is_against_is_tried_too),
	NSDK_UNIT_TEST(a_reactor_that_was_away_blames_nobody),
	NSDK_UNIT_TEST(what_is_polled_is_learned_from),
	NSDK_UNIT_TEST(a_crew_without_room_is_not_judged),
	NSDK_UNIT_TEST(a_try_that_was_not_made_is_not_counted),
};

NSDK_UNIT_MAIN("lib/coherence/flight", tests, .before = before, .after = after)
