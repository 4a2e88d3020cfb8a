/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The doctor and devices that this test makes up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/bus.h>
#include <nsdk/log.h>

#include "app/nsdk/doctor.h"
#include "app/nsdk/tool.h"
#include "nsdk_unit.h"

static struct doctor_facts *facts;
static struct nsdk_pci_info functions[4];
static unsigned function_count;
static int scan_error;
static int attach_error;
static const char *attach_sentence;
static unsigned attached, detached;
static const struct nsdk_snoop_verdict verdict = { NSDK_SNOOP_PERMITTED, "for a test" };

int __wrap_nsdk_pci_scan(int (*fn)(void *ctx, const struct nsdk_pci_info *info), void *ctx);
int __wrap_nsdk_pci_scan(int (*fn)(void *ctx, const struct nsdk_pci_info *info), void *ctx)
{
	if (scan_error != 0)
		return nsdk_fail(scan_error, "pci", "there is no PCI here");
	for (unsigned i = 0; i < function_count; i++)
		fn(ctx, &functions[i]);
	return 0;
}

int __wrap_nsdk_device_attach(const char *spec, const struct nsdk_device_opts *opts,
			      struct nsdk_device **out);
int __wrap_nsdk_device_attach(const char *spec, const struct nsdk_device_opts *opts,
			      struct nsdk_device **out)
{
	/* It must not bind anything: a doctor changes nothing. */
	CU_ASSERT(opts == NULL || !opts->bind);
	if (attach_error != 0)
		return nsdk_fail(attach_error, "bus", "%s", attach_sentence);
	attached++;
	*out = (struct nsdk_device *)(uintptr_t)&verdict;
	return 0;
}

void __wrap_nsdk_device_detach(struct nsdk_device *dev);
void __wrap_nsdk_device_detach(struct nsdk_device *dev)
{
	CU_ASSERT_PTR_EQUAL(dev, &verdict);
	detached++;
}

const struct nsdk_snoop_verdict *__wrap_nsdk_device_verdict(const struct nsdk_device *dev);
const struct nsdk_snoop_verdict *__wrap_nsdk_device_verdict(const struct nsdk_device *dev)
{
	return &verdict;
}

static void add(const char *bdf, uint32_t class_code, const char *driver, int group)
{
	struct nsdk_pci_info *info = &functions[function_count++];

	memset(info, 0, sizeof(*info));
	snprintf(info->bdf, sizeof(info->bdf), "%s", bdf);
	snprintf(info->driver, sizeof(info->driver), "%s", driver);
	info->class_code = class_code;
	info->iommu_group = group;
	info->numa_node = -1;
}

static int start(void)
{
	tool_log_start();
	return 0;
}

static void before(void)
{
	function_count = 0;
	scan_error = 0;
	attach_error = 0;
	attached = 0;
	detached = 0;
	facts = calloc(1, sizeof(*facts));
	CU_ASSERT_PTR_NOT_NULL_FATAL(facts);
	STAILQ_INIT(&facts->findings);
	STAILQ_INIT(&facts->devices);
	nsdk_line_info(&facts->cpu.lines);
	snprintf(facts->user, sizeof(facts->user), "somebody");
}

static void after(void)
{
	NSDK_ASSERT_INT(attached, detached);
	doctor_free(facts);
	facts = NULL;
}

static const struct doctor_finding *only_finding(void)
{
	const struct doctor_finding *found = STAILQ_FIRST(&facts->findings);

	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	CU_ASSERT_PTR_NULL(STAILQ_NEXT(found, link));
	return found;
}

static const struct doctor_device *only_device(void)
{
	const struct doctor_device *device = STAILQ_FIRST(&facts->devices);

	CU_ASSERT_PTR_NOT_NULL_FATAL(device);
	CU_ASSERT_PTR_NULL(STAILQ_NEXT(device, link));
	return device;
}

static void what_is_bound_is_asked(void)
{
	add("0000:00:03.0", TOOL_CLASS_NVME, "vfio-pci", 5);
	doctor_look_at_devices(facts, NULL, 0);
	NSDK_ASSERT_INT(attached, 1);
	NSDK_ASSERT_INT(only_device()->verdict.state, NSDK_SNOOP_PERMITTED);
	NSDK_ASSERT_TEXT(only_device()->verdict.reason, "for a test");
	NSDK_ASSERT_INT(facts->problems, 0);
}

