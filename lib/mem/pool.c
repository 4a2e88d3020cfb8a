/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool: pages of one kind from one NUMA node, cut into buffers.
 *
 * A pool takes part of the window, puts pages there, has the domain map them into every address
 * space, and only then gives them to its arena; so a buffer that was handed out is one that every
 * attached device can reach. It grows when nothing fits, and gives nothing back before it ends.
 *
 * Threading: a pool has a lock of its own, which is taken before the domain's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "arena.h"
#include "domain.h"
#include "lib/env/opts.h"
#include "pages.h"

struct nsdk_dma_pool {
	pthread_mutex_t lock;
	struct nsdk_mem *mem;
	enum nsdk_dma_attr attr;
	struct nsdk_page_kind kind;
	size_t unit_bytes; /* it grows by multiples of: a hugepage, or a piece of small pages */
	size_t max_bytes;  /* 0: none */
	size_t mapped_bytes;
	struct nsdk_arena arena;
	struct nsdk_segment_list segments;
};

/* Rounds up to whole units; 0 when that is more than there are numbers. */
static size_t whole_units(size_t bytes, size_t unit_bytes)
{
	size_t rounded = (bytes + unit_bytes - 1) & ~(unit_bytes - 1);

	return rounded < bytes ? 0 : rounded;
}

static void give_back_window(struct nsdk_mem *mem, const struct nsdk_segment *segment)
{
	pthread_mutex_lock(&mem->lock);
	nsdk_window_give_back(&mem->window, segment->va, segment->bytes);
	pthread_mutex_unlock(&mem->lock);
}

/* The last step of a segment's life: nobody uses it, and it is mapped nowhere or stuck. */
static void release_segment(struct nsdk_mem *mem, struct nsdk_segment *segment)
{
	if (segment->stuck) {
		nsdk_log(NSDK_LOG_NOTICE, "mem",
			 "%zu MiB of DMA memory that a device, or a stuck flush lcore, may still reach are kept "
			 "until this process ends",
			 segment->bytes >> 20);
		pthread_mutex_lock(&mem->lock);
		mem->window.keep = true;
		pthread_mutex_unlock(&mem->lock);
	} else if (nsdk_pages_unmap(segment->va, segment->bytes) == 0) {
		give_back_window(mem, segment);
	}
	free(segment);
}

/* Adds so many bytes in one piece. @return 0; -ENOMEM and what mapping gives, logged. */
static int grow(struct nsdk_dma_pool *pool, size_t bytes, size_t align)
{
	struct nsdk_mem *mem = pool->mem;
	struct nsdk_segment *segment;
	int error;

	bytes = whole_units(bytes, pool->unit_bytes);
	if (pool->max_bytes && (bytes == 0 || bytes > pool->max_bytes - pool->mapped_bytes))
		return nsdk_fail(-ENOMEM, "mem",
				 "the DMA pool is full: %zu of at most %zu MiB are mapped and %zu KiB are in "
				 "use; give buffers back or raise max_bytes",
				 pool->mapped_bytes >> 20, pool->max_bytes >> 20,
				 pool->arena.used_bytes >> 10);
	segment = calloc(1, sizeof(*segment));
	if (!segment)
		return nsdk_fail(-ENOMEM, "mem", "no memory for the bookkeeping of a DMA pool");
	segment->bytes = bytes;
	pthread_mutex_lock(&mem->lock);
	error = nsdk_window_take(&mem->window, bytes, align > pool->unit_bytes ? align : pool->unit_bytes,
				 &segment->va);
	pthread_mutex_unlock(&mem->lock);
	if (error)
		goto free_segment;
	nsdk_shadow_forget(&mem->shadow, (uintptr_t)segment->va, (uintptr_t)segment->va + bytes);
	error = nsdk_pages_map(segment->va, bytes, &pool->kind);
	if (error)
		goto give_back;
	pthread_mutex_lock(&mem->lock);
	error = nsdk_segment_map(mem, segment);
	pthread_mutex_unlock(&mem->lock);
	if (error)
		goto release;
	error = nsdk_arena_add(&pool->arena, segment->va, bytes);
	if (error)
		goto unmap;
	TAILQ_INSERT_TAIL(&pool->segments, segment, in_owner);
	pool->mapped_bytes += bytes;
	return 0;

unmap:
	pthread_mutex_lock(&mem->lock);
	nsdk_segment_unmap(mem, segment);
	pthread_mutex_unlock(&mem->lock);
release:
	release_segment(mem, segment);
	return error;

give_back:
	give_back_window(mem, segment);
free_segment:
	free(segment);
	return error;
}

