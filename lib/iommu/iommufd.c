/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iommufd backend (linux/iommufd.h; devices by their VFIO cdev, linux/vfio.h).
 *
 * Which page table a device lands on. Attached to an IOAS, a device is put on the first page table
 * the kernel has made for that IOAS by itself and that its IOMMU accepts. A table made for an IOMMU
 * that cannot enforce snooping is accepted by one that can, so the second device would silently
 * lose what the first never had, and the order of attaching would decide. Here no device ever gets a
 * table that was made for another:
 *
 *	- when no member is on a table made by the kernel, the device is attached to the IOAS and the
 *	  kernel makes a table for it alone. This comes first because drivers that finish a table only
 *	  when it is attached (virtio-iommu) know no other way.
 *	- else a table is made for this device by IOMMU_HWPT_ALLOC. The kernel never puts anybody else
 *	  on such a one. Where the driver cannot, the device is attached to the IOAS after all; the
 *	  verdict then is what the two together allow.
 *	- devices of one IOMMU group are one to the hardware and share the group's table.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <nsdk/log.h>

#include "ioas_internal.h"

/* The kernel writes its array of ranges into ours. */
_Static_assert(sizeof(struct iommu_iova_range) == sizeof(struct nsdk_iova_range) &&
		       offsetof(struct iommu_iova_range, last) ==
			       offsetof(struct nsdk_iova_range, last),
	       "nsdk_iova_range is the kernel's iommu_iova_range");

static int iommufd_open(struct nsdk_iommu *iommu)
{
	char reason[512];
	int rc = nsdk_iommu_probe(NSDK_IOMMU_IOMMUFD, reason, sizeof(reason));

	if (rc != 0)
		return nsdk_fail(rc, "iommu", "%s", reason);
	iommu->fd = nsdk_sys.open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (iommu->fd < 0) {
		rc = -errno;
		return nsdk_fail(rc, "iommu", "cannot open /dev/iommu: %s", strerror(-rc));
	}
	return 0;
}

static void iommufd_close(struct nsdk_iommu *iommu)
{
	nsdk_sys.close(iommu->fd);
}

static int destroy_object(const struct nsdk_iommu *iommu, uint32_t id)
{
	struct iommu_destroy destroy = {.size = sizeof(destroy), .id = id};

	return nsdk_sys_ioctl(iommu->fd, IOMMU_DESTROY, &destroy);
}

static int iommufd_create(struct nsdk_ioas *ioas)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int rc = nsdk_sys_ioctl(ioas->iommu->fd, IOMMU_IOAS_ALLOC, &alloc);

	if (rc != 0)
		return nsdk_fail(rc, "iommu", "the kernel gives no new I/O address space: %s",
				 strerror(-rc));
	ioas->id = alloc.out_ioas_id;
	return 0;
}

static void iommufd_destroy(struct nsdk_ioas *ioas)
{
	int rc = destroy_object(ioas->iommu, ioas->id);

	if (rc != 0)
		nsdk_log(NSDK_LOG_ERROR, "iommu",
			 "the kernel keeps an I/O address space until the program ends: %s",
			 strerror(-rc));
}

/* ---- mappings ---- */

static uint32_t map_flags(const struct nsdk_mapping *map)
{
	uint32_t flags = IOMMU_IOAS_MAP_FIXED_IOVA;

	if ((map->prot & NSDK_IOAS_READ) != 0)
		flags |= IOMMU_IOAS_MAP_READABLE;
	if ((map->prot & NSDK_IOAS_WRITE) != 0)
		flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return flags;
}

static int iommufd_map(struct nsdk_ioas *ioas, const struct nsdk_mapping *map)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = map_flags(map),
		.ioas_id = ioas->id,
		.user_va = (uintptr_t)map->va,
		.length = nsdk_mapping_bytes(map),
		.iova = map->first,
	};
	int rc = nsdk_sys_ioctl(ioas->iommu->fd, IOMMU_IOAS_MAP, &cmd);

	return rc == 0 ? 0 : nsdk_iommu_map_failed(rc, map);
}

