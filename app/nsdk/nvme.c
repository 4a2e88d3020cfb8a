/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: what an administrator needs of NVMe controllers, by nvme-cli's names.
 *
 * A subcommand is a struct nvme_sub: a table of options, which also makes its help, and a function that
 * is called with the controller attached. Whatever takes data away or may is refused without --yes,
 * before the device is touched.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>
#include <nsdk/mem.h>

#include "nvme.h"

static const char nvme_help[] =
	"usage: nsdk nvme SUBCOMMAND DEVICE [OPTION]...\n"
	"\n"
	"Administer an NVMe controller, with nvme-cli's names of subcommands and options, its layout\n"
	"of text and its keys of JSON. 'nsdk nvme SUBCOMMAND --help' has the options of one.\n"
	"\n"
	"  id-ctrl, id-ns, ns-descs, list-ns, show-regs, list-ctrl, list-endgrp, list-secondary,\n"
	"  primary-ctrl-caps, nvm-id-ctrl, nvm-id-ns, cmdset-ind-id-ns, id-iocs, id-nvmset, id-domain,\n"
	"  id-ns-lba-format, nvm-id-ns-lba-format, id-ns-granularity, id-uuid\n"
	"      what the controller and its namespaces say of themselves\n"
	"  smart-log, error-log, fw-log, effects-log, self-test-log, sanitize-log, telemetry-log,\n"
	"  ana-log, get-log\n"
	"      log pages\n"
	"  get-feature, set-feature\n"
	"      features\n"
	"  create-ns, delete-ns, attach-ns, detach-ns, format, sanitize, get-lba-status\n"
	"      namespaces and what is in them\n"
	"  device-self-test, fw-download, fw-commit, security-send, security-recv, reset\n"
	"      the device\n"
	"  read, write, compare, flush, dsm, write-zeroes, write-uncor, verify, copy\n"
	"      blocks\n"
	"  resv-register, resv-acquire, resv-release, resv-report\n"
	"      reservations\n"
	"  admin-passthru, io-passthru\n"
	"      any command\n"
	"  zns id-ctrl, zns id-ns, zns report-zones, zns open-zone, zns close-zone, zns finish-zone,\n"
	"  zns reset-zone, zns offline-zone, zns set-zone-desc, zns zone-append\n"
	"      zoned namespaces\n"
	"  fdp configs, fdp usage, fdp stats, fdp events, fdp status, fdp update, fdp set-events,\n"
	"  fdp feature, dir-receive, dir-send\n"
	"      flexible data placement and other directives\n"
	"\n"
	"What takes data away wants --yes. Each run attaches the controller, which resets it, and gives\n"
	"it back: a feature that is not saved, and firmware that is not committed, end with the run.\n"
	"\n"
	"A DEVICE is 0000:00:03.0, pci:0000:00:03.0, or emu:nvme[,option=value]... A PCI function that\n"
	"another driver holds is bound to vfio-pci meanwhile and given back.\n"
	"Exit status: 0 done; 1 failed; 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  nsdk nvme smart-log 0000:00:03.0\n"
	"  nsdk nvme id-ns 0000:00:03.0 --namespace-id=1 --output-format=json\n"
	"  nsdk nvme format 0000:00:03.0 --namespace-id=1 --lbaf=1 --yes\n";

