/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/nvme_fdp.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

static struct perf_run run;
static struct perf_device device;
static struct perf_job job;
static struct perf_slot slot;
static char said[400];
static char memory[8];

/* What the driver does, and has seen. */
static const uint16_t identifiers[] = { 0, 1, 2, 0x8000 };
static unsigned identifier_count, queues;
static int create_result, learn_result;
static struct nsdk_nvme_cpl learn_cpl;
static struct nsdk_nvme_io_ext written;
static struct iovec payload;

int __wrap_nsdk_nvme_qpair_create(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_qpair_opts *opts,
				  struct nsdk_nvme_qpair **out);
int __wrap_nsdk_nvme_qpair_create(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_qpair_opts *opts,
				  struct nsdk_nvme_qpair **out)
{
	*out = (struct nsdk_nvme_qpair *)memory;
	queues += create_result == 0;
	return create_result;
}

int __wrap_nsdk_nvme_qpair_destroy(struct nsdk_nvme_qpair *qp);
int __wrap_nsdk_nvme_qpair_destroy(struct nsdk_nvme_qpair *qp)
{
	queues--;
	return 0;
}

int __wrap_nsdk_nvme_placement_learn(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				     struct nsdk_nvme_cpl *cpl);
int __wrap_nsdk_nvme_placement_learn(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				     struct nsdk_nvme_cpl *cpl)
{
	NSDK_ASSERT_INT(queues, 1);
	*cpl = learn_cpl;
	return learn_result;
}

unsigned __wrap_nsdk_nvme_ns_placements(const struct nsdk_nvme_ns *ns, const uint16_t **out);
unsigned __wrap_nsdk_nvme_ns_placements(const struct nsdk_nvme_ns *ns, const uint16_t **out)
{
	*out = identifiers;
	return identifier_count;
}

int __wrap_nsdk_nvme_writev_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
				int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
				nsdk_nvme_cb cb, void *ctx);
int __wrap_nsdk_nvme_writev_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
				int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
				nsdk_nvme_cb cb, void *ctx)
{
	NSDK_ASSERT_INT(iovcnt, 1);
	CU_ASSERT_PTR_EQUAL(ctx, &slot);
	payload = *iov;
	written = *ext;
	return 0;
}

const char *__wrap_nsdk_device_name(const struct nsdk_device *dev);
const char *__wrap_nsdk_device_name(const struct nsdk_device *dev)
{
	return "emu0";
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

void __wrap_tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void __wrap_tool_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

static struct perf_fdp *const fdp = &run.opts.fdp;

static void before(void)
{
	memset(&run, 0, sizeof(run));
	memset(&device, 0, sizeof(device));
	memset(&job, 0, sizeof(job));
	memset(&slot, 0, sizeof(slot));
	memset(&learn_cpl, 0, sizeof(learn_cpl));
	run.opts.bs_bytes = 4096;
	device.run = &run;
	device.pattern.nsid = 3;
	job.run = &run;
	job.device = &device;
	identifier_count = 4;
	queues = 0;
	create_result = learn_result = 0;
	said[0] = '\0';
}

static int list(const char *text)
{
	char copy[1024];

	snprintf(copy, sizeof(copy), "%s", text);
	optarg = copy;
	return perf_fdp_parse_list(&tool_perf, fdp);
}

static void a_list_of_places(void)
{
	NSDK_ASSERT_INT(list("3,0,65535"), TOOL_DONE);
	NSDK_ASSERT_INT(fdp->count, 3);
	NSDK_ASSERT_INT(fdp->places[0], 3);
	NSDK_ASSERT_INT(fdp->places[1], 0);
	NSDK_ASSERT_INT(fdp->places[2], 65535);
	NSDK_ASSERT_INT(list("7"), TOOL_DONE);
	NSDK_ASSERT_INT(fdp->count, 1);
	NSDK_ASSERT_INT(fdp->places[0], 7);
}

static void what_is_no_list_is_said(void)
{
	static const char *const bad[] = { "", ",", "1,", ",1", "-1", "65536", "a", "1 2", "1234567890",
					   "1,00000000001" };
	char long_list[2 * PERF_MAX_PLACEMENTS + 2];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		said[0] = '\0';
		NSDK_ASSERT_INT(list(bad[i]), TOOL_USAGE);
		CU_ASSERT_PTR_NOT_NULL(strstr(said, "a place in the namespace's list of placement identifiers"));
	}
	memset(long_list, 0, sizeof(long_list));
	for (unsigned i = 0; i < PERF_MAX_PLACEMENTS; i++)
		memcpy(long_list + 2 * i, "1,", 2);
	NSDK_ASSERT_INT(list(long_list), TOOL_USAGE);
	long_list[2 * PERF_MAX_PLACEMENTS - 1] = '\0';
	NSDK_ASSERT_INT(list(long_list), TOOL_DONE);
	NSDK_ASSERT_INT(fdp->count, PERF_MAX_PLACEMENTS);
}

