/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: what a controller has more or less of: telemetry-log, ana-log, get-lba-status.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "nvme.h"

/* ---- telemetry-log ---- */

#define BLOCK_BYTES ((size_t)512)
#define CREATE 1u /* log specific: take it now */
/* Nobody has more; and a controller that says so should not take the host's memory. */
#define MAX_TELEMETRY_BYTES ((size_t)256 << 20)

static int check_telemetry(struct nvme_run *run)
{
	if (!run->v.file.given)
		return nvme_usage(run, "--output-file is missing: where the telemetry goes");
	if (run->v.area.given && run->v.area.number == 0)
		return nvme_usage(run, "--data-area=0: 1, 2, 3 or 4 is wanted");
	if (run->v.controller && run->v.generate.given)
		return nvme_usage(run, "--host-generate is not for what the controller has taken by itself");
	return TOOL_DONE;
}

/* The header's word for how many blocks of data there are up to the end of an area. */
static size_t blocks_of(const struct nsdk_nvme_telemetry_header *header, unsigned area)
{
	return area == 4 ? header->last_block4 : header->last_block[area - 1];
}

/* How much there is of it. @return false: it was said that it cannot be so. */
static bool telemetry_bytes(struct nvme_run *run, const struct nsdk_nvme_telemetry_header *header,
			    unsigned area, size_t *bytes)
{
	/* Area 4 is there only where the header says where it ends. */
	if (area == 4 && header->last_block4 == 0)
		area = 3;
	for (unsigned i = 2; i <= area; i++) {
		if (blocks_of(header, i) >= blocks_of(header, i - 1))
			continue;
		tool_say("%s: data area %u of the telemetry ends before area %u does; the controller cannot be "
			 "trusted", nvme_name(run), i, i - 1);
		return false;
	}
	*bytes = (blocks_of(header, area) + 1) * BLOCK_BYTES;
	if (*bytes <= MAX_TELEMETRY_BYTES)
		return true;
	tool_say("%s: telemetry of %zu bytes up to the end of data area %u is more than the %zu that are read; "
		 "say a smaller --data-area", nvme_name(run), *bytes, area, MAX_TELEMETRY_BYTES);
	return false;
}

static int write_file(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "we");
	bool good = file != NULL;

	if (file != NULL) {
		good = fwrite(data, 1, bytes, file) == bytes;
		good = fclose(file) == 0 && good;
	}
	if (good)
		return TOOL_DONE;
	tool_say("%s cannot be written: %s", path, strerror(errno));
	return TOOL_FAILED;
}

static int run_telemetry(struct nvme_run *run)
{
	struct nsdk_nvme_log_opts opts = { .opts_bytes = sizeof(opts), .nsid = NSDK_NVME_NSID_ALL };
	unsigned area = run->v.area.given ? (unsigned)run->v.area.number : 3;
	struct nsdk_nvme_telemetry_header header = { 0 };
	uint8_t *data = NULL;
	size_t bytes;
	int status;

	opts.lid = run->v.controller ? NSDK_NVME_LOG_TELEMETRY_CTRLR : NSDK_NVME_LOG_TELEMETRY_HOST;
	/* A host's is taken anew, unless it is not to be. */
	opts.lsp = !run->v.controller && (!run->v.generate.given || run->v.generate.number) ? CREATE : 0;
	/* The event of it goes with the last byte that is read. */
	opts.retain_event = true;
	status = nvme_log(run, &opts, &header, sizeof(header));
	if (status != TOOL_DONE)
		return status;
	if (!telemetry_bytes(run, &header, area, &bytes))
		return TOOL_FAILED;
	data = malloc(bytes);
	if (data == NULL) {
		tool_say("no memory for telemetry of %zu bytes", bytes);
		return TOOL_FAILED;
	}
	opts.lsp = 0;
	opts.retain_event = run->v.rae;
	status = nvme_log(run, &opts, data, bytes);
	if (status == TOOL_DONE && memcmp(data, &header, sizeof(header)) != 0) {
		tool_say("%s: the telemetry has changed while it was read; read it again", nvme_name(run));
		status = TOOL_FAILED;
	}
	if (status == TOOL_DONE)
		status = write_file(run->v.file.text, data, bytes);
	free(data);
	return status;
}

