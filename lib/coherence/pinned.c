/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads that are pinned before they run: the gate's (gate.c) and the flush lcores' (crew.c). */
#include "pinned.h"

#include <sched.h>
#include <signal.h>

#include <nsdk/env.h>

int nsdk_pinned_thread(pthread_t *thread, unsigned cpu, void *(*run)(void *), void *arg)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	nsdk_cpumask_t only = { { 0 } };
	sigset_t blocked, before;
	pthread_attr_t attr;
	int rc;

	nsdk_cpumask_set(&only, cpu);
	rc = -pthread_attr_init(&attr);
	if (rc != 0)
		return rc;
	/*
	 * Not by the thread itself: it could have run elsewhere before. A virtual CPU must never have
	 * been loaded anywhere else, a line never have been dirtied there. Both masks are arrays of words.
	 */
	rc = -pthread_attr_setaffinity_np(&attr, sizeof(only), (const cpu_set_t *)(const void *)&only);
	if (rc != 0)
		goto destroy_attr;
	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&blocked, own[i]);
	/* A thread starts with its maker's mask. */
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	rc = -pthread_create(thread, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);

destroy_attr:
	pthread_attr_destroy(&attr);
	return rc;
}
