/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EAL can start once in a process, so every test that starts it does so in a child of its own, whose
 * exit status is what the child found wrong.
 */
#include "nsdk_unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_ring.h>

#include <nsdk/env.h>
#include <nsdk/log.h>

#include "lib/env/env_internal.h"

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

static void in_child(void (*run)(void))
{
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		nsdk_unit_log_start();
		run();
		fflush(stdout);
		_exit(0);
	}
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		printf("# the child died of signal %d\n", WTERMSIG(status));
	NSDK_ASSERT_INT(status, 0);
}

static nsdk_cpumask_t usable(void)
{
	nsdk_cpumask_t mask;

	nsdk_cpumask_get_affinity(&mask);
	return mask;
}

/* --- starting -------------------------------------------------------------- */

static void check_default(void)
{
	cpu_set_t before, after, during;

	CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
	CHECK(!nsdk_env_is_up());
	CHECK(nsdk_env_lcore_count() == 0);
	CHECK(nsdk_env_lcore_cpu(0) == -EINVAL);
	CHECK(nsdk_env_init(NULL) == 0);
	CHECK(nsdk_unit_log_count() == 0);
	CHECK(nsdk_env_is_up());
	CHECK(nsdk_env_lcore_count() == 1);
	CHECK(sched_getaffinity(0, sizeof(during), &during) == 0);
	CHECK(CPU_COUNT(&during) == 1);
	CHECK(CPU_ISSET((size_t)nsdk_env_lcore_cpu(0), &during));
	CHECK(nsdk_env_lcore_cpu(1) == -EINVAL);
	CHECK(rte_eal_iova_mode() == RTE_IOVA_VA);
	/* A ring can be had from EAL's heap. */
	CHECK(rte_ring_create("test", 4096, SOCKET_ID_ANY, 0));
	CHECK(nsdk_env_init(NULL) == -EALREADY);
	CHECK(nsdk_unit_log_has("once in a process"));
	nsdk_env_fini();
	CHECK(!nsdk_env_is_up());
	CHECK(nsdk_env_lcore_count() == 0);
	CHECK(sched_getaffinity(0, sizeof(after), &after) == 0);
	CHECK(CPU_EQUAL(&before, &after));
	nsdk_env_fini();
	CHECK(nsdk_env_init(NULL) == -EALREADY);
}

static void starts_by_itself(void)
{
	in_child(check_default);
}

static int where_am_i(void *arg)
{
	cpu_set_t set;
	sigset_t blocked;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) != 1)
		return -1;
	if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGTERM) ||
	    sigismember(&blocked, SIGSEGV))
		return -2;
	return sched_getcpu();
}

static void check_order(void)
{
	struct nsdk_env_opts opts = { .opts_bytes = sizeof(opts), .no_huge = true };
	nsdk_cpumask_t mask = usable();
	int first = nsdk_cpumask_next(&mask, 0);
	int second = nsdk_cpumask_next(&mask, (unsigned)first + 1);
	sigset_t blocked;
	char list[32];

	/* Backwards, so that an order by number shows. */
	snprintf(list, sizeof(list), "%d,%d", second, first);
	opts.cpus = list;
	CHECK(nsdk_env_init(&opts) == 0);
	CHECK(nsdk_env_lcore_count() == 2);
	CHECK(nsdk_env_lcore_cpu(0) == second);
	CHECK(nsdk_env_lcore_cpu(1) == first);
	CHECK(sched_getcpu() == second);
	CHECK(rte_lcore_id() == 0);
	CHECK(rte_eal_remote_launch(where_am_i, NULL, 1) == 0);
	CHECK(rte_eal_wait_lcore(1) == first);
	/* The threads of EAL are kept from signals, ours is not. */
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	CHECK(!sigismember(&blocked, SIGINT));
	nsdk_env_fini();
}

