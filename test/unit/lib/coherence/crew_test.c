/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flush lcores, with a table of line operations that behaves as the hardware may: an operation
 * counts only from its own thread's next fence on, and not at all if that thread did not acquire
 * before. So a line that is reported done, but was left out, or fenced by somebody else, or operated on
 * too early, shows as a count that is too low.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/env.h>

#include "lib/coherence/crew.h"
#include "lib/env/env_internal.h"
#include "nsdk_unit.h"

#define LINES 16384u
#define LINE(n) ((uintptr_t)memory + (uintptr_t)(n) * NSDK_LINE_BYTES)
#define MOST_PENDING 65536u

/* Long enough for any machine: nobody is late. Short, but no busy machine takes a CPU for so long. */
#define NEVER_NS ((uint64_t)60 * 1000 * 1000 * 1000)
#define SOON_NS ((uint64_t)150 * 1000 * 1000)

/*
 * What the CPUs see, and what a device would see. With copying, a line's first word goes from here to
 * there when its operation takes effect: plain loads and stores, so that the thread sanitizer tells if
 * anything but the crew's own order were between the submitter's and the members'. Without it, where
 * members are late, only the addresses count.
 */
static char memory[LINES * NSDK_LINE_BYTES] __attribute__((aligned(4096)));
static uint64_t device_sees[LINES];
static atomic_bool copying;

static atomic_uint writebacks[LINES], invalidates[LINES]; /* that have taken effect */
static atomic_uint acquires_missing, bad_ranges, fences_for_device, fences_for_cpu, wrong_cpu;
static atomic_ullong fake_lines; /* of huge_ops */

/* What a member meets in its next line operation. */
enum trap { TRAP_NONE, TRAP_STALL, TRAP_EXIT };
static _Atomic enum trap trap;
static atomic_bool release_stalled;
static atomic_uint stalled; /* inside now */

struct pending {
	unsigned line;
	bool invalidate;
};
static __thread struct pending *pending;
static __thread unsigned pending_count;
static __thread bool acquired, is_submitter;
static __thread unsigned my_fences;

static nsdk_cpumask_t usable, two, one;
static pthread_key_t pending_key;

static uint64_t *word(unsigned line)
{
	return (uint64_t *)(void *)(memory + (size_t)line * NSDK_LINE_BYTES);
}

static void spring_trap(void)
{
	enum trap sprung;

	if (is_submitter)
		return;
	if (!nsdk_cpumask_test(&two, (unsigned)sched_getcpu()))
		atomic_fetch_add(&wrong_cpu, 1);
	sprung = atomic_exchange(&trap, TRAP_NONE);
	if (sprung == TRAP_EXIT)
		pthread_exit(NULL);
	if (sprung == TRAP_STALL) {
		atomic_fetch_add(&stalled, 1);
		while (!atomic_load(&release_stalled))
			usleep(500);
		atomic_fetch_sub(&stalled, 1);
	}
}

static void operate(const void *va, size_t lines, bool invalidate)
{
	uintptr_t offset = (uintptr_t)va - (uintptr_t)memory;

	spring_trap();
	if (offset % NSDK_LINE_BYTES != 0 || lines == 0 || lines > LINES ||
	    offset / NSDK_LINE_BYTES > LINES - lines) {
		atomic_fetch_add(&bad_ranges, 1);
		return;
	}
	if (!acquired)
		atomic_fetch_add(&acquires_missing, 1);
	if (pending == NULL) {
		pending = malloc(MOST_PENDING * sizeof(*pending));
		pthread_setspecific(pending_key, pending);
	}
	for (size_t i = 0; i < lines && pending_count < MOST_PENDING; i++)
		pending[pending_count++] =
			(struct pending){ (unsigned)(offset / NSDK_LINE_BYTES + i), invalidate };
}

static void writeback(const void *va, size_t lines)
{
	operate(va, lines, false);
}

static void writeback_invalidate(const void *va, size_t lines)
{
	operate(va, lines, true);
}

static void acquire_for_cpu(void)
{
	acquired = true;
}

/* Counted without any order, here and below, so that none is lent to the crew. */
static void take_effect(void)
{
	for (unsigned i = 0; i < pending_count; i++) {
		unsigned line = pending[i].line;

		atomic_fetch_add_explicit(pending[i].invalidate ? &invalidates[line] : &writebacks[line],
					  1, memory_order_relaxed);
		if (atomic_load_explicit(&copying, memory_order_relaxed))
			device_sees[line] = *word(line);
	}
	pending_count = 0;
	acquired = false;
	my_fences++;
}

