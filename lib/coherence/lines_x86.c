/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Line operations of x86-64. The only place that executes cache instructions of x86.
 *
 * All of them act on the line in every cache of the coherence domain, so it does not matter which
 * CPU dirtied it (Intel SDM vol. 2, CLFLUSH, CLFLUSHOPT, CLWB; AMD64 APM vol. 3, the same).
 *
 * Ordering, from the same pages:
 * - CLWB and CLFLUSHOPT are ordered after older stores to the same line, so the data stored just
 *   before them goes to memory without a fence between. They are not ordered with other line
 *   operations nor with loads, and only SFENCE, MFENCE and locked operations order them.
 * - CLFLUSH is ordered with stores on CPUs that have CLFLUSHOPT as well. On those that have CLFLUSH
 *   alone AMD promises an order with MFENCE only, hence MFENCE throughout in that table.
 *
 * Each function is compiled for its own instruction, while the file's baseline stays x86-64-v2, so
 * that the compiler cannot use the instruction anywhere else.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>

#include "lines.h"

#define CPUID_1_EDX_CLFSH (1u << 19)
#define CPUID_7_EBX_CLFLUSHOPT (1u << 23)
#define CPUID_7_EBX_CLWB (1u << 24)

static unsigned leaf7_ebx(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ? ebx : 0;
}

static bool has_clflush(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (edx & CPUID_1_EDX_CLFSH);
}

static bool has_clflushopt(void)
{
	return leaf7_ebx() & CPUID_7_EBX_CLFLUSHOPT;
}

static bool has_clwb(void)
{
	return has_clflushopt() && (leaf7_ebx() & CPUID_7_EBX_CLWB);
}

unsigned nsdk_lines_granule_bytes(void)
{
	unsigned eax, ebx, ecx, edx;

	/* CPUID leaf 1, EBX bits 15:8: the CLFLUSH line in units of 8 bytes. */
	if (!has_clflush() || !__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		return NSDK_LINE_BYTES;
	return (ebx >> 8 & 0xff) * 8;
}

unsigned nsdk_lines_eviction_bytes(void)
{
	/* A cache line is written back alone, also where a prefetcher fetches lines in pairs. */
	return nsdk_lines_granule_bytes();
}

__attribute__((target("clwb"))) static void clwb_lines(const void *va, size_t lines)
{
	for (char *line = (char *)va; lines > 0; lines--, line += NSDK_LINE_BYTES)
		_mm_clwb(line);
}

__attribute__((target("clflushopt"))) static void clflushopt_lines(const void *va, size_t lines)
{
	for (char *line = (char *)va; lines > 0; lines--, line += NSDK_LINE_BYTES)
		_mm_clflushopt(line);
}

static void clflush_lines(const void *va, size_t lines)
{
	for (const char *line = va; lines > 0; lines--, line += NSDK_LINE_BYTES)
		_mm_clflush(line);
}

/*
 * Non-temporal stores (MOVNTDQ) go past the caches: a line that one of them holds is written back and
 * dropped first (Intel SDM vol. 1, "Caching of temporal vs. non-temporal data"; AMD64 APM vol. 1,
 * "Non-temporal stores"). They are weakly ordered: SFENCE drains them. SSE2, so in the baseline, and
 * as fast as wider ones, since what goes to memory is whole lines either way.
 */
static void stream_copy(void *to, const void *from, size_t lines)
{
	const __m128i *in = from;
	__m128i *out = to;

	for (; lines > 0; lines--, in += 4, out += 4) {
		__m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1);
		__m128i c = _mm_loadu_si128(in + 2), d = _mm_loadu_si128(in + 3);

		_mm_stream_si128(out, a);
		_mm_stream_si128(out + 1, b);
		_mm_stream_si128(out + 2, c);
		_mm_stream_si128(out + 3, d);
	}
}

static void stream_fill(void *to, int byte, size_t lines)
{
	const __m128i value = _mm_set1_epi8((char)byte);
	__m128i *out = to;

	for (; lines > 0; lines--, out += 4) {
		_mm_stream_si128(out, value);
		_mm_stream_si128(out + 1, value);
		_mm_stream_si128(out + 2, value);
		_mm_stream_si128(out + 3, value);
	}
}

/*
 * SFENCE: orders the CLWBs and CLFLUSHOPTs, and any non-temporal stores that produced the data,
 * before the doorbell's store. Against the device, which fetches from memory as soon as it sees the
 * doorbell. Loads need not wait, so the cheaper fence will do. It is a compiler barrier too.
 */
static void store_fence(void)
{
	_mm_sfence();
}

/*
 * MFENCE, in two places that need more than SFENCE.
 *
 * After line operations, before the CPU reads: SFENCE does not hold loads back, so a load of the
 * data could be served from the stale line before CLFLUSHOPT drops it. Against the device's writes,
 * which are in memory already.
 *
 * Before line operations that take data back: CLFLUSHOPT is not ordered after older loads, so it
 * could drop the line before the load of the completion has been done, while the device was still
 * writing, and the line be fetched again too early. LFENCE would do on Intel; on AMD that rests on a
 * model-specific register. MFENCE rests on nothing.
 */
static void full_fence(void)
{
	_mm_mfence();
}

const struct nsdk_lines_kind nsdk_lines_kinds[] = {
	{
		.ops = {
			.name = "clwb",
			.writeback = clwb_lines,
			.writeback_invalidate = clflushopt_lines,
			.acquire_for_cpu = full_fence,
			.fence_for_device = store_fence,
			.fence_for_cpu = full_fence,
			.copy = stream_copy,
			.fill = stream_fill,
		},
		.writeback = "clwb",
		.invalidate = "clflushopt",
		.usable = has_clwb,
	},
	{
		.ops = {
			.name = "clflushopt",
			.writeback = clflushopt_lines,
			.writeback_invalidate = clflushopt_lines,
			.acquire_for_cpu = full_fence,
			.fence_for_device = store_fence,
			.fence_for_cpu = full_fence,
			.copy = stream_copy,
			.fill = stream_fill,
		},
		.writeback = "clflushopt",
		.invalidate = "clflushopt",
		.usable = has_clflushopt,
	},
	{
		.ops = {
			.name = "clflush",
			.writeback = clflush_lines,
			.writeback_invalidate = clflush_lines,
			.acquire_for_cpu = full_fence,
			/* Not SFENCE: see the top of the file. */
			.fence_for_device = full_fence,
			.fence_for_cpu = full_fence,
			.copy = stream_copy,
			.fill = stream_fill,
		},
		.writeback = "clflush",
		.invalidate = "clflush",
		.usable = has_clflush,
	},
};
const unsigned nsdk_lines_kind_count = sizeof(nsdk_lines_kinds) / sizeof(nsdk_lines_kinds[0]);
