/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Weighted round robin with an urgent class (Base 3.4.4.2).
 *
 * Urgent queues go first, whenever they have commands, and take turns among themselves, a burst each.
 * The other classes share what is left, in rounds. A round gives each class as many commands as its
 * weight says; the classes take turns in it, and in its turn a class gives one of its queues a burst, or
 * what is left of its share. A class that has nothing to do, or has had its share, is passed over; when
 * those that have something to do have all had theirs, the next round begins. So shares are kept
 * exactly while all have commands, nothing is saved up by a class that had none, and whoever is alone has
 * everything.
 */
#include "nvme_arb.h"

#include <stddef.h>

#define NO_LIMIT 7u /* of the burst */

static void begin_round(struct emu_nvme_arb *arb)
{
	for (unsigned class = EMU_NVME_ARB_HIGH; class < EMU_NVME_ARB_CLASSES; class++)
		arb->credits[class] = arb->weights[class];
	arb->turn = EMU_NVME_ARB_HIGH;
}

void emu_nvme_arb_set(struct emu_nvme_arb *arb, uint32_t feature)
{
	unsigned burst = feature & 7;

	/* Weights are 0's based, the burst is a power of two. */
	arb->burst = burst == NO_LIMIT ? UINT32_MAX : 1u << burst;
	arb->weights[EMU_NVME_ARB_LOW] = (feature >> 8 & 0xff) + 1;
	arb->weights[EMU_NVME_ARB_MEDIUM] = (feature >> 16 & 0xff) + 1;
	arb->weights[EMU_NVME_ARB_HIGH] = (feature >> 24) + 1;
	for (unsigned class = 0; class < EMU_NVME_ARB_CLASSES; class++)
		arb->taken[class] = 0;
	begin_round(arb);
}

void emu_nvme_arb_init(struct emu_nvme_arb *arb, uint32_t feature)
{
	*arb = (struct emu_nvme_arb){ 0 };
	emu_nvme_arb_set(arb, feature);
}

void emu_nvme_arb_ready(struct emu_nvme_arb *arb, struct emu_nvme_arb_queue *queue)
{
	struct emu_nvme_arb_queue *first = arb->first[queue->class];

	if (queue->next)
		return;
	if (!first) {
		queue->next = queue->prev = queue;
		arb->first[queue->class] = queue;
		arb->taken[queue->class] = 0;
		return;
	}
	queue->next = first;
	queue->prev = first->prev;
	queue->prev->next = queue;
	first->prev = queue;
}

static void pass_on(struct emu_nvme_arb *arb, unsigned class)
{
	arb->turn = class == EMU_NVME_ARB_LOW ? EMU_NVME_ARB_HIGH : class + 1;
}

void emu_nvme_arb_idle(struct emu_nvme_arb *arb, struct emu_nvme_arb_queue *queue)
{
	struct emu_nvme_arb_queue **first = &arb->first[queue->class];

	if (!queue->next)
		return;
	if (*first == queue) {
		*first = queue->next == queue ? NULL : queue->next;
		/* A burst that ends early is over, and with it the turn of the class. */
		if (arb->taken[queue->class] && arb->turn == queue->class)
			pass_on(arb, queue->class);
		arb->taken[queue->class] = 0;
	}
	queue->next->prev = queue->prev;
	queue->prev->next = queue->next;
	queue->next = queue->prev = NULL;
}

/* The class with commands and credits whose turn it is or comes next; urgent: none has both. */
static unsigned next_class(const struct emu_nvme_arb *arb)
{
	const unsigned classes = EMU_NVME_ARB_CLASSES - EMU_NVME_ARB_HIGH;

	for (unsigned i = 0; i < classes; i++) {
		unsigned class = EMU_NVME_ARB_HIGH + (arb->turn - EMU_NVME_ARB_HIGH + i) % classes;

		if (arb->first[class] && arb->credits[class])
			return class;
	}
	return EMU_NVME_ARB_URGENT;
}

struct emu_nvme_arb_queue *emu_nvme_arb_choose(struct emu_nvme_arb *arb)
{
	unsigned class;

	if (arb->first[EMU_NVME_ARB_URGENT])
		return arb->first[EMU_NVME_ARB_URGENT];
	class = next_class(arb);
	if (class == EMU_NVME_ARB_URGENT) {
		begin_round(arb);
		class = next_class(arb);
	}
	if (class == EMU_NVME_ARB_URGENT)
		return NULL;
	arb->turn = class;
	return arb->first[class];
}

void emu_nvme_arb_fetched(struct emu_nvme_arb *arb, struct emu_nvme_arb_queue *queue)
{
	unsigned class = queue->class;
	bool over = ++arb->taken[class] >= arb->burst;

	if (class != EMU_NVME_ARB_URGENT) {
		bool spent = --arb->credits[class] == 0;

		if (over || spent)
			pass_on(arb, class);
		/* A burst that the round cuts short goes on in the next, unless it has no limit. */
		over |= spent && arb->burst == UINT32_MAX;
	}
	if (!over)
		return;
	arb->first[class] = queue->next;
	arb->taken[class] = 0;
}
