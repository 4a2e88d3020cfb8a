/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pollers: those that run on every turn of the loop in a list, those with a period in a heap by the
 * time when they are due.
 *
 * A poller may take off any poller of its lcore, itself too, and put on new ones, in the middle of a
 * turn. So the turn does not hold on to anything but two pointers that taking off knows of: the one
 * it will come to next, and the one that is running.
 *
 * Threading: the reactor's lcore; before and after the run, the thread that set it up.
 */
#include "reactor_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

/* --- the heap -------------------------------------------------------------- */

static void heap_put(struct nsdk_pollers *pollers, size_t index, struct nsdk_poller *poller)
{
	pollers->heap[index] = poller;
	poller->heap_index = index;
}

/* Moves a poller up or down to where its time belongs, from a free place. */
static void heap_settle(struct nsdk_pollers *pollers, size_t index, struct nsdk_poller *poller)
{
	while (index > 0 && poller->due_ticks < pollers->heap[(index - 1) / 2]->due_ticks) {
		heap_put(pollers, index, pollers->heap[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * index + 1;

		if (child + 1 < pollers->timed &&
		    pollers->heap[child + 1]->due_ticks < pollers->heap[child]->due_ticks)
			child++;
		if (child >= pollers->timed || pollers->heap[child]->due_ticks >= poller->due_ticks)
			break;
		heap_put(pollers, index, pollers->heap[child]);
		index = child;
	}
	heap_put(pollers, index, poller);
}

static int heap_make_room(struct nsdk_pollers *pollers)
{
	size_t room = pollers->heap_room ? pollers->heap_room * 2 : 16;
	struct nsdk_poller **heap;

	if (pollers->timed < pollers->heap_room)
		return 0;
	heap = realloc(pollers->heap, room * sizeof(struct nsdk_poller *));
	if (!heap)
		return -ENOMEM;
	pollers->heap = heap;
	pollers->heap_room = room;
	return 0;
}

static void heap_remove(struct nsdk_pollers *pollers, const struct nsdk_poller *poller)
{
	struct nsdk_poller *last = pollers->heap[--pollers->timed];

	if (last != poller)
		heap_settle(pollers, poller->heap_index, last);
}

/* --- the set --------------------------------------------------------------- */

void nsdk_pollers_init(struct nsdk_pollers *pollers)
{
	memset(pollers, 0, sizeof(*pollers));
	TAILQ_INIT(&pollers->every_turn);
	TAILQ_INIT(&pollers->off);
}

static void free_list(struct nsdk_poller_list *list)
{
	struct nsdk_poller *poller;

	while ((poller = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, poller, link);
		free(poller);
	}
}

unsigned nsdk_pollers_fini(struct nsdk_pollers *pollers)
{
	unsigned count = atomic_load_explicit(&pollers->count, memory_order_relaxed);

	free_list(&pollers->every_turn);
	free_list(&pollers->off);
	for (size_t i = 0; i < pollers->timed; i++)
		free(pollers->heap[i]);
	free(pollers->heap);
	nsdk_pollers_init(pollers);
	return count;
}

/* Has one writer, so that a load and a store will do. */
static void count_add(struct nsdk_pollers *pollers, int more)
{
	unsigned count = atomic_load_explicit(&pollers->count, memory_order_relaxed);

	atomic_store_explicit(&pollers->count, count + (unsigned)more, memory_order_relaxed);
	pollers->changes++;
}

static void disarm(struct nsdk_poller *poller)
{
	if (poller->armed && poller->disarm)
		poller->disarm(poller->ctx);
	poller->armed = false;
}

/* Out of the list or the heap. Nobody would disarm it later. */
static void take_out(struct nsdk_pollers *pollers, struct nsdk_poller *poller)
{
	disarm(poller);
	switch (poller->place) {
	case NSDK_POLLER_EVERY_TURN:
		if (pollers->next == poller)
			pollers->next = TAILQ_NEXT(poller, link);
		TAILQ_REMOVE(&pollers->every_turn, poller, link);
		pollers->restless -= poller->arm == NULL;
		count_add(pollers, -1);
		break;
	case NSDK_POLLER_TIMED:
		heap_remove(pollers, poller);
		count_add(pollers, -1);
		break;
	case NSDK_POLLER_OFF:
		TAILQ_REMOVE(&pollers->off, poller, link);
		break;
	}
}

/* Runs one. @return above 0 when it did something. */
static int run(struct nsdk_pollers *pollers, struct nsdk_poller *poller)
{
	int result;

	pollers->current = poller;
	pollers->current_gone = false;
	result = poller->fn(poller->ctx);
	pollers->current = NULL;
	if (pollers->current_gone) {
		free(poller);
	} else if (result < 0) {
		/* Its owner still has the handle, so the memory stays until it gives that back. */
		take_out(pollers, poller);
		poller->place = NSDK_POLLER_OFF;
		TAILQ_INSERT_TAIL(&pollers->off, poller, link);
	}
	return result > 0;
}

int nsdk_pollers_turn(struct nsdk_pollers *pollers, uint64_t now_ticks)
{
	struct nsdk_poller *poller;
	int did = 0;

	for (poller = TAILQ_FIRST(&pollers->every_turn); poller; poller = pollers->next) {
		pollers->next = TAILQ_NEXT(poller, link);
		did |= run(pollers, poller);
	}
	while (pollers->timed && pollers->heap[0]->due_ticks <= now_ticks) {
		poller = pollers->heap[0];
		/*
		 * Counted from now, not from when it was due: after a delay it comes once, not as
		 * often as it was missed. And later than now, so that this loop ends.
		 */
		poller->due_ticks = now_ticks + poller->period_ticks;
		heap_settle(pollers, 0, poller);
		did |= run(pollers, poller);
	}
	return did;
}

/* --- sleep ----------------------------------------------------------------- */

bool nsdk_pollers_arm(struct nsdk_pollers *pollers, uint64_t *wake_ns)
{
	struct nsdk_poller *poller;
	bool all = true;
	int err;

	if (pollers->restless) {
		/* One without arm has come: while it is here there is no sleep to wake from. */
		if (pollers->armed)
			nsdk_pollers_disarm(pollers);
		return false;
	}
	pollers->armed = true;
	TAILQ_FOREACH(poller, &pollers->every_turn, link) {
		/*
		 * Those that are armed stay so while another one is not ready: it mostly is at its next
		 * turn, and going back and forth costs more than an interrupt that is not needed.
		 */
		err = poller->arm(poller->ctx, wake_ns);
		poller->armed = err == 0 || poller->armed;
		if (err == 0)
			continue;
		all = false;
		if (err == -EAGAIN)
			continue;
		/* It never will be. It is not asked again. */
		disarm(poller);
		poller->arm = NULL;
		pollers->restless++;
	}
	if (pollers->restless)
		nsdk_pollers_disarm(pollers);
	return all;
}

void nsdk_pollers_disarm(struct nsdk_pollers *pollers)
{
	struct nsdk_poller *poller;

	TAILQ_FOREACH(poller, &pollers->every_turn, link)
		disarm(poller);
	pollers->armed = false;
}

/* --- public ---------------------------------------------------------------- */

uint64_t nsdk_reactor_ticks_of(uint64_t us)
{
	const uint64_t most = UINT64_MAX / 4;
	unsigned __int128 ticks = (unsigned __int128)us * nsdk_ticks_per_s() / 1000000u;

	if (ticks > most)
		return most;
	return ticks ? (uint64_t)ticks : 1;
}

int nsdk_poller_register(struct nsdk_reactor *reactor, nsdk_poller_fn fn, void *ctx, uint64_t period_us,
			 struct nsdk_poller **out)
{
	struct nsdk_pollers *pollers;
	struct nsdk_poller *poller;

	if (!reactor)
		reactor = nsdk_reactor_self();
	if (!reactor || !fn || !nsdk_reactor_is_mine(reactor))
		return nsdk_fail(-EINVAL, "reactor",
				 "a poller can be registered on its own lcore only while reactors run; send "
				 "that lcore a message that does it");
	pollers = nsdk_reactor_pollers(reactor);
	poller = calloc(1, sizeof(*poller));
	if (!poller || (period_us && heap_make_room(pollers))) {
		free(poller);
		return nsdk_fail(-ENOMEM, "reactor", "no memory for a poller");
	}
	poller->fn = fn;
	poller->ctx = ctx;
	poller->reactor = reactor;
	if (period_us) {
		poller->place = NSDK_POLLER_TIMED;
		poller->period_ticks = nsdk_reactor_ticks_of(period_us);
		poller->due_ticks = nsdk_ticks() + poller->period_ticks;
		pollers->timed++;
		heap_settle(pollers, pollers->timed - 1, poller);
	} else {
		poller->place = NSDK_POLLER_EVERY_TURN;
		pollers->restless++;
		TAILQ_INSERT_TAIL(&pollers->every_turn, poller, link);
	}
	count_add(pollers, 1);
	*out = poller;
	return 0;
}

void nsdk_poller_unregister(struct nsdk_poller *poller)
{
	struct nsdk_pollers *pollers;

	if (!poller)
		return;
	if (!nsdk_reactor_is_mine(poller->reactor)) {
		nsdk_log(NSDK_LOG_ERROR, "reactor",
			 "a poller can be unregistered on its own lcore only while reactors run; send that "
			 "lcore a message that does it");
		return;
	}
	pollers = nsdk_reactor_pollers(poller->reactor);
	take_out(pollers, poller);
	if (pollers->current == poller)
		pollers->current_gone = true;
	else
		free(poller);
}

void nsdk_poller_set_sleep(struct nsdk_poller *poller, nsdk_poller_arm_fn arm, nsdk_poller_disarm_fn off)
{
	struct nsdk_pollers *pollers = nsdk_reactor_pollers(poller->reactor);

	if (!nsdk_reactor_is_mine(poller->reactor)) {
		nsdk_log(NSDK_LOG_ERROR, "reactor",
			 "how a poller sleeps can be set on its own lcore only while reactors run; send that "
			 "lcore a message that does it");
		return;
	}
	disarm(poller);
	if (poller->place == NSDK_POLLER_EVERY_TURN) {
		pollers->restless -= poller->arm == NULL;
		pollers->restless += arm == NULL;
	}
	poller->arm = arm;
	poller->disarm = off;
}
