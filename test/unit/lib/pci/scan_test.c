/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpciaccess reads the machine's own sysfs, so this compares with what is there: the kernel's
 * listing is the oracle.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "lib/pci/pci_internal.h"
#include "nsdk_unit.h"

static unsigned seen;
static struct nsdk_pci_info first;

static int check_one(void *ctx, const struct nsdk_pci_info *info)
{
	char path[NSDK_PCI_PATH_CHARS], text[64];
	unsigned vendor = 0, class_code = 0;

	(void)ctx;
	if (seen++ == 0)
		first = *info;
	else
		CU_ASSERT_TRUE(strlen(info->bdf) > 12 || strcmp(info->bdf, first.bdf) > 0);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", info->bdf);
	CU_ASSERT_TRUE(nsdk_pci_file_read(path, text, sizeof(text)) > 0);
	CU_ASSERT_EQUAL(sscanf(text, "%x", &vendor), 1);
	NSDK_ASSERT_INT(info->vendor_id, vendor);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", info->bdf);
	CU_ASSERT_TRUE(nsdk_pci_file_read(path, text, sizeof(text)) > 0);
	CU_ASSERT_EQUAL(sscanf(text, "%x", &class_code), 1);
	NSDK_ASSERT_INT(info->class_code, class_code);
	CU_ASSERT_TRUE(info->name[0] != '\0');
	return 0;
}

static unsigned count_sysfs(void)
{
	const struct dirent *entry;
	unsigned count = 0;
	DIR *dir = opendir("/sys/bus/pci/devices");

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return count;
}

static void finds_what_sysfs_lists(void)
{
	seen = 0;
	NSDK_ASSERT_INT(nsdk_pci_scan(check_one, NULL), 0);
	NSDK_ASSERT_INT(seen, count_sysfs());
	if (seen == 0)
		nsdk_skip("this machine has no PCI functions");
}

static int stop_at_once(void *ctx, const struct nsdk_pci_info *info)
{
	(void)info;
	++*(unsigned *)ctx;
	return 7;
}

static void stops_when_told(void)
{
	unsigned calls = 0;

	if (count_sysfs() == 0)
		nsdk_skip("this machine has no PCI functions");
	NSDK_ASSERT_INT(nsdk_pci_scan(stop_at_once, &calls), 7);
	NSDK_ASSERT_INT(calls, 1);
}

static void says_when_there_is_none(void)
{
	struct nsdk_pci_addr addr = { 0x7fff, 0xff, 0x1f, 7 };
	struct nsdk_pci_info info;
	uint32_t value;

	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_pci_info(&addr, &info), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("there is no PCI function 7fff:ff:1f.7");
	nsdk_unit_log_stop();
	NSDK_ASSERT_INT(nsdk_pci_cap_find(&addr, PCI_CAP_ID_EXP), -ENODEV);
	NSDK_ASSERT_INT(nsdk_pci_cfg_read(&addr, 0, 2, &value), -ENODEV);
	NSDK_ASSERT_INT(nsdk_pci_cfg_read(&addr, 1, 2, &value), -EINVAL);
	NSDK_ASSERT_INT(nsdk_pci_cfg_read(&addr, 0, 3, &value), -EINVAL);
}

static void reads_config_space(void)
{
	struct nsdk_pci_info info;
	uint32_t value = 0;
	int rc;

	if (count_sysfs() == 0)
		nsdk_skip("this machine has no PCI functions");
	seen = 0;
	NSDK_ASSERT_INT(nsdk_pci_scan(check_one, NULL), 0);
	NSDK_ASSERT_INT(nsdk_pci_info(&first.addr, &info), 0);
	NSDK_ASSERT_TEXT(info.bdf, first.bdf);
	NSDK_ASSERT_INT(nsdk_pci_cfg_read(&first.addr, 0, 2, &value), 0);
	NSDK_ASSERT_INT(value, first.vendor_id);
	rc = nsdk_pci_cap_find(&first.addr, 0xff);
	CU_ASSERT_TRUE(rc == -ENOENT || rc == -EACCES);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(finds_what_sysfs_lists),
	NSDK_UNIT_TEST(stops_when_told),
	NSDK_UNIT_TEST(says_when_there_is_none),
	NSDK_UNIT_TEST(reads_config_space),
};

NSDK_UNIT_MAIN("lib/pci/scan", tests)
