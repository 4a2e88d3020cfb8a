/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BARs: mapped into the process, so that a register is a pointer away.
 *
 * Kernels before 4.16 do not let the pages with the MSI-X table be mapped, and say which pieces of
 * the BAR are left. Then address space for the whole BAR is set aside, the pieces are mapped where
 * they belong, and control registers in the gaps are reached by read and write calls. Doorbells are
 * never there: they would have to share a page with the table.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <nsdk/log.h>

#include "vfio_internal.h"

/* mmap works on whole pages; a BAR smaller than one has a page to itself where VFIO lets it be mapped. */
static size_t whole_pages(uint64_t bytes)
{
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

	return (size_t)((bytes + page_bytes - 1) & ~(page_bytes - 1));
}

/* Whether the BAR is one of memory, by its lowest bit. @return 0, -EINVAL it is of I/O ports, -errno. */
static int check_memory_bar(struct nsdk_device *dev, unsigned index)
{
	uint32_t value;
	int rc;

	rc = nsdk_vfio_cfg_read(dev, PCI_BASE_ADDRESS_0 + 4 * index, 4, &value);
	if (rc != 0)
		return nsdk_fail(rc, "bus", "cannot read BAR %u of %s: %s", index, dev->name,
				 strerror(-rc));
	if ((value & PCI_BASE_ADDRESS_SPACE) == PCI_BASE_ADDRESS_SPACE_IO)
		return nsdk_fail(-EINVAL, "bus", "BAR %u of %s is one of I/O ports, not of memory", index,
				 dev->name);
	return 0;
}

static void *map_piece(struct nsdk_vfio *vfio, void *at, uint64_t region_offset, uint64_t offset,
		       uint64_t bytes)
{
	return nsdk_sys.mmap(at, whole_pages(bytes), PROT_READ | PROT_WRITE,
			     MAP_SHARED | (at != NULL ? MAP_FIXED : 0), vfio->fd,
			     (int64_t)(region_offset + offset));
}

