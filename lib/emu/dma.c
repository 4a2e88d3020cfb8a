/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA of a device model: IOVA to memory through the soft address space, as an IOMMU would, then
 * through the cache model where there is one.
 *
 * Ordering, as PCI Express gives it: writes become visible in the order they were made, and inside
 * one in ascending order, at least for its aligned 8-byte units. So a driver that loads a completion
 * entry's last word with acquire order sees the whole entry, and all data written before it. A model
 * that reads a doorbell with acquire order sees what the driver stored before ringing it. With the
 * cache model between, "visible" means what the CPU sees through its caches, or does not.
 */
#include <errno.h>

#include "cache_internal.h"
#include "lib/iommu/iommu_internal.h"

static bool nosnoop_tlp(struct nsdk_emu_dma *dma, bool nosnoop)
{
	/* A function that may not use No Snoop does not, whatever its firmware had in mind. */
	return nosnoop && atomic_load_explicit(&dma->nosnoop_enabled, memory_order_relaxed);
}

/* How many of the bytes from here are in the device itself; *n: that, or how many before it are not. */
static uint8_t *own_at(const struct nsdk_emu_dma *dma, uint64_t iova, size_t *n)
{
	const struct nsdk_emu_own *own = &dma->own;

	if (iova - own->iova < own->bytes) {
		if (*n > own->bytes - (iova - own->iova))
			*n = (size_t)(own->bytes - (iova - own->iova));
		return own->va + (iova - own->iova);
	}
	if (own->bytes && iova < own->iova && *n > own->iova - iova)
		*n = (size_t)(own->iova - iova);
	return NULL;
}

int nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes, bool nosnoop,
		      const char *owner)
{
	bool snoop = !nosnoop_tlp(dma, nosnoop);
	uint8_t *out = to;
	size_t n;
	void *va;
	int err;

	if (!atomic_load_explicit(&dma->bus_master, memory_order_relaxed))
		return -EPERM;
	for (; bytes > 0; bytes -= n, iova += n, out += n) {
		n = bytes;
		va = own_at(dma, iova, &n);
		if (va) {
			emu_cache_live_read(out, va, n);
			continue;
		}
		err = nsdk_ioas_soft_lookup(dma->ioas, iova, n, NSDK_IOAS_READ, &va, &n);
		if (err)
			return err;
		if (dma->cache)
			nsdk_cache_model_read(dma->cache, va, out, n, snoop, owner);
		else
			emu_cache_live_read(out, va, n);
	}
	return 0;
}

int nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from, size_t bytes,
		       bool nosnoop, const char *owner)
{
	bool snoop = !nosnoop_tlp(dma, nosnoop);
	const uint8_t *in = from;
	size_t n;
	void *va;
	int err;

	if (!atomic_load_explicit(&dma->bus_master, memory_order_relaxed))
		return -EPERM;
	for (; bytes > 0; bytes -= n, iova += n, in += n) {
		n = bytes;
		va = own_at(dma, iova, &n);
		if (va) {
			emu_cache_live_write(va, in, n);
			continue;
		}
		err = nsdk_ioas_soft_lookup(dma->ioas, iova, n, NSDK_IOAS_WRITE, &va, &n);
		if (err)
			return err;
		if (dma->cache)
			nsdk_cache_model_write(dma->cache, va, in, n, snoop, owner);
		else
			emu_cache_live_write(va, in, n);
	}
	return 0;
}

void nsdk_emu_dma_consumed(struct nsdk_emu_dma *dma, uint64_t iova, size_t bytes, const char *owner)
{
	size_t n;
	void *va;

	if (!dma->cache)
		return;
	for (; bytes > 0; bytes -= n, iova += n) {
		/* Unmapped since: nobody will look at it through this mapping any more. */
		if (nsdk_ioas_soft_lookup(dma->ioas, iova, bytes, NSDK_IOAS_WRITE, &va, &n) != 0)
			return;
		nsdk_cache_model_consumed(dma->cache, va, n, owner);
	}
}
