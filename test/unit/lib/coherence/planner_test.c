/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Planners over machines that are made up: which way they take, where they change, and that no number
 * that a profile can hold breaks the arithmetic.
 */
#include <string.h>

#include "lib/coherence/planner.h"
#include "lib/coherence/profile.h"
#include "nsdk_unit.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

static struct nsdk_profile profile;
static struct nsdk_planner planner;

static void before(void)
{
	memset(&profile, 0, sizeof(profile));
}

/* Sizes and costs in pairs, up to a cost of 0. */
static void add(enum nsdk_tune_what what, enum nsdk_tune_way way, unsigned cpus,
		const uint64_t (*points)[2])
{
	struct nsdk_tune_table *table = &profile.flush.tables[profile.flush.count++];

	*table = (struct nsdk_tune_table){ .what = what, .way = way, .cpus = cpus };
	for (; (*points)[1] != 0; points++)
		table->points[table->count++] = (struct nsdk_tune_point){
			.bytes = (*points)[0],
			.ns = (*points)[1],
			.low_ns = (*points)[1],
			.high_ns = (*points)[1],
		};
}

#define POINTS(...) ((const uint64_t[][2]){ __VA_ARGS__, { 0, 0 } })

/* 1 ns a line, 2 ns from 1 MiB on; invalidating takes half as much again. */
static void add_lines(void)
{
	add(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 1,
	    POINTS({ 4 * KIB, 64 }, { MIB, 16384 }, { 2 * MIB, 49152 }));
	add(NSDK_TUNE_LINES, NSDK_TUNE_INVALIDATE, 1,
	    POINTS({ 4 * KIB, 96 }, { MIB, 24576 }, { 2 * MIB, 73728 }));
}

/* 10 us and then twice as fast as lines. */
static void add_crew(unsigned cpus, uint64_t start_ns)
{
	for (unsigned way = 0; way < 2; way++)
		add(NSDK_TUNE_CREW, (enum nsdk_tune_way)way, cpus,
		    POINTS({ 4 * KIB, start_ns }, { MIB, start_ns + 16384 / (cpus + 1) },
			   { 2 * MIB, start_ns + 49152 / (cpus + 1) }));
}

static struct nsdk_plan choose(uint64_t writeback, uint64_t invalidate, unsigned crew, unsigned wbinvd)
{
	struct nsdk_plan_input in = {
		.writeback_lines = writeback,
		.invalidate_lines = invalidate,
		.ranges = 1,
		.crew_cpus = crew,
		.wbinvd_cpus = wbinvd,
	};
	struct nsdk_plan plan;

	memset(&plan, 0xff, sizeof(plan));
	nsdk_planner_choose(&planner, &in, &plan);
	return plan;
}

