/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces: what Identify Namespace may say, and what it makes of I/O. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

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

static void refused(struct nsdk_nvme_id_ns *id, int refusal, const char *sentence)
{
	struct nsdk_nvme_ns ns = { .ctrlr = ctrlr, .nsid = 4 };

	NSDK_ASSERT_INT(nsdk_nvme_ns_fill(&ns, id), 0);
	NSDK_ASSERT_INT(nsdk_nvme_ns_refusal(&ns), refusal);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
	/* Nothing may go past the check of that. */
	CU_ASSERT_EQUAL(ns.short_lba_end, 0);
	CU_ASSERT_EQUAL(ns.two_pages_lba_end, 0);
}

static void refuses_formats_it_cannot_use(void)
{
	struct nsdk_nvme_id_ns id = { .nsze = 1000, .lbaf = { { .lbads = 9 } } };

	id.lbaf[0].lbads = 8;
	refused(&id, -EIO, "2^8 bytes a block");
	id.lbaf[0].lbads = 0;
	refused(&id, -EIO, "2^0 bytes a block");
	id.lbaf[0].lbads = 17;
	refused(&id, -EIO, "2^17 bytes a block");
	id.lbaf[0].lbads = 9;
	id.nsze = 1ull << 60;
	refused(&id, -EIO, "blocks");
	id.nsze = 1000;
	id.flbas = 3;
	refused(&id, -EIO, "format 3 of 1");
	id.flbas = 0;
	id.lbaf[0].ms = 4;
	id.dps = 2;
	refused(&id, -ENOTSUP, "type 2 in 4 bytes of metadata");
}

static void refuses_blocks_above_the_largest_transfer(void)
{
	struct nsdk_nvme_id_ns id = { .nsze = 1000, .lbaf = { { .lbads = 14 } } };

	ctrlr->max_transfer_bytes = 8192;
	refused(&id, -ENOTSUP, "larger than the controller's largest transfer");
}

static void finds_the_format_in_use(void)
{
	struct nsdk_nvme_id_ns id = { .nsze = 10, .nlbaf = 3 };
	struct nsdk_nvme_ns ns = { .ctrlr = ctrlr, .nsid = 1 };

	id.lbaf[2].lbads = 12;
	/* Bits 6:5 mean nothing where there are 16 formats or fewer. */
	id.flbas = 0x62;
	NSDK_ASSERT_INT(nsdk_nvme_ns_fill(&ns, &id), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_block_bytes(&ns), 4096);

	memset(&ns, 0, sizeof(ns));
	ns.ctrlr = ctrlr;
	id.nlbaf = 40;
	id.lbaf[0x22].lbads = 13;
	id.flbas = 0x42;
	NSDK_ASSERT_INT(nsdk_nvme_ns_fill(&ns, &id), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_block_bytes(&ns), 8192);
	CU_ASSERT_EQUAL(ns.refusal, 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
}

static void counts_one_without_blocks_as_none(void)
{
	struct nsdk_nvme_id_ns id = { .nsze = 0, .lbaf = { { .lbads = 9 } } };
	struct nsdk_nvme_ns ns = { .ctrlr = ctrlr, .nsid = 1 };

	NSDK_ASSERT_INT(nsdk_nvme_ns_fill(&ns, &id), -ENOENT);
}

/* The short ways end where an I/O of their largest size just fits. */
static void ends_the_short_ways_before_the_end(void)
{
	for (unsigned shift = 9; shift <= 16; shift++) {
		for (uint64_t blocks = 1; blocks < 40; blocks++) {
			struct nsdk_nvme_id_ns id = { .nsze = blocks };
			struct nsdk_nvme_ns ns = { .ctrlr = ctrlr, .nsid = 1 };

			id.lbaf[0].lbads = (uint8_t)shift;
			NSDK_ASSERT_INT(nsdk_nvme_ns_fill(&ns, &id), 0);
			if (ns.short_lba_end) {
				CU_ASSERT_EQUAL(ns.short_lba_end - 1 + ns.short_nlb + 1, blocks);
				CU_ASSERT((ns.short_nlb + 1ull) << shift <= 4096);
			} else {
				CU_ASSERT(4096u >> shift == 0 || blocks < 4096u >> shift);
			}
			if (ns.two_pages_lba_end)
				CU_ASSERT_EQUAL(ns.two_pages_lba_end - 1 +
							(ns.two_pages_bytes >> shift), blocks);
		}
	}
}

static void refuses_io_where_it_said_so(void)
{
	struct nsdk_nvme_qpair *qp = fake_qpair(ctrlr, 8);
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_get(ctrlr, 1);
	struct nsdk_nvme_id_ns id = { .nsze = 1000, .dps = 1, .lbaf = { { .lbads = 9, .ms = 4 } } };
	struct nsdk_nvme_ns unusable = { .ctrlr = ctrlr, .nsid = 1 };
	struct fake_done done = { 0 };

	CU_ASSERT_EQUAL(nsdk_nvme_ns_id(ns), 1);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_data(ns)->nsze, fake.blocks);
	nsdk_nvme_ns_fill(&unusable, &id);
	NSDK_ASSERT_INT(nsdk_nvme_read(&unusable, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb,
				       &done), -ENOTSUP);
	NSDK_ASSERT_INT(nsdk_nvme_write(&unusable, qp, fake_buffer(8, 0), 0, 1, 0, fake_done_cb,
					&done), -ENOTSUP);
	NSDK_ASSERT_INT(nsdk_nvme_flush(&unusable, qp, fake_done_cb, &done), -ENOTSUP);
	nsdk_nvme_qpair_destroy(qp);
	CU_ASSERT_EQUAL(done.count, 0);
	nsdk_unit_log_clear();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(refuses_formats_it_cannot_use),
	NSDK_UNIT_TEST(refuses_blocks_above_the_largest_transfer),
	NSDK_UNIT_TEST(finds_the_format_in_use),
	NSDK_UNIT_TEST(counts_one_without_blocks_as_none),
	NSDK_UNIT_TEST(ends_the_short_ways_before_the_end),
	NSDK_UNIT_TEST(refuses_io_where_it_said_so),
};

NSDK_UNIT_MAIN("drivers/nvme/ns", tests, .before = before, .after = after)
