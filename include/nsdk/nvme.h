/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * NVMe: controllers, namespaces, queue pairs, commands.
 *
 * Order of things: nsdk_device_attach() → nsdk_nvme_attach() → nsdk_nvme_qpair_create() → commands
 * and nsdk_nvme_qpair_poll() → destroy, detach, in reverse.
 *
 * Commands are collected and go out with one doorbell at the next nsdk_nvme_qpair_submit() or
 * nsdk_nvme_qpair_poll() of their queue pair: that doorbell is the batch the no-snoop engine works
 * on. Statuses are the specification's (nsdk/nvme_spec.h).
 */
#ifndef NSDK_NVME_H
#define NSDK_NVME_H

#include <sys/uio.h>

#include <nsdk/bus.h>
#include <nsdk/coherence.h>
#include <nsdk/mem.h>
#include <nsdk/nvme_spec.h>
#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nsdk_nvme_ctrlr;
struct nsdk_nvme_ns;
struct nsdk_nvme_qpair;

/** How the controller chooses the submission queue to fetch from next (Base 3.4.4): opts.arbitration. */
enum nsdk_nvme_arbitration_kind {
	NSDK_NVME_ROUND_ROBIN,    /**< each queue in its turn; no priorities */
	NSDK_NVME_WRR,            /**< weighted round robin with an urgent class; the attach fails with
				       -EOPNOTSUPP where the controller does not offer it (CAP.AMS) */
	NSDK_NVME_WRR_IF_OFFERED, /**< the same, or round robin: nsdk_nvme_ctrlr_arbitration() tells */
};

/** What nsdk_nvme_attach() may be told; all zero is a good default. */
struct nsdk_nvme_opts {
	size_t opts_bytes;             /**< sizeof(struct nsdk_nvme_opts) */
	enum nsdk_policy policy;       /**< zero: coherent */
	unsigned io_queues;            /**< how many to ask the controller for; 0: 16 */
	unsigned admin_entries;        /**< admin queue size; 0: 64 */
	uint64_t ready_timeout_ns;     /**< 0: what CAP.TO says, at least 2 s */
	uint64_t admin_timeout_ns;     /**< for one admin command; 0: 10 s */
	uint64_t io_timeout_ns;        /**< of queue pairs that say none; 0: 30 s */
	unsigned max_resets;           /**< when it fails; counted anew after 60 s; 0: 3 */
	size_t host_memory_bytes;      /**< to lend to a controller that asks, at most; 0: 64 MiB */
	bool plain_doorbells;          /**< no shadow doorbells where the controller offers them */
	unsigned cmb;                  /**< what the controller memory buffer is used for: NSDK_NVME_CMB_*;
					    0: nothing (nsdk/nvme_memory.h) */
	enum nsdk_nvme_arbitration_kind arbitration; /**< zero: round robin */
	unsigned arbitration_burst;    /**< commands from one queue at a time: a power of two up to 64, or
					    NSDK_NVME_NO_BURST_LIMIT; 0: as the controller recommends (RAB) */
	unsigned high_weight;          /**< commands of the class in a round of weighted round robin, at
					    most 256; 0: 16 */
	unsigned medium_weight;        /**< likewise; 0: 8 */
	unsigned low_weight;           /**< likewise; 0: 4 */
	/**
	 * A vector of MSI-X for the admin queue (number 0: Base 3.1.3.10), for a poll group that sleeps and
	 * has the controller in it (nsdk_nvme_poll_group_add_ctrlr()); until it is armed it is masked. Where
	 * the device has none it is said and the queue is polled (nsdk_nvme_ctrlr_has_interrupt()).
	 */
	bool interrupts;
};

/** Submission queues lie in the controller memory buffer, as far as it has room: opts.cmb. */
#define NSDK_NVME_CMB_SQ 1u
/** Buffers for data can be taken there, by nsdk_nvme_cmb_alloc(): opts.cmb. */
#define NSDK_NVME_CMB_DATA 2u

