/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --zonemode=zbd: a region of whole zones, each of which is written from its start on, and reset before it
 * is written again.
 *
 * Of one zone a job has one write in flight, as a device may carry them out in any order; --iodepth is
 * had by as many zones as may be open at a time, in turn. No two jobs write into one zone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_zns.h>

#include "perf.h"

#define REPORT_BYTES ((size_t)64 << 10)
#define TIMEOUT_NS 60000000000ull

/* ---- Before the run ---- */

/* The look at the zones of a region. */
struct look {
	struct perf_device *device;
	uint64_t end_lba;
	uint64_t bad_lba; /* the first that cannot be written, … */
	enum nsdk_nvme_zone_state bad;
	uint64_t *resets; /* first blocks of those that have something in them */
	uint64_t count;
	bool writes;
};

static bool look_at(void *ctx, const struct nsdk_nvme_zone *zone)
{
	struct look *look = ctx;
	struct perf_zones *zones = &look->device->zones;

	if (zone->zslba >= look->end_lba)
		return false;
	if (zone->state == NSDK_NVME_ZONE_IS_OFFLINE ||
	    (look->writes && zone->state == NSDK_NVME_ZONE_READ_ONLY)) {
		look->bad = zone->state;
		look->bad_lba = zone->zslba;
		return false;
	}
	if (zone->zcap < zones->cap_blocks)
		zones->cap_blocks = zone->zcap;
	if (look->writes && zone->state != NSDK_NVME_ZONE_EMPTY &&
	    zone->state != NSDK_NVME_ZONE_READ_ONLY)
		look->resets[look->count++] = zone->zslba;
	return true;
}

struct waiting {
	bool done;
	uint16_t status;
};

static void on_reset(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct waiting *waiting = ctx;

	waiting->done = true;
	waiting->status = cpl->status & 0xffe;
}

/* The driver has deadlines: this ends. */
static void poll_both(struct perf_device *device, struct nsdk_nvme_qpair *qp)
{
	nsdk_nvme_qpair_poll(qp, 0);
	nsdk_nvme_ctrlr_poll(device->ctrlr);
}

static int report(struct look *look, struct nsdk_nvme_qpair *qp, void *buf)
{
	struct perf_device *device = look->device;
	struct nsdk_nvme_zone_report_opts opts = {
		.opts_bytes = sizeof(opts),
		.slba = device->region_lba,
		.timeout_ns = TIMEOUT_NS,
	};
	struct nsdk_nvme_zone_report *out;
	struct nsdk_nvme_cpl cpl = { 0 };
	int rc;

	rc = nsdk_nvme_zone_report_start(device->ns, qp, &opts, buf, REPORT_BYTES, look_at, look,
					 &out);
	if (rc == 0)
		while ((rc = nsdk_nvme_zone_report_poll(out, &cpl)) == -EAGAIN)
			poll_both(device, qp);
	if (rc != 0 && cpl.status != 0)
		tool_say("%s: the zones of namespace %u cannot be reported: %s",
			 nsdk_device_name(device->dev), device->pattern.nsid,
			 nsdk_nvme_status_text(cpl.status));
	else if (rc == -ETIMEDOUT)
		tool_say("%s: the zones of namespace %u were not reported within %llu s",
			 nsdk_device_name(device->dev), device->pattern.nsid, TIMEOUT_NS / 1000000000);
	return rc;
}

static int reset_zones(struct look *look, struct nsdk_nvme_qpair *qp)
{
	struct perf_device *device = look->device;

	for (uint64_t i = 0; i < look->count; i++) {
		struct waiting waiting = { 0 };
		int rc = nsdk_nvme_zone_mgmt_send(device->ns, qp, look->resets[i],
						  NSDK_NVME_ZONE_RESET, 0,
						  on_reset, &waiting);

		while (rc == 0 && !waiting.done)
			poll_both(device, qp);
		if (rc != 0 || waiting.status != 0) {
			tool_say("%s: the zone at LBA %llu of namespace %u cannot be reset: %s",
				 nsdk_device_name(device->dev), (unsigned long long)look->resets[i],
				 device->pattern.nsid,
				 rc ? strerror(-rc) : nsdk_nvme_status_text(waiting.status));
			return rc ? rc : -EIO;
		}
	}
	return 0;
}

