/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/coherence: a thread that has never run on any CPU but its own. */
#ifndef NSDK_COHERENCE_PINNED_H
#define NSDK_COHERENCE_PINNED_H

#include <pthread.h>

/*
 * Start @p run on @p cpu alone, with signals blocked: a handler of the application should run on a
 * thread that the application knows. Faults are left as they are, since they are the thread's own.
 * @return 0 or -errno, not logged.
 */
int nsdk_pinned_thread(pthread_t *thread, unsigned cpu, void *(*run)(void *), void *arg);

#endif
