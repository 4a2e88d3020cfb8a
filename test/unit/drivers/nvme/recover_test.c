/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines, and what is done about them: deadline.c and recover.c, which are two sides of one thing. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "drivers/nvme/nvme_internal.h"

#define ENTRIES 8
#define ABORTED NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORT_REQUESTED)
#define BY_HOST NSDK_NVME_STATUS(3, NSDK_NVME_SC_ABORTED_BY_HOST)

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;

/* What the controller is to do. */
static bool hold_io, hold_aborts, fail_deletes, hold_deletes;
static unsigned aborts, deletes, creates;
static uint32_t last_abort;
static uint16_t abort_cids[16];
static uint64_t sent_lbas[64];
static unsigned sent;

static enum fake_action hook(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
			     uint32_t *dw0)
{
	if (qid != 0) {
		if (sent < 64)
			sent_lbas[sent++] = cmd->cdw10;
		return hold_io ? FAKE_HOLD : FAKE_DO;
	}
	*status = 0;
	switch (cmd->opcode) {
	case NSDK_NVME_ADMIN_ABORT:
		abort_cids[aborts++ % 16] = cmd->cid;
		last_abort = cmd->cdw10;
		*dw0 = 1;
		return hold_aborts ? FAKE_HOLD : FAKE_REPLY;
	case NSDK_NVME_ADMIN_DELETE_SQ:
		deletes++;
		*status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
		return hold_deletes ? FAKE_HOLD : fail_deletes ? FAKE_REPLY : FAKE_DO;
	case NSDK_NVME_ADMIN_CREATE_SQ:
		creates++;
		return FAKE_DO;
	default:
		return FAKE_DO;
	}
}

static void bring_up(bool active, bool retry_writes)
{
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts),
					     .entries = ENTRIES,
					     .retry_writes = retry_writes };

	fake_reset();
	fake.active = active;
	fake.wants_poll = true;
	ctrlr = fake_attach();
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &opts, &qp), 0);
	nsdk_unit_log_clear();
	hold_io = hold_aborts = fail_deletes = hold_deletes = false;
	aborts = deletes = creates = sent = 0;
	fake.hook = hook;
}

static void take_down(void)
{
	hold_io = hold_aborts = fail_deletes = hold_deletes = false;
	nsdk_nvme_qpair_destroy(qp);
	nsdk_nvme_detach(ctrlr);
	fake_check_clean();
}

static void before(void)
{
	nsdk_unit_log_start();
	bring_up(false, false);
}

static void after(void)
{
	take_down();
	nsdk_unit_log_stop();
}

static int read_at(uint64_t lba, struct fake_done *done)
{
	return nsdk_nvme_read(ns, qp, fake_buffer(8, lba * 4096), lba, 1, 0, fake_done_cb, done);
}

static int write_at(uint64_t lba, struct fake_done *done)
{
	return nsdk_nvme_write(ns, qp, fake_buffer(8, lba * 4096), lba, 1, 0, fake_done_cb, done);
}

/* Enough polls for a look at the clock. */
static int look(void)
{
	int err = 0;

	for (unsigned i = 0; i <= NVME_WATCH_POLLS && err >= 0; i++)
		err = nsdk_nvme_qpair_poll(qp, 0);
	return err;
}

static void pass(uint64_t time_ns)
{
	fake.now_ns += time_ns;
	look();
}

/* What the user does: all is polled, until all is well or the controller is out. */
static int settle(void)
{
	int err;

	for (unsigned i = 0; i < 5000; i++) {
		fake.now_ns += 50 * NVME_NS_PER_MS;
		err = nsdk_nvme_ctrlr_poll(ctrlr);
		if (err >= 0)
			err = nsdk_nvme_qpair_poll(qp, 0);
		/* It has a thread, which goes by the real clock. */
		if (ctrlr->recovery.rung == NVME_RUNG_FUNCTION_RESET)
			usleep(1000);
		if (err < 0 || (i > 2 * NVME_WATCH_POLLS && !nsdk_nvme_ctrlr_recovering(ctrlr)))
			return err < 0 ? err : 0;
	}
	CU_FAIL("it does not end");
	return -EBUSY;
}

/* A command that hangs until its time is over and the Abort has been sent. */
static void make_late(void)
{
	pass(1);
	pass(5 * NVME_NS_PER_S);
	pass(31 * NVME_NS_PER_S);
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake_run();
	nsdk_nvme_ctrlr_poll(ctrlr);
}

