/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A clock that a test stops and moves on, for what a device does in time: a machine that is busy with
 * other things may hold the test up for longer than the device takes. To be included by one test, whose
 * calls of nsdk_clock_ns() are wrapped (wraps_ in the Makefile).
 */
#ifndef STILL_CLOCK_H
#define STILL_CLOCK_H

#include <stdatomic.h>

#include <nsdk/env.h>

static _Atomic uint64_t clock_still_ns; /* not 0: where it stands */
static _Atomic uint64_t clock_ahead_ns; /* of the real one, when it goes */

uint64_t __real_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void);
uint64_t __wrap_nsdk_clock_ns(void)
{
	uint64_t still_ns = clock_still_ns;

	return still_ns ? still_ns : __real_nsdk_clock_ns() + clock_ahead_ns;
}

static inline void clock_stop(void)
{
	clock_still_ns = nsdk_clock_ns();
}

static inline void clock_advance(uint64_t ns)
{
	clock_still_ns += ns;
}

/* From where it stands. */
static inline void clock_go(void)
{
	if (!clock_still_ns)
		return;
	clock_ahead_ns = clock_still_ns - __real_nsdk_clock_ns();
	clock_still_ns = 0;
}

#endif
