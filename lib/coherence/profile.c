/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A profile: what flushing costs on this CPU, and which devices were better off coherent.
 *
 * Model. One JSON file for a machine (or a user), with a head that says what it is and on which CPU
 * it was measured, a section `flush` of tables, and a section `devices`. Sections that this version
 * does not know are kept when the file is written again.
 *
 * Trust. The file decides nothing about correctness: whichever way the planner takes, every line is
 * flushed. A wrong profile costs time. So a damaged one is named once and ignored; but "damaged" is
 * taken seriously, since a number off by a digit would cost time for years: the file carries a
 * checksum, and each number is held against what a machine can be like.
 *
 * Files. profile.c holds it, profile_json.c reads and writes the text, profile_file.c finds the file
 * and replaces it whole; tune.c fills it; planner.c lives on it.
 *
 * Lifetimes and threading. A profile belongs to one thread at a time; once nobody changes it any
 * more, any thread reads it.
 *
 * Vocabulary. Table: cost against size of one thing, in one way, of lines in one state. Key: the name
 * of a device that stays the same when it is plugged in again at the same place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include <nsdk/log.h>

#include "profile.h"

/* Registers of PCI configuration space (linux/pci_regs.h has the same numbers). */
#define CFG_VENDOR_ID 0x00
#define CFG_DEVICE_ID 0x02
#define CFG_SUBSYSTEM_VENDOR_ID 0x2c
#define CFG_SUBSYSTEM_ID 0x2e

static const char *const what_names[] = {
	[NSDK_TUNE_LINES] = "lines", [NSDK_TUNE_CREW] = "crew", [NSDK_TUNE_WBINVD] = "wbinvd",
	[NSDK_TUNE_COPY] = "copy",   [NSDK_TUNE_FILL] = "fill", [NSDK_TUNE_MEMCPY] = "memcpy",
};
static const char *const way_names[] = {
	[NSDK_TUNE_WRITEBACK] = "writeback",
	[NSDK_TUNE_INVALIDATE] = "invalidate",
};
static const char *const state_names[] = {
	[NSDK_TUNE_DIRTY] = "dirty",
	[NSDK_TUNE_CLEAN] = "clean",
	[NSDK_TUNE_ABSENT] = "absent",
};

const char *nsdk_tune_what_name(enum nsdk_tune_what what)
{
	return (size_t)what < sizeof(what_names) / sizeof(what_names[0]) ? what_names[what] : "invalid";
}

const char *nsdk_tune_way_name(enum nsdk_tune_way way)
{
	return (size_t)way < sizeof(way_names) / sizeof(way_names[0]) ? way_names[way] : "invalid";
}

const char *nsdk_tune_state_name(enum nsdk_tune_state state)
{
	return (size_t)state < sizeof(state_names) / sizeof(state_names[0]) ? state_names[state] :
									      "invalid";
}

int nsdk_profile_skip_index(enum nsdk_tune_what what)
{
	switch (what) {
	case NSDK_TUNE_CREW:
		return 0;
	case NSDK_TUNE_WBINVD:
		return 1;
	default:
		return -1;
	}
}

