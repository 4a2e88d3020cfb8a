/* SPDX-License-Identifier: BSD-3-Clause */
/* A device with as much config space as Enable No Snoop needs, and a verdict of one's choice. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include "lib/bus/bus_internal.h"

#define FAKE_NO_SNOOP 0x0800 /* Device Control bit 11, written out: not the name the code uses */

enum fake_caps { FAKE_PCIE, FAKE_PCI, FAKE_PCIX };

struct fake_device {
	struct nsdk_device dev; /* must be first */
	enum fake_caps caps;
	uint16_t devctl;
	uint16_t writable; /* bits of devctl that a write changes */
	bool gone;
	/* What was seen. */
	unsigned writes;
	bool bad_access; /* not Device Control, not 16 bits wide, or a function reset asked for */
};

/* A device whose Enable No Snoop bit is as given, and writable or not. */
void fake_device_init(struct fake_device *fake, enum nsdk_snoop_state verdict, bool bit,
		      bool writable);
bool fake_device_bit(const struct fake_device *fake);

#endif
