/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words of `nsdk perf`, which are fio's. Whatever is wrong with one is said with its name, its
 * value and what it takes.
 */
#include <errno.h>
#include <string.h>

#include "perf.h"

enum {
	OPT_RW = TOOL_OPT_FIRST,
	OPT_RWMIXREAD,
	OPT_BS,
	OPT_IODEPTH,
	OPT_NUMJOBS,
	OPT_CPUS_ALLOWED,
	OPT_RUNTIME,
	OPT_TIME_BASED,
	OPT_NUMBER_IOS,
	OPT_SIZE,
	OPT_OFFSET,
	OPT_VERIFY,
	OPT_ZONEMODE,
	OPT_POLICY,
	OPT_NS,
	OPT_SEED,
	OPT_IO_TIMEOUT,
	OPT_STOP_TIMEOUT,
	OPT_READY_TIMEOUT,
	OPT_ETA,
	OPT_ETA_NEWLINE,
	OPT_COHERENCE_CHECK,
	OPT_IODEPTH_BATCH,
	OPT_CMB,
	OPT_THINKTIME,
	OPT_MODE,
	OPT_IDLE,
	OPT_WRR_PRIORITY,
	OPT_BURST,
	OPT_HIGH_WEIGHT,
	OPT_MEDIUM_WEIGHT,
	OPT_LOW_WEIGHT,
	OPT_PI_ACT,
	OPT_PI_CHK,
	OPT_APPTAG,
	OPT_APPTAG_MASK,
	OPT_FDP,
	OPT_DATAPLACEMENT,
	OPT_PLIDS,
	OPT_PLID_SELECT,
	OPT_FLUSH, /* FLUSH_OPTS of them */
};

static const struct option perf_options[] = {
	{ "rw", required_argument, NULL, OPT_RW },
	{ "readwrite", required_argument, NULL, OPT_RW },
	{ "rwmixread", required_argument, NULL, OPT_RWMIXREAD },
	{ "bs", required_argument, NULL, OPT_BS },
	{ "blocksize", required_argument, NULL, OPT_BS },
	{ "iodepth", required_argument, NULL, OPT_IODEPTH },
	{ "iodepth_batch", required_argument, NULL, OPT_IODEPTH_BATCH },
	{ "iodepth_batch_submit", required_argument, NULL, OPT_IODEPTH_BATCH },
	{ "cmb", required_argument, NULL, OPT_CMB },
	{ "thinktime", required_argument, NULL, OPT_THINKTIME },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "wrr_priority", required_argument, NULL, OPT_WRR_PRIORITY },
	{ "arbitration_burst", required_argument, NULL, OPT_BURST },
	{ "high_weight", required_argument, NULL, OPT_HIGH_WEIGHT },
	{ "medium_weight", required_argument, NULL, OPT_MEDIUM_WEIGHT },
	{ "low_weight", required_argument, NULL, OPT_LOW_WEIGHT },
	{ "pi_act", required_argument, NULL, OPT_PI_ACT },
	{ "pi_chk", required_argument, NULL, OPT_PI_CHK },
	{ "apptag", required_argument, NULL, OPT_APPTAG },
	{ "apptag_mask", required_argument, NULL, OPT_APPTAG_MASK },
	{ "fdp", required_argument, NULL, OPT_FDP },
	{ "dataplacement", required_argument, NULL, OPT_DATAPLACEMENT },
	{ "plids", required_argument, NULL, OPT_PLIDS },
	{ "fdp_pli", required_argument, NULL, OPT_PLIDS },
	{ "plid_select", required_argument, NULL, OPT_PLID_SELECT },
	{ "fdp_pli_select", required_argument, NULL, OPT_PLID_SELECT },
	{ "numjobs", required_argument, NULL, OPT_NUMJOBS },
	{ "cpus_allowed", required_argument, NULL, OPT_CPUS_ALLOWED },
	{ "runtime", required_argument, NULL, OPT_RUNTIME },
	{ "time_based", no_argument, NULL, OPT_TIME_BASED },
	{ "number_ios", required_argument, NULL, OPT_NUMBER_IOS },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "offset", required_argument, NULL, OPT_OFFSET },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "zonemode", required_argument, NULL, OPT_ZONEMODE },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "ns", required_argument, NULL, OPT_NS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "randseed", required_argument, NULL, OPT_SEED },
	{ "io_timeout", required_argument, NULL, OPT_IO_TIMEOUT },
	{ "stop_timeout", required_argument, NULL, OPT_STOP_TIMEOUT },
	{ "ready_timeout", required_argument, NULL, OPT_READY_TIMEOUT },
	{ "eta", required_argument, NULL, OPT_ETA },
	{ "eta-newline", required_argument, NULL, OPT_ETA_NEWLINE },
	{ "coherence-check", optional_argument, NULL, OPT_COHERENCE_CHECK },
	FLUSH_OPTIONS(OPT_FLUSH),
	TOOL_COMMON_OPTIONS,
};