static void fence_for_device(void)
{
	take_effect();
	atomic_fetch_add_explicit(&fences_for_device, 1, memory_order_relaxed);
}

static void fence_for_cpu(void)
{
	take_effect();
	atomic_fetch_add_explicit(&fences_for_cpu, 1, memory_order_relaxed);
}

static const struct nsdk_line_ops ops = {
	.name = "test",
	.writeback = writeback,
	.writeback_invalidate = writeback_invalidate,
	.acquire_for_cpu = acquire_for_cpu,
	.fence_for_device = fence_for_device,
	.fence_for_cpu = fence_for_cpu,
};

static struct nsdk_crew *crew;

static int start_suite(void)
{
	return -pthread_key_create(&pending_key, free);
}

static void clear_counts(void)
{
	for (unsigned i = 0; i < LINES; i++) {
		atomic_store_explicit(&writebacks[i], 0, memory_order_relaxed);
		atomic_store_explicit(&invalidates[i], 0, memory_order_relaxed);
	}
	atomic_store(&fences_for_device, 0);
	atomic_store(&fences_for_cpu, 0);
}

static void before(void)
{
	int first, second;

	is_submitter = true;
	crew = NULL;
	atomic_store(&copying, false);
	clear_counts();
	atomic_store(&acquires_missing, 0);
	atomic_store(&bad_ranges, 0);
	atomic_store(&wrong_cpu, 0);
	atomic_store(&trap, TRAP_NONE);
	atomic_store(&release_stalled, false);
	CU_ASSERT_EQUAL_FATAL(nsdk_cpumask_get_affinity(&usable), 0);
	first = nsdk_cpumask_next(&usable, 0);
	second = nsdk_cpumask_next(&usable, (unsigned)first + 1);
	memset(&one, 0, sizeof(one));
	nsdk_cpumask_set(&one, (unsigned)first);
	two = one;
	if (second < 0)
		nsdk_skip("two CPUs are needed");
	nsdk_cpumask_set(&two, (unsigned)second);
}

static void after(void)
{
	atomic_store(&release_stalled, true);
	nsdk_crew_destroy(crew);
	crew = NULL;
	NSDK_ASSERT_INT(atomic_load(&bad_ranges), 0);
	NSDK_ASSERT_INT(atomic_load(&acquires_missing), 0);
	NSDK_ASSERT_INT(atomic_load(&wrong_cpu), 0);
}

static void create(const nsdk_cpumask_t *cpus, uint64_t timeout_ns)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_crew_create(cpus, timeout_ns, &crew), 0);
	NSDK_ASSERT_INT(nsdk_crew_size(crew), nsdk_cpumask_weight(cpus));
}

static struct nsdk_crew_job *start(const struct nsdk_crew_range *ranges, unsigned count,
				   unsigned members, bool for_cpu)
{
	struct nsdk_crew_job *job = NULL;

	CU_ASSERT_EQUAL_FATAL(nsdk_crew_start(crew, &ops, ranges, count, members, for_cpu, &job), 0);
	return job;
}

static struct nsdk_crew_range range(unsigned first, unsigned end, bool invalidate)
{
	return (struct nsdk_crew_range){ LINE(first), LINE(end), invalidate };
}

/* Whether lines [first, end) had at least @p least and at most @p most of exactly this operation. */
static bool operated(unsigned first, unsigned end, bool invalidate, unsigned least, unsigned most)
{
	for (unsigned i = first; i < end; i++) {
		unsigned wanted = atomic_load(invalidate ? &invalidates[i] : &writebacks[i]);
		unsigned other = atomic_load(invalidate ? &writebacks[i] : &invalidates[i]);

		if (wanted < least || wanted > most || other != 0) {
			printf("# line %u: %u of the right operation, %u of the other\n", i, wanted, other);
			return false;
		}
	}
	return true;
}

/*
 * Until all lines of a job of write-backs that nobody polls were done by members. They count them behind
 * their fence, and then it is a matter of moments until its effect is seen here too, if there was one.
 */
