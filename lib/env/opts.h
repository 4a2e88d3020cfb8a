/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For every room: taking an option struct from a caller that may have been compiled with an older or
 * a newer header than this library.
 *
 * An option struct starts with its size (size_t opts_bytes). A shorter one is an older caller's: what
 * it does not know is zero, the default. A longer one is a newer caller's: what we do not know must
 * be zero, else it asks for something that would silently not be done. A size of 0 means that the
 * caller left everything at zero, or that it is compiled with this very header.
 */
#ifndef NSDK_ENV_OPTS_H
#define NSDK_ENV_OPTS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <nsdk/log.h>

/* @return 0; -EINVAL, logged. A NULL src is all zero. */
static inline int nsdk_opts_take(void *dst, size_t dst_bytes, const void *src, const char *room)
{
	size_t src_bytes = 0;

	memset(dst, 0, dst_bytes);
	if (!src)
		return 0;
	memcpy(&src_bytes, src, sizeof(src_bytes));
	if (src_bytes == 0)
		src_bytes = dst_bytes;
	if (src_bytes < sizeof(src_bytes))
		return nsdk_fail(-EINVAL, room, "opts_bytes is %zu: set it to the size of the option struct",
				 src_bytes);
	for (size_t i = dst_bytes; i < src_bytes; i++)
		if (((const unsigned char *)src)[i] != 0)
			return nsdk_fail(-EINVAL, room,
					 "an option was set that this version of libnsdk does not know; "
					 "use a newer library");
	memcpy(dst, src, src_bytes < dst_bytes ? src_bytes : dst_bytes);
	return 0;
}

#endif
