/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O whose data nobody gives to the device nor takes back: for `nsdk doctor --probe`, which measures
 * what the device then gets. It is on no other way through the driver, and costs those nothing.
 */
#ifndef NSDK_NVME_UNSYNCED_H
#define NSDK_NVME_UNSYNCED_H

#include <nsdk/nvme.h>

/*
 * Read (NSDK_NVME_NVM_READ) or write (NSDK_NVME_NVM_WRITE) as one command. The queues are synced as
 * ever; the caches' lines of @p buf are left as they are, before and after.
 *
 * @param buf  DMA memory, of at most two pages of 4 KiB.
 * @return as nsdk_nvme_read(); -EINVAL also for what is not one command of at most two pages.
 */
int nsdk_nvme_rw_unsynced(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint8_t opcode,
			  void *buf, uint64_t lba, uint32_t blocks, nsdk_nvme_cb cb, void *ctx);

#endif
