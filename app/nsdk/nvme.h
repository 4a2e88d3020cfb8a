/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk nvme`: what its subcommands share. Names of subcommands and options, the layout of
 * their text and the keys of their JSON are nvme-cli's, so that scripts and habits carry over.
 */
#ifndef NSDK_TOOL_NVME_H
#define NSDK_TOOL_NVME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nsdk/nvme_admin.h>

#include "tool.h"

enum nvme_format {
	NVME_NORMAL,
	NVME_JSON,
	NVME_BINARY,
};

/* A value that may have been given. */
struct nvme_value {
	bool given;
	uint64_t number;
	const char *text;
};

/* All values that any subcommand takes; each uses some of them. */
struct nvme_values {
	struct nvme_value nsid, lid, length, offset, lsp, lsi, csi, entries, aen, uuid_index;
	struct nvme_value fid, select, cdw2, cdw3, cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
	struct nvme_value value, file, nsze, ncap, flbas, dps, nmic, anagrp, nvmset, block_size;
	struct nvme_value controllers, lbaf, ses, pi, pil, ms, action, passes, pattern, slot, bpid;
	struct nvme_value slba, descs, state, area, generate, range;
	struct nvme_value opcode, flags, prefill, rsvd, code, secp, spsp, nssf, chunk, timeout;
	bool all, save, rae, raw, read, write, no_dealloc, ause, invert, wait, yes, show, dry_run;
	bool extended, partial, words, fua, limited_retry;
	struct nvme_value endgid, handle, pids, types, conf, target, endir;
	bool enable, disable, host, controller, groups;
	struct nvme_value blocks, slbas, attrs, sdlba, crkey, prkey, nrkey, rtype, cptpl, cntid;
	struct nvme_value prinfo, ref_tag, app_tag, app_mask, metadata, metadata_bytes, hints;
	bool deallocate, idr, idw, iekey, latency;
};

enum nvme_kind {
	NVME_NUMBER,
	NVME_TEXT,
	NVME_FLAG, /* a bool */
};

struct nvme_option {
	const char *name;
	char letter; /* 0: none */
	enum nvme_kind kind;
	uint16_t offset; /* in struct nvme_values */
	uint64_t max;
	const char *help;
};
#define NVME_NUMBER_OPTION(name, letter, member, max, help)                                        \
	{ name, letter, NVME_NUMBER, offsetof(struct nvme_values, member), max, help }
#define NVME_TEXT_OPTION(name, letter, member, help)                                               \
	{ name, letter, NVME_TEXT, offsetof(struct nvme_values, member), 0, help }
#define NVME_FLAG_OPTION(name, letter, member, help)                                               \
	{ name, letter, NVME_FLAG, offsetof(struct nvme_values, member), 0, help }
#define NVME_END { NULL, 0, NVME_FLAG, 0, 0, NULL }
/* What several subcommands take. */
#define NVME_NSID_OPTION(help) NVME_NUMBER_OPTION("namespace-id", 'n', nsid, UINT32_MAX, help)
#define NVME_ONE_NSID_OPTION NVME_NSID_OPTION("namespace [the only one]")
#define NVME_TIMEOUT_OPTION(letter)                                                                \
	NVME_NUMBER_OPTION("timeout", letter, timeout, 86400000, "milliseconds to wait for the answer")
#define NVME_RAW_OPTION NVME_FLAG_OPTION("raw-binary", 'b', raw, "show it as bytes")

struct nvme_run;

struct nvme_sub {
	const char *name;
	const char *summary;
	const struct nvme_option *options;
	/* What it destroys, for the sentence that asks for --yes; NULL: nothing. */
	const char *danger;
	/* Before the device is touched: what is missing or cannot be. NULL: nothing to check. */
	int (*check)(struct nvme_run *run);
	int (*run)(struct nvme_run *run);
	bool binary; /* it can show its result as bytes (--output-format=binary) */
};

/* One run of a subcommand. */
struct nvme_run {
	const struct nvme_sub *sub;
	struct tool_command command; /* for usage sentences: "nvme id-ctrl" */
	char title[32];
	struct tool_args args; /* json, json_file */
	const char *device;
	struct nvme_values v;
	enum nvme_format format;
	/* While the device is attached. */
	struct nsdk_mem *mem;
	struct nsdk_device *dev;
	struct nsdk_nvme_ctrlr *ctrlr;
};

extern const struct nvme_sub *const nvme_subs[]; /* NULL at the end */

/* ---- Helpers (nvme.c) ---- */

/* A wrong value or a missing option. @return TOOL_USAGE. */
int nvme_usage(struct nvme_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Send an admin command and wait; an error status has been said.
 * @param cpl  may be NULL.
 * @return TOOL_DONE or TOOL_FAILED.
 */
int nvme_send(struct nvme_run *run, const struct nsdk_nvme_cmd *cmd, void *data, size_t bytes,
	      struct nsdk_nvme_cpl *cpl);
/* The same of an I/O command, on a queue pair of its own (nvme_raw.c). */
int nvme_send_io(struct nvme_run *run, const struct nsdk_nvme_cmd *cmd, void *data, size_t bytes,
		 struct nsdk_nvme_cpl *cpl);
/* The same of one that a function of the driver makes, as nsdk_nvme_read(). */
struct nvme_io {
	const char *what; /* it, in words */
	/* Called once, with the data where the device reaches it. @return 0 or -errno. */
	int (*issue)(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
		     nsdk_nvme_cb cb, void *ctx);
	const void *args; /* for it */
	void *data;
	size_t bytes;
	enum nsdk_dma_dir dir;
	uint64_t took_ns; /* afterwards */
};
int nvme_do_io(struct nvme_run *run, struct nsdk_nvme_ns *ns, struct nvme_io *io, struct nsdk_nvme_cpl *cpl);
/* Identify into a page of 4096 bytes; @p cdw11 is what the CNS has it for. @return an exit status. */
int nvme_identify_page(struct nvme_run *run, uint8_t cns, uint32_t nsid, uint32_t cdw11, void *page);
/*
 * The same of what is to be shown.
 * @return whether it is to be shown in words; otherwise it was shown, or said, and *status came of it.
 */
bool nvme_identify(struct nvme_run *run, uint8_t cns, uint32_t nsid, uint32_t cdw11, void *page, int *status);
/* A log page, or the first of it. @return an exit status. */
int nvme_log(struct nvme_run *run, const struct nsdk_nvme_log_opts *opts, void *data, size_t bytes);
/*
 * Something was not done, as an errno has it. Whoever found that has said so, or it is said here.
 * @param what  it, in words.
 * @return TOOL_FAILED.
 */
int nvme_failed(struct nvme_run *run, const char *what, int err);
/* The same, if @p err; else of the error status that it ended with, if it did. @return an exit status. */
int nvme_done(struct nvme_run *run, const char *what, int err, const struct nsdk_nvme_cpl *cpl);
/* The same of a log page. */
int nvme_log_done(struct nvme_run *run, uint8_t lid, int err, const struct nsdk_nvme_cpl *cpl);
/* Say that a command ended with an error status, if it did. */
int nvme_status(struct nvme_run *run, const char *what, const struct nsdk_nvme_cpl *cpl);

/* --namespace-id, or the only active namespace; says what is missing otherwise. 0: it was said. */
uint32_t nvme_nsid(struct nvme_run *run);
/* The same, active; it was said otherwise. */
struct nsdk_nvme_ns *nvme_ns(struct nvme_run *run);
/* Whether the blocks are in the namespace; it was said otherwise. */
bool nvme_has_blocks(struct nvme_run *run, struct nsdk_nvme_ns *ns, uint64_t slba, uint64_t blocks);
/*
 * Numbers that commas separate, as --slbs=1,0x20.
 * @return how many, at most @p room; 0: it was said what is wrong.
 */
unsigned nvme_numbers(struct nvme_run *run, const char *option, const char *text, uint64_t max, uint64_t *out,
		      unsigned room);
/* --namespace-id, or all. */
uint32_t nvme_nsid_or_all(const struct nvme_run *run);
/* --timeout in ns; 0: not given. */
uint64_t nvme_timeout_ns(const struct nvme_run *run);

/* --raw-binary, or the format of that name. */
static inline bool nvme_wants_bytes(const struct nvme_run *run)
{
	return run->v.raw || run->format == NVME_BINARY;
}

/* "nvme0" in nvme-cli's headings is the device's words here. */
const char *nvme_name(const struct nvme_run *run);

/* ---- Output (nvme_show.c) ---- */

struct json_object;

/* Bytes as they are. */
int nvme_show_bytes(const void *data, size_t bytes);
/* Rows of 16 bytes, with their characters. */
void nvme_show_hex(const void *data, size_t bytes);
/* Print, and put the object. @return an exit status. */
int nvme_show_json(struct nvme_run *run, struct json_object *object);
void nvme_put(struct json_object *object, const char *key, uint64_t value);
void nvme_put_text(struct json_object *object, const char *key, const char *text);
/* 16 bytes, little endian, in decimal; @return buf. */
const char *nvme_wide(const void *data, char *buf, size_t buf_bytes);
/* 16 bytes, as 00112233-4455-6677-8899-aabbccddeeff; @return buf. */
const char *nvme_uuid(const uint8_t uuid[16], char *buf, size_t buf_bytes);
/* A number with an SI suffix, as "512.00 kB"; @return buf. */
const char *nvme_si(double bytes, char *buf, size_t buf_bytes);
/* Read a file whole, or the standard input ("-"). @return bytes allocated, NULL: it was said. */
void *nvme_read_file(const char *path, size_t max, size_t *bytes);

/* ---- Formats of blocks (nvme_formats.c) ---- */

void nvme_put_formats(struct json_object *object, const struct nsdk_nvme_id_ns *id);
/* @param in_use  with a word for the one that the blocks have. */
void nvme_print_formats(const struct nsdk_nvme_id_ns *id, bool in_use);

/* ---- Subcommands ---- */

extern const struct nvme_sub nvme_id_ctrl, nvme_id_ns, nvme_ns_descs, nvme_list_ns; /* nvme_id.c */
extern const struct nvme_sub nvme_smart_log, nvme_error_log, nvme_fw_log, nvme_get_log,
	nvme_effects_log, nvme_self_test_log, nvme_sanitize_log;                /* nvme_logs.c */
extern const struct nvme_sub nvme_telemetry_log, nvme_ana_log, nvme_get_lba_status; /* nvme_reports.c */
extern const struct nvme_sub nvme_get_feature, nvme_set_feature;                /* nvme_feature.c */
extern const struct nvme_sub nvme_format, nvme_sanitize, nvme_create_ns, nvme_delete_ns,
	nvme_attach_ns, nvme_detach_ns;                                         /* nvme_ns.c */
extern const struct nvme_sub nvme_fw_download, nvme_fw_commit, nvme_device_self_test,
	nvme_security_send, nvme_security_recv, nvme_reset;                     /* nvme_device.c */
extern const struct nvme_sub nvme_admin_passthru, nvme_io_passthru, nvme_flush; /* nvme_raw.c */
extern const struct nvme_sub nvme_read, nvme_write, nvme_compare;                /* nvme_rw.c */
extern const struct nvme_sub nvme_dsm, nvme_write_zeroes, nvme_write_uncor, nvme_verify,
	nvme_copy;                                                              /* nvme_blocks.c */
extern const struct nvme_sub nvme_resv_register, nvme_resv_acquire, nvme_resv_release,
	nvme_resv_report;                                                       /* nvme_resv.c */
extern const struct nvme_sub nvme_list_ctrl, nvme_list_endgrp, nvme_nvm_id_ctrl,
	nvme_cmdset_ind_id_ns, nvme_id_iocs, nvme_primary_ctrl_caps, nvme_list_secondary, nvme_id_nvmset,
	nvme_id_domain, nvme_id_ns_granularity, nvme_id_uuid;                   /* nvme_lists.c */
extern const struct nvme_sub nvme_nvm_id_ns, nvme_id_ns_lba_format,
	nvme_nvm_id_ns_lba_format;                                              /* nvme_formats.c */
extern const struct nvme_sub nvme_show_regs;                                    /* nvme_regs.c */
extern const struct nvme_sub nvme_zns_id_ctrl, nvme_zns_id_ns, nvme_zns_report_zones, nvme_zns_open_zone,
	nvme_zns_close_zone, nvme_zns_finish_zone, nvme_zns_reset_zone, nvme_zns_offline_zone,
	nvme_zns_set_zone_desc, nvme_zns_zone_append;                           /* nvme_zns.c */
extern const struct nvme_sub nvme_fdp_configs, nvme_fdp_usage, nvme_fdp_stats, nvme_fdp_events,
	nvme_fdp_status, nvme_fdp_update, nvme_fdp_set_events, nvme_fdp_feature; /* nvme_fdp.c */
extern const struct nvme_sub nvme_dir_receive, nvme_dir_send;                   /* nvme_directive.c */

#endif
