/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything around the driver, faked: a bus with one NVMe controller behind it, a memory domain, the
 * no-snoop engine, the clock and the allocator. The linker turns the driver's calls to those rooms
 * into calls to the __wrap_ functions of fake_*.c, so no other room need be there.
 *
 * The controller (fake_ctrlr.c) does what the specification says as long as nobody asks it to lie. It
 * works only inside nsdk_device_poll() or fake_run(), so a test says when.
 *
 * The memory's IOVAs are shuffled in pieces of 2 MiB: what follows in the process's addresses does not
 * follow in the device's.
 */
#ifndef FAKE_NVME_H
#define FAKE_NVME_H

#include "nsdk_unit.h"

#include <nsdk/log.h>
#include <nsdk/nvme.h>

#define FAKE_PIECE_BYTES ((size_t)2 << 20)
#define FAKE_PIECES 12
#define FAKE_QUEUES 9
#define FAKE_NAMESPACES 8
#define FAKE_BAR_BYTES 0x2000
#define FAKE_CMB_OFFSET 0x4000 /* in BAR 2 */
#define FAKE_CMB_BYTES 0x10000
#define FAKE_BUS_ADDRESS 0xfd00000000ull /* of BAR 2 */

enum fake_action {
	FAKE_DO,    /* as the specification says */
	FAKE_REPLY, /* complete with *status and nothing else */
	FAKE_HOLD,  /* do not complete */
};

struct fake_queue {
	bool sq_exists, cq_exists;
	uint64_t sq_iova, cq_iova;
	uint32_t sq_entries, cq_entries;
	uint16_t sq_head, cq_tail, phase;
	bool interrupts;
	unsigned vector;
	unsigned priority; /* QPRIO, where there is weighted round robin */
};

struct fake {
	/* What a test may set before the attach. */
	uint64_t cap;
	uint32_t vs;
	uint32_t class_code;
	bool never_ready, never_disabled, never_shut_down;
	bool wants_poll;
	unsigned slowness;       /* it works at every so manyth call only; 0: at each */
	unsigned queues_granted; /* 0's based, as the feature says */
	unsigned namespaces;     /* with ids 1, 2, … */
	uint8_t lba_shift;
	uint64_t blocks;
	uint8_t mdts;
	bool active;             /* the no-snoop engine */
	struct nsdk_nvme_id_ctrl id;
	unsigned max_resets;     /* of what fake_attach() says */
	bool plain_doorbells;    /* likewise */
	size_t host_memory_bytes; /* likewise */
	unsigned cmb;            /* likewise */
	bool interrupts;         /* likewise */
	uint32_t cmbloc, cmbsz;  /* what there is, once it is asked for */
	bool cmb_fixed;          /* it shows without being asked for */
	bool cmb_invalid;        /* it takes no address */
	int reserve_error;       /* no room in the address space */
	int fixed_error;         /* … at an address that is asked for */
	unsigned cmb_bar_error;
	int bar_check_error;     /* BAR 2 is not all memory */
	uint32_t pmrcap;         /* of a persistent memory region, also BAR 2; read only where there is one */
	uint32_t pmr_status;     /* PMRSTS beside NRDY */
	unsigned pmr_slowness;   /* reads of PMRSTS until it is ready */
	bool pmr_disabled_is_ready; /* it does not say that it is not */

	unsigned vectors;        /* of MSI-X */
	bool works_alone;

	/* Faults. */
	int irq_error;           /* of arming a vector */
	unsigned lose_irqs;      /* so many are not sent */
	unsigned gone_at;        /* the n-th register read and all behind it read all ones */
	unsigned cfs_at;         /* from the n-th read of CSTS on */
	bool gone, cfs;
	bool removal_asked;      /* the kernel wants the device back */
	enum fake_action (*hook)(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0);
	int bus_master_error, reset_error, after_reset_error;
	uint64_t stall_ns;       /* the driver is held up behind its next look at the device, once */
	unsigned hmb_refusals;   /* so many times it does not take a host memory buffer */
	unsigned dbbuf_refusals; /* so many times it does not take shadow doorbells */
	unsigned not_ready;      /* so many times it does not get ready when it is enabled */

	/* What it saw. */
	unsigned runs, reg_reads, csts_reads, commands, resets, after_resets, enables;
	uint16_t last_cid[FAKE_QUEUES];
	struct nsdk_nvme_cmd last[FAKE_QUEUES];
	unsigned doorbells_used; /* runs of fake_run() that found new SQEs in an I/O queue */
	unsigned aers;           /* held */
	uint16_t aer_cids[16];
	unsigned freed_in_use;   /* memory of a queue freed under the controller */
	unsigned bad_dma;        /* DMA to what is no memory of the device */

