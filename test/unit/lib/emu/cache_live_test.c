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

/* Each byte alone, by each of its bits, and all but it. */
static void tells_which_bytes_differ(void)
{
	bool right = true;

	pattern(host, sizeof(host), 3);
	memcpy(other, host + 64, NSDK_LINE_BYTES);
	NSDK_ASSERT_INT(emu_cache_live_differ((uintptr_t)host + 64, other), 0);
	for (unsigned i = 0; i < NSDK_LINE_BYTES; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			other[i] ^= (unsigned char)(1u << bit);
			right = right &&
				emu_cache_live_differ((uintptr_t)host + 64, other) == (uint64_t)1 << i;
			other[i] ^= (unsigned char)(1u << bit);
		}
		for (unsigned k = 0; k < NSDK_LINE_BYTES; k++)
			other[k] ^= k == i ? 0 : 0x80;
		right = right && emu_cache_live_differ((uintptr_t)host + 64, other) == ~((uint64_t)1 << i);
		for (unsigned k = 0; k < NSDK_LINE_BYTES; k++)
			other[k] ^= k == i ? 0 : 0x80;
	}
	CU_ASSERT(right);
}

static void replaces_only_what_is_still_there(void)
{
	static uint64_t line[8] __attribute__((aligned(64)));
	uint64_t agreed[8], dram[8];

	for (unsigned i = 0; i < 8; i++) {
		line[i] = agreed[i] = i;
		dram[i] = 100 + i;
	}
	dram[2] = agreed[2]; /* nothing to do */
	line[5] = 55;        /* stored to meanwhile */
	NSDK_ASSERT_INT(emu_cache_live_refresh((uintptr_t)line, (uint8_t *)agreed, (const uint8_t *)dram,
					       UINT64_MAX),
			UINT64_C(0xff) << 40);
	for (unsigned i = 0; i < 8; i++) {
		NSDK_ASSERT_INT(line[i], i == 5 ? 55 : i == 2 ? 2 : 100 + i);
		NSDK_ASSERT_INT(agreed[i], i == 5 ? 5 : i == 2 ? 2 : 100 + i);
	}
	/* Of what was asked, no more. */
	NSDK_ASSERT_INT(emu_cache_live_refresh((uintptr_t)line, (uint8_t *)agreed, (const uint8_t *)dram,
					       1),
			0);
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
	NSDK_UNIT_TEST(tells_which_bytes_differ),
	NSDK_UNIT_TEST(replaces_only_what_is_still_there),
	NSDK_UNIT_TEST(a_page_of_zeroes_is_known),
};

NSDK_UNIT_MAIN("lib/emu/cache_live", tests)
