/* SPDX-License-Identifier: BSD-3-Clause */
/* The admin queue's vector (irq.c): asked for, armed, shared, and signalled by the driver itself. */
#include "irq_rig.h"

#include <errno.h>

static void the_admin_queue_has_vector_0(void)
{
	static const struct {
		unsigned vectors, of[3];
	} cases[] = {
		{ 8, { 1, 2, 3 } },
		{ 2, { 1, 1, 1 } },
		{ 1, { 0, 0, 0 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nsdk_nvme_qpair *qp[3];

		bring_up_admin(cases[i].vectors);
		CU_ASSERT(nsdk_nvme_ctrlr_has_interrupt(ctrlr));
		NSDK_ASSERT_INT(fake.vectors_on, cases[i].vectors);
		CU_ASSERT(nsdk_nvme_irq_admin_fd(ctrlr) >= 0);
		for (unsigned j = 0; j < 3; j++) {
			qp[j] = make(0);
			NSDK_ASSERT_INT(fake.queues[j + 1].vector, cases[i].of[j]);
			CU_ASSERT_EQUAL(nsdk_nvme_irq_fd(qp[j]) == nsdk_nvme_irq_admin_fd(ctrlr),
					cases[i].of[j] == 0);
		}
		/* Which outlives those that share it. */
		for (unsigned j = 0; j < 3; j++)
			nsdk_nvme_qpair_destroy(qp[j]);
		CU_ASSERT(nsdk_nvme_irq_admin_fd(ctrlr) >= 0);
		NSDK_ASSERT_INT(fake.irq_changes, 0);
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		take_down();
	}
}

static void without_an_interrupt_its_sleeps_are_short(bool asked, unsigned vectors)
{
	struct nsdk_nvme_qpair *qp;
	struct fake_done done = { 0 };
	uint64_t wake_ns;
	uint16_t cid;

	attach(vectors, asked);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	CU_ASSERT(!nsdk_nvme_ctrlr_has_interrupt(ctrlr));
	NSDK_ASSERT_INT(nsdk_nvme_irq_admin_fd(ctrlr), -1);
	/* Said once, whoever asks for another. */
	if (asked)
		NSDK_ASSERT_ONE_SENTENCE("no MSI-X interrupts, so its queues are polled");
	qp = asked ? make(0) : fake_qpair(ctrlr, 8);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 200 * NVME_NS_PER_MS);
	cid = fake_self_test(ctrlr, 0, &done);
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 20 * NVME_NS_PER_MS);
	fake_complete(0, cid, 0);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	NSDK_ASSERT_INT(done.count, 1);
	nsdk_nvme_irq_disarm_admin(ctrlr);
	nsdk_nvme_irq_wake_admin(ctrlr);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

static void without_vectors_the_admin_queue_is_looked_at_often(void)
{
	without_an_interrupt_its_sleeps_are_short(true, 0);
}

static void who_does_not_ask_looks_often(void)
{
	without_an_interrupt_its_sleeps_are_short(false, 4);
}

static void attaching_fails_or_does_without(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .interrupts = true };
	unsigned refused = 0, without = 0;

	nsdk_unit_log_start();
	fake_reset();
	fake.vectors = 4;
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int err = nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr);

		NSDK_ASSERT_INT(nsdk_unit_log_count(), nsdk_unit_failed());
		nsdk_unit_log_clear();
		CU_ASSERT(nsdk_unit_failed() || err == 0);
		refused += err != 0;
		without += !err && !nsdk_nvme_ctrlr_has_interrupt(ctrlr);
		NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
		fake_check_clean();
	}
	/* The list of none, the vectors, turning them on. */
	NSDK_ASSERT_INT(without, 3);
	CU_ASSERT(refused > 3);
	nsdk_unit_log_stop();
}

