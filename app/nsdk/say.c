/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the tool speaks. One failure, one sentence: the layer that found it says it, whether that is
 * the library (through the log sink below) or the tool, and nobody adds to it.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/log.h>

#include "tool.h"

static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;
static char status_line[256];
static enum nsdk_log_level worst = NSDK_LOG_DEBUG; /* of all that was said */
static bool capturing;
static char captured[512];

static void status_clear(void)
{
	if (status_line[0] != '\0')
		fputs("\r\033[K", stderr);
}

static void status_draw(void)
{
	if (status_line[0] != '\0')
		fprintf(stderr, "\r%s\033[K", status_line);
	fflush(stderr);
}

static void say_line(const char *prefix, const char *sentence, const char *suffix,
		     enum nsdk_log_level level)
{
	pthread_mutex_lock(&say_lock);
	if (level < worst)
		worst = level;
	status_clear();
	fprintf(stderr, "%s: %s%s\n", prefix, sentence, suffix);
	status_draw();
	pthread_mutex_unlock(&say_lock);
}

void tool_say(const char *format, ...)
{
	char sentence[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	say_line("nsdk", sentence, "", NSDK_LOG_ERROR);
}

void tool_say_line(const char *text)
{
	pthread_mutex_lock(&say_lock);
	status_clear();
	fprintf(stderr, "%s\n", text);
	status_draw();
	pthread_mutex_unlock(&say_lock);
}

int tool_usage(const struct tool_command *command, const char *format, ...)
{
	char sentence[1024], hint[96];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	if (command != NULL)
		snprintf(hint, sizeof(hint), " (see 'nsdk %s --help')", command->name);
	else
		snprintf(hint, sizeof(hint), " (see 'nsdk --help')");
	say_line("nsdk", sentence, hint, NSDK_LOG_ERROR);
	return TOOL_USAGE;
}

void tool_status_line(const char *text)
{
	pthread_mutex_lock(&say_lock);
	if (text == NULL) {
		status_clear();
		status_line[0] = '\0';
		fflush(stderr);
	} else {
		snprintf(status_line, sizeof(status_line), "%s", text);
		status_draw();
	}
	pthread_mutex_unlock(&say_lock);
}

static void log_sink(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
	(void)ctx;
	if (capturing) {
		pthread_mutex_lock(&say_lock);
		if (level == NSDK_LOG_ERROR)
			snprintf(captured, sizeof(captured), "%s", message);
		pthread_mutex_unlock(&say_lock);
		return;
	}
	if (level >= NSDK_LOG_INFO) {
		/* For those who asked to see the works: which room, too. */
		char prefix[64];

		snprintf(prefix, sizeof(prefix), "nsdk: %s", room);
		say_line(prefix, message, "", level);
		return;
	}
	say_line("nsdk", message, "", level);
}

bool tool_said(enum nsdk_log_level level)
{
	bool said;

	pthread_mutex_lock(&say_lock);
	said = worst <= level;
	pthread_mutex_unlock(&say_lock);
	return said;
}

void tool_said_forget(void)
{
	pthread_mutex_lock(&say_lock);
	worst = NSDK_LOG_DEBUG;
	pthread_mutex_unlock(&say_lock);
}

void tool_log_start(void)
{
	tool_said_forget();
	nsdk_log_set_sink(log_sink, NULL);
}

void tool_log_verbose(void)
{
	nsdk_log_set_level(NSDK_LOG_DEBUG);
}

void tool_log_capture_begin(void)
{
	captured[0] = '\0';
	capturing = true;
}

void tool_log_capture_end(char *out, size_t out_bytes)
{
	capturing = false;
	if (out != NULL)
		snprintf(out, out_bytes, "%s", captured);
}
