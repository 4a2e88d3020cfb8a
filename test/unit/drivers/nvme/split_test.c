/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O that goes out as several commands. */
#include "fake_nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;

/* What the controller got, in order. */
static struct {
	uint64_t lba;
	uint32_t blocks;
} got[8192];
static unsigned got_count, fail_at;

static enum fake_action record(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
			       uint32_t *dw0)
{
	if (qid == 0)
		return FAKE_DO;
	if (got_count < 8192) {
		got[got_count].lba = cmd->cdw10 | (uint64_t)cmd->cdw11 << 32;
		got[got_count].blocks = (cmd->cdw12 & 0xffff) + 1;
	}
	if (++got_count != fail_at)
		return FAKE_DO;
	*status = NSDK_NVME_STATUS(2, NSDK_NVME_SC_WRITE_FAULT);
	return FAKE_REPLY;
}

static void bring_up(unsigned entries)
{
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, entries);
	fake.hook = record;
	memset(&done, 0, sizeof(done));
	got_count = fail_at = 0;
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	bring_up(16);
}

static void after(void)
{
	fake_teardown(ctrlr, qp);
	nsdk_unit_log_stop();
}

static int poll_until(int count)
{
	int sum = 0;

	for (int i = 0; i < 100000 && done.count < count; i++) {
		int n = nsdk_nvme_qpair_poll(qp, 0);

		CU_ASSERT_FATAL(n >= 0);
		sum += n;
	}
	CU_ASSERT_EQUAL(done.count, count);
	return sum;
}

static void pieces_are(uint64_t lba, uint32_t blocks, uint32_t largest)
{
	uint64_t at = lba;

	for (unsigned i = 0; i < got_count; i++) {
		CU_ASSERT_EQUAL(got[i].lba, at);
		CU_ASSERT(got[i].blocks <= largest);
		at += got[i].blocks;
	}
	CU_ASSERT_EQUAL(at, lba + blocks);
	CU_ASSERT_EQUAL(got_count, (blocks + largest - 1) / largest);
}

static void splits_above_the_largest_transfer(void)
{
	/* 128 KiB are 256 blocks. */
	static const uint32_t sizes[] = { 255, 256, 257, 511, 512, 513, 5000, 16384 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		got_count = 0;
		memset(&done, 0, sizeof(done));
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 512), 16384 - sizes[i], sizes[i],
					       0, fake_done_cb, &done), 0);
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 1);
		/* One I/O is one, however many commands it was. */
		NSDK_ASSERT_INT(poll_until(1), 1);
		CU_ASSERT_EQUAL(done.status, 0);
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
		pieces_are(16384 - sizes[i], sizes[i], 256);
	}
}

static void splits_with_any_mdts_and_queue(void)
{
	static const unsigned entries[] = { 2, 3, 5, 64 };

	for (uint8_t mdts = 1; mdts <= 4; mdts++)
		for (size_t e = 0; e < sizeof(entries) / sizeof(entries[0]); e++) {
			fake_teardown(ctrlr, qp);
			fake_reset();
			fake.mdts = mdts;
			bring_up(entries[e]);
			NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), 1, 1000,
							NSDK_NVME_RW_FUA, fake_done_cb, &done), 0);
			NSDK_ASSERT_INT(poll_until(1), 1);
			pieces_are(1, 1000, 8u << mdts);
			CU_ASSERT(memcmp(fake.disk[0] + 512, fake_buffer(2, 0), 512000) == 0);
			CU_ASSERT_EQUAL(fake.last[1].cdw12 >> 30, 1);
		}
}

static enum fake_action record_only(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				    uint32_t *dw0)
{
	if (qid == 0)
		return FAKE_DO;
	record(cmd, qid, status, dw0);
	*status = 0;
	return FAKE_REPLY;
}

