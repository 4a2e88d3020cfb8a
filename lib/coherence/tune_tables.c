/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything there is to measure, table by table: nsdk_tune_flush().
 *
 * What cannot be measured (nobody named flush CPUs, the gate is closed) is left out with its reason;
 * what is measured has to make sense as a whole, or it is measured again: a table that a reader of the
 * profile would refuse is not written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "tune.h"

#define TRIES 3

/* One way alone, for who wants to know. */
static const struct tune_pace full = { 120000000, 9, 101, 1 };
static const struct tune_pace quick = { 8000000, 3, 21, 1 };
/* Ways that the planner chooses between. */
static const struct tune_pace full_turns = { 300000000, 24, 128, 8 };
static const struct tune_pace quick_turns = { 8000000, 6, 21, 3 };
/* Each stops the machine for a while. */
static const struct tune_pace rare = { 120000000, 5, 9, 1 };

static const uint64_t wbinvd_sizes[] = { 0, 1u << 20, 16u << 20 };

/* ---- From contests to tables ---- */

static struct nsdk_tune_table *find_table(struct nsdk_profile_flush *out, unsigned from,
					  const struct tune_subject *subject)
{
	struct nsdk_tune_table *table;

	for (table = &out->tables[from]; table < &out->tables[out->count]; table++) {
		if (table->what == subject->what && table->way == subject->way &&
		    table->state == subject->state && table->cpus == subject->cpus)
			return table;
	}
	if (out->count == NSDK_PROFILE_MAX_TABLES)
		return NULL;
	*table = (struct nsdk_tune_table){
		.what = subject->what,
		.way = subject->way,
		.state = subject->state,
		.cpus = subject->cpus,
	};
	out->count++;
	return table;
}

/* What each way took at each size. What there is no room for is left out. */
static void fill_tables(const struct tune_series *series, struct nsdk_profile_flush *out, unsigned from)
{
	for (unsigned s = 0; s < series->count; s++) {
		const struct tune_contest *contest = &series->contests[s];

		for (unsigned i = 0; i < contest->count; i++) {
			struct nsdk_tune_table *table = find_table(out, from, &contest->subjects[i]);

			if (table != NULL && table->count < NSDK_TUNE_MAX_POINTS)
				nsdk_contest_point(contest, i, &table->points[table->count++]);
		}
	}
}

/* Hold the contests and make tables of them, once more if they make no sense. */
static int measure_series(struct tune *tune, struct tune_series *series, struct nsdk_profile_flush *out)
{
	const char *what = nsdk_tune_what_name(series->contests[0].subjects[0].what), *why = "";
	unsigned from = out->count;

	for (unsigned try = 0; try < TRIES; try++) {
		bool ok = true;
		int rc;

		/* Trying again is not a step of its own. */
		tune->step -= try > 0 ? nsdk_series_steps(series) : 0;
		rc = nsdk_series_hold(tune, series);
		if (rc != 0)
			return rc;
		fill_tables(series, out, from);
		for (unsigned i = from; i < out->count && ok; i++)
			ok = nsdk_profile_table_ok(&out->tables[i], &why);
		if (ok)
			return 0;
		memset(&out->tables[from], 0, (out->count - from) * sizeof(out->tables[0]));
		out->count = from;
	}
	return nsdk_fail(-EBUSY, "coherence",
			 "the costs measured for %s make no sense (%s), so the machine is too busy to "
			 "measure; try again when it is quiet", what, why);
}

/* One way alone. */
static int measure_table(struct tune *tune, const struct tune_subject *subject, const uint64_t *sizes,
			 unsigned count, struct nsdk_profile_flush *out)
{
	const struct tune_pace *pace = tune->opts->quick ? &quick : &full;
	unsigned cpus = nsdk_cpumask_weight(&tune->cpus);
	struct tune_series series;
	int rc;

	if (subject->what == NSDK_TUNE_WBINVD) {
		pace = &rare;
		cpus = 1; /* it runs on the gate's, wherever it is asked for */
	}
	rc = nsdk_series_init(&series, pace, cpus, count);
	for (unsigned i = 0; i < count && rc == 0; i++)
		nsdk_contest_enter(nsdk_series_add(&series, sizes[i]), subject);
	if (rc == 0)
		rc = measure_series(tune, &series, out);
	nsdk_series_fini(&series);
	return rc;
}

