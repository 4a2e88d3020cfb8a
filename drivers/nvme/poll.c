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

/* Lines of the completion queue taken back at a time once the first was full. */
#define COLLECT_LINES 4u

/* ---- Sending ---- */

static inline void ring_sq_doorbell(struct nsdk_nvme_qpair *qp, const struct nsdk_nvme_cmd *tail)
{
	nvme_doorbell(qp->ring.sq_doorbell, (uint32_t)(tail - qp->ring.sq));
}

/*
 * No-snoop: the device must find what it will read in memory, so the lines go out first. A large batch
 * takes its time; then the doorbell waits, and this thread does not: polls go on with it.
 */
NVME_NOINLINE static void send_flushed(struct nsdk_nvme_qpair *qp)
{
	const struct nvme_ring *ring = &qp->ring;
	struct nsdk_nvme_cmd *from;

	if (qp->attention & NVME_CMB)
		/* Not of memory that the device reads: nothing of them is left to be flushed. */
		nsdk_nvme_cmb_send(qp);
	from = qp->sqe_unsent;
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
	qp->attention &= ~(uint64_t)NVME_UNSENT;
	/*
	 * Payloads, PRP lists and SQEs: written back, and fenced against the doorbell store that
	 * follows, which is what makes the device read them.
	 */
	if (nsdk_flush_batch_begin(qp->to_device)) {
		ring_sq_doorbell(qp, qp->sqe);
		return;
	}
	qp->sqe_flushed = qp->sqe;
	qp->attention |= NVME_FLUSHING;
}

/* Has the batch arrived whose doorbell waits? Then it is rung, and the next may begin. */
NVME_COLD static void advance_flush(struct nsdk_nvme_qpair *qp)
{
	if (!nsdk_flush_batch_poll(qp->to_device))
		return;
	qp->attention &= ~(uint64_t)NVME_FLUSHING;
	/* Not further: what has been submitted since then is still in the caches. */
	ring_sq_doorbell(qp, qp->sqe_flushed);
}

static inline void send_snooped(struct nsdk_nvme_qpair *qp)
{
	qp->attention &= ~(uint64_t)NVME_UNSENT;
	ring_sq_doorbell(qp, qp->sqe);
}

static inline void send(struct nsdk_nvme_qpair *qp)
{
	if (NVME_UNLIKELY(qp->nosnoop)) {
		/* One flush at a time: what came behind it goes out with the poll that sees it end. */
		if (!(qp->attention & NVME_FLUSHING))
			send_flushed(qp);
	} else {
		if (NVME_UNLIKELY(qp->attention & NVME_CMB))
			nsdk_nvme_cmb_send(qp);
		send_snooped(qp);
		if (qp->attention & NVME_SHADOW)
			nsdk_nvme_shadow_told(&qp->sq_bell);
	}
}

NVME_NOINLINE static int submit_attentively(struct nsdk_nvme_qpair *qp)
{
	if (NVME_UNLIKELY(qp->attention & NVME_DEAD))
		return qp->error;
	if (NVME_UNLIKELY(qp->attention & NVME_PAUSED))
		return 0;
	if (qp->attention & NVME_UNSENT)
		send(qp);
	return 0;
}

int nsdk_nvme_qpair_submit(struct nsdk_nvme_qpair *qp)
{
	if (NVME_UNLIKELY(qp->attention != NVME_UNSENT))
		return submit_attentively(qp);
	qp->attention = 0;
	ring_sq_doorbell(qp, qp->sqe);
	return 0;
}

/* ---- The end ---- */

/* Accepts and sends nothing any more. */
void nsdk_nvme_qpair_close(struct nsdk_nvme_qpair *qp, int error)
{
	if (qp->attention & NVME_DEAD)
		return;
	qp->attention |= NVME_DEAD;
	qp->attention &= ~(uint64_t)(NVME_UNSENT | NVME_FLUSHING);
	qp->free = NULL;
	qp->error = error;
}

/* Hands what was collected to its owners: their data has been taken back. */
static void deliver(struct nsdk_nvme_qpair *qp, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct nvme_tracker *t = qp->arrivals[i].tracker;
		nsdk_nvme_cb cb = t->cb;

		t->cb = NULL;
		t->arrived = false;
		if (!(qp->attention & (NVME_DEAD | NVME_PAUSED))) {
			t->next_free = qp->free;
			qp->free = t;
		}
		qp->completed++;
		cb(t->ctx, qp->arrivals[i].cqe);
	}
}

/*
 * Completes with @p status what is outstanding and not marked as arrived. The device does no DMA for it
 * any more.
 */
