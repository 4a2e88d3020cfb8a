/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/bus: what a mapped BAR does when the kernel takes it away. The essay is in sigbus.c.
 */
#ifndef NSDK_SIGBUS_H
#define NSDK_SIGBUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Set in a range's flags by the first fault in it. */
#define NSDK_SIGBUS_FAULTED 1u

/*
 * From now on a fault in this range makes it read all ones, as far as it was touched, and sets the
 * flag. @p base is on a page's boundary; the range is whole pages. @p wants_handler: with a handler of
 * our own; else somebody calls nsdk_sigbus_handle() (nsdk/bus.h). @return 0 or -errno, logged.
 */
int nsdk_sigbus_add(void *base, size_t bytes, bool wants_handler, atomic_uint *flags);

/* Before it is unmapped, with the same words; nobody touches the range any more. */
void nsdk_sigbus_remove(void *base, size_t bytes);

#endif
