/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine of two nodes, CPUs 0 to 3 and 4 to 7, with a device on each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

static const char *allowed;
static int here;
static bool without_nodes;

int __wrap_nsdk_cpumask_get_affinity(nsdk_cpumask_t *out);
int __wrap_nsdk_cpumask_get_affinity(nsdk_cpumask_t *out)
{
	return nsdk_cpumask_parse(allowed, out);
}

int __wrap_sched_getcpu(void);
int __wrap_sched_getcpu(void)
{
	return here;
}

int __wrap_nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out);
int __wrap_nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out)
{
	memset(out, 0, sizeof(*out));
	out->numa_node = without_nodes ? -1 : addr->bus == 1;
	return addr->bus < 2 ? 0 : -ENODEV;
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	static char lists[2][8] = { "0-3\n", "4-7\n" };

	if (strcmp(path, "/sys/devices/system/node/node0/cpulist") == 0)
		return fmemopen(lists[0], 4, "r");
	if (strcmp(path, "/sys/devices/system/node/node1/cpulist") == 0)
		return fmemopen(lists[1], 4, "r");
	return __real_fopen(path, mode);
}

static char *near0 = (char *)(uintptr_t)"0000:00:03.0";
static char *near1 = (char *)(uintptr_t)"0000:01:00.0";
static char *missing = (char *)(uintptr_t)"0000:09:00.0";
static char *emulated = (char *)(uintptr_t)"emu:nvme";

static void before(void)
{
	allowed = "0-7";
	here = 0;
	without_nodes = false;
}

static void assert_choice(char **devices, unsigned count, unsigned jobs, const char *expected)
{
	struct perf_opts opts = { .devices = devices, .device_count = count };
	char *list = NULL;

	NSDK_ASSERT_INT(perf_cpus_choose(&opts, jobs, &list), 0);
	NSDK_ASSERT_TEXT(list, expected);
	free(list);
}

static void jobs_are_near_their_device(void)
{
	assert_choice((char *[]){ near0 }, 1, 2, "0,1");
	assert_choice((char *[]){ near1 }, 1, 2, "4,5");
	assert_choice((char *[]){ near0, near1 }, 2, 4, "0,4,1,5");
	assert_choice((char *[]){ near1, near0 }, 2, 2, "4,0");
}

static void where_none_is_left_another_will_do(void)
{
	assert_choice((char *[]){ near1 }, 1, 6, "4,5,6,7,0,1");
	assert_choice((char *[]){ near1 }, 1, 99, "4,5,6,7,0,1,2,3");
}

static void without_a_place_it_is_here(void)
{
	here = 6;
	assert_choice((char *[]){ emulated }, 1, 1, "6");
	assert_choice((char *[]){ emulated }, 1, 3, "6,0,1");
	assert_choice((char *[]){ missing }, 1, 1, "6");
	without_nodes = true;
	assert_choice((char *[]){ near0 }, 1, 1, "6");
}

static void here_is_first_if_it_is_near(void)
{
	here = 2;
	assert_choice((char *[]){ near0 }, 1, 3, "2,0,1");
	here = 5;
	assert_choice((char *[]){ near0 }, 1, 1, "0");
}

static void only_what_is_allowed(void)
{
	allowed = "3,7";
	assert_choice((char *[]){ near0 }, 1, 5, "3,7");
	assert_choice((char *[]){ near1 }, 1, 1, "7");
	here = 1;
	assert_choice((char *[]){ emulated }, 1, 1, "3");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(jobs_are_near_their_device),
	NSDK_UNIT_TEST(where_none_is_left_another_will_do),
	NSDK_UNIT_TEST(without_a_place_it_is_here),
	NSDK_UNIT_TEST(here_is_first_if_it_is_near),
	NSDK_UNIT_TEST(only_what_is_allowed),
};

NSDK_UNIT_MAIN("app/nsdk/perf_cpus", tests, .before = before)
