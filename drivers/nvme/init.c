/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bring-up (Base 3.5.1) as a state machine: each step looks once and comes back.
 *
 *	SETTLE -> DISABLE -> ENABLE -> IDENTIFY -> LIMITS -> SHADOW -> HMB -> ARB -> QUEUES
 *		-> NS_LIST <-> NS -> READY
 *
 * Where there may be zoned namespaces (CAP.CSS) it goes on with
 *
 *	NS -> SETS -> ZNS_LIST -> ZNS_LIMITS -> ZNS -> READY
 *
 * A reset (recover.c) goes the same way. What the controller has said of itself and its namespaces is in
 * use by then, so it is not asked again; the queues of the queue pairs are made instead:
 *
 *	SETTLE -> DISABLE -> ENABLE -> SHADOW -> HMB -> ARB -> QUEUES -> REQUEUE -> READY
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/env.h>

static void go_to(struct nsdk_nvme_ctrlr *ctrlr, enum nvme_state state)
{
	ctrlr->state = state;
	ctrlr->deadline_ns = nsdk_clock_ns() + ctrlr->opts.ready_timeout_ns;
	ctrlr->init.submitted = false;
	ctrlr->init.done = false;
}

/* Why bring-up ends here. Of a reset only the last word is worth an error: there may be another try. */
__attribute__((format(printf, 3, 4))) static int
failed(struct nsdk_nvme_ctrlr *ctrlr, int error, const char *format, ...)
{
	char why[300];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (!ctrlr->recovery.own)
		return nsdk_fail(error, "nvme", "%s: %s", nsdk_device_name(ctrlr->dev), why);
	nsdk_log(NSDK_LOG_INFO, "nvme", "%s: reset: %s", nsdk_device_name(ctrlr->dev), why);
	return error;
}

/* What the registers say before anything is written. */
int nsdk_nvme_init_begin(struct nsdk_nvme_ctrlr *ctrlr)
{
	const char *name = nsdk_device_name(ctrlr->dev);
	uint64_t timeout_ns;
	uint32_t cc, csts;
	int err;

	if (ctrlr->bar.bytes < NSDK_NVME_REG_DOORBELLS + 16)
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: BAR 0 has %zu bytes, too few for an NVMe controller; is it one?",
				 name, ctrlr->bar.bytes);
	ctrlr->cap = nsdk_device_read64(ctrlr->dev, &ctrlr->bar, NSDK_NVME_REG_CAP);
	ctrlr->vs = nvme_read32(ctrlr, NSDK_NVME_REG_VS);
	cc = nvme_read32(ctrlr, NSDK_NVME_REG_CC);
	csts = nvme_read32(ctrlr, NSDK_NVME_REG_CSTS);
	/* Not every bridge answers with ones for a device that is not there: some with zeroes. */
	if (ctrlr->cap == UINT64_MAX || csts == UINT32_MAX ||
	    (ctrlr->cap == 0 && nsdk_device_check(ctrlr->dev)))
		return nsdk_nvme_ctrlr_gone(ctrlr);
	if (NSDK_NVME_CAP_MQES(ctrlr->cap) < 1)
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: CAP is %016llxh, with queues of one entry; that is no usable "
				 "NVMe controller", name, (unsigned long long)ctrlr->cap);
	if (NSDK_NVME_CAP_MPSMIN(ctrlr->cap) != 0)
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: the controller wants memory pages of at least %u KiB; only 4 KiB "
				 "are supported", name, 4u << NSDK_NVME_CAP_MPSMIN(ctrlr->cap));
	/* Bit 0: the NVM command set; bit 6: command sets to be told apart; 7: none for I/O. */
	if (!(NSDK_NVME_CAP_CSS(ctrlr->cap) & (1u << 0 | 1u << 6)))
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: the controller does not offer the NVM command set (CAP.CSS %02xh)",
				 name, NSDK_NVME_CAP_CSS(ctrlr->cap));

	err = nsdk_nvme_arb_choose(ctrlr);
	if (err)
		return err;
	ctrlr->doorbell_stride_bytes = 4u << NSDK_NVME_CAP_DSTRD(ctrlr->cap);
	if (ctrlr->bar.bytes < NSDK_NVME_REG_DOORBELLS + 4 * (size_t)ctrlr->doorbell_stride_bytes)
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: BAR 0 has %zu bytes, too few for doorbells %u bytes apart", name,
				 ctrlr->bar.bytes, ctrlr->doorbell_stride_bytes);

	timeout_ns = NSDK_NVME_CAP_TO(ctrlr->cap) * 500 * NVME_NS_PER_MS;
	if (timeout_ns < 2 * NVME_NS_PER_S)
		timeout_ns = 2 * NVME_NS_PER_S;
	if (!ctrlr->opts.ready_timeout_ns)
		ctrlr->opts.ready_timeout_ns = timeout_ns;

	if ((cc & NSDK_NVME_CC_EN) && !(csts & (NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_CFS))) {
		/* EN may fall only once RDY has risen (Base 3.1.3.5). */
		go_to(ctrlr, NVME_STATE_SETTLE);
		return 0;
	}
	if (cc & NSDK_NVME_CC_EN)
		nvme_write32(ctrlr, NSDK_NVME_REG_CC, cc & ~NSDK_NVME_CC_EN);
	go_to(ctrlr, NVME_STATE_DISABLE);
	return 0;
}

