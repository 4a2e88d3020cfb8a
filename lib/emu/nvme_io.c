/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands of the NVM command set (NVM Command Set Specification 3.2).
 */
#include <string.h>

#include "nvme_fdp.h"
#include "nvme_pi.h"
#include "nvme_zns.h"

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
	case NSDK_NVME_NVM_RESV_REGISTER:
	case NSDK_NVME_NVM_RESV_REPORT:
	case NSDK_NVME_NVM_RESV_ACQUIRE:
	case NSDK_NVME_NVM_RESV_RELEASE:
		return SUPPORTED;
	case NSDK_NVME_NVM_WRITE:
	case NSDK_NVME_NVM_WRITE_UNCORRECTABLE:
	case NSDK_NVME_NVM_WRITE_ZEROES:
	case NSDK_NVME_NVM_DATASET_MANAGEMENT:
	case NSDK_NVME_NVM_COPY:
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
	if (req->ctrl->md.bytes)
		return emu_nvme_md_begin(req, bytes);
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

/* Of zones; after it is known that the blocks are in the namespace. */
static uint16_t check_read(const struct emu_nvme_req *req, uint64_t slba, uint64_t bytes)
{
	return emu_nvme_zns_check_read(req->ctrl, req->cmd->nsid, slba, bytes >> req->ctrl->lba_shift);
}

static uint16_t do_read(struct emu_nvme_req *req)
{
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = check_read(req, req->lba, blocks.bytes);
	if (!status)
		status = data_begin(req, blocks.bytes);
	if (!status)
		status = req->ctrl->md.bytes ?
				 emu_nvme_md_read(req, blocks.offset, blocks.bytes) :
				 emu_nvme_store_read(&req->ctrl->store, req, blocks.offset, blocks.bytes);
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
		status = check_read(req, req->lba, blocks.bytes);
	if (!status)
		status = data_begin(req, blocks.bytes);
	if (!status)
		status = req->ctrl->md.bytes ?
				 emu_nvme_md_compare(req, blocks.offset, blocks.bytes) :
				 emu_nvme_store_compare(&req->ctrl->store, req, blocks.offset, blocks.bytes);
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

	if (emu_nvme_fdp_check_write(req->ctrl, req->cmd->cdw12))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!status)
		status = data_begin(req, blocks.bytes);
	if (!status)
		status = req->ctrl->md.bytes ?
				 emu_nvme_md_write(req, blocks.offset, blocks.bytes) :
				 emu_nvme_store_write(&req->ctrl->store, req, blocks.offset, blocks.bytes);
	status = settle(req, status, &blocks);
	if (!status) {
		count(&req->cq->counters.writes, 1);
		count(&req->cq->counters.units_written, blocks.bytes / 512);
		emu_nvme_fdp_wrote(req, blocks.bytes);
	}
	return count_media(req, status);
}

static uint16_t do_write_zeroes(struct emu_nvme_req *req)
{
	bool deallocates = req->cmd->cdw12 & NSDK_NVME_WZ_DEALLOCATE;
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (!status)
		status = emu_nvme_fdp_check_write(req->ctrl, req->cmd->cdw12);

	if (!status)
		status = emu_nvme_store_zero(&req->ctrl->store, blocks.offset, blocks.bytes);
	if (!status && req->ctrl->md.bytes)
		status = emu_nvme_md_zero(req, blocks.offset, blocks.bytes, deallocates);
	status = settle(req, status, &blocks);
	/* What is deallocated is nowhere. */
	if (!status && !deallocates)
		emu_nvme_fdp_wrote(req, blocks.bytes);
	return count_media(req, status);
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

	if (!status && blocks.bytes > (uint64_t)EMU_NVME_PAGE << EMU_NVME_VSL)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!status)
		status = check_read(req, req->lba, blocks.bytes);
	if (!status)
		status = req->ctrl->md.bytes ?
				 emu_nvme_md_verify(req, blocks.offset, blocks.bytes) :
				 emu_nvme_store_verify(&req->ctrl->store, blocks.offset, blocks.bytes);
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
		if (!status && req->ctrl->md.bytes)
			status = emu_nvme_md_zero(req, blocks.offset, blocks.bytes, true);
	}
	return count_media(req, status);
}

