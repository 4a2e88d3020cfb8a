/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A flight: a large batch on its way to being clean, while its submitter does something else.
 *
 * Two ways lead there. With the crew the ranges are shared out, and the submitter does a share at
 * each poll. With WBINVD the CPUs that may hold the lines dirty write back all that they have; that
 * is for lines on their way to the device only, because it says nothing of clean lines that some
 * other CPU has fetched too early, and what is taken back must be rid of those.
 *
 * A WBINVD is believed when the gate says that it was executed on every CPU asked for, after it was
 * asked. Whatever else the gate says, the lines are then done one by one, so a flight always arrives.
 *
 * Asking who may have stored is dear (system calls for each registered thread), so it is asked after
 * the planner has said that WBINVD on a single CPU would be worth it, which is the best case.
 *
 * With a crew there is a choice to learn (learner.c): what each large batch took, from here to its fence,
 * is told to the learner, also where it was done by lines here. The clock is read at the start, at the
 * end of each poll and at the end. Which ranges there are, who does them, and when they are believed
 * done, is none of its business.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>

#include "flusher.h"
#include "lib/env/thread.h"

/* A reactor that comes by in less is not away. */
#define LEAST_PATIENCE_NS UINT64_C(20000)

int nsdk_flight_init(struct nsdk_flight *flight, struct nsdk_flusher *flusher,
		     const struct nsdk_line_ops *ops, bool proves, unsigned max_ranges)
{
	memset(flight, 0, sizeof(*flight));
	flight->flusher = flusher;
	flight->ops = ops;
	flight->proves = proves;
	flight->max_ranges = max_ranges;
	nsdk_learner_init(&flight->learner);
	flight->ranges = calloc(max_ranges, sizeof(flight->ranges[0]));
	return flight->ranges ? 0 : -ENOMEM;
}

void nsdk_flight_fini(struct nsdk_flight *flight)
{
	if (flight->flying)
		nsdk_flight_finish(flight);
	free(flight->ranges);
	memset(flight, 0, sizeof(*flight));
}

void nsdk_flight_clear(struct nsdk_flight *flight, bool for_cpu)
{
	flight->count = 0;
	flight->lines[0] = flight->lines[1] = 0;
	flight->for_cpu = for_cpu;
	flight->wbinvd = 0;
	flight->shared = false;
	flight->tried = false;
}

/* The CPUs that may hold lines of it dirty. @return how many; 0: not known. */
static unsigned who_stored(const struct nsdk_flight *flight, const struct nsdk_shadow *shadow,
			   nsdk_cpumask_t *cpus)
{
	/* This thread: it is about to hand the lines over, so it may well be who filled them. */
	uint64_t classes = (uint64_t)1 << nsdk_thread_cpu_class();

	for (unsigned i = 0; i < flight->count; i++)
		classes |= nsdk_shadow_stores(shadow, flight->ranges[i].first,
					      flight->ranges[i].end);
	return nsdk_cpu_classes_cpus(classes, cpus) == 0 ? nsdk_cpumask_weight(cpus) : 0;
}

/*
 * Whether WBINVD may stand for this flight's line operations at all. Its own device has to be a proof,
 * which nsdk_flusher_prove() knows: another's may go in the middle of the flight. That the line
 * operations are the CPU's was asked there, too.
 */
static bool may_wbinvd(const struct nsdk_flight *flight)
{
	return flight->proves && nsdk_gate_is_open(flight->flusher->gate) && !flight->for_cpu;
}

/* The one place where what was learned has a say: which kind of plan it is. */
static void choose(struct nsdk_flight *flight, unsigned wbinvd_cpus, struct nsdk_plan *plan)
{
	const struct nsdk_flusher *flusher = flight->flusher;
	struct nsdk_plan_input in = {
		.writeback_lines = flight->lines[0],
		.invalidate_lines = flight->lines[1],
		.ranges = flight->count,
		.crew_cpus = flight->live,
		.wbinvd_cpus = wbinvd_cpus,
	};

	nsdk_learner_choose(&flight->learner, &flusher->planner, &in, flight->for_cpu, plan);
}

/* ---- Timing, for the learner ---- */

/* A clock is read only where there is something to choose between. */
static uint64_t look_at_clock(const struct nsdk_flight *flight)
{
	return flight->flusher->crew ? nsdk_clock_ns() : 0;
}

/* The submitter was here, and sees that it has not landed. */
static void note_poll(struct nsdk_flight *flight)
{
	flight->polled_ns = look_at_clock(flight);
}

