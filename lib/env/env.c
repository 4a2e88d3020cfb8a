/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start-up.
 *
 * NSDK takes three things from DPDK's EAL: threads that are pinned to one CPU each (lcores), which
 * the reactors run on; rings, which carry the messages between them; and a heap, which those rings
 * lie in. The heap is ordinary memory: it is small, hugepages are few and for the DMA pools, and
 * whether EAL gets the one that was free a moment ago is a race with every other process.
 *
 * It does not take EAL's device drivers (--no-pci: NSDK drives the devices), nor its DMA memory:
 * EAL's heap belongs to one process-wide VFIO container, and has no notion of address spaces or of
 * coherence; that is what lib/mem is for.
 *
 * Vocabulary. A CPU is Linux's number of a hardware thread. An lcore is EAL's number of a pinned
 * thread. They are apart here: lcore i is the i-th CPU of the list that the user gave, so lcores
 * count from 0 without gaps however the CPUs are numbered, and EAL's limit on lcore numbers does not
 * limit which CPUs can be used.
 *
 * Lifetime. EAL starts once in a process and cannot start again after it was stopped. It leaves
 * nothing on disk: no shared configuration, no hugepage files, no telemetry socket; the empty folder
 * that it makes all the same is removed.
 *
 * What EAL would refuse with a message of its own (or with a page of usage) is checked here before,
 * so that the user gets one sentence. What EAL logs goes to NSDK's log at the level DEBUG when it was
 * asked for; its last line is kept for the sentence that says why it did not start.
 *
 * Threading. One thread starts and stops; what only reads may be called from any thread in between.
 */
#include "env_internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include <nsdk/log.h>

#include "opts.h"

/* Of EAL's heap: what it needs for itself, and for the rings of each lcore. */
#define HEAP_MIB 16u
#define HEAP_LCORE_MIB 1u
#define PAGE_2M ((size_t)2 << 20)

/*
 * Where EAL is to look for addresses for its heap. It would take hundreds of GiB from 4 GiB on, where
 * lib/mem wants its window for IOMMUs of 39 bits.
 */
#define EAL_BASE_VIRTADDR "0x200000000000"

static struct {
	atomic_bool up;
	bool tried; /* EAL cannot be started twice, not even when it did not start */
	bool verbose;
	unsigned lcore_count;
	uint16_t cpus[RTE_MAX_LCORE];
	nsdk_cpumask_t affinity; /* of the calling thread, before */
	char eal_line[256];      /* what EAL said last */
	size_t eal_length;
} env;

/* --- EAL's log ------------------------------------------------------------- */

/* Serialised by the stream's lock. A line may come in several pieces. */
static ssize_t eal_log_write(void *cookie, const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (env.eal_length == 0 && text[i] != '\n')
			env.eal_line[0] = '\0';
		if (text[i] != '\n') {
			if (env.eal_length < sizeof(env.eal_line) - 1) {
				env.eal_line[env.eal_length++] = text[i];
				env.eal_line[env.eal_length] = '\0';
			}
			continue;
		}
		if (env.eal_length && env.verbose)
			nsdk_log(NSDK_LOG_DEBUG, "env", "%s", env.eal_line);
		env.eal_length = 0;
	}
	return (ssize_t)bytes;
}

static int redirect_eal_log(void)
{
	const cookie_io_functions_t functions = { .write = eal_log_write };
	FILE *stream = fopencookie(NULL, "w", functions);

	if (!stream)
		return nsdk_fail(-ENOMEM, "env", "no memory for EAL's log");
	/* Unbuffered, so that nothing is left inside when a line counts. Kept while EAL may speak. */
	setvbuf(stream, NULL, _IONBF, 0);
	rte_openlog_stream(stream);
	return 0;
}

/* --- which CPUs ------------------------------------------------------------ */

