/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The no-snoop engine: keeping memory right when a device's DMA may bypass the CPU caches.
 *
 * One nsdk_coherence belongs to one attached device. While it is inactive (the usual case: the
 * IOMMU enforces snooping, or nobody asked) every call costs one predictable branch.
 *
 * The contract is that of the kernel's DMA API: sync_for_device before the doorbell, sync_for_cpu
 * after completion and before the CPU looks. Drivers of NSDK do it for the user's I/O; the
 * functions are public for those who write drivers.
 */
#ifndef NSDK_COHERENCE_H
#define NSDK_COHERENCE_H

#include <nsdk/bus.h>
#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_coherence;

/** What the user wants of a device. */
enum nsdk_policy {
	NSDK_POLICY_COHERENT, /**< snooped DMA; Enable No Snoop cleared where it could matter */
	NSDK_POLICY_AUTO,     /**< no-snoop where permitted and the device can, else coherent */
	NSDK_POLICY_NOSNOOP,  /**< no-snoop or fail with the reason */
};

/** "coherent", "auto" or "nosnoop". */
const char *nsdk_policy_name(enum nsdk_policy policy);

/** The other way round. @return 0 or -EINVAL (nothing logged). */
int nsdk_policy_parse(const char *text, enum nsdk_policy *out);

/** What the engine did, since creation. Counted per batch object and added up when asked. */
struct nsdk_coherence_stats {
	uint64_t batches;             /**< batches that needed a fence */
	uint64_t lines_written_back;  /**< lines given to a write-back (CLWB, DC CVAC) */
	uint64_t lines_invalidated;   /**< lines given to a write-back-and-invalidate */
	uint64_t bytes_skipped_clean; /**< bytes that were given or taken back and needed nothing: known
					   to be clean, or only read by the device */
	uint64_t wbinvd;              /**< WBINVDs that cleaned its batches, all CPUs added up */
	uint64_t batches_shared;      /**< of the batches: shared out among flush lcores */
	uint64_t batches_tried;       /**< of the batches: not cleaned in the way that is thought the
					   cheapest, to see what another costs now */
};

/**
 * Make the engine of a device: decide whether no-snoop is on, and set or clear the device's
 * Enable No Snoop bit (PCIe Device Control, bit 11) accordingly.
 *
 * coherent: the bit is cleared unless the address space enforces snooping. auto: on when the
 * verdict is `permitted` and the bit sticks, else coherent, said once with the reason. nosnoop: on
 * when the verdict is `permitted`, else refused; where the bit does not stick, that is said and
 * the engine works all the same.
 *
 * A device whose bit stays 1 where coherent needs it 0 is refused: syncing its buffers would not do,
 * since a coherent device may write into lines that it shares with the CPU.
 *
 * @return 0; -EOPNOTSUPP refused, the sentence gives the reason; -EIO Enable No Snoop cannot be
 *         cleared; -ENODEV the device has gone; other -errno. On failure the bit is as it was found.
 * Threading: the device's attaching thread, before bus mastering is turned on.
 * Source: PCI Express Base, Device Control Register; linux/pci_regs.h PCI_EXP_DEVCTL_NOSNOOP_EN.
 */
int nsdk_coherence_create(struct nsdk_device *dev, enum nsdk_policy policy,
			  struct nsdk_coherence **out);

/**
 * Set or clear the Enable No Snoop bit once more as it was decided: after nsdk_device_reset(), which
 * may have brought back the bit's value out of reset (it is 1 on much hardware).
 *
 * @return 0; -EIO the bit could not be cleared where it must be (logged); other -errno.
 * Threading: as nsdk_coherence_create(): before bus mastering is turned on again.
 */
int nsdk_coherence_after_reset(struct nsdk_coherence *coh);

/** Restore the Enable No Snoop bit as it was found and free. NULL is fine. Batches must be gone. */
void nsdk_coherence_destroy(struct nsdk_coherence *coh);

/** Whether this device's DMA may bypass the caches, so that syncs do work. Constant over its life. */
bool nsdk_coherence_active(const struct nsdk_coherence *coh);

/** The policy that is in force after the decision: COHERENT or NOSNOOP. */
enum nsdk_policy nsdk_coherence_effective(const struct nsdk_coherence *coh);

/** Sum of what all batches of this device did. Threading: any; values may be a moment old. */
void nsdk_coherence_stats(struct nsdk_coherence *coh, struct nsdk_coherence_stats *out);

/**
 * Give a range to the device, at once with a fence of its own. Drivers batch instead.
 *
 * to device: dirty lines are written back. from device and both: written back and invalidated, as
 * a dirty line evicted later would overwrite what the device wrote. Whole lines are touched.
 * Threading: any thread; the range must not be written meanwhile.
 */
void nsdk_sync_for_device(struct nsdk_coherence *coh, const void *va, size_t bytes,
			  enum nsdk_dma_dir dir);

/** Take a range back before the CPU looks: invalidates unless the device only read. */
void nsdk_sync_for_cpu(struct nsdk_coherence *coh, const void *va, size_t bytes,
		       enum nsdk_dma_dir dir);

