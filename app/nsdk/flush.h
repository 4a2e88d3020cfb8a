/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to the tool: --flush-cpus, --wbinvd and what they did (nsdk_flush_setup()). */
#ifndef NSDK_TOOL_FLUSH_H
#define NSDK_TOOL_FLUSH_H

#include <nsdk/coherence.h>

#include "tool.h"

struct json_object;

/* What a command was told; the strings are its arguments. */
struct flush_opts {
	const char *flush_cpus;
	const char *wbinvd_cpus;
	enum nsdk_wbinvd wbinvd;
	unsigned wbinvd_per_second;
	bool wbinvd_limits_given; /* something that --wbinvd=off makes pointless */
};

/* Numbers of the options, first … first + FLUSH_OPTS - 1, in the order of FLUSH_OPTIONS(). */
#define FLUSH_OPTS 4
#define FLUSH_OPTIONS(first)                                                 \
	{ "flush-cpus", required_argument, NULL, (first) },                  \
	{ "wbinvd", required_argument, NULL, (first) + 1 },                  \
	{ "wbinvd-per-second", required_argument, NULL, (first) + 2 },       \
	{ "wbinvd-cpus", required_argument, NULL, (first) + 3 }

/* For the command's help. */
#define FLUSH_HELP \
	"  --flush-cpus=LIST   CPUs, as 2 or 2-3, that do nothing but flush, and share in large\n" \
	"                      batches; not those that do I/O [none]\n" \
	"  --wbinvd=off|kvm    clean very large batches by WBINVD on the CPUs that stored to them,\n" \
	"                      through KVM with the device as the proof. It slows down everything\n" \
	"                      else on the machine [off]\n" \
	"  --wbinvd-per-second=N  at most so many, all CPUs added up [10]\n" \
	"  --wbinvd-cpus=LIST  where it may run [the CPUs that do I/O]\n"

/* Take option number @p index of them, from optarg. @return TOOL_DONE; TOOL_USAGE, said. */
int flush_option(const struct tool_command *command, unsigned index, struct flush_opts *opts);
/* What only shows once all options are known. */
int flush_check(const struct tool_command *command, const struct flush_opts *opts);

/* After nsdk_env_init(), before the first device. @return 0; -errno, said. */
int flush_setup(const struct flush_opts *opts);
/* Whether there is something to tell of. */
bool flush_wanted(const struct flush_opts *opts);
/* What it did: a line or two for people; an object for programs, NULL: no memory. */
void flush_print(const struct flush_opts *opts);
struct json_object *flush_json(void);

#endif
