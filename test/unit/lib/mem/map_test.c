/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/mem/map.h"

#define MIB ((uintptr_t)1 << 20)

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_calloc(count, bytes);
}

/* Addresses only; nothing looks behind them. */
static const struct nsdk_window window = { .va = 0x1000000000, .bytes = 16 * MIB, .pieces = 8 };
static struct nsdk_dma_map map;

static void before(void)
{
	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_map_init(&map, &window), 0);
}

static void after(void)
{
	nsdk_dma_map_fini(&map);
	nsdk_unit_log_stop();
}

static void finds(uintptr_t va, uint64_t iova, size_t left)
{
	uint64_t got_iova = ~0ull;
	size_t got_left = 0;

	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&map, va, &got_iova, &got_left), 0);
	CU_ASSERT_EQUAL(got_iova, iova);
	NSDK_ASSERT_INT(got_left, left);
}

static void finds_nothing(uintptr_t va)
{
	uint64_t iova;
	size_t left;

	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&map, va, &iova, &left), -EFAULT);
}

static void empty_has_nothing(void)
{
	finds_nothing(window.va);
	finds_nothing(window.va - 1);
	finds_nothing(window.va + window.bytes);
	finds_nothing(0);
	finds_nothing(UINTPTR_MAX);
}

static void pieces_of_the_window(void)
{
	nsdk_dma_map_publish(&map, (void *)(window.va + 4 * MIB), 4 * MIB, 0x80000000);
	finds(window.va + 4 * MIB, 0x80000000, 2 * MIB);
	finds(window.va + 4 * MIB + 100, 0x80000000 + 100, 2 * MIB - 100);
	finds(window.va + 8 * MIB - 1, 0x80000000 + 4 * MIB - 1, 1);
	finds_nothing(window.va + 4 * MIB - 1);
	finds_nothing(window.va + 8 * MIB);
	nsdk_dma_map_unpublish(&map, (void *)(window.va + 4 * MIB), 4 * MIB);
	finds_nothing(window.va + 4 * MIB);
	finds_nothing(window.va + 8 * MIB - 1);
}

static void iova_zero_is_an_iova(void)
{
	nsdk_dma_map_publish(&map, (void *)window.va, 2 * MIB, 0);
	finds(window.va, 0, 2 * MIB);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_map_reserve(&map, (void *)0x5000, 0x1000), 0);
	nsdk_dma_map_publish(&map, (void *)0x5000, 0x1000, 0);
	finds(0x5000, 0, 0x1000);
}

static void pages_outside_of_the_window(void)
{
	uintptr_t va = window.va + window.bytes;

	CU_ASSERT_EQUAL_FATAL(nsdk_dma_map_reserve(&map, (void *)va, 0x3000), 0);
	finds_nothing(va);
	nsdk_dma_map_publish(&map, (void *)va, 0x3000, 0x7000);
	finds(va, 0x7000, 0x1000);
	finds(va + 0x1001, 0x8001, 0xfff);
	finds(va + 0x2fff, 0x9fff, 1);
	finds_nothing(va + 0x3000);
	nsdk_dma_map_unpublish(&map, (void *)va, 0x3000);
	finds_nothing(va);
	finds_nothing(va + 0x2fff);
}

static void translates(uintptr_t va, size_t bytes, uint64_t iova, size_t contiguous)
{
	size_t got_contiguous = 0;
	uint64_t got = ~0ull;

	NSDK_ASSERT_INT(nsdk_dma_map_translate(&map, va, bytes, &got, &got_contiguous), 0);
	CU_ASSERT_EQUAL(got, iova);
	NSDK_ASSERT_INT(got_contiguous, contiguous);
}

static void contiguous_as_far_as_it_goes(void)
{
	uint64_t iova;
	size_t contiguous;

	/* Two ranges, side by side in both worlds, and one that is beside in the window only. */
	nsdk_dma_map_publish(&map, (void *)window.va, 4 * MIB, 0x80000000);
	nsdk_dma_map_publish(&map, (void *)(window.va + 4 * MIB), 2 * MIB, 0x80000000 + 4 * MIB);
	nsdk_dma_map_publish(&map, (void *)(window.va + 6 * MIB), 2 * MIB, 0x10000000);
	translates(window.va, 4096, 0x80000000, 4096);
	translates(window.va + 1, 5 * MIB, 0x80000001, 5 * MIB);
	translates(window.va + 1, 8 * MIB - 1, 0x80000001, 6 * MIB - 1);
	translates(window.va + 6 * MIB, 8 * MIB, 0x10000000, 2 * MIB);
	NSDK_ASSERT_INT(nsdk_dma_map_translate(&map, window.va + 8 * MIB, 1, &iova, &contiguous), -EFAULT);
	/* From the window into registered memory behind it. */
	nsdk_dma_map_publish(&map, (void *)(window.va + 14 * MIB), 2 * MIB, 0x20000000);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_map_reserve(&map, (void *)(window.va + 16 * MIB), 0x2000), 0);
	nsdk_dma_map_publish(&map, (void *)(window.va + 16 * MIB), 0x2000, 0x20000000 + 2 * MIB);
	translates(window.va + 16 * MIB - 1, 0x3000, 0x20000000 + 2 * MIB - 1, 0x2001);
}

/* Of a copy of the map; whoever has the map itself does not see it. */
static void own_memory_is_one_devices_alone(void)
{
	struct nsdk_dma_map copy = map;
	uint64_t iova;
	size_t left;

	copy.own = (struct nsdk_dma_own){ .va = window.va + 40 * MIB, .bytes = 0x3000, .addr = 0x90000000 };
	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&copy, window.va + 40 * MIB + 0x1234, &iova, &left), 0);
	CU_ASSERT_EQUAL(iova, 0x90001234);
	CU_ASSERT_EQUAL(left, 0x3000 - 0x1234);
	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&copy, window.va + 40 * MIB + 0x2fff, &iova, &left), 0);
	CU_ASSERT_EQUAL(left, 1);
	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&copy, window.va + 40 * MIB + 0x3000, &iova, &left), -EFAULT);
	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&copy, window.va + 40 * MIB - 1, &iova, &left), -EFAULT);
	NSDK_ASSERT_INT(nsdk_dma_map_lookup(&map, window.va + 40 * MIB, &iova, &left), -EFAULT);
	CU_ASSERT(!nsdk_dma_map_is_own(&map, 0));
}

static void failing_makes_nothing(void)
{
	struct nsdk_dma_map other;
	unsigned failed = 0;

	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_dma_map_init(&other, &window);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(result, -ENOMEM);
			NSDK_ASSERT_ONE_SENTENCE("no memory");
			failed++;
		} else {
			NSDK_ASSERT_INT(result, 0);
			nsdk_dma_map_fini(&other);
		}
	}
	NSDK_ASSERT_INT(failed, 2);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(empty_has_nothing),
	NSDK_UNIT_TEST(pieces_of_the_window),
	NSDK_UNIT_TEST(iova_zero_is_an_iova),
	NSDK_UNIT_TEST(pages_outside_of_the_window),
	NSDK_UNIT_TEST(contiguous_as_far_as_it_goes),
	NSDK_UNIT_TEST(own_memory_is_one_devices_alone),
	NSDK_UNIT_TEST(failing_makes_nothing),
};

NSDK_UNIT_MAIN("lib/mem/map", tests, .before = before, .after = after)
