/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O that goes out as several commands: larger than the controller's largest transfer, or scattered
 * in a way that PRPs cannot say in one.
 *
 * A split walks along its I/O and issues commands as trackers come free, in order, so an I/O of any
 * size needs no memory but its own record. It takes at most three quarters of a queue pair's trackers
 * so that other I/O gets through. After an error nothing more is issued; the callback runs when all
 * was is back. Writes into a zone (zns.c) go out one at a time, each when the one before is done, since
 * commands of one queue may overtake each other. Records are made with the queue pair, as many as it
 * has trackers.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>

struct nvme_split {
	nsdk_nvme_cb cb;
	void *ctx;
	struct nsdk_nvme_ns *ns;
	struct nsdk_nvme_qpair *qp;
	struct nvme_split *next;     /* of the free ones, or of the waiting ones */
	/* What is still to be issued. */
	struct nsdk_nvme_cmd cmd;    /* what all commands say */
	struct nvme_payload payload;
	struct nvme_extra extra;
	uint64_t lba;
	uint32_t blocks;
	uint32_t children;           /* commands in flight */
	enum nsdk_dma_dir dir;
	bool has_payload;
	bool waiting;                /* in line for trackers; then blocks is not 0 */
	bool failed;
	bool in_order;               /* one at a time */
	struct nsdk_nvme_cpl cpl;    /* the first error, else the last one so far */
};

int nsdk_nvme_splits_create(struct nsdk_nvme_qpair *qp)
{
	qp->splits = calloc(qp->tracker_count, sizeof(*qp->splits));
	if (!qp->splits)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u requests",
				 nsdk_device_name(qp->dev), qp->tracker_count);
	for (uint32_t i = qp->tracker_count; i-- > 0;) {
		qp->splits[i].qp = qp;
		qp->splits[i].next = qp->split_free;
		qp->split_free = &qp->splits[i];
	}
	qp->split_waiting_end = &qp->split_waiting;
	qp->split_children_max = qp->tracker_count - qp->tracker_count / 4;
	return 0;
}

void nsdk_nvme_splits_destroy(struct nsdk_nvme_qpair *qp)
{
	free(qp->splits);
}

/* Calls back; the record may be used again by the callback. */
static void finish(struct nvme_split *split)
{
	struct nsdk_nvme_qpair *qp = split->qp;
	struct nsdk_nvme_cpl cpl = split->cpl;
	nsdk_nvme_cb cb = split->cb;
	void *ctx = split->ctx;

	split->next = qp->split_free;
	qp->split_free = split;
	qp->split_count--;
	qp->poll_correction++;
	cb(ctx, &cpl);
}

static void fail(struct nvme_split *split, const struct nsdk_nvme_cpl *cpl)
{
	if (!split->failed)
		split->cpl = *cpl;
	split->failed = true;
	split->blocks = 0;
}

/* The blocks of the next command; 0: neither PRPs nor an SGL can say even one block from here. */
static uint32_t child_blocks(const struct nsdk_nvme_qpair *qp, const struct nsdk_nvme_ns *ns,
			     const struct nvme_payload *payload, const struct nvme_extra *extra,
			     uint32_t blocks)
{
	size_t max_bytes = (size_t)nsdk_nvme_extra_blocks_max(ns, extra) * extra->unit_bytes;
	size_t bytes = (size_t)blocks * extra->unit_bytes;
	size_t reach = nsdk_nvme_payload_reach(payload, bytes, max_bytes);

	if (reach < bytes && reach < max_bytes) {
		size_t sgl_reach = nsdk_nvme_sgl_reach(qp, payload, bytes, max_bytes);

		if (sgl_reach > reach)
			reach = sgl_reach;
	}
	return nsdk_nvme_extra_reach(qp, extra, (uint32_t)(reach / extra->unit_bytes));
}

static void child_done(void *ctx, const struct nsdk_nvme_cpl *cpl);

