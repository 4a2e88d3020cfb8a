/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a queue pair: doorbells, completions, lies, and ends. */
#include "fake_nvme.h"

#include <errno.h>

#include "drivers/nvme/nvme_internal.h"

#define ENTRIES 8

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;

static void bring_up(bool model, bool active)
{
	fake_reset();
	fake.wants_poll = model;
	fake.active = active;
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	qp = fake_qpair(ctrlr, ENTRIES);
}

static void take_down(void)
{
	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	fake_check_clean();
}

static void before(void)
{
	nsdk_unit_log_start();
	bring_up(true, false);
}

static void after(void)
{
	take_down();
	nsdk_unit_log_stop();
}

static int read_block(struct fake_done *done)
{
	return nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, done);
}

static enum fake_action hold_io(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				uint32_t *dw0)
{
	return qid == 0 ? FAKE_DO : FAKE_HOLD;
}

/* The same three ways through: hardware, a model, and a device past the caches. */
static void each_way(void (*test)(void))
{
	take_down();
	for (int way = 0; way < 3; way++) {
		bring_up(way != 0, way == 2);
		test();
		if (way < 2)
			take_down();
	}
}

/* Hardware works by itself. */
static int poll_device(unsigned max)
{
	if (!fake.wants_poll) {
		nsdk_nvme_qpair_submit(qp);
		fake_run();
	}
	return nsdk_nvme_qpair_poll(qp, max);
}

static void one_doorbell(void)
{
	struct fake_done done = { 0 };

	for (int i = 0; i < 5; i++)
		NSDK_ASSERT_INT(read_block(&done), 0);
	/* Nothing is sent before it is told to. */
	fake_run();
	CU_ASSERT_EQUAL(fake.doorbells_used, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 5);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_submit(qp), 0);
	fake_run();
	CU_ASSERT_EQUAL(fake.doorbells_used, 1);
	CU_ASSERT_EQUAL(done.count, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 5);
	CU_ASSERT_EQUAL(done.count, 5);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
}

static void sends_a_batch_with_one_doorbell(void)
{
	each_way(one_doorbell);
}

static void many_rounds(void)
{
	struct fake_done done = { 0 };
	int count = 0;

	for (int i = 0; i < 300; i++) {
		int batch = 1 + i % (ENTRIES - 1);

		for (int k = 0; k < batch; k++)
			NSDK_ASSERT_INT(read_block(&done), 0);
		NSDK_ASSERT_INT(poll_device(0), batch);
		count += batch;
		CU_ASSERT_EQUAL(done.count, count);
		CU_ASSERT_EQUAL(done.status, 0);
	}
}

static void goes_round_the_ring(void)
{
	each_way(many_rounds);
}

static void at_most(void)
{
	struct fake_done done = { 0 };

	for (int i = 0; i < 7; i++)
		read_block(&done);
	NSDK_ASSERT_INT(poll_device(3), 3);
	CU_ASSERT_EQUAL(done.count, 3);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 4);
	NSDK_ASSERT_INT(poll_device(1), 1);
	NSDK_ASSERT_INT(poll_device(0), 3);
	CU_ASSERT_EQUAL(done.count, 7);
}

static void handles_at_most_what_is_asked(void)
{
	each_way(at_most);
}

static void full(void)
{
	struct fake_done done = { 0 };

	for (int i = 0; i < ENTRIES - 1; i++)
		NSDK_ASSERT_INT(read_block(&done), 0);
	NSDK_ASSERT_INT(read_block(&done), -EAGAIN);
	NSDK_ASSERT_INT(poll_device(1), 1);
	NSDK_ASSERT_INT(read_block(&done), 0);
	NSDK_ASSERT_INT(read_block(&done), -EAGAIN);
	NSDK_ASSERT_INT(poll_device(0), ENTRIES - 1);
	NSDK_ASSERT_INT(poll_device(0), 0);
	CU_ASSERT_EQUAL(done.count, ENTRIES);
}

static void says_when_it_is_full(void)
{
	each_way(full);
}

static int nested, submitted_in_callback;

static void submitting_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	fake_done_cb(ctx, cpl);
	nested += nsdk_nvme_qpair_poll(qp, 0);
	if (submitted_in_callback++ < 20)
		CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, fake_buffer(8, 4096), 8, 8, 0, submitting_cb,
					       ctx), 0);
}

static void resubmits(void)
{
	struct fake_done done = { 0 };

	submitted_in_callback = nested = 0;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 1, 0, submitting_cb, &done), 0);
	for (int i = 0; i < 100 && done.count < 21; i++)
		poll_device(0);
	CU_ASSERT_EQUAL(done.count, 21);
	CU_ASSERT_EQUAL(nested, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
}

