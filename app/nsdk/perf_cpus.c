/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf.h"

/* The CPUs next to a device; none when nobody knows. */
static void cpus_near(const char *spec, nsdk_cpumask_t *out)
{
	struct nsdk_pci_addr addr;
	struct nsdk_pci_info info;
	char path[96], list[4096];
	FILE *file;

	memset(out, 0, sizeof(*out));
	if (nsdk_pci_addr_parse(spec, &addr) != 0)
		return;
	/* What is wrong with a device is said when it is attached, not when its place is looked up. */
	tool_log_capture_begin();
	if (nsdk_pci_info(&addr, &info) == 0 && info.numa_node >= 0) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist",
			 info.numa_node);
		file = fopen(path, "re");
		if (file != NULL) {
			if (fgets(list, sizeof(list), file) != NULL) {
				list[strcspn(list, "\n")] = '\0';
				if (nsdk_cpumask_parse(list, out) != 0)
					memset(out, 0, sizeof(*out));
			}
			fclose(file);
		}
	}
	tool_log_capture_end(NULL, 0);
}

/* A CPU of both masks, the one we are on if possible; -1: none. */
static int pick(const nsdk_cpumask_t *left, const nsdk_cpumask_t *wanted, int here)
{
	if (here >= 0 && nsdk_cpumask_test(left, (unsigned)here) &&
	    nsdk_cpumask_test(wanted, (unsigned)here))
		return here;
	for (int cpu = nsdk_cpumask_next(left, 0); cpu >= 0;
	     cpu = nsdk_cpumask_next(left, (unsigned)cpu + 1))
		if (nsdk_cpumask_test(wanted, (unsigned)cpu))
			return cpu;
	return -1;
}

int perf_cpus_choose(const struct perf_opts *opts, unsigned jobs, char **out)
{
	nsdk_cpumask_t left, near[PERF_MAX_DEVICES];
	int here = sched_getcpu(), rc;
	unsigned count;
	size_t used = 0, room;

	assert(opts->device_count > 0);
	rc = nsdk_cpumask_get_affinity(&left);
	if (rc != 0) {
		tool_say("the CPUs of this process cannot be found out: %s", strerror(-rc));
		return rc;
	}
	for (unsigned i = 0; i < opts->device_count; i++)
		cpus_near(opts->devices[i], &near[i]);
	count = nsdk_cpumask_weight(&left);
	if (count > jobs)
		count = jobs;
	room = (size_t)count * 6 + 1;
	*out = calloc(1, room);
	if (*out == NULL) {
		tool_say("no memory");
		return -ENOMEM;
	}
	for (unsigned n = 0; n < count; n++) {
		int cpu = pick(&left, &near[perf_deal_device(opts, n)], here);

		if (cpu < 0)
			cpu = pick(&left, &left, here);
		if (cpu < 0)
			break; /* not while fewer were taken than there are */
		left.bits[cpu / 64] &= ~((uint64_t)1 << (cpu % 64));
		used += (size_t)snprintf(*out + used, room - used, "%s%d", n == 0 ? "" : ",", cpu);
	}
	return 0;
}
