/* SPDX-License-Identifier: BSD-3-Clause */
/* When line operations take effect, and for whom. */
#include "nsdk_unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/emu/cache_internal.h"

#define PAGES 64u
#define OWNER "emu:test"

static const struct nsdk_line_ops *ops;
static struct nsdk_cache_model *model;
static uint8_t *memory;
static uint8_t data[4096], got[4096];

static void before(void)
{
	memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	ops = nsdk_cache_model_line_ops();
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(1, &model), 0);
	ops->writeback_invalidate(memory, PAGES * 64);
	ops->fence_for_device();
	nsdk_cache_model_map(model, memory, PAGES * 4096);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + 1);
}

static void after(void)
{
	nsdk_cache_model_unmap(model, memory, PAGES * 4096);
	nsdk_cache_model_put(model);
	nsdk_unit_log_stop();
	munmap(memory, PAGES * 4096);
}

static uint64_t violations(enum nsdk_violation_kind kind)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations[kind];
}

/* How many pages hold in memory what the CPU stored, without asking as a device. */
static unsigned pages_in_memory(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < PAGES; i++) {
		struct emu_cache_page *page = emu_cache_page_lock((uintptr_t)memory + i * 4096, false);

		count += page && page->image &&
			 memcmp(page->image->dram, memory + (size_t)i * 4096, 4096) == 0;
		emu_cache_page_unlock((uintptr_t)memory + i * 4096);
	}
	return count;
}

static void store_everywhere(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		memcpy(memory + (size_t)i * 4096, data, 4096);
}

static void operations_wait_for_the_fence_or_are_early(void)
{
	unsigned early;

	store_everywhere();
	ops->writeback(memory, PAGES * 64);
	early = pages_in_memory();
	/* Both must happen among 64 pages: one in eight is early. */
	CU_ASSERT(early > 0 && early < PAGES / 2);
	ops->fence_for_device();
	NSDK_ASSERT_INT(pages_in_memory(), PAGES);
}

static void *fence_elsewhere(void *arg)
{
	(void)arg;
	ops->fence_for_device();
	ops->fence_for_cpu();
	return NULL;
}

static void a_fence_of_another_thread_does_not_help(void)
{
	pthread_t thread;

	store_everywhere();
	ops->writeback(memory, PAGES * 64);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, fence_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	CU_ASSERT(pages_in_memory() < PAGES / 2);
	ops->fence_for_device();
	NSDK_ASSERT_INT(pages_in_memory(), PAGES);
}

static void *operate_and_leave(void *arg)
{
	(void)arg;
	ops->writeback(memory, PAGES * 64);
	return NULL;
}

static void a_thread_that_ends_without_a_fence_leaves_it_open(void)
{
	pthread_t thread;
	struct nsdk_violation violation;

	store_everywhere();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, operate_and_leave, NULL), 0);
	pthread_join(thread, NULL);
	ops->fence_for_device();
	CU_ASSERT(pages_in_memory() < PAGES / 2);
	for (unsigned i = 0; i < PAGES; i++)
		nsdk_cache_model_read(model, memory + (size_t)i * 4096, got, 64, false, OWNER);
	CU_ASSERT(violations(NSDK_VIOLATION_STALE_DEVICE_READ) > PAGES / 2);
	nsdk_cache_model_violations(&violation, 1);
	NSDK_ASSERT_TEXT(violation.missing, "the fence: nsdk_flush_batch_commit() was not called");
}

static void only_the_lines_asked_for(void)
{
	struct emu_cache_page *page;

	store_everywhere();
	/* From the middle of one page to the middle of the next but one. */
	ops->writeback(memory + 4096 + 640, 64 - 10 + 64 + 5);
	ops->fence_for_device();
	for (unsigned i = 0; i < 4 * 64; i++) {
		unsigned line = i % 64;
		bool inside = i >= 64 + 10 && i < 3 * 64 + 5;

		page = emu_cache_page_lock((uintptr_t)memory + i / 64 * 4096, false);
		CU_ASSERT_PTR_NOT_NULL_FATAL(page);
		if (inside) {
			CU_ASSERT_PTR_NOT_NULL_FATAL(page->image);
			NSDK_ASSERT_INT(memcmp(page->image->dram + line * 64, data + line * 64, 64), 0);
		} else if (page->image) {
			CU_ASSERT(memcmp(page->image->dram + line * 64, data + line * 64, 64) != 0);
		}
		emu_cache_page_unlock((uintptr_t)memory + i / 64 * 4096);
	}
}

