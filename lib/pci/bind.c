/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Giving a PCI function to vfio-pci, and back.
 *
 * The kernel's way is driver_override: while it names a driver, only that driver may take the
 * function, whatever the IDs say, and no other function is touched (new_id, the older way, makes a
 * driver grab every function with the same IDs). The order is: write driver_override, unbind, ask
 * for a probe, look who has it. Every step that fails is undone, so the function is always either
 * where it was or where it was asked to be.
 *
 * A bind is temporary or it stays. `nsdk bind` makes one that stays: the user undoes it with
 * `nsdk unbind`. A program that binds only for its own run makes a temporary one, with a note of
 * what to restore (note.c), which survives even a SIGKILL.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "pci_internal.h"

#define CFG_HEAD_BYTES 12 /* of config space, up to the class */

#define PROBE_PAUSE_MS 10u
#define PROBE_WAIT_MS 1000u

/* How a file of the function is named in messages and written. */
static int write_attr(const char *bdf, const char *attr, const char *text)
{
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/bus/pci/devices/%s/%s", bdf, attr);

	return rc != 0 ? rc : nsdk_pci_file_write(path, text);
}

static int write_override(const char *bdf, const char *driver)
{
	/* An empty line, not an empty write, clears it. */
	return write_attr(bdf, "driver_override", driver[0] == '\0' ? "\n" : driver);
}

static int current_driver(const char *bdf, char out[64])
{
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/bus/pci/devices/%s/driver", bdf);

	return rc != 0 ? rc : nsdk_pci_link_name(path, out, 64);
}

static int probe(const char *bdf)
{
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/bus/pci/drivers_probe");

	/* The write fails with the driver's own error when its probe does; who has the function in
	 * the end is what counts, and the caller looks. */
	return rc != 0 ? rc : nsdk_pci_file_write(path, bdf);
}

/*
 * Have @p driver take the function. One that was plugged in a moment ago is in sysfs before the kernel
 * lets drivers near it: a probe then succeeds and finds none, so it is tried again for @p patience_ms.
 * @return 0 or -errno.
 */
static int probe_for(const char *bdf, const char *driver, unsigned patience_ms)
{
	const struct timespec pause = {.tv_nsec = PROBE_PAUSE_MS * 1000000L};
	char now[64];

	for (unsigned waited_ms = 0;; waited_ms += PROBE_PAUSE_MS) {
		int probed = probe(bdf);
		int rc = current_driver(bdf, now);

		if (rc != 0 || strcmp(now, driver) == 0)
			return rc;
		if (probed != 0)
			return probed;
		if (now[0] != '\0' || waited_ms >= patience_ms)
			return -EIO;
		nanosleep(&pause, NULL);
	}
}

static int unbind_current(const char *bdf)
{
	char driver[64];
	int rc = current_driver(bdf, driver);

	if (rc != 0 || driver[0] == '\0')
		return rc;
	rc = write_attr(bdf, "driver/unbind", bdf);
	return rc == -ENOENT || rc == -ENODEV ? 0 : rc; /* it went by itself meanwhile */
}

/* Move the function to @p driver ("": to none) and leave @p override behind. @return 0 or -errno. */
static int move_to(const char *bdf, const char *driver, const char *override,
		   unsigned patience_ms)
{
	int rc = write_override(bdf, driver);

	if (rc == 0)
		rc = unbind_current(bdf);
	if (rc == 0 && driver[0] != '\0')
		rc = probe_for(bdf, driver, patience_ms);
	if (rc == 0 && strcmp(override, driver) != 0)
		rc = write_override(bdf, override);
	return rc;
}

static int check_driver_exists(const char *bdf, const char *driver)
{
	char path[NSDK_PCI_PATH_CHARS];
	int rc = nsdk_pci_path(path, "/sys/bus/pci/drivers/%s", driver);

	if (rc != 0)
		return rc;
	if (access(path, F_OK) == 0)
		return 0;
	return nsdk_fail(-ENOENT, "pci",
			 "cannot bind %s: the kernel has no driver %s; run 'modprobe %s' as root", bdf,
			 driver, driver);
}

