/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "app/nsdk/perf_verify.h"
#include "nsdk_unit.h"

#define BLOCK 512u
#define BLOCKS 8u
#define LBA 1000u

static const struct perf_pattern pattern = { .nonce = 0x1122334455667788, .nsid = 1 };
static uint8_t buf[BLOCKS * BLOCK] __attribute__((aligned(64)));
static uint8_t old[BLOCKS * BLOCK] __attribute__((aligned(64)));

static struct perf_mismatch seen[64];
static unsigned seen_count;

static void keep(void *ctx, const struct perf_mismatch *mismatch)
{
	CU_ASSERT_PTR_EQUAL(ctx, seen);
	if (seen_count < 64)
		seen[seen_count] = *mismatch;
	seen_count++;
}

static uint32_t check(uint32_t generation)
{
	seen_count = 0;
	return perf_pattern_check(&pattern, buf, LBA, BLOCKS, BLOCK, generation, keep, seen);
}

static void fill(uint32_t generation)
{
	perf_pattern_fill(&pattern, buf, LBA, BLOCKS, BLOCK, generation);
}

static void what_was_written_is_right(void)
{
	for (uint32_t generation = 1; generation < 5; generation++) {
		fill(generation);
		NSDK_ASSERT_INT(check(generation), 0);
		NSDK_ASSERT_INT(seen_count, 0);
	}
}

/* Not one byte may be changed unseen. */
static void every_byte_counts(void)
{
	unsigned unseen = 0;

	fill(1);
	for (size_t i = 0; i < sizeof(buf); i++) {
		buf[i] ^= 1u << (i % 8);
		unseen += check(1) != 1 || seen_count != 1 || seen[0].lba != LBA + i / BLOCK ||
			  seen[0].offset_bytes != i % BLOCK / 64 * 64 || seen[0].lines != 1;
		buf[i] ^= 1u << (i % 8);
	}
	NSDK_ASSERT_INT(unseen, 0);
	NSDK_ASSERT_INT(check(1), 0);
}

static void a_stale_line_is_known_as_one(void)
{
	fill(6);
	memcpy(old, buf, sizeof(buf));
	fill(7);
	memcpy(buf + 2 * BLOCK + 3 * 64, old + 2 * BLOCK + 3 * 64, 64);
	NSDK_ASSERT_INT(check(7), 1);
	NSDK_ASSERT_INT(seen_count, 1);
	NSDK_ASSERT_INT(seen[0].found, PERF_FOUND_STALE);
	NSDK_ASSERT_INT(seen[0].lba, LBA + 2);
	NSDK_ASSERT_INT(seen[0].offset_bytes, 3 * 64);
	NSDK_ASSERT_INT(seen[0].lines, 1);
	NSDK_ASSERT_INT(seen[0].blocks, 1);
	NSDK_ASSERT_INT(seen[0].expected_generation, 7);
	NSDK_ASSERT_INT(seen[0].found_generation, 6);
	NSDK_ASSERT_INT(seen[0].found_lba, LBA + 2);
	CU_ASSERT(seen[0].found_checksum != seen[0].expected_checksum);
}

static void whole_stale_blocks_are_one_run(void)
{
	fill(1);
	memcpy(old, buf, sizeof(buf));
	fill(2);
	memcpy(buf + 3 * BLOCK, old + 3 * BLOCK, 2 * BLOCK);
	NSDK_ASSERT_INT(check(2), 2);
	NSDK_ASSERT_INT(seen_count, 1);
	NSDK_ASSERT_INT(seen[0].lba, LBA + 3);
	NSDK_ASSERT_INT(seen[0].blocks, 2);
	NSDK_ASSERT_INT(seen[0].lines, 2 * BLOCK / 64);
}

