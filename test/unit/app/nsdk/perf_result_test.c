/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/emu.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

static struct perf_run run;
static struct perf_device device;
static struct perf_job jobs[2];
static struct nsdk_snoop_verdict verdict = { NSDK_SNOOP_ENFORCED, "for a test" };
static const char *bus;
static uint64_t violations;

struct nsdk_reactor *__wrap_nsdk_reactor_get(unsigned index);
struct nsdk_reactor *__wrap_nsdk_reactor_get(unsigned index)
{
	return NULL;
}

void __wrap_nsdk_reactor_stats(const struct nsdk_reactor *reactor, struct nsdk_reactor_stats *out);
void __wrap_nsdk_reactor_stats(const struct nsdk_reactor *reactor, struct nsdk_reactor_stats *out)
{
	*out = (struct nsdk_reactor_stats){
		.busy_ticks = 10,
		.idle_ticks = 20,
		.slept_ticks = 70,
		.sleeps = 3,
	};
}

const char *__wrap_nsdk_device_name(const struct nsdk_device *dev);
const char *__wrap_nsdk_device_name(const struct nsdk_device *dev)
{
	return "a device";
}

const char *__wrap_nsdk_device_bus_name(const struct nsdk_device *dev);
const char *__wrap_nsdk_device_bus_name(const struct nsdk_device *dev)
{
	return bus;
}

const struct nsdk_snoop_verdict *__wrap_nsdk_device_verdict(const struct nsdk_device *dev);
const struct nsdk_snoop_verdict *__wrap_nsdk_device_verdict(const struct nsdk_device *dev)
{
	return &verdict;
}

struct nsdk_coherence *__wrap_nsdk_nvme_ctrlr_coherence(struct nsdk_nvme_ctrlr *ctrlr);
struct nsdk_coherence *__wrap_nsdk_nvme_ctrlr_coherence(struct nsdk_nvme_ctrlr *ctrlr)
{
	return NULL;
}

enum nsdk_policy __wrap_nsdk_coherence_effective(const struct nsdk_coherence *coh);
enum nsdk_policy __wrap_nsdk_coherence_effective(const struct nsdk_coherence *coh)
{
	return NSDK_POLICY_COHERENT;
}

void __wrap_nsdk_coherence_stats(struct nsdk_coherence *coh, struct nsdk_coherence_stats *out);
void __wrap_nsdk_coherence_stats(struct nsdk_coherence *coh, struct nsdk_coherence_stats *out)
{
	*out = (struct nsdk_coherence_stats){ 1, 2, 3, 4, 5 };
}

void __wrap_nsdk_cache_model_stats(struct nsdk_cache_model_stats *out);
void __wrap_nsdk_cache_model_stats(struct nsdk_cache_model_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->violations_total = violations;
}

int __wrap_nsdk_env_lcore_cpu(unsigned index);
int __wrap_nsdk_env_lcore_cpu(unsigned index)
{
	return (int)index + 10;
}

unsigned __wrap_tool_stop_requests(void);
static unsigned requests;
unsigned __wrap_tool_stop_requests(void)
{
	return requests;
}

static void before(void)
{
	memset(&run, 0, sizeof(run));
	memset(&device, 0, sizeof(device));
	memset(jobs, 0, sizeof(jobs));
	bus = "emu";
	violations = 0;
	requests = 0;
	run.opts.rw = "randrw";
	run.opts.reads = true;
	run.opts.writes = true;
	run.opts.verify = true;
	run.opts.bs_bytes = 1000;
	run.opts.numjobs = 2;
	run.devices = &device;
	run.jobs = jobs;
	run.job_count = 2;
	run.ns_per_tick_32 = (uint64_t)1 << 32; /* a tick is a nanosecond */
	device.run = &run;
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned dir = 0; dir < PERF_DIRS; dir++)
			perf_hist_init(&jobs[i].hist[dir]);
		jobs[i].lcore = i;
		jobs[i].read_back = true;
	}
	/* One from 1 s to 2 s, one from 1.5 s to 3 s. */
	jobs[0].start_ticks = 1000000000;
	jobs[0].end_ticks = 2000000000;
	jobs[1].start_ticks = 1500000000;
	jobs[1].end_ticks = 3000000000;
	for (unsigned i = 0; i < 100; i++) {
		perf_hist_add(&jobs[0].hist[PERF_READ], 100);
		perf_hist_add(&jobs[1].hist[PERF_WRITE], 50);
	}
	atomic_store(&jobs[0].counters.ios[PERF_READ], 100);
	atomic_store(&jobs[1].counters.ios[PERF_WRITE], 100);
}

static bool good(void)
{
	struct perf_result *result;
	bool is_good;

	CU_ASSERT_EQUAL_FATAL(perf_result_create(&device, &result), 0);
	is_good = perf_result_good(result);
	free(result);
	return is_good;
}

