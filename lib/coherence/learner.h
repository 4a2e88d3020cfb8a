/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/coherence: what the ways of cleaning a large batch have cost lately, and which of them
 * is taken next. See learner.c.
 */
#ifndef NSDK_COHERENCE_LEARNER_H
#define NSDK_COHERENCE_LEARNER_H

#include "planner.h"

/* With a crew, batches of so many lines (1 MiB) are planned even if the profile sees no use in it. */
#define NSDK_LEARNER_FROM_LINES UINT64_C(16384)

#define NSDK_LEARNER_KINDS 3u    /* written back, invalidated, taken back */
#define NSDK_LEARNER_CLASSES 31u /* of size: 512 lines to 2^24 and more, two to each doubling */
#define NSDK_LEARNER_WAYS (1u + NSDK_PLANNER_MAX_CURVES)

struct nsdk_learner_class {
	struct {
		uint32_t factor;  /* what it costs, to what the profile says; 16 bits of fraction */
		uint32_t last[2]; /* what came out last, and before that */
	} way[NSDK_LEARNER_WAYS]; /* as struct nsdk_plan_costs has them */
	int64_t account_ns;    /* what tries may cost, or have cost too much */
	uint32_t used;         /* when something was learned last, by the learner's count */
	uint8_t seen;          /* batches that something was learned of, up to enough of them */
	uint8_t chosen;        /* way */
	uint8_t turn;          /* the way that was tried last */
	uint8_t again;         /* the way, from 1, to be tried once more: it looked cheaper; 0: none */
	uint8_t until_try;     /* batches */
};

/* One owner's: a flush batch's, as its lists are. */
struct nsdk_learner {
	struct nsdk_learner_class classes[NSDK_LEARNER_KINDS][NSDK_LEARNER_CLASSES];
	uint32_t count; /* of batches that something was learned of */
	uint32_t random;
	/* What was chosen last, until it is said what came of it. */
	struct {
		struct nsdk_learner_class *class; /* NULL: nothing to learn of it */
		uint8_t way;
		uint8_t chosen;       /* what would have been taken, if not for a try */
		uint64_t expected_ns; /* of the way, by the profile */
		uint64_t learned_ns;  /* of the way */
		uint64_t best_ns;     /* of the chosen, as learned */
	} now;
};

void nsdk_learner_init(struct nsdk_learner *learner);

/*
 * The cheapest way as far as is known, or a try of another. It says how, and nothing else: what is
 * cleaned is the caller's. @for_cpu: lines are taken back. No allocation, no floating point.
 */
void nsdk_learner_choose(struct nsdk_learner *learner, const struct nsdk_planner *planner,
			 const struct nsdk_plan_input *in, bool for_cpu, struct nsdk_plan *out);

/* The same without a try, and without being told what came of it: what is known by now. */
void nsdk_learner_best(struct nsdk_learner *learner, const struct nsdk_planner *planner,
		       const struct nsdk_plan_input *in, bool for_cpu, struct nsdk_plan *out);

/*
 * What was chosen last took so long. @counts: nobody else was to blame; else nothing is learned of it,
 * but the time was spent.
 */
void nsdk_learner_took(struct nsdk_learner *learner, uint64_t ns, bool counts);

/* What was chosen last was not done. */
static inline void nsdk_learner_forget(struct nsdk_learner *learner)
{
	learner->now.class = NULL;
}

/* Whether what was chosen last is a try. */
static inline bool nsdk_learner_tries(const struct nsdk_learner *learner)
{
	return learner->now.class != NULL && learner->now.way != learner->now.chosen;
}

/*
 * From so many lines on batches are planned. @crew: there is one. Below, not even the time is taken, and
 * the batch costs one comparison.
 */
static inline uint64_t nsdk_learner_threshold_lines(const struct nsdk_planner *planner, bool crew)
{
	uint64_t lines = nsdk_planner_threshold_lines(planner);

	return crew && lines > NSDK_LEARNER_FROM_LINES ? NSDK_LEARNER_FROM_LINES : lines;
}

#endif
