/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * PCI functions as sysfs and libpciaccess show them: enumeration, and binding to vfio-pci and back.
 */
#ifndef NSDK_PCI_H
#define NSDK_PCI_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a PCI function is. */
struct nsdk_pci_addr {
	uint32_t domain;
	uint8_t bus;
	uint8_t dev;
	uint8_t func;
};

/** "0000:00:03.0" and its NUL. Domains may need up to 8 digits (VMD). */
#define NSDK_PCI_ADDR_CHARS 18

/** What is known of a function without opening it. */
struct nsdk_pci_info {
	struct nsdk_pci_addr addr;
	char bdf[NSDK_PCI_ADDR_CHARS];
	uint16_t vendor_id;
	uint16_t device_id;
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
 * Bind a function to @p driver ("vfio-pci") by driver_override.
 *
 * Refuses a function whose disks hold a mounted file system, swap, a device-mapper or md member,
 * or whose network interface carries the default route. On failure everything is as before.
 *
 * @param[out] restore  what nsdk_pci_restore() needs to undo this exactly; may be NULL.
 * @return 0; -EBUSY in use (the sentence says by what); -ENODEV; -EACCES; -ENOENT no such driver.
 */
struct nsdk_pci_restore {
	struct nsdk_pci_addr addr;
	char driver[64];          /**< bound before; "" none */
	char driver_override[64]; /**< before; "" none */
	bool changed;             /**< false: it was bound to that driver already */
};
int nsdk_pci_bind(const struct nsdk_pci_addr *addr, const char *driver,
		  struct nsdk_pci_restore *restore);

/** Undo a bind exactly: the driver and the driver_override of before. @return 0 or -errno, logged. */
int nsdk_pci_restore(const struct nsdk_pci_restore *restore);

/** Give a function back to whichever kernel driver matches it: clears driver_override and probes. */
int nsdk_pci_unbind(const struct nsdk_pci_addr *addr);

/**
 * The path of sysfs; a test points it at a tree of its own. NULL brings back "/sys".
 * Also moves "/proc" to @p root/proc for the in-use checks when @p root is not NULL.
 */
void nsdk_pci_set_root(const char *root);

#ifdef __cplusplus
}
#endif
#endif
