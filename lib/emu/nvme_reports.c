/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the controller tells of itself and its blocks on request: telemetry, asymmetric namespace access, and
 * which blocks cannot be read.
 *
 * Telemetry is made up: its data says nothing but when it was taken, so that a host can tell whether it got
 * all of it, and of one time. There is nothing that the controller would want to tell by itself.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <string.h>

#include <nsdk/log.h>

#define BLOCK_BYTES 512u
#define CDW10_CREATE 0x100u /* log specific: take telemetry now */
/* The last blocks of the three data areas, each of which has those before it in it. */
static const uint16_t areas[3] = { 2, 4, EMU_NVME_TELEMETRY_BLOCKS };

#define ANA_GROUP 1u
#define ANA_OPTIMIZED 1u
#define ANA_TELLS 0x1u      /* ANACAP: that state */
#define CMIC_ANA 0x8u
#define ANATT_SECONDS 10u
#define ANA_GROUPS_ONLY 0x100u /* log specific: without the namespaces */

#define ATYPE_SCANNED 0x10u
#define ATYPE_KNOWN 0x11u
#define CMPC_NO_ROOM 1u
#define CMPC_DONE 2u

int emu_nvme_reports_init(struct emu_nvme *ctrl)
{
	uint64_t bytes = (uint64_t)1 << ctrl->lba_shift;

	if (!ctrl->opts.any_bad)
		return 0;
	if (ctrl->opts.bad >= ctrl->opts.size_bytes / bytes)
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM, "emu:nvme: bad=%llu: a namespace has %llu blocks",
				 (unsigned long long)ctrl->opts.bad,
				 (unsigned long long)(ctrl->opts.size_bytes / bytes));
	for (unsigned i = 0; i < ctrl->opts.namespaces; i++)
		emu_nvme_store_spoil(&ctrl->store, i * ctrl->opts.size_bytes + ctrl->opts.bad * bytes, bytes);
	return 0;
}

static size_t telemetry(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd, uint8_t *out)
{
	bool host = (cmd->cdw10 & 0xff) == NSDK_NVME_LOG_TELEMETRY_HOST;
	struct nsdk_nvme_telemetry_header header = { .lid = (uint8_t)cmd->cdw10 };
	size_t blocks = 0;

	if (host && (cmd->cdw10 & CDW10_CREATE))
		/* 0 is before the first. */
		ctrl->telemetry_generation += ctrl->telemetry_generation == UINT8_MAX ? 2 : 1;
	header.host_generation = ctrl->telemetry_generation;
	if (host && ctrl->telemetry_generation) {
		memcpy(header.last_block, areas, sizeof(areas));
		blocks = EMU_NVME_TELEMETRY_BLOCKS;
	}
	memcpy(out, &header, sizeof(header));
	for (size_t i = 1; i <= blocks; i++) {
		memset(out + i * BLOCK_BYTES, ctrl->telemetry_generation, BLOCK_BYTES);
		out[i * BLOCK_BYTES] = (uint8_t)i;
	}
	return (blocks + 1) * BLOCK_BYTES;
}

static size_t ana(const struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd, uint8_t *out)
{
	struct nsdk_nvme_ana_header header = { .groups = 1 };
	struct nsdk_nvme_ana_group group = { .group = ANA_GROUP, .state = ANA_OPTIMIZED };
	uint8_t *nsids = out + sizeof(header) + sizeof(group);

	for (uint32_t nsid = 1; nsid <= ctrl->opts.namespaces && !(cmd->cdw10 & ANA_GROUPS_ONLY); nsid++)
		if (emu_nvme_ns_attached(ctrl, nsid))
			memcpy(nsids + 4 * group.namespaces++, &nsid, sizeof(nsid));
	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), &group, sizeof(group));
	return (size_t)(nsids - out) + 4 * (size_t)group.namespaces;
}

