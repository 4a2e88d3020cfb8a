/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What PCI functions there are, and what is known of each without opening it.
 *
 * libpciaccess enumerates, reads config space and knows the names; sysfs adds what the kernel has
 * decided: driver, driver_override, IOMMU group, VFIO character device. libpciaccess keeps one list
 * for the process and is not thread safe, so every use of it is between pci_open() and pci_close(),
 * under one lock, with the list made anew: a function that was plugged in a moment ago is there.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pciaccess.h>

#include <nsdk/log.h>

#include "pci_internal.h"

#define PCI_CFG_STATUS 0x06
#define PCI_CFG_STATUS_CAP_LIST 0x10
#define PCI_CFG_CAP_PTR 0x34
#define PCI_CFG_CAP_MAX 48 /* (256 - 64) / 4: more steps than that is a loop */

static pthread_mutex_t pci_lock = PTHREAD_MUTEX_INITIALIZER;

static int pci_open(void)
{
	int error;

	pthread_mutex_lock(&pci_lock);
	error = pci_system_init();
	if (error != 0)
		pthread_mutex_unlock(&pci_lock);
	return -error;
}

static void pci_close(void)
{
	pci_system_cleanup();
	pthread_mutex_unlock(&pci_lock);
}

/* "vfio3" of /sys/bus/pci/devices/BDF/vfio-dev/vfio3; "" when the kernel made none. */
static void read_vfio_cdev(const char *bdf, char *out, size_t out_bytes)
{
	char path[NSDK_PCI_PATH_CHARS];
	const struct dirent *entry;
	DIR *dir;

	out[0] = '\0';
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/vfio-dev", bdf) != 0)
		return;
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "vfio", 4) == 0 && strlen(entry->d_name) < out_bytes) {
			strcpy(out, entry->d_name);
			break;
		}
	}
	closedir(dir);
}

static void read_sysfs(struct nsdk_pci_info *info)
{
	char path[NSDK_PCI_PATH_CHARS], text[64];

	info->numa_node = -1;
	info->iommu_group = -1;
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/numa_node", info->bdf) == 0 &&
	    nsdk_pci_file_read(path, text, sizeof(text)) > 0)
		info->numa_node = atoi(text);
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/iommu_group", info->bdf) == 0 &&
	    nsdk_pci_link_name(path, text, sizeof(text)) == 0 && text[0] != '\0')
		info->iommu_group = atoi(text);
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/driver", info->bdf) == 0)
		(void)nsdk_pci_link_name(path, info->driver, sizeof(info->driver));
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/driver_override", info->bdf) == 0 &&
	    nsdk_pci_file_read(path, info->driver_override, sizeof(info->driver_override)) > 0 &&
	    strcmp(info->driver_override, "(null)") == 0)
		info->driver_override[0] = '\0'; /* how the kernel prints "not set" */
	read_vfio_cdev(info->bdf, info->vfio_cdev, sizeof(info->vfio_cdev));
}

static void fill_info(struct pci_device *dev, struct nsdk_pci_info *out)
{
	const char *vendor, *device;

	memset(out, 0, sizeof(*out));
	out->addr = (struct nsdk_pci_addr){ dev->domain, dev->bus, dev->dev, dev->func };
	nsdk_pci_addr_format(&out->addr, out->bdf);
	out->vendor_id = dev->vendor_id;
	out->device_id = dev->device_id;
	out->class_code = dev->device_class;
	vendor = pci_device_get_vendor_name(dev);
	device = pci_device_get_device_name(dev);
	if (vendor != NULL)
		snprintf(out->name, sizeof(out->name), "%s%s%s", vendor, device == NULL ? "" : " ",
			 device == NULL ? "" : device);
	else
		snprintf(out->name, sizeof(out->name), "%04x:%04x", dev->vendor_id, dev->device_id);
	read_sysfs(out);
}

static int by_address(const void *left, const void *right)
{
	return nsdk_pci_addr_compare(&((const struct nsdk_pci_info *)left)->addr,
				     &((const struct nsdk_pci_info *)right)->addr);
}

