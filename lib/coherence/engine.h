/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/coherence: the engine of one device, and its hold on Enable No Snoop. */
#ifndef NSDK_COHERENCE_ENGINE_H
#define NSDK_COHERENCE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "coherence_internal.h"
#include "shadow.h"

/* ---- Enable No Snoop (ens.c) ---- */

/* The bit of a virtual function's physical function, which holds for both (ens_vf.c). */
enum nsdk_ens_of_pf {
	NSDK_ENS_OF_PF_UNKNOWN, /* could not be read */
	NSDK_ENS_OF_PF_CLEAR,
	NSDK_ENS_OF_PF_SET,
};

/* Whether a device is an SR-IOV virtual function; then *pf as well. */
bool nsdk_ens_is_vf(const char *device_name, enum nsdk_ens_of_pf *pf);

/* The bit of one device: where it is, how it was found. */
struct nsdk_ens {
	struct nsdk_device *dev;
	bool vf;         /* it is the physical function's: only looked at */
	enum nsdk_ens_of_pf pf;
	unsigned devctl; /* offset of Device Control in config space; 0: the device has none */
	bool pcix;       /* no such bit, but the No Snoop attribute exists: it cannot be switched off */
	bool touched;    /* found is valid: the bit was read, and may have been changed */
	bool found;      /* its value before we came */
	bool gone;       /* the device stopped answering */
};

/* Look for the bit; nothing is changed. @return 0, also when the device has no such bit; -errno. */
int nsdk_ens_find(struct nsdk_device *dev, struct nsdk_ens *out);

/*
 * Set or clear the bit and read it back. *sticks: whether the device will now behave so, that is, it
 * may use No Snoop when @p on, and cannot when not. @return 0, sticks or not; -errno, logged.
 */
int nsdk_ens_set(struct nsdk_ens *ens, bool on, bool *sticks);

/* As it was found; nothing when it was never touched. A failure is logged unless the device is gone. */
void nsdk_ens_restore(struct nsdk_ens *ens);

/* ---- The engine (coherence.c) ---- */

/*
 * What was done. Each set of counters has one writer or uses fetch_add, and any thread may read, so
 * they are atomic; relaxed, because a count orders nothing.
 */
struct nsdk_coherence_counts {
	_Atomic uint64_t batches;
	_Atomic uint64_t lines_written_back;
	_Atomic uint64_t lines_invalidated;
	_Atomic uint64_t bytes_skipped_clean;
	_Atomic uint64_t wbinvd;
	_Atomic uint64_t batches_shared;
	_Atomic uint64_t batches_tried;
};

struct nsdk_coherence {
	/* Read on the I/O path, constant: a line of their own, that nobody writes. */
	bool active;
	const struct nsdk_line_ops *ops;
	struct nsdk_shadow shadow; /* of the memory it was attached to */
	struct nsdk_flusher *flusher; /* held while active; NULL: nothing is set up */

	/* Written by nsdk_sync_*() of any thread. */
	struct nsdk_coherence_counts sync __attribute__((aligned(NSDK_LINE_BYTES)));

	/* Slow path. */
	struct nsdk_device *dev __attribute__((aligned(NSDK_LINE_BYTES)));
	enum nsdk_snoop_state verdict;
	bool proves; /* the device is the WBINVD gate's proof, or one of them */
	struct nsdk_ens ens;
	pthread_mutex_t lock; /* batches, retired */
	LIST_HEAD(, nsdk_flush_batch) batches;
	struct nsdk_coherence_stats retired; /* what batches did that are gone */
};

/* Whole lines around [va, va + bytes). */
static inline uintptr_t nsdk_line_floor(const void *va)
{
	return (uintptr_t)va & ~(uintptr_t)(NSDK_LINE_BYTES - 1);
}

static inline uintptr_t nsdk_line_ceil(const void *va, size_t bytes)
{
	return ((uintptr_t)va + bytes + NSDK_LINE_BYTES - 1) & ~(uintptr_t)(NSDK_LINE_BYTES - 1);
}

/* ---- Batches (batch.c) ---- */

/* Add the counts to *sum. */
void nsdk_coherence_counts_add(const struct nsdk_coherence_counts *counts,
			       struct nsdk_coherence_stats *sum);
const struct nsdk_coherence_counts *nsdk_flush_batch_counts(const struct nsdk_flush_batch *batch);
struct nsdk_flush_batch *nsdk_flush_batch_next(const struct nsdk_flush_batch *batch);
void nsdk_flush_batch_set_shadow(struct nsdk_flush_batch *batch, const struct nsdk_shadow *shadow);
/* The engine goes although the batch is still there: it must not be looked at again. */
void nsdk_flush_batch_orphan(struct nsdk_flush_batch *batch);

#endif
