/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flexible data placement (TP4146, Base 2.1 8.1.10): reclaim unit handles, what they are for, what is
 * written by them, and what has happened.
 *
 * Log pages say themselves how large they are and how many things are in them. All of that is held against
 * what was read before anything is handed out; a page that grows between its head and the rest is read as far
 * as it was at first.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_fdp.h>

#include "fdp.h"

/* A page of configurations that is larger is not believed: some tens of thousands of handles. */
#define MAX_CONFIGS_BYTES ((size_t)1 << 20)

/* Room for what one command tells of at first. */
#define STATUS_BYTES ((size_t)NVME_PAGE_BYTES)

uint16_t nsdk_nvme_ns_endgid(const struct nsdk_nvme_ns *ns)
{
	return ns->id.endgid;
}

/* ---- Reclaim unit handles of a namespace ---- */

static int check(const struct nsdk_nvme_ns *ns, const struct nsdk_nvme_qpair *qp, nsdk_nvme_cb cb)
{
	int err = nsdk_nvme_check_command(ns, qp, cb, 0);

	return err || nsdk_nvme_placement_is_there(ns) ? err : -EOPNOTSUPP;
}

int nsdk_nvme_ruh_status(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, size_t bytes,
			 nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)buf };
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_IO_MGMT_RECEIVE,
		.nsid = ns->nsid,
		.cdw10 = NSDK_NVME_IO_MGMT_RUH_STATUS,
		.cdw11 = (uint32_t)(bytes / 4 - 1),
	};
	int err = check(ns, qp, cb);

	if (!err && (bytes % 4 || bytes < sizeof(struct nsdk_nvme_ruh_status_header) ||
		     bytes > qp->ctrlr->max_transfer_bytes))
		err = -EINVAL;
	if (!err)
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, bytes, 1, qp->align_mask);
	if (err)
		return err;
	return nsdk_nvme_issue(qp, &cmd, &payload, bytes, NSDK_DMA_FROM_DEVICE, cb, ctx);
}

static int status_lie(const struct nsdk_nvme_ns *ns, const char *what)
{
	return nsdk_fail(-EIO, "nvme",
			 "%s: the status of the reclaim unit handles of namespace %u has %s; the controller "
			 "cannot be trusted", nsdk_device_name(ns->ctrlr->dev), ns->nsid, what);
}

