/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way down: tell the controller (CC.SHN), wait until it has put everything in order, disable it,
 * stop its DMA, and only then give memory back. Bring-up that fails takes the last part of it.
 */
#include "nvme_internal.h"

#include <errno.h>

#include <nsdk/env.h>

/* A controller may name the time it needs (RTD3E, microseconds); within these bounds. */
#define SHUTDOWN_MIN_NS (5 * NVME_NS_PER_S)
#define SHUTDOWN_MAX_NS (60 * NVME_NS_PER_S)

/* Disables the controller; @p result is what the way down will end with. */
void nsdk_nvme_stop_begin(struct nsdk_nvme_ctrlr *ctrlr, int result)
{
	ctrlr->result = result;
	ctrlr->state = NVME_STATE_STOP;
	ctrlr->deadline_ns = nsdk_clock_ns() + ctrlr->opts.ready_timeout_ns;
	if (ctrlr->enabled && nsdk_nvme_ctrlr_failed(ctrlr) != -ENODEV)
		nvme_write32(ctrlr, NSDK_NVME_REG_CC,
			     nvme_read32(ctrlr, NSDK_NVME_REG_CC) & ~NSDK_NVME_CC_EN);
}

void nsdk_nvme_shutdown_begin(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint64_t wait_ns = ctrlr->id.rtd3e * (uint64_t)1000;
	uint32_t cc;

	if (ctrlr->state != NVME_STATE_READY || nsdk_nvme_ctrlr_health(ctrlr) != 0) {
		nsdk_nvme_stop_begin(ctrlr, 0);
		return;
	}
	if (wait_ns < SHUTDOWN_MIN_NS)
		wait_ns = SHUTDOWN_MIN_NS;
	if (wait_ns > SHUTDOWN_MAX_NS)
		wait_ns = SHUTDOWN_MAX_NS;
	ctrlr->deadline_ns = nsdk_clock_ns() + wait_ns;
	ctrlr->state = NVME_STATE_SHUTDOWN;
	cc = nvme_read32(ctrlr, NSDK_NVME_REG_CC) & ~NSDK_NVME_CC_SHN_MASK;
	nvme_write32(ctrlr, NSDK_NVME_REG_CC, cc | NSDK_NVME_CC_SHN_NORMAL);
}

static void step_shutdown(struct nsdk_nvme_ctrlr *ctrlr, uint64_t now_ns)
{
	uint32_t csts = nvme_read32(ctrlr, NSDK_NVME_REG_CSTS);
	int result = 0;

	if (csts == UINT32_MAX) {
		result = nsdk_nvme_ctrlr_gone(ctrlr);
	} else if (csts & NSDK_NVME_CSTS_CFS) {
		result = nsdk_fail(-EIO, "nvme",
				   "%s: the controller reports a fatal status in its shutdown; what it "
				   "had not yet made durable may be lost", nsdk_device_name(ctrlr->dev));
	} else if ((csts & NSDK_NVME_CSTS_SHST_MASK) != NSDK_NVME_CSTS_SHST_COMPLETE) {
		if (now_ns < ctrlr->deadline_ns)
			return;
		result = nsdk_fail(-ETIMEDOUT, "nvme",
				   "%s: the controller did not finish its shutdown in time; what it "
				   "had not yet made durable may be lost", nsdk_device_name(ctrlr->dev));
	}
	nsdk_nvme_stop_begin(ctrlr, result);
}

/* @return 0 disabled, or not to be waited for any longer; -EAGAIN. */
static int step_stop(struct nsdk_nvme_ctrlr *ctrlr, uint64_t now_ns)
{
	uint32_t csts;

	if (!ctrlr->enabled || nsdk_nvme_ctrlr_failed(ctrlr) == -ENODEV)
		return 0;
	csts = nvme_read32(ctrlr, NSDK_NVME_REG_CSTS);
	if (csts == UINT32_MAX || !(csts & NSDK_NVME_CSTS_RDY))
		return 0;
	if (now_ns < ctrlr->deadline_ns)
		return -EAGAIN;
	/* One sentence for one fault: what led here has been said, and explains this as well. */
	if (ctrlr->result == 0)
		ctrlr->result = nsdk_fail(-ETIMEDOUT, "nvme",
					  "%s: the controller did not become disabled in time; it is reset",
					  nsdk_device_name(ctrlr->dev));
	/* Its DMA ends with bus mastering in any case, below. */
	nsdk_device_reset(ctrlr->dev);
	return 0;
}

/*
 * One step down. @return -EAGAIN not yet; else the controller has been freed and this is what the way
 * down ended with.
 */
int nsdk_nvme_shutdown_step(struct nsdk_nvme_ctrlr *ctrlr)
{
	/* Before the look, as this thread may be held up behind it for as long as it likes. */
	uint64_t now_ns = nsdk_clock_ns();
	int result;

	nsdk_device_poll(ctrlr->dev);
	if (ctrlr->state == NVME_STATE_SHUTDOWN) {
		step_shutdown(ctrlr, now_ns);
		return -EAGAIN;
	}
	if (step_stop(ctrlr, now_ns) == -EAGAIN)
		return -EAGAIN;
	result = ctrlr->result;
	nsdk_nvme_ctrlr_free(ctrlr);
	return result;
}
