/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Poll groups: the queue pairs of one thread, of as many controllers as it likes, and the admin queues of
 * those controllers that it looks after, polled in one call and waited for in one epoll set.
 *
 * The set has the eventfd of each member's vector (irq.c) and the notices of each controller's device,
 * all of them edge triggered and unread. So it can be waited for as it is, or be one descriptor in
 * somebody else's set, and is emptied only by the arming: what it says is that something has happened,
 * and what that is the polls find out.
 *
 * A member that is dead, because its controller failed or is gone, is reported once and then left out; the
 * others go on.
 *
 * A controller has no work mostly, and looking whether it has takes longer than a poll of a queue pair. So it
 * is looked at behind each arming, as what came before would tell nobody; while it recovers; and else once
 * in some polls, fewer where these are far apart: it is called unattended otherwise (deadline.c).
 *
 * A completion that came while its vector was armed, and the vector is not among what was signalled: that
 * interrupt is owed. It may be on its way, since a completion is in memory before it is signalled, and
 * whoever looks at the right moment finds it first, time and again. So it is called lost only when nothing
 * has been signalled for long, over several armings. Nobody depends on that: all sleeps are bounded.
 *
 * Threading: one thread at a time, that of its queue pairs and controllers.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdio.h>
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

/* Polls of the group between two looks at a controller, */
#define LOOK_POLLS 64u
/* of which one in some sees how long ago the last look was, for who polls by a slow timer. */
#define LOOK_CLOCK_POLLS 8u
#define LOOK_NS (10 * NVME_NS_PER_MS)

