/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>

#include "app/nsdk/tool.h"
#include "nsdk_unit.h"

#define SECOND 1000000000ULL

static void numbers_are_whole_and_within_bounds(void)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "7", 0, 7 },
		{ "0x10", 0, 16 },
		{ "100", 0, 100 },
		{ "101", -ERANGE, 0 },
		{ "18446744073709551615", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "abc", -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 0;

		NSDK_ASSERT_INT(tool_parse_u64(cases[i].text, 0, 100, &value), cases[i].rc);
		NSDK_ASSERT_INT(value, cases[i].value);
	}
}

static void bytes_have_suffixes_of_1024(void)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t value;
	} cases[] = {
		{ "512", 0, 512 },
		{ "4k", 0, 4096 },
		{ "4K", 0, 4096 },
		{ "4kb", 0, 4096 },
		{ "512b", 0, 512 },
		{ "1m", 0, 1 << 20 },
		{ "2G", 0, 2ULL << 30 },
		{ "1t", 0, 1ULL << 40 },
		{ "1p", 0, 1ULL << 50 },
		{ "16383p", 0, 16383ULL << 50 },
		{ "16384p", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "4ki", -EINVAL, 0 },
		{ "4x", -EINVAL, 0 },
		{ "k", -EINVAL, 0 },
		{ "4kk", -EINVAL, 0 },
		{ "-4k", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 0;

		NSDK_ASSERT_INT(tool_parse_bytes(cases[i].text, &value), cases[i].rc);
		NSDK_ASSERT_INT(value, cases[i].value);
	}
}

static void times_are_seconds_unless_said(void)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ns;
	} cases[] = {
		{ "5", 0, 5 * SECOND },	    { "5s", 0, 5 * SECOND },
		{ "250ms", 0, SECOND / 4 }, { "10us", 0, 10000 },
		{ "2m", 0, 120 * SECOND },  { "1h", 0, 3600 * SECOND },
		{ "1d", 0, 86400 * SECOND }, { "5x", -EINVAL, 0 },
		{ "", -EINVAL, 0 },	    { "s", -EINVAL, 0 },
		{ "5.5", -EINVAL, 0 },	    { "99999999999d", -ERANGE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 0;

		NSDK_ASSERT_INT(tool_parse_duration(cases[i].text, &ns), cases[i].rc);
		NSDK_ASSERT_INT(ns, cases[i].ns);
	}
}

static void amounts_are_bytes_or_a_percentage(void)
{
	struct tool_amount amount;

	CU_ASSERT_EQUAL(tool_parse_amount("64k", &amount), 0);
	CU_ASSERT(amount.given && !amount.is_percent);
	NSDK_ASSERT_INT(tool_amount_of(&amount, 1000), 65536);
	CU_ASSERT_EQUAL(tool_parse_amount("20%", &amount), 0);
	CU_ASSERT(amount.given && amount.is_percent);
	NSDK_ASSERT_INT(tool_amount_of(&amount, 1000), 200);
	/* Without overflow on the largest there can be. */
	CU_ASSERT_EQUAL(tool_parse_amount("100%", &amount), 0);
	CU_ASSERT(tool_amount_of(&amount, UINT64_MAX) == UINT64_MAX);
	CU_ASSERT_EQUAL(tool_parse_amount("101%", &amount), -ERANGE);
	CU_ASSERT_EQUAL(tool_parse_amount("1k%", &amount), -EINVAL);
	CU_ASSERT_EQUAL(tool_parse_amount("%", &amount), -EINVAL);
}

static void devices_are_known_by_their_look(void)
{
	CU_ASSERT(tool_is_device("0000:00:03.0"));
	CU_ASSERT(tool_is_device("pci:0000:00:03.0"));
	CU_ASSERT(tool_is_device("emu:nvme"));
	CU_ASSERT(tool_is_device("emu:nvme,size=1G"));
	CU_ASSERT(!tool_is_device("emu:"));
	CU_ASSERT(!tool_is_device("/dev/nvme0n1"));
	CU_ASSERT(!tool_is_device("nvme0"));
	CU_ASSERT(!tool_is_device(""));
}

static void numbers_for_people(void)
{
	char buf[32];

	NSDK_ASSERT_TEXT(tool_format_bytes(0, buf, sizeof(buf)), "0 B");
	NSDK_ASSERT_TEXT(tool_format_bytes(512, buf, sizeof(buf)), "512 B");
	NSDK_ASSERT_TEXT(tool_format_bytes(4096, buf, sizeof(buf)), "4 KiB");
	NSDK_ASSERT_TEXT(tool_format_bytes(1536, buf, sizeof(buf)), "1.50 KiB");
	NSDK_ASSERT_TEXT(tool_format_bytes(1e9, buf, sizeof(buf)), "954 MiB");
	NSDK_ASSERT_TEXT(tool_format_count(0, buf, sizeof(buf)), "0");
	NSDK_ASSERT_TEXT(tool_format_count(999, buf, sizeof(buf)), "999");
	NSDK_ASSERT_TEXT(tool_format_count(1500, buf, sizeof(buf)), "1.50k");
	NSDK_ASSERT_TEXT(tool_format_count(123456, buf, sizeof(buf)), "123k");
	NSDK_ASSERT_TEXT(tool_format_count(12.3e6, buf, sizeof(buf)), "12.3M");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(numbers_are_whole_and_within_bounds),
	NSDK_UNIT_TEST(bytes_have_suffixes_of_1024),
	NSDK_UNIT_TEST(times_are_seconds_unless_said),
	NSDK_UNIT_TEST(amounts_are_bytes_or_a_percentage),
	NSDK_UNIT_TEST(devices_are_known_by_their_look),
	NSDK_UNIT_TEST(numbers_for_people),
};

NSDK_UNIT_MAIN("app/nsdk/options", tests)
