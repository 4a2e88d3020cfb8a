/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The volatile write cache of the NVMe model: blocks that were written and are not in the file yet.
 *
 * It lies over the file as a second image, memory that takes no room where nothing is cached, with one
 * bit a block for what is newer than the file. Blocks go to the file when they are flushed, and now
 * and then by themselves, in no particular order, as a disk does it; a power cut takes the others
 * away. A block is written whole or not at all (AWUPF is one block).
 *
 * Threading: a range is changed under the lock of its extent, and no two extents share a byte of the
 * bits (nvme_store.c). Which extents have anything is known in words that several share, so these are
 * atomic.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nvme_internal.h"

/* A write makes room in its extent once in so many times, by writing back one half of what is there. */
#define EVICT_ONCE_IN 8u
#define EVICT_CHANCE (EMU_NVME_WCACHE_ALL / 2)

struct emu_nvme_wcache {
	uint8_t *data;  /* as long as the store */
	uint8_t *dirty; /* one bit a block */
	size_t dirty_bytes;
	_Atomic uint64_t *extents; /* one bit an extent that may have dirty blocks */
	uint64_t extent_count;
	uint64_t bytes;
	unsigned lba_shift;
	_Atomic uint64_t draws; /* of random numbers */
};

int emu_nvme_wcache_create(const struct emu_nvme_store *store, uint64_t seed,
			   struct emu_nvme_wcache **out)
{
	struct emu_nvme_wcache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->bytes = store->bytes;
	cache->lba_shift = store->lba_shift;
	cache->extent_count = (store->bytes + EMU_NVME_EXTENT_BYTES - 1) / EMU_NVME_EXTENT_BYTES;
	cache->dirty_bytes = (size_t)(store->bytes >> store->lba_shift) / 8 + 1;
	cache->data = emu_nvme_map_sparse(cache->bytes);
	cache->dirty = emu_nvme_map_sparse(cache->dirty_bytes);
	cache->extents = calloc(cache->extent_count / 64 + 1, sizeof(*cache->extents));
	atomic_init(&cache->draws, seed * UINT64_C(0x9e3779b97f4a7c15));
	if (!cache->data || !cache->dirty || !cache->extents) {
		emu_nvme_wcache_destroy(cache);
		return -ENOMEM;
	}
	*out = cache;
	return 0;
}

void emu_nvme_wcache_destroy(struct emu_nvme_wcache *cache)
{
	if (!cache)
		return;
	if (cache->data)
		munmap(cache->data, cache->bytes);
	if (cache->dirty)
		munmap(cache->dirty, cache->dirty_bytes);
	free(cache->extents);
	free(cache);
}

/* splitmix64, of a counter that any thread moves on. */
static uint32_t draw(struct emu_nvme_wcache *cache)
{
	uint64_t x = atomic_fetch_add_explicit(&cache->draws, UINT64_C(0x9e3779b97f4a7c15),
					       memory_order_relaxed);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((x ^ x >> 31) >> 32);
}

static bool is_dirty(const struct emu_nvme_wcache *cache, uint64_t block)
{
	return cache->dirty[block / 8] >> block % 8 & 1;
}

static void set_dirty(struct emu_nvme_wcache *cache, uint64_t block, bool dirty)
{
	uint8_t bit = (uint8_t)(1u << block % 8);

	cache->dirty[block / 8] = (uint8_t)(dirty ? cache->dirty[block / 8] | bit :
						    cache->dirty[block / 8] & ~bit);
}

/* The extent's bit and its memory go when the last of its blocks has gone. */
static void release_extent(struct emu_nvme_wcache *cache, uint64_t offset)
{
	uint64_t extent = offset / EMU_NVME_EXTENT_BYTES, begin = extent * EMU_NVME_EXTENT_BYTES;
	uint64_t left = cache->bytes - begin;
	uint64_t bytes = left < EMU_NVME_EXTENT_BYTES ? left : EMU_NVME_EXTENT_BYTES;

	for (uint64_t block = begin >> cache->lba_shift; block < (begin + bytes) >> cache->lba_shift; block++)
		if (is_dirty(cache, block))
			return;
	atomic_fetch_and(&cache->extents[extent / 64], ~(UINT64_C(1) << extent % 64));
	madvise(cache->data + begin, bytes, MADV_DONTNEED);
}

