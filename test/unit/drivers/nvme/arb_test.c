/* SPDX-License-Identifier: BSD-3-Clause */
/* Weighted round robin: what the controller is told of it, and when. */
#include "fake_nvme.h"

#include <errno.h>

#include "drivers/nvme/nvme_internal.h"

#define FEATURE(burst, low, medium, high)                                                          \
	((uint32_t)(burst) | ((uint32_t)(low) - 1) << 8 | ((uint32_t)(medium) - 1) << 16 |         \
	 ((uint32_t)(high) - 1) << 24)

static struct nsdk_nvme_ctrlr *ctrlr;
static struct nsdk_nvme_opts opts;

static void before(void)
{
	nsdk_unit_log_start();
	fake_reset();
	fake.cap |= NSDK_NVME_CAP_AMS_WRR;
	fake.id.rab = 3;
	opts = (struct nsdk_nvme_opts){ .opts_bytes = sizeof(opts), .arbitration = NSDK_NVME_WRR };
}

static void after(void)
{
	nsdk_unit_log_stop();
}

static int attach(void)
{
	nsdk_unit_log_clear();
	return nsdk_nvme_attach(fake_device(), fake_mem(), &opts, &ctrlr);
}

static void detach(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_detach(ctrlr), 0);
	fake_check_clean();
}

static uint32_t ams(void)
{
	return fake.cc & 7u << NSDK_NVME_CC_AMS_SHIFT;
}

static int make(enum nsdk_nvme_priority priority, struct nsdk_nvme_qpair **out)
{
	struct nsdk_nvme_qpair_opts qopts = { .opts_bytes = sizeof(qopts), .entries = 8,
					      .priority = priority };

	nsdk_unit_log_clear();
	return nsdk_nvme_qpair_create(ctrlr, &qopts, out);
}

static void nothing_is_said_unless_it_is_wanted(void)
{
	struct nsdk_nvme_arbitration arb = { .wrr = true, .burst = 1, .high_weight = 1 };

	opts.arbitration = NSDK_NVME_ROUND_ROBIN;
	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	NSDK_ASSERT_INT(ams(), 0);
	NSDK_ASSERT_INT(fake.arbitrations, 0);
	CU_ASSERT(!nsdk_nvme_ctrlr_arbitration(ctrlr, &arb));
	CU_ASSERT(!arb.wrr);
	NSDK_ASSERT_INT(arb.burst + arb.high_weight + arb.medium_weight + arb.low_weight, 0);
	detach();
}

static void a_burst_alone_goes_with_round_robin(void)
{
	struct nsdk_nvme_arbitration arb;

	opts.arbitration = NSDK_NVME_ROUND_ROBIN;
	opts.arbitration_burst = 16;
	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	NSDK_ASSERT_INT(ams(), 0);
	NSDK_ASSERT_INT(fake.arbitrations, 1);
	NSDK_ASSERT_INT(fake.arbitration, 4);
	CU_ASSERT(nsdk_nvme_ctrlr_arbitration(ctrlr, &arb));
	CU_ASSERT(!arb.wrr);
	NSDK_ASSERT_INT(arb.burst, 16);
	NSDK_ASSERT_INT(arb.high_weight + arb.medium_weight + arb.low_weight, 0);
	detach();
}

static void weights_are_said(void)
{
	static const struct {
		unsigned burst, high, medium, low;
		uint8_t rab;
		uint32_t feature;
		unsigned burst_in_force;
	} cases[] = {
		/* What the controller recommends; a burst that the field cannot say is none. */
		{ 0, 0, 0, 0, 3, FEATURE(3, 4, 8, 16), 8 },
		{ 0, 0, 0, 0, 6, FEATURE(6, 4, 8, 16), 64 },
		{ 0, 0, 0, 0, 12, FEATURE(7, 4, 8, 16), NSDK_NVME_NO_BURST_LIMIT },
		{ 1, 1, 1, 1, 3, FEATURE(0, 1, 1, 1), 1 },
		{ 64, 256, 255, 254, 3, FEATURE(6, 254, 255, 256), 64 },
		{ NSDK_NVME_NO_BURST_LIMIT, 3, 2, 1, 3, FEATURE(7, 1, 2, 3), NSDK_NVME_NO_BURST_LIMIT },
	};
	struct nsdk_nvme_arbitration arb;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		before();
		opts.arbitration_burst = cases[i].burst;
		opts.high_weight = cases[i].high;
		opts.medium_weight = cases[i].medium;
		opts.low_weight = cases[i].low;
		fake.id.rab = cases[i].rab;
		CU_ASSERT_EQUAL_FATAL(attach(), 0);
		NSDK_ASSERT_INT(ams(), NSDK_NVME_CC_AMS_WRR);
		NSDK_ASSERT_INT(fake.arbitrations, 1);
		CU_ASSERT_EQUAL(fake.arbitration, cases[i].feature);
		CU_ASSERT(nsdk_nvme_ctrlr_arbitration(ctrlr, &arb));
		CU_ASSERT(arb.wrr);
		CU_ASSERT_EQUAL(arb.burst, cases[i].burst_in_force);
		NSDK_ASSERT_INT(arb.high_weight, cases[i].high ? cases[i].high : 16);
		NSDK_ASSERT_INT(arb.medium_weight, cases[i].medium ? cases[i].medium : 8);
		NSDK_ASSERT_INT(arb.low_weight, cases[i].low ? cases[i].low : 4);
		detach();
		after();
	}
	nsdk_unit_log_start();
}

