/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme show-regs: the controller's registers, by nvme-cli's names.
 *
 * They are read with the driver attached, so what it has set is seen as well. A memory buffer of NVMe 1.4
 * says nothing of itself until it is asked to (CMBMSC.CRE), so it is.
 */
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>
#include <nsdk/bus.h>
#include <nsdk/nvme_spec.h>

#include "nvme.h"

static const struct reg {
	const char *text, *key;
	uint16_t offset;
	uint8_t bytes;
} regs[] = {
	{ "cap", "cap", NSDK_NVME_REG_CAP, 8 },
	{ "version", "vs", NSDK_NVME_REG_VS, 4 },
	{ "intms", "intms", NSDK_NVME_REG_INTMS, 4 },
	{ "intmc", "intmc", NSDK_NVME_REG_INTMC, 4 },
	{ "cc", "cc", NSDK_NVME_REG_CC, 4 },
	{ "csts", "csts", NSDK_NVME_REG_CSTS, 4 },
	{ "nssr", "nssr", NSDK_NVME_REG_NSSR, 4 },
	{ "crto", "crto", NSDK_NVME_REG_CRTO, 4 },
	{ "aqa", "aqa", NSDK_NVME_REG_AQA, 4 },
	{ "asq", "asq", NSDK_NVME_REG_ASQ, 8 },
	{ "acq", "acq", NSDK_NVME_REG_ACQ, 8 },
	{ "cmbloc", "cmbloc", NSDK_NVME_REG_CMBLOC, 4 },
	{ "cmbsz", "cmbsz", NSDK_NVME_REG_CMBSZ, 4 },
	{ "bpinfo", "bpinfo", NSDK_NVME_REG_BPINFO, 4 },
	{ "bprsel", "bprsel", NSDK_NVME_REG_BPRSEL, 4 },
	{ "bpmbl", "bpmbl", NSDK_NVME_REG_BPMBL, 8 },
	{ "cmbmsc", "cmbmsc", NSDK_NVME_REG_CMBMSC, 8 },
	{ "cmbsts", "cmbsts", NSDK_NVME_REG_CMBSTS, 4 },
	{ "pmrcap", "pmrcap", NSDK_NVME_REG_PMRCAP, 4 },
	{ "pmrctl", "pmrctl", NSDK_NVME_REG_PMRCTL, 4 },
	{ "pmrsts", "pmrsts", NSDK_NVME_REG_PMRSTS, 4 },
	{ "pmrebs", "pmrebs", NSDK_NVME_REG_PMREBS, 4 },
	{ "pmrswtp", "pmrswtp", NSDK_NVME_REG_PMRSWTP, 4 },
	{ "pmrmscl", "pmrmscl", NSDK_NVME_REG_PMRMSCL, 4 },
	{ "pmrmscu", "pmrmscu", NSDK_NVME_REG_PMRMSCU, 4 },
};

static int run_show_regs(struct nvme_run *run)
{
	struct json_object *object = NULL;
	struct nsdk_bar bar;
	uint64_t cap;

	if (nsdk_device_bar(run->dev, 0, &bar) != 0)
		return TOOL_FAILED;
	cap = nsdk_device_read64(run->dev, &bar, NSDK_NVME_REG_CAP);
	if ((cap & NSDK_NVME_CAP_CMBS) != 0)
		nsdk_device_write32(run->dev, &bar, NSDK_NVME_REG_CMBMSC, NSDK_NVME_CMBMSC_CRE);
	if (run->format == NVME_JSON)
		object = json_object_new_object();
	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		uint64_t value = regs[i].bytes == 8 ?
					 nsdk_device_read64(run->dev, &bar, regs[i].offset) :
					 nsdk_device_read32(run->dev, &bar, regs[i].offset);

		if (object != NULL)
			nvme_put(object, regs[i].key, value);
		else
			printf("%-8s: %" PRIx64 "\n", regs[i].text, value);
	}
	return object != NULL ? nvme_show_json(run, object) : TOOL_DONE;
}

static const struct nvme_option show_regs_options[] = { NVME_END };

const struct nvme_sub nvme_show_regs = {
	.name = "show-regs",
	.summary = "Show the controller's registers, as they are with this driver attached",
	.options = show_regs_options,
	.run = run_show_regs,
};