/*
 * CSTS while RDY is waited for.
 * @return 0 RDY is as @p ready; -EAGAIN not yet; -ENODEV gone; -ETIMEDOUT.
 */
static int wait_ready(struct nsdk_nvme_ctrlr *ctrlr, bool ready, uint32_t *csts)
{
	/* Before the look, as this thread may be held up behind it for as long as it likes. */
	uint64_t now_ns = nsdk_clock_ns();

	nsdk_device_poll(ctrlr->dev);
	*csts = nvme_read32(ctrlr, NSDK_NVME_REG_CSTS);
	if (*csts == UINT32_MAX)
		return nsdk_nvme_ctrlr_gone(ctrlr);
	if (((*csts & NSDK_NVME_CSTS_RDY) != 0) == ready)
		return 0;
	return now_ns < ctrlr->deadline_ns ? -EAGAIN : -ETIMEDOUT;
}

static int step_settle(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t csts, cc;
	int err = wait_ready(ctrlr, true, &csts);

	if (err == -ENODEV || (err == -EAGAIN && !(csts & NSDK_NVME_CSTS_CFS)))
		return err;
	/* A deadline that has passed or a fatal status: only disabling can help now. */
	cc = nvme_read32(ctrlr, NSDK_NVME_REG_CC);
	nvme_write32(ctrlr, NSDK_NVME_REG_CC, cc & ~NSDK_NVME_CC_EN);
	go_to(ctrlr, NVME_STATE_DISABLE);
	return -EAGAIN;
}

