/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O queue pairs: making and destroying them. poll.c has their life.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/env/opts.h"

#define DEFAULT_ENTRIES 256u

/* Separate ranges that a flush batch remembers before it writes some back early. */
#define BATCH_RANGES 128u

/* Bits of dword 11. */
#define CONTIGUOUS 1u
#define INTERRUPTS 2u

static int take_opts(const struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_qpair_opts *opts,
		     struct nsdk_nvme_qpair_opts *own)
{
	unsigned most = NSDK_NVME_CAP_MQES(ctrlr->cap) + 1;
	int err = nsdk_opts_take(own, sizeof(*own), opts, "nvme");

	if (err)
		return err;
	if (!own->entries)
		own->entries = most < DEFAULT_ENTRIES ? most : DEFAULT_ENTRIES;
	if (own->entries < 2 || own->entries > most)
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: a queue of %u entries was asked for; the controller takes 2 to %u",
				 nsdk_device_name(ctrlr->dev), own->entries, most);
	/* A full ring would look like an empty one, so one slot stays free; and command id FFFFh is
	 * what error logs use for "none". */
	if (!own->max_requests)
		own->max_requests = own->entries - 1;
	if (own->max_requests > own->entries - 1)
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: %u requests in flight do not fit a queue of %u entries, which holds "
				 "%u", nsdk_device_name(ctrlr->dev), own->max_requests, own->entries,
				 own->entries - 1);
	if (!own->timeout_ns)
		own->timeout_ns = ctrlr->opts.io_timeout_ns;
	return nsdk_nvme_arb_take_priority(ctrlr, own);
}

/* Create and Delete I/O Completion and Submission Queue (Base 5.4 to 5.7). */
struct nsdk_nvme_cmd nsdk_nvme_queue_cmd(const struct nsdk_nvme_qpair *qp, enum nvme_queue_step step)
{
	const struct nvme_ring *ring = &qp->ring;
	struct nsdk_nvme_cmd cmd = { .cdw10 = ring->qid };

	switch (step) {
	case NVME_CREATE_CQ:
		cmd.opcode = NSDK_NVME_ADMIN_CREATE_CQ;
		cmd.prp1 = ring->cq_iova;
		cmd.cdw10 |= (ring->entries - 1) << 16;
		cmd.cdw11 = CONTIGUOUS;
		if (qp->irq.vector >= 0)
			cmd.cdw11 |= INTERRUPTS | (uint32_t)qp->irq.vector << 16;
		nsdk_nvme_shadow_clear(qp);
		break;
	case NVME_CREATE_SQ:
		cmd.opcode = NSDK_NVME_ADMIN_CREATE_SQ;
		cmd.prp1 = ring->sq_iova;
		cmd.cdw10 |= (ring->entries - 1) << 16;
		cmd.cdw11 = (uint32_t)ring->qid << 16 | nsdk_nvme_arb_qprio(qp) | CONTIGUOUS; /* its CQ */
		break;
	case NVME_DELETE_SQ:
		cmd.opcode = NSDK_NVME_ADMIN_DELETE_SQ;
		break;
	case NVME_DELETE_CQ:
		cmd.opcode = NSDK_NVME_ADMIN_DELETE_CQ;
		break;
	}
	return cmd;
}

/* One admin command that makes a queue. @return 0 or -errno, logged. */
static int make_queue(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
		      const char *what)
{
	struct nsdk_nvme_cpl cpl;
	int err = nsdk_nvme_admin_wait(ctrlr, cmd, &cpl);

	if (err == -EAGAIN)
		return nsdk_fail(-EBUSY, "nvme", "%s: all admin requests are in use; poll the controller",
				 nsdk_device_name(ctrlr->dev));
	if (err)
		return err;
	if (nsdk_nvme_cpl_ok(&cpl))
		return 0;
	return nsdk_fail(-EIO, "nvme", "%s: %s, queue %u, failed: %s", nsdk_device_name(ctrlr->dev),
			 what, cmd->cdw10 & 0xffff, nsdk_nvme_status_text(cpl.status));
}

/*
 * One admin command that deletes a queue. Where that fails the device still has the queue and may use
 * its memory, and that of I/O in flight, so its DMA has to end altogether: the controller goes.
 */
