/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A job: one queue pair, one poller on one lcore, --iodepth I/Os in flight.
 *
 * perf_job_poll() is called for ever by the reactor. Each time it fills the free slots, lets the
 * driver ring the doorbell and handle completions, and looks whether the stage is over. All jobs of
 * a run begin a stage together, so that what is measured is measured under the load that was asked
 * for.
 *
 * Under --verify nothing is left to chance about what a block should hold: a job has its region for
 * itself, an array knows the generation of each piece of --bs, and no two I/Os are in flight on the
 * same piece. The array is indexed by the place in the sequence of visits, not by the place on the
 * disk, so that a short run on a large disk needs little memory. With --zonemode=zbd that is different
 * (perf_zones.c): the index is the place, since what is read in any order was written in another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "perf.h"

/* Bits of an entry of perf_job.generations. */
#define GENERATION_BUSY 0x80000000u /* an I/O is in flight there */
#define GENERATION_MASK 0x7fffffffu

/* At four bytes each, the most that a job may track: 1 GiB. */
#define MAX_TRACKED ((uint64_t)1 << 28)

#define LOOK_NS 100000000u              /* between looks for commands that hang */
#define FAILED_DRAIN_NS 100000000u      /* for a controller that is known to have failed */

static inline enum perf_stage stage_of(const struct perf_job *job)
{
	return (enum perf_stage)atomic_load_explicit(&job->counters.stage, memory_order_relaxed);
}