static const struct nvme_option telemetry_options[] = {
	NVME_TEXT_OPTION("output-file", 'O', file, "the file it goes to"),
	NVME_NUMBER_OPTION("host-generate", 'g', generate, 1, "1: have it taken now; 0: as it was taken last [1]"),
	NVME_FLAG_OPTION("controller-init", 'c', controller, "what the controller has taken by itself"),
	NVME_NUMBER_OPTION("data-area", 'd', area, 4, "up to the end of this data area, 1 to 4 [3]"),
	NVME_FLAG_OPTION("rae", 'r', rae, "leave the event that told of it as it is"),
	NVME_END,
};

const struct nvme_sub nvme_telemetry_log = {
	.name = "telemetry-log",
	.summary = "Write telemetry to a file, for the manufacturer",
	.options = telemetry_options,
	.check = check_telemetry,
	.run = run_telemetry,
};

/* ---- ana-log ---- */

#define ANA_GROUPS_ONLY 1u
#define CMIC_ANA 0x8u

static const char *ana_state(unsigned state)
{
	switch (state & 0xf) {
	case 0x1:
		return "optimized";
	case 0x2:
		return "non-optimized";
	case 0x3:
		return "inaccessible";
	case 0x4:
		return "persistent-loss";
	case 0xf:
		return "change";
	default:
		return "invalid state";
	}
}

/* So much of it is read at once; without offsets into a log page that is all there can be. */
#define ANA_FIRST_BYTES 4096u
/* More namespaces than a controller has that this driver takes. */
#define ANA_MAX_NSIDS (1u << 18)

/* What there is of the log by now. */
struct ana {
	uint8_t *log;
	size_t bytes;
};

static struct nsdk_nvme_log_opts ana_opts(const struct nvme_run *run)
{
	return (struct nsdk_nvme_log_opts){
		.opts_bytes = sizeof(struct nsdk_nvme_log_opts), .lid = NSDK_NVME_LOG_ANA,
		.nsid = NSDK_NVME_NSID_ALL, .lsp = run->v.groups ? ANA_GROUPS_ONLY : 0,
	};
}

/* Read on, up to @p end. */
static int ana_read(struct nvme_run *run, struct ana *ana, size_t end)
{
	struct nsdk_nvme_log_opts opts = ana_opts(run);
	uint8_t *log;
	int status;

	if (end <= ana->bytes)
		return TOOL_DONE;
	log = realloc(ana->log, end);
	if (log == NULL) {
		tool_say("no memory for a log page of %zu bytes", end);
		return TOOL_FAILED;
	}
	ana->log = log;
	memset(log + ana->bytes, 0, end - ana->bytes);
	opts.offset = ana->bytes;
	opts.retain_event = true;
	status = nvme_log(run, &opts, log + ana->bytes, end - ana->bytes);
	if (status == TOOL_DONE)
		ana->bytes = end;
	return status;
}

static int ana_lie(struct nvme_run *run, uint64_t number, const char *what, uint64_t most)
{
	tool_say("%s: the log has %" PRIu64 " %s, and Identify allows %" PRIu64
		 "; the controller cannot be trusted", nvme_name(run), number, what, most);
	return TOOL_FAILED;
}

/*
 * All of it. How large it is, is not what Identify allows, which may be anything, but what its groups say,
 * one after the other.
 */
static int ana_read_all(struct nvme_run *run, struct ana *ana)
{
	const struct nsdk_nvme_id_ctrl *id = nsdk_nvme_ctrlr_data(run->ctrlr);
	uint64_t nsids = 0, most = id->mnan ? id->mnan : id->nn;
	int status = ana_read(run, ana, ANA_FIRST_BYTES);
	struct nsdk_nvme_ana_header header;
	struct nsdk_nvme_ana_group group;
	size_t end = sizeof(header);

	if (status != TOOL_DONE)
		return status;
	if (most > ANA_MAX_NSIDS)
		most = ANA_MAX_NSIDS;
	memcpy(&header, ana->log, sizeof(header));
	if (header.groups > id->nanagrpid)
		return ana_lie(run, header.groups, "groups", id->nanagrpid);
	for (unsigned i = 0; i < header.groups && status == TOOL_DONE; i++) {
		status = ana_read(run, ana, end + sizeof(group));
		if (status != TOOL_DONE)
			break;
		memcpy(&group, ana->log + end, sizeof(group));
		nsids += group.namespaces;
		if (nsids > most)
			return ana_lie(run, nsids, "namespaces", most);
		end += sizeof(group) + group.namespaces * sizeof(uint32_t);
		status = ana_read(run, ana, end);
	}
	ana->bytes = end;
	return status;
}

