/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hot-plug against a sysfs of our own. The kernel's messages come from a list, or are lost.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_sysfs.h"

int __wrap_socket(int domain, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes);
ssize_t __wrap_recvmsg(int fd, struct msghdr *head, int flags);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

static struct {
	char text[4096]; /* "add@…\0ACTION=add\0…" */
	size_t bytes;
	unsigned pending; /* so often the same */
	uint32_t from;    /* the sender's port; the kernel's is 0 */
	bool lost;        /* ENOBUFS, once */
	int error;        /* for ever */
	unsigned reads;
} kernel;

static struct nsdk_hotplug *hotplug;
static struct nsdk_hotplug_event event;

int __wrap_socket(int domain, int type, int protocol)
{
	NSDK_ASSERT_INT(domain, AF_NETLINK);
	NSDK_ASSERT_INT(protocol, NETLINK_KOBJECT_UEVENT);
	CU_ASSERT_EQUAL(type, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (nsdk_unit_fails_now()) {
		errno = EMFILE;
		return -1;
	}
	return dup(0);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
	NSDK_ASSERT_INT(((const struct sockaddr_nl *)address)->nl_groups, 1);
	NSDK_ASSERT_INT(bytes, sizeof(struct sockaddr_nl));
	if (nsdk_unit_fails_now()) {
		errno = EACCES;
		return -1;
	}
	return 0;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *head, int flags)
{
	kernel.reads++;
	if (kernel.error != 0 || kernel.lost || kernel.pending == 0) {
		errno = kernel.error != 0 ? kernel.error : kernel.lost ? ENOBUFS : EAGAIN;
		kernel.lost = false;
		return -1;
	}
	kernel.pending--;
	CU_ASSERT_FATAL(head->msg_iov->iov_len >= kernel.bytes);
	memcpy(head->msg_iov->iov_base, kernel.text, kernel.bytes);
	((struct sockaddr_nl *)head->msg_name)->nl_pid = kernel.from;
	return (ssize_t)kernel.bytes;
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	return nsdk_unit_fails_now() ? NULL : __real_realloc(memory, bytes);
}

/* ---- What happens to the machine ---- */

static void path_of(char path[64], const char *bdf)
{
	snprintf(path, 64, "/sys/bus/pci/devices/%s", bdf);
}

static void plug(const char *bdf)
{
	char path[64];

	path_of(path, bdf);
	fake_sysfs_dir(path);
}

static void pull(const char *bdf)
{
	char path[64];

	path_of(path, bdf);
	fake_sysfs_remove(path);
}

/* Another one at the same address: the folder of the old one is there until the new one is. */
static void replace(const char *bdf)
{
	char path[NSDK_PCI_PATH_CHARS], aside[NSDK_PCI_PATH_CHARS];

	CU_ASSERT_FATAL(nsdk_pci_path(path, "/sys/bus/pci/devices/%s", bdf) == 0);
	CU_ASSERT_FATAL(nsdk_pci_path(aside, "/sys/aside") == 0);
	CU_ASSERT_FATAL(rename(path, aside) == 0);
	plug(bdf);
	fake_sysfs_remove("/sys/aside");
}

static void say(const char *action, const char *subsystem)
{
	kernel.bytes = (size_t)snprintf(kernel.text, sizeof(kernel.text),
					"%s@/devices/pci0000:00/0000:00:04.0%cACTION=%s%c"
					"DEVPATH=/devices/pci0000:00/0000:00:04.0%cSUBSYSTEM=%s%c"
					"SEQNUM=1711%c",
					action, 0, action, 0, 0, subsystem, 0, 0);
	kernel.pending = 1;
}

static void next_is(enum nsdk_hotplug_what what, const char *bdf)
{
	NSDK_ASSERT_INT(nsdk_hotplug_next(hotplug, &event), 1);
	NSDK_ASSERT_INT(event.what, what);
	NSDK_ASSERT_TEXT(event.bdf, bdf);
}

static void next_is_none(void)
{
	NSDK_ASSERT_INT(nsdk_hotplug_next(hotplug, &event), 0);
}

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_sysfs_start(), 0);
	plug("0000:00:03.0");
	plug("0000:00:1f.2");
	plug("0001:00:00.0");
	memset(&kernel, 0, sizeof(kernel));
	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_hotplug_create(NULL, &hotplug), 0);
}

static void after(void)
{
	nsdk_hotplug_destroy(hotplug);
	hotplug = NULL;
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_unit_log_stop();
	fake_sysfs_stop();
}

static void begin_again(const struct nsdk_hotplug_opts *opts)
{
	nsdk_hotplug_destroy(hotplug);
	CU_ASSERT_EQUAL_FATAL(nsdk_hotplug_create(opts, &hotplug), 0);
}

/* ---- Tests ---- */

static void comes_and_goes(void)
{
	next_is_none();
	plug("0000:00:04.0");
	say("add", "pci");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
	NSDK_ASSERT_INT(event.addr.dev, 4);
	next_is_none();
	pull("0000:00:04.0");
	say("remove", "pci");
	next_is(NSDK_HOTPLUG_REMOVED, "0000:00:04.0");
	next_is_none();
	say("remove", "pci");
	next_is_none();
}

static void in_order_of_their_addresses(void)
{
	plug("0000:00:04.1");
	plug("0000:00:04.0");
	plug("0000:01:00.0");
	pull("0000:00:1f.2");
	pull("0001:00:00.0");
	plug("0002:00:00.0");
	say("add", "pci");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.1");
	next_is(NSDK_HOTPLUG_REMOVED, "0000:00:1f.2");
	next_is(NSDK_HOTPLUG_ADDED, "0000:01:00.0");
	next_is(NSDK_HOTPLUG_REMOVED, "0001:00:00.0");
	next_is(NSDK_HOTPLUG_ADDED, "0002:00:00.0");
	next_is_none();
}

