/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast dirty lines go to memory: a batch of the engine, libpmem, and a bare loop of the same
 * instruction, side by side.
 *
 *	flush writeback|invalidate [SECONDS]
 *
 * A round takes each contender once, in an order that is drawn anew, over lines that have just been dirtied.
 * What is compared is the two times of one round, and the median over all rounds, so that a machine
 * that gets faster or slower meanwhile, or is interrupted, does not decide. libpmem takes part twice: what it
 * shows against itself is as near as anything can be told apart.
 *
 * Before its time is taken each flushes some lines of its own twice, by the same way through its code: a
 * first call after something else has run finds branches predicted for that, and code and state in a cache
 * further away. That is some 60 ns more for a batch than for libpmem, as it keeps more, and of rounds that
 * take 12 us it would be the only difference seen. Each line of output is
 *
 *	NAME VALUE UNIT SPREAD WITHIN
 *
 * the spread being the distance between the quartiles. The true median is within WITHIN of the value, 997
 * times of 1000: there are eight sizes, and one of them should not look slow by chance.
 *
 * libpmem takes CLWB where there is one, for both; mk/bench runs `invalidate` with PMEM_NO_CLWB=1,
 * which makes it take what invalidates.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <nsdk/config.h>
#include <nsdk/env.h>

#if NSDK_HAVE_LIBPMEM
#include <libpmem.h>
#endif

#include "lib/coherence/engine.h"

#define MIB ((size_t)1 << 20)
#define LARGEST_BYTES (64 * MIB)
/* Small buffers are taken several at a time, so that reading the clock does not count. */
#define ROUND_BYTES ((size_t)256 << 10)
#define MAX_ROUNDS 4001u
#define MIN_ROUNDS 9u

static const size_t sizes_bytes[] = {
	4096, 16384, 65536, 262144, MIB, 4 * MIB, 16 * MIB, LARGEST_BYTES,
};
#define SIZES (sizeof(sizes_bytes) / sizeof(sizes_bytes[0]))

static char *memory;
static struct nsdk_flush_batch *batch;
static enum nsdk_dma_dir dir;

/* ---- The contenders: one buffer, with the fence that makes it complete ---- */

static void by_nsdk(char *va, size_t bytes)
{
	nsdk_flush_batch_for_device(batch, va, bytes, dir);
	nsdk_flush_batch_commit(batch);
}

#if NSDK_HAVE_LIBPMEM
static void by_libpmem(char *va, size_t bytes)
{
	pmem_flush(va, bytes);
	pmem_drain();
}
#endif

#if NSDK_ARCH_X86_64
#define BARE(name, instruction)                                                                    \
	static void name(char *va, size_t bytes)                                                   \
	{                                                                                          \
		for (char *line = va, *end = va + bytes; line < end; line += NSDK_LINE_BYTES)      \
			__asm__ volatile(instruction " %0" : "+m"(*(volatile char *)line));        \
		/* As the engine's: the lines are in memory before a doorbell that would follow. */ \
		__asm__ volatile("sfence" : : : "memory");                                         \
	}
BARE(bare_clwb, "clwb")
BARE(bare_clflushopt, "clflushopt")
BARE(bare_clflush, "clflush")
#else
#define BARE(name, instruction)                                                                    \
	static void name(char *va, size_t bytes)                                                   \
	{                                                                                          \
		for (char *line = va, *end = va + bytes; line < end; line += NSDK_LINE_BYTES)      \
			__asm__ volatile(instruction ", %0" : : "r"(line) : "memory");             \
		/* As the engine's: the lines are in memory before a doorbell that would follow. */ \
		__asm__ volatile("dsb sy" : : : "memory");                                         \
	}
BARE(bare_cvac, "dc cvac")
BARE(bare_civac, "dc civac")
#endif

/* The loop of the instruction that the engine has chosen. */
static void (*bare_loop(const char *instruction))(char *va, size_t bytes)
{
	static const struct {
		const char *instruction;
		void (*loop)(char *va, size_t bytes);
	} loops[] = {
#if NSDK_ARCH_X86_64
		{ "clwb", bare_clwb },
		{ "clflushopt", bare_clflushopt },
		{ "clflush", bare_clflush },
#else
		{ "dc cvac", bare_cvac },
		{ "dc civac", bare_civac },
#endif
	};

	for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		if (strcmp(loops[i].instruction, instruction) == 0)
			return loops[i].loop;
	return NULL;
}

