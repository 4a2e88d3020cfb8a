/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The type1 backend: VFIO containers (linux/vfio.h), for kernels without iommufd, such as Debian's.
 *
 * One container is one address space. Whole IOMMU groups join it, and the kernel gives it an IOMMU
 * only when it has a group and takes it away with the last one, mappings included. So mappings made
 * before are kept here and made again when the first group joins.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <nsdk/log.h>

#include "ioas_internal.h"

static int type1_open(struct nsdk_iommu *iommu)
{
	char reason[512];
	int rc = nsdk_iommu_probe(NSDK_IOMMU_TYPE1, reason, sizeof(reason));

	return rc == 0 ? 0 : nsdk_fail(rc, "iommu", "%s", reason);
}

static void type1_close(struct nsdk_iommu *iommu)
{
}

static int type1_create(struct nsdk_ioas *ioas)
{
	int rc;

	ioas->container_fd = nsdk_sys.open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (ioas->container_fd < 0) {
		rc = -errno;
		return nsdk_fail(rc, "iommu", "cannot open /dev/vfio/vfio: %s", strerror(-rc));
	}
	return 0;
}

static void type1_destroy(struct nsdk_ioas *ioas)
{
	nsdk_sys.close(ioas->container_fd);
}

/* ---- what the container says of itself ---- */

/* The whole of VFIO_IOMMU_GET_INFO with its capabilities, to be freed. @return 0 or -errno. */
static int get_info(const struct nsdk_ioas *ioas, struct vfio_iommu_type1_info **out)
{
	const struct vfio_iommu_type1_info head = { .flags = 0 };
	void *info = NULL;
	int rc = nsdk_vfio_info_get(ioas->container_fd, VFIO_IOMMU_GET_INFO, &head, sizeof(head),
				    &info);

	*out = info;
	return rc;
}

static const void *find_cap(const struct vfio_iommu_type1_info *info, uint16_t id, size_t bytes)
{
	uint32_t first = (info->flags & VFIO_IOMMU_INFO_CAPS) != 0 ? info->cap_offset : 0;

	return nsdk_vfio_cap_find(info, info->argsz, first, id, bytes);
}

/* What to assume of a kernel before 5.4, which does not tell: narrow, and without x86's window for
 * interrupts. */
static const struct nsdk_iova_range cautious_ranges[] = {
	{.first = 0, .last = 0xfedfffff},
	{.first = 0xfef00000, .last = ((uint64_t)1 << 39) - 1},
};

/* Take over the ranges that the kernel allows now. @return 0 or -errno, not logged. */
static int read_ranges(struct nsdk_ioas *ioas)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	struct vfio_iommu_type1_info *info;
	struct nsdk_iova_range *ranges;
	int rc;

	rc = get_info(ioas, &info);
	if (rc != 0)
		return rc;
	cap = find_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(*cap));
	if (cap == NULL) {
		rc = nsdk_iova_set_allowed(&ioas->space, cautious_ranges, 2);
		goto free_info;
	}
	rc = -EIO;
	if (cap->nr_iovas > (info->argsz - ((const char *)cap - (const char *)info) - sizeof(*cap)) /
				    sizeof(cap->iova_ranges[0]))
		goto free_info;
	rc = -ENOMEM;
	ranges = calloc(cap->nr_iovas + 1, sizeof(*ranges));
	if (ranges == NULL)
		goto free_info;
	for (uint32_t i = 0; i < cap->nr_iovas; i++) {
		ranges[i].first = cap->iova_ranges[i].start;
		ranges[i].last = cap->iova_ranges[i].end; /* inclusive, whatever its name */
	}
	rc = nsdk_iova_set_allowed(&ioas->space, ranges, cap->nr_iovas);
	free(ranges);
free_info:
	free(info);
	return rc;
}

/* How many more mappings the container takes; -1 when it does not say. */
static long mappings_left(const struct nsdk_ioas *ioas)
{
	const struct vfio_iommu_type1_info_dma_avail *cap;
	struct vfio_iommu_type1_info *info;
	long left;

	if (get_info(ioas, &info) != 0)
		return -1;
	cap = find_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*cap));
	left = cap == NULL ? -1 : (long)cap->avail;
	free(info);
	return left;
}

/* ---- mappings ---- */

static int type1_map(struct nsdk_ioas *ioas, const struct nsdk_mapping *map)
{
	struct vfio_iommu_type1_dma_map cmd = {
		.argsz = sizeof(cmd),
		.vaddr = (uintptr_t)map->va,
		.iova = map->first,
		.size = nsdk_mapping_bytes(map),
	};
	int rc;

	if (!ioas->container_live)
		return 0; /* made when the first device joins */
	if ((map->prot & NSDK_IOAS_READ) != 0)
		cmd.flags |= VFIO_DMA_MAP_FLAG_READ;
	if ((map->prot & NSDK_IOAS_WRITE) != 0)
		cmd.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	rc = nsdk_sys_ioctl(ioas->container_fd, VFIO_IOMMU_MAP_DMA, &cmd);
	if (rc == -ENOSPC && mappings_left(ioas) <= 0)
		return nsdk_fail(rc, "iommu",
				 "the kernel takes no more than %zu mappings for this container: map "
				 "larger pieces, or raise vfio_iommu_type1.dma_entry_limit",
				 ioas->space.count);
	return rc == 0 ? 0 : nsdk_iommu_map_failed(rc, map);
}

