/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Getting well again: what the thread that polls the controller does about commands whose time is over
 * and about a controller that has failed. deadline.c is the queue pairs' side of it.
 *
 * The ladder. Each rung is tried when the one before did not help:
 *
 *	Abort		of each late command (Base 5.1), as many at a time as the controller takes
 *	the queues	of that queue pair: deleted and made again, under the same id
 *	a reset		of the controller: CC.EN 1 to 0 to 1, then the queues of all queue pairs
 *	of the function	the same, behind a function level reset
 *
 * An admin command that is not answered and a fatal status begin with the reset. It is tried a limited
 * number of times, from the second on with the function's; then the controller is taken out. Only when it
 * has been well for a minute are they counted anew.
 *
 * Every rung is a state machine that looks once and comes back; nothing waits. A function level reset
 * blocks in the kernel for 100 ms and more, so it has a thread of its own.
 *
 * Between threads. The queues of a queue pair are touched only while its thread has paused it. Where one
 * does not come by (it has nothing to do, perhaps) a reset goes on without it: the controller then does
 * not know its queues, until its thread has come by after all.
 *
 * DMA. A command is called back only when the device does no more DMA for it: its queue has been
 * deleted, or the controller has said that it is disabled. One that does not say so is reset as a
 * function, which ends its DMA with the bus mastering; or it is taken out, which does as well.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <nsdk/env.h>

/* How long a queue pair's thread is waited for. */
#define PAUSE_NS NVME_NS_PER_S
/* Behind a reset that helped for so long, resets are counted anew. */
#define WELL_NS (60 * NVME_NS_PER_S)

static enum nvme_rung rung_of(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return (enum nvme_rung)atomic_load_explicit(&ctrlr->recovery.rung, memory_order_relaxed);
}

static void climb(struct nsdk_nvme_ctrlr *ctrlr, enum nvme_rung rung)
{
	struct nvme_recovery *r = &ctrlr->recovery;

	atomic_store_explicit(&r->rung, rung, memory_order_relaxed);
	r->deadline_ns = nsdk_clock_ns() + PAUSE_NS;
	r->submitted = r->done = r->answered = false;
}

bool nsdk_nvme_ctrlr_recovering(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return rung_of(ctrlr) != NVME_RUNG_NONE ||
	       atomic_load_explicit(&ctrlr->recovery.reset_wanted, memory_order_relaxed);
}

/*
 * Something that a reset may mend. @return 0 it will be tried; else why the controller is out.
 * Any thread.
 */
int nsdk_nvme_ctrlr_trouble(struct nsdk_nvme_ctrlr *ctrlr, int error, const char *format, ...)
{
	struct nvme_recovery *r = &ctrlr->recovery;
	bool hopeless, news = false;
	char why[300];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	pthread_mutex_lock(&ctrlr->lock);
	/* On its way up for the first time, or down, it has no queue pairs to save. */
	hopeless = ctrlr->failed || ctrlr->opts.max_resets == NSDK_NVME_NO_RESETS ||
		   (ctrlr->state != NVME_STATE_READY && !r->reset_wanted);
	if (!hopeless && !r->reset_wanted) {
		news = true;
		/* Release: who sees it sees what was found before. */
		atomic_store_explicit(&r->reset_wanted, true, memory_order_release);
	}
	pthread_mutex_unlock(&ctrlr->lock);
	if (hopeless)
		return nsdk_nvme_ctrlr_fail(ctrlr, error, "%s; it has been taken out", why);
	if (news) {
		nsdk_log(NSDK_LOG_WARN, "nvme", "%s: %s; it is reset", nsdk_device_name(ctrlr->dev),
			 why);
		nsdk_nvme_irq_wake_admin(ctrlr);
	}
	return 0;
}

/* ---- Orders to queue pairs ---- */

static void order(struct nsdk_nvme_qpair *qp, enum nvme_order what)
{
	pthread_mutex_lock(&qp->ctrlr->lock);
	qp->order = what;
	pthread_mutex_unlock(&qp->ctrlr->lock);
	/* Its thread may be asleep. */
	nsdk_nvme_irqs_wake(qp->ctrlr);
}

