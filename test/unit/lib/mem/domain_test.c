/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fake_device.h"
#include "lib/mem/domain.h"

#define MIB ((size_t)1 << 20)

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_calloc(count, bytes);
}

static struct nsdk_iommu iommu, other_iommu;
static struct nsdk_ioas ioas[3];
static struct nsdk_device dev[4];
static struct nsdk_coherence snooped = { .flush_fresh = false }, bypassing = { .flush_fresh = true };
static struct nsdk_mem *mem;
static struct nsdk_dma_pool *pool;
static _Alignas(4096) char own[3 * 4096];

static void before(void)
{
	static const char *const names[] = { "emu:a", "emu:b", "emu:c", "emu:d" };
	const struct nsdk_mem_opts opts = { sizeof(opts), 256 * MIB, true };

	nsdk_unit_log_start();
	fake_reset();
	memset(ioas, 0, sizeof(ioas));
	for (unsigned i = 0; i < 3; i++) {
		ioas[i].iommu = &iommu;
		ioas[i].iova_offset = (uint64_t)i << 40;
	}
	/* The last device shares the first one's address space. */
	for (unsigned i = 0; i < 4; i++)
		dev[i] = (struct nsdk_device){ &ioas[i % 3], names[i] };
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(&opts, &mem), 0);
	pool = NULL;
}

static void after(void)
{
	for (unsigned i = 0; i < 4; i++)
		nsdk_mem_detach(mem, &dev[i]);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), 0);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(fake_count(&ioas[i]), ioas[i].unmap_fails ? ioas[i].count : 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
}

/* Two pool segments and a registered one. */
static char *fill_domain(void)
{
	const struct nsdk_dma_pool_opts opts = { sizeof(opts), NSDK_DMA_NOSNOOP, -1, 0, 4 * MIB, 0 };
	void *a, *b;

	CU_ASSERT_EQUAL_FATAL(nsdk_dma_pool_create(mem, &opts, &pool), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, 4 * MIB, 0, &a), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_alloc(pool, 2 * MIB, 0, &b), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_register(mem, own, sizeof(own)), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, a), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, b), 0);
	return a;
}

static void translates_to(struct nsdk_device *device, const void *va, uint64_t iova, size_t contiguous)
{
	nsdk_iova_t got = { ~0ull };
	size_t got_contiguous = 0;

	NSDK_ASSERT_INT(nsdk_mem_translate(mem, device, va, 16 * MIB, &got, &got_contiguous), 0);
	CU_ASSERT_EQUAL(got.addr, iova);
	NSDK_ASSERT_INT(got_contiguous, contiguous);
}

static void translates_to_nothing(struct nsdk_device *device, const void *va)
{
	nsdk_iova_t iova;
	size_t contiguous;

	NSDK_ASSERT_INT(nsdk_mem_translate(mem, device, va, 1, &iova, &contiguous), -EFAULT);
}

static void a_device_reaches_what_there_is(void)
{
	char *a = fill_domain();

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], &snooped), 0);
	NSDK_ASSERT_INT(fake_count(&ioas[1]), 3);
	NSDK_ASSERT_INT(ioas[1].maps, 3);
	translates_to(&dev[1], a, (uintptr_t)a + ioas[1].iova_offset, 6 * MIB);
	translates_to(&dev[1], a + 5, (uintptr_t)a + 5 + ioas[1].iova_offset, 6 * MIB - 5);
	translates_to(&dev[1], own + 1, (uintptr_t)own + 1 + ioas[1].iova_offset, sizeof(own) - 1);
	translates_to_nothing(&dev[0], a);
	translates_to_nothing(&dev[1], a - 1);
	translates_to_nothing(&dev[1], &mem);
	nsdk_mem_detach(mem, &dev[1]);
	NSDK_ASSERT_INT(fake_count(&ioas[1]), 0);
	NSDK_ASSERT_INT(ioas[1].unmaps, 3);
	translates_to_nothing(&dev[1], a);
}