static int step_disable(struct nsdk_nvme_ctrlr *ctrlr)
{
	const struct nvme_ring *ring = &ctrlr->admin.ring;
	uint32_t cc, csts;
	int err = wait_ready(ctrlr, false, &csts);

	if (err == -ETIMEDOUT)
		return failed(ctrlr, err,
			      "the controller did not become disabled within %llu ms (CSTS %08xh); "
			      "power-cycle the device",
			      (unsigned long long)(ctrlr->opts.ready_timeout_ns / NVME_NS_PER_MS),
			      csts);
	if (err)
		return err;
	if (ctrlr->recovery.own)
		nsdk_nvme_admin_restart(ctrlr);
	ctrlr->shadow.on = false;
	nsdk_nvme_pmr_restore(ctrlr);
	err = nsdk_nvme_cmb_enable(ctrlr);
	if (err)
		return failed(ctrlr, err, "the controller's memory buffer does not come back as it was");

	/* All queues and the Identify buffer are in place: the device may start DMA now. */
	err = nsdk_device_set_bus_master(ctrlr->dev, true);
	if (err)
		return err;
	ctrlr->bus_master = true;

	/*
	 * We poll; without MSI-X the controller would pull its interrupt pin. With it these masks are not
	 * to be touched (Base 3.1.3.3), which a reset may come upon.
	 */
	if (!ctrlr->irqs.count)
		nvme_write32(ctrlr, NSDK_NVME_REG_INTMS, UINT32_MAX);
	nvme_write32(ctrlr, NSDK_NVME_REG_AQA, (ring->entries - 1) << 16 | (ring->entries - 1));
	nsdk_device_write64(ctrlr->dev, &ctrlr->bar, NSDK_NVME_REG_ASQ, ring->sq_iova);
	nsdk_device_write64(ctrlr->dev, &ctrlr->bar, NSDK_NVME_REG_ACQ, ring->cq_iova);
	/* The fields first, then the bit that makes them count. */
	cc = 6u << NSDK_NVME_CC_IOSQES_SHIFT | 4u << NSDK_NVME_CC_IOCQES_SHIFT;
	ctrlr->command_sets = NSDK_NVME_CAP_CSS(ctrlr->cap) & NSDK_NVME_CAP_CSS_SETS;
	if (ctrlr->command_sets)
		cc |= NSDK_NVME_CC_CSS_SETS;
	if (ctrlr->wrr)
		cc |= NSDK_NVME_CC_AMS_WRR;
	nvme_write32(ctrlr, NSDK_NVME_REG_CC, cc);
	nvme_write32(ctrlr, NSDK_NVME_REG_CC, cc | NSDK_NVME_CC_EN);
	ctrlr->enabled = true;
	go_to(ctrlr, NVME_STATE_ENABLE);
	return -EAGAIN;
}

static int step_enable(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t csts;
	int err = wait_ready(ctrlr, true, &csts);

	if (err == -ENODEV)
		return err;
	if (csts & NSDK_NVME_CSTS_CFS)
		return failed(ctrlr, -EIO,
			      "the controller reports a fatal status while it gets ready (CSTS "
			      "%08xh); power-cycle the device", csts);
	if (err == -ETIMEDOUT)
		return failed(ctrlr, err,
			      "the controller did not get ready within %llu ms (CSTS %08xh); "
			      "power-cycle the device, or allow it more time",
			      (unsigned long long)(ctrlr->opts.ready_timeout_ns / NVME_NS_PER_MS),
			      csts);
	if (err)
		return err;
	go_to(ctrlr, ctrlr->recovery.own ? NVME_STATE_BEHAVIOR : NVME_STATE_IDENTIFY);
	return -EAGAIN;
}

/* Waits for the one admin command of this state. @return 0 answered; -EAGAIN; -errno failed. */
static int answer(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err = nsdk_nvme_admin_poll(ctrlr);

	if (err < 0)
		return err;
	if (ctrlr->init.done)
		return 0;
	if (ctrlr->recovery.own)
		/* That it is unwell is known, and said; only whether it fails once more is of interest. */
		err = nvme_read32(ctrlr, NSDK_NVME_REG_CSTS) & NSDK_NVME_CSTS_CFS ? -EIO : 0;
	else
		err = nsdk_nvme_ctrlr_health(ctrlr);
	return err ? err : -EAGAIN;
}

/* The same, where any error status is the end. */
static int good_answer(struct nsdk_nvme_ctrlr *ctrlr, const char *what)
{
	int err = answer(ctrlr);

	if (err)
		return err;
	if (!nsdk_nvme_cpl_ok(&ctrlr->init.cpl))
		return failed(ctrlr, -EIO, "%s failed: %s", what,
			      nsdk_nvme_status_text(ctrlr->init.cpl.status));
	return 0;
}

/* Submits the command of a state at its first step. @return 1 it has been submitted before. */
static int once(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (ctrlr->init.submitted)
		return 1;
	ctrlr->init.submitted = true;
	return 0;
}