static int delete_queue(struct nsdk_nvme_qpair *qp, enum nvme_queue_step step, const char *what)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_queue_cmd(qp, step);
	struct nsdk_nvme_cpl cpl = { 0 };
	int err = nsdk_nvme_admin_wait(ctrlr, &cmd, &cpl);

	if (!err && nsdk_nvme_cpl_ok(&cpl))
		return 0;
	/* A reset while it waited: the controller has forgotten all queues. */
	if (err && !nsdk_nvme_ctrlr_failed(ctrlr) && !qp->has_queues)
		return 0;
	return nsdk_nvme_ctrlr_fail(ctrlr, -EIO, "%s, queue %u, failed: %s; the controller has been "
				    "taken out", what, qp->ring.qid,
				    err ? "it was not sent or not answered" :
					  nsdk_nvme_status_text(cpl.status));
}

/* In the controller's memory, if that is wanted and it takes it; else, or then, in ordinary memory. */
static int make_submission_queue(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_queue_cmd(qp, NVME_CREATE_SQ);
	struct nsdk_nvme_cpl cpl;
	int err;

	if (qp->cmb_sq) {
		err = nsdk_nvme_admin_wait(qp->ctrlr, &cmd, &cpl);
		if (!err && nsdk_nvme_cpl_ok(&cpl))
			return 0;
		if (err && err != -EAGAIN)
			return err;
		if (!err) {
			nsdk_nvme_cmb_refused_sq(qp, cpl.status);
			cmd = nsdk_nvme_queue_cmd(qp, NVME_CREATE_SQ);
		}
	}
	return make_queue(qp->ctrlr, &cmd, "Create I/O Submission Queue");
}

/* Create I/O Completion Queue and Create I/O Submission Queue (Base 5.4, 5.5). */
static int create_queues(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_cmd cq = nsdk_nvme_queue_cmd(qp, NVME_CREATE_CQ);
	int err;

	err = make_queue(qp->ctrlr, &cq, "Create I/O Completion Queue");
	if (err)
		return err;
	err = make_submission_queue(qp);
	if (err && err != -ETIMEDOUT && !nsdk_nvme_ctrlr_failed(qp->ctrlr))
		delete_queue(qp, NVME_DELETE_CQ, "Delete I/O Completion Queue");
	return err;
}

/*
 * PRP lists, or SGL segments: a power of two that holds a list of the largest transfer, so none
 * crosses a page; in pages of their own, so that they share no cache line with anything.
 */
static int create_prp_lists(struct nsdk_nvme_qpair *qp)
{
	size_t pages = qp->ctrlr->max_transfer_bytes / NVME_PAGE_BYTES;
	size_t list_bytes = qp->ctrlr->sgl ? NVME_SGL_MIN_DESCRIPTORS * sizeof(struct nsdk_nvme_sgl) :
					     NSDK_LINE_BYTES;
	size_t list_pages, total;
	void *va;
	int err;

	while (list_bytes < pages * sizeof(uint64_t))
		list_bytes *= 2;
	total = qp->tracker_count * list_bytes;
	list_pages = (total + NVME_PAGE_BYTES - 1) / NVME_PAGE_BYTES;
	qp->prp_list_iovas = calloc(list_pages, sizeof(uint64_t));
	if (!qp->prp_list_iovas)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for a queue pair",
				 nsdk_device_name(qp->dev));
	err = nsdk_dma_alloc(qp->ctrlr->pool, list_pages * NVME_PAGE_BYTES, NVME_PAGE_BYTES, &va);
	if (err)
		return err;
	qp->prp_lists = va;
	qp->prp_list_bytes = (uint32_t)list_bytes;
	for (size_t i = 0; i < list_pages; i++) {
		nsdk_iova_t iova;
		size_t contiguous;

		err = nsdk_mem_translate(qp->ctrlr->mem, qp->dev,
					 qp->prp_lists + i * NVME_PAGE_BYTES, NVME_PAGE_BYTES, &iova,
					 &contiguous);
		if (err)
			return nsdk_fail(err, "nvme",
					 "%s: memory for PRP lists is not reachable by the device",
					 nsdk_device_name(qp->dev));
		qp->prp_list_iovas[i] = iova.addr;
	}
	return 0;
}

