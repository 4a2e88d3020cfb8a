/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that have said where they run.
 *
 * A store sits in a cache of the CPU that made it, and a thread can only be said to store on a
 * certain CPU when it is pinned there. So a thread registers, on itself, and what the kernel says of
 * its affinity at that moment is its set of CPUs. NSDK's lcores are registered without asking.
 *
 * Classes are never given up, even when the last thread of one has gone: buffers still name it, and
 * the lines that the thread left are in the caches of those CPUs as before.
 *
 * A thread whose affinity is changed registers again; its old class is then worth nothing, unless it
 * has the new CPUs too, for buffers that name it may be stored to from elsewhere now. So it is with one
 * that unregisters. Who forgets to say it is found when a set of classes is asked for, or at its end,
 * unless the affinity was put back before that.
 */
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <nsdk/log.h>

struct thread {
	pid_t tid;
	unsigned class;
	LIST_ENTRY(thread) link;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static nsdk_cpumask_t masks[NSDK_CPU_CLASSES]; /* of classes[1 … class_count - 1] */
static unsigned class_count = 1;
static uint64_t left; /* classes of which a thread has left its CPUs */
static LIST_HEAD(, thread) threads = LIST_HEAD_INITIALIZER(threads);

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* struct thread, so that the end of a thread is noticed */
static bool key_valid;
static _Thread_local unsigned my_class;

static int affinity_of(pid_t tid, nsdk_cpumask_t *out)
{
	memset(out, 0, sizeof(*out));
	return sched_getaffinity(tid, sizeof(*out), (cpu_set_t *)(void *)out) == 0 ? 0 : -errno;
}

static bool is_subset(const nsdk_cpumask_t *of, const nsdk_cpumask_t *mask)
{
	for (unsigned i = 0; i < NSDK_MAX_CPUS / 64; i++)
		if (mask->bits[i] & ~of->bits[i])
			return false;
	return true;
}

/*
 * Pages name a thread's class, and the thread stores elsewhere: that class says nothing any more of who
 * may hold their lines. The lock is held.
 */
static void leave_class(unsigned class)
{
	if (class != NSDK_CPU_CLASS_ANY)
		left |= (uint64_t)1 << class;
}

/* A registered thread ends. Was it where it said, to the last? */
static void forget(void *arg)
{
	struct thread *thread = arg;
	nsdk_cpumask_t now;

	pthread_mutex_lock(&lock);
	if (affinity_of(0, &now) != 0 || !is_subset(&masks[thread->class], &now))
		leave_class(thread->class);
	LIST_REMOVE(thread, link);
	pthread_mutex_unlock(&lock);
	free(thread);
}

static void make_key(void)
{
	key_valid = pthread_key_create(&key, forget) == 0;
}

/* The lock is held. */
static unsigned class_of(const nsdk_cpumask_t *mask)
{
	for (unsigned class = 1; class < class_count; class++)
		if (memcmp(&masks[class], mask, sizeof(*mask)) == 0)
			return class;
	if (class_count == NSDK_CPU_CLASSES)
		return NSDK_CPU_CLASS_ANY;
	masks[class_count] = *mask;
	return class_count++;
}

int nsdk_thread_register(void)
{
	struct thread *thread;
	nsdk_cpumask_t mask;
	int error;

	pthread_once(&key_once, make_key);
	error = affinity_of(0, &mask);
	if (error)
		return nsdk_fail(error, "env", "the affinity of a thread cannot be read (%s)",
				 strerror(-error));
	thread = key_valid ? pthread_getspecific(key) : NULL;
	if (!thread) {
		thread = calloc(1, sizeof(*thread));
		if (!thread || !key_valid || pthread_setspecific(key, thread) != 0) {
			free(thread);
			return nsdk_fail(-ENOMEM, "env", "no memory for registering a thread");
		}
		thread->tid = gettid();
		pthread_mutex_lock(&lock);
		LIST_INSERT_HEAD(&threads, thread, link);
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_lock(&lock);
	/* It owns buffers in the name of its old class, and goes on storing to them. */
	if (!is_subset(&masks[thread->class], &mask))
		leave_class(thread->class);
	thread->class = class_of(&mask);
	my_class = thread->class;
	pthread_mutex_unlock(&lock);
	return 0;
}

void nsdk_thread_unregister(void)
{
	struct thread *thread;

	pthread_once(&key_once, make_key);
	my_class = NSDK_CPU_CLASS_ANY;
	thread = key_valid ? pthread_getspecific(key) : NULL;
	if (!thread)
		return;
	pthread_setspecific(key, NULL);
	pthread_mutex_lock(&lock);
	leave_class(thread->class);
	pthread_mutex_unlock(&lock);
	forget(thread);
}

void nsdk_cpu_classes_believe(void)
{
	pthread_mutex_lock(&lock);
	left = 0;
	pthread_mutex_unlock(&lock);
}

unsigned nsdk_thread_cpu_class(void)
{
	return my_class;
}

/* Who left the CPUs that it was registered with? The lock is held. */
static void look_for_leavers(uint64_t classes)
{
	const struct thread *thread;
	nsdk_cpumask_t now;
	int error;

	LIST_FOREACH(thread, &threads, link) {
		if (!(classes >> thread->class & 1) || thread->class == NSDK_CPU_CLASS_ANY)
			continue;
		error = affinity_of(thread->tid, &now);
		/* ESRCH: it is ending, and runs nowhere else. */
		if (error == -ESRCH || (error == 0 && is_subset(&masks[thread->class], &now)))
			continue;
		left |= (uint64_t)1 << thread->class;
	}
}

int nsdk_cpu_classes_cpus(uint64_t classes, nsdk_cpumask_t *out)
{
	int error = 0;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&lock);
	if (classes == 0 || (classes & 1) || classes >> class_count) {
		error = -ENOENT;
	} else {
		look_for_leavers(classes);
		if (classes & left)
			error = -ENOENT;
	}
	for (unsigned class = 1; !error && class < class_count; class++)
		if (classes >> class & 1)
			for (unsigned i = 0; i < NSDK_MAX_CPUS / 64; i++)
				out->bits[i] |= masks[class].bits[i];
	pthread_mutex_unlock(&lock);
	return error;
}
