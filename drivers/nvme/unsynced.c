/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O without syncs for its data (unsynced.h). To the ring it is a command without a payload that
 * happens to have PRPs: nsdk_nvme_issue() then has nothing to flush and nothing to take back.
 */
#include "unsynced.h"

#include <errno.h>

#include "nvme_internal.h"

int nsdk_nvme_rw_unsynced(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint8_t opcode,
			  void *buf, uint64_t lba, uint32_t blocks, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };
	size_t bytes = (size_t)blocks << ns->block_shift;
	struct nsdk_nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = (blocks - 1) & 0xffff,
	};
	struct nvme_prps prps;
	uint64_t second;
	int err;

	if (!cb || ns->ctrlr != qp->ctrlr ||
	    (opcode != NSDK_NVME_NVM_READ && opcode != NSDK_NVME_NVM_WRITE))
		return -EINVAL;
	if (ns->refusal)
		return ns->refusal;
	if (ns->metadata.bytes)
		return -ENOTSUP;
	if (blocks == 0 || blocks > ns->max_blocks || lba >= ns->blocks || blocks > ns->blocks - lba)
		return -EINVAL;
	err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, bytes, 1, qp->align_mask);
	if (err)
		return err;
	/* A list of pages is the device's to read, so it would have to be synced: room for one entry,
	 * which moves into PRP2, is room for none. */
	err = nsdk_nvme_prp_build(qp->ctrlr->map, payload, bytes, &second, 1, 0, &prps);
	if (err)
		return err;
	cmd.prp1 = prps.prp1;
	cmd.prp2 = prps.prp2;
	return nsdk_nvme_issue(qp, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, cb, ctx);
}
