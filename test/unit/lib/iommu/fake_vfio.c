/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake kernel's VFIO: devices by cdev and by group, groups, containers.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

/* ---- containers ---- */

static uint32_t space_of(const struct fake_file *container)
{
	return (uint32_t)fake_fd_of(container);
}

static struct fake_device *group_devices(const struct fake_file *container, unsigned *at)
{
	/* The groups that are in it are found by their files. */
	for (; *at < 64; (*at)++) {
		struct fake_file *file = fake_file_of(1000 + (int)*at);

		if (file != NULL && file->kind == FAKE_GROUP &&
		    file->container == fake_fd_of(container)) {
			(*at)++;
			return file->device;
		}
	}
	return NULL;
}

static int container_cc(const struct fake_file *container)
{
	struct fake_device *device;
	unsigned at = 0;
	int cc = 1;

	if (!container->iommu_set)
		return 0;
	while ((device = group_devices(container, &at)) != NULL)
		if (!device->enforces)
			cc = 0;
	return fake.cc_answer >= 0 ? fake.cc_answer : cc;
}

static int set_iommu(struct fake_file *container, uintptr_t type)
{
	struct fake_device *device;
	unsigned at = 0;

	if (container->members == 0 || container->iommu_set || type != VFIO_TYPE1v2_IOMMU)
		return fake_errno(EINVAL);
	while ((device = group_devices(container, &at)) != NULL)
		if (device->unsafe_interrupts)
			return fake_errno(EPERM);
	container->iommu_set = true;
	return 0;
}

/* The header, the ranges and the number of mappings left, in this order. */
static int get_info(struct fake_file *container, struct vfio_iommu_type1_info *info)
{
	struct nsdk_iova_range gaps[8];
	unsigned count = fake_gaps(space_of(container), gaps, 8);
	struct vfio_iommu_type1_info_cap_iova_range *ranges;
	struct vfio_iommu_type1_info_dma_avail *avail;
	size_t ranges_at = sizeof(*info);
	size_t avail_at = ranges_at + sizeof(*ranges) + count * sizeof(ranges->iova_ranges[0]);
	size_t need = avail_at + sizeof(*avail);
	bool fits = info->argsz >= need;

	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = ~0xfffull;
	info->argsz = (uint32_t)need;
	info->cap_offset = 0;
	if (!fits)
		return 0;
	info->cap_offset = (uint32_t)(fake.no_iova_cap ? avail_at : ranges_at);
	ranges = (void *)((char *)info + ranges_at);
	ranges->header = (struct vfio_info_cap_header){
		.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
		.version = 1,
		.next = (uint32_t)avail_at,
	};
	ranges->nr_iovas = fake.broken_caps ? 1000 : count;
	for (unsigned i = 0; i < count; i++)
		ranges->iova_ranges[i] = (struct vfio_iova_range){gaps[i].first, gaps[i].last};
	avail = (void *)((char *)info + avail_at);
	avail->header = (struct vfio_info_cap_header){.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL};
	avail->avail = fake.dma_avail;
	/* A chain that goes in a circle, for whoever looks for what is not there. */
	avail->header.next = fake.no_iova_cap ? (uint32_t)avail_at : 0;
	return 0;
}

static int map_dma(struct fake_file *container, struct vfio_iommu_type1_dma_map *cmd)
{
	if (!container->iommu_set)
		return fake_errno(EINVAL);
	if (fake.dma_avail == 0)
		return fake_errno(ENOSPC);
	if (fake_map_add(space_of(container), cmd->iova, cmd->vaddr, cmd->size, cmd->flags, true) != 0)
		return -1;
	fake.dma_avail--;
	return 0;
}

static int unmap_dma(struct fake_file *container, struct vfio_iommu_type1_dma_unmap *cmd)
{
	if (!container->iommu_set)
		return fake_errno(EINVAL);
	if (fake_map_remove(space_of(container), cmd->iova, cmd->size) != 0) {
		if (errno != ENOENT)
			return -1;
		cmd->size = 0; /* how type1 says that there was nothing */
		return 0;
	}
	fake.dma_avail++;
	return 0;
}

int fake_container_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		if ((uintptr_t)arg == VFIO_TYPE1v2_IOMMU)
			return fake.no_type1 ? 0 : 1;
		return (uintptr_t)arg == VFIO_DMA_CC_IOMMU ? container_cc(file) : 0;
	case VFIO_SET_IOMMU:
		return set_iommu(file, (uintptr_t)arg);
	case VFIO_IOMMU_GET_INFO:
		return file->iommu_set ? get_info(file, arg) : fake_errno(EINVAL);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(file, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(file, arg);
	default:
		return fake_errno(ENOTTY);
	}
}

