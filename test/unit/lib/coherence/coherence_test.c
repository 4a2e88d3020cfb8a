/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake_device.h"
#include "fake_lines.h"
#include "lib/coherence/coherence_internal.h"

static struct fake_device fake;
static struct nsdk_coherence *coh;

static void before(void)
{
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
}

/* What the Enable No Snoop bit of a device is like. */
enum bit_kind { SET, CLEAR, HARDWIRED_0, HARDWIRED_1, PCI, PCIX, BIT_KINDS };

static void make(enum bit_kind kind, enum nsdk_snoop_state verdict)
{
	fake_device_init(&fake, verdict, kind == SET || kind == HARDWIRED_1,
			 kind == SET || kind == CLEAR);
	if (kind == PCI)
		fake.caps = FAKE_PCI;
	if (kind == PCIX)
		fake.caps = FAKE_PCIX;
}

/*
 * For each policy and verdict, and each kind of bit in the order above:
 *	.  coherent, the bit left alone      c  coherent, the device cannot use no-snoop
 *	n  no-snoop, the bit is set          s  no-snoop, said that the bit is not set
 *	x  refused                           e  -EIO: the bit cannot be cleared
 */
static const struct {
	enum nsdk_policy policy;
	enum nsdk_snoop_state verdict;
	const char *expected;
} decisions[] = {
	{ NSDK_POLICY_COHERENT, NSDK_SNOOP_ENFORCED, "......" },
	{ NSDK_POLICY_COHERENT, NSDK_SNOOP_PERMITTED, "cccece" },
	{ NSDK_POLICY_COHERENT, NSDK_SNOOP_UNKNOWN, "cccece" },
	{ NSDK_POLICY_COHERENT, NSDK_SNOOP_REFUSED, "xxxxxx" },
	{ NSDK_POLICY_AUTO, NSDK_SNOOP_ENFORCED, "......" },
	{ NSDK_POLICY_AUTO, NSDK_SNOOP_PERMITTED, "nncnce" },
	{ NSDK_POLICY_AUTO, NSDK_SNOOP_UNKNOWN, "cccece" },
	{ NSDK_POLICY_AUTO, NSDK_SNOOP_REFUSED, "xxxxxx" },
	{ NSDK_POLICY_NOSNOOP, NSDK_SNOOP_ENFORCED, "xxxxxx" },
	{ NSDK_POLICY_NOSNOOP, NSDK_SNOOP_PERMITTED, "nnsnss" },
	{ NSDK_POLICY_NOSNOOP, NSDK_SNOOP_UNKNOWN, "xxxxxx" },
	{ NSDK_POLICY_NOSNOOP, NSDK_SNOOP_REFUSED, "xxxxxx" },
};

static char outcome(int err, uint16_t found)
{
	if (err == -EIO)
		return 'e';
	if (err == -EOPNOTSUPP)
		return 'x';
	if (err)
		return '?';
	if (nsdk_coherence_active(coh))
		return fake.caps == FAKE_PCIE && fake_device_bit(&fake) ? 'n' : 's';
	if (nsdk_coherence_flush_fresh(coh))
		return fake.caps != FAKE_PCIE || !fake_device_bit(&fake) ? 'c' : '?';
	return fake.devctl == found && fake.writes == 0 ? '.' : '?';
}

static void decides_by_policy_verdict_and_bit(void)
{
	for (size_t i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
		char actual[BIT_KINDS + 1] = "";

		for (int kind = 0; kind < BIT_KINDS; kind++) {
			uint16_t found;
			int err;

			make((enum bit_kind)kind, decisions[i].verdict);
			found = fake.devctl;
			nsdk_unit_log_clear();
			coh = NULL;
			err = nsdk_coherence_create(&fake.dev, decisions[i].policy, &coh);
			actual[kind] = outcome(err, found);
			if (err) {
				CU_ASSERT_PTR_NULL(coh);
				NSDK_ASSERT_ONE_SENTENCE(err == -EIO ? "cannot be cleared" : "refused");
			} else {
				NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
				NSDK_ASSERT_INT(nsdk_coherence_effective(coh),
						nsdk_coherence_active(coh) ? NSDK_POLICY_NOSNOOP :
									     NSDK_POLICY_COHERENT);
			}
			nsdk_coherence_destroy(coh);
			NSDK_ASSERT_INT(fake.devctl, found);
			CU_ASSERT_FALSE(fake.bad_access);
		}
		NSDK_ASSERT_TEXT(actual, decisions[i].expected);
		if (strcmp(actual, decisions[i].expected) != 0)
			printf("# policy %s, verdict %s\n", nsdk_policy_name(decisions[i].policy),
			       nsdk_snoop_state_name(decisions[i].verdict));
	}
}

