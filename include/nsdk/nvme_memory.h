/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * NVMe: memory that is on the controller. The controller memory buffer (CMB) holds queues and data, which
 * then need no trip over the bus when the controller wants them; the persistent memory region (PMR) is
 * memory that outlives a power cut.
 *
 * Both are behind a BAR, mapped uncached: nothing of them is ever in a CPU cache, so nothing of them is ever
 * flushed, no-snoop or not. Each store is a write on the bus and each load a round trip, and on some machines
 * (aarch64) unaligned accesses and cache instructions fault, as the C library's memcpy() may use. Hence
 * nsdk_bar_copy_to() and nsdk_bar_copy_from() of nsdk/bus.h, or volatile accesses of naturally aligned words.
 */
#ifndef NSDK_NVME_MEMORY_H
#define NSDK_NVME_MEMORY_H

#include <nsdk/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The controller memory buffer, as nsdk_nvme_cmb_info() tells it. */
struct nsdk_nvme_cmb_info {
	bool in_use;       /**< asked for at attach (struct nsdk_nvme_opts, cmb), and there */
	size_t bytes;      /**< its size; 0: not in use */
	size_t used_bytes; /**< of those, in queues and buffers */
	unsigned queues;   /**< submission queues that are there */
	uint32_t location; /**< CMBLOC as read */
	uint32_t size;     /**< CMBSZ as read: what it may be used for, NSDK_NVME_CMBSZ_* */
	uint64_t address;  /**< where the controller knows it (CMBMSC.CBA, or its bus address) */
};

/** Ask for it. Threading: any. Source: Base 8.5 (Controller Memory Buffer), 3.1.3.11, 3.1.3.12. */
void nsdk_nvme_cmb_info(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmb_info *out);

/**
 * Take a buffer in the controller memory buffer, for data. It can be given to nsdk_nvme_read(), _write()
 * and their kin on this controller's queue pairs and on no other's; pieces of it and of other memory go
 * together in one payload only where the controller says so (CMBLOC.CDMMMS). Admin commands do not take it.
 *
 * A reset of the controller takes what was in it away. After the controller has vanished it is memory that
 * nobody reads.
 *
 * @param bytes  not 0; rounded up to whole pages of 4 KiB, and aligned to such.
 * @param[out] out  see the top for how to touch it; not zeroed.
 * @return 0; -EINVAL; -EOPNOTSUPP there is none for data, or it was not asked for at attach (cmb, in struct
 *         nsdk_nvme_opts); -ENOMEM no room left. Logged. Commands of the direction that it does not offer
 *         (RDS, WDS) are refused with -EOPNOTSUPP.
 * Threading: any thread; takes a lock.
 */
int nsdk_nvme_cmb_alloc(struct nsdk_nvme_ctrlr *ctrlr, size_t bytes, void **out);
/** Give it back; no command may be using it. NULL is fine. @return 0; -EINVAL no such buffer (logged). */
int nsdk_nvme_cmb_free(struct nsdk_nvme_ctrlr *ctrlr, void *va);

#ifdef __cplusplus
}
#endif
#endif