NVME_COLD void nsdk_nvme_qpair_give_up(struct nsdk_nvme_qpair *qp, uint16_t status)
{
	for (uint32_t i = 0; i < qp->tracker_count; i++) {
		struct nvme_tracker *t = &qp->trackers[i];

		if (t->cb && !t->arrived && t->from_device_bytes)
			nsdk_nvme_payload_flush(qp->ctrlr, qp->from_device, t->from_device,
						t->from_device_bytes, NSDK_DMA_FROM_DEVICE, true);
		if (t->cb && !t->arrived && t->has_metadata)
			nsdk_nvme_metadata_take_back(qp, t);
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

		if (!cb || t->arrived)
			continue;
		t->cb = NULL;
		qp->completed++;
		cb(t->ctx, &cpl);
	}
}

/*
 * Completes everything outstanding with @p status. The device does no DMA for this queue any more:
 * it is deleted, or the controller has been taken out.
 */
NVME_COLD void nsdk_nvme_qpair_abort_all(struct nsdk_nvme_qpair *qp, uint16_t status)
{
	nsdk_nvme_qpair_close(qp, -EIO);
	qp->attention |= NVME_POLLING;
	/*
	 * Flushes under way end first: the owners may free their buffers, and nobody may be inside of
	 * them by then. What had completed has a status of its own.
	 */
	nsdk_flush_batch_commit(qp->to_device);
	nsdk_flush_batch_commit(qp->from_device);
	if (qp->attention & NVME_TAKING) {
		qp->attention &= ~(uint64_t)NVME_TAKING;
		deliver(qp, qp->arrival_count);
	}
	nsdk_nvme_qpair_give_up(qp, status);
	nsdk_nvme_splits_abort(qp, status);
	qp->attention &= ~(uint64_t)NVME_POLLING;
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
	qp->attention &= ~(uint64_t)NVME_POLLING;
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
	return nvme_cqe_dw2(cqe) - qp->sqid_dw2 < qp->entries && (uint32_t)cid < qp->tracker_count;
}

/* Completions of commands that are parts of splits are no I/O of users; the splits' ends are. */
NVME_NOINLINE static int splits_polled(struct nsdk_nvme_qpair *qp)
{
	int correction;

	nsdk_nvme_splits_advance(qp);
	correction = qp->poll_correction;
	qp->poll_correction = 0;
	if (qp->split_count == 0)
		qp->attention &= ~(uint64_t)NVME_SPLITS;
	return correction;
}

NVME_NOINLINE static int polled_attentively(struct nsdk_nvme_qpair *qp, uint32_t handled)
{
	int count = (int)handled;

	if (qp->attention & NVME_SHADOW)
		nsdk_nvme_shadow_told(&qp->cq_bell);
	if (NVME_UNLIKELY(qp->attention & NVME_SPLITS))
		count += splits_polled(qp);
	qp->attention &= ~(uint64_t)NVME_POLLING;
	/* What the callbacks submitted goes out as a batch of its own. */
	if (qp->attention & NVME_UNSENT)
		send(qp);
	if (NVME_UNLIKELY(qp->attention & NVME_LOOK)) {
		qp->attention &= ~(uint64_t)NVME_LOOK;
		nsdk_nvme_watch(qp);
	}
	return count;
}

/*
 * Behind the completions of a poll, of which @p cqe is the first that was not handled. @return what it
 * handled, in I/O of users.
 */
static inline int polled(struct nsdk_nvme_qpair *qp, uint32_t handled, const struct nsdk_nvme_cpl *cqe)
{
	/*
	 * The slots are the device's again. The CPU has only read them, so no dirty line of theirs can
	 * be written back later over a new completion; that they have been read before the device may
	 * overwrite them is what the release in the doorbell orders.
	 */
	nvme_doorbell(qp->ring.cq_doorbell, (uint32_t)(cqe - qp->ring.cq));
	if (NVME_LIKELY(qp->attention == NVME_POLLING)) {
		qp->attention = 0;
		return (int)handled;
	}
	return polled_attentively(qp, handled);
}

#define NVME_LAPS_BETWEEN_LOOKS 8u

/*
 * The completion ring has come round some times: were there never an empty poll, this is how the clock
 * gets looked at. Out of the compiler's sight where that is possible, or it arranges the registers of
 * the usual way for this one.
 */
__attribute__((always_inline)) static inline void look_soon(struct nsdk_nvme_qpair *qp)
{
	/* Some laps are a moment, too. */
	if (qp->laps % NVME_LAPS_BETWEEN_LOOKS)
		return;
#if defined(__x86_64__)
	__asm__("orq %1, %0" : "+m"(qp->attention) : "i"(NVME_LOOK) : "cc");
#else
	qp->attention |= NVME_LOOK;
#endif
}

