/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * NVMe: directives (Base 8.7), and flexible data placement, which is one of them: whoever writes says what
 * belongs together, and what dies together is then erased together (TP4146, Base 2.1 8.1.10).
 *
 *	a namespace       has placement handles, as whoever created it wanted them
 *	a handle          is one of the endurance group's reclaim unit handles, which namespaces may share
 *	such a handle     points at one reclaim unit in each reclaim group, and goes on to another one
 *	                  when that is full, or when it is told to: nsdk_nvme_ruh_update()
 *	an identifier     names a handle and a group; struct nsdk_nvme_io_ext of a write has it in dspec, with
 *	                  dtype NSDK_NVME_DIRECTIVE_PLACEMENT
 *
 * Writes that say nothing go where the namespace's first handle points.
 *
 * What a controller says of all this is checked: counts and sizes that contradict each other are -EIO, said
 * once. An identifier that a namespace has not got is refused before it goes out; which ones it has it is
 * asked for once, by nsdk_nvme_placement_learn() or nsdk_nvme_ruh_status().
 */
#ifndef NSDK_NVME_FDP_H
#define NSDK_NVME_FDP_H

#include <nsdk/nvme_admin.h>
#include <nsdk/nvme_fdp_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Directives ---- */

/**
 * Directive Receive (Base 5.10).
 * @param type   enum nsdk_nvme_directive, or another. @param operation, spec  of that type.
 * @param bytes  that the device is to give, a multiple of 4; 0: none.
 * @param cdw12  of that operation.
 */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_directive_receive(uint32_t nsid, uint8_t type,
								   uint8_t operation, uint16_t spec,
								   uint32_t bytes, uint32_t cdw12)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE);

	cmd.nsid = nsid;
	cmd.cdw10 = bytes ? bytes / 4 - 1 : 0;
	cmd.cdw11 = NSDK_NVME_DIRECTIVE_CDW11(type, operation, spec);
	cmd.cdw12 = cdw12;
	return cmd;
}

/** Directive Send (Base 5.11); parameters as of nsdk_nvme_cmd_directive_receive(). */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_directive_send(uint32_t nsid, uint8_t type,
								uint8_t operation, uint16_t spec,
								uint32_t bytes, uint32_t cdw12)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_directive_receive(nsid, type, operation, spec, bytes,
								   cdw12);

	cmd.opcode = NSDK_NVME_ADMIN_DIRECTIVE_SEND;
	return cmd;
}

/** Whether a type's bit is set in one of the fields of struct nsdk_nvme_directives. */
static inline bool nsdk_nvme_directive_in(const uint8_t bits[32], uint8_t type)
{
	return bits[type / 8] >> (type % 8) & 1;
}

/**
 * Which directives a namespace knows, and which are on; waits.
 * @param[out] cpl  the answer, whatever its status.
 * @return 0 it was answered; -EIO it contradicts itself (said); -EOPNOTSUPP the controller has none (OACS);
 *         others as nsdk_nvme_admin_sync().
 * Source: Base 8.7.2.1.1.
 */
int nsdk_nvme_directives(struct nsdk_nvme_ns *ns, struct nsdk_nvme_directives *out,
			 struct nsdk_nvme_cpl *cpl);

/**
 * Turn a type of directive on or off for a namespace; waits. @return as nsdk_nvme_directives(); -EINVAL the
 * Identify directive. Source: Base 8.7.2.2.1.
 */
int nsdk_nvme_directive_enable(struct nsdk_nvme_ns *ns, uint8_t type, bool on, struct nsdk_nvme_cpl *cpl);

/* ---- Placement identifiers of a namespace ---- */

/** Its endurance group; 0: none. */
uint16_t nsdk_nvme_ns_endgid(const struct nsdk_nvme_ns *ns);

