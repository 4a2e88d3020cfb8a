/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: namespaces that are made, attached, formatted and sanitized.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvme.h"

#define FORMAT_TIMEOUT_MS 600000u /* as nvme-cli: a disk may take minutes */

static int check_nsid(struct nvme_run *run)
{
	if (!run->v.nsid.given || run->v.nsid.number == 0)
		return nvme_usage(run, "--namespace-id is missing");
	return TOOL_DONE;
}

/* The format of a namespace with blocks of that size and no metadata. @return -1: there is none. */
static int format_of(const struct nsdk_nvme_id_ns *id, uint64_t block_bytes)
{
	for (unsigned i = 0; i <= id->nlbaf && i < 64; i++)
		if (id->lbaf[i].ms == 0 && id->lbaf[i].lbads < 64 &&
		    UINT64_C(1) << id->lbaf[i].lbads == block_bytes)
			return (int)i;
	return -1;
}

/* --lbaf, or --block-size as a format of that namespace; -1: it was said. */
static int choose_format(struct nvme_run *run, const struct nvme_value *index, uint32_t nsid)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(NSDK_NVME_CNS_NS, nsid, 0, 0);
	struct nsdk_nvme_id_ns id;
	int format;

	if (index->given)
		return (int)index->number;
	if (nvme_send(run, &cmd, &id, sizeof(id), NULL) != TOOL_DONE)
		return -1;
	format = format_of(&id, run->v.block_size.number);
	if (format < 0)
		tool_say("%s has no format with blocks of %llu bytes and no metadata; 'nsdk nvme id-ns' "
			 "shows those there are", nvme_name(run),
			 (unsigned long long)run->v.block_size.number);
	return format;
}

/* ---- format ---- */

static int check_format(struct nvme_run *run)
{
	int status = check_nsid(run);

	if (status == TOOL_DONE && !run->v.lbaf.given && !run->v.block_size.given)
		status = nvme_usage(run, "--lbaf or --block-size is missing");
	if (status == TOOL_DONE && run->v.lbaf.given && run->v.block_size.given)
		status = nvme_usage(run, "--lbaf and --block-size say the same: give one");
	if (!run->v.timeout.given)
		run->v.timeout.number = FORMAT_TIMEOUT_MS;
	return status;
}

static int run_format(struct nvme_run *run)
{
	uint32_t nsid = (uint32_t)run->v.nsid.number;
	int format = choose_format(run, &run->v.lbaf,
				   nsid == NSDK_NVME_NSID_ALL ? nsdk_nvme_ns_next(run->ctrlr, 0) :
								nsid);
	struct nsdk_nvme_cmd cmd;
	int status;

	if (format < 0)
		return TOOL_FAILED;
	cmd = nsdk_nvme_cmd_format(nsid, (uint8_t)format, run->v.ms.number != 0,
				   (uint8_t)run->v.pi.number, run->v.pil.number != 0,
				   (uint8_t)run->v.ses.number);
	status = nvme_send(run, &cmd, NULL, 0, NULL);
	if (status == TOOL_DONE)
		printf("Success formatting namespace:%x\n", nsid);
	return status;
}