static int issue_child(struct nvme_split *split)
{
	struct nsdk_nvme_qpair *qp = split->qp;
	struct nsdk_nvme_ns *ns = split->ns;
	uint32_t blocks = nsdk_nvme_blocks_max(ns, split->cmd.opcode);
	uint32_t left = split->in_order ? split->blocks : nvme_cut(ns, split->lba, split->blocks);
	struct nsdk_nvme_cmd cmd = split->cmd;
	int err;

	cmd.cdw10 = (uint32_t)split->lba;
	cmd.cdw11 = (uint32_t)(split->lba >> 32);
	if (split->extra.tagged)
		nsdk_nvme_put_ref_tag(&ns->metadata, &cmd, split->extra.ref_tag);

	if (blocks > left)
		blocks = left;
	if (split->has_payload) {
		blocks = child_blocks(qp, ns, &split->payload, &split->extra, left);
		/* Its memory has become more scattered, or has been taken away. */
		if (blocks == 0)
			return -EFAULT;
		cmd.flags = nsdk_nvme_sgl_choose(qp, &split->payload,
						 (size_t)blocks * split->extra.unit_bytes);
	}
	cmd.cdw12 |= blocks - 1;
	err = nsdk_nvme_issue_extra(qp, &cmd, split->has_payload ? &split->payload : NULL, &split->extra,
				    blocks, split->dir, child_done, split);
	if (err)
		return err;
	qp->split_children++;
	split->children++;
	split->lba += blocks;
	split->blocks -= blocks;
	if (split->has_payload)
		nsdk_nvme_payload_advance(&split->payload, (size_t)blocks * split->extra.unit_bytes);
	nsdk_nvme_extra_advance(&split->extra, blocks);
	return 0;
}

/* Issues what there is room for. */
static void advance(struct nvme_split *split)
{
	struct nsdk_nvme_qpair *qp = split->qp;

	while (split->blocks && qp->free && qp->split_children < qp->split_children_max &&
	       !(split->in_order && split->children)) {
		struct nsdk_nvme_cpl cpl = {
			.sqid = qp->ring.qid,
			.status = NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC,
						   NSDK_NVME_SC_DATA_TRANSFER_ERROR),
		};

		/* All of it was checked at the start, so its memory has been taken away meanwhile. */
		if (issue_child(split) != 0)
			fail(split, &cpl);
	}
}

/* Waits at the end of the line, so that none is overtaken for ever. */
static void wait_in_line(struct nvme_split *split)
{
	struct nsdk_nvme_qpair *qp = split->qp;

	split->waiting = true;
	split->next = NULL;
	*qp->split_waiting_end = split;
	qp->split_waiting_end = &split->next;
}

static void leave_line(struct nvme_split *split)
{
	struct nsdk_nvme_qpair *qp = split->qp;
	struct nvme_split **link = &qp->split_waiting;

	while (*link != split)
		link = &(*link)->next;
	*link = split->next;
	if (!*link)
		qp->split_waiting_end = link;
	split->waiting = false;
}

/* One that has nothing more to issue waits no longer, and is finished once all of it is back. */
static void settle(struct nvme_split *split)
{
	if (split->blocks)
		return;
	if (split->waiting)
		leave_line(split);
	if (split->children == 0)
		finish(split);
}

/* Trackers may have come free: those that wait go on, the oldest first. */
void nsdk_nvme_splits_advance(struct nsdk_nvme_qpair *qp)
{
	struct nvme_split *next;

	for (struct nvme_split *split = qp->split_waiting; split; split = next) {
		/* It stays in line: only what has nothing more to issue leaves. */
		next = split->next;
		advance(split);
		if (split->blocks && !(split->in_order && split->children))
			return;
		settle(split);
	}
}

/*
 * The controller's memory has lost what was in it: those that wait, and would have it read from there, get no
 * further. No tracker is free, so their callbacks cannot get in line themselves.
 */
void nsdk_nvme_splits_drop_lost(struct nsdk_nvme_qpair *qp, uint16_t status)
{
	struct nvme_split *next;

	for (struct nvme_split *split = qp->split_waiting; split; split = next) {
		struct nsdk_nvme_cpl cpl = { .sqid = qp->ring.qid, .status = status };

		next = split->next;
		if (!split->has_payload || split->dir != NSDK_DMA_TO_DEVICE ||
		    !nsdk_nvme_cmb_has_any(qp->ctrlr, &split->payload,
					   (size_t)split->blocks * split->extra.unit_bytes))
			continue;
		fail(split, &cpl);
		settle(split);
	}
}

