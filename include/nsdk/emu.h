/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the CPU-cache model of the emulated devices has found.
 *
 * A driver of your own is watched as soon as it drives an `emu:` device with `nosnoop=data` or `all`;
 * at the end ask for nsdk_cache_model_stats(), and print nsdk_cache_model_report(). The guide's
 * own-driver.md has a whole program.
 *
 * The devices themselves are reached as `emu:…` through nsdk/bus.h. Device words of the NVMe model:
 * `emu:nvme[,size=1G][,lba=512|4096][,file=PATH][,namespaces=N][,mdts=N][,nosnoop=none|data|all]
 * [,latency_us=N][,seed=N]` and the options for tests that the guide lists.
 */
#ifndef NSDK_EMU_H
#define NSDK_EMU_H

#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What can go wrong between a cache and a device that bypasses it. */
enum nsdk_violation_kind {
	NSDK_VIOLATION_STALE_DEVICE_READ, /**< the device read memory under a dirty line */
	NSDK_VIOLATION_STALE_CPU_READ,    /**< the CPU looked at a line the device had written, before
					       taking it back */
	NSDK_VIOLATION_LATE_WRITEBACK,    /**< a dirty line was written back over the device's data */
	NSDK_VIOLATION_SHARED_LINE,       /**< two owners in one line, or a device and the CPU */
	NSDK_VIOLATION_UNCACHED,          /**< a line operation on memory that is in no cache: a BAR's */
};
/** How many kinds there are. */
#define NSDK_VIOLATION_KINDS 5

/** One violation. */
struct nsdk_violation {
	enum nsdk_violation_kind kind; /**< what went wrong */
	const void *va;       /**< first byte of the line */
	const void *buffer;   /**< start of the mapped region it is in */
	size_t offset_bytes;  /**< of the line inside that region */
	char owner[48];       /**< whose DMA: "emu:nvme sqid 1 cid 7" */
	char operation[48];   /**< "DMA read", "eviction", … */
	char missing[64];     /**< the call that was missing */
};

/** "stale read by the device", … */
const char *nsdk_violation_name(enum nsdk_violation_kind kind);

/**
 * A violation in one sentence: what happened, where, to whose transfer, and the call that was missing.
 * @return as snprintf(): how many characters it has. 320 always do. Threading: any.
 */
int nsdk_violation_format(const struct nsdk_violation *violation, char *out, size_t out_bytes);

/** What the cache model of this process has seen since it was reset. */
struct nsdk_cache_model_stats {
	uint64_t violations[NSDK_VIOLATION_KINDS]; /**< by enum nsdk_violation_kind */
	uint64_t violations_total; /**< of all kinds */
	uint64_t device_reads; /**< no-snoop DMA reads seen */
	uint64_t device_writes; /**< no-snoop DMA writes seen */
	uint64_t writebacks;   /**< line operations seen */
	uint64_t invalidates;  /**< line operations seen */
	uint64_t fences;       /**< seen */
	uint64_t evictions;    /**< by the adversary */
	uint64_t prefetches;   /**< by the adversary */
	uint64_t seed;         /**< of the adversary: the same seed, the same choices */
};

/**
 * All zero until an emulated device with no-snoop exists; kept when the last one goes. Every line of
 * a violation is counted. Threading: any.
 */
void nsdk_cache_model_stats(struct nsdk_cache_model_stats *out);

/**
 * Copy at most @p max of the first violations; returns how many are kept (64 at most). Of lines one
 * after the other that the same transfer met, the first is kept.
 */
unsigned nsdk_cache_model_violations(struct nsdk_violation *out, unsigned max);

/**
 * All of it for people: the seed, what was watched, and of each violation that is kept its sentence.
 * Lines of text, each with its newline.
 * @param[out] out  free() it.
 * @return 0 or -ENOMEM, logged. Threading: any.
 */
int nsdk_cache_model_report(char **out);

/**
 * The same for programs, as the text of one JSON object: `seed`; `watched` with `device_reads`,
 * `device_writes`, `lines_written_back`, `lines_invalidated`, `fences`, `evictions`, `prefetches`;
 * `violations`, the number of them, and `violations_by_kind` with `stale_device_read`,
 * `stale_cpu_read`, `late_writeback`, `shared_line`, `uncached`; and `kept`, an array of those that
 * are kept, each with `kind`, `buffer`, `offset_bytes`, `owner`, `operation`, `missing` and `sentence`.
 * @param[out] out  free() it.
 * @return 0 or -ENOMEM, logged. Threading: any.
 */
int nsdk_cache_model_json(char **out);

/** Forget counts and violations. */
void nsdk_cache_model_reset(void);

#ifdef __cplusplus
}
#endif
#endif
