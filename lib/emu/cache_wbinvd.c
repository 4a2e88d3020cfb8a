/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WBINVD in the model: the one operation that does not reach all CPUs.
 *
 * A line that is dirty sits in the cache of the CPU that stored to it, and only that CPU's WBINVD
 * writes it back. The model cannot see stores, so a test says on which CPU it makes them; a dirty line
 * of which nobody said so is in no cache that a WBINVD reaches. So an engine that asks the wrong CPUs,
 * or believes an execution that did not take place, leaves lines dirty, and the device reads stale
 * bytes.
 */
#include <stdlib.h>

#include "cache_internal.h"

static void note(uintptr_t page_va, uint64_t lines, unsigned cpu)
{
	struct emu_cache_page *page = emu_cache_page_lock(page_va, true);

	if (page && !page->stored_by)
		page->stored_by = calloc(EMU_CACHE_PAGE_LINES, sizeof(page->stored_by[0]));
	for (; page && page->stored_by && lines != 0; lines &= lines - 1)
		page->stored_by[__builtin_ctzll(lines)] = (uint16_t)(cpu + 1);
	emu_cache_page_unlock(page_va);
}

void nsdk_cache_model_stored(const void *va, size_t bytes, unsigned cpu)
{
	uintptr_t at = (uintptr_t)va & ~(uintptr_t)(NSDK_LINE_BYTES - 1);

	if (!emu_cache_enter())
		return;
	for (; at < (uintptr_t)va + bytes; at += NSDK_LINE_BYTES)
		note(at & ~(uintptr_t)(EMU_CACHE_PAGE_BYTES - 1),
		     (uint64_t)1 << (at % EMU_CACHE_PAGE_BYTES / NSDK_LINE_BYTES), cpu);
	emu_cache_leave();
}

/* The page's shard is locked. */
static void write_back_page(struct emu_cache_page *page, void *arg)
{
	unsigned cpu = *(const unsigned *)arg;
	struct emu_cache_actor actor = { .owner = "the CPU", .operation = "WBINVD" };

	if (!page->stored_by || !emu_cache_page_image(page))
		return;
	for (unsigned line = 0; line < EMU_CACHE_PAGE_LINES; line++) {
		if (page->stored_by[line] != cpu + 1)
			continue;
		emu_cache_line_writeback(page, line, &actor);
		page->stored_by[line] = 0;
	}
}

void nsdk_cache_model_wbinvd(unsigned cpu)
{
	if (!emu_cache_enter())
		return;
	emu_cache_for_each_page(write_back_page, &cpu);
	emu_cache_leave();
}