const struct nvme_sub *const nvme_subs[] = {
	&nvme_id_ctrl, &nvme_id_ns, &nvme_ns_descs,
	&nvme_list_ns, &nvme_smart_log, &nvme_error_log, &nvme_fw_log,
	&nvme_effects_log, &nvme_self_test_log, &nvme_sanitize_log, &nvme_get_log,
	&nvme_telemetry_log, &nvme_ana_log, &nvme_get_lba_status,
	&nvme_get_feature, &nvme_set_feature, &nvme_create_ns, &nvme_delete_ns, &nvme_attach_ns,
	&nvme_detach_ns, &nvme_format, &nvme_sanitize, &nvme_device_self_test, &nvme_fw_download,
	&nvme_fw_commit, &nvme_security_send, &nvme_security_recv, &nvme_reset, &nvme_flush,
	&nvme_list_ctrl, &nvme_list_endgrp, &nvme_nvm_id_ctrl, &nvme_nvm_id_ns, &nvme_cmdset_ind_id_ns,
	&nvme_id_iocs, &nvme_primary_ctrl_caps, &nvme_list_secondary, &nvme_id_nvmset, &nvme_id_domain,
	&nvme_id_ns_lba_format, &nvme_nvm_id_ns_lba_format, &nvme_id_ns_granularity, &nvme_id_uuid,
	&nvme_read, &nvme_write, &nvme_compare, &nvme_dsm, &nvme_write_zeroes, &nvme_write_uncor,
	&nvme_verify, &nvme_copy, &nvme_resv_register, &nvme_resv_acquire, &nvme_resv_release,
	&nvme_resv_report, &nvme_admin_passthru, &nvme_io_passthru, &nvme_show_regs,
	&nvme_zns_id_ctrl, &nvme_zns_id_ns, &nvme_zns_report_zones,
	&nvme_zns_open_zone, &nvme_zns_close_zone, &nvme_zns_finish_zone, &nvme_zns_reset_zone,
	&nvme_zns_offline_zone, &nvme_zns_set_zone_desc, &nvme_zns_zone_append,
	&nvme_fdp_configs, &nvme_fdp_usage, &nvme_fdp_stats, &nvme_fdp_events, &nvme_fdp_status,
	&nvme_fdp_update, &nvme_fdp_set_events, &nvme_fdp_feature, &nvme_dir_receive, &nvme_dir_send, NULL,
};

/* ---- Helpers ---- */

int nvme_usage(struct nvme_run *run, const char *format, ...)
{
	char sentence[512];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	return tool_usage(&run->command, "%s", sentence);
}

int nvme_status(struct nvme_run *run, const char *what, const struct nsdk_nvme_cpl *cpl)
{
	if (nsdk_nvme_cpl_ok(cpl))
		return TOOL_DONE;
	/* It may be what came of a controller that the driver took out, or of a command that was late. */
	if (!tool_said((cpl->status >> 1 & 0x7ff) == NSDK_NVME_SC_ABORT_REQUESTED ? NSDK_LOG_WARN :
										   NSDK_LOG_ERROR))
		tool_say("%s: %s failed: %s (0x%x)", nvme_name(run), what,
			 nsdk_nvme_status_text(cpl->status), cpl->status >> 1);
	return TOOL_FAILED;
}

int nvme_failed(struct nvme_run *run, const char *what, int err)
{
	if (tool_said(NSDK_LOG_ERROR))
		return TOOL_FAILED;
	switch (err) {
	case -EPERM:
		tool_say("%s: %s would break the driver that sends it, so it is not sent",
			 nvme_name(run), what);
		break;
	case -EINVAL:
		tool_say("%s: %s cannot be sent like that: its data has at most %zu bytes, and goes the "
			 "way that the last two bits of the opcode say", nvme_name(run), what,
			 nsdk_nvme_ctrlr_max_transfer_bytes(run->ctrlr));
		break;
	case -EOPNOTSUPP:
		tool_say("%s: the controller does not offer %s", nvme_name(run), what);
		break;
	case -ENOMEM:
		tool_say("%s: no memory for %s", nvme_name(run), what);
		break;
	default:
		/* That a controller is late is a warning, as what is done about it may help. */
		if (!tool_said(NSDK_LOG_WARN))
			tool_say("%s: %s could not be done: %s", nvme_name(run), what, strerror(-err));
		break;
	}
	return TOOL_FAILED;
}

int nvme_done(struct nvme_run *run, const char *what, int err, const struct nsdk_nvme_cpl *cpl)
{
	return err ? nvme_failed(run, what, err) : nvme_status(run, what, cpl);
}

int nvme_send(struct nvme_run *run, const struct nsdk_nvme_cmd *cmd, void *data, size_t bytes,
	      struct nsdk_nvme_cpl *cpl)
{
	const char *what = nsdk_nvme_admin_opcode_name(cmd->opcode);
	struct nsdk_nvme_cpl own;
	int err;

	if (cpl == NULL)
		cpl = &own;
	err = nsdk_nvme_admin_sync(run->ctrlr, cmd, data, bytes, nsdk_nvme_opcode_dir(cmd->opcode),
				   nvme_timeout_ns(run), cpl);
	return nvme_done(run, what, err, cpl);
}

