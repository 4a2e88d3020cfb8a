/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Namespaces that are made, attached, formatted and sanitized (Base 5.14, 5.22 to 5.24).
 *
 * The store has one place for each namespace the controller was made with. Creating takes the lowest free
 * one and may use less than all of it; deleting gives it back. All namespaces have one block size, and
 * Format changes it for all (FNA bit 0), so the store's idea of a block is one number.
 *
 * I/O looks at namespaces and block size under its queue's lock; they change with all queues at rest.
 */
#include <string.h>

#include <nsdk/env.h>

#include "nvme_pi.h"
#include "nvme_zns.h"

#define FORMAT_SES(cdw10) ((cdw10) >> 9 & 7)

#define SEL_CREATE 0u
#define SEL_DELETE 1u
#define SEL_ATTACH 0u
#define SEL_DETACH 1u

#define SANITIZE_ACTION(cdw10) ((cdw10) & 7)
#define SANITIZE_EXIT_FAILURE 1u
#define SANITIZE_BLOCK_ERASE 2u
#define SANITIZE_TIME_NS 200000000u

#define THIN_PROVISIONING_NOT_SUPPORTED 0x1b

/* The other queues at rest; queue 0 is ours already. */
static void rest(struct emu_nvme *ctrl)
{
	ctrl->resting = atomic_load(&ctrl->cqs_used);
	for (unsigned i = 1; i < ctrl->resting; i++)
		pthread_mutex_lock(&ctrl->cqs[i].lock);
}

static void go_on(struct emu_nvme *ctrl)
{
	while (ctrl->resting > 1)
		pthread_mutex_unlock(&ctrl->cqs[--ctrl->resting].lock);
}

uint64_t emu_nvme_place_blocks(const struct emu_nvme *ctrl)
{
	return ctrl->opts.size_bytes >> ctrl->lba_shift;
}

void emu_nvme_manage_init(struct emu_nvme *ctrl)
{
	for (unsigned i = 0; i < ctrl->opts.namespaces; i++)
		ctrl->namespaces[i] = (struct emu_nvme_ns){
			.blocks = emu_nvme_place_blocks(ctrl),
			.allocated = true,
			.attached = true,
		};
}

/* ---- Format ---- */

