/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * NVMe administration: any command raw, log pages, namespaces that come and go, events.
 *
 * The nsdk_nvme_cmd_…() functions fill in a command as the specification has it; whoever sends one of
 * them picks how: nsdk_nvme_admin_passthru() from a reactor, nsdk_nvme_admin_sync() from a tool that
 * may wait. What is not there is a struct nsdk_nvme_cmd filled in by hand.
 *
 * Threading: as for nsdk_nvme_ctrlr_poll(), one thread at a time for each controller. What is said to happen
 * inside of that happens in nsdk_nvme_poll_group_poll() where the controller is in a poll group.
 */
#ifndef NSDK_NVME_ADMIN_H
#define NSDK_NVME_ADMIN_H

#include <string.h>

#include <nsdk/nvme.h>
#include <nsdk/nvme_log_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Raw commands ---- */

/**
 * Send any admin command. The callback runs inside nsdk_nvme_ctrlr_poll(), once.
 *
 * The driver fills in the command id and the PRPs, and syncs the data as it does for I/O. A command
 * that changes namespaces (Format NVM, Namespace Management, Namespace Attachment) is followed by a
 * look at what there is then, before the callback: meanwhile, a namespace that is being formatted or
 * deleted refuses I/O with -EBUSY, and one that is gone refuses it with -ENODEV from then on. What is in
 * flight on such a namespace is for the caller to wait for before.
 *
 * @param cmd    cid, prp1 and prp2 are ignored.
 * @param buf    DMA memory (pool or registered) until the callback, dword aligned; on the no-snoop path
 *               whole lines. NULL: no data. A command that moves more than @p bytes goes beyond it, in
 *               the same page: nothing in a PRP says where a buffer ends.
 * @param bytes  of the buffer, a multiple of 4; at most nsdk_nvme_ctrlr_max_transfer_bytes().
 * @param dir    has to be the one that bits 1:0 of the opcode say (Base 3.3.3.1, figure 86).
 * @param timeout_ns  after that long without an answer the controller is taken out; 0: what
 *               nsdk_nvme_opts says.
 * @return 0; -EAGAIN too many at a time: poll; -EINVAL length, alignment, direction, no callback; -EFAULT
 *         not DMA memory of this device; -EPERM it would break the driver (making or deleting queues,
 *         Asynchronous Event Request, Doorbell Buffer Config, Set Features for the Number of Queues, the
 *         Host Memory Buffer or Host Behavior Support, SGLs, a metadata pointer, fused commands); -ENOMEM;
 *         why the controller failed. Nothing is logged.
 */
int nsdk_nvme_admin_passthru(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
			     void *buf, size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
			     nsdk_nvme_cb cb, void *ctx);

/**
 * Send any I/O command; as nsdk_nvme_admin_passthru(), on a queue pair and with its rules.
 *
 * @param ns   the namespace; NULL: the NSID is as in @p cmd, and nothing is known of its blocks: where
 *             they have metadata apart, reads and writes are for nsdk_nvme_readv_ext() and its kin. Neither
 *             the range nor the length is checked against the namespace.
 * @return as nsdk_nvme_admin_passthru(); -EAGAIN the queue pair is full; -EPERM also Read, Write, Compare and
 *         Zone Append where @p ns has metadata apart, which no raw command names memory for (logged), but
 *         for those that have the controller make it all itself: NSDK_NVME_RW_PRACT, and metadata that is
 *         protection information and nothing else.
 * Threading: as nsdk_nvme_read().
 */
int nsdk_nvme_io_passthru(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			  const struct nsdk_nvme_cmd *cmd, void *buf, size_t bytes,
			  enum nsdk_dma_dir dir, nsdk_nvme_cb cb, void *ctx);

/**
 * Send any admin command and wait for its answer; for tools, not for reactors.
 *
 * @param data   any memory: it is copied. NULL: no data.
 * @param bytes  any number up to nsdk_nvme_ctrlr_max_transfer_bytes().
 * @param[out] cpl  the answer, whatever its status.
 * @return 0 it was answered; -EDEADLK inside a callback of this controller; as
 *         nsdk_nvme_admin_passthru().
 */
