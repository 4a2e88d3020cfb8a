/* SPDX-License-Identifier: BSD-3-Clause */
/* Shadow doorbells: when they are asked for, and when a register is written all the same. */
#include "fake_nvme.h"

#include <errno.h>

#include "drivers/nvme/nvme_internal.h"

#define ENTRIES 8
#define UNTOUCHED 0xdeadu

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_qpair *qp;
static struct nsdk_nvme_ns *ns;

static void bring_up(void)
{
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
	fake_reset();
	fake.id.oacs = NSDK_NVME_OACS_DBBUF;
}

static void after(void)
{
	nsdk_unit_log_stop();
}

/* Registers of queue 1: 0 the tail's, 1 the head's. */
static volatile uint32_t *reg(unsigned which)
{
	return (volatile uint32_t *)(void *)(fake_bar + NSDK_NVME_REG_DOORBELLS + 8) + which;
}

static void leave(void)
{
	*reg(0) = *reg(1) = UNTOUCHED;
}

/* @p count reads, submitted with one doorbell and completed. */
static void reads(unsigned count)
{
	struct fake_done done = { 0 };

	for (unsigned i = 0; i < count; i++)
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, 0), i, 1, 0, fake_done_cb, &done), 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_submit(qp), 0);
	fake_run();
	NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), (int)count);
	NSDK_ASSERT_INT(done.count, (int)count);
}

static void asks_only_where_it_helps(void)
{
	static const struct {
		uint16_t oacs;
		bool plain, active;
		unsigned asked;
	} cases[] = {
		{ NSDK_NVME_OACS_DBBUF, false, false, 1 },
		{ 0, false, false, 0 },
		{ NSDK_NVME_OACS_DBBUF, true, false, 0 },
		{ NSDK_NVME_OACS_DBBUF, false, true, 0 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_reset();
		fake.id.oacs = cases[i].oacs;
		fake.plain_doorbells = cases[i].plain;
		fake.active = cases[i].active;
		bring_up();
		NSDK_ASSERT_INT(fake.dbbuf_configs, cases[i].asked);
		leave();
		if (cases[i].asked) {
			reads(1);
			CU_ASSERT(*reg(0) != UNTOUCHED); /* it sleeps at first */
			leave();
			reads(1);
			CU_ASSERT_EQUAL(*reg(0), UNTOUCHED);
		}
		take_down();
	}
}

static void refused_it_goes_without(void)
{
	struct fake_done done = { 0 };

	fake.dbbuf_refusals = 1;
	bring_up();
	NSDK_ASSERT_INT(fake.dbbuf_configs, 1);
	CU_ASSERT_PTR_NULL(fake.shadow);
	for (unsigned i = 0; i < 20; i++) {
		leave();
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done), 0);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_submit(qp), 0);
		CU_ASSERT_EQUAL(*reg(0), (i + 1) % ENTRIES);
		fake_run();
		NSDK_ASSERT_INT(nsdk_nvme_qpair_poll(qp, 0), 1);
		CU_ASSERT_EQUAL(*reg(1), (i + 1) % ENTRIES);
	}
	take_down();
}

/*
 * Wherever the rings stand, however many go at a time, whichever way is sent: a controller that has looked
 * at all there was is told, and so it is when it has said so between two doorbells.
 */
static void wakes_whoever_has_looked_at_all(void)
{
	fake.wants_poll = false;
	bring_up();
	for (unsigned i = 0; i < 100; i++) {
		unsigned count = 1 + i % (ENTRIES - 1);

		fake.events[2] = fake.shadow[2];
		fake.events[3] = fake.shadow[3];
		leave();
		reads(count);
		CU_ASSERT_EQUAL(*reg(0), fake.shadow[2]);
		CU_ASSERT_EQUAL(*reg(1), fake.shadow[3]);
	}
	take_down();
}

/* One that is behind, or ahead, will look by itself. */
static void lets_others_be(void)
{
	bring_up();
	reads(3);
	/* It says that it is at 3, and has looked at no more than 2. */
	fake.events[2] = fake.events[3] = 2;
	leave();
	reads(1);
	reads(1);
	CU_ASSERT(*reg(0) == UNTOUCHED && *reg(1) == UNTOUCHED);
	NSDK_ASSERT_INT(fake.shadow[2], 5);
	NSDK_ASSERT_INT(fake.shadow[3], 5);
	/* Past what it has looked at, in the middle of what goes out at once. */
	fake.events[2] = fake.events[3] = 6;
	reads(1);
	CU_ASSERT(*reg(0) == UNTOUCHED && *reg(1) == UNTOUCHED);
	reads(1);
	CU_ASSERT(*reg(0) == 7 && *reg(1) == 7);
	take_down();
}

