/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake kernel's files, memory and failures. iommufd is in fake_iommufd.c, VFIO in fake_vfio.c.
 */
#include "fake_kernel.h"
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "lib/iommu/iommu_internal.h"

#define FIRST_FD 1000
#define MAX_FILES 64

struct fake_kernel fake;
struct fake_map fake_maps[FAKE_MAX_MAPS];
struct fake_reserved fake_reserved[FAKE_MAX_RESERVED];
static struct fake_file files[MAX_FILES];
static struct nsdk_sys real_sys;

int fake_errno(int error)
{
	errno = error;
	return -1;
}

void fake_misuse(const char *what)
{
	printf("# the fake kernel was misused: %s\n", what);
	fake.misuses++;
}

/* Whether this call is the one that fails in this round of a sweep. */
static bool fails(const char *call, unsigned long request)
{
	if (!nsdk_unit_fails_now())
		return false;
	fake.failed_call = call;
	fake.failed_request = request;
	errno = EIO;
	return true;
}

/* ---- files ---- */

struct fake_file *fake_file_of(int fd)
{
	if (fd < FIRST_FD || fd >= FIRST_FD + MAX_FILES || files[fd - FIRST_FD].kind == FAKE_FREE)
		return NULL;
	return &files[fd - FIRST_FD];
}

int fake_fd_of(const struct fake_file *file)
{
	return FIRST_FD + (int)(file - files);
}

struct fake_file *fake_file_new(enum fake_kind kind)
{
	for (unsigned i = 0; i < MAX_FILES; i++) {
		if (files[i].kind != FAKE_FREE)
			continue;
		memset(&files[i], 0, sizeof(files[i]));
		files[i].kind = kind;
		fake.open_fds++;
		return &files[i];
	}
	abort();
}

static bool has_path(const char *path, const char *prefix, int number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%d", prefix, number);
	return number >= 0 && strcmp(path, text) == 0;
}

static int open_device_file(const char *path)
{
	struct fake_file *file;

	for (unsigned i = 0; i < fake.device_count; i++) {
		struct fake_device *device = &fake.devices[i];

		if (has_path(path, "/dev/vfio/devices/vfio", device->cdev)) {
			file = fake_file_new(FAKE_DEVICE);
			file->device = device;
			return fake_fd_of(file);
		}
		if (has_path(path, "/dev/vfio/", device->group) && !device->noiommu) {
			for (unsigned f = 0; f < MAX_FILES; f++)
				if (files[f].kind == FAKE_GROUP &&
				    files[f].device->group == device->group)
					return fake_errno(EBUSY);
			if (device->busy)
				return fake_errno(EBUSY);
			file = fake_file_new(FAKE_GROUP);
			file->device = device;
			return fake_fd_of(file);
		}
		if (strstr(path, device->bdf) != NULL && device->sysfs_ecap != NULL) {
			file = fake_file_new(FAKE_TEXT);
			file->device = device;
			return fake_fd_of(file);
		}
	}
	return fake_errno(ENOENT);
}

static int fake_open(const char *path, int flags)
{
	(void)flags;
	if (fails("open", 0))
		return -1;
	if (fake.denied_path != NULL && strcmp(path, fake.denied_path) == 0)
		return fake_errno(EACCES);
	if (fake.missing_path != NULL && strcmp(path, fake.missing_path) == 0)
		return fake_errno(ENOENT);
	if (strcmp(path, "/dev/iommu") == 0)
		return fake.no_iommufd ? fake_errno(ENOENT) : fake_fd_of(fake_file_new(FAKE_IOMMUFD));
	if (strcmp(path, "/dev/vfio/vfio") == 0)
		return fake.no_container ? fake_errno(ENOENT)
					 : fake_fd_of(fake_file_new(FAKE_CONTAINER));
	return open_device_file(path);
}

