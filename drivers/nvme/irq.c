/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts, for who sleeps instead of polling.
 *
 * A queue pair that was made with interrupts has a vector of MSI-X, named in Create I/O Completion Queue
 * (IEN and IV, Base 5.4), so that it is the same after its queues have been made again and after a reset.
 * Vector 0 is the admin queue's by definition (Base 3.1.3.10, ACQ), and its interrupts cannot be turned off
 * but by the mask. The others are dealt out by queue id, and shared where there are fewer of them than
 * queue pairs; where there is one in all, with the admin queue.
 *
 * For the admin queue, MSI-X has to be on before the controller is enabled: what interrupt an admin
 * completion makes is settled by then in some of them, QEMU's for one. So that is asked for at the attach.
 *
 * A vector signals an eventfd while one of its queues is armed. Otherwise it is masked, so that
 * who polls is not interrupted. Arming takes system calls, so it is for when work is over, not for
 * each I/O; one that is armed stays so over many sleeps. Nobody reads the eventfd: who waits for it is
 * told of every signal by an edge, and two threads that share one cannot take it from each other.
 *
 * The rule of who arms is that of every interrupt: arm, look once more, sleep. What was completed before
 * the arming may signal nothing; what is completed behind it does.
 *
 * Sleeps are bounded. While commands are outstanding their deadlines have to be looked at (deadline.c,
 * admin.c), and an interrupt may have got lost. And whoever takes the controller out, or wants a queue pair
 * to pause, or has work for the controller's thread, signals the eventfds as the device does.
 *
 * Threading: arming and disarming are for the queue pair's thread, or the controller's; the lock is for
 * vectors that are shared.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nsdk/env.h>

/* What is outstanding is looked at so often, interrupt or not. */
#define LOST_NS (500 * NVME_NS_PER_MS)
/* The same while commands are aborted. */
#define ABORT_NS (10 * NVME_NS_PER_MS)
/*
 * How often a controller that is waited for is looked at when nothing but events can come: a fatal status
 * signals nothing, and an interrupt may have got lost. More often than deadline.c calls it unattended.
 */
#define IDLE_NS (5 * NVME_NS_PER_S)
/* The same, and while commands are outstanding, where it has no interrupt. */
#define POLLED_IDLE_NS (200 * NVME_NS_PER_MS)
#define POLLED_NS (20 * NVME_NS_PER_MS)

void nsdk_nvme_irqs_init(struct nsdk_nvme_ctrlr *ctrlr)
{
	pthread_mutex_init(&ctrlr->irqs.lock, NULL);
}

/* @return 0 or -errno, logged. */
static int set_armed(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_irq *irq, bool on)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;
	struct nvme_vector *vector = &irqs->vectors[irq->vector];
	int err = 0;

	if (irq->armed == on)
		return 0;
	pthread_mutex_lock(&irqs->lock);
	if (on && vector->refused)
		err = -EOPNOTSUPP;
	else if (vector->armed == (on ? 0 : 1))
		err = nsdk_device_irq_set(ctrlr->dev, (unsigned)irq->vector, on ? vector->fd : -1);
	/* One that cannot be disarmed is a nuisance only. */
	if (!err || !on) {
		vector->armed += on ? 1u : -1u;
		irq->armed = on;
	}
	pthread_mutex_unlock(&irqs->lock);
	return err;
}

/* Its vector cannot be armed, which has been said, and would be again at each turn of a loop. */
static int refuse(struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_irq *irq)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;

	/* A failure is the next poll's to report. */
	if (nsdk_nvme_ctrlr_failed(ctrlr))
		return -EAGAIN;
	pthread_mutex_lock(&irqs->lock);
	irqs->vectors[irq->vector].refused = true;
	pthread_mutex_unlock(&irqs->lock);
	return -EOPNOTSUPP;
}

