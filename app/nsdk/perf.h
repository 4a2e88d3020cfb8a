/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk perf`: a run, its devices, and the jobs on them.
 */
#ifndef NSDK_PERF_H
#define NSDK_PERF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nsdk/coherence.h>
#include <nsdk/env.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>
#include <nsdk/nvme_memory.h>
#include <nsdk/nvme_pi.h>
#include <nsdk/reactor.h>

#include "flush.h"
#include "perf_hist.h"
#include "perf_sequence.h"
#include "perf_verify.h"
#include "perf_zones.h"
#include "tool.h"

/* ---- What was asked for (perf_opts.c) ---- */

#define PERF_MAX_DEVICES 64
#define PERF_MAX_JOBS 1024

/* Lines of progress that stay come no closer. */
#define PERF_ETA_LEAST_NS 100000000u

/* When to show progress. */
enum perf_eta {
	PERF_ETA_AUTO, /* on a terminal */
	PERF_ETA_ALWAYS,
	PERF_ETA_NEVER,
};

#define PERF_MAX_PRIORITIES 64u

/* --wrr_priority and what goes with it (perf_wrr.c). */
struct perf_wrr {
	uint8_t priorities[PERF_MAX_PRIORITIES]; /* enum nsdk_nvme_priority, of a device's jobs in turn */
	unsigned count;                          /* 0: no priorities */
	unsigned burst, high_weight, medium_weight, low_weight; /* 0: the driver's default */
};

#define PERF_MAX_PLACEMENTS 128u /* fio's */

/* --fdp and what goes with it (perf_fdp.c). */
struct perf_fdp {
	bool on;
	bool random;    /* else in turn */
	unsigned count; /* 0: all that the namespace has */
	uint16_t places[PERF_MAX_PLACEMENTS]; /* in its list */
};

struct perf_opts {
	struct tool_args args; /* --json and its file */
	const char *rw;        /* as fio calls it */
	bool reads;
	bool writes;
	bool random;
	unsigned rwmixread; /* percent; 100 or 0 where only one is done */
	uint64_t bs_bytes;
	unsigned iodepth;
	unsigned iodepth_batch; /* 0: whatever there is to submit at a time */
	unsigned cmb;           /* NSDK_NVME_CMB_* */
	struct perf_wrr wrr;
	struct perf_fdp fdp;
	unsigned numjobs;
	const char *cpus_allowed; /* NULL: choose */
	uint64_t runtime_ns;      /* 0: none */
	bool time_based;
	uint64_t number_ios; /* 0: none */
	struct tool_amount size;
	struct tool_amount offset;
	bool verify;
	bool zbd; /* --zonemode=zbd */
	bool pi_given; /* any of these */
	bool pi_act;
	uint32_t pi_chk; /* NSDK_NVME_RW_PRCHK_* */
	uint16_t app_tag, app_mask;
	enum nsdk_policy policy;
	bool policy_given;
	struct flush_opts flush;
	bool coherence_check;
	uint64_t check_seed; /* of the adversary */
	uint32_t nsid; /* 0: the first */
	uint64_t seed;
	uint64_t io_timeout_ns;
	uint64_t recovery_ns; /* what aborts and resets may take altogether */
	uint64_t stop_timeout_ns;
	uint64_t ready_timeout_ns; /* 0: as the controller says */
	uint64_t thinktime_ns; /* 0: none */
	enum nsdk_reactor_mode mode;
	uint64_t idle_ns; /* of adaptive mode; 0: the reactor's default */
	enum perf_eta eta;
	uint64_t eta_newline_ns; /* 0: none on a terminal, else a line a second */
	char **devices;
	unsigned device_count;
};

/* @return TOOL_DONE and *stop set when there is nothing to run (--help), TOOL_USAGE, or TOOL_DONE. */
int perf_opts_parse(const struct tool_command *command, int argc, char **argv,
		    struct perf_opts *out, bool *stop);

/* ---- A job (perf_job.c) ---- */

/*
 * What a job goes through, in this order; all jobs of a run go through each stage together.
 * Without --verify there is PERF_RUN alone. Only PERF_RUN is measured.
 */
enum perf_stage {
	PERF_LAY,       /* write what PERF_RUN is going to read */
	PERF_RUN,
	PERF_READ_BACK, /* read what was written */
	PERF_OVER,
};

enum perf_dir {
	PERF_READ,
	PERF_WRITE,
	PERF_DIRS,
};

struct perf_device;
struct perf_job;

/* One I/O in flight, or the place for it. */
struct perf_slot {
	struct perf_job *job;
	void *buf;
	void *cmb;               /* --cmb=data: on the controller, where buf's data goes or comes from */
	void *metadata;          /* where it travels: with the data if it is extended (perf_pi.c) */
	struct iovec iov;        /* the driver's until the I/O is done */
	uint64_t lba;
	uint64_t index;          /* in the job's sequence */
	uint64_t start_ticks;
	uint32_t generation;     /* written, or expected; 0: not to be checked */
	uint8_t dir;             /* enum perf_dir */
	bool in_flight;
};

/*
 * Read by others while the job runs (the progress line), so they are atomic; written by the job's
 * thread alone, so a plain load and store of each will do.
 */
struct perf_counters {
	atomic_uint_fast64_t ios[PERF_DIRS]; /* of PERF_RUN */
	atomic_uint_fast64_t errors;
	atomic_uint_fast64_t verify_errors;
	atomic_uint_fast64_t other_ios; /* of the other stages */
	atomic_int stage;
};

struct perf_job {
	struct perf_run *run;
	struct perf_device *device;
	unsigned number; /* in the run */
	unsigned lcore;
	struct nsdk_nvme_qpair *qp;
	struct nsdk_poller *poller;
	/* To sleep (perf_sleep.c); NULL: it is polled. */
	struct nsdk_nvme_poll_group *group;
	struct nsdk_reactor_fd *wake;
	int group_error;

	/* Where: `units` pieces of --bs from `first_lba` on, in the order of `seq`. */
	uint64_t first_lba;
	uint32_t unit_blocks;
	struct perf_sequence seq;
	uint64_t reach;       /* how many of the sequence are visited: all, or --number_ios */
	uint32_t *generations; /* by index in the sequence, or with zones by unit; --verify only */
	struct perf_zone *zones; /* --zonemode=zbd only */
	uint64_t stripes;        /* zones that are written in turn */
	unsigned zone_commands;  /* in flight that are no I/O */

	struct perf_slot *slots;
	struct perf_slot **free_slots;
	unsigned slot_count;
	unsigned free_count;

	/* The stage: what is next. */
	uint64_t issued;           /* in this stage */
	uint64_t position;         /* in this pass over the sequence */
	uint64_t dir_position[PERF_DIRS]; /* sequential mixed: each direction has its own */
	uint64_t pass;
	uint64_t pass_length;
	uint64_t random_state;
	struct {
		bool valid;
		uint8_t dir;
		uint64_t index;
	} next;
	uint64_t placed;           /* writes with a placement identifier */
	bool exhausted;            /* nothing more to submit in this stage */
	bool waiting;              /* for the other jobs, at the start of the stage */
	uint64_t deadline_ticks;   /* of the stage; UINT64_MAX: none */
	uint64_t resume_ticks;     /* --thinktime: no I/O before; 0: now */
	uint64_t stop_ticks;       /* when it was asked to stop; 0: not */
	uint64_t look_ticks;       /* next look for commands that hang */

	/* What came of it. */
	bool failed;               /* it ended early, and not because somebody asked */
	bool gave_up;              /* commands were left outstanding */
	uint64_t start_ticks;      /* of PERF_RUN */
	uint64_t end_ticks;
	struct {
		bool valid;
		uint8_t dir;
		uint64_t lba;
		uint16_t status;
	} first_error;
	uint64_t blocks_written;
	uint64_t blocks_checked;
	bool read_back;            /* everything written was read back */
	struct perf_counters counters;
	struct perf_hist hist[PERF_DIRS];
};

/* @return 0 or -errno, said. On failure call perf_job_destroy() all the same. */
int perf_job_create(struct perf_job *job);
void perf_job_destroy(struct perf_job *job);
/* The poller. */
int perf_job_poll(void *ctx);

/* ---- Blocks with metadata (perf_pi.c) ---- */

struct perf_pi {
	const struct nsdk_nvme_metadata *md; /* NULL: they have none */
	bool act;       /* the controller makes protection information */
	bool moves;     /* metadata travels */
	uint32_t check; /* NSDK_NVME_RW_PRCHK_* */
};

/* What the options make of the namespace. @return 0 or -errno, said. */
int perf_pi_setup(struct perf_device *device);
/* Memory for what travels; nsdk_dma_free() it. @return 0 or -errno, said. */
int perf_pi_slot(const struct perf_job *job, struct perf_slot *slot);
/* Of a slot with all but its metadata ready. */
void perf_pi_before_write(const struct perf_job *job, const struct perf_slot *slot);
/* @return what was wrong, each said. */
uint32_t perf_pi_after_read(const struct perf_job *job, const struct perf_slot *slot);
/* In place of nsdk_nvme_read() and nsdk_nvme_write(), and as they. */
int perf_pi_submit(struct perf_job *job, struct perf_slot *slot, nsdk_nvme_cb cb);
int perf_pi_parse_chk(const struct tool_command *command, uint32_t *out);

/* ---- Priorities (perf_wrr.c) ---- */

/* A list of them. @return TOOL_DONE, or another status, said. */
int perf_wrr_parse(const struct tool_command *command, const char *text, struct perf_wrr *out);
/* Whether the options go together; likewise. */
int perf_wrr_check(const struct tool_command *command, const struct perf_wrr *wrr);
void perf_wrr_attach(const struct perf_wrr *wrr, struct nsdk_nvme_opts *nvme);
/* Of the queue of a device's so manyth job. */
enum nsdk_nvme_priority perf_wrr_priority(const struct perf_wrr *wrr, unsigned clone);
/* What each class got of the device; nothing where there are none. */
void perf_wrr_print(const struct perf_device *device);
struct json_object *perf_wrr_json(const struct perf_device *device);

/* ---- Placement (perf_fdp.c) ---- */

/* Of optarg. @return TOOL_DONE, or another status, said. */
int perf_fdp_parse_on(const struct tool_command *command, struct perf_fdp *out);
int perf_fdp_parse_list(const struct tool_command *command, struct perf_fdp *out);
int perf_fdp_parse_select(const struct tool_command *command, struct perf_fdp *out);
/* Whether the options go together; likewise. */
int perf_fdp_check(const struct tool_command *command, const struct perf_fdp *fdp);
/* Which identifiers there are. @return 0 or -errno, said. */
int perf_fdp_setup(struct perf_device *device);
/* Put the identifier of a job's next write in. */
void perf_fdp_place(struct perf_job *job, struct nsdk_nvme_io_ext *ext);
/* In place of nsdk_nvme_write(), and as it. */
int perf_fdp_write(struct perf_job *job, struct perf_slot *slot, void *buf, nsdk_nvme_cb cb);
struct json_object *perf_fdp_json(const struct perf_device *device);

/* ---- A device (perf_device.c) ---- */

#define PERF_KEPT_MISMATCHES 64

struct perf_device {
	struct perf_run *run;
	char *spec; /* its words; ours, to free */
	struct nsdk_device *dev;
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_nvme_ns *ns;
	struct nsdk_dma_pool *pool;
	struct nsdk_poller *poller; /* of the admin queue */
	struct nsdk_poller *urgent; /* the same, all the time, while the controller is being mended */
	/* To sleep until the controller has something to tell (perf_sleep.c); NULL: it is looked at. */
	struct nsdk_nvme_poll_group *group;
	struct nsdk_reactor_fd *wake;
	uint32_t block_bytes;
	uint64_t region_lba;    /* of each job, or shared out among them under --verify */
	uint64_t region_units;
	struct perf_zones zones;
	struct perf_pi pi;
	const uint16_t *pids; /* --fdp: the driver's, in ascending order */
	unsigned pid_count;
	struct perf_pattern pattern;
	struct nsdk_nvme_cmb_info cmb; /* with all queues and buffers there */
	atomic_bool failed;     /* the controller itself: its jobs end */
	/* Mismatches of all its jobs, the first of them. */
	atomic_uint kept;
	struct perf_mismatch mismatches[PERF_KEPT_MISMATCHES];
};

/* Attach, find the namespace, work out the region. @return 0 or -errno, said. */
int perf_device_attach(struct perf_device *device);
/* Give everything back. @return 0 or -errno, said. */
int perf_device_detach(struct perf_device *device);
/* The poller of the admin queue. */
int perf_device_poll(void *ctx);
/* Say a mismatch and keep it. */
void perf_device_mismatch(void *ctx, const struct perf_mismatch *mismatch);

/* ---- A run (perf.c) ---- */

struct perf_run {
	struct perf_opts opts;
	struct nsdk_mem *mem;
	struct perf_device *devices;
	struct perf_job *jobs; /* device by device: job j of device d is jobs[d * numjobs + j] */
	unsigned job_count;
	uint64_t violations_shown; /* with --coherence-check: by the result */
	bool misspelt; /* a device's words are no device's */
	uint64_t nonce;
	uint64_t ticks_per_s;
	uint64_t ns_per_tick_32; /* fixed point, 32 bits of fraction */
	atomic_uint ready[PERF_OVER + 1]; /* jobs that are ready to begin that stage, or never will */
	atomic_uint live;                 /* jobs that are not over */
};

static inline uint64_t perf_ticks_to_ns(const struct perf_run *run, uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * run->ns_per_tick_32 >> 32);
}

static inline uint64_t perf_ns_to_ticks(const struct perf_run *run, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * run->ticks_per_s / 1000000000u);
}

/* ---- Sleep (perf_sleep.c) ---- */

const char *perf_mode_name(enum nsdk_reactor_mode mode);
/* --mode, for all lcores. @return 0 or -errno, said. */
int perf_sleep_modes(const struct perf_run *run);
/* Let a job's lcore sleep, if that is wanted and can be. @return 0 or -errno, said. */
int perf_sleep_job(struct perf_job *job);
void perf_sleep_job_end(struct perf_job *job);
/* The same for a device's admin queue, on that lcore; without a poller afterwards where it cannot be. */
int perf_sleep_device(struct perf_device *device, unsigned lcore);
void perf_sleep_device_end(struct perf_device *device);
/* nsdk_nvme_qpair_poll() of a job that may sleep. */
int perf_sleep_poll(struct perf_job *job);
/* Where the time of a device's lcores went. */
void perf_sleep_print(const struct perf_device *device);
struct json_object *perf_sleep_json(const struct perf_device *device);

/* ---- CPUs (perf_cpus.c) ---- */

/*
 * The n-th job's device and place among its clones: one job of each device first, then the next of
 * each, so that lcores that are dealt out in this order make each device as many as possible its own.
 */
static inline unsigned perf_deal_device(const struct perf_opts *opts, unsigned n)
{
	return n % opts->device_count;
}

/*
 * The CPUs to run on when nobody said: as many as there are jobs, in the order in which the jobs are
 * dealt, each near its job's device where such a one is left. A CPU list for nsdk_env_init().
 * @return 0 or -errno, said; free() it.
 */
int perf_cpus_choose(const struct perf_opts *opts, unsigned jobs, char **out);

/* ---- Progress (perf_progress.c) ---- */

struct perf_progress;

/* NULL when none is wanted, or there is no thread; before the CPUs are pinned. */
struct perf_progress *perf_progress_create(const struct perf_run *run);
void perf_progress_start(struct perf_progress *progress);
void perf_progress_destroy(struct perf_progress *progress);

/* ---- --coherence-check (perf_check.c) ---- */

/* What follows from it for the other options. @return TOOL_DONE, or another status, said. */
int perf_check_opts(const struct tool_command *command, struct perf_opts *opts);
/* The device's words with what they lack to be watched. @return NULL, said; else free() it. */
char *perf_check_words(const struct perf_opts *opts, const char *spec);
/* What the model saw: nsdk_cache_model_json(); NULL: no memory, said. */
struct json_object *perf_check_json(void);
void perf_check_print(void);
/* Whether there was anything to see; else says so. */
bool perf_check_watched(struct perf_run *run);

/* ---- The result (perf_result.c, perf_report.c, perf_json.c) ---- */

/* One device's jobs added up. */
struct perf_result {
	const struct perf_device *device;
	const char *name;
	const struct nsdk_snoop_verdict *verdict;
	enum nsdk_policy policy; /* in force */
	uint64_t block_bytes;
	uint64_t ios[PERF_DIRS];
	uint64_t runtime_ns;
	uint64_t errors;
	uint64_t verify_errors;
	uint64_t blocks_written;
	uint64_t blocks_checked;
	bool read_back;
	bool failed;
	bool interrupted;
	struct nsdk_coherence_stats coherence;
	uint64_t violations;
	struct perf_hist hist[PERF_DIRS];
	struct perf_hist all;
};

/* @return 0 or -ENOMEM, said; free() it. */
int perf_result_create(const struct perf_device *device, struct perf_result **out);
/* Whether it is an exit status of 0. */
bool perf_result_good(const struct perf_result *result);
void perf_report(const struct perf_run *run, const struct perf_result *result);
struct json_object *perf_json(const struct perf_run *run, const struct perf_result *result);

#endif
