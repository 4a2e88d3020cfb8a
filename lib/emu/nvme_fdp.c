/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flexible data placement (TP4146, Base 2.1 8.1.10) and the directives that it needs (Base 8.7).
 *
 * With fdp=1 there is one endurance group, number 1, of which all namespaces are, with one configuration:
 * fdp_ruh= reclaim unit handles and fdp_rg= reclaim groups. Each namespace has all handles, though under
 * other numbers: placement handle p of namespace n is reclaim unit handle (p + n - 1) modulo their number, so
 * that nobody can take one for the other. A placement identifier has its group in the upper bits.
 *
 * A handle points at one reclaim unit of fdp_runs= bytes in each group. What is written through it makes that
 * unit's room less; a unit that is full, or that the host wants to leave, is followed by an empty one, which
 * is erased for that. There is no media behind this: blocks are where they always were, and nothing is moved.
 *
 * A write with an identifier that the namespace has not got goes well, and where writes go that say nothing:
 * by the namespace's first handle, in group 0.
 *
 * Threading: one lock for all of it, behind all others, held for a few instructions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "nvme_fdp.h"

#define ENDGID 1u
#define EFFECT_SUPPORTED 0x1u
#define TIMESTAMP_MASK ((UINT64_C(1) << 48) - 1)

/* What Get Features with SELECT_CAPABILITIES says (Base figure 192). */
#define SELECT_DEFAULT 1u
#define SELECT_CAPABILITIES 3u
#define CAN_BE_SAVED 0x1u
#define OF_NAMESPACE 0x2u
#define CAN_CHANGE 0x4u

/* The events that there are, each at its place in an events mask. */
static const uint8_t event_types[] = {
	NSDK_NVME_FDP_NOT_FULLY_WRITTEN,
	NSDK_NVME_FDP_INVALID_PID,
	NSDK_NVME_FDP_IMPLICITLY_MODIFIED,
};
#define EVENT_TYPES (sizeof(event_types) / sizeof(event_types[0]))

struct events {
	struct nsdk_nvme_fdp_event list[NSDK_NVME_FDP_MAX_EVENTS]; /* a ring */
	unsigned first, count;
};

struct emu_nvme_fdp {
	pthread_mutex_t lock;
	bool on;
	unsigned handles, groups, rgif;
	uint64_t unit_bytes;
	uint64_t written, media, erased; /* bytes */
	uint8_t logs[EMU_NVME_MAX_RUH], saved[EMU_NVME_MAX_RUH]; /* events that a handle logs */
	uint64_t left[EMU_NVME_MAX_PIDS]; /* bytes that go into a unit yet: by handle, then by group */
	struct events host, controller;
};

/* ---- Making it ---- */

static void make_anew(struct emu_nvme_fdp *fdp)
{
	for (unsigned i = 0; i < fdp->handles * fdp->groups; i++)
		fdp->left[i] = fdp->unit_bytes;
	fdp->written = fdp->media = fdp->erased = 0;
	memset(fdp->logs, 0, sizeof(fdp->logs));
	memset(fdp->saved, 0, sizeof(fdp->saved));
	fdp->host.count = fdp->controller.count = 0;
}

int emu_nvme_fdp_create(struct emu_nvme *ctrl)
{
	struct emu_nvme_fdp *fdp;

	if (!ctrl->opts.fdp)
		return 0;
	fdp = calloc(1, sizeof(*fdp));
	if (!fdp)
		return nsdk_fail(-ENOMEM, EMU_NVME_ROOM, "emu:nvme: no memory for what fdp=1 needs");
	pthread_mutex_init(&fdp->lock, NULL);
	fdp->handles = ctrl->opts.fdp_handles;
	fdp->groups = ctrl->opts.fdp_groups;
	fdp->unit_bytes = ctrl->opts.fdp_unit_bytes;
	while (1u << fdp->rgif < fdp->groups)
		fdp->rgif++;
	fdp->on = true;
	make_anew(fdp);
	ctrl->fdp = fdp;
	return 0;
}

void emu_nvme_fdp_destroy(struct emu_nvme *ctrl)
{
	if (ctrl->fdp)
		pthread_mutex_destroy(&ctrl->fdp->lock);
	free(ctrl->fdp);
}

