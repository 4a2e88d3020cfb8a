/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The window: virtual addresses for all pools of a domain, set aside at once and without memory.
 *
 * One range makes the translation a subtraction and a load (mem_internal.h). It is asked for low in
 * the address space, because the IOVA is to equal the virtual address and an IOMMU may have 39 bits
 * only; the kernel by itself would place it near 2^47. Where a low place is not to be had (the
 * address sanitizer keeps the low terabytes to itself) the IOVAs simply differ.
 *
 * Threading: the domain's lock.
 */
#include "window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <nsdk/log.h>

#define GIB ((size_t)1 << 30)
/* Above what programs that are not position independent use, and above all of the PCI holes. */
#define LOW_FIRST (64 * GIB)
#define LOW_LAST (512 * GIB)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static void *set_aside(void *hint, size_t bytes, int flags)
{
	return mmap(hint, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

static void *set_aside_low(size_t bytes)
{
	if (bytes > LOW_LAST - LOW_FIRST)
		return NULL;
	for (size_t at = LOW_FIRST; at + bytes <= LOW_LAST; at += 16 * GIB) {
		void *va = set_aside((void *)at, bytes, MAP_FIXED_NOREPLACE);

		if (va == (void *)at)
			return va;
		/* A kernel before 4.17 takes the flag for a mere hint and goes elsewhere. */
		if (va != MAP_FAILED)
			munmap(va, bytes);
	}
	return NULL;
}

/* Anywhere, but 1 GiB aligned: takes more and cuts both ends off. */
static void *set_aside_anywhere(size_t bytes)
{
	uintptr_t start, aligned;
	char *va;

	va = set_aside(NULL, bytes + GIB, 0);
	if (va == MAP_FAILED)
		return NULL;
	start = (uintptr_t)va;
	aligned = (start + GIB - 1) & ~(uintptr_t)(GIB - 1);
	if (aligned > start)
		munmap(va, aligned - start);
	if (start + GIB > aligned)
		munmap((void *)(aligned + bytes), start + GIB - aligned);
	return (void *)aligned;
}

int nsdk_window_reserve(struct nsdk_window *window, size_t bytes)
{
	void *va;

	if (bytes == 0 || bytes % NSDK_WINDOW_PIECE_BYTES != 0 || bytes > SIZE_MAX / 2)
		return nsdk_fail(-EINVAL, "mem",
				 "window_bytes is %zu; it must be a multiple of 2 MiB", bytes);
	window->pieces = bytes / NSDK_WINDOW_PIECE_BYTES;
	window->taken = calloc((window->pieces + 63) / 64, sizeof(window->taken[0]));
	if (!window->taken)
		return nsdk_fail(-ENOMEM, "mem", "no memory for a domain of DMA memory");
	va = set_aside_low(bytes);
	if (!va)
		va = set_aside_anywhere(bytes);
	if (!va) {
		free(window->taken);
		return nsdk_fail(-ENOMEM, "mem",
				 "%zu MiB of address space for DMA memory cannot be set aside; raise the "
				 "limit (ulimit -v unlimited) or set window_bytes lower",
				 bytes >> 20);
	}
	window->va = (uintptr_t)va;
	window->bytes = bytes;
	window->keep = false;
	return 0;
}

void nsdk_window_release(struct nsdk_window *window)
{
	if (!window->keep)
		munmap((void *)window->va, window->bytes);
	free(window->taken);
	memset(window, 0, sizeof(*window));
}

static bool piece_taken(const struct nsdk_window *window, size_t piece)
{
	return (window->taken[piece / 64] >> (piece % 64) & 1) != 0;
}

static void mark(struct nsdk_window *window, size_t first, size_t count, bool taken)
{
	for (size_t piece = first; piece < first + count; piece++) {
		if (taken)
			window->taken[piece / 64] |= (uint64_t)1 << (piece % 64);
		else
			window->taken[piece / 64] &= ~((uint64_t)1 << (piece % 64));
	}
}

int nsdk_window_take(struct nsdk_window *window, size_t bytes, size_t align_bytes, void **va)
{
	size_t count = bytes / NSDK_WINDOW_PIECE_BYTES;
	size_t first, run;

	/* First fit over the bits: a pool grows rarely, and there are 32768 of them in 64 GiB. */
	for (first = 0; first < window->pieces && count <= window->pieces - first; first += run + 1) {
		uintptr_t at = window->va + first * NSDK_WINDOW_PIECE_BYTES;
		uintptr_t aligned = (at + align_bytes - 1) & ~(uintptr_t)(align_bytes - 1);

		first += (aligned - at) / NSDK_WINDOW_PIECE_BYTES;
		if (first >= window->pieces || count > window->pieces - first)
			break;
		for (run = 0; run < count && !piece_taken(window, first + run); run++)
			;
		if (run < count)
			continue;
		mark(window, first, count, true);
		*va = (void *)(window->va + first * NSDK_WINDOW_PIECE_BYTES);
		return 0;
	}
	return nsdk_fail(-ENOMEM, "mem",
			 "the window of %zu MiB has no gap of %zu MiB left for DMA memory; make it larger "
			 "(window_bytes of nsdk_mem_create())",
			 window->bytes >> 20, bytes >> 20);
}

void nsdk_window_give_back(struct nsdk_window *window, void *va, size_t bytes)
{
	mark(window, ((uintptr_t)va - window->va) / NSDK_WINDOW_PIECE_BYTES,
	     bytes / NSDK_WINDOW_PIECE_BYTES, false);
}
