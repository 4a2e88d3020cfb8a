/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>

#include "fake_device.h"
#include "lib/env/thread.h"
#include "lib/mem/domain.h"

#define MIB ((size_t)1 << 20)

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_calloc(count, bytes);
}

static struct nsdk_mem *mem;
static struct nsdk_dma_pool *pool;
static struct nsdk_dma_pool_opts opts;

static void before(void)
{
	const struct nsdk_mem_opts mem_opts = { .window_bytes = 64 * MIB, .no_huge = true };

	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&mem_opts, &mem), 0);
	opts = (struct nsdk_dma_pool_opts){ .opts_bytes = sizeof(opts), .numa_node = -1 };
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &pool), 0);
}

static void after(void)
{
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
}

static void *take(size_t bytes, size_t align)
{
	void *va = NULL;

	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, bytes, align, &va), 0);
	return va;
}

static struct nsdk_dma_pool_stats stats(void)
{
	struct nsdk_dma_pool_stats out;

	nsdk_dma_pool_stats(pool, &out);
	return out;
}

static bool is_zero(const char *bytes, size_t count)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static void a_new_buffer_is_not_taken_for_clean(void)
{
	const struct nsdk_shadow *shadow = &mem->shadow;
	uint64_t stores;
	char *a;

	CU_ASSERT_EQUAL_FATAL(nsdk_thread_register(), 0);
	a = take(8192, 4096);
	CU_ASSERT_NOT_EQUAL(shadow->bytes, 0);
	/* Who takes it may store to it: this thread, and nobody else so far. */
	stores = nsdk_shadow_stores(shadow, (uintptr_t)a, (uintptr_t)a + 8192);
	CU_ASSERT_EQUAL(stores, (uint64_t)1 << nsdk_thread_cpu_class());
	nsdk_thread_unregister();
	/* Somebody leaves it clean and gives it back; the next one's zeros are ordinary stores. */
	nsdk_shadow_mark_clean(shadow, (uintptr_t)a, (uintptr_t)a + 8192);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), 0);
	CU_ASSERT_PTR_EQUAL(take(8192, 4096), a);
	for (unsigned i = 0; i < 128; i++)
		CU_ASSERT_FALSE(nsdk_shadow_is_clean(shadow, (uintptr_t)a + i * 64));
	/* The first one's lines may still be dirty in its caches. */
	CU_ASSERT_EQUAL(nsdk_shadow_stores(shadow, (uintptr_t)a, (uintptr_t)a + 8192), stores | 1);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), 0);
}

static void new_pages_in_an_old_place_are_not_known(void)
{
	struct nsdk_dma_pool *other;
	void *a, *b;

	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &other), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(other, 8192, 4096, &a), 0);
	nsdk_shadow_mark_clean(&mem->shadow, (uintptr_t)a, (uintptr_t)a + 8192);
	nsdk_dma_free(other, a);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(other), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &other), 0);
	CU_ASSERT_FALSE(nsdk_shadow_is_clean(&mem->shadow, (uintptr_t)a));
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(other, 8192, 4096, &b), 0);
	CU_ASSERT_PTR_EQUAL(a, b);
	nsdk_dma_free(other, b);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(other), 0);
}

static void buffers_are_whole_lines_of_zeros(void)
{
	char *a = take(1, 0), *b = take(65, 1);

	CU_ASSERT_EQUAL((uintptr_t)a % 64, 0);
	CU_ASSERT_EQUAL((uintptr_t)b % 64, 0);
	CU_ASSERT_TRUE(b >= a + 64 || a >= b + 128);
	CU_ASSERT_TRUE(is_zero(a, 64));
	CU_ASSERT_TRUE(is_zero(b, 128));
	NSDK_ASSERT_INT(stats().used_bytes, 192);
	NSDK_ASSERT_INT(stats().buffers, 2);
	/* Written to the end of the last line and given back, it is zeros again for the next one. */
	memset(b, 0xff, 128);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, b), 0);
	CU_ASSERT_PTR_EQUAL(take(128, 0), b);
	CU_ASSERT_TRUE(is_zero(b, 128));
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, b), 0);
	NSDK_ASSERT_INT(stats().used_bytes, 0);
	NSDK_ASSERT_INT(stats().mapped_bytes, 2 * MIB);
	NSDK_ASSERT_INT(stats().page_bytes, 4096);
}