static bool is_paused(struct nsdk_nvme_qpair *qp)
{
	bool paused;

	pthread_mutex_lock(&qp->ctrlr->lock);
	paused = qp->paused && qp->order == NVME_ORDER_PAUSE;
	pthread_mutex_unlock(&qp->ctrlr->lock);
	return paused;
}

/* It is being destroyed by this very thread: nobody waits for its pause, nor for its Aborts. */
void nsdk_nvme_recover_forget(struct nsdk_nvme_qpair *qp)
{
	struct nvme_recovery *r = &qp->ctrlr->recovery;

	qp->closing = true;
	pthread_mutex_lock(&qp->ctrlr->lock);
	qp->paused = true;
	qp->wants_queues = false;
	pthread_mutex_unlock(&qp->ctrlr->lock);
	for (uint32_t i = 0; i < NVME_ABORTS; i++)
		if (r->aborts[i].qp == qp)
			r->aborts[i].qp = NULL;
}

/* ---- Admin commands of its own ---- */

static void step_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_recovery *r = ctx;

	r->done = true;
	r->answered = cpl != NULL;
	if (cpl)
		r->cpl = *cpl;
}

/* One command for the queues of a queue pair. @return 0 it worked; -EAGAIN not yet; -EIO it did not. */
static int queue_step(struct nsdk_nvme_qpair *qp, enum nvme_queue_step step)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	struct nvme_recovery *r = &ctrlr->recovery;

	if (!r->submitted) {
		struct nsdk_nvme_cmd cmd = nsdk_nvme_queue_cmd(qp, step);
		int err = nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, step_done,
						 r);

		r->submitted = err == 0;
		return err ? err : -EAGAIN;
	}
	if (!r->done)
		return -EAGAIN;
	r->submitted = r->done = false;
	return r->answered && nsdk_nvme_cpl_ok(&r->cpl) ? 0 : -EIO;
}

/* ---- Aborts ---- */

static void abort_answered(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_abort_sent *sent = ctx;

	sent->busy = false;
	/*
	 * Whatever it says: the command comes back within a while, or it does not. Release: the record
	 * is its queue pair's again.
	 */
	if (sent->qp)
		atomic_store_explicit(&sent->qp->aborts[sent->index].state, NVME_ABORT_ANSWERED,
				      memory_order_release);
	sent->qp = NULL;
}

static struct nvme_abort_sent *idle_abort(struct nsdk_nvme_ctrlr *ctrlr)
{
	/* The Abort Command Limit is 0's based. */
	for (uint32_t i = 0; i < NVME_ABORTS && i <= ctrlr->id.acl; i++)
		if (!ctrlr->recovery.aborts[i].busy)
			return &ctrlr->recovery.aborts[i];
	return NULL;
}

/* Takes over a record that was filled in. @return whether there is one. */
static bool take_abort(struct nsdk_nvme_qpair *qp, uint32_t *index)
{
	bool found = false;

	pthread_mutex_lock(&qp->ctrlr->lock);
	/* One that is paused empties its records when it goes on. */
	for (uint32_t i = 0; i < NVME_ABORTS && !found && qp->order == NVME_ORDER_RUN; i++) {
		if (qp->aborts[i].state != NVME_ABORT_ASKED)
			continue;
		qp->aborts[i].state = NVME_ABORT_SENT;
		*index = i;
		found = true;
	}
	pthread_mutex_unlock(&qp->ctrlr->lock);
	return found;
}

static void send_aborts(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	struct nvme_abort_sent *sent;
	uint32_t index;

	while ((sent = idle_abort(ctrlr)) != NULL && take_abort(qp, &index)) {
		struct nsdk_nvme_cmd cmd = {
			.opcode = NSDK_NVME_ADMIN_ABORT,
			.cdw10 = (uint32_t)qp->aborts[index].cid << 16 | qp->ring.qid,
		};

		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: command %u on queue %u has not completed within %llu ms; it is aborted",
			 nsdk_device_name(ctrlr->dev), qp->aborts[index].cid, qp->ring.qid,
			 (unsigned long long)(qp->timeout_ns / NVME_NS_PER_MS));
		sent->qp = qp;
		sent->index = index;
		sent->busy = true;
		/* Where it cannot be sent the queues are next. */
		if (nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, abort_answered,
					   sent) != 0)
			abort_answered(ctrlr, sent, NULL);
	}
}