enum { NSDK, BARE_LOOP, LIBPMEM, LIBPMEM_AGAIN, CONTENDERS };

static struct {
	const char *name; /* NULL: its speed is another's */
	const char *ratio; /* and how that compared is called */
	unsigned to;       /* with whom */
	void (*flush)(char *va, size_t bytes);
} contenders[CONTENDERS] = {
	[NSDK] = { "nsdk", NULL, NSDK, by_nsdk },
	[BARE_LOOP] = { "bare", "vs_bare", NSDK, NULL },
	[LIBPMEM] = { "libpmem", "vs_libpmem", NSDK, NULL },
	[LIBPMEM_AGAIN] = { NULL, "libpmem_vs_itself", LIBPMEM, NULL },
};

/* ---- Statistics ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary {
	double value, spread, within;
};

/*
 * Sorts them. How often a sample is below the true median is a binomial, so that lies between two of these
 * values, three standard deviations (sqrt(n) / 2 each) off the middle, 997 times of 1000.
 */
static struct summary summary(double *values, unsigned count)
{
	unsigned off = (unsigned)ceil(1.5 * sqrt(count)), middle = count / 2;
	double above, below;

	qsort(values, count, sizeof(*values), compare);
	off = off < middle ? off : middle;
	above = values[middle + off < count ? middle + off : count - 1] - values[middle];
	below = values[middle] - values[middle - off];
	return (struct summary){
		.value = values[middle],
		.spread = values[count * 3 / 4] - values[count / 4],
		.within = above > below ? above : below,
	};
}

static void tell(const char *name, double *values, unsigned count, const char *unit)
{
	struct summary result = summary(values, count);

	printf("%s %.4f %s %.4f %.4f\n", name, result.value, unit, result.spread, result.within);
}

/* ---- One size ---- */

static void dirty(size_t bytes, unsigned round)
{
	for (size_t at = 0; at < bytes; at += NSDK_LINE_BYTES)
		*(volatile unsigned *)(memory + at) = round;
}

/* Any order equally often: what one leaves under way slows the next a little (Fisher and Yates). */
static void shuffle(unsigned order[CONTENDERS])
{
	static uint32_t random = 1;

	for (unsigned i = CONTENDERS - 1; i > 0; i--) {
		unsigned other, moved = order[i];

		random = random * 1664525 + 1013904223; /* Numerical Recipes' generator */
		other = (unsigned)((uint64_t)(random >> 8) * (i + 1) >> 24);
		order[i] = order[other];
		order[other] = moved;
	}
}

static double time_ns(unsigned contender, size_t bytes, size_t total_bytes)
{
	static char warm[16384] __attribute__((aligned(4096)));
	size_t warm_bytes = bytes < sizeof(warm) ? bytes : sizeof(warm);
	uint64_t start;

	contenders[contender].flush(warm, warm_bytes);
	contenders[contender].flush(warm, warm_bytes);
	start = nsdk_clock_ns();
	for (size_t at = 0; at < total_bytes; at += bytes)
		contenders[contender].flush(memory + at, bytes);
	return (double)(nsdk_clock_ns() - start);
}

static void size_name(char *out, size_t out_bytes, size_t bytes)
{
	if (bytes < MIB)
		snprintf(out, out_bytes, "%zuKiB", bytes >> 10);
	else
		snprintf(out, out_bytes, "%zuMiB", bytes / MIB);
}

