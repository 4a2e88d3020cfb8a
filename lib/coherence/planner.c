/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner: lines, crew or WBINVD?
 *
 * Model. A batch has so many lines to write back and so many to write back and invalidate. Each way
 * of doing that has a cost, a curve over the number of lines: straight between the sizes that were
 * measured, and beyond the last as steep as just before it. The planner adds up and takes the least.
 *
 * Dirty lines are what the curves are for. Whether a line is dirty cannot be asked of a CPU, only
 * known in advance, and the batch has dropped by then what it knows to be clean. What is left was
 * most likely just written; and the doorbell waits for the worst case, so the worst case is what is
 * to be kept small.
 *
 * Cautious. An alternative to the plain way has to be cheaper by 1/32, more than two measurements of
 * the same thing differ, so that noise does not wake other CPUs for nothing. A crew that is better at
 * one size, and at none of the sizes next to it, was better by chance; and below two of its shares it
 * has nothing to share. Below its smallest measured size an alternative costs as much as there (waking
 * a flush CPU takes its time however little there is to do), while plain lines cost in proportion.
 * WBINVD is never taken without having been measured, nor on more CPUs than it was measured on. A
 * curve never falls: where a larger size was measured to be cheaper, that is noise, and the larger
 * cost holds.
 *
 * Mixed batches. A line's cost depends on how many there are (beyond a cache's size it is another)
 * more than on the operation, so both ways are looked up at the size of the whole batch and weighted.
 *
 * Integers only: slopes have 20 bits of fraction, lines are capped at 2^40 and costs at 2^43 ns, so
 * that no product overflows 128 bits and no sum 64.
 *
 * Threading: a planner is constant once made; any thread asks it.
 */
#include <string.h>

#include "planner.h"

#define SLOPE_BITS 20
#define MAX_LINES ((uint64_t)1 << 40)
#define MAX_NS ((uint64_t)1 << 43)

/* What a range of its own costs beside its lines, on top of one long range: a call and a loop. */
#define RANGE_NS 5u

/* The built-in figures, on the slow side of what is met: 3 ns a line is 21 GB/s. */
#define DEFAULT_LINE_NS 3u
#define DEFAULT_CREW_LINES ((uint64_t)(1 << 20) / NSDK_LINE_BYTES)
#define DEFAULT_CREW_NS 20000u

/* Two shares of the smallest size (crew_job.c). */
#define CREW_LEAST_LINES 512u

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t nsdk_curve_ns(const struct nsdk_curve *curve, uint64_t lines)
{
	unsigned i = 0;

	if (curve->count == 0)
		return UINT64_MAX;
	lines = least(lines, MAX_LINES);
	while (i + 1 < curve->count && curve->at[i + 1].lines <= lines)
		i++;
	if (lines < curve->at[0].lines)
		return curve->at[0].ns;
	return least(curve->at[i].ns + (uint64_t)((unsigned __int128)(lines - curve->at[i].lines) *
							  curve->at[i].slope >>
						  SLOPE_BITS),
		     MAX_NS);
}

/* ---- Making one ---- */

static void curve_add(struct nsdk_curve *curve, uint64_t lines, uint64_t ns)
{
	lines = least(lines, MAX_LINES);
	ns = least(ns, MAX_NS);
	if (curve->count > 0) {
		if (lines <= curve->at[curve->count - 1].lines)
			return;
		if (ns < curve->at[curve->count - 1].ns)
			ns = curve->at[curve->count - 1].ns;
	}
	curve->at[curve->count].lines = lines;
	curve->at[curve->count].ns = ns;
	curve->count++;
}

static void curve_finish(struct nsdk_curve *curve)
{
	uint64_t slope = 0;

	for (unsigned i = 0; i + 1 < curve->count; i++) {
		slope = ((curve->at[i + 1].ns - curve->at[i].ns) << SLOPE_BITS) /
			(curve->at[i + 1].lines - curve->at[i].lines);
		curve->at[i].slope = slope;
	}
	if (curve->count > 0)
		curve->at[curve->count - 1].slope = slope;
}

