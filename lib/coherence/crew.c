/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The crew: flush lcores that share a large batch's line operations with the submitting core.
 *
 * Model. A job is a list of ranges, looked at as one row of lines and cut into shares of 16 to 64 KiB.
 * Members and the submitter claim shares by counting next_share up; whoever claims one does its lines,
 * fences, and sets its mark. The job is done when every mark is set, which the submitter alone finds
 * out. Members come to an open job by themselves; the submitter takes part a share a poll, so it needs
 * nobody: a job ends even if no member ever looks at it.
 *
 * Doing lines twice, or late, does no harm: a write-back may happen at any time anyway, and the
 * invalidation here writes back first. What does harm is to believe a line done that is not, and to
 * execute a line operation on memory that has been unmapped. All rules below serve those two.
 *
 * Late members. Once nothing is left to claim, each claimer has the timeout for its one share. After
 * that the submitter does the shares without a mark again, and calls those lost who are still inside
 * the job. A lost member gets nothing, for it is stuck; should it come back, it sets marks in a job
 * that nobody looks at any more, leaves, and is trusted again. One whose thread has ended never is.
 *
 * Lifetime of a job. There are NSDK_CREW_MAX_JOBS of them for ever, each taken, open, finished, free. A
 * job is never filled anew while a member is inside it, so what a member reads there cannot change
 * under it however late it is, and a late mark cannot pass for one of the next job's. That is the
 * generation check that other designs need on every access, made once, by who fills. A stuck member
 * costs one job out of NSDK_CREW_MAX_JOBS.
 *
 * Who is inside. A member announces itself (where), then looks again whether the job is open, and only
 * then goes in. The submitter closes the job, then looks who is announced. Both are a store and then a
 * load of the other's word, so both are sequentially consistent: one of the two sees the other. With
 * anything weaker both could miss, and the job be filled, or its memory unmapped, under the member.
 *
 * Order, from the submitter's stores to its doorbell:
 *  1. the buffers' stores and the load of a completion -> opening the job (release: open, by RMW) ->
 *     the member's look at open (acquire). Non-temporal stores are not in that order; they leave no
 *     dirty line, and the submitter's own fence at the end (5) drains them.
 *  2. that look -> the line operations: CLWB, CLFLUSHOPT and DC are not ordered after older loads, nor
 *     by an acquire, so a doer executes acquire_for_cpu() first, whichever way the data goes. Else a
 *     line could be written back before the submitter's store had reached it.
 *  3. the line operations -> the mark: the doer's own fence. Nobody can fence for another CPU: SFENCE
 *     and DSB order the instructions of the CPU that executes them (and so does the cache model).
 *  4. the mark (release) -> the submitter's look at it (acquire). On x86 CLFLUSHOPT and CLWB are ordered
 *     by the fence as stores are, and x86 keeps causality; on aarch64 DSB has completed them.
 *  5. that look -> the doorbell, or the loads of the data: the submitter's own fence of the same kind,
 *     which also serves what it stored past the caches itself. A stale line that the submitter's
 *     CPU loaded ahead of time is not used: the load is held back behind this fence, and CLFLUSHOPT
 *     and DC CIVAC drop the line from every cache of the coherence domain.
 *
 * Threading. Any thread submits; one thread at a time polls a job. No locks. What members spin on
 * (open) is written when a job begins and when its last share is claimed, and by nothing else. The
 * crew is freed by the last of its threads and its owner, which matters when one was left behind.
 *
 * Vocabulary. Member: a thread of the crew. Share: consecutive lines of the job, done by one. Mark: the
 * byte that says a share is done. Seat: the right of one member to take part in one job.
 */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_pause.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "lib/env/env_internal.h"
#include "pinned.h"

#define DEFAULT_TIMEOUT_NS ((uint64_t)100 * 1000 * 1000)
#define DESTROY_TIMEOUT_NS ((uint64_t)1000 * 1000 * 1000)

/* Whole pages, so that the cost of claiming, fencing and marking one stays below a few percent. */
#define SHARE_MIN_LINES 256u
#define SHARE_MAX_LINES 1024u
#define PAGE_LINES (4096u / NSDK_LINE_BYTES)
/* Beyond as many of the longest, shares grow. */
#define MAX_SHARES 4096u
#define SHARES_PER_DOER 8u

/* Turns of a spinning loop, some microseconds, before somebody else may have the CPU. */
#define SPINS_BEFORE_YIELD 256u
/* Between two looks of who waits off the I/O path. */
#define LOOK_AGAIN_NS (100 * 1000)

