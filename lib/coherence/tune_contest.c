/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways that take turns: how the fastest of several is found on a machine that is not at rest.
 *
 * Model. A contest is one size, and the ways that compete at it. In each round every way has its turn;
 * who begins changes from round to round, so that nobody always comes after the same one. A round is
 * short, so whatever drifts (a frequency, a neighbour's appetite for memory) is the same for all in
 * it: ways are compared by the ratio of their times within a round. What they take in nanoseconds is
 * the median of the first, the reference, times that ratio.
 *
 * Of the ratios of all rounds the mean of the middle half counts. It is as deaf to outliers as a
 * median, and where a machine has two moods (virtual CPUs that share a core for some seconds, and then
 * do not) it says how often it is in which, where a median would jump from the one to the other.
 *
 * A series is all the contests of a measurement. They are visited one after the other in several
 * passes, each of which does its share of every contest's rounds: somebody who has a CPU to himself
 * for a while spoils a share of the rounds of all sizes, which a median bears, and not all the rounds
 * of one size, which it does not.
 *
 * A sample in which somebody else was at work on our CPUs says what he costs, not what the way does. It
 * is known by the CPU time that our threads, which never sleep, did not get, and is taken once more;
 * only where that goes on for long, such samples count too, in as few rounds as will do.
 *
 * Within the noise two ways are level, and a level way is given the reference's time: the reference is
 * the simplest, and is to be left only for what is surely faster. Sure means: the mean is off 1 by more
 * than 2.5 of its standard errors, which for a mean of the middle half come from the winsorized
 * variance (Tukey and McLaughlin, 1963).
 *
 * tune_tables.c makes a profile's tables of it, tune_check.c holds the planner against the rest by it.
 * So both see the same machine, and a choice can be wrong only because something has changed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "tune.h"

#define PPM ((uint64_t)1000000)
#define LEAST_ROUNDS 6u
/* So many times as long as it should take, rounds that are spoiled may be held again. */
#define PATIENCE 3u

static int no_memory(void)
{
	return nsdk_fail(-ENOMEM, "coherence", "no memory for the samples; leave out some of the sizes");
}

int nsdk_series_init(struct tune_series *series, const struct tune_pace *pace, unsigned cpus,
		     unsigned max)
{
	memset(series, 0, sizeof(*series));
	series->pace = *pace;
	series->cpus = cpus;
	series->max = max;
	/* Each CPU has a round at least. */
	series->most = pace->most < cpus ? cpus : pace->most;
	series->contests = calloc(max, sizeof(*series->contests));
	series->sorted = calloc(series->most, sizeof(*series->sorted));
	return series->contests != NULL && series->sorted != NULL ? 0 : no_memory();
}

void nsdk_series_fini(struct tune_series *series)
{
	for (unsigned i = 0; series->contests != NULL && i < series->count; i++)
		free(series->contests[i].samples);
	free(series->contests);
	free(series->sorted);
	memset(series, 0, sizeof(*series));
}

struct tune_contest *nsdk_series_add(struct tune_series *series, uint64_t bytes)
{
	struct tune_contest *contest;

	if (series->count == series->max)
		return NULL;
	contest = &series->contests[series->count++];
	contest->series = series;
	contest->bytes = bytes;
	return contest;
}

void nsdk_contest_enter(struct tune_contest *contest, const struct tune_subject *subject)
{
	if (contest->count < TUNE_MAX_SUBJECTS)
		contest->subjects[contest->count++] = *subject;
}

unsigned nsdk_series_steps(const struct tune_series *series)
{
	return series->pace.passes * series->count;
}

/* ---- Measuring ---- */

static uint64_t *samples_of(const struct tune_contest *contest, unsigned which)
{
	return contest->samples + (size_t)which * contest->series->most;
}

/*
 * One sample. One that others spoiled is taken again for as long as there is patience: flush CPUs are
 * there for nothing else when it counts, and so is who submits. A flush CPU that is gone may come back.
 */
static int take_sample(struct tune *tune, const struct tune_contest *contest, unsigned which,
		       uint64_t patient_until_ns, uint64_t *ns)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	bool alone = false;
	int rc;

	for (;;) {
		rc = nsdk_tune_sample(tune, &contest->subjects[which], contest->bytes, ns, &alone);
		if ((rc == 0 && alone) || (rc != 0 && rc != -ENODEV) ||
		    nsdk_clock_ns() >= patient_until_ns)
			break;
		if (rc != 0)
			nanosleep(&pause, NULL);
	}
	tune->crowded += !alone;
	return rc;
}

