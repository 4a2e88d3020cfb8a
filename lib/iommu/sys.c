/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls of lib/iommu and lib/bus/vfio, as a table that a test may replace.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommu_internal.h"

/* The C library's are variadic or have other types; these have exactly those of the table. */
static int sys_open(const char *path, int flags)
{
	return open(path, flags);
}

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static void *sys_mmap(void *addr, size_t bytes, int prot, int flags, int fd, int64_t offset)
{
	return mmap(addr, bytes, prot, flags, fd, offset);
}

static int64_t sys_pread(int fd, void *buf, size_t bytes, int64_t offset)
{
	return pread(fd, buf, bytes, offset);
}

static int64_t sys_pwrite(int fd, const void *buf, size_t bytes, int64_t offset)
{
	return pwrite(fd, buf, bytes, offset);
}

static int64_t sys_read(int fd, void *buf, size_t bytes)
{
	return read(fd, buf, bytes);
}

struct nsdk_sys nsdk_sys = {
	.open = sys_open,
	.close = close,
	.ioctl = sys_ioctl,
	.mmap = sys_mmap,
	.munmap = munmap,
	.pread = sys_pread,
	.pwrite = sys_pwrite,
	.read = sys_read,
	.eventfd = eventfd,
	.access = access,
};
