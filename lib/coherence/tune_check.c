/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner against brute force: nsdk_tune_check().
 *
 * At each size the planner's choice and every alternative take turns, as they did when the profile was
 * made (tune_contest.c). The fastest is the one with the least median ratio to the submitting CPU's
 * line operations; the planner's choice is held against it round by round, and the median of those
 * ratios is the result. The planner's own time counts.
 *
 * The planner is the one that batches have, with what it learns (learner.c): from its own turns, the first
 * of each visit included, and from nobody else's. Turns that others spoiled teach it nothing, as they count
 * for nobody; a batch cannot tell, and has to rely on two samples that agree. Its tries are among its turns,
 * but are few, so a median does not show them: the learner's accounts bound what they cost.
 * What the profile alone would have chosen is one of the alternatives, so how that compares is known as well.
 */
#include <errno.h>
#include <stdlib.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "tune.h"

static const struct tune_pace full = { 650000000, 21, 501, 5 };
static const struct tune_pace quick = { 35000000, 21, 21, 3 };

static void enter(struct tune_contest *contest, enum nsdk_tune_what what, enum nsdk_tune_way way,
		  unsigned cpus, const struct nsdk_planner *planner)
{
	struct tune_subject subject = {
		.what = what,
		.way = way,
		.state = NSDK_TUNE_DIRTY,
		.cpus = cpus,
		.planner = planner,
	};

	nsdk_contest_enter(contest, &subject);
}

/* The planner's choice, and whatever there is to choose from, measured or not. */
static void enter_all(struct tune *tune, struct tune_contest *contest, enum nsdk_tune_way way,
		      const struct nsdk_planner *planner)
{
	enter(contest, NSDK_TUNE_LINES, way, 1, planner);
	enter(contest, NSDK_TUNE_LINES, way, 1, NULL);
	for (unsigned n = tune->crew != NULL; n != 0; n = nsdk_tune_next_count(n, tune->crew_cpus))
		enter(contest, NSDK_TUNE_CREW, way, n, NULL);
	if (tune->gate != NULL)
		enter(contest, NSDK_TUNE_WBINVD, way, 1, NULL);
}

static enum nsdk_tune_what what_of(const struct nsdk_plan *plan)
{
	return plan->kind == NSDK_PLAN_CREW   ? NSDK_TUNE_CREW :
	       plan->kind == NSDK_PLAN_WBINVD ? NSDK_TUNE_WBINVD :
						NSDK_TUNE_LINES;
}

/* The alternative that a plan is. */
static unsigned find(const struct tune_contest *contest, const struct nsdk_plan *plan)
{
	unsigned cpus = plan->kind == NSDK_PLAN_CREW ? plan->crew_cpus : 1;

	for (unsigned i = 1; i < contest->count; i++) {
		if (contest->subjects[i].what == what_of(plan) && contest->subjects[i].cpus == cpus)
			return i;
	}
	return 0; /* measured with another number of flush CPUs than is tried here: as what was done */
}

static void judge(struct tune *tune, const struct tune_contest *contest, struct nsdk_tune_check *out)
{
	const struct tune_subject *planned = &contest->subjects[0];
	uint64_t best_ppm = UINT64_MAX;
	struct nsdk_plan plan;
	unsigned best = 1;

	out->bytes = contest->bytes;
	out->way = planned->way;
	nsdk_tune_plan(tune, planned, contest->bytes, true, &plan);
	out->chosen = what_of(&plan);
	out->chosen_cpus = plan.kind == NSDK_PLAN_CREW ? plan.crew_cpus : 1;
	out->chosen_ns = nsdk_contest_ns(contest, 0, 50);
	out->alternatives = contest->count - 1;
	for (unsigned i = 1; i < contest->count; i++) {
		uint64_t ppm = nsdk_contest_ratio_ppm(contest, i, 1, 50);

		if (ppm >= best_ppm)
			continue;
		best_ppm = ppm;
		best = i;
	}
	out->best = contest->subjects[best].what;
	out->best_cpus = contest->subjects[best].cpus;
	out->best_ns = nsdk_contest_ns(contest, best, 50);
	out->ratio_ppm = nsdk_contest_ratio_ppm(contest, 0, best, 50);
	nsdk_tune_plan(tune, planned, contest->bytes, false, &plan);
	out->static_ratio_ppm = nsdk_contest_ratio_ppm(contest, find(contest, &plan), best, 50);
}

/* The sizes, and half-way between each and the next: there the planner has nothing but its curve. */
static unsigned all_sizes(const struct tune *tune, uint64_t *sizes)
{
	unsigned count = 0;

	for (unsigned i = 0; i < tune->size_count; i++) {
		sizes[count++] = tune->sizes[i];
		if (i + 1 < tune->size_count) {
			uint64_t middle = (tune->sizes[i] + tune->sizes[i + 1]) / 2;

			middle -= middle % NSDK_LINE_BYTES;
			if (middle > tune->sizes[i])
				sizes[count++] = middle;
		}
	}
	return count;
}

static int check_all(struct tune *tune, const struct nsdk_planner *planner, struct tune_series *series,
		     struct nsdk_tune_check *out, unsigned max)
{
	uint64_t sizes[2 * NSDK_TUNE_MAX_POINTS];
	unsigned count = all_sizes(tune, sizes);
	struct tune_contest *contest;
	int rc;

	rc = nsdk_series_init(series, tune->opts->quick ? &quick : &full, 1, 2 * count);
	if (rc != 0)
		return rc;
	for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE; way++) {
		for (unsigned i = 0; i < count && series->count < max; i++) {
			contest = nsdk_series_add(series, sizes[i]);
			if (contest != NULL)
				enter_all(tune, contest, (enum nsdk_tune_way)way, planner);
		}
	}
	tune->steps = nsdk_series_steps(series);
	rc = nsdk_series_hold(tune, series);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < series->count; i++)
		judge(tune, &series->contests[i], &out[i]);
	return (int)series->count;
}

int nsdk_tune_check(const struct nsdk_tune_opts *opts, const struct nsdk_profile *profile,
		    struct nsdk_tune_check *out, unsigned max)
{
	struct {
		struct nsdk_planner planner;
		struct nsdk_learner learner;
	} *checked = calloc(1, sizeof(*checked));
	struct tune_series series = { .count = 0 };
	struct tune tune;
	int rc;

	if (checked == NULL)
		return nsdk_fail(-ENOMEM, "coherence", "no memory to check the planner");
	nsdk_planner_from_profile(&checked->planner, profile);
	nsdk_learner_init(&checked->learner);
	rc = nsdk_tune_begin(&tune, opts);
	tune.learner = &checked->learner;
	if (rc == 0)
		rc = nsdk_tune_open_crew(&tune, (unsigned)nsdk_cpumask_next(&tune.cpus, 0));
	if (rc == 0) {
		rc = check_all(&tune, &checked->planner, &series, out, max);
		if (rc < 0 && rc != -EINTR && rc != -ENOMEM)
			nsdk_fail(rc, "coherence",
				  "the planner cannot be checked: a flush CPU or WBINVD stopped working");
	}
	nsdk_series_fini(&series);
	nsdk_tune_end(&tune);
	free(checked);
	return rc;
}