int nsdk_nvme_admin_sync(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd, void *data,
			 size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
			 struct nsdk_nvme_cpl *cpl);

/** The direction that an opcode says (Base figure 86, bits 1:0); with no data: to the device. */
static inline enum nsdk_dma_dir nsdk_nvme_opcode_dir(uint8_t opcode)
{
	switch (opcode & 3) {
	case 2:
		return NSDK_DMA_FROM_DEVICE;
	case 3:
		return NSDK_DMA_BIDIRECTIONAL;
	default:
		return NSDK_DMA_TO_DEVICE;
	}
}

/* ---- Log pages ---- */

/** Which log page (Base 5.16, Get Log Page); all zero but lid is a good default. */
struct nsdk_nvme_log_opts {
	size_t opts_bytes;    /**< sizeof(struct nsdk_nvme_log_opts) */
	uint32_t nsid;        /**< 0 or 0xffffffff: of the controller */
	uint8_t lid;          /**< log page identifier */
	uint8_t lsp;          /**< log specific parameter, 7 bits */
	uint16_t lsi;         /**< log specific identifier */
	uint8_t csi;          /**< command set identifier */
	uint8_t uuid_index;   /**< UUID index, 7 bits */
	bool retain_event;    /**< the event that told of it stays as it is (RAE) */
	bool offset_is_index; /**< OT: the offset counts entries, so all of it is one command */
	uint64_t offset;      /**< where to begin, in bytes; a multiple of 4 */
	uint64_t timeout_ns;  /**< for each command; 0: what nsdk_nvme_opts says */
};

/**
 * Read a log page of any size, in as many commands as the largest transfer makes of it, and wait.
 *
 * While it is read in pieces the event of its kind is retained (RAE) until the last piece, so that it
 * is one page that is read, or the next event tells.
 *
 * @param data   any memory, untouched where the read fails.
 * @param bytes  not 0.
 * @param[out] cpl  of the first command that failed, or the last.
 * @return as nsdk_nvme_admin_sync(); -ENOTSUP more than one command, or an offset, and the controller
 *         takes no offsets (LPA bit 2).
 */
int nsdk_nvme_get_log(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_log_opts *opts,
		      void *data, size_t bytes, struct nsdk_nvme_cpl *cpl);

/**
 * Give the controller a firmware image, piece by piece (Base 5.12), and wait. nsdk_nvme_cmd_fw_commit()
 * puts it to use.
 *
 * @param image  any memory.
 * @param bytes  a multiple of 4.
 * @param piece_bytes  of one command; 0: what the controller wants (FWUG), at most its largest transfer.
 * @param[out] cpl  of the first command that failed, or the last.
 * @return as nsdk_nvme_admin_sync().
 */
int nsdk_nvme_fw_download(struct nsdk_nvme_ctrlr *ctrlr, const void *image, size_t bytes,
			  size_t piece_bytes, struct nsdk_nvme_cpl *cpl);

/* ---- Events ---- */

/** An asynchronous event (Base 5.2, figure 145 and those behind it). */
struct nsdk_nvme_event {
	uint8_t type;      /**< 0 error, 1 health, 2 notice, 6 of the command set, 7 vendor's */
	uint8_t info;      /**< which of that type */
	uint8_t log_page;  /**< the page that tells more; reading it makes the controller tell again */
	const char *text;  /**< in words */
};

/** What a controller has told; inside nsdk_nvme_ctrlr_poll(). May send commands. */
typedef void (*nsdk_nvme_event_cb)(void *ctx, struct nsdk_nvme_ctrlr *ctrlr,
				   const struct nsdk_nvme_event *event);

/**
 * Be called at each asynchronous event, once the driver has handled it: it says every event in its
 * log, and when the namespaces have changed it has looked at what there is now.
 * @param cb  NULL: nobody.
 */
void nsdk_nvme_ctrlr_on_event(struct nsdk_nvme_ctrlr *ctrlr, nsdk_nvme_event_cb cb, void *ctx);

/* ---- Names ---- */

