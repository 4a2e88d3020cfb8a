/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <string.h>

#include "lib/emu/cache_internal.h"

static unsigned char host[512] __attribute__((aligned(64)));
static unsigned char other[512], expected[512];

static void pattern(unsigned char *to, size_t bytes, unsigned salt)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (unsigned char)(i * 7 + salt + (i >> 3));
}

/* Every alignment and length, and not a byte more. */
static void copies_exactly_what_was_asked(void)
{
	bool reads = true, writes = true;

	for (unsigned offset = 0; offset < 17; offset++) {
		for (unsigned bytes = 0; bytes < 140; bytes++) {
			pattern(host, sizeof(host), 1);
			pattern(other, sizeof(other), 2);
			memcpy(expected, other, sizeof(expected));
			memcpy(expected + 3, host + offset, bytes);
			emu_cache_live_read(other + 3, host + offset, bytes);
			reads = reads && memcmp(other, expected, sizeof(other)) == 0;

			pattern(other, sizeof(other), 2);
			memcpy(expected, host, sizeof(expected));
			memcpy(expected + offset, other + 5, bytes);
			emu_cache_live_write(host + offset, other + 5, bytes);
			writes = writes && memcmp(host, expected, sizeof(host)) == 0;
		}
	}
	CU_ASSERT(reads);
	CU_ASSERT(writes);
}

static void reads_one_line(void)
{
	uint64_t line[8];

	pattern(host, sizeof(host), 3);
	emu_cache_live_line((uintptr_t)host + 64, line);
	NSDK_ASSERT_INT(memcmp(line, host + 64, 64), 0);
}

static void replaces_only_what_is_still_there(void)
{
	uint64_t word = 5;

	CU_ASSERT_FALSE(emu_cache_live_replace((uintptr_t)&word, 4, 6));
	NSDK_ASSERT_INT(word, 5);
	CU_ASSERT(emu_cache_live_replace((uintptr_t)&word, 5, 6));
	NSDK_ASSERT_INT(word, 6);
}

static void a_page_of_zeroes_is_known(void)
{
	static unsigned char page[EMU_CACHE_PAGE_BYTES] __attribute__((aligned(8)));

	CU_ASSERT(emu_cache_live_is_zero((uintptr_t)page));
	page[EMU_CACHE_PAGE_BYTES - 1] = 1;
	CU_ASSERT_FALSE(emu_cache_live_is_zero((uintptr_t)page));
	page[EMU_CACHE_PAGE_BYTES - 1] = 0;
	page[0] = 1;
	CU_ASSERT_FALSE(emu_cache_live_is_zero((uintptr_t)page));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(copies_exactly_what_was_asked),
	NSDK_UNIT_TEST(reads_one_line),
	NSDK_UNIT_TEST(replaces_only_what_is_still_there),
	NSDK_UNIT_TEST(a_page_of_zeroes_is_known),
};

NSDK_UNIT_MAIN("lib/emu/cache_live", tests)
