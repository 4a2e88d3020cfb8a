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

/* Subjects that take turns, so that what changes from one second to the next hits all alike. */
#define MAX_SUBJECTS 12

struct group {
	unsigned count;
	unsigned taken; /* samples of each */
	struct tune_subject subjects[MAX_SUBJECTS];
	uint64_t samples[MAX_SUBJECTS][TUNE_MAX_SAMPLES];
	uint64_t sorted[TUNE_MAX_SAMPLES];
};

/* How long one point may take on each CPU, and how many samples it has at least and at most. */
struct pace {
	uint64_t ns;
	unsigned least;
	unsigned most;
};

static const struct pace full = { 120000000, 9, 101 };
static const struct pace quick = { 8000000, 3, 21 };
/* Each stops the machine for a while. */
static const struct pace rare = { 120000000, 5, 9 };

static const uint64_t wbinvd_sizes[] = { 0, 1u << 20, 16u << 20 };

static const struct pace *pace_of(const struct tune *tune, const struct tune_subject *subject)
{
	if (subject->what == NSDK_TUNE_WBINVD)
		return &rare;
	return tune->opts->quick ? &quick : &full;
}

/* On one CPU: the subjects take turns until there are enough samples or the time is up. */
static int sample_here(struct tune *tune, struct group *group, uint64_t bytes, unsigned most)
{
	const struct pace *pace = pace_of(tune, &group->subjects[0]);
	uint64_t deadline_ns = nsdk_clock_ns() + pace->ns * group->count, unused;
	int rc = 0;

	/* The first pays for what all share: page tables, code, sleeping cores. */
	for (unsigned i = 0; i < group->count && rc == 0; i++)
		rc = nsdk_tune_sample(tune, &group->subjects[i], bytes, &unused);
	for (unsigned n = 0; rc == 0 && n < most && group->taken < TUNE_MAX_SAMPLES; n++) {
		if (n >= pace->least && nsdk_clock_ns() >= deadline_ns)
			break;
		for (unsigned i = 0; i < group->count && rc == 0; i++)
			rc = nsdk_tune_sample(tune, &group->subjects[i], bytes,
					 &group->samples[i][group->taken]);
		group->taken++;
	}
	return rc;
}

/* @return 0 or -errno; a failed way of flushing is not logged, a CPU that is not to be had is. */
static int measure_size(struct tune *tune, struct group *group, uint64_t bytes)
{
	unsigned cpus = nsdk_cpumask_weight(&tune->cpus), most;
	int rc = 0;

	/* WBINVD runs on the gate's CPUs, wherever it is asked for. */
	if (group->subjects[0].what == NSDK_TUNE_WBINVD)
		cpus = 1;
	most = pace_of(tune, &group->subjects[0])->most / cpus;
	if (most == 0)
		most = 1;
	group->taken = 0;
	for (int cpu = nsdk_cpumask_next(&tune->cpus, 0); cpu >= 0 && cpus > 0 && rc == 0; cpus--) {
		rc = nsdk_tune_pin((unsigned)cpu);
		if (rc == 0)
			rc = sample_here(tune, group, bytes, most);
		cpu = nsdk_cpumask_next(&tune->cpus, (unsigned)cpu + 1);
	}
	return rc;
}

static void enter(struct group *group, const struct tune_subject *subject)
{
	if (group->count < MAX_SUBJECTS)
		group->subjects[group->count++] = *subject;
}

/*
 * Median and quartiles. Of all but the first they are taken from the ratios to the first, sample by
 * sample: what hit both in the same moment cancels out, and what is left is the difference between two
 * ways of flushing, which is what the planner wants to know.
 */
static void conclude(struct group *group, unsigned which, uint64_t bytes,
		     const struct nsdk_tune_point *first, struct nsdk_tune_point *out)
{
	static const unsigned percents[] = { 25, 50, 75 };
	uint64_t *sorted = group->sorted, results[3];

	for (unsigned n = 0; n < group->taken; n++)
		sorted[n] = which == 0 ? group->samples[0][n] :
					 group->samples[which][n] * 1000000 / group->samples[0][n];
	for (unsigned i = 0; i < 3; i++) {
		results[i] = nsdk_tune_quantile(sorted, group->taken, percents[i]);
		if (which != 0)
			results[i] = results[i] * first->ns / 1000000;
	}
	*out = (struct nsdk_tune_point){
		.bytes = bytes,
		.low_ns = results[0],
		.ns = results[1],
		.high_ns = results[2],
	};
}

