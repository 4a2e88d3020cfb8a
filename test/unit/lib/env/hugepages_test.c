/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/env.h>

#include "lib/env/env_internal.h"

static char root[] = "/tmp/nsdk-hugepages-test.XXXXXX";

static void make_file(const char *path, const char *text)
{
	char full[256], *slash;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	NSDK_ASSERT_INT(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void make_size(const char *folder, unsigned kib, const char *total, const char *free_pages)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/hugepages-%ukB/nr_hugepages", folder, kib);
	make_file(path, total);
	snprintf(path, sizeof(path), "%s/hugepages-%ukB/free_hugepages", folder, kib);
	make_file(path, free_pages);
}

static void before(void)
{
	strcpy(strrchr(root, '.') + 1, "XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
	nsdk_env_sysfs_root = root;
	nsdk_unit_log_start();
}

static void after(void)
{
	char command[64];

	nsdk_unit_log_stop();
	nsdk_env_sysfs_root = "/sys";
	snprintf(command, sizeof(command), "rm -rf %s", root);
	NSDK_ASSERT_INT(system(command), 0);
}

static void is(const struct nsdk_hugepage_info *info, unsigned node, size_t mib, unsigned total,
	       unsigned free_pages)
{
	NSDK_ASSERT_INT(info->node, node);
	NSDK_ASSERT_INT(info->page_bytes, mib << 20);
	NSDK_ASSERT_INT(info->total_pages, total);
	NSDK_ASSERT_INT(info->free_pages, free_pages);
}

static void every_node_and_size(void)
{
	struct nsdk_hugepage_info info[8];

	make_file("devices/system/node/online", "0,2-3\n");
	make_size("devices/system/node/node2/hugepages", 1048576, "4\n", "4\n");
	make_size("devices/system/node/node2/hugepages", 2048, "100\n", "7\n");
	make_size("devices/system/node/node0/hugepages", 2048, "8\n", "0\n");
	/* Node 3 has no memory. Offline ones, and what is not a size, do not count. */
	make_size("devices/system/node/node5/hugepages", 2048, "8\n", "8\n");
	make_file("devices/system/node/node0/hugepages/readme", "");
	make_file("devices/system/node/node0/hugepages/hugepages-xkB/nr_hugepages", "1");
	/* The sum over all nodes must not be counted beside them. */
	make_size("kernel/mm/hugepages", 2048, "108\n", "7\n");
	NSDK_ASSERT_INT(nsdk_env_hugepages(info, 8), 3);
	is(&info[0], 0, 2, 8, 0);
	is(&info[1], 2, 2, 100, 7);
	is(&info[2], 2, 1024, 4, 4);
	/* With room for fewer it still says how many there are, and writes no further. */
	memset(info, 0x5a, sizeof(info));
	NSDK_ASSERT_INT(nsdk_env_hugepages(info, 1), 3);
	is(&info[0], 0, 2, 8, 0);
	NSDK_ASSERT_INT(info[1].node, 0x5a5a5a5a);
	NSDK_ASSERT_INT(nsdk_env_hugepages(NULL, 0), 3);
}

static void a_kernel_without_numa_has_one_node(void)
{
	struct nsdk_hugepage_info info[8];

	make_size("kernel/mm/hugepages", 2048, "64\n", "3\n");
	NSDK_ASSERT_INT(nsdk_env_hugepages(info, 8), 1);
	is(&info[0], 0, 2, 64, 3);
}

static void a_kernel_without_hugepages_has_none(void)
{
	NSDK_ASSERT_INT(nsdk_env_hugepages(NULL, 0), 0);
	make_file("devices/system/node/online", "0\n");
	NSDK_ASSERT_INT(nsdk_env_hugepages(NULL, 0), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void what_is_no_number_is_passed_over(void)
{
	struct nsdk_hugepage_info info[8];

	make_size("kernel/mm/hugepages", 2048, "many\n", "3\n");
	make_size("kernel/mm/hugepages", 64, "-1\n", "3\n");
	make_size("kernel/mm/hugepages", 32768, "5\n", "");
	make_size("kernel/mm/hugepages", 1048576, "5\n", "4\n");
	NSDK_ASSERT_INT(nsdk_env_hugepages(info, 8), 1);
	is(&info[0], 0, 1024, 5, 4);
}

static void this_machine_has_what_it_says(void)
{
	struct nsdk_hugepage_info info[64];
	char line[128];
	unsigned long long total = 0, kib = 0, value;
	uint64_t sum = 0;
	FILE *file = fopen("/proc/meminfo", "r");
	int count;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "HugePages_Total: %llu", &value) == 1)
			total = value;
		if (sscanf(line, "Hugepagesize: %llu", &value) == 1)
			kib = value;
	}
	fclose(file);
	if (kib == 0)
		nsdk_skip("this kernel has no hugepages");
	nsdk_env_sysfs_root = "/sys";
	count = nsdk_env_hugepages(info, 64);
	CU_ASSERT_TRUE_FATAL(count > 0 && count <= 64);
	for (int i = 0; i < count; i++) {
		CU_ASSERT_TRUE(info[i].free_pages <= info[i].total_pages);
		if (info[i].page_bytes == (size_t)kib << 10)
			sum += info[i].total_pages;
	}
	NSDK_ASSERT_INT(sum, total);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(every_node_and_size),
	NSDK_UNIT_TEST(a_kernel_without_numa_has_one_node),
	NSDK_UNIT_TEST(a_kernel_without_hugepages_has_none),
	NSDK_UNIT_TEST(what_is_no_number_is_passed_over),
	NSDK_UNIT_TEST(this_machine_has_what_it_says),
};

NSDK_UNIT_MAIN("lib/env/hugepages", tests, .before = before, .after = after)
