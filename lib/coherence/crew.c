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
 * (open) is written when a job begins, when its last seat is taken or its last share claimed, and when
 * it ends, and by nothing else. The crew is freed by the last of its threads and its owner, which
 * matters when one was left behind.
 *
 * Files. Here the members: making them, what they do all day, waiting for them. crew_job.c: jobs, from
 * the submitter's side and from the doers'.
 *
 * Vocabulary. Member: a thread of the crew. Share: consecutive lines of the job, done by one. Mark: the
 * byte that says a share is done. Seat: the right of one member to take part in one job.
 */
#include "crew_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "lib/env/env_internal.h"
#include "pinned.h"

#define DEFAULT_TIMEOUT_NS ((uint64_t)100 * 1000 * 1000)
#define DESTROY_TIMEOUT_NS ((uint64_t)1000 * 1000 * 1000)
/* Between two looks of who waits off the I/O path. */
#define LOOK_AGAIN_NS (100 * 1000)

/* ---- Members ---- */

static bool take_seat(struct nsdk_crew_job *job)
{
	/* Relaxed: a count; what is read in the job was ordered by the look at open. */
	int left = atomic_fetch_sub_explicit(&job->seats, 1, memory_order_relaxed);

	if (left == 1)
		nsdk_crew_close_job(job);
	return left >= 1;
}

static void visit(struct crew_member *member, unsigned number)
{
	struct nsdk_crew *crew = member->crew;
	struct nsdk_crew_job *job = &crew->jobs[number];
	unsigned share;

	/* Announced, then looked again; sequentially consistent, against who closes: see the top. */
	atomic_store_explicit(&member->where, number + 1, memory_order_seq_cst);
	if (!(atomic_load_explicit(&crew->open, memory_order_seq_cst) >> number & 1))
		goto leave;
	/* From here to the leave the job stays as it is, late or not. */
	if (!take_seat(job))
		goto leave;
	while (nsdk_crew_claim(job, &share))
		nsdk_crew_do_share(job, share, &member->lines);
	nsdk_crew_close_job(job);
leave:
	/*
	 * Release: all that was read and done in there before whoever sees that we left, and fills the
	 * job anew or unmaps the memory. It wipes CREW_WHERE_LOST: who gets here is not stuck.
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

/* Members of crews that are gone, who may still be inside of a line operation. */
static _Atomic unsigned stragglers;

/* However the thread ends, in the middle of a line operation too. */
static void end_member(void *arg)
{
	struct crew_member *member = arg;

	/* Release: as in visit(). The share it was in has no mark, and will be taken over. */
	atomic_store_explicit(&member->where, CREW_WHERE_ENDED, memory_order_release);
	/* Sequentially consistent, both: behind its last line operation, before memory is unmapped. */
	if (atomic_exchange(&member->left_behind, true))
		atomic_fetch_sub(&stragglers, 1);
	drop(member->crew);
}

/* Until the crew stops. */
static void serve(struct crew_member *member)
{
	struct nsdk_crew *crew = member->crew;
	unsigned spins = 0, next = 0;
	uint64_t open, later;

	for (;;) {
		/* Relaxed: visit() looks again. */
		open = atomic_load_explicit(&crew->open, memory_order_relaxed);
		if (open & CREW_OPEN_STOP)
			return;
		if (open == 0) {
			crew_spin(&spins);
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
	struct crew_member *member = arg;
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
		job->done = calloc(CREW_MAX_SHARES, sizeof(*job->done));
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
	struct crew_member *member = &crew->members[crew->member_count];
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

static bool has_ended(struct nsdk_crew *crew, const struct crew_member *member)
{
	(void)crew;
	/* Acquire: with end_member(). */
	return atomic_load_explicit(&member->where, memory_order_acquire) == CREW_WHERE_ENDED;
}

/* Whether it cannot be inside a job that was finished before the call. */
static bool has_left(struct nsdk_crew *crew, const struct crew_member *member)
{
	/*
	 * Sequentially consistent: the jobs in question were closed before, and a member that came in
	 * had announced itself before that (see the top). Acquire is part of it, with visit().
	 */
	unsigned number = atomic_load_explicit(&member->where, memory_order_seq_cst) & CREW_WHERE_JOB;

	/* In a job that is not finished it is not in one of those: nobody fills a job under it. */
	return number == 0 ||
	       !atomic_load_explicit(&crew->jobs[number - 1].finished, memory_order_acquire);
}

static bool wait_for(struct nsdk_crew *crew, const struct crew_member *member, uint64_t deadline_ns,
		     bool (*is_so)(struct nsdk_crew *, const struct crew_member *))
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
	atomic_fetch_or_explicit(&crew->open, CREW_OPEN_STOP, memory_order_relaxed);
	for (unsigned i = 0; i < crew->member_count; i++) {
		struct crew_member *member = &crew->members[i];

		if (wait_for(crew, member, deadline_ns, has_ended)) {
			pthread_join(member->thread, NULL);
			continue;
		}
		atomic_fetch_add(&stragglers, 1);
		/* It, or its end, whoever is second here takes it off again. */
		if (atomic_exchange(&member->left_behind, true))
			atomic_fetch_sub(&stragglers, 1);
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

unsigned nsdk_crew_stragglers(void)
{
	return atomic_load(&stragglers);
}

/* ---- Looking ---- */

unsigned nsdk_crew_size(const struct nsdk_crew *crew)
{
	unsigned size = 0;

	/* Relaxed: an opinion, which may be out of date as soon as it is given. */
	for (unsigned i = 0; i < crew->member_count; i++)
		size += (atomic_load_explicit(&crew->members[i].where, memory_order_relaxed) &
			 (CREW_WHERE_LOST | CREW_WHERE_ENDED)) == 0;
	return size;
}

uint64_t nsdk_crew_cpu_ns(const struct nsdk_crew *crew)
{
	struct timespec had;
	uint64_t ns = 0;
	clockid_t clock;

	for (unsigned i = 0; i < crew->member_count; i++) {
		/* Relaxed: a thread that has ended has no clock, but it is there until it is joined. */
		if (atomic_load_explicit(&crew->members[i].where, memory_order_relaxed) != CREW_WHERE_ENDED &&
		    pthread_getcpuclockid(crew->members[i].thread, &clock) == 0 &&
		    clock_gettime(clock, &had) == 0)
			ns += (uint64_t)had.tv_sec * 1000000000 + (uint64_t)had.tv_nsec;
	}
	return ns;
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