void fake_container_closed(struct fake_file *file)
{
	if (file->members != 0)
		fake_misuse("a container is closed with groups in it");
	fake.objects_left += fake_map_drop(space_of(file));
}

/* ---- groups ---- */

static int join(struct fake_file *group, int container_fd)
{
	struct fake_file *container = fake_file_of(container_fd);
	int error;

	if (container == NULL || container->kind != FAKE_CONTAINER || group->container != 0)
		return fake_errno(EINVAL);
	if (group->device->group_not_viable)
		return fake_errno(EBUSY);
	if (container->iommu_set && group->device->unsafe_interrupts)
		return fake_errno(EPERM);
	error = fake_reserve_device(space_of(container), (uint32_t)fake_fd_of(group), group->device);
	if (error != 0)
		return fake_errno(EINVAL); /* what type1 says to mappings in the way */
	group->container = container_fd;
	container->members++;
	return 0;
}

static int leave(struct fake_file *group)
{
	struct fake_file *container = fake_file_of(group->container);

	if (container == NULL)
		return fake_errno(EINVAL);
	for (unsigned i = 0; i < fake.device_count; i++)
		if (fake.devices[i].group == group->device->group && fake.devices[i].open_count > 0)
			return fake_errno(EBUSY);
	group->container = 0;
	fake_unreserve(space_of(container), (uint32_t)fake_fd_of(group));
	if (--container->members == 0) {
		/* The kernel takes the IOMMU away, and all that was mapped. */
		fake.dma_avail += fake_map_drop(space_of(container));
		container->iommu_set = false;
	}
	return 0;
}

/* The kernel turns bus mastering off when it opens a function; we do not rely on it. */
static void opened(struct fake_device *device, const struct fake_file *file)
{
	if (!device->keeps_master)
		device->config[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_MASTER;
	device->open_count++;
	device->fd = fake_fd_of(file);
}

static int device_fd(struct fake_file *group, const char *bdf)
{
	struct fake_file *container = fake_file_of(group->container), *file;

	if (container == NULL || !container->iommu_set)
		return fake_errno(EINVAL);
	for (unsigned i = 0; i < fake.device_count; i++) {
		struct fake_device *device = &fake.devices[i];

		if (strcmp(device->bdf, bdf) != 0 || device->group != group->device->group)
			continue;
		file = fake_file_new(FAKE_DEVICE);
		file->device = device;
		file->group_file = fake_fd_of(group);
		opened(device, file);
		return device->fd;
	}
	return fake_errno(ENODEV);
}

int fake_group_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	struct vfio_group_status *status;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		status = arg;
		status->flags = file->device->group_not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		return join(file, *(int *)arg);
	case VFIO_GROUP_UNSET_CONTAINER:
		return leave(file);
	case VFIO_GROUP_GET_DEVICE_FD:
		return device_fd(file, arg);
	default:
		return fake_errno(ENOTTY);
	}
}

void fake_group_closed(struct fake_file *file)
{
	if (file->container != 0)
		fake_misuse("a group is closed in its container");
}

/* ---- devices ---- */

