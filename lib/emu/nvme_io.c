/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands of the NVM command set (NVM Command Set Specification 3.2).
 */
#include "nvme_internal.h"

#define CDW12_DTYPE(cdw12) ((cdw12) >> 20 & 0xf) /* write: directive type */

/* Commands Supported and Effects (Base figure 211): supported, changes logical blocks. */
#define SUPPORTED 0x1u
#define CHANGES_BLOCKS 0x2u

uint32_t emu_nvme_io_effects(unsigned opcode)
{
	switch (opcode) {
	case NSDK_NVME_NVM_FLUSH:
	case NSDK_NVME_NVM_READ:
	case NSDK_NVME_NVM_COMPARE:
	case NSDK_NVME_NVM_VERIFY:
		return SUPPORTED;
	case NSDK_NVME_NVM_WRITE:
	case NSDK_NVME_NVM_WRITE_UNCORRECTABLE:
	case NSDK_NVME_NVM_WRITE_ZEROES:
	case NSDK_NVME_NVM_DATASET_MANAGEMENT:
		return SUPPORTED | CHANGES_BLOCKS;
	default:
		return 0;
	}
}

/* A range of blocks within its namespace, as a range of the store. */
struct blocks {
	uint64_t offset;
	uint64_t bytes;
};

static uint16_t find_blocks(const struct emu_nvme_req *req, uint64_t slba, uint64_t count,
			    struct blocks *out)
{
	const struct emu_nvme *ctrl = req->ctrl;
	uint64_t blocks = ctrl->namespaces[req->cmd->nsid - 1].blocks;

	if (slba > blocks || count > blocks - slba)
		return EMU_NVME_GENERIC(LBA_OUT_OF_RANGE);
	out->offset = (req->cmd->nsid - 1) * ctrl->opts.size_bytes + (slba << ctrl->lba_shift);
	out->bytes = count << ctrl->lba_shift;
	return 0;
}

/* SLBA and NLB, where most commands have them. */
static uint16_t command_blocks(struct emu_nvme_req *req, struct blocks *out)
{
	req->lba = (uint64_t)req->cmd->cdw11 << 32 | req->cmd->cdw10;
	return find_blocks(req, req->lba, (req->cmd->cdw12 & 0xffff) + 1, out);
}

static uint16_t data_begin(struct emu_nvme_req *req, uint64_t bytes)
{
	if (emu_nvme_data_exceeds(req->ctrl, bytes))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	return emu_nvme_data_begin(req, bytes);
}

/* One writer at a time, which holds the completion queue's lock; a reader anywhere. */
static void count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

static uint16_t count_media(struct emu_nvme_req *req, uint16_t status)
{
	if (NSDK_NVME_STATUS_SCT(status) == NSDK_NVME_SCT_MEDIA &&
	    NSDK_NVME_STATUS_SC(status) != NSDK_NVME_SC_COMPARE_FAILURE)
		count(&req->cq->counters.media_errors, 1);
	return status;
}

/* Without a volatile write cache, or past it, data is on the disk when the command completes. */
static uint16_t settle(struct emu_nvme_req *req, uint16_t status, const struct blocks *blocks)
{
	if (!status && !req->power_fails &&
	    ((req->cmd->cdw12 & NSDK_NVME_RW_FUA) ||
	     (req->ctrl->opts.write_cache &&
	      !atomic_load_explicit(&req->ctrl->write_cache, memory_order_relaxed))))
		status = emu_nvme_store_settle(&req->ctrl->store, blocks->offset, blocks->bytes);
	return status;
}

static uint16_t do_flush(struct emu_nvme_req *req)
{
	return req->power_fails ? 0 : count_media(req, emu_nvme_store_flush(&req->ctrl->store));
}

static uint16_t do_read(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = data_begin(req, blocks.bytes);
	if (!status)
		status = emu_nvme_store_read(&req->ctrl->store, req, blocks.offset, blocks.bytes);
	if (!status) {
		count(&req->cq->counters.reads, 1);
		count(&req->cq->counters.units_read, blocks.bytes / 512);
	}
	return count_media(req, status);
}

