/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data of a command by scatter gather lists (Base 4.1.2).
 *
 * A list is gone through twice: before any data moves, for all that may be wrong with it, and again as the
 * data moves. The second time it is trusted no more than the first, as the host may have changed it.
 */
#include <string.h>

#include "nvme_internal.h"

/* A chain of segments may lead back into itself. */
#define MAX_SEGMENTS 1024u

#define DESCRIPTOR_BYTES 16u
#define DESCRIPTORS_READ (sizeof(((struct emu_nvme_prp *)0)->sgls) / DESCRIPTOR_BYTES)

static uint16_t enter(struct emu_nvme_prp *prp, const struct nsdk_nvme_sgl *descriptor)
{
	if (descriptor->length == 0 || descriptor->length % DESCRIPTOR_BYTES ||
	    descriptor->address % 8)
		return EMU_NVME_GENERIC(INVALID_SGL_SEGMENT);
	if (++prp->segments > MAX_SEGMENTS)
		return EMU_NVME_GENERIC(INVALID_SGL_COUNT);
	prp->list_iova = descriptor->address;
	prp->list_left = descriptor->length / DESCRIPTOR_BYTES;
	prp->last_segment = descriptor->type == NSDK_NVME_SGL_LAST_SEGMENT;
	return 0;
}

static uint16_t read_segment(struct emu_nvme_req *req)
{
	struct emu_nvme_prp *prp = &req->prp;
	uint32_t count = prp->list_left < DESCRIPTORS_READ ? prp->list_left : (uint32_t)DESCRIPTORS_READ;

	if (nsdk_emu_dma_read(&req->ctrl->model.dma, prp->list_iova, prp->sgls,
			      count * DESCRIPTOR_BYTES, req->nosnoop_lists, req->owner))
		return EMU_NVME_PASSING(DATA_TRANSFER_ERROR);
	prp->have = count;
	prp->next = 0;
	prp->list_iova += count * DESCRIPTOR_BYTES;
	prp->list_left -= count;
	return 0;
}

/* The next data block that has any bytes, to prp->iova and prp->page_left, which is 0 at the end. */
static uint16_t next_block(struct emu_nvme_req *req)
{
	struct emu_nvme_prp *prp = &req->prp;
	uint16_t status;

	prp->page_left = 0;
	for (;;) {
		const struct nsdk_nvme_sgl *descriptor;
		bool ends_segment;

		if (prp->next == prp->have) {
			if (prp->list_left == 0)
				return 0;
			status = read_segment(req);
			if (status)
				return status;
		}
		descriptor = &prp->sgls[prp->next++];
		ends_segment = prp->next == prp->have && prp->list_left == 0;
		switch (descriptor->type) {
		case NSDK_NVME_SGL_DATA_BLOCK:
			/* Only the last segment ends with anything but the way to the next one. */
			if (ends_segment && !prp->last_segment)
				return EMU_NVME_GENERIC(INVALID_SGL_SEGMENT);
			if (req->ctrl->opts.sgl == EMU_NVME_SGL_DWORD &&
			    (descriptor->address % 4 || descriptor->length % 4))
				return EMU_NVME_GENERIC(SGL_GRANULARITY);
			if (descriptor->length == 0)
				continue;
			prp->iova = descriptor->address;
			prp->page_left = descriptor->length;
			return 0;
		case NSDK_NVME_SGL_SEGMENT:
		case NSDK_NVME_SGL_LAST_SEGMENT:
			if (!ends_segment || prp->last_segment)
				return EMU_NVME_GENERIC(INVALID_SGL_COUNT);
			status = enter(prp, descriptor);
			if (status)
				return status;
			prp->have = prp->next;
			break;
		default: /* bit buckets, keyed blocks, offsets: there are none */
			return EMU_NVME_GENERIC(SGL_TYPE);
		}
	}
}

/* To the one descriptor that is in the command. */
static void rewind_list(struct emu_nvme_req *req)
{
	struct emu_nvme_prp *prp = &req->prp;

	memcpy(&prp->sgls[0], &req->cmd->prp1, sizeof(prp->sgls[0]));
	prp->have = 1;
	prp->next = 0;
	prp->list_left = 0;
	prp->segments = 0;
	/* It counts as a segment of its own, which is the last one if it is a data block. */
	prp->last_segment = prp->sgls[0].type != NSDK_NVME_SGL_SEGMENT &&
			    prp->sgls[0].type != NSDK_NVME_SGL_LAST_SEGMENT;
}

uint16_t emu_nvme_sgl_begin(struct emu_nvme_req *req, uint64_t bytes)
{
	struct emu_nvme_prp *prp = &req->prp;
	uint64_t total = 0;
	uint16_t status;

	rewind_list(req);
	do {
		status = next_block(req);
		if (status)
			return status;
		total += prp->page_left;
	} while (prp->page_left);
	/* SGLS does not say that more than is needed may be described. */
	if (total != bytes)
		return EMU_NVME_GENERIC(DATA_SGL_LENGTH);
	rewind_list(req);
	prp->sgl = true;
	prp->page_left = 0;
	prp->rest_bytes = bytes;
	return 0;
}

uint16_t emu_nvme_sgl_next(struct emu_nvme_req *req)
{
	struct emu_nvme_prp *prp = &req->prp;
	uint16_t status = next_block(req);

	if (status)
		return status;
	if (prp->page_left == 0)
		return EMU_NVME_GENERIC(DATA_SGL_LENGTH);
	if (prp->page_left > prp->rest_bytes)
		prp->page_left = (uint32_t)prp->rest_bytes;
	prp->rest_bytes -= prp->page_left;
	return 0;
}
