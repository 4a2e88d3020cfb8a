/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events (Base 5.2) and the error log they point to.
 */
#include "nvme_internal.h"

void emu_nvme_event_raise(struct emu_nvme *ctrl, enum emu_nvme_event event, unsigned info,
			  unsigned log_page)
{
	pthread_mutex_lock(&ctrl->notes);
	/* After one was reported, its kind is masked until the host has read the log page. */
	if (!ctrl->event_masked[event]) {
		ctrl->event_waits[event] = true;
		ctrl->event_dw0[event] = (uint32_t)event | info << 8 | log_page << 16;
		atomic_store(&ctrl->event_any, true);
	}
	pthread_mutex_unlock(&ctrl->notes);
}

void emu_nvme_event_unmask(struct emu_nvme *ctrl, unsigned log_page)
{
	pthread_mutex_lock(&ctrl->notes);
	if (log_page == NSDK_NVME_LOG_ERROR)
		ctrl->event_masked[EMU_NVME_EVENT_ERROR] = false;
	if (log_page == NSDK_NVME_LOG_SMART)
		ctrl->event_masked[EMU_NVME_EVENT_SMART] = false;
	if (log_page == NSDK_NVME_LOG_CHANGED_NS)
		ctrl->event_masked[EMU_NVME_EVENT_NOTICE] = false;
	pthread_mutex_unlock(&ctrl->notes);
}

void emu_nvme_event_reset(struct emu_nvme *ctrl)
{
	pthread_mutex_lock(&ctrl->notes);
	for (unsigned i = 0; i < EMU_NVME_EVENTS; i++) {
		ctrl->event_waits[i] = false;
		ctrl->event_masked[i] = false;
	}
	atomic_store(&ctrl->event_any, false);
	pthread_mutex_unlock(&ctrl->notes);
}

/* Take one event that waits. */
static bool take_event(struct emu_nvme *ctrl, uint32_t *dw0)
{
	bool any = false, taken = false;

	pthread_mutex_lock(&ctrl->notes);
	for (unsigned i = 0; i < EMU_NVME_EVENTS; i++) {
		if (ctrl->event_waits[i] && !taken) {
			ctrl->event_waits[i] = false;
			ctrl->event_masked[i] = true;
			*dw0 = ctrl->event_dw0[i];
			taken = true;
		}
		any |= ctrl->event_waits[i];
	}
	atomic_store(&ctrl->event_any, any);
	pthread_mutex_unlock(&ctrl->notes);
	return taken;
}

void emu_nvme_event_deliver(struct emu_nvme *ctrl)
{
	struct emu_nvme_cq *cq = &ctrl->cqs[0];
	uint32_t dw0 = 0;

	/* fault=storm@: as if the host had read the log page since the last one. */
	if (atomic_load(&ctrl->storms)) {
		emu_nvme_event_unmask(ctrl, NSDK_NVME_LOG_SMART);
		emu_nvme_event_raise(ctrl, EMU_NVME_EVENT_SMART, 0, NSDK_NVME_LOG_SMART);
	}
	while (ctrl->aer_count && atomic_load(&ctrl->event_any) && emu_nvme_cq_has_room(cq) &&
	       take_event(ctrl, &dw0)) {
		emu_nvme_post(ctrl, cq, &ctrl->sqs[0], ctrl->aer_cids[0], dw0, 0);
		ctrl->aer_count--;
		for (unsigned i = 0; i < ctrl->aer_count; i++)
			ctrl->aer_cids[i] = ctrl->aer_cids[i + 1];
	}
}

int emu_nvme_event_request(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;

	if (ctrl->aer_count == EMU_NVME_AERS)
		return EMU_NVME_SPECIFIC(AER_LIMIT);
	ctrl->aer_cids[ctrl->aer_count++] = req->cmd->cid;
	emu_nvme_event_deliver(ctrl);
	return EMU_NVME_LATER;
}

void emu_nvme_error_note(struct emu_nvme *ctrl, uint16_t sqid, uint16_t cid, uint16_t status,
			 uint64_t lba, uint32_t nsid)
{
	struct emu_nvme_error *error;

	pthread_mutex_lock(&ctrl->notes);
	error = &ctrl->errors[ctrl->error_count++ % EMU_NVME_ERRORS];
	*error = (struct emu_nvme_error){
		.count = ctrl->error_count,
		.sqid = sqid,
		.cid = cid,
		.status = status,
		.location = 0xffff, /* not said which parameter */
		.lba = lba,
		.nsid = nsid,
	};
	pthread_mutex_unlock(&ctrl->notes);
}
