/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include <linux/vfio.h>

#include "fake_kernel.h"
#include "lib/iommu/iommu_internal.h"

#define MIB ((uint64_t)1 << 20)

static struct nsdk_iommu *iommu;
static struct nsdk_ioas *ioas;
static struct nsdk_ioas_member member[FAKE_MAX_DEVICES];

/* Addresses are never looked at by the fake. */
static void *at(uint64_t va)
{
	return (void *)(uintptr_t)va;
}

static void open_space(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_TYPE1, &iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &ioas), 0);
}

static void close_space(void)
{
	nsdk_ioas_destroy(ioas);
	nsdk_iommu_close(iommu);
}

static void before(void)
{
	fake_kernel_start();
	open_space();
}

static void after(void)
{
	close_space();
	fake_kernel_stop();
}

static void attach(unsigned device)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach_group(ioas, device, &member[device]), 0);
}

static void detach(unsigned device)
{
	fake_detach_group(ioas, &member[device]);
}

static enum nsdk_snoop_state verdict(void)
{
	struct nsdk_snoop_verdict out;

	nsdk_ioas_verdict(ioas, &out);
	CU_ASSERT(strlen(out.reason) > 10);
	return out.state;
}

static int map_at(uint64_t va, uint64_t bytes, uint64_t *iova)
{
	nsdk_iova_t out = {0};
	int rc = nsdk_ioas_map(ioas, at(va), bytes, NSDK_IOAS_RW, false, &out);

	*iova = out.addr;
	return rc;
}

static uint64_t map(uint64_t va, uint64_t bytes)
{
	uint64_t iova;

	CU_ASSERT_EQUAL_FATAL(map_at(va, bytes, &iova), 0);
	return iova;
}

static void verdict_of_the_container(void)
{
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
	detach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	fake.devices[0].enforces = true;
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_ENFORCED);
	detach(0);
}

static void sysfs_is_the_second_witness(void)
{
	struct nsdk_snoop_verdict out;

	fake.devices[0].sysfs_ecap = "f00f4a\n";
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_PERMITTED);
	nsdk_ioas_verdict(ioas, &out);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.reason, "ECAP.SC is 0"));
	detach(0);
	fake.devices[0].sysfs_ecap = "f00fca\n";
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
	fake.devices[0].sysfs_ecap = "rubbish\n";
	attach(0);
	NSDK_ASSERT_INT(verdict(), NSDK_SNOOP_UNKNOWN);
	detach(0);
}

static void iommu_of_39_bits(void)
{
	struct nsdk_iova_range range[3];

	fake.devices[0].bits = 39;
	attach(0);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 3), 2);
	NSDK_ASSERT_INT(range[0].last, 0xfedfffff);
	NSDK_ASSERT_INT(range[1].first, 0xfef00000);
	NSDK_ASSERT_INT(range[1].last, 0x7fffffffff);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB), 2 * MIB);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, 2 * MIB), 2 * MIB);
	detach(0);
}

static void kernel_that_does_not_tell_its_ranges(void)
{
	struct nsdk_iova_range range[3];

	fake.no_iova_cap = true;
	attach(0);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 3), 2);
	NSDK_ASSERT_INT(range[0].last, 0xfedfffff);
	NSDK_ASSERT_INT(range[1].last, 0x7fffffffff);
	detach(0);
}

static void nonsense_from_the_kernel_is_an_error(void)
{
	fake.broken_caps = true;
	NSDK_ASSERT_INT(fake_attach_group(ioas, 0, &member[0]), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("which IOVAs");
}

static void early_mappings_are_made_with_the_first_device(void)
{
	uint64_t first = map(0x7f0000200000, 2 * MIB), second = map(0x7f0000600000, MIB);
	nsdk_iova_t aside = {0x7f0000a00000};

	/* What is only set aside is not made, and not undone. */
	NSDK_ASSERT_INT(nsdk_ioas_reserve(ioas, NULL, MIB, true, &aside), 0);
	NSDK_ASSERT_INT(fake.pins, 0);
	attach(0);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, first), 2 * MIB);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, second), MIB);
	/* And again, when the container had lost them. */
	detach(0);
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){second}, MIB), 0);
	attach(0);
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 1);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, first), 2 * MIB);
	detach(0);
}