/* Takes the command off: its owner is called next. */
__attribute__((always_inline)) static inline void retire(struct nsdk_nvme_qpair *qp,
							 struct nvme_tracker *t)
{
	t->cb = NULL;
	t->next_free = qp->free;
	qp->free = t;
	qp->completed++;
}

/*
 * There is a completion behind the first, and the device's writes were snooped. The place in the ring
 * is kept in registers: callbacks cannot look at it, as polls from inside of them do nothing.
 *
 * @param left  how many more to handle, at most; not 0.
 */
NVME_NOINLINE static int poll_more(struct nsdk_nvme_qpair *qp, uint32_t left)
{
	const struct nsdk_nvme_cpl *cqe = qp->cqe;
	uint32_t phase = qp->phase, given = left;

	do {
		const struct nsdk_nvme_cpl *cpl;
		size_t cid = cqe->cid;
		struct nvme_tracker *t;
		nsdk_nvme_cb cb;

		if (NVME_UNLIKELY(!is_sane(qp, cqe, cid)))
			return lied(qp, cqe);
		t = &qp->trackers[cid];
		cb = t->cb;
		if (NVME_UNLIKELY(!cb))
			return lied(qp, cqe);
		retire(qp, t);
		/* A copy for the callback; the loop's own stays in a register that outlives the call. */
		cpl = cqe;
		__asm__("" : "+r"(cpl));
		if (NVME_UNLIKELY(++cqe == qp->ring.cq_end)) {
			cqe = qp->ring.cq;
			phase ^= NSDK_NVME_STATUS_PHASE;
			look_soon(qp);
		}
		cb(t->ctx, cpl);
		if (NVME_UNLIKELY(--left == 0))
			break;
	} while (NVME_LIKELY(nvme_cqe_is_new(cqe, phase)));
	qp->cqe = cqe;
	qp->phase = phase;
	return polled(qp, 1 + given - left, cqe);
}

/*
 * There is a completion, and the device's writes were snooped. Mostly it is the only one when few
 * commands are in flight, and then all that is saved and restored is one register.
 */
NVME_NOINLINE static int poll_snooped(struct nsdk_nvme_qpair *qp, unsigned max)
{
	const struct nsdk_nvme_cpl *cqe = qp->cqe, *next = cqe + 1;
	size_t cid = cqe->cid;
	struct nvme_tracker *t;
	nsdk_nvme_cb cb;

	if (NVME_UNLIKELY(!is_sane(qp, cqe, cid)))
		return lied(qp, cqe);
	t = &qp->trackers[cid];
	cb = t->cb;
	if (NVME_UNLIKELY(!cb))
		return lied(qp, cqe);
	retire(qp, t);
	if (NVME_UNLIKELY(next == qp->ring.cq_end)) {
		next = qp->ring.cq;
		qp->phase ^= NSDK_NVME_STATUS_PHASE;
		look_soon(qp);
	}
	qp->cqe = next;
	qp->poll_max = max;
	qp->attention |= NVME_POLLING;
	cb(t->ctx, cqe);
	next = qp->cqe;
	if (nvme_cqe_is_new_at(next, &qp->phase) && qp->poll_max != 1)
		/* A device that never stops completing gets one round of the ring at a time. */
		return poll_more(qp, (qp->poll_max ? qp->poll_max : qp->entries) - 1);
	return polled(qp, 1, next);
}

/*
 * Looks for completions of a device whose writes may have gone past the caches: what the CPU sees in
 * the completion queue may be stale, so its lines are taken back before they are read. The payloads
 * of what has arrived are added to the batch.
 *
 * @param[out] bad  a completion that cannot be, or NULL.
 */
static uint32_t collect(struct nsdk_nvme_qpair *qp, uint32_t max, const struct nsdk_nvme_cpl **bad)
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
		qp->arrivals[count++] = (struct nvme_arrival){ t, qp->cqe };
		if (t->from_device_bytes)
			nsdk_nvme_payload_flush(qp->ctrlr, qp->from_device, t->from_device,
						t->from_device_bytes, NSDK_DMA_FROM_DEVICE, true);
		if (t->has_metadata)
			nsdk_nvme_metadata_take_back(qp, t);
		if (++qp->cqe == qp->ring.cq_end) {
			qp->cqe = qp->ring.cq;
			qp->phase ^= NSDK_NVME_STATUS_PHASE;
		}
	}
	return count;
}

/*
 * A poll of a device that may bypass the caches.
 *
 * @param wait  for the last look at a queue that is deleted: everything is over when it returns.
 */
