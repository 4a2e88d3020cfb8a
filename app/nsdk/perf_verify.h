/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Self-describing blocks: what --verify writes and how it looks at what comes back.
 *
 * A missing write-back or invalidate leaves exactly one stale cache line, so a header at the start
 * of a block would hardly ever notice. Here every 64-byte line of a block says where it belongs,
 * which generation of that block it is, in which run it was written, and carries a checksum:
 *
 *	word 0  magic, and the line's number in its block
 *	word 1  the block's address (LBA)
 *	word 2  namespace and generation
 *	word 3  the run's nonce
 *	word 4  filler made from the words above …
 *	word 5
 *	word 6
 *	word 7  checksum of words 0 to 6
 *
 * The nonce is new for each run: what an earlier run with the same options left on the disk is old
 * data, not the data that a lost write should have brought. Before a read the buffer is poisoned,
 * so that what the device did not deliver shows even where the buffer held the right data already.
 */
#ifndef NSDK_PERF_VERIFY_H
#define NSDK_PERF_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#include <nsdk/types.h>

struct perf_pattern {
	uint64_t nonce;
	uint32_t nsid;
};

/* What was found where something else should be. */
enum perf_found {
	PERF_FOUND_STALE,     /* this block, another generation */
	PERF_FOUND_ELSEWHERE, /* a whole line of another block or place in the block */
	PERF_FOUND_OLD_RUN,   /* a whole line that an earlier run wrote */
	PERF_FOUND_POISON,    /* what the buffer held before the read */
	PERF_FOUND_ZEROES,
	PERF_FOUND_GARBAGE,   /* none of these, or a line that is right in part */
};

/* A run of lines, in one block or in several in a row, that are wrong in the same way. */
struct perf_mismatch {
	uint64_t lba;          /* of the first block */
	uint32_t blocks;       /* more than 1: all their lines are wrong */
	uint32_t offset_bytes; /* of the first wrong line in the first block */
	uint32_t lines;        /* wrong lines in a row, in all blocks */
	enum perf_found found;
	uint32_t expected_generation;
	uint64_t expected_checksum; /* of the first wrong line */
	/* As the first wrong line says of itself; only where `found` is a whole line. */
	uint64_t found_lba;
	uint32_t found_generation;
	uint64_t found_checksum;
};

typedef void (*perf_mismatch_fn)(void *ctx, const struct perf_mismatch *mismatch);

/* Write generation @p generation of @p blocks blocks into @p buf. Block sizes are multiples of 64. */
void perf_pattern_fill(const struct perf_pattern *pattern, void *buf, uint64_t lba, uint32_t blocks,
		       uint32_t block_bytes, uint32_t generation);

/* Make a buffer unlike anything a device could deliver. */
void perf_pattern_poison(void *buf, size_t bytes);

/*
 * Look at what came back; @p fn hears of each run of wrong lines.
 * @return the number of blocks with something wrong in them.
 */
uint32_t perf_pattern_check(const struct perf_pattern *pattern, const void *buf, uint64_t lba,
			    uint32_t blocks, uint32_t block_bytes, uint32_t generation,
			    perf_mismatch_fn fn, void *ctx);

/* "stale", … for JSON; and in words, with what it hints at. */
const char *perf_found_name(enum perf_found found);
const char *perf_found_text(enum perf_found found);

#endif
