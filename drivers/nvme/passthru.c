/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw commands: whatever the user fills in, with a buffer that is translated and synced like any other.
 *
 * The driver goes on knowing what it has to know. Commands that would take its queues, its events or its
 * memory from under it are refused, and those that change namespaces are followed by a look at them
 * (rescan.c) before their callback runs.
 *
 * On a queue pair a raw command may leave something in the fields of an SQE that the short ways do not
 * write: io.c sees to that, as for commands of its own.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_admin.h>

struct nvme_passthru {
	nsdk_nvme_cb cb;
	void *ctx;
	struct nsdk_nvme_ctrlr *ctrlr;
	void *buf;
	size_t bytes;
	void *list;             /* PRPs that do not fit into the command; or NULL */
	enum nsdk_dma_dir dir;
	bool namespaces;        /* it changes what namespaces there are, or what they are like */
	struct nsdk_nvme_cpl cpl;
	struct nvme_rescan_wait wait;
};

/* What would break the driver, or the process. */
static int check_allowed(const struct nsdk_nvme_cmd *cmd, bool admin)
{
	/* FUSE and PSDT: an SGL, or half of a fused command; and memory that is not translated. */
	if (cmd->flags != 0 || cmd->mptr != 0)
		return -EPERM;
	if (!admin)
		return 0;
	switch (cmd->opcode) {
	case NSDK_NVME_ADMIN_DELETE_SQ:
	case NSDK_NVME_ADMIN_CREATE_SQ:
	case NSDK_NVME_ADMIN_DELETE_CQ:
	case NSDK_NVME_ADMIN_CREATE_CQ:
	case NSDK_NVME_ADMIN_ASYNC_EVENT:
	case NSDK_NVME_ADMIN_DBBUF_CONFIG:
		return -EPERM;
	case NSDK_NVME_ADMIN_SET_FEATURES:
		switch (cmd->cdw10 & 0xff) {
		/* What was granted at bring-up is what the driver goes by; … */
		case NSDK_NVME_FEAT_NUMBER_OF_QUEUES:
		/* … what it said there that it knows of; … */
		case NSDK_NVME_FEAT_HOST_BEHAVIOR:
		/* … and raw addresses. */
		case NSDK_NVME_FEAT_HOST_MEMORY_BUFFER:
			return -EPERM;
		default:
			return 0;
		}
	default:
		return 0;
	}
}

/*
 * Length, direction and place of the data. A device that writes where it was only to read would leave
 * lines in the caches that do not say so: the opcode tells which it is.
 */
static int check_data(const struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
		      void *buf, size_t bytes, enum nsdk_dma_dir dir)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };
	uint32_t align_mask = 3;

	if (bytes == 0)
		return 0;
	if (!buf || (cmd->opcode & 3) == 0 || dir != nsdk_nvme_opcode_dir(cmd->opcode) ||
	    bytes > ctrlr->max_transfer_bytes)
		return -EINVAL;
	/* What the device only reads may share lines: they are written back, not lost. */
	if (dir != NSDK_DMA_TO_DEVICE && nsdk_coherence_active(ctrlr->coh))
		align_mask = NSDK_LINE_BYTES - 1;
	return nsdk_nvme_payload_check(ctrlr->map, &payload, bytes, 1, align_mask);
}

/* ---- The admin queue ---- */

static bool changes_namespaces(const struct nsdk_nvme_cmd *cmd)
{
	return cmd->opcode == NSDK_NVME_ADMIN_FORMAT ||
	       cmd->opcode == NSDK_NVME_ADMIN_NS_MANAGEMENT ||
	       cmd->opcode == NSDK_NVME_ADMIN_NS_ATTACHMENT;
}

/* No I/O to what is about to change: its blocks may come back with another size. */
static void suspend(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd)
{
	/* Format NVM with NSID 0 is no command; Create has NSID 0 and changes no other. */
	if (cmd->opcode == NSDK_NVME_ADMIN_NS_ATTACHMENT)
		return;
	/* A controller may format all of its namespaces whatever was said (FNA bit 0). */
	for (uint32_t i = 0; i < ctrlr->ns_count; i++) {
		struct nsdk_nvme_ns *ns = ctrlr->namespaces[i];

		if (ns->nsid != cmd->nsid && cmd->nsid != NSDK_NVME_NSID_ALL &&
		    (cmd->opcode != NSDK_NVME_ADMIN_FORMAT || !(ctrlr->id.fna & 3)))
			continue;
		ns->suspended = true;
		nsdk_nvme_ns_close(ns, -EBUSY);
	}
}

