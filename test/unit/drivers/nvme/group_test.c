/* SPDX-License-Identifier: BSD-3-Clause */
/* Poll groups: members, turns, failures, and what their file descriptor says. */
#include "irq_rig.h"

#include <errno.h>
#include <poll.h>

#include <nsdk/nvme_admin.h>

static struct nsdk_nvme_poll_group *group;
static struct nsdk_nvme_qpair *qps[3];
static bool admin; /* the controller is in the group */

static struct {
	unsigned count;
	struct nsdk_nvme_qpair *qp;
	int error;
	bool destroys;
	unsigned ctrlrs;
	int ctrlr_error;
} failures;

static void on_failure(void *ctx, struct nsdk_nvme_qpair *qp, int error)
{
	CU_ASSERT_PTR_EQUAL(ctx, &failures);
	failures.count++;
	failures.qp = qp;
	failures.error = error;
	if (!failures.destroys)
		return;
	for (unsigned i = 0; i < 3; i++)
		if (qps[i] == qp)
			qps[i] = NULL;
	nsdk_nvme_qpair_destroy(qp);
}

static void on_ctrlr_failure(void *ctx, struct nsdk_nvme_ctrlr *failed, int error)
{
	CU_ASSERT_PTR_EQUAL(ctx, &failures);
	CU_ASSERT_PTR_EQUAL(failed, ctrlr);
	failures.ctrlrs++;
	failures.ctrlr_error = error;
}

static unsigned events;

static void on_event(void *ctx, struct nsdk_nvme_ctrlr *teller, const struct nsdk_nvme_event *event)
{
	CU_ASSERT_PTR_EQUAL(ctx, &events);
	CU_ASSERT_PTR_EQUAL(teller, ctrlr);
	events++;
}

static void gather(unsigned vectors, bool interrupts)
{
	struct nsdk_nvme_poll_group_opts opts = { .opts_bytes = sizeof(opts),
						  .failed = on_failure,
						  .ctx = &failures,
						  .ctrlr_failed = on_ctrlr_failure };
	struct nsdk_nvme_qpair_opts qp_opts = { .opts_bytes = sizeof(qp_opts), .entries = 8,
						.interrupts = interrupts };

	attach(vectors, admin);
	failures.count = 0;
	failures.destroys = false;
	failures.ctrlrs = 0;
	events = 0;
	nsdk_nvme_ctrlr_on_event(ctrlr, on_event, &events);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_create(&opts, &group), 0);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &qp_opts, &qps[i]), 0);
		CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_add(group, qps[i]), 0);
	}
	nsdk_unit_log_clear();
	if (!admin)
		return;
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_poll_group_add_ctrlr(group, ctrlr), 0);
	/* It leaves its requests for events there, before anybody sleeps. */
	fake_run();
}

/* The same with the controller in the group, and an interrupt of its. */
static void gather_all(unsigned vectors)
{
	admin = true;
	gather(vectors, true);
}

static void scatter(void)
{
	hold_io = false;
	for (unsigned i = 0; i < 3; i++)
		nsdk_nvme_qpair_destroy(qps[i]);
	/* Which takes the controller out of its group. */
	detach();
	admin = false;
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(group), 0);
	check_clean();
}

static void read_from(unsigned i, struct fake_done *done)
{
	NSDK_ASSERT_INT(nsdk_nvme_read(nsdk_nvme_ns_get(ctrlr, 1), qps[i], fake_buffer(8, i * 4096), 0, 1, 0,
				       fake_done_cb, done), 0);
}