static void the_defaults_are_cautious(void)
{
	nsdk_planner_from_profile(&planner, NULL);
	NSDK_ASSERT_INT(nsdk_planner_threshold_lines(&planner), MIB / 64);
	NSDK_ASSERT_INT(choose(MIB / 64 - 1, 0, 4, 4).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(MIB / 64, 0, 1, 4).kind, NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(choose(MIB / 64, 0, 3, 0).crew_cpus, 3);
	NSDK_ASSERT_INT(choose(MIB / 128, MIB / 128, 1, 0).kind, NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(choose(MIB, 0, 0, 0).kind, NSDK_PLAN_LINES);
	/* Not measured, so never, whatever the size. */
	NSDK_ASSERT_INT(choose(1ull << 40, 1ull << 40, 0, 1).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(1ull << 40, 1ull << 40, 1, 1).kind, NSDK_PLAN_CREW);
}

static void assert_default(void)
{
	NSDK_ASSERT_INT(nsdk_planner_threshold_lines(&planner), MIB / 64);
	NSDK_ASSERT_INT(planner.crews, 0);
	NSDK_ASSERT_INT(planner.wbinvds, 0);
	NSDK_ASSERT_INT(choose(64, 0, 0, 0).ns, 192 + 5);
	NSDK_ASSERT_INT(choose(0, 1 << 22, 0, 0).ns, (3 << 22) + 5);
}

static void a_profile_without_line_costs_gives_the_defaults(void)
{
	nsdk_planner_default(&planner);
	assert_default();
	nsdk_planner_from_profile(&planner, &profile);
	assert_default();
	add_crew(1, 100);
	add(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 1, POINTS({ 4 * KIB, 64 }));
	nsdk_planner_from_profile(&planner, &profile);
	assert_default();
}

static void costs_are_interpolated(void)
{
	add_lines();
	nsdk_planner_from_profile(&planner, &profile);
	/* At the points, between them, before the first (in proportion) and beyond the last. */
	NSDK_ASSERT_INT(choose(64, 0, 0, 0).ns, 64 + 5);
	NSDK_ASSERT_INT(choose(32, 0, 0, 0).ns, 32 + 5);
	NSDK_ASSERT_INT(choose(0, 0, 0, 0).ns, 0 + 5);
	NSDK_ASSERT_INT(choose(16384, 0, 0, 0).ns, 16384 + 5);
	NSDK_ASSERT_INT(choose(24576, 0, 0, 0).ns, 32768 + 5);
	NSDK_ASSERT_INT(choose(32768, 0, 0, 0).ns, 49152 + 5);
	NSDK_ASSERT_INT(choose(65536, 0, 0, 0).ns, 49152 + 65536 + 5);
	NSDK_ASSERT_INT(choose(0, 64, 0, 0).ns, 96 + 5);
	/* Both ways, at the cost of the whole: 1/4 of 24576 lines' 32768, 3/4 of 49152. */
	NSDK_ASSERT_INT(choose(6144, 18432, 0, 0).ns, 32768 / 4 + 49152 / 4 * 3 + 5);
}

static void noise_does_not_make_more_lines_cheaper(void)
{
	uint64_t last = 0;

	add(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 1,
	    POINTS({ 4 * KIB, 100 }, { 8 * KIB, 90 }, { 16 * KIB, 200 }, { 32 * KIB, 150 }));
	add(NSDK_TUNE_LINES, NSDK_TUNE_INVALIDATE, 1, POINTS({ 4 * KIB, 100 }));
	nsdk_planner_from_profile(&planner, &profile);
	for (uint64_t lines = 0; lines < 2048; lines++) {
		uint64_t ns = choose(lines, 0, 0, 0).ns;

		CU_ASSERT(ns >= last);
		last = ns;
	}
	/* A single point is a cost a line. */
	NSDK_ASSERT_INT(choose(0, 128, 0, 0).ns, 200 + 5);
}

static void the_cheapest_is_taken(void)
{
	add_lines();
	add_crew(1, 10000);
	add_crew(2, 14000);
	add_crew(4, 22000);
	nsdk_planner_from_profile(&planner, &profile);
	NSDK_ASSERT_INT(choose(8192, 0, 8, 0).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(24576, 0, 8, 0).kind, NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(choose(65536, 0, 8, 0).kind, NSDK_PLAN_CREW);
	/* As many as pay at that size, and no more than there are. */
	NSDK_ASSERT_INT(choose(24576, 0, 8, 0).crew_cpus, 2);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 8, 0).crew_cpus, 4);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 3, 0).crew_cpus, 2);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 1, 0).crew_cpus, 1);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 0, 0).kind, NSDK_PLAN_LINES);
}

/* Whatever the mix of ways: below the threshold no alternative is cheaper, and from it on one is. */
static void the_threshold_is_exact(void)
{
	uint64_t threshold;

	add_lines();
	add_crew(1, 10000);
	nsdk_planner_from_profile(&planner, &profile);
	threshold = nsdk_planner_threshold_lines(&planner);
	/* Invalidating comes first: 1.5 n = (n / 2 + about 10000) * 33 / 32 at about n = 10476. */
	CU_ASSERT(threshold > 10400 && threshold < 10550);
	NSDK_ASSERT_INT(choose(0, threshold, 1, 0).kind, NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(choose(0, threshold - 1, 1, 0).kind, NSDK_PLAN_LINES);
	for (uint64_t n = threshold - 64; n < threshold; n++) {
		uint64_t crew_ns = nsdk_curve_ns(&planner.crew[0].way[NSDK_TUNE_INVALIDATE], n);
		uint64_t lines_ns = nsdk_curve_ns(&planner.lines[NSDK_TUNE_INVALIDATE], n);

		CU_ASSERT(crew_ns + crew_ns / 32 >= lines_ns);
		for (uint64_t writeback = 0; writeback <= n; writeback += n / 7)
			NSDK_ASSERT_INT(choose(writeback, n - writeback, 1, 0).kind,
					NSDK_PLAN_LINES);
	}
}

static void an_advantage_within_the_noise_is_none(void)
{
	add(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 1, POINTS({ 4 * KIB, 1000 }, { MIB, 256000 }));
	add(NSDK_TUNE_LINES, NSDK_TUNE_INVALIDATE, 1, POINTS({ 4 * KIB, 1000 }, { MIB, 256000 }));
	for (unsigned way = 0; way < 2; way++)
		add(NSDK_TUNE_CREW, (enum nsdk_tune_way)way, 1,
		    POINTS({ 4 * KIB, 990 }, { MIB, 250000 }));
	nsdk_planner_from_profile(&planner, &profile);
	CU_ASSERT_EQUAL(nsdk_planner_threshold_lines(&planner), UINT64_MAX);
	NSDK_ASSERT_INT(choose(64, 0, 1, 0).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 1, 0).kind, NSDK_PLAN_LINES);
}