static void wait_for_effect(void)
{
	uint64_t deadline_ns = nsdk_clock_ns() + NEVER_NS;
	struct nsdk_crew_stats stats;

	do
		nsdk_crew_stats(crew, &stats);
	while (stats.lines_by_members < LINES && nsdk_clock_ns() < deadline_ns);
	deadline_ns = nsdk_clock_ns() + NEVER_NS / 60;
	for (unsigned i = 0; i < LINES && nsdk_clock_ns() < deadline_ns;) {
		if (atomic_load(&writebacks[i]) > 0)
			i++;
		else
			usleep(100);
	}
}

static void wait_for_stall(void)
{
	uint64_t deadline_ns = nsdk_clock_ns() + NEVER_NS;

	while (atomic_load(&stalled) == 0 && nsdk_clock_ns() < deadline_ns)
		usleep(100);
	CU_ASSERT_EQUAL_FATAL(atomic_load(&stalled), 1);
}

static void wait_for_size(unsigned size)
{
	uint64_t deadline_ns = nsdk_clock_ns() + NEVER_NS;

	while (nsdk_crew_size(crew) != size && nsdk_clock_ns() < deadline_ns)
		usleep(100);
	NSDK_ASSERT_INT(nsdk_crew_size(crew), size);
}

/* ---- Lines ---- */

static void does_every_line_once(void)
{
	struct nsdk_crew_range all = range(0, LINES, false);
	struct nsdk_crew_stats stats;

	create(&two, NEVER_NS);
	nsdk_crew_finish(start(&all, 1, 2, false));
	CU_ASSERT_TRUE(operated(0, LINES, false, 1, 1));
	NSDK_ASSERT_INT(atomic_load(&fences_for_cpu), 0);
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.jobs, 1);
	NSDK_ASSERT_INT(stats.lines_by_members + stats.lines_by_submitters, LINES);
	NSDK_ASSERT_INT(stats.takeovers, 0);
	NSDK_ASSERT_INT(stats.members_lost, 0);
}

static void a_submitter_needs_nobody(void)
{
	struct nsdk_crew_range all = range(0, LINES, true);
	struct nsdk_crew_job *job;
	struct nsdk_crew_stats stats;
	unsigned polls = 1;

	create(&one, NEVER_NS);
	job = start(&all, 1, 0, true);
	while (!nsdk_crew_poll(job))
		polls++;
	/* A poll does 64 KiB at most. */
	CU_ASSERT_TRUE(polls >= LINES / 1024);
	CU_ASSERT_TRUE(operated(0, LINES, true, 1, 1));
	NSDK_ASSERT_INT(atomic_load(&fences_for_device), 0);
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.lines_by_submitters, LINES);
}

/* Members do it all; the submitter's poll only finds it done, and still has to fence. */
static void a_submitter_need_not_work(bool for_cpu)
{
	struct nsdk_crew_range all = range(0, LINES, false);
	struct nsdk_crew_job *job;
	unsigned fences;
	atomic_uint *kind = for_cpu ? &fences_for_cpu : &fences_for_device, before_poll;
	struct nsdk_crew_stats stats;

	create(&two, NEVER_NS);
	job = start(&all, 1, 2, for_cpu);
	/* The last lines are counted just before the last mark, of which nothing is seen from here. */
	wait_for_effect();
	fences = my_fences;
	before_poll = atomic_load(kind);
	while (!nsdk_crew_poll(job))
		fences = my_fences;
	NSDK_ASSERT_INT(my_fences, fences + 1);
	CU_ASSERT_TRUE(atomic_load(kind) > before_poll);
	NSDK_ASSERT_INT(atomic_load(for_cpu ? &fences_for_device : &fences_for_cpu), 0);
	CU_ASSERT_TRUE(operated(0, LINES, false, 1, 1));
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.lines_by_members, LINES);
}

static void members_do_it_all_for_the_device(void)
{
	a_submitter_need_not_work(false);
}

static void members_do_it_all_for_the_cpu(void)
{
	a_submitter_need_not_work(true);
}

static void an_empty_job_is_done_at_once(void)
{
	struct nsdk_crew_range none = range(5, 5, false);

	create(&one, NEVER_NS);
	CU_ASSERT_TRUE(nsdk_crew_poll(start(NULL, 0, 1, false)));
	CU_ASSERT_TRUE(nsdk_crew_poll(start(&none, 1, 1, false)));
	NSDK_ASSERT_INT(atomic_load(&fences_for_device), 2);
	CU_ASSERT_TRUE(operated(0, LINES, false, 0, 0));
}

