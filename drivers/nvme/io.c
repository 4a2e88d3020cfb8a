/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands (NVM Command Set 3): checking, building the SQE, and giving it to the ring.
 *
 * The short way is written out for reads and writes of at most two pages, because that is
 * what runs a million times a second; its checks are only as many as decide that it applies, and what
 * does not is checked properly on the general way, which also knows the right error.
 *
 * Slots of the submission queue are zero where no command of this driver has anything to say (dwords
 * 2, 3, 13 to 15 and the metadata pointer), so the short way need not write those.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <string.h>

#include "fdp.h"

#define NVME_NOINLINE __attribute__((noinline))

/*
 * The compiler takes this for the place where the value changes, and memory too, so it neither computes
 * it earlier nor keeps other things in registers across. For the way that matters only.
 */
#define COMPUTE_HERE(value) __asm__ volatile("" : "+r"(value) : : "memory")

/*
 * A call in the last place that stays a call. Were it a jump, the compiler would have to keep the
 * arguments that came on the stack in registers, and save others for them, on the way that matters.
 */
#define NVME_NO_TAIL_CALL(call)                                                                   \
	({                                                                                        \
		int result_ = (call);                                                             \
                                                                                                  \
		__asm__ volatile("" : "+r"(result_));                                             \
		result_;                                                                          \
	})

/* Why there is no tracker to be had. */
int nsdk_nvme_refuse(struct nsdk_nvme_qpair *qp)
{
	int err;

	if (qp->attention & NVME_DEAD)
		return qp->error;
	err = nsdk_nvme_ctrlr_failed(qp->ctrlr);
	return err ? err : -EAGAIN;
}

/*
 * A slot has what the short ways leave as it is (cdw2, 3, 13 to 15, the metadata pointer): they are closed,
 * and the general way, which writes slots whole, opens them again once it has been round the ring.
 */
void nsdk_nvme_qpair_soil(struct nsdk_nvme_qpair *qp)
{
	qp->soiled = qp->entries;
	qp->short_pieces = 0;
}

static void slot_cleaned(struct nsdk_nvme_qpair *qp)
{
	if (--qp->soiled == 0 && !qp->nosnoop)
		qp->short_pieces = qp->ctrlr->map->window_bytes >> NSDK_WINDOW_SHIFT;
}

/* @p sqe has been filled in, and is the next one to announce. */
__attribute__((always_inline)) static inline void next_sqe(struct nsdk_nvme_qpair *qp,
							   struct nsdk_nvme_cmd *sqe)
{
	/* Not begun earlier, when all registers are taken. */
	COMPUTE_HERE(sqe);
	if (NVME_UNLIKELY(++sqe == qp->ring.sq_end)) {
		sqe = qp->ring.sq;
		qp->laps++;
	}
	qp->sqe = sqe;
	qp->attention |= NVME_UNSENT;
}

/* The memory of a tracker's PRP list or SGL segment. */
static void *list_of(const struct nsdk_nvme_qpair *qp, const struct nvme_tracker *t, uint64_t *iova)
{
	size_t offset = (size_t)t->cid * qp->prp_list_bytes;

	*iova = qp->prp_list_iovas[offset / NVME_PAGE_BYTES] + offset % NVME_PAGE_BYTES;
	return qp->prp_lists + offset;
}

/*
 * Says in a command where its payload is: by an SGL where its PSDT field asks for that, else by PRPs.
 *
 * @param[out] list_bytes  used of the tracker's list.
 * @return 0; -EFAULT; -EINVAL; -EOPNOTSUPP. Nothing but the command and the list has been changed.
 */
static int describe(struct nsdk_nvme_qpair *qp, const struct nvme_tracker *t, struct nsdk_nvme_cmd *cmd,
		    const struct nvme_payload *payload, size_t bytes, enum nsdk_dma_dir dir,
		    size_t *list_bytes)
{
	struct nvme_prps prps = { 0 };
	uint64_t list_iova;
	void *list = list_of(qp, t, &list_iova);
	int err = nvme_cmb_check(qp->ctrlr, payload, bytes, dir);

	if (err)
		return err;
	if (cmd->flags & NSDK_NVME_PSDT_SGL)
		return nsdk_nvme_sgl_build(qp->ctrlr->map, *payload, bytes, list,
					   qp->prp_list_bytes / sizeof(struct nsdk_nvme_sgl), list_iova,
					   cmd, list_bytes);
	err = nsdk_nvme_prp_build(qp->ctrlr->map, *payload, bytes, list,
				  qp->prp_list_bytes / sizeof(uint64_t), list_iova, &prps);
	cmd->prp1 = prps.prp1;
	cmd->prp2 = prps.prp2;
	*list_bytes = prps.list_entries * sizeof(uint64_t);
	return err;
}