static void alignment_is_met(void)
{
	void *filler = take(64, 0);

	for (size_t align = 1; align <= 16 * MIB; align *= 2) {
		void *va = take(64, align);

		CU_ASSERT_EQUAL((uintptr_t)va % align, 0);
		NSDK_ASSERT_INT(nsdk_dma_free(pool, va), 0);
	}
	NSDK_ASSERT_INT(nsdk_dma_free(pool, filler), 0);
}

static void odd_requests_are_refused(void)
{
	void *va;

	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 0, 0, &va), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("0 bytes");
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, SIZE_MAX, 0, &va), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("bytes");
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 64, 96, &va), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("power of two");
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 64, 3, &va), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("power of two");
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 64, (size_t)1 << 63, &va), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("power of two");
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, SIZE_MAX / 2, 0, &va), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("window_bytes");
}

static void only_buffers_are_taken_back(void)
{
	char *a = take(256, 0);
	int on_the_stack;

	NSDK_ASSERT_INT(nsdk_dma_free(pool, NULL), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a + 64), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("not a buffer of this DMA pool");
	NSDK_ASSERT_INT(nsdk_dma_free(pool, &on_the_stack), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("not a buffer of this DMA pool");
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("freed twice");
}

static void grows_up_to_its_limit(void)
{
	void *a, *b;

	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	opts.max_bytes = 6 * MIB;
	opts.initial_bytes = 1;
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &pool), 0);
	NSDK_ASSERT_INT(stats().mapped_bytes, 2 * MIB);
	a = take(2 * MIB, 0);
	NSDK_ASSERT_INT(stats().mapped_bytes, 2 * MIB);
	b = take(4 * MIB, 0);
	NSDK_ASSERT_INT(stats().mapped_bytes, 6 * MIB);
	CU_ASSERT_TRUE(is_zero(b, 4 * MIB));
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 64, 0, &(void *){ NULL }), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("raise max_bytes");
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, SIZE_MAX / 2, 0, &(void *){ NULL }), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("raise max_bytes");
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, take(64, 0)), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, b), 0);
}

static void the_window_is_used_again(void)
{
	/* More often than it would fit in side by side. */
	opts.initial_bytes = 32 * MIB;
	for (unsigned i = 0; i < 10; i++) {
		NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
		pool = NULL;
		CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &pool), 0);
		*(volatile char *)take(64, 0) = 1;
		NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), -EBUSY);
		NSDK_ASSERT_ONE_SENTENCE("1 buffer is out");
		NSDK_ASSERT_INT(nsdk_dma_free(pool, (void *)mem->window.va), 0);
	}
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 48 * MIB, 0, &(void *){ NULL }), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("window_bytes");
}

static void options_are_checked(void)
{
	struct nsdk_dma_pool *other = NULL;

	opts.page_bytes = 4096;
	NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("2 MiB or 1 GiB");
	opts.page_bytes = 0;
	opts.attr = (enum nsdk_dma_attr)7;
	NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("coherent or no-snoop");
	opts.attr = NSDK_DMA_NOSNOOP;
	opts.numa_node = 900;
	NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("NUMA node 900");
	opts.numa_node = 0;
	opts.initial_bytes = 3 * MIB;
	opts.max_bytes = 2 * MIB;
	NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("limited to");
	opts.initial_bytes = SIZE_MAX;
	opts.max_bytes = 0;
	NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("limited to");
	opts.initial_bytes = 0;
	NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &other), 0);
	NSDK_ASSERT_INT(nsdk_dma_pool_attr(other), NSDK_DMA_NOSNOOP);
	NSDK_ASSERT_INT(nsdk_dma_pool_attr(pool), NSDK_DMA_COHERENT);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(other), 0);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(NULL), 0);
}

static void a_failed_creation_leaves_nothing(void)
{
	size_t taken = mem->window.taken[0];
	struct nsdk_dma_pool *other;
	unsigned failed = 0;

	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_dma_pool_create(mem, &opts, &other);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(result, -ENOMEM);
			NSDK_ASSERT_ONE_SENTENCE("no memory");
			failed++;
		} else {
			NSDK_ASSERT_INT(result, 0);
			NSDK_ASSERT_INT(nsdk_dma_pool_destroy(other), 0);
		}
		NSDK_ASSERT_INT(mem->pools, 1);
		NSDK_ASSERT_INT(mem->window.taken[0], taken);
	}
	NSDK_ASSERT_INT(failed, 4);
}