static void callbacks_may_submit_but_not_poll(void)
{
	each_way(resubmits);
}

/* A poll ends though each completion brings the next. */
static void ends_with_a_device_that_never_stops(void)
{
	struct fake_done done = { 0 };

	for (int i = 0; i < ENTRIES - 1; i++)
		read_block(&done);
	CU_ASSERT(poll_device(0) <= ENTRIES);
}

static const struct {
	struct nsdk_nvme_cpl cpl;
	const char *sentence;
} lies[] = {
	{ { .sqid = 1, .cid = 6 }, "command id 6 on queue 1, which is not outstanding" },
	{ { .sqid = 1, .cid = 7 }, "command id 7 on queue 1, which is not outstanding" },
	{ { .sqid = 1, .cid = 0xffff }, "command id 65535 on queue 1" },
	{ { .sqid = 0, .cid = 0 }, "on queue 1 for queue 0" },
	{ { .sqid = 2, .cid = 0 }, "on queue 1 for queue 2" },
	{ { .sqid = 0xffff, .cid = 0 }, "on queue 1 for queue 65535" },
	{ { .sqid = 1, .cid = 0, .sqhd = ENTRIES }, "head of queue 1 at 8 of 8 entries" },
	{ { .sqid = 1, .cid = 0, .sqhd = 0xffff }, "head of queue 1 at 65535 of 8 entries" },
};

static void is_not_taken_in_by_lies(void)
{
	take_down();
	for (int way = 0; way < 3; way++)
		for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			struct fake_done done[3] = { 0 };

			bring_up(way != 0, way == 2);
			fake.hook = hold_io;
			for (int k = 0; k < 3; k++)
				NSDK_ASSERT_INT(read_block(&done[k]), 0);
			nsdk_nvme_qpair_submit(qp);
			fake_run();
			fake_post(1, lies[i].cpl);
			NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -EIO);
			NSDK_ASSERT_ONE_SENTENCE(lies[i].sentence);
			CU_ASSERT(!fake.bus_master);
			for (int k = 0; k < 3; k++) {
				CU_ASSERT_EQUAL(done[k].count, 1);
				CU_ASSERT_EQUAL(done[k].status, NSDK_NVME_STATUS(3, 0));
			}
			CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
			/* From now on it says so, and nothing else happens. */
			NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -EIO);
			NSDK_ASSERT_INT(nsdk_nvme_qpair_submit(qp), -EIO);
			NSDK_ASSERT_INT(read_block(&done[0]), -EIO);
			NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -EIO);
			CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
			take_down();
		}
	bring_up(true, false);
}

