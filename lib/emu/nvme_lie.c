/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lies to order (fault=): completions that cannot be, a ready bit that flaps, events without end. What the
 * commands do is done as it should be; only what is said of it is wrong. But for one, which writes where it
 * was not told to.
 */
#include <errno.h>
#include <string.h>

#include "nvme_internal.h"

/* No host has so many commands in a queue. */
#define CID_OF_NOBODY 0xfffeu
#define OVERRUN_BYTE 0xee

uint64_t emu_nvme_fault_counts(struct emu_nvme *ctrl)
{
	return atomic_fetch_add_explicit(&ctrl->fault_count, 1, memory_order_relaxed) + 1;
}

bool emu_nvme_is_faulty(const struct emu_nvme *ctrl, uint64_t number)
{
	if (number == 0)
		return false;
	return ctrl->opts.fault_again ? number % ctrl->opts.fault_at == 0 :
					number == ctrl->opts.fault_at;
}

unsigned emu_nvme_lie(struct emu_nvme *ctrl, const struct emu_nvme_sq *sq, struct nsdk_nvme_cpl *cpl)
{
	if (ctrl->opts.fault < EMU_NVME_FAULT_BAD_CID || ctrl->opts.fault_in_admin != (sq->id == 0) ||
	    !emu_nvme_is_faulty(ctrl, emu_nvme_fault_counts(ctrl)))
		return 1;
	switch (ctrl->opts.fault) {
	case EMU_NVME_FAULT_BAD_CID:
		cpl->cid = CID_OF_NOBODY;
		break;
	case EMU_NVME_FAULT_PHASE:
		cpl->status ^= NSDK_NVME_STATUS_PHASE;
		break;
	case EMU_NVME_FAULT_BAD_QID:
		cpl->sqid++;
		break;
	case EMU_NVME_FAULT_BAD_HEAD:
		cpl->sqhd = (uint16_t)sq->entries;
		break;
	default:
		return 2;
	}
	return 1;
}

bool emu_nvme_lie_overrun(struct emu_nvme_req *req, uint64_t number)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct nsdk_emu_dma *dma = &ctrl->model.dma;
	uint8_t page[EMU_NVME_PAGE];

	if (ctrl->opts.fault != EMU_NVME_FAULT_OVERRUN)
		return false;
	if (emu_nvme_is_faulty(ctrl, number))
		atomic_store(&ctrl->overruns, true);
	if (req->past_iova == 0 || !atomic_exchange(&ctrl->overruns, false))
		return false;
	memset(page, OVERRUN_BYTE, sizeof(page));
	/*
	 * Writes are posted: the device learns nothing of one that the IOMMU refuses, and no completion tells
	 * of it. The platform knows, and takes the link down (Downstream Port Containment).
	 */
	if (nsdk_emu_dma_write(dma, req->past_iova, page, sizeof(page), req->nosnoop_data, req->owner) !=
	    -EFAULT)
		return false;
	atomic_store(&dma->contained_iova, req->past_iova);
	emu_nvme_pull_out(ctrl);
	return true;
}

void emu_nvme_lie_behind(struct emu_nvme *ctrl)
{
	if (ctrl->opts.fault == EMU_NVME_FAULT_FLAP)
		atomic_store(&ctrl->flaps, true);
	else if (ctrl->opts.fault == EMU_NVME_FAULT_STORM)
		atomic_store(&ctrl->storms, true);
}

void emu_nvme_lie_reset(struct emu_nvme *ctrl)
{
	atomic_store(&ctrl->flaps, false);
	atomic_store(&ctrl->storms, false);
	atomic_store(&ctrl->overruns, false);
}
