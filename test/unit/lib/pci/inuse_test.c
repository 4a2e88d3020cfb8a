/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "fake_sysfs.h"
#include "nsdk_unit.h"

#define BDF "0000:00:03.0"
#define PCI_DIR "/sys/devices/pci0000:00/" BDF

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_sysfs_start(), 0);
	fake_sysfs_dir(PCI_DIR);
}

static void add_disk(const char *name, const char *below, const char *number)
{
	char dir[256], link[256], file[300];

	snprintf(dir, sizeof(dir), "%s/%s", below, name);
	snprintf(link, sizeof(link), "/sys/class/block/%s", name);
	fake_sysfs_dir(dir);
	fake_sysfs_link(link, dir);
	snprintf(file, sizeof(file), "%s/dev", dir);
	fake_sysfs_file(file, number);
}

static void check(int expected, const char *expected_what)
{
	char what[256];

	NSDK_ASSERT_INT(nsdk_pci_in_use(BDF, what, sizeof(what)), expected);
	NSDK_ASSERT_TEXT(what, expected_what);
}

static void free_when_nothing_is_there(void)
{
	check(0, "");
}

static void free_when_the_disk_is_idle(void)
{
	add_disk("nvme0n1", PCI_DIR "/nvme/nvme0", "259:0\n");
	fake_sysfs_file("/proc/self/mountinfo", "22 1 259:1 / / rw - ext4 /dev/sda1 rw\n");
	check(0, "");
}

static void sees_a_mount(void)
{
	add_disk("nvme0n1", PCI_DIR "/nvme/nvme0", "259:0\n");
	fake_sysfs_file("/proc/self/mountinfo",
			"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
			"30 22 259:0 / /srv/data rw,relatime - ext4 /dev/nvme0n1 rw\n");
	check(1, "disk nvme0n1, mounted on /srv/data");
}

static void sees_a_mounted_partition(void)
{
	add_disk("nvme0n1", PCI_DIR "/nvme/nvme0", "259:0\n");
	add_disk("nvme0n1p2", PCI_DIR "/nvme/nvme0/nvme0n1", "259:2\n");
	fake_sysfs_file("/proc/self/mountinfo", "30 22 259:2 / /home rw - xfs /dev/x rw\n");
	check(1, "disk nvme0n1p2, mounted on /home");
}

static void leaves_other_functions_disks_alone(void)
{
	add_disk("nvme1n1", "/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme1", "259:0\n");
	fake_sysfs_file("/proc/self/mountinfo", "30 22 259:0 / /srv rw - ext4 /dev/x rw\n");
	check(0, "");
}

static void sees_a_holder(void)
{
	add_disk("nvme0n1", PCI_DIR "/nvme/nvme0", "259:0\n");
	fake_sysfs_dir(PCI_DIR "/nvme/nvme0/nvme0n1/holders/dm-0");
	check(1, "disk nvme0n1, which is part of dm-0");
}

static void sees_swap(void)
{
	add_disk("nvme0n1p1", PCI_DIR "/nvme/nvme0/nvme0n1", "259:1\n");
	fake_sysfs_file("/proc/swaps", "Filename Type Size Used Priority\n"
				       "/dev/nvme0n1p1 partition 1048572 0 -2\n");
	check(1, "disk nvme0n1p1, used as swap");
}

static void sees_disks_of_nvme_multipath(void)
{
	add_disk("nvme0n1", "/sys/devices/virtual/nvme-subsystem/nvme-subsys0", "259:0\n");
	fake_sysfs_dir(PCI_DIR "/nvme/nvme0");
	fake_sysfs_link("/sys/class/nvme-subsystem/nvme-subsys0/nvme0", PCI_DIR "/nvme/nvme0");
	fake_sysfs_file("/proc/self/mountinfo", "30 22 259:0 / /srv rw - ext4 /dev/x rw\n");
	check(1, "disk nvme0n1, mounted on /srv");
}

static void add_interface(const char *name)
{
	char dir[128], link[128];

	snprintf(dir, sizeof(dir), PCI_DIR "/net/%s", name);
	snprintf(link, sizeof(link), "/sys/class/net/%s", name);
	fake_sysfs_dir(dir);
	fake_sysfs_link(link, dir);
}

#define ROUTE_HEAD "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"

static void sees_the_default_route(void)
{
	add_interface("enp0s3");
	fake_sysfs_file("/proc/net/route",
			ROUTE_HEAD "enp0s3\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
	check(1, "network interface enp0s3, which has the default route");
}

static void sees_the_default_route_of_ipv6(void)
{
	add_interface("enp0s3");
	fake_sysfs_file("/proc/net/ipv6_route",
			"00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
			"fe800000000000000000000000000001 00000400 00000001 00000000 00000003 enp0s3\n");
	check(1, "network interface enp0s3, which has the default route");
}

static void sees_the_default_route_through_a_bridge(void)
{
	add_interface("enp0s3");
	fake_sysfs_dir(PCI_DIR "/net/enp0s3/upper_br0");
	fake_sysfs_dir("/sys/devices/virtual/net/br0");
	fake_sysfs_link("/sys/class/net/br0", "/sys/devices/virtual/net/br0");
	fake_sysfs_file("/proc/net/route",
			ROUTE_HEAD "br0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
	check(1, "network interface br0, which has the default route");
}

static void a_plain_route_does_not_count(void)
{
	add_interface("enp0s3");
	fake_sysfs_file("/proc/net/route",
			ROUTE_HEAD "enp0s3\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
				   "eth9\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	check(0, "");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(free_when_nothing_is_there),
	NSDK_UNIT_TEST(free_when_the_disk_is_idle),
	NSDK_UNIT_TEST(sees_a_mount),
	NSDK_UNIT_TEST(sees_a_mounted_partition),
	NSDK_UNIT_TEST(leaves_other_functions_disks_alone),
	NSDK_UNIT_TEST(sees_a_holder),
	NSDK_UNIT_TEST(sees_swap),
	NSDK_UNIT_TEST(sees_disks_of_nvme_multipath),
	NSDK_UNIT_TEST(sees_the_default_route),
	NSDK_UNIT_TEST(sees_the_default_route_of_ipv6),
	NSDK_UNIT_TEST(sees_the_default_route_through_a_bridge),
	NSDK_UNIT_TEST(a_plain_route_does_not_count),
};

NSDK_UNIT_MAIN("lib/pci/inuse", tests, .before = before, .after = fake_sysfs_stop)
