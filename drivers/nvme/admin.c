/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin queue: few commands, each with a deadline and a callback, so that bring-up can wait for
 * one without blocking. What goes wrong with the queue itself takes the controller out.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>

#include <nsdk/env.h>

int nsdk_nvme_admin_create(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_admin *admin = &ctrlr->admin;
	uint32_t entries = ctrlr->opts.admin_entries;
	int err;

	err = nsdk_nvme_ring_create(ctrlr, 0, entries, &admin->ring);
	if (err)
		return err;
	/* One slot stays empty, or a full ring would look like an empty one. */
	admin->request_count = entries - 1;
	admin->requests = calloc(admin->request_count, sizeof(*admin->requests));
	if (!admin->requests) {
		err = nsdk_fail(-ENOMEM, "nvme", "%s: no memory for %u admin requests",
				nsdk_device_name(ctrlr->dev), admin->request_count);
		nsdk_nvme_ring_destroy(ctrlr, &admin->ring);
		return err;
	}
	admin->sqe = admin->ring.sq;
	admin->cqe = admin->ring.cq;
	admin->old_phase = 0;
	return 0;
}

void nsdk_nvme_admin_destroy(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_admin *admin = &ctrlr->admin;

	if (!admin->requests)
		return;
	nsdk_nvme_ring_destroy(ctrlr, &admin->ring);
	free(admin->requests);
	admin->requests = NULL;
}

/*
 * Sends one command.
 *
 * @param timeout_ns  0: it may take for ever (an asynchronous event).
 * @return 0; -EAGAIN all requests are in use; why the controller failed.
 */
int nsdk_nvme_admin_submit(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
			   uint64_t timeout_ns, nvme_admin_cb cb, void *ctx)
{
	struct nvme_admin *admin = &ctrlr->admin;
	struct nvme_admin_request *request = NULL;
	int err = nsdk_nvme_ctrlr_failed(ctrlr);
	uint32_t cid;

	if (err)
		return err;
	if (nvme_resetting(ctrlr) && !ctrlr->recovery.own)
		return -EAGAIN;
	for (cid = 0; cid < admin->request_count; cid++) {
		request = &admin->requests[cid];
		if (!request->cb)
			break;
	}
	if (cid == admin->request_count)
		return -EAGAIN;
	request->cb = cb;
	request->ctx = ctx;
	request->opcode = cmd->opcode;
	request->timeout_ns = timeout_ns;
	request->deadline_ns = timeout_ns ? nsdk_clock_ns() + timeout_ns : 0;

	*admin->sqe = *cmd;
	admin->sqe->cid = (uint16_t)cid;
	/* The device must find this line in memory: written back and fenced before the doorbell. */
	nsdk_sync_for_device(ctrlr->coh, admin->sqe, sizeof(*admin->sqe), NSDK_DMA_TO_DEVICE);
	if (++admin->sqe == admin->ring.sq_end)
		admin->sqe = admin->ring.sq;
	nsdk_nvme_shadow_admin(ctrlr, 0, (uint32_t)(admin->sqe - admin->ring.sq));
	nvme_doorbell(admin->ring.sq_doorbell, (uint32_t)(admin->sqe - admin->ring.sq));
	return 0;
}

/* One completion, checked. @return 0 or why the controller was taken out. */
static int admin_complete(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_admin *admin = &ctrlr->admin;
	struct nvme_admin_request *request;
	nvme_admin_cb cb;

	if (cpl->sqid != 0 || cpl->sqhd >= admin->ring.entries)
		return nsdk_nvme_ctrlr_fail(ctrlr, -EIO,
					    "the controller answered on the admin queue for queue %u "
					    "with SQ head %u of %u; it has been taken out",
					    cpl->sqid, cpl->sqhd, admin->ring.entries);
	if (cpl->cid >= admin->request_count || !admin->requests[cpl->cid].cb)
		return nsdk_nvme_ctrlr_fail(ctrlr, -EIO,
					    "the controller completed admin command id %u, which is "
					    "not outstanding; it has been taken out", cpl->cid);
	request = &admin->requests[cpl->cid];
	cb = request->cb;
	request->cb = NULL;
	cb(ctrlr, request->ctx, cpl);
	return 0;
}

/*
 * Handles what has been completed, and deadlines. Calls from inside a callback do nothing.
 * @return completions handled, or why the controller failed.
 */
