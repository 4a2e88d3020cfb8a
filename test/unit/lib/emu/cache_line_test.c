/* SPDX-License-Identifier: BSD-3-Clause */
/* One line, one event at a time, each value looked at. */
#include "nsdk_unit.h"

#include <string.h>

#include <nsdk/log.h>

#include "lib/emu/cache_internal.h"

static uint8_t memory[EMU_CACHE_PAGE_BYTES] __attribute__((aligned(4096)));
static struct emu_cache_page page;
static struct emu_cache_image image;
static struct emu_cache_actor actor;
static struct emu_cache_line *line;
static uint8_t *live, *dram, *agreed;
static uint8_t data[64], got[64];

#define LINE 5u

static uint64_t violations(enum nsdk_violation_kind kind)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations[kind];
}

static uint64_t all_violations(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations_total;
}

static void before(void)
{
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	emu_cache_adversary_start(1);
	memset(&page, 0, sizeof(page));
	memset(&image, 0, sizeof(image));
	page.va = (uintptr_t)memory;
	page.region = page.va;
	page.maps = 1;
	page.image = &image;
	actor = (struct emu_cache_actor){ .owner = "device", .operation = "test" };
	line = &image.lines[LINE];
	live = memory + LINE * 64;
	dram = image.dram + LINE * 64;
	agreed = image.agreed + LINE * 64;
	/* Clean everywhere. */
	for (unsigned i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i % 251);
	memcpy(image.dram, memory, sizeof(memory));
	memcpy(image.agreed, memory, sizeof(memory));
	for (unsigned i = 0; i < 64; i++)
		data[i] = (uint8_t)(0xf0 ^ i);
}

static void after(void)
{
	/* No neighbour is ever touched. */
	for (unsigned i = 0; i < sizeof(memory); i++) {
		if (i / 64 == LINE)
			continue;
		if (memory[i] != (uint8_t)(i % 251) || image.dram[i] != memory[i] ||
		    image.agreed[i] != memory[i]) {
			CU_FAIL("a neighbouring line was changed");
			break;
		}
	}
	nsdk_unit_log_stop();
}

/* A no-snoop write after which the CPU holds the stale line: the adversary may decide otherwise. */
static void write_and_stay_stale(unsigned offset, unsigned bytes)
{
	uint8_t kept[64];

	memcpy(kept, live, 64);
	do {
		memcpy(live, kept, 64);
		memcpy(agreed, kept, 64);
		line->device = 0;
		line->writes = 0;
		emu_cache_line_write(&page, LINE, offset, bytes, data, &actor);
	} while (!line->device);
}

static void a_dirty_line_is_one_that_differs(void)
{
	CU_ASSERT_FALSE(emu_cache_line_is_dirty(&page, LINE));
	live[63]++;
	CU_ASSERT(emu_cache_line_is_dirty(&page, LINE));
	CU_ASSERT_FALSE(emu_cache_line_is_dirty(&page, LINE - 1));
	CU_ASSERT_FALSE(emu_cache_line_is_dirty(&page, LINE + 1));
}

static void writeback_sends_a_dirty_line_to_memory(void)
{
	image.fresh = UINT64_MAX;
	emu_cache_line_writeback(&page, LINE, &actor);
	CU_ASSERT(image.fresh == UINT64_MAX);
	memcpy(live, data, 64);
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(memcmp(dram, data, 64), 0);
	NSDK_ASSERT_INT(memcmp(agreed, data, 64), 0);
	CU_ASSERT(image.fresh == ~((uint64_t)1 << LINE));
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void writeback_leaves_a_stale_line_stale(void)
{
	uint8_t old[64];

	memcpy(old, live, 64);
	write_and_stay_stale(0, 64);
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(memcmp(live, old, 64), 0);
	NSDK_ASSERT_INT(memcmp(dram, data, 64), 0);
	CU_ASSERT(line->device == UINT64_MAX);
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void invalidation_brings_in_what_the_device_wrote(void)
{
	write_and_stay_stale(8, 10);
	CU_ASSERT(line->device == (uint64_t)0x3ff << 8);
	emu_cache_line_invalidate(&page, LINE, true, &actor);
	NSDK_ASSERT_INT(memcmp(live + 8, data, 10), 0);
	NSDK_ASSERT_INT(memcmp(live, agreed, 64), 0);
	NSDK_ASSERT_INT(memcmp(live, dram, 64), 0);
	CU_ASSERT(line->device == 0);
	NSDK_ASSERT_INT(line->seen, line->writes);
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void invalidation_without_acquire_is_not_seen(void)
{
	write_and_stay_stale(0, 64);
	emu_cache_line_invalidate(&page, LINE, false, &actor);
	NSDK_ASSERT_INT(line->seen, 0);
	NSDK_ASSERT_INT(line->writes, 1);
}

static void a_dirty_line_goes_over_the_devices_data(void)
{
	live[3] ^= 0xff;
	emu_cache_line_write(&page, LINE, 0, 64, data, &actor);
	NSDK_ASSERT_INT(all_violations(), 0);
	emu_cache_line_invalidate(&page, LINE, true, &actor);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_LATE_WRITEBACK), 1);
	NSDK_ASSERT_INT(all_violations(), 1);
	/* It is really lost. */
	CU_ASSERT(memcmp(dram, data, 64) != 0);
	NSDK_ASSERT_INT(memcmp(dram, live, 64), 0);
}

static void what_is_lost_is_lost_once(void)
{
	live[3] ^= 0xff;
	emu_cache_line_write(&page, LINE, 0, 64, data, &actor);
	emu_cache_line_writeback(&page, LINE, &actor);
	live[4] ^= 0xff;
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(all_violations(), 1);
}

static void a_store_after_the_devices_write_is_late_too(void)
{
	write_and_stay_stale(0, 64);
	live[9]++;
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_LATE_WRITEBACK), 1);
}