/** "Temperature Threshold": a feature identifier in the specification's words; never NULL. */
const char *nsdk_nvme_feature_name(uint8_t fid);
/** Bytes of data that go with a feature, 0 for none (Base 5.27.1). */
size_t nsdk_nvme_feature_bytes(uint8_t fid);
/** "Format NVM": an admin opcode in the specification's words; never NULL. */
const char *nsdk_nvme_admin_opcode_name(uint8_t opcode);
/** "Write Zeroes": an I/O opcode in the specification's words; never NULL. */
const char *nsdk_nvme_io_opcode_name(uint8_t opcode);

/* ---- Commands ---- */

/** A command with nothing but its opcode. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_of(uint8_t opcode)
{
	struct nsdk_nvme_cmd cmd;

	memset(&cmd, 0, sizeof(cmd));
	cmd.opcode = opcode;
	return cmd;
}

/** Identify (Base 5.17): 4096 bytes from the device. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_identify(uint8_t cns, uint32_t nsid, uint16_t cntid,
							  uint8_t csi)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_IDENTIFY);

	cmd.nsid = nsid;
	cmd.cdw10 = (uint32_t)cntid << 16 | cns;
	cmd.cdw11 = (uint32_t)csi << 24;
	return cmd;
}

/** What Get Features is to tell. */
enum nsdk_nvme_feature_select {
	NSDK_NVME_FEATURE_CURRENT = 0,
	NSDK_NVME_FEATURE_DEFAULT = 1,
	NSDK_NVME_FEATURE_SAVED = 2,
	NSDK_NVME_FEATURE_CAPABILITIES = 3,
};

/** Get Features (Base 5.15); the value is dw0 of the completion. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_get_features(uint8_t fid,
							      enum nsdk_nvme_feature_select select,
							      uint32_t nsid, uint32_t cdw11)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_GET_FEATURES);

	cmd.nsid = nsid;
	cmd.cdw10 = (uint32_t)select << 8 | fid;
	cmd.cdw11 = cdw11;
	return cmd;
}

/** Set Features (Base 5.27). @param save  keep it over resets. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_set_features(uint8_t fid, bool save, uint32_t nsid,
							      uint32_t value, uint32_t cdw12)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_SET_FEATURES);

	cmd.nsid = nsid;
	cmd.cdw10 = (save ? 1u << 31 : 0) | fid;
	cmd.cdw11 = value;
	cmd.cdw12 = cdw12;
	return cmd;
}

/**
 * Namespace Management, Create (Base 5.23): 4096 bytes to the device, an Identify Namespace structure
 * whose nsze, ncap, flbas, dps, nmic, anagrpid, nvmsetid and endgid count. The new NSID is dw0 of the
 * completion; it has to be attached to a controller to be of use.
 */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_ns_create(uint8_t csi)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_NS_MANAGEMENT);

	cmd.cdw11 = (uint32_t)csi << 24;
	return cmd;
}

/** Namespace Management, Delete (Base 5.23). @param nsid  NSDK_NVME_NSID_ALL: all of them. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_ns_delete(uint32_t nsid)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_NS_MANAGEMENT);

	cmd.nsid = nsid;
	cmd.cdw10 = 1;
	return cmd;
}

/**
 * Namespace Attachment (Base 5.22): 4096 bytes to the device, struct nsdk_nvme_ctrlr_list.
 * @param detach  detach instead.
 */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_ns_attach(uint32_t nsid, bool detach)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_NS_ATTACHMENT);

	cmd.nsid = nsid;
	cmd.cdw10 = detach ? 1 : 0;
	return cmd;
}

/**
 * Format NVM (Base 5.14): all data of the namespace is lost.
 *
 * @param format  LBA format index, 0 … 63.
 * @param mset  metadata goes with the data (extended blocks).
 * @param pi  type of protection, 0 … 3. @param pil  it is in the first bytes of the metadata.
 * @param ses  secure erase: 0 none, 1 user data, 2 cryptographic.
 */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_format(uint32_t nsid, uint8_t format, bool mset,
							uint8_t pi, bool pil, uint8_t ses)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_FORMAT);

	cmd.nsid = nsid;
	cmd.cdw10 = (uint32_t)(format & 0xf) | (mset ? 1u << 4 : 0) | (uint32_t)(pi & 7) << 5 |
		    (pil ? 1u << 8 : 0) | (uint32_t)(ses & 7) << 9 |
		    (uint32_t)(format >> 4 & 3) << 12;
	return cmd;
}

