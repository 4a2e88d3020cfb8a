/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "fake_pci.h"
#include "lib/bus/bus_internal.h"

static struct nsdk_device *dev;

static void before(void)
{
	fake_lab_start();
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
}

static void after(void)
{
	nsdk_device_detach(dev);
	fake_lab_stop();
}

static void reads_are_little_endian(void)
{
	uint32_t value;

	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, PCI_VENDOR_ID, 4, &value), 0);
	NSDK_ASSERT_INT(value, 0x00101b36);
	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, PCI_VENDOR_ID, 2, &value), 0);
	NSDK_ASSERT_INT(value, 0x1b36);
	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, PCI_VENDOR_ID + 1, 1, &value), 0);
	NSDK_ASSERT_INT(value, 0x1b);
}

static void writes_touch_what_they_name(void)
{
	const uint8_t expected[8] = {0xaa, 0x34, 0x12, 0xaa, 0x56, 0xaa, 0xaa, 0xaa};

	memset(&fake.devices[0].config[0xc0], 0xaa, 16);
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, 0xc4, 1, 0xffffff56), 0);
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, 0xc2, 1, 0x12), 0);
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, 0xc1, 1, 0x34), 0);
	CU_ASSERT_EQUAL(memcmp(&fake.devices[0].config[0xc0], expected, 8), 0);
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, 0xc8, 4, 0x11223344), 0);
	NSDK_ASSERT_INT(fake.devices[0].config[0xc8], 0x44);
	NSDK_ASSERT_INT(fake.devices[0].config[0xcb], 0x11);
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, 0xcc, 2, 0xbeef), 0);
	NSDK_ASSERT_INT(fake.devices[0].config[0xce], 0xaa);
}

static void odd_accesses_are_refused(void)
{
	uint32_t value = 0;

	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, 1, 2, &value), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("2 bytes at 0x1");
	CU_ASSERT_EQUAL(value, UINT32_MAX);
	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, 0, 3, &value), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot read config space");
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, 4096, 4, 0), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot write config space");
	/* Inside what config space can be, behind what this one is. */
	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, 256, 4, &value), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("0x100");
}

static void capabilities_are_found(void)
{
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_MSIX), 0x40);
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP), 0x80);
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_PM), -ENOENT);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void capability_list_in_a_circle_ends(void)
{
	fake.devices[0].config[0x81] = 0x40;
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_PM), -ENOENT);
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP), 0x80);
}

static void without_a_capability_list(void)
{
	fake.devices[0].config[PCI_STATUS] = 0;
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP), -ENOENT);
}

static void bus_master_is_one_bit(void)
{
	fake.devices[0].config[PCI_COMMAND + 1] = 0x04;
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, true), 0);
	NSDK_ASSERT_INT(fake.devices[0].config[PCI_COMMAND], PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	NSDK_ASSERT_INT(fake.devices[0].config[PCI_COMMAND + 1], 0x04);
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, true), 0);
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, false), 0);
	NSDK_ASSERT_INT(fake.devices[0].config[PCI_COMMAND], PCI_COMMAND_MEMORY);
}

static void every_call_may_fail(void)
{
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc = nsdk_device_set_bus_master(dev, true);

		if (!nsdk_unit_failed()) {
			NSDK_ASSERT_INT(rc, 0);
			continue;
		}
		NSDK_ASSERT_INT(rc, -EIO);
		NSDK_ASSERT_ONE_SENTENCE("config space of pci:0000:00:03.0");
	}
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc = nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP);

		if (!nsdk_unit_failed()) {
			NSDK_ASSERT_INT(rc, 0x80);
			continue;
		}
		NSDK_ASSERT_INT(rc, -EIO);
		NSDK_ASSERT_ONE_SENTENCE("config space of pci:0000:00:03.0");
	}
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, false), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(reads_are_little_endian),
	NSDK_UNIT_TEST(writes_touch_what_they_name),
	NSDK_UNIT_TEST(odd_accesses_are_refused),
	NSDK_UNIT_TEST(capabilities_are_found),
	NSDK_UNIT_TEST(capability_list_in_a_circle_ends),
	NSDK_UNIT_TEST(without_a_capability_list),
	NSDK_UNIT_TEST(bus_master_is_one_bit),
	NSDK_UNIT_TEST(every_call_may_fail),
};

NSDK_UNIT_MAIN("lib/bus/vfio_cfg", tests, .before = before, .after = after)
