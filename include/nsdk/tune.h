/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What flushing costs on this machine: measuring it, and the profile in which it is kept.
 *
 * The no-snoop engine chooses between several ways of cleaning a batch's cache lines. Which is the
 * cheapest depends on the machine, so it is measured once (nsdk_tune_flush(), `nsdk tune flush`) and
 * kept in a profile, a JSON file that the library reads when its first engine becomes active. The
 * profile also remembers, device by device, whether no-snoop was worth it (`nsdk tune device`);
 * policy `auto` follows that.
 *
 * Without a profile everything works, with cautious defaults.
 */
#ifndef NSDK_TUNE_H
#define NSDK_TUNE_H

#include <nsdk/bus.h>
#include <nsdk/coherence.h>
#include <nsdk/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Points of a table at most. */
#define NSDK_TUNE_MAX_POINTS 32
/** The largest size that is measured, in bytes. */
#define NSDK_TUNE_MAX_BYTES ((uint64_t)1 << 30)

/** What a table is the cost of. */
enum nsdk_tune_what {
	NSDK_TUNE_LINES,  /**< line operations and a fence, on one CPU */
	NSDK_TUNE_CREW,   /**< the same, shared with flush CPUs */
	NSDK_TUNE_WBINVD, /**< a whole-cache write-back; the size is what is dirty */
	NSDK_TUNE_COPY,   /**< copying in with non-temporal stores, which leaves nothing to flush */
	NSDK_TUNE_FILL,   /**< filling with non-temporal stores */
	NSDK_TUNE_MEMCPY, /**< an ordinary copy, then a write-back: what the copy above saves */
};

/** Which line operation. */
enum nsdk_tune_way {
	NSDK_TUNE_WRITEBACK,  /**< write back; may stay cached */
	NSDK_TUNE_INVALIDATE, /**< write back and invalidate */
};

/** What state the lines were in before. */
enum nsdk_tune_state {
	NSDK_TUNE_DIRTY,  /**< just written by the CPU that flushes */
	NSDK_TUNE_CLEAN,  /**< cached, the same as memory */
	NSDK_TUNE_ABSENT, /**< not cached */
};

/** One size of a table. */
struct nsdk_tune_point {
	uint64_t bytes;   /**< how much memory; of NSDK_TUNE_WBINVD: dirty memory */
	uint64_t ns;      /**< typical, see nsdk_tune_flush() */
	uint64_t low_ns;  /**< a quarter of the samples was below this */
	uint64_t high_ns; /**< a quarter was above this */
};

/** Cost against size. */
struct nsdk_tune_table {
	enum nsdk_tune_what what;   /**< of what */
	enum nsdk_tune_way way;     /**< with which operation; WRITEBACK where it makes no difference */
	enum nsdk_tune_state state; /**< of lines in which state; DIRTY where it makes no difference;
					 COPY, FILL and MEMCPY: of the destination, ABSENT */
	unsigned cpus;              /**< CREW: flush CPUs beside the submitting one; WBINVD: CPUs; else 1 */
	unsigned count;             /**< points used */
	struct nsdk_tune_point points[NSDK_TUNE_MAX_POINTS]; /**< bytes rise from each to the next */
};

/** What was found out about one device at one block size; medians. */
struct nsdk_tune_device_point {
	uint64_t block_bytes;     /**< bytes of one I/O */
	uint64_t coherent_iops;   /**< I/Os a second with snooped DMA */
	uint64_t coherent_cpu_ns; /**< CPU time of one, waiting not included */
	uint64_t nosnoop_iops;    /**< past the caches; 0: not measured */
	uint64_t nosnoop_cpu_ns;  /**< past the caches; 0: not measured */
};

/** Key of a device, at most; see nsdk_tune_device_key(). */
#define NSDK_TUNE_KEY_BYTES 64

/** What was found out about one device. */
struct nsdk_tune_device {
	char key[NSDK_TUNE_KEY_BYTES]; /**< nsdk_tune_device_key() */
	enum nsdk_policy winner;       /**< COHERENT or NOSNOOP */
	char reason[240];              /**< why, in words */
	char date[24];                 /**< when, UTC, "2026-01-31T12:00:00Z"; set by the profile */
	unsigned count;                /**< points used */
	struct nsdk_tune_device_point points[NSDK_TUNE_MAX_POINTS]; /**< by block size */
};

/* ---- Profiles ---- */

struct nsdk_profile;

/** An empty profile for this CPU. @return 0; -ENOMEM; free it with nsdk_profile_free(). */
int nsdk_profile_create(struct nsdk_profile **out);