/** What Sanitize is to do (Base figure 303). */
enum nsdk_nvme_sanitize_action {
	NSDK_NVME_SANITIZE_EXIT_FAILURE = 1,
	NSDK_NVME_SANITIZE_BLOCK_ERASE = 2,
	NSDK_NVME_SANITIZE_OVERWRITE = 3,
	NSDK_NVME_SANITIZE_CRYPTO_ERASE = 4,
};

/**
 * Sanitize (Base 5.24): all data of the subsystem is lost, in the background; the sanitize status log
 * page tells how far it is.
 *
 * @param ause  may end in failure without locking the media.
 * @param passes  of an overwrite, 1 … 16. @param invert  the pattern between them.
 * @param no_deallocate  afterwards.
 * @param pattern  of an overwrite.
 */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_sanitize(enum nsdk_nvme_sanitize_action action,
							  bool ause, unsigned passes, bool invert,
							  bool no_deallocate, uint32_t pattern)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_SANITIZE);

	cmd.cdw10 = (uint32_t)action | (ause ? 1u << 3 : 0) | (uint32_t)(passes & 0xf) << 4 |
		    (invert ? 1u << 8 : 0) | (no_deallocate ? 1u << 9 : 0);
	cmd.cdw11 = pattern;
	return cmd;
}

/** Firmware Image Download (Base 5.12). @param bytes, offset_bytes  multiples of 4. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_fw_download(size_t bytes, uint64_t offset_bytes)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_FW_DOWNLOAD);

	cmd.cdw10 = (uint32_t)(bytes / 4 - 1);
	cmd.cdw11 = (uint32_t)(offset_bytes / 4);
	return cmd;
}

/** Firmware Commit (Base 5.11). @param slot  0 … 7. @param action  CA, 0 … 7. @param bpid  0 or 1. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_fw_commit(uint8_t slot, uint8_t action, uint8_t bpid)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_FW_COMMIT);

	cmd.cdw10 = (uint32_t)(slot & 7) | (uint32_t)(action & 7) << 3 | (uint32_t)(bpid & 1) << 31;
	return cmd;
}

/** Security Send (Base 5.26). @param secp  protocol. @param spsp  its own. @param nssf  NVMe's own. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_security_send(uint32_t nsid, uint8_t secp,
							       uint16_t spsp, uint8_t nssf,
							       uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_SECURITY_SEND);

	cmd.nsid = nsid;
	cmd.cdw10 = (uint32_t)secp << 24 | (uint32_t)spsp << 8 | nssf;
	cmd.cdw11 = bytes;
	return cmd;
}

/** Security Receive (Base 5.25); parameters as of nsdk_nvme_cmd_security_send(). */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_security_receive(uint32_t nsid, uint8_t secp,
								  uint16_t spsp, uint8_t nssf,
								  uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_security_send(nsid, secp, spsp, nssf, bytes);

	cmd.opcode = NSDK_NVME_ADMIN_SECURITY_RECEIVE;
	return cmd;
}

/** Device Self-test (Base 5.9). @param code  1 short, 2 extended, 0xe the vendor's, 0xf abort. */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_self_test(uint32_t nsid, uint8_t code)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_SELF_TEST);

	cmd.nsid = nsid;
	cmd.cdw10 = code & 0xf;
	return cmd;
}

/**
 * Get LBA Status (NVM 4.2.1): struct nsdk_nvme_lba_status from the device.
 * @param blocks  how many to look at. @param action  0x10 after a scan, 0x11 what is known.
 */
static inline struct nsdk_nvme_cmd nsdk_nvme_cmd_get_lba_status(uint32_t nsid, uint64_t lba,
								uint16_t blocks, uint8_t action,
								uint32_t bytes)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_GET_LBA_STATUS);

	cmd.nsid = nsid;
	cmd.cdw10 = (uint32_t)lba;
	cmd.cdw11 = (uint32_t)(lba >> 32);
	cmd.cdw12 = bytes / 4 - 1;
	cmd.cdw13 = (uint32_t)action << 24 | blocks;
	return cmd;
}

#ifdef __cplusplus
}
#endif
#endif
