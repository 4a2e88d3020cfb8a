/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Zoned namespaces (Zoned Namespace Command Set 1.1): the states of zones, and what writes have to do
 * with them. nvme_zns_report.c tells of them.
 *
 * With zoned=1 all namespaces are zoned alike. A zone is one of these; what is in brackets counts
 * towards max_open and max_active, and towards max_active alone:
 *
 *	EMPTY -> [IMPLICITLY OPEN <-> EXPLICITLY OPEN] <-> [[CLOSED]] -> FULL -> EMPTY
 *	READ ONLY -> OFFLINE
 *
 * A write opens its zone implicitly. When max_open is reached, the zone that was opened implicitly
 * longest ago is closed for the next; if all are open explicitly the next is refused.
 *
 * Threading: one lock for all zones. A write holds it while its data moves, so that the write pointer
 * and what is before it are one; reads only look. It comes before the locks of the store.
 *
 * Zones are memory, and so are their blocks: file= has no room for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#include "nvme_zns.h"

#define SPECIFIC(name) emu_nvme_error(NSDK_NVME_SCT_COMMAND, NSDK_NVME_SC_##name)

/* ---- Making zones ---- */

uint64_t emu_nvme_zone_blocks(const struct emu_nvme *ctrl)
{
	return ctrl->opts.zone_bytes >> ctrl->lba_shift;
}

static uint64_t cap_blocks(const struct emu_nvme *ctrl)
{
	return ctrl->opts.zone_cap_bytes >> ctrl->lba_shift;
}

uint32_t emu_nvme_zones(const struct emu_nvme *ctrl, uint32_t nsid)
{
	return (uint32_t)(ctrl->namespaces[nsid - 1].blocks / emu_nvme_zone_blocks(ctrl));
}

void emu_nvme_zns_lock(struct emu_nvme *ctrl)
{
	pthread_mutex_lock(&ctrl->zns_lock);
}

void emu_nvme_zns_unlock(struct emu_nvme *ctrl)
{
	pthread_mutex_unlock(&ctrl->zns_lock);
}

/* As new: empty, but for those at the end that are worn out. */
static void make_anew(struct emu_nvme *ctrl, uint32_t nsid)
{
	struct emu_nvme_zns *zns = &ctrl->zns[nsid - 1];
	uint32_t count = emu_nvme_zones(ctrl, nsid), worn = ctrl->opts.zones_offline;

	zns->open = 0;
	zns->active = 0;
	for (uint32_t i = 0; i < count; i++) {
		zns->zones[i] = (struct emu_nvme_zone){ .state = NSDK_NVME_ZONE_EMPTY };
		if (i + worn >= count)
			zns->zones[i].state = NSDK_NVME_ZONE_IS_OFFLINE;
		else if (i + worn + ctrl->opts.zones_ro >= count)
			zns->zones[i].state = NSDK_NVME_ZONE_READ_ONLY;
	}
}

void emu_nvme_zns_wiped(struct emu_nvme *ctrl, uint32_t nsid)
{
	if (!ctrl->zns)
		return;
	emu_nvme_zns_lock(ctrl);
	for (uint32_t i = 1; i <= ctrl->opts.namespaces; i++)
		if (i == nsid || nsid == NSDK_NVME_NSID_ALL)
			make_anew(ctrl, i);
	emu_nvme_zns_unlock(ctrl);
}

int emu_nvme_zns_create(struct emu_nvme *ctrl)
{
	uint64_t zones;

	pthread_mutex_init(&ctrl->zns_lock, NULL);
	if (!ctrl->opts.zoned)
		return 0;
	zones = ctrl->opts.size_bytes / ctrl->opts.zone_bytes;
	if (ctrl->opts.size_bytes % ctrl->opts.zone_bytes || zones > EMU_NVME_MAX_ZONES)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
				 "emu:nvme: zone=%llu does not divide size=%llu into 1 to %u zones",
				 (unsigned long long)ctrl->opts.zone_bytes,
				 (unsigned long long)ctrl->opts.size_bytes, EMU_NVME_MAX_ZONES);
	ctrl->zns = calloc(ctrl->opts.namespaces, sizeof(*ctrl->zns));
	for (unsigned i = 0; ctrl->zns && i < ctrl->opts.namespaces; i++) {
		ctrl->zns[i].zones = calloc(zones, sizeof(*ctrl->zns[i].zones));
		if (!ctrl->zns[i].zones)
			goto no_memory;
	}
	if (!ctrl->zns)
		goto no_memory;
	emu_nvme_zns_wiped(ctrl, NSDK_NVME_NSID_ALL);
	return 0;

