/* SPDX-License-Identifier: BSD-3-Clause */
/* Directives and flexible data placement as the model has them: identifiers, units, what is counted. */
#include "nvme_host.h"

#include <nsdk/nvme_fdp_spec.h>

#define OPTIONS "size=1M,namespaces=2,fdp=1,fdp_rg=3,fdp_ruh=4,fdp_runs=8K"
#define UNIT 16u /* blocks */
#define DISABLED NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_FDP_DISABLED)

static struct host_queue io;
static uint8_t *data;

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 32);
	data = host_pages(4 * HOST_PAGE);
}

/* Group in the upper two bits. */
static uint16_t pid(unsigned group, unsigned handle)
{
	return (uint16_t)(group << 14 | handle);
}

static int command(unsigned opcode, uint32_t nsid, uint32_t blocks, unsigned type, uint16_t spec)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, nsid, 0, blocks, host_iova(data),
					   host_iova(data + HOST_PAGE));

	cmd.cdw12 |= NSDK_NVME_RW_DTYPE(type);
	cmd.cdw13 = (uint32_t)spec << NSDK_NVME_RW_DSPEC_SHIFT;
	return host_run(&io, &cmd);
}

static int put(uint32_t nsid, uint32_t blocks, uint16_t spec)
{
	return command(NSDK_NVME_NVM_WRITE, nsid, blocks, NSDK_NVME_DIRECTIVE_PLACEMENT, spec);
}

static int receive(uint32_t nsid, unsigned operation, uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_IO_MGMT_RECEIVE, .nsid = nsid,
				     .cdw10 = operation, .cdw11 = bytes / 4 - 1, .prp1 = host_iova(data),
				     .prp2 = host_iova(data + HOST_PAGE) };

	memset(data, 0xee, 4 * HOST_PAGE);
	return host_run(&io, &cmd);
}

static const struct nsdk_nvme_ruh_status *desc(unsigned index)
{
	return (const struct nsdk_nvme_ruh_status *)(const void *)(data + 16) + index;
}

/* Blocks that are left of an identifier's unit. */
static unsigned left(uint32_t nsid, uint16_t of)
{
	NSDK_ASSERT_INT(receive(nsid, NSDK_NVME_IO_MGMT_RUH_STATUS, 16 + 12 * 32), 0);
	for (unsigned i = 0; i < 12; i++)
		if (desc(i)->pid == of)
			return (unsigned)desc(i)->ruamw;
	CU_FAIL("there is no such identifier");
	return 0;
}

static int update(uint32_t nsid, unsigned count, const uint16_t *pids)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_IO_MGMT_SEND, .nsid = nsid,
				     .cdw10 = (count - 1) << 16 | NSDK_NVME_IO_MGMT_RUH_UPDATE,
				     .prp1 = host_iova(data), .prp2 = host_iova(data + HOST_PAGE) };

	memcpy(data, pids, (count < 12 ? count : 12) * sizeof(*pids));
	return host_run(&io, &cmd);
}

static int get_log(unsigned lid, unsigned lsp, unsigned endgid, uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE, .prp1 = host_iova(data),
				     .cdw10 = (bytes / 4 - 1) << 16 | lsp << 8 | lid, .cdw11 = endgid << 16 };

	memset(data, 0xee, HOST_PAGE);
	return host_run(&host.admin, &cmd);
}

static uint64_t stat(unsigned which)
{
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_STATS, 0, 1, 64), 0);
	return ((const uint64_t *)(const void *)data)[which * 2];
}

static int feature(bool set, unsigned fid, uint32_t nsid, uint32_t cdw10, uint32_t cdw11, uint32_t cdw12)
{
	struct nsdk_nvme_cmd cmd = { .opcode = set ? NSDK_NVME_ADMIN_SET_FEATURES :
						     NSDK_NVME_ADMIN_GET_FEATURES,
				     .nsid = nsid, .cdw10 = cdw10 | fid, .cdw11 = cdw11, .cdw12 = cdw12,
				     .prp1 = host_iova(data) };

	return host_run(&host.admin, &cmd);
}

