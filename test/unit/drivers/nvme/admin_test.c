/* SPDX-License-Identifier: BSD-3-Clause */
/* The admin queue: what a controller may answer, and what it may not. */
#include "fake_nvme.h"

#include <errno.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
	ctrlr = fake_attach();
	/* The requests for asynchronous events are on their way. */
	nsdk_nvme_ctrlr_poll(ctrlr);
}

static void after(void)
{
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

struct got {
	int count, aborted;
	uint16_t status;
};

static void got_cb(struct nsdk_nvme_ctrlr *of, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct got *got = ctx;

	CU_ASSERT_PTR_EQUAL(of, ctrlr);
	got->count++;
	got->aborted += !cpl;
	if (cpl)
		got->status = cpl->status & 0xfffe;
	/* A poll from inside of a callback does nothing, and does no harm. */
	nsdk_nvme_admin_poll(of);
}

static const struct nsdk_nvme_cmd unknown = { .opcode = 0x7f };

static void calls_back_once_with_the_status(void)
{
	struct got got = { 0 };

	NSDK_ASSERT_INT(nsdk_nvme_admin_submit(ctrlr, &unknown, NVME_NS_PER_S, got_cb, &got), 0);
	CU_ASSERT_EQUAL(got.count, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_admin_poll(ctrlr), 1);
	CU_ASSERT_EQUAL(got.count, 1);
	CU_ASSERT_EQUAL(got.status, NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_OPCODE));
	CU_ASSERT_EQUAL(nsdk_nvme_admin_poll(ctrlr), 0);
	CU_ASSERT_EQUAL(got.count, 1);
}

static void goes_round_the_ring(void)
{
	struct got got = { 0 };

	for (int i = 1; i <= 300; i++) {
		NSDK_ASSERT_INT(nsdk_nvme_admin_submit(ctrlr, &unknown, NVME_NS_PER_S, got_cb, &got),
				0);
		CU_ASSERT_EQUAL(nsdk_nvme_admin_poll(ctrlr), 1);
		CU_ASSERT_EQUAL(got.count, i);
	}
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static enum fake_action hold_all(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	return FAKE_HOLD;
}

static void says_when_all_requests_are_in_use(void)
{
	struct got got = { 0 };
	unsigned submitted = 0;

	fake.hook = hold_all;
	while (nsdk_nvme_admin_submit(ctrlr, &unknown, 3600 * NVME_NS_PER_S, got_cb, &got) == 0)
		submitted++;
	/* 64 entries, one slot free, four requests for events. */
	CU_ASSERT_EQUAL(submitted, 59);
	CU_ASSERT_EQUAL(nsdk_nvme_admin_submit(ctrlr, &unknown, 1, got_cb, &got), -EAGAIN);
	CU_ASSERT_EQUAL(nsdk_nvme_admin_poll(ctrlr), 0);
	CU_ASSERT_EQUAL(got.count, 0);
	/* Detach calls all of them back. */
	nsdk_nvme_detach(ctrlr);
	CU_ASSERT_EQUAL(got.count, 59);
	CU_ASSERT_EQUAL(got.aborted, 59);
	fake_reset();
	ctrlr = fake_attach();
}

static void takes_the_controller_out_at_a_deadline(void)
{
	struct got got = { 0 };
	int err;

	nsdk_nvme_detach(ctrlr);
	fake_reset();
	fake.max_resets = NSDK_NVME_NO_RESETS;
	ctrlr = fake_attach();
	fake.hook = hold_all;
	NSDK_ASSERT_INT(nsdk_nvme_admin_submit(ctrlr, &unknown, NVME_NS_PER_S, got_cb, &got), 0);
	do
		err = nsdk_nvme_ctrlr_poll(ctrlr);
	while (err == 0);
	NSDK_ASSERT_INT(err, -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("admin command 7fh was not answered");
	CU_ASSERT(!fake.bus_master);
	CU_ASSERT_EQUAL(got.count, 1);
	CU_ASSERT_EQUAL(got.aborted, 1);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ETIMEDOUT);
	NSDK_ASSERT_INT(nsdk_nvme_admin_submit(ctrlr, &unknown, 1, got_cb, &got), -ETIMEDOUT);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

/* A machine that sleeps, or has better things to do, is not the device's fault. */
static void what_was_answered_in_time_is_not_late(void)
{
	struct got got = { 0 };

	fake.hook = hold_all;
	NSDK_ASSERT_INT(nsdk_nvme_admin_submit(ctrlr, &unknown, NVME_NS_PER_S, got_cb, &got), 0);
	/* The answer comes while the driver is held up between its look and its deadlines. */
	fake.stall_ns = 3600 * NVME_NS_PER_S;
	NSDK_ASSERT_INT(nsdk_nvme_admin_poll(ctrlr), 0);
	CU_ASSERT_EQUAL(fake.stall_ns, 0);
	CU_ASSERT_EQUAL(got.count, 0);
	fake_complete(0, fake.last_cid[0], 0);
	NSDK_ASSERT_INT(nsdk_nvme_admin_poll(ctrlr), 1);
	CU_ASSERT_EQUAL(got.count, 1);
	CU_ASSERT_EQUAL(got.aborted, 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void is_not_taken_in_by_lies(void)
{
	static const struct {
		struct nsdk_nvme_cpl cpl;
		const char *sentence;
	} lies[] = {
		{ { .cid = 40 }, "admin command id 40, which is not outstanding" },
		{ { .cid = 0xffff }, "admin command id 65535, which is not outstanding" },
		{ { .sqid = 3 }, "on the admin queue for queue 3" },
		{ { .sqhd = 64 }, "SQ head 64 of 64" },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct got got = { 0 };

		fake.hook = hold_all;
		NSDK_ASSERT_INT(nsdk_nvme_admin_submit(ctrlr, &unknown, NVME_NS_PER_S, got_cb, &got),
				0);
		nsdk_nvme_admin_poll(ctrlr);
		fake_post(0, lies[i].cpl);
		NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE(lies[i].sentence);
		CU_ASSERT_EQUAL(got.count, 1);
		CU_ASSERT_EQUAL(got.aborted, 1);
		CU_ASSERT(!fake.bus_master);
		NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
		fake_check_clean();
		CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
		fake_reset();
		ctrlr = fake_attach();
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
}

static void comes_back_from_a_device_that_never_stops(void)
{
	struct got got = { 0 };

	/* Completions of one command without end: the second is a lie already. */
	fake.hook = hold_all;
	nsdk_nvme_admin_submit(ctrlr, &unknown, NVME_NS_PER_S, got_cb, &got);
	nsdk_nvme_admin_poll(ctrlr);
	for (int i = 0; i < 64; i++)
		fake_complete(0, fake.last_cid[0], 0);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("which is not outstanding");
	CU_ASSERT_EQUAL(got.count, 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(calls_back_once_with_the_status),
	NSDK_UNIT_TEST(goes_round_the_ring),
	NSDK_UNIT_TEST(says_when_all_requests_are_in_use),
	NSDK_UNIT_TEST(takes_the_controller_out_at_a_deadline),
	NSDK_UNIT_TEST(what_was_answered_in_time_is_not_late),
	NSDK_UNIT_TEST(is_not_taken_in_by_lies),
	NSDK_UNIT_TEST(comes_back_from_a_device_that_never_stops),
};

NSDK_UNIT_MAIN("drivers/nvme/admin", tests, .before = before, .after = after)