static void aborts_what_is_late_and_not_before(void)
{
	static struct fake_done done, other; /* some are left to the end */
	uint16_t cid;

	hold_io = true;
	read_at(3, &done);
	pass(1);
	cid = fake.last_cid[1];
	pass(5 * NVME_NS_PER_S);
	pass(24 * NVME_NS_PER_S);
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake_run();
	CU_ASSERT_EQUAL(aborts, 0);
	hold_io = false;
	/* A younger one, which is fine; it is no reason to abort anything. */
	read_at(4, &other);
	look();
	CU_ASSERT_EQUAL(other.count, 1);
	hold_aborts = true;
	pass(12 * NVME_NS_PER_S);
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake_run();
	CU_ASSERT_EQUAL(aborts, 1);
	CU_ASSERT_EQUAL(last_abort, (uint32_t)cid << 16 | 1);
	CU_ASSERT_EQUAL(done.count, 0);
	/* Once is enough. */
	pass(5 * NVME_NS_PER_S);
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake_run();
	CU_ASSERT_EQUAL(aborts, 1);
	/* It comes back, with its own word; its id rests, as the Abort could hit another. */
	fake_complete(1, cid, ABORTED);
	look();
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, ABORTED);
	for (unsigned i = 0; i < 2 * ENTRIES; i++) {
		CU_ASSERT_EQUAL(read_at(4, &other), 0);
		look();
		CU_ASSERT_NOT_EQUAL(fake.last_cid[1], cid);
	}
	fake_complete(0, abort_cids[0], 0);
	nsdk_nvme_ctrlr_poll(ctrlr);
	look();
	/* And now all of them are there again. */
	hold_io = true;
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		CU_ASSERT_EQUAL(read_at(i, &other), 0);
	CU_ASSERT_EQUAL(read_at(7, &other), -EAGAIN);
	CU_ASSERT_EQUAL(deletes, 0);
	NSDK_ASSERT_ONE_SENTENCE("has not completed within 30000 ms; it is aborted");
}

static void aborts_no_more_at_a_time_than_the_controller_takes(void)
{
	static struct fake_done done[6]; /* they are left to the end */

	take_down();
	nsdk_unit_log_clear();
	bring_up(false, false);
	ctrlr->id.acl = 1;
	hold_io = hold_aborts = true;
	for (unsigned i = 0; i < 6; i++)
		read_at(i, &done[i]);
	make_late();
	CU_ASSERT_EQUAL(aborts, 2);
	fake_complete(0, abort_cids[0], 0);
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake_run();
	CU_ASSERT_EQUAL(aborts, 3);
	nsdk_unit_log_clear();
}

static void no_deadline_is_no_deadline(void)
{
	static struct fake_done done; /* what is in flight at the end is called back */

	qp->timeout_ns = NSDK_NVME_NO_TIMEOUT;
	hold_io = true;
	read_at(0, &done);
	for (unsigned i = 0; i < 10; i++) {
		pass(1000 * NVME_NS_PER_S);
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
	CU_ASSERT_EQUAL(aborts, 0);
}

static void somebody_has_to_poll_the_controller(void)
{
	struct fake_done done = { 0 };

	hold_io = true;
	read_at(0, &done);
	for (unsigned i = 0; i < 20; i++)
		pass(5 * NVME_NS_PER_S);
	CU_ASSERT_EQUAL(aborts, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("nsdk_nvme_ctrlr_poll() is not called");
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
}

static void and_for_a_reset_as_well(void)
{
	struct fake_done done = { 0 };
	int err = 0;

	hold_io = true;
	read_at(0, &done);
	look();
	fake.cfs = true;
	for (unsigned i = 0; i < 4 * NVME_IDLE_POLLS && err >= 0; i++) {
		fake.now_ns += NVME_NS_PER_MS;
		err = nsdk_nvme_qpair_poll(qp, 0);
	}
	NSDK_ASSERT_INT(err, -ETIMEDOUT);
	CU_ASSERT(nsdk_unit_log_has("nsdk_nvme_ctrlr_poll() is not called"));
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
	nsdk_unit_log_clear();
}

static struct fake_done resubmitted;
static int resubmit_error;

static void resubmitting_cb(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	fake_done_cb(ctx, cpl);
	resubmit_error = read_at(1, &resubmitted);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), 0);
}

