/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem: what a domain is made of; domain.c tells how it hangs together.
 */
#ifndef NSDK_MEM_DOMAIN_H
#define NSDK_MEM_DOMAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "lib/coherence/shadow.h"
#include "map.h"
#include "mem_internal.h"
#include "window.h"

/* A range of memory that every address space of the domain maps as a whole, at one IOVA each. */
struct nsdk_segment {
	void *va;
	size_t bytes;
	bool stuck; /* an unmap failed, so a device may reach it for ever: never to be given back */
	TAILQ_ENTRY(nsdk_segment) in_domain;
	TAILQ_ENTRY(nsdk_segment) in_owner; /* a pool's */
};
TAILQ_HEAD(nsdk_segment_list, nsdk_segment);

/* One I/O address space that devices of the domain are in, and what it has mapped where. */
struct nsdk_space {
	struct nsdk_dma_map map;
	struct nsdk_ioas *ioas;
	unsigned devices;
	TAILQ_ENTRY(nsdk_space) in_domain;
};
TAILQ_HEAD(nsdk_space_list, nsdk_space);

/* An attached device. Never freed while the domain lives, so that readers need no lock. */
struct nsdk_attachment {
	_Atomic(struct nsdk_device *) dev; /* NULL: free for the next attach */
	struct nsdk_coherence *coh;
	struct nsdk_space *space;
	bool apart; /* its engine goes by another domain's shadow */
	struct nsdk_attachment *next;
};

struct nsdk_mem {
	pthread_mutex_t lock; /* all below, but what a pool has for itself; taken after a pool's lock */
	struct nsdk_window window;
	struct nsdk_shadow shadow; /* of the window; empty where there was no room for it */
	bool no_huge;
	unsigned pools;
	struct nsdk_segment_list segments;
	struct nsdk_space_list spaces;
	_Atomic(struct nsdk_attachment *) attachments;
	struct nsdk_dma_radix *registered; /* page -> struct nsdk_segment; NULL until the first */
};

/*
 * Map a segment into every address space of the domain, or into none.
 * @return 0; what nsdk_ioas_map() gives. Threading: with the domain's lock.
 */
int nsdk_segment_map(struct nsdk_mem *mem, struct nsdk_segment *segment);

/*
 * Unmap it everywhere.
 * @return 0; an errno of nsdk_ioas_unmap(), or -ETIMEDOUT: some device may still reach it, or a flush
 *         lcore is late inside of it, and it is marked stuck.
 * Threading: with the domain's lock.
 */
int nsdk_segment_unmap(struct nsdk_mem *mem, struct nsdk_segment *segment);

#endif
