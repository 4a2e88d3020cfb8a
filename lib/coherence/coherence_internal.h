/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/coherence, lib/mem, lib/emu and the drivers: line operations, and the parts of the
 * engine that the I/O path inlines.
 */
#ifndef NSDK_COHERENCE_INTERNAL_H
#define NSDK_COHERENCE_INTERNAL_H

#include <nsdk/coherence.h>

/*
 * The line-operation table: one for each kind of instruction (lib/coherence/lines_x86.c,
 * lines_aarch64.c), one of the cache model. Ranges are whole lines of NSDK_LINE_BYTES: va is line
 * aligned, lines > 0. No function is NULL. A line operation is ordered after older stores to its own
 * line, and with nothing else until a fence.
 */
struct nsdk_line_ops {
	const char *name;
	void (*writeback)(const void *va, size_t lines);  /* dirty -> memory; may stay cached */
	void (*writeback_invalidate)(const void *va, size_t lines);
	/*
	 * Before the line operations that take data back: orders them after older loads, of which one
	 * saw the completion. Without it the CPU might drop a line, and fetch it again, while the
	 * device had not written it yet.
	 */
	void (*acquire_for_cpu)(void);
	/* Before a doorbell: orders the line operations before later stores, MMIO included. */
	void (*fence_for_device)(void);
	/* Before the CPU reads: orders the line operations before later loads, and later stores too. */
	void (*fence_for_cpu)(void);
	/*
	 * Store whole lines so that they are in memory, and dirty in no cache, after the next
	 * fence_for_device() of this thread. The source has any alignment and does not overlap.
	 */
	void (*copy)(void *to, const void *from, size_t lines);
	void (*fill)(void *to, int byte, size_t lines);
};

/* The cheapest the CPU has, chosen once by CPUID. */
const struct nsdk_line_ops *nsdk_line_ops_cpu(void);

/* What this device's lines are to be kept with: the cache model's for an emulated no-snoop device. */
const struct nsdk_line_ops *nsdk_coherence_line_ops(const struct nsdk_coherence *coh);

/* Whether a page must be flushed before this device can reach it: true unless snooping is enforced. */
bool nsdk_coherence_flush_fresh(const struct nsdk_coherence *coh);

/*
 * The engine's syncs and batches go by what the shadow knows, from when the device is attached to the
 * memory until it is detached. @return false: it goes by another domain's already, and cannot take
 * marks away in this one: there must be none.
 */
struct nsdk_shadow;
bool nsdk_coherence_set_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow);
void nsdk_coherence_drop_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow);

/*
 * Before memory is given back that batches have flushed: no flush lcore is late inside of it any more.
 * @return 0; -ETIMEDOUT (logged) one is: the memory must stay mapped. Threading: any; waits.
 */
int nsdk_flusher_quiesce(void);

/* First member of struct nsdk_flush_batch, so that the inactive path is one load and one branch. */
struct nsdk_flush_batch_head {
	bool active;
};
static inline bool nsdk_flush_batch_active(const struct nsdk_flush_batch *batch)
{
	return ((const struct nsdk_flush_batch_head *)batch)->active;
}

#endif
