/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/coherence: what a profile is made of. See profile.c. */
#ifndef NSDK_COHERENCE_PROFILE_H
#define NSDK_COHERENCE_PROFILE_H

#include <nsdk/tune.h>

struct json_object;

#define NSDK_PROFILE_FORMAT 1
#define NSDK_PROFILE_MAX_TABLES 64
#define NSDK_PROFILE_MAX_DEVICES 256
#define NSDK_PROFILE_MAX_FILE_BYTES ((size_t)4 << 20)
#define NSDK_PROFILE_DATE_BYTES 24
#define NSDK_PROFILE_CPUS_BYTES 256
#define NSDK_PROFILE_REASON_BYTES 240
#define NSDK_PROFILE_SKIPS 2 /* CREW, WBINVD */

/* Which CPU this is; two that are the same flush alike. Text is "" and numbers are 0 where not known. */
struct nsdk_cpu_id {
	char vendor[16];
	char name[64];
	unsigned family;
	unsigned model;
	unsigned stepping;
	uint64_t midr; /* aarch64's Main ID register, else 0 */
};

/* This machine's (cpu_id.c). */
void nsdk_cpu_id(struct nsdk_cpu_id *out);

/* Everything nsdk_tune_flush() finds out. */
struct nsdk_profile_flush {
	char date[NSDK_PROFILE_DATE_BYTES]; /* "" : never measured, and the rest is empty */
	char writeback[16];  /* the instructions' names */
	char invalidate[16];
	char cpus[NSDK_PROFILE_CPUS_BYTES];
	char flush_cpus[NSDK_PROFILE_CPUS_BYTES];
	bool hugepages;
	char skipped[NSDK_PROFILE_SKIPS][NSDK_PROFILE_REASON_BYTES];
	unsigned count;
	struct nsdk_tune_table tables[NSDK_PROFILE_MAX_TABLES];
};

struct nsdk_profile {
	struct nsdk_cpu_id cpu;
	struct nsdk_profile_flush flush;
	unsigned device_count;
	struct nsdk_tune_device *devices;
	struct json_object *root; /* as read, for what others put there; NULL */
};

/* Which place of `skipped` a kind has; -1 it has none. */
int nsdk_profile_skip_index(enum nsdk_tune_what what);

/* Now, in ISO 8601. */
void nsdk_profile_now(char date[NSDK_PROFILE_DATE_BYTES]);

/* Whether the numbers can be costs of a real machine; else *why is a sentence's end. */
bool nsdk_profile_table_ok(const struct nsdk_tune_table *table, const char **why);
bool nsdk_profile_device_ok(const struct nsdk_tune_device *device, const char **why);

/* What is recorded of a device, as the profile has it. */
struct json_object *nsdk_tune_device_json(const struct nsdk_tune_device *device);

/*
 * From text, with every check (profile_json.c).
 * @return 0; -EBADMSG, -EOPNOTSUPP, -EXDEV, -ENOMEM as nsdk_profile_read(), and why.
 */
int nsdk_profile_parse(const char *text, size_t bytes, char *why, size_t why_bytes,
		       struct nsdk_profile **out);

#endif
