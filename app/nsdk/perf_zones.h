/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk perf`: --zonemode=zbd, zones that are written from their start on.
 */
#ifndef NSDK_PERF_ZONES_H
#define NSDK_PERF_ZONES_H

#include <stdbool.h>
#include <stdint.h>

struct perf_device;
struct perf_job;

/* The zones of a device's region. */
struct perf_zones {
	bool on;              /* --zonemode=zbd */
	uint64_t zone_blocks; /* from one zone to the next */
	uint64_t cap_blocks;  /* that can be written, of the zone with the fewest */
	uint64_t units;       /* pieces of --bs in a zone */
	uint64_t zones;       /* of each job */
	uint32_t at_a_time;   /* zones that a job may have open */
};

/* A zone of a job. */
struct perf_zone {
	struct perf_job *job;
	bool busy;   /* something is in flight that changes it: the next write waits */
	bool fresh;  /* it is empty, so writing may begin */
	bool finish; /* all units are written, but not all blocks: it is to be finished */
};

/*
 * What the region is, of a zoned namespace; and whether it can be one. Reports the zones, and resets
 * those that are going to be written.
 * @return 0 or -errno, said.
 */
int perf_zones_region(struct perf_device *device, uint64_t offset_bytes, uint64_t size_bytes);

/* @return 0 or -ENOMEM, said. */
int perf_zones_job_create(struct perf_job *job);

/* The unit that is written as the so manyth: as many zones in turn as may be open, each from its start. */
uint64_t perf_zones_unit(const struct perf_zones *zones, uint64_t stripes, uint64_t position);
/* Where a unit of a job is. */
uint64_t perf_zones_lba(const struct perf_job *job, uint64_t unit);

/* Whether a unit may be written now. @return 0; -EAGAIN not yet; other -errno. */
int perf_zones_begin_write(struct perf_job *job, uint64_t unit);
void perf_zones_wrote(struct perf_job *job, uint64_t unit);

#endif