int nvme_log_done(struct nvme_run *run, uint8_t lid, int err, const struct nsdk_nvme_cpl *cpl)
{
	char what[40];

	/* Which ones are longer than the controller lets them be read, the driver leaves to us to say. */
	if (err == -EOPNOTSUPP && !tool_said(NSDK_LOG_ERROR)) {
		tool_say("%s: the controller gives log pages from their beginning and in one piece only",
			 nvme_name(run));
		return TOOL_FAILED;
	}
	snprintf(what, sizeof(what), "Get Log Page %02xh", lid);
	return nvme_done(run, what, err, cpl);
}

int nvme_log(struct nvme_run *run, const struct nsdk_nvme_log_opts *opts, void *data, size_t bytes)
{
	struct nsdk_nvme_cpl cpl = { 0 };
	int err = nsdk_nvme_get_log(run->ctrlr, opts, data, bytes, &cpl);

	return nvme_log_done(run, opts->lid, err, &cpl);
}

uint32_t nvme_nsid_or_all(const struct nvme_run *run)
{
	return run->v.nsid.given ? (uint32_t)run->v.nsid.number : NSDK_NVME_NSID_ALL;
}

uint32_t nvme_nsid(struct nvme_run *run)
{
	uint32_t first;

	if (run->v.nsid.given)
		return (uint32_t)run->v.nsid.number;
	first = nsdk_nvme_ns_next(run->ctrlr, 0);
	if (first != 0 && nsdk_nvme_ns_next(run->ctrlr, first) == 0)
		return first;
	tool_say("%s has %s active namespace; say which with --namespace-id", nvme_name(run),
		 first ? "more than one" : "no");
	return 0;
}

struct nsdk_nvme_ns *nvme_ns(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_ns *ns = nsid ? nsdk_nvme_ns_get(run->ctrlr, nsid) : NULL;

	if (nsid != 0 && ns == NULL)
		tool_say("%s has no active namespace %u", nvme_name(run), nsid);
	return ns;
}

bool nvme_has_blocks(struct nvme_run *run, struct nsdk_nvme_ns *ns, uint64_t slba, uint64_t blocks)
{
	uint64_t all = nsdk_nvme_ns_blocks(ns);

	if (slba < all && blocks <= all - slba)
		return true;
	tool_say("%s: %llu blocks from %llu on are beyond the end of namespace %u, which has %llu",
		 nvme_name(run), (unsigned long long)blocks, (unsigned long long)slba,
		 nsdk_nvme_ns_id(ns), (unsigned long long)all);
	return false;
}

unsigned nvme_numbers(struct nvme_run *run, const char *option, const char *text, uint64_t max, uint64_t *out,
		      unsigned room)
{
	unsigned count = 0;

	while (*text != '\0') {
		size_t chars = strcspn(text, ",");
		char word[24];

		snprintf(word, sizeof(word), "%.*s", chars < sizeof(word) ? (int)chars : 0, text);
		if (count == room || tool_parse_u64(word, 0, max, &out[count]) != 0)
			break;
		count++;
		text += chars;
		if (*text == '\0')
			return count;
		text++;
	}
	nvme_usage(run, "--%s: up to %u whole numbers up to %llu are wanted, with commas between", option, room,
		   (unsigned long long)max);
	return 0;
}

uint64_t nvme_timeout_ns(const struct nvme_run *run)
{
	return run->v.timeout.number * 1000000;
}

const char *nvme_name(const struct nvme_run *run)
{
	return run->device;
}

/* ---- Options ---- */

/* Of every subcommand; behind its own, which may have the letters. */
enum {
	OPT_FORMAT = TOOL_OPT_FIRST,
	OPT_YES,
	OPT_OWN,
};

static void print_sub_help(const struct nvme_sub *sub)
{
	printf("usage: nsdk nvme %s DEVICE [OPTION]...\n\n%s.\n\n", sub->name, sub->summary);
	for (const struct nvme_option *opt = sub->options; opt->name != NULL; opt++) {
		char words[48], letter[8] = "";

		if (opt->letter)
			snprintf(letter, sizeof(letter), ", -%c", opt->letter);
		snprintf(words, sizeof(words), "--%s%s%s", opt->name,
			 opt->kind == NVME_FLAG ? "" : opt->kind == NVME_TEXT ? "=TEXT" : "=N",
			 letter);
		printf("  %-28s %s\n", words, opt->help);
	}
	if (sub->danger != NULL)
		printf("  %-28s %s\n", "--yes", "do it, although it cannot be undone");
	printf("  %-28s %s\n", "--output-format=FORMAT", sub->binary ? "normal, json or binary" :
									 "normal or json");
	printf("  %-28s %s\n", "--json[=FILE]", "the same as --output-format=json, into a file");
	printf("  %-28s %s\n", "--verbose, --help", "");
}

