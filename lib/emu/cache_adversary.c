/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The adversary: everything that a cache may do and need not, done at the worst moment, but the same
 * way every time for the same seed (and the same order of calls, so in one thread).
 *
 * It evicts lines among those that devices and line operations touched lately: a dirty one goes to
 * memory, a clean one is simply no longer held. It lets line operations take effect before their
 * fence, or not. It decides whether the CPU had prefetched a line that a device writes.
 */
#include "cache_internal.h"

#define NOTED 1024u /* a power of two */
#define PICKS 2u

static _Atomic uint64_t seed_used; /* changes only while nobody is inside the model */
static _Atomic uint64_t state;
static _Atomic uintptr_t noted[NOTED];
static _Atomic unsigned noted_next;

/* splitmix64: any counter makes a good sequence, so threads need share nothing but the counter. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t draw(void)
{
	return mix(atomic_fetch_add_explicit(&state, 0x9e3779b97f4a7c15ull, memory_order_relaxed));
}

void emu_cache_adversary_start(uint64_t seed)
{
	atomic_store_explicit(&seed_used, seed, memory_order_relaxed);
	atomic_store_explicit(&state, mix(seed), memory_order_relaxed);
	for (unsigned i = 0; i < NOTED; i++)
		atomic_store_explicit(&noted[i], 0, memory_order_relaxed);
	atomic_store_explicit(&noted_next, 0, memory_order_relaxed);
}

uint64_t emu_cache_adversary_seed(void)
{
	return atomic_load_explicit(&seed_used, memory_order_relaxed);
}

bool emu_cache_adversary_says(unsigned one_in)
{
	return draw() % one_in == 0;
}

void emu_cache_adversary_notes(uintptr_t line_va)
{
	unsigned at = atomic_fetch_add_explicit(&noted_next, 1, memory_order_relaxed);

	atomic_store_explicit(&noted[at % NOTED], line_va, memory_order_relaxed);
}

static void pick(uintptr_t va)
{
	struct emu_cache_actor actor = { .owner = "the cache", .operation = "eviction" };
	struct emu_cache_page *page = emu_cache_page_lock(va, false);
	unsigned line = va % EMU_CACHE_PAGE_BYTES / NSDK_LINE_BYTES;

	/* Memory that is not mapped any more may not exist any more. */
	if (!page || page->maps == 0 || !page->image)
		goto unlock;
	if (emu_cache_line_is_dirty(page, line)) {
		emu_cache_line_writeback(page, line, &actor);
		emu_cache_count(EMU_CACHE_EVICTIONS, 1);
	} else if (page->image->lines[line].device) {
		if (emu_cache_adversary_says(4)) {
			emu_cache_line_refresh(page, line);
			emu_cache_count(EMU_CACHE_EVICTIONS, 1);
		} else {
			/* The stale line is fetched from another cache, and stays. */
			emu_cache_count(EMU_CACHE_PREFETCHES, 1);
		}
	}
unlock:
	emu_cache_page_unlock(va);
}

void emu_cache_adversary_turn(void)
{
	for (unsigned i = 0; i < PICKS; i++) {
		uint64_t random = draw();
		uintptr_t va = atomic_load_explicit(&noted[random % NOTED], memory_order_relaxed);

		if (va != 0 && random >> 62 == 0)
			pick(va);
	}
}

void emu_cache_adversary_garbage(uintptr_t va, uint8_t *out, size_t bytes)
{
	uint64_t start = mix(emu_cache_adversary_seed());

	for (size_t i = 0; i < bytes; i += 8) {
		/* Never zero, so that it differs from a page that the kernel has just zeroed. */
		uint64_t word = mix(start + va + i) | 0x0101010101010101ull;

		__builtin_memcpy(out + i, &word, 8);
	}
}
