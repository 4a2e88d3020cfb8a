/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme id-ctrl, id-ns, list-ns: what the controller and its namespaces say of themselves.
 *
 * The fields and their names are the tables of `nsdk identify`; what differs from field to field is how
 * nvme-cli writes it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/nvme_zns_spec.h>

#include "identify.h"
#include "nvme.h"

/* Written with 0x, but for 0. */
static const char *const hex_fields[] = {
	"vid", "ssvid", "cmic", "cntlid", "ver", "rtd3r", "rtd3e", "oaes", "ctratt", "rrls", "oacs",
	"frmw", "lpa", "avscc", "apsta", "rpmbs", "hctma", "sanicap", "sqes", "cqes", "oncs",
	"fuses", "fna", "vwc", "ocfs", "sgls",
	/* of a namespace */
	"nsze", "ncap", "nuse", "nsfeat", "flbas", "mc", "dpc", "dps", "nmic", "rescap", "fpi", NULL,
};

/* What the tables do not have: the fields for fabrics, behind subnqn; and one of a namespace. */
static const struct identify_field fabrics_fields[] = {
	{ "ioccsz", 1792, 4, IDENTIFY_NUMBER, NULL },
	{ "iorcsz", 1796, 4, IDENTIFY_NUMBER, NULL },
	{ "icdoff", 1800, 2, IDENTIFY_NUMBER, NULL },
	{ "fcatt", 1802, 1, IDENTIFY_NUMBER, NULL },
	{ "msdbd", 1803, 1, IDENTIFY_NUMBER, NULL },
	{ "ofcs", 1804, 2, IDENTIFY_NUMBER, NULL },
	{ NULL, 0, 0, IDENTIFY_NUMBER, NULL },
};
static const struct identify_field nulbaf_field = { "nulbaf", 82, 1, IDENTIFY_NUMBER, NULL };

static uint64_t number_of(const struct identify_field *field, const void *data)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)data + field->offset, field->bytes);
	return value;
}

static bool is_named(const char *const *names, const char *name)
{
	while (*names != NULL)
		if (strcmp(*names++, name) == 0)
			return true;
	return false;
}

/* As nvme-cli writes a field that is text or wide. @return buf, or NULL: it is a number. */
static const char *text_of(const struct identify_field *field, const void *data, char *buf,
			   size_t buf_bytes)
{
	const uint8_t *at = (const uint8_t *)data + field->offset;
	size_t length;

	switch (field->kind) {
	case IDENTIFY_WIDE:
		return nvme_wide(at, buf, buf_bytes);
	case IDENTIFY_TEXT:
		identify_format(field, data, buf, buf_bytes);
		/* Padded as on the wire, but for the one that ends with a zero. */
		for (length = strlen(buf); field->bytes < 256 && length < field->bytes; length++)
			buf[length] = ' ';
		buf[length] = '\0';
		return buf;
	case IDENTIFY_HEX:
		identify_format(field, data, buf, buf_bytes);
		if (strcmp(field->name, "fguid") == 0) {
			char plain[33];

			snprintf(plain, sizeof(plain), "%s", buf);
			snprintf(buf, buf_bytes, "%.8s-%.4s-%.4s-%.4s-%.12s", plain, plain + 8,
				 plain + 12, plain + 16, plain + 20);
		}
		return buf;
	default:
		return NULL;
	}
}

static void put_field(struct json_object *object, const struct identify_field *field,
		      const void *data)
{
	char buf[300];
	const char *text = text_of(field, data, buf, sizeof(buf));

	if (text != NULL)
		nvme_put_text(object, field->name, text);
	else
		nvme_put(object, field->name, number_of(field, data));
}

