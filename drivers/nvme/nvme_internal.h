/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to drivers/nvme: the controller, the rings, the queue pair and its trackers. The essay is
 * at the top of ctrlr.c.
 */
#ifndef NSDK_NVME_INTERNAL_H
#define NSDK_NVME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <nsdk/log.h>
#include <nsdk/nvme.h>
#include <nsdk/nvme_memory.h>
#include <nsdk/nvme_pi.h>
#include <nsdk/nvme_zns.h>

#include "lib/coherence/coherence_internal.h"
#include "lib/mem/mem_internal.h"

#define NVME_LIKELY(x) __builtin_expect(!!(x), 1)
#define NVME_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* CC.MPS is always 0: a PRP describes 4 KiB, whatever the CPU's page is. */
#define NVME_PAGE_BYTES 4096u
#define NVME_PAGE_MASK ((uintptr_t)NVME_PAGE_BYTES - 1)

/*
 * The largest transfer of one command, whatever MDTS says. Its PRP list (one entry for each page
 * but the first) is half a page, so a list never crosses a page and lists are never chained.
 */
#define NVME_MAX_TRANSFER_BYTES ((size_t)1 << 20)

/* Flags of dword 12 that every command on blocks takes. */
#define NVME_RW_FLAGS (NSDK_NVME_RW_FUA | NSDK_NVME_RW_LIMITED_RETRY)

/* Commands whose size has a limit of its own, which the NVM command set's Identify data gives. */
#define NVME_ONCS_LIMITED                                                                          \
	(NSDK_NVME_ONCS_WRITE_UNCORRECTABLE | NSDK_NVME_ONCS_WRITE_ZEROES | NSDK_NVME_ONCS_VERIFY)

/* Where there are SGLs a tracker's list has room for so many descriptors at least. */
#define NVME_SGL_MIN_DESCRIPTORS 32u

/* What the field for the number of blocks in a command can say. */
#define NVME_COMMAND_BLOCKS 65536u

#define NVME_MAX_NAMESPACES 4096u /* more active ones than this are not believed */
#define NVME_MAX_AERS 4u          /* asynchronous event requests kept at the controller */

/* Empty polls with I/O outstanding between two looks at the controller's health: some 0.1 to 1 ms. */
#define NVME_IDLE_POLLS 32768u

/* How often who polls the admin queue asks the kernel whether the device is to be removed. */
#define NVME_CHECK_NS (200 * 1000000ull)

/* Mass storage, non-volatile memory, NVMe I/O controller. */
#define NVME_CLASS_CODE 0x010802u

#define NVME_NS_PER_MS 1000000ull
#define NVME_NS_PER_S 1000000000ull

/* "Path: Internal Path Error": what an I/O ends with that the controller never answered for. */
#define NVME_STATUS_INTERNAL_PATH NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, 0)
#define NVME_STATUS_ABORTED_SQ_DELETED \
	NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_ABORTED_SQ_DELETED)

struct nvme_fused;
/* "Path: Command Aborted By Host": given up by this driver; the device may or may not have done it. */
#define NVME_STATUS_ABORTED_BY_HOST \
	NSDK_NVME_STATUS(NSDK_NVME_SCT_PATH, NSDK_NVME_SC_ABORTED_BY_HOST)

/* Polls that are not of the shortest kind, between two looks at the clock (deadline.c). */
#define NVME_WATCH_POLLS 256u
/* Trackers are looked at so many times within the time that a command has. */
#define NVME_SCANS 8u
/* Commands of one queue pair that are being aborted at a time. */
#define NVME_ABORTS 4u

struct nvme_split;
struct nsdk_nvme_event;

/* ---- Rings (queue.c) ---- */

/*
 * A submission queue and its completion queue, in DMA memory, and their doorbells. The ends are
 * kept as pointers: the next slot to write or read is then one load away.
 */
struct nvme_ring {
	struct nsdk_nvme_cmd *sq, *sq_end;
	struct nsdk_nvme_cpl *cq, *cq_end;
	volatile uint32_t *sq_doorbell, *cq_doorbell;
	uint64_t sq_iova, cq_iova;
	uint32_t entries;
	uint16_t qid;
};

/*
 * One of an I/O queue's doorbells with shadow doorbells in use (shadow.c). The indices are 16 bits there, in
 * dwords.
 */
struct nvme_doorbell {
	volatile uint32_t *reg;          /* wakes the controller up */
	volatile uint32_t *shadow;       /* NULL: not in use */
	const volatile uint32_t *event;  /* how far the controller has looked */
	uint16_t told;                   /* what was left there last */
};

/* ---- Payloads (prp.c) ---- */

/* A place in the user's memory: in one piece, or in a list of pieces. */
struct nvme_payload {
	const struct iovec *iov; /* NULL: one piece at va */
	union {
		uintptr_t va;      /* without iov */
		size_t iov_offset; /* with: bytes into the first piece */
	};
};

/* ---- Metadata (metadata.c) ---- */

/* What an I/O says of its blocks and carries besides their data; unit_bytes alone where that is nothing. */
struct nvme_extra {
	uint32_t unit_bytes;     /* of the payload, for a block */
	uint32_t metadata_bytes; /* of a block, apart from the payload; 0: none goes along */
	uintptr_t metadata;
	uint64_t ref_tag;        /* of the first block */
	bool tagged;             /* its commands have reference tags, … */
	bool counts;             /* … which go up by one with each block */
};

/* ---- Trackers ---- */

/*
 * What is known of one command in flight; the command id is its index. One cache line, the only one
 * that a completion touches. It is outstanding exactly while cb is not NULL.
 */
