/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <nsdk/env.h>

#include "lib/coherence/shadow.h"
#include "lib/env/thread.h"

#define PAGES 8u
#define LINES (PAGES * 64u)
#define VA ((uintptr_t)0x7000000000)

static struct nsdk_shadow shadow;
static bool clean[LINES]; /* what it should say */
static uint64_t random_state = 1;

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % below;
}

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_shadow_create(VA, PAGES * 4096, &shadow), 0);
	memset(clean, 0, sizeof(clean));
}

static uintptr_t line(unsigned n)
{
	return VA + n * 64u;
}

static void a_fresh_shadow_knows_nothing(void)
{
	uintptr_t first = VA;

	before();
	for (unsigned i = 0; i < LINES; i++)
		CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, line(i)));
	CU_ASSERT_EQUAL(nsdk_shadow_next_run(&shadow, &first, line(LINES)), line(LINES));
	CU_ASSERT_EQUAL(first, VA);
	/* Nobody said anything: anybody may have stored. */
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, VA, line(1)), 1u << NSDK_CPU_CLASS_ANY);
	nsdk_shadow_destroy(&shadow);
}

/* The runs of [from, to) against the table, line by line. */
static bool runs_are_right(unsigned from, unsigned to)
{
	bool seen[LINES] = { false };
	uintptr_t at = line(from), end;
	uintptr_t before_end = 0;

	for (; (end = nsdk_shadow_next_run(&shadow, &at, line(to))) != 0; at = end) {
		/* Not empty, in order, and as long as can be: between two runs a line is clean. */
		if (at >= end || end > line(to) || (before_end && at <= before_end))
			return false;
		for (uintptr_t va = at; va < end; va += 64)
			seen[(va - VA) / 64] = true;
		before_end = end;
	}
	for (unsigned i = from; i < to; i++)
		if (seen[i] == clean[i])
			return false;
	return true;
}

static void runs_are_what_is_not_clean(void)
{
	before();
	for (unsigned round = 0; round < 20000; round++) {
		unsigned from = draw(LINES), to = from + 1 + draw(draw(2) ? 80 : LINES - from);
		bool to_clean = draw(2);

		if (to > LINES)
			to = LINES;
		if (to_clean)
			nsdk_shadow_mark_clean(&shadow, line(from), line(to));
		else
			nsdk_shadow_mark_dirty(&shadow, line(from), line(to));
		for (unsigned i = from; i < to; i++)
			clean[i] = to_clean;
		from = draw(LINES);
		to = from + 1 + draw(LINES - from);
		if (!runs_are_right(from, to)) {
			CU_FAIL("a run that is wrong");
			break;
		}
		from = draw(LINES);
		CU_ASSERT_EQUAL(nsdk_shadow_is_clean(&shadow, line(from)), clean[from]);
	}
	nsdk_shadow_destroy(&shadow);
}

static void outside_nothing_is_known(void)
{
	uintptr_t at = VA - 128, end;

	before();
	nsdk_shadow_mark_clean(&shadow, VA - 4096, line(LINES) + 4096);
	end = nsdk_shadow_next_run(&shadow, &at, line(LINES) + 64);
	CU_ASSERT_EQUAL(at, VA - 128);
	CU_ASSERT_EQUAL(end, VA);
	at = end;
	end = nsdk_shadow_next_run(&shadow, &at, line(LINES) + 64);
	CU_ASSERT_EQUAL(at, line(LINES));
	CU_ASSERT_EQUAL(end, line(LINES) + 64);
	CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, VA - 64));
	CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, line(LINES)));
	nsdk_shadow_own(&shadow, VA - 4096, line(LINES) + 4096);
	CU_ASSERT_TRUE(nsdk_shadow_stores(&shadow, VA - 64, line(1)) & 1);
	CU_ASSERT_TRUE(nsdk_shadow_stores(&shadow, VA, line(LINES) + 64) & 1);
	nsdk_shadow_destroy(&shadow);

	/* Without a shadow everything is outside. */
	at = 4096;
	nsdk_shadow_mark_clean(&shadow, 0, 8192);
	CU_ASSERT_EQUAL(nsdk_shadow_next_run(&shadow, &at, 8192), 8192);
	CU_ASSERT_EQUAL(at, 4096);
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, 0, 4096), 1);
}

static void *own_unregistered(void *arg)
{
	(void)arg;
	nsdk_shadow_own(&shadow, line(64), line(65));
	return NULL;
}

