/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: what the driver refuses without a word, one by one, each subcommand says in one sentence; and
 * log pages of sizes that no controller has are not believed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/nvme_admin.h>
#include <nsdk/nvme_fdp.h>

#include "app/nsdk/tool.h"
#include "nsdk_unit.h"

#define DEVICE "emu:nvme,size=1m,ana=1"
#define PLACES "emu:nvme,size=1m,fdp=1"
#define MAX_CALLS 8u

/* The n-th call of nsdk_nvme_admin_sync() fails so; n is 0: none does. */
static unsigned calls, nth;
static int failure;
/* Or a Directive Receive succeeds, with this. */
static const void *answer;
static size_t answer_bytes;
static struct nsdk_nvme_cmd asked;

int __real_nsdk_nvme_admin_sync(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd, void *data,
				size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
				struct nsdk_nvme_cpl *cpl);
int __wrap_nsdk_nvme_admin_sync(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd, void *data,
				size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
				struct nsdk_nvme_cpl *cpl);
int __wrap_nsdk_nvme_admin_sync(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cmd *cmd, void *data,
				size_t bytes, enum nsdk_dma_dir dir, uint64_t timeout_ns,
				struct nsdk_nvme_cpl *cpl)
{
	if (++calls == nth)
		return failure;
	if (answer != NULL && cmd->opcode == NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE) {
		asked = *cmd;
		if (bytes)
			memcpy(data, answer, bytes < answer_bytes ? bytes : answer_bytes);
		*cpl = (struct nsdk_nvme_cpl){ .dw0 = 5 };
		return 0;
	}
	return __real_nsdk_nvme_admin_sync(ctrlr, cmd, data, bytes, dir, timeout_ns, cpl);
}

/* A log page as a controller says it that lies; NULL: as it is. Up to where it was read, and how often. */
static const uint8_t *lie;
static size_t lie_bytes, read_bytes;
static unsigned reads;

int __real_nsdk_nvme_get_log(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_log_opts *opts, void *data,
			     size_t bytes, struct nsdk_nvme_cpl *cpl);
int __wrap_nsdk_nvme_get_log(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_log_opts *opts, void *data,
			     size_t bytes, struct nsdk_nvme_cpl *cpl);
int __wrap_nsdk_nvme_get_log(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_log_opts *opts, void *data,
			     size_t bytes, struct nsdk_nvme_cpl *cpl)
{
	if (lie == NULL)
		return __real_nsdk_nvme_get_log(ctrlr, opts, data, bytes, cpl);
	reads++;
	if (opts->offset + bytes > read_bytes)
		read_bytes = opts->offset + bytes;
	memset(data, 0, bytes);
	if (opts->offset < lie_bytes)
		memcpy(data, lie + opts->offset,
		       bytes < lie_bytes - opts->offset ? bytes : lie_bytes - opts->offset);
	cpl->status = 0;
	return 0;
}

static const struct sub {
	const char *words[6];
} subs[] = {
	{ { "id-ctrl", DEVICE } },
	{ { "id-ns", DEVICE } },
	{ { "list-ns", DEVICE } },
	{ { "ns-descs", DEVICE } },
	{ { "id-uuid", DEVICE } },
	{ { "nvm-id-ns-lba-format", DEVICE } },
	{ { "smart-log", DEVICE } },
	{ { "error-log", DEVICE } },
	{ { "get-log", DEVICE, "-i5", "-l5001" } },
	{ { "ana-log", DEVICE } },
	{ { "telemetry-log", DEVICE, "-O/dev/null" } },
	{ { "get-lba-status", DEVICE } },
	{ { "get-feature", DEVICE, "-f4" } },
	{ { "format", DEVICE, "-n1", "-b4096", "--yes" } },
	{ { "sanitize", DEVICE, "-a2", "--yes" } },
	{ { "delete-ns", DEVICE, "-n1", "--yes" } },
	{ { "device-self-test", DEVICE } },
	{ { "security-recv", DEVICE, "-x64" } },
	{ { "admin-passthru", DEVICE, "-o6", "--cdw10=1", "-l8", "-r" } },
	{ { "zns", "id-ns", "emu:nvme,size=2m,zoned=1,zone=1m" } },
	{ { "fdp", "configs", PLACES, "-b" } },
	{ { "fdp", "usage", PLACES } },
	{ { "fdp", "stats", PLACES } },
	{ { "fdp", "events", PLACES } },
	{ { "fdp", "set-events", PLACES, "-t0" } },
	{ { "fdp", "feature", PLACES } },
	{ { "dir-receive", PLACES, "-O1" } },
	{ { "dir-send", PLACES, "-O1", "-T2", "-e1" } },
};