static int hold_round(struct tune *tune, struct tune_contest *contest, uint64_t patient_until_ns)
{
	int rc = 0;

	for (unsigned i = 0; i < contest->count && rc == 0; i++) {
		unsigned which = (contest->rounds + i) % contest->count;

		rc = take_sample(tune, contest, which, patient_until_ns,
				 &samples_of(contest, which)[contest->rounds]);
	}
	if (rc == 0)
		contest->rounds++;
	return rc;
}

/* All rounds that are due by the end of visit number @p visit, of @p visits. */
static int visit_contest(struct tune *tune, struct tune_contest *contest, unsigned visit,
			 unsigned visits)
{
	const struct tune_series *series = contest->series;
	uint64_t wanted = (uint64_t)series->pace.least * (visit + 1) / visits;
	unsigned needed = visit + 1 == visits ? LEAST_ROUNDS : 0;
	uint64_t most = (uint64_t)series->most * (visit + 1) / visits;
	uint64_t due_ns = series->pace.ns * contest->count * series->cpus * (visit + 1) / visits;
	uint64_t start_ns = nsdk_clock_ns(), before_ns = contest->spent_ns, patient_until_ns, unused;
	bool alone;
	int rc = 0;

	if (contest->rounds >= most)
		return 0;
	patient_until_ns = start_ns + (before_ns < PATIENCE * due_ns ? PATIENCE * due_ns - before_ns : 0);
	/* The first pays for what all share: page tables, code, sleeping cores, what is in the caches. */
	for (unsigned i = 0; i < contest->count && rc == 0; i++) {
		rc = nsdk_tune_sample(tune, &contest->subjects[i], contest->bytes, &unused, &alone);
		rc = rc == -ENODEV ? 0 : rc; /* it may come back */
	}
	while (rc == 0 && contest->rounds < most &&
	       (contest->rounds < wanted || contest->spent_ns < due_ns)) {
		unsigned crowded = tune->crowded;

		rc = hold_round(tune, contest, patient_until_ns);
		contest->spent_ns = before_ns + nsdk_clock_ns() - start_ns;
		/* A crowded round is worth less than none, unless in the end there are none. */
		if (rc == 0 && tune->crowded != crowded && contest->rounds > needed) {
			contest->rounds--;
			tune->crowded = crowded;
		}
		if (contest->spent_ns >= PATIENCE * due_ns && contest->rounds >= needed)
			break;
	}
	return rc;
}

static int hold(struct tune *tune, struct tune_contest *contest, unsigned pass)
{
	const struct tune_series *series = contest->series;
	unsigned visits = series->pace.passes * series->cpus;
	int cpu = nsdk_cpumask_next(&tune->cpus, 0), rc = 0;

	for (unsigned i = 0; i < series->cpus && cpu >= 0 && rc == 0; i++) {
		rc = nsdk_tune_pin((unsigned)cpu);
		if (rc == 0)
			rc = visit_contest(tune, contest, pass * series->cpus + i, visits);
		cpu = nsdk_cpumask_next(&tune->cpus, (unsigned)cpu + 1);
	}
	return rc;
}

static int tell(struct tune *tune, const struct tune_contest *contest)
{
	const struct tune_subject *first = &contest->subjects[0];

	return nsdk_tune_step(tune, "%s%s, %s, %s, %llu KiB",
			      first->planner != NULL ? "the planner" : nsdk_tune_what_name(first->what),
			      contest->count > 1 ? " and others by turns" : "",
			      nsdk_tune_way_name(first->way), nsdk_tune_state_name(first->state),
			      (unsigned long long)contest->bytes >> 10);
}

