/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel for the tests of lib/iommu and lib/bus: iommufd, VFIO cdevs, groups and containers, as
 * much as those rooms use, behind the table of system calls.
 *
 * It keeps the rules that the real one has (what must come before what, what is refused) and counts
 * what is not given back. What is asked of it may fail at the n-th call (nsdk_unit_fail_next()).
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

#include <nsdk/iommu.h>

#define FAKE_MAX_DEVICES 4
#define FAKE_MAX_RESERVED 16
#define FAKE_MAX_MAPS 64
#define FAKE_BARS 6

/* A PCI function, its IOMMU and what goes wrong with it. */
struct fake_device {
	const char *bdf;
	int group;
	int cdev; /* N of /dev/vfio/devices/vfioN; -1: none */

	/* Its IOMMU. */
	uint32_t hw_type; /* of IOMMU_GET_HW_INFO */
	uint64_t ecap;
	const char *sysfs_ecap; /* text of the sysfs file, NULL: none */
	bool enforces;          /* tables made for it enforce snooping */
	unsigned bits;          /* of IOVA */
	struct nsdk_iova_range reserved[2];
	unsigned reserved_count;
	bool late_table;    /* has room only when the kernel makes it while attaching */
	bool no_hwpt_alloc;
	bool rejects_tables;
	bool unsafe_interrupts;
	bool group_not_viable;
	bool noiommu;
	bool busy; /* opened by another process */

	/* The function. */
	uint8_t config[256];
	uint64_t bar_bytes[FAKE_BARS];
	bool bar_not_mappable;
	struct nsdk_iova_range sparse[8]; /* pieces of BAR 0 that can be mapped; first, last */
	unsigned sparse_count;
	unsigned msix_count;
	int msix_limit; /* more vectors than that are refused as the kernel does; 0: no limit */
	bool no_reset;
	bool keeps_master; /* the kernel leaves bus mastering on when it opens the function */
	unsigned reset_again; /* so often EAGAIN first */
	bool vanished;

	/* What became of it. */
	int fd;
	int open_count;
	unsigned resets;
	bool master_at_reset;
	bool dma_possible_at_close; /* bus master was on when it left its page table */
	int irq_fds[16];
	unsigned irqs_armed;
	int notice_fds[2]; /* request, error */
	int memfd;
	uint32_t devid;
	uint32_t hwpt; /* 0: none */
};

struct fake_kernel {
	struct fake_device devices[FAKE_MAX_DEVICES];
	unsigned device_count;

	bool no_iommufd;
	bool no_container;
	bool no_type1;
	const char *denied_path; /* EACCES */
	const char *missing_path; /* ENOENT, though a device would have it */
	uint64_t memlock_bytes;   /* 0: no limit */
	uint32_t dma_avail;
	bool no_iova_cap;  /* containers do not tell their ranges */
	bool broken_caps;  /* capability chains that lead nowhere */
	bool many_ranges;  /* more than anybody expects at first */
	int cc_answer;     /* of VFIO_DMA_CC_IOMMU: -1 as it is, else this */
	int hw_info_error; /* errno, 0: none */
	int unmap_error;

	/* What was done, and what was left. */
	unsigned long failed_request; /* the ioctl that was made to fail in this round, or 0 */
	const char *failed_call;      /* "ioctl", "open", … */
	unsigned open_fds;
	unsigned mmaps;
	unsigned objects_left; /* IOAS, tables, mappings that were there when their file was closed */
	unsigned misuses;      /* what no program should do; each is printed */
	unsigned pins;         /* maps that pinned pages: copies do not */
	unsigned auto_tables;  /* made by the kernel while attaching */
	unsigned own_tables;   /* made by IOMMU_HWPT_ALLOC */
	uint32_t compat_ioas;  /* where the slot points; 0: empty */
};

extern struct fake_kernel fake;

/* A kernel with one device, bdf 0000:00:03.0, behind a VT-d of 48 bits that cannot enforce snooping. */
void fake_kernel_start(void);
/* Gives the real system calls back and asserts that nothing was left. */
void fake_kernel_stop(void);

/* One more device like the first, with the next address, group and cdev. */
struct fake_device *fake_kernel_add_device(void);

/* Whether nothing is open, mapped or left. */
bool fake_kernel_is_idle(void);

