/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to prp.c and sgl.c: walking along a payload.
 */
#ifndef NSDK_NVME_PAYLOAD_H
#define NSDK_NVME_PAYLOAD_H

#include "nvme_internal.h"

/* Walks a payload piece by piece. Pieces of no bytes are passed over. */
struct payload_walk {
	const struct iovec *iov;
	uintptr_t va;
	size_t left; /* of this piece */
};

static inline void walk_next_piece(struct payload_walk *walk)
{
	do {
		walk->iov++;
		walk->va = (uintptr_t)walk->iov->iov_base;
		walk->left = walk->iov->iov_len;
	} while (walk->left == 0);
}

/* @p bytes: how much of the payload will be walked; not 0. */
static inline void walk_start(struct payload_walk *walk, const struct nvme_payload *payload, size_t bytes)
{
	walk->iov = payload->iov;
	if (!payload->iov) {
		walk->va = payload->va;
		walk->left = bytes;
		return;
	}
	walk->va = (uintptr_t)payload->iov->iov_base + payload->iov_offset;
	walk->left = payload->iov->iov_len - payload->iov_offset;
	if (walk->left == 0)
		walk_next_piece(walk);
}

#endif