#define OPEN_STOP (UINT64_C(1) << 63)
_Static_assert(NSDK_CREW_MAX_JOBS < 63, "one bit of open for each job, and one to stop");

/* member->where: the job that a member is inside of, counted from 1; 0: none. */
#define WHERE_JOB 0xffu
#define WHERE_LOST 0x100u  /* beside the job */
#define WHERE_ENDED 0x200u /* alone */

struct row {
	uintptr_t va;
	uint64_t line; /* of the job's, counted from 0; the row's lines end where the next row begins */
	bool invalidate;
};

struct nsdk_crew_job {
	/* Constant while anybody is inside. */
	struct nsdk_crew *crew;
	const struct nsdk_line_ops *ops;
	uint64_t lines;
	uint64_t share_lines;
	unsigned number;
	unsigned shares;
	unsigned rows;
	bool for_cpu;
	struct row *row; /* NSDK_CREW_MAX_RANGES, and one that only ends the last */
	_Atomic uint8_t *done; /* MAX_SHARES marks */

	/* Written by every doer. */
	_Atomic unsigned next_share __attribute__((aligned(NSDK_LINE_BYTES)));
	_Atomic int seats;

	/* The submitter's; finished is read by who quiesces. */
	_Atomic bool finished __attribute__((aligned(NSDK_LINE_BYTES)));
	bool all_claimed;
	bool expired;
	unsigned first_undone;
	uint64_t all_claimed_ns;
	uint64_t lines_by_submitter;
};

struct member {
	struct nsdk_crew *crew;
	pthread_t thread;
	unsigned cpu;
	_Atomic bool told; /* that it was lost */

	_Atomic unsigned where __attribute__((aligned(NSDK_LINE_BYTES)));
	_Atomic uint64_t lines;
};

struct nsdk_crew {
	/* What members spin on: the jobs that want them, a bit each. */
	_Atomic uint64_t open __attribute__((aligned(NSDK_LINE_BYTES)));

	/* Jobs that are not free. */
	_Atomic uint64_t taken __attribute__((aligned(NSDK_LINE_BYTES)));

	_Atomic uint64_t jobs_done __attribute__((aligned(NSDK_LINE_BYTES)));
	_Atomic uint64_t lines_by_submitters;
	_Atomic uint64_t takeovers;
	_Atomic uint64_t members_lost;

	unsigned member_count __attribute__((aligned(NSDK_LINE_BYTES)));
	uint64_t timeout_ns;
	struct member *members;
	struct nsdk_crew_job *jobs;
	_Atomic unsigned holders; /* threads that have not ended, and the owner */
};

/*
 * One more turn of waiting. With more threads than CPUs the one waited for may need this CPU, so it is
 * offered, but ever more rarely: a scheduler holds each offer against who made it, whether or not it
 * was taken, and a thread that made thousands gets no CPU for a second once it has a neighbour.
 */
static void spin(unsigned *spins)
{
	rte_pause();
	++*spins;
	if (*spins >= SPINS_BEFORE_YIELD && (*spins & (*spins - 1)) == 0)
		sched_yield();
}

/* ---- Doing a share ---- */

/* The row that a line of the job is in. */
static const struct row *row_of(const struct nsdk_crew_job *job, uint64_t line)
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

/* @return how many lines that were. */
static uint64_t do_share(struct nsdk_crew_job *job, unsigned share)
{
	uint64_t line = share * job->share_lines, end = line + job->share_lines, count;
	const struct row *row = row_of(job, line);

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
	/* Release: the fence orders it on the machine, this keeps the compiler to it. */
	atomic_store_explicit(&job->done[share], 1, memory_order_release);
	return count;
}

/* @return false when all were claimed. */
static bool claim(struct nsdk_crew_job *job, unsigned *share)
{
	/* Relaxed: that each is claimed once is all; nothing is handed over by it. */
	*share = atomic_fetch_add_explicit(&job->next_share, 1, memory_order_relaxed);
	return *share < job->shares;
}

/* No more members come. Those who are announced may still come in or be inside. */
static void close_job(struct nsdk_crew_job *job)
{
	/* Sequentially consistent, against the announcing member: see the top. */
	atomic_fetch_and_explicit(&job->crew->open, ~(UINT64_C(1) << job->number),
				  memory_order_seq_cst);
}

/* ---- Members ---- */

static bool take_seat(struct nsdk_crew_job *job)
{
	/* Relaxed: a count; what is read in the job was ordered by the look at open. */
	int left = atomic_fetch_sub_explicit(&job->seats, 1, memory_order_relaxed);

	if (left == 1)
		close_job(job);
	return left >= 1;
}

