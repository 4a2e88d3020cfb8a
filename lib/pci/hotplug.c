/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI functions that come and go.
 *
 * The kernel multicasts a message on a netlink socket for each thing in sysfs that appears or vanishes.
 * Such messages may be lost when they are not read in time, which the socket then says once (ENOBUFS),
 * and they are old by the time they are read: a function that was added may be gone again. So a message
 * is taken for no more than a hint that something about PCI has changed, and so is a lost one. What has
 * changed is found by comparing what sysfs has with what it had: that is never wrong, costs a look at one
 * folder for any number of messages, and loses nothing. A function that was replaced in between, under
 * the same address, is told by the inode of its folder, which the kernel never uses twice.
 *
 * Both lists are in order of the addresses, so the events are a walk along the two of them. When the walk
 * is over the new list is the known one.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "lib/env/opts.h"
#include "pci_internal.h"

/* The kernel's messages are not longer (UEVENT_BUFFER_SIZE), and theirs go to this group. */
#define MESSAGE_BYTES 4096
#define KERNEL_GROUP 1

/* As many messages are read in one call, so that a flood of them does not keep a reactor. */
#define MESSAGES_MAX 64

#define BUFFER_BYTES (1u << 20)

struct function {
	struct nsdk_pci_addr addr;
	ino_t inode;
};

struct list {
	struct function *functions;
	size_t count;
};

struct nsdk_hotplug {
	int fd;
	bool look;              /* something has changed, or may have */
	bool walking;           /* from known to seen, at these places */
	struct list known, seen;
	size_t known_at, seen_at;
};

/* ---- What there is ---- */

static int by_address(const void *left, const void *right)
{
	return nsdk_pci_addr_compare(&((const struct function *)left)->addr,
				     &((const struct function *)right)->addr);
}

static void list_free(struct list *list)
{
	free(list->functions);
	*list = (struct list){NULL, 0};
}

/* @return 0 or -ENOMEM. One that vanishes just now is left out: a message of that will come. */
static int list_add(struct list *list, const char *name, size_t *room)
{
	char path[NSDK_PCI_PATH_CHARS];
	struct function function, *grown;
	struct stat status;

	if (nsdk_pci_addr_parse(name, &function.addr) != 0 ||
	    nsdk_pci_path(path, "/sys/bus/pci/devices/%s", name) != 0 || stat(path, &status) != 0)
		return 0;
	function.inode = status.st_ino;
	if (list->count == *room) {
		*room = *room == 0 ? 64 : *room * 2;
		grown = realloc(list->functions, *room * sizeof(function));
		if (grown == NULL)
			return -ENOMEM;
		list->functions = grown;
	}
	list->functions[list->count++] = function;
	return 0;
}

/* @return 0 or -errno. */
static int list_fill(struct list *list)
{
	char path[NSDK_PCI_PATH_CHARS];
	const struct dirent *entry;
	size_t room = 0;
	DIR *dir;
	int rc;

	*list = (struct list){NULL, 0};
	rc = nsdk_pci_path(path, "/sys/bus/pci/devices");
	if (rc != 0)
		return rc;
	dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? 0 : -errno; /* a machine without PCI has no functions */
	while (rc == 0) {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL) {
			rc = -errno;
			break;
		}
		rc = list_add(list, entry->d_name, &room);
	}
	closedir(dir);
	if (rc != 0)
		list_free(list);
	else if (list->count > 0)
		qsort(list->functions, list->count, sizeof(*list->functions), by_address);
	return rc;
}

/* ---- Messages ---- */

/* @return the value of @p key ("ACTION=") in a message, or "". The message ends in a NUL. */
static const char *value_of(const char *message, size_t bytes, const char *key)
{
	size_t chars = strlen(key);

	for (const char *at = message; at < message + bytes; at += strlen(at) + 1)
		if (strncmp(at, key, chars) == 0)
			return at + chars;
	return "";
}

static bool is_about_pci(const char *message, size_t bytes)
{
	const char *action = value_of(message, bytes, "ACTION=");

	return strcmp(value_of(message, bytes, "SUBSYSTEM="), "pci") == 0 &&
	       (strcmp(action, "add") == 0 || strcmp(action, "remove") == 0);
}

