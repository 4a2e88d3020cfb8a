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
	unsigned losses;   /**< how often a reset has taken away what was in it */
};

/** Ask for it. Threading: any. Source: Base 8.5 (Controller Memory Buffer), 3.1.3.11, 3.1.3.12. */
void nsdk_nvme_cmb_info(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmb_info *out);

/**
 * Take a buffer in the controller memory buffer, for data. It can be given to nsdk_nvme_read(), _write()
 * and their kin on this controller's queue pairs and on no other's; pieces of it and of other memory go
 * together in one payload, and with metadata that travels apart, only where the controller says so
 * (CMBLOC.CDMMMS): -EINVAL otherwise. Metadata itself is never there (-EINVAL), and admin commands do not
 * take it (-EFAULT).
 *
 * A reset of the controller takes what was in it away (losses, in struct nsdk_nvme_cmb_info). What the
 * controller was to read from it and had not is not read after one, retry_writes or not: such I/O, all of one
 * that goes out as several commands, ends with "Path: Command Aborted By Host". With CDMMMS, or where an SGL
 * with more than one descriptor says where the data is, that goes for data in ordinary memory, too, once the
 * buffer can be used for data: which it was is not kept. After the controller has vanished it is memory that
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

/** How a persistent memory region is (PMRSTS.HSTS, Base 3.1.4.3). */
enum nsdk_nvme_pmr_health {
	NSDK_NVME_PMR_NORMAL = 0,
	NSDK_NVME_PMR_RESTORE_ERROR = 1, /**< what was kept could not be brought back */
	NSDK_NVME_PMR_READ_ONLY = 2,
	NSDK_NVME_PMR_UNRELIABLE = 3,    /**< reads may give anything, and writes be lost */
};

/** "normal", "restore error", … */
const char *nsdk_nvme_pmr_health_text(enum nsdk_nvme_pmr_health health);

/** A persistent memory region that is mapped. */
struct nsdk_nvme_pmr {
	volatile void *base; /**< see the top for how to touch it */
	size_t bytes;        /**< its size: that of its BAR */
	enum nsdk_nvme_pmr_health health; /**< as it was when it became ready */
	unsigned losses;     /**< nsdk_nvme_pmr_losses() when it was mapped */
};

/**
 * Enable the persistent memory region and map it. Waits until it is ready, as long as the controller says
 * that may take (PMRCAP.PMRTO). A region that is not healthy is mapped all the same, and that is logged.
 *
 * @return 0; -EOPNOTSUPP the controller has none; -EALREADY it is mapped; -ETIMEDOUT; -EIO its registers make
 *         no sense; -ENODEV gone; logged.
 * Threading: as nsdk_nvme_ctrlr_poll(). Source: Base 8.14 (Persistent Memory Region), 3.1.4.
 */
int nsdk_nvme_pmr_map(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_pmr *out);
/** The same for a reactor: start, then poll until not -EAGAIN. @return those of nsdk_nvme_pmr_map(). */
int nsdk_nvme_pmr_map_start(struct nsdk_nvme_ctrlr *ctrlr);
/** One step of nsdk_nvme_pmr_map_start(). */
int nsdk_nvme_pmr_map_poll(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_pmr *out);

/**
 * What this thread has stored into the region outlives a power cut once this has returned 0, by the
 * mechanism that the controller wants (PMRCAP.PMRWBM): a read of the region, or of PMRSTS.
 *
 * A function reset, on the driver's way to get the controller well again, disables the region for a while;
 * stores in that time are dropped. The first flush behind it fails, once: what any thread has stored since
 * its own last flush may be lost. Where several threads store, the others learn it by
 * nsdk_nvme_pmr_losses().
 *
 * @return 0; -EINVAL it is not mapped; -EAGAIN it is not ready, as a function reset is bringing it back; -EIO
 *         such a reset has come between, or the region reports an error, that it is read only or unreliable,
 *         or that it could not bring back what it had before such a reset (logged); -ENODEV gone.
 * Threading: any thread.
 */
int nsdk_nvme_pmr_flush(struct nsdk_nvme_ctrlr *ctrlr);
/**
 * How often a function reset has disabled the region while it was mapped. One thread of several that store
 * compares it with what it was at its last flush, behind the next. Threading: any.
 */
unsigned nsdk_nvme_pmr_losses(const struct nsdk_nvme_ctrlr *ctrlr);

/** Disable it; its address is not to be used any more. @return 0; -EINVAL it is not mapped. */
int nsdk_nvme_pmr_unmap(struct nsdk_nvme_ctrlr *ctrlr);

#ifdef __cplusplus
}
#endif
#endif