static int set_events(unsigned handle, uint8_t type, bool on, bool save)
{
	data[0] = type;
	return feature(true, NSDK_NVME_FEAT_FDP_EVENTS, 1, save ? 1u << 31 : 0,
		       NSDK_NVME_FDP_EVENTS_CDW11(handle, 1), on);
}

/* Of four types. */
static int get_events(uint32_t nsid, unsigned handle)
{
	return feature(false, NSDK_NVME_FEAT_FDP_EVENTS, nsid, 0, NSDK_NVME_FDP_EVENTS_CDW11(handle, 4), 0);
}

static const struct nsdk_nvme_fdp_event *event(unsigned index)
{
	return (const struct nsdk_nvme_fdp_event *)(const void *)(data + 64) + index;
}

static unsigned events(bool of_host)
{
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_EVENTS, of_host, 1, 4096), 0);
	return *(const uint32_t *)(const void *)data;
}

/* ---- Tests ---- */

static void identifies(void)
{
	const struct nsdk_nvme_id_ctrl *id;
	const struct nsdk_nvme_id_ns *ns;

	start(OPTIONS);
	id = (const void *)data;
	ns = (const void *)data;
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, data), 0);
	CU_ASSERT((id->ctratt & NSDK_NVME_CTRATT_FDP) && (id->ctratt & NSDK_NVME_CTRATT_ENDURANCE_GROUPS) &&
		  (id->oacs & NSDK_NVME_OACS_DIRECTIVES) && id->endgidmax == 1);
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_NS, 2, data), 0);
	NSDK_ASSERT_INT(ns->endgid, 1);
	/* What is new is listed: pages, commands, features. */
	NSDK_ASSERT_INT(host_get_log(0, data, 1024, 0, false), 0);
	CU_ASSERT(data[0x20 * 4] && data[0x23 * 4] && !data[0x24 * 4]);
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_COMMANDS, data, 4096, 0, false), 0);
	CU_ASSERT(data[0x19 * 4] && data[0x1a * 4] && data[1024 + 0x12 * 4] && data[1024 + 0x1d * 4]);
	NSDK_ASSERT_INT(host_get_log(0x12, data, 1024, 0, false), 0);
	NSDK_ASSERT_INT(((uint32_t *)(void *)data)[0x1d], 0x800001);
	NSDK_ASSERT_INT(((uint32_t *)(void *)data)[0x1e], 0x100001);
	host_stop();
	/* Without it there is nothing of it. */
	start("size=1M");
	NSDK_ASSERT_INT(host_identify(NSDK_NVME_CNS_CTRLR, 0, data), 0);
	CU_ASSERT(!(id->ctratt & NSDK_NVME_CTRATT_FDP) && !(id->oacs & NSDK_NVME_OACS_DIRECTIVES));
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_CONFIGS, 0, 1, 64), HOST_SPECIFIC(INVALID_LOG_PAGE));
	NSDK_ASSERT_INT(receive(1, 1, 64), HOST_GENERIC(INVALID_OPCODE));
	NSDK_ASSERT_INT(put(1, 1, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP, 0, 0, 1, 0), HOST_GENERIC(INVALID_FIELD));
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE, .nsid = 1, .cdw11 = 1,
				     .prp1 = host_iova(data) };

	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_OPCODE));
	NSDK_ASSERT_INT(host_get_log(NSDK_NVME_LOG_COMMANDS, data, 4096, 0, false), 0);
	CU_ASSERT(!data[0x19 * 4] && !data[1024 + 0x12 * 4]);
	host_stop();
}

