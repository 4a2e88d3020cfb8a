/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the static analyzer only (mk/lint), which looks at one file at a time. It would otherwise
 * follow paths on which nsdk_fail(-EINVAL, ...) returns success, or -errno is 0 after a failed call.
 */
#ifndef NSDK_ANALYZER_H
#define NSDK_ANALYZER_H

#include <nsdk/log.h>

#include <errno.h>

static inline int *nsdk_analyzer_errno(void)
{
	int *error = __errno_location();

	if (*error <= 0)
		__builtin_unreachable();
	return error;
}

#undef errno
#define errno (*nsdk_analyzer_errno())

#define nsdk_fail(error, ...) ((void)(nsdk_fail)((error), __VA_ARGS__), (error))

#endif