static void early_mapping_out_of_reach_refuses_the_device(void)
{
	uint64_t iova = map(0x7f0000200000, 2 * MIB);

	fake.devices[0].bits = 39;
	NSDK_ASSERT_INT(fake_attach_group(ioas, 0, &member[0]), -EADDRINUSE);
	NSDK_ASSERT_ONE_SENTENCE("cannot join");
	NSDK_ASSERT_INT(fake.open_fds, 1);
	/* The next one that reaches it is fine. */
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 2 * MIB), 0);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB), 0x7f0000200000);
}

static void early_mapping_that_cannot_be_made_refuses_the_device(void)
{
	map(0x7f0000200000, MIB);
	map(0x7f0000400000, MIB);
	fake.dma_avail = 1;
	NSDK_ASSERT_INT(fake_attach_group(ioas, 0, &member[0]), -ENOSPC);
	NSDK_ASSERT_ONE_SENTENCE("dma_entry_limit");
	fake.dma_avail = 2;
	attach(0);
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 2);
	detach(0);
}

static void two_groups_in_one_container(void)
{
	struct nsdk_iova_range range[3];
	uint64_t iova;

	fake_kernel_add_device()->bits = 39;
	attach(0);
	attach(1);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 3), 2);
	NSDK_ASSERT_INT(range[1].last, 0x7fffffffff);
	iova = map(0x7f0000200000, 2 * MIB);
	detach(1);
	NSDK_ASSERT_INT(nsdk_ioas_ranges(ioas, range, 3), 2);
	NSDK_ASSERT_INT(range[1].last, 0xffffffffffff);
	NSDK_ASSERT_INT(fake_kernel_mapped_bytes(0, iova), 2 * MIB);
	detach(0);
}

static void narrow_group_is_refused_when_mapped_above(void)
{
	fake_kernel_add_device()->bits = 39;
	attach(0);
	NSDK_ASSERT_INT(map(0x7f0000200000, 2 * MIB), 0x7f0000200000);
	NSDK_ASSERT_INT(fake_attach_group(ioas, 1, &member[1]), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:04.0");
	NSDK_ASSERT_INT(map(0x7f0000600000, MIB), 0x7f0000600000);
	detach(0);
}

static void unmap_reaches_the_kernel(void)
{
	uint64_t iova;

	attach(0);
	iova = map(0x7f0000200000, 2 * MIB);
	fake.unmap_error = EIO;
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 2 * MIB), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("stays pinned");
	/* A success that unmapped nothing is none. */
	fake.unmap_error = ENOENT;
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 2 * MIB), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("stays pinned");
	fake.unmap_error = 0;
	NSDK_ASSERT_INT(nsdk_ioas_unmap(ioas, (nsdk_iova_t){iova}, 2 * MIB), 0);
	NSDK_ASSERT_INT(fake_kernel_map_count(0), 0);
	detach(0);
}

static void no_mapping_left_is_explained(void)
{
	uint64_t iova;

	attach(0);
	fake.dma_avail = 0;
	NSDK_ASSERT_INT(map_at(0x7f0000200000, MIB, &iova), -ENOSPC);
	NSDK_ASSERT_ONE_SENTENCE("vfio_iommu_type1.dma_entry_limit");
	detach(0);
}

