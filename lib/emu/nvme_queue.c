/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues: doorbells, fetching commands, posting completions, and the turns that do all of it.
 *
 * A command is fetched and carried out only when its completion queue has room, so a completion is
 * never held back and never overruns the host. With latency_us, I/O commands wait in between in a
 * ring of their submission queue, and are carried out when they are due: the host's buffers are
 * touched as late as real hardware may touch them.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <nsdk/env.h>

#include "nvme_internal.h"

/* Commands of one submission queue in one turn, so that a turn ends. */
#define TURN_COMMANDS 32u

#define ERROR_INFO_DOORBELL_VALUE 1u /* Base figure 146 */
#define STATUS_MORE 0x4000u          /* the error log tells more */
#define NO_CID 0xffffu
/* abort=late: a command that hung completes so long after its Abort. */
#define LATE_NS 20000000u

#define NO_DOORBELL UINT64_MAX /* not a value that one can have */

static struct emu_nvme_cq *cq_of(struct emu_nvme *ctrl, const struct emu_nvme_sq *sq)
{
	return &ctrl->cqs[sq->cqid];
}

/* Whether no-snoop TLPs really leave the function now, and somebody watches them. */
static bool nosnoop_is_watched(const struct emu_nvme *ctrl)
{
	return ctrl->model.dma.cache && ctrl->model.dma.nosnoop_enabled;
}

/* ---- Making and ending queues ---- */

