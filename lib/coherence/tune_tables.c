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

/* On one CPU: add samples until there are enough or the time is up. */
static int sample_here(struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
		       unsigned most, uint64_t *samples, unsigned *count)
{
	const struct pace *pace = pace_of(tune, subject);
	uint64_t deadline_ns = nsdk_clock_ns() + pace->ns, first;
	int rc;

	/* The first pays for what all share: page tables, code, sleeping cores. */
	rc = tune_sample(tune, subject, bytes, &first);
	for (unsigned n = 0; rc == 0 && n < most && *count < TUNE_MAX_SAMPLES; n++) {
		if (n >= pace->least && nsdk_clock_ns() >= deadline_ns)
			break;
		rc = tune_sample(tune, subject, bytes, &samples[(*count)++]);
	}
	return rc;
}

/* @return 0 or -errno; a failed way of flushing is not logged, a CPU that is not to be had is. */
static int measure_point(struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
			 struct nsdk_tune_point *point)
{
	unsigned cpus = nsdk_cpumask_weight(&tune->cpus), count = 0, most;
	uint64_t samples[TUNE_MAX_SAMPLES];
	int rc = 0;

	/* WBINVD runs on the gate's CPUs, wherever it is asked for. */
	if (subject->what == NSDK_TUNE_WBINVD)
		cpus = 1;
	most = pace_of(tune, subject)->most / cpus;
	if (most == 0)
		most = 1;
	for (int cpu = nsdk_cpumask_next(&tune->cpus, 0); cpu >= 0 && cpus > 0 && rc == 0; cpus--) {
		rc = tune_pin((unsigned)cpu);
		if (rc == 0)
			rc = sample_here(tune, subject, bytes, most, samples, &count);
		cpu = nsdk_cpumask_next(&tune->cpus, (unsigned)cpu + 1);
	}
	if (rc != 0)
		return rc;
	point->bytes = bytes;
	point->ns = tune_quantile(samples, count, 50);
	point->low_ns = tune_quantile(samples, count, 25);
	point->high_ns = tune_quantile(samples, count, 75);
	return 0;
}

static int measure_table(struct tune *tune, const struct tune_subject *subject,
			 const uint64_t *sizes, unsigned count, struct nsdk_profile_flush *out)
{
	struct nsdk_tune_table *table = &out->tables[out->count];
	const char *why = "";

	if (out->count == NSDK_PROFILE_MAX_TABLES)
		return 0;
	*table = (struct nsdk_tune_table){
		.what = subject->what,
		.way = subject->way,
		.state = subject->state,
		.cpus = subject->cpus,
		.count = count,
	};
	for (unsigned try = 0; try < TRIES; try++) {
		/* Trying again is not a step of its own. */
		tune->step -= try > 0 ? count : 0;
		for (unsigned i = 0; i < count; i++) {
			int rc = tune_step(tune, "%s, %s, %s, %llu KiB",
					   nsdk_tune_what_name(subject->what),
					   nsdk_tune_way_name(subject->way),
					   nsdk_tune_state_name(subject->state),
					   (unsigned long long)sizes[i] >> 10);

			if (rc == 0)
				rc = measure_point(tune, subject, sizes[i], &table->points[i]);
			if (rc != 0)
				return rc;
		}
		if (nsdk_profile_table_ok(table, &why)) {
			out->count++;
			return 0;
		}
	}
	return nsdk_fail(-EBUSY, "coherence",
			 "the costs measured for %s make no sense (%s), so the machine is too busy to "
			 "measure; try again when it is quiet", nsdk_tune_what_name(subject->what), why);
}

static int measure_lines(struct tune *tune, struct nsdk_profile_flush *out)
{
	int rc = 0;

	for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE; way++) {
		for (unsigned state = NSDK_TUNE_DIRTY; state <= NSDK_TUNE_ABSENT && rc == 0; state++) {
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

static int measure_crew(struct tune *tune, struct nsdk_profile_flush *out)
{
	char *skipped = out->skipped[nsdk_profile_skip_index(NSDK_TUNE_CREW)];
	struct nsdk_crew_stats stats;
	unsigned before = out->count;
	int rc;

	if (tune->crew_cpus == 0) {
		snprintf(skipped, sizeof(out->skipped[0]), "no flush CPUs were named");
		return 0;
	}
	rc = tune_open_crew(tune, (unsigned)nsdk_cpumask_next(&tune->cpus, 0));
	for (unsigned cpus = 1; cpus != 0 && rc == 0; cpus = tune_next_count(cpus, tune->crew_cpus)) {
		for (unsigned way = NSDK_TUNE_WRITEBACK; way <= NSDK_TUNE_INVALIDATE && rc == 0; way++) {
			struct tune_subject subject = {
				.what = NSDK_TUNE_CREW,
				.way = (enum nsdk_tune_way)way,
				.state = NSDK_TUNE_DIRTY,
				.cpus = cpus,
			};

			rc = measure_table(tune, &subject, tune->sizes, tune->size_count, out);
		}
	}
	if (rc != 0 && rc != -ENODEV)
		return rc;
	if (tune->crew == NULL)
		return rc;
	nsdk_crew_stats(tune->crew, &stats);
	if (rc == 0 && stats.members_lost == 0)
		return 0;
	/* Somebody else runs there: what was measured is not what a crew costs. */
	out->count = before;
	snprintf(skipped, sizeof(out->skipped[0]),
		 "a flush CPU did not answer in time: something else runs there");
	return 0;
}

static int measure_wbinvd(struct tune *tune, struct nsdk_profile_flush *out)
{
	char *skipped = out->skipped[nsdk_profile_skip_index(NSDK_TUNE_WBINVD)];
	unsigned all = nsdk_cpumask_weight(&tune->cpus), before = out->count;
	int rc = 0;

	snprintf(skipped, sizeof(out->skipped[0]), "%s", tune->wbinvd_skipped);
	if (tune->gate == NULL)
		return 0;
	for (unsigned cpus = 1; cpus != 0 && rc == 0; cpus = tune_next_count(cpus, all)) {
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
	unsigned tables = 6 + 3, wbinvds = 0;

	for (unsigned n = tune->crew_cpus > 0; n != 0; n = tune_next_count(n, tune->crew_cpus))
		tables += 2;
	for (unsigned n = tune->gate != NULL; n != 0;
	     n = tune_next_count(n, nsdk_cpumask_weight(&tune->cpus)))
		wbinvds += sizeof(wbinvd_sizes) / sizeof(wbinvd_sizes[0]);
	tune->steps = tables * tune->size_count + wbinvds;
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
	rc = tune_begin(&tune, opts);
	count_steps(&tune);
	if (rc == 0)
		rc = measure_lines(&tune, out);
	if (rc == 0)
		rc = measure_production(&tune, out);
	if (rc == 0)
		rc = measure_crew(&tune, out);
	/* Last: it disturbs everybody, what is measured here included. */
	if (rc == 0)
		rc = measure_wbinvd(&tune, out);
	if (rc == 0) {
		describe(&tune, out);
		profile->flush = *out;
	}
	tune_end(&tune);
	free(out);
	return rc;
}