static int fake_close(int fd)
{
	struct fake_file *file = fake_file_of(fd);

	if (file == NULL) {
		fake_misuse("close of a file that is not open");
		return fake_errno(EBADF);
	}
	switch (file->kind) {
	case FAKE_IOMMUFD:
		fake_iommufd_closed(file);
		break;
	case FAKE_CONTAINER:
		fake_container_closed(file);
		break;
	case FAKE_GROUP:
		fake_group_closed(file);
		break;
	case FAKE_DEVICE:
		fake_device_closed(file);
		break;
	default:
		break;
	}
	file->kind = FAKE_FREE;
	fake.open_fds--;
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_file *file = fake_file_of(fd);

	if (fails("ioctl", request))
		return -1;
	if (file == NULL) {
		fake_misuse("ioctl on a file that is not open");
		return fake_errno(EBADF);
	}
	switch (file->kind) {
	case FAKE_IOMMUFD:
		return fake_iommufd_ioctl(file, request, arg);
	case FAKE_CONTAINER:
		return fake_container_ioctl(file, request, arg);
	case FAKE_GROUP:
		return fake_group_ioctl(file, request, arg);
	case FAKE_DEVICE:
		return fake_device_ioctl(file, request, arg);
	default:
		return fake_errno(ENOTTY);
	}
}

static int fake_eventfd(unsigned initial, int flags)
{
	struct fake_file *file;

	(void)flags;
	if (fails("eventfd", 0))
		return -1;
	file = fake_file_new(FAKE_EVENTFD);
	file->count = initial;
	return fake_fd_of(file);
}

void fake_kernel_signal(int eventfd)
{
	struct fake_file *file = fake_file_of(eventfd);

	if (file == NULL || file->kind != FAKE_EVENTFD)
		fake_misuse("the eventfd to signal is closed");
	else
		file->count++;
}

static int64_t fake_read(int fd, void *buf, size_t bytes)
{
	struct fake_file *file = fake_file_of(fd);

	if (fails("read", 0))
		return -1;
	if (file == NULL)
		return fake_errno(EBADF);
	if (file->kind == FAKE_TEXT) {
		size_t len = strlen(file->device->sysfs_ecap);

		len = len < bytes ? len : bytes;
		memcpy(buf, file->device->sysfs_ecap, len);
		return (int64_t)len;
	}
	if (file->kind != FAKE_EVENTFD || bytes < 8)
		return fake_errno(EINVAL);
	if (file->count == 0)
		return fake_errno(EAGAIN);
	memcpy(buf, &file->count, 8);
	file->count = 0;
	return 8;
}

static int fake_access(const char *path, int mode)
{
	(void)mode;
	for (unsigned i = 0; i < fake.device_count; i++)
		if (fake.devices[i].noiommu &&
		    has_path(path, "/dev/vfio/noiommu-", fake.devices[i].group))
			return 0;
	return fake_errno(ENOENT);
}

/* ---- a device's memory: regions lie as in vfio-pci, at index << 40 ---- */

static int64_t region_access(int fd, void *buf, size_t bytes, int64_t offset, bool write)
{
	struct fake_file *file = fake_file_of(fd);
	unsigned index = (unsigned)(offset >> 40);
	uint64_t at = (uint64_t)offset & (((uint64_t)1 << 40) - 1);
	struct fake_device *device;

	if (file == NULL || file->kind != FAKE_DEVICE)
		return fake_errno(EBADF);
	device = file->device;
	if (file->iommufd == 0 && file->group_file == 0)
		return fake_errno(EINVAL);
	if (index == 7 && at + bytes <= sizeof(device->config)) {
		/* Vendor and device are what VFIO has read at first. */
		if (device->vanished && (write || at >= 4))
			memset(buf, 0xff, write ? 0 : bytes);
		else if (write)
			memcpy(&device->config[at], buf, bytes);
		else
			memcpy(buf, &device->config[at], bytes);
		return (int64_t)bytes;
	}
	if (index == 0 && at + bytes <= device->bar_bytes[0])
		return write ? pwrite(device->memfd, buf, bytes, (off_t)at)
			     : pread(device->memfd, buf, bytes, (off_t)at);
	return fake_errno(EINVAL);
}

static int64_t fake_pread(int fd, void *buf, size_t bytes, int64_t offset)
{
	return fails("pread", 0) ? -1 : region_access(fd, buf, bytes, offset, false);
}

static int64_t fake_pwrite(int fd, const void *buf, size_t bytes, int64_t offset)
{
	return fails("pwrite", 0) ? -1 : region_access(fd, (void *)buf, bytes, offset, true);
}

