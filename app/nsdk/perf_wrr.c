/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --wrr_priority: queues with priorities under weighted round robin, and what each got of the device. The
 * words are those of SPDK's fio engine.
 */
#include <stdio.h>
#include <string.h>

#include "lib/env/json.h"
#include "perf.h"

static const char *const names[] = {
	[NSDK_NVME_PRIORITY_DEFAULT] = "none",
	[NSDK_NVME_PRIORITY_URGENT] = "urgent",
	[NSDK_NVME_PRIORITY_HIGH] = "high",
	[NSDK_NVME_PRIORITY_MEDIUM] = "medium",
	[NSDK_NVME_PRIORITY_LOW] = "low",
};

/* A word, or its number as QPRIO has it: 0 for urgent. @return DEFAULT: neither. */
static enum nsdk_nvme_priority priority_of(const char *word, size_t length)
{
	for (unsigned i = NSDK_NVME_PRIORITY_URGENT; i <= NSDK_NVME_PRIORITY_LOW; i++)
		if ((strncmp(word, names[i], length) == 0 && names[i][length] == '\0') ||
		    (length == 1 && word[0] == (char)('0' + i - NSDK_NVME_PRIORITY_URGENT)))
			return (enum nsdk_nvme_priority)i;
	return NSDK_NVME_PRIORITY_DEFAULT;
}

int perf_wrr_parse(const struct tool_command *command, const char *text, struct perf_wrr *out)
{
	const char *word = text;

	out->count = 0;
	for (;;) {
		size_t length = strcspn(word, ",");
		enum nsdk_nvme_priority priority = priority_of(word, length);

		if (length == 0 || priority == NSDK_NVME_PRIORITY_DEFAULT ||
		    out->count == PERF_MAX_PRIORITIES)
			return tool_usage(command,
					  "--wrr_priority=%s: urgent, high, medium or low is wanted, or up to %u of "
					  "them with commas between", text, PERF_MAX_PRIORITIES);
		out->priorities[out->count++] = (uint8_t)priority;
		if (word[length] == '\0')
			return TOOL_DONE;
		word += length + 1;
	}
}

int perf_wrr_check(const struct tool_command *command, const struct perf_wrr *wrr)
{
	unsigned burst = wrr->burst;

	if (burst & (burst - 1))
		return tool_usage(command, "--arbitration_burst=%u: a power of two up to 64 is wanted", burst);
	if (wrr->count == 0 && (burst || wrr->high_weight || wrr->medium_weight || wrr->low_weight))
		return tool_usage(command, "weights and --arbitration_burst are for queues with priorities; say "
					   "--wrr_priority as well");
	return TOOL_DONE;
}

void perf_wrr_attach(const struct perf_wrr *wrr, struct nsdk_nvme_opts *nvme)
{
	if (wrr->count == 0)
		return;
	nvme->arbitration = NSDK_NVME_WRR;
	nvme->arbitration_burst = wrr->burst;
	nvme->high_weight = wrr->high_weight;
	nvme->medium_weight = wrr->medium_weight;
	nvme->low_weight = wrr->low_weight;
}

enum nsdk_nvme_priority perf_wrr_priority(const struct perf_wrr *wrr, unsigned clone)
{
	return wrr->count ? (enum nsdk_nvme_priority)wrr->priorities[clone % wrr->count] :
			    NSDK_NVME_PRIORITY_DEFAULT;
}

static const struct perf_job *jobs_of(const struct perf_device *device)
{
	return &device->run->jobs[(size_t)(device - device->run->devices) * device->run->opts.numjobs];
}

static uint64_t ios_of(const struct perf_job *job)
{
	return atomic_load(&job->counters.ios[PERF_READ]) + atomic_load(&job->counters.ios[PERF_WRITE]);
}

static uint64_t ios_of_all(const struct perf_device *device)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < device->run->opts.numjobs; i++)
		all += ios_of(&jobs_of(device)[i]);
	return all;
}

static double share(uint64_t ios, uint64_t all)
{
	return all == 0 ? 0 : (double)ios / (double)all;
}

/* A line for each class of which there are jobs. */
void perf_wrr_print(const struct perf_device *device)
{
	const struct perf_wrr *wrr = &device->run->opts.wrr;
	uint64_t all = ios_of_all(device);

	if (wrr->count == 0)
		return;
	for (unsigned class = NSDK_NVME_PRIORITY_URGENT; class <= NSDK_NVME_PRIORITY_LOW; class++) {
		uint64_t ios = 0;
		unsigned jobs = 0;

		for (unsigned i = 0; i < device->run->opts.numjobs; i++) {
			if (perf_wrr_priority(wrr, i) != class)
				continue;
			jobs++;
			ios += ios_of(&jobs_of(device)[i]);
		}
		if (jobs)
			printf("  %-9s %llu I/Os of %u job%s, %.1f %%\n", names[class], (unsigned long long)ios,
			       jobs, jobs == 1 ? "" : "s", 100 * share(ios, all));
	}
}

struct json_object *perf_wrr_json(const struct perf_device *device)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();
	const struct perf_wrr *wrr = &device->run->opts.wrr;
	struct nsdk_nvme_arbitration arb;
	uint64_t all = ios_of_all(device);

	nsdk_nvme_ctrlr_arbitration(device->ctrlr, &arb);
	nsdk_json_put_u64(object, "burst", arb.burst == NSDK_NVME_NO_BURST_LIMIT ? 0 : arb.burst);
	nsdk_json_put_u64(object, "high_weight", arb.high_weight);
	nsdk_json_put_u64(object, "medium_weight", arb.medium_weight);
	nsdk_json_put_u64(object, "low_weight", arb.low_weight);
	for (unsigned i = 0; i < device->run->opts.numjobs; i++) {
		const struct perf_job *job = &jobs_of(device)[i];
		struct json_object *entry = json_object_new_object();

		nsdk_json_put_text(entry, "priority", names[perf_wrr_priority(wrr, i)]);
		nsdk_json_put_u64(entry, "ios", ios_of(job));
		nsdk_json_put_double(entry, "share", share(ios_of(job), all), 4);
		json_object_array_add(array, entry);
	}
	nsdk_json_put(object, "jobs", array);
	return object;
}