static int step_identify(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_start(ctrlr, NSDK_NVME_CNS_CTRLR, 0);
		return err ? err : -EAGAIN;
	}
	err = good_answer(ctrlr, "Identify Controller");
	if (!err)
		err = nsdk_nvme_identify_ctrlr_done(ctrlr);
	if (err)
		return err;
	/* Asked for only where it can matter: some may not like the question. */
	go_to(ctrlr, ctrlr->vs >= 0x00010400 && (ctrlr->id.oncs & NVME_ONCS_LIMITED) ?
			     NVME_STATE_LIMITS : NVME_STATE_BEHAVIOR);
	return -EAGAIN;
}

/* Identify data of the NVM command set, of which an older controller knows nothing. */
static int step_limits(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_start(ctrlr, NSDK_NVME_CNS_CSI_CTRLR, 0);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	if (nsdk_nvme_cpl_ok(&ctrlr->init.cpl))
		nsdk_nvme_blocks_limits(ctrlr, ctrlr->id_buffer);
	go_to(ctrlr, NVME_STATE_BEHAVIOR);
	return -EAGAIN;
}

/* Set Features, Host Behavior Support (Base 5.27.1.18): or formats that we know of are kept from us. */
static int step_behavior(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!ctrlr->init.submitted && !(ctrlr->id.ctratt & NSDK_NVME_CTRATT_ELBAS)) {
		go_to(ctrlr, NVME_STATE_SHADOW);
		return -EAGAIN;
	}
	if (!once(ctrlr)) {
		struct nsdk_nvme_cmd cmd = nsdk_nvme_metadata_behavior(ctrlr);

		err = nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, nsdk_nvme_init_cb,
					     NULL);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	/* One that does not take it says of each namespace what it thinks of it. */
	go_to(ctrlr, NVME_STATE_SHADOW);
	return -EAGAIN;
}

/* Doorbell Buffer Config (Base 5.8): before there are I/O queues that it would be about. */
static int step_shadow(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!ctrlr->init.submitted && !nsdk_nvme_shadow_wanted(ctrlr)) {
		go_to(ctrlr, NVME_STATE_HMB);
		return -EAGAIN;
	}
	if (!once(ctrlr)) {
		struct nsdk_nvme_cmd cmd;

		err = nsdk_nvme_shadow_cmd(ctrlr, &cmd);
		if (!err)
			err = nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns,
						     nsdk_nvme_init_cb, NULL);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	/* One that offers it and then does not want it has registers as well. */
	ctrlr->shadow.on = nsdk_nvme_cpl_ok(&ctrlr->init.cpl);
	go_to(ctrlr, NVME_STATE_HMB);
	return -EAGAIN;
}

/* Set Features, Host Memory Buffer (Base 5.27.1.10): none is no reason not to go on. */
static int step_hmb(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_cmd cmd;
	int err;

	if (!ctrlr->init.submitted &&
	    (!nsdk_nvme_hmb_wanted(ctrlr) || nsdk_nvme_hmb_cmd(ctrlr, &cmd) != 0)) {
		go_to(ctrlr, NVME_STATE_ARB);
		return -EAGAIN;
	}
	if (!once(ctrlr)) {
		err = nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns,
					     nsdk_nvme_init_cb, NULL);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	nsdk_nvme_hmb_answered(ctrlr, &ctrlr->init.cpl);
	go_to(ctrlr, NVME_STATE_ARB);
	return -EAGAIN;
}

/* Set Features, Arbitration (Base 5.27.1.1): before there are queues that it would be about. */
static int step_arb(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!ctrlr->init.submitted && !nsdk_nvme_arb_wanted(ctrlr)) {
		go_to(ctrlr, NVME_STATE_QUEUES);
		return -EAGAIN;
	}
	if (!once(ctrlr)) {
		struct nsdk_nvme_cmd cmd = nsdk_nvme_arb_cmd(ctrlr);

		err = nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, nsdk_nvme_init_cb,
					     NULL);
		return err ? err : -EAGAIN;
	}
	/* Somebody counts on it. */
	err = good_answer(ctrlr, "Set Features, Arbitration");
	if (err)
		return err;
	go_to(ctrlr, NVME_STATE_QUEUES);
	return -EAGAIN;
}

