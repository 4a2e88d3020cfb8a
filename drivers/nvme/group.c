/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Poll groups: the queue pairs of one thread, of as many controllers as it likes, polled in one call and
 * waited for in one epoll set.
 *
 * The set has the eventfd of each member's vector (irq.c) and the notices of each controller's device,
 * all of them edge triggered and unread. So it can be waited for as it is, or be one descriptor in
 * somebody else's set, and is emptied only by the arming: what it says is that something has happened,
 * and what that is the polls find out.
 *
 * A member that is dead, because its controller failed or is gone, is reported once and then left out; the
 * others go on.
 *
 * A completion that came while its vector was armed, and the vector is not among what was signalled: that
 * interrupt is owed. It may be on its way, since a completion is in memory before it is signalled, and
 * whoever looks at the right moment finds it first, time and again. So it is called lost only when nothing
 * has been signalled for long, over several armings. Nobody depends on that: all sleeps are bounded.
 *
 * Threading: one thread at a time, that of its queue pairs.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <nsdk/env.h>

#include "lib/env/opts.h"

#define EVENTS 16
/* An interrupt that is owed for so long is not late. */
#define LATE_NS (2 * NVME_NS_PER_S)
/* And between two armings no more than this counts: the whole machine may have stood still. */
#define LATE_ONCE_NS (500 * NVME_NS_PER_MS)

struct member {
	struct nsdk_nvme_qpair *qp;
	int error;     /* why it is dead; 0: it is not */
	bool reported;
	bool armed;    /* at the arming */
	bool quiet;    /* a poll behind that found nothing, so that what comes now is signalled */
	bool fired;    /* its vector, since the arming before this one */
	bool found;    /* completions that are signalled */
	bool owed;     /* and were not yet */
	uint64_t owed_ns; /* for so long */
};

/* What is in the set, and for how many members. */
struct watch {
	int fd;
	unsigned users;
	struct nsdk_nvme_ctrlr *ctrlr; /* a notice of its device; NULL: a vector */
};

struct nsdk_nvme_poll_group {
	struct nsdk_nvme_poll_group_opts opts;
	int epoll_fd;
	struct member *members;
	unsigned count, room;
	unsigned first;        /* who is polled first, when not all completions may be handled */
	struct watch *watches;
	unsigned watch_count, watch_room;
	bool armed;
	uint64_t armed_ns;     /* when */
	uint64_t wake_ns;      /* what the arming said */
	bool polling;
};

int nsdk_nvme_poll_group_create(const struct nsdk_nvme_poll_group_opts *opts,
				struct nsdk_nvme_poll_group **out)
{
	struct nsdk_nvme_poll_group *group;
	int err;

	*out = NULL;
	group = calloc(1, sizeof(*group));
	if (!group)
		return nsdk_fail(-ENOMEM, "nvme", "no memory for a poll group");
	err = nsdk_opts_take(&group->opts, sizeof(group->opts), opts, "nvme");
	if (!err) {
		group->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (group->epoll_fd < 0)
			err = nsdk_fail(-errno, "nvme", "no file descriptor for a poll group: %s; raise the "
					"limit (ulimit -n)", strerror(errno));
	}
	if (err) {
		free(group);
		return err;
	}
	*out = group;
	return 0;
}

int nsdk_nvme_poll_group_destroy(struct nsdk_nvme_poll_group *group)
{
	if (!group)
		return 0;
	if (group->count)
		return nsdk_fail(-EBUSY, "nvme", "%u queue pairs are left in a poll group; remove them first",
				 group->count);
	close(group->epoll_fd);
	free(group->members);
	free(group->watches);
	free(group);
	return 0;
}

int nsdk_nvme_poll_group_fd(const struct nsdk_nvme_poll_group *group)
{
	return group->epoll_fd;
}

/* ---- The set ---- */

static struct watch *find_watch(const struct nsdk_nvme_poll_group *group, int fd)
{
	for (unsigned i = 0; i < group->watch_count; i++)
		if (group->watches[i].fd == fd)
			return &group->watches[i];
	return NULL;
}

