/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words of `nsdk tune`, on a machine of CPUs 0 to 7, of which 7 is offline and 6 is not ours.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/nsdk/tune.h"
#include "nsdk_unit.h"

int __wrap_nsdk_cpumask_get_affinity(nsdk_cpumask_t *out);
int __wrap_nsdk_cpumask_get_affinity(nsdk_cpumask_t *out)
{
	return nsdk_cpumask_parse("0-5", out);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	static char online[] = "0-6\n";

	if (strcmp(path, "/sys/devices/system/cpu/online") == 0)
		return fmemopen(online, sizeof(online) - 1, "r");
	return __real_fopen(path, mode);
}

static struct tune_opts opts;
static bool stop;

#define flush(...) parse_words(tune_flush_opts_parse, (const char *const[]){ __VA_ARGS__, NULL })
#define device(...) parse_words(tune_device_opts_parse, (const char *const[]){ __VA_ARGS__, NULL })

static int parse_words(int (*parse)(const struct tool_command *, int, char **, struct tune_opts *, bool *),
		       const char *const *words)
{
	static char *argv[16]; /* what was parsed points into it */
	int argc = 0;

	memset(argv, 0, sizeof(argv));
	while (argc < 15 && words[argc] != NULL) {
		argv[argc] = (char *)(uintptr_t)words[argc];
		argc++;
	}
	return parse(&tool_tune, argc, argv, &opts, &stop);
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

/* As main() has it: the library's sentences are the tool's to print. */
static int start(void)
{
	tool_log_start();
	return 0;
}

static void flush_defaults(void)
{
	NSDK_ASSERT_INT(flush("flush"), TOOL_DONE);
	CU_ASSERT(!stop && !opts.quick && !opts.check && !opts.wbinvd && !opts.args.json);
	NSDK_ASSERT_INT(opts.size_count, 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&opts.cpus), 0);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&opts.flush_cpus), 0);
	CU_ASSERT(opts.output == NULL && opts.plot == NULL && opts.device == NULL);
}

static void flush_takes_all_of_them(void)
{
	NSDK_ASSERT_INT(flush("flush", "--cpus=0,2-3", "--flush-cpus", "4-5", "--sizes=64,4k,1m", "--quick",
			      "--plot=x.svg", "--output=p.json", "--json", "--wbinvd=kvm",
			      "--device=0000:00:03.0"),
			TOOL_DONE);
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&opts.cpus), 3);
	CU_ASSERT(nsdk_cpumask_test(&opts.cpus, 2) && !nsdk_cpumask_test(&opts.cpus, 1));
	NSDK_ASSERT_INT(nsdk_cpumask_weight(&opts.flush_cpus), 2);
	NSDK_ASSERT_INT(opts.size_count, 3);
	NSDK_ASSERT_INT(opts.sizes[0], 64);
	NSDK_ASSERT_INT(opts.sizes[2], 1 << 20);
	NSDK_ASSERT_TEXT(opts.plot, "x.svg");
	NSDK_ASSERT_TEXT(opts.output, "p.json");
	NSDK_ASSERT_TEXT(opts.device, "0000:00:03.0");
	CU_ASSERT(opts.quick && opts.wbinvd && opts.args.json);
	NSDK_ASSERT_INT(flush("flush", "--check"), TOOL_DONE);
	CU_ASSERT(opts.check);
}

static void device_defaults_and_words(void)
{
	NSDK_ASSERT_INT(device("device", "emu:nvme"), TOOL_DONE);
	NSDK_ASSERT_TEXT(opts.device, "emu:nvme");
	NSDK_ASSERT_INT(opts.iodepth, 32);
	NSDK_ASSERT_INT(opts.rounds, 5);
	NSDK_ASSERT_INT(opts.runtime_ns, 200000000);
	NSDK_ASSERT_INT(opts.size_count, 4);
	NSDK_ASSERT_INT(opts.sizes[3], 131072);
	NSDK_ASSERT_INT(device("device", "emu:nvme", "--quick"), TOOL_DONE);
	NSDK_ASSERT_INT(opts.rounds, 3);
	NSDK_ASSERT_INT(opts.runtime_ns, 20000000);
	NSDK_ASSERT_INT(device("device", "--bs=512,1m", "--iodepth=1", "--rounds=7", "--runtime=1", "--ns=2",
			       "--output=x", "0000:00:03.0", "--quick"),
			TOOL_DONE);
	NSDK_ASSERT_INT(opts.size_count, 2);
	NSDK_ASSERT_INT(opts.iodepth, 1);
	NSDK_ASSERT_INT(opts.rounds, 7);
	NSDK_ASSERT_INT(opts.runtime_ns, 1000000000);
	NSDK_ASSERT_INT(opts.nsid, 2);
}