static void print_field(const struct identify_field *field, const void *data, int width)
{
	char buf[300];
	const char *text = text_of(field, data, buf, sizeof(buf));
	uint64_t value = text ? 0 : number_of(field, data);

	if (text != NULL)
		printf("%-*s: %s\n", width, field->name, text);
	else if (strcmp(field->name, "ieee") == 0)
		printf("%-*s: %06" PRIx64 "\n", width, field->name, value);
	else if (value != 0 && is_named(hex_fields, field->name))
		printf("%-*s: %#" PRIx64 "\n", width, field->name, value);
	else
		printf("%-*s: %" PRIu64 "\n", width, field->name, value);
}

/* ---- id-ctrl ---- */

static void put_power_state(struct json_object *array, const struct nsdk_nvme_power_state *psd)
{
	struct json_object *object = json_object_new_object();

	nvme_put(object, "max_power", psd->mp);
	nvme_put(object, "flags", psd->flags);
	nvme_put(object, "entry_lat", psd->enlat);
	nvme_put(object, "exit_lat", psd->exlat);
	nvme_put(object, "read_tput", psd->rrt);
	nvme_put(object, "read_lat", psd->rrl);
	nvme_put(object, "write_tput", psd->rwt);
	nvme_put(object, "write_lat", psd->rwl);
	nvme_put(object, "idle_power", psd->idlp);
	nvme_put(object, "idle_scale", psd->ips >> 6);
	nvme_put(object, "active_power", psd->actp);
	nvme_put(object, "active_power_work", psd->apws & 7);
	nvme_put(object, "active_scale", psd->apws >> 6);
	json_object_array_add(array, object);
}

/* Scales: 1 is 0.0001 W, 2 is 0.01 W (Base figure 276). */
static const char *watts(unsigned power, unsigned scale, char *buf, size_t buf_bytes)
{
	if (scale == 1)
		snprintf(buf, buf_bytes, "%u.%04uW", power / 10000, power % 10000);
	else if (scale == 2)
		snprintf(buf, buf_bytes, "%u.%02uW", power / 100, power % 100);
	else
		snprintf(buf, buf_bytes, "-");
	return buf;
}

static void print_power_state(unsigned index, const struct nsdk_nvme_power_state *psd)
{
	char most[24], idle[24], active[24], workload[8] = "-";

	if (psd->apws & 7)
		snprintf(workload, sizeof(workload), "%u", psd->apws & 7u);
	/* MXPS says that the most is in 0.0001 W. */
	printf("ps %6u : mp:%s %soperational enlat:%u exlat:%u rrt:%u rrl:%u\n"
	       "            rwt:%u rwl:%u idle_power:%s active_power:%s\n"
	       "            active_power_workload:%s\n",
	       index, watts(psd->mp, psd->flags & 1 ? 1 : 2, most, sizeof(most)),
	       psd->flags & 2 ? "non-" : "", psd->enlat, psd->exlat, psd->rrt, psd->rrl, psd->rwt,
	       psd->rwl, watts(psd->idlp, psd->ips >> 6, idle, sizeof(idle)),
	       watts(psd->actp, psd->apws >> 6, active, sizeof(active)), workload);
}

static struct json_object *json_id_ctrl(const struct nsdk_nvme_id_ctrl *id)
{
	struct json_object *object = json_object_new_object();
	struct json_object *states = json_object_new_array();

	for (const struct identify_field *field = identify_ctrl_fields; field->name; field++)
		put_field(object, field, id);
	for (const struct identify_field *field = fabrics_fields; field->name; field++)
		put_field(object, field, id);
	for (unsigned i = 0; i <= id->npss && i < 32; i++)
		put_power_state(states, &id->psd[i]);
	json_object_object_add(object, "psds", states);
	return object;
}

static int run_id_ctrl(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_CTRLR, 0, 0, 0);
	struct nsdk_nvme_id_ctrl id;
	int status = nvme_send(run, &cmd, &id, sizeof(id), NULL);

	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&id, sizeof(id));
	if (run->format == NVME_JSON)
		return nvme_show_json(run, json_id_ctrl(&id));
	printf("NVME Identify Controller:\n");
	for (const struct identify_field *field = identify_ctrl_fields; field->name; field++)
		print_field(field, &id, 10);
	for (const struct identify_field *field = fabrics_fields; field->name; field++)
		print_field(field, &id, 10);
	for (unsigned i = 0; i <= id.npss && i < 32; i++)
		print_power_state(i, &id.psd[i]);
	return TOOL_DONE;
}

