/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI functions through VFIO: taking one and giving it back.
 *
 * Two ways lead to a function. The cdev (/dev/vfio/devices/vfioN, Linux 6.6) is opened by itself and
 * bound to an iommufd. The group (/dev/vfio/N) is older: all functions of an IOMMU group are opened
 * through one file that joins a container. Which one is used follows from the address space's
 * backend. Once open both give the same device file, and everything else here does not care.
 *
 * The order matters. The cdev answers nothing before it is bound; the group gives no device before it
 * is in a container. And a device must not be able to start DMA before its driver says so: the kernel
 * turns bus mastering off when it opens the function, we look again, and turn it off first when we
 * let go, then reset, and only then take the address space away. A process that dies without that
 * has the same done for it by the kernel when the file closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <nsdk/log.h>

#include "vfio_internal.h"

/* ---- before it is opened ---- */

/* The functions that this process drives. The kernel would open one of a group a second time, and
 * two drivers would share its queues. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(nsdk_vfio_list, nsdk_vfio) open_list = LIST_HEAD_INITIALIZER(open_list);

/* @return 0; -EBUSY, logged. */
static int claim(struct nsdk_vfio *vfio)
{
	const struct nsdk_vfio *other;
	int rc = 0;

	pthread_mutex_lock(&open_lock);
	LIST_FOREACH(other, &open_list, link)
		if (strcmp(other->info.bdf, vfio->info.bdf) == 0)
			rc = -EBUSY;
	if (rc == 0)
		LIST_INSERT_HEAD(&open_list, vfio, link);
	pthread_mutex_unlock(&open_lock);
	return rc == 0 ? 0 : nsdk_fail(rc, "bus", "%s is attached already, by this program",
				       vfio->info.bdf);
}

static void unclaim(struct nsdk_vfio *vfio)
{
	pthread_mutex_lock(&open_lock);
	LIST_REMOVE(vfio, link);
	pthread_mutex_unlock(&open_lock);
}

static int no_iommu(const struct nsdk_pci_info *info)
{
	return nsdk_fail(-EPERM, "bus",
			 "refusing %s: no IOMMU stands between it and memory, so it could read and "
			 "overwrite everything; enable VT-d or AMD-Vi in the firmware, or give the virtual "
			 "machine a virtual IOMMU (and on Intel boot with intel_iommu=on)",
			 info->bdf);
}

/* VFIO's mode without IOMMU gives functions a group as well, under another name. */
static bool is_noiommu_group(int group)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", group);
	return nsdk_sys.access(path, F_OK) == 0;
}