static void fallback_and_refusal_give_the_reason(void)
{
	make(SET, NSDK_SNOOP_ENFORCED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_AUTO, &coh), 0);
	CU_ASSERT(nsdk_unit_log_has("coherent, since the test says so"));
	nsdk_coherence_destroy(coh);

	CU_ASSERT_EQUAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), -EOPNOTSUPP);
	NSDK_ASSERT_ONE_SENTENCE("is refused, since the test says so;");

	make(SET, NSDK_SNOOP_UNKNOWN);
	CU_ASSERT_EQUAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), -EOPNOTSUPP);
	NSDK_ASSERT_ONE_SENTENCE("unknown whether the IOMMU enforces snooping (the test says so)");

	make(HARDWIRED_0, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_AUTO, &coh), 0);
	CU_ASSERT(nsdk_unit_log_has("its Enable No Snoop bit stays 0"));
	nsdk_coherence_destroy(coh);
	nsdk_unit_log_clear();

	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT(nsdk_unit_log_has("synced as if"));
	nsdk_coherence_destroy(coh);
}

static void no_such_policy(void)
{
	make(SET, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL(nsdk_coherence_create(&fake.dev, (enum nsdk_policy)3, &coh), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("no policy number 3");
}

static void a_reset_is_followed_by_the_same_decision(void)
{
	make(SET, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_COHERENT, &coh), 0);
	CU_ASSERT_FALSE(fake_device_bit(&fake));
	fake.devctl |= FAKE_NO_SNOOP;
	NSDK_ASSERT_INT(nsdk_coherence_after_reset(coh), 0);
	CU_ASSERT_FALSE(fake_device_bit(&fake));
	fake.devctl |= FAKE_NO_SNOOP;
	fake.writable = 0;
	NSDK_ASSERT_INT(nsdk_coherence_after_reset(coh), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("cannot be cleared");
	nsdk_coherence_destroy(coh);

	make(CLEAR, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	fake.devctl &= ~FAKE_NO_SNOOP;
	NSDK_ASSERT_INT(nsdk_coherence_after_reset(coh), 0);
	CU_ASSERT(fake_device_bit(&fake));
	nsdk_coherence_destroy(coh);
	CU_ASSERT_FALSE(fake_device_bit(&fake));

	make(SET, NSDK_SNOOP_ENFORCED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_COHERENT, &coh), 0);
	NSDK_ASSERT_INT(nsdk_coherence_after_reset(coh), 0);
	NSDK_ASSERT_INT(fake.writes, 0);
	nsdk_coherence_destroy(coh);
}

static void every_failure_is_undone(void)
{
	for (unsigned p = 0; p < 2; p++) {
		enum nsdk_policy policy = p ? NSDK_POLICY_NOSNOOP : NSDK_POLICY_COHERENT;

		for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
			int err;

			make(p ? CLEAR : SET, NSDK_SNOOP_PERMITTED);
			nsdk_unit_log_clear();
			err = nsdk_coherence_create(&fake.dev, policy, &coh);
			if (!nsdk_unit_failed()) {
				NSDK_ASSERT_INT(err, 0);
				nsdk_unit_fail_none();
				nsdk_coherence_destroy(coh);
				break;
			}
			CU_ASSERT(err == -EIO || err == -ENOMEM);
			CU_ASSERT_PTR_NULL(coh);
			NSDK_ASSERT_INT(fake_device_bit(&fake), !p);
			NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
		}
	}
}

static void a_device_that_vanishes_is_let_go(void)
{
	make(SET, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_COHERENT, &coh), 0);
	fake.gone = true;
	fake.writes = 0;
	nsdk_coherence_destroy(coh);
	NSDK_ASSERT_INT(fake.writes, 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	nsdk_coherence_destroy(NULL);
}

static void line_operations_are_the_devices_own_or_the_cpus(void)
{
	make(SET, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT_PTR_EQUAL(nsdk_coherence_line_ops(coh), nsdk_line_ops_cpu());
	nsdk_coherence_destroy(coh);
	fake.dev.line_ops = &fake_line_ops;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT_PTR_EQUAL(nsdk_coherence_line_ops(coh), &fake_line_ops);
	nsdk_coherence_destroy(coh);
}

static void stats_are_the_sum_of_batches_gone_and_there(void)
{
	struct nsdk_flush_batch *gone, *there;
	struct nsdk_coherence_stats stats;

	make(SET, NSDK_SNOOP_PERMITTED);
	fake.dev.line_ops = &fake_line_ops;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, 4, &gone), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, 4, &there), 0);
	nsdk_flush_batch_for_device(gone, fake_memory, 128, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(gone);
	nsdk_flush_batch_for_device(there, fake_memory, 64, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_for_device(there, fake_memory + 256, 256, NSDK_DMA_FROM_DEVICE);
	nsdk_flush_batch_for_cpu(there, fake_memory, 100, NSDK_DMA_TO_DEVICE);
	nsdk_flush_batch_commit(there);
	nsdk_flush_batch_commit(there);
	nsdk_flush_batch_destroy(gone);
	nsdk_sync_for_device(coh, fake_memory, 1, NSDK_DMA_TO_DEVICE);
	nsdk_sync_for_cpu(coh, fake_memory, 65, NSDK_DMA_FROM_DEVICE);
	nsdk_coherence_stats(coh, &stats);
	NSDK_ASSERT_INT(stats.batches, 4);
	NSDK_ASSERT_INT(stats.lines_written_back, 2 + 1 + 1);
	NSDK_ASSERT_INT(stats.lines_invalidated, 4 + 2);
	NSDK_ASSERT_INT(stats.bytes_skipped_clean, 100);
	NSDK_ASSERT_INT(stats.wbinvd, 0);
	nsdk_flush_batch_destroy(there);
	nsdk_coherence_destroy(coh);
}

static void a_batch_that_outlives_the_engine_is_said_and_does_no_harm(void)
{
	struct nsdk_flush_batch *batch;

	make(SET, NSDK_SNOOP_PERMITTED);
	fake.dev.line_ops = &fake_line_ops;
	CU_ASSERT_EQUAL_FATAL(nsdk_coherence_create(&fake.dev, NSDK_POLICY_NOSNOOP, &coh), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_flush_batch_create(coh, 4, &batch), 0);
	nsdk_coherence_destroy(coh);
	NSDK_ASSERT_ONE_SENTENCE("destroy every batch first");
	nsdk_flush_batch_destroy(batch);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(decides_by_policy_verdict_and_bit),
	NSDK_UNIT_TEST(fallback_and_refusal_give_the_reason),
	NSDK_UNIT_TEST(no_such_policy),
	NSDK_UNIT_TEST(a_reset_is_followed_by_the_same_decision),
	NSDK_UNIT_TEST(every_failure_is_undone),
	NSDK_UNIT_TEST(a_device_that_vanishes_is_let_go),
	NSDK_UNIT_TEST(line_operations_are_the_devices_own_or_the_cpus),
	NSDK_UNIT_TEST(stats_are_the_sum_of_batches_gone_and_there),
	NSDK_UNIT_TEST(a_batch_that_outlives_the_engine_is_said_and_does_no_harm),
};

NSDK_UNIT_MAIN("lib/coherence/coherence", tests, .before = before, .after = after)
