/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options of a device model: "size=1G,lba=4096", read by a table.
 */
#ifndef NSDK_EMU_OPTIONS_H
#define NSDK_EMU_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nsdk_emu_option_type {
	NSDK_EMU_OPTION_NUMBER, /* uint64_t */
	NSDK_EMU_OPTION_BYTES,  /* uint64_t; K, M, G or T may follow, powers of 1024 */
	NSDK_EMU_OPTION_WORD,   /* unsigned: which one of words */
	NSDK_EMU_OPTION_TEXT,   /* char[], of max bytes with its NUL; not empty */
};

struct nsdk_emu_option {
	const char *name;
	enum nsdk_emu_option_type type;
	size_t offset; /* of the value in the struct that is filled in */
	uint64_t min, max;
	const char *const *words; /* NULL at the end */
};

/*
 * Read @p text into @p into, by the @p count options of @p table. What is not named in @p text is
 * left as it was. A comma always ends a value.
 *
 * @param who   how a sentence begins, "emu:nvme".
 * @param given if not NULL: given[i] tells whether table[i] was in @p text.
 * @return 0; -EINVAL an option is not known, said twice, or its value does not fit: one sentence has
 *         been logged, and @p into is partly filled.
 */
int nsdk_emu_options_read(const char *who, const char *text, const struct nsdk_emu_option *table,
			  unsigned count, void *into, bool *given);

/* A whole decimal or 0x number. @return 0 or -EINVAL, nothing logged. */
int nsdk_emu_number(const char *text, uint64_t *out);

#endif