static void dirty_beside_the_transfer_is_another_owner(void)
{
	live[40]++;
	emu_cache_line_write(&page, LINE, 0, 40, data, &actor);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_SHARED_LINE), 1);
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_SHARED_LINE), 2);
	NSDK_ASSERT_INT(all_violations(), 2);
}

static void store_meanwhile(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
	live[50]++;
}

/* What is written back is what was found to be dirty: a store that comes while that is told is of later. */
static void a_store_while_it_is_told_of_stays(void)
{
	nsdk_unit_log_stop();
	write_and_stay_stale(0, 64);
	live[9]++;
	nsdk_log_set_sink(store_meanwhile, NULL);
	emu_cache_line_writeback(&page, LINE, &actor);
	nsdk_log_set_sink(NULL, NULL);
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(all_violations(), 1);
	CU_ASSERT(emu_cache_line_is_dirty(&page, LINE));
	NSDK_ASSERT_INT((uint8_t)(dram[50] + 1), live[50]);
	emu_cache_line_writeback(&page, LINE, &actor);
	CU_ASSERT(!emu_cache_line_is_dirty(&page, LINE));
}

static void clean_beside_the_transfer_is_fine(void)
{
	emu_cache_line_write(&page, LINE, 16, 16, data, &actor);
	emu_cache_line_invalidate(&page, LINE, true, &actor);
	NSDK_ASSERT_INT(memcmp(live + 16, data, 16), 0);
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void the_device_reads_memory_not_the_cache(void)
{
	memcpy(live, data, 64);
	emu_cache_line_read(&page, LINE, 10, 20, got, &actor);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_STALE_DEVICE_READ), 1);
	NSDK_ASSERT_INT(memcmp(got, dram + 10, 20), 0);
	emu_cache_line_writeback(&page, LINE, &actor);
	emu_cache_line_read(&page, LINE, 10, 20, got, &actor);
	NSDK_ASSERT_INT(all_violations(), 1);
	NSDK_ASSERT_INT(memcmp(got, data + 10, 20), 0);
}

static void dirty_bytes_beside_a_read_are_nobodys_harm(void)
{
	live[9]++;
	live[30]++;
	emu_cache_line_read(&page, LINE, 10, 20, got, &actor);
	NSDK_ASSERT_INT(all_violations(), 0);
	emu_cache_line_read(&page, LINE, 10, 21, got, &actor);
	NSDK_ASSERT_INT(all_violations(), 1);
}

static void dirty_bytes_that_memory_holds_too_are_not_stale(void)
{
	write_and_stay_stale(0, 64);
	live[7] = data[7];
	emu_cache_line_read(&page, LINE, 0, 64, got, &actor);
	NSDK_ASSERT_INT(memcmp(got, data, 64), 0);
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void the_device_reads_its_own_data_back(void)
{
	write_and_stay_stale(0, 64);
	emu_cache_line_read(&page, LINE, 0, 64, got, &actor);
	NSDK_ASSERT_INT(memcmp(got, data, 64), 0);
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void refresh_never_loses_a_store(void)
{
	write_and_stay_stale(0, 64);
	live[20] = 0x77;
	emu_cache_line_refresh(&page, LINE);
	NSDK_ASSERT_INT(live[20], 0x77);
	/* The word it is in stays the CPU's and dirty, the rest is the device's. */
	CU_ASSERT(line->device == (uint64_t)0xff << 16);
	NSDK_ASSERT_INT(memcmp(live, data, 16), 0);
	NSDK_ASSERT_INT(memcmp(live + 24, data + 24, 40), 0);
	CU_ASSERT(emu_cache_line_is_dirty(&page, LINE));
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_LATE_WRITEBACK), 1);
}