void emu_nvme_fdp_reset(struct emu_nvme *ctrl)
{
	struct emu_nvme_fdp *fdp = ctrl->fdp;

	if (!fdp)
		return;
	pthread_mutex_lock(&fdp->lock);
	memcpy(fdp->logs, fdp->saved, sizeof(fdp->logs));
	pthread_mutex_unlock(&fdp->lock);
}

void emu_nvme_fdp_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ctrl *id)
{
	if (!ctrl->fdp)
		return;
	id->ctratt |= NSDK_NVME_CTRATT_ENDURANCE_GROUPS | NSDK_NVME_CTRATT_FDP;
	id->oacs |= NSDK_NVME_OACS_DIRECTIVES;
	id->endgidmax = ENDGID;
}

uint32_t emu_nvme_fdp_admin_effects(const struct emu_nvme *ctrl, unsigned opcode)
{
	return ctrl->fdp && (opcode == NSDK_NVME_ADMIN_DIRECTIVE_SEND ||
			     opcode == NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE) ? EFFECT_SUPPORTED : 0;
}

uint32_t emu_nvme_fdp_effects(const struct emu_nvme *ctrl, unsigned opcode)
{
	return ctrl->fdp && (opcode == NSDK_NVME_NVM_IO_MGMT_RECEIVE ||
			     opcode == NSDK_NVME_NVM_IO_MGMT_SEND) ? EFFECT_SUPPORTED : 0;
}

static bool is_on(const struct emu_nvme *ctrl)
{
	bool on;

	if (!ctrl->fdp)
		return false;
	pthread_mutex_lock(&ctrl->fdp->lock);
	on = ctrl->fdp->on;
	pthread_mutex_unlock(&ctrl->fdp->lock);
	return on;
}

#define DISABLED emu_nvme_error(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_FDP_DISABLED)

/* ---- Identifiers, with the lock ---- */

static uint16_t pid_of(const struct emu_nvme_fdp *fdp, unsigned handle, unsigned group)
{
	return (uint16_t)(fdp->rgif ? group << (16 - fdp->rgif) | handle : handle);
}

static bool parse(const struct emu_nvme_fdp *fdp, uint16_t pid, unsigned *handle, unsigned *group)
{
	*group = fdp->rgif ? pid >> (16 - fdp->rgif) : 0;
	*handle = fdp->rgif ? pid & ((1u << (16 - fdp->rgif)) - 1) : pid;
	return *handle < fdp->handles && *group < fdp->groups;
}

/* The reclaim unit handle behind a namespace's placement handle. */
static unsigned ruh_of(const struct emu_nvme_fdp *fdp, uint32_t nsid, unsigned handle)
{
	return (handle + nsid - 1) % fdp->handles;
}

static uint64_t *left_of(struct emu_nvme_fdp *fdp, unsigned ruh, unsigned group)
{
	return &fdp->left[ruh * fdp->groups + group];
}

static int event_index(uint8_t type)
{
	for (unsigned i = 0; i < EVENT_TYPES; i++)
		if (event_types[i] == type)
			return (int)i;
	return -1;
}

static void log_event(const struct emu_nvme *ctrl, uint8_t type, uint32_t nsid, uint16_t pid, unsigned ruh,
		      unsigned group)
{
	struct emu_nvme_fdp *fdp = ctrl->fdp;
	struct events *events = type < NSDK_NVME_FDP_REALLOCATED ? &fdp->host : &fdp->controller;

	if (!(fdp->logs[ruh] >> event_index(type) & 1))
		return;
	if (events->count == NSDK_NVME_FDP_MAX_EVENTS) {
		events->first = (events->first + 1) % NSDK_NVME_FDP_MAX_EVENTS;
		events->count--;
	}
	events->list[(events->first + events->count++) % NSDK_NVME_FDP_MAX_EVENTS] =
		(struct nsdk_nvme_fdp_event){
			.type = type,
			.flags = NSDK_NVME_FDP_EVENT_PIV | NSDK_NVME_FDP_EVENT_NSIDV | NSDK_NVME_FDP_EVENT_LV,
			.pid = pid,
			.timestamp = (nsdk_clock_ns() - ctrl->power_on_ns) / 1000000 & TIMESTAMP_MASK,
			.nsid = nsid,
			.rgid = (uint16_t)group,
			.ruhid = (uint16_t)ruh,
		};
}

/* ---- Writes ---- */

