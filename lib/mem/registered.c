/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that the application made itself, and registers so that devices can reach it.
 *
 * A registered range is a segment like a pool's, but lies outside of the window, is not ours to give
 * back, and need be no larger than a page. Which pages are registered is kept in a radix tree, which
 * answers both "does this overlap?" and "is this one?".
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "domain.h"
#include "pages.h"
#include "radix.h"

static int check_range(const struct nsdk_mem *mem, const void *va, size_t bytes)
{
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)va;

	if (bytes == 0 || first == 0 || bytes % page_bytes || first % page_bytes ||
	    bytes - 1 > UINTPTR_MAX - first)
		return nsdk_fail(-EINVAL, "mem",
				 "%zu bytes at %p cannot be registered: address and length must be multiples "
				 "of the page size, %zu",
				 bytes, va, page_bytes);
	if (first < mem->window.va + mem->window.bytes && mem->window.va < first + bytes)
		return nsdk_fail(-EEXIST, "mem",
				 "%p cannot be registered: it is memory of a DMA pool, which devices reach anyway",
				 va);
	return 0;
}

static bool overlaps(const struct nsdk_mem *mem, uintptr_t va, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += NSDK_RADIX_PAGE_BYTES)
		if (nsdk_radix_get(mem->registered, va + at))
			return true;
	return false;
}

static int register_locked(struct nsdk_mem *mem, void *va, size_t bytes)
{
	struct nsdk_segment *segment;
	int error;

	if (!mem->registered) {
		error = nsdk_radix_create(&mem->registered);
		if (error)
			return error;
	}
	error = nsdk_radix_reserve(mem->registered, (uintptr_t)va, bytes);
	if (error)
		return error;
	if (overlaps(mem, (uintptr_t)va, bytes))
		return nsdk_fail(-EEXIST, "mem",
				 "%zu KiB at %p overlap memory that is registered already; unregister that first",
				 bytes >> 10, va);
	segment = calloc(1, sizeof(*segment));
	if (!segment)
		return nsdk_fail(-ENOMEM, "mem", "no memory for registering memory");
	segment->va = va;
	segment->bytes = bytes;
	error = nsdk_segment_map(mem, segment);
	if (error) {
		free(segment);
		return error;
	}
	nsdk_radix_set(mem->registered, (uintptr_t)va, bytes, (uint64_t)(uintptr_t)segment, 0);
	return 0;
}

int nsdk_mem_register(struct nsdk_mem *mem, void *va, size_t bytes)
{
	int error;

	error = check_range(mem, va, bytes);
	if (error)
		return error;
	/* Flushing its lines, before any map could say no, would be a segmentation fault. */
	error = nsdk_pages_check(va, bytes);
	if (error)
		return error;
	pthread_mutex_lock(&mem->lock);
	error = register_locked(mem, va, bytes);
	pthread_mutex_unlock(&mem->lock);
	return error;
}

static int unregister_locked(struct nsdk_mem *mem, void *va, size_t bytes)
{
	struct nsdk_segment *segment = NULL;
	int error;

	if (mem->registered)
		segment = (struct nsdk_segment *)(uintptr_t)nsdk_radix_get(mem->registered, (uintptr_t)va);
	if (!segment || segment->va != va || segment->bytes != bytes)
		return nsdk_fail(-ENOENT, "mem",
				 "%zu KiB at %p are not registered with this address and length", bytes >> 10,
				 va);
	nsdk_radix_set(mem->registered, (uintptr_t)va, bytes, 0, 0);
	error = nsdk_segment_unmap(mem, segment);
	if (!error && segment->stuck)
		error = nsdk_fail(-EIO, "mem",
				  "a device that was detached may still reach %zu KiB at %p; do not use that "
				  "memory for anything else",
				  bytes >> 10, va);
	free(segment);
	return error;
}

int nsdk_mem_unregister(struct nsdk_mem *mem, void *va, size_t bytes)
{
	int error;

	pthread_mutex_lock(&mem->lock);
	error = unregister_locked(mem, va, bytes);
	pthread_mutex_unlock(&mem->lock);
	return error;
}
