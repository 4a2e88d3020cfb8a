/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme fdp: flexible data placement; what an endurance group has, what a namespace's placement
 * identifiers are for, and what happened to them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include <nsdk/nvme_fdp.h>

#include "nvme.h"

#define MAX_LIST 256u
#define MAX_CONFIGS_BYTES ((uint32_t)1 << 20) /* the driver's */
#define TIMESTAMP_MASK ((UINT64_C(1) << 48) - 1)

#define ENDGID_OPTION \
	NVME_NUMBER_OPTION("endgrp-id", 'e', endgid, UINT16_MAX, "endurance group [that of the first namespace]")

/* 0 is none. */
static int check_endgid(struct nvme_run *run)
{
	if (run->v.endgid.given && run->v.endgid.number == 0)
		return nvme_usage(run, "--endgrp-id=0: endurance groups are counted from 1");
	return TOOL_DONE;
}

/* --endgrp-id, or that of the first namespace; 0: it was said that there is none. */
static uint16_t endgid_of(struct nvme_run *run)
{
	uint32_t nsid = nsdk_nvme_ns_next(run->ctrlr, 0);
	uint16_t endgid = nsid ? nsdk_nvme_ns_endgid(nsdk_nvme_ns_get(run->ctrlr, nsid)) : 0;

	if (run->v.endgid.given)
		endgid = (uint16_t)run->v.endgid.number;
	if (endgid == 0)
		tool_say("%s: no namespace says which endurance group is meant; say --endgrp-id",
			 nvme_name(run));
	return endgid;
}

/* The namespace, if data can be placed in it; else it was said. */
static struct nsdk_nvme_ns *placed_ns(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = nvme_ns(run);

	if (ns == NULL)
		return NULL;
	if (!(nsdk_nvme_ctrlr_data(run->ctrlr)->ctratt & NSDK_NVME_CTRATT_FDP) ||
		 nsdk_nvme_ns_endgid(ns) == 0)
		tool_say("%s: namespace %u has no flexible data placement", nvme_name(run), nsdk_nvme_ns_id(ns));
	else
		return ns;
	return NULL;
}

/* Numbers that commas separate. @return how many; 0: it was said what is wrong. */
static unsigned read_list(struct nvme_run *run, const char *option, const char *text, uint64_t max,
			  uint16_t out[MAX_LIST])
{
	uint64_t values[MAX_LIST];
	unsigned count = nvme_numbers(run, option, text, max, values, MAX_LIST);

	for (unsigned i = 0; i < count; i++)
		out[i] = (uint16_t)values[i];
	return count;
}

/* A log page as it is: its head says how large it is. */
static int show_raw(struct nvme_run *run, uint8_t lid, uint8_t lsp, uint16_t endgid, size_t bytes)
{
	struct nsdk_nvme_log_opts opts = {
		.opts_bytes = sizeof(opts), .lid = lid, .lsi = endgid, .lsp = lsp,
	};
	uint8_t *page = calloc(1, bytes);
	int status = TOOL_FAILED;

	if (page == NULL)
		tool_say("no memory");
	else
		status = nvme_log(run, &opts, page, bytes);
	if (status == TOOL_DONE)
		status = nvme_show_bytes(page, bytes);
	free(page);
	return status;
}

/* ---- configs ---- */

static struct json_object *json_config(const struct nsdk_nvme_fdp_config *config)
{
	struct json_object *object = json_object_new_object(), *ruhs = json_object_new_array();

	nvme_put(object, "fdpa", config->attributes);
	nvme_put(object, "vss", config->vss);
	nvme_put(object, "nrg", config->groups);
	nvme_put(object, "nruh", config->handles);
	nvme_put(object, "nnss", config->namespaces);
	nvme_put(object, "runs", config->unit_bytes);
	nvme_put(object, "erutl", config->time_limit_s);
	for (uint32_t i = 0; i < config->handles; i++) {
		struct json_object *ruh = json_object_new_object();

		nvme_put(ruh, "ruht", config->ruhs[i].type);
		json_object_array_add(ruhs, ruh);
	}
	json_object_object_add(object, "ruhs", ruhs);
	return object;
}