static void note_master(struct fake_device *device)
{
	if ((device->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0 && !device->vanished)
		device->dma_possible_at_close = true;
}

static int bind_iommufd(struct fake_file *file, struct vfio_device_bind_iommufd *cmd)
{
	if (file->iommufd != 0 || file->device->busy || file->device->open_count > 0)
		return fake_errno(EINVAL);
	if (fake_iommufd_bind(file->device, cmd->iommufd) != 0)
		return -1;
	file->iommufd = cmd->iommufd;
	opened(file->device, file);
	cmd->out_devid = file->device->devid;
	return 0;
}

static int region_info(struct fake_device *device, struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap *sparse;
	size_t need = sizeof(*info);
	bool has_caps;

	if (info->index > VFIO_PCI_CONFIG_REGION_INDEX)
		return fake_errno(EINVAL);
	info->offset = (uint64_t)info->index << 40;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->cap_offset = 0;
	if (info->index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info->size = sizeof(device->config);
		info->argsz = (uint32_t)need;
		return 0;
	}
	info->size = info->index < FAKE_BARS ? device->bar_bytes[info->index] : 0;
	if (info->index == 0 && !device->bar_not_mappable)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (info->index == 0 && device->sparse_count > 0) {
		need += sizeof(*sparse) + device->sparse_count * sizeof(sparse->areas[0]);
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	}
	has_caps = need > sizeof(*info) && info->argsz >= need;
	info->argsz = (uint32_t)need;
	if (!has_caps)
		return 0;
	info->cap_offset = sizeof(*info);
	sparse = (void *)(info + 1);
	sparse->header = (struct vfio_info_cap_header){.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
						       .version = 1};
	sparse->nr_areas = fake.broken_caps ? 1000 : device->sparse_count;
	for (unsigned i = 0; i < device->sparse_count; i++) {
		sparse->areas[i].offset = device->sparse[i].first;
		sparse->areas[i].size = device->sparse[i].last - device->sparse[i].first + 1;
	}
	return 0;
}

static int irq_info(struct fake_device *device, struct vfio_irq_info *info)
{
	switch (info->index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		info->count = device->msix_count;
		return 0;
	case VFIO_PCI_REQ_IRQ_INDEX:
		info->count = 1;
		return 0;
	case VFIO_PCI_ERR_IRQ_INDEX:
		/* Only PCI Express functions have it. */
		info->count = 1;
		return device->config[0x80] == PCI_CAP_ID_EXP ? 0 : fake_errno(EINVAL);
	default:
		info->count = 1;
		return 0;
	}
}

static int set_irqs(struct fake_device *device, const struct vfio_irq_set *set)
{
	int fds[16];

	if (set->count > 16)
		return fake_errno(EINVAL);
	memcpy(fds, set->data, set->count * sizeof(fds[0]));
	for (unsigned i = 0; i < set->count; i++)
		if (fds[i] >= 0 && fake_file_of(fds[i]) == NULL)
			return fake_errno(EBADF);
	switch (set->index) {
	case VFIO_PCI_REQ_IRQ_INDEX:
	case VFIO_PCI_ERR_IRQ_INDEX:
		device->notice_fds[set->index == VFIO_PCI_ERR_IRQ_INDEX] = set->count == 1 ? fds[0] : -1;
		return 0;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		if (set->count == 0) {
			device->irqs_armed = 0;
			return 0;
		}
		/* As kernels before 6.5: the number is fixed until it is switched off. */
		if (set->start != 0 || device->irqs_armed != 0) {
			if (set->start + set->count > (unsigned)device->irqs_armed)
				return fake_errno(EINVAL);
			memcpy(&device->irq_fds[set->start], fds, set->count * sizeof(fds[0]));
			return 0;
		}
		if (set->count > device->msix_count)
			return fake_errno(EINVAL);
		if (device->msix_limit != 0 && set->count > (unsigned)device->msix_limit)
			return device->msix_limit;
		memcpy(device->irq_fds, fds, set->count * sizeof(fds[0]));
		device->irqs_armed = set->count;
		return 0;
	default:
		return fake_errno(ENOTTY);
	}
}

static int reset(struct fake_device *device)
{
	if (device->no_reset)
		return fake_errno(EINVAL);
	if (device->vanished)
		return fake_errno(ENOTTY);
	if (device->reset_again > 0) {
		device->reset_again--;
		return fake_errno(EAGAIN);
	}
	device->resets++;
	if ((device->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0)
		device->master_at_reset = true;
	return 0;
}

int fake_device_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	struct fake_device *device = file->device;
	struct vfio_device_info *info;

	if (request == VFIO_DEVICE_BIND_IOMMUFD)
		return file->group_file != 0 ? fake_errno(EINVAL) : bind_iommufd(file, arg);
	/* A cdev answers nothing before it is bound. */
	if (file->iommufd == 0 && file->group_file == 0)
		return fake_errno(EINVAL);
	switch (request) {
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return fake_iommufd_attach(device,
					   &((struct vfio_device_attach_iommufd_pt *)arg)->pt_id);
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		note_master(device);
		fake_iommufd_detach(device);
		return 0;
	case VFIO_DEVICE_GET_INFO:
		info = arg;
		info->flags = VFIO_DEVICE_FLAGS_PCI |
			      (device->no_reset ? 0u : (unsigned)VFIO_DEVICE_FLAGS_RESET);
		info->num_regions = 9;
		info->num_irqs = 5;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(device, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(device, arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(device, arg);
	case VFIO_DEVICE_RESET:
		return reset(device);
	default:
		return fake_errno(ENOTTY);
	}
}

void fake_device_closed(struct fake_file *file)
{
	struct fake_device *device = file->device;

	if (file->mmaps != 0)
		fake_misuse("a device's file is closed while it is mapped");
	if (file->group_file != 0)
		note_master(device);
	if (file->iommufd != 0)
		fake_iommufd_unbind(device);
	if (file->iommufd != 0 || file->group_file != 0)
		device->open_count--;
	device->irqs_armed = 0;
	device->notice_fds[0] = -1;
	device->notice_fds[1] = -1;
}
