/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/emu/nvme*.c: the NVMe controller model. Its essay is in nvme.c.
 */
#ifndef NSDK_EMU_NVME_INTERNAL_H
#define NSDK_EMU_NVME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <nsdk/nvme_log_spec.h>
#include <nsdk/nvme_spec.h>
#include <nsdk/nvme_zns_spec.h>

#include "emu_internal.h"
#include "nvme_arb.h"

#define EMU_NVME_ROOM "emu"
#define EMU_NVME_PAGE 4096u /* the smallest memory page, CAP.MPSMIN */
#define EMU_NVME_AERS 4u    /* Asynchronous Event Requests that may be outstanding */
#define EMU_NVME_ERRORS 64u /* entries of the error log */
#define EMU_NVME_VERSION 0x00020000u
#define EMU_NVME_MAX_QUEUES 2047u /* with the admin queue as many as MSI-X has vectors */
#define EMU_NVME_MAX_NAMESPACES 1024u
#define EMU_NVME_OWNER_CHARS 48
#define EMU_NVME_VSL 4u       /* 64 KiB in one Verify */
#define EMU_NVME_MSSRL 128u   /* blocks of one source range of Copy */
#define EMU_NVME_MCL 512u     /* … of all together */
#define EMU_NVME_MSRC 64u     /* ranges */
#define EMU_NVME_MAX_ZONES (1u << 20) /* of a namespace */
#define EMU_NVME_ZONE_EXT_BYTES 64u
#define EMU_NVME_FIRMWARE_SLOTS 2u
#define EMU_NVME_IMAGE_BYTES ((size_t)1 << 20)
#define EMU_NVME_TELEMETRY_BLOCKS 7u
#define EMU_NVME_SECURITY_BYTES 512u
#define EMU_NVME_LBA_STATUS_RANGES 64u
#define EMU_NVME_HUNG 8u /* commands of a queue that may hang at a time */

/* The store is locked and moved in pieces of this size: see nvme_store.c. */
#define EMU_NVME_EXTENT_BYTES ((size_t)64 << 10)
#define EMU_NVME_EXTENT_LOCKS 32u

/* ---- Options ---- */

enum emu_nvme_nosnoop {
	EMU_NVME_NOSNOOP_NONE, /* Enable No Snoop is hardwired to 0 */
	EMU_NVME_NOSNOOP_DATA, /* the data of commands */
	EMU_NVME_NOSNOOP_ALL,  /* queues and PRP lists as well */
};

enum emu_nvme_sgl {
	EMU_NVME_SGL_NONE,
	EMU_NVME_SGL_DWORD, /* data blocks are dword aligned and dwords long */
	EMU_NVME_SGL_ANY,
};

enum emu_nvme_fault {
	EMU_NVME_FAULT_NONE,
	EMU_NVME_FAULT_NEVER_READY, /* CSTS.RDY stays 0 */
	EMU_NVME_FAULT_IDENTIFY,    /* a namespace has a format that there is not */
	/* Commands are counted. */
	EMU_NVME_FAULT_FATAL,       /* CSTS.CFS after so many commands; once */
	EMU_NVME_FAULT_GONE,        /* pulled out after so many commands */
	EMU_NVME_FAULT_CUT,         /* power is lost at that command: what is not flushed, too */
	EMU_NVME_FAULT_TIMEOUT,     /* one command never completes */
	EMU_NVME_FAULT_BAD_STATUS,  /* one command fails with Internal Error */
	EMU_NVME_FAULT_GUARD,       /* one write leaves wrong guards behind */
	EMU_NVME_FAULT_FLAP,        /* CSTS.RDY falls, although nobody has disabled it (nvme_lie.c) */
	EMU_NVME_FAULT_STORM,       /* asynchronous events have no end */
	EMU_NVME_FAULT_OVERRUN,     /* one read goes on behind its buffer */
#define EMU_NVME_FAULT_LAST_OF_COMMANDS EMU_NVME_FAULT_OVERRUN
	EMU_NVME_FAULT_LOST_IRQ,    /* one interrupt of an I/O queue is never sent */
	/* Completions are counted. */
	EMU_NVME_FAULT_BAD_CID,     /* one is of a command that there is not */
	EMU_NVME_FAULT_TWICE,       /* one comes again */
	EMU_NVME_FAULT_PHASE,       /* one looks as if it were old */
	EMU_NVME_FAULT_BAD_QID,     /* one is of another queue */
	EMU_NVME_FAULT_BAD_HEAD,    /* one has the head beyond its queue */
};

/* What comes of an Abort for a command that hangs (fault=timeout@). */
enum emu_nvme_abort {
	EMU_NVME_ABORT_WORKS,
	EMU_NVME_ABORT_FAILS, /* "not aborted", and the command hangs on */
	EMU_NVME_ABORT_HANGS, /* it is never answered */
	EMU_NVME_ABORT_LATE,  /* "not aborted", and the command completes a little later */
};

/* … of a Delete I/O Submission Queue while a command hangs in it. */
enum emu_nvme_delete {
	EMU_NVME_DELETE_WORKS,
	EMU_NVME_DELETE_FAILS,
	EMU_NVME_DELETE_HANGS,
};

