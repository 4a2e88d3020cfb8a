/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The poll-mode loop: one reactor on each pinned lcore, which calls its pollers for ever, or sleeps
 * when they have nothing to do (nsdk_reactor_set_mode()).
 */
#ifndef NSDK_REACTOR_H
#define NSDK_REACTOR_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_reactor;
struct nsdk_poller;
struct nsdk_reactor_fd;

/** What a reactor does when there is nothing to do. */
enum nsdk_reactor_mode {
	NSDK_REACTOR_POLL,      /**< it polls for ever: the shortest latencies, a CPU that is never idle */
	NSDK_REACTOR_INTERRUPT, /**< it sleeps at once, until something wakes it */
	NSDK_REACTOR_ADAPTIVE,  /**< it polls while there is work, and sleeps some time after the last */
};

/** What NSDK_REACTOR_ADAPTIVE waits by default. */
#define NSDK_REACTOR_IDLE_US 100

/**
 * A poller's work.
 * @return above 0: did something (counts as busy); 0: nothing to do; negative errno: as 0, and the
 *         poller does not run again. Its handle is still to be given to nsdk_poller_unregister().
 */
typedef int (*nsdk_poller_fn)(void *ctx);

/** A message: runs once on the lcore it was sent to. */
typedef void (*nsdk_msg_fn)(void *ctx);

/** Where an lcore's time went, in ticks of nsdk_ticks(). */
struct nsdk_reactor_stats {
	uint64_t busy_ticks; /**< in rounds that found work */
	uint64_t idle_ticks; /**< in rounds that found none */
	uint64_t iterations; /**< rounds */
	uint64_t messages;   /**< run */
	unsigned pollers;    /**< registered now */
	uint64_t slept_ticks; /**< asleep */
	uint64_t sleeps;     /**< how often it slept */
};

/**
 * Make one reactor for each lcore of nsdk_env_init(). They run when nsdk_reactors_run() is called.
 * @return 0; -EALREADY; -ENXIO EAL is not up; -ENOMEM. Logged.
 */
int nsdk_reactors_create(void);

/** Free them; they must not be running. Pollers left are freed with a warning. */
void nsdk_reactors_destroy(void);

/**
 * Run: every other lcore's reactor starts, and the caller's becomes this lcore's. Returns when all
 * have stopped, and can be called again then.
 *
 * @param start  run as a message on this lcore first; NULL: none.
 * @return what nsdk_reactors_stop() was given; -ENXIO not created; -EBUSY running; -EINVAL another
 *         thread's to call, or an lcore is in use otherwise. Logged.
 * Threading: the thread that called nsdk_env_init().
 */
int nsdk_reactors_run(nsdk_msg_fn start, void *ctx);

/**
 * Ask all reactors to stop: each handles the messages it has already got, then leaves its loop.
 * Before a run it makes that run handle what is there and return.
 * @param status  what nsdk_reactors_run() returns; the first call's counts.
 * Threading: any thread and any signal handler (async-signal-safe).
 */
void nsdk_reactors_stop(int status);

/** The reactor of lcore @p index (see nsdk_env_lcore_cpu()); NULL when there is none. */
struct nsdk_reactor *nsdk_reactor_get(unsigned index);

/** The reactor this code runs on; NULL elsewhere. */
struct nsdk_reactor *nsdk_reactor_self(void);

/** CPU number the reactor is pinned to. */
int nsdk_reactor_cpu(const struct nsdk_reactor *reactor);

/**
 * Send a message. Messages from one sender arrive in order. One that was accepted is handled, even
 * when the reactors are stopped meanwhile; before the first run messages wait for it.
 * @return 0; -EAGAIN the ring is full, try again; -ESHUTDOWN stopped. Nothing is logged.
 * Threading: any thread.
 */
int nsdk_reactor_send(struct nsdk_reactor *reactor, nsdk_msg_fn fn, void *ctx);