static const struct {
	const char *name;
	bool reads, writes, random;
} patterns[] = {
	{ "read", true, false, false },     { "write", false, true, false },
	{ "randread", true, false, true },  { "randwrite", false, true, true },
	{ "rw", true, true, false },        { "readwrite", true, true, false },
	{ "randrw", true, true, true },
};

static int parse_rw(const struct tool_command *command, struct perf_opts *opts)
{
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (strcmp(optarg, patterns[i].name) != 0)
			continue;
		opts->rw = patterns[i].name;
		opts->reads = patterns[i].reads;
		opts->writes = patterns[i].writes;
		opts->random = patterns[i].random;
		return TOOL_DONE;
	}
	return tool_usage(command,
			  "--rw=%s: read, write, randread, randwrite, rw or randrw is wanted", optarg);
}

static int parse_number(const struct tool_command *command, const char *name, uint64_t min,
			uint64_t max, uint64_t *out)
{
	if (tool_parse_u64(optarg, min, max, out) == 0)
		return TOOL_DONE;
	if (max == UINT64_MAX)
		return tool_usage(command, "--%s=%s: a whole number of at least %llu is wanted",
				  name, optarg, (unsigned long long)min);
	return tool_usage(command, "--%s=%s: a whole number from %llu to %llu is wanted", name,
			  optarg, (unsigned long long)min, (unsigned long long)max);
}

static int parse_unsigned(const struct tool_command *command, const char *name, unsigned min,
			  unsigned max, unsigned *out)
{
	uint64_t value = 0;
	int status = parse_number(command, name, min, max, &value);

	if (status == TOOL_DONE)
		*out = (unsigned)value;
	return status;
}

static int parse_amount(const struct tool_command *command, const char *name, bool zero_is_fine,
			struct tool_amount *out)
{
	if (tool_parse_amount(optarg, out) == 0 && (zero_is_fine || out->value != 0))
		return TOOL_DONE;
	return tool_usage(command,
			  "--%s=%s: bytes%s are wanted, as 4096, 64k, 1g, or a percentage as 20%%",
			  name, optarg, zero_is_fine ? "" : " above 0");
}

static int parse_bs(const struct tool_command *command, uint64_t *out)
{
	if (tool_parse_bytes(optarg, out) == 0 && *out >= 512 && *out <= (1u << 30) &&
	    *out % 512 == 0)
		return TOOL_DONE;
	return tool_usage(command,
			  "--bs=%s: a multiple of 512 bytes up to 1g is wanted, as 512, 4k or 1m",
			  optarg);
}

static int parse_cpus(const struct tool_command *command, struct perf_opts *opts)
{
	nsdk_cpumask_t mask;

	opts->cpus_allowed = optarg;
	return tool_parse_cpus(command, "cpus_allowed", optarg, &mask);
}