/** Free. NULL is fine. */
void nsdk_profile_free(struct nsdk_profile *profile);

/**
 * Where the profile is: $NSDK_PROFILE, else $XDG_CONFIG_HOME/nsdk/flush-profile.json (XDG_CONFIG_HOME
 * being ~/.config when it is not set), else /etc/nsdk/flush-profile.json.
 *
 * @param for_writing  the first of these places; else the first where there is a file.
 * @return 0; -ENOENT none (nothing logged); -ENAMETOOLONG.
 */
int nsdk_profile_path(bool for_writing, char *path, size_t path_bytes);

/**
 * Read the profile in force. Never fatal: what is wrong with it is said in one sentence, and then
 * there is none.
 *
 * @param out  the profile, or NULL: there is none, it is unreadable, damaged, of a newer format or of
 *             another CPU.
 * @return 0; -ENOMEM.
 */
int nsdk_profile_load(struct nsdk_profile **out);

/**
 * Read one file.
 *
 * @param why  NULL: what is wrong is logged, at NSDK_LOG_NOTICE; else it is written there and not
 *             logged. A file that is not there is never logged.
 * @return 0; -ENOENT; -EACCES and the like; -EBADMSG damaged; -EOPNOTSUPP a newer format;
 *         -EXDEV measured on another CPU; -ENOMEM.
 */
int nsdk_profile_read(const char *path, char *why, size_t why_bytes, struct nsdk_profile **out);

/**
 * Write it to a file, which appears whole or not at all; folders are made. What a file that was read
 * holds beside what the library knows is kept.
 * @return 0 or -errno, logged.
 */
int nsdk_profile_write(struct nsdk_profile *profile, const char *path);

/** The same as text, JSON; free() it. NULL: no memory. */
char *nsdk_profile_text(struct nsdk_profile *profile);

/** The tables; count is 0 when nsdk_tune_flush() has not been run. Valid until changed or freed. */
const struct nsdk_tune_table *nsdk_profile_tables(const struct nsdk_profile *profile,
						  unsigned *count);
/** One of them; NULL when it was not measured. */
const struct nsdk_tune_table *nsdk_profile_table(const struct nsdk_profile *profile,
						 enum nsdk_tune_what what, enum nsdk_tune_way way,
						 enum nsdk_tune_state state, unsigned cpus);
/** Why a thing was not measured, or ""; CREW and WBINVD can be missing. */
const char *nsdk_profile_skipped(const struct nsdk_profile *profile, enum nsdk_tune_what what);
/** The CPU's name as it calls itself. */
const char *nsdk_profile_cpu_name(const struct nsdk_profile *profile);
/** When the flushes were measured, UTC, ISO 8601; "" never. */
const char *nsdk_profile_date(const struct nsdk_profile *profile);

/**
 * A device's key: "VVVV:DDDD:SSSS:ssss@0000:03:00.0" (vendor, device, subsystem vendor, subsystem), or
 * "emu:nvme" for every model of that kind.
 * @return 0; -errno, its config space cannot be read.
 */
int nsdk_tune_device_key(struct nsdk_device *dev, char key[NSDK_TUNE_KEY_BYTES]);

/** What is recorded of a device; NULL: nothing. Valid until changed or freed. */
const struct nsdk_tune_device *nsdk_profile_device(const struct nsdk_profile *profile,
						   const char *key);
/** Record a device, replacing what was recorded; the date is set. @return 0; -EINVAL; -ENOMEM. */
int nsdk_profile_set_device(struct nsdk_profile *profile, const struct nsdk_tune_device *device);

/**
 * What policy `auto` is to do with a device: NSDK_POLICY_COHERENT when that was found to be better,
 * NSDK_POLICY_AUTO (no-snoop where permitted) when no-snoop was, when nothing is recorded, or when
 * no-snoop was not permitted at that time.
 * @param profile  NULL: nothing is recorded.
 */
enum nsdk_policy nsdk_profile_auto_policy(const struct nsdk_profile *profile, const char *key);

/** Where one way becomes cheaper than line operations on the submitting CPU alone. */
struct nsdk_tune_crossover {
	enum nsdk_tune_what what; /**< CREW or WBINVD */
	enum nsdk_tune_way way;   /**< of the line operations */
	unsigned cpus;            /**< as in the table */
	uint64_t bytes;           /**< from this size on; 0: at no size that could be seen */
};
/**
 * The crossover points of a profile.
 * @return how many there are; at most @p max are written.
 */