/**
 * Ask a namespace which placement identifiers it has, and wait: for set-up, not for reactors. A namespace
 * that has gone and come back, or turns out to be another one under the same number (NGUID, EUI64, ENDGID),
 * has to be asked again.
 *
 * @param qp  any of the controller's, of this thread; I/O under way on it goes on.
 * @param[out] cpl  the answer, whatever its status.
 * @return 0 it was answered; -EIO it contradicts itself (said); -EOPNOTSUPP no flexible data placement
 *         here (CTRATT, ENDGID); -EDEADLK inside a callback of that queue pair; -ENOMEM; -ENOTSUP more
 *         than one command can tell (said); others as nsdk_nvme_flush().
 * Threading: that of nsdk_nvme_ctrlr_poll(), which is called meanwhile.
 */
int nsdk_nvme_placement_learn(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cpl *cpl);

/**
 * The placement identifiers of a namespace, in ascending order, valid until detach.
 * @return how many; 0: nobody has asked it yet.
 */
unsigned nsdk_nvme_ns_placements(const struct nsdk_nvme_ns *ns, const uint16_t **out);

/**
 * I/O Management Receive, Reclaim Unit Handle Status: struct nsdk_nvme_ruh_status_header, and behind it
 * a struct nsdk_nvme_ruh_status for each placement identifier, as many as fit.
 *
 * @param buf    DMA memory, dword aligned; on the no-snoop path whole lines.
 * @param bytes  a multiple of 4, 16 at least, at most the largest transfer.
 * @return 0; -EINVAL; -EOPNOTSUPP no flexible data placement here; -EFAULT; others as nsdk_nvme_flush().
 * Source: Base 2.1 7.3.1.1, NVM 1.1 3.2.1.1.
 */
int nsdk_nvme_ruh_status(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, size_t bytes,
			 nsdk_nvme_cb cb, void *ctx);
/**
 * Look at what came of it, once it has gone well: if it is all there, these are the namespace's placement
 * identifiers from now on, for nsdk_nvme_ns_placements() and for writes.
 *
 * @param bytes  as they were asked for.
 * @param[out] count  placement identifiers of the namespace, of which not all need be there.
 * @return 0; -EIO it contradicts itself (said); -ENOSPC not all of it is there; -EINVAL not even its head
 *         is; -ENOMEM.
 * Threading: one thread at a time for each namespace; writes may go on.
 */
int nsdk_nvme_ruh_status_take(struct nsdk_nvme_ns *ns, const void *buf, size_t bytes, unsigned *count);

/**
 * I/O Management Send, Reclaim Unit Handle Update: let placement identifiers go on to empty reclaim units.
 *
 * @param pids   DMA memory, dword aligned, with room for whole dwords; untouched until the callback.
 * @param count  1 … 65536; each has to be one of the namespace's.
 * @return 0; -EINVAL count, alignment, or one that the namespace has not got (said); others as
 *         nsdk_nvme_ruh_status().
 * Source: Base 2.1 7.4.1.1.
 */
int nsdk_nvme_ruh_update(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const uint16_t *pids,
			 unsigned count, nsdk_nvme_cb cb, void *ctx);

/* ---- Other commands with a directive; writes have nsdk_nvme_writev_ext() ---- */

/**
 * nsdk_nvme_write_zeroes() with a directive.
 * @param ext  flags, dtype and dspec count; the rest is to be zero.
 * @return as nsdk_nvme_write_zeroes(); -EINVAL also a placement identifier that is not one (said).
 */
int nsdk_nvme_write_zeroes_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t lba,
			       uint32_t blocks, const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb,
			       void *ctx);
/** nsdk_nvme_copy() with a directive for where it is written; see nsdk_nvme_write_zeroes_ext(). */
int nsdk_nvme_copy_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		       const struct nsdk_nvme_copy_range *ranges, unsigned count, uint64_t lba,
		       const struct nsdk_nvme_io_ext *ext, nsdk_nvme_cb cb, void *ctx);

/* ---- Log pages and features; all of these wait ---- */

