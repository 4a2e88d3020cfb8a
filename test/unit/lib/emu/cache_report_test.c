/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <string.h>

#include <nsdk/log.h>

#include "lib/emu/cache_internal.h"

static struct emu_cache_page page = { .va = 0x7000, .region = 0x5000 };
static struct emu_cache_actor actor;

static void before(void)
{
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	actor = (struct emu_cache_actor){ .owner = "device", .operation = "DMA read" };
}

static void after(void)
{
	nsdk_unit_log_stop();
	nsdk_log_set_level(NSDK_LOG_NOTICE);
}

static void report(enum nsdk_violation_kind kind, unsigned line)
{
	emu_cache_report(&actor, "emu:nvme sqid 1 cid 7", kind, &page, line, "a call");
}

static void tells_all_there_is(void)
{
	struct nsdk_violation violation;

	report(NSDK_VIOLATION_SHARED_LINE, 3);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&violation, 1), 1);
	NSDK_ASSERT_INT(violation.kind, NSDK_VIOLATION_SHARED_LINE);
	NSDK_ASSERT_INT((uintptr_t)violation.va, 0x70c0);
	NSDK_ASSERT_INT((uintptr_t)violation.buffer, 0x5000);
	NSDK_ASSERT_INT(violation.offset_bytes, 0x20c0);
	NSDK_ASSERT_TEXT(violation.owner, "emu:nvme sqid 1 cid 7");
	NSDK_ASSERT_TEXT(violation.operation, "DMA read");
	NSDK_ASSERT_TEXT(violation.missing, "a call");
}

static void the_first_of_each_kind_is_an_error_in_the_log(void)
{
	nsdk_log_set_level(NSDK_LOG_DEBUG);
	report(NSDK_VIOLATION_STALE_CPU_READ, 0);
	NSDK_ASSERT_ONE_SENTENCE("stale read by the CPU");
	report(NSDK_VIOLATION_STALE_CPU_READ, 9);
	CU_ASSERT(nsdk_unit_log_has("stale read by the CPU"));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_clear();
	report(NSDK_VIOLATION_LATE_WRITEBACK, 9);
	NSDK_ASSERT_ONE_SENTENCE("missing: a call");
	nsdk_cache_model_reset();
	report(NSDK_VIOLATION_LATE_WRITEBACK, 20);
	NSDK_ASSERT_ONE_SENTENCE("overwritten");
}

static void a_run_of_lines_is_kept_once_and_counted_each(void)
{
	struct nsdk_violation violations[8];
	struct nsdk_cache_model_stats stats;

	for (unsigned line = 2; line < 10; line++)
		report(NSDK_VIOLATION_STALE_DEVICE_READ, line);
	report(NSDK_VIOLATION_SHARED_LINE, 10);
	report(NSDK_VIOLATION_STALE_DEVICE_READ, 12);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_STALE_DEVICE_READ], 9);
	NSDK_ASSERT_INT(stats.violations[NSDK_VIOLATION_SHARED_LINE], 1);
	NSDK_ASSERT_INT(stats.violations_total, 10);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(violations, 8), 3);
	NSDK_ASSERT_INT((uintptr_t)violations[0].va, 0x7080);
	NSDK_ASSERT_INT(violations[1].kind, NSDK_VIOLATION_SHARED_LINE);
	NSDK_ASSERT_INT((uintptr_t)violations[2].va, 0x7300);
}

static void the_first_64_are_kept(void)
{
	struct nsdk_violation violations[70];
	struct nsdk_cache_model_stats stats;

	memset(violations, 0, sizeof(violations));
	for (unsigned i = 0; i < 100; i++)
		report(NSDK_VIOLATION_LATE_WRITEBACK, i * 7 % 64);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(violations, 70), 64);
	CU_ASSERT_PTR_NOT_NULL(violations[63].va);
	CU_ASSERT_PTR_NULL(violations[64].va);
	NSDK_ASSERT_INT((uintptr_t)violations[1].va, 0x7000 + 7 * 64);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(NULL, 0), 64);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total, 100);
}

static void reset_forgets(void)
{
	struct nsdk_cache_model_stats stats;

	report(NSDK_VIOLATION_LATE_WRITEBACK, 1);
	for (int i = 0; i < EMU_CACHE_COUNTS; i++)
		emu_cache_count((enum emu_cache_count)i, (uint64_t)i + 1);
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.device_reads, 1);
	NSDK_ASSERT_INT(stats.device_writes, 2);
	NSDK_ASSERT_INT(stats.writebacks, 3);
	NSDK_ASSERT_INT(stats.invalidates, 4);
	NSDK_ASSERT_INT(stats.fences, 5);
	NSDK_ASSERT_INT(stats.evictions, 6);
	NSDK_ASSERT_INT(stats.prefetches, 7);
	nsdk_cache_model_reset();
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.violations_total + stats.device_reads + stats.prefetches, 0);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(NULL, 0), 0);
}

static void every_kind_has_a_name(void)
{
	for (int kind = 0; kind < NSDK_VIOLATION_KINDS; kind++) {
		const char *name = nsdk_violation_name((enum nsdk_violation_kind)kind);

		CU_ASSERT(strlen(name) > 10);
		for (int other = 0; other < kind; other++)
			CU_ASSERT(strcmp(name, nsdk_violation_name((enum nsdk_violation_kind)other)) != 0);
	}
	NSDK_ASSERT_TEXT(nsdk_violation_name(NSDK_VIOLATION_STALE_DEVICE_READ), "stale read by the device");
	NSDK_ASSERT_TEXT(nsdk_violation_name((enum nsdk_violation_kind)NSDK_VIOLATION_KINDS), "invalid");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(tells_all_there_is),
	NSDK_UNIT_TEST(the_first_of_each_kind_is_an_error_in_the_log),
	NSDK_UNIT_TEST(a_run_of_lines_is_kept_once_and_counted_each),
	NSDK_UNIT_TEST(the_first_64_are_kept),
	NSDK_UNIT_TEST(reset_forgets),
	NSDK_UNIT_TEST(every_kind_has_a_name),
};

NSDK_UNIT_MAIN("lib/emu/cache_report", tests, .before = before, .after = after)
