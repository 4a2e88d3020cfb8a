/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host for the NVMe model's tests: the little that a driver does, by hand, so that every entry and
 * every register can be made wrong.
 *
 * Memory is one mapping, IOVA equal to its address, handed out in pages and never given back. One
 * host at a time.
 */
#ifndef NVME_HOST_H
#define NVME_HOST_H

#include "nsdk_unit.h"

#include <nsdk/nvme_spec.h>

#include <stdint.h>
#include <string.h>

#include "lib/emu/emu_internal.h"

#define HOST_MEMORY_BYTES ((size_t)16 << 20)
#define HOST_PAGE 4096u
#define HOST_ENTRIES 64u

struct host_queue {
	unsigned id;
	struct nsdk_nvme_cmd *sq;
	volatile struct nsdk_nvme_cpl *cq;
	uint32_t sq_entries, cq_entries;
	uint32_t tail, head;
	uint16_t phase;
	uint16_t next_cid;
};

struct host {
	struct nsdk_emu_model *model;
	struct nsdk_iommu *iommu;
	struct nsdk_ioas *ioas;
	struct nsdk_bar bar;
	uint8_t *memory;
	size_t used;
	struct host_queue admin;
};
extern struct host host;

/* Create the model and give it an address space and bus mastering; no register was touched. */
void host_create(const char *options);
/* … and enable it, with an admin queue of HOST_ENTRIES. */
void host_start(const char *options);
/* Everything away. Safe after either. */
void host_stop(void);

/* Page-aligned zeroed memory that the device reaches. */
void *host_pages(size_t bytes);
uint64_t host_iova(const void *va);

uint32_t host_read32(size_t offset);
uint64_t host_read64(size_t offset);
void host_write32(size_t offset, uint32_t value);
void host_write64(size_t offset, uint64_t value);

/* Write AQA, ASQ, ACQ and CC, and wait for CSTS.RDY. */
void host_enable(void);
#define HOST_CC (NSDK_NVME_CC_EN | 6u << NSDK_NVME_CC_IOSQES_SHIFT | 4u << NSDK_NVME_CC_IOCQES_SHIFT)

/* Create an I/O queue pair with both queues of that many entries. */
void host_queue_create(struct host_queue *queue, unsigned id, uint32_t entries);
/* A submission and a completion queue in memory, of which the device does not know. */
void host_queue_init(struct host_queue *queue, unsigned id, uint32_t entries);

/* Put a command into the queue without telling; its cid is chosen and returned. */
uint16_t host_push(struct host_queue *queue, const struct nsdk_nvme_cmd *cmd);
void host_ring(struct host_queue *queue);
/* The next completion if there is one; the head doorbell is not written. */
bool host_peek(struct host_queue *queue, struct nsdk_nvme_cpl *out);
/* Tell the device what was taken. */
void host_ring_head(struct host_queue *queue);
/* Poll the model until there is a completion, take it and tell. False: none came. */
bool host_wait(struct host_queue *queue, struct nsdk_nvme_cpl *out);
void host_poll(unsigned turns);

/* Push, ring, wait; the status without its phase, More and Do Not Retry bits. -1: no completion. */
int host_run(struct host_queue *queue, const struct nsdk_nvme_cmd *cmd);
extern struct nsdk_nvme_cpl host_last; /* of host_run() */

#define HOST_GENERIC(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_##name)
#define HOST_SPECIFIC(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_COMMAND, NSDK_NVME_SC_##name)
#define HOST_MEDIA(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_##name)

/* Admin commands that many tests need. */
int host_identify(unsigned cns, uint32_t nsid, void *page);
int host_get_feature(unsigned fid, uint32_t nsid, uint32_t cdw11);
int host_set_feature(unsigned fid, uint32_t nsid, uint32_t cdw11);
int host_get_log(unsigned page, void *to, size_t bytes, uint64_t offset, bool retain);

/* A read or write of @p count blocks with the PRPs given. */
struct nsdk_nvme_cmd host_rw(unsigned opcode, uint32_t nsid, uint64_t lba, uint32_t count,
			     uint64_t prp1, uint64_t prp2);

#endif
