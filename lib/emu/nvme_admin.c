/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands: queues, abort, and the way to the others. All run under the lock of completion
 * queue 0; what they do to another queue is done under that one's lock as well.
 */
#include "nvme_fdp.h"

#define CDW11_PC 0x1u  /* physically contiguous */
#define CDW11_IEN 0x2u /* create CQ: interrupts enabled */
#define CDW11_QPRIO(cdw11) ((enum emu_nvme_arb_class)((cdw11) >> 1 & 3)) /* create SQ */

uint32_t emu_nvme_admin_effects(unsigned opcode)
{
	switch (opcode) {
	case NSDK_NVME_ADMIN_DELETE_SQ:
	case NSDK_NVME_ADMIN_CREATE_SQ:
	case NSDK_NVME_ADMIN_GET_LOG_PAGE:
	case NSDK_NVME_ADMIN_DELETE_CQ:
	case NSDK_NVME_ADMIN_CREATE_CQ:
	case NSDK_NVME_ADMIN_IDENTIFY:
	case NSDK_NVME_ADMIN_ABORT:
	case NSDK_NVME_ADMIN_SET_FEATURES:
	case NSDK_NVME_ADMIN_GET_FEATURES:
	case NSDK_NVME_ADMIN_ASYNC_EVENT:
	case NSDK_NVME_ADMIN_FW_DOWNLOAD:
	case NSDK_NVME_ADMIN_SELF_TEST:
	case NSDK_NVME_ADMIN_GET_LBA_STATUS:
	case NSDK_NVME_ADMIN_SECURITY_SEND:
	case NSDK_NVME_ADMIN_SECURITY_RECEIVE:
		return NSDK_NVME_EFFECT_SUPPORTED;
	case NSDK_NVME_ADMIN_FW_COMMIT:
		return NSDK_NVME_EFFECT_SUPPORTED | NSDK_NVME_EFFECT_CONTROLLER;
	case NSDK_NVME_ADMIN_NS_MANAGEMENT:
	case NSDK_NVME_ADMIN_NS_ATTACHMENT:
		return NSDK_NVME_EFFECT_SUPPORTED | NSDK_NVME_EFFECT_INVENTORY;
	case NSDK_NVME_ADMIN_FORMAT:
		return NSDK_NVME_EFFECT_SUPPORTED | NSDK_NVME_EFFECT_BLOCKS |
		       NSDK_NVME_EFFECT_NAMESPACE;
	case NSDK_NVME_ADMIN_SANITIZE:
		return NSDK_NVME_EFFECT_SUPPORTED | NSDK_NVME_EFFECT_BLOCKS;
	default:
		return 0;
	}
}

/* What waits until a sanitize is over (Base figure 305). */
static bool waits_for_sanitize(unsigned opcode)
{
	switch (opcode) {
	case NSDK_NVME_ADMIN_FW_COMMIT:
	case NSDK_NVME_ADMIN_FW_DOWNLOAD:
	case NSDK_NVME_ADMIN_SELF_TEST:
	case NSDK_NVME_ADMIN_NS_MANAGEMENT:
	case NSDK_NVME_ADMIN_NS_ATTACHMENT:
	case NSDK_NVME_ADMIN_FORMAT:
		return true;
	default:
		return false;
	}
}

static unsigned cmd_qid(const struct nsdk_nvme_cmd *cmd)
{
	return cmd->cdw10 & 0xffff;
}

static uint32_t cmd_entries(const struct nsdk_nvme_cmd *cmd)
{
	return (cmd->cdw10 >> 16) + 1;
}

/* A new I/O queue's identifier: in what Number of Queues allocated, and free. */
static bool qid_is_allocated(const struct emu_nvme *ctrl, unsigned qid)
{
	return qid > 0 && qid <= ctrl->features.queues;
}

static uint16_t check_new_queue(const struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd,
				unsigned entry_log2, unsigned wanted_log2)
{
	/* One entry is QSIZE 0. The entry size must have been said in CC before (Base figure 95). */
	if (cmd_entries(cmd) < 2 || cmd_entries(cmd) > ctrl->opts.entries ||
	    entry_log2 != wanted_log2)
		return EMU_NVME_SPECIFIC(INVALID_QUEUE_SIZE);
	if (!(cmd->cdw11 & CDW11_PC))
		return EMU_NVME_GENERIC(INVALID_FIELD); /* CAP.CQR */
	if (cmd->prp1 & (ctrl->page_bytes - 1))
		return EMU_NVME_GENERIC(INVALID_PRP_OFFSET);
	return 0;
}

