/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nsdk_unit_suite *suite;
static jmp_buf skip_jump;
static char skip_reason[512];
static bool skipped;
static int start_status;

static struct {
	unsigned int nth;
	unsigned int calls;
	bool failed;
} sweep;

/* What CUnit calls for every test; it knows the test by the name that CUnit is at. */
static void run_current(void)
{
	const char *name = CU_get_current_test()->pName;
	const struct nsdk_unit_test *test = suite->tests;

	skipped = false;
	nsdk_unit_fail_none();
	if (start_status) {
		CU_FAIL_FATAL("the suite did not start");
		return;
	}
	while (strcmp(test->name, name) != 0)
		test++;
	/* What is skipped before it began has nothing to clean up. */
	if (setjmp(skip_jump) != 0)
		return;
	if (suite->before)
		suite->before();
	if (setjmp(skip_jump) == 0)
		test->run();
	if (suite->after)
		suite->after();
}

void nsdk_skip(const char *reason, ...)
{
	va_list args;

	va_start(args, reason);
	vsnprintf(skip_reason, sizeof(skip_reason), reason, args);
	va_end(args);
	skipped = true;
	longjmp(skip_jump, 1);
}

static void print_line(const char *verdict, const char *test, const char *place, const char *why)
{
	printf("%s - %s: %s", verdict, suite->name, test);
	if (place)
		printf(": %s", place);
	if (why) {
		/* One test is one line, whatever was in the text. */
		fputs(": ", stdout);
		for (; *why; why++)
			putchar(*why == '\n' ? ' ' : *why);
	}
	putchar('\n');
	fflush(stdout);
}

static void test_ended(CU_Test *const test, CU_Suite *const cu_suite, CU_FailureRecord *const first)
{
	char place[256];
	const char *file;

	(void)cu_suite;
	if (!first) {
		if (skipped)
			print_line("skip", test->pName, NULL, skip_reason);
		else
			print_line("ok", test->pName, NULL, NULL);
		return;
	}
	for (const CU_FailureRecord *record = first; record; record = record->pNext) {
		file = record->strFileName ? record->strFileName : "";
		file = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
		snprintf(place, sizeof(place), "%s:%u", file, record->uiLineNumber);
		/* The first failure is the test's line; the others are only told. */
		if (record == first)
			print_line("not ok", test->pName, place, record->strCondition);
		else
			printf("#   and %s: %s\n", place, record->strCondition);
	}
}

static bool chosen(const char *name, int argc, char **argv)
{
	if (argc < 2)
		return true;
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return false;
}

int nsdk_unit_main(const struct nsdk_unit_suite *the_suite, int argc, char **argv)
{
	unsigned int failures;
	CU_pSuite cu_suite;

	suite = the_suite;
	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		for (size_t i = 0; i < suite->count; i++)
			puts(suite->tests[i].name);
		return 0;
	}
	/* A crash must not take the lines before it along. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (CU_initialize_registry() != CUE_SUCCESS)
		goto broken;
	cu_suite = CU_add_suite(suite->name, NULL, NULL);
	if (!cu_suite)
		goto broken;
	for (size_t i = 0; i < suite->count; i++) {
		if (!chosen(suite->tests[i].name, argc, argv))
			continue;
		if (!CU_add_test(cu_suite, suite->tests[i].name, run_current))
			goto broken;
	}
	CU_set_test_complete_handler(test_ended);
	if (suite->start)
		start_status = suite->start();
	if (start_status)
		printf("# the suite did not start: %s\n", strerror(-start_status));
	CU_run_all_tests();
	if (suite->stop && !start_status)
		suite->stop();
	failures = CU_get_number_of_failure_records();
	CU_cleanup_registry();
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;

broken:
	printf("not ok - %s: CUnit: %s\n", suite->name, CU_get_error_msg());
	return EXIT_FAILURE;
}

void nsdk_unit_assert_text(const char *actual, const char *expected, const char *expression,
			   const char *file, unsigned int line)
{
	char text[1024];
	bool equal = actual && expected ? strcmp(actual, expected) == 0 : actual == expected;

	snprintf(text, sizeof(text), "%s is \"%s\", expected \"%s\"", expression,
		 actual ? actual : "(null)", expected ? expected : "(null)");
	CU_assertImplementation(equal, line, text, file, "", CU_FALSE);
}

void nsdk_unit_assert_int(long long actual, long long expected, const char *expression,
			  const char *file, unsigned int line)
{
	char text[512];

	snprintf(text, sizeof(text), "%s is %lld, expected %lld", expression, actual, expected);
	CU_assertImplementation(actual == expected, line, text, file, "", CU_FALSE);
}

bool nsdk_unit_fail_next(unsigned int nth)
{
	bool more = nth == 1 || sweep.failed;

	sweep.nth = more ? nth : 0;
	sweep.calls = 0;
	sweep.failed = false;
	return more;
}

bool nsdk_unit_fails_now(void)
{
	if (!sweep.nth || ++sweep.calls != sweep.nth)
		return false;
	sweep.failed = true;
	return true;
}

bool nsdk_unit_failed(void)
{
	return sweep.failed;
}

void nsdk_unit_fail_none(void)
{
	memset(&sweep, 0, sizeof(sweep));
}