/* vfio-pci, or one of the drivers that some devices have in its place (mlx5_vfio_pci, …). */
static bool is_vfio_driver(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

static int not_bound(const struct nsdk_pci_info *info)
{
	if (info->driver[0] == '\0')
		return nsdk_fail(-EBUSY, "bus",
				 "%s is bound to no driver; run 'nsdk bind %s' first", info->bdf,
				 info->bdf);
	return nsdk_fail(-EBUSY, "bus",
			 "%s is bound to the kernel driver %s; run 'nsdk bind %s' first", info->bdf,
			 info->driver, info->bdf);
}

/* Have it bound to vfio-pci. @return 0 with vfio->info up to date; -errno, logged. */
static int take_from_kernel(struct nsdk_vfio *vfio, bool bind)
{
	struct nsdk_pci_info *info = &vfio->info;
	const struct nsdk_pci_addr addr = info->addr;
	int rc;

	/* A group of VFIO's mode without IOMMU exists only while the function is bound to it. */
	if (info->iommu_group < 0)
		return no_iommu(info);
	if (is_vfio_driver(info->driver) && is_noiommu_group(info->iommu_group))
		return no_iommu(info);
	if (!bind)
		return is_vfio_driver(info->driver) ? 0 : not_bound(info);
	if (is_vfio_driver(info->driver) && strcmp(info->driver, "vfio-pci") != 0)
		return 0;
	rc = nsdk_pci_bind(&addr, "vfio-pci", &vfio->restore);
	if (rc != 0)
		return rc;
	rc = nsdk_pci_info(&addr, info);
	if (rc != 0)
		goto restore;
	return 0;

restore:
	(void)nsdk_pci_restore(&vfio->restore);
	return rc;
}

static int choose_backend(const struct nsdk_vfio *vfio, const struct nsdk_device_opts *opts,
			  enum nsdk_iommu_backend *out)
{
	bool forced = true;
	int rc = 0;

	if (opts->ioas != NULL)
		*out = nsdk_iommu_backend_of(nsdk_ioas_iommu(opts->ioas));
	else if (opts->iommu != NULL)
		*out = nsdk_iommu_backend_of(opts->iommu);
	else
		rc = nsdk_iommu_resolve(NSDK_IOMMU_AUTO, out, &forced);
	if (rc != 0)
		return rc;
	if (*out == NSDK_IOMMU_SOFT)
		return nsdk_fail(-EINVAL, "bus",
				 "%s cannot use a soft address space: that is for emulated devices",
				 vfio->info.bdf);
	if (*out == NSDK_IOMMU_IOMMUFD && vfio->info.vfio_cdev[0] == '\0') {
		if (forced)
			return nsdk_fail(-ENODEV, "bus",
					 "%s has no file in /dev/vfio/devices, which iommufd needs: the "
					 "kernel is built without CONFIG_VFIO_DEVICE_CDEV; use "
					 "NSDK_IOMMU=type1",
					 vfio->info.bdf);
		*out = NSDK_IOMMU_TYPE1;
	}
	return 0;
}

/* ---- opening ---- */

static int cdev_open_failed(int error, const struct nsdk_vfio *vfio)
{
	switch (error) {
	case -EACCES:
	case -EPERM:
		return nsdk_fail(-EACCES, "bus",
				 "no permission to open %s for %s: run as root, or let root give it to "
				 "your group with 'chgrp GROUP %s; chmod 660 %s' (to stay, a udev rule: "
				 "SUBSYSTEM==\"vfio-dev\", GROUP=\"GROUP\", MODE=\"0660\")",
				 vfio->path, vfio->info.bdf, vfio->path, vfio->path);
	case -ENOENT:
		return nsdk_fail(-ENODEV, "bus",
				 "%s should have the file %s, but it is not there: is /dev a devtmpfs, and "
				 "passed on into this container?",
				 vfio->info.bdf, vfio->path);
	default:
		return nsdk_fail(error, "bus", "cannot open %s for %s: %s", vfio->path, vfio->info.bdf,
				 strerror(-error));
	}
}

static int open_cdev(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	int rc;

	snprintf(vfio->path, sizeof(vfio->path), "/dev/vfio/devices/%s", vfio->info.vfio_cdev);
	vfio->fd = nsdk_sys.open(vfio->path, O_RDWR | O_CLOEXEC);
	if (vfio->fd < 0)
		return cdev_open_failed(-errno, vfio);
	vfio->member = (struct nsdk_ioas_member){
		.name = vfio->info.bdf,
		.group = vfio->info.iommu_group,
		.device_fd = vfio->fd,
		.device_path = vfio->path,
		.group_fd = -1,
	};
	rc = nsdk_ioas_attach(dev->ioas, &vfio->member);
	if (rc != 0)
		goto close_cdev;
	dev->bus_name = "vfio-cdev";
	return 0;

close_cdev:
	nsdk_sys.close(vfio->fd);
	return rc;
}

static int open_in_group(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	int rc;

	rc = nsdk_vfio_group_get(vfio->info.iommu_group, vfio->info.bdf, dev->ioas, &vfio->group);
	if (rc != 0)
		return rc;
	vfio->fd = nsdk_sys_ioctl(nsdk_vfio_group_fd(vfio->group), VFIO_GROUP_GET_DEVICE_FD,
				  vfio->info.bdf);
	if (vfio->fd < 0) {
		rc = nsdk_fail(vfio->fd, "bus", "the kernel does not open %s in IOMMU group %d: %s",
			       vfio->info.bdf, vfio->info.iommu_group, strerror(-vfio->fd));
		goto put_group;
	}
	dev->bus_name = "vfio-group";
	return 0;

put_group:
	nsdk_vfio_group_put(vfio->group);
	return rc;
}

/* Close what open_cdev() or open_in_group() opened. */
static void close_file(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);

	if (vfio->group != NULL) {
		/* A group does not leave its container while a device of it is open. */
		nsdk_sys.close(vfio->fd);
		nsdk_vfio_group_put(vfio->group);
	} else {
		/* A cdev is taken off its page table through its own file. */
		nsdk_ioas_detach(dev->ioas, &vfio->member);
		nsdk_sys.close(vfio->fd);
	}
}

static int read_device_info(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int rc = nsdk_sys_ioctl(vfio->fd, VFIO_DEVICE_GET_INFO, &info);

	if (rc == 0 && (info.flags & VFIO_DEVICE_FLAGS_PCI) == 0)
		rc = -ENODEV;
	if (rc != 0)
		return nsdk_fail(rc, "bus", "the kernel does not describe %s as a PCI function: %s",
				 vfio->info.bdf, strerror(-rc));
	vfio->can_reset = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
	return 0;
}