static int parse_mode(const struct tool_command *command, enum nsdk_reactor_mode *out)
{
	for (unsigned i = NSDK_REACTOR_POLL; i <= NSDK_REACTOR_ADAPTIVE; i++) {
		*out = (enum nsdk_reactor_mode)i;
		if (strcmp(optarg, perf_mode_name(*out)) == 0)
			return TOOL_DONE;
	}
	return tool_usage(command, "--mode=%s: poll, interrupt or adaptive is wanted", optarg);
}

static int parse_eta(const struct tool_command *command, enum perf_eta *out)
{
	static const char *const names[] = {
		[PERF_ETA_AUTO] = "auto",
		[PERF_ETA_ALWAYS] = "always",
		[PERF_ETA_NEVER] = "never",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(optarg, names[i]) == 0) {
			*out = (enum perf_eta)i;
			return TOOL_DONE;
		}
	}
	return tool_usage(command, "--eta=%s: auto, always or never is wanted", optarg);
}

static int parse_cmb(const struct tool_command *command, unsigned *out)
{
	static const struct {
		const char *word;
		unsigned uses;
	} words[] = {
		{ "off", 0 },
		{ "sq", NSDK_NVME_CMB_SQ },
		{ "data", NSDK_NVME_CMB_DATA },
		{ "sq+data", NSDK_NVME_CMB_SQ | NSDK_NVME_CMB_DATA },
	};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(optarg, words[i].word) == 0) {
			*out = words[i].uses;
			return TOOL_DONE;
		}
	}
	return tool_usage(command, "--cmb=%s: off, sq, data or sq+data is wanted", optarg);
}

static int parse_pi(const struct tool_command *command, int opt, struct perf_opts *opts)
{
	unsigned value = 0;
	int status;

	opts->pi_given = true;
	switch (opt) {
	case OPT_PI_ACT:
		status = parse_unsigned(command, "pi_act", 0, 1, &value);
		opts->pi_act = value;
		return status;
	case OPT_PI_CHK:
		return perf_pi_parse_chk(command, &opts->pi_chk);
	case OPT_APPTAG:
		status = parse_unsigned(command, "apptag", 0, 0xffff, &value);
		opts->app_tag = (uint16_t)value;
		return status;
	default:
		status = parse_unsigned(command, "apptag_mask", 0, 0xffff, &value);
		opts->app_mask = (uint16_t)value;
		return status;
	}
}

static int parse_wrr(const struct tool_command *command, int opt, struct perf_wrr *wrr)
{
	switch (opt) {
	case OPT_WRR_PRIORITY:
		return perf_wrr_parse(command, optarg, wrr);
	case OPT_BURST:
		return parse_unsigned(command, "arbitration_burst", 1, 64, &wrr->burst);
	case OPT_HIGH_WEIGHT:
		return parse_unsigned(command, "high_weight", 1, 256, &wrr->high_weight);
	case OPT_MEDIUM_WEIGHT:
		return parse_unsigned(command, "medium_weight", 1, 256, &wrr->medium_weight);
	default:
		return parse_unsigned(command, "low_weight", 1, 256, &wrr->low_weight);
	}
}

static int parse_fdp(const struct tool_command *command, int opt, struct perf_fdp *fdp)
{
	unsigned value = 0;
	int status;

	switch (opt) {
	case OPT_FDP:
		status = parse_unsigned(command, "fdp", 0, 1, &value);
		fdp->on = value;
		return status;
	case OPT_DATAPLACEMENT:
		return perf_fdp_parse_on(command, fdp);
	case OPT_PLIDS:
		return perf_fdp_parse_list(command, fdp);
	default:
		return perf_fdp_parse_select(command, fdp);
	}
}