no_memory:
	return nsdk_fail(-ENOMEM, EMU_NVME_ROOM,
			 "emu:nvme: no memory for %llu zones; say a larger zone=",
			 (unsigned long long)zones);
}

void emu_nvme_zns_destroy(struct emu_nvme *ctrl)
{
	for (unsigned i = 0; ctrl->zns && i < ctrl->opts.namespaces; i++)
		free(ctrl->zns[i].zones);
	free(ctrl->zns);
	pthread_mutex_destroy(&ctrl->zns_lock);
}

/* ---- States ---- */

static bool is_open(const struct emu_nvme_zone *zone)
{
	return zone->state == NSDK_NVME_ZONE_IMPLICITLY_OPEN ||
	       zone->state == NSDK_NVME_ZONE_EXPLICITLY_OPEN;
}

static bool is_active(const struct emu_nvme_zone *zone)
{
	return is_open(zone) || zone->state == NSDK_NVME_ZONE_CLOSED;
}

/* The one place where a state changes, and with it what is counted. */
static void change(struct emu_nvme_zns *zns, struct emu_nvme_zone *zone,
		   enum nsdk_nvme_zone_state state)
{
	zns->open -= is_open(zone);
	zns->active -= is_active(zone);
	if (!is_open(zone))
		zone->opening = ++zns->openings;
	zone->state = (uint8_t)state;
	zns->open += is_open(zone);
	zns->active += is_active(zone);
}

static void make_empty(struct emu_nvme_zns *zns, struct emu_nvme_zone *zone)
{
	change(zns, zone, NSDK_NVME_ZONE_EMPTY);
	zone->wp = 0;
	zone->attributes = 0;
	memset(zone->ext, 0, sizeof(zone->ext));
}

/* Room for one more that is open: one that was opened implicitly may have to go. */
static uint16_t make_room(struct emu_nvme *ctrl, struct emu_nvme_zns *zns, uint32_t count)
{
	struct emu_nvme_zone *oldest = NULL;

	if (!ctrl->opts.max_open || zns->open < ctrl->opts.max_open)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		if (zns->zones[i].state == NSDK_NVME_ZONE_IMPLICITLY_OPEN &&
		    (!oldest || zns->zones[i].opening < oldest->opening))
			oldest = &zns->zones[i];
	if (!oldest)
		return SPECIFIC(TOO_MANY_OPEN_ZONES);
	change(zns, oldest, NSDK_NVME_ZONE_CLOSED);
	return 0;
}

/* To one of the open states, or to CLOSED from EMPTY. */
static uint16_t activate(struct emu_nvme *ctrl, uint32_t nsid, struct emu_nvme_zone *zone,
			 enum nsdk_nvme_zone_state state)
{
	struct emu_nvme_zns *zns = &ctrl->zns[nsid - 1];
	uint16_t status = 0;

	if (!is_active(zone) && ctrl->opts.max_active && zns->active >= ctrl->opts.max_active)
		return SPECIFIC(TOO_MANY_ACTIVE_ZONES);
	if (!is_open(zone) && state != NSDK_NVME_ZONE_CLOSED)
		status = make_room(ctrl, zns, emu_nvme_zones(ctrl, nsid));
	if (!status)
		change(zns, zone, state);
	return status;
}

/* Power goes, or the host says that it will: what is open is not any more. */
void emu_nvme_zns_shutdown(struct emu_nvme *ctrl)
{
	if (!ctrl->zns)
		return;
	emu_nvme_zns_lock(ctrl);
	for (uint32_t nsid = 1; nsid <= ctrl->opts.namespaces; nsid++) {
		struct emu_nvme_zns *zns = &ctrl->zns[nsid - 1];

		for (uint32_t i = 0; i < emu_nvme_zones(ctrl, nsid); i++) {
			struct emu_nvme_zone *zone = &zns->zones[i];

			if (is_active(zone) && zone->wp == 0 &&
			    !(zone->attributes & NSDK_NVME_ZONE_DESC_EXT_VALID))
				make_empty(zns, zone);
			else if (is_open(zone))
				change(zns, zone, NSDK_NVME_ZONE_CLOSED);
		}
	}
	emu_nvme_zns_unlock(ctrl);
}

/* ---- Reads and writes ---- */