static void visit(struct member *member, unsigned number)
{
	struct nsdk_crew *crew = member->crew;
	struct nsdk_crew_job *job = &crew->jobs[number];
	uint64_t lines;
	unsigned share;

	/* Announced, then looked again; sequentially consistent, against who closes: see the top. */
	atomic_store_explicit(&member->where, number + 1, memory_order_seq_cst);
	if (!(atomic_load_explicit(&crew->open, memory_order_seq_cst) >> number & 1))
		goto leave;
	/* From here to the leave the job stays as it is, late or not. */
	if (!take_seat(job))
		goto leave;
	while (claim(job, &share)) {
		lines = do_share(job, share);
		/* One writer; a count orders nothing. */
		lines += atomic_load_explicit(&member->lines, memory_order_relaxed);
		atomic_store_explicit(&member->lines, lines, memory_order_relaxed);
	}
	close_job(job);
leave:
	/*
	 * Release: all that was read and done in there before whoever sees that we left, and fills the
	 * job anew or unmaps the memory. It wipes WHERE_LOST: who gets here is not stuck.
	 */
	atomic_store_explicit(&member->where, 0, memory_order_release);
}

static void drop(struct nsdk_crew *crew)
{
	/* Acquire and release: what every holder did with the crew before the freeing. */
	if (atomic_fetch_sub_explicit(&crew->holders, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++) {
		free(crew->jobs[i].row);
		free((void *)crew->jobs[i].done);
	}
	free(crew->jobs);
	free(crew->members);
	free(crew);
}

/* However the thread ends, in the middle of a line operation too. */
static void end_member(void *arg)
{
	struct member *member = arg;

	/* Release: as in visit(). The share it was in has no mark, and will be taken over. */
	atomic_store_explicit(&member->where, WHERE_ENDED, memory_order_release);
	drop(member->crew);
}

/* Until the crew stops. */
static void serve(struct member *member)
{
	struct nsdk_crew *crew = member->crew;
	unsigned spins = 0, next = 0;
	uint64_t open, later;

	for (;;) {
		/* Relaxed: visit() looks again. */
		open = atomic_load_explicit(&crew->open, memory_order_relaxed);
		if (open & OPEN_STOP)
			return;
		if (open == 0) {
			spin(&spins);
			continue;
		}
		spins = 0;
		/* In turn, so that no submitter waits for another's jobs. */
		later = open & ~UINT64_C(0) << next;
		next = (unsigned)__builtin_ctzll(later != 0 ? later : open);
		visit(member, next++);
	}
}

static void *member_main(void *arg)
{
	struct member *member = arg;
	char name[16];

	snprintf(name, sizeof(name), "nsdk-flush-%u", member->cpu % NSDK_MAX_CPUS);
	pthread_setname_np(pthread_self(), name);
	pthread_cleanup_push(end_member, member);
	serve(member);
	pthread_cleanup_pop(1);
	return NULL;
}

/* ---- Creation ---- */

static int alloc_jobs(struct nsdk_crew *crew)
{
	crew->jobs = aligned_alloc(NSDK_LINE_BYTES, NSDK_CREW_MAX_JOBS * sizeof(*crew->jobs));
	if (crew->jobs == NULL)
		return -ENOMEM;
	memset(crew->jobs, 0, NSDK_CREW_MAX_JOBS * sizeof(*crew->jobs));
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++) {
		struct nsdk_crew_job *job = &crew->jobs[i];

		job->crew = crew;
		job->number = i;
		job->row = calloc(NSDK_CREW_MAX_RANGES + 1, sizeof(*job->row));
		job->done = calloc(MAX_SHARES, sizeof(*job->done));
		atomic_init(&job->finished, true);
		if (job->row == NULL || job->done == NULL)
			goto free_jobs;
	}
	return 0;

free_jobs:
	for (unsigned i = 0; i < NSDK_CREW_MAX_JOBS; i++) {
		free(crew->jobs[i].row);
		free((void *)crew->jobs[i].done);
	}
	free(crew->jobs);
	return -ENOMEM;
}

