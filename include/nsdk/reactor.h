/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The poll-mode loop: one reactor on each pinned lcore, which calls its pollers for ever.
 */
#ifndef NSDK_REACTOR_H
#define NSDK_REACTOR_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_reactor;
struct nsdk_poller;

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
 */
void nsdk_poller_unregister(struct nsdk_poller *poller);

/** Threading: any; values may be a moment old. */
void nsdk_reactor_stats(const struct nsdk_reactor *reactor, struct nsdk_reactor_stats *out);

#ifdef __cplusplus
}
#endif
#endif
