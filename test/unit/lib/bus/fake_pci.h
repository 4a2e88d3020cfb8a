/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib/pci for the tests of lib/bus: the fake kernel's functions and who has them bound. Takes the
 * place of nsdk_pci_info(), nsdk_pci_bind() and nsdk_pci_restore() in a test that wraps them.
 */
#ifndef FAKE_PCI_H
#define FAKE_PCI_H

#include <nsdk/bus.h>
#include <nsdk/pci.h>

#include "../iommu/fake_kernel.h"

struct fake_function {
	const char *driver; /* "" none */
	unsigned binds;
	unsigned restores;
};
extern struct fake_function fake_functions[FAKE_MAX_DEVICES];

/* The fake kernel starts, with all functions bound to nvme; stops and asserts that nothing is left. */
void fake_lab_start(void);
void fake_lab_stop(void);

/* Attach the n-th function with these options (NULL: bind it for the time being). */
int fake_attach(unsigned number, const struct nsdk_device_opts *opts, struct nsdk_device **out);

int __wrap_nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out);
int __wrap_nsdk_pci_bind(const struct nsdk_pci_addr *addr, const char *driver,
			 struct nsdk_pci_restore *restore);
int __wrap_nsdk_pci_restore(struct nsdk_pci_restore *restore);

#endif
