/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host memory buffer, with hmb=SIZE: memory that the host lends to the controller.
 *
 * What is kept there is of no use to the model; that it is kept is what it looks at. With every I/O command
 * it reads a block of the buffer, compares it with what it left there, and leaves something new. A host that
 * writes there, frees it, or lets an old cache line come down on it meets a controller that sets its fatal
 * status.
 */
#include <stdlib.h>
#include <string.h>

#include "nvme_internal.h"

#define STAMP_BYTES 64u
#define LIST_MAX 4096u
#define OWNER "emu:nvme host memory buffer"

static bool past_the_caches(const struct emu_nvme *ctrl)
{
	return ctrl->opts.nosnoop != EMU_NVME_NOSNOOP_NONE;
}

static void fill(uint64_t stamp[STAMP_BYTES / 8], uint64_t value)
{
	for (unsigned i = 0; i < STAMP_BYTES / 8; i++)
		stamp[i] = value * 0x9e3779b97f4a7c15u + i;
}

/* One of the buffer's pages, anywhere in its descriptors. */
static uint64_t page_iova(const struct emu_nvme_hmb *hmb, uint64_t page)
{
	unsigned i = 0;

	for (; page >= hmb->list[i].bsize; i++)
		page -= hmb->list[i].bsize;
	return hmb->list[i].badd + page * EMU_NVME_PAGE;
}

static void use(struct emu_nvme *ctrl, struct emu_nvme_hmb *hmb)
{
	uint64_t page = hmb->uses++ * 7919 % hmb->pages, iova = page_iova(hmb, page);
	uint64_t found[STAMP_BYTES / 8], wanted[STAMP_BYTES / 8];

	iova += page % (EMU_NVME_PAGE / STAMP_BYTES) * STAMP_BYTES;
	if (hmb->stamps[page]) {
		fill(wanted, hmb->stamps[page]);
		if (nsdk_emu_dma_read(&ctrl->model.dma, iova, found, sizeof(found), past_the_caches(ctrl),
				      OWNER) ||
		    memcmp(found, wanted, sizeof(found)) != 0) {
			emu_nvme_fatal(ctrl, "the host memory buffer does not hold what was left there");
			return;
		}
	}
	hmb->stamps[page] = hmb->uses;
	fill(wanted, hmb->stamps[page]);
	if (nsdk_emu_dma_write(&ctrl->model.dma, iova, wanted, sizeof(wanted), past_the_caches(ctrl), OWNER))
		emu_nvme_fatal(ctrl, "the host memory buffer cannot be written");
}

void emu_nvme_hmb_use(struct emu_nvme *ctrl)
{
	struct emu_nvme_hmb *hmb = &ctrl->hmb;

	/* Off, and nearly always: no lock. Who gives or takes it away has no I/O under way. */
	if (!atomic_load_explicit(&hmb->on, memory_order_acquire))
		return;
	pthread_mutex_lock(&hmb->lock);
	if (atomic_load_explicit(&hmb->on, memory_order_relaxed))
		use(ctrl, hmb);
	pthread_mutex_unlock(&hmb->lock);
}

void emu_nvme_hmb_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ctrl *id)
{
	id->hmpre = (uint32_t)(ctrl->opts.hmb_bytes / EMU_NVME_PAGE);
	id->hmmin = id->hmpre ? id->hmpre / 4 + 1 : 0;
}

/* @return the status of Set Features. */
static int give(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd, struct emu_nvme_hmb *hmb)
{
	uint64_t list = cmd->cdw13 | (uint64_t)cmd->cdw14 << 32, pages = 0, *stamps;
	uint32_t count = cmd->cdw15;
	struct nsdk_nvme_id_ctrl id;

	emu_nvme_hmb_identify(ctrl, &id);
	if (list % 16 || count == 0 || count > LIST_MAX || cmd->cdw12 < id.hmmin)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (nsdk_emu_dma_read(&ctrl->model.dma, list, hmb->list, count * sizeof(*hmb->list),
			      past_the_caches(ctrl), OWNER))
		return EMU_NVME_GENERIC(DATA_TRANSFER_ERROR);
	for (uint32_t i = 0; i < count; i++) {
		if (hmb->list[i].badd % EMU_NVME_PAGE || hmb->list[i].bsize == 0)
			return EMU_NVME_GENERIC(INVALID_FIELD);
		pages += hmb->list[i].bsize;
	}
	if (pages != cmd->cdw12)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	/* Returned as it was: what was left there is looked for. */
	if (!(cmd->cdw11 & EMU_NVME_HMB_RETURN) || hmb->pages != pages) {
		stamps = calloc(pages, sizeof(*stamps));
		if (!stamps)
			return EMU_NVME_GENERIC(INTERNAL_ERROR);
		free(hmb->stamps);
		hmb->stamps = stamps;
	}
	hmb->pages = pages;
	/* Release: the list and the stamps are there for whoever sees that it is on. */
	atomic_store_explicit(&hmb->on, true, memory_order_release);
	return 0;
}

int emu_nvme_hmb_set(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd)
{
	struct emu_nvme_hmb *hmb = &ctrl->hmb;
	int status = 0;

	pthread_mutex_lock(&hmb->lock);
	if (!(cmd->cdw11 & EMU_NVME_HMB_ENABLE))
		atomic_store(&hmb->on, false);
	else if (atomic_load(&hmb->on))
		status = EMU_NVME_GENERIC(SEQUENCE_ERROR);
	else
		status = give(ctrl, cmd, hmb);
	pthread_mutex_unlock(&hmb->lock);
	return status;
}

void emu_nvme_hmb_reset(struct emu_nvme *ctrl)
{
	atomic_store(&ctrl->hmb.on, false);
}

int emu_nvme_hmb_init(struct emu_nvme *ctrl)
{
	pthread_mutex_init(&ctrl->hmb.lock, NULL);
	if (!ctrl->opts.hmb_bytes)
		return 0;
	ctrl->hmb.list = calloc(LIST_MAX, sizeof(*ctrl->hmb.list));
	return ctrl->hmb.list ? 0 : -1;
}

void emu_nvme_hmb_fini(struct emu_nvme *ctrl)
{
	free(ctrl->hmb.stamps);
	free(ctrl->hmb.list);
	pthread_mutex_destroy(&ctrl->hmb.lock);
}
