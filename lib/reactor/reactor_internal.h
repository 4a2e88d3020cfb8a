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
	bool armed;
	nsdk_poller_arm_fn arm; /* NULL: its reactor cannot sleep while it runs on every turn */
	nsdk_poller_disarm_fn disarm;
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
	unsigned restless;      /* of those that run on every turn: without arm */
	unsigned changes;       /* pollers that came or went; wraps */
	bool armed;             /* some may be */
};

/* A file descriptor that a reactor waits for. */
struct nsdk_reactor_fd {
	int fd;
	nsdk_fd_fn fn; /* NULL: it only wakes */
	void *ctx;
	struct nsdk_reactor *reactor;
	bool removed;
	TAILQ_ENTRY(nsdk_reactor_fd) link;
};
TAILQ_HEAD(nsdk_reactor_fd_list, nsdk_reactor_fd);

/* How a reactor sleeps, and what wakes it (sleep.c). */
struct nsdk_sleeper {
	enum nsdk_reactor_mode mode;
	int epoll_fd, wake_fd;   /* -1: there was no need yet */
	uint64_t idle_ticks;     /* adaptive: without work for so long, it sleeps */
	uint64_t busy_at_ticks;  /* when there was work last */
	uint64_t look_at_ticks;  /* awake: when functions of fds are run next */
	unsigned busy_turns;     /* since it slept last */
	bool armed;              /* pollers may be */
	bool running;            /* the functions of fds */
	unsigned functions;      /* fds that have one */
	struct nsdk_reactor_fd_list fds;
	struct nsdk_reactor_fd_list removed; /* while functions run */
};

void nsdk_pollers_init(struct nsdk_pollers *pollers);
/* Frees all. @return how many still ran. */
unsigned nsdk_pollers_fini(struct nsdk_pollers *pollers);
/* One turn. @return above 0 when one of them did something. */
int nsdk_pollers_turn(struct nsdk_pollers *pollers, uint64_t now_ticks);

/*
 * Before a sleep: arms those that run on every turn.
 * @param[in,out] wake_ns  lowered to when one of them wants to run at the latest.
 * @return whether all are; one that cannot be armed now, or ever, keeps the reactor awake.
 */
bool nsdk_pollers_arm(struct nsdk_pollers *pollers, uint64_t *wake_ns);
void nsdk_pollers_disarm(struct nsdk_pollers *pollers);

void nsdk_sleeper_init(struct nsdk_sleeper *sleeper);
void nsdk_sleeper_fini(struct nsdk_sleeper *sleeper);
/* Waits for at most so long, and runs the functions of fds. @return how many ran. */
int nsdk_sleeper_wait(struct nsdk_sleeper *sleeper, uint64_t timeout_ns);
/* Any thread that nsdk_reactor_send() has let in. */
void nsdk_sleeper_wake(const struct nsdk_sleeper *sleeper);

struct nsdk_pollers *nsdk_reactor_pollers(struct nsdk_reactor *reactor);
struct nsdk_sleeper *nsdk_reactor_sleeper(struct nsdk_reactor *reactor);
/* What wakes all of them; signalled by nsdk_reactors_stop(). */
int nsdk_reactor_stop_fd(void);
/* At least 1, and far below an overflow when a time is added. */
uint64_t nsdk_reactor_ticks_of(uint64_t us);
/* Whether the calling thread may change this reactor's pollers now. */
bool nsdk_reactor_is_mine(const struct nsdk_reactor *reactor);

#endif