/* Cut [0, lines) of the part at @p base into ranges, some left out. @return how many. */
static unsigned cut(struct nsdk_crew_range *ranges, unsigned most, unsigned base, unsigned lines,
		    unsigned *seed, char *expected)
{
	unsigned count = 0, longest = 1u << rand_r(seed) % 11;

	memset(expected, 0, lines);
	for (unsigned at = 0; at < lines && count < most;) {
		unsigned length = 1 + (unsigned)rand_r(seed) % longest;
		bool invalidate = rand_r(seed) % 2;

		length = length < lines - at ? length : lines - at;
		if (rand_r(seed) % 4 != 0) {
			ranges[count++] = range(base + at, base + at + length, invalidate);
			memset(expected + at, invalidate ? 'i' : 'w', length);
			for (unsigned i = 0; i < length; i++)
				*word(base + at + i) = (uint64_t)(unsigned)rand_r(seed);
		}
		at += length;
	}
	for (unsigned i = count; i > 1; i--) {
		unsigned other = (unsigned)rand_r(seed) % i;
		struct nsdk_crew_range moved = ranges[i - 1];

		ranges[i - 1] = ranges[other];
		ranges[other] = moved;
	}
	return count;
}

/* @return the first line that was not done as expected, or -1; the counts are cleared. */
static int check_part(unsigned base, unsigned lines, const char *expected)
{
	int wrong = -1;

	for (unsigned i = 0; i < lines; i++) {
		unsigned w = atomic_exchange(&writebacks[base + i], 0);
		unsigned v = atomic_exchange(&invalidates[base + i], 0);

		if ((w != (expected[i] == 'w') || v != (expected[i] == 'i') ||
		     (expected[i] && device_sees[base + i] != *word(base + i))) && wrong < 0)
			wrong = (int)(base + i);
	}
	return wrong;
}

static void does_any_ranges(void)
{
	static struct nsdk_crew_range ranges[NSDK_CREW_MAX_RANGES];
	static char expected[LINES];
	unsigned seed = 20260;

	atomic_store(&copying, true);
	create(&two, NEVER_NS);
	for (unsigned round = 0; round < 60; round++) {
		unsigned count = cut(ranges, NSDK_CREW_MAX_RANGES, 0, LINES, &seed, expected);
		struct nsdk_crew_job *job =
			start(ranges, count, (unsigned)rand_r(&seed) % 4, rand_r(&seed) % 2);

		/* They were copied. */
		memset(ranges, 0xff, sizeof(ranges));
		nsdk_crew_finish(job);
		NSDK_ASSERT_INT(check_part(0, LINES, expected), -1);
	}
}

static void count_huge(const void *va, size_t lines)
{
	(void)va;
	atomic_fetch_add(&fake_lines, lines);
}

static void no_fence(void)
{
}

static void does_more_than_fits_the_marks(void)
{
	static const struct nsdk_line_ops huge_ops = {
		.name = "huge",
		.writeback = count_huge,
		.writeback_invalidate = count_huge,
		.acquire_for_cpu = no_fence,
		.fence_for_device = no_fence,
		.fence_for_cpu = no_fence,
	};
	/* No memory is touched. */
	const struct nsdk_crew_range ranges[2] = {
		{ (uintptr_t)1 << 40, ((uintptr_t)1 << 40) + ((uintptr_t)3 << 30) + 64, false },
		{ (uintptr_t)1 << 42, ((uintptr_t)1 << 42) + ((uintptr_t)1 << 30) + 128, true },
	};
	struct nsdk_crew_job *job = NULL;

	create(&one, NEVER_NS);
	atomic_store(&fake_lines, 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_crew_start(crew, &huge_ops, ranges, 2, 1, false, &job), 0);
	nsdk_crew_finish(job);
	NSDK_ASSERT_INT(atomic_load(&fake_lines), (((uint64_t)4 << 30) + 192) / NSDK_LINE_BYTES);
}

/* ---- Several submitters, and none too many ---- */

#define SUBMITTERS 4u
#define ROUNDS 60u

static struct nsdk_crew *shared_crew;