uint16_t emu_nvme_zns_check_read(struct emu_nvme *ctrl, uint32_t nsid, uint64_t lba,
				 uint64_t blocks)
{
	uint64_t size = emu_nvme_zone_blocks(ctrl);
	uint16_t status = 0;

	if (!ctrl->zns || blocks == 0)
		return 0;
	if (lba / size != (lba + blocks - 1) / size && !ctrl->opts.zone_cross)
		return SPECIFIC(ZONE_BOUNDARY_ERROR);
	emu_nvme_zns_lock(ctrl);
	for (uint64_t i = lba / size; i <= (lba + blocks - 1) / size; i++)
		if (ctrl->zns[nsid - 1].zones[i].state == NSDK_NVME_ZONE_IS_OFFLINE)
			status = SPECIFIC(ZONE_IS_OFFLINE);
	emu_nvme_zns_unlock(ctrl);
	return status;
}

static uint16_t check_write(const struct emu_nvme *ctrl, const struct emu_nvme_zone *zone,
			    uint64_t at,
			    uint64_t blocks, bool append)
{
	switch (zone->state) {
	case NSDK_NVME_ZONE_FULL:
		return SPECIFIC(ZONE_IS_FULL);
	case NSDK_NVME_ZONE_READ_ONLY:
		return SPECIFIC(ZONE_IS_READ_ONLY);
	case NSDK_NVME_ZONE_IS_OFFLINE:
		return SPECIFIC(ZONE_IS_OFFLINE);
	default:
		break;
	}
	if (append && at != 0)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!append && at != zone->wp)
		return SPECIFIC(ZONE_INVALID_WRITE);
	return blocks > cap_blocks(ctrl) - zone->wp ? SPECIFIC(ZONE_BOUNDARY_ERROR) : 0;
}

uint16_t emu_nvme_zns_begin_write(struct emu_nvme *ctrl, uint32_t nsid, uint64_t *lba,
				  uint64_t blocks,
				  bool append)
{
	uint64_t size, start;
	struct emu_nvme_zone *zone;
	uint16_t status;

	if (!ctrl->zns || blocks == 0)
		return 0;
	size = emu_nvme_zone_blocks(ctrl);
	start = *lba / size * size;
	zone = &ctrl->zns[nsid - 1].zones[*lba / size];
	emu_nvme_zns_lock(ctrl);
	status = check_write(ctrl, zone, *lba - start, blocks, append);
	if (!status && !is_open(zone))
		status = activate(ctrl, nsid, zone, NSDK_NVME_ZONE_IMPLICITLY_OPEN);
	if (status) {
		emu_nvme_zns_unlock(ctrl);
		return status;
	}
	*lba = start + zone->wp;
	return 0;
}

void emu_nvme_zns_end_write(struct emu_nvme *ctrl, uint32_t nsid, uint64_t lba, uint64_t blocks,
			    uint16_t status)
{
	struct emu_nvme_zone *zone;

	if (!ctrl->zns || blocks == 0)
		return;
	zone = &ctrl->zns[nsid - 1].zones[lba / emu_nvme_zone_blocks(ctrl)];
	if (!status) {
		zone->wp += blocks;
		if (zone->wp == cap_blocks(ctrl))
			change(&ctrl->zns[nsid - 1], zone, NSDK_NVME_ZONE_FULL);
	}
	emu_nvme_zns_unlock(ctrl);
}

/* ---- Zone Management Send ---- */

static uint16_t reset(struct emu_nvme *ctrl, uint32_t nsid, struct emu_nvme_zone *zone)
{
	struct emu_nvme_zns *zns = &ctrl->zns[nsid - 1];
	uint64_t offset = (nsid - 1) * ctrl->opts.size_bytes +
			  (uint64_t)(zone - zns->zones) * ctrl->opts.zone_bytes;
	uint16_t status = 0;

	/* What was written there is zeroes from now on, as DLFEAT says. */
	if (zone->wp)
		status = emu_nvme_store_zero(&ctrl->store, offset, ctrl->opts.zone_bytes);
	if (!status)
		make_empty(zns, zone);
	return status;
}

/* One zone, by its own address. */
static uint16_t act(struct emu_nvme *ctrl, uint32_t nsid, struct emu_nvme_zone *zone,
		    unsigned action)
{
	struct emu_nvme_zns *zns = &ctrl->zns[nsid - 1];

	switch (action) {
	case NSDK_NVME_ZONE_OPEN:
		if (is_active(zone) || zone->state == NSDK_NVME_ZONE_EMPTY)
			return activate(ctrl, nsid, zone, NSDK_NVME_ZONE_EXPLICITLY_OPEN);
		break;
	case NSDK_NVME_ZONE_CLOSE:
		if (is_open(zone))
			change(zns, zone, NSDK_NVME_ZONE_CLOSED);
		if (zone->state == NSDK_NVME_ZONE_CLOSED)
			return 0;
		break;
	case NSDK_NVME_ZONE_FINISH:
		if (is_active(zone) || zone->state == NSDK_NVME_ZONE_EMPTY)
			change(zns, zone, NSDK_NVME_ZONE_FULL);
		if (zone->state == NSDK_NVME_ZONE_FULL)
			return 0;
		break;
	case NSDK_NVME_ZONE_RESET:
		if (zone->state == NSDK_NVME_ZONE_EMPTY)
			return 0;
		if (is_active(zone) || zone->state == NSDK_NVME_ZONE_FULL)
			return reset(ctrl, nsid, zone);
		break;
	default: /* offline */
		if (zone->state == NSDK_NVME_ZONE_READ_ONLY)
			change(zns, zone, NSDK_NVME_ZONE_IS_OFFLINE);
		if (zone->state == NSDK_NVME_ZONE_IS_OFFLINE)
			return 0;
		break;
	}
	return SPECIFIC(ZONE_INVALID_TRANSITION);
}

