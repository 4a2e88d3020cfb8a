/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The jobs of a device, added up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/emu.h>

#include "perf.h"

static void add_job(struct perf_result *result, const struct perf_job *job, uint64_t *first,
		    uint64_t *last)
{
	const struct perf_counters *c = &job->counters;

	for (unsigned dir = 0; dir < PERF_DIRS; dir++) {
		result->ios[dir] += atomic_load(&c->ios[dir]);
		perf_hist_merge(&result->hist[dir], &job->hist[dir]);
		perf_hist_merge(&result->all, &job->hist[dir]);
	}
	result->errors += atomic_load(&c->errors);
	result->verify_errors += atomic_load(&c->verify_errors);
	result->blocks_written += job->blocks_written;
	result->blocks_checked += job->blocks_checked;
	result->read_back = result->read_back && job->read_back;
	result->failed = result->failed || job->failed;
	if (job->start_ticks != 0 && job->start_ticks < *first)
		*first = job->start_ticks;
	if (job->end_ticks > *last)
		*last = job->end_ticks;
}

int perf_result_create(const struct perf_device *device, struct perf_result **out)
{
	const struct perf_run *run = device->run;
	const struct perf_job *jobs = &run->jobs[(device - run->devices) * run->opts.numjobs];
	struct nsdk_coherence *coh = nsdk_nvme_ctrlr_coherence(device->ctrlr);
	struct nsdk_cache_model_stats model;
	uint64_t first = UINT64_MAX, last = 0;
	struct perf_result *result;

	result = calloc(1, sizeof(*result));
	if (result == NULL) {
		tool_say("no memory for the result");
		return -ENOMEM;
	}
	result->device = device;
	result->name = nsdk_device_name(device->dev);
	result->verdict = nsdk_device_verdict(device->dev);
	result->policy = nsdk_coherence_effective(coh);
	result->block_bytes = device->block_bytes;
	result->read_back = true;
	result->failed = atomic_load(&device->failed);
	result->interrupted = tool_stop_requests() != 0;
	for (unsigned dir = 0; dir < PERF_DIRS; dir++)
		perf_hist_init(&result->hist[dir]);
	perf_hist_init(&result->all);
	for (unsigned i = 0; i < run->opts.numjobs; i++)
		add_job(result, &jobs[i], &first, &last);
	if (last > first)
		result->runtime_ns = perf_ticks_to_ns(run, last - first);
	nsdk_coherence_stats(coh, &result->coherence);
	/* The cache model is the process's: only emulated devices have one, and they share it. */
	if (strcmp(nsdk_device_bus_name(device->dev), "emu") == 0) {
		nsdk_cache_model_stats(&model);
		result->violations = model.violations_total;
	}
	*out = result;
	return 0;
}

bool perf_result_good(const struct perf_result *result)
{
	return result->errors == 0 && result->verify_errors == 0 && result->violations == 0 &&
	       !result->failed && !result->interrupted;
}