static void data_of_another_block_is_told(void)
{
	fill(1);
	perf_pattern_fill(&pattern, buf + BLOCK, 5000, 2, BLOCK, 9);
	NSDK_ASSERT_INT(check(1), 2);
	NSDK_ASSERT_INT(seen_count, 1);
	NSDK_ASSERT_INT(seen[0].found, PERF_FOUND_ELSEWHERE);
	NSDK_ASSERT_INT(seen[0].lba, LBA + 1);
	NSDK_ASSERT_INT(seen[0].found_lba, 5000);
	NSDK_ASSERT_INT(seen[0].found_generation, 9);
	/* A line in the right block, but in the wrong place of it. */
	fill(1);
	memcpy(buf, buf + 64, 64);
	NSDK_ASSERT_INT(check(1), 1);
	NSDK_ASSERT_INT(seen[0].found, PERF_FOUND_ELSEWHERE);
	/* The same address of another namespace. */
	perf_pattern_fill(&(struct perf_pattern){ .nonce = pattern.nonce, .nsid = 2 }, buf, LBA, 1,
			  BLOCK, 1);
	NSDK_ASSERT_INT(check(1), 1);
	NSDK_ASSERT_INT(seen[0].found, PERF_FOUND_ELSEWHERE);
}

static void what_an_earlier_run_left_is_told(void)
{
	perf_pattern_fill(&(struct perf_pattern){ .nonce = 1, .nsid = 1 }, buf, LBA, BLOCKS, BLOCK,
			  1);
	NSDK_ASSERT_INT(check(1), BLOCKS);
	NSDK_ASSERT_INT(seen_count, 1);
	NSDK_ASSERT_INT(seen[0].found, PERF_FOUND_OLD_RUN);
}

static void poison_zeroes_and_garbage_are_told_apart(void)
{
	fill(1);
	perf_pattern_poison(buf, 64);
	memset(buf + 64, 0, 64);
	memset(buf + 128, 0x77, 64);
	/* Half a line of each of two generations: no cache leaves that behind. */
	perf_pattern_fill(&pattern, old, LBA, 1, BLOCK, 2);
	memcpy(buf + 192, old + 192, 32);
	NSDK_ASSERT_INT(check(1), 1);
	NSDK_ASSERT_INT(seen_count, 3);
	NSDK_ASSERT_INT(seen[0].found, PERF_FOUND_POISON);
	NSDK_ASSERT_INT(seen[1].found, PERF_FOUND_ZEROES);
	NSDK_ASSERT_INT(seen[2].found, PERF_FOUND_GARBAGE);
	NSDK_ASSERT_INT(seen[2].lines, 2);
}

static void runs_end_where_right_lines_are(void)
{
	fill(1);
	memset(buf + 64, 0, 64);
	memset(buf + 3 * 64, 0, 64);
	NSDK_ASSERT_INT(check(1), 1);
	NSDK_ASSERT_INT(seen_count, 2);
	NSDK_ASSERT_INT(seen[0].offset_bytes, 64);
	NSDK_ASSERT_INT(seen[1].offset_bytes, 192);
}

static void lines_all_differ(void)
{
	unsigned same = 0;

	fill(1);
	for (size_t i = 0; i < sizeof(buf); i += 64)
		for (size_t j = 0; j < i; j += 64)
			same += memcmp(buf + i, buf + j, 64) == 0;
	NSDK_ASSERT_INT(same, 0);
}

static void nobody_need_listen(void)
{
	memset(buf, 0, sizeof(buf));
	NSDK_ASSERT_INT(perf_pattern_check(&pattern, buf, LBA, BLOCKS, BLOCK, 1, NULL, NULL), BLOCKS);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(what_was_written_is_right),
	NSDK_UNIT_TEST(every_byte_counts),
	NSDK_UNIT_TEST(a_stale_line_is_known_as_one),
	NSDK_UNIT_TEST(whole_stale_blocks_are_one_run),
	NSDK_UNIT_TEST(data_of_another_block_is_told),
	NSDK_UNIT_TEST(what_an_earlier_run_left_is_told),
	NSDK_UNIT_TEST(poison_zeroes_and_garbage_are_told_apart),
	NSDK_UNIT_TEST(runs_end_where_right_lines_are),
	NSDK_UNIT_TEST(lines_all_differ),
	NSDK_UNIT_TEST(nobody_need_listen),
};

NSDK_UNIT_MAIN("app/nsdk/perf_verify", tests)
