/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a queue pair: doorbells, completions, and its end.
 *
 * An empty poll is to cost ten instructions, so everything but the bare look at the next completion
 * slot is behind one word of attention bits and in functions of its own.
 */
#include "nvme_internal.h"

#include <errno.h>

#define NVME_COLD __attribute__((noinline, cold))
#define NVME_NOINLINE __attribute__((noinline))

/* Completions that are taken back from a device that bypasses the caches with one fence. */
#define COLLECT_MAX 64u
/* Lines of the completion queue taken back at a time once the first was full. */
#define COLLECT_LINES 4u

/* ---- Sending ---- */

/* No-snoop: the device must find what it will read in memory, so the lines go out first. */
NVME_NOINLINE static void flush_unsent(struct nsdk_nvme_qpair *qp)
{
	const struct nvme_ring *ring = &qp->ring;
	struct nsdk_nvme_cmd *from = qp->sqe_unsent;

	if (qp->sqe < from) {
		nsdk_flush_batch_for_device(qp->to_device, from,
					    (size_t)((char *)ring->sq_end - (char *)from),
					    NSDK_DMA_TO_DEVICE);
		from = ring->sq;
	}
	if (qp->sqe > from)
		nsdk_flush_batch_for_device(qp->to_device, from,
					    (size_t)((char *)qp->sqe - (char *)from),
					    NSDK_DMA_TO_DEVICE);
	qp->sqe_unsent = qp->sqe;
	/*
	 * Payloads, PRP lists and SQEs: written back, and fenced against the doorbell store that
	 * follows, which is what makes the device read them.
	 */
	nsdk_flush_batch_commit(qp->to_device);
}

static inline void send_snooped(struct nsdk_nvme_qpair *qp)
{
	qp->attention &= ~(uint32_t)NVME_UNSENT;
	nvme_doorbell(qp->ring.sq_doorbell, (uint32_t)(qp->sqe - qp->ring.sq));
}

static inline void send(struct nsdk_nvme_qpair *qp)
{
	if (NVME_UNLIKELY(qp->nosnoop))
		flush_unsent(qp);
	send_snooped(qp);
}

int nsdk_nvme_qpair_submit(struct nsdk_nvme_qpair *qp)
{
	if (NVME_UNLIKELY(qp->attention & NVME_DEAD))
		return qp->error;
	if (qp->attention & NVME_UNSENT)
		send(qp);
	return 0;
}

/* ---- The end ---- */

/* Accepts and sends nothing any more. */
void nsdk_nvme_qpair_close(struct nsdk_nvme_qpair *qp, int error)
{
	if (qp->attention & NVME_DEAD)
		return;
	qp->attention |= NVME_DEAD;
	qp->attention &= ~(uint32_t)NVME_UNSENT;
	qp->free = NULL;
	qp->error = error;
}

/*
 * Completes everything outstanding with @p status. The device does no DMA for this queue any more:
 * it is deleted, or the controller has been taken out.
 */
NVME_COLD void nsdk_nvme_qpair_abort_all(struct nsdk_nvme_qpair *qp, uint16_t status)
{
	nsdk_nvme_qpair_close(qp, -EIO);
	qp->attention |= NVME_POLLING;
	for (uint32_t i = 0; i < qp->tracker_count; i++) {
		const struct nvme_tracker *t = &qp->trackers[i];

		if (t->cb && t->from_device_bytes)
			nsdk_nvme_payload_flush(qp->from_device, t->from_device,
						t->from_device_bytes, NSDK_DMA_FROM_DEVICE, true);
	}
	/* The device may have written part of these: taken back before their owners look. */
	nsdk_flush_batch_commit(qp->from_device);
	for (uint32_t i = 0; i < qp->tracker_count; i++) {
		struct nvme_tracker *t = &qp->trackers[i];
		struct nsdk_nvme_cpl cpl = {
			.sqid = qp->ring.qid,
			.cid = t->cid,
			.status = status,
		};
		nsdk_nvme_cb cb = t->cb;

		if (!cb)
			continue;
		t->cb = NULL;
		qp->outstanding--;
		cb(t->ctx, &cpl);
	}
	nsdk_nvme_splits_abort(qp, status);
	qp->attention &= ~(uint32_t)NVME_POLLING;
}