static char sentence[512], shown[2048];

/* @param[out] lines  that it said, of which the last one is kept. @return its status. */
static int run(const struct sub *sub, unsigned *lines)
{
	char *argv[8] = { (char *)(uintptr_t)"nvme" };
	int argc = 1, status, out, err;
	FILE *said = tmpfile(), *shows = tmpfile();
	size_t length;

	for (unsigned i = 0; i < 6 && sub->words[i]; i++)
		argv[argc++] = (char *)(uintptr_t)sub->words[i];
	fflush(NULL);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	CU_ASSERT_FATAL(said != NULL && shows != NULL && out >= 0 && err >= 0);
	dup2(fileno(shows), STDOUT_FILENO);
	dup2(fileno(said), STDERR_FILENO);
	calls = reads = 0;
	read_bytes = 0;
	tool_log_start();
	status = tool_nvme.run(&tool_nvme, argc, argv);
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	*lines = 0;
	rewind(said);
	while (fgets(sentence, sizeof(sentence), said) != NULL)
		++*lines;
	fclose(said);
	rewind(shows);
	length = fread(shown, 1, sizeof(shown) - 1, shows);
	shown[length] = '\0';
	fclose(shows);
	return status;
}

static void refused_without_a_word(void)
{
	static const int errors[] = { -ENOMEM, -EOPNOTSUPP, -EINVAL, -EPERM, -EIO };
	unsigned lines;

	for (unsigned i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
		unsigned all;

		nth = 0;
		NSDK_ASSERT_INT(run(&subs[i], &lines), TOOL_DONE);
		all = calls;
		CU_ASSERT(all >= 1 && all < MAX_CALLS);
		for (nth = 1; nth <= all; nth++) {
			failure = errors[(i + nth) % (sizeof(errors) / sizeof(errors[0]))];
			NSDK_ASSERT_INT(run(&subs[i], &lines), TOOL_FAILED);
			NSDK_ASSERT_INT(lines, 1);
		}
	}
}

static void believe(const struct sub *sub, const void *log, size_t bytes, const char *pattern)
{
	unsigned lines;

	nth = 0;
	lie = log;
	lie_bytes = bytes;
	NSDK_ASSERT_INT(run(sub, &lines), pattern ? TOOL_FAILED : TOOL_DONE);
	lie = NULL;
	NSDK_ASSERT_INT(lines, pattern ? 1 : 0);
	if (pattern)
		CU_ASSERT(lines == 1 && strstr(sentence, pattern) != NULL);
	/* Nothing of what is said to be there was looked for. */
	CU_ASSERT(read_bytes <= 8192 && reads <= 8);
}

static void logs_of_any_size(void)
{
	static const struct sub ana = { { "ana-log", "emu:nvme,size=4k,namespaces=1024,ana=1" } };
	static const struct sub telemetry = { { "telemetry-log", DEVICE, "-O/dev/null", "-d4" } };
	struct {
		struct nsdk_nvme_ana_header header;
		struct nsdk_nvme_ana_group group;
		uint32_t nsids[1024];
	} log = { .header = { .groups = 1 }, .group = { .group = 1, .namespaces = 1024, .state = 1 } };
	struct nsdk_nvme_telemetry_header header = { .last_block = { 2, 4, 8 }, .last_block4 = UINT32_MAX };

	/* One that is larger than what is read at first. */
	believe(&ana, &log, sizeof(log), NULL);
	NSDK_ASSERT_INT(read_bytes, sizeof(log));
	NSDK_ASSERT_INT(reads, 3);
	log.group.namespaces = 1025;
	believe(&ana, &log, sizeof(log), "has 1025 namespaces, and Identify allows 1024");
	log.group.namespaces = UINT32_MAX;
	believe(&ana, &log, sizeof(log), "has 4294967295 namespaces");
	log.header.groups = UINT16_MAX;
	believe(&ana, &log, sizeof(log), "has 65535 groups, and Identify allows 1");

	believe(&telemetry, &header, sizeof(header), "is more than the 268435456 that are read");
	header.last_block4 = 7;
	believe(&telemetry, &header, sizeof(header), "data area 4 of the telemetry ends before area 3");
	header.last_block4 = 0;
	header.last_block[2] = 1;
	believe(&telemetry, &header, sizeof(header), "data area 3 of the telemetry ends before area 2");
	header.last_block[1] = 1;
	believe(&telemetry, &header, sizeof(header), "data area 2 of the telemetry ends before area 1");
}