int emu_nvme_cq_create(struct emu_nvme *ctrl, unsigned id, uint64_t iova, uint32_t entries,
		       bool interrupts, unsigned vector)
{
	struct emu_nvme_cq *cq = &ctrl->cqs[id];
	struct emu_nvme_slot *slots = NULL;
	uint8_t *scratch;
	unsigned used;

	if (ctrl->opts.nosnoop != EMU_NVME_NOSNOOP_NONE) {
		slots = calloc(entries, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
	}
	scratch = malloc(EMU_NVME_EXTENT_BYTES);
	if (!scratch) {
		free(slots);
		return -ENOMEM;
	}
	cq->exists = true;
	cq->phase = true;
	cq->interrupts = interrupts;
	cq->signal = false;
	cq->id = (uint16_t)id;
	cq->vector = (uint16_t)vector;
	cq->entries = entries;
	cq->head = 0;
	cq->tail = 0;
	cq->bad_head = NO_DOORBELL;
	cq->iova = iova;
	cq->sqs = NULL;
	cq->slots = slots;
	cq->scratch = scratch;
	snprintf(cq->owner, sizeof(cq->owner), "emu:nvme cqid %u", id);
	atomic_store_explicit(&ctrl->doorbells[2 * id + 1], 0, memory_order_relaxed);
	emu_nvme_dbbuf_cq(ctrl, cq);
	used = atomic_load(&ctrl->cqs_used);
	if (used <= id)
		atomic_store(&ctrl->cqs_used, id + 1);
	return 0;
}

void emu_nvme_cq_destroy(struct emu_nvme *ctrl, unsigned id)
{
	struct emu_nvme_cq *cq = &ctrl->cqs[id];

	if (!cq->exists)
		return;
	if (cq->slots)
		for (uint32_t i = 0; i < cq->entries; i++)
			free(cq->slots[i].ranges);
	free(cq->slots);
	free(cq->scratch);
	cq->slots = NULL;
	cq->scratch = NULL;
	cq->exists = false;
}

int emu_nvme_sq_create(struct emu_nvme *ctrl, unsigned id, uint64_t iova, uint32_t entries,
		       unsigned cqid, enum emu_nvme_arb_class priority)
{
	struct emu_nvme_sq *sq = &ctrl->sqs[id];

	sq->pending = NULL;
	sq->cids = NULL;
	if (ctrl->opts.latency_ns && id > 0) {
		sq->pending = malloc(entries * sizeof(*sq->pending));
		sq->cids = calloc(65536 / 64, sizeof(*sq->cids));
		if (!sq->pending || !sq->cids) {
			free(sq->pending);
			free(sq->cids);
			return -ENOMEM;
		}
	}
	sq->exists = true;
	sq->id = (uint16_t)id;
	sq->cqid = (uint16_t)cqid;
	sq->entries = entries;
	sq->head = 0;
	sq->tail = 0;
	sq->bad_tail = NO_DOORBELL;
	sq->iova = iova;
	sq->pending_first = 0;
	sq->pending_count = 0;
	sq->hung_count = 0;
	sq->fused = false;
	sq->arb = (struct emu_nvme_arb_queue){ .class = (uint8_t)priority };
	snprintf(sq->owner, sizeof(sq->owner), "emu:nvme sqid %u", id);
	atomic_store_explicit(&ctrl->doorbells[2 * id], 0, memory_order_relaxed);
	emu_nvme_dbbuf_sq(ctrl, sq);
	sq->next = ctrl->cqs[cqid].sqs;
	ctrl->cqs[cqid].sqs = sq;
	return 0;
}

void emu_nvme_sq_destroy(struct emu_nvme *ctrl, unsigned id)
{
	struct emu_nvme_sq *sq = &ctrl->sqs[id];
	struct emu_nvme_sq **link;

	if (!sq->exists)
		return;
	for (link = &cq_of(ctrl, sq)->sqs; *link != sq; link = &(*link)->next)
		;
	*link = sq->next;
	emu_nvme_arb_idle(&ctrl->arb, &sq->arb);
	free(sq->pending);
	free(sq->cids);
	sq->pending = NULL;
	sq->cids = NULL;
	sq->exists = false;
}

/* ---- Completions ---- */

static uint32_t room(const struct emu_nvme_cq *cq)
{
	return (cq->head > cq->tail ? cq->head : cq->head + cq->entries) - cq->tail - 1;
}

bool emu_nvme_cq_has_room(const struct emu_nvme_cq *cq)
{
	return room(cq) >= 1;
}

/* For the next command of a queue; a fused one that is held completes with it, whatever it is. */
static bool has_room_for_next(const struct emu_nvme_cq *cq, const struct emu_nvme_sq *sq)
{
	return room(cq) >= (sq->fused ? 2 : 1);
}

static void post_entry(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, const struct nsdk_nvme_cpl *cpl)
{
	bool nosnoop = ctrl->opts.nosnoop == EMU_NVME_NOSNOOP_ALL;
	uint64_t iova = cq->iova + cq->tail * sizeof(*cpl);

	/* One write is visible in ascending order and with release order (dma.c): the host that sees
	 * the phase, which comes last, sees the entry and all data that was written before it. */
	if (nsdk_emu_dma_write(&ctrl->model.dma, iova, cpl, sizeof(*cpl), nosnoop, cq->owner)) {
		emu_nvme_fatal(ctrl, "a completion could not be written to its queue");
		return;
	}
	if (cq->slots)
		cq->slots[cq->tail].entry = nosnoop && nosnoop_is_watched(ctrl);
	cq->signal = true;
	if (++cq->tail == cq->entries) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
}

void emu_nvme_post(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, const struct emu_nvme_sq *sq,
		   uint16_t cid, uint64_t dw01, uint16_t status)
{
	struct nsdk_nvme_cpl cpl = {
		.dw0 = (uint32_t)dw01,
		.dw1 = (uint32_t)(dw01 >> 32),
		.sqhd = (uint16_t)sq->head,
		.sqid = sq->id,
		.cid = cid,
		.status = (uint16_t)(status | (cq->phase ? NSDK_NVME_STATUS_PHASE : 0)),
	};
	unsigned times = emu_nvme_lie(ctrl, sq, &cpl);

	post_entry(ctrl, cq, &cpl);
	if (times < 2 || !emu_nvme_cq_has_room(cq))
		return;
	cpl.status = (uint16_t)((cpl.status & ~NSDK_NVME_STATUS_PHASE) |
				(cq->phase ? NSDK_NVME_STATUS_PHASE : 0));
	post_entry(ctrl, cq, &cpl);
}

/* fault=lostirq@: whether this interrupt gets lost. */
static bool loses_interrupt(struct emu_nvme *ctrl, const struct emu_nvme_cq *cq)
{
	if (ctrl->opts.fault != EMU_NVME_FAULT_LOST_IRQ || ctrl->opts.fault_in_admin != (cq->id == 0))
		return false;
	return emu_nvme_is_faulty(ctrl, emu_nvme_fault_counts(ctrl));
}

void emu_nvme_interrupt(struct emu_nvme *ctrl, struct emu_nvme_cq *cq)
{
	if (!cq->signal)
		return;
	cq->signal = false;
	if (!cq->interrupts || loses_interrupt(ctrl, cq))
		return;
	if (ctrl->vectors[cq->vector] >= 0)
		eventfd_write(ctrl->vectors[cq->vector], 1);
	else
		atomic_store(&ctrl->vector_pending[cq->vector], true);
}

/* The host is done with a completion: what came with it must have been taken back by now. */
static void consume(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, uint32_t index)
{
	struct emu_nvme_slot *slot = &cq->slots[index];

	for (uint32_t i = 0; i < slot->count; i++)
		nsdk_emu_dma_consumed(&ctrl->model.dma, slot->ranges[i].iova, slot->ranges[i].bytes,
				      slot->owner);
	if (slot->entry)
		nsdk_emu_dma_consumed(&ctrl->model.dma,
				      cq->iova + index * sizeof(struct nsdk_nvme_cpl),
				      sizeof(struct nsdk_nvme_cpl), cq->owner);
	slot->count = 0;
	slot->entry = false;
}

static void refuse_doorbell(struct emu_nvme *ctrl, unsigned qid)
{
	emu_nvme_error_note(ctrl, (uint16_t)qid, NO_CID, 0, 0, 0);
	emu_nvme_event_raise(ctrl, EMU_NVME_EVENT_ERROR, ERROR_INFO_DOORBELL_VALUE,
			     NSDK_NVME_LOG_ERROR);
}

static bool take_head(struct emu_nvme *ctrl, struct emu_nvme_cq *cq)
{
	/* Acquire, against the host's doorbell: it read the entries before, so they may be written
	 * again after. */
	uint32_t head = cq->shadow.doorbell_iova ? emu_nvme_dbbuf_head(ctrl, cq) :
						   atomic_load_explicit(&ctrl->doorbells[2 * cq->id + 1],
									memory_order_acquire);
	uint32_t posted = cq->tail >= cq->head ? cq->tail - cq->head :
						 cq->tail + cq->entries - cq->head;
	uint32_t taken;

	if (head == cq->head || head == cq->bad_head)
		return false;
	taken = head >= cq->head ? head - cq->head : head + cq->entries - cq->head;
	if (head >= cq->entries || taken > posted) {
		cq->bad_head = head;
		refuse_doorbell(ctrl, cq->id);
		return true;
	}
	cq->bad_head = NO_DOORBELL;
	for (; cq->head != head; cq->head = cq->head + 1 == cq->entries ? 0 : cq->head + 1)
		if (cq->slots)
			consume(ctrl, cq, cq->head);
	return true;
}

static void take_tail(struct emu_nvme *ctrl, struct emu_nvme_sq *sq)
{
	/* Acquire, against the host's doorbell: the entries up to it are complete. */
	uint32_t tail = sq->shadow.doorbell_iova ? emu_nvme_dbbuf_tail(ctrl, sq) :
						   atomic_load_explicit(&ctrl->doorbells[2 * sq->id],
									memory_order_acquire);

	if (tail == sq->tail || tail == sq->bad_tail)
		return;
	if (tail >= sq->entries) {
		sq->bad_tail = tail;
		refuse_doorbell(ctrl, sq->id);
		return;
	}
	sq->bad_tail = NO_DOORBELL;
	sq->tail = tail;
}

/* ---- Commands ---- */

static bool running(struct emu_nvme *ctrl)
{
	return atomic_load_explicit(&ctrl->state, memory_order_acquire) == EMU_NVME_RUNNING &&
	       !atomic_load_explicit(&ctrl->gone, memory_order_relaxed);
}

static bool fetch(struct emu_nvme *ctrl, struct emu_nvme_sq *sq, struct nsdk_nvme_cmd *cmd)
{
	int rc = nsdk_emu_dma_read(&ctrl->model.dma, sq->iova + sq->head * sizeof(*cmd), cmd,
				   sizeof(*cmd), ctrl->opts.nosnoop == EMU_NVME_NOSNOOP_ALL,
				   sq->owner);

	if (rc) {
		emu_nvme_fatal(ctrl, "a command could not be read from its queue");
		return false;
	}
	sq->head = sq->head + 1 == sq->entries ? 0 : sq->head + 1;
	return true;
}

/* The number of this command when it counts towards the fault that was asked for, else 0. */
static uint64_t fault_number(struct emu_nvme *ctrl, const struct emu_nvme_sq *sq)
{
	if (ctrl->opts.fault < EMU_NVME_FAULT_FATAL || ctrl->opts.fault > EMU_NVME_FAULT_LAST_OF_COMMANDS ||
	    ctrl->opts.fault_in_admin != (sq->id == 0))
		return 0;
	return emu_nvme_fault_counts(ctrl);
}

static bool cid_is_taken(struct emu_nvme *ctrl, const struct emu_nvme_sq *sq, uint16_t cid)
{
	for (uint32_t i = 0; i < sq->hung_count; i++)
		if (sq->hung[i].cmd.cid == cid)
			return true;
	if (sq->id == 0)
		for (unsigned i = 0; i < ctrl->aer_count; i++)
			if (ctrl->aer_cids[i] == cid)
				return true;
	return false;
}

static bool worth_noting(uint16_t status)
{
	return status && status != EMU_NVME_PASSING(ABORT_REQUESTED) &&
	       status != EMU_NVME_PASSING(ABORTED_SQ_DELETED);
}

static void complete(struct emu_nvme_req *req, uint16_t status)
{
	/* Power went while it was under way: who knows what of it lasts. */
	if (req->ctrl->opts.fault == EMU_NVME_FAULT_CUT &&
	    atomic_load_explicit(&req->ctrl->gone, memory_order_acquire))
		return;
	if (worth_noting(status)) {
		status |= STATUS_MORE;
		emu_nvme_error_note(req->ctrl, req->sq->id, req->cmd->cid, status, req->lba,
				    req->cmd->nsid);
		/* What a failed command wrote is not said to be there. */
		if (req->slot)
			req->slot->count = 0;
	}
	emu_nvme_post(req->ctrl, req->cq, req->sq, req->cmd->cid,
		      (uint64_t)req->dw1 << 32 | req->dw0, status);
}

/* The host's memory is little endian, and so is every machine NSDK is built for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "entries are read as they are");

/* @param behind  how many completions will be posted before this one's. */
static void begin(struct emu_nvme_req *req, struct emu_nvme *ctrl, struct emu_nvme_cq *cq,
		  struct emu_nvme_sq *sq, const struct nsdk_nvme_cmd *cmd, uint32_t behind)
{
	uint32_t slot = cq->tail + behind;

	*req = (struct emu_nvme_req){
		.ctrl = ctrl,
		.cq = cq,
		.sq = sq,
		.cmd = cmd,
		.owner = sq->owner,
		.nosnoop_data = ctrl->opts.nosnoop != EMU_NVME_NOSNOOP_NONE,
		.nosnoop_lists = ctrl->opts.nosnoop == EMU_NVME_NOSNOOP_ALL,
	};
	if (ctrl->model.dma.cache) {
		snprintf(req->owner_text, sizeof(req->owner_text), "emu:nvme sqid %u cid %u", sq->id,
			 cmd->cid);
		req->owner = req->owner_text;
	}
	if (cq->slots && nosnoop_is_watched(ctrl)) {
		req->slot = &cq->slots[slot >= cq->entries ? slot - cq->entries : slot];
		req->slot->count = 0;
		memcpy(req->slot->owner, req->owner_text, sizeof(req->owner_text));
	}
}

/* Whether FUSE and PSDT of a command say what can be had here. */
static bool flags_are_valid(const struct emu_nvme *ctrl, const struct emu_nvme_sq *sq,
			    const struct nsdk_nvme_cmd *cmd)
{
	unsigned psdt = cmd->flags & NSDK_NVME_PSDT_MASK, fuse = cmd->flags & NSDK_NVME_FUSE_MASK;

	if (sq->id == 0) /* admin commands: PRPs, and none are fused */
		return psdt == 0 && fuse == 0;
	/* Metadata has no SGL of its own. */
	return (psdt == 0 || (psdt == NSDK_NVME_PSDT_SGL && ctrl->opts.sgl != EMU_NVME_SGL_NONE)) &&
	       fuse != NSDK_NVME_FUSE_MASK;
}

/* What becomes of a command before anybody looks at what it is; 0: it is carried out. */
static int verdict(struct emu_nvme_req *req, bool conflict, uint64_t number)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_sq *sq = req->sq;
	bool faulty = emu_nvme_is_faulty(ctrl, number);

	if (faulty && ctrl->opts.fault == EMU_NVME_FAULT_TIMEOUT && sq->hung_count < EMU_NVME_HUNG) {
		sq->hung[sq->hung_count++] = (struct emu_nvme_hung){ .cmd = *req->cmd };
		return EMU_NVME_LATER;
	}
	if (conflict || cid_is_taken(ctrl, req->sq, req->cmd->cid))
		return EMU_NVME_GENERIC(CID_CONFLICT);
	if (faulty && ctrl->opts.fault == EMU_NVME_FAULT_BAD_STATUS)
		return EMU_NVME_PASSING(INTERNAL_ERROR);
	if (!flags_are_valid(ctrl, req->sq, req->cmd))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	return 0;
}