NVME_COLD static int die(struct nsdk_nvme_qpair *qp, int error)
{
	nsdk_nvme_qpair_close(qp, error);
	nsdk_nvme_qpair_abort_all(qp, NVME_STATUS_INTERNAL_PATH);
	return error;
}

/* The controller completed what it cannot have been given: say what, take it out. */
NVME_COLD static int lied(struct nsdk_nvme_qpair *qp, const struct nsdk_nvme_cpl *cqe)
{
	if (cqe->sqid != qp->ring.qid)
		nsdk_nvme_ctrlr_fail(qp->ctrlr, -EIO,
				     "the controller answered on queue %u for queue %u; it has been taken "
				     "out", qp->ring.qid, cqe->sqid);
	else if (cqe->sqhd >= qp->entries)
		nsdk_nvme_ctrlr_fail(qp->ctrlr, -EIO,
				     "the controller put the head of queue %u at %u of %u entries; it has "
				     "been taken out", qp->ring.qid, cqe->sqhd, qp->entries);
	else
		nsdk_nvme_ctrlr_fail(qp->ctrlr, -EIO,
				     "the controller completed command id %u on queue %u, which is not "
				     "outstanding; it has been taken out", cqe->cid, qp->ring.qid);
	qp->attention &= ~(uint32_t)NVME_POLLING;
	return die(qp, nsdk_nvme_ctrlr_failed(qp->ctrlr));
}

/* ---- Completions ---- */

/*
 * Whether a completion can be true: for this queue, with a head inside it, and a command id that
 * exists. One comparison does for the first two.
 */
static inline bool is_sane(const struct nsdk_nvme_qpair *qp, const struct nsdk_nvme_cpl *cqe,
			   size_t cid)
{
	return nvme_cqe_dw2(cqe) - qp->sqid_dw2 < qp->entries && cid < qp->tracker_count;
}

/* Completions of commands that are parts of splits are no I/O of users; the splits' ends are. */
NVME_NOINLINE static int splits_polled(struct nsdk_nvme_qpair *qp)
{
	int correction;

	nsdk_nvme_splits_advance(qp);
	correction = qp->poll_correction;
	qp->poll_correction = 0;
	if (qp->split_count == 0)
		qp->attention &= ~(uint32_t)NVME_SPLITS;
	return correction;
}

/* Behind the completions of a poll. @return what it handled, in I/O of users. */
static inline int polled(struct nsdk_nvme_qpair *qp, uint32_t handled)
{
	int count = (int)handled;

	/*
	 * The slots are the device's again. The CPU has only read them, so no dirty line of theirs can
	 * be written back later over a new completion; that they have been read before the device may
	 * overwrite them is what the release in the doorbell orders.
	 */
	nvme_doorbell(qp->ring.cq_doorbell, (uint32_t)(qp->cqe - qp->ring.cq));
	if (NVME_UNLIKELY(qp->attention & NVME_SPLITS))
		count += splits_polled(qp);
	qp->attention &= ~(uint32_t)NVME_POLLING;
	/* What the callbacks submitted goes out as a batch of its own. */
	if (qp->attention & NVME_UNSENT)
		send(qp);
	return count;
}

/*
 * There is a completion, and the device's writes were snooped. The place in the ring is kept in
 * registers: callbacks cannot look at it, as polls from inside of them do nothing.
 */
