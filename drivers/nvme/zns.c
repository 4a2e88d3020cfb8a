/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Zoned namespaces (ZNS 1.1): what they say of themselves, and the commands that only they have. Reports
 * of many zones are zns_report.c's.
 *
 * A zoned namespace is found by the list of those with that command set, which is asked for where the
 * controller was enabled with all command sets (init.c, rescan.c). Whatever else is done with blocks
 * goes the ways of any namespace, with two exceptions, both in split.c: pieces of a large write go out
 * one at a time, and reads are cut at the boundaries of zones if the namespace cannot read across. For
 * the second, the short ways are closed (ns.c), since they do not look at zones.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>

#include <nsdk/nvme_zns.h>

/* ---- What they are like ---- */

const struct nsdk_nvme_zoned *nsdk_nvme_ns_zoned(const struct nsdk_nvme_ns *ns)
{
	return ns->is_zoned ? ns->zoned : NULL;
}

/* It is on the list of zoned ones; what it is like comes next. @return 0 or -ENOMEM, said. */
int nsdk_nvme_zns_mark(struct nsdk_nvme_ns *ns)
{
	if (!ns->zoned)
		ns->zoned = calloc(1, sizeof(*ns->zoned));
	ns->zoned_listed = true;
	if (!ns->zoned)
		return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for namespace %u",
				 nsdk_device_name(ns->ctrlr->dev), ns->nsid);
	if (!ns->is_zoned)
		nsdk_nvme_ns_close(ns, -EBUSY);
	ns->is_zoned = true;
	/* From now on no queue pair of it sends a write twice (deadline.c). */
	atomic_store_explicit(&ns->ctrlr->any_zoned, true, memory_order_relaxed);
	return 0;
}

/*
 * One page of the list of zoned namespaces, those above @p after.
 *
 * @param[out] next  ask again for ids above this; 0: that was all.
 * @return 0; -EIO it contradicts itself; -ENOMEM.
 */
int nsdk_nvme_zns_take_list(struct nsdk_nvme_ctrlr *ctrlr, uint32_t after, uint32_t *next)
{
	const uint32_t *list = ctrlr->id_buffer;
	uint32_t last = after;

	*next = 0;
	for (unsigned i = 0; i < NSDK_NVME_NS_LIST_ENTRIES; i++) {
		struct nsdk_nvme_ns *ns;
		int err;

		if (list[i] == 0)
			return 0;
		if (list[i] <= last || list[i] > NSDK_NVME_NSID_ALL - 2)
			return nsdk_fail(-EIO, "nvme",
					 "%s: the list of zoned namespaces has %u behind %u, which is not "
					 "in order; the controller cannot be trusted",
					 nsdk_device_name(ctrlr->dev), list[i], last);
		last = list[i];
		/* One that has come since the list of all is found by the look that its event asks for. */
		ns = nsdk_nvme_ns_find(ctrlr, last);
		err = ns ? nsdk_nvme_zns_mark(ns) : 0;
		if (err)
			return err;
	}
	*next = last;
	return 0;
}

/* Identify Controller of the command set; NULL: it did not say. */
void nsdk_nvme_zns_limits(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_id_ctrl_zns *id)
{
	unsigned shift = 12 + NSDK_NVME_CAP_MPSMIN(ctrlr->cap) + (id ? id->zasl : 0);

	ctrlr->max_append_bytes = ctrlr->max_transfer_bytes;
	if (id && id->zasl && shift < 31 && (size_t)1 << shift < ctrlr->max_append_bytes)
		ctrlr->max_append_bytes = (size_t)1 << shift;
}

static void refuse_ns(struct nsdk_nvme_ns *ns, const char *why)
{
	nsdk_nvme_ns_close(ns, -EIO);
	nsdk_log(NSDK_LOG_WARN, "nvme",
		 "%s: namespace %u cannot be used: it is zoned, and Identify reports %s",
		 nsdk_device_name(ns->ctrlr->dev), ns->nsid, why);
}

/*
 * Takes Identify Namespace data of the command set in, once nsdk_nvme_ns_fill() has.
 * @param id  NULL: the controller did not say. @return whether zones are as large as before.
 */