struct nvme_tracker {
	nsdk_nvme_cb cb;
	void *ctx;
	/*
	 * Free: the next one. Outstanding: what it was, which is even, until a look at the trackers
	 * (deadline.c) leaves its time here, shifted, with bit 0 set. So whoever takes or frees a
	 * tracker wipes that out without knowing of it.
	 */
	union {
		struct nvme_tracker *next_free;
		uint64_t seen;
	};
	/* No-snoop only: what has to be taken back before the callback; 0 bytes: nothing. */
	struct nvme_payload from_device;
	uint64_t cid_dw01; /* the command id where dwords 0 and 1 of an SQE have it */
	uint32_t from_device_bytes;
	uint16_t cid;
	bool arrived;      /* no-snoop only: its completion is among those just collected */
	bool has_metadata; /* no-snoop only: metadata has to be taken back as well (metadata.c) */
} __attribute__((aligned(NSDK_LINE_BYTES)));
_Static_assert(sizeof(struct nvme_tracker) == NSDK_LINE_BYTES, "a tracker is one cache line");

/* ---- Interrupts (irq.c) ---- */

/* What a queue has of a vector of MSI-X: its thread's. */
struct nvme_irq {
	int vector; /* -1: it is polled */
	bool armed;
};

/* ---- Queue pairs (qpair.c, poll.c) ---- */

/* Reasons for a poll to leave its shortest way, looked at as one word by its owner's thread alone. */
enum nvme_attention {
	NVME_UNSENT = 1,  /* SQEs wait for their doorbell */
	NVME_MODEL = 2,   /* the device is a model that needs nsdk_device_poll() */
	NVME_NOSNOOP = 4, /* completions have to be taken back from the device first */
	NVME_POLLING = 8, /* inside a poll: a callback must not start another */
	NVME_SPLITS = 16, /* there are splits, which may be waiting */
	NVME_DEAD = 32,   /* failed or being destroyed: nothing is accepted any more */
	NVME_FLUSHING = 64, /* no-snoop: a large batch is being flushed, and its doorbell waits */
	NVME_TAKING = 128, /* no-snoop: … taken back, and its callbacks wait */
	NVME_LOOK = 256,   /* the completion ring has come round: time for a look at the clock */
	NVME_PAUSED = 512, /* its queues are being made again: nothing is sent or taken */
	NVME_SHADOW = 1024, /* doorbells are left in memory, and the controller may have to be told */
	NVME_CMB = 2048,    /* SQEs are copied to the controller before their doorbell */
};

/* A completion that was collected, no-snoop only. */
struct nvme_arrival {
	struct nvme_tracker *tracker;
	const struct nsdk_nvme_cpl *cqe;
};
/* Completions that are taken back from a device that bypasses the caches with one fence. */
#define NVME_COLLECT_MAX 64u

/* A command whose time is over, and the Abort for it. Changes hands with its state. */
enum nvme_abort_state {
	NVME_ABORT_FREE,
	NVME_ABORT_ASKED,    /* by the queue pair's thread; the controller's is to send it */
	NVME_ABORT_SENT,     /* with the controller */
	NVME_ABORT_ANSWERED, /* the queue pair's thread is to look what came of it */
};

struct nvme_abort {
	_Atomic uint32_t state;        /* enum nvme_abort_state */
	uint16_t cid;
	bool back;                     /* the command is; its id rests until the Abort is answered */
	bool grace;                    /* the Abort has been answered, and the command may take until then */
	struct nsdk_nvme_qpair *qp;
	struct nvme_tracker *tracker;
	nsdk_nvme_cb cb;               /* the user's; the tracker has one of deadline.c */
	void *ctx;
	uint64_t since_ns;             /* of what the queue pair's thread waits for */
};

/* What the controller's thread wants of a queue pair, under the controller's lock. */
enum nvme_order {
	NVME_ORDER_RUN,
	NVME_ORDER_PAUSE,
	NVME_ORDER_RESUME, /* its queues have been made again */
};

struct nsdk_nvme_qpair {
	/* First line: all that a poll needs. */
	uint64_t attention;              /* enum nvme_attention */
	const struct nsdk_nvme_cpl *cqe; /* next completion to look at */
	uint32_t idle_polls;             /* counts down to a look at the controller's health */
	uint32_t phase;                  /* the phase bit that an old one there has */
	uint32_t poll_max;               /* of the poll that is under way */
	struct nvme_tracker *trackers;
	struct nvme_tracker *free;       /* last used first, as it is warm; NULL: full or dead */
	uint32_t tracker_count;
	uint32_t entries;
	uint32_t sqid_dw2;               /* the queue id where dword 2 of a CQE has it */
	uint32_t completed;              /* commands, of users and of splits; wraps */

	/* Second line: what submitting needs on top. */
	struct nsdk_nvme_cmd *sqe;       /* next slot to fill */
	struct nsdk_nvme_cmd *sqe_unsent; /* no-snoop, CMB: first slot that the device was not given */
	_Atomic uint64_t *window;        /* of the memory domain, see mem_internal.h */
	struct nsdk_nvme_ctrlr *ctrlr;
	uintptr_t short_first_piece;     /* of the window, in pieces */
	size_t short_pieces;             /* … which are none on the no-snoop path */
	uint32_t align_mask;             /* dwords, or lines on the no-snoop path */
	bool nosnoop;
	uint32_t soiled;                 /* slots that may have what only a raw command says */