/* Set Features, Number of Queues (Base 5.27.1.5): both counts are 0's based. */
static int step_queues(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t asked = ctrlr->opts.io_queues;
	size_t fit = (nsdk_nvme_cmb_doorbells_end(ctrlr) - NSDK_NVME_REG_DOORBELLS) /
			     (2 * (size_t)ctrlr->doorbell_stride_bytes) - 1;
	uint32_t sqs, cqs;
	int err;

	if (!once(ctrlr)) {
		struct nsdk_nvme_cmd cmd = {
			.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
			.cdw10 = NSDK_NVME_FEAT_NUMBER_OF_QUEUES,
			.cdw11 = (asked - 1) << 16 | (asked - 1),
		};

		err = nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns,
					     nsdk_nvme_init_cb, NULL);
		return err ? err : -EAGAIN;
	}
	err = good_answer(ctrlr, "Set Features, Number of Queues");
	if (err)
		return err;
	sqs = (ctrlr->init.cpl.dw0 & 0xffff) + 1;
	cqs = (ctrlr->init.cpl.dw0 >> 16) + 1;
	/* It may grant more than was asked for, and its BAR may have fewer doorbells. */
	ctrlr->io_queues = asked;
	if (ctrlr->io_queues > sqs)
		ctrlr->io_queues = sqs;
	if (ctrlr->io_queues > cqs)
		ctrlr->io_queues = cqs;
	if (ctrlr->shadow.on && fit > nsdk_nvme_shadow_fit(ctrlr))
		fit = nsdk_nvme_shadow_fit(ctrlr);
	if (ctrlr->io_queues > fit)
		ctrlr->io_queues = (uint32_t)fit;

	if (ctrlr->recovery.own) {
		ctrlr->recovery.qid = 1;
		ctrlr->recovery.half = ctrlr->recovery.submitted = ctrlr->recovery.done = false;
		go_to(ctrlr, NVME_STATE_REQUEUE);
		return -EAGAIN;
	}
	ctrlr->init.nsid = 0;
	/* The list came with version 1.1. */
	ctrlr->init.no_list = ctrlr->vs < 0x00010100;
	go_to(ctrlr, ctrlr->init.no_list ? NVME_STATE_NS : NVME_STATE_NS_LIST);
	return -EAGAIN;
}

/* One page of the list; all of its namespaces are identified before the next is asked for. */
static int step_ns_list(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t next;
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_start(ctrlr, NSDK_NVME_CNS_ACTIVE_NS_LIST,
					       ctrlr->init.nsid);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	if (!nsdk_nvme_cpl_ok(&ctrlr->init.cpl)) {
		if (ctrlr->init.nsid != 0 ||
		    (ctrlr->init.cpl.status & 0xffe) !=
			    NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_INVALID_FIELD))
			return good_answer(ctrlr, "Identify, Active Namespace List");
		/* Some that claim to be new enough do not know it. */
		ctrlr->init.no_list = true;
		go_to(ctrlr, NVME_STATE_NS);
		return -EAGAIN;
	}
	err = nsdk_nvme_identify_list_done(ctrlr, &next);
	if (err)
		return err;
	ctrlr->init.nsid = next;
	go_to(ctrlr, NVME_STATE_NS);
	return -EAGAIN;
}

static int ready(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err = nsdk_nvme_aer_start(ctrlr);

	if (err)
		return err;
	go_to(ctrlr, NVME_STATE_READY);
	return 0;
}

static int step_requeue(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err = answer(ctrlr);

	if (err == -EAGAIN || err == 0)
		err = nsdk_nvme_recover_requeue(ctrlr);
	return err ? err : ready(ctrlr);
}

/* ---- Zoned namespaces ---- */

/* All namespaces have been identified, as if there were but one command set. */
static int after_namespaces(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (!ctrlr->command_sets || ctrlr->ns_count == 0)
		return ready(ctrlr);
	go_to(ctrlr, NVME_STATE_SETS);
	return -EAGAIN;
}

