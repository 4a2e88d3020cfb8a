/* SPDX-License-Identifier: BSD-3-Clause */
/* What a probe's counts mean. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "app/nsdk/doctor_probe.h"
#include "nsdk_unit.h"

static struct probe_facts facts;
static struct probe_judgement judgement;

static void judge(enum nsdk_snoop_state state, enum nsdk_policy policy, enum probe_bit bit,
		  struct probe_counts device_writes, struct probe_counts device_reads)
{
	memset(&facts, 0, sizeof(facts));
	snprintf(facts.device, sizeof(facts.device), "a device");
	facts.verdict.state = state;
	snprintf(facts.verdict.reason, sizeof(facts.verdict.reason), "for a test");
	facts.policy = policy;
	facts.bit = bit;
	facts.device_writes = device_writes;
	facts.device_reads = device_reads;
	probe_judge(&facts, &judgement);
}

#define COUNTS(...) ((struct probe_counts){ __VA_ARGS__ })
#define ALL_SNOOPED COUNTS(1000, 1000, 0, 0)
#define NONE_SNOOPED COUNTS(1000, 0, 1000, 0)
#define PERMITTED NSDK_SNOOP_PERMITTED, NSDK_POLICY_NOSNOOP, PROBE_BIT_SET

static void each_direction_has_its_answer(void)
{
	static const struct {
		struct probe_counts counts;
		enum probe_answer answer;
	} cases[] = {
		{ { 1000, 1000, 0, 0 }, PROBE_SNOOPED },
		{ { 1000, 0, 1000, 0 }, PROBE_NOT_SNOOPED },
		/* Lines that were written back too early. */
		{ { 1000, 100, 900, 0 }, PROBE_NOT_SNOOPED },
		{ { 1000, 101, 899, 0 }, PROBE_CANNOT_TELL },
		/* What snooped DMA cannot do, be it once. */
		{ { 1000, 999, 1, 0 }, PROBE_CANNOT_TELL },
		{ { 1000, 999, 0, 1 }, PROBE_CANNOT_TELL },
		{ { 1000, 0, 999, 1 }, PROBE_CANNOT_TELL },
		{ { 0, 0, 0, 0 }, PROBE_CANNOT_TELL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		judge(PERMITTED, cases[i].counts, ALL_SNOOPED);
		NSDK_ASSERT_INT(judgement.device_writes, cases[i].answer);
		NSDK_ASSERT_INT(judgement.device_reads, PROBE_SNOOPED);
		NSDK_ASSERT_INT(judgement.overall, cases[i].answer);
		judge(PERMITTED, ALL_SNOOPED, cases[i].counts);
		NSDK_ASSERT_INT(judgement.device_reads, cases[i].answer);
		NSDK_ASSERT_INT(judgement.device_writes, PROBE_SNOOPED);
		NSDK_ASSERT_INT(judgement.overall, cases[i].answer);
		CU_ASSERT(!judgement.contradiction);
	}
}

#define ASSERT_REASON(part)                                                                       \
	do {                                                                                      \
		CU_ASSERT_PTR_NOT_NULL(strstr(judgement.reason, part));                           \
		if (strstr(judgement.reason, part) == NULL)                                       \
			printf("# '%s' has no '%s'\n", judgement.reason, part);                   \
	} while (0)

static void an_answer_has_its_reason(void)
{
	judge(PERMITTED, NONE_SNOOPED, NONE_SNOOPED);
	ASSERT_REASON("have to be synced");
	judge(PERMITTED, NONE_SNOOPED, ALL_SNOOPED);
	ASSERT_REASON("writes go past");
	judge(PERMITTED, ALL_SNOOPED, NONE_SNOOPED);
	ASSERT_REASON("reads go past");
	judge(PERMITTED, ALL_SNOOPED, ALL_SNOOPED);
	ASSERT_REASON("no promise");
	judge(NSDK_SNOOP_PERMITTED, NSDK_POLICY_NOSNOOP, PROBE_BIT_UNKNOWN, ALL_SNOOPED, ALL_SNOOPED);
	ASSERT_REASON("no promise");
	judge(NSDK_SNOOP_PERMITTED, NSDK_POLICY_NOSNOOP, PROBE_BIT_CLEAR, ALL_SNOOPED, ALL_SNOOPED);
	ASSERT_REASON("bit stays 0");
	judge(NSDK_SNOOP_ENFORCED, NSDK_POLICY_COHERENT, PROBE_BIT_SET, ALL_SNOOPED, ALL_SNOOPED);
	ASSERT_REASON("enforced");
	judge(NSDK_SNOOP_UNKNOWN, NSDK_POLICY_COHERENT, PROBE_BIT_CLEAR, ALL_SNOOPED, ALL_SNOOPED);
	ASSERT_REASON("switched off");
	judge(PERMITTED, COUNTS(1000, 500, 500, 0), ALL_SNOOPED);
	ASSERT_REASON("mixed");
	judge(PERMITTED, COUNTS(1000, 999, 0, 1), ALL_SNOOPED);
	ASSERT_REASON("nobody had put there");
	judge(PERMITTED, COUNTS(0, 0, 0, 0), ALL_SNOOPED);
	ASSERT_REASON("nothing was measured");
}

