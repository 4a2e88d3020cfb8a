/* SPDX-License-Identifier: BSD-3-Clause */
/* A job of the crew: filled, opened, its shares done by whoever comes, polled. crew.c has the model. */
#include "crew_internal.h"

#include <errno.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

/* Whole pages, so that the cost of claiming, fencing and marking one stays below a few percent. */
#define SHARE_MIN_LINES 256u
#define SHARE_MAX_LINES 1024u
#define PAGE_LINES (4096u / NSDK_LINE_BYTES)
#define SHARES_PER_DOER 8u

/* ---- Doing a share ---- */

/* The row that a line of the job is in. */
static const struct crew_row *row_of(const struct nsdk_crew_job *job, uint64_t line)
{
	unsigned low = 0, high = job->rows;

	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (job->row[middle].line <= line)
			low = middle;
		else
			high = middle;
	}
	return &job->row[low];
}

void nsdk_crew_do_share(struct nsdk_crew_job *job, unsigned share, _Atomic uint64_t *lines)
{
	uint64_t line = share * job->share_lines, end = line + job->share_lines, count;
	const struct crew_row *row = row_of(job, line);

	end = end < job->lines ? end : job->lines;
	count = end - line;
	/*
	 * The look at the open job, and by it the submitter's stores and its load of a completion, before
	 * the line operations, against those stores and the device's: a line that is written back or
	 * dropped before them has to be done again, and nobody would. Not even on the submitter's own
	 * thread is it left out: the job may have been handed over from another.
	 */
	job->ops->acquire_for_cpu();
	for (; line < end; row++) {
		uint64_t row_end = row[1].line < end ? row[1].line : end;
		const void *va = (const void *)(row->va + (line - row->line) * NSDK_LINE_BYTES);

		if (row->invalidate)
			job->ops->writeback_invalidate(va, row_end - line);
		else
			job->ops->writeback(va, row_end - line);
		line = row_end;
	}
	/*
	 * The line operations before the mark, against the submitter, which takes the mark for a promise
	 * about them. For data that is taken back the stronger one: where the doer is the submitter its
	 * later loads count, and one rule serves all.
	 */
	if (job->for_cpu)
		job->ops->fence_for_cpu();
	else
		job->ops->fence_for_device();
	/* One writer; a count orders nothing, and the mark publishes it. */
	count += atomic_load_explicit(lines, memory_order_relaxed);
	atomic_store_explicit(lines, count, memory_order_relaxed);
	/* Release: the fence orders it on the machine, this keeps the compiler to it. */
	atomic_store_explicit(&job->done[share], 1, memory_order_release);
}

bool nsdk_crew_claim(struct nsdk_crew_job *job, unsigned *share)
{
	/* Relaxed: that each is claimed once is all; nothing is handed over by it. */
	*share = atomic_fetch_add_explicit(&job->next_share, 1, memory_order_relaxed);
	return *share < job->shares;
}

void nsdk_crew_close_job(struct nsdk_crew_job *job)
{
	/* Sequentially consistent, against the announcing member: see the top. */
	atomic_fetch_and_explicit(&job->crew->open, ~(UINT64_C(1) << job->number),
				  memory_order_seq_cst);
}

/* ---- Submitting ---- */

static bool anybody_inside(const struct nsdk_crew *crew, unsigned number)
{
	for (unsigned i = 0; i < crew->member_count; i++) {
		/*
		 * Sequentially consistent: after the closing of the job's last use, which was before it
		 * became free. Acquire is part of it: what a member read before it left, before we write.
		 */
		if ((atomic_load_explicit(&crew->members[i].where, memory_order_seq_cst) & CREW_WHERE_JOB) ==
		    number + 1)
			return true;
	}
	return false;
}

