/* SPDX-License-Identifier: BSD-3-Clause */
/* Bring-up: every stage, every way it goes wrong, and nothing left behind. */
#include "fake_nvme.h"

#include <errno.h>
#include <string.h>

static struct nsdk_nvme_ctrlr *ctrlr;

static int attach(void)
{
	return nsdk_nvme_attach(fake_device(), fake_mem(), NULL, &ctrlr);
}

static void before(void)
{
	fake_reset();
	ctrlr = NULL;
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static void refused(int expected, const char *sentence)
{
	NSDK_ASSERT_INT(attach(), expected);
	CU_ASSERT_PTR_NULL(ctrlr);
	NSDK_ASSERT_ONE_SENTENCE(sentence);
	fake_check_clean();
}

static void comes_up_and_down(void)
{
	fake.namespaces = 3;
	NSDK_ASSERT_INT(attach(), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ctrlr);
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_cap(ctrlr), fake.cap);
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_version(ctrlr), 0x00020000);
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_max_io_queues(ctrlr), 4);
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr), 128 << 10);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 0), 1);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 1), 2);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 3), 0);
	/* AERL is 3, 0's based. */
	NSDK_ASSERT_INT(nsdk_nvme_ctrlr_poll(ctrlr), 0);
	CU_ASSERT_EQUAL(fake.aers, 4);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
	CU_ASSERT_EQUAL(fake.resets, 0);
	fake_check_clean();
}

static void never_blocks_in_a_step(void)
{
	unsigned steps = 0;
	int err;

	fake.never_ready = true;
	NSDK_ASSERT_INT(nsdk_nvme_attach_start(fake_device(), fake_mem(), NULL, &ctrlr), 0);
	do {
		unsigned reads = fake.reg_reads;
		uint64_t now_ns = fake.now_ns;

		if (++steps == 100) {
			fake.never_ready = false;
			fake.csts |= NSDK_NVME_CSTS_RDY;
		}
		err = nsdk_nvme_attach_poll(ctrlr);
		CU_ASSERT(fake.reg_reads - reads <= 3);
		CU_ASSERT(fake.now_ns - now_ns <= 80000000);
	} while (err == -EAGAIN);
	NSDK_ASSERT_INT(err, 0);
	CU_ASSERT(steps > 100);
	/* Polling what is up changes nothing. */
	NSDK_ASSERT_INT(nsdk_nvme_attach_poll(ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static void gives_up_when_it_is_never_ready(void)
{
	fake.never_ready = true;
	refused(-ETIMEDOUT, "did not get ready within 2000 ms");
}

static void waits_as_long_as_cap_to_says(void)
{
	fake.cap = (fake.cap & ~0xff000000ull) | 20ull << 24; /* 10 s */
	fake.never_ready = true;
	refused(-ETIMEDOUT, "did not get ready within 10000 ms");
}

static void waits_as_long_as_it_is_told(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .ready_timeout_ns = 50000000 };

	fake.never_ready = true;
	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), -ETIMEDOUT);
	NSDK_ASSERT_ONE_SENTENCE("did not get ready within 50 ms");
	fake_check_clean();
}

