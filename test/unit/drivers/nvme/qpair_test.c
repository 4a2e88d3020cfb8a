/* SPDX-License-Identifier: BSD-3-Clause */
/* Making and destroying queue pairs. */
#include "fake_nvme.h"

#include <errno.h>

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_ns *ns;

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	nsdk_nvme_ctrlr_poll(ctrlr);
}

static void after(void)
{
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

static void makes_as_many_as_were_granted(void)
{
	struct nsdk_nvme_qpair *qp[4], *more;

	for (int i = 0; i < 4; i++) {
		qp[i] = fake_qpair(ctrlr, 16);
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_id(qp[i]), i + 1);
	}
	NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, NULL, &more), -ENOSPC);
	NSDK_ASSERT_ONE_SENTENCE("all 4 I/O queues");
	/* An id that has come free is used again, and its doorbells start from 0. */
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp[1]), 0);
	qp[1] = fake_qpair(ctrlr, 8);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_id(qp[1]), 2);
	for (int i = 0; i < 4; i++)
		NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp[i]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(NULL), 0);
}

static void refuses_sizes_that_cannot_be(void)
{
	static const struct {
		unsigned entries, max_requests;
		const char *sentence;
	} bad[] = {
		{ 1, 0, "takes 2 to 64" },
		{ 65, 0, "takes 2 to 64" },
		{ 16, 16, "16 requests in flight do not fit a queue of 16 entries, which holds 15" },
	};
	struct nsdk_nvme_qpair *qp;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts),
						     .entries = bad[i].entries,
						     .max_requests = bad[i].max_requests };

		NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), -EINVAL);
		NSDK_ASSERT_ONE_SENTENCE(bad[i].sentence);
		CU_ASSERT_PTR_NULL(qp);
	}
}

static uint8_t failing_opcode;

static enum fake_action fail_one(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	*status = NSDK_NVME_STATUS(1, NSDK_NVME_SC_INVALID_QUEUE_SIZE);
	return qid == 0 && cmd->opcode == failing_opcode ? FAKE_REPLY : FAKE_DO;
}

static void undoes_one_that_the_controller_refuses(void)
{
	struct nsdk_nvme_qpair *qp;
	int buffers = fake.buffers;

	fake.hook = fail_one;
	failing_opcode = NSDK_NVME_ADMIN_CREATE_CQ;
	NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("Create I/O Completion Queue, queue 1, failed: Command Specific: "
				 "Invalid Queue Size");
	CU_ASSERT(!fake.queues[1].cq_exists);
	failing_opcode = NSDK_NVME_ADMIN_CREATE_SQ;
	NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("Create I/O Submission Queue, queue 1, failed");
	CU_ASSERT(!fake.queues[1].cq_exists);
	CU_ASSERT_EQUAL(fake.buffers, buffers);
	CU_ASSERT_EQUAL(fake.batches, 0);
	/* The controller is as good as before. */
	fake.hook = NULL;
	qp = fake_qpair(ctrlr, 0);
	nsdk_nvme_qpair_destroy(qp);
}

static void undoes_everything_when_any_call_fails(void)
{
	int buffers = fake.buffers, allocations = fake.allocations;
	unsigned rounds = 0;

	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		struct nsdk_nvme_qpair *qp = NULL;
		int err = nsdk_nvme_qpair_create(ctrlr, NULL, &qp);

		rounds = n;
		if (nsdk_unit_failed()) {
			CU_ASSERT(err < 0);
			CU_ASSERT_PTR_NULL(qp);
			CU_ASSERT_EQUAL(nsdk_unit_log_count(), 1);
			nsdk_unit_log_clear();
		} else {
			NSDK_ASSERT_INT(err, 0);
			NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
		}
		CU_ASSERT_EQUAL(fake.buffers, buffers);
		CU_ASSERT_EQUAL(fake.batches, 0);
		CU_ASSERT_EQUAL(fake.allocations, allocations);
	}
	CU_ASSERT(rounds > 8);
}

static enum fake_action hold_io(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				uint32_t *dw0)
{
	return qid == 0 ? FAKE_DO : FAKE_HOLD;
}

static struct nsdk_nvme_qpair *resubmit_to;
static int resubmitted;

static void resubmitting_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	fake_done_cb(ctx, cpl);
	resubmitted = nsdk_nvme_read(ns, resubmit_to, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, ctx);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(resubmit_to, 0), 0);
}

