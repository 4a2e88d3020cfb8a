/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the cache model saw, in words and as JSON. The log, `nsdk perf` and every program that drives a
 * device of its own show what is made here, so they cannot differ.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#include "cache_internal.h"
#include "lib/env/json.h"

/* JSON keys; never renamed. */
static const char *const keys[NSDK_VIOLATION_KINDS] = {
	[NSDK_VIOLATION_STALE_DEVICE_READ] = "stale_device_read",
	[NSDK_VIOLATION_STALE_CPU_READ] = "stale_cpu_read",
	[NSDK_VIOLATION_LATE_WRITEBACK] = "late_writeback",
	[NSDK_VIOLATION_SHARED_LINE] = "shared_line",
	[NSDK_VIOLATION_UNCACHED] = "uncached",
};

/* Of the counts and of the violations that are kept: one after the other, so a moment apart. */
struct seen {
	struct nsdk_cache_model_stats stats;
	struct nsdk_violation kept[EMU_CACHE_KEPT];
	unsigned kept_count;
};

static struct seen *look(void)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	if (!seen)
		return NULL;
	seen->kept_count = nsdk_cache_model_violations(seen->kept, EMU_CACHE_KEPT);
	nsdk_cache_model_stats(&seen->stats);
	return seen;
}

static int no_memory(void)
{
	return nsdk_fail(-ENOMEM, "emu", "no memory for the cache model's report");
}

int nsdk_violation_format(const struct nsdk_violation *violation, char *out, size_t out_bytes)
{
	return snprintf(out, out_bytes, "%s: %s at %p (buffer %p + %zu bytes), owner %s; missing: %s",
			nsdk_violation_name(violation->kind), violation->operation, violation->va,
			violation->buffer, violation->offset_bytes, violation->owner,
			violation->missing);
}

static void print_violations(FILE *out, const struct seen *seen)
{
	const struct nsdk_cache_model_stats *stats = &seen->stats;
	char sentence[320];

	if (stats->violations_total == 0) {
		fputs("  violations  none\n", out);
		return;
	}
	fprintf(out, "  violations  %llu cache lines",
		(unsigned long long)stats->violations_total);
	for (unsigned k = 0, shown = 0; k < NSDK_VIOLATION_KINDS; k++)
		if (stats->violations[k] != 0)
			fprintf(out, "%s%llu %s", shown++ == 0 ? ": " : ", ",
				(unsigned long long)stats->violations[k],
				nsdk_violation_name((enum nsdk_violation_kind)k));
	fputc('\n', out);
	for (unsigned i = 0; i < seen->kept_count; i++) {
		nsdk_violation_format(&seen->kept[i], sentence, sizeof(sentence));
		fprintf(out, "    %s\n", sentence);
	}
	if (seen->kept_count == EMU_CACHE_KEPT)
		fprintf(out, "    (the first %u; all are counted)\n", EMU_CACHE_KEPT);
}

int nsdk_cache_model_report(char **out)
{
	struct seen *seen = look();
	size_t bytes;
	FILE *text;

	*out = NULL;
	if (!seen)
		goto no_seen;
	text = open_memstream(out, &bytes);
	if (!text)
		goto free_seen;
	fprintf(text, "cache model, adversary's seed %llu\n", (unsigned long long)seen->stats.seed);
	fprintf(text,
		"  watched     %llu DMA reads, %llu DMA writes, %llu lines written back, "
		"%llu lines invalidated, %llu fences, %llu evictions, %llu prefetches\n",
		(unsigned long long)seen->stats.device_reads,
		(unsigned long long)seen->stats.device_writes,
		(unsigned long long)seen->stats.writebacks,
		(unsigned long long)seen->stats.invalidates,
		(unsigned long long)seen->stats.fences, (unsigned long long)seen->stats.evictions,
		(unsigned long long)seen->stats.prefetches);
	print_violations(text, seen);
	/* Memory runs out here at the latest. */
	if (fclose(text) != 0) {
		free(*out);
		*out = NULL;
		goto free_seen;
	}
	free(seen);
	return 0;

free_seen:
	free(seen);
no_seen:
	return no_memory();
}

/* ---- JSON ---- */

static struct json_object *watched_json(const struct nsdk_cache_model_stats *stats)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_u64(object, "device_reads", stats->device_reads);
	nsdk_json_put_u64(object, "device_writes", stats->device_writes);
	nsdk_json_put_u64(object, "lines_written_back", stats->writebacks);
	nsdk_json_put_u64(object, "lines_invalidated", stats->invalidates);
	nsdk_json_put_u64(object, "fences", stats->fences);
	nsdk_json_put_u64(object, "evictions", stats->evictions);
	nsdk_json_put_u64(object, "prefetches", stats->prefetches);
	return object;
}

static struct json_object *violation_json(const struct nsdk_violation *violation)
{
	struct json_object *object = json_object_new_object();
	char sentence[320];

	nsdk_violation_format(violation, sentence, sizeof(sentence));
	nsdk_json_put_text(object, "kind", nsdk_violation_name(violation->kind));
	nsdk_json_put_u64(object, "buffer", (uintptr_t)violation->buffer);
	nsdk_json_put_u64(object, "offset_bytes", violation->offset_bytes);
	nsdk_json_put_text(object, "owner", violation->owner);
	nsdk_json_put_text(object, "operation", violation->operation);
	nsdk_json_put_text(object, "missing", violation->missing);
	nsdk_json_put_text(object, "sentence", sentence);
	return object;
}

static struct json_object *report_json(const struct seen *seen)
{
	struct json_object *object = json_object_new_object();
	struct json_object *kinds = json_object_new_object();
	struct json_object *kept = json_object_new_array();

	nsdk_json_put_u64(object, "seed", seen->stats.seed);
	nsdk_json_put(object, "watched", watched_json(&seen->stats));
	nsdk_json_put_u64(object, "violations", seen->stats.violations_total);
	for (unsigned k = 0; k < NSDK_VIOLATION_KINDS; k++)
		nsdk_json_put_u64(kinds, keys[k], seen->stats.violations[k]);
	nsdk_json_put(object, "violations_by_kind", kinds);
	for (unsigned i = 0; i < seen->kept_count; i++)
		json_object_array_add(kept, violation_json(&seen->kept[i]));
	nsdk_json_put(object, "kept", kept);
	return object;
}

int nsdk_cache_model_json(char **out)
{
	struct seen *seen = look();
	struct json_object *object;
	const char *text;

	*out = NULL;
	if (!seen)
		return no_memory();
	object = report_json(seen);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		*out = strdup(text);
	json_object_put(object);
	free(seen);
	return *out ? 0 : no_memory();
}
