/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/coherence: a measurement under way. See tune.c. */
#ifndef NSDK_COHERENCE_TUNE_H
#define NSDK_COHERENCE_TUNE_H

#include <nsdk/tune.h>

#include "coherence_internal.h"
#include "crew.h"
#include "gate.h"
#include "planner.h"
#include "profile.h"

struct group; /* tune_tables.c */

#define TUNE_MAX_SAMPLES 128u
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
	struct nsdk_gate *gate;  /* NULL: closed */
	int gate_fd;
	char wbinvd_skipped[NSDK_PROFILE_REASON_BYTES];
	struct group *group;     /* room for what is being measured */
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

/* Prepare the lines and time the subject once. @return 0 or -errno, not logged. */
int nsdk_tune_sample(struct tune *tune, const struct tune_subject *subject, uint64_t bytes, uint64_t *ns);

/* Sorts. @return the value below which the share of @p percent lies. */
uint64_t nsdk_tune_quantile(uint64_t *samples, unsigned count, unsigned percent);

/* The next step is @p format. @return 0; -EINTR. */
int nsdk_tune_step(struct tune *tune, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many flush CPUs, or CPUs of WBINVD, are tried: 1, 2, 4 … and all; 0 after the last. */
unsigned nsdk_tune_next_count(unsigned count, unsigned all);

#endif
