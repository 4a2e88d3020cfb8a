/* SPDX-License-Identifier: BSD-3-Clause */
/* Compare and Write: two commands side by side, one callback, whatever becomes of either. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;
static struct fake_done done;

/* What the controller was given, and what it says: completions are held and posted by the test. */
static struct nsdk_nvme_cmd seen[64];
static unsigned seen_count;

static enum fake_action hold(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status, uint32_t *dw0)
{
	if (qid == 0)
		return FAKE_DO;
	seen[seen_count++ % 64] = *cmd;
	return FAKE_HOLD;
}

static void bring_up(unsigned entries)
{
	fake.id.fuses = NSDK_NVME_FUSES_COMPARE_AND_WRITE;
	fake.id.acwu = 15;
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, entries);
	memset(&done, 0, sizeof(done));
	seen_count = 0;
	fake.hook = hold;
}

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	bring_up(8);
}

static void after(void)
{
	fake_teardown(ctrlr, qp);
	nsdk_unit_log_stop();
}

static int start(uint32_t blocks)
{
	return nsdk_nvme_compare_and_write(ns, qp, fake_buffer(4, 0), fake_buffer(6, 0), 7, blocks, 0,
					   fake_done_cb, &done);
}

/* The statuses of both halves, in this order or the other. */
static void answer(uint16_t compare, uint16_t write, bool write_first)
{
	unsigned at = seen_count - 2;

	for (unsigned i = 0; i < 2; i++) {
		unsigned half = write_first ? 1 - i : i;

		fake_complete(1, seen[(at + half) % 64].cid, half ? write : compare);
	}
}

static void goes_out_side_by_side(void)
{
	/* Eight slots, seven trackers: pairs begin everywhere, at the last slot as well. */
	for (unsigned round = 0; round < 20; round++) {
		unsigned rung = fake.doorbells_used;
		const struct nsdk_nvme_cmd *first, *second;

		NSDK_ASSERT_INT(start(3), 0);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 1);
		fake_run();
		NSDK_ASSERT_INT(seen_count, 2 * round);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_submit(qp), 0);
		fake_run();
		/* Both by one doorbell. */
		NSDK_ASSERT_INT(fake.doorbells_used, rung + 1);
		NSDK_ASSERT_INT(seen_count, 2 * round + 2);
		first = &seen[2 * round % 64];
		second = &seen[(2 * round + 1) % 64];
		NSDK_ASSERT_INT(first->opcode, NSDK_NVME_NVM_COMPARE);
		NSDK_ASSERT_INT(first->flags, NSDK_NVME_FUSE_FIRST);
		NSDK_ASSERT_INT(second->opcode, NSDK_NVME_NVM_WRITE);
		NSDK_ASSERT_INT(second->flags, NSDK_NVME_FUSE_SECOND);
		NSDK_ASSERT_INT(first->cdw12, 2);
		CU_ASSERT(first->cid != second->cid && first->cdw10 == 7 && second->cdw10 == 7 &&
			  second->cdw12 == 2 && first->nsid == second->nsid);
		CU_ASSERT_PTR_EQUAL(fake_va(first->prp1), fake_buffer(4, 0));
		CU_ASSERT_PTR_EQUAL(fake_va(second->prp1), fake_buffer(6, 0));
		/* One half is no I/O yet. */
		fake_complete(1, first->cid, 0);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 0);
		NSDK_ASSERT_INT(done.count, (int)round);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 1);
		fake_complete(1, second->cid, 0);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
		NSDK_ASSERT_INT(done.count, (int)round + 1);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 0);
		/* One plain command between, so that pairs begin at odd slots too. */
		if (round % 3 == 0) {
			struct fake_done other = { 0 };

			fake.hook = NULL;
			NSDK_ASSERT_INT(nsdk_nvme_flush(ns, qp, fake_done_cb, &other), 0);
			while (!other.count)
				nsdk_nvme_qpair_poll(qp, 0);
			fake.hook = hold;
		}
	}
}

