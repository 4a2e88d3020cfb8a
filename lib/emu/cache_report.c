/* SPDX-License-Identifier: BSD-3-Clause */
/* What the cache model saw: counts, and the first violations in full. */
#include <stdio.h>
#include <string.h>

#include <nsdk/log.h>

#include "cache_internal.h"

#define KEPT EMU_CACHE_KEPT

static _Atomic uint64_t counts[EMU_CACHE_COUNTS];

/* Violations are rare, so one lock does. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t violations[NSDK_VIOLATION_KINDS];
static struct nsdk_violation kept[KEPT];
static unsigned kept_count;

static const char *const names[NSDK_VIOLATION_KINDS] = {
	[NSDK_VIOLATION_STALE_DEVICE_READ] = "stale read by the device",
	[NSDK_VIOLATION_STALE_CPU_READ] = "stale read by the CPU",
	[NSDK_VIOLATION_LATE_WRITEBACK] = "device data overwritten by a late write-back",
	[NSDK_VIOLATION_SHARED_LINE] = "a line shared by two owners",
	[NSDK_VIOLATION_UNCACHED] = "a line operation on uncached memory",
};

const char *nsdk_violation_name(enum nsdk_violation_kind kind)
{
	return (unsigned)kind < NSDK_VIOLATION_KINDS ? names[kind] : "invalid";
}

void emu_cache_count(enum emu_cache_count which, uint64_t n)
{
	/* A count orders nothing. */
	atomic_fetch_add_explicit(&counts[which], n, memory_order_relaxed);
}

void emu_cache_report(struct emu_cache_actor *actor, const char *owner,
		      enum nsdk_violation_kind kind, const struct emu_cache_page *page,
		      unsigned line, const char *missing)
{
	uintptr_t va = page->va + line * NSDK_LINE_BYTES;
	char sentence[320];
	bool first, goes_on = actor->last_va != 0 && actor->last_kind == kind &&
			      actor->last_va + NSDK_LINE_BYTES == va;
	struct nsdk_violation violation = {
		.kind = kind,
		.va = (const void *)va,
		.buffer = (const void *)page->region,
		.offset_bytes = va - page->region,
	};

	actor->last_kind = kind;
	actor->last_va = va;
	snprintf(violation.owner, sizeof(violation.owner), "%s", owner);
	snprintf(violation.operation, sizeof(violation.operation), "%s", actor->operation);
	snprintf(violation.missing, sizeof(violation.missing), "%s", missing);

	pthread_mutex_lock(&lock);
	first = violations[kind]++ == 0;
	/* Of a run of lines in one transfer the first is kept; all are counted. */
	if (!goes_on && kept_count < KEPT)
		kept[kept_count++] = violation;
	pthread_mutex_unlock(&lock);
	if (goes_on)
		return;
	nsdk_violation_format(&violation, sentence, sizeof(sentence));
	nsdk_log(first ? NSDK_LOG_ERROR : NSDK_LOG_DEBUG, "emu", "cache model: %s%s", sentence,
		 first ? " (more of this kind are only counted)" : "");
}

void nsdk_cache_model_stats(struct nsdk_cache_model_stats *out)
{
	uint64_t value[EMU_CACHE_COUNTS];

	for (unsigned i = 0; i < EMU_CACHE_COUNTS; i++)
		value[i] = atomic_load_explicit(&counts[i], memory_order_relaxed);
	*out = (struct nsdk_cache_model_stats){
		.device_reads = value[EMU_CACHE_DEVICE_READS],
		.device_writes = value[EMU_CACHE_DEVICE_WRITES],
		.writebacks = value[EMU_CACHE_WRITEBACKS],
		.invalidates = value[EMU_CACHE_INVALIDATES],
		.fences = value[EMU_CACHE_FENCES],
		.evictions = value[EMU_CACHE_EVICTIONS],
		.prefetches = value[EMU_CACHE_PREFETCHES],
		.seed = emu_cache_adversary_seed(),
	};
	pthread_mutex_lock(&lock);
	for (unsigned k = 0; k < NSDK_VIOLATION_KINDS; k++) {
		out->violations[k] = violations[k];
		out->violations_total += violations[k];
	}
	pthread_mutex_unlock(&lock);
}

unsigned nsdk_cache_model_violations(struct nsdk_violation *out, unsigned max)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = kept_count;
	if (max > 0)
		memcpy(out, kept, (n < max ? n : max) * sizeof(*out));
	pthread_mutex_unlock(&lock);
	return n;
}

void nsdk_cache_model_reset(void)
{
	for (unsigned i = 0; i < EMU_CACHE_COUNTS; i++)
		atomic_store_explicit(&counts[i], 0, memory_order_relaxed);
	pthread_mutex_lock(&lock);
	memset(violations, 0, sizeof(violations));
	kept_count = 0;
	pthread_mutex_unlock(&lock);
}