static int check_may_take(const struct nsdk_pci_info *info)
{
	char what[NSDK_PCI_PATH_CHARS];
	int rc;

	if (info->class_code >> 16 == 0x06)
		return nsdk_fail(-EINVAL, "pci",
				 "cannot bind %s: it is a bridge; name the device behind it", info->bdf);
	rc = nsdk_pci_in_use(info->bdf, what, sizeof(what));
	if (rc < 0)
		return nsdk_fail(rc, "pci", "cannot find out whether %s is in use: %s", info->bdf,
				 strerror(-rc));
	if (rc > 0)
		return nsdk_fail(-EBUSY, "pci",
				 "refusing to take %s: the system uses it for %s; free that first",
				 info->bdf, what);
	return 0;
}

static int explain_write(int error, const char *bdf, const char *verb)
{
	if (error == -EACCES || error == -EPERM || error == -EROFS)
		return nsdk_fail(-EACCES, "pci",
				 "cannot %s %s: changing drivers needs root (%s); run as root, or have "
				 "root run 'nsdk bind %s' once",
				 verb, bdf, strerror(-error), bdf);
	return nsdk_fail(error, "pci", "cannot %s %s: %s; 'dmesg' may say why", verb, bdf,
			 strerror(-error));
}

static int note_busy(const char *bdf, int pid)
{
	if (pid > 0)
		return nsdk_fail(-EBUSY, "pci", "%s is in use by another NSDK process, number %d",
				 bdf, pid);
	return nsdk_fail(-EBUSY, "pci", "%s is in use by another NSDK process", bdf);
}

/* What undoes the bind: the note that a killed process left, else what is there now. */
static void fill_restore(struct nsdk_pci_restore *restore, const struct nsdk_pci_info *info,
			 const char *driver, const struct nsdk_pci_note *note, bool note_found)
{
	bool there = strcmp(info->driver, driver) == 0;

	memset(restore, 0, sizeof(*restore));
	restore->addr = info->addr;
	restore->lock_fd = -1;
	if (there && note_found) {
		memcpy(restore->driver, note->driver, sizeof(restore->driver));
		memcpy(restore->driver_override, note->driver_override,
		       sizeof(restore->driver_override));
		restore->changed = true;
	} else {
		memcpy(restore->driver, info->driver, sizeof(restore->driver));
		memcpy(restore->driver_override, info->driver_override,
		       sizeof(restore->driver_override));
		restore->changed = !there;
	}
}

/* Move, and on failure go back to what @p undo says. */
static int bind_or_undo(const char *bdf, const char *driver, const struct nsdk_pci_restore *undo)
{
	int rc = move_to(bdf, driver, driver, PROBE_WAIT_MS);

	if (rc == 0)
		return 0;
	/* Undone before it is explained: the sentence then speaks of a state that is so. */
	if (move_to(bdf, undo->driver, undo->driver_override, 0) != 0)
		nsdk_log(NSDK_LOG_WARN, "pci", "%s could not be given back to its driver '%s'", bdf,
			 undo->driver);
	return explain_write(rc, bdf, "bind");
}

int nsdk_pci_bind(const struct nsdk_pci_addr *addr, const char *driver,
		  struct nsdk_pci_restore *restore)
{
	struct nsdk_pci_restore undo;
	struct nsdk_pci_note note;
	struct nsdk_pci_info info;
	bool note_found = false;
	int pid, lock_fd, rc;

