/* SPDX-License-Identifier: BSD-3-Clause */
/* Vectors of queue pairs: dealt out, armed, disarmed, and signalled by the driver itself. */
#include "irq_rig.h"

#include <errno.h>

/* ---- Dealing out ---- */

static void who_does_not_ask_has_none(void)
{
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;

	bring_up(4);
	qp = fake_qpair(ctrlr, 8);
	CU_ASSERT(!nsdk_nvme_qpair_has_interrupt(qp));
	NSDK_ASSERT_INT(fake.vectors_on, 0);
	CU_ASSERT(!fake.queues[1].interrupts);
	NSDK_ASSERT_INT(nsdk_nvme_irq_fd(qp), -1);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EOPNOTSUPP);
	nsdk_nvme_irq_disarm(qp);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* Vector 0 is the admin queue's; what there is besides goes round. */
static void vectors_are_dealt_out(void)
{
	static const struct {
		unsigned vectors, of[4], on;
	} cases[] = {
		{ 8, { 1, 2, 3, 4 }, 5 },
		{ 3, { 1, 2, 1, 2 }, 3 },
		{ 2, { 1, 1, 1, 1 }, 2 },
		{ 1, { 0, 0, 0, 0 }, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nsdk_nvme_qpair *qp[4];

		bring_up(cases[i].vectors);
		for (unsigned j = 0; j < 4; j++) {
			qp[j] = make(0);
			CU_ASSERT(nsdk_nvme_qpair_has_interrupt(qp[j]));
			CU_ASSERT(fake.queues[j + 1].interrupts);
			NSDK_ASSERT_INT(fake.queues[j + 1].vector, cases[i].of[j]);
			/* One that is shared is one file descriptor. */
			for (unsigned k = 0; k < j; k++)
				CU_ASSERT_EQUAL(nsdk_nvme_irq_fd(qp[k]) == nsdk_nvme_irq_fd(qp[j]),
						cases[i].of[k] == cases[i].of[j]);
		}
		NSDK_ASSERT_INT(fake.vectors_on, cases[i].on);
		for (unsigned j = 0; j < 4; j++)
			nsdk_nvme_qpair_destroy(qp[j]);
		/* Its descriptors are closed with the last that uses them, and made anew. */
		qp[0] = make(0);
		CU_ASSERT(nsdk_nvme_irq_fd(qp[0]) >= 0);
		nsdk_nvme_qpair_destroy(qp[0]);
		NSDK_ASSERT_INT(fake.irq_changes, 0);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		take_down();
	}
}

static void is_polled(const char *sentence)
{
	struct nsdk_nvme_qpair *qp[2];
	struct fake_done done = { 0 };

	for (unsigned i = 0; i < 2; i++)
		qp[i] = make(0);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT(!nsdk_nvme_qpair_has_interrupt(qp[i]));
		CU_ASSERT(!fake.queues[i + 1].interrupts);
		NSDK_ASSERT_INT(read_one(qp[i], &done), 0);
		while (nsdk_nvme_qpair_poll(qp[i], 0) == 0)
			;
		nsdk_nvme_qpair_destroy(qp[i]);
	}
	NSDK_ASSERT_INT(done.count, 2);
	take_down();
}

static void without_msix_it_is_said_and_polled(void)
{
	bring_up(0);
	is_polled("no MSI-X interrupts");
}

static void a_model_that_needs_polls_is_polled(void)
{
	bring_up(4);
	fake.works_alone = false;
	is_polled("say thread=1");
}

static void what_fails_is_undone_or_done_without(void)
{
	int allocations;

	bring_up(4);
	allocations = fake.allocations;
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .interrupts = true };
		struct nsdk_nvme_qpair *qp = NULL;
		int err = nsdk_nvme_qpair_create(ctrlr, &opts, &qp);

		/* An interrupt that cannot be had is no reason not to do without. */
		CU_ASSERT(!nsdk_unit_failed() || nsdk_unit_log_count() == 1);
		CU_ASSERT(err == 0 || nsdk_unit_failed());
		nsdk_nvme_qpair_destroy(qp);
		/* Once refused it is not asked for again, so that it is said once. */
		if (ctrlr->irqs.refused) {
			take_down();
			bring_up(4);
			allocations = fake.allocations;
		}
		/* What stays is what the vectors are in. */
		CU_ASSERT_EQUAL(fake.allocations, allocations + (fake.vectors_on > 0));
		nsdk_unit_log_clear();
	}
	take_down();
}

