/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words of `nsdk tune`. What is wrong with them is said before anything is measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"

enum {
	OPT_CPUS = TOOL_OPT_FIRST,
	OPT_FLUSH_CPUS,
	OPT_SIZES,
	OPT_PLOT,
	OPT_OUTPUT,
	OPT_QUICK,
	OPT_CHECK,
	OPT_WBINVD,
	OPT_DEVICE,
	OPT_IODEPTH,
	OPT_ROUNDS,
	OPT_RUNTIME,
	OPT_NS,
};

static const struct option flush_options[] = {
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "flush-cpus", required_argument, NULL, OPT_FLUSH_CPUS },
	{ "sizes", required_argument, NULL, OPT_SIZES },
	{ "plot", required_argument, NULL, OPT_PLOT },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "quick", no_argument, NULL, OPT_QUICK },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "wbinvd", required_argument, NULL, OPT_WBINVD },
	{ "device", required_argument, NULL, OPT_DEVICE },
	TOOL_COMMON_OPTIONS,
};

static const struct option device_options[] = {
	{ "bs", required_argument, NULL, OPT_SIZES },
	{ "iodepth", required_argument, NULL, OPT_IODEPTH },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "runtime", required_argument, NULL, OPT_RUNTIME },
	{ "ns", required_argument, NULL, OPT_NS },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "quick", no_argument, NULL, OPT_QUICK },
	TOOL_COMMON_OPTIONS,
};

/* The CPUs that run; none when nobody says. */
static void online_cpus(nsdk_cpumask_t *out)
{
	char list[4096];
	FILE *file = fopen("/sys/devices/system/cpu/online", "re");

	memset(out, 0, sizeof(*out));
	if (file == NULL)
		return;
	if (fgets(list, sizeof(list), file) != NULL) {
		list[strcspn(list, "\n")] = '\0';
		if (nsdk_cpumask_parse(list, out) != 0)
			memset(out, 0, sizeof(*out));
	}
	fclose(file);
}

int tune_parse_cpus(const struct tool_command *command, const char *option, const char *text,
		    nsdk_cpumask_t *out)
{
	nsdk_cpumask_t online, ours;
	int status = tool_parse_cpus(command, option, text, out);

	if (status != TOOL_DONE)
		return status;
	online_cpus(&online);
	if (nsdk_cpumask_get_affinity(&ours) != 0)
		return TOOL_FAILED;
	for (int cpu = nsdk_cpumask_next(out, 0); cpu >= 0;
	     cpu = nsdk_cpumask_next(out, (unsigned)cpu + 1)) {
		if (nsdk_cpumask_weight(&online) != 0 && !nsdk_cpumask_test(&online, (unsigned)cpu))
			return tool_usage(command, "--%s=%s: CPU %d is not online", option, text, cpu);
		if (!nsdk_cpumask_test(&ours, (unsigned)cpu))
			return tool_usage(command,
					  "--%s=%s: CPU %d is outside the CPUs that this process may "
					  "use", option, text, cpu);
	}
	return TOOL_DONE;
}

/* Sizes between commas, each a multiple of @p unit up to @p most, rising. */
static int parse_sizes(const struct tool_command *command, const char *option, uint64_t unit,
		       uint64_t most, struct tune_opts *opts)
{
	const char *at = optarg;
	char word[32];

	opts->size_count = 0;
	for (;;) {
		size_t length = strcspn(at, ",");
		uint64_t bytes = 0;

		if (opts->size_count == NSDK_TUNE_MAX_POINTS)
			return tool_usage(command, "--%s: more than the %u sizes there may be", option,
					  NSDK_TUNE_MAX_POINTS);
		snprintf(word, sizeof(word), "%.*s", (int)length, at);
		if (length >= sizeof(word) || tool_parse_bytes(word, &bytes) != 0 || bytes == 0 ||
		    bytes % unit != 0 || bytes > most)
			return tool_usage(command,
					  "--%s=%s: multiples of %llu bytes up to %llum are wanted, "
					  "with commas between, as 4k,64k,1m",
					  option, optarg, (unsigned long long)unit,
					  (unsigned long long)most >> 20);
		if (opts->size_count > 0 && bytes <= opts->sizes[opts->size_count - 1])
			return tool_usage(command, "--%s=%s: '%s' is not above the one before", option,
					  optarg, word);
		opts->sizes[opts->size_count++] = bytes;
		if (at[length] == '\0')
			return TOOL_DONE;
		at += length + 1;
	}
}

static int parse_file(const struct tool_command *command, const char *option, const char **out)
{
	if (optarg[0] == '\0')
		return tool_usage(command, "--%s= wants a file name", option);
	*out = optarg;
	return TOOL_DONE;
}

static int parse_unsigned(const struct tool_command *command, const char *option, uint64_t max,
			  unsigned *out)
{
	uint64_t value = 0;

	if (tool_parse_u64(optarg, 1, max, &value) != 0)
		return tool_usage(command, "--%s=%s: a whole number from 1 to %llu is wanted", option,
				  optarg, (unsigned long long)max);
	*out = (unsigned)value;
	return TOOL_DONE;
}