/* One late, the others not: these are sent again, in their order. */
static void queues_anew(bool active)
{
	struct fake_done late = { 0 }, done[3] = { { 0 } };
	unsigned synced;

	take_down();
	nsdk_unit_log_clear();
	bring_up(active, false);
	/* Round the ring, so that the entries of before are there to be mistaken. */
	for (unsigned i = 0; i < 21; i++) {
		read_at(i % 7, &done[0]);
		nsdk_nvme_qpair_poll(qp, 0);
	}
	CU_ASSERT_EQUAL(done[0].count, 21);
	done[0].count = 0;
	hold_io = true;
	nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 7, 1, 0, resubmitting_cb, &late);
	make_late();
	CU_ASSERT_EQUAL(aborts, 1);
	read_at(5, &done[0]);
	write_at(6, &done[1]);
	read_at(2, &done[2]);
	look();
	/* The Abort did not help. */
	pass(NVME_NS_PER_S);
	pass(2 * NVME_NS_PER_S);
	CU_ASSERT_EQUAL(deletes, 0);
	fake.flushes_for_cpu = fake.commits = 0;
	synced = fake.rings_synced;
	sent = 0;
	hold_io = false;
	memset(&resubmitted, 0, sizeof(resubmitted));
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(deletes, 1);
	CU_ASSERT_EQUAL(creates, 1);
	CU_ASSERT_EQUAL(late.count, 1);
	CU_ASSERT_EQUAL(late.status, BY_HOST);
	CU_ASSERT_EQUAL(resubmit_error, -EAGAIN);
	/* Nobody can tell whether it was written. */
	CU_ASSERT_EQUAL(done[1].count, 1);
	CU_ASSERT_EQUAL(done[1].status, BY_HOST);
	CU_ASSERT_EQUAL(done[0].count, 1);
	CU_ASSERT_EQUAL(done[0].status, 0);
	CU_ASSERT_EQUAL(done[2].count, 1);
	CU_ASSERT_EQUAL(done[2].status, 0);
	CU_ASSERT_EQUAL(sent, 2);
	CU_ASSERT_EQUAL(sent_lbas[0], 5);
	CU_ASSERT_EQUAL(sent_lbas[1], 2);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_outstanding(qp), 0);
	if (active) {
		/* The one that was given up, and the two that came back. */
		CU_ASSERT_EQUAL(fake.flushes_for_cpu, 3);
		CU_ASSERT_EQUAL(fake.rings_synced, synced + 1);
		CU_ASSERT_EQUAL(fake.not_fenced, 0);
	}
	/* It is as good as new, all of it. */
	for (unsigned i = 0; i < 30; i++) {
		for (unsigned k = 0; k < ENTRIES - 1; k++)
			CU_ASSERT_EQUAL(read_at(k, &done[0]), 0);
		CU_ASSERT_EQUAL(read_at(0, &done[0]), -EAGAIN);
		look();
	}
	CU_ASSERT_EQUAL(done[0].count, 1 + 30 * (ENTRIES - 1));
	CU_ASSERT_EQUAL(aborts, 1);
	nsdk_unit_log_clear();
}

static void queues_are_made_again(void)
{
	queues_anew(false);
	queues_anew(true);
}

static void commands_that_were_overwritten_are_not_guessed(void)
{
	struct fake_done old = { 0 }, done = { 0 };

	hold_io = true;
	read_at(0, &old);
	look();
	hold_io = false;
	for (unsigned i = 0; i < 2 * ENTRIES; i++) {
		read_at(3, &done);
		look();
	}
	sent = 0;
	fake.cfs = true;
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(old.count, 1);
	CU_ASSERT_EQUAL(old.status, BY_HOST);
	CU_ASSERT_EQUAL(sent, 0);
	nsdk_unit_log_clear();
}

static void resets(bool active, bool retry_writes)
{
	struct fake_done read = { 0 }, write = { 0 }, flush = { 0 }, split = { 0 }, refused = { 0 };
	unsigned aers;

	take_down();
	nsdk_unit_log_clear();
	bring_up(active, retry_writes);
	aers = fake.aers;
	hold_io = true;
	memset(fake_buffer(8, 4096), 0x77, 512);
	read_at(0, &read);
	write_at(1, &write);
	nsdk_nvme_flush(ns, qp, fake_done_cb, &flush);
	/* More commands than there is room for. */
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, qp, fake_buffer(9, 0), 0, 2048, 0, fake_done_cb, &split), 0);
	look();
	hold_io = false;
	fake.cfs = true;
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	NSDK_ASSERT_ONE_SENTENCE("reports a fatal status (CSTS 00000003h); it is reset");
	CU_ASSERT(nsdk_nvme_ctrlr_recovering(ctrlr));
	look();
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_submit(qp), 0);
	CU_ASSERT_EQUAL(read_at(0, &refused), -EAGAIN);
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(fake.enables, 2);
	CU_ASSERT_EQUAL(fake.resets, 0);
	CU_ASSERT_EQUAL(fake.aers, aers);
	CU_ASSERT_EQUAL(read.count, 1);
	CU_ASSERT_EQUAL(read.status, 0);
	CU_ASSERT_EQUAL(flush.count, 1);
	CU_ASSERT_EQUAL(flush.status, 0);
	CU_ASSERT_EQUAL(split.count, 1);
	CU_ASSERT_EQUAL(split.status, 0);
	CU_ASSERT_EQUAL(write.count, 1);
	CU_ASSERT_EQUAL(write.status, retry_writes ? 0 : BY_HOST);
	if (retry_writes)
		CU_ASSERT_EQUAL(fake.disk[0][512], 0x77);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
	CU_ASSERT_EQUAL(fake.bad_dma, 0);
}

