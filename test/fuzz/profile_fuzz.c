/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Profiles of `nsdk tune` are files that anybody may have written: any text is parsed or refused with
 * a reason, and what was accepted is accepted again as it was written out.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/log.h>
#include <nsdk/tune.h>

#include "lib/coherence/profile.h"

#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void quiet(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* @return the accepted profile, or NULL. */
static struct nsdk_profile *parse(const char *text, size_t bytes)
{
	struct nsdk_profile *profile;
	char why[200] = "";
	int rc = nsdk_profile_parse(text, bytes, why, sizeof(why), &profile);

	must(rc == 0 ? profile != NULL : profile == NULL && why[0] != '\0');
	return profile;
}

/* Of this machine, as a profile has it. */
static struct json_object *own_cpu(void)
{
	static struct json_object *cpu;
	struct nsdk_profile *profile;
	struct json_object *root;
	char *text;

	if (cpu)
		return cpu;
	must(nsdk_profile_create(&profile) == 0);
	text = nsdk_profile_text(profile);
	root = json_tokener_parse(text);
	must(json_object_object_get_ex(root, "cpu", &cpu));
	json_object_get(cpu);
	json_object_put(root);
	free(text);
	nsdk_profile_free(profile);
	return cpu;
}

/* As somebody would write it who means harm and can reckon: for this machine, with its checksum. */
static char *made_good(const char *text)
{
	struct json_object *root = json_tokener_parse(text);
	uint64_t hash = FNV_BASIS;
	char hex[17], *good;

	if (!json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		return NULL;
	}
	json_object_object_del(root, "checksum");
	json_object_object_add(root, "cpu", json_object_get(own_cpu()));
	for (const char *c = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN); *c; c++)
		hash = (hash ^ (unsigned char)*c) * FNV_PRIME;
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)hash);
	json_object_object_add(root, "checksum", json_object_new_string(hex));
	good = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
	json_object_put(root);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct nsdk_profile *profile, *again;
	char *text, *good;

	nsdk_log_set_sink(quiet, NULL);
	/* As it is, a byte behind its end is noticed; and then with what a stranger could not know. */
	nsdk_profile_free(parse((const char *)data, bytes));
	text = strndup((const char *)data, bytes);
	must(text != NULL);
	good = made_good(text);
	free(text);
	if (!good)
		return 0;
	profile = parse(good, strlen(good));
	free(good);
	if (!profile)
		return 0;
	text = nsdk_profile_text(profile);
	must(text != NULL);
	again = parse(text, strlen(text));
	must(again != NULL);
	free(text);
	nsdk_profile_free(again);
	nsdk_profile_free(profile);
	return 0;
}