static uint16_t create_cq(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	unsigned qid = cmd_qid(cmd), vector = cmd->cdw11 >> 16;
	uint16_t status;
	int rc;

	if (!qid_is_allocated(ctrl, qid) || ctrl->cqs[qid].exists)
		return EMU_NVME_SPECIFIC(INVALID_QID);
	status = check_new_queue(ctrl, cmd, ctrl->iocqes, 4);
	if (status)
		return status;
	if (vector >= ctrl->vector_count)
		return EMU_NVME_SPECIFIC(INVALID_VECTOR);
	status = emu_nvme_cmb_queue(ctrl, cmd->prp1, cmd_entries(cmd) * sizeof(struct nsdk_nvme_cpl),
				    NSDK_NVME_CMBSZ_CQS);
	if (status)
		return status;
	pthread_mutex_lock(&ctrl->cqs[qid].lock);
	rc = emu_nvme_cq_create(ctrl, qid, cmd->prp1, cmd_entries(cmd), cmd->cdw11 & CDW11_IEN,
				vector);
	pthread_mutex_unlock(&ctrl->cqs[qid].lock);
	return rc ? EMU_NVME_PASSING(INTERNAL_ERROR) : 0;
}

static uint16_t create_sq(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	unsigned qid = cmd_qid(cmd), cqid = cmd->cdw11 >> 16;
	uint16_t status;
	int rc;

	if (!qid_is_allocated(ctrl, qid) || ctrl->sqs[qid].exists || !qid_is_allocated(ctrl, cqid))
		return EMU_NVME_SPECIFIC(INVALID_QID);
	if (!ctrl->cqs[cqid].exists)
		return EMU_NVME_SPECIFIC(CQ_INVALID);
	status = check_new_queue(ctrl, cmd, ctrl->iosqes, 6);
	if (!status)
		status = emu_nvme_cmb_queue(ctrl, cmd->prp1, cmd_entries(cmd) * sizeof(struct nsdk_nvme_cmd),
					    NSDK_NVME_CMBSZ_SQS);
	if (status)
		return status;
	pthread_mutex_lock(&ctrl->cqs[cqid].lock);
	/* Without weighted round robin nobody looks at the priority. */
	rc = emu_nvme_sq_create(ctrl, qid, cmd->prp1, cmd_entries(cmd), cqid, CDW11_QPRIO(cmd->cdw11));
	pthread_mutex_unlock(&ctrl->cqs[cqid].lock);
	return rc ? EMU_NVME_PASSING(INTERNAL_ERROR) : 0;
}

static int delete_sq(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	unsigned qid = cmd_qid(req->cmd);
	struct emu_nvme_cq *cq;

	if (qid == 0 || qid > ctrl->opts.queues || !ctrl->sqs[qid].exists)
		return EMU_NVME_SPECIFIC(INVALID_QID);
	if (ctrl->sqs[qid].hung_count && ctrl->opts.delete_sq != EMU_NVME_DELETE_WORKS)
		return ctrl->opts.delete_sq == EMU_NVME_DELETE_HANGS ?
			       EMU_NVME_LATER :
			       EMU_NVME_PASSING(INTERNAL_ERROR);
	cq = &ctrl->cqs[ctrl->sqs[qid].cqid];
	pthread_mutex_lock(&cq->lock);
	emu_nvme_sq_drain(ctrl, &ctrl->sqs[qid]);
	emu_nvme_interrupt(ctrl, cq);
	emu_nvme_sq_destroy(ctrl, qid);
	pthread_mutex_unlock(&cq->lock);
	return 0;
}

static uint16_t delete_cq(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	unsigned qid = cmd_qid(req->cmd);
	uint16_t status = 0;

	if (qid == 0 || qid > ctrl->opts.queues || !ctrl->cqs[qid].exists)
		return EMU_NVME_SPECIFIC(INVALID_QID);
	pthread_mutex_lock(&ctrl->cqs[qid].lock);
	if (ctrl->cqs[qid].sqs)
		status = EMU_NVME_SPECIFIC(INVALID_QUEUE_DELETION);
	else
		emu_nvme_cq_destroy(ctrl, qid);
	pthread_mutex_unlock(&ctrl->cqs[qid].lock);
	return status;
}

/* Asynchronous Event Requests are what waits longest. */
static bool abort_event_request(struct emu_nvme_req *req, uint16_t cid)
{
	struct emu_nvme *ctrl = req->ctrl;

	for (unsigned i = 0; i < ctrl->aer_count; i++) {
		if (ctrl->aer_cids[i] != cid)
			continue;
		ctrl->aer_cids[i] = ctrl->aer_cids[--ctrl->aer_count];
		emu_nvme_post(ctrl, req->cq, req->sq, cid, 0, EMU_NVME_PASSING(ABORT_REQUESTED));
		return true;
	}
	return false;
}

