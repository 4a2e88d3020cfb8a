/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get Log Page (Base 5.16).
 */
#include <string.h>

#include <nsdk/env.h>

#include "nvme_fdp.h"
#include "nvme_zns.h"

#define LOG_SUPPORTED 0x00
#define LOG_FEATURES 0x12

#define MAX_LOG_BYTES 8192u

#define CDW10_RAE 0x8000u /* retain the asynchronous event */

#define FSUPP 0x1u
#define FEATURE_OF_NAMESPACE 0x100000u /* scopes of Base figure 256 */
#define FEATURE_OF_CONTROLLER 0x200000u
#define FEATURE_OF_ENDURANCE_GROUP 0x800000u

static const uint8_t log_pages[] = {
	LOG_SUPPORTED,
	NSDK_NVME_LOG_ERROR,
	NSDK_NVME_LOG_SMART,
	NSDK_NVME_LOG_FIRMWARE_SLOT,
	NSDK_NVME_LOG_CHANGED_NS,
	NSDK_NVME_LOG_COMMANDS,
	NSDK_NVME_LOG_SELF_TEST,
	LOG_FEATURES,
	NSDK_NVME_LOG_SANITIZE,
};

/* Base figure 207 */
struct smart_log {
	uint8_t critical_warning;
	uint8_t temperature[2];
	uint8_t spare, spare_threshold, used, endurance_group_warning;
	uint8_t reserved7[25];
	uint64_t units_read[2], units_written[2];
	uint64_t reads[2], writes[2];
	uint64_t busy_minutes[2];
	uint64_t power_cycles[2], power_on_hours[2], unsafe_shutdowns[2];
	uint64_t media_errors[2], error_entries[2];
	uint8_t reserved192[320];
};
_Static_assert(sizeof(struct smart_log) == 512, "Base figure 207");
_Static_assert(offsetof(struct smart_log, units_read) == 32, "Base figure 207");
_Static_assert(offsetof(struct smart_log, error_entries) == 176, "Base figure 207");

static size_t fill_supported(const struct emu_nvme *ctrl, uint8_t *out)
{
	uint32_t entry = FSUPP;

	for (size_t i = 0; i < sizeof(log_pages); i++)
		memcpy(out + log_pages[i] * sizeof(entry), &entry, sizeof(entry));
	for (unsigned page = 0; page < 256; page++)
		if (emu_nvme_fdp_is_log(ctrl, page) || emu_nvme_reports_is_log(ctrl, page))
			memcpy(out + page * sizeof(entry), &entry, sizeof(entry));
	return 1024;
}

/* The newest first. */
static size_t fill_errors(struct emu_nvme *ctrl, uint8_t *out)
{
	uint64_t count, at;

	pthread_mutex_lock(&ctrl->notes);
	count = ctrl->error_count < EMU_NVME_ERRORS ? ctrl->error_count : EMU_NVME_ERRORS;
	for (uint64_t i = 0; i < count; i++) {
		at = (ctrl->error_count - 1 - i) % EMU_NVME_ERRORS;
		memcpy(out + i * sizeof(ctrl->errors[0]), &ctrl->errors[at], sizeof(ctrl->errors[0]));
	}
	pthread_mutex_unlock(&ctrl->notes);
	return sizeof(ctrl->errors);
}

static size_t fill_smart(struct emu_nvme *ctrl, uint8_t *out)
{
	uint64_t units_read = 0, units_written = 0, minutes;
	struct smart_log log = {
		.critical_warning = (uint8_t)emu_nvme_critical_warning(ctrl),
		.temperature = { EMU_NVME_TEMPERATURE & 0xff, EMU_NVME_TEMPERATURE >> 8 },
		.spare = 100,
		.spare_threshold = 10,
		.power_cycles = { 1 },
		.unsafe_shutdowns = { ctrl->unsafe_shutdowns },
	};

	for (unsigned i = 0; i <= ctrl->opts.queues; i++) {
		const struct emu_nvme_counters *from = &ctrl->cqs[i].counters;

		units_read += atomic_load_explicit(&from->units_read, memory_order_relaxed);
		units_written += atomic_load_explicit(&from->units_written, memory_order_relaxed);
		log.reads[0] += atomic_load_explicit(&from->reads, memory_order_relaxed);
		log.writes[0] += atomic_load_explicit(&from->writes, memory_order_relaxed);
		log.media_errors[0] += atomic_load_explicit(&from->media_errors, memory_order_relaxed);
	}
	/* Data units are thousands of 512 bytes, rounded up. */
	log.units_read[0] = (units_read + 999) / 1000;
	log.units_written[0] = (units_written + 999) / 1000;
	minutes = (nsdk_clock_ns() - ctrl->power_on_ns) / 60000000000u;
	log.power_on_hours[0] = minutes / 60;
	pthread_mutex_lock(&ctrl->notes);
	log.error_entries[0] = ctrl->error_count;
	pthread_mutex_unlock(&ctrl->notes);
	memcpy(out, &log, sizeof(log));
	return sizeof(log);
}

