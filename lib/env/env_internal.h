/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the library and its tests.
 */
#ifndef NSDK_ENV_INTERNAL_H
#define NSDK_ENV_INTERNAL_H

#include <nsdk/env.h>

/*
 * As nsdk_cpumask_parse(), but keeps the order of the list, which decides which lcore sits where.
 *
 * @param cpus  room for NSDK_MAX_CPUS; a CPU that is named twice is there once, at its first place.
 * @return the number of CPUs, above 0; -EINVAL, logged.
 */
int nsdk_cpulist_parse(const char *list, uint16_t *cpus);

/*
 * Whether threads may be pinned to these CPUs: each is online, and in the affinity mask that the
 * calling thread has, or had before EAL pinned it. @return 0; -ENODEV, logged.
 */
int nsdk_env_check_cpus(const nsdk_cpumask_t *mask);

/* Where sysfs is: "/sys", until a test says otherwise. */
extern const char *nsdk_env_sysfs_root;

/*
 * Read one unsigned number from a file below nsdk_env_sysfs_root; or a whole small file, without
 * its newline. @return 0; -errno, not logged.
 */
int nsdk_env_sysfs_u64(uint64_t *out, const char *path_format, ...)
	__attribute__((format(printf, 2, 3)));
int nsdk_env_sysfs_text(char *buf, size_t buf_bytes, const char *path_format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