static void *submit(void *arg)
{
	unsigned number = *(unsigned *)arg, lines = LINES / SUBMITTERS, base = number * lines;
	struct nsdk_crew_range ranges[64];
	char expected[LINES / SUBMITTERS];
	unsigned seed = number + 1;
	intptr_t wrong = 0;

	is_submitter = true;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned count = cut(ranges, 64, base, lines, &seed, expected);
		struct nsdk_crew_job *job;

		if (nsdk_crew_start(shared_crew, &ops, ranges, count, 2, round % 2, &job) != 0) {
			wrong++;
			continue;
		}
		while (!nsdk_crew_poll(job))
			;
		wrong += check_part(base, lines, expected) != -1;
		/* Small ones, that are often over before a member comes: the next is filled at once. */
		for (unsigned i = 0; i < 10; i++) {
			struct nsdk_crew_range small = range(base, base + 512, false);

			memset(expected, 0, sizeof(expected));
			memset(expected, 'w', 512);
			*word(base + i) = seed + i;
			*word(base + 511) = seed + i;
			if (nsdk_crew_start(shared_crew, &ops, &small, 1, 2, false, &job) != 0) {
				wrong++;
				continue;
			}
			nsdk_crew_finish(job);
			wrong += check_part(base, lines, expected) != -1;
		}
	}
	return (void *)wrong;
}

static void serves_several_submitters(void)
{
	pthread_t threads[SUBMITTERS];
	unsigned numbers[SUBMITTERS];
	struct nsdk_crew_stats stats;
	void *wrong;

	atomic_store(&copying, true);
	create(&two, NEVER_NS);
	shared_crew = crew;
	for (unsigned i = 0; i < SUBMITTERS; i++) {
		numbers[i] = i;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, submit, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < SUBMITTERS; i++) {
		pthread_join(threads[i], &wrong);
		NSDK_ASSERT_INT((intptr_t)wrong, 0);
	}
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.jobs, SUBMITTERS * ROUNDS * 11);
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, NEVER_NS), 0);
}

static void refuses_one_job_too_many(void)
{
	struct nsdk_crew_job *jobs[NSDK_CREW_MAX_JOBS], *none;
	unsigned each = LINES / NSDK_CREW_MAX_JOBS;
	struct nsdk_crew_range part;

	create(&one, NEVER_NS);
	nsdk_unit_log_start();
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++) {
		part = range(i * each, (i + 1) * each, false);
		jobs[i] = start(&part, 1, i % 2, false);
	}
	part = range(0, 1, false);
	NSDK_ASSERT_INT(nsdk_crew_start(crew, &ops, &part, 1, 1, false, &none), -EBUSY);
	CU_ASSERT_PTR_NULL(none);
	nsdk_crew_finish(jobs[3]);
	part = range(3 * each, 4 * each, false);
	jobs[3] = start(&part, 1, 1, false);
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++)
		nsdk_crew_finish(jobs[i]);
	CU_ASSERT_TRUE(operated(0, 3 * each, false, 1, 1));
	CU_ASSERT_TRUE(operated(3 * each, 4 * each, false, 2, 2));
	CU_ASSERT_TRUE(operated(4 * each, LINES, false, 1, 1));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
}

static void refuses_too_many_ranges(void)
{
	static struct nsdk_crew_range ranges[NSDK_CREW_MAX_RANGES + 1];
	struct nsdk_crew_job *job;

	create(&one, NEVER_NS);
	for (unsigned i = 0; i <= NSDK_CREW_MAX_RANGES; i++)
		ranges[i] = range(2 * i, 2 * i + 1, false);
	NSDK_ASSERT_INT(nsdk_crew_start(crew, &ops, ranges, NSDK_CREW_MAX_RANGES + 1, 1, false, &job),
			-E2BIG);
	CU_ASSERT_PTR_NULL(job);
	nsdk_crew_finish(start(ranges, NSDK_CREW_MAX_RANGES, 1, false));
	for (unsigned i = 0; i < NSDK_CREW_MAX_RANGES; i++)
		if (atomic_load(&writebacks[2 * i]) != 1 || atomic_load(&writebacks[2 * i + 1]) != 0)
			CU_FAIL("a range of the largest job was not done, or more than it");
}

/* ---- Who does not come back ---- */

/* A member is stuck in a job of lines [0, 4096), which is done all the same. */
static struct nsdk_crew_job *finish_under_a_stuck_member(void)
{
	struct nsdk_crew_range part = range(0, 4096, false);
	struct nsdk_crew_job *job;
	struct nsdk_crew_stats stats;