static void print_config(const struct nvme_run *run, const struct nsdk_nvme_fdp_config *config)
{
	printf("FDP Attributes: %#x\n", config->attributes);
	if (run->v.words)
		printf("  [7:7] : %#x\tFDP Configuration %sValid\n"
		       "  [4:4] : %#x\tFDP Volatile Write Cache %sPresent\n"
		       "  [3:0] : %#x\tReclaim Group Identifier Format\n",
		       config->valid, config->valid ? "" : "Not ", config->write_cache,
		       config->write_cache ? "" : "Not ", config->rgif);
	printf("Vendor Specific Size: %u\n"
	       "Number of Reclaim Groups: %" PRIu32 "\n"
	       "Number of Reclaim Unit Handles: %" PRIu32 "\n"
	       "Number of Namespaces Supported: %" PRIu32 "\n"
	       "Reclaim Unit Nominal Size: %" PRIu64 "\n"
	       "Estimated Reclaim Unit Time Limit: %" PRIu32 "\n"
	       "Reclaim Unit Handle List:\n",
	       config->vss, config->groups, config->handles, config->namespaces, config->unit_bytes,
	       config->time_limit_s);
	for (uint32_t i = 0; i < config->handles; i++)
		printf("  [%" PRIu32 "]: %s\n", i,
		       config->ruhs[i].type == NSDK_NVME_RUH_INITIALLY_ISOLATED ? "Initially Isolated" :
										  "Persistently Isolated");
}

static int run_configs(struct nvme_run *run)
{
	const uint8_t lid = NSDK_NVME_LOG_FDP_CONFIGS;
	uint16_t endgid = endgid_of(run);
	struct nsdk_nvme_fdp_configs_header header = { 0 };
	struct nsdk_nvme_log_opts opts = { .opts_bytes = sizeof(opts), .lid = lid, .lsi = endgid };
	struct nsdk_nvme_fdp_config *configs = NULL;
	struct json_object *object, *array;
	struct nsdk_nvme_cpl cpl = { 0 };
	unsigned count = 0;
	int err, status;

	if (endgid == 0)
		return TOOL_FAILED;
	/* Checked, whether or not it is shown as bytes then. */
	err = nsdk_nvme_fdp_configs(run->ctrlr, endgid, &configs, &count, &cpl);
	status = nvme_log_done(run, lid, err, &cpl);
	if (status == TOOL_DONE && nvme_wants_bytes(run)) {
		status = nvme_log(run, &opts, &header, sizeof(header));
		/* This one nobody has checked. */
		if (status == TOOL_DONE &&
		    (header.bytes < sizeof(header) || header.bytes > MAX_CONFIGS_BYTES)) {
			tool_say("%s: the configurations have changed while they were read; read them again",
				 nvme_name(run));
			status = TOOL_FAILED;
		}
		if (status == TOOL_DONE)
			status = show_raw(run, lid, 0, endgid, header.bytes);
	} else if (status == TOOL_DONE && run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "n", count - 1); /* as the log page has it */
		for (unsigned i = 0; i < count; i++)
			json_object_array_add(array, json_config(&configs[i]));
		json_object_object_add(object, "configs", array);
		status = nvme_show_json(run, object);
	} else if (status == TOOL_DONE) {
		for (unsigned i = 0; i < count; i++)
			print_config(run, &configs[i]);
	}
	free(configs);
	return status;
}

