/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sysfs, procfs and /run of our own in a temporary folder, that lib/pci is pointed at.
 */
#ifndef FAKE_SYSFS_H
#define FAKE_SYSFS_H

#include "lib/pci/pci_internal.h"

/* Make the empty tree and point lib/pci at it. @return 0 or -errno. */
int fake_sysfs_start(void);
void fake_sysfs_stop(void);

/* Paths are below the root: "/sys/…". Folders above are made. */
void fake_sysfs_file(const char *path, const char *text);
void fake_sysfs_dir(const char *path);
/* A link at @p path to ROOT/@p target, as an absolute link. */
void fake_sysfs_link(const char *path, const char *target);
void fake_sysfs_remove(const char *path);
bool fake_sysfs_exists(const char *path);

#endif
