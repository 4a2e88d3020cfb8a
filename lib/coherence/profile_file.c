/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the profile is, and how the file is replaced: a reader sees the old one or the new one, never
 * a half; not even after the power went.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "profile.h"

#define FILE_NAME "nsdk/flush-profile.json"

static int join(char *path, size_t path_bytes, const char *folder, const char *rest)
{
	int length = snprintf(path, path_bytes, "%s/%s", folder, rest);

	return length < 0 || (size_t)length >= path_bytes ? -ENAMETOOLONG : 0;
}

/* The n-th place to look at. @return 0; -ENOENT there is none; -ENAMETOOLONG. */
static int place(unsigned n, char *path, size_t path_bytes)
{
	/* A program with more rights than its user must not be led to a file by him. */
	const char *named = secure_getenv("NSDK_PROFILE");
	const char *config = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");

	if (named != NULL) {
		/* Set but empty: no profile at all. */
		if (n > 0 || named[0] == '\0')
			return -ENOENT;
		return strlen(named) < path_bytes ? (strcpy(path, named), 0) : -ENAMETOOLONG;
	}
	/* The XDG specification: a relative one is to be ignored. */
	if (n == 0 && config != NULL && config[0] == '/')
		return join(path, path_bytes, config, FILE_NAME);
	if (n == 0 && home != NULL && home[0] == '/')
		return join(path, path_bytes, home, ".config/" FILE_NAME);
	return n <= 1 ? join(path, path_bytes, "/etc", FILE_NAME) : -ENOENT;
}

int nsdk_profile_path(bool for_writing, char *path, size_t path_bytes)
{
	int rc = 0;

	for (unsigned n = 0; n <= 1; n++) {
		rc = place(n, path, path_bytes);
		if (rc != 0 || for_writing || access(path, F_OK) == 0)
			return rc;
	}
	return -ENOENT;
}

/* @return a whole regular file, to be freed; NULL with *error and why. */
static char *read_whole(const char *path, size_t *bytes, int *error, char *why, size_t why_bytes)
{
	char *text = NULL;
	struct stat st;
	size_t used = 0;
	ssize_t n;
	/* Not to wait for whoever writes into a pipe of that name. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*error = 0;
	if (fd < 0 || fstat(fd, &st) != 0) {
		*error = -errno;
		snprintf(why, why_bytes, "it cannot be read (%s)", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		*error = -EBADMSG;
		snprintf(why, why_bytes, "it is not a regular file");
	} else if ((uint64_t)st.st_size > NSDK_PROFILE_MAX_FILE_BYTES) {
		*error = -EBADMSG;
		snprintf(why, why_bytes, "it is larger than %zu bytes", NSDK_PROFILE_MAX_FILE_BYTES);
	} else if ((text = malloc((size_t)st.st_size + 1)) == NULL) {
		*error = -ENOMEM;
		snprintf(why, why_bytes, "there is no memory for it");
	} else {
		while (used < (size_t)st.st_size &&
		       (n = read(fd, text + used, (size_t)st.st_size - used)) != 0) {
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0) {
				*error = -errno;
				snprintf(why, why_bytes, "it cannot be read (%s)", strerror(errno));
				break;
			}
			used += (size_t)n;
		}
	}
	if (fd >= 0)
		close(fd);
	if (*error != 0) {
		free(text);
		return NULL;
	}
	*bytes = used;
	return text;
}

int nsdk_profile_read(const char *path, char *why, size_t why_bytes, struct nsdk_profile **out)
{
	char reason[400] = "";
	size_t bytes = 0;
	char *text;
	int rc = 0;

	*out = NULL;
	text = read_whole(path, &bytes, &rc, reason, sizeof(reason));
	if (text != NULL)
		rc = nsdk_profile_parse(text, bytes, reason, sizeof(reason), out);
	free(text);
	if (rc == -ENOTDIR)
		rc = -ENOENT;
	if (why != NULL)
		snprintf(why, why_bytes, "%s", reason);
	else if (rc == -EACCES)
		nsdk_log(NSDK_LOG_NOTICE, "coherence",
			 "the flush profile %s is ignored: %s; make it readable, or set NSDK_PROFILE to "
			 "another", path, reason);
	else if (rc != 0 && rc != -ENOENT)
		nsdk_log(NSDK_LOG_NOTICE, "coherence",
			 "the flush profile %s is ignored: %s; measure anew with 'nsdk tune flush'%s",
			 path, reason,
			 rc == -EOPNOTSUPP ? ", after removing it or with NSDK_PROFILE set to another" :
					     "");
	return rc;
}

int nsdk_profile_load(struct nsdk_profile **out)
{
	char path[PATH_MAX];
	int rc;

	*out = NULL;
	if (nsdk_profile_path(false, path, sizeof(path)) != 0)
		return 0;
	rc = nsdk_profile_read(path, NULL, 0, out);
	return rc == -ENOMEM ? rc : 0;
}

/* ---- Writing ---- */

/* Make the folders that a path goes through. */
static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		int rc;

		*slash = '\0';
		rc = mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -errno;
		*slash = '/';
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int write_all(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* The name itself must be on the disk too; where a file system cannot do that, nothing is lost. */
static void sync_folder(char *path)
{
	int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

static int replace(char *path, const char *text)
{
	char temporary[PATH_MAX + 8];
	int fd, rc;

	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, text, strlen(text));
	if (rc == 0)
		rc = write_all(fd, "\n", 1);
	/* For everyone to read: it holds no secret, and drivers run as whoever. */
	if (rc == 0 && fchmod(fd, 0644) != 0)
		rc = -errno;
	/* Before the rename, or a crash could leave the new name with nothing in it. */
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(temporary, path) != 0)
		rc = -errno;
	if (rc != 0)
		unlink(temporary);
	else
		sync_folder(path);
	return rc;
}

int nsdk_profile_write(struct nsdk_profile *profile, const char *path)
{
	char target[PATH_MAX], *text;
	int rc;

	if (strlen(path) >= sizeof(target))
		return nsdk_fail(-ENAMETOOLONG, "coherence", "the flush profile's path is too long");
	/* Through a link, to what it points to: the link is somebody's arrangement. */
	if (realpath(path, target) == NULL)
		strcpy(target, path);
	text = nsdk_profile_text(profile);
	if (text == NULL)
		return nsdk_fail(-ENOMEM, "coherence", "no memory for a flush profile");
	rc = make_folders(target);
	if (rc == 0)
		rc = replace(target, text);
	free(text);
	if (rc != 0)
		return nsdk_fail(rc, "coherence", "the flush profile %s cannot be written: %s", path,
				 strerror(-rc));
	return 0;
}