static void *fake_mmap(void *addr, size_t bytes, int prot, int flags, int fd, int64_t offset)
{
	struct fake_file *file = fake_file_of(fd);
	void *base;

	if (fails("mmap", 0))
		return MAP_FAILED;
	if (fd >= 0 && (file == NULL || file->kind != FAKE_DEVICE || (flags & MAP_SHARED) == 0)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	base = mmap(addr, bytes, prot, flags, file == NULL ? -1 : file->device->memfd,
		    file == NULL ? 0 : (off_t)((uint64_t)offset & (((uint64_t)1 << 40) - 1)));
	if (base == MAP_FAILED)
		return base;
	if (file != NULL)
		file->mmaps++;
	if ((flags & MAP_FIXED) == 0)
		fake.mmaps++;
	return base;
}

static int fake_munmap(void *addr, size_t bytes)
{
	/* The tests have one device with mappings at a time. */
	for (unsigned i = 0; i < MAX_FILES; i++)
		if (files[i].kind == FAKE_DEVICE)
			files[i].mmaps = 0;
	fake.mmaps--;
	return munmap(addr, bytes);
}

void *fake_kernel_bar0(unsigned device)
{
	static void *mapped[FAKE_MAX_DEVICES];
	size_t bytes = (size_t)fake.devices[device].bar_bytes[0];

	if (mapped[device] != NULL)
		munmap(mapped[device], bytes);
	mapped[device] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fake.devices[device].memfd, 0);
	return mapped[device];
}

/* ---- mappings and reserved ranges, of any address space ---- */

struct fake_map *fake_map_find(uint32_t space, uint64_t first, uint64_t last)
{
	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++) {
		struct fake_map *map = &fake_maps[i];

		if (map->bytes != 0 && map->space == space && map->iova <= last &&
		    first <= map->iova + (map->bytes - 1))
			return map;
	}
	return NULL;
}

int fake_map_add(uint32_t space, uint64_t iova, uint64_t va, uint64_t bytes, unsigned prot,
		 bool pins)
{
	uint64_t locked = 0;

	if (bytes == 0 || ((iova | bytes | va) & 0xfff) != 0 || iova + (bytes - 1) < iova ||
	    fake_is_reserved(space, iova, iova + (bytes - 1)) || prot == 0)
		return fake_errno(EINVAL);
	if (fake_map_find(space, iova, iova + (bytes - 1)) != NULL)
		return fake_errno(EEXIST);
	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++)
		locked += fake_maps[i].bytes;
	if (pins && fake.memlock_bytes != 0 && locked + bytes > fake.memlock_bytes)
		return fake_errno(ENOMEM);
	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++) {
		if (fake_maps[i].bytes != 0)
			continue;
		fake_maps[i] = (struct fake_map){iova, bytes, space, prot, va};
		fake.pins += pins;
		return 0;
	}
	abort();
}

int fake_map_remove(uint32_t space, uint64_t iova, uint64_t bytes)
{
	struct fake_map *map = fake_map_find(space, iova, iova);

	if (fake.unmap_error != 0)
		return fake_errno(fake.unmap_error);
	if (map == NULL || map->iova != iova || map->bytes != bytes)
		return fake_errno(ENOENT);
	map->bytes = 0;
	return 0;
}

unsigned fake_map_drop(uint32_t space)
{
	unsigned dropped = 0;

	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++)
		if (fake_maps[i].bytes != 0 && fake_maps[i].space == space) {
			fake_maps[i].bytes = 0;
			dropped++;
		}
	return dropped;
}

int fake_reserve(uint32_t space, uint32_t owner, uint64_t first, uint64_t last)
{
	if (fake_map_find(space, first, last) != NULL) {
		fake_unreserve(space, owner);
		return EADDRINUSE;
	}
	for (unsigned i = 0; i < FAKE_MAX_RESERVED; i++) {
		if (fake_reserved[i].space != 0)
			continue;
		fake_reserved[i] = (struct fake_reserved){first, last, space, owner};
		return 0;
	}
	abort();
}

int fake_reserve_device(uint32_t space, uint32_t owner, const struct fake_device *device)
{
	int error = 0;

	if (device->bits < 64)
		error = fake_reserve(space, owner, (uint64_t)1 << device->bits, UINT64_MAX);
	for (unsigned i = 0; i < device->reserved_count && error == 0; i++)
		error = fake_reserve(space, owner, device->reserved[i].first,
				     device->reserved[i].last);
	return error;
}