NVME_NOINLINE static int poll_snooped(struct nsdk_nvme_qpair *qp, unsigned max)
{
	const struct nsdk_nvme_cpl *cqe = qp->cqe;
	uint32_t phase = qp->phase;
	uint32_t left, given;

	/* A device that never stops completing gets one round of the ring at a time. */
	given = left = max ? max : qp->entries;
	qp->attention |= NVME_POLLING;
	do {
		size_t cid = cqe->cid;
		const struct nsdk_nvme_cpl *cpl = cqe;
		struct nvme_tracker *t;
		nsdk_nvme_cb cb;

		if (NVME_UNLIKELY(!is_sane(qp, cqe, cid)))
			return lied(qp, cqe);
		t = &qp->trackers[cid];
		cb = t->cb;
		if (NVME_UNLIKELY(!cb))
			return lied(qp, cqe);
		t->cb = NULL;
		t->next_free = qp->free;
		qp->free = t;
		qp->outstanding--;
		if (NVME_UNLIKELY(++cqe == qp->ring.cq_end)) {
			cqe = qp->ring.cq;
			phase ^= NSDK_NVME_STATUS_PHASE;
		}
		cb(t->ctx, cpl);
	} while (--left && nvme_cqe_is_new(cqe, phase));
	qp->cqe = cqe;
	qp->phase = phase;
	return polled(qp, given - left);
}

struct arrival {
	struct nvme_tracker *tracker;
	const struct nsdk_nvme_cpl *cqe;
};

/*
 * Looks for completions of a device whose writes may have gone past the caches: what the CPU sees in
 * the completion queue may be stale, so its lines are taken back before they are read. The payloads
 * of what has arrived are added to the batch.
 *
 * @param[out] bad  a completion that cannot be, or NULL.
 */
static uint32_t collect(struct nsdk_nvme_qpair *qp, struct arrival *arrivals, uint32_t max,
			const struct nsdk_nvme_cpl **bad)
{
	uintptr_t taken = 0, taken_end = 0; /* the lines taken back, from … to */
	uint32_t count = 0;

	*bad = NULL;
	while (count < max) {
		uintptr_t line = (uintptr_t)qp->cqe & ~((uintptr_t)NSDK_LINE_BYTES - 1);
		struct nvme_tracker *t;
		uint32_t cid;

		if (line < taken || line >= taken_end) {
			/* Mostly there is little: one line, and more only behind a full one. */
			size_t bytes = (taken_end ? COLLECT_LINES : 1) * NSDK_LINE_BYTES;

			if (bytes > (uintptr_t)qp->ring.cq_end - line)
				bytes = (uintptr_t)qp->ring.cq_end - line;
			/*
			 * Dropped from the cache, and fenced: the loads below come from memory. A
			 * completion that the device writes into this line later is seen by a later
			 * poll, which drops it again.
			 */
			nsdk_sync_for_cpu(qp->ctrlr->coh, (const void *)line, bytes,
					  NSDK_DMA_FROM_DEVICE);
			taken = line;
			taken_end = line + bytes;
		}
		if (!nvme_cqe_is_new(qp->cqe, qp->phase))
			break;
		cid = qp->cqe->cid;
		t = is_sane(qp, qp->cqe, cid) ? &qp->trackers[cid] : NULL;
		if (!t || !t->cb || t->arrived) {
			*bad = qp->cqe;
			break;
		}
		t->arrived = true;
		arrivals[count++] = (struct arrival){ t, qp->cqe };
		if (t->from_device_bytes)
			nsdk_nvme_payload_flush(qp->from_device, t->from_device,
						t->from_device_bytes, NSDK_DMA_FROM_DEVICE, true);
		if (++qp->cqe == qp->ring.cq_end) {
			qp->cqe = qp->ring.cq;
			qp->phase ^= NSDK_NVME_STATUS_PHASE;
		}
	}
	return count;
}

