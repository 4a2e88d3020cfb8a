/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gate's rules, with a way in that only notes on which CPU it was run, or fails as told.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/env.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/coherence/gate.h"
#include "nsdk_unit.h"

static struct {
	atomic_uint runs[2];
	atomic_uint wrong_cpu;
	unsigned opened, closed, proofs;
	bool evicts; /* really throws its caller's lines out, as WBINVD does */
	bool shows;  /* the machine's clock shows whether a line is cached; else time passes evenly */
	int open_error, proof_error;
	atomic_int run_error;
	atomic_bool hangs, hanging; /* CPU 1 stays inside; it is inside */
	uint64_t back_ns;           /* how much the clock is behind, which brings deadlines closer */
	_Atomic uint64_t still_ns;  /* not 0: where the clock stands */
} fake;

uint64_t __wrap_nsdk_clock_ns(void);
uint64_t __real_nsdk_clock_ns(void);

uint64_t __wrap_nsdk_clock_ns(void)
{
	uint64_t still = fake.still_ns;

	return still ? still : __real_nsdk_clock_ns() - fake.back_ns;
}

uint64_t __wrap_nsdk_ticks(void);
uint64_t __real_nsdk_ticks(void);

uint64_t __wrap_nsdk_ticks(void)
{
	static _Thread_local uint64_t ticks; /* nobody else makes it go faster */

	return fake.shows ? __real_nsdk_ticks() : ticks++;
}

static int fake_open(void **priv, const nsdk_cpumask_t *cpus, char *reason, size_t reason_bytes)
{
	(void)cpus;
	if (fake.open_error != 0) {
		snprintf(reason, reason_bytes, "no way in");
		return fake.open_error;
	}
	fake.opened++;
	*priv = &fake;
	return 0;
}

static void fake_close(void *priv)
{
	CU_ASSERT_PTR_EQUAL(priv, &fake);
	fake.proofs = 0; /* the proofs go with the virtual machine that held them */
	fake.closed++;
}

static int fake_add(void *priv, int device_fd, char *reason, size_t reason_bytes)
{
	(void)priv;
	(void)device_fd;
	if (fake.proof_error != 0) {
		snprintf(reason, reason_bytes, "not a proof");
		return fake.proof_error;
	}
	fake.proofs++;
	return 0;
}

static void fake_remove(void *priv, int device_fd)
{
	(void)priv;
	(void)device_fd;
	fake.proofs--;
}

/*
 * Sweeps through more memory than a cache holds, so that the caller's lines go. Not for the thread
 * sanitizer: what is in there does not matter, and a gate has a deadline.
 */
__attribute__((no_sanitize_thread)) static void evict_everything(void)
{
	static char sweep[64 << 20];

	for (size_t i = 0; i < sizeof(sweep); i += NSDK_LINE_BYTES)
		((volatile char *)sweep)[i]++;
}

static int fake_run(void *priv, unsigned cpu)
{
	int error = atomic_load(&fake.run_error);

	(void)priv;
	if (sched_getcpu() != (int)cpu || cpu > 1)
		atomic_fetch_add(&fake.wrong_cpu, 1);
	else
		atomic_fetch_add(&fake.runs[cpu], 1);
	if (fake.evicts)
		evict_everything();
	if (cpu == 1 && atomic_load(&fake.hangs)) {
		atomic_store(&fake.hanging, true);
		while (atomic_load(&fake.hangs))
			usleep(1000);
		atomic_store(&fake.hanging, false);
	}
	return error;
}

static const struct nsdk_gate_ops ops = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.add_proof = fake_add,
	.remove_proof = fake_remove,
	.run = fake_run,
};

static struct nsdk_gate *gate;
static nsdk_cpumask_t both, only_0, only_1;

static void before(void)
{
	nsdk_cpumask_t mine;

	memset(&fake, 0, sizeof(fake));
	memset(&both, 0, sizeof(both));
	only_0 = only_1 = both;
	nsdk_cpumask_set(&both, 0);
	nsdk_cpumask_set(&both, 1);
	nsdk_cpumask_set(&only_0, 0);
	nsdk_cpumask_set(&only_1, 1);
	gate = NULL;
	CU_ASSERT_EQUAL_FATAL(nsdk_cpumask_get_affinity(&mine), 0);
	if (!nsdk_cpumask_test(&mine, 0) || !nsdk_cpumask_test(&mine, 1))
		nsdk_skip("CPUs 0 and 1 are needed");
}

static void after(void)
{
	nsdk_gate_destroy(gate);
	NSDK_ASSERT_INT(atomic_load(&fake.wrong_cpu), 0);
	NSDK_ASSERT_INT(fake.closed, fake.opened);
}