void emu_nvme_reports_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ctrl *id)
{
	id->oacs |= NSDK_NVME_OACS_GET_LBA_STATUS;
	id->lpa |= NSDK_NVME_LPA_TELEMETRY;
	if (!ctrl->opts.ana)
		return;
	id->cmic |= CMIC_ANA;
	id->anatt = ANATT_SECONDS;
	id->anacap = ANA_TELLS;
	id->anagrpmax = ANA_GROUP;
	id->nanagrpid = 1;
	if (ctrl->opts.fault == EMU_NVME_FAULT_IDENTIFY) {
		id->nanagrpid = UINT32_MAX;
		id->mnan = UINT32_MAX;
	}
}

bool emu_nvme_reports_is_log(const struct emu_nvme *ctrl, unsigned page)
{
	return page == NSDK_NVME_LOG_TELEMETRY_HOST || page == NSDK_NVME_LOG_TELEMETRY_CTRLR ||
	       (page == NSDK_NVME_LOG_ANA && ctrl->opts.ana);
}

size_t emu_nvme_reports_log(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd, uint8_t *out)
{
	return (cmd->cdw10 & 0xff) == NSDK_NVME_LOG_ANA ? ana(ctrl, cmd, out) : telemetry(ctrl, cmd, out);
}

/* The next range of blocks that cannot be read, from @p at to before @p end. @return whether there is one. */
static bool next_range(struct emu_nvme *ctrl, uint64_t place, uint64_t at, uint64_t end,
		       struct nsdk_nvme_lba_status_descriptor *out)
{
	uint64_t bytes = (uint64_t)1 << ctrl->lba_shift;

	*out = (struct nsdk_nvme_lba_status_descriptor){ 0 };
	for (; at < end; at++) {
		bool bad = emu_nvme_store_verify(&ctrl->store, place + at * bytes, bytes) != 0;

		if (bad && out->blocks == 0)
			out->slba = at;
		else if (!bad && out->blocks)
			break;
		out->blocks += bad;
	}
	return out->blocks;
}

int emu_nvme_get_lba_status(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	uint64_t at = (uint64_t)cmd->cdw11 << 32 | cmd->cdw10, room = ((uint64_t)cmd->cdw12 + 1) * 4;
	unsigned action = cmd->cdw13 >> 24, length = cmd->cdw13 & 0xffff;
	struct nsdk_nvme_lba_status_descriptor found[EMU_NVME_LBA_STATUS_RANGES];
	struct nsdk_nvme_lba_status status = { .condition = CMPC_DONE };
	uint8_t reply[sizeof(status) + sizeof(found)];
	uint64_t place, end;

	if (!emu_nvme_ns_attached(ctrl, cmd->nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	if ((action != ATYPE_SCANNED && action != ATYPE_KNOWN) || room < sizeof(status) ||
	    emu_nvme_data_exceeds(ctrl, room))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	end = ctrl->namespaces[cmd->nsid - 1].blocks;
	if (at >= end)
		return EMU_NVME_GENERIC(LBA_OUT_OF_RANGE);
	if (length && length < end - at)
		end = at + length;
	/* Without any there is nothing to look for. */
	if (!atomic_load(&ctrl->store.any_bad))
		at = end;
	place = (cmd->nsid - 1) * ctrl->opts.size_bytes;
	while (status.count <= EMU_NVME_LBA_STATUS_RANGES) {
		struct nsdk_nvme_lba_status_descriptor next;

		if (!next_range(ctrl, place, at, end, &next))
			break;
		if (status.count == EMU_NVME_LBA_STATUS_RANGES ||
		    sizeof(status) + (status.count + 1) * sizeof(next) > room) {
			status.condition = CMPC_NO_ROOM;
			break;
		}
		found[status.count++] = next;
		at = next.slba + next.blocks;
	}
	memcpy(reply, &status, sizeof(status));
	memcpy(reply + sizeof(status), found, status.count * sizeof(found[0]));
	return emu_nvme_data_reply(req, reply, sizeof(status) + status.count * sizeof(found[0]), room);
}
