/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf_sequence.h"

void perf_sequence_init(struct perf_sequence *seq, uint64_t count, bool random, uint64_t seed)
{
	*seq = (struct perf_sequence){ .count = count, .random = random, .half_bits = 1 };
	while (seq->half_bits < 32 && ((uint64_t)1 << (2 * seq->half_bits)) < count)
		seq->half_bits++;
	for (unsigned round = 0; round < PERF_SEQUENCE_ROUNDS; round++) {
		seed = perf_mix64(seed + round);
		seq->keys[round] = seed;
	}
}

uint64_t perf_sequence_at(const struct perf_sequence *seq, uint64_t index)
{
	uint64_t mask = ((uint64_t)1 << seq->half_bits) - 1;

	if (!seq->random)
		return index;
	/*
	 * A Feistel network permutes the 2^(2 half_bits) numbers, at most four times as many as
	 * there are blocks. What falls outside is sent through again: it comes back inside, since a
	 * permutation's cycle that starts inside ends there, and no two starts meet.
	 */
	do {
		uint64_t left = index >> seq->half_bits;
		uint64_t right = index & mask;

		for (unsigned round = 0; round < PERF_SEQUENCE_ROUNDS; round++) {
			uint64_t next = left ^ (perf_mix64(right ^ seq->keys[round]) & mask);

			left = right;
			right = next;
		}
		index = left << seq->half_bits | right;
	} while (index >= seq->count);
	return index;
}