static void completes_what_is_outstanding(void)
{
	struct nsdk_nvme_qpair *qp = fake_qpair(ctrlr, 32);
	struct fake_done sent[3] = { 0 }, unsent = { 0 }, split = { 0 }, finished = { 0 };

	fake.hook = hold_io;
	for (int i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, i * 4096), 0, 8, 0,
					       i == 1 ? resubmitting_cb : fake_done_cb, &sent[i]), 0);
	/* 1 MiB is eight commands of 128 KiB. */
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(9, 0), 0, 2048, 0, fake_done_cb, &split),
			0);
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, 65536), 0, 8, 0, fake_done_cb,
				       &finished), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 5);
	/* Completed by the device, but not seen by us: it keeps its own status. */
	fake_complete(1, fake.last_cid[1], NSDK_NVME_STATUS(2, NSDK_NVME_SC_UNRECOVERED_READ));
	/* Collected, never sent. */
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(8, 0), 0, 8, 0, fake_done_cb, &unsent),
			0);
	resubmit_to = qp;
	resubmitted = 0;
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(sent[i].count, 1);
		CU_ASSERT_EQUAL(sent[i].status,
				NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORTED_SQ_DELETED));
	}
	CU_ASSERT_EQUAL(resubmitted, -ENODEV);
	CU_ASSERT_EQUAL(unsent.count, 1);
	CU_ASSERT_EQUAL(unsent.status, NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORTED_SQ_DELETED));
	CU_ASSERT_EQUAL(split.count, 1);
	CU_ASSERT_EQUAL(split.status, NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORTED_SQ_DELETED));
	CU_ASSERT_EQUAL(finished.count, 1);
	CU_ASSERT_EQUAL(finished.status, NSDK_NVME_STATUS(2, NSDK_NVME_SC_UNRECOVERED_READ));
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void takes_the_controller_out_when_a_queue_stays(void)
{
	static const uint8_t opcodes[] = { NSDK_NVME_ADMIN_DELETE_SQ, NSDK_NVME_ADMIN_DELETE_CQ };

	for (int i = 0; i < 2; i++) {
		struct nsdk_nvme_qpair *qp = fake_qpair(ctrlr, 0);
		struct fake_done done = { 0 };

		fake.hook = hold_io;
		nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 8, 0, fake_done_cb, &done);
		nsdk_nvme_qpair_submit(qp);
		fake_run();
		fake.hook = fail_one;
		failing_opcode = opcodes[i];
		NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("the controller has been taken out");
		/* Before the memory of the queue went. */
		CU_ASSERT(!fake.bus_master);
		CU_ASSERT_EQUAL(fake.freed_in_use, 0);
		CU_ASSERT_EQUAL(done.count, 1);
		CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
		NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
		fake_check_clean();
		before();
	}
}

static void is_destroyed_quietly_when_the_device_is_gone(void)
{
	struct nsdk_nvme_qpair *qp = fake_qpair(ctrlr, 0);
	struct fake_done done = { 0 };

	fake.hook = hold_io;
	nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 8, 0, fake_done_cb, &done);
	nsdk_nvme_qpair_submit(qp);
	fake.gone_at = fake.reg_reads + 1;
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
	NSDK_ASSERT_ONE_SENTENCE("fake is gone");
}

static struct nsdk_nvme_qpair *own;

static void destroying_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	fake_done_cb(ctx, cpl);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(own), -EBUSY);
}

static void is_not_destroyed_from_its_own_callback(void)
{
	struct fake_done done = { 0 };

	own = fake_qpair(ctrlr, 0);
	nsdk_nvme_read(ns, own, fake_buffer(8, 0), 0, 8, 0, destroying_cb, &done);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(own, 0), 1);
	NSDK_ASSERT_ONE_SENTENCE("cannot be destroyed from inside a callback");
	CU_ASSERT_EQUAL(done.count, 1);
	nsdk_nvme_qpair_destroy(own);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(makes_as_many_as_were_granted),
	NSDK_UNIT_TEST(refuses_sizes_that_cannot_be),
	NSDK_UNIT_TEST(undoes_one_that_the_controller_refuses),
	NSDK_UNIT_TEST(undoes_everything_when_any_call_fails),
	NSDK_UNIT_TEST(completes_what_is_outstanding),
	NSDK_UNIT_TEST(takes_the_controller_out_when_a_queue_stays),
	NSDK_UNIT_TEST(is_destroyed_quietly_when_the_device_is_gone),
	NSDK_UNIT_TEST(is_not_destroyed_from_its_own_callback),
};

NSDK_UNIT_MAIN("drivers/nvme/qpair", tests, .before = before, .after = after)