/* Better at 64 KiB alone, and from 512 KiB on for good. */
static void better_once_by_chance_is_not_better(void)
{
	for (unsigned way = 0; way < 2; way++) {
		add(NSDK_TUNE_LINES, (enum nsdk_tune_way)way, 1,
		    POINTS({ 16 * KIB, 1000 }, { 64 * KIB, 4000 }, { 256 * KIB, 16000 },
			   { 512 * KIB, 32000 }, { MIB, 64000 }));
		add(NSDK_TUNE_CREW, (enum nsdk_tune_way)way, 1,
		    POINTS({ 16 * KIB, 1500 }, { 64 * KIB, 3000 }, { 256 * KIB, 17000 },
			   { 512 * KIB, 24000 }, { MIB, 40000 }));
	}
	nsdk_planner_from_profile(&planner, &profile);
	NSDK_ASSERT_INT(choose(64 * KIB / 64, 0, 1, 0).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(512 * KIB / 64, 0, 1, 0).kind, NSDK_PLAN_CREW);
	CU_ASSERT(nsdk_planner_threshold_lines(&planner) > 256 * KIB / 64);
}

/* However good it looks: there are no two shares. */
static void a_crew_does_not_share_what_is_too_little(void)
{
	for (unsigned way = 0; way < 2; way++) {
		add(NSDK_TUNE_LINES, (enum nsdk_tune_way)way, 1, POINTS({ 4 * KIB, 1000 }, { MIB, 256000 }));
		add(NSDK_TUNE_CREW, (enum nsdk_tune_way)way, 1, POINTS({ 4 * KIB, 10 }, { MIB, 100 }));
	}
	nsdk_planner_from_profile(&planner, &profile);
	NSDK_ASSERT_INT(nsdk_planner_threshold_lines(&planner), 512);
	NSDK_ASSERT_INT(choose(511, 0, 1, 0).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(512, 0, 1, 0).kind, NSDK_PLAN_CREW);
	/* Nor where something else makes so little worth planning. */
	add(NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 1, POINTS({ 0, 1000 }, { MIB, 1000 }));
	nsdk_planner_from_profile(&planner, &profile);
	CU_ASSERT(nsdk_planner_threshold_lines(&planner) < 128);
	NSDK_ASSERT_INT(choose(511, 0, 1, 1).kind, NSDK_PLAN_WBINVD);
	NSDK_ASSERT_INT(choose(511, 0, 1, 0).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(512, 0, 1, 1).kind, NSDK_PLAN_CREW);
}

static void wbinvd_only_where_it_was_measured(void)
{
	add_lines();
	add(NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 1,
	    POINTS({ 0, 300000 }, { MIB, 310000 }, { 16 * MIB, 400000 }));
	add(NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 4,
	    POINTS({ 0, 400000 }, { MIB, 410000 }, { 16 * MIB, 500000 }));
	nsdk_planner_from_profile(&planner, &profile);
	NSDK_ASSERT_INT(choose(65536, 0, 0, 1).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 0, 1).kind, NSDK_PLAN_WBINVD);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 0, 0).kind, NSDK_PLAN_LINES);
	/* Between 1 and 4 it costs as much as 4. */
	NSDK_ASSERT_INT(choose(1 << 20, 0, 0, 2).ns, choose(1 << 20, 0, 0, 4).ns);
	CU_ASSERT(choose(1 << 20, 0, 0, 2).ns > choose(1 << 20, 0, 0, 1).ns);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 0, 5).kind, NSDK_PLAN_LINES);
	/* The built-in rule for the crew holds beside it: the cheaper of both. */
	NSDK_ASSERT_INT(choose(16383, 0, 1, 1).kind, NSDK_PLAN_LINES);
	NSDK_ASSERT_INT(choose(32768, 0, 1, 1).kind, NSDK_PLAN_CREW);
	NSDK_ASSERT_INT(choose(1 << 20, 0, 1, 1).kind, NSDK_PLAN_WBINVD);
}

