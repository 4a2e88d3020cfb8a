/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/coherence: the ways of this architecture to keep a cache line. lines_x86.c or
 * lines_aarch64.c is compiled, never both.
 */
#ifndef NSDK_COHERENCE_LINES_H
#define NSDK_COHERENCE_LINES_H

#include "coherence_internal.h"

struct nsdk_lines_kind {
	struct nsdk_line_ops ops;
	const char *writeback;  /* the instructions' names */
	const char *invalidate;
	bool (*usable)(void);   /* whether this CPU has them */
};

/* Cheapest first. The last one is usable on every CPU of the architecture. */
extern const struct nsdk_lines_kind nsdk_lines_kinds[];
extern const unsigned nsdk_lines_kind_count;

/* What one line instruction covers. */
unsigned nsdk_lines_granule_bytes(void);

/*
 * How much memory the eviction of one dirty line may overwrite. Two owners, of which one bypasses
 * the caches, must not share a block of this size. 0 when the CPU does not say.
 */
unsigned nsdk_lines_eviction_bytes(void);

#endif
