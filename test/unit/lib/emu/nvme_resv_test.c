/* SPDX-License-Identifier: BSD-3-Clause */
/* Reservations: a host alone, and one beside a rival that holds one. */
#include "nvme_host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY 0x1234u
#define OTHER 0x5678u

static struct host_queue io;
static uint8_t *data;
static uint32_t of = 1; /* this namespace */

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 16);
	data = host_pages(HOST_PAGE);
}

static int resv(unsigned opcode, uint32_t cdw10, uint64_t first, uint64_t second)
{
	struct nsdk_nvme_cmd cmd = { .opcode = (uint8_t)opcode, .nsid = of, .prp1 = host_iova(data),
				     .cdw10 = cdw10 };

	memcpy(data, &first, 8);
	memcpy(data + 8, &second, 8);
	return host_run(&io, &cmd);
}

static int reg(unsigned action, uint64_t current, uint64_t key)
{
	return resv(NSDK_NVME_NVM_RESV_REGISTER, action, current, key);
}

static int acquire(unsigned action, unsigned type, uint64_t key, uint64_t preempt)
{
	return resv(NSDK_NVME_NVM_RESV_ACQUIRE, action | type << 8, key, preempt);
}

static int release(unsigned action, unsigned type, uint64_t key)
{
	return resv(NSDK_NVME_NVM_RESV_RELEASE, action | type << 8, key, 0);
}

static const struct nsdk_nvme_resv_status *report(uint32_t dwords)
{
	struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_NVM_RESV_REPORT, .nsid = of,
				     .prp1 = host_iova(data), .cdw10 = dwords - 1 };

	memset(data, 0xee, HOST_PAGE);
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	return (const void *)data;
}

static const struct nsdk_nvme_resv_ctrlr *entry(unsigned index)
{
	return (const void *)(data + 24 + 24 * index);
}

static int rw(unsigned opcode)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, 0, 1, host_iova(data), 0);

	return host_run(&io, &cmd);
}

static void a_host_alone(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(report(18)->registered[0], 0);
	NSDK_ASSERT_INT(acquire(0, 1, KEY, 0), HOST_GENERIC(RESERVATION_CONFLICT));
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, KEY), 0);
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, KEY), 0);
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, OTHER), HOST_GENERIC(RESERVATION_CONFLICT));
	NSDK_ASSERT_INT(acquire(0, 1, OTHER, 0), HOST_GENERIC(RESERVATION_CONFLICT));
	for (unsigned type = 1; type <= 6; type++) {
		NSDK_ASSERT_INT(acquire(0, type, KEY, 0), 0);
		NSDK_ASSERT_INT(acquire(0, type, KEY, 0), 0);
		NSDK_ASSERT_INT(acquire(0, type % 6 + 1, KEY, 0), HOST_GENERIC(RESERVATION_CONFLICT));
		NSDK_ASSERT_INT(report(18)->type, type);
		NSDK_ASSERT_INT(entry(0)->status, 1);
		CU_ASSERT_EQUAL(entry(0)->key, KEY);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE), 0);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ), 0);
		NSDK_ASSERT_INT(release(0, type % 6 + 1, KEY), HOST_GENERIC(INVALID_FIELD));
		NSDK_ASSERT_INT(release(0, type, KEY), 0);
		NSDK_ASSERT_INT(report(18)->type, 0);
	}
	NSDK_ASSERT_INT(acquire(0, 0, KEY, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(acquire(0, 7, KEY, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(acquire(3, 1, KEY, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REPLACE, KEY, OTHER), 0);
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REPLACE, KEY, OTHER), HOST_GENERIC(RESERVATION_CONFLICT));
	NSDK_ASSERT_INT(acquire(0, 2, OTHER, 0), 0);
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_UNREGISTER, KEY, 0), HOST_GENERIC(RESERVATION_CONFLICT));
	/* With its registration goes its reservation. */
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_UNREGISTER, OTHER, 0), 0);
	NSDK_ASSERT_INT(report(18)->type, 0);
	NSDK_ASSERT_INT(report(18)->registered[0], 0);
	NSDK_ASSERT_INT(reg(3, 0, 0), HOST_GENERIC(INVALID_FIELD));
}