static void free_qpair(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;

	nsdk_nvme_fused_destroy(qp);
	nsdk_nvme_splits_destroy(qp);
	nsdk_flush_batch_destroy(qp->from_device);
	nsdk_flush_batch_destroy(qp->to_device);
	nsdk_dma_free(ctrlr->pool, qp->prp_lists);
	free(qp->prp_list_iovas);
	free(qp->trackers);
	free(qp->metadata);
	free(qp->arrivals);
	free(qp->retries);
	nsdk_nvme_cmb_drop_sq(qp);
	nsdk_nvme_irq_put(qp);
	nsdk_nvme_ring_destroy(ctrlr, &qp->ring);
	free(qp);
}

static int create_trackers(struct nsdk_nvme_qpair *qp)
{
	qp->arrivals = calloc(NVME_COLLECT_MAX, sizeof(*qp->arrivals));
	qp->trackers = aligned_alloc(NSDK_LINE_BYTES, qp->tracker_count * sizeof(*qp->trackers));
	qp->metadata = calloc(qp->tracker_count, sizeof(*qp->metadata));
	if (!qp->trackers || !qp->arrivals || !qp->metadata)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u requests",
				 nsdk_device_name(qp->dev), qp->tracker_count);
	for (uint32_t i = qp->tracker_count; i-- > 0;) {
		qp->trackers[i] = (struct nvme_tracker){
			.next_free = qp->free,
			.cid = (uint16_t)i,
			.cid_dw01 = (uint64_t)i << 16,
		};
		qp->free = &qp->trackers[i];
	}
	return 0;
}

static uint16_t unused_qid(const struct nsdk_nvme_ctrlr *ctrlr)
{
	for (uint32_t qid = 1; qid <= ctrlr->io_queues; qid++)
		if (!ctrlr->qpairs[qid])
			return (uint16_t)qid;
	return 0;
}

int nsdk_nvme_qpair_create(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_qpair_opts *opts,
			   struct nsdk_nvme_qpair **out)
{
	const char *name = nsdk_device_name(ctrlr->dev);
	struct nsdk_nvme_qpair_opts own;
	struct nsdk_nvme_qpair *qp;
	uint16_t qid;
	int err;

	*out = NULL;
	err = nsdk_nvme_ctrlr_failed(ctrlr);
	if (err)
		return nsdk_fail(err, "nvme", "%s: the controller has been taken out; attach it again",
				 name);
	err = take_opts(ctrlr, opts, &own);
	if (err)
		return err;
	qid = unused_qid(ctrlr);
	if (!qid)
		return nsdk_fail(-ENOSPC, "nvme",
				 "%s: all %u I/O queues that the controller granted are in use", name,
				 ctrlr->io_queues);

	qp = aligned_alloc(NSDK_LINE_BYTES, sizeof(*qp));
	if (!qp)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for a queue pair", name);
	*qp = (struct nsdk_nvme_qpair){
		.ctrlr = ctrlr,
		.dev = ctrlr->dev,
		.tracker_count = own.max_requests,
		.entries = own.entries,
		.sqid_dw2 = (uint32_t)qid << 16,
		.idle_polls = NVME_IDLE_POLLS,
		/* The first round of the ring is written with phase 1 (Base 3.3.3.2.2). */
		.phase = 0,
		.window = ctrlr->map->window,
		.nosnoop = nsdk_coherence_active(ctrlr->coh),
		.timeout_ns = own.timeout_ns,
		.retry_writes = own.retry_writes,
		.watch_polls = NVME_WATCH_POLLS,
		.irq.vector = -1,
		.priority = own.priority,
		.cmb_losses = atomic_load_explicit(&ctrlr->cmb.losses, memory_order_relaxed),
	};
	qp->align_mask = qp->nosnoop ? NSDK_LINE_BYTES - 1 : 3;
	qp->short_first_piece = ctrlr->map->window_va >> NSDK_WINDOW_SHIFT;
	qp->short_pieces = qp->nosnoop ? 0 : ctrlr->map->window_bytes >> NSDK_WINDOW_SHIFT;
	if (nsdk_device_wants_poll(ctrlr->dev))
		qp->attention |= NVME_MODEL;
	if (qp->nosnoop)
		qp->attention |= NVME_NOSNOOP;

