/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <nsdk/version.h>

#include <stdio.h>

static void text_and_number_agree(void)
{
	unsigned int major, minor, patch;

	CU_ASSERT_EQUAL_FATAL(sscanf(nsdk_version(), "%u.%u.%u", &major, &minor, &patch), 3);
	NSDK_ASSERT_INT(nsdk_version_number(), NSDK_VERSION_NUMBER(major, minor, patch));
}

static void library_matches_its_headers(void)
{
	NSDK_ASSERT_TEXT(nsdk_version(), NSDK_VERSION_STRING);
	NSDK_ASSERT_INT(nsdk_version_number(), NSDK_VERSION);
}

static void numbers_compare_in_order(void)
{
	CU_ASSERT(NSDK_VERSION_NUMBER(0, 1, 9) < NSDK_VERSION_NUMBER(0, 2, 0));
	CU_ASSERT(NSDK_VERSION_NUMBER(0, 99, 99) < NSDK_VERSION_NUMBER(1, 0, 0));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(text_and_number_agree),
	NSDK_UNIT_TEST(library_matches_its_headers),
	NSDK_UNIT_TEST(numbers_compare_in_order),
};

NSDK_UNIT_MAIN("lib/env/version", tests)