/**
 * Put a poller on the calling lcore's reactor (or, before the run, on @p reactor).
 *
 * @param reactor    NULL: the caller's.
 * @param period_us  0: every iteration; else at most once in so many microseconds.
 * @return 0; -EINVAL not on that lcore while it runs; -ENOMEM. Logged.
 */
int nsdk_poller_register(struct nsdk_reactor *reactor, nsdk_poller_fn fn, void *ctx,
			 uint64_t period_us, struct nsdk_poller **out);

/**
 * Take it off and free it; safe from inside itself or another poller of the same lcore. On another
 * lcore while reactors run it is an error, which is logged, and nothing happens. NULL is fine.
 * One that is armed for a sleep is disarmed first.
 */
void nsdk_poller_unregister(struct nsdk_poller *poller);

/**
 * Gets a poller ready for its reactor's sleep: from when it returns 0, whatever gives it work makes a
 * file descriptor readable that was added by nsdk_reactor_fd_add(). It runs once more then, for what came
 * before, and the reactor sleeps if that was nothing. Called before each sleep, armed or not; must not
 * register or unregister pollers.
 *
 * @param[in,out] wake_ns  when it wants to run at the latest, by nsdk_clock_ns(): to be lowered only.
 * @return 0; -EAGAIN not now, ask again after the next turn; another negative errno: never, so that the
 *         reactor does not sleep while this poller runs.
 */
typedef int (*nsdk_poller_arm_fn)(void *ctx, uint64_t *wake_ns);

/** Its reactor polls again for some time, and nothing need wake it. */
typedef void (*nsdk_poller_disarm_fn)(void *ctx);

/**
 * Say how a poller that runs every iteration lets its reactor sleep; without this it keeps it awake.
 * Timed pollers need none of it: the reactor wakes when they are due.
 *
 * @param arm     NULL: as without this.
 * @param disarm  NULL: nothing to do.
 * Threading: the poller's lcore; before the run, the thread that sets up.
 */
void nsdk_poller_set_sleep(struct nsdk_poller *poller, nsdk_poller_arm_fn arm, nsdk_poller_disarm_fn disarm);

/** A file descriptor of a reactor is readable. */
typedef void (*nsdk_fd_fn)(void *ctx);

/**
 * Let a file descriptor wake a reactor, as an eventfd that a device's interrupt signals.
 *
 * @param reactor  NULL: the caller's.
 * @param fd       the caller's; to be removed before it is closed.
 * @param fn       runs on that lcore when @p fd is readable, and takes away what made it so; while the
 *                 reactor polls, once a millisecond at most. NULL: it only wakes the reactor, each time
 *                 when it becomes readable (edge triggered); nobody need read it.
 * @return 0; -EINVAL not on that lcore while it runs; -ENOMEM; other -errno of epoll_ctl(2). Logged.
 */
int nsdk_reactor_fd_add(struct nsdk_reactor *reactor, int fd, nsdk_fd_fn fn, void *ctx,
			struct nsdk_reactor_fd **out);

/**
 * The opposite, where nsdk_poller_unregister() may be called; safe from inside its function.
 *
 * @param fd  NULL is fine.
 */
void nsdk_reactor_fd_remove(struct nsdk_reactor_fd *fd);

/**
 * Choose between polling and sleep. A reactor that sleeps is woken by messages, by its file descriptors,
 * by timed pollers that are due, by nsdk_reactors_stop() and by signals that its thread handles.
 *
 * @param reactor  NULL: the caller's.
 * @param idle_us  adaptive: sleep after so long without work; 0: NSDK_REACTOR_IDLE_US.
 * @return 0; -EINVAL not on that lcore while it runs; other -errno. Logged.
 */
int nsdk_reactor_set_mode(struct nsdk_reactor *reactor, enum nsdk_reactor_mode mode, uint64_t idle_us);

/** Threading: any; values may be a moment old. */
void nsdk_reactor_stats(const struct nsdk_reactor *reactor, struct nsdk_reactor_stats *out);

#ifdef __cplusplus
}
#endif
#endif