struct emu_nvme_opts {
	uint64_t size_bytes; /* of one namespace; 0: what the file has, or the default */
	unsigned lba_bytes;
	char file[1024]; /* "": memory */
	unsigned namespaces;
	unsigned mdts;
	enum emu_nvme_nosnoop nosnoop;
	uint64_t latency_ns;
	uint64_t seed;
	unsigned queues;
	unsigned entries; /* of a queue, at most */
	bool thread;
	int cpu; /* of the thread; -1: any */
	unsigned iova_bits;
	uint64_t ready_ns;
	bool write_cache;
	bool volatile_cache; /* and it loses what it has when power is cut */
	enum emu_nvme_sgl sgl;
	uint64_t hmb_bytes; /* of host memory that it asks for; 0: none */
	bool dbbuf; /* shadow doorbells are offered */
	bool wrr;   /* … and weighted round robin */
	bool ana;   /* … and asymmetric namespace access reporting */
	bool any_bad; /* from the start, … */
	uint64_t bad; /* … this block of each namespace */
	uint64_t cmb_bytes; /* controller memory buffer; 0: none */
	uint64_t pmr_bytes; /* persistent memory region; 0: none */
	char pmr_file[1024]; /* "": memory */
	uint32_t cmb_size_bits, cmb_loc_bits; /* of CMBSZ and CMBLOC: what it is for */
	char resv_file[1024]; /* where reservations are kept that persist; "": nowhere */
	bool other_host;      /* it is the second one's controller */
	unsigned rival; /* the type of the reservation that another host holds from the start, or 0 */
	bool zoned; /* all namespaces are */
	uint64_t zone_bytes, zone_cap_bytes;
	unsigned max_open, max_active; /* zones; 0: no limit */
	bool zone_cross;               /* a read may be of several zones */
	unsigned zones_ro, zones_offline; /* so many at the end are read only, and behind them offline */
	unsigned zasl;
	unsigned ms; /* metadata bytes of a block */
	bool mset;   /* it is extended */
	unsigned pi, pif; /* protection information: its type, and the format of it */
	bool pil;    /* it is the metadata's first bytes */
	bool fdp; /* flexible data placement */
	unsigned fdp_handles, fdp_groups;
	uint64_t fdp_unit_bytes;
	enum emu_nvme_fault fault;
	bool fault_in_admin; /* count admin commands instead of I/O commands */
	uint64_t fault_at;
	bool fault_again; /* at every multiple of that */
	unsigned vectors; /* of MSI-X; 0: one for each queue */
	enum emu_nvme_abort abort;
	enum emu_nvme_delete delete_sq;
	unsigned reset_fails; /* so many times it does not get ready again */
	bool disable_hangs;   /* CSTS.RDY stays 1 when CC.EN falls, until the function is reset */
};

/* @return 0; -EINVAL, one sentence logged. */
int emu_nvme_opts_read(const char *text, struct emu_nvme_opts *out);

/* ---- Storage (nvme_store.c): all namespaces, one after another ---- */

struct emu_nvme_wcache;

struct emu_nvme_store {
	uint8_t *ram; /* NULL: fd */
	struct emu_nvme_wcache *cache; /* before fd; NULL: none */
	int fd;
	uint64_t bytes;
	size_t page_bytes; /* of the machine */
	unsigned lba_shift;
	/* One bit a block that Write Uncorrectable marked, looked at only once there is one. */
	uint8_t *bad;
	size_t bad_bytes;
	atomic_bool any_bad;
	pthread_mutex_t extents[EMU_NVME_EXTENT_LOCKS];
};

struct emu_nvme_req;

/* Fills in opts->size_bytes where it is 0. @return 0 or -errno, one sentence logged. */
int emu_nvme_store_open(struct emu_nvme_store *store, struct emu_nvme_opts *opts);
void emu_nvme_store_close(struct emu_nvme_store *store);

/*
 * Between the store and the host's data of a request; offset and bytes are in the store and
 * multiples of the block. They return a status. Threading: any; each block is read and written
 * whole.
 */
/* One block, with the lock of its extent. @return a status. */
typedef uint16_t (*emu_nvme_block_fn)(void *ctx, uint64_t offset, uint8_t *data);
/* Each block of a range, of a store in memory, until a bad status. @param writes  they are good again. */
uint16_t emu_nvme_store_visit(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes, bool writes,
			      emu_nvme_block_fn fn, void *ctx);