	/* The rest. */
	struct nvme_ring ring __attribute__((aligned(NSDK_LINE_BYTES)));
	struct nsdk_device *dev;
	struct nsdk_flush_batch *to_device;
	struct nsdk_flush_batch *from_device;
	uint8_t *prp_lists;              /* one for each tracker */
	uint64_t *prp_list_iovas;        /* one for each 4 KiB of them */
	uint32_t prp_list_bytes;
	uint32_t laps;                   /* how often sqe has come round; wraps */
	struct iovec *metadata;          /* one for each tracker */
	struct nsdk_nvme_cmd *sqe_flushed; /* NVME_FLUSHING: what the doorbell will say */
	struct nvme_arrival *arrivals;   /* what has just been collected: NVME_COLLECT_MAX */
	uint32_t arrival_count;          /* NVME_TAKING: so many wait */
	const struct nsdk_nvme_cpl *bad; /* NVME_TAKING: behind them came one that cannot be; or NULL */
	int error;                       /* why it is dead */
	/* I/O that goes out as several commands (split.c). */
	struct nvme_split *splits;
	struct nvme_split *split_free;
	struct nvme_split *split_waiting, **split_waiting_end; /* with commands still to issue */
	uint32_t split_count;            /* splits in use */
	uint32_t split_children;         /* commands of splits in flight */
	uint32_t split_children_max;     /* so that a split leaves trackers to the others */
	int32_t poll_correction;         /* user I/O handled by this poll minus completions */
	struct nvme_doorbell sq_bell, cq_bell; /* NVME_SHADOW */
	volatile struct nsdk_nvme_cmd *cmb_sq; /* where the controller looks for commands (cmb.c), or NULL */
	uint64_t host_sq_iova;           /* … and where they are put together, for when it refuses */
	unsigned cmb_losses;             /* of the buffer's contents, those that this one knows of */
	/* Compare and Write (fused.c): both commands count among those of splits. */
	struct nvme_fused *fused, *fused_free;
	/* Deadlines (deadline.c). */
	uint64_t timeout_ns;             /* of a command; UINT64_MAX: none */
	uint64_t scan_ns;                /* when the trackers are looked at next */
	uint64_t unwell_ns;              /* since when the controller is not well; 0: it is */
	uint32_t watch_polls;            /* counts down to a look at the clock */
	bool retry_writes;
	struct nvme_abort aborts[NVME_ABORTS];
	struct nsdk_nvme_cmd *retries;   /* room for all that may have to be sent again */
	/* Between this queue pair's thread and the controller's, under the controller's lock. */
	_Atomic uint32_t order;          /* enum nvme_order; read without the lock to see that it changed */
	bool paused;                     /* the answer to an order */
	bool wants_queues;               /* an Abort did not help: its queues have to be made again */
	/* The controller's thread alone. */
	bool has_queues;                 /* the controller knows them */
	bool closing;                    /* it is being destroyed */
	enum nsdk_nvme_priority priority; /* of its submission queue, whenever that is made (arb.c) */
	struct nvme_irq irq;
	struct nsdk_nvme_poll_group *group; /* its thread's */
} __attribute__((aligned(NSDK_LINE_BYTES)));

/*
 * Commands given and not called back. Where the submission ring stands says how many were given, so
 * that submitting need not count them; all of it modulo 2^32, as the difference is small.
 */
static inline uint32_t nvme_outstanding(const struct nsdk_nvme_qpair *qp)
{
	return qp->laps * qp->entries + (uint32_t)(qp->sqe - qp->ring.sq) - qp->completed;
}

/* ---- Namespaces (ns.c) ---- */

struct nsdk_nvme_ns {
	struct nsdk_nvme_ctrlr *ctrlr;
	uint64_t blocks;
	uint64_t read_dw01, write_dw01; /* opcode and namespace where dwords 0 and 1 have them */
	/*
	 * The shortest way (io.c): an I/O of at most short_nlb + 1 blocks that starts below
	 * short_lba_end cannot run over the end. 0 keeps every I/O off that way.
	 */
	uint64_t short_lba_end;
	/* The same for I/O of at most two_pages_bytes. */
	uint64_t two_pages_lba_end;
	uint64_t two_pages_bytes;
	uint32_t short_nlb;
	uint32_t nsid;
	uint32_t max_blocks;  /* of one command */
	uint8_t block_shift;
	int refusal;          /* 0, or why this driver does no I/O here */
	bool gone;            /* not active any more; the object stays until detach */
	bool listed;          /* rescan.c: it is on the list */
	bool suspended;       /* a command of our own is changing it */
	bool fit;             /* as a namespace of the NVM command set it can be used */
	struct nsdk_nvme_metadata metadata; /* with 0 bytes: none */
	uint32_t elbaf;       /* more of its format, if the controller says more … */
	bool elbaf_known;     /* … and has */
	/* Zones (zns.c). */
	bool is_zoned;
	bool zoned_listed;    /* rescan.c: it is on the list of those */
	uint64_t cut_blocks;  /* reads are cut at multiples of it; 0: they need not be */
	struct nsdk_nvme_zoned *zoned; /* NULL: it never was */
	/* Its placement identifiers (directive.c); NULL: nobody has asked. */
	struct nvme_placement *_Atomic placement;
	struct nvme_placement *placements; /* all that there were: theirs is the memory */
	struct nsdk_nvme_id_ns id;
};

/* Somebody who waits for a look at the namespaces (rescan.c). */
struct nvme_rescan_wait {
	struct nvme_rescan_wait *next;
	void (*done)(void *ctx);
	void *ctx;
};

/* ---- The admin queue (admin.c) ---- */

/* @p cpl is NULL when the controller failed before it answered. */
typedef void (*nvme_admin_cb)(struct nsdk_nvme_ctrlr *ctrlr, void *ctx,
			      const struct nsdk_nvme_cpl *cpl);

