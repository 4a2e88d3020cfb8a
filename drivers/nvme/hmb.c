/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host memory buffer (Base 5.27.1.10): memory that a controller without enough of its own asks for, and
 * then uses as it likes.
 *
 * It is given in pieces that lie in one hugepage each, as much as the controller prefers if that can be had
 * and is allowed, and nothing below what it says is its least. Without one it works all the same, slower.
 *
 * No-snoop. The CPU never touches the buffer, but may have had its memory before: a dirty line of that time,
 * evicted one day, would overwrite what the controller keeps there. So the pieces are taken out of the
 * caches before they are given.
 *
 * A reset takes the buffer away from the controller and leaves it as it was, so it is returned as it is
 * (MR). It is freed when the controller is disabled or gone, after the device can reach it no more.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)2 << 20)
#define DEFAULT_MAX_BYTES ((size_t)64 << 20)
#define LIST_ENTRIES ((unsigned)(NVME_PAGE_BYTES / sizeof(struct nsdk_nvme_hmb_entry)))
/* Set Features, dword 11 */
#define ENABLE 1u
#define MEMORY_RETURN 2u

/* How much it is to get; 0: nothing. What it says counts in 4 KiB. */
static size_t wanted_bytes(const struct nsdk_nvme_ctrlr *ctrlr)
{
	size_t most = ctrlr->opts.host_memory_bytes ? ctrlr->opts.host_memory_bytes : DEFAULT_MAX_BYTES;
	size_t preferred = (size_t)ctrlr->id.hmpre * NVME_PAGE_BYTES;
	size_t least = (size_t)ctrlr->id.hmmin * NVME_PAGE_BYTES;
	unsigned entries = LIST_ENTRIES;

	if (ctrlr->opts.host_memory_bytes == NSDK_NVME_NO_HOST_MEMORY)
		return 0;
	if (ctrlr->id.hmmaxd && ctrlr->id.hmmaxd < entries)
		entries = ctrlr->id.hmmaxd;
	if (most > entries * PIECE_BYTES)
		most = entries * PIECE_BYTES;
	most -= most % NVME_PAGE_BYTES;
	if (preferred > most)
		preferred = most;
	return preferred >= least ? preferred : 0;
}

bool nsdk_nvme_hmb_wanted(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->hmb.bytes || (!ctrlr->hmb.refused && wanted_bytes(ctrlr));
}

static int add_piece(struct nsdk_nvme_ctrlr *ctrlr, size_t bytes)
{
	struct nvme_hmb *hmb = &ctrlr->hmb;
	uint64_t iova;
	void *va;
	/* Aligned to its largest size, a piece cannot cross into another hugepage. */
	int err = nsdk_nvme_dma_get(ctrlr, bytes, PIECE_BYTES, "a host memory buffer", &va, &iova);

	if (err)
		return err;
	/* Whatever was stored there before must not come down on what the controller writes. */
	nsdk_sync_for_device(ctrlr->coh, va, bytes, NSDK_DMA_FROM_DEVICE);
	hmb->pieces[hmb->count] = va;
	hmb->list[hmb->count++] = (struct nsdk_nvme_hmb_entry){
		.badd = iova,
		.bsize = (uint32_t)(bytes / NVME_PAGE_BYTES),
	};
	hmb->bytes += bytes;
	return 0;
}

/* @return 0; -ENOMEM less than the least, and nothing is held. */
static int allocate(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_hmb *hmb = &ctrlr->hmb;
	size_t left = wanted_bytes(ctrlr);
	size_t smallest = ctrlr->id.hmminds ? (size_t)ctrlr->id.hmminds * NVME_PAGE_BYTES : NVME_PAGE_BYTES;
	void *va;
	int err;

	hmb->pieces = calloc(LIST_ENTRIES, sizeof(*hmb->pieces));
	if (!hmb->pieces)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for a host memory buffer",
				 nsdk_device_name(ctrlr->dev));
	err = nsdk_nvme_dma_get(ctrlr, NVME_PAGE_BYTES, NVME_PAGE_BYTES, "a list of pieces", &va,
				&hmb->list_iova);
	if (err)
		goto give_up;
	hmb->list = va;
	while (left >= smallest) {
		size_t bytes = left < PIECE_BYTES ? left : PIECE_BYTES;

		/* Memory that has run out: what there is may do. */
		if (bytes < smallest || add_piece(ctrlr, bytes) != 0)
			break;
		left -= bytes;
	}
	if (hmb->bytes == 0 || hmb->bytes < (size_t)ctrlr->id.hmmin * NVME_PAGE_BYTES) {
		err = -ENOMEM;
		goto give_up;
	}
	/* The device reads the list: out of the cache, fenced before the doorbell of its command. */
	nsdk_sync_for_device(ctrlr->coh, hmb->list, hmb->count * sizeof(*hmb->list), NSDK_DMA_TO_DEVICE);
	return 0;

give_up:
	nsdk_nvme_hmb_destroy(ctrlr);
	return err;
}

/* The command that gives it. @return 0; -ENOMEM there is none to give, which is no reason to stop. */
int nsdk_nvme_hmb_cmd(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmd *out)
{
	struct nvme_hmb *hmb = &ctrlr->hmb;
	bool again = hmb->bytes != 0;
	int err = again ? 0 : allocate(ctrlr);

	if (err) {
		hmb->refused = true;
		nsdk_log(NSDK_LOG_NOTICE, "nvme",
			 "%s: the controller asks for %u KiB of memory and cannot have it; it works without, "
			 "slower", nsdk_device_name(ctrlr->dev), ctrlr->id.hmmin * 4);
		return err;
	}
	*out = (struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
		.cdw10 = NSDK_NVME_FEAT_HOST_MEMORY_BUFFER,
		.cdw11 = ENABLE | (again ? MEMORY_RETURN : 0),
		.cdw12 = (uint32_t)(hmb->bytes / NVME_PAGE_BYTES),
		.cdw13 = (uint32_t)hmb->list_iova,
		.cdw14 = (uint32_t)(hmb->list_iova >> 32),
		.cdw15 = hmb->count,
	};
	return 0;
}

/* What it said to that. */
void nsdk_nvme_hmb_answered(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cpl *cpl)
{
	if (nsdk_nvme_cpl_ok(cpl)) {
		nsdk_log(NSDK_LOG_INFO, "nvme", "%s: %zu KiB of memory have been lent to the controller",
			 nsdk_device_name(ctrlr->dev), ctrlr->hmb.bytes / 1024);
		return;
	}
	nsdk_log(NSDK_LOG_NOTICE, "nvme", "%s: the controller asked for memory and does not take it: %s",
		 nsdk_device_name(ctrlr->dev), nsdk_nvme_status_text(cpl->status));
	/* It does no DMA to what it has refused. */
	nsdk_nvme_hmb_destroy(ctrlr);
	ctrlr->hmb.refused = true;
}

/* Not while the controller has it. */
void nsdk_nvme_hmb_destroy(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_hmb *hmb = &ctrlr->hmb;

	while (hmb->count)
		nsdk_dma_free(ctrlr->pool, hmb->pieces[--hmb->count]);
	nsdk_dma_free(ctrlr->pool, hmb->list);
	free(hmb->pieces);
	memset(hmb, 0, sizeof(*hmb));
}