/** One configuration that an endurance group may have. */
struct nsdk_nvme_fdp_config {
	bool valid;           /**< it may be chosen; else nothing else counts */
	bool write_cache;     /**< there is a volatile write cache with it */
	uint8_t rgif;         /**< upper bits of a placement identifier that are the reclaim group */
	uint8_t attributes;   /**< these three, as the log page has them */
	uint8_t vss;          /**< bytes that are the vendor's */
	uint32_t groups;      /**< reclaim groups */
	uint32_t handles;     /**< reclaim unit handles */
	uint32_t max_pids;    /**< placement identifiers of a namespace, at most */
	uint32_t namespaces;  /**< at most */
	uint64_t unit_bytes;  /**< of a reclaim unit */
	uint32_t time_limit_s; /**< that a unit may stay open; 0: not said */
	const struct nsdk_nvme_fdp_ruh_desc *ruhs; /**< so many as handles */
};

/**
 * The configurations of an endurance group; log page 20h.
 *
 * @param[out] out  an array, to be freed by free(), also what it points to; NULL unless there are any.
 * @param[out] cpl  of the first command that failed, or the last.
 * @return 0 it was answered, and with a good status *out is there; -EIO it contradicts itself (said);
 *         -ENOMEM; others as nsdk_nvme_get_log().
 * Source: Base 2.1 5.1.12.1.28.
 */
int nsdk_nvme_fdp_configs(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, struct nsdk_nvme_fdp_config **out,
			  unsigned *count, struct nsdk_nvme_cpl *cpl);

/**
 * What reclaim unit handles are used for; log page 21h. See nsdk_nvme_fdp_configs().
 * @param[out] out  enum nsdk_nvme_fdp_ruh_usage for each, to be freed by free().
 * Source: Base 2.1 5.1.12.1.29.
 */
int nsdk_nvme_fdp_usage(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, uint8_t **out, unsigned *count,
			struct nsdk_nvme_cpl *cpl);

/** What was written and erased; log page 22h. @return as nsdk_nvme_get_log(). Source: Base 2.1 5.1.12.1.30 */
int nsdk_nvme_fdp_stats(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, struct nsdk_nvme_fdp_stats *out,
			struct nsdk_nvme_cpl *cpl);

/**
 * What has happened; log page 23h.
 * @param host  host events, else the controller's.
 * @param[out] count  of events in @p out, with a good status.
 * @return as nsdk_nvme_get_log(); -EIO it contradicts itself (said). Source: Base 2.1 5.1.12.1.31.
 */
int nsdk_nvme_fdp_events(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, bool host,
			 struct nsdk_nvme_fdp_event out[NSDK_NVME_FDP_MAX_EVENTS], unsigned *count,
			 struct nsdk_nvme_cpl *cpl);

/** "Media Reallocated": an event in the specification's words; never NULL. */
const char *nsdk_nvme_fdp_event_name(uint8_t type);

/**
 * Whether an endurance group has flexible data placement on, and with which configuration.
 * @return as nsdk_nvme_admin_sync(). Source: Base 2.1 5.1.25.1.20.
 */
int nsdk_nvme_fdp_get(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, bool *on, uint8_t *index,
		      struct nsdk_nvme_cpl *cpl);
/**
 * Set that; only of an endurance group without namespaces. It lasts over resets.
 * @return as nsdk_nvme_fdp_get().
 */
int nsdk_nvme_fdp_set(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, bool on, uint8_t index,
		      struct nsdk_nvme_cpl *cpl);

/**
 * Which events a placement handle of a namespace can log, and which of them it does.
 *
 * @param out    room for @p max, 1 … 255. @param[out] count  so many are there, with a good status.
 * @return as nsdk_nvme_admin_sync(); -EIO it contradicts itself (said). Source: Base 2.1 5.1.25.1.21.
 */
int nsdk_nvme_fdp_get_events(struct nsdk_nvme_ns *ns, uint16_t handle, struct nsdk_nvme_fdp_event_state *out,
			     unsigned max, unsigned *count, struct nsdk_nvme_cpl *cpl);
/**
 * Have a placement handle log events, or no longer.
 * @param types  enum nsdk_nvme_fdp_event_type. @param count  of them, 1 … 255.
 * @param save  over resets. @return as nsdk_nvme_admin_sync().
 */
int nsdk_nvme_fdp_set_events(struct nsdk_nvme_ns *ns, uint16_t handle, const uint8_t *types, unsigned count,
			     bool on, bool save, struct nsdk_nvme_cpl *cpl);

#ifdef __cplusplus
}
#endif
#endif
