/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme zns: zoned namespaces; what they are like, their zones, and what is done with those.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/nvme_zns.h>

#include "nvme.h"

/* Room for what one command tells of: some hundred zones. */
#define REPORT_BYTES ((size_t)64 << 10)
#define MAX_APPEND ((size_t)1 << 20)
#define REPORT_TIMEOUT_NS 60000000000ull

#define SLBA_OPTION(help) NVME_NUMBER_OPTION("start-lba", 's', slba, UINT64_MAX, help)

/* The namespace, if it is a zoned one; else it was said. */
static struct nsdk_nvme_ns *zoned_ns(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = nvme_ns(run);

	if (ns == NULL)
		return NULL;
	if (nsdk_nvme_ns_zoned(ns) == NULL)
		tool_say("%s: namespace %u is not zoned", nvme_name(run), nsdk_nvme_ns_id(ns));
	else if (nsdk_nvme_ns_zoned(ns)->zone_blocks != 0)
		return ns;
	return NULL;
}

static struct nsdk_nvme_cmd zone_cmd(const struct nsdk_nvme_ns *ns, uint8_t opcode, uint64_t slba,
				     uint32_t cdw12, uint32_t cdw13)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(opcode);

	cmd.nsid = nsdk_nvme_ns_id(ns);
	cmd.cdw10 = (uint32_t)slba;
	cmd.cdw11 = (uint32_t)(slba >> 32);
	cmd.cdw12 = cdw12;
	cmd.cdw13 = cdw13;
	return cmd;
}

/* ---- id-ctrl, id-ns ---- */

static int run_id_ctrl(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_CSI_CTRLR, 0, 0,
							  NSDK_NVME_CSI_ZNS);
	struct nsdk_nvme_id_ctrl_zns id;
	struct json_object *object;
	int status = nvme_send(run, &cmd, &id, sizeof(id), NULL);

	if (status != TOOL_DONE)
		return status;
	if (run->format == NVME_BINARY)
		return nvme_show_bytes(&id, sizeof(id));
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		nvme_put(object, "zasl", id.zasl);
		return nvme_show_json(run, object);
	}
	printf("NVMe ZNS Identify Controller:\nzasl    : %u\n", id.zasl);
	return TOOL_DONE;
}

static const struct nvme_option id_ctrl_options[] = { NVME_END };

const struct nvme_sub nvme_zns_id_ctrl = {
	.name = "zns id-ctrl",
	.summary = "Show Identify Controller of the zoned namespace command set",
	.options = id_ctrl_options,
	.run = run_id_ctrl,
	.binary = true,
};

struct id_field {
	const char *name;
	uint64_t value;
	bool hex;
};

#define ID_FIELDS 16
static void id_fields(const struct nsdk_nvme_id_ns_zns *id, struct id_field out[ID_FIELDS])
{
	const struct id_field fields[ID_FIELDS] = {
		{ "zoc", id->zoc, false },	   { "ozcs", id->ozcs, false },
		{ "mar", id->mar, true },	   { "mor", id->mor, true },
		{ "rrl", id->rrl, false },	   { "frl", id->frl, false },
		{ "rrl1", id->rrl1, false },	   { "rrl2", id->rrl2, false },
		{ "rrl3", id->rrl3, false },	   { "frl1", id->frl1, false },
		{ "frl2", id->frl2, false },	   { "frl3", id->frl3, false },
		{ "numzrwa", id->numzrwa, false }, { "zrwafg", id->zrwafg, false },
		{ "zrwasz", id->zrwasz, false },   { "zrwacap", id->zrwacap, false },
	};

	memcpy(out, fields, sizeof(fields));
}