/* The curve of a table. Plainly done, nothing costs nothing; else as much as the smallest size. */
static void curve_make(struct nsdk_curve *curve, const struct nsdk_tune_table *table, bool plain)
{
	memset(curve, 0, sizeof(*curve));
	if (table == NULL || table->count == 0)
		return;
	if (plain)
		curve_add(curve, 0, 0);
	for (unsigned i = 0; i < table->count; i++)
		curve_add(curve, table->points[i].bytes / NSDK_LINE_BYTES, table->points[i].ns);
	/* A single point has no slope of its own, and what costs nothing more is nobody's machine. */
	if (curve->count == 1 && curve->at[0].lines != 0) {
		curve->at[0].slope = (curve->at[0].ns << SLOPE_BITS) / curve->at[0].lines;
		return;
	}
	curve_finish(curve);
}

/* Take back what a crew gained at a single size; see the top. */
static void drop_chance(struct nsdk_curve *crew, const struct nsdk_curve *lines)
{
	bool cheaper[NSDK_TUNE_MAX_POINTS + 2] = { false }; /* with one before and one behind */

	for (unsigned i = 0; i < crew->count; i++)
		cheaper[i + 1] = nsdk_plan_is_cheaper(crew->at[i].ns,
						      nsdk_curve_ns(lines, crew->at[i].lines));
	/* What comes behind the last is not known, so the last stands for itself. */
	cheaper[crew->count + 1] = true;
	for (unsigned i = 0; i < crew->count && crew->count > 1; i++) {
		if (cheaper[i + 1] && !cheaper[i] && !cheaper[i + 2])
			crew->at[i].ns = nsdk_curve_ns(lines, crew->at[i].lines);
		if (i > 0 && crew->at[i].ns < crew->at[i - 1].ns)
			crew->at[i].ns = crew->at[i - 1].ns;
	}
	curve_finish(crew);
}

static void take_crew(struct nsdk_planner *planner, const struct nsdk_profile *profile, unsigned cpus)
{
	const struct nsdk_tune_table *table[2];

	for (unsigned way = 0; way < 2; way++)
		table[way] = nsdk_profile_table(profile, NSDK_TUNE_CREW, (enum nsdk_tune_way)way,
						NSDK_TUNE_DIRTY, cpus);
	if (table[0] == NULL || table[1] == NULL || planner->crews == NSDK_PLANNER_MAX_CURVES)
		return;
	for (unsigned way = 0; way < 2; way++) {
		curve_make(&planner->crew[planner->crews].way[way], table[way], false);
		drop_chance(&planner->crew[planner->crews].way[way], &planner->lines[way]);
	}
	planner->crew[planner->crews++].cpus = cpus;
	planner->crew_measured = true;
}

static void take_wbinvd(struct nsdk_planner *planner, const struct nsdk_tune_table *table)
{
	if (table == NULL || planner->wbinvds == NSDK_PLANNER_MAX_CURVES)
		return;
	curve_make(&planner->wbinvd[planner->wbinvds].curve, table, false);
	planner->wbinvd[planner->wbinvds++].cpus = table->cpus;
}

/* Every point at which one of two curves bends, rising, with both ends. */
static unsigned bends(const struct nsdk_curve *a, const struct nsdk_curve *b, uint64_t *out)
{
	unsigned count = 0, i = 0, k = 0;

	out[count++] = 0;
	while (i < a->count || k < b->count) {
		uint64_t next = least(i < a->count ? a->at[i].lines : UINT64_MAX,
				      k < b->count ? b->at[k].lines : UINT64_MAX);

		i += i < a->count && a->at[i].lines == next;
		k += k < b->count && b->at[k].lines == next;
		if (next > out[count - 1])
			out[count++] = next;
	}
	if (out[count - 1] < MAX_LINES)
		out[count++] = MAX_LINES;
	return count;
}

static bool cheaper_at(const struct nsdk_curve *lines, const struct nsdk_curve *other, uint64_t at)
{
	return nsdk_plan_is_cheaper(nsdk_curve_ns(other, at), nsdk_curve_ns(lines, at));
}

uint64_t nsdk_curve_crossing(const struct nsdk_curve *lines, const struct nsdk_curve *other)
{
	uint64_t points[2 * (NSDK_TUNE_MAX_POINTS + 1) + 2], low, high;
	unsigned count;

	if (lines->count == 0 || other->count == 0)
		return UINT64_MAX;
	count = bends(lines, other, points);
	for (unsigned i = 0; i < count; i++) {
		if (!cheaper_at(lines, other, points[i]))
			continue;
		if (i == 0)
			return points[0];
		/* Both are straight from the bend before to here, so they cross once. */
		low = points[i - 1];
		high = points[i];
		while (high - low > 1) {
			uint64_t middle = low + (high - low) / 2;

			if (cheaper_at(lines, other, middle))
				high = middle;
			else
				low = middle;
		}
		return high;
	}
	return UINT64_MAX;
}