int nsdk_nvme_ruh_status_take(struct nsdk_nvme_ns *ns, const void *buf, size_t bytes, unsigned *count)
{
	/* Where a device wrote it, which is aligned as its owner liked. */
	const uint8_t *at = buf;
	struct nsdk_nvme_ruh_status_header header;
	struct nsdk_nvme_ruh_status desc;
	uint16_t *pids;
	int err;

	if (bytes < sizeof(header))
		return -EINVAL;
	memcpy(&header, at, sizeof(header));
	at += sizeof(header);
	*count = header.count;
	if (*count == 0)
		return status_lie(ns, "no placement identifiers");
	if (*count > (bytes - sizeof(header)) / sizeof(desc))
		return -ENOSPC;
	pids = calloc(*count, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	for (unsigned i = 0; i < *count; i++, at += sizeof(desc)) {
		memcpy(&desc, at, sizeof(desc));
		pids[i] = desc.pid;
	}
	err = nsdk_nvme_placement_set(ns, pids, *count);
	free(pids);
	return err == -EEXIST ? status_lie(ns, "a placement identifier twice") : err;
}

struct learning {
	bool done;
	struct nsdk_nvme_cpl cpl;
};

static void learned(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct learning *learning = ctx;

	learning->cpl = *cpl;
	learning->done = true;
}

/* It has a deadline, and what comes of that is seen to by the controller's poll. */
static void turn(struct nsdk_nvme_qpair *qp, unsigned *looks)
{
	if (nsdk_nvme_qpair_poll(qp, 0) != 0)
		return;
	nsdk_nvme_ctrlr_poll(qp->ctrlr);
	nsdk_nvme_relax(looks);
}

/* One command, waited for. @return 0 it came back. */
static int ask(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf, size_t bytes,
	       struct nsdk_nvme_cpl *cpl)
{
	struct learning learning = { 0 };
	unsigned looks = 0;
	int err;

	do {
		err = nsdk_nvme_ruh_status(ns, qp, buf, bytes, learned, &learning);
		/* Other I/O has the queue pair to itself for now. */
		if (err == -EAGAIN)
			turn(qp, &looks);
	} while (err == -EAGAIN);
	while (!err && !learning.done)
		turn(qp, &looks);
	*cpl = learning.cpl;
	return err;
}

int nsdk_nvme_placement_learn(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_ctrlr *ctrlr = ns->ctrlr;
	size_t bytes = STATUS_BYTES;
	unsigned count = 0;
	void *buf;
	int err;

	if (qp->attention & NVME_POLLING)
		return -EDEADLK;
	if (bytes > ctrlr->max_transfer_bytes)
		bytes = ctrlr->max_transfer_bytes;
	for (bool again = false;; again = true) {
		err = nsdk_dma_alloc(ctrlr->pool, bytes, NVME_PAGE_BYTES, &buf);
		if (err)
			return err;
		err = ask(ns, qp, buf, bytes, cpl);
		if (!err && nsdk_nvme_cpl_ok(cpl))
			err = nsdk_nvme_ruh_status_take(ns, buf, bytes, &count);
		nsdk_dma_free(ctrlr->pool, buf);
		if (err != -ENOSPC || again)
			break;
		bytes = sizeof(struct nsdk_nvme_ruh_status_header) +
			count * sizeof(struct nsdk_nvme_ruh_status);
		/* Whole lines, on the no-snoop path. */
		bytes = (bytes + qp->align_mask) & ~(size_t)qp->align_mask;
		if (bytes > ctrlr->max_transfer_bytes)
			return nsdk_fail(-ENOTSUP, "nvme",
					 "%s: the %u placement identifiers of namespace %u are more than one "
					 "command can tell of, %zu bytes", nsdk_device_name(ctrlr->dev), count,
					 ns->nsid, ctrlr->max_transfer_bytes);
	}
	return err == -ENOSPC ? status_lie(ns, "more placement identifiers each time") : err;
}

int nsdk_nvme_ruh_update(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, const uint16_t *pids,
			 unsigned count, nsdk_nvme_cb cb, void *ctx)
{
	struct nvme_payload payload = { .va = (uintptr_t)pids };
	size_t bytes = (count * sizeof(*pids) + 3) & ~(size_t)3;
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_IO_MGMT_SEND,
		.nsid = ns->nsid,
		.cdw10 = (count - 1) << 16 | NSDK_NVME_IO_MGMT_RUH_UPDATE,
	};
	int err = check(ns, qp, cb);

	if (!err && (count == 0 || count > 65536 || bytes > qp->ctrlr->max_transfer_bytes))
		err = -EINVAL;
	if (!err)
		/* The device only reads it: lines shared with others are written back, not lost. */
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &payload, bytes, 1, 3);
	for (unsigned i = 0; i < count && !err; i++)
		err = nsdk_nvme_placement_check(ns, pids[i]);
	if (err)
		return err;
	return nsdk_nvme_issue(qp, &cmd, &payload, bytes, NSDK_DMA_TO_DEVICE, cb, ctx);
}

/* ---- Log pages ---- */

static int log_lie(const struct nsdk_nvme_ctrlr *ctrlr, uint8_t lid, uint16_t endgid, const char *what)
{
	return nsdk_fail(-EIO, "nvme",
			 "%s: log page %02xh of endurance group %u has %s; the controller cannot be trusted",
			 nsdk_device_name(ctrlr->dev), lid, endgid, what);
}