/** No limit: arbitration_burst. */
#define NSDK_NVME_NO_BURST_LIMIT UINT32_MAX
/** No deadline: timeout_ns and io_timeout_ns. */
#define NSDK_NVME_NO_TIMEOUT UINT64_MAX
/** Lend no memory: host_memory_bytes. */
#define NSDK_NVME_NO_HOST_MEMORY SIZE_MAX
/** A controller that fails is taken out at once: max_resets. */
#define NSDK_NVME_NO_RESETS UINT32_MAX

/**
 * Bring a controller up: reset, enable, identify, list namespaces, agree on queues. Blocks up to
 * the deadlines.
 *
 * @param dev   attached; bus mastering is turned on by this.
 * @param mem   its memory becomes reachable by the device (nsdk_mem_attach()).
 * @return 0; -ETIMEDOUT not ready in time; -EIO fatal status or a failed command; -ENODEV gone;
 *         -ENOTSUP what the controller wants is not supported; -EOPNOTSUPP the policy is refused;
 *         other -errno. One sentence has been logged and everything is as before.
 * Source: Base 3.5.1 (initialization).
 */
int nsdk_nvme_attach(struct nsdk_device *dev, struct nsdk_mem *mem,
		     const struct nsdk_nvme_opts *opts, struct nsdk_nvme_ctrlr **out);

/**
 * The same for a reactor: start, then poll until it is done; no call blocks.
 * @return start: 0 or -errno (nothing to poll). poll: 0 up; -EAGAIN not yet; other -errno failed:
 *         the sentence has been logged and the controller freed.
 */
int nsdk_nvme_attach_start(struct nsdk_device *dev, struct nsdk_mem *mem,
			   const struct nsdk_nvme_opts *opts, struct nsdk_nvme_ctrlr **out);
/** One step of nsdk_nvme_attach_start(); see there. */
int nsdk_nvme_attach_poll(struct nsdk_nvme_ctrlr *ctrlr);

/**
 * Shut down normally (CC.SHN), within a deadline, and free. The device stays attached and idle.
 * Queue pairs must have been destroyed. NULL is fine. @return 0; -EBUSY queue pairs are left, or inside
 * a poll of its poll group (and nothing was done); else freed, and -errno says what went wrong on the
 * way (logged).
 */
int nsdk_nvme_detach(struct nsdk_nvme_ctrlr *ctrlr);
/** The same in steps: start, then poll until not -EAGAIN. */
int nsdk_nvme_detach_start(struct nsdk_nvme_ctrlr *ctrlr);
/** One step of nsdk_nvme_detach_start(). */
int nsdk_nvme_detach_poll(struct nsdk_nvme_ctrlr *ctrlr);

/** Identify Controller data. Valid until detach. */
const struct nsdk_nvme_id_ctrl *nsdk_nvme_ctrlr_data(const struct nsdk_nvme_ctrlr *ctrlr);
/** CAP register. */
uint64_t nsdk_nvme_ctrlr_cap(const struct nsdk_nvme_ctrlr *ctrlr);
/** VS register. */
uint32_t nsdk_nvme_ctrlr_version(const struct nsdk_nvme_ctrlr *ctrlr);
/** Largest transfer of one command, in bytes: what MDTS says, at most 1 MiB; larger I/O is split. */
size_t nsdk_nvme_ctrlr_max_transfer_bytes(const struct nsdk_nvme_ctrlr *ctrlr);
/** I/O queue pairs the controller granted. */
unsigned nsdk_nvme_ctrlr_max_io_queues(const struct nsdk_nvme_ctrlr *ctrlr);

/** What is in force of opts.arbitration and what goes with it. */
struct nsdk_nvme_arbitration {
	bool wrr;               /**< queue pairs may have priorities */
	unsigned burst;         /**< or NSDK_NVME_NO_BURST_LIMIT */
	unsigned high_weight;   /**< 0 without wrr, and so are the others */
	unsigned medium_weight; /**< see high_weight */
	unsigned low_weight;    /**< see high_weight */
};
/**
 * How the controller was told to choose among queues. It is told again after each reset.
 * @return whether it was told anything (Set Features, Arbitration); if not, all of @p out is 0.
 * Source: Base 3.4.4 (arbitration); 5.27.1.1 (the feature).
 */