static uint16_t do_compare(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = data_begin(req, blocks.bytes);
	if (!status)
		status = emu_nvme_store_compare(&req->ctrl->store, req, blocks.offset, blocks.bytes);
	if (!status) {
		/* For the SMART log a compare is a read (Base figure 207). */
		count(&req->cq->counters.reads, 1);
		count(&req->cq->counters.units_read, blocks.bytes / 512);
	}
	return count_media(req, status);
}

static uint16_t do_write(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (CDW12_DTYPE(req->cmd->cdw12))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!status)
		status = data_begin(req, blocks.bytes);
	if (!status)
		status = emu_nvme_store_write(&req->ctrl->store, req, blocks.offset, blocks.bytes);
	status = settle(req, status, &blocks);
	if (!status) {
		count(&req->cq->counters.writes, 1);
		count(&req->cq->counters.units_written, blocks.bytes / 512);
	}
	return count_media(req, status);
}

static uint16_t do_write_zeroes(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = emu_nvme_store_zero(&req->ctrl->store, blocks.offset, blocks.bytes);
	return count_media(req, settle(req, status, &blocks));
}

static uint16_t do_write_uncorrectable(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = emu_nvme_store_spoil(&req->ctrl->store, blocks.offset, blocks.bytes);
	return status;
}

static uint16_t do_verify(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = emu_nvme_store_verify(&req->ctrl->store, blocks.offset, blocks.bytes);
	return count_media(req, status);
}

static uint16_t do_dataset_management(struct emu_nvme_req *req)
{
	struct nsdk_nvme_dsm_range ranges[NSDK_NVME_DSM_MAX_RANGES];
	unsigned number = (req->cmd->cdw10 & 0xff) + 1;
	struct blocks blocks;
	uint16_t status;

	status = emu_nvme_data_begin(req, number * sizeof(ranges[0]));
	if (!status)
		status = emu_nvme_data_from_host(req, ranges, number * sizeof(ranges[0]));
	/* All of them, before the first is deallocated. */
	for (unsigned i = 0; i < number && !status; i++) {
		req->lba = ranges[i].slba;
		status = find_blocks(req, ranges[i].slba, ranges[i].blocks, &blocks);
	}
	if (!(req->cmd->cdw11 & NSDK_NVME_DSM_DEALLOCATE))
		return status; /* hints how it will be used; there is nothing to do better */
	for (unsigned i = 0; i < number && !status; i++) {
		status = find_blocks(req, ranges[i].slba, ranges[i].blocks, &blocks);
		if (!status)
			status = emu_nvme_store_zero(&req->ctrl->store, blocks.offset, blocks.bytes);
	}
	return count_media(req, status);
}

int emu_nvme_io(struct emu_nvme_req *req)
{
	uint32_t nsid = req->cmd->nsid;

	if (!emu_nvme_io_effects(req->cmd->opcode))
		return EMU_NVME_GENERIC(INVALID_OPCODE);
	/* Flush is the one that may be said to all namespaces, and they are one store. */
	if (!emu_nvme_ns_attached(req->ctrl, nsid) &&
	    !(req->cmd->opcode == NSDK_NVME_NVM_FLUSH && nsid == NSDK_NVME_NSID_ALL))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (emu_nvme_sanitizing(req->ctrl))
		return EMU_NVME_PASSING(SANITIZE_IN_PROGRESS);

	switch (req->cmd->opcode) {
	case NSDK_NVME_NVM_FLUSH:
		return do_flush(req);
	case NSDK_NVME_NVM_READ:
		return do_read(req);
	case NSDK_NVME_NVM_WRITE:
		return do_write(req);
	case NSDK_NVME_NVM_COMPARE:
		return do_compare(req);
	case NSDK_NVME_NVM_WRITE_ZEROES:
		return do_write_zeroes(req);
	case NSDK_NVME_NVM_WRITE_UNCORRECTABLE:
		return do_write_uncorrectable(req);
	case NSDK_NVME_NVM_DATASET_MANAGEMENT:
		return do_dataset_management(req);
	default:
		return do_verify(req);
	}
}