static void other_words(void)
{
	optarg = (char[]){ "fdp" };
	NSDK_ASSERT_INT(perf_fdp_parse_on(&tool_perf, fdp), TOOL_DONE);
	CU_ASSERT(fdp->on);
	optarg = (char[]){ "none" };
	NSDK_ASSERT_INT(perf_fdp_parse_on(&tool_perf, fdp), TOOL_DONE);
	CU_ASSERT(!fdp->on);
	optarg = (char[]){ "streams" };
	NSDK_ASSERT_INT(perf_fdp_parse_on(&tool_perf, fdp), TOOL_USAGE);
	NSDK_ASSERT_TEXT(said, "--dataplacement=streams: none or fdp is wanted");
	optarg = (char[]){ "random" };
	NSDK_ASSERT_INT(perf_fdp_parse_select(&tool_perf, fdp), TOOL_DONE);
	CU_ASSERT(fdp->random);
	NSDK_ASSERT_INT(perf_fdp_check(&tool_perf, fdp), TOOL_USAGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "say --fdp=1 as well"));
	optarg = (char[]){ "roundrobin" };
	NSDK_ASSERT_INT(perf_fdp_parse_select(&tool_perf, fdp), TOOL_DONE);
	CU_ASSERT(!fdp->random);
	NSDK_ASSERT_INT(perf_fdp_check(&tool_perf, fdp), TOOL_DONE);
	optarg = (char[]){ "scheme" };
	NSDK_ASSERT_INT(perf_fdp_parse_select(&tool_perf, fdp), TOOL_USAGE);
	NSDK_ASSERT_TEXT(said, "--plid_select=scheme: roundrobin or random is wanted");
	NSDK_ASSERT_INT(list("1"), TOOL_DONE);
	NSDK_ASSERT_INT(perf_fdp_check(&tool_perf, fdp), TOOL_USAGE);
	fdp->on = true;
	NSDK_ASSERT_INT(perf_fdp_check(&tool_perf, fdp), TOOL_DONE);
}

static void nobody_is_asked_without_it(void)
{
	create_result = -ENOMEM;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), 0);
	fdp->on = true;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), -ENOMEM);
}

static void what_a_namespace_has_not(void)
{
	fdp->on = true;
	learn_result = -EOPNOTSUPP;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), -EOPNOTSUPP);
	NSDK_ASSERT_TEXT(said, "--fdp=1: namespace 3 of emu0 has no flexible data placement");
	learn_result = -EIO; /* the driver has said it */
	said[0] = '\0';
	NSDK_ASSERT_INT(perf_fdp_setup(&device), -EIO);
	NSDK_ASSERT_TEXT(said, "");
	learn_result = 0;
	learn_cpl.status = 2 << 1;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "--fdp=1: the placement identifiers of namespace 3 of emu0: "));
	learn_cpl.status = 0;
	identifier_count = 0;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), -EINVAL);
	NSDK_ASSERT_TEXT(said, "--fdp=1: namespace 3 of emu0 has no placement identifiers");
	identifier_count = 4;
	list("3,4");
	NSDK_ASSERT_INT(perf_fdp_setup(&device), -EINVAL);
	NSDK_ASSERT_TEXT(said,
			 "--plids=4: namespace 3 of emu0 has 4 placement identifiers, which are counted from 0");
	NSDK_ASSERT_INT(queues, 0);
}

static uint16_t next_write(void)
{
	NSDK_ASSERT_INT(perf_fdp_write(&job, &slot, memory, NULL), 0);
	NSDK_ASSERT_INT(written.ext_bytes, sizeof(written));
	NSDK_ASSERT_INT(written.dtype, NSDK_NVME_DIRECTIVE_PLACEMENT);
	CU_ASSERT_PTR_EQUAL(payload.iov_base, memory);
	NSDK_ASSERT_INT(payload.iov_len, 4096);
	job.placed++;
	return written.dspec;
}

static void in_turn(void)
{
	static const uint16_t order[] = { 0x8000, 0, 2 };

	fdp->on = true;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), 0);
	for (unsigned i = 0; i < 9; i++)
		NSDK_ASSERT_INT(next_write(), identifiers[i % 4]);
	/* One that could not be submitted comes again. */
	NSDK_ASSERT_INT(next_write(), 1);
	job.placed--;
	NSDK_ASSERT_INT(next_write(), 1);
	list("3,0,2");
	job.placed = 0;
	for (unsigned i = 0; i < 7; i++)
		NSDK_ASSERT_INT(next_write(), order[i % 3]);
}

static void at_random(void)
{
	unsigned seen[2] = { 0 }, changes = 0;
	uint16_t last = 0;

	fdp->on = fdp->random = true;
	list("1,3");
	NSDK_ASSERT_INT(perf_fdp_setup(&device), 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint16_t pid = next_write();

		CU_ASSERT(pid == 1 || pid == 0x8000);
		seen[pid == 1]++;
		changes += pid != last;
		last = pid;
	}
	CU_ASSERT(seen[0] > 400 && seen[1] > 400);
	CU_ASSERT(changes > 400 && changes < 600);
}

static void what_is_in_use(void)
{
	struct json_object *object;

	fdp->on = true;
	NSDK_ASSERT_INT(perf_fdp_setup(&device), 0);
	object = perf_fdp_json(&device);
	NSDK_ASSERT_TEXT(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			 "{\"select\":\"roundrobin\",\"pids\":[0,1,2,32768]}");
	json_object_put(object);
	fdp->random = true;
	list("3,1");
	object = perf_fdp_json(&device);
	NSDK_ASSERT_TEXT(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			 "{\"select\":\"random\",\"pids\":[32768,1]}");
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_list_of_places),
	NSDK_UNIT_TEST(what_is_no_list_is_said),
	NSDK_UNIT_TEST(other_words),
	NSDK_UNIT_TEST(nobody_is_asked_without_it),
	NSDK_UNIT_TEST(what_a_namespace_has_not),
	NSDK_UNIT_TEST(in_turn),
	NSDK_UNIT_TEST(at_random),
	NSDK_UNIT_TEST(what_is_in_use),
};

NSDK_UNIT_MAIN("app/nsdk/perf_fdp", tests, .before = before)
