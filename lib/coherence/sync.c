/* SPDX-License-Identifier: BSD-3-Clause */
/* Giving and taking one range, at once. Batches (batch.c) do the same for many with one fence. */
#include "engine.h"

static void count(struct nsdk_coherence *coh, _Atomic uint64_t *lines, size_t n)
{
	/* Any number of threads sync through one engine. */
	atomic_fetch_add_explicit(lines, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&coh->sync.batches, 1, memory_order_relaxed);
}

void nsdk_sync_for_device(struct nsdk_coherence *coh, const void *va, size_t bytes,
			  enum nsdk_dma_dir dir)
{
	uintptr_t first, end, at, run_end;
	size_t lines = 0;

	if (__builtin_expect(!coh->active, 1) || bytes == 0)
		return;
	first = nsdk_line_floor(va);
	end = nsdk_line_ceil(va, bytes);
	/* Lines that are known to be clean are passed over. */
	for (at = first; (run_end = nsdk_shadow_next_run(&coh->shadow, &at, end)) != 0; at = run_end) {
		size_t run_lines = (run_end - at) / NSDK_LINE_BYTES;

		if (dir == NSDK_DMA_TO_DEVICE)
			coh->ops->writeback((const void *)at, run_lines);
		else
			/* A line left dirty would be evicted one day, over what the device wrote. */
			coh->ops->writeback_invalidate((const void *)at, run_lines);
		lines += run_lines;
	}
	if (dir != NSDK_DMA_TO_DEVICE)
		/* What the device writes is not ours to vouch for. */
		nsdk_shadow_mark_dirty(&coh->shadow, first, end);
	if (lines < (end - first) / NSDK_LINE_BYTES)
		atomic_fetch_add_explicit(&coh->sync.bytes_skipped_clean,
					  end - first - lines * NSDK_LINE_BYTES,
					  memory_order_relaxed);
	if (lines == 0)
		return; /* whoever made them clean has fenced them */
	count(coh, dir == NSDK_DMA_TO_DEVICE ? &coh->sync.lines_written_back :
					       &coh->sync.lines_invalidated, lines);
	/* The lines are in memory before the caller's doorbell, against the device that reads them. */
	coh->ops->fence_for_device();
}

void nsdk_sync_for_cpu(struct nsdk_coherence *coh, const void *va, size_t bytes,
		       enum nsdk_dma_dir dir)
{
	uintptr_t first;
	size_t lines;

	if (__builtin_expect(!coh->active, 1) || bytes == 0)
		return;
	if (dir == NSDK_DMA_TO_DEVICE) {
		/* The device only read: what the cache holds is still what memory holds. */
		atomic_fetch_add_explicit(&coh->sync.bytes_skipped_clean, bytes, memory_order_relaxed);
		nsdk_shadow_own(&coh->shadow, nsdk_line_floor(va), nsdk_line_ceil(va, bytes));
		return;
	}
	first = nsdk_line_floor(va);
	lines = (nsdk_line_ceil(va, bytes) - first) / NSDK_LINE_BYTES;
	/* The caller's load of the completion before the invalidation, against the device's writes. */
	coh->ops->acquire_for_cpu();
	/* The CPU may have prefetched the lines while the device had not written them yet. */
	coh->ops->writeback_invalidate((const void *)first, lines);
	/* The stale lines are gone before the caller's first load of the data. */
	coh->ops->fence_for_cpu();
	/* It is this thread's now, to store to as well. */
	nsdk_shadow_own(&coh->shadow, first, first + lines * NSDK_LINE_BYTES);
	count(coh, &coh->sync.lines_invalidated, lines);
}
