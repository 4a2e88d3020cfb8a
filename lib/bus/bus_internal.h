/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/bus, lib/coherence and lib/emu: what a bus is.
 */
#ifndef NSDK_BUS_INTERNAL_H
#define NSDK_BUS_INTERNAL_H

#include <stdatomic.h>

#include <nsdk/bus.h>

#include "sigbus.h"

#define NSDK_MAX_BARS 6

/* In a device's gone: the sentence has been logged. */
#define NSDK_GONE_SAID 2u

struct nsdk_line_ops; /* lib/coherence/coherence_internal.h */

/* One table a bus. Everything but open may assume an open device; nothing here is on the I/O path
 * except poll, and the doorbell stores which go straight to the BAR. */
struct nsdk_bus_ops {
	const char *name;
	/* Parse args (the words behind "pci:" or "emu:"), open, attach to an address space made from
	 * opts, fill in dev->verdict. On failure undo everything; one sentence logged. */
	int (*open)(struct nsdk_device *dev, const char *args, const struct nsdk_device_opts *opts);
	void (*close)(struct nsdk_device *dev);
	int (*cfg_read)(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t *out);
	int (*cfg_write)(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t value);
	int (*bar_map)(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out);
	/* Whether a piece that is inside of a mapped BAR is mapped; NULL: all is. */
	bool (*bar_has)(const struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes);
	/* Control register access; NULL: plain loads and stores to the BAR. */
	uint64_t (*mmio_read)(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			      unsigned width);
	void (*mmio_write)(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			   unsigned width, uint64_t value);
	unsigned (*irq_count)(struct nsdk_device *dev);
	int (*irq_enable)(struct nsdk_device *dev, const int *eventfds, unsigned count);
	int (*irq_disable)(struct nsdk_device *dev);
	/* One of the vectors that were armed. */
	int (*irq_set)(struct nsdk_device *dev, unsigned vector, int eventfd);
	/* What is readable when check has something to tell; may be NULL. @return how many. */
	unsigned (*notices)(struct nsdk_device *dev, int fds[NSDK_DEVICE_NOTICES]);
	int (*reset)(struct nsdk_device *dev);
	/* NULL for hardware: nsdk_device_poll() is then one branch. */
	void (*poll)(struct nsdk_device *dev);
	/* Look for signs that the device is going or gone, and nsdk_device_set_gone(); may be NULL. */
	void (*check)(struct nsdk_device *dev);
};

struct nsdk_device {
	const struct nsdk_bus_ops *ops;
	const char *bus_name;             /* ops->name unless open says better */
	void *priv;                       /* the bus's own */
	const struct nsdk_line_ops *line_ops; /* NULL: the CPU's; else the cache model's */
	struct nsdk_ioas *ioas;
	bool ioas_owned;                  /* made by the attach, destroyed by the detach */
	bool no_sigbus_handler;           /* as the opts say */
	bool needs_turns;                 /* it does nothing unless it is polled */
	struct nsdk_iommu *iommu;         /* NULL, or held by the attach and released by the detach */
	struct nsdk_snoop_verdict verdict;
	int numa_node;
	atomic_uint gone; /* 0: it is there; else how that is known (sigbus.h), and NSDK_GONE_SAID */
	char name[256];
	struct nsdk_bar bars[NSDK_MAX_BARS]; /* mapped ones */
};

/* Mark as gone; the first caller logs. */
void nsdk_device_set_gone(struct nsdk_device *dev, const char *why);

/* Whether it is there, for who has been answered with all ones or an error; marks it as gone if not. */
bool nsdk_device_answers(struct nsdk_device *dev);

/* vfio only: the device fd (the WBINVD gate presents it as proof), or -1. */
int nsdk_device_fd(const struct nsdk_device *dev);

extern const struct nsdk_bus_ops nsdk_bus_vfio; /* lib/bus/vfio*.c */
extern const struct nsdk_bus_ops nsdk_bus_emu;  /* lib/bus/emu.c */

/*
 * Give the device an address space, as opts say: the one given, or one of its own in the handle given
 * or shared. Fills in dev->iommu, ioas and ioas_owned. @return 0; -EINVAL what is given is of another
 * backend (soft is for emulated devices, the others for hardware); -errno; logged.
 *
 * Before the call a bus chooses @p backend: AUTO where it does not care. After close(), and after an
 * open() that failed, the put is called for every bus; calling it twice does no harm.
 */
int nsdk_bus_space_get(struct nsdk_device *dev, const struct nsdk_device_opts *opts,
		       enum nsdk_iommu_backend backend);
void nsdk_bus_space_put(struct nsdk_device *dev);

/* A reference to the process's shared iommu handle of a backend; -errno, logged. */
int nsdk_bus_iommu_get(enum nsdk_iommu_backend backend, struct nsdk_iommu **out);
void nsdk_bus_iommu_put(struct nsdk_iommu *iommu);

#endif
