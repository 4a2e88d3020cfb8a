/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The results of `nsdk tune` for programs. The keys are an interface: they are documented in
 * nsdk-tune(1), and none is ever renamed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tune.h"
#include "lib/coherence/profile.h"
#include "lib/env/json.h"

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

		nsdk_json_put_text(c, "what", nsdk_tune_what_name(crossovers[i].what));
		nsdk_json_put_text(c, "way", nsdk_tune_way_name(crossovers[i].way));
		nsdk_json_put_u64(c, "cpus", crossovers[i].cpus);
		nsdk_json_put(c, "bytes",
			      crossovers[i].bytes != 0 ?
				      json_object_new_uint64(crossovers[i].bytes) : NULL);
		json_object_array_add(array, c);
	}
	nsdk_json_put(object, "crossovers", array);
	nsdk_json_put_text(object, "file", path);
	return object;
}

struct json_object *tune_json_check(const struct nsdk_tune_check *checks, unsigned count,
				    const char *path)
{
	struct json_object *object = json_object_new_object(), *array = json_object_new_array();

	nsdk_json_put_double(object, "worst_ratio", tune_worst_ratio(checks, count), 4);
	nsdk_json_put_double(object, "static_worst_ratio", tune_static_worst_ratio(checks, count), 4);
	nsdk_json_put(object, "profile", path[0] != '\0' ? json_object_new_string(path) : NULL);
	for (unsigned i = 0; i < count; i++) {
		const struct nsdk_tune_check *c = &checks[i];
		struct json_object *size = json_object_new_object();

		nsdk_json_put_u64(size, "bytes", c->bytes);
		nsdk_json_put_text(size, "way", nsdk_tune_way_name(c->way));
		nsdk_json_put_text(size, "chosen", nsdk_tune_what_name(c->chosen));
		nsdk_json_put_u64(size, "chosen_cpus", c->chosen_cpus);
		nsdk_json_put_u64(size, "chosen_ns", c->chosen_ns);
		nsdk_json_put_text(size, "best", nsdk_tune_what_name(c->best));
		nsdk_json_put_u64(size, "best_cpus", c->best_cpus);
		nsdk_json_put_u64(size, "best_ns", c->best_ns);
		nsdk_json_put_u64(size, "alternatives", c->alternatives);
		nsdk_json_put_double(size, "ratio", tune_worst_ratio(c, 1), 4);
		nsdk_json_put_double(size, "static_ratio", tune_static_worst_ratio(c, 1), 4);
		json_object_array_add(array, size);
	}
	nsdk_json_put(object, "sizes", array);
	return object;
}

struct json_object *tune_json_device(const struct nsdk_tune_device *device, const char *path)
{
	struct json_object *object = nsdk_tune_device_json(device);

	nsdk_json_put_text(object, "device", device->key);
	nsdk_json_put_text(object, "file", path);
	return object;
}