NVME_NOINLINE static int poll_taking_back(struct nsdk_nvme_qpair *qp, unsigned max, bool wait)
{
	const struct nsdk_nvme_cpl *next = NULL; /* the first slot that was not handled */
	const struct nsdk_nvme_cpl *bad = NULL;
	uint32_t handled = 0, count = NVME_COLLECT_MAX;

	if (max == 0)
		max = qp->entries;
	qp->attention |= NVME_POLLING;
	if (NVME_UNLIKELY(qp->attention & NVME_TAKING)) {
		if (wait)
			nsdk_flush_batch_commit(qp->from_device);
		else if (!nsdk_flush_batch_poll(qp->from_device))
			goto nothing;
		qp->attention &= ~(uint64_t)NVME_TAKING;
		bad = qp->bad;
		deliver(qp, qp->arrival_count);
		handled = qp->arrival_count;
		/* Where collecting stopped, and goes on. */
		next = qp->cqe;
	}
	while (!bad && count == NVME_COLLECT_MAX && handled < max) {
		count = collect(qp, max - handled < NVME_COLLECT_MAX ? max - handled :
								       NVME_COLLECT_MAX, &bad);
		/*
		 * The payloads: dropped from the cache in one go, then one fence, then the callbacks
		 * look. Dropping must not come before the completion was read, or the cache could be
		 * filled again with what was in memory before the device wrote; line operations are
		 * not ordered behind loads by themselves, so the batch puts a barrier before them.
		 */
		if (wait) {
			nsdk_flush_batch_commit(qp->from_device);
		} else if (!nsdk_flush_batch_begin(qp->from_device)) {
			/* Large: the callbacks wait for a later poll, and their slots are not given back. */
			qp->attention |= NVME_TAKING;
			qp->arrival_count = count;
			qp->bad = bad;
			bad = NULL;
			break;
		}
		deliver(qp, count);
		next = qp->cqe;
		handled += count;
	}
	if (NVME_UNLIKELY(bad))
		return lied(qp, bad);
	/* A paused queue is no more, so nobody wants to know how far we are in it. */
	if (handled && !(qp->attention & NVME_PAUSED))
		return polled(qp, handled, next);
nothing:
	qp->attention &= ~(uint64_t)NVME_POLLING;
	return 0;
}

/* Hands out what is being taken back, waiting for it. */
void nsdk_nvme_qpair_deliver_taken(struct nsdk_nvme_qpair *qp)
{
	if (qp->attention & NVME_TAKING)
		poll_taking_back(qp, 0, true);
}

/* Handles what has been completed, and sends nothing: the queue is closed or paused. */
void nsdk_nvme_qpair_drain(struct nsdk_nvme_qpair *qp)
{
	nsdk_device_poll(qp->dev);
	poll_taking_back(qp, 0, true);
}

/* ---- Polls ---- */

/* Many polls found nothing: does the controller still live? Its silence may be all that tells. */
NVME_COLD static int look(struct nsdk_nvme_qpair *qp)
{
	int err;

	qp->idle_polls = NVME_IDLE_POLLS;
	/* Another thread may have found out; reading a register is for those who wait for something. */
	err = nvme_outstanding(qp) ? nsdk_nvme_ctrlr_health(qp->ctrlr) :
				nsdk_nvme_ctrlr_failed(qp->ctrlr);
	if (err)
		return die(qp, err);
	nsdk_nvme_watch(qp);
	return 0;
}

static inline int poll_queue(struct nsdk_nvme_qpair *qp, unsigned max)
{
	if (nvme_cqe_is_new_at(qp->cqe, &qp->phase))
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
	if (NVME_UNLIKELY(--qp->watch_polls == 0)) {
		qp->watch_polls = NVME_WATCH_POLLS;
		nsdk_nvme_watch(qp);
	}
	if (NVME_UNLIKELY(qp->attention & NVME_PAUSED))
		return nsdk_nvme_paused(qp);
	if (NVME_UNLIKELY(qp->attention & NVME_FLUSHING))
		advance_flush(qp);
	if (qp->attention & NVME_UNSENT)
		send(qp);
	if (qp->attention & NVME_MODEL)
		nsdk_device_poll(qp->dev);
	if (!qp->nosnoop)
		return poll_queue(qp, max);
	handled = poll_taking_back(qp, max, false);
	if (handled == 0 && NVME_UNLIKELY(--qp->idle_polls == 0))
		return look(qp);
	return handled;
}

/* Mostly there is something to send and nothing else unusual. */
NVME_NOINLINE static int poll_sending(struct nsdk_nvme_qpair *qp, unsigned max)
{
	if (NVME_UNLIKELY((qp->attention & ~(uint64_t)NVME_SPLITS) != NVME_UNSENT))
		return poll_attentively(qp, max);
	send_snooped(qp);
	return poll_queue(qp, max);
}

int nsdk_nvme_qpair_poll(struct nsdk_nvme_qpair *qp, unsigned max)
{
	if (NVME_UNLIKELY(qp->attention != 0))
		return poll_sending(qp, max);
	return poll_queue(qp, max);
}