/* ---- Arming ---- */

static void vectors_are_masked_until_they_are_armed(void)
{
	struct nsdk_nvme_qpair *one, *two;
	struct fake_done done = { 0 };
	uint64_t wake_ns;

	bring_up(2);
	one = make(0);
	two = make(0);
	NSDK_ASSERT_INT(read_one(one, &done), 0);
	nsdk_nvme_qpair_submit(one);
	fake_run();
	CU_ASSERT(!signalled(one));
	/* Armed twice is armed; and a vector that is shared, while one of them is. */
	NSDK_ASSERT_INT(arm(one, &wake_ns), 0);
	NSDK_ASSERT_INT(arm(one, &wake_ns), 0);
	NSDK_ASSERT_INT(arm(two, &wake_ns), 0);
	NSDK_ASSERT_INT(fake.irq_changes, 1);
	NSDK_ASSERT_INT(fake.vector_fds[1], nsdk_nvme_irq_fd(one));
	NSDK_ASSERT_INT(fake.vector_fds[0], -1);
	/* What came before is for the poll that follows. */
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(one, 0), 1);
	NSDK_ASSERT_INT(read_one(one, &done), 0);
	nsdk_nvme_qpair_submit(one);
	fake_run();
	CU_ASSERT(signalled(one));
	nsdk_nvme_irq_disarm(one);
	nsdk_nvme_irq_disarm(one);
	NSDK_ASSERT_INT(fake.irq_changes, 1);
	nsdk_nvme_irq_disarm(two);
	NSDK_ASSERT_INT(fake.irq_changes, 2);
	/* One that is destroyed is disarmed; the other may still want it. */
	NSDK_ASSERT_INT(arm(one, &wake_ns), 0);
	NSDK_ASSERT_INT(arm(two, &wake_ns), 0);
	nsdk_nvme_qpair_destroy(one);
	NSDK_ASSERT_INT(fake.vector_fds[1], nsdk_nvme_irq_fd(two));
	nsdk_nvme_qpair_destroy(two);
	NSDK_ASSERT_INT(fake.vector_fds[1], -1);
	take_down();
}

static void what_cannot_be_armed_is_polled_on(void)
{
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;

	bring_up(2);
	qp = make(0);
	fake.irq_error = -EIO;
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EOPNOTSUPP);
	NSDK_ASSERT_ONE_SENTENCE("made to fail");
	CU_ASSERT(!qp->irq.armed);
	/* Nobody tries again what has been said. */
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EOPNOTSUPP);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	/* Its next user may. */
	nsdk_nvme_qpair_destroy(qp);
	qp = make(0);
	fake.irq_error = 0;
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	/* And one that cannot be disarmed is one interrupt too many. */
	fake.irq_error = -EIO;
	nsdk_nvme_irq_disarm(qp);
	NSDK_ASSERT_ONE_SENTENCE("made to fail");
	fake.irq_error = 0;
	fake.vector_fds[1] = -1;
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* The failure is what is to be reported, and by the next poll. */
static void a_controller_that_failed_cannot_be_armed_now(void)
{
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;

	bring_up(2);
	qp = make(0);
	nsdk_nvme_ctrlr_fail(ctrlr, -EIO, "made to fail");
	fake.irq_error = -EIO;
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EAGAIN);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), -EIO);
	fake.irq_error = 0;
	nsdk_unit_log_clear();
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

