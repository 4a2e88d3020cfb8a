/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reactors.
 *
 * The model. There is one reactor for each lcore, and it is that lcore's only work: a loop that
 * handles the messages that came, runs the pollers, and begins again. In the mode it begins with,
 * nothing in it waits or sleeps.
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
 * Sleep. In the other modes a reactor without work sleeps until something wakes it (sleep.c), or until
 * the next timed poller is due, or one of the others wants to look. What it sleeps through nobody would
 * notice, so each thing that could be missed is looked at once more behind the point from which on it
 * wakes:
 *
 *	1. all pollers are armed: from now on, what they wait for signals a file descriptor
 *	2. one more turn: what came before that. Where there is any, no sleep.
 *	3. "asleep" is said, then a full fence: from now on senders of messages write the eventfd
 *	4. the ring and the stop are looked at once more. Where there is any, no sleep.
 *	5. the wait, which ends at once if any of the descriptors has been signalled since 1.
 *
 * Pollers stay armed over many sleeps. An adaptive reactor disarms them when a second turn in a row has
 * work: then work comes quicker than it falls asleep, and interrupts would only be in the way.
 *
 * Time. A turn in which a message was handled or a poller did something is busy from its beginning
 * to its end, any other idle; a sleep is neither. One reading of the counter a turn serves both as this
 * turn's end and the next one's beginning, so no tick is lost or counted twice.
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
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_ring.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#define RING_MESSAGES 4096
/* While a reactor is awake, file descriptors with functions are looked at so often. */
#define LOOK_US 1000
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
	struct nsdk_sleeper sleeper;
	_Atomic uint64_t slept_ticks;
	_Atomic uint64_t sleeps;

	/* Of the senders, on a line of their own. */
	_Alignas(NSDK_LINE_BYTES) _Atomic unsigned senders;
	atomic_bool closed;
	atomic_bool asleep; /* a sender has to wake it */
};

static struct {
	struct nsdk_reactor **reactors; /* by lcore index; NULL: not created */
	unsigned count;
	atomic_bool running;
	_Atomic unsigned looping; /* other lcores than the caller's that have not left their loop */
	_Atomic uint64_t stop; /* 0, or STOP with the status below it */
	atomic_int stop_fd;    /* wakes those that sleep; -1: there have been no reactors */
} all = { .stop_fd = -1 };

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
	nsdk_sleeper_fini(&reactor->sleeper);
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
	nsdk_sleeper_init(&reactor->sleeper);
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

/*
 * Once in a process, and never closed: nsdk_reactors_stop(), in whatever thread or signal handler, may
 * have read it before the reactors went, and by the time it writes the number would be somebody else's.
 */
static int open_stop_fd(void)
{
	int stop_fd;

	if (atomic_load(&all.stop_fd) >= 0)
		return 0;
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0)
		return nsdk_fail(-errno, "reactor",
				 "no file descriptor for the reactors: %s; raise the limit (ulimit -n)",
				 strerror(errno));
	atomic_store(&all.stop_fd, stop_fd);
	return 0;
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
	error = open_stop_fd();
	if (error) {
		destroy_all();
		return error;
	}
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

/*
 * A message is in the ring: is its reactor asleep?
 *
 * We have stored the message, and load whether it sleeps; it has stored that it sleeps, and loads
 * whether there is a message (step 4 of the essay). Each side's load might overtake its own store, and
 * then both would see nothing, and the message would wait for ever. A full fence between the two on
 * both sides: at least one of them sees the other's.
 *
 * Senders share the ring, and the last of those that are in the middle of it makes all of their
 * messages visible; that one comes here afterwards.
 */
static void wake_if_asleep(struct nsdk_reactor *reactor)
{
	atomic_thread_fence(memory_order_seq_cst);
	/* One of the senders does it. Acquire: the eventfd was opened before this was said. */
	if (atomic_load_explicit(&reactor->asleep, memory_order_relaxed) &&
	    atomic_exchange_explicit(&reactor->asleep, false, memory_order_acquire))
		nsdk_sleeper_wake(&reactor->sleeper);
}

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
	/* Counted in, so that the eventfd is there. */
	if (result == 0)
		wake_if_asleep(reactor);
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

/* @return whether there was work. */
static bool turn(struct nsdk_reactor *reactor)
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
	return busy;
}

/* Until the first of them, 0 when it is due; UINT64_MAX: nobody waits for the time. */
static uint64_t sleep_ns(const struct nsdk_reactor *reactor, uint64_t wake_ns)
{
	const struct nsdk_pollers *pollers = &reactor->pollers;
	uint64_t timed_ns = UINT64_MAX, now_ns, now;

	if (pollers->timed) {
		now = nsdk_ticks();
		timed_ns = 0;
		/* Rounded up: a little later, not too early and for nothing. */
		if (pollers->heap[0]->due_ticks > now)
			timed_ns = (uint64_t)((unsigned __int128)(pollers->heap[0]->due_ticks - now) *
					      1000000000u / nsdk_ticks_per_s()) + 1;
	}
	if (wake_ns != UINT64_MAX) {
		now_ns = nsdk_clock_ns();
		wake_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
	}
	return wake_ns < timed_ns ? wake_ns : timed_ns;
}

