/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's aarch64 parts in a program that lines_test.py runs under qemu-user: it does one thing,
 * so that the trace of executed instructions is that thing's.
 *
 *	harness granule				prints what CTR_EL0 was taken to say
 *	harness writeback|invalidate OFFSET LINES
 *	harness sync DEVICE|CPU DIR OFFSET BYTES
 *	harness batch [DEVICE|CPU DIR OFFSET BYTES]...	one commit
 *	harness copy_in|fill|copy_out OFFSET BYTES
 *	harness data				no trace: copies and fills, every alignment, byte by byte
 *
 * DIR is to, from or both. Offsets are those into the memory whose address is printed as "base".
 *
 * Compiled once as it is, and once with a copy of lines_aarch64.c that takes CTR_EL0 from
 * harness_ctr, which the environment sets.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <nsdk/log.h>

#include "lib/coherence/engine.h"
#include "lib/coherence/lines.h"
#include "lib/env/thread.h"

#define BYTES ((size_t)64 << 10)
#define PAGE_BYTES ((size_t)4096)

uint64_t harness_ctr;

static char *memory;
static struct nsdk_coherence coh;

/* ---- What the engine asks of other rooms ---- */

int(nsdk_fail)(int error, const char *room, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", room);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return error;
}

unsigned nsdk_thread_cpu_class(void)
{
	return 0;
}

void nsdk_coherence_counts_add(const struct nsdk_coherence_counts *counts,
			       struct nsdk_coherence_stats *sum)
{
}

/* ---- One thing ---- */

static size_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

static enum nsdk_dma_dir direction(const char *text)
{
	if (strcmp(text, "to") == 0)
		return NSDK_DMA_TO_DEVICE;
	return strcmp(text, "from") == 0 ? NSDK_DMA_FROM_DEVICE : NSDK_DMA_BIDIRECTIONAL;
}

static int one_batch(int count, char **words)
{
	struct nsdk_flush_batch *batch;

	if (nsdk_flush_batch_create(&coh, 32, &batch) != 0)
		return 1;
	for (; count >= 4; count -= 4, words += 4) {
		enum nsdk_dma_dir dir = direction(words[1]);
		char *va = memory + number(words[2]);

		if (strcmp(words[0], "device") == 0)
			nsdk_flush_batch_for_device(batch, va, number(words[3]), dir);
		else
			nsdk_flush_batch_for_cpu(batch, va, number(words[3]), dir);
	}
	nsdk_flush_batch_commit(batch);
	nsdk_flush_batch_destroy(batch);
	return 0;
}

/* ---- Data ---- */

static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 167 + (at >> 8) * 13 + 1);
}

/* All of memory is @p before but [at, at + bytes), which is the pattern or @p byte. */
static bool is_right(size_t at, size_t bytes, unsigned char before, int byte)
{
	for (size_t i = 0; i < BYTES; i++) {
		unsigned char want = before;

		if (i >= at && i < at + bytes)
			want = byte < 0 ? pattern(i - at) : (unsigned char)byte;
		if ((unsigned char)memory[i] != want)
			return false;
	}
	return true;
}

/* The range ends where the memory does, and the source too: one byte further would be a fault. */
static bool copies_and_fills(size_t bytes, size_t skew)
{
	size_t at = BYTES - bytes;
	char *source = memory + BYTES + PAGE_BYTES + PAGE_BYTES * 2 - bytes - skew;

	for (size_t i = 0; i < bytes; i++)
		source[i] = (char)pattern(i);
	memset(memory, 0x11, BYTES);
	nsdk_dma_copy_in(&coh, memory + at, source, bytes);
	if (!is_right(at, bytes, 0x11, -1))
		return false;
	memset(source, 0, bytes);
	nsdk_dma_copy_out(&coh, source, memory + at, bytes);
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)source[i] != pattern(i))
			return false;
	memset(memory, 0x22, BYTES);
	nsdk_dma_fill(&coh, memory + at, 0xa5, bytes);
	return is_right(at, bytes, 0x22, 0xa5);
}

/* The same in the middle, with every alignment of the destination. */
static bool at_each_alignment(size_t bytes)
{
	static char source[PAGE_BYTES * 2];

	for (size_t i = 0; i < bytes; i++)
		source[i] = (char)pattern(i);
	for (size_t at = PAGE_BYTES; at < PAGE_BYTES + 2 * NSDK_LINE_BYTES; at++) {
		memset(memory, 0x33, BYTES);
		nsdk_dma_copy_in(&coh, memory + at, source, bytes);
		if (!is_right(at, bytes, 0x33, -1))
			return false;
	}
	return true;
}

static int data(void)
{
	static const size_t lengths[] = { 1, 15, 63, 64, 65, 127, 128, 129, 200, 4095, 4096, 4097, 8000 };
	bool ends = true, alignments = true;

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t skew = 0; skew < 20; skew++)
			ends = ends && copies_and_fills(lengths[i], skew);
		if (i % 3 == 0)
			alignments = alignments && at_each_alignment(lengths[i]);
	}
	puts(ends ? "ends right" : "ends wrong");
	puts(alignments ? "alignments right" : "alignments wrong");
	return 0;
}

/* ---- All of it ---- */

int main(int argc, char **argv)
{
	const struct nsdk_line_ops *ops = nsdk_line_ops_cpu();
	const char *what = argc > 1 ? argv[1] : "";

	harness_ctr = getenv("HARNESS_CTR") ? number(getenv("HARNESS_CTR")) : 0;
	/* The memory, a page that nobody may touch, the source of copies, and another such page. */
	memory = mmap(NULL, BYTES + 4 * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || mprotect(memory + BYTES, PAGE_BYTES, PROT_NONE) != 0 ||
	    mprotect(memory + BYTES + 3 * PAGE_BYTES, PAGE_BYTES, PROT_NONE) != 0)
		return 1;
	coh.active = true;
	coh.ops = ops;
	pthread_mutex_init(&coh.lock, NULL);
	LIST_INIT(&coh.batches);

	if (strcmp(what, "data") == 0)
		return data();
	if (strcmp(what, "granule") == 0) {
		printf("granule %u eviction %u kinds %u\n", nsdk_lines_granule_bytes(),
		       nsdk_lines_eviction_bytes(), nsdk_lines_kind_count);
		return 0;
	}
	printf("base %p\n", (void *)memory);
	fflush(stdout);
	if (strcmp(what, "batch") == 0)
		return one_batch(argc - 2, argv + 2);
	if (strcmp(what, "sync") == 0 && argc == 6) {
		(strcmp(argv[2], "device") == 0 ? nsdk_sync_for_device : nsdk_sync_for_cpu)(
			&coh, memory + number(argv[4]), number(argv[5]), direction(argv[3]));
		return 0;
	}
	if (argc != 4)
		return 2;
	if (strcmp(what, "writeback") == 0)
		ops->writeback(memory + number(argv[2]), number(argv[3]));
	else if (strcmp(what, "invalidate") == 0)
		ops->writeback_invalidate(memory + number(argv[2]), number(argv[3]));
	else if (strcmp(what, "copy_in") == 0)
		nsdk_dma_copy_in(&coh, memory + number(argv[2]), memory + BYTES / 2, number(argv[3]));
	else if (strcmp(what, "copy_out") == 0)
		nsdk_dma_copy_out(&coh, memory + BYTES / 2, memory + number(argv[2]), number(argv[3]));
	else if (strcmp(what, "fill") == 0)
		nsdk_dma_fill(&coh, memory + number(argv[2]), 0x5a, number(argv[3]));
	else
		return 2;
	return 0;
}