static int check_cpus(const nsdk_cpumask_t *affinity, const uint16_t *cpus, int count)
{
	char list[4096], text[4096];
	nsdk_cpumask_t online;

	nsdk_cpumask_format(affinity, text, sizeof(text));
	/* Without the file nothing is known to be offline, and the affinity mask has the last word. */
	if (nsdk_env_sysfs_text(list, sizeof(list), "devices/system/cpu/online") != 0 ||
	    nsdk_cpumask_parse(list, &online) != 0)
		memset(&online, 0xff, sizeof(online));
	for (int i = 0; i < count; i++) {
		if (!nsdk_cpumask_test(&online, cpus[i]))
			return nsdk_fail(-ENODEV, "env",
					 "CPU %u is not online; the CPUs that are: %s", cpus[i], list);
		if (!nsdk_cpumask_test(affinity, cpus[i]))
			return nsdk_fail(-ENODEV, "env",
					 "CPU %u is not among those that this process may use: %s (see taskset(1) "
					 "and the cpuset of its control group)",
					 cpus[i], text);
	}
	return 0;
}

int nsdk_env_check_cpus(const nsdk_cpumask_t *mask)
{
	nsdk_cpumask_t affinity = env.affinity;
	uint16_t cpus[NSDK_MAX_CPUS];
	int count = 0, error;

	/* EAL has pinned its threads: what they may use now says nothing of the process. */
	error = nsdk_env_is_up() ? 0 : nsdk_cpumask_get_affinity(&affinity);
	if (error)
		return error;
	for (int cpu = nsdk_cpumask_next(mask, 0); cpu >= 0;
	     cpu = nsdk_cpumask_next(mask, (unsigned)cpu + 1))
		cpus[count++] = (uint16_t)cpu;
	return check_cpus(&affinity, cpus, count);
}

static int choose_cpus(const char *list)
{
	uint16_t cpus[NSDK_MAX_CPUS];
	int count, error;

	if (list) {
		count = nsdk_cpulist_parse(list, cpus);
	} else {
		count = sched_getcpu();
		cpus[0] = (uint16_t)(count < 0 ? 0 : count);
		count = 1;
	}
	if (count < 0)
		return count;
	if (count > RTE_MAX_LCORE)
		return nsdk_fail(-EINVAL, "env", "the CPU list has %d CPUs, but DPDK here was built for %d",
				 count, RTE_MAX_LCORE);
	error = nsdk_cpumask_get_affinity(&env.affinity);
	if (error)
		return error;
	error = check_cpus(&env.affinity, cpus, count);
	if (error)
		return error;
	memcpy(env.cpus, cpus, (size_t)count * sizeof(cpus[0]));
	env.lcore_count = (unsigned)count;
	return 0;
}

/* --- EAL ------------------------------------------------------------------- */

static bool any_hugepages(void)
{
	struct nsdk_hugepage_info info[256];
	int count = nsdk_env_hugepages(info, 256);
	uint64_t pages = 0;

	for (int i = 0; i < count && i < 256; i++)
		if (info[i].page_bytes == PAGE_2M)
			pages += info[i].free_pages;
	return pages > 0;
}