	if (restore != NULL) {
		memset(restore, 0, sizeof(*restore));
		restore->addr = *addr;
		restore->lock_fd = -1;
	}
	rc = nsdk_pci_info(addr, &info);
	if (rc != 0)
		return rc;
	lock_fd = nsdk_pci_note_lock(info.bdf, restore != NULL, &note, &note_found, &pid);
	if (lock_fd == -EBUSY)
		return note_busy(info.bdf, pid);
	if (strcmp(info.driver, driver) == 0 && !note_found) {
		/* The user has bound it. Nothing to do and nothing to undo; the empty note that the
		 * lock has made must not outlive it, nor may its absence (no right to /run) matter. */
		if (lock_fd >= 0)
			nsdk_pci_note_unlock(info.bdf, lock_fd, true);
		return 0;
	}
	if (lock_fd < 0 && (restore != NULL || lock_fd != -ENOENT))
		return explain_write(lock_fd, info.bdf, "bind");
	fill_restore(&undo, &info, driver, &note, note_found);
	rc = check_driver_exists(info.bdf, driver);
	if (rc == 0)
		rc = check_may_take(&info);
	if (rc != 0)
		goto out_unlock;
	if (restore != NULL) {
		memcpy(note.driver, undo.driver, sizeof(note.driver));
		memcpy(note.driver_override, undo.driver_override, sizeof(note.driver_override));
		rc = nsdk_pci_note_write(lock_fd, &note);
		if (rc != 0) {
			rc = explain_write(rc, info.bdf, "note the driver of");
			goto out_unlock;
		}
	}
	if (strcmp(info.driver, driver) != 0) {
		rc = bind_or_undo(info.bdf, driver, &undo);
		if (rc != 0)
			goto out_unlock;
	}
	if (restore != NULL) {
		*restore = undo;
		restore->lock_fd = lock_fd;
	} else {
		nsdk_pci_note_unlock(info.bdf, lock_fd, true); /* it stays: nothing to restore */
	}
	return 0;

out_unlock:
	/* A note taken over keeps its meaning while the function is still where it says. */
	nsdk_pci_note_unlock(info.bdf, lock_fd, !(note_found && strcmp(info.driver, driver) == 0));
	return rc;
}

/* Whether the function does not answer any more: it has been pulled out, and the kernel is slower. */
static bool is_dead(const char *bdf)
{
	char path[NSDK_PCI_PATH_CHARS];
	uint8_t head[CFG_HEAD_BYTES];
	bool dead = false;
	int fd;

	if (nsdk_pci_path(path, "/sys/bus/pci/devices/%s/config", bdf) != 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* The class is never all ones. */
	if (read(fd, head, sizeof(head)) == sizeof(head))
		dead = (head[8] & head[9] & head[10] & head[11]) == 0xff;
	close(fd);
	return dead;
}

int nsdk_pci_restore(struct nsdk_pci_restore *restore)
{
	char bdf[NSDK_PCI_ADDR_CHARS];
	int rc = 0;

	nsdk_pci_addr_format(&restore->addr, bdf);
	if (restore->changed) {
		/* No driver can do anything with one that is gone, and each would take its time. */
		if (is_dead(bdf))
			rc = write_override(bdf, restore->driver_override);
		else
			rc = move_to(bdf, restore->driver, restore->driver_override, 0);
		if (rc == -ENOENT || rc == -ENODEV)
			rc = 0; /* the function has been unplugged: nothing is left to give back */
		if (rc != 0)
			rc = explain_write(rc, bdf, "give back");
	}
	if (restore->lock_fd >= 0)
		nsdk_pci_note_unlock(bdf, restore->lock_fd, rc == 0);
	restore->lock_fd = -1;
	restore->changed = false;
	return rc;
}

int nsdk_pci_unbind(const struct nsdk_pci_addr *addr)
{
	struct nsdk_pci_info info;
	struct nsdk_pci_note note;
	bool note_found = false;
	char now[64];
	int pid, lock_fd, rc;

	rc = nsdk_pci_info(addr, &info);
	if (rc != 0)
		return rc;
	if (info.driver[0] != '\0' && strcmp(info.driver, "vfio-pci") != 0)
		return nsdk_fail(-EINVAL, "pci", "%s is not bound to vfio-pci but to %s; it stays there",
				 info.bdf, info.driver);
	lock_fd = nsdk_pci_note_lock(info.bdf, false, &note, &note_found, &pid);
	if (lock_fd == -EBUSY)
		return note_busy(info.bdf, pid);
	rc = write_override(info.bdf, note_found ? note.driver : "");
	if (rc == 0)
		rc = unbind_current(info.bdf);
	if (rc == 0)
		(void)probe(info.bdf);
	if (rc == 0 && note_found)
		rc = write_override(info.bdf, note.driver_override);
	if (rc != 0)
		rc = explain_write(rc, info.bdf, "unbind");
	else
		rc = current_driver(info.bdf, now);
	if (rc == 0 && now[0] == '\0')
		rc = nsdk_fail(-ENOENT, "pci",
			       "%s is free now, but no driver of the kernel took it; load the driver "
			       "and write the address to /sys/bus/pci/drivers_probe",
			       info.bdf);
	nsdk_pci_note_unlock(info.bdf, lock_fd, true);
	return rc;
}
