/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Start-up on DPDK's EAL, pinned lcores, clocks, CPU lists.
 *
 * Only the reactors need nsdk_env_init(): they run on EAL's pinned lcores. Everything else works
 * without it, on threads the application made.
 */
#ifndef NSDK_ENV_H
#define NSDK_ENV_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What nsdk_env_init() may be told; all zero is a good default. */
struct nsdk_env_opts {
	size_t opts_bytes;   /**< sizeof(struct nsdk_env_opts), so that the struct can grow */
	const char *name;    /**< program name for EAL's messages; NULL: "nsdk" */
	const char *cpus;    /**< CPU list ("0,2-3"), one lcore each; NULL: the CPU we run on */
	bool no_huge;        /**< say nothing when no hugepages are free: they are not needed */
	bool verbose;        /**< let EAL's own log through, at NSDK_LOG_DEBUG */
};

/**
 * Start EAL: no PCI scan (NSDK drives the devices), IOVA as VA, nothing left on disk, one pinned
 * lcore for each CPU asked for. The calling thread becomes the lcore of the first CPU of the list,
 * and is pinned to it. Runs as an ordinary user without hugepages, and says what that costs.
 *
 * @param opts  NULL for defaults.
 * @return 0; -EALREADY started before (EAL can start once in a process); -EINVAL the CPU list is
 *         empty or malformed; -ENODEV a CPU of it is offline or outside our affinity mask; -EIO EAL
 *         failed. A sentence has been logged.
 * Threading: call once, from the main thread.
 */
int nsdk_env_init(const struct nsdk_env_opts *opts);

/** Stop EAL and give the calling thread its affinity back. Reactors must have been destroyed. */
void nsdk_env_fini(void);

/** Whether nsdk_env_init() has succeeded and nsdk_env_fini() has not been called. */
bool nsdk_env_is_up(void);

/** Number of lcores, 0 when EAL is down. */
unsigned nsdk_env_lcore_count(void);

/** The CPU that lcore number @p index (0 … count-1, in the order of the list) is pinned to; -EINVAL. */
int nsdk_env_lcore_cpu(unsigned index);

/**
 * Say on which CPUs the calling thread's stores may be cached: those of its affinity, as it is now.
 *
 * The engine needs to know this of every thread that stores to DMA buffers before it may write back
 * whole caches (nsdk_flush_setup(), wbinvd); of a thread that never said it, it assumes any CPU, and
 * writes back lines instead. A pinned thread is worth registering; a thread that may run anywhere
 * makes its whole affinity a candidate. Reactors' lcores and the thread that called nsdk_env_init()
 * are registered already.
 *
 * Register after pinning, and again after the affinity was changed; the second time makes all buffers
 * that name the first set of CPUs count as stored to by anybody, unless it had the new ones, too.
 *
 * @return 0; -ENOMEM; what sched_getaffinity(2) gives. Logged.
 * Threading: any thread, for itself. Ends with the thread, or with nsdk_thread_unregister().
 */
int nsdk_thread_register(void);

/**
 * Undo nsdk_thread_register(): from now on the thread may run anywhere, and its buffers, and those of
 * all that were registered with the same CPUs, count as stored to by anybody. Not needed at a thread's
 * end.
 */
void nsdk_thread_unregister(void);

/** CLOCK_MONOTONIC in nanoseconds. Threading: any. */
uint64_t nsdk_clock_ns(void);

/** The CPU's time stamp counter (x86 TSC, aarch64 CNTVCT), in ticks. Threading: any. */
uint64_t nsdk_ticks(void);

/** Ticks of nsdk_ticks() in a second; measured once, at first use. Threading: any. */
uint64_t nsdk_ticks_per_s(void);

/**
 * Parse a CPU list in the kernel's form: "0,2-3,8".
 *
 * @return 0; -EINVAL empty or malformed (what is wrong with it has been logged).
 */
int nsdk_cpumask_parse(const char *list, nsdk_cpumask_t *out);

/** Write a mask in the kernel's list form; returns as snprintf() does. */
int nsdk_cpumask_format(const nsdk_cpumask_t *mask, char *buf, size_t buf_bytes);

/** The calling thread's affinity mask; 0 or -errno. */
int nsdk_cpumask_get_affinity(nsdk_cpumask_t *out);

/** Add a CPU, which must be below NSDK_MAX_CPUS. */
static inline void nsdk_cpumask_set(nsdk_cpumask_t *mask, unsigned cpu)
{
	mask->bits[cpu / 64] |= (uint64_t)1 << (cpu % 64);
}

/** Whether a CPU is in the mask. */
static inline bool nsdk_cpumask_test(const nsdk_cpumask_t *mask, unsigned cpu)
{
	return cpu < NSDK_MAX_CPUS && (mask->bits[cpu / 64] >> (cpu % 64) & 1) != 0;
}

/** Number of CPUs in the mask. */
unsigned nsdk_cpumask_weight(const nsdk_cpumask_t *mask);

/** The first CPU of the mask that is at least @p from; -1 when there is none. */
int nsdk_cpumask_next(const nsdk_cpumask_t *mask, unsigned from);

/** What the system offers in hugepages of one size on one NUMA node. */
struct nsdk_hugepage_info {
	unsigned node;        /**< NUMA node */
	size_t page_bytes;    /**< size of one page */
	uint64_t total_pages; /**< set aside */
	uint64_t free_pages;  /**< of those, not in use */
};

/**
 * Read the hugepage counts of every node and size from sysfs.
 *
 * @param out    filled with at most @p max entries.
 * @return the number of entries there are (may be above @p max), or -errno.
 */
int nsdk_env_hugepages(struct nsdk_hugepage_info *out, unsigned max);

#ifdef __cplusplus
}
#endif
#endif