static void arming_sends_what_was_collected(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;

	bring_up(2);
	qp = make(0);
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	fake_run();
	CU_ASSERT(signalled(qp));
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* A queue pair of a no-snoop controller whose flushes take some polls, with an I/O. */
static struct nsdk_nvme_qpair *submit_flying(struct fake_done *done)
{
	struct nsdk_nvme_qpair *qp;

	nsdk_unit_log_start();
	fake_reset();
	fake.vectors = 2;
	fake.active = true;
	ctrlr = fake_attach();
	qp = make(0);
	fake.flush_polls = 3;
	NSDK_ASSERT_INT(read_one(qp, done), 0);
	nsdk_nvme_qpair_submit(qp);
	return qp;
}

/* A flush by others tells by no interrupt that it is done. */
static void flushes_under_way_keep_awake(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;
	unsigned tries = 0;

	qp = submit_flying(&done);
	while (done.count == 0 && tries++ < 100) {
		int err = arm(qp, &wake_ns);

		NSDK_ASSERT_INT(err, fake.flying ? -EAGAIN : 0);
		nsdk_nvme_qpair_poll(qp, 0);
	}
	NSDK_ASSERT_INT(done.count, 1);
	CU_ASSERT(tries > 3);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* Even when a pause is ordered, which hands out what was taken back: callbacks are for polls. */
static void arming_hands_out_nothing(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	unsigned tries = 0;
	uint64_t wake_ns;

	qp = submit_flying(&done);
	while (!(qp->attention & NVME_TAKING) && tries++ < 100)
		nsdk_nvme_qpair_poll(qp, 0);
	CU_ASSERT(qp->attention & NVME_TAKING);
	nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "made to fail");
	nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_EQUAL(atomic_load(&qp->order), NVME_ORDER_PAUSE);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EAGAIN);
	NSDK_ASSERT_INT(done.count, 0);
	CU_ASSERT(!qp->irq.armed);
	while ((done.count == 0 || nsdk_nvme_ctrlr_recovering(ctrlr)) && tries++ < 1000) {
		nsdk_nvme_qpair_poll(qp, 0);
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
	NSDK_ASSERT_INT(done.count, 1);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

static void sleep_is_bounded(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;

	bring_up(2);
	qp = make(0);
	/* Nothing is expected of it. */
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, UINT64_MAX);
	hold_io = true;
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 500 * NVME_NS_PER_MS);
	/* Only ever lowered. */
	wake_ns = fake.now_ns + 5;
	NSDK_ASSERT_INT(nsdk_nvme_irq_arm(qp, false, &wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 5);
	fake_run();
	fake_complete(1, fake.last_cid[1], 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
	nsdk_nvme_qpair_destroy(qp);
	/* Without a deadline an interrupt may get lost all the same. */
	qp = make(NSDK_NVME_NO_TIMEOUT);
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 500 * NVME_NS_PER_MS);
	hold_io = false;
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* Who sleeps as long as he may and polls once in between notices a late command as anybody else. */
static void deadlines_are_kept_asleep(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns, began_ns;
	unsigned sleeps = 0;

	bring_up(2);
	qp = make(80 * NVME_NS_PER_MS);
	hold_io = true;
	began_ns = fake.now_ns;
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	while (done.count == 0 && sleeps++ < 100) {
		NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
		CU_ASSERT(wake_ns > fake.now_ns && wake_ns - fake.now_ns <= 10 * NVME_NS_PER_MS);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 0);
		fake.now_ns = wake_ns;
		/* The Abort is the controller's thread's to send. */
		nsdk_nvme_ctrlr_poll(ctrlr);
		if (fake.last[0].opcode == NSDK_NVME_ADMIN_ABORT)
			fake_complete(1, fake.last_cid[1], NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORT_REQUESTED));
		if (fake.last[0].opcode == NSDK_NVME_ADMIN_ABORT)
			nsdk_nvme_qpair_poll(qp, 0);
	}
	NSDK_ASSERT_INT(done.count, 1);
	CU_ASSERT_EQUAL(done.status & 0xffe, NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORT_REQUESTED));
	/* Two looks late at most, a sleep before each, and the answer. */
	CU_ASSERT(fake.now_ns - began_ns <= 120 * NVME_NS_PER_MS);
	NSDK_ASSERT_ONE_SENTENCE("has not completed within 80 ms");
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* An Abort is answered soon, or something has to be done about it. */
static void aborts_are_looked_after_asleep(void)
{
	uint64_t wake_ns = 0, began_ns;
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	unsigned sleeps = 0;

	bring_up(2);
	qp = make(8 * NVME_NS_PER_S);
	hold_io = true;
	began_ns = fake.now_ns;
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	while (sleeps++ < 100) {
		NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
		if (wake_ns == fake.now_ns + 10 * NVME_NS_PER_MS)
			break;
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 0);
		fake.now_ns = wake_ns;
	}
	CU_ASSERT(sleeps < 100 && fake.now_ns - began_ns >= 8 * NVME_NS_PER_S);
	/* Once to send it, once for the answer. */
	for (unsigned i = 0; i < 2; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_EQUAL(fake.last[0].opcode, NSDK_NVME_ADMIN_ABORT);
	fake_complete(1, fake.last_cid[1], NSDK_NVME_STATUS(0, NSDK_NVME_SC_ABORT_REQUESTED));
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_ONE_SENTENCE("has not completed within 8000 ms");
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* ---- What the driver itself wakes for ---- */

static void the_end_wakes_those_that_are_armed(void)
{
	struct nsdk_nvme_qpair *armed, *polled;
	struct fake_done done = { 0 };
	uint64_t wake_ns;

	bring_up(3);
	/* Hardware: its polls are of the shortest kind. */
	fake.wants_poll = false;
	armed = make(0);
	polled = make(0);
	hold_io = true;
	NSDK_ASSERT_INT(read_one(armed, &done), 0);
	NSDK_ASSERT_INT(arm(armed, &wake_ns), 0);
	nsdk_nvme_ctrlr_fail(ctrlr, -EIO, "made to fail");
	CU_ASSERT(signalled(armed));
	CU_ASSERT(!signalled(polled));
	nsdk_unit_log_clear();
	/* Woken, it arms again, and is told to look; one that was on its way to sleep, likewise. */
	NSDK_ASSERT_INT(arm(armed, &wake_ns), -EAGAIN);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(armed, 0), -EIO);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(arm(armed, &wake_ns), -EAGAIN);
	nsdk_nvme_qpair_destroy(armed);
	nsdk_nvme_qpair_destroy(polled);
	take_down();
}