/* ---- Table by table ---- */

/* Of lines that are clean or absent, which nobody plans by, but a reader wants to compare. */
static int measure_states(struct tune *tune, struct nsdk_profile_flush *out)
{
	int rc = 0;

	for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE; way++) {
		for (unsigned state = NSDK_TUNE_CLEAN; state <= NSDK_TUNE_ABSENT && rc == 0; state++) {
			struct tune_subject subject = {
				.what = NSDK_TUNE_LINES,
				.way = (enum nsdk_tune_way)way,
				.state = (enum nsdk_tune_state)state,
				.cpus = 1,
			};

			rc = measure_table(tune, &subject, tune->sizes, tune->size_count, out);
		}
	}
	return rc;
}

static int measure_production(struct tune *tune, struct nsdk_profile_flush *out)
{
	static const enum nsdk_tune_what whats[] = { NSDK_TUNE_COPY, NSDK_TUNE_FILL,
						     NSDK_TUNE_MEMCPY };
	int rc = 0;

	for (unsigned i = 0; i < 3 && rc == 0; i++) {
		struct tune_subject subject = {
			.what = whats[i],
			.state = NSDK_TUNE_ABSENT,
			.cpus = 1,
		};

		rc = measure_table(tune, &subject, tune->sizes, tune->size_count, out);
	}
	return rc;
}

/* Dirty lines on the submitting CPU, and with each number of flush CPUs. */
static void enter_dirty(const struct tune *tune, struct tune_contest *contest, enum nsdk_tune_way way)
{
	struct tune_subject subject = {
		.what = NSDK_TUNE_LINES,
		.way = way,
		.state = NSDK_TUNE_DIRTY,
		.cpus = 1,
	};

	nsdk_contest_enter(contest, &subject);
	subject.what = NSDK_TUNE_CREW;
	for (unsigned n = tune->crew != NULL; n != 0; n = nsdk_tune_next_count(n, tune->crew_cpus)) {
		subject.cpus = n;
		nsdk_contest_enter(contest, &subject);
	}
}

/*
 * What the planner goes by. All sizes, both ways, are one series, so that whatever disturbs one for a
 * while disturbs all a little; and the flush CPUs spin beside the plain way too, as they do when the
 * engine uses it.
 */
static int measure_dirty(struct tune *tune, struct nsdk_profile_flush *out)
{
	struct tune_series series;
	int rc = nsdk_series_init(&series, tune->opts->quick ? &quick_turns : &full_turns,
				  nsdk_cpumask_weight(&tune->cpus), 2 * tune->size_count);

	for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE && rc == 0; way++) {
		for (unsigned i = 0; i < tune->size_count; i++)
			enter_dirty(tune, nsdk_series_add(&series, tune->sizes[i]),
				    (enum nsdk_tune_way)way);
	}
	if (rc == 0)
		rc = measure_series(tune, &series, out);
	nsdk_series_fini(&series);
	return rc;
}

static int measure_with_crew(struct tune *tune, struct nsdk_profile_flush *out)
{
	char *skipped = out->skipped[nsdk_profile_skip_index(NSDK_TUNE_CREW)];
	unsigned before = out->count, step = tune->step;
	struct nsdk_crew_stats stats;
	int rc;

	if (tune->crew_cpus == 0) {
		snprintf(skipped, sizeof(out->skipped[0]), "no flush CPUs were named");
		return measure_dirty(tune, out);
	}
	rc = nsdk_tune_open_crew(tune, (unsigned)nsdk_cpumask_next(&tune->cpus, 0));
	if (rc != 0)
		return rc;
	tune->crowded = 0;
	rc = measure_dirty(tune, out);
	nsdk_crew_stats(tune->crew, &stats);
	nsdk_crew_destroy(tune->crew);
	tune->crew = NULL;
	if (rc == 0 && (stats.members_lost == 0 || tune->crowded == 0))
		return 0;
	if (rc != 0 && rc != -ENODEV)
		return rc;
	/* Somebody else runs there: what was measured is not what a crew costs. */
	snprintf(skipped, sizeof(out->skipped[0]),
		 "a flush CPU did not answer in time: something else runs there");
	out->count = before;
	tune->step = step;
	return measure_dirty(tune, out);
}