static int choose_pages(struct nsdk_dma_pool *pool, const struct nsdk_dma_pool_opts *opts)
{
	int node;

	switch (opts->page_bytes) {
	case 0:
		pool->kind.page_bytes = pool->mem->no_huge ? 0 : NSDK_PAGE_2M;
		break;
	case NSDK_PAGE_2M:
	case NSDK_PAGE_1G:
		pool->kind.page_bytes = opts->page_bytes;
		break;
	default:
		return nsdk_fail(-EINVAL, "mem",
				 "DMA pools are made of pages of 2 MiB or 1 GiB, not of %zu bytes",
				 opts->page_bytes);
	}
	pool->unit_bytes = pool->kind.page_bytes ? pool->kind.page_bytes : NSDK_WINDOW_PIECE_BYTES;
	node = nsdk_pages_node(opts->numa_node);
	if (node == -EINVAL)
		return node;
	pool->kind.node = node;
	return 0;
}

static int choose_size(struct nsdk_dma_pool *pool, const struct nsdk_dma_pool_opts *opts, size_t *initial)
{
	*initial = whole_units(opts->initial_bytes ? opts->initial_bytes : 1, pool->unit_bytes);
	pool->max_bytes = whole_units(opts->max_bytes, pool->unit_bytes);
	if (*initial == 0 || (opts->max_bytes && (pool->max_bytes == 0 || *initial > pool->max_bytes)))
		return nsdk_fail(-EINVAL, "mem",
				 "a DMA pool cannot start with %zu bytes and be limited to %zu",
				 opts->initial_bytes, opts->max_bytes);
	return 0;
}

