/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Security Send and Receive (Base 5.25, 5.26): protocol 00h, which tells what there is, and a vendor specific
 * one that gives back what it was sent last, so that a host can see its bytes go both ways.
 */
#include "nvme_internal.h"

#include <string.h>

#define PROTOCOL_INFORMATION 0x00u
#define PROTOCOL_ECHO 0xf0u

/* What of SPSP 0000h there is to say (SPC-5): the list of protocols, in order, with a big-endian length. */
static const uint8_t protocols[] = { 0, 0, 0, 0, 0, 0, 0, 2, PROTOCOL_INFORMATION, PROTOCOL_ECHO };

static unsigned protocol_of(const struct nsdk_nvme_cmd *cmd)
{
	return cmd->cdw10 >> 24;
}

static unsigned specific_of(const struct nsdk_nvme_cmd *cmd)
{
	return cmd->cdw10 >> 8 & 0xffff;
}

int emu_nvme_security_send(struct emu_nvme_req *req)
{
	struct emu_nvme_security *security = &req->ctrl->security;
	uint32_t bytes = req->cmd->cdw11;
	uint8_t sent[EMU_NVME_SECURITY_BYTES];
	uint16_t status;

	if (protocol_of(req->cmd) != PROTOCOL_ECHO || bytes == 0 || bytes > sizeof(sent))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	status = emu_nvme_data_begin(req, bytes);
	if (!status)
		status = emu_nvme_data_from_host(req, sent, bytes);
	if (status)
		return status;
	memcpy(security->data, sent, bytes);
	security->bytes = bytes;
	return 0;
}

int emu_nvme_security_receive(struct emu_nvme_req *req)
{
	const struct emu_nvme_security *security = &req->ctrl->security;
	uint32_t bytes = req->cmd->cdw11;

	if (bytes == 0 || emu_nvme_data_exceeds(req->ctrl, bytes))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (protocol_of(req->cmd) == PROTOCOL_INFORMATION && specific_of(req->cmd) == 0)
		return emu_nvme_data_reply(req, protocols, sizeof(protocols), bytes);
	if (protocol_of(req->cmd) == PROTOCOL_ECHO)
		return emu_nvme_data_reply(req, security->data, security->bytes, bytes);
	return EMU_NVME_GENERIC(INVALID_FIELD);
}