/*
 * Whether there is that of zoned namespaces. To ask for such namespaces where there is not would be an
 * error, and each error is one in the controller's log.
 */
static int step_sets(struct nsdk_nvme_ctrlr *ctrlr)
{
	const uint64_t *sets = ctrlr->id_buffer;
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_csi_start(ctrlr, NSDK_NVME_CNS_IO_COMMAND_SETS, 0, 0);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	for (unsigned i = 0; i < NSDK_NVME_IO_COMMAND_SET_COMBINATIONS; i++)
		if (nsdk_nvme_cpl_ok(&ctrlr->init.cpl) && (sets[i] >> NSDK_NVME_CSI_ZNS & 1))
			ctrlr->zns = true;
	if (!ctrlr->zns)
		return ready(ctrlr);
	ctrlr->init.nsid = 0;
	go_to(ctrlr, NVME_STATE_ZNS_LIST);
	return -EAGAIN;
}

static int step_zns_list(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t next = 0;
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_csi_start(ctrlr, NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST,
						   NSDK_NVME_CSI_ZNS, ctrlr->init.nsid);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	/* An error: the combination with that command set is not in force. */
	if (nsdk_nvme_cpl_ok(&ctrlr->init.cpl))
		err = nsdk_nvme_zns_take_list(ctrlr, ctrlr->init.nsid, &next);
	if (err)
		return err;
	ctrlr->init.nsid = next;
	if (next == 0 && !atomic_load_explicit(&ctrlr->any_zoned, memory_order_relaxed))
		return ready(ctrlr);
	go_to(ctrlr, next ? NVME_STATE_ZNS_LIST : NVME_STATE_ZNS_LIMITS);
	return -EAGAIN;
}

static int step_zns_limits(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_csi_start(ctrlr, NSDK_NVME_CNS_CSI_CTRLR, NSDK_NVME_CSI_ZNS, 0);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	nsdk_nvme_zns_limits(ctrlr, nsdk_nvme_cpl_ok(&ctrlr->init.cpl) ? ctrlr->id_buffer : NULL);
	ctrlr->ns_identified = 0;
	go_to(ctrlr, NVME_STATE_ZNS);
	return -EAGAIN;
}

static int step_zns(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_ns *ns;
	int err;

	while (ctrlr->ns_identified < ctrlr->ns_count &&
	       !ctrlr->namespaces[ctrlr->ns_identified]->is_zoned)
		ctrlr->ns_identified++;
	if (ctrlr->ns_identified == ctrlr->ns_count)
		return ready(ctrlr);
	ns = ctrlr->namespaces[ctrlr->ns_identified];
	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_csi_start(ctrlr, NSDK_NVME_CNS_CSI_NS, NSDK_NVME_CSI_ZNS,
						   ns->nsid);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	nsdk_nvme_zns_fill(ns, nsdk_nvme_cpl_ok(&ctrlr->init.cpl) ? ctrlr->id_buffer : NULL);
	ctrlr->ns_identified++;
	go_to(ctrlr, NVME_STATE_ZNS);
	return -EAGAIN;
}

/* ---- Namespaces ---- */

/* The next namespace to identify, 0 when there is none left. */
static int next_ns(struct nsdk_nvme_ctrlr *ctrlr, uint32_t *nsid)
{
	uint32_t last = ctrlr->id.nn;
	int err;

	*nsid = 0;
	if (!ctrlr->init.no_list) {
		if (ctrlr->ns_identified < ctrlr->ns_count)
			*nsid = ctrlr->namespaces[ctrlr->ns_identified]->nsid;
		return 0;
	}
	if (last > NVME_MAX_NAMESPACES)
		last = NVME_MAX_NAMESPACES;
	if (ctrlr->init.nsid >= last)
		return 0;
	err = nsdk_nvme_ns_add(ctrlr, ++ctrlr->init.nsid);
	if (!err)
		*nsid = ctrlr->init.nsid;
	return err;
}

