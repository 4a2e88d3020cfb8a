/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "perf_sequence.h"
#include "perf_verify.h"

#define MAGIC 0x4b44534eu /* "NSDK" */
#define POISON_BYTE 0xa5

struct line {
	uint32_t magic;
	uint32_t number; /* in its block */
	uint64_t lba;
	uint32_t nsid;
	uint32_t generation;
	uint64_t nonce;
	uint64_t filler[3];
	uint64_t checksum;
};
static_assert(sizeof(struct line) == NSDK_LINE_BYTES, "a line describes itself");

/*
 * Several of these are done for every 64 bytes of a run, so they are cheap: enough to tell a whole
 * line from a torn one, which is all that is asked of them.
 */
static inline uint64_t stir(uint64_t x)
{
	x *= 0x9fb21c651e98df25ULL;
	return x ^ x >> 32;
}

static uint64_t line_checksum(const struct line *line)
{
	uint64_t words[7], sum = MAGIC;

	memcpy(words, line, sizeof(words));
	for (unsigned i = 0; i < 7; i++)
		sum = stir(sum ^ words[i]);
	return sum;
}

/* What the lines of a block have in common; each makes its own filler of it. */
static uint64_t block_seed(const struct perf_pattern *pattern, uint64_t lba, uint32_t generation)
{
	return perf_mix64(lba ^ (uint64_t)generation << 40) ^ pattern->nonce;
}

static void line_make(struct line *line, const struct perf_pattern *pattern, uint64_t seed,
		      uint64_t lba, uint32_t number, uint32_t generation)
{
	line->magic = MAGIC;
	line->number = number;
	line->lba = lba;
	line->nsid = pattern->nsid;
	line->generation = generation;
	line->nonce = pattern->nonce;
	seed += (uint64_t)(number + 1) << 17 | 1;
	for (unsigned i = 0; i < 3; i++) {
		seed = stir(seed + i);
		line->filler[i] = seed;
	}
	line->checksum = line_checksum(line);
}

void perf_pattern_fill(const struct perf_pattern *pattern, void *buf, uint64_t lba, uint32_t blocks,
		       uint32_t block_bytes, uint32_t generation)
{
	uint32_t lines = block_bytes / NSDK_LINE_BYTES;
	struct line *line = buf;

	for (uint32_t block = 0; block < blocks; block++) {
		uint64_t seed = block_seed(pattern, lba + block, generation);

		for (uint32_t number = 0; number < lines; number++)
			line_make(line++, pattern, seed, lba + block, number, generation);
	}
}

void perf_pattern_poison(void *buf, size_t bytes)
{
	memset(buf, POISON_BYTE, bytes);
}

static bool line_is_all(const struct line *line, uint8_t byte)
{
	uint8_t same[sizeof(*line)];

	memset(same, byte, sizeof(same));
	return memcmp(line, same, sizeof(same)) == 0;
}

static enum perf_found line_classify(const struct line *found, const struct line *expected)
{
	if (found->magic == MAGIC && found->checksum == line_checksum(found)) {
		if (found->nonce != expected->nonce)
			return PERF_FOUND_OLD_RUN;
		if (found->lba == expected->lba && found->number == expected->number &&
		    found->nsid == expected->nsid)
			return PERF_FOUND_STALE;
		return PERF_FOUND_ELSEWHERE;
	}
	if (line_is_all(found, POISON_BYTE))
		return PERF_FOUND_POISON;
	if (line_is_all(found, 0))
		return PERF_FOUND_ZEROES;
	return PERF_FOUND_GARBAGE;
}

/* The run of wrong lines that is being gathered. */
struct gathering {
	struct perf_mismatch run;
	uint32_t next_lines; /* where it would go on: lines since the first line of the I/O */
	perf_mismatch_fn fn;
	void *ctx;
};

static void gathering_end(struct gathering *g)
{
	if (g->run.lines != 0 && g->fn != NULL)
		g->fn(g->ctx, &g->run);
	g->run.lines = 0;
}

static void gathering_add(struct gathering *g, uint32_t index,
			  const struct line *found, const struct line *expected)
{
	enum perf_found kind = line_classify(found, expected);
	struct perf_mismatch *run = &g->run;
	/* Lines of other blocks move along with ours as one piece of misplaced data. */
	uint64_t displacement = found->lba - expected->lba;

	if (run->lines != 0 && index == g->next_lines && kind == run->found &&
	    (kind > PERF_FOUND_OLD_RUN || (found->generation == run->found_generation &&
					   displacement == run->found_lba - run->lba))) {
		run->lines++;
	} else {
		gathering_end(g);
		*run = (struct perf_mismatch){
			.lba = expected->lba,
			.offset_bytes = expected->number * NSDK_LINE_BYTES,
			.lines = 1,
			.found = kind,
			.expected_generation = expected->generation,
			.expected_checksum = expected->checksum,
			.found_lba = found->lba,
			.found_generation = found->generation,
			.found_checksum = found->checksum,
		};
	}
	run->blocks = (uint32_t)(expected->lba - run->lba) + 1;
	g->next_lines = index + 1;
}

uint32_t perf_pattern_check(const struct perf_pattern *pattern, const void *buf, uint64_t lba,
			    uint32_t blocks, uint32_t block_bytes, uint32_t generation,
			    perf_mismatch_fn fn, void *ctx)
{
	uint32_t lines = block_bytes / NSDK_LINE_BYTES;
	struct gathering gathering = { .fn = fn, .ctx = ctx };
	const struct line *found = buf;
	uint32_t bad_blocks = 0;

	for (uint32_t block = 0; block < blocks; block++) {
		uint64_t seed = block_seed(pattern, lba + block, generation);
		bool bad = false;

		for (uint32_t number = 0; number < lines; number++, found++) {
			struct line expected;

			line_make(&expected, pattern, seed, lba + block, number, generation);
			if (__builtin_expect(memcmp(found, &expected, sizeof(expected)) == 0, 1))
				continue;
			bad = true;
			gathering_add(&gathering, block * lines + number, found, &expected);
		}
		bad_blocks += bad;
	}
	gathering_end(&gathering);
	return bad_blocks;
}

static const struct {
	const char *name;
	const char *text;
} found_words[] = {
	[PERF_FOUND_STALE] = { "stale", "an older state of the same block" },
	[PERF_FOUND_ELSEWHERE] = { "elsewhere", "data that belongs elsewhere" },
	[PERF_FOUND_OLD_RUN] = { "old-run", "what an earlier run wrote" },
	[PERF_FOUND_POISON] = { "poison", "what the buffer held before the read" },
	[PERF_FOUND_ZEROES] = { "zeroes", "zeroes" },
	[PERF_FOUND_GARBAGE] = { "garbage", "bytes that nobody wrote" },
};

const char *perf_found_name(enum perf_found found)
{
	return found_words[found].name;
}

const char *perf_found_text(enum perf_found found)
{
	return found_words[found].text;
}