/* Take a job that is free and that nobody is inside of. */
static struct nsdk_crew_job *take_job(struct nsdk_crew *crew)
{
	for (unsigned number = 0; number < NSDK_CREW_MAX_JOBS; number++) {
		uint64_t bit = UINT64_C(1) << number;

		if (atomic_load_explicit(&crew->taken, memory_order_relaxed) & bit)
			continue;
		/* Acquire: what its last submitter did with it. */
		if (atomic_fetch_or_explicit(&crew->taken, bit, memory_order_acquire) & bit)
			continue;
		if (!anybody_inside(crew, number))
			return &crew->jobs[number];
		/* Somebody has not left: it stays as it is, finished. */
		atomic_fetch_and_explicit(&crew->taken, ~bit, memory_order_release);
	}
	return NULL;
}

static void give_job(struct nsdk_crew_job *job)
{
	/* Release: what was done with it, before its next submitter. */
	atomic_fetch_and_explicit(&job->crew->taken, ~(UINT64_C(1) << job->number),
				  memory_order_release);
}

static void fill_rows(struct nsdk_crew_job *job, const struct nsdk_crew_range *ranges, unsigned count)
{
	job->lines = 0;
	job->rows = 0;
	for (unsigned i = 0; i < count; i++) {
		if (ranges[i].first == ranges[i].end)
			continue;
		job->row[job->rows++] = (struct crew_row){
			.va = ranges[i].first,
			.line = job->lines,
			.invalidate = ranges[i].invalidate,
		};
		job->lines += (ranges[i].end - ranges[i].first) / NSDK_LINE_BYTES;
	}
	job->row[job->rows].line = job->lines;
}

/* Short enough that all doers end at about the same time, long enough to be worth a claim. */
static void cut_shares(struct nsdk_crew_job *job, unsigned doers)
{
	uint64_t share_lines = job->lines / ((uint64_t)doers * SHARES_PER_DOER);

	if (share_lines < SHARE_MIN_LINES)
		share_lines = SHARE_MIN_LINES;
	if (share_lines > SHARE_MAX_LINES)
		share_lines = SHARE_MAX_LINES;
	if (share_lines < (job->lines + CREW_MAX_SHARES - 1) / CREW_MAX_SHARES)
		share_lines = (job->lines + CREW_MAX_SHARES - 1) / CREW_MAX_SHARES;
	share_lines = (share_lines + PAGE_LINES - 1) / PAGE_LINES * PAGE_LINES;
	job->share_lines = share_lines;
	job->shares = (unsigned)((job->lines + share_lines - 1) / share_lines);
	memset((void *)job->done, 0, job->shares);
}

int nsdk_crew_start(struct nsdk_crew *crew, const struct nsdk_line_ops *ops,
		    const struct nsdk_crew_range *ranges, unsigned count, unsigned members_wanted,
		    bool for_cpu, struct nsdk_crew_job **out)
{
	struct nsdk_crew_job *job;
	unsigned seats = 0;

	*out = NULL;
	if (count > NSDK_CREW_MAX_RANGES)
		return -E2BIG;
	if (members_wanted > 0) {
		seats = nsdk_crew_size(crew);
		if (seats == 0)
			return -ENODEV;
		seats = seats < members_wanted ? seats : members_wanted;
	}
	job = take_job(crew);
	if (job == NULL)
		return -EBUSY;
	job->ops = ops;
	job->for_cpu = for_cpu;
	fill_rows(job, ranges, count);
	cut_shares(job, seats + 1);
	job->all_claimed = false;
	job->expired = false;
	job->first_undone = 0;
	/* Relaxed, these: the opening publishes them. */
	atomic_store_explicit(&job->lines_by_submitter, 0, memory_order_relaxed);
	atomic_store_explicit(&job->next_share, 0, memory_order_relaxed);
	atomic_store_explicit(&job->seats, (int)seats, memory_order_relaxed);
	atomic_store_explicit(&job->finished, false, memory_order_relaxed);
	/*
	 * Release, as a part of it: the job, the caller's stores into the buffers and its load of a
	 * completion, before a member sees the bit. A job of one share is done sooner alone.
	 */
	if (seats > 0 && job->shares > 1)
		atomic_fetch_or_explicit(&crew->open, UINT64_C(1) << job->number, memory_order_seq_cst);
	*out = job;
	return 0;
}

