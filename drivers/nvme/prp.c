/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payloads, and the physical region pages (PRP) that describe them (Base 4.1.1).
 *
 * A command names its memory by pages of 4 KiB: PRP1 may start anywhere in a page (dword aligned),
 * every later entry starts at a page's first byte, and every entry but the last runs to its page's
 * end. So of a scattered payload one command can describe a stretch in which each joint between
 * pieces is either no joint at all (the next piece begins where the last one ended) or lies on a page
 * boundary on both sides. nsdk_nvme_payload_reach() says how long that stretch is.
 *
 * Translation goes by pieces of the map (2 MiB of a pool, 4 KiB of registered memory), not by page.
 */
#include "payload.h"

#include <errno.h>

void nsdk_nvme_payload_advance(struct nvme_payload *payload, size_t bytes)
{
	if (!payload->iov) {
		payload->va += bytes;
		return;
	}
	payload->iov_offset += bytes;
	/*
	 * Stays at the end of a piece instead of moving to the next one's start, as there may be no
	 * next one.
	 */
	while (payload->iov_offset > payload->iov->iov_len) {
		payload->iov_offset -= payload->iov->iov_len;
		payload->iov++;
	}
}

/*
 * How many bytes from here PRPs can describe as one command, at most @p max_bytes; @p bytes is what
 * is left of the payload.
 */
size_t nsdk_nvme_payload_reach(const struct nvme_payload *payload, size_t bytes, size_t max_bytes)
{
	struct payload_walk walk;
	size_t reach;

	if (bytes > max_bytes)
		bytes = max_bytes;
	walk_start(&walk, payload, bytes);
	/* PRP1 has to be dword aligned; whoever lets others through has another way for them. */
	if (walk.va & 3)
		return 0;
	if (!payload->iov)
		return bytes;
	reach = walk.left;
	while (reach < bytes) {
		uintptr_t end = walk.va + walk.left;

		walk_next_piece(&walk);
		if (walk.va != end && ((walk.va | end) & NVME_PAGE_MASK) != 0)
			break;
		reach += walk.left;
	}
	return reach < bytes ? reach : bytes;
}

/*
 * @param list  room for @p list_max entries, in one page of the device's addresses from @p list_iova.
 * @return 0; -EFAULT not DMA memory of the device; -EINVAL not to be said by PRPs.
 */
int nsdk_nvme_prp_build(const struct nsdk_dma_map *map, struct nvme_payload payload, size_t bytes,
			uint64_t *list, unsigned list_max, uint64_t list_iova,
			struct nvme_prps *out)
{
	struct payload_walk walk;
	unsigned entries = 0; /* behind PRP1 */
	uint64_t iova = 0;
	size_t mapped = 0;    /* bytes from walk.va on for which iova holds */
	size_t page_left;     /* of the page that the last entry names */
	int err;

	walk_start(&walk, &payload, bytes);
	err = nsdk_dma_map_lookup(map, walk.va, &iova, &mapped);
	if (err)
		return err;
	out->prp1 = iova;
	out->prp2 = 0;
	page_left = NVME_PAGE_BYTES - (walk.va & NVME_PAGE_MASK);

	for (;;) {
		size_t step = bytes;

		if (step > page_left)
			step = page_left;
		if (step > walk.left)
			step = walk.left;
		bytes -= step;
		if (bytes == 0)
			break;
		page_left -= step;
		walk.va += step;
		walk.left -= step;
		iova += step;
		mapped -= step;
		if (walk.left == 0) {
			uintptr_t end = walk.va;

			walk_next_piece(&walk);
			if (walk.va != end)
				mapped = 0;
			if (walk.va != end && page_left != 0)
				return -EINVAL;
		}
		if (page_left != 0)
			continue;
		/* A new entry. */
		if ((walk.va & NVME_PAGE_MASK) != 0 || entries == list_max)
			return -EINVAL;
		if (mapped == 0) {
			err = nsdk_dma_map_lookup(map, walk.va, &iova, &mapped);
			if (err)
				return err;
		}
		list[entries++] = iova;
		page_left = NVME_PAGE_BYTES;
	}

	out->list_entries = 0;
	if (entries == 1) {
		out->prp2 = list[0];
	} else if (entries > 1) {
		out->prp2 = list_iova;
		out->list_entries = entries;
	}
	return 0;
}

/*
 * Whether all of a payload is DMA memory of the device, aligned to @p align_mask + 1, and @p bytes
 * long. @return 0; -EINVAL; -EFAULT.
 */
int nsdk_nvme_payload_check(const struct nsdk_dma_map *map, const struct nvme_payload *payload,
			    size_t bytes, int iovcnt, uint32_t align_mask)
{
	struct iovec whole = { (void *)payload->va, bytes };
	const struct iovec *iov = payload->iov ? payload->iov : &whole;
	size_t total = 0;

	if (!payload->iov)
		iovcnt = 1;
	for (int i = 0; i < iovcnt; i++) {
		uintptr_t va = (uintptr_t)iov[i].iov_base;
		size_t left = iov[i].iov_len;

		if (left == 0)
			continue;
		if (((va | left) & align_mask) != 0 || left > bytes - total ||
		    va + left - 1 < va)
			return -EINVAL;
		total += left;
		while (left) {
			uint64_t iova;
			size_t step;
			int err = nsdk_dma_map_lookup(map, va, &iova, &step);

			if (err)
				return err;
			if (step > left)
				step = left;
			va += step;
			left -= step;
		}
	}
	return total == bytes ? 0 : -EINVAL;
}

/* Nothing is known of its lines any more: somebody may store to them in the ordinary way. */
void nsdk_nvme_payload_dirty(struct nsdk_coherence *coh, struct nvme_payload payload, size_t bytes)
{
	struct payload_walk walk;

	walk_start(&walk, &payload, bytes);
	for (;;) {
		size_t step = walk.left < bytes ? walk.left : bytes;

		nsdk_dma_dirty(coh, (const void *)walk.va, step);
		bytes -= step;
		if (bytes == 0)
			return;
		walk_next_piece(&walk);
	}
}

/*
 * Adds every piece of a payload to a batch, but for what is on the controller: no cache has lines of that,
 * and operations on uncached memory are slow at best.
 */
void nsdk_nvme_payload_flush(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_flush_batch *batch,
			     struct nvme_payload payload, size_t bytes, enum nsdk_dma_dir dir,
			     bool for_cpu)
{
	struct payload_walk walk;

	walk_start(&walk, &payload, bytes);
	for (;;) {
		size_t step = walk.left < bytes ? walk.left : bytes;

		if (nsdk_dma_map_is_own(ctrlr->map, walk.va))
			;
		else if (for_cpu)
			nsdk_flush_batch_for_cpu(batch, (const void *)walk.va, step, dir);
		else
			nsdk_flush_batch_for_device(batch, (const void *)walk.va, step, dir);
		bytes -= step;
		if (bytes == 0)
			return;
		walk_next_piece(&walk);
	}
}
