/* SPDX-License-Identifier: BSD-3-Clause */
/* Controllers: options, health, and being taken out. */
#include "fake_nvme.h"

#include <errno.h>

static struct nsdk_nvme_ctrlr *ctrlr;

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
	fake_check_clean();
}

static void refuses_options_that_make_no_sense(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts) };

	opts.admin_entries = 1;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("admin queue of 1 entries");
	opts.admin_entries = 4097;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("admin queue of 4097 entries");
	opts.admin_entries = 0;
	opts.io_queues = 65536;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("65536 I/O queues");
	CU_ASSERT_PTR_NULL(ctrlr);
}

static void works_with_the_smallest_admin_queue(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .admin_entries = 2 };

	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), 0);
	fake_teardown(ctrlr, fake_qpair(ctrlr, 8));
}

static void poll_notices_what_happens_to_it(void)
{
	fake.max_resets = NSDK_NVME_NO_RESETS;
	ctrlr = fake_attach();
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	fake.cfs = true;
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("reports a fatal status");
	CU_ASSERT(!fake.bus_master);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -EIO);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);

	fake_reset();
	fake.max_resets = NSDK_NVME_NO_RESETS;
	ctrlr = fake_attach();
	fake.csts = 0;
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("no longer ready");
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);

	fake_reset();
	ctrlr = fake_attach();
	fake.gone_at = fake.reg_reads + 1;
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("fake is gone");
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void hears_that_the_device_is_to_be_removed(void)
{
	ctrlr = fake_attach();
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	fake.removal_asked = true;
	/* Asked again a little later, since asking takes system calls. */
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	fake.now_ns += 1000000000;
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("about to be removed");
	/* It counts as gone, but it is there until it is given back, and must not do DMA any more. */
	CU_ASSERT_FALSE(fake.bus_master);
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), -ENODEV);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void leaves_other_devices_alone(void)
{
	fake.class_code = 0x020000;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), NULL, &ctrlr), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("is not an NVMe controller (its class is 020000h");
	NSDK_ASSERT_INT(fake.reg_reads, 0);
	CU_ASSERT_FALSE(fake.bus_master);
}

static void gives_no_queue_pair_once_it_is_out(void)
{
	struct nsdk_nvme_qpair *qp;

	fake.max_resets = NSDK_NVME_NO_RESETS;
	ctrlr = fake_attach();
	fake.cfs = true;
	nsdk_nvme_ctrlr_poll(ctrlr);
	nsdk_unit_log_clear();
	NSDK_ASSERT_INT(nsdk_nvme_qpair_create(ctrlr, NULL, &qp), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("has been taken out");
	CU_ASSERT_PTR_NULL(qp);
	nsdk_nvme_detach(ctrlr);
}

static void is_not_detached_under_its_queue_pairs(void)
{
	struct nsdk_nvme_qpair *qp;

	ctrlr = fake_attach();
	qp = fake_qpair(ctrlr, 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("1 queue pairs are left");
	/* Nothing was done. */
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	fake_teardown(ctrlr, qp);
}

static void tells_which_memory_its_data_needs(void)
{
	ctrlr = fake_attach();
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_dma_attr(ctrlr), NSDK_DMA_COHERENT);
	CU_ASSERT_PTR_EQUAL(nsdk_nvme_ctrlr_device(ctrlr), fake_device());
	nsdk_nvme_detach(ctrlr);
	fake_reset();
	fake.active = true;
	ctrlr = fake_attach();
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_dma_attr(ctrlr), NSDK_DMA_NOSNOOP);
	nsdk_nvme_detach(ctrlr);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(refuses_options_that_make_no_sense),
	NSDK_UNIT_TEST(works_with_the_smallest_admin_queue),
	NSDK_UNIT_TEST(poll_notices_what_happens_to_it),
	NSDK_UNIT_TEST(hears_that_the_device_is_to_be_removed),
	NSDK_UNIT_TEST(leaves_other_devices_alone),
	NSDK_UNIT_TEST(gives_no_queue_pair_once_it_is_out),
	NSDK_UNIT_TEST(is_not_detached_under_its_queue_pairs),
	NSDK_UNIT_TEST(tells_which_memory_its_data_needs),
};

NSDK_UNIT_MAIN("drivers/nvme/ctrlr", tests, .before = before, .after = after)