bool nsdk_nvme_ctrlr_arbitration(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_arbitration *out);
/** The no-snoop engine of the device. */
struct nsdk_coherence *nsdk_nvme_ctrlr_coherence(struct nsdk_nvme_ctrlr *ctrlr);
/** The device it was attached to. */
struct nsdk_device *nsdk_nvme_ctrlr_device(struct nsdk_nvme_ctrlr *ctrlr);
/** The attribute that pools for this controller's data need. */
enum nsdk_dma_attr nsdk_nvme_ctrlr_dma_attr(const struct nsdk_nvme_ctrlr *ctrlr);

/**
 * Poll the admin queue: asynchronous events, and whether the controller still lives. What has to be
 * done for I/O whose deadline has passed, and for a controller that has failed, goes on here a step at
 * a time: Abort; the queues of the queue pair made again; a reset of the controller, at last of the
 * function. To be called a few times a second, and often while nsdk_nvme_ctrlr_recovering(); not by who
 * has the controller in a poll group (nsdk_nvme_poll_group_add_ctrlr()), which does it.
 *
 * @return completions handled; -EIO the controller has failed for good; -ENODEV gone. Not to be called
 *         concurrently.
 * Source: Base 5.1 (Abort), 3.7.2 (controller level reset).
 */
int nsdk_nvme_ctrlr_poll(struct nsdk_nvme_ctrlr *ctrlr);

/**
 * Whether queues are being made again or the controller is being reset, so that
 * nsdk_nvme_ctrlr_poll() should be called often. Any thread.
 */
bool nsdk_nvme_ctrlr_recovering(const struct nsdk_nvme_ctrlr *ctrlr);

/** The first active namespace's ID above @p after (0 to begin), or 0 when there is none. */
uint32_t nsdk_nvme_ns_next(const struct nsdk_nvme_ctrlr *ctrlr, uint32_t after);
/** An active namespace, valid until detach; NULL when @p nsid is not active. */
struct nsdk_nvme_ns *nsdk_nvme_ns_get(struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid);
/** Namespace identifier (NSID). */
uint32_t nsdk_nvme_ns_id(const struct nsdk_nvme_ns *ns);
/** Identify Namespace data. Valid until detach. */
const struct nsdk_nvme_id_ns *nsdk_nvme_ns_data(const struct nsdk_nvme_ns *ns);
/**
 * Why the namespace takes no I/O at all, as every I/O function would return it; what is wrong with it was
 * said when it was found. @return 0 it takes I/O; -EIO, -EOPNOTSUPP: it cannot be driven; -EBUSY, -ESTALE:
 * not while it is formatted, or looked at again.
 */
int nsdk_nvme_ns_refusal(const struct nsdk_nvme_ns *ns);
/** Data bytes of a block; 0 where the namespace's format makes no sense, so that it cannot be used. */
uint32_t nsdk_nvme_ns_block_bytes(const struct nsdk_nvme_ns *ns);
/** Number of blocks. */
uint64_t nsdk_nvme_ns_blocks(const struct nsdk_nvme_ns *ns);

/**
 * The class of a submission queue under weighted round robin (Base 3.4.4.2). Commands of urgent queues are
 * fetched before all others; high, medium and low share what is left by their weights; queues of one class
 * take turns.
 */
enum nsdk_nvme_priority {
	NSDK_NVME_PRIORITY_DEFAULT, /**< medium, or nothing without weighted round robin */
	NSDK_NVME_PRIORITY_URGENT,
	NSDK_NVME_PRIORITY_HIGH,
	NSDK_NVME_PRIORITY_MEDIUM,
	NSDK_NVME_PRIORITY_LOW,
};