	err = nsdk_nvme_ring_create(ctrlr, qid, own.entries, &qp->ring);
	if (err)
		goto free_qp;
	nsdk_nvme_shadow_begin(qp);
	nsdk_nvme_cmb_take_sq(qp);
	qp->sqe = qp->sqe_unsent = qp->ring.sq;
	qp->cqe = qp->ring.cq;
	err = create_trackers(qp);
	if (err)
		goto free_qp;
	err = create_prp_lists(qp);
	if (err)
		goto free_qp;
	err = nsdk_nvme_deadlines_create(qp);
	if (err)
		goto free_qp;
	err = nsdk_nvme_splits_create(qp);
	if (err)
		goto free_qp;
	err = nsdk_nvme_fused_create(qp);
	if (err)
		goto free_qp;
	err = nsdk_flush_batch_create(ctrlr->coh, BATCH_RANGES, &qp->to_device);
	if (err)
		goto free_qp;
	err = nsdk_flush_batch_create(ctrlr->coh, BATCH_RANGES, &qp->from_device);
	if (err)
		goto free_qp;
	if (own.interrupts)
		nsdk_nvme_irq_take(qp);
	err = create_queues(qp);
	if (err)
		goto free_qp;

	qp->has_queues = true;
	ctrlr->qpairs[qid] = qp;
	ctrlr->qpair_count++;
	*out = qp;
	return 0;

free_qp:
	free_qpair(qp);
	return err;
}

int nsdk_nvme_qpair_destroy(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr;
	int err;

	if (!qp)
		return 0;
	ctrlr = qp->ctrlr;
	if (qp->attention & NVME_POLLING)
		return nsdk_fail(-EBUSY, "nvme",
				 "%s: queue pair %u cannot be destroyed from inside a callback of its own",
				 nsdk_device_name(qp->dev), qp->ring.qid);

	if (qp->group) {
		err = nsdk_nvme_poll_group_remove(qp->group, qp);
		if (err)
			return err;
	}
	/* Nothing is accepted or sent from here on. */
	nsdk_nvme_qpair_close(qp, -ENODEV);
	/* What is under way with its queues comes to an end first, one way or the other. */
	nsdk_nvme_recover_forget(qp);
	err = nsdk_nvme_recover_settle(ctrlr);
	if (err && nsdk_nvme_ctrlr_failed(ctrlr))
		err = 0;
	if (!nsdk_nvme_ctrlr_failed(ctrlr) && qp->has_queues)
		/* It makes the controller complete or drop what is in it (Base 5.7). */
		err = delete_queue(qp, NVME_DELETE_SQ, "Delete I/O Submission Queue");
	if (!qp->has_queues)
		/* After a reset there is no doorbell to ring. */
		qp->attention |= NVME_PAUSED;
	if (!nsdk_nvme_ctrlr_failed(ctrlr))
		/* What it had completed by then has a status of its own. */
		nsdk_nvme_qpair_drain(qp);
	if (!nsdk_nvme_ctrlr_failed(ctrlr) && qp->has_queues)
		err = delete_queue(qp, NVME_DELETE_CQ, "Delete I/O Completion Queue");
	nsdk_nvme_qpair_abort_all(qp, nsdk_nvme_ctrlr_failed(ctrlr) ? NVME_STATUS_INTERNAL_PATH :
				      qp->has_queues ? NVME_STATUS_ABORTED_SQ_DELETED :
						       NVME_STATUS_ABORTED_BY_HOST);

	ctrlr->qpairs[qp->ring.qid] = NULL;
	ctrlr->qpair_count--;
	free_qpair(qp);
	return err;
}

uint16_t nsdk_nvme_qpair_id(const struct nsdk_nvme_qpair *qp)
{
	return qp->ring.qid;
}

unsigned nsdk_nvme_qpair_outstanding(const struct nsdk_nvme_qpair *qp)
{
	return nvme_outstanding(qp) - qp->split_children + qp->split_count;
}