/* @return 1 there was a message; 0 none; -errno. */
static int receive(struct nsdk_hotplug *hotplug)
{
	char message[MESSAGE_BYTES + 1];
	struct sockaddr_nl from = {.nl_family = AF_NETLINK};
	struct iovec iov = {message, MESSAGE_BYTES};
	struct msghdr head = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t got = recvmsg(hotplug->fd, &head, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (got < 0 && errno == EINTR)
		return 1;
	if (got < 0 && errno != ENOBUFS)
		return -errno;
	if (got < 0) {
		hotplug->look = true; /* messages were lost */
		return 1;
	}
	message[got] = '\0';
	/* Another process may send what looks like one; only the kernel has no port. */
	if (from.nl_pid == 0 && is_about_pci(message, (size_t)got))
		hotplug->look = true;
	return 1;
}

/* @return 0 or -errno, logged. */
static int receive_all(struct nsdk_hotplug *hotplug)
{
	int rc = 1;

	for (unsigned i = 0; i < MESSAGES_MAX && rc == 1; i++)
		rc = receive(hotplug);
	return rc < 0 ? nsdk_fail(rc, "pci", "cannot hear of hot-plug from the kernel: %s", strerror(-rc))
		      : 0;
}

static int open_socket(unsigned buffer_bytes)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
	int bytes = (int)buffer_bytes, rc;
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return -errno;
	/* As large as the system lets an ordinary user have it, or as root wants it. Too small a buffer
	 * costs nothing but looks at sysfs. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* ---- Public ---- */

int nsdk_hotplug_create(const struct nsdk_hotplug_opts *opts, struct nsdk_hotplug **out)
{
	struct nsdk_hotplug_opts known;
	struct nsdk_hotplug *hotplug;
	int rc;

	*out = NULL;
	rc = nsdk_opts_take(&known, sizeof(known), opts, "pci");
	if (rc != 0)
		return rc;
	hotplug = calloc(1, sizeof(*hotplug));
	if (hotplug == NULL)
		return nsdk_fail(-ENOMEM, "pci", "no memory to watch for hot-plug");
	/* First listen, then look: what comes in between is heard of. */
	hotplug->fd = open_socket(known.buffer_bytes != 0 ? known.buffer_bytes : BUFFER_BYTES);
	rc = hotplug->fd < 0 ? hotplug->fd : 0;
	if (rc != 0) {
		rc = nsdk_fail(rc, "pci", "cannot hear of hot-plug from the kernel: %s", strerror(-rc));
		goto free_hotplug;
	}
	if (known.existing)
		hotplug->look = true;
	else
		rc = list_fill(&hotplug->known);
	if (rc != 0) {
		rc = nsdk_fail(rc, "pci", "cannot list the PCI functions: %s", strerror(-rc));
		goto close_socket;
	}
	*out = hotplug;
	return 0;

close_socket:
	close(hotplug->fd);
free_hotplug:
	free(hotplug);
	return rc;
}

void nsdk_hotplug_destroy(struct nsdk_hotplug *hotplug)
{
	if (hotplug == NULL)
		return;
	close(hotplug->fd);
	list_free(&hotplug->known);
	list_free(&hotplug->seen);
	free(hotplug);
}

int nsdk_hotplug_fd(const struct nsdk_hotplug *hotplug)
{
	return hotplug->fd;
}

void nsdk_hotplug_rescan(struct nsdk_hotplug *hotplug)
{
	hotplug->look = true;
}

static int report(enum nsdk_hotplug_what what, const struct function *function,
		  struct nsdk_hotplug_event *out)
{
	out->what = what;
	out->addr = function->addr;
	nsdk_pci_addr_format(&function->addr, out->bdf);
	return 1;
}

/* The next difference. @return 1 there is one; 0 that was all. */
static int walk(struct nsdk_hotplug *hotplug, struct nsdk_hotplug_event *out)
{
	const struct list *known = &hotplug->known, *seen = &hotplug->seen;

	while (hotplug->known_at < known->count && hotplug->seen_at < seen->count) {
		const struct function *old = &known->functions[hotplug->known_at];
		const struct function *new = &seen->functions[hotplug->seen_at];
		int order = by_address(old, new);

		if (order == 0 && old->inode == new->inode) {
			hotplug->known_at++;
			hotplug->seen_at++;
			continue;
		}
		if (order > 0) {
			hotplug->seen_at++;
			return report(NSDK_HOTPLUG_ADDED, new, out);
		}
		/* Of one that was replaced too: its successor comes next. */
		hotplug->known_at++;
		return report(NSDK_HOTPLUG_REMOVED, old, out);
	}
	if (hotplug->known_at < known->count)
		return report(NSDK_HOTPLUG_REMOVED, &known->functions[hotplug->known_at++], out);
	if (hotplug->seen_at < seen->count)
		return report(NSDK_HOTPLUG_ADDED, &seen->functions[hotplug->seen_at++], out);
	list_free(&hotplug->known);
	hotplug->known = hotplug->seen;
	hotplug->seen = (struct list){NULL, 0};
	hotplug->walking = false;
	return 0;
}

int nsdk_hotplug_next(struct nsdk_hotplug *hotplug, struct nsdk_hotplug_event *out)
{
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (hotplug->walking && walk(hotplug, out) == 1)
		return 1;
	rc = receive_all(hotplug);
	if (rc != 0 || !hotplug->look)
		return rc;
	rc = list_fill(&hotplug->seen);
	if (rc != 0)
		return nsdk_fail(rc, "pci", "cannot list the PCI functions: %s", strerror(-rc));
	hotplug->look = false;
	hotplug->known_at = hotplug->seen_at = 0;
	hotplug->walking = true;
	return walk(hotplug, out);
}
