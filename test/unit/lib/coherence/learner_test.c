/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the ways cost is made up, batch by batch, and so is the time that they take; there is no clock. The
 * learner must find the cheapest way, follow it, and not pay too much for that.
 */
#include <string.h>

#include "lib/coherence/learner.h"
#include "lib/coherence/profile.h"
#include "nsdk_unit.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define LINES (2 * MIB / NSDK_LINE_BYTES) /* of a batch, as a rule */
#define LINE_NS 2u
#define SEC UINT64_C(1000000000)

static struct nsdk_profile profile;
static struct nsdk_planner planner;
static struct nsdk_learner learner;

/* The machine as it is: each way in percent of what LINE_NS a line comes to; by crew CPUs, 0: alone. */
static struct {
	uint64_t percent[8];
	unsigned noise_percent; /* up to so much more or less */
	unsigned outlier_each;  /* so many batches one takes 100 times as long */
	uint64_t seed;
	unsigned live;          /* crew CPUs */
} machine;

static struct {
	uint64_t batches;
	uint64_t ns;       /* all took */
	uint64_t ideal_ns; /* what they would have, had each gone the way that was the best */
	unsigned tries;
	unsigned switches; /* of the way that is thought the best */
	unsigned chosen;   /* CPUs of that; 0: alone */
	unsigned way;      /* CPUs of what was done */
} seen;

static void add(enum nsdk_tune_what what, unsigned cpus, uint64_t percent)
{
	for (unsigned way = 0; way < 2; way++) {
		struct nsdk_tune_table *table = &profile.flush.tables[profile.flush.count++];

		*table = (struct nsdk_tune_table){
			.what = what, .way = (enum nsdk_tune_way)way, .cpus = cpus, .count = 2,
		};
		for (unsigned i = 0; i < 2; i++) {
			uint64_t bytes = i == 0 ? 4 * KIB : 64 * MIB;

			table->points[i].bytes = bytes;
			table->points[i].ns = bytes / NSDK_LINE_BYTES * LINE_NS * percent / 100;
		}
	}
}

/* The profile says that a crew of one CPU takes so much of what lines take. */
static void expect(uint64_t crew_percent)
{
	memset(&profile, 0, sizeof(profile));
	add(NSDK_TUNE_LINES, 1, 100);
	add(NSDK_TUNE_CREW, 1, crew_percent);
	nsdk_planner_from_profile(&planner, &profile);
	nsdk_learner_init(&learner);
	memset(&seen, 0, sizeof(seen));
}

static void before(void)
{
	memset(&machine, 0, sizeof(machine));
	machine.seed = 1;
	machine.live = 1;
	machine.percent[0] = 100;
	expect(100);
}

static uint64_t random_below(uint64_t limit)
{
	machine.seed = machine.seed * 6364136223846793005u + 1442695040888963407u;
	return (machine.seed >> 33) % limit;
}

static struct nsdk_plan choose(uint64_t writeback, uint64_t invalidate, bool for_cpu)
{
	struct nsdk_plan_input in = {
		.writeback_lines = writeback,
		.invalidate_lines = invalidate,
		.ranges = 1,
		.crew_cpus = machine.live,
	};
	struct nsdk_plan plan;

	memset(&plan, 0xff, sizeof(plan));
	nsdk_learner_choose(&learner, &planner, &in, for_cpu, &plan);
	CU_ASSERT_EQUAL(plan.kind == NSDK_PLAN_CREW, plan.crew_cpus > 0);
	CU_ASSERT(plan.crew_cpus <= machine.live);
	return plan;
}

static uint64_t cost_ns(unsigned cpus, uint64_t lines)
{
	uint64_t ns = lines * LINE_NS * machine.percent[cpus] / 100;

	if (machine.noise_percent != 0)
		ns = ns * (1000 - 10ull * machine.noise_percent +
			   random_below(20ull * machine.noise_percent + 1)) / 1000;
	return ns;
}

/* One batch. */
static void batch_of(uint64_t lines)
{
	struct nsdk_plan plan = choose(lines, 0, false);
	uint64_t least_ns = UINT64_MAX, ns = cost_ns(plan.crew_cpus, lines), percent;
	bool tried = nsdk_learner_tries(&learner);

	for (unsigned cpus = 0; cpus <= machine.live; cpus++) {
		percent = machine.percent[cpus];
		if (percent != 0 && lines * LINE_NS * percent / 100 < least_ns)
			least_ns = lines * LINE_NS * percent / 100;
	}
	seen.batches++;
	if (machine.outlier_each != 0 && seen.batches % machine.outlier_each == 0)
		ns *= 100;
	seen.ns += ns;
	seen.ideal_ns += least_ns;
	seen.tries += tried;
	seen.way = plan.crew_cpus;
	if (!tried) {
		seen.switches += seen.batches > 1 && plan.crew_cpus != seen.chosen;
		seen.chosen = plan.crew_cpus;
	}
	nsdk_learner_took(&learner, ns, true);
}