struct nvme_admin_request {
	nvme_admin_cb cb; /* NULL: free */
	void *ctx;
	uint64_t deadline_ns; /* 0: none */
	uint64_t timeout_ns;
	uint8_t opcode;
};

struct nvme_admin {
	struct nvme_ring ring;
	struct nvme_admin_request *requests;
	uint32_t request_count;
	struct nsdk_nvme_cmd *sqe;
	const struct nsdk_nvme_cpl *cqe;
	uint32_t old_phase; /* the phase bit that an old completion there has */
	bool polling;
	struct nvme_irq irq;
};

/* ---- The controller ---- */

enum nvme_state {
	/* Upwards (init.c) */
	NVME_STATE_SETTLE,    /* somebody is enabling it: it must be ready before it is disabled */
	NVME_STATE_DISABLE,   /* CC.EN is 0, waiting for RDY to follow */
	NVME_STATE_ENABLE,    /* CC.EN is 1, waiting for RDY */
	NVME_STATE_IDENTIFY,
	NVME_STATE_LIMITS,    /* what the NVM command set's own Identify data says */
	NVME_STATE_BEHAVIOR,  /* what this host knows of */
	NVME_STATE_SHADOW,    /* shadow doorbells */
	NVME_STATE_HMB,       /* the host memory buffer */
	NVME_STATE_ARB,       /* the weights of priorities */
	NVME_STATE_QUEUES,
	NVME_STATE_REQUEUE,   /* after a reset: the queues of the queue pairs */
	NVME_STATE_NS_LIST,
	NVME_STATE_NS,
	NVME_STATE_NS_PI,     /* what its protection information looks like */
	NVME_STATE_SETS,      /* what command sets there are; from here on for zoned namespaces */
	NVME_STATE_ZNS_LIST,  /* which of them are zoned */
	NVME_STATE_ZNS_LIMITS,
	NVME_STATE_ZNS,       /* what their zones are like */
	NVME_STATE_READY,
	/* Downwards (shutdown.c) */
	NVME_STATE_SHUTDOWN,  /* CC.SHN is set, waiting for SHST */
	NVME_STATE_STOP,      /* CC.EN is 0 for good, waiting for RDY to follow */
};

/* An Abort command at the controller; the queue pair may go before the answer comes. */
struct nvme_abort_sent {
	struct nsdk_nvme_qpair *qp; /* NULL: gone */
	uint32_t index;
	bool busy;
};

enum nvme_rung {
	NVME_RUNG_NONE,
	/* The queues of one queue pair. */
	NVME_RUNG_PAUSE_ONE,
	NVME_RUNG_DELETE_SQ,
	NVME_RUNG_DELETE_CQ,
	NVME_RUNG_CREATE_CQ,
	NVME_RUNG_CREATE_SQ,
	/* The controller. */
	NVME_RUNG_PAUSE_ALL,
	NVME_RUNG_FUNCTION_RESET,
	NVME_RUNG_RESTART,
};

/* Getting well again (recover.c): the controller's thread alone, but for what is said to be shared. */
struct nvme_recovery {
	_Atomic uint32_t rung;          /* enum nvme_rung; other threads may look whether there is one */
	struct nsdk_nvme_qpair *qp;     /* whose queues are being made again */
	uint64_t deadline_ns;
	struct nvme_abort_sent aborts[NVME_ABORTS];
	/* The admin command that it waits for. */
	bool submitted, done, answered;
	struct nsdk_nvme_cpl cpl;
	uint32_t qid;                   /* REQUEUE: whose queues are made … */
	bool half;                      /* … with the completion queue there already */
	bool own;                       /* an admin command is recovery's own: others wait */
	unsigned attempts;
	uint64_t well_ns;               /* when a reset had helped last */
	/* A function reset blocks for 100 ms and more, so it has a thread. */
	pthread_t resetter;
	bool resetter_runs;
	atomic_bool resetter_done;
	int reset_result;
	/* Shared: set by whoever finds trouble, under the lock; cleared when all is well. */
	atomic_bool reset_wanted;
};

struct nsdk_nvme_ctrlr {
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct nsdk_coherence *coh;
	struct nsdk_dma_pool *pool; /* queues, PRP lists, Identify */
	const struct nsdk_dma_map *map;
	struct nsdk_dma_map own_map; /* that is it: with memory of the controller's own */
	struct nsdk_bar bar;
	struct nsdk_nvme_opts opts;

	uint64_t cap;
	uint32_t vs;
	uint32_t doorbell_stride_bytes;
	bool mem_attached;
	bool bus_master;
	bool enabled;        /* CC.EN was written 1 by us */

	enum nvme_state state;
	uint64_t check_ns;   /* when to ask about a removal again */
	uint64_t deadline_ns;
	int result;          /* what the way down ends with */

	struct nvme_admin admin;
	void *id_buffer;     /* two pages of DMA memory; the second is aer.c's */
	uint64_t id_iova;

	/* The admin command that bring-up waits for. */
	struct {
		bool submitted, done;
		struct nsdk_nvme_cpl cpl;
		uint32_t nsid;       /* the next to ask about */
		bool no_list;        /* count up instead of asking for the list */
	} init;