/* ---- The queues of one queue pair ---- */

static bool has_aborts(const struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_qpair *qp)
{
	for (uint32_t i = 0; i < NVME_ABORTS; i++)
		if (ctrlr->recovery.aborts[i].qp == qp)
			return true;
	return false;
}

/* Whether its queues are to be made again: it says so, or a reset went on without it. */
static bool wants_queues(struct nsdk_nvme_qpair *qp)
{
	bool wants;

	pthread_mutex_lock(&qp->ctrlr->lock);
	/* One that is about to go on with new queues still says what it said. */
	wants = (qp->wants_queues && qp->order == NVME_ORDER_RUN) || (!qp->has_queues && qp->paused);
	pthread_mutex_unlock(&qp->ctrlr->lock);
	return wants && !qp->closing;
}

static void begin_queues(struct nsdk_nvme_qpair *qp)
{
	qp->ctrlr->recovery.qp = qp;
	order(qp, NVME_ORDER_PAUSE);
	climb(qp->ctrlr, NVME_RUNG_PAUSE_ONE);
}

static int step_pause_one(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_qpair *qp = ctrlr->recovery.qp;

	/* An Abort that is answered later could hit a command that is sent again. */
	if (!is_paused(qp) || has_aborts(ctrlr, qp)) {
		if (nsdk_clock_ns() < ctrlr->recovery.deadline_ns || has_aborts(ctrlr, qp))
			return -EAGAIN;
		/* Its thread does not come by. It will be asked again. */
		order(qp, qp->has_queues ? NVME_ORDER_RUN : NVME_ORDER_PAUSE);
		climb(ctrlr, NVME_RUNG_NONE);
		return -EAGAIN;
	}
	climb(ctrlr, qp->has_queues ? NVME_RUNG_DELETE_SQ : NVME_RUNG_CREATE_CQ);
	return 0;
}

static int step_one(struct nsdk_nvme_ctrlr *ctrlr, enum nvme_queue_step step, enum nvme_rung next)
{
	struct nsdk_nvme_qpair *qp = ctrlr->recovery.qp;
	int err = queue_step(qp, step);

	if (err == -EAGAIN)
		return err;
	if (err)
		return nsdk_nvme_ctrlr_trouble(ctrlr, -EIO,
					       "the queues of queue pair %u cannot be made again",
					       qp->ring.qid);
	climb(ctrlr, next);
	if (next == NVME_RUNG_NONE) {
		qp->has_queues = true;
		order(qp, NVME_ORDER_RESUME);
		nsdk_log(NSDK_LOG_NOTICE, "nvme", "%s: the queues of queue pair %u have been made again",
			 nsdk_device_name(ctrlr->dev), qp->ring.qid);
	}
	return 0;
}

/* ---- The controller ---- */

static void begin_reset(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;

	for (uint32_t qid = 1; qid <= ctrlr->opts.io_queues; qid++)
		if (ctrlr->qpairs[qid])
			order(ctrlr->qpairs[qid], NVME_ORDER_PAUSE);
	if (nsdk_clock_ns() - r->well_ns >= WELL_NS)
		r->attempts = 0;
	climb(ctrlr, NVME_RUNG_PAUSE_ALL);
}

/* Counts an attempt. @return 0; why the controller is out. */
static int take_attempt(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;

	if (r->attempts == ctrlr->opts.max_resets)
		return nsdk_nvme_ctrlr_fail(ctrlr, -EIO,
					    "%u resets did not help; the controller has been taken out: "
					    "power-cycle the device, or update its firmware",
					    r->attempts);
	r->attempts++;
	return 0;
}

static void *reset_function(void *arg)
{
	struct nsdk_nvme_ctrlr *ctrlr = arg;

	ctrlr->recovery.reset_result = nsdk_device_reset(ctrlr->dev);
	atomic_store_explicit(&ctrlr->recovery.resetter_done, true, memory_order_release);
	return NULL;
}