static bool readable(void)
{
	struct pollfd fd = { .fd = nsdk_nvme_poll_group_fd(group), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static uint64_t arm_all(int expected)
{
	uint64_t wake_ns = UINT64_MAX;

	NSDK_ASSERT_INT(nsdk_nvme_poll_group_arm(group, &wake_ns), expected);
	return wake_ns;
}

/* ---- Members ---- */

static void all_are_polled(void)
{
	struct fake_done done[3] = { 0 };

	gather(0, false);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		read_from(i, &done[i]);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 3);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(done[i].count, 1);
	scatter();
}

/* No more than asked for, and everybody has his turn to be the first. */
static void a_maximum_is_kept_fairly(void)
{
	struct fake_done done[3] = { 0 };

	gather(0, false);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3; i++)
			for (unsigned j = 0; j < 2; j++)
				read_from(i, &done[i]);
		fake_run();
	}
	for (unsigned i = 0; i < 3; i++)
		nsdk_nvme_qpair_submit(qps[i]);
	fake_run();
	for (unsigned round = 0; round < 3; round++)
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 3), 3);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(done[i].count, 3);
	while (nsdk_nvme_poll_group_poll(group, 0))
		;
	scatter();
}

static struct nsdk_nvme_qpair *inside;

static void try_things(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct fake_done *done = ctx;
	uint64_t wake_ns;

	done->count++;
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(group, inside), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("from inside of its poll");
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_arm(group, &wake_ns), -EAGAIN);
}

static void misuse_is_refused(void)
{
	struct nsdk_nvme_poll_group *other;
	struct fake_done done = { 0 };

	gather(0, false);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_create(NULL, &other), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_add(other, qps[0]), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("queue pair 1 is in a poll group already");
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(other, qps[0]), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("not in this poll group");
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(group), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("3 queue pairs and controllers are left");
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(other), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(NULL), 0);
	inside = qps[1];
	NSDK_ASSERT_INT(nsdk_nvme_flush(nsdk_nvme_ns_get(ctrlr, 1), qps[0], try_things, &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	NSDK_ASSERT_INT(done.count, 1);
	/* The one in the middle, and back. */
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(group, qps[1]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_add(group, qps[1]), 0);
	scatter();
}

static void adding_fails_whole(void)
{
	unsigned failed = 0;

	gather(8, true);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(group, qps[i]), 0);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		struct nsdk_nvme_poll_group *fresh = NULL;
		int err = nsdk_nvme_poll_group_create(NULL, &fresh);

		if (!err)
			err = nsdk_nvme_poll_group_add(fresh, qps[0]);
		failed += err != 0;
		NSDK_ASSERT_INT(nsdk_unit_log_count(), err != 0);
		nsdk_unit_log_clear();
		/* As if nothing had been. */
		if (fresh && err)
			NSDK_ASSERT_INT(nsdk_nvme_poll_group_add(fresh, qps[0]), 0);
		if (fresh)
			NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(fresh, qps[0]), 0);
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(fresh), 0);
	}
	/* The group, its members, what is in the set. */
	NSDK_ASSERT_INT(failed, 3);
	scatter();
}

/* ---- Failures ---- */

static void the_dead_are_reported_once(bool destroys)
{
	struct fake_done done[3] = { 0 };

	gather(0, false);
	failures.destroys = destroys;
	/* One alone: its queue lies. */
	read_from(1, &done[1]);
	hold_io = true;
	nsdk_nvme_qpair_submit(qps[1]);
	fake_run();
	nsdk_nvme_ctrlr_fail(ctrlr, -EIO, "made to fail");
	nsdk_unit_log_clear();
	for (unsigned i = 0; i < 5; i++)
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	NSDK_ASSERT_INT(failures.count, 3);
	NSDK_ASSERT_INT(failures.error, -EIO);
	NSDK_ASSERT_INT(done[1].count, 1);
	scatter();
}

static void the_dead_are_left_out(void)
{
	the_dead_are_reported_once(false);
}

static void the_dead_may_be_destroyed_at_once(void)
{
	the_dead_are_reported_once(true);
}

