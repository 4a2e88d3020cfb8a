/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Identify (Base 5.17, NVM 4.1.5).
 */
#include <stdio.h>
#include <string.h>

#include <nsdk/version.h>

#include "nvme_fdp.h"
#include "nvme_pi.h"
#include "nvme_zns.h"

#define IDENTIFY_BYTES 4096u


#define ONCS_SAVE_SELECT (1u << 4)
#define LPA_COMMANDS (1u << 1)
#define LPA_OFFSET (1u << 2)
#define VWC_FLUSH_ALL (3u << 1) /* flush to NSID FFFFFFFFh is supported */
#define CNTRLTYPE_IO 1u
#define RESCAP_ALL 0xffu /* every type, persistence, and IEKEY as since 1.3 */
#define FRMW_SLOTS 0x05u /* two, the first read-only */
#define FNA_ALL 0x03u /* format and secure erase are of all namespaces */
#define SANICAP_BLOCK_ERASE 0x02u
#define DLFEAT_ZEROES 0x01u /* deallocated blocks read as zeroes */
#define DLFEAT_WZ_DEALLOCATE 0x08u

/* Namespace identification descriptors (Base figure 277) */
#define NIDT_UUID 3u
#define NIDT_CSI 4u
#define UUID_BYTES 16u

static void put_text(char *field, size_t bytes, const char *text)
{
	size_t chars = strlen(text);

	memset(field, ' ', bytes);
	memcpy(field, text, chars < bytes ? chars : bytes);
}

