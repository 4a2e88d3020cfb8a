/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The translation from virtual addresses to IOVAs of one I/O address space.
 *
 * Threading: one writer at a time (the domain's lock), readers without a lock at any time. The
 * table of the window is read with relaxed loads on the I/O path: whoever looks an address up has
 * got it from nsdk_dma_alloc(), and if on another thread, then by some message or lock; either
 * orders the entry before the address. The radix tree is ordered by itself, since what is in it was
 * not handed out by this library.
 */
#include "map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#include "radix.h"

_Static_assert(NSDK_WINDOW_PIECE_BYTES == (size_t)1 << NSDK_WINDOW_SHIFT, "one size of a piece");

int nsdk_dma_map_init(struct nsdk_dma_map *map, const struct nsdk_window *window)
{
	int error;

	map->window_va = window->va;
	map->window_bytes = window->bytes;
	/* Zeros that nobody wrote cost no memory: a table of a large window is mostly such. */
	map->window = calloc(window->pieces, sizeof(map->window[0]));
	if (!map->window)
		return nsdk_fail(-ENOMEM, "mem", "no memory for the translation of DMA addresses");
	error = nsdk_radix_create(&map->radix);
	if (error)
		free(map->window);
	return error;
}

void nsdk_dma_map_fini(struct nsdk_dma_map *map)
{
	nsdk_radix_destroy(map->radix);
	free(map->window);
	memset(map, 0, sizeof(*map));
}

static bool in_window(const struct nsdk_dma_map *map, uintptr_t va)
{
	return va - map->window_va < map->window_bytes;
}

int nsdk_dma_map_reserve(struct nsdk_dma_map *map, const void *va, size_t bytes)
{
	if (in_window(map, (uintptr_t)va))
		return 0;
	return nsdk_radix_reserve(map->radix, (uintptr_t)va, bytes);
}

/* Sets the pieces of a range to first, first + step, … */
static void set_pieces(struct nsdk_dma_map *map, uintptr_t va, size_t bytes, uint64_t first, uint64_t step)
{
	size_t piece = (va - map->window_va) >> NSDK_WINDOW_SHIFT;

	for (size_t i = 0; i < bytes >> NSDK_WINDOW_SHIFT; i++, first += step)
		atomic_store_explicit(&map->window[piece + i], first, memory_order_release);
}

void nsdk_dma_map_publish(struct nsdk_dma_map *map, const void *va, size_t bytes, uint64_t iova)
{
	if (in_window(map, (uintptr_t)va))
		set_pieces(map, (uintptr_t)va, bytes, iova + 1, NSDK_WINDOW_PIECE_BYTES);
	else
		nsdk_radix_set(map->radix, (uintptr_t)va, bytes, iova + 1, NSDK_RADIX_PAGE_BYTES);
}

void nsdk_dma_map_unpublish(struct nsdk_dma_map *map, const void *va, size_t bytes)
{
	if (in_window(map, (uintptr_t)va))
		set_pieces(map, (uintptr_t)va, bytes, 0, 0);
	else
		nsdk_radix_set(map->radix, (uintptr_t)va, bytes, 0, 0);
}

int nsdk_dma_map_lookup_slow(const struct nsdk_dma_map *map, uintptr_t va, uint64_t *iova,
			     size_t *page_bytes_left)
{
	size_t offset = va & (NSDK_RADIX_PAGE_BYTES - 1);
	uint64_t entry;

	if (nsdk_dma_map_is_own(map, va)) {
		*iova = map->own.addr + (va - map->own.va);
		*page_bytes_left = map->own.bytes - (va - map->own.va);
		return 0;
	}
	entry = nsdk_radix_get(map->radix, va);
	if (entry == 0)
		return -EFAULT;
	*iova = entry - 1 + offset;
	*page_bytes_left = NSDK_RADIX_PAGE_BYTES - offset;
	return 0;
}

int nsdk_dma_map_translate(const struct nsdk_dma_map *map, uintptr_t va, size_t bytes, uint64_t *iova,
			   size_t *contiguous_bytes)
{
	uint64_t next_iova;
	size_t done, left;

	if (nsdk_dma_map_lookup(map, va, iova, &left))
		return -EFAULT;
	/* Piece after piece, for as long as each begins where the one before it ended. */
	for (done = left; done < bytes; done += left)
		if (nsdk_dma_map_lookup(map, va + done, &next_iova, &left) || next_iova != *iova + done)
			break;
	*contiguous_bytes = done < bytes ? done : bytes;
	return 0;
}
