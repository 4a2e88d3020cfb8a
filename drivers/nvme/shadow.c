/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shadow doorbells (Base 5.8, Doorbell Buffer Config): for controllers that are themselves software.
 *
 * A register written under a hypervisor is a trap, which costs more than all else that an I/O costs.
 * With this command two pages of memory are shared with the controller: in one this driver leaves what
 * it would have written into each doorbell, in the other the controller says how far it has looked
 * (EventIdx). Only when a doorbell moves past that is the register written, to wake the controller up.
 *
 * In the I/O path the doorbell pointers of the ring point to the memory, so the shortest way is what it
 * was, and NVME_SHADOW among the attention bits leads to the question whether to wake it up.
 *
 * Against the controller, which says how far it has looked and then looks once more: the doorbell is
 * stored before EventIdx is loaded. That takes a full fence, as a load may overtake a store.
 *
 * Not with the no-snoop engine active: the controller would then have to be taken for one that reads
 * and writes these pages past the caches, and a flush, a fence and an invalidation for each doorbell
 * cost what the trap does.
 */
#include "nvme_internal.h"

#include <string.h>

/* How many queue pairs have their doorbells in a page, beside the admin queue's. */
uint32_t nsdk_nvme_shadow_fit(const struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t pairs = NVME_PAGE_BYTES / (2 * ctrlr->doorbell_stride_bytes);

	return pairs ? pairs - 1 : 0;
}

/* Whether this controller is to be asked. */
bool nsdk_nvme_shadow_wanted(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return (ctrlr->id.oacs & NSDK_NVME_OACS_DBBUF) && !ctrlr->opts.plain_doorbells &&
	       !nsdk_coherence_active(ctrlr->coh) && nsdk_nvme_shadow_fit(ctrlr) > 0;
}

/* The command, and the pages as it wants them: it starts with zeroes, after each reset. */
int nsdk_nvme_shadow_cmd(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmd *out)
{
	struct nvme_shadow *shadow = &ctrlr->shadow;
	void *va;
	int err;

	if (!shadow->doorbells) {
		/* A page each; in one piece, so one translation does. */
		err = nsdk_nvme_dma_get(ctrlr, 2 * (size_t)NVME_PAGE_BYTES, NVME_PAGE_BYTES,
					"a pair of doorbell buffers", &va, &shadow->iova);
		if (err)
			return err;
		shadow->doorbells = va;
		shadow->events = shadow->doorbells + NVME_PAGE_BYTES;
	}
	memset(shadow->doorbells, 0, 2 * (size_t)NVME_PAGE_BYTES);
	*out = (struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_DBBUF_CONFIG,
		.prp1 = shadow->iova,
		.prp2 = shadow->iova + NVME_PAGE_BYTES,
	};
	return 0;
}

void nsdk_nvme_shadow_destroy(struct nsdk_nvme_ctrlr *ctrlr)
{
	nsdk_dma_free(ctrlr->pool, ctrlr->shadow.doorbells);
	memset(&ctrlr->shadow, 0, sizeof(ctrlr->shadow));
}

static volatile uint32_t *at(uint8_t *page, size_t offset)
{
	return (volatile uint32_t *)(void *)(page + offset);
}

/*
 * The queues are about to be created, and begin at 0. The controller may look at their doorbells as soon
 * as it knows them; whoever rings them is paused. The release in the admin queue's doorbell orders this
 * before the command.
 */
void nsdk_nvme_shadow_clear(const struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	size_t stride = ctrlr->doorbell_stride_bytes, sq = 2 * (size_t)qp->ring.qid * stride;

	if (!ctrlr->shadow.on)
		return;
	for (unsigned i = 0; i < 2; i++) {
		*at(ctrlr->shadow.doorbells, sq + i * stride) = 0;
		*at(ctrlr->shadow.events, sq + i * stride) = 0;
	}
}

/* Where this queue pair's doorbells are, as the controller has it now; its thread alone. */
void nsdk_nvme_shadow_begin(struct nsdk_nvme_qpair *qp)
{
	struct nsdk_nvme_ctrlr *ctrlr = qp->ctrlr;
	size_t stride = ctrlr->doorbell_stride_bytes, sq = 2 * (size_t)qp->ring.qid * stride;
	volatile uint8_t *registers = (volatile uint8_t *)ctrlr->bar.base + NSDK_NVME_REG_DOORBELLS;
	struct nvme_doorbell *bells[] = { &qp->sq_bell, &qp->cq_bell };
	/* Looked at once: a reset on another thread may turn them off meanwhile. */
	bool on = ctrlr->shadow.on;

	qp->attention &= ~(uint64_t)NVME_SHADOW;
	for (unsigned i = 0; i < 2; i++) {
		size_t offset = sq + i * stride;

		*bells[i] = (struct nvme_doorbell){ .reg = (volatile uint32_t *)(registers + offset) };
		if (!on)
			continue;
		bells[i]->shadow = at(ctrlr->shadow.doorbells, offset);
		bells[i]->event = at(ctrlr->shadow.events, offset);
		qp->attention |= NVME_SHADOW;
	}
	qp->ring.sq_doorbell = on ? qp->sq_bell.shadow : qp->sq_bell.reg;
	qp->ring.cq_doorbell = on ? qp->cq_bell.shadow : qp->cq_bell.reg;
}

/* A doorbell has been left in memory: does the controller have to be told? */
void nsdk_nvme_shadow_told(struct nvme_doorbell *bell)
{
	uint16_t now, before = bell->told, event;

	now = (uint16_t)*bell->shadow;
	bell->told = now;
	/* The store of the doorbell before the load of EventIdx: see the top. */
	atomic_thread_fence(memory_order_seq_cst);
	event = (uint16_t)*bell->event;
	/* Past what it has looked at, on the way from before to now; indices wrap. */
	if ((uint16_t)(now - event - 1) < (uint16_t)(now - before))
		nvme_doorbell(bell->reg, now);
}

/*
 * The admin queue's doorbells are registers always, as some controllers expect; the memory says the same
 * (Base 5.8).
 */
void nsdk_nvme_shadow_admin(struct nsdk_nvme_ctrlr *ctrlr, unsigned which, uint32_t value)
{
	if (ctrlr->shadow.on)
		*at(ctrlr->shadow.doorbells, which * (size_t)ctrlr->doorbell_stride_bytes) = value;
}
