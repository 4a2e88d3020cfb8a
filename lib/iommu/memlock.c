/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why memory could not be mapped for DMA. The usual reason is the limit on locked memory, which the
 * kernel reports as if memory had run out.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include <nsdk/log.h>

#include "ioas_internal.h"

/* The kernel does not count the memory of who has CAP_IPC_LOCK. */
static bool may_lock_without_limit(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	memset(data, 0, sizeof(data));
	if (syscall(SYS_capget, &header, data) != 0)
		return false;
	return (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) != 0;
}

static int no_memory(const struct nsdk_mapping *map)
{
	unsigned long long wanted_kib = nsdk_mapping_bytes(map) >> 10;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    !may_lock_without_limit())
		return nsdk_fail(-ENOMEM, "iommu",
				 "cannot pin %llu KiB for DMA: the limit on locked memory "
				 "(RLIMIT_MEMLOCK) is %llu KiB for all of this user; raise it with "
				 "'ulimit -l unlimited' in a root shell that starts the program, a "
				 "'memlock' line in /etc/security/limits.conf, or LimitMEMLOCK=infinity "
				 "in its systemd unit",
				 wanted_kib, (unsigned long long)limit.rlim_cur >> 10);
	return nsdk_fail(-ENOMEM, "iommu",
			 "cannot map %llu KiB for DMA: the kernel has no memory left for it; see "
			 "'free -m' and, in a container, its memory limit",
			 wanted_kib);
}

int nsdk_iommu_map_failed(int error, const struct nsdk_mapping *map)
{
	unsigned long long bytes = nsdk_mapping_bytes(map), iova = map->first;

	switch (error) {
	case -ENOMEM:
		return no_memory(map);
	case -EFAULT:
	case -EPERM:
		return nsdk_fail(error, "iommu",
				 "cannot map %llu bytes at %p for DMA: that memory is not there, or a "
				 "device is to write it and the process may not",
				 bytes, map->va);
	case -EEXIST:
		return nsdk_fail(error, "iommu",
				 "cannot map at IOVA 0x%llx: the kernel has a mapping of somebody else "
				 "there",
				 iova);
	default:
		return nsdk_fail(error, "iommu",
				 "the kernel refuses to map %llu bytes at %p to IOVA 0x%llx: %s", bytes,
				 map->va, iova, strerror(-error));
	}
}
