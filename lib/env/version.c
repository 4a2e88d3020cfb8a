/* SPDX-License-Identifier: BSD-3-Clause */
#include <nsdk/version.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

/* The text and the numbers are written by hand in the header, so they could drift apart. */
_Static_assert(sizeof(NSDK_VERSION_STRING) == sizeof(TEXT(NSDK_VERSION_MAJOR) "." TEXT(
		       NSDK_VERSION_MINOR) "." TEXT(NSDK_VERSION_PATCH)),
	       "NSDK_VERSION_STRING does not match the three numbers");

const char *nsdk_version(void)
{
	return TEXT(NSDK_VERSION_MAJOR) "." TEXT(NSDK_VERSION_MINOR) "." TEXT(NSDK_VERSION_PATCH);
}

unsigned int nsdk_version_number(void)
{
	return NSDK_VERSION;
}