static void jobs_are_added_up(void)
{
	struct perf_result *result;

	CU_ASSERT_EQUAL_FATAL(perf_result_create(&device, &result), 0);
	NSDK_ASSERT_INT(result->ios[PERF_READ], 100);
	NSDK_ASSERT_INT(result->ios[PERF_WRITE], 100);
	/* From the first that began to the last that ended. */
	NSDK_ASSERT_INT(result->runtime_ns, 2000000000);
	NSDK_ASSERT_INT(result->all.count, 200);
	NSDK_ASSERT_INT(result->all.min, 50);
	NSDK_ASSERT_INT(result->all.max, 100);
	NSDK_ASSERT_INT(result->coherence.lines_invalidated, 3);
	CU_ASSERT(result->read_back);
	CU_ASSERT(perf_result_good(result));
	free(result);
}

/* Whatever is wrong with it makes the exit status 1. */
static void each_flaw_counts(void)
{
	CU_ASSERT(good());
	atomic_store(&jobs[1].counters.errors, 1);
	CU_ASSERT(!good());
	before();
	atomic_store(&jobs[1].counters.verify_errors, 1);
	CU_ASSERT(!good());
	before();
	violations = 1;
	CU_ASSERT(!good());
	bus = "vfio-cdev"; /* hardware has no model, and answers for none */
	CU_ASSERT(good());
	before();
	jobs[0].failed = true;
	CU_ASSERT(!good());
	before();
	atomic_store(&device.failed, true);
	CU_ASSERT(!good());
	before();
	requests = 1;
	CU_ASSERT(!good());
}

static void a_job_that_never_ran_is_nothing(void)
{
	struct perf_result *result;

	before();
	jobs[0].start_ticks = 0;
	jobs[0].end_ticks = 0;
	jobs[1].start_ticks = 0;
	jobs[1].end_ticks = 0;
	CU_ASSERT_EQUAL_FATAL(perf_result_create(&device, &result), 0);
	NSDK_ASSERT_INT(result->runtime_ns, 0);
	json_object_put(perf_json(&run, result)); /* and nothing is divided by it */
	free(result);
}

static double number(struct json_object *object, const char *a, const char *b)
{
	object = json_object_object_get(object, a);
	if (b != NULL)
		object = json_object_object_get(object, b);
	return json_object_get_double(object);
}

static void json_has_the_documented_keys(void)
{
	static const char *const keys[] = { "device", "policy", "verdict", "ios", "iops", "bw_bytes",
					    "errors", "verify_errors", "lat_ns", "coherence" };
	static const char *const latencies[] = { "min", "mean", "p50",	 "p90",
						 "p99", "p99_9", "p99_99", "max" };
	static const char *const counters[] = { "batches", "lines_written_back",
						"lines_invalidated", "bytes_skipped_clean",
						"wbinvd", "violations" };
	struct json_object *object, *part;
	struct perf_result *result;

	device.mismatches[0].lba = 77;
	atomic_store(&device.kept, 1);
	CU_ASSERT_EQUAL_FATAL(perf_result_create(&device, &result), 0);
	object = perf_json(&run, result);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CU_ASSERT(json_object_object_get_ex(object, keys[i], NULL));
	part = json_object_object_get(object, "lat_ns");
	for (size_t i = 0; i < sizeof(latencies) / sizeof(latencies[0]); i++)
		CU_ASSERT(json_object_object_get_ex(part, latencies[i], NULL));
	part = json_object_object_get(object, "coherence");
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		CU_ASSERT(json_object_object_get_ex(part, counters[i], NULL));
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(
				 json_object_object_get(object, "verdict"), "state")),
			 "enforced");
	CU_ASSERT(number(object, "ios", NULL) == 200);
	CU_ASSERT(number(object, "iops", NULL) == 100);
	CU_ASSERT(number(object, "bw_bytes", NULL) == 100000);
	CU_ASSERT(number(object, "read", "iops") == 50);
	CU_ASSERT(number(object, "lat_ns", "mean") == 75);
	CU_ASSERT(number(object, "coherence", "wbinvd") == 5);
	part = json_object_object_get(object, "lcores");
	NSDK_ASSERT_INT(json_object_array_length(part), 2);
	part = json_object_array_get_idx(part, 1);
	CU_ASSERT(number(part, "busy_ns", NULL) == 10 && number(part, "idle_ns", NULL) == 20);
	CU_ASSERT(number(part, "slept_ns", NULL) == 70 && number(part, "sleeps", NULL) == 3);
	part = json_object_object_get(json_object_object_get(object, "verify"), "mismatches");
	NSDK_ASSERT_INT(json_object_array_length(part), 1);
	CU_ASSERT(number(json_object_array_get_idx(part, 0), "lba", NULL) == 77);
	json_object_put(object);
	free(result);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(jobs_are_added_up),
	NSDK_UNIT_TEST(each_flaw_counts),
	NSDK_UNIT_TEST(a_job_that_never_ran_is_nothing),
	NSDK_UNIT_TEST(json_has_the_documented_keys),
};

NSDK_UNIT_MAIN("app/nsdk/perf_result", tests, .before = before)
