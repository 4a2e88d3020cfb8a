/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions of a VFIO device, and the one that is config space. VFIO shows config space as a region of
 * the device's file and filters what is written: what could harm the host is virtualised.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <nsdk/log.h>

#include "vfio_internal.h"

/* How long a reset is tried again while the kernel has the function locked. */
#define RESET_RETRY_NS ((uint64_t)1000 * 1000 * 1000)
#define RESET_PAUSE_NS ((uint64_t)10 * 1000 * 1000)

int nsdk_vfio_region_info(int fd, uint32_t index, struct vfio_region_info **out)
{
	const struct vfio_region_info head = { .index = index };
	void *info = NULL;
	int rc = nsdk_vfio_info_get(fd, VFIO_DEVICE_GET_REGION_INFO, &head, sizeof(head), &info);

	*out = info;
	return rc;
}

const void *nsdk_vfio_region_cap(const struct vfio_region_info *info, uint16_t id, size_t bytes)
{
	uint32_t first = (info->flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 ? info->cap_offset : 0;

	return nsdk_vfio_cap_find(info, info->argsz, first, id, bytes);
}

int nsdk_vfio_cfg_open(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	struct vfio_region_info *info;
	int rc;

	rc = nsdk_vfio_region_info(vfio->fd, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (rc != 0)
		return nsdk_fail(rc, "bus", "the kernel does not show the config space of %s: %s",
				 dev->name, strerror(-rc));
	vfio->cfg_offset = info->offset;
	vfio->cfg_bytes = info->size;
	free(info);
	return 0;
}

int nsdk_vfio_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t *out)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	uint32_t value = 0;
	int64_t done;

	if (width > vfio->cfg_bytes || offset > vfio->cfg_bytes - width)
		return -EINVAL;
	done = nsdk_sys.pread(vfio->fd, &value, width, (int64_t)(vfio->cfg_offset + offset));
	if (done < 0)
		return -errno;
	if (done != (int64_t)width)
		return -EIO;
	*out = le32toh(value); /* the bytes lie at the low addresses, whatever the CPU */
	return 0;
}

int nsdk_vfio_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t value)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	uint32_t bytes = htole32(value);
	int64_t done;

	if (width > vfio->cfg_bytes || offset > vfio->cfg_bytes - width)
		return -EINVAL;
	done = nsdk_sys.pwrite(vfio->fd, &bytes, width, (int64_t)(vfio->cfg_offset + offset));
	if (done < 0)
		return -errno;
	return done == (int64_t)width ? 0 : -EIO;
}

int nsdk_vfio_reset(struct nsdk_device *dev)
{
	const struct timespec pause = {.tv_nsec = (long)RESET_PAUSE_NS};
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	uint32_t command = 0, class_revision = 0;
	int rc;

	if (!vfio->can_reset)
		return -EOPNOTSUPP;
	/* The kernel waits a minute for a function to come back that is not there. */
	rc = nsdk_vfio_cfg_read(dev, PCI_CLASS_REVISION, 4, &class_revision);
	if (rc == 0 && class_revision == UINT32_MAX)
		rc = -ENODEV;
	if (rc != 0)
		return rc;
	/* Off before the reset, because the kernel puts the Command register back as it was: a function
	 * that comes up with bus mastering on could repeat what it had under way. */
	rc = nsdk_vfio_cfg_read(dev, PCI_COMMAND, 2, &command);
	if (rc == 0)
		rc = nsdk_vfio_cfg_write(dev, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MASTER);
	if (rc != 0)
		return rc;
	for (uint64_t waited_ns = 0;; waited_ns += RESET_PAUSE_NS) {
		rc = nsdk_sys_ioctl(vfio->fd, VFIO_DEVICE_RESET, NULL);
		if (rc != -EAGAIN || waited_ns >= RESET_RETRY_NS)
			break;
		nanosleep(&pause, NULL);
	}
	return rc;
}