static const struct nvme_option id_ctrl_options[] = { NVME_RAW_OPTION, NVME_END };

const struct nvme_sub nvme_id_ctrl = {
	.name = "id-ctrl",
	.summary = "Show Identify Controller",
	.options = id_ctrl_options,
	.run = run_id_ctrl,
	.binary = true,
};

/* ---- id-ns ---- */

/* nvme-cli has the fields in another order than the specification, in JSON only. */
static struct json_object *json_id_ns(const struct nsdk_nvme_id_ns *id)
{
	struct json_object *object = json_object_new_object();

	for (const struct identify_field *field = identify_ns_fields; field->name; field++)
		put_field(object, field, id);
	put_field(object, &nulbaf_field, id);
	nvme_put_formats(object, id);
	return object;
}

static void print_id_ns(uint32_t nsid, const struct nsdk_nvme_id_ns *id)
{
	/* Bit 4 of NSFEAT says that these mean something; nvme-cli leaves them out otherwise. */
	static const char *const optional[] = { "npwg", "npwa", "npdg", "npda", "nows", NULL };

	printf("NVME Identify Namespace %u:\n", nsid);
	for (const struct identify_field *field = identify_ns_fields; field->name; field++) {
		if (!(id->nsfeat & 0x10) && is_named(optional, field->name))
			continue;
		if (strcmp(field->name, "anagrpid") == 0)
			print_field(&nulbaf_field, id, 8);
		print_field(field, id, 8);
	}
	nvme_print_formats(id, true);
}

static int run_id_ns(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(
		run->v.yes ? NSDK_NVME_CNS_ALLOCATED_NS : NSDK_NVME_CNS_NS, nsid, 0, 0);
	struct nsdk_nvme_id_ns id;
	int status;

	if (nsid == 0)
		return TOOL_FAILED;
	status = nvme_send(run, &cmd, &id, sizeof(id), NULL);
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(&id, sizeof(id));
	if (run->format == NVME_JSON)
		return nvme_show_json(run, json_id_ns(&id));
	print_id_ns(nsid, &id);
	return TOOL_DONE;
}

