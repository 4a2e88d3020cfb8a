/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * PCI functions as sysfs and libpciaccess show them: enumeration, binding to vfio-pci and back, hot-plug.
 */
#ifndef NSDK_PCI_H
#define NSDK_PCI_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a PCI function is. */
struct nsdk_pci_addr {
	uint32_t domain; /**< PCI segment */
	uint8_t bus;     /**< bus number */
	uint8_t dev;     /**< device, 0 … 31 */
	uint8_t func;    /**< function, 0 … 7 */
};

/** "0000:00:03.0" and its NUL. Domains may need up to 8 digits (VMD). */
#define NSDK_PCI_ADDR_CHARS 18

/** What is known of a function without opening it. */
struct nsdk_pci_info {
	struct nsdk_pci_addr addr; /**< where it is */
	char bdf[NSDK_PCI_ADDR_CHARS]; /**< the same as text */
	uint16_t vendor_id;       /**< from config space */
	uint16_t device_id;       /**< from config space */
	uint32_t class_code;      /**< 24 bits: base class, sub-class, programming interface */
	int numa_node;            /**< -1: unknown */
	int iommu_group;          /**< -1: no IOMMU behind it */
	char driver[64];          /**< "" when no driver is bound */
	char driver_override[64]; /**< "" when not set */
	char vfio_cdev[32];       /**< "vfio3" where /dev/vfio/devices has it, else "" */
	char name[128];           /**< vendor and device in words, from pci.ids when installed */
};

/** Parse "0000:00:03.0", "00:03.0" or the same behind "pci:". @return 0 or -EINVAL, nothing logged. */
int nsdk_pci_addr_parse(const char *text, struct nsdk_pci_addr *out);

/** Format as "0000:00:03.0". */
void nsdk_pci_addr_format(const struct nsdk_pci_addr *addr, char out[NSDK_PCI_ADDR_CHARS]);

/**
 * Call @p fn for every PCI function of the machine, ordered by address, until it returns non-zero.
 *
 * @return what @p fn returned last, or -errno with a sentence logged.
 */
int nsdk_pci_scan(int (*fn)(void *ctx, const struct nsdk_pci_info *info), void *ctx);

/** Read what is known of one function. @return 0; -ENODEV there is none there (logged). */
int nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out);

/**
 * Find a capability in a function's config space without opening the device.
 *
 * @param cap_id  PCI_CAP_ID_* (linux/pci_regs.h).
 * @return its offset; -ENOENT it has none; -ENODEV; -EACCES only root may read that far. Nothing is
 *         logged.
 */
int nsdk_pci_cap_find(const struct nsdk_pci_addr *addr, uint8_t cap_id);

/** Read config space, little endian, 1, 2 or 4 bytes. @return 0; -EINVAL; -ENODEV; -EACCES. */
int nsdk_pci_cfg_read(const struct nsdk_pci_addr *addr, unsigned offset, unsigned width,
		      uint32_t *out);

/** What undoes a temporary bind exactly, even one that an earlier, killed process has left. */
struct nsdk_pci_restore {
	struct nsdk_pci_addr addr; /**< of the function that was bound */
	char driver[64];          /**< bound before; "" none */
	char driver_override[64]; /**< before; "" none */
	bool changed;             /**< false: the user had bound it already; nothing to undo */
	int lock_fd;              /**< says to other processes that the bind is in use; -1: none */
};

/**
 * Bind a function to @p driver ("vfio-pci") by driver_override.
 *
 * Refuses a bridge, and a function whose disks hold a mounted file system, swap or a device-mapper
 * or md member, or whose network interface carries the default route. On failure everything is as
 * before.
 *
 * A temporary bind (@p restore given) is noted in /run/nsdk under a lock that dies with the process:
 * when a process is killed in the middle, the next temporary bind of the same function takes the
 * note over and restores what the killed one should have.
 *
 * @param[out] restore  what nsdk_pci_restore() needs to undo this; NULL: the bind is to stay.
 * @return 0; -EBUSY in use (the sentence says by what); -ENODEV no such function; -EACCES not
 *         permitted; -ENOENT the kernel has no such driver; -EINVAL a bridge; -EIO the driver did
 *         not take it.
 * Threading: one thread at a time for one function.
 * Source: Documentation/ABI/testing/sysfs-bus-pci (driver_override, drivers_probe).
 */
