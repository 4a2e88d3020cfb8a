/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device of a run: attached, with a namespace, a region in it, and a pool of memory for its jobs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/nvme_zns.h>

#include "perf.h"

static int find_namespace(struct perf_device *device)
{
	const struct perf_opts *opts = &device->run->opts;
	uint32_t nsid = opts->nsid != 0 ? opts->nsid : nsdk_nvme_ns_next(device->ctrlr, 0);
	char list[160] = "";
	size_t used = 0;

	if (nsid != 0)
		device->ns = nsdk_nvme_ns_get(device->ctrlr, nsid);
	if (device->ns != NULL) {
		device->pattern.nsid = nsid;
		return 0;
	}
	for (nsid = nsdk_nvme_ns_next(device->ctrlr, 0); nsid != 0 && used < sizeof(list) - 16;
	     nsid = nsdk_nvme_ns_next(device->ctrlr, nsid))
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%u",
					 used == 0 ? "" : ", ", nsid);
	if (used == 0)
		tool_say("%s has no active namespace", nsdk_device_name(device->dev));
	else
		tool_say("%s has no namespace %u; it has %s", nsdk_device_name(device->dev),
			 opts->nsid, list);
	return -ENODEV;
}

static int find_region(struct perf_device *device)
{
	const struct perf_opts *opts = &device->run->opts;
	const char *name = nsdk_device_name(device->dev);
	uint64_t whole, offset = 0, size;

	device->block_bytes = nsdk_nvme_ns_block_bytes(device->ns);
	whole = nsdk_nvme_ns_blocks(device->ns) * device->block_bytes;
	if (opts->bs_bytes % device->block_bytes != 0) {
		tool_say("--bs=%llu is not a multiple of the %u-byte blocks of %s",
			 (unsigned long long)opts->bs_bytes, device->block_bytes, name);
		return -EINVAL;
	}
	if (opts->offset.given)
		offset = tool_amount_of(&opts->offset, whole);
	if (opts->offset.is_percent)
		offset -= offset % opts->bs_bytes;
	if (offset % device->block_bytes != 0) {
		tool_say("--offset=%llu is not a multiple of the %u-byte blocks of %s",
			 (unsigned long long)offset, device->block_bytes, name);
		return -EINVAL;
	}
	if (offset >= whole) {
		tool_say("--offset=%llu is beyond the end of namespace %u of %s, which has %llu bytes",
			 (unsigned long long)offset, device->pattern.nsid, name,
			 (unsigned long long)whole);
		return -ERANGE;
	}
	size = opts->size.given ? tool_amount_of(&opts->size, whole) : whole - offset;
	if (size > whole - offset && opts->size.is_percent)
		size = whole - offset;
	if (size > whole - offset) {
		tool_say("--size=%llu from --offset=%llu on goes beyond the end of namespace %u of %s, "
			 "which has %llu bytes",
			 (unsigned long long)size, (unsigned long long)offset, device->pattern.nsid,
			 name, (unsigned long long)whole);
		return -ERANGE;
	}
	if (opts->zbd)
		return perf_zones_region(device, offset, size);
	if (nsdk_nvme_ns_zoned(device->ns) != NULL && (opts->writes || opts->verify)) {
		tool_say("namespace %u of %s is zoned, and its zones are written from their start on only: "
			 "say --zonemode=zbd", device->pattern.nsid, name);
		return -EINVAL;
	}
	device->region_lba = offset / device->block_bytes;
	device->region_units = size / opts->bs_bytes;
	/* What several jobs write into the same place, nobody could tell right from wrong. */
	if (opts->verify)
		device->region_units /= opts->numjobs;
	if (device->region_units == 0) {
		tool_say("%s: %llu bytes are too few for %u %s of --bs=%llu", name,
			 (unsigned long long)size, opts->verify ? opts->numjobs : 1,
			 opts->verify ? "jobs, each with a block of its own," : "block",
			 (unsigned long long)opts->bs_bytes);
		return -EINVAL;
	}
	return 0;
}

