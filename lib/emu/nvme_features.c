/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get and Set Features (Base 5.15, 5.27). Nothing is kept over a reset, so nothing can be saved, but for the
 * features of flexible data placement (nvme_fdp.c).
 */
#include <string.h>

#include "nvme_fdp.h"
#include "nvme_pi.h"

#define FEAT_IO_COMMAND_SETS 0x19

#define SELECT_CURRENT 0u
#define SELECT_DEFAULT 1u
#define SELECT_SAVED 2u
#define SELECT_CAPABILITIES 3u

/* What Get Features with SELECT_CAPABILITIES says (Base figure 192). */
#define CAN_CHANGE 0x4u
#define OF_NAMESPACE 0x2u

#define CDW10_SAVE 0x80000000u

#define DEFAULT_OVER_TEMPERATURE 343u /* 70 degrees Celsius */
#define MAX_OVER_TEMPERATURE 0xffffu

#define TMPTH_ALL_SENSORS 15u
#define TMPTH_COMPOSITE 0u
#define TMPTH_OVER 0u
#define TMPTH_UNDER 1u

#define DULBE 0x10000u /* error recovery: an error for deallocated blocks */

#define SMART_TEMPERATURE 0x2u /* critical warning and its bit in the event configuration */
#define EVENT_INFO_TEMPERATURE 1u

void emu_nvme_features_reset(struct emu_nvme *ctrl)
{
	memset(&ctrl->features, 0, sizeof(ctrl->features));
	ctrl->features.over_temperature = DEFAULT_OVER_TEMPERATURE;
	ctrl->features.queues = ctrl->opts.queues;
	emu_nvme_fdp_reset(ctrl);
	emu_nvme_arb_init(&ctrl->arb, 0);
	atomic_store_explicit(&ctrl->md.known, false, memory_order_relaxed);
	atomic_store_explicit(&ctrl->write_cache, ctrl->opts.write_cache, memory_order_relaxed);
}

static bool temperature_is_critical(const struct emu_nvme *ctrl)
{
	return EMU_NVME_TEMPERATURE >= ctrl->features.over_temperature ||
	       EMU_NVME_TEMPERATURE <= ctrl->features.under_temperature;
}

unsigned emu_nvme_critical_warning(const struct emu_nvme *ctrl)
{
	return temperature_is_critical(ctrl) ? SMART_TEMPERATURE : 0;
}

bool emu_nvme_feature_exists(const struct emu_nvme *ctrl, unsigned fid)
{
	switch (fid) {
	case NSDK_NVME_FEAT_ARBITRATION:
	case NSDK_NVME_FEAT_POWER_MANAGEMENT:
	case NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD:
	case NSDK_NVME_FEAT_ERROR_RECOVERY:
	case NSDK_NVME_FEAT_NUMBER_OF_QUEUES:
	case NSDK_NVME_FEAT_INTERRUPT_COALESCING:
	case NSDK_NVME_FEAT_INTERRUPT_VECTOR:
	case NSDK_NVME_FEAT_WRITE_ATOMICITY:
	case NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG:
	case FEAT_IO_COMMAND_SETS:
		return true;
	case NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE:
		return ctrl->opts.write_cache;
	case NSDK_NVME_FEAT_HOST_MEMORY_BUFFER:
		return ctrl->opts.hmb_bytes;
	case NSDK_NVME_FEAT_HOST_BEHAVIOR:
		return ctrl->opts.ms;
	default:
		return emu_nvme_fdp_is_feature(ctrl, fid);
	}
}

/* ---- Get ---- */

static uint16_t get_temperature(const struct emu_nvme *ctrl, uint32_t cdw11, bool defaults,
				uint32_t *out)
{
	unsigned sensor = cdw11 >> 16 & 15, which = cdw11 >> 20 & 3;

	if (sensor != TMPTH_COMPOSITE || which > TMPTH_UNDER)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (which == TMPTH_OVER)
		*out = defaults ? DEFAULT_OVER_TEMPERATURE : ctrl->features.over_temperature;
	else
		*out = defaults ? 0 : ctrl->features.under_temperature;
	return 0;
}

