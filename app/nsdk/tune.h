/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk tune`: what flushing costs here (`tune flush`), and whether no-snoop is worth it for
 * a device (`tune device`).
 */
#ifndef NSDK_APP_TUNE_H
#define NSDK_APP_TUNE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <nsdk/env.h>
#include <nsdk/tune.h>

#include "tool.h"

/* ---- What was asked for (tune_opts.c) ---- */

struct tune_opts {
	struct tool_args args; /* --json and its file */
	bool quick;
	const char *output; /* NULL: where the library looks for it */
	uint64_t sizes[NSDK_TUNE_MAX_POINTS]; /* --sizes, or --bs */
	unsigned size_count;                  /* 0: the usual ones */

	/* tune flush */
	nsdk_cpumask_t cpus; /* empty: the one we are on */
	nsdk_cpumask_t flush_cpus;
	const char *plot;
	bool check;
	bool wbinvd;
	const char *device; /* --device: proof for WBINVD; tune device: the device */

	/* tune device */
	unsigned iodepth;
	unsigned rounds;
	uint64_t runtime_ns;
	uint32_t nsid; /* 0: the first */
};

/* @return TOOL_DONE and *stop set when there is nothing to run (--help), TOOL_USAGE, or TOOL_DONE. */
int tune_flush_opts_parse(const struct tool_command *command, int argc, char **argv,
			  struct tune_opts *out, bool *stop);
int tune_device_opts_parse(const struct tool_command *command, int argc, char **argv,
			   struct tune_opts *out, bool *stop);

/*
 * A list of CPUs that can be had: well formed, online, ours. @p option is its name, for the sentence.
 * @return TOOL_DONE or TOOL_USAGE, said.
 */
int tune_parse_cpus(const struct tool_command *command, const char *option, const char *text,
		    nsdk_cpumask_t *out);

/* ---- The subcommands' subcommands; each @return an exit status ---- */

int tune_flush(const struct tune_opts *opts);  /* tune_flush.c */
int tune_check(const struct tune_opts *opts);  /* tune_flush.c */
int tune_device(const struct tune_opts *opts); /* tune_device.c */

/*
 * The profile to add to: the one in the file, or a new one where there is none, or none that is of any
 * use here (said). @p path has PATH_MAX bytes and gets the file's name.
 * @return 0 or -errno, said.
 */
int tune_profile_open(const struct tune_opts *opts, char *path, struct nsdk_profile **out);

/* A progress line on a terminal (struct nsdk_tune_opts.progress); false after a signal. */
bool tune_progress(void *ctx, unsigned step, unsigned steps, const char *what);

/* ---- Showing (tune_report.c, tune_plot.c) ---- */

/* "123 ns", "12.3 us", "4.56 ms"; @return buf. */
const char *tune_format_ns(uint64_t ns, char *buf, size_t buf_bytes);

void tune_report(const struct nsdk_profile *profile);
void tune_report_device(const struct nsdk_tune_device *device);
void tune_report_check(const struct nsdk_tune_check *checks, unsigned count);
/* The largest ratio of the planner's choices to the best; and of what the profile alone would choose. */
double tune_worst_ratio(const struct nsdk_tune_check *checks, unsigned count);
double tune_static_worst_ratio(const struct nsdk_tune_check *checks, unsigned count);

/* The profile with its crossovers and its file's name; NULL: no memory. */
struct json_object *tune_json(struct nsdk_profile *profile, const char *path);
struct json_object *tune_json_check(const struct nsdk_tune_check *checks, unsigned count,
				    const char *path);
struct json_object *tune_json_device(const struct nsdk_tune_device *device, const char *path);

/* Whether there is a gnuplot to run. */
bool tune_plot_possible(void);
/* @return 0 or -errno, said. */
int tune_plot(const struct nsdk_profile *profile, const char *file);

#endif
