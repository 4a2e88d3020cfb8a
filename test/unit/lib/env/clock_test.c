/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <pthread.h>
#include <time.h>

#include <nsdk/env.h>

static void nanoseconds_are_the_monotonic_clock(void)
{
	struct timespec t;
	uint64_t before, now, after;

	clock_gettime(CLOCK_MONOTONIC, &t);
	before = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	now = nsdk_clock_ns();
	clock_gettime(CLOCK_MONOTONIC, &t);
	after = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	CU_ASSERT(before <= now);
	CU_ASSERT(now <= after);
}

static void ticks_agree_with_nanoseconds(void)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	uint64_t hz = nsdk_ticks_per_s();
	bool agree = false;

	/* The two readings are not of one moment, so a busy machine may pull them apart; not each time. */
	for (unsigned i = 0; i < 20 && !agree; i++) {
		uint64_t ns = nsdk_clock_ns(), ticks = nsdk_ticks();
		double seconds, measured;

		nanosleep(&pause, NULL);
		ns = nsdk_clock_ns() - ns;
		ticks = nsdk_ticks() - ticks;
		seconds = (double)ns / 1e9;
		measured = (double)ticks / (double)hz;
		agree = measured > seconds * 0.9 && measured < seconds * 1.1;
	}
	CU_ASSERT(agree);
	CU_ASSERT(hz > 1000000);
}

static void *ask(void *out)
{
	*(uint64_t *)out = nsdk_ticks_per_s();
	return NULL;
}

static void the_rate_is_measured_once(void)
{
	pthread_t threads[4];
	uint64_t rates[4];

	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, ask, &rates[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i++)
		NSDK_ASSERT_INT(rates[i], nsdk_ticks_per_s());
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(the_rate_is_measured_once),
	NSDK_UNIT_TEST(nanoseconds_are_the_monotonic_clock),
	NSDK_UNIT_TEST(ticks_agree_with_nanoseconds),
};

NSDK_UNIT_MAIN("lib/env/clock", tests)
