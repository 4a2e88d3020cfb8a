/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner against brute force: nsdk_tune_check().
 *
 * At each size the planner's choice and every alternative take turns, in an order that rotates, so
 * that a disturbance, a frequency that drifts, a cache that others fill, hit them all alike. The
 * fastest is the one with the least median; the planner's choice is held against it round by round,
 * and the median of those ratios is the result, since what changes from minute to minute cancels out
 * within a round. The planner's own time counts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "tune.h"

#define MAX_SUBJECTS 16
#define ROUNDS_MOST 501u
#define ROUNDS_LEAST 21u
#define ROUNDS_QUICK 21u
#define SIZE_NS ((uint64_t)2000000000)
#define SIZE_QUICK_NS ((uint64_t)100000000)

struct contest {
	unsigned count; /* subject 0 is the planner's choice */
	struct tune_subject subjects[MAX_SUBJECTS];
	uint64_t samples[MAX_SUBJECTS][ROUNDS_MOST];
	uint64_t sorted[ROUNDS_MOST];
};

static void enter(struct contest *contest, enum nsdk_tune_what what, enum nsdk_tune_way way,
		  unsigned cpus, const struct nsdk_planner *planner)
{
	if (contest->count == MAX_SUBJECTS)
		return;
	contest->subjects[contest->count++] = (struct tune_subject){
		.what = what,
		.way = way,
		.state = NSDK_TUNE_DIRTY,
		.cpus = cpus,
		.planner = planner,
	};
}

/* Whatever there is to choose from, measured or not. */
static void enter_all(struct tune *tune, struct contest *contest, enum nsdk_tune_way way,
		      const struct nsdk_planner *planner)
{
	contest->count = 0;
	enter(contest, NSDK_TUNE_LINES, way, 1, planner);
	enter(contest, NSDK_TUNE_LINES, way, 1, NULL);
	for (unsigned n = tune->crew != NULL; n != 0; n = nsdk_tune_next_count(n, tune->crew_cpus))
		enter(contest, NSDK_TUNE_CREW, way, n, NULL);
	if (tune->gate != NULL)
		enter(contest, NSDK_TUNE_WBINVD, way, 1, NULL);
}

static int hold(struct tune *tune, struct contest *contest, uint64_t bytes, unsigned *rounds)
{
	uint64_t deadline_ns = nsdk_clock_ns() + (tune->opts->quick ? SIZE_QUICK_NS : SIZE_NS), ns;
	unsigned most = tune->opts->quick ? ROUNDS_QUICK : ROUNDS_MOST;
	int rc = 0;

	for (unsigned i = 0; i < contest->count && rc == 0; i++)
		rc = nsdk_tune_sample(tune, &contest->subjects[i], bytes, &ns); /* to warm up */
	for (*rounds = 0; *rounds < most && rc == 0; (*rounds)++) {
		if (*rounds >= ROUNDS_LEAST && nsdk_clock_ns() >= deadline_ns)
			break;
		for (unsigned i = 0; i < contest->count && rc == 0; i++) {
			unsigned which = (i + *rounds) % contest->count;

			rc = nsdk_tune_sample(tune, &contest->subjects[which], bytes,
					 &contest->samples[which][*rounds]);
		}
	}
	return rc;
}

static uint64_t median_of(struct contest *contest, unsigned which, unsigned rounds)
{
	memcpy(contest->sorted, contest->samples[which], rounds * sizeof(contest->sorted[0]));
	return nsdk_tune_quantile(contest->sorted, rounds, 50);
}

static void judge(struct tune *tune, struct contest *contest, unsigned rounds,
		  struct nsdk_tune_check *out)
{
	const struct nsdk_planner *planner = contest->subjects[0].planner;
	bool writeback = out->way == NSDK_TUNE_WRITEBACK;
	uint64_t lines = out->bytes / NSDK_LINE_BYTES;
	struct nsdk_plan_input in = {
		.writeback_lines = writeback ? lines : 0,
		.invalidate_lines = writeback ? 0 : lines,
		.ranges = 1,
		.crew_cpus = tune->crew != NULL ? tune->crew_cpus : 0,
		.wbinvd_cpus = tune->gate != NULL ? 1 : 0,
	};
	struct nsdk_plan plan;
	unsigned best = 1;

	nsdk_planner_choose(planner, &in, &plan);
	out->chosen = plan.kind == NSDK_PLAN_CREW   ? NSDK_TUNE_CREW :
		      plan.kind == NSDK_PLAN_WBINVD ? NSDK_TUNE_WBINVD :
						      NSDK_TUNE_LINES;
	out->chosen_cpus = plan.kind == NSDK_PLAN_CREW ? plan.crew_cpus : 1;
	out->chosen_ns = median_of(contest, 0, rounds);
	out->alternatives = contest->count - 1;
	out->best_ns = UINT64_MAX;
	for (unsigned i = 1; i < contest->count; i++) {
		uint64_t ns = median_of(contest, i, rounds);

		if (ns >= out->best_ns)
			continue;
		out->best_ns = ns;
		best = i;
	}
	out->best = contest->subjects[best].what;
	out->best_cpus = contest->subjects[best].cpus;
	for (unsigned i = 0; i < rounds; i++)
		contest->sorted[i] = contest->samples[0][i] * 1000000 / contest->samples[best][i];
	out->ratio_ppm = nsdk_tune_quantile(contest->sorted, rounds, 50);
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

static int check_all(struct tune *tune, const struct nsdk_planner *planner, struct contest *contest,
		     struct nsdk_tune_check *out, unsigned max)
{
	uint64_t sizes[2 * NSDK_TUNE_MAX_POINTS];
	unsigned count = all_sizes(tune, sizes), done = 0, rounds;
	int rc = 0;

	tune->steps = 2 * count;
	for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE; way++) {
		enter_all(tune, contest, (enum nsdk_tune_way)way, planner);
		for (unsigned i = 0; i < count && done < max && rc == 0; i++) {
			rc = nsdk_tune_step(tune, "%s, %llu KiB, %u ways",
				       nsdk_tune_way_name((enum nsdk_tune_way)way),
				       (unsigned long long)sizes[i] >> 10, contest->count - 1);
			if (rc == 0)
				rc = hold(tune, contest, sizes[i], &rounds);
			if (rc != 0)
				break;
			out[done].bytes = sizes[i];
			out[done].way = (enum nsdk_tune_way)way;
			judge(tune, contest, rounds, &out[done++]);
		}
	}
	return rc != 0 ? rc : (int)done;
}

int nsdk_tune_check(const struct nsdk_tune_opts *opts, const struct nsdk_profile *profile,
		    struct nsdk_tune_check *out, unsigned max)
{
	struct contest *contest = calloc(1, sizeof(*contest));
	struct nsdk_planner *planner = calloc(1, sizeof(*planner));
	struct tune tune;
	int rc;

	if (contest == NULL || planner == NULL) {
		free(planner);
		free(contest);
		return nsdk_fail(-ENOMEM, "coherence", "no memory to check the planner");
	}
	nsdk_planner_from_profile(planner, profile);
	rc = nsdk_tune_begin(&tune, opts);
	if (rc == 0)
		rc = nsdk_tune_open_crew(&tune, (unsigned)nsdk_cpumask_next(&tune.cpus, 0));
	if (rc == 0) {
		rc = check_all(&tune, planner, contest, out, max);
		if (rc < 0 && rc != -EINTR)
			nsdk_fail(rc, "coherence",
				  "the planner cannot be checked: a flush CPU or WBINVD stopped working");
	}
	nsdk_tune_end(&tune);
	free(planner);
	free(contest);
	return rc;
}
