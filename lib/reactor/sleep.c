/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a reactor sleeps on: an epoll set with the file descriptors of its pollers, one by which senders
 * of messages wake it, and one by which nsdk_reactors_stop() wakes all.
 *
 * A sleeping reactor must be woken by whatever it would have found by polling, and by nothing that has
 * gone by. reactor.c says in which order it goes to sleep; here is what makes it come back:
 *
 *	fd without a function	edge triggered, and nobody reads it: every signal is one event, in each
 *				set that the fd is in. So an eventfd that two lcores share (one interrupt
 *				for two queues) wakes both, where a read by one would take it from the other.
 *	fd with a function	level triggered: the function takes away what made it readable.
 *	wake, stop		eventfds like the first kind.
 *
 * An event that comes while the reactor is awake stays in the set, and ends its next sleep at once: one
 * turn too many now and then, never one too few.
 *
 * Threading: the reactor's lcore, but for nsdk_sleeper_wake().
 */
#include "reactor_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#define EVENTS 16
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

void nsdk_sleeper_init(struct nsdk_sleeper *sleeper)
{
	memset(sleeper, 0, sizeof(*sleeper));
	sleeper->epoll_fd = -1;
	sleeper->wake_fd = -1;
	TAILQ_INIT(&sleeper->fds);
	TAILQ_INIT(&sleeper->removed);
}

static void free_list(struct nsdk_reactor_fd_list *list)
{
	struct nsdk_reactor_fd *fd;

	while ((fd = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, fd, link);
		free(fd);
	}
}

void nsdk_sleeper_fini(struct nsdk_sleeper *sleeper)
{
	free_list(&sleeper->fds);
	free_list(&sleeper->removed);
	if (sleeper->wake_fd >= 0)
		close(sleeper->wake_fd);
	if (sleeper->epoll_fd >= 0)
		close(sleeper->epoll_fd);
	nsdk_sleeper_init(sleeper);
}

/* @return 0 or -errno. */
static int add(const struct nsdk_sleeper *sleeper, int fd, bool edge, void *ptr)
{
	struct epoll_event event = { .events = EPOLLIN | (edge ? EPOLLET : 0), .data.ptr = ptr };

	return epoll_ctl(sleeper->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Makes the set, once. @return 0 or -errno, logged. */
static int open_set(struct nsdk_sleeper *sleeper, int stop_fd)
{
	int err = 0;

	if (sleeper->epoll_fd >= 0)
		return 0;
	sleeper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sleeper->wake_fd < 0)
		err = -errno;
	if (!err)
		sleeper->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!err && sleeper->epoll_fd < 0)
		err = -errno;
	if (!err)
		err = add(sleeper, sleeper->wake_fd, true, NULL);
	if (!err)
		err = add(sleeper, stop_fd, true, NULL);
	if (!err)
		return 0;
	if (sleeper->epoll_fd >= 0)
		close(sleeper->epoll_fd);
	if (sleeper->wake_fd >= 0)
		close(sleeper->wake_fd);
	sleeper->epoll_fd = sleeper->wake_fd = -1;
	return nsdk_fail(err, "reactor", "no file descriptors for a reactor to sleep on: %s; raise the limit "
			 "(ulimit -n)", strerror(-err));
}

void nsdk_sleeper_wake(const struct nsdk_sleeper *sleeper)
{
	/* Cannot fail: it counts to 2^64, and nobody has closed it while the sender is let in. */
	(void)eventfd_write(sleeper->wake_fd, 1);
}

/* --- waiting --------------------------------------------------------------- */

/*
 * Waits for events. Kernels before 5.11 know whole milliseconds only, which are rounded up: to wake too
 * early would be a turn for nothing, and another sleep.
 */
static int wait_ns(const struct nsdk_sleeper *sleeper, struct epoll_event *events, uint64_t timeout_ns)
{
	uint64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
	const uint64_t most_ms = 3600u * 1000u;
#ifdef SYS_epoll_pwait2
	int count;
	struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / NS_PER_S),
				    .tv_nsec = (long)(timeout_ns % NS_PER_S) };

	if (ms > most_ms)
		timeout.tv_sec = (time_t)(most_ms / 1000);
	count = (int)syscall(SYS_epoll_pwait2, sleeper->epoll_fd, events, EVENTS, &timeout, NULL, 0);
	/* Where a filter of system calls is older than this one, it says EPERM and not ENOSYS. */
	if (count >= 0 || errno == EINTR)
		return count;
#endif
	return epoll_wait(sleeper->epoll_fd, events, EVENTS, (int)(ms < most_ms ? ms : most_ms));
}

