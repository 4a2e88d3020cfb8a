/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem: the buffer allocator of a pool.
 */
#ifndef NSDK_MEM_ARENA_H
#define NSDK_MEM_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define NSDK_ARENA_CLASSES 192

struct nsdk_extent;
TAILQ_HEAD(nsdk_extent_list, nsdk_extent);

struct nsdk_arena {
	size_t page_bytes; /* what a smaller buffer must not cross */
	size_t used_bytes;
	size_t free_bytes;
	uint64_t buffers;
	struct nsdk_extent_list by_address; /* free and used ones, all of the arena */
	struct nsdk_extent_list free_of_class[NSDK_ARENA_CLASSES];
	uint64_t class_has_free[NSDK_ARENA_CLASSES / 64];
	struct nsdk_extent **used_buckets; /* used ones by their address */
	size_t bucket_count;               /* a power of two */
};

/* @return 0; -ENOMEM, logged. */
int nsdk_arena_init(struct nsdk_arena *arena, size_t page_bytes);
void nsdk_arena_fini(struct nsdk_arena *arena);

/* Give it memory, whole lines, that it does not have yet. @return 0; -ENOMEM, logged. */
int nsdk_arena_add(struct nsdk_arena *arena, void *va, size_t bytes);

/*
 * Take whole lines. What is in them is left as it is.
 * @param bytes  multiple of a line, not 0.
 * @param align  a power of two, at least a line.
 * @return 0; -ENOSPC nothing fits (not logged: the pool may grow); -ENOMEM for the bookkeeping,
 *         logged.
 */
int nsdk_arena_alloc(struct nsdk_arena *arena, size_t bytes, size_t align, void **out);

/* Give back. @return the buffer's size; 0 when it is none of the arena's. */
size_t nsdk_arena_free(struct nsdk_arena *arena, void *va);

#endif
