/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/emu/nvme*.c: directives and flexible data placement. The essay is in nvme_fdp.c.
 */
#ifndef NSDK_EMU_NVME_FDP_H
#define NSDK_EMU_NVME_FDP_H

#include <nsdk/nvme_fdp_spec.h>

#include "nvme_internal.h"

#define EMU_NVME_MAX_RUH 128u
#define EMU_NVME_MAX_PIDS 1024u /* handles times groups */

/* fdp=1. @return 0; -ENOMEM, one sentence logged. */
int emu_nvme_fdp_create(struct emu_nvme *ctrl);
void emu_nvme_fdp_destroy(struct emu_nvme *ctrl);
/* A controller level reset: what was not saved is as it was. */
void emu_nvme_fdp_reset(struct emu_nvme *ctrl);

void emu_nvme_fdp_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ctrl *id);
/* Of the commands that there are because of it; both are admin or I/O opcodes of their own. */
uint32_t emu_nvme_fdp_admin_effects(const struct emu_nvme *ctrl, unsigned opcode);
uint32_t emu_nvme_fdp_effects(const struct emu_nvme *ctrl, unsigned opcode);

/* Whether a command that writes may say what it says of a directive. @return a status. */
uint16_t emu_nvme_fdp_check_write(const struct emu_nvme *ctrl, uint32_t cdw12);
/* It has written so many bytes of blocks. */
void emu_nvme_fdp_wrote(struct emu_nvme_req *req, uint64_t bytes);

uint16_t emu_nvme_io_mgmt_receive(struct emu_nvme_req *req);
uint16_t emu_nvme_io_mgmt_send(struct emu_nvme_req *req);
uint16_t emu_nvme_directive_receive(struct emu_nvme_req *req);
uint16_t emu_nvme_directive_send(struct emu_nvme_req *req);

bool emu_nvme_fdp_is_log(const struct emu_nvme *ctrl, unsigned page);
/* Fills a log page in, which is zero. @return a status. */
uint16_t emu_nvme_fdp_log(const struct emu_nvme_req *req, unsigned page, void *out, size_t *bytes);
bool emu_nvme_fdp_is_feature(const struct emu_nvme *ctrl, unsigned fid);
uint16_t emu_nvme_fdp_get_feature(struct emu_nvme_req *req, unsigned fid);
uint16_t emu_nvme_fdp_set_feature(struct emu_nvme_req *req, unsigned fid, bool save);

#endif
