/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scatter gather lists (Base 4.1.2), the other way to say where a payload is.
 *
 * A data block descriptor takes any address and any length, so SGLs say what PRPs cannot. They are
 * used, where the controller takes them at all,
 *
 *   - when PRPs cannot say a payload in one command: pieces that meet inside a page, or begin at an
 *     address that is no multiple of four;
 *   - when PRPs would need a list and one data block says it all: what the device sees as one stretch of
 *     more than two pages. The block is in the command itself, so there is no list to write, nor to
 *     flush, nor for the device to fetch.
 *
 * Everything else is said by PRPs: what up to two pages need is in the command either way, and a list
 * of PRPs is at most as long as a list of descriptors of pages.
 *
 * Descriptors that do not fit the command, which has room for one, lie as one segment, the last one at
 * once, where the tracker's PRP list would be.
 */
#include "payload.h"

#include <errno.h>

/* A stretch of device addresses that one data block can say. */
struct stretch {
	uint64_t iova;
	size_t bytes;
	bool own; /* on the controller: what follows there may be host memory, which is another block */
};

/* The next one, @p left bytes before the payload's end. @return 0; -EFAULT not the device's memory. */
static int next_stretch(const struct nsdk_dma_map *map, struct payload_walk *walk, size_t *left,
			struct stretch *out)
{
	out->bytes = 0;
	do {
		uint64_t iova;
		size_t step;
		bool own;
		int err;

		if (walk->left == 0)
			walk_next_piece(walk);
		err = nsdk_dma_map_lookup(map, walk->va, &iova, &step);
		if (err)
			return err;
		own = nsdk_dma_map_is_own(map, walk->va);
		if (out->bytes == 0) {
			out->iova = iova;
			out->own = own;
		} else if (iova != out->iova + out->bytes || own != out->own) {
			return 0;
		}
		if (step > walk->left)
			step = walk->left;
		if (step > *left)
			step = *left;
		walk->va += step;
		walk->left -= step;
		*left -= step;
		out->bytes += step;
	} while (*left);
	return 0;
}

/* How many bytes from here @p max_stretches can say. */
static size_t reach(const struct nsdk_dma_map *map, const struct nvme_payload *payload, size_t bytes,
		    unsigned max_stretches)
{
	struct payload_walk walk;
	struct stretch stretch;
	size_t left = bytes;

	walk_start(&walk, payload, bytes);
	for (unsigned i = 0; i < max_stretches && left; i++)
		if (next_stretch(map, &walk, &left, &stretch) != 0)
			return bytes - left - stretch.bytes;
	return bytes - left;
}

static unsigned list_max(const struct nsdk_nvme_qpair *qp)
{
	return qp->prp_list_bytes / (unsigned)sizeof(struct nsdk_nvme_sgl);
}

/* The same for one command, at most @p max_bytes; 0 where there are no SGLs. */
size_t nsdk_nvme_sgl_reach(const struct nsdk_nvme_qpair *qp, const struct nvme_payload *payload,
			   size_t bytes, size_t max_bytes)
{
	if (!qp->ctrlr->sgl)
		return 0;
	return reach(qp->ctrlr->map, payload, bytes < max_bytes ? bytes : max_bytes, list_max(qp));
}

/* The way for this payload: the PSDT field of its command. 0 also where no way says all of it. */
uint8_t nsdk_nvme_sgl_choose(const struct nsdk_nvme_qpair *qp, const struct nvme_payload *payload,
			     size_t bytes)
{
	const struct nsdk_dma_map *map = qp->ctrlr->map;

	if (!qp->ctrlr->sgl)
		return 0;
	if (nsdk_nvme_payload_reach(payload, bytes, bytes) < bytes)
		return reach(map, payload, bytes, list_max(qp)) == bytes ? NSDK_NVME_PSDT_SGL : 0;
	if (bytes > 2 * (size_t)NVME_PAGE_BYTES && reach(map, payload, bytes, 1) == bytes)
		return NSDK_NVME_PSDT_SGL;
	return 0;
}

/* What addresses and lengths of payloads must be multiples of, less one. */
uint32_t nsdk_nvme_sgl_align_mask(const struct nsdk_nvme_qpair *qp)
{
	return !qp->nosnoop && qp->ctrlr->sgl == NSDK_NVME_SGLS_ANY_ALIGNMENT ? 0 : qp->align_mask;
}

/*
 * @param list        room for @p list_max descriptors, at @p list_iova for the device.
 * @param cmd         gets PSDT and its SGL entry.
 * @param list_bytes  gets how much of the list is used.
 * @return 0; -EFAULT not DMA memory of the device; -EINVAL more descriptors than there is room for.
 */
int nsdk_nvme_sgl_build(const struct nsdk_dma_map *map, struct nvme_payload payload, size_t bytes,
			struct nsdk_nvme_sgl *list, unsigned list_max, uint64_t list_iova,
			struct nsdk_nvme_cmd *cmd, size_t *list_bytes)
{
	struct payload_walk walk;
	size_t left = bytes;
	unsigned count = 0;

	walk_start(&walk, &payload, bytes);
	while (left) {
		struct stretch stretch;
		int err;

		if (count == list_max)
			return -EINVAL;
		err = next_stretch(map, &walk, &left, &stretch);
		if (err)
			return err;
		list[count++] = (struct nsdk_nvme_sgl){
			.address = stretch.iova,
			.length = (uint32_t)stretch.bytes,
			.type = NSDK_NVME_SGL_DATA_BLOCK,
		};
	}
	cmd->flags = (uint8_t)((cmd->flags & ~NSDK_NVME_PSDT_MASK) | NSDK_NVME_PSDT_SGL);
	if (count == 1) {
		cmd->prp1 = list[0].address;
		cmd->prp2 = list[0].length | (uint64_t)NSDK_NVME_SGL_DATA_BLOCK << 56;
		*list_bytes = 0;
		return 0;
	}
	cmd->prp1 = list_iova;
	cmd->prp2 = count * sizeof(*list) | (uint64_t)NSDK_NVME_SGL_LAST_SEGMENT << 56;
	*list_bytes = count * sizeof(*list);
	return 0;
}
