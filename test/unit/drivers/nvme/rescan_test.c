/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking at namespaces again: what came, what went, what somebody else did to them, and lies. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

#include <nsdk/nvme_admin.h>

#include "drivers/nvme/nvme_internal.h"

static struct nsdk_nvme_ctrlr *ctrlr;
static int told;

static void on_event(void *ctx, struct nsdk_nvme_ctrlr *of, const struct nsdk_nvme_event *event)
{
	told++;
}

static void attach(unsigned namespaces)
{
	fake.namespaces = namespaces;
	ctrlr = fake_attach();
	nsdk_nvme_ctrlr_on_event(ctrlr, on_event, NULL);
	nsdk_nvme_ctrlr_poll(ctrlr);
	told = 0;
}

static void before(void)
{
	fake_reset();
	nsdk_unit_log_start();
}

static void after(void)
{
	fake.hook = NULL;
	nsdk_nvme_detach(ctrlr);
	nsdk_unit_log_stop();
	fake_check_clean();
}

/* "Namespace attributes changed", until the driver has looked. */
static void changed(void)
{
	fake_event(0x040002);
	for (int i = 0; i < 100 && !told; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(told, 1);
	told = 0;
}

static unsigned known(void)
{
	unsigned count = 0;

	for (uint32_t id = nsdk_nvme_ns_next(ctrlr, 0); id; id = nsdk_nvme_ns_next(ctrlr, id))
		count++;
	return count;
}

static void finds_what_came_and_what_went(void)
{
	struct nsdk_nvme_ns *second;

	attach(2);
	second = nsdk_nvme_ns_get(ctrlr, 2);
	fake.namespaces = 4;
	changed();
	NSDK_ASSERT_INT(known(), 4);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_blocks(nsdk_nvme_ns_get(ctrlr, 4)), fake.blocks);
	fake.namespaces = 1;
	changed();
	NSDK_ASSERT_INT(known(), 1);
	CU_ASSERT_PTR_NULL(nsdk_nvme_ns_get(ctrlr, 2));
	NSDK_ASSERT_INT(second->refusal, -ENODEV);
	fake.namespaces = 2;
	changed();
	CU_ASSERT_PTR_EQUAL(nsdk_nvme_ns_get(ctrlr, 2), second);
	NSDK_ASSERT_INT(second->refusal, 0);
	CU_ASSERT(second->short_lba_end != 0);
	/* It goes on listening. */
	nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(fake.aers, 4);
}

static uint32_t list[3];

static enum fake_action own_list(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	if (cmd->opcode == NSDK_NVME_ADMIN_IDENTIFY &&
	    (cmd->cdw10 & 0xff) == NSDK_NVME_CNS_ACTIVE_NS_LIST) {
		memcpy(fake_va(cmd->prp1), list, sizeof(list));
		return FAKE_REPLY;
	}
	return FAKE_DO;
}

static void keeps_the_order_of_ids(void)
{
	attach(0);
	fake.hook = own_list;
	fake.namespaces = 7;
	list[0] = 2;
	list[1] = 7;
	list[2] = 0;
	changed();
	list[1] = 3;
	list[2] = 7;
	changed();
	NSDK_ASSERT_INT(nsdk_nvme_ns_next(ctrlr, 0), 2);
	NSDK_ASSERT_INT(nsdk_nvme_ns_next(ctrlr, 2), 3);
	NSDK_ASSERT_INT(nsdk_nvme_ns_next(ctrlr, 3), 7);
	NSDK_ASSERT_INT(known(), 3);
}

static void is_not_taken_in_by_a_list_out_of_order(void)
{
	attach(7);
	fake.hook = own_list;
	list[0] = 5;
	list[1] = 4;
	list[2] = 0;
	changed();
	CU_ASSERT(nsdk_unit_log_has("the active namespace list has 4 behind 5"));
	/* They stay as they were, and usable. */
	NSDK_ASSERT_INT(known(), 7);
	NSDK_ASSERT_INT(nsdk_nvme_ns_get(ctrlr, 4)->refusal, 0);
}

static void somebody_elses_format_closes_a_namespace(void)
{
	struct nsdk_nvme_ns *ns;

	attach(1);
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	fake.blocks /= 2;
	changed();
	/* Smaller is no reason. */
	NSDK_ASSERT_INT(ns->refusal, 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_blocks(ns), fake.blocks);
	fake.lba_shift = fake.lba_shift == 12 ? 9 : 12;
	nsdk_unit_log_clear();
	changed();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	CU_ASSERT_EQUAL(ns->short_lba_end, 0);
	CU_ASSERT_EQUAL(ns->two_pages_lba_end, 0);
	CU_ASSERT(nsdk_unit_log_has("somebody else has formatted namespace 1"));
	/* It stays closed, and that is said once. */
	nsdk_unit_log_clear();
	changed();
	NSDK_ASSERT_INT(ns->refusal, -ESTALE);
	CU_ASSERT(!nsdk_unit_log_has("somebody else"));
}

static struct fake_done done;