static int measure_wbinvd(struct tune *tune, struct nsdk_profile_flush *out)
{
	char *skipped = out->skipped[nsdk_profile_skip_index(NSDK_TUNE_WBINVD)];
	unsigned all = nsdk_cpumask_weight(&tune->cpus), before = out->count;
	int rc = 0;

	snprintf(skipped, sizeof(out->skipped[0]), "%s", tune->wbinvd_skipped);
	if (tune->gate == NULL)
		return 0;
	for (unsigned cpus = 1; cpus != 0 && rc == 0; cpus = nsdk_tune_next_count(cpus, all)) {
		struct tune_subject subject = {
			.what = NSDK_TUNE_WBINVD,
			.state = NSDK_TUNE_DIRTY,
			.cpus = cpus,
		};

		rc = measure_table(tune, &subject, wbinvd_sizes,
				   sizeof(wbinvd_sizes) / sizeof(wbinvd_sizes[0]), out);
	}
	if (rc == -EPERM || rc == -EIO || rc == -EAGAIN) {
		out->count = before;
		snprintf(skipped, sizeof(out->skipped[0]), "WBINVD failed: %s",
			 nsdk_gate_reason(tune->gate));
		rc = 0;
	}
	return rc;
}

static void count_steps(struct tune *tune)
{
	const struct tune_pace *turns = tune->opts->quick ? &quick_turns : &full_turns;
	/* Clean and absent, both ways; three productions; dirty, both ways, in each pass. */
	unsigned rows = 4 + 3 + 2 * turns->passes, wbinvds = 0;

	for (unsigned n = tune->gate != NULL; n != 0;
	     n = nsdk_tune_next_count(n, nsdk_cpumask_weight(&tune->cpus)))
		wbinvds += sizeof(wbinvd_sizes) / sizeof(wbinvd_sizes[0]);
	tune->steps = rows * tune->size_count + wbinvds;
}

/* Who, when, with what. */
static void describe(const struct tune *tune, struct nsdk_profile_flush *out)
{
	struct nsdk_line_info lines;

	nsdk_line_info(&lines);
	snprintf(out->writeback, sizeof(out->writeback), "%s", lines.writeback);
	snprintf(out->invalidate, sizeof(out->invalidate), "%s", lines.invalidate);
	nsdk_cpumask_format(&tune->cpus, out->cpus, sizeof(out->cpus));
	nsdk_cpumask_format(&tune->opts->flush_cpus, out->flush_cpus, sizeof(out->flush_cpus));
	out->hugepages = tune->hugepages;
	nsdk_profile_now(out->date);
}

int nsdk_tune_flush(const struct nsdk_tune_opts *opts, struct nsdk_profile *profile)
{
	struct nsdk_profile_flush *out = calloc(1, sizeof(*out));
	struct tune tune;
	int rc;

	if (out == NULL)
		return nsdk_fail(-ENOMEM, "coherence", "no memory for a flush profile");
	rc = nsdk_tune_begin(&tune, opts);
	count_steps(&tune);
	if (rc == 0)
		rc = measure_states(&tune, out);
	if (rc == 0)
		rc = measure_production(&tune, out);
	if (rc == 0)
		rc = measure_with_crew(&tune, out);
	/* Last: it disturbs everybody, what is measured here included. */
	if (rc == 0)
		rc = measure_wbinvd(&tune, out);
	if (rc == 0) {
		describe(&tune, out);
		profile->flush = *out;
	}
	nsdk_tune_end(&tune);
	free(out);
	return rc;
}
