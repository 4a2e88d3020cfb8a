/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller that is attached, with a queue pair and some memory for data; and I/O that is waited for.
 */
#ifndef NVME_RIG_H
#define NVME_RIG_H

#include "nsdk_unit.h"

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#define RIG_ARENA_BYTES ((size_t)8 << 20)

struct rig {
	const char *device;
	bool nosnoop; /* in force */
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_dma_pool *pool;
	uint8_t *arena;
};
extern struct rig rig;

struct rig_done {
	int count;
	uint16_t status;
};
/* That of RIG_RUN(). */
extern struct rig_done rig_once;

/* @param huge  from hugepages, for devices that are not models. */
void rig_up(const char *device, enum nsdk_policy policy, bool huge);
/* Asserts that the cache model has nothing to say. */
void rig_down(void);

void rig_done_cb(void *ctx, const struct nsdk_nvme_cpl *cpl);
/* Until it has come back; its status. */
uint16_t rig_wait(void);

/* What became of a call with rig_done_cb and &rig_once: its status. */
#define RIG_RUN(call)                                                                              \
	(rig_once.count = 0,                                                                       \
	 CU_assertImplementation((call) == 0, __LINE__, #call, __FILE__, "", CU_TRUE), rig_wait())

/* Bytes that differ from what was there. */
void rig_fill(uint8_t *buf, size_t bytes);

#endif