bool nsdk_nvme_zns_fill(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns_zns *id)
{
	struct nsdk_nvme_zoned *zoned = ns->zoned;
	const struct nsdk_nvme_zns_lbafe *format = id ? &id->lbafe[nsdk_nvme_ns_format(&ns->id)] : NULL;
	uint64_t before = zoned->zone_blocks, blocks = format ? format->zsze : 0;
	size_t append;

	if (!ns->fit)
		return true; /* it has been said why */
	if (blocks == 0 || blocks > ns->blocks) {
		zoned->zone_blocks = 0;
		refuse_ns(ns, !id ? "nothing of its zones" :
			      blocks ? "zones that are larger than it is" : "zones without blocks");
		return true;
	}
	zoned->id = *id;
	zoned->zones = (ns->blocks - 1) / blocks + 1;
	/* 0's based, and all ones for no limit: one more is what we say, and 0. */
	zoned->max_open = id->mor + 1;
	zoned->max_active = id->mar + 1;
	zoned->desc_ext_bytes = format->zdes * 64u;
	zoned->read_across = id->ozcs & NSDK_NVME_OZCS_READ_ACROSS;
	append = ns->ctrlr->max_append_bytes >> ns->block_shift;
	zoned->max_append_blocks = append > NVME_COMMAND_BLOCKS ? NVME_COMMAND_BLOCKS : (uint32_t)append;
	zoned->zone_blocks = blocks;
	/* Now that its zones are known it is opened, each way that goes with them. */
	nsdk_nvme_ns_fill(ns, &ns->id);
	return before == 0 || before == blocks;
}

/* What follows from it for the ways that I/O may go. */
void nsdk_nvme_zns_shape(struct nsdk_nvme_ns *ns)
{
	ns->cut_blocks = 0;
	if (!ns->is_zoned)
		return;
	if (ns->metadata.bytes) {
		/* Appends do not know of it. */
		nsdk_nvme_ns_close(ns, -ENOTSUP);
		return;
	}
	if (ns->zoned->zone_blocks == 0) {
		/* What its zones are like comes next, or cannot be used. */
		nsdk_nvme_ns_close(ns, -EIO);
		return;
	}
	if (ns->zoned->read_across)
		return;
	ns->cut_blocks = ns->zoned->zone_blocks;
	ns->short_lba_end = 0;
	ns->two_pages_lba_end = 0;
}

/* Blocks from @p lba to the end of its zone. */
uint64_t nsdk_nvme_zone_left(const struct nsdk_nvme_ns *ns, uint64_t lba)
{
	uint64_t size = ns->zoned->zone_blocks;

	return size ? size - lba % size : 0;
}

/* ---- Commands ---- */

static int check_zoned(const struct nsdk_nvme_ns *ns, const struct nsdk_nvme_qpair *qp,
		       nsdk_nvme_cb cb)
{
	int err = nsdk_nvme_check_command(ns, qp, cb, 0);

	return err || ns->is_zoned ? err : -EOPNOTSUPP;
}

static int check_zone(const struct nsdk_nvme_ns *ns, uint64_t zslba)
{
	return zslba >= ns->blocks || nsdk_nvme_zone_left(ns,
							  zslba) != ns->zoned->zone_blocks ? -EINVAL : 0;
}

static struct nsdk_nvme_cmd zone_cmd(const struct nsdk_nvme_ns *ns, uint8_t opcode, uint64_t lba,
				     uint32_t cdw12, uint32_t cdw13)
{
	return (struct nsdk_nvme_cmd){
		.opcode = opcode,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)lba,
		.cdw11 = (uint32_t)(lba >> 32),
		.cdw12 = cdw12,
		.cdw13 = cdw13,
	};
}

static int append(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		  const struct nvme_payload *payload,
		  int iovcnt, uint64_t zslba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	size_t bytes = (size_t)blocks << ns->block_shift;
	struct nsdk_nvme_cmd cmd;
	int err = check_zoned(ns, qp, cb);

	if (!err && (flags & ~NVME_RW_FLAGS))
		err = -EINVAL;
	if (!err && (blocks == 0 || blocks > ns->zoned->max_append_blocks))
		err = -EINVAL;
	if (!err)
		err = check_zone(ns, zslba);
	if (!err)
		err = nsdk_nvme_payload_check(qp->ctrlr->map, payload, bytes, iovcnt,
					      nsdk_nvme_sgl_align_mask(qp));
	if (err)
		return err;
	cmd = zone_cmd(ns, NSDK_NVME_ZNS_APPEND, zslba, flags | (blocks - 1), 0);
	cmd.flags = nsdk_nvme_sgl_choose(qp, payload, bytes);
	/* Two commands would be two places. */
	if (!cmd.flags && nsdk_nvme_payload_reach(payload, bytes, bytes) < bytes)
		return -EINVAL;
	return nsdk_nvme_issue(qp, &cmd, payload, bytes, NSDK_DMA_TO_DEVICE, cb, ctx);
}

