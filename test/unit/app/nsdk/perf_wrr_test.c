/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <json-c/json.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

static struct perf_run run;
static struct perf_device device;
static struct perf_job jobs[4];
static struct nsdk_nvme_arbitration in_force;
static char said[400];

bool __wrap_nsdk_nvme_ctrlr_arbitration(const struct nsdk_nvme_ctrlr *ctrlr,
					struct nsdk_nvme_arbitration *out);
bool __wrap_nsdk_nvme_ctrlr_arbitration(const struct nsdk_nvme_ctrlr *ctrlr,
					struct nsdk_nvme_arbitration *out)
{
	*out = in_force;
	return true;
}

int __wrap_tool_usage(const struct tool_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int __wrap_tool_usage(const struct tool_command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	return TOOL_USAGE;
}

static struct perf_wrr wrr;

static void before(void)
{
	memset(&wrr, 0, sizeof(wrr));
	said[0] = '\0';
}

static int parse(const char *text)
{
	return perf_wrr_parse(&tool_perf, text, &wrr);
}

static void a_list_of_words_or_numbers(void)
{
	NSDK_ASSERT_INT(parse("urgent,high,medium,low"), TOOL_DONE);
	NSDK_ASSERT_INT(wrr.count, 4);
	for (unsigned i = 0; i < 9; i++)
		NSDK_ASSERT_INT(perf_wrr_priority(&wrr, i), NSDK_NVME_PRIORITY_URGENT + i % 4);
	NSDK_ASSERT_INT(parse("3,0,high"), TOOL_DONE);
	NSDK_ASSERT_INT(wrr.count, 3);
	NSDK_ASSERT_INT(perf_wrr_priority(&wrr, 0), NSDK_NVME_PRIORITY_LOW);
	NSDK_ASSERT_INT(perf_wrr_priority(&wrr, 1), NSDK_NVME_PRIORITY_URGENT);
	NSDK_ASSERT_INT(perf_wrr_priority(&wrr, 2), NSDK_NVME_PRIORITY_HIGH);
	NSDK_ASSERT_INT(parse("low"), TOOL_DONE);
	NSDK_ASSERT_INT(perf_wrr_priority(&wrr, 77), NSDK_NVME_PRIORITY_LOW);
}

static void what_is_no_list_is_said(void)
{
	static const char *const bad[] = { "", ",", "high,", ",high", "High", "hig", "highh", "4", "00", "none",
					   "high low", "-1" };
	char long_list[2 * PERF_MAX_PRIORITIES + 2];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		said[0] = '\0';
		NSDK_ASSERT_INT(parse(bad[i]), TOOL_USAGE);
		CU_ASSERT_PTR_NOT_NULL(strstr(said, "urgent, high, medium or low is wanted"));
	}
	memset(long_list, 0, sizeof(long_list));
	for (unsigned i = 0; i < PERF_MAX_PRIORITIES; i++)
		memcpy(long_list + 2 * i, "1,", 2);
	long_list[2 * PERF_MAX_PRIORITIES - 1] = '\0';
	NSDK_ASSERT_INT(parse(long_list), TOOL_DONE);
	NSDK_ASSERT_INT(wrr.count, PERF_MAX_PRIORITIES);
	memcpy(long_list + 2 * PERF_MAX_PRIORITIES - 1, ",1", 3);
	NSDK_ASSERT_INT(parse(long_list), TOOL_USAGE);
}

static void options_that_go_together(void)
{
	NSDK_ASSERT_INT(perf_wrr_check(&tool_perf, &wrr), TOOL_DONE);
	for (unsigned i = 0; i < 4; i++) {
		before();
		wrr.burst = i == 0;
		wrr.high_weight = i == 1;
		wrr.medium_weight = i == 2;
		wrr.low_weight = i == 3;
		NSDK_ASSERT_INT(perf_wrr_check(&tool_perf, &wrr), TOOL_USAGE);
		CU_ASSERT_PTR_NOT_NULL(strstr(said, "say --wrr_priority as well"));
		wrr.count = 1;
		NSDK_ASSERT_INT(perf_wrr_check(&tool_perf, &wrr), TOOL_DONE);
	}
	wrr.burst = 48;
	NSDK_ASSERT_INT(perf_wrr_check(&tool_perf, &wrr), TOOL_USAGE);
	NSDK_ASSERT_TEXT(said, "--arbitration_burst=48: a power of two up to 64 is wanted");
}

static void what_the_driver_is_told(void)
{
	struct nsdk_nvme_opts nvme = { 0 };

	perf_wrr_attach(&wrr, &nvme);
	NSDK_ASSERT_INT(nvme.arbitration, NSDK_NVME_ROUND_ROBIN);
	NSDK_ASSERT_INT(perf_wrr_priority(&wrr, 5), NSDK_NVME_PRIORITY_DEFAULT);
	wrr = (struct perf_wrr){ .count = 1, .burst = 4, .high_weight = 3, .medium_weight = 2,
				 .low_weight = 1 };
	perf_wrr_attach(&wrr, &nvme);
	NSDK_ASSERT_INT(nvme.arbitration, NSDK_NVME_WRR);
	NSDK_ASSERT_INT(nvme.arbitration_burst, 4);
	NSDK_ASSERT_INT(nvme.high_weight, 3);
	NSDK_ASSERT_INT(nvme.medium_weight, 2);
	NSDK_ASSERT_INT(nvme.low_weight, 1);
}

static void what_each_job_got(void)
{
	struct json_object *object;

	memset(&run, 0, sizeof(run));
	run.devices = &device;
	run.jobs = jobs;
	run.opts.numjobs = 4;
	device.run = &run;
	parse("high,low");
	run.opts.wrr = wrr;
	for (unsigned i = 0; i < 4; i++) {
		atomic_store(&jobs[i].counters.ios[PERF_READ], 10 * i);
		atomic_store(&jobs[i].counters.ios[PERF_WRITE], i);
	}
	in_force = (struct nsdk_nvme_arbitration){ true, 8, 16, 9, 4 };
	object = perf_wrr_json(&device);
	NSDK_ASSERT_TEXT(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			 "{\"burst\":8,\"high_weight\":16,\"medium_weight\":9,\"low_weight\":4,\"jobs\":["
			 "{\"priority\":\"high\",\"ios\":0,\"share\":0.0000},"
			 "{\"priority\":\"low\",\"ios\":11,\"share\":0.1667},"
			 "{\"priority\":\"high\",\"ios\":22,\"share\":0.3333},"
			 "{\"priority\":\"low\",\"ios\":33,\"share\":0.5000}]}");
	json_object_put(object);
	/* Nothing at all, and no limit. */
	memset(jobs, 0, sizeof(jobs));
	run.opts.numjobs = 1;
	in_force.burst = NSDK_NVME_NO_BURST_LIMIT;
	object = perf_wrr_json(&device);
	NSDK_ASSERT_TEXT(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			 "{\"burst\":0,\"high_weight\":16,\"medium_weight\":9,\"low_weight\":4,\"jobs\":["
			 "{\"priority\":\"high\",\"ios\":0,\"share\":0.0000}]}");
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_list_of_words_or_numbers),
	NSDK_UNIT_TEST(what_is_no_list_is_said),
	NSDK_UNIT_TEST(options_that_go_together),
	NSDK_UNIT_TEST(what_the_driver_is_told),
	NSDK_UNIT_TEST(what_each_job_got),
};

NSDK_UNIT_MAIN("app/nsdk/perf_wrr", tests, .before = before)