/* How many mappings the device with that index can reach now, and one of them by IOVA (its bytes, 0 none). */
unsigned fake_kernel_map_count(unsigned device);
uint64_t fake_kernel_mapped_bytes(unsigned device, uint64_t iova);

/* The kernel signals an eventfd that was armed. */
void fake_kernel_signal(int eventfd);

/* Registers of BAR 0 as the device has them. */
void *fake_kernel_bar0(unsigned device);

/*
 * What lib/bus does with a device, for the tests that come without it: open its cdev or its group and
 * attach it, detach and close it. @return as nsdk_ioas_attach().
 */
struct nsdk_ioas_member;
int fake_attach_cdev(struct nsdk_ioas *ioas, unsigned device, struct nsdk_ioas_member *member);
void fake_detach_cdev(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);
int fake_attach_group(struct nsdk_ioas *ioas, unsigned device, struct nsdk_ioas_member *member);
void fake_detach_group(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);

/* Between the parts of the fake. */
enum fake_kind { FAKE_FREE, FAKE_IOMMUFD, FAKE_CONTAINER, FAKE_GROUP, FAKE_DEVICE, FAKE_EVENTFD, FAKE_TEXT };

struct fake_file {
	enum fake_kind kind;
	struct fake_device *device; /* of a device; of a group, the first of it */
	int container;              /* of a group: fd of its container, 0 none */
	int iommufd;                /* of a cdev that is bound */
	int group_file;             /* of a device opened through a group */
	uint64_t count;             /* of an eventfd */
	unsigned members;           /* of a container: groups */
	bool iommu_set;             /* of a container */
	unsigned mmaps;             /* of a device */
};

struct fake_map {
	uint64_t iova;
	uint64_t bytes;
	uint32_t space; /* IOAS id, or fd of the container */
	unsigned prot;
	uint64_t va;
};

struct fake_file *fake_file_of(int fd);
int fake_fd_of(const struct fake_file *file);
struct fake_file *fake_file_new(enum fake_kind kind);
int fake_errno(int error); /* sets errno, returns -1 */
void fake_misuse(const char *what);

int fake_iommufd_ioctl(struct fake_file *file, unsigned long request, void *arg);
void fake_iommufd_closed(struct fake_file *file);
int fake_iommufd_attach(struct fake_device *device, uint32_t *pt_id);
void fake_iommufd_detach(struct fake_device *device);
int fake_iommufd_bind(struct fake_device *device, int iommufd);
void fake_iommufd_unbind(struct fake_device *device);
void fake_iommufd_reset(void);
uint32_t fake_iommufd_ioas_of(uint32_t hwpt);

int fake_container_ioctl(struct fake_file *file, unsigned long request, void *arg);
void fake_container_closed(struct fake_file *file);
int fake_group_ioctl(struct fake_file *file, unsigned long request, void *arg);
void fake_group_closed(struct fake_file *file);
int fake_device_ioctl(struct fake_file *file, unsigned long request, void *arg);
void fake_device_closed(struct fake_file *file);

/* Mappings of any address space. */
extern struct fake_map fake_maps[FAKE_MAX_MAPS];
int fake_map_add(uint32_t space, uint64_t iova, uint64_t va, uint64_t bytes, unsigned prot,
		 bool pins);
int fake_map_remove(uint32_t space, uint64_t iova, uint64_t bytes);
struct fake_map *fake_map_find(uint32_t space, uint64_t first, uint64_t last);
unsigned fake_map_drop(uint32_t space);

/* The gaps between reserved ranges. @return how many. */
struct fake_reserved {
	uint64_t first;
	uint64_t last;
	uint32_t space;
	uint32_t owner; /* HWPT id or device id */
};
extern struct fake_reserved fake_reserved[FAKE_MAX_RESERVED];
int fake_reserve(uint32_t space, uint32_t owner, uint64_t first, uint64_t last);
int fake_reserve_device(uint32_t space, uint32_t owner, const struct fake_device *device);
void fake_unreserve(uint32_t space, uint32_t owner);
bool fake_is_reserved(uint32_t space, uint64_t first, uint64_t last);
unsigned fake_gaps(uint32_t space, struct nsdk_iova_range *out, unsigned max);

#endif
