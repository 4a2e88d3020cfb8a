/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/log.h>

static struct {
	unsigned calls;
	void *ctx;
	enum nsdk_log_level level;
	char room[32];
	char message[2048];
} got;

static void sink(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
	got.calls++;
	got.ctx = ctx;
	got.level = level;
	snprintf(got.room, sizeof(got.room), "%s", room);
	snprintf(got.message, sizeof(got.message), "%s", message);
	/* A sink that fails inside, as one that writes to a full disk does. */
	errno = ENOSPC;
}

static void before(void)
{
	memset(&got, 0, sizeof(got));
	nsdk_log_set_sink(sink, &got);
	nsdk_log_set_level(NSDK_LOG_NOTICE);
}

static void after(void)
{
	nsdk_log_set_sink(NULL, NULL);
	nsdk_log_set_level(NSDK_LOG_NOTICE);
}

static void the_sink_gets_the_sentence(void)
{
	nsdk_log(NSDK_LOG_WARN, "iommu", "%d ranges, %s", 3, "all taken");
	NSDK_ASSERT_INT(got.calls, 1);
	CU_ASSERT_PTR_EQUAL(got.ctx, &got);
	NSDK_ASSERT_INT(got.level, NSDK_LOG_WARN);
	NSDK_ASSERT_TEXT(got.room, "iommu");
	NSDK_ASSERT_TEXT(got.message, "3 ranges, all taken");
}

static void fail_hands_back_the_error(void)
{
	NSDK_ASSERT_INT(nsdk_fail(-ENODEV, "pci", "there is no %s", "such device"), -ENODEV);
	NSDK_ASSERT_INT(got.calls, 1);
	NSDK_ASSERT_INT(got.level, NSDK_LOG_ERROR);
	NSDK_ASSERT_TEXT(got.message, "there is no such device");
}

static void errno_is_kept(void)
{
	errno = EXDEV;
	nsdk_log(NSDK_LOG_ERROR, "mem", "x");
	NSDK_ASSERT_INT(errno, EXDEV);
	nsdk_fail(-1, "mem", "x");
	NSDK_ASSERT_INT(errno, EXDEV);
	NSDK_ASSERT_INT(got.calls, 2);
}

static void levels_above_are_dropped(void)
{
	nsdk_log(NSDK_LOG_INFO, "mem", "not this");
	NSDK_ASSERT_INT(got.calls, 0);
	nsdk_log(NSDK_LOG_NOTICE, "mem", "this");
	NSDK_ASSERT_INT(got.calls, 1);
	nsdk_log_set_level(NSDK_LOG_DEBUG);
	nsdk_log(NSDK_LOG_DEBUG, "mem", "this too");
	NSDK_ASSERT_INT(got.calls, 2);
	nsdk_log_set_level(NSDK_LOG_ERROR);
	nsdk_log(NSDK_LOG_WARN, "mem", "nor this");
	NSDK_ASSERT_INT(got.calls, 2);
}

static void a_long_sentence_is_cut_visibly(void)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	nsdk_log(NSDK_LOG_ERROR, "mem", "%s", text);
	NSDK_ASSERT_INT(strlen(got.message), 1023);
	NSDK_ASSERT_TEXT(got.message + 1019, "x...");
}

static void the_default_sink_writes_a_line_to_stderr(void)
{
	char line[128] = "";
	int ends[2], saved;
	ssize_t length;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	saved = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	nsdk_log_set_sink(NULL, &got);
	nsdk_log(NSDK_LOG_ERROR, "mem", "out of %s", "pages");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	length = read(ends[0], line, sizeof(line) - 1);
	close(ends[0]);
	NSDK_ASSERT_INT(length, strlen("nsdk: out of pages\n"));
	NSDK_ASSERT_TEXT(line, "nsdk: out of pages\n");
	NSDK_ASSERT_INT(got.calls, 0);
}

static atomic_uint heard;

static void counting_sink(void *ctx, enum nsdk_log_level level, const char *room,
			  const char *message)
{
	/* Each thread's sentence must come whole. */
	if (strlen(message) == 100 && strspn(message, (char[]){ message[0], '\0' }) == 100)
		atomic_fetch_add(&heard, 1);
}

static void *talk(void *arg)
{
	char text[101];

	memset(text, *(char *)arg, 100);
	text[100] = '\0';
	for (int i = 0; i < 1000; i++) {
		nsdk_log(NSDK_LOG_WARN, "mem", "%s", text);
		nsdk_log_set_level(NSDK_LOG_NOTICE);
	}
	return NULL;
}

static void many_threads_may_speak(void)
{
	pthread_t threads[4];
	char letters[4] = "abcd";

	nsdk_log_set_sink(counting_sink, NULL);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, talk, &letters[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	NSDK_ASSERT_INT(atomic_load(&heard), 4000);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(the_sink_gets_the_sentence),
	NSDK_UNIT_TEST(fail_hands_back_the_error),
	NSDK_UNIT_TEST(errno_is_kept),
	NSDK_UNIT_TEST(levels_above_are_dropped),
	NSDK_UNIT_TEST(a_long_sentence_is_cut_visibly),
	NSDK_UNIT_TEST(the_default_sink_writes_a_line_to_stderr),
	NSDK_UNIT_TEST(many_threads_may_speak),
};

NSDK_UNIT_MAIN("lib/env/log", tests, .before = before, .after = after)
