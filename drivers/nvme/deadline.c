/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines of I/O: what a queue pair's own thread does about them.
 *
 * Nothing on the way of an I/O knows of time. Now and then a poll looks at the clock, and some times
 * within the time that a command has, at all trackers: one that is outstanding is marked with the time
 * of the look. Taking or freeing a tracker wipes the mark out, so one that a later look finds marked
 * has been outstanding since the look that marked it. A deadline is noticed late by two looks at most.
 *
 * A command whose time is over is written down with its callback replaced, and the thread that polls
 * the controller sends the Abort (recover.c). Its command id is not used again before the Abort has
 * been answered, or the Abort might hit another command. If it is not back some time after the answer,
 * the queues have to be made again.
 *
 * For that, and for a reset, the controller's thread asks this one to pause: it sends and takes nothing
 * any more, and refuses I/O. When the queues are there again, this thread hands out what had been
 * completed, gives up what cannot be tried again (its time is over; nobody can tell whether it was
 * carried out, and that matters; its SQE has been overwritten), and sends the rest again. Which SQE is
 * whose the old ring tells: its newest entry with the id of an outstanding command is that command.
 *
 * No-snoop. What is given up has been the device's, so its payload is taken back before its callback.
 * What is sent again still is the device's: the CPU has not written its payload or PRP list since they
 * were given, so only its SQE goes out anew, as with any other batch.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>

#define SEEN 1u /* bit 0 of a mark; the rest is the time */

/* A command may take so long to come back once its Abort has been answered. */
#define GRACE_NS NVME_NS_PER_S

/* An Abort that nobody sends for so long, with nobody polling the controller: nobody ever will. */
#define UNATTENDED_NS (10 * NVME_NS_PER_S)

int nsdk_nvme_deadlines_create(struct nsdk_nvme_qpair *qp)
{
	qp->retries = calloc(qp->tracker_count, sizeof(*qp->retries));
	if (!qp->retries)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u requests",
				 nsdk_device_name(qp->dev), qp->tracker_count);
	for (uint32_t i = 0; i < NVME_ABORTS; i++)
		qp->aborts[i].qp = qp;
	qp->scan_ns = nsdk_clock_ns() + qp->timeout_ns / NVME_SCANS;
	return 0;
}

/* ---- Commands whose time is over ---- */

static uint32_t state_of(const struct nvme_abort *abort)
{
	/* Acquire: what the other side did before it handed the record over. */
	return atomic_load_explicit(&abort->state, memory_order_acquire);
}

static bool is_over(const struct nsdk_nvme_qpair *qp, const struct nvme_tracker *t, uint64_t now_ns)
{
	return qp->timeout_ns != NSDK_NVME_NO_TIMEOUT && (t->seen & SEEN) &&
	       now_ns - (t->seen >> 1) >= qp->timeout_ns;
}

/* The command has come back, or is given up: its owner is called, and its id rests. */
static void late_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_abort *abort = ctx;
	struct nsdk_nvme_qpair *qp = abort->qp;
	nsdk_nvme_cb cb = abort->cb;
	void *user_ctx = abort->ctx;

	abort->back = true;
	/* It was put on the list of free ones just before this call, unless nothing is any more. */
	if (qp->free == abort->tracker)
		qp->free = abort->tracker->next_free;
	cb(user_ctx, cpl);
}

static struct nvme_abort *free_abort(struct nsdk_nvme_qpair *qp)
{
	for (uint32_t i = 0; i < NVME_ABORTS; i++)
		if (state_of(&qp->aborts[i]) == NVME_ABORT_FREE)
			return &qp->aborts[i];
	return NULL;
}

