/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reports of any number of zones: as many Zone Management Receive commands as it takes, each from where the
 * one before ended, into one buffer of the user's.
 *
 * The next command is sent by the callback of the one before where that can be, and by a poll of the
 * report where the queue pair had no room. Zones that change meanwhile are reported as they are when
 * their turn comes; none is reported twice.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>

#include <nsdk/env.h>
#include <nsdk/nvme_zns.h>

#include "lib/env/opts.h"

struct nsdk_nvme_zone_report {
	struct nsdk_nvme_ns *ns;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_nvme_zone_report_opts opts;
	uint8_t *buf;
	size_t bytes;
	nsdk_nvme_zone_cb fn;
	void *ctx;
	uint64_t slba;        /* the next command begins there */
	uint64_t left;        /* zones that may still be told of */
	uint64_t deadline_ns; /* UINT64_MAX: none */
	bool in_flight, over, stopped;
	int result;
	struct nsdk_nvme_cpl cpl; /* of the command that failed */
};

static void end(struct nsdk_nvme_zone_report *report, int result)
{
	report->over = true;
	report->result = result;
}

static size_t desc_bytes(const struct nsdk_nvme_zone_report *report)
{
	return sizeof(struct nsdk_nvme_zone_desc) +
	       (report->opts.extended ? report->ns->zoned->desc_ext_bytes : 0);
}

/* What cannot be: said, and the end of the report; nothing that it says is used. */
static int lie(const struct nsdk_nvme_zone_report *report, uint64_t zslba, const char *what)
{
	return nsdk_fail(-EIO, "nvme",
			 "%s: the report of the zones of namespace %u, from block %llu on, %s (block %llu); "
			 "the controller cannot be trusted",
			 nsdk_device_name(report->qp->dev), report->ns->nsid,
			 (unsigned long long)report->slba, what, (unsigned long long)zslba);
}

static bool has_pointer(unsigned state)
{
	return state >= NSDK_NVME_ZONE_EMPTY && state <= NSDK_NVME_ZONE_CLOSED;
}

/* @return 0; -EIO the descriptor cannot be. */
static int take(const struct nsdk_nvme_zone_report *report, const struct nsdk_nvme_zone_desc *desc,
		struct nsdk_nvme_zone *zone)
{
	const struct nsdk_nvme_zoned *zoned = report->ns->zoned;
	unsigned state = NSDK_NVME_ZONE_STATE(desc->state);
	uint64_t from = report->slba - report->slba % zoned->zone_blocks;

	if (desc->zslba < from || desc->zslba >= report->ns->blocks ||
	    desc->zslba % zoned->zone_blocks)
		return lie(report, desc->zslba, "has a zone that is not in its place");
	if ((desc->type & 0xf) != NSDK_NVME_ZONE_SEQWRITE_REQUIRED)
		return lie(report, desc->zslba, "has a zone of an unknown type");
	if (!has_pointer(state) && state < NSDK_NVME_ZONE_READ_ONLY)
		return lie(report, desc->zslba, "has a zone in an unknown state");
	if (desc->zcap > zoned->zone_blocks)
		return lie(report, desc->zslba, "has a zone with more blocks than zones have");
	if (has_pointer(state) && (desc->wp < desc->zslba || desc->wp - desc->zslba > desc->zcap))
		return lie(report, desc->zslba, "has a zone with a write pointer outside");
	*zone = (struct nsdk_nvme_zone){
		.zslba = desc->zslba,
		.zcap = desc->zcap,
		.wp = has_pointer(state) ? desc->wp : UINT64_MAX,
		.state = (enum nsdk_nvme_zone_state)state,
		.type = desc->type & 0xf,
		.attributes = desc->attributes,
		.attributes_info = desc->attributes_info,
	};
	if (report->opts.extended && report->ns->zoned->desc_ext_bytes &&
	    (desc->attributes & NSDK_NVME_ZONE_DESC_EXT_VALID))
		zone->ext = desc + 1;
	return 0;
}