/* Whether Select All means a zone in this state (ZNS figure 40). */
static bool is_selected(const struct emu_nvme_zone *zone, unsigned action)
{
	switch (action) {
	case NSDK_NVME_ZONE_OPEN:
		return zone->state == NSDK_NVME_ZONE_CLOSED;
	case NSDK_NVME_ZONE_CLOSE:
		return is_open(zone);
	case NSDK_NVME_ZONE_FINISH:
		return is_active(zone);
	case NSDK_NVME_ZONE_RESET:
		return is_active(zone) || zone->state == NSDK_NVME_ZONE_FULL;
	default:
		return zone->state == NSDK_NVME_ZONE_READ_ONLY;
	}
}

static uint16_t act_on_all(struct emu_nvme *ctrl, uint32_t nsid, unsigned action)
{
	struct emu_nvme_zns *zns = &ctrl->zns[nsid - 1];
	uint32_t count = emu_nvme_zones(ctrl, nsid), closed = 0;
	uint16_t status = 0;

	/* All of them, or none: those that are open implicitly may not make room here. */
	for (uint32_t i = 0; i < count; i++)
		closed += zns->zones[i].state == NSDK_NVME_ZONE_CLOSED;
	if (action == NSDK_NVME_ZONE_OPEN && ctrl->opts.max_open &&
	    zns->open + closed > ctrl->opts.max_open)
		return SPECIFIC(TOO_MANY_OPEN_ZONES);
	for (uint32_t i = 0; i < count && !status; i++)
		if (is_selected(&zns->zones[i], action))
			status = act(ctrl, nsid, &zns->zones[i], action);
	return status;
}

static uint16_t set_ext(struct emu_nvme *ctrl, uint32_t nsid, struct emu_nvme_zone *zone,
			const uint8_t *ext)
{
	uint16_t status;

	if (zone->state != NSDK_NVME_ZONE_EMPTY)
		return SPECIFIC(ZONE_INVALID_TRANSITION);
	status = activate(ctrl, nsid, zone, NSDK_NVME_ZONE_CLOSED);
	if (status)
		return status;
	memcpy(zone->ext, ext, sizeof(zone->ext));
	zone->attributes |= NSDK_NVME_ZONE_DESC_EXT_VALID;
	return 0;
}

uint16_t emu_nvme_zns_mgmt_send(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	unsigned action = cmd->cdw13 & 0xff;
	bool all = cmd->cdw13 & NSDK_NVME_ZONE_SELECT_ALL, extends = action == NSDK_NVME_ZONE_SET_DESC_EXT;
	uint64_t size = emu_nvme_zone_blocks(ctrl);
	uint8_t ext[EMU_NVME_ZONE_EXT_BYTES];
	struct emu_nvme_zone *zone;
	uint16_t status = 0;

	req->lba = (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
	if ((action < NSDK_NVME_ZONE_CLOSE || action > NSDK_NVME_ZONE_OFFLINE) && !extends)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (all && extends)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!all && req->lba >= ctrl->namespaces[cmd->nsid - 1].blocks)
		return EMU_NVME_GENERIC(LBA_OUT_OF_RANGE);
	if (!all && req->lba % size)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (extends)
		status = emu_nvme_data_begin(req, sizeof(ext));
	if (extends && !status)
		status = emu_nvme_data_from_host(req, ext, sizeof(ext));
	if (status)
		return status;
	zone = all ? NULL : &ctrl->zns[cmd->nsid - 1].zones[req->lba / size];
	emu_nvme_zns_lock(ctrl);
	if (all)
		status = act_on_all(ctrl, cmd->nsid, action);
	else if (extends)
		status = set_ext(ctrl, cmd->nsid, zone, ext);
	else
		status = act(ctrl, cmd->nsid, zone, action);
	emu_nvme_zns_unlock(ctrl);
	return status;
}