/* Created and opened; what opening executed is left out of the counts. */
static void open_gate(const nsdk_cpumask_t *cpus, unsigned per_second)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_gate_create(&ops, cpus, per_second, &gate), 0);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 7, true), 0);
	CU_ASSERT_TRUE_FATAL(nsdk_gate_is_open(gate));
	NSDK_ASSERT_TEXT(nsdk_gate_reason(gate), "");
	NSDK_ASSERT_INT(nsdk_gate_executed_on(gate, 0), atomic_load(&fake.runs[0]));
	atomic_store(&fake.runs[0], 0);
	atomic_store(&fake.runs[1], 0);
}

static void runs_on_exactly_the_mask(void)
{
	uint64_t before_0;

	open_gate(&both, 100);
	before_0 = nsdk_gate_executed_on(gate, 0);
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_1), 0);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), 0);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[1]), 1);
	NSDK_ASSERT_INT(nsdk_gate_executed_on(gate, 0), before_0);
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), 0);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), 1);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[1]), 2);
}

static void is_closed_until_there_is_a_proof(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_gate_create(&ops, &both, 0, &gate), 0);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), -EPERM);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 7, false), -EOPNOTSUPP);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	CU_ASSERT_PTR_NOT_NULL(strstr(nsdk_gate_reason(gate), "does not permit"));
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), -EPERM);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]) + atomic_load(&fake.runs[1]), 0);
	NSDK_ASSERT_INT(fake.opened, 0);
}

static void closes_with_the_last_device(void)
{
	open_gate(&both, 100);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 8, true), 0);
	nsdk_gate_remove_device(gate, 7);
	CU_ASSERT_TRUE(nsdk_gate_is_open(gate));
	nsdk_gate_remove_device(gate, 8);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(nsdk_gate_reason(gate), "has gone"));
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 9, true), 0);
	CU_ASSERT_TRUE(nsdk_gate_is_open(gate));
	nsdk_gate_remove_device(gate, 9);
}

static void says_why_there_is_no_way_in(void)
{
	fake.open_error = -EACCES;
	CU_ASSERT_EQUAL_FATAL(nsdk_gate_create(&ops, &both, 0, &gate), 0);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 7, true), -EOPNOTSUPP);
	NSDK_ASSERT_TEXT(nsdk_gate_reason(gate), "no way in");
	fake.open_error = 0;
	fake.proof_error = -EINVAL;
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 7, true), -EOPNOTSUPP);
	NSDK_ASSERT_TEXT(nsdk_gate_reason(gate), "not a proof");
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), -EPERM);
}

/* One load's time: a full fence on either side, so that it is the load's and nothing else's. */
static uint64_t time_load(void *const *from)
{
	uint64_t start;

	atomic_thread_fence(memory_order_seq_cst);
	start = nsdk_ticks();
	atomic_thread_fence(memory_order_seq_cst);
	(void)*(void *const volatile *)from;
	nsdk_line_ops_cpu()->fence_for_cpu();
	return nsdk_ticks() - start;
}

/* Whether this machine shows a flushed line as clearly slower than a cached one. */
static bool machine_shows_flushes(void)
{
	static void *line[NSDK_LINE_BYTES / sizeof(void *)] __attribute__((aligned(NSDK_LINE_BYTES)));
	const struct nsdk_line_ops *lines = nsdk_line_ops_cpu();
	uint64_t hot = UINT64_MAX, cold = UINT64_MAX, ticks;

	for (unsigned i = 0; i < 50; i++) {
		(void)time_load(line);
		ticks = time_load(line);
		hot = ticks < hot ? ticks : hot;
		lines->writeback_invalidate(line, 1);
		lines->fence_for_cpu();
		ticks = time_load(line);
		cold = ticks < cold ? ticks : cold;
	}
	printf("# a cached load: %llu ticks, a flushed one: %llu\n", (unsigned long long)hot,
	       (unsigned long long)cold);
	return cold > 2 * hot;
}

static void stays_closed_when_lines_stay_in_the_cache(void)
{
	fake.shows = true;
	if (!machine_shows_flushes())
		nsdk_skip("this machine does not show whether a line is cached");
	CU_ASSERT_EQUAL_FATAL(nsdk_gate_create(&ops, &only_0, 0, &gate), 0);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 7, true), -EOPNOTSUPP);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	CU_ASSERT_PTR_NOT_NULL(strstr(nsdk_gate_reason(gate), "skips WBINVD"));
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), -EPERM);
	NSDK_ASSERT_INT(fake.proofs, 0);
}

