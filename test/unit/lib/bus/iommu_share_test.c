/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdlib.h>

#include "fake_pci.h"
#include "lib/bus/bus_internal.h"

static void one_handle_a_backend(void)
{
	struct nsdk_iommu *first, *second, *soft;

	CU_ASSERT_EQUAL_FATAL(nsdk_bus_iommu_get(NSDK_IOMMU_AUTO, &first), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_bus_iommu_get(NSDK_IOMMU_IOMMUFD, &second), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_bus_iommu_get(NSDK_IOMMU_SOFT, &soft), 0);
	CU_ASSERT_PTR_EQUAL(first, second);
	CU_ASSERT_PTR_NOT_EQUAL(first, soft);
	NSDK_ASSERT_INT(fake.open_fds, 1);
	nsdk_bus_iommu_put(first);
	NSDK_ASSERT_INT(fake.open_fds, 1);
	nsdk_bus_iommu_put(second);
	NSDK_ASSERT_INT(fake.open_fds, 0);
	nsdk_bus_iommu_put(soft);
	nsdk_bus_iommu_put(NULL);
}

static void failed_get_takes_no_reference(void)
{
	struct nsdk_iommu *iommu;

	fake.no_iommufd = true;
	NSDK_ASSERT_INT(nsdk_bus_iommu_get(NSDK_IOMMU_IOMMUFD, &iommu), -ENODEV);
	CU_ASSERT_PTR_NULL(iommu);
	NSDK_ASSERT_ONE_SENTENCE("/dev/iommu");
	fake.no_iommufd = false;
	CU_ASSERT_EQUAL_FATAL(nsdk_bus_iommu_get(NSDK_IOMMU_IOMMUFD, &iommu), 0);
	nsdk_bus_iommu_put(iommu);
	NSDK_ASSERT_INT(fake.open_fds, 0);
}

static void handle_of_somebody_else_is_not_closed(void)
{
	struct nsdk_iommu *own;

	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &own), 0);
	nsdk_bus_iommu_put(own);
	NSDK_ASSERT_INT(fake.open_fds, 1);
	nsdk_iommu_close(own);
}

static void space_is_made_given_or_refused(void)
{
	struct nsdk_device dev = {.name = "emu:test"};
	struct nsdk_device_opts opts = {.opts_bytes = sizeof(opts)};
	struct nsdk_iommu *iommu;

	CU_ASSERT_EQUAL_FATAL(nsdk_bus_space_get(&dev, &opts, NSDK_IOMMU_SOFT), 0);
	CU_ASSERT_TRUE(dev.ioas_owned);
	NSDK_ASSERT_INT(nsdk_iommu_backend_of(nsdk_ioas_iommu(dev.ioas)), NSDK_IOMMU_SOFT);
	nsdk_bus_space_put(&dev);
	CU_ASSERT_PTR_NULL(dev.ioas);
	nsdk_bus_space_put(&dev);

	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &iommu), 0);
	opts.iommu = iommu;
	NSDK_ASSERT_INT(nsdk_bus_space_get(&dev, &opts, NSDK_IOMMU_SOFT), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("emu:test cannot use");
	CU_ASSERT_EQUAL_FATAL(nsdk_bus_space_get(&dev, &opts, NSDK_IOMMU_IOMMUFD), 0);
	CU_ASSERT_PTR_EQUAL(nsdk_ioas_iommu(dev.ioas), iommu);
	opts.ioas = dev.ioas;
	dev.ioas_owned = false;
	nsdk_bus_space_put(&dev);
	CU_ASSERT_EQUAL_FATAL(nsdk_bus_space_get(&dev, &opts, NSDK_IOMMU_IOMMUFD), 0);
	CU_ASSERT_PTR_EQUAL(dev.ioas, opts.ioas);
	nsdk_bus_space_put(&dev);
	nsdk_ioas_destroy(opts.ioas);
	nsdk_iommu_close(iommu);
}

static void every_call_may_fail(void)
{
	const struct nsdk_device_opts opts = {.opts_bytes = sizeof(opts)};
	struct nsdk_device dev = {.name = "pci:test"};

	setenv("NSDK_IOMMU", "iommufd", 1);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc;

		nsdk_unit_log_clear();
		rc = nsdk_bus_space_get(&dev, &opts, NSDK_IOMMU_AUTO);
		NSDK_ASSERT_INT(rc, nsdk_unit_failed() ? -EIO : 0);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), nsdk_unit_failed() ? 1 : 0);
		if (rc != 0)
			CU_ASSERT_TRUE(fake_kernel_is_idle());
		/* On the way back a call fails in the last rounds: the object ends with its file. */
		nsdk_bus_space_put(&dev);
		fake.objects_left = 0;
	}
	unsetenv("NSDK_IOMMU");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(one_handle_a_backend),
	NSDK_UNIT_TEST(failed_get_takes_no_reference),
	NSDK_UNIT_TEST(handle_of_somebody_else_is_not_closed),
	NSDK_UNIT_TEST(space_is_made_given_or_refused),
	NSDK_UNIT_TEST(every_call_may_fail),
};

NSDK_UNIT_MAIN("lib/bus/iommu_share", tests, .before = fake_lab_start, .after = fake_lab_stop)