static void removal_is_noticed_by_who_waits(void)
{
	struct fake_done done = { 0 };

	gather(4, true);
	fake.wants_poll = false;
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	CU_ASSERT(!readable());
	hold_io = true;
	read_from(0, &done);
	fake.removal_asked = true;
	eventfd_write(fake.notice_fd, 1);
	CU_ASSERT(readable());
	arm_all(-EAGAIN);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	NSDK_ASSERT_INT(failures.count, 3);
	NSDK_ASSERT_INT(failures.error, -ENODEV);
	NSDK_ASSERT_INT(done.count, 1);
	/* The dead keep nobody awake. */
	arm_all(0);
	scatter();
}

/* ---- Sleep ---- */

static void completions_make_it_readable(unsigned vectors)
{
	struct fake_done done[3] = { 0 };

	gather(vectors, true);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3; i++) {
			arm_all(0);
			NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
			CU_ASSERT(!readable());
			read_from(i, &done[i]);
			nsdk_nvme_qpair_submit(qps[i]);
			CU_ASSERT(!readable());
			fake_run();
			CU_ASSERT(readable());
			/* Polling does not empty it; the next arming does. */
			NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
			CU_ASSERT(readable());
		}
	}
	/* Masked: nobody is told. */
	nsdk_nvme_poll_group_disarm(group);
	arm_all(0);
	nsdk_nvme_poll_group_disarm(group);
	CU_ASSERT(!readable());
	read_from(0, &done[0]);
	nsdk_nvme_qpair_submit(qps[0]);
	fake_run();
	CU_ASSERT(!readable());
	/* What is shared stays in the set as long as somebody needs it. */
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove(group, qps[0]), 0);
	read_from(1, &done[1]);
	nsdk_nvme_qpair_submit(qps[1]);
	fake_run();
	CU_ASSERT(readable());
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	scatter();
}

static void each_with_a_vector(void)
{
	completions_make_it_readable(4);
}

static void all_with_one_vector(void)
{
	completions_make_it_readable(2);
}

static void who_has_no_interrupt_cannot_sleep(void)
{
	struct nsdk_nvme_qpair_opts opts = { .opts_bytes = sizeof(opts), .entries = 8 };

	gather(4, true);
	nsdk_nvme_qpair_destroy(qps[1]);
	CU_ASSERT_EQUAL_FATAL(nsdk_nvme_qpair_create(ctrlr, &opts, &qps[1]), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_add(group, qps[1]), 0);
	arm_all(-EOPNOTSUPP);
	/* And the others are not interrupted, who could. */
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(!qps[i]->irq.armed);
	scatter();
}

