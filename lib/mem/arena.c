/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buffer allocator of a pool.
 *
 * Memory is a chain of extents in the order of their addresses, each free or used, with no two free
 * ones side by side. All bookkeeping is outside of the memory it describes: a header in front of a
 * buffer would share a cache line with it, which a no-snoop buffer must not do, and a device that
 * writes out of bounds would destroy it.
 *
 * Free extents hang in lists by size class: four classes to each power of two of lines, so that the
 * extents of one class differ by a quarter at most. A bit for each class says whether its list has
 * any. Used extents hang in a hash table by address, which is how a buffer is found when it is given
 * back, and how an address that is no buffer is known.
 *
 * A buffer up to the size of a page lies within one: an extent that crosses a page boundary has
 * room for it before or behind the boundary if it is large enough. Twice the buffer is always large
 * enough; so a first look takes any extent of a class that is certain to do, the best fit among
 * them, and only when there is none all smaller ones are tried one by one.
 *
 * Threading: the pool's lock.
 */
#include "arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>
#include <nsdk/types.h>

#define FIRST_BUCKETS 64

struct nsdk_extent {
	uintptr_t va;
	size_t bytes;
	bool used;
	TAILQ_ENTRY(nsdk_extent) in_order;
	TAILQ_ENTRY(nsdk_extent) in_class; /* free */
	struct nsdk_extent *in_bucket;     /* used */
};

/* The class of an extent: floor of log2 of its lines, times four, and the next two bits below. */
static unsigned class_of(size_t bytes)
{
	uint64_t lines = bytes / NSDK_LINE_BYTES;
	unsigned log2 = 63u - (unsigned)__builtin_clzll(lines);
	unsigned quarter = (unsigned)(log2 >= 2 ? lines >> (log2 - 2) : lines << (2 - log2)) & 3u;

	return log2 * 4 + quarter;
}

/* The first class all of whose extents have at least so many bytes. */
static unsigned class_at_least(size_t bytes)
{
	uint64_t lines = bytes / NSDK_LINE_BYTES;
	unsigned class = class_of(bytes);
	unsigned log2 = class / 4;

	/* Exact when no bit below the two that count is set. */
	return log2 <= 2 || (lines & (((uint64_t)1 << (log2 - 2)) - 1)) == 0 ? class : class + 1;
}

/* The first class from a given one on that has a free extent; NSDK_ARENA_CLASSES: none. */
static unsigned next_class(const struct nsdk_arena *arena, unsigned from)
{
	uint64_t word;

	if (from >= NSDK_ARENA_CLASSES)
		return NSDK_ARENA_CLASSES;
	word = arena->class_has_free[from / 64] & (~(uint64_t)0 << (from % 64));
	for (unsigned i = from / 64;;) {
		if (word)
			return i * 64 + (unsigned)__builtin_ctzll(word);
		if (++i == NSDK_ARENA_CLASSES / 64)
			return NSDK_ARENA_CLASSES;
		word = arena->class_has_free[i];
	}
}

static void link_free(struct nsdk_arena *arena, struct nsdk_extent *extent)
{
	unsigned class = class_of(extent->bytes);

	TAILQ_INSERT_HEAD(&arena->free_of_class[class], extent, in_class);
	arena->class_has_free[class / 64] |= (uint64_t)1 << (class % 64);
}

static void unlink_free(struct nsdk_arena *arena, struct nsdk_extent *extent)
{
	unsigned class = class_of(extent->bytes);

	TAILQ_REMOVE(&arena->free_of_class[class], extent, in_class);
	if (TAILQ_EMPTY(&arena->free_of_class[class]))
		arena->class_has_free[class / 64] &= ~((uint64_t)1 << (class % 64));
}

static size_t bucket_of(const struct nsdk_arena *arena, uintptr_t va)
{
	/* Fibonacci hashing: the lines' low bits are all alike, the product's high bits are not. */
	return (size_t)(((uint64_t)va / NSDK_LINE_BYTES * 0x9e3779b97f4a7c15ull) >> 32) &
	       (arena->bucket_count - 1);
}