/* Polled as a reactor would, at most for some seconds. */
static int poll_to_the_end(void)
{
	int rc = 1;

	for (unsigned i = 0; i < 10000 && rc == 1; i++) {
		rc = nsdk_gate_poll(gate);
		if (rc == 1)
			usleep(1000);
	}
	return rc;
}

static pthread_t releaser;

static void *release_in_a_while(void *arg)
{
	usleep(20000);
	atomic_store(&fake.hangs, false);
	return arg;
}

static void opens_when_lines_leave_the_cache(void)
{
	int rc = -EOPNOTSUPP;

	fake.shows = true;
	fake.evicts = true;
	if (!machine_shows_flushes())
		nsdk_skip("this machine does not show whether a line is cached");
	CU_ASSERT_EQUAL_FATAL(nsdk_gate_create(&ops, &only_0, 0, &gate), 0);
	/* Sweeping throws lines out of most caches mostly; the instruction is surer. */
	for (unsigned i = 0; i < 20 && rc != 0; i++)
		rc = nsdk_gate_add_device(gate, 7, true);
	NSDK_ASSERT_INT(rc, 0);
	CU_ASSERT_TRUE(nsdk_gate_is_open(gate));
}

static void a_lost_cpu_is_not_asked_again(void)
{
	open_gate(&both, 100);
	atomic_store(&fake.hangs, true);
	fake.back_ns = (uint64_t)5100 * 1000 * 1000;
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), 0);
	while (!atomic_load(&fake.hanging))
		usleep(1000);
	fake.back_ns = 0;
	NSDK_ASSERT_INT(poll_to_the_end(), -EIO);
	/* Its answer to the first request may come at any time, and is none to a second. */
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &only_1), -EPERM);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 8, true), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &only_1), -EPERM);
	atomic_store(&fake.hangs, false);
	nsdk_gate_remove_device(gate, 7);
}

/* The proof goes while an execution that rests on it is under way. */
static void what_is_under_way_when_its_proof_goes_is_not_believed(void)
{
	open_gate(&both, 100);
	atomic_store(&fake.hangs, true);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), 0);
	while (!atomic_load(&fake.hanging))
		usleep(1000);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&releaser, NULL, release_in_a_while, NULL), 0);
	nsdk_gate_remove_device(gate, 7);
	/* Closed behind the execution, not under it. */
	CU_ASSERT_FALSE(atomic_load(&fake.hanging));
	NSDK_ASSERT_INT(fake.closed, 1);
	NSDK_ASSERT_INT(nsdk_gate_poll(gate), -EIO);
	pthread_join(releaser, NULL);
}

static void keeps_to_its_budget(void)
{
	struct nsdk_gate_stats stats;
	open_gate(&both, 3);
	fake.still_ns = __real_nsdk_clock_ns();
	for (unsigned i = 0; i < 20; i++)
		NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), i < 3 ? 0 : -EAGAIN);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), 3);
	nsdk_gate_stats(gate, &stats);
	NSDK_ASSERT_INT(stats.refused_budget, 17);
	fake.still_ns += 600 * 1000000ull;
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), -EAGAIN); /* costs two */
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), 0);
	fake.still_ns += 600 * 1000000ull;
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), 0);
	/* It holds one second's worth, however long nobody wanted any. */
	fake.still_ns += 60000 * 1000000ull;
	for (unsigned i = 0; i < 5; i++)
		NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), i < 3 ? 0 : -EAGAIN);
	fake.still_ns = 0;
}

static void a_mask_beyond_the_gate_runs_nowhere(void)
{
	open_gate(&only_0, 100);
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), -EPERM);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), 0);
}

static void a_failure_is_never_taken_for_success(void)
{
	struct nsdk_gate_stats stats;

	open_gate(&both, 100);
	atomic_store(&fake.run_error, -EIO);
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), -EIO);
	atomic_store(&fake.run_error, 0);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), -EPERM);
	nsdk_gate_stats(gate, &stats);
	NSDK_ASSERT_INT(stats.failed, 1);
	nsdk_gate_remove_device(gate, 7);
}

/* What a late CPU is still inside of must not be closed under it. */
static void waits_for_a_late_cpu_before_it_closes(void)
{
	open_gate(&both, 100);
	atomic_store(&fake.hangs, true);
	fake.back_ns = (uint64_t)4900 * 1000 * 1000;
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &both), -EIO);
	fake.back_ns = 0;
	CU_ASSERT_TRUE(atomic_load(&fake.hanging));
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	nsdk_gate_remove_device(gate, 7);
	NSDK_ASSERT_INT(fake.closed, 0);
	NSDK_ASSERT_INT(nsdk_gate_add_device(gate, 8, true), -EOPNOTSUPP);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	NSDK_ASSERT_INT(fake.closed, 0);
	atomic_store(&fake.hangs, false);
	nsdk_gate_destroy(gate);
	gate = NULL;
	CU_ASSERT_FALSE(atomic_load(&fake.hanging));
	NSDK_ASSERT_INT(fake.closed, 1);
}