static int type1_unmap(struct nsdk_ioas *ioas, const struct nsdk_mapping *map)
{
	struct vfio_iommu_type1_dma_unmap cmd = {
		.argsz = sizeof(cmd),
		.iova = map->first,
		.size = nsdk_mapping_bytes(map),
	};
	int rc;

	if (!ioas->container_live)
		return 0;
	rc = nsdk_sys_ioctl(ioas->container_fd, VFIO_IOMMU_UNMAP_DMA, &cmd);
	if (rc == 0 && cmd.size != nsdk_mapping_bytes(map))
		rc = -EIO;
	if (rc != 0)
		return nsdk_fail(rc, "iommu",
				 "the kernel does not unmap IOVA 0x%llx; its memory stays pinned: %s",
				 (unsigned long long)map->first, strerror(-rc));
	return 0;
}

/* ---- groups ---- */

static int join_failed(int error, const struct nsdk_ioas_member *member)
{
	switch (error) {
	case -EPERM:
		return nsdk_fail(error, "iommu",
				 "the kernel refuses %s: its IOMMU does not isolate interrupts, so the "
				 "device could forge them; enable interrupt remapping or, if you trust "
				 "the device, boot with vfio_iommu_type1.allow_unsafe_interrupts=1 (or as "
				 "root: 'echo 1 > "
				 "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts')",
				 member->name);
	case -EBUSY:
		return nsdk_fail(error, "iommu",
				 "%s cannot be taken: another device of its IOMMU group %d is with a "
				 "kernel driver; bind all devices in "
				 "/sys/kernel/iommu_groups/%d/devices to vfio-pci or to nothing",
				 member->name, member->group, member->group);
	default:
		return nsdk_fail(error, "iommu",
				 "the kernel does not take %s (IOMMU group %d) into a container: %s",
				 member->name, member->group, strerror(-error));
	}
}

static void leave(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	int rc = nsdk_sys_ioctl(member->group_fd, VFIO_GROUP_UNSET_CONTAINER, NULL);

	if (rc != 0)
		nsdk_log(NSDK_LOG_WARN, "iommu",
			 "%s stays in its container until the program ends: %s", member->name,
			 strerror(-rc));
}

/* @return 0; -errno, logged, and the group is outside. */
static int join(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int rc;

	rc = nsdk_sys_ioctl(member->group_fd, VFIO_GROUP_GET_STATUS, &status);
	if (rc == 0 && (status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0)
		rc = -EBUSY;
	if (rc == 0)
		rc = nsdk_sys_ioctl(member->group_fd, VFIO_GROUP_SET_CONTAINER, &ioas->container_fd);
	if (rc != 0)
		return join_failed(rc, member);
	if (ioas->container_live)
		return 0;
	rc = nsdk_sys_ioctl(ioas->container_fd, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	if (rc != 0) {
		leave(ioas, member);
		return join_failed(rc, member);
	}
	ioas->container_live = true;
	return 0;
}

/* Make what was mapped while the container had no IOMMU. @return 0 or -errno, logged. */
static int replay(struct nsdk_ioas *ioas)
{
	int rc = 0;

	for (size_t i = 0; i < ioas->space.count && rc == 0; i++)
		if (ioas->space.maps[i].prot != 0)
			rc = type1_map(ioas, &ioas->space.maps[i]);
	return rc; /* on failure the caller leaves, and the kernel drops what was made */
}

static int type1_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	static const struct nsdk_iova_range everything = {.first = 0, .last = UINT64_MAX};
	bool first = !ioas->container_live;
	int rc;

	rc = join(ioas, member);
	if (rc != 0)
		return rc;
	rc = read_ranges(ioas);
	if (rc != 0) {
		rc = nsdk_fail(rc, "iommu", "the kernel does not tell which IOVAs %s can use: %s",
			       member->name, strerror(-rc));
		goto leave_container;
	}
	if (nsdk_iova_first_outside(&ioas->space) != NULL) {
		rc = nsdk_fail(-EADDRINUSE, "iommu",
			       "%s cannot join this address space: something is mapped at IOVAs that it "
			       "cannot reach or reserves; attach it before mapping, or alone",
			       member->name);
		goto leave_container;
	}
	if (first)
		rc = replay(ioas);
	if (rc != 0)
		goto leave_container;
	member->hw_enforces = nsdk_hw_enforces_sysfs(member->name);
	return 0;

leave_container:
	leave(ioas, member);
	if (first) {
		ioas->container_live = false;
		(void)nsdk_iova_set_allowed(&ioas->space, &everything, 1);
	} else {
		(void)read_ranges(ioas);
	}
	return rc;
}

static void type1_detach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	leave(ioas, member);
	if (TAILQ_EMPTY(&ioas->members))
		ioas->container_live = false; /* the ranges stay those of the last device */
	else
		(void)read_ranges(ioas);
}

static void type1_verdict(struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out)
{
	int cc = nsdk_sys_ioctl(ioas->container_fd, VFIO_CHECK_EXTENSION, (void *)VFIO_DMA_CC_IOMMU);

	nsdk_verdict_decide_members(cc, ioas, out);
}

const struct nsdk_iommu_ops nsdk_iommu_type1 = {
	.open = type1_open,
	.close = type1_close,
	.create = type1_create,
	.destroy = type1_destroy,
	.map = type1_map,
	.unmap = type1_unmap,
	.attach = type1_attach,
	.detach = type1_detach,
	.verdict = type1_verdict,
};
