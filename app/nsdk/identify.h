/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk identify`: Identify data structures as tables of fields, so that the text, the
 * JSON and the specification can be laid side by side.
 */
#ifndef NSDK_IDENTIFY_H
#define NSDK_IDENTIFY_H

#include <stddef.h>
#include <stdint.h>

enum identify_kind {
	IDENTIFY_NUMBER, /* 1, 2, 4 or 8 bytes, little endian */
	IDENTIFY_WIDE,   /* 16 bytes, little endian: a number if it fits 64 bits, else its digits */
	IDENTIFY_TEXT,   /* padded with blanks */
	IDENTIFY_HEX,    /* bytes as they are, as one string of hex digits */
};

struct identify_field {
	const char *name; /* as in nvme-cli's JSON, which is the specification's in lower case */
	uint16_t offset;
	uint16_t bytes;
	enum identify_kind kind;
	const char *text; /* what it is; NULL: not shown in the table for people */
};

/* Both end with a NULL name. */
extern const struct identify_field identify_ctrl_fields[];
extern const struct identify_field identify_ns_fields[];

struct json_object;

/* Add every field of a structure to an object. */
void identify_json(struct json_object *object, const struct identify_field *fields,
		   const void *data);

/* Print those that have a text. */
void identify_print(const struct identify_field *fields, const void *data, const char *indent);

/* The value in decimal or as text, without the padding; @return buf. */
const char *identify_format(const struct identify_field *field, const void *data, char *buf,
			    size_t buf_bytes);

#endif
