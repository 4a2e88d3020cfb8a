/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/iommu and lib/bus: what a backend is, and how a bus puts a device into an address
 * space. The kernel's uAPI for DMA is met in lib/iommu and lib/bus/vfio only.
 */
#ifndef NSDK_IOMMU_INTERNAL_H
#define NSDK_IOMMU_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include <nsdk/iommu.h>

/*
 * How a device asks to be put into an address space. The bus fills it in, the backend does it,
 * because the order of the two sides' ioctls differs between backends.
 */
struct nsdk_ioas_member {
	/* iommufd (cdev): the device fd, not yet bound. Filled by the backend: devid after the bind. */
	int device_fd;
	uint32_t devid;
	/* type1: the group fd, not yet in a container. */
	int group_fd;
	/* soft: whether the emulated platform lets no-snoop through, and its widest IOVA. */
	bool soft_permits_nosnoop;
	unsigned soft_iova_bits; /* 0: 64 */
	TAILQ_ENTRY(nsdk_ioas_member) link;
};

/*
 * Attach: bind the device to the iommufd (VFIO_DEVICE_BIND_IOMMUFD) and its page table to the IOAS
 * (VFIO_DEVICE_ATTACH_IOMMUFD_PT), or put the group into the container; then read the IOVA ranges
 * again and ask the verdict again. Detach undoes it. @return 0 or -errno, logged.
 */
int nsdk_ioas_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);
void nsdk_ioas_detach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);

/* The fd of /dev/iommu or of this address space's container; -1 for soft. */
int nsdk_iommu_fd(const struct nsdk_iommu *iommu);
int nsdk_ioas_container_fd(const struct nsdk_ioas *ioas);

/*
 * soft only: find the memory behind an IOVA, as an IOMMU would.
 * @return 0 and *va, *contiguous_bytes (at most bytes); -EFAULT not mapped or not with that right.
 * Threading: any; takes a reader's lock.
 */
int nsdk_ioas_soft_lookup(struct nsdk_ioas *ioas, uint64_t iova, size_t bytes, unsigned prot,
			  void **va, size_t *contiguous_bytes);

/*
 * soft only: be told of every map and unmap, so that the cache model can follow. Called with the
 * address space's lock held; must not call back into it.
 */
typedef void (*nsdk_ioas_soft_notify)(void *ctx, void *va, size_t bytes, bool mapped);
void nsdk_ioas_soft_set_notify(struct nsdk_ioas *ioas, nsdk_ioas_soft_notify fn, void *ctx);

/*
 * The system calls of lib/iommu and lib/bus/vfio go through this table so that a test can be the
 * kernel: lie, fail the n-th call, remember what was asked. Defaults to the real ones.
 */
struct nsdk_sys {
	int (*open)(const char *path, int flags);
	int (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*mmap)(void *addr, size_t bytes, int prot, int flags, int fd, int64_t offset);
	int (*munmap)(void *addr, size_t bytes);
	int64_t (*pread)(int fd, void *buf, size_t bytes, int64_t offset);
	int64_t (*pwrite)(int fd, const void *buf, size_t bytes, int64_t offset);
};
extern struct nsdk_sys nsdk_sys; /* lib/iommu/sys.c */

#endif