static void give_and_write(void)
{
	ops->writeback_invalidate(memory, 64);
	ops->fence_for_device();
	nsdk_cache_model_write(model, memory, data, 4096, false, OWNER);
}

/* Whether the CPU has truly taken the page back. */
static bool taken(void)
{
	uint64_t before_now = violations(NSDK_VIOLATION_STALE_CPU_READ);

	nsdk_cache_model_consumed(model, memory, 4096, OWNER);
	return violations(NSDK_VIOLATION_STALE_CPU_READ) == before_now;
}

static void taking_back_needs_acquire_invalidation_and_the_right_fence(void)
{
	give_and_write();
	ops->acquire_for_cpu();
	ops->writeback_invalidate(memory, 64);
	ops->fence_for_cpu();
	CU_ASSERT(taken());
	NSDK_ASSERT_INT(memcmp(memory, data, 4096), 0);

	give_and_write();
	ops->writeback_invalidate(memory, 64);
	ops->fence_for_cpu();
	CU_ASSERT_FALSE(taken());

	give_and_write();
	ops->acquire_for_cpu();
	ops->fence_for_cpu();
	CU_ASSERT_FALSE(taken());

	give_and_write();
	ops->acquire_for_cpu();
	ops->writeback_invalidate(memory, 64);
	ops->fence_for_device();
	CU_ASSERT_FALSE(taken());

	give_and_write();
	ops->acquire_for_cpu();
	ops->writeback(memory, 64);
	ops->fence_for_cpu();
	CU_ASSERT_FALSE(taken());

	/* An acquire is spent by the fence. */
	give_and_write();
	ops->acquire_for_cpu();
	ops->fence_for_cpu();
	ops->writeback_invalidate(memory, 64);
	ops->fence_for_cpu();
	CU_ASSERT_FALSE(taken());
}

/* An invalidation that was early was before what the device writes until the fence. */
static void an_early_invalidation_does_not_see_later_writes(void)
{
	uint64_t missed;

	ops->acquire_for_cpu();
	ops->writeback_invalidate(memory, PAGES * 64);
	for (unsigned i = 0; i < PAGES; i++)
		nsdk_cache_model_write(model, memory + (size_t)i * 4096, data, 4096, false, OWNER);
	ops->fence_for_cpu();
	nsdk_cache_model_consumed(model, memory, PAGES * 4096, OWNER);
	missed = violations(NSDK_VIOLATION_STALE_CPU_READ);
	CU_ASSERT(missed > 0 && missed < PAGES * 64 / 2);
	NSDK_ASSERT_INT(missed % 64, 0);
}

static void one_line_left_out_is_found(void)
{
	struct nsdk_violation violation;

	give_and_write();
	ops->acquire_for_cpu();
	ops->writeback_invalidate(memory, 63);
	ops->fence_for_cpu();
	nsdk_cache_model_consumed(model, memory, 4096, OWNER);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_STALE_CPU_READ), 1);
	nsdk_cache_model_violations(&violation, 1);
	CU_ASSERT_PTR_EQUAL(violation.va, memory + 63 * 64);
	NSDK_ASSERT_TEXT(violation.missing, "nsdk_sync_for_cpu(FROM_DEVICE) after the completion");
	NSDK_ASSERT_TEXT(violation.operation, "completion consumed");
}

