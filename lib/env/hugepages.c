/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many hugepages of which size each NUMA node has, from sysfs
 * (Documentation/admin-guide/mm/hugetlbpage.rst).
 */
#include "env_internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

struct collect {
	struct nsdk_hugepage_info *out;
	unsigned max;
	unsigned count;
};

/* "hugepages-2048kB" -> 2 MiB; 0 when it is something else. */
static size_t folder_page_bytes(const char *name)
{
	unsigned long long kib;
	int length = 0;

	if (sscanf(name, "hugepages-%llukB%n", &kib, &length) != 1 || length == 0 || name[length])
		return 0;
	return (size_t)kib << 10;
}

static int is_size_folder(const struct dirent *entry)
{
	return folder_page_bytes(entry->d_name) != 0;
}

static int by_page_size(const struct dirent **a, const struct dirent **b)
{
	size_t size_a = folder_page_bytes((*a)->d_name), size_b = folder_page_bytes((*b)->d_name);

	return (size_a > size_b) - (size_a < size_b);
}

/* Adds every page size of one folder. @return how many there are; -errno when there is no folder. */
static int collect_folder(struct collect *all, unsigned node, const char *folder)
{
	struct dirent **sizes;
	char path[PATH_MAX];
	int count, found = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", nsdk_env_sysfs_root, folder) >= sizeof(path))
		return -ENAMETOOLONG;
	count = scandir(path, &sizes, is_size_folder, by_page_size);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		struct nsdk_hugepage_info info = { .node = node };
		const char *name = sizes[i]->d_name;

		info.page_bytes = folder_page_bytes(name);
		if (nsdk_env_sysfs_u64(&info.total_pages, "%s/%s/nr_hugepages", folder, name) == 0 &&
		    nsdk_env_sysfs_u64(&info.free_pages, "%s/%s/free_hugepages", folder, name) == 0) {
			if (all->count < all->max)
				all->out[all->count] = info;
			all->count++;
			found++;
		}
		free(sizes[i]);
	}
	free(sizes);
	return found;
}

int nsdk_env_hugepages(struct nsdk_hugepage_info *out, unsigned max)
{
	struct collect all = { .out = out, .max = max };
	uint16_t nodes[NSDK_MAX_CPUS];
	char list[4096], folder[128];
	int count, error;

	if (nsdk_env_sysfs_text(list, sizeof(list), "devices/system/node/online") == 0) {
		/* The kernel writes nodes as it writes CPUs. */
		count = nsdk_cpulist_parse(list, nodes);
		if (count < 0)
			return count;
		for (int i = 0; i < count; i++) {
			snprintf(folder, sizeof(folder), "devices/system/node/node%u/hugepages", nodes[i]);
			/* A node without memory of its own has no folder. */
			collect_folder(&all, nodes[i], folder);
		}
	}
	if (all.count == 0) {
		/* A kernel without NUMA has one folder for all its memory: node 0. */
		error = collect_folder(&all, 0, "kernel/mm/hugepages");
		if (error < 0 && error != -ENOENT)
			return nsdk_fail(error, "env", "%s/kernel/mm/hugepages cannot be read: %s",
					 nsdk_env_sysfs_root, strerror(-error));
	}
	return (int)all.count;
}