static void batches(unsigned count)
{
	while (count-- > 0)
		batch_of(LINES);
}

/* How many batches until that is chosen, by what was learned. */
static unsigned batches_until(unsigned cpus, unsigned most)
{
	for (unsigned count = 1; count <= most; count++) {
		batch_of(LINES);
		if (seen.way == cpus && seen.chosen == cpus)
			return count;
	}
	CU_FAIL("it is not found");
	return most;
}

/* More than the ideal, in thousandths. */
static long lost(void)
{
	return (long)((int64_t)(seen.ns - seen.ideal_ns) * 1000 / (int64_t)seen.ideal_ns);
}

/* ---- Following ---- */

static void at_first_it_is_the_planner(void)
{
	static const uint64_t percents[] = { 50, 90, 99, 100, 101, 150 };

	for (unsigned i = 0; i < 6; i++) {
		for (uint64_t lines = 64; lines < 1 << 22; lines += lines / 3) {
			struct nsdk_plan_input in = { .writeback_lines = lines, .ranges = 1, .crew_cpus = 1 };
			struct nsdk_plan wanted, plan;

			expect(percents[i]);
			plan = choose(lines, 0, false);
			nsdk_planner_choose(&planner, &in, &wanted);
			NSDK_ASSERT_INT(plan.kind, wanted.kind);
			NSDK_ASSERT_INT(plan.ns, wanted.ns);
		}
	}
}

static void a_profile_that_is_wrong_is_overruled(void)
{
	machine.percent[1] = 67;
	expect(150);
	CU_ASSERT(batches_until(1, 100) <= 8);
	batches(1000);
	NSDK_ASSERT_INT(seen.chosen, 1);

	machine.percent[1] = 150;
	expect(67);
	CU_ASSERT(batches_until(0, 100) <= 6);
	batches(1000);
	NSDK_ASSERT_INT(seen.chosen, 0);
}

/* Not even to be thought of, says the profile: still it is tried one day. */
static void a_way_is_never_given_up(void)
{
	machine.percent[1] = 50;
	expect(6000);
	CU_ASSERT(batches_until(1, 1000) > 64);
}

static void a_change_is_followed_at_once(void)
{
	for (unsigned after = 200; after < 220; after++) {
		machine.percent[1] = 67;
		expect(67);
		batches(after);
		NSDK_ASSERT_INT(seen.chosen, 1);
		machine.percent[1] = 130;
		CU_ASSERT(batches_until(0, 100) <= 6);
		batches(200);
		/* Here the other has to be tried first, for which it has to be saved. */
		machine.percent[1] = 67;
		CU_ASSERT(batches_until(1, 100) <= 25);
	}
}

/* What a crew gains comes and goes. Who knows when loses nothing; this one, little. */
static void a_gain_that_comes_and_goes_is_followed(void)
{
	static const uint64_t worse[] = { 100, 120, 150 };

	for (unsigned i = 0; i < 3; i++) {
		expect(80);
		machine.noise_percent = 3;
		for (unsigned round = 0; round < 40; round++) {
			machine.percent[1] = round % 2 == 0 ? 67 : worse[i];
			batches(300);
		}
		CU_ASSERT(lost() < 50);
		/* A plan that never changes loses more. */
		CU_ASSERT(seen.switches >= (worse[i] > 100 ? 39 : 0));
	}
}

/* The machine is half as fast for all of them, again and again: nobody is to blame. */
static void what_slows_all_changes_nothing(void)
{
	machine.percent[1] = 80;
	expect(80);
	for (unsigned round = 0; round < 40; round++) {
		machine.percent[0] = round % 2 == 0 ? 200 : 100;
		machine.percent[1] = round % 2 == 0 ? 160 : 80;
		batches(25);
	}
	NSDK_ASSERT_INT(seen.switches, 0);
	CU_ASSERT(lost() < 16 + 5);
}