static int iommufd_copy(struct nsdk_ioas *ioas, struct nsdk_ioas *src, uint64_t src_iova,
			const struct nsdk_mapping *map)
{
	struct iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = map_flags(map),
		.dst_ioas_id = ioas->id,
		.src_ioas_id = src->id,
		.length = nsdk_mapping_bytes(map),
		.dst_iova = map->first,
		.src_iova = src_iova,
	};
	int rc = nsdk_sys_ioctl(ioas->iommu->fd, IOMMU_IOAS_COPY, &cmd);

	return rc == 0 ? 0 : nsdk_iommu_map_failed(rc, map);
}

static int iommufd_unmap(struct nsdk_ioas *ioas, const struct nsdk_mapping *map)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas->id,
		.iova = map->first,
		.length = nsdk_mapping_bytes(map),
	};
	int rc = nsdk_sys_ioctl(ioas->iommu->fd, IOMMU_IOAS_UNMAP, &cmd);

	if (rc == 0 && cmd.length != nsdk_mapping_bytes(map))
		rc = -EIO;
	if (rc != 0)
		return nsdk_fail(rc, "iommu",
				 "the kernel does not unmap IOVA 0x%llx; its memory stays pinned: %s",
				 (unsigned long long)map->first, strerror(-rc));
	return 0;
}

/* Take over the ranges that the kernel allows now. @return 0 or -errno, not logged. */
static int read_ranges(struct nsdk_ioas *ioas)
{
	struct iommu_ioas_iova_ranges cmd = {.num_iovas = 16};
	struct nsdk_iova_range *ranges = NULL;
	int rc;

	/* The number may grow between two questions; each time the kernel says how many it has. */
	for (unsigned tries = 0; tries < 8; tries++) {
		uint32_t room = cmd.num_iovas;

		free(ranges);
		ranges = calloc(room + 1, sizeof(*ranges));
		if (ranges == NULL)
			return -ENOMEM;
		cmd = (struct iommu_ioas_iova_ranges){
			.size = sizeof(cmd),
			.ioas_id = ioas->id,
			.num_iovas = room,
			.allowed_iovas = (uintptr_t)ranges,
		};
		rc = nsdk_sys_ioctl(ioas->iommu->fd, IOMMU_IOAS_IOVA_RANGES, &cmd);
		if (rc != -EMSGSIZE)
			break;
	}
	if (rc == 0)
		rc = nsdk_iova_set_allowed(&ioas->space, ranges, cmd.num_iovas);
	free(ranges);
	return rc;
}

/* ---- devices ---- */

static int bind_failed(int error, const struct nsdk_ioas_member *member)
{
	char holder[96];

	switch (error) {
	case -EPERM:
		return nsdk_fail(error, "iommu",
				 "the kernel refuses %s: its IOMMU does not isolate interrupts, so the "
				 "device could forge them; enable interrupt remapping or, if you trust "
				 "the device, boot with iommufd.allow_unsafe_interrupts=1 (or as root: "
				 "'echo 1 > /sys/module/iommufd/parameters/allow_unsafe_interrupts')",
				 member->name);
	case -EINVAL: /* how vfio says that a cdev is open already */
	case -EBUSY:
		nsdk_iommu_file_holder(member->device_path, holder, sizeof(holder));
		if (holder[0] != '\0' || error == -EINVAL)
			return nsdk_fail(-EBUSY, "iommu",
					 "%s is in use%s: %s is open already; end what uses it",
					 member->name, holder, member->device_path);
		return nsdk_fail(-EBUSY, "iommu",
				 "%s cannot be taken: another device of its IOMMU group %d is with a "
				 "kernel driver or opened through /dev/vfio/%d; bind all devices in "
				 "/sys/kernel/iommu_groups/%d/devices to vfio-pci or to nothing",
				 member->name, member->group, member->group, member->group);
	default:
		return nsdk_fail(error, "iommu", "the kernel does not bind %s to /dev/iommu: %s",
				 member->name, strerror(-error));
	}
}