static int get_log(struct nsdk_nvme_ctrlr *ctrlr, uint8_t lid, uint16_t endgid, uint8_t lsp, void *data,
		   size_t bytes, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_log_opts opts = {
		.opts_bytes = sizeof(opts),
		.lid = lid,
		.lsi = endgid,
		.lsp = lsp,
	};

	return nsdk_nvme_get_log(ctrlr, &opts, data, bytes, cpl);
}

/* What is wrong with a descriptor that has @p left bytes in the page; NULL: nothing. */
static const char *config_wrong(const struct nsdk_nvme_fdp_config_desc *desc, size_t left)
{
	unsigned rgif = NSDK_NVME_FDPA_RGIF(desc->fdpa);
	size_t needs = sizeof(*desc) + desc->nruh * sizeof(struct nsdk_nvme_fdp_ruh_desc) + desc->vss;

	if (left < sizeof(*desc) || desc->bytes > left)
		return "configurations beyond its end";
	if (desc->bytes < needs || desc->bytes % 8)
		return "a configuration that is too small for its handles";
	if (!(desc->fdpa & NSDK_NVME_FDPA_VALID))
		return NULL;
	if (desc->nruh == 0 || desc->nrg == 0 || desc->runs == 0)
		return "a configuration without handles, groups or units";
	if ((uint64_t)desc->nrg > (uint64_t)1 << rgif)
		return "more reclaim groups than its placement identifiers can name";
	return NULL;
}

static void config_take(const struct nsdk_nvme_fdp_config_desc *desc, struct nsdk_nvme_fdp_config *out)
{
	*out = (struct nsdk_nvme_fdp_config){
		.valid = desc->fdpa & NSDK_NVME_FDPA_VALID,
		.write_cache = desc->fdpa & NSDK_NVME_FDPA_WRITE_CACHE,
		.rgif = NSDK_NVME_FDPA_RGIF(desc->fdpa),
		.attributes = desc->fdpa,
		.vss = desc->vss,
		.groups = desc->nrg,
		.handles = desc->nruh,
		.max_pids = desc->maxpids + 1u,
		.namespaces = desc->nnss,
		.unit_bytes = desc->runs,
		.time_limit_s = desc->erutl,
		.ruhs = (const void *)(desc + 1),
	};
}

/* Takes a page apart that is all there. @return what is wrong with it; NULL: nothing. */
static const char *configs_take(const uint8_t *page, size_t bytes, struct nsdk_nvme_fdp_config *out,
				unsigned count)
{
	size_t at = sizeof(struct nsdk_nvme_fdp_configs_header);

	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_nvme_fdp_config_desc *desc = (const void *)(page + at);
		const char *wrong = config_wrong(desc, bytes - at);

		if (wrong)
			return wrong;
		config_take(desc, &out[i]);
		at += desc->bytes;
	}
	return NULL;
}

int nsdk_nvme_fdp_configs(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, struct nsdk_nvme_fdp_config **out,
			  unsigned *count, struct nsdk_nvme_cpl *cpl)
{
	const uint8_t lid = NSDK_NVME_LOG_FDP_CONFIGS;
	struct nsdk_nvme_fdp_configs_header header;
	struct nsdk_nvme_fdp_config *configs;
	const char *wrong;
	uint8_t *page;
	size_t array;
	int err;

	*out = NULL;
	*count = 0;
	err = get_log(ctrlr, lid, endgid, 0, &header, sizeof(header), cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl))
		return err;
	/* So many descriptors, each of so many bytes at least. */
	if (header.bytes > MAX_CONFIGS_BYTES ||
	    header.bytes < sizeof(header) + (header.count + 1u) * sizeof(struct nsdk_nvme_fdp_config_desc))
		return log_lie(ctrlr, lid, endgid, "a size that its configurations cannot have");
	array = (header.count + 1u) * sizeof(*configs);
	/* Room for a descriptor's head behind the end, which is looked at before its size is. */
	configs = calloc(1, array + header.bytes + sizeof(struct nsdk_nvme_fdp_config_desc));
	if (!configs)
		return -ENOMEM;
	page = (uint8_t *)configs + array;
	err = get_log(ctrlr, lid, endgid, 0, page, header.bytes, cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl))
		goto free_configs;
	wrong = configs_take(page, header.bytes, configs, header.count + 1u);
	if (wrong) {
		err = log_lie(ctrlr, lid, endgid, wrong);
		goto free_configs;
	}
	*out = configs;
	*count = header.count + 1u;
	return 0;