void nsdk_profile_now(char date[NSDK_PROFILE_DATE_BYTES])
{
	time_t now = time(NULL);
	struct tm parts;

	gmtime_r(&now, &parts);
	if (strftime(date, NSDK_PROFILE_DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
		date[0] = '\0';
}

int nsdk_profile_create(struct nsdk_profile **out)
{
	*out = calloc(1, sizeof(**out));
	if (*out == NULL)
		return nsdk_fail(-ENOMEM, "coherence", "no memory for a flush profile");
	nsdk_cpu_id(&(*out)->cpu);
	return 0;
}

void nsdk_profile_free(struct nsdk_profile *profile)
{
	if (profile == NULL)
		return;
	json_object_put(profile->root);
	free(profile->devices);
	free(profile);
}

/* ---- Flushes ---- */

const struct nsdk_tune_table *nsdk_profile_tables(const struct nsdk_profile *profile, unsigned *count)
{
	*count = profile->flush.count;
	return profile->flush.tables;
}

const struct nsdk_tune_table *nsdk_profile_table(const struct nsdk_profile *profile,
						 enum nsdk_tune_what what, enum nsdk_tune_way way,
						 enum nsdk_tune_state state, unsigned cpus)
{
	for (unsigned i = 0; i < profile->flush.count; i++) {
		const struct nsdk_tune_table *table = &profile->flush.tables[i];

		if (table->what == what && table->way == way && table->state == state &&
		    table->cpus == cpus)
			return table;
	}
	return NULL;
}

const char *nsdk_profile_skipped(const struct nsdk_profile *profile, enum nsdk_tune_what what)
{
	int index = nsdk_profile_skip_index(what);

	return index < 0 ? "" : profile->flush.skipped[index];
}

const char *nsdk_profile_cpu_name(const struct nsdk_profile *profile)
{
	return profile->cpu.name;
}

const char *nsdk_profile_date(const struct nsdk_profile *profile)
{
	return profile->flush.date;
}

/* From a microsecond a line, which no cache instruction takes, to one picosecond a byte. */
static bool cost_is_possible(const struct nsdk_tune_table *table, const struct nsdk_tune_point *point)
{
	uint64_t lines = point->bytes / NSDK_LINE_BYTES;

	if (point->ns == 0 || point->ns > 1000000000000u)
		return false;
	if (table->what == NSDK_TUNE_WBINVD)
		return point->ns <= 60000000000u;
	/* An emulated CPU may take longer for an instruction than for the memory behind it. */
	return point->ns >= point->bytes / 1000 && point->ns <= 10000000 + lines * 10000;
}

bool nsdk_profile_table_ok(const struct nsdk_tune_table *table, const char **why)
{
	bool from_zero = table->what == NSDK_TUNE_WBINVD;

	*why = "a table has no points, or too many";
	if (table->count == 0 || table->count > NSDK_TUNE_MAX_POINTS)
		return false;
	*why = "a table's number of CPUs is none that a machine has";
	if (table->cpus == 0 || table->cpus > NSDK_MAX_CPUS)
		return false;
	for (unsigned i = 0; i < table->count; i++) {
		const struct nsdk_tune_point *point = &table->points[i];

		*why = "a table's sizes are not rising whole lines";
		if (point->bytes % NSDK_LINE_BYTES != 0 || point->bytes > NSDK_TUNE_MAX_BYTES ||
		    (point->bytes == 0 && !from_zero) ||
		    (i > 0 && point->bytes <= point[-1].bytes))
			return false;
		*why = "a table has a cost that is impossible";
		if (!cost_is_possible(table, point))
			return false;
		*why = "a table's median is outside its spread";
		if (point->low_ns > point->ns || point->high_ns < point->ns)
			return false;
		/* Noise, yes; but not that twice as much costs less than half. */
		*why = "a table's costs fall as sizes rise";
		if (i > 0 && point->ns < point[-1].ns / 2)
			return false;
	}
	return true;
}

/* ---- Devices ---- */

int nsdk_tune_device_key(struct nsdk_device *dev, char key[NSDK_TUNE_KEY_BYTES])
{
	static const unsigned offsets[] = { CFG_VENDOR_ID, CFG_DEVICE_ID, CFG_SUBSYSTEM_VENDOR_ID,
					    CFG_SUBSYSTEM_ID };
	const char *name = nsdk_device_name(dev);
	uint32_t ids[4];
	int rc;

	if (strncmp(name, "pci:", 4) != 0) {
		/* A model is what it is whatever its size: its options are not part of it. */
		snprintf(key, NSDK_TUNE_KEY_BYTES, "%.*s", (int)strcspn(name, ","), name);
		return 0;
	}
	for (unsigned i = 0; i < 4; i++) {
		rc = nsdk_device_cfg_read(dev, offsets[i], 2, &ids[i]);
		if (rc != 0)
			return rc;
	}
	snprintf(key, NSDK_TUNE_KEY_BYTES, "%04x:%04x:%04x:%04x@%s", ids[0], ids[1], ids[2], ids[3],
		 name + 4);
	return 0;
}

const struct nsdk_tune_device *nsdk_profile_device(const struct nsdk_profile *profile, const char *key)
{
	for (unsigned i = 0; i < profile->device_count; i++) {
		if (strcmp(profile->devices[i].key, key) == 0)
			return &profile->devices[i];
	}
	return NULL;
}

bool nsdk_profile_device_ok(const struct nsdk_tune_device *device, const char **why)
{
	*why = "a device has no name";
	if (device->key[0] == '\0' || memchr(device->key, '\0', sizeof(device->key)) == NULL)
		return false;
	*why = "a device's better policy is none";
	if (device->winner != NSDK_POLICY_COHERENT && device->winner != NSDK_POLICY_NOSNOOP)
		return false;
	*why = "a device has too many block sizes";
	if (device->count > NSDK_TUNE_MAX_POINTS)
		return false;
	*why = "a device's block sizes are not rising";
	for (unsigned i = 0; i < device->count; i++) {
		if (device->points[i].block_bytes == 0 ||
		    (i > 0 && device->points[i].block_bytes <= device->points[i - 1].block_bytes))
			return false;
	}
	return true;
}

int nsdk_profile_set_device(struct nsdk_profile *profile, const struct nsdk_tune_device *device)
{
	struct nsdk_tune_device *place =
		(struct nsdk_tune_device *)nsdk_profile_device(profile, device->key);
	const char *why;

	if (!nsdk_profile_device_ok(device, &why))
		return nsdk_fail(-EINVAL, "coherence", "the device is not recorded, since %s", why);
	if (place == NULL) {
		if (profile->device_count == NSDK_PROFILE_MAX_DEVICES)
			return nsdk_fail(-ENOSPC, "coherence",
					 "the flush profile has %u devices, as many as it can hold; "
					 "remove the file to begin anew", profile->device_count);
		place = reallocarray(profile->devices, profile->device_count + 1, sizeof(*place));
		if (place == NULL)
			return nsdk_fail(-ENOMEM, "coherence", "no memory for a flush profile");
		profile->devices = place;
		place += profile->device_count++;
	}
	*place = *device;
	nsdk_profile_now(place->date);
	return 0;
}

enum nsdk_policy nsdk_profile_auto_policy(const struct nsdk_profile *profile, const char *key)
{
	const struct nsdk_tune_device *device =
		profile != NULL ? nsdk_profile_device(profile, key) : NULL;

	if (device == NULL || device->winner != NSDK_POLICY_COHERENT)
		return NSDK_POLICY_AUTO;
	/* Coherent for want of a choice says nothing of a day on which there is one. */
	for (unsigned i = 0; i < device->count; i++)
		if (device->points[i].nosnoop_iops != 0)
			return NSDK_POLICY_COHERENT;
	return NSDK_POLICY_AUTO;
}