int nsdk_series_hold(struct tune *tune, struct tune_series *series)
{
	int rc = 0;

	for (unsigned i = 0; i < series->count; i++) {
		struct tune_contest *contest = &series->contests[i];

		contest->rounds = 0;
		contest->spent_ns = 0;
		if (contest->samples == NULL)
			contest->samples = calloc((size_t)contest->count * series->most,
						  sizeof(*contest->samples));
		if (contest->samples == NULL)
			return no_memory();
	}
	for (unsigned pass = 0; pass < series->pace.passes; pass++) {
		for (unsigned i = 0; i < series->count && rc == 0; i++) {
			rc = tell(tune, &series->contests[i]);
			if (rc == 0)
				rc = hold(tune, &series->contests[i], pass);
		}
	}
	return rc;
}

/* ---- What came of it ---- */

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

uint64_t nsdk_tune_quantile(uint64_t *samples, unsigned count, unsigned percent)
{
	qsort(samples, count, sizeof(*samples), compare);
	return samples[(size_t)(count - 1) * percent / 100];
}

uint64_t nsdk_contest_ns(const struct tune_contest *contest, unsigned which, unsigned percent)
{
	uint64_t *sorted = contest->series->sorted;

	memcpy(sorted, samples_of(contest, which), contest->rounds * sizeof(*sorted));
	return nsdk_tune_quantile(sorted, contest->rounds, percent);
}

uint64_t nsdk_contest_ratio_ppm(const struct tune_contest *contest, unsigned which, unsigned to,
				unsigned percent)
{
	uint64_t *sorted = contest->series->sorted;

	for (unsigned n = 0; n < contest->rounds; n++)
		sorted[n] = samples_of(contest, which)[n] * PPM / samples_of(contest, to)[n];
	return nsdk_tune_quantile(sorted, contest->rounds, percent);
}

struct middle {
	double mean;
	double variance; /* of all, when what lies outside the middle half is moved to its edges */
};

/* Of the ratios to the first. */
static struct middle middle_of(const struct tune_contest *contest, unsigned which)
{
	unsigned rounds = contest->rounds, edge = rounds / 4;
	const uint64_t *sorted = contest->series->sorted;
	struct middle middle = { .mean = 0 };
	double sum = 0, squares = 0, all = rounds;

	/* Sorts them. */
	(void)nsdk_contest_ratio_ppm(contest, which, 0, 50);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned at = i < edge ? edge : i >= rounds - edge ? rounds - edge - 1 : i;
		/* From 1: near it nothing is lost to rounding. */
		double off = (double)sorted[at] / (double)PPM - 1;

		middle.mean += at == i ? off : 0;
		sum += off;
		squares += off * off;
	}
	middle.mean = 1 + middle.mean / (all - 2 * edge);
	if (rounds > 1)
		middle.variance = (squares - sum * sum / all) / (all - 1);
	return middle;
}

static bool is_level(const struct middle *middle, unsigned rounds)
{
	double off = middle->mean - 1;

	/* Fewer can all lie on the wrong side, and do so too often. */
	if (rounds < LEAST_ROUNDS)
		return true;
	/* off against 2.5 standard errors, each the root of variance / rounds, over the share of a half. */
	return off * off <= 2.5 * 2.5 * 4 * middle->variance / rounds;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t times(uint64_t ns, double ratio)
{
	return (uint64_t)((double)ns * ratio + 0.5);
}

void nsdk_contest_point(const struct tune_contest *contest, unsigned which, struct nsdk_tune_point *out)
{
	uint64_t ns = nsdk_contest_ns(contest, 0, 50), low, high;
	struct middle middle;

	out->bytes = contest->bytes;
	out->ns = ns;
	if (which == 0) {
		out->low_ns = nsdk_contest_ns(contest, 0, 25);
		out->high_ns = nsdk_contest_ns(contest, 0, 75);
		return;
	}
	low = nsdk_contest_ratio_ppm(contest, which, 0, 25);
	high = nsdk_contest_ratio_ppm(contest, which, 0, 75);
	middle = middle_of(contest, which);
	if (!is_level(&middle, contest->rounds))
		out->ns = larger(times(ns, middle.mean), 1);
	out->low_ns = least(times(ns, (double)low / (double)PPM), out->ns);
	out->high_ns = larger(times(ns, (double)high / (double)PPM), out->ns);
}