/* The ranges in the order of the list; how far it came is told in dword 0 (NVM 3.2.2). */
static uint16_t do_copy(struct emu_nvme_req *req)
{
	uint8_t list[EMU_NVME_MSRC * sizeof(struct nsdk_nvme_copy_range_f1)];
	unsigned format = req->cmd->cdw12 >> 8 & 0xf, number = (req->cmd->cdw12 & 0xff) + 1;
	size_t range_bytes = format ? sizeof(struct nsdk_nvme_copy_range_f1) :
				      sizeof(struct nsdk_nvme_copy_range);
	struct blocks from[EMU_NVME_MSRC], to, whole;
	uint64_t total = 0;
	uint16_t status;

	if (format > 1 || emu_nvme_fdp_check_write(req->ctrl, req->cmd->cdw12))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (number > EMU_NVME_MSRC)
		return EMU_NVME_SPECIFIC(SIZE_LIMIT);
	status = emu_nvme_data_begin(req, number * range_bytes);
	if (!status)
		status = emu_nvme_data_from_host(req, list, number * range_bytes);
	for (unsigned i = 0; i < number && !status; i++) {
		uint64_t slba;
		uint16_t nlb;

		/* At the same place in both formats. */
		memcpy(&slba, list + i * range_bytes + 8, sizeof(slba));
		memcpy(&nlb, list + i * range_bytes + 16, sizeof(nlb));
		total += nlb + 1u;
		req->lba = slba;
		if (nlb + 1u > EMU_NVME_MSSRL || total > EMU_NVME_MCL)
			status = EMU_NVME_SPECIFIC(SIZE_LIMIT);
		else
			status = find_blocks(req, slba, nlb + 1u, &from[i]);
		if (!status)
			status = check_read(req, slba, from[i].bytes);
	}
	if (status)
		return status;
	req->lba = (uint64_t)req->cmd->cdw11 << 32 | req->cmd->cdw10;
	status = find_blocks(req, req->lba, total, &to);
	if (!status)
		status = emu_nvme_zns_begin_write(req->ctrl, req->cmd->nsid, &req->lba, total, false);
	if (status)
		return status;
	whole = to;
	for (unsigned i = 0; i < number && !status; i++) {
		status = req->ctrl->md.bytes ?
				 emu_nvme_md_copy(req, from[i].offset, to.offset, from[i].bytes,
						  (to.offset - whole.offset) >> req->ctrl->lba_shift) :
				 emu_nvme_store_copy(&req->ctrl->store, req, from[i].offset, to.offset,
						     from[i].bytes);
		to.offset += from[i].bytes;
		if (status)
			req->dw0 = i;
	}
	emu_nvme_zns_end_write(req->ctrl, req->cmd->nsid, req->lba, total, status);
	status = settle(req, status, &whole);
	if (!status)
		emu_nvme_fdp_wrote(req, whole.bytes);
	return count_media(req, status);
}

/* A command that writes SLBA and NLB, where it may: at the write pointer of its zone. */
static uint16_t write_in_zone(struct emu_nvme_req *req, uint16_t (*fn)(struct emu_nvme_req *req))
{
	struct emu_nvme *ctrl = req->ctrl;
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	bool append = cmd->opcode == NSDK_NVME_ZNS_APPEND;
	uint64_t count = (cmd->cdw12 & 0xffff) + 1, lba;
	struct nsdk_nvme_cmd at = *cmd;
	struct blocks blocks;
	uint16_t status = command_blocks(req, &blocks);

	if (status)
		return status;
	if (append && (emu_nvme_append_exceeds(ctrl, blocks.bytes) ||
		       (cmd->cdw12 & NSDK_NVME_ZONE_APPEND_PIREMAP)))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	lba = req->lba;
	status = emu_nvme_zns_begin_write(ctrl, cmd->nsid, &lba, count, append);
	if (status)
		return status;
	at.cdw10 = (uint32_t)lba;
	at.cdw11 = (uint32_t)(lba >> 32);
	req->cmd = &at;
	status = fn(req);
	req->cmd = cmd;
	emu_nvme_zns_end_write(ctrl, cmd->nsid, lba, count, status);
	if (append && !status) {
		req->dw0 = (uint32_t)lba;
		req->dw1 = (uint32_t)(lba >> 32);
	}
	return status;
}

/* Those of zoned namespaces, and those that are different there. */
static int zoned_command(struct emu_nvme_req *req)
{
	switch (req->cmd->opcode) {
	case NSDK_NVME_ZNS_MGMT_SEND:
		return emu_nvme_zns_mgmt_send(req);
	case NSDK_NVME_ZNS_MGMT_RECEIVE:
		return emu_nvme_zns_mgmt_receive(req);
	case NSDK_NVME_ZNS_APPEND:
	case NSDK_NVME_NVM_WRITE:
		return write_in_zone(req, do_write);
	case NSDK_NVME_NVM_WRITE_ZEROES:
		return write_in_zone(req, do_write_zeroes);
	case NSDK_NVME_NVM_WRITE_UNCORRECTABLE:
		return write_in_zone(req, do_write_uncorrectable);
	case NSDK_NVME_NVM_DATASET_MANAGEMENT:
		return EMU_NVME_GENERIC(INVALID_OPCODE);
	default:
		return EMU_NVME_LATER;
	}
}

