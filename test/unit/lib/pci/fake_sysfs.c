/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A folder that looks like the kernel's file systems.
 */
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_sysfs.h"

static char root[64];

static void in_root(char out[NSDK_PCI_PATH_CHARS], const char *path)
{
	snprintf(out, NSDK_PCI_PATH_CHARS, "%s%s", root, path);
}

static void make_parents(char *path)
{
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int fake_sysfs_start(void)
{
	strcpy(root, "/tmp/nsdk-sysfs-XXXXXX");
	if (mkdtemp(root) == NULL)
		return -errno;
	nsdk_pci_set_root(root);
	fake_sysfs_dir("/sys/class/block");
	fake_sysfs_dir("/sys/class/net");
	fake_sysfs_dir("/run");
	fake_sysfs_dir("/dev");
	fake_sysfs_file("/proc/self/mountinfo", "");
	fake_sysfs_file("/proc/swaps", "Filename Type Size Used Priority\n");
	return 0;
}

void fake_sysfs_stop(void)
{
	(void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nsdk_pci_set_root(NULL);
}

void fake_sysfs_file(const char *path, const char *text)
{
	char full[NSDK_PCI_PATH_CHARS];
	FILE *file;

	in_root(full, path);
	make_parents(full);
	file = fopen(full, "w");
	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		abort();
}

void fake_sysfs_dir(const char *path)
{
	char full[NSDK_PCI_PATH_CHARS];

	in_root(full, path);
	make_parents(full);
	if (mkdir(full, 0755) != 0 && errno != EEXIST)
		abort();
}

void fake_sysfs_link(const char *path, const char *target)
{
	char full[NSDK_PCI_PATH_CHARS], full_target[NSDK_PCI_PATH_CHARS];

	in_root(full, path);
	in_root(full_target, target);
	make_parents(full);
	(void)unlink(full);
	if (symlink(full_target, full) != 0)
		abort();
}

void fake_sysfs_remove(const char *path)
{
	char full[NSDK_PCI_PATH_CHARS];

	in_root(full, path);
	(void)remove(full);
}

bool fake_sysfs_exists(const char *path)
{
	char full[NSDK_PCI_PATH_CHARS];
	struct stat st;

	in_root(full, path);
	return lstat(full, &st) == 0;
}
