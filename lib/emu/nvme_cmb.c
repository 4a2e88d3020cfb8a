/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller memory buffer (Base 8.5), with cmb=SIZE: the end of BAR 0, behind the doorbells.
 *
 * The host says at which addresses it is (CMBMSC); DMA there goes to the BAR's memory and no further, see
 * struct nsdk_emu_dma. What it may be used for is what cmb_for= says, and any other use is refused with the
 * status that the specification has for it. A host that uses the addresses before it has enabled them, or
 * others, meets an IOMMU that knows nothing of them. Every reset leaves nothing in it of what was there.
 */
#include <errno.h>
#include <string.h>

#include <nsdk/log.h>

#include "nvme_internal.h"

#define LOST 0xa5

static const struct {
	const char *word;
	uint32_t size_bits, loc_bits;
} uses[] = {
	{ "sq", NSDK_NVME_CMBSZ_SQS, 0 },
	{ "cq", NSDK_NVME_CMBSZ_CQS, 0 },
	{ "lists", NSDK_NVME_CMBSZ_LISTS, 0 },
	{ "read", NSDK_NVME_CMBSZ_RDS, 0 },
	{ "write", NSDK_NVME_CMBSZ_WDS, 0 },
	{ "data", NSDK_NVME_CMBSZ_RDS | NSDK_NVME_CMBSZ_WDS, 0 },
	{ "mixed", 0, NSDK_NVME_CMBLOC_CDMMMS },
};

int emu_nvme_cmb_parse(const char *text, struct emu_nvme_opts *out)
{
	while (*text) {
		size_t chars = strcspn(text, "+"), i = 0;

		while (i < sizeof(uses) / sizeof(uses[0]) &&
		       (strlen(uses[i].word) != chars || memcmp(uses[i].word, text, chars) != 0))
			i++;
		if (i == sizeof(uses) / sizeof(uses[0]))
			return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
					 "emu:nvme: cmb_for=…%.*s: words of sq, cq, lists, read, write, data, "
					 "mixed are wanted, with + between them", (int)chars, text);
		out->cmb_size_bits |= uses[i].size_bits;
		out->cmb_loc_bits |= uses[i].loc_bits;
		text += chars + (text[chars] == '+');
	}
	return 0;
}

static uint8_t *memory(const struct emu_nvme *ctrl)
{
	return ctrl->bar0 + ctrl->cmb.offset;
}

void emu_nvme_cmb_init(struct emu_nvme *ctrl)
{
	if (!ctrl->opts.cmb_bytes)
		return;
	ctrl->cap |= NSDK_NVME_CAP_CMBS;
	emu_nvme_cmb_reset(ctrl, true);
}

void emu_nvme_cmb_reset(struct emu_nvme *ctrl, bool function)
{
	if (!ctrl->opts.cmb_bytes)
		return;
	memset(memory(ctrl), LOST, ctrl->opts.cmb_bytes);
	/* A reset of the controller alone leaves the register as it is (Base 3.1.3.16). */
	if (function)
		emu_nvme_cmb_write(ctrl, 0);
}

void emu_nvme_cmb_write(struct emu_nvme *ctrl, uint64_t cmbmsc)
{
	struct emu_nvme_cmb *cmb = &ctrl->cmb;
	uint64_t cba = cmbmsc & ~(uint64_t)(EMU_NVME_PAGE - 1);
	bool enabled = (cmbmsc & NSDK_NVME_CMBMSC_CRE) && (cmbmsc & NSDK_NVME_CMBMSC_CMSE);

	if (!ctrl->opts.cmb_bytes)
		return;
	cmb->msc = cmbmsc & (cba | NSDK_NVME_CMBMSC_CRE | NSDK_NVME_CMBMSC_CMSE);
	cmb->invalid = enabled && cba + (ctrl->opts.cmb_bytes - 1) < cba;
	ctrl->model.dma.own = (struct nsdk_emu_own){ 0 };
	if (enabled && !cmb->invalid)
		ctrl->model.dma.own = (struct nsdk_emu_own){
			.iova = cba,
			.bytes = ctrl->opts.cmb_bytes,
			.va = memory(ctrl),
		};
}

uint32_t emu_nvme_cmb_read(const struct emu_nvme *ctrl, size_t offset)
{
	const struct emu_nvme_cmb *cmb = &ctrl->cmb;
	bool shown = cmb->msc & NSDK_NVME_CMBMSC_CRE;

	switch (offset) {
	case NSDK_NVME_REG_CMBLOC: /* BAR 0 */
		return shown ? (uint32_t)(cmb->offset / EMU_NVME_PAGE) << 12 | ctrl->opts.cmb_loc_bits : 0;
	case NSDK_NVME_REG_CMBSZ: /* in 4 KiB */
		return shown ? (uint32_t)(ctrl->opts.cmb_bytes / EMU_NVME_PAGE) << 12 |
				       ctrl->opts.cmb_size_bits : 0;
	case NSDK_NVME_REG_CMBMSC:
		return (uint32_t)cmb->msc;
	case NSDK_NVME_REG_CMBMSC + 4:
		return (uint32_t)(cmb->msc >> 32);
	default:
		return cmb->invalid ? NSDK_NVME_CMBSTS_CBAI : 0;
	}
}

static bool is_inside(const struct emu_nvme *ctrl, uint64_t iova)
{
	return iova - ctrl->model.dma.own.iova < ctrl->model.dma.own.bytes;
}

uint16_t emu_nvme_cmb_queue(const struct emu_nvme *ctrl, uint64_t iova, uint64_t bytes, uint32_t support)
{
	bool first = is_inside(ctrl, iova), last = is_inside(ctrl, iova + bytes - 1);

	if (!first && !last)
		return 0;
	return first && last && (ctrl->opts.cmb_size_bits & support) ? 0 : EMU_NVME_GENERIC(INVALID_CMB_USE);
}

uint16_t emu_nvme_cmb_list(const struct emu_nvme_req *req, uint64_t iova)
{
	return is_inside(req->ctrl, iova) && !(req->ctrl->opts.cmb_size_bits & NSDK_NVME_CMBSZ_LISTS) ?
		       EMU_NVME_GENERIC(INVALID_CMB_USE) : 0;
}

uint16_t emu_nvme_cmb_data(struct emu_nvme_req *req, uint64_t iova, uint32_t support)
{
	struct emu_nvme_prp *prp = &req->prp;
	bool inside = is_inside(req->ctrl, iova);

	/* All of a command's data is there, or none of it. */
	if (prp->placed && prp->inside != inside && !(req->ctrl->opts.cmb_loc_bits & NSDK_NVME_CMBLOC_CDMMMS))
		return EMU_NVME_GENERIC(INVALID_CMB_USE);
	prp->placed = true;
	prp->inside = inside;
	return inside && !(req->ctrl->opts.cmb_size_bits & support) ? EMU_NVME_GENERIC(INVALID_CMB_USE) : 0;
}
