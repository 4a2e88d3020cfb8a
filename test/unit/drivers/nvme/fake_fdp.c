/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_fdp.h"

#include <string.h>

struct fake_fdp fake_fdp;
struct nsdk_nvme_ctrlr *fake_fdp_ctrlr;
struct nsdk_nvme_qpair *fake_fdp_qp;
struct nsdk_nvme_ns *fake_fdp_ns;
struct fake_done fake_fdp_done;
struct nsdk_nvme_cpl fake_fdp_cpl;

/* Page by page, by the first two PRPs, which is all that these need. */
static void give(const struct nsdk_nvme_cmd *cmd, const uint8_t *from, size_t bytes)
{
	size_t first = 4096 - cmd->prp1 % 4096;

	if (first > bytes)
		first = bytes;
	memcpy(fake_va(cmd->prp1), from, first);
	if (bytes > first)
		memcpy(fake_va(cmd->prp2), from + first, bytes - first);
}

static void get_log(const struct nsdk_nvme_cmd *cmd)
{
	uint8_t *page = fake_fdp.log[(cmd->cdw10 & 0xff) - NSDK_NVME_LOG_FDP_CONFIGS];
	size_t bytes = ((cmd->cdw10 >> 16 | cmd->cdw11 << 16) + 1) * (size_t)4;

	CU_ASSERT_FATAL(cmd->cdw12 + bytes <= sizeof(fake_fdp.log[0]));
	if (fake_fdp.admin_count == fake_fdp.change_at)
		memcpy(page, fake_fdp.change, fake_fdp.change_bytes);
	give(cmd, page + cmd->cdw12, bytes);
}

static enum fake_action admin(const struct nsdk_nvme_cmd *cmd, uint16_t *status, uint32_t *dw0)
{
	struct nsdk_nvme_id_ns id = { .nsze = 100000, .ncap = 100000, .mssrl = 128, .mcl = 128, .msrc = 3 };

	switch (cmd->opcode) {
	case NSDK_NVME_ADMIN_IDENTIFY:
		if ((cmd->cdw10 & 0xff) != NSDK_NVME_CNS_NS)
			return FAKE_DO;
		id.lbaf[0].lbads = 9;
		id.endgid = fake_fdp.endgid;
		id.nguid[0] = fake_fdp.nguid;
		id.eui64[0] = fake_fdp.eui64;
		memcpy(fake_va(cmd->prp1), &id, sizeof(id));
		return FAKE_REPLY;
	case NSDK_NVME_ADMIN_GET_LOG_PAGE:
	case NSDK_NVME_ADMIN_DIRECTIVE_SEND:
	case NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE:
	case NSDK_NVME_ADMIN_GET_FEATURES:
	case NSDK_NVME_ADMIN_SET_FEATURES:
		break;
	default:
		return FAKE_DO;
	}
	if (cmd->opcode == NSDK_NVME_ADMIN_SET_FEATURES && (cmd->cdw10 & 0xff) < NSDK_NVME_FEAT_FDP)
		return FAKE_DO; /* bring-up */
	CU_ASSERT_FATAL(fake_fdp.admin_count < FAKE_FDP_COMMANDS);
	fake_fdp.admin[fake_fdp.admin_count++] = *cmd;
	*status = fake_fdp.admin_count == fake_fdp.fail_at ?
			  NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD) : 0;
	*dw0 = fake_fdp.dw0;
	if (*status || fake_fdp.silent)
		return FAKE_REPLY;
	if (cmd->opcode == NSDK_NVME_ADMIN_GET_LOG_PAGE)
		get_log(cmd);
	else if (cmd->opcode == NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE)
		give(cmd, (const uint8_t *)&fake_fdp.directives, (cmd->cdw10 + 1) * (size_t)4);
	else if (cmd->opcode == NSDK_NVME_ADMIN_GET_FEATURES && cmd->prp1)
		give(cmd, (const uint8_t *)fake_fdp.states, sizeof(fake_fdp.states));
	else if (cmd->opcode == NSDK_NVME_ADMIN_SET_FEATURES && cmd->prp1)
		memcpy(fake_fdp.sent, fake_va(cmd->prp1), sizeof(fake_fdp.sent));
	return FAKE_REPLY;
}

