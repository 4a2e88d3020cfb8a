/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways that take turns, on a machine whose every timing is made up: one that drifts, is taken away for a
 * while, is noisy, has two moods. What comes out has to be the truth, and the planner has to choose by
 * it. No real clock, no flush CPU and no line operation is involved.
 */
#include <errno.h>
#include <string.h>

#include <nsdk/env.h>

#include "lib/coherence/tune.h"
#include "nsdk_unit.h"

#define KIB 1024u
#define LINE_NS 2u
#define CREW_START_NS 20000u

static struct {
	uint64_t now_ns;
	uint64_t drift_ns;     /* after so long everything takes twice as long, then three times; 0: never */
	uint64_t burst_from_ns, burst_to_ns; /* the flush CPUs are busy elsewhere */
	unsigned crew_percent; /* of what the lines take, in place of the usual; 0: the usual */
	unsigned mood_percent; /* so many of a hundred samples of crews take as long as lines */
	unsigned noise_percent; /* up to so much more or less */
	uint64_t seed;
	unsigned crowded_each; /* every so many samples another is at work, and it takes ten times as long */
	int crew_error;
	unsigned crew_errors;  /* so many times */
	unsigned samples, crews;
	uint64_t first_crew_ns, last_crew_ns;
	unsigned order[64], ordered;
} machine;

static uint64_t truth_ns(enum nsdk_tune_what what, unsigned cpus, uint64_t bytes)
{
	uint64_t lines_ns = bytes / NSDK_LINE_BYTES * LINE_NS;

	if (what != NSDK_TUNE_CREW)
		return lines_ns;
	if (machine.crew_percent != 0)
		return lines_ns * machine.crew_percent / 100;
	return CREW_START_NS + lines_ns / (cpus + 1);
}

static uint64_t random_below(uint64_t limit)
{
	machine.seed = machine.seed * 6364136223846793005u + 1442695040888963407u;
	return (machine.seed >> 33) % limit;
}

static uint64_t crew_ns(unsigned cpus, uint64_t bytes)
{
	uint64_t ns = truth_ns(NSDK_TUNE_CREW, cpus, bytes);

	if (machine.crews == 0)
		machine.first_crew_ns = machine.now_ns;
	machine.last_crew_ns = machine.now_ns;
	machine.crews++;
	if (machine.mood_percent != 0 && random_below(100) < machine.mood_percent)
		ns = truth_ns(NSDK_TUNE_LINES, 1, bytes);
	if (machine.now_ns >= machine.burst_from_ns && machine.now_ns < machine.burst_to_ns)
		ns *= 4;
	return ns;
}

int __wrap_nsdk_tune_sample(struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
			    uint64_t *ns, bool *alone);
int __wrap_nsdk_tune_sample(struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
			    uint64_t *ns, bool *alone)
{
	enum nsdk_tune_what what = subject->what;
	unsigned cpus = subject->cpus;
	struct nsdk_plan plan = { .kind = NSDK_PLAN_LINES };

	if (machine.ordered < sizeof(machine.order) / sizeof(machine.order[0]))
		machine.order[machine.ordered++] = what == NSDK_TUNE_CREW ? cpus : 0;
	if (subject->planner != NULL) {
		nsdk_tune_choose(tune, subject, bytes, &plan);
		what = plan.kind == NSDK_PLAN_CREW ? NSDK_TUNE_CREW : NSDK_TUNE_LINES;
		cpus = plan.crew_cpus;
	}
	if (what == NSDK_TUNE_CREW && machine.crew_errors > 0) {
		machine.crew_errors--;
		machine.now_ns += 1000000;
		return machine.crew_error;
	}
	*ns = what == NSDK_TUNE_CREW ? crew_ns(cpus, bytes) : truth_ns(what, cpus, bytes);
	if (machine.noise_percent != 0)
		*ns = *ns *
		      (100 - machine.noise_percent + random_below(2ull * machine.noise_percent + 1)) / 100;
	if (machine.drift_ns != 0)
		*ns += (uint64_t)((unsigned __int128)*ns * machine.now_ns / machine.drift_ns);
	machine.samples++;
	*alone = machine.crowded_each == 0 || machine.samples % machine.crowded_each != 0;
	if (!*alone)
		*ns *= 10;
	if (subject->planner != NULL)
		nsdk_learner_took(tune->learner, *ns, true);
	/* The preparing takes its time too. */
	machine.now_ns += 2 * *ns;
	return 0;
}

