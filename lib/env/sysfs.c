/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading small files of sysfs, below a root that a test may replace.
 */
#include "env_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *nsdk_env_sysfs_root = "/sys";

__attribute__((format(printf, 3, 0)))
static int read_text(char *buf, size_t buf_bytes, const char *path_format, va_list args)
{
	char path[PATH_MAX];
	size_t length;
	ssize_t got;
	int fd;

	length = (size_t)snprintf(path, sizeof(path), "%s/", nsdk_env_sysfs_root);
	if (length >= sizeof(path))
		return -ENAMETOOLONG;
	if ((size_t)vsnprintf(path + length, sizeof(path) - length, path_format, args) >=
	    sizeof(path) - length)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = read(fd, buf, buf_bytes - 1);
	if (got < 0)
		got = -errno;
	close(fd);
	if (got < 0)
		return (int)got;
	while (got > 0 && buf[got - 1] == '\n')
		got--;
	buf[got] = '\0';
	return 0;
}

int nsdk_env_sysfs_text(char *buf, size_t buf_bytes, const char *path_format, ...)
{
	va_list args;
	int result;

	va_start(args, path_format);
	result = read_text(buf, buf_bytes, path_format, args);
	va_end(args);
	return result;
}

int nsdk_env_sysfs_u64(uint64_t *out, const char *path_format, ...)
{
	unsigned long long value;
	char text[32] = "", *end;
	va_list args;
	int result;

	va_start(args, path_format);
	result = read_text(text, sizeof(text), path_format, args);
	va_end(args);
	if (result)
		return result;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end != '\0' || text[0] == '-')
		return -EINVAL;
	*out = value;
	return 0;
}