/* No DMA yet, but registers that answer. */
static int quiesce(struct nsdk_device *dev)
{
	uint32_t command;
	int rc;

	rc = nsdk_device_set_bus_master(dev, false);
	if (rc == 0)
		rc = nsdk_device_cfg_read(dev, PCI_COMMAND, 2, &command);
	if (rc == 0 && (command & PCI_COMMAND_MEMORY) == 0)
		rc = nsdk_device_cfg_write(dev, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
	return rc;
}

static struct nsdk_vfio *new_vfio(void)
{
	struct nsdk_vfio *vfio = calloc(1, sizeof(*vfio));

	if (vfio == NULL)
		return NULL;
	vfio->fd = -1;
	vfio->restore.lock_fd = -1;
	for (unsigned i = 0; i < NSDK_VFIO_NOTICES; i++)
		vfio->notice_fd[i] = -1;
	return vfio;
}

static int vfio_open(struct nsdk_device *dev, const char *args, const struct nsdk_device_opts *opts)
{
	enum nsdk_iommu_backend backend;
	struct nsdk_pci_addr addr;
	struct nsdk_vfio *vfio;
	int rc;

	if (nsdk_pci_addr_parse(args, &addr) != 0)
		return nsdk_fail(-EINVAL, "bus",
				 "'%s' is no PCI address: it looks like 0000:00:03.0 or 00:03.0", args);
	vfio = new_vfio();
	if (vfio == NULL)
		return nsdk_fail(-ENOMEM, "bus", "no memory for a device");
	dev->priv = vfio;
	rc = nsdk_pci_info(&addr, &vfio->info);
	if (rc != 0)
		goto free_vfio;
	snprintf(dev->name, sizeof(dev->name), "pci:%s", vfio->info.bdf);
	dev->numa_node = vfio->info.numa_node;
	rc = claim(vfio);
	if (rc != 0)
		goto free_vfio;
	rc = take_from_kernel(vfio, opts->bind);
	if (rc != 0)
		goto unclaim;
	rc = choose_backend(vfio, opts, &backend);
	if (rc != 0)
		goto give_back;
	rc = nsdk_bus_space_get(dev, opts, backend);
	if (rc != 0)
		goto give_back;
	rc = backend == NSDK_IOMMU_IOMMUFD ? open_cdev(dev) : open_in_group(dev);
	if (rc != 0)
		goto put_space;
	rc = read_device_info(dev);
	if (rc == 0)
		rc = nsdk_vfio_cfg_open(dev);
	if (rc == 0)
		rc = quiesce(dev);
	if (rc == 0)
		rc = nsdk_vfio_irq_open(dev);
	if (rc != 0)
		goto close_device;
	nsdk_ioas_verdict(dev->ioas, &dev->verdict);
	return 0;

close_device:
	close_file(dev);
put_space:
	nsdk_bus_space_put(dev);
give_back:
	(void)nsdk_pci_restore(&vfio->restore);
unclaim:
	unclaim(vfio);
free_vfio:
	free(vfio);
	dev->priv = NULL;
	return rc;
}

static void vfio_close(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);

	/* Errors change nothing here: what fails, a device that is gone for the most part, has no DMA
	 * left, and the kernel does the same again when the file closes. */
	if (nsdk_vfio_reset(dev) != 0) {
		uint32_t command;

		if (nsdk_vfio_cfg_read(dev, PCI_COMMAND, 2, &command) == 0)
			(void)nsdk_vfio_cfg_write(dev, PCI_COMMAND, 2,
						  command & ~(uint32_t)PCI_COMMAND_MASTER);
	}
	nsdk_vfio_irq_close(dev);
	nsdk_vfio_bars_unmap(dev);
	close_file(dev);
	nsdk_bus_space_put(dev);
	/* The kernel's driver may come only after the last file of the function is closed. Not to one that
	 * is being removed, or that somebody has just taken from us. */
	if (vfio->wanted_back)
		vfio->restore.driver[0] = '\0';
	(void)nsdk_pci_restore(&vfio->restore);
	unclaim(vfio);
	free(vfio);
	dev->priv = NULL;
}

static int vfio_reset(struct nsdk_device *dev)
{
	int rc = nsdk_vfio_reset(dev);

	if (rc != 0 && rc != -EOPNOTSUPP && !nsdk_device_answers(dev))
		return -ENODEV;
	return rc == 0 ? 0 : nsdk_fail(rc, "bus", "cannot reset %s: %s", dev->name,
				       rc == -EOPNOTSUPP ? "it has no function-level reset"
							 : strerror(-rc));
}

int nsdk_device_fd(const struct nsdk_device *dev)
{
	return dev->ops == &nsdk_bus_vfio ? nsdk_vfio_of(dev)->fd : -1;
}

const struct nsdk_bus_ops nsdk_bus_vfio = {
	.name = "vfio",
	.open = vfio_open,
	.close = vfio_close,
	.cfg_read = nsdk_vfio_cfg_read,
	.cfg_write = nsdk_vfio_cfg_write,
	.bar_map = nsdk_vfio_bar_map,
	.bar_has = nsdk_vfio_bar_has,
	.mmio_read = nsdk_vfio_mmio_read,
	.mmio_write = nsdk_vfio_mmio_write,
	.irq_count = nsdk_vfio_irq_count,
	.irq_enable = nsdk_vfio_irq_enable,
	.irq_disable = nsdk_vfio_irq_disable,
	.irq_set = nsdk_vfio_irq_set,
	.notices = nsdk_vfio_notices,
	.reset = vfio_reset,
	.check = nsdk_vfio_check,
};
