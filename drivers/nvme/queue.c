/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings: a submission queue and its completion queue in DMA memory, with their doorbells.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "queue entries are used as on the wire");

/*
 * DMA memory of the driver's own, in one piece for the device too.
 */
int nsdk_nvme_dma_get(struct nsdk_nvme_ctrlr *ctrlr, size_t bytes, size_t align_bytes,
		      const char *what, void **va, uint64_t *iova)
{
	nsdk_iova_t at;
	size_t contiguous;
	int err;

	err = nsdk_dma_alloc(ctrlr->pool, bytes, align_bytes, va);
	if (err)
		return err;
	err = nsdk_mem_translate(ctrlr->mem, ctrlr->dev, *va, bytes, &at, &contiguous);
	if (err) {
		nsdk_fail(err, "nvme", "%s: memory for %s is not reachable by the device",
			  nsdk_device_name(ctrlr->dev), what);
	} else if (contiguous < bytes) {
		err = nsdk_fail(-ENOMEM, "nvme",
				"%s: %s needs %zu bytes in one piece of the device's addresses; "
				"ask for fewer entries, or use hugepages",
				nsdk_device_name(ctrlr->dev), what, bytes);
	}
	if (err) {
		nsdk_dma_free(ctrlr->pool, *va);
		*va = NULL;
		return err;
	}
	*iova = at.addr;
	return 0;
}

int nsdk_nvme_ring_create(struct nsdk_nvme_ctrlr *ctrlr, uint16_t qid, uint32_t entries,
			  struct nvme_ring *ring)
{
	volatile uint8_t *doorbells = (volatile uint8_t *)ctrlr->bar.base +
				      NSDK_NVME_REG_DOORBELLS;
	size_t stride = ctrlr->doorbell_stride_bytes;
	size_t sq_bytes = entries * sizeof(struct nsdk_nvme_cmd);
	size_t cq_bytes = entries * sizeof(struct nsdk_nvme_cpl);
	void *va;
	int err;

	memset(ring, 0, sizeof(*ring));
	err = nsdk_nvme_dma_get(ctrlr, sq_bytes, NVME_PAGE_BYTES, "a submission queue", &va,
				&ring->sq_iova);
	if (err)
		return err;
	ring->sq = va;
	err = nsdk_nvme_dma_get(ctrlr, cq_bytes, NVME_PAGE_BYTES, "a completion queue", &va,
				&ring->cq_iova);
	if (err) {
		nsdk_nvme_ring_destroy(ctrlr, ring);
		return err;
	}
	ring->cq = va;
	ring->sq_end = ring->sq + entries;
	ring->cq_end = ring->cq + entries;
	ring->entries = entries;
	ring->qid = qid;
	/* Base 3.1.3.19 and 3.1.3.20: tail and head doorbells take turns. */
	ring->sq_doorbell = (volatile uint32_t *)(doorbells + 2 * (size_t)qid * stride);
	ring->cq_doorbell = (volatile uint32_t *)(doorbells + (2 * (size_t)qid + 1) * stride);
	nsdk_nvme_ring_clear(ctrlr, ring);
	return 0;
}

/* As the device must find the completion queue when it is created. The device does not use it now. */
void nsdk_nvme_ring_clear(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_ring *ring)
{
	size_t cq_bytes = ring->entries * sizeof(struct nsdk_nvme_cpl);

	memset(ring->cq, 0, cq_bytes);
	/*
	 * The zeroes of a fresh completion queue are dirty in the cache. Written back later they would
	 * overwrite completions, and until they are written back the device's view of the phase bits
	 * is whatever memory held before. From here on the CPU only reads these lines.
	 */
	nsdk_sync_for_device(ctrlr->coh, ring->cq, cq_bytes, NSDK_DMA_FROM_DEVICE);
}

/* The device must no longer use the queues. */
void nsdk_nvme_ring_destroy(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_ring *ring)
{
	nsdk_dma_free(ctrlr->pool, ring->cq);
	nsdk_dma_free(ctrlr->pool, ring->sq);
	memset(ring, 0, sizeof(*ring));
}