static void look_for_hugepages(const struct nsdk_env_opts *opts)
{
	if (opts->no_huge || any_hugepages())
		return;
	nsdk_log(NSDK_LOG_NOTICE, "env",
		 "no hugepages are free: DMA pools must be of small pages, which will do for emulated "
		 "devices but not for fast hardware; run as root: "
		 "echo 64 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
}

/* EAL's arguments, in memory that EAL may write to. */
#define LCORES_BYTES (RTE_MAX_LCORE * sizeof("1234@1234,") + sizeof("--lcores="))
#define NAME_CHARS 64

struct arguments {
	int count;
	char *argv[16];
	size_t used;
	char text[LCORES_BYTES + 512]; /* of all arguments but the lcores, half of that */
};

static void add_argument(struct arguments *arguments, const char *text)
{
	char *copy = arguments->text + arguments->used;
	int length = snprintf(copy, sizeof(arguments->text) - arguments->used, "%s", text);

	arguments->used += (size_t)length + 1;
	arguments->argv[arguments->count++] = copy;
}

/* "--lcores=0@CPU,1@CPU,…" */
static void add_lcores(struct arguments *arguments)
{
	char text[LCORES_BYTES];
	int length = snprintf(text, sizeof(text), "--lcores=");

	for (unsigned i = 0; i < env.lcore_count; i++)
		length += snprintf(text + length, sizeof(text) - (size_t)length, "%s%u@%u", i ? "," : "", i,
				   env.cpus[i]);
	add_argument(arguments, text);
}

static void make_arguments(struct arguments *arguments, const struct nsdk_env_opts *opts)
{
	char prefix[64], heap[16], name[NAME_CHARS];

	snprintf(name, sizeof(name), "%s", opts->name && opts->name[0] ? opts->name : "nsdk");
	add_argument(arguments, name);
	add_argument(arguments, "--no-pci");
	add_argument(arguments, "--iova-mode=va");
	add_argument(arguments, "--no-telemetry");
	add_argument(arguments, "--base-virtaddr=" EAL_BASE_VIRTADDR);
	/* A name of its own for EAL's folder, so that removing it cannot hit another process's. */
	snprintf(prefix, sizeof(prefix), "--file-prefix=nsdk-%ld", (long)getpid());
	add_argument(arguments, prefix);
	add_lcores(arguments);
	add_argument(arguments, "--no-huge");
	add_argument(arguments, "--no-shconf");
	add_argument(arguments, "-m");
	snprintf(heap, sizeof(heap), "%u", HEAP_MIB + env.lcore_count * HEAP_LCORE_MIB);
	add_argument(arguments, heap);
}

/*
 * EAL's threads take no signals: a handler of the application should run on a thread that the
 * application knows. Faults are left as they are, since they are the thread's own.
 */
static void block_signals(sigset_t *before)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t blocked;

	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&blocked, own[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, before);
}

static int start_eal(const struct nsdk_env_opts *opts)
{
	struct arguments arguments = { 0 };
	sigset_t signals;
	int result;

	look_for_hugepages(opts);
	make_arguments(&arguments, opts);
	block_signals(&signals);
	result = rte_eal_init(arguments.count, arguments.argv);
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	/* Empty, and only if it is; there may be none where the process may not make folders. */
	(void)rmdir(rte_eal_get_runtime_dir());
	if (result < 0)
		return nsdk_fail(-EIO, "env", "DPDK's EAL did not start: %s (%s)",
				 env.eal_line[0] ? env.eal_line : "it does not say why",
				 rte_strerror(rte_errno));
	return 0;
}

/* The calling thread's affinity, as it was before EAL pinned it. */
static void restore_affinity(void)
{
	sched_setaffinity(0, sizeof(env.affinity), (const cpu_set_t *)(const void *)&env.affinity);
}

int nsdk_env_init(const struct nsdk_env_opts *user_opts)
{
	struct nsdk_env_opts opts;
	int error;

	error = nsdk_opts_take(&opts, sizeof(opts), user_opts, "env");
	if (error)
		return error;
	if (env.tried)
		return nsdk_fail(-EALREADY, "env",
				 "DPDK's EAL was started before, which it can be once in a process only");
	error = choose_cpus(opts.cpus);
	if (error)
		return error;
	error = redirect_eal_log();
	if (error)
		return error;
	env.verbose = opts.verbose;
	env.tried = true;
	error = start_eal(&opts);
	if (error) {
		/* It may have come as far as pinning us. */
		restore_affinity();
		return error;
	}
	/* Pinned now. Without memory it stays unknown, which is no fault. */
	(void)nsdk_thread_register();
	atomic_store(&env.up, true);
	return 0;
}

void nsdk_env_fini(void)
{
	if (!atomic_exchange(&env.up, false))
		return;
	rte_eal_cleanup();
	nsdk_thread_unregister();
	restore_affinity();
}

bool nsdk_env_is_up(void)
{
	return atomic_load(&env.up);
}

unsigned nsdk_env_lcore_count(void)
{
	return nsdk_env_is_up() ? env.lcore_count : 0;
}

int nsdk_env_lcore_cpu(unsigned index)
{
	return index < nsdk_env_lcore_count() ? env.cpus[index] : -EINVAL;
}