static void snooped_writes_are_in_both(void)
{
	write_and_stay_stale(0, 64);
	emu_cache_line_write_snooped(&page, LINE, 4, 8, data + 40);
	NSDK_ASSERT_INT(memcmp(live + 4, data + 40, 8), 0);
	NSDK_ASSERT_INT(memcmp(dram + 4, data + 40, 8), 0);
	NSDK_ASSERT_INT(memcmp(agreed + 4, data + 40, 8), 0);
	CU_ASSERT(line->device == ~((uint64_t)0xff << 4));
	NSDK_ASSERT_INT(memcmp(dram + 12, data + 12, 52), 0);
}

static void the_prefetch_is_mostly_there(void)
{
	unsigned stale = 0;

	for (unsigned i = 0; i < 1000; i++) {
		data[0] = (uint8_t)i;
		emu_cache_line_write(&page, LINE, 0, 64, data, &actor);
		if (line->device)
			stale++;
		emu_cache_line_invalidate(&page, LINE, true, &actor);
		NSDK_ASSERT_INT(live[0], (uint8_t)i);
	}
	CU_ASSERT(stale > 650 && stale < 850);
	NSDK_ASSERT_INT(all_violations(), 0);
}

static void counts_may_wrap(void)
{
	for (unsigned right = 0; right < 2; right++) {
		nsdk_cache_model_reset();
		line->writes = line->seen = line->taken = line->consumed = UINT32_MAX - 1;
		for (unsigned i = 0; i < 6; i++) {
			emu_cache_line_write(&page, LINE, 0, 64, data, &actor);
			if (right) {
				emu_cache_line_invalidate(&page, LINE, true, &actor);
				line->taken = line->seen;
			}
			emu_cache_line_consumed(&page, LINE, &actor);
		}
		NSDK_ASSERT_INT(violations(NSDK_VIOLATION_STALE_CPU_READ), right ? 0 : 6);
	}
}

static void the_last_writer_is_blamed_for_its_lost_data(void)
{
	static const char long_name[] = "a name that is longer than there is room for, by quite a lot";
	struct nsdk_violation violation;

	actor.owner = long_name;
	live[3] ^= 0xff;
	emu_cache_line_write(&page, LINE, 0, 64, data, &actor);
	actor.owner = "the cache";
	actor.operation = "eviction";
	emu_cache_line_writeback(&page, LINE, &actor);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&violation, 1), 1);
	NSDK_ASSERT_INT(strlen(violation.owner), 47);
	NSDK_ASSERT_INT(strncmp(violation.owner, long_name, 47), 0);
	NSDK_ASSERT_TEXT(violation.operation, "eviction");
	CU_ASSERT_PTR_EQUAL(violation.va, live);
	CU_ASSERT_PTR_EQUAL(violation.buffer, memory);
	NSDK_ASSERT_INT(violation.offset_bytes, LINE * 64);
	NSDK_ASSERT_TEXT(violation.missing, "nsdk_sync_for_device(FROM_DEVICE) before the doorbell");
}

static void a_missing_fence_is_named(void)
{
	struct nsdk_violation violation;

	memcpy(live, data, 64);
	page.pending = (uint64_t)1 << LINE;
	emu_cache_line_read(&page, LINE, 0, 64, got, &actor);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&violation, 1), 1);
	NSDK_ASSERT_TEXT(violation.missing, "the fence: nsdk_flush_batch_commit() was not called");
}

/* The device hears of two uses when the third transfer has begun: the first two were in order. */
static void late_news_of_uses_is_no_violation(void)
{
	line->writes = line->seen = line->taken = 2;
	emu_cache_line_consumed(&page, LINE, &actor);
	line->writes = 3;
	emu_cache_line_consumed(&page, LINE, &actor);
	CU_ASSERT_EQUAL(all_violations(), 0);
	/* The third has not been taken back. */
	emu_cache_line_consumed(&page, LINE, &actor);
	CU_ASSERT_EQUAL(violations(NSDK_VIOLATION_STALE_CPU_READ), 1);
	nsdk_unit_log_clear();
}

/* A completion entry. @p lucky: the CPU can see it at once, as it happens not to hold the line. */
static void post(bool lucky)
{
	data[16]++;
	write_and_stay_stale(16, 16);
	if (lucky)
		emu_cache_line_refresh(&page, LINE);
}

static void drop(void)
{
	emu_cache_line_invalidate(&page, LINE, true, &actor);
	emu_cache_line_fenced(&page, LINE, true);
}