/* No-snoop: a described payload and its list are part of what the next doorbell gives to the device. */
static void give(struct nsdk_nvme_qpair *qp, const struct nvme_tracker *t,
		 const struct nvme_payload *payload, size_t bytes, enum nsdk_dma_dir dir,
		 size_t list_bytes)
{
	uint64_t iova;

	nsdk_nvme_payload_flush(qp->ctrlr, qp->to_device, *payload, bytes, dir, false);
	if (list_bytes)
		nsdk_flush_batch_for_device(qp->to_device, list_of(qp, t, &iova), list_bytes,
					    NSDK_DMA_TO_DEVICE);
}

/* The command of the first free tracker takes the next slot. */
static void place(struct nsdk_nvme_qpair *qp, struct nvme_tracker *t, struct nsdk_nvme_cmd *cmd,
		  nsdk_nvme_cb cb, void *ctx)
{
	qp->free = t->next_free;
	t->cb = cb;
	t->ctx = ctx;
	cmd->cid = t->cid;
	*qp->sqe = *cmd;
	if (NVME_UNLIKELY((cmd->cdw2 | cmd->cdw3 | cmd->mptr | cmd->cdw13 | cmd->cdw14 | cmd->cdw15) != 0))
		nsdk_nvme_qpair_soil(qp);
	else if (NVME_UNLIKELY(qp->soiled))
		slot_cleaned(qp);
	next_sqe(qp, qp->sqe);
}

/*
 * Gives one command to the ring; nothing is changed unless all of it works.
 *
 * @param payload  NULL: none. Checked by the caller but for its translation.
 * @return 0; -EAGAIN and what else nsdk_nvme_refuse() gives; -EFAULT, -EINVAL from the PRPs.
 */
int nsdk_nvme_issue(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd *cmd,
		    const struct nvme_payload *payload, size_t bytes, enum nsdk_dma_dir dir,
		    nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_tracker *t = qp->free;
	size_t list_bytes;
	int err;

	if (!t)
		return nsdk_nvme_refuse(qp);
	if (payload) {
		err = describe(qp, t, cmd, payload, bytes, dir, &list_bytes);
		if (err)
			return err;
	}
	if (qp->nosnoop) {
		t->from_device_bytes = 0;
		if (payload)
			give(qp, t, payload, bytes, dir, list_bytes);
		if (payload && dir != NSDK_DMA_TO_DEVICE) {
			t->from_device = *payload;
			t->from_device_bytes = (uint32_t)bytes;
		}
	}
	place(qp, t, cmd, cb, ctx);
	return 0;
}

/*
 * The same for two fused commands, of which the device reads both payloads: either both are in the
 * ring, side by side and with no doorbell in between, or neither is.
 */
int nsdk_nvme_issue_fused(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd cmds[2],
			  const struct nvme_payload payloads[2], size_t bytes,
			  const nsdk_nvme_cb cbs[2], void *ctx)
{
	struct nvme_tracker *trackers[2] = { qp->free, qp->free ? qp->free->next_free : NULL };
	size_t list_bytes[2];
	int err;

	if (!trackers[1])
		return nsdk_nvme_refuse(qp);
	for (int i = 0; i < 2; i++) {
		err = describe(qp, trackers[i], &cmds[i], &payloads[i], bytes, NSDK_DMA_TO_DEVICE,
			       &list_bytes[i]);
		if (err)
			return err;
	}
	for (int i = 0; i < 2; i++) {
		if (qp->nosnoop) {
			trackers[i]->from_device_bytes = 0;
			give(qp, trackers[i], &payloads[i], bytes, NSDK_DMA_TO_DEVICE, list_bytes[i]);
		}
		place(qp, trackers[i], &cmds[i], cbs[i], ctx);
	}
	return 0;
}

/* The same for a few bytes of the driver's own that the device reads: the tracker's list has room. */
int nsdk_nvme_issue_inline(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd *cmd, const void *data,
			   size_t bytes, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_tracker *t = qp->free;
	void *list;

	if (!t)
		return nsdk_nvme_refuse(qp);
	list = list_of(qp, t, &cmd->prp1);
	memcpy(list, data, bytes);
	if (qp->nosnoop) {
		t->from_device_bytes = 0;
		/* Read by the device after the next doorbell. */
		nsdk_flush_batch_for_device(qp->to_device, list, bytes, NSDK_DMA_TO_DEVICE);
	}
	place(qp, t, cmd, cb, ctx);
	return 0;
}