/**
 * Copy into DMA memory past the CPU's caches, so that nothing is left to be flushed: syncs and batches
 * pass over what was stored so, for as long as nobody stores to it in the ordinary way. Behind a
 * device whose DMA is snooped it is memcpy().
 *
 * **The contract.** Before any ordinary store into the range (an assignment, memcpy(), a read(2) into
 * it), call nsdk_dma_dirty(). A forgotten call is data that the device never sees; on `emu:` devices
 * the cache model finds and names it. The knowledge also ends when a device is given the buffer to
 * write it, and when the buffer is freed. It covers buffers of pools attached to this device; memory
 * of the application's own (nsdk_mem_register()) is copied to in the same way and flushed as ever.
 *
 * Whole cache lines go past the caches; what the range has of its first and last line is stored, and
 * later flushed, in the ordinary way.
 *
 * When it returns, the data is in memory before any later store of this thread, so the buffer may be
 * handed to another thread, or to a device, in any way that orders stores.
 *
 * @param coh    the engine of the device that the buffer is for.
 * @param dst    in a pool attached to that device; owned by the CPU (not given to a device).
 * @param src    any memory; does not overlap.
 * @param bytes  0 does nothing.
 * Where a snooped device shares the memory (nsdk_mem_attach()), its DMA may leave lines dirty in a
 * cache, so nothing is marked there, and all is flushed as ever.
 * Threading: any thread; nobody else touches the range meanwhile.
 */
void nsdk_dma_copy_in(struct nsdk_coherence *coh, void *dst, const void *src, size_t bytes);

/** As nsdk_dma_copy_in(), every byte the same, as memset() has it. */
void nsdk_dma_fill(struct nsdk_coherence *coh, void *dst, int byte, size_t bytes);

/**
 * Copy out of DMA memory that a device has written, and drop its lines from the caches: the next time
 * the buffer is given to the device to be written, there is nothing to be flushed before. The data
 * must have been taken back (a driver's completion, nsdk_sync_for_cpu()). The contract is that of
 * nsdk_dma_copy_in(): after it, nsdk_dma_dirty() comes before an ordinary store to @p src.
 *
 * @param src  DMA memory; owned by the CPU.
 */
void nsdk_dma_copy_out(struct nsdk_coherence *coh, void *dst, const void *src, size_t bytes);

/**
 * Say that the calling thread is going to store to a range in the ordinary way. Needed
 * - before stores into what nsdk_dma_copy_in(), nsdk_dma_fill() or nsdk_dma_copy_out() went over;
 * - where WBINVD is in use (nsdk_flush_setup()), also when another thread is going to give the buffer
 *   to the device, unless this one allocated it, or took it back itself from a no-snoop device that
 *   had written to it: so that its CPU is known to hold dirty lines.
 * Otherwise it does no harm, and costs a few instructions for each 4 KiB.
 * Threading: any thread that owns the range.
 */
void nsdk_dma_dirty(struct nsdk_coherence *coh, const void *va, size_t bytes);

/**
 * A batch: the ranges of everything that goes out with one doorbell, or comes in with one poll.
 *
 * Owned by one queue, used by one thread, so adding takes no lock. Ranges that touch are merged, and
 * every line gets one operation, the strongest it was added with. Only the first range, when it is of
 * 16 lines or more, is on its way at once while the caller makes the command; lines of it that are added
 * again before the commit get a second operation. One batch may hold ranges of both
 * ways, to the device and back; its one fence then serves both. Most drivers keep two, one for the
 * submission side and one for the poll, because they commit at different moments.
 */
struct nsdk_flush_batch;

/**
 * @param max_ranges  how many separate ranges it holds before an add flushes early (without a
 *                    fence; the fence still comes once, with the commit). 1 … 65536.
 * @return 0; -EINVAL @p max_ranges; -ENOMEM (logged).
 */
int nsdk_flush_batch_create(struct nsdk_coherence *coh, unsigned max_ranges,
			    struct nsdk_flush_batch **out);
/** End a batch. NULL is fine. */
void nsdk_flush_batch_destroy(struct nsdk_flush_batch *batch);

/**
 * Add a range to be given to the device by the next commit. Nothing when inactive. The CPU must have
 * written it before, and must not write it until it has been taken back: its lines may go out now.
 */
void nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				 enum nsdk_dma_dir dir);

/**
 * Add a range to be taken back by the next commit. Nothing when inactive or to-device. The load that
 * saw the device's completion must come before, in program order.
 */
void nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
			      enum nsdk_dma_dir dir);

/**
 * Do the line operations of all ranges added, then one fence; the batch is empty afterwards. When
 * it returns, a doorbell may be written (for-device ranges), the data may be read (for-cpu ranges).
 */
void nsdk_flush_batch_commit(struct nsdk_flush_batch *batch);