int nsdk_nvme_admin_poll(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_admin *admin = &ctrlr->admin;
	/* Before the look: what has been completed by its deadline is not late because we are. */
	uint64_t now_ns = nsdk_clock_ns();
	uint32_t handled = 0;
	int err;

	if (admin->polling)
		return 0;
	nsdk_device_poll(ctrlr->dev);
	err = nsdk_nvme_ctrlr_failed(ctrlr);
	if (err) {
		nsdk_nvme_admin_abort(ctrlr);
		return err;
	}

	admin->polling = true;
	/* A device that never stops completing gets one round of the ring at a time. */
	while (handled < admin->ring.entries) {
		struct nsdk_nvme_cpl cpl;

		/* The line may lie stale in the cache; taken back and fenced before it is read. */
		nsdk_sync_for_cpu(ctrlr->coh, admin->cqe, sizeof(*admin->cqe),
				  NSDK_DMA_FROM_DEVICE);
		if (!nvme_cqe_is_new(admin->cqe, admin->old_phase))
			break;
		cpl = *admin->cqe;
		if (++admin->cqe == admin->ring.cq_end) {
			admin->cqe = admin->ring.cq;
			admin->old_phase ^= 1;
		}
		handled++;
		err = admin_complete(ctrlr, &cpl);
		if (err)
			break;
	}
	if (handled) {
		nsdk_nvme_shadow_admin(ctrlr, 1, (uint32_t)(admin->cqe - admin->ring.cq));
		nvme_doorbell(admin->ring.cq_doorbell, (uint32_t)(admin->cqe - admin->ring.cq));
	}
	admin->polling = false;

	if (!err) {
		for (uint32_t i = 0; i < admin->request_count; i++) {
			const struct nvme_admin_request *request = &admin->requests[i];

			if (!request->cb || !request->deadline_ns ||
			    now_ns < request->deadline_ns)
				continue;
			/* Within a reset it is the reset that has failed. */
			err = ctrlr->recovery.own ? -ETIMEDOUT : nsdk_nvme_ctrlr_trouble(
				ctrlr, -ETIMEDOUT, "admin command %02xh was not answered within %llu ms",
				request->opcode,
				(unsigned long long)(request->timeout_ns / NVME_NS_PER_MS));
			break;
		}
	}
	if (err) {
		nsdk_nvme_admin_abort(ctrlr);
		return err;
	}
	return (int)handled;
}

/* Calls back everything outstanding with no completion. The device must be quiet. */
void nsdk_nvme_admin_abort(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_admin *admin = &ctrlr->admin;

	if (!admin->requests)
		return;
	for (uint32_t i = 0; i < admin->request_count; i++) {
		nvme_admin_cb cb = admin->requests[i].cb;

		admin->requests[i].cb = NULL;
		if (cb)
			cb(ctrlr, admin->requests[i].ctx, NULL);
	}
}

/*
 * The controller is disabled, and its admin queue begins anew: what was outstanding is called back with
 * no completion.
 */
void nsdk_nvme_admin_restart(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_admin *admin = &ctrlr->admin;
	bool own = ctrlr->recovery.own;

	/* Those who are called back cannot send: the queue is not there. */
	ctrlr->recovery.own = false;
	nsdk_nvme_admin_abort(ctrlr);
	ctrlr->recovery.own = own;
	nsdk_nvme_ring_clear(ctrlr, &admin->ring);
	admin->sqe = admin->ring.sq;
	admin->cqe = admin->ring.cq;
	admin->old_phase = 0;
}

/* A turn of those who wait for a command. It is called back in the end, whatever goes wrong. */
void nsdk_nvme_admin_go_on(struct nsdk_nvme_ctrlr *ctrlr, unsigned *looks)
{
	int err = nvme_resetting(ctrlr) ? 0 : nsdk_nvme_admin_poll(ctrlr);

	if (err == 0)
		err = nsdk_nvme_ctrlr_health(ctrlr);
	/* A reset calls everything back, as an error has done already. */
	if (err == 0 && nsdk_nvme_ctrlr_recovering(ctrlr))
		err = nsdk_nvme_recover(ctrlr);
	if (err == 0 || err == -EAGAIN)
		nsdk_nvme_relax(looks);
}

struct admin_wait {
	bool done;
	bool answered;
	struct nsdk_nvme_cpl cpl;
};

static void admin_wait_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx,
			    const struct nsdk_nvme_cpl *cpl)
{
	struct admin_wait *wait = ctx;

	wait->done = true;
	wait->answered = cpl != NULL;
	if (cpl)
		wait->cpl = *cpl;
}

/*
 * Sends one command and blocks until it is answered or its deadline has passed.
 * @return 0 answered, with whatever status; else why not.
 */
int nsdk_nvme_admin_wait(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
			 struct nsdk_nvme_cpl *cpl)
{
	struct admin_wait wait = { 0 };
	unsigned looks = 0;
	int err;

	err = nsdk_nvme_recover_settle(ctrlr);
	if (err)
		return err;
	err = nsdk_nvme_admin_submit(ctrlr, cmd, ctrlr->opts.admin_timeout_ns, admin_wait_done,
				     &wait);
	if (err)
		return err;
	while (!wait.done)
		nsdk_nvme_admin_go_on(ctrlr, &looks);
	if (!wait.answered) {
		err = nsdk_nvme_ctrlr_failed(ctrlr);
		return err ? err : -ETIMEDOUT;
	}
	*cpl = wait.cpl;
	return 0;
}
