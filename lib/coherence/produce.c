/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers that are clean by construction.
 *
 * A line that was stored past the caches is in memory already, and nothing of it is dirty: flushing
 * it before the doorbell would be work for nothing. So what is produced here is marked clean in the
 * shadow (shadow.h), line by line, and syncs and batches pass marked lines over. Only whole lines are
 * marked. What a range has of its first and last line is stored in the ordinary way: the rest of
 * such a line may be somebody's who stores to it without saying so.
 *
 * The marks say what is in the caches, not whose the buffer is, so they stay over any number of
 * writes to devices. They go with the first ordinary store, of which the caller tells us
 * (nsdk_dma_dirty), when a device writes there, and when the buffer is allocated anew.
 */
#include <string.h>

#include "engine.h"

/* The whole lines inside [va, va + bytes); *first >= *end: there are none. */
static void inner_lines(const void *va, size_t bytes, uintptr_t *first, uintptr_t *end)
{
	*first = nsdk_line_ceil(va, 0);
	*end = nsdk_line_floor((const char *)va + bytes);
}

static void mark_dirty(struct nsdk_coherence *coh, const void *va, size_t bytes)
{
	nsdk_shadow_mark_dirty(&coh->shadow, nsdk_line_floor(va), nsdk_line_ceil(va, bytes));
	nsdk_shadow_own(&coh->shadow, nsdk_line_floor(va), nsdk_line_ceil(va, bytes));
}

void nsdk_dma_dirty(struct nsdk_coherence *coh, const void *va, size_t bytes)
{
	if (bytes != 0)
		mark_dirty(coh, va, bytes);
}

/* Where the whole lines are, when going past the caches is worth it; else all of it is ordinary. */
static bool plan(struct nsdk_coherence *coh, const void *va, size_t bytes, uintptr_t *first,
		 uintptr_t *end)
{
	inner_lines(va, bytes, first, end);
	if (coh->active && *first < *end)
		return true;
	mark_dirty(coh, va, bytes);
	return false;
}

static void done(struct nsdk_coherence *coh, uintptr_t first, uintptr_t end)
{
	/*
	 * The lines are in memory before anything that this thread stores from now on, a message that
	 * hands the buffer to another thread or a doorbell: a batch that passes over clean lines only
	 * needs no fence for them, and one on another thread could not order these stores.
	 */
	coh->ops->fence_for_device();
	nsdk_shadow_mark_clean(&coh->shadow, first, end);
}

void nsdk_dma_copy_in(struct nsdk_coherence *coh, void *dst, const void *src, size_t bytes)
{
	uintptr_t first, end;
	size_t head;

	if (bytes == 0)
		return;
	if (!plan(coh, dst, bytes, &first, &end)) {
		memcpy(dst, src, bytes);
		return;
	}
	head = first - (uintptr_t)dst;
	if (head)
		mark_dirty(coh, dst, head);
	memcpy(dst, src, head);
	coh->ops->copy((void *)first, (const char *)src + head, (end - first) / NSDK_LINE_BYTES);
	if ((uintptr_t)dst + bytes > end)
		mark_dirty(coh, (void *)end, (uintptr_t)dst + bytes - end);
	memcpy((void *)end, (const char *)src + (end - (uintptr_t)dst), (uintptr_t)dst + bytes - end);
	done(coh, first, end);
}

void nsdk_dma_fill(struct nsdk_coherence *coh, void *dst, int byte, size_t bytes)
{
	uintptr_t first, end;
	size_t head;

	if (bytes == 0)
		return;
	if (!plan(coh, dst, bytes, &first, &end)) {
		memset(dst, byte, bytes);
		return;
	}
	head = first - (uintptr_t)dst;
	if (head)
		mark_dirty(coh, dst, head);
	memset(dst, byte, head);
	coh->ops->fill((void *)first, byte, (end - first) / NSDK_LINE_BYTES);
	if ((uintptr_t)dst + bytes > end)
		mark_dirty(coh, (void *)end, (uintptr_t)dst + bytes - end);
	memset((void *)end, byte, (uintptr_t)dst + bytes - end);
	done(coh, first, end);
}

void nsdk_dma_copy_out(struct nsdk_coherence *coh, void *dst, const void *src, size_t bytes)
{
	uintptr_t first, end;

	memcpy(dst, src, bytes);
	inner_lines(src, bytes, &first, &end);
	if (!coh->active || first >= end)
		return;
	/*
	 * Nobody will read these lines from the cache again. Dropped now, off the way of any I/O, they
	 * need not be dropped when the buffer is given to the device for the next read; and other data
	 * keeps its place in the cache. The acquire: line operations are not ordered behind loads, and
	 * the load that handed the buffer over must come first, or a line could be written back before
	 * another CPU's store to it, and be called clean.
	 */
	coh->ops->acquire_for_cpu();
	coh->ops->writeback_invalidate((const void *)first, (end - first) / NSDK_LINE_BYTES);
	done(coh, first, end);
}
