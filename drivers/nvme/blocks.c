/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that say something about blocks and move no data: Write Zeroes, Write Uncorrectable, Verify.
 *
 * How large one may be does not follow from the largest transfer: the field for the number of blocks is
 * one limit, and the NVM command set's own Identify data has others. Larger ones are split.
 */
#include "nvme_internal.h"

#include <errno.h>

#include <nsdk/nvme_fdp.h>

#include "fdp.h"

#define WZ_FLAGS (NVME_RW_FLAGS | NSDK_NVME_WZ_DEALLOCATE)

/* A limit in units of 2^n pages of the smallest size; 0: none. */
static uint64_t limit_bytes(const struct nsdk_nvme_ctrlr *ctrlr, uint8_t n)
{
	unsigned shift = 12 + NSDK_NVME_CAP_MPSMIN(ctrlr->cap) + n;

	return n == 0 || shift > 62 ? UINT64_MAX : (uint64_t)1 << shift;
}

/* @param id  NULL: the controller does not say. */
void nsdk_nvme_blocks_limits(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_id_ctrl_nvm *id)
{
	if (!id) {
		/* It reads what it verifies, so what it can read in one go is sure to do. */
		ctrlr->verify_max_bytes = ctrlr->max_transfer_bytes;
		ctrlr->zeroes_max_bytes = UINT64_MAX;
		ctrlr->uncorrectable_max_bytes = UINT64_MAX;
		return;
	}
	ctrlr->verify_max_bytes = limit_bytes(ctrlr, id->vsl);
	ctrlr->zeroes_max_bytes = limit_bytes(ctrlr, id->wzsl);
	ctrlr->uncorrectable_max_bytes = limit_bytes(ctrlr, id->wusl);
}

/* The most blocks of one such command. */
uint32_t nsdk_nvme_blocks_max(const struct nsdk_nvme_ns *ns, uint8_t opcode)
{
	uint64_t bytes = opcode == NSDK_NVME_NVM_VERIFY	      ? ns->ctrlr->verify_max_bytes :
			 opcode == NSDK_NVME_NVM_WRITE_ZEROES ? ns->ctrlr->zeroes_max_bytes :
								ns->ctrlr->uncorrectable_max_bytes;
	uint64_t blocks = bytes >> ns->block_shift;

	/* A block above the limit: the controller will say what it thinks of that. */
	if (blocks == 0)
		return 1;
	return blocks < NVME_COMMAND_BLOCKS ? (uint32_t)blocks : NVME_COMMAND_BLOCKS;
}

static int command(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint8_t opcode, uint16_t oncs,
		   uint64_t lba, uint32_t blocks, uint32_t flags, uint32_t allowed,
		   const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = flags,
	};
	struct nvme_extra extra;
	int err = nsdk_nvme_check_command(ns, qp, cb, oncs);

	if (!err && (flags & ~allowed))
		err = -EINVAL;
	if (!err && ext)
		err = nsdk_nvme_directive_only(ns, &cmd, ext);
	if (!err)
		err = nsdk_nvme_check_blocks(ns, lba, blocks);
	if (err)
		return err;
	nsdk_nvme_extra_blocks(ns, &cmd, lba, &extra);
	if (blocks > nsdk_nvme_blocks_max(ns, opcode) ||
	    (opcode == NSDK_NVME_NVM_VERIFY && nvme_cut(ns, lba, blocks) < blocks))
		return nsdk_nvme_split_start(ns, qp, &cmd, NULL, &extra, NSDK_DMA_TO_DEVICE, lba,
					     blocks, cb, ctx);
	cmd.cdw12 |= blocks - 1;
	return nsdk_nvme_issue(qp, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, cb, ctx);
}

int nsdk_nvme_write_zeroes(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
			   uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return command(ns, qp, NSDK_NVME_NVM_WRITE_ZEROES, NSDK_NVME_ONCS_WRITE_ZEROES, lba, blocks,
		       flags, WZ_FLAGS, NULL, cb, ctx);
}

int nsdk_nvme_write_zeroes_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
			       uint32_t blocks, const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb,
			       void *ctx)
{
	return command(ns, qp, NSDK_NVME_NVM_WRITE_ZEROES, NSDK_NVME_ONCS_WRITE_ZEROES, lba, blocks,
		       ext->flags, WZ_FLAGS, ext, cb, ctx);
}

int nsdk_nvme_write_uncorrectable(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
				  uint32_t blocks, nsdk_nvme_cb cb, void *ctx)
{
	return command(ns, qp, NSDK_NVME_NVM_WRITE_UNCORRECTABLE, NSDK_NVME_ONCS_WRITE_UNCORRECTABLE,
		       lba, blocks, 0, 0, NULL, cb, ctx);
}

int nsdk_nvme_verify(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
		     uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return command(ns, qp, NSDK_NVME_NVM_VERIFY, NSDK_NVME_ONCS_VERIFY, lba, blocks, flags,
		       NVME_RW_FLAGS, NULL, cb, ctx);
}
