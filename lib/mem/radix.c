/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A radix tree over 4 KiB pages: four loads for a lookup, whatever is in it.
 *
 * The 45 bits of a page's number are cut into 9 + 12 + 12 + 12. A leaf covers 16 MiB and takes
 * 32 KiB, so the tree is small for memory that lies together, as registered memory does.
 *
 * Threading: one writer at a time (the domain's lock), readers without a lock at any time. A node is
 * filled before it is hung in with a release store, and a reader follows with acquire loads, so it
 * never sees an unfilled one. A node once hung in stays until the tree is destroyed, so it never
 * sees a freed one.
 */
#include "radix.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <nsdk/log.h>

#define INNER_BITS 12
#define INNER_COUNT ((size_t)1 << INNER_BITS)
#define TOP_COUNT ((size_t)1 << (NSDK_RADIX_VA_BITS - NSDK_RADIX_PAGE_SHIFT - 3 * INNER_BITS))
#define LEAF_SHIFT (NSDK_RADIX_PAGE_SHIFT + INNER_BITS)
#define MIDDLE_SHIFT (LEAF_SHIFT + INNER_BITS)
#define TOP_SHIFT (MIDDLE_SHIFT + INNER_BITS)

struct leaf {
	_Atomic uint64_t page[INNER_COUNT];
};

struct middle {
	_Atomic(struct leaf *) leaf[INNER_COUNT];
};

struct upper {
	_Atomic(struct middle *) middle[INNER_COUNT];
};

struct nsdk_dma_radix {
	_Atomic(struct upper *) upper[TOP_COUNT];
};

static size_t index_at(uintptr_t va, unsigned shift)
{
	return (va >> shift) & (INNER_COUNT - 1);
}

int nsdk_radix_create(struct nsdk_dma_radix **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : nsdk_fail(-ENOMEM, "mem", "no memory for the translation of DMA addresses");
}

void nsdk_radix_destroy(struct nsdk_dma_radix *radix)
{
	if (!radix)
		return;
	for (size_t i = 0; i < TOP_COUNT; i++) {
		struct upper *upper = atomic_load_explicit(&radix->upper[i], memory_order_relaxed);

		for (size_t j = 0; upper && j < INNER_COUNT; j++) {
			struct middle *middle =
				atomic_load_explicit(&upper->middle[j], memory_order_relaxed);

			for (size_t k = 0; middle && k < INNER_COUNT; k++)
				free(atomic_load_explicit(&middle->leaf[k], memory_order_relaxed));
			free(middle);
		}
		free(upper);
	}
	free(radix);
}

/* The leaf of an address; NULL where there is none. */
static struct leaf *find_leaf(const struct nsdk_dma_radix *radix, uintptr_t va)
{
	const struct upper *upper;
	const struct middle *middle;

	if (va >> NSDK_RADIX_VA_BITS)
		return NULL;
	/* Acquire, against reserve_leaf(): what hangs here was filled before it was hung in. */
	upper = atomic_load_explicit(&radix->upper[va >> TOP_SHIFT], memory_order_acquire);
	if (!upper)
		return NULL;
	middle = atomic_load_explicit(&upper->middle[index_at(va, MIDDLE_SHIFT)], memory_order_acquire);
	if (!middle)
		return NULL;
	return atomic_load_explicit(&middle->leaf[index_at(va, LEAF_SHIFT)], memory_order_acquire);
}

/* Gives an empty slot a node full of zeros. Release, against the loads of find_leaf(). */
#define FILL_SLOT(slot, node)                                                          \
	do {                                                                           \
		(node) = atomic_load_explicit((slot), memory_order_relaxed);           \
		if (!(node)) {                                                         \
			(node) = calloc(1, sizeof(*(node)));                           \
			if (!(node))                                                   \
				return -ENOMEM;                                        \
			atomic_store_explicit((slot), (node), memory_order_release);   \
		}                                                                      \
	} while (0)

static int reserve_leaf(struct nsdk_dma_radix *radix, uintptr_t va)
{
	struct upper *upper;
	struct middle *middle;
	struct leaf *leaf;

	FILL_SLOT(&radix->upper[va >> TOP_SHIFT], upper);
	FILL_SLOT(&upper->middle[index_at(va, MIDDLE_SHIFT)], middle);
	FILL_SLOT(&middle->leaf[index_at(va, LEAF_SHIFT)], leaf);
	return 0;
}

int nsdk_radix_reserve(struct nsdk_dma_radix *radix, uintptr_t va, size_t bytes)
{
	uintptr_t last = va + bytes - 1;

	if (bytes == 0 || last < va || last >> NSDK_RADIX_VA_BITS)
		return nsdk_fail(-EINVAL, "mem", "%zu bytes from %#lx on are no memory of a process", bytes,
				 (unsigned long)va);
	for (uintptr_t leaf = va >> LEAF_SHIFT; leaf <= last >> LEAF_SHIFT; leaf++)
		if (reserve_leaf(radix, leaf << LEAF_SHIFT))
			return nsdk_fail(-ENOMEM, "mem", "no memory for the translation of %zu KiB",
					 bytes >> 10);
	return 0;
}

void nsdk_radix_set(struct nsdk_dma_radix *radix, uintptr_t va, size_t bytes, uint64_t first,
		    uint64_t step)
{
	struct leaf *leaf = find_leaf(radix, va);

	for (size_t at = 0; at < bytes; at += NSDK_RADIX_PAGE_BYTES, first += step) {
		size_t index = index_at(va + at, NSDK_RADIX_PAGE_SHIFT);

		if (index == 0 && at)
			leaf = find_leaf(radix, va + at);
		/* Release: what the number stands for was made before whoever reads it can use it. */
		atomic_store_explicit(&leaf->page[index], first, memory_order_release);
	}
}

uint64_t nsdk_radix_get(const struct nsdk_dma_radix *radix, uintptr_t va)
{
	struct leaf *leaf = find_leaf(radix, va);

	if (!leaf)
		return 0;
	/* Acquire, against the release of nsdk_radix_set(). */
	return atomic_load_explicit(&leaf->page[index_at(va, NSDK_RADIX_PAGE_SHIFT)],
				    memory_order_acquire);
}