	unsigned irq_changes;    /* vectors armed or disarmed */

	/* State. */
	unsigned vectors_on;     /* 0: MSI-X is off */
	int vector_fds[FAKE_QUEUES]; /* -1: masked */
	int notice_fd;           /* readable when removal_asked was set; -1: there is none */
	uint32_t cc, csts, aqa;
	uint64_t asq, acq;
	uint32_t *shadow, *events; /* shadow doorbells and their event indices, where it was told */
	unsigned dbbuf_configs;
	struct nsdk_nvme_cmd hmb; /* the command that gave it a host memory buffer last */
	unsigned hmb_given;
	uint32_t arbitration;     /* the feature, and how often it was set */
	unsigned arbitrations;
	size_t synced_from_device_bytes; /* given to be written, at once */
	bool pmr_enabled;
	unsigned pmr_looks, pmr_enables; /* reads of PMRSTS while it is ready */
	uint64_t cmbmsc;
	unsigned cmbmsc_writes;
	uint64_t reserved, reserved_bytes; /* in the address space */
	bool bus_master, attached, coh, pool;
	int buffers, batches, allocations;
	struct fake_queue queues[FAKE_QUEUES];
	uint8_t *disk[FAKE_NAMESPACES];
	uint64_t now_ns, clock_step_ns; /* … which goes on by that at each look */
	unsigned flushes_for_cpu, flushes_for_device, commits;
	unsigned syncs_for_cpu, syncs_for_device; /* one range, at once */
	unsigned not_fenced; /* ranges taken back since the last commit */
	unsigned flush_polls; /* how often a batch that was begun is polled before it is done */
	unsigned flying;      /* batches that were begun and are not done */
	unsigned flying_back; /* of these, with ranges taken back */
	size_t dirtied_bytes; /* of which was said that they may be stored to */
	unsigned rings_synced; /* completion queues given to the device: without a clean start they lie */
};

extern struct fake fake;
extern _Alignas(4096) uint8_t fake_bar[FAKE_BAR_BYTES];
/* BAR 2, of which the controller's memory buffer is the end. */
extern _Alignas(4096) uint8_t fake_bar2[FAKE_CMB_OFFSET + FAKE_CMB_BYTES];

/* The device and the domain to hand to the driver; nobody looks inside. */
struct nsdk_device *fake_device(void);
struct nsdk_mem *fake_mem(void);

/* A well-behaved controller with one namespace; forgets everything else. */
void fake_reset(void);
/* Asserts that what was made has been unmade, and forgets it. */
void fake_check_clean(void);

/* The controller takes the SQEs that have been announced and completes them. */
void fake_run(void);
/* Puts any completion into the CQ of @p qid. */
void fake_post(uint16_t qid, struct nsdk_nvme_cpl cpl);
/* A good completion of a held command. */
void fake_complete(uint16_t qid, uint16_t cid, uint16_t status);
/* Answers one asynchronous event request. */
void fake_event(uint32_t dw0);

/* The driver has looked: time goes by, if a test wants it to. */
void fake_looked(void);

/* What a function level reset does to it. Any thread. */
void fake_function_reset(void);
/* What runs beside a function level reset is done between these; they may be nested. */
void fake_lock(void);
void fake_unlock(void);

/* Memory as the device sees it; NULL when it is not its memory. */
void *fake_va(uint64_t iova);
/* DMA memory for a test: @p piece says in which 2 MiB piece; not taken from the allocator. */
uint8_t *fake_buffer(unsigned piece, size_t offset);
/* A page of "registered" memory outside the window, which is translated the slow way. */
uint8_t *fake_registered(void);

/* Attach and queue pair, asserted. */
struct nsdk_nvme_ctrlr *fake_attach(void);
struct nsdk_nvme_qpair *fake_qpair(struct nsdk_nvme_ctrlr *ctrlr, unsigned entries);

/* A callback that counts and remembers: ctx is a struct fake_done. */
struct fake_done {
	int count;
	uint16_t status;
	uint16_t cid;
};
void fake_done_cb(void *ctx, const struct nsdk_nvme_cpl *cpl);
/* A Device Self-test, which is done when fake_complete() says so. @return its command id. */
uint16_t fake_self_test(struct nsdk_nvme_ctrlr *ctrlr, uint64_t timeout_ns, struct fake_done *done);

/* Brings everything that is outstanding back, then detaches. */
void fake_teardown(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_qpair *qp);

#endif