uint16_t emu_nvme_fdp_check_write(const struct emu_nvme *ctrl, uint32_t cdw12)
{
	unsigned type = NSDK_NVME_RW_DTYPE_OF(cdw12);

	if (type == NSDK_NVME_DIRECTIVE_IDENTIFY || (type == NSDK_NVME_DIRECTIVE_PLACEMENT && is_on(ctrl)))
		return 0;
	return EMU_NVME_GENERIC(INVALID_FIELD);
}

void emu_nvme_fdp_wrote(struct emu_nvme_req *req, uint64_t bytes)
{
	const struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_fdp *fdp = ctrl->fdp;
	uint32_t nsid = req->cmd->nsid;
	uint64_t all = bytes + (bytes >> ctrl->lba_shift) * ctrl->md.bytes, *left;
	uint16_t pid = (uint16_t)(req->cmd->cdw13 >> NSDK_NVME_RW_DSPEC_SHIFT);
	bool says = NSDK_NVME_RW_DTYPE_OF(req->cmd->cdw12) == NSDK_NVME_DIRECTIVE_PLACEMENT;
	unsigned handle = 0, group = 0, ruh;
	bool valid = true;

	if (!fdp)
		return;
	pthread_mutex_lock(&fdp->lock);
	if (says)
		valid = parse(fdp, pid, &handle, &group);
	if (!valid)
		handle = group = 0;
	ruh = ruh_of(fdp, nsid, handle);
	if (!valid)
		log_event(ctrl, NSDK_NVME_FDP_INVALID_PID, nsid, pid, ruh, group);
	if (fdp->on) {
		fdp->written += all;
		fdp->media += all;
	}
	left = left_of(fdp, ruh, group);
	while (bytes >= *left) {
		bytes -= *left;
		*left = fdp->unit_bytes;
		fdp->erased += fdp->unit_bytes;
		if (bytes)
			log_event(ctrl, NSDK_NVME_FDP_IMPLICITLY_MODIFIED, nsid, pid_of(fdp, handle, group),
				  ruh, group);
	}
	*left -= bytes;
	pthread_mutex_unlock(&fdp->lock);
}

/* ---- I/O Management ---- */

uint16_t emu_nvme_io_mgmt_receive(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_fdp *fdp = ctrl->fdp;
	uint64_t room = ((uint64_t)req->cmd->cdw11 + 1) * 4;
	struct nsdk_nvme_ruh_status_header header = { .count = (uint16_t)(fdp->handles * fdp->groups) };
	struct nsdk_nvme_ruh_status desc = { 0 };
	uint64_t bytes = sizeof(header);
	uint16_t status;

	switch (req->cmd->cdw10 & 0xff) {
	case 0: /* no operation */
		return 0;
	case NSDK_NVME_IO_MGMT_RUH_STATUS:
		break;
	default:
		return EMU_NVME_GENERIC(INVALID_FIELD);
	}
	if (!is_on(ctrl))
		return DISABLED;
	if (emu_nvme_data_exceeds(ctrl, room))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	status = emu_nvme_data_begin(req, room);
	if (!status)
		status = emu_nvme_data_to_host(req, &header, bytes < room ? bytes : room);
	/* By placement handle, then by group (NVM 1.1 3.2.1.1). */
	for (unsigned i = 0; i < header.count && !status && bytes < room; i++) {
		unsigned handle = i / fdp->groups, group = i % fdp->groups;

		desc.pid = pid_of(fdp, handle, group);
		desc.ruhid = (uint16_t)ruh_of(fdp, req->cmd->nsid, handle);
		pthread_mutex_lock(&fdp->lock);
		desc.ruamw = *left_of(fdp, desc.ruhid, group) >> ctrl->lba_shift;
		pthread_mutex_unlock(&fdp->lock);
		status = emu_nvme_data_to_host(req, &desc,
					       room - bytes < sizeof(desc) ? room - bytes : sizeof(desc));
		bytes += sizeof(desc);
	}
	return status;
}

/* With the lock: on to an empty unit, unless it is one. */
static void go_on(const struct emu_nvme *ctrl, uint32_t nsid, uint16_t pid)
{
	struct emu_nvme_fdp *fdp = ctrl->fdp;
	unsigned handle, group, ruh;
	uint64_t *left;

	parse(fdp, pid, &handle, &group);
	ruh = ruh_of(fdp, nsid, handle);
	left = left_of(fdp, ruh, group);
	if (*left == fdp->unit_bytes)
		return;
	log_event(ctrl, NSDK_NVME_FDP_NOT_FULLY_WRITTEN, nsid, pid, ruh, group);
	*left = fdp->unit_bytes;
	fdp->erased += fdp->unit_bytes;
}

