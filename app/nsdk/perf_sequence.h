/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In which order the blocks of a region are visited.
 *
 * As in fio, random order visits every block once before any a second time. A bitmap of what has
 * been visited would do; a permutation does it without memory, and can say what the n-th block is
 * (and was, in the write pass before a verify) at any time.
 */
#ifndef NSDK_PERF_SEQUENCE_H
#define NSDK_PERF_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#define PERF_SEQUENCE_ROUNDS 4

struct perf_sequence {
	uint64_t count;
	bool random;
	unsigned half_bits;
	uint64_t keys[PERF_SEQUENCE_ROUNDS];
};

/* One step of splitmix64: a generator, and a good mixer of its input. */
static inline uint64_t perf_mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* @p count blocks, not 0; the same seed gives the same order. */
void perf_sequence_init(struct perf_sequence *seq, uint64_t count, bool random, uint64_t seed);

/* The block visited as number @p index, both from 0 to count - 1. */
uint64_t perf_sequence_at(const struct perf_sequence *seq, uint64_t index);

#endif