/* By an event as by the end of a command; masked, by nothing. */
static void admin_completions_signal_who_is_armed(void)
{
	struct fake_done done = { 0 };
	uint64_t wake_ns;
	uint16_t cid;

	bring_up_admin(2);
	fake_event(0x020101);
	CU_ASSERT(!admin_signalled());
	/* Armed when it is complete already: nobody tells, and the poll behind finds it. */
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT(!admin_signalled());
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	fake_run();
	NSDK_ASSERT_INT(fake.vector_fds[0], nsdk_nvme_irq_admin_fd(ctrlr));
	CU_ASSERT(!admin_signalled());
	fake_event(0x020101);
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	cid = fake_self_test(ctrlr, 0, &done);
	CU_ASSERT(!admin_signalled());
	fake_complete(0, cid, 0);
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	NSDK_ASSERT_INT(done.count, 1);
	nsdk_nvme_irq_disarm_admin(ctrlr);
	NSDK_ASSERT_INT(fake.vector_fds[0], -1);
	NSDK_ASSERT_INT(fake.irq_changes, 2);
	/* Its detach disarms it. */
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	take_down();
}

static void admin_sleeps_are_bounded(void)
{
	struct fake_done done = { 0 };
	uint64_t wake_ns;
	uint16_t cid;

	bring_up_admin(2);
	/* Requests for events are outstanding for ever. */
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 5 * NVME_NS_PER_S);
	cid = fake_self_test(ctrlr, 60 * NVME_NS_PER_S, &done);
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 500 * NVME_NS_PER_MS);
	/* By its deadline at the latest, and that of each. */
	fake.now_ns += 59900 * NVME_NS_PER_MS;
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 100 * NVME_NS_PER_MS);
	/* Only ever lowered. */
	wake_ns = fake.now_ns + 5;
	NSDK_ASSERT_INT(nsdk_nvme_irq_arm_admin(ctrlr, &wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 5);
	fake_complete(0, cid, 0);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 5 * NVME_NS_PER_S);
	take_down();
}

static void an_admin_vector_that_cannot_be_armed_is_done_without(void)
{
	uint64_t wake_ns;

	bring_up_admin(2);
	fake.irq_error = -EIO;
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	NSDK_ASSERT_ONE_SENTENCE("made to fail");
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 200 * NVME_NS_PER_MS);
	fake.irq_error = 0;
	NSDK_ASSERT_INT(arm_admin(&wake_ns), 0);
	CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 200 * NVME_NS_PER_MS);
	NSDK_ASSERT_INT(fake.irq_changes, 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	take_down();
	/* Of one that has failed there is nothing to be said. */
	bring_up_admin(2);
	nsdk_nvme_ctrlr_fail(ctrlr, -EIO, "made to fail");
	fake.irq_error = -EIO;
	NSDK_ASSERT_INT(arm_admin(&wake_ns), -EAGAIN);
	fake.irq_error = 0;
	CU_ASSERT(!ctrlr->irqs.vectors[0].refused);
	take_down();
}

/* One vector for all: it signals while one of them is armed. */
static void the_admin_queue_shares_its_vector(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	uint64_t wake_ns;

	bring_up_admin(1);
	qp = make(0);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	fake_event(0x020101);
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	await_admin();
	nsdk_nvme_irq_disarm(qp);
	NSDK_ASSERT_INT(fake.irq_changes, 1);
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	nsdk_nvme_qpair_submit(qp);
	fake_run();
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
	NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
	nsdk_nvme_irq_disarm_admin(ctrlr);
	NSDK_ASSERT_INT(fake.irq_changes, 1);
	/* The last one that is armed goes, and the other is still there. */
	nsdk_nvme_qpair_destroy(qp);
	NSDK_ASSERT_INT(fake.vector_fds[0], -1);
	await_admin();
	fake_event(0x020101);
	CU_ASSERT(admin_signalled());
	take_down();
}

static void the_end_wakes_the_controllers_thread(void)
{
	uint64_t wake_ns;

	bring_up_admin(2);
	await_admin();
	nsdk_nvme_ctrlr_fail(ctrlr, -ENODEV, "made to fail");
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(arm_admin(&wake_ns), -EAGAIN);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	take_down();
}

/* Whoever finds it; it stays awake until all is well, and goes on with interrupts. */
static void trouble_wakes_the_controllers_thread(void)
{
	unsigned rounds = 0;
	uint64_t wake_ns;

	bring_up_admin(2);
	await_admin();
	nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "made to fail");
	CU_ASSERT(admin_signalled());
	while (nsdk_nvme_ctrlr_recovering(ctrlr) && rounds++ < 1000) {
		NSDK_ASSERT_INT(arm_admin(&wake_ns), -EAGAIN);
		CU_ASSERT(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
	}
	CU_ASSERT(rounds > 1 && rounds < 1000);
	NSDK_ASSERT_INT(fake.enables, 2);
	fake_run();
	NSDK_ASSERT_INT(fake.irq_changes, 1);
	await_admin();
	fake_event(0x020101);
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 1);
	take_down();
}

