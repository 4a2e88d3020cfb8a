/* SPDX-License-Identifier: BSD-3-Clause */
/* Line operations that touch nothing and remember everything. */
#ifndef FAKE_LINES_H
#define FAKE_LINES_H

#include "lib/coherence/coherence_internal.h"

#define FAKE_LINES 2048u

struct fake_lines {
	/* For each line of fake_memory: how many operations it got. */
	unsigned writebacks[FAKE_LINES];
	unsigned invalidates[FAKE_LINES];
	unsigned streamed[FAKE_LINES]; /* stored past the caches */
	unsigned calls;
	unsigned acquires;
	unsigned fences_for_device;
	unsigned fences_for_cpu;
	unsigned after_fence;       /* operations since the last fence of either kind */
	unsigned before_acquire;    /* invalidations before the first acquire */
	bool bad_range;             /* not line aligned, empty, or outside of fake_memory */
};

extern struct fake_lines fake_lines;
extern char fake_memory[FAKE_LINES * NSDK_LINE_BYTES];
extern const struct nsdk_line_ops fake_line_ops;

void fake_lines_clear(void);

#endif
