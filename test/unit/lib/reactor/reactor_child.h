/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of reactors, which need the real EAL: it starts once in a process, so every test runs in a
 * child of its own.
 */
#ifndef REACTOR_CHILD_H
#define REACTOR_CHILD_H

#include "nsdk_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nsdk/env.h>
#include <nsdk/reactor.h>

/* In a child CUnit's records are lost, so what is wrong is said and ends the child. */
#define CHECK(condition)                                                                            \
	do {                                                                                        \
		if (!(condition)) {                                                                 \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
			printf("# the last in the log: %s\n", nsdk_unit_log_last());                 \
			fflush(stdout);                                                             \
			_exit(1);                                                                   \
		}                                                                                   \
	} while (0)

/*
 * For the thread sanitizer. Inside DPDK's relaxed-tail ring the senders write position and count as one
 * word of 64 bits, and others read half of it. CPUs know what that means, the sanitizer does not, so
 * it takes the copies into and out of the slots for races. They are left out; what the messages
 * point to is looked at, since the reactor orders that once more by itself.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:^__rte_ring_rts_head_wait\n"
	       "race:^__rte_ring_enqueue_elems\n"
	       "race:^__rte_ring_dequeue_elems\n";
}

static unsigned lcores;

/* With as many lcores as the test wants; -1: without EAL. */
static void in_child(int cpus, void (*run)(void))
{
	struct nsdk_env_opts opts = { .opts_bytes = sizeof(opts), .no_huge = true };
	nsdk_cpumask_t mask;
	int status = 0, cpu = -1;
	char list[64];
	size_t length = 0;
	pid_t child;

	nsdk_cpumask_get_affinity(&mask);
	if ((int)nsdk_cpumask_weight(&mask) < cpus)
		nsdk_skip("%d CPUs are needed", cpus);
	for (int i = 0; i < cpus; i++) {
		cpu = nsdk_cpumask_next(&mask, (unsigned)(cpu + 1));
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%d", i ? "," : "", cpu);
	}
	opts.cpus = list;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		/* A loop that does not end is a failure, not a wait; the slowest sanitizer is none. */
		alarm(100);
		nsdk_unit_log_start();
		if (cpus > 0) {
			CHECK(nsdk_env_init(&opts) == 0);
			CHECK(nsdk_reactors_create() == 0);
			lcores = nsdk_env_lcore_count();
		}
		run();
		if (cpus > 0) {
			nsdk_reactors_destroy();
			nsdk_env_fini();
		}
		CHECK(nsdk_unit_log_count() == 0);
		fflush(stdout);
		_exit(0);
	}
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		printf("# the child died of signal %d\n", WTERMSIG(status));
	NSDK_ASSERT_INT(status, 0);
}

#endif