static void duplicate(void)
{
	struct fake_done done[2] = { 0 };

	fake.hook = hold_io;
	read_block(&done[0]);
	read_block(&done[1]);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	/* Both in one poll: the first is true and counts. */
	fake_complete(1, 0, 0);
	fake_complete(1, 0, 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("command id 0 on queue 1, which is not outstanding");
	CU_ASSERT_EQUAL(done[0].count, 1);
	CU_ASSERT_EQUAL(done[0].status, 0);
	CU_ASSERT_EQUAL(done[1].count, 1);
	CU_ASSERT_EQUAL(done[1].status, NSDK_NVME_STATUS(3, 0));
}

static void duplicate_later(void)
{
	struct fake_done done = { 0 };

	read_block(&done);
	NSDK_ASSERT_INT(poll_device(0), 1);
	fake_complete(1, 0, 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("which is not outstanding");
	CU_ASSERT_EQUAL(done.count, 1);
}

static void notices_duplicates(void)
{
	each_way(duplicate);
	each_way(duplicate_later);
}

/* An old phase bit is no completion, whatever else is written there. */
static void waits_for_the_phase_bit(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_cpl *cqe = (struct nsdk_nvme_cpl *)(uintptr_t)qp->cqe;

	fake.hook = hold_io;
	read_block(&done);
	nsdk_nvme_qpair_submit(qp);
	*cqe = (struct nsdk_nvme_cpl){ .sqid = 1, .cid = 0, .sqhd = 1 };
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(done.count, 0);
	cqe->status = 1;
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 1);
	CU_ASSERT_EQUAL(done.count, 1);
}

/* Silence: after so many empty polls the queue pair looks for itself. */
static void silent(void)
{
	struct fake_done done = { 0 };
	int err = 0, polls = 0;

	fake.hook = hold_io;
	read_block(&done);
	poll_device(0);
	fake.gone_at = fake.reg_reads + 1;
	while (err == 0 && polls++ < 200000)
		err = nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(err, -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("fake is gone");
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
}

static void finds_out_that_the_device_is_gone(void)
{
	each_way(silent);
}

static void leaves_registers_alone_while_it_waits_for_nothing(void)
{
	unsigned reads = fake.reg_reads;

	for (int i = 0; i < 200000; i++)
		nsdk_nvme_qpair_poll(qp, 0);
	CU_ASSERT_EQUAL(fake.reg_reads, reads);
}

/* One queue pair finds a lie; the other gives its I/O back too, when its thread comes by. */
static void others_follow(void)
{
	struct nsdk_nvme_qpair *other = fake_qpair(ctrlr, ENTRIES);
	struct fake_done done = { 0 };
	int err = 0, polls = 0;

	fake.hook = hold_io;
	NSDK_ASSERT_INT(nsdk_nvme_read(ns, other, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done),
			0);
	nsdk_nvme_qpair_submit(other);
	fake_post(1, (struct nsdk_nvme_cpl){ .sqid = 1 });
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -EIO);
	CU_ASSERT_EQUAL(done.count, 0);
	while (err == 0 && polls++ < 200000)
		err = nsdk_nvme_qpair_poll(other, 0);
	NSDK_ASSERT_INT(err, -EIO);
	NSDK_ASSERT_ONE_SENTENCE("which is not outstanding");
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
	nsdk_nvme_qpair_destroy(other);
}

static void a_failed_controller_fails_every_queue_pair(void)
{
	each_way(others_follow);
}

static void syncs_before_it_sends_and_before_it_calls_back(void)
{
	struct fake_done done = { 0 };

	take_down();
	bring_up(false, true);
	fake.flushes_for_device = fake.flushes_for_cpu = fake.commits = 0;
	read_block(&done);
	read_block(&done);
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done), 0);
	CU_ASSERT_EQUAL(fake.commits, 0);
	nsdk_nvme_qpair_submit(qp);
	/* Three payloads and one run of SQEs, one fence. */
	CU_ASSERT_EQUAL(fake.flushes_for_device, 4);
	CU_ASSERT_EQUAL(fake.commits, 1);
	fake_run();
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 3);
	/* What was read; what was written is as it was. */
	CU_ASSERT_EQUAL(fake.flushes_for_cpu, 2);

	/* What never comes back is taken back all the same. */
	fake.hook = hold_io;
	fake.flushes_for_cpu = 0;
	read_block(&done);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	fake_post(1, (struct nsdk_nvme_cpl){ .sqid = 9 });
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), -EIO);
	CU_ASSERT_EQUAL(fake.flushes_for_cpu, 1);
	CU_ASSERT_EQUAL(done.count, 4);
	nsdk_unit_log_clear();
}

static void a_slow_flush_holds_the_doorbell_and_nothing_else(void)
{
	static struct fake_done done; /* a failure may leave commands behind */

	take_down();
	bring_up(false, true);
	fake.flush_polls = 3;
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done), 0);
	nsdk_nvme_qpair_submit(qp);
	NSDK_ASSERT_INT(fake.flying, 1);
	fake_run();
	CU_ASSERT_EQUAL(fake.doorbells_used, 0);
	/* More is taken meanwhile, and its doorbell is another. */
	NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done), 0);
	nsdk_nvme_qpair_submit(qp);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	fake_run();
	CU_ASSERT_EQUAL(fake.doorbells_used, 0);
	fake.flush_polls = 1;
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	/* The first has arrived: it alone is announced, and the second is on its way. */
	fake_run();
	CU_ASSERT_EQUAL(fake.doorbells_used, 1);
	CU_ASSERT_EQUAL(*(volatile uint32_t *)(void *)(fake_bar + 0x1000 + 8), 1);
	NSDK_ASSERT_INT(fake.flying, 1);
	fake.flush_polls = 0;
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 1);
	CU_ASSERT_EQUAL(*(volatile uint32_t *)(void *)(fake_bar + 0x1000 + 8), 2);
	fake_run();
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 1);
	CU_ASSERT_EQUAL(done.count, 2);
	NSDK_ASSERT_INT(fake.flying, 0);
}

static void callbacks_wait_for_what_is_taken_back_slowly(void)
{
	struct fake_done done = { 0 };
	volatile uint32_t *cq_doorbell = (volatile uint32_t *)(void *)(fake_bar + 0x1000 + 12);

	take_down();
	bring_up(false, true);
	read_block(&done);
	read_block(&done);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	fake.flush_polls = 2;
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
	CU_ASSERT_EQUAL(done.count, 0);
	/* The device may not write over completions that nobody has looked at. */
	CU_ASSERT_EQUAL(*cq_doorbell, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 2);
	fake.flush_polls = 0;
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 2);
	CU_ASSERT_EQUAL(done.count, 2);
	CU_ASSERT_EQUAL(*cq_doorbell, 2);
}

