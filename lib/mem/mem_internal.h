/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem and the drivers: the translation of one (memory domain, device) pair.
 *
 * All pools of a domain lie in one window of virtual addresses, set aside when the domain is made.
 * The table has one entry for each 2 MiB of the window; an entry is the IOVA of that piece plus 1,
 * or 0 where nothing is mapped, so a lookup is a subtraction, a bound check and one load. Memory
 * outside the window (registered by the application) goes the slower, still constant-time way
 * through a radix tree of 4 KiB pages.
 */
#ifndef NSDK_MEM_INTERNAL_H
#define NSDK_MEM_INTERNAL_H

#include <errno.h>
#include <stdatomic.h>

#include <nsdk/mem.h>

#define NSDK_WINDOW_SHIFT 21

/*
 * Memory of a device's own that it addresses without the IOMMU, and no other device at all: its driver puts
 * it into its copy of the map. It is mapped uncached, so no line of it is ever in a cache.
 */
struct nsdk_dma_own {
	uintptr_t va;
	size_t bytes; /* 0: none */
	uint64_t addr;
};

struct nsdk_dma_map {
	uintptr_t window_va;
	size_t window_bytes;
	_Atomic uint64_t *window; /* window_bytes >> NSDK_WINDOW_SHIFT entries: IOVA + 1, or 0 */
	struct nsdk_dma_radix *radix; /* registered memory */
	struct nsdk_dma_own own;
};

static inline bool nsdk_dma_map_is_own(const struct nsdk_dma_map *map, uintptr_t va)
{
	return va - map->own.va < map->own.bytes;
}

/* The map of a device attached to the domain; NULL when it is not. Valid until nsdk_mem_detach(). */
const struct nsdk_dma_map *nsdk_mem_map_of(struct nsdk_mem *mem, struct nsdk_device *dev);

/* The radix way, and a device's own memory; same contract as nsdk_dma_map_lookup(). */
int nsdk_dma_map_lookup_slow(const struct nsdk_dma_map *map, uintptr_t va, uint64_t *iova,
			     size_t *page_bytes_left);

/*
 * VA -> IOVA. *left: bytes from va to the end of the piece it is in (2 MiB window piece, or 4 KiB
 * registered page); the caller looks up again beyond it.
 * @return 0; -EFAULT.
 */
static inline int nsdk_dma_map_lookup(const struct nsdk_dma_map *map, uintptr_t va, uint64_t *iova,
				      size_t *left)
{
	uintptr_t offset = va - map->window_va;
	uintptr_t mask = ((uintptr_t)1 << NSDK_WINDOW_SHIFT) - 1;
	uint64_t entry;

	if (__builtin_expect(offset >= map->window_bytes, 0))
		return nsdk_dma_map_lookup_slow(map, va, iova, left);
	entry = atomic_load_explicit(&map->window[offset >> NSDK_WINDOW_SHIFT],
				     memory_order_relaxed);
	if (__builtin_expect(entry == 0, 0))
		return -EFAULT;
	*iova = entry - 1 + (offset & mask);
	*left = (size_t)(mask + 1 - (offset & mask));
	return 0;
}

#endif
