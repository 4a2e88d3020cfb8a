/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A profile as JSON.
 *
 *	format     1; a reader that meets a larger one leaves the file alone
 *	nsdk       the version that wrote it
 *	checksum   FNV-1a, 64 bits, of the rest as json-c prints it without blanks
 *	cpu        vendor family model stepping name midr
 *	flush      date writeback invalidate cpus flush_cpus hugepages skipped tables; absent until measured
 *	devices    by key: date winner reason block_sizes
 *
 * All numbers are whole. What a member must be is checked where it is taken; the first that is not so
 * ends the reading with its name in *why.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/version.h>

#include "profile.h"
#include "lib/env/json.h"

#define MAX_DEPTH 12

/* ---- Writing ---- */

static struct json_object *cpu_json(const struct nsdk_cpu_id *cpu)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_text(object, "vendor", cpu->vendor);
	nsdk_json_put_u64(object, "family", cpu->family);
	nsdk_json_put_u64(object, "model", cpu->model);
	nsdk_json_put_u64(object, "stepping", cpu->stepping);
	nsdk_json_put_text(object, "name", cpu->name);
	nsdk_json_put_u64(object, "midr", cpu->midr);
	return object;
}

static struct json_object *table_json(const struct nsdk_tune_table *table)
{
	struct json_object *object = json_object_new_object(), *points = json_object_new_array();

	nsdk_json_put_text(object, "what", nsdk_tune_what_name(table->what));
	nsdk_json_put_text(object, "way", nsdk_tune_way_name(table->way));
	nsdk_json_put_text(object, "state", nsdk_tune_state_name(table->state));
	nsdk_json_put_u64(object, "cpus", table->cpus);
	for (unsigned i = 0; i < table->count; i++) {
		struct json_object *point = json_object_new_object();

		nsdk_json_put_u64(point, "bytes", table->points[i].bytes);
		nsdk_json_put_u64(point, "ns", table->points[i].ns);
		nsdk_json_put_u64(point, "low_ns", table->points[i].low_ns);
		nsdk_json_put_u64(point, "high_ns", table->points[i].high_ns);
		json_object_array_add(points, point);
	}
	nsdk_json_put(object, "points", points);
	return object;
}

static const struct {
	const char *key;
	enum nsdk_tune_what what;
} skips[] = { { "crew", NSDK_TUNE_CREW }, { "wbinvd", NSDK_TUNE_WBINVD } };

static struct json_object *flush_json(const struct nsdk_profile_flush *flush)
{
	struct json_object *object = json_object_new_object(), *tables = json_object_new_array();
	struct json_object *skipped = json_object_new_object();

	nsdk_json_put_text(object, "date", flush->date);
	nsdk_json_put_text(object, "writeback", flush->writeback);
	nsdk_json_put_text(object, "invalidate", flush->invalidate);
	nsdk_json_put_text(object, "cpus", flush->cpus);
	nsdk_json_put_text(object, "flush_cpus", flush->flush_cpus);
	nsdk_json_put(object, "hugepages", json_object_new_boolean(flush->hugepages));
	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++)
		nsdk_json_put_text(skipped, skips[i].key,
			 flush->skipped[nsdk_profile_skip_index(skips[i].what)]);
	nsdk_json_put(object, "skipped", skipped);
	for (unsigned i = 0; i < flush->count; i++)
		json_object_array_add(tables, table_json(&flush->tables[i]));
	nsdk_json_put(object, "tables", tables);
	return object;
}

struct json_object *nsdk_tune_device_json(const struct nsdk_tune_device *device)
{
	struct json_object *object = json_object_new_object(), *sizes = json_object_new_array();

	nsdk_json_put_text(object, "date", device->date);
	nsdk_json_put_text(object, "winner", nsdk_policy_name(device->winner));
	nsdk_json_put_text(object, "reason", device->reason);
	for (unsigned i = 0; i < device->count; i++) {
		const struct nsdk_tune_device_point *point = &device->points[i];
		struct json_object *size = json_object_new_object();

		nsdk_json_put_u64(size, "block_bytes", point->block_bytes);
		nsdk_json_put_u64(size, "coherent_iops", point->coherent_iops);
		nsdk_json_put_u64(size, "coherent_cpu_ns", point->coherent_cpu_ns);
		nsdk_json_put_u64(size, "nosnoop_iops", point->nosnoop_iops);
		nsdk_json_put_u64(size, "nosnoop_cpu_ns", point->nosnoop_cpu_ns);
		json_object_array_add(sizes, size);
	}
	nsdk_json_put(object, "block_sizes", sizes);
	return object;
}

