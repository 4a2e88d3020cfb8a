/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: what Identify has besides a controller and its namespaces: lists of controllers, of endurance
 * groups, of domains and the like, and what command sets have of their own.
 *
 * How many entries there are, the controller says; more than fit in what it sends are not looked at.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/nvme_zns_spec.h>

#include "nvme.h"

#define ENTRIES_MAX(list) (sizeof(list) / sizeof((list)[0]))
#define LINE "................."

struct item {
	const char *key, *label;
	bool hex;
	uint64_t value;
};

int nvme_identify_page(struct nvme_run *run, uint8_t cns, uint32_t nsid, uint32_t cdw11, void *page)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(cns, nsid, (uint16_t)run->v.cntid.number, 0);

	cmd.cdw11 |= cdw11;
	cmd.cdw14 = (uint32_t)run->v.uuid_index.number;
	return nvme_send(run, &cmd, page, 4096, NULL);
}

bool nvme_identify(struct nvme_run *run, uint8_t cns, uint32_t nsid, uint32_t cdw11, void *page, int *status)
{
	*status = nvme_identify_page(run, cns, nsid, cdw11, page);
	if (*status != TOOL_DONE || !nvme_wants_bytes(run))
		return *status == TOOL_DONE;
	*status = nvme_show_bytes(page, 4096);
	return false;
}

static void put_items(struct json_object *object, const struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		nvme_put(object, items[i].key, items[i].value);
}

static void print_items(const struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (items[i].hex)
			printf("%s: %#" PRIx64 "\n", items[i].label, items[i].value);
		else
			printf("%s: %" PRIu64 "\n", items[i].label, items[i].value);
}

static int show_items(struct nvme_run *run, const char *heading, const struct item *items, unsigned count)
{
	struct json_object *object;

	if (run->format != NVME_JSON) {
		printf("%s:\n", heading);
		print_items(items, count);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	put_items(object, items, count);
	return nvme_show_json(run, object);
}

/* An object with an array in it, which is filled in. */
static struct json_object *object_of(const char *count_key, uint64_t count, const char *key,
				     struct json_object **array)
{
	struct json_object *object = json_object_new_object();

	if (count_key != NULL)
		nvme_put(object, count_key, count);
	*array = json_object_new_array();
	json_object_object_add(object, key, *array);
	return object;
}

static const struct nvme_option no_options[] = { NVME_RAW_OPTION, NVME_END };

/* ---- list-ctrl, list-endgrp: identifiers, and how many ---- */

static int show_ids(struct nvme_run *run, const uint16_t *list, const char *words, const char *count_key,
		    const char *list_key, const char *key)
{
	unsigned count = list[0] < 2048 ? list[0] : 2047;
	struct json_object *object, *array;

	if (run->format != NVME_JSON) {
		printf("%s: %u\n", words, list[0]);
		for (unsigned i = 0; i < count; i++)
			printf("[%4u]:%#x\n", i, list[1 + i]);
		return TOOL_DONE;
	}
	object = object_of(count_key, list[0], list_key, &array);
	for (unsigned i = 0; i < count; i++) {
		struct json_object *entry = json_object_new_object();

		nvme_put(entry, key, list[1 + i]);
		json_object_array_add(array, entry);
	}
	return nvme_show_json(run, object);
}

static int run_list_ctrl(struct nvme_run *run)
{
	uint16_t list[2048];
	int status;

	if (!nvme_identify(run, run->v.nsid.given ? NSDK_NVME_CNS_NS_CTRLR_LIST : NSDK_NVME_CNS_CTRLR_LIST,
			   (uint32_t)run->v.nsid.number, 0, list, &status))
		return status;
	return show_ids(run, list, "num of ctrls present", "num_ctrl", "ctrl_list", "ctrl_id");
}

static const struct nvme_option list_ctrl_options[] = {
	NVME_NUMBER_OPTION("cntid", 'c', cntid, 65535, "from this one on [0]"),
	NVME_NSID_OPTION("those that this namespace is attached to [all of the subsystem]"),
	NVME_END,
};

const struct nvme_sub nvme_list_ctrl = {
	.name = "list-ctrl",
	.summary = "List the controllers of the subsystem, or of a namespace",
	.options = list_ctrl_options,
	.run = run_list_ctrl,
	.binary = true,
};

static int run_list_endgrp(struct nvme_run *run)
{
	uint16_t list[2048];
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_ENDGRP_LIST, 0, (uint32_t)run->v.endgid.number, list, &status))
		return status;
	return show_ids(run, list, "num of endurance group ids", "num_endgrp_id", "endgrp_list", "endgrp_id");
}