int __wrap_nsdk_tune_pin(unsigned cpu);
int __wrap_nsdk_tune_pin(unsigned cpu)
{
	(void)cpu;
	return 0;
}

static char some_crew;

int __wrap_nsdk_tune_open_crew(struct tune *tune, unsigned cpu);
int __wrap_nsdk_tune_open_crew(struct tune *tune, unsigned cpu)
{
	(void)cpu;
	tune->crew = (struct nsdk_crew *)(void *)&some_crew;
	return 0;
}

void __wrap_nsdk_crew_stats(const struct nsdk_crew *crew, struct nsdk_crew_stats *out);
void __wrap_nsdk_crew_stats(const struct nsdk_crew *crew, struct nsdk_crew_stats *out)
{
	CU_ASSERT_PTR_EQUAL(crew, &some_crew);
	memset(out, 0, sizeof(*out));
}

void __wrap_nsdk_crew_destroy(struct nsdk_crew *crew);
void __wrap_nsdk_crew_destroy(struct nsdk_crew *crew)
{
	(void)crew;
}

uint64_t __wrap_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void)
{
	return machine.now_ns;
}

/* ---- Tests ---- */

static const uint64_t sizes[] = { 4 * KIB,   16 * KIB,  64 * KIB,   256 * KIB,
				  512 * KIB, 1024 * KIB, 2048 * KIB, 4096 * KIB };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct nsdk_profile *profile;
static struct nsdk_planner planner;
static struct nsdk_tune_opts opts;

static void before(void)
{
	nsdk_cpumask_t ours;
	int cpu;

	memset(&machine, 0, sizeof(machine));
	machine.seed = 1;
	if (nsdk_cpumask_get_affinity(&ours) != 0)
		nsdk_skip("the affinity cannot be read");
	cpu = nsdk_cpumask_next(&ours, 0);
	opts = (struct nsdk_tune_opts){
		.opts_bytes = sizeof(opts),
		.sizes = sizes,
		.size_count = SIZES,
	};
	nsdk_cpumask_set(&opts.cpus, (unsigned)cpu);
	/* Nobody goes there: the crew is made up. */
	nsdk_cpumask_set(&opts.flush_cpus, cpu == 0 ? 1 : 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_profile_create(&profile), 0);
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_profile_free(profile);
	profile = NULL;
	nsdk_unit_log_stop();
}

static void tune(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_tune_flush(&opts, profile), 0);
	nsdk_planner_from_profile(&planner, profile);
}