static const struct nvme_option format_options[] = {
	NVME_NSID_OPTION("this namespace; 0xffffffff for all"),
	NVME_NUMBER_OPTION("lbaf", 'l', lbaf, 63, "index of the LBA format"),
	NVME_NUMBER_OPTION("block-size", 'b', block_size, UINT64_MAX,
			   "the format with blocks of so many bytes and no metadata, instead"),
	NVME_NUMBER_OPTION("ses", 's', ses, 2, "secure erase: 0 no, 1 user data, 2 cryptographic"),
	NVME_NUMBER_OPTION("pi", 'i', pi, 3, "protection information: 0 none, or type 1 to 3"),
	NVME_NUMBER_OPTION("pil", 'p', pil, 1, "where it is in the metadata: 0 last, 1 first"),
	NVME_NUMBER_OPTION("ms", 'm', ms, 1, "metadata: 0 apart, 1 with the data"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_END,
};

const struct nvme_sub nvme_format = {
	.name = "format",
	.summary = "Format a namespace: all its data is lost",
	.options = format_options,
	.danger = "all data of the namespace will be lost",
	.check = check_format,
	.run = run_format,
};

/* ---- sanitize ---- */

static int check_sanitize(struct nvme_run *run)
{
	static const char *const words[] = { "exit-failure", "start-block-erase", "start-overwrite",
					     "start-crypto-erase" };

	if (!run->v.action.given)
		return nvme_usage(run, "--sanact is missing");
	for (unsigned i = 0; i < 4; i++)
		if (strcmp(run->v.action.text, words[i]) == 0)
			run->v.action.number = i + 1;
	if (run->v.action.number == 0 &&
	    tool_parse_u64(run->v.action.text, 1, 4, &run->v.action.number) != 0)
		return nvme_usage(run, "--sanact=%s: 1 exit-failure, 2 start-block-erase, 3 "
				  "start-overwrite or 4 start-crypto-erase is wanted",
				  run->v.action.text);
	if (run->v.action.number != NSDK_NVME_SANITIZE_OVERWRITE &&
	    (run->v.passes.given || run->v.pattern.given || run->v.invert))
		return nvme_usage(run, "--owpass, --ovrpat and --oipbp are for an overwrite");
	return TOOL_DONE;
}

static int run_sanitize(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_sanitize(
		(enum nsdk_nvme_sanitize_action)run->v.action.number, run->v.ause,
		(unsigned)run->v.passes.number, run->v.invert, run->v.no_dealloc,
		(uint32_t)run->v.pattern.number);

	return nvme_send(run, &cmd, NULL, 0, NULL);
}

static const struct nvme_option sanitize_options[] = {
	NVME_TEXT_OPTION("sanact", 'a', action, "1 exit-failure, 2 start-block-erase, 3 "
			 "start-overwrite, 4 start-crypto-erase"),
	NVME_FLAG_OPTION("no-dealloc", 'd', no_dealloc, "do not deallocate the blocks afterwards"),
	NVME_FLAG_OPTION("ause", 'u', ause, "it may fail without locking the device"),
	NVME_NUMBER_OPTION("owpass", 'n', passes, 15, "passes of an overwrite; 0 for 16"),
	NVME_FLAG_OPTION("oipbp", 'i', invert, "invert the pattern between passes"),
	NVME_NUMBER_OPTION("ovrpat", 'p', pattern, UINT32_MAX, "pattern of an overwrite"),
	NVME_END,
};

const struct nvme_sub nvme_sanitize = {
	.name = "sanitize",
	.summary = "Begin to sanitize the subsystem: all its data is lost ('sanitize-log' tells more)",
	.options = sanitize_options,
	.danger = "all data of all namespaces of the subsystem will be lost",
	.check = check_sanitize,
	.run = run_sanitize,
};

/* ---- create-ns, delete-ns ---- */

static int check_create(struct nvme_run *run)
{
	if (!run->v.nsze.given || !run->v.ncap.given)
		return nvme_usage(run, "--nsze and --ncap are wanted, in blocks");
	if (run->v.flbas.given && run->v.block_size.given)
		return nvme_usage(run, "--flbas and --block-size say the same: give one");
	return TOOL_DONE;
}

static int run_create(struct nvme_run *run)
{
	struct nsdk_nvme_id_ns wanted = {
		.nsze = run->v.nsze.number,
		.ncap = run->v.ncap.number,
		.flbas = (uint8_t)run->v.flbas.number,
		.dps = (uint8_t)run->v.dps.number,
		.nmic = (uint8_t)run->v.nmic.number,
		.anagrpid = (uint32_t)run->v.anagrp.number,
		.nvmsetid = (uint16_t)run->v.nvmset.number,
	};
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_ns_create((uint8_t)run->v.csi.number);
	struct nsdk_nvme_cpl cpl;
	int status, format;

	if (run->v.block_size.given) {
		format = choose_format(run, &run->v.flbas, NSDK_NVME_NSID_ALL);
		if (format < 0)
			return TOOL_FAILED;
		wanted.flbas = (uint8_t)((format & 0xf) | (format & 0x30) << 1);
	}
	status = nvme_send(run, &cmd, &wanted, sizeof(wanted), &cpl);
	if (status == TOOL_DONE)
		printf("create-ns: Success, created nsid:%u\n", cpl.dw0);
	return status;
}

static const struct nvme_option create_options[] = {
	NVME_NUMBER_OPTION("nsze", 's', nsze, UINT64_MAX, "size in blocks"),
	NVME_NUMBER_OPTION("ncap", 'c', ncap, UINT64_MAX, "capacity in blocks"),
	NVME_NUMBER_OPTION("flbas", 'f', flbas, 255, "LBA format [0]"),
	NVME_NUMBER_OPTION("block-size", 'b', block_size, UINT64_MAX,
			   "the format with blocks of so many bytes and no metadata, instead"),
	NVME_NUMBER_OPTION("dps", 'd', dps, 255, "end-to-end protection [0]"),
	NVME_NUMBER_OPTION("nmic", 'm', nmic, 255, "sharing: 1 by several controllers [0]"),
	NVME_NUMBER_OPTION("anagrp-id", 'a', anagrp, UINT32_MAX, "ANA group"),
	NVME_NUMBER_OPTION("nvmset-id", 'i', nvmset, 65535, "NVM set"),
	NVME_NUMBER_OPTION("csi", 'y', csi, 255, "command set [0, NVM]"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_END,
};

const struct nvme_sub nvme_create_ns = {
	.name = "create-ns",
	.summary = "Create a namespace; attach-ns makes it usable",
	.options = create_options,
	.check = check_create,
	.run = run_create,
};

static int run_delete(struct nvme_run *run)
{
	uint32_t nsid = (uint32_t)run->v.nsid.number;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_ns_delete(nsid);
	int status = nvme_send(run, &cmd, NULL, 0, NULL);

	if (status == TOOL_DONE)
		printf("delete-ns: Success, deleted nsid:%u\n", nsid);
	return status;
}

static const struct nvme_option delete_options[] = {
	NVME_NSID_OPTION("this namespace; 0xffffffff for all"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_END,
};

const struct nvme_sub nvme_delete_ns = {
	.name = "delete-ns",
	.summary = "Delete a namespace: all its data is lost",
	.options = delete_options,
	.danger = "the namespace and all its data will be lost",
	.check = check_nsid,
	.run = run_delete,
};

/* ---- attach-ns, detach-ns ---- */

/* "0,2,5". @return 0; -1 it is something else, or too many. */
static int parse_controllers(const char *text, struct nsdk_nvme_ctrlr_list *list)
{
	char *words = strdup(text), *save = NULL;
	int rc = words ? 0 : -1;

	for (char *word = words ? strtok_r(words, ",", &save) : NULL; word != NULL && rc == 0;
	     word = strtok_r(NULL, ",", &save)) {
		uint64_t id;

		if (list->count == NSDK_NVME_CTRLR_LIST_ENTRIES ||
		    tool_parse_u64(word, 0, 65535, &id) != 0)
			rc = -1;
		else
			list->id[list->count++] = (uint16_t)id;
	}
	free(words);
	return list->count ? rc : -1;
}

static int check_attachment(struct nvme_run *run)
{
	struct nsdk_nvme_ctrlr_list list = { 0 };
	int status = check_nsid(run);

	if (status == TOOL_DONE && run->v.controllers.given &&
	    parse_controllers(run->v.controllers.text, &list) != 0)
		status = nvme_usage(run, "--controllers=%s: a list of controller IDs is wanted, as 0 or "
				    "0,1", run->v.controllers.text);
	return status;
}

static int attachment(struct nvme_run *run, bool detach)
{
	uint32_t nsid = (uint32_t)run->v.nsid.number;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_ns_attach(nsid, detach);
	struct nsdk_nvme_ctrlr_list list = { 0 };
	int status;

	if (run->v.controllers.given) {
		parse_controllers(run->v.controllers.text, &list);
	} else {
		list.count = 1;
		list.id[0] = nsdk_nvme_ctrlr_data(run->ctrlr)->cntlid;
	}
	status = nvme_send(run, &cmd, &list, sizeof(list), NULL);
	if (status == TOOL_DONE)
		printf("%s: Success, nsid:%u\n", run->sub->name, nsid);
	return status;
}

static int run_attach(struct nvme_run *run)
{
	return attachment(run, false);
}

static int run_detach(struct nvme_run *run)
{
	return attachment(run, true);
}

static const struct nvme_option attachment_options[] = {
	NVME_NSID_OPTION("this namespace"),
	NVME_TEXT_OPTION("controllers", 'c', controllers, "IDs of controllers, as 0,1 [this one]"),
	NVME_END,
};

const struct nvme_sub nvme_attach_ns = {
	.name = "attach-ns",
	.summary = "Attach a namespace to controllers",
	.options = attachment_options,
	.check = check_attachment,
	.run = run_attach,
};

const struct nvme_sub nvme_detach_ns = {
	.name = "detach-ns",
	.summary = "Detach a namespace from controllers; its data stays",
	.options = attachment_options,
	.check = check_attachment,
	.run = run_detach,
};
