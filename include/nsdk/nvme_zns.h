/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * NVMe: zoned namespaces (ZNS 1.1). Zones are written from their start on, in order, and reset before
 * they are written again.
 *
 * What changes for the commands of nsdk/nvme.h: a write, Write Zeroes or Write Uncorrectable has to
 * begin at its zone's write pointer and to stay within its zone. One that is larger than the
 * controller takes at once goes out piece by piece, each when the one before is done; after an error
 * of one, the zone has what was written before it. Several of one zone at a time may overtake each
 * other: that is what nsdk_nvme_zone_append() is for. Reads that the driver splits are cut at the
 * boundaries of zones where the namespace wants that. After a reset of a controller with zoned
 * namespaces no writes are sent again, whatever nsdk_nvme_qpair_opts says: they end with "Path:
 * Command Aborted By Host", and a report tells what is there.
 *
 * Statuses of zones are "Command Specific", enum nsdk_nvme_sc_zns.
 */
#ifndef NSDK_NVME_ZNS_H
#define NSDK_NVME_ZNS_H

#include <nsdk/nvme.h>
#include <nsdk/nvme_zns_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What is to be known of a zoned namespace. */
struct nsdk_nvme_zoned {
	uint64_t zone_blocks;       /**< from one zone's start to the next's; its capacity may be less */
	uint64_t zones;             /**< how many */
	uint32_t max_open;          /**< zones that are open at a time (MOR); 0: any number */
	uint32_t max_active;        /**< open or closed (MAR); 0: any number */
	uint32_t max_append_blocks; /**< of one Zone Append */
	uint32_t desc_ext_bytes;    /**< of a zone's descriptor extension; 0: there is none */
	bool read_across;           /**< one read may be of several zones (OZCS) */
	struct nsdk_nvme_id_ns_zns id; /**< all that Identify says */
};

/**
 * What a zoned namespace is like. NULL: it is not a zoned one. Valid until detach.
 * Source: ZNS 4.1.5.1, figures 48 and 49.
 */
const struct nsdk_nvme_zoned *nsdk_nvme_ns_zoned(const struct nsdk_nvme_ns *ns);

/**
 * Append to a zone: the controller chooses where, behind all that was written or appended before, and
 * nsdk_nvme_cpl_alba() of the completion says where that was. Any number of one zone may be under way.
 *
 * @param zslba   the zone's first block.
 * @param blocks  1 … max_append_blocks; it is never split.
 * @param flags   as nsdk_nvme_write().
 * @return nsdk_nvme_write()'s; -EINVAL also too many blocks, or not the first block of a zone;
 *         -EOPNOTSUPP not a zoned namespace.
 * Source: ZNS 3.4.1.
 */
int nsdk_nvme_zone_append(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
			  uint64_t zslba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx);
/** The same with a scattered payload, which has to fit into one command; see nsdk_nvme_writev(). */
int nsdk_nvme_zone_appendv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const struct iovec *iov,
			   int iovcnt, uint64_t zslba, uint32_t blocks, uint32_t flags,
			   nsdk_nvme_cb cb, void *ctx);

/** Of a Zone Append that went well: its first block (ALBA). */
static inline uint64_t nsdk_nvme_cpl_alba(const struct nsdk_nvme_cpl *cpl)
{
	return (uint64_t)cpl->dw1 << 32 | cpl->dw0;
}

/**
 * Open, close, finish, reset or take offline a zone, or all zones for which that is possible.
 *
 * @param zslba  the zone's first block; with NSDK_NVME_ZONE_SELECT_ALL it does not matter.
 * @param flags  NSDK_NVME_ZONE_SELECT_ALL or 0.
 * @return 0; -EINVAL not the first block of a zone, flags, an action that is not one of these;
 *         -EOPNOTSUPP not a zoned namespace; others as nsdk_nvme_flush().
 * Source: ZNS 3.4.3.
 */
int nsdk_nvme_zone_mgmt_send(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t zslba,
			     enum nsdk_nvme_zone_action action, uint32_t flags, nsdk_nvme_cb cb,
			     void *ctx);

/**
 * Give an empty zone its descriptor extension; it is closed then, and active.
 * @param ext  desc_ext_bytes of DMA memory, dword aligned; untouched until the callback.
 * @return as nsdk_nvme_zone_mgmt_send(); -EOPNOTSUPP also zones have no extension here; -EFAULT.
 * Source: ZNS 3.4.3.2.5.
 */
int nsdk_nvme_zone_set_desc_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t zslba,
				const void *ext, nsdk_nvme_cb cb, void *ctx);