free_configs:
	free(configs);
	return err;
}

int nsdk_nvme_fdp_usage(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, uint8_t **out, unsigned *count,
			struct nsdk_nvme_cpl *cpl)
{
	const uint8_t lid = NSDK_NVME_LOG_FDP_USAGE;
	struct nsdk_nvme_fdp_usage_header header;
	size_t bytes;
	uint8_t *page;
	int err;

	*out = NULL;
	*count = 0;
	err = get_log(ctrlr, lid, endgid, 0, &header, sizeof(header), cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl))
		return err;
	if (header.nruh == 0)
		return log_lie(ctrlr, lid, endgid, "no reclaim unit handles");
	bytes = sizeof(header) + (size_t)header.nruh * NSDK_NVME_FDP_USAGE_DESC_BYTES;
	page = calloc(1, bytes);
	if (!page)
		return -ENOMEM;
	err = get_log(ctrlr, lid, endgid, 0, page, bytes, cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl))
		goto free_page;
	for (unsigned i = 0; i < header.nruh; i++) {
		page[i] = page[sizeof(header) + i * NSDK_NVME_FDP_USAGE_DESC_BYTES];
		if (page[i] > NSDK_NVME_RUH_CONTROLLER) {
			err = log_lie(ctrlr, lid, endgid, "a reclaim unit handle that is used for something unknown");
			goto free_page;
		}
	}
	*out = page;
	*count = header.nruh;
	return 0;

free_page:
	free(page);
	return err;
}

int nsdk_nvme_fdp_stats(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, struct nsdk_nvme_fdp_stats *out,
			struct nsdk_nvme_cpl *cpl)
{
	return get_log(ctrlr, NSDK_NVME_LOG_FDP_STATS, endgid, 0, out, sizeof(*out), cpl);
}

int nsdk_nvme_fdp_events(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, bool host,
			 struct nsdk_nvme_fdp_event out[NSDK_NVME_FDP_MAX_EVENTS], unsigned *count,
			 struct nsdk_nvme_cpl *cpl)
{
	const uint8_t lid = NSDK_NVME_LOG_FDP_EVENTS;
	struct {
		struct nsdk_nvme_fdp_events_header header;
		struct nsdk_nvme_fdp_event events[NSDK_NVME_FDP_MAX_EVENTS];
	} page = { 0 };
	size_t bytes;
	int err;

	*count = 0;
	err = get_log(ctrlr, lid, endgid, host ? NSDK_NVME_FDP_HOST_EVENTS : 0, &page.header,
		      sizeof(page.header), cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl) || page.header.count == 0)
		return err;
	if (page.header.count > NSDK_NVME_FDP_MAX_EVENTS)
		return log_lie(ctrlr, lid, endgid, "more events than it has room for");
	*count = page.header.count;
	bytes = sizeof(page.header) + *count * sizeof(page.events[0]);
	err = get_log(ctrlr, lid, endgid, host ? NSDK_NVME_FDP_HOST_EVENTS : 0, &page, bytes, cpl);
	/* There may be fewer by now. */
	if (err || !nsdk_nvme_cpl_ok(cpl))
		*count = 0;
	else if (page.header.count < *count)
		*count = page.header.count;
	memcpy(out, page.events, *count * sizeof(page.events[0]));
	return err;
}