/** What nsdk_nvme_qpair_create() may be told. */
struct nsdk_nvme_qpair_opts {
	size_t opts_bytes;      /**< sizeof(struct nsdk_nvme_qpair_opts) */
	unsigned entries;       /**< queue size; 0: 256; at most CAP.MQES + 1 */
	unsigned max_requests;  /**< commands of the user in flight at most; 0: entries - 1 */
	/**
	 * A command that takes longer is aborted; 0: as the controller's io_timeout_ns. Found out by
	 * polls, within a quarter of it.
	 */
	uint64_t timeout_ns;
	/**
	 * After a reset send again what may have been written already: Write, Write Zeroes, Write
	 * Uncorrectable, Dataset Management. What only reads, and Flush, is sent again in any case,
	 * as long as its time is not over.
	 */
	bool retry_writes;
	/**
	 * A vector of MSI-X, for poll groups that sleep (nsdk_nvme_poll_group_arm()); until it is armed it
	 * is masked, so that polling costs what it does without. Where the device has none it is said and
	 * the queue pair is polled (nsdk_nvme_qpair_has_interrupt()). Vectors are shared where there are
	 * fewer of them than queue pairs.
	 */
	bool interrupts;
	/**
	 * Of the submission queue (QPRIO, Base 5.5), also when it is made again. -EOPNOTSUPP where the
	 * controller was not attached with weighted round robin.
	 */
	enum nsdk_nvme_priority priority;
};

/**
 * Make an I/O queue pair (Create I/O Completion Queue, Create I/O Submission Queue). Blocks up to
 * the admin deadline.
 * @return 0; -ENOSPC the controller has no queue left (the sentence says how many it has); -EINVAL;
 *         -EOPNOTSUPP a priority without weighted round robin; -ENOMEM; -ETIMEDOUT; -EIO.
 * Threading: creating and destroying are serialised by the caller; a queue pair is used by one
 * thread at a time, different queue pairs by different threads.
 */
int nsdk_nvme_qpair_create(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_qpair_opts *opts,
			   struct nsdk_nvme_qpair **out);

/** Delete the queues; what is outstanding is completed with "aborted, SQ deleted". NULL is fine. */
int nsdk_nvme_qpair_destroy(struct nsdk_nvme_qpair *qp);

/** The queue identifier, from 1. */
uint16_t nsdk_nvme_qpair_id(const struct nsdk_nvme_qpair *qp);
/** The class of its submission queue; NSDK_NVME_PRIORITY_DEFAULT without weighted round robin. */
enum nsdk_nvme_priority nsdk_nvme_qpair_priority(const struct nsdk_nvme_qpair *qp);

/**
 * A command is done.
 * @param cpl  valid during the call. Of a split I/O: the first error, else the last completion.
 * May submit new commands; a poll of its queue pair from inside does nothing; must not destroy it.
 */
typedef void (*nsdk_nvme_cb)(void *ctx, const struct nsdk_nvme_cpl *cpl);

/** Whether a completion reports success. */
static inline bool nsdk_nvme_cpl_ok(const struct nsdk_nvme_cpl *cpl)
{
	return (cpl->status & 0xfffeu) == 0;
}

/**
 * Read or write. The I/O is split where it is above the largest transfer; the callback runs once.
 *
 * @param ns      namespace of the queue pair's controller.
 * @param buf     DMA memory (pool or registered), dword aligned; on the no-snoop path whole lines.
 * @param lba     first block.
 * @param blocks  number of blocks, 1 … 2^32-1.
 * @param flags   NSDK_NVME_RW_FUA, NSDK_NVME_RW_LIMITED_RETRY (bits of cdw12), or 0.
 * @return 0; -EAGAIN the queue pair is full: poll, then try again; -EINVAL beyond the namespace's
 *         end, length, alignment, flags, no callback; -EFAULT not DMA memory of this device; -ENOTSUP
 *         or -EIO a namespace that cannot be used (said at attach: a format that makes no sense or is
 *         not supported); -ENODEV gone; -EIO the controller failed. When not 0 the callback never runs.
 *
 * Blocks with metadata (nsdk/nvme_pi.h): where it is protection information and nothing else, the
 * controller puts it in and takes it off, and checks what it reads. Otherwise -EINVAL: see
 * nsdk_nvme_readv_ext().
 */
int nsdk_nvme_read(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, uint64_t lba,
		   uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);
/** Write; parameters and errors are nsdk_nvme_read()'s. */
int nsdk_nvme_write(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
		    uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);
/**
 * Compare blocks with a buffer; a difference is media status 85h.
 * @return nsdk_nvme_read()'s; -EOPNOTSUPP the controller has no such command (ONCS); -EINVAL blocks with
 *         metadata, which has to be compared too: nsdk_nvme_comparev_ext().
 */