static void the_first_to_wake_is_told(void)
{
	struct fake_done done = { 0 };

	gather(4, true);
	CU_ASSERT_EQUAL(arm_all(0), UINT64_MAX);
	hold_io = true;
	read_from(2, &done);
	CU_ASSERT_EQUAL(arm_all(0), fake.now_ns + 500 * NVME_NS_PER_MS);
	fake_run();
	fake_complete(3, fake.last_cid[3], 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	scatter();
}

/* One I/O, for which a sleeper waits. @return how long, at most. */
static uint64_t sleep_for_one(struct fake_done *done)
{
	uint64_t began_ns = fake.now_ns, wake_ns;

	hold_io = true;
	read_from(0, done);
	nsdk_nvme_qpair_submit(qps[0]);
	fake_run();
	wake_ns = arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	fake_complete(1, fake.last_cid[1], 0);
	if (!readable())
		fake.now_ns = wake_ns;
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	return fake.now_ns - began_ns;
}

/* Each is survived; it is said when none has come for two seconds. */
static void lost_interrupts_are_survived_and_said_once(void)
{
	struct fake_done done = { 0 };
	uint64_t owed_ns = 0, slept_ns;

	gather(4, true);
	NSDK_ASSERT_INT(sleep_for_one(&done), 0);
	for (unsigned i = 0; i < 50; i++) {
		fake.lose_irqs = 1;
		slept_ns = sleep_for_one(&done);
		CU_ASSERT(slept_ns > 0 && slept_ns <= 500 * NVME_NS_PER_MS);
		/* The first begins to be owed at the end of its sleep. */
		owed_ns += i == 0 ? 0 : slept_ns;
		if (owed_ns >= 2 * NVME_NS_PER_S && owed_ns - slept_ns < 2 * NVME_NS_PER_S)
			NSDK_ASSERT_ONE_SENTENCE("an interrupt of queue 1 did not come");
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
	CU_ASSERT(owed_ns >= 4 * NVME_NS_PER_S);
	NSDK_ASSERT_INT(done.count, 51);
	scatter();
}

/* Each is found before it is signalled, which is a moment later, or comes with the next one. */
static void late_ones_are_not_lost(void)
{
	struct fake_done done = { 0 };

	gather(4, true);
	for (unsigned i = 0; i < 20; i++) {
		fake.lose_irqs = i % 4 != 3;
		sleep_for_one(&done);
		if (i < 10 && i % 4 != 3)
			eventfd_write(nsdk_nvme_irq_fd(qps[0]), 1);
	}
	/* One, and then nothing for long. */
	fake.lose_irqs = 1;
	sleep_for_one(&done);
	eventfd_write(nsdk_nvme_irq_fd(qps[0]), 1);
	for (unsigned i = 0; i < 6; i++) {
		fake.now_ns += NVME_NS_PER_S;
		arm_all(0);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(done.count, 21);
	scatter();
}

/* A stop of the whole machine counts once; the signal may be what comes next. */
static void time_alone_is_no_proof(void)
{
	struct fake_done done = { 0 };

	gather(4, true);
	for (unsigned i = 0; i < 2; i++) {
		fake.lose_irqs = 1;
		sleep_for_one(&done);
		for (unsigned j = 0; j < 4; j++) {
			NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
			fake.now_ns += 3600 * NVME_NS_PER_S;
			/* Nor does who masks it wait for it any more. */
			if (i == 0 && j == 3)
				nsdk_nvme_poll_group_disarm(group);
			arm_all(0);
		}
	}
	NSDK_ASSERT_ONE_SENTENCE("an interrupt of queue 1 did not come");
	NSDK_ASSERT_INT(done.count, 2);
	scatter();
}

/* The poll behind the arming found something, and so did the next: either may have come before it. */
static void what_may_have_come_before_is_not_owed(void)
{
	struct fake_done done = { 0 };

	gather(4, true);
	hold_io = true;
	for (unsigned i = 0; i < 8; i++) {
		fake.lose_irqs = 2;
		for (unsigned j = 0; j < 2; j++) {
			read_from(0, &done);
			nsdk_nvme_qpair_submit(qps[0]);
			fake_run();
			if (j == 0)
				arm_all(0);
			fake_complete(1, fake.last_cid[1], 0);
			NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
		}
		fake.now_ns += NVME_NS_PER_S;
		arm_all(0);
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(done.count, 16);
	scatter();
}

/* Woken by the clock, with an interrupt that came at the same time: not lost. */
static void a_late_interrupt_is_not_lost(void)
{
	struct fake_done done = { 0 };
	uint64_t wake_ns;

	gather(4, true);
	hold_io = true;
	read_from(0, &done);
	nsdk_nvme_qpair_submit(qps[0]);
	fake_run();
	wake_ns = arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	fake.now_ns = wake_ns + NVME_NS_PER_S;
	fake_complete(1, fake.last_cid[1], 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(done.count, 1);
	scatter();
}

/* ---- Controllers ---- */

/* As long as nobody needs it, nothing is read of its registers, and nothing of its queue mostly. */
static void controllers_are_looked_at_now_and_then(void)
{
	struct fake_done done = { 0 };
	unsigned polls = 0, reads;
	uint16_t cid;

	gather_all(4);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	cid = fake_self_test(ctrlr, 0, &done);
	fake_complete(0, cid, 0);
	reads = fake.csts_reads;
	while (done.count == 0 && polls++ < 1000)
		CU_ASSERT_EQUAL(nsdk_nvme_poll_group_poll(group, 0), done.count);
	CU_ASSERT(polls > 32 && polls < 100);
	NSDK_ASSERT_INT(fake.csts_reads, reads);
	/* Its health some times a second. */
	for (unsigned i = 0; i < 10; i++) {
		reads = fake.csts_reads;
		fake.now_ns += NVME_NS_PER_S;
		for (unsigned j = 0; j < 500; j++)
			NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
		NSDK_ASSERT_INT(fake.csts_reads, reads + 1);
	}
	scatter();
}

/* By a timer some times a second: its commands and Aborts wait for no 64 of them. */
static void controllers_are_looked_at_by_who_polls_slowly(void)
{
	struct fake_done done = { 0 };
	unsigned polls = 0;
	uint16_t cid;

	gather_all(4);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	for (int i = 1; i <= 5; i++) {
		cid = fake_self_test(ctrlr, 0, &done);
		fake_complete(0, cid, 0);
		for (polls = 0; done.count < i && polls < 1000; polls++) {
			fake.now_ns += 200 * NVME_NS_PER_MS;
			nsdk_nvme_poll_group_poll(group, 0);
		}
		CU_ASSERT(polls <= 10);
	}
	scatter();
}

/* One turn of who sleeps. @return what the look behind the arming found; nothing: it would sleep. */
static int turn(void)
{
	int found;

	arm_all(0);
	found = nsdk_nvme_poll_group_poll(group, 0);
	if (found == 0)
		CU_ASSERT(!readable());
	return found;
}

static void admin_completions_make_it_readable(unsigned vectors)
{
	struct fake_done done = { 0 };
	uint16_t cid;

	gather_all(vectors);
	for (int round = 1; round <= 3; round++) {
		while (turn())
			;
		/* An event, and the end of a command. */
		fake_event(0x020101);
		CU_ASSERT(readable());
		NSDK_ASSERT_INT(turn(), 1);
		NSDK_ASSERT_INT(events, round);
		cid = fake_self_test(ctrlr, 0, &done);
		NSDK_ASSERT_INT(turn(), 0);
		fake_complete(0, cid, 0);
		CU_ASSERT(readable());
		NSDK_ASSERT_INT(turn(), 1);
		NSDK_ASSERT_INT(done.count, round);
		/* I/O is as ever. */
		NSDK_ASSERT_INT(turn(), 0);
		done.count--;
		read_from(1, &done);
		nsdk_nvme_qpair_submit(qps[1]);
		fake_run();
		CU_ASSERT(readable());
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
		NSDK_ASSERT_INT(done.count, round);
	}
	/* Masked: nobody is told. */
	NSDK_ASSERT_INT(turn(), 0);
	nsdk_nvme_poll_group_disarm(group);
	fake_run();
	fake_event(0x020101);
	CU_ASSERT(!readable());
	/* Armed when it was there already: only the look finds it. */
	NSDK_ASSERT_INT(turn(), 1);
	NSDK_ASSERT_INT(events, 4);
	scatter();
}

static void the_controller_with_a_vector(void)
{
	admin_completions_make_it_readable(4);
}

static void the_controller_with_the_only_vector(void)
{
	admin_completions_make_it_readable(1);
}

static void the_controller_alone(void)
{
	struct nsdk_nvme_poll_group *other;
	struct fake_done done = { 0 };

	gather_all(4);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_create(NULL, &other), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_add_ctrlr(other, ctrlr), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("the controller is in a poll group already");
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove_ctrlr(other, ctrlr), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("the controller is not in this poll group");
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove_ctrlr(group, ctrlr), 0);
	NSDK_ASSERT_INT(fake.vector_fds[0], -1);
	/* Its queue pairs stay, and the notices of its device. */
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	CU_ASSERT(!readable());
	eventfd_write(fake.notice_fd, 1);
	CU_ASSERT(readable());
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_add_ctrlr(other, ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(other), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("1 queue pairs and controllers are left");
	/* What completes in one is nothing to the other. */
	arm_all(0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	read_from(0, &done);
	nsdk_nvme_qpair_submit(qps[0]);
	fake_run();
	CU_ASSERT(readable());
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(other, 0), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 1);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove_ctrlr(other, ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_destroy(other), 0);
	scatter();
}

static void try_admin_things(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct fake_done *done = ctx;
	uint64_t wake_ns;

	done->count++;
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_remove_ctrlr(group, ctrlr), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("the controller cannot be removed from a poll group from inside of its poll");
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_arm(group, &wake_ns), -EAGAIN);
}

static void admin_callbacks_are_inside_of_the_poll(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_of(NSDK_NVME_ADMIN_SELF_TEST);
	struct fake_done done = { 0 };

	gather_all(4);
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0,
						 try_admin_things, &done), 0);
	fake_run();
	fake_complete(0, fake.last_cid[0], 0);
	NSDK_ASSERT_INT(turn(), 1);
	NSDK_ASSERT_INT(done.count, 1);
	scatter();
}

/* It is no reason to stay awake: its sleeps are short. */
static void a_controller_without_interrupt_can_sleep(void)
{
	gather(4, true);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_add_ctrlr(group, ctrlr), 0);
	fake_run();
	CU_ASSERT_EQUAL(arm_all(0), fake.now_ns + 200 * NVME_NS_PER_MS);
	NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	fake_event(0x020101);
	CU_ASSERT(!readable());
	NSDK_ASSERT_INT(turn(), 1);
	NSDK_ASSERT_INT(events, 1);
	scatter();
}

static void lost_admin_interrupts_are_survived_and_said_once(void)
{
	struct fake_done done = { 0 };
	uint64_t owed_ns = 0;
	int rounds = 0;

	gather_all(4);
	while (owed_ns < 8 * NVME_NS_PER_S && ++rounds < 100) {
		uint16_t cid = fake_self_test(ctrlr, 0, &done);
		uint64_t wake_ns = arm_all(0);

		CU_ASSERT_EQUAL(wake_ns, fake.now_ns + 500 * NVME_NS_PER_MS);
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
		fake.lose_irqs = 1;
		fake_complete(0, cid, 0);
		CU_ASSERT(!readable());
		fake.now_ns = wake_ns;
		while (nsdk_nvme_poll_group_poll(group, 0) == 0)
			;
		NSDK_ASSERT_INT(done.count, rounds);
		/* The first begins to be owed at the end of its sleep. */
		if (rounds > 1)
			owed_ns += 500 * NVME_NS_PER_MS;
		arm_all(0);
		if (owed_ns == 2 * NVME_NS_PER_S)
			NSDK_ASSERT_ONE_SENTENCE("an interrupt of queue 0 did not come");
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	}
	CU_ASSERT(rounds < 100);
	scatter();
}

static void the_end_of_a_controller_is_reported_once(void)
{
	gather_all(4);
	fake.wants_poll = false;
	NSDK_ASSERT_INT(turn(), 0);
	fake.removal_asked = true;
	eventfd_write(fake.notice_fd, 1);
	CU_ASSERT(readable());
	arm_all(-EAGAIN);
	nsdk_unit_log_clear();
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_poll(group, 0), 0);
	NSDK_ASSERT_INT(failures.ctrlrs, 1);
	NSDK_ASSERT_INT(failures.ctrlr_error, -ENODEV);
	NSDK_ASSERT_INT(failures.count, 3);
	/* The dead keep nobody awake. */
	CU_ASSERT_EQUAL(arm_all(0), UINT64_MAX);
	scatter();
}