/* In nvme-cli's words, of a controller that has them. */
static void streams(void)
{
	static const struct sub parameters = { { "dir-receive", PLACES, "-D1", "-O1", "-H" } };
	static const struct sub status = { { "dir-receive", PLACES, "-D1", "-O2", "-H", "-l6" } };
	static const struct sub short_status = { { "dir-receive", PLACES, "-D1", "-O2", "-H", "-l8" } };
	static const struct sub allocate = { { "dir-receive", PLACES, "-D1", "-O3", "-H", "-r5" } };
	static const struct nsdk_nvme_streams told = { .msl = 64, .nssa = 32, .nsso = 8, .nssc = 1, .sws = 9,
						       .sgs = 4, .nsa = 5, .nso = 6 };
	static const uint16_t open_ones[] = { 4, 7, 9, 0x1234, 3 };
	unsigned lines;

	nth = 0;
	answer = &told;
	answer_bytes = sizeof(told);
	NSDK_ASSERT_INT(run(&parameters, &lines), TOOL_DONE);
	NSDK_ASSERT_INT(asked.cdw10, 7);
	NSDK_ASSERT_INT(asked.cdw11, 0x101);
	CU_ASSERT(strstr(shown, "\tMax Streams Limit                          (MSL): 64\n") != NULL);
	CU_ASSERT(strstr(shown, "(NSSA): 32\n") != NULL && strstr(shown, "(NSSO): 8\n") != NULL);
	CU_ASSERT(strstr(shown, "(NSSC): 1\n") != NULL && strstr(shown, "(SWS): 9\n") != NULL);
	CU_ASSERT(strstr(shown, "(SGS): 4\n\tNamespace Streams Allocated                (NSA): 5\n"
				"\tNamespace Streams Open                     (NSO): 6\n") != NULL);
	answer = open_ones;
	answer_bytes = sizeof(open_ones);
	NSDK_ASSERT_INT(run(&status, &lines), TOOL_USAGE);
	NSDK_ASSERT_INT(run(&short_status, &lines), TOOL_DONE);
	NSDK_ASSERT_INT(asked.cdw11, 0x102);
	/* No more of them than came. */
	CU_ASSERT(strstr(shown, "\tOpen Stream Count  : 4\n\tStream Identifier 000001 : 7\n"
				"\tStream Identifier 000002 : 9\n\tStream Identifier 000003 : 4660\n") != NULL);
	CU_ASSERT(strstr(shown, "000004") == NULL);
	NSDK_ASSERT_INT(run(&allocate, &lines), TOOL_DONE);
	NSDK_ASSERT_INT(asked.cdw11, 0x103);
	NSDK_ASSERT_INT(asked.cdw12, 5);
	CU_ASSERT(strstr(shown, "result:0x5\n\tNamespace Streams Allocated (NSA): 5\n") != NULL);
	answer = NULL;
}

/* What was said of something else while the controller was attached is not what came of the command. */
static void warned_of_before(void)
{
	static const struct sub unusable = { { "smart-log", "emu:nvme,size=1m,fault=identify" } };
	unsigned lines;

	nth = 0;
	NSDK_ASSERT_INT(run(&unusable, &lines), TOOL_DONE);
	NSDK_ASSERT_INT(lines, 1);
	CU_ASSERT(strstr(sentence, "namespace 1 cannot be used") != NULL);
	nth = calls;
	failure = -EIO;
	NSDK_ASSERT_INT(run(&unusable, &lines), TOOL_FAILED);
	NSDK_ASSERT_INT(lines, 2);
	CU_ASSERT(strstr(sentence, "Get Log Page 02h could not be done: Input/output error") != NULL);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(refused_without_a_word),
	NSDK_UNIT_TEST(logs_of_any_size),
	NSDK_UNIT_TEST(warned_of_before),
	NSDK_UNIT_TEST(streams),
};

NSDK_UNIT_MAIN("app/nsdk/nvme", tests)
