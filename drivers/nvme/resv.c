/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reservations (Base 7.3 to 7.6, 8.19): who of several hosts may use a namespace.
 *
 * The keys that three of the commands take are a few bytes; they are put where the tracker's PRP list
 * would be, so that callers need no DMA memory for them.
 */
#include "nvme_internal.h"

#include <errno.h>

/* @param types  whether the reservation type means anything to this command. */
static int check(const struct nsdk_nvme_ns *ns, const struct nsdk_nvme_qpair *qp, nsdk_nvme_cb cb,
		 bool types, enum nsdk_nvme_resv_type type)
{
	int err = nsdk_nvme_check_command(ns, qp, cb, NSDK_NVME_ONCS_RESERVATIONS);

	if (err || !types)
		return err;
	if (type < NSDK_NVME_RESV_WRITE_EXCLUSIVE || type > NSDK_NVME_RESV_EXCLUSIVE_ACCESS_ALL)
		return -EINVAL;
	/* What a namespace offers is a bit for each type, at the bit of its number. */
	return ns->id.rescap >> type & 1 ? 0 : -EOPNOTSUPP;
}

int nsdk_nvme_resv_register(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			    enum nsdk_nvme_resv_register_action action, uint32_t flags,
			    uint64_t current_key, uint64_t new_key, nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_RESV_REGISTER,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)action | flags,
	};
	uint64_t keys[2] = { current_key, new_key };
	int err = check(ns, qp, cb, false, NSDK_NVME_RESV_NONE);

	if (err)
		return err;
	/* Persistence is said by two bits, of which 01b is reserved. */
	if ((unsigned)action > NSDK_NVME_RESV_REPLACE || flags >> 30 == 1 ||
	    (flags & ~(NSDK_NVME_RESV_IGNORE_KEY | NSDK_NVME_RESV_PERSIST_ON)))
		return -EINVAL;
	if ((flags & NSDK_NVME_RESV_PERSIST_ON) == NSDK_NVME_RESV_PERSIST_ON &&
	    !(ns->id.rescap & NSDK_NVME_RESCAP_PERSIST))
		return -EOPNOTSUPP;
	return nsdk_nvme_issue_inline(qp, &cmd, keys, sizeof(keys), cb, ctx);
}

int nsdk_nvme_resv_acquire(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			   enum nsdk_nvme_resv_acquire_action action, enum nsdk_nvme_resv_type type,
			   uint32_t flags, uint64_t current_key, uint64_t preempt_key,
			   nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_RESV_ACQUIRE,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)action | flags | (uint32_t)type << 8,
	};
	uint64_t keys[2] = { current_key, preempt_key };
	int err = check(ns, qp, cb, true, type);

	if (err)
		return err;
	if ((unsigned)action > NSDK_NVME_RESV_PREEMPT_AND_ABORT || (flags & ~NSDK_NVME_RESV_IGNORE_KEY))
		return -EINVAL;
	return nsdk_nvme_issue_inline(qp, &cmd, keys, sizeof(keys), cb, ctx);
}

int nsdk_nvme_resv_release(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			   enum nsdk_nvme_resv_release_action action, enum nsdk_nvme_resv_type type,
			   uint32_t flags, uint64_t current_key, nsdk_nvme_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_RESV_RELEASE,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)action | flags | (uint32_t)type << 8,
	};
	int err = check(ns, qp, cb, action == NSDK_NVME_RESV_RELEASE, type);

	if (err)
		return err;
	/* Clear ends whatever there is, so it takes no type. */
	if ((unsigned)action > NSDK_NVME_RESV_CLEAR || (flags & ~NSDK_NVME_RESV_IGNORE_KEY) ||
	    (action == NSDK_NVME_RESV_CLEAR && type != NSDK_NVME_RESV_NONE))
		return -EINVAL;
	return nsdk_nvme_issue_inline(qp, &cmd, &current_key, sizeof(current_key), cb, ctx);
}

int nsdk_nvme_resv_report(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, size_t bytes,
			  nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_RESV_REPORT,
		.nsid = ns->nsid,
		.cdw10 = (uint32_t)(bytes / 4 - 1),
	};
	int err = check(ns, qp, cb, false, NSDK_NVME_RESV_NONE);

	if (err)
		return err;
	if (bytes < sizeof(struct nsdk_nvme_resv_status) || bytes % 4 ||
	    bytes > qp->ctrlr->max_transfer_bytes)
		return -EINVAL;
	err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, bytes, 1, qp->align_mask);
	if (err)
		return err;
	return nsdk_nvme_issue(qp, &cmd, &payload, bytes, NSDK_DMA_FROM_DEVICE, cb, ctx);
}