/* The controller does not use the queue any more. */
static void put(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_irq *irq)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;
	struct nvme_vector *vector;

	if (irq->vector < 0)
		return;
	(void)set_armed(ctrlr, irq, false);
	pthread_mutex_lock(&irqs->lock);
	vector = &irqs->vectors[irq->vector];
	if (--vector->users == 0) {
		close(vector->fd);
		vector->fd = -1;
		vector->refused = false;
	}
	pthread_mutex_unlock(&irqs->lock);
	irq->vector = -1;
}

void nsdk_nvme_irqs_destroy(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;

	put(ctrlr, &ctrlr->admin.irq);
	/* What fails has been said; the detach of the device does it again. */
	if (irqs->count && !nsdk_device_is_gone(ctrlr->dev))
		nsdk_device_irq_disable(ctrlr->dev);
	free(irqs->vectors);
	irqs->vectors = NULL;
	irqs->count = 0;
	pthread_mutex_destroy(&irqs->lock);
}

/* Turns MSI-X on, with every vector masked. @return whether there are any; if not, one sentence says why. */
static bool turn_on(struct nsdk_nvme_ctrlr *ctrlr)
{
	unsigned have = nsdk_device_irq_count(ctrlr->dev), count;
	struct nvme_irqs *irqs = &ctrlr->irqs;
	int *none;
	int err;

	if (!nsdk_device_works_alone(ctrlr->dev)) {
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: this model works only while it is polled, so there is no interrupt to wait for "
			 "and its queues are polled; say thread=1", nsdk_device_name(ctrlr->dev));
		return false;
	}
	if (have == 0) {
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: the device has no MSI-X interrupts, so its queues are polled",
			 nsdk_device_name(ctrlr->dev));
		return false;
	}
	/* At the attach it has not been asked yet how many it grants. */
	count = (ctrlr->io_queues ? ctrlr->io_queues : ctrlr->opts.io_queues) + 1;
	if (count > have)
		count = have;
	none = calloc(count, sizeof(*none));
	irqs->vectors = calloc(count, sizeof(*irqs->vectors));
	if (!none || !irqs->vectors) {
		err = nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u interrupts, so its queues are polled",
				nsdk_device_name(ctrlr->dev), count);
	} else {
		for (unsigned i = 0; i < count; i++)
			none[i] = irqs->vectors[i].fd = -1;
		err = nsdk_device_irq_enable(ctrlr->dev, none, count);
	}
	free(none);
	if (err) {
		free(irqs->vectors);
		irqs->vectors = NULL;
		return false;
	}
	irqs->count = count;
	return true;
}

/*
 * A vector for a queue that is being made. Without one it is polled, which is no error: the reason is said
 * once for a controller.
 */
static void take(struct nsdk_nvme_ctrlr *ctrlr, unsigned qid, struct nvme_irq *irq)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;
	struct nvme_vector *vector;
	unsigned number;

	pthread_mutex_lock(&irqs->lock);
	if (!irqs->count && !irqs->refused)
		irqs->refused = !turn_on(ctrlr);
	if (irqs->count) {
		number = qid == 0 || irqs->count == 1 ? 0 : 1 + (qid - 1) % (irqs->count - 1);
		vector = &irqs->vectors[number];
		if (vector->fd < 0)
			vector->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->fd < 0) {
			nsdk_log(NSDK_LOG_WARN, "nvme",
				 "%s: no file descriptor for an interrupt of queue %u, so it is polled: %s; "
				 "raise the limit (ulimit -n)", nsdk_device_name(ctrlr->dev), qid,
				 strerror(errno));
		} else {
			vector->users++;
			irq->vector = (int)number;
		}
	}
	pthread_mutex_unlock(&irqs->lock);
}

void nsdk_nvme_irq_take(struct nsdk_nvme_qpair *qp)
{
	take(qp->ctrlr, qp->ring.qid, &qp->irq);
}