int emu_nvme_get_features(struct emu_nvme_req *req)
{
	const struct emu_nvme *ctrl = req->ctrl;
	const struct emu_nvme_features *features = &ctrl->features;
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	unsigned fid = cmd->cdw10 & 0xff, select = cmd->cdw10 >> 8 & 7;
	/* What can not be saved is saved as its default. */
	bool defaults = select == SELECT_DEFAULT || select == SELECT_SAVED;

	if (!emu_nvme_feature_exists(ctrl, fid) || select > SELECT_CAPABILITIES)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (emu_nvme_fdp_is_feature(ctrl, fid))
		return emu_nvme_fdp_get_feature(req, fid);
	if (select == SELECT_CAPABILITIES) {
		req->dw0 = CAN_CHANGE;
		if (fid == NSDK_NVME_FEAT_ERROR_RECOVERY)
			req->dw0 |= OF_NAMESPACE;
		return 0;
	}
	switch (fid) {
	case NSDK_NVME_FEAT_ARBITRATION:
		req->dw0 = defaults ? 0 : features->arbitration;
		return 0;
	case NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD:
		return get_temperature(ctrl, cmd->cdw11, defaults, &req->dw0);
	case NSDK_NVME_FEAT_ERROR_RECOVERY:
		if (!emu_nvme_ns_attached(ctrl, cmd->nsid))
			return EMU_NVME_GENERIC(INVALID_NAMESPACE);
		req->dw0 = defaults ? 0 : features->error_recovery[cmd->nsid - 1];
		return 0;
	case NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE:
		req->dw0 = defaults || atomic_load_explicit(&ctrl->write_cache, memory_order_relaxed);
		return 0;
	case NSDK_NVME_FEAT_HOST_MEMORY_BUFFER:
		req->dw0 = !defaults && atomic_load(&ctrl->hmb.on) ? EMU_NVME_HMB_ENABLE : 0;
		return 0;
	case NSDK_NVME_FEAT_HOST_BEHAVIOR:
		return emu_nvme_md_behavior(req, false, defaults);
	case NSDK_NVME_FEAT_NUMBER_OF_QUEUES:
		req->dw0 = defaults ? ctrl->opts.queues - 1 : features->queues - 1;
		req->dw0 |= req->dw0 << 16;
		return 0;
	case NSDK_NVME_FEAT_INTERRUPT_COALESCING:
		req->dw0 = defaults ? 0 : features->coalescing;
		return 0;
	case NSDK_NVME_FEAT_INTERRUPT_VECTOR:
		if ((cmd->cdw11 & 0xffff) >= ctrl->vector_count)
			return EMU_NVME_GENERIC(INVALID_FIELD);
		req->dw0 = cmd->cdw11 & 0xffff;
		if (!defaults && features->coalescing_off[req->dw0])
			req->dw0 |= 0x10000;
		return 0;
	case NSDK_NVME_FEAT_WRITE_ATOMICITY:
		req->dw0 = defaults ? 0 : features->atomicity;
		return 0;
	case NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG:
		req->dw0 = defaults ? 0 : features->events;
		return 0;
	default: /* one power state, one combination of command sets: number 0 */
		req->dw0 = 0;
		return 0;
	}
}

/* ---- Set ---- */

static void raise_if_critical(struct emu_nvme *ctrl)
{
	if (temperature_is_critical(ctrl) && (ctrl->features.events & SMART_TEMPERATURE))
		emu_nvme_event_raise(ctrl, EMU_NVME_EVENT_SMART, EVENT_INFO_TEMPERATURE,
				     NSDK_NVME_LOG_SMART);
}

static uint16_t set_temperature(struct emu_nvme *ctrl, uint32_t cdw11)
{
	unsigned sensor = cdw11 >> 16 & 15, which = cdw11 >> 20 & 3;

	if ((sensor != TMPTH_COMPOSITE && sensor != TMPTH_ALL_SENSORS) || which > TMPTH_UNDER)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (which == TMPTH_OVER)
		ctrl->features.over_temperature = cdw11 & 0xffff;
	else
		ctrl->features.under_temperature = cdw11 & 0xffff;
	raise_if_critical(ctrl);
	return 0;
}