static struct json_object *json_id_ns(const struct nsdk_nvme_id_ns_zns *id, unsigned formats)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();
	struct id_field fields[ID_FIELDS];

	id_fields(id, fields);
	for (unsigned i = 0; i < ID_FIELDS; i++)
		nvme_put(object, fields[i].name, fields[i].value);
	for (unsigned i = 0; i < formats; i++) {
		struct json_object *format = json_object_new_object();

		nvme_put(format, "zsze", id->lbafe[i].zsze);
		nvme_put(format, "zdes", id->lbafe[i].zdes);
		json_object_array_add(array, format);
	}
	json_object_object_add(object, "lbafe", array);
	return object;
}

static int run_id_ns(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_CSI_NS, nsid, 0,
							  NSDK_NVME_CSI_ZNS);
	struct nsdk_nvme_cmd plain_cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_NS, nsid, 0, 0);
	struct id_field fields[ID_FIELDS];
	struct nsdk_nvme_id_ns_zns id;
	struct nsdk_nvme_id_ns plain;
	unsigned formats, in_use;
	int status;

	if (nsid == 0)
		return TOOL_FAILED;
	status = nvme_send(run, &cmd, &id, sizeof(id), NULL);
	if (status == TOOL_DONE)
		status = nvme_send(run, &plain_cmd, &plain, sizeof(plain), NULL);
	if (status != TOOL_DONE)
		return status;
	formats = plain.nlbaf < 64 ? plain.nlbaf + 1u : 64;
	in_use = (plain.flbas & 0xfu) | (plain.nlbaf >= 16 ? (plain.flbas & 0x60u) >> 1 : 0);
	if (run->format == NVME_BINARY)
		return nvme_show_bytes(&id, sizeof(id));
	if (run->format == NVME_JSON)
		return nvme_show_json(run, json_id_ns(&id, formats));
	printf("ZNS Command Set Identify Namespace:\n");
	id_fields(&id, fields);
	for (unsigned i = 0; i < ID_FIELDS; i++)
		printf(fields[i].hex ? "%-8s: %#" PRIx64 "\n" : "%-8s: %" PRIu64 "\n",
		       fields[i].name,
		       fields[i].value);
	for (unsigned i = 0; i < formats; i++)
		printf("lbafe %2u: zsze:%#" PRIx64 " zdes:%u%s\n", i, id.lbafe[i].zsze,
		       id.lbafe[i].zdes,
		       i == in_use ? " (in use)" : "");
	return TOOL_DONE;
}

static const struct nvme_option id_ns_options[] = { NVME_ONE_NSID_OPTION, NVME_END };

const struct nvme_sub nvme_zns_id_ns = {
	.name = "zns id-ns",
	.summary = "Show Identify Namespace of the zoned namespace command set",
	.options = id_ns_options,
	.run = run_id_ns,
	.binary = true,
};

/* ---- report-zones ---- */

/* A report that is being shown. */
struct showing {
	struct nvme_run *run;
	struct json_object *list; /* NULL: text */
	uint32_t ext_bytes;
};

static void put_ext(struct json_object *zone, const uint8_t *ext, uint32_t bytes)
{
	struct json_object *rows;

	if (ext == NULL) {
		nvme_put_text(zone, "ext_data", "Not valid");
		return;
	}
	rows = json_object_new_array();
	for (uint32_t row = 0; row < bytes; row += 16) {
		char text[17] = "";

		for (uint32_t i = 0; i < 16; i++)
			text[i] = ext[row + i] >= '!' && ext[row + i] <= '~' ? (char)ext[row + i] : '.';
		json_object_array_add(rows, json_object_new_string(text));
	}
	json_object_object_add(zone, "ext_data", rows);
}

static const char *type_name(const struct nsdk_nvme_zone *zone)
{
	return zone->type == NSDK_NVME_ZONE_SEQWRITE_REQUIRED ? "SEQWRITE_REQ" : "Unknown Type";
}