static void tells_the_comparison_or_else_the_write(void)
{
	const uint16_t different = NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_COMPARE_FAILURE);
	const uint16_t aborted = NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORTED_FAILED_FUSED);
	const uint16_t fault = NSDK_NVME_STATUS(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_WRITE_FAULT);
	const struct {
		uint16_t compare, write, told;
	} cases[] = {
		{ 0, 0, 0 }, { different, aborted, different }, { 0, fault, fault },
		{ 0, aborted, aborted }, { aborted, fault, aborted }, { different, 0, different },
	};

	for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		NSDK_ASSERT_INT(start(1), 0);
		nsdk_nvme_qpair_submit(qp);
		fake_run();
		answer(cases[i / 2].compare, cases[i / 2].write, i % 2);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
		NSDK_ASSERT_INT(done.count, (int)i + 1);
		NSDK_ASSERT_INT(done.status & 0xffe, cases[i / 2].told);
	}
}

static void both_or_neither(void)
{
	/* Seven trackers: three pairs, and one is left that a pair cannot be made of. */
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(start(1), 0);
	NSDK_ASSERT_INT(start(1), -EAGAIN);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_outstanding(qp), 3);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	NSDK_ASSERT_INT(seen_count, 6);
	/* The second's memory is not the device's: the first is not in the ring either. */
	NSDK_ASSERT_INT(nsdk_nvme_compare_and_write(ns, qp, fake_buffer(4, 0), &seen, 7, 1, 0,
						    fake_done_cb, &done),
			(uintptr_t)&seen % 4 ? -EINVAL : -EFAULT);
	for (unsigned i = 0; i < 6; i++)
		fake_complete(1, seen[i].cid, 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 3);
	NSDK_ASSERT_INT(done.count, 3);
	fake_run();
	NSDK_ASSERT_INT(seen_count, 6);
}

static void refuses_before_anything_is_sent(void)
{
	unsigned commands = fake.commands;

	NSDK_ASSERT_INT(start(0), -EINVAL);
	NSDK_ASSERT_INT(start(16), 0); /* ACWU is 0's based */
	NSDK_ASSERT_INT(start(17), -EINVAL);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	answer(0, 0, false);
	nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(nsdk_nvme_compare_and_write(ns, qp, fake_buffer(4, 0), fake_buffer(6, 0),
						    fake.blocks, 1, 0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_compare_and_write(ns, qp, fake_buffer(4, 0), fake_buffer(6, 0), 0, 1,
						    1, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_compare_and_write(ns, qp, fake_buffer(4, 0), fake_buffer(6, 0), 0, 1,
						    0, NULL, &done), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_compare_and_write(ns, qp, fake_buffer(4, 2), fake_buffer(6, 0), 0, 1,
						    0, fake_done_cb, &done), -EINVAL);
	NSDK_ASSERT_INT(fake.commands, commands + 2);
	/* No such pair, and no Compare. */
	for (unsigned i = 0; i < 2; i++) {
		fake_teardown(ctrlr, qp);
		fake_reset();
		bring_up(8);
		fake_teardown(ctrlr, qp);
		fake_reset();
		fake.id.oncs = i ? 0x0c : 0x0d;
		fake.id.fuses = i ? NSDK_NVME_FUSES_COMPARE_AND_WRITE : 0;
		ctrlr = fake_attach();
		ns = nsdk_nvme_ns_get(ctrlr, 1);
		qp = fake_qpair(ctrlr, 8);
		commands = fake.commands;
		NSDK_ASSERT_INT(start(1), -EOPNOTSUPP);
		nsdk_nvme_qpair_submit(qp);
		fake_run();
		NSDK_ASSERT_INT(fake.commands, commands);
	}
}

static void is_called_back_once_at_the_end(void)
{
	NSDK_ASSERT_INT(start(1), 0);
	NSDK_ASSERT_INT(start(1), 0);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	/* One half of the first has come back. */
	fake_complete(1, seen[0].cid, 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 0);
	fake.hook = NULL;
	nsdk_nvme_qpair_destroy(qp);
	NSDK_ASSERT_INT(done.count, 2);
	NSDK_ASSERT_INT(done.status & 0xffe, NVME_STATUS_ABORTED_SQ_DELETED);
	qp = fake_qpair(ctrlr, 8);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(goes_out_side_by_side),
	NSDK_UNIT_TEST(tells_the_comparison_or_else_the_write),
	NSDK_UNIT_TEST(both_or_neither),
	NSDK_UNIT_TEST(refuses_before_anything_is_sent),
	NSDK_UNIT_TEST(is_called_back_once_at_the_end),
};

NSDK_UNIT_MAIN("drivers/nvme/fused", tests, .before = before, .after = after)