static void passthru_free(struct nvme_passthru *raw)
{
	nsdk_dma_free(raw->ctrlr->pool, raw->list);
	free(raw);
}

static void passthru_finish(void *ctx)
{
	struct nvme_passthru *raw = ctx;
	struct nsdk_nvme_cpl cpl = raw->cpl;
	nsdk_nvme_cb cb = raw->cb;
	void *user = raw->ctx;

	passthru_free(raw);
	cb(user, &cpl);
}

static void passthru_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_passthru *raw = ctx;

	/* The device has written to it, all or part: taken back and fenced before its owner looks. */
	if (raw->bytes && raw->dir != NSDK_DMA_TO_DEVICE)
		nsdk_sync_for_cpu(ctrlr->coh, raw->buf, raw->bytes, raw->dir);
	raw->cpl = cpl ? *cpl : (struct nsdk_nvme_cpl){ .status = NVME_STATUS_INTERNAL_PATH };
	/* Whether it went well or not: after a failure it may have been done in part. */
	if (raw->namespaces && cpl) {
		raw->wait.done = passthru_finish;
		raw->wait.ctx = raw;
		nsdk_nvme_rescan(ctrlr, true, &raw->wait);
	} else {
		passthru_finish(raw);
	}
}

/* PRP1, PRP2 and the list behind it, which the device must find in memory. */
static int passthru_prps(struct nvme_passthru *raw, struct nsdk_nvme_cmd *cmd)
{
	struct nsdk_nvme_ctrlr *ctrlr = raw->ctrlr;
	struct nvme_payload payload = { .va = (uintptr_t)raw->buf };
	size_t pages = ((payload.va & NVME_PAGE_MASK) + raw->bytes + NVME_PAGE_MASK) /
		       NVME_PAGE_BYTES;
	uint64_t second, *entries = &second, list_iova = 0;
	unsigned max = 1;
	struct nvme_prps prps;
	int err;

	if (pages > 2) {
		/* In one page, so that it need not be chained; a page has room for 512. */
		max = (unsigned)pages - 1;
		err = nsdk_nvme_dma_get(ctrlr, max * sizeof(uint64_t), NVME_PAGE_BYTES,
					"a PRP list", &raw->list, &list_iova);
		if (err)
			return err;
		entries = raw->list;
	}
	err = nsdk_nvme_prp_build(ctrlr->map, payload, raw->bytes, entries, max, list_iova, &prps);
	if (err)
		return err;
	cmd->prp1 = prps.prp1;
	cmd->prp2 = prps.prp2;
	if (raw->list)
		/* Written back and fenced before the doorbell makes the device read it. */
		nsdk_sync_for_device(ctrlr->coh, raw->list, max * sizeof(uint64_t),
				     NSDK_DMA_TO_DEVICE);
	return 0;
}

int nsdk_nvme_admin_passthru(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *user_cmd,
			     void *buf, size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
			     nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = *user_cmd;
	struct nvme_passthru *raw;
	int err = nsdk_nvme_ctrlr_failed(ctrlr);

	if (!err)
		err = cb ? check_allowed(&cmd, true) : -EINVAL;
	if (!err)
		err = check_data(ctrlr, &cmd, buf, bytes, dir);
	/* What is on the controller is for I/O. */
	if (!err && bytes && nsdk_dma_map_is_own(ctrlr->map, (uintptr_t)buf))
		err = -EFAULT;
	if (err)
		return err;
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return -ENOMEM;
	*raw = (struct nvme_passthru){
		.cb = cb,
		.ctx = ctx,
		.ctrlr = ctrlr,
		.buf = buf,
		.bytes = bytes,
		.dir = dir,
		.namespaces = changes_namespaces(&cmd),
	};
	cmd.prp1 = 0;
	cmd.prp2 = 0;
	if (bytes) {
		err = passthru_prps(raw, &cmd);
		if (err)
			goto free_raw;
		/*
		 * What the device will read is written back; dirty lines of what it will write are got
		 * rid of. Fenced before the doorbell.
		 */
		nsdk_sync_for_device(ctrlr->coh, buf, bytes, dir);
	}
	err = nsdk_nvme_admin_submit(ctrlr, &cmd,
				     timeout_ns ? timeout_ns : ctrlr->opts.admin_timeout_ns,
				     passthru_done, raw);
	if (err)
		goto free_raw;
	if (raw->namespaces)
		/* Nothing has been answered yet: that takes a poll. */
		suspend(ctrlr, &cmd);
	return 0;

free_raw:
	passthru_free(raw);
	return err;
}