/* ---- Polling ---- */

/* The timeout is over and a share has no mark. Once a job. */
static void tell_of_late_members(struct nsdk_crew_job *job)
{
	struct nsdk_crew *crew = job->crew;

	for (unsigned i = 0; i < crew->member_count; i++) {
		struct crew_member *member = &crew->members[i];
		unsigned where = job->number + 1;
		/*
		 * Exchanged only if it is still inside, so that the flag is never set on one that has left.
		 * Relaxed: neither way is anything handed over.
		 */
		bool late = atomic_compare_exchange_strong_explicit(
			&member->where, &where, where | CREW_WHERE_LOST, memory_order_relaxed,
			memory_order_relaxed);

		if (!late && where != CREW_WHERE_ENDED)
			continue;
		/* Once a member: one that comes and goes would fill the log. */
		if (atomic_exchange_explicit(&member->told, true, memory_order_relaxed)) {
			if (late)
				atomic_fetch_add_explicit(&crew->members_lost, 1, memory_order_relaxed);
			continue;
		}
		atomic_fetch_add_explicit(&crew->members_lost, 1, memory_order_relaxed);
		nsdk_log(NSDK_LOG_WARN, "coherence",
			 "the flush lcore on CPU %u %s: the submitting core flushes its lines, and it gets no "
			 "more of them%s", member->cpu,
			 late ? "does not come back from a flush" : "has ended in the middle of a flush",
			 late ? " until it does" : "");
	}
}

/* Whether all shares have their mark. */
static bool all_done(struct nsdk_crew_job *job)
{
	/* Acquire: the doer's line operations and its fence before all that follows the job. */
	while (job->first_undone < job->shares &&
	       atomic_load_explicit(&job->done[job->first_undone], memory_order_acquire))
		job->first_undone++;
	return job->first_undone == job->shares;
}

static void finish_job(struct nsdk_crew_job *job)
{
	struct nsdk_crew *crew = job->crew;

	/* Members may have closed it long ago; only now it is known to be closed. */
	nsdk_crew_close_job(job);
	/*
	 * Every mark was seen; now the caller's doorbell, or its loads of the data, after all that,
	 * against the device. It is also this thread's fence for what it stored past the caches.
	 */
	if (job->for_cpu)
		job->ops->fence_for_cpu();
	else
		job->ops->fence_for_device();
	atomic_fetch_add_explicit(&crew->jobs_done, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&crew->lines_by_submitters,
				  atomic_load_explicit(&job->lines_by_submitter, memory_order_relaxed),
				  memory_order_relaxed);
	/* Release: with has_left(), the closing before it. */
	atomic_store_explicit(&job->finished, true, memory_order_release);
	give_job(job);
}

bool nsdk_crew_poll(struct nsdk_crew_job *job)
{
	unsigned share;
	uint64_t now_ns;

	if (!job->all_claimed && nsdk_crew_claim(job, &share)) {
		nsdk_crew_do_share(job, share, &job->lines_by_submitter);
	} else if (!job->all_claimed) {
		/* From now on each claimer has had its share for as long as we wait. */
		job->all_claimed = true;
		job->all_claimed_ns = nsdk_clock_ns();
	}
	if (all_done(job)) {
		finish_job(job);
		return true;
	}
	if (!job->all_claimed)
		return false;
	if (!job->expired) {
		now_ns = nsdk_clock_ns();
		if (now_ns - job->all_claimed_ns < job->crew->timeout_ns || all_done(job))
			return false; /* the next poll sees what is done */
		job->expired = true;
		tell_of_late_members(job);
	}
	nsdk_crew_do_share(job, job->first_undone, &job->lines_by_submitter);
	atomic_fetch_add_explicit(&job->crew->takeovers, 1, memory_order_relaxed);
	return false;
}

void nsdk_crew_finish(struct nsdk_crew_job *job)
{
	unsigned spins = 0;

	while (!nsdk_crew_poll(job)) {
		if (job->all_claimed)
			crew_spin(&spins);
	}
}