static enum fake_action formats(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				uint32_t *dw0)
{
	if (cmd->opcode != NSDK_NVME_ADMIN_FORMAT)
		return FAKE_DO;
	fake.lba_shift = fake.lba_shift == 12 ? 9 : 12;
	return FAKE_REPLY;
}

static void our_own_format_opens_it_again(void)
{
	const struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_format(2, 1, false, 0, false, 0);
	struct nsdk_nvme_ns *first, *ns;
	uint8_t shift;

	memset(&done, 0, sizeof(done));
	attach(2);
	first = nsdk_nvme_ns_get(ctrlr, 1);
	ns = nsdk_nvme_ns_get(ctrlr, 2);
	shift = ns->block_shift;
	fake.hook = formats;
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0,
						 fake_done_cb, &done), 0);
	/* This controller formats them one by one. */
	NSDK_ASSERT_INT(first->refusal, 0);
	NSDK_ASSERT_INT(ns->refusal, -EBUSY);
	/* An event in the middle is a look of its own, behind the first. */
	fake_event(0x040002);
	for (int i = 0; i < 100 && (!told || !done.count); i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(told, 1);
	NSDK_ASSERT_INT(ns->refusal, 0);
	CU_ASSERT(ns->block_shift != shift);
	CU_ASSERT(!ctrlr->rescan.running);
}

/* A look that somebody else's change began does not take the next one's reason from it. */
static void our_own_format_behind_an_event(void)
{
	const struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_format(1, 1, false, 0, false, 0);
	struct nsdk_nvme_ns *ns;

	memset(&done, 0, sizeof(done));
	attach(1);
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	fake.hook = formats;
	fake_event(0x040002);
	for (int i = 0; i < 100 && !ctrlr->rescan.running; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT_FATAL(ctrlr->rescan.running);
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0,
						 fake_done_cb, &done), 0);
	for (int i = 0; i < 100 && !done.count; i++) {
		/* The look for the event does not open it. */
		NSDK_ASSERT_INT(ns->refusal, -EBUSY);
		nsdk_nvme_ctrlr_poll(ctrlr);
	}
	NSDK_ASSERT_INT(done.count, 1);
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->block_shift, fake.lba_shift);
	CU_ASSERT(!nsdk_unit_log_has("somebody else"));
}

static void our_own_format_is_no_reason_to_close(void)
{
	const struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_format(1, 1, false, 0, false, 0);
	struct nsdk_nvme_ns *ns;

	memset(&done, 0, sizeof(done));
	attach(1);
	ns = nsdk_nvme_ns_get(ctrlr, 1);
	fake.hook = formats;
	NSDK_ASSERT_INT(nsdk_nvme_admin_passthru(ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0,
						 fake_done_cb, &done), 0);
	for (int i = 0; i < 100 && !done.count; i++)
		nsdk_nvme_ctrlr_poll(ctrlr);
	NSDK_ASSERT_INT(ns->refusal, 0);
	NSDK_ASSERT_INT(ns->block_shift, fake.lba_shift);
}

static enum fake_action no_identify(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				    uint32_t *dw0)
{
	*status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	return cmd->opcode == NSDK_NVME_ADMIN_IDENTIFY && (cmd->cdw10 & 0xff) == NSDK_NVME_CNS_NS ?
		       FAKE_REPLY : FAKE_DO;
}

static void what_does_not_answer_is_gone(void)
{
	attach(3);
	fake.hook = no_identify;
	changed();
	NSDK_ASSERT_INT(known(), 0);
}

static void a_controller_without_lists_is_asked_for_each(void)
{
	fake.vs = 0x00010000;
	fake.id.nn = 3;
	attach(3);
	fake.blocks /= 2;
	changed();
	NSDK_ASSERT_INT(known(), 3);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_blocks(nsdk_nvme_ns_get(ctrlr, 3)), fake.blocks);
}

static void removal_ends_a_look(void)
{
	attach(3);
	fake_event(0x040002);
	fake.slowness = 2;
	nsdk_nvme_ctrlr_poll(ctrlr);
	fake.gone = true;
	nsdk_nvme_ctrlr_poll(ctrlr);
	nsdk_nvme_ctrlr_poll(ctrlr);
	CU_ASSERT(!ctrlr->rescan.running);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(finds_what_came_and_what_went),
	NSDK_UNIT_TEST(keeps_the_order_of_ids),
	NSDK_UNIT_TEST(is_not_taken_in_by_a_list_out_of_order),
	NSDK_UNIT_TEST(somebody_elses_format_closes_a_namespace),
	NSDK_UNIT_TEST(our_own_format_opens_it_again),
	NSDK_UNIT_TEST(our_own_format_behind_an_event),
	NSDK_UNIT_TEST(our_own_format_is_no_reason_to_close),
	NSDK_UNIT_TEST(what_does_not_answer_is_gone),
	NSDK_UNIT_TEST(a_controller_without_lists_is_asked_for_each),
	NSDK_UNIT_TEST(removal_ends_a_look),
};

NSDK_UNIT_MAIN("drivers/nvme/rescan", tests, .before = before, .after = after)