static void configurations_and_usage(void)
{
	const struct nsdk_nvme_fdp_config_desc *config;

	start(OPTIONS ",vwc=0");
	config = (const void *)(data + 16);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_CONFIGS, 0, 1, 16 + 64 + 16), 0);
	CU_ASSERT(data[0] == 0 && data[1] == 0);
	NSDK_ASSERT_INT(*(uint32_t *)(void *)(data + 4), 16 + 64 + 16);
	NSDK_ASSERT_INT(config->bytes, 64 + 16);
	NSDK_ASSERT_INT(config->fdpa, 0x82);
	NSDK_ASSERT_INT(config->nrg, 3);
	NSDK_ASSERT_INT(config->nruh, 4);
	NSDK_ASSERT_INT(config->maxpids, 11);
	NSDK_ASSERT_INT(config->nnss, 2);
	NSDK_ASSERT_INT(config->runs, 8192);
	CU_ASSERT(data[80] == 1 && data[92] == 1);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_USAGE, 0, 1, 8 + 32), 0);
	CU_ASSERT(data[0] == 4 && data[8] == NSDK_NVME_RUH_HOST && data[32] == NSDK_NVME_RUH_HOST);
	for (unsigned lid = NSDK_NVME_LOG_FDP_CONFIGS; lid <= NSDK_NVME_LOG_FDP_EVENTS; lid++) {
		NSDK_ASSERT_INT(get_log(lid, 0, 0, 64), HOST_GENERIC(INVALID_FIELD));
		NSDK_ASSERT_INT(get_log(lid, 0, 2, 64), HOST_GENERIC(INVALID_FIELD));
	}
	host_stop();
}