/* Set address space aside and map the pieces into it. @return its start, or MAP_FAILED and errno. */
static void *map_pieces(struct nsdk_vfio *vfio, const struct nsdk_vfio_bar *bar, uint64_t bytes)
{
	char *base = nsdk_sys.mmap(NULL, whole_pages(bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				   0);
	int error;

	if (base == MAP_FAILED)
		return MAP_FAILED;
	for (unsigned i = 0; i < bar->area_count; i++) {
		const struct nsdk_vfio_area *area = &bar->areas[i];

		if (map_piece(vfio, base + area->offset, bar->region_offset, area->offset,
			      area->bytes) == MAP_FAILED)
			goto unmap;
	}
	return base;

unmap:
	error = errno;
	nsdk_sys.munmap(base, whole_pages(bytes));
	errno = error;
	return MAP_FAILED;
}

/* Take over which pieces can be mapped. @return 0 or -EIO when they make no sense. */
static int read_areas(const struct vfio_region_info *info, struct nsdk_vfio_bar *bar)
{
	const struct vfio_region_info_cap_sparse_mmap *cap;
	size_t room;

	bar->area_count = 0;
	cap = nsdk_vfio_region_cap(info, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(*cap));
	if (cap == NULL)
		return 0;
	room = info->argsz - (size_t)((const char *)cap - (const char *)info) - sizeof(*cap);
	if (cap->nr_areas > room / sizeof(cap->areas[0]))
		return -EIO;
	for (uint32_t i = 0; i < cap->nr_areas; i++) {
		uint64_t offset = cap->areas[i].offset, bytes = cap->areas[i].size;

		if (bytes == 0)
			continue;
		if (bar->area_count == NSDK_VFIO_MAX_AREAS || bytes > info->size ||
		    offset > info->size - bytes)
			return -EIO;
		bar->areas[bar->area_count].offset = offset;
		bar->areas[bar->area_count].bytes = bytes;
		bar->area_count++;
	}
	return 0;
}

int nsdk_vfio_bar_map(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	struct nsdk_vfio_bar *bar = &vfio->bars[index];
	struct vfio_region_info *info;
	void *base;
	int rc;

	rc = nsdk_vfio_region_info(vfio->fd, VFIO_PCI_BAR0_REGION_INDEX + index, &info);
	if (rc != 0)
		return nsdk_fail(rc, "bus", "the kernel does not describe BAR %u of %s: %s", index,
				 dev->name, strerror(-rc));
	if (info->size == 0) {
		rc = nsdk_fail(-ENOENT, "bus", "%s has no BAR %u", dev->name, index);
		goto free_info;
	}
	rc = check_memory_bar(dev, index);
	if (rc != 0)
		goto free_info;
	if ((info->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
		rc = nsdk_fail(-EOPNOTSUPP, "bus",
			       "BAR %u of %s cannot be mapped: it shares a page with another device",
			       index, dev->name);
		goto free_info;
	}
	bar->region_offset = info->offset;
	rc = read_areas(info, bar);
	if (rc != 0) {
		rc = nsdk_fail(rc, "bus", "the kernel describes BAR %u of %s in a way that makes no sense",
			       index, dev->name);
		goto free_info;
	}
	if (bar->area_count == 0)
		base = map_piece(vfio, NULL, bar->region_offset, 0, info->size);
	else
		base = map_pieces(vfio, bar, info->size);
	if (base == MAP_FAILED) {
		rc = -errno;
		rc = nsdk_fail(rc, "bus", "cannot map BAR %u of %s: %s", index, dev->name,
			       strerror(-rc));
		goto free_info;
	}
	rc = nsdk_sigbus_add(base, (size_t)info->size, !dev->no_sigbus_handler, &dev->gone);
	if (rc != 0) {
		nsdk_sys.munmap(base, whole_pages(info->size));
		goto free_info;
	}
	out->base = base;
	out->bytes = (size_t)info->size;
free_info:
	free(info);
	return rc;
}

/* Pieces do not touch each other: there is something between them. */
bool nsdk_vfio_bar_has(const struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes)
{
	const struct nsdk_vfio_bar *bar = &nsdk_vfio_of(dev)->bars[index];

	for (unsigned i = 0; i < bar->area_count; i++)
		if (offset >= bar->areas[i].offset && bytes <= bar->areas[i].bytes &&
		    offset - bar->areas[i].offset <= bar->areas[i].bytes - bytes)
			return true;
	return bar->area_count == 0;
}

void nsdk_vfio_bars_unmap(struct nsdk_device *dev)
{
	for (unsigned i = 0; i < NSDK_MAX_BARS; i++) {
		if (dev->bars[i].base == NULL)
			continue;
		nsdk_sigbus_remove((void *)dev->bars[i].base, dev->bars[i].bytes);
		/* A mapping keeps the device's file open, and an open file keeps the device ours. */
		nsdk_sys.munmap((void *)dev->bars[i].base, whole_pages(dev->bars[i].bytes));
		dev->bars[i].base = NULL;
	}
}

/* Whether a register is in a gap, and then where in the device's file. */
static bool is_in_gap(const struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
		      int64_t *file_offset)
{
	for (unsigned i = 0; i < NSDK_MAX_BARS; i++) {
		const struct nsdk_vfio_bar *known = &nsdk_vfio_of(dev)->bars[i];

		if (dev->bars[i].base != bar->base || known->area_count == 0)
			continue;
		for (unsigned a = 0; a < known->area_count; a++)
			if (offset >= known->areas[a].offset &&
			    offset - known->areas[a].offset < known->areas[a].bytes)
				return false;
		*file_offset = (int64_t)(known->region_offset + offset);
		return true;
	}
	return false;
}

uint64_t nsdk_vfio_mmio_read(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			     unsigned width)
{
	volatile char *at = (volatile char *)bar->base + offset;
	int64_t file_offset;
	uint64_t value = 0;

	if (!is_in_gap(dev, bar, offset, &file_offset))
		return width == 8 ? le64toh(*(volatile uint64_t *)at)
				  : le32toh(*(volatile uint32_t *)at);
	if (nsdk_sys.pread(nsdk_vfio_of(dev)->fd, &value, width, file_offset) != (int64_t)width)
		return UINT64_MAX;
	return le64toh(value);
}

void nsdk_vfio_mmio_write(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			  unsigned width, uint64_t value)
{
	volatile char *at = (volatile char *)bar->base + offset;
	int64_t file_offset;

	if (is_in_gap(dev, bar, offset, &file_offset)) {
		value = htole64(value);
		if (nsdk_sys.pwrite(nsdk_vfio_of(dev)->fd, &value, width, file_offset) != (int64_t)width)
			nsdk_log(NSDK_LOG_ERROR, "bus", "%s: a register at 0x%zx could not be written: %s",
				 dev->name, offset, strerror(errno));
	} else if (width == 8) {
		*(volatile uint64_t *)at = htole64(value);
	} else {
		*(volatile uint32_t *)at = htole32((uint32_t)value);
	}
}
