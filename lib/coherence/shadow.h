/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/coherence and lib/mem: what is known of the lines of DMA memory, page by page.
 *
 * Two words for each 4 KiB page of a domain's window:
 *
 * clean   a bit for each line. Set: no cache holds the line dirty, because NSDK itself put there what
 *         is in it, past the caches (nsdk_dma_copy_in), or dropped it from them (nsdk_dma_copy_out).
 *         A line with its bit set is not flushed before it goes to a device. Zero, which is where every
 *         page begins, means nothing is known, and flushed it is.
 *
 *         Only while all devices of the domain bypass the caches, and all in front of the same ones,
 *         the CPU's or a model's: snooped DMA may leave its data dirty in a cache, and a model's
 *         stores past the caches are ordinary ones to the CPU. While the domain is mixed, nothing is
 *         marked.
 *
 * stores  a bit for each CPU class (lib/env/thread.h) that may have stored to the page, so that some
 *         CPU of it may hold lines of the page dirty. Bits are set before the first store and stay for
 *         as long as the page is mapped: a class whose threads still run may store again at any
 *         moment, so there is no time at which taking its bit away would be right without asking
 *         them. Too many bits cost a WBINVD that was not needed; one too few, data. No bit at all
 *         means that nobody said anything, which counts as any CPU.
 *
 * The words are in address space of their own, without memory until they are written: a program
 * whose devices are all coherent pays for its own buffers' words and no more.
 *
 * Threading: any thread; lines of one page may belong to several owners, so the words change by
 * atomic operations. Relaxed ones: whoever hands a buffer from thread to thread orders its data, and
 * with it these words.
 */
#ifndef NSDK_COHERENCE_SHADOW_H
#define NSDK_COHERENCE_SHADOW_H

#include <stdatomic.h>

#include <nsdk/types.h>

#define NSDK_SHADOW_SHIFT 12
#define NSDK_SHADOW_PAGE_BYTES ((uintptr_t)1 << NSDK_SHADOW_SHIFT)
_Static_assert(NSDK_SHADOW_PAGE_BYTES / NSDK_LINE_BYTES == 64, "a line of a page is a bit of a word");

struct nsdk_shadow {
	uintptr_t va; /* page aligned */
	size_t bytes; /* 0: there is none; every address is outside of it */
	_Atomic uint64_t *clean; /* a word for each page */
	_Atomic uint64_t *stores;
	_Atomic bool *mixed; /* NULL: never; see nsdk_shadow_set_mixed() */
};

/* @return 0; -ENOMEM, nothing logged: *out is empty then, which is right for every use. */
int nsdk_shadow_create(uintptr_t va, size_t bytes, struct nsdk_shadow *out);
void nsdk_shadow_destroy(struct nsdk_shadow *shadow);

/*
 * Whether devices of other kinds share the memory from now on. Turning it on wipes every mark, and no
 * mark that is being set meanwhile survives. One caller at a time; the flag is the shadow's own.
 */
void nsdk_shadow_set_mixed(const struct nsdk_shadow *shadow, bool mixed);

/* All below take whole lines, from … to, and leave alone what is outside of the shadow. */

/* NSDK has made these lines clean: no cache holds one dirty. Nothing while the domain is mixed. */
void nsdk_shadow_mark_clean(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end);
/* Ordinary stores may follow, or have: nothing is known of these lines any more. */
void nsdk_shadow_mark_dirty(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end);
/* The calling thread may store to these lines from now on. */
void nsdk_shadow_own(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end);
/* All classes that may have stored there; NSDK_CPU_CLASS_ANY among them when somebody unknown may. */
uint64_t nsdk_shadow_stores(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end);
/* New pages stand here now: nothing is known of them. */
void nsdk_shadow_forget(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end);

/* The lines of one page in [first, end), as bits. They all are in that page; first < end. */
static inline uint64_t nsdk_shadow_bits(uintptr_t first, uintptr_t end)
{
	return UINT64_MAX >> (64 - (end - first) / NSDK_LINE_BYTES)
	       << (first / NSDK_LINE_BYTES % 64);
}

/* The number of an address's page; the address is inside of the shadow. */
static inline size_t nsdk_shadow_page(const struct nsdk_shadow *shadow, uintptr_t va)
{
	return (va - shadow->va) >> NSDK_SHADOW_SHIFT;
}

/* Whether a line is known to be clean. */
static inline bool nsdk_shadow_is_clean(const struct nsdk_shadow *shadow, uintptr_t va)
{
	if (va - shadow->va >= shadow->bytes)
		return false;
	return atomic_load_explicit(&shadow->clean[nsdk_shadow_page(shadow, va)],
				    memory_order_relaxed) &
	       nsdk_shadow_bits(va, va + NSDK_LINE_BYTES);
}

/* Whether none of these lines, which are all in one page, is known to be clean. */
static inline bool nsdk_shadow_none_clean(const struct nsdk_shadow *shadow, uintptr_t first, uintptr_t end)
{
	if (first - shadow->va >= shadow->bytes)
		return true;
	return !(atomic_load_explicit(&shadow->clean[nsdk_shadow_page(shadow, first)],
				      memory_order_relaxed) &
		 nsdk_shadow_bits(first, end));
}

/*
 * The next run of lines in [*first, end) that are not known to be clean: from *first on, which is
 * moved there, up to the end returned. @return 0: there is none.
 */
uintptr_t nsdk_shadow_next_run(const struct nsdk_shadow *shadow, uintptr_t *first, uintptr_t end);

#endif
