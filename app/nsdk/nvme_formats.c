/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: what Identify says of the formats of blocks that there are.
 */
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "nvme.h"

/* How many a structure has room for. */
#define FORMATS_MAX 64u

static unsigned format_in_use(const struct nsdk_nvme_id_ns *id)
{
	return (id->flbas & 0xfu) | (id->nlbaf >= 16 ? (id->flbas & 0x60u) >> 1 : 0);
}

static unsigned formats_of(const struct nsdk_nvme_id_ns *id)
{
	return id->nlbaf < FORMATS_MAX ? id->nlbaf + 1u : FORMATS_MAX;
}

/* An array of objects: how large blocks and their metadata are. */
void nvme_put_formats(struct json_object *object, const struct nsdk_nvme_id_ns *id)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < formats_of(id); i++) {
		struct json_object *format = json_object_new_object();

		nvme_put(format, "ms", id->lbaf[i].ms);
		nvme_put(format, "ds", id->lbaf[i].lbads);
		nvme_put(format, "rp", id->lbaf[i].rp & 3);
		json_object_array_add(array, format);
	}
	json_object_object_add(object, "lbafs", array);
}

void nvme_print_formats(const struct nsdk_nvme_id_ns *id, bool in_use)
{
	for (unsigned i = 0; i < formats_of(id); i++)
		printf("lbaf %2u : ms:%-3u lbads:%-2u rp:%#x %s\n", i, id->lbaf[i].ms, id->lbaf[i].lbads,
		       id->lbaf[i].rp & 3u, in_use && i == format_in_use(id) ? "(in use)" : "");
}

/* The same of guards and storage tags. */
static void put_extended(struct json_object *object, const struct nsdk_nvme_id_ns *id,
			 const struct nsdk_nvme_id_ns_nvm *nvm)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < formats_of(id); i++) {
		struct json_object *entry = json_object_new_object();

		nvme_put(entry, "sts", NSDK_NVME_ELBAF_STS(nvm->elbaf[i]));
		nvme_put(entry, "pif", NSDK_NVME_ELBAF_PIF(nvm->elbaf[i]));
		json_object_array_add(array, entry);
	}
	json_object_object_add(object, "elbafs", array);
}

/* "lbads" is nvme-cli's word for the bits of the storage tag. */
static void print_extended(const struct nsdk_nvme_id_ns *id, const struct nsdk_nvme_id_ns_nvm *nvm,
			   bool in_use)
{
	for (unsigned i = 0; i < formats_of(id); i++)
		printf("elbaf %2u : pif:%u lbads:%-2u %s\n", i, NSDK_NVME_ELBAF_PIF(nvm->elbaf[i]),
		       NSDK_NVME_ELBAF_STS(nvm->elbaf[i]), in_use && i == format_in_use(id) ? "(in use)" : "");
}

/* ---- nvm-id-ns ---- */

static int run_nvm_id_ns(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_id_ns_nvm nvm;
	struct json_object *object;
	struct nsdk_nvme_id_ns id;
	int status = TOOL_FAILED;

	if (nsid == 0 || !nvme_identify(run, NSDK_NVME_CNS_CSI_NS, nsid, 0, &nvm, &status))
		return status;
	/* Which formats there are, the other structure says. */
	status = nvme_identify_page(run, NSDK_NVME_CNS_NS, nsid, 0, &id);
	if (status != TOOL_DONE)
		return status;
	if (run->format != NVME_JSON) {
		printf("NVMe NVM Identify Namespace %u:\nlbstm : %#" PRIx64 "\npic   : %#x\n", nsid, nvm.lbstm,
		       nvm.pic);
		print_extended(&id, &nvm, true);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	nvme_put(object, "lbstm", nvm.lbstm);
	nvme_put(object, "pic", nvm.pic);
	put_extended(object, &id, &nvm);
	return nvme_show_json(run, object);
}

static const struct nvme_option nvm_id_ns_options[] = {
	NVME_NSID_OPTION("of this namespace [the only one]"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_nvm_id_ns = {
	.name = "nvm-id-ns",
	.summary = "Show Identify Namespace of the NVM command set",
	.options = nvm_id_ns_options,
	.run = run_nvm_id_ns,
	.binary = true,
};

/* ---- id-ns-lba-format, nvm-id-ns-lba-format ---- */

static const struct nvme_option format_options[] = {
	NVME_NUMBER_OPTION("lba-format-index", 'i', lbaf, 65535, "of this format [0]"),
	NVME_NUMBER_OPTION("uuid-index", 'U', uuid_index, 127, "UUID index"),
	NVME_END,
};

static int run_format(struct nvme_run *run)
{
	uint32_t index = (uint32_t)run->v.lbaf.number;
	struct json_object *object;
	struct nsdk_nvme_id_ns id;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_FORMAT_NS, 0, index, &id, &status))
		return status;
	if (run->format != NVME_JSON) {
		printf("NVMe Identify Namespace for LBA format[%u]:\n"
		       "nlbaf   : %u\nmc      : %#x\ndpc     : %#x\nnulbaf  : %u\n", index, id.nlbaf, id.mc,
		       id.dpc, id.nulbaf);
		nvme_print_formats(&id, false);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	nvme_put(object, "nlbaf", id.nlbaf);
	nvme_put(object, "mc", id.mc);
	nvme_put(object, "dpc", id.dpc);
	nvme_put(object, "nulbaf", id.nulbaf);
	nvme_put_formats(object, &id);
	return nvme_show_json(run, object);
}

const struct nvme_sub nvme_id_ns_lba_format = {
	.name = "id-ns-lba-format",
	.summary = "Show what namespaces of one format can do",
	.options = format_options,
	.run = run_format,
	.binary = true,
};

static int run_nvm_format(struct nvme_run *run)
{
	uint32_t index = (uint32_t)run->v.lbaf.number;
	struct nsdk_nvme_id_ns_nvm nvm;
	struct json_object *object;
	struct nsdk_nvme_id_ns id;
	int status;

	if (!nvme_identify(run, NSDK_NVME_CNS_CSI_FORMAT_NS, 0, index, &nvm, &status))
		return status;
	status = nvme_identify_page(run, NSDK_NVME_CNS_FORMAT_NS, 0, index, &id);
	if (status != TOOL_DONE)
		return status;
	if (run->format != NVME_JSON) {
		printf("NVMe NVM Identify Namespace for LBA format[%u]:\npic   : %#x\n", index, nvm.pic);
		print_extended(&id, &nvm, false);
		return TOOL_DONE;
	}
	object = json_object_new_object();
	nvme_put(object, "pic", nvm.pic);
	put_extended(object, &id, &nvm);
	return nvme_show_json(run, object);
}

const struct nvme_sub nvme_nvm_id_ns_lba_format = {
	.name = "nvm-id-ns-lba-format",
	.summary = "Show what namespaces of one format can do by the NVM command set",
	.options = format_options,
	.run = run_nvm_format,
	.binary = true,
};