static void a_fatal_status_is_reset(void)
{
	for (unsigned way = 0; way < 4; way++)
		resets(way & 1, way & 2);
}

/* A flush under way when the queue pauses: over before anything is called back or sent again. */
static void flushes_end_before_a_reset(void)
{
	struct fake_done done = { 0 };
	unsigned runs;

	take_down();
	nsdk_unit_log_clear();
	bring_up(true, true);
	fake.flush_polls = 1000000;
	write_at(1, &done);
	nsdk_nvme_qpair_submit(qp);
	NSDK_ASSERT_INT(fake.flying, 1);
	fake.cfs = true;
	nsdk_nvme_ctrlr_poll(ctrlr);
	runs = fake.doorbells_used;
	look();
	look();
	NSDK_ASSERT_INT(fake.flying, 0);
	CU_ASSERT_EQUAL(fake.doorbells_used, runs);
	fake.flush_polls = 0;
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, 0);
	nsdk_unit_log_clear();
}

static void admin_commands_that_hang_lead_to_a_reset(void)
{
	struct nsdk_nvme_cpl cpl;
	const struct nsdk_nvme_cmd cmd = { .opcode = NSDK_NVME_ADMIN_ABORT };

	hold_aborts = true;
	CU_ASSERT_EQUAL(nsdk_nvme_admin_wait(ctrlr, &cmd, &cpl), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("admin command 08h was not answered within 10000 ms; it is reset");
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(fake.enables, 2);
}

static void queues_that_stay_lead_to_a_reset(void)
{
	for (unsigned way = 0; way < 2; way++) {
		struct fake_done done = { 0 };

		take_down();
		nsdk_unit_log_clear();
		bring_up(true, false);
		hold_io = true;
		fail_deletes = way == 0;
		hold_deletes = way == 1;
		read_at(0, &done);
		make_late();
		pass(NVME_NS_PER_S);
		pass(2 * NVME_NS_PER_S);
		hold_io = false;
		CU_ASSERT_EQUAL(settle(), 0);
		CU_ASSERT_EQUAL(fake.enables, 2);
		CU_ASSERT_EQUAL(done.count, 1);
		CU_ASSERT_EQUAL(done.status, BY_HOST);
		nsdk_unit_log_clear();
	}
}

static void the_function_is_reset_at_last(void)
{
	fake.never_disabled = true;
	fake.cfs = true;
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(fake.resets, 1);
	CU_ASSERT_EQUAL(fake.after_resets, 1);
	CU_ASSERT_EQUAL(fake.enables, 2);
	nsdk_unit_log_clear();
	/* One that does not get ready, twice. */
	fake.not_ready = 1;
	fake.now_ns += 61 * NVME_NS_PER_S;
	fake.cfs = true;
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT_EQUAL(fake.resets, 2);
	CU_ASSERT_EQUAL(fake.enables, 4);
	NSDK_ASSERT_ONE_SENTENCE("it is reset");
	/* A no-snoop setting that cannot be made what it was. */
	fake.not_ready = 1;
	fake.after_reset_error = -EIO;
	fake.now_ns += 61 * NVME_NS_PER_S;
	fake.cfs = true;
	CU_ASSERT_EQUAL(settle(), -EIO);
	CU_ASSERT(nsdk_unit_log_has("no-snoop setting cannot be made what it was"));
	CU_ASSERT(!fake.bus_master);
	nsdk_unit_log_clear();
}

static void is_taken_out_when_resets_do_not_help(void)
{
	struct fake_done done = { 0 };

	hold_io = true;
	read_at(0, &done);
	look();
	fake.never_ready = true;
	fake.cfs = true;
	CU_ASSERT_EQUAL(settle(), -EIO);
	CU_ASSERT_EQUAL(fake.enables, 4);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 2);
	CU_ASSERT(nsdk_unit_log_has("3 resets did not help"));
	CU_ASSERT(!fake.bus_master);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_poll(qp, 0), -EIO);
	CU_ASSERT_EQUAL(done.count, 1);
	CU_ASSERT_EQUAL(done.status, NSDK_NVME_STATUS(3, 0));
	nsdk_unit_log_clear();
}

