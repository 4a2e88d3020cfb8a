/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For everything that writes JSON, the tool included: members of an object, in one line each.
 *
 * A value that could not be made for want of memory becomes null, as json-c has it; the whole text is
 * what is checked in the end.
 */
#ifndef NSDK_ENV_JSON_H
#define NSDK_ENV_JSON_H

#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

static inline void nsdk_json_put(struct json_object *object, const char *key,
				 struct json_object *value)
{
	json_object_object_add(object, key, value);
}

static inline void nsdk_json_put_u64(struct json_object *object, const char *key, uint64_t value)
{
	nsdk_json_put(object, key, json_object_new_uint64(value));
}

static inline void nsdk_json_put_text(struct json_object *object, const char *key, const char *value)
{
	nsdk_json_put(object, key, json_object_new_string(value));
}

/* json-c prints 17 digits of a double, of which most are noise: @p decimals of them are kept. */
static inline void nsdk_json_put_double(struct json_object *object, const char *key, double value,
					int decimals)
{
	char digits[48];

	snprintf(digits, sizeof(digits), "%.*f", decimals, value);
	nsdk_json_put(object, key, json_object_new_double_s(value, digits));
}

#endif