static int bind_device(const struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = ioas->iommu->fd,
	};
	int rc = nsdk_sys_ioctl(member->device_fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	if (rc != 0)
		return bind_failed(rc, member);
	member->devid = bind.out_devid;
	return 0;
}

static int attach_failed(int error, const struct nsdk_ioas_member *member)
{
	switch (error) {
	case -EADDRINUSE:
		return nsdk_fail(error, "iommu",
				 "%s cannot join this address space: something is mapped at IOVAs that "
				 "it cannot reach or reserves; attach it before mapping, or alone",
				 member->name);
	case -EINVAL:
		return nsdk_fail(error, "iommu",
				 "the IOMMU does not take %s into this address space: all devices of its "
				 "IOMMU group %d must be in one address space, and VT-d in scalable mode "
				 "needs second-level translation (boot with intel_iommu=on,sm_off)",
				 member->name, member->group);
	default:
		return nsdk_fail(error, "iommu", "the kernel does not attach %s to an address space: %s",
				 member->name, strerror(-error));
	}
}

/* @return 0 and the table it is on; -errno, not logged. */
static int attach_to(struct nsdk_ioas_member *member, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = pt_id};
	int rc = nsdk_sys_ioctl(member->device_fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (rc == 0)
		member->pt_id = attach.pt_id;
	return rc;
}

static void leave_table(struct nsdk_ioas_member *member)
{
	struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	/* Fails for a device that is gone, and then the kernel has done it. */
	(void)nsdk_sys_ioctl(member->device_fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

static struct nsdk_ioas_member *find_on_table(struct nsdk_ioas *ioas, uint32_t pt_id)
{
	struct nsdk_ioas_member *other;

	TAILQ_FOREACH(other, &ioas->members, link)
		if (other->pt_id == pt_id)
			return other;
	return NULL;
}

/* Destroy the table that we made, unless a device of the same group stays on it and inherits it. */
static void drop_table(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	struct nsdk_ioas_member *heir;

	if (!member->pt_ours)
		return;
	member->pt_ours = false;
	heir = find_on_table(ioas, member->pt_id);
	if (heir != NULL)
		heir->pt_ours = true;
	else
		(void)destroy_object(ioas->iommu, member->pt_id);
}

/* Put the device on a table of its own. @return 0; -errno, not logged, and it is on none. */
static int attach_to_own_table(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.dev_id = member->devid,
		.pt_id = ioas->id,
	};
	int rc = nsdk_sys_ioctl(ioas->iommu->fd, IOMMU_HWPT_ALLOC, &alloc);

	if (rc != 0)
		return rc;
	member->pt_id = alloc.out_hwpt_id;
	rc = attach_to(member, alloc.out_hwpt_id);
	if (rc != 0)
		goto destroy_table;
	rc = read_ranges(ioas);
	/* A table that the driver had not finished when the kernel looked has no room: virtio-iommu's
	 * has IOVA 0 alone. */
	if (rc == 0 && !nsdk_iova_has_room(&ioas->space))
		rc = -EOPNOTSUPP;
	if (rc != 0)
		goto leave_table;
	member->pt_ours = true;
	return 0;

leave_table:
	leave_table(member);
destroy_table:
	(void)destroy_object(ioas->iommu, alloc.out_hwpt_id);
	return rc;
}

/* How it shows that a driver cannot make a table, or one that works before the kernel attaches it; a
 * table without room is in the way of every mapping. */
static bool means_cannot(int error)
{
	return error == -EOPNOTSUPP || error == -ENOTTY || error == -EINVAL || error == -EADDRINUSE;
}

static const struct nsdk_ioas_member *find_in_group(const struct nsdk_ioas *ioas, int group)
{
	const struct nsdk_ioas_member *other;

	TAILQ_FOREACH(other, &ioas->members, link)
		if (group >= 0 && other->group == group)
			return other;
	return NULL;
}

static bool kernel_made_a_table(const struct nsdk_ioas *ioas)
{
	const struct nsdk_ioas_member *other;

	TAILQ_FOREACH(other, &ioas->members, link)
		if (!other->pt_ours)
			return true;
	return false;
}

/* @return 0; -errno, not logged. */
static int put_on_table(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	const struct nsdk_ioas_member *mate = find_in_group(ioas, member->group);
	int rc;

	member->pt_ours = false;
	if (mate != NULL)
		return attach_to(member, mate->pt_id);
	if (kernel_made_a_table(ioas)) {
		rc = attach_to_own_table(ioas, member);
		if (rc == 0 || !means_cannot(rc))
			return rc;
	}
	return attach_to(member, ioas->id);
}

/* What the IOMMU in front of the device can do, from its registers where the kernel shows them. */
static int ask_hardware(const struct nsdk_iommu *iommu, uint32_t devid)
{
	struct iommu_hw_info_vtd vtd = {0};
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = devid,
		.data_len = sizeof(vtd),
		.data_uptr = (uintptr_t)&vtd,
	};
	int rc = nsdk_sys_ioctl(iommu->fd, IOMMU_GET_HW_INFO, &cmd);

	if (rc != 0)
		return rc;
	if (cmd.out_data_type != IOMMU_HW_INFO_TYPE_INTEL_VTD)
		return -ENODATA;
	return nsdk_vtd_ecap_sc(vtd.ecap_reg);
}