/* Of everything but the checksum itself, whose place in the object does not matter. */
static bool checksum_of(struct json_object *root, char hex[17])
{
	struct json_object *kept = NULL;
	uint64_t hash = 0xcbf29ce484222325u;
	const char *text;
	bool had = json_object_object_get_ex(root, "checksum", &kept);

	if (had) {
		json_object_get(kept);
		json_object_object_del(root, "checksum");
	}
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
	for (const char *c = text; c != NULL && *c != '\0'; c++) {
		hash ^= (unsigned char)*c;
		hash *= 0x100000001b3u;
	}
	if (had)
		nsdk_json_put(root, "checksum", kept);
	snprintf(hex, 17, "%016llx", (unsigned long long)hash);
	return text != NULL;
}

char *nsdk_profile_text(struct nsdk_profile *profile)
{
	struct json_object *devices = json_object_new_object();
	char hex[17];
	const char *text;

	if (profile->root == NULL)
		profile->root = json_object_new_object();
	nsdk_json_put_u64(profile->root, "format", NSDK_PROFILE_FORMAT);
	nsdk_json_put_text(profile->root, "nsdk", nsdk_version());
	nsdk_json_put(profile->root, "cpu", cpu_json(&profile->cpu));
	if (profile->flush.date[0] != '\0')
		nsdk_json_put(profile->root, "flush", flush_json(&profile->flush));
	for (unsigned i = 0; i < profile->device_count; i++)
		nsdk_json_put(devices, profile->devices[i].key, nsdk_tune_device_json(&profile->devices[i]));
	nsdk_json_put(profile->root, "devices", devices);
	if (!checksum_of(profile->root, hex))
		return NULL;
	nsdk_json_put_text(profile->root, "checksum", hex);
	text = json_object_to_json_string_ext(profile->root, JSON_C_TO_STRING_PRETTY |
								     JSON_C_TO_STRING_SPACED |
								     JSON_C_TO_STRING_NOSLASHESCAPE);
	return text != NULL ? strdup(text) : NULL;
}

/* ---- Reading ---- */

struct reader {
	char *why;
	size_t why_bytes;
	int error;
};

/* The first thing that is wrong; @return false. */
__attribute__((format(printf, 3, 4))) static bool bad(struct reader *reader, int error,
						      const char *format, ...)
{
	va_list args;

	if (reader->error != 0)
		return false;
	reader->error = error;
	va_start(args, format);
	vsnprintf(reader->why, reader->why_bytes, format, args);
	va_end(args);
	return false;
}

static bool take(struct reader *reader, struct json_object *object, const char *key, json_type type,
		 struct json_object **out)
{
	if (json_object_object_get_ex(object, key, out) && json_object_is_type(*out, type))
		return true;
	return bad(reader, -EBADMSG, "its member \"%s\" is missing or is no %s", key,
		   json_type_to_name(type));
}

static bool take_u64(struct reader *reader, struct json_object *object, const char *key, uint64_t max,
		     uint64_t *out)
{
	struct json_object *value;

	if (!take(reader, object, key, json_type_int, &value))
		return false;
	/* A negative one would come out as 0; one beyond 64 bits as the largest. */
	if (json_object_get_int64(value) < 0 || json_object_get_uint64(value) > max)
		return bad(reader, -EBADMSG, "its member \"%s\" is out of range", key);
	*out = json_object_get_uint64(value);
	return true;
}

static bool take_unsigned(struct reader *reader, struct json_object *object, const char *key,
			  unsigned *out)
{
	uint64_t value = 0;

	if (!take_u64(reader, object, key, UINT_MAX, &value))
		return false;
	*out = (unsigned)value;
	return true;
}

static bool take_text(struct reader *reader, struct json_object *object, const char *key, char *out,
		      size_t out_bytes)
{
	struct json_object *value;
	size_t length;

	if (!take(reader, object, key, json_type_string, &value))
		return false;
	length = (size_t)json_object_get_string_len(value);
	if (length >= out_bytes || memchr(json_object_get_string(value), '\0', length) != NULL)
		return bad(reader, -EBADMSG, "its member \"%s\" is too long", key);
	memcpy(out, json_object_get_string(value), length);
	out[length] = '\0';
	return true;
}