static int parse_one(const struct tool_command *command, int opt, struct perf_opts *opts)
{
	uint64_t value;
	int status;

	switch (opt) {
	case OPT_RW:
		return parse_rw(command, opts);
	case OPT_RWMIXREAD:
		return parse_unsigned(command, "rwmixread", 0, 100, &opts->rwmixread);
	case OPT_BS:
		return parse_bs(command, &opts->bs_bytes);
	case OPT_IODEPTH:
		return parse_unsigned(command, "iodepth", 1, 65535, &opts->iodepth);
	case OPT_IODEPTH_BATCH:
		return parse_unsigned(command, "iodepth_batch", 0, 65535, &opts->iodepth_batch);
	case OPT_CMB:
		return parse_cmb(command, &opts->cmb);
	case OPT_WRR_PRIORITY:
	case OPT_BURST:
	case OPT_HIGH_WEIGHT:
	case OPT_MEDIUM_WEIGHT:
	case OPT_LOW_WEIGHT:
		return parse_wrr(command, opt, &opts->wrr);
	case OPT_PI_ACT:
	case OPT_PI_CHK:
	case OPT_APPTAG:
	case OPT_APPTAG_MASK:
		return parse_pi(command, opt, opts);
	case OPT_FDP:
	case OPT_DATAPLACEMENT:
	case OPT_PLIDS:
	case OPT_PLID_SELECT:
		return parse_fdp(command, opt, &opts->fdp);
	case OPT_NUMJOBS:
		return parse_unsigned(command, "numjobs", 1, PERF_MAX_JOBS, &opts->numjobs);
	case OPT_CPUS_ALLOWED:
		return parse_cpus(command, opts);
	case OPT_RUNTIME:
		return tool_parse_time(command, "runtime", optarg, &opts->runtime_ns);
	case OPT_TIME_BASED:
		opts->time_based = true;
		return TOOL_DONE;
	case OPT_NUMBER_IOS:
		return parse_number(command, "number_ios", 1, UINT64_MAX, &opts->number_ios);
	case OPT_SIZE:
		return parse_amount(command, "size", false, &opts->size);
	case OPT_OFFSET:
		return parse_amount(command, "offset", true, &opts->offset);
	case OPT_VERIFY:
		opts->verify = true;
		return TOOL_DONE;
	case OPT_ZONEMODE:
		opts->zbd = strcmp(optarg, "zbd") == 0;
		if (opts->zbd || strcmp(optarg, "none") == 0)
			return TOOL_DONE;
		return tool_usage(command, "--zonemode=%s: none or zbd is wanted", optarg);
	case OPT_POLICY:
		opts->policy_given = true;
		if (nsdk_policy_parse(optarg, &opts->policy) == 0)
			return TOOL_DONE;
		return tool_usage(command, "--policy=%s: coherent, auto or nosnoop is wanted",
				  optarg);
	case OPT_NS:
		status = parse_number(command, "ns", 1, 0xfffffffe, &value);
		if (status == TOOL_DONE)
			opts->nsid = (uint32_t)value;
		return status;
	case OPT_SEED:
		return parse_number(command, "seed", 0, UINT64_MAX, &opts->seed);
	case OPT_IO_TIMEOUT:
		return tool_parse_time(command, "io_timeout", optarg, &opts->io_timeout_ns);
	case OPT_STOP_TIMEOUT:
		return tool_parse_time(command, "stop_timeout", optarg, &opts->stop_timeout_ns);
	case OPT_READY_TIMEOUT:
		return tool_parse_time(command, "ready_timeout", optarg, &opts->ready_timeout_ns);
	case OPT_THINKTIME:
		return tool_parse_time(command, "thinktime", optarg, &opts->thinktime_ns);
	case OPT_MODE:
		return parse_mode(command, &opts->mode);
	case OPT_IDLE:
		status = tool_parse_time(command, "idle", optarg, &opts->idle_ns);
		if (status == TOOL_DONE && opts->idle_ns < 1000)
			opts->idle_ns = 1000;
		return status;
	case OPT_ETA:
		return parse_eta(command, &opts->eta);
	case OPT_ETA_NEWLINE:
		status = tool_parse_time(command, "eta-newline", optarg, &opts->eta_newline_ns);
		if (status == TOOL_DONE && opts->eta_newline_ns < PERF_ETA_LEAST_NS)
			opts->eta_newline_ns = PERF_ETA_LEAST_NS;
		return status;
	case OPT_COHERENCE_CHECK:
		opts->coherence_check = true;
		if (optarg == NULL)
			return TOOL_DONE;
		return parse_number(command, "coherence-check", 0, UINT64_MAX, &opts->check_seed);
	default:
		if (opt >= OPT_FLUSH && opt < OPT_FLUSH + FLUSH_OPTS)
			return flush_option(command, (unsigned)(opt - OPT_FLUSH), &opts->flush);
		return TOOL_USAGE;
	}
}