static void ask_for_abort(struct nsdk_nvme_qpair *qp, struct nvme_tracker *t, uint64_t now_ns)
{
	struct nvme_abort *abort = free_abort(qp);

	/* The others are noticed by a later look. */
	if (!abort)
		return;
	abort->tracker = t;
	abort->cid = t->cid;
	abort->cb = t->cb;
	abort->ctx = t->ctx;
	abort->back = false;
	abort->grace = false;
	abort->since_ns = now_ns;
	t->cb = late_done;
	t->ctx = abort;
	/* Release: the controller's thread reads the record. */
	atomic_store_explicit(&abort->state, NVME_ABORT_ASKED, memory_order_release);
	nsdk_nvme_irq_wake_admin(qp->ctrlr);
}

static void scan(struct nsdk_nvme_qpair *qp, uint64_t now_ns)
{
	uint32_t left = nvme_outstanding(qp);

	/* Trackers are taken last used first, so those in use are mostly the first few. */
	for (uint32_t i = 0; left && i < qp->tracker_count; i++) {
		struct nvme_tracker *t = &qp->trackers[i];

		if (!t->cb)
			continue;
		left--;
		if (t->cb == late_done)
			continue;
		if (!(t->seen & SEEN))
			t->seen = now_ns << 1 | SEEN;
		else if (is_over(qp, t, now_ns))
			ask_for_abort(qp, t, now_ns);
	}
}

/*
 * Something has been wrong since then. Without anybody who polls the controller it will be for ever, and
 * nobody called back.
 */
static void check_attended(struct nsdk_nvme_qpair *qp, uint64_t now_ns, uint64_t since_ns)
{
	uint64_t polled_ns = atomic_load_explicit(&qp->ctrlr->polled_ns, memory_order_relaxed);

	if (now_ns - since_ns < UNATTENDED_NS || polled_ns > now_ns ||
	    now_ns - polled_ns < UNATTENDED_NS)
		return;
	nsdk_nvme_ctrlr_fail(qp->ctrlr, -ETIMEDOUT,
			     "I/O on queue %u does not complete, and nsdk_nvme_ctrlr_poll() is not called, "
			     "which would do something about it; the controller has been taken out",
			     qp->ring.qid);
}

/* What has become of the Aborts. */
static void look_at_aborts(struct nsdk_nvme_qpair *qp, uint64_t now_ns)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;

	for (uint32_t i = 0; i < NVME_ABORTS; i++) {
		struct nvme_abort *abort = &qp->aborts[i];
		uint64_t grace_ns = qp->timeout_ns < GRACE_NS ? qp->timeout_ns : GRACE_NS;

		switch (state_of(abort)) {
		case NVME_ABORT_ASKED:
			check_attended(qp, now_ns, abort->since_ns);
			break;
		case NVME_ABORT_ANSWERED:
			if (abort->back) {
				struct nvme_tracker *t = abort->tracker;

				t->next_free = qp->free;
				qp->free = t;
				abort->state = NVME_ABORT_FREE;
			} else if (!abort->grace) {
				abort->grace = true;
				abort->since_ns = now_ns;
			} else if (now_ns - abort->since_ns >= grace_ns && !qp->wants_queues) {
				pthread_mutex_lock(&ctrlr->lock);
				qp->wants_queues = true;
				pthread_mutex_unlock(&ctrlr->lock);
				nsdk_nvme_irq_wake_admin(ctrlr);
			}
			break;
		default:
			break;
		}
	}
}

/* ---- Pause ---- */

static void pause_queue(struct nsdk_nvme_qpair *qp)
{
	/*
	 * Flushes under way end first. What has been taken back is handed out while all is as ever; a
	 * doorbell that waited is never rung, and its commands are sent when all others are.
	 */
	nsdk_nvme_qpair_deliver_taken(qp);
	if (qp->attention & NVME_DEAD)
		return;
	nsdk_flush_batch_commit(qp->to_device);
	qp->attention &= ~(uint64_t)(NVME_UNSENT | NVME_FLUSHING | NVME_LOOK);
	qp->attention |= NVME_PAUSED;
	qp->free = NULL;
	pthread_mutex_lock(&qp->ctrlr->lock);
	qp->paused = true;
	pthread_mutex_unlock(&qp->ctrlr->lock);
	/* A reset may have gone on without it, and its queues are wanted now. */
	nsdk_nvme_irq_wake_admin(qp->ctrlr);
}