static struct nvme_value *value_of(struct nvme_run *run, const struct nvme_option *opt)
{
	return (struct nvme_value *)(void *)((char *)&run->v + opt->offset);
}

static int take(struct nvme_run *run, const struct nvme_option *opt)
{
	struct nvme_value *value;

	if (opt->kind == NVME_FLAG) {
		*(bool *)(void *)((char *)&run->v + opt->offset) = true;
		return TOOL_DONE;
	}
	value = value_of(run, opt);
	value->given = true;
	value->text = optarg;
	if (opt->kind == NVME_NUMBER && tool_parse_u64(optarg, 0, opt->max, &value->number) != 0)
		return nvme_usage(run, "--%s=%s: a whole number up to %llu is wanted", opt->name,
				  optarg, (unsigned long long)opt->max);
	return TOOL_DONE;
}

static int take_format(struct nvme_run *run, const char *word)
{
	if (strcmp(word, "normal") == 0)
		run->format = NVME_NORMAL;
	else if (strcmp(word, "json") == 0)
		run->format = NVME_JSON;
	else if (strcmp(word, "binary") == 0 && run->sub->binary)
		run->format = NVME_BINARY;
	else
		return nvme_usage(run, "--output-format=%s: %s is wanted", word,
				  run->sub->binary ? "normal, json or binary" : "normal or json");
	return TOOL_DONE;
}

#define MAX_OPTIONS 40

/* The table for getopt_long(), and its letters; the subcommand's own come first. */
static void make_table(const struct nvme_sub *sub, struct option *table, char *letters)
{
	static const struct option common[] = {
		{ "output-format", required_argument, NULL, OPT_FORMAT },
		{ "yes", no_argument, NULL, OPT_YES },
		{ "force", no_argument, NULL, OPT_YES },
		TOOL_COMMON_OPTIONS,
	};
	bool has_o = false;
	int count = 0;

	*letters++ = ':';
	for (const struct nvme_option *opt = sub->options; opt->name != NULL; opt++, count++) {
		table[count] = (struct option){
			opt->name,
			opt->kind == NVME_FLAG ? no_argument : required_argument, NULL,
			opt->letter ? opt->letter : OPT_OWN + count,
		};
		if (opt->letter) {
			*letters++ = opt->letter;
			if (opt->kind != NVME_FLAG)
				*letters++ = ':';
			has_o |= opt->letter == 'o';
		}
	}
	memcpy(&table[count], common, sizeof(common));
	/* nvme-cli's letter for the format, where it is not something else. */
	if (!has_o) {
		*letters++ = 'o';
		*letters++ = ':';
	}
	*letters++ = 'h';
	*letters = '\0';
}

/* @return TOOL_DONE go on; TOOL_USAGE; TOOL_OPT_STOP help was shown. */
static int parse(struct nvme_run *run, int argc, char **argv)
{
	struct option table[MAX_OPTIONS];
	char letters[2 * MAX_OPTIONS];
	int opt, index;

	make_table(run->sub, table, letters);
	optind = 0;
	opterr = 0;
	for (;;) {
		const struct nvme_option *own = run->sub->options;
		int before = optind == 0 ? 1 : optind, status = TOOL_DONE;

		index = -1;
		optopt = 0;
		opt = getopt_long(argc, argv, letters, table, &index);
		if (opt == -1)
			break;
		if (opt == '?' || opt == ':')
			return nvme_usage(run, opt == ':' ? "'%s' wants a value" :
							    "unknown option '%s'",
					  argv[optind > before ? optind - 1 : before]);
		while (own->name != NULL && (opt < TOOL_OPT_FIRST ? own->letter != opt :
				opt < OPT_OWN || own - run->sub->options != opt - OPT_OWN))
			own++;
		if (own->name != NULL) {
			status = take(run, own);
		} else if (opt == OPT_FORMAT || opt == 'o') {
			status = take_format(run, optarg);
		} else if (opt == OPT_YES) {
			run->v.yes = true;
		} else if (opt == 'v') {
			tool_log_verbose();
		} else if (opt == 'h') {
			print_sub_help(run->sub);
			return TOOL_OPT_STOP;
		} else if (opt == 'j') {
			run->format = NVME_JSON;
			run->args.json_file = optarg;
		}
		if (status != TOOL_DONE)
			return status;
	}
	if (optind == argc)
		return nvme_usage(run, "a device is missing, as 0000:00:03.0 or emu:nvme");
	if (optind + 1 < argc)
		return nvme_usage(run, "it takes one device: '%s' is one word too many",
				  argv[optind + 1]);
	run->device = argv[optind];
	if (!tool_is_device(run->device))
		return nvme_usage(run, "'%s' is not a device such as 0000:00:03.0 or emu:nvme",
				  run->device);
	return TOOL_DONE;
}