static void a_rival_is_in_the_way(void)
{
	static const struct {
		unsigned type;
		bool reads, writes, registered_writes;
	} rules[] = {
		{ 1, true, false, false }, { 2, false, false, false }, { 3, true, false, true },
		{ 4, false, false, true }, { 5, true, false, true },   { 6, false, false, true },
	};
	static const unsigned writers[] = { NSDK_NVME_NVM_WRITE, NSDK_NVME_NVM_WRITE_ZEROES,
					    NSDK_NVME_NVM_WRITE_UNCORRECTABLE };
	const int conflict = HOST_GENERIC(RESERVATION_CONFLICT);
	char options[40];

	for (unsigned i = 0; i < 6; i++) {
		uint64_t key;

		snprintf(options, sizeof(options), "size=1M,rival=%u", rules[i].type);
		start(options);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ), rules[i].reads ? 0 : conflict);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_VERIFY), rules[i].reads ? 0 : conflict);
		for (unsigned w = 0; w < 3; w++)
			NSDK_ASSERT_INT(rw(writers[w]), conflict);
		NSDK_ASSERT_INT(report(18)->type, rules[i].type);
		NSDK_ASSERT_INT(report(18)->registered[0], 1);
		NSDK_ASSERT_INT(entry(0)->status, 1);
		key = entry(0)->key;
		NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, KEY), 0);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE), rules[i].registered_writes ? 0 : conflict);
		if (rules[i].type < 5)
			NSDK_ASSERT_INT(acquire(0, rules[i].type, KEY, 0), conflict);
		NSDK_ASSERT_INT(release(0, rules[i].type < 5 ? 6 : 1, KEY),
				rules[i].type < 5 ? 0 : HOST_GENERIC(INVALID_FIELD));
		NSDK_ASSERT_INT(acquire(1, 2, KEY, key + 1), conflict);
		NSDK_ASSERT_INT(acquire(i % 2 + 1, 2, KEY, rules[i].type < 5 ? key : 0), 0);
		NSDK_ASSERT_INT(report(18)->type, 2);
		NSDK_ASSERT_INT(report(18)->registered[0], 1);
		CU_ASSERT_EQUAL(entry(0)->key, KEY);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE), 0);
		NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ), 0);
		host_stop();
	}
	start("size=1M,rival=2");
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, KEY), 0);
	NSDK_ASSERT_INT(release(NSDK_NVME_RESV_CLEAR, 0, OTHER), conflict);
	NSDK_ASSERT_INT(release(NSDK_NVME_RESV_CLEAR, 0, KEY), 0);
	NSDK_ASSERT_INT(report(18)->registered[0], 0);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_WRITE), 0);
}

static void reports_as_much_as_is_asked_for(void)
{
	start("size=1M,rival=5");
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_PERSIST_ON, 0, KEY), 0);
	NSDK_ASSERT_INT(report(6)->registered[0], 2);
	NSDK_ASSERT_INT(data[24], 0xee);
	NSDK_ASSERT_INT(report(18)->persists, 1);
	/* All registrants hold it. */
	NSDK_ASSERT_INT(entry(0)->status, 1);
	NSDK_ASSERT_INT(entry(1)->status, 1);
	CU_ASSERT_EQUAL(entry(0)->key, KEY);
	NSDK_ASSERT_INT(report(100)->generation, 2);
	NSDK_ASSERT_INT(data[72], 0);
	NSDK_ASSERT_INT(data[400], 0xee);
}

/* What is to persist is there again, with the other host's controller, too; the rest is not. */
static void persists_in_a_file(void)
{
	char path[] = "/tmp/nsdk-resv-test.XXXXXX", options[80], other[100];
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0);
	snprintf(options, sizeof(options), "size=1M,namespaces=2,resv_file=%s", path);
	snprintf(other, sizeof(other), "%s,host=2", options);
	start(options);
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, KEY), 0);
	host_stop();
	start(options);
	NSDK_ASSERT_INT(report(18)->registered[0], 0);
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_PERSIST_ON, 0, KEY), 0);
	NSDK_ASSERT_INT(acquire(0, NSDK_NVME_RESV_EXCLUSIVE_ACCESS, KEY, 0), 0);
	host_stop();

	start(other);
	NSDK_ASSERT_INT(report(18)->type, NSDK_NVME_RESV_EXCLUSIVE_ACCESS);
	NSDK_ASSERT_INT(report(18)->persists, 1);
	NSDK_ASSERT_INT(entry(0)->host_id, 1);
	NSDK_ASSERT_INT(entry(0)->status, 1);
	CU_ASSERT_EQUAL(entry(0)->key, KEY);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ), HOST_GENERIC(RESERVATION_CONFLICT));
	NSDK_ASSERT_INT(reg(NSDK_NVME_RESV_REGISTER, 0, OTHER), 0);
	host_stop();

	start(options);
	NSDK_ASSERT_INT(report(18)->registered[0], 2);
	NSDK_ASSERT_INT(entry(0)->status, 1);
	CU_ASSERT_EQUAL(entry(0)->key, KEY);
	CU_ASSERT_EQUAL(entry(1)->key, OTHER);
	NSDK_ASSERT_INT(rw(NSDK_NVME_NVM_READ), 0);
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_REPLACE | 2u << 30, KEY, KEY), 0);
	host_stop();
	start(options);
	NSDK_ASSERT_INT(report(18)->registered[0], 0);
	host_stop();

	unlink(path);
	close(fd);
}

static void refused(const char *options, int rc, const char *sentence)
{
	struct nsdk_emu_model *model;

	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_emu_nvme.create(options, &model), rc);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
	nsdk_unit_log_stop();
}

