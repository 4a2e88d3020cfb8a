/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include "fake_kernel.h"
#include "lib/iommu/iommu_internal.h"

static struct nsdk_iommu *iommu;
static struct nsdk_ioas *ioas;
static struct nsdk_ioas_member member;

static void *at(uint64_t va)
{
	return (void *)(uintptr_t)va;
}

static void before(void)
{
	fake_kernel_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &ioas), 0);
}

static void after(void)
{
	nsdk_ioas_destroy(ioas);
	nsdk_iommu_close(iommu);
	fake_kernel_stop();
}

static int map(uint64_t va, size_t bytes, unsigned prot)
{
	nsdk_iova_t iova = {0};

	return nsdk_ioas_map(ioas, at(va), bytes, prot, false, &iova);
}

static void wrong_arguments_are_one_sentence_each(void)
{
	NSDK_ASSERT_INT(map(0x7f0000000000, 0, NSDK_IOAS_RW), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot map 0 bytes");
	NSDK_ASSERT_INT(map(0x7f0000000000, 4095, NSDK_IOAS_RW), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size, 4096 bytes");
	NSDK_ASSERT_INT(map(0x7f0000000200, 4096, NSDK_IOAS_RW), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
	NSDK_ASSERT_INT(map(UINT64_MAX - 4095, 8192, NSDK_IOAS_RW), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("multiples of the page size");
	NSDK_ASSERT_INT(map(0x7f0000000000, 4096, 0), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("0x0 is no combination");
	NSDK_ASSERT_INT(map(0x7f0000000000, 4096, 4), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("0x4 is no combination");
	NSDK_ASSERT_INT(fake.pins, 0);
}

static void fixed_is_kept_and_checked(void)
{
	nsdk_iova_t iova = {0x5000};

	NSDK_ASSERT_INT(nsdk_ioas_map(ioas, at(0x7f0000000000), 4096, NSDK_IOAS_RW, true, &iova), 0);
	NSDK_ASSERT_INT(iova.addr, 0x5000);
	NSDK_ASSERT_INT(nsdk_ioas_map(ioas, at(0x7f0000001000), 4096, NSDK_IOAS_RW, true, &iova),
			-EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("IOVA 0x5000: it is taken");
	iova.addr = 0x5800;
	NSDK_ASSERT_INT(nsdk_ioas_map(ioas, at(0x7f0000001000), 4096, NSDK_IOAS_RW, true, &iova),
			-EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("not page aligned");
}

static void no_room_is_one_sentence(void)
{
	fake.devices[0].bits = 21;
	CU_ASSERT_EQUAL_FATAL(fake_attach_cdev(ioas, 0, &member), 0);
	NSDK_ASSERT_INT(map(0x7f0000000000, (size_t)2 << 20, NSDK_IOAS_RW), -ENOSPC);
	NSDK_ASSERT_ONE_SENTENCE("allows 0x0-0x1fffff and has no free range");
	fake_detach_cdev(ioas, &member);
}

static void failed_map_leaves_nothing(void)
{
	fake.memlock_bytes = 8192;
	CU_ASSERT_EQUAL_FATAL(fake_attach_cdev(ioas, 0, &member), 0);
	NSDK_ASSERT_INT(map(0x7f0000000000, 4096, NSDK_IOAS_RW), 0);
	NSDK_ASSERT_INT(map(0x7f0000001000, 8192, NSDK_IOAS_RW), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("");
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 1);
	/* Its place is free for the next. */
	NSDK_ASSERT_INT(map(0x7f0000001000, 4096, NSDK_IOAS_RW), 0);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, 0x7f0000001000), 4096);
	fake_detach_cdev(ioas, &member);
}

static void destroy_unmaps_everything(void)
{
	for (uint64_t i = 0; i < 20; i++)
		NSDK_ASSERT_INT(map(0x7f0000000000 + i * 8192, 4096, NSDK_IOAS_RW), 0);
	/* That nothing was left in the kernel is asserted after each test. */
}

static void destroy_with_a_device_in_it_does_nothing(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach_cdev(ioas, 0, &member), 0);
	NSDK_ASSERT_INT(map(0x7f0000000000, 4096, NSDK_IOAS_RW), 0);
	nsdk_ioas_destroy(ioas);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:03.0");
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 1);
	nsdk_iommu_close(iommu);
	NSDK_ASSERT_ONE_SENTENCE("1 of its address spaces");
	NSDK_ASSERT_INT(fake.open_fds, 2);
	fake_detach_cdev(ioas, &member);
}

static void null_is_fine(void)
{
	nsdk_ioas_destroy(NULL);
	nsdk_iommu_close(NULL);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void ranges_say_how_many_there_are(void)
{
	struct nsdk_iova_range range = {7, 7};

	CU_ASSERT_EQUAL_FATAL(fake_attach_cdev(ioas, 0, &member), 0);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, &range, 0), 2);
	NSDK_ASSERT_INT(range.first, 7);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, &range, 1), 2);
	NSDK_ASSERT_INT(range.first, 0);
	fake_detach_cdev(ioas, &member);
}

static void set_aside_is_what_nothing_is_mapped_at(void)
{
	nsdk_iova_t iova = {0x5000}, other = {0x6000};

	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, NULL, 0x3000, true, &iova), 0);
	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, NULL, 0x1000, true, &other), -EEXIST);
	NSDK_ASSERT_INT(nsdk_ioas_map(ioas, at(0x7f0000000000), 4096, NSDK_IOAS_RW, true, &other), -EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("it is taken");
	/* Where it is asked for first, from the start of that page on. */
	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, at(0x7f0000000123), 0x2000, false, &other), 0);
	CU_ASSERT_EQUAL(other.addr, 0x7f0000000000);
	NSDK_ASSERT_INT(map(0x7f0000001000, 4096, NSDK_IOAS_RW), 0);
	NSDK_ASSERT_INT(fake.pins, 1);
	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, NULL, 0, false, &other), -EINVAL);
	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, NULL, 100, false, &other), -EINVAL);
	/* The kernel has never heard of it, so it is not told either; one is left for the end. */
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, iova, 0x3000), 0);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, iova, 0x3000), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("nothing is mapped");
}

static void many_mappings_keep_their_records(void)
{
	nsdk_iova_t iova;

	/* More than the records have room for at first; unmapped in another order. */
	for (uint64_t i = 0; i < 63; i++)
		NSDK_ASSERT_INT(map(0x7f0000000000 + (i * 5 % 63) * 4096, 4096, NSDK_IOAS_RW), 0);
	for (uint64_t i = 0; i < 63; i++) {
		iova.addr = 0x7f0000000000 + (i * 8 % 63) * 4096;
		NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, iova, 4096), 0);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(wrong_arguments_are_one_sentence_each),
	NSDK_UNIT_TEST(fixed_is_kept_and_checked),
	NSDK_UNIT_TEST(no_room_is_one_sentence),
	NSDK_UNIT_TEST(failed_map_leaves_nothing),
	NSDK_UNIT_TEST(destroy_unmaps_everything),
	NSDK_UNIT_TEST(destroy_with_a_device_in_it_does_nothing),
	NSDK_UNIT_TEST(null_is_fine),
	NSDK_UNIT_TEST(ranges_say_how_many_there_are),
	NSDK_UNIT_TEST(set_aside_is_what_nothing_is_mapped_at),
	NSDK_UNIT_TEST(many_mappings_keep_their_records),
};

NSDK_UNIT_MAIN("lib/iommu/ioas", tests, .before = before, .after = after)