static void stores_add_up(void)
{
	pthread_t thread;
	uint64_t mine;

	before();
	CU_ASSERT_EQUAL_FATAL(nsdk_thread_register(), 0);
	mine = (uint64_t)1 << nsdk_thread_cpu_class();
	CU_ASSERT_NOT_EQUAL(mine, 1);
	/* A line of a page is as good as the page; the next page is another. */
	nsdk_shadow_own(&shadow, line(70), line(71));
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(128)), mine);
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(129)), mine | 1);
	nsdk_shadow_own(&shadow, line(128), line(320));
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(320)), mine);
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(64)), 0);
	/* A thread that nobody knows is anybody, on top of who was there. */
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, own_unregistered, NULL), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(128)), mine | 1);
	/* Marks of the other kind do not touch them. */
	nsdk_shadow_mark_clean(&shadow, line(64), line(128));
	nsdk_shadow_mark_dirty(&shadow, line(64), line(128));
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(128)), mine | 1);
	nsdk_thread_unregister();
	nsdk_shadow_destroy(&shadow);
}

static void new_pages_are_forgotten(void)
{
	before();
	/* Registered, so that its stores are not anybody's, which is what nothing known means. */
	CU_ASSERT_EQUAL_FATAL(nsdk_thread_register(), 0);
	nsdk_shadow_mark_clean(&shadow, VA, line(LINES));
	nsdk_shadow_own(&shadow, VA, line(LINES));
	nsdk_shadow_forget(&shadow, line(64), line(192));
	for (unsigned i = 0; i < LINES; i++)
		CU_ASSERT_EQUAL(nsdk_shadow_is_clean(&shadow, line(i)), i < 64 || i >= 192);
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, line(64), line(65)), 1);
	CU_ASSERT_NOT_EQUAL(nsdk_shadow_stores(&shadow, line(0), line(1)), 1);
	nsdk_thread_unregister();
	nsdk_shadow_destroy(&shadow);
}

static void *mark_every_other(void *arg)
{
	unsigned odd = arg != NULL;

	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = odd; i < 64; i += 2)
			nsdk_shadow_mark_dirty(&shadow, line(i), line(i + 1));
		for (unsigned i = odd; i < 64; i += 2)
			nsdk_shadow_mark_clean(&shadow, line(i), line(i + 1));
	}
	return NULL;
}

static void neighbours_do_not_lose_each_others_marks(void)
{
	pthread_t thread;

	before();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, mark_every_other, NULL), 0);
	mark_every_other(&thread);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 64; i++)
		CU_ASSERT_TRUE(nsdk_shadow_is_clean(&shadow, line(i)));
	nsdk_shadow_destroy(&shadow);
}

static void a_mixed_domain_has_no_marks(void)
{
	before();
	nsdk_shadow_mark_clean(&shadow, VA, line(LINES));
	nsdk_shadow_own(&shadow, VA, line(LINES));
	nsdk_shadow_set_mixed(&shadow, true);
	for (unsigned i = 0; i < LINES; i++)
		CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, line(i)));
	/* Who stored where is as true as before. */
	CU_ASSERT_EQUAL(nsdk_shadow_stores(&shadow, VA, line(LINES)), 1u << nsdk_thread_cpu_class());
	nsdk_shadow_mark_clean(&shadow, VA, line(LINES));
	CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, line(5)));
	nsdk_shadow_set_mixed(&shadow, false);
	CU_ASSERT_FALSE(nsdk_shadow_is_clean(&shadow, line(5)));
	nsdk_shadow_mark_clean(&shadow, VA, line(LINES));
	CU_ASSERT_TRUE(nsdk_shadow_is_clean(&shadow, line(5)));
	nsdk_shadow_destroy(&shadow);
	/* Without a shadow it is nothing. */
	nsdk_shadow_set_mixed(&shadow, true);
}

static _Atomic bool marking;

static void *mark_all_the_time(void *arg)
{
	while (atomic_load(&marking))
		nsdk_shadow_mark_clean(&shadow, VA, line(LINES));
	return arg;
}

static void no_mark_survives_the_mixing(void)
{
	pthread_t thread;
	unsigned survived = 0;

	before();
	for (unsigned round = 0; round < 200; round++) {
		atomic_store(&marking, true);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, mark_all_the_time, NULL), 0);
		if (round % 2)
			sched_yield();
		nsdk_shadow_set_mixed(&shadow, true);
		atomic_store(&marking, false);
		pthread_join(thread, NULL);
		for (unsigned i = 0; i < LINES; i++)
			survived += nsdk_shadow_is_clean(&shadow, line(i));
		nsdk_shadow_set_mixed(&shadow, false);
	}
	NSDK_ASSERT_INT(survived, 0);
	nsdk_shadow_destroy(&shadow);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_fresh_shadow_knows_nothing),
	NSDK_UNIT_TEST(runs_are_what_is_not_clean),
	NSDK_UNIT_TEST(outside_nothing_is_known),
	NSDK_UNIT_TEST(stores_add_up),
	NSDK_UNIT_TEST(new_pages_are_forgotten),
	NSDK_UNIT_TEST(a_mixed_domain_has_no_marks),
	NSDK_UNIT_TEST(no_mark_survives_the_mixing),
	NSDK_UNIT_TEST(neighbours_do_not_lose_each_others_marks),
};

NSDK_UNIT_MAIN("lib/coherence/shadow", tests)