static void put_zone(const struct showing *showing, const struct nsdk_nvme_zone *zone)
{
	struct json_object *object = json_object_new_object();

	nvme_put(object, "slba", zone->zslba);
	nvme_put(object, "wp", zone->wp);
	nvme_put(object, "cap", zone->zcap);
	nvme_put_text(object, "state", nsdk_nvme_zone_state_name(zone->state));
	nvme_put_text(object, "type", type_name(zone));
	nvme_put(object, "attrs", zone->attributes);
	if (showing->run->v.extended)
		put_ext(object, zone->ext, showing->ext_bytes);
	json_object_array_add(showing->list, object);
}

static void print_attributes(uint8_t attributes)
{
	static const struct {
		uint8_t bit;
		const char *text;
	} texts[] = {
		{ NSDK_NVME_ZONE_RESET_RECOMMENDED, "Reset Zone Recommended" },
		{ NSDK_NVME_ZONE_FINISH_RECOMMENDED, "Finish Zone Recommended" },
		{ NSDK_NVME_ZONE_FINISHED_BY_CONTROLLER, "Zone Finished by Controller" },
	};

	printf("Attrs: Zone Descriptor Extension is %sValid\n",
	       attributes & NSDK_NVME_ZONE_DESC_EXT_VALID ? "" : "Not ");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (attributes & texts[i].bit)
			printf("       %s\n", texts[i].text);
}

static bool show_zone(void *ctx, const struct nsdk_nvme_zone *zone)
{
	const struct showing *showing = ctx;

	if (showing->list != NULL) {
		put_zone(showing, zone);
		return true;
	}
	printf("SLBA: %#-10" PRIx64 " WP: %#-10" PRIx64 " Cap: %#-10" PRIx64 " ", zone->zslba,
	       zone->wp,
	       zone->zcap);
	if (showing->run->v.words) {
		printf("State: %-12s Type: %-14s\n", nsdk_nvme_zone_state_name(zone->state),
		       type_name(zone));
		print_attributes(zone->attributes);
	} else {
		printf("State: %#-4x Type: %#-4x Attrs: %#-4x AttrsInfo: %#-4x\n",
		       (unsigned)zone->state << 4, zone->type, zone->attributes, zone->attributes_info);
	}
	if (zone->ext != NULL) {
		printf("Extension Data: ");
		nvme_show_hex(zone->ext, showing->ext_bytes);
		printf("..\n");
	}
	return true;
}

/* All zones that match, as nvme-cli counts them. */
static int count_zones(struct nvme_run *run, const struct nsdk_nvme_ns *ns, uint64_t *out)
{
	struct nsdk_nvme_zone_report_header header;
	struct nsdk_nvme_cmd cmd = zone_cmd(ns, NSDK_NVME_ZNS_MGMT_RECEIVE, 0,
					    sizeof(header) / 4 - 1,
					    NSDK_NVME_ZONE_REPORT | (uint32_t)run->v.state.number << 8);
	struct nsdk_nvme_cpl cpl;
	int status = nvme_send_io(run, &cmd, &header, sizeof(header), &cpl);

	*out = header.zones;
	return status;
}