void fake_unreserve(uint32_t space, uint32_t owner)
{
	for (unsigned i = 0; i < FAKE_MAX_RESERVED; i++)
		if (fake_reserved[i].space == space && fake_reserved[i].owner == owner)
			fake_reserved[i].space = 0;
}

bool fake_is_reserved(uint32_t space, uint64_t first, uint64_t last)
{
	for (unsigned i = 0; i < FAKE_MAX_RESERVED; i++)
		if (fake_reserved[i].space == space && fake_reserved[i].first <= last &&
		    first <= fake_reserved[i].last)
			return true;
	return false;
}

unsigned fake_gaps(uint32_t space, struct nsdk_iova_range *out, unsigned max)
{
	unsigned count = 0;
	uint64_t at = 0;

	for (;;) {
		uint64_t next = UINT64_MAX, after = at;
		bool inside = false;

		for (unsigned i = 0; i < FAKE_MAX_RESERVED; i++) {
			const struct fake_reserved *r = &fake_reserved[i];

			if (r->space != space)
				continue;
			if (r->first <= at && at <= r->last) {
				inside = true;
				after = r->last;
			} else if (r->first > at && r->first - 1 < next) {
				next = r->first - 1;
			}
		}
		if (!inside) {
			if (count < max)
				out[count] = (struct nsdk_iova_range){at, next};
			count++;
			after = next;
		}
		if (after == UINT64_MAX)
			return count;
		at = after + 1;
	}
}

/* ---- in place of lib/bus ---- */

static int attach(struct nsdk_ioas *ioas, unsigned device, struct nsdk_ioas_member *member,
		  const char *prefix, int number, bool group)
{
	static char paths[FAKE_MAX_DEVICES][64];
	int fd, rc;

	snprintf(paths[device], sizeof(paths[device]), "%s%d", prefix, number);
	fd = nsdk_sys.open(paths[device], 0);
	if (fd < 0)
		return -errno;
	*member = (struct nsdk_ioas_member){
		.name = fake.devices[device].bdf,
		.group = fake.devices[device].group,
		.device_fd = group ? -1 : fd,
		.device_path = paths[device],
		.group_fd = group ? fd : -1,
	};
	rc = nsdk_ioas_attach(ioas, member);
	if (rc != 0)
		nsdk_sys.close(fd);
	return rc;
}

int fake_attach_cdev(struct nsdk_ioas *ioas, unsigned device, struct nsdk_ioas_member *member)
{
	return attach(ioas, device, member, "/dev/vfio/devices/vfio", fake.devices[device].cdev, false);
}

void fake_detach_cdev(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	nsdk_ioas_detach(ioas, member);
	nsdk_sys.close(member->device_fd);
}

int fake_attach_group(struct nsdk_ioas *ioas, unsigned device, struct nsdk_ioas_member *member)
{
	return attach(ioas, device, member, "/dev/vfio/", fake.devices[device].group, true);
}

void fake_detach_group(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	nsdk_ioas_detach(ioas, member);
	nsdk_sys.close(member->group_fd);
}

/* ---- start and stop ---- */

static uint32_t space_of(const struct fake_device *device);

unsigned fake_kernel_map_count(unsigned device)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++)
		if (fake_maps[i].bytes != 0 && fake_maps[i].space == space_of(&fake.devices[device]))
			count++;
	return count;
}

uint64_t fake_kernel_mapped_bytes(unsigned device, uint64_t iova)
{
	struct fake_map *map = fake_map_find(space_of(&fake.devices[device]), iova, iova);

	return map == NULL || map->iova != iova ? 0 : map->bytes;
}

static uint32_t space_of(const struct fake_device *device)
{
	if (device->hwpt != 0)
		return fake_iommufd_ioas_of(device->hwpt);
	for (unsigned i = 0; i < MAX_FILES; i++)
		if (files[i].kind == FAKE_GROUP && files[i].device->group == device->group)
			return (uint32_t)files[i].container;
	return 0;
}