/* A poll of a device that may bypass the caches, and the last look at a queue that is deleted. */
NVME_NOINLINE static int poll_taking_back(struct nsdk_nvme_qpair *qp, unsigned max)
{
	struct arrival arrivals[COLLECT_MAX];
	const struct nsdk_nvme_cpl *bad;
	uint32_t handled = 0, count;

	if (max == 0)
		max = qp->entries;
	qp->attention |= NVME_POLLING;
	do {
		count = collect(qp, arrivals, max - handled < COLLECT_MAX ? max - handled :
									    COLLECT_MAX, &bad);
		/*
		 * The payloads: dropped from the cache in one go, then one fence, then the callbacks
		 * look. Dropping must not come before the completion was read, or the cache could be
		 * filled again with what was in memory before the device wrote; line operations are
		 * not ordered behind loads by themselves, so the batch puts a barrier before them.
		 */
		nsdk_flush_batch_commit(qp->from_device);
		for (uint32_t i = 0; i < count; i++) {
			struct nvme_tracker *t = arrivals[i].tracker;
			nsdk_nvme_cb cb = t->cb;

			t->cb = NULL;
			t->arrived = false;
			if (!(qp->attention & NVME_DEAD)) {
				t->next_free = qp->free;
				qp->free = t;
			}
			qp->outstanding--;
			cb(t->ctx, arrivals[i].cqe);
		}
		handled += count;
	} while (count == COLLECT_MAX && handled < max);
	if (NVME_UNLIKELY(bad))
		return lied(qp, bad);
	if (!handled) {
		qp->attention &= ~(uint32_t)NVME_POLLING;
		return 0;
	}
	return polled(qp, handled);
}

/* Handles what has been completed, and sends nothing: the queue is closed. */
void nsdk_nvme_qpair_drain(struct nsdk_nvme_qpair *qp)
{
	nsdk_device_poll(qp->dev);
	poll_taking_back(qp, 0);
}

/* ---- Polls ---- */

/* Many polls found nothing: does the controller still live? Its silence may be all that tells. */
NVME_COLD static int look(struct nsdk_nvme_qpair *qp)
{
	int err;

	qp->idle_polls = NVME_IDLE_POLLS;
	/* Another thread may have found out; reading a register is for those who wait for something. */
	err = qp->outstanding ? nsdk_nvme_ctrlr_health(qp->ctrlr) :
				nsdk_nvme_ctrlr_failed(qp->ctrlr);
	return err ? die(qp, err) : 0;
}

static inline int poll_queue(struct nsdk_nvme_qpair *qp, unsigned max)
{
	if (nvme_cqe_is_new(qp->cqe, qp->phase))
		return poll_snooped(qp, max);
	if (NVME_UNLIKELY(--qp->idle_polls == 0))
		return look(qp);
	return 0;
}

NVME_NOINLINE static int poll_attentively(struct nsdk_nvme_qpair *qp, unsigned max)
{
	int handled, err;

	if (NVME_UNLIKELY(qp->attention & NVME_POLLING))
		return 0;
	if (NVME_UNLIKELY(qp->attention & NVME_DEAD))
		return qp->error;
	err = nsdk_nvme_ctrlr_failed(qp->ctrlr);
	if (NVME_UNLIKELY(err))
		return die(qp, err);
	if (qp->attention & NVME_UNSENT)
		send(qp);
	if (qp->attention & NVME_MODEL)
		nsdk_device_poll(qp->dev);
	if (!qp->nosnoop)
		return poll_queue(qp, max);
	handled = poll_taking_back(qp, max);
	if (handled == 0 && NVME_UNLIKELY(--qp->idle_polls == 0))
		return look(qp);
	return handled;
}

/* Mostly there is something to send and nothing else unusual. */
NVME_NOINLINE static int poll_sending(struct nsdk_nvme_qpair *qp, unsigned max)
{
	if (NVME_UNLIKELY((qp->attention & ~(uint32_t)NVME_SPLITS) != NVME_UNSENT))
		return poll_attentively(qp, max);
	send_snooped(qp);
	return poll_queue(qp, max);
}

int nsdk_nvme_qpair_poll(struct nsdk_nvme_qpair *qp, unsigned max)
{
	if (qp->attention != 0)
		return poll_sending(qp, max);
	return poll_queue(qp, max);
}