/* The report itself, on a queue pair of its own. */
static int show_zones(struct nvme_run *run, struct nsdk_nvme_ns *ns, struct showing *showing)
{
	struct nsdk_nvme_zone_report_opts opts = {
		.opts_bytes = sizeof(opts),
		.slba = run->v.slba.number,
		.max_zones = run->v.descs.number,
		.filter = (enum nsdk_nvme_zone_filter)run->v.state.number,
		.extended = run->v.extended,
		.timeout_ns = REPORT_TIMEOUT_NS,
	};
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	struct nsdk_nvme_zone_report *report;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_dma_pool *pool;
	struct nsdk_nvme_cpl cpl = { 0 };
	int err, status = TOOL_FAILED;
	void *buf = NULL;

	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(run->ctrlr);
	if (nsdk_dma_pool_create(run->mem, &pool_opts, &pool) != 0)
		return TOOL_FAILED;
	if (nsdk_dma_alloc(pool, REPORT_BYTES, 4096, &buf) != 0 ||
	    nsdk_nvme_qpair_create(run->ctrlr, NULL, &qp) != 0)
		goto free_buf;
	err = nsdk_nvme_zone_report_start(ns, qp, &opts, buf, REPORT_BYTES, show_zone, showing,
					  &report);
	while (err == 0) {
		err = nsdk_nvme_zone_report_poll(report, &cpl);
		if (err != -EAGAIN)
			break;
		/* Of a controller that does not answer the driver says so, and calls back. */
		nsdk_nvme_qpair_poll(qp, 0);
		nsdk_nvme_ctrlr_poll(run->ctrlr);
		err = 0;
	}
	if (cpl.status != 0)
		status = nvme_status(run, "Zone Management Receive", &cpl);
	else if (err == -ETIMEDOUT)
		tool_say("%s: the zones were not reported within %llu s", nvme_name(run),
			 REPORT_TIMEOUT_NS / 1000000000);
	else
		status = err ? nvme_failed(run, "the report of zones", err) : TOOL_DONE;
	/* From here on the device does not touch the buffer. */
	if (nsdk_nvme_qpair_destroy(qp) != 0)
		status = TOOL_FAILED;
free_buf:
	nsdk_dma_free(pool, buf);
	nsdk_dma_pool_destroy(pool);
	return status;
}

static int run_report(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = zoned_ns(run);
	struct showing showing = { .run = run };
	struct json_object *object = NULL;
	uint64_t count;
	int status;

	if (ns == NULL)
		return TOOL_FAILED;
	if (run->v.slba.number >= nsdk_nvme_ns_blocks(ns)) {
		tool_say("%s: --start-lba=%" PRIu64 " is beyond the end of namespace %u, which has %" PRIu64
			 " blocks", nvme_name(run), run->v.slba.number, nsdk_nvme_ns_id(ns),
			 nsdk_nvme_ns_blocks(ns));
		return TOOL_FAILED;
	}
	showing.ext_bytes = nsdk_nvme_ns_zoned(ns)->desc_ext_bytes;
	status = count_zones(run, ns, &count);
	if (status != TOOL_DONE)
		return status;
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		showing.list = json_object_new_array();
		nvme_put(object, "nr_zones", count);
		json_object_object_add(object, "zone_list", showing.list);
	} else {
		printf("nr_zones: %" PRIu64 "\n", count);
	}
	status = show_zones(run, ns, &showing);
	if (object != NULL && status == TOOL_DONE)
		return nvme_show_json(run, object);
	json_object_put(object);
	return status;
}

static const struct nvme_option report_options[] = {
	NVME_ONE_NSID_OPTION,
	SLBA_OPTION("from the zone of this block on [0]"),
	NVME_NUMBER_OPTION("descs", 'd', descs, UINT64_MAX, "so many zones [all]"),
	NVME_NUMBER_OPTION("state", 'S', state, 7,
			   "0 all, 1 empty, 2 implicitly open, 3 explicitly open, "
			   "4 closed, 5 full, 6 read only, 7 offline [0]"),
	NVME_FLAG_OPTION("extended", 'e', extended, "with descriptor extensions"),
	NVME_FLAG_OPTION("partial", 'p', partial, "what each command says is counted so anyway"),
	NVME_FLAG_OPTION("verbose", 'v', words, "states, types and attributes in words"),
	NVME_END,
};

const struct nvme_sub nvme_zns_report_zones = {
	.name = "zns report-zones",
	.summary = "Report zones",
	.options = report_options,
	.run = run_report,
};

/* ---- Actions ---- */

static int check_action(struct nvme_run *run)
{
	if (!run->v.slba.given && !run->v.all)
		return nvme_usage(run, "--start-lba or --select-all is missing");
	return TOOL_DONE;
}