/* FNV-1a: what is told of a device must stay the same as long as its blocks do. */
static uint64_t hash(const char *text, uint64_t more)
{
	uint64_t value = UINT64_C(0xcbf29ce484222325) ^ more;

	for (; *text; text++)
		value = (value ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return (value ^ value >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

/* A version 8 UUID (made by rules of its own), from where the blocks are and the NSID. */
static void fill_uuid(const struct emu_nvme *ctrl, uint64_t number, uint8_t *out)
{
	uint64_t halves[2] = { hash(ctrl->opts.file, number), hash(ctrl->opts.file, ~number) };

	memcpy(out, halves, UUID_BYTES);
	out[6] = (uint8_t)(0x80 | (out[6] & 0x0f));
	out[8] = (uint8_t)(0x80 | (out[8] & 0x3f));
}

static void fill_controller(const struct emu_nvme *ctrl, void *out)
{
	struct nsdk_nvme_id_ctrl *id = out;
	uint64_t bytes = ctrl->opts.size_bytes * ctrl->opts.namespaces, unused = 0;
	uint8_t uuid[UUID_BYTES];
	char text[32];

	id->vid = 0xfff0; /* as in config space */
	id->ssvid = 0xfff0;
	snprintf(text, sizeof(text), "NSDK%016llx",
		 (unsigned long long)hash(ctrl->opts.file, 0));
	put_text(id->sn, sizeof(id->sn), text);
	put_text(id->mn, sizeof(id->mn), "NSDK emulated NVMe");
	memcpy(id->fr, ctrl->firmware.revision[ctrl->firmware.active - 1], sizeof(id->fr));
	id->mdts = (uint8_t)ctrl->opts.mdts;
	id->ver = EMU_NVME_VERSION;
	id->rtd3e = 1000000;
	id->cntrltype = CNTRLTYPE_IO;
	id->oaes = EMU_NVME_EVENTS_NAMESPACES;
	id->oacs = NSDK_NVME_OACS_SECURITY | NSDK_NVME_OACS_FORMAT | NSDK_NVME_OACS_FIRMWARE |
		   NSDK_NVME_OACS_NS_MANAGEMENT | NSDK_NVME_OACS_SELF_TEST |
		   (ctrl->opts.dbbuf ? NSDK_NVME_OACS_DBBUF : 0);
	emu_nvme_hmb_identify(ctrl, id);
	emu_nvme_fdp_identify(ctrl, id);
	id->acl = 3;
	id->aerl = EMU_NVME_AERS - 1;
	id->ctratt |= NSDK_NVME_CTRATT_GRANULARITY | NSDK_NVME_CTRATT_UUID_LIST;
	id->frmw = FRMW_SLOTS;
	id->lpa = LPA_COMMANDS | LPA_OFFSET;
	id->mnan = ctrl->opts.namespaces;
	emu_nvme_reports_identify(ctrl, id);
	id->elpe = EMU_NVME_ERRORS - 1;
	id->wctemp = 343;
	id->cctemp = 373;
	memcpy(id->tnvmcap, &bytes, sizeof(bytes));
	for (unsigned i = 0; i < ctrl->opts.namespaces; i++)
		if (!ctrl->namespaces[i].allocated)
			unused += ctrl->opts.size_bytes;
	memcpy(id->unvmcap, &unused, sizeof(unused));
	id->edstt = 1; /* minutes */
	id->fwug = 1;
	id->sanicap = SANICAP_BLOCK_ERASE;
	id->fna = FNA_ALL;
	id->sqes = 0x66;
	id->cqes = 0x44;
	id->nn = ctrl->opts.namespaces;
	id->oncs = NSDK_NVME_ONCS_COMPARE | NSDK_NVME_ONCS_WRITE_UNCORRECTABLE | NSDK_NVME_ONCS_DSM |
		   NSDK_NVME_ONCS_WRITE_ZEROES | ONCS_SAVE_SELECT | NSDK_NVME_ONCS_RESERVATIONS |
		   NSDK_NVME_ONCS_VERIFY | NSDK_NVME_ONCS_COPY;
	id->fuses = NSDK_NVME_FUSES_COMPARE_AND_WRITE;
	if (ctrl->zns) {
		/* What is written is not written again, and what is not needed is reset by the zone. */
		id->oncs &= (uint16_t)~NSDK_NVME_ONCS_DSM;
		id->fuses = 0;
	}
	if (ctrl->opts.ms) {
		id->ctratt |= NSDK_NVME_CTRATT_ELBAS;
		id->fuses = 0; /* nobody compares metadata in one go with a write */
	}
	id->acwu = (uint16_t)((EMU_NVME_EXTENT_BYTES >> ctrl->lba_shift) - 1);
	id->ocfs = NSDK_NVME_OCFS_FORMAT(0) | NSDK_NVME_OCFS_FORMAT(1);
	id->sgls = ctrl->opts.sgl == EMU_NVME_SGL_NONE ? 0 :
		   ctrl->opts.sgl == EMU_NVME_SGL_ANY  ? NSDK_NVME_SGLS_ANY_ALIGNMENT :
							 NSDK_NVME_SGLS_DWORD_ALIGNMENT;
	id->vwc = VWC_FLUSH_ALL | (ctrl->opts.write_cache ? NSDK_NVME_VWC_PRESENT : 0);
	fill_uuid(ctrl, 0, uuid);
	snprintf(id->subnqn, sizeof(id->subnqn),
		 "nqn.2014-08.org.nvmexpress:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 uuid[0], uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8],
		 uuid[9], uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
	id->psd[0].mp = 500; /* hundredths of a watt */
}

/* What all namespaces have in common is NSID FFFFFFFFh's. */
static void fill_namespace(const struct emu_nvme *ctrl, uint32_t nsid, void *out)
{
	struct nsdk_nvme_id_ns *id = out;

	if (nsid != NSDK_NVME_NSID_ALL) {
		id->nsze = ctrl->namespaces[nsid - 1].blocks;
		id->ncap = id->nsze;
		id->nuse = id->nsze;
	}
	id->dlfeat = DLFEAT_ZEROES | DLFEAT_WZ_DEALLOCATE;
	id->rescap = RESCAP_ALL;
	id->mssrl = EMU_NVME_MSSRL;
	id->mcl = EMU_NVME_MCL;
	id->msrc = EMU_NVME_MSRC - 1;
	id->endgid = ctrl->fdp ? 1 : 0;
	emu_nvme_md_identify(ctrl, id);
	id->anagrpid = ctrl->opts.ana;
	if (ctrl->opts.fault == EMU_NVME_FAULT_IDENTIFY) {
		id->flbas = 0xf;
		id->nuse = UINT64_MAX;
	}
}

static void fill_independent_namespace(const struct emu_nvme *ctrl, void *out)
{
	struct nsdk_nvme_id_ns_independent *id = out;

	id->rescap = RESCAP_ALL;
	id->anagrpid = ctrl->opts.ana;
	id->endgid = ctrl->fdp ? 1 : 0;
	id->nstat = 1;
}

/* Of all namespaces. */
static uint8_t csi_of(const struct emu_nvme *ctrl)
{
	return ctrl->zns ? NSDK_NVME_CSI_ZNS : NSDK_NVME_CSI_NVM;
}

static void fill_descriptors(const struct emu_nvme *ctrl, uint32_t nsid, uint8_t *out)
{
	out[0] = NIDT_UUID;
	out[1] = UUID_BYTES;
	fill_uuid(ctrl, nsid, out + 4);
	out += 4 + UUID_BYTES;
	out[0] = NIDT_CSI;
	out[1] = 1;
	out[4] = csi_of(ctrl);
}

/* Whether there is such a command set here. A zoned namespace has that of NVM as well. */
static bool knows_csi(const struct emu_nvme *ctrl, unsigned csi)
{
	return csi == NSDK_NVME_CSI_NVM || csi == csi_of(ctrl);
}

/* The NSIDs above one: of all namespaces, or of those that are attached, of any or of one command set. */
static uint16_t fill_list(const struct emu_nvme *ctrl, uint32_t above, bool all, unsigned csi, void *out)
{
	uint32_t *list = out;

	if (above >= NSDK_NVME_NSID_ALL - 1)
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (!knows_csi(ctrl, csi))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (csi != csi_of(ctrl))
		return 0;
	for (uint32_t nsid = above + 1, i = 0;
	     nsid <= ctrl->opts.namespaces && i < NSDK_NVME_NS_LIST_ENTRIES; nsid++)
		if (all ? ctrl->namespaces[nsid - 1].allocated : ctrl->namespaces[nsid - 1].attached)
			list[i++] = nsid;
	return 0;
}

/* Controllers, of which there is number 0; @p from is the lowest that is asked for. */
static void fill_controllers(bool any, unsigned from, void *out)
{
	struct nsdk_nvme_ctrlr_list *list = out;

	list->count = any && from == 0;
}

/* Endurance groups, of which data is placed in number 1; @p from is the lowest that is asked for. */
static void fill_groups(unsigned from, void *out)
{
	uint16_t *list = out;

	list[0] = from <= 1;
	list[1] = list[0];
}

/* What a namespace of one format can do, whichever it is. @return a status. */
static uint16_t fill_format(const struct emu_nvme *ctrl, unsigned format, void *out)
{
	struct nsdk_nvme_id_ns *id = out;

	if (format >= emu_nvme_formats(ctrl))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	emu_nvme_md_identify(ctrl, id);
	id->dlfeat = DLFEAT_ZEROES | DLFEAT_WZ_DEALLOCATE;
	/* These are of one namespace, and of formats that have metadata. */
	id->flbas = 0;
	id->dps = 0;
	if (id->lbaf[format].ms == 0) {
		id->mc = 0;
		id->dpc = 0;
	}
	return 0;
}

static uint16_t fill_csi_format(const struct emu_nvme *ctrl, unsigned csi, unsigned format, void *out)
{
	if (format >= emu_nvme_formats(ctrl) || !knows_csi(ctrl, csi))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (csi == NSDK_NVME_CSI_ZNS)
		emu_nvme_zns_identify_ns(ctrl, out);
	else
		emu_nvme_md_identify_nvm(ctrl, out);
	return 0;
}

/* Of each format: whole blocks, or whole zones. */
static void fill_granularities(const struct emu_nvme *ctrl, void *out)
{
	struct nsdk_nvme_granularity_list *list = out;
	struct nsdk_nvme_id_ns formats = { 0 };

	emu_nvme_md_identify(ctrl, &formats);
	list->attributes = 1;
	list->last = formats.nlbaf;
	for (unsigned i = 0; i <= formats.nlbaf; i++) {
		list->entry[i].size = ctrl->zns ? ctrl->opts.zone_bytes :
						  UINT64_C(1) << formats.lbaf[i].lbads;
		list->entry[i].capacity = list->entry[i].size;
	}
}

/* Nobody's, so that there is something to be shown: the model's own, and one without an association. */
static void fill_uuids(const struct emu_nvme *ctrl, void *out)
{
	/* Version 8, too. */
	static const uint8_t model[UUID_BYTES] = { 'N', 'S', 'D', 'K', ' ', 'e', 0x80, 'm', 0x80, 'u' };
	struct nsdk_nvme_uuid_list *list = out;

	list->entry[0].association = 1;
	memcpy(list->entry[0].uuid, model, sizeof(model));
	fill_uuid(ctrl, 0, list->entry[1].uuid);
}

static bool needs_namespace(unsigned cns)
{
	switch (cns) {
	case NSDK_NVME_CNS_NS:
	case NSDK_NVME_CNS_NS_DESC_LIST:
	case NSDK_NVME_CNS_CSI_NS:
	case NSDK_NVME_CNS_INDEPENDENT_NS:
	case NSDK_NVME_CNS_ALLOCATED_NS:
	case NSDK_NVME_CNS_NS_CTRLR_LIST:
		return true;
	default:
		return false;
	}
}

/* A valid NSID that is not in use gives zeroes (Base 5.17.2.2). */
static bool is_empty(const struct emu_nvme *ctrl, unsigned cns, uint32_t nsid)
{
	if (!needs_namespace(cns) || nsid == NSDK_NVME_NSID_ALL)
		return false;
	return cns == NSDK_NVME_CNS_ALLOCATED_NS || cns == NSDK_NVME_CNS_NS_CTRLR_LIST ?
		       !emu_nvme_ns_allocated(ctrl, nsid) : !emu_nvme_ns_attached(ctrl, nsid);
}

int emu_nvme_identify(struct emu_nvme_req *req)
{
	const struct emu_nvme *ctrl = req->ctrl;
	uint32_t nsid = req->cmd->nsid;
	unsigned cns = req->cmd->cdw10 & 0xff, csi = req->cmd->cdw11 >> 24;
	union {
		uint8_t bytes[IDENTIFY_BYTES];
		uint64_t aligned;
	} out = { .bytes = { 0 } };
	uint16_t status = 0;

	if (needs_namespace(cns) && (nsid == 0 || nsid > ctrl->opts.namespaces) &&
	    !(cns == NSDK_NVME_CNS_NS && nsid == NSDK_NVME_NSID_ALL))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (is_empty(ctrl, cns, nsid))
		return emu_nvme_data_reply(req, out.bytes, sizeof(out.bytes), sizeof(out.bytes));
	switch (cns) {
	case NSDK_NVME_CNS_NS:
	case NSDK_NVME_CNS_ALLOCATED_NS:
		fill_namespace(ctrl, nsid, out.bytes);
		break;
	case NSDK_NVME_CNS_NS_CTRLR_LIST:
		fill_controllers(emu_nvme_ns_attached(ctrl, nsid), req->cmd->cdw10 >> 16, out.bytes);
		break;
	case NSDK_NVME_CNS_CTRLR_LIST:
		fill_controllers(true, req->cmd->cdw10 >> 16, out.bytes);
		break;
	case NSDK_NVME_CNS_ENDGRP_LIST:
		if (ctrl->fdp)
			fill_groups(req->cmd->cdw11 & 0xffff, out.bytes);
		else
			status = EMU_NVME_GENERIC(INVALID_FIELD);
		break;
	case NSDK_NVME_CNS_CTRLR:
		fill_controller(ctrl, out.bytes);
		break;
	case NSDK_NVME_CNS_ACTIVE_NS_LIST:
	case NSDK_NVME_CNS_ALLOCATED_NS_LIST:
		status = fill_list(ctrl, nsid, cns == NSDK_NVME_CNS_ALLOCATED_NS_LIST, csi_of(ctrl),
				   out.bytes);
		break;
	case NSDK_NVME_CNS_NS_DESC_LIST:
		fill_descriptors(ctrl, nsid, out.bytes);
		break;
	case NSDK_NVME_CNS_CSI_NS:
		if (!knows_csi(ctrl, csi))
			status = EMU_NVME_GENERIC(INVALID_FIELD);
		else if (csi == NSDK_NVME_CSI_ZNS)
			emu_nvme_zns_identify_ns(ctrl, out.bytes);
		else
			emu_nvme_md_identify_nvm(ctrl, (void *)out.bytes);
		break;
	case NSDK_NVME_CNS_CSI_CTRLR:
		if (!knows_csi(ctrl, csi))
			status = EMU_NVME_GENERIC(INVALID_FIELD);
		else if (csi == NSDK_NVME_CSI_ZNS)
			emu_nvme_zns_identify_ctrlr(ctrl, out.bytes);
		else
			out.bytes[offsetof(struct nsdk_nvme_id_ctrl_nvm, vsl)] = EMU_NVME_VSL;
		break;
	case NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST:
	case NSDK_NVME_CNS_CSI_ALLOCATED_NS_LIST:
		status = fill_list(ctrl, nsid, cns == NSDK_NVME_CNS_CSI_ALLOCATED_NS_LIST, csi, out.bytes);
		break;
	case NSDK_NVME_CNS_INDEPENDENT_NS:
		fill_independent_namespace(ctrl, out.bytes);
		break;
	case NSDK_NVME_CNS_FORMAT_NS:
		status = fill_format(ctrl, req->cmd->cdw11 & 0xffff, out.bytes);
		break;
	case NSDK_NVME_CNS_CSI_FORMAT_NS:
		status = fill_csi_format(ctrl, csi, req->cmd->cdw11 & 0xffff, out.bytes);
		break;
	case NSDK_NVME_CNS_GRANULARITY_LIST:
		fill_granularities(ctrl, out.bytes);
		break;
	case NSDK_NVME_CNS_UUID_LIST:
		fill_uuids(ctrl, out.bytes);
		break;
	case NSDK_NVME_CNS_IO_COMMAND_SETS:
		/* Combination 0 has all that there are. */
		out.bytes[0] = (uint8_t)(1u << NSDK_NVME_CSI_NVM | 1u << csi_of(ctrl));
		break;
	default:
		status = EMU_NVME_GENERIC(INVALID_FIELD);
	}
	if (status)
		return status;
	return emu_nvme_data_reply(req, out.bytes, sizeof(out.bytes), sizeof(out.bytes));
}