static void refused(const char *sentence)
{
	NSDK_ASSERT_INT(attach(), -EINVAL);
	CU_ASSERT(nsdk_unit_log_has(sentence));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
	fake_check_clean();
	before();
}

static void what_makes_no_sense_is_refused(void)
{
	opts.arbitration = (enum nsdk_nvme_arbitration_kind)3;
	refused("arbitration is 3, which says something unknown");
	opts.arbitration_burst = 3;
	refused("an arbitration burst of 3 commands was asked for");
	opts.arbitration_burst = 128;
	refused("an arbitration burst of 128 commands was asked for");
	opts.high_weight = 257;
	refused("weights of 257, 0 and 0 were asked for; 256 is the most");
	opts.medium_weight = 300;
	refused("weights of 0, 300 and 0 were asked for; 256 is the most");
	opts.low_weight = 257;
	refused("weights of 0, 0 and 257 were asked for; 256 is the most");
	for (unsigned i = 0; i < 3; i++) {
		opts.arbitration = NSDK_NVME_ROUND_ROBIN;
		opts.high_weight = i == 0;
		opts.medium_weight = i == 1;
		opts.low_weight = i == 2;
		refused("weights were given without weighted round robin");
	}
}

static void a_controller_without_it(void)
{
	struct nsdk_nvme_arbitration arb;

	fake.cap &= ~NSDK_NVME_CAP_AMS_WRR;
	NSDK_ASSERT_INT(attach(), -EOPNOTSUPP);
	CU_ASSERT(nsdk_unit_log_has("the controller does not offer weighted round robin (CAP.AMS)"));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
	fake_check_clean();
	/* Who can do without does. */
	opts.arbitration = NSDK_NVME_WRR_IF_OFFERED;
	opts.high_weight = 9;
	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(ams(), 0);
	NSDK_ASSERT_INT(fake.arbitrations, 0);
	CU_ASSERT(!nsdk_nvme_ctrlr_arbitration(ctrlr, &arb));
	CU_ASSERT(!arb.wrr);
	detach();
	before();
	opts.arbitration = NSDK_NVME_WRR_IF_OFFERED;
	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	NSDK_ASSERT_INT(ams(), NSDK_NVME_CC_AMS_WRR);
	CU_ASSERT(nsdk_nvme_ctrlr_arbitration(ctrlr, &arb));
	CU_ASSERT(arb.wrr);
	detach();
}

static enum fake_action refuse_the_feature(const struct nsdk_nvme_cmd *cmd, uint16_t qid, uint16_t *status,
					   uint32_t *dw0)
{
	if (qid != 0 || cmd->opcode != NSDK_NVME_ADMIN_SET_FEATURES ||
	    (cmd->cdw10 & 0xff) != NSDK_NVME_FEAT_ARBITRATION)
		return FAKE_DO;
	*status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD);
	return FAKE_REPLY;
}

static void a_controller_that_does_not_take_the_weights(void)
{
	fake.hook = refuse_the_feature;
	NSDK_ASSERT_INT(attach(), -EIO);
	CU_ASSERT(nsdk_unit_log_has("Set Features, Arbitration failed: Generic: Invalid Field"));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
	fake_check_clean();
}

