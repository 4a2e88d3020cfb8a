/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two habits of the kernel's VFIO and iommufd interfaces that every caller needs: errors by errno,
 * and structs that end in a chain of capabilities.
 */
#include <errno.h>

#include <linux/vfio.h>

#include "iommu_internal.h"

int nsdk_sys_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = nsdk_sys.ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

const void *nsdk_vfio_cap_find(const void *info, uint32_t info_bytes, uint32_t first, uint16_t id,
			       size_t bytes)
{
	const struct vfio_info_cap_header *header;
	uint32_t offset = first;

	/* Each step must go forward, so that a broken chain ends. */
	while (offset != 0 && offset + sizeof(*header) <= info_bytes) {
		header = (const void *)((const char *)info + offset);
		if (header->id == id)
			return offset + bytes <= info_bytes ? header : NULL;
		if (header->next <= offset)
			break;
		offset = header->next;
	}
	return NULL;
}
