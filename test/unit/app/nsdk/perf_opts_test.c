/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/nsdk/perf.h"
#include "nsdk_unit.h"

static struct perf_opts opts;

/* The words as `nsdk perf` gets them. */
#define parse(...) parse_words((const char *const[]){ __VA_ARGS__, NULL })

static int parse_words(const char *const *words)
{
	static char *argv[16]; /* what was parsed points into it */
	int argc = 1;
	bool stop;

	memset(argv, 0, sizeof(argv));
	argv[0] = (char *)(uintptr_t)"perf";

	while (argc < 15 && words[argc - 1] != NULL) {
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
		argc++;
	}
	return perf_opts_parse(&tool_perf, argc, argv, &opts, &stop);
}

/* What the tool said while doing so; it goes to the standard error. */
static char said[1024];
static int said_fd = -1, stderr_fd = -1;

static void listen_begin(void)
{
	fflush(stderr);
	stderr_fd = dup(STDERR_FILENO);
	said_fd = memfd_create("said", MFD_CLOEXEC);
	dup2(said_fd, STDERR_FILENO);
}

static void listen_end(void)
{
	ssize_t n;

	fflush(stderr);
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	n = pread(said_fd, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(said_fd);
}

static void defaults_are_fios(void)
{
	NSDK_ASSERT_INT(parse("emu:nvme"), TOOL_DONE);
	CU_ASSERT(opts.reads && !opts.writes && !opts.random);
	NSDK_ASSERT_INT(opts.rwmixread, 100);
	NSDK_ASSERT_INT(opts.bs_bytes, 4096);
	NSDK_ASSERT_INT(opts.iodepth, 1);
	NSDK_ASSERT_INT(opts.numjobs, 1);
	NSDK_ASSERT_INT(opts.policy, NSDK_POLICY_COHERENT);
	NSDK_ASSERT_INT(opts.eta, PERF_ETA_AUTO);
	NSDK_ASSERT_INT(opts.number_ios, 0);
	NSDK_ASSERT_INT(opts.runtime_ns, 0);
	CU_ASSERT(!opts.verify && !opts.time_based && !opts.size.given && !opts.offset.given);
	NSDK_ASSERT_INT(opts.device_count, 1);
}

static void kinds_of_load(void)
{
	static const struct {
		const char *word;
		bool reads, writes, random;
		unsigned mix;
	} cases[] = {
		{ "--rw=read", true, false, false, 100 },
		{ "--rw=write", false, true, false, 0 },
		{ "--rw=randread", true, false, true, 100 },
		{ "--rw=randwrite", false, true, true, 0 },
		{ "--rw=rw", true, true, false, 50 },
		{ "--rw=readwrite", true, true, false, 50 },
		{ "--readwrite=randrw", true, true, true, 50 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		NSDK_ASSERT_INT(parse(cases[i].word, "emu:nvme"), TOOL_DONE);
		NSDK_ASSERT_INT(opts.reads, cases[i].reads);
		NSDK_ASSERT_INT(opts.writes, cases[i].writes);
		NSDK_ASSERT_INT(opts.random, cases[i].random);
		NSDK_ASSERT_INT(opts.rwmixread, cases[i].mix);
	}
}

static void all_of_them_are_taken(void)
{
	NSDK_ASSERT_INT(parse("--rw=randrw", "--rwmixread=70", "--bs", "128k", "--iodepth=32",
			      "--numjobs=4", "--cpus_allowed=0,2-3", "--runtime=2m", "--time_based",
			      "emu:nvme", "0000:00:03.0"),
			TOOL_DONE);
	NSDK_ASSERT_INT(opts.rwmixread, 70);
	NSDK_ASSERT_INT(opts.bs_bytes, 131072);
	NSDK_ASSERT_INT(opts.iodepth, 32);
	NSDK_ASSERT_INT(opts.numjobs, 4);
	NSDK_ASSERT_TEXT(opts.cpus_allowed, "0,2-3");
	NSDK_ASSERT_INT(opts.runtime_ns, 120000000000);
	CU_ASSERT(opts.time_based);
	NSDK_ASSERT_INT(opts.device_count, 2);
	NSDK_ASSERT_TEXT(opts.devices[1], "0000:00:03.0");
	NSDK_ASSERT_INT(parse("--number_ios=20000", "--size=50%", "--offset=1g", "--verify",
			      "--policy=nosnoop", "--ns=2", "--randseed=9", "--io_timeout=1",
			      "--stop_timeout=100ms", "--eta=always", "--eta-newline=250ms",
			      "--ready_timeout=3", "--json=/dev/null", "emu:nvme"),
			TOOL_DONE);
	NSDK_ASSERT_INT(opts.number_ios, 20000);
	CU_ASSERT(opts.size.is_percent && opts.size.value == 50);
	CU_ASSERT(!opts.offset.is_percent && opts.offset.value == 1 << 30);
	CU_ASSERT(opts.verify && opts.args.json);
	NSDK_ASSERT_INT(opts.eta, PERF_ETA_ALWAYS);
	NSDK_ASSERT_INT(opts.policy, NSDK_POLICY_NOSNOOP);
	NSDK_ASSERT_INT(opts.nsid, 2);
	NSDK_ASSERT_INT(opts.seed, 9);
	NSDK_ASSERT_INT(opts.io_timeout_ns, 1000000000);
	NSDK_ASSERT_INT(opts.stop_timeout_ns, 100000000);
	NSDK_ASSERT_INT(opts.ready_timeout_ns, 3000000000);
	NSDK_ASSERT_INT(opts.eta_newline_ns, 250000000);
	NSDK_ASSERT_TEXT(opts.args.json_file, "/dev/null");
	NSDK_ASSERT_INT(parse("--wrr_priority=low,1", "--arbitration_burst=2", "--high_weight=7",
			      "--medium_weight=6", "--low_weight=5", "emu:nvme"), TOOL_DONE);
	NSDK_ASSERT_INT(opts.wrr.count, 2);
	NSDK_ASSERT_INT(opts.wrr.priorities[1], NSDK_NVME_PRIORITY_HIGH);
	NSDK_ASSERT_INT(opts.wrr.burst, 2);
	NSDK_ASSERT_INT(opts.wrr.high_weight, 7);
	NSDK_ASSERT_INT(opts.wrr.medium_weight, 6);
	NSDK_ASSERT_INT(opts.wrr.low_weight, 5);
}

/* Each is one sentence, in one line, that names the option and what was given for it. */
static void wrong_values_are_named(void)
{
	static const struct {
		const char *word, *names;
	} cases[] = {
		{ "--rw=trim", "--rw=trim" },
		{ "--rw=", "--rw=" },
		{ "--rwmixread=101", "--rwmixread=101" },
		{ "--rwmixread=x", "from 0 to 100" },
		{ "--bs=1000", "--bs=1000" },
		{ "--bs=0", "--bs=0" },
		{ "--bs=4k,8k", "--bs=4k,8k" },
		{ "--bs=2g", "--bs=2g" },
		{ "--iodepth=0", "--iodepth=0" },
		{ "--iodepth=65536", "from 1 to 65535" },
		{ "--numjobs=0", "--numjobs=0" },
		{ "--numjobs=2000", "from 1 to 1024" },
		{ "--cpus_allowed=", "--cpus_allowed=" },
		{ "--cpus_allowed=3-1", "--cpus_allowed=3-1" },
		{ "--cpus_allowed=a", "a CPU list is wanted" },
		{ "--runtime=0", "--runtime=0" },
		{ "--ready_timeout=0", "--ready_timeout=0" },
		{ "--eta-newline=soon", "--eta-newline=soon" },
		{ "--runtime=-1", "--runtime=-1" },
		{ "--number_ios=0", "--number_ios=0" },
		{ "--size=0", "--size=0" },
		{ "--size=101%", "--size=101%" },
		{ "--offset=1.5g", "--offset=1.5g" },
		{ "--policy=fast", "--policy=fast" },
		{ "--eta=soon", "auto, always or never" },
		{ "--coherence-check=x", "--coherence-check=x" },
		{ "--ns=0", "--ns=0" },
		{ "--seed=z", "--seed=z" },
		{ "--io_timeout=0", "--io_timeout=0" },
		{ "--stop_timeout=never", "--stop_timeout=never" },
		{ "--verify=1", "--verify takes no value" },
		{ "--json=", "--json=" },
		{ "--nonsense", "unknown option '--nonsense'" },
		{ "--nonsense=3", "unknown option '--nonsense'" },
		{ "-x", "unknown option '-x'" },
		{ "--bs", "--bs wants a value" },
		{ "nvme0", "'nvme0' is not a device" },
		{ "--time_based", "--time_based wants --runtime" },
		{ "--wrr_priority=high,", "--wrr_priority=high," },
		{ "--arbitration_burst=65", "from 1 to 64" },
		{ "--high_weight=257", "--high_weight=257: a whole number from 1 to 256 is wanted" },
		{ "--medium_weight=0", "--medium_weight=0" },
		{ "--low_weight=x", "--low_weight=x" },
		{ "--low_weight=2", "say --wrr_priority as well" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status;

		listen_begin();
		status = parse("emu:nvme", cases[i].word);
		listen_end();
		NSDK_ASSERT_INT(status, TOOL_USAGE);
		if (strstr(said, cases[i].names) == NULL)
			NSDK_ASSERT_TEXT(said, cases[i].names);
		/* One line, and it leads to more. */
		CU_ASSERT(strchr(said, '\n') == said + strlen(said) - 1);
		CU_ASSERT(strstr(said, "nsdk perf --help") != NULL);
	}
}

static void a_device_is_wanted(void)
{
	listen_begin();
	NSDK_ASSERT_INT(parse("--rw=read"), TOOL_USAGE);
	listen_end();
	CU_ASSERT(strstr(said, "a device is missing") != NULL);
}

static void a_coherence_check_has_consequences(void)
{
	char *words;

	NSDK_ASSERT_INT(parse("emu:nvme"), TOOL_DONE);
	CU_ASSERT(!opts.coherence_check);
	NSDK_ASSERT_INT(parse("--coherence-check=7", "emu:nvme"), TOOL_DONE);
	CU_ASSERT(opts.coherence_check && opts.verify);
	NSDK_ASSERT_INT(opts.policy, NSDK_POLICY_NOSNOOP);
	NSDK_ASSERT_INT(opts.check_seed, 7);

	/* Without a seed, one that is new each time and short enough to type. */
	for (unsigned i = 0; i < 2; i++) {
		uint64_t first = opts.check_seed;

		NSDK_ASSERT_INT(parse(i == 0 ? "--coherence-check" : "--coherence-check=0",
				      "emu:nvme"),
				TOOL_DONE);
		CU_ASSERT(opts.check_seed != 0 && opts.check_seed < 1000000000);
		CU_ASSERT(opts.check_seed != first);
	}

	NSDK_ASSERT_INT(parse("--coherence-check=7", "emu:nvme"), TOOL_DONE);
	words = perf_check_words(&opts, "emu:nvme");
	NSDK_ASSERT_TEXT(words, "emu:nvme,nosnoop=all,seed=7");
	free(words);
	words = perf_check_words(&opts, "emu:nvme,file=nosnoop=x,size=1m");
	NSDK_ASSERT_TEXT(words, "emu:nvme,file=nosnoop=x,size=1m,nosnoop=all,seed=7");
	free(words);
	/* What the words say already is not said again. */
	words = perf_check_words(&opts, "emu:nvme,seed=3,nosnoop=data");
	NSDK_ASSERT_TEXT(words, "emu:nvme,seed=3,nosnoop=data");
	free(words);
}

static void assert_check_refused(const char *option, const char *device, const char *why)
{
	listen_begin();
	NSDK_ASSERT_INT(parse("--coherence-check=7", option, device), TOOL_USAGE);
	listen_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(said, why));
}

static void a_coherence_check_of_what_it_cannot_watch_is_refused(void)
{
	assert_check_refused("--rw=read", "0000:00:03.0", "hardware does not go through");
	assert_check_refused("--rw=read", "pci:0000:00:03.0", "hardware does not go through");
	assert_check_refused("--policy=coherent", "emu:nvme", "--policy=coherent takes another");
	assert_check_refused("--policy=auto", "emu:nvme", "--policy=auto takes another");
	assert_check_refused("--rw=read", "emu:nvme,seed=9", "each give a seed");
	NSDK_ASSERT_INT(parse("--coherence-check=7", "--policy=nosnoop", "emu:nvme"), TOOL_DONE);
	NSDK_ASSERT_INT(parse("--coherence-check", "emu:nvme,seed=9"), TOOL_DONE);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(defaults_are_fios),
	NSDK_UNIT_TEST(kinds_of_load),
	NSDK_UNIT_TEST(all_of_them_are_taken),
	NSDK_UNIT_TEST(wrong_values_are_named),
	NSDK_UNIT_TEST(a_device_is_wanted),
	NSDK_UNIT_TEST(a_coherence_check_has_consequences),
	NSDK_UNIT_TEST(a_coherence_check_of_what_it_cannot_watch_is_refused),
};

static int start(void)
{
	tool_log_start();
	return 0;
}

NSDK_UNIT_MAIN("app/nsdk/perf_opts", tests, .start = start)
