/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the subcommands of nsdk nvme print: bytes, numbers, JSON; and files they read.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "nvme.h"

int nvme_show_bytes(const void *data, size_t bytes)
{
	fwrite(data, 1, bytes, stdout);
	return TOOL_DONE;
}

void nvme_show_hex(const void *data, size_t bytes)
{
	const uint8_t *at = data;

	printf("       0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f\n");
	for (size_t row = 0; row < bytes; row += 16) {
		char text[17] = "";
		size_t in_row = bytes - row < 16 ? bytes - row : 16;

		printf("%04zx:", row);
		for (size_t i = 0; i < 16; i++) {
			if (i >= in_row) {
				printf("   ");
				continue;
			}
			printf(" %02x", at[row + i]);
			/* A blank is a dot too, so that the width of the text can be seen. */
			text[i] = isgraph(at[row + i]) ? (char)at[row + i] : '.';
		}
		printf(" \"%s\"\n", text);
	}
}

int nvme_show_json(struct nvme_run *run, struct json_object *object)
{
	return tool_json_print(&run->args, object);
}

void nvme_put(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

void nvme_put_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

const char *nvme_wide(const void *data, char *buf, size_t buf_bytes)
{
	unsigned __int128 value;
	char digits[40];
	size_t n = sizeof(digits);

	memcpy(&value, data, sizeof(value));
	digits[--n] = '\0';
	do {
		digits[--n] = (char)('0' + (int)(value % 10));
		value /= 10;
	} while (value != 0);
	snprintf(buf, buf_bytes, "%s", digits + n);
	return buf;
}

const char *nvme_uuid(const uint8_t uuid[16], char *buf, size_t buf_bytes)
{
	size_t used = 0;

	for (unsigned i = 0; i < 16 && used < buf_bytes; i++)
		used += (size_t)snprintf(buf + used, buf_bytes - used, "%s%02x",
					 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	return buf;
}

const char *nvme_si(double bytes, char *buf, size_t buf_bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB" };
	size_t unit = 0;

	while (bytes >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1000;
		unit++;
	}
	snprintf(buf, buf_bytes, "%.2f %s", bytes, units[unit]);
	return buf;
}

void *nvme_read_file(const char *path, size_t max, size_t *bytes)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	uint8_t *data;

	if (file == NULL) {
		tool_say("%s cannot be read: %s", path, strerror(errno));
		return NULL;
	}
	data = malloc(max + 1);
	*bytes = data ? fread(data, 1, max + 1, file) : 0;
	if (data == NULL || ferror(file) || *bytes > max || *bytes == 0) {
		if (data == NULL)
			tool_say("no memory");
		else if (ferror(file))
			tool_say("%s cannot be read: %s", path, strerror(errno));
		else if (*bytes == 0)
			tool_say("%s is empty", path);
		else
			tool_say("%s has more than the %zu bytes that fit", path, max);
		free(data);
		data = NULL;
	}
	if (file != stdin)
		fclose(file);
	return data;
}
