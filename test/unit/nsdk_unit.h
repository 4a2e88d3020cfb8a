/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The little that NSDK's tests add to CUnit.
 *
 * A test program is one file with one suite:
 *
 *	#include "nsdk_unit.h"
 *
 *	static void refuses_length_zero(void)
 *	{
 *		CU_ASSERT_EQUAL(nsdk_thing_create(0, &thing), -EINVAL);
 *	}
 *
 *	static const struct nsdk_unit_test tests[] = {
 *		NSDK_UNIT_TEST(refuses_length_zero),
 *	};
 *
 *	NSDK_UNIT_MAIN("lib/thing", tests)
 *
 * Every test gives one line on the standard output, as it ends:
 *
 *	ok - lib/thing: refuses_length_zero
 *	not ok - lib/thing: refuses_length_zero: thing_test.c:12: CU_ASSERT_EQUAL(...)
 *	skip - lib/thing: refuses_length_zero: no hugepages are free
 *
 * and the program's exit status is non-zero when one of them failed. With arguments only the tests
 * run whose names contain one of them; -l lists the names.
 */
#ifndef NSDK_UNIT_H
#define NSDK_UNIT_H

#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>

struct nsdk_unit_test {
	const char *name;
	void (*run)(void);
};

struct nsdk_unit_suite {
	const char *name;
	const struct nsdk_unit_test *tests;
	size_t count;
	/* Around the suite: 0 or a negative errno, which fails each of its tests. May be NULL. */
	int (*start)(void);
	void (*stop)(void);
	/* Around each test. May be NULL. */
	void (*before)(void);
	void (*after)(void);
};

#define NSDK_UNIT_TEST(function) { #function, function }

/* NSDK_UNIT_MAIN(NAME, TESTS [, .start = ..., .before = ...]) */
#define NSDK_UNIT_MAIN(suite_name, suite_tests, ...)                                              \
	int main(int argc, char **argv)                                                           \
	{                                                                                         \
		static const struct nsdk_unit_suite suite = {                                     \
			.name = (suite_name),                                                     \
			.tests = (suite_tests),                                                   \
			.count = sizeof(suite_tests) / sizeof((suite_tests)[0]),                  \
			__VA_ARGS__                                                               \
		};                                                                                \
		return nsdk_unit_main(&suite, argc, argv);                                        \
	}

int nsdk_unit_main(const struct nsdk_unit_suite *suite, int argc, char **argv);

/*
 * Ends the running test as skipped, for what the machine or the kernel lacks. The reason is printed,
 * printf-like. What was asserted before still counts: a test that failed is not skipped. The suite's
 * before may call it as well, as long as it leaves nothing behind: after is not called then.
 */
__attribute__((noreturn, format(printf, 1, 2))) void nsdk_skip(const char *reason, ...);

/* Compares text and shows both sides when they differ, which CU_ASSERT_STRING_EQUAL does not. */
#define NSDK_ASSERT_TEXT(actual, expected)                                                        \
	nsdk_unit_assert_text((actual), (expected), #actual, __FILE__, __LINE__)
/* The same for whole numbers, which CU_ASSERT_EQUAL shows by their expressions alone. */
#define NSDK_ASSERT_INT(actual, expected)                                                         \
	nsdk_unit_assert_int((long long)(actual), (long long)(expected), #actual, __FILE__, __LINE__)

void nsdk_unit_assert_text(const char *actual, const char *expected, const char *expression,
			   const char *file, unsigned int line);
void nsdk_unit_assert_int(long long actual, long long expected, const char *expression,
			  const char *file, unsigned int line);

/*
 * A sweep that makes the first call fail, then the second, and so on, for paths that must undo what
 * they did so far:
 *
 *	for (unsigned int n = 1; nsdk_unit_fail_next(n); n++) {
 *		result = the_path();		(its fakes ask nsdk_unit_fails_now())
 *		if (nsdk_unit_failed())
 *			CU_ASSERT(result < 0), and nothing is left behind
 *		else
 *			CU_ASSERT_EQUAL(result, 0), clean up
 *	}
 *
 * The sweep ends after the first round in which no call failed, that is, after one in which
 * everything worked. A path that swallows a failure shows as a result of 0 in a failed round.
 */
bool nsdk_unit_fail_next(unsigned int nth);
/* Called by a fake: true for exactly the call that is to fail in this round. */
bool nsdk_unit_fails_now(void);
/* Whether a call failed in this round. */
bool nsdk_unit_failed(void);
/* Ends a sweep early: from now on no call fails. */
void nsdk_unit_fail_none(void);

/*
 * What the library says in its log. From start to stop messages are kept (the last 64) instead of
 * printed. nsdk_unit_log_stop() gives the default sink back.
 */
void nsdk_unit_log_start(void);
void nsdk_unit_log_stop(void);
void nsdk_unit_log_clear(void);
/* How many messages came since the start or the last clear, of level WARN or worse. */
unsigned int nsdk_unit_log_count(void);
/* The last message, or "" when there is none. */
const char *nsdk_unit_log_last(void);
/* Whether a message since the start or the last clear contains the text. */
bool nsdk_unit_log_has(const char *text);

/*
 * Exactly one message came since the start or the last clear, and it contains the text: the rule
 * for every fault. Clears. Shows what came instead when it is not so.
 */
#define NSDK_ASSERT_ONE_SENTENCE(text) nsdk_unit_assert_one_sentence((text), __FILE__, __LINE__)
void nsdk_unit_assert_one_sentence(const char *text, const char *file, unsigned int line);

#endif