static void devices_reach_what_is_added(void)
{
	char *a;

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[2], &snooped), 0);
	a = fill_domain();
	NSDK_ASSERT_INT(fake_count(&ioas[0]), 3);
	NSDK_ASSERT_INT(fake_count(&ioas[2]), 3);
	translates_to(&dev[0], a, (uintptr_t)a, 6 * MIB);
	translates_to(&dev[2], a, (uintptr_t)a + ioas[2].iova_offset, 6 * MIB);
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), 0);
	translates_to_nothing(&dev[0], own);
	NSDK_ASSERT_INT(fake_count(&ioas[0]), 2);
	NSDK_ASSERT_INT(fake_count(&ioas[2]), 2);
}

static void pages_are_pinned_once_a_handle(void)
{
	ioas[2].iommu = &other_iommu;
	fill_domain();
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[2], &snooped), 0);
	NSDK_ASSERT_INT(ioas[0].maps, 3);
	NSDK_ASSERT_INT(ioas[0].copies, 0);
	NSDK_ASSERT_INT(ioas[1].maps, 0);
	NSDK_ASSERT_INT(ioas[1].copies, 3);
	NSDK_ASSERT_INT(ioas[2].maps, 3);
	NSDK_ASSERT_INT(ioas[2].copies, 0);
}

static void a_shared_address_space_is_filled_once(void)
{
	char *a = fill_domain();

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[3], &snooped), 0);
	NSDK_ASSERT_INT(fake_count(&ioas[0]), 3);
	CU_ASSERT_PTR_EQUAL(nsdk_mem_map_of(mem, &dev[0]), nsdk_mem_map_of(mem, &dev[3]));
	nsdk_mem_detach(mem, &dev[0]);
	CU_ASSERT_PTR_NULL(nsdk_mem_map_of(mem, &dev[0]));
	translates_to(&dev[3], a, (uintptr_t)a, 6 * MIB);
	NSDK_ASSERT_INT(fake_count(&ioas[0]), 3);
	nsdk_mem_detach(mem, &dev[3]);
	NSDK_ASSERT_INT(fake_count(&ioas[0]), 0);
}

static void attaching_twice_is_an_error(void)
{
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), -EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("emu:a is attached");
	CU_ASSERT_PTR_EQUAL(snooped.shadow, &mem->shadow);
	NSDK_ASSERT_INT(snooped.shadow_users, 1);
	nsdk_mem_detach(mem, &dev[0]);
	NSDK_ASSERT_INT(snooped.shadow_users, 0);
	CU_ASSERT_PTR_NULL(nsdk_mem_map_of(mem, &dev[0]));
	/* And once more, in the slot that is free now. */
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[2], &snooped), 0);
	CU_ASSERT_PTR_NULL(nsdk_mem_map_of(mem, &dev[0]));
	CU_ASSERT_PTR_NOT_NULL(nsdk_mem_map_of(mem, &dev[2]));
	CU_ASSERT_PTR_NULL(nsdk_mem_map_of(mem, NULL));
}

/* The order is checked by the fake map. */
static void fresh_pages_are_flushed_before_they_are_mapped(void)
{
	void *grown;

	ioas[0].needs_flush = ioas[1].needs_flush = true;
	fill_domain();
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[2], &snooped), 0);
	NSDK_ASSERT_INT(fake_flushed_bytes(), 0);
	/* What was there before the device. */
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &bypassing), 0);
	NSDK_ASSERT_INT(fake_flushed_bytes(), 6 * MIB + sizeof(own));
	/* What comes after it. */
	fake_reset();
	NSDK_ASSERT_INT(nsdk_dma_alloc(pool, 8 * MIB, 0, &grown), 0);
	NSDK_ASSERT_INT(nsdk_dma_free(pool, grown), 0);
	NSDK_ASSERT_INT(fake_flushed_bytes(), 8 * MIB);
	/* A device that nothing is known of. */
	fake_reset();
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], NULL), 0);
	NSDK_ASSERT_INT(fake_flushed_bytes(), 14 * MIB + sizeof(own));
	/* One that bypasses the caches where the first of its address space did not. */
	nsdk_mem_detach(mem, &dev[0]);
	ioas[0].needs_flush = false;
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	fake_reset();
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[3], &bypassing), 0);
	NSDK_ASSERT_INT(fake_flushed_bytes(), 14 * MIB + sizeof(own));
}

