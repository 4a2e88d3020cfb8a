/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme get-feature, set-feature.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "nvme.h"

#define MAX_DATA 4096u

static const char *const selects[] = { "Current", "Default", "Saved", "Supported capabilities" };

static int check_fid(struct nvme_run *run)
{
	if (!run->v.fid.given)
		return nvme_usage(run, "--feature-id is missing");
	return TOOL_DONE;
}

static size_t data_bytes(const struct nvme_run *run)
{
	if (run->v.length.given)
		return (size_t)run->v.length.number;
	return nsdk_nvme_feature_bytes((uint8_t)run->v.fid.number);
}

/* The Host Identifier has 16 bytes where bit 0 of dword 11 asks for that, else 8. */
#define FEAT_HOST_ID 0x81

static int get(struct nvme_run *run, uint8_t data[MAX_DATA], size_t bytes,
	       struct nsdk_nvme_cpl *cpl)
{
	uint32_t cdw11 = (uint32_t)run->v.cdw11.number;
	struct nsdk_nvme_cmd cmd;

	if (run->v.fid.number == FEAT_HOST_ID && !run->v.cdw11.given)
		cdw11 = 1;
	cmd = nsdk_nvme_cmd_get_features((uint8_t)run->v.fid.number,
					 (enum nsdk_nvme_feature_select)run->v.select.number,
					 (uint32_t)run->v.nsid.number, cdw11);
	cmd.cdw14 = (uint32_t)run->v.uuid_index.number;
	/* Only the values have data. */
	if (run->v.select.number == NSDK_NVME_FEATURE_CAPABILITIES)
		bytes = 0;
	return nvme_send(run, &cmd, bytes ? data : NULL, bytes, cpl);
}

/* nvme-cli writes no 0x before a zero. */
static const char *prefix(uint32_t value)
{
	return value ? "0x" : "";
}

static void print_capabilities(uint32_t dw0)
{
	if (dw0 & 1)
		printf("  Feature is saveable\n");
	if (dw0 & 2)
		printf("  Feature is per-namespace\n");
	if (dw0 & 4)
		printf("  Feature is changeable\n");
}

/* ---- --human-readable ---- */

static void show_arbitration(uint32_t dw0)
{
	printf("\tHigh Priority Weight   (HPW): %u\n", (dw0 >> 24) + 1);
	printf("\tMedium Priority Weight (MPW): %u\n", (dw0 >> 16 & 0xff) + 1);
	printf("\tLow Priority Weight    (LPW): %u\n", (dw0 >> 8 & 0xff) + 1);
	if ((dw0 & 7) == 7)
		printf("\tArbitration Burst       (AB): No limit\n");
	else
		printf("\tArbitration Burst       (AB): %u\n", 1u << (dw0 & 7));
}

static void show_power(uint32_t dw0)
{
	static const char *const hints[] = { "No Workload", "Extended Idle Period with a Burst of Random Writes",
					     "Heavy Sequential Writes" };
	unsigned hint = dw0 >> 5 & 7;

	printf("\tWorkload Hint (WH): %u - %s\n", hint, hint < 3 ? hints[hint] : "Reserved");
	printf("\tPower State   (PS): %u\n", dw0 & 0x1f);
}

static void show_temperature(uint32_t dw0)
{
	unsigned type = dw0 >> 20 & 3, sensor = dw0 >> 16 & 15, kelvin = dw0 & 0xffff;
	char name[32] = "Composite Temperature";

	if (sensor == 15)
		snprintf(name, sizeof(name), "All Temperature Sensors");
	else if (sensor > 8)
		snprintf(name, sizeof(name), "Reserved");
	else if (sensor)
		snprintf(name, sizeof(name), "Temperature Sensor %u", sensor);
	printf("\tThreshold Type Select         (THSEL): %u - %s\n", type,
	       type == 0 ? "Over Temperature Threshold" :
	       type == 1 ? "Under Temperature Threshold" :
			   "Reserved");
	printf("\tThreshold Temperature Select (TMPSEL): %u - %s\n", sensor, name);
	printf("\tTemperature Threshold         (TMPTH): %d°C (%u Kelvin)\n", (int)kelvin - 273, kelvin);
}

static void show_events(uint32_t dw0)
{
	static const struct {
		unsigned bit;
		const char *name;
	} events[] = {
		{ 31, "Discovery Log Page Change Notices" },
		{ 14, "Endurance Group Event Aggregate Log Change Notices" },
		{ 13, "LBA Status Information Notices" },
		{ 12, "Predictable Latency Event Aggregate Log Change Notices" },
		{ 11, "Asymmetric Namespace Access Change Notices" },
		{ 10, "Telemetry Log Notices" },
		{ 9, "Firmware Activation Notices" },
		{ 8, "Namespace Attribute Notices" },
	};

	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		printf("\t%-58s: %s\n", events[i].name,
		       dw0 >> events[i].bit & 1 ? "Send async event" : "Do not send async event");
	printf("\t%-58s: %s\n", "SMART / Health Critical Warnings",
	       dw0 & 0xff ? "Send async event" : "Do not send async event");
}