static bool was_away(const struct nsdk_flight *flight)
{
	return look_at_clock(flight) - flight->polled_ns > flight->patience_ns;
}

/* The crew's job has ended. @away: nobody came to see that, for too long. */
static void learn_of_crew(struct nsdk_flight *flight, bool away)
{
	const struct nsdk_crew *crew = flight->flusher->crew;

	/* One that was lost on the way says nothing of the rest. */
	nsdk_learner_took(&flight->learner, look_at_clock(flight) - flight->start_ns,
			  !away && nsdk_crew_size(crew) >= flight->live);
}

void nsdk_flight_done_here(struct nsdk_flight *flight)
{
	nsdk_learner_took(&flight->learner, look_at_clock(flight) - flight->start_ns, true);
}

/* ---- Taking off ---- */

/* Take off on WBINVD. @return whether it is under way. */
static bool start_wbinvd(struct nsdk_flight *flight, const struct nsdk_shadow *shadow)
{
	nsdk_cpumask_t cpus;
	struct nsdk_plan plan;
	unsigned count;

	count = who_stored(flight, shadow, &cpus);
	if (count == 0)
		return false;
	choose(flight, count, &plan);
	if (plan.kind != NSDK_PLAN_WBINVD)
		return false;
	/* Over the budget, off its CPUs, busy, or closed meanwhile: then not. */
	if (nsdk_gate_start(flight->flusher->gate, &cpus) != 0)
		return false;
	flight->wbinvd = count;
	flight->job = NULL;
	return true;
}

bool nsdk_flight_start(struct nsdk_flight *flight, const struct nsdk_shadow *shadow)
{
	const struct nsdk_flusher *flusher = flight->flusher;
	struct nsdk_plan plan;

	flight->start_ns = flight->polled_ns = look_at_clock(flight);
	flight->live = flusher->crew ? nsdk_crew_size(flusher->crew) : 0;
	choose(flight, may_wbinvd(flight) ? 1 : 0, &plan);
	if (plan.kind == NSDK_PLAN_WBINVD) {
		if (start_wbinvd(flight, shadow))
			goto flying;
		choose(flight, 0, &plan);
	}
	flight->tried = nsdk_learner_tries(&flight->learner);
	if (plan.kind != NSDK_PLAN_CREW)
		return false;
	if (nsdk_crew_start(flusher->crew, flight->ops, flight->ranges, flight->count, plan.crew_cpus,
			    flight->for_cpu, &flight->job) != 0) {
		/* Not what it was meant to be, so not to be taken for it. */
		nsdk_learner_forget(&flight->learner);
		flight->tried = false;
		return false;
	}
	flight->patience_ns = plan.ns / 4 > LEAST_PATIENCE_NS ? plan.ns / 4 : LEAST_PATIENCE_NS;
	flight->shared = true;
flying:
	flight->flying = true;
	return true;
}

/* Every line on this CPU, for a WBINVD that cannot be believed. */
static void do_all(struct nsdk_flight *flight)
{
	for (unsigned i = 0; i < flight->count; i++) {
		const struct nsdk_crew_range *range = &flight->ranges[i];
		size_t lines = (range->end - range->first) / NSDK_LINE_BYTES;

		if (range->invalidate)
			flight->ops->writeback_invalidate((const void *)range->first, lines);
		else
			flight->ops->writeback((const void *)range->first, lines);
	}
	flight->wbinvd = 0;
}

bool nsdk_flight_poll(struct nsdk_flight *flight)
{
	int rc;

	if (flight->job) {
		if (!nsdk_crew_poll(flight->job)) {
			note_poll(flight);
			return false;
		}
		flight->job = NULL;
		learn_of_crew(flight, was_away(flight));
	} else {
		rc = nsdk_gate_poll(flight->flusher->gate);
		if (rc == 1)
			return false;
		if (rc != 0)
			do_all(flight);
		/*
		 * The lines, where they were done after all, are in memory before the doorbell. After a
		 * WBINVD they are already: it was executed before the gate's lock was taken here.
		 */
		flight->ops->fence_for_device();
	}
	flight->flying = false;
	return true;
}

void nsdk_flight_finish(struct nsdk_flight *flight)
{
	if (!flight->flying)
		return;
	if (flight->job) {
		/* From here on the submitter stays. */
		bool away = was_away(flight);

		nsdk_crew_finish(flight->job);
		flight->job = NULL;
		flight->flying = false;
		learn_of_crew(flight, away);
		return;
	}
	/* The gate has a deadline of its own. */
	while (!nsdk_flight_poll(flight))
		sched_yield();
}