/* A fresh hugepage has many pages and all the same content: nothing is kept for them. */
static void flushed_zeroes_take_no_image(void)
{
	unsigned images = 0;
	uint8_t *fresh = mmap(NULL, 256 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(fresh, MAP_FAILED);
	fresh[4096] = 1;
	ops->writeback_invalidate(fresh, 256 * 64);
	ops->fence_for_device();
	nsdk_cache_model_map(model, fresh, 256 * 4096);
	for (unsigned i = 0; i < 256; i++) {
		struct emu_cache_page *page = emu_cache_page_lock((uintptr_t)fresh + i * 4096, false);

		images += page && page->image != NULL;
		emu_cache_page_unlock((uintptr_t)fresh + i * 4096);
	}
	NSDK_ASSERT_INT(images, 1);
	for (unsigned i = 0; i < 256; i++) {
		nsdk_cache_model_read(model, fresh + (size_t)i * 4096, got, 4096, false, OWNER);
		NSDK_ASSERT_INT(memcmp(got, fresh + (size_t)i * 4096, 4096), 0);
	}
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_STALE_DEVICE_READ), 0);
	nsdk_cache_model_unmap(model, fresh, 256 * 4096);
	munmap(fresh, 256 * 4096);
}

static void operations_of_an_earlier_model_are_forgotten(void)
{
	store_everywhere();
	ops->writeback(memory, PAGES * 64);
	nsdk_cache_model_unmap(model, memory, PAGES * 4096);
	nsdk_cache_model_put(model);
	CU_ASSERT_EQUAL_FATAL(nsdk_cache_model_get(1, &model), 0);
	nsdk_cache_model_map(model, memory, PAGES * 4096);
	ops->fence_for_device();
	NSDK_ASSERT_INT(pages_in_memory(), 0);
	nsdk_cache_model_read(model, memory, got, 64, false, OWNER);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_STALE_DEVICE_READ), 1);
}

static void counts_lines_and_fences(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_reset();
	ops->writeback(memory, 3);
	ops->writeback_invalidate(memory, 70);
	ops->fence_for_device();
	ops->fence_for_cpu();
	nsdk_cache_model_stats(&stats);
	NSDK_ASSERT_INT(stats.writebacks, 3);
	NSDK_ASSERT_INT(stats.invalidates, 70);
	NSDK_ASSERT_INT(stats.fences, 2);
}

/* Memory behind a BAR: no line of it is ever in a cache, and who flushes one is told. */
static void uncached_memory_has_no_line_operations(void)
{
	static uint8_t bar[4 * 64] __attribute__((aligned(64)));
	struct nsdk_violation violation;

	nsdk_cache_model_uncached(bar, sizeof(bar), true);
	ops->writeback(memory, 1);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_UNCACHED), 0);
	ops->writeback(bar + 64, 2);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_UNCACHED), 2);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&violation, 1), 1);
	CU_ASSERT_PTR_EQUAL(violation.va, bar + 64);
	CU_ASSERT_PTR_EQUAL(violation.buffer, bar);
	NSDK_ASSERT_INT(violation.offset_bytes, 64);
	ops->writeback_invalidate(bar + 192, 1);
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_UNCACHED), 3);
	ops->fence_for_device();
	nsdk_cache_model_uncached(bar, sizeof(bar), false);
	ops->writeback(bar, 1);
	ops->fence_for_device();
	NSDK_ASSERT_INT(violations(NSDK_VIOLATION_UNCACHED), 3);
	CU_ASSERT(nsdk_unit_log_has("a line operation on uncached memory"));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(operations_wait_for_the_fence_or_are_early),
	NSDK_UNIT_TEST(a_fence_of_another_thread_does_not_help),
	NSDK_UNIT_TEST(a_thread_that_ends_without_a_fence_leaves_it_open),
	NSDK_UNIT_TEST(only_the_lines_asked_for),
	NSDK_UNIT_TEST(taking_back_needs_acquire_invalidation_and_the_right_fence),
	NSDK_UNIT_TEST(an_early_invalidation_does_not_see_later_writes),
	NSDK_UNIT_TEST(one_line_left_out_is_found),
	NSDK_UNIT_TEST(flushed_zeroes_take_no_image),
	NSDK_UNIT_TEST(operations_of_an_earlier_model_are_forgotten),
	NSDK_UNIT_TEST(counts_lines_and_fences),
	NSDK_UNIT_TEST(uncached_memory_has_no_line_operations),
};

NSDK_UNIT_MAIN("lib/emu/cache_ops", tests, .before = before, .after = after)