static const struct nvme_option id_ns_options[] = {
	NVME_NSID_OPTION("of this namespace [the only one]; with --force one that is not attached"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_id_ns = {
	.name = "id-ns",
	.summary = "Show Identify Namespace",
	.options = id_ns_options,
	.run = run_id_ns,
	.binary = true,
};

/* ---- list-ns ---- */

static int run_list_ns(struct nvme_run *run)
{
	/* It is the first to be listed, and the command wants the one before. */
	uint32_t after = run->v.nsid.number > 0 ? (uint32_t)run->v.nsid.number - 1 : 0;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(
		run->v.csi.given ? (run->v.all ? NSDK_NVME_CNS_CSI_ALLOCATED_NS_LIST :
						 NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST) :
		run->v.all ? NSDK_NVME_CNS_ALLOCATED_NS_LIST : NSDK_NVME_CNS_ACTIVE_NS_LIST, after,
		0, (uint8_t)run->v.csi.number);
	uint32_t list[NSDK_NVME_NS_LIST_ENTRIES];
	struct json_object *array, *object;
	int status = nvme_send(run, &cmd, list, sizeof(list), NULL);

	if (status != TOOL_DONE)
		return status;
	if (run->format != NVME_JSON) {
		for (unsigned i = 0; i < NSDK_NVME_NS_LIST_ENTRIES && list[i]; i++)
			printf("[%4u]:%#x\n", i, list[i]);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	array = json_object_new_array();
	for (unsigned i = 0; i < NSDK_NVME_NS_LIST_ENTRIES && list[i]; i++) {
		struct json_object *ns = json_object_new_object();

		nvme_put(ns, "nsid", list[i]);
		json_object_array_add(array, ns);
	}
	json_object_object_add(object, "nsid_list", array);
	return nvme_show_json(run, object);
}

static const struct nvme_option list_ns_options[] = {
	NVME_NUMBER_OPTION("namespace-id", 'n', nsid, UINT32_MAX - 2, "from this one on [1]"),
	NVME_FLAG_OPTION("all", 'a', all, "those that are not attached, too"),
	NVME_NUMBER_OPTION("csi", 'y', csi, 255, "those of one command set: 0 NVM, 2 zoned [any]"),
	NVME_END,
};

const struct nvme_sub nvme_list_ns = {
	.name = "list-ns",
	.summary = "List the namespaces",
	.options = list_ns_options,
	.run = run_list_ns,
};

/* ---- ns-descs ---- */

/* What is in a descriptor, as text; @return its name, NULL: nobody knows its type. */
static const char *descriptor_text(unsigned type, const uint8_t *value, unsigned bytes, char *text,
				   size_t room)
{
	static const char *const names[] = { NULL, "eui64", "nguid", "uuid", "csi" };
	static const uint8_t lengths[] = { 0, 8, 16, 16, 1 };
	size_t used = 0;

	if (type == 0 || type > 4 || bytes != lengths[type])
		return NULL;
	if (type == 4) {
		snprintf(text, room, "%#x", value[0]);
		return names[type];
	}
	if (type == 3)
		nvme_uuid(value, text, room);
	else
		for (unsigned i = 0; i < bytes; i++)
			used += (size_t)snprintf(text + used, room - used, "%02x", value[i]);
	return names[type];
}

static int run_ns_descs(struct nvme_run *run)
{
	struct json_object *object = NULL, *array = NULL;
	uint32_t nsid = nvme_nsid(run);
	uint8_t list[4096] = { 0 };
	struct nsdk_nvme_cmd cmd;
	size_t offset = 0;
	int status;

	if (nsid == 0)
		return TOOL_FAILED;
	cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_NS_DESC_LIST, nsid, 0, 0);
	status = nvme_send(run, &cmd, list, sizeof(list), NULL);
	if (status != TOOL_DONE)
		return status;
	if (nvme_wants_bytes(run))
		return nvme_show_bytes(list, sizeof(list));
	if (run->format == NVME_JSON) {
		object = json_object_new_object();
		array = json_object_new_array();
		json_object_object_add(object, "ns-descs", array);
	} else {
		printf("NVME Namespace Identification Descriptors NS %u:\n", nsid);
	}
	while (offset + sizeof(struct nsdk_nvme_ns_descriptor) <= sizeof(list)) {
		struct nsdk_nvme_ns_descriptor head;
		const uint8_t *value = list + offset + sizeof(head);
		const char *name;
		char text[48];

		memcpy(&head, list + offset, sizeof(head));
		/* The end, or one that goes on behind it. */
		if (head.bytes == 0 || head.bytes > sizeof(list) - sizeof(head) - offset)
			break;
		name = descriptor_text(head.type, value, head.bytes, text, sizeof(text));
		if (name != NULL && array != NULL) {
			struct json_object *entry = json_object_new_object();

			nvme_put(entry, "loc", offset);
			nvme_put(entry, "nidt", head.type);
			nvme_put(entry, "nidl", head.bytes);
			nvme_put_text(entry, "type", name);
			nvme_put_text(entry, name, text);
			json_object_array_add(array, entry);
		} else if (name != NULL) {
			printf("%-8s: %s\n", name, text);
		}
		offset += sizeof(head) + head.bytes;
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static const struct nvme_option ns_descs_options[] = {
	NVME_NSID_OPTION("of this namespace [the only one]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_ns_descs = {
	.name = "ns-descs",
	.summary = "Show by what a namespace can be told from all others",
	.options = ns_descs_options,
	.run = run_ns_descs,
	.binary = true,
};