static void link_used(struct nsdk_arena *arena, struct nsdk_extent *extent)
{
	struct nsdk_extent **bucket = &arena->used_buckets[bucket_of(arena, extent->va)];

	extent->in_bucket = *bucket;
	*bucket = extent;
}

/* Finds and takes out; NULL when there is none. */
static struct nsdk_extent *unlink_used(struct nsdk_arena *arena, uintptr_t va)
{
	struct nsdk_extent **at = &arena->used_buckets[bucket_of(arena, va)];
	struct nsdk_extent *extent;

	while (*at && (*at)->va != va)
		at = &(*at)->in_bucket;
	extent = *at;
	if (extent)
		*at = extent->in_bucket;
	return extent;
}

/* Keeps the chains short. Without memory for it they get longer, and all still works. */
static void grow_buckets(struct nsdk_arena *arena)
{
	struct nsdk_extent **old = arena->used_buckets, **new;
	size_t old_count = arena->bucket_count;

	if (arena->buffers < old_count)
		return;
	new = calloc(old_count * 2, sizeof(struct nsdk_extent *));
	if (!new)
		return;
	arena->used_buckets = new;
	arena->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct nsdk_extent *extent = old[i], *next; extent; extent = next) {
			next = extent->in_bucket;
			link_used(arena, extent);
		}
	}
	free(old);
}

int nsdk_arena_init(struct nsdk_arena *arena, size_t page_bytes)
{
	memset(arena, 0, sizeof(*arena));
	arena->page_bytes = page_bytes;
	arena->bucket_count = FIRST_BUCKETS;
	arena->used_buckets = calloc(FIRST_BUCKETS, sizeof(struct nsdk_extent *));
	if (!arena->used_buckets)
		return nsdk_fail(-ENOMEM, "mem", "no memory for the bookkeeping of a DMA pool");
	TAILQ_INIT(&arena->by_address);
	for (size_t i = 0; i < NSDK_ARENA_CLASSES; i++)
		TAILQ_INIT(&arena->free_of_class[i]);
	return 0;
}

void nsdk_arena_fini(struct nsdk_arena *arena)
{
	struct nsdk_extent *extent;

	while ((extent = TAILQ_FIRST(&arena->by_address))) {
		TAILQ_REMOVE(&arena->by_address, extent, in_order);
		free(extent);
	}
	free(arena->used_buckets);
	memset(arena, 0, sizeof(*arena));
}

/* Makes an extent free, one with its free neighbours. Needs no memory, so giving back cannot fail. */
static void release(struct nsdk_arena *arena, struct nsdk_extent *extent)
{
	struct nsdk_extent *before = TAILQ_PREV(extent, nsdk_extent_list, in_order);
	struct nsdk_extent *behind = TAILQ_NEXT(extent, in_order);

	extent->used = false;
	if (before && !before->used && before->va + before->bytes == extent->va) {
		unlink_free(arena, before);
		TAILQ_REMOVE(&arena->by_address, before, in_order);
		extent->va = before->va;
		extent->bytes += before->bytes;
		free(before);
	}
	if (behind && !behind->used && extent->va + extent->bytes == behind->va) {
		unlink_free(arena, behind);
		TAILQ_REMOVE(&arena->by_address, behind, in_order);
		extent->bytes += behind->bytes;
		free(behind);
	}
	link_free(arena, extent);
}

int nsdk_arena_add(struct nsdk_arena *arena, void *va, size_t bytes)
{
	struct nsdk_extent *extent = calloc(1, sizeof(*extent)), *behind;

	if (!extent)
		return nsdk_fail(-ENOMEM, "mem", "no memory for the bookkeeping of a DMA pool");
	extent->va = (uintptr_t)va;
	extent->bytes = bytes;
	TAILQ_FOREACH(behind, &arena->by_address, in_order)
		if (behind->va > extent->va)
			break;
	if (behind)
		TAILQ_INSERT_BEFORE(behind, extent, in_order);
	else
		TAILQ_INSERT_TAIL(&arena->by_address, extent, in_order);
	arena->free_bytes += bytes;
	release(arena, extent);
	return 0;
}

static uintptr_t round_up(uintptr_t value, size_t align)
{
	return (value + align - 1) & ~(uintptr_t)(align - 1);
}