int nsdk_nvme_compare(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
		      uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);

/**
 * The same with a scattered payload.
 * @param iov  valid until the callback; lengths add up to the blocks asked for. What PRPs cannot say goes
 *             out as an SGL where the controller takes those, and pieces then need no alignment at all
 *             (a dword's, if SGLS says so; whole lines on the no-snoop path). Without SGLs, pieces are
 *             dword aligned, and what PRPs cannot say goes out as more commands where block boundaries
 *             allow it, and is -EINVAL where they do not.
 */
int nsdk_nvme_readv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
		    int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
		    void *ctx);
/** Write a scattered payload; see nsdk_nvme_readv(). */
int nsdk_nvme_writev(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
		     int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
		     void *ctx);

/** Compare with a scattered payload; see nsdk_nvme_readv(). @return -EOPNOTSUPP as nsdk_nvme_compare(). */
int nsdk_nvme_comparev(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
		       int iovcnt, uint64_t lba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb,
		       void *ctx);

/** What else a read or write may say. */
struct nsdk_nvme_io_ext {
	size_t ext_bytes; /**< sizeof(struct nsdk_nvme_io_ext) */
	/**
	 * As nsdk_nvme_read() takes them; with protection information also NSDK_NVME_RW_PRACT and
	 * NSDK_NVME_RW_PRCHK_* (nsdk/nvme_pi.h), of which none is implied here.
	 */
	uint32_t flags;
	uint8_t dsm;      /**< hints: NSDK_NVME_RW_DSM_* (NVM 3.2.4, dword 13) */
	bool own_ref_tag; /**< ref_tag is meant, else the low bits of the LBA (types 1 and 2) */
	uint16_t app_tag; /**< written with PRACT, or expected */
	uint16_t app_mask; /**< bits of it that are compared */
	uint8_t dtype;     /**< of a write: enum nsdk_nvme_directive (nsdk/nvme_fdp.h); 0: no directive */
	uint16_t dspec;    /**< what the directive has it for: a placement identifier, a stream */
	/**
	 * Metadata that travels apart, of all blocks: DMA memory, dword aligned; on the no-snoop path it
	 * begins on a cache line and has its last one to itself. NULL where there is none, where
	 * it is extended (the pieces then have each block's behind its data), and where the controller
	 * makes all of it (PRACT, with nothing but protection information in it). Not in the controller
	 * memory buffer; and beside metadata that travels apart the data is there only where the
	 * controller mixes them (CMBLOC.CDMMMS): -EINVAL otherwise.
	 */
	void *metadata;
	uint64_t ref_tag; /**< the first block's reference tag, with own_ref_tag and type 3 */
};

/**
 * nsdk_nvme_readv() with more to say. A queue pair whose commands have hints leaves the shortest ways for
 * a round of its ring, so hints are for those who know that the controller heeds them.
 * @param ext  untouched after the call. @return as nsdk_nvme_readv(); -EINVAL an ext_bytes unknown here; and
 *             a directive where nothing is written, or a placement identifier that the namespace has not
 *             got (said); -EOPNOTSUPP the controller has no such directives.
 */
int nsdk_nvme_readv_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
			nsdk_nvme_cb cb, void *ctx);
/** nsdk_nvme_writev() with more to say; see nsdk_nvme_readv_ext(). */
int nsdk_nvme_writev_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			 int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
			 nsdk_nvme_cb cb, void *ctx);

/** nsdk_nvme_comparev() with more to say; see nsdk_nvme_readv_ext(). No PRACT (NVM 3.2.1). */
int nsdk_nvme_comparev_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			   int iovcnt, uint64_t lba, uint32_t blocks, const struct nsdk_nvme_io_ext *ext,
			   nsdk_nvme_cb cb, void *ctx);

/**
 * Write blocks if they are what the caller expects, as one step that no other command comes between: a
 * fused Compare and Write (NVM 2.1.4).
 *
 * @param expected  as @p buf; both are DMA memory.
 * @param blocks    at most the atomic compare and write unit (NACWU, ACWU) and the largest transfer.
 * @return nsdk_nvme_read()'s; -EOPNOTSUPP the controller does not offer it (FUSES, ONCS), or blocks have
 *         metadata.
 * The callback runs once: with media status 85h and nothing written where the blocks were different,
 * with the write's status where they were not.
 */
