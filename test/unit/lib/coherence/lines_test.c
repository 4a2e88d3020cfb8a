/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The line operations on real memory. Whether an instruction did its work cannot be seen in the data,
 * which a coherent CPU always shows right; so these tests look at time: a line that was invalidated
 * comes from memory when it is loaded next, one that was only written back may stay in the cache.
 */
#include "nsdk_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <nsdk/config.h>

#include "lib/coherence/lines.h"

#define BYTES ((size_t)64 << 10)

static unsigned char *memory;

static void before(void)
{
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	for (size_t i = 0; i < BYTES; i++)
		memory[i] = (unsigned char)(i * 31 + (i >> 8));
}

static void after(void)
{
	munmap(memory, BYTES);
}

static bool memory_is_unchanged(void)
{
	for (size_t i = 0; i < BYTES; i++)
		if (memory[i] != (unsigned char)(i * 31 + (i >> 8)))
			return false;
	return true;
}

static void data_stays_the_same(void)
{
	unsigned run = 0;

	for (unsigned k = 0; k < nsdk_lines_kind_count; k++) {
		const struct nsdk_lines_kind *kind = &nsdk_lines_kinds[k];

		if (!kind->usable()) {
			printf("# this CPU has no %s\n", kind->ops.name);
			continue;
		}
		run++;
		kind->ops.writeback(memory, BYTES / NSDK_LINE_BYTES);
		kind->ops.fence_for_device();
		CU_ASSERT(memory_is_unchanged());
		kind->ops.acquire_for_cpu();
		kind->ops.writeback_invalidate(memory, BYTES / NSDK_LINE_BYTES);
		kind->ops.fence_for_cpu();
		CU_ASSERT(memory_is_unchanged());
		/* The last line of the mapping: one further would be a fault. */
		kind->ops.writeback(memory + BYTES - NSDK_LINE_BYTES, 1);
		kind->ops.writeback_invalidate(memory + BYTES - NSDK_LINE_BYTES, 1);
		kind->ops.fence_for_cpu();
	}
	if (run == 0)
		nsdk_skip("the CPU has no cache line instruction");
}

static void the_first_usable_kind_is_chosen(void)
{
	struct nsdk_line_info info;

	nsdk_line_info(&info);
	for (unsigned k = 0; k < nsdk_lines_kind_count; k++) {
		if (!nsdk_lines_kinds[k].usable())
			continue;
		CU_ASSERT_PTR_EQUAL(nsdk_line_ops_cpu(), &nsdk_lines_kinds[k].ops);
		NSDK_ASSERT_TEXT(info.writeback, nsdk_lines_kinds[k].writeback);
		NSDK_ASSERT_TEXT(info.invalidate, nsdk_lines_kinds[k].invalidate);
		break;
	}
	NSDK_ASSERT_INT(info.line_bytes, nsdk_lines_granule_bytes());
	CU_ASSERT(info.line_bytes >= 16 && (info.line_bytes & (info.line_bytes - 1)) == 0);
}

#if NSDK_ARCH_X86_64
#include <x86intrin.h>

/* What the kernel says of the CPU: one field of the first CPU in /proc/cpuinfo. */
static bool cpuinfo(const char *field, char *out, size_t out_bytes)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[8192];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, strlen(field)) == 0 && strchr(line, ':')) {
			snprintf(out, out_bytes, "%s ", strchr(line, ':') + 1);
			out[strcspn(out, "\n")] = ' ';
			found = true;
		}
	}
	if (file)
		fclose(file);
	return found;
}

static void agrees_with_the_kernel(void)
{
	char flags[8192], size[64], word[32];

	if (!cpuinfo("flags", flags, sizeof(flags)) || !cpuinfo("clflush size", size, sizeof(size)))
		nsdk_skip("/proc/cpuinfo has no flags");
	for (unsigned k = 0; k < nsdk_lines_kind_count; k++) {
		snprintf(word, sizeof(word), " %s ", nsdk_lines_kinds[k].ops.name);
		NSDK_ASSERT_INT(nsdk_lines_kinds[k].usable(), strstr(flags, word) != NULL);
	}
	NSDK_ASSERT_INT(nsdk_lines_granule_bytes(), strtol(size, NULL, 10));
}