static uint16_t set_error_recovery(struct emu_nvme *ctrl, uint32_t nsid, uint32_t cdw11)
{
	if (cdw11 & DULBE)
		return EMU_NVME_GENERIC(INVALID_FIELD); /* NSFEAT has it not */
	if (nsid != NSDK_NVME_NSID_ALL && !emu_nvme_ns_attached(ctrl, nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	for (uint32_t i = 1; i <= ctrl->opts.namespaces; i++)
		if (nsid == i || nsid == NSDK_NVME_NSID_ALL)
			ctrl->features.error_recovery[i - 1] = cdw11 & 0xffff;
	return 0;
}

static uint16_t set_queues(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	uint32_t sqs = req->cmd->cdw11 & 0xffff, cqs = req->cmd->cdw11 >> 16, most;

	if (sqs == 0xffff || cqs == 0xffff)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	for (unsigned i = 1; i <= ctrl->opts.queues; i++)
		if (ctrl->sqs[i].exists || ctrl->cqs[i].exists)
			return EMU_NVME_GENERIC(SEQUENCE_ERROR);
	/* As many of one kind as of the other: it may allocate more than was asked for. */
	most = (sqs > cqs ? sqs : cqs) + 1;
	ctrl->features.queues = most < ctrl->opts.queues ? most : ctrl->opts.queues;
	req->dw0 = (ctrl->features.queues - 1) | (ctrl->features.queues - 1) << 16;
	return 0;
}

int emu_nvme_set_features(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_features *features = &ctrl->features;
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	unsigned fid = cmd->cdw10 & 0xff;
	uint32_t cdw11 = cmd->cdw11;

	if (!emu_nvme_feature_exists(ctrl, fid))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (emu_nvme_fdp_is_feature(ctrl, fid))
		return emu_nvme_fdp_set_feature(req, fid, cmd->cdw10 & CDW10_SAVE);
	if (cmd->cdw10 & CDW10_SAVE)
		return EMU_NVME_SPECIFIC(FEATURE_NOT_SAVEABLE);
	if (fid == NSDK_NVME_FEAT_ERROR_RECOVERY)
		return set_error_recovery(ctrl, cmd->nsid, cdw11);
	if (cmd->nsid != 0 && cmd->nsid != NSDK_NVME_NSID_ALL)
		return cmd->nsid > ctrl->opts.namespaces ? EMU_NVME_GENERIC(INVALID_NAMESPACE) :
							   EMU_NVME_SPECIFIC(FEATURE_NOT_NS_SPECIFIC);
	switch (fid) {
	case NSDK_NVME_FEAT_ARBITRATION:
		features->arbitration = cdw11 & 0xffffff07;
		emu_nvme_arb_set(&ctrl->arb, features->arbitration);
		return 0;
	case NSDK_NVME_FEAT_POWER_MANAGEMENT:
		return cdw11 & 0x1f ? EMU_NVME_GENERIC(INVALID_FIELD) : 0;
	case NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD:
		return set_temperature(ctrl, cdw11);
	case NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE:
		atomic_store_explicit(&ctrl->write_cache, cdw11 & 1, memory_order_relaxed);
		/* What was written before must not be less safe than what comes now. */
		return cdw11 & 1 ? 0 : emu_nvme_store_flush(&ctrl->store);
	case NSDK_NVME_FEAT_HOST_MEMORY_BUFFER:
		return emu_nvme_hmb_set(ctrl, cmd);
	case NSDK_NVME_FEAT_HOST_BEHAVIOR:
		return emu_nvme_md_behavior(req, true, false);
	case NSDK_NVME_FEAT_NUMBER_OF_QUEUES:
		return set_queues(req);
	case NSDK_NVME_FEAT_INTERRUPT_COALESCING:
		/* Kept and reported; every turn signals once for all it posted anyway. */
		features->coalescing = cdw11 & 0xffff;
		return 0;
	case NSDK_NVME_FEAT_INTERRUPT_VECTOR:
		if ((cdw11 & 0xffff) >= ctrl->vector_count)
			return EMU_NVME_GENERIC(INVALID_FIELD);
		features->coalescing_off[cdw11 & 0xffff] = cdw11 & 0x10000;
		return 0;
	case NSDK_NVME_FEAT_WRITE_ATOMICITY:
		features->atomicity = cdw11 & 1;
		return 0;
	case NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG:
		/* Critical warnings, and the notice of OAES. */
		features->events = cdw11 & (0xff | EMU_NVME_EVENTS_NAMESPACES);
		raise_if_critical(ctrl);
		return 0;
	default: /* I/O command set profile: there is combination 0 */
		return cdw11 & 0x1ff ? EMU_NVME_GENERIC(INVALID_FIELD) : 0;
	}
}