static void is_gone_in_the_middle_of_a_reset(void)
{
	for (unsigned n = 0; n < 12; n++) {
		struct fake_done done = { 0 };

		take_down();
		nsdk_unit_log_clear();
		bring_up(n % 2, true);
		hold_io = true;
		read_at(0, &done);
		look();
		fake.cfs = true;
		nsdk_nvme_ctrlr_poll(ctrlr);
		fake.gone_at = fake.reg_reads + 1 + n;
		(void)settle();
		if (fake.gone) {
			CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
			look();
			CU_ASSERT_EQUAL(done.count, 1);
		}
		nsdk_unit_log_clear();
	}
}

static void a_queue_pair_may_go_in_the_middle_of_a_reset(void)
{
	for (unsigned steps = 0; steps < 30; steps++) {
		struct fake_done done = { 0 };

		take_down();
		nsdk_unit_log_clear();
		bring_up(steps % 2, false);
		hold_io = true;
		read_at(0, &done);
		look();
		fake.cfs = true;
		for (unsigned i = 0; i < steps; i++) {
			nsdk_nvme_ctrlr_poll(ctrlr);
			look();
		}
		nsdk_nvme_qpair_destroy(qp);
		CU_ASSERT_EQUAL(done.count, 1);
		qp = fake_qpair(ctrlr, ENTRIES);
		hold_io = false;
		read_at(0, &done);
		CU_ASSERT_EQUAL(settle(), 0);
		CU_ASSERT_EQUAL(done.count, 2);
		CU_ASSERT_EQUAL(done.status, 0);
	}
	nsdk_unit_log_clear();
}

/* Its thread has nothing to do and does not poll: the reset goes on, and its queues come later. */
static void who_does_not_poll_is_not_waited_for(void)
{
	struct nsdk_nvme_qpair *other = fake_qpair(ctrlr, ENTRIES);
	struct fake_done done = { 0 };
	unsigned polls = 0;

	fake.cfs = true;
	CU_ASSERT_EQUAL(settle(), 0);
	CU_ASSERT(!other->has_queues);
	CU_ASSERT(qp->has_queues);
	read_at(0, &done);
	look();
	CU_ASSERT_EQUAL(done.count, 1);
	/* Now it does. */
	CU_ASSERT_EQUAL(nsdk_nvme_read(ns, other, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done), 0);
	while (done.count == 1 && polls++ < 10 * NVME_WATCH_POLLS) {
		nsdk_nvme_ctrlr_poll(ctrlr);
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(other, 0) >= 0);
	}
	CU_ASSERT_EQUAL(done.count, 2);
	CU_ASSERT_EQUAL(done.status, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_qpair_destroy(other), 0);
	nsdk_unit_log_clear();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(aborts_what_is_late_and_not_before),
	NSDK_UNIT_TEST(aborts_no_more_at_a_time_than_the_controller_takes),
	NSDK_UNIT_TEST(no_deadline_is_no_deadline),
	NSDK_UNIT_TEST(somebody_has_to_poll_the_controller),
	NSDK_UNIT_TEST(and_for_a_reset_as_well),
	NSDK_UNIT_TEST(queues_are_made_again),
	NSDK_UNIT_TEST(commands_that_were_overwritten_are_not_guessed),
	NSDK_UNIT_TEST(a_fatal_status_is_reset),
	NSDK_UNIT_TEST(flushes_end_before_a_reset),
	NSDK_UNIT_TEST(admin_commands_that_hang_lead_to_a_reset),
	NSDK_UNIT_TEST(queues_that_stay_lead_to_a_reset),
	NSDK_UNIT_TEST(the_function_is_reset_at_last),
	NSDK_UNIT_TEST(is_taken_out_when_resets_do_not_help),
	NSDK_UNIT_TEST(is_gone_in_the_middle_of_a_reset),
	NSDK_UNIT_TEST(a_queue_pair_may_go_in_the_middle_of_a_reset),
	NSDK_UNIT_TEST(who_does_not_poll_is_not_waited_for),
};

NSDK_UNIT_MAIN("drivers/nvme/recover", tests, .before = before, .after = after)