int nsdk_pci_bind(const struct nsdk_pci_addr *addr, const char *driver,
		  struct nsdk_pci_restore *restore);

/** Undo a temporary bind exactly, and forget the note. @return 0 or -errno, logged. */
int nsdk_pci_restore(struct nsdk_pci_restore *restore);

/**
 * Give a function back to the kernel: to the driver noted by a temporary bind that was killed, else
 * to whichever matches it.
 * @return 0; -EBUSY a process of NSDK has it; -ENOENT no kernel driver took it; other -errno. Logged.
 */
int nsdk_pci_unbind(const struct nsdk_pci_addr *addr);

/* ---- Hot-plug ---- */

/** Hears of PCI functions that come and go. */
struct nsdk_hotplug;

/** What nsdk_hotplug_create() may be told; all zero is a good default. */
struct nsdk_hotplug_opts {
	size_t opts_bytes;     /**< sizeof(struct nsdk_hotplug_opts) */
	bool existing;         /**< report the functions that are there already as added, too */
	unsigned buffer_bytes; /**< for the kernel's messages; 0: 1 MiB, or as much as one may have */
};

/** What has happened. */
enum nsdk_hotplug_what {
	NSDK_HOTPLUG_ADDED = 1, /**< a function that was not there is, or another one at its address */
	NSDK_HOTPLUG_REMOVED,   /**< it is not there any more */
};

/** To which function. */
struct nsdk_hotplug_event {
	enum nsdk_hotplug_what what;   /**< what has happened */
	struct nsdk_pci_addr addr;     /**< where the function is or was */
	char bdf[NSDK_PCI_ADDR_CHARS]; /**< the same as text */
};

/**
 * Begin to listen. No privilege is needed.
 *
 * A removal is reported when the function has left; before that the kernel asks its driver to let go of
 * it, which nsdk_device_check() is for.
 *
 * @param opts  NULL for defaults.
 * @return 0; -ENOMEM; -errno the kernel gives no such socket, or sysfs cannot be read. Logged.
 * Threading: one thread at a time for each of these objects.
 * Source: NETLINK_KOBJECT_UEVENT (linux/netlink.h); Documentation/ABI/stable/sysfs-bus-pci.
 */
int nsdk_hotplug_create(const struct nsdk_hotplug_opts *opts, struct nsdk_hotplug **out);

/** Stop listening. NULL is fine. */
void nsdk_hotplug_destroy(struct nsdk_hotplug *hotplug);

/**
 * A file to wait on (poll, epoll): when it is readable, or an event was returned last,
 * nsdk_hotplug_next() is to be called until it returns 0. That, and once before the first wait.
 */
int nsdk_hotplug_fd(const struct nsdk_hotplug *hotplug);

/**
 * The next event; never waits. Messages that were lost because nobody read them lose no event: the
 * functions are compared with those before. One that came and went in between is not reported, and one
 * that was replaced is reported as removed and as added.
 *
 * A function that was added a moment ago may still be on its way to its driver.
 *
 * @return 1 and an event; 0 none for now; -errno, logged, and the next call tries again.
 */
int nsdk_hotplug_next(struct nsdk_hotplug *hotplug, struct nsdk_hotplug_event *out);

/** Compare with the next call, whatever the kernel says: where its messages do not arrive (containers). */
void nsdk_hotplug_rescan(struct nsdk_hotplug *hotplug);

#ifdef __cplusplus
}
#endif
#endif
