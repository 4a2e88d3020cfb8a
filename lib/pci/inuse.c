/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether the running system stands on a PCI function.
 *
 * Taking a disk from under a mounted file system loses data, and taking the network card with the
 * default route loses the machine. So before a driver is unbound, every block device below the
 * function is asked four ways: does something hold it (device-mapper, md), is it mounted, is it
 * swap, and, last, does the kernel refuse an exclusive open, which also catches what the others
 * cannot see: multi-device file systems, and mounts in other mount namespaces. Every network
 * interface is asked whether it, or a bridge, bond or VLAN above it, carries a default route.
 *
 * The sysfs directory of a device lies below that of the function it hangs on, so "below" is: its
 * resolved path has a component with the function's address. The exception is NVMe with native
 * multipath, whose disks are virtual; there the subsystem's links lead to the controllers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "pci_internal.h"

struct query {
	const char *bdf;
	char *what;
	size_t what_bytes;
};

/* Call fn for every entry of ROOT/dir_path but "." and "..", until it returns non-zero. */
static int for_each_entry(const char *dir_path, int (*fn)(struct query *q, const char *name),
			  struct query *q)
{
	char path[NSDK_PCI_PATH_CHARS];
	const struct dirent *entry;
	int rc = nsdk_pci_path(path, "%s", dir_path);
	DIR *dir;

	if (rc != 0)
		return rc;
	dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = fn(q, entry->d_name);
	}
	closedir(dir);
	return rc;
}

/* Whether a sysfs path resolves to something below the function. */
static bool is_below(const char *path, const char *bdf)
{
	char resolved[PATH_MAX], component[NSDK_PCI_ADDR_CHARS + 3];
	size_t len;

	if (realpath(path, resolved) == NULL)
		return false;
	len = strlen(resolved);
	if (len + 1 < sizeof(resolved))
		strcpy(resolved + len, "/");
	snprintf(component, sizeof(component), "/%s/", bdf);
	return strstr(resolved, component) != NULL;
}

/* Whether @p text, one of the kernel's tables, has @p device as its @p field-th word on a line. */
static bool table_has(const char *table, unsigned field, const char *device, char *mount,
		      size_t mount_bytes)
{
	char path[NSDK_PCI_PATH_CHARS], line[4096], *save, *word, *words[12];
	bool found = false;
	unsigned count;
	FILE *file;

	if (nsdk_pci_path(path, "%s", table) != 0)
		return false;
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		count = 0;
		for (word = strtok_r(line, " \t\n", &save); word != NULL && count < 12;
		     word = strtok_r(NULL, " \t\n", &save))
			words[count++] = word;
		if (field >= count || strcmp(words[field], device) != 0)
			continue;
		found = true;
		if (mount != NULL)
			snprintf(mount, mount_bytes, "%s", count > 4 ? words[4] : "?");
	}
	fclose(file);
	return found;
}

static int first_holder(struct query *q, const char *name)
{
	snprintf(q->what, q->what_bytes, "%s", name);
	return 1;
}

/* The block device @p name lies below the function: is it in use? */
static int check_disk(struct query *q, const char *name)
{
	char path[NSDK_PCI_PATH_CHARS], number[32], node[NSDK_PCI_PATH_CHARS], text[256];
	struct query holder = { NULL, text, sizeof(text) };
	int fd, rc;

	snprintf(path, sizeof(path), "/sys/class/block/%s/holders", name);
	rc = for_each_entry(path, first_holder, &holder);
	if (rc != 0) {
		if (rc > 0)
			snprintf(q->what, q->what_bytes, "disk %s, which is part of %s", name, text);
		return rc;
	}
	rc = nsdk_pci_path(path, "/sys/class/block/%s/dev", name);
	if (rc == 0)
		rc = nsdk_pci_file_read(path, number, sizeof(number));
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* hidden path devices of NVMe multipath have none */
	if (table_has("/proc/self/mountinfo", 2, number, text, sizeof(text))) {
		snprintf(q->what, q->what_bytes, "disk %s, mounted on %s", name, text);
		return 1;
	}
	snprintf(text, sizeof(text), "/dev/%s", name);
	if (table_has("/proc/swaps", 0, text, NULL, 0)) {
		snprintf(q->what, q->what_bytes, "disk %s, used as swap", name);
		return 1;
	}
	rc = nsdk_pci_path(node, "%s", text);
	if (rc != 0)
		return rc;
	fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		close(fd);
	} else if (errno == EBUSY) {
		snprintf(q->what, q->what_bytes, "disk %s, which the kernel holds open exclusively",
			 name);
		return 1;
	}
	return 0;
}