/* It becomes faster for all just as another way is tried: that is no merit of that way's. */
static void what_speeds_up_all_is_not_taken_for_a_gain(void)
{
	for (unsigned after = 100; after < 140; after++) {
		machine.percent[0] = 120;
		machine.percent[1] = 100;
		expect(84);
		batches(after);
		while (!nsdk_learner_tries(&learner)) {
			batch_of(LINES);
			(void)choose(LINES, 0, false);
		}
		machine.percent[0] = 60;
		machine.percent[1] = 50;
		nsdk_learner_took(&learner, LINES * LINE_NS * 60 / 100, true);
		batches(20);
		NSDK_ASSERT_INT(seen.switches, 0);
		NSDK_ASSERT_INT(seen.chosen, 1);
	}
}

/* Every second batch costs twice as much, whoever does it. */
static void a_pattern_fools_nobody(void)
{
	expect(100);
	for (unsigned i = 0; i < 4000; i++) {
		machine.percent[0] = i % 2 == 0 ? 200 : 100;
		machine.percent[1] = i % 2 == 0 ? 240 : 120;
		batch_of(LINES);
	}
	CU_ASSERT(lost() < 30);
}

/* ---- Not being led astray ---- */

static void ways_that_are_level_do_not_flap(void)
{
	machine.percent[1] = 100;
	machine.noise_percent = 10;
	expect(100);
	batches(10000);
	CU_ASSERT(seen.switches < 250);
	CU_ASSERT(lost() < 10);
}

/* What is chosen is kept for as long as nothing else is surely better, whichever way it is. */
static void what_is_level_with_the_chosen_does_not_replace_it(void)
{
	machine.percent[0] = 120;
	machine.percent[1] = 100;
	expect(84);
	batches(200);
	machine.percent[0] = 98;
	batches(1000);
	NSDK_ASSERT_INT(seen.switches, 0);
	NSDK_ASSERT_INT(seen.chosen, 1);
	machine.percent[0] = 94;
	batches(200);
	NSDK_ASSERT_INT(seen.chosen, 0);
}

/* Of what is not measured for long the relation to what is stays as it was, however often that moves. */
static void relations_do_not_creep(void)
{
	const struct nsdk_learner_class *class = &learner.classes[0][12];
	double first, now;

	machine.percent[0] = 4;
	machine.percent[1] = 6;
	machine.noise_percent = 20;
	expect(100);
	batches(200);
	learner.classes[0][12].account_ns = -(int64_t)(1000 * SEC);
	first = (double)class->way[1].factor / (double)class->way[0].factor;
	batches(10000);
	now = (double)class->way[1].factor / (double)class->way[0].factor;
	CU_ASSERT(now > first * 0.95 && now < first * 1.05);
	NSDK_ASSERT_INT(seen.chosen, 0);
}

static void a_small_gain_shows_through_the_noise(void)
{
	static const uint64_t percents[] = { 92, 95, 105, 108 };

	machine.noise_percent = 10;
	for (unsigned i = 0; i < 4; i++) {
		machine.percent[1] = percents[i];
		expect(100);
		batches(10000);
		CU_ASSERT(lost() < 30);
	}
}

/* Now and then a thread is preempted, in whatever way. */
static void a_single_sample_changes_no_mind(void)
{
	for (machine.outlier_each = 20; machine.outlier_each < 60; machine.outlier_each++) {
		machine.percent[1] = 90;
		expect(90);
		batches(2000);
		NSDK_ASSERT_INT(seen.switches, 0);
		NSDK_ASSERT_INT(seen.chosen, 1);
		machine.percent[1] = 110;
		expect(110);
		batches(2000);
		NSDK_ASSERT_INT(seen.switches, 0);
		NSDK_ASSERT_INT(seen.chosen, 0);
	}
}

/* A try of lines alone that was preempted does not put an end to trying. */
static void a_try_that_was_held_up_is_forgiven(void)
{
	machine.percent[1] = 90;
	expect(90);
	while (!nsdk_learner_tries(&learner)) {
		batch_of(LINES);
		(void)choose(LINES, 0, false);
	}
	nsdk_learner_took(&learner, SEC, true);
	machine.percent[0] = 50;
	CU_ASSERT(batches_until(0, 1000) < 300);
	/* One of the crew was no fault of anybody else's. */
	machine.percent[0] = 90;
	machine.percent[1] = 100;
	expect(110);
	while (!nsdk_learner_tries(&learner)) {
		batch_of(LINES);
		(void)choose(LINES, 0, false);
	}
	nsdk_learner_took(&learner, SEC, true);
	seen.tries = 0;
	batches(1000);
	NSDK_ASSERT_INT(seen.tries, 0);
}

