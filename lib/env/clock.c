/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two clocks: nanoseconds for deadlines, ticks for measuring where time goes.
 *
 * Ticks cost a few cycles and no branch, but mean nothing outside this machine, and may jump a
 * little between sockets; so deadlines are made of nanoseconds, and ticks are only subtracted on the
 * CPU that read them.
 */
#include <nsdk/env.h>

#include <pthread.h>
#include <time.h>

#include <nsdk/config.h>

#if NSDK_ARCH_X86_64
#include <cpuid.h>
#include <x86intrin.h>
#endif

#define NS_PER_S 1000000000ull

uint64_t nsdk_clock_ns(void)
{
	struct timespec now;

	/* Cannot fail: the clock exists on every Linux, and the pointer is good. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#if NSDK_ARCH_X86_64

uint64_t nsdk_ticks(void)
{
	/*
	 * No fence: it may be read a few instructions early or late, which is far below what the
	 * reactor measures; a fence would drain the pipeline on every turn of the loop.
	 */
	return __rdtsc();
}

/* What the CPU says of itself (leaf 15h: crystal frequency and ratio), or 0. */
static uint64_t ticks_per_s_told(void)
{
	unsigned denominator, numerator, crystal_hz, edx;

	if (!__get_cpuid(0x15, &denominator, &numerator, &crystal_hz, &edx))
		return 0;
	if (!denominator || !numerator || !crystal_hz)
		return 0;
	return (uint64_t)crystal_hz * numerator / denominator;
}

/* Reads both clocks at one moment: of several tries the one that was interrupted least. */
static void read_both(uint64_t *ns, uint64_t *ticks)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 16; i++) {
		uint64_t before = __rdtsc();
		uint64_t now = nsdk_clock_ns();
		uint64_t after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*ns = now;
			*ticks = before + (after - before) / 2;
		}
	}
}

static uint64_t ticks_per_s_measured(void)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	uint64_t ns_0 = 0, ticks_0 = 0, ns_1 = 0, ticks_1 = 0;

	read_both(&ns_0, &ticks_0);
	/* A signal may cut it short, so measure until enough has passed for one part in 10^5. */
	do {
		nanosleep(&pause, NULL);
		read_both(&ns_1, &ticks_1);
	} while (ns_1 - ns_0 < (uint64_t)pause.tv_nsec);
	return (uint64_t)((double)(ticks_1 - ticks_0) * (double)NS_PER_S / (double)(ns_1 - ns_0));
}

static uint64_t find_ticks_per_s(void)
{
	uint64_t told = ticks_per_s_told();

	return told ? told : ticks_per_s_measured();
}

#elif NSDK_ARCH_AARCH64

uint64_t nsdk_ticks(void)
{
	uint64_t ticks;

	/* No ISB before it, for the same reason as on x86. */
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
}

static uint64_t find_ticks_per_s(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

#else

uint64_t nsdk_ticks(void)
{
	return nsdk_clock_ns();
}

static uint64_t find_ticks_per_s(void)
{
	return NS_PER_S;
}

#endif

static uint64_t ticks_per_s;

static void set_ticks_per_s(void)
{
	ticks_per_s = find_ticks_per_s();
}

uint64_t nsdk_ticks_per_s(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, set_ticks_per_s);
	return ticks_per_s;
}