static void a_reset_wakes_and_keeps_the_vectors(void)
{
	struct nsdk_nvme_qpair *qp;
	struct fake_done done = { 0 };
	unsigned rounds = 0;
	uint64_t wake_ns;

	bring_up(3);
	qp = make(0);
	hold_io = true;
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	fake_run();
	CU_ASSERT(!signalled(qp));
	nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "made to fail");
	hold_io = false;
	nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT(signalled(qp));
	/* Its thread looks, pauses, and stays awake until all is well. */
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EAGAIN);
	while (nsdk_nvme_ctrlr_recovering(ctrlr) && rounds++ < 1000) {
		NSDK_ASSERT_INT(arm(qp, &wake_ns), -EAGAIN);
		nsdk_nvme_qpair_poll(qp, 0);
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
	CU_ASSERT(!nsdk_nvme_ctrlr_recovering(ctrlr));
	while (done.count == 0 && rounds++ < 1000)
		nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(done.status & 0xffe, 0);
	/* Made again as they were, and still armed. */
	CU_ASSERT(fake.queues[1].interrupts);
	NSDK_ASSERT_INT(fake.queues[1].vector, 1);
	(void)signalled(qp);
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	NSDK_ASSERT_INT(fake.irq_changes, 1);
	fake_run();
	CU_ASSERT(signalled(qp));
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* A sleep that the clock ended makes the next poll look whether the controller still lives. */
static void a_late_wake_looks_at_the_controller(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns = UINT64_MAX;
	unsigned reads;

	bring_up(2);
	qp = make(0);
	hold_io = true;
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_irq_arm(qp, false, &wake_ns), 0);
	reads = fake.csts_reads;
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 0);
	NSDK_ASSERT_INT(fake.csts_reads, reads);
	NSDK_ASSERT_INT(nsdk_nvme_irq_arm(qp, true, &wake_ns), 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 0);
	NSDK_ASSERT_INT(fake.csts_reads, reads + 1);
	hold_io = false;
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(who_does_not_ask_has_none),
	NSDK_UNIT_TEST(vectors_are_dealt_out),
	NSDK_UNIT_TEST(without_msix_it_is_said_and_polled),
	NSDK_UNIT_TEST(a_model_that_needs_polls_is_polled),
	NSDK_UNIT_TEST(what_fails_is_undone_or_done_without),
	NSDK_UNIT_TEST(vectors_are_masked_until_they_are_armed),
	NSDK_UNIT_TEST(what_cannot_be_armed_is_polled_on),
	NSDK_UNIT_TEST(a_controller_that_failed_cannot_be_armed_now),
	NSDK_UNIT_TEST(arming_sends_what_was_collected),
	NSDK_UNIT_TEST(flushes_under_way_keep_awake),
	NSDK_UNIT_TEST(arming_hands_out_nothing),
	NSDK_UNIT_TEST(sleep_is_bounded),
	NSDK_UNIT_TEST(deadlines_are_kept_asleep),
	NSDK_UNIT_TEST(aborts_are_looked_after_asleep),
	NSDK_UNIT_TEST(the_end_wakes_those_that_are_armed),
	NSDK_UNIT_TEST(a_reset_wakes_and_keeps_the_vectors),
	NSDK_UNIT_TEST(a_late_wake_looks_at_the_controller),
};

NSDK_UNIT_MAIN("drivers/nvme/irq", tests)
