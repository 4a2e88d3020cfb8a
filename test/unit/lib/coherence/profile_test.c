/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Profiles: there and back, found where they belong, replaced whole; and whatever is done to the file,
 * it is either what was written or it is refused with one sentence.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include <nsdk/bus.h>

#include "lib/coherence/profile.h"
#include "nsdk_unit.h"

static char folder[PATH_MAX], path[PATH_MAX + 64];

static int start(void)
{
	snprintf(folder, sizeof(folder), "%s/nsdk-profile.XXXXXX",
		 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(folder) != NULL ? 0 : -errno;
}

static void stop(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	if (system(command) != 0)
		printf("# %s stays behind\n", folder);
}

static void before(void)
{
	snprintf(path, sizeof(path), "%s/profile.json", folder);
	unlink(path);
	setenv("NSDK_PROFILE", path, 1);
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static struct nsdk_tune_table *add_table(struct nsdk_profile *profile, enum nsdk_tune_what what,
					 enum nsdk_tune_way way, unsigned cpus)
{
	struct nsdk_tune_table *table = &profile->flush.tables[profile->flush.count++];

	*table = (struct nsdk_tune_table){ .what = what, .way = way, .cpus = cpus, .count = 3 };
	table->points[0] = (struct nsdk_tune_point){ 4096, 100, 90, 120 };
	table->points[1] = (struct nsdk_tune_point){ 65536, 1500, 1400, 1600 };
	table->points[2] = (struct nsdk_tune_point){ 1 << 20, 30000, 29000, 40000 };
	return table;
}

static struct nsdk_profile *example(void)
{
	struct nsdk_tune_device device = { .key = "1b36:0010:1af4:1100@0000:00:03.0",
					   .winner = NSDK_POLICY_COHERENT,
					   .reason = "it was \"faster\" at 4 KiB \\ 1 MiB",
					   .count = 2 };
	struct nsdk_line_info lines;
	struct nsdk_profile *profile;

	nsdk_line_info(&lines);
	if (nsdk_profile_create(&profile) != 0)
		return NULL;
	nsdk_profile_now(profile->flush.date);
	snprintf(profile->flush.writeback, sizeof(profile->flush.writeback), "%s", lines.writeback);
	snprintf(profile->flush.invalidate, sizeof(profile->flush.invalidate), "%s", lines.invalidate);
	strcpy(profile->flush.cpus, "0,2-3");
	strcpy(profile->flush.flush_cpus, "4");
	strcpy(profile->flush.skipped[1], "not asked for");
	profile->flush.hugepages = true;
	for (unsigned way = 0; way < 2; way++) {
		add_table(profile, NSDK_TUNE_LINES, (enum nsdk_tune_way)way, 1);
		add_table(profile, NSDK_TUNE_CREW, (enum nsdk_tune_way)way, 2);
	}
	add_table(profile, NSDK_TUNE_WBINVD, NSDK_TUNE_WRITEBACK, 1)->points[0].bytes = 0;
	device.points[0] = (struct nsdk_tune_device_point){ 4096, 500000, 900, 510000, 950 };
	device.points[1] = (struct nsdk_tune_device_point){ 65536, 40000, 1900, 0, 0 };
	CU_ASSERT_EQUAL(nsdk_profile_set_device(profile, &device), 0);
	return profile;
}

static bool same_table(const struct nsdk_tune_table *a, const struct nsdk_tune_table *b)
{
	return a->what == b->what && a->way == b->way && a->state == b->state && a->cpus == b->cpus &&
	       a->count == b->count && memcmp(a->points, b->points, sizeof(a->points)) == 0;
}

static bool same_device(const struct nsdk_tune_device *a, const struct nsdk_tune_device *b)
{
	return strcmp(a->key, b->key) == 0 && a->winner == b->winner &&
	       strcmp(a->reason, b->reason) == 0 && strcmp(a->date, b->date) == 0 &&
	       a->count == b->count && memcmp(a->points, b->points, sizeof(a->points)) == 0;
}

static bool same(const struct nsdk_profile *a, const struct nsdk_profile *b)
{
	const struct nsdk_profile_flush *f = &a->flush, *g = &b->flush;
	bool same = strcmp(a->cpu.vendor, b->cpu.vendor) == 0 && strcmp(a->cpu.name, b->cpu.name) == 0 &&
		    a->cpu.family == b->cpu.family && a->cpu.model == b->cpu.model &&
		    a->cpu.stepping == b->cpu.stepping && a->cpu.midr == b->cpu.midr &&
		    strcmp(f->date, g->date) == 0 && strcmp(f->writeback, g->writeback) == 0 &&
		    strcmp(f->invalidate, g->invalidate) == 0 && strcmp(f->cpus, g->cpus) == 0 &&
		    strcmp(f->flush_cpus, g->flush_cpus) == 0 && f->hugepages == g->hugepages &&
		    memcmp(f->skipped, g->skipped, sizeof(f->skipped)) == 0 && f->count == g->count &&
		    a->device_count == b->device_count;

	for (unsigned i = 0; same && i < f->count; i++)
		same = same_table(&f->tables[i], &g->tables[i]);
	for (unsigned i = 0; same && i < a->device_count; i++)
		same = same_device(&a->devices[i], &b->devices[i]);
	return same;
}

static void write_text(const char *text, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CU_ASSERT_EQUAL(write(fd, text, bytes), (ssize_t)bytes);
	close(fd);
}

static char *read_text(size_t *bytes)
{
	char *text = calloc(1, 1 << 20);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, (1 << 20) - 1);

	*bytes = n > 0 ? (size_t)n : 0;
	close(fd);
	return text;
}

static void there_and_back(void)
{
	struct nsdk_profile *profile = example(), *back = NULL;
	struct stat st;

	NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
	NSDK_ASSERT_INT(stat(path, &st), 0);
	NSDK_ASSERT_INT(st.st_mode & 07777, 0644);
	NSDK_ASSERT_INT(nsdk_profile_load(&back), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(back);
	CU_ASSERT(same(profile, back));
	/* And what was read is written the same. */
	NSDK_ASSERT_INT(nsdk_profile_write(back, path), 0);
	nsdk_profile_free(back);
	NSDK_ASSERT_INT(nsdk_profile_load(&back), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(back);
	CU_ASSERT(same(profile, back));
	CU_ASSERT_PTR_NOT_NULL(nsdk_profile_table(back, NSDK_TUNE_CREW, NSDK_TUNE_INVALIDATE,
						  NSDK_TUNE_DIRTY, 2));
	CU_ASSERT_PTR_NULL(nsdk_profile_table(back, NSDK_TUNE_CREW, NSDK_TUNE_INVALIDATE,
					      NSDK_TUNE_DIRTY, 1));
	NSDK_ASSERT_TEXT(nsdk_profile_skipped(back, NSDK_TUNE_WBINVD), "not asked for");
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_profile_free(back);
	nsdk_profile_free(profile);
}

/* Cut at every byte: refused, or it lacks nothing but the last newline. Never half of it. */
static void truncated_anywhere_is_refused(void)
{
	struct nsdk_profile *profile = example(), *back;
	char why[400];
	size_t bytes;
	char *text;

	NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
	text = read_text(&bytes);
	CU_ASSERT(bytes > 1000);
	for (size_t length = 0; length <= bytes; length++) {
		/* Exactly as long, so that a sanitizer sees a look beyond the end. */
		char *cut = malloc(length + 1);
		int rc;

		memcpy(cut, text, length);
		cut[length] = '\0';
		why[0] = '\0';
		rc = nsdk_profile_parse(cut, length, why, sizeof(why), &back);
		NSDK_ASSERT_INT(rc, length + 1 < bytes ? -EBADMSG : 0);
		CU_ASSERT(rc == 0 ? same(profile, back) : why[0] != '\0');
		nsdk_profile_free(back);
		free(cut);
	}
	free(text);
	nsdk_profile_free(profile);
}

/* Any byte changed: refused, or it still says the same (a blank that became another). */
static void changed_anywhere_is_refused(void)
{
	static const char others[] = { '\0', '9', '"', '}', '\x80' };
	struct nsdk_profile *profile = example(), *back;
	char *text = nsdk_profile_text(profile);
	size_t bytes = strlen(text);
	unsigned refused = 0;
	char why[400];

	for (size_t at = 0; at < bytes; at++) {
		/* Two of them, in turn: every kind of place meets each. */
		for (size_t k = 0; k < 2; k++) {
			size_t i = (at + 2 * k) % sizeof(others);
			char was = text[at];
			int rc;

			if (others[i] == was)
				continue;
			text[at] = others[i];
			rc = nsdk_profile_parse(text, bytes, why, sizeof(why), &back);
			text[at] = was;
			refused += rc != 0;
			CU_ASSERT(rc != 0 || same(profile, back));
			nsdk_profile_free(back);
		}
	}
	CU_ASSERT(refused > bytes);
	free(text);
	nsdk_profile_free(profile);
}

/* What a program with a bug, and a right checksum, could have written. */
static void absurd_values_are_refused(void)
{
	static const struct {
		const char *what;
		uint64_t bytes, ns, low_ns, high_ns;
	} cases[] = {
		{ "impossible", 65536, 0, 0, 0 },
		{ "impossible", 65536, 1, 1, 1 },
		{ "impossible", 65536, 1ull << 60, 0, 1ull << 61 },
		{ "rising", 4096, 1500, 1400, 1600 },
		{ "rising", 4095, 1500, 1400, 1600 },
		{ "rising", 1ull << 40, 1500, 1400, 1600 },
		{ "rising", 1 << 20, 1500, 1400, 1600 },
		{ "spread", 65536, 1500, 1501, 1600 },
		{ "spread", 65536, 1500, 1400, 1499 },
		{ "fall", 65536, 70000, 60000, 80000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nsdk_profile *profile = example(), *back = NULL;

		profile->flush.tables[1].points[1] = (struct nsdk_tune_point){
			cases[i].bytes, cases[i].ns, cases[i].low_ns, cases[i].high_ns
		};
		NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
		NSDK_ASSERT_INT(nsdk_profile_load(&back), 0);
		CU_ASSERT_PTR_NULL(back);
		NSDK_ASSERT_INT(nsdk_unit_log_has(path), true);
		NSDK_ASSERT_INT(nsdk_unit_log_has("nsdk tune flush"), true);
		NSDK_ASSERT_INT(nsdk_unit_log_has(cases[i].what), true);
		nsdk_unit_log_clear();
		nsdk_profile_free(profile);
	}
}

/* Write the example with the first of a text replaced; the checksum stays as it was. */
static void rewrite(const char *from, const char *to)
{
	struct nsdk_profile *profile = example();
	char *text = nsdk_profile_text(profile), *at = strstr(text, from);
	FILE *file = fopen(path, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	fclose(file);
	free(text);
	nsdk_profile_free(profile);
}

static void assert_ignored(int error, const char *why)
{
	struct nsdk_profile *back = NULL;
	char reason[400];

	NSDK_ASSERT_INT(nsdk_profile_read(path, reason, sizeof(reason), &back), error);
	CU_ASSERT_PTR_NULL(back);
	CU_ASSERT_PTR_NOT_NULL(strstr(reason, why));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_profile_load(&back), 0);
	CU_ASSERT_PTR_NULL(back);
	NSDK_ASSERT_INT(nsdk_unit_log_has(why), true);
	NSDK_ASSERT_INT(nsdk_unit_log_has(path), true);
	nsdk_unit_log_clear();
}

static void what_is_wrong_is_named(void)
{
	rewrite("\"format\": 1", "\"format\": 2");
	assert_ignored(-EOPNOTSUPP, "format 2");
	rewrite("\"format\": 1", "\"format\": -1");
	assert_ignored(-EBADMSG, "\"format\"");
	rewrite("\"format\": 1", "\"format\": \"1\"");
	assert_ignored(-EBADMSG, "\"format\"");
	rewrite("\"format\": 1", "\"formats\": 1");
	assert_ignored(-EBADMSG, "\"format\"");
	rewrite("\"ns\": 1500", "\"ns\": 1501");
	assert_ignored(-EBADMSG, "checksum");
	rewrite("\"checksum\"", "\"checks\"");
	assert_ignored(-EBADMSG, "\"checksum\"");
	write_text("", 0);
	assert_ignored(-EBADMSG, "JSON");
	write_text("[1, 2]", 6);
	assert_ignored(-EBADMSG, "JSON");
	write_text("\0\0\0\0", 4);
	assert_ignored(-EBADMSG, "JSON");
	write_text("{} {}", 5);
	assert_ignored(-EBADMSG, "JSON");
}

/* The member of an object's member's member …, by its path. */
static struct json_object *member(struct json_object *object, const char *const *keys)
{
	for (; *keys != NULL; keys++) {
		if (json_object_is_type(object, json_type_array))
			object = json_object_array_get_idx(object, strtoul(*keys, NULL, 10));
		else
			CU_ASSERT(json_object_object_get_ex(object, *keys, &object));
	}
	return object;
}

/* A member that is something else than it must be; the checksum is right. */
static void wrong_members_are_refused(void)
{
	static const struct {
		const char *path[6];
		const char *key, *value, *why;
	} cases[] = {
		{ { "flush", "tables", "0", "points", "0" }, "low_ns", "-5", "\"low_ns\"" },
		{ { "flush", "tables", "0", "points", "0" }, "ns", "100.0", "\"ns\"" },
		{ { "flush", "tables", "0", "points", "0" }, "ns", "1e2", "\"ns\"" },
		{ { "flush", "tables", "0", "points", "0" }, "bytes", "\"4096\"", "\"bytes\"" },
		{ { "flush", "tables", "0", "points", "0" }, "high_ns", "null", "\"high_ns\"" },
		{ { "flush", "tables", "0" }, "cpus", "0", "CPUs" },
		{ { "flush", "tables", "0" }, "cpus", "4294967297", "\"cpus\"" },
		{ { "flush", "tables", "0" }, "cpus", "99999999999999999999999", "\"cpus\"" },
		{ { "flush", "tables", "0" }, "what", "\"magic\"", "\"magic\"" },
		{ { "flush", "tables", "0" }, "way", "1", "\"way\"" },
		{ { "flush", "tables", "0" }, "state", "\"wet\"", "\"wet\"" },
		{ { "flush", "tables", "0" }, "points", "[]", "no points" },
		{ { "flush", "tables", "0" }, "points", "[7]", "point is no object" },
		{ { "flush", "tables", "0" }, "points", "{}", "\"points\"" },
		{ { "flush" }, "tables", "[[]]", "tables is no object" },
		{ { "flush" }, "tables", "{}", "\"tables\"" },
		{ { "flush" }, "hugepages", "1", "\"hugepages\"" },
		{ { "flush" }, "skipped", "{}", "\"crew\"" },
		{ { "flush" }, "date", "\"\"", "when" },
		{ { "flush" }, "date", "\"2026-01-01T00:00:00Z and a half\"", "too long" },
		{ { "flush" }, "cpus", "\"0\\u00001\"", "too long" },
		{ { NULL }, "flush", "[]", "\"flush\"" },
	};
	char why[400];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nsdk_profile *profile = example(), *back = NULL;
		char *text = nsdk_profile_text(profile);
		struct json_object *to;

		/* Without a date it has no flushes of its own to write, and keeps what is there. */
		profile->flush.date[0] = '\0';
		to = member(profile->root, cases[i].path);
		json_object_object_add(to, cases[i].key, json_tokener_parse(cases[i].value));
		free(text);
		text = nsdk_profile_text(profile);
		why[0] = '\0';
		NSDK_ASSERT_INT(nsdk_profile_parse(text, strlen(text), why, sizeof(why), &back), -EBADMSG);
		CU_ASSERT_PTR_NULL(back);
		if (strstr(why, cases[i].why) == NULL)
			NSDK_ASSERT_TEXT(why, cases[i].why);
		nsdk_profile_free(back);
		free(text);
		nsdk_profile_free(profile);
	}
}

static void the_same_table_twice_is_refused(void)
{
	struct nsdk_profile *profile = example(), *back = NULL;
	char why[400] = "", *text;

	profile->flush.tables[1] = profile->flush.tables[0];
	text = nsdk_profile_text(profile);
	NSDK_ASSERT_INT(nsdk_profile_parse(text, strlen(text), why, sizeof(why), &back), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "twice"));
	free(text);
	nsdk_profile_free(profile);
}

static void deep_nesting_is_refused(void)
{
	char *text = malloc(200001);

	memset(text, '[', 200000);
	text[200000] = '\0';
	write_text(text, 200000);
	assert_ignored(-EBADMSG, "JSON");
	free(text);
}

static void another_cpu_is_named(void)
{
	struct nsdk_profile *profile = example();

	strcpy(profile->cpu.name, "Imaginary 9000");
	NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
	assert_ignored(-EXDEV, "Imaginary 9000");
	nsdk_cpu_id(&profile->cpu);
	profile->cpu.stepping++;
	NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
	assert_ignored(-EXDEV, "another CPU");
	nsdk_cpu_id(&profile->cpu);
	strcpy(profile->flush.writeback, "clflip");
	NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
	assert_ignored(-EXDEV, "clflip");
	nsdk_profile_free(profile);
}

static void no_file_is_no_matter(void)
{
	struct nsdk_profile *profile = NULL;

	NSDK_ASSERT_INT(nsdk_profile_load(&profile), 0);
	CU_ASSERT_PTR_NULL(profile);
	setenv("NSDK_PROFILE", "/dev/null/nothing", 1);
	NSDK_ASSERT_INT(nsdk_profile_load(&profile), 0);
	setenv("NSDK_PROFILE", "", 1);
	NSDK_ASSERT_INT(nsdk_profile_load(&profile), 0);
	CU_ASSERT_PTR_NULL(profile);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void what_is_no_file_is_named(void)
{
	NSDK_ASSERT_INT(mkfifo(path, 0644), 0);
	assert_ignored(-EBADMSG, "regular file");
	unlink(path);
	NSDK_ASSERT_INT(mkdir(path, 0755), 0);
	assert_ignored(-EBADMSG, "regular file");
	rmdir(path);
	write_text("", 0);
	NSDK_ASSERT_INT(truncate(path, NSDK_PROFILE_MAX_FILE_BYTES + 1), 0);
	assert_ignored(-EBADMSG, "larger");
}

static void the_places_in_their_order(void)
{
	char at[PATH_MAX], expected[PATH_MAX + 64];

	setenv("NSDK_PROFILE", "/a/b", 1);
	NSDK_ASSERT_INT(nsdk_profile_path(true, at, sizeof(at)), 0);
	NSDK_ASSERT_TEXT(at, "/a/b");
	/* Set but empty: there is none, and none to be written. */
	setenv("NSDK_PROFILE", "", 1);
	NSDK_ASSERT_INT(nsdk_profile_path(true, at, sizeof(at)), -ENOENT);
	NSDK_ASSERT_INT(nsdk_profile_path(false, at, sizeof(at)), -ENOENT);
	unsetenv("NSDK_PROFILE");
	setenv("HOME", "/home2", 1);
	setenv("XDG_CONFIG_HOME", folder, 1);
	NSDK_ASSERT_INT(nsdk_profile_path(true, at, sizeof(at)), 0);
	snprintf(expected, sizeof(expected), "%s/nsdk/flush-profile.json", folder);
	NSDK_ASSERT_TEXT(at, expected);
	setenv("XDG_CONFIG_HOME", "relative", 1);
	NSDK_ASSERT_INT(nsdk_profile_path(true, at, sizeof(at)), 0);
	NSDK_ASSERT_TEXT(at, "/home2/.config/nsdk/flush-profile.json");
	unsetenv("HOME");
	unsetenv("XDG_CONFIG_HOME");
	NSDK_ASSERT_INT(nsdk_profile_path(true, at, sizeof(at)), 0);
	NSDK_ASSERT_TEXT(at, "/etc/nsdk/flush-profile.json");
	NSDK_ASSERT_INT(nsdk_profile_path(true, at, 8), -ENAMETOOLONG);
}

static void folders_are_made_and_links_kept(void)
{
	char deep[PATH_MAX + 128], link[PATH_MAX + 64];
	struct nsdk_profile *profile = example(), *back = NULL;
	struct stat st;

	snprintf(deep, sizeof(deep), "%s/new/folder/profile.json", folder);
	snprintf(link, sizeof(link), "%s/link", folder);
	NSDK_ASSERT_INT(nsdk_profile_write(profile, deep), 0);
	NSDK_ASSERT_INT(symlink(deep, link), 0);
	profile->flush.tables[0].points[0].ns++;
	NSDK_ASSERT_INT(nsdk_profile_write(profile, link), 0);
	NSDK_ASSERT_INT(lstat(link, &st), 0);
	CU_ASSERT(S_ISLNK(st.st_mode));
	NSDK_ASSERT_INT(nsdk_profile_read(deep, NULL, 0, &back), 0);
	CU_ASSERT(back != NULL && same(profile, back));
	nsdk_profile_free(back);
	NSDK_ASSERT_INT(nsdk_profile_write(profile, "/proc/nsdk/profile.json"), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("/proc/nsdk/profile.json");
	nsdk_profile_free(profile);
}

/* As a later version of the same format would have it: a member of its own, covered by the sum. */
static void sections_of_others_are_kept(void)
{
	struct nsdk_profile *profile = example(), *back = NULL;
	struct json_object *topology = json_object_new_object(), *kept = NULL;

	json_object_object_add(topology, "ratio", json_object_new_double_s(1.5, "1.50"));
	profile->root = json_object_new_object();
	json_object_object_add(profile->root, "topology", topology);
	NSDK_ASSERT_INT(nsdk_profile_write(profile, path), 0);
	for (unsigned i = 0; i < 2; i++) {
		NSDK_ASSERT_INT(nsdk_profile_load(&back), 0);
		CU_ASSERT_PTR_NOT_NULL_FATAL(back);
		CU_ASSERT(same(profile, back));
		CU_ASSERT(json_object_object_get_ex(back->root, "topology", &kept));
		NSDK_ASSERT_TEXT(json_object_to_json_string_ext(kept, JSON_C_TO_STRING_PLAIN),
				 "{\"ratio\":1.50}");
		NSDK_ASSERT_INT(nsdk_profile_write(back, path), 0);
		nsdk_profile_free(back);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_profile_free(profile);
}

static void policy_auto_follows_the_record(void)
{
	struct nsdk_profile *profile = example();
	struct nsdk_tune_device device = { .key = "emu:nvme", .winner = NSDK_POLICY_NOSNOOP };

	NSDK_ASSERT_INT(nsdk_profile_auto_policy(NULL, "emu:nvme"), NSDK_POLICY_AUTO);
	NSDK_ASSERT_INT(nsdk_profile_auto_policy(profile, "emu:nvme"), NSDK_POLICY_AUTO);
	NSDK_ASSERT_INT(nsdk_profile_set_device(profile, &device), 0);
	NSDK_ASSERT_INT(nsdk_profile_auto_policy(profile, "emu:nvme"), NSDK_POLICY_AUTO);
	/* Coherent because there was no choice: that may have changed. */
	device.winner = NSDK_POLICY_COHERENT;
	NSDK_ASSERT_INT(nsdk_profile_set_device(profile, &device), 0);
	NSDK_ASSERT_INT(nsdk_profile_auto_policy(profile, "emu:nvme"), NSDK_POLICY_AUTO);
	device.count = 1;
	device.points[0] = (struct nsdk_tune_device_point){ 4096, 1000, 100, 900, 200 };
	NSDK_ASSERT_INT(nsdk_profile_set_device(profile, &device), 0);
	NSDK_ASSERT_INT(profile->device_count, 2);
	NSDK_ASSERT_INT(nsdk_profile_auto_policy(profile, "emu:nvme"), NSDK_POLICY_COHERENT);
	/* The same kind of device at another place is another device. */
	NSDK_ASSERT_INT(nsdk_profile_auto_policy(profile, "1b36:0010:1af4:1100@0000:00:03.0"),
			NSDK_POLICY_COHERENT);
	NSDK_ASSERT_INT(nsdk_profile_auto_policy(profile, "1b36:0010:1af4:1100@0000:00:04.0"),
			NSDK_POLICY_AUTO);
	device.winner = NSDK_POLICY_AUTO;
	NSDK_ASSERT_INT(nsdk_profile_set_device(profile, &device), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("policy");
	nsdk_profile_free(profile);
}

static void a_model_is_known_by_its_kind(void)
{
	char key[NSDK_TUNE_KEY_BYTES] = "";
	struct nsdk_device *dev = NULL;

	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme,size=1m,nosnoop=all", NULL, &dev), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	NSDK_ASSERT_INT(nsdk_tune_device_key(dev, key), 0);
	NSDK_ASSERT_TEXT(key, "emu:nvme");
	nsdk_device_detach(dev);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(there_and_back),
	NSDK_UNIT_TEST(truncated_anywhere_is_refused),
	NSDK_UNIT_TEST(changed_anywhere_is_refused),
	NSDK_UNIT_TEST(absurd_values_are_refused),
	NSDK_UNIT_TEST(what_is_wrong_is_named),
	NSDK_UNIT_TEST(wrong_members_are_refused),
	NSDK_UNIT_TEST(the_same_table_twice_is_refused),
	NSDK_UNIT_TEST(deep_nesting_is_refused),
	NSDK_UNIT_TEST(another_cpu_is_named),
	NSDK_UNIT_TEST(no_file_is_no_matter),
	NSDK_UNIT_TEST(what_is_no_file_is_named),
	NSDK_UNIT_TEST(the_places_in_their_order),
	NSDK_UNIT_TEST(folders_are_made_and_links_kept),
	NSDK_UNIT_TEST(sections_of_others_are_kept),
	NSDK_UNIT_TEST(policy_auto_follows_the_record),
	NSDK_UNIT_TEST(a_model_is_known_by_its_kind),
};

NSDK_UNIT_MAIN("lib/coherence/profile", tests, .start = start, .stop = stop, .before = before,
	       .after = after)
