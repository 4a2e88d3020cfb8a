/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/coherence: a measurement under way. See tune.c. */
#ifndef NSDK_COHERENCE_TUNE_H
#define NSDK_COHERENCE_TUNE_H

#include <nsdk/tune.h>

#include "coherence_internal.h"
#include "crew.h"
#include "gate.h"
#include "learner.h"
#include "profile.h"

/* Ways that compete at one size. */
#define TUNE_MAX_SUBJECTS 16u
/* At least so much is timed at once, in pieces, since a clock's reading takes a time of its own. */
#define TUNE_LEAST_BYTES ((uint64_t)16 << 10)

struct tune {
	const struct nsdk_tune_opts *opts;
	const struct nsdk_line_ops *ops;
	nsdk_cpumask_t cpus;     /* where lines are submitted */
	nsdk_cpumask_t affinity; /* the calling thread's, before */
	uint64_t sizes[NSDK_TUNE_MAX_POINTS];
	unsigned size_count;
	char *memory;            /* what is flushed */
	size_t memory_bytes;
	char *source;            /* what is copied from */
	bool hugepages;
	struct nsdk_crew *crew;  /* NULL: there is none */
	unsigned crew_cpus;
	unsigned crowded;        /* samples that count though others were at work on our CPUs */
	struct nsdk_gate *gate;  /* NULL: closed */
	int gate_fd;
	struct nsdk_learner *learner; /* what planned batches go by beside the planner, as a batch does */
	uint64_t planned_ns;          /* what the last of them took, by the clock that a batch has */
	char wbinvd_skipped[NSDK_PROFILE_REASON_BYTES];
	uint64_t stored;         /* what was last stored, so that each store makes a line dirty */
	unsigned step;
	unsigned steps;
};

/* What is timed: one way of doing something to @p bytes at @p va. @return 0 or -errno, not logged. */
struct tune_subject {
	enum nsdk_tune_what what;
	enum nsdk_tune_way way;
	enum nsdk_tune_state state; /* of the lines before */
	unsigned cpus;
	const struct nsdk_planner *planner; /* not NULL: ask it instead of `what` */
};

/* @return 0 or -errno, logged; nsdk_tune_end() in any case. */
int nsdk_tune_begin(struct tune *tune, const struct nsdk_tune_opts *opts);
void nsdk_tune_end(struct tune *tune);

/* Start the flush CPUs, if there are any; from then on they spin. @return 0 or -errno, logged. */
int nsdk_tune_open_crew(struct tune *tune, unsigned cpu);

/* Move the calling thread. @return 0 or -errno, logged. */
int nsdk_tune_pin(unsigned cpu);

/*
 * Prepare the lines and time the subject once. @alone: whether nobody else was at work on our CPUs
 * meanwhile. @return 0 or -errno, not logged.
 */
int nsdk_tune_sample(struct tune *tune, const struct tune_subject *subject, uint64_t bytes, uint64_t *ns,
		     bool *alone);

/* The next step is @p format. @return 0; -EINTR. */
int nsdk_tune_step(struct tune *tune, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many flush CPUs, or CPUs of WBINVD, are tried: 1, 2, 4 … and all; 0 after the last. */
unsigned nsdk_tune_next_count(unsigned count, unsigned all);

/* What a planned subject is given for @p bytes in one range: a batch's next, with what is on the bench. */
void nsdk_tune_choose(struct tune *tune, const struct tune_subject *subject, uint64_t bytes,
		      struct nsdk_plan *out);
/* What it would be given without a try; @learned: by what was learned, else by the profile alone. */
void nsdk_tune_plan(struct tune *tune, const struct tune_subject *subject, uint64_t bytes, bool learned,
		    struct nsdk_plan *out);

/* ---- Ways that take turns (tune_contest.c) ---- */

/* How long a way may take at one size on each CPU, and how many rounds a size has at least and at most. */
struct tune_pace {
	uint64_t ns;
	unsigned least;
	unsigned most;
	unsigned passes; /* through all sizes, to which the rounds of each are spread */
};

/* One size, and the ways that compete at it; the first is the one that others are compared with. */
struct tune_contest {
	const struct tune_series *series;
	uint64_t bytes;
	unsigned count;
	struct tune_subject subjects[TUNE_MAX_SUBJECTS];
	unsigned rounds; /* held */
	uint64_t spent_ns;
	uint64_t *samples; /* series->most of the first, then of the second … */
};

/* All contests of a measurement. */
struct tune_series {
	struct tune_pace pace;
	unsigned cpus; /* of the bench's that submit: the first so many, in turn */
	unsigned most; /* rounds of a contest */
	unsigned count, max;
	struct tune_contest *contests;
	uint64_t *sorted;
};

/* @max: contests. @return 0; -ENOMEM, logged; nsdk_series_fini() in any case. */
int nsdk_series_init(struct tune_series *series, const struct tune_pace *pace, unsigned cpus,
		     unsigned max);
void nsdk_series_fini(struct tune_series *series);

/* One more, which ways then enter. @return NULL: there are as many as there can be. */
struct tune_contest *nsdk_series_add(struct tune_series *series, uint64_t bytes);
void nsdk_contest_enter(struct tune_contest *contest, const struct tune_subject *subject);

/* How often nsdk_series_hold() calls nsdk_tune_step(). */
unsigned nsdk_series_steps(const struct tune_series *series);

/*
 * Hold them all, from the beginning.
 * @return 0 or -errno; a failed way of flushing is not logged, nor is -EINTR, all else is.
 */
int nsdk_series_hold(struct tune *tune, struct tune_series *series);

/* What so many percent of the rounds stayed below: in time, and against another way, round by round. */
uint64_t nsdk_contest_ns(const struct tune_contest *contest, unsigned which, unsigned percent);
uint64_t nsdk_contest_ratio_ppm(const struct tune_contest *contest, unsigned which, unsigned to,
				unsigned percent);

/* For a table; see the top of tune_contest.c. What is level with the first takes as long. */
void nsdk_contest_point(const struct tune_contest *contest, unsigned which, struct nsdk_tune_point *out);

/* Sorts. @return the value below which the share of @p percent lies. */
uint64_t nsdk_tune_quantile(uint64_t *samples, unsigned count, unsigned percent);

#endif
