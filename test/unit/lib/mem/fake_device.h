/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stand-ins for what lib/mem has below it: address spaces, devices, and engines that remember what
 * was asked of them, check that it was in the right order, and fail when the sweep says so.
 *
 * Each fake checks what its real neighbour would only show as corrupted memory:
 *   - a page is mapped for a device that may bypass the caches only when it was written back and
 *     fenced since it was last handed to the kernel,
 *   - a page is still there, and its translation already gone, when it is unmapped.
 */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nsdk/bus.h>
#include <nsdk/coherence.h>

#include "lib/mem/mem_internal.h"

struct nsdk_device;

struct fake_mapping {
	void *va;
	size_t bytes;
	uint64_t iova;
};

#define FAKE_MAPPINGS 64

struct nsdk_iommu {
	int unused;
};

struct nsdk_ioas {
	struct nsdk_iommu *iommu;
	uint64_t iova_offset; /* IOVA minus virtual address */
	struct fake_mapping mappings[FAKE_MAPPINGS];
	unsigned count;
	unsigned maps, copies, unmaps;
	bool unmap_fails;
	bool needs_flush;                 /* a device in it may bypass the caches */
	const struct nsdk_dma_map *watch; /* the translation, which must be gone before an unmap */
};

struct nsdk_device {
	struct nsdk_ioas *ioas;
	const char *name;
};

struct nsdk_coherence {
	bool flush_fresh;
	const struct nsdk_shadow *shadow; /* of the domain that a device with this engine is in */
	unsigned shadow_users;
};

/* A flush lcore that is stuck; and how often it was asked whether one is. */
extern bool fake_quiesce_fails;
extern unsigned fake_quiesces;

/* Forgets the flushes. */
void fake_reset(void);
/* How many bytes were written back and fenced since then. */
size_t fake_flushed_bytes(void);
/* How many mappings an address space has; SIZE_MAX bytes: any. */
unsigned fake_count(const struct nsdk_ioas *ioas);

#endif