int nsdk_nvme_compare_and_write(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				const void *expected, const void *buf, uint64_t lba, uint32_t blocks,
				uint32_t flags, nsdk_nvme_cb cb, void *ctx);

/** Commit the namespace's volatile write cache. */
int nsdk_nvme_flush(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, nsdk_nvme_cb cb, void *ctx);
/**
 * Write zeroes without a buffer; split above 65536 blocks and above what the controller takes at once
 * (WZSL). flags: NSDK_NVME_WZ_DEALLOCATE, and nsdk_nvme_read()'s. @return likewise; -EOPNOTSUPP.
 */
int nsdk_nvme_write_zeroes(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
			   uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);
/**
 * Mark blocks so that reading them fails, until they are written again (NVM 3.2.7); split like
 * nsdk_nvme_write_zeroes(). @return likewise; -EOPNOTSUPP the controller does not offer it (ONCS).
 */
int nsdk_nvme_write_uncorrectable(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
				  uint32_t blocks, nsdk_nvme_cb cb, void *ctx);
/**
 * Have the controller check that blocks can be read, with no data moved (NVM 3.2.5); split like
 * nsdk_nvme_write_zeroes(). flags: nsdk_nvme_read()'s. @return likewise; -EOPNOTSUPP (ONCS).
 */
int nsdk_nvme_verify(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
		     uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);
/**
 * Copy blocks within a namespace: the ranges, one behind the other, to @p lba (NVM 3.2.2).
 *
 * @param ranges  DMA memory, dword aligned, untouched until the callback; format 0.
 * @param count   1 … MSRC + 1; each of at most MSSRL blocks, at most MCL together.
 * @param flags   nsdk_nvme_read()'s.
 * @return 0; -EINVAL count, lengths, ranges or place; -EOPNOTSUPP the controller does not offer it or
 *         not this format (ONCS, OCFS); others are nsdk_nvme_read()'s. When the status is an error, dword
 *         0 of the completion is the first range that was not copied whole.
 */
int nsdk_nvme_copy(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		   const struct nsdk_nvme_copy_range *ranges, unsigned count, uint64_t lba,
		   uint32_t flags, nsdk_nvme_cb cb, void *ctx);
/** The same with ranges in format 1. */
int nsdk_nvme_copy_f1(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		      const struct nsdk_nvme_copy_range_f1 *ranges, unsigned count, uint64_t lba,
		      uint32_t flags, nsdk_nvme_cb cb, void *ctx);

/**
 * Reservations (Base 8.19): register a key, acquire, release, and ask who holds one.
 *
 * The callback gets "Reservation Conflict" where somebody else is in the way; so does any I/O that a
 * reservation forbids. Keys are not DMA memory; they are copied.
 *
 * @param flags  NSDK_NVME_RESV_IGNORE_KEY: the current key is not looked at. For register one of
 *               NSDK_NVME_RESV_PERSIST_ON and _OFF as well: whether it outlives a power loss.
 * @return 0; -EOPNOTSUPP the controller (ONCS) or the namespace (RESCAP) does not offer it; -EINVAL;
 *         -EAGAIN and others as nsdk_nvme_read().
 */
int nsdk_nvme_resv_register(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			    enum nsdk_nvme_resv_register_action action, uint32_t flags,
			    uint64_t current_key, uint64_t new_key, nsdk_nvme_cb cb, void *ctx);
/** Acquire or preempt (Base 7.2); see nsdk_nvme_resv_register(). @p preempt_key: whom to preempt. */
int nsdk_nvme_resv_acquire(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			   enum nsdk_nvme_resv_acquire_action action, enum nsdk_nvme_resv_type type,
			   uint32_t flags, uint64_t current_key, uint64_t preempt_key,
			   nsdk_nvme_cb cb, void *ctx);
/** Release, or clear (Base 7.4), which takes NSDK_NVME_RESV_NONE; see nsdk_nvme_resv_register(). */
int nsdk_nvme_resv_release(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			   enum nsdk_nvme_resv_release_action action, enum nsdk_nvme_resv_type type,
			   uint32_t flags, uint64_t current_key, nsdk_nvme_cb cb, void *ctx);
