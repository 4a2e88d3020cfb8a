/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copy (NVM 3.2.2): blocks to other places of their namespace, without coming here.
 *
 * The list of source ranges is a payload like any other. Its limits are the namespace's, and all of
 * them are checked here, so that a list that is too long fails the same way on every controller and
 * before anything was copied.
 */
#include "nvme_internal.h"

#include <errno.h>

#include <nsdk/nvme_fdp.h>

#include "fdp.h"

_Static_assert(offsetof(struct nsdk_nvme_copy_range, slba) ==
			       offsetof(struct nsdk_nvme_copy_range_f1, slba) &&
		       offsetof(struct nsdk_nvme_copy_range, blocks) ==
			       offsetof(struct nsdk_nvme_copy_range_f1, blocks),
	       "where a range is does not depend on the format");

/* @param[out] total  blocks of all ranges together. */
static int check_ranges(const struct nsdk_nvme_ns *ns, const uint8_t *ranges, size_t range_bytes,
			unsigned count, uint64_t *total)
{
	*total = 0;
	/* MSRC is 0's based; MSSRL and MCL are not (NVM figure 97). */
	if (count == 0 || count > ns->id.msrc + 1u)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_nvme_copy_range *range =
			(const void *)(ranges + i * range_bytes);
		uint32_t blocks = range->blocks + 1u;

		if (blocks > ns->id.mssrl || nsdk_nvme_check_blocks(ns, range->slba, blocks))
			return -EINVAL;
		*total += blocks;
	}
	return *total > ns->id.mcl ? -EINVAL : 0;
}

static int copy(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *ranges,
		unsigned format, size_t range_bytes, unsigned count, uint64_t lba, uint32_t flags,
		const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)ranges };
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_COPY,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = flags | format << 8 | (count - 1),
	};
	uint64_t total;
	int err = nsdk_nvme_check_command(ns, qp, cb, NSDK_NVME_ONCS_COPY);

	if (err)
		return err;
	/* Limits of no blocks are a controller that contradicts itself. */
	if (!(ns->ctrlr->id.ocfs & NSDK_NVME_OCFS_FORMAT(format)) || !ns->id.mssrl || !ns->id.mcl)
		return -EOPNOTSUPP;
	if ((flags & ~NVME_RW_FLAGS) || (payload.va & 3))
		return -EINVAL;
	if (ext)
		err = nsdk_nvme_directive_only(ns, &cmd, ext);
	if (!err)
		err = check_ranges(ns, ranges, range_bytes, count, &total);
	if (!err)
		err = nsdk_nvme_check_blocks(ns, lba, total);
	if (!err)
		/* The device only reads it: lines shared with others are written back, not lost. */
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, count * range_bytes, 1, 3);
	if (err)
		return err;
	nsdk_nvme_extra_copy(ns, &cmd, lba);
	return nsdk_nvme_issue(qp, &cmd, &payload, count * range_bytes, NSDK_DMA_TO_DEVICE, cb, ctx);
}

int nsdk_nvme_copy(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		   const struct nsdk_nvme_copy_range *ranges, unsigned count, uint64_t lba,
		   uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return copy(ns, qp, ranges, 0, sizeof(*ranges), count, lba, flags, NULL, cb, ctx);
}

int nsdk_nvme_copy_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		       const struct nsdk_nvme_copy_range *ranges, unsigned count, uint64_t lba,
		       const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb, void *ctx)
{
	return copy(ns, qp, ranges, 0, sizeof(*ranges), count, lba, ext->flags, ext, cb, ctx);
}

int nsdk_nvme_copy_f1(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		      const struct nsdk_nvme_copy_range_f1 *ranges, unsigned count, uint64_t lba,
		      uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return copy(ns, qp, ranges, 1, sizeof(*ranges), count, lba, flags, NULL, cb, ctx);
}
