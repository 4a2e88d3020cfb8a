/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk doctor --probe`: what was measured, and what it means.
 */
#ifndef NSDK_DOCTOR_PROBE_H
#define NSDK_DOCTOR_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <nsdk/coherence.h>
#include <nsdk/iommu.h>

#include "tool.h"

/* What became of the cache lines of one direction. */
struct probe_counts {
	uint64_t lines;
	uint64_t snooped;  /* the device and the CPU saw each other's data */
	uint64_t bypassed; /* they did not: the DMA went past the caches */
	uint64_t other;    /* neither: something else was there */
};

/* The device's Enable No Snoop bit while it was measured. */
enum probe_bit {
	PROBE_BIT_UNKNOWN, /* there is none, or it is the physical function's */
	PROBE_BIT_CLEAR,
	PROBE_BIT_SET,
};

struct probe_facts {
	char device[256];
	uint32_t nsid;
	uint32_t block_bytes;
	uint64_t lba;
	struct nsdk_snoop_verdict verdict;
	enum nsdk_policy policy; /* in force */
	enum probe_bit bit;
	unsigned rounds;
	struct probe_counts device_writes;
	struct probe_counts device_reads;
	bool written;  /* the block was overwritten */
	bool restored; /* and holds what it held before */
};

enum probe_answer {
	PROBE_CANNOT_TELL,
	PROBE_SNOOPED,
	PROBE_NOT_SNOOPED,
};

struct probe_judgement {
	enum probe_answer device_writes;
	enum probe_answer device_reads;
	enum probe_answer overall;
	bool contradiction; /* DMA went past the caches where that was ruled out */
	char reason[512];
};

/* "snooped", "not snooped" or "cannot tell". */
const char *probe_answer_name(enum probe_answer answer);

/* What the counts say, and whether it agrees with what the kernel and the device say. */
void probe_judge(const struct probe_facts *facts, struct probe_judgement *out);

void probe_report(const struct probe_facts *facts, const struct probe_judgement *judgement);
struct json_object *probe_json(const struct probe_facts *facts,
			       const struct probe_judgement *judgement);

/* What a read or write may take, unless it is said. */
#define DOCTOR_IO_TIMEOUT_NS (10 * 1000000000ull)

/*
 * All of `nsdk doctor --probe DEVICE`: attach, measure, restore, report. @return an exit status.
 */
int doctor_probe(const struct tool_args *args, const char *spec, uint64_t lba, uint64_t io_timeout_ns);

#endif