unsigned nsdk_profile_crossovers(const struct nsdk_profile *profile,
				 struct nsdk_tune_crossover *out, unsigned max);

/* ---- Measuring ---- */

/**
 * Told as measuring goes on.
 * @param step    how far, of @p steps.
 * @param what    what comes next, in words.
 * @return whether to go on; false ends the measurement with -EINTR.
 */
typedef bool (*nsdk_tune_progress)(void *ctx, unsigned step, unsigned steps, const char *what);

/** What nsdk_tune_flush() may be told; all zero is a good default. */
struct nsdk_tune_opts {
	size_t opts_bytes;          /**< sizeof(struct nsdk_tune_opts) */
	nsdk_cpumask_t cpus;        /**< CPUs that will submit; each is measured; none: this one */
	nsdk_cpumask_t flush_cpus;  /**< CPUs that will help; none: not measured */
	const uint64_t *sizes;      /**< bytes, rising, whole lines; NULL: 4 KiB to 64 MiB */
	unsigned size_count;        /**< at most NSDK_TUNE_MAX_POINTS */
	bool quick;                 /**< fewer repetitions */
	struct nsdk_device *wbinvd_device; /**< proof for WBINVD through KVM; NULL: not measured */
	nsdk_tune_progress progress;       /**< NULL: nobody is told */
	void *ctx;                         /**< handed to @p progress */
};

/**
 * Measure what flushing costs and put the tables into a profile, replacing those that it has.
 *
 * A table's cost is the median of many samples. The ways that the planner chooses between (line
 * operations on dirty lines, alone and with flush CPUs) take turns round by round, over several passes
 * through all sizes; what flush CPUs cost is the median of the plain way times the mean of the middle
 * half of the ratios to it, and the same as the plain way where the two cannot be told apart. Samples
 * during which others were at work on these CPUs are taken again, within limits.
 *
 * Takes up to a minute of all CPUs named, and twice the largest size of memory, of which one half in
 * hugepages where there are enough free, else in small pages, which is said. Other work on these CPUs
 * spoils it.
 * @return 0; -EINVAL sizes or CPUs; -ENODEV a CPU that is offline or not ours; -EBUSY the machine was
 *         too busy for costs that make sense; -EINTR ended by progress, not logged; other -errno. One
 *         sentence was logged. The profile is changed only when 0.
 * Threading: the calling thread is pinned to one CPU after the other, and gets its affinity back.
 */
int nsdk_tune_flush(const struct nsdk_tune_opts *opts, struct nsdk_profile *profile);

/** The planner's choices against each alternative at one size; all are medians of interleaved samples. */
struct nsdk_tune_check {
	uint64_t bytes;            /**< size of the batch */
	enum nsdk_tune_way way;    /**< which line operation */
	enum nsdk_tune_what chosen; /**< what the planner chose in the end: LINES, CREW or WBINVD */
	unsigned chosen_cpus;      /**< CREW: how many flush CPUs */
	uint64_t chosen_ns;        /**< what its choices took, the planning included */
	enum nsdk_tune_what best;  /**< what was the fastest */
	unsigned best_cpus;        /**< CREW: how many flush CPUs */
	uint64_t best_ns;          /**< what that took */
	uint64_t ratio_ppm;        /**< chosen to best, in millionths: of each round, then the median */
	unsigned alternatives;     /**< how many were tried */
	uint64_t static_ratio_ppm; /**< what the profile alone would have chosen, to best: the same median */
};

/**
 * Compare the planner's choices with brute force: at each size, and half-way between each size and the
 * next, all alternatives there are and the planner's choice take turns. It learns as it does in a batch,
 * from what its own choices cost, but for samples that other programs spoiled, which count for nobody; its
 * tries of other ways are too few to show in a median. What the profile alone would have chosen is compared
 * as well.
 *
 * @param profile  what the planner works with; NULL: its built-in defaults.
 * @param out      at most @p max results.
 * @return the number of results; -errno as nsdk_tune_flush().
 */
int nsdk_tune_check(const struct nsdk_tune_opts *opts, const struct nsdk_profile *profile,
		    struct nsdk_tune_check *out, unsigned max);

/** "lines", "crew", "wbinvd", "copy", "fill" or "memcpy". */
const char *nsdk_tune_what_name(enum nsdk_tune_what what);
/** "writeback" or "invalidate". */
const char *nsdk_tune_way_name(enum nsdk_tune_way way);
/** "dirty", "clean" or "absent". */
const char *nsdk_tune_state_name(enum nsdk_tune_state state);

#ifdef __cplusplus
}
#endif
#endif