/* What nobody has kept is neither believed nor written to; and of two controllers it is one's at a time. */
static void files_of_others(void)
{
	static const struct {
		off_t at;
		uint8_t byte;
	} lies[] = { { 0, 'n' }, { 16, 2 }, { 20, 31 }, { 32 + 20, 7 }, { 32 + 20, 0 }, { 32 + 21, 3 },
		     { 32 + 21, 2 }, { 32 + 21, 1 }, { 32 + 22, 4 }, { 32 + 22, 2 }, { 32 + 23, 2 } };
	char path[] = "/tmp/nsdk-resv-test.XXXXXX", options[80];
	uint8_t good[64], now[64];
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0);
	snprintf(options, sizeof(options), "size=1M,resv_file=%s", path);
	start(options);
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_PERSIST_ON, 0, KEY), 0);
	NSDK_ASSERT_INT(acquire(0, NSDK_NVME_RESV_EXCLUSIVE_ACCESS, KEY, 0), 0);
	refused(options, -EBUSY, "is in use by another emulated device");
	host_stop();
	CU_ASSERT_EQUAL(pread(fd, good, sizeof(good), 0), sizeof(good));
	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		CU_ASSERT_EQUAL(pwrite(fd, &lies[i].byte, 1, lies[i].at), 1);
		refused(options, -EINVAL, "does not hold what this controller keeps of reservations");
		CU_ASSERT_EQUAL(pwrite(fd, good + lies[i].at, 1, lies[i].at), 1);
	}
	/* One that ends too early, or too late. */
	for (off_t bytes = 1; bytes < 96; bytes++) {
		if (bytes % 32 == 0)
			continue;
		CU_ASSERT_EQUAL(ftruncate(fd, bytes), 0);
		refused(options, -EINVAL, "name another, or one that is not there yet");
		CU_ASSERT_EQUAL(pwrite(fd, good, sizeof(good), 0), sizeof(good));
	}
	CU_ASSERT_EQUAL(ftruncate(fd, sizeof(good)), 0);
	CU_ASSERT_EQUAL(pread(fd, now, sizeof(now), 0), sizeof(now));
	CU_ASSERT_EQUAL(memcmp(now, good, sizeof(now)), 0);
	start(options);
	NSDK_ASSERT_INT(report(18)->type, NSDK_NVME_RESV_EXCLUSIVE_ACCESS);
	host_stop();
	close(fd);
	unlink(path);
	/* Nor are there others than files. */
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	refused(options, -EINVAL, "is not a file");
	unlink(path);
	refused("size=1M,resv_file=/dev/full", -EINVAL, "resv_file=/dev/full is not a file");
	refused("size=1M,resv_file=/dev", -EISDIR, "resv_file=/dev cannot be opened for reading and writing");
	refused("size=1M,resv_file=/dev/null/x", -ENOTDIR, "writing: Not a directory");
}

static void files_are_to(rlim_t bytes)
{
	struct rlimit limit;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What cannot be kept is not done; and what other namespaces have stays. */
static void kept_or_not_done(void)
{
	char path[] = "/tmp/nsdk-resv-test.XXXXXX", options[80], both[100];
	struct rlimit before;
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	snprintf(options, sizeof(options), "size=1M,resv_file=%s", path);
	snprintf(both, sizeof(both), "%s,namespaces=2", options);
	signal(SIGXFSZ, SIG_IGN);
	files_are_to(16);
	refused(options, -EIO, "cannot be written");
	CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
	files_are_to(before.rlim_cur);

	start(options);
	files_are_to(32);
	nsdk_unit_log_start();
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_PERSIST_ON, 0, KEY), HOST_GENERIC(INTERNAL_ERROR));
	NSDK_ASSERT_ONE_SENTENCE("cannot be written: File too large");
	nsdk_unit_log_stop();
	files_are_to(before.rlim_cur);
	NSDK_ASSERT_INT(report(18)->registered[0], 0);
	NSDK_ASSERT_INT(report(18)->persists, 0);
	host_stop();

	of = 2;
	start(both);
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_PERSIST_ON, 0, KEY), 0);
	host_stop();
	of = 1;
	start(options);
	NSDK_ASSERT_INT(reg((unsigned)NSDK_NVME_RESV_PERSIST_ON, 0, OTHER), 0);
	host_stop();
	start(both);
	CU_ASSERT_EQUAL((report(18), entry(0)->key), OTHER);
	of = 2;
	CU_ASSERT_EQUAL((report(18), entry(0)->key), KEY);
	of = 1;
	host_stop();
	signal(SIGXFSZ, SIG_DFL);
	close(fd);
	unlink(path);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_host_alone),
	NSDK_UNIT_TEST(a_rival_is_in_the_way),
	NSDK_UNIT_TEST(reports_as_much_as_is_asked_for),
	NSDK_UNIT_TEST(persists_in_a_file),
	NSDK_UNIT_TEST(files_of_others),
	NSDK_UNIT_TEST(kept_or_not_done),
};

NSDK_UNIT_MAIN("lib/emu/nvme_resv", tests, .after = host_stop)