static int alloc_crew(unsigned member_count, struct nsdk_crew **out)
{
	struct nsdk_crew *crew = aligned_alloc(NSDK_LINE_BYTES, sizeof(*crew));

	if (crew == NULL)
		return -ENOMEM;
	memset(crew, 0, sizeof(*crew));
	crew->members = aligned_alloc(NSDK_LINE_BYTES, member_count * sizeof(*crew->members));
	if (crew->members == NULL)
		goto free_crew;
	memset(crew->members, 0, member_count * sizeof(*crew->members));
	if (alloc_jobs(crew) != 0)
		goto free_members;
	atomic_init(&crew->holders, 1);
	*out = crew;
	return 0;

free_members:
	free(crew->members);
free_crew:
	free(crew);
	return -ENOMEM;
}

static int start_member(struct nsdk_crew *crew, unsigned cpu)
{
	struct member *member = &crew->members[crew->member_count];
	int rc;

	member->crew = crew;
	member->cpu = cpu;
	/* Relaxed: the new thread sees all that was before its making. */
	atomic_fetch_add_explicit(&crew->holders, 1, memory_order_relaxed);
	rc = nsdk_pinned_thread(&member->thread, cpu, member_main, member);
	if (rc != 0)
		atomic_fetch_sub_explicit(&crew->holders, 1, memory_order_relaxed);
	else
		crew->member_count++;
	return rc;
}

int nsdk_crew_create(const nsdk_cpumask_t *cpus, uint64_t timeout_ns, struct nsdk_crew **out)
{
	unsigned count = nsdk_cpumask_weight(cpus);
	struct nsdk_crew *crew;
	int rc;

	*out = NULL;
	if (count == 0)
		return nsdk_fail(-EINVAL, "coherence",
				 "the list of flush CPUs is empty; name at least one, or leave it away");
	rc = nsdk_env_check_cpus(cpus);
	if (rc != 0)
		return rc;
	rc = alloc_crew(count, &crew);
	if (rc != 0)
		return nsdk_fail(rc, "coherence", "no memory for flush lcores on %u CPUs", count);
	crew->timeout_ns = timeout_ns != 0 ? timeout_ns : DEFAULT_TIMEOUT_NS;
	for (int cpu = nsdk_cpumask_next(cpus, 0); cpu >= 0;
	     cpu = nsdk_cpumask_next(cpus, (unsigned)cpu + 1)) {
		rc = start_member(crew, (unsigned)cpu);
		if (rc != 0) {
			nsdk_crew_destroy(crew);
			return nsdk_fail(rc, "coherence",
					 "there is no thread to be had for the flush lcore on CPU %d (%s); "
					 "leave that CPU out of the list", cpu, strerror(-rc));
		}
	}
	*out = crew;
	return 0;
}

/* ---- Waiting for members, off the I/O path ---- */

static bool has_ended(struct nsdk_crew *crew, const struct member *member)
{
	(void)crew;
	/* Acquire: with end_member(). */
	return atomic_load_explicit(&member->where, memory_order_acquire) == WHERE_ENDED;
}

/* Whether it cannot be inside a job that was finished before the call. */
static bool has_left(struct nsdk_crew *crew, const struct member *member)
{
	/*
	 * Sequentially consistent: the jobs in question were closed before, and a member that came in
	 * had announced itself before that (see the top). Acquire is part of it, with visit().
	 */
	unsigned number = atomic_load_explicit(&member->where, memory_order_seq_cst) & WHERE_JOB;

	/* In a job that is not finished it is not in one of those: nobody fills a job under it. */
	return number == 0 ||
	       !atomic_load_explicit(&crew->jobs[number - 1].finished, memory_order_acquire);
}

static bool wait_for(struct nsdk_crew *crew, const struct member *member, uint64_t deadline_ns,
		     bool (*is_so)(struct nsdk_crew *, const struct member *))
{
	const struct timespec pause = { .tv_nsec = LOOK_AGAIN_NS };

	while (!is_so(crew, member)) {
		if (nsdk_clock_ns() > deadline_ns)
			return is_so(crew, member);
		nanosleep(&pause, NULL);
	}
	return true;
}

void nsdk_crew_destroy(struct nsdk_crew *crew)
{
	uint64_t deadline_ns = nsdk_clock_ns() + DESTROY_TIMEOUT_NS;

	if (crew == NULL)
		return;
	/* Relaxed: members look at it in every turn, and what they free is ordered by holders. */
	atomic_fetch_or_explicit(&crew->open, OPEN_STOP, memory_order_relaxed);
	for (unsigned i = 0; i < crew->member_count; i++) {
		struct member *member = &crew->members[i];

		if (wait_for(crew, member, deadline_ns, has_ended)) {
			pthread_join(member->thread, NULL);
			continue;
		}
		pthread_detach(member->thread);
		nsdk_log(NSDK_LOG_WARN, "coherence",
			 "the flush lcore on CPU %u does not end: its thread is left behind, stuck in a line "
			 "operation", member->cpu);
	}
	drop(crew);
}