/* ---- Waiting ---- */

struct sync_wait {
	bool done;
	struct nsdk_nvme_cpl cpl;
};

static void sync_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct sync_wait *wait = ctx;

	wait->done = true;
	wait->cpl = *cpl;
}

int nsdk_nvme_admin_sync(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd, void *data,
			 size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
			 struct nsdk_nvme_cpl *cpl)
{
	unsigned looks = 0;
	struct sync_wait wait = { 0 };
	size_t room = (bytes + NVME_PAGE_MASK) & ~(size_t)NVME_PAGE_MASK;
	void *bounce = NULL;
	int err;

	if (ctrlr->admin.polling)
		return -EDEADLK;
	if (bytes > ctrlr->max_transfer_bytes || (bytes && !data))
		return -EINVAL;
	if (bytes) {
		/* Whole pages of its own: a command that moves a little more does no harm. */
		err = nsdk_dma_alloc(ctrlr->pool, room, NVME_PAGE_BYTES, &bounce);
		if (err)
			return err;
		if (dir != NSDK_DMA_FROM_DEVICE)
			memcpy(bounce, data, bytes);
	}
	err = nsdk_nvme_recover_settle(ctrlr);
	if (!err)
		err = nsdk_nvme_admin_passthru(ctrlr, cmd, bounce, room, dir, timeout_ns, sync_done,
					       &wait);
	while (!err && !wait.done) {
		/* An error of a poll has called everything back, so the loop ends in any case. */
		nsdk_nvme_admin_go_on(ctrlr, &looks);
	}
	if (!err) {
		*cpl = wait.cpl;
		err = nsdk_nvme_ctrlr_failed(ctrlr);
		/* The controller was reset before it answered; mostly because it did not. */
		if (!err && (cpl->status & 0xffe) == NVME_STATUS_INTERNAL_PATH)
			err = -ETIMEDOUT;
		if (bytes && dir != NSDK_DMA_TO_DEVICE && nsdk_nvme_cpl_ok(cpl))
			memcpy(data, bounce, bytes);
	}
	nsdk_dma_free(ctrlr->pool, bounce);
	return err;
}

/* ---- Queue pairs ---- */

/*
 * There is no metadata pointer in a raw command, and at address 0 is nobody's memory: where metadata is
 * apart, and the controller does not make it all itself, there is nowhere for it.
 */
static int check_metadata(const struct nsdk_nvme_ns *ns, const struct nsdk_nvme_cmd *cmd)
{
	const struct nsdk_nvme_metadata *md = &ns->metadata;

	if (!md->bytes || md->extended)
		return 0;
	switch (cmd->opcode) {
	case NSDK_NVME_NVM_READ:
	case NSDK_NVME_NVM_WRITE:
	case NSDK_NVME_ZNS_APPEND:
		if ((cmd->cdw12 & NSDK_NVME_RW_PRACT) && md->bytes == md->pi_bytes)
			return 0;
		break;
	case NSDK_NVME_NVM_COMPARE:
		/* What is compared has to be there. */
		break;
	default:
		return 0;
	}
	return nsdk_fail(-EPERM, "nvme",
			 "%s: raw I/O command %02xh to namespace %u has no memory for the %u bytes of "
			 "metadata that each block has apart; use nsdk_nvme_readv_ext() and its kin",
			 nsdk_device_name(ns->ctrlr->dev), cmd->opcode, ns->nsid, md->bytes);
}

int nsdk_nvme_io_passthru(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			  const struct nsdk_nvme_cmd *user_cmd, void *buf, size_t bytes,
			  enum nsdk_dma_dir dir, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };
	struct nsdk_nvme_cmd cmd = *user_cmd;
	int err;

	if (!cb || (ns && ns->ctrlr != qp->ctrlr))
		return -EINVAL;
	err = check_allowed(&cmd, false);
	if (!err && ns)
		err = check_metadata(ns, &cmd);
	if (!err)
		err = check_data(qp->ctrlr, &cmd, buf, bytes, dir);
	if (err)
		return err;
	if (ns)
		cmd.nsid = ns->nsid;
	cmd.prp1 = 0;
	cmd.prp2 = 0;
	return nsdk_nvme_issue(qp, &cmd, bytes ? &payload : NULL, bytes, dir, cb, ctx);
}
