/* SPDX-License-Identifier: BSD-3-Clause */
#include <json-c/json.h>

#include "app/nsdk/tune.h"
#include "nsdk_unit.h"

static void times_have_their_unit(void)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0 ns" },		{ 999, "999 ns" },	     { 1000, "1.00 us" },
		{ 12345, "12.3 us" },	{ 123456, "123 us" },	     { 1000000, "1.00 ms" },
		{ 2500000000, "2.50 s" }, { 123000000000000, "123000 s" },
	};
	char buf[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		NSDK_ASSERT_TEXT(tune_format_ns(cases[i].ns, buf, sizeof(buf)), cases[i].text);
}

static const struct nsdk_tune_check checks[] = {
	{ .bytes = 4096, .chosen_ns = 100, .best_ns = 100, .ratio_ppm = 1002000, .alternatives = 2,
	  .static_ratio_ppm = 1000000 },
	{ .bytes = 8192, .way = NSDK_TUNE_INVALIDATE, .chosen = NSDK_TUNE_CREW, .chosen_cpus = 2,
	  .chosen_ns = 210, .best = NSDK_TUNE_LINES, .best_cpus = 1, .best_ns = 200, .ratio_ppm = 1049000,
	  .alternatives = 2, .static_ratio_ppm = 1330000 },
	{ .bytes = 12288, .chosen_ns = 90, .best_ns = 100, .ratio_ppm = 910000, .alternatives = 2,
	  .static_ratio_ppm = 1020000 },
};

static void the_worst_is_the_largest(void)
{
	CU_ASSERT_DOUBLE_EQUAL(tune_worst_ratio(checks, 3), 1.049, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(tune_worst_ratio(&checks[2], 1), 0.91, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(tune_worst_ratio(checks, 0), 0, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(tune_static_worst_ratio(checks, 3), 1.33, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(tune_static_worst_ratio(&checks[2], 1), 1.02, 1e-9);
}

static const char *text_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	CU_ASSERT(json_object_object_get_ex(object, key, &value));
	return value != NULL ? json_object_get_string(value) : "";
}

static void a_check_for_programs(void)
{
	struct json_object *object = tune_json_check(checks, 3, ""), *sizes, *size;

	NSDK_ASSERT_TEXT(text_of(object, "worst_ratio"), "1.0490");
	NSDK_ASSERT_TEXT(text_of(object, "static_worst_ratio"), "1.3300");
	CU_ASSERT(json_object_object_get_ex(object, "profile", &sizes) && sizes == NULL);
	CU_ASSERT(json_object_object_get_ex(object, "sizes", &sizes));
	NSDK_ASSERT_INT(json_object_array_length(sizes), 3);
	size = json_object_array_get_idx(sizes, 1);
	NSDK_ASSERT_TEXT(text_of(size, "bytes"), "8192");
	NSDK_ASSERT_TEXT(text_of(size, "way"), "invalidate");
	NSDK_ASSERT_TEXT(text_of(size, "chosen"), "crew");
	NSDK_ASSERT_TEXT(text_of(size, "chosen_cpus"), "2");
	NSDK_ASSERT_TEXT(text_of(size, "best"), "lines");
	NSDK_ASSERT_TEXT(text_of(size, "ratio"), "1.0490");
	NSDK_ASSERT_TEXT(text_of(size, "static_ratio"), "1.3300");
	json_object_put(object);
	object = tune_json_check(checks, 1, "/a/b");
	NSDK_ASSERT_TEXT(text_of(object, "profile"), "/a/b");
	json_object_put(object);
}

static void a_profile_for_programs(void)
{
	struct nsdk_profile *profile = NULL;
	struct json_object *object, *crossovers;

	NSDK_ASSERT_INT(nsdk_profile_create(&profile), 0);
	object = tune_json(profile, "/a/b");
	CU_ASSERT_PTR_NOT_NULL_FATAL(object);
	NSDK_ASSERT_TEXT(text_of(object, "file"), "/a/b");
	NSDK_ASSERT_TEXT(text_of(object, "format"), "1");
	CU_ASSERT(json_object_object_get_ex(object, "crossovers", &crossovers));
	NSDK_ASSERT_INT(json_object_array_length(crossovers), 0);
	json_object_put(object);
	nsdk_profile_free(profile);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(times_have_their_unit),
	NSDK_UNIT_TEST(the_worst_is_the_largest),
	NSDK_UNIT_TEST(a_check_for_programs),
	NSDK_UNIT_TEST(a_profile_for_programs),
};

NSDK_UNIT_MAIN("app/nsdk/tune_report", tests)