/* A single line past the caches where nothing is synced is somebody's data. */
static void what_is_ruled_out_is_a_contradiction(void)
{
	judge(NSDK_SNOOP_ENFORCED, NSDK_POLICY_COHERENT, PROBE_BIT_SET, NONE_SNOOPED, ALL_SNOOPED);
	CU_ASSERT(judgement.contradiction);
	NSDK_ASSERT_INT(judgement.overall, PROBE_NOT_SNOOPED);
	ASSERT_REASON("CONTRADICTION: snooping is said to be enforced (for a test)");
	ASSERT_REASON("1000 of 2000 lines");
	judge(NSDK_SNOOP_ENFORCED, NSDK_POLICY_COHERENT, PROBE_BIT_CLEAR, ALL_SNOOPED,
	      COUNTS(1000, 999, 1, 0));
	CU_ASSERT(judgement.contradiction);
	NSDK_ASSERT_INT(judgement.overall, PROBE_CANNOT_TELL);
	ASSERT_REASON("1 of 2000 lines");
	judge(NSDK_SNOOP_UNKNOWN, NSDK_POLICY_COHERENT, PROBE_BIT_CLEAR, NONE_SNOOPED, NONE_SNOOPED);
	CU_ASSERT(judgement.contradiction);
	ASSERT_REASON("switched off");

	judge(NSDK_SNOOP_ENFORCED, NSDK_POLICY_COHERENT, PROBE_BIT_SET, ALL_SNOOPED, ALL_SNOOPED);
	CU_ASSERT(!judgement.contradiction);
	judge(PERMITTED, NONE_SNOOPED, NONE_SNOOPED);
	CU_ASSERT(!judgement.contradiction);
	judge(NSDK_SNOOP_ENFORCED, NSDK_POLICY_COHERENT, PROBE_BIT_SET, COUNTS(1000, 999, 0, 1),
	      ALL_SNOOPED);
	CU_ASSERT(!judgement.contradiction);
}

static void json_says_the_same(void)
{
	struct json_object *object, *direction;

	judge(NSDK_SNOOP_ENFORCED, NSDK_POLICY_COHERENT, PROBE_BIT_UNKNOWN, COUNTS(1000, 3, 995, 2),
	      ALL_SNOOPED);
	facts.lba = 7;
	facts.restored = true;
	object = probe_json(&facts, &judgement);
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(object, "answer")),
			 "cannot tell");
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(object, "reason")),
			 judgement.reason);
	CU_ASSERT(json_object_get_boolean(json_object_object_get(object, "contradiction")));
	CU_ASSERT(json_object_get_boolean(json_object_object_get(object, "restored")));
	CU_ASSERT_PTR_NULL(json_object_object_get(object, "enable_no_snoop"));
	NSDK_ASSERT_INT(json_object_get_int64(json_object_object_get(object, "lba")), 7);
	direction = json_object_object_get(object, "device_writes");
	NSDK_ASSERT_INT(json_object_get_int64(json_object_object_get(direction, "snooped")), 3);
	NSDK_ASSERT_INT(json_object_get_int64(json_object_object_get(direction, "not_snooped")), 995);
	NSDK_ASSERT_INT(json_object_get_int64(json_object_object_get(direction, "neither")), 2);
	direction = json_object_object_get(object, "device_reads");
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(direction, "answer")),
			 "snooped");
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(each_direction_has_its_answer),
	NSDK_UNIT_TEST(an_answer_has_its_reason),
	NSDK_UNIT_TEST(what_is_ruled_out_is_a_contradiction),
	NSDK_UNIT_TEST(json_says_the_same),
};

NSDK_UNIT_MAIN("app/nsdk/doctor_probe_report", tests)
