/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lies to order (fault=): completions that cannot be, a ready bit that flaps, events without end. What the
 * commands do is done as it should be; only what is said of it is wrong.
 */
#include "nvme_internal.h"

/* No host has so many commands in a queue. */
#define CID_OF_NOBODY 0xfffeu

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
}