/* The event of it goes with this. @return TOOL_DONE nothing has changed since it was read. */
static int ana_end(struct nvme_run *run, const struct ana *ana)
{
	struct nsdk_nvme_log_opts opts = ana_opts(run);
	struct nsdk_nvme_ana_header header = { 0 };
	int status = nvme_log(run, &opts, &header, sizeof(header));

	if (status != TOOL_DONE || memcmp(&header, ana->log, sizeof(header)) == 0)
		return status;
	tool_say("%s: access to namespaces has changed while it was read; read it again", nvme_name(run));
	return TOOL_FAILED;
}

static struct json_object *ana_nsids(const uint8_t *at, uint32_t count)
{
	struct json_object *array = json_object_new_array();
	uint32_t nsid;

	for (uint32_t i = 0; i < count; i++) {
		memcpy(&nsid, at + i * sizeof(nsid), sizeof(nsid));
		json_object_array_add(array, json_object_new_uint64(nsid));
	}
	return array;
}

static int show_ana(struct nvme_run *run, const uint8_t *log)
{
	struct json_object *object = NULL, *array = NULL;
	struct nsdk_nvme_ana_header header;
	size_t offset = sizeof(header);

	memcpy(&header, log, sizeof(header));
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "chgcnt", header.change_count);
		nvme_put(object, "ngrps", header.groups);
		json_object_object_add(object, "ANA DESC LIST ", array);
	} else {
		printf("Asymmetric Namespace Access Log for NVMe device: %s\n", nvme_name(run));
		printf("ANA LOG HEADER :-\nchgcnt\t:\t%" PRIu64 "\nngrps\t:\t%u\nANA Log Desc :-\n",
		       header.change_count, header.groups);
	}
	for (unsigned i = 0; i < header.groups; i++) {
		struct nsdk_nvme_ana_group group;

		memcpy(&group, log + offset, sizeof(group));
		offset += sizeof(group);
		if (array != NULL) {
			struct json_object *entry = json_object_new_object();

			nvme_put(entry, "grpid", group.group);
			nvme_put(entry, "nnsids", group.namespaces);
			nvme_put(entry, "chgcnt", group.change_count);
			nvme_put_text(entry, "state", ana_state(group.state));
			json_object_object_add(entry, "NSIDS", ana_nsids(log + offset, group.namespaces));
			json_object_array_add(array, entry);
		} else {
			printf("grpid\t:\t%u\nnnsids\t:\t%u\nchgcnt\t:\t%" PRIu64 "\nstate\t:\t%s\n", group.group,
			       group.namespaces, group.change_count, ana_state(group.state));
			for (uint32_t n = 0; n < group.namespaces; n++) {
				uint32_t nsid;

				memcpy(&nsid, log + offset + n * sizeof(nsid), sizeof(nsid));
				printf("\tnsid\t:\t%u\n", nsid);
			}
			printf("\n");
		}
		offset += group.namespaces * sizeof(uint32_t);
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static int run_ana(struct nvme_run *run)
{
	struct ana ana = { .log = NULL };
	int status;

	if (!(nsdk_nvme_ctrlr_data(run->ctrlr)->cmic & CMIC_ANA)) {
		tool_say("%s does not report asymmetric namespace access (CMIC)", nvme_name(run));
		return TOOL_FAILED;
	}
	status = ana_read_all(run, &ana);
	if (status == TOOL_DONE)
		status = ana_end(run, &ana);
	if (status == TOOL_DONE)
		status = run->format == NVME_BINARY ? nvme_show_bytes(ana.log, ana.bytes) :
						      show_ana(run, ana.log);
	free(ana.log);
	return status;
}

static const struct nvme_option ana_options[] = {
	NVME_FLAG_OPTION("groups", 'g', groups, "groups only, without their namespaces"),
	NVME_END,
};

const struct nvme_sub nvme_ana_log = {
	.name = "ana-log",
	.summary = "Show how namespaces can be reached through this controller",
	.options = ana_options,
	.run = run_ana,
	.binary = true,
};

/* ---- get-lba-status ---- */

#define KNOWN 0x11u

static int check_lba_status(struct nvme_run *run)
{
	if (run->v.action.given && run->v.action.number != KNOWN && run->v.action.number != 0x10)
		return nvme_usage(run, "--action=%s: 0x10 or 0x11 is wanted", run->v.action.text);
	if (run->v.length.given && run->v.length.number == 0)
		return nvme_usage(run, "--max-dw=0: how much room there is for the answer is wanted");
	return TOOL_DONE;
}

static int show_lba_status(struct nvme_run *run, const uint8_t *data, size_t bytes)
{
	struct json_object *object = NULL, *array = NULL;
	struct nsdk_nvme_lba_status_descriptor one;
	struct nsdk_nvme_lba_status status;

	memcpy(&status, data, sizeof(status));
	if (status.count > (bytes - sizeof(status)) / sizeof(one)) {
		tool_say("%s: the controller says %u descriptors, which do not fit in %zu bytes", nvme_name(run),
			 status.count, bytes);
		return TOOL_FAILED;
	}
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		nvme_put(object, "nlsd", status.count);
		nvme_put(object, "cmpc", status.condition);
		json_object_object_add(object, "list", array);
	} else {
		printf("Number of LBA Status Descriptors(NLSD): %u\n", status.count);
		printf("Completion Condition(CMPC): %u\n", status.condition);
	}
	for (uint32_t i = 0; i < status.count; i++) {
		memcpy(&one, data + sizeof(status) + i * sizeof(one), sizeof(one));
		if (array != NULL) {
			struct json_object *entry = json_object_new_object();

			nvme_put(entry, "dslba", one.slba);
			nvme_put(entry, "nlb", one.blocks);
			nvme_put(entry, "status", one.status);
			json_object_array_add(array, entry);
		} else {
			printf("{ DSLBA: 0x%016" PRIx64 ", NLB: 0x%08x, Status: 0x%02x }\n", one.slba, one.blocks,
			       one.status);
		}
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static int run_lba_status(struct nvme_run *run)
{
	size_t bytes = 4 * (size_t)(run->v.length.given ? run->v.length.number + 1 : 1024);
	uint8_t action = (uint8_t)(run->v.action.given ? run->v.action.number : KNOWN);
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_cmd cmd;
	uint8_t *data;
	int status;

	if (nsid == 0)
		return TOOL_FAILED;
	data = calloc(1, bytes);
	if (data == NULL) {
		tool_say("no memory for an answer of %zu bytes", bytes);
		return TOOL_FAILED;
	}
	cmd = nsdk_nvme_cmd_get_lba_status(nsid, run->v.slba.number, (uint16_t)run->v.range.number, action,
					   (uint32_t)bytes);
	status = nvme_send(run, &cmd, data, bytes, NULL);
	if (status == TOOL_DONE)
		status = run->format == NVME_BINARY ? nvme_show_bytes(data, bytes) :
						      show_lba_status(run, data, bytes);
	free(data);
	return status;
}

static const struct nvme_option lba_status_options[] = {
	NVME_NSID_OPTION("of this namespace [the only one]"),
	NVME_NUMBER_OPTION("start-lba", 's', slba, UINT64_MAX, "from this block on [0]"),
	NVME_NUMBER_OPTION("range-len", 'l', range, 65535, "so many blocks [to the end]"),
	NVME_NUMBER_OPTION("action", 'a', action, 255, "0x11: what is known; 0x10: behind a scan [0x11]"),
	NVME_NUMBER_OPTION("max-dw", 'm', length, 262143, "dwords of the answer at most, less one [1023]"),
	NVME_NUMBER_OPTION("timeout", 't', timeout, UINT32_MAX, "milliseconds to wait for it"),
	NVME_END,
};

const struct nvme_sub nvme_get_lba_status = {
	.name = "get-lba-status",
	.summary = "Show which blocks may not be readable",
	.options = lba_status_options,
	.check = check_lba_status,
	.run = run_lba_status,
	.binary = true,
};