const char *nsdk_nvme_fdp_event_name(uint8_t type)
{
	switch (type) {
	case NSDK_NVME_FDP_NOT_FULLY_WRITTEN:
		return "Reclaim Unit Not Fully Written";
	case NSDK_NVME_FDP_TIME_LIMIT:
		return "Reclaim Unit Active Time Limit Exceeded";
	case NSDK_NVME_FDP_RESET:
		return "Controller Level Reset Modified Reclaim Unit Handles";
	case NSDK_NVME_FDP_INVALID_PID:
		return "Invalid Placement Identifier";
	case NSDK_NVME_FDP_REALLOCATED:
		return "Media Reallocated";
	case NSDK_NVME_FDP_IMPLICITLY_MODIFIED:
		return "Implicitly Modified Reclaim Unit Handle";
	default:
		return "Unknown";
	}
}

/* ---- Features ---- */

int nsdk_nvme_fdp_get(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, bool *on, uint8_t *index,
		      struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_get_features(NSDK_NVME_FEAT_FDP, NSDK_NVME_FEATURE_CURRENT,
							      0, endgid);
	int err = nsdk_nvme_admin_sync(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, cpl);

	*on = !err && nsdk_nvme_cpl_ok(cpl) && (cpl->dw0 & NSDK_NVME_FDP_ENABLE);
	*index = *on ? NSDK_NVME_FDP_INDEX(cpl->dw0) : 0;
	return err;
}

int nsdk_nvme_fdp_set(struct nsdk_nvme_ctrlr *ctrlr, uint16_t endgid, bool on, uint8_t index,
		      struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_set_features(
		NSDK_NVME_FEAT_FDP, true, 0, endgid,
		(uint32_t)index << 8 | (on ? NSDK_NVME_FDP_ENABLE : 0));

	return nsdk_nvme_admin_sync(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, cpl);
}

int nsdk_nvme_fdp_get_events(struct nsdk_nvme_ns *ns, uint16_t handle, struct nsdk_nvme_fdp_event_state *out,
			     unsigned max, unsigned *count, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_get_features(
		NSDK_NVME_FEAT_FDP_EVENTS, NSDK_NVME_FEATURE_CURRENT, ns->nsid,
		NSDK_NVME_FDP_EVENTS_CDW11(handle, max));
	int err;

	*count = 0;
	if (max == 0 || max > 255)
		return -EINVAL;
	memset(out, 0, max * sizeof(*out));
	err = nsdk_nvme_admin_sync(ns->ctrlr, &cmd, out, max * sizeof(*out), NSDK_DMA_FROM_DEVICE, 0, cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl))
		return err;
	/* It says how many there are, of which it gives as many as fit. */
	*count = cpl->dw0 & 0xff;
	if (*count > max)
		*count = max;
	for (unsigned i = 1; i < *count; i++)
		for (unsigned j = 0; j < i; j++)
			if (out[i].type == out[j].type) {
				*count = 0;
				return nsdk_fail(-EIO, "nvme",
						 "%s: placement handle %u of namespace %u has event type %02xh "
						 "twice; the controller cannot be trusted",
						 nsdk_device_name(ns->ctrlr->dev), handle, ns->nsid,
						 out[i].type);
			}
	return 0;
}

int nsdk_nvme_fdp_set_events(struct nsdk_nvme_ns *ns, uint16_t handle, const uint8_t *types, unsigned count,
			     bool on, bool save, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_set_features(
		NSDK_NVME_FEAT_FDP_EVENTS, save, ns->nsid, NSDK_NVME_FDP_EVENTS_CDW11(handle, count),
		on ? 1 : 0);

	if (count == 0 || count > 255)
		return -EINVAL;
	/* Only read, as the direction says. */
	return nsdk_nvme_admin_sync(ns->ctrlr, &cmd, (void *)(uintptr_t)types, count, NSDK_DMA_TO_DEVICE, 0,
				    cpl);
}
