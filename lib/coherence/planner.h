/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/coherence: which way of cleaning a batch's lines is the cheapest. Pure arithmetic on
 * measured costs; see planner.c.
 */
#ifndef NSDK_COHERENCE_PLANNER_H
#define NSDK_COHERENCE_PLANNER_H

#include <nsdk/tune.h>

#define NSDK_PLANNER_MAX_CURVES 8

enum nsdk_plan_kind {
	NSDK_PLAN_LINES,  /* line operations on the submitting CPU */
	NSDK_PLAN_CREW,   /* shared with flush CPUs */
	NSDK_PLAN_WBINVD, /* whole caches, on the CPUs that may hold the data dirty */
};

struct nsdk_plan_input {
	uint64_t writeback_lines;
	uint64_t invalidate_lines;
	unsigned ranges;      /* separate pieces of memory */
	unsigned crew_cpus;   /* live flush CPUs; 0: none */
	unsigned wbinvd_cpus; /* CPUs that would have to execute it; 0: not possible */
};

struct nsdk_plan {
	enum nsdk_plan_kind kind;
	unsigned crew_cpus; /* NSDK_PLAN_CREW: how many flush CPUs to take */
	uint64_t ns;        /* expected */
};

/* What each way is expected to cost; the first is the submitting CPU alone, crews rise by CPUs. */
struct nsdk_plan_costs {
	uint64_t lines; /* both ways added up */
	unsigned count; /* only what is at hand is there, and makes sense at that size */
	struct {
		unsigned cpus; /* of the crew */
		uint64_t ns;
	} way[1 + NSDK_PLANNER_MAX_CURVES];
	uint64_t wbinvd_ns; /* UINT64_MAX: not possible, or not known */
};

/* Whether an alternative is worth it: by more than two measurements of the same thing differ. */
static inline bool nsdk_plan_is_cheaper(uint64_t other_ns, uint64_t ns)
{
	/* No overflow: a curve's costs end at 2^43, and "not known" is never cheaper. */
	return other_ns != UINT64_MAX && other_ns + other_ns / 32 < ns;
}

/* Cost against number of lines. Constant once made. */
struct nsdk_curve {
	unsigned count; /* 0: not known */
	struct {
		uint64_t lines;
		uint64_t ns;
		uint64_t slope; /* to the next point, and beyond the last: ns a line, 20 bits of fraction */
	} at[NSDK_TUNE_MAX_POINTS + 1]; /* one more for nothing, which costs nothing */
};

struct nsdk_planner {
	struct nsdk_curve lines[2]; /* by enum nsdk_tune_way */
	unsigned crews;             /* by number of flush CPUs, rising */
	struct {
		unsigned cpus;
		struct nsdk_curve way[2];
	} crew[NSDK_PLANNER_MAX_CURVES];
	unsigned wbinvds; /* by number of CPUs, rising */
	struct {
		unsigned cpus;
		struct nsdk_curve curve;
	} wbinvd[NSDK_PLANNER_MAX_CURVES];
	bool crew_measured; /* else the built-in rule holds */
	uint64_t threshold_lines;
};

/* The built-in, cautious costs. */
void nsdk_planner_default(struct nsdk_planner *planner);

/* From a profile; NULL, or one without tables, gives the defaults. */
void nsdk_planner_from_profile(struct nsdk_planner *planner, const struct nsdk_profile *profile);

/* The same without a choice. Threading: any. */
void nsdk_planner_costs(const struct nsdk_planner *planner, const struct nsdk_plan_input *in,
			struct nsdk_plan_costs *out);

/*
 * The cheapest way. No allocation, no floating point, no division but where a batch has lines of both
 * ways. Threading: any; the planner is constant.
 */
void nsdk_planner_choose(const struct nsdk_planner *planner, const struct nsdk_plan_input *in,
			 struct nsdk_plan *out);

/*
 * Fewer lines than this (both ways added up) are always NSDK_PLAN_LINES, whatever else the input
 * says, so that a small batch costs one comparison.
 */
static inline uint64_t nsdk_planner_threshold_lines(const struct nsdk_planner *planner)
{
	return planner->threshold_lines;
}

/* What the planner expects of a curve; UINT64_MAX when it has none. For tests and reports. */
uint64_t nsdk_curve_ns(const struct nsdk_curve *curve, uint64_t lines);

/* From how many lines on @p other is cheaper than @p lines, UINT64_MAX: never. */
uint64_t nsdk_curve_crossing(const struct nsdk_curve *lines, const struct nsdk_curve *other);

#endif