/*
 * What every command on a namespace needs.
 *
 * @param oncs  the bit of Optional NVM Command Support that says that there is such a command; 0: there
 *              always is.
 */
int nsdk_nvme_check_command(const struct nsdk_nvme_ns *ns, const struct nsdk_nvme_qpair *qp,
			    nsdk_nvme_cb cb, uint16_t oncs)
{
	if (!cb || ns->ctrlr != qp->ctrlr)
		return -EINVAL;
	if (ns->refusal)
		return ns->refusal;
	return (ns->ctrlr->id.oncs & oncs) == oncs ? 0 : -EOPNOTSUPP;
}

int nsdk_nvme_check_blocks(const struct nsdk_nvme_ns *ns, uint64_t lba, uint64_t blocks)
{
	return blocks == 0 || lba >= ns->blocks || blocks > ns->blocks - lba ? -EINVAL : 0;
}

/* Everything that the short way does not do, errors included. @p ext: NULL: nothing more is said. */
NVME_NOINLINE static int rw_general(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				    uint8_t opcode, const struct nvme_payload *payload, int iovcnt,
				    uint64_t lba, uint32_t blocks, uint32_t flags,
				    const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb, void *ctx)
{
	enum nsdk_dma_dir dir = opcode == NSDK_NVME_NVM_READ ? NSDK_DMA_FROM_DEVICE :
							       NSDK_DMA_TO_DEVICE;
	struct nsdk_nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw13 = ext ? ext->dsm : 0,
	};
	struct nvme_extra extra;
	uint32_t most;
	size_t bytes;
	int err;

	err = nsdk_nvme_check_command(ns, qp, cb, opcode == NSDK_NVME_NVM_COMPARE ?
							  NSDK_NVME_ONCS_COMPARE : 0);
	if (!err)
		err = nsdk_nvme_extra_rw(ns, &cmd, lba, flags, ext, &extra);
	if (!err && ext)
		err = nsdk_nvme_directive_say(ns, &cmd, ext);
	if (!err)
		err = nsdk_nvme_check_blocks(ns, lba, blocks);
	if (!err)
		err = nsdk_nvme_extra_check(qp, &extra, payload, iovcnt, blocks);
	if (!err)
		/* Of all of it, before a part goes out. */
		err = nvme_cmb_check(qp->ctrlr, payload, (size_t)blocks * extra.unit_bytes, dir);
	if (err)
		return err;
	most = nsdk_nvme_extra_blocks_max(ns, &extra);
	bytes = (size_t)blocks * extra.unit_bytes;
	if (blocks <= most)
		cmd.flags = nsdk_nvme_sgl_choose(qp, payload, bytes);
	if (blocks > most || (opcode != NSDK_NVME_NVM_WRITE && nvme_cut(ns, lba, blocks) < blocks) ||
	    nsdk_nvme_extra_reach(qp, &extra, blocks) < blocks ||
	    (!cmd.flags && nsdk_nvme_payload_reach(payload, bytes, bytes) < bytes))
		return nsdk_nvme_split_start(ns, qp, &cmd, payload, &extra, dir, lba, blocks, cb, ctx);
	cmd.cdw12 |= blocks - 1;
	return nsdk_nvme_issue_extra(qp, &cmd, payload, &extra, blocks, dir, cb, ctx);
}

/* As nsdk_nvme_read() and its kin take them. */
#define RW_PARAMETERS                                                                             \
	struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf, uint64_t lba,       \
		uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx

typedef int (*rw_fn)(RW_PARAMETERS);

/* Fills in the SQE and the tracker: all has been checked. */
__attribute__((always_inline)) static inline void
fill(struct nsdk_nvme_qpair *qp, struct nvme_tracker *t, uint64_t opcode_nsid, uint64_t prp1,
     uint64_t prp2, uint64_t lba, uint32_t cdw12, nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd *sqe = qp->sqe;

	/* Dwords 0 and 1: opcode, no fusing, PRPs, command id, namespace. */
	*(uint64_t *)(void *)sqe = opcode_nsid | t->cid_dw01;
	sqe->prp1 = prp1;
	sqe->prp2 = prp2;
	*(uint64_t *)(void *)&sqe->cdw10 = lba;
	sqe->cdw12 = cdw12;
	next_sqe(qp, sqe);
	qp->free = t->next_free;
	t->cb = cb;
	t->ctx = ctx;
}
_Static_assert(offsetof(struct nsdk_nvme_cmd, cdw10) % 8 == 0, "the LBA is stored as one word");

