/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "Enable No Snoop", bit 11 of Device Control in the PCI Express capability.
 *
 * 0 forbids the function to set the No Snoop attribute; 1 allows it, which does not say that it ever
 * will: a function that never does may hardwire the bit to 0. Out of reset it is 1 unless hardwired
 * (PCI Express Base, Device Control Register; linux/pci_regs.h PCI_EXP_DEVCTL_NOSNOOP_EN).
 *
 * Every access is 16 bits wide: the other half of that double word is Device Status, whose error bits
 * a write of 1 would clear. vfio-pci lets the write through to the hardware, and keeps the value
 * across a function reset.
 *
 * A virtual function follows its physical function's bit: see ens_vf.c.
 */
#include <errno.h>
#include <linux/pci_regs.h>

#include <nsdk/log.h>

#include "engine.h"

int nsdk_ens_find(struct nsdk_device *dev, struct nsdk_ens *out)
{
	int cap;

	*out = (struct nsdk_ens){ .dev = dev };
	out->vf = nsdk_ens_is_vf(nsdk_device_name(dev), &out->pf);
	if (out->vf)
		return 0;
	cap = nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP);
	if (cap >= 0) {
		out->devctl = (unsigned)cap + PCI_EXP_DEVCTL;
		return 0;
	}
	if (cap != -ENOENT)
		return cap;
	/*
	 * Conventional PCI has no such attribute, so there is nothing to switch off. PCI-X has it,
	 * and only the root can ignore it.
	 */
	cap = nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_PCIX);
	if (cap < 0 && cap != -ENOENT)
		return cap;
	out->pcix = cap >= 0;
	return 0;
}

static int devctl_read(struct nsdk_ens *ens, uint16_t *out)
{
	uint32_t value;
	int err;

	err = nsdk_device_cfg_read(ens->dev, ens->devctl, 2, &value);
	if (err)
		return err;
	/*
	 * All ones is what a vanished device reads as. Of a live one "Initiate Function Level Reset"
	 * reads 0. Taking it for a bit that is set would have the engine trust it.
	 */
	if ((value & 0xffff) == 0xffff) {
		ens->gone = true;
		/* The bus has looked, and has said so. */
		if (nsdk_device_is_gone(ens->dev))
			return -ENODEV;
		return nsdk_fail(-ENODEV, "coherence",
				 "%s: the device no longer answers (Device Control reads 0xffff); "
				 "check that it is still plugged in and powered",
				 nsdk_device_name(ens->dev));
	}
	*out = (uint16_t)value;
	return 0;
}

/* Change the one bit, leave the others as they are now. */
static int devctl_write(const struct nsdk_ens *ens, uint16_t now, bool on)
{
	uint32_t value = now & ~(PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_BCR_FLR);

	if (on)
		value |= PCI_EXP_DEVCTL_NOSNOOP_EN;
	return nsdk_device_cfg_write(ens->dev, ens->devctl, 2, value);
}

int nsdk_ens_set(struct nsdk_ens *ens, bool on, bool *sticks)
{
	uint16_t value;
	int err;

	if (ens->vf) {
		/* Unknown is neither. */
		*sticks = ens->pf == (on ? NSDK_ENS_OF_PF_SET : NSDK_ENS_OF_PF_CLEAR);
		return 0;
	}
	if (!ens->devctl) {
		*sticks = !on && !ens->pcix;
		return 0;
	}
	err = devctl_read(ens, &value);
	if (err)
		return err;
	if (!ens->touched) {
		ens->found = value & PCI_EXP_DEVCTL_NOSNOOP_EN;
		ens->touched = true;
	}
	if (!!(value & PCI_EXP_DEVCTL_NOSNOOP_EN) != on) {
		err = devctl_write(ens, value, on);
		if (err)
			return err;
		/* The bit may be hardwired, or the write be filtered on its way. */
		err = devctl_read(ens, &value);
		if (err)
			return err;
	}
	*sticks = !!(value & PCI_EXP_DEVCTL_NOSNOOP_EN) == on;
	return 0;
}

void nsdk_ens_restore(struct nsdk_ens *ens)
{
	bool sticks;
	int err;

	if (!ens->touched || ens->gone || nsdk_device_is_gone(ens->dev))
		return;
	err = nsdk_ens_set(ens, ens->found, &sticks);
	if (!err && !sticks)
		nsdk_log(NSDK_LOG_WARN, "coherence",
			 "%s: Enable No Snoop could not be restored to %d; a reset of the device "
			 "brings it back to what the hardware starts with",
			 nsdk_device_name(ens->dev), ens->found);
}