/* What only shows once all the options are known. */
static int check_together(const struct tool_command *command, struct perf_opts *opts)
{
	if (opts->device_count == 0)
		return tool_usage(command, "a device is missing, as 0000:00:03.0 or emu:nvme");
	if (opts->device_count > PERF_MAX_DEVICES)
		return tool_usage(command, "%u devices are more than the %u there may be",
				  opts->device_count, PERF_MAX_DEVICES);
	for (unsigned i = 0; i < opts->device_count; i++) {
		if (!tool_is_device(opts->devices[i]))
			return tool_usage(command,
					  "'%s' is not a device such as 0000:00:03.0 or emu:nvme",
					  opts->devices[i]);
	}
	if (opts->numjobs > PERF_MAX_JOBS / opts->device_count)
		return tool_usage(command, "--numjobs=%u on %u devices is more than %u jobs",
				  opts->numjobs, opts->device_count, PERF_MAX_JOBS);
	if (opts->time_based && opts->runtime_ns == 0)
		return tool_usage(command, "--time_based wants --runtime, to know when to end");
	if (opts->idle_ns != 0 && opts->mode != NSDK_REACTOR_ADAPTIVE)
		return tool_usage(command, "--idle is of --mode=adaptive");
	if (opts->zbd && opts->writes && (opts->random || (opts->reads && opts->verify)))
		return tool_usage(command,
				  "--zonemode=zbd writes zones from their start on, so --rw=%s%s cannot be: "
				  "write, read, randread%s is wanted", opts->rw,
				  opts->verify ? " with --verify" : "", opts->verify ? "" : " or rw");
	if (flush_check(command, &opts->flush) != TOOL_DONE ||
	    perf_wrr_check(command, &opts->wrr) != TOOL_DONE ||
	    perf_fdp_check(command, &opts->fdp) != TOOL_DONE)
		return TOOL_USAGE;
	if (!opts->writes)
		opts->rwmixread = 100;
	else if (!opts->reads)
		opts->rwmixread = 0;
	return opts->coherence_check ? perf_check_opts(command, opts) : TOOL_DONE;
}

int perf_opts_parse(const struct tool_command *command, int argc, char **argv,
		    struct perf_opts *out, bool *stop)
{
	int opt, status;

	*stop = false;
	*out = (struct perf_opts){
		.rw = "read",
		.reads = true,
		.rwmixread = 50,
		.bs_bytes = 4096,
		.iodepth = 1,
		.numjobs = 1,
		.pi_act = true,
		.pi_chk = NSDK_NVME_RW_PRCHK_GUARD | NSDK_NVME_RW_PRCHK_REF_TAG,
		.app_tag = 0x1234, /* fio's */
		.app_mask = 0xffff,
		.policy = NSDK_POLICY_COHERENT,
		.seed = 1,
		.io_timeout_ns = 30 * 1000000000ULL,
		.recovery_ns = 60 * 1000000000ULL,
		.stop_timeout_ns = 5 * 1000000000ULL,
	};
	tool_args_init(&out->args, command, perf_options, argc, argv);
	while ((opt = tool_args_next(&out->args)) != TOOL_OPT_END) {
		if (opt == TOOL_OPT_STOP) {
			*stop = true;
			return out->args.status;
		}
		status = parse_one(command, opt, out);
		if (status != TOOL_DONE)
			return status;
	}
	out->devices = argv + optind;
	out->device_count = (unsigned)(argc - optind);
	return check_together(command, out);
}