static void pools_are_of_hugepages_by_default(void)
{
	struct nsdk_hugepage_info info[16];
	int count = nsdk_env_hugepages(info, 16);
	struct nsdk_dma_pool_stats got;
	struct nsdk_dma_pool *huge;
	struct nsdk_mem *other;
	uint64_t free_pages = 0;

	for (int i = 0; i < count && i < 16; i++)
		if (info[i].page_bytes == NSDK_PAGE_2M)
			free_pages += info[i].free_pages;
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(NULL, &other), 0);
	if (free_pages < 2) {
		NSDK_ASSERT_INT(nsdk_dma_pool_create(other, NULL, &huge), -ENOMEM);
		NSDK_ASSERT_ONE_SENTENCE("nr_hugepages");
	} else {
		NSDK_ASSERT_INT(nsdk_dma_pool_create(other, NULL, &huge), 0);
		nsdk_dma_pool_stats(huge, &got);
		NSDK_ASSERT_INT(got.page_bytes, NSDK_PAGE_2M);
		NSDK_ASSERT_INT(nsdk_dma_pool_destroy(huge), 0);
		/* A domain of small pages makes hugepages when they are asked for by name. */
		opts.page_bytes = NSDK_PAGE_2M;
		NSDK_ASSERT_INT(nsdk_dma_pool_create(mem, &opts, &huge), 0);
		nsdk_dma_pool_stats(huge, &got);
		NSDK_ASSERT_INT(got.page_bytes, NSDK_PAGE_2M);
		NSDK_ASSERT_INT(nsdk_dma_pool_destroy(huge), 0);
	}
	NSDK_ASSERT_INT(nsdk_mem_destroy(other), 0);
	if (free_pages < 2)
		nsdk_skip("2 free hugepages of 2 MiB are needed for the other half");
}

static void *use_the_pool(void *arg)
{
	unsigned random = *(unsigned *)arg;
	char *mine[32] = { NULL };
	size_t bytes[32];
	intptr_t wrong = 0;

	for (unsigned i = 0; i < 5000; i++) {
		unsigned slot = (random >> 16) % 32;

		random = random * 1664525u + 1013904223u;
		if (mine[slot]) {
			/* Nobody else wrote here. */
			wrong += mine[slot][0] != (char)slot || mine[slot][bytes[slot] - 1] != (char)slot;
			wrong += nsdk_dma_free(pool, mine[slot]) != 0;
			mine[slot] = NULL;
			continue;
		}
		bytes[slot] = 1 + (random >> 8) % 20000;
		wrong += nsdk_dma_alloc(pool, bytes[slot], 0, (void **)&mine[slot]) != 0;
		wrong += !is_zero(mine[slot], bytes[slot]);
		mine[slot][0] = mine[slot][bytes[slot] - 1] = (char)slot;
	}
	for (unsigned slot = 0; slot < 32; slot++)
		wrong += nsdk_dma_free(pool, mine[slot]) != 0;
	return (void *)wrong;
}

static void many_threads_may_use_a_pool(void)
{
	unsigned seeds[4] = { 1, 22, 333, 4444 };
	pthread_t threads[4];
	void *wrong;

	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, use_the_pool, &seeds[i]), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		NSDK_ASSERT_INT((intptr_t)wrong, 0);
	}
	NSDK_ASSERT_INT(stats().buffers, 0);
	NSDK_ASSERT_INT(stats().used_bytes, 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_new_buffer_is_not_taken_for_clean),
	NSDK_UNIT_TEST(new_pages_in_an_old_place_are_not_known),
	NSDK_UNIT_TEST(buffers_are_whole_lines_of_zeros),
	NSDK_UNIT_TEST(alignment_is_met),
	NSDK_UNIT_TEST(odd_requests_are_refused),
	NSDK_UNIT_TEST(only_buffers_are_taken_back),
	NSDK_UNIT_TEST(grows_up_to_its_limit),
	NSDK_UNIT_TEST(the_window_is_used_again),
	NSDK_UNIT_TEST(options_are_checked),
	NSDK_UNIT_TEST(a_failed_creation_leaves_nothing),
	NSDK_UNIT_TEST(pools_are_of_hugepages_by_default),
	NSDK_UNIT_TEST(many_threads_may_use_a_pool),
};

NSDK_UNIT_MAIN("lib/mem/pool", tests, .before = before, .after = after)