static void sleep_for(struct nsdk_reactor *reactor, uint64_t timeout_ns)
{
	uint64_t now;

	/* Release: whoever sees it writes to an eventfd that this lcore has opened. */
	atomic_store_explicit(&reactor->asleep, true, memory_order_release);
	/* That we sleep is stored before the ring is loaded: see wake_if_asleep(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (rte_ring_empty(reactor->ring) &&
	    atomic_load_explicit(&all.stop, memory_order_relaxed) == 0) {
		int ran = nsdk_sleeper_wait(&reactor->sleeper, timeout_ns);

		now = nsdk_ticks();
		add(&reactor->slept_ticks, now - reactor->turn_began_ticks);
		add(&reactor->sleeps, 1);
		reactor->turn_began_ticks = now;
		if (ran)
			reactor->sleeper.busy_at_ticks = now;
	}
	atomic_store_explicit(&reactor->asleep, false, memory_order_relaxed);
	reactor->sleeper.busy_turns = 0;
}

static void note_work(struct nsdk_reactor *reactor)
{
	struct nsdk_sleeper *sleeper = &reactor->sleeper;

	sleeper->busy_at_ticks = reactor->turn_began_ticks;
	if (sleeper->mode != NSDK_REACTOR_ADAPTIVE || !sleeper->armed || ++sleeper->busy_turns < 2)
		return;
	nsdk_pollers_disarm(&reactor->pollers);
	sleeper->armed = false;
}

/* Behind a turn: to sleep, or to look at file descriptors now and then. The steps are the essay's. */
static void rest(struct nsdk_reactor *reactor, bool busy)
{
	struct nsdk_sleeper *sleeper = &reactor->sleeper;
	uint64_t now = reactor->turn_began_ticks, wake_ns = UINT64_MAX;
	unsigned changes;

	if (sleeper->functions && now >= sleeper->look_at_ticks) {
		sleeper->look_at_ticks = now + nsdk_reactor_ticks_of(LOOK_US);
		if (nsdk_sleeper_wait(sleeper, 0) > 0)
			busy = true;
	}
	if (sleeper->mode == NSDK_REACTOR_POLL)
		return;
	if (busy) {
		note_work(reactor);
		return;
	}
	if (now - sleeper->busy_at_ticks < sleeper->idle_ticks)
		return;
	sleeper->armed = true;
	if (!nsdk_pollers_arm(&reactor->pollers, &wake_ns))
		return;
	/* Who comes or goes in this turn may not be armed, or be the one that the next wake was for. */
	changes = reactor->pollers.changes;
	if (turn(reactor))
		note_work(reactor);
	else if (changes == reactor->pollers.changes)
		sleep_for(reactor, sleep_ns(reactor, wake_ns));
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
	reactor->sleeper.busy_at_ticks = reactor->turn_began_ticks;
	do {
		bool busy = turn(reactor);

		if (reactor->sleeper.epoll_fd >= 0)
			rest(reactor, busy);
	} while (atomic_load_explicit(&all.stop, memory_order_relaxed) == 0);
	nsdk_pollers_disarm(&reactor->pollers);
	reactor->sleeper.armed = false;
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
	int saved = errno, stop_fd = atomic_load(&all.stop_fd);
	uint64_t none = 0;

	/* Only the first call counts. It carries nothing but itself, so no order is needed. */
	atomic_compare_exchange_strong_explicit(&all.stop, &none, STOP | (uint32_t)status,
						memory_order_relaxed, memory_order_relaxed);
	/*
	 * Behind it, so that who is woken by this sees it: the kernel orders the two. Nobody reads it, and
	 * each reactor's set has an event of its own.
	 */
	if (stop_fd >= 0)
		(void)eventfd_write(stop_fd, 1);
	errno = saved;
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

struct nsdk_sleeper *nsdk_reactor_sleeper(struct nsdk_reactor *reactor)
{
	return &reactor->sleeper;
}

int nsdk_reactor_stop_fd(void)
{
	return atomic_load(&all.stop_fd);
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
	out->slept_ticks = atomic_load_explicit(&reactor->slept_ticks, memory_order_relaxed);
	out->sleeps = atomic_load_explicit(&reactor->sleeps, memory_order_relaxed);
	out->pollers = atomic_load_explicit(&reactor->pollers.count, memory_order_relaxed);
}