static const struct nvme_option list_endgrp_options[] = {
	NVME_NUMBER_OPTION("endgrp-id", 'i', endgid, 65535, "from this one on [0]"),
	NVME_END,
};

const struct nvme_sub nvme_list_endgrp = {
	.name = "list-endgrp",
	.summary = "List the endurance groups",
	.options = list_endgrp_options,
	.run = run_list_endgrp,
	.binary = true,
};

/* ---- nvm-id-ctrl, cmdset-ind-id-ns ---- */

static int run_nvm_id_ctrl(struct nvme_run *run)
{
	struct nsdk_nvme_id_ctrl_nvm id;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_CSI_CTRLR, 0, 0, &id, &status))
		return status;

	const struct item items[] = {
		{ "vsl", "vsl    ", false, id.vsl },       { "wzsl", "wzsl   ", false, id.wzsl },
		{ "wusl", "wusl   ", false, id.wusl },     { "dmrl", "dmrl   ", false, id.dmrl },
		{ "dmrsl", "dmrsl  ", false, id.dmrsl },   { "dmsl", "dmsl   ", false, id.dmsl },
	};

	return show_items(run, "NVMe Identify Controller NVM", items, ENTRIES_MAX(items));
}

const struct nvme_sub nvme_nvm_id_ctrl = {
	.name = "nvm-id-ctrl",
	.summary = "Show Identify Controller of the NVM command set",
	.options = no_options,
	.run = run_nvm_id_ctrl,
	.binary = true,
};

static const struct nvme_option ns_options[] = {
	NVME_NSID_OPTION("of this namespace [the only one]"),
	NVME_RAW_OPTION,
	NVME_END,
};

static int run_independent(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_id_ns_independent id;
	int status = TOOL_FAILED;
	char heading[64];
	uint8_t page[4096];

	if (nsid == 0 || !nvme_identify(run, NSDK_NVME_CNS_INDEPENDENT_NS, nsid, 0, page, &status))
		return status;
	memcpy(&id, page, sizeof(id));

	const struct item items[] = {
		{ "nsfeat", "nsfeat  ", true, id.nsfeat },       { "nmic", "nmic    ", true, id.nmic },
		{ "rescap", "rescap  ", true, id.rescap },       { "fpi", "fpi     ", true, id.fpi },
		{ "anagrpid", "anagrpid", false, id.anagrpid },  { "nsattr", "nsattr  ", false, id.nsattr },
		{ "nvmsetid", "nvmsetid", false, id.nvmsetid },  { "endgid", "endgid  ", false, id.endgid },
		{ "nstat", "nstat   ", true, id.nstat },
	};

	snprintf(heading, sizeof(heading), "NVME Identify Command Set Independent Namespace %u", nsid);
	return show_items(run, heading, items, ENTRIES_MAX(items));
}

const struct nvme_sub nvme_cmdset_ind_id_ns = {
	.name = "cmdset-ind-id-ns",
	.summary = "Show what a namespace of any command set says of itself",
	.options = ns_options,
	.run = run_independent,
	.binary = true,
};

/* ---- id-iocs ---- */

static int run_id_iocs(struct nvme_run *run)
{
	uint64_t sets[NSDK_NVME_IO_COMMAND_SET_COMBINATIONS];
	struct json_object *object;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_IO_COMMAND_SETS, 0, 0, sets, &status))
		return status;
	object = json_object_new_object();
	if (run->format != NVME_JSON)
		printf("NVMe Identify I/O Command Set:\n");
	for (unsigned i = 0; i < NSDK_NVME_IO_COMMAND_SET_COMBINATIONS; i++) {
		char key[48];

		if (sets[i] == 0)
			continue;
		snprintf(key, sizeof(key), "I/O Command Set Combination[%u]", i);
		nvme_put(object, key, sets[i]);
		if (run->format != NVME_JSON)
			printf("%s:%" PRIx64 "\n", key, sets[i]);
	}
	if (run->format == NVME_JSON)
		return nvme_show_json(run, object);
	json_object_put(object);
	return TOOL_DONE;
}

