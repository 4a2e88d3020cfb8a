/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O whose data is not synced, while the queues are. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"
#include "drivers/nvme/unsynced.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	fake.active = true;
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, 32);
	memset(&done, 0, sizeof(done));
}

static void after(void)
{
	fake_teardown(ctrlr, qp);
	nsdk_unit_log_stop();
}

static int move(uint8_t opcode, void *buf, uint64_t lba, uint32_t blocks)
{
	int rc = nsdk_nvme_rw_unsynced(ns, qp, opcode, buf, lba, blocks, fake_done_cb, &done);

	for (int i = 0; rc == 0 && i < 1000 && done.count == 0; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	return rc;
}

static void counts_start(void)
{
	fake.flushes_for_device = fake.flushes_for_cpu = fake.commits = 0;
	memset(&done, 0, sizeof(done));
}

static void the_data_moves(void)
{
	uint8_t *from = fake_buffer(0, 64), *to = fake_buffer(3, 4096 - 512);

	for (unsigned i = 0; i < 1024; i++)
		from[i] = (uint8_t)(i * 7 + 1);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_WRITE, from, 5, 2), 0);
	NSDK_ASSERT_INT(done.status, 0);
	CU_ASSERT(memcmp(fake.disk[0] + 5 * 512, from, 1024) == 0);
	/* Over two pages. */
	memset(&done, 0, sizeof(done));
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, to, 5, 2), 0);
	CU_ASSERT(memcmp(to, from, 1024) == 0);
	NSDK_ASSERT_INT(fake.bad_dma, 0);
}

/* One range for each doorbell, which is the SQEs'; of the data none, in either direction. */
static void only_the_queues_are_synced(void)
{
	uint8_t *buf = fake_buffer(1, 0);

	for (unsigned write = 0; write < 2; write++) {
		counts_start();
		NSDK_ASSERT_INT(move(write ? NSDK_NVME_NVM_WRITE : NSDK_NVME_NVM_READ, buf, 0, 1), 0);
		NSDK_ASSERT_INT(done.count, 1);
		NSDK_ASSERT_INT(fake.flushes_for_device, 1);
		NSDK_ASSERT_INT(fake.flushes_for_cpu, 0);
		NSDK_ASSERT_INT(fake.commits > 0, 1);
	}
	/* While ordinary I/O syncs its data, too. */
	counts_start();
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, buf, 0, 1, 0, fake_done_cb, &done), 0);
	for (int i = 0; i < 1000 && done.count == 0; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	NSDK_ASSERT_INT(fake.flushes_for_device, 2);
	NSDK_ASSERT_INT(fake.flushes_for_cpu, 1);
}

/* A tracker remembers what to take back: the next command must not inherit it. */
static void nothing_is_inherited_from_the_command_before(void)
{
	uint8_t *buf = fake_buffer(1, 0);
	unsigned for_cpu;

	counts_start();
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_WRITE, buf, 0, 1), 0);
	for_cpu = fake.flushes_for_cpu;
	memset(&done, 0, sizeof(done));
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, buf, 0, 1, 0, fake_done_cb, &done), 0);
	for (int i = 0; i < 1000 && done.count == 0; i++)
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(qp, 0) >= 0);
	counts_start();
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf, 0, 1), 0);
	NSDK_ASSERT_INT(fake.flushes_for_cpu, for_cpu);
}

static void what_it_does_not_do_is_refused(void)
{
	uint8_t *buf = fake_buffer(0, 0);

	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_COMPARE, buf, 0, 1), -EINVAL);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf, 0, 0), -EINVAL);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf, fake.blocks, 1), -EINVAL);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf, fake.blocks - 1, 2), -EINVAL);
	/* More than two pages; two of them from the middle of one. */
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf, 0, 17), -EINVAL);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf + 512, 0, 16), -EINVAL);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf + 4, 0, 1), -EINVAL);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, &done, 0, 1) < 0, 1);
	NSDK_ASSERT_INT(nsdk_nvme_rw_unsynced(ns, qp, NSDK_NVME_NVM_READ, buf, 0, 1, NULL, NULL),
			-EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 0);
	NSDK_ASSERT_INT(move(NSDK_NVME_NVM_READ, buf, 0, 16), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(the_data_moves),
	NSDK_UNIT_TEST(only_the_queues_are_synced),
	NSDK_UNIT_TEST(nothing_is_inherited_from_the_command_before),
	NSDK_UNIT_TEST(what_it_does_not_do_is_refused),
};

NSDK_UNIT_MAIN("drivers/nvme/unsynced", tests, .before = before, .after = after)
