/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * How the library speaks: one sentence at a time, through a sink that the application may replace.
 *
 * The layer that detects a fault says the one sentence that lets the user mend it, and returns a
 * negative errno; the layers above only pass that on. The library never prints by any other way,
 * never exits and never aborts.
 */
#ifndef NSDK_LOG_H
#define NSDK_LOG_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How grave a message is. */
enum nsdk_log_level {
	NSDK_LOG_ERROR,  /**< a call fails because of this */
	NSDK_LOG_WARN,   /**< works, but not as the user may think */
	NSDK_LOG_NOTICE, /**< worth knowing once */
	NSDK_LOG_INFO,   /**< progress */
	NSDK_LOG_DEBUG,  /**< for those who mend the library */
};

/**
 * Takes one message.
 *
 * @param ctx      as given to nsdk_log_set_sink().
 * @param level    how grave it is.
 * @param room     the part of the library that speaks: "iommu", "nvme", …
 * @param message  one sentence without a newline; valid during the call only.
 * Threading: may be called from any thread, from several at once.
 */
typedef void (*nsdk_log_sink)(void *ctx, enum nsdk_log_level level, const char *room,
			      const char *message);

/**
 * Replace the sink. The default one writes "nsdk: MESSAGE" lines to standard error.
 *
 * @param sink  NULL brings back the default.
 * @param ctx   handed to every call of @p sink.
 * Threading: call while no other thread is inside the library.
 */
void nsdk_log_set_sink(nsdk_log_sink sink, void *ctx);

/** Messages above @p level are dropped before they are formatted; the default is NSDK_LOG_NOTICE. */
void nsdk_log_set_level(enum nsdk_log_level level);

/** Say one sentence. Never on the I/O path. Keeps errno. Threading: any thread. */
void nsdk_log(enum nsdk_log_level level, const char *room, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * Say one sentence at NSDK_LOG_ERROR and hand back the error, for `return nsdk_fail(-EINVAL, …)`.
 *
 * @return @p error, unchanged.
 */
int nsdk_fail(int error, const char *room, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif
#endif
