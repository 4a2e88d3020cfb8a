/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the static analyzer only (mk/lint), which looks at one file at a time: it would otherwise
 * follow paths on which nsdk_fail(-EINVAL, ...) returns success.
 */
#ifndef NSDK_ANALYZER_H
#define NSDK_ANALYZER_H

#include <nsdk/log.h>

#define nsdk_fail(error, ...) ((void)(nsdk_fail)((error), __VA_ARGS__), (error))

#endif