/**
 * Report (Base 7.5): struct nsdk_nvme_resv_status, then a struct nsdk_nvme_resv_ctrlr for each registered
 * controller, as many as fit. @param buf  DMA memory. @param bytes  a multiple of 4, 24 at least.
 */
int nsdk_nvme_resv_report(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, size_t bytes,
			  nsdk_nvme_cb cb, void *ctx);

/**
 * Dataset management. @return nsdk_nvme_read()'s; -EOPNOTSUPP the controller does not offer it (ONCS).
 * @param ranges  DMA memory, 1 … 256 of them, dword aligned; untouched until the callback.
 * @param attributes  cdw11: NSDK_NVME_DSM_DEALLOCATE and others.
 */
int nsdk_nvme_dsm(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		  const struct nsdk_nvme_dsm_range *ranges, unsigned count, uint32_t attributes,
		  nsdk_nvme_cb cb, void *ctx);

/**
 * Send what has been collected: sync for the device, one fence, one doorbell.
 *
 * On the no-snoop path a large batch may be flushed by others (nsdk_flush_setup()); its doorbell then
 * waits, and later polls of the queue pair ring it. Submit before the queue pair is handed to another
 * thread: its commands were stored by this one.
 * @return 0 or -errno.
 */
int nsdk_nvme_qpair_submit(struct nsdk_nvme_qpair *qp);

/**
 * Submit what was collected, then handle completions and run their callbacks. What has been read past
 * the caches is taken back before; where that takes long, a later poll runs the callbacks.
 *
 * A command that was given up after its deadline ends with what the controller says of it ("Command
 * Abort Requested") or, where nobody knows whether it was carried out, with "Path: Command Aborted By
 * Host". While queues are made again and resets go on, polls do nothing and I/O is refused with
 * -EAGAIN; the queue pair stays the same over all of it.
 *
 * @param max  completions at most; 0: all there are.
 * @return completions of user I/O handled; -ENODEV gone (all outstanding I/O has been completed
 *         with an internal path error); -EIO the controller lied or failed, likewise.
 */
int nsdk_nvme_qpair_poll(struct nsdk_nvme_qpair *qp, unsigned max);

/** I/O of the user that has been accepted and not called back. */
unsigned nsdk_nvme_qpair_outstanding(const struct nsdk_nvme_qpair *qp);

/** Whether the queue pair was given a vector of MSI-X, so that it can be waited for. */
bool nsdk_nvme_qpair_has_interrupt(const struct nsdk_nvme_qpair *qp);
/** Whether the admin queue was given one: opts.interrupts of nsdk_nvme_attach(). */
bool nsdk_nvme_ctrlr_has_interrupt(const struct nsdk_nvme_ctrlr *ctrlr);

/**
 * Queue pairs of any number of controllers that one thread polls together, or waits for, and controllers
 * themselves.
 *
 * To wait: poll until there is nothing; nsdk_nvme_poll_group_arm(); poll once more; if that was nothing
 * either, wait until nsdk_nvme_poll_group_fd() is readable or the time that the arming gave has come; and
 * from the beginning. With a reactor, nsdk_poller_set_sleep() and nsdk_reactor_fd_add() do so.
 * Threading: one thread at a time, that of its queue pairs and controllers.
 */
struct nsdk_nvme_poll_group;

/** What nsdk_nvme_poll_group_create() may be told. */
struct nsdk_nvme_poll_group_opts {
	size_t opts_bytes; /**< sizeof(struct nsdk_nvme_poll_group_opts) */
	/**
	 * A queue pair is dead, and its outstanding I/O has been called back: -ENODEV or -EIO, as a poll of
	 * it would say. Called once for each, from nsdk_nvme_poll_group_poll(), which leaves it out from
	 * then on; it may be removed and destroyed from inside, but not the group. NULL: it is left out
	 * silently.
	 */
	void (*failed)(void *ctx, struct nsdk_nvme_qpair *qp, int error);
	void *ctx; /**< for failed and ctrlr_failed */
	/** The same of a controller that is in the group: what nsdk_nvme_ctrlr_poll() would return. */
	void (*ctrlr_failed)(void *ctx, struct nsdk_nvme_ctrlr *ctrlr, int error);
};

