/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole tool with a driver that forgets to write back or to invalidate: `nsdk perf --verify` on
 * the emulated controller must notice, or it would notice nothing on hardware either; and
 * --coherence-check must name what was forgotten.
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

#define WORDS_MAX 12

/* The tool in a process of its own; what it printed. */
static const char *run_words(int *status, const char *const *words)
{
	char *argv[WORDS_MAX + 1] = { NULL };
	static char text[1 << 20];
	int argc = 0;
	int fd = memfd_create("result", MFD_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ssize_t n;
	pid_t pid;

	for (; argc < WORDS_MAX && words[argc] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	fflush(stdout);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		tool_log_start();
		_exit(tool_finish_stdout(tool_main(argc, argv)));
	}
	CU_ASSERT_FATAL(waitpid(pid, status, 0) == pid);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	close(null);
	return text;
}

#define run_with(status, ...)                                                                     \
	run_words(status, (const char *const[]){ "nsdk", "perf", __VA_ARGS__, NULL })

/* Its result, or NULL. */
static struct json_object *run(const char *rw, int *status)
{
	char option[32];

	snprintf(option, sizeof(option), "--rw=%s", rw);
	return json_tokener_parse(run_with(status, "emu:nvme,size=1m,nosnoop=all,seed=7", option,
					   "--policy=nosnoop", "--verify", "--iodepth=4", "--json"));
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

/* --coherence-check: what was forgotten is named, in the table and in JSON alike. */
static void a_coherence_check_names_what_was_forgotten(void)
{
	static const struct {
		int what;
		const char *rw, *kind, *missing;
	} cases[] = {
		{ WRITE_BACK_OF_DATA, "--rw=write", "stale_device_read",
		  "nsdk_sync_for_device(TO_DEVICE) before the doorbell" },
		{ INVALIDATE_OF_DATA, "--rw=read", "stale_cpu_read",
		  "nsdk_sync_for_cpu(FROM_DEVICE) after the completion" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *result, *model, *kept, *violation;
		const char *text;
		char *table;
		int status;

		forgotten = cases[i].what;
		text = run_with(&status, "emu:nvme,size=1m", cases[i].rw, "--coherence-check=7",
				"--json");
		NSDK_ASSERT_INT(WEXITSTATUS(status), TOOL_FAILED);
		result = json_tokener_parse(text);
		model = json_object_object_get(result, "cache_model");
		CU_ASSERT_PTR_NOT_NULL_FATAL(model);
		NSDK_ASSERT_INT(number(model, "seed", NULL), 7);
		CU_ASSERT(number(model, "violations", NULL) > 0);
		CU_ASSERT(number(model, "violations_by_kind", cases[i].kind) > 0);
		kept = json_object_object_get(model, "kept");
		violation = json_object_array_get_idx(kept, 0);
		NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(violation, "missing")),
				 cases[i].missing);
		CU_ASSERT_PTR_NOT_NULL(strstr(json_object_get_string(json_object_object_get(
						      violation, "owner")), "emu:nvme"));
		/* The older key has the same. */
		NSDK_ASSERT_INT(json_object_array_length(json_object_object_get(result, "violations")),
				json_object_array_length(kept));
		json_object_put(result);

		text = run_with(&status, "emu:nvme,size=1m", cases[i].rw, "--coherence-check=7");
		NSDK_ASSERT_INT(WEXITSTATUS(status), TOOL_FAILED);
		table = strstr(text, "cache model, adversary's seed 7\n");
		CU_ASSERT_PTR_NOT_NULL_FATAL(table);
		CU_ASSERT_PTR_NOT_NULL(strstr(table, cases[i].missing));
		CU_ASSERT_PTR_NULL(strstr(table, "violations  none"));
	}
}

static void a_coherence_check_of_a_good_driver_finds_nothing(void)
{
	struct json_object *result, *model;
	int status;

	forgotten = NOTHING;
	result = json_tokener_parse(run_with(&status, "emu:nvme,size=1m", "--rw=randrw",
					     "--coherence-check=7", "--iodepth=4", "--json"));
	NSDK_ASSERT_INT(status, 0);
	model = json_object_object_get(result, "cache_model");
	CU_ASSERT_PTR_NOT_NULL_FATAL(model);
	NSDK_ASSERT_INT(number(model, "violations", NULL), 0);
	CU_ASSERT(number(model, "watched", "device_reads") > 256);
	CU_ASSERT(number(model, "watched", "device_writes") > 256);
	CU_ASSERT(number(model, "watched", "evictions") > 0);
	NSDK_ASSERT_INT(json_object_array_length(json_object_object_get(model, "kept")), 0);
	json_object_put(result);
	CU_ASSERT_PTR_NOT_NULL(strstr(run_with(&status, "emu:nvme,size=1m", "--rw=randrw",
					       "--coherence-check=7"), "\n  violations  none\n"));
	NSDK_ASSERT_INT(status, 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_coherence_check_names_what_was_forgotten),
	NSDK_UNIT_TEST(a_coherence_check_of_a_good_driver_finds_nothing),
	NSDK_UNIT_TEST(without_sabotage_all_is_well),
	NSDK_UNIT_TEST(a_forgotten_write_back_is_noticed),
	NSDK_UNIT_TEST(a_forgotten_invalidate_is_noticed),
};

NSDK_UNIT_MAIN("app/nsdk/perf_sabotage", tests)