	struct nsdk_nvme_id_ctrl id;
	size_t max_transfer_bytes;
	/* Of commands on blocks that move no data: the most bytes of one, UINT64_MAX: any (blocks.c). */
	uint64_t verify_max_bytes, zeroes_max_bytes, uncorrectable_max_bytes;
	size_t max_append_bytes;  /* Zone Append */
	bool wrr;                 /* enabled with weighted round robin (arb.c) */
	bool command_sets;        /* enabled with all that there are */
	bool zns;                 /* one of them is that of zoned namespaces */
	atomic_bool any_zoned;    /* there are, or were */
	/* Shadow doorbells: two pages of DMA memory, NULL when there was no use for them. */
	struct nvme_shadow {
		uint8_t *doorbells, *events;
		uint64_t iova;
		atomic_bool on;      /* the controller has them, until it is reset */
	} shadow;
	/* What it has of our memory (hmb.c); 0 bytes: nothing. */
	struct nvme_hmb {
		struct nsdk_nvme_hmb_entry *list; /* a page of DMA memory */
		uint64_t list_iova;
		void **pieces;
		unsigned count;
		size_t bytes;
		bool refused;        /* it was not to be had, or not taken */
	} hmb;
	/* What we have of its memory (cmb.c); 0 bytes: nothing. */
	struct nvme_cmb {
		volatile uint8_t *base;
		size_t bytes, reserved_bytes;
		nsdk_iova_t addr;
		uint32_t loc, sz;    /* CMBLOC, CMBSZ */
		bool selectable;     /* there is a CMBMSC */
		bool fixed;          /* its address is that of its BAR */
		bool on, refused;
		bool sq_refused;     /* the controller takes no queue there, whatever it offers */
		uint32_t *runs;      /* pages of what begins at a page; 0: nothing; under the lock */
		size_t used_pages;
		unsigned queues;
		atomic_uint losses;  /* how often a reset has taken its contents */
	} cmb;
	/* The persistent memory region (pmr.c). */
	struct nvme_pmr {
		atomic_bool enabled;
		struct nsdk_bar bar;
		uint32_t cap;        /* PMRCAP */
		uint64_t deadline_ns;
		/* How often a function reset has disabled it; a flush has said it of so many. */
		atomic_uint losses, losses_told;
		unsigned losses_then; /* … when it was mapped */
	} pmr;
	uint8_t sgl; /* how SGLs are taken: a value of the SGLS field's 1:0, 0: not at all */

	struct nsdk_nvme_ns **namespaces; /* in order of their ids */
	uint32_t ns_count, ns_identified, ns_capacity;

	uint32_t io_queues;  /* granted */

	struct nvme_aer {
		struct nsdk_nvme_ctrlr *ctrlr;
		struct nvme_rescan_wait wait;
		uint32_t dw0;        /* of the event that is being handled */
	} aers[NVME_MAX_AERS];       /* one for each request left with the controller */
	struct {
		uint64_t window_start_ns;
		uint32_t in_window;
		bool silenced;
		void (*cb)(void *ctx, struct nsdk_nvme_ctrlr *ctrlr,
			   const struct nsdk_nvme_event *event);
		void *ctx;
	} aer;

	/* A look at the namespaces (rescan.c). */
	struct {
		bool running;
		bool own, late_own;  /* a command of our own changed them */
		uint32_t after;      /* the list is asked for from here */
		uint32_t index;      /* the next to identify */
		struct nvme_rescan_wait *waits, *late; /* for this one, for the next */
		/* The namespace that is being looked at. */
		struct nsdk_nvme_metadata before;
		bool in_use;         /* … and I/O of ours may be under way on it as it was then */
	} rescan;

	struct nsdk_nvme_qpair **qpairs; /* by queue id, from 1 */
	uint32_t qpair_count;

	/* MSI-X vectors (irq.c), under their own lock, behind the controller's. */
	struct nvme_irqs {
		pthread_mutex_t lock;
		struct nvme_vector {
			int fd;          /* an eventfd; -1: nobody uses it */
			unsigned users;  /* queues */
			unsigned armed;  /* of those; 0: it is masked */
			bool refused;    /* it cannot be armed, which has been said */
		} *vectors;
		unsigned count;      /* 0: MSI-X is off */
		bool refused;        /* why it stays off has been said */
		bool lost_said;
	} irqs;

	struct nvme_recovery recovery;
	_Atomic uint64_t polled_ns; /* when nsdk_nvme_ctrlr_poll() was called last */
	struct nsdk_nvme_poll_group *group; /* that calls it; of its thread */

	/* Makes the thread that finds the controller dead the only one; never on the I/O path. */
	pthread_mutex_t lock;
	/* 0, or why it was taken out. Set last, once the device can do no more DMA. */
	int failed;
};

/* queue.c */
int nsdk_nvme_ring_create(struct nsdk_nvme_ctrlr *ctrlr, uint16_t qid, uint32_t entries,
			  struct nvme_ring *ring);
void nsdk_nvme_ring_clear(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_ring *ring);
void nsdk_nvme_ring_destroy(struct nsdk_nvme_ctrlr *ctrlr, struct nvme_ring *ring);
int nsdk_nvme_dma_get(struct nsdk_nvme_ctrlr *ctrlr, size_t bytes, size_t align_bytes,
		      const char *what, void **va, uint64_t *iova);

