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
	const char *name; /* the device in sentences ("0000:00:03.0"); outlives the member */
	int group;        /* number of its IOMMU group, -1 unknown */
	/* iommufd (cdev): the device fd, not yet bound, and its path. Filled by the backend: devid
	 * after the bind, the page table it is on, and what the IOMMU says of itself. */
	int device_fd;
	const char *device_path;
	uint32_t devid;
	uint32_t pt_id;
	bool pt_ours; /* we made that table and destroy it; else the kernel did when we attached */
	/* 1: the IOMMU in front of it can force snooping; 0: cannot; -ENODATA: does not tell; else
	 * the error of asking. */
	int hw_enforces;
	/* type1: the group fd, not yet in a container. One member a group, however many devices. */
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
 * Whether the kernel offers a backend to this user, without a word logged.
 * @return 0; -ENODEV the kernel has it not; -EACCES no permission; other -errno. @p reason (may be
 * NULL) then says so in a sentence that names what to do.
 */
int nsdk_iommu_probe(enum nsdk_iommu_backend backend, char *reason, size_t reason_bytes);

/*
 * What AUTO means here: NSDK_IOMMU, else what the kernel has. @p forced (may be NULL): the user said
 * so. @return 0 and a backend that opened just now; as nsdk_iommu_open(), logged.
 */
int nsdk_iommu_resolve(enum nsdk_iommu_backend asked, enum nsdk_iommu_backend *out, bool *forced);

/*
 * Who else has a device file open: " by process 1234 (qemu)" into @p out, or "" when none is seen
 * (other users' processes are not visible to everybody).
 */
void nsdk_iommu_file_holder(const char *path, char *out, size_t out_bytes);

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
 *
 * Each @p ctx is told apart, as several devices may share an address space: it hears of what is
 * mapped at that moment, then of every change; with @p fn NULL it is told that all of it is unmapped
 * and then never called again. @return 0 or -ENOMEM, logged.
 */
typedef void (*nsdk_ioas_soft_notify)(void *ctx, void *va, size_t bytes, bool mapped);
int nsdk_ioas_soft_set_notify(struct nsdk_ioas *ioas, nsdk_ioas_soft_notify fn, void *ctx);

/*
 * The system calls of lib/iommu and lib/bus/vfio go through this table so that a test can be the
 * kernel: lie, fail the n-th call, remember what was asked. Defaults to the real ones, and like them
 * returns -1 and sets errno.
 */
struct nsdk_sys {
	int (*open)(const char *path, int flags);
	int (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*mmap)(void *addr, size_t bytes, int prot, int flags, int fd, int64_t offset);
	int (*munmap)(void *addr, size_t bytes);
	int64_t (*pread)(int fd, void *buf, size_t bytes, int64_t offset);
	int64_t (*pwrite)(int fd, const void *buf, size_t bytes, int64_t offset);
	int64_t (*read)(int fd, void *buf, size_t bytes);
	int (*eventfd)(unsigned initial, int flags);
	int (*access)(const char *path, int mode);
};
extern struct nsdk_sys nsdk_sys; /* lib/iommu/sys.c */

/* An ioctl through that table. @return what it gave, or -errno. */
int nsdk_sys_ioctl(int fd, unsigned long request, void *arg);

/*
 * The whole of what VFIO tells by @p request, capabilities and all; every such struct begins with argsz
 * (linux/vfio.h). @p head has the request's own members, @p head_bytes is the struct without
 * capabilities. @return 0 and *out to be freed, its argsz being what the kernel filled in; -errno, and
 * *out is NULL: -EMSGSIZE, it wants more room each time; -ENOMEM.
 */
int nsdk_vfio_info_get(int fd, unsigned long request, const void *head, uint32_t head_bytes,
		       void **out);

/*
 * A capability of at least @p bytes in the chain of a VFIO info struct (struct vfio_info_cap_header,
 * linux/vfio.h), or NULL. @p info_bytes is what the kernel filled in, @p first the chain's start as an
 * offset into it, 0 where there is no chain.
 */
const void *nsdk_vfio_cap_find(const void *info, uint32_t info_bytes, uint32_t first, uint16_t id,
			       size_t bytes);

#endif