static void lcores_are_in_the_order_of_the_list(void)
{
	nsdk_cpumask_t mask = usable();

	if (nsdk_cpumask_weight(&mask) < 2)
		nsdk_skip("2 CPUs are needed");
	in_child(check_order);
}

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static void check_silent(void)
{
	struct nsdk_env_opts opts = { .no_huge = true };
	struct stat out, err;
	char folder[] = "/tmp/nsdk-env-test.XXXXXX", path[64];

	CHECK(mkdtemp(folder));
	CHECK(setenv("XDG_RUNTIME_DIR", folder, 1) == 0);
	snprintf(path, sizeof(path), "%s/out", folder);
	CHECK(freopen(path, "w", stdout));
	snprintf(path, sizeof(path), "%s/err", folder);
	CHECK(freopen(path, "w", stderr));
	CHECK(nsdk_env_init(&opts) == 0);
	fflush(stdout);
	CHECK(fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0);
	nsdk_env_fini();
	CHECK(access(rte_eal_get_runtime_dir(), F_OK) != 0);
	unlink(path);
	snprintf(path, sizeof(path), "%s/out", folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/dpdk", folder);
	CHECK(entries(path) <= 2);
	rmdir(path);
	CHECK(rmdir(folder) == 0);
	if (out.st_size || err.st_size)
		_exit(2);
}

static void says_and_leaves_nothing(void)
{
	in_child(check_silent);
}

static void check_verbose(void)
{
	struct nsdk_env_opts opts = { .verbose = true, .no_huge = true };

	nsdk_log_set_level(NSDK_LOG_DEBUG);
	CHECK(nsdk_env_init(&opts) == 0);
	CHECK(nsdk_unit_log_has("EAL: Detected CPU lcores"));
	CHECK(nsdk_unit_log_count() == 0);
}

static void eal_speaks_through_the_log_when_asked(void)
{
	in_child(check_verbose);
}

/* --- hugepages ------------------------------------------------------------- */

static void make_file(const char *root, const char *path, const char *text)
{
	char full[256], *slash;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static char root[] = "/tmp/nsdk-env-test.XXXXXX";

static void remove_root(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	CHECK(system(command) == 0);
}

/* A sysfs of our own, in which so many hugepages are free. */
static void fake_hugepages(const char *free_pages)
{
	nsdk_cpumask_t mask = usable();
	char list[4096];

	CHECK(mkdtemp(root));
	nsdk_cpumask_format(&mask, list, sizeof(list));
	make_file(root, "devices/system/cpu/online", list);
	make_file(root, "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n");
	make_file(root, "kernel/mm/hugepages/hugepages-2048kB/free_hugepages", free_pages);
	nsdk_env_sysfs_root = root;
}

static void check_no_hugepages(void)
{
	fake_hugepages("0\n");
	CHECK(nsdk_env_init(NULL) == 0);
	remove_root();
	/* Worth knowing, but no warning. */
	CHECK(nsdk_unit_log_count() == 0);
	CHECK(nsdk_unit_log_has("DMA pools must be of small pages"));
	CHECK(nsdk_unit_log_has("/nr_hugepages"));
	CHECK(rte_ring_create("test", 4096, SOCKET_ID_ANY, 0));
	nsdk_env_fini();
}

/* Those that are free are for DMA; who takes one first is a race that nobody here takes part in. */
static void check_free_hugepages(void)
{
	fake_hugepages("64\n");
	CHECK(nsdk_env_init(NULL) == 0);
	remove_root();
	CHECK(!rte_eal_has_hugepages());
	CHECK(!nsdk_unit_log_has("hugepages"));
	CHECK(rte_ring_create("test", 4096, SOCKET_ID_ANY, 0));
	nsdk_env_fini();
}

static void leaves_hugepages_alone(void)
{
	in_child(check_free_hugepages);
}

static void works_without_hugepages_and_says_what_that_costs(void)
{
	in_child(check_no_hugepages);
}

static void check_user(void)
{
	struct rlimit none = { 0, 0 };
	struct nsdk_env_opts opts = { .no_huge = true };

	CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
	/* Not even a folder can be made. */
	CHECK(setenv("XDG_RUNTIME_DIR", "/proc", 1) == 0);
	CHECK(nsdk_env_init(&opts) == 0);
	CHECK(nsdk_unit_log_count() == 0);
	CHECK(rte_ring_create("test", 4096, SOCKET_ID_ANY, 0));
	nsdk_env_fini();
}

static void an_ordinary_user_will_do(void)
{
	if (geteuid() != 0)
		nsdk_skip("this test becomes nobody, which takes root; the others have run as this user");
	in_child(check_user);
}

/* --- refusals -------------------------------------------------------------- */

static int init_with(const char *cpus)
{
	const struct nsdk_env_opts opts = { .cpus = cpus, .no_huge = true };

	return nsdk_env_init(&opts);
}

static void check_refusals(void)
{
	nsdk_cpumask_t mask = usable();
	cpu_set_t one;
	int first = nsdk_cpumask_next(&mask, 0);
	int second = nsdk_cpumask_next(&mask, (unsigned)first + 1);
	char list[32];

	CHECK(init_with("") == -EINVAL);
	CHECK(nsdk_unit_log_has("the CPU list is empty"));
	nsdk_unit_log_clear();
	CHECK(init_with("0-") == -EINVAL);
	CHECK(nsdk_unit_log_count() == 1);
	nsdk_unit_log_clear();
	CHECK(init_with("0-1023") == -EINVAL);
	CHECK(nsdk_unit_log_has("1024 CPUs"));
	nsdk_unit_log_clear();
	CHECK(init_with("1023") == -ENODEV);
	CHECK(nsdk_unit_log_count() == 1);
	CHECK(nsdk_unit_log_has("CPU 1023 is not online"));
	nsdk_unit_log_clear();
	if (second >= 0) {
		CPU_ZERO(&one);
		CPU_SET((size_t)first, &one);
		CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		snprintf(list, sizeof(list), "%d,%d", first, second);
		CHECK(init_with(list) == -ENODEV);
		CHECK(nsdk_unit_log_count() == 1);
		snprintf(list, sizeof(list), "CPU %d is not among", second);
		CHECK(nsdk_unit_log_has(list));
	}
	/* None of that has used up the one start there is. */
	snprintf(list, sizeof(list), "%d", first);
	CHECK(init_with(list) == 0);
}

static void refuses_before_eal_would(void)
{
	in_child(check_refusals);
}

static void check_eal_fails(void)
{
	struct rlimit small = { 0, RLIM_INFINITY }, large = { RLIM_INFINITY, RLIM_INFINITY };
	nsdk_cpumask_t before = usable(), after;
	unsigned long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "re");

	CHECK(statm && fscanf(statm, "%lu", &pages) == 1);
	fclose(statm);
	/* Too few addresses for its heap. EAL's last words go past the log, to stderr. */
	small.rlim_cur = pages * 4096 + (8 << 20);
	fake_hugepages("64\n");
	CHECK(setrlimit(RLIMIT_AS, &small) == 0);
	CHECK(freopen("/dev/null", "w", stderr));
	CHECK(nsdk_env_init(NULL) == -EIO);
	CHECK(setrlimit(RLIMIT_AS, &large) == 0);
	remove_root();
	CHECK(nsdk_unit_log_count() == 1);
	CHECK(nsdk_unit_log_has("DPDK's EAL did not start: EAL: "));
	CHECK(!nsdk_env_is_up());
	after = usable();
	CHECK(memcmp(&before, &after, sizeof(after)) == 0);
	CHECK(nsdk_env_init(NULL) == -EALREADY);
}

static void says_why_eal_did_not_start(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	nsdk_skip("a sanitizer takes more addresses than this test leaves");
#endif
	in_child(check_eal_fails);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(starts_by_itself),
	NSDK_UNIT_TEST(lcores_are_in_the_order_of_the_list),
	NSDK_UNIT_TEST(says_and_leaves_nothing),
	NSDK_UNIT_TEST(eal_speaks_through_the_log_when_asked),
	NSDK_UNIT_TEST(leaves_hugepages_alone),
	NSDK_UNIT_TEST(works_without_hugepages_and_says_what_that_costs),
	NSDK_UNIT_TEST(an_ordinary_user_will_do),
	NSDK_UNIT_TEST(refuses_before_eal_would),
	NSDK_UNIT_TEST(says_why_eal_did_not_start),
};

NSDK_UNIT_MAIN("lib/env/env", tests)
