/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The results of `nsdk tune` for programs. The keys are an interface: they are documented in
 * nsdk-tune(1), and none is ever renamed.
 */
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "tune.h"

static void put(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

static void put_u64(struct json_object *object, const char *key, uint64_t value)
{
	put(object, key, json_object_new_uint64(value));
}

static void put_text(struct json_object *object, const char *key, const char *value)
{
	put(object, key, json_object_new_string(value));
}

/* json-c prints 17 digits of a double, of which most are noise here. */
static void put_ratio(struct json_object *object, const char *key, double value)
{
	char digits[40];

	snprintf(digits, sizeof(digits), "%.4f", value);
	put(object, key, json_object_new_double_s(value, digits));
}

struct json_object *tune_json(struct nsdk_profile *profile, const char *path)
{
	struct nsdk_tune_crossover crossovers[64];
	unsigned count = nsdk_profile_crossovers(profile, crossovers, 64);
	struct json_object *object, *array;
	char *text = nsdk_profile_text(profile);

	if (text == NULL) {
		tool_say("no memory for the result");
		return NULL;
	}
	object = json_tokener_parse(text);
	free(text);
	array = json_object_new_array();
	for (unsigned i = 0; i < count && i < 64; i++) {
		struct json_object *c = json_object_new_object();

		put_text(c, "what", nsdk_tune_what_name(crossovers[i].what));
		put_text(c, "way", nsdk_tune_way_name(crossovers[i].way));
		put_u64(c, "cpus", crossovers[i].cpus);
		put(c, "bytes", crossovers[i].bytes != 0 ? json_object_new_uint64(crossovers[i].bytes) : NULL);
		json_object_array_add(array, c);
	}
	put(object, "crossovers", array);
	put_text(object, "file", path);
	return object;
}

struct json_object *tune_json_check(const struct nsdk_tune_check *checks, unsigned count,
				    const char *path)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();

	put_ratio(object, "worst_ratio", tune_worst_ratio(checks, count));
	put(object, "profile", path[0] != '\0' ? json_object_new_string(path) : NULL);
	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_tune_check *c = &checks[i];
		struct json_object *size = json_object_new_object();

		put_u64(size, "bytes", c->bytes);
		put_text(size, "way", nsdk_tune_way_name(c->way));
		put_text(size, "chosen", nsdk_tune_what_name(c->chosen));
		put_u64(size, "chosen_cpus", c->chosen_cpus);
		put_u64(size, "chosen_ns", c->chosen_ns);
		put_text(size, "best", nsdk_tune_what_name(c->best));
		put_u64(size, "best_cpus", c->best_cpus);
		put_u64(size, "best_ns", c->best_ns);
		put_u64(size, "alternatives", c->alternatives);
		put_ratio(size, "ratio", tune_worst_ratio(c, 1));
		json_object_array_add(array, size);
	}
	put(object, "sizes", array);
	return object;
}

struct json_object *tune_json_device(const struct nsdk_tune_device *device, const char *path)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();

	put_text(object, "device", device->key);
	put_text(object, "winner", nsdk_policy_name(device->winner));
	put_text(object, "reason", device->reason);
	for (unsigned i = 0; i < device->count; i++) {
		const struct nsdk_tune_device_point *p = &device->points[i];
		struct json_object *size = json_object_new_object();

		put_u64(size, "block_bytes", p->block_bytes);
		put_u64(size, "coherent_iops", p->coherent_iops);
		put_u64(size, "coherent_cpu_ns", p->coherent_cpu_ns);
		put_u64(size, "nosnoop_iops", p->nosnoop_iops);
		put_u64(size, "nosnoop_cpu_ns", p->nosnoop_cpu_ns);
		json_object_array_add(array, size);
	}
	put(object, "block_sizes", array);
	put_text(object, "file", path);
	return object;
}