/* The fields of a value, where it has any that are known here. */
static void show_fields(unsigned fid, uint32_t dw0)
{
	switch (fid) {
	case NSDK_NVME_FEAT_ARBITRATION:
		show_arbitration(dw0);
		break;
	case NSDK_NVME_FEAT_POWER_MANAGEMENT:
		show_power(dw0);
		break;
	case NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD:
		show_temperature(dw0);
		break;
	case NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE:
		printf("\tVolatile Write Cache Enable (WCE): %s\n", dw0 & 1 ? "Enabled" : "Disabled");
		break;
	case NSDK_NVME_FEAT_NUMBER_OF_QUEUES:
		printf("\tNumber of IO Completion Queues Allocated (NCQA): %u\n", (dw0 >> 16) + 1);
		printf("\tNumber of IO Submission Queues Allocated (NSQA): %u\n", (dw0 & 0xffff) + 1);
		break;
	case NSDK_NVME_FEAT_INTERRUPT_COALESCING:
		printf("\tAggregation Time     (TIME): %u usec\n", (dw0 >> 8 & 0xff) * 100);
		printf("\tAggregation Threshold (THR): %u\n", (dw0 & 0xff) + 1);
		break;
	case NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG:
		show_events(dw0);
		break;
	default:
		break;
	}
}

static int run_get(struct nvme_run *run)
{
	unsigned fid = (unsigned)run->v.fid.number, select = (unsigned)run->v.select.number;
	size_t bytes = data_bytes(run);
	uint8_t data[MAX_DATA] = { 0 };
	struct json_object *object;
	struct nsdk_nvme_cpl cpl;
	int status = get(run, data, bytes, &cpl);

	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return bytes ? nvme_show_bytes(data, bytes) : nvme_show_bytes(&cpl.dw0, 4);
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		nvme_put(object, "feature_id", fid);
		nvme_put_text(object, "feature", nsdk_nvme_feature_name((uint8_t)fid));
		nvme_put_text(object, "select", selects[select]);
		nvme_put(object, "value", cpl.dw0);
		return nvme_show_json(run, object);
	}
	printf("get-feature:0x%02x (%s), %s value:%s%08x\n", fid,
	       nsdk_nvme_feature_name((uint8_t)fid), selects[select], prefix(cpl.dw0), cpl.dw0);
	if (select == NSDK_NVME_FEATURE_CAPABILITIES)
		print_capabilities(cpl.dw0);
	else if (bytes)
		nvme_show_hex(data, bytes);
	else if (run->v.words)
		show_fields(fid, cpl.dw0);
	return TOOL_DONE;
}

static const struct nvme_option get_options[] = {
	NVME_NUMBER_OPTION("feature-id", 'f', fid, 255, "feature identifier"),
	NVME_NSID_OPTION("of this namespace [none]"),
	NVME_NUMBER_OPTION("sel", 's', select, 3, "0 current, 1 default, 2 saved, 3 capabilities"),
	NVME_NUMBER_OPTION("data-len", 'l', length, MAX_DATA, "bytes of data [as the feature has]"),
	NVME_NUMBER_OPTION("cdw11", 'c', cdw11, UINT32_MAX, "dword 11 of the command"),
	NVME_NUMBER_OPTION("uuid-index", 'U', uuid_index, 127, "UUID index"),
	NVME_RAW_OPTION,
	NVME_FLAG_OPTION("human-readable", 'H', words, "show the fields of its value as well"),
	NVME_END,
};

const struct nvme_sub nvme_get_feature = {
	.name = "get-feature",
	.summary = "Show a feature",
	.options = get_options,
	.check = check_fid,
	.run = run_get,
	.binary = true,
};

static int check_set(struct nvme_run *run)
{
	int status = check_fid(run);

	if (status == TOOL_DONE && !run->v.value.given && !run->v.file.given)
		status = nvme_usage(run, "--value is missing");
	return status;
}

static int run_set(struct nvme_run *run)
{
	unsigned fid = (unsigned)run->v.fid.number;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_set_features(
		(uint8_t)fid, run->v.save, (uint32_t)run->v.nsid.number,
		(uint32_t)run->v.value.number, (uint32_t)run->v.cdw12.number);
	size_t bytes = 0;
	void *data = NULL;
	int status;

	cmd.cdw14 = (uint32_t)run->v.uuid_index.number;
	if (run->v.file.given) {
		data = nvme_read_file(run->v.file.text, MAX_DATA, &bytes);
		if (data == NULL)
			return TOOL_FAILED;
	}
	status = nvme_send(run, &cmd, data, bytes, NULL);
	if (status == TOOL_DONE)
		printf("set-feature:0x%02x (%s), value:%s%08x, cdw12:%s%08x, save:%d\n", fid,
		       nsdk_nvme_feature_name((uint8_t)fid), prefix(cmd.cdw11), cmd.cdw11,
		       prefix(cmd.cdw12), cmd.cdw12, run->v.save);
	free(data);
	return status;
}

static const struct nvme_option set_options[] = {
	NVME_NUMBER_OPTION("feature-id", 'f', fid, 255, "feature identifier"),
	NVME_NUMBER_OPTION("value", 'v', value, UINT32_MAX, "its value, dword 11 of the command"),
	NVME_NUMBER_OPTION("cdw12", 'c', cdw12, UINT32_MAX, "dword 12 of the command"),
	NVME_NSID_OPTION("of this namespace [none]"),
	NVME_TEXT_OPTION("data", 'd', file, "a file with its data, - for the standard input"),
	NVME_NUMBER_OPTION("uuid-index", 'U', uuid_index, 127, "UUID index"),
	NVME_FLAG_OPTION("save", 's', save, "keep it over resets, so also behind this run"),
	NVME_END,
};

const struct nvme_sub nvme_set_feature = {
	.name = "set-feature",
	.summary = "Set a feature; without --save it lasts as long as this run",
	.options = set_options,
	.check = check_set,
	.run = run_set,
};