static void callbacks_ring_too(void)
{
	struct fake_done done = { 0 };

	fake.wants_poll = true;
	bring_up();
	for (unsigned i = 0; i < 30; i++) {
		leave();
		fake.events[2] = fake.shadow[2];
		NSDK_ASSERT_INT(nsdk_nvme_read(ns, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb, &done), 0);
		/* Sent by the poll. */
		while (done.count <= (int)i)
			nsdk_nvme_qpair_poll(qp, 0);
		CU_ASSERT_EQUAL(*reg(0), (i + 1) % ENTRIES);
	}
	take_down();
}

static int settle(void)
{
	for (unsigned i = 0; i < 5000; i++) {
		int err = nsdk_nvme_ctrlr_poll(ctrlr);

		fake.now_ns += 50 * NVME_NS_PER_MS;
		if (err >= 0)
			err = nsdk_nvme_qpair_poll(qp, 0);
		if (err < 0 || (i > 2 * NVME_WATCH_POLLS && !nsdk_nvme_ctrlr_recovering(ctrlr)))
			return err < 0 ? err : 0;
	}
	CU_FAIL("it does not end");
	return -EBUSY;
}

/* The fake looks at the pages when it is told of them, and at a queue's doorbells when it is made. */
static void begins_anew_after_a_reset(void)
{
	bring_up();
	reads(5);
	fake.cfs = true;
	NSDK_ASSERT_INT(settle(), 0);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(fake.dbbuf_configs, 2);
	NSDK_ASSERT_INT(fake.shadow[2], 0);
	reads(1);
	leave();
	reads(2);
	CU_ASSERT(*reg(0) == UNTOUCHED && *reg(1) == UNTOUCHED);
	NSDK_ASSERT_INT(fake.shadow[2], 3);
	/* This time it does not want them, and the registers are what counts. */
	fake.dbbuf_refusals = 1;
	fake.now_ns += 61 * NVME_NS_PER_S;
	fake.cfs = true;
	NSDK_ASSERT_INT(settle(), 0);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(fake.dbbuf_configs, 3);
	CU_ASSERT_PTR_NULL(fake.shadow);
	reads(2);
	CU_ASSERT(*reg(0) == 2 && *reg(1) == 2);
	take_down();
}

static void a_queue_pair_of_an_old_number_begins_at_0(void)
{
	bring_up();
	reads(5);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	qp = fake_qpair(ctrlr, ENTRIES);
	NSDK_ASSERT_INT(fake.shadow[2], 0);
	reads(2);
	NSDK_ASSERT_INT(fake.shadow[2], 2);
	take_down();
}

static void no_more_queues_than_a_page_has_doorbells(void)
{
	bring_up();
	NSDK_ASSERT_INT(nsdk_nvme_shadow_fit(ctrlr), 511);
	/* One beside the admin queue's, and none. */
	for (ctrlr->doorbell_stride_bytes = 1024; ctrlr->doorbell_stride_bytes <= 8192;
	     ctrlr->doorbell_stride_bytes *= 2) {
		uint32_t fit = ctrlr->doorbell_stride_bytes == 1024;

		NSDK_ASSERT_INT(nsdk_nvme_shadow_fit(ctrlr), fit);
		CU_ASSERT_EQUAL(nsdk_nvme_shadow_wanted(ctrlr), fit);
	}
	ctrlr->doorbell_stride_bytes = 4;
	take_down();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(asks_only_where_it_helps),
	NSDK_UNIT_TEST(refused_it_goes_without),
	NSDK_UNIT_TEST(wakes_whoever_has_looked_at_all),
	NSDK_UNIT_TEST(lets_others_be),
	NSDK_UNIT_TEST(callbacks_ring_too),
	NSDK_UNIT_TEST(begins_anew_after_a_reset),
	NSDK_UNIT_TEST(a_queue_pair_of_an_old_number_begins_at_0),
	NSDK_UNIT_TEST(no_more_queues_than_a_page_has_doorbells),
};

NSDK_UNIT_MAIN("drivers/nvme/shadow", tests, .before = before, .after = after)