static void begin_function_reset(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;

	climb(ctrlr, NVME_RUNG_FUNCTION_RESET);
	/* No DMA from here on, however the reset goes. */
	nsdk_nvme_ctrlr_quiesce(ctrlr);
	atomic_store(&r->resetter_done, false);
	r->resetter_runs = pthread_create(&r->resetter, NULL, reset_function, ctrlr) == 0;
	/* Better late than never. */
	if (!r->resetter_runs)
		reset_function(ctrlr);
}

static int begin_restart(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	climb(ctrlr, NVME_RUNG_RESTART);
	ctrlr->recovery.own = true;
	err = nsdk_nvme_init_begin(ctrlr);
	ctrlr->recovery.own = false;
	return err;
}

/* A try has failed: the next one begins with a reset of the function. */
static int try_again(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err = take_attempt(ctrlr);

	if (!err)
		begin_function_reset(ctrlr);
	return err;
}

static int step_pause_all(struct nsdk_nvme_ctrlr *ctrlr)
{
	bool all = true;
	int err;

	for (uint32_t qid = 1; qid <= ctrlr->opts.io_queues; qid++)
		if (ctrlr->qpairs[qid] && !is_paused(ctrlr->qpairs[qid]))
			all = false;
	if (!all && nsdk_clock_ns() < ctrlr->recovery.deadline_ns)
		return -EAGAIN;
	err = take_attempt(ctrlr);
	if (err)
		return err;
	for (uint32_t qid = 1; qid <= ctrlr->opts.io_queues; qid++)
		if (ctrlr->qpairs[qid])
			ctrlr->qpairs[qid]->has_queues = false;
	err = begin_restart(ctrlr);
	if (err && !nsdk_nvme_ctrlr_failed(ctrlr))
		err = try_again(ctrlr);
	return err;
}

static int step_function_reset(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;
	int err;

	if (!atomic_load_explicit(&r->resetter_done, memory_order_acquire))
		return -EAGAIN;
	if (r->resetter_runs)
		pthread_join(r->resetter, NULL);
	r->resetter_runs = false;
	if (nsdk_device_is_gone(ctrlr->dev))
		return nsdk_nvme_ctrlr_gone(ctrlr);
	/* Bus mastering is off, as this wants it. */
	err = nsdk_coherence_after_reset(ctrlr->coh);
	if (err)
		return nsdk_nvme_ctrlr_fail(ctrlr, err,
					    "after a reset of the function its no-snoop setting cannot be "
					    "made what it was; the controller has been taken out");
	/* A function without such a reset is disabled once more, its DMA is off. */
	err = begin_restart(ctrlr);
	return err && !nsdk_nvme_ctrlr_failed(ctrlr) ? try_again(ctrlr) : err;
}

/* Of bring-up: makes the queues of those that have paused. @return 0 all; -EAGAIN; -EIO. */
int nsdk_nvme_recover_requeue(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;

	for (; r->qid <= ctrlr->opts.io_queues; r->qid++) {
		struct nsdk_nvme_qpair *qp = ctrlr->qpairs[r->qid];
		int err;

		/* One that is being destroyed gets them too: half of them may be there already. */
		if (!qp || qp->has_queues || !is_paused(qp))
			continue;
		err = queue_step(qp, r->half ? NVME_CREATE_SQ : NVME_CREATE_CQ);
		if (err)
			return err;
		r->half = !r->half;
		if (r->half)
			return -EAGAIN;
		qp->has_queues = true;
	}
	return 0;
}

static int step_restart(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;
	enum nvme_state before = ctrlr->state;
	int err;

	r->own = true;
	err = nsdk_nvme_init_step(ctrlr);
	r->own = false;
	if (err == -EAGAIN)
		return ctrlr->state == before ? -EAGAIN : 0;
	if (err)
		return nsdk_nvme_ctrlr_failed(ctrlr) ? nsdk_nvme_ctrlr_failed(ctrlr) :
						       try_again(ctrlr);
	pthread_mutex_lock(&ctrlr->lock);
	atomic_store_explicit(&r->reset_wanted, false, memory_order_release);
	pthread_mutex_unlock(&ctrlr->lock);
	r->well_ns = nsdk_clock_ns();
	climb(ctrlr, NVME_RUNG_NONE);
	for (uint32_t qid = 1; qid <= ctrlr->opts.io_queues; qid++)
		if (ctrlr->qpairs[qid] && ctrlr->qpairs[qid]->has_queues)
			order(ctrlr->qpairs[qid], NVME_ORDER_RESUME);
	nsdk_log(NSDK_LOG_NOTICE, "nvme", "%s: the controller has been reset and goes on",
		 nsdk_device_name(ctrlr->dev));
	return 0;
}