/* By a reset that another thread asks for, and goes on with interrupts behind it. */
static void a_reset_is_gone_through_by_the_group(void)
{
	struct fake_done done = { 0 };
	unsigned rounds = 0;
	uint64_t wake_ns;

	gather_all(4);
	NSDK_ASSERT_INT(turn(), 0);
	nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "made to fail");
	CU_ASSERT(readable());
	while (nsdk_nvme_ctrlr_recovering(ctrlr) && rounds++ < 1000) {
		NSDK_ASSERT_INT(nsdk_nvme_poll_group_arm(group, &wake_ns), -EAGAIN);
		nsdk_nvme_poll_group_poll(group, 0);
	}
	CU_ASSERT(rounds < 1000);
	NSDK_ASSERT_INT(fake.enables, 2);
	nsdk_unit_log_clear();
	/* The queue pairs go on, and the requests for events are left there again. */
	for (unsigned i = 0; i < 3; i++)
		nsdk_nvme_poll_group_poll(group, 0);
	fake_run();
	NSDK_ASSERT_INT(turn(), 0);
	fake_event(0x020101);
	CU_ASSERT(readable());
	NSDK_ASSERT_INT(turn(), 1);
	NSDK_ASSERT_INT(events, 1);
	read_from(0, &done);
	NSDK_ASSERT_INT(turn(), 1);
	NSDK_ASSERT_INT(done.count, 1);
	/* Polled, it has all polls for it, not one in some. (Queue pairs would take their time to pause.) */
	nsdk_nvme_poll_group_disarm(group);
	for (unsigned i = 0; i < 3; i++) {
		nsdk_nvme_qpair_destroy(qps[i]);
		qps[i] = NULL;
	}
	nsdk_nvme_ctrlr_trouble(ctrlr, -EIO, "made to fail");
	for (rounds = 0; nsdk_nvme_ctrlr_recovering(ctrlr) && rounds < 1000; rounds++)
		nsdk_nvme_poll_group_poll(group, 0);
	CU_ASSERT(rounds < 64);
	scatter();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(all_are_polled),
	NSDK_UNIT_TEST(a_maximum_is_kept_fairly),
	NSDK_UNIT_TEST(misuse_is_refused),
	NSDK_UNIT_TEST(adding_fails_whole),
	NSDK_UNIT_TEST(the_dead_are_left_out),
	NSDK_UNIT_TEST(the_dead_may_be_destroyed_at_once),
	NSDK_UNIT_TEST(removal_is_noticed_by_who_waits),
	NSDK_UNIT_TEST(each_with_a_vector),
	NSDK_UNIT_TEST(all_with_one_vector),
	NSDK_UNIT_TEST(who_has_no_interrupt_cannot_sleep),
	NSDK_UNIT_TEST(the_first_to_wake_is_told),
	NSDK_UNIT_TEST(lost_interrupts_are_survived_and_said_once),
	NSDK_UNIT_TEST(late_ones_are_not_lost),
	NSDK_UNIT_TEST(time_alone_is_no_proof),
	NSDK_UNIT_TEST(what_may_have_come_before_is_not_owed),
	NSDK_UNIT_TEST(a_late_interrupt_is_not_lost),
	NSDK_UNIT_TEST(controllers_are_looked_at_now_and_then),
	NSDK_UNIT_TEST(controllers_are_looked_at_by_who_polls_slowly),
	NSDK_UNIT_TEST(the_controller_with_a_vector),
	NSDK_UNIT_TEST(the_controller_with_the_only_vector),
	NSDK_UNIT_TEST(the_controller_alone),
	NSDK_UNIT_TEST(admin_callbacks_are_inside_of_the_poll),
	NSDK_UNIT_TEST(a_controller_without_interrupt_can_sleep),
	NSDK_UNIT_TEST(lost_admin_interrupts_are_survived_and_said_once),
	NSDK_UNIT_TEST(the_end_of_a_controller_is_reported_once),
	NSDK_UNIT_TEST(a_reset_is_gone_through_by_the_group),
};

NSDK_UNIT_MAIN("drivers/nvme/group", tests)