static const struct nvme_option iocs_options[] = {
	NVME_NUMBER_OPTION("controller-id", 'c', cntid, 65535, "of this controller; 0xffff: this one [0]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_id_iocs = {
	.name = "id-iocs",
	.summary = "Show which command sets can be used together",
	.options = iocs_options,
	.run = run_id_iocs,
	.binary = true,
};

/* ---- id-ns-granularity, id-uuid ---- */

static int run_granularity(struct nvme_run *run)
{
	struct json_object *object, *array, *entry;
	struct nsdk_nvme_granularity_list list;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_GRANULARITY_LIST, 0, 0, &list, &status))
		return status;
	if (run->format != NVME_JSON) {
		printf("Identify Namespace Granularity List:\n"
		       "   ATTR        : Namespace Granularity Attributes: 0x%x\n"
		       "   NUMD        : Number of Descriptors           : %u\n", list.attributes, list.last);
		for (unsigned i = 0; i <= list.last && i < ENTRIES_MAX(list.entry); i++)
			printf("\n     Entry[%2u] :\n................\n"
			       "     NSG       : Namespace Size Granularity     : 0x%" PRIx64 "\n"
			       "     NCG       : Namespace Capacity Granularity : 0x%" PRIx64 "\n", i,
			       list.entry[i].size, list.entry[i].capacity);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	array = json_object_new_array();
	nvme_put(object, "attributes", list.attributes);
	nvme_put(object, "num-descriptors", list.last);
	json_object_object_add(object, "namespace-granularity-list", array);
	for (unsigned i = 0; i <= list.last && i < ENTRIES_MAX(list.entry); i++) {
		entry = json_object_new_object();
		nvme_put(entry, "namespace-size-granularity", list.entry[i].size);
		nvme_put(entry, "namespace-capacity-granularity", list.entry[i].capacity);
		json_object_array_add(array, entry);
	}
	return nvme_show_json(run, object);
}

static const struct nvme_option granularity_options[] = { NVME_END };

const struct nvme_sub nvme_id_ns_granularity = {
	.name = "id-ns-granularity",
	.summary = "Show what sizes of new namespaces should be multiples of",
	.options = granularity_options,
	.run = run_granularity,
	.binary = true,
};

static bool is_all(const uint8_t uuid[16], uint8_t byte)
{
	for (unsigned i = 0; i < 16; i++)
		if (uuid[i] != byte)
			return false;
	return true;
}