/* What is not the way's fault teaches nothing, and is paid for all the same. */
static void what_does_not_count_is_not_learned(void)
{
	int64_t account_ns;

	machine.percent[1] = 80;
	expect(80);
	batches(100);
	for (unsigned i = 0; i < 10; i++) {
		(void)choose(LINES, 0, false);
		nsdk_learner_took(&learner, LINES * LINE_NS * 50, false);
	}
	for (unsigned way = 0; way < 2; way++) {
		CU_ASSERT(learner.classes[0][12].way[way].factor > 65000);
		CU_ASSERT(learner.classes[0][12].way[way].factor < 66000);
	}
	expect(120);
	while (!nsdk_learner_tries(&learner)) {
		batch_of(LINES);
		(void)choose(LINES, 0, false);
	}
	account_ns = learner.now.class->account_ns;
	nsdk_learner_took(&learner, LINES * LINE_NS * 50, false);
	CU_ASSERT(learner.classes[0][12].account_ns < account_ns - (int64_t)(LINES * LINE_NS * 48));
}

/* ---- What it costs ---- */

/* Before each try there was enough for all that went before, whatever the costs do. */
static void tries_cost_no_more_than_their_share(void)
{
	for (unsigned seed = 1; seed < 40; seed++) {
		uint64_t paid_ns = 0, spent_ns = 0, most = seed % 2 ? 400 : 4000, ns;
		struct nsdk_plan plan;
		unsigned tries = 0;

		machine.seed = seed;
		expect(50 + random_below(200));
		for (unsigned i = 0; i < 5000; i++) {
			plan = choose(LINES, 0, false);
			ns = LINES * LINE_NS * (20 + random_below(i % 64 == 0 ? most : 200)) / 100;
			/* One batch, to begin with. */
			paid_ns += i == 0 ? learner.now.best_ns : 0;
			if (nsdk_learner_tries(&learner)) {
				tries++;
				CU_ASSERT(spent_ns <= paid_ns);
				if (plan.crew_cpus == 0 && ns > 4 * learner.now.learned_ns)
					ns = 4 * learner.now.learned_ns;
				if (ns > learner.now.best_ns)
					spent_ns += ns - learner.now.best_ns;
			}
			paid_ns += ns >> 6;
			nsdk_learner_took(&learner, ns, true);
		}
		CU_ASSERT(tries > 10);
	}
}

/* Of a way that is worse for good: a share of the time, and the batch to begin with. */
static void who_is_right_pays_little(void)
{
	static const uint64_t percents[] = { 103, 110, 150, 300, 2000 };

	for (unsigned i = 0; i < 5; i++) {
		machine.percent[1] = percents[i];
		expect(percents[i]);
		batches(5000);
		NSDK_ASSERT_INT(seen.switches, 0);
		CU_ASSERT(seen.tries >= 3);
		CU_ASSERT(seen.ns - seen.ideal_ns <=
			  seen.ns / 64 + LINES * LINE_NS * (1 + percents[i] / 100));
	}
}

/* A rest, in which tries cost nothing, does not buy a row of them. */
static void savings_are_limited(void)
{
	machine.percent[1] = 100;
	expect(100);
	batches(10000);
	machine.percent[1] = 400;
	seen.ns = seen.ideal_ns = 0;
	batches(20);
	CU_ASSERT(seen.ns - seen.ideal_ns <= LINES * LINE_NS * (4 + 3));
}

static void intervals_vary(void)
{
	unsigned last = 0, gaps = 0;

	machine.percent[1] = 100;
	expect(100);
	for (unsigned i = 0; i < 200; i++) {
		unsigned tries = seen.tries;

		batch_of(LINES);
		if (seen.tries == tries)
			continue;
		CU_ASSERT(last == 0 || i - last >= 4);
		gaps |= 1u << (i - last < 31 ? i - last : 31);
		last = i;
	}
	CU_ASSERT(__builtin_popcount(gaps) >= 3);
}

/* ---- What is at hand ---- */

static void a_crew_that_is_gone_is_not_tried(void)
{
	machine.percent[1] = 60;
	expect(60);
	batches(100);
	machine.live = 0;
	for (unsigned i = 0; i < 1000; i++) {
		batch_of(LINES);
		NSDK_ASSERT_INT(seen.way, 0);
	}
	NSDK_ASSERT_INT(seen.chosen, 0);
	machine.live = 1;
	NSDK_ASSERT_INT(batches_until(1, 10), 1);
}

static void the_best_of_several_is_found(void)
{
	expect(90);
	add(NSDK_TUNE_CREW, 2, 85);
	add(NSDK_TUNE_CREW, 4, 80);
	nsdk_planner_from_profile(&planner, &profile);
	machine.live = 4;
	machine.percent[1] = 90;
	machine.percent[2] = 60;
	machine.percent[4] = 100;
	CU_ASSERT(batches_until(2, 200) < 15);
	batches(1000);
	NSDK_ASSERT_INT(seen.chosen, 2);
	/* With one of them left, no more than one is asked for; choose() looks. */
	machine.live = 1;
	batches(100);
	NSDK_ASSERT_INT(seen.chosen, 1);
	machine.live = 3;
	CU_ASSERT(batches_until(2, 100) < 10);
}