static void an_address_is_unknown_before_it_is_unmapped(void)
{
	fill_domain();
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], &snooped), 0);
	ioas[0].watch = nsdk_mem_map_of(mem, &dev[0]);
	ioas[1].watch = nsdk_mem_map_of(mem, &dev[1]);
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), 0);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	pool = NULL;
	NSDK_ASSERT_INT(ioas[0].unmaps, 3);
	NSDK_ASSERT_INT(ioas[1].unmaps, 3);
	nsdk_mem_detach(mem, &dev[0]);
	nsdk_mem_detach(mem, &dev[1]);
}

static void a_failed_attach_maps_nothing(void)
{
	char *a = fill_domain();
	unsigned failed = 0;

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	ioas[1].needs_flush = true;
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_mem_attach(mem, &dev[1], &bypassing);

		if (nsdk_unit_failed()) {
			CU_ASSERT_TRUE(result < 0);
			NSDK_ASSERT_INT(fake_count(&ioas[1]), 0);
			CU_ASSERT_PTR_NULL(nsdk_mem_map_of(mem, &dev[1]));
			failed++;
			/* The fake map says nothing; for memory the room does. */
			if (result == -ENOMEM)
				NSDK_ASSERT_ONE_SENTENCE("no memory");
		} else {
			NSDK_ASSERT_INT(result, 0);
			NSDK_ASSERT_INT(fake_count(&ioas[1]), 3);
			nsdk_mem_detach(mem, &dev[1]);
		}
		NSDK_ASSERT_INT(fake_count(&ioas[0]), 3);
		translates_to(&dev[0], a, (uintptr_t)a, 6 * MIB);
	}
	/* Three maps, and what the bookkeeping takes. */
	CU_ASSERT_TRUE(failed >= 8);
}

static void a_failed_growth_is_undone_everywhere(void)
{
	char *a = fill_domain();
	struct nsdk_dma_pool_stats stats;
	unsigned failed = 0;
	void *b;

	ioas[1].iommu = &other_iommu;
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[i], &snooped), 0);
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_dma_alloc(pool, 16 * MIB, 0, &b);
		bool grown;

		nsdk_dma_pool_stats(pool, &stats);
		grown = stats.mapped_bytes == 22 * MIB;
		for (unsigned i = 0; i < 3; i++)
			NSDK_ASSERT_INT(fake_count(&ioas[i]), grown ? 4 : 3);
		if (nsdk_unit_failed()) {
			CU_ASSERT_TRUE(result < 0);
			/* The last to fail is the bookkeeping of the buffer, in a pool that has grown. */
			if (!grown) {
				NSDK_ASSERT_INT(stats.mapped_bytes, 6 * MIB);
				translates_to(&dev[1], a, (uintptr_t)a + ioas[1].iova_offset, 6 * MIB);
				failed++;
			}
			if (result == -ENOMEM)
				NSDK_ASSERT_ONE_SENTENCE("no memory");
		} else {
			NSDK_ASSERT_INT(result, 0);
			NSDK_ASSERT_INT(stats.mapped_bytes, 22 * MIB);
			NSDK_ASSERT_INT(nsdk_dma_free(pool, b), 0);
		}
	}
	/* The segment, three maps, the extent. */
	NSDK_ASSERT_INT(failed, 5);
}

static void a_failed_registration_is_undone_everywhere(void)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[i], &snooped), 0);
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_mem_register(mem, own, sizeof(own));

		for (unsigned i = 0; i < 3; i++) {
			NSDK_ASSERT_INT(fake_count(&ioas[i]), nsdk_unit_failed() ? 0 : 1);
			if (nsdk_unit_failed())
				translates_to_nothing(&dev[i], own);
			else
				translates_to(&dev[i], own, (uintptr_t)own + ioas[i].iova_offset,
					      sizeof(own));
		}
		if (nsdk_unit_failed()) {
			CU_ASSERT_TRUE(result < 0);
			failed++;
			if (result == -ENOMEM)
				NSDK_ASSERT_ONE_SENTENCE("no memory");
			/* As if it had never been tried. */
			NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), -ENOENT);
			nsdk_unit_log_clear();
		} else {
			NSDK_ASSERT_INT(result, 0);
		}
	}
	CU_ASSERT_TRUE(failed >= 3);
}

