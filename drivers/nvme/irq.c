/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of I/O queues, for who sleeps instead of polling.
 *
 * A queue pair that was made with interrupts has a vector of MSI-X, named in Create I/O Completion Queue
 * (IEN and IV, Base 5.4), so that it is the same after its queues have been made again and after a reset.
 * Vector 0 is the admin queue's, which is polled; the others are dealt out by queue id, and shared where
 * there are fewer of them than queue pairs.
 *
 * A vector signals an eventfd while one of its queue pairs is armed. Otherwise it is masked, so that
 * who polls is not interrupted. Arming takes system calls, so it is for when work is over, not for
 * each I/O; one that is armed stays so over many sleeps. Nobody reads the eventfd: who waits for it is
 * told of every signal by an edge, and two threads that share one cannot take it from each other.
 *
 * The rule of who arms is that of every interrupt: arm, look once more, sleep. What was completed before
 * the arming may signal nothing; what is completed behind it does.
 *
 * Sleeps are bounded. While I/O is outstanding its deadlines have to be looked at (deadline.c), and an
 * interrupt may have got lost. And whoever takes the controller out, or wants a queue pair to pause,
 * signals the eventfds as the device does.
 *
 * Threading: arming and disarming are for the queue pair's thread; the lock is for vectors that are shared.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nsdk/env.h>

/* What is outstanding is looked at so often, interrupt or not. */
#define LOST_NS (500 * NVME_NS_PER_MS)
/* The same while commands are aborted. */
#define ABORT_NS (10 * NVME_NS_PER_MS)

void nsdk_nvme_irqs_init(struct nsdk_nvme_ctrlr *ctrlr)
{
	pthread_mutex_init(&ctrlr->irqs.lock, NULL);
}

void nsdk_nvme_irqs_destroy(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;

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
	unsigned have = nsdk_device_irq_count(ctrlr->dev), count = ctrlr->io_queues + 1;
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
 * A vector for a queue pair that is being made. Without one it is polled, which is no error: the reason is
 * said once for a controller.
 */
void nsdk_nvme_irq_take(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	struct nvme_irqs *irqs = &ctrlr->irqs;
	struct nvme_vector *vector;
	unsigned number;

	pthread_mutex_lock(&irqs->lock);
	if (!irqs->count && !irqs->refused)
		irqs->refused = !turn_on(ctrlr);
	if (irqs->count) {
		number = irqs->count == 1 ? 0 : 1 + (qp->ring.qid - 1u) % (irqs->count - 1);
		vector = &irqs->vectors[number];
		if (vector->fd < 0)
			vector->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->fd < 0) {
			nsdk_log(NSDK_LOG_WARN, "nvme",
				 "%s: no file descriptor for an interrupt of queue pair %u, so it is polled: "
				 "%s; raise the limit (ulimit -n)", nsdk_device_name(ctrlr->dev),
				 qp->ring.qid, strerror(errno));
		} else {
			vector->users++;
			qp->vector = (int)number;
		}
	}
	pthread_mutex_unlock(&irqs->lock);
}

/* @return 0 or -errno, logged. */
static int set_armed(struct nsdk_nvme_qpair *qp, bool on)
{
	struct nvme_irqs *irqs = &qp->ctrlr->irqs;
	struct nvme_vector *vector = &irqs->vectors[qp->vector];
	int err = 0;

	if (qp->irq_armed == on)
		return 0;
	pthread_mutex_lock(&irqs->lock);
	if (on && vector->refused)
		err = -EOPNOTSUPP;
	else if (vector->armed == (on ? 0 : 1))
		err = nsdk_device_irq_set(qp->dev, (unsigned)qp->vector, on ? vector->fd : -1);
	/* One that cannot be disarmed is a nuisance only. */
	if (!err || !on) {
		vector->armed += on ? 1u : -1u;
		qp->irq_armed = on;
	}
	pthread_mutex_unlock(&irqs->lock);
	return err;
}

/* Its vector cannot be armed, which has been said, and would be again at each turn of a loop. */
static int refuse(const struct nsdk_nvme_qpair *qp)
{
	struct nvme_irqs *irqs = &qp->ctrlr->irqs;

	/* A failure is the next poll's to report. */
	if (nsdk_nvme_ctrlr_failed(qp->ctrlr))
		return -EAGAIN;
	pthread_mutex_lock(&irqs->lock);
	irqs->vectors[qp->vector].refused = true;
	pthread_mutex_unlock(&irqs->lock);
	return -EOPNOTSUPP;
}

/* The queue pair is being destroyed; the controller does not know its queues any more. */
void nsdk_nvme_irq_put(struct nsdk_nvme_qpair *qp)
{
	struct nvme_irqs *irqs = &qp->ctrlr->irqs;
	struct nvme_vector *vector;

	if (qp->vector < 0)
		return;
	nsdk_nvme_irq_disarm(qp);
	pthread_mutex_lock(&irqs->lock);
	vector = &irqs->vectors[qp->vector];
	if (--vector->users == 0) {
		close(vector->fd);
		vector->fd = -1;
		vector->refused = false;
	}
	pthread_mutex_unlock(&irqs->lock);
	qp->vector = -1;
}

int nsdk_nvme_irq_fd(const struct nsdk_nvme_qpair *qp)
{
	return qp->vector < 0 ? -1 : qp->ctrlr->irqs.vectors[qp->vector].fd;
}

/* Wakes whoever sleeps on this controller's queues. Any thread. */
void nsdk_nvme_irqs_wake(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_irqs *irqs = &ctrlr->irqs;

	pthread_mutex_lock(&irqs->lock);
	for (unsigned i = 0; i < irqs->count; i++)
		if (irqs->vectors[i].armed)
			(void)eventfd_write(irqs->vectors[i].fd, 1);
	pthread_mutex_unlock(&irqs->lock);
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

	if (qp->vector < 0)
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
	if (set_armed(qp, true) != 0)
		return refuse(qp);
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
	if (qp->vector >= 0)
		(void)set_armed(qp, false);
}

/* A completion was found, and its interrupt never came. Any thread. */
void nsdk_nvme_irq_lost(const struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	bool first;

	pthread_mutex_lock(&ctrlr->irqs.lock);
	first = !ctrlr->irqs.lost_said;
	ctrlr->irqs.lost_said = true;
	pthread_mutex_unlock(&ctrlr->irqs.lock);
	if (first)
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: an interrupt of queue %u did not come, and its completion was found later; "
			 "I/O goes on, slower when that happens often: poll then",
			 nsdk_device_name(ctrlr->dev), qp->ring.qid);
}

bool nsdk_nvme_qpair_has_interrupt(const struct nsdk_nvme_qpair *qp)
{
	return qp->vector >= 0;
}
