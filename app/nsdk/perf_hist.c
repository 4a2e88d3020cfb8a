/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <string.h>

#include "perf_hist.h"

void perf_hist_init(struct perf_hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	hist->min = UINT64_MAX;
}

void perf_hist_merge(struct perf_hist *into, const struct perf_hist *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned i = 0; i < PERF_HIST_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

double perf_hist_mean(const struct perf_hist *hist)
{
	return hist->count == 0 ? 0 : (double)hist->sum / (double)hist->count;
}

/* The middle of a bucket, which halves the error of either end. */
static uint64_t bucket_value(unsigned bucket)
{
	unsigned shift;
	uint64_t low;

	if (bucket < 2u << PERF_HIST_BITS)
		return bucket;
	shift = (bucket >> PERF_HIST_BITS) - 1;
	low = (uint64_t)(bucket - (shift << PERF_HIST_BITS)) << shift;
	return low + ((uint64_t)1 << shift) / 2;
}

uint64_t perf_hist_percentile(const struct perf_hist *hist, double percent)
{
	uint64_t rank, seen = 0;
	uint64_t value = hist->max;

	if (hist->count == 0)
		return 0;
	rank = (uint64_t)ceil((double)hist->count * percent / 100.0);
	if (rank == 0)
		rank = 1;
	for (unsigned i = 0; i < PERF_HIST_BUCKETS; i++) {
		seen += hist->buckets[i];
		if (seen >= rank) {
			value = bucket_value(i);
			break;
		}
	}
	/* A bucket's middle may lie outside of what was ever seen. */
	if (value < hist->min)
		return hist->min;
	return value > hist->max ? hist->max : value;
}