/* A word of a list; *out is its place. */
static bool take_word(struct reader *reader, struct json_object *object, const char *key,
		      const char *(*name)(unsigned), unsigned words, unsigned *out)
{
	char text[32];

	if (!take_text(reader, object, key, text, sizeof(text)))
		return false;
	for (unsigned i = 0; i < words; i++) {
		if (strcmp(text, name(i)) == 0) {
			*out = i;
			return true;
		}
	}
	return bad(reader, -EBADMSG, "its member \"%s\" is \"%s\"", key, text);
}

static const char *what_name(unsigned i)
{
	return nsdk_tune_what_name((enum nsdk_tune_what)i);
}

static const char *way_name(unsigned i)
{
	return nsdk_tune_way_name((enum nsdk_tune_way)i);
}

static const char *state_name(unsigned i)
{
	return nsdk_tune_state_name((enum nsdk_tune_state)i);
}

static const char *policy_name(unsigned i)
{
	return nsdk_policy_name((enum nsdk_policy)i);
}

static bool read_cpu(struct reader *reader, struct json_object *root, struct nsdk_cpu_id *cpu)
{
	struct json_object *object;

	memset(cpu, 0, sizeof(*cpu));
	return take(reader, root, "cpu", json_type_object, &object) &&
	       take_text(reader, object, "vendor", cpu->vendor, sizeof(cpu->vendor)) &&
	       take_unsigned(reader, object, "family", &cpu->family) &&
	       take_unsigned(reader, object, "model", &cpu->model) &&
	       take_unsigned(reader, object, "stepping", &cpu->stepping) &&
	       take_text(reader, object, "name", cpu->name, sizeof(cpu->name)) &&
	       take_u64(reader, object, "midr", UINT64_MAX, &cpu->midr);
}

static bool same_cpu(const struct nsdk_cpu_id *a, const struct nsdk_cpu_id *b)
{
	return strcmp(a->vendor, b->vendor) == 0 && strcmp(a->name, b->name) == 0 &&
	       a->family == b->family && a->model == b->model && a->stepping == b->stepping &&
	       a->midr == b->midr;
}

static bool read_table(struct reader *reader, struct json_object *object,
		       struct nsdk_tune_table *table)
{
	unsigned what = 0, way = 0, state = 0;
	struct json_object *points;
	const char *why;

	if (!json_object_is_type(object, json_type_object))
		return bad(reader, -EBADMSG, "one of its tables is no object");
	if (!take_word(reader, object, "what", what_name, NSDK_TUNE_MEMCPY + 1, &what) ||
	    !take_word(reader, object, "way", way_name, NSDK_TUNE_INVALIDATE + 1, &way) ||
	    !take_word(reader, object, "state", state_name, NSDK_TUNE_ABSENT + 1, &state) ||
	    !take_unsigned(reader, object, "cpus", &table->cpus) ||
	    !take(reader, object, "points", json_type_array, &points))
		return false;
	table->what = (enum nsdk_tune_what)what;
	table->way = (enum nsdk_tune_way)way;
	table->state = (enum nsdk_tune_state)state;
	if (json_object_array_length(points) > NSDK_TUNE_MAX_POINTS)
		return bad(reader, -EBADMSG, "a table has more than %u points", NSDK_TUNE_MAX_POINTS);
	table->count = (unsigned)json_object_array_length(points);
	for (unsigned i = 0; i < table->count; i++) {
		struct json_object *point = json_object_array_get_idx(points, i);
		struct nsdk_tune_point *to = &table->points[i];

		if (!json_object_is_type(point, json_type_object))
			return bad(reader, -EBADMSG, "a table's point is no object");
		if (!take_u64(reader, point, "bytes", UINT64_MAX, &to->bytes) ||
		    !take_u64(reader, point, "ns", UINT64_MAX, &to->ns) ||
		    !take_u64(reader, point, "low_ns", UINT64_MAX, &to->low_ns) ||
		    !take_u64(reader, point, "high_ns", UINT64_MAX, &to->high_ns))
			return false;
	}
	if (!nsdk_profile_table_ok(table, &why))
		return bad(reader, -EBADMSG, "%s", why);
	return true;
}

static bool read_tables(struct reader *reader, struct json_object *tables,
			struct nsdk_profile *profile)
{
	struct nsdk_profile_flush *flush = &profile->flush;
	size_t count = json_object_array_length(tables);

