/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the subcommands of nsdk share: how they are called, how they speak, how they read options.
 */
#ifndef NSDK_TOOL_H
#define NSDK_TOOL_H

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nsdk/env.h>
#include <nsdk/log.h>
#include <nsdk/pci.h>

struct json_object;

/* Exit statuses, the same for every subcommand. */
enum {
	TOOL_DONE = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
};

struct tool_command {
	const char *name;
	const char *summary; /* one line, for `nsdk --help` */
	const char *help;    /* the whole text of `nsdk NAME --help` */
	int (*run)(const struct tool_command *self, int argc, char **argv);
};

extern const struct tool_command tool_doctor;
extern const struct tool_command tool_list;
extern const struct tool_command tool_bind;
extern const struct tool_command tool_unbind;
extern const struct tool_command tool_identify;
extern const struct tool_command tool_nvme;
extern const struct tool_command tool_perf;
extern const struct tool_command tool_tune;

/* All of them, NULL at the end (commands.c). */
extern const struct tool_command *const tool_commands[];

/* What main() does once the process is set up: find the subcommand, run it. */
int tool_main(int argc, char **argv);

/* ---- Speaking (say.c) ---- */

/* One sentence on the standard error, "nsdk: SENTENCE". Threading: any thread. */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line on the standard error as it is, whole even beside other threads' sentences. */
void tool_say_line(const char *text);

/* The sentence for wrong usage, with where to read more. @return TOOL_USAGE. */
int tool_usage(const struct tool_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Whether a sentence of this level, or worse, was said since tool_log_start(), or since what was
 * said until then was forgotten, as it was of something else. The tool's own are NSDK_LOG_ERROR.
 */
bool tool_said(enum nsdk_log_level level);
void tool_said_forget(void);

/* Make the library's sentences the tool's. */
void tool_log_start(void);
void tool_log_verbose(void);

/*
 * From begin to end the library's sentences are kept instead of printed; end gives the last error
 * ("" when there was none). They do not nest.
 */
void tool_log_capture_begin(void);
void tool_log_capture_end(char *out, size_t out_bytes);

/* A line on the terminal that is rewritten in place; sentences step aside for it. NULL clears it. */
void tool_status_line(const char *text);

/* ---- Signals (stop.c) ---- */

/* From install to remove, SIGINT, SIGTERM and SIGHUP are counted and do nothing else. */
void tool_stop_install(void);
void tool_stop_remove(void);
/* How often the user asked to stop: once, finish what is outstanding; twice, do not even that. */
unsigned tool_stop_requests(void);

/* ---- Options (options.c) ---- */

/* Values of `val` in a subcommand's table start here; below are the common ones. */
#define TOOL_OPT_FIRST 256
#define TOOL_OPT_END (-1)
#define TOOL_OPT_STOP (-2) /* leave with tool_args.status */

#define TOOL_COMMON_OPTIONS                                                                       \
	{ "help", no_argument, NULL, 'h' }, { "json", optional_argument, NULL, 'j' },             \
		{ "verbose", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 }

struct tool_args {
	const struct tool_command *command;
	const struct option *options;
	int argc;
	char **argv;
	int status;            /* after TOOL_OPT_STOP */
	bool json;
	const char *json_file; /* NULL: the standard output */
};

void tool_args_init(struct tool_args *args, const struct tool_command *command,
		    const struct option *options, int argc, char **argv);
/* The next option of the subcommand's own; its value is optarg. */
int tool_args_next(struct tool_args *args);

/* Whole number, decimal or 0x…. @return 0; -EINVAL not one; -ERANGE outside min … max. */
int tool_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Bytes, with k, m, g, t or p for powers of 1024 as fio has them. Same errors. */
int tool_parse_bytes(const char *text, uint64_t *out);
/* Time, in seconds unless us, ms, s, m, h or d is said. Same errors. */
int tool_parse_duration(const char *text, uint64_t *out_ns);
/* The same above 0, which an option has to be. @return TOOL_DONE; TOOL_USAGE, said. */
int tool_parse_time(const struct tool_command *command, const char *option, const char *text,
		    uint64_t *out_ns);
/* Bytes, or a percentage ("20%") of something known later. */
struct tool_amount {
	bool given;
	bool is_percent;
	uint64_t value;
};
int tool_parse_amount(const char *text, struct tool_amount *out);
uint64_t tool_amount_of(const struct tool_amount *amount, uint64_t whole);

/*
 * A CPU list, as 0 or 0,2-3; else says so. Whether its CPUs can be had is another question.
 * @option: its name without dashes. @return TOOL_DONE or TOOL_USAGE.
 */
int tool_parse_cpus(const struct tool_command *command, const char *option, const char *text,
		    nsdk_cpumask_t *out);

/* Whether the text is a device's words by their look: "pci:…", an address, "emu:…". */
bool tool_is_device(const char *text);

/* The PCI address in a positional argument; else says so. @return 0 or TOOL_USAGE. */
int tool_parse_pci(const struct tool_command *command, const char *text, struct nsdk_pci_addr *out);

/* ---- PCI functions (list.c) ---- */

/* Base class 01h (storage), sub-class 08h (non-volatile memory), interface 02h (NVM Express). */
#define TOOL_CLASS_NVME 0x010802u

/* What is known of a function without opening it, as a new object; `list` and `doctor` show it. */
struct json_object *tool_pci_json(const struct nsdk_pci_info *info);

/* ---- Output (output.c) ---- */

/*
 * Where a result in JSON will go: made before the work, so that a wrong file name is found before
 * a disk has been written for an hour. It appears whole or not at all: a regular file is written
 * beside its place and then renamed.
 */
struct tool_json_out {
	const char *file; /* NULL: the standard output */
	char *temporary;  /* what is renamed to it; NULL: written directly */
	int fd;
};
/* @return 0 or -errno, said. */
int tool_json_open(struct tool_json_out *out, const char *file);
/* Write the object and close. @return 0 or -errno, said. */
int tool_json_commit(struct tool_json_out *out, struct json_object *object);
/* Close without a trace; after a commit, nothing. */
void tool_json_discard(struct tool_json_out *out);
/* The three in one, for results that cost nothing. Puts the object. @return an exit status. */
int tool_json_print(const struct tool_args *args, struct json_object *object);

/* The standard output could be written to the end. @return status, or TOOL_FAILED and it is said. */
int tool_finish_stdout(int status);

/* "1.5 GiB", "4 KiB", "512 B"; @return buf. */
const char *tool_format_bytes(double bytes, char *buf, size_t buf_bytes);
/* "123k", "1.2M"; @return buf. */
const char *tool_format_count(double count, char *buf, size_t buf_bytes);

#endif