/* Turn the group's subjects into tables. */
static int measure_group(struct tune *tune, struct group *group, const uint64_t *sizes, unsigned count,
			 struct nsdk_profile_flush *out)
{
	struct nsdk_tune_table *tables = &out->tables[out->count];
	const struct tune_subject *subject = &group->subjects[0];
	const char *why = "";

	if (out->count + group->count > NSDK_PROFILE_MAX_TABLES)
		return 0;
	for (unsigned i = 0; i < group->count; i++)
		tables[i] = (struct nsdk_tune_table){
			.what = group->subjects[i].what,
			.way = group->subjects[i].way,
			.state = group->subjects[i].state,
			.cpus = group->subjects[i].cpus,
			.count = count,
		};
	for (unsigned try = 0; try < TRIES; try++) {
		bool ok = true;

		/* Trying again is not a step of its own. */
		tune->step -= try > 0 ? count : 0;
		for (unsigned s = 0; s < count; s++) {
			int rc = nsdk_tune_step(tune, "%s%s, %s, %s, %llu KiB",
					   nsdk_tune_what_name(subject->what),
					   group->count > 1 ? " and crew" : "",
					   nsdk_tune_way_name(subject->way),
					   nsdk_tune_state_name(subject->state),
					   (unsigned long long)sizes[s] >> 10);

			if (rc == 0)
				rc = measure_size(tune, group, sizes[s]);
			if (rc != 0)
				return rc;
			for (unsigned i = 0; i < group->count; i++)
				conclude(group, i, sizes[s], &tables[0].points[s],
					 &tables[i].points[s]);
		}
		for (unsigned i = 0; i < group->count; i++)
			ok = ok && nsdk_profile_table_ok(&tables[i], &why);
		if (ok) {
			out->count += group->count;
			return 0;
		}
	}
	return nsdk_fail(-EBUSY, "coherence",
			 "the costs measured for %s make no sense (%s), so the machine is too busy to "
			 "measure; try again when it is quiet", nsdk_tune_what_name(subject->what), why);
}

/* One subject alone. */
static int measure_table(struct tune *tune, const struct tune_subject *subject,
			 const uint64_t *sizes, unsigned count, struct nsdk_profile_flush *out)
{
	tune->group->count = 0;
	enter(tune->group, subject);
	return measure_group(tune, tune->group, sizes, count, out);
}

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

/*
 * What the planner goes by: dirty lines on the submitting CPU, and with each number of flush CPUs. They
 * take turns, and the flush CPUs spin beside the plain way too, as they do when the engine uses it.
 */
static int measure_dirty(struct tune *tune, struct nsdk_profile_flush *out)
{
	int rc = 0;

	for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE && rc == 0; way++) {
		struct tune_subject subject = {
			.what = NSDK_TUNE_LINES,
			.way = (enum nsdk_tune_way)way,
			.state = NSDK_TUNE_DIRTY,
			.cpus = 1,
		};

		tune->group->count = 0;
		enter(tune->group, &subject);
		subject.what = NSDK_TUNE_CREW;
		for (unsigned n = tune->crew != NULL; n != 0; n = nsdk_tune_next_count(n, tune->crew_cpus)) {
			subject.cpus = n;
			enter(tune->group, &subject);
		}
		rc = measure_group(tune, tune->group, tune->sizes, tune->size_count, out);
	}
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
	rc = measure_dirty(tune, out);
	nsdk_crew_stats(tune->crew, &stats);
	nsdk_crew_destroy(tune->crew);
	tune->crew = NULL;
	if (rc == 0 && stats.members_lost == 0)
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
	/* Clean and absent, both ways; dirty, both ways, whatever takes turns there; three productions. */
	unsigned groups = 4 + 2 + 3, wbinvds = 0;

	for (unsigned n = tune->gate != NULL; n != 0;
	     n = nsdk_tune_next_count(n, nsdk_cpumask_weight(&tune->cpus)))
		wbinvds += sizeof(wbinvd_sizes) / sizeof(wbinvd_sizes[0]);
	tune->steps = groups * tune->size_count + wbinvds;
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
	struct group *group = calloc(1, sizeof(*group));
	struct tune tune;
	int rc;

	if (out == NULL || group == NULL) {
		free(group);
		free(out);
		return nsdk_fail(-ENOMEM, "coherence", "no memory for a flush profile");
	}
	rc = nsdk_tune_begin(&tune, opts);
	tune.group = group;
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
	free(group);
	free(out);
	return rc;
}
