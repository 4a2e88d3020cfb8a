/* SPDX-License-Identifier: BSD-3-Clause */
/* The way down, with controllers that do not come along. */
#include "fake_nvme.h"

#include <errno.h>

static struct nsdk_nvme_ctrlr *ctrlr;

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
	ctrlr = fake_attach();
}

static void after(void)
{
	nsdk_unit_log_stop();
	fake_check_clean();
}

static void tells_the_controller_and_waits(void)
{
	unsigned steps = 0;
	int err;

	fake.never_shut_down = true;
	NSDK_ASSERT_INT(nsdk_nvme_detach_start(ctrlr), 0);
	CU_ASSERT_EQUAL(fake.cc & NSDK_NVME_CC_SHN_MASK, NSDK_NVME_CC_SHN_NORMAL);
	/* It is not disabled, and keeps its DMA, until it says that it has finished. */
	for (; steps < 20; steps++) {
		NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), -EAGAIN);
		CU_ASSERT(fake.cc & NSDK_NVME_CC_EN);
		CU_ASSERT(fake.bus_master);
	}
	fake.csts |= NSDK_NVME_CSTS_SHST_OCCURRING;
	NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), -EAGAIN);
	CU_ASSERT(fake.cc & NSDK_NVME_CC_EN);
	fake.csts = NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_SHST_COMPLETE;
	do
		err = nsdk_nvme_detach_poll(ctrlr);
	while (err == -EAGAIN);
	NSDK_ASSERT_INT(err, 0);
	CU_ASSERT_EQUAL(fake.cc & NSDK_NVME_CC_EN, 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void gives_up_at_a_deadline(void)
{
	fake.never_shut_down = true;
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("did not finish its shutdown in time");
}

static void looks_before_it_gives_up(void)
{
	fake.never_shut_down = true;
	NSDK_ASSERT_INT(nsdk_nvme_detach_start(ctrlr), 0);
	fake.stall_ns = 3600000000000ull;
	NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), -EAGAIN);
	fake.csts = NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_SHST_COMPLETE;
	fake.never_disabled = true;
	NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), -EAGAIN);
	CU_ASSERT_EQUAL(fake.cc & NSDK_NVME_CC_EN, 0);
	fake.stall_ns = 3600000000000ull;
	NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), -EAGAIN);
	fake.csts = 0;
	NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), 0);
	CU_ASSERT_EQUAL(fake.resets, 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

/* RTD3E says how long it may take; here 20 s. */
static void waits_as_long_as_the_controller_wants(void)
{
	uint64_t start_ns;

	nsdk_nvme_detach(ctrlr);
	fake.id.rtd3e = 20000000;
	ctrlr = fake_attach();
	fake.never_shut_down = true;
	start_ns = fake.now_ns;
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), -ETIMEDOUT);
	CU_ASSERT(fake.now_ns - start_ns > 19 * 1000000000ull);
	CU_ASSERT(fake.now_ns - start_ns < 30 * 1000000000ull);
	NSDK_ASSERT_ONE_SENTENCE("did not finish its shutdown in time");
}

static void reports_a_fatal_status(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_detach_start(ctrlr), 0);
	fake.cfs = true;
	fake.never_disabled = true;
	fake.csts = NSDK_NVME_CSTS_RDY;
	NSDK_ASSERT_INT(nsdk_nvme_detach_poll(ctrlr), -EAGAIN);
	NSDK_ASSERT_ONE_SENTENCE("fatal status in its shutdown");
	while (nsdk_nvme_detach_poll(ctrlr) == -EAGAIN)
		;
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
	CU_ASSERT_EQUAL(fake.resets, 1);
	fake.csts = 0;
}

static void resets_what_will_not_be_disabled(void)
{
	fake.never_disabled = true;
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("did not become disabled in time");
	CU_ASSERT_EQUAL(fake.resets, 1);
	CU_ASSERT(!fake.bus_master);
}

static void resets_what_cannot_be_kept_from_dma(void)
{
	fake.bus_master_error = -EIO;
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	CU_ASSERT_EQUAL(fake.resets, 1);
	CU_ASSERT(!fake.bus_master);
}

static void survives_its_removal_at_each_step(void)
{
	unsigned n = 1;

	for (;; n++) {
		int err;

		fake.gone_at = fake.reg_reads + n;
		err = nsdk_nvme_detach(ctrlr);
		if (!fake.gone) {
			NSDK_ASSERT_INT(err, 0);
			break;
		}
		CU_ASSERT(err == -ENODEV || err == 0);
		CU_ASSERT_EQUAL(nsdk_unit_log_count(), 1);
		nsdk_unit_log_clear();
		fake_check_clean();
		fake_reset();
		ctrlr = fake_attach();
	}
	CU_ASSERT(n > 4);
}

static void does_nothing_with_nothing(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_detach(NULL), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
}

static void can_be_called_off_in_the_middle_of_bring_up(void)
{
	nsdk_nvme_detach(ctrlr);
	for (int steps = 0; steps < 8; steps++) {
		int err = -EAGAIN;

		fake_reset();
		NSDK_ASSERT_INT(nsdk_nvme_attach_start(fake_device(), fake_mem(), NULL, &ctrlr), 0);
		for (int i = 0; i < steps && err == -EAGAIN; i++)
			err = nsdk_nvme_attach_poll(ctrlr);
		NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
		fake_check_clean();
	}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(tells_the_controller_and_waits),
	NSDK_UNIT_TEST(gives_up_at_a_deadline),
	NSDK_UNIT_TEST(looks_before_it_gives_up),
	NSDK_UNIT_TEST(waits_as_long_as_the_controller_wants),
	NSDK_UNIT_TEST(reports_a_fatal_status),
	NSDK_UNIT_TEST(resets_what_will_not_be_disabled),
	NSDK_UNIT_TEST(resets_what_cannot_be_kept_from_dma),
	NSDK_UNIT_TEST(survives_its_removal_at_each_step),
	NSDK_UNIT_TEST(does_nothing_with_nothing),
	NSDK_UNIT_TEST(can_be_called_off_in_the_middle_of_bring_up),
};

NSDK_UNIT_MAIN("drivers/nvme/shutdown", tests, .before = before, .after = after)
