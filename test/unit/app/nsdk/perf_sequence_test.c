/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "app/nsdk/perf_sequence.h"
#include "nsdk_unit.h"

static void sequential_is_as_it_is(void)
{
	struct perf_sequence seq;

	perf_sequence_init(&seq, 1000, false, 1);
	for (uint64_t i = 0; i < 1000; i++)
		CU_ASSERT(perf_sequence_at(&seq, i) == i);
}

static void random_visits_every_block_once(void)
{
	static const uint64_t counts[] = { 1, 2, 3, 4, 5, 7, 16, 17, 64, 65, 1000, 4096, 65535, 65537 };

	for (unsigned n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
		uint64_t count = counts[n];
		static uint8_t seen[65537];
		struct perf_sequence seq;
		uint64_t wrong = 0;

		memset(seen, 0, sizeof(seen));
		perf_sequence_init(&seq, count, true, n);
		for (uint64_t i = 0; i < count; i++) {
			uint64_t at = perf_sequence_at(&seq, i);

			if (at >= count || seen[at]++ != 0)
				wrong++;
		}
		NSDK_ASSERT_INT(wrong, 0);
	}
}

static void random_is_not_nearly_sequential(void)
{
	struct perf_sequence seq;
	uint64_t in_order = 0, low_half = 0;

	perf_sequence_init(&seq, 100000, true, 42);
	for (uint64_t i = 0; i < 50000; i++) {
		in_order += perf_sequence_at(&seq, i) + 1 == perf_sequence_at(&seq, i + 1);
		low_half += perf_sequence_at(&seq, i) < 50000;
	}
	CU_ASSERT(in_order < 20);
	/* Half of the first half falls into the lower half: 25000, and 112 is one deviation. */
	CU_ASSERT(low_half > 24000 && low_half < 26000);
}

static void a_seed_is_an_order(void)
{
	struct perf_sequence a, b, c;
	unsigned same = 0;

	perf_sequence_init(&a, 10000, true, 1);
	perf_sequence_init(&b, 10000, true, 1);
	perf_sequence_init(&c, 10000, true, 2);
	for (uint64_t i = 0; i < 10000; i++) {
		CU_ASSERT(perf_sequence_at(&a, i) == perf_sequence_at(&b, i));
		same += perf_sequence_at(&a, i) == perf_sequence_at(&c, i);
	}
	CU_ASSERT(same < 20);
}

static void large_regions_stay_inside(void)
{
	struct perf_sequence seq;
	uint64_t count = ((uint64_t)1 << 40) + 12345;

	perf_sequence_init(&seq, count, true, 7);
	for (uint64_t i = 0; i < 10000; i++)
		CU_ASSERT(perf_sequence_at(&seq, i * 109951162) < count);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(sequential_is_as_it_is),
	NSDK_UNIT_TEST(random_visits_every_block_once),
	NSDK_UNIT_TEST(random_is_not_nearly_sequential),
	NSDK_UNIT_TEST(a_seed_is_an_order),
	NSDK_UNIT_TEST(large_regions_stay_inside),
};

NSDK_UNIT_MAIN("app/nsdk/perf_sequence", tests)