uint16_t emu_nvme_store_read(struct emu_nvme_store *store, struct emu_nvme_req *req,
			     uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_store_write(struct emu_nvme_store *store, struct emu_nvme_req *req,
			      uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_store_compare(struct emu_nvme_store *store, struct emu_nvme_req *req,
				uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_store_verify(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_store_zero(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_store_spoil(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes);
/* Zeroes that last, whatever is cached: for what formats and sanitizes. */
uint16_t emu_nvme_store_wipe(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes);
/* All of it, or a range, lasts from now on. */
uint16_t emu_nvme_store_flush(struct emu_nvme_store *store);
uint16_t emu_nvme_store_settle(struct emu_nvme_store *store, uint64_t offset, uint64_t bytes);
/* Power is lost: of what was not flushed some blocks are there, and the others as they were. */
void emu_nvme_store_cut(struct emu_nvme_store *store);
/* From one place to another; if they overlap, what is read there may be new already. */
uint16_t emu_nvme_store_copy(struct emu_nvme_store *store, struct emu_nvme_req *req, uint64_t from,
			     uint64_t to, uint64_t bytes);
/*
 * Compare and, if equal, write, with nothing else in between; at most EMU_NVME_EXTENT_BYTES. Each status
 * is its command's; the write's is 0 when it was not tried.
 */
void emu_nvme_store_compare_and_write(struct emu_nvme_store *store, struct emu_nvme_req *compare,
				      struct emu_nvme_req *write, uint64_t offset, uint64_t bytes,
				      uint16_t *compare_status, uint16_t *write_status);

/* Memory that takes no room until it is written; NULL: none. */
void *emu_nvme_map_sparse(uint64_t bytes);
/* … and gives it back, as far as there are whole pages. */
void emu_nvme_zero_memory(uint8_t *at, uint64_t bytes, size_t page_bytes);
/* To the file itself. @return a status. */
uint16_t emu_nvme_store_to_file(struct emu_nvme_store *store, const void *from, size_t bytes,
				uint64_t offset);

/* ---- The volatile write cache (nvme_wcache.c); ranges lie in one extent, whose lock is held ---- */

#define EMU_NVME_WCACHE_ALL 256u

int emu_nvme_wcache_create(const struct emu_nvme_store *store, uint64_t seed,
			   struct emu_nvme_wcache **out);
void emu_nvme_wcache_destroy(struct emu_nvme_wcache *cache);
/* Puts what the cache has of a range over what the file had. */
void emu_nvme_wcache_overlay(const struct emu_nvme_wcache *cache, uint8_t *to, uint64_t offset,
			     size_t bytes);
/* Takes blocks in, zeroes with @p from NULL, and sometimes writes some back. @return a status. */
uint16_t emu_nvme_wcache_put(struct emu_nvme_store *store, const uint8_t *from, uint64_t offset,
			     size_t bytes);
/* Writes back what it has of a range, each block with a chance of @p chance in EMU_NVME_WCACHE_ALL. */
uint16_t emu_nvme_wcache_write_back(struct emu_nvme_store *store, uint64_t offset, size_t bytes,
				    unsigned chance);
/* Forgets what it has of a range, which may be any. */
void emu_nvme_wcache_drop(struct emu_nvme_wcache *cache, uint64_t offset, uint64_t bytes);
/* The next extent from *offset on of which it has anything; needs no lock. */
bool emu_nvme_wcache_next(struct emu_nvme_wcache *cache, uint64_t *offset);

/* ---- Queues ---- */

struct emu_nvme;

/* A command that was fetched and is not due yet (latency_us). */
struct emu_nvme_pending {
	struct nsdk_nvme_cmd cmd;
	uint64_t due_ns;
	bool conflict; /* its cid was that of another one */
	bool done;     /* aborted: its completion has been posted */
	bool alone;    /* nothing had been announced behind it */
};

/* Where a doorbell and its event index are in the host's memory (nvme_dbbuf.c); zeroes: in the register. */
struct emu_nvme_shadow {
	uint64_t doorbell_iova, event_iova;
};

struct emu_nvme_sq {
	bool exists;
	uint16_t id;
	uint16_t cqid;
	uint32_t entries;
	uint32_t head;     /* the next to fetch */
	uint32_t tail;     /* as the doorbell said last */
	uint64_t bad_tail; /* the doorbell value that was refused last, or NO_DOORBELL */
	uint64_t iova;
	struct emu_nvme_sq *next; /* of the same completion queue */
	struct emu_nvme_arb_queue arb; /* under weighted round robin */
	/* A ring of entries, in the order fetched; only with latency_us. */
	struct emu_nvme_pending *pending;
	uint32_t pending_first, pending_count;
	uint64_t *cids; /* one bit for each cid that is pending */
	/* The first of two fused commands, while the second has not come (nvme_fused.c). */
	bool fused;
	bool fused_conflict;
	struct nsdk_nvme_cmd fused_first;
	/* The commands that fault=timeout swallowed; what does not fit is carried out. */
	struct emu_nvme_hung {
		struct nsdk_nvme_cmd cmd;
		uint64_t due_ns; /* not 0: it completes then after all */
	} hung[EMU_NVME_HUNG];
	uint32_t hung_count;
	struct emu_nvme_shadow shadow;
	bool awake; /* it looks at the doorbell in memory */
	unsigned idle_turns;
	char owner[EMU_NVME_OWNER_CHARS];
};

/* Host memory that no-snoop writes of one command went to. */
struct emu_nvme_range {
	uint64_t iova;
	uint64_t bytes;
};

/* What the host takes as written when it moves the head past this completion. */
struct emu_nvme_slot {
	struct emu_nvme_range *ranges;
	uint32_t count, room;
	bool entry; /* the completion itself went past the caches */
	char owner[EMU_NVME_OWNER_CHARS];
};

/* Counters of the SMART log; one writer at a time, under the lock of the completion queue. */
struct emu_nvme_counters {
	_Atomic uint64_t units_read, units_written; /* of 512 bytes */
	_Atomic uint64_t reads, writes;             /* commands */
	_Atomic uint64_t media_errors;
};

/* A completion queue and all submission queues that complete to it: one domain, one lock. */
struct emu_nvme_cq {
	pthread_mutex_t lock;
	bool exists;
	bool phase;
	bool interrupts; /* IEN */
	bool signal;     /* something was posted since the last interrupt */
	uint16_t id;
	uint16_t vector;
	uint32_t entries;
	uint32_t head; /* as the doorbell said last */
	uint32_t tail; /* the next to post */
	uint64_t bad_head;
	uint64_t iova;
	struct emu_nvme_sq *sqs;
	struct emu_nvme_shadow shadow;
	struct emu_nvme_slot *slots; /* NULL with nosnoop=none */
	uint8_t *scratch;            /* EMU_NVME_EXTENT_BYTES */
	struct emu_nvme_counters counters;
	char owner[EMU_NVME_OWNER_CHARS];
};

/* ---- The host memory buffer (nvme_hmb.c) ---- */

#define EMU_NVME_HMB_ENABLE 1u
#define EMU_NVME_HMB_RETURN 2u

struct emu_nvme_hmb {
	atomic_bool on;
	pthread_mutex_t lock; /* under a queue's */
	struct nsdk_nvme_hmb_entry *list;
	uint64_t pages, uses;
	uint64_t *stamps; /* what was left in each page; 0: nothing yet */
};

/* The controller memory buffer (nvme_cmb.c); changed with all queues at rest. */
struct emu_nvme_cmb {
	size_t offset; /* in BAR 0 */
	uint64_t msc;  /* CMBMSC */
	bool invalid;
};

/* The persistent memory region (nvme_pmr.c), under registers. */
struct emu_nvme_pmr {
	uint8_t *bar;     /* what the host sees */
	uint8_t *lasting; /* what is there after a power cut */
	bool enabled, ready;
	uint64_t ready_ns;
};

/* ---- The controller ---- */

enum emu_nvme_state {
	EMU_NVME_OFF,      /* CC.EN is 0 */
	EMU_NVME_STARTING, /* CC.EN is 1, CSTS.RDY is still 0 */
	EMU_NVME_RUNNING,
	EMU_NVME_SHUT,     /* CC.SHN was said: no commands any more */
	EMU_NVME_FATAL,    /* CSTS.CFS */
};

/* Base figure 206 */
struct emu_nvme_error {
	uint64_t count;
	uint16_t sqid, cid, status, location;
	uint64_t lba;
	uint32_t nsid;
	uint8_t vendor, trtype;
	uint8_t reserved30[2];
	uint64_t specific;
	uint16_t transport;
	uint8_t reserved42[22];
};
_Static_assert(sizeof(struct emu_nvme_error) == 64, "Base figure 206");

/* Asynchronous events: one of each type waits at most. */
enum emu_nvme_event {
	EMU_NVME_EVENT_ERROR,
	EMU_NVME_EVENT_SMART,
	EMU_NVME_EVENT_NOTICE,
};
#define EMU_NVME_EVENTS 3u
#define EMU_NVME_EVENTS_NAMESPACES 0x100u /* the notice that namespaces changed, in the feature and in OAES */

/* A namespace, whether or not there is one (nvme_manage.c). */
struct emu_nvme_ns {
	uint64_t blocks;
	bool allocated;
	bool attached;
	bool changed; /* since the list of those was read */
};

/* nvme_zns.c: the zones of a namespace. */
struct emu_nvme_zone {
	uint8_t state; /* enum nsdk_nvme_zone_state */
	uint8_t attributes;
	uint64_t wp;      /* blocks from the zone's start */
	uint64_t opening; /* it was opened as the so manyth */
	uint8_t ext[EMU_NVME_ZONE_EXT_BYTES];
};
/* nvme_md.c: metadata as it is formatted, of all namespaces. */
struct emu_nvme_md {
	uint8_t *store; /* as large as any format needs it */
	unsigned bytes; /* of a block; 0: none */
	bool extended;
	unsigned type, pif;
	bool first;
	atomic_bool known; /* the host has said that it knows such formats (LBAFEE) */
};
struct emu_nvme_zns {
	struct emu_nvme_zone *zones;
	uint32_t open, active;
	uint64_t openings;
};

/* nvme_resv.c: reservations. */
struct emu_nvme_resv {
	uint32_t generation;
	uint8_t type;     /* 0: nobody holds one */
	uint8_t holder;   /* who, below */
	bool registered[2];
	bool persists;
	uint64_t keys[2];
};

/* nvme_firmware.c */
struct emu_nvme_firmware {
	char revision[EMU_NVME_FIRMWARE_SLOTS][8];
	unsigned active, next; /* slots, from 1; next 0: the same */
	uint8_t *image;
	uint64_t received; /* bytes of it */
};

/* nvme_security.c: what was sent last. */
struct emu_nvme_security {
	uint8_t data[EMU_NVME_SECURITY_BYTES];
	uint32_t bytes;
};

struct emu_nvme_self_test {
	uint8_t code; /* 0: none is running */
	uint32_t nsid;
	uint64_t end_ns, length_ns;
	unsigned count;
	struct nsdk_nvme_self_test_result results[NSDK_NVME_SELF_TEST_RESULTS];
};

struct emu_nvme_features {
	uint32_t arbitration;
	uint32_t over_temperature, under_temperature; /* kelvin */
	uint32_t error_recovery[EMU_NVME_MAX_NAMESPACES]; /* by NSID - 1 */
	unsigned queues; /* of each kind, allocated */
	uint32_t coalescing;
	bool coalescing_off[EMU_NVME_MAX_QUEUES + 1]; /* by vector */
	uint32_t atomicity;
	uint32_t events;
};

struct emu_nvme {
	struct nsdk_emu_model model; /* first */
	struct emu_nvme_opts opts;
	struct emu_nvme_store store;
	struct emu_nvme_ns namespaces[EMU_NVME_MAX_NAMESPACES]; /* by NSID - 1; changed at rest */
	unsigned lba_shift;
	struct emu_nvme_md md; /* both change at rest */
	unsigned resting; /* queues that nvme_manage.c has locked */

	/* BARs. */
	uint8_t *bar0, *bar4;
	size_t bar0_bytes, bar4_bytes;
	_Atomic uint32_t *doorbells;

	/* Config space; under registers. */
	uint8_t cfg[256];
	uint8_t cfg_writable[256];

	/* Registers; under registers, but for what is atomic. */
	pthread_mutex_t registers;
	_Atomic int state; /* enum emu_nvme_state */
	atomic_bool gone;
	uint64_t cap;
	uint32_t cc, aqa, intm;
	uint64_t asq, acq;
	bool subsystem_reset; /* CSTS.NSSRO */
	bool shut_down;       /* CSTS.SHST is 10b */
	bool was_ready;       /* since it was enabled */
	bool stuck;           /* disable_hangs: it was disabled, and does not say so */
	bool was_up;          /* it was ready once: what reset_fails says goes for what comes next */
	bool fails_now;
	unsigned fails_left;
	uint64_t ready_ns;
	/* Written with all queues at rest, read under any queue's lock. */
	unsigned page_bytes;
	unsigned iosqes, iocqes;

	/* Queues. */
	struct emu_nvme_sq *sqs; /* opts.queues + 1 of each */
	struct emu_nvme_cq *cqs;
	_Atomic unsigned cqs_used; /* none that exists is above */
	atomic_bool wrr;           /* CC.AMS says so; changed with all queues at rest */
	struct emu_nvme_arb arb;   /* under the lock of queue 0 */
	struct emu_nvme_hmb hmb;
	struct emu_nvme_cmb cmb;
	struct emu_nvme_pmr pmr;
	struct emu_nvme_shadow shadow; /* both pages; under the lock of queue 0 */
	unsigned frozen;           /* completion queues that emu_nvme_freeze() has locked */

	/* Interrupts; changed with all queues at rest. */
	int *vectors; /* eventfds, -1: unarmed */
	atomic_bool *vector_pending; /* a message that found its vector unarmed */
	unsigned vector_count, vectors_on;

	/* Admin state; under the lock of completion queue 0. */
	uint16_t aer_cids[EMU_NVME_AERS];
	unsigned aer_count;
	struct emu_nvme_features features;
	atomic_bool write_cache; /* a feature too; writes look at it */
	struct emu_nvme_firmware firmware;
	struct emu_nvme_self_test self_test;
	struct emu_nvme_security security;
	_Atomic uint64_t sanitize_end_ns; /* 0: never; I/O looks at it */
	uint32_t sanitize_cdw10;
	uint8_t telemetry_generation; /* of what the host has had taken; 0: nothing */

	/* Reservations, by NSID - 1, under a lock of their own; any_resv spares looking at them. */
	pthread_mutex_t resv_lock;
	atomic_bool any_resv;
	struct emu_nvme_resv resv[EMU_NVME_MAX_NAMESPACES];
	int resv_fd; /* the file of resv_file=, or -1 */

	/* Zones, by NSID - 1, under a lock of their own; NULL: none are zoned. */
	pthread_mutex_t zns_lock;
	struct emu_nvme_zns *zns;
	struct emu_nvme_fdp *fdp; /* flexible data placement, with its own lock; NULL: none */

	/* Events and the error log: any queue adds to them, so they have a lock of their own, the
	 * last to be taken. */
	pthread_mutex_t notes;
	bool event_waits[EMU_NVME_EVENTS], event_masked[EMU_NVME_EVENTS];
	uint32_t event_dw0[EMU_NVME_EVENTS];
	atomic_bool event_any;
	struct emu_nvme_error errors[EMU_NVME_ERRORS];
	uint64_t error_count;

	uint64_t power_on_ns;
	uint64_t unsafe_shutdowns;
	_Atomic uint64_t fault_count;
	atomic_bool flaps, storms; /* those faults have begun */
	atomic_bool overruns;      /* the next command that moves data to the host does */

	pthread_t thread;
	bool thread_runs;
	atomic_bool thread_stop;
};

/* ---- One command being carried out ---- */

/* Where in the host's memory the data of a command goes on (nvme_prp.c). */
struct emu_nvme_prp {
	uint64_t iova;       /* of the next byte */
	uint32_t page_left;  /* bytes that may be moved there */
	uint64_t rest_bytes; /* behind that */
	bool list;
	uint64_t list_iova;  /* of the next entry to read */
	uint32_t list_left;  /* entries in that memory page, the link to the next one included */
	uint32_t have, next; /* entries that were read */
	bool placed, inside; /* some of it has been moved; to or from the controller memory buffer */
	/* By an SGL: a page is a data block, an entry a descriptor, and a list a segment. */
	bool sgl;
	bool last_segment;
	uint32_t segments;
	union {
		uint64_t entries[32];
		struct nsdk_nvme_sgl sgls[16];
	};
};

struct emu_nvme_req {
	struct emu_nvme *ctrl;
	struct emu_nvme_cq *cq;
	struct emu_nvme_sq *sq;
	const struct nsdk_nvme_cmd *cmd;
	struct emu_nvme_slot *slot; /* NULL: nothing goes past the caches */
	const char *owner;
	uint64_t lba; /* for the error log */
	uint32_t dw0, dw1;
	bool nosnoop_data, nosnoop_lists;
	bool power_fails; /* before any of it lasts */
	bool spoil_guard;
	uint64_t past_iova; /* behind the last byte that went to the host; 0: none did */
	struct emu_nvme_prp prp;
	char owner_text[EMU_NVME_OWNER_CHARS];
};

/* Instead of a status: the command is not completed now. */
#define EMU_NVME_LATER (-1)

static inline uint16_t emu_nvme_error(unsigned sct, unsigned sc)
{
	return (uint16_t)(NSDK_NVME_STATUS(sct, sc) | NSDK_NVME_STATUS_DNR_BIT);
}
#define EMU_NVME_GENERIC(name) emu_nvme_error(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_##name)
#define EMU_NVME_SPECIFIC(name) emu_nvme_error(NSDK_NVME_SCT_COMMAND, NSDK_NVME_SC_##name)
/* Those that may go well when tried again. */
#define EMU_NVME_PASSING(name) NSDK_NVME_STATUS(NSDK_NVME_SCT_GENERIC, NSDK_NVME_SC_##name)

/* Begin the data of a request: @p bytes at PRP1 and PRP2. @return a status. */
uint16_t emu_nvme_data_begin(struct emu_nvme_req *req, uint64_t bytes);
/* The next bytes of it. @return a status; after a bad one no more may be moved. */
uint16_t emu_nvme_data_to_host(struct emu_nvme_req *req, const void *from, uint64_t bytes);
uint16_t emu_nvme_data_from_host(struct emu_nvme_req *req, void *to, uint64_t bytes);
/* All of it, from a structure that may be shorter than what the host asked for: zeroes follow. */
uint16_t emu_nvme_data_reply(struct emu_nvme_req *req, const void *from, size_t from_bytes,
			     uint64_t bytes);
/* nvme_sgl.c: the two steps of these where the command has an SGL. */
uint16_t emu_nvme_sgl_begin(struct emu_nvme_req *req, uint64_t bytes);
uint16_t emu_nvme_sgl_next(struct emu_nvme_req *req);
/* Whether so many bytes are above the Maximum Data Transfer Size. */
bool emu_nvme_data_exceeds(const struct emu_nvme *ctrl, uint64_t bytes);

/* nvme_queue.c; under the lock of the completion queue unless it says otherwise. */
int emu_nvme_cq_create(struct emu_nvme *ctrl, unsigned id, uint64_t iova, uint32_t entries,
		       bool interrupts, unsigned vector);
void emu_nvme_cq_destroy(struct emu_nvme *ctrl, unsigned id);
int emu_nvme_sq_create(struct emu_nvme *ctrl, unsigned id, uint64_t iova, uint32_t entries,
		       unsigned cqid, enum emu_nvme_arb_class priority);
void emu_nvme_sq_destroy(struct emu_nvme *ctrl, unsigned id);
bool emu_nvme_cq_has_room(const struct emu_nvme_cq *cq);
void emu_nvme_post(struct emu_nvme *ctrl, struct emu_nvme_cq *cq, const struct emu_nvme_sq *sq,
		   uint16_t cid, uint64_t dw01, uint16_t status);
void emu_nvme_interrupt(struct emu_nvme *ctrl, struct emu_nvme_cq *cq);
/* Complete with Abort Requested a command that was fetched and not carried out. */
bool emu_nvme_sq_abort(struct emu_nvme *ctrl, struct emu_nvme_sq *sq, uint16_t cid);
/* Complete everything not carried out, because the queue is being deleted. */
void emu_nvme_sq_drain(struct emu_nvme *ctrl, struct emu_nvme_sq *sq);
/* A turn of all queues; takes their locks. @return whether there was anything to do. */
bool emu_nvme_queues_turn(struct emu_nvme *ctrl);

/* Carry out two fused commands. */
void emu_nvme_io_fused(struct emu_nvme_req *first, struct emu_nvme_req *second, int statuses[2]);
/* nvme_resv.c */
int emu_nvme_resv_create(struct emu_nvme *ctrl);
void emu_nvme_resv_destroy(struct emu_nvme *ctrl);
bool emu_nvme_resv_forbids(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd);
uint16_t emu_nvme_resv(struct emu_nvme_req *req);

/* nvme_lie.c: one more of what the fault counts; whether that is the one, or one of those. */
uint64_t emu_nvme_fault_counts(struct emu_nvme *ctrl);
bool emu_nvme_is_faulty(const struct emu_nvme *ctrl, uint64_t number);
/* Of a completion. @return how often to post it. */
unsigned emu_nvme_lie(struct emu_nvme *ctrl, const struct emu_nvme_sq *sq, struct nsdk_nvme_cpl *cpl);
void emu_nvme_lie_behind(struct emu_nvme *ctrl);
/* Of a command that went well, before it is completed: a page more, behind its data. @return whether that
 * was the end of it. */
bool emu_nvme_lie_overrun(struct emu_nvme_req *req, uint64_t number);
void emu_nvme_lie_reset(struct emu_nvme *ctrl);

/* nvme_admin.c, nvme_io.c, …: carry out a command. @return a status or EMU_NVME_LATER. */
int emu_nvme_admin(struct emu_nvme_req *req);
int emu_nvme_io(struct emu_nvme_req *req);
int emu_nvme_identify(struct emu_nvme_req *req);
int emu_nvme_get_features(struct emu_nvme_req *req);
int emu_nvme_set_features(struct emu_nvme_req *req);
int emu_nvme_get_log_page(struct emu_nvme_req *req);

/* nvme_manage.c */
static inline bool emu_nvme_ns_allocated(const struct emu_nvme *ctrl, uint32_t nsid)
{
	return nsid > 0 && nsid <= ctrl->opts.namespaces && ctrl->namespaces[nsid - 1].allocated;
}
static inline bool emu_nvme_ns_attached(const struct emu_nvme *ctrl, uint32_t nsid)
{
	return nsid > 0 && nsid <= ctrl->opts.namespaces && ctrl->namespaces[nsid - 1].attached;
}
void emu_nvme_manage_init(struct emu_nvme *ctrl);
/* The most blocks of a namespace. */
uint64_t emu_nvme_place_blocks(const struct emu_nvme *ctrl);
/* LBA formats (nvme_md.c): of 512 bytes, and of 4096; then the same with metadata. */
unsigned emu_nvme_formats(const struct emu_nvme *ctrl);
int emu_nvme_format(struct emu_nvme_req *req);
int emu_nvme_ns_management(struct emu_nvme_req *req);
int emu_nvme_ns_attachment(struct emu_nvme_req *req);
int emu_nvme_sanitize(struct emu_nvme_req *req);
bool emu_nvme_sanitizing(const struct emu_nvme *ctrl);
/* Log pages: fill one in, which is zero. @return its bytes. */
size_t emu_nvme_changed_list(struct emu_nvme *ctrl, void *out);
size_t emu_nvme_sanitize_log(const struct emu_nvme *ctrl, void *out);

/* nvme_reports.c */
void emu_nvme_reports_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ctrl *id);
bool emu_nvme_reports_is_log(const struct emu_nvme *ctrl, unsigned page);
/* Fills one in. @return its bytes. */
size_t emu_nvme_reports_log(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd, uint8_t *out);
int emu_nvme_get_lba_status(struct emu_nvme_req *req);
/* bad=; @return 0; -EINVAL, logged. */
int emu_nvme_reports_init(struct emu_nvme *ctrl);

/* nvme_security.c */
int emu_nvme_security_send(struct emu_nvme_req *req);
int emu_nvme_security_receive(struct emu_nvme_req *req);

/* nvme_firmware.c */
void emu_nvme_firmware_init(struct emu_nvme *ctrl);
void emu_nvme_firmware_reset(struct emu_nvme *ctrl);
int emu_nvme_fw_download(struct emu_nvme_req *req);
int emu_nvme_fw_commit(struct emu_nvme_req *req);
size_t emu_nvme_firmware_log(const struct emu_nvme *ctrl, void *out);
void emu_nvme_self_test_reset(struct emu_nvme *ctrl);
int emu_nvme_self_test(struct emu_nvme_req *req);

/* ---- The host memory buffer (nvme_hmb.c) ---- */

int emu_nvme_hmb_init(struct emu_nvme *ctrl); /* @return 0; -1 no memory, to be ended all the same */
void emu_nvme_hmb_fini(struct emu_nvme *ctrl);
void emu_nvme_hmb_reset(struct emu_nvme *ctrl);
void emu_nvme_hmb_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ctrl *id);
int emu_nvme_hmb_set(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd);
/* With each I/O command, under its queue's lock. */
void emu_nvme_hmb_use(struct emu_nvme *ctrl);

/* ---- The controller memory buffer (nvme_cmb.c), with all queues at rest ---- */

/* cmb_for=; @return 0; -EINVAL, logged */
int emu_nvme_cmb_parse(const char *text, struct emu_nvme_opts *out);
void emu_nvme_cmb_init(struct emu_nvme *ctrl);
void emu_nvme_cmb_reset(struct emu_nvme *ctrl, bool function);
void emu_nvme_cmb_write(struct emu_nvme *ctrl, uint64_t cmbmsc);
uint32_t emu_nvme_cmb_read(const struct emu_nvme *ctrl, size_t offset); /* one of its registers */
/*
 * Whether a queue, an entry of a list, or data may be where it is, as far as the buffer is concerned.
 * @param support  what CMBSZ has to offer for it. @return a status. Under a queue's lock.
 */
uint16_t emu_nvme_cmb_queue(const struct emu_nvme *ctrl, uint64_t iova, uint64_t bytes, uint32_t support);
uint16_t emu_nvme_cmb_list(const struct emu_nvme_req *req, uint64_t iova);
uint16_t emu_nvme_cmb_data(struct emu_nvme_req *req, uint64_t iova, uint32_t support);

/* ---- The persistent memory region (nvme_pmr.c), under registers ---- */

int emu_nvme_pmr_open(struct emu_nvme *ctrl); /* @return 0; -errno, logged, to be closed all the same */
void emu_nvme_pmr_close(struct emu_nvme *ctrl);
void emu_nvme_pmr_control(struct emu_nvme *ctrl, uint32_t value); /* PMRCTL */
uint32_t emu_nvme_pmr_read(struct emu_nvme *ctrl, size_t offset); /* one of its registers */

/* ---- Shadow doorbells (nvme_dbbuf.c), under the queue's lock ---- */

int emu_nvme_dbbuf_config(struct emu_nvme_req *req);
/* A queue begins, or goes on with its doorbells in memory. */
void emu_nvme_dbbuf_sq(struct emu_nvme *ctrl, struct emu_nvme_sq *sq);
void emu_nvme_dbbuf_cq(struct emu_nvme *ctrl, struct emu_nvme_cq *cq);
/* What the host has left there; of queues with a shadow. */
uint32_t emu_nvme_dbbuf_tail(struct emu_nvme *ctrl, struct emu_nvme_sq *sq);
uint32_t emu_nvme_dbbuf_head(struct emu_nvme *ctrl, struct emu_nvme_cq *cq);
size_t emu_nvme_self_test_log(struct emu_nvme *ctrl, void *out);

void emu_nvme_features_reset(struct emu_nvme *ctrl);
/* Of the SMART log: bit 1, the temperature is beyond a threshold. */
unsigned emu_nvme_critical_warning(const struct emu_nvme *ctrl);
/* The features there are, for the log page that lists them. */
bool emu_nvme_feature_exists(const struct emu_nvme *ctrl, unsigned fid);
/* Commands Supported and Effects of an opcode, 0 when there is no such command. */
uint32_t emu_nvme_admin_effects(unsigned opcode);
uint32_t emu_nvme_io_effects(unsigned opcode);

/* nvme_event.c: asynchronous events and the error log. */
#define EMU_NVME_TEMPERATURE 303u /* kelvin: 30 degrees Celsius, always */
void emu_nvme_event_raise(struct emu_nvme *ctrl, enum emu_nvme_event event, unsigned info,
			  unsigned log_page);
/* The host has read the log page of this event: it may come again. */
void emu_nvme_event_unmask(struct emu_nvme *ctrl, unsigned log_page);
/* Complete Asynchronous Event Requests for what has happened; under the lock of queue 0. */
void emu_nvme_event_deliver(struct emu_nvme *ctrl);
void emu_nvme_event_reset(struct emu_nvme *ctrl);
int emu_nvme_event_request(struct emu_nvme_req *req);
void emu_nvme_error_note(struct emu_nvme *ctrl, uint16_t sqid, uint16_t cid, uint16_t status,
			 uint64_t lba, uint32_t nsid);

/* nvme_regs.c */
void emu_nvme_regs_init(struct emu_nvme *ctrl);
uint64_t emu_nvme_regs_read(struct emu_nvme *ctrl, size_t offset, unsigned width);
void emu_nvme_regs_write(struct emu_nvme *ctrl, size_t offset, unsigned width, uint64_t value);
/* Controller level reset; under registers, with all queues at rest. */
void emu_nvme_regs_reset(struct emu_nvme *ctrl);
/* Leave STARTING when it is time; takes registers if nobody has it. */
void emu_nvme_regs_check_ready(struct emu_nvme *ctrl);
/* Set the fatal status. Any thread. */
void emu_nvme_fatal(struct emu_nvme *ctrl, const char *why);

/* nvme_config.c */
void emu_nvme_config_init(struct emu_nvme *ctrl);
void emu_nvme_config_reset(struct emu_nvme *ctrl);
int emu_nvme_config_read(struct emu_nvme *ctrl, unsigned offset, unsigned width, uint32_t *out);
int emu_nvme_config_write(struct emu_nvme *ctrl, unsigned offset, unsigned width, uint32_t value);
/* MSI-X Enable, as the arming of vectors sets it. */
void emu_nvme_config_msix(struct emu_nvme *ctrl, bool on);
/* Memory Space Enable is set and the function is in D0; under registers. */
bool emu_nvme_config_decodes(const struct emu_nvme *ctrl);

/* nvme.c: stop all queues and let them go on; under registers. */
void emu_nvme_freeze(struct emu_nvme *ctrl);
void emu_nvme_thaw(struct emu_nvme *ctrl);
/* Function level reset; under registers, frozen. */
void emu_nvme_function_reset(struct emu_nvme *ctrl);
void emu_nvme_pull_out(struct emu_nvme *ctrl);

#endif