static void runs_without_being_waited_for(void)
{
	open_gate(&both, 100);
	atomic_store(&fake.hangs, true);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), 0);
	/* CPU 1 is still inside: it is not over, and nobody else gets in. */
	while (!atomic_load(&fake.hanging))
		usleep(1000);
	NSDK_ASSERT_INT(nsdk_gate_poll(gate), 1);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &only_0), -EBUSY);
	NSDK_ASSERT_INT(nsdk_gate_wbinvd(gate, &only_0), -EBUSY);
	atomic_store(&fake.hangs, false);
	NSDK_ASSERT_INT(poll_to_the_end(), 0);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), 1);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[1]), 1);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &only_1), 0);
	NSDK_ASSERT_INT(poll_to_the_end(), 0);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), 1);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[1]), 2);
}

static void what_is_not_waited_for_obeys_the_same_rules(void)
{
	unsigned done = 0;

	open_gate(&only_0, 2);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), -EPERM);
	for (unsigned i = 0; i < 10; i++) {
		int rc = nsdk_gate_start(gate, &only_0);

		if (rc == 0)
			NSDK_ASSERT_INT(poll_to_the_end(), 0);
		else
			NSDK_ASSERT_INT(rc, -EAGAIN);
		done += rc == 0;
	}
	CU_ASSERT_TRUE(done == 2 || done == 3);
	NSDK_ASSERT_INT(atomic_load(&fake.runs[0]), done);
}

static void a_failure_that_is_polled_is_one(void)
{
	open_gate(&both, 100);
	atomic_store(&fake.run_error, -EIO);
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), 0);
	NSDK_ASSERT_INT(poll_to_the_end(), -EIO);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), -EPERM);
	nsdk_gate_remove_device(gate, 7);
}

static void a_late_cpu_is_not_believed(void)
{
	open_gate(&both, 100);
	atomic_store(&fake.hangs, true);
	fake.back_ns = (uint64_t)5100 * 1000 * 1000;
	NSDK_ASSERT_INT(nsdk_gate_start(gate, &both), 0);
	while (!atomic_load(&fake.hanging))
		usleep(1000);
	NSDK_ASSERT_INT(nsdk_gate_poll(gate), 1);
	fake.back_ns = 0;
	NSDK_ASSERT_INT(poll_to_the_end(), -EIO);
	CU_ASSERT_FALSE(nsdk_gate_is_open(gate));
	atomic_store(&fake.hangs, false);
	nsdk_gate_remove_device(gate, 7);
}

static void needs_a_cpu(void)
{
	nsdk_cpumask_t none;

	memset(&none, 0, sizeof(none));
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_gate_create(&ops, &none, 0, &gate), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("at least one CPU");
	nsdk_cpumask_set(&none, NSDK_MAX_CPUS - 1);
	NSDK_ASSERT_INT(nsdk_gate_create(&ops, &none, 0, &gate), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("CPU 1023");
	nsdk_unit_log_stop();
	gate = NULL;
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(runs_on_exactly_the_mask),
	NSDK_UNIT_TEST(is_closed_until_there_is_a_proof),
	NSDK_UNIT_TEST(closes_with_the_last_device),
	NSDK_UNIT_TEST(says_why_there_is_no_way_in),
	NSDK_UNIT_TEST(stays_closed_when_lines_stay_in_the_cache),
	NSDK_UNIT_TEST(opens_when_lines_leave_the_cache),
	NSDK_UNIT_TEST(a_lost_cpu_is_not_asked_again),
	NSDK_UNIT_TEST(what_is_under_way_when_its_proof_goes_is_not_believed),
	NSDK_UNIT_TEST(keeps_to_its_budget),
	NSDK_UNIT_TEST(a_mask_beyond_the_gate_runs_nowhere),
	NSDK_UNIT_TEST(a_failure_is_never_taken_for_success),
	NSDK_UNIT_TEST(waits_for_a_late_cpu_before_it_closes),
	NSDK_UNIT_TEST(runs_without_being_waited_for),
	NSDK_UNIT_TEST(what_is_not_waited_for_obeys_the_same_rules),
	NSDK_UNIT_TEST(a_failure_that_is_polled_is_one),
	NSDK_UNIT_TEST(a_late_cpu_is_not_believed),
	NSDK_UNIT_TEST(needs_a_cpu),
};

NSDK_UNIT_MAIN("lib/coherence/gate", tests, .before = before, .after = after)
