/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which submission queue the next command is fetched from, under weighted round robin with an urgent
 * class (Base 3.4.4.2). Nothing here knows of a controller: queues say that they have commands, and are
 * chosen.
 */
#ifndef NSDK_EMU_NVME_ARB_H
#define NSDK_EMU_NVME_ARB_H

#include <stdbool.h>
#include <stdint.h>

/* As QPRIO of Create I/O Submission Queue says it (Base figure 155). */
enum emu_nvme_arb_class {
	EMU_NVME_ARB_URGENT,
	EMU_NVME_ARB_HIGH,
	EMU_NVME_ARB_MEDIUM,
	EMU_NVME_ARB_LOW,
	EMU_NVME_ARB_CLASSES,
};

struct emu_nvme_arb_queue {
	struct emu_nvme_arb_queue *next, *prev; /* of its class; NULL: it has no commands */
	uint8_t class;                          /* enum emu_nvme_arb_class */
};

struct emu_nvme_arb {
	/* Rings of the queues that have commands, by class, the one whose turn it is first. */
	struct emu_nvme_arb_queue *first[EMU_NVME_ARB_CLASSES];
	uint32_t burst;                         /* commands of one queue at a time; UINT32_MAX: no limit */
	uint32_t weights[EMU_NVME_ARB_CLASSES]; /* commands of a class in a round; of urgent: unused */
	uint32_t credits[EMU_NVME_ARB_CLASSES]; /* … that are left in this one */
	uint32_t taken[EMU_NVME_ARB_CLASSES];   /* from the first of a class, since it is its turn */
	unsigned turn;                          /* the class whose turn it is; urgent has none */
};

/* Begin, with a value of the feature Arbitration (Base 5.27.1.1); no queue has commands. */
void emu_nvme_arb_init(struct emu_nvme_arb *arb, uint32_t feature);
/* Another value of the feature; a new round begins. */
void emu_nvme_arb_set(struct emu_nvme_arb *arb, uint32_t feature);
/* A queue has commands: behind the others of its class, unless it was known. */
void emu_nvme_arb_ready(struct emu_nvme_arb *arb, struct emu_nvme_arb_queue *queue);
/* It has none, none that can be carried out now, or it goes. */
void emu_nvme_arb_idle(struct emu_nvme_arb *arb, struct emu_nvme_arb_queue *queue);
/* The queue whose command is next; NULL: none has any. The same until one of the others is called. */
struct emu_nvme_arb_queue *emu_nvme_arb_choose(struct emu_nvme_arb *arb);
/* A command has been fetched from the queue that was chosen. */
void emu_nvme_arb_fetched(struct emu_nvme_arb *arb, struct emu_nvme_arb_queue *queue);

#endif
