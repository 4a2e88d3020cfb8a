/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compare and Write (NVM 2.1.4, Base 3.4.2): two fused commands that are one to whoever asks for it.
 *
 * They lie side by side in the ring and are announced together, take a tracker each, and come back as
 * two completions in any order; the callback runs behind the second. When the comparison fails, the
 * write is aborted ("Failed Fused Command"), and what is told is the comparison's status. A status of
 * the write is told where the comparison was well.
 *
 * Nothing here may be split or tried again by halves: what one command cannot say is refused.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>

struct nvme_fused {
	nsdk_nvme_cb cb;
	void *ctx;
	struct nsdk_nvme_qpair *qp;
	struct nvme_fused *next_free;
	unsigned left; /* commands in flight */
	struct nsdk_nvme_cpl compare, write;
};

int nsdk_nvme_fused_create(struct nsdk_nvme_qpair *qp)
{
	if (!(qp->ctrlr->id.fuses & NSDK_NVME_FUSES_COMPARE_AND_WRITE))
		return 0;
	/* As many as could each have one of their commands in flight. */
	qp->fused = calloc(qp->tracker_count, sizeof(*qp->fused));
	if (!qp->fused)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u requests",
				 nsdk_device_name(qp->dev), qp->tracker_count);
	for (uint32_t i = qp->tracker_count; i-- > 0;) {
		qp->fused[i].qp = qp;
		qp->fused[i].next_free = qp->fused_free;
		qp->fused_free = &qp->fused[i];
	}
	return 0;
}

void nsdk_nvme_fused_destroy(struct nsdk_nvme_qpair *qp)
{
	free(qp->fused);
}

static void one_done(struct nvme_fused *fused)
{
	struct nsdk_nvme_qpair *qp = fused->qp;
	struct nsdk_nvme_cpl cpl;
	nsdk_nvme_cb cb = fused->cb;
	void *ctx = fused->ctx;

	qp->split_children--;
	qp->poll_correction--;
	if (--fused->left)
		return;
	cpl = nsdk_nvme_cpl_ok(&fused->compare) ? fused->write : fused->compare;
	/* The callback may use the record again. */
	fused->next_free = qp->fused_free;
	qp->fused_free = fused;
	qp->split_count--;
	qp->poll_correction++;
	cb(ctx, &cpl);
}

static void compare_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_fused *fused = ctx;

	fused->compare = *cpl;
	one_done(fused);
}

static void write_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_fused *fused = ctx;

	fused->write = *cpl;
	one_done(fused);
}

/* The Atomic Compare & Write Unit, in blocks: the namespace's, where it has one of its own. */
static uint32_t unit_blocks(const struct nsdk_nvme_ns *ns)
{
	if ((ns->id.nsfeat & NSDK_NVME_NSFEAT_ATOMICITY) && ns->id.nacwu)
		return ns->id.nacwu + 1u;
	return ns->ctrlr->id.acwu + 1u;
}

int nsdk_nvme_compare_and_write(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				const void *expected, const void *buf, uint64_t lba, uint32_t blocks,
				uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	static const nsdk_nvme_cb cbs[2] = { compare_done, write_done };
	struct nvme_payload payloads[2] = { { .va = (uintptr_t)expected }, { .va = (uintptr_t)buf } };
	size_t bytes = (size_t)blocks << ns->block_shift;
	struct nvme_fused *fused = qp->fused_free;
	struct nsdk_nvme_cmd cmds[2];
	int err = nsdk_nvme_check_command(ns, qp, cb, NSDK_NVME_ONCS_COMPARE);

	if (err)
		return err;
	/* Metadata has to be compared, and there is none at hand. */
	if (!(ns->ctrlr->id.fuses & NSDK_NVME_FUSES_COMPARE_AND_WRITE) || ns->metadata.bytes)
		return -EOPNOTSUPP;
	/* Where there is a single tracker there never will be two. */
	if ((flags & ~NVME_RW_FLAGS) || nsdk_nvme_check_blocks(ns, lba, blocks) ||
	    blocks > ns->max_blocks || blocks > unit_blocks(ns) || qp->tracker_count < 2)
		return -EINVAL;
	for (int i = 0; i < 2; i++) {
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payloads[i], bytes, 1,
					      nsdk_nvme_sgl_align_mask(qp));
		if (err)
			return err;
		cmds[i] = (struct nsdk_nvme_cmd){
			.opcode = i ? NSDK_NVME_NVM_WRITE : NSDK_NVME_NVM_COMPARE,
			.flags = (uint8_t)((i ? NSDK_NVME_FUSE_SECOND : NSDK_NVME_FUSE_FIRST) |
					   nsdk_nvme_sgl_choose(qp, &payloads[i], bytes)),
			.nsid = ns->nsid,
			.cdw10 = (uint32_t)lba,
			.cdw11 = (uint32_t)(lba >> 32),
			.cdw12 = flags | (blocks - 1),
		};
		/* Neither way says it: an odd address in memory of many small stretches. */
		if (!(cmds[i].flags & NSDK_NVME_PSDT_SGL) && (payloads[i].va & 3))
			return -EINVAL;
	}
	if (!fused)
		return nsdk_nvme_refuse(qp);
	err = nsdk_nvme_issue_fused(qp, cmds, payloads, bytes, cbs, fused);
	if (err)
		return err;
	qp->fused_free = fused->next_free;
	fused->cb = cb;
	fused->ctx = ctx;
	fused->left = 2;
	/* Two commands that are one I/O, which is what splits are to those who count. */
	qp->split_count++;
	qp->split_children += 2;
	qp->attention |= NVME_SPLITS;
	return 0;
}
