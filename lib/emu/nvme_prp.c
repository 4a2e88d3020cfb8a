/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data of a command: PRP entries and lists (Base 4.1.1), walked as the data moves, so that no
 * command needs memory for its list. SGLs are nvme_sgl.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "nvme_internal.h"

#define ENTRY_BYTES 8u
#define ENTRIES_READ (sizeof(((struct emu_nvme_prp *)0)->entries) / ENTRY_BYTES)

bool emu_nvme_data_exceeds(const struct emu_nvme *ctrl, uint64_t bytes)
{
	return ctrl->opts.mdts && bytes > (uint64_t)EMU_NVME_PAGE << ctrl->opts.mdts;
}

uint16_t emu_nvme_data_begin(struct emu_nvme_req *req, uint64_t bytes)
{
	const uint32_t page = req->ctrl->page_bytes;
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme_prp *prp = &req->prp;
	uint32_t room = page - (uint32_t)(cmd->prp1 & (page - 1));

	prp->placed = false;
	if (cmd->flags & NSDK_NVME_PSDT_MASK)
		return emu_nvme_sgl_begin(req, bytes);
	if (cmd->prp1 & 3)
		return EMU_NVME_GENERIC(INVALID_PRP_OFFSET);
	prp->sgl = false;
	prp->iova = cmd->prp1;
	prp->page_left = bytes < room ? (uint32_t)bytes : room;
	prp->rest_bytes = bytes - prp->page_left;
	prp->list = prp->rest_bytes > page;
	prp->have = 0;
	prp->next = 0;
	if (prp->list) {
		/* PRP2 is the address of a list, which may begin inside a page. */
		if (cmd->prp2 & (ENTRY_BYTES - 1))
			return EMU_NVME_GENERIC(INVALID_PRP_OFFSET);
		prp->list_iova = cmd->prp2;
		prp->list_left = (page - (uint32_t)(cmd->prp2 & (page - 1))) / ENTRY_BYTES;
	} else if (prp->rest_bytes && (cmd->prp2 & (page - 1))) {
		return EMU_NVME_GENERIC(INVALID_PRP_OFFSET);
	}
	return 0;
}

static uint16_t read_list(struct emu_nvme_req *req, uint32_t count)
{
	struct emu_nvme_prp *prp = &req->prp;
	uint16_t status = emu_nvme_cmb_list(req, prp->list_iova);

	if (status)
		return status;
	if (nsdk_emu_dma_read(&req->ctrl->model.dma, prp->list_iova, prp->entries,
			      count * ENTRY_BYTES, req->nosnoop_lists, req->owner))
		return EMU_NVME_PASSING(DATA_TRANSFER_ERROR);
	prp->have = count;
	prp->next = 0;
	prp->list_iova += count * ENTRY_BYTES;
	prp->list_left -= count;
	return 0;
}

/* Have at least one entry of a page at hand, through the links between lists. */
static uint16_t refill(struct emu_nvme_req *req)
{
	const uint32_t page = req->ctrl->page_bytes;
	struct emu_nvme_prp *prp = &req->prp;
	uint64_t pages = (prp->rest_bytes + page - 1) / page;
	uint32_t count;
	uint16_t status;

	/* The last entry of a memory page is a link when it is not the last entry of all. */
	if (prp->list_left == 1 && pages > 1) {
		status = read_list(req, 1);
		if (status)
			return status;
		if (prp->entries[0] & (page - 1))
			return EMU_NVME_GENERIC(INVALID_PRP_OFFSET);
		prp->list_iova = prp->entries[0];
		prp->list_left = page / ENTRY_BYTES;
	}
	count = pages > prp->list_left ? prp->list_left - 1 : (uint32_t)pages;
	return read_list(req, count < ENTRIES_READ ? count : (uint32_t)ENTRIES_READ);
}

