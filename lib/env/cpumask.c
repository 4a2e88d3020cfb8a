/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sets of CPUs, and the kernel's way of writing them: "0,2-3,8".
 */
#include "env_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <nsdk/log.h>

/* Takes one CPU number off the front of *text. */
static int take_cpu(const char **text, unsigned *cpu)
{
	unsigned value = 0;
	const char *c = *text;

	if (*c < '0' || *c > '9')
		return -EINVAL;
	for (; *c >= '0' && *c <= '9'; c++) {
		value = value * 10 + (unsigned)(*c - '0');
		if (value >= NSDK_MAX_CPUS)
			return -ERANGE;
	}
	*cpu = value;
	*text = c;
	return 0;
}

int nsdk_cpulist_parse(const char *list, uint16_t *cpus)
{
	const char *c = list;
	nsdk_cpumask_t seen = { { 0 } };
	unsigned first, last;
	int count = 0;
	int error;

	/* Files of the kernel end in a newline; an empty set is a newline alone. */
	if (!list || *list == '\0' || *list == '\n')
		return nsdk_fail(-EINVAL, "env",
				 "the CPU list is empty; write it as the kernel does, \"0,2-3\"");
	for (;;) {
		error = take_cpu(&c, &first);
		if (error)
			break;
		last = first;
		if (*c == '-') {
			c++;
			error = take_cpu(&c, &last);
			if (error)
				break;
			if (last < first)
				return nsdk_fail(-EINVAL, "env",
						 "in the CPU list \"%s\" the range %u-%u runs backwards",
						 list, first, last);
		}
		for (unsigned cpu = first; cpu <= last; cpu++) {
			if (nsdk_cpumask_test(&seen, cpu))
				continue;
			nsdk_cpumask_set(&seen, cpu);
			cpus[count++] = (uint16_t)cpu;
		}
		if (*c == '\0' || strcmp(c, "\n") == 0)
			return count;
		if (*c != ',') {
			error = -EINVAL;
			break;
		}
		c++;
	}
	if (error == -ERANGE)
		return nsdk_fail(-EINVAL, "env", "the CPU list \"%s\" names a CPU above %d", list,
				 NSDK_MAX_CPUS - 1);
	if (*c == '\0' || *c == '\n')
		return nsdk_fail(-EINVAL, "env", "the CPU list \"%s\" ends where a CPU should follow",
				 list);
	return nsdk_fail(-EINVAL, "env",
			 "the CPU list \"%s\" is not understood from \"%s\" on; write it as the kernel "
			 "does, \"0,2-3\"",
			 list, c);
}

int nsdk_cpumask_parse(const char *list, nsdk_cpumask_t *out)
{
	uint16_t cpus[NSDK_MAX_CPUS];
	int count = nsdk_cpulist_parse(list, cpus);

	if (count < 0)
		return count;
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < count; i++)
		nsdk_cpumask_set(out, cpus[i]);
	return 0;
}

int nsdk_cpumask_format(const nsdk_cpumask_t *mask, char *buf, size_t buf_bytes)
{
	const char *comma = "";
	size_t length = 0;
	int first, last;

	if (buf_bytes)
		buf[0] = '\0';
	for (first = nsdk_cpumask_next(mask, 0); first >= 0;
	     first = nsdk_cpumask_next(mask, (unsigned)last + 1)) {
		char *at = length < buf_bytes ? buf + length : NULL;
		size_t room = length < buf_bytes ? buf_bytes - length : 0;

		last = first;
		while (nsdk_cpumask_test(mask, (unsigned)last + 1))
			last++;
		if (last == first)
			length += (size_t)snprintf(at, room, "%s%d", comma, first);
		else
			length += (size_t)snprintf(at, room, "%s%d-%d", comma, first, last);
		comma = ",";
	}
	return (int)length;
}

int nsdk_cpumask_get_affinity(nsdk_cpumask_t *out)
{
	/* More than cpu_set_t holds, so the set is the mask's own size; both are arrays of words. */
	nsdk_cpumask_t affinity = { { 0 } };

	_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "an affinity mask is of 64-bit words");
	if (sched_getaffinity(0, sizeof(affinity), (cpu_set_t *)(void *)&affinity) != 0)
		return nsdk_fail(-errno, "env", "the thread's CPU affinity cannot be read: %s",
				 strerror(errno));
	*out = affinity;
	return 0;
}

unsigned nsdk_cpumask_weight(const nsdk_cpumask_t *mask)
{
	unsigned weight = 0;

	for (size_t i = 0; i < sizeof(mask->bits) / sizeof(mask->bits[0]); i++)
		weight += (unsigned)__builtin_popcountll(mask->bits[i]);
	return weight;
}

int nsdk_cpumask_next(const nsdk_cpumask_t *mask, unsigned from)
{
	uint64_t word;

	if (from >= NSDK_MAX_CPUS)
		return -1;
	word = mask->bits[from / 64] & (~(uint64_t)0 << (from % 64));
	for (unsigned i = from / 64;;) {
		if (word)
			return (int)(i * 64 + (unsigned)__builtin_ctzll(word));
		if (++i == NSDK_MAX_CPUS / 64)
			return -1;
		word = mask->bits[i];
	}
}