static void what_the_kernel_has_is_left_alone(void)
{
	add("0000:00:03.0", TOOL_CLASS_NVME, "nvme", 5);
	doctor_look_at_devices(facts, NULL, 0);
	NSDK_ASSERT_INT(attached, 0);
	NSDK_ASSERT_INT(only_device()->verdict.state, NSDK_SNOOP_UNKNOWN);
	CU_ASSERT(strstr(only_device()->verdict.reason, "bound to nvme") != NULL);
	NSDK_ASSERT_TEXT(only_finding()->mend, "nsdk bind 0000:00:03.0");
}

static void without_a_group_it_is_refused(void)
{
	add("0000:00:03.0", TOOL_CLASS_NVME, "nvme", -1);
	doctor_look_at_devices(facts, NULL, 0);
	NSDK_ASSERT_INT(attached, 0);
	NSDK_ASSERT_INT(only_device()->verdict.state, NSDK_SNOOP_REFUSED);
	NSDK_ASSERT_INT(only_finding()->state, DOCTOR_PROBLEM);
}

static void others_are_looked_at_once_they_are_bound(void)
{
	add("0000:00:04.0", 0x020000, "e1000e", 6);
	add("0000:00:05.0", 0x020000, "vfio-pci", 7);
	doctor_look_at_devices(facts, NULL, 0);
	NSDK_ASSERT_TEXT(only_device()->name, "0000:00:05.0");
}

static void a_refusal_is_the_answer(void)
{
	static const struct {
		int error;
		enum nsdk_snoop_state state;
		const char *mend;
	} cases[] = {
		{ -EPERM, NSDK_SNOOP_REFUSED, "" },
		{ -EBUSY, NSDK_SNOOP_UNKNOWN, "" },
		{ -EACCES, NSDK_SNOOP_UNKNOWN, "chown somebody /dev/vfio/5" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (i > 0) {
			after();
			before();
		}
		add("0000:00:03.0", TOOL_CLASS_NVME, "vfio-pci", 5);
		attach_error = cases[i].error;
		attach_sentence = "because it is so";
		doctor_look_at_devices(facts, NULL, 0);
		NSDK_ASSERT_INT(only_device()->verdict.state, cases[i].state);
		NSDK_ASSERT_TEXT(only_device()->verdict.reason, "because it is so");
		NSDK_ASSERT_INT(only_finding()->state, DOCTOR_PROBLEM);
		NSDK_ASSERT_TEXT(only_finding()->mend, cases[i].mend);
	}
}

static void no_pci_is_a_fact(void)
{
	scan_error = -ENOENT;
	doctor_look_at_devices(facts, NULL, 0);
	CU_ASSERT(STAILQ_EMPTY(&facts->devices));
	NSDK_ASSERT_INT(only_finding()->state, DOCTOR_NOTE);
	CU_ASSERT(strstr(only_finding()->text, "there is no PCI here") != NULL);
	NSDK_ASSERT_INT(facts->problems, 0);
}

static void json_says_the_same(void)
{
	struct json_object *object, *devices, *device;

	add("0000:00:03.0", TOOL_CLASS_NVME, "vfio-pci", 5);
	add("0000:00:04.0", TOOL_CLASS_NVME, "", -1);
	doctor_look_at_devices(facts, NULL, 0);
	object = doctor_json(facts);
	devices = json_object_object_get(object, "devices");
	NSDK_ASSERT_INT(json_object_array_length(devices), 2);
	device = json_object_array_get_idx(devices, 0);
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(device, "bdf")),
			 "0000:00:03.0");
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(
				 json_object_object_get(device, "verdict"), "state")),
			 "permitted");
	device = json_object_array_get_idx(devices, 1);
	CU_ASSERT(json_object_object_get(device, "driver") == NULL);
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(
				 json_object_object_get(device, "verdict"), "state")),
			 "refused");
	NSDK_ASSERT_INT(json_object_array_length(json_object_object_get(object, "problems")), 1);
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(what_is_bound_is_asked),
	NSDK_UNIT_TEST(what_the_kernel_has_is_left_alone),
	NSDK_UNIT_TEST(without_a_group_it_is_refused),
	NSDK_UNIT_TEST(others_are_looked_at_once_they_are_bound),
	NSDK_UNIT_TEST(a_refusal_is_the_answer),
	NSDK_UNIT_TEST(no_pci_is_a_fact),
	NSDK_UNIT_TEST(json_says_the_same),
};

NSDK_UNIT_MAIN("app/nsdk/doctor_devices", tests, .start = start, .before = before, .after = after)
