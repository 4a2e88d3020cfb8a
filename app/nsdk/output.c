/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Results: JSON that is whole or absent, and numbers for people.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "tool.h"

int tool_json_open(struct tool_json_out *out, const char *file)
{
	struct stat st;
	mode_t mask;

	*out = (struct tool_json_out){ .file = file, .fd = -1 };
	if (file == NULL)
		return 0;
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) {
		/* A pipe, a terminal, /dev/null: nothing that a rename could replace. */
		out->fd = open(file, O_WRONLY | O_CLOEXEC);
	} else {
		if (asprintf(&out->temporary, "%s.XXXXXX", file) < 0) {
			out->temporary = NULL;
			tool_say("no memory");
			return -ENOMEM;
		}
		out->fd = mkostemp(out->temporary, O_CLOEXEC);
		if (out->fd >= 0) {
			/* mkostemp() makes it private; the result is an ordinary file. */
			mask = umask(0);
			umask(mask);
			if (fchmod(out->fd, 0666 & ~mask) != 0)
				tool_say("%s: its mode cannot be set: %s", file, strerror(errno));
		}
	}
	if (out->fd < 0) {
		int error = errno;

		tool_say("%s cannot be written: %s", file, strerror(error));
		free(out->temporary);
		out->temporary = NULL;
		return -error;
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

void tool_json_discard(struct tool_json_out *out)
{
	if (out->fd >= 0)
		close(out->fd);
	out->fd = -1;
	if (out->temporary != NULL)
		unlink(out->temporary);
	free(out->temporary);
	out->temporary = NULL;
}

int tool_json_commit(struct tool_json_out *out, struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				JSON_C_TO_STRING_NOSLASHESCAPE);
	int rc;

	if (text == NULL) {
		tool_json_discard(out);
		tool_say("no memory for the result");
		return -ENOMEM;
	}
	if (out->file == NULL) {
		/* Through stdio, whose errors tool_finish_stdout() looks for. */
		puts(text);
		return 0;
	}
	rc = write_all(out->fd, text, strlen(text));
	if (rc == 0)
		rc = write_all(out->fd, "\n", 1);
	if (rc == 0 && close(out->fd) != 0)
		rc = -errno;
	else if (rc != 0)
		close(out->fd);
	out->fd = -1;
	if (rc == 0 && out->temporary != NULL && rename(out->temporary, out->file) != 0)
		rc = -errno;
	if (rc == 0) {
		free(out->temporary);
		out->temporary = NULL;
	} else {
		tool_say("%s cannot be written: %s", out->file, strerror(-rc));
	}
	tool_json_discard(out);
	return rc;
}

int tool_json_print(const struct tool_args *args, struct json_object *object)
{
	struct tool_json_out out;
	int rc = tool_json_open(&out, args->json_file);

	if (rc == 0)
		rc = tool_json_commit(&out, object);
	json_object_put(object);
	return rc == 0 ? TOOL_DONE : TOOL_FAILED;
}

int tool_finish_stdout(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	/* Nobody reads any more (`nsdk list | head -1`): nothing failed that anyone misses. */
	if (errno == EPIPE)
		return status;
	tool_say("the standard output cannot be written: %s", strerror(errno));
	return status == TOOL_DONE ? TOOL_FAILED : status;
}

const char *tool_format_bytes(double bytes, char *buf, size_t buf_bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit = 0;

	while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	if (bytes >= 100 || bytes == (double)(uint64_t)bytes)
		snprintf(buf, buf_bytes, "%.0f %s", bytes, units[unit]);
	else
		snprintf(buf, buf_bytes, "%.*f %s", bytes >= 10 ? 1 : 2, bytes, units[unit]);
	return buf;
}

const char *tool_format_count(double count, char *buf, size_t buf_bytes)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };
	unsigned unit = 0;

	while (count >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		count /= 1000;
		unit++;
	}
	if (unit == 0 || count >= 100)
		snprintf(buf, buf_bytes, "%.0f%s", count, units[unit]);
	else
		snprintf(buf, buf_bytes, "%.*f%s", count >= 10 ? 1 : 2, count, units[unit]);
	return buf;
}