static int step_ns(struct nsdk_nvme_ctrlr *ctrlr)
{
	int err;

	if (!once(ctrlr)) {
		uint32_t nsid;

		err = next_ns(ctrlr, &nsid);
		if (err)
			return err;
		if (nsid == 0) {
			if (ctrlr->init.no_list || ctrlr->init.nsid == 0)
				return after_namespaces(ctrlr);
			/* The page was full: there may be more. */
			go_to(ctrlr, NVME_STATE_NS_LIST);
			return -EAGAIN;
		}
		err = nsdk_nvme_identify_start(ctrlr, NSDK_NVME_CNS_NS, nsid);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	if ((ctrlr->init.cpl.status & 0xffe) ==
	    NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_INVALID_NAMESPACE)) {
		/* Counting up meets ids that are not in use; a listed one may have gone meanwhile. */
		err = -ENOENT;
	} else {
		err = good_answer(ctrlr, "Identify Namespace");
		if (err)
			return err;
		err = nsdk_nvme_ns_fill(ctrlr->namespaces[ctrlr->ns_identified], ctrlr->id_buffer);
	}
	if (err == -ENOENT) {
		nsdk_nvme_ns_remove(ctrlr, ctrlr->ns_identified);
	} else if (nsdk_nvme_metadata_asks(ctrlr->namespaces[ctrlr->ns_identified])) {
		go_to(ctrlr, NVME_STATE_NS_PI);
		return -EAGAIN;
	} else {
		ctrlr->ns_identified++;
	}
	go_to(ctrlr, NVME_STATE_NS);
	return -EAGAIN;
}

/* A controller with more than one kind of protection information says which kind each format has. */
static int step_ns_pi(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_ns *ns = ctrlr->namespaces[ctrlr->ns_identified];
	int err;

	if (!once(ctrlr)) {
		err = nsdk_nvme_identify_csi_start(ctrlr, NSDK_NVME_CNS_CSI_NS, NSDK_NVME_CSI_NVM, ns->nsid);
		return err ? err : -EAGAIN;
	}
	err = answer(ctrlr);
	if (err)
		return err;
	nsdk_nvme_metadata_told(ns, nsdk_nvme_cpl_ok(&ctrlr->init.cpl) ? ctrlr->id_buffer : NULL);
	ctrlr->ns_identified++;
	go_to(ctrlr, NVME_STATE_NS);
	return -EAGAIN;
}

/* One step. @return 0 ready; -EAGAIN not yet; other -errno it failed, which has been said. */
int nsdk_nvme_init_step(struct nsdk_nvme_ctrlr *ctrlr)
{
	switch (ctrlr->state) {
	case NVME_STATE_SETTLE:
		return step_settle(ctrlr);
	case NVME_STATE_DISABLE:
		return step_disable(ctrlr);
	case NVME_STATE_ENABLE:
		return step_enable(ctrlr);
	case NVME_STATE_IDENTIFY:
		return step_identify(ctrlr);
	case NVME_STATE_LIMITS:
		return step_limits(ctrlr);
	case NVME_STATE_BEHAVIOR:
		return step_behavior(ctrlr);
	case NVME_STATE_SHADOW:
		return step_shadow(ctrlr);
	case NVME_STATE_HMB:
		return step_hmb(ctrlr);
	case NVME_STATE_ARB:
		return step_arb(ctrlr);
	case NVME_STATE_QUEUES:
		return step_queues(ctrlr);
	case NVME_STATE_REQUEUE:
		return step_requeue(ctrlr);
	case NVME_STATE_NS_LIST:
		return step_ns_list(ctrlr);
	case NVME_STATE_NS:
		return step_ns(ctrlr);
	case NVME_STATE_NS_PI:
		return step_ns_pi(ctrlr);
	case NVME_STATE_SETS:
		return step_sets(ctrlr);
	case NVME_STATE_ZNS_LIST:
		return step_zns_list(ctrlr);
	case NVME_STATE_ZNS_LIMITS:
		return step_zns_limits(ctrlr);
	case NVME_STATE_ZNS:
		return step_zns(ctrlr);
	default:
		return 0;
	}
}