/* Each is one sentence, in one line, that names the option and what was given for it. */
static void wrong_words_are_named(void)
{
	static const struct {
		const char *words[4];
		const char *names;
	} cases[] = {
		{ { "flush", "--cpus=" }, "--cpus=:" },
		{ { "flush", "--cpus=2-1" }, "--cpus=2-1:" },
		{ { "flush", "--cpus=7" }, "--cpus=7: CPU 7 is not online" },
		{ { "flush", "--flush-cpus=5-6" }, "--flush-cpus=5-6: CPU 6 is outside" },
		{ { "flush", "--flush-cpus=0-5" }, "leave one" },
		{ { "flush", "--cpus=0-2", "--flush-cpus=2-3" }, "CPU 2 is in --cpus and in --flush-cpus" },
		{ { "flush", "--sizes=" }, "--sizes=:" },
		{ { "flush", "--sizes=4k,,8k" }, "--sizes=4k,,8k" },
		{ { "flush", "--sizes=8k,4k" }, "'4k' is not above" },
		{ { "flush", "--sizes=32" }, "multiples of 64 bytes up to 1024m" },
		{ { "flush", "--sizes=1025m" }, "--sizes=1025m" },
		{ { "flush", "--sizes=00000000000000000000000000000000004k" }, "--sizes=" },
		{ { "flush", "--wbinvd=" }, "--wbinvd=" },
		{ { "flush", "--wbinvd=kvm" }, "--device" },
		{ { "flush", "--device=emu:nvme" }, "--wbinvd=kvm" },
		{ { "flush", "--plot=" }, "--plot=" },
		{ { "flush", "--output=" }, "--output=" },
		{ { "flush", "--check", "--plot=x" }, "--check" },
		{ { "flush", "now" }, "'now'" },
		{ { "device", "--bs=4k" }, "a device is missing" },
		{ { "device", "emu:nvme", "--bs=1000" }, "--bs=1000" },
		{ { "device", "emu:nvme", "--bs=32m" }, "up to 16m" },
		{ { "device", "emu:nvme", "--iodepth=1025" }, "from 1 to 1024" },
		{ { "device", "emu:nvme", "--rounds=0" }, "--rounds=0" },
		{ { "device", "emu:nvme", "--runtime=soon" }, "--runtime=soon" },
		{ { "device", "nvme0" }, "'nvme0'" },
		{ { "device", "emu:nvme", "emu:nvme" }, "one word too many" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool is_flush = strcmp(cases[i].words[0], "flush") == 0;
		int status;

		listen_begin();
		status = parse_words(is_flush ? tune_flush_opts_parse : tune_device_opts_parse,
				     cases[i].words);
		listen_end();
		NSDK_ASSERT_INT(status, TOOL_USAGE);
		CU_ASSERT_PTR_NOT_NULL(strchr(said, '\n'));
		NSDK_ASSERT_INT(strlen(said), strcspn(said, "\n") + 1);
		if (strstr(said, cases[i].names) == NULL)
			NSDK_ASSERT_TEXT(said, cases[i].names);
	}
}

static void too_many_sizes(void)
{
	char words[600] = "--sizes=64";

	for (unsigned i = 2; i <= NSDK_TUNE_MAX_POINTS + 1; i++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), ",%u", i * 64);
	listen_begin();
	NSDK_ASSERT_INT(flush("flush", words), TOOL_USAGE);
	listen_end();
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "more than the 32 sizes"));
	*strrchr(words, ',') = '\0';
	NSDK_ASSERT_INT(flush("flush", words), TOOL_DONE);
	NSDK_ASSERT_INT(opts.size_count, NSDK_TUNE_MAX_POINTS);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(flush_defaults),
	NSDK_UNIT_TEST(flush_takes_all_of_them),
	NSDK_UNIT_TEST(device_defaults_and_words),
	NSDK_UNIT_TEST(wrong_words_are_named),
	NSDK_UNIT_TEST(too_many_sizes),
};

NSDK_UNIT_MAIN("app/nsdk/tune_opts", tests, .start = start)