/*
 * The shortest way: at most a page, of page aligned pool memory, snooped, not at the very end of the
 * namespace. Anything else, and anything wrong, is for @p otherwise.
 */
__attribute__((always_inline)) static inline int rw_short(RW_PARAMETERS, bool write,
							  rw_fn otherwise)
{
	const uintptr_t piece_mask = ((uintptr_t)1 << NSDK_WINDOW_SHIFT) - 1;
	uint32_t nlb = blocks - 1; /* 0's based, as the command has it; no blocks: far too many */
	uintptr_t va = (uintptr_t)buf, index;
	nsdk_nvme_cb late;
	uint64_t entry;

	/* What is needed last is loaded last: each register more is one to save and restore. */
	if (NVME_UNLIKELY((va & NVME_PAGE_MASK) || nlb > ns->short_nlb ||
			  lba >= ns->short_lba_end || (flags & ~NVME_RW_FLAGS) ||
			  ns->ctrlr != qp->ctrlr))
		goto other;
	index = (va >> NSDK_WINDOW_SHIFT) - qp->short_first_piece;
	if (NVME_UNLIKELY(index >= qp->short_pieces))
		goto other;
	entry = atomic_load_explicit(&qp->window[index], memory_order_relaxed);
	if (NVME_UNLIKELY(entry == 0))
		goto other;
	if (NVME_UNLIKELY(!qp->free))
		goto other;
	/* Nine registers need not be saved, and this way gets by with them: cb comes in at the end, … */
	late = cb;
	COMPUTE_HERE(late);
	if (NVME_UNLIKELY(!late))
		goto other;
	/* … and what is not needed any more makes room for what is. */
	va = entry - 1 + (va & piece_mask);
	flags |= nlb;
	COMPUTE_HERE(va);
	COMPUTE_HERE(flags);
	fill(qp, qp->free, write ? ns->write_dw01 : ns->read_dw01, va, 0, lba, flags, late, ctx);
	return 0;

other:
	return NVME_NO_TAIL_CALL(otherwise(ns, qp, buf, lba, blocks, flags, cb, ctx));
}

/* The next best: anywhere within two pages, on the no-snoop path too. */
__attribute__((always_inline)) static inline int rw_two_pages(RW_PARAMETERS, uint64_t opcode_nsid,
							      enum nsdk_dma_dir dir,
							      rw_fn otherwise)
{
	const size_t piece = (size_t)1 << NSDK_WINDOW_SHIFT;
	uintptr_t va = (uintptr_t)buf;
	uintptr_t offset = va - qp->ctrlr->map->window_va;
	uint64_t bytes = (uint64_t)blocks << ns->block_shift;
	size_t in_page = (va & NVME_PAGE_MASK) + bytes;
	struct nvme_tracker *t = qp->free;
	uint64_t entry, iova, second = 0;

	if (NVME_UNLIKELY(bytes - 1 >= ns->two_pages_bytes || lba >= ns->two_pages_lba_end ||
			  (va & qp->align_mask) || (flags & ~NVME_RW_FLAGS) || ns->ctrlr != qp->ctrlr ||
			  !cb || !t || offset >= qp->ctrlr->map->window_bytes ||
			  qp->soiled || in_page > 2 * NVME_PAGE_BYTES ||
			  (offset & (piece - 1)) + bytes > piece))
		goto other;
	entry = atomic_load_explicit(&qp->window[offset >> NSDK_WINDOW_SHIFT],
				     memory_order_relaxed);
	if (NVME_UNLIKELY(entry == 0))
		goto other;
	iova = entry - 1 + (offset & (piece - 1));
	if (in_page > NVME_PAGE_BYTES)
		second = (iova & ~(uint64_t)NVME_PAGE_MASK) + NVME_PAGE_BYTES;
	fill(qp, t, opcode_nsid, iova, second, lba, flags | (blocks - 1), cb, ctx);
	if (qp->nosnoop) {
		/* The payload is part of what the next doorbell gives to the device. */
		t->from_device.va = va;
		t->from_device.iov = NULL;
		t->from_device_bytes = dir == NSDK_DMA_FROM_DEVICE ? (uint32_t)bytes : 0;
		nsdk_flush_batch_for_device(qp->to_device, buf, bytes, dir);
	}
	return 0;

other:
	return otherwise(ns, qp, buf, lba, blocks, flags, cb, ctx);
}

NVME_NOINLINE static int read_otherwise(RW_PARAMETERS)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };

	return rw_general(ns, qp, NSDK_NVME_NVM_READ, &payload, 1, lba, blocks, flags, NULL, cb,
			  ctx);
}

