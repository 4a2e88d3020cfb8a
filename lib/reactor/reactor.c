/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reactors.
 *
 * The model. There is one reactor for each lcore, and it is that lcore's only work: a loop that
 * handles the messages that came, runs the pollers, and begins again. Nothing in it waits or sleeps.
 * What belongs to a reactor is touched on its lcore alone, without locks; to have something done
 * there, send it a message.
 *
 * Lifetime. Create makes all of them; run starts the loops, and returns when all have ended; it can
 * be called again. Set-up and tear-down (registering pollers before the run, reading what they left)
 * is for the thread that will call run, which is the one that started EAL.
 *
 * Stopping. nsdk_reactors_stop() sets one flag, which is all that a signal handler may do. Each
 * reactor sees it at the end of its turn, closes its ring, waits for those who are in the middle of
 * sending, and handles all that is in the ring. So a message that was accepted is handled, always,
 * and one that would not be is refused with -ESHUTDOWN. A stop that comes before the run is not
 * lost: the run handles what is there and returns at once.
 *
 * Time. A turn in which a message was handled or a poller did something is busy from its beginning
 * to its end, any other idle. One reading of the counter a turn serves both as this turn's end and
 * the next one's beginning, so no tick is lost or counted twice.
 *
 * Vocabulary. Turn: one time round the loop. Lcore index: EAL's lcore number, which lib/env made
 * count from 0 in the order of the CPU list.
 */

/*
 * DPDK's rings come in two writings. This one says by C11 atomics what it needs, so the compiler and
 * the thread sanitizer know as much as the CPU; on x86 the instructions are the same.
 */
#ifndef RTE_USE_C11_MEM_MODEL
#define RTE_USE_C11_MEM_MODEL 1
#endif

#include "reactor_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_ring.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#define RING_MESSAGES 4096
/* Taken out of the ring at a time; pollers are not kept waiting for longer than so many. */
#define BURST 32

struct message {
	nsdk_msg_fn fn;
	void *ctx;
};
_Static_assert(sizeof(struct message) == 16, "a ring's element is a multiple of 4 bytes");

struct nsdk_reactor {
	/* Of the lcore alone, but for the stats, which others may read. */
	struct nsdk_pollers pollers;
	uint64_t turn_began_ticks;
	_Atomic uint64_t busy_ticks;
	_Atomic uint64_t idle_ticks;
	_Atomic uint64_t iterations;
	_Atomic uint64_t messages;
	struct rte_ring *ring;
	int cpu;

	/* Of the senders, on a line of their own. */
	_Alignas(NSDK_LINE_BYTES) _Atomic unsigned senders;
	atomic_bool closed;
};

static struct {
	struct nsdk_reactor **reactors; /* by lcore index; NULL: not created */
	unsigned count;
	atomic_bool running;
	_Atomic unsigned looping; /* other lcores than the caller's that have not left their loop */
	_Atomic uint64_t stop; /* 0, or STOP with the status below it */
} all;

#define STOP ((uint64_t)1 << 32)
#if ATOMIC_LLONG_LOCK_FREE != 2
#error "nsdk_reactors_stop() must be callable from a signal handler"
#endif

static __thread struct nsdk_reactor *self;

/* --- create and destroy ---------------------------------------------------- */

static void reactor_destroy(struct nsdk_reactor *reactor)
{
	unsigned pollers, messages;

	if (!reactor)
		return;
	pollers = nsdk_pollers_fini(&reactor->pollers);
	messages = rte_ring_count(reactor->ring);
	if (pollers || messages)
		nsdk_log(NSDK_LOG_WARN, "reactor",
			 "the reactor of CPU %d is destroyed with %u pollers registered and %u messages "
			 "unhandled; unregister its pollers first",
			 reactor->cpu, pollers, messages);
	rte_ring_free(reactor->ring);
	free(reactor);
}