static void measure(const char *what, size_t bytes, double seconds)
{
	static double speed[CONTENDERS][MAX_ROUNDS], ratio[CONTENDERS][MAX_ROUNDS];
	size_t total_bytes = bytes < ROUND_BYTES ? ROUND_BYTES : bytes;
	uint64_t deadline_ns = nsdk_clock_ns() + (uint64_t)(seconds * 1e9);
	unsigned order[CONTENDERS], rounds;
	char size[32];

	for (unsigned c = 0; c < CONTENDERS; c++)
		order[c] = c;

	for (rounds = 0; rounds < MAX_ROUNDS; rounds++) {
		double ns[CONTENDERS] = { 0 };

		if (rounds >= MIN_ROUNDS && nsdk_clock_ns() > deadline_ns)
			break;
		shuffle(order);
		for (unsigned i = 0; i < CONTENDERS; i++) {
			unsigned contender = order[i];

			if (!contenders[contender].flush)
				continue;
			dirty(total_bytes, rounds * CONTENDERS + i);
			ns[contender] = time_ns(contender, bytes, total_bytes);
		}
		for (unsigned c = 0; c < CONTENDERS; c++) {
			/* Bytes a nanosecond are GB/s. */
			speed[c][rounds] = ns[c] > 0 ? (double)total_bytes / ns[c] : 0;
			ratio[c][rounds] = ns[c] / ns[contenders[c].to];
		}
	}
	size_name(size, sizeof(size), bytes);
	for (unsigned c = 0; c < CONTENDERS; c++) {
		char name[80];

		if (!contenders[c].flush)
			continue;
		if (contenders[c].name) {
			snprintf(name, sizeof(name), "flush.%s.%s.%s", what, contenders[c].name, size);
			tell(name, speed[c], rounds, "GB/s");
		}
		if (contenders[c].ratio) {
			snprintf(name, sizeof(name), "flush.%s_%s.%s", what, contenders[c].ratio, size);
			tell(name, ratio[c], rounds, "ratio");
		}
	}
	fflush(stdout);
}

/* What a doorbell costs when nothing has to be flushed for it. */
static void measure_empty(const char *what, struct nsdk_flush_batch *empty)
{
	enum { SAMPLES = 501, COMMITS = 1000 };
	static double ns[SAMPLES];

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t start = nsdk_clock_ns();

		for (unsigned k = 0; k < COMMITS; k++)
			nsdk_flush_batch_commit(empty);
		ns[i] = (double)(nsdk_clock_ns() - start) / COMMITS;
	}
	tell(what, ns, SAMPLES, "ns");
}

/* ---- All of it ---- */

/* An engine without a device: active or not, with the CPU's own line operations. */
static int engine_of_the_cpu(bool active, struct nsdk_coherence **out)
{
	struct nsdk_coherence *coh = aligned_alloc(NSDK_LINE_BYTES, sizeof(*coh));

	if (!coh)
		return -ENOMEM;
	memset(coh, 0, sizeof(*coh));
	coh->active = active;
	coh->ops = nsdk_line_ops_cpu();
	pthread_mutex_init(&coh->lock, NULL);
	LIST_INIT(&coh->batches);
	*out = coh;
	return 0;
}

int main(int argc, char **argv)
{
	bool invalidate = argc > 1 && strcmp(argv[1], "invalidate") == 0;
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
	struct nsdk_coherence *active, *inactive;
	struct nsdk_flush_batch *snooped;
	struct nsdk_line_info info;

	if (argc < 2 || (!invalidate && strcmp(argv[1], "writeback") != 0)) {
		fprintf(stderr, "usage: flush writeback|invalidate [SECONDS]\n");
		return 2;
	}
	dir = invalidate ? NSDK_DMA_FROM_DEVICE : NSDK_DMA_TO_DEVICE;
	nsdk_line_info(&info);
	contenders[BARE_LOOP].flush = bare_loop(invalidate ? info.invalidate : info.writeback);
#if NSDK_HAVE_LIBPMEM
	contenders[LIBPMEM].flush = contenders[LIBPMEM_AGAIN].flush = by_libpmem;
#endif
	/* Large pages where they can be had: what is measured is the cache, not the page table. */
	memory = mmap(NULL, LARGEST_BYTES + 2 * MIB, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || engine_of_the_cpu(true, &active) ||
	    engine_of_the_cpu(false, &inactive) || nsdk_flush_batch_create(active, 64, &batch) ||
	    nsdk_flush_batch_create(inactive, 64, &snooped)) {
		fprintf(stderr, "flush: no memory\n");
		return 1;
	}
	memory = (char *)(((uintptr_t)memory + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
	madvise(memory, LARGEST_BYTES, MADV_HUGEPAGE);
	dirty(LARGEST_BYTES, 0);

	printf("# %s\n", invalidate ? info.invalidate : info.writeback);
	for (unsigned i = 0; i < SIZES; i++)
		measure(argv[1], sizes_bytes[i], seconds);
	if (!invalidate) {
		measure_empty("coherence.empty_batch", batch);
		measure_empty("coherence.empty_batch_coherent", snooped);
	}
	nsdk_flush_batch_destroy(snooped);
	nsdk_flush_batch_destroy(batch);
	free(inactive);
	free(active);
	return 0;
}