/*
 * The least size at which any alternative may win. A mixed batch's costs lie between those of its two
 * ways, in proportion; so where an alternative loses both ways it loses every mixture.
 */
static void find_threshold(struct nsdk_planner *planner)
{
	uint64_t threshold = planner->crew_measured ? UINT64_MAX : DEFAULT_CREW_LINES;

	for (unsigned way = 0; way < 2; way++) {
		const struct nsdk_curve *lines = &planner->lines[way];

		for (unsigned i = 0; i < planner->crews; i++) {
			uint64_t crew = nsdk_curve_crossing(lines, &planner->crew[i].way[way]);

			threshold = least(threshold,
					  crew < CREW_LEAST_LINES ? CREW_LEAST_LINES : crew);
		}
		for (unsigned i = 0; i < planner->wbinvds; i++)
			threshold = least(threshold,
					  nsdk_curve_crossing(lines, &planner->wbinvd[i].curve));
	}
	planner->threshold_lines = threshold;
}

void nsdk_planner_default(struct nsdk_planner *planner)
{
	memset(planner, 0, sizeof(*planner));
	for (unsigned way = 0; way < 2; way++) {
		curve_add(&planner->lines[way], 0, 0);
		curve_add(&planner->lines[way], 1 << 20, (uint64_t)DEFAULT_LINE_NS << 20);
		curve_finish(&planner->lines[way]);
	}
	find_threshold(planner);
}

void nsdk_planner_from_profile(struct nsdk_planner *planner, const struct nsdk_profile *profile)
{
	const struct nsdk_tune_table *table, *tables;
	unsigned count = 0;

	nsdk_planner_default(planner);
	if (profile == NULL)
		return;
	for (unsigned way = 0; way < 2; way++) {
		table = nsdk_profile_table(profile, NSDK_TUNE_LINES, (enum nsdk_tune_way)way,
					   NSDK_TUNE_DIRTY, 1);
		/* Without these there is nothing to compare the rest with. */
		if (table == NULL)
			return;
	}
	for (unsigned way = 0; way < 2; way++)
		curve_make(&planner->lines[way],
			   nsdk_profile_table(profile, NSDK_TUNE_LINES, (enum nsdk_tune_way)way,
					      NSDK_TUNE_DIRTY, 1),
			   true);
	tables = nsdk_profile_tables(profile, &count);
	/* By number of CPUs, whatever their order in the file. */
	for (unsigned cpus = 1, more = 1; more != 0; cpus = more) {
		more = 0;
		for (unsigned i = 0; i < count; i++) {
			table = &tables[i];
			if (table->cpus > cpus && (more == 0 || table->cpus < more))
				more = table->cpus;
			if (table->cpus != cpus)
				continue;
			if (table->what == NSDK_TUNE_CREW && table->way == NSDK_TUNE_WRITEBACK)
				take_crew(planner, profile, cpus);
			else if (table->what == NSDK_TUNE_WBINVD)
				take_wbinvd(planner, table);
		}
	}
	find_threshold(planner);
}

/* ---- Asking it ---- */

/* A batch of both ways, in proportion. */
static uint64_t weigh(const struct nsdk_curve way[2], uint64_t writeback, uint64_t invalidate)
{
	uint64_t lines = writeback + invalidate;
	unsigned __int128 sum;

	if (invalidate == 0)
		return nsdk_curve_ns(&way[NSDK_TUNE_WRITEBACK], lines);
	if (writeback == 0)
		return nsdk_curve_ns(&way[NSDK_TUNE_INVALIDATE], lines);
	sum = (unsigned __int128)nsdk_curve_ns(&way[NSDK_TUNE_WRITEBACK], lines) * writeback +
	      (unsigned __int128)nsdk_curve_ns(&way[NSDK_TUNE_INVALIDATE], lines) * invalidate;
	return (uint64_t)(sum / lines);
}

