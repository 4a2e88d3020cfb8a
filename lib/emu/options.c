/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#define MAX_OPTIONS 64
#define MAX_VALUE_CHARS 4096

/* strtoull() takes blanks, signs and an empty text, none of which is a number here. */
static int number_with_rest(const char *text, uint64_t *out, const char **rest)
{
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
	if (errno)
		return -EINVAL;
	*out = value;
	*rest = end;
	return 0;
}

int nsdk_emu_number(const char *text, uint64_t *out)
{
	const char *rest;

	if (number_with_rest(text, out, &rest) || *rest)
		return -EINVAL;
	return 0;
}

static int number_of_bytes(const char *text, uint64_t *out)
{
	const char *rest, *unit;
	unsigned shift = 0;

	if (number_with_rest(text, out, &rest))
		return -EINVAL;
	if (*rest) {
		unit = strchr("KkMmGgTt", *rest);
		if (!unit)
			return -EINVAL;
		shift = (unsigned)((unit - "KkMmGgTt") / 2 + 1) * 10;
		rest++;
		/* 1GiB is the same as 1G; 1GB is left to those who mean something else by it. */
		if (strcmp(rest, "iB") == 0)
			rest += 2;
	}
	if (*rest || *out << shift >> shift != *out)
		return -EINVAL;
	*out <<= shift;
	return 0;
}

static void list_names(const struct nsdk_emu_option *table, unsigned count, char *out, size_t bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < count && used < bytes; i++)
		used += (size_t)snprintf(out + used, bytes - used, "%s%s=", i ? ", " : "",
					 table[i].name);
}

static void list_words(const char *const *words, char *out, size_t bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (unsigned i = 0; words[i] && used < bytes; i++)
		used += (size_t)snprintf(out + used, bytes - used, "%s%s",
					 !i ? "" : (words[i + 1] ? ", " : " or "), words[i]);
}

static int read_value(const char *who, const struct nsdk_emu_option *option, const char *value,
		      void *field)
{
	uint64_t number;
	char words[256];
	int rc;

	switch (option->type) {
	case NSDK_EMU_OPTION_NUMBER:
	case NSDK_EMU_OPTION_BYTES:
		rc = option->type == NSDK_EMU_OPTION_BYTES ? number_of_bytes(value, &number) :
							     nsdk_emu_number(value, &number);
		if (rc || number < option->min || number > option->max)
			return nsdk_fail(-EINVAL, "emu",
					 "%s: %s=%s: give a number%s from %llu to %llu", who,
					 option->name, value,
					 option->type == NSDK_EMU_OPTION_BYTES ?
						 " of bytes (512K, 256M, 1G)" :
						 "",
					 (unsigned long long)option->min,
					 (unsigned long long)option->max);
		memcpy(field, &number, sizeof(number));
		return 0;
	case NSDK_EMU_OPTION_WORD:
		for (unsigned i = 0; option->words[i]; i++)
			if (strcmp(option->words[i], value) == 0) {
				memcpy(field, &i, sizeof(i));
				return 0;
			}
		list_words(option->words, words, sizeof(words));
		return nsdk_fail(-EINVAL, "emu", "%s: %s=%s: give %s", who, option->name, value,
				 words);
	case NSDK_EMU_OPTION_TEXT:
		if (!*value || strlen(value) >= option->max)
			return nsdk_fail(-EINVAL, "emu", "%s: %s= needs a value of 1 to %llu characters",
					 who, option->name, (unsigned long long)option->max - 1);
		memcpy(field, value, strlen(value) + 1);
		return 0;
	}
	return -EINVAL;
}

int nsdk_emu_options_read(const char *who, const char *text, const struct nsdk_emu_option *table,
			  unsigned count, void *into, bool *given)
{
	char word[MAX_VALUE_CHARS], names[512];
	bool seen[MAX_OPTIONS] = { false };
	size_t chars;
	char *value;
	unsigned i;
	int rc;

	while (*text) {
		chars = strcspn(text, ",");
		if (chars >= sizeof(word))
			return nsdk_fail(-EINVAL, "emu", "%s: an option is longer than %zu characters",
					 who, sizeof(word) - 1);
		memcpy(word, text, chars);
		word[chars] = '\0';
		text += chars;
		if (*text == ',') {
			text++;
			if (!*text)
				return nsdk_fail(-EINVAL, "emu",
						 "%s: nothing follows the last comma; leave it out", who);
		}
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		for (i = 0; i < count; i++)
			if (strcmp(table[i].name, word) == 0)
				break;
		if (i == count || i >= MAX_OPTIONS) {
			list_names(table, count, names, sizeof(names));
			return nsdk_fail(-EINVAL, "emu", "%s: there is no option '%s'; there are %s", who,
					 word, names);
		}
		if (!value)
			return nsdk_fail(-EINVAL, "emu", "%s: '%s' needs a value: %s=…", who, word,
					 word);
		if (seen[i])
			return nsdk_fail(-EINVAL, "emu", "%s: %s= is there twice; say it once", who, word);
		seen[i] = true;
		rc = read_value(who, &table[i], value, (char *)into + table[i].offset);
		if (rc)
			return rc;
	}
	if (given)
		memcpy(given, seen, count * sizeof(*given));
	return 0;
}