/**
 * As nsdk_flush_batch_commit(), without waiting for a large batch: its lines may be shared out among
 * flush lcores, or left to WBINVD (nsdk_flush_setup()), while the caller goes on. Small batches, and
 * large ones where nothing was set up, are done when it returns.
 *
 * Ranges may be added meanwhile; they are of the next batch, which begins when this one is done.
 *
 * @return true: done; a doorbell may be written, the data may be read. false: under way, to be asked
 *         for with nsdk_flush_batch_poll(); when one is under way already, nothing is begun.
 */
bool nsdk_flush_batch_begin(struct nsdk_flush_batch *batch);

/**
 * Go on with what nsdk_flush_batch_begin() left under way: a bounded share of the work.
 * @return whether it is done, or nothing is under way. It ends in bounded time: what a flush lcore or
 *         WBINVD fails to do is done here.
 */
bool nsdk_flush_batch_poll(struct nsdk_flush_batch *batch);

/** How to get at WBINVD, which writes back whole caches. */
enum nsdk_wbinvd {
	NSDK_WBINVD_OFF, /**< never */
	NSDK_WBINVD_KVM, /**< through KVM, a no-snoop VFIO device being the proof that it is needed */
};

/** What nsdk_flush_setup() may be told; all zero means line operations only. */
struct nsdk_flush_opts {
	size_t opts_bytes;          /**< sizeof(struct nsdk_flush_opts) */
	const char *flush_cpus;     /**< CPU list: a flush lcore is pinned to each and polls there; NULL:
					 none. Not a CPU that does I/O */
	uint64_t flush_timeout_ns;  /**< how long a flush lcore may take for a share of 64 KiB before
					 the submitter does it, and the lcore counts as lost; 0: 100 ms */
	enum nsdk_wbinvd wbinvd;    /**< off: it disturbs everybody on the machine */
	unsigned wbinvd_per_second; /**< budget, executions on a CPU, all CPUs added up; 0: 10 */
	const char *wbinvd_cpus;    /**< CPU list: where it may run; NULL: on the reactors' CPUs, without
					 reactors on those of the calling thread */
	bool no_profile;            /**< built-in costs, whatever `nsdk tune flush` has measured */
};

/**
 * Set up what large flush batches may be cleaned with, beside line operations of the CPU that submits
 * them: flush lcores, and WBINVD on the CPUs that may hold the lines dirty. Which of it a batch takes
 * is decided by its size and the costs of the profile (nsdk/tune.h).
 *
 * WBINVD is only used once a device whose address space permits no-snoop has been taken as proof, and
 * an execution was seen to empty the cache; nsdk_flush_status() says whether, and why not. Threads that
 * store to DMA buffers should be known by then: nsdk_thread_register(), nsdk_dma_dirty().
 *
 * @param opts  NULL for defaults.
 * @return 0; -EINVAL a CPU list is empty or malformed, or has a CPU that does I/O; -ENODEV a CPU is
 *         offline or outside our affinity mask; -EALREADY; -EBUSY a no-snoop device is there already;
 *         -ENOMEM; other -errno. Logged.
 * Threading: once, after nsdk_env_init() where that is used, before the first device.
 */
int nsdk_flush_setup(const struct nsdk_flush_opts *opts);

/** Undo it; nothing without a setup. @return 0; -EBUSY (logged) a no-snoop device is still there. */
int nsdk_flush_teardown(void);

/** What was set up, and what it did. */
struct nsdk_flush_status {
	unsigned flush_cpus;          /**< flush lcores that are trusted */
	uint64_t jobs;                /**< batches that were shared out */
	uint64_t lines_by_flush_cpus; /**< lines of those, cleaned by flush lcores */
	uint64_t lines_by_submitters; /**< lines of those, cleaned by who submitted them */
	uint64_t takeovers;           /**< shares done again because a flush lcore was late */
	uint64_t flush_cpus_lost;     /**< how often one was late or had ended */
	bool wbinvd_open;             /**< whether WBINVD may be executed now */
	char wbinvd_reason[200];      /**< why not */
	uint64_t wbinvd_executed;     /**< executions, all CPUs added up, the gate's own tests included */
	uint64_t wbinvd_over_budget;  /**< how often the budget said no */
	uint64_t wbinvd_failed;       /**< how often it was not executed everywhere */
};

/** Ask for it. Threading: any; values may be a moment old. */
void nsdk_flush_status(struct nsdk_flush_status *out);

/** Executions of WBINVD on one CPU. Threading: any. */
uint64_t nsdk_flush_wbinvd_on(unsigned cpu);

/** What the CPU offers for cache lines, found by CPUID (x86) or the architecture (aarch64). */
struct nsdk_line_info {
	const char *writeback;      /**< "clwb", "clflushopt", "clflush", "dc cvac", … */
	const char *invalidate;     /**< "clflushopt", "clflush", "dc civac" */
	unsigned line_bytes;        /**< flush granule, from CPUID leaf 1 or CTR_EL0 */
};
/** Ask for it. Threading: any. */
void nsdk_line_info(struct nsdk_line_info *out);

#ifdef __cplusplus
}
#endif
#endif
