/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arena never touches the memory it deals with, so the addresses here are made up.
 */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/types.h>

#include "lib/mem/arena.h"

#define BASE ((uintptr_t)0x1000000000)
#define PAGE ((size_t)2 << 20)
#define LINE ((size_t)NSDK_LINE_BYTES)

static struct nsdk_arena arena;
static bool fail_calloc, fail_tables;

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
	/* The table has pointers; what is larger than one is an extent. */
	if (fail_tables && bytes == sizeof(void *))
		return NULL;
	return fail_calloc || nsdk_unit_fails_now() ? NULL : __real_calloc(count, bytes);
}

static void before(void)
{
	fail_calloc = fail_tables = false;
	nsdk_unit_log_start();
	CU_ASSERT_EQUAL_FATAL(nsdk_arena_init(&arena, PAGE), 0);
}

static void after(void)
{
	nsdk_arena_fini(&arena);
	nsdk_unit_log_stop();
}

static void *take(size_t bytes, size_t align)
{
	void *va = NULL;

	NSDK_ASSERT_INT(nsdk_arena_alloc(&arena, bytes, align, &va), 0);
	return va;
}

static void add(size_t offset, size_t bytes)
{
	NSDK_ASSERT_INT(nsdk_arena_add(&arena, (void *)(BASE + offset), bytes), 0);
}

static void empty_has_nothing(void)
{
	void *va;

	NSDK_ASSERT_INT(nsdk_arena_alloc(&arena, LINE, LINE, &va), -ENOSPC);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, (void *)BASE), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void counts_what_is_out(void)
{
	void *a, *b;

	add(0, PAGE);
	a = take(4096, LINE);
	b = take(LINE, LINE);
	NSDK_ASSERT_INT(arena.used_bytes, 4096 + LINE);
	NSDK_ASSERT_INT(arena.free_bytes, PAGE - 4096 - LINE);
	NSDK_ASSERT_INT(arena.buffers, 2);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a), 4096);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, b), LINE);
	NSDK_ASSERT_INT(arena.used_bytes, 0);
	NSDK_ASSERT_INT(arena.free_bytes, PAGE);
	NSDK_ASSERT_INT(arena.buffers, 0);
}

static void knows_its_buffers(void)
{
	char *a;

	add(0, PAGE);
	a = take(4096, LINE);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a + LINE), 0);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a + 4096), 0);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a - LINE), 0);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a + 1), 0);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, NULL), 0);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a), 4096);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, a), 0);
}

static void a_page_can_be_filled_to_the_last_line(void)
{
	void *buffers[PAGE / 4096], *one_more;

	add(0, PAGE);
	for (size_t i = 0; i < PAGE / 4096; i++)
		buffers[i] = take(4096, 4096);
	NSDK_ASSERT_INT(nsdk_arena_alloc(&arena, LINE, LINE, &one_more), -ENOSPC);
	/* Given back in any order they are one again. */
	for (size_t i = 0; i < PAGE / 4096; i += 2)
		NSDK_ASSERT_INT(nsdk_arena_free(&arena, buffers[i]), 4096);
	NSDK_ASSERT_INT(nsdk_arena_alloc(&arena, 8192, LINE, &one_more), -ENOSPC);
	for (size_t i = 1; i < PAGE / 4096; i += 2)
		NSDK_ASSERT_INT(nsdk_arena_free(&arena, buffers[i]), 4096);
	CU_ASSERT_PTR_EQUAL(take(PAGE, PAGE), (void *)BASE);
}

static void no_small_buffer_crosses_a_page(void)
{
	uintptr_t va;

	add(0, 2 * PAGE);
	take(PAGE - 4096, LINE);
	va = (uintptr_t)take(8192, LINE);
	CU_ASSERT_EQUAL(va, BASE + PAGE);
	/* What is in front of the boundary is still there for what fits. */
	va = (uintptr_t)take(4096, LINE);
	CU_ASSERT_EQUAL(va, BASE + PAGE - 4096);
}

static void a_large_buffer_may_cross(void)
{
	add(0, 3 * PAGE);
	take(LINE, LINE);
	CU_ASSERT_EQUAL((uintptr_t)take(2 * PAGE, LINE), BASE + LINE);
}

