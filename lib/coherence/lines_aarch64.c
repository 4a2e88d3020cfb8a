/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Line operations of aarch64. The only place that executes cache instructions of aarch64.
 *
 * A user program may clean (DC CVAC) and clean-and-invalidate (DC CIVAC) to the point of coherency,
 * and read CTR_EL0; Linux allows both (SCTLR_EL1.UCI, UCT) or emulates them. There is no plain
 * invalidate for it, nor is one wanted: dropping somebody's dirty data is never right here.
 *
 * Ordering (Arm ARM, "Ordering of cache maintenance instructions"): a DC instruction is ordered
 * with accesses to its own line, and with nothing else until a barrier.
 */
#include <stdatomic.h>
#include <string.h>

#include "lines.h"

static uint64_t ctr_el0(void)
{
	uint64_t value;

	__asm__("mrs %0, ctr_el0" : "=r"(value));
	return value;
}

unsigned nsdk_lines_granule_bytes(void)
{
	/* DminLine, bits 19:16: log2 of the words in the smallest data cache line. */
	return 4u << (ctr_el0() >> 16 & 0xf);
}

unsigned nsdk_lines_eviction_bytes(void)
{
	/* CWG, bits 27:24: log2 of the words that an eviction may overwrite; 0: the CPU does not say. */
	unsigned words_log2 = ctr_el0() >> 24 & 0xf;

	return words_log2 ? 4u << words_log2 : 0;
}

/*
 * The stride is the CPU's own where its lines are shorter than ours; longer ones are only repeated.
 * Kept, because reading CTR_EL0 is a trap into the kernel on machines with unlike cores.
 */
static size_t stride_bytes(void)
{
	static _Atomic unsigned kept;
	unsigned stride = atomic_load_explicit(&kept, memory_order_relaxed);

	if (!stride) {
		stride = nsdk_lines_granule_bytes();
		if (stride > NSDK_LINE_BYTES)
			stride = NSDK_LINE_BYTES;
		atomic_store_explicit(&kept, stride, memory_order_relaxed);
	}
	return stride;
}

static void dc_cvac_lines(const void *va, size_t lines)
{
	const char *line = va, *end = line + lines * NSDK_LINE_BYTES;
	size_t stride = stride_bytes();

	for (; line < end; line += stride)
		__asm__ volatile("dc cvac, %0" : : "r"(line) : "memory");
}

static void dc_civac_lines(const void *va, size_t lines)
{
	const char *line = va, *end = line + lines * NSDK_LINE_BYTES;
	size_t stride = stride_bytes();

	for (; line < end; line += stride)
		__asm__ volatile("dc civac, %0" : : "r"(line) : "memory");
}

/*
 * STNP is a hint only: a CPU may keep in a cache what it stores. So ordinary stores, and a clean of
 * each line, in pieces that are still in the first cache when they are cleaned.
 */
#define PIECE_LINES ((size_t)64)

static void copy_and_clean(void *to, const void *from, size_t lines)
{
	const char *in = from;
	char *out = to;

	while (lines > 0) {
		size_t n = lines < PIECE_LINES ? lines : PIECE_LINES;

		memcpy(out, in, n * NSDK_LINE_BYTES);
		dc_cvac_lines(out, n);
		in += n * NSDK_LINE_BYTES;
		out += n * NSDK_LINE_BYTES;
		lines -= n;
	}
}

static void fill_and_clean(void *to, int byte, size_t lines)
{
	char *out = to;

	while (lines > 0) {
		size_t n = lines < PIECE_LINES ? lines : PIECE_LINES;

		memset(out, byte, n * NSDK_LINE_BYTES);
		dc_cvac_lines(out, n);
		out += n * NSDK_LINE_BYTES;
		lines -= n;
	}
}

/*
 * DSB SY: nothing else guarantees that a DC instruction is complete. It holds back all that follows:
 * the doorbell, until the data has arrived where the device reads it; the CPU's loads, until the
 * stale lines are gone. SY, the full system, since a device that bypasses the caches is outside the
 * shareable domains.
 */
static void dsb_sy(void)
{
	__asm__ volatile("dsb sy" : : : "memory");
}

/*
 * DMB SY: the load that saw the completion before the DC instructions that follow. Nothing has to be
 * waited for, an order is enough. SY, since what that load saw was written by the device.
 */
static void dmb_sy(void)
{
	__asm__ volatile("dmb sy" : : : "memory");
}

static bool always(void)
{
	return true;
}

const struct nsdk_lines_kind nsdk_lines_kinds[] = {
	{
		.ops = {
			.name = "dc",
			.writeback = dc_cvac_lines,
			.writeback_invalidate = dc_civac_lines,
			.acquire_for_cpu = dmb_sy,
			.fence_for_device = dsb_sy,
			.fence_for_cpu = dsb_sy,
			.copy = copy_and_clean,
			.fill = fill_and_clean,
		},
		.writeback = "dc cvac",
		.invalidate = "dc civac",
		.usable = always,
	},
};
const unsigned nsdk_lines_kind_count = sizeof(nsdk_lines_kinds) / sizeof(nsdk_lines_kinds[0]);
