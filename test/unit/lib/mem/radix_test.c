/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/mem/radix.h"

#define PAGE NSDK_RADIX_PAGE_BYTES

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_calloc(count, bytes);
}

static struct nsdk_dma_radix *radix;

static void before(void)
{
	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_radix_create(&radix), 0);
}

static void after(void)
{
	nsdk_radix_destroy(radix);
	nsdk_unit_log_stop();
}

static void empty_has_nothing(void)
{
	CU_ASSERT_EQUAL(nsdk_radix_get(radix, 0), 0);
	CU_ASSERT_EQUAL(nsdk_radix_get(radix, 0x7fffdeadb000), 0);
	CU_ASSERT_EQUAL(nsdk_radix_get(radix, UINTPTR_MAX), 0);
}

static void a_range_is_there_and_nothing_beside(void)
{
	/* Across the border of two leaves (16 MiB), and of two of every level above. */
	const uintptr_t borders[] = { 0x1000000, 0x1000000000, 0x1000000000000,
				      0x100000000000000 - 0x1000000 };

	for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
		uintptr_t va = borders[i] - 3 * PAGE;

		CU_ASSERT_EQUAL_FATAL(nsdk_radix_reserve(radix, va, 7 * PAGE), 0);
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va), 0);
		nsdk_radix_set(radix, va, 7 * PAGE, 0x40000001, PAGE);
		for (unsigned page = 0; page < 7; page++) {
			CU_ASSERT_EQUAL(nsdk_radix_get(radix, va + page * PAGE), 0x40000001 + page * PAGE);
			CU_ASSERT_EQUAL(nsdk_radix_get(radix, va + page * PAGE + PAGE - 1),
					0x40000001 + page * PAGE);
		}
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va - 1), 0);
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va + 7 * PAGE), 0);
		nsdk_radix_set(radix, va + PAGE, 5 * PAGE, 0, 0);
		CU_ASSERT_NOT_EQUAL(nsdk_radix_get(radix, va), 0);
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va + PAGE), 0);
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va + 5 * PAGE), 0);
		CU_ASSERT_NOT_EQUAL(nsdk_radix_get(radix, va + 6 * PAGE), 0);
	}
}

static void refuses_what_is_no_address(void)
{
	NSDK_ASSERT_INT(nsdk_radix_reserve(radix, (uintptr_t)1 << 57, PAGE), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("no memory of a process");
	NSDK_ASSERT_INT(nsdk_radix_reserve(radix, ((uintptr_t)1 << 57) - PAGE, 2 * PAGE), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("no memory of a process");
	NSDK_ASSERT_INT(nsdk_radix_reserve(radix, UINTPTR_MAX - PAGE + 1, 2 * PAGE), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("no memory of a process");
	NSDK_ASSERT_INT(nsdk_radix_reserve(radix, ((uintptr_t)1 << 57) - PAGE, PAGE), 0);
}

static void failing_leaves_nothing_known(void)
{
	uintptr_t va = 0x2000000000 - PAGE;
	struct nsdk_dma_radix *fresh[8];
	unsigned failed = 0;

	for (unsigned i = 0; i < 8; i++)
		CU_ASSERT_EQUAL_FATAL(nsdk_radix_create(&fresh[i]), 0);
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_radix_reserve(radix, va, 2 * PAGE);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(result, -ENOMEM);
			NSDK_ASSERT_ONE_SENTENCE("no memory");
			failed++;
		} else {
			NSDK_ASSERT_INT(result, 0);
		}
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va), 0);
		CU_ASSERT_EQUAL(nsdk_radix_get(radix, va + PAGE), 0);
		/* What was made before the failure is kept, so failing there again takes a new tree. */
		nsdk_radix_destroy(radix);
		radix = fresh[n];
	}
	/* One upper node, two middle ones, two leaves. */
	NSDK_ASSERT_INT(failed, 5);
	for (unsigned i = 0; i < 8; i++)
		if (i < 1 || i > failed + 1)
			nsdk_radix_destroy(fresh[i]);
}

/* --- readers beside a writer ----------------------------------------------- */

enum { RANGES = 64 };
static uintptr_t range_va(unsigned i)
{
	return 0x7000000000 + i * ((uintptr_t)1 << 30);
}

static atomic_bool done;
static atomic_uint wrong, seen;

static void *read_all(void *arg)
{
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		for (unsigned i = 0; i < RANGES; i++) {
			uint64_t got = nsdk_radix_get(radix, range_va(i) + PAGE);

			if (got == 0)
				continue;
			atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed);
			/* Either not there or whole. */
			if (got != range_va(i) + PAGE + 1)
				atomic_fetch_add_explicit(&wrong, 1, memory_order_relaxed);
		}
	}
	return NULL;
}

static void readers_need_no_lock(void)
{
	pthread_t reader;

	atomic_store(&done, false);
	atomic_store(&seen, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, read_all, NULL), 0);
	for (unsigned round = 0; round < 200 || atomic_load(&seen) < 1000; round++) {
		for (unsigned i = 0; i < RANGES; i++) {
			CU_ASSERT_EQUAL(nsdk_radix_reserve(radix, range_va(i), 3 * PAGE), 0);
			nsdk_radix_set(radix, range_va(i), 3 * PAGE, range_va(i) + 1, PAGE);
		}
		for (unsigned i = 0; i < RANGES; i++)
			nsdk_radix_set(radix, range_va(i), 3 * PAGE, 0, 0);
	}
	atomic_store(&done, true);
	pthread_join(reader, NULL);
	NSDK_ASSERT_INT(atomic_load(&wrong), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(empty_has_nothing),
	NSDK_UNIT_TEST(a_range_is_there_and_nothing_beside),
	NSDK_UNIT_TEST(refuses_what_is_no_address),
	NSDK_UNIT_TEST(failing_leaves_nothing_known),
	NSDK_UNIT_TEST(readers_need_no_lock),
};

NSDK_UNIT_MAIN("lib/mem/radix", tests, .before = before, .after = after)
