/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_sysfs.h"
#include "nsdk_unit.h"

#define BDF "0000:00:03.0"

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_sysfs_start(), 0);
}

static void none_is_found_in_a_new_note(void)
{
	struct nsdk_pci_note note;
	bool found = true;
	int pid, fd;

	NSDK_ASSERT_INT(nsdk_pci_note_lock(BDF, false, &note, &found, &pid), -ENOENT);
	fd = nsdk_pci_note_lock(BDF, true, &note, &found, &pid);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FALSE(found);
	nsdk_pci_note_unlock(BDF, fd, true);
	CU_ASSERT_FALSE(fake_sysfs_exists("/run/nsdk/bind-" BDF));
}

/* A child takes the note, says so, and is killed while it holds it. */
static pid_t hold_in_child(void)
{
	struct nsdk_pci_note note = { "nvme", "" };
	struct nsdk_pci_note old;
	int pipe_fds[2], pid, fd;
	bool found;
	char byte;
	pid_t child;

	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
	child = fork();
	CU_ASSERT_FATAL(child >= 0);
	if (child == 0) {
		fd = nsdk_pci_note_lock(BDF, true, &old, &found, &pid);
		if (fd < 0 || nsdk_pci_note_write(fd, &note) != 0)
			_exit(1);
		(void)!write(pipe_fds[1], "x", 1);
		for (;;)
			pause();
	}
	close(pipe_fds[1]);
	CU_ASSERT_EQUAL_FATAL(read(pipe_fds[0], &byte, 1), 1);
	close(pipe_fds[0]);
	return child;
}

static void a_living_owner_keeps_others_out(void)
{
	struct nsdk_pci_note note;
	pid_t child = hold_in_child();
	bool found;
	int pid, fd;

	NSDK_ASSERT_INT(nsdk_pci_note_lock(BDF, true, &note, &found, &pid), -EBUSY);
	NSDK_ASSERT_INT(pid, child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	fd = nsdk_pci_note_lock(BDF, true, &note, &found, &pid);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_TRUE(found);
	NSDK_ASSERT_TEXT(note.driver, "nvme");
	NSDK_ASSERT_TEXT(note.driver_override, "");
	nsdk_pci_note_unlock(BDF, fd, false);
	CU_ASSERT_TRUE(fake_sysfs_exists("/run/nsdk/bind-" BDF));
}

static void a_note_cut_short_does_not_count(void)
{
	struct nsdk_pci_note note;
	bool found = true;
	int pid, fd;

	fake_sysfs_file("/run/nsdk/bind-" BDF, "nvme\nfoo\n12");
	fd = nsdk_pci_note_lock(BDF, false, &note, &found, &pid);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FALSE(found);
	nsdk_pci_note_unlock(BDF, fd, true);
	fake_sysfs_file("/run/nsdk/bind-" BDF, "nvme\n");
	fd = nsdk_pci_note_lock(BDF, false, &note, &found, &pid);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FALSE(found);
	nsdk_pci_note_unlock(BDF, fd, true);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(none_is_found_in_a_new_note),
	NSDK_UNIT_TEST(a_living_owner_keeps_others_out),
	NSDK_UNIT_TEST(a_note_cut_short_does_not_count),
};

NSDK_UNIT_MAIN("lib/pci/note", tests, .before = before, .after = fake_sysfs_stop)