	if (count > NSDK_PROFILE_MAX_TABLES)
		return bad(reader, -EBADMSG, "it has more than %u tables", NSDK_PROFILE_MAX_TABLES);
	for (size_t i = 0; i < count; i++) {
		struct nsdk_tune_table *table = &flush->tables[i];

		if (!read_table(reader, json_object_array_get_idx(tables, i), table))
			return false;
		/* Not counted yet, so this is another one. */
		if (nsdk_profile_table(profile, table->what, table->way, table->state,
				       table->cpus) != NULL)
			return bad(reader, -EBADMSG, "it has the same table twice");
		flush->count++;
	}
	return true;
}

static bool read_flush(struct reader *reader, struct json_object *object,
		       struct nsdk_profile *profile)
{
	struct nsdk_profile_flush *flush = &profile->flush;
	struct json_object *tables, *skipped, *huge;
	struct nsdk_line_info lines;

	if (!take_text(reader, object, "date", flush->date, sizeof(flush->date)) ||
	    !take_text(reader, object, "writeback", flush->writeback, sizeof(flush->writeback)) ||
	    !take_text(reader, object, "invalidate", flush->invalidate, sizeof(flush->invalidate)) ||
	    !take_text(reader, object, "cpus", flush->cpus, sizeof(flush->cpus)) ||
	    !take_text(reader, object, "flush_cpus", flush->flush_cpus, sizeof(flush->flush_cpus)) ||
	    !take(reader, object, "hugepages", json_type_boolean, &huge) ||
	    !take(reader, object, "skipped", json_type_object, &skipped) ||
	    !take(reader, object, "tables", json_type_array, &tables))
		return false;
	if (flush->date[0] == '\0')
		return bad(reader, -EBADMSG, "it does not say when it was measured");
	flush->hugepages = json_object_get_boolean(huge);
	for (size_t i = 0; i < sizeof(skips) / sizeof(skips[0]); i++) {
		char *text = flush->skipped[nsdk_profile_skip_index(skips[i].what)];

		if (!take_text(reader, skipped, skips[i].key, text, sizeof(flush->skipped[0])))
			return false;
	}
	nsdk_line_info(&lines);
	/* The same CPU under another hypervisor may show other instructions. */
	if (strcmp(flush->writeback, lines.writeback) != 0 ||
	    strcmp(flush->invalidate, lines.invalidate) != 0)
		return bad(reader, -EXDEV, "it was measured with %s and %s, and this machine has %s and %s",
			   flush->writeback, flush->invalidate, lines.writeback, lines.invalidate);
	return read_tables(reader, tables, profile);
}

static bool read_device(struct reader *reader, const char *key, struct json_object *object,
			struct nsdk_tune_device *device)
{
	struct json_object *sizes;
	const char *why;
	unsigned winner = 0;

	memset(device, 0, sizeof(*device));
	if (!json_object_is_type(object, json_type_object) || strlen(key) >= sizeof(device->key))
		return bad(reader, -EBADMSG, "its device \"%.64s\" is none", key);
	memcpy(device->key, key, strlen(key) + 1);
	if (!take_text(reader, object, "date", device->date, sizeof(device->date)) ||
	    !take_word(reader, object, "winner", policy_name, NSDK_POLICY_NOSNOOP + 1, &winner) ||
	    !take_text(reader, object, "reason", device->reason, sizeof(device->reason)) ||
	    !take(reader, object, "block_sizes", json_type_array, &sizes))
		return false;
	device->winner = (enum nsdk_policy)winner;
	if (json_object_array_length(sizes) > NSDK_TUNE_MAX_POINTS)
		return bad(reader, -EBADMSG, "a device has more than %u block sizes",
			   NSDK_TUNE_MAX_POINTS);
	device->count = (unsigned)json_object_array_length(sizes);
	for (unsigned i = 0; i < device->count; i++) {
		struct json_object *size = json_object_array_get_idx(sizes, i);
		struct nsdk_tune_device_point *point = &device->points[i];

		if (!json_object_is_type(size, json_type_object))
			return bad(reader, -EBADMSG, "a device's block size is no object");
		if (!take_u64(reader, size, "block_bytes", UINT32_MAX, &point->block_bytes) ||
		    !take_u64(reader, size, "coherent_iops", UINT32_MAX, &point->coherent_iops) ||
		    !take_u64(reader, size, "coherent_cpu_ns", UINT32_MAX, &point->coherent_cpu_ns) ||
		    !take_u64(reader, size, "nosnoop_iops", UINT32_MAX, &point->nosnoop_iops) ||
		    !take_u64(reader, size, "nosnoop_cpu_ns", UINT32_MAX, &point->nosnoop_cpu_ns))
			return false;
	}
	if (!nsdk_profile_device_ok(device, &why))
		return bad(reader, -EBADMSG, "%s", why);
	return true;
}