static int parse_flush_option(const struct tool_command *command, int opt, struct tune_opts *opts)
{
	switch (opt) {
	case OPT_CPUS:
		return tune_parse_cpus(command, "cpus", optarg, &opts->cpus);
	case OPT_FLUSH_CPUS:
		return tune_parse_cpus(command, "flush-cpus", optarg, &opts->flush_cpus);
	case OPT_SIZES:
		return parse_sizes(command, "sizes", NSDK_LINE_BYTES, NSDK_TUNE_MAX_BYTES, opts);
	case OPT_PLOT:
		return parse_file(command, "plot", &opts->plot);
	case OPT_OUTPUT:
		return parse_file(command, "output", &opts->output);
	case OPT_QUICK:
		opts->quick = true;
		return TOOL_DONE;
	case OPT_CHECK:
		opts->check = true;
		return TOOL_DONE;
	case OPT_WBINVD:
		if (strcmp(optarg, "kvm") != 0)
			return tool_usage(command, "--wbinvd=%s: kvm is wanted", optarg);
		opts->wbinvd = true;
		return TOOL_DONE;
	case OPT_DEVICE:
		if (!tool_is_device(optarg))
			return tool_usage(command, "--device=%s: a device such as 0000:00:03.0 is wanted",
					  optarg);
		opts->device = optarg;
		return TOOL_DONE;
	default:
		return TOOL_USAGE;
	}
}

static int check_flush(const struct tool_command *command, const struct tune_opts *opts,
		       const char *extra)
{
	nsdk_cpumask_t ours;

	if (extra != NULL)
		return tool_usage(command, "'%s' is one word too many", extra);
	for (unsigned cpu = 0; cpu < NSDK_MAX_CPUS; cpu++) {
		if (nsdk_cpumask_test(&opts->cpus, cpu) && nsdk_cpumask_test(&opts->flush_cpus, cpu))
			return tool_usage(command,
					  "CPU %u is in --cpus and in --flush-cpus; it can only be in one",
					  cpu);
	}
	if (nsdk_cpumask_get_affinity(&ours) != 0)
		return TOOL_FAILED;
	if (nsdk_cpumask_weight(&opts->cpus) == 0 &&
	    nsdk_cpumask_weight(&opts->flush_cpus) >= nsdk_cpumask_weight(&ours))
		return tool_usage(command, "--flush-cpus has all the CPUs there are; leave one to submit");
	if (opts->wbinvd && opts->device == NULL)
		return tool_usage(command, "--wbinvd=kvm wants --device, as the proof that KVM asks for");
	if (!opts->wbinvd && opts->device != NULL)
		return tool_usage(command, "--device is the proof for --wbinvd=kvm, which is missing");
	if (opts->check && opts->plot != NULL)
		return tool_usage(command, "--check measures nothing that --plot could draw");
	return TOOL_DONE;
}

int tune_flush_opts_parse(const struct tool_command *command, int argc, char **argv,
			  struct tune_opts *out, bool *stop)
{
	int opt, status;

	*stop = false;
	memset(out, 0, sizeof(*out));
	tool_args_init(&out->args, command, flush_options, argc, argv);
	while ((opt = tool_args_next(&out->args)) != TOOL_OPT_END) {
		if (opt == TOOL_OPT_STOP) {
			*stop = true;
			return out->args.status;
		}
		status = parse_flush_option(command, opt, out);
		if (status != TOOL_DONE)
			return status;
	}
	return check_flush(command, out, optind < argc ? argv[optind] : NULL);
}

static int parse_device_option(const struct tool_command *command, int opt, struct tune_opts *opts)
{
	switch (opt) {
	case OPT_SIZES:
		return parse_sizes(command, "bs", 512, 16u << 20, opts);
	case OPT_IODEPTH:
		return parse_unsigned(command, "iodepth", 1024, &opts->iodepth);
	case OPT_ROUNDS:
		return parse_unsigned(command, "rounds", 99, &opts->rounds);
	case OPT_RUNTIME:
		if (tool_parse_duration(optarg, &opts->runtime_ns) == 0 && opts->runtime_ns != 0)
			return TOOL_DONE;
		return tool_usage(command, "--runtime=%s: a time above 0 is wanted, as 200ms or 2", optarg);
	case OPT_NS:
		return parse_unsigned(command, "ns", 0xfffffffe, &opts->nsid);
	case OPT_OUTPUT:
		return parse_file(command, "output", &opts->output);
	case OPT_QUICK:
		opts->quick = true;
		return TOOL_DONE;
	default:
		return TOOL_USAGE;
	}
}

int tune_device_opts_parse(const struct tool_command *command, int argc, char **argv,
			   struct tune_opts *out, bool *stop)
{
	static const uint64_t sizes[] = { 4096, 16384, 65536, 131072 };
	int opt, status;

	*stop = false;
	memset(out, 0, sizeof(*out));
	out->iodepth = 32;
	tool_args_init(&out->args, command, device_options, argc, argv);
	while ((opt = tool_args_next(&out->args)) != TOOL_OPT_END) {
		if (opt == TOOL_OPT_STOP) {
			*stop = true;
			return out->args.status;
		}
		status = parse_device_option(command, opt, out);
		if (status != TOOL_DONE)
			return status;
	}
	if (optind == argc)
		return tool_usage(command, "a device is missing, as 0000:00:03.0 or emu:nvme");
	if (optind + 1 < argc)
		return tool_usage(command, "'%s' is one word too many", argv[optind + 1]);
	out->device = argv[optind];
	if (!tool_is_device(out->device))
		return tool_usage(command, "'%s' is not a device such as 0000:00:03.0 or emu:nvme",
				  out->device);
	if (out->rounds == 0)
		out->rounds = out->quick ? 3 : 5;
	if (out->runtime_ns == 0)
		out->runtime_ns = out->quick ? 20000000 : 200000000;
	if (out->size_count == 0) {
		memcpy(out->sizes, sizes, sizeof(sizes));
		out->size_count = sizeof(sizes) / sizeof(sizes[0]);
	}
	return TOOL_DONE;
}
