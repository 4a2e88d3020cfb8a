/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log: formats one sentence and hands it to the sink.
 *
 * There is one sink and one level for the process, because EAL's log, which goes through here too,
 * is one for the process. The sink is set while nothing else runs, so reading it takes no lock; the
 * level may be changed at any time, so it is atomic.
 */
#include <nsdk/log.h>

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* A sentence that is longer is cut, and ends in "..." to show it. */
#define MESSAGE_BYTES 1024

static void sink_stderr(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
	/* One call: the C library locks the stream, so that lines of several threads stay whole. */
	fprintf(stderr, "nsdk: %s\n", message);
}

static nsdk_log_sink current_sink = sink_stderr;
static void *current_ctx;
static atomic_int current_level = NSDK_LOG_NOTICE;

void nsdk_log_set_sink(nsdk_log_sink sink, void *ctx)
{
	current_sink = sink ? sink : sink_stderr;
	current_ctx = sink ? ctx : NULL;
}

void nsdk_log_set_level(enum nsdk_log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

__attribute__((format(printf, 3, 0)))
static void log_va(enum nsdk_log_level level, const char *room, const char *format, va_list args)
{
	static const char cut[] = "...";
	char message[MESSAGE_BYTES];
	int saved_errno = errno;
	int length;

	if ((int)level > atomic_load_explicit(&current_level, memory_order_relaxed))
		return;
	length = vsnprintf(message, sizeof(message), format, args);
	if (length < 0)
		/* Not to be formatted; the bare format still says what it was about. */
		snprintf(message, sizeof(message), "%s", format);
	else if ((size_t)length >= sizeof(message))
		memcpy(message + sizeof(message) - sizeof(cut), cut, sizeof(cut));
	current_sink(current_ctx, level, room ? room : "", message);
	errno = saved_errno;
}

void nsdk_log(enum nsdk_log_level level, const char *room, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_va(level, room, format, args);
	va_end(args);
}

int nsdk_fail(int error, const char *room, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_va(NSDK_LOG_ERROR, room, format, args);
	va_end(args);
	return error;
}