static int check_block_entry(struct query *q, const char *name)
{
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/class/block/%s", name);

	if (rc != 0)
		return rc;
	return is_below(path, q->bdf) ? check_disk(q, name) : 0;
}

/* A subsystem of NVMe multipath: when one of its controllers is the function's, so are its disks. */
struct subsystem_query {
	struct query q;
	const char *name;
};

static int find_controller(struct query *q, const char *name)
{
	const struct subsystem_query *sq = (const struct subsystem_query *)(const void *)q;
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/class/nvme-subsystem/%s/%s", sq->name, name);

	if (rc != 0)
		return rc;
	return strncmp(name, "nvme", 4) == 0 && is_below(path, q->bdf) ? 1 : 0;
}

static int check_virtual_disk(struct query *q, const char *name)
{
	const struct subsystem_query *sq = (const struct subsystem_query *)(const void *)q;
	char path[NSDK_PCI_PATH_CHARS], resolved[PATH_MAX], component[NAME_MAX + 3];
	int rc = nsdk_pci_path(path, "/sys/class/block/%s", name);

	if (rc != 0)
		return rc;
	snprintf(component, sizeof(component), "/%s/", sq->name);
	if (realpath(path, resolved) == NULL || strstr(resolved, component) == NULL)
		return 0;
	return check_disk(q, name);
}

static int check_subsystem(struct query *q, const char *name)
{
	struct subsystem_query sq = { *q, name };
	char path[NSDK_PCI_PATH_CHARS];
	int rc;

	snprintf(path, sizeof(path), "/sys/class/nvme-subsystem/%s", name);
	rc = for_each_entry(path, find_controller, &sq.q);
	if (rc == 1)
		rc = for_each_entry("/sys/class/block", check_virtual_disk, &sq.q);
	return rc;
}

/* Whether an interface is that of a default route: /proc/net/route, /proc/net/ipv6_route. */
static bool has_default_route(const char *interface)
{
	char path[NSDK_PCI_PATH_CHARS], line[512], name[64], destination[40], mask[40];
	unsigned prefix;
	bool found = false;
	FILE *file;

	file = nsdk_pci_path(path, "/proc/net/route") == 0 ? fopen(path, "re") : NULL;
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = sscanf(line, "%63s %39s %*s %*s %*s %*s %*s %39s", name, destination,
			       mask) == 3 &&
			strcmp(name, interface) == 0 && strcmp(destination, "00000000") == 0 &&
			strcmp(mask, "00000000") == 0;
	if (file != NULL)
		fclose(file);
	if (found)
		return true;
	file = nsdk_pci_path(path, "/proc/net/ipv6_route") == 0 ? fopen(path, "re") : NULL;
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = sscanf(line, "%39s %x %*s %*s %*s %*s %*s %*s %*s %63s", destination,
			       &prefix, name) == 3 &&
			prefix == 0 && strspn(destination, "0") == 32 &&
			strcmp(name, interface) == 0;
	if (file != NULL)
		fclose(file);
	return found;
}

/* The interface, or one stacked on it (bridge, bond, VLAN: "upper_NAME" links), has the route. */
struct upper_query {
	struct query q;
	const char *name;
	unsigned depth;
};

static int check_interface(struct query *q, const char *name, unsigned depth);

static int check_upper(struct query *q, const char *name)
{
	const struct upper_query *uq = (const struct upper_query *)(const void *)q;

	if (strncmp(name, "upper_", 6) != 0)
		return 0;
	return check_interface(q, name + 6, uq->depth + 1);
}

static int check_interface(struct query *q, const char *name, unsigned depth)
{
	struct upper_query uq = { *q, name, depth };
	char path[NSDK_PCI_PATH_CHARS];

	if (has_default_route(name)) {
		snprintf(q->what, q->what_bytes, "network interface %s, which has the default route",
			 name);
		return 1;
	}
	if (depth >= 8)
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%s", name);
	return for_each_entry(path, check_upper, &uq.q);
}

static int check_net_entry(struct query *q, const char *name)
{
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/class/net/%s", name);

	if (rc != 0)
		return rc;
	return is_below(path, q->bdf) ? check_interface(q, name, 0) : 0;
}

int nsdk_pci_in_use(const char *bdf, char *what, size_t what_bytes)
{
	struct query q = { bdf, what, what_bytes };
	int rc;

	what[0] = '\0';
	rc = for_each_entry("/sys/class/block", check_block_entry, &q);
	if (rc == 0)
		rc = for_each_entry("/sys/class/nvme-subsystem", check_subsystem, &q);
	if (rc == 0)
		rc = for_each_entry("/sys/class/net", check_net_entry, &q);
	return rc;
}
