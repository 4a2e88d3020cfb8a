/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flush lcores: pinned threads that share the line operations of a large flush batch with the core
 * that submits it, asynchronously: the doorbell waits, the reactor does not. Model, lifetimes and
 * threading are in crew.c.
 */
#ifndef NSDK_COHERENCE_CREW_H
#define NSDK_COHERENCE_CREW_H

#include <nsdk/types.h>

#include "coherence_internal.h"

/* Ranges that one job may have, and jobs that may be unfinished at a time, whoever submits them. */
#define NSDK_CREW_MAX_RANGES 4096u
#define NSDK_CREW_MAX_JOBS 16u

struct nsdk_crew;
struct nsdk_crew_job;

/* Whole lines of NSDK_LINE_BYTES; an empty range is passed over. */
struct nsdk_crew_range {
	uintptr_t first;
	uintptr_t end;   /* exclusive */
	bool invalidate; /* write back and invalidate; else write back */
};

struct nsdk_crew_stats {
	uint64_t jobs;               /* finished ones */
	uint64_t lines_by_members;
	uint64_t lines_by_submitters;
	uint64_t takeovers;          /* shares that a submitter did again, because their doer was late */
	uint64_t members_lost;       /* how often a member was late or had ended */
};

/*
 * Start the flush lcores.
 *
 * @cpus: one thread is pinned to each.
 * @timeout_ns: how long a member may take for one share (64 KiB, as a rule) once there is nothing left
 *	to claim, before the submitter does the share itself; 0: 100 ms.
 * @return 0; -EINVAL no CPU; -ENODEV one is offline or outside our affinity mask; -ENOMEM; other
 *	-errno: no thread. A sentence has been logged.
 */
int nsdk_crew_create(const nsdk_cpumask_t *cpus, uint64_t timeout_ns, struct nsdk_crew **out);

/*
 * Stop and join them. NULL is fine. Jobs must be finished. A member that does not end within a second
 * is left behind, said once, with the memory that it may still touch; it frees that if it comes back.
 */
void nsdk_crew_destroy(struct nsdk_crew *crew);

/* How many members are trusted, that is, neither late nor ended. Threading: any. */
unsigned nsdk_crew_size(const struct nsdk_crew *crew);

/*
 * Begin a job. @p ops and the memory stay valid until the job is done and nsdk_crew_quiesce() has
 * returned 0; the ranges are copied. No allocation, lock or system call. Threading: any thread; the
 * job is then that thread's, or that of whoever it is handed to.
 *
 * @members_wanted: at most so many members take part; 0: the submitter alone, a share a poll.
 * @for_cpu: lines are taken back: the load that saw the completion comes before, in program order.
 * @return 0; -EBUSY as many jobs are unfinished as there can be; -E2BIG too many ranges; -ENODEV
 *	members are wanted and none is trusted. Nothing is logged: the caller does the lines itself.
 */
int nsdk_crew_start(struct nsdk_crew *crew, const struct nsdk_line_ops *ops,
		    const struct nsdk_crew_range *ranges, unsigned count, unsigned members_wanted,
		    bool for_cpu, struct nsdk_crew_job **out);

/*
 * Do one share of the job, and look whether all are done. @return true: every line is done and
 * fenced; the doorbell may be written (the data read, if for_cpu), and the job is gone.
 * No allocation, lock or system call; a sentence is logged when a member is late.
 */
bool nsdk_crew_poll(struct nsdk_crew_job *job);

/* Poll until it is done: for as long as the submitter's own work and one timeout may take. */
void nsdk_crew_finish(struct nsdk_crew_job *job);

/*
 * Before memory is unmapped whose jobs are done: wait until no member is inside a finished job any
 * more, where it might repeat a line operation late. Threading: any; not on the I/O path.
 * @return 0; -ETIMEDOUT (logged) one is: what it may still touch must stay mapped.
 */
int nsdk_crew_quiesce(struct nsdk_crew *crew, uint64_t timeout_ns);

/*
 * How many members of crews that were destroyed are stuck in a line operation still: no memory that
 * was ever flushed may be unmapped while there is one. Threading: any.
 */
unsigned nsdk_crew_stragglers(void);

/*
 * CPU time that all members have had, up to now: they never sleep, so what is missing went to somebody
 * else. A system call for each. Threading: the owner's.
 */
uint64_t nsdk_crew_cpu_ns(const struct nsdk_crew *crew);

/* Sum of what was done. Threading: any; values may be a moment old. */
void nsdk_crew_stats(const struct nsdk_crew *crew, struct nsdk_crew_stats *out);

#endif