static void splits_write_zeroes_by_the_fields_width(void)
{
	static const uint32_t sizes[] = { 65535, 65536, 65537, 200000, UINT32_MAX };

	/* Only said: the fake's disk is not that large. */
	ns->blocks = 1ull << 40;
	fake.hook = record_only;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		got_count = 0;
		memset(&done, 0, sizeof(done));
		NSDK_ASSERT_INT(nsdk_nvme_write_zeroes(ns, qp, 1ull << 33, sizes[i], 0, fake_done_cb,
						       &done), 0);
		NSDK_ASSERT_INT(poll_until(1), 1);
		if (sizes[i] != UINT32_MAX)
			pieces_are(1ull << 33, sizes[i], 65536);
		else
			CU_ASSERT_EQUAL(got_count, 65536);
	}
}

static void fails_with_the_first_error_and_issues_no_more(void)
{
	/* 5000 blocks are 20 commands, at most 12 of them at once; the third fails. */
	fail_at = 3;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 5000, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(poll_until(1), 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(2, NSDK_NVME_SC_WRITE_FAULT));
	CU_ASSERT(got_count < 20);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(done.count, 1);
	/* Everything is there for the next one. */
	got_count = fail_at = 0;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 5000, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(poll_until(2), 1);
	CU_ASSERT_EQUAL(done.status, 0);
}

static void leaves_room_for_others(void)
{
	struct fake_done other = { 0 };

	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 10000, 0, fake_done_cb, &done),
			0);
	for (int i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(1, 0), 0, 8, 0, fake_done_cb,
					       &other), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 4);
	nsdk_nvme_qpair_poll(qp, 0);
	CU_ASSERT_EQUAL(other.count, 3);
	CU_ASSERT_EQUAL(done.count, 0);
	poll_until(1);
}

static int hogs;

static void hogging_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	if (done.count < 3 && hogs++ < 100000)
		CU_ASSERT(nsdk_nvme_read(ns, qp, fake_buffer(1, 0), 0, 8, 0, hogging_cb, ctx) <= 0);
}

/* Others that resubmit at once and take every tracker there is do not stop splits. */
static void gets_on_beside_those_who_take_all_there_is(void)
{
	hogs = 0;
	for (int i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2 + 2 * (unsigned)i, 0), 0, 2000, 0,
					       fake_done_cb, &done), 0);
	while (nsdk_nvme_read(ns, qp, fake_buffer(1, 0), 0, 8, 0, hogging_cb, NULL) == 0)
		;
	poll_until(3);
	CU_ASSERT(hogs < 10000);
	while (nsdk_nvme_qpair_outstanding(qp))
		nsdk_nvme_qpair_poll(qp, 0);
}

static void takes_as_many_as_it_has_records_for(void)
{
	unsigned accepted = 0;
	int err;

	for (;;) {
		err = nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 512, 0, fake_done_cb, &done);
		if (err)
			break;
		accepted++;
	}
	NSDK_ASSERT_INT(err, -EAGAIN);
	CU_ASSERT(accepted >= 6);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), accepted);
	NSDK_ASSERT_INT(poll_until((int)accepted), (int)accepted);
}