/* What is to be said of a command before it is carried out; 0: nothing. */
static uint16_t check_command(const struct emu_nvme_req *req)
{
	uint32_t nsid = req->cmd->nsid;

	bool all = req->cmd->opcode == NSDK_NVME_NVM_FLUSH && nsid == NSDK_NVME_NSID_ALL;

	/* Flush is the one that may be said to all namespaces, and they are one store. */
	if (!all && !emu_nvme_ns_attached(req->ctrl, nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (!all && emu_nvme_md_is_hidden(req->ctrl))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (emu_nvme_sanitizing(req->ctrl))
		return EMU_NVME_PASSING(SANITIZE_IN_PROGRESS);
	if (all)
		return 0;
	switch (req->cmd->opcode) {
	case NSDK_NVME_NVM_RESV_REGISTER:
	case NSDK_NVME_NVM_RESV_REPORT:
	case NSDK_NVME_NVM_RESV_ACQUIRE:
	case NSDK_NVME_NVM_RESV_RELEASE:
		return 0; /* they have their own say about who may */
	default:
		return emu_nvme_resv_forbids(req->ctrl, req->cmd) ?
			       EMU_NVME_GENERIC(RESERVATION_CONFLICT) : 0;
	}
}

/* Compare and Write is the one pair of commands that may be fused (NVM 2.1.4). */
static uint16_t check_fused(struct emu_nvme_req *first, struct emu_nvme_req *second,
			    struct blocks *blocks)
{
	const struct nsdk_nvme_cmd *compare = first->cmd, *write = second->cmd;
	uint16_t status;

	if (first->ctrl->zns)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (compare->opcode != NSDK_NVME_NVM_COMPARE || write->opcode != NSDK_NVME_NVM_WRITE ||
	    compare->nsid != write->nsid || compare->cdw10 != write->cdw10 ||
	    compare->cdw11 != write->cdw11 || (compare->cdw12 & 0xffff) != (write->cdw12 & 0xffff) ||
	    emu_nvme_fdp_check_write(first->ctrl, write->cdw12))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	status = check_command(first);
	if (!status)
		status = command_blocks(first, blocks);
	if (!status && blocks->bytes > EMU_NVME_EXTENT_BYTES)
		status = EMU_NVME_GENERIC(ATOMIC_WRITE_UNIT);
	if (!status)
		status = data_begin(first, blocks->bytes);
	return status;
}

void emu_nvme_io_fused(struct emu_nvme_req *first, struct emu_nvme_req *second, int statuses[2])
{
	struct blocks blocks;
	uint16_t compare, write;

	compare = check_fused(first, second, &blocks);
	if (compare)
		goto failed;
	write = check_command(second);
	if (!write)
		write = command_blocks(second, &blocks);
	if (!write)
		write = data_begin(second, blocks.bytes);
	if (write) {
		/* The first is well, and yet both or neither are carried out. */
		statuses[0] = EMU_NVME_GENERIC(ABORTED_FAILED_FUSED);
		statuses[1] = write;
		return;
	}
	emu_nvme_store_compare_and_write(&first->ctrl->store, first, second, blocks.offset,
					 blocks.bytes, &compare, &write);
	if (compare)
		goto failed;
	count(&first->cq->counters.reads, 1);
	count(&first->cq->counters.units_read, blocks.bytes / 512);
	write = settle(second, write, &blocks);
	if (!write) {
		count(&second->cq->counters.writes, 1);
		count(&second->cq->counters.units_written, blocks.bytes / 512);
		emu_nvme_fdp_wrote(second, blocks.bytes);
	}
	statuses[0] = 0;
	statuses[1] = count_media(second, write);
	return;

failed:
	statuses[0] = count_media(first, compare);
	statuses[1] = EMU_NVME_GENERIC(ABORTED_FAILED_FUSED);
}

int emu_nvme_io(struct emu_nvme_req *req)
{
	int status;

	/* Zones are there for a host that has asked for all command sets. */
	if (!emu_nvme_io_effects(req->cmd->opcode) &&
	    !emu_nvme_fdp_effects(req->ctrl, req->cmd->opcode) &&
	    !(req->ctrl->zns && req->ctrl->cc & NSDK_NVME_CC_CSS_SETS &&
	      emu_nvme_zns_effects(req->cmd->opcode)))
		return EMU_NVME_GENERIC(INVALID_OPCODE);
	status = check_command(req);
	if (status)
		return status;
	if (req->ctrl->zns) {
		status = zoned_command(req);
		if (status != EMU_NVME_LATER)
			return status;
	}
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
	case NSDK_NVME_NVM_COPY:
		return do_copy(req);
	case NSDK_NVME_NVM_RESV_REGISTER:
	case NSDK_NVME_NVM_RESV_REPORT:
	case NSDK_NVME_NVM_RESV_ACQUIRE:
	case NSDK_NVME_NVM_RESV_RELEASE:
		return emu_nvme_resv(req);
	case NSDK_NVME_NVM_IO_MGMT_RECEIVE:
		return emu_nvme_io_mgmt_receive(req);
	case NSDK_NVME_NVM_IO_MGMT_SEND:
		return emu_nvme_io_mgmt_send(req);
	default:
		return do_verify(req);
	}
}