	atomic_store(&trap, TRAP_STALL);
	job = start(&part, 1, 1, false);
	wait_for_stall();
	nsdk_unit_log_start();
	nsdk_crew_finish(job);
	NSDK_ASSERT_ONE_SENTENCE("does not come back");
	nsdk_unit_log_stop();
	CU_ASSERT_TRUE(operated(0, 4096, false, 1, 1));
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.takeovers, 1);
	NSDK_ASSERT_INT(stats.members_lost, 1);
	return job;
}

static void takes_over_from_a_stuck_member(void)
{
	struct nsdk_crew_range part = range(4096, 8192, false);
	struct nsdk_crew_job *stuck, *job;
	unsigned used = 0;

	create(&two, SOON_NS);
	stuck = finish_under_a_stuck_member();
	NSDK_ASSERT_INT(nsdk_crew_size(crew), 1);
	/* Its job is not filled anew under it, whatever comes. */
	for (unsigned i = 0; i < 3 * NSDK_CREW_MAX_JOBS; i++) {
		job = start(&part, 1, 2, false);
		used += job == stuck;
		nsdk_crew_finish(job);
	}
	NSDK_ASSERT_INT(used, 0);
	CU_ASSERT_TRUE(operated(4096, 8192, false, 3 * NSDK_CREW_MAX_JOBS, UINT32_MAX));
	clear_counts();
	/* It comes back: late, with its own old lines, and then it is one of us again. */
	atomic_store(&release_stalled, true);
	wait_for_size(2);
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, NEVER_NS), 0);
	CU_ASSERT_TRUE(operated(0, 1024, false, 0, 1));
	CU_ASSERT_TRUE(operated(4096, LINES, false, 0, 0));
	job = start(&part, 1, 2, false);
	NSDK_ASSERT_INT(job == stuck, 1);
	nsdk_crew_finish(job);
	CU_ASSERT_TRUE(operated(4096, 8192, false, 1, UINT32_MAX));
}

/* As many as are stuck, jobs are missing; the first job that is unfinished meanwhile stays untouched. */
static void a_late_mark_is_not_taken_for_a_later_jobs(void)
{
	struct nsdk_crew_range part = range(8192, 8192 + 4096, false);
	struct nsdk_crew_job *jobs[NSDK_CREW_MAX_JOBS - 1], *none;

	create(&one, SOON_NS);
	finish_under_a_stuck_member();
	NSDK_ASSERT_INT(nsdk_crew_size(crew), 0);
	NSDK_ASSERT_INT(nsdk_crew_start(crew, &ops, &part, 1, 1, false, &none), -ENODEV);
	clear_counts();
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS - 1; i++)
		jobs[i] = start(&part, 1, 0, false);
	NSDK_ASSERT_INT(nsdk_crew_start(crew, &ops, &part, 1, 0, false, &none), -EBUSY);
	atomic_store(&release_stalled, true);
	wait_for_size(1);
	CU_ASSERT_TRUE(operated(8192, 8192 + 4096, false, 0, 0));
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS - 1; i++)
		nsdk_crew_finish(jobs[i]);
	CU_ASSERT_TRUE(operated(8192, 8192 + 4096, false, NSDK_CREW_MAX_JOBS - 1,
				NSDK_CREW_MAX_JOBS - 1));
}

static void tells_of_a_member_once(void)
{
	struct nsdk_crew_range part = range(0, 4096, false);
	struct nsdk_crew_job *job;
	struct nsdk_crew_stats stats;

	create(&one, SOON_NS);
	finish_under_a_stuck_member();
	atomic_store(&release_stalled, true);
	wait_for_size(1);
	atomic_store(&release_stalled, false);
	atomic_store(&trap, TRAP_STALL);
	job = start(&part, 1, 1, false);
	wait_for_stall();
	nsdk_unit_log_start();
	nsdk_crew_finish(job);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
	NSDK_ASSERT_INT(nsdk_crew_size(crew), 0);
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.members_lost, 2);
}

static void is_not_done_before_a_stuck_members_lines_are(void)
{
	struct nsdk_crew_range part = range(0, 4096, false);
	struct nsdk_crew_job *job;

	create(&two, NEVER_NS);
	atomic_store(&trap, TRAP_STALL);
	job = start(&part, 1, 1, false);
	wait_for_stall();
	/* One was asked, so the other does not come. */
	usleep(20 * 1000);
	CU_ASSERT_TRUE(operated(0, 4096, false, 0, 0));
	for (unsigned i = 0; i < 2000; i++)
		CU_ASSERT_FALSE_FATAL(nsdk_crew_poll(job));
	atomic_store(&release_stalled, true);
	nsdk_crew_finish(job);
	CU_ASSERT_TRUE(operated(0, 4096, false, 1, 1));
}