/* Payloads of all shapes, written and read back in another shape. */
static void moves_scattered_data(void)
{
	static uint8_t model[1 << 20];
	struct iovec out[64], in[64];
	unsigned seed = 7, several = 0;

	for (int round = 0; round < 300; round++) {
		uint32_t blocks = 1 + (uint32_t)rand_r(&seed) % 1000;
		size_t bytes = blocks * 512ul, left = bytes, at = 0;
		int outs = 0, ins = 0;

		/* Out: pieces of whole blocks anywhere; in: pages here and there. */
		while (left) {
			size_t len = 512ul * (1 + (size_t)rand_r(&seed) % 40);

			if (len > left || outs == 63)
				len = left;
			out[outs].iov_base = fake_buffer(1, at) + 4 * (rand_r(&seed) % 128);
			out[outs++].iov_len = len;
			at += len + 512;
			left -= len;
		}
		for (left = bytes, at = 0; left; ins++) {
			size_t len = 4096ul * (1 + (size_t)rand_r(&seed) % 8);

			if (len > left || ins == 63)
				len = left;
			in[ins].iov_base = fake_buffer(4, at);
			in[ins].iov_len = len;
			at += (len + 8191) & ~4095ul;
			left -= len;
		}
		at = 0;
		for (int i = 0; i < outs; i++) {
			for (size_t k = 0; k < out[i].iov_len; k++)
				((uint8_t *)out[i].iov_base)[k] = (uint8_t)(rand_r(&seed) >> 3);
			memcpy(model + at, out[i].iov_base, out[i].iov_len);
			at += out[i].iov_len;
		}
		memset(&done, 0, sizeof(done));
		got_count = 0;
		NSDK_ASSERT_INT(nsdk_nvme_writev(ns, qp, out, outs, 5, blocks, 0, fake_done_cb, &done),
				0);
		NSDK_ASSERT_INT(poll_until(1), 1);
		CU_ASSERT_EQUAL(done.status, 0);
		several += got_count > 4;
		CU_ASSERT(memcmp(fake.disk[0] + 5 * 512, model, bytes) == 0);
		got_count = 0;
		NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, in, ins, 5, blocks, 0, fake_done_cb, &done), 0);
		NSDK_ASSERT_INT(poll_until(2), 1);
		/* Pages say themselves in as few commands as the size allows. */
		CU_ASSERT_EQUAL(got_count, (blocks + 255) / 256);
		at = 0;
		for (int i = 0; i < ins; i++) {
			CU_ASSERT(memcmp(in[i].iov_base, model + at, in[i].iov_len) == 0);
			at += in[i].iov_len;
		}
	}
	CU_ASSERT(several > 100);
}

/* Also the part whose command is never issued: its owner says no more that he stores to it. */
static void what_was_to_be_written_is_not_vouched_for(void)
{
	fake_teardown(ctrlr, qp);
	fake_reset();
	fake.active = true;
	bring_up(16);
	fail_at = 3;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(2, 0), 0, 5000, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(poll_until(1), 1);
	CU_ASSERT(got_count < 20);
	CU_ASSERT_EQUAL(fake.dirtied_bytes, (size_t)5000 * nsdk_nvme_ns_block_bytes(ns));
	/* What the device only reads stays as clean as it is. */
	fake.dirtied_bytes = 0;
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(2, 0), 0, 5000, 0, fake_done_cb, &done),
			0);
	NSDK_ASSERT_INT(poll_until(2), 1);
	CU_ASSERT_EQUAL(fake.dirtied_bytes, 0);
}

static void refuses_what_no_command_can_say(void)
{
	/* A block in two pieces that are no neighbours; neighbours are fine. */
	struct iovec iov[3] = { { fake_buffer(2, 0), 512 + 256 },
				{ fake_buffer(4, 0), 256 },
				{ fake_buffer(6, 0), 0 } };

	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 3, 0, 2, 0, fake_done_cb, &done), -EINVAL);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
	iov[1].iov_base = fake_buffer(2, 768);
	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 3, 0, 2, 0, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(poll_until(1), 1);
	/* Lengths that do not add up. */
	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 3, 0, 3, 0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 1, 0, 2, 0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_readv(ns, qp, iov, 0, 0, 2, 0, fake_done_cb, &done), -EINVAL);
	iov[0].iov_base = &done;
	NSDK_ASSERT_INT(nsdk_nvme_writev(ns, qp, iov, 3, 0, 2, 0, fake_done_cb, &done), -EFAULT);
	CU_ASSERT_EQUAL(done.count, 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(splits_above_the_largest_transfer),
	NSDK_UNIT_TEST(splits_with_any_mdts_and_queue),
	NSDK_UNIT_TEST(splits_write_zeroes_by_the_fields_width),
	NSDK_UNIT_TEST(fails_with_the_first_error_and_issues_no_more),
	NSDK_UNIT_TEST(leaves_room_for_others),
	NSDK_UNIT_TEST(gets_on_beside_those_who_take_all_there_is),
	NSDK_UNIT_TEST(takes_as_many_as_it_has_records_for),
	NSDK_UNIT_TEST(moves_scattered_data),
	NSDK_UNIT_TEST(what_was_to_be_written_is_not_vouched_for),
	NSDK_UNIT_TEST(refuses_what_no_command_can_say),
};

NSDK_UNIT_MAIN("drivers/nvme/split", tests, .before = before, .after = after)