/* Whether a command is the one at which power is lost. */
static bool power_fails(const struct emu_nvme *ctrl, uint64_t number)
{
	return emu_nvme_is_faulty(ctrl, number) && ctrl->opts.fault == EMU_NVME_FAULT_CUT;
}

/* In this order: what is completed from here on is not told any more. */
static void cut_power(struct emu_nvme *ctrl)
{
	emu_nvme_pull_out(ctrl);
	emu_nvme_store_cut(&ctrl->store);
}

/* The faults that come behind a command. */
static void aftermath(struct emu_nvme *ctrl, uint64_t number)
{
	if (!emu_nvme_is_faulty(ctrl, number))
		return;
	if (ctrl->opts.fault == EMU_NVME_FAULT_FATAL)
		emu_nvme_fatal(ctrl, "fault=fatal@ was asked for");
	else if (ctrl->opts.fault == EMU_NVME_FAULT_GONE)
		emu_nvme_pull_out(ctrl);
	else
		emu_nvme_lie_behind(ctrl);
}

/* One half of two fused commands whose other half is not there. */
static void run_half(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq,
		     const struct nsdk_nvme_cmd *cmd)
{
	struct emu_nvme_req req;

	begin(&req, ctrl, cq, sq, cmd, 0);
	complete(&req, EMU_NVME_GENERIC(ABORTED_MISSING_FUSED));
}

