/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdlib.h>

#include "fake_pci.h"
#include "lib/bus/vfio_internal.h"

static struct nsdk_device_opts shared;
static struct nsdk_device *first, *second;

/* Two functions in IOMMU group 7, and an address space for both. */
static void before(void)
{
	fake_lab_start();
	setenv("NSDK_IOMMU", "type1", 1);
	fake_kernel_add_device()->group = 7;
	shared = (struct nsdk_device_opts){.opts_bytes = sizeof(shared), .bind = true};
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_TYPE1, &shared.iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(shared.iommu, &shared.ioas), 0);
}

static void after(void)
{
	nsdk_ioas_destroy(shared.ioas);
	nsdk_iommu_close(shared.iommu);
	unsetenv("NSDK_IOMMU");
	fake_lab_stop();
}

static void devices_of_a_group_share_its_file(void)
{
	unsigned files;
	nsdk_iova_t iova;

	CU_ASSERT_EQUAL_FATAL(fake_attach(0, &shared, &first), 0);
	files = fake.open_fds;
	CU_ASSERT_EQUAL_FATAL(fake_attach(1, &shared, &second), 0);
	/* The device and its two notices, but no second group. */
	NSDK_ASSERT_INT(fake.open_fds, files + 3);
	NSDK_ASSERT_INT(nsdk_ioas_map(shared.ioas, (void *)0x7f0000000000, 4096, NSDK_IOAS_RW, false,
				      &iova), 0);
	nsdk_device_detach(first);
	/* The group stays in its container for the other one. */
	NSDK_ASSERT_INT(fake_kernel_map_count(1), 1);
	nsdk_device_detach(second);
	NSDK_ASSERT_INT(fake.open_fds, 1);
}

static void group_can_be_taken_again(void)
{
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL_FATAL(fake_attach(0, &shared, &first), 0);
		nsdk_device_detach(first);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void group_is_in_one_address_space(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, &shared, &first), 0);
	NSDK_ASSERT_INT(fake_attach(1, NULL, &second), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:04.0 shares IOMMU group 7 with 0000:00:03.0");
	NSDK_ASSERT_TEXT(fake_functions[1].driver, "nvme");
	nsdk_device_detach(first);
	/* Nobody is in the way any more. */
	CU_ASSERT_EQUAL_FATAL(fake_attach(1, NULL, &second), 0);
	nsdk_device_detach(second);
}

static void failed_open_leaves_no_group_behind(void)
{
	fake.devices[0].group_not_viable = true;
	NSDK_ASSERT_INT(fake_attach(0, &shared, &first), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("IOMMU group 7");
	fake.devices[0].group_not_viable = false;
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &first), 0);
	nsdk_device_detach(first);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(devices_of_a_group_share_its_file),
	NSDK_UNIT_TEST(group_can_be_taken_again),
	NSDK_UNIT_TEST(group_is_in_one_address_space),
	NSDK_UNIT_TEST(failed_open_leaves_no_group_behind),
};

NSDK_UNIT_MAIN("lib/bus/vfio_group", tests, .before = before, .after = after)
