/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "lib/env/thread.h"

static cpu_set_t whole;

static void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void unpin(void)
{
	CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(whole), &whole), 0);
}

/* The n-th CPU we may run on, or -1. */
static int nth_cpu(unsigned n)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((size_t)cpu, &whole) && n-- == 0)
			return cpu;
	return -1;
}

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(whole), &whole), 0);
	nsdk_cpu_classes_believe();
}

static uint64_t bit(unsigned class)
{
	return (uint64_t)1 << class;
}

static void nobody_is_known_unasked(void)
{
	nsdk_cpumask_t cpus;

	NSDK_ASSERT_INT(nsdk_thread_cpu_class(), NSDK_CPU_CLASS_ANY);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(NSDK_CPU_CLASS_ANY), &cpus), -ENOENT);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(0, &cpus), -ENOENT);
	/* A class that nobody has. */
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(NSDK_CPU_CLASSES - 1), &cpus), -ENOENT);
}

static void a_pinned_thread_is_its_cpu(void)
{
	nsdk_cpumask_t cpus;
	unsigned class;
	int cpu;

	before();
	cpu = nth_cpu(0);
	pin_to((unsigned)cpu);
	NSDK_ASSERT_INT(nsdk_thread_register(), 0);
	class = nsdk_thread_cpu_class();
	CU_ASSERT_NOT_EQUAL(class, NSDK_CPU_CLASS_ANY);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(class), &cpus), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&cpus), 1);
	CU_ASSERT(nsdk_cpumask_test(&cpus, (unsigned)cpu));
	/* Together with somebody unknown it is not known. */
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(class) | 1, &cpus), -ENOENT);
	/* Again: the same class. */
	NSDK_ASSERT_INT(nsdk_thread_register(), 0);
	NSDK_ASSERT_INT(nsdk_thread_cpu_class(), class);
	nsdk_thread_unregister();
	NSDK_ASSERT_INT(nsdk_thread_cpu_class(), NSDK_CPU_CLASS_ANY);
	/* It may go on storing to what it stored to in the name of its class, from anywhere. */
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(class), &cpus), -ENOENT);
	unpin();
}

static void an_unpinned_thread_is_its_whole_affinity(void)
{
	nsdk_cpumask_t cpus;

	before();
	NSDK_ASSERT_INT(nsdk_thread_register(), 0);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(nsdk_thread_cpu_class()), &cpus), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&cpus), (unsigned)CPU_COUNT(&whole));
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		NSDK_ASSERT_INT(nsdk_cpumask_test(&cpus, cpu), CPU_ISSET(cpu, &whole) != 0);
	nsdk_thread_unregister();
}

static void two_classes_are_a_union(void)
{
	nsdk_cpumask_t cpus;
	uint64_t classes = 0;

	before();
	if (nth_cpu(1) < 0)
		nsdk_skip("there is one CPU only");
	for (unsigned i = 0; i < 2; i++) {
		pin_to((unsigned)nth_cpu(i));
		NSDK_ASSERT_INT(nsdk_thread_register(), 0);
		classes |= bit(nsdk_thread_cpu_class());
		/* As if they were two threads. */
		nsdk_cpu_classes_believe();
	}
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(classes, &cpus), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&cpus), 2);
	nsdk_thread_unregister();
	unpin();
}

static void who_registers_again_elsewhere_has_left(void)
{
	nsdk_cpumask_t cpus;
	unsigned wide, narrow;

	before();
	if (nth_cpu(1) < 0)
		nsdk_skip("there is one CPU only");
	NSDK_ASSERT_INT(nsdk_thread_register(), 0);
	wide = nsdk_thread_cpu_class();
	/* Fewer CPUs: what was said before holds as well. */
	pin_to((unsigned)nth_cpu(0));
	NSDK_ASSERT_INT(nsdk_thread_register(), 0);
	narrow = nsdk_thread_cpu_class();
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(wide), &cpus), 0);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(narrow), &cpus), 0);
	/* Another CPU: buffers of its first class are stored to from there now. */
	pin_to((unsigned)nth_cpu(1));
	NSDK_ASSERT_INT(nsdk_thread_register(), 0);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(narrow), &cpus), -ENOENT);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(nsdk_thread_cpu_class()), &cpus), 0);
	nsdk_thread_unregister();
	unpin();
}

struct other {
	pthread_t thread;
	sem_t registered, go;
	unsigned class;
	bool leaves;
	bool leaves_at_the_end;
};

static void *other_main(void *arg)
{
	struct other *other = arg;

	/* A set of its own, so that no other test's class is spoilt: all CPUs but the first. */
	cpu_set_t set = whole;

	CPU_CLR((size_t)nth_cpu(0), &set);
	sched_setaffinity(0, sizeof(set), &set);
	if (nsdk_thread_register() == 0)
		other->class = nsdk_thread_cpu_class();
	if (other->leaves)
		sched_setaffinity(0, sizeof(whole), &whole);
	sem_post(&other->registered);
	sem_wait(&other->go);
	if (other->leaves_at_the_end)
		sched_setaffinity(0, sizeof(whole), &whole);
	return NULL;
}

static void start(struct other *other, bool leaves)
{
	sem_init(&other->registered, 0, 0);
	sem_init(&other->go, 0, 0);
	other->class = NSDK_CPU_CLASS_ANY;
	other->leaves = leaves;
	other->leaves_at_the_end = false;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&other->thread, NULL, other_main, other), 0);
	sem_wait(&other->registered);
}

static void end(struct other *other)
{
	sem_post(&other->go);
	pthread_join(other->thread, NULL);
	sem_destroy(&other->registered);
	sem_destroy(&other->go);
}

static void who_leaves_its_cpus_is_noticed(void)
{
	struct other other;
	nsdk_cpumask_t cpus;

	before();
	if (nth_cpu(1) < 0)
		nsdk_skip("there is one CPU only");
	start(&other, false);
	CU_ASSERT_NOT_EQUAL(other.class, NSDK_CPU_CLASS_ANY);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(other.class), &cpus), 0);
	end(&other);
	/* A thread that has ended stays on its CPUs. */
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(other.class), &cpus), 0);

	start(&other, false);
	other.leaves_at_the_end = true;
	end(&other);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(other.class), &cpus), -ENOENT);
	nsdk_cpu_classes_believe();

	start(&other, true);
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(other.class), &cpus), -ENOENT);
	end(&other);
	/* What it stored meanwhile may be anywhere, now that it is gone, too. */
	NSDK_ASSERT_INT(nsdk_cpu_classes_cpus(bit(other.class), &cpus), -ENOENT);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nobody_is_known_unasked),
	NSDK_UNIT_TEST(a_pinned_thread_is_its_cpu),
	NSDK_UNIT_TEST(an_unpinned_thread_is_its_whole_affinity),
	NSDK_UNIT_TEST(two_classes_are_a_union),
	NSDK_UNIT_TEST(who_registers_again_elsewhere_has_left),
	NSDK_UNIT_TEST(who_leaves_its_cpus_is_noticed),
};

NSDK_UNIT_MAIN("lib/env/thread", tests)