static void neighbours_added_apart_are_one(void)
{
	add(2 * PAGE, PAGE);
	add(0, PAGE);
	add(PAGE, PAGE);
	CU_ASSERT_EQUAL((uintptr_t)take(3 * PAGE, LINE), BASE);
	/* But not what lies apart. */
	add(4 * PAGE, PAGE);
	add(6 * PAGE, PAGE);
	NSDK_ASSERT_INT(nsdk_arena_alloc(&arena, 2 * PAGE, LINE, &(void *){ NULL }), -ENOSPC);
}

static void any_alignment_is_met(void)
{
	add(0, 4 * PAGE);
	take(LINE, LINE);
	for (size_t align = LINE; align <= 2 * PAGE; align *= 2) {
		void *va = take(LINE, align);

		CU_ASSERT_EQUAL((uintptr_t)va % align, 0);
	}
	NSDK_ASSERT_INT(nsdk_arena_alloc(&arena, LINE, (size_t)1 << 63, &(void *){ NULL }), -ENOSPC);
}

/* Of many free extents that are large enough, but lie badly, the last one that is tried does. */
static void what_fits_is_found_however_many_do_not(void)
{
	enum { COUNT = 200 };
	void *bad[COUNT], *good, *exact, *found;

	add(0, PAGE);
	good = take(3 * LINE, 4 * LINE);
	take(2 * LINE, LINE);
	/* In a class of its own, before that of the others: just as large as wanted, and badly placed too. */
	exact = take(2 * LINE, LINE);
	CU_ASSERT_NOT_EQUAL((uintptr_t)exact % (4 * LINE), 0);
	take(LINE, LINE);
	for (unsigned i = 0; i < COUNT; i++) {
		/* One line, three lines that are to be free, and so on: none begins at a multiple of four. */
		take(LINE, LINE);
		bad[i] = take(3 * LINE, LINE);
		CU_ASSERT_NOT_EQUAL((uintptr_t)bad[i] % (4 * LINE), 0);
	}
	take(arena.free_bytes, LINE);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, good), 3 * LINE);
	NSDK_ASSERT_INT(nsdk_arena_free(&arena, exact), 2 * LINE);
	for (unsigned i = 0; i < COUNT; i++)
		NSDK_ASSERT_INT(nsdk_arena_free(&arena, bad[i]), 3 * LINE);
	found = take(2 * LINE, 4 * LINE);
	CU_ASSERT_PTR_EQUAL(found, good);
}

static void failing_changes_nothing(void)
{
	void *va;

	add(0, PAGE);
	take(LINE, LINE);
	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
		/* In the middle, so that both sides need an extent. */
		int result = nsdk_arena_alloc(&arena, 4096, 8192, &va);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(result, -ENOMEM);
			NSDK_ASSERT_ONE_SENTENCE("no memory");
		} else {
			NSDK_ASSERT_INT(result, 0);
			NSDK_ASSERT_INT(nsdk_arena_free(&arena, va), 4096);
		}
		NSDK_ASSERT_INT(arena.used_bytes, LINE);
		NSDK_ASSERT_INT(arena.free_bytes, PAGE - LINE);
	}
	fail_calloc = true;
	NSDK_ASSERT_INT(nsdk_arena_add(&arena, (void *)(BASE + PAGE), PAGE), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("no memory");
	NSDK_ASSERT_INT(arena.free_bytes, PAGE - LINE);
}