int nsdk_nvme_zone_append(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const void *buf,
			  uint64_t zslba, uint32_t blocks, uint32_t flags, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };

	return append(ns, qp, &payload, 1, zslba, blocks, flags, cb, ctx);
}

int nsdk_nvme_zone_appendv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			   const struct iovec *iov,
			   int iovcnt, uint64_t zslba, uint32_t blocks, uint32_t flags,
			   nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .iov = iov };

	if (!iov || iovcnt < 1)
		return -EINVAL;
	return append(ns, qp, &payload, iovcnt, zslba, blocks, flags, cb, ctx);
}

int nsdk_nvme_zone_mgmt_send(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t zslba,
			     enum nsdk_nvme_zone_action action, uint32_t flags, nsdk_nvme_cb cb,
			     void *ctx)
{
	struct nsdk_nvme_cmd cmd;
	int err = check_zoned(ns, qp, cb);

	if (!err && (action < NSDK_NVME_ZONE_CLOSE || action > NSDK_NVME_ZONE_OFFLINE ||
		     (flags & ~NSDK_NVME_ZONE_SELECT_ALL)))
		err = -EINVAL;
	if (flags & NSDK_NVME_ZONE_SELECT_ALL)
		zslba = 0;
	else if (!err)
		err = check_zone(ns, zslba);
	if (err)
		return err;
	cmd = zone_cmd(ns, NSDK_NVME_ZNS_MGMT_SEND, zslba, 0, (uint32_t)action | flags);
	return nsdk_nvme_issue(qp, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, cb, ctx);
}

int nsdk_nvme_zone_set_desc_ext(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t zslba,
				const void *ext, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)ext };
	struct nsdk_nvme_cmd cmd;
	int err = check_zoned(ns, qp, cb);

	if (!err && ns->zoned->desc_ext_bytes == 0)
		err = -EOPNOTSUPP;
	if (!err)
		err = check_zone(ns, zslba);
	if (!err)
		/* The device only reads it: lines shared with others are written back, not lost. */
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, ns->zoned->desc_ext_bytes,
					      1, 3);
	if (err)
		return err;
	cmd = zone_cmd(ns, NSDK_NVME_ZNS_MGMT_SEND, zslba, 0, NSDK_NVME_ZONE_SET_DESC_EXT);
	return nsdk_nvme_issue(qp, &cmd, &payload, ns->zoned->desc_ext_bytes, NSDK_DMA_TO_DEVICE,
			       cb, ctx);
}

int nsdk_nvme_zone_mgmt_recv(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, uint64_t slba,
			     bool extended, enum nsdk_nvme_zone_filter filter, bool partial, void *buf,
			     size_t bytes, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };
	struct nsdk_nvme_cmd cmd;
	int err = check_zoned(ns, qp, cb);

	if (!err && (slba >= ns->blocks || (unsigned)filter > NSDK_NVME_ZONES_OFFLINE ||
		     bytes % 4 ||
		     bytes < sizeof(struct nsdk_nvme_zone_report_header) ||
		     bytes > qp->ctrlr->max_transfer_bytes))
		err = -EINVAL;
	if (!err)
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, bytes, 1, qp->align_mask);
	if (err)
		return err;
	cmd = zone_cmd(ns, NSDK_NVME_ZNS_MGMT_RECEIVE, slba, (uint32_t)(bytes / 4 - 1),
		       (extended ? NSDK_NVME_ZONE_REPORT_EXTENDED : NSDK_NVME_ZONE_REPORT) |
			       (uint32_t)filter << 8 | (partial ? NSDK_NVME_ZONE_REPORT_PARTIAL :
							0));
	return nsdk_nvme_issue(qp, &cmd, &payload, bytes, NSDK_DMA_FROM_DEVICE, cb, ctx);
}

const char *nsdk_nvme_zone_state_name(enum nsdk_nvme_zone_state state)
{
	switch (state) {
	case NSDK_NVME_ZONE_EMPTY:
		return "EMPTY";
	case NSDK_NVME_ZONE_IMPLICITLY_OPEN:
		return "IMP_OPENED";
	case NSDK_NVME_ZONE_EXPLICITLY_OPEN:
		return "EXP_OPENED";
	case NSDK_NVME_ZONE_CLOSED:
		return "CLOSED";
	case NSDK_NVME_ZONE_READ_ONLY:
		return "READONLY";
	case NSDK_NVME_ZONE_FULL:
		return "FULL";
	case NSDK_NVME_ZONE_IS_OFFLINE:
		return "OFFLINE";
	default:
		return "Unknown State";
	}
}