static int do_abort(struct emu_nvme_req *req)
{
	uint16_t cid = (uint16_t)(req->cmd->cdw10 >> 16);
	struct emu_nvme *ctrl = req->ctrl;
	unsigned sqid = req->cmd->cdw10 & 0xffff;
	struct emu_nvme_cq *cq;
	bool hangs;

	if (sqid > ctrl->opts.queues || !ctrl->sqs[sqid].exists)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	req->dw0 = 1; /* it was not aborted */
	if (sqid == 0) {
		/* Two completions, the aborted command's first: both need room. */
		if (req->cq->entries - 1 - (req->cq->tail + req->cq->entries - req->cq->head) %
						   req->cq->entries < 2)
			return 0;
		if (abort_event_request(req, cid) || emu_nvme_sq_abort(ctrl, &ctrl->sqs[0], cid))
			req->dw0 = 0;
		return 0;
	}
	cq = &ctrl->cqs[ctrl->sqs[sqid].cqid];
	pthread_mutex_lock(&cq->lock);
	hangs = ctrl->opts.abort == EMU_NVME_ABORT_HANGS && ctrl->sqs[sqid].hung_count;
	if (!hangs && emu_nvme_sq_abort(ctrl, &ctrl->sqs[sqid], cid))
		req->dw0 = 0;
	emu_nvme_interrupt(ctrl, cq);
	pthread_mutex_unlock(&cq->lock);
	return hangs ? EMU_NVME_LATER : 0;
}

int emu_nvme_admin(struct emu_nvme_req *req)
{
	if (waits_for_sanitize(req->cmd->opcode) && emu_nvme_sanitizing(req->ctrl))
		return EMU_NVME_PASSING(SANITIZE_IN_PROGRESS);
	switch (req->cmd->opcode) {
	case NSDK_NVME_ADMIN_DELETE_SQ:
		return delete_sq(req);
	case NSDK_NVME_ADMIN_CREATE_SQ:
		return create_sq(req);
	case NSDK_NVME_ADMIN_GET_LOG_PAGE:
		return emu_nvme_get_log_page(req);
	case NSDK_NVME_ADMIN_DELETE_CQ:
		return delete_cq(req);
	case NSDK_NVME_ADMIN_CREATE_CQ:
		return create_cq(req);
	case NSDK_NVME_ADMIN_IDENTIFY:
		return emu_nvme_identify(req);
	case NSDK_NVME_ADMIN_ABORT:
		return do_abort(req);
	case NSDK_NVME_ADMIN_SET_FEATURES:
		return emu_nvme_set_features(req);
	case NSDK_NVME_ADMIN_GET_FEATURES:
		return emu_nvme_get_features(req);
	case NSDK_NVME_ADMIN_ASYNC_EVENT:
		return emu_nvme_event_request(req);
	case NSDK_NVME_ADMIN_NS_MANAGEMENT:
		return emu_nvme_ns_management(req);
	case NSDK_NVME_ADMIN_FW_COMMIT:
		return emu_nvme_fw_commit(req);
	case NSDK_NVME_ADMIN_FW_DOWNLOAD:
		return emu_nvme_fw_download(req);
	case NSDK_NVME_ADMIN_SELF_TEST:
		return emu_nvme_self_test(req);
	case NSDK_NVME_ADMIN_NS_ATTACHMENT:
		return emu_nvme_ns_attachment(req);
	case NSDK_NVME_ADMIN_FORMAT:
		return emu_nvme_format(req);
	case NSDK_NVME_ADMIN_SANITIZE:
		return emu_nvme_sanitize(req);
	case NSDK_NVME_ADMIN_GET_LBA_STATUS:
		return emu_nvme_get_lba_status(req);
	case NSDK_NVME_ADMIN_SECURITY_SEND:
		return emu_nvme_security_send(req);
	case NSDK_NVME_ADMIN_SECURITY_RECEIVE:
		return emu_nvme_security_receive(req);
	case NSDK_NVME_ADMIN_DBBUF_CONFIG:
		return emu_nvme_dbbuf_config(req);
	case NSDK_NVME_ADMIN_DIRECTIVE_SEND:
	case NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE:
		if (!emu_nvme_fdp_admin_effects(req->ctrl, req->cmd->opcode))
			return EMU_NVME_GENERIC(INVALID_OPCODE);
		return req->cmd->opcode == NSDK_NVME_ADMIN_DIRECTIVE_SEND ?
			       emu_nvme_directive_send(req) : emu_nvme_directive_receive(req);
	default:
		return EMU_NVME_GENERIC(INVALID_OPCODE);
	}
}