/* Reports the zones of the region, and resets them if they are to be written. */
static int prepare(struct perf_device *device, uint64_t zones)
{
	const struct perf_opts *opts = &device->run->opts;
	struct look look = {
		.device = device,
		.end_lba = device->region_lba + zones * device->zones.zone_blocks,
		.writes = opts->writes || opts->verify,
		.resets = calloc(zones, sizeof(uint64_t)),
	};
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	struct nsdk_nvme_qpair *qp = NULL;
	struct nsdk_dma_pool *pool;
	void *buf = NULL;
	int rc;

	if (look.resets == NULL) {
		tool_say("no memory to keep track of %llu zones", (unsigned long long)zones);
		return -ENOMEM;
	}
	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(device->ctrlr);
	rc = nsdk_dma_pool_create(device->run->mem, &pool_opts, &pool);
	if (rc != 0)
		goto free_resets;
	rc = nsdk_dma_alloc(pool, REPORT_BYTES, 4096, &buf);
	if (rc == 0)
		rc = nsdk_nvme_qpair_create(device->ctrlr, NULL, &qp);
	if (rc == 0)
		rc = report(&look, qp, buf);
	if (rc == 0 && look.bad != 0) {
		tool_say("%s: the zone at LBA %llu of namespace %u is %s: give --offset and --size that leave it "
			 "out", nsdk_device_name(device->dev), (unsigned long long)look.bad_lba,
			 device->pattern.nsid, nsdk_nvme_zone_state_name(look.bad));
		rc = -EROFS;
	}
	if (rc == 0)
		rc = reset_zones(&look, qp);
	/* First the queue, then the memory: the device must not reach a buffer that is gone. */
	if (qp != NULL && nsdk_nvme_qpair_destroy(qp) != 0 && rc == 0)
		rc = -EIO;
	nsdk_dma_free(pool, buf);
	nsdk_dma_pool_destroy(pool);
free_resets:
	free(look.resets);
	return rc;
}

/* How many zones a job may have open, so that all jobs together have no more than the device can. */
static uint32_t at_a_time(const struct perf_device *device, const struct nsdk_nvme_zoned *zoned)
{
	uint32_t most = zoned->max_open ? zoned->max_open : UINT32_MAX;

	if (zoned->max_active && zoned->max_active < most)
		most = zoned->max_active;
	return most / device->run->opts.numjobs;
}

int perf_zones_region(struct perf_device *device, uint64_t offset_bytes, uint64_t size_bytes)
{
	const struct nsdk_nvme_zoned *zoned = nsdk_nvme_ns_zoned(device->ns);
	const struct perf_opts *opts = &device->run->opts;
	const char *name = nsdk_device_name(device->dev);
	struct perf_zones *zones = &device->zones;
	bool writes = opts->writes || opts->verify;
	uint64_t zone_bytes, count;
	int rc;

	if (zoned == NULL || zoned->zone_blocks == 0) {
		tool_say("--zonemode=zbd is for zoned namespaces, and namespace %u of %s is not one",
			 device->pattern.nsid, name);
		return -EINVAL;
	}
	zone_bytes = zoned->zone_blocks * device->block_bytes;
	count = size_bytes / zone_bytes;
	*zones = (struct perf_zones){
		.on = true,
		.zone_blocks = zoned->zone_blocks,
		.cap_blocks = UINT64_MAX,
		.at_a_time = at_a_time(device, zoned),
		.zones = writes ? count / opts->numjobs : count,
	};
	if (offset_bytes % zone_bytes != 0) {
		tool_say("--offset=%llu is not at the start of one of the zones of %s, which have %llu bytes",
			 (unsigned long long)offset_bytes, name, (unsigned long long)zone_bytes);
		return -EINVAL;
	}
	if (zones->zones == 0) {
		tool_say("%s: %llu bytes are too few for %u %s of %llu bytes", name,
			 (unsigned long long)size_bytes, writes ? opts->numjobs : 1,
			 writes ? "jobs, each with a zone of its own," : "zone",
			 (unsigned long long)zone_bytes);
		return -EINVAL;
	}
	if (writes && zones->at_a_time == 0) {
		tool_say("--numjobs=%u is more than the zones that %s may have open at a time",
			 opts->numjobs,
			 name);
		return -EINVAL;
	}
	device->region_lba = offset_bytes / device->block_bytes;
	rc = prepare(device, writes ? zones->zones * opts->numjobs : count);
	if (rc != 0)
		return rc;
	zones->units = zones->cap_blocks / (opts->bs_bytes / device->block_bytes);
	if (zones->units == 0) {
		tool_say("--bs=%llu is more than the %llu bytes that a zone of %s can hold",
			 (unsigned long long)opts->bs_bytes,
			 (unsigned long long)zones->cap_blocks * device->block_bytes, name);
		return -EINVAL;
	}
	device->region_units = zones->zones * zones->units;
	return 0;
}

