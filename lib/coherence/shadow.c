/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of the lines of DMA memory. The words, and what they mean: shadow.h. */
#include "shadow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/env/thread.h"

#define MAP_PAGE_BYTES ((size_t)4096)

/* The words of one kind, in whole pages, so that they can be dropped on their own. */
static size_t words_bytes(size_t bytes)
{
	size_t words = (bytes >> NSDK_SHADOW_SHIFT) * sizeof(_Atomic uint64_t);

	return (words + MAP_PAGE_BYTES - 1) & ~(MAP_PAGE_BYTES - 1);
}

/* Both kinds, and a page for the flag. */
static size_t mapped_bytes(size_t bytes)
{
	return 2 * words_bytes(bytes) + MAP_PAGE_BYTES;
}

int nsdk_shadow_create(uintptr_t va, size_t bytes, struct nsdk_shadow *out)
{
	void *words;

	memset(out, 0, sizeof(*out));
	/* No memory is behind it before somebody writes a word, and it reads as zero until then. */
	words = mmap(NULL, mapped_bytes(bytes), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (words == MAP_FAILED)
		return -ENOMEM;
	/* A core file with the words of 64 GiB of addresses helps nobody. */
	(void)madvise(words, mapped_bytes(bytes), MADV_DONTDUMP);
	out->clean = words;
	out->stores = out->clean + words_bytes(bytes) / sizeof(out->clean[0]);
	out->mixed = (_Atomic bool *)(out->stores + words_bytes(bytes) / sizeof(out->clean[0]));
	out->va = va;
	out->bytes = bytes;
	return 0;
}

void nsdk_shadow_destroy(struct nsdk_shadow *shadow)
{
	if (shadow->bytes)
		munmap(shadow->clean, mapped_bytes(shadow->bytes));
	memset(shadow, 0, sizeof(*shadow));
}

/* The part of [*first, *end) that is inside. @return false: none. */
static bool clamp(const struct nsdk_shadow *shadow, uintptr_t *first, uintptr_t *end)
{
	uintptr_t last = shadow->va + shadow->bytes;

	if (*first < shadow->va)
		*first = shadow->va;
	if (*end > last)
		*end = last;
	return *first < *end;
}

static uintptr_t page_end(uintptr_t va, uintptr_t end)
{
	uintptr_t next = (va | (NSDK_SHADOW_PAGE_BYTES - 1)) + 1;

	return next < end ? next : end;
}

void nsdk_shadow_mark_clean(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	uintptr_t at, next;

	if (!clamp(shadow, &first, &end) || atomic_load(shadow->mixed))
		return;
	for (at = first; at < end; at = next) {
		next = page_end(at, end);
		atomic_fetch_or(&shadow->clean[nsdk_shadow_page(shadow, at)],
				nsdk_shadow_bits(at, next));
	}
	/*
	 * With nsdk_shadow_set_mixed() this is: each side stores, then looks at what the other stores.
	 * Sequentially consistent, so either we see the flag and take the marks back, or the marks were
	 * there before the flag and are wiped.
	 */
	if (atomic_load(shadow->mixed))
		nsdk_shadow_mark_dirty(shadow, first, end);
}

void nsdk_shadow_set_mixed(const struct nsdk_shadow *shadow, bool mixed)
{
	size_t words = words_bytes(shadow->bytes);

	if (shadow->bytes == 0 || atomic_exchange(shadow->mixed, mixed) == mixed || !mixed)
		return;
	/* The kernel puts zeroes there; where it does not, word by word, which takes longer. */
	if (madvise((void *)shadow->clean, words, MADV_DONTNEED) != 0)
		for (size_t i = 0; i < words / sizeof(shadow->clean[0]); i++)
			atomic_store(&shadow->clean[i], 0);
}

void nsdk_shadow_mark_dirty(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	if (!clamp(shadow, &first, &end))
		return;
	for (uintptr_t next; first < end; first = next) {
		_Atomic uint64_t *clean = &shadow->clean[nsdk_shadow_page(shadow, first)];

		next = page_end(first, end);
		/* Mostly there is nothing to take away: no write then, and no page for the words. */
		if (atomic_load_explicit(clean, memory_order_relaxed) &
		    nsdk_shadow_bits(first, next))
			atomic_fetch_and_explicit(clean, ~nsdk_shadow_bits(first, next),
						  memory_order_relaxed);
	}
}

void nsdk_shadow_own(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	uint64_t mine = (uint64_t)1 << nsdk_thread_cpu_class();

	if (!clamp(shadow, &first, &end))
		return;
	for (; first < end; first = page_end(first, end)) {
		_Atomic uint64_t *stores = &shadow->stores[nsdk_shadow_page(shadow, first)];

		/* Bits are never taken away, so one that is seen set stays so. */
		if (!(atomic_load_explicit(stores, memory_order_relaxed) & mine))
			atomic_fetch_or_explicit(stores, mine, memory_order_relaxed);
	}
}

uint64_t nsdk_shadow_stores(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	const uint64_t any = (uint64_t)1 << NSDK_CPU_CLASS_ANY;
	uint64_t sum = 0, stores;

	if (first >= end)
		return 0;
	if (first < shadow->va || end > shadow->va + shadow->bytes)
		return any;
	for (; first < end; first = page_end(first, end)) {
		stores = atomic_load_explicit(&shadow->stores[nsdk_shadow_page(shadow, first)],
					      memory_order_relaxed);
		sum |= stores ? stores : any;
	}
	return sum;
}

void nsdk_shadow_forget(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	if (!clamp(shadow, &first, &end))
		return;
	for (; first < end; first = page_end(first, end)) {
		size_t page = nsdk_shadow_page(shadow, first);

		/* Whole pages only, and nobody else has them now. Words that are zero are not written. */
		if (atomic_load_explicit(&shadow->clean[page], memory_order_relaxed))
			atomic_store_explicit(&shadow->clean[page], 0, memory_order_relaxed);
		if (atomic_load_explicit(&shadow->stores[page], memory_order_relaxed))
			atomic_store_explicit(&shadow->stores[page], 0, memory_order_relaxed);
	}
}

uintptr_t nsdk_shadow_next_run(const struct nsdk_shadow *shadow, uintptr_t *first, uintptr_t end)
{
	uintptr_t at = *first, next;
	bool in_run = false;

	for (; at < end; at = next) {
		uint64_t bits, dirty;

		/* Outside nothing is known: one run to the shadow's beginning, or to the end. */
		if (at - shadow->va >= shadow->bytes) {
			next = shadow->bytes && at < shadow->va && shadow->va < end ? shadow->va : end;
			if (!in_run)
				*first = at;
			in_run = true;
			continue;
		}
		next = page_end(at, end);
		bits = nsdk_shadow_bits(at, next);
		dirty = bits & ~atomic_load_explicit(&shadow->clean[nsdk_shadow_page(shadow, at)],
						     memory_order_relaxed);
		if (dirty == bits) {
			if (!in_run)
				*first = at;
			in_run = true;
			continue;
		}
		dirty >>= at / NSDK_LINE_BYTES % 64;
		if (!in_run) {
			if (dirty == 0)
				continue;
			at += (uintptr_t)__builtin_ctzll(dirty) * NSDK_LINE_BYTES;
			*first = at;
			dirty >>= __builtin_ctzll(dirty);
			in_run = true;
		}
		/* The run ends at the first line that is clean; beyond the page's end it goes on. */
		if (~dirty) {
			uintptr_t clean = at + (uintptr_t)__builtin_ctzll(~dirty) * NSDK_LINE_BYTES;

			if (clean < next)
				return clean;
		}
	}
	return in_run ? end : 0;
}
