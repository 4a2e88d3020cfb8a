/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enable No Snoop of an SR-IOV virtual function.
 *
 * A virtual function has the bit reserved: it reads 0 and cannot be written, while the function does
 * as its physical function's bit says (SR-IOV, Device Control Register of a VF). Taking that 0 for a
 * promise would leave the hole that clearing the bit is there to close. So the physical function is
 * asked, through sysfs; it belongs to the kernel's driver and is never written.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "lib/pci/pci_internal.h"

/* Config space is little endian. Beyond its first 64 bytes it takes root to read. */
static bool read16(int fd, unsigned offset, uint16_t *out)
{
	uint8_t bytes[2];

	if (pread(fd, bytes, sizeof(bytes), offset) != (ssize_t)sizeof(bytes))
		return false;
	*out = (uint16_t)(bytes[0] | bytes[1] << 8);
	return true;
}

static bool read_devctl(int fd, uint16_t *out)
{
	uint16_t entry;
	unsigned at;

	if (!read16(fd, PCI_CAPABILITY_LIST, &entry))
		return false;
	/* A list that goes round in circles ends as well: there is room for 48 in 192 bytes. */
	for (unsigned n = 0; n < 48; n++) {
		at = (n == 0 ? entry : entry >> 8) & 0xfc;
		if (at < 0x40 || !read16(fd, at, &entry))
			return false;
		if ((entry & 0xff) == PCI_CAP_ID_EXP)
			return read16(fd, at + PCI_EXP_DEVCTL, out) && *out != 0xffff;
	}
	return false;
}

bool nsdk_ens_is_vf(const char *device_name, enum nsdk_ens_of_pf *pf)
{
	char path[NSDK_PCI_PATH_CHARS];
	uint16_t devctl;
	int fd;

	*pf = NSDK_ENS_OF_PF_UNKNOWN;
	if (strncmp(device_name, "pci:", 4) != 0)
		return false;
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/physfn", device_name + 4) != 0 ||
	    access(path, F_OK) != 0)
		return false;
	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/physfn/config", device_name + 4) != 0)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read_devctl(fd, &devctl))
		*pf = devctl & PCI_EXP_DEVCTL_NOSNOOP_EN ? NSDK_ENS_OF_PF_SET : NSDK_ENS_OF_PF_CLEAR;
	close(fd);
	return true;
}