/* ---- A job ---- */

int perf_zones_job_create(struct perf_job *job)
{
	const struct perf_zones *zones = &job->device->zones;

	job->zones = calloc(zones->zones, sizeof(*job->zones));
	if (job->zones == NULL) {
		tool_say("no memory to keep track of %llu zones", (unsigned long long)zones->zones);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < zones->zones; i++)
		job->zones[i] = (struct perf_zone){ .job = job, .fresh = true };
	job->stripes = job->run->opts.iodepth;
	if (job->stripes > zones->at_a_time)
		job->stripes = zones->at_a_time;
	if (job->stripes > zones->zones)
		job->stripes = zones->zones;
	return 0;
}

uint64_t perf_zones_unit(const struct perf_zones *zones, uint64_t stripes, uint64_t position)
{
	uint64_t group = position / (stripes * zones->units), first = group * stripes;
	/* The last group may have fewer zones. */
	uint64_t width = zones->zones - first < stripes ? zones->zones - first : stripes;
	uint64_t at = position - first * zones->units;

	return (first + at % width) * zones->units + at / width;
}

uint64_t perf_zones_lba(const struct perf_job *job, uint64_t unit)
{
	const struct perf_zones *zones = &job->device->zones;

	return job->first_lba + unit / zones->units * zones->zone_blocks +
	       unit % zones->units * job->unit_blocks;
}

static void zone_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct perf_zone *zone = ctx;
	struct perf_job *job = zone->job;
	uint64_t units = job->device->zones.units;

	zone->busy = false;
	job->zone_commands--;
	if (nsdk_nvme_cpl_ok(cpl) && zone->finish) {
		zone->finish = false;
	} else if (nsdk_nvme_cpl_ok(cpl)) {
		zone->fresh = true;
		/* Of what was written there nothing is to be found any more. */
		if (job->generations != NULL)
			memset(&job->generations[(uint64_t)(zone - job->zones) * units], 0,
			       units * sizeof(job->generations[0]));
	} else if (!job->first_error.valid) {
		atomic_fetch_add(&job->counters.errors, 1);
		job->first_error.valid = true;
		job->first_error.dir = PERF_WRITE;
		job->first_error.lba = perf_zones_lba(job, (uint64_t)(zone - job->zones) * units);
		job->first_error.status = cpl->status;
	}
}

static int change(struct perf_job *job, struct perf_zone *zone, enum nsdk_nvme_zone_action action)
{
	uint64_t unit = (uint64_t)(zone - job->zones) * job->device->zones.units;
	int rc = nsdk_nvme_zone_mgmt_send(job->device->ns, job->qp, perf_zones_lba(job, unit),
					  action, 0,
					  zone_done, zone);

	if (rc != 0)
		return rc;
	zone->busy = true;
	job->zone_commands++;
	return -EAGAIN;
}

/* Those of the group before, which are not full although nothing more fits in: they would stay active. */
static int finish_before(struct perf_job *job, uint64_t index)
{
	uint64_t zones = job->device->zones.zones, group = index / job->stripes * job->stripes;
	/* Before the first was the last, when this is another pass. */
	uint64_t begin = group == 0 ? (zones - 1) / job->stripes * job->stripes : group - job->stripes;
	uint64_t end = group == 0 ? zones : group;

	for (uint64_t i = begin; i < end; i++) {
		struct perf_zone *zone = &job->zones[i];

		if (zone->busy)
			return -EAGAIN;
		if (zone->finish)
			return change(job, zone, NSDK_NVME_ZONE_FINISH);
	}
	return 0;
}

int perf_zones_begin_write(struct perf_job *job, uint64_t unit)
{
	const struct perf_zones *zones = &job->device->zones;
	struct perf_zone *zone = &job->zones[unit / zones->units];
	int rc;

	if (zone->busy)
		return -EAGAIN;
	if (unit % zones->units != 0)
		return 0;
	rc = finish_before(job, unit / zones->units);
	if (rc != 0)
		return rc;
	if (zone->finish)
		return change(job, zone, NSDK_NVME_ZONE_FINISH);
	return zone->fresh ? 0 : change(job, zone, NSDK_NVME_ZONE_RESET);
}

void perf_zones_wrote(struct perf_job *job, uint64_t unit)
{
	const struct perf_zones *zones = &job->device->zones;
	struct perf_zone *zone = &job->zones[unit / zones->units];

	zone->busy = false;
	zone->finish = unit % zones->units == zones->units - 1 &&
		       zones->units * job->unit_blocks < zones->cap_blocks;
}
