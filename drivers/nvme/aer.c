/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events (Base 5.2): a few requests are left with the controller, which answers one when
 * something happens. Each answer is said once, handled (namespaces that changed are looked at again),
 * told to the user, and then the request is left there again.
 *
 * A controller repeats an event only after its log page has been read, so these are few; one that
 * reports without end is listened to no longer.
 */
#include "nvme_internal.h"

#include <errno.h>

#include <nsdk/env.h>
#include <nsdk/nvme_admin.h>

#define EVENT_NOTICE 2u
#define NOTICE_NAMESPACES 0u

/* Optional events (OAES) that are asked for, with the same bits in the feature: namespaces changed,
 * firmware activation, namespace access changed. */
#define EVENTS_WANTED (1u << 8 | 1u << 9 | 1u << 11)
/* All critical warnings of the SMART log. */
#define WARNINGS_WANTED 0xffu

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

static int aer_submit(struct nvme_aer *aer);

void nsdk_nvme_ctrlr_on_event(struct nsdk_nvme_ctrlr *ctrlr, nsdk_nvme_event_cb cb, void *ctx)
{
	ctrlr->aer.cb = cb;
	ctrlr->aer.ctx = ctx;
}

/* The driver has done its part. */
static void aer_tell(void *ctx)
{
	struct nvme_aer *aer = ctx;
	struct nsdk_nvme_ctrlr *ctrlr = aer->ctrlr;
	const struct nsdk_nvme_event event = {
		.type = aer->dw0 & 7,
		.info = aer->dw0 >> 8 & 0xff,
		.log_page = aer->dw0 >> 16 & 0xff,
		.text = aer_text(aer->dw0 & 7, aer->dw0 >> 8 & 0xff),
	};

	/* Fails only when the controller has failed, which has been said. */
	aer_submit(aer);
	if (ctrlr->aer.cb)
		ctrlr->aer.cb(ctrlr->aer.ctx, ctrlr, &event);
}

/* The list of what changed has been read, so the controller will tell again; or it cannot be read. */
static void changed_list_read(struct nsdk_nvme_ctrlr *ctrlr, void *ctx,
			      const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_aer *aer = ctx;

	/* Taken back like all else that the device has written, although nobody reads it: all namespaces
	 * are looked at. */
	nsdk_sync_for_cpu(ctrlr->coh, (uint8_t *)ctrlr->id_buffer + NVME_PAGE_BYTES,
			  NVME_PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
	aer->wait.done = aer_tell;
	aer->wait.ctx = aer;
	nsdk_nvme_rescan(ctrlr, false, &aer->wait);
}

static void namespaces_changed(struct nvme_aer *aer)
{
	struct nsdk_nvme_ctrlr *ctrlr = aer->ctrlr;
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE,
		.nsid = NSDK_NVME_NSID_ALL,
		.prp1 = ctrlr->id_iova + NVME_PAGE_BYTES,
		.cdw10 = (NVME_PAGE_BYTES / 4 - 1) << 16 | NSDK_NVME_LOG_CHANGED_NS,
	};

	if (nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, changed_list_read,
				   aer) != 0)
		aer_tell(aer);
}

static void aer_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nvme_aer *aer = ctx;
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
	aer->dw0 = cpl->dw0;
	nsdk_log(NSDK_LOG_NOTICE, "nvme", "%s: asynchronous event: %s (type %u, information %02xh, log "
		 "page %02xh)", nsdk_device_name(ctrlr->dev),
		 aer_text(cpl->dw0 & 7, cpl->dw0 >> 8 & 0xff), cpl->dw0 & 7, cpl->dw0 >> 8 & 0xff,
		 cpl->dw0 >> 16 & 0xff);
	if ((cpl->dw0 & 7) == EVENT_NOTICE && (cpl->dw0 >> 8 & 0xff) == NOTICE_NAMESPACES)
		namespaces_changed(aer);
	else
		aer_tell(aer);
}

static int aer_submit(struct nvme_aer *aer)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_ASYNC_EVENT };

	return nsdk_nvme_admin_submit(aer->ctrlr, &cmd, 0, aer_done, aer);
}

/* Whatever the answer: without it there are fewer events. */
static void configured(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	(void)ctrlr;
	(void)ctx;
	(void)cpl;
}

/* Asynchronous Event Configuration (Base 5.27.1.8): notices are off until they are asked for. */
static int configure(struct nsdk_nvme_ctrlr *ctrlr)
{
	uint32_t wanted = ctrlr->id.oaes & EVENTS_WANTED;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_set_features(NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG,
							      false, 0, wanted | WARNINGS_WANTED,
							      0);

	return wanted ? nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, configured,
					       NULL) : 0;
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
	err = configure(ctrlr);
	if (err)
		return err;
	for (unsigned i = 0; i < count; i++) {
		ctrlr->aers[i].ctrlr = ctrlr;
		err = aer_submit(&ctrlr->aers[i]);
		if (err)
			return err;
	}
	return 0;
}