/* What QPRIO says of each (Base 5.5). */
static void queue_pairs_have_priorities(void)
{
	static const struct {
		enum nsdk_nvme_priority asked, is;
		unsigned qprio;
	} cases[] = {
		{ NSDK_NVME_PRIORITY_URGENT, NSDK_NVME_PRIORITY_URGENT, 0 },
		{ NSDK_NVME_PRIORITY_HIGH, NSDK_NVME_PRIORITY_HIGH, 1 },
		{ NSDK_NVME_PRIORITY_MEDIUM, NSDK_NVME_PRIORITY_MEDIUM, 2 },
		{ NSDK_NVME_PRIORITY_LOW, NSDK_NVME_PRIORITY_LOW, 3 },
		{ NSDK_NVME_PRIORITY_DEFAULT, NSDK_NVME_PRIORITY_MEDIUM, 2 },
	};
	struct nsdk_nvme_qpair *qp;

	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_EQUAL_FATAL(make(cases[i].asked, &qp), 0);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_priority(qp), cases[i].is);
		NSDK_ASSERT_INT(fake.queues[1].priority, cases[i].qprio);
		NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	}
	NSDK_ASSERT_INT(make((enum nsdk_nvme_priority)5, &qp), -EINVAL);
	CU_ASSERT(nsdk_unit_log_has("a priority of 5 was asked for, which is none"));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
	CU_ASSERT_PTR_NULL(qp);
	detach();
}

static void without_it_there_are_no_priorities(void)
{
	struct nsdk_nvme_qpair *qp;

	opts.arbitration = NSDK_NVME_ROUND_ROBIN;
	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	for (unsigned priority = 1; priority < 5; priority++) {
		NSDK_ASSERT_INT(make((enum nsdk_nvme_priority)priority, &qp), -EOPNOTSUPP);
		CU_ASSERT(nsdk_unit_log_has("a queue pair can have a priority only where the controller was "
					    "attached with weighted round robin"));
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
		CU_ASSERT_PTR_NULL(qp);
	}
	CU_ASSERT_EQUAL_FATAL(make(NSDK_NVME_PRIORITY_DEFAULT, &qp), 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_priority(qp), NSDK_NVME_PRIORITY_DEFAULT);
	NSDK_ASSERT_INT(fake.last[0].cdw11 & 6, 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(qp), 0);
	detach();
}

static void all_of_it_is_said_again_after_a_reset(void)
{
	struct nsdk_nvme_qpair *urgent, *low;
	unsigned i = 0;

	opts.low_weight = 5;
	CU_ASSERT_EQUAL_FATAL(attach(), 0);
	CU_ASSERT_EQUAL_FATAL(make(NSDK_NVME_PRIORITY_URGENT, &urgent), 0);
	CU_ASSERT_EQUAL_FATAL(make(NSDK_NVME_PRIORITY_LOW, &low), 0);
	fake.cfs = true;
	fake.arbitration = 0;
	do {
		fake.now_ns += 50 * NVME_NS_PER_MS;
		CU_ASSERT_FATAL(nsdk_nvme_ctrlr_poll(ctrlr) >= 0);
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(urgent, 0) >= 0);
		CU_ASSERT_FATAL(nsdk_nvme_qpair_poll(low, 0) >= 0);
		/* One that does not come by in time gets its queues behind the reset. */
	} while (++i < 5000 && (fake.enables < 2 || nsdk_nvme_ctrlr_recovering(ctrlr) ||
				!fake.queues[1].sq_exists || !fake.queues[2].sq_exists));
	CU_ASSERT(!nsdk_nvme_ctrlr_recovering(ctrlr));
	NSDK_ASSERT_INT(fake.enables, 2);
	NSDK_ASSERT_INT(ams(), NSDK_NVME_CC_AMS_WRR);
	NSDK_ASSERT_INT(fake.arbitrations, 2);
	CU_ASSERT_EQUAL(fake.arbitration, FEATURE(3, 5, 8, 16));
	CU_ASSERT(fake.queues[1].sq_exists && fake.queues[2].sq_exists);
	NSDK_ASSERT_INT(fake.queues[1].priority, 0);
	NSDK_ASSERT_INT(fake.queues[2].priority, 3);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(low), 0);
	NSDK_ASSERT_INT(nsdk_nvme_qpair_destroy(urgent), 0);
	detach();
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nothing_is_said_unless_it_is_wanted),
	NSDK_UNIT_TEST(a_burst_alone_goes_with_round_robin),
	NSDK_UNIT_TEST(weights_are_said),
	NSDK_UNIT_TEST(what_makes_no_sense_is_refused),
	NSDK_UNIT_TEST(a_controller_without_it),
	NSDK_UNIT_TEST(a_controller_that_does_not_take_the_weights),
	NSDK_UNIT_TEST(queue_pairs_have_priorities),
	NSDK_UNIT_TEST(without_it_there_are_no_priorities),
	NSDK_UNIT_TEST(all_of_it_is_said_again_after_a_reset),
};

NSDK_UNIT_MAIN("drivers/nvme/arb", tests, .before = before, .after = after)