static const struct nvme_option configs_options[] = {
	ENDGID_OPTION,
	NVME_FLAG_OPTION("human-readable", 'H', words, "attributes in words"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_fdp_configs = {
	.name = "fdp configs",
	.summary = "Show the configurations of flexible data placement",
	.options = configs_options,
	.check = check_endgid,
	.run = run_configs,
	.binary = true,
};

/* ---- usage ---- */

static const char *usage_name(uint8_t usage)
{
	return usage == NSDK_NVME_RUH_UNUSED ? "Unused" :
	       usage == NSDK_NVME_RUH_HOST   ? "Host Specified" : "Controller Specified";
}

static int run_usage(struct nvme_run *run)
{
	const uint8_t lid = NSDK_NVME_LOG_FDP_USAGE;
	uint16_t endgid = endgid_of(run);
	struct json_object *object, *array;
	struct nsdk_nvme_cpl cpl = { 0 };
	unsigned count = 0;
	uint8_t *usage = NULL;
	int err, status;

	if (endgid == 0)
		return TOOL_FAILED;
	err = nsdk_nvme_fdp_usage(run->ctrlr, endgid, &usage, &count, &cpl);
	status = nvme_log_done(run, lid, err, &cpl);
	if (status == TOOL_DONE && nvme_wants_bytes(run)) {
		status = show_raw(run, lid, 0, endgid, sizeof(struct nsdk_nvme_fdp_usage_header) +
						       (size_t)count * NSDK_NVME_FDP_USAGE_DESC_BYTES);
	} else if (status == TOOL_DONE && run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "nruh", count);
		for (unsigned i = 0; i < count; i++) {
			struct json_object *ruh = json_object_new_object();

			nvme_put(ruh, "ruha", usage[i]);
			json_object_array_add(array, ruh);
		}
		json_object_object_add(object, "ruhus", array);
		status = nvme_show_json(run, object);
	} else if (status == TOOL_DONE) {
		for (unsigned i = 0; i < count; i++)
			printf("Reclaim Unit Handle %u Attributes: 0x%x (%s)\n", i, usage[i],
			       usage_name(usage[i]));
	}
	free(usage);
	return status;
}

static const struct nvme_option endgid_options[] = { ENDGID_OPTION, NVME_RAW_OPTION, NVME_END };

const struct nvme_sub nvme_fdp_usage = {
	.name = "fdp usage",
	.summary = "Show what reclaim unit handles are used for",
	.options = endgid_options,
	.check = check_endgid,
	.run = run_usage,
	.binary = true,
};

/* ---- stats ---- */

static int run_stats(struct nvme_run *run)
{
	static const struct {
		const char *key, *text;
		size_t offset;
	} counters[] = {
		{ "hbmw", "Host Bytes with Metadata Written (HBMW)", offsetof(struct nsdk_nvme_fdp_stats, hbmw) },
		{ "mbmw", "Media Bytes with Metadata Written (MBMW)", offsetof(struct nsdk_nvme_fdp_stats, mbmw) },
		{ "mbe", "Media Bytes Erased (MBE)", offsetof(struct nsdk_nvme_fdp_stats, mbe) },
	};
	uint16_t endgid = endgid_of(run);
	struct json_object *object = NULL;
	struct nsdk_nvme_fdp_stats stats;
	struct nsdk_nvme_cpl cpl = { 0 };
	char text[48];
	int err, status;

	if (endgid == 0)
		return TOOL_FAILED;
	err = nsdk_nvme_fdp_stats(run->ctrlr, endgid, &stats, &cpl);
	status = nvme_log_done(run, NSDK_NVME_LOG_FDP_STATS, err, &cpl);
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&stats, sizeof(stats));
	if (run->format == NVME_JSON)
		object = json_object_new_object();
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		nvme_wide((const uint8_t *)&stats + counters[i].offset, text, sizeof(text));
		if (object != NULL)
			nvme_put_text(object, counters[i].key, text);
		else
			printf("%s: %s\n", counters[i].text, text);
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

const struct nvme_sub nvme_fdp_stats = {
	.name = "fdp stats",
	.summary = "Show what was written and erased",
	.options = endgid_options,
	.check = check_endgid,
	.run = run_stats,
	.binary = true,
};

/* ---- events ---- */

static struct json_object *json_event(const struct nsdk_nvme_fdp_event *event)
{
	struct json_object *object = json_object_new_object();
	struct nsdk_nvme_fdp_realloc more;

	nvme_put(object, "type", event->type);
	nvme_put(object, "fdpef", event->flags);
	nvme_put(object, "pid", event->pid);
	nvme_put(object, "timestamp", event->timestamp); /* all 64 bits, as nvme-cli has it */
	nvme_put(object, "nsid", event->nsid);
	memcpy(&more, event->specific, sizeof(more));
	if (event->type == NSDK_NVME_FDP_REALLOCATED) {
		nvme_put(object, "nlbam", more.nlbam);
		if (more.flags & 1)
			nvme_put(object, "lba", more.lba);
	}
	return object;
}

static void print_event(unsigned index, const struct nsdk_nvme_fdp_event *event)
{
	uint64_t ms = event->timestamp & TIMESTAMP_MASK;
	struct nsdk_nvme_fdp_realloc more;
	time_t seconds = (time_t)(ms / 1000);
	char when[64] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y %Z", &tm);
	printf("Event[%u]\n  Event Type: 0x%x (%s)\n  Event Timestamp: %" PRIu64 " (%s)\n", index, event->type,
	       nsdk_nvme_fdp_event_name(event->type), ms, when);
	if (event->flags & NSDK_NVME_FDP_EVENT_PIV)
		printf("  Placement Identifier (PID): 0x%x\n", event->pid);
	if (event->flags & NSDK_NVME_FDP_EVENT_NSIDV)
		printf("  Namespace Identifier (NSID): %" PRIu32 "\n", event->nsid);
	memcpy(&more, event->specific, sizeof(more));
	if (event->type == NSDK_NVME_FDP_REALLOCATED) {
		printf("  Number of LBAs Moved (NLBAM): %u\n", more.nlbam);
		if (more.flags & 1)
			printf("  Logical Block Address (LBA): 0x%" PRIx64 "\n", more.lba);
	}
	if (event->flags & NSDK_NVME_FDP_EVENT_LV)
		printf("  Reclaim Group Identifier: %u\n  Reclaim Unit Handle Identifier %u\n", event->rgid,
		       event->ruhid);
	printf("\n");
}

static int run_events(struct nvme_run *run)
{
	struct nsdk_nvme_fdp_event events[NSDK_NVME_FDP_MAX_EVENTS];
	const uint8_t lid = NSDK_NVME_LOG_FDP_EVENTS;
	uint16_t endgid = endgid_of(run);
	struct json_object *object, *array;
	struct nsdk_nvme_cpl cpl = { 0 };
	unsigned count = 0;
	int err, status;

	if (endgid == 0)
		return TOOL_FAILED;
	err = nsdk_nvme_fdp_events(run->ctrlr, endgid, run->v.host, events, &count, &cpl);
	status = nvme_log_done(run, lid, err, &cpl);
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return show_raw(run, lid, run->v.host ? NSDK_NVME_FDP_HOST_EVENTS : 0, endgid,
				sizeof(struct nsdk_nvme_fdp_events_header) + count * sizeof(events[0]));
	if (run->format == NVME_NORMAL) {
		for (unsigned i = 0; i < count; i++)
			print_event(i, &events[i]);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	array = json_object_new_array();
	nvme_put(object, "n", count);
	for (unsigned i = 0; i < count; i++)
		json_object_array_add(array, json_event(&events[i]));
	json_object_object_add(object, "events", array);
	return nvme_show_json(run, object);
}

static const struct nvme_option events_options[] = {
	ENDGID_OPTION,
	NVME_FLAG_OPTION("host-events", 'E', host, "host events [the controller's]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_fdp_events = {
	.name = "fdp events",
	.summary = "Show what has happened to reclaim units",
	.options = events_options,
	.check = check_endgid,
	.run = run_events,
	.binary = true,
};

/* ---- status, update ---- */

/* The status of all of a namespace's handles, checked. @return to be freed; NULL: it was said. */
static uint8_t *read_status(struct nvme_run *run, struct nsdk_nvme_ns *ns, size_t *bytes, unsigned *count)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_NVM_IO_MGMT_RECEIVE);
	struct nsdk_nvme_ruh_status_header header;
	struct nsdk_nvme_cpl cpl;
	uint8_t *data;
	int err;

	cmd.nsid = nsdk_nvme_ns_id(ns);
	cmd.cdw10 = NSDK_NVME_IO_MGMT_RUH_STATUS;
	cmd.cdw11 = sizeof(header) / 4 - 1;
	if (nvme_send_io(run, &cmd, &header, sizeof(header), &cpl) != TOOL_DONE)
		return NULL;
	*bytes = sizeof(header) + header.count * sizeof(struct nsdk_nvme_ruh_status);
	cmd.cdw11 = (uint32_t)(*bytes / 4 - 1);
	data = calloc(1, *bytes);
	if (data == NULL)
		tool_say("no memory");
	if (data != NULL && nvme_send_io(run, &cmd, data, *bytes, &cpl) == TOOL_DONE) {
		err = nsdk_nvme_ruh_status_take(ns, data, *bytes, count);
		if (err == 0)
			return data;
		if (err == -ENOSPC)
			tool_say("%s: the placement identifiers of namespace %u have become more while they were "
				 "read; read them again", nvme_name(run), nsdk_nvme_ns_id(ns));
		else
			nvme_failed(run, "the status of the reclaim unit handles", err);
	}
	free(data);
	return NULL;
}

static int run_status(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = placed_ns(run);
	const struct nsdk_nvme_ruh_status *ruhs;
	struct json_object *object = NULL, *array = NULL;
	unsigned count = 0;
	size_t bytes = 0;
	uint8_t *data;
	int status = TOOL_DONE;

	data = ns != NULL ? read_status(run, ns, &bytes, &count) : NULL;
	if (data == NULL)
		return TOOL_FAILED;
	ruhs = (const void *)(data + sizeof(struct nsdk_nvme_ruh_status_header));
	if (nvme_wants_bytes(run)) {
		status = nvme_show_bytes(data, bytes);
		count = 0;
	} else if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "nruhsd", count);
		json_object_object_add(object, "ruhss", array);
	}
	for (unsigned i = 0; i < count; i++) {
		struct json_object *ruh;

		if (array == NULL) {
			printf("Placement Identifier %u; Reclaim Unit Handle Identifier %u\n"
			       "  Estimated Active Reclaim Unit Time Remaining (EARUTR): %" PRIu32 "\n"
			       "  Reclaim Unit Available Media Writes (RUAMW): %" PRIu64 "\n\n",
			       ruhs[i].pid, ruhs[i].ruhid, ruhs[i].earutr, ruhs[i].ruamw);
			continue;
		}
		ruh = json_object_new_object();
		nvme_put(ruh, "pid", ruhs[i].pid);
		nvme_put(ruh, "ruhid", ruhs[i].ruhid);
		nvme_put(ruh, "earutr", ruhs[i].earutr);
		nvme_put(ruh, "ruamw", ruhs[i].ruamw);
		json_object_array_add(array, ruh);
	}
	free(data);
	return object != NULL ? nvme_show_json(run, object) : status;
}