/* @return 0 or -errno. */
static int watch(struct nsdk_nvme_poll_group *group, int fd, struct nsdk_nvme_ctrlr *ctrlr)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = fd };
	struct watch *watches = find_watch(group, fd);

	if (watches) {
		watches->users++;
		return 0;
	}
	if (group->watch_count == group->watch_room) {
		unsigned room = group->watch_room ? group->watch_room * 2 : 8;

		watches = realloc(group->watches, room * sizeof(*watches));
		if (!watches)
			return -ENOMEM;
		group->watches = watches;
		group->watch_room = room;
	}
	if (epoll_ctl(group->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		return -errno;
	group->watches[group->watch_count++] = (struct watch){ .fd = fd, .users = 1, .ctrlr = ctrlr };
	return 0;
}

static void unwatch(struct nsdk_nvme_poll_group *group, int fd)
{
	struct watch *watches = find_watch(group, fd);

	if (!watches || --watches->users)
		return;
	epoll_ctl(group->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	*watches = group->watches[--group->watch_count];
}

/* Takes a queue pair's descriptors out: the first @p notices of its device, and its vector. */
static void unwatch_all(struct nsdk_nvme_poll_group *group, const struct nsdk_nvme_qpair *qp,
			unsigned notices)
{
	int fds[NSDK_DEVICE_NOTICES];

	if (notices > nsdk_device_notices(qp->dev, fds))
		notices = nsdk_device_notices(qp->dev, fds);
	for (unsigned i = 0; i < notices; i++)
		unwatch(group, fds[i]);
	unwatch(group, nsdk_nvme_irq_fd(qp));
}

static int watch_all(struct nsdk_nvme_poll_group *group, const struct nsdk_nvme_qpair *qp)
{
	int fds[NSDK_DEVICE_NOTICES];
	unsigned notices = nsdk_device_notices(qp->dev, fds);
	int err = watch(group, nsdk_nvme_irq_fd(qp), NULL);

	if (err)
		return err;
	for (unsigned i = 0; i < notices; i++) {
		err = watch(group, fds[i], qp->ctrlr);
		if (!err)
			continue;
		unwatch_all(group, qp, i);
		return err;
	}
	return 0;
}

/* ---- Members ---- */

int nsdk_nvme_poll_group_add(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_qpair *qp)
{
	const char *name = nsdk_device_name(qp->dev);
	int err = 0;

	if (qp->group || group->polling)
		return nsdk_fail(-EBUSY, "nvme",
				 qp->group ? "%s: queue pair %u is in a poll group already" :
					     "%s: queue pair %u cannot be added to a poll group from inside "
					     "of its poll", name, qp->ring.qid);
	if (group->count == group->room) {
		unsigned room = group->room ? group->room * 2 : 8;
		struct member *members = realloc(group->members, room * sizeof(*members));

		if (!members)
			return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for a poll group", name);
		group->members = members;
		group->room = room;
	}
	if (nsdk_nvme_irq_fd(qp) >= 0)
		err = watch_all(group, qp);
	if (err)
		return nsdk_fail(err, "nvme", "%s: queue pair %u cannot be waited for: %s", name, qp->ring.qid,
				 strerror(-err));
	group->members[group->count++] = (struct member){ .qp = qp };
	qp->group = group;
	return 0;
}

int nsdk_nvme_poll_group_remove(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_qpair *qp)
{
	unsigned i = 0;

	if (qp->group != group || group->polling)
		return nsdk_fail(qp->group != group ? -ENOENT : -EBUSY, "nvme",
				 qp->group != group ? "%s: queue pair %u is not in this poll group" :
						      "%s: queue pair %u cannot be removed from a poll group "
						      "from inside of its poll",
				 nsdk_device_name(qp->dev), qp->ring.qid);
	while (group->members[i].qp != qp)
		i++;
	nsdk_nvme_irq_disarm(qp);
	if (nsdk_nvme_irq_fd(qp) >= 0)
		unwatch_all(group, qp, NSDK_DEVICE_NOTICES);
	group->count--;
	memmove(&group->members[i], &group->members[i + 1], (group->count - i) * sizeof(*group->members));
	qp->group = NULL;
	return 0;
}

/* ---- Polling ---- */

static void report_dead(struct nsdk_nvme_poll_group *group)
{
	unsigned i = 0;

	/* From the beginning after each, as it may have been removed, and others as well. */
	while (i < group->count) {
		struct member *member = &group->members[i++];

		if (!member->error || member->reported)
			continue;
		member->reported = true;
		if (group->opts.failed)
			group->opts.failed(group->opts.ctx, member->qp, member->error);
		i = 0;
	}
}

/* The first poll behind the arming is for what came before it, up to when it finds nothing. */
static void note_quiet(struct member *member)
{
	if (member->armed && !(member->qp->attention & NVME_TAKING))
		member->quiet = true;
}

int nsdk_nvme_poll_group_poll(struct nsdk_nvme_poll_group *group, unsigned max)
{
	unsigned handled = 0;
	bool dead = false;

	if (group->polling)
		return 0;
	group->polling = true;
	/* Another one is first next time: with a maximum, the last would never have its turn else. */
	group->first = group->first + 1 < group->count ? group->first + 1 : 0;
	for (unsigned i = 0; i < group->count && (max == 0 || handled < max); i++) {
		unsigned at = group->first + i < group->count ? group->first + i :
								  group->first + i - group->count;
		struct member *member = &group->members[at];
		int result;

		if (member->error)
			continue;
		result = nsdk_nvme_qpair_poll(member->qp, max ? max - handled : 0);
		if (result > 0) {
			handled += (unsigned)result;
			member->found |= member->quiet;
		} else if (result < 0) {
			member->error = result;
			dead = true;
		} else if (group->armed) {
			note_quiet(member);
		}
	}
	group->polling = false;
	if (dead)
		report_dead(group);
	return (int)handled;
}

/* ---- Sleep ---- */

static void note_event(struct nsdk_nvme_poll_group *group, int fd)
{
	const struct watch *watches = find_watch(group, fd);

	if (!watches)
		return;
	if (watches->ctrlr) {
		/* Taken out by this thread, or by another that has asked first. */
		if (nsdk_device_check(watches->ctrlr->dev))
			nsdk_nvme_ctrlr_gone(watches->ctrlr);
		return;
	}
	for (unsigned i = 0; i < group->count; i++)
		if (nsdk_nvme_irq_fd(group->members[i].qp) == fd)
			group->members[i].fired = true;
}

/* What has been signalled, so that the set is empty, and only what comes from here on ends a sleep. */
static void collect_events(struct nsdk_nvme_poll_group *group)
{
	struct epoll_event events[EVENTS];
	int count;

	do {
		count = epoll_wait(group->epoll_fd, events, EVENTS, 0);
		for (int i = 0; i < count; i++)
			note_event(group, events[i].data.fd);
	} while (count == EVENTS);
}

static void settle(struct member *member)
{
	member->found = member->fired = member->owed = false;
	member->owed_ns = 0;
}

/* What was found and signalled since the last arming. @param since_ns  how long that is. */
static void judge(struct member *member, uint64_t since_ns)
{
	if (member->fired) {
		settle(member);
		return;
	}
	if (member->owed)
		member->owed_ns += since_ns;
	member->owed |= member->found;
	member->found = false;
	if (member->owed_ns < LATE_NS)
		return;
	settle(member);
	nsdk_nvme_irq_lost(member->qp);
}

int nsdk_nvme_poll_group_arm(struct nsdk_nvme_poll_group *group, uint64_t *wake_ns)
{
	uint64_t now_ns, since_ns = 0;
	bool late = false;
	int result = 0;

	if (group->polling)
		return -EAGAIN;
	/* Before what was signalled is collected, so that nothing is owed for longer than it is. */
	now_ns = nsdk_clock_ns();
	if (group->armed) {
		late = group->wake_ns != UINT64_MAX && now_ns >= group->wake_ns;
		since_ns = now_ns - group->armed_ns;
		if (since_ns > LATE_ONCE_NS)
			since_ns = LATE_ONCE_NS;
	}
	group->armed = true;
	group->armed_ns = now_ns;
	group->wake_ns = UINT64_MAX;
	collect_events(group);
	for (unsigned i = 0; i < group->count; i++) {
		struct member *member = &group->members[i];
		int err;

		if (member->error)
			continue;
		judge(member, since_ns);
		err = nsdk_nvme_irq_arm(member->qp, late, &group->wake_ns);
		member->armed = err == 0;
		member->quiet = false;
		/* One that never can counts more than one that cannot now. */
		if (err && result != -EOPNOTSUPP)
			result = err;
	}
	/* Nobody sleeps: the others' interrupts would only be in the way. */
	if (result == -EOPNOTSUPP)
		nsdk_nvme_poll_group_disarm(group);
	if (group->wake_ns < *wake_ns)
		*wake_ns = group->wake_ns;
	return result;
}

void nsdk_nvme_poll_group_disarm(struct nsdk_nvme_poll_group *group)
{
	for (unsigned i = 0; i < group->count; i++) {
		struct member *member = &group->members[i];

		nsdk_nvme_irq_disarm(member->qp);
		settle(member);
		member->armed = member->quiet = false;
	}
	group->armed = false;
}
