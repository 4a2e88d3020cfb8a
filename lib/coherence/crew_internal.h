/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to crew.c, the members, and crew_job.c, what they and submitters do. crew.c has the model. */
#ifndef NSDK_COHERENCE_CREW_INTERNAL_H
#define NSDK_COHERENCE_CREW_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <rte_pause.h>

#include "crew.h"

/* Beyond as many of the longest, shares grow. */
#define CREW_MAX_SHARES 4096u

/* Turns of a spinning loop, some microseconds, before somebody else may have the CPU. */
#define CREW_SPINS_BEFORE_YIELD 256u

#define CREW_OPEN_STOP (UINT64_C(1) << 63)
_Static_assert(NSDK_CREW_MAX_JOBS < 63, "one bit of open for each job, and one to stop");

/* member->where: the job that a member is inside of, counted from 1; 0: none. */
#define CREW_WHERE_JOB 0xffu
#define CREW_WHERE_LOST 0x100u  /* beside the job */
#define CREW_WHERE_ENDED 0x200u /* alone */

struct crew_row {
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
	struct crew_row *row; /* NSDK_CREW_MAX_RANGES, and one that only ends the last */
	_Atomic uint8_t *done; /* CREW_MAX_SHARES marks */

	/* Written by every doer. */
	_Atomic unsigned next_share __attribute__((aligned(NSDK_LINE_BYTES)));
	_Atomic int seats;

	/* The submitter's; finished is read by who quiesces. */
	_Atomic bool finished __attribute__((aligned(NSDK_LINE_BYTES)));
	bool all_claimed;
	bool expired;
	unsigned first_undone;
	uint64_t all_claimed_ns;
	_Atomic uint64_t lines_by_submitter;
};

struct crew_member {
	struct nsdk_crew *crew;
	pthread_t thread;
	unsigned cpu;
	_Atomic bool told; /* that it was lost */
	_Atomic bool left_behind; /* its crew has gone without it; or it has ended */

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
	struct crew_member *members;
	struct nsdk_crew_job *jobs;
	_Atomic unsigned holders; /* threads that have not ended, and the owner */
};

/*
 * One more turn of waiting. With more threads than CPUs the one waited for may need this CPU, so it is
 * offered, but ever more rarely: a scheduler holds each offer against who made it, whether or not it
 * was taken, and a thread that made thousands gets no CPU for a second once it has a neighbour.
 */
static inline void crew_spin(unsigned *spins)
{
	rte_pause();
	++*spins;
	if (*spins >= CREW_SPINS_BEFORE_YIELD && (*spins & (*spins - 1)) == 0)
		sched_yield();
}

/* ---- crew_job.c ---- */

/* Claim a share. @return false when all were claimed. */
bool nsdk_crew_claim(struct nsdk_crew_job *job, unsigned *share);

/*
 * Do its lines, fence, add them to @p lines, which has no other writer, and set its mark: who has seen
 * all marks finds all lines counted.
 */
void nsdk_crew_do_share(struct nsdk_crew_job *job, unsigned share, _Atomic uint64_t *lines);

/* No more members come. Those who are announced may still come in or be inside. */
void nsdk_crew_close_job(struct nsdk_crew_job *job);

#endif