NVME_NOINLINE static int write_otherwise(RW_PARAMETERS)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };

	return rw_general(ns, qp, NSDK_NVME_NVM_WRITE, &payload, 1, lba, blocks, flags, NULL, cb,
			  ctx);
}

NVME_NOINLINE static int read_two_pages(RW_PARAMETERS)
{
	return rw_two_pages(ns, qp, buf, lba, blocks, flags, cb, ctx, ns->read_dw01,
			    NSDK_DMA_FROM_DEVICE, read_otherwise);
}

NVME_NOINLINE static int write_two_pages(RW_PARAMETERS)
{
	return rw_two_pages(ns, qp, buf, lba, blocks, flags, cb, ctx, ns->write_dw01,
			    NSDK_DMA_TO_DEVICE, write_otherwise);
}

int nsdk_nvme_read(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, uint64_t lba,
		   uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return rw_short(ns, qp, buf, lba, blocks, flags, cb, ctx, false, read_two_pages);
}

int nsdk_nvme_write(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
		    uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	return rw_short(ns, qp, buf, lba, blocks, flags, cb, ctx, true, write_two_pages);
}

int nsdk_nvme_compare(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
		      uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };

	return rw_general(ns, qp, NSDK_NVME_NVM_COMPARE, &payload, 1, lba, blocks, flags, NULL, cb,
			  ctx);
}

static int rwv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint8_t opcode,
	       const struct iovec *iov, int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags,
	       const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .iov = iov };

	if (!iov || iovcnt < 1 || (ext && ext->ext_bytes != sizeof(*ext)))
		return -EINVAL;
	return rw_general(ns, qp, opcode, &payload, iovcnt, lba, blocks, ext ? ext->flags : flags, ext, cb,
			  ctx);
}

int nsdk_nvme_readv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
		    int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
		    void *ctx)
{
	return rwv(ns, qp, NSDK_NVME_NVM_READ, iov, iovcnt, lba, blocks, flags, NULL, cb, ctx);
}

int nsdk_nvme_writev(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
		     int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
		     void *ctx)
{
	return rwv(ns, qp, NSDK_NVME_NVM_WRITE, iov, iovcnt, lba, blocks, flags, NULL, cb, ctx);
}

int nsdk_nvme_comparev(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
		       int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
		       void *ctx)
{
	return rwv(ns, qp, NSDK_NVME_NVM_COMPARE, iov, iovcnt, lba, blocks, flags, NULL, cb, ctx);
}

int nsdk_nvme_readv_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
			nsdk_nvme_cb cb, void *ctx)
{
	return rwv(ns, qp, NSDK_NVME_NVM_READ, iov, iovcnt, lba, blocks, 0, ext, cb, ctx);
}

int nsdk_nvme_writev_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			 int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
			 nsdk_nvme_cb cb, void *ctx)
{
	return rwv(ns, qp, NSDK_NVME_NVM_WRITE, iov, iovcnt, lba, blocks, 0, ext, cb, ctx);
}

int nsdk_nvme_comparev_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			   int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
			   nsdk_nvme_cb cb, void *ctx)
{
	return rwv(ns, qp, NSDK_NVME_NVM_COMPARE, iov, iovcnt, lba, blocks, 0, ext, cb, ctx);
}

int nsdk_nvme_flush(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_FLUSH, .nsid = ns->nsid };
	int err = nsdk_nvme_check_command(ns, qp, cb, 0);

	return err ? err : nsdk_nvme_issue(qp, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, cb, ctx);
}

int nsdk_nvme_dsm(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		  const struct nsdk_nvme_dsm_range *ranges, unsigned count, uint32_t attributes,
		  nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)ranges };
	size_t bytes = count * sizeof(*ranges);
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_DATASET_MANAGEMENT,
		.nsid = ns->nsid,
		.cdw10 = count - 1,
		.cdw11 = attributes,
	};
	int err = nsdk_nvme_check_command(ns, qp, cb, NSDK_NVME_ONCS_DSM);

	if (!err && (count == 0 || count > NSDK_NVME_DSM_MAX_RANGES))
		err = -EINVAL;
	for (unsigned i = 0; !err && i < count; i++)
		/* A range of no blocks is allowed, and may begin anywhere. */
		if (ranges[i].blocks && nsdk_nvme_check_blocks(ns, ranges[i].slba, ranges[i].blocks))
			err = -EINVAL;
	if (!err)
		/* The device only reads it: lines shared with others are written back, not lost. */
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, bytes, 1, 3);
	if (err)
		return err;
	return nsdk_nvme_issue(qp, &cmd, &payload, bytes, NSDK_DMA_TO_DEVICE, cb, ctx);
}
