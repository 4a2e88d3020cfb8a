/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <nsdk/log.h>

#include "lib/emu/cache_internal.h"

static struct emu_cache_page page = { .va = 0x7000, .region = 0x5000 };
static struct emu_cache_actor actor;
static char *text;

static const char *const sentence =
	"a line shared by two owners: DMA write at 0x70c0 (buffer 0x5000 + 8384 bytes), owner "
	"emu:nvme sqid 1 cid 7; missing: a \"call\"";

static void before(void)
{
	nsdk_unit_log_start();
	nsdk_cache_model_reset();
	actor = (struct emu_cache_actor){ .owner = "device", .operation = "DMA write" };
	text = NULL;
}

static void after(void)
{
	free(text);
	nsdk_unit_log_stop();
}

static void report(enum nsdk_violation_kind kind, unsigned line)
{
	emu_cache_report(&actor, "emu:nvme sqid 1 cid 7", kind, &page, line, "a \"call\"");
}

static void a_violation_is_one_sentence(void)
{
	struct nsdk_violation violation;
	char out[320], small[16];

	report(NSDK_VIOLATION_SHARED_LINE, 3);
	/* The log says the same. */
	NSDK_ASSERT_ONE_SENTENCE(sentence);
	NSDK_ASSERT_INT(nsdk_cache_model_violations(&violation, 1), 1);
	NSDK_ASSERT_INT(nsdk_violation_format(&violation, out, sizeof(out)), strlen(sentence));
	NSDK_ASSERT_TEXT(out, sentence);
	/* As snprintf(): cut off, and never beyond the end. */
	NSDK_ASSERT_INT(nsdk_violation_format(&violation, small, sizeof(small)), strlen(sentence));
	NSDK_ASSERT_TEXT(small, "a line shared b");
	NSDK_ASSERT_INT(nsdk_violation_format(&violation, NULL, 0), strlen(sentence));
}

/* The promise of the header: 320 characters always do. */
static void the_longest_sentence_has_room(void)
{
	struct nsdk_violation violation = {
		.kind = NSDK_VIOLATION_LATE_WRITEBACK,
		.va = (const void *)UINTPTR_MAX,
		.buffer = (const void *)UINTPTR_MAX,
		.offset_bytes = SIZE_MAX,
	};

	memset(violation.owner, 'o', sizeof(violation.owner) - 1);
	memset(violation.operation, 'p', sizeof(violation.operation) - 1);
	memset(violation.missing, 'm', sizeof(violation.missing) - 1);
	CU_ASSERT(nsdk_violation_format(&violation, NULL, 0) < 320);
}

static void nothing_found_is_said(void)
{
	emu_cache_count(EMU_CACHE_DEVICE_READS, 3);
	emu_cache_count(EMU_CACHE_DEVICE_WRITES, 4);
	emu_cache_count(EMU_CACHE_WRITEBACKS, 5);
	emu_cache_count(EMU_CACHE_INVALIDATES, 6);
	emu_cache_count(EMU_CACHE_FENCES, 7);
	emu_cache_count(EMU_CACHE_EVICTIONS, 8);
	emu_cache_count(EMU_CACHE_PREFETCHES, 9);
	emu_cache_adversary_start(77);
	NSDK_ASSERT_INT(nsdk_cache_model_report(&text), 0);
	NSDK_ASSERT_TEXT(text, "cache model, adversary's seed 77\n"
			       "  watched     3 DMA reads, 4 DMA writes, 5 lines written back, "
			       "6 lines invalidated, 7 fences, 8 evictions, 9 prefetches\n"
			       "  violations  none\n");
}

static void what_was_found_is_said(void)
{
	char expected[400];

	report(NSDK_VIOLATION_SHARED_LINE, 3);
	report(NSDK_VIOLATION_SHARED_LINE, 4);
	report(NSDK_VIOLATION_STALE_CPU_READ, 9);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_cache_model_report(&text), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n  violations  3 cache lines: 1 stale read by the CPU, 2 a "
					    "line shared by two owners\n"));
	snprintf(expected, sizeof(expected), "\n    %s\n", sentence);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n    stale read by the CPU: DMA write at 0x7240"));
}

static void not_all_are_kept_and_that_is_said(void)
{
	for (unsigned i = 0; i < EMU_CACHE_KEPT - 1; i++)
		report(NSDK_VIOLATION_SHARED_LINE, i % 2 * 2);
	NSDK_ASSERT_INT(nsdk_cache_model_report(&text), 0);
	CU_ASSERT_PTR_NULL(strstr(text, "the first"));
	free(text);
	report(NSDK_VIOLATION_SHARED_LINE, 40);
	report(NSDK_VIOLATION_SHARED_LINE, 50);
	NSDK_ASSERT_INT(nsdk_cache_model_report(&text), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "65 cache lines"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "(the first 64; all are counted)"));
	nsdk_unit_log_clear();
}

static int64_t number(struct json_object *object, const char *a, const char *b)
{
	object = json_object_object_get(object, a);
	if (b)
		object = json_object_object_get(object, b);
	return object ? json_object_get_int64(object) : -1;
}

static void json_has_the_same(void)
{
	struct json_object *object, *kept, *one;

	emu_cache_adversary_start(UINT64_MAX);
	emu_cache_count(EMU_CACHE_DEVICE_READS, 3);
	emu_cache_count(EMU_CACHE_PREFETCHES, 9);
	report(NSDK_VIOLATION_SHARED_LINE, 3);
	report(NSDK_VIOLATION_SHARED_LINE, 4);
	report(NSDK_VIOLATION_LATE_WRITEBACK, 9);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_cache_model_json(&text), 0);
	object = json_tokener_parse(text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(object);
	CU_ASSERT(json_object_get_uint64(json_object_object_get(object, "seed")) == UINT64_MAX);
	NSDK_ASSERT_INT(number(object, "violations", NULL), 3);
	NSDK_ASSERT_INT(number(object, "watched", "device_reads"), 3);
	NSDK_ASSERT_INT(number(object, "watched", "prefetches"), 9);
	NSDK_ASSERT_INT(number(object, "watched", "fences"), 0);
	NSDK_ASSERT_INT(number(object, "violations_by_kind", "shared_line"), 2);
	NSDK_ASSERT_INT(number(object, "violations_by_kind", "late_writeback"), 1);
	NSDK_ASSERT_INT(number(object, "violations_by_kind", "stale_cpu_read"), 0);
	NSDK_ASSERT_INT(number(object, "violations_by_kind", "stale_device_read"), 0);
	kept = json_object_object_get(object, "kept");
	NSDK_ASSERT_INT(json_object_array_length(kept), 2);
	one = json_object_array_get_idx(kept, 0);
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(one, "sentence")), sentence);
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(one, "missing")),
			 "a \"call\"");
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(one, "kind")),
			 "a line shared by two owners");
	NSDK_ASSERT_TEXT(json_object_get_string(json_object_object_get(one, "operation")),
			 "DMA write");
	NSDK_ASSERT_INT(number(one, "buffer", NULL), 0x5000);
	NSDK_ASSERT_INT(number(one, "offset_bytes", NULL), 8384);
	json_object_put(object);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_violation_is_one_sentence),
	NSDK_UNIT_TEST(the_longest_sentence_has_room),
	NSDK_UNIT_TEST(nothing_found_is_said),
	NSDK_UNIT_TEST(what_was_found_is_said),
	NSDK_UNIT_TEST(not_all_are_kept_and_that_is_said),
	NSDK_UNIT_TEST(json_has_the_same),
};

NSDK_UNIT_MAIN("lib/emu/cache_text", tests, .before = before, .after = after)