static int iommufd_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	int rc;

	/* There is no unbind: the binding ends when the caller closes the device's fd. */
	rc = bind_device(ioas, member);
	if (rc != 0)
		return rc;
	rc = put_on_table(ioas, member);
	if (rc != 0) {
		(void)read_ranges(ioas); /* a table that was tried may have narrowed them */
		return attach_failed(rc, member);
	}
	rc = read_ranges(ioas);
	if (rc != 0) {
		rc = nsdk_fail(rc, "iommu", "the kernel does not tell which IOVAs %s can use: %s",
			       member->name, strerror(-rc));
		goto leave_table;
	}
	member->hw_enforces = ask_hardware(ioas->iommu, member->devid);
	return 0;

leave_table:
	leave_table(member);
	drop_table(ioas, member);
	(void)read_ranges(ioas);
	return rc;
}

static void iommufd_detach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	leave_table(member);
	drop_table(ioas, member);
	/* May be wider now. Where the kernel does not tell, the old ones stay: never wrong. */
	(void)read_ranges(ioas);
}

/* ---- the verdict ---- */

/*
 * The iommufd answers the question of VFIO containers for the IOAS that its compatibility slot
 * points at: 1 when every page table of it enforces snooping. The slot is one for the whole file,
 * hence the lock; it is emptied again, so that nobody who uses that file as a container gets an
 * address space of ours by accident.
 */
static int ask_kernel(struct nsdk_ioas *ioas)
{
	struct nsdk_iommu *iommu = ioas->iommu;
	struct iommu_vfio_ioas slot = {
		.size = sizeof(slot),
		.ioas_id = ioas->id,
		.op = IOMMU_VFIO_IOAS_SET,
	};
	int cc;

	pthread_mutex_lock(&iommu->compat_lock);
	cc = nsdk_sys_ioctl(iommu->fd, IOMMU_VFIO_IOAS, &slot);
	if (cc == 0)
		cc = nsdk_sys_ioctl(iommu->fd, VFIO_CHECK_EXTENSION, (void *)VFIO_DMA_CC_IOMMU);
	slot.op = IOMMU_VFIO_IOAS_CLEAR;
	(void)nsdk_sys_ioctl(iommu->fd, IOMMU_VFIO_IOAS, &slot);
	pthread_mutex_unlock(&iommu->compat_lock);
	return cc;
}

static void iommufd_verdict(struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out)
{
	nsdk_verdict_decide_members(ask_kernel(ioas), ioas, out);
}

const struct nsdk_iommu_ops nsdk_iommu_iommufd = {
	.open = iommufd_open,
	.close = iommufd_close,
	.create = iommufd_create,
	.destroy = iommufd_destroy,
	.map = iommufd_map,
	.copy = iommufd_copy,
	.unmap = iommufd_unmap,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.verdict = iommufd_verdict,
};