static void child_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_split *split = ctx;
	struct nsdk_nvme_qpair *qp = split->qp;

	qp->split_children--;
	qp->poll_correction--;
	split->children--;
	if (!nsdk_nvme_cpl_ok(cpl))
		fail(split, cpl);
	else if (!split->failed)
		split->cpl = *cpl;
	/*
	 * The tracker that has just come free is used at once, by this split or the next in line:
	 * callbacks that follow in this poll may submit, and would take all there are for ever.
	 */
	advance(split);
	settle(split);
	nsdk_nvme_splits_advance(qp);
}

/* Nothing is in flight any more and nothing will be: finishes those that still waited. */
void nsdk_nvme_splits_abort(struct nsdk_nvme_qpair *qp, uint16_t status)
{
	while (qp->split_waiting) {
		struct nsdk_nvme_cpl cpl = { .sqid = qp->ring.qid, .status = status };
		struct nvme_split *split = qp->split_waiting;

		fail(split, &cpl);
		settle(split);
	}
}

/* Whether block boundaries let PRPs and SGLs say all of it, some way or other. */
static bool can_be_split(const struct nsdk_nvme_qpair *qp, const struct nsdk_nvme_ns *ns,
			 struct nvme_payload payload, struct nvme_extra extra, uint64_t lba,
			 uint32_t blocks, bool in_order)
{
	if (!payload.iov && !((payload.va | extra.unit_bytes) & 3) && !extra.metadata_bytes)
		return true;
	while (blocks) {
		uint32_t step = child_blocks(qp, ns, &payload, &extra,
					     in_order ? blocks : nvme_cut(ns, lba, blocks));

		if (step == 0)
			return false;
		nsdk_nvme_payload_advance(&payload, (size_t)step * extra.unit_bytes);
		nsdk_nvme_extra_advance(&extra, step);
		lba += step;
		blocks -= step;
	}
	return true;
}

/* Nothing is known of the lines of what a whole I/O reads. */
static void dirty(const struct nvme_split *split)
{
	struct nsdk_coherence *coh = split->qp->ctrlr->coh;

	nsdk_nvme_payload_dirty(coh, split->payload, (size_t)split->blocks * split->extra.unit_bytes);
	if (split->extra.metadata_bytes)
		nsdk_dma_dirty(coh, (const void *)split->extra.metadata,
			       (size_t)split->blocks * split->extra.metadata_bytes);
}

/*
 * @param cmd      what all of its commands say: opcode, namespace, the flags of dword 12, tags.
 * @param payload  NULL: none.
 * @return 0; -EINVAL; -EAGAIN and what else nsdk_nvme_refuse() gives.
 */
int nsdk_nvme_split_start(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			  const struct nsdk_nvme_cmd *cmd, const struct nvme_payload *payload,
			  const struct nvme_extra *extra, enum nsdk_dma_dir dir, uint64_t lba,
			  uint32_t blocks, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_split *split = qp->split_free;
	bool in_order = nvme_in_order(ns, cmd->opcode);

	/* What the controller would refuse of the whole: some of its pieces it would not. */
	if (in_order && blocks > nsdk_nvme_zone_left(ns, lba))
		return -EINVAL;
	if (payload && !can_be_split(qp, ns, *payload, *extra, lba, blocks, in_order))
		return -EINVAL;
	if (!split || !qp->free)
		return nsdk_nvme_refuse(qp);
	qp->split_free = split->next;
	qp->split_count++;
	qp->attention |= NVME_SPLITS;
	*split = (struct nvme_split){
		.cb = cb,
		.ctx = ctx,
		.ns = ns,
		.qp = qp,
		.lba = lba,
		.blocks = blocks,
		.cmd = *cmd,
		.extra = *extra,
		.dir = dir,
		.has_payload = payload != NULL,
		.in_order = in_order,
	};
	if (payload)
		split->payload = *payload;
	if (qp->nosnoop && payload && dir != NSDK_DMA_TO_DEVICE)
		/*
		 * The whole buffer is given to the device now. A command that is never issued, after one
		 * that failed, gives nothing, and would leave lines marked clean to an owner who need
		 * not say any more that he stores to them.
		 */
		dirty(split);
	if (!qp->split_waiting && qp->split_children < qp->split_children_max) {
		int err = issue_child(split);

		if (err) {
			qp->split_count--;
			split->next = qp->split_free;
			qp->split_free = split;
			return err;
		}
		advance(split);
	}
	if (split->blocks)
		wait_in_line(split);
	return 0;
}