static void unsafe_interrupts_are_explained(void)
{
	fake.devices[0].unsafe_interrupts = true;
	NSDK_ASSERT_INT(fake_attach_group(ioas, 0, &member[0]), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("vfio_iommu_type1.allow_unsafe_interrupts=1");
}

static void group_that_is_not_ours_alone_is_explained(void)
{
	fake.devices[0].group_not_viable = true;
	NSDK_ASSERT_INT(fake_attach_group(ioas, 0, &member[0]), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("/sys/kernel/iommu_groups/7/devices");
}

/* ---- every call fails once ---- */

static int open_attach_map(void)
{
	uint64_t iova;
	int rc;

	rc = nsdk_iommu_open(NSDK_IOMMU_TYPE1, &iommu);
	if (rc != 0)
		return rc;
	rc = nsdk_ioas_create(iommu, &ioas);
	if (rc != 0)
		goto close_iommu;
	/* One that is made early and one that is made at once. */
	rc = map_at(0x7f0000200000, MIB, &iova);
	if (rc == 0)
		rc = fake_attach_group(ioas, 0, &member[0]);
	if (rc != 0)
		goto destroy_space;
	rc = fake_attach_group(ioas, 1, &member[1]);
	if (rc != 0)
		goto detach_first;
	rc = map_at(0x7f0000400000, 2 * MIB, &iova);
	if (rc == 0)
		return 0;
	detach(1);
detach_first:
	detach(0);
destroy_space:
	nsdk_ioas_destroy(ioas);
close_iommu:
	nsdk_iommu_close(iommu);
	return rc;
}

static bool is_tolerated(void)
{
	/* The verdict's questions: the kernel's, and the file of sysfs. */
	return fake.failed_request == VFIO_CHECK_EXTENSION || strcmp(fake.failed_call, "read") == 0;
}

static void every_call_may_fail(void)
{
	unsigned rounds = 0, tolerated = 0;

	close_space();
	fake_kernel_add_device()->sysfs_ecap = "f00f4a\n";
	fake.devices[0].sysfs_ecap = "f00f4a\n";
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++, rounds++) {
		int rc;

		nsdk_unit_log_clear();
		fake.failed_request = 0;
		fake.failed_call = "";
		rc = open_attach_map();
		if (nsdk_unit_failed() && rc != 0) {
			CU_ASSERT(rc == -EIO || rc == -ENODEV);
			/* The open of a group is the test's own, in place of lib/bus. */
			CU_ASSERT(nsdk_unit_log_count() == 1 || strcmp(fake.failed_call, "open") == 0);
			CU_ASSERT_TRUE(fake_kernel_is_idle());
			continue;
		}
		if (nsdk_unit_failed()) {
			CU_ASSERT_TRUE(is_tolerated() || strcmp(fake.failed_call, "open") == 0);
			tolerated++;
		}
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		/* A question of the first attach that failed has been asked again. */
		CU_ASSERT(verdict() == NSDK_SNOOP_PERMITTED ||
			  (nsdk_unit_failed() && verdict() == NSDK_SNOOP_UNKNOWN));
		NSDK_ASSERT_INT(fake_kernel_map_count(0), 2);
		/* What fails on the way back stays until its file is closed. */
		detach(1);
		detach(0);
		close_space();
		if (nsdk_unit_failed()) {
			fake.objects_left = 0;
			fake.misuses = 0;
		}
		CU_ASSERT_TRUE(fake_kernel_is_idle());
	}
	CU_ASSERT(rounds > 20);
	/* Two attaches: two answers of the kernel, two files and what is in them. */
	NSDK_ASSERT_INT(tolerated, 6);
	open_space();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(verdict_of_the_container),
	NSDK_UNIT_TEST(sysfs_is_the_second_witness),
	NSDK_UNIT_TEST(iommu_of_39_bits),
	NSDK_UNIT_TEST(kernel_that_does_not_tell_its_ranges),
	NSDK_UNIT_TEST(nonsense_from_the_kernel_is_an_error),
	NSDK_UNIT_TEST(early_mappings_are_made_with_the_first_device),
	NSDK_UNIT_TEST(early_mapping_out_of_reach_refuses_the_device),
	NSDK_UNIT_TEST(early_mapping_that_cannot_be_made_refuses_the_device),
	NSDK_UNIT_TEST(two_groups_in_one_container),
	NSDK_UNIT_TEST(narrow_group_is_refused_when_mapped_above),
	NSDK_UNIT_TEST(unmap_reaches_the_kernel),
	NSDK_UNIT_TEST(no_mapping_left_is_explained),
	NSDK_UNIT_TEST(unsafe_interrupts_are_explained),
	NSDK_UNIT_TEST(group_that_is_not_ours_alone_is_explained),
	NSDK_UNIT_TEST(every_call_may_fail),
};

NSDK_UNIT_MAIN("lib/iommu/type1", tests, .before = before, .after = after)