static void put16(struct fake_device *device, unsigned offset, uint16_t value)
{
	device->config[offset] = (uint8_t)value;
	device->config[offset + 1] = (uint8_t)(value >> 8);
}

/* An NVMe function with a PCIe and an MSI-X capability, and bus mastering left on by somebody. */
static void fill_config(struct fake_device *device)
{
	put16(device, PCI_VENDOR_ID, 0x1b36);
	put16(device, PCI_DEVICE_ID, 0x0010);
	put16(device, PCI_COMMAND, PCI_COMMAND_MASTER);
	put16(device, PCI_STATUS, PCI_STATUS_CAP_LIST);
	device->config[PCI_BASE_ADDRESS_0] = PCI_BASE_ADDRESS_MEM_TYPE_64;
	device->config[PCI_BASE_ADDRESS_2] = PCI_BASE_ADDRESS_SPACE_IO;
	device->config[PCI_CAPABILITY_LIST] = 0x40;
	device->config[0x40] = PCI_CAP_ID_MSIX;
	device->config[0x41] = 0x80;
	device->config[0x80] = PCI_CAP_ID_EXP;
	device->config[0x81] = 0;
}

struct fake_device *fake_kernel_add_device(void)
{
	static const char *const bdfs[FAKE_MAX_DEVICES] = {"0000:00:03.0", "0000:00:04.0",
							   "0000:00:05.0", "0000:00:06.0"};
	unsigned number = fake.device_count++;
	struct fake_device *device = &fake.devices[number];

	device->bdf = bdfs[number];
	device->group = 7 + (int)number;
	device->cdev = (int)number;
	device->hw_type = 1;
	device->ecap = 0xf00f4a;
	device->bits = 48;
	device->reserved[0] = (struct nsdk_iova_range){0xfee00000, 0xfeefffff};
	device->reserved_count = 1;
	device->bar_bytes[0] = 16384;
	device->bar_bytes[2] = 256;
	device->msix_count = 8;
	device->notice_fds[0] = -1;
	device->notice_fds[1] = -1;
	device->memfd = memfd_create("bar", MFD_CLOEXEC);
	if (device->memfd < 0 || ftruncate(device->memfd, (off_t)device->bar_bytes[0]) != 0)
		abort();
	fill_config(device);
	return device;
}

void fake_kernel_start(void)
{
	memset(&fake, 0, sizeof(fake));
	memset(files, 0, sizeof(files));
	memset(fake_maps, 0, sizeof(fake_maps));
	memset(fake_reserved, 0, sizeof(fake_reserved));
	fake_iommufd_reset();
	fake.cc_answer = -1;
	fake.dma_avail = 65535;
	fake_kernel_add_device();
	real_sys = nsdk_sys;
	nsdk_sys = (struct nsdk_sys){
		.open = fake_open,
		.close = fake_close,
		.ioctl = fake_ioctl,
		.mmap = fake_mmap,
		.munmap = fake_munmap,
		.pread = fake_pread,
		.pwrite = fake_pwrite,
		.read = fake_read,
		.eventfd = fake_eventfd,
		.access = fake_access,
	};
	unsetenv("NSDK_IOMMU");
	nsdk_unit_log_start();
}

bool fake_kernel_is_idle(void)
{
	bool mapped = false;

	for (unsigned i = 0; i < FAKE_MAX_MAPS; i++)
		mapped = mapped || fake_maps[i].bytes != 0;
	if (fake.open_fds != 0 || fake.mmaps != 0 || fake.objects_left != 0 || fake.misuses != 0 ||
	    mapped)
		printf("# left: %u files, %u memory maps, %u objects, mappings %d, misuses %u\n",
		       fake.open_fds, fake.mmaps, fake.objects_left, mapped, fake.misuses);
	return fake.open_fds == 0 && fake.mmaps == 0 && fake.objects_left == 0 && fake.misuses == 0 &&
	       !mapped;
}

void fake_kernel_stop(void)
{
	CU_ASSERT_TRUE(fake_kernel_is_idle());
	for (unsigned i = 0; i < fake.device_count; i++) {
		CU_ASSERT_FALSE(fake.devices[i].dma_possible_at_close);
		close(fake.devices[i].memfd);
	}
	nsdk_sys = real_sys;
	nsdk_unit_log_stop();
}
