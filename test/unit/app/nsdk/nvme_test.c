/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: what the driver refuses without a word, one by one, each subcommand says in one sentence.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nsdk/nvme_admin.h>

#include "app/nsdk/tool.h"
#include "nsdk_unit.h"

#define DEVICE "emu:nvme,size=1m,ana=1"
#define PLACES "emu:nvme,size=1m,fdp=1"
#define MAX_CALLS 8u

/* The n-th call of nsdk_nvme_admin_sync() fails so; n is 0: none does. */
static unsigned calls, nth;
static int failure;

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
	return __real_nsdk_nvme_admin_sync(ctrlr, cmd, data, bytes, dir, timeout_ns, cpl);
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

/* @param[out] lines  that it said. @return its status. */
static int run(const struct sub *sub, unsigned *lines)
{
	char *argv[8] = { (char *)(uintptr_t)"nvme" };
	int argc = 1, status, out, err, character;
	FILE *said = tmpfile();

	for (unsigned i = 0; i < 6 && sub->words[i]; i++)
		argv[argc++] = (char *)(uintptr_t)sub->words[i];
	fflush(NULL);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	CU_ASSERT_FATAL(said != NULL && out >= 0 && err >= 0);
	CU_ASSERT_FATAL(freopen("/dev/null", "w", stdout) != NULL);
	dup2(fileno(said), STDERR_FILENO);
	calls = 0;
	tool_log_start();
	status = tool_nvme.run(&tool_nvme, argc, argv);
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	*lines = 0;
	rewind(said);
	while ((character = fgetc(said)) != EOF)
		*lines += character == '\n';
	fclose(said);
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

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(refused_without_a_word),
};

NSDK_UNIT_MAIN("app/nsdk/nvme", tests)