/* All have their turn. */
static void none_of_several_is_forgotten(void)
{
	unsigned done[5] = { 0 };

	add(NSDK_TUNE_CREW, 2, 100);
	add(NSDK_TUNE_CREW, 4, 100);
	nsdk_planner_from_profile(&planner, &profile);
	machine.live = 4;
	machine.percent[1] = machine.percent[2] = machine.percent[4] = 100;
	for (unsigned i = 0; i < 200; i++) {
		batch_of(LINES);
		done[seen.way]++;
	}
	CU_ASSERT(done[1] > 10 && done[2] > 10 && done[4] > 10);
	CU_ASSERT(done[0] > 100);
}

/* Two shares are the least that can be shared, and what nobody can share is not kept in mind. */
static void too_little_is_never_shared(void)
{
	machine.percent[1] = 1;
	expect(1);
	for (unsigned i = 0; i < 100; i++) {
		NSDK_ASSERT_INT(choose(511, 0, false).kind, NSDK_PLAN_LINES);
		CU_ASSERT_PTR_NULL(learner.now.class);
		nsdk_learner_took(&learner, 100000, true);
	}
	NSDK_ASSERT_INT(choose(512, 0, false).kind, NSDK_PLAN_CREW);
	CU_ASSERT_PTR_EQUAL(learner.now.class, &learner.classes[0][0]);
}

static void the_built_in_costs_are_learned_from_too(void)
{
	nsdk_planner_default(&planner);
	nsdk_learner_init(&learner);
	machine.percent[1] = 150;
	NSDK_ASSERT_INT(choose(LINES, 0, false).kind, NSDK_PLAN_CREW);
	CU_ASSERT(batches_until(0, 100) < 10);
}

/* What the profile says that it takes, with nothing dirty and with 64 MiB. */
static void expect_wbinvd(uint64_t least_ns, uint64_t most_ns)
{
	struct nsdk_tune_table *table = &profile.flush.tables[profile.flush.count++];

	*table = (struct nsdk_tune_table){ .what = NSDK_TUNE_WBINVD, .cpus = 1, .count = 2 };
	table->points[0] = (struct nsdk_tune_point){ .bytes = 0, .ns = least_ns };
	table->points[1] = (struct nsdk_tune_point){ .bytes = 64 * MIB, .ns = most_ns };
	nsdk_planner_from_profile(&planner, &profile);
}

static void wbinvd_is_not_its_business(void)
{
	struct nsdk_plan_input in = {
		.writeback_lines = LINES, .ranges = 1, .crew_cpus = 1, .wbinvd_cpus = 1,
	};
	struct nsdk_plan plan;

	expect(50);
	expect_wbinvd(30000, 60000);
	/* LINES * 2 ns alone, half of it with the crew: dearer both. */
	for (unsigned i = 0; i < 100; i++) {
		nsdk_learner_choose(&learner, &planner, &in, false, &plan);
		NSDK_ASSERT_INT(plan.kind, NSDK_PLAN_WBINVD);
		CU_ASSERT_PTR_NULL(learner.now.class);
		nsdk_learner_took(&learner, 1, true);
	}
	/* Where it is not possible, or the crew was seen to be better, it is not taken; nor tried. */
	in.wbinvd_cpus = 0;
	for (unsigned i = 0; i < 100; i++) {
		nsdk_learner_choose(&learner, &planner, &in, false, &plan);
		CU_ASSERT_NOT_EQUAL(plan.kind, NSDK_PLAN_WBINVD);
		nsdk_learner_took(&learner, plan.kind == NSDK_PLAN_CREW ? 20000 : LINES * LINE_NS, true);
	}
	in.wbinvd_cpus = 1;
	for (unsigned i = 0; i < 1000; i++) {
		nsdk_learner_choose(&learner, &planner, &in, false, &plan);
		CU_ASSERT_NOT_EQUAL(plan.kind, NSDK_PLAN_WBINVD);
		nsdk_learner_took(&learner, plan.kind == NSDK_PLAN_CREW ? 20000 : LINES * LINE_NS, true);
	}
}