/* What each look at the clock is for. Not from inside a callback. */
void nsdk_nvme_watch(struct nsdk_nvme_qpair *qp)
{
	uint64_t now_ns;

	if (qp->attention & NVME_DEAD)
		return;
	if (NVME_UNLIKELY(nsdk_nvme_ctrlr_recovering(qp->ctrlr))) {
		now_ns = nsdk_clock_ns();
		if (!qp->unwell_ns)
			qp->unwell_ns = now_ns;
		check_attended(qp, now_ns, qp->unwell_ns);
	} else {
		qp->unwell_ns = 0;
	}
	if (qp->attention & NVME_PAUSED)
		return;
	if (atomic_load_explicit(&qp->order, memory_order_relaxed) == NVME_ORDER_PAUSE) {
		pause_queue(qp);
		return;
	}
	if (qp->timeout_ns == NSDK_NVME_NO_TIMEOUT)
		return;
	now_ns = nsdk_clock_ns();
	look_at_aborts(qp, now_ns);
	if (now_ns < qp->scan_ns)
		return;
	qp->scan_ns = now_ns + qp->timeout_ns / NVME_SCANS;
	scan(qp, now_ns);
}

/* ---- Going on ---- */

/* Whether doing it twice is as good as once. */
static bool may_be_sent_again(const struct nsdk_nvme_qpair *qp, const struct nsdk_nvme_cmd *cmd)
{
	/* Halves of fused operations only make sense together. */
	if (cmd->flags & 3)
		return false;
	switch (cmd->opcode) {
	case NSDK_NVME_NVM_COMPARE:
		return !nsdk_nvme_cmb_may_have(qp->ctrlr, cmd);
	case NSDK_NVME_NVM_READ:
	case NSDK_NVME_NVM_FLUSH:
	case NSDK_NVME_NVM_VERIFY:
	case NSDK_NVME_ZNS_MGMT_RECEIVE:
		return true;
	case NSDK_NVME_NVM_WRITE:
	case NSDK_NVME_NVM_WRITE_ZEROES:
	case NSDK_NVME_NVM_WRITE_UNCORRECTABLE:
	case NSDK_NVME_NVM_DATASET_MANAGEMENT:
		/* In a zone, what has been written cannot be written again. */
		return qp->retry_writes && !nsdk_nvme_cmb_may_have(qp->ctrlr, cmd) &&
		       !atomic_load_explicit(&qp->ctrlr->any_zoned, memory_order_relaxed);
	default:
		return false;
	}
}

/*
 * Copies the SQEs to be sent again, in their order. @return how many; their trackers are marked as
 * arrived.
 */
static uint32_t find_retries(struct nsdk_nvme_qpair *qp)
{
	const struct nvme_ring *ring = &qp->ring;
	uint32_t tail = (uint32_t)(qp->sqe - ring->sq);
	uint32_t filled = qp->laps ? ring->entries : tail;
	uint32_t at = qp->tracker_count, count;
	uint64_t now_ns = nsdk_clock_ns();

	for (uint32_t i = 1; i <= filled && at > 0; i++) {
		const struct nsdk_nvme_cmd *cmd =
			&ring->sq[i <= tail ? tail - i : tail + ring->entries - i];
		struct nvme_tracker *t;

		if (cmd->cid >= qp->tracker_count)
			continue;
		t = &qp->trackers[cmd->cid];
		/* An older one with the same id is a command of before. */
		if (!t->cb || t->arrived)
			continue;
		t->arrived = true;
		if (t->cb != late_done && !is_over(qp, t, now_ns) && may_be_sent_again(qp, cmd))
			qp->retries[--at] = *cmd;
	}
	count = qp->tracker_count - at;
	memmove(qp->retries, &qp->retries[at], count * sizeof(*qp->retries));
	for (uint32_t i = 0; i < qp->tracker_count; i++)
		qp->trackers[i].arrived = false;
	for (uint32_t i = 0; i < count; i++)
		qp->trackers[qp->retries[i].cid].arrived = true;
	return count;
}