/* shadow.c */
bool nsdk_nvme_shadow_wanted(const struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_shadow_cmd(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmd *out);
void nsdk_nvme_shadow_destroy(struct nsdk_nvme_ctrlr *ctrlr);
uint32_t nsdk_nvme_shadow_fit(const struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_shadow_clear(const struct nsdk_nvme_qpair *qp);
void nsdk_nvme_shadow_begin(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_shadow_told(struct nvme_doorbell *bell);
void nsdk_nvme_shadow_admin(struct nsdk_nvme_ctrlr *ctrlr, unsigned which, uint32_t value);

/* hmb.c */
bool nsdk_nvme_hmb_wanted(const struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_hmb_cmd(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_cmd *out);
void nsdk_nvme_hmb_answered(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cpl *cpl);
void nsdk_nvme_hmb_destroy(struct nsdk_nvme_ctrlr *ctrlr);

/* arb.c */
int nsdk_nvme_arb_take_opts(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_opts *own);
int nsdk_nvme_arb_choose(struct nsdk_nvme_ctrlr *ctrlr);
bool nsdk_nvme_arb_wanted(const struct nsdk_nvme_ctrlr *ctrlr);
struct nsdk_nvme_cmd nsdk_nvme_arb_cmd(const struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_arb_take_priority(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_qpair_opts *own);
uint32_t nsdk_nvme_arb_qprio(const struct nsdk_nvme_qpair *qp);

/* cmb.c */
int nsdk_nvme_cmb_enable(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_cmb_destroy(struct nsdk_nvme_ctrlr *ctrlr);
size_t nsdk_nvme_cmb_doorbells_end(const struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_cmb_take_sq(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_cmb_drop_sq(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_cmb_refused_sq(struct nsdk_nvme_qpair *qp, uint16_t status);
void nsdk_nvme_cmb_send(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_cmb_check_payload(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload,
				size_t bytes, enum nsdk_dma_dir dir);
bool nsdk_nvme_cmb_may_have(const struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd);
bool nsdk_nvme_cmb_has_any(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload,
			   size_t bytes);
/* See there; mostly there is no such buffer. */
static inline int nvme_cmb_check(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload,
				 size_t bytes, enum nsdk_dma_dir dir)
{
	return NVME_LIKELY(!ctrlr->map->own.bytes) ?
		       0 : nsdk_nvme_cmb_check_payload(ctrlr, payload, bytes, dir);
}

/* pmr.c */
void nsdk_nvme_pmr_restore(struct nsdk_nvme_ctrlr *ctrlr);

/* qpair.c */
enum nvme_queue_step { NVME_CREATE_CQ, NVME_CREATE_SQ, NVME_DELETE_SQ, NVME_DELETE_CQ };
struct nsdk_nvme_cmd nsdk_nvme_queue_cmd(const struct nsdk_nvme_qpair *qp, enum nvme_queue_step step);

/* prp.c */
struct nvme_prps {
	uint64_t prp1, prp2;
	unsigned list_entries; /* used in the list; 0: no list */
};
int nsdk_nvme_prp_build(const struct nsdk_dma_map *map, struct nvme_payload payload, size_t bytes,
			uint64_t *list, unsigned list_max, uint64_t list_iova,
			struct nvme_prps *out);
size_t nsdk_nvme_payload_reach(const struct nvme_payload *payload, size_t bytes, size_t max_bytes);
void nsdk_nvme_payload_advance(struct nvme_payload *payload, size_t bytes);
int nsdk_nvme_payload_check(const struct nsdk_dma_map *map, const struct nvme_payload *payload,
			    size_t bytes, int iovcnt, uint32_t align_mask);
void nsdk_nvme_payload_dirty(struct nsdk_coherence *coh, struct nvme_payload payload, size_t bytes);
void nsdk_nvme_payload_flush(const struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_flush_batch *batch,
			     struct nvme_payload payload, size_t bytes, enum nsdk_dma_dir dir,
			     bool for_cpu);

/* sgl.c */
int nsdk_nvme_sgl_build(const struct nsdk_dma_map *map, struct nvme_payload payload, size_t bytes,
			struct nsdk_nvme_sgl *list, unsigned list_max, uint64_t list_iova,
			struct nsdk_nvme_cmd *cmd, size_t *list_bytes);
size_t nsdk_nvme_sgl_reach(const struct nsdk_nvme_qpair *qp, const struct nvme_payload *payload,
			   size_t bytes, size_t max_bytes);
uint8_t nsdk_nvme_sgl_choose(const struct nsdk_nvme_qpair *qp, const struct nvme_payload *payload,
			     size_t bytes);
uint32_t nsdk_nvme_sgl_align_mask(const struct nsdk_nvme_qpair *qp);

/* admin.c */
int nsdk_nvme_admin_create(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_admin_destroy(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_admin_submit(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
			   uint64_t timeout_ns, nvme_admin_cb cb, void *ctx);
int nsdk_nvme_admin_poll(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_admin_go_on(struct nsdk_nvme_ctrlr *ctrlr, unsigned *looks);
void nsdk_nvme_admin_restart(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_admin_wait(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd,
			 struct nsdk_nvme_cpl *cpl);
void nsdk_nvme_admin_abort(struct nsdk_nvme_ctrlr *ctrlr);

/* identify.c */
int nsdk_nvme_identify(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint32_t nsid, nvme_admin_cb cb,
		       void *ctx);
int nsdk_nvme_identify_csi(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint8_t csi, uint32_t nsid,
			   nvme_admin_cb cb, void *ctx);
int nsdk_nvme_identify_start(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint32_t nsid);
int nsdk_nvme_identify_csi_start(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint8_t csi, uint32_t nsid);
int nsdk_nvme_identify_ctrlr_done(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_identify_list_done(struct nsdk_nvme_ctrlr *ctrlr, uint32_t *next);
void nsdk_nvme_init_cb(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl);

/* ns.c */
int nsdk_nvme_ns_add(struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid);
int nsdk_nvme_ns_have(struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid, struct nsdk_nvme_ns **out);
struct nsdk_nvme_ns *nsdk_nvme_ns_find(const struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid);
unsigned nsdk_nvme_ns_format(const struct nsdk_nvme_id_ns *id);
void nsdk_nvme_ns_close(struct nsdk_nvme_ns *ns, int error);
int nsdk_nvme_ns_fill(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns *id);
void nsdk_nvme_ns_remove(struct nsdk_nvme_ctrlr *ctrlr, uint32_t index);
void nsdk_nvme_ns_free_all(struct nsdk_nvme_ctrlr *ctrlr);

/* aer.c */
int nsdk_nvme_aer_start(struct nsdk_nvme_ctrlr *ctrlr);

/* rescan.c */
void nsdk_nvme_rescan(struct nsdk_nvme_ctrlr *ctrlr, bool own, struct nvme_rescan_wait *wait);

/* init.c, shutdown.c */
int nsdk_nvme_init_begin(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_init_step(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_stop_begin(struct nsdk_nvme_ctrlr *ctrlr, int result);
void nsdk_nvme_shutdown_begin(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_shutdown_step(struct nsdk_nvme_ctrlr *ctrlr);

/* recover.c */
int nsdk_nvme_ctrlr_trouble(struct nsdk_nvme_ctrlr *ctrlr, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int nsdk_nvme_recover(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_recover_settle(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_recover_forget(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_recover_requeue(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_recover_end(struct nsdk_nvme_ctrlr *ctrlr);
static inline bool nvme_resetting(const struct nsdk_nvme_ctrlr *ctrlr)
{
	return atomic_load_explicit(&ctrlr->recovery.rung, memory_order_relaxed) >=
	       NVME_RUNG_PAUSE_ALL;
}

/* deadline.c */
int nsdk_nvme_deadlines_create(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_watch(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_paused(struct nsdk_nvme_qpair *qp);

/* irq.c */
void nsdk_nvme_irqs_init(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_irqs_destroy(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_irqs_wake(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_irq_take(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_irq_put(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_irq_fd(const struct nsdk_nvme_qpair *qp);
int nsdk_nvme_irq_arm(struct nsdk_nvme_qpair *qp, bool late, uint64_t *wake_ns);
void nsdk_nvme_irq_disarm(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_irq_lost(struct nsdk_nvme_ctrlr *ctrlr, unsigned qid);
void nsdk_nvme_irq_take_admin(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_irq_admin_fd(const struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_irq_arm_admin(struct nsdk_nvme_ctrlr *ctrlr, uint64_t *wake_ns);
void nsdk_nvme_irq_disarm_admin(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_irq_wake_admin(struct nsdk_nvme_ctrlr *ctrlr);

/* ctrlr.c */
void nsdk_nvme_ctrlr_free(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_ctrlr_quiesce(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_ctrlr_health(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_ctrlr_look(struct nsdk_nvme_ctrlr *ctrlr, bool health);
int nsdk_nvme_ctrlr_fail(struct nsdk_nvme_ctrlr *ctrlr, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int nsdk_nvme_ctrlr_gone(struct nsdk_nvme_ctrlr *ctrlr);
int nsdk_nvme_ctrlr_failed(struct nsdk_nvme_ctrlr *ctrlr);
void nsdk_nvme_relax(unsigned *looks);

static inline uint32_t nvme_read32(struct nsdk_nvme_ctrlr *ctrlr, enum nsdk_nvme_reg reg)
{
	return nsdk_device_read32(ctrlr->dev, &ctrlr->bar, reg);
}

static inline void nvme_write32(struct nsdk_nvme_ctrlr *ctrlr, enum nsdk_nvme_reg reg,
				uint32_t value)
{
	nsdk_device_write32(ctrlr->dev, &ctrlr->bar, reg, value);
}

/* io.c */
void nsdk_nvme_qpair_soil(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_refuse(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_issue(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd *cmd,
		    const struct nvme_payload *payload, size_t bytes, enum nsdk_dma_dir dir,
		    nsdk_nvme_cb cb, void *ctx);
int nsdk_nvme_issue_fused(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd cmds[2],
			  const struct nvme_payload payloads[2], size_t bytes,
			  const nsdk_nvme_cb cbs[2], void *ctx);
int nsdk_nvme_issue_inline(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd *cmd, const void *data,
			   size_t bytes, nsdk_nvme_cb cb, void *ctx);
int nsdk_nvme_check_command(const struct nsdk_nvme_ns *ns, const struct nsdk_nvme_qpair *qp,
			    nsdk_nvme_cb cb, uint16_t oncs);
int nsdk_nvme_check_blocks(const struct nsdk_nvme_ns *ns, uint64_t lba, uint64_t blocks);

/* metadata.c */
struct nsdk_nvme_cmd nsdk_nvme_metadata_behavior(struct nsdk_nvme_ctrlr *ctrlr);
bool nsdk_nvme_metadata_asks(const struct nsdk_nvme_ns *ns);
bool nsdk_nvme_metadata_guessed(const struct nsdk_nvme_ns *ns);
void nsdk_nvme_metadata_told(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns_nvm *id);
int nsdk_nvme_metadata_fill(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns *id);
void nsdk_nvme_put_ref_tag(const struct nsdk_nvme_metadata *md, struct nsdk_nvme_cmd *cmd, uint64_t tag);
void nsdk_nvme_extra_blocks(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba,
			    struct nvme_extra *extra);
void nsdk_nvme_extra_copy(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba);
int nsdk_nvme_extra_rw(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba,
		       uint32_t flags, const struct nsdk_nvme_io_ext *ext, struct nvme_extra *extra);
uint32_t nsdk_nvme_extra_blocks_max(const struct nsdk_nvme_ns *ns, const struct nvme_extra *extra);
int nsdk_nvme_extra_check(const struct nsdk_nvme_qpair *qp, const struct nvme_extra *extra,
			  const struct nvme_payload *payload, int iovcnt, uint32_t blocks);
uint32_t nsdk_nvme_extra_reach(const struct nsdk_nvme_qpair *qp, const struct nvme_extra *extra,
			       uint32_t blocks);
void nsdk_nvme_extra_advance(struct nvme_extra *extra, uint32_t blocks);
int nsdk_nvme_issue_extra(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd *cmd,
			  const struct nvme_payload *payload, const struct nvme_extra *extra,
			  uint32_t blocks, enum nsdk_dma_dir dir, nsdk_nvme_cb cb, void *ctx);
void nsdk_nvme_metadata_take_back(struct nsdk_nvme_qpair *qp, struct nvme_tracker *t);

/* blocks.c */
void nsdk_nvme_blocks_limits(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_id_ctrl_nvm *id);
uint32_t nsdk_nvme_blocks_max(const struct nsdk_nvme_ns *ns, uint8_t opcode);

/* zns.c */
int nsdk_nvme_zns_mark(struct nsdk_nvme_ns *ns);
int nsdk_nvme_zns_take_list(struct nsdk_nvme_ctrlr *ctrlr, uint32_t after, uint32_t *next);
void nsdk_nvme_zns_limits(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_id_ctrl_zns *id);
bool nsdk_nvme_zns_fill(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns_zns *id);
void nsdk_nvme_zns_shape(struct nsdk_nvme_ns *ns);
uint64_t nsdk_nvme_zone_left(const struct nsdk_nvme_ns *ns, uint64_t lba);

/* Of blocks that are read, as many as one command may be of because of zones. */
static inline uint32_t nvme_cut(const struct nsdk_nvme_ns *ns, uint64_t lba, uint32_t blocks)
{
	uint64_t left = ns->cut_blocks ? ns->cut_blocks - lba % ns->cut_blocks : blocks;

	return left < blocks ? (uint32_t)left : blocks;
}

/* Whether a command writes, so that where it may begin in a zone follows from those before it. */
static inline bool nvme_in_order(const struct nsdk_nvme_ns *ns, uint8_t opcode)
{
	return ns->is_zoned &&
	       (opcode == NSDK_NVME_NVM_WRITE || opcode == NSDK_NVME_NVM_WRITE_ZEROES ||
		opcode == NSDK_NVME_NVM_WRITE_UNCORRECTABLE);
}

/* fused.c */
int nsdk_nvme_fused_create(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_fused_destroy(struct nsdk_nvme_qpair *qp);

/* split.c */
int nsdk_nvme_splits_create(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_splits_destroy(struct nsdk_nvme_qpair *qp);
int nsdk_nvme_split_start(struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
			  const struct nsdk_nvme_cmd *cmd, const struct nvme_payload *payload,
			  const struct nvme_extra *extra, enum nsdk_dma_dir dir, uint64_t lba,
			  uint32_t blocks, nsdk_nvme_cb cb, void *ctx);
void nsdk_nvme_splits_advance(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_splits_drop_lost(struct nsdk_nvme_qpair *qp, uint16_t status);
void nsdk_nvme_splits_abort(struct nsdk_nvme_qpair *qp, uint16_t status);

/* poll.c */
void nsdk_nvme_qpair_close(struct nsdk_nvme_qpair *qp, int error);
void nsdk_nvme_qpair_drain(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_qpair_deliver_taken(struct nsdk_nvme_qpair *qp);
void nsdk_nvme_qpair_abort_all(struct nsdk_nvme_qpair *qp, uint16_t status);
void nsdk_nvme_qpair_give_up(struct nsdk_nvme_qpair *qp, uint16_t status);

/*
 * Rings a doorbell: @p value is the new tail or head.
 *
 * The SQEs (and with no-snoop, their cache lines' write-back, which the flush batch has fenced) must
 * reach memory before the device sees the doorbell and fetches them. x86 keeps stores in order, and
 * a store to uncached device memory does not overtake those to cached memory before it, so there
 * only the compiler has to be held. A BAR mapped write-combining would need an SFENCE here; it never
 * is. Arm orders stores to normal and to device memory only by a barrier that reaches the outer
 * shareable domain, where the device is.
 */
static inline void nvme_doorbell(volatile uint32_t *doorbell, uint32_t value)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshst" ::: "memory");
#endif
	__atomic_store_n(doorbell, value, __ATOMIC_RELEASE);
}

/*
 * Whether a completion slot has been written since @p old_phase. All else in it (and the data that it
 * announces) was written before its phase bit and must not be read before: x86 keeps loads in order,
 * so only the compiler has to be held; arm needs a barrier that reaches where the device is.
 */
static inline bool nvme_cqe_is_new_at(const struct nsdk_nvme_cpl *cqe, const uint32_t *old_phase)
{
	uint32_t status = __atomic_load_n(&cqe->status, __ATOMIC_RELAXED);

#if defined(__aarch64__)
	__asm__ volatile("dmb oshld" ::: "memory");
#else
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
#endif
	return ((status ^ *old_phase) & NSDK_NVME_STATUS_PHASE) != 0;
}

static inline bool nvme_cqe_is_new(const struct nsdk_nvme_cpl *cqe, uint32_t old_phase)
{
	return nvme_cqe_is_new_at(cqe, &old_phase);
}

/* Its SQ head (15:0) and SQ id (31:16), in one load. */
static inline uint32_t nvme_cqe_dw2(const struct nsdk_nvme_cpl *cqe)
{
	return *(const uint32_t *)(const void *)&cqe->sqhd;
}

#endif
