/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_pci.h"
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/log.h>

struct fake_function fake_functions[FAKE_MAX_DEVICES];

void fake_lab_start(void)
{
	fake_kernel_start();
	for (unsigned i = 0; i < FAKE_MAX_DEVICES; i++)
		fake_functions[i] = (struct fake_function){.driver = "nvme"};
}

void fake_lab_stop(void)
{
	fake_kernel_stop();
}

int fake_attach(unsigned number, const struct nsdk_device_opts *opts, struct nsdk_device **out)
{
	static const struct nsdk_device_opts bind = {.opts_bytes = sizeof(bind), .bind = true};

	return nsdk_device_attach(fake.devices[number].bdf, opts == NULL ? &bind : opts, out);
}

/* One sentence, as lib/pci says it. */
static bool fails(const char *call)
{
	if (!nsdk_unit_fails_now())
		return false;
	fake.failed_call = call;
	fake.failed_request = 0;
	(void)nsdk_fail(-EIO, "pci", "%s fails", call);
	return true;
}

static int find(const struct nsdk_pci_addr *addr)
{
	char bdf[NSDK_PCI_ADDR_CHARS];

	nsdk_pci_addr_format(addr, bdf);
	for (unsigned i = 0; i < fake.device_count; i++)
		if (strcmp(fake.devices[i].bdf, bdf) == 0)
			return (int)i;
	return nsdk_fail(-ENODEV, "pci", "there is no PCI function %s", bdf);
}

int __wrap_nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out)
{
	int number = find(addr);
	const struct fake_device *device;
	bool bound;

	if (number < 0)
		return number;
	if (fails("info"))
		return -EIO;
	device = &fake.devices[number];
	bound = strcmp(fake_functions[number].driver, "vfio-pci") == 0;
	memset(out, 0, sizeof(*out));
	out->addr = *addr;
	nsdk_pci_addr_format(addr, out->bdf);
	out->numa_node = 1;
	out->iommu_group = device->noiommu && !bound ? -1 : device->group;
	snprintf(out->driver, sizeof(out->driver), "%s", fake_functions[number].driver);
	if (bound && device->cdev >= 0 && !device->noiommu)
		snprintf(out->vfio_cdev, sizeof(out->vfio_cdev), "vfio%d", device->cdev);
	return 0;
}

int __wrap_nsdk_pci_bind(const struct nsdk_pci_addr *addr, const char *driver,
			 struct nsdk_pci_restore *restore)
{
	int number = find(addr);

	memset(restore, 0, sizeof(*restore));
	restore->lock_fd = -1;
	if (number < 0)
		return number;
	if (fails("bind"))
		return -EIO;
	restore->addr = *addr;
	restore->changed = strcmp(fake_functions[number].driver, driver) != 0;
	snprintf(restore->driver, sizeof(restore->driver), "%s", fake_functions[number].driver);
	fake_functions[number].driver = "vfio-pci";
	fake_functions[number].binds++;
	return 0;
}

int __wrap_nsdk_pci_restore(struct nsdk_pci_restore *restore)
{
	int number;

	if (!restore->changed)
		return 0;
	number = find(&restore->addr);
	if (number < 0)
		return number;
	/* In the kernel the unbind would wait for that file, perhaps for ever. */
	if (fake.devices[number].open_count != 0)
		fake_misuse("a function is given back while it is open");
	fake_functions[number].driver = strcmp(restore->driver, "nvme") == 0 ? "nvme" : "";
	fake_functions[number].restores++;
	restore->changed = false;
	return 0;
}