static bool read_devices(struct reader *reader, struct json_object *root,
			 struct nsdk_profile *profile)
{
	struct json_object *devices;
	size_t count;

	if (!take(reader, root, "devices", json_type_object, &devices))
		return false;
	count = (size_t)json_object_object_length(devices);
	if (count > NSDK_PROFILE_MAX_DEVICES)
		return bad(reader, -EBADMSG, "it has more than %u devices", NSDK_PROFILE_MAX_DEVICES);
	if (count == 0)
		return true;
	profile->devices = calloc(count, sizeof(*profile->devices));
	if (profile->devices == NULL)
		return bad(reader, -ENOMEM, "there is no memory for it");
	json_object_object_foreach(devices, key, value)
	{
		if (!read_device(reader, key, value, &profile->devices[profile->device_count]))
			return false;
		profile->device_count++;
	}
	return true;
}

static bool read_root(struct reader *reader, struct nsdk_profile *profile)
{
	struct json_object *root = profile->root, *flush;
	char stated[32], actual[17];
	struct nsdk_cpu_id cpu;
	uint64_t format = 0;

	/* Before all else: of a newer format nothing else is known, not even what a checksum covers. */
	if (!take_u64(reader, root, "format", UINT64_MAX, &format))
		return false;
	if (format == 0)
		return bad(reader, -EBADMSG, "its member \"format\" is out of range");
	if (format > NSDK_PROFILE_FORMAT)
		return bad(reader, -EOPNOTSUPP, "it has format %llu, and this version reads format %u",
			   (unsigned long long)format, NSDK_PROFILE_FORMAT);
	if (!take_text(reader, root, "checksum", stated, sizeof(stated)))
		return false;
	if (!checksum_of(root, actual))
		return bad(reader, -ENOMEM, "there is no memory for it");
	if (strcmp(stated, actual) != 0)
		return bad(reader, -EBADMSG, "its checksum is wrong, so it was damaged or edited");
	if (!read_cpu(reader, root, &cpu))
		return false;
	if (!same_cpu(&cpu, &profile->cpu))
		return bad(reader, -EXDEV, "it was measured on another CPU (%s)",
			   cpu.name[0] != '\0' ? cpu.name : cpu.vendor);
	if (json_object_object_get_ex(root, "flush", &flush)) {
		if (!json_object_is_type(flush, json_type_object))
			return bad(reader, -EBADMSG, "its member \"flush\" is no object");
		if (!read_flush(reader, flush, profile))
			return false;
	}
	return read_devices(reader, root, profile);
}

/* @return the whole text as one object; NULL, and why. */
static struct json_object *parse_json(struct reader *reader, const char *text, size_t bytes)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	struct json_object *root = NULL;
	enum json_tokener_error error;

	if (tokener == NULL || bytes > INT_MAX) {
		bad(reader, -ENOMEM, "there is no memory for it");
	} else {
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		root = json_tokener_parse_ex(tokener, text, (int)bytes);
		error = json_tokener_get_error(tokener);
		/* What ends in the middle asks for more; what has more behind its end is no profile. */
		if (root == NULL || error != json_tokener_success ||
		    !json_object_is_type(root, json_type_object)) {
			bad(reader, -EBADMSG, "it is not JSON, or not all of it is there");
			json_object_put(root);
			root = NULL;
		}
	}
	json_tokener_free(tokener);
	return root;
}

int nsdk_profile_parse(const char *text, size_t bytes, char *why, size_t why_bytes,
		       struct nsdk_profile **out)
{
	struct reader reader = { .why = why, .why_bytes = why_bytes };
	struct nsdk_profile *profile;
	int rc;

	*out = NULL;
	rc = nsdk_profile_create(&profile);
	if (rc != 0)
		return rc;
	profile->root = parse_json(&reader, text, bytes);
	if (profile->root == NULL || !read_root(&reader, profile)) {
		nsdk_profile_free(profile);
		return reader.error;
	}
	*out = profile;
	return 0;
}
