/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole tool with a driver that forgets to write back or to invalidate: `nsdk perf --verify` on
 * the emulated controller must notice, or it would notice nothing on hardware either.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include <nsdk/coherence.h>

#include "app/nsdk/tool.h"
#include "nsdk_unit.h"

/* What is forgotten, of buffers of at least so many bytes: queue entries are smaller than data. */
#define DATA_BYTES 512u

static enum {
	NOTHING,
	WRITE_BACK_OF_DATA,
	INVALIDATE_OF_DATA,
} forgotten;

void __real_nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va,
					size_t bytes, enum nsdk_dma_dir dir);
void __wrap_nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va,
					size_t bytes, enum nsdk_dma_dir dir);
void __wrap_nsdk_flush_batch_for_device(struct nsdk_flush_batch *batch, const void *va,
					size_t bytes, enum nsdk_dma_dir dir)
{
	if (forgotten == WRITE_BACK_OF_DATA && bytes >= DATA_BYTES)
		return;
	__real_nsdk_flush_batch_for_device(batch, va, bytes, dir);
}

void __real_nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				     enum nsdk_dma_dir dir);
void __wrap_nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				     enum nsdk_dma_dir dir);
void __wrap_nsdk_flush_batch_for_cpu(struct nsdk_flush_batch *batch, const void *va, size_t bytes,
				     enum nsdk_dma_dir dir)
{
	if (forgotten == INVALIDATE_OF_DATA && bytes >= DATA_BYTES)
		return;
	__real_nsdk_flush_batch_for_cpu(batch, va, bytes, dir);
}

/* The tool in a process of its own; its result, or NULL. */
static struct json_object *run(const char *rw, int *status)
{
	char option[32];
	char *argv[] = { (char *)(uintptr_t)"nsdk", (char *)(uintptr_t)"perf",
			 (char *)(uintptr_t)"emu:nvme,size=1m,nosnoop=all,seed=7", option,
			 (char *)(uintptr_t)"--policy=nosnoop", (char *)(uintptr_t)"--verify",
			 (char *)(uintptr_t)"--iodepth=4", (char *)(uintptr_t)"--json", NULL };
	static char text[1 << 20];
	int fd = memfd_create("result", MFD_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ssize_t n;
	pid_t pid;

	snprintf(option, sizeof(option), "--rw=%s", rw);
	fflush(stdout);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		tool_log_start();
		_exit(tool_finish_stdout(tool_main(sizeof(argv) / sizeof(argv[0]) - 1, argv)));
	}
	CU_ASSERT_FATAL(waitpid(pid, status, 0) == pid);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	close(null);
	return json_tokener_parse(text);
}

static int64_t number(struct json_object *object, const char *a, const char *b)
{
	object = json_object_object_get(object, a);
	if (b != NULL)
		object = json_object_object_get(object, b);
	return object == NULL ? -1 : json_object_get_int64(object);
}

static void without_sabotage_all_is_well(void)
{
	struct json_object *result;
	int status;

	forgotten = NOTHING;
	result = run("randrw", &status);
	NSDK_ASSERT_INT(status, 0);
	NSDK_ASSERT_INT(number(result, "verify_errors", NULL), 0);
	NSDK_ASSERT_INT(number(result, "coherence", "violations"), 0);
	NSDK_ASSERT_INT(number(result, "ios", NULL), 256);
	json_object_put(result);
}

static void assert_noticed(const char *rw)
{
	struct json_object *result;
	int status;

	result = run(rw, &status);
	CU_ASSERT(WIFEXITED(status));
	NSDK_ASSERT_INT(WEXITSTATUS(status), TOOL_FAILED);
	NSDK_ASSERT_INT(number(result, "errors", NULL), 0);
	/* By the data itself, and by the model, which knows what was missing. */
	CU_ASSERT(number(result, "verify_errors", NULL) > 0);
	CU_ASSERT(number(result, "coherence", "violations") > 0);
	json_object_put(result);
}

static void a_forgotten_write_back_is_noticed(void)
{
	forgotten = WRITE_BACK_OF_DATA;
	assert_noticed("write");
	assert_noticed("randrw");
}

static void a_forgotten_invalidate_is_noticed(void)
{
	forgotten = INVALIDATE_OF_DATA;
	assert_noticed("read");
	assert_noticed("randrw");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(without_sabotage_all_is_well),
	NSDK_UNIT_TEST(a_forgotten_write_back_is_noticed),
	NSDK_UNIT_TEST(a_forgotten_invalidate_is_noticed),
};

NSDK_UNIT_MAIN("app/nsdk/perf_sabotage", tests)