static void takes_over_from_a_member_that_ended(void)
{
	struct nsdk_crew_range part = range(0, 4096, true);
	struct nsdk_crew_job *job;
	struct nsdk_crew_stats stats;

	create(&one, SOON_NS);
	atomic_store(&trap, TRAP_EXIT);
	job = start(&part, 1, 1, true);
	wait_for_size(0);
	nsdk_unit_log_start();
	nsdk_crew_finish(job);
	NSDK_ASSERT_ONE_SENTENCE("has ended");
	CU_ASSERT_TRUE(operated(0, 4096, true, 1, 1));
	nsdk_crew_stats(crew, &stats);
	NSDK_ASSERT_INT(stats.takeovers, 1);
	NSDK_ASSERT_INT(stats.members_lost, 1);
	NSDK_ASSERT_INT(nsdk_crew_start(crew, &ops, &part, 1, 1, false, &job), -ENODEV);
	/* Who has ended has no clock any more, and nobody else's is taken for it. */
	NSDK_ASSERT_INT(nsdk_crew_cpu_ns(crew), 0);
	/* Nobody who has ended is inside of anything. */
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, 0), 0);
	nsdk_crew_destroy(crew);
	crew = NULL;
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
}

/* ---- Before memory goes ---- */

static void quiesce_waits_for_who_is_inside(void)
{
	create(&two, SOON_NS);
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, 0), 0);
	finish_under_a_stuck_member();
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, SOON_NS), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("stays mapped");
	nsdk_unit_log_stop();
	NSDK_ASSERT_INT(atomic_load(&stalled), 1);
	atomic_store(&release_stalled, true);
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, NEVER_NS), 0);
	NSDK_ASSERT_INT(atomic_load(&stalled), 0);
}

static void quiesce_does_not_wait_for_unfinished_jobs(void)
{
	struct nsdk_crew_range part = range(0, 4096, false);
	struct nsdk_crew_job *job;

	create(&one, NEVER_NS);
	atomic_store(&trap, TRAP_STALL);
	job = start(&part, 1, 1, false);
	wait_for_stall();
	NSDK_ASSERT_INT(nsdk_crew_quiesce(crew, NEVER_NS), 0);
	NSDK_ASSERT_INT(atomic_load(&stalled), 1);
	atomic_store(&release_stalled, true);
	nsdk_crew_finish(job);
}

/* ---- Looking ---- */

/* They spin while they have nothing to do, and what they have had does not become less. */
static void counts_its_cpu_time(void)
{
	uint64_t deadline_ns = nsdk_clock_ns() + NEVER_NS, last_ns, now_ns;

	create(&two, NEVER_NS);
	last_ns = nsdk_crew_cpu_ns(crew);
	do {
		now_ns = nsdk_crew_cpu_ns(crew);
		CU_ASSERT(now_ns >= last_ns);
		last_ns = now_ns;
	} while (now_ns < 2000000 && nsdk_clock_ns() < deadline_ns);
	CU_ASSERT(now_ns >= 2000000);
}

/* ---- Creation and end ---- */

static void ends_while_idle(void)
{
	create(&two, 0);
	usleep(20 * 1000);
	nsdk_unit_log_start();
	nsdk_crew_destroy(crew);
	nsdk_crew_destroy(NULL);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
	crew = NULL;
}

static void leaves_a_stuck_member_behind(void)
{
	create(&two, SOON_NS);
	finish_under_a_stuck_member();
	nsdk_unit_log_start();
	nsdk_crew_destroy(crew);
	NSDK_ASSERT_ONE_SENTENCE("left behind");
	nsdk_unit_log_stop();
	crew = NULL;
	NSDK_ASSERT_INT(atomic_load(&stalled), 1);
	/* Nobody may unmap what it is inside of, though its crew is gone. */
	NSDK_ASSERT_INT(nsdk_crew_stragglers(), 1);
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_flusher_quiesce(), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("stays mapped");
	nsdk_unit_log_stop();
	/* The memory that it comes back to is there, and it frees it: the sanitizers watch. */
	atomic_store(&release_stalled, true);
	while (atomic_load(&stalled) > 0)
		usleep(100);
	while (nsdk_crew_stragglers() > 0)
		usleep(100);
	NSDK_ASSERT_INT(nsdk_flusher_quiesce(), 0);
	usleep(20 * 1000);
}