static const struct nsdk_tune_point *point_of(enum nsdk_tune_what what, enum nsdk_tune_way way, unsigned i)
{
	const struct nsdk_tune_table *table = nsdk_profile_table(profile, what, way, NSDK_TUNE_DIRTY, 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(table);
	NSDK_ASSERT_INT(table->count, SIZES);
	NSDK_ASSERT_INT(table->points[i].bytes, sizes[i]);
	return &table->points[i];
}

static enum nsdk_plan_kind choice(enum nsdk_tune_way way, uint64_t bytes)
{
	uint64_t lines = bytes / NSDK_LINE_BYTES;
	struct nsdk_plan_input in = {
		.writeback_lines = way == NSDK_TUNE_WRITEBACK ? lines : 0,
		.invalidate_lines = way == NSDK_TUNE_WRITEBACK ? 0 : lines,
		.ranges = 1,
		.crew_cpus = 1,
	};
	struct nsdk_plan plan;

	nsdk_planner_choose(&planner, &in, &plan);
	return plan.kind;
}

/* At every size the tables have the ratio that is true, and the planner takes what is faster. */
static void assert_the_truth(void)
{
	for (unsigned way = 0; way < 2; way++) {
		for (unsigned i = 0; i < SIZES; i++) {
			uint64_t lines_ns = truth_ns(NSDK_TUNE_LINES, 1, sizes[i]);
			uint64_t crew = truth_ns(NSDK_TUNE_CREW, 1, sizes[i]);
			double measured =
				(double)point_of(NSDK_TUNE_CREW, (enum nsdk_tune_way)way, i)->ns /
				(double)point_of(NSDK_TUNE_LINES, (enum nsdk_tune_way)way, i)->ns;

			CU_ASSERT(measured > 0.98 * (double)crew / (double)lines_ns);
			CU_ASSERT(measured < 1.02 * (double)crew / (double)lines_ns);
			NSDK_ASSERT_INT(choice((enum nsdk_tune_way)way, sizes[i]),
					crew < lines_ns ? NSDK_PLAN_CREW : NSDK_PLAN_LINES);
		}
	}
}

static void a_machine_at_rest(void)
{
	tune();
	assert_the_truth();
	/* Both occur, or nothing was shown. */
	NSDK_ASSERT_INT(choice(NSDK_TUNE_WRITEBACK, sizes[0]), NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choice(NSDK_TUNE_WRITEBACK, sizes[SIZES - 1]), NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(point_of(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 3)->ns, 4096 * LINE_NS);
	NSDK_ASSERT_INT(point_of(NSDK_TUNE_CREW, NSDK_TUNE_WRITEBACK, 3)->ns, CREW_START_NS + 4096);
}

/* First all samples of the one, then all of the other, medians: what takes turns is compared with. */
static double one_after_the_other(uint64_t bytes)
{
	static const enum nsdk_tune_what whats[] = { NSDK_TUNE_LINES, NSDK_TUNE_CREW };
	uint64_t samples[101], medians[2];
	struct tune bench = { .crew_cpus = 1 };
	bool alone;

	for (unsigned k = 0; k < 2; k++) {
		struct tune_subject subject = { .what = whats[k], .cpus = 1 };

		for (unsigned i = 0; i < 101; i++)
			(void)nsdk_tune_sample(&bench, &subject, bytes, &samples[i], &alone);
		medians[k] = nsdk_tune_quantile(samples, 101, 50);
	}
	return (double)medians[1] / (double)medians[0];
}

static void a_drift_fools_nobody(void)
{
	machine.drift_ns = 10000000;
	/* By one after the other the crew is the slower, where it is nearly twice as fast. */
	CU_ASSERT(one_after_the_other(sizes[SIZES - 1]) > 1.5);
	machine.now_ns = 0;
	machine.drift_ns = 100000000;
	tune();
	CU_ASSERT(machine.now_ns > 2 * machine.drift_ns);
	assert_the_truth();
}

/* For an eighth of the time the flush CPUs are busy, and nobody can tell. */
static void a_disturbance_spoils_no_size(void)
{
	uint64_t length_ns;

	tune();
	length_ns = machine.last_crew_ns - machine.first_crew_ns;
	for (unsigned at = 0; at < 8; at++) {
		machine.burst_from_ns = machine.first_crew_ns + length_ns * at / 8;
		machine.burst_to_ns = machine.burst_from_ns + length_ns / 8;
		machine.now_ns = machine.samples = machine.crews = 0;
		tune();
		/* It did come. */
		CU_ASSERT(machine.last_crew_ns - machine.first_crew_ns > length_ns + length_ns / 20);
		assert_the_truth();
	}
}

/* Whether it looks faster or slower by chance. */
static void within_the_noise_the_simpler_way_is_kept(void)
{
	machine.crew_percent = 100;
	machine.noise_percent = 20;
	for (machine.seed = 1; machine.seed < 1000000; machine.seed += 100000) {
		uint64_t seed = machine.seed;
		unsigned level = 0;

		tune();
		for (unsigned way = 0; way < 2; way++) {
			for (unsigned i = 0; i < SIZES; i++) {
				level += point_of(NSDK_TUNE_CREW, (enum nsdk_tune_way)way, i)->ns ==
					 point_of(NSDK_TUNE_LINES, (enum nsdk_tune_way)way, i)->ns;
				NSDK_ASSERT_INT(choice((enum nsdk_tune_way)way, sizes[i]), NSDK_PLAN_LINES);
			}
		}
		/* Hardly ever is chance so large. */
		CU_ASSERT(level >= 2 * SIZES - 2);
		machine.seed = seed;
	}
}

static void a_gain_that_is_sure_shows_through_the_noise(void)
{
	machine.crew_percent = 85;
	machine.noise_percent = 20;
	tune();
	for (unsigned way = 0; way < 2; way++) {
		/* From where a crew has two shares. */
		for (unsigned i = 2; i < SIZES; i++)
			NSDK_ASSERT_INT(choice((enum nsdk_tune_way)way, sizes[i]), NSDK_PLAN_CREW);
	}
}

/* Most of the time no better, else much: a median would see no difference. */
static void two_moods_are_weighed(void)
{
	machine.crew_percent = 60;
	machine.mood_percent = 55;
	tune();
	for (unsigned i = 2; i < SIZES; i++) {
		double ratio = (double)point_of(NSDK_TUNE_CREW, NSDK_TUNE_WRITEBACK, i)->ns /
			       (double)point_of(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, i)->ns;

		CU_ASSERT(ratio > 0.7 && ratio < 0.97);
		NSDK_ASSERT_INT(choice(NSDK_TUNE_WRITEBACK, sizes[i]), NSDK_PLAN_CREW);
	}
}

static void crowded_samples_are_taken_again(void)
{
	machine.crowded_each = 3;
	tune();
	assert_the_truth();
	NSDK_ASSERT_INT(point_of(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 3)->high_ns, 4096 * LINE_NS);
}

static void a_machine_that_is_always_crowded_is_measured_in_the_end(void)
{
	machine.crowded_each = 1;
	tune();
	NSDK_ASSERT_INT(point_of(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 3)->ns, 40960 * LINE_NS);
}

/* ---- A series by itself ---- */

static struct tune bench;
static struct tune_series series;

/* @return what holding it returns. */
static int hold(unsigned crews, const struct tune_pace *pace)
{
	struct tune_subject subject = { .what = NSDK_TUNE_LINES, .cpus = 1 };
	struct tune_contest *contest;

	memset(&bench, 0, sizeof(bench));
	bench.opts = &opts;
	bench.cpus = opts.cpus;
	CU_ASSERT_EQUAL_FATAL(nsdk_series_init(&series, pace, 1, 1), 0);
	contest = nsdk_series_add(&series, 64 * KIB);
	CU_ASSERT_PTR_NOT_NULL_FATAL(contest);
	CU_ASSERT_PTR_NULL(nsdk_series_add(&series, 64 * KIB));
	nsdk_contest_enter(contest, &subject);
	subject.what = NSDK_TUNE_CREW;
	for (subject.cpus = 1; subject.cpus <= crews; subject.cpus++)
		nsdk_contest_enter(contest, &subject);
	return nsdk_series_hold(&bench, &series);
}

static void who_begins_changes(void)
{
	static const struct tune_pace pace = { 1000000000, 6, 6, 1 };
	/* To warm up, then six rounds. */
	static const unsigned order[] = { 0, 1, 2, 0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2, 1, 2, 0, 2, 0, 1 };

	NSDK_ASSERT_INT(hold(2, &pace), 0);
	NSDK_ASSERT_INT(series.contests[0].rounds, 6);
	NSDK_ASSERT_INT(machine.ordered, sizeof(order) / sizeof(order[0]));
	CU_ASSERT_EQUAL(memcmp(machine.order, order, sizeof(order)), 0);
	nsdk_series_fini(&series);
}

static void rounds_end_with_the_time(void)
{
	/* A round takes 2 x 2 x 2048 ns; 20 of them the time of two ways. */
	static const struct tune_pace pace = { 81920, 5, 100, 1 }, shorter = { 1, 5, 100, 1 };

	machine.crew_percent = 100;
	NSDK_ASSERT_INT(hold(1, &pace), 0);
	/* Warming up has its part of it. */
	NSDK_ASSERT_INT(series.contests[0].rounds, 19);
	nsdk_series_fini(&series);
	NSDK_ASSERT_INT(hold(1, &shorter), 0);
	NSDK_ASSERT_INT(series.contests[0].rounds, 5);
	nsdk_series_fini(&series);
}

static void a_flush_cpu_may_come_back(void)
{
	static const struct tune_pace pace = { 20000000, 6, 12, 1 };

	machine.crew_error = -ENODEV;
	machine.crew_errors = 5;
	NSDK_ASSERT_INT(hold(1, &pace), 0);
	NSDK_ASSERT_INT(series.contests[0].rounds, 12);
	NSDK_ASSERT_INT(bench.crowded, 0);
	nsdk_series_fini(&series);
	/* Not for ever. */
	machine.crew_errors = 100000;
	NSDK_ASSERT_INT(hold(1, &pace), -ENODEV);
	CU_ASSERT(machine.crew_errors > 100000 - 200);
	nsdk_series_fini(&series);
	/* What else goes wrong is not waited for. */
	machine.crew_error = -EIO;
	machine.crew_errors = 10;
	NSDK_ASSERT_INT(hold(1, &pace), -EIO);
	NSDK_ASSERT_INT(machine.crew_errors, 9);
	nsdk_series_fini(&series);
}

static void the_check_finds_the_planner_right(void)
{
	struct nsdk_tune_check checks[4 * SIZES];
	int count;

	machine.drift_ns = 100000000;
	machine.noise_percent = 5;
	tune();
	count = nsdk_tune_check(&opts, profile, checks, 4 * SIZES);
	NSDK_ASSERT_INT(count, 2 * (2 * SIZES - 1));
	for (int i = 0; i < count; i++)
		CU_ASSERT(checks[i].ratio_ppm < 1050000);
	/* And wrong where it is: without a profile it does not know that small crews pay. */
	machine.crew_percent = 50;
	count = nsdk_tune_check(&opts, NULL, checks, 4 * SIZES);
	NSDK_ASSERT_INT(count, 2 * (2 * SIZES - 1));
	NSDK_ASSERT_INT(checks[6].bytes, 256 * KIB);
	NSDK_ASSERT_INT(checks[6].chosen, NSDK_TUNE_LINES);
	NSDK_ASSERT_INT(checks[6].best, NSDK_TUNE_CREW);
	CU_ASSERT(checks[6].ratio_ppm > 1900000 && checks[6].ratio_ppm < 2100000);
}

static void quantiles(void)
{
	uint64_t samples[] = { 50, 10, 40, 20, 30 };

	NSDK_ASSERT_INT(nsdk_tune_quantile(samples, 5, 50), 30);
	NSDK_ASSERT_INT(nsdk_tune_quantile(samples, 5, 25), 20);
	NSDK_ASSERT_INT(nsdk_tune_quantile(samples, 5, 75), 40);
	NSDK_ASSERT_INT(nsdk_tune_quantile(samples, 1, 75), 10);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_machine_at_rest),
	NSDK_UNIT_TEST(a_drift_fools_nobody),
	NSDK_UNIT_TEST(a_disturbance_spoils_no_size),
	NSDK_UNIT_TEST(within_the_noise_the_simpler_way_is_kept),
	NSDK_UNIT_TEST(a_gain_that_is_sure_shows_through_the_noise),
	NSDK_UNIT_TEST(two_moods_are_weighed),
	NSDK_UNIT_TEST(crowded_samples_are_taken_again),
	NSDK_UNIT_TEST(a_machine_that_is_always_crowded_is_measured_in_the_end),
	NSDK_UNIT_TEST(who_begins_changes),
	NSDK_UNIT_TEST(rounds_end_with_the_time),
	NSDK_UNIT_TEST(a_flush_cpu_may_come_back),
	NSDK_UNIT_TEST(the_check_finds_the_planner_right),
	NSDK_UNIT_TEST(quantiles),
};

NSDK_UNIT_MAIN("lib/coherence/tune_contest", tests, .before = before, .after = after)