struct member {
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qp; /* NULL: its admin queue */
	unsigned polls_left;   /* of those, to the next look */
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
		return nsdk_fail(-EBUSY, "nvme",
				 "%u queue pairs and controllers are left in a poll group; remove them first",
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

static int fd_of(const struct member *member)
{
	return member->qp ? nsdk_nvme_irq_fd(member->qp) : nsdk_nvme_irq_admin_fd(member->ctrlr);
}

/* Takes a member's descriptors out: the first @p notices of its device, and its vector. */
static void unwatch_all(struct nsdk_nvme_poll_group *group, const struct member *member, unsigned notices)
{
	int fds[NSDK_DEVICE_NOTICES];

	if (notices > nsdk_device_notices(member->ctrlr->dev, fds))
		notices = nsdk_device_notices(member->ctrlr->dev, fds);
	for (unsigned i = 0; i < notices; i++)
		unwatch(group, fds[i]);
	unwatch(group, fd_of(member));
}

static int watch_all(struct nsdk_nvme_poll_group *group, const struct member *member)
{
	int fds[NSDK_DEVICE_NOTICES];
	unsigned notices = nsdk_device_notices(member->ctrlr->dev, fds);
	int err = watch(group, fd_of(member), NULL);

	if (err)
		return err;
	for (unsigned i = 0; i < notices; i++) {
		err = watch(group, fds[i], member->ctrlr);
		if (!err)
			continue;
		unwatch_all(group, member, i);
		return err;
	}
	return 0;
}

/* ---- Members ---- */

/* "queue pair 3" */
static const char *title_of(const struct member *member, char *buf, size_t bytes)
{
	if (!member->qp)
		return "the controller";
	snprintf(buf, bytes, "queue pair %u", member->qp->ring.qid);
	return buf;
}

static int add(struct nsdk_nvme_poll_group *group, struct member fresh, struct nsdk_nvme_poll_group **its)
{
	const char *name = nsdk_device_name(fresh.ctrlr->dev);
	char title[32];
	int err = 0;

	if (*its || group->polling)
		return nsdk_fail(-EBUSY, "nvme",
				 *its ? "%s: %s is in a poll group already" :
					"%s: %s cannot be added to a poll group from inside of its poll",
				 name, title_of(&fresh, title, sizeof(title)));
	if (group->count == group->room) {
		unsigned room = group->room ? group->room * 2 : 8;
		struct member *members = realloc(group->members, room * sizeof(*members));

		if (!members)
			return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for a poll group", name);
		group->members = members;
		group->room = room;
	}
	if (fd_of(&fresh) >= 0)
		err = watch_all(group, &fresh);
	if (err)
		return nsdk_fail(err, "nvme", "%s: %s cannot be waited for: %s", name,
				 title_of(&fresh, title, sizeof(title)), strerror(-err));
	group->members[group->count++] = fresh;
	*its = group;
	return 0;
}

static void disarm(struct member *member)
{
	if (member->qp)
		nsdk_nvme_irq_disarm(member->qp);
	else
		nsdk_nvme_irq_disarm_admin(member->ctrlr);
}

static int take_out(struct nsdk_nvme_poll_group *group, struct member old, struct nsdk_nvme_poll_group **its)
{
	char title[32];
	unsigned i = 0;

	if (*its != group || group->polling)
		return nsdk_fail(*its != group ? -ENOENT : -EBUSY, "nvme",
				 *its != group ? "%s: %s is not in this poll group" :
						 "%s: %s cannot be removed from a poll group from inside of "
						 "its poll", nsdk_device_name(old.ctrlr->dev),
				 title_of(&old, title, sizeof(title)));
	while (group->members[i].ctrlr != old.ctrlr || group->members[i].qp != old.qp)
		i++;
	disarm(&old);
	if (fd_of(&old) >= 0)
		unwatch_all(group, &old, NSDK_DEVICE_NOTICES);
	group->count--;
	memmove(&group->members[i], &group->members[i + 1], (group->count - i) * sizeof(*group->members));
	*its = NULL;
	return 0;
}

int nsdk_nvme_poll_group_add(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_qpair *qp)
{
	return add(group, (struct member){ .ctrlr = qp->ctrlr, .qp = qp }, &qp->group);
}

int nsdk_nvme_poll_group_remove(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_qpair *qp)
{
	return take_out(group, (struct member){ .ctrlr = qp->ctrlr, .qp = qp }, &qp->group);
}

int nsdk_nvme_poll_group_add_ctrlr(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_ctrlr *ctrlr)
{
	return add(group, (struct member){ .ctrlr = ctrlr }, &ctrlr->group);
}

int nsdk_nvme_poll_group_remove_ctrlr(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_ctrlr *ctrlr)
{
	return take_out(group, (struct member){ .ctrlr = ctrlr }, &ctrlr->group);
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
		if (member->qp && group->opts.failed)
			group->opts.failed(group->opts.ctx, member->qp, member->error);
		else if (!member->qp && group->opts.ctrlr_failed)
			group->opts.ctrlr_failed(group->opts.ctx, member->ctrlr, member->error);
		i = 0;
	}
}

/* The first poll behind the arming is for what came before it, up to when it finds nothing. */
static void note_quiet(struct member *member)
{
	if (member->armed && !(member->qp && (member->qp->attention & NVME_TAKING)))
		member->quiet = true;
}

/* Whether so many polls take so long that a controller would be left alone. */
static bool long_ago(const struct member *member)
{
	uint64_t looked_ns = atomic_load_explicit(&member->ctrlr->polled_ns, memory_order_relaxed);

	return member->polls_left % LOOK_CLOCK_POLLS == 0 && nsdk_clock_ns() - looked_ns >= LOOK_NS;
}

/* Whether it is a controller whose turn has not come. */
static bool rests(struct member *member)
{
	if (member->qp)
		return false;
	if (member->polls_left && !nsdk_nvme_ctrlr_recovering(member->ctrlr)) {
		member->polls_left--;
		if (!long_ago(member))
			return true;
	}
	member->polls_left = LOOK_POLLS;
	return false;
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

		if (member->error || rests(member))
			continue;
		result = member->qp ? nsdk_nvme_qpair_poll(member->qp, max ? max - handled : 0) :
				      nsdk_nvme_ctrlr_look(member->ctrlr, false);
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
		if (fd_of(&group->members[i]) == fd)
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
	nsdk_nvme_irq_lost(member->ctrlr, member->qp ? member->qp->ring.qid : 0);
}

static int arm(struct member *member, bool late, uint64_t *wake_ns)
{
	if (member->qp)
		return nsdk_nvme_irq_arm(member->qp, late, wake_ns);
	/* The poll that follows is to look. */
	member->polls_left = 0;
	return nsdk_nvme_irq_arm_admin(member->ctrlr, wake_ns);
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
		err = arm(member, late, &group->wake_ns);
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

		disarm(member);
		settle(member);
		member->armed = member->quiet = false;
	}
	group->armed = false;
}
