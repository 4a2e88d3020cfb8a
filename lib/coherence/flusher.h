/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/coherence: what this process has to flush with beside the submitting CPU's line
 * operations, and which of it a large batch takes. See flusher.c.
 */
#ifndef NSDK_COHERENCE_FLUSHER_H
#define NSDK_COHERENCE_FLUSHER_H

#include "crew.h"
#include "engine.h"
#include "gate.h"
#include "learner.h"

/* Made by nsdk_flush_setup(); constant while an engine holds it. */
struct nsdk_flusher {
	struct nsdk_crew *crew;  /* NULL: no flush lcores */
	struct nsdk_gate *gate;  /* NULL: WBINVD is off */
	bool gate_takes_any_ops; /* a test's gate, which does what WBINVD does to the cache model, too */
	struct nsdk_planner planner;
};

/*
 * As nsdk_flush_setup(), with a way to WBINVD of the caller's.
 * @gate_ops: used where wbinvd is not off. @takes_any_ops: it may stand in for line operations that are
 * not the CPU's.
 */
int nsdk_flusher_setup(const struct nsdk_flush_opts *opts, const struct nsdk_gate_ops *gate_ops,
		       bool takes_any_ops);

/* For an engine that has become active: what is set up, or NULL. Held until released. */
struct nsdk_flusher *nsdk_flusher_hold(void);
void nsdk_flusher_release(struct nsdk_flusher *flusher);

/*
 * Present an active engine's device to the gate as the proof, if there is a gate. Why it stays closed
 * is said once a device. @return whether it has been taken, and nsdk_flusher_withdraw() is due.
 */
bool nsdk_flusher_prove(struct nsdk_flusher *flusher, struct nsdk_coherence *coh);
void nsdk_flusher_withdraw(struct nsdk_flusher *flusher, struct nsdk_coherence *coh);

/* ---- A flight: a large batch on its way to being clean, without anybody waiting (flight.c) ---- */

struct nsdk_flight {
	struct nsdk_flusher *flusher;
	const struct nsdk_line_ops *ops;
	bool proves; /* its device is one of the gate's proofs */
	struct nsdk_crew_job *job; /* with the crew; else WBINVD is executed */
	bool flying;
	bool for_cpu;
	/* All ranges: what is to be done, or done once more where a WBINVD cannot be believed. */
	unsigned count, max_ranges;
	struct nsdk_crew_range *ranges;
	uint64_t lines[2]; /* by invalidate */
	unsigned wbinvd;   /* of the flight that ended last: CPUs that have executed it instead */
	bool shared;       /* … : the crew did it */
	bool tried;        /* … : not in the way that is thought the cheapest, to see what it costs */
	/* What the ways cost. It is told sizes and times, and gives a plan's kind. */
	struct nsdk_learner learner;
	uint64_t start_ns;  /* of the flight, or of what is done here instead */
	uint64_t polled_ns; /* when the submitter was last here */
	uint64_t patience_ns; /* if it stays away for longer, the flight is not to blame */
	unsigned live; /* members of the crew at the start */
};

/*
 * @proves: what nsdk_flusher_prove() said of its engine. @max_ranges: as many as will be added at most.
 * @return 0; -ENOMEM, not logged.
 */
int nsdk_flight_init(struct nsdk_flight *flight, struct nsdk_flusher *flusher,
		     const struct nsdk_line_ops *ops, bool proves, unsigned max_ranges);
void nsdk_flight_fini(struct nsdk_flight *flight);

/* Before the start: empty it, then add what is to be cleaned; there is always room. */
void nsdk_flight_clear(struct nsdk_flight *flight, bool for_cpu);
static inline void nsdk_flight_add(struct nsdk_flight *flight, uintptr_t first, uintptr_t end,
				   bool invalidate)
{
	flight->ranges[flight->count++] = (struct nsdk_crew_range){ first, end, invalidate };
	flight->lines[invalidate] += (end - first) / NSDK_LINE_BYTES;
}

/*
 * Begin. @shadow says who may have stored to the lines. @return true: under way, to be polled.
 * false: line operations on this CPU are the cheapest, or all there is; nothing has been done.
 */
bool nsdk_flight_start(struct nsdk_flight *flight, const struct nsdk_shadow *shadow);
/* What it did not take off with is done by now, fence included. */
void nsdk_flight_done_here(struct nsdk_flight *flight);
/* @return whether it has arrived: every line is clean and fenced, as the batch's commit leaves it. */
bool nsdk_flight_poll(struct nsdk_flight *flight);
/* Wait for it: bounded, since what does not come is done here. */
void nsdk_flight_finish(struct nsdk_flight *flight);

#endif
