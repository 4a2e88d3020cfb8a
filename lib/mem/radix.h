/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem: a map from 4 KiB pages of virtual memory to a number that is not 0.
 */
#ifndef NSDK_MEM_RADIX_H
#define NSDK_MEM_RADIX_H

#include <stddef.h>
#include <stdint.h>

#define NSDK_RADIX_PAGE_SHIFT 12
#define NSDK_RADIX_PAGE_BYTES ((size_t)1 << NSDK_RADIX_PAGE_SHIFT)
/* Five-level page tables, the widest there are, give a process 56 bits of address. */
#define NSDK_RADIX_VA_BITS 57

struct nsdk_dma_radix;

/* @return 0; -ENOMEM, logged. */
int nsdk_radix_create(struct nsdk_dma_radix **out);
/* No reader may be left. */
void nsdk_radix_destroy(struct nsdk_dma_radix *radix);

/*
 * Make room, so that nsdk_radix_set() of this range cannot fail. Room is kept until the end.
 * @param va, bytes  multiples of 4 KiB.
 * @return 0; -ENOMEM, -EINVAL beyond any address of a process, logged.
 */
int nsdk_radix_reserve(struct nsdk_dma_radix *radix, uintptr_t va, size_t bytes);

/* Page i of the range becomes first + i * step, or 0 with both 0. There must be room. */
void nsdk_radix_set(struct nsdk_dma_radix *radix, uintptr_t va, size_t bytes, uint64_t first,
		    uint64_t step);

/* @return the number of the page that va is in; 0: none. Threading: any thread, at any time. */
uint64_t nsdk_radix_get(const struct nsdk_dma_radix *radix, uintptr_t va);

#endif
