/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/bus/vfio*.c: a PCI function behind VFIO.
 */
#ifndef NSDK_VFIO_INTERNAL_H
#define NSDK_VFIO_INTERNAL_H

#include <nsdk/pci.h>

#include "bus_internal.h"
#include "lib/iommu/iommu_internal.h"

struct nsdk_vfio_group;
struct vfio_region_info;

/* What of a BAR can be mapped: all of it, or pieces around the MSI-X table on old kernels. */
#define NSDK_VFIO_MAX_AREAS 4

struct nsdk_vfio_area {
	uint64_t offset;
	uint64_t bytes;
};

struct nsdk_vfio_bar {
	uint64_t region_offset; /* in the device's file */
	unsigned area_count;    /* 0: one piece, all mapped */
	struct nsdk_vfio_area areas[NSDK_VFIO_MAX_AREAS];
};

/* What the kernel tells us by an eventfd: that the device is wanted back, that it has failed. */
enum { NSDK_VFIO_NOTICE_REQUEST, NSDK_VFIO_NOTICE_ERROR, NSDK_VFIO_NOTICES };

struct nsdk_vfio {
	int fd;
	struct nsdk_vfio_group *group;  /* NULL: the cdev is used */
	struct nsdk_ioas_member member; /* cdev; a group has its own */
	struct nsdk_pci_info info;
	struct nsdk_pci_restore restore;
	char path[64]; /* of the cdev */
	uint64_t cfg_offset;
	uint64_t cfg_bytes;
	bool can_reset;
	unsigned irq_count;
	unsigned irqs_on; /* vectors that MSI-X is on with; 0: it is off */
	int notice_fd[NSDK_VFIO_NOTICES];
	bool wanted_back; /* by the kernel, which is taking it from its driver */
	struct nsdk_vfio_bar bars[NSDK_MAX_BARS];
	LIST_ENTRY(nsdk_vfio) link; /* of the functions that this process drives */
};

static inline struct nsdk_vfio *nsdk_vfio_of(const struct nsdk_device *dev)
{
	return dev->priv;
}

/*
 * VFIO_DEVICE_GET_REGION_INFO with its capabilities, to be freed. @return 0 or -errno, not logged.
 * region_cap gives a capability of at least @p bytes, or NULL.
 */
int nsdk_vfio_region_info(int fd, uint32_t index, struct vfio_region_info **out);
const void *nsdk_vfio_region_cap(const struct vfio_region_info *info, uint16_t id, size_t bytes);

/* Config space (vfio_cfg.c). */
int nsdk_vfio_cfg_open(struct nsdk_device *dev);
int nsdk_vfio_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t *out);
int nsdk_vfio_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t value);
/* Function-level reset, with bus mastering off. @return 0 or -errno, not logged. */
int nsdk_vfio_reset(struct nsdk_device *dev);

/* BARs (vfio_bar.c). */
int nsdk_vfio_bar_map(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out);
bool nsdk_vfio_bar_has(const struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes);
void nsdk_vfio_bars_unmap(struct nsdk_device *dev);
uint64_t nsdk_vfio_mmio_read(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			     unsigned width);
void nsdk_vfio_mmio_write(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			  unsigned width, uint64_t value);

/* Interrupts and notices (vfio_irq.c). */
int nsdk_vfio_irq_open(struct nsdk_device *dev);
void nsdk_vfio_irq_close(struct nsdk_device *dev);
unsigned nsdk_vfio_irq_count(struct nsdk_device *dev);
int nsdk_vfio_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count);
int nsdk_vfio_irq_disable(struct nsdk_device *dev);
int nsdk_vfio_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd);
unsigned nsdk_vfio_notices(struct nsdk_device *dev, int *fds);
/* The same without a word. */
int nsdk_vfio_irq_disarm(struct nsdk_vfio *vfio);
void nsdk_vfio_check(struct nsdk_device *dev);

/*
 * Groups (vfio_group.c): a process can open a group once, so its devices share the file. @p bdf is
 * how the group is called in sentences. @return 0 or -errno, logged.
 */
int nsdk_vfio_group_get(int number, const char *bdf, struct nsdk_ioas *ioas,
			struct nsdk_vfio_group **out);
void nsdk_vfio_group_put(struct nsdk_vfio_group *group);
int nsdk_vfio_group_fd(const struct nsdk_vfio_group *group);

#endif
