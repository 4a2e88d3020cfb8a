/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/pci: sysfs and procfs as text, and the check that keeps us from pulling a disk out
 * from under a file system.
 */
#ifndef NSDK_PCI_INTERNAL_H
#define NSDK_PCI_INTERNAL_H

#include <stdio.h>

#include <nsdk/pci.h>

#define NSDK_PCI_PATH_CHARS 512

/* Which of two addresses comes first: < 0 @p a; 0 they are one; > 0 @p b. */
int nsdk_pci_addr_compare(const struct nsdk_pci_addr *a, const struct nsdk_pci_addr *b);

/*
 * Put @p root before "/sys", "/proc" and "/run" ("" by default). A test points it at a tree of its
 * own; what it cannot move is libpciaccess.
 */
void nsdk_pci_set_root(const char *root);

/* Build ROOT/FORMAT… into @p out. @return 0 or -ENAMETOOLONG. */
int nsdk_pci_path(char out[NSDK_PCI_PATH_CHARS], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Read a small file, without its trailing newline. @return length or -errno. */
int nsdk_pci_file_read(const char *path, char *out, size_t out_bytes);

/* Write a small file in one write(2), as sysfs wants it. @return 0 or -errno. */
int nsdk_pci_file_write(const char *path, const char *text);

/* The last component of a link's target; "" when there is no link. @return 0 or -errno (not ENOENT). */
int nsdk_pci_link_name(const char *path, char *out, size_t out_bytes);

/*
 * Whether something of the running system stands on this function. @return 0 no; 1 yes, and @p what
 * says by what, as the end of a sentence ("disk nvme0n1, mounted on /home"); -errno.
 */
int nsdk_pci_in_use(const char *bdf, char *what, size_t what_bytes);

/* The note of a temporary bind (lib/pci/note.c). */
struct nsdk_pci_note {
	char driver[64];
	char driver_override[64];
};
/*
 * Open and lock the note of a function, making it when @p create.
 * @return the locked fd (>= 0), with *found saying whether an earlier process left @p note; -EBUSY
 * another process holds it (*pid is its number, 0 when not known); -ENOENT none and not @p create.
 */
int nsdk_pci_note_lock(const char *bdf, bool create, struct nsdk_pci_note *note, bool *found,
		       int *pid);
int nsdk_pci_note_write(int fd, const struct nsdk_pci_note *note);
/* Remove the note (when @p forget) and let go of the lock. */
void nsdk_pci_note_unlock(const char *bdf, int fd, bool forget);

#endif
