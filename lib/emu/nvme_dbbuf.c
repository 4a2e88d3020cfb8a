/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shadow doorbells (Doorbell Buffer Config, Base 5.8), with dbbuf=1.
 *
 * A submission queue is awake or asleep. Awake, each turn reads the tail that the host left in memory.
 * After some turns without news it falls asleep: it says in EventIdx how far it has looked, looks once
 * more, and from then on sees nothing but its register. So a host that does not ring when it has to is
 * noticed, since its commands are never begun.
 *
 * A completion queue looks at the head in memory whenever it has a turn, and EventIdx is kept where no
 * head ever passes it: the host need not ring.
 *
 * The admin queue has registers only.
 */
#include "nvme_internal.h"

/* Turns without news. */
#define AWAKE_TURNS 16u
/* No tail that a host may write: the register has not been written since. */
#define UNTOUCHED UINT32_MAX

static uint32_t read_doorbell(struct emu_nvme *ctrl, uint64_t iova, uint32_t otherwise)
{
	uint32_t value;

	if (nsdk_emu_dma_read(&ctrl->model.dma, iova, &value, sizeof(value), false, "emu:nvme doorbells")) {
		emu_nvme_fatal(ctrl, "a shadow doorbell could not be read");
		return otherwise;
	}
	return value;
}

static void say_event(struct emu_nvme *ctrl, uint64_t iova, uint32_t value)
{
	if (nsdk_emu_dma_write(&ctrl->model.dma, iova, &value, sizeof(value), false, "emu:nvme event index"))
		emu_nvme_fatal(ctrl, "an event index could not be written");
}

uint32_t emu_nvme_dbbuf_tail(struct emu_nvme *ctrl, struct emu_nvme_sq *sq)
{
	_Atomic uint32_t *reg = &ctrl->doorbells[2 * sq->id];
	uint32_t tail;

	/* Acquire, against the host's register write: what it left in memory before is there. */
	if (!sq->awake && atomic_exchange_explicit(reg, UNTOUCHED, memory_order_acq_rel) == UNTOUCHED)
		return sq->tail;
	if (!sq->awake)
		sq->idle_turns = 0;
	sq->awake = true;
	tail = read_doorbell(ctrl, sq->shadow.doorbell_iova, sq->tail);
	/* Acquire, against the host's store of the tail: the entries up to it are complete. */
	atomic_thread_fence(memory_order_acquire);
	if (tail != sq->tail)
		sq->idle_turns = 0;
	if (tail != sq->tail || ++sq->idle_turns < AWAKE_TURNS)
		return tail;
	atomic_store_explicit(reg, UNTOUCHED, memory_order_relaxed);
	say_event(ctrl, sq->shadow.event_iova, tail);
	/*
	 * The event index before one more look, against a host that stores the tail and then loads the
	 * event index: one of the two sees the other's.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	tail = read_doorbell(ctrl, sq->shadow.doorbell_iova, sq->tail);
	atomic_thread_fence(memory_order_acquire);
	sq->awake = tail != sq->tail;
	sq->idle_turns = 0;
	return tail;
}

uint32_t emu_nvme_dbbuf_head(struct emu_nvme *ctrl, struct emu_nvme_cq *cq)
{
	uint32_t head = read_doorbell(ctrl, cq->shadow.doorbell_iova, cq->head);

	/* Acquire, against the host's store of the head: it has read the entries, which may be written. */
	atomic_thread_fence(memory_order_acquire);
	if (head != cq->head)
		/* Just behind: what the host stores next has not passed it. */
		say_event(ctrl, cq->shadow.event_iova, (uint16_t)(head - 1));
	return head;
}

static struct emu_nvme_shadow place(const struct emu_nvme *ctrl, unsigned index)
{
	uint64_t offset = index * sizeof(uint32_t);

	if (!ctrl->shadow.doorbell_iova || offset >= ctrl->page_bytes)
		return (struct emu_nvme_shadow){ 0 };
	return (struct emu_nvme_shadow){
		.doorbell_iova = ctrl->shadow.doorbell_iova + offset,
		.event_iova = ctrl->shadow.event_iova + offset,
	};
}

void emu_nvme_dbbuf_sq(struct emu_nvme *ctrl, struct emu_nvme_sq *sq)
{
	sq->shadow = sq->id ? place(ctrl, 2 * sq->id) : (struct emu_nvme_shadow){ 0 };
	sq->awake = false;
	if (sq->shadow.doorbell_iova)
		atomic_store_explicit(&ctrl->doorbells[2 * sq->id], UNTOUCHED, memory_order_relaxed);
}

void emu_nvme_dbbuf_cq(struct emu_nvme *ctrl, struct emu_nvme_cq *cq)
{
	cq->shadow = cq->id ? place(ctrl, 2 * cq->id + 1) : (struct emu_nvme_shadow){ 0 };
	if (cq->shadow.doorbell_iova)
		say_event(ctrl, cq->shadow.event_iova, (uint16_t)(cq->head - 1));
}

int emu_nvme_dbbuf_config(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	uint64_t doorbells = req->cmd->prp1, events = req->cmd->prp2;

	if (!ctrl->opts.dbbuf)
		return EMU_NVME_GENERIC(INVALID_OPCODE);
	if (!doorbells || !events || doorbells % ctrl->page_bytes || events % ctrl->page_bytes)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	ctrl->shadow = (struct emu_nvme_shadow){ .doorbell_iova = doorbells, .event_iova = events };
	for (unsigned i = 1; i < atomic_load(&ctrl->cqs_used); i++) {
		struct emu_nvme_cq *cq = &ctrl->cqs[i];

		pthread_mutex_lock(&cq->lock);
		if (cq->exists)
			emu_nvme_dbbuf_cq(ctrl, cq);
		for (struct emu_nvme_sq *sq = cq->exists ? cq->sqs : NULL; sq; sq = sq->next)
			emu_nvme_dbbuf_sq(ctrl, sq);
		pthread_mutex_unlock(&cq->lock);
	}
	return 0;
}