/**
 * One Zone Management Receive: struct nsdk_nvme_zone_report_header and behind it descriptors, as many
 * as fit. Nothing of what comes is checked; nsdk_nvme_zone_report_start() does that.
 *
 * @param slba      from the zone of this block on.
 * @param extended  with descriptor extensions.
 * @param partial   the header counts those that are there, not those that match.
 * @param buf       DMA memory, dword aligned; on the no-snoop path whole lines.
 * @param bytes     a multiple of 4, 64 at least, at most the largest transfer.
 * @return as nsdk_nvme_zone_mgmt_send(); -EFAULT.
 * Source: ZNS 3.4.2.
 */
int nsdk_nvme_zone_mgmt_recv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t slba,
			     bool extended, enum nsdk_nvme_zone_filter filter, bool partial, void *buf,
			     size_t bytes, nsdk_nvme_cb cb, void *ctx);

/* ---- Reports of any number of zones ---- */

struct nsdk_nvme_zone_report;

/** A zone as a report has it; what is here has been checked against the namespace. */
struct nsdk_nvme_zone {
	uint64_t zslba;      /**< first block */
	uint64_t zcap;       /**< blocks that can be written */
	uint64_t wp;         /**< where it goes on; UINT64_MAX where its state gives it no meaning */
	enum nsdk_nvme_zone_state state; /**< one of those */
	uint8_t type;        /**< NSDK_NVME_ZONE_SEQWRITE_REQUIRED */
	uint8_t attributes;  /**< NSDK_NVME_ZONE_DESC_EXT_VALID and its kin */
	uint8_t attributes_info; /**< more of these */
	const void *ext;     /**< desc_ext_bytes; NULL unless extended and valid */
};

/** Called for each zone, in order. @return whether to go on. */
typedef bool (*nsdk_nvme_zone_cb)(void *ctx, const struct nsdk_nvme_zone *zone);

/** What a report is to have; all zero but opts_bytes: all zones. */
struct nsdk_nvme_zone_report_opts {
	size_t opts_bytes; /**< sizeof(struct nsdk_nvme_zone_report_opts) */
	uint64_t slba;     /**< from the zone of this block on */
	uint64_t max_zones; /**< that many at most; 0: all */
	enum nsdk_nvme_zone_filter filter; /**< only these */
	bool extended;     /**< with descriptor extensions */
	uint64_t timeout_ns; /**< for all of it; 0: only the queue pair's for each command */
};

/**
 * Report zones, with as many commands as it takes, one after the other.
 *
 * Start it, then call nsdk_nvme_zone_report_poll() beside nsdk_nvme_qpair_poll() until it is over. It
 * waits for nothing, and may be used in a reactor; zones are told from inside either poll. What a
 * controller cannot mean is an error, said once: more zones than fit into the buffer, an unknown type
 * or state, zones out of order, a capacity or write pointer outside of the zone.
 *
 * @param buf    DMA memory for one command's answer, untouched until the end, as
 *               nsdk_nvme_zone_mgmt_recv(), and aligned to 8 bytes. The larger the fewer commands.
 * @param bytes  room for the header and one zone at least; more than the largest transfer is not used.
 * @param fn     for each zone.
 * @return 0; others as nsdk_nvme_zone_mgmt_recv(); -ENOMEM. When not 0 nothing was started.
 */
int nsdk_nvme_zone_report_start(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				const struct nsdk_nvme_zone_report_opts *opts, void *buf,
				size_t bytes, nsdk_nvme_zone_cb fn, void *ctx,
				struct nsdk_nvme_zone_report **out);
/**
 * End a report early: it sends nothing any more, and tells of no more zones. It is polled until it is over
 * all the same; once it is stopped that may be after its queue pair was destroyed, and not stopped it
 * must be over before.
 */
void nsdk_nvme_zone_report_stop(struct nsdk_nvme_zone_report *report);
/**
 * One step. Never from inside a callback of the report's queue pair or its own.
 * @param[out] cpl  of the command that failed, all zero where none did; may be NULL.
 * @return -EAGAIN not yet, call again; otherwise it is over and freed: 0; -EIO a command failed, or the
 *         controller contradicts itself (said); -ETIMEDOUT; -ECANCELED it was stopped; what a command was
 *         refused with.
 */
int nsdk_nvme_zone_report_poll(struct nsdk_nvme_zone_report *report, struct nsdk_nvme_cpl *cpl);

/** "EMPTY", "IMP_OPENED", …: a state as nvme-cli writes it; never NULL. */
const char *nsdk_nvme_zone_state_name(enum nsdk_nvme_zone_state state);

#ifdef __cplusplus
}
#endif
#endif
