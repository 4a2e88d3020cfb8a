/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <string.h>

#include "lib/emu/cache_internal.h"

static const uintptr_t addresses[] = {
	0x1000, 0x2000, 0x1000000, 0x1001000, 0x7ffff7ff0000, 0x7ffff7ff1000, 0x555555554000,
	0x8000000000000, 0xffffffffff000,
};
#define ADDRESSES (sizeof(addresses) / sizeof(addresses[0]))

static struct emu_cache_page *look(uintptr_t va, bool create)
{
	struct emu_cache_page *page = emu_cache_page_lock(va, create);

	emu_cache_page_unlock(va);
	return page;
}

static void after(void)
{
	emu_cache_table_clear();
}

static void finds_each_page_by_any_of_its_addresses(void)
{
	struct emu_cache_page *pages[ADDRESSES];

	for (unsigned i = 0; i < ADDRESSES; i++) {
		CU_ASSERT_PTR_NULL(look(addresses[i], false));
		pages[i] = look(addresses[i] + 77, true);
		CU_ASSERT_PTR_NOT_NULL_FATAL(pages[i]);
		NSDK_ASSERT_INT(pages[i]->va, addresses[i]);
	}
	for (unsigned i = 0; i < ADDRESSES; i++) {
		CU_ASSERT_PTR_EQUAL(look(addresses[i], false), pages[i]);
		CU_ASSERT_PTR_EQUAL(look(addresses[i] + 4095, true), pages[i]);
	}
	CU_ASSERT_PTR_NULL(look(addresses[0] - 1, false));
}

static void a_dropped_page_is_forgotten_alone(void)
{
	struct emu_cache_page *page;

	look(addresses[0], true);
	look(addresses[1], true);
	page = emu_cache_page_lock(addresses[0], false);
	CU_ASSERT_PTR_NOT_NULL_FATAL(page);
	CU_ASSERT_PTR_NOT_NULL(emu_cache_page_image(page));
	emu_cache_page_drop(page);
	emu_cache_page_unlock(addresses[0]);
	CU_ASSERT_PTR_NULL(look(addresses[0], false));
	CU_ASSERT_PTR_NOT_NULL(look(addresses[1], false));
	emu_cache_table_clear();
	CU_ASSERT_PTR_NULL(look(addresses[1], false));
}

/* Five-level page tables go further, for those who ask. */
static void an_address_beyond_52_bits_is_not_kept(void)
{
	CU_ASSERT_PTR_NULL(look((uintptr_t)1 << 52, true));
	CU_ASSERT_PTR_NULL(look(UINTPTR_MAX, true));
}

static void an_image_is_garbage_or_zeroes(void)
{
	static const uint8_t zeroes[EMU_CACHE_PAGE_BYTES];
	struct emu_cache_page *fresh = look(addresses[0], true), *zero = look(addresses[1], true);

	CU_ASSERT_PTR_NOT_NULL_FATAL(fresh);
	CU_ASSERT_PTR_NOT_NULL_FATAL(zero);
	CU_ASSERT_PTR_NOT_NULL_FATAL(emu_cache_page_image(fresh));
	CU_ASSERT(fresh->image->fresh == UINT64_MAX);
	NSDK_ASSERT_INT(memcmp(fresh->image->dram, fresh->image->agreed, sizeof(zeroes)), 0);
	for (unsigned line = 0; line < EMU_CACHE_PAGE_LINES; line++)
		CU_ASSERT(memcmp(fresh->image->dram + line * 64, zeroes, 64) != 0);
	CU_ASSERT_PTR_EQUAL(emu_cache_page_image(fresh), fresh->image);
	zero->zero = true;
	CU_ASSERT_PTR_NOT_NULL_FATAL(emu_cache_page_image(zero));
	CU_ASSERT(zero->image->fresh == 0);
	NSDK_ASSERT_INT(memcmp(zero->image->dram, zeroes, sizeof(zeroes)), 0);
	NSDK_ASSERT_INT(memcmp(zero->image->agreed, zeroes, sizeof(zeroes)), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(finds_each_page_by_any_of_its_addresses),
	NSDK_UNIT_TEST(a_dropped_page_is_forgotten_alone),
	NSDK_UNIT_TEST(an_address_beyond_52_bits_is_not_kept),
	NSDK_UNIT_TEST(an_image_is_garbage_or_zeroes),
};

NSDK_UNIT_MAIN("lib/emu/cache_table", tests, .after = after)