/* Runs the functions of what is ready. @return how many there were. */
static int run_functions(struct nsdk_sleeper *sleeper, const struct epoll_event *events, int count)
{
	int ran = 0;

	sleeper->running = true;
	for (int i = 0; i < count; i++) {
		struct nsdk_reactor_fd *fd = events[i].data.ptr;

		if (!fd || !fd->fn || fd->removed)
			continue;
		fd->fn(fd->ctx);
		ran++;
	}
	sleeper->running = false;
	free_list(&sleeper->removed);
	return ran;
}

/* A signal ends a sleep as well: its handler may have done something that a turn looks at. */
int nsdk_sleeper_wait(struct nsdk_sleeper *sleeper, uint64_t timeout_ns)
{
	struct epoll_event events[EVENTS] = { 0 };
	int count = wait_ns(sleeper, events, timeout_ns);

	return run_functions(sleeper, events, count);
}

/* --- public ---------------------------------------------------------------- */

int nsdk_reactor_fd_add(struct nsdk_reactor *reactor, int fd, nsdk_fd_fn fn, void *ctx,
			struct nsdk_reactor_fd **out)
{
	struct nsdk_sleeper *sleeper;
	struct nsdk_reactor_fd *handle;
	int err;

	*out = NULL;
	if (!reactor)
		reactor = nsdk_reactor_self();
	if (!reactor || !nsdk_reactor_is_mine(reactor))
		return nsdk_fail(-EINVAL, "reactor",
				 "a file descriptor can be added on its own lcore only while reactors run; "
				 "send that lcore a message that does it");
	sleeper = nsdk_reactor_sleeper(reactor);
	err = open_set(sleeper, nsdk_reactor_stop_fd());
	if (err)
		return err;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return nsdk_fail(-ENOMEM, "reactor", "no memory for a file descriptor of a reactor");
	handle->fd = fd;
	handle->fn = fn;
	handle->ctx = ctx;
	handle->reactor = reactor;
	err = add(sleeper, fd, fn == NULL, handle);
	if (err) {
		free(handle);
		return nsdk_fail(err, "reactor", "file descriptor %d cannot be waited for: %s", fd,
				 strerror(-err));
	}
	TAILQ_INSERT_TAIL(&sleeper->fds, handle, link);
	sleeper->functions += fn != NULL;
	*out = handle;
	return 0;
}

void nsdk_reactor_fd_remove(struct nsdk_reactor_fd *fd)
{
	struct nsdk_sleeper *sleeper;

	if (!fd)
		return;
	if (!nsdk_reactor_is_mine(fd->reactor)) {
		nsdk_log(NSDK_LOG_ERROR, "reactor",
			 "a file descriptor can be removed on its own lcore only while reactors run; send "
			 "that lcore a message that does it");
		return;
	}
	sleeper = nsdk_reactor_sleeper(fd->reactor);
	/* One that has been closed has left the set by itself. */
	(void)epoll_ctl(sleeper->epoll_fd, EPOLL_CTL_DEL, fd->fd, NULL);
	TAILQ_REMOVE(&sleeper->fds, fd, link);
	sleeper->functions -= fd->fn != NULL;
	/* Events of it may have been taken out of the set, and wait for their turn. */
	fd->removed = true;
	if (sleeper->running)
		TAILQ_INSERT_TAIL(&sleeper->removed, fd, link);
	else
		free(fd);
}

int nsdk_reactor_set_mode(struct nsdk_reactor *reactor, enum nsdk_reactor_mode mode, uint64_t idle_us)
{
	struct nsdk_sleeper *sleeper;
	int err;

	if (!reactor)
		reactor = nsdk_reactor_self();
	if (!reactor || !nsdk_reactor_is_mine(reactor))
		return nsdk_fail(-EINVAL, "reactor",
				 "the mode of a reactor can be set on its own lcore only while reactors run; "
				 "send that lcore a message that does it");
	if (mode > NSDK_REACTOR_ADAPTIVE)
		return nsdk_fail(-EINVAL, "reactor", "%u is no mode of a reactor", mode);
	sleeper = nsdk_reactor_sleeper(reactor);
	if (mode != NSDK_REACTOR_POLL) {
		err = open_set(sleeper, nsdk_reactor_stop_fd());
		if (err)
			return err;
	}
	if (idle_us == 0)
		idle_us = NSDK_REACTOR_IDLE_US;
	sleeper->idle_ticks = mode == NSDK_REACTOR_ADAPTIVE ? nsdk_reactor_ticks_of(idle_us) : 0;
	sleeper->mode = mode;
	/* One that polls wants no interrupts; one that is to sleep asks for them when it comes to that. */
	if (mode == NSDK_REACTOR_POLL) {
		nsdk_pollers_disarm(nsdk_reactor_pollers(reactor));
		sleeper->armed = false;
	}
	return 0;
}