static int reactor_create(unsigned lcore, struct nsdk_reactor **out)
{
	struct nsdk_reactor *reactor = aligned_alloc(NSDK_LINE_BYTES, sizeof(*reactor));
	char name[32];

	if (!reactor)
		return nsdk_fail(-ENOMEM, "reactor", "no memory for a reactor");
	memset(reactor, 0, sizeof(*reactor));
	nsdk_pollers_init(&reactor->pollers);
	reactor->cpu = nsdk_env_lcore_cpu(lcore);
	snprintf(name, sizeof(name), "nsdk_reactor_%u", lcore);
	/*
	 * RTS: a sender that the scheduler takes the CPU from in the middle of sending keeps no other
	 * sender waiting, which matters as any thread may send, not only pinned ones.
	 */
	reactor->ring = rte_ring_create_elem(name, sizeof(struct message), RING_MESSAGES,
					     (int)rte_lcore_to_socket_id(lcore),
					     RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
	if (!reactor->ring) {
		free(reactor);
		return nsdk_fail(-ENOMEM, "reactor",
				 "no memory in DPDK's heap for a ring of messages (%s); use fewer lcores",
				 rte_strerror(rte_errno));
	}
	*out = reactor;
	return 0;
}

static void destroy_all(void)
{
	for (unsigned i = 0; i < all.count; i++)
		reactor_destroy(all.reactors[i]);
	free(all.reactors);
	all.reactors = NULL;
	all.count = 0;
}

int nsdk_reactors_create(void)
{
	unsigned count = nsdk_env_lcore_count();
	int error;

	if (all.reactors)
		return nsdk_fail(-EALREADY, "reactor", "the reactors were created before");
	if (count == 0)
		return nsdk_fail(-ENXIO, "reactor",
				 "there are no lcores for reactors; call nsdk_env_init() first");
	all.reactors = calloc(count, sizeof(struct nsdk_reactor *));
	if (!all.reactors)
		return nsdk_fail(-ENOMEM, "reactor", "no memory for a reactor");
	for (all.count = 0; all.count < count; all.count++) {
		error = reactor_create(all.count, &all.reactors[all.count]);
		if (error) {
			destroy_all();
			return error;
		}
	}
	atomic_store(&all.stop, 0);
	return 0;
}

void nsdk_reactors_destroy(void)
{
	if (atomic_load(&all.running)) {
		nsdk_log(NSDK_LOG_ERROR, "reactor",
			 "reactors cannot be destroyed while they run; stop them first");
		return;
	}
	destroy_all();
}

/* --- messages -------------------------------------------------------------- */

int nsdk_reactor_send(struct nsdk_reactor *reactor, nsdk_msg_fn fn, void *ctx)
{
	const struct message message = { fn, ctx };
	int result;

	/*
	 * With leave() this is: each side says what it is about to do, then looks whether the other
	 * one has. Both in one total order (sequentially consistent), so at least one of the two
	 * sees the other: either we see it closed, or it sees us and waits.
	 */
	atomic_fetch_add(&reactor->senders, 1);
	if (atomic_load(&reactor->closed))
		result = -ESHUTDOWN;
	else if (rte_ring_mp_rts_enqueue_bulk_elem(reactor->ring, &message, sizeof(message), 1, NULL) == 1)
		result = 0;
	else
		result = -EAGAIN;
	/* Release: who sees us gone sees the message in the ring. */
	atomic_fetch_sub_explicit(&reactor->senders, 1, memory_order_release);
	return result;
}

/* Has one writer, so that a load and a store will do. */
static void add(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

static unsigned handle_messages(struct nsdk_reactor *reactor)
{
	struct message messages[BURST];
	unsigned count = rte_ring_sc_dequeue_burst_elem(reactor->ring, messages, sizeof(messages[0]), BURST,
							NULL);

	if (count == 0)
		return 0;
	/*
	 * What a sender wrote before it sent is seen by the handler. The ring orders that already, but
	 * by reading one half of a word that the senders write as a whole, of which neither C11 nor
	 * the thread sanitizer know what it means. The senders have counted themselves in, with
	 * release, before they touched the ring; this acquires the count, once a burst.
	 */
	(void)atomic_load_explicit(&reactor->senders, memory_order_acquire);
	for (unsigned i = 0; i < count; i++)
		messages[i].fn(messages[i].ctx);
	add(&reactor->messages, count);
	return count;
}

/* --- the loop -------------------------------------------------------------- */

static void turn(struct nsdk_reactor *reactor)
{
	unsigned handled = handle_messages(reactor);
	int did = nsdk_pollers_turn(&reactor->pollers, reactor->turn_began_ticks);
	uint64_t now = nsdk_ticks();
	bool busy = handled || did;

	add(busy ? &reactor->busy_ticks : &reactor->idle_ticks, now - reactor->turn_began_ticks);
	add(&reactor->iterations, 1);
	reactor->turn_began_ticks = now;
	/* Lets the other hardware thread of the core have the pipeline, and saves power. */
	if (!busy)
		rte_pause();
}

/* No more messages from now on, and none that was accepted is left. */
static void leave(struct nsdk_reactor *reactor)
{
	atomic_store(&reactor->closed, true);
	/*
	 * See nsdk_reactor_send(). A sender is in there for one enqueue, which does not wait, so
	 * this ends by itself.
	 * Sequentially consistent loads acquire: what the senders put in is seen below.
	 */
	while (atomic_load(&reactor->senders))
		rte_pause();
	while (handle_messages(reactor))
		;
}

static void loop(struct nsdk_reactor *reactor)
{
	/* Its stores stay in the caches of the one CPU that it is pinned to. */
	(void)nsdk_thread_register();
	self = reactor;
	reactor->turn_began_ticks = nsdk_ticks();
	do {
		turn(reactor);
	} while (atomic_load_explicit(&all.stop, memory_order_relaxed) == 0);
	leave(reactor);
	self = NULL;
}

static int loop_on_lcore(void *arg)
{
	loop(arg);
	/* Release, against wait_for_others(). */
	atomic_fetch_sub_explicit(&all.looping, 1, memory_order_release);
	return 0;
}

/* Each ends by itself after a stop, as soon as its pollers and messages return. */
static void wait_for_others(unsigned launched)
{
	/*
	 * Acquire: what ran there is before what is read here. EAL orders it too, but inside a
	 * library that the thread sanitizer cannot look into.
	 */
	while (atomic_load_explicit(&all.looping, memory_order_acquire))
		rte_pause();
	/* Now EAL has them back for the next launch. */
	for (unsigned i = 1; i < launched; i++)
		rte_eal_wait_lcore(i);
}

/* Starts all but the caller's. @return 0; -errno, logged, and all have ended again. */
static int launch_others(void)
{
	int error;

	for (unsigned i = 1; i < all.count; i++) {
		atomic_fetch_add_explicit(&all.looping, 1, memory_order_relaxed);
		/* Orders what was set up here before what runs there. */
		error = rte_eal_remote_launch(loop_on_lcore, all.reactors[i], i);
		if (error) {
			atomic_fetch_sub_explicit(&all.looping, 1, memory_order_relaxed);
			nsdk_reactors_stop(0);
			wait_for_others(i);
			return nsdk_fail(error, "reactor",
					 "lcore %u does not start its reactor (%s): something else was "
					 "launched on it",
					 i, strerror(-error));
		}
	}
	return 0;
}

int nsdk_reactors_run(nsdk_msg_fn start, void *ctx)
{
	uint64_t stop;
	int error;

	if (!all.reactors)
		return nsdk_fail(-ENXIO, "reactor", "there are no reactors; call nsdk_reactors_create() first");
	if (rte_lcore_id() != rte_get_main_lcore())
		return nsdk_fail(-EINVAL, "reactor",
				 "reactors can be run by the thread that called nsdk_env_init() only");
	if (atomic_exchange(&all.running, true))
		return nsdk_fail(-EBUSY, "reactor", "the reactors are running already");
	for (unsigned i = 0; i < all.count; i++)
		atomic_store(&all.reactors[i]->closed, false);
	error = launch_others();
	if (!error) {
		self = all.reactors[0];
		if (start)
			start(ctx);
		loop(all.reactors[0]);
		wait_for_others(all.count);
	}
	/* Taken back at the end and not at the beginning, so that a stop before the run is not lost. */
	stop = atomic_exchange(&all.stop, 0);
	atomic_store(&all.running, false);
	return error ? error : (int)(uint32_t)stop;
}

void nsdk_reactors_stop(int status)
{
	uint64_t none = 0;

	/* Only the first call counts. It carries nothing but itself, so no order is needed. */
	atomic_compare_exchange_strong_explicit(&all.stop, &none, STOP | (uint32_t)status,
						memory_order_relaxed, memory_order_relaxed);
}

/* --- asking ---------------------------------------------------------------- */

struct nsdk_reactor *nsdk_reactor_get(unsigned index)
{
	return index < all.count ? all.reactors[index] : NULL;
}

struct nsdk_reactor *nsdk_reactor_self(void)
{
	return self;
}

int nsdk_reactor_cpu(const struct nsdk_reactor *reactor)
{
	return reactor->cpu;
}

struct nsdk_pollers *nsdk_reactor_pollers(struct nsdk_reactor *reactor)
{
	return &reactor->pollers;
}

bool nsdk_reactor_is_mine(const struct nsdk_reactor *reactor)
{
	return self == reactor || !atomic_load(&all.running);
}

void nsdk_reactor_stats(const struct nsdk_reactor *reactor, struct nsdk_reactor_stats *out)
{
	out->busy_ticks = atomic_load_explicit(&reactor->busy_ticks, memory_order_relaxed);
	out->idle_ticks = atomic_load_explicit(&reactor->idle_ticks, memory_order_relaxed);
	out->iterations = atomic_load_explicit(&reactor->iterations, memory_order_relaxed);
	out->messages = atomic_load_explicit(&reactor->messages, memory_order_relaxed);
	out->pollers = atomic_load_explicit(&reactor->pollers.count, memory_order_relaxed);
}
