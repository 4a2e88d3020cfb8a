/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events (Base 5.2): a few requests are left with the controller, which answers one when
 * something happens. Each answer is said once and the request is left there again.
 *
 * A controller repeats an event only after its log page has been read, so these are few; one that
 * reports without end is listened to no longer.
 */
#include "nvme_internal.h"

#include <errno.h>

#include <nsdk/env.h>

#define AER_WINDOW_NS (10 * NVME_NS_PER_S)
#define AER_PER_WINDOW 32u

/* Dword 0 of the answer: 2:0 type, 15:8 information, 23:16 log page. */
static const char *aer_text(uint32_t type, uint32_t info)
{
	static const char *const errors[] = {
		"write to an invalid doorbell", "invalid doorbell value", "diagnostic failure",
		"persistent internal error", "transient internal error", "firmware image load error",
	};
	static const char *const health[] = {
		"reliability is degraded", "temperature threshold", "spare below threshold",
	};
	static const char *const notices[] = {
		"namespace attributes changed", "firmware activation starting",
		"telemetry log changed", "asymmetric namespace access changed",
	};

	switch (type) {
	case 0:
		return info < 6 ? errors[info] : "an error";
	case 1:
		return info < 3 ? health[info] : "health";
	case 2:
		return info < 4 ? notices[info] : "a notice";
	case 6:
		return "an event of the command set";
	case 7:
		return "a vendor specific event";
	default:
		return "an event of a reserved type";
	}
}

static int aer_submit(struct nsdk_nvme_ctrlr *ctrlr);

static void aer_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	uint64_t now_ns;

	/* No answer: the controller goes down. An error status: it takes no more requests. */
	if (!cpl || !nsdk_nvme_cpl_ok(cpl) || ctrlr->aer.silenced)
		return;
	now_ns = nsdk_clock_ns();
	if (now_ns - ctrlr->aer.window_start_ns >= AER_WINDOW_NS) {
		ctrlr->aer.window_start_ns = now_ns;
		ctrlr->aer.in_window = 0;
	}
	if (++ctrlr->aer.in_window > AER_PER_WINDOW) {
		ctrlr->aer.silenced = true;
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: more than %u asynchronous events within %u s; they are ignored from now on",
			 nsdk_device_name(ctrlr->dev), AER_PER_WINDOW,
			 (unsigned)(AER_WINDOW_NS / NVME_NS_PER_S));
		return;
	}
	nsdk_log(NSDK_LOG_NOTICE, "nvme", "%s: asynchronous event: %s (type %u, information %02xh, log "
		 "page %02xh)", nsdk_device_name(ctrlr->dev),
		 aer_text(cpl->dw0 & 7, cpl->dw0 >> 8 & 0xff), cpl->dw0 & 7, cpl->dw0 >> 8 & 0xff,
		 cpl->dw0 >> 16 & 0xff);
	/* Fails only when the controller has failed, which has been said. */
	aer_submit(ctrlr);
}

static int aer_submit(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT };

	return nsdk_nvme_admin_submit(ctrlr, &cmd, 0, aer_done, NULL);
}

/* Leaves as many requests as the controller takes (AERL, 0's based) and we keep. */
int nsdk_nvme_aer_start(struct nsdk_nvme_ctrlr *ctrlr)
{
	unsigned count = ctrlr->id.aerl + 1u;
	int err;

	if (count > NVME_MAX_AERS)
		count = NVME_MAX_AERS;
	/* Small admin queues keep room for commands. */
	if (count > ctrlr->admin.request_count / 2)
		count = ctrlr->admin.request_count / 2;
	for (unsigned i = 0; i < count; i++) {
		err = aer_submit(ctrlr);
		if (err)
			return err;
	}
	return 0;
}