int perf_device_attach(struct perf_device *device)
{
	const struct perf_opts *opts = &device->run->opts;
	struct nsdk_device_opts attach = { .opts_bytes = sizeof(attach), .bind = true };
	struct nsdk_nvme_opts nvme = {
		.opts_bytes = sizeof(nvme),
		.policy = opts->policy,
		.io_queues = opts->numjobs,
		.io_timeout_ns = opts->io_timeout_ns,
		.ready_timeout_ns = opts->ready_timeout_ns,
		.cmb = opts->cmb,
		.interrupts = opts->mode != NSDK_REACTOR_POLL,
	};
	struct nsdk_dma_pool_opts pool = {
		.opts_bytes = sizeof(pool),
		.initial_bytes = opts->bs_bytes * opts->iodepth * opts->numjobs,
	};
	int rc;

	perf_wrr_attach(&opts->wrr, &nvme);
	rc = nsdk_device_attach(device->spec, &attach, &device->dev);
	if (rc == -EINVAL)
		device->run->misspelt = true;
	if (rc != 0)
		return rc;
	rc = nsdk_nvme_attach(device->dev, device->run->mem, &nvme, &device->ctrlr);
	if (rc != 0)
		return rc;
	rc = find_namespace(device);
	/* One that cannot be used, the driver has spoken of: nobody speaks of what it has not besides. */
	if (rc == 0)
		rc = nsdk_nvme_ns_refusal(device->ns);
	if (rc != 0)
		return rc;
	device->pattern.nonce = device->run->nonce;
	rc = perf_pi_setup(device);
	if (rc == 0)
		rc = find_region(device);
	if (rc == 0)
		rc = perf_fdp_setup(device);
	if (rc != 0)
		return rc;
	pool.attr = nsdk_nvme_ctrlr_dma_attr(device->ctrlr);
	pool.numa_node = nsdk_device_numa_node(device->dev);
	return nsdk_dma_pool_create(device->run->mem, &pool, &device->pool);
}

int perf_device_detach(struct perf_device *device)
{
	int rc = 0, pool_rc = 0;

	if (device->ctrlr != NULL)
		rc = nsdk_nvme_detach(device->ctrlr);
	device->ctrlr = NULL;
	device->ns = NULL;
	nsdk_device_detach(device->dev);
	device->dev = NULL;
	if (device->pool != NULL)
		pool_rc = nsdk_dma_pool_destroy(device->pool);
	device->pool = NULL;
	return rc != 0 ? rc : pool_rc;
}

/* While the controller is being mended each step waits for a poll, so its lcore does not sleep. */
static void attend(struct perf_device *device)
{
	bool mended = !nsdk_nvme_ctrlr_recovering(device->ctrlr) ||
		      atomic_load_explicit(&device->failed, memory_order_relaxed);

	if (mended) {
		nsdk_poller_unregister(device->urgent);
		device->urgent = NULL;
	} else if (device->urgent == NULL && device->run->opts.mode != NSDK_REACTOR_POLL) {
		/* Without it, it takes longer. */
		if (nsdk_poller_register(NULL, perf_device_poll, device, 0, &device->urgent) != 0)
			device->urgent = NULL;
	}
}

int perf_device_poll(void *ctx)
{
	struct perf_device *device = ctx;
	int rc;

	if (atomic_load_explicit(&device->failed, memory_order_relaxed))
		return 0;
	if (device->group != NULL)
		return nsdk_nvme_poll_group_poll(device->group, 0);
	rc = nsdk_nvme_ctrlr_poll(device->ctrlr);
	if (rc < 0)
		atomic_store(&device->failed, true); /* the library has said why */
	attend(device);
	return rc > 0 ? rc : 0;
}

static void say_mismatch(const struct perf_device *device, const struct perf_mismatch *m)
{
	uint32_t lines_per_block = device->block_bytes / NSDK_LINE_BYTES;
	bool whole = m->lines == m->blocks * lines_per_block;
	bool described = m->found <= PERF_FOUND_OLD_RUN;
	char place[96], found[160];

	if (m->blocks > 1)
		snprintf(place, sizeof(place), "LBA %llu to %llu, from byte %u on, %u bytes",
			 (unsigned long long)m->lba, (unsigned long long)m->lba + m->blocks - 1,
			 m->offset_bytes, m->lines * NSDK_LINE_BYTES);
	else
		snprintf(place, sizeof(place), "LBA %llu, byte %u, %u bytes",
			 (unsigned long long)m->lba, m->offset_bytes, m->lines * NSDK_LINE_BYTES);
	if (described)
		snprintf(found, sizeof(found), "address %llu generation %u checksum %016llx, %s",
			 (unsigned long long)m->found_lba, m->found_generation,
			 (unsigned long long)m->found_checksum, perf_found_text(m->found));
	else
		snprintf(found, sizeof(found), "%s", perf_found_text(m->found));
	tool_say("%s: verify: namespace %u, %s: expected address %llu generation %u checksum %016llx, "
		 "found %s%s",
		 nsdk_device_name(device->dev), device->pattern.nsid, place,
		 (unsigned long long)m->lba, m->expected_generation,
		 (unsigned long long)m->expected_checksum, found,
		 m->found != PERF_FOUND_GARBAGE && !whole ?
			 " (part of a block, in whole cache lines: as a missing write-back or "
			 "invalidate leaves it)" :
			 "");
}

void perf_device_mismatch(void *ctx, const struct perf_mismatch *mismatch)
{
	struct perf_device *device = ctx;
	unsigned place = atomic_fetch_add(&device->kept, 1);

	if (place < PERF_KEPT_MISMATCHES)
		device->mismatches[place] = *mismatch;
	say_mismatch(device, mismatch);
}