/* An Abort to be sent, queues to be made again: the queue pair's thread finds out. */
static void queue_pairs_wake_the_controllers_thread(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	unsigned rounds = 0;
	uint64_t wake_ns;

	bring_up_admin(3);
	qp = make(80 * NVME_NS_PER_MS);
	hold_io = true;
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	await_admin();
	while (!admin_signalled() && rounds++ < 100) {
		NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
		fake.now_ns = wake_ns;
	}
	CU_ASSERT(rounds < 100);
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake_run();
	CU_ASSERT_EQUAL(fake.last[0].opcode, NSDK_NVME_ADMIN_ABORT);
	nsdk_nvme_ctrlr_poll(ctrlr);
	/* It is answered, and the command does not come back. */
	await_admin();
	for (rounds = 0; !admin_signalled() && rounds < 100; rounds++) {
		NSDK_ASSERT_INT(arm(qp, &wake_ns), 0);
		fake.now_ns = wake_ns;
	}
	CU_ASSERT(rounds < 100 && qp->wants_queues);
	hold_io = false;
	while (done.count == 0 && rounds++ < 1000) {
		nsdk_nvme_ctrlr_poll(ctrlr);
		nsdk_nvme_qpair_poll(qp, 0);
		(void)arm(qp, &wake_ns);
	}
	NSDK_ASSERT_INT(done.count, 1);
	nsdk_unit_log_clear();
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

/* A reset went on without a queue pair; its thread comes by when the controller's sleeps again. */
static void who_pauses_late_wakes_the_controllers_thread(void)
{
	struct fake_done done = { 0 };
	struct nsdk_nvme_qpair *qp;
	unsigned rounds = 0;
	uint64_t wake_ns;

	bring_up_admin(3);
	qp = make(0);
	nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "made to fail");
	fake.clock_step_ns = 10000000;
	while (nsdk_nvme_ctrlr_recovering(ctrlr) && rounds++ < 1000)
		nsdk_nvme_ctrlr_poll(ctrlr);
	fake.clock_step_ns = 0;
	CU_ASSERT(rounds < 1000 && !fake.queues[1].cq_exists);
	await_admin();
	NSDK_ASSERT_INT(arm(qp, &wake_ns), -EAGAIN);
	CU_ASSERT(admin_signalled());
	NSDK_ASSERT_INT(read_one(qp, &done), -EAGAIN);
	for (rounds = 0; (qp->attention & NVME_PAUSED) && rounds < 1000; rounds++) {
		nsdk_nvme_ctrlr_poll(ctrlr);
		nsdk_nvme_qpair_poll(qp, 0);
	}
	NSDK_ASSERT_INT(read_one(qp, &done), 0);
	while (done.count == 0 && rounds++ < 1000)
		nsdk_nvme_qpair_poll(qp, 0);
	NSDK_ASSERT_INT(done.count, 1);
	nsdk_nvme_qpair_destroy(qp);
	take_down();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(the_admin_queue_has_vector_0),
	NSDK_UNIT_TEST(without_vectors_the_admin_queue_is_looked_at_often),
	NSDK_UNIT_TEST(who_does_not_ask_looks_often),
	NSDK_UNIT_TEST(attaching_fails_or_does_without),
	NSDK_UNIT_TEST(admin_completions_signal_who_is_armed),
	NSDK_UNIT_TEST(admin_sleeps_are_bounded),
	NSDK_UNIT_TEST(an_admin_vector_that_cannot_be_armed_is_done_without),
	NSDK_UNIT_TEST(the_admin_queue_shares_its_vector),
	NSDK_UNIT_TEST(the_end_wakes_the_controllers_thread),
	NSDK_UNIT_TEST(trouble_wakes_the_controllers_thread),
	NSDK_UNIT_TEST(queue_pairs_wake_the_controllers_thread),
	NSDK_UNIT_TEST(who_pauses_late_wakes_the_controllers_thread),
};

NSDK_UNIT_MAIN("drivers/nvme/irq_admin", tests)