static int run_uuid(struct nvme_run *run)
{
	static const char *const words[] = { "No association reported", "associated with PCI Vendor ID",
					     "associated with PCI Subsystem Vendor ID", "Reserved" };
	struct json_object *object = NULL, *array = NULL, *entry;
	struct nsdk_nvme_uuid_list list;
	char text[48];
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_UUID_LIST, 0, 0, &list, &status))
		return status;
	if (run->format == NVME_JSON)
		object = object_of(NULL, 0, "UUID-list", &array);
	else
		printf("NVME Identify UUID:\n");
	for (unsigned i = 0; i < ENTRIES_MAX(list.entry) && !is_all(list.entry[i].uuid, 0); i++) {
		unsigned association = list.entry[i].association & 3u;

		nvme_uuid(list.entry[i].uuid, text, sizeof(text));
		if (array != NULL) {
			entry = json_object_new_object();
			nvme_put(entry, "association", association);
			nvme_put_text(entry, "uuid", text);
			json_object_array_add(array, entry);
			continue;
		}
		printf(" Entry[%3u]\n" LINE "\nassociation  : 0x%x %s\nUUID         : %s%s\n" LINE "\n", i + 1,
		       association, run->v.words ? words[association] : "", text,
		       is_all(list.entry[i].uuid, 0xff) ? " (Invalid UUID)" : "");
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static const struct nvme_option uuid_options[] = {
	NVME_FLAG_OPTION("human-readable", 'H', words, "whose they are, in words"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_id_uuid = {
	.name = "id-uuid",
	.summary = "List the UUIDs that a UUID index selects",
	.options = uuid_options,
	.run = run_uuid,
	.binary = true,
};

/* ---- primary-ctrl-caps, list-secondary ---- */

static int run_primary(struct nvme_run *run)
{
	struct nsdk_nvme_primary_caps id;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_PRIMARY_CAPS, 0, 0, &id, &status))
		return status;

	const struct item items[] = {
		{ "cntlid", "cntlid    ", true, id.cntlid },   { "portid", "portid    ", true, id.portid },
		{ "crt", "crt       ", true, id.crt },         { "vqfrt", "vqfrt     ", false, id.vqfrt },
		{ "vqrfa", "vqrfa     ", false, id.vqrfa },    { "vqrfap", "vqrfap    ", false, id.vqrfap },
		{ "vqprt", "vqprt     ", false, id.vqprt },    { "vqfrsm", "vqfrsm    ", false, id.vqfrsm },
		{ "vqgran", "vqgran    ", false, id.vqgran },  { "vifrt", "vifrt     ", false, id.vifrt },
		{ "virfa", "virfa     ", false, id.virfa },    { "virfap", "virfap    ", false, id.virfap },
		{ "viprt", "viprt     ", false, id.viprt },    { "vifrsm", "vifrsm    ", false, id.vifrsm },
		{ "vigran", "vigran    ", false, id.vigran },
	};

	return show_items(run, "NVME Identify Primary Controller Capabilities", items, ENTRIES_MAX(items));
}

static const struct nvme_option primary_options[] = {
	NVME_NUMBER_OPTION("cntlid", 'c', cntid, 65535, "of this controller [0]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_primary_ctrl_caps = {
	.name = "primary-ctrl-caps",
	.summary = "Show what a primary controller has to give to secondary ones",
	.options = primary_options,
	.run = run_primary,
	.binary = true,
};

static int run_secondary(struct nvme_run *run)
{
	struct json_object *object = NULL, *array = NULL;
	struct nsdk_nvme_secondary_list list;
	unsigned count;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_SECONDARY_LIST, (uint32_t)run->v.nsid.number, 0, &list,
			   &status))
		return status;
	count = list.count < ENTRIES_MAX(list.entry) ? list.count : (unsigned)ENTRIES_MAX(list.entry);
	if (run->v.entries.given && run->v.entries.number < count)
		count = (unsigned)run->v.entries.number;
	if (run->format == NVME_JSON)
		object = object_of("num", list.count, "secondary-controllers", &array);
	else
		printf("Identify Secondary Controller List:\n"
		       "   NUMID       : Number of Identifiers           : %u\n", list.count);
	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_nvme_secondary *at = &list.entry[i];
		const struct item items[] = {
			{ "secondary-controller-identifier", NULL, true, at->scid },
			{ "primary-controller-identifier", NULL, true, at->pcid },
			{ "secondary-controller-state", NULL, true, at->scs },
			{ "virtual-function-number", NULL, true, at->vfn },
			{ "num-virtual-queues", NULL, true, at->nvq },
			{ "num-virtual-interrupts", NULL, true, at->nvi },
		};

		if (array != NULL) {
			struct json_object *entry = json_object_new_object();

			put_items(entry, items, ENTRIES_MAX(items));
			json_object_array_add(array, entry);
			continue;
		}
		printf("   SCEntry[%-3u]:\n................\n"
		       "     SCID      : Secondary Controller Identifier : 0x%.04x\n"
		       "     PCID      : Primary Controller Identifier   : 0x%.04x\n"
		       "     SCS       : Secondary Controller State      : 0x%.04x (%s)\n", i, at->scid, at->pcid,
		       at->scs, at->scs & 1 ? "Online" : "Offline");
		printf("     VFN       : Virtual Function Number         : 0x%.04x\n"
		       "     NVQ       : Num VQ Flex Resources Assigned  : 0x%.04x\n"
		       "     NVI       : Num VI Flex Resources Assigned  : 0x%.04x\n", at->vfn, at->nvq, at->nvi);
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static const struct nvme_option secondary_options[] = {
	NVME_NUMBER_OPTION("cntid", 'c', cntid, 65535, "from this one on [0]"),
	NVME_NSID_OPTION("namespace [none]"),
	NVME_NUMBER_OPTION("num-entries", 'e', entries, 127, "so many of them [all]"),
	NVME_END,
};

const struct nvme_sub nvme_list_secondary = {
	.name = "list-secondary",
	.summary = "List the secondary controllers of this primary one",
	.options = secondary_options,
	.run = run_secondary,
	.binary = true,
};

/* ---- id-nvmset, id-domain ---- */

static int run_nvmset(struct nvme_run *run)
{
	struct json_object *object = NULL, *array = NULL;
	struct nsdk_nvme_nvmset_list list;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_NVMSET_LIST, 0, (uint32_t)run->v.nvmset.number, &list, &status))
		return status;
	if (run->format == NVME_JSON)
		object = object_of("nid", list.count, "NVMSet", &array);
	else
		printf("NVME Identify NVM Set List %u:\nnid     : %u\n", (unsigned)run->v.nvmset.number,
		       list.count);
	for (unsigned i = 0; i < list.count && i < ENTRIES_MAX(list.entry); i++) {
		const struct nsdk_nvme_nvmset *at = &list.entry[i];
		const struct item items[] = {
			{ "nvmset_id", "nvmset_id               ", false, at->id },
			{ "endurance_group_id", "endurance_group_id      ", false, at->endgid },
			{ "random_4k_read_typical", "random_4k_read_typical  ", false, at->rr4kt },
			{ "optimal_write_size", "optimal_write_size      ", false, at->ows },
		};
		char total[48], unused[48];

		nvme_wide(at->tnvmsetcap, total, sizeof(total));
		nvme_wide(at->unvmsetcap, unused, sizeof(unused));
		if (array != NULL) {
			struct json_object *entry = json_object_new_object();

			put_items(entry, items, ENTRIES_MAX(items));
			nvme_put_text(entry, "total_nvmset_cap", total);
			nvme_put_text(entry, "unalloc_nvmset_cap", unused);
			json_object_array_add(array, entry);
			continue;
		}
		printf(LINE "\n NVM Set Attribute Entry[%2u]\n" LINE "\n", i);
		print_items(items, ENTRIES_MAX(items));
		printf("total_nvmset_cap        : %s\nunalloc_nvmset_cap      : %s\n" LINE "\n", total, unused);
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static const struct nvme_option nvmset_options[] = {
	NVME_NUMBER_OPTION("nvmset_id", 'i', nvmset, 65535, "from this one on [0]"),
	NVME_END,
};

const struct nvme_sub nvme_id_nvmset = {
	.name = "id-nvmset",
	.summary = "List the NVM sets",
	.options = nvmset_options,
	.run = run_nvmset,
	.binary = true,
};

static int run_domain(struct nvme_run *run)
{
	static const char *const keys[] = { "dom_cap", "unalloc_dom_cap", "max_egrp_dom_cap" };
	static const char *const labels[] = { "Domain Capacity", "Unallocated Domain Capacity",
					      "Max Endurance Group Domain Capacity" };
	struct json_object *object = NULL, *array = NULL;
	struct nsdk_nvme_domain_list list;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_DOMAIN_LIST, 0, (uint32_t)run->v.value.number, &list, &status))
		return status;
	if (run->format == NVME_JSON)
		object = object_of("num_dom_entries", list.count, "domain_list", &array);
	else
		printf("NVMe Identify command for Domain List is successful:\nNVMe Identify Domain List:\n"
		       "Number of Domain Entries: %u\n", list.count);
	for (unsigned i = 0; i < list.count && i < ENTRIES_MAX(list.entry); i++) {
		struct json_object *entry = array ? json_object_new_object() : NULL;
		const struct nsdk_nvme_domain *at = &list.entry[i];

		if (entry != NULL)
			nvme_put(entry, "dom_id", at->id);
		else
			printf("Domain Id for Attr Entry[%u]: %u\n", i, at->id);
		for (unsigned n = 0; n < 3; n++) {
			char text[48];

			nvme_wide(at->capacity[n], text, sizeof(text));
			if (entry != NULL)
				nvme_put_text(entry, keys[n], text);
			else
				printf("%s for Attr Entry[%u]: %s\n", labels[n], i, text);
		}
		if (entry != NULL)
			json_object_array_add(array, entry);
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static const struct nvme_option domain_options[] = {
	NVME_NUMBER_OPTION("dom-id", 'd', value, 65535, "from this one on [0]"),
	NVME_END,
};

const struct nvme_sub nvme_id_domain = {
	.name = "id-domain",
	.summary = "List the domains",
	.options = domain_options,
	.run = run_domain,
	.binary = true,
};
