/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings: their memory and their doorbells. */
#include "fake_nvme.h"

#include <errno.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
	ctrlr = fake_attach();
}

static void after(void)
{
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

static void doorbells_are_where_the_stride_puts_them(void)
{
	for (unsigned dstrd = 0; dstrd < 4; dstrd++) {
		for (uint16_t qid = 0; qid < 3; qid++) {
			struct nvme_ring ring;

			ctrlr->doorbell_stride_bytes = 4u << dstrd;
			NSDK_ASSERT_INT(nsdk_nvme_ring_create(ctrlr, qid, 16, &ring), 0);
			CU_ASSERT_PTR_EQUAL((uint8_t *)(uintptr_t)ring.sq_doorbell,
					    fake_bar + 0x1000 + 2 * qid * (4u << dstrd));
			CU_ASSERT_PTR_EQUAL((uint8_t *)(uintptr_t)ring.cq_doorbell,
					    fake_bar + 0x1000 + (2 * qid + 1) * (4u << dstrd));
			nsdk_nvme_ring_destroy(ctrlr, &ring);
		}
	}
}

static void queues_are_page_aligned_and_known_to_the_device(void)
{
	struct nvme_ring ring;

	NSDK_ASSERT_INT(nsdk_nvme_ring_create(ctrlr, 1, 100, &ring), 0);
	CU_ASSERT_EQUAL(ring.sq_iova % 4096, 0);
	CU_ASSERT_EQUAL(ring.cq_iova % 4096, 0);
	CU_ASSERT_PTR_EQUAL(fake_va(ring.sq_iova), ring.sq);
	CU_ASSERT_PTR_EQUAL(fake_va(ring.cq_iova), ring.cq);
	CU_ASSERT_EQUAL(ring.sq_end - ring.sq, 100);
	CU_ASSERT_EQUAL(ring.cq_end - ring.cq, 100);
	nsdk_nvme_ring_destroy(ctrlr, &ring);
}

/* The zeros that say that nothing has completed must not come down on what the device writes. */
static void completion_queues_start_clean(void)
{
	struct nvme_ring ring;

	fake.rings_synced = 0;
	NSDK_ASSERT_INT(nsdk_nvme_ring_create(ctrlr, 1, 100, &ring), 0);
	NSDK_ASSERT_INT(fake.rings_synced, 1);
	nsdk_nvme_ring_destroy(ctrlr, &ring);
}

static void refuses_memory_in_pieces(void)
{
	struct nvme_ring ring;
	int buffers = fake.buffers;

	/* 4 MiB: the fake's pieces of 2 MiB do not follow each other for the device. */
	NSDK_ASSERT_INT(nsdk_nvme_ring_create(ctrlr, 1, 65536, &ring), -ENOMEM);
	NSDK_ASSERT_ONE_SENTENCE("in one piece of the device's addresses");
	CU_ASSERT_EQUAL(fake.buffers, buffers);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(doorbells_are_where_the_stride_puts_them),
	NSDK_UNIT_TEST(queues_are_page_aligned_and_known_to_the_device),
	NSDK_UNIT_TEST(completion_queues_start_clean),
	NSDK_UNIT_TEST(refuses_memory_in_pieces),
};

NSDK_UNIT_MAIN("drivers/nvme/queue", tests, .before = before, .after = after)