int emu_nvme_format(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	uint16_t status;

	if (cmd->nsid != NSDK_NVME_NSID_ALL && !emu_nvme_ns_allocated(ctrl, cmd->nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (!emu_nvme_md_format(ctrl, cmd->cdw10, true))
		return EMU_NVME_SPECIFIC(INVALID_FORMAT);
	if (FORMAT_SES(cmd->cdw10) > 1) /* no keys that could be thrown away */
		return EMU_NVME_GENERIC(INVALID_FIELD);
	rest(ctrl);
	status = emu_nvme_store_wipe(&ctrl->store, 0, ctrl->store.bytes);
	if (!status) {
		emu_nvme_md_format(ctrl, cmd->cdw10, false);
		ctrl->store.lba_shift = ctrl->lba_shift;
		for (unsigned i = 0; i < ctrl->opts.namespaces; i++)
			if (ctrl->namespaces[i].allocated)
				ctrl->namespaces[i].blocks = emu_nvme_place_blocks(ctrl);
		emu_nvme_zns_wiped(ctrl, NSDK_NVME_NSID_ALL);
	}
	go_on(ctrl);
	return status;
}

/* ---- Namespaces ---- */

static void changed(struct emu_nvme *ctrl, uint32_t nsid)
{
	ctrl->namespaces[nsid - 1].changed = true;
	if (ctrl->features.events & EMU_NVME_EVENTS_NAMESPACES)
		emu_nvme_event_raise(ctrl, EMU_NVME_EVENT_NOTICE, 0, NSDK_NVME_LOG_CHANGED_NS);
}

static uint16_t create(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct nsdk_nvme_id_ns wanted;
	uint32_t nsid = 1;
	uint16_t status = emu_nvme_data_begin(req, sizeof(wanted));

	if (!status)
		status = emu_nvme_data_from_host(req, &wanted, sizeof(wanted));
	if (status)
		return status;
	if (req->cmd->cdw11 >> 24 != (ctrl->zns ? NSDK_NVME_CSI_ZNS : NSDK_NVME_CSI_NVM))
		return emu_nvme_error(NSDK_NVME_SCT_COMMAND, 0x29); /* another command set */
	if (wanted.flbas != emu_nvme_flbas(ctrl) || wanted.dps != emu_nvme_dps(ctrl))
		return EMU_NVME_SPECIFIC(INVALID_FORMAT);
	if (wanted.nsze == 0 || wanted.nmic || (ctrl->zns && wanted.nsze % emu_nvme_zone_blocks(ctrl)))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (wanted.ncap != wanted.nsze)
		return emu_nvme_error(NSDK_NVME_SCT_COMMAND, THIN_PROVISIONING_NOT_SUPPORTED);
	while (nsid <= ctrl->opts.namespaces && ctrl->namespaces[nsid - 1].allocated)
		nsid++;
	if (nsid > ctrl->opts.namespaces)
		return EMU_NVME_SPECIFIC(NS_ID_UNAVAILABLE);
	if (wanted.nsze > emu_nvme_place_blocks(ctrl))
		return EMU_NVME_SPECIFIC(NS_INSUFFICIENT_CAPACITY);
	/* Nobody does I/O to what is not attached. */
	ctrl->namespaces[nsid - 1] = (struct emu_nvme_ns){ .blocks = wanted.nsze, .allocated = true };
	emu_nvme_zns_wiped(ctrl, nsid);
	req->dw0 = nsid;
	return 0;
}

static uint16_t delete(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	uint32_t nsid = req->cmd->nsid;
	uint16_t status = 0;

	if (nsid != NSDK_NVME_NSID_ALL && !emu_nvme_ns_allocated(ctrl, nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	rest(ctrl);
	for (uint32_t i = 1; i <= ctrl->opts.namespaces && !status; i++) {
		if ((nsid != i && nsid != NSDK_NVME_NSID_ALL) || !emu_nvme_ns_allocated(ctrl, i))
			continue;
		status = emu_nvme_store_wipe(&ctrl->store, (i - 1) * ctrl->opts.size_bytes,
					     ctrl->opts.size_bytes);
		emu_nvme_md_wiped(ctrl, (i - 1) * ctrl->opts.size_bytes, ctrl->opts.size_bytes);
		if (ctrl->namespaces[i - 1].attached)
			changed(ctrl, i);
		ctrl->namespaces[i - 1].allocated = false;
		ctrl->namespaces[i - 1].attached = false;
	}
	go_on(ctrl);
	return status;
}

int emu_nvme_ns_management(struct emu_nvme_req *req)
{
	switch (req->cmd->cdw10 & 0xf) {
	case SEL_CREATE:
		return create(req);
	case SEL_DELETE:
		return delete(req);
	default:
		return EMU_NVME_GENERIC(INVALID_FIELD);
	}
}

int emu_nvme_ns_attachment(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	unsigned select = req->cmd->cdw10 & 0xf;
	uint32_t nsid = req->cmd->nsid;
	struct {
		uint16_t count;
		uint16_t id[2047];
	} list;
	uint16_t status;

	if (select > SEL_DETACH)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!emu_nvme_ns_allocated(ctrl, nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	status = emu_nvme_data_begin(req, sizeof(list));
	if (!status)
		status = emu_nvme_data_from_host(req, &list, sizeof(list));
	if (status)
		return status;
	/* There is one controller, number 0. */
	if (list.count != 1 || list.id[0] != 0)
		return EMU_NVME_SPECIFIC(CTRLR_LIST_INVALID);
	if (select == SEL_ATTACH && ctrl->namespaces[nsid - 1].attached)
		return EMU_NVME_SPECIFIC(NS_ALREADY_ATTACHED);
	if (select == SEL_DETACH && !ctrl->namespaces[nsid - 1].attached)
		return EMU_NVME_SPECIFIC(NS_NOT_ATTACHED);
	rest(ctrl);
	ctrl->namespaces[nsid - 1].attached = select == SEL_ATTACH;
	go_on(ctrl);
	changed(ctrl, nsid);
	return 0;
}

/* Changed Namespace List (Base 5.16.1.5); it is empty afterwards. */
size_t emu_nvme_changed_list(struct emu_nvme *ctrl, void *out)
{
	uint32_t *list = out, count = 0;

	for (uint32_t i = 0; i < ctrl->opts.namespaces && count < NSDK_NVME_NS_LIST_ENTRIES; i++) {
		if (ctrl->namespaces[i].changed)
			list[count++] = i + 1;
		ctrl->namespaces[i].changed = false;
	}
	return NSDK_NVME_NS_LIST_ENTRIES * sizeof(*list);
}

/* ---- Sanitize ---- */

bool emu_nvme_sanitizing(const struct emu_nvme *ctrl)
{
	uint64_t end_ns = atomic_load_explicit(&ctrl->sanitize_end_ns, memory_order_relaxed);

	return end_ns && nsdk_clock_ns() < end_ns;
}

int emu_nvme_sanitize(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	unsigned action = SANITIZE_ACTION(req->cmd->cdw10);
	uint16_t status;

	if (emu_nvme_sanitizing(ctrl))
		return EMU_NVME_PASSING(SANITIZE_IN_PROGRESS);
	if (action == SANITIZE_EXIT_FAILURE)
		return 0; /* it has never failed */
	if (action != SANITIZE_BLOCK_ERASE)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	rest(ctrl);
	status = emu_nvme_store_wipe(&ctrl->store, 0, ctrl->store.bytes);
	if (!status) {
		emu_nvme_md_wiped(ctrl, 0, ctrl->store.bytes);
		emu_nvme_zns_wiped(ctrl, NSDK_NVME_NSID_ALL);
		ctrl->sanitize_cdw10 = req->cmd->cdw10;
		atomic_store_explicit(&ctrl->sanitize_end_ns, nsdk_clock_ns() + SANITIZE_TIME_NS,
				      memory_order_relaxed);
	}
	go_on(ctrl);
	return status;
}

size_t emu_nvme_sanitize_log(const struct emu_nvme *ctrl, void *out)
{
	uint64_t end_ns = atomic_load_explicit(&ctrl->sanitize_end_ns, memory_order_relaxed);
	uint64_t now_ns = nsdk_clock_ns();
	struct nsdk_nvme_sanitize_log log = {
		.sprog = 0xffff,
		.sstat = NSDK_NVME_SANITIZE_NEVER,
		.scdw10 = ctrl->sanitize_cdw10,
		.estimate_overwrite = UINT32_MAX,
		.estimate_block_erase = 1,
		.estimate_crypto_erase = UINT32_MAX,
		.estimate_overwrite_no_deallocate = UINT32_MAX,
		.estimate_block_erase_no_deallocate = 1,
		.estimate_crypto_erase_no_deallocate = UINT32_MAX,
	};

	if (end_ns)
		log.sstat = NSDK_NVME_SANITIZE_DONE;
	if (end_ns > now_ns) {
		log.sstat = NSDK_NVME_SANITIZE_RUNNING;
		log.sprog = (uint16_t)((SANITIZE_TIME_NS - (end_ns - now_ns)) * 65535 /
				       SANITIZE_TIME_NS);
	}
	memcpy(out, &log, sizeof(log));
	return sizeof(log);
}