static void status_is_by_handle_then_group(void)
{
	start(OPTIONS);
	NSDK_ASSERT_INT(receive(2, NSDK_NVME_IO_MGMT_RUH_STATUS, 16 + 12 * 32), 0);
	NSDK_ASSERT_INT(*(uint16_t *)(void *)(data + 14), 12);
	for (unsigned i = 0; i < 12; i++) {
		NSDK_ASSERT_INT(desc(i)->pid, pid(i % 3, i / 3));
		/* Of the second namespace. */
		NSDK_ASSERT_INT(desc(i)->ruhid, (i / 3 + 1) % 4);
		NSDK_ASSERT_INT(desc(i)->ruamw, UNIT);
		NSDK_ASSERT_INT(desc(i)->earutr, 0);
	}
	NSDK_ASSERT_INT(data[16 + 12 * 32], 0xee);
	/* As much as there is room for, and not more. */
	NSDK_ASSERT_INT(receive(1, NSDK_NVME_IO_MGMT_RUH_STATUS, 16 + 32 + 8), 0);
	NSDK_ASSERT_INT(*(uint16_t *)(void *)(data + 14), 12);
	NSDK_ASSERT_INT(desc(1)->pid, pid(1, 0));
	NSDK_ASSERT_INT(data[16 + 32 + 8], 0xee);
	NSDK_ASSERT_INT(receive(1, NSDK_NVME_IO_MGMT_RUH_STATUS, 4), 0);
	CU_ASSERT(data[0] == 0 && data[4] == 0xee);
	NSDK_ASSERT_INT(receive(1, 0, 64), 0);
	NSDK_ASSERT_INT(data[0], 0xee);
	NSDK_ASSERT_INT(receive(1, 2, 64), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(receive(3, 1, 64), HOST_GENERIC(INVALID_NAMESPACE));
	host_stop();
}

static void writes_are_counted(void)
{
	struct nsdk_nvme_copy_range range = { .blocks = 2 };
	struct nsdk_nvme_cmd copy = { .opcode = NSDK_NVME_NVM_COPY, .nsid = 1, .cdw10 = 50 };

	start(OPTIONS);
	NSDK_ASSERT_INT(put(1, 3, pid(2, 1)), 0);
	NSDK_ASSERT_INT(left(1, pid(2, 1)), UNIT - 3);
	NSDK_ASSERT_INT(left(1, pid(1, 1)), UNIT);
	/* The same handle, by the other namespace's name. */
	NSDK_ASSERT_INT(left(2, pid(2, 0)), UNIT - 3);
	NSDK_ASSERT_INT(put(2, 1, pid(2, 0)), 0);
	NSDK_ASSERT_INT(left(1, pid(2, 1)), UNIT - 4);
	CU_ASSERT(stat(0) == 4 * 512 && stat(1) == 4 * 512 && stat(2) == 0);
	/* What says nothing goes by the first handle, in the first group. */
	NSDK_ASSERT_INT(command(NSDK_NVME_NVM_WRITE, 1, 2, 0, 0xffff), 0);
	NSDK_ASSERT_INT(left(1, 0), UNIT - 2);
	NSDK_ASSERT_INT(command(NSDK_NVME_NVM_WRITE_ZEROES, 1, 1, NSDK_NVME_DIRECTIVE_PLACEMENT, pid(0, 3)),
			0);
	NSDK_ASSERT_INT(left(1, pid(0, 3)), UNIT - 1);
	struct nsdk_nvme_cmd zeroes = host_rw(NSDK_NVME_NVM_WRITE_ZEROES, 1, 0, 4, 0, 0);

	zeroes.cdw12 |= NSDK_NVME_WZ_DEALLOCATE;
	NSDK_ASSERT_INT(host_run(&io, &zeroes), 0);
	NSDK_ASSERT_INT(left(1, 0), UNIT - 2);
	memcpy(data, &range, sizeof(range));
	copy.prp1 = host_iova(data);
	copy.cdw12 = NSDK_NVME_RW_DTYPE(NSDK_NVME_DIRECTIVE_PLACEMENT);
	copy.cdw13 = (uint32_t)pid(1, 2) << 16;
	NSDK_ASSERT_INT(host_run(&io, &copy), 0);
	NSDK_ASSERT_INT(left(1, pid(1, 2)), UNIT - 3);
	/* What fails is not counted, and other types fail. */
	CU_ASSERT_EQUAL(stat(0), (4 + 2 + 1 + 3) * 512);
	NSDK_ASSERT_INT(command(NSDK_NVME_NVM_WRITE, 1, 1, NSDK_NVME_DIRECTIVE_STREAMS, 1),
			HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(command(NSDK_NVME_NVM_WRITE_ZEROES, 1, 1, 3, 1), HOST_GENERIC(INVALID_FIELD));
	struct nsdk_nvme_cmd beyond = host_rw(NSDK_NVME_NVM_WRITE, 1, 5000, 1, host_iova(data), 0);

	NSDK_ASSERT_INT(host_run(&io, &beyond), HOST_GENERIC(LBA_OUT_OF_RANGE));
	CU_ASSERT_EQUAL(stat(0), (4 + 2 + 1 + 3) * 512);
	host_stop();
}

static void units_follow_each_other(void)
{
	static const uint16_t three[] = { 0x4001, 0x8002, 0x0000 }, wrong[] = { 0x4001, 0xc000 };
	static const uint16_t beyond[] = { 4 };

	start(OPTIONS);
	NSDK_ASSERT_INT(set_events(1, NSDK_NVME_FDP_IMPLICITLY_MODIFIED, true, false), 0);
	NSDK_ASSERT_INT(set_events(1, NSDK_NVME_FDP_NOT_FULLY_WRITTEN, true, false), 0);
	NSDK_ASSERT_INT(put(1, 8, pid(1, 1)), 0);
	/* To its very end: the next one is empty, and nothing was in the way. */
	NSDK_ASSERT_INT(put(1, 8, pid(1, 1)), 0);
	NSDK_ASSERT_INT(left(1, pid(1, 1)), UNIT);
	NSDK_ASSERT_INT(events(false), 0);
	CU_ASSERT_EQUAL(stat(2), UNIT * 512);
	NSDK_ASSERT_INT(put(1, 8, pid(1, 1)), 0);
	NSDK_ASSERT_INT(put(1, 10, pid(1, 1)), 0);
	NSDK_ASSERT_INT(left(1, pid(1, 1)), UNIT - 2);
	NSDK_ASSERT_INT(events(false), 1);
	CU_ASSERT(event(0)->type == 0x81 && event(0)->flags == 7 && event(0)->pid == pid(1, 1) &&
		  event(0)->nsid == 1 && event(0)->rgid == 1 && event(0)->ruhid == 1);
	NSDK_ASSERT_INT(events(true), 0);
	/* When it is told to; an empty one stays. */
	NSDK_ASSERT_INT(update(1, 3, three), 0);
	NSDK_ASSERT_INT(left(1, pid(1, 1)), UNIT);
	CU_ASSERT_EQUAL(stat(2), 3 * UNIT * 512);
	NSDK_ASSERT_INT(events(true), 1);
	CU_ASSERT(event(0)->type == 0 && event(0)->pid == pid(1, 1) && event(0)->ruhid == 1);
	NSDK_ASSERT_INT(update(1, 3, three), 0);
	NSDK_ASSERT_INT(events(true), 1);
	CU_ASSERT_EQUAL(stat(2), 3 * UNIT * 512);
	/* All or none. */
	NSDK_ASSERT_INT(put(1, 1, pid(1, 1)), 0);
	NSDK_ASSERT_INT(update(1, 2, wrong), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(update(1, 1, beyond), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(left(1, pid(1, 1)), UNIT - 1);
	NSDK_ASSERT_INT(update(1, 13, (const uint16_t[12]){ 0 }), HOST_GENERIC(INVALID_FIELD));
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_IO_MGMT_SEND, .nsid = 1, .cdw10 = 2 };

	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.cdw10 = 0;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	host_stop();
}

/* The first handle of the namespace takes what names none. */
static void invalid_identifiers_are_logged(void)
{
	start(OPTIONS);
	NSDK_ASSERT_INT(put(1, 1, pid(3, 0)), 0);
	NSDK_ASSERT_INT(events(true), 0);
	NSDK_ASSERT_INT(set_events(0, NSDK_NVME_FDP_INVALID_PID, true, false), 0);
	NSDK_ASSERT_INT(put(1, 1, pid(3, 0)), 0);
	NSDK_ASSERT_INT(put(1, 1, pid(0, 4)), 0);
	NSDK_ASSERT_INT(left(1, 0), UNIT - 3);
	NSDK_ASSERT_INT(events(true), 2);
	CU_ASSERT(event(0)->type == 3 && event(0)->pid == pid(3, 0) && event(0)->rgid == 0);
	CU_ASSERT(event(1)->type == 3 && event(1)->pid == pid(0, 4));
	/* The oldest go, where there is no room. */
	for (unsigned i = 0; i < 62; i++)
		NSDK_ASSERT_INT(put(1, 1, (uint16_t)(4 + i)), 0);
	NSDK_ASSERT_INT(events(true), 63);
	NSDK_ASSERT_INT(event(0)->pid, pid(0, 4));
	NSDK_ASSERT_INT(event(62)->pid, 65);
	host_stop();
}

static void events_are_chosen(void)
{
	start(OPTIONS);
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP_EVENTS, 1, 3 << 8, 0, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 7);
	NSDK_ASSERT_INT(set_events(2, NSDK_NVME_FDP_INVALID_PID, true, true), 0);
	NSDK_ASSERT_INT(set_events(2, NSDK_NVME_FDP_NOT_FULLY_WRITTEN, true, false), 0);
	memset(data, 0xee, 64);
	NSDK_ASSERT_INT(get_events(1, 2), 0);
	NSDK_ASSERT_INT(host_last.dw0, 3);
	CU_ASSERT(data[0] == 0 && data[1] == 1 && data[2] == 3 && data[3] == 1 && data[4] == 0x81 &&
		  data[5] == 0 && data[6] == 0 && data[8] == 0xee);
	/* The same handle is the second namespace's by another number. */
	NSDK_ASSERT_INT(get_events(2, 1), 0);
	NSDK_ASSERT_INT(data[1], 1);
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP_EVENTS, 1, 1 << 8, NSDK_NVME_FDP_EVENTS_CDW11(2, 4),
				0), 0);
	NSDK_ASSERT_INT(data[1], 0);
	/* After a reset there is what was saved, which was the first. */
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	NSDK_ASSERT_INT(get_events(1, 2), 0);
	CU_ASSERT(data[1] == 0 && data[3] == 1);
	NSDK_ASSERT_INT(set_events(2, 1, true, false), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(set_events(4, 0, true, false), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP_EVENTS, 1, 0, 2, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(get_events(9, 2), HOST_GENERIC(INVALID_NAMESPACE));
	host_stop();
}

static void is_turned_off_and_on(void)
{
	struct nsdk_nvme_cmd delete = { .opcode = NSDK_NVME_ADMIN_NS_MANAGEMENT, .nsid = NSDK_NVME_NSID_ALL,
					.cdw10 = 1 };

	start(OPTIONS);
	NSDK_ASSERT_INT(put(1, 1, 0), 0);
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP, 0, 3 << 8, 1, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 5);
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP, 0, 0, 1, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1);
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP, 0, 0, 2, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(feature(true, NSDK_NVME_FEAT_FDP, 0, 0, 1, 0), HOST_GENERIC(SEQUENCE_ERROR));
	NSDK_ASSERT_INT(host_run(&host.admin, &delete), 0);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_USAGE, 0, 1, 40), 0);
	NSDK_ASSERT_INT(data[8], NSDK_NVME_RUH_UNUSED);
	NSDK_ASSERT_INT(feature(true, NSDK_NVME_FEAT_FDP, 0, 0, 2, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(feature(true, NSDK_NVME_FEAT_FDP, 0, 0, 1, 0x101), HOST_GENERIC(INVALID_FIELD));
	CU_ASSERT_EQUAL(stat(0), 512);
	NSDK_ASSERT_INT(feature(true, NSDK_NVME_FEAT_FDP, 0, 1u << 31, 1, 0), 0);
	NSDK_ASSERT_INT(feature(false, NSDK_NVME_FEAT_FDP, 0, 0, 1, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
	for (unsigned lid = NSDK_NVME_LOG_FDP_USAGE; lid <= NSDK_NVME_LOG_FDP_EVENTS; lid++)
		NSDK_ASSERT_INT(get_log(lid, 0, 1, 64), DISABLED);
	NSDK_ASSERT_INT(get_log(NSDK_NVME_LOG_FDP_CONFIGS, 0, 1, 64), 0);
	NSDK_ASSERT_INT(feature(true, NSDK_NVME_FEAT_FDP, 0, 0, 1, 1), 0);
	CU_ASSERT_EQUAL(stat(0), 0);
	host_stop();
}

static void directives_are_told(void)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE, .nsid = 1, .cdw10 = 1023,
				     .cdw11 = 1 };

	start(OPTIONS);
	cmd.prp1 = host_iova(data);
	memset(data, 0xee, HOST_PAGE);
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	CU_ASSERT(data[0] == 5 && data[1] == 0 && data[32] == 5 && data[64] == 4 && data[4095] == 0);
	cmd.cdw11 = 2;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.cdw11 = 0x0201;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.nsid = 7;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_NAMESPACE));
	cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_DIRECTIVE_SEND, .nsid = 1, .cdw11 = 1,
				      .cdw12 = 0x201 };
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), 0);
	cmd.cdw12 = 0x200;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.cdw12 = 0x101;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.nsid = 0;
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_NAMESPACE));
	host_stop();
}

