/* SPDX-License-Identifier: BSD-3-Clause */
/* Identify data, true and false. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

static struct nsdk_nvme_ctrlr *ctrlr;
static uint32_t list[2][1024];

static void before(void)
{
	fake_reset();
	memset(list, 0, sizeof(list));
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
	fake_check_clean();
}

static void limits_transfers_as_mdts_says(void)
{
	static const struct {
		uint8_t mdts;
		size_t expected;
	} cases[] = {
		{ 1, 8192 }, { 2, 16384 }, { 5, 131072 }, { 8, 1 << 20 },
		/* Beyond what a PRP list of ours describes. */
		{ 9, 1 << 20 }, { 0, 1 << 20 }, { 60, 1 << 20 }, { 255, 1 << 20 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake.mdts = cases[i].mdts;
		ctrlr = fake_attach();
		CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr), cases[i].expected);
		nsdk_nvme_detach(ctrlr);
	}
}

static void shows_what_the_controller_says(void)
{
	memcpy(fake.id.mn, "a model", 7);
	fake.id.vwc = 1;
	ctrlr = fake_attach();
	CU_ASSERT(memcmp(nsdk_nvme_ctrlr_data(ctrlr), &fake.id, sizeof(fake.id)) == 0);
	nsdk_nvme_detach(ctrlr);
}

static enum fake_action silent_identify(const struct nsdk_nvme_cmd *cmd, uint16_t qid,
					uint16_t *status, uint32_t *dw0)
{
	*status = 0;
	return cmd->opcode == NSDK_NVME_ADMIN_IDENTIFY ? FAKE_REPLY : FAKE_DO;
}

static void does_not_believe_success_without_data(void)
{
	fake.hook = silent_identify;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), NULL, &ctrlr), -ENOTSUP);
	NSDK_ASSERT_ONE_SENTENCE("queue entries");
}

/* Lists of a test's own. */
static enum fake_action own_list(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	if (qid != 0 || cmd->opcode != NSDK_NVME_ADMIN_IDENTIFY)
		return FAKE_DO;
	if (cmd->cdw10 == NSDK_NVME_CNS_ACTIVE_NS_LIST) {
		memcpy(fake_va(cmd->prp1), list[cmd->nsid != 0], sizeof(list[0]));
		*status = 0;
		return FAKE_REPLY;
	}
	if (cmd->cdw10 == NSDK_NVME_CNS_NS) {
		struct nsdk_nvme_id_ns ns = { .nsze = cmd->nsid, .lbaf = { { .lbads = 9 } } };

		memcpy(fake_va(cmd->prp1), &ns, sizeof(ns));
		*status = 0;
		return FAKE_REPLY;
	}
	return FAKE_DO;
}

static void takes_gaps_and_large_ids(void)
{
	fake.hook = own_list;
	list[0][0] = 7;
	list[0][1] = 9;
	list[0][2] = 0xfffffff0;
	ctrlr = fake_attach();
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 0), 7);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 7), 9);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 9), 0xfffffff0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 0xfffffff0), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, UINT32_MAX), 0);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_get(ctrlr, 8));
	CU_ASSERT_EQUAL(nsdk_nvme_ns_blocks(nsdk_nvme_ns_get(ctrlr, 9)), 9);
	nsdk_nvme_detach(ctrlr);
}

static void asks_on_when_a_page_is_full(void)
{
	fake.hook = own_list;
	for (uint32_t i = 0; i < 1024; i++)
		list[0][i] = i + 1;
	list[1][0] = 2000;
	list[1][1] = 2001;
	ctrlr = fake_attach();
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 1024), 2000);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 2000), 2001);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 2001), 0);
	CU_ASSERT_PTR_NOT_NULL(nsdk_nvme_ns_get(ctrlr, 512));
	nsdk_nvme_detach(ctrlr);
}

static void does_not_believe_lists_out_of_order(void)
{
	static const uint32_t bad[][3] = { { 5, 5, 0 }, { 5, 4, 0 }, { 0xffffffff, 0, 0 } };

	fake.hook = own_list;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(list[0], bad[i], sizeof(bad[i]));
		NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), NULL, &ctrlr), -EIO);
		NSDK_ASSERT_ONE_SENTENCE("not in order");
	}
}

/* The second page says the first again: that would go on for ever. */
static void does_not_follow_a_list_without_end(void)
{
	fake.hook = own_list;
	for (uint32_t i = 0; i < 1024; i++)
		list[0][i] = list[1][i] = i + 1;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), NULL, &ctrlr), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("not in order");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(limits_transfers_as_mdts_says),
	NSDK_UNIT_TEST(shows_what_the_controller_says),
	NSDK_UNIT_TEST(does_not_believe_success_without_data),
	NSDK_UNIT_TEST(takes_gaps_and_large_ids),
	NSDK_UNIT_TEST(asks_on_when_a_page_is_full),
	NSDK_UNIT_TEST(does_not_believe_lists_out_of_order),
	NSDK_UNIT_TEST(does_not_follow_a_list_without_end),
};

NSDK_UNIT_MAIN("drivers/nvme/identify", tests, .before = before, .after = after)
