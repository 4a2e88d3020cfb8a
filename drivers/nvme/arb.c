/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arbitration (Base 3.4.4): how the controller chooses the queue that it fetches from next.
 *
 * Round robin is what every controller does. Weighted round robin with an urgent class is enabled with the
 * controller (CC.AMS) where it is offered (CAP.AMS) and wanted; then queue pairs have priorities, which go
 * with Create I/O Submission Queue, and classes have weights, which are a feature. A reset takes all of it
 * away, so all of it is said again on the way up: CC is written anew, the feature is set before there are
 * queues, and a queue pair keeps its priority for whenever its queues are made again.
 */
#include "nvme_internal.h"

#include <errno.h>

#define DEFAULT_HIGH 16u
#define DEFAULT_MEDIUM 8u
#define DEFAULT_LOW 4u
#define MAX_WEIGHT 256u
#define MAX_BURST 64u
#define NO_LIMIT 7u /* what the field says where there is none */

/* @return 0; -EINVAL, logged. */
int nsdk_nvme_arb_take_opts(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_opts *own)
{
	const char *name = nsdk_device_name(ctrlr->dev);
	unsigned burst = own->arbitration_burst;

	if (own->arbitration > NSDK_NVME_WRR_IF_OFFERED)
		return nsdk_fail(-EINVAL, "nvme", "%s: arbitration is %u, which says something unknown", name,
				 (unsigned)own->arbitration);
	if (burst != NSDK_NVME_NO_BURST_LIMIT && (burst > MAX_BURST || (burst & (burst - 1))))
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: an arbitration burst of %u commands was asked for; it can be a power of "
				 "two up to %u, or without a limit", name, burst, MAX_BURST);
	if (own->high_weight > MAX_WEIGHT || own->medium_weight > MAX_WEIGHT || own->low_weight > MAX_WEIGHT)
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: weights of %u, %u and %u were asked for; %u is the most", name,
				 own->high_weight, own->medium_weight, own->low_weight, MAX_WEIGHT);
	if (own->arbitration == NSDK_NVME_ROUND_ROBIN &&
	    (own->high_weight || own->medium_weight || own->low_weight))
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: weights were given without weighted round robin; ask for that in "
				 "arbitration as well", name);
	if (!own->high_weight)
		own->high_weight = DEFAULT_HIGH;
	if (!own->medium_weight)
		own->medium_weight = DEFAULT_MEDIUM;
	if (!own->low_weight)
		own->low_weight = DEFAULT_LOW;
	return 0;
}

/* CAP has been read. @return 0; -EOPNOTSUPP it is wanted and not there, logged. */
int nsdk_nvme_arb_choose(struct nsdk_nvme_ctrlr *ctrlr)
{
	ctrlr->wrr = ctrlr->opts.arbitration != NSDK_NVME_ROUND_ROBIN && (ctrlr->cap & NSDK_NVME_CAP_AMS_WRR);
	if (ctrlr->wrr || ctrlr->opts.arbitration != NSDK_NVME_WRR)
		return 0;
	return nsdk_fail(-EOPNOTSUPP, "nvme",
			 "%s: the controller does not offer weighted round robin (CAP.AMS), so its queues can "
			 "have no priorities; go without", nsdk_device_name(ctrlr->dev));
}

bool nsdk_nvme_arb_wanted(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->wrr || ctrlr->opts.arbitration_burst;
}

/* The field for a burst of so many commands. */
static uint32_t burst_field(const struct nsdk_nvme_ctrlr *ctrlr)
{
	unsigned burst = ctrlr->opts.arbitration_burst;

	/* Recommended Arbitration Burst has the same form. */
	if (burst == 0)
		return ctrlr->id.rab < NO_LIMIT ? ctrlr->id.rab : NO_LIMIT;
	return burst == NSDK_NVME_NO_BURST_LIMIT ? NO_LIMIT : (uint32_t)__builtin_ctz(burst);
}

/* Set Features, Arbitration (Base 5.27.1.1). Weights are 0's based, and nothing without WRR. */
struct nsdk_nvme_cmd nsdk_nvme_arb_cmd(const struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
		.cdw10 = NSDK_NVME_FEAT_ARBITRATION,
		.cdw11 = burst_field(ctrlr),
	};

	if (ctrlr->wrr)
		cmd.cdw11 |= (ctrlr->opts.low_weight - 1) << 8 | (ctrlr->opts.medium_weight - 1) << 16 |
			     (ctrlr->opts.high_weight - 1) << 24;
	return cmd;
}

/* @return 0; -EINVAL, -EOPNOTSUPP, logged. */
int nsdk_nvme_arb_take_priority(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_qpair_opts *own)
{
	if (own->priority > NSDK_NVME_PRIORITY_LOW)
		return nsdk_fail(-EINVAL, "nvme", "%s: a priority of %u was asked for, which is none",
				 nsdk_device_name(ctrlr->dev), (unsigned)own->priority);
	if (own->priority != NSDK_NVME_PRIORITY_DEFAULT && !ctrlr->wrr)
		return nsdk_fail(-EOPNOTSUPP, "nvme",
				 "%s: a queue pair can have a priority only where the controller was attached "
				 "with weighted round robin; ask for that, or for no priority",
				 nsdk_device_name(ctrlr->dev));
	if (own->priority == NSDK_NVME_PRIORITY_DEFAULT && ctrlr->wrr)
		own->priority = NSDK_NVME_PRIORITY_MEDIUM;
	return 0;
}

/* QPRIO of Create I/O Submission Queue (Base 5.5), where dword 11 has it. */
uint32_t nsdk_nvme_arb_qprio(const struct nsdk_nvme_qpair *qp)
{
	return qp->priority == NSDK_NVME_PRIORITY_DEFAULT ?
		       0 : ((uint32_t)qp->priority - NSDK_NVME_PRIORITY_URGENT) << 1;
}

bool nsdk_nvme_ctrlr_arbitration(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_arbitration *out)
{
	uint32_t burst = burst_field(ctrlr);

	*out = (struct nsdk_nvme_arbitration){ .wrr = ctrlr->wrr };
	if (!nsdk_nvme_arb_wanted(ctrlr))
		return false;
	out->burst = burst == NO_LIMIT ? NSDK_NVME_NO_BURST_LIMIT : 1u << burst;
	if (!ctrlr->wrr)
		return true;
	out->high_weight = ctrlr->opts.high_weight;
	out->medium_weight = ctrlr->opts.medium_weight;
	out->low_weight = ctrlr->opts.low_weight;
	return true;
}

enum nsdk_nvme_priority nsdk_nvme_qpair_priority(const struct nsdk_nvme_qpair *qp)
{
	return qp->priority;
}