/* The controller is not enabled yet. */
void nsdk_nvme_irq_take_admin(struct nsdk_nvme_ctrlr *ctrlr)
{
	take(ctrlr, 0, &ctrlr->admin.irq);
}

/* What nsdk_nvme_irq_fd() and nsdk_nvme_irq_admin_fd() are for. */
static int fd_of(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_irq *irq)
{
	return irq->vector < 0 ? -1 : ctrlr->irqs.vectors[irq->vector].fd;
}

int nsdk_nvme_irq_fd(const struct nsdk_nvme_qpair *qp)
{
	return fd_of(qp->ctrlr, &qp->irq);
}

int nsdk_nvme_irq_admin_fd(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return fd_of(ctrlr, &ctrlr->admin.irq);
}

void nsdk_nvme_irq_put(struct nsdk_nvme_qpair *qp)
{
	put(qp->ctrlr, &qp->irq);
}

/* Those who sleep, of the first so many vectors. */
static void wake(struct nsdk_nvme_ctrlr *ctrlr, unsigned most)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;

	pthread_mutex_lock(&irqs->lock);
	for (unsigned i = 0; i < irqs->count && i < most; i++)
		if (irqs->vectors[i].armed)
			(void)eventfd_write(irqs->vectors[i].fd, 1);
	pthread_mutex_unlock(&irqs->lock);
}

/* Wakes the controller's thread, which has something to do, and in vain who shares its vector. Any thread. */
void nsdk_nvme_irq_wake_admin(struct nsdk_nvme_ctrlr *ctrlr)
{
	wake(ctrlr, 1);
}

/* Wakes whoever sleeps on this controller's queues. Any thread. */
void nsdk_nvme_irqs_wake(struct nsdk_nvme_ctrlr *ctrlr)
{
	wake(ctrlr, UINT_MAX);
}

static bool aborts_are_open(const struct nsdk_nvme_qpair *qp)
{
	for (uint32_t i = 0; i < NVME_ABORTS; i++)
		if (atomic_load_explicit(&qp->aborts[i].state, memory_order_relaxed) != NVME_ABORT_FREE)
			return true;
	return false;
}

/* When its thread has to come by at the latest. */
static uint64_t latest_ns(const struct nsdk_nvme_qpair *qp, uint64_t now_ns)
{
	uint64_t latest_ns = now_ns + LOST_NS;

	if (aborts_are_open(qp))
		return now_ns + ABORT_NS;
	if (nvme_outstanding(qp) == 0)
		return UINT64_MAX;
	if (qp->timeout_ns != NSDK_NVME_NO_TIMEOUT && qp->scan_ns < latest_ns)
		latest_ns = qp->scan_ns;
	return latest_ns;
}

/*
 * From now on completions are signalled; one more poll, and its thread may sleep.
 *
 * @param late  its last sleep was ended by the time: something may be wrong.
 * @return 0; -EAGAIN not now: poll on; -EOPNOTSUPP there are no interrupts.
 */
int nsdk_nvme_irq_arm(struct nsdk_nvme_qpair *qp, bool late, uint64_t *wake_ns)
{
	/* What is going on that tells by no interrupt. */
	const uint64_t awake = NVME_FLUSHING | NVME_TAKING | NVME_PAUSED;
	uint64_t latest;

	if (qp->irq.vector < 0)
		return -EOPNOTSUPP;
	if (qp->attention & (NVME_DEAD | NVME_POLLING))
		return -EAGAIN;
	if (qp->attention & NVME_UNSENT)
		nsdk_nvme_qpair_submit(qp);
	/*
	 * Before the look: when a pause is ordered that hands out what has been taken back, and callbacks
	 * may do whatever they like with the group and the poller that we are called from.
	 */
	if (qp->attention & awake)
		return -EAGAIN;
	if (set_armed(qp->ctrlr, &qp->irq, true) != 0)
		return refuse(qp->ctrlr, &qp->irq);
	/*
	 * Behind the arming, as with completions: who takes the controller out or orders a pause from here
	 * on signals us. A poll of the shortest kind would not look for either.
	 */
	if (nsdk_nvme_ctrlr_failed(qp->ctrlr)) {
		qp->idle_polls = 1;
		return -EAGAIN;
	}
	if (late)
		qp->idle_polls = 1;
	nsdk_nvme_watch(qp);
	if (qp->attention & (awake | NVME_DEAD | NVME_UNSENT))
		return -EAGAIN;
	latest = latest_ns(qp, nsdk_clock_ns());
	if (latest < *wake_ns)
		*wake_ns = latest;
	return 0;
}