static void what_cannot_be_unmapped_is_kept(void)
{
	char *a = fill_domain();

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], &snooped), 0);
	ioas[0].unmap_fails = true;
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), -EIO);
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	pool = NULL;
	CU_ASSERT_TRUE(nsdk_unit_log_has("until this process ends"));
	NSDK_ASSERT_INT(fake_count(&ioas[1]), 0);
	/* The device writes into it all the same, and hits nothing else. */
	memset(a, 0xff, 6 * MIB);
	nsdk_mem_detach(mem, &dev[0]);
	nsdk_mem_detach(mem, &dev[1]);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), 0);
	memset(a, 0xff, 6 * MIB);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(NULL, &mem), 0);
}

static void what_stays_mapped_after_a_detach_is_kept(void)
{
	char *a = fill_domain();

	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	ioas[0].unmap_fails = true;
	nsdk_mem_detach(mem, &dev[0]);
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("may still reach");
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	pool = NULL;
	memset(a, 0xff, 6 * MIB);
}

static bool marks_hold(void)
{
	uintptr_t va = mem->shadow.va;

	nsdk_shadow_mark_clean(&mem->shadow, va, va + 64);
	return nsdk_shadow_is_clean(&mem->shadow, va);
}

/* Marks are for a domain whose devices all bypass the caches, and go by its shadow. */
static void devices_of_another_kind_take_the_marks_away(void)
{
	struct nsdk_coherence elsewhere = { .flush_fresh = true };
	struct nsdk_mem *other;

	CU_ASSERT_TRUE(marks_hold());
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &bypassing), 0);
	CU_ASSERT_TRUE(marks_hold());
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], &snooped), 0);
	CU_ASSERT_FALSE(marks_hold());
	nsdk_mem_detach(mem, &dev[1]);
	CU_ASSERT_TRUE(marks_hold());
	/* Nothing is known of it. */
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], NULL), 0);
	CU_ASSERT_FALSE(marks_hold());
	nsdk_mem_detach(mem, &dev[1]);
	CU_ASSERT_TRUE(marks_hold());
	/* Its engine goes by the other domain's shadow, and could not take marks away here. */
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(NULL, &other), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(other, &dev[2], &elsewhere), 0);
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[2], &elsewhere), 0);
	CU_ASSERT_FALSE(marks_hold());
	nsdk_mem_detach(mem, &dev[2]);
	CU_ASSERT_TRUE(marks_hold());
	nsdk_mem_detach(other, &dev[2]);
	NSDK_ASSERT_INT(nsdk_mem_destroy(other), 0);
	nsdk_mem_detach(mem, &dev[0]);
}

/* A line operation on memory that is gone is a fault of the whole process. */
static void what_a_stuck_flush_lcore_is_inside_of_is_kept(void)
{
	unsigned asked = fake_quiesces;
	char *a = fill_domain();

	fake_quiesce_fails = true;
	NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("made to fail");
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	pool = NULL;
	fake_quiesce_fails = false;
	CU_ASSERT_TRUE(fake_quiesces > asked + 1);
	CU_ASSERT_TRUE(nsdk_unit_log_has("until this process ends"));
	memset(a, 0xff, 6 * MIB);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), 0);
	memset(a, 0xff, 6 * MIB);
	CU_ASSERT_EQUAL_FATAL(nsdk_mem_create(NULL, &mem), 0);
	nsdk_unit_log_clear();
}

