/* SPDX-License-Identifier: BSD-3-Clause */
#include <nsdk/version.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *nsdk_version(void)
{
	return TEXT(NSDK_VERSION_MAJOR) "." TEXT(NSDK_VERSION_MINOR) "." TEXT(NSDK_VERSION_PATCH);
}

unsigned int nsdk_version_number(void)
{
	return NSDK_VERSION;
}