int nsdk_pci_scan(int (*fn)(void *ctx, const struct nsdk_pci_info *info), void *ctx)
{
	struct pci_device_iterator *iterator;
	struct nsdk_pci_info *infos = NULL, *grown;
	size_t count = 0, room = 0;
	struct pci_device *dev;
	int rc = pci_open();

	if (rc == -ENOENT)
		return 0; /* a machine without PCI has no functions; that is not a fault */
	if (rc != 0)
		return nsdk_fail(rc, "pci", "cannot list the PCI functions: %s", strerror(-rc));
	iterator = pci_slot_match_iterator_create(NULL);
	if (iterator == NULL)
		rc = -ENOMEM;
	while (rc == 0 && (dev = pci_device_next(iterator)) != NULL) {
		if (count == room) {
			room = room == 0 ? 32 : room * 2;
			grown = realloc(infos, room * sizeof(*infos));
			if (grown == NULL) {
				rc = -ENOMEM;
				break;
			}
			infos = grown;
		}
		fill_info(dev, &infos[count++]);
	}
	pci_iterator_destroy(iterator);
	pci_close();
	if (rc != 0) {
		free(infos);
		return nsdk_fail(rc, "pci", "no memory to list the PCI functions");
	}
	/* The callback runs without the lock, so it may call anything here. */
	if (count > 0)
		qsort(infos, count, sizeof(*infos), by_address);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = fn(ctx, &infos[i]);
	free(infos);
	return rc;
}

/* The function at @p addr, between pci_open() and pci_close(); NULL when there is none. */
static struct pci_device *find_locked(const struct nsdk_pci_addr *addr)
{
	return pci_device_find_by_slot(addr->domain, addr->bus, addr->dev, addr->func);
}

int nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out)
{
	char bdf[NSDK_PCI_ADDR_CHARS];
	struct pci_device *dev = NULL;
	int rc = pci_open();

	nsdk_pci_addr_format(addr, bdf);
	if (rc != 0 && rc != -ENOENT)
		return nsdk_fail(rc, "pci", "cannot list the PCI functions: %s", strerror(-rc));
	if (rc == 0) {
		dev = find_locked(addr);
		if (dev != NULL)
			fill_info(dev, out);
		pci_close();
	}
	if (dev == NULL)
		return nsdk_fail(-ENODEV, "pci",
				 "there is no PCI function %s; 'nsdk list --all' shows those there are",
				 bdf);
	return 0;
}

static int cfg_read_locked(struct pci_device *dev, unsigned offset, unsigned width, uint32_t *out)
{
	uint8_t byte;
	uint16_t word;
	int error;

	switch (width) {
	case 1:
		error = pci_device_cfg_read_u8(dev, &byte, offset);
		*out = byte;
		break;
	case 2:
		error = pci_device_cfg_read_u16(dev, &word, offset);
		*out = word;
		break;
	case 4:
		error = pci_device_cfg_read_u32(dev, out, offset);
		break;
	default:
		return -EINVAL;
	}
	/* Beyond the first 64 bytes sysfs reads short for all but root; libpciaccess says ENXIO. */
	if (error == ENXIO && offset >= 64)
		return -EACCES;
	return -error;
}

int nsdk_pci_cfg_read(const struct nsdk_pci_addr *addr, unsigned offset, unsigned width,
		      uint32_t *out)
{
	struct pci_device *dev;
	int rc;

	*out = 0;
	if ((width != 1 && width != 2 && width != 4) || offset % width != 0 || offset >= 4096)
		return -EINVAL;
	rc = pci_open();
	if (rc != 0)
		return rc == -ENOENT ? -ENODEV : rc;
	dev = find_locked(addr);
	rc = dev == NULL ? -ENODEV : cfg_read_locked(dev, offset, width, out);
	pci_close();
	return rc;
}

static int cap_find_locked(struct pci_device *dev, uint8_t cap_id)
{
	uint32_t status = 0, next = 0, head = 0;
	int rc = cfg_read_locked(dev, PCI_CFG_STATUS, 2, &status);

	if (rc != 0)
		return rc;
	if ((status & PCI_CFG_STATUS_CAP_LIST) == 0)
		return -ENOENT;
	rc = cfg_read_locked(dev, PCI_CFG_CAP_PTR, 1, &next);
	for (int step = 0; rc == 0 && step < PCI_CFG_CAP_MAX; step++) {
		next &= 0xfcu;
		if (next < 0x40)
			return -ENOENT;
		rc = cfg_read_locked(dev, next, 2, &head);
		if (rc == 0 && (head & 0xff) == cap_id)
			return (int)next;
		next = head >> 8;
	}
	return rc != 0 ? rc : -ENOENT;
}

int nsdk_pci_cap_find(const struct nsdk_pci_addr *addr, uint8_t cap_id)
{
	struct pci_device *dev;
	int rc = pci_open();

	if (rc != 0)
		return rc == -ENOENT ? -ENODEV : rc;
	dev = find_locked(addr);
	rc = dev == NULL ? -ENODEV : cap_find_locked(dev, cap_id);
	pci_close();
	return rc;
}
