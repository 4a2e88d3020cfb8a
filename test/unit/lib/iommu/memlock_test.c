/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/iommu/ioas_internal.h"

static const struct nsdk_mapping map = {.first = 0x10000, .last = 0x10000 + (4 << 20) - 1};
static struct rlimit limit_before;

/* The capability is taken away from this thread for a test, by the system call for one thread. */
static struct __user_cap_data_struct caps_before[_LINUX_CAPABILITY_U32S_3];

static void set_caps(const struct __user_cap_data_struct *caps)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	CU_ASSERT_EQUAL(syscall(SYS_capset, &header, caps), 0);
}

static void before(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	nsdk_unit_log_start();
	CU_ASSERT_EQUAL(syscall(SYS_capget, &header, caps_before), 0);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_MEMLOCK, &limit_before), 0);
}

static void after(void)
{
	set_caps(caps_before);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_MEMLOCK, &limit_before), 0);
	nsdk_unit_log_stop();
}

static void set_limit(rlim_t bytes)
{
	struct rlimit limit = limit_before;

	limit.rlim_cur = bytes;
	if (limit.rlim_max != RLIM_INFINITY && (bytes == RLIM_INFINITY || limit.rlim_max < bytes))
		limit.rlim_max = bytes;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		nsdk_skip("the hard limit on locked memory cannot be raised by this user");
}

static void drop_ipc_lock(void)
{
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	memcpy(caps, caps_before, sizeof(caps));
	caps[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	set_caps(caps);
}

static void limit_is_named_with_its_cure(void)
{
	set_limit(1 << 20);
	drop_ipc_lock();
	NSDK_ASSERT_INT(nsdk_iommu_map_failed(-ENOMEM, &map), -ENOMEM);
	CU_ASSERT_TRUE(nsdk_unit_log_has("cannot pin 4096 KiB"));
	CU_ASSERT_TRUE(nsdk_unit_log_has("(RLIMIT_MEMLOCK) is 1024 KiB"));
	CU_ASSERT_TRUE(nsdk_unit_log_has("LimitMEMLOCK=infinity"));
	NSDK_ASSERT_ONE_SENTENCE("ulimit -l unlimited");
}

static void without_a_limit_memory_has_run_out(void)
{
	set_limit(RLIM_INFINITY);
	drop_ipc_lock();
	NSDK_ASSERT_INT(nsdk_iommu_map_failed(-ENOMEM, &map), -ENOMEM);
	CU_ASSERT_FALSE(nsdk_unit_log_has("RLIMIT_MEMLOCK"));
	NSDK_ASSERT_ONE_SENTENCE("no memory left");
}

static void who_has_no_limit_is_not_told_of_it(void)
{
	if ((caps_before[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) == 0)
		nsdk_skip("this user has no CAP_IPC_LOCK");
	set_limit(1 << 20);
	NSDK_ASSERT_INT(nsdk_iommu_map_failed(-ENOMEM, &map), -ENOMEM);
	CU_ASSERT_FALSE(nsdk_unit_log_has("RLIMIT_MEMLOCK"));
	NSDK_ASSERT_ONE_SENTENCE("no memory left");
}

static void other_errors_are_one_sentence_each(void)
{
	NSDK_ASSERT_INT(nsdk_iommu_map_failed(-EFAULT, &map), -EFAULT);
	NSDK_ASSERT_ONE_SENTENCE("is not there");
	NSDK_ASSERT_INT(nsdk_iommu_map_failed(-EEXIST, &map), -EEXIST);
	NSDK_ASSERT_ONE_SENTENCE("IOVA 0x10000");
	NSDK_ASSERT_INT(nsdk_iommu_map_failed(-EIO, &map), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("4194304 bytes");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(limit_is_named_with_its_cure),
	NSDK_UNIT_TEST(without_a_limit_memory_has_run_out),
	NSDK_UNIT_TEST(who_has_no_limit_is_not_told_of_it),
	NSDK_UNIT_TEST(other_errors_are_one_sentence_each),
};

NSDK_UNIT_MAIN("lib/iommu/memlock", tests, .before = before, .after = after)