/* Where in a free extent the buffer can lie; 0: nowhere. */
static uintptr_t place_in(const struct nsdk_arena *arena, const struct nsdk_extent *extent, size_t bytes,
			  size_t align)
{
	uintptr_t at = round_up(extent->va, align);
	uintptr_t last = at + bytes - 1;

	/* A page boundary is aligned to anything up to a page; beyond that a page's start is asked for. */
	if (bytes <= arena->page_bytes && at / arena->page_bytes != last / arena->page_bytes)
		at = round_up(round_up(at, arena->page_bytes), align);
	if (at < extent->va || at - extent->va > extent->bytes ||
	    extent->bytes - (at - extent->va) < bytes)
		return 0;
	return at;
}

static struct nsdk_extent *find(const struct nsdk_arena *arena, size_t bytes, size_t align, uintptr_t *at)
{
	unsigned certain = class_at_least(bytes * 2 + align);
	struct nsdk_extent *extent;
	unsigned class;

	/*
	 * From the smallest that can do upwards, so that large extents stay whole. In a class below
	 * the certain ones an extent may be too small, or lie badly.
	 */
	for (class = next_class(arena, class_of(bytes)); class < NSDK_ARENA_CLASSES;
	     class = next_class(arena, class + 1)) {
		unsigned tries = 0;

		TAILQ_FOREACH(extent, &arena->free_of_class[class], in_class) {
			*at = place_in(arena, extent, bytes, align);
			if (*at)
				return extent;
			/* Do not look through thousands while a certain one may be at hand. */
			if (class < certain && ++tries == 16)
				break;
		}
	}
	for (class = next_class(arena, class_of(bytes)); class < certain && class < NSDK_ARENA_CLASSES;
	     class = next_class(arena, class + 1)) {
		TAILQ_FOREACH(extent, &arena->free_of_class[class], in_class) {
			*at = place_in(arena, extent, bytes, align);
			if (*at)
				return extent;
		}
	}
	return NULL;
}

int nsdk_arena_alloc(struct nsdk_arena *arena, size_t bytes, size_t align, void **out)
{
	struct nsdk_extent *extent, *before = NULL, *behind = NULL;
	size_t bytes_before, bytes_behind;
	uintptr_t at;

	if (bytes > arena->free_bytes)
		return -ENOSPC;
	extent = find(arena, bytes, align, &at);
	if (!extent)
		return -ENOSPC;
	bytes_before = at - extent->va;
	bytes_behind = extent->bytes - bytes_before - bytes;
	/* What is left on both sides gets an extent of its own; taken first, so that failing is easy. */
	if (bytes_before) {
		before = calloc(1, sizeof(*before));
		if (!before)
			goto no_memory;
	}
	if (bytes_behind) {
		behind = calloc(1, sizeof(*behind));
		if (!behind)
			goto no_memory;
	}
	unlink_free(arena, extent);
	if (before) {
		before->va = extent->va;
		before->bytes = bytes_before;
		TAILQ_INSERT_BEFORE(extent, before, in_order);
		link_free(arena, before);
	}
	if (behind) {
		behind->va = at + bytes;
		behind->bytes = bytes_behind;
		TAILQ_INSERT_AFTER(&arena->by_address, extent, behind, in_order);
		link_free(arena, behind);
	}
	extent->va = at;
	extent->bytes = bytes;
	extent->used = true;
	arena->used_bytes += bytes;
	arena->free_bytes -= bytes;
	arena->buffers++;
	grow_buckets(arena);
	link_used(arena, extent);
	*out = (void *)at;
	return 0;

no_memory:
	free(before);
	return nsdk_fail(-ENOMEM, "mem", "no memory for the bookkeeping of a DMA buffer");
}

size_t nsdk_arena_free(struct nsdk_arena *arena, void *va)
{
	struct nsdk_extent *extent = unlink_used(arena, (uintptr_t)va);
	size_t bytes;

	if (!extent)
		return 0;
	bytes = extent->bytes;
	arena->used_bytes -= bytes;
	arena->free_bytes += bytes;
	arena->buffers--;
	release(arena, extent);
	return bytes;
}