/* One command's answer. @return whether there is more to ask for. */
static bool tell(struct nsdk_nvme_zone_report *report)
{
	const struct nsdk_nvme_zone_report_header *header = (const void *)report->buf;
	size_t each = desc_bytes(report);
	uint64_t count = header->zones;
	struct nsdk_nvme_zone zone;
	int err = 0;

	if (count > (report->bytes - sizeof(*header)) / each)
		err = lie(report, report->slba, "has more zones than were asked for");
	for (uint64_t i = 0; i < count && !err; i++) {
		err = take(report, (const void *)(report->buf + sizeof(*header) + i * each), &zone);
		if (err)
			break;
		report->slba = zone.zslba + report->ns->zoned->zone_blocks;
		report->left--;
		if (!report->fn(report->ctx, &zone) || report->left == 0) {
			end(report, 0);
			return false;
		}
	}
	if (err || count == 0 || report->slba >= report->ns->blocks) {
		end(report, err);
		return false;
	}
	return true;
}

static void advance(struct nsdk_nvme_zone_report *report);

static void on_answer(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_zone_report *report = ctx;

	report->in_flight = false;
	if (!nsdk_nvme_cpl_ok(cpl)) {
		report->cpl = *cpl;
		end(report, -EIO);
	} else if (report->stopped) {
		end(report, -ECANCELED);
	} else if (tell(report)) {
		advance(report);
	}
}

/* Sends the next command if there is room. */
static void advance(struct nsdk_nvme_zone_report *report)
{
	int err;

	if (nsdk_clock_ns() >= report->deadline_ns) {
		end(report, -ETIMEDOUT);
		return;
	}
	err = nsdk_nvme_zone_mgmt_recv(report->ns, report->qp, report->slba, report->opts.extended,
				       report->opts.filter, true, report->buf, report->bytes, on_answer,
				       report);
	if (err == 0)
		report->in_flight = true;
	else if (err != -EAGAIN)
		end(report, err);
}

int nsdk_nvme_zone_report_start(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
				const struct nsdk_nvme_zone_report_opts *opts, void *buf,
				size_t bytes, nsdk_nvme_zone_cb fn, void *ctx,
				struct nsdk_nvme_zone_report **out)
{
	struct nsdk_nvme_zone_report *report;
	struct nsdk_nvme_zone_report_opts own;
	int err = nsdk_opts_take(&own, sizeof(own), opts, "nvme");

	if (err)
		return err;
	if (ns->ctrlr != qp->ctrlr || !fn)
		return -EINVAL;
	if (ns->refusal)
		return ns->refusal;
	if (!ns->is_zoned)
		return -EOPNOTSUPP;
	if (bytes > qp->ctrlr->max_transfer_bytes)
		bytes = qp->ctrlr->max_transfer_bytes;
	bytes &= ~(size_t)qp->align_mask;
	report = calloc(1, sizeof(*report));
	if (!report)
		return -ENOMEM;
	*report = (struct nsdk_nvme_zone_report){
		.ns = ns,
		.qp = qp,
		.opts = own,
		.buf = buf,
		.bytes = bytes,
		.fn = fn,
		.ctx = ctx,
		.slba = own.slba,
		.left = own.max_zones ? own.max_zones : UINT64_MAX,
		.deadline_ns = own.timeout_ns ? nsdk_clock_ns() + own.timeout_ns : UINT64_MAX,
	};
	err = -EINVAL;
	if (bytes < sizeof(struct nsdk_nvme_zone_report_header) + desc_bytes(report))
		goto free_report;
	/* It is read as what it is. */
	if (((uintptr_t)buf & 7) != 0)
		goto free_report;
	advance(report);
	if (report->over) {
		err = report->result;
		goto free_report;
	}
	*out = report;
	return 0;

free_report:
	free(report);
	return err;
}

void nsdk_nvme_zone_report_stop(struct nsdk_nvme_zone_report *report)
{
	report->stopped = true;
	/* What is under way comes back when its queue pair says so, or goes. */
	if (!report->over && !report->in_flight)
		end(report, -ECANCELED);
}

int nsdk_nvme_zone_report_poll(struct nsdk_nvme_zone_report *report, struct nsdk_nvme_cpl *cpl)
{
	int result;

	/* What is under way has a deadline of its own, and the buffer until then. */
	if (!report->over && !report->in_flight)
		advance(report);
	if (!report->over)
		return -EAGAIN;
	result = report->result;
	if (cpl)
		*cpl = report->cpl;
	free(report);
	return result;
}
