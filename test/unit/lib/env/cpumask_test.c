/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/env.h>

#include "lib/env/env_internal.h"

static void round_trip(const char *in, const char *out)
{
	nsdk_cpumask_t mask;
	char text[256];

	NSDK_ASSERT_INT(nsdk_cpumask_parse(in, &mask), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_format(&mask, text, sizeof(text)), strlen(out));
	NSDK_ASSERT_TEXT(text, out);
}

static void parses_what_the_kernel_writes(void)
{
	round_trip("0", "0");
	round_trip("0,2-3,8", "0,2-3,8");
	round_trip("0-1023", "0-1023");
	round_trip("63-64,1023\n", "63-64,1023");
	round_trip("3,1,2", "1-3");
	round_trip("1-4,3-6,5", "1-6");
}

static void refuses(const char *list, const char *sentence)
{
	nsdk_cpumask_t mask, untouched;

	memset(&mask, 0x5a, sizeof(mask));
	untouched = mask;
	NSDK_ASSERT_INT(nsdk_cpumask_parse(list, &mask), -EINVAL);
	CU_ASSERT_EQUAL(memcmp(&mask, &untouched, sizeof(mask)), 0);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
}

static void says_what_is_wrong_with_a_list(void)
{
	nsdk_unit_log_start();
	refuses(NULL, "empty");
	refuses("", "empty");
	refuses("\n", "empty");
	refuses("0,", "ends where a CPU should follow");
	refuses("0-", "ends where a CPU should follow");
	refuses(",0", "from \",0\" on");
	refuses("0-2-4", "from \"-4\" on");
	refuses("0 1", "from \" 1\" on");
	refuses("-1", "from \"-1\" on");
	refuses("1x", "from \"x\" on");
	refuses("all", "from \"all\" on");
	refuses("3-1", "3-1 runs backwards");
	refuses("1024", "above 1023");
	refuses("0-1024", "above 1023");
	refuses("99999999999999999999", "above 1023");
	nsdk_unit_log_stop();
}

static void a_list_keeps_its_order(void)
{
	uint16_t cpus[NSDK_MAX_CPUS];

	NSDK_ASSERT_INT(nsdk_cpulist_parse("3,0-1,3,1,2", cpus), 4);
	NSDK_ASSERT_INT(cpus[0], 3);
	NSDK_ASSERT_INT(cpus[1], 0);
	NSDK_ASSERT_INT(cpus[2], 1);
	NSDK_ASSERT_INT(cpus[3], 2);
	/* However often a CPU is named, there is room. */
	NSDK_ASSERT_INT(nsdk_cpulist_parse("0-1023,0-1023,5", cpus), 1024);
}

static void formats_into_any_room(void)
{
	nsdk_cpumask_t mask = { { 0 } };
	char text[8];

	NSDK_ASSERT_INT(nsdk_cpumask_format(&mask, text, sizeof(text)), 0);
	NSDK_ASSERT_TEXT(text, "");
	nsdk_cpumask_set(&mask, 10);
	nsdk_cpumask_set(&mask, 12);
	nsdk_cpumask_set(&mask, 100);
	NSDK_ASSERT_INT(nsdk_cpumask_format(&mask, NULL, 0), 9);
	memset(text, '#', sizeof(text));
	NSDK_ASSERT_INT(nsdk_cpumask_format(&mask, text, 5), 9);
	NSDK_ASSERT_TEXT(text, "10,1");
	CU_ASSERT_EQUAL(text[5], '#');
}

static void next_and_weight_agree(void)
{
	nsdk_cpumask_t mask = { { 0 } };
	const int cpus[] = { 0, 5, 63, 64, 127, 640, 1023 };
	const int count = (int)(sizeof(cpus) / sizeof(cpus[0]));
	int cpu = -1;

	NSDK_ASSERT_INT(nsdk_cpumask_next(&mask, 0), -1);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&mask), 0);
	for (int i = 0; i < count; i++)
		nsdk_cpumask_set(&mask, (unsigned)cpus[i]);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&mask), count);
	for (int i = 0; i < count; i++) {
		cpu = nsdk_cpumask_next(&mask, (unsigned)(cpu + 1));
		NSDK_ASSERT_INT(cpu, cpus[i]);
	}
	NSDK_ASSERT_INT(nsdk_cpumask_next(&mask, 1024), -1);
	NSDK_ASSERT_INT(nsdk_cpumask_next(&mask, ~0u), -1);
	CU_ASSERT_FALSE(nsdk_cpumask_test(&mask, 1024));
	CU_ASSERT_FALSE(nsdk_cpumask_test(&mask, 1));
}

static void affinity_is_the_threads(void)
{
	nsdk_cpumask_t mask;
	cpu_set_t set, one;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(set), &set), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_get_affinity(&mask), 0);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		NSDK_ASSERT_INT(nsdk_cpumask_test(&mask, cpu), CPU_ISSET(cpu, &set) != 0);

	CPU_ZERO(&one);
	CPU_SET((size_t)nsdk_cpumask_next(&mask, 0), &one);
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(one), &one), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_get_affinity(&mask), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&mask), 1);
	sched_setaffinity(0, sizeof(set), &set);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(parses_what_the_kernel_writes),
	NSDK_UNIT_TEST(says_what_is_wrong_with_a_list),
	NSDK_UNIT_TEST(a_list_keeps_its_order),
	NSDK_UNIT_TEST(formats_into_any_room),
	NSDK_UNIT_TEST(next_and_weight_agree),
	NSDK_UNIT_TEST(affinity_is_the_threads),
};

NSDK_UNIT_MAIN("lib/env/cpumask", tests)