uint16_t emu_nvme_io_mgmt_send(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_fdp *fdp = ctrl->fdp;
	unsigned count = (req->cmd->cdw10 >> 16) + 1, handle, group;
	uint16_t pids[EMU_NVME_MAX_PIDS];
	uint16_t status;

	switch (req->cmd->cdw10 & 0xff) {
	case 0:
		return 0;
	case NSDK_NVME_IO_MGMT_RUH_UPDATE:
		break;
	default:
		return EMU_NVME_GENERIC(INVALID_FIELD);
	}
	if (!is_on(ctrl))
		return DISABLED;
	if (count > fdp->handles * fdp->groups)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	status = emu_nvme_data_begin(req, count * sizeof(pids[0]));
	if (!status)
		status = emu_nvme_data_from_host(req, pids, count * sizeof(pids[0]));
	/* All of them, before the first goes on. */
	for (unsigned i = 0; i < count && !status; i++)
		if (!parse(fdp, pids[i], &handle, &group))
			status = EMU_NVME_GENERIC(INVALID_FIELD);
	if (status)
		return status;
	pthread_mutex_lock(&fdp->lock);
	for (unsigned i = 0; i < count; i++)
		go_on(ctrl, req->cmd->nsid, pids[i]);
	pthread_mutex_unlock(&fdp->lock);
	return 0;
}

/* ---- Directives ---- */