static void room_is_told_in_blocks_as_they_are(void)
{
	struct nsdk_nvme_cmd format = { .opcode = NSDK_NVME_ADMIN_FORMAT, .nsid = 1, .cdw10 = 1 };

	start("size=1M,fdp=1,fdp_rg=3,fdp_runs=8K");
	NSDK_ASSERT_INT(put(1, 8, 0), 0);
	NSDK_ASSERT_INT(host_run(&host.admin, &format), 0);
	NSDK_ASSERT_INT(left(1, 0), 1);
	NSDK_ASSERT_INT(left(1, 1), 2);
	host_stop();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(identifies),
	NSDK_UNIT_TEST(configurations_and_usage),
	NSDK_UNIT_TEST(status_is_by_handle_then_group),
	NSDK_UNIT_TEST(writes_are_counted),
	NSDK_UNIT_TEST(units_follow_each_other),
	NSDK_UNIT_TEST(invalid_identifiers_are_logged),
	NSDK_UNIT_TEST(events_are_chosen),
	NSDK_UNIT_TEST(is_turned_off_and_on),
	NSDK_UNIT_TEST(directives_are_told),
	NSDK_UNIT_TEST(room_is_told_in_blocks_as_they_are),
};

NSDK_UNIT_MAIN("lib/emu/nvme_fdp", tests)
