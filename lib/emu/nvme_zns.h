/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/emu/nvme*.c: zoned namespaces of the NVMe model. The essay is in nvme_zns.c.
 */
#ifndef NSDK_EMU_NVME_ZNS_H
#define NSDK_EMU_NVME_ZNS_H

#include "nvme_internal.h"

/* After the store is open and the namespaces are there. @return 0 or -errno, one sentence logged. */
int emu_nvme_zns_create(struct emu_nvme *ctrl);
void emu_nvme_zns_destroy(struct emu_nvme *ctrl);
/* The blocks of a namespace, or of all, were wiped, or have another size; zones are as new. */
void emu_nvme_zns_wiped(struct emu_nvme *ctrl, uint32_t nsid);
void emu_nvme_zns_shutdown(struct emu_nvme *ctrl);

void emu_nvme_zns_lock(struct emu_nvme *ctrl);
void emu_nvme_zns_unlock(struct emu_nvme *ctrl);
uint64_t emu_nvme_zone_blocks(const struct emu_nvme *ctrl);
/* Of a namespace. */
uint32_t emu_nvme_zones(const struct emu_nvme *ctrl, uint32_t nsid);

/* All of these: without zones, and with blocks within the namespace, as if it were not there. */
uint16_t emu_nvme_zns_check_read(struct emu_nvme *ctrl, uint32_t nsid, uint64_t lba, uint64_t blocks);
/*
 * Before blocks are written, and after. In between, which is only if it went well, the zones are
 * locked.
 * @param[in,out] lba  of an append: the zone's start, and then where it goes.
 */
uint16_t emu_nvme_zns_begin_write(struct emu_nvme *ctrl, uint32_t nsid, uint64_t *lba, uint64_t blocks,
				  bool append);
void emu_nvme_zns_end_write(struct emu_nvme *ctrl, uint32_t nsid, uint64_t lba, uint64_t blocks,
			    uint16_t status);

/* Commands. */
uint16_t emu_nvme_zns_mgmt_send(struct emu_nvme_req *req);
uint16_t emu_nvme_zns_mgmt_receive(struct emu_nvme_req *req);
/* The largest Zone Append, in bytes. */
bool emu_nvme_append_exceeds(const struct emu_nvme *ctrl, uint64_t bytes);
uint32_t emu_nvme_zns_effects(unsigned opcode);

/* Identify data of the command set, into zeroes. */
void emu_nvme_zns_identify_ns(const struct emu_nvme *ctrl, void *out);
void emu_nvme_zns_identify_ctrlr(const struct emu_nvme *ctrl, void *out);

#endif
