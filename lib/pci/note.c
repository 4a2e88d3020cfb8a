/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The note of a temporary bind: /run/nsdk/bind-BDF says which driver the function had before.
 *
 * It is locked (flock) for as long as the process that made the bind lives, however it ends. A note
 * without a lock is therefore one that a killed process could not act on; the next one does. The
 * file is small: three lines, driver, driver_override, process number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pci_internal.h"

static int note_path(char path[NSDK_PCI_PATH_CHARS], const char *bdf)
{
	return nsdk_pci_path(path, "/run/nsdk/bind-%s", bdf);
}

/* Take line @p number of @p text into @p out; "" when there is none. */
static void take_line(const char *text, unsigned number, char *out, size_t out_bytes)
{
	size_t len;

	while (number-- > 0 && text != NULL) {
		text = strchr(text, '\n');
		text = text == NULL ? NULL : text + 1;
	}
	out[0] = '\0';
	if (text == NULL)
		return;
	len = strcspn(text, "\n");
	if (len < out_bytes) {
		memcpy(out, text, len);
		out[len] = '\0';
	}
}

/* A note cut short (the machine lost power, the disk was full) has no last line and does not count. */
static bool note_read(int fd, struct nsdk_pci_note *note, int *pid)
{
	char text[256], number[16];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	memset(note, 0, sizeof(*note));
	*pid = 0;
	if (len <= 0 || text[len - 1] != '\n')
		return false;
	text[len] = '\0';
	take_line(text, 0, note->driver, sizeof(note->driver));
	take_line(text, 1, note->driver_override, sizeof(note->driver_override));
	take_line(text, 2, number, sizeof(number));
	*pid = atoi(number);
	return *pid > 0;
}

int nsdk_pci_note_lock(const char *bdf, bool create, struct nsdk_pci_note *note, bool *found,
		       int *pid)
{
	char path[NSDK_PCI_PATH_CHARS], dir[NSDK_PCI_PATH_CHARS];
	struct stat by_fd, by_path;
	int fd, rc;

	*found = false;
	*pid = 0;
	rc = note_path(path, bdf);
	if (rc == 0)
		rc = nsdk_pci_path(dir, "/run/nsdk");
	if (rc != 0)
		return rc;
	if (create && mkdir(dir, 0755) != 0 && errno != EEXIST)
		return -errno;
	for (;;) {
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0644);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
			(void)note_read(fd, note, pid);
			close(fd);
			return rc;
		}
		/* Its owner may have removed the file between our open and our lock: a lock on a name
		 * that is gone keeps nobody out, so look again. */
		if (fstat(fd, &by_fd) == 0 && stat(path, &by_path) == 0 &&
		    by_fd.st_ino == by_path.st_ino && by_fd.st_dev == by_path.st_dev)
			break;
		close(fd);
	}
	*found = note_read(fd, note, pid);
	return fd;
}

int nsdk_pci_note_write(int fd, const struct nsdk_pci_note *note)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "%s\n%s\n%d\n", note->driver, note->driver_override,
			   (int)getpid());
	ssize_t written;

	if (ftruncate(fd, 0) != 0)
		return -errno;
	written = pwrite(fd, text, (size_t)len, 0);
	if (written < 0)
		return -errno;
	return written == len ? 0 : -ENOSPC;
}

void nsdk_pci_note_unlock(const char *bdf, int fd, bool forget)
{
	char path[NSDK_PCI_PATH_CHARS];

	if (fd < 0)
		return;
	/* Removed while still locked: whoever waits for the lock sees that the name is gone. */
	if (forget && note_path(path, bdf) == 0)
		(void)unlink(path);
	close(fd);
}
