/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kernel.h"
#include "lib/iommu/iommu_internal.h"

static struct nsdk_iommu *iommu;

static void before(void)
{
	fake_kernel_start();
}

static void after(void)
{
	unsetenv("NSDK_IOMMU");
	fake_kernel_stop();
}

static enum nsdk_iommu_backend opened(enum nsdk_iommu_backend asked)
{
	enum nsdk_iommu_backend backend;

	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(asked, &iommu), 0);
	backend = nsdk_iommu_backend_of(iommu);
	CU_ASSERT_EQUAL(nsdk_iommu_fd(iommu) >= 0, backend == NSDK_IOMMU_IOMMUFD);
	nsdk_iommu_close(iommu);
	return backend;
}

static int refused(enum nsdk_iommu_backend asked)
{
	int rc = nsdk_iommu_open(asked, &iommu);

	CU_ASSERT_PTR_NULL(iommu);
	return rc;
}

static void auto_prefers_iommufd(void)
{
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_AUTO), NSDK_IOMMU_IOMMUFD);
	fake.no_iommufd = true;
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_AUTO), NSDK_IOMMU_TYPE1);
}

static void auto_takes_what_the_user_may_open(void)
{
	fake.denied_path = "/dev/iommu";
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_AUTO), NSDK_IOMMU_TYPE1);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void environment_forces(void)
{
	setenv("NSDK_IOMMU", "type1", 1);
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_AUTO), NSDK_IOMMU_TYPE1);
	/* But not against the program. */
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_IOMMUFD), NSDK_IOMMU_IOMMUFD);
	setenv("NSDK_IOMMU", "iommufd", 1);
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_AUTO), NSDK_IOMMU_IOMMUFD);
	fake.no_iommufd = true;
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_AUTO), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("CONFIG_IOMMUFD");
	setenv("NSDK_IOMMU", "", 1);
	NSDK_ASSERT_INT(opened(NSDK_IOMMU_AUTO), NSDK_IOMMU_TYPE1);
	setenv("NSDK_IOMMU", "soft", 1);
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_AUTO), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("NSDK_IOMMU=soft is not understood");
}

static void resolve_says_whether_it_was_forced(void)
{
	enum nsdk_iommu_backend backend;
	bool forced = true;

	NSDK_ASSERT_INT(nsdk_iommu_resolve(NSDK_IOMMU_AUTO, &backend, &forced), 0);
	CU_ASSERT_FALSE(forced);
	setenv("NSDK_IOMMU", "type1", 1);
	NSDK_ASSERT_INT(nsdk_iommu_resolve(NSDK_IOMMU_AUTO, &backend, &forced), 0);
	CU_ASSERT_TRUE(forced);
	NSDK_ASSERT_INT(backend, NSDK_IOMMU_TYPE1);
}

static void nothing_there_is_one_sentence(void)
{
	fake.no_iommufd = true;
	fake.no_container = true;
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_AUTO), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("modprobe vfio-pci");
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_TYPE1), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("/dev/vfio/vfio");
	fake.no_container = false;
	fake.no_type1 = true;
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_TYPE1), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("modprobe vfio_iommu_type1");
}

static void no_permission_names_the_file_and_the_cure(void)
{
	fake.denied_path = "/dev/iommu";
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_IOMMUFD), -EACCES);
	CU_ASSERT_TRUE(nsdk_unit_log_has("chgrp GROUP /dev/iommu"));
	NSDK_ASSERT_ONE_SENTENCE("KERNEL==\"iommu\"");
	fake.no_container = true;
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_AUTO), -EACCES);
	NSDK_ASSERT_ONE_SENTENCE("no permission to open /dev/iommu");
	fake.no_container = false;
	fake.no_iommufd = true;
	fake.denied_path = "/dev/vfio/vfio";
	NSDK_ASSERT_INT(refused(NSDK_IOMMU_AUTO), -EACCES);
	NSDK_ASSERT_ONE_SENTENCE("no permission to open /dev/vfio/vfio");
}

static void probing_is_silent(void)
{
	char reason[256];

	fake.no_iommufd = true;
	NSDK_ASSERT_INT(nsdk_iommu_probe(NSDK_IOMMU_IOMMUFD, reason, sizeof(reason)), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(reason, "CONFIG_IOMMUFD"));
	NSDK_ASSERT_INT(nsdk_iommu_probe(NSDK_IOMMU_IOMMUFD, NULL, 0), -ENODEV);
	NSDK_ASSERT_INT(nsdk_iommu_probe(NSDK_IOMMU_TYPE1, reason, sizeof(reason)), 0);
	NSDK_ASSERT_TEXT(reason, "");
	NSDK_ASSERT_INT(nsdk_iommu_probe(NSDK_IOMMU_SOFT, reason, sizeof(reason)), 0);
	NSDK_ASSERT_INT(nsdk_iommu_probe(NSDK_IOMMU_AUTO, reason, sizeof(reason)), -EINVAL);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void backends_have_names(void)
{
	NSDK_ASSERT_TEXT(nsdk_iommu_backend_name(NSDK_IOMMU_IOMMUFD), "iommufd");
	NSDK_ASSERT_TEXT(nsdk_iommu_backend_name(NSDK_IOMMU_TYPE1), "type1");
	NSDK_ASSERT_TEXT(nsdk_iommu_backend_name(NSDK_IOMMU_SOFT), "soft");
	NSDK_ASSERT_TEXT(nsdk_iommu_backend_name((enum nsdk_iommu_backend)9), "none");
	NSDK_ASSERT_INT(refused((enum nsdk_iommu_backend)9), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("number 9");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(auto_prefers_iommufd),
	NSDK_UNIT_TEST(auto_takes_what_the_user_may_open),
	NSDK_UNIT_TEST(environment_forces),
	NSDK_UNIT_TEST(resolve_says_whether_it_was_forced),
	NSDK_UNIT_TEST(nothing_there_is_one_sentence),
	NSDK_UNIT_TEST(no_permission_names_the_file_and_the_cure),
	NSDK_UNIT_TEST(probing_is_silent),
	NSDK_UNIT_TEST(backends_have_names),
};

NSDK_UNIT_MAIN("lib/iommu/iommu", tests, .before = before, .after = after)