/* The device hears that the host has used the entry. @return what is wrong about it. */
static uint64_t use_is_heard_of(void)
{
	uint64_t had = violations(NSDK_VIOLATION_STALE_CPU_READ);

	emu_cache_line_part_consumed(&page, LINE, 16, 16, &actor);
	CU_ASSERT_EQUAL(all_violations(), violations(NSDK_VIOLATION_STALE_CPU_READ));
	return violations(NSDK_VIOLATION_STALE_CPU_READ) - had;
}

static void an_entry_needs_a_drop_since_the_last_one_there(void)
{
	for (unsigned i = 0; i < 3; i++) {
		post(false);
		drop();
		NSDK_ASSERT_INT(use_is_heard_of(), 0);
	}
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
	/* Before it was written will do, once. */
	drop();
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
	/* Not taken back at all. */
	drop();
	post(false);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
}

static void a_drop_counts_only_with_its_acquire_and_fence(void)
{
	post(false);
	drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	emu_cache_line_invalidate(&page, LINE, true, &actor);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
	emu_cache_line_fenced(&page, LINE, false);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
}

/* The host has used the entry and dropped the line for its next look before the device hears of it. */
static void a_drop_before_the_late_news_of_a_use_counts_for_the_next(void)
{
	post(false);
	drop();
	drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
	/* The same when the first look began before the entry was written. */
	drop();
	post(true);
	drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
}

/* There is no late news of a look that cannot have seen the entry. */
static void a_drop_that_shows_the_entry_counts_for_no_other(void)
{
	drop();
	post(false);
	drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
	/* Its fence came when the entry was there, and still not to be seen. */
	drop();
	post(false);
	emu_cache_line_fenced(&page, LINE, true);
	drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
}

static void however_late_the_news_no_use_goes_without_a_drop(void)
{
	/* Any number before the write, and while the news is late, are good for this and one more. */
	for (unsigned i = 0; i < 5; i++)
		drop();
	post(true);
	for (unsigned i = 0; i < 5; i++)
		drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
	/* One is good for one. */
	post(true);
	drop();
	NSDK_ASSERT_INT(use_is_heard_of(), 0);
	post(true);
	NSDK_ASSERT_INT(use_is_heard_of(), 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(an_entry_needs_a_drop_since_the_last_one_there),
	NSDK_UNIT_TEST(a_drop_counts_only_with_its_acquire_and_fence),
	NSDK_UNIT_TEST(a_drop_before_the_late_news_of_a_use_counts_for_the_next),
	NSDK_UNIT_TEST(a_drop_that_shows_the_entry_counts_for_no_other),
	NSDK_UNIT_TEST(however_late_the_news_no_use_goes_without_a_drop),
	NSDK_UNIT_TEST(late_news_of_uses_is_no_violation),
	NSDK_UNIT_TEST(a_dirty_line_is_one_that_differs),
	NSDK_UNIT_TEST(writeback_sends_a_dirty_line_to_memory),
	NSDK_UNIT_TEST(writeback_leaves_a_stale_line_stale),
	NSDK_UNIT_TEST(invalidation_brings_in_what_the_device_wrote),
	NSDK_UNIT_TEST(invalidation_without_acquire_is_not_seen),
	NSDK_UNIT_TEST(a_dirty_line_goes_over_the_devices_data),
	NSDK_UNIT_TEST(what_is_lost_is_lost_once),
	NSDK_UNIT_TEST(a_store_while_it_is_told_of_stays),
	NSDK_UNIT_TEST(a_store_after_the_devices_write_is_late_too),
	NSDK_UNIT_TEST(dirty_beside_the_transfer_is_another_owner),
	NSDK_UNIT_TEST(clean_beside_the_transfer_is_fine),
	NSDK_UNIT_TEST(the_device_reads_memory_not_the_cache),
	NSDK_UNIT_TEST(dirty_bytes_beside_a_read_are_nobodys_harm),
	NSDK_UNIT_TEST(dirty_bytes_that_memory_holds_too_are_not_stale),
	NSDK_UNIT_TEST(the_device_reads_its_own_data_back),
	NSDK_UNIT_TEST(refresh_never_loses_a_store),
	NSDK_UNIT_TEST(snooped_writes_are_in_both),
	NSDK_UNIT_TEST(the_prefetch_is_mostly_there),
	NSDK_UNIT_TEST(counts_may_wrap),
	NSDK_UNIT_TEST(the_last_writer_is_blamed_for_its_lost_data),
	NSDK_UNIT_TEST(a_missing_fence_is_named),
};

NSDK_UNIT_MAIN("lib/emu/cache_line", tests, .before = before, .after = after)
