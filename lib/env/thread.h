/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to NSDK: which CPUs a thread's stores may sit in.
 *
 * A CPU class is a set of CPUs that at least one thread was registered with. There are few: one for
 * each pinned lcore, one for the affinity of all the others. So what may have stored to a buffer fits
 * into one word, a bit for each class, and the union of many is an OR.
 */
#ifndef NSDK_ENV_THREAD_H
#define NSDK_ENV_THREAD_H

#include <nsdk/env.h>

/* Classes are 1 … NSDK_CPU_CLASSES - 1. */
#define NSDK_CPU_CLASSES 48u
/* The class of a thread that is not registered, or came too late to get one: any CPU. */
#define NSDK_CPU_CLASS_ANY 0u

/* The calling thread's class. No lock, no system call. */
unsigned nsdk_thread_cpu_class(void);

/*
 * All CPUs of a set of classes, class n being bit n.
 *
 * Asks the kernel whether every registered thread is still confined to the CPUs it was registered
 * with; the class of one that is not counts as ANY from then on, for what it stored meanwhile.
 *
 * @return 0; -ENOENT: the set is empty, has ANY in it, or a thread has left its CPUs: not known.
 * Threading: any; takes a lock and system calls, so not for every batch.
 */
int nsdk_cpu_classes_cpus(uint64_t classes, nsdk_cpumask_t *out);

/* For tests: no thread has ever left its CPUs. */
void nsdk_cpu_classes_believe(void);

#endif
