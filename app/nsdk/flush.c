/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flush lcores and WBINVD, as the commands that do I/O offer them: the options, the set-up, and what
 * came of it.
 */
#include "flush.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/env.h>

#include "lib/env/json.h"

/* A list that can be read; whether its CPUs can be had shows when they are taken. */
static int take_cpus(const struct tool_command *command, const char *name, const char **out)
{
	nsdk_cpumask_t mask;
	int status = tool_parse_cpus(command, name, optarg, &mask);

	if (status == TOOL_DONE)
		*out = optarg;
	return status;
}

int flush_option(const struct tool_command *command, unsigned index, struct flush_opts *opts)
{
	uint64_t value;

	switch (index) {
	case 0:
		return take_cpus(command, "flush-cpus", &opts->flush_cpus);
	case 1:
		if (strcmp(optarg, "off") == 0)
			opts->wbinvd = NSDK_WBINVD_OFF;
		else if (strcmp(optarg, "kvm") == 0)
			opts->wbinvd = NSDK_WBINVD_KVM;
		else
			return tool_usage(command, "--wbinvd=%s: off or kvm is wanted", optarg);
		return TOOL_DONE;
	case 2:
		if (tool_parse_u64(optarg, 1, 1000000, &value) != 0)
			return tool_usage(command, "--wbinvd-per-second=%s: a whole number from 1 to "
					  "1000000 is wanted", optarg);
		opts->wbinvd_per_second = (unsigned)value;
		opts->wbinvd_limits_given = true;
		return TOOL_DONE;
	default:
		opts->wbinvd_limits_given = true;
		return take_cpus(command, "wbinvd-cpus", &opts->wbinvd_cpus);
	}
}

int flush_check(const struct tool_command *command, const struct flush_opts *opts)
{
	if (opts->wbinvd == NSDK_WBINVD_OFF && opts->wbinvd_limits_given)
		return tool_usage(command, "--wbinvd-per-second and --wbinvd-cpus want --wbinvd=kvm");
	return TOOL_DONE;
}

bool flush_wanted(const struct flush_opts *opts)
{
	return opts->flush_cpus != NULL || opts->wbinvd != NSDK_WBINVD_OFF;
}

int flush_setup(const struct flush_opts *opts)
{
	const struct nsdk_flush_opts setup = {
		.opts_bytes = sizeof(setup),
		.flush_cpus = opts->flush_cpus,
		.wbinvd = opts->wbinvd,
		.wbinvd_per_second = opts->wbinvd_per_second,
		.wbinvd_cpus = opts->wbinvd_cpus,
	};

	return flush_wanted(opts) ? nsdk_flush_setup(&setup) : 0;
}

void flush_print(const struct flush_opts *opts)
{
	struct nsdk_flush_status status;

	if (!flush_wanted(opts))
		return;
	nsdk_flush_status(&status);
	if (opts->flush_cpus != NULL)
		printf("flush CPUs  %u: %llu batches shared, %llu lines by them, %llu by the CPUs that "
		       "do I/O; %llu shares late, %llu times one was lost\n",
		       status.flush_cpus, (unsigned long long)status.jobs,
		       (unsigned long long)status.lines_by_flush_cpus,
		       (unsigned long long)status.lines_by_submitters,
		       (unsigned long long)status.takeovers,
		       (unsigned long long)status.flush_cpus_lost);
	if (opts->wbinvd == NSDK_WBINVD_OFF)
		return;
	if (!status.wbinvd_open)
		printf("WBINVD      closed: %s\n", status.wbinvd_reason);
	printf("WBINVD      %llu executed, %llu over the budget, %llu failed",
	       (unsigned long long)status.wbinvd_executed,
	       (unsigned long long)status.wbinvd_over_budget,
	       (unsigned long long)status.wbinvd_failed);
	for (unsigned cpu = 0; cpu < NSDK_MAX_CPUS; cpu++) {
		uint64_t count = nsdk_flush_wbinvd_on(cpu);

		if (count != 0)
			printf("; CPU %u: %llu", cpu, (unsigned long long)count);
	}
	putchar('\n');
}

struct json_object *flush_json(void)
{
	struct json_object *object = json_object_new_object();
	struct json_object *wbinvd = json_object_new_object();
	struct json_object *per_cpu = json_object_new_object();
	struct nsdk_flush_status status;
	char name[16];

	nsdk_flush_status(&status);
	nsdk_json_put_u64(object, "flush_cpus", status.flush_cpus);
	nsdk_json_put_u64(object, "batches_shared", status.jobs);
	nsdk_json_put_u64(object, "lines_by_flush_cpus", status.lines_by_flush_cpus);
	nsdk_json_put_u64(object, "lines_by_submitters", status.lines_by_submitters);
	nsdk_json_put_u64(object, "takeovers", status.takeovers);
	nsdk_json_put_u64(object, "flush_cpus_lost", status.flush_cpus_lost);
	json_object_object_add(wbinvd, "open", json_object_new_boolean(status.wbinvd_open));
	json_object_object_add(wbinvd, "reason", json_object_new_string(status.wbinvd_reason));
	nsdk_json_put_u64(wbinvd, "executed", status.wbinvd_executed);
	nsdk_json_put_u64(wbinvd, "over_budget", status.wbinvd_over_budget);
	nsdk_json_put_u64(wbinvd, "failed", status.wbinvd_failed);
	for (unsigned cpu = 0; cpu < NSDK_MAX_CPUS; cpu++) {
		uint64_t count = nsdk_flush_wbinvd_on(cpu);

		snprintf(name, sizeof(name), "%u", cpu);
		if (count != 0)
			nsdk_json_put_u64(per_cpu, name, count);
	}
	json_object_object_add(wbinvd, "executed_on", per_cpu);
	json_object_object_add(object, "wbinvd", wbinvd);
	return object;
}
