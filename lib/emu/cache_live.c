/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the model and the devices touch the application's memory.
 *
 * That memory belongs to other threads, which store to it while we look: a real cache and a real bus
 * do the same. So every access is a volatile load or store of at most one aligned word, never
 * memcpy(), which the compiler may split or repeat.
 *
 * Every line that a device touches comes through here several times, so what is asked of a line is
 * answered for the whole of it at once.
 *
 * Sanitizers are told not to look at these few functions. The thread sanitizer would call the
 * comparison of a line with its old value a race, which it is, and is meant to be. The address
 * sanitizer would complain of a whole line around a small buffer, for lines do not end where malloc()
 * blocks do; it does watch the bytes that a device transfers.
 */
#include "cache_internal.h"

#if defined(__clang__)
#define UNWATCHED __attribute__((noinline, disable_sanitizer_instrumentation))
#define UNWATCHED_BY_TSAN __attribute__((noinline, no_sanitize("thread")))
#else
#define UNWATCHED \
	__attribute__((noinline, no_sanitize("thread"), no_sanitize("address"), no_sanitize("undefined")))
#define UNWATCHED_BY_TSAN __attribute__((noinline, no_sanitize("thread")))
#endif

UNWATCHED void emu_cache_live_line(uintptr_t va, uint64_t out[8])
{
	const volatile uint64_t *line = (const volatile uint64_t *)va;

	for (unsigned i = 0; i < 8; i++)
		out[i] = line[i];
}

UNWATCHED bool emu_cache_live_is_zero(uintptr_t page_va)
{
	const volatile uint64_t *line = (const volatile uint64_t *)page_va;

	for (unsigned i = 0; i < EMU_CACHE_PAGE_LINES; i++, line += 8)
		if ((line[0] | line[1] | line[2] | line[3] | line[4] | line[5] | line[6] | line[7]) != 0)
			return false;
	return true;
}

UNWATCHED uint64_t emu_cache_live_differ(uintptr_t va, const uint8_t *with)
{
	const volatile uint64_t *line = (const volatile uint64_t *)va;
	uint64_t mask = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t word;

		__builtin_memcpy(&word, with + (size_t)i * 8, 8);
		word ^= line[i];
		if (word == 0)
			continue;
		/* Each byte that is not 0 gets its highest bit, and the product brings the eight together. */
		word |= (word & 0x7f7f7f7f7f7f7f7full) + 0x7f7f7f7f7f7f7f7full;
		mask |= ((word & 0x8080808080808080ull) * 0x0002040810204081ull >> 56) << (i * 8);
	}
	return mask;
}

UNWATCHED uint64_t emu_cache_live_refresh(uintptr_t va, uint8_t *agreed, const uint8_t *dram,
					  uint64_t bytes)
{
	for (unsigned offset = 0; offset < NSDK_LINE_BYTES; offset += 8) {
		uint64_t was, is;

		__builtin_memcpy(&was, agreed + offset, 8);
		__builtin_memcpy(&is, dram + offset, 8);
		if (was != is) {
			/* A word that the CPU stored to meanwhile stays as it is: it is dirty. */
			if (!__atomic_compare_exchange_n((uint64_t *)(va + offset), &was, is, false,
							 __ATOMIC_RELEASE, __ATOMIC_RELAXED))
				continue;
			__builtin_memcpy(agreed + offset, &is, 8);
		}
		bytes &= ~((uint64_t)0xff << offset);
	}
	return bytes;
}

UNWATCHED_BY_TSAN void emu_cache_live_read(void *to, const void *from, size_t bytes)
{
	const volatile uint8_t *in = from;
	uint8_t *out = to;

	for (; bytes > 0 && (uintptr_t)in % 8 != 0; bytes--)
		*out++ = *in++;
	for (; bytes >= 8; bytes -= 8, in += 8, out += 8) {
		uint64_t word = *(const volatile uint64_t *)in;

		__builtin_memcpy(out, &word, 8);
	}
	for (; bytes > 0; bytes--)
		*out++ = *in++;
}

/*
 * Every unit is stored with release order. Against the host's thread, which loads a completion entry
 * with acquire order and then reads data: all DMA before the entry is visible with it, and the first
 * half of the entry with its second half, where the phase tag is.
 */
UNWATCHED_BY_TSAN void emu_cache_live_write(void *to, const void *from, size_t bytes)
{
	const uint8_t *in = from;
	uint8_t *out = to;

	for (; bytes > 0 && (uintptr_t)out % 8 != 0; bytes--)
		__atomic_store_n(out++, *in++, __ATOMIC_RELEASE);
	for (; bytes >= 8; bytes -= 8, in += 8, out += 8) {
		uint64_t word;

		__builtin_memcpy(&word, in, 8);
		__atomic_store_n((uint64_t *)out, word, __ATOMIC_RELEASE);
	}
	for (; bytes > 0; bytes--)
		__atomic_store_n(out++, *in++, __ATOMIC_RELEASE);
}