static void looks_before_it_gives_up(void)
{
	fake.never_ready = true;
	NSDK_ASSERT_INT(nsdk_nvme_attach_start(fake_device(), fake_mem(), NULL, &ctrlr), 0);
	while (!(fake.cc & NSDK_NVME_CC_EN))
		NSDK_ASSERT_INT(nsdk_nvme_attach_poll(ctrlr), -EAGAIN);
	fake.stall_ns = 3600000000000ull;
	NSDK_ASSERT_INT(nsdk_nvme_attach_poll(ctrlr), -EAGAIN);
	CU_ASSERT_EQUAL(fake.stall_ns, 0);
	fake.csts |= NSDK_NVME_CSTS_RDY;
	while (nsdk_nvme_attach_poll(ctrlr) == -EAGAIN)
		;
	NSDK_ASSERT_INT(nsdk_nvme_attach_poll(ctrlr), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static void gives_up_when_it_cannot_be_disabled(void)
{
	fake.cc = NSDK_NVME_CC_EN;
	fake.csts = NSDK_NVME_CSTS_RDY;
	fake.never_disabled = true;
	refused(-ETIMEDOUT, "did not become disabled within");
}

static void disables_what_somebody_left_enabled(void)
{
	fake.cc = NSDK_NVME_CC_EN;
	fake.csts = NSDK_NVME_CSTS_RDY | NSDK_NVME_CSTS_CFS;
	NSDK_ASSERT_INT(attach(), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

/* EN may not fall while RDY has not risen: the step waits, and in the end does it all the same. */
static void lets_what_is_being_enabled_settle(void)
{
	fake.cc = NSDK_NVME_CC_EN;
	NSDK_ASSERT_INT(nsdk_nvme_attach_start(fake_device(), fake_mem(), NULL, &ctrlr), 0);
	for (int i = 0; i < 5; i++)
		NSDK_ASSERT_INT(nsdk_nvme_attach_poll(ctrlr), -EAGAIN);
	CU_ASSERT_EQUAL(fake.cc, NSDK_NVME_CC_EN);
	fake.csts |= NSDK_NVME_CSTS_RDY;
	NSDK_ASSERT_INT(nsdk_nvme_attach_poll(ctrlr), -EAGAIN);
	CU_ASSERT_EQUAL(fake.cc, 0);
	while (nsdk_nvme_attach_poll(ctrlr) == -EAGAIN)
		;
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);

	fake.cc = NSDK_NVME_CC_EN;
	NSDK_ASSERT_INT(attach(), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static void refuses_what_is_no_controller_for_us(void)
{
	uint64_t good = fake.cap;

	fake.cap = good | 1ull << 48 | 1ull << 52;
	refused(-ENOTSUP, "memory pages of at least 8 KiB");
	fake.cap = good & ~(0xffull << 37);
	refused(-ENOTSUP, "NVM command set");
	fake.cap = good & ~0xffffull;
	refused(-ENOTSUP, "no usable NVMe controller");
	fake.cap = good;
	fake.id.sqes = 0x77;
	refused(-ENOTSUP, "Identify Controller asks for queue entries");
}

/* Whenever it reports a fatal status, attach fails and says so once. */
static void notices_a_fatal_status_at_each_stage(void)
{
	unsigned failures = 0;

	for (unsigned n = 1;; n++) {
		int err;

		fake_reset();
		nsdk_unit_log_clear();
		fake.slowness = 3;
		fake.cfs_at = n;
		err = attach();
		if (fake.csts_reads < n)
			break;
		/* Before it is disabled a fatal status is no news: disabling clears it. */
		if (err == 0) {
			CU_ASSERT(n <= 2);
		} else {
			NSDK_ASSERT_INT(err, -EIO);
			NSDK_ASSERT_ONE_SENTENCE("fatal status");
			fake_check_clean();
			failures++;
			continue;
		}
		fake.cfs = false;
		fake.cfs_at = 0;
		nsdk_nvme_detach(ctrlr);
		fake_check_clean();
	}
	CU_ASSERT(failures >= 5);
	nsdk_nvme_detach(ctrlr);
	fake_check_clean();
}

static void notices_its_removal_at_each_stage(void)
{
	unsigned n;

	for (n = 1;; n++) {
		int err;

		fake_reset();
		nsdk_unit_log_clear();
		fake.slowness = 3;
		fake.gone_at = n;
		err = attach();
		if (!fake.gone) {
			NSDK_ASSERT_INT(err, 0);
			break;
		}
		NSDK_ASSERT_INT(err, -ENODEV);
		/* The bus's, and no other. */
		NSDK_ASSERT_ONE_SENTENCE("fake is gone");
		fake_check_clean();
	}
	CU_ASSERT(n > 8);
	fake.gone_at = 0;
	nsdk_nvme_detach(ctrlr);
	fake_check_clean();
}

static uint8_t failing_opcode;
static uint32_t failing_cns;

static enum fake_action fail_one(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	if (qid != 0 || cmd->opcode != failing_opcode ||
	    (cmd->opcode == NSDK_NVME_ADMIN_IDENTIFY && cmd->cdw10 != failing_cns))
		return FAKE_DO;
	*status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INTERNAL_ERROR);
	return FAKE_REPLY;
}

static void fails_when_any_command_fails(void)
{
	static const struct {
		uint8_t opcode;
		uint32_t cns;
		const char *sentence;
	} commands[] = {
		{ NSDK_NVME_ADMIN_IDENTIFY, NSDK_NVME_CNS_CTRLR,
		  "Identify Controller failed: Generic: Internal Error" },
		{ NSDK_NVME_ADMIN_SET_FEATURES, 0,
		  "Set Features, Number of Queues failed: Generic: Internal Error" },
		{ NSDK_NVME_ADMIN_IDENTIFY, NSDK_NVME_CNS_ACTIVE_NS_LIST,
		  "Active Namespace List failed: Generic: Internal Error" },
		{ NSDK_NVME_ADMIN_IDENTIFY, NSDK_NVME_CNS_NS,
		  "Identify Namespace failed: Generic: Internal Error" },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		fake_reset();
		fake.hook = fail_one;
		failing_opcode = commands[i].opcode;
		failing_cns = commands[i].cns;
		refused(-EIO, commands[i].sentence);
	}
}

static enum fake_action hold_one(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				 uint32_t *dw0)
{
	return fail_one(cmd, qid, status, dw0) == FAKE_DO ? FAKE_DO : FAKE_HOLD;
}

static void fails_when_any_command_is_not_answered(void)
{
	static const uint32_t cns[] = { NSDK_NVME_CNS_CTRLR, NSDK_NVME_CNS_ACTIVE_NS_LIST,
					NSDK_NVME_CNS_NS };

	for (size_t i = 0; i < sizeof(cns) / sizeof(cns[0]); i++) {
		fake_reset();
		fake.hook = hold_one;
		failing_opcode = NSDK_NVME_ADMIN_IDENTIFY;
		failing_cns = cns[i];
		refused(-ETIMEDOUT, "admin command 06h was not answered within 10000 ms");
	}
}

/* Each allocation, mapping and bus call fails once; nothing may be left of any of them. */
static void undoes_everything_when_any_call_fails(void)
{
	unsigned rounds = 0;

	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int err = attach();

		rounds = n;
		if (nsdk_unit_failed()) {
			CU_ASSERT(err < 0);
			CU_ASSERT_PTR_NULL(ctrlr);
			CU_ASSERT_EQUAL(nsdk_unit_log_count(), 1);
			nsdk_unit_log_clear();
			fake_check_clean();
		} else {
			NSDK_ASSERT_INT(err, 0);
			nsdk_nvme_detach(ctrlr);
			fake_check_clean();
		}
	}
	CU_ASSERT(rounds > 10);
}

static void finds_namespaces_without_the_list(void)
{
	/* An old version, and a new one that does not know the list after all. */
	fake.vs = 0x00010000;
	fake.namespaces = 5;
	NSDK_ASSERT_INT(attach(), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 4), 5);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 5), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static enum fake_action no_list(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
				uint32_t *dw0)
{
	if (qid != 0 || cmd->opcode != NSDK_NVME_ADMIN_IDENTIFY ||
	    cmd->cdw10 != NSDK_NVME_CNS_ACTIVE_NS_LIST)
		return FAKE_DO;
	*status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD) | NSDK_NVME_STATUS_DNR_BIT;
	return FAKE_REPLY;
}

static void counts_up_where_the_list_is_unknown(void)
{
	fake.hook = no_list;
	fake.namespaces = 2;
	NSDK_ASSERT_INT(attach(), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 0), 1);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 1), 2);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 2), 0);
	CU_ASSERT_EQUAL(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static void is_content_without_namespaces(void)
{
	fake.namespaces = 0;
	NSDK_ASSERT_INT(attach(), 0);
	CU_ASSERT_EQUAL(nsdk_nvme_ns_next(ctrlr, 0), 0);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static void asks_for_the_queues_it_is_told_to(void)
{
	struct nsdk_nvme_opts opts = { .opts_bytes = sizeof(opts), .io_queues = 2 };

	NSDK_ASSERT_INT(nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr), 0);
	/* It grants four; two were asked for. */
	CU_ASSERT_EQUAL(nsdk_nvme_ctrlr_max_io_queues(ctrlr), 2);
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(comes_up_and_down),
	NSDK_UNIT_TEST(never_blocks_in_a_step),
	NSDK_UNIT_TEST(gives_up_when_it_is_never_ready),
	NSDK_UNIT_TEST(waits_as_long_as_cap_to_says),
	NSDK_UNIT_TEST(waits_as_long_as_it_is_told),
	NSDK_UNIT_TEST(looks_before_it_gives_up),
	NSDK_UNIT_TEST(gives_up_when_it_cannot_be_disabled),
	NSDK_UNIT_TEST(disables_what_somebody_left_enabled),
	NSDK_UNIT_TEST(lets_what_is_being_enabled_settle),
	NSDK_UNIT_TEST(refuses_what_is_no_controller_for_us),
	NSDK_UNIT_TEST(notices_a_fatal_status_at_each_stage),
	NSDK_UNIT_TEST(notices_its_removal_at_each_stage),
	NSDK_UNIT_TEST(fails_when_any_command_fails),
	NSDK_UNIT_TEST(fails_when_any_command_is_not_answered),
	NSDK_UNIT_TEST(undoes_everything_when_any_call_fails),
	NSDK_UNIT_TEST(finds_namespaces_without_the_list),
	NSDK_UNIT_TEST(counts_up_where_the_list_is_unknown),
	NSDK_UNIT_TEST(is_content_without_namespaces),
	NSDK_UNIT_TEST(asks_for_the_queues_it_is_told_to),
};

NSDK_UNIT_MAIN("drivers/nvme/init", tests, .before = before, .after = after)