/* ---- The device ---- */

static int with_device(struct nvme_run *run)
{
	struct nsdk_device_opts attach = { .opts_bytes = sizeof(attach), .bind = true };
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts) };
	struct nsdk_nvme_opts nvme = { .opts_bytes = sizeof(nvme), .io_queues = 1 };
	int rc, status = TOOL_FAILED;

	/* A few pages are all there is to map. */
	mem_opts.no_huge = true;
	if (nsdk_mem_create(&mem_opts, &run->mem) != 0)
		return TOOL_FAILED;
	rc = nsdk_device_attach(run->device, &attach, &run->dev);
	if (rc != 0) {
		status = rc == -EINVAL ? TOOL_USAGE : TOOL_FAILED;
		goto destroy_mem;
	}
	if (nsdk_nvme_attach(run->dev, run->mem, &nvme, &run->ctrlr) != 0)
		goto detach_device;
	/* A namespace that cannot be used, say, is not why the command fails. */
	tool_said_forget();
	status = run->sub->run(run);
	if (nsdk_nvme_detach(run->ctrlr) != 0)
		status = TOOL_FAILED;
detach_device:
	nsdk_device_detach(run->dev);
destroy_mem:
	if (nsdk_mem_destroy(run->mem) != 0)
		status = TOOL_FAILED;
	return status;
}

static int run_sub(const struct nvme_sub *sub, const struct tool_command *self, int argc, char **argv)
{
	struct nvme_run run = { .sub = sub, .command = *self };
	int status;

	snprintf(run.title, sizeof(run.title), "nvme %s", sub->name);
	run.command.name = run.title;
	status = parse(&run, argc, argv);
	if (status == TOOL_OPT_STOP)
		return TOOL_DONE;
	if (status == TOOL_DONE && sub->check != NULL)
		status = sub->check(&run);
	if (status != TOOL_DONE)
		return status;
	if (sub->danger != NULL && !run.v.yes && !run.v.dry_run)
		return nvme_usage(&run, "%s; say --yes if that is meant", sub->danger);
	return with_device(&run);
}

static int nvme_main(const struct tool_command *self, int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	char two[40];

	if (word == NULL)
		return tool_usage(self, "a subcommand is missing, as id-ctrl or smart-log");
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		fputs(nvme_help, stdout);
		return TOOL_DONE;
	}
	/* Those of zoned namespaces and of data placement have two words. */
	if (strcmp(word, "zns") == 0 || strcmp(word, "fdp") == 0) {
		if (argc < 3 || argv[2][0] == '-')
			return tool_usage(self, "%s wants another word, as %s", word,
					  *word == 'z' ? "report-zones" : "status");
		snprintf(two, sizeof(two), "%s %s", word, argv[2]);
		word = two;
		argc--;
		argv++;
	}
	for (const struct nvme_sub *const *sub = nvme_subs; *sub != NULL; sub++)
		if (strcmp((*sub)->name, word) == 0)
			return run_sub(*sub, self, argc - 1, argv + 1);
	return tool_usage(self, "there is no subcommand '%s'", word);
}

const struct tool_command tool_nvme = {
	.name = "nvme",
	.summary = "administer an NVMe controller, by nvme-cli's names",
	.help = nvme_help,
	.run = nvme_main,
};