/* A machine that is slow for a while makes nobody execute it whom the profile does not tell to. */
static void slow_lines_are_no_reason_for_wbinvd(void)
{
	struct nsdk_plan_input in = {
		.writeback_lines = LINES, .ranges = 1, .crew_cpus = 1, .wbinvd_cpus = 1,
	};
	struct nsdk_plan plan;

	expect(90);
	expect_wbinvd(2 * LINES * LINE_NS, 3 * LINES * LINE_NS);
	for (unsigned i = 0; i < 100; i++) {
		nsdk_learner_choose(&learner, &planner, &in, false, &plan);
		CU_ASSERT_NOT_EQUAL(plan.kind, NSDK_PLAN_WBINVD);
		nsdk_learner_took(&learner, 10 * LINES * LINE_NS, true);
	}
	/* That was not for nothing. */
	CU_ASSERT(plan.ns > 9 * LINES * LINE_NS);
}

/* ---- Sizes and kinds ---- */

static const struct nsdk_learner_class *class_of(uint64_t writeback, uint64_t invalidate, bool for_cpu)
{
	(void)choose(writeback, invalidate, for_cpu);
	return learner.now.class;
}

static void classes_begin_at_each_half(void)
{
	unsigned class = 0;

	for (uint64_t lines = 512; lines <= UINT64_C(1) << 24; lines *= 2) {
		CU_ASSERT_PTR_EQUAL(class_of(lines, 0, false), &learner.classes[0][class]);
		CU_ASSERT_PTR_EQUAL(class_of(lines + lines / 2 - 1, 0, false), &learner.classes[0][class]);
		if (lines < UINT64_C(1) << 24)
			class++;
		CU_ASSERT_PTR_EQUAL(class_of(lines + lines / 2, 0, false), &learner.classes[0][class]);
		CU_ASSERT_PTR_EQUAL(class_of(2 * lines - 1, 0, false), &learner.classes[0][class]);
		class += lines < UINT64_C(1) << 24;
	}
	NSDK_ASSERT_INT(class, NSDK_LEARNER_CLASSES - 1);
	CU_ASSERT_PTR_EQUAL(class_of(UINT64_MAX, UINT64_MAX, false), &learner.classes[0][class]);
}