/* ---- The ladder ---- */

static int step_none(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (ctrlr->qpair_count == 0)
		return -EAGAIN;
	for (uint32_t qid = 1; qid <= ctrlr->opts.io_queues; qid++)
		if (ctrlr->qpairs[qid])
			send_aborts(ctrlr->qpairs[qid]);
	for (uint32_t qid = 1; qid <= ctrlr->opts.io_queues; qid++) {
		struct nsdk_nvme_qpair *qp = ctrlr->qpairs[qid];

		if (!qp || !wants_queues(qp))
			continue;
		begin_queues(qp);
		return 0;
	}
	return -EAGAIN;
}

/* @return 0 there was a step; -EAGAIN nothing can be done now; else why the controller is out. */
static int step(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (atomic_load_explicit(&ctrlr->recovery.reset_wanted, memory_order_acquire) &&
	    !nvme_resetting(ctrlr)) {
		begin_reset(ctrlr);
		return 0;
	}
	switch (rung_of(ctrlr)) {
	case NVME_RUNG_NONE:
		return step_none(ctrlr);
	case NVME_RUNG_PAUSE_ONE:
		return step_pause_one(ctrlr);
	case NVME_RUNG_DELETE_SQ:
		return step_one(ctrlr, NVME_DELETE_SQ, NVME_RUNG_DELETE_CQ);
	case NVME_RUNG_DELETE_CQ:
		return step_one(ctrlr, NVME_DELETE_CQ, NVME_RUNG_CREATE_CQ);
	case NVME_RUNG_CREATE_CQ:
		return step_one(ctrlr, NVME_CREATE_CQ, NVME_RUNG_CREATE_SQ);
	case NVME_RUNG_CREATE_SQ:
		return step_one(ctrlr, NVME_CREATE_SQ, NVME_RUNG_NONE);
	case NVME_RUNG_PAUSE_ALL:
		return step_pause_all(ctrlr);
	case NVME_RUNG_FUNCTION_RESET:
		return step_function_reset(ctrlr);
	case NVME_RUNG_RESTART:
		return step_restart(ctrlr);
	default:
		return -EAGAIN;
	}
}

/*
 * As far as it goes now. @return 0 all is well; -EAGAIN something is under way; else why the
 * controller is out.
 */
int nsdk_nvme_recover(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err = nsdk_nvme_ctrlr_failed(ctrlr);

	if (err)
		climb(ctrlr, NVME_RUNG_NONE);
	if (err || ctrlr->recovery.own)
		return err;
	/* A failed reset can be a step as well, so the number of steps is bounded by the attempts. */
	do {
		err = step(ctrlr);
	} while (err == 0);
	if (nsdk_nvme_ctrlr_failed(ctrlr))
		climb(ctrlr, NVME_RUNG_NONE);
	if (err == -EAGAIN && !nsdk_nvme_ctrlr_recovering(ctrlr))
		return 0;
	return err;
}

/* Blocks until all is well or the controller is out; every step has a deadline. */
int nsdk_nvme_recover_settle(struct nsdk_nvme_ctrlr *ctrlr)
{
	unsigned looks = 0;

	for (;;) {
		int err = nsdk_nvme_ctrlr_failed(ctrlr);

		if (err || ctrlr->recovery.own || !nsdk_nvme_ctrlr_recovering(ctrlr))
			return err;
		err = nvme_resetting(ctrlr) ? 0 : nsdk_nvme_admin_poll(ctrlr);
		if (err < 0)
			return err;
		err = nsdk_nvme_recover(ctrlr);
		if (err != -EAGAIN)
			return err;
		nsdk_nvme_relax(&looks);
	}
}

/* The controller goes: nothing of this may be under way any more. */
void nsdk_nvme_recover_end(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_recovery *r = &ctrlr->recovery;

	if (r->resetter_runs)
		pthread_join(r->resetter, NULL);
	r->resetter_runs = false;
}