static int act(struct nvme_run *run, enum nsdk_nvme_zone_action action)
{
	struct nsdk_nvme_ns *ns = zoned_ns(run);
	struct nsdk_nvme_cmd cmd;
	struct nsdk_nvme_cpl cpl;
	int status;

	if (ns == NULL)
		return TOOL_FAILED;
	cmd = zone_cmd(ns, NSDK_NVME_ZNS_MGMT_SEND, run->v.slba.number, 0,
		       (uint32_t)action | (run->v.all ? NSDK_NVME_ZONE_SELECT_ALL : 0));
	status = nvme_send_io(run, &cmd, NULL, 0, &cpl);
	if (status != TOOL_DONE)
		return status;
	if (action == NSDK_NVME_ZONE_OPEN)
		printf("zns-open-zone: Success zone slba:%" PRIx64 " nsid:%u\n", run->v.slba.number,
		       cmd.nsid);
	else
		printf("zns-%s: Success, action:%x zone:%" PRIx64 " all:%d zcapc:%u nsid:%u\n",
		       run->sub->name + strlen("zns "), (unsigned)action, run->v.slba.number, run->v.all,
		       cpl.dw0 & 1, cmd.nsid);
	return TOOL_DONE;
}

static int run_open(struct nvme_run *run)
{
	return act(run, NSDK_NVME_ZONE_OPEN);
}

static int run_close(struct nvme_run *run)
{
	return act(run, NSDK_NVME_ZONE_CLOSE);
}

static int run_finish(struct nvme_run *run)
{
	return act(run, NSDK_NVME_ZONE_FINISH);
}

static int run_reset(struct nvme_run *run)
{
	return act(run, NSDK_NVME_ZONE_RESET);
}

static int run_offline(struct nvme_run *run)
{
	return act(run, NSDK_NVME_ZONE_OFFLINE);
}