/** Make an empty group. @param opts  NULL for defaults. @return 0; -ENOMEM; other -errno. Logged. */
int nsdk_nvme_poll_group_create(const struct nsdk_nvme_poll_group_opts *opts,
				struct nsdk_nvme_poll_group **out);
/** The opposite; NULL is fine. @return 0; -EBUSY something is left in it (logged, nothing was done). */
int nsdk_nvme_poll_group_destroy(struct nsdk_nvme_poll_group *group);

/** Add a queue pair. @return 0; -EBUSY it is in one already, or inside a poll; -ENOMEM. Logged. */
int nsdk_nvme_poll_group_add(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_qpair *qp);
/** Take one out; destroying it does so by itself. @return 0; -ENOENT; -EBUSY inside a poll. Logged. */
int nsdk_nvme_poll_group_remove(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_qpair *qp);

/**
 * Have the group do what nsdk_nvme_ctrlr_poll() is for, which nobody calls then: who waits for the group
 * is woken by the completion of an admin command, by an asynchronous event and when something has to be
 * done for a queue pair, whichever thread's that is. Attached with opts.interrupts, the controller is
 * looked at every few seconds otherwise; without an interrupt, five times a second, and 50 times while a
 * command is under way.
 *
 * Callbacks of admin commands and events run inside nsdk_nvme_poll_group_poll(), where nothing can be added
 * to the group or removed.
 *
 * @param ctrlr  up; in one group at most, whatever group its queue pairs are in.
 * @return 0; -EBUSY it is in one already, or inside a poll; -ENOMEM. Logged.
 * Threading: the group's thread is from now on the one that nsdk_nvme_ctrlr_poll() speaks of.
 * Source: Base 3.1.3.10 (the admin queue's vector), 5.2 (events).
 */
int nsdk_nvme_poll_group_add_ctrlr(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_ctrlr *ctrlr);
/** Take one out; its detach does so by itself. @return 0; -ENOENT; -EBUSY inside a poll. Logged. */
int nsdk_nvme_poll_group_remove_ctrlr(struct nsdk_nvme_poll_group *group, struct nsdk_nvme_ctrlr *ctrlr);

/**
 * nsdk_nvme_qpair_poll() of all of them, and of controllers what they need.
 * @param max  completions at most, in all; 0: all there are. Those of admin commands are handled all.
 * @return completions of user I/O and of admin commands handled. Failures are the opts' failed()'s and
 *         ctrlr_failed()'s.
 */
int nsdk_nvme_poll_group_poll(struct nsdk_nvme_poll_group *group, unsigned max);

/**
 * Have completions make nsdk_nvme_poll_group_fd() readable from now on, and forget that it was. What was
 * completed before does not: poll once more before you wait. To be called before each wait; all but the
 * first cost one system call.
 *
 * @param[in,out] wake_ns  lowered to when to poll again at the latest, by nsdk_clock_ns(): deadlines
 *                         of I/O are kept, and an interrupt that got lost is found out then.
 * @return 0; -EAGAIN something is going on that gives no interrupt: poll on; -EOPNOTSUPP a queue pair has
 *         none, or one that cannot be armed (logged, once): none of the group is armed.
 * Fits nsdk_poller_arm_fn but for the type of the first parameter.
 */
int nsdk_nvme_poll_group_arm(struct nsdk_nvme_poll_group *group, uint64_t *wake_ns);
/** Mask the vectors again, for a time of polling. Not needed between two waits. */
void nsdk_nvme_poll_group_disarm(struct nsdk_nvme_poll_group *group);

/**
 * Readable when there may be something to poll; edges are in it of the vectors, of the removal of a
 * device and of its resets. An epoll set, to be added to another one; it is not to be read.
 */
int nsdk_nvme_poll_group_fd(const struct nsdk_nvme_poll_group *group);

/** "Generic: LBA Out of Range", in the specification's words; never NULL. */
const char *nsdk_nvme_status_text(uint16_t status);

#ifdef __cplusplus
}
#endif
#endif
