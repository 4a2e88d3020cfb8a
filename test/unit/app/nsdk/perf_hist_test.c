/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "app/nsdk/perf_hist.h"
#include "app/nsdk/perf_sequence.h"
#include "nsdk_unit.h"

static struct perf_hist hist, other;

static void empty_is_all_zero(void)
{
	perf_hist_init(&hist);
	CU_ASSERT(perf_hist_mean(&hist) == 0);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 50), 0);
}

static void buckets_rise_without_a_gap_and_fit(void)
{
	unsigned before = 0;

	for (uint64_t value = 1; value < 1u << 20; value++) {
		unsigned bucket = perf_hist_bucket(value);

		if (bucket != before && bucket != before + 1) {
			CU_FAIL("a gap, or a step back");
			return;
		}
		before = bucket;
	}
	CU_ASSERT(perf_hist_bucket(UINT64_MAX) == PERF_HIST_BUCKETS - 1);
}

static void one_sample_is_every_percentile(void)
{
	for (uint64_t value = 1; value < (uint64_t)1 << 62; value = value * 3 + 1) {
		perf_hist_init(&hist);
		perf_hist_add(&hist, value);
		CU_ASSERT(perf_hist_percentile(&hist, 50) == value);
		CU_ASSERT(perf_hist_percentile(&hist, 99.99) == value);
		CU_ASSERT(hist.min == value && hist.max == value);
		CU_ASSERT(perf_hist_mean(&hist) == (double)value);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void percentiles_are_right_to_1_6_percent(void)
{
	static const double percents[] = { 1, 50, 90, 99, 99.9, 99.99, 100 };
	enum { COUNT = 200000 };
	static uint64_t values[COUNT];

	perf_hist_init(&hist);
	for (unsigned i = 0; i < COUNT; i++) {
		/* Many magnitudes, as latencies have. */
		uint64_t noise = perf_mix64(i);

		values[i] = (noise >> 32) >> (noise % 24);
		perf_hist_add(&hist, values[i]);
	}
	qsort(values, COUNT, sizeof(*values), compare);
	for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		unsigned rank = (unsigned)((double)COUNT * percents[i] / 100 + 0.999999);
		double exact = (double)values[rank - 1];
		double got = (double)perf_hist_percentile(&hist, percents[i]);

		CU_ASSERT(got >= exact * (1 - 1.0 / 64) - 1);
		CU_ASSERT(got <= exact * (1 + 1.0 / 64) + 1);
	}
	NSDK_ASSERT_INT(hist.min, values[0]);
	NSDK_ASSERT_INT(hist.max, values[COUNT - 1]);
}

static void ranks_are_rounded_up(void)
{
	perf_hist_init(&hist);
	for (unsigned i = 1; i <= 3; i++)
		perf_hist_add(&hist, i);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 0), 1);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 33), 1);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 50), 2);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 67), 3);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 100), 3);
}

static void merging_is_adding_up(void)
{
	perf_hist_init(&hist);
	perf_hist_init(&other);
	for (unsigned i = 1; i <= 100; i++)
		perf_hist_add(i <= 50 ? &hist : &other, i);
	perf_hist_merge(&hist, &other);
	NSDK_ASSERT_INT(hist.count, 100);
	NSDK_ASSERT_INT(hist.min, 1);
	NSDK_ASSERT_INT(hist.max, 100);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 50), 50);
	NSDK_ASSERT_INT(perf_hist_percentile(&hist, 90), 90);
	CU_ASSERT(perf_hist_mean(&hist) == 50.5);
	/* Merging nothing changes nothing. */
	perf_hist_init(&other);
	perf_hist_merge(&hist, &other);
	NSDK_ASSERT_INT(hist.min, 1);
	NSDK_ASSERT_INT(hist.count, 100);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(empty_is_all_zero),
	NSDK_UNIT_TEST(buckets_rise_without_a_gap_and_fit),
	NSDK_UNIT_TEST(one_sample_is_every_percentile),
	NSDK_UNIT_TEST(percentiles_are_right_to_1_6_percent),
	NSDK_UNIT_TEST(ranks_are_rounded_up),
	NSDK_UNIT_TEST(merging_is_adding_up),
};

NSDK_UNIT_MAIN("app/nsdk/perf_hist", tests)