static void a_domain_in_use_is_not_destroyed(void)
{
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("attached");
	nsdk_mem_detach(mem, &dev[0]);
	fill_domain();
	NSDK_ASSERT_INT(nsdk_mem_destroy(mem), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("1 DMA pool is left");
	/* Registered memory is the application's, so nothing need be done with it. */
	NSDK_ASSERT_INT(nsdk_dma_pool_destroy(pool), 0);
	pool = NULL;
	NSDK_ASSERT_INT(nsdk_mem_destroy(NULL), 0);
}

static void options_are_checked(void)
{
	struct nsdk_mem_opts opts = { .window_bytes = 12345 };
	struct {
		struct nsdk_mem_opts known;
		uint64_t unknown;
	} newer = { .known = { .opts_bytes = sizeof(newer), .no_huge = true } };
	struct nsdk_mem *other;

	NSDK_ASSERT_INT(nsdk_mem_create(&opts, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiple of 2 MiB");
	NSDK_ASSERT_INT(nsdk_mem_create(&newer.known, &other), 0);
	NSDK_ASSERT_INT(nsdk_mem_destroy(other), 0);
	newer.unknown = 1;
	NSDK_ASSERT_INT(nsdk_mem_create(&newer.known, &other), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("newer library");
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		int result = nsdk_mem_create(NULL, &other);

		NSDK_ASSERT_INT(result, nsdk_unit_failed() ? -ENOMEM : 0);
		if (nsdk_unit_failed())
			NSDK_ASSERT_ONE_SENTENCE("no memory");
		else
			NSDK_ASSERT_INT(nsdk_mem_destroy(other), 0);
	}
}

/* --- translating beside changes -------------------------------------------- */

static atomic_bool done;
static atomic_uint wrong;
static char *shared_buffer;

static void *translate_all_the_time(void *arg)
{
	nsdk_iova_t iova;
	size_t contiguous;

	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		if (nsdk_mem_translate(mem, &dev[0], shared_buffer, 100, &iova, &contiguous) ||
		    iova.addr != (uintptr_t)shared_buffer || contiguous != 100)
			atomic_fetch_add(&wrong, 1);
		/* Comes and goes; when it is there, it is right. */
		if (nsdk_mem_translate(mem, &dev[0], own, 100, &iova, &contiguous) == 0 &&
		    iova.addr != (uintptr_t)own)
			atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

static void translating_takes_no_lock(void)
{
	pthread_t reader;

	shared_buffer = fill_domain();
	NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[0], &snooped), 0);
	atomic_store(&done, false);
	atomic_store(&wrong, 0);
	/* With the domain's lock held it still works. */
	pthread_mutex_lock(&mem->lock);
	translates_to(&dev[0], shared_buffer, (uintptr_t)shared_buffer, 6 * MIB);
	pthread_mutex_unlock(&mem->lock);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, translate_all_the_time, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[1], &snooped), 0);
		NSDK_ASSERT_INT(nsdk_mem_unregister(mem, own, sizeof(own)), 0);
		NSDK_ASSERT_INT(nsdk_mem_attach(mem, &dev[2], &snooped), 0);
		nsdk_mem_detach(mem, &dev[1]);
		NSDK_ASSERT_INT(nsdk_mem_register(mem, own, sizeof(own)), 0);
		nsdk_mem_detach(mem, &dev[2]);
	}
	atomic_store(&done, true);
	pthread_join(reader, NULL);
	NSDK_ASSERT_INT(atomic_load(&wrong), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_device_reaches_what_there_is),
	NSDK_UNIT_TEST(devices_reach_what_is_added),
	NSDK_UNIT_TEST(pages_are_pinned_once_a_handle),
	NSDK_UNIT_TEST(a_shared_address_space_is_filled_once),
	NSDK_UNIT_TEST(attaching_twice_is_an_error),
	NSDK_UNIT_TEST(fresh_pages_are_flushed_before_they_are_mapped),
	NSDK_UNIT_TEST(an_address_is_unknown_before_it_is_unmapped),
	NSDK_UNIT_TEST(a_failed_attach_maps_nothing),
	NSDK_UNIT_TEST(a_failed_growth_is_undone_everywhere),
	NSDK_UNIT_TEST(a_failed_registration_is_undone_everywhere),
	NSDK_UNIT_TEST(what_cannot_be_unmapped_is_kept),
	NSDK_UNIT_TEST(what_stays_mapped_after_a_detach_is_kept),
	NSDK_UNIT_TEST(devices_of_another_kind_take_the_marks_away),
	NSDK_UNIT_TEST(what_a_stuck_flush_lcore_is_inside_of_is_kept),
	NSDK_UNIT_TEST(a_domain_in_use_is_not_destroyed),
	NSDK_UNIT_TEST(options_are_checked),
	NSDK_UNIT_TEST(translating_takes_no_lock),
};

NSDK_UNIT_MAIN("lib/mem/domain", tests, .before = before, .after = after)