static void works_without_memory_for_more_buckets(void)
{
	enum { COUNT = 1000 };
	void *buffers[COUNT];

	add(0, PAGE);
	fail_tables = true;
	for (unsigned i = 0; i < COUNT; i++)
		buffers[i] = take(LINE, LINE);
	CU_ASSERT_TRUE(arena.bucket_count < COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		NSDK_ASSERT_INT(nsdk_arena_free(&arena, buffers[i]), LINE);
	CU_ASSERT_PTR_EQUAL(take(PAGE, PAGE), (void *)BASE);
}

/* --- against a model that is as simple as can be --------------------------- */

#define MODEL_PAGES 4
#define MODEL_PAGE ((size_t)64 * NSDK_LINE_BYTES)
#define MODEL_LINES (MODEL_PAGES * 64)

static bool line_used[MODEL_LINES];

static bool model_fits_at(size_t line, size_t lines, size_t align)
{
	if ((BASE + line * LINE) % align != 0 || line + lines > MODEL_LINES)
		return false;
	if (lines <= 64 && line / 64 != (line + lines - 1) / 64)
		return false;
	for (size_t i = 0; i < lines; i++)
		if (line_used[line + i])
			return false;
	return true;
}

static bool model_fits(size_t lines, size_t align)
{
	for (size_t line = 0; line < MODEL_LINES; line++)
		if (model_fits_at(line, lines, align))
			return true;
	return false;
}

static void random_use_agrees_with_a_model(void)
{
	struct {
		void *va;
		size_t lines;
	} out[MODEL_LINES];
	const char *given = getenv("NSDK_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20240229u;
	unsigned random = seed, count = 0, full = 0;

	printf("# seed %u (NSDK_TEST_SEED)\n", seed);
	nsdk_arena_fini(&arena);
	CU_ASSERT_EQUAL_FATAL(nsdk_arena_init(&arena, MODEL_PAGE), 0);
	memset(line_used, 0, sizeof(line_used));
	add(0, MODEL_PAGES * MODEL_PAGE);
	for (unsigned step = 0; step < 200000; step++) {
		random = random * 1664525u + 1013904223u;
		if (random >> 31 || count == 0) {
			size_t lines = 1 + (random >> 8) % ((random >> 20) % 16 == 0 ? 160 : 24);
			size_t align = LINE << (random >> 4) % 9;
			bool fits = model_fits(lines, align);
			void *va = NULL;
			int result = nsdk_arena_alloc(&arena, lines * LINE, align, &va);

			if (result != (fits ? 0 : -ENOSPC)) {
				NSDK_ASSERT_INT(result, fits ? 0 : -ENOSPC);
				return;
			}
			if (!fits) {
				full++;
				continue;
			}
			if (!model_fits_at(((uintptr_t)va - BASE) / LINE, lines, align)) {
				CU_FAIL("a buffer where none can be");
				return;
			}
			memset(&line_used[((uintptr_t)va - BASE) / LINE], true, lines);
			out[count].va = va;
			out[count++].lines = lines;
		} else {
			unsigned i = (random >> 8) % count;

			if (nsdk_arena_free(&arena, out[i].va) != out[i].lines * LINE) {
				CU_FAIL("a buffer that was not known");
				return;
			}
			memset(&line_used[((uintptr_t)out[i].va - BASE) / LINE], false, out[i].lines);
			out[i] = out[--count];
		}
	}
	/* Both ways were gone. */
	CU_ASSERT_TRUE(full > 1000);
	while (count)
		CU_ASSERT_NOT_EQUAL(nsdk_arena_free(&arena, out[--count].va), 0);
	CU_ASSERT_PTR_EQUAL(take(MODEL_PAGES * MODEL_PAGE, LINE), (void *)BASE);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(empty_has_nothing),
	NSDK_UNIT_TEST(counts_what_is_out),
	NSDK_UNIT_TEST(knows_its_buffers),
	NSDK_UNIT_TEST(a_page_can_be_filled_to_the_last_line),
	NSDK_UNIT_TEST(no_small_buffer_crosses_a_page),
	NSDK_UNIT_TEST(a_large_buffer_may_cross),
	NSDK_UNIT_TEST(neighbours_added_apart_are_one),
	NSDK_UNIT_TEST(any_alignment_is_met),
	NSDK_UNIT_TEST(what_fits_is_found_however_many_do_not),
	NSDK_UNIT_TEST(failing_changes_nothing),
	NSDK_UNIT_TEST(works_without_memory_for_more_buckets),
	NSDK_UNIT_TEST(random_use_agrees_with_a_model),
};

NSDK_UNIT_MAIN("lib/mem/arena", tests, .before = before, .after = after)