bool emu_nvme_wcache_next(struct emu_nvme_wcache *cache, uint64_t *offset)
{
	uint64_t extent = *offset / EMU_NVME_EXTENT_BYTES;

	while (extent < cache->extent_count) {
		uint64_t word = atomic_load(&cache->extents[extent / 64]) >> extent % 64;

		if (word) {
			extent += (unsigned)__builtin_ctzll(word);
			*offset = extent * EMU_NVME_EXTENT_BYTES;
			return extent < cache->extent_count;
		}
		extent = (extent / 64 + 1) * 64;
	}
	return false;
}

void emu_nvme_wcache_overlay(const struct emu_nvme_wcache *cache, uint8_t *to, uint64_t offset,
			     size_t bytes)
{
	size_t block_bytes = (size_t)1 << cache->lba_shift;

	for (size_t at = 0; at < bytes; at += block_bytes)
		if (is_dirty(cache, (offset + at) >> cache->lba_shift))
			memcpy(to + at, cache->data + offset + at, block_bytes);
}

uint16_t emu_nvme_wcache_put(struct emu_nvme_store *store, const uint8_t *from, uint64_t offset,
			     size_t bytes)
{
	struct emu_nvme_wcache *cache = store->cache;
	uint64_t extent = offset / EMU_NVME_EXTENT_BYTES, begin = extent * EMU_NVME_EXTENT_BYTES;
	uint64_t left = cache->bytes - begin;

	if (from)
		memcpy(cache->data + offset, from, bytes);
	else
		memset(cache->data + offset, 0, bytes);
	for (uint64_t at = offset; at < offset + bytes; at += (uint64_t)1 << cache->lba_shift)
		set_dirty(cache, at >> cache->lba_shift, true);
	atomic_fetch_or(&cache->extents[extent / 64], UINT64_C(1) << extent % 64);
	if (draw(cache) % EVICT_ONCE_IN)
		return 0;
	return emu_nvme_wcache_write_back(store, begin,
					  left < EMU_NVME_EXTENT_BYTES ? (size_t)left :
									 EMU_NVME_EXTENT_BYTES,
					  EVICT_CHANCE);
}

uint16_t emu_nvme_wcache_write_back(struct emu_nvme_store *store, uint64_t offset, size_t bytes,
				    unsigned chance)
{
	struct emu_nvme_wcache *cache = store->cache;
	uint64_t block = offset >> cache->lba_shift, end = (offset + bytes) >> cache->lba_shift;
	size_t block_bytes = (size_t)1 << cache->lba_shift;
	uint16_t status;

	for (; block < end; block++) {
		if (!is_dirty(cache, block) || draw(cache) % EMU_NVME_WCACHE_ALL >= chance)
			continue;
		status = emu_nvme_store_to_file(store, cache->data + (block << cache->lba_shift), block_bytes,
						block << cache->lba_shift);
		/* It stays in the cache, to be tried again by the next flush. */
		if (status)
			return status;
		set_dirty(cache, block, false);
	}
	release_extent(cache, offset);
	return 0;
}

void emu_nvme_wcache_drop(struct emu_nvme_wcache *cache, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes, part;

	for (; offset < end; offset += part) {
		part = EMU_NVME_EXTENT_BYTES - offset % EMU_NVME_EXTENT_BYTES;
		if (part > end - offset)
			part = end - offset;
		for (uint64_t at = offset; at < offset + part; at += (uint64_t)1 << cache->lba_shift)
			set_dirty(cache, at >> cache->lba_shift, false);
		release_extent(cache, offset);
	}
}
