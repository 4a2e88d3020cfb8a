/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small files and links of sysfs and procfs, under a root that a test can move.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pci_internal.h"

static char root_path[NSDK_PCI_PATH_CHARS / 2];

void nsdk_pci_set_root(const char *root)
{
	snprintf(root_path, sizeof(root_path), "%s", root == NULL ? "" : root);
}

int nsdk_pci_path(char out[NSDK_PCI_PATH_CHARS], const char *format, ...)
{
	size_t used = strlen(root_path);
	va_list args;
	int len;

	memcpy(out, root_path, used);
	va_start(args, format);
	len = vsnprintf(out + used, NSDK_PCI_PATH_CHARS - used, format, args);
	va_end(args);
	return len < 0 || (size_t)len >= NSDK_PCI_PATH_CHARS - used ? -ENAMETOOLONG : 0;
}

int nsdk_pci_file_read(const char *path, char *out, size_t out_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	out[0] = '\0';
	if (fd < 0)
		return -errno;
	len = read(fd, out, out_bytes - 1);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return (int)len;
	while (len > 0 && out[len - 1] == '\n')
		len--;
	out[len] = '\0';
	return (int)len;
}

int nsdk_pci_file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t bytes = strlen(text);
	ssize_t len;
	int rc = 0;

	if (fd < 0)
		return -errno;
	/* One write: sysfs takes each as a whole value. */
	len = write(fd, text, bytes);
	if (len < 0)
		rc = -errno;
	else if ((size_t)len != bytes)
		rc = -EIO;
	close(fd);
	return rc;
}

int nsdk_pci_link_name(const char *path, char *out, size_t out_bytes)
{
	char target[PATH_MAX];
	const char *name;
	ssize_t len = readlink(path, target, sizeof(target) - 1);

	out[0] = '\0';
	if (len < 0)
		return errno == ENOENT ? 0 : -errno;
	target[len] = '\0';
	name = strrchr(target, '/');
	name = name == NULL ? target : name + 1;
	if (strlen(name) >= out_bytes)
		return -ENAMETOOLONG;
	strcpy(out, name);
	return 0;
}
