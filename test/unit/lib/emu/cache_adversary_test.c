/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <string.h>

#include "lib/emu/cache_internal.h"

static uint8_t memory[8 * EMU_CACHE_PAGE_BYTES] __attribute__((aligned(4096)));

static void before(void)
{
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	memset(memory, 0, sizeof(memory));
}

static void after(void)
{
	emu_cache_table_clear();
	nsdk_unit_log_stop();
}

static void says_yes_as_often_as_asked(void)
{
	static const unsigned one_in[] = { 2, 4, 8, 10 };

	emu_cache_adversary_start(42);
	for (unsigned i = 0; i < 4; i++) {
		unsigned yes = 0;

		for (unsigned n = 0; n < 20000; n++)
			yes += emu_cache_adversary_says(one_in[i]);
		CU_ASSERT(yes > 20000 / one_in[i] * 9 / 10 && yes < 20000 / one_in[i] * 11 / 10);
	}
	CU_ASSERT(emu_cache_adversary_says(1));
}

static void says_the_same_for_the_same_seed(void)
{
	uint64_t first = 0, again = 0, other = 0;

	emu_cache_adversary_start(42);
	for (unsigned i = 0; i < 64; i++)
		first |= (uint64_t)emu_cache_adversary_says(2) << i;
	emu_cache_adversary_start(42);
	for (unsigned i = 0; i < 64; i++)
		again |= (uint64_t)emu_cache_adversary_says(2) << i;
	emu_cache_adversary_start(43);
	for (unsigned i = 0; i < 64; i++)
		other |= (uint64_t)emu_cache_adversary_says(2) << i;
	CU_ASSERT(first == again);
	CU_ASSERT(first != other);
	NSDK_ASSERT_INT(emu_cache_adversary_seed(), 43);
}

static void garbage_has_no_zero_word_and_depends_on_the_place(void)
{
	uint64_t here[8], there[8], again[8];

	emu_cache_adversary_start(1);
	emu_cache_adversary_garbage(0x1000, (uint8_t *)here, 64);
	emu_cache_adversary_garbage(0x2000, (uint8_t *)there, 64);
	emu_cache_adversary_garbage(0x1000, (uint8_t *)again, 64);
	for (unsigned i = 0; i < 8; i++)
		CU_ASSERT(here[i] != 0 && here[i] != there[i]);
	NSDK_ASSERT_INT(memcmp(here, again, 64), 0);
	emu_cache_adversary_start(2);
	emu_cache_adversary_garbage(0x1000, (uint8_t *)again, 64);
	CU_ASSERT(memcmp(here, again, 64) != 0);
}

/* A dirty line that was noted goes to memory sooner or later, unless it is not mapped. */
static void evicts_what_was_noted(void)
{
	struct nsdk_cache_model_stats stats;
	struct emu_cache_page *page;

	for (unsigned mapped = 0; mapped < 2; mapped++) {
		uintptr_t va = (uintptr_t)memory + mapped * EMU_CACHE_PAGE_BYTES;

		emu_cache_adversary_start(7);
		page = emu_cache_page_lock(va, true);
		CU_ASSERT_PTR_NOT_NULL_FATAL(page);
		page->zero = true;
		page->maps = mapped;
		CU_ASSERT_PTR_NOT_NULL_FATAL(emu_cache_page_image(page));
		emu_cache_page_unlock(va);
		*(uint8_t *)(va + 640) = 9;
		for (unsigned i = 0; i < 100; i++)
			emu_cache_adversary_notes(va + 640);
		for (unsigned i = 0; i < 1000; i++)
			emu_cache_adversary_turn();
		NSDK_ASSERT_INT(page->image->dram[640], mapped ? 9 : 0);
		nsdk_cache_model_stats(&stats);
		/* Once: it is clean then. */
		NSDK_ASSERT_INT(stats.evictions, mapped);
		NSDK_ASSERT_INT(stats.violations_total, 0);
	}
}

static void loses_stale_lines_only_sometimes(void)
{
	struct emu_cache_actor actor = { .owner = "device", .operation = "DMA write" };
	uintptr_t va = (uintptr_t)memory;
	struct nsdk_cache_model_stats stats;
	struct emu_cache_page *page;
	static const uint8_t data[64] = { 1, 2, 3 };

	emu_cache_adversary_start(7);
	page = emu_cache_page_lock(va, true);
	CU_ASSERT_PTR_NOT_NULL_FATAL(page);
	page->zero = true;
	page->maps = 1;
	CU_ASSERT_PTR_NOT_NULL_FATAL(emu_cache_page_image(page));
	while (!page->image->lines[0].device)
		emu_cache_line_write(page, 0, 0, 64, data, &actor);
	emu_cache_page_unlock(va);
	for (unsigned i = 0; i < 1024; i++)
		emu_cache_adversary_notes(va);
	nsdk_cache_model_reset();
	for (unsigned i = 0; i < 1000; i++)
		emu_cache_adversary_turn();
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.evictions, 1);
	NSDK_ASSERT_INT(memcmp(memory, data, 64), 0);
	NSDK_ASSERT_INT(stats.violations_total, 0);
}

static void with_nothing_noted_it_does_nothing(void)
{
	struct nsdk_cache_model_stats stats;

	emu_cache_adversary_start(7);
	for (unsigned i = 0; i < 1000; i++)
		emu_cache_adversary_turn();
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.evictions + stats.prefetches, 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(says_yes_as_often_as_asked),
	NSDK_UNIT_TEST(says_the_same_for_the_same_seed),
	NSDK_UNIT_TEST(garbage_has_no_zero_word_and_depends_on_the_place),
	NSDK_UNIT_TEST(evicts_what_was_noted),
	NSDK_UNIT_TEST(loses_stale_lines_only_sometimes),
	NSDK_UNIT_TEST(with_nothing_noted_it_does_nothing),
};

NSDK_UNIT_MAIN("lib/emu/cache_adversary", tests, .before = before, .after = after)