/* Full batches of completions, each taking its time, in both orders with ends and lies. */
static void flushes_under_way_end_before_the_queue_does(void)
{
	struct fake_done done = { 0 };

	for (int lie = 0; lie < 2; lie++) {
		take_down();
		bring_up(false, true);
		done.count = 0;
		read_block(&done);
		nsdk_nvme_qpair_submit(qp);
		fake_run();
		fake.flush_polls = 5;
		if (lie)
			fake_post(1, (struct nsdk_nvme_cpl){ .sqid = 9 });
		CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
		read_block(&done);
		nsdk_nvme_qpair_submit(qp);
		NSDK_ASSERT_INT(fake.flying, 2);
		if (lie) {
			int rc = 0;

			for (unsigned i = 0; i < 8 && rc == 0; i++)
				rc = nsdk_nvme_qpair_poll(qp, 0);
			CU_ASSERT_EQUAL(rc, -EIO);
			nsdk_unit_log_clear();
		} else {
			nsdk_nvme_qpair_destroy(qp);
			qp = NULL;
		}
		/* Each once, the completed one with its own status. */
		CU_ASSERT_EQUAL(done.count, 2);
		NSDK_ASSERT_INT(fake.flying, 0);
	}
}

/* Counts, and looks whether the payload may be looked at, and freed when the I/O was given up. */
static void landed_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	++*(unsigned *)ctx;
	NSDK_ASSERT_INT(fake.flying_back, 0);
	NSDK_ASSERT_INT(fake.not_fenced, 0);
	if (!nsdk_nvme_cpl_ok(cpl))
		NSDK_ASSERT_INT(fake.flying, 0);
}

/* Whatever ends the queue, and whatever was under way by then. */
static void nobody_is_called_back_under_a_flush(void)
{
	enum { SEEN = 1, UNSEEN = 2, SENT = 4, FAILED = 8 };

	for (unsigned ways = 0; ways < 16; ways++) {
		unsigned count = 0, wanted = 0;
		struct nsdk_nvme_qpair *other;

		take_down();
		bring_up(false, true);
		other = fake_qpair(ctrlr, ENTRIES);
		if (ways & (SEEN | UNSEEN)) {
			NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 1, 0, landed_cb,
						       &count), 0);
			nsdk_nvme_qpair_submit(qp);
			fake_run();
			wanted++;
		}
		fake.flush_polls = 50;
		if (ways & SEEN)
			CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
		if (ways & SENT) {
			NSDK_ASSERT_INT(nsdk_nvme_write(ns, qp, fake_buffer(8, 4096), 0, 1, 0,
							landed_cb, &count), 0);
			nsdk_nvme_qpair_submit(qp);
			wanted++;
		}
		NSDK_ASSERT_INT(fake.flying, !!(ways & SEEN) + !!(ways & SENT));
		if (ways & FAILED) {
			fake_post(2, (struct nsdk_nvme_cpl){ .sqid = 1 });
			CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(other, 0), -EIO);
			CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), -EIO);
			NSDK_ASSERT_INT(count, wanted);
		}
		nsdk_nvme_qpair_destroy(other);
		nsdk_nvme_qpair_destroy(qp);
		qp = NULL;
		NSDK_ASSERT_INT(count, wanted);
		nsdk_unit_log_clear();
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(sends_a_batch_with_one_doorbell),
	NSDK_UNIT_TEST(goes_round_the_ring),
	NSDK_UNIT_TEST(handles_at_most_what_is_asked),
	NSDK_UNIT_TEST(says_when_it_is_full),
	NSDK_UNIT_TEST(callbacks_may_submit_but_not_poll),
	NSDK_UNIT_TEST(ends_with_a_device_that_never_stops),
	NSDK_UNIT_TEST(is_not_taken_in_by_lies),
	NSDK_UNIT_TEST(notices_duplicates),
	NSDK_UNIT_TEST(waits_for_the_phase_bit),
	NSDK_UNIT_TEST(finds_out_that_the_device_is_gone),
	NSDK_UNIT_TEST(leaves_registers_alone_while_it_waits_for_nothing),
	NSDK_UNIT_TEST(a_failed_controller_fails_every_queue_pair),
	NSDK_UNIT_TEST(syncs_before_it_sends_and_before_it_calls_back),
	NSDK_UNIT_TEST(a_slow_flush_holds_the_doorbell_and_nothing_else),
	NSDK_UNIT_TEST(callbacks_wait_for_what_is_taken_back_slowly),
	NSDK_UNIT_TEST(flushes_under_way_end_before_the_queue_does),
	NSDK_UNIT_TEST(nobody_is_called_back_under_a_flush),
};

NSDK_UNIT_MAIN("drivers/nvme/poll", tests, .before = before, .after = after)