/* Unplugged and plugged in between two looks: who drives it has to know. */
static void replaced_at_the_same_address(void)
{
	replace("0000:00:03.0");
	say("remove", "pci");
	next_is(NSDK_HOTPLUG_REMOVED, "0000:00:03.0");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:03.0");
	next_is_none();
}

static void came_and_went(void)
{
	plug("0000:00:04.0");
	pull("0000:00:04.0");
	say("add", "pci");
	next_is_none();
}

static void lost_messages_lose_no_event(void)
{
	plug("0000:00:04.0");
	pull("0000:00:03.0");
	next_is_none();
	kernel.lost = true;
	next_is(NSDK_HOTPLUG_REMOVED, "0000:00:03.0");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
	next_is_none();
}

/* Those that are read later than they are lost are of before. */
static void old_messages_say_nothing_new(void)
{
	plug("0000:00:04.0");
	say("add", "pci");
	kernel.pending = 10;
	kernel.lost = true;
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
	next_is_none();
	NSDK_ASSERT_INT(kernel.pending, 0);
}

static void what_is_not_about_pci_is_not_looked_at(void)
{
	plug("0000:00:04.0");
	say("add", "usb");
	next_is_none();
	say("change", "pci");
	next_is_none();
	say("bind", "pci");
	next_is_none();
	say("add", "pci_express");
	next_is_none();
	/* The same words, but not of the kernel. */
	say("add", "pci");
	kernel.from = 4711;
	next_is_none();
	kernel.from = 0;
	/* Cut in the middle, or nothing at all. */
	say("add", "pci");
	kernel.bytes = 60;
	next_is_none();
	kernel.bytes = 0;
	kernel.pending = 1;
	next_is_none();
	say("add", "pci");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
}

static void a_flood_does_not_keep_a_reactor(void)
{
	say("add", "block");
	kernel.pending = 100000;
	next_is_none();
	CU_ASSERT(kernel.reads > 0 && kernel.reads <= 100);
}

static void what_is_there_already(void)
{
	const struct nsdk_hotplug_opts opts = {.opts_bytes = sizeof(opts), .existing = true};

	begin_again(&opts);
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:03.0");
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:1f.2");
	next_is(NSDK_HOTPLUG_ADDED, "0001:00:00.0");
	next_is_none();
}

static void looks_when_asked(void)
{
	plug("0000:00:04.0");
	next_is_none();
	nsdk_hotplug_rescan(hotplug);
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
	next_is_none();
}

static void many(void)
{
	char bdf[32];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(bdf, sizeof(bdf), "0000:%02x:%02x.%u", 0x40 + i / 256, i / 8 % 32, i % 8);
		plug(bdf);
	}
	say("add", "pci");
	for (unsigned i = 0; i < 300; i++)
		NSDK_ASSERT_INT(nsdk_hotplug_next(hotplug, &event), 1);
	next_is_none();
}

static void a_machine_without_pci(void)
{
	pull("0000:00:03.0");
	pull("0000:00:1f.2");
	pull("0001:00:00.0");
	fake_sysfs_remove("/sys/bus/pci/devices");
	begin_again(NULL);
	nsdk_hotplug_rescan(hotplug);
	next_is_none();
}

static void errors_are_said_and_tried_again(void)
{
	kernel.error = EBADF;
	NSDK_ASSERT_INT(nsdk_hotplug_next(hotplug, &event), -EBADF);
	NSDK_ASSERT_ONE_SENTENCE("cannot hear of hot-plug");
	kernel.error = 0;
	plug("0000:00:04.0");
	say("add", "pci");
	CU_ASSERT_FATAL(nsdk_unit_fail_next(1));
	NSDK_ASSERT_INT(nsdk_hotplug_next(hotplug, &event), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("cannot list the PCI functions");
	nsdk_unit_fail_none();
	next_is(NSDK_HOTPLUG_ADDED, "0000:00:04.0");
	next_is_none();
}

static void every_call_may_fail(void)
{
	unsigned rounds = 0;

	for (unsigned n = 1; nsdk_unit_fail_next(n); n++, rounds++) {
		struct nsdk_hotplug *another;
		int rc = nsdk_hotplug_create(NULL, &another);

		if (nsdk_unit_failed()) {
			CU_ASSERT(rc < 0);
			CU_ASSERT_PTR_NULL(another);
			NSDK_ASSERT_ONE_SENTENCE("cannot ");
		} else {
			NSDK_ASSERT_INT(rc, 0);
		}
		nsdk_hotplug_destroy(another);
	}
	NSDK_ASSERT_INT(rounds, 4);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(comes_and_goes),
	NSDK_UNIT_TEST(in_order_of_their_addresses),
	NSDK_UNIT_TEST(replaced_at_the_same_address),
	NSDK_UNIT_TEST(came_and_went),
	NSDK_UNIT_TEST(lost_messages_lose_no_event),
	NSDK_UNIT_TEST(old_messages_say_nothing_new),
	NSDK_UNIT_TEST(what_is_not_about_pci_is_not_looked_at),
	NSDK_UNIT_TEST(a_flood_does_not_keep_a_reactor),
	NSDK_UNIT_TEST(what_is_there_already),
	NSDK_UNIT_TEST(looks_when_asked),
	NSDK_UNIT_TEST(many),
	NSDK_UNIT_TEST(a_machine_without_pci),
	NSDK_UNIT_TEST(errors_are_said_and_tried_again),
	NSDK_UNIT_TEST(every_call_may_fail),
};

NSDK_UNIT_MAIN("lib/pci/hotplug", tests, .before = before, .after = after)