void nsdk_nvme_irq_disarm(struct nsdk_nvme_qpair *qp)
{
	if (qp->irq.vector >= 0)
		(void)set_armed(qp->ctrlr, &qp->irq, false);
}

/* When the controller's thread has to come by at the latest. */
static uint64_t latest_admin_ns(const struct nsdk_nvme_ctrlr *ctrlr, bool signals, uint64_t now_ns)
{
	const struct nvme_admin *admin = &ctrlr->admin;
	uint64_t latest_ns = now_ns + (signals ? IDLE_NS : POLLED_IDLE_NS);

	for (uint32_t i = 0; i < admin->request_count; i++) {
		const struct nvme_admin_request *request = &admin->requests[i];
		uint64_t by_ns = now_ns + (signals ? LOST_NS : POLLED_NS);

		/* Requests for events have no deadline. */
		if (!request->cb || !request->deadline_ns)
			continue;
		if (request->deadline_ns < by_ns)
			by_ns = request->deadline_ns;
		if (by_ns < latest_ns)
			latest_ns = by_ns;
	}
	return latest_ns;
}

/*
 * The same for the admin queue and the controller's thread. Where it has no interrupt its sleeps are short.
 *
 * @return 0; -EAGAIN not now: poll on.
 */
int nsdk_nvme_irq_arm_admin(struct nsdk_nvme_ctrlr *ctrlr, uint64_t *wake_ns)
{
	struct nvme_irq *irq = &ctrlr->admin.irq;
	bool signals = irq->vector >= 0 && set_armed(ctrlr, irq, true) == 0;
	uint64_t latest;

	if (irq->vector >= 0 && !signals && refuse(ctrlr, irq) == -EAGAIN)
		return -EAGAIN;
	/* Behind the arming: who finds trouble or has work for this thread from here on signals it. */
	if (nsdk_nvme_ctrlr_failed(ctrlr) || nsdk_nvme_ctrlr_recovering(ctrlr))
		return -EAGAIN;
	latest = latest_admin_ns(ctrlr, signals, nsdk_clock_ns());
	if (latest < *wake_ns)
		*wake_ns = latest;
	return 0;
}

void nsdk_nvme_irq_disarm_admin(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (ctrlr->admin.irq.vector >= 0)
		(void)set_armed(ctrlr, &ctrlr->admin.irq, false);
}

/* A completion was found, and its interrupt never came. Any thread. */
void nsdk_nvme_irq_lost(struct nsdk_nvme_ctrlr *ctrlr, unsigned qid)
{
	bool first;

	pthread_mutex_lock(&ctrlr->irqs.lock);
	first = !ctrlr->irqs.lost_said;
	ctrlr->irqs.lost_said = true;
	pthread_mutex_unlock(&ctrlr->irqs.lock);
	if (first)
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: an interrupt of queue %u did not come, and its completion was found later; "
			 "%s on, slower when that happens often: poll then", nsdk_device_name(ctrlr->dev), qid,
			 qid ? "I/O goes" : "commands go");
}

bool nsdk_nvme_qpair_has_interrupt(const struct nsdk_nvme_qpair *qp)
{
	return qp->irq.vector >= 0;
}

bool nsdk_nvme_ctrlr_has_interrupt(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->admin.irq.vector >= 0;
}