static enum fake_action hook(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status, uint32_t *dw0)
{
	if (qid == 0)
		return admin(cmd, status, dw0);
	CU_ASSERT_FATAL(fake_fdp.io_count < FAKE_FDP_COMMANDS);
	fake_fdp.io[fake_fdp.io_count++] = *cmd;
	if (cmd->opcode == NSDK_NVME_NVM_IO_MGMT_RECEIVE && !fake_fdp.silent)
		give(cmd, fake_fdp.status, (cmd->cdw11 + 1) * (size_t)4);
	if (cmd->opcode == NSDK_NVME_NVM_IO_MGMT_SEND)
		memcpy(fake_fdp.sent, fake_va(cmd->prp1), sizeof(fake_fdp.sent));
	*status = fake_fdp.io_status;
	return fake_fdp.io_action;
}

void fake_fdp_before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	memset(&fake_fdp, 0, sizeof(fake_fdp));
	memset(&fake_fdp_done, 0, sizeof(fake_fdp_done));
	fake_fdp.io_action = FAKE_REPLY;
	fake_fdp.endgid = 1;
	fake.hook = hook;
	fake.id.ctratt |= NSDK_NVME_CTRATT_FDP | NSDK_NVME_CTRATT_ENDURANCE_GROUPS;
	fake.id.oacs |= NSDK_NVME_OACS_DIRECTIVES;
	fake.id.oncs |= NSDK_NVME_ONCS_WRITE_ZEROES | NSDK_NVME_ONCS_COPY;
	fake.id.ocfs |= NSDK_NVME_OCFS_FORMAT(0);
}

void fake_fdp_attach(void)
{
	fake_fdp_ctrlr = fake_attach();
	fake_fdp_ns = nsdk_nvme_ns_get(fake_fdp_ctrlr, 1);
	fake_fdp_qp = fake_qpair(fake_fdp_ctrlr, 16);
	fake_fdp.admin_count = 0;
	nsdk_unit_log_clear();
}

void fake_fdp_after(void)
{
	if (fake_fdp_ctrlr)
		fake_teardown(fake_fdp_ctrlr, fake_fdp_qp);
	fake_fdp_ctrlr = NULL;
	fake_fdp_qp = NULL;
	nsdk_unit_log_stop();
}

void fake_fdp_say_pids(const uint16_t *pids, unsigned count)
{
	struct nsdk_nvme_ruh_status_header header = { .count = (uint16_t)count };

	memcpy(fake_fdp.status, &header, sizeof(header));
	for (unsigned i = 0; i < count; i++) {
		struct nsdk_nvme_ruh_status desc = { .pid = pids[i], .ruhid = (uint16_t)i, .ruamw = 100 + i };

		memcpy(fake_fdp.status + sizeof(header) + i * sizeof(desc), &desc, sizeof(desc));
	}
}

void fake_fdp_learn(const uint16_t *pids, unsigned count)
{
	fake_fdp_say_pids(pids, count);
	NSDK_ASSERT_INT(nsdk_nvme_placement_learn(fake_fdp_ns, fake_fdp_qp, &fake_fdp_cpl), 0);
	CU_ASSERT(nsdk_nvme_cpl_ok(&fake_fdp_cpl));
	fake_fdp.io_count = 0;
}

uint16_t fake_fdp_run(void)
{
	int before = fake_fdp_done.count;

	for (int i = 0; i < 1000 && fake_fdp_done.count == before; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(fake_fdp_qp, 0) >= 0);
	NSDK_ASSERT_INT(fake_fdp_done.count, before + 1);
	return fake_fdp_done.status;
}