int nsdk_crew_quiesce(struct nsdk_crew *crew, uint64_t timeout_ns)
{
	uint64_t deadline_ns = nsdk_clock_ns() + timeout_ns;

	for (unsigned i = 0; i < crew->member_count; i++) {
		if (!wait_for(crew, &crew->members[i], deadline_ns, has_left))
			return nsdk_fail(-ETIMEDOUT, "coherence",
					 "the flush lcore on CPU %u is stuck in a line operation: the memory that "
					 "it may still touch stays mapped until the process ends",
					 crew->members[i].cpu);
	}
	return 0;
}

/* ---- Submitting ---- */

unsigned nsdk_crew_size(const struct nsdk_crew *crew)
{
	unsigned size = 0;

	/* Relaxed: an opinion, which may be out of date as soon as it is given. */
	for (unsigned i = 0; i < crew->member_count; i++)
		size += (atomic_load_explicit(&crew->members[i].where, memory_order_relaxed) &
			 (WHERE_LOST | WHERE_ENDED)) == 0;
	return size;
}

static bool anybody_inside(const struct nsdk_crew *crew, unsigned number)
{
	for (unsigned i = 0; i < crew->member_count; i++) {
		/*
		 * Sequentially consistent: after the closing of the job's last use, which was before it
		 * became free. Acquire is part of it: what a member read before it left, before we write.
		 */
		if ((atomic_load_explicit(&crew->members[i].where, memory_order_seq_cst) & WHERE_JOB) ==
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
		job->row[job->rows++] = (struct row){
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
	if (share_lines < (job->lines + MAX_SHARES - 1) / MAX_SHARES)
		share_lines = (job->lines + MAX_SHARES - 1) / MAX_SHARES;
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
	job->lines_by_submitter = 0;
	/* Relaxed, these three: the opening publishes them. */
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
		struct member *member = &crew->members[i];
		unsigned where = job->number + 1;
		/*
		 * Exchanged only if it is still inside, so that the flag is never set on one that has left.
		 * Relaxed: neither way is anything handed over.
		 */
		bool late = atomic_compare_exchange_strong_explicit(
			&member->where, &where, where | WHERE_LOST, memory_order_relaxed,
			memory_order_relaxed);

		if (!late && where != WHERE_ENDED)
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
	close_job(job);
	/*
	 * Every mark was seen; now the caller's doorbell, or its loads of the data, after all that,
	 * against the device. It is also this thread's fence for what it stored past the caches.
	 */
	if (job->for_cpu)
		job->ops->fence_for_cpu();
	else
		job->ops->fence_for_device();
	atomic_fetch_add_explicit(&crew->jobs_done, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&crew->lines_by_submitters, job->lines_by_submitter,
				  memory_order_relaxed);
	/* Release: with has_left(), the closing before it. */
	atomic_store_explicit(&job->finished, true, memory_order_release);
	give_job(job);
}

bool nsdk_crew_poll(struct nsdk_crew_job *job)
{
	unsigned share;
	uint64_t now_ns;

	if (!job->all_claimed && claim(job, &share)) {
		job->lines_by_submitter += do_share(job, share);
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
	job->lines_by_submitter += do_share(job, job->first_undone);
	atomic_fetch_add_explicit(&job->crew->takeovers, 1, memory_order_relaxed);
	return false;
}

void nsdk_crew_finish(struct nsdk_crew_job *job)
{
	unsigned spins = 0;

	while (!nsdk_crew_poll(job)) {
		if (job->all_claimed)
			spin(&spins);
	}
}

void nsdk_crew_stats(const struct nsdk_crew *crew, struct nsdk_crew_stats *out)
{
	/* Relaxed throughout: counts, which order nothing. */
	out->jobs = atomic_load_explicit(&crew->jobs_done, memory_order_relaxed);
	out->lines_by_submitters = atomic_load_explicit(&crew->lines_by_submitters, memory_order_relaxed);
	out->takeovers = atomic_load_explicit(&crew->takeovers, memory_order_relaxed);
	out->members_lost = atomic_load_explicit(&crew->members_lost, memory_order_relaxed);
	out->lines_by_members = 0;
	for (unsigned i = 0; i < crew->member_count; i++)
		out->lines_by_members += atomic_load_explicit(&crew->members[i].lines,
							      memory_order_relaxed);
}