void nsdk_planner_costs(const struct nsdk_planner *planner, const struct nsdk_plan_input *in,
			struct nsdk_plan_costs *out)
{
	uint64_t writeback = least(in->writeback_lines, MAX_LINES / 2);
	uint64_t invalidate = least(in->invalidate_lines, MAX_LINES / 2);
	uint64_t lines = writeback + invalidate, ranges_ns = (uint64_t)in->ranges * RANGE_NS;

	out->lines = lines;
	out->count = 1;
	out->way[0].cpus = 0;
	out->way[0].ns = weigh(planner->lines, writeback, invalidate) + ranges_ns;
	for (unsigned i = 0; i < planner->crews && planner->crew[i].cpus <= in->crew_cpus; i++) {
		if (lines < CREW_LEAST_LINES)
			break;
		out->way[out->count].cpus = planner->crew[i].cpus;
		out->way[out->count++].ns =
			weigh(planner->crew[i].way, writeback, invalidate) + ranges_ns;
	}
	if (!planner->crew_measured && in->crew_cpus > 0 && lines >= DEFAULT_CREW_LINES) {
		out->way[1].cpus = in->crew_cpus;
		out->way[1].ns = out->way[0].ns / ((uint64_t)in->crew_cpus + 1) + DEFAULT_CREW_NS;
		out->count = 2;
	}
	out->wbinvd_ns = UINT64_MAX;
	for (unsigned i = 0; i < planner->wbinvds && in->wbinvd_cpus > 0; i++) {
		/* The first that was measured on as many CPUs or more; they rise. */
		if (planner->wbinvd[i].cpus < in->wbinvd_cpus)
			continue;
		out->wbinvd_ns = nsdk_curve_ns(&planner->wbinvd[i].curve, lines);
		break;
	}
}

void nsdk_planner_choose(const struct nsdk_planner *planner, const struct nsdk_plan_input *in,
			 struct nsdk_plan *out)
{
	struct nsdk_plan_costs costs;

	nsdk_planner_costs(planner, in, &costs);
	out->kind = NSDK_PLAN_LINES;
	out->crew_cpus = 0;
	out->ns = costs.way[0].ns;
	if (costs.lines < planner->threshold_lines)
		return;
	for (unsigned i = 1; i < costs.count; i++) {
		if (!nsdk_plan_is_cheaper(costs.way[i].ns, costs.way[0].ns) || costs.way[i].ns >= out->ns)
			continue;
		out->kind = NSDK_PLAN_CREW;
		out->crew_cpus = costs.way[i].cpus;
		out->ns = costs.way[i].ns;
	}
	if (nsdk_plan_is_cheaper(costs.wbinvd_ns, costs.way[0].ns) && costs.wbinvd_ns < out->ns) {
		out->kind = NSDK_PLAN_WBINVD;
		out->crew_cpus = 0;
		out->ns = costs.wbinvd_ns;
	}
}

/* ---- Showing it ---- */

static void note_crossing(const struct nsdk_planner *planner, enum nsdk_tune_what what, unsigned way,
			  unsigned cpus, const struct nsdk_curve *other,
			  struct nsdk_tune_crossover *out)
{
	uint64_t lines = nsdk_curve_crossing(&planner->lines[way], other);

	*out = (struct nsdk_tune_crossover){
		.what = what,
		.way = (enum nsdk_tune_way)way,
		.cpus = cpus,
		/* What lies beyond all sizes is a slope's guess, and none of a machine's sizes. */
		.bytes = lines <= NSDK_TUNE_MAX_BYTES / NSDK_LINE_BYTES ? lines * NSDK_LINE_BYTES : 0,
	};
}

unsigned nsdk_profile_crossovers(const struct nsdk_profile *profile, struct nsdk_tune_crossover *out,
				 unsigned max)
{
	struct nsdk_tune_crossover unused;
	struct nsdk_planner planner;
	unsigned count = 0;

	nsdk_planner_from_profile(&planner, profile);
	for (unsigned way = 0; way < 2; way++) {
		for (unsigned i = 0; i < planner.crews; i++, count++)
			note_crossing(&planner, NSDK_TUNE_CREW, way, planner.crew[i].cpus,
				      &planner.crew[i].way[way], count < max ? &out[count] : &unused);
		for (unsigned i = 0; i < planner.wbinvds; i++, count++)
			note_crossing(&planner, NSDK_TUNE_WBINVD, way, planner.wbinvd[i].cpus,
				      &planner.wbinvd[i].curve, count < max ? &out[count] : &unused);
	}
	return count;
}