static uint16_t next_page(struct emu_nvme_req *req)
{
	const uint32_t page = req->ctrl->page_bytes;
	struct emu_nvme_prp *prp = &req->prp;
	uint16_t status;

	if (prp->sgl)
		return emu_nvme_sgl_next(req);
	if (!prp->list) {
		prp->iova = req->cmd->prp2;
	} else {
		if (prp->next == prp->have) {
			status = refill(req);
			if (status)
				return status;
		}
		prp->iova = prp->entries[prp->next++];
		if (prp->iova & (page - 1))
			return EMU_NVME_GENERIC(INVALID_PRP_OFFSET);
	}
	prp->page_left = prp->rest_bytes < page ? (uint32_t)prp->rest_bytes : page;
	prp->rest_bytes -= prp->page_left;
	return 0;
}

/* Remember where no-snoop writes went, until the host has consumed the completion. Memory for that
 * is kept with the completion queue entry; only the cache model makes it needed. */
static void remember(struct emu_nvme_slot *slot, uint64_t iova, uint64_t bytes)
{
	struct emu_nvme_range *ranges = slot->ranges;
	uint32_t room;

	if (slot->count > 0 && ranges &&
	    ranges[slot->count - 1].iova + ranges[slot->count - 1].bytes == iova) {
		ranges[slot->count - 1].bytes += bytes;
		return;
	}
	if (!ranges || slot->count == slot->room) {
		room = slot->room ? slot->room * 2 : 8;
		ranges = realloc(slot->ranges, room * sizeof(*ranges));
		if (!ranges)
			return; /* one check less, in a process that is about to die anyway */
		slot->ranges = ranges;
		slot->room = room;
	}
	ranges[slot->count++] = (struct emu_nvme_range){ .iova = iova, .bytes = bytes };
}

uint16_t emu_nvme_data_to_host(struct emu_nvme_req *req, const void *from, uint64_t bytes)
{
	struct emu_nvme_prp *prp = &req->prp;
	const uint8_t *at = from;
	uint16_t status;
	uint32_t part;

	while (bytes > 0) {
		if (prp->page_left == 0) {
			status = next_page(req);
			if (status)
				return status;
		}
		part = bytes < prp->page_left ? (uint32_t)bytes : prp->page_left;
		status = emu_nvme_cmb_data(req, prp->iova, NSDK_NVME_CMBSZ_RDS);
		if (status)
			return status;
		if (nsdk_emu_dma_write(&req->ctrl->model.dma, prp->iova, at, part, req->nosnoop_data,
				       req->owner))
			return EMU_NVME_PASSING(DATA_TRANSFER_ERROR);
		if (req->slot && !prp->inside)
			remember(req->slot, prp->iova, part);
		at += part;
		bytes -= part;
		prp->iova += part;
		prp->page_left -= part;
		req->past_iova = prp->iova;
	}
	return 0;
}

uint16_t emu_nvme_data_from_host(struct emu_nvme_req *req, void *to, uint64_t bytes)
{
	struct emu_nvme_prp *prp = &req->prp;
	uint8_t *at = to;
	uint16_t status;
	uint32_t part;

	while (bytes > 0) {
		if (prp->page_left == 0) {
			status = next_page(req);
			if (status)
				return status;
		}
		part = bytes < prp->page_left ? (uint32_t)bytes : prp->page_left;
		status = emu_nvme_cmb_data(req, prp->iova, NSDK_NVME_CMBSZ_WDS);
		if (status)
			return status;
		if (nsdk_emu_dma_read(&req->ctrl->model.dma, prp->iova, at, part, req->nosnoop_data,
				      req->owner))
			return EMU_NVME_PASSING(DATA_TRANSFER_ERROR);
		at += part;
		bytes -= part;
		prp->iova += part;
		prp->page_left -= part;
	}
	return 0;
}

uint16_t emu_nvme_data_reply(struct emu_nvme_req *req, const void *from, size_t from_bytes,
			     uint64_t bytes)
{
	static const uint8_t zeroes[EMU_NVME_PAGE];
	uint64_t part = bytes < from_bytes ? bytes : from_bytes;
	uint16_t status;

	status = emu_nvme_data_begin(req, bytes);
	if (!status)
		status = emu_nvme_data_to_host(req, from, part);
	for (bytes -= part; bytes > 0 && !status; bytes -= part) {
		part = bytes < sizeof(zeroes) ? bytes : sizeof(zeroes);
		status = emu_nvme_data_to_host(req, zeroes, part);
	}
	return status;
}
