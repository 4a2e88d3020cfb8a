/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/mem: the window, a range of virtual addresses that all pools of a domain lie in.
 */
#ifndef NSDK_MEM_WINDOW_H
#define NSDK_MEM_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NSDK_WINDOW_PIECE_BYTES ((size_t)1 << 21) /* NSDK_WINDOW_SHIFT of mem_internal.h */

struct nsdk_window {
	uintptr_t va;
	size_t bytes;
	size_t pieces;
	uint64_t *taken; /* one bit a piece */
	bool keep;       /* pages are left in it for ever: it must not be released to the kernel */
};

/* Set addresses aside, 1 GiB aligned. @return 0; -EINVAL, -ENOMEM, logged. */
int nsdk_window_reserve(struct nsdk_window *window, size_t bytes);
void nsdk_window_release(struct nsdk_window *window);

/*
 * Take part of it. What is there still has no access rights; that is for pages.c.
 * @param bytes        multiple of a piece, not 0.
 * @param align_bytes  power of two, at least a piece.
 * @return 0; -ENOMEM the window has no such gap, logged.
 */
int nsdk_window_take(struct nsdk_window *window, size_t bytes, size_t align_bytes, void **va);
void nsdk_window_give_back(struct nsdk_window *window, void *va, size_t bytes);

#endif