uint16_t emu_nvme_directive_receive(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	uint64_t room = ((uint64_t)cmd->cdw10 + 1) * 4;
	struct nsdk_nvme_directives directives = { .supported = { 1 }, .enabled = { 1 } };

	if (!emu_nvme_ns_attached(ctrl, cmd->nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if ((cmd->cdw11 & 0xffff) != NSDK_NVME_DIRECTIVE_CDW11(NSDK_NVME_DIRECTIVE_IDENTIFY,
							       NSDK_NVME_DIRECTIVE_RECEIVE_PARAMETERS, 0) ||
	    emu_nvme_data_exceeds(ctrl, room))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (is_on(ctrl)) {
		directives.supported[0] |= 1u << NSDK_NVME_DIRECTIVE_PLACEMENT;
		directives.enabled[0] |= 1u << NSDK_NVME_DIRECTIVE_PLACEMENT;
		directives.persistent[0] |= 1u << NSDK_NVME_DIRECTIVE_PLACEMENT;
	}
	return emu_nvme_data_reply(req, &directives, sizeof(directives), room);
}

/* Data placement is on as long as the endurance group has it on, whoever says what. */
uint16_t emu_nvme_directive_send(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;

	if (!emu_nvme_ns_attached(req->ctrl, cmd->nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if ((cmd->cdw11 & 0xffff) != NSDK_NVME_DIRECTIVE_CDW11(NSDK_NVME_DIRECTIVE_IDENTIFY,
							       NSDK_NVME_DIRECTIVE_SEND_ENABLE, 0) ||
	    cmd->cdw12 != (NSDK_NVME_DIRECTIVE_TARGET(NSDK_NVME_DIRECTIVE_PLACEMENT) |
			   NSDK_NVME_DIRECTIVE_ENDIR) || !is_on(req->ctrl))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	return 0;
}

/* ---- Log pages ---- */

bool emu_nvme_fdp_is_log(const struct emu_nvme *ctrl, unsigned page)
{
	return ctrl->fdp && page >= NSDK_NVME_LOG_FDP_CONFIGS && page <= NSDK_NVME_LOG_FDP_EVENTS;
}

static size_t fill_configs(const struct emu_nvme *ctrl, uint8_t *out)
{
	const struct emu_nvme_fdp *fdp = ctrl->fdp;
	struct nsdk_nvme_fdp_config_desc desc = {
		.fdpa = (uint8_t)(NSDK_NVME_FDPA_VALID | fdp->rgif |
				  (ctrl->opts.write_cache ? NSDK_NVME_FDPA_WRITE_CACHE : 0)),
		.nrg = fdp->groups,
		.nruh = (uint16_t)fdp->handles,
		.maxpids = (uint16_t)(fdp->handles * fdp->groups - 1),
		.nnss = ctrl->opts.namespaces,
		.runs = fdp->unit_bytes,
	};
	struct nsdk_nvme_fdp_ruh_desc ruh = { .type = NSDK_NVME_RUH_INITIALLY_ISOLATED };
	size_t bytes = sizeof(desc) + fdp->handles * sizeof(ruh);
	struct nsdk_nvme_fdp_configs_header header = { 0 };

	desc.bytes = (uint16_t)((bytes + 7) / 8 * 8);
	header.bytes = (uint32_t)(sizeof(header) + desc.bytes);
	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), &desc, sizeof(desc));
	for (unsigned i = 0; i < fdp->handles; i++)
		memcpy(out + sizeof(header) + sizeof(desc) + i * sizeof(ruh), &ruh, sizeof(ruh));
	return header.bytes;
}

static size_t fill_usage(const struct emu_nvme *ctrl, uint8_t *out)
{
	const struct emu_nvme_fdp *fdp = ctrl->fdp;
	struct nsdk_nvme_fdp_usage_header header = { .nruh = (uint16_t)fdp->handles };
	bool used = false;

	for (unsigned i = 0; i < ctrl->opts.namespaces; i++)
		used |= ctrl->namespaces[i].allocated;
	memcpy(out, &header, sizeof(header));
	/* Each namespace has all of them. */
	for (unsigned i = 0; i < fdp->handles; i++)
		out[sizeof(header) + i * NSDK_NVME_FDP_USAGE_DESC_BYTES] =
			used ? NSDK_NVME_RUH_HOST : NSDK_NVME_RUH_UNUSED;
	return sizeof(header) + fdp->handles * (size_t)NSDK_NVME_FDP_USAGE_DESC_BYTES;
}

static size_t fill_stats(struct emu_nvme_fdp *fdp, uint8_t *out)
{
	struct nsdk_nvme_fdp_stats stats = { 0 };

	pthread_mutex_lock(&fdp->lock);
	stats.hbmw[0] = fdp->written;
	stats.mbmw[0] = fdp->media;
	stats.mbe[0] = fdp->erased;
	pthread_mutex_unlock(&fdp->lock);
	memcpy(out, &stats, sizeof(stats));
	return sizeof(stats);
}

/* The oldest first. */
static size_t fill_events(struct emu_nvme_fdp *fdp, bool host, uint8_t *out)
{
	const struct events *events = host ? &fdp->host : &fdp->controller;
	struct nsdk_nvme_fdp_events_header header = { 0 };

	pthread_mutex_lock(&fdp->lock);
	header.count = events->count;
	memcpy(out, &header, sizeof(header));
	for (unsigned i = 0; i < events->count; i++)
		memcpy(out + sizeof(header) + i * sizeof(events->list[0]),
		       &events->list[(events->first + i) % NSDK_NVME_FDP_MAX_EVENTS],
		       sizeof(events->list[0]));
	pthread_mutex_unlock(&fdp->lock);
	return sizeof(header) + sizeof(events->list);
}

uint16_t emu_nvme_fdp_log(const struct emu_nvme_req *req, unsigned page, void *out, size_t *bytes)
{
	struct emu_nvme *ctrl = req->ctrl;

	if (req->cmd->cdw11 >> 16 != ENDGID)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (page != NSDK_NVME_LOG_FDP_CONFIGS && !is_on(ctrl))
		return DISABLED;
	switch (page) {
	case NSDK_NVME_LOG_FDP_CONFIGS:
		*bytes = fill_configs(ctrl, out);
		return 0;
	case NSDK_NVME_LOG_FDP_USAGE:
		*bytes = fill_usage(ctrl, out);
		return 0;
	case NSDK_NVME_LOG_FDP_STATS:
		*bytes = fill_stats(ctrl->fdp, out);
		return 0;
	default:
		*bytes = fill_events(ctrl->fdp, req->cmd->cdw10 >> 8 & NSDK_NVME_FDP_HOST_EVENTS, out);
		return 0;
	}
}

/* ---- Features ---- */

bool emu_nvme_fdp_is_feature(const struct emu_nvme *ctrl, unsigned fid)
{
	return ctrl->fdp && (fid == NSDK_NVME_FEAT_FDP || fid == NSDK_NVME_FEAT_FDP_EVENTS);
}

/* The placement handle that a command means, of its namespace. @return a status. */
static uint16_t find_handle(const struct emu_nvme_req *req, unsigned *ruh)
{
	const struct emu_nvme *ctrl = req->ctrl;
	unsigned handle = req->cmd->cdw11 & 0xffff;

	if (!emu_nvme_ns_attached(ctrl, req->cmd->nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if (!is_on(ctrl))
		return DISABLED;
	if (handle >= ctrl->fdp->handles || !(req->cmd->cdw11 >> 16 & 0xff))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	*ruh = ruh_of(ctrl->fdp, req->cmd->nsid, handle);
	return 0;
}

static uint16_t get_events(struct emu_nvme_req *req, bool defaults)
{
	struct nsdk_nvme_fdp_event_state states[255] = { { 0 } };
	unsigned room = req->cmd->cdw11 >> 16 & 0xff, ruh = 0;
	struct emu_nvme_fdp *fdp = req->ctrl->fdp;
	uint16_t status = find_handle(req, &ruh);

	if (status)
		return status;
	pthread_mutex_lock(&fdp->lock);
	for (unsigned i = 0; i < EVENT_TYPES; i++) {
		states[i].type = event_types[i];
		states[i].enabled = !defaults && (fdp->logs[ruh] >> i & 1);
	}
	pthread_mutex_unlock(&fdp->lock);
	req->dw0 = EVENT_TYPES;
	return emu_nvme_data_reply(req, states, room * sizeof(states[0]), room * sizeof(states[0]));
}

uint16_t emu_nvme_fdp_get_feature(struct emu_nvme_req *req, unsigned fid)
{
	unsigned select = req->cmd->cdw10 >> 8 & 7;

	if (select == SELECT_CAPABILITIES) {
		req->dw0 = CAN_CHANGE | CAN_BE_SAVED | (fid == NSDK_NVME_FEAT_FDP_EVENTS ? OF_NAMESPACE : 0);
		return 0;
	}
	if (fid == NSDK_NVME_FEAT_FDP_EVENTS)
		return get_events(req, select == SELECT_DEFAULT);
	if ((req->cmd->cdw11 & 0xffff) != ENDGID)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	req->dw0 = is_on(req->ctrl) ? NSDK_NVME_FDP_ENABLE : 0; /* with configuration 0 */
	return 0;
}

static uint16_t set_events(struct emu_nvme_req *req, bool save)
{
	unsigned count = req->cmd->cdw11 >> 16 & 0xff, ruh = 0;
	struct emu_nvme_fdp *fdp = req->ctrl->fdp;
	uint8_t types[255], mask = 0;
	uint16_t status = find_handle(req, &ruh);

	if (!status)
		status = emu_nvme_data_begin(req, count);
	if (!status)
		status = emu_nvme_data_from_host(req, types, count);
	for (unsigned i = 0; i < count && !status; i++) {
		int index = event_index(types[i]);

		if (index < 0)
			status = EMU_NVME_GENERIC(INVALID_FIELD);
		else
			mask |= (uint8_t)(1u << index);
	}
	if (status)
		return status;
	pthread_mutex_lock(&fdp->lock);
	fdp->logs[ruh] = (uint8_t)(req->cmd->cdw12 & 1 ? fdp->logs[ruh] | mask : fdp->logs[ruh] & ~mask);
	if (save)
		fdp->saved[ruh] = fdp->logs[ruh];
	pthread_mutex_unlock(&fdp->lock);
	return 0;
}

uint16_t emu_nvme_fdp_set_feature(struct emu_nvme_req *req, unsigned fid, bool save)
{
	struct emu_nvme *ctrl = req->ctrl;
	bool on = req->cmd->cdw12 & NSDK_NVME_FDP_ENABLE;

	if (fid == NSDK_NVME_FEAT_FDP_EVENTS)
		return set_events(req, save);
	if ((req->cmd->cdw11 & 0xffff) != ENDGID || NSDK_NVME_FDP_INDEX(req->cmd->cdw12) != 0)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	for (uint32_t nsid = 1; nsid <= ctrl->opts.namespaces; nsid++)
		if (emu_nvme_ns_allocated(ctrl, nsid))
			return EMU_NVME_GENERIC(SEQUENCE_ERROR);
	pthread_mutex_lock(&ctrl->fdp->lock);
	if (on != ctrl->fdp->on)
		make_anew(ctrl->fdp);
	ctrl->fdp->on = on;
	pthread_mutex_unlock(&ctrl->fdp->lock);
	return 0;
}