static void pool_free(struct nsdk_dma_pool *pool)
{
	nsdk_arena_fini(&pool->arena);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

int nsdk_dma_pool_create(struct nsdk_mem *mem, const struct nsdk_dma_pool_opts *user_opts,
			 struct nsdk_dma_pool **out)
{
	struct nsdk_dma_pool_opts opts;
	struct nsdk_dma_pool *pool;
	size_t initial;
	int error;

	error = nsdk_opts_take(&opts, sizeof(opts), user_opts, "mem");
	if (error)
		return error;
	if (!user_opts)
		opts.numa_node = -1;
	if (opts.attr != NSDK_DMA_COHERENT && opts.attr != NSDK_DMA_NOSNOOP)
		return nsdk_fail(-EINVAL, "mem", "a DMA pool is coherent or no-snoop, not %d", (int)opts.attr);
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return nsdk_fail(-ENOMEM, "mem", "no memory for the bookkeeping of a DMA pool");
	pool->mem = mem;
	pool->attr = opts.attr;
	TAILQ_INIT(&pool->segments);
	error = choose_pages(pool, &opts);
	if (!error)
		error = choose_size(pool, &opts, &initial);
	if (!error)
		error = nsdk_arena_init(&pool->arena, pool->unit_bytes);
	if (error) {
		free(pool);
		return error;
	}
	pthread_mutex_init(&pool->lock, NULL);
	error = grow(pool, initial, 0);
	if (error) {
		pool_free(pool);
		return error;
	}
	pthread_mutex_lock(&mem->lock);
	mem->pools++;
	pthread_mutex_unlock(&mem->lock);
	*out = pool;
	return 0;
}

int nsdk_dma_pool_destroy(struct nsdk_dma_pool *pool)
{
	struct nsdk_segment *segment;
	struct nsdk_mem *mem;

	if (!pool)
		return 0;
	mem = pool->mem;
	if (pool->arena.buffers)
		return nsdk_fail(-EBUSY, "mem", "%llu buffer%s out of the DMA pool that is to end; free %s first",
				 (unsigned long long)pool->arena.buffers,
				 pool->arena.buffers == 1 ? " is" : "s are",
				 pool->arena.buffers == 1 ? "it" : "them");
	while ((segment = TAILQ_FIRST(&pool->segments))) {
		TAILQ_REMOVE(&pool->segments, segment, in_owner);
		pthread_mutex_lock(&mem->lock);
		nsdk_segment_unmap(mem, segment);
		pthread_mutex_unlock(&mem->lock);
		release_segment(mem, segment);
	}
	pthread_mutex_lock(&mem->lock);
	mem->pools--;
	pthread_mutex_unlock(&mem->lock);
	pool_free(pool);
	return 0;
}

int nsdk_dma_alloc(struct nsdk_dma_pool *pool, size_t bytes, size_t align_bytes, void **out)
{
	size_t rounded = (bytes + NSDK_LINE_BYTES - 1) & ~(size_t)(NSDK_LINE_BYTES - 1);
	size_t align = align_bytes > NSDK_LINE_BYTES ? align_bytes : NSDK_LINE_BYTES;
	void *va;
	int error;

	if (rounded == 0)
		return nsdk_fail(-EINVAL, "mem", "a DMA buffer of %zu bytes was asked for", bytes);
	if ((align & (align - 1)) != 0 || (align_bytes & (align_bytes - 1)) != 0 ||
	    align > pool->mem->window.bytes)
		return nsdk_fail(-EINVAL, "mem",
				 "a DMA buffer cannot be aligned to %zu bytes; that must be a power of two",
				 align_bytes);
	pthread_mutex_lock(&pool->lock);
	error = nsdk_arena_alloc(&pool->arena, rounded, align, &va);
	if (error == -ENOSPC) {
		error = grow(pool, rounded, align);
		if (!error)
			error = nsdk_arena_alloc(&pool->arena, rounded, align, &va);
	}
	pthread_mutex_unlock(&pool->lock);
	if (error)
		return error;
	/*
	 * Whoever had these lines may have left them clean, and the stores below make them dirty.
	 * From here on the calling thread may store, before anybody hands the buffer to a device.
	 */
	nsdk_shadow_mark_dirty(&pool->mem->shadow, (uintptr_t)va, (uintptr_t)va + rounded);
	nsdk_shadow_own(&pool->mem->shadow, (uintptr_t)va, (uintptr_t)va + rounded);
	memset(va, 0, rounded);
	*out = va;
	return 0;
}

int nsdk_dma_free(struct nsdk_dma_pool *pool, void *va)
{
	size_t bytes;

	if (!va)
		return 0;
	pthread_mutex_lock(&pool->lock);
	bytes = nsdk_arena_free(&pool->arena, va);
	pthread_mutex_unlock(&pool->lock);
	if (bytes == 0)
		return nsdk_fail(-EINVAL, "mem",
				 "%p is not a buffer of this DMA pool: it was freed twice, or comes from "
				 "elsewhere",
				 va);
	return 0;
}

enum nsdk_dma_attr nsdk_dma_pool_attr(const struct nsdk_dma_pool *pool)
{
	return pool->attr;
}

void nsdk_dma_pool_stats(struct nsdk_dma_pool *pool, struct nsdk_dma_pool_stats *out)
{
	pthread_mutex_lock(&pool->lock);
	out->page_bytes = pool->kind.page_bytes ? pool->kind.page_bytes : (size_t)sysconf(_SC_PAGESIZE);
	out->mapped_bytes = pool->mapped_bytes;
	out->used_bytes = pool->arena.used_bytes;
	out->buffers = pool->arena.buffers;
	pthread_mutex_unlock(&pool->lock);
}
