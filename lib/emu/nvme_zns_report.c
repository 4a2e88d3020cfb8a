/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What zoned namespaces say of themselves: Zone Management Receive (ZNS 3.4.2) and Identify (ZNS 4.1.5).
 */
#include <string.h>

#include "nvme_zns.h"

/* Commands Supported and Effects (Base figure 211): supported, changes logical blocks. */
#define SUPPORTED 0x1u
#define CHANGES_BLOCKS 0x2u

#define NO_LIMIT UINT32_MAX

/* ---- Identify ---- */

void emu_nvme_zns_identify_ns(const struct emu_nvme *ctrl, void *out)
{
	struct nsdk_nvme_id_ns_zns *id = out;

	id->ozcs = ctrl->opts.zone_cross ? NSDK_NVME_OZCS_READ_ACROSS : 0;
	id->mar = ctrl->opts.max_active ? ctrl->opts.max_active - 1 : NO_LIMIT;
	id->mor = ctrl->opts.max_open ? ctrl->opts.max_open - 1 : NO_LIMIT;
	for (unsigned i = 0; i < emu_nvme_formats(ctrl); i++) {
		id->lbafe[i].zsze = ctrl->opts.zone_bytes >> (i ? 12 : 9);
		id->lbafe[i].zdes = EMU_NVME_ZONE_EXT_BYTES / 64;
	}
}

void emu_nvme_zns_identify_ctrlr(const struct emu_nvme *ctrl, void *out)
{
	struct nsdk_nvme_id_ctrl_zns *id = out;

	id->zasl = (uint8_t)ctrl->opts.zasl;
}

bool emu_nvme_append_exceeds(const struct emu_nvme *ctrl, uint64_t bytes)
{
	return ctrl->opts.zasl && bytes > (uint64_t)EMU_NVME_PAGE << ctrl->opts.zasl;
}

uint32_t emu_nvme_zns_effects(unsigned opcode)
{
	switch (opcode) {
	case NSDK_NVME_ZNS_MGMT_RECEIVE:
		return SUPPORTED;
	case NSDK_NVME_ZNS_MGMT_SEND:
	case NSDK_NVME_ZNS_APPEND:
		return SUPPORTED | CHANGES_BLOCKS;
	default:
		return 0;
	}
}

/* ---- Reports ---- */

static bool matches(const struct emu_nvme_zone *zone, unsigned filter)
{
	static const uint8_t states[] = {
		[NSDK_NVME_ZONES_EMPTY] = NSDK_NVME_ZONE_EMPTY,
		[NSDK_NVME_ZONES_IMPLICITLY_OPEN] = NSDK_NVME_ZONE_IMPLICITLY_OPEN,
		[NSDK_NVME_ZONES_EXPLICITLY_OPEN] = NSDK_NVME_ZONE_EXPLICITLY_OPEN,
		[NSDK_NVME_ZONES_CLOSED] = NSDK_NVME_ZONE_CLOSED,
		[NSDK_NVME_ZONES_FULL] = NSDK_NVME_ZONE_FULL,
		[NSDK_NVME_ZONES_READ_ONLY] = NSDK_NVME_ZONE_READ_ONLY,
		[NSDK_NVME_ZONES_OFFLINE] = NSDK_NVME_ZONE_IS_OFFLINE,
	};

	return filter == NSDK_NVME_ZONES_ALL || zone->state == states[filter];
}

static void describe(const struct emu_nvme *ctrl, uint64_t index, const struct emu_nvme_zone *zone,
		     struct nsdk_nvme_zone_desc *out)
{
	bool has_pointer = zone->state < NSDK_NVME_ZONE_READ_ONLY;

	*out = (struct nsdk_nvme_zone_desc){
		.type = NSDK_NVME_ZONE_SEQWRITE_REQUIRED,
		.state = (uint8_t)(zone->state << 4),
		.attributes = zone->attributes,
		.zcap = ctrl->opts.zone_cap_bytes >> ctrl->lba_shift,
		.zslba = index * emu_nvme_zone_blocks(ctrl),
	};
	out->wp = has_pointer ? out->zslba + zone->wp : UINT64_MAX;
}

static uint16_t fill_zeroes(struct emu_nvme_req *req, uint64_t bytes)
{
	static const uint8_t zeroes[EMU_NVME_PAGE];
	uint16_t status = 0;
	uint64_t part;

	for (; bytes > 0 && !status; bytes -= part) {
		part = bytes < sizeof(zeroes) ? bytes : sizeof(zeroes);
		status = emu_nvme_data_to_host(req, zeroes, part);
	}
	return status;
}

/* The zones from an index on that match, as many as there is room for; its lock is held. */
static uint16_t report(struct emu_nvme_req *req, uint32_t from, unsigned filter, bool extended,
		       bool partial, uint64_t bytes)
{
	const struct emu_nvme *ctrl = req->ctrl;
	const struct emu_nvme_zone *zones = ctrl->zns[req->cmd->nsid - 1].zones;
	uint32_t count = emu_nvme_zones(ctrl, req->cmd->nsid);
	struct nsdk_nvme_zone_report_header header = { 0 };
	size_t each = sizeof(struct nsdk_nvme_zone_desc) + (extended ? EMU_NVME_ZONE_EXT_BYTES : 0);
	uint64_t room = (bytes - sizeof(header)) / each, left = bytes - sizeof(header);
	uint16_t status;

	for (uint32_t i = from; i < count; i++)
		header.zones += matches(&zones[i], filter);
	if (partial && header.zones > room)
		header.zones = room;
	status = emu_nvme_data_to_host(req, &header, sizeof(header));
	for (uint32_t i = from; i < count && left >= each && !status; i++) {
		struct nsdk_nvme_zone_desc desc;

		if (!matches(&zones[i], filter))
			continue;
		describe(ctrl, i, &zones[i], &desc);
		status = emu_nvme_data_to_host(req, &desc, sizeof(desc));
		if (!status && extended)
			status = emu_nvme_data_to_host(req, zones[i].ext, EMU_NVME_ZONE_EXT_BYTES);
		left -= each;
	}
	return status ? status : fill_zeroes(req, left);
}

uint16_t emu_nvme_zns_mgmt_receive(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	uint64_t bytes = ((uint64_t)cmd->cdw12 + 1) * 4;
	unsigned action = cmd->cdw13 & 0xff, filter = cmd->cdw13 >> 8 & 0xff;
	uint16_t status;

	req->lba = (uint64_t)cmd->cdw11 << 32 | cmd->cdw10;
	if (action > NSDK_NVME_ZONE_REPORT_EXTENDED || filter > NSDK_NVME_ZONES_OFFLINE ||
	    bytes < sizeof(struct nsdk_nvme_zone_report_header) || emu_nvme_data_exceeds(ctrl,
											 bytes))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (req->lba >= ctrl->namespaces[cmd->nsid - 1].blocks)
		return EMU_NVME_GENERIC(LBA_OUT_OF_RANGE);
	status = emu_nvme_data_begin(req, bytes);
	if (status)
		return status;
	emu_nvme_zns_lock(ctrl);
	status = report(req, (uint32_t)(req->lba / emu_nvme_zone_blocks(ctrl)), filter,
			action == NSDK_NVME_ZONE_REPORT_EXTENDED,
			cmd->cdw13 & NSDK_NVME_ZONE_REPORT_PARTIAL, bytes);
	emu_nvme_zns_unlock(ctrl);
	return status;
}
