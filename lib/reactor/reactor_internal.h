/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/reactor.
 */
#ifndef NSDK_REACTOR_INTERNAL_H
#define NSDK_REACTOR_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include <nsdk/reactor.h>

/* Where a poller is. */
enum nsdk_poller_place {
	NSDK_POLLER_EVERY_TURN, /* in the list */
	NSDK_POLLER_TIMED,      /* in the heap */
	NSDK_POLLER_OFF,        /* said that it is done; kept until its owner unregisters it */
};

struct nsdk_poller {
	nsdk_poller_fn fn;
	void *ctx;
	struct nsdk_reactor *reactor;
	enum nsdk_poller_place place;
	uint64_t period_ticks;
	uint64_t due_ticks;
	size_t heap_index;
	TAILQ_ENTRY(nsdk_poller) link; /* in the list, or among those that are off */
};
TAILQ_HEAD(nsdk_poller_list, nsdk_poller);

/* The pollers of one reactor. */
struct nsdk_pollers {
	struct nsdk_poller_list every_turn;
	struct nsdk_poller_list off;
	struct nsdk_poller **heap; /* the earliest due is the first */
	size_t timed;
	size_t heap_room;
	struct nsdk_poller *next;    /* that the turn comes to; moved on when this one is taken off */
	struct nsdk_poller *current; /* that is running; freed after it returns, not under its feet */
	bool current_gone;
	_Atomic unsigned count; /* of those that run; read by other threads */
};

void nsdk_pollers_init(struct nsdk_pollers *pollers);
/* Frees all. @return how many still ran. */
unsigned nsdk_pollers_fini(struct nsdk_pollers *pollers);
/* One turn. @return above 0 when one of them did something. */
int nsdk_pollers_turn(struct nsdk_pollers *pollers, uint64_t now_ticks);

struct nsdk_pollers *nsdk_reactor_pollers(struct nsdk_reactor *reactor);
/* Whether the calling thread may change this reactor's pollers now. */
bool nsdk_reactor_is_mine(const struct nsdk_reactor *reactor);

#endif