/* Two fused commands, of which the first has been held. */
static void run_fused(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq,
		      const struct nsdk_nvme_cmd *second, bool conflict)
{
	struct nsdk_nvme_cmd first = sq->fused_first;
	uint64_t numbers[2] = { fault_number(ctrl, sq), fault_number(ctrl, sq) };
	struct emu_nvme_req reqs[2];
	int statuses[2];

	sq->fused = false;
	begin(&reqs[0], ctrl, cq, sq, &first, 0);
	begin(&reqs[1], ctrl, cq, sq, second, 1);
	reqs[1].power_fails = power_fails(ctrl, numbers[0]) || power_fails(ctrl, numbers[1]);
	statuses[0] = verdict(&reqs[0], sq->fused_conflict, numbers[0]);
	statuses[1] = verdict(&reqs[1], conflict || second->cid == first.cid, numbers[1]);
	if (!statuses[0] && !statuses[1])
		emu_nvme_io_fused(&reqs[0], &reqs[1], statuses);
	else
		for (int i = 0; i < 2; i++)
			if (!statuses[i])
				statuses[i] = EMU_NVME_GENERIC(ABORTED_FAILED_FUSED);
	if (reqs[1].power_fails) {
		cut_power(ctrl);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (statuses[i] != EMU_NVME_LATER)
			complete(&reqs[i], (uint16_t)statuses[i]);
	for (int i = 0; i < 2; i++)
		aftermath(ctrl, numbers[i]);
}

/* @param alone  nothing is announced behind it. */
static void run(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq,
		const struct nsdk_nvme_cmd *cmd, bool conflict, bool alone)
{
	unsigned fuse = sq->id ? cmd->flags & NSDK_NVME_FUSE_MASK : 0;
	struct emu_nvme_req req;
	uint64_t number;
	int status;

	if (sq->fused && fuse == NSDK_NVME_FUSE_SECOND) {
		run_fused(ctrl, cq, sq, cmd, conflict);
		return;
	}
	if (sq->fused) {
		sq->fused = false;
		run_half(ctrl, cq, sq, &sq->fused_first);
	}
	/* Both are to be announced by one doorbell (Base 3.4.2); and they need room for two. */
	if (fuse == NSDK_NVME_FUSE_SECOND ||
	    (fuse == NSDK_NVME_FUSE_FIRST && (alone || cq->entries < 3))) {
		run_half(ctrl, cq, sq, cmd);
		return;
	}
	if (fuse == NSDK_NVME_FUSE_FIRST) {
		sq->fused = true;
		sq->fused_first = *cmd;
		sq->fused_conflict = conflict;
		return;
	}
	number = fault_number(ctrl, sq);
	begin(&req, ctrl, cq, sq, cmd, 0);
	req.power_fails = power_fails(ctrl, number);
	req.spoil_guard = ctrl->opts.fault == EMU_NVME_FAULT_GUARD && emu_nvme_is_faulty(ctrl, number);
	status = verdict(&req, conflict, number);
	if (sq->id)
		emu_nvme_hmb_use(ctrl);
	if (!status)
		status = sq->id == 0 ? emu_nvme_admin(&req) : emu_nvme_io(&req);
	if (!status && emu_nvme_lie_overrun(&req, number))
		return;
	if (req.power_fails) {
		cut_power(ctrl);
		return;
	}
	if (status != EMU_NVME_LATER)
		complete(&req, (uint16_t)status);
	aftermath(ctrl, number);
}

/* ---- Commands that wait ---- */

static struct emu_nvme_pending *pending_at(const struct emu_nvme_sq *sq, uint32_t index)
{
	uint32_t at = sq->pending_first + index;

	return &sq->pending[at >= sq->entries ? at - sq->entries : at];
}

static bool cid_bit(const struct emu_nvme_sq *sq, uint16_t cid)
{
	return sq->cids[cid / 64] >> cid % 64 & 1;
}

static void cid_flip(struct emu_nvme_sq *sq, uint16_t cid)
{
	sq->cids[cid / 64] ^= (uint64_t)1 << cid % 64;
}

static bool fetch_pending(struct emu_nvme *ctrl, struct emu_nvme_sq *sq)
{
	struct emu_nvme_pending *pending = pending_at(sq, sq->pending_count);

	if (!fetch(ctrl, sq, &pending->cmd))
		return false;
	pending->due_ns = nsdk_clock_ns() + ctrl->opts.latency_ns;
	pending->done = false;
	pending->alone = sq->head == sq->tail;
	pending->conflict = cid_bit(sq, pending->cmd.cid);
	if (!pending->conflict)
		cid_flip(sq, pending->cmd.cid);
	sq->pending_count++;
	return true;
}

/* Carry out the commands that are due. They are in order, as every one waits equally long. */
static bool run_pending(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq)
{
	uint64_t now = sq->pending_count ? nsdk_clock_ns() : 0;
	struct emu_nvme_pending *pending;
	bool worked = false;

	for (unsigned i = 0; i < TURN_COMMANDS && sq->pending_count && running(ctrl); i++) {
		pending = pending_at(sq, 0);
		if (!pending->done) {
			if (pending->due_ns > now || !has_room_for_next(cq, sq))
				break;
			run(ctrl, cq, sq, &pending->cmd, pending->conflict, pending->alone);
			if (!pending->conflict)
				cid_flip(sq, pending->cmd.cid);
		}
		sq->pending_first = sq->pending_first + 1 == sq->entries ? 0 : sq->pending_first + 1;
		sq->pending_count--;
		worked = true;
	}
	return worked;
}

bool emu_nvme_sq_abort(struct emu_nvme *ctrl, struct emu_nvme_sq *sq, uint16_t cid)
{
	struct emu_nvme_cq *cq = cq_of(ctrl, sq);
	struct emu_nvme_pending *pending;

	if (!emu_nvme_cq_has_room(cq))
		return false;
	for (uint32_t i = 0; i < sq->hung_count; i++) {
		if (sq->hung[i].cmd.cid != cid)
			continue;
		if (ctrl->opts.abort == EMU_NVME_ABORT_LATE)
			sq->hung[i].due_ns = nsdk_clock_ns() + LATE_NS;
		if (ctrl->opts.abort != EMU_NVME_ABORT_WORKS)
			return false;
		sq->hung[i] = sq->hung[--sq->hung_count];
		emu_nvme_post(ctrl, cq, sq, cid, 0, EMU_NVME_PASSING(ABORT_REQUESTED));
		return true;
	}
	for (uint32_t i = 0; i < sq->pending_count; i++) {
		pending = pending_at(sq, i);
		if (pending->cmd.cid != cid || pending->done || pending->conflict)
			continue;
		pending->done = true;
		cid_flip(sq, cid);
		emu_nvme_post(ctrl, cq, sq, cid, 0, EMU_NVME_PASSING(ABORT_REQUESTED));
		return true;
	}
	return false;
}

void emu_nvme_sq_drain(struct emu_nvme *ctrl, struct emu_nvme_sq *sq)
{
	struct emu_nvme_cq *cq = cq_of(ctrl, sq);
	struct emu_nvme_pending *pending;

	for (uint32_t i = 0; i < sq->hung_count && emu_nvme_cq_has_room(cq); i++)
		emu_nvme_post(ctrl, cq, sq, sq->hung[i].cmd.cid, 0,
			      EMU_NVME_PASSING(ABORTED_SQ_DELETED));
	if (sq->fused && emu_nvme_cq_has_room(cq))
		emu_nvme_post(ctrl, cq, sq, sq->fused_first.cid, 0,
			      EMU_NVME_PASSING(ABORTED_SQ_DELETED));
	sq->fused = false;
	for (uint32_t i = 0; i < sq->pending_count && emu_nvme_cq_has_room(cq); i++) {
		pending = pending_at(sq, i);
		if (!pending->done)
			emu_nvme_post(ctrl, cq, sq, pending->cmd.cid, 0,
				      EMU_NVME_PASSING(ABORTED_SQ_DELETED));
	}
}

/* Commands that hung, and complete after all. */
static bool run_hung(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq)
{
	struct nsdk_nvme_cmd cmd;

	/* Not between two that are fused. */
	for (uint32_t i = 0; i < sq->hung_count && !sq->fused && emu_nvme_cq_has_room(cq); i++) {
		if (!sq->hung[i].due_ns || nsdk_clock_ns() < sq->hung[i].due_ns)
			continue;
		cmd = sq->hung[i].cmd;
		sq->hung[i] = sq->hung[--sq->hung_count];
		run(ctrl, cq, sq, &cmd, false, true);
		return true;
	}
	return false;
}

/* ---- Turns ---- */

/* Fetches the next command, and carries it out unless it has to wait. @return false: it cannot be now. */
static bool take_one(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq)
{
	struct nsdk_nvme_cmd cmd;

	if (sq->pending)
		return sq->pending_count < sq->entries && fetch_pending(ctrl, sq);
	if (!has_room_for_next(cq, sq) || !fetch(ctrl, sq, &cmd))
		return false;
	run(ctrl, cq, sq, &cmd, false, sq->head == sq->tail);
	return true;
}

/* What was fetched before. */
static bool run_fetched(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq)
{
	bool worked = false;

	if (sq->pending)
		worked |= run_pending(ctrl, cq, sq);
	if (sq->hung_count)
		worked |= run_hung(ctrl, cq, sq);
	return worked;
}

static bool sq_turn(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, struct emu_nvme_sq *sq)
{
	bool worked = false;

	take_tail(ctrl, sq);
	for (unsigned i = 0; i < TURN_COMMANDS && sq->head != sq->tail && running(ctrl); i++) {
		if (!take_one(ctrl, cq, sq))
			break;
		worked = true;
	}
	return run_fetched(ctrl, cq, sq) || worked;
}

static bool cq_turn(struct emu_nvme *ctrl, struct emu_nvme_cq *cq)
{
	bool worked;

	/* Without bus mastering nothing can be fetched or posted; it waits as on a real bus. */
	if (!ctrl->model.dma.bus_master)
		return false;
	worked = take_head(ctrl, cq);
	if (cq->id == 0)
		emu_nvme_event_deliver(ctrl);
	/* Commands on this list cannot take themselves off it: the admin queue deletes other ones. */
	for (struct emu_nvme_sq *sq = cq->sqs; sq && running(ctrl); sq = sq->next)
		worked |= sq_turn(ctrl, cq, sq);
	emu_nvme_interrupt(ctrl, cq);
	return worked;
}

/* ---- Weighted round robin (nvme_arb.c) ---- */

static struct emu_nvme_sq *sq_of(struct emu_nvme_arb_queue *queue)
{
	return (struct emu_nvme_sq *)(void *)((char *)queue - offsetof(struct emu_nvme_sq, arb));
}

/* What the host has said. */
static bool look_at_doorbells(struct emu_nvme *ctrl, struct emu_nvme_cq *cq)
{
	bool worked = take_head(ctrl, cq);

	for (struct emu_nvme_sq *sq = cq->sqs; sq; sq = sq->next) {
		take_tail(ctrl, sq);
		if (sq->head != sq->tail)
			emu_nvme_arb_ready(&ctrl->arb, &sq->arb);
	}
	return worked;
}

static bool take_by_weight(struct emu_nvme *ctrl)
{
	struct emu_nvme_arb_queue *queue;
	bool worked = false;

	for (unsigned i = 0; i < TURN_COMMANDS && running(ctrl); i++) {
		struct emu_nvme_sq *sq;

		queue = emu_nvme_arb_choose(&ctrl->arb);
		if (!queue)
			break;
		sq = sq_of(queue);
		if (!take_one(ctrl, cq_of(ctrl, sq), sq)) {
			/* Until its completion queue has room: at the next turn's look. */
			emu_nvme_arb_idle(&ctrl->arb, queue);
			continue;
		}
		worked = true;
		emu_nvme_arb_fetched(&ctrl->arb, queue);
		if (sq->head == sq->tail)
			emu_nvme_arb_idle(&ctrl->arb, queue);
	}
	return worked;
}

/* All queues, of which there are @p used; their locks are held. */
static bool io_turn(struct emu_nvme *ctrl, unsigned used)
{
	bool worked = false;

	if (!ctrl->model.dma.bus_master)
		return false;
	for (unsigned i = 1; i < used; i++)
		if (ctrl->cqs[i].exists)
			worked |= look_at_doorbells(ctrl, &ctrl->cqs[i]);
	worked |= take_by_weight(ctrl);
	for (unsigned i = 1; i < used; i++) {
		struct emu_nvme_cq *cq = &ctrl->cqs[i];

		if (!cq->exists)
			continue;
		for (struct emu_nvme_sq *sq = cq->sqs; sq && running(ctrl); sq = sq->next)
			worked |= run_fetched(ctrl, cq, sq);
		emu_nvme_interrupt(ctrl, cq);
	}
	return worked;
}

/* The admin queue first, whatever else there is; then the others, one command after the other. */
static bool wrr_turn(struct emu_nvme *ctrl)
{
	bool worked = false;
	unsigned used;

	/* As below; and while one thread arbitrates, no other does. */
	if (pthread_mutex_trylock(&ctrl->cqs[0].lock))
		return false;
	/* Now that no register can be written it is sure what goes on. */
	if (!atomic_load_explicit(&ctrl->wrr, memory_order_relaxed))
		goto unlock;
	if (ctrl->cqs[0].exists && running(ctrl))
		worked = cq_turn(ctrl, &ctrl->cqs[0]);
	used = atomic_load_explicit(&ctrl->cqs_used, memory_order_relaxed);
	for (unsigned i = 1; i < used; i++)
		pthread_mutex_lock(&ctrl->cqs[i].lock);
	if (running(ctrl))
		worked |= io_turn(ctrl, used);
	for (unsigned i = used; i-- > 1;)
		pthread_mutex_unlock(&ctrl->cqs[i].lock);
unlock:
	pthread_mutex_unlock(&ctrl->cqs[0].lock);
	return worked;
}

static bool rr_turn(struct emu_nvme *ctrl)
{
	struct emu_nvme_cq *cq;
	bool worked = false;

	for (unsigned i = 0; i < atomic_load_explicit(&ctrl->cqs_used, memory_order_relaxed); i++) {
		cq = &ctrl->cqs[i];
		/* Another thread is at it: it sees every doorbell that we could see, now or in its
		 * next turn. */
		if (pthread_mutex_trylock(&cq->lock))
			continue;
		if (cq->exists && running(ctrl) &&
		    !atomic_load_explicit(&ctrl->wrr, memory_order_relaxed))
			worked |= cq_turn(ctrl, cq);
		pthread_mutex_unlock(&cq->lock);
	}
	return worked;
}

bool emu_nvme_queues_turn(struct emu_nvme *ctrl)
{
	if (!running(ctrl)) {
		if (atomic_load(&ctrl->state) == EMU_NVME_STARTING)
			emu_nvme_regs_check_ready(ctrl);
		return false;
	}
	return atomic_load_explicit(&ctrl->wrr, memory_order_relaxed) ? wrr_turn(ctrl) : rr_turn(ctrl);
}
