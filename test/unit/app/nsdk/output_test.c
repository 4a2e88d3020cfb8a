/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "app/nsdk/tool.h"
#include "nsdk_unit.h"

static char folder[] = "/tmp/nsdk-output-test.XXXXXX";
static char path[64], fifo[64];
static unsigned said;

void __wrap_tool_say(const char *format, ...);
void __wrap_tool_say(const char *format, ...)
{
	said++;
}

/* A disk that is full from the n-th byte on. */
static size_t room = SIZE_MAX;

ssize_t __real_write(int fd, const void *buf, size_t bytes);
ssize_t __wrap_write(int fd, const void *buf, size_t bytes);
ssize_t __wrap_write(int fd, const void *buf, size_t bytes)
{
	if (room == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (bytes > room)
		bytes = room;
	if (room != SIZE_MAX)
		room -= bytes;
	return __real_write(fd, buf, bytes);
}

static int start(void)
{
	if (mkdtemp(folder) == NULL)
		return -errno;
	snprintf(path, sizeof(path), "%s/result.json", folder);
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	return 0;
}

static void before(void)
{
	unlink(path);
	unlink(fifo);
	said = 0;
	room = SIZE_MAX;
}

/* rmdir() fails when a temporary file is left. */
static void stop(void)
{
	before();
	rmdir(folder);
}

static unsigned files(void)
{
	char command[128];
	unsigned count = 99;
	FILE *pipe;

	snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
	pipe = popen(command, "r");
	if (pipe == NULL || fscanf(pipe, "%u", &count) != 1)
		count = 99;
	if (pipe != NULL)
		pclose(pipe);
	return count;
}

static void content(const char *file, char *buf, size_t buf_bytes)
{
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, buf_bytes - 1);

	buf[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT(__real_write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void a_result_appears_whole(void)
{
	struct json_object *object = json_tokener_parse("{\"a\": 1}");
	struct tool_json_out out;
	struct stat st;
	mode_t mask = umask(022);
	char text[64];

	NSDK_ASSERT_INT(tool_json_open(&out, path), 0);
	/* Not before it is there. */
	CU_ASSERT(access(path, F_OK) != 0);
	NSDK_ASSERT_INT(tool_json_commit(&out, object), 0);
	content(path, text, sizeof(text));
	NSDK_ASSERT_TEXT(text, "{\n  \"a\": 1\n}\n");
	CU_ASSERT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0644);
	NSDK_ASSERT_INT(files(), 1);
	tool_json_discard(&out);
	NSDK_ASSERT_INT(files(), 1);
	NSDK_ASSERT_INT(said, 0);
	json_object_put(object);
	umask(mask);
}

static void without_a_result_nothing_appears(void)
{
	struct tool_json_out out;
	char text[64];

	NSDK_ASSERT_INT(tool_json_open(&out, path), 0);
	tool_json_discard(&out);
	NSDK_ASSERT_INT(files(), 0);
	put(path, "before");
	NSDK_ASSERT_INT(tool_json_open(&out, path), 0);
	tool_json_discard(&out);
	content(path, text, sizeof(text));
	NSDK_ASSERT_TEXT(text, "before");
	NSDK_ASSERT_INT(files(), 1);
}

static void a_full_disk_leaves_the_old_result(void)
{
	struct json_object *object = json_tokener_parse("{\"a\": [1, 2, 3, 4, 5, 6, 7, 8]}");
	struct tool_json_out out;
	char text[64];

	for (size_t n = 0; n < 20; n++) {
		put(path, "before");
		said = 0;
		NSDK_ASSERT_INT(tool_json_open(&out, path), 0);
		room = n;
		NSDK_ASSERT_INT(tool_json_commit(&out, object), -ENOSPC);
		room = SIZE_MAX;
		NSDK_ASSERT_INT(said, 1);
		content(path, text, sizeof(text));
		NSDK_ASSERT_TEXT(text, "before");
		NSDK_ASSERT_INT(files(), 1);
	}
	json_object_put(object);
}

static void a_wrong_place_is_found_at_once(void)
{
	struct tool_json_out out;

	NSDK_ASSERT_INT(tool_json_open(&out, "/nonexistent/result.json"), -ENOENT);
	NSDK_ASSERT_INT(said, 1);
	tool_json_discard(&out);
}

static void a_pipe_is_written_to_not_replaced(void)
{
	struct json_object *object = json_tokener_parse("[7]");
	struct tool_json_out out;
	struct stat st;
	char text[64] = "";
	int reader;

	CU_ASSERT_EQUAL_FATAL(mkfifo(fifo, 0600), 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	CU_ASSERT_FATAL(reader >= 0);
	NSDK_ASSERT_INT(tool_json_open(&out, fifo), 0);
	NSDK_ASSERT_INT(tool_json_commit(&out, object), 0);
	CU_ASSERT(read(reader, text, sizeof(text) - 1) > 0);
	NSDK_ASSERT_TEXT(text, "[\n  7\n]\n");
	CU_ASSERT(stat(fifo, &st) == 0 && S_ISFIFO(st.st_mode));
	close(reader);
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_result_appears_whole),
	NSDK_UNIT_TEST(without_a_result_nothing_appears),
	NSDK_UNIT_TEST(a_full_disk_leaves_the_old_result),
	NSDK_UNIT_TEST(a_wrong_place_is_found_at_once),
	NSDK_UNIT_TEST(a_pipe_is_written_to_not_replaced),
};

NSDK_UNIT_MAIN("app/nsdk/output", tests, .start = start, .stop = stop, .before = before)