static const struct nvme_option status_options[] = { NVME_ONE_NSID_OPTION, NVME_RAW_OPTION, NVME_END };

const struct nvme_sub nvme_fdp_status = {
	.name = "fdp status",
	.summary = "Show the placement identifiers of a namespace, and what room their reclaim units have",
	.options = status_options,
	.run = run_status,
	.binary = true,
};

static int check_update(struct nvme_run *run)
{
	uint16_t pids[MAX_LIST];

	if (!run->v.pids.given)
		return nvme_usage(run, "--pids is missing: placement identifiers, with commas between");
	return read_list(run, "pids", run->v.pids.text, UINT16_MAX, pids) ? TOOL_DONE : TOOL_USAGE;
}

static bool has(const struct nsdk_nvme_ns *ns, uint16_t pid)
{
	const uint16_t *pids;
	unsigned count = nsdk_nvme_ns_placements(ns, &pids);

	for (unsigned i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

static int run_update(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_NVM_IO_MGMT_SEND);
	struct nsdk_nvme_ns *ns = placed_ns(run);
	uint16_t pids[MAX_LIST];
	unsigned there, count = read_list(run, "pids", run->v.pids.text, UINT16_MAX, pids);
	struct nsdk_nvme_cpl cpl;
	size_t bytes;
	uint8_t *data;
	int status;

	data = ns != NULL ? read_status(run, ns, &bytes, &there) : NULL;
	if (data == NULL)
		return TOOL_FAILED;
	free(data);
	for (unsigned i = 0; i < count; i++)
		if (!has(ns, pids[i])) {
			tool_say("%s: namespace %u has no placement identifier %u; 'nvme fdp status' has those "
				 "that there are", nvme_name(run), nsdk_nvme_ns_id(ns), pids[i]);
			return TOOL_FAILED;
		}
	cmd.nsid = nsdk_nvme_ns_id(ns);
	cmd.cdw10 = (count - 1) << 16 | NSDK_NVME_IO_MGMT_RUH_UPDATE;
	status = nvme_send_io(run, &cmd, pids, count * sizeof(pids[0]), &cpl);
	if (status == TOOL_DONE)
		printf("update: Success\n");
	return status;
}

static const struct nvme_option update_options[] = {
	NVME_ONE_NSID_OPTION,
	NVME_TEXT_OPTION("pids", 'p', pids, "placement identifiers, with commas between"),
	NVME_END,
};

const struct nvme_sub nvme_fdp_update = {
	.name = "fdp update",
	.summary = "Let placement identifiers go on to empty reclaim units",
	.options = update_options,
	.check = check_update,
	.run = run_update,
};

/* ---- set-events, feature ---- */

static int check_events(struct nvme_run *run)
{
	uint16_t types[MAX_LIST];
	unsigned count;

	if (!run->v.types.given)
		return nvme_usage(run, "--event-types is missing: numbers, with commas between");
	count = read_list(run, "event-types", run->v.types.text, UINT8_MAX, types);
	if (count > 255)
		return nvme_usage(run, "--event-types: %u are too many", count);
	return count ? TOOL_DONE : TOOL_USAGE;
}

static int run_set_events(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = placed_ns(run);
	uint16_t list[MAX_LIST];
	unsigned count = read_list(run, "event-types", run->v.types.text, UINT8_MAX, list);
	struct nsdk_nvme_cpl cpl = { 0 };
	uint8_t types[MAX_LIST];
	int err, status;

	if (ns == NULL)
		return TOOL_FAILED;
	for (unsigned i = 0; i < count; i++)
		types[i] = (uint8_t)list[i];
	err = nsdk_nvme_fdp_set_events(ns, (uint16_t)run->v.handle.number, types, count, run->v.enable,
				       run->v.save, &cpl);
	status = nvme_done(run, "Set Features", err, &cpl);
	if (status == TOOL_DONE)
		printf("set-events: Success\n");
	return status;
}

static const struct nvme_option set_events_options[] = {
	NVME_ONE_NSID_OPTION,
	NVME_NUMBER_OPTION("placement-handle", 'p', handle, UINT16_MAX, "placement handle [0]"),
	NVME_FLAG_OPTION("enable", 'e', enable, "have it log them [no longer]"),
	NVME_FLAG_OPTION("save", 's', save, "keep it over resets, as that of the next run"),
	NVME_TEXT_OPTION("event-types", 't', types, "types of events, with commas between"),
	NVME_END,
};

const struct nvme_sub nvme_fdp_set_events = {
	.name = "fdp set-events",
	.summary = "Choose the events that a placement handle logs",
	.options = set_events_options,
	.check = check_events,
	.run = run_set_events,
};

static int check_feature(struct nvme_run *run)
{
	if (run->v.conf.given && run->v.disable)
		return nvme_usage(run, "--enable-conf-idx and --disable are one or the other");
	return check_endgid(run);
}

static int run_feature(struct nvme_run *run)
{
	uint16_t endgid = endgid_of(run);
	bool sets = run->v.conf.given || run->v.disable, on = run->v.conf.given;
	uint8_t index = (uint8_t)run->v.conf.number;
	struct nsdk_nvme_cpl cpl = { 0 };
	int err, status;

	if (endgid == 0)
		return TOOL_FAILED;
	err = sets ? nsdk_nvme_fdp_set(run->ctrlr, endgid, on, index, &cpl) :
		     nsdk_nvme_fdp_get(run->ctrlr, endgid, &on, &index, &cpl);
	status = nvme_done(run, sets ? "Set Features" : "Get Features", err, &cpl);
	if (status != TOOL_DONE)
		return status;
	if (sets)
		printf("Success %s Endurance Group: %u, FDP configuration index: %u\n",
		       on ? "enabling" : "disabling", endgid, index);
	else
		printf("Endurance Group                               : %u\n"
		       "Flexible Direct Placement Enable (FDPE)       : %s\n"
		       "Flexible Direct Placement Configuration Index : %u\n", endgid, on ? "Yes" : "No",
		       index);
	return status;
}

static const struct nvme_option feature_options[] = {
	ENDGID_OPTION,
	NVME_NUMBER_OPTION("enable-conf-idx", 'c', conf, 255, "turn it on with this configuration"),
	NVME_FLAG_OPTION("disable", 'd', disable, "turn it off"),
	NVME_END,
};

const struct nvme_sub nvme_fdp_feature = {
	.name = "fdp feature",
	.summary = "Show whether an endurance group places data, or turn that on or off while it has no "
		   "namespaces",
	.options = feature_options,
	.check = check_feature,
	.run = run_feature,
};