/* The only writer is the job's thread: no read-modify-write is needed. */
static inline void count(atomic_uint_fast64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter,
			      atomic_load_explicit(counter, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

static unsigned outstanding(const struct perf_job *job)
{
	return job->slot_count - job->free_count + job->zone_commands;
}

/* ---- Stages ---- */

static enum perf_stage stage_after(const struct perf_job *job, enum perf_stage stage)
{
	const struct perf_opts *opts = &job->run->opts;

	if (job->failed || job->stop_ticks != 0)
		return PERF_OVER;
	switch (stage) {
	case PERF_LAY:
		return PERF_RUN;
	case PERF_RUN:
		return opts->verify && opts->writes ? PERF_READ_BACK : PERF_OVER;
	default:
		return PERF_OVER;
	}
}

/*
 * Be ready for @p stage. Each job says so once for every stage, for those it skips as well, so that
 * nobody waits for a job that is over.
 */
static void job_enter(struct perf_job *job, enum perf_stage stage)
{
	struct perf_run *run = job->run;
	int before = atomic_load_explicit(&job->counters.stage, memory_order_relaxed);

	atomic_store_explicit(&job->counters.stage, (int)stage, memory_order_relaxed);
	for (int s = before + 1; s <= (int)stage; s++)
		atomic_fetch_add(&run->ready[s], 1);
	job->waiting = true;
	if (stage != PERF_OVER)
		return;
	nsdk_poller_unregister(job->poller);
	job->poller = NULL;
	if (atomic_fetch_sub(&run->live, 1) == 1)
		nsdk_reactors_stop(0);
}

static void stage_begin(struct perf_job *job, uint64_t now)
{
	const struct perf_opts *opts = &job->run->opts;
	enum perf_stage stage = stage_of(job);

	job->waiting = false;
	job->issued = 0;
	job->position = 0;
	job->dir_position[PERF_READ] = 0;
	job->dir_position[PERF_WRITE] = 0;
	job->pass = 0;
	job->next.valid = false;
	job->exhausted = false;
	job->deadline_ticks = UINT64_MAX;
	/* Reading back takes as long as it takes: what was written within the time is not endless. */
	if (stage != PERF_READ_BACK && opts->runtime_ns != 0)
		job->deadline_ticks = now + perf_ns_to_ticks(job->run, opts->runtime_ns);
	if (stage == PERF_RUN)
		job->start_ticks = now;
}

static void stage_end(struct perf_job *job, uint64_t now)
{
	enum perf_stage stage = stage_of(job);

	if (stage == PERF_LAY)
		job->pass_length = job->issued;
	if (stage == PERF_RUN)
		job->end_ticks = now;
	if (stage == PERF_READ_BACK && !job->failed && job->stop_ticks == 0)
		job->read_back = true;
	job_enter(job, stage_after(job, stage));
}

/* ---- What is next ---- */

static bool wants_read(struct perf_job *job)
{
	job->random_state += 0x9e3779b97f4a7c15ULL;
	return (perf_mix64(job->random_state) >> 32) * 100 >> 32 < job->run->opts.rwmixread;
}

static bool choose_run(struct perf_job *job)
{
	const struct perf_opts *opts = &job->run->opts;
	bool mixed = opts->reads && opts->writes;

	if (opts->number_ios != 0 && job->issued == opts->number_ios)
		return false;
	if (job->position == job->pass_length) {
		if (!opts->time_based || job->pass_length == 0)
			return false;
		job->position = 0;
		job->dir_position[PERF_READ] = 0;
		/* Zones go on where they are: others would be one more that is open. */
		if (job->zones == NULL)
			job->dir_position[PERF_WRITE] = 0;
		job->pass++;
		/* Under --verify the order stays, since `generations` is indexed by it. */
		if (!opts->verify)
			perf_sequence_init(&job->seq, job->seq.count, opts->random,
					   perf_mix64(opts->seed + job->number) + job->pass);
	}
	job->next.dir = mixed ? (wants_read(job) ? PERF_READ : PERF_WRITE) :
				(opts->reads ? PERF_READ : PERF_WRITE);
	/* fio's sequential mix: reads and writes each walk through the region on their own. */
	job->next.index = mixed && !opts->random ? job->dir_position[job->next.dir]++ :
						   job->position;
	if (job->zones != NULL)
		job->next.index = opts->random ? perf_sequence_at(&job->seq, job->next.index) :
						 perf_zones_unit(&job->device->zones, job->stripes,
								 job->next.index % job->reach);
	job->position++;
	return true;
}

/* Whatever may have been written is below. */
static uint64_t read_back_end(const struct perf_job *job)
{
	return job->zones != NULL ? job->reach : job->pass_length;
}

static bool choose_next(struct perf_job *job)
{
	if (job->next.valid)
		return true;
	if (job->exhausted)
		return false;
	switch (stage_of(job)) {
	case PERF_LAY:
		job->next.valid = job->position < job->pass_length;
		job->next.dir = PERF_WRITE;
		job->next.index = job->position++;
		if (job->zones != NULL && job->next.valid)
			job->next.index = perf_zones_unit(&job->device->zones, job->stripes, job->next.index);
		break;
	case PERF_RUN:
		job->next.valid = choose_run(job);
		break;
	case PERF_READ_BACK:
		while (job->position < read_back_end(job) &&
		       job->generations[job->position] == 0)
			job->position++;
		job->next.valid = job->position < read_back_end(job);
		job->next.dir = PERF_READ;
		job->next.index = job->position++;
		break;
	default:
		break;
	}
	job->exhausted = !job->next.valid;
	return job->next.valid;
}

/* ---- One I/O ---- */

static void check_read(struct perf_job *job, struct perf_slot *slot)
{
	struct perf_device *device = job->device;
	uint32_t bad;

	if (slot->cmb != NULL)
		nsdk_bar_copy_from(slot->buf, slot->cmb, job->run->opts.bs_bytes);
	bad = perf_pattern_check(&device->pattern, slot->buf, slot->lba, job->unit_blocks,
				 device->block_bytes, slot->generation, perf_device_mismatch,
				 device);
	job->blocks_checked += job->unit_blocks;
	if (bad != 0)
		count(&job->counters.verify_errors, bad);
}

/* Between a slot's buffer and its place on the controller, if it has one. */
static void to_cmb(const struct perf_job *job, const struct perf_slot *slot)
{
	if (slot->cmb != NULL)
		nsdk_bar_copy_to(slot->cmb, slot->buf, job->run->opts.bs_bytes);
}

static void io_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct perf_slot *slot = ctx;
	struct perf_job *job = slot->job;
	bool ok = nsdk_nvme_cpl_ok(cpl);
	enum perf_stage stage = stage_of(job);

	slot->in_flight = false;
	if (job->run->opts.thinktime_ns != 0 && stage == PERF_RUN)
		job->resume_ticks = nsdk_ticks() + perf_ns_to_ticks(job->run, job->run->opts.thinktime_ns);
	job->free_slots[job->free_count++] = slot;
	if (job->zones != NULL && slot->dir == PERF_WRITE)
		perf_zones_wrote(job, slot->index);
	if (job->gave_up)
		return; /* counted when it was given up; the queue is being deleted */
	if (!ok) {
		count(&job->counters.errors, 1);
		if (!job->first_error.valid) {
			job->first_error.valid = true;
			job->first_error.dir = slot->dir;
			job->first_error.lba = slot->lba;
			job->first_error.status = cpl->status;
		}
	} else if (stage == PERF_RUN) {
		perf_hist_add(&job->hist[slot->dir],
			      perf_ticks_to_ns(job->run, nsdk_ticks() - slot->start_ticks));
		count(&job->counters.ios[slot->dir], 1);
	} else {
		count(&job->counters.other_ios, 1);
	}
	/* First: it brings the data to where it is looked at. */
	if (ok && slot->dir == PERF_READ && job->device->pi.md != NULL)
		count(&job->counters.verify_errors, perf_pi_after_read(job, slot));
	if (job->generations == NULL)
		return;
	/* After a failed write nobody knows what is there, but after an error nothing is read. */
	job->generations[slot->index] = slot->generation;
	if (!ok)
		return;
	if (slot->dir == PERF_WRITE)
		job->blocks_written += job->unit_blocks;
	else if (slot->generation != 0)
		check_read(job, slot);
}

/* @return 0; -EAGAIN not now; other -errno. */
static int submit_next(struct perf_job *job)
{
	struct perf_device *device = job->device;
	struct perf_slot *slot = job->free_slots[job->free_count - 1];
	uint32_t *generation = NULL;
	void *buf;
	int rc;

	slot->index = job->next.index;
	slot->dir = job->next.dir;
	if (job->zones != NULL)
		slot->lba = perf_zones_lba(job, slot->index);
	else
		slot->lba = job->first_lba + perf_sequence_at(&job->seq, slot->index) * job->unit_blocks;
	slot->generation = 0;
	if (job->zones != NULL && slot->dir == PERF_WRITE) {
		rc = perf_zones_begin_write(job, slot->index);
		if (rc != 0)
			return rc;
	}
	if (job->generations != NULL) {
		generation = &job->generations[slot->index];
		if ((*generation & GENERATION_BUSY) != 0)
			return -EAGAIN;
		if (slot->dir == PERF_WRITE) {
			slot->generation = *generation % GENERATION_MASK + 1;
			perf_pattern_fill(&device->pattern, slot->buf, slot->lba, job->unit_blocks,
					  device->block_bytes, slot->generation);
		} else {
			slot->generation = *generation;
			perf_pattern_poison(slot->buf, job->run->opts.bs_bytes);
		}
		to_cmb(job, slot);
	}
	if (slot->dir == PERF_WRITE)
		perf_pi_before_write(job, slot);
	slot->start_ticks = nsdk_ticks();
	buf = slot->cmb != NULL ? slot->cmb : slot->buf;
	if (device->pi.md != NULL)
		rc = perf_pi_submit(job, slot, io_done);
	else if (slot->dir == PERF_WRITE && job->run->opts.fdp.on)
		rc = perf_fdp_write(job, slot, buf, io_done);
	else if (slot->dir == PERF_WRITE)
		rc = nsdk_nvme_write(device->ns, job->qp, buf, slot->lba, job->unit_blocks, 0, io_done,
				     slot);
	else
		rc = nsdk_nvme_read(device->ns, job->qp, buf, slot->lba, job->unit_blocks, 0, io_done,
				    slot);
	if (rc != 0)
		return rc;
	slot->in_flight = true;
	job->placed += slot->dir == PERF_WRITE;
	if (job->zones != NULL && slot->dir == PERF_WRITE) {
		struct perf_zone *zone = &job->zones[slot->index / device->zones.units];

		zone->busy = true;
		zone->fresh = false;
	}
	job->free_count--;
	job->next.valid = false;
	job->issued++;
	if (generation != NULL)
		*generation |= GENERATION_BUSY;
	return 0;
}

static int submit_all(struct perf_job *job, uint64_t now)
{
	int batch = (int)job->run->opts.iodepth_batch, submitted = 0;

	/* A time limit is looked at once a round, but not before anything was done. */
	if (now >= job->deadline_ticks && job->issued > 0)
		job->exhausted = true;
	if (job->exhausted && now >= job->deadline_ticks)
		job->next.valid = false;
	if (job->resume_ticks != 0 && now < job->resume_ticks && !job->exhausted)
		return 0;
	job->resume_ticks = 0;
	while (job->free_count > 0 && choose_next(job)) {
		int rc = submit_next(job);

		if (rc == -EAGAIN)
			break;
		if (rc != 0)
			return rc;
		submitted++;
		if (batch != 0 && submitted % batch == 0)
			nsdk_nvme_qpair_submit(job->qp); /* an error is the next poll's as well */
	}
	return submitted;
}

/* ---- When it goes wrong ---- */

static const char *dir_name(uint8_t dir)
{
	return dir == PERF_WRITE ? "write" : "read";
}

/* What is outstanding is lost; the job is over. */
static void give_up(struct perf_job *job, uint64_t now)
{
	if (outstanding(job) > 0) {
		count(&job->counters.errors, outstanding(job));
		job->gave_up = true;
	}
	if (job->stop_ticks == 0)
		job->stop_ticks = now;
	stage_end(job, now);
}

/* The library has said why: the controller failed, or is no longer there. */
static void device_lost(struct perf_job *job, uint64_t now)
{
	job->failed = true;
	atomic_store(&job->device->failed, true);
	if (atomic_load_explicit(&job->counters.errors, memory_order_relaxed) == 0)
		count(&job->counters.errors, 1);
	give_up(job, now);
}

static void say_first_error(struct perf_job *job)
{
	tool_say("%s: %s of %u blocks at LBA %llu of namespace %u failed: %s",
		 nsdk_device_name(job->device->dev), dir_name(job->first_error.dir),
		 job->unit_blocks, (unsigned long long)job->first_error.lba,
		 job->device->pattern.nsid, nsdk_nvme_status_text(job->first_error.status));
	job->failed = true;
}

/*
 * The driver aborts at the deadline, and resets when that does not help; this is for when even that does
 * not.
 */
static uint64_t give_up_ns(const struct perf_run *run)
{
	return 2 * run->opts.io_timeout_ns + run->opts.recovery_ns;
}

/* @return whether the job has been given up. */
static bool look_for_hanging(struct perf_job *job, uint64_t now)
{
	const struct perf_run *run = job->run;
	uint64_t limit = perf_ns_to_ticks(run, give_up_ns(run));

	if (now < job->look_ticks)
		return false;
	job->look_ticks = now + perf_ns_to_ticks(run, LOOK_NS);
	for (unsigned i = 0; i < job->slot_count; i++) {
		const struct perf_slot *slot = &job->slots[i];

		if (!slot->in_flight || now < slot->start_ticks + limit)
			continue;
		tool_say("%s: %s of %u blocks at LBA %llu on queue %u has not completed in %g s; "
			 "the device is given up",
			 nsdk_device_name(job->device->dev), dir_name(slot->dir), job->unit_blocks,
			 (unsigned long long)slot->lba, nsdk_nvme_qpair_id(job->qp),
			 (double)give_up_ns(run) / 1e9);
		job->failed = true;
		atomic_store(&job->device->failed, true);
		give_up(job, now);
		return true;
	}
	return false;
}

/* @return whether the job has been given up. */
static bool drain_is_over(struct perf_job *job, uint64_t now)
{
	const struct perf_run *run = job->run;
	bool device_failed = atomic_load_explicit(&job->device->failed, memory_order_relaxed);
	uint64_t limit_ns = device_failed ? FAILED_DRAIN_NS : run->opts.stop_timeout_ns;

	if (job->stop_ticks == 0)
		return false;
	if (tool_stop_requests() < 2 && now < job->stop_ticks + perf_ns_to_ticks(run, limit_ns))
		return false;
	if (!device_failed)
		tool_say("%s: %u commands on queue %u had not completed %.1f s after the stop; they "
			 "are given up",
			 nsdk_device_name(job->device->dev), outstanding(job),
			 nsdk_nvme_qpair_id(job->qp),
			 (double)perf_ticks_to_ns(run, now - job->stop_ticks) / 1e9);
	give_up(job, now);
	return true;
}

/* ---- The poller ---- */

int perf_job_poll(void *ctx)
{
	struct perf_job *job = ctx;
	uint64_t now = nsdk_ticks();
	int submitted = 0, completed;

	if (job->stop_ticks == 0 &&
	    (tool_stop_requests() != 0 || job->failed ||
	     atomic_load_explicit(&job->device->failed, memory_order_relaxed)))
		job->stop_ticks = now;
	if (job->waiting) {
		if (job->stop_ticks != 0) {
			job_enter(job, PERF_OVER);
			return 0;
		}
		if (atomic_load(&job->run->ready[stage_of(job)]) < job->run->job_count)
			return 0;
		stage_begin(job, now);
	}
	if (job->stop_ticks == 0) {
		submitted = submit_all(job, now);
		if (submitted < 0 && submitted != -ENODEV && submitted != -EIO) {
			/* Of a namespace that it cannot use the driver has said why when it attached. */
			if (submitted != -ENOTSUP)
				tool_say("%s: a %s of %u blocks was not taken: %s",
					 nsdk_device_name(job->device->dev), dir_name(job->next.dir),
					 job->unit_blocks, strerror(-submitted));
			count(&job->counters.errors, 1);
			job->failed = true;
		}
	}
	completed = job->group != NULL ? perf_sleep_poll(job) : nsdk_nvme_qpair_poll(job->qp, 0);
	if (completed < 0 || submitted == -ENODEV || submitted == -EIO) {
		device_lost(job, now);
		return 0;
	}
	if (job->first_error.valid && !job->failed)
		say_first_error(job);
	if (outstanding(job) == 0) {
		if (job->stop_ticks != 0 || job->failed ||
		    (job->exhausted && !job->next.valid))
			stage_end(job, nsdk_ticks());
	} else if (!drain_is_over(job, now)) {
		look_for_hanging(job, now);
	}
	return completed + (submitted > 0 ? submitted : 0);
}

/* ---- Making one ---- */

static int create_slots(struct perf_job *job)
{
	const struct perf_opts *opts = &job->run->opts;
	uint64_t filler = perf_mix64(job->run->nonce + job->number);
	int rc;

	job->slots = calloc(opts->iodepth, sizeof(*job->slots));
	job->free_slots = calloc(opts->iodepth, sizeof(struct perf_slot *));
	if (job->slots == NULL || job->free_slots == NULL) {
		tool_say("no memory for --iodepth=%u", opts->iodepth);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < opts->iodepth; i++) {
		struct perf_slot *slot = &job->slots[i];
		size_t align_bytes = opts->bs_bytes >= 4096 ? 4096 : 0;

		rc = nsdk_dma_alloc(job->device->pool, opts->bs_bytes, align_bytes, &slot->buf);
		if (rc != 0)
			return rc;
		slot->job = job;
		job->free_slots[job->free_count++] = slot;
		job->slot_count++;
		/* Disks that compress must not find it easy: as in fio, what is written is random. */
		for (size_t word = 0; word < opts->bs_bytes / sizeof(uint64_t); word++) {
			filler += 0x9e3779b97f4a7c15ULL;
			((uint64_t *)slot->buf)[word] = perf_mix64(filler);
		}
		if (opts->cmb & NSDK_NVME_CMB_DATA)
			rc = nsdk_nvme_cmb_alloc(job->device->ctrlr, opts->bs_bytes, &slot->cmb);
		if (rc != 0)
			return rc;
		to_cmb(job, slot);
		rc = perf_pi_slot(job, slot);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int create_qpair(struct perf_job *job)
{
	const struct perf_opts *opts = &job->run->opts;
	struct nsdk_nvme_ctrlr *ctrlr = job->device->ctrlr;
	size_t transfer_bytes = nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr);
	uint64_t commands = (opts->bs_bytes + transfer_bytes - 1) / transfer_bytes;
	uint64_t most = (uint64_t)NSDK_NVME_CAP_MQES(nsdk_nvme_ctrlr_cap(ctrlr)) + 1;
	uint64_t entries = opts->iodepth * commands + 1;
	struct nsdk_nvme_qpair_opts qpair = { .opts_bytes = sizeof(qpair) };

	if (opts->iodepth >= most) {
		tool_say("%s: --iodepth=%u is more than the %llu commands that a queue of this "
			 "controller holds",
			 nsdk_device_name(job->device->dev), opts->iodepth,
			 (unsigned long long)most - 1);
		return -EINVAL;
	}
	if (entries < 16)
		entries = 16;
	if (entries > most)
		entries = most;
	qpair.entries = (unsigned)entries;
	/* Nobody else writes where this job does, so a block written twice is as good as once. */
	qpair.retry_writes = true;
	qpair.interrupts = opts->mode != NSDK_REACTOR_POLL;
	qpair.priority = perf_wrr_priority(&opts->wrr, job->number % opts->numjobs);
	return nsdk_nvme_qpair_create(ctrlr, &qpair, &job->qp);
}

int perf_job_create(struct perf_job *job)
{
	const struct perf_opts *opts = &job->run->opts;
	struct perf_device *device = job->device;
	uint64_t units = device->region_units;
	unsigned clone = job->number % opts->numjobs;
	int rc;

	atomic_store(&job->counters.stage, -1);
	job->unit_blocks = (uint32_t)(opts->bs_bytes / device->block_bytes);
	job->first_lba = device->region_lba;
	if (device->zones.on && (opts->verify || opts->writes))
		job->first_lba += clone * device->zones.zones * device->zones.zone_blocks;
	else if (opts->verify)
		job->first_lba += clone * units * job->unit_blocks;
	job->reach = units;
	if (opts->number_ios != 0 && opts->number_ios < units)
		job->reach = opts->number_ios;
	job->pass_length = job->reach;
	if (device->zones.on) {
		job->reach = units;
		/* What is read in any order may be anywhere. */
		if (opts->random && opts->verify)
			job->pass_length = units;
		rc = perf_zones_job_create(job);
		if (rc != 0)
			return rc;
	}
	job->random_state = perf_mix64(opts->seed ^ (uint64_t)job->number << 32);
	perf_sequence_init(&job->seq, units, opts->random, perf_mix64(opts->seed + job->number));
	for (unsigned dir = 0; dir < PERF_DIRS; dir++)
		perf_hist_init(&job->hist[dir]);
	if (opts->verify) {
		if (job->reach > MAX_TRACKED) {
			tool_say("%s: --verify can keep track of %llu I/Os a job, not of %llu: give "
				 "--number_ios or --size, or a larger --bs",
				 nsdk_device_name(device->dev), (unsigned long long)MAX_TRACKED,
				 (unsigned long long)job->reach);
			return -EFBIG;
		}
		/* Not calloc(): pages that a run with a time limit never comes to cost nothing. */
		job->generations = mmap(NULL, job->reach * sizeof(uint32_t), PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (job->generations == MAP_FAILED) {
			job->generations = NULL;
			tool_say("no memory to keep track of %llu I/Os",
				 (unsigned long long)job->reach);
			return -ENOMEM;
		}
	}
	rc = create_qpair(job);
	if (rc == 0)
		rc = create_slots(job);
	if (rc != 0)
		return rc;
	job_enter(job, opts->verify && opts->reads ? PERF_LAY : PERF_RUN);
	nsdk_nvme_cmb_info(job->device->ctrlr, &job->device->cmb);
	rc = nsdk_poller_register(nsdk_reactor_get(job->lcore), perf_job_poll, job, 0, &job->poller);
	return rc != 0 ? rc : perf_sleep_job(job);
}

void perf_job_destroy(struct perf_job *job)
{
	/* First the queue, then the memory: the device must not reach buffers that are gone. */
	nsdk_poller_unregister(job->poller);
	job->poller = NULL;
	perf_sleep_job_end(job);
	if (job->qp != NULL && nsdk_nvme_qpair_destroy(job->qp) != 0)
		atomic_store(&job->device->failed, true);
	job->qp = NULL;
	for (unsigned i = 0; i < job->slot_count; i++) {
		if (job->slots[i].cmb != NULL)
			nsdk_nvme_cmb_free(job->device->ctrlr, job->slots[i].cmb);
		nsdk_dma_free(job->device->pool, job->slots[i].metadata);
		nsdk_dma_free(job->device->pool, job->slots[i].buf);
	}
	free(job->slots);
	free(job->free_slots);
	free(job->zones);
	job->zones = NULL;
	job->slots = NULL;
	job->free_slots = NULL;
	job->slot_count = 0;
	job->free_count = 0;
	if (job->generations != NULL)
		munmap(job->generations, job->reach * sizeof(uint32_t));
	job->generations = NULL;
}
