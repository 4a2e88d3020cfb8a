/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two habits of the kernel's VFIO and iommufd interfaces that every caller needs: errors by errno,
 * and structs that end in a chain of capabilities.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "iommu_internal.h"

int nsdk_sys_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = nsdk_sys.ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

/* The first answer says how much room the capabilities need; it may grow until the next. */
#define INFO_TRIES 8u

int nsdk_vfio_info_get(int fd, unsigned long request, const void *head, uint32_t head_bytes,
		       void **out)
{
	uint32_t room = head_bytes, argsz;
	char *info = NULL, *bigger;
	int rc = -EMSGSIZE;

	*out = NULL;
	for (unsigned tries = 0; tries < INFO_TRIES; tries++) {
		bigger = realloc(info, room);
		if (bigger == NULL) {
			rc = -ENOMEM;
			break;
		}
		info = bigger;
		memset(info, 0, room);
		memcpy(info, head, head_bytes);
		memcpy(info, &room, sizeof(room));
		rc = nsdk_sys_ioctl(fd, request, info);
		if (rc != 0)
			break;
		memcpy(&argsz, info, sizeof(argsz));
		if (argsz <= room) {
			memcpy(info, &room, sizeof(room));
			*out = info;
			return 0;
		}
		room = argsz;
		rc = -EMSGSIZE;
	}
	free(info);
	return rc;
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