static void refuses_cpus_that_are_not_there(void)
{
	char root[] = "/tmp/nsdk-crew-XXXXXX", path[128];
	const char *sysfs = nsdk_env_sysfs_root;
	nsdk_cpumask_t none = { { 0 } };
	int first = nsdk_cpumask_next(&one, 0);
	FILE *file;

	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_crew_create(&none, 0, &crew), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("list of flush CPUs is empty");
	CU_ASSERT_PTR_NULL(crew);
	CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(one), (const cpu_set_t *)(const void *)&one), 0);
	NSDK_ASSERT_INT(nsdk_crew_create(&two, 0, &crew), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("not among those that this process may use");
	CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(usable), (const cpu_set_t *)(const void *)&usable), 0);
	nsdk_cpumask_set(&none, NSDK_MAX_CPUS - 1);
	NSDK_ASSERT_INT(nsdk_crew_create(&none, 0, &crew), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("CPU 1023");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
	snprintf(path, sizeof(path), "mkdir -p %s/devices/system/cpu", root);
	CU_ASSERT_EQUAL(system(path), 0);
	snprintf(path, sizeof(path), "%s/devices/system/cpu/online", root);
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fprintf(file, "%d\n", first);
	fclose(file);
	nsdk_env_sysfs_root = root;
	NSDK_ASSERT_INT(nsdk_crew_create(&two, 0, &crew), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("is not online");
	nsdk_env_sysfs_root = sysfs;
	snprintf(path, sizeof(path), "rm -r %s", root);
	CU_ASSERT_EQUAL(system(path), 0);
	nsdk_unit_log_stop();
	CU_ASSERT_PTR_NULL(crew);
}

/* Memory runs out in fake_device.c, beside this. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return nsdk_unit_fails_now() ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

/* What is left behind, the leak checker finds. */
static void undoes_what_fails(void)
{
	nsdk_unit_log_start();
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc = nsdk_crew_create(&two, 0, &crew);

		if (nsdk_unit_failed()) {
			CU_ASSERT_TRUE(rc == -ENOMEM || rc == -EAGAIN);
			CU_ASSERT_PTR_NULL(crew);
			NSDK_ASSERT_ONE_SENTENCE(rc == -ENOMEM ? "no memory" : "leave that CPU out");
		} else {
			NSDK_ASSERT_INT(rc, 0);
			nsdk_crew_destroy(crew);
		}
		crew = NULL;
	}
	nsdk_unit_log_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(does_every_line_once),
	NSDK_UNIT_TEST(a_submitter_needs_nobody),
	NSDK_UNIT_TEST(members_do_it_all_for_the_device),
	NSDK_UNIT_TEST(members_do_it_all_for_the_cpu),
	NSDK_UNIT_TEST(an_empty_job_is_done_at_once),
	NSDK_UNIT_TEST(does_any_ranges),
	NSDK_UNIT_TEST(does_more_than_fits_the_marks),
	NSDK_UNIT_TEST(serves_several_submitters),
	NSDK_UNIT_TEST(refuses_one_job_too_many),
	NSDK_UNIT_TEST(refuses_too_many_ranges),
	NSDK_UNIT_TEST(takes_over_from_a_stuck_member),
	NSDK_UNIT_TEST(a_late_mark_is_not_taken_for_a_later_jobs),
	NSDK_UNIT_TEST(tells_of_a_member_once),
	NSDK_UNIT_TEST(is_not_done_before_a_stuck_members_lines_are),
	NSDK_UNIT_TEST(takes_over_from_a_member_that_ended),
	NSDK_UNIT_TEST(quiesce_waits_for_who_is_inside),
	NSDK_UNIT_TEST(quiesce_does_not_wait_for_unfinished_jobs),
	NSDK_UNIT_TEST(counts_its_cpu_time),
	NSDK_UNIT_TEST(ends_while_idle),
	NSDK_UNIT_TEST(leaves_a_stuck_member_behind),
	NSDK_UNIT_TEST(refuses_cpus_that_are_not_there),
	NSDK_UNIT_TEST(undoes_what_fails),
};

NSDK_UNIT_MAIN("lib/coherence/crew", tests, .start = start_suite, .before = before, .after = after)
