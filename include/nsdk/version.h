/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file version.h
 * @brief Which NSDK this is, at compile time and at run time.
 */
#ifndef NSDK_VERSION_H
#define NSDK_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/** Changes when a program must be changed. */
#define NSDK_VERSION_MAJOR 0
/** Changes when something was added; before 1.0 also when a program must be changed. */
#define NSDK_VERSION_MINOR 1
/** Changes when something was mended. */
#define NSDK_VERSION_PATCH 0

/** The version of these headers as text, "MAJOR.MINOR.PATCH". */
#define NSDK_VERSION_STRING "0.1.0"

/** A version as one number that compares in the right order. */
#define NSDK_VERSION_NUMBER(major, minor, patch) (((major) << 16) | ((minor) << 8) | (patch))

/** The version of these headers as one number. */
#define NSDK_VERSION \
	NSDK_VERSION_NUMBER(NSDK_VERSION_MAJOR, NSDK_VERSION_MINOR, NSDK_VERSION_PATCH)

/**
 * The version of the library that is running, which may be newer than the headers that a program
 * was compiled with.
 *
 * @return "MAJOR.MINOR.PATCH", a constant that is never freed. Callable from any thread, before
 * anything else of NSDK.
 */
const char *nsdk_version(void);

/**
 * The version of the library that is running, as one number.
 *
 * @return a number to compare with NSDK_VERSION_NUMBER(). Callable from any thread.
 */
unsigned int nsdk_version_number(void);

#ifdef __cplusplus
}
#endif

#endif
