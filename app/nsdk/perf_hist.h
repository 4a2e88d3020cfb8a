/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A latency histogram: buckets that are 1/64 of their value wide, so that a percentile is right to
 * 1.6 % from a nanosecond to centuries, at a fixed 30 KiB and a handful of instructions a sample.
 */
#ifndef NSDK_PERF_HIST_H
#define NSDK_PERF_HIST_H

#include <stdint.h>

/* Values below 2^7 have a bucket each; every power of two above is split into 64. */
#define PERF_HIST_BITS 6
#define PERF_HIST_BUCKETS ((64 - PERF_HIST_BITS + 1) << PERF_HIST_BITS)

struct perf_hist {
	uint64_t count;
	uint64_t min; /* UINT64_MAX while empty */
	uint64_t max;
	unsigned __int128 sum; /* of a day of I/O in nanoseconds would overflow 64 bits */
	uint64_t buckets[PERF_HIST_BUCKETS];
};

void perf_hist_init(struct perf_hist *hist);
void perf_hist_merge(struct perf_hist *into, const struct perf_hist *from);
double perf_hist_mean(const struct perf_hist *hist);
/* The value that @p percent of the samples do not exceed; 0 when there are none. */
uint64_t perf_hist_percentile(const struct perf_hist *hist, double percent);

static inline unsigned perf_hist_bucket(uint64_t value)
{
	unsigned shift;

	if (value < 2u << PERF_HIST_BITS)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - PERF_HIST_BITS;
	return (shift << PERF_HIST_BITS) + (unsigned)(value >> shift);
}

static inline void perf_hist_add(struct perf_hist *hist, uint64_t value)
{
	hist->count++;
	hist->sum += value;
	if (value < hist->min)
		hist->min = value;
	if (value > hist->max)
		hist->max = value;
	hist->buckets[perf_hist_bucket(value)]++;
}

#endif
