/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include "lib/emu/options.h"

struct values {
	uint64_t number, bytes;
	unsigned word;
	char text[8];
};

static const char *const words[] = { "red", "green", "blue", NULL };

static const struct nsdk_emu_option table[] = {
	{ "number", NSDK_EMU_OPTION_NUMBER, offsetof(struct values, number), 2, 300 },
	{ "bytes", NSDK_EMU_OPTION_BYTES, offsetof(struct values, bytes), 512, UINT64_MAX },
	{ "word", NSDK_EMU_OPTION_WORD, offsetof(struct values, word), .words = words },
	{ "text", NSDK_EMU_OPTION_TEXT, offsetof(struct values, text), .max = 8 },
};

static struct values got;
static bool given[4];

static int read_options(const char *text)
{
	memset(&got, 0, sizeof(got));
	return nsdk_emu_options_read("emu:thing", text, table, 4, &got, given);
}

static void nothing_changes_nothing(void)
{
	NSDK_ASSERT_INT(read_options(""), 0);
	CU_ASSERT(!given[0] && !given[1] && !given[2] && !given[3]);
}

static void reads_every_kind(void)
{
	NSDK_ASSERT_INT(read_options("text=a=b c,number=0x10,word=blue,bytes=3M"), 0);
	NSDK_ASSERT_TEXT(got.text, "a=b c");
	NSDK_ASSERT_INT(got.number, 16);
	NSDK_ASSERT_INT(got.word, 2);
	NSDK_ASSERT_INT(got.bytes, 3 << 20);
	CU_ASSERT(given[0] && given[1] && given[2] && given[3]);
}

static void reads_suffixes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
		{ "bytes=4096", 4096 },		  { "bytes=1k", 1024 },
		{ "bytes=1K", 1024 },		  { "bytes=1KiB", 1024 },
		{ "bytes=2G", UINT64_C(2) << 30 }, { "bytes=1t", UINT64_C(1) << 40 },
		{ "bytes=0x200", 512 },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		NSDK_ASSERT_INT(read_options(sizes[i].text), 0);
		NSDK_ASSERT_INT(got.bytes, sizes[i].bytes);
	}
}

static void refuses(const char *text, const char *sentence)
{
	NSDK_ASSERT_INT(read_options(text), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
}

static void refuses_what_is_wrong(void)
{
	refuses("colour=1", "there is no option 'colour'; there are number=, bytes=, word=, text=");
	refuses("number", "'number' needs a value");
	refuses("number=", "number from 2 to 300");
	refuses("number=1", "number from 2 to 300");
	refuses("number=301", "number from 2 to 300");
	refuses("number=-3", "number from 2 to 300");
	refuses("number=3x", "number from 2 to 300");
	refuses("number= 3", "number from 2 to 300");
	refuses("number=99999999999999999999999", "number from 2 to 300");
	refuses("number=1K", "number from 2 to 300");
	refuses("bytes=511", "number of bytes");
	refuses("bytes=1MB", "number of bytes");
	refuses("bytes=1Q", "number of bytes");
	refuses("bytes=99999999T", "number of bytes");
	refuses("word=pink", "give red, green or blue");
	refuses("text=", "1 to 7 characters");
	refuses("text=12345678", "1 to 7 characters");
	refuses("number=3,number=3", "number= is there twice");
	refuses("number=3,", "last comma");
	refuses("number=3,,text=a", "there is no option ''");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nothing_changes_nothing),
	NSDK_UNIT_TEST(reads_every_kind),
	NSDK_UNIT_TEST(reads_suffixes),
	NSDK_UNIT_TEST(refuses_what_is_wrong),
};

NSDK_UNIT_MAIN("lib/emu/options", tests, .before = nsdk_unit_log_start, .after = nsdk_unit_log_stop)
