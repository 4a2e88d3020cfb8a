/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_device.h"
#include "lib/mem/domain.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

static struct nsdk_iommu iommu;
static struct nsdk_ioas ioas;
static struct nsdk_device dev = { &ioas, "emu:a" };
static struct nsdk_coherence snooped, bypassing = { .flush_fresh = true };
static struct nsdk_mem *mem;
static char *own; /* 40 MiB */

static void before(void)
{
	const struct nsdk_mem_opts opts = { .window_bytes = 64 * MIB, .no_huge = true };

	nsdk_unit_log_start();
	fake_reset();
	ioas = (struct nsdk_ioas){ .iommu = &iommu, .iova_offset = 0x100000 };
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&opts, &mem), 0);
	own = mmap(NULL, 40 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(own, MAP_FAILED);
}

static void after(void)
{
	nsdk_mem_detach(mem, &dev);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), 0);
	NSDK_ASSERT_INT(ioas.count, 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
	munmap(own, 40 * MIB);
}

static void a_page_is_enough(void)
{
	nsdk_iova_t iova;
	size_t contiguous;

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev, &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own + PAGE, PAGE), 0);
	NSDK_ASSERT_INT(nsdk_mem_translate(mem, &dev, own + PAGE + 10, 2 * PAGE, &iova, &contiguous), 0);
	CU_ASSERT_EQUAL(iova.addr, (uintptr_t)own + PAGE + 10 + ioas.iova_offset);
	NSDK_ASSERT_INT(contiguous, PAGE - 10);
	NSDK_ASSERT_INT(nsdk_mem_translate(mem, &dev, own, 1, &iova, &contiguous), -EFAULT);
	NSDK_ASSERT_INT(nsdk_mem_translate(mem, &dev, own + PAGE, 0, &iova, &contiguous), -EFAULT);
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own + PAGE, PAGE), 0);
	NSDK_ASSERT_INT(nsdk_mem_translate(mem, &dev, own + PAGE, 1, &iova, &contiguous), -EFAULT);
	NSDK_ASSERT_INT(ioas.count, 0);
}

static void many_megabytes_are_one(void)
{
	nsdk_iova_t iova;
	size_t contiguous;

	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, 40 * MIB), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev, &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_translate(mem, &dev, own, 64 * MIB, &iova, &contiguous), 0);
	NSDK_ASSERT_INT(contiguous, 40 * MIB);
	NSDK_ASSERT_INT(ioas.count, 1);
}

static void overlaps_are_refused(void)
{
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own + 4 * PAGE, 4 * PAGE), 0);
	const struct {
		size_t first, count;
	} bad[] = { { 4, 4 }, { 3, 2 }, { 7, 2 }, { 5, 1 }, { 0, 20 } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		NSDK_ASSERT_INT(nsdk_mem_register(mem, own + bad[i].first * PAGE, bad[i].count * PAGE),
				-EEXIST);
		NSDK_ASSERT_ONE_SENTENCE("registered already");
	}
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own + 3 * PAGE, PAGE), 0);
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own + 8 * PAGE, PAGE), 0);
}

static void pool_memory_is_refused(void)
{
	const struct nsdk_dma_pool_opts opts = { .numa_node = -1 };
	struct nsdk_dma_pool *pool;
	void *va;

	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, PAGE, PAGE, &va), 0);
	NSDK_ASSERT_INT(nsdk_mem_register(mem, va, PAGE), -EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("DMA pool");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, (char *)mem->window.va - PAGE, 2 * PAGE), -EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("DMA pool");
	NSDK_ASSERT_INT(nsdk_dma_free(pool, va), 0);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
}

static void odd_ranges_are_refused(void)
{
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own + 1, PAGE), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, PAGE - 1), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, 0), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, NULL, PAGE), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, (size_t)0 - PAGE), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
}

/* With a device whose pages are flushed, looking too late would be a crash. */
static void memory_that_is_not_there_is_refused(void)
{
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev, &bypassing), 0);
	CU_ASSERT_EQUAL(munmap(own + 2 * PAGE, PAGE), 0);
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, 4 * PAGE), -EFAULT);
	NSDK_ASSERT_ONE_SENTENCE("may write");
	NSDK_ASSERT_INT(ioas.count, 0);
	ioas.needs_flush = true;
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, 2 * PAGE), 0);
	NSDK_ASSERT_INT(fake_flushed_bytes(), 2 * PAGE);
}

static void only_what_was_registered_is_unregistered(void)
{
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, PAGE), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("not registered");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, 4 * PAGE), 0);
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, 3 * PAGE), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("not registered");
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own + PAGE, 3 * PAGE), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("not registered");
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, 4 * PAGE), 0);
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, 4 * PAGE), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("not registered");
	NSDK_ASSERT_INT(nsdk_mem_register(mem, own, 4 * PAGE), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_page_is_enough),
	NSDK_UNIT_TEST(many_megabytes_are_one),
	NSDK_UNIT_TEST(overlaps_are_refused),
	NSDK_UNIT_TEST(pool_memory_is_refused),
	NSDK_UNIT_TEST(odd_ranges_are_refused),
	NSDK_UNIT_TEST(memory_that_is_not_there_is_refused),
	NSDK_UNIT_TEST(only_what_was_registered_is_unregistered),
};

NSDK_UNIT_MAIN("lib/mem/registered", tests, .before = before, .after = after)