enum { ROUNDS = 400, LINES = 16, FIRST = 4, COUNT = 8 };

__attribute__((noinline, no_sanitize("thread"), no_sanitize("address"))) static unsigned
ticks_to_load(const volatile unsigned char *line)
{
	unsigned aux;
	uint64_t start, end;

	_mm_mfence();
	start = __rdtscp(&aux);
	_mm_lfence();
	(void)*line;
	end = __rdtscp(&aux);
	_mm_lfence();
	return (unsigned)(end - start);
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

/* The median time to load one line, after the operation (NULL: none) on COUNT lines from FIRST. */
static unsigned median_ticks(void (*operation)(const void *va, size_t lines), unsigned line)
{
	static unsigned ticks[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++) {
		/* Far apart, so that a prefetch of one round is not the next one's luck. */
		unsigned char *area = memory + r % 16 * 4096;

		for (unsigned i = 0; i < LINES; i++)
			area[i * NSDK_LINE_BYTES] ^= 1;
		_mm_mfence();
		if (operation)
			operation(area + FIRST * NSDK_LINE_BYTES, COUNT);
		ticks[r] = ticks_to_load(area + line * NSDK_LINE_BYTES);
		for (unsigned i = 0; i < LINES; i++)
			area[i * NSDK_LINE_BYTES] ^= 1;
	}
	qsort(ticks, ROUNDS, sizeof(ticks[0]), compare);
	return ticks[ROUNDS / 2];
}

/* What a line costs that is certainly not cached: not by the code that is tested. */
static void flush_by_hand(const void *va, size_t lines)
{
	for (size_t i = 0; i < lines; i++)
		_mm_clflush((const char *)va + i * NSDK_LINE_BYTES);
	_mm_mfence();
}

static void invalidation_covers_exactly_its_lines(void)
{
	unsigned cached = median_ticks(NULL, FIRST);
	unsigned absent = median_ticks(flush_by_hand, FIRST);

	printf("# a cached line loads in %u ticks, one from memory in %u\n", cached, absent);
	if (absent < cached + 60)
		nsdk_skip("this machine's cache cannot be told from memory by time");
	for (unsigned k = 0; k < nsdk_lines_kind_count; k++) {
		const struct nsdk_lines_kind *kind = &nsdk_lines_kinds[k];
		unsigned between = (cached + absent) / 2;

		if (!kind->usable())
			continue;
		CU_ASSERT(median_ticks(kind->ops.writeback_invalidate, FIRST) > between);
		CU_ASSERT(median_ticks(kind->ops.writeback_invalidate, FIRST + COUNT - 1) > between);
		CU_ASSERT(median_ticks(kind->ops.writeback_invalidate, FIRST - 1) < between);
		CU_ASSERT(median_ticks(kind->ops.writeback_invalidate, FIRST + COUNT) < between);
		CU_ASSERT(memory_is_unchanged());
	}
}

/* Only a hint: some CPUs drop the line as well, which the manual allows. */
static void writeback_by_clwb_may_keep_the_line(void)
{
	if (strcmp(nsdk_line_ops_cpu()->name, "clwb") != 0)
		nsdk_skip("this CPU has no clwb");
	printf("# after clwb a line loads in %u ticks\n",
	       median_ticks(nsdk_line_ops_cpu()->writeback, FIRST));
	CU_ASSERT(memory_is_unchanged());
}
#endif

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(data_stays_the_same),
	NSDK_UNIT_TEST(the_first_usable_kind_is_chosen),
#if NSDK_ARCH_X86_64
	NSDK_UNIT_TEST(agrees_with_the_kernel),
	NSDK_UNIT_TEST(invalidation_covers_exactly_its_lines),
	NSDK_UNIT_TEST(writeback_by_clwb_may_keep_the_line),
#endif
};

NSDK_UNIT_MAIN("lib/coherence/lines", tests, .before = before, .after = after)