static const struct nvme_option action_options[] = {
	NVME_ONE_NSID_OPTION,
	SLBA_OPTION("first block of the zone"),
	NVME_FLAG_OPTION("select-all", 'a', all, "all zones for which it can be done"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_END,
};

const struct nvme_sub nvme_zns_open_zone = {
	.name = "zns open-zone",
	.summary = "Open zones; the end of the run, which shuts the controller down, closes them",
	.options = action_options,
	.check = check_action,
	.run = run_open,
};

const struct nvme_sub nvme_zns_close_zone = {
	.name = "zns close-zone",
	.summary = "Close zones",
	.options = action_options,
	.check = check_action,
	.run = run_close,
};

const struct nvme_sub nvme_zns_finish_zone = {
	.name = "zns finish-zone",
	.summary = "Finish zones: they are full, whatever was written",
	.options = action_options,
	.check = check_action,
	.run = run_finish,
};

const struct nvme_sub nvme_zns_reset_zone = {
	.name = "zns reset-zone",
	.summary = "Reset zones: their data is lost",
	.options = action_options,
	.danger = "all data of the zones will be lost",
	.check = check_action,
	.run = run_reset,
};

const struct nvme_sub nvme_zns_offline_zone = {
	.name = "zns offline-zone",
	.summary = "Take zones offline that can only be read: their data is lost",
	.options = action_options,
	.danger = "all data of the zones will be lost",
	.check = check_action,
	.run = run_offline,
};

/* ---- Data ---- */

static int check_data(struct nvme_run *run)
{
	if (!run->v.slba.given)
		return nvme_usage(run, "--%s is missing: the first block of a zone",
				  run->sub->options[1].name);
	if (!run->v.file.given)
		return nvme_usage(run, "--data is missing: what is to be sent");
	return TOOL_DONE;
}

static int run_set_desc(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = zoned_ns(run);
	uint32_t bytes = ns != NULL ? nsdk_nvme_ns_zoned(ns)->desc_ext_bytes : 0;
	struct nsdk_nvme_cmd cmd;
	struct nsdk_nvme_cpl cpl;
	uint8_t *data, *ext;
	size_t have;
	int status = TOOL_FAILED;

	if (ns == NULL)
		return TOOL_FAILED;
	if (bytes == 0) {
		tool_say("%s: zones of namespace %u have no descriptor extension", nvme_name(run),
			 nsdk_nvme_ns_id(ns));
		return TOOL_FAILED;
	}
	data = nvme_read_file(run->v.file.text, bytes, &have);
	ext = data != NULL ? calloc(1, bytes) : NULL;
	if (ext != NULL) {
		memcpy(ext, data, have);
		cmd = zone_cmd(ns, NSDK_NVME_ZNS_MGMT_SEND, run->v.slba.number, 0,
			       NSDK_NVME_ZONE_SET_DESC_EXT);
		status = nvme_send_io(run, &cmd, ext, bytes, &cpl);
		if (status == TOOL_DONE)
			printf("set-zone-desc: Success, zone:%" PRIx64 " nsid:%u\n",
			       run->v.slba.number,
			       cmd.nsid);
	}
	free(ext);
	free(data);
	return status;
}

static const struct nvme_option set_desc_options[] = {
	NVME_ONE_NSID_OPTION,
	SLBA_OPTION("first block of the zone, which is to be empty"),
	NVME_TEXT_OPTION("data", 'd', file,
			 "a file with it, - for the standard input; zeroes follow"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_END,
};

const struct nvme_sub nvme_zns_set_zone_desc = {
	.name = "zns set-zone-desc",
	.summary = "Give a zone its descriptor extension",
	.options = set_desc_options,
	.check = check_data,
	.run = run_set_desc,
};

static int run_append(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = zoned_ns(run);
	struct nsdk_nvme_cmd cmd;
	struct nsdk_nvme_cpl cpl;
	size_t bytes, most;
	uint32_t block;
	uint8_t *data;
	int status = TOOL_FAILED;

	if (ns == NULL)
		return TOOL_FAILED;
	block = nsdk_nvme_ns_block_bytes(ns);
	most = (size_t)nsdk_nvme_ns_zoned(ns)->max_append_blocks * block;
	data = nvme_read_file(run->v.file.text, most, &bytes);
	if (data == NULL)
		return TOOL_FAILED;
	/* nvme-cli wants it said; here it may be left out, and can say less. */
	if (run->v.length.given && run->v.length.number > bytes) {
		tool_say("%s has %zu bytes, less than --data-size=%" PRIu64, run->v.file.text,
			 bytes,
			 run->v.length.number);
		goto free_data;
	}
	if (run->v.length.given)
		bytes = (size_t)run->v.length.number;
	if (bytes == 0 || bytes % block) {
		tool_say("%zu bytes are not whole blocks of %u bytes", bytes, block);
		goto free_data;
	}
	cmd = zone_cmd(ns, NSDK_NVME_ZNS_APPEND, run->v.slba.number,
		       (uint32_t)(bytes / block - 1) | (run->v.fua ? NSDK_NVME_RW_FUA : 0) |
			       (run->v.limited_retry ? NSDK_NVME_RW_LIMITED_RETRY : 0), 0);
	status = nvme_send_io(run, &cmd, data, bytes, &cpl);
	if (status == TOOL_DONE)
		printf("Success appended data to LBA %" PRIx64 "\n", nsdk_nvme_cpl_alba(&cpl));
free_data:
	free(data);
	return status;
}

static const struct nvme_option append_options[] = {
	NVME_ONE_NSID_OPTION,
	NVME_NUMBER_OPTION("zslba", 's', slba, UINT64_MAX, "first block of the zone"),
	NVME_NUMBER_OPTION("data-size", 'z', length, MAX_APPEND,
			   "bytes of data [those of the file]"),
	NVME_TEXT_OPTION("data", 'd', file, "a file with the data, - for the standard input"),
	NVME_FLAG_OPTION("limited-retry", 'l', limited_retry,
			 "limit the attempts to access the media"),
	NVME_FLAG_OPTION("force-unit-access", 'f', fua, "past the write cache"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_END,
};

const struct nvme_sub nvme_zns_zone_append = {
	.name = "zns zone-append",
	.summary = "Append data to a zone",
	.options = append_options,
	.check = check_data,
	.run = run_append,
};