static size_t fill_commands(const struct emu_nvme *ctrl, unsigned csi, uint8_t *out)
{
	uint32_t effects;

	for (unsigned opcode = 0; opcode < 256; opcode++) {
		effects = emu_nvme_admin_effects(opcode) | emu_nvme_fdp_admin_effects(ctrl, opcode);
		memcpy(out + opcode * 4, &effects, 4);
		effects = emu_nvme_io_effects(opcode) | emu_nvme_fdp_effects(ctrl, opcode);
		if (csi == NSDK_NVME_CSI_ZNS)
			effects |= emu_nvme_zns_effects(opcode);
		memcpy(out + 1024 + opcode * 4, &effects, 4);
	}
	return 4096;
}

static uint32_t scope(unsigned fid)
{
	switch (fid) {
	case NSDK_NVME_FEAT_ERROR_RECOVERY:
	case NSDK_NVME_FEAT_FDP_EVENTS:
		return FEATURE_OF_NAMESPACE;
	case NSDK_NVME_FEAT_FDP:
		return FEATURE_OF_ENDURANCE_GROUP;
	default:
		return FEATURE_OF_CONTROLLER;
	}
}

static size_t fill_features(const struct emu_nvme *ctrl, uint8_t *out)
{
	uint32_t effects;

	for (unsigned fid = 0; fid < 256; fid++) {
		if (!emu_nvme_feature_exists(ctrl, fid))
			continue;
		effects = FSUPP | scope(fid);
		memcpy(out + fid * 4, &effects, 4);
	}
	return 1024;
}

int emu_nvme_get_log_page(struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	struct emu_nvme *ctrl = req->ctrl;
	unsigned page = cmd->cdw10 & 0xff;
	uint64_t dwords = ((uint64_t)(cmd->cdw11 & 0xffff) << 16 | cmd->cdw10 >> 16) + 1;
	uint64_t offset = (uint64_t)cmd->cdw13 << 32 | cmd->cdw12;
	uint8_t log[MAX_LOG_BYTES] = { 0 };
	uint16_t status;
	size_t bytes;

	if (memchr(log_pages, (int)page, sizeof(log_pages)) == NULL && !emu_nvme_fdp_is_log(ctrl, page) &&
	    !emu_nvme_reports_is_log(ctrl, page))
		return EMU_NVME_SPECIFIC(INVALID_LOG_PAGE);
	/* None of them is of one namespace. */
	if (cmd->nsid != 0 && cmd->nsid != NSDK_NVME_NSID_ALL)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (emu_nvme_data_exceeds(ctrl, dwords * 4))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (page == NSDK_NVME_LOG_COMMANDS && cmd->cdw14 >> 24 &&
	    (!ctrl->zns || cmd->cdw14 >> 24 != NSDK_NVME_CSI_ZNS))
		return EMU_NVME_GENERIC(INVALID_FIELD); /* another command set */
	switch (page) {
	case LOG_SUPPORTED:
		bytes = fill_supported(ctrl, log);
		break;
	case NSDK_NVME_LOG_ERROR:
		bytes = fill_errors(ctrl, log);
		break;
	case NSDK_NVME_LOG_SMART:
		bytes = fill_smart(ctrl, log);
		break;
	case NSDK_NVME_LOG_FIRMWARE_SLOT:
		bytes = emu_nvme_firmware_log(ctrl, log);
		break;
	case NSDK_NVME_LOG_CHANGED_NS:
		bytes = emu_nvme_changed_list(ctrl, log);
		break;
	case NSDK_NVME_LOG_SELF_TEST:
		bytes = emu_nvme_self_test_log(ctrl, log);
		break;
	case NSDK_NVME_LOG_SANITIZE:
		bytes = emu_nvme_sanitize_log(ctrl, log);
		break;
	case NSDK_NVME_LOG_COMMANDS:
		bytes = fill_commands(ctrl, cmd->cdw14 >> 24, log);
		break;
	case NSDK_NVME_LOG_TELEMETRY_HOST:
	case NSDK_NVME_LOG_TELEMETRY_CTRLR:
	case NSDK_NVME_LOG_ANA:
		bytes = emu_nvme_reports_log(ctrl, cmd, log);
		break;
	case LOG_FEATURES:
		bytes = fill_features(ctrl, log);
		break;
	default:
		status = emu_nvme_fdp_log(req, page, log, &bytes);
		if (status)
			return status;
		break;
	}
	if (offset % 4 || offset > bytes)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	status = emu_nvme_data_reply(req, log + offset, bytes - offset, dwords * 4);
	if (!status && !(cmd->cdw10 & CDW10_RAE))
		emu_nvme_event_unmask(ctrl, page);
	return status;
}