/* Once an alternative is cheaper by its slope too, the plan does not go back as the batch grows. */
static void the_choice_is_monotone(void)
{
	enum nsdk_plan_kind last = NSDK_PLAN_LINES;

	add_lines();
	add_crew(1, 10000);
	add(NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 1,
	    POINTS({ 0, 300000 }, { MIB, 310000 }, { 16 * MIB, 400000 }));
	nsdk_planner_from_profile(&planner, &profile);
	for (uint64_t lines = 1; lines < 1ull << 42; lines += lines / 16 + 1) {
		struct nsdk_plan plan = choose(lines, 0, 1, 1);

		CU_ASSERT(plan.kind >= last);
		last = plan.kind;
	}
	NSDK_ASSERT_INT(last, NSDK_PLAN_WBINVD);
}

static void nothing_overflows(void)
{
	static const uint64_t sizes[] = { 0, 1, 1ull << 39, 1ull << 40, 1ull << 58, UINT64_MAX };
	uint64_t huge = 1000000000000;

	add(NSDK_TUNE_LINES, NSDK_TUNE_WRITEBACK, 1, POINTS({ 64, 1 }, { 128, huge }));
	add(NSDK_TUNE_LINES, NSDK_TUNE_INVALIDATE, 1, POINTS({ 64, huge }, { 1 << 30, huge }));
	add_crew(1, huge);
	add(NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 1, POINTS({ 0, huge }, { 64, UINT64_MAX }));
	nsdk_planner_from_profile(&planner, &profile);
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned k = 0; k < 6; k++) {
			struct nsdk_plan_input in = { sizes[i], sizes[k], UINT32_MAX, UINT32_MAX,
						      UINT32_MAX };
			struct nsdk_plan plan;

			nsdk_planner_choose(&planner, &in, &plan);
			/* At most what a curve can say, and the ranges. */
			CU_ASSERT(plan.ns <= (1ull << 43) + 5ull * UINT32_MAX);
			/* More is never cheaper, in particular not by having wrapped around. */
			if (i > 0)
				CU_ASSERT(plan.ns >= choose(sizes[i - 1], sizes[k], UINT32_MAX, 0).ns);
		}
	}
	NSDK_ASSERT_INT(nsdk_curve_ns(&planner.lines[0], UINT64_MAX), 1ll << 43);
	/* 2^20 ns a line: 2^63 lines more than the first would come out as none. */
	before();
	for (unsigned way = 0; way < 2; way++)
		add(NSDK_TUNE_LINES, (enum nsdk_tune_way)way, 1, POINTS({ 64, 1 << 20 }));
	nsdk_planner_from_profile(&planner, &profile);
	NSDK_ASSERT_INT(nsdk_curve_ns(&planner.lines[0], (1ull << 63) + 1), 1ll << 43);
}

static void many_tables_are_no_harm(void)
{
	add_lines();
	/* Falling, so that the order in the profile is not that of the planner. */
	for (unsigned cpus = 24; cpus > 0; cpus--)
		add_crew(cpus, 10000);
	nsdk_planner_from_profile(&planner, &profile);
	NSDK_ASSERT_INT(planner.crews, NSDK_PLANNER_MAX_CURVES);
	for (unsigned i = 0; i < planner.crews; i++)
		NSDK_ASSERT_INT(planner.crew[i].cpus, i + 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(the_defaults_are_cautious),
	NSDK_UNIT_TEST(a_profile_without_line_costs_gives_the_defaults),
	NSDK_UNIT_TEST(costs_are_interpolated),
	NSDK_UNIT_TEST(noise_does_not_make_more_lines_cheaper),
	NSDK_UNIT_TEST(the_cheapest_is_taken),
	NSDK_UNIT_TEST(the_threshold_is_exact),
	NSDK_UNIT_TEST(an_advantage_within_the_noise_is_none),
	NSDK_UNIT_TEST(better_once_by_chance_is_not_better),
	NSDK_UNIT_TEST(a_crew_does_not_share_what_is_too_little),
	NSDK_UNIT_TEST(wbinvd_only_where_it_was_measured),
	NSDK_UNIT_TEST(the_choice_is_monotone),
	NSDK_UNIT_TEST(nothing_overflows),
	NSDK_UNIT_TEST(many_tables_are_no_harm),
};

NSDK_UNIT_MAIN("lib/coherence/planner", tests, .before = before)