/* The rings as they were made, and in them what is sent again. */
static void begin_anew(struct nsdk_nvme_qpair *qp, uint32_t retries)
{
	struct nvme_ring *ring = &qp->ring;

	nsdk_nvme_ring_clear(qp->ctrlr, ring);
	nsdk_nvme_shadow_begin(qp);
	qp->cqe = ring->cq;
	qp->phase = 0;
	qp->sqe_unsent = ring->sq;
	memcpy(ring->sq, qp->retries, retries * sizeof(*ring->sq));
	qp->sqe = ring->sq + retries;
	qp->laps = 0;
	qp->completed = 0;
	/* What raw commands left behind is somewhere in the ring still. */
	if (qp->soiled)
		qp->soiled = ring->entries;
	qp->free = NULL;
	for (uint32_t i = qp->tracker_count; i-- > 0;) {
		struct nvme_tracker *t = &qp->trackers[i];

		t->arrived = false;
		if (t->cb)
			continue;
		t->next_free = qp->free;
		qp->free = t;
	}
}

/* @return whether the queues are there again; the records of Aborts are empty then. */
static bool may_go_on(struct nsdk_nvme_qpair *qp)
{
	bool go_on;

	if (atomic_load_explicit(&qp->order, memory_order_relaxed) != NVME_ORDER_RESUME)
		return false;
	pthread_mutex_lock(&qp->ctrlr->lock);
	/* It may have been asked to pause once more meanwhile. */
	go_on = qp->order == NVME_ORDER_RESUME;
	if (go_on) {
		qp->order = NVME_ORDER_RUN;
		qp->paused = false;
		qp->wants_queues = false;
		/* None is with the controller, which would have had to answer it first. */
		for (uint32_t i = 0; i < NVME_ABORTS; i++)
			qp->aborts[i].state = NVME_ABORT_FREE;
	}
	pthread_mutex_unlock(&qp->ctrlr->lock);
	return go_on;
}

/* A poll of a paused queue pair. @return I/O of users that has ended. */
int nsdk_nvme_paused(struct nsdk_nvme_qpair *qp)
{
	uint32_t before = nsdk_nvme_qpair_outstanding(qp), retries;
	unsigned losses;
	int ended;

	if (!may_go_on(qp))
		return 0;
	/* Counted before the order to go on, which was read under a lock. */
	losses = atomic_load_explicit(&qp->ctrlr->cmb.losses, memory_order_relaxed);
	/* What had been completed has a status of its own. */
	nsdk_nvme_qpair_drain(qp);
	if (qp->attention & NVME_DEAD)
		return qp->error;
	qp->attention |= NVME_POLLING;
	retries = find_retries(qp);
	/* Its queue was deleted, or the device was reset: no DMA for what is not sent again. */
	nsdk_nvme_qpair_give_up(qp, NVME_STATUS_ABORTED_BY_HOST);
	if (losses != qp->cmb_losses)
		nsdk_nvme_splits_drop_lost(qp, NVME_STATUS_ABORTED_BY_HOST);
	qp->cmb_losses = losses;
	ended = (int)(before - nsdk_nvme_qpair_outstanding(qp));
	begin_anew(qp, retries);
	qp->attention &= ~(uint64_t)(NVME_PAUSED | NVME_POLLING);
	if (retries)
		qp->attention |= NVME_UNSENT;
	/* Those that waited for trackers, when no completion may come that would tell them. */
	nsdk_nvme_splits_advance(qp);
	qp->poll_correction = 0;
	nsdk_nvme_qpair_submit(qp);
	return ended;
}