static void kinds_are_kept_apart(void)
{
	CU_ASSERT_PTR_EQUAL(class_of(LINES, 0, false), &learner.classes[0][12]);
	CU_ASSERT_PTR_EQUAL(class_of(0, LINES, false), &learner.classes[1][12]);
	CU_ASSERT_PTR_EQUAL(class_of(LINES / 2, LINES / 2, false), &learner.classes[0][12]);
	CU_ASSERT_PTR_EQUAL(class_of(LINES / 2 - 1, LINES / 2 + 1, false), &learner.classes[1][12]);
	CU_ASSERT_PTR_EQUAL(class_of(0, LINES, true), &learner.classes[2][12]);
	CU_ASSERT_PTR_EQUAL(class_of(LINES, 1, true), &learner.classes[2][12]);
	/* What is learned of one is not held of another. */
	machine.percent[1] = 200;
	expect(50);
	batches(100);
	NSDK_ASSERT_INT(choose(LINES, 0, false).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(0, LINES, false).kind, NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(choose(0, LINES, true).kind, NSDK_PLAN_CREW);
}

/* What is new takes over what is known of sizes near by, as what made a difference there may do so here. */
static void sizes_near_by_know_something(void)
{
	machine.percent[1] = 200;
	expect(50);
	batches(100);
	/* One above, one below, and not any further. */
	NSDK_ASSERT_INT(choose(2 * LINES, 0, false).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(LINES / 2, 0, false).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(LINES * 3, 0, false).kind, NSDK_PLAN_CREW);
	/* Only what was learned lately. */
	expect(50);
	batches(100);
	for (unsigned i = 0; i < 256; i++)
		batch_of(LINES * 16);
	NSDK_ASSERT_INT(choose(2 * LINES, 0, false).kind, NSDK_PLAN_CREW);
	/* What is known of the size itself is held against it: few samples, if it was right. */
	expect(50);
	batches(100);
	machine.percent[1] = 50;
	for (unsigned i = 0; i < 300; i++)
		batch_of(LINES * 3 / 2);
	machine.percent[1] = 200;
	batch_of(LINES);
	NSDK_ASSERT_INT(seen.way, 1);
	batch_of(LINES);
	batch_of(LINES);
	NSDK_ASSERT_INT(seen.way, 0);
}

/* Within a class the profile's curve holds, at what was learned. */
static void what_is_learned_holds_for_the_class(void)
{
	struct nsdk_plan_input in = { .writeback_lines = LINES, .ranges = 0, .crew_cpus = 1 };
	struct nsdk_plan plan;

	machine.percent[0] = 200;
	machine.percent[1] = 300;
	expect(150);
	batches(100);
	in.writeback_lines = LINES + LINES / 4;
	nsdk_learner_best(&learner, &planner, &in, false, &plan);
	NSDK_ASSERT_INT(plan.kind, NSDK_PLAN_LINES);
	CU_ASSERT(plan.ns > LINES * 5 / 4 * LINE_NS * 199 / 100);
	CU_ASSERT(plan.ns < LINES * 5 / 4 * LINE_NS * 201 / 100);
	CU_ASSERT_FALSE(nsdk_learner_tries(&learner));
	CU_ASSERT_PTR_NULL(learner.now.class);
}

static void looking_changes_nothing(void)
{
	static struct nsdk_learner before_it;
	struct nsdk_plan_input in = { .ranges = 1, .crew_cpus = 1 };
	struct nsdk_plan plan;

	machine.percent[1] = 150;
	expect(80);
	batches(1000);
	memcpy(&before_it, &learner, sizeof(learner));
	for (in.writeback_lines = LINES / 2; in.writeback_lines <= 2 * LINES; in.writeback_lines *= 2)
		nsdk_learner_best(&learner, &planner, &in, false, &plan);
	NSDK_ASSERT_INT(learner.count, before_it.count);
	NSDK_ASSERT_INT(learner.random, before_it.random);
	for (unsigned i = 0; i < NSDK_LEARNER_CLASSES; i++) {
		const struct nsdk_learner_class *class = &learner.classes[0][i];
		const struct nsdk_learner_class *was = &before_it.classes[0][i];

		NSDK_ASSERT_INT(class->used, was->used);
		NSDK_ASSERT_INT(class->until_try, was->until_try);
		NSDK_ASSERT_INT(class->chosen, was->chosen);
		for (unsigned way = 0; way < 2; way++)
			NSDK_ASSERT_INT(class->way[way].factor, was->way[way].factor);
	}
}

static void the_threshold(void)
{
	/* The profile sees no use in a crew: with one there, from 1 MiB on it may have become wrong. */
	expect(120);
	CU_ASSERT_EQUAL(nsdk_learner_threshold_lines(&planner, false), UINT64_MAX);
	NSDK_ASSERT_INT(nsdk_learner_threshold_lines(&planner, true), MIB / 64);
	/* It does: where it says. */
	expect(50);
	NSDK_ASSERT_INT(nsdk_learner_threshold_lines(&planner, true), 512);
	NSDK_ASSERT_INT(nsdk_learner_threshold_lines(&planner, false), 512);
}

/* ---- Clocks ---- */

static void a_clock_that_is_wrong_does_no_harm(void)
{
	static const uint64_t jumps[] = { 0, UINT64_MAX, UINT64_MAX - 100, (UINT64_C(1) << 43) + 1 };
	unsigned tries = 0;

	machine.percent[1] = 90;
	expect(90);
	batches(100);
	for (unsigned i = 0; i < 4000; i++) {
		struct nsdk_plan plan = choose(LINES, 0, false);

		if (nsdk_learner_tries(&learner))
			tries++;
		else
			NSDK_ASSERT_INT(plan.crew_cpus, 1);
		nsdk_learner_took(&learner, jumps[i % 4], true);
	}
	/* No time passes, so there is none to be spent on tries, but for what was left. */
	CU_ASSERT(tries < 50);
	/* The same each time, which would be believed. */
	for (unsigned i = 0; i < 4000; i++) {
		(void)choose(LINES, 0, false);
		nsdk_learner_took(&learner, jumps[i / 1000], true);
		for (unsigned way = 0; way < 2; way++) {
			CU_ASSERT(learner.classes[0][12].way[way].factor > 65000);
			CU_ASSERT(learner.classes[0][12].way[way].factor < 66000);
		}
	}
	seen.switches = 0;
	batches(1000);
	NSDK_ASSERT_INT(seen.switches, 0);
	NSDK_ASSERT_INT(seen.chosen, 1);
	/* Where nothing was ever measured, nothing is tried. */
	expect(100);
	for (unsigned i = 0; i < 100; i++) {
		NSDK_ASSERT_INT(choose(LINES, 0, false).crew_cpus, 0);
		nsdk_learner_took(&learner, jumps[i % 4], true);
	}
}

/* A profile that no measurement gives. */
static void what_costs_nothing_is_no_harm(void)
{
	struct nsdk_plan_input in = { .writeback_lines = LINES, .crew_cpus = 1 };
	struct nsdk_plan plan;

	memset(&profile, 0, sizeof(profile));
	add(NSDK_TUNE_LINES, 1, 0);
	add(NSDK_TUNE_CREW, 1, 0);
	nsdk_planner_from_profile(&planner, &profile);
	for (unsigned i = 0; i < 1000; i++) {
		nsdk_learner_choose(&learner, &planner, &in, false, &plan);
		NSDK_ASSERT_INT(plan.ns, 0);
		nsdk_learner_took(&learner, 1000, true);
	}
}

static void nothing_overflows(void)
{
	static const uint64_t times[] = { 1, UINT64_C(1) << 42, UINT64_C(1) << 43, 7 };
	static const uint64_t sizes[] = { 512, LINES, UINT64_C(1) << 40, UINT64_MAX };

	memset(&profile, 0, sizeof(profile));
	add(NSDK_TUNE_LINES, 1, 1);
	add(NSDK_TUNE_CREW, 1, UINT64_C(1) << 30);
	nsdk_planner_from_profile(&planner, &profile);
	nsdk_learner_init(&learner);
	for (unsigned i = 0; i < 200000; i++) {
		struct nsdk_plan plan = choose(sizes[i / 4 % 4], i % 3 == 0 ? UINT64_MAX : 0, i % 5 == 0);
		const struct nsdk_learner_class *class = learner.now.class;

		CU_ASSERT(plan.ns <= (UINT64_C(1) << 49) + 5);
		nsdk_learner_took(&learner, i < 100000 ? times[i % 4] : times[i / 1000 % 4], true);
		CU_ASSERT(class->account_ns > -(INT64_C(1) << 44));
		CU_ASSERT(class->account_ns <= INT64_C(1) << 51);
		for (unsigned way = 0; way < NSDK_LEARNER_WAYS; way++) {
			CU_ASSERT(class->way[way].factor >= 1 << 10);
			CU_ASSERT(class->way[way].factor <= 1 << 22);
		}
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(at_first_it_is_the_planner),
	NSDK_UNIT_TEST(a_profile_that_is_wrong_is_overruled),
	NSDK_UNIT_TEST(a_way_is_never_given_up),
	NSDK_UNIT_TEST(a_change_is_followed_at_once),
	NSDK_UNIT_TEST(a_gain_that_comes_and_goes_is_followed),
	NSDK_UNIT_TEST(what_slows_all_changes_nothing),
	NSDK_UNIT_TEST(what_speeds_up_all_is_not_taken_for_a_gain),
	NSDK_UNIT_TEST(a_pattern_fools_nobody),
	NSDK_UNIT_TEST(ways_that_are_level_do_not_flap),
	NSDK_UNIT_TEST(what_is_level_with_the_chosen_does_not_replace_it),
	NSDK_UNIT_TEST(relations_do_not_creep),
	NSDK_UNIT_TEST(a_small_gain_shows_through_the_noise),
	NSDK_UNIT_TEST(a_single_sample_changes_no_mind),
	NSDK_UNIT_TEST(a_try_that_was_held_up_is_forgiven),
	NSDK_UNIT_TEST(what_does_not_count_is_not_learned),
	NSDK_UNIT_TEST(tries_cost_no_more_than_their_share),
	NSDK_UNIT_TEST(who_is_right_pays_little),
	NSDK_UNIT_TEST(savings_are_limited),
	NSDK_UNIT_TEST(intervals_vary),
	NSDK_UNIT_TEST(a_crew_that_is_gone_is_not_tried),
	NSDK_UNIT_TEST(the_best_of_several_is_found),
	NSDK_UNIT_TEST(none_of_several_is_forgotten),
	NSDK_UNIT_TEST(too_little_is_never_shared),
	NSDK_UNIT_TEST(the_built_in_costs_are_learned_from_too),
	NSDK_UNIT_TEST(wbinvd_is_not_its_business),
	NSDK_UNIT_TEST(slow_lines_are_no_reason_for_wbinvd),
	NSDK_UNIT_TEST(classes_begin_at_each_half),
	NSDK_UNIT_TEST(kinds_are_kept_apart),
	NSDK_UNIT_TEST(sizes_near_by_know_something),
	NSDK_UNIT_TEST(what_is_learned_holds_for_the_class),
	NSDK_UNIT_TEST(looking_changes_nothing),
	NSDK_UNIT_TEST(the_threshold),
	NSDK_UNIT_TEST(a_clock_that_is_wrong_does_no_harm),
	NSDK_UNIT_TEST(what_costs_nothing_is_no_harm),
	NSDK_UNIT_TEST(nothing_overflows),
};

NSDK_UNIT_MAIN("lib/coherence/learner", tests, .before = before)
