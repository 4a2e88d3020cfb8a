/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include "lib/iommu/ioas_internal.h"

static struct nsdk_snoop_verdict out;

static enum nsdk_snoop_state decide(int cc, unsigned can, unsigned cannot, unsigned silent, int error)
{
	struct nsdk_hw_answers hw = {.can = can, .cannot = cannot, .silent = silent, .error = error};

	memset(&out, 'x', sizeof(out));
	nsdk_verdict_decide(cc, &hw, &out);
	CU_ASSERT_PTR_NOT_NULL(memchr(out.reason, '\0', sizeof(out.reason) - 1));
	return out.state;
}

static void witnesses_that_agree_are_believed(void)
{
	NSDK_ASSERT_INT(decide(1, 1, 0, 0, 0), NSDK_SNOOP_ENFORCED);
	NSDK_ASSERT_INT(decide(0, 0, 1, 0, 0), NSDK_SNOOP_PERMITTED);
	NSDK_ASSERT_INT(decide(1, 2, 0, 1, 0), NSDK_SNOOP_ENFORCED);
	NSDK_ASSERT_INT(decide(0, 0, 2, 1, 0), NSDK_SNOOP_PERMITTED);
}

static void kernel_alone_is_believed(void)
{
	NSDK_ASSERT_INT(decide(1, 0, 0, 1, 0), NSDK_SNOOP_ENFORCED);
	NSDK_ASSERT_TEXT(out.reason, "the IOMMU enforces snooping (VFIO_DMA_CC_IOMMU is 1)");
	NSDK_ASSERT_INT(decide(0, 0, 0, 1, 0), NSDK_SNOOP_PERMITTED);
	NSDK_ASSERT_TEXT(out.reason, "the IOMMU does not enforce snooping (VFIO_DMA_CC_IOMMU is 0)");
}

static void every_contradiction_is_unknown(void)
{
	NSDK_ASSERT_INT(decide(1, 0, 1, 0, 0), NSDK_SNOOP_UNKNOWN);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.reason, "contradiction"));
	NSDK_ASSERT_INT(decide(0, 1, 0, 0, 0), NSDK_SNOOP_UNKNOWN);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.reason, "contradiction"));
	NSDK_ASSERT_INT(decide(0, 1, 1, 0, 0), NSDK_SNOOP_UNKNOWN);
	NSDK_ASSERT_INT(decide(1, 1, 1, 0, 0), NSDK_SNOOP_UNKNOWN);
}

static void every_open_question_is_unknown(void)
{
	NSDK_ASSERT_INT(decide(-ENOTTY, 1, 0, 0, 0), NSDK_SNOOP_UNKNOWN);
	NSDK_ASSERT_INT(decide(-ENOTTY, 0, 1, 0, 0), NSDK_SNOOP_UNKNOWN);
	NSDK_ASSERT_INT(decide(2, 0, 0, 1, 0), NSDK_SNOOP_UNKNOWN);
	NSDK_ASSERT_INT(decide(0, 0, 1, 0, -EIO), NSDK_SNOOP_UNKNOWN);
	NSDK_ASSERT_INT(decide(1, 1, 0, 0, -EIO), NSDK_SNOOP_UNKNOWN);
}

static void answers_are_added_up(void)
{
	struct nsdk_hw_answers hw = {0};

	nsdk_hw_answers_add(&hw, 1);
	nsdk_hw_answers_add(&hw, 0);
	nsdk_hw_answers_add(&hw, 0);
	nsdk_hw_answers_add(&hw, -ENODATA);
	NSDK_ASSERT_INT(hw.error, 0);
	nsdk_hw_answers_add(&hw, -EPERM);
	NSDK_ASSERT_INT(hw.can, 1);
	NSDK_ASSERT_INT(hw.cannot, 2);
	NSDK_ASSERT_INT(hw.silent, 1);
	NSDK_ASSERT_INT(hw.error, -EPERM);
}

static void snoop_control_is_bit_7(void)
{
	/* As read from the lab's VT-d, snoop-control off and on. */
	NSDK_ASSERT_INT(nsdk_vtd_ecap_sc(0xf00f4a), 0);
	NSDK_ASSERT_INT(nsdk_vtd_ecap_sc(0xf00fca), 1);
}

static void states_have_names(void)
{
	NSDK_ASSERT_TEXT(nsdk_snoop_state_name(NSDK_SNOOP_UNKNOWN), "unknown");
	NSDK_ASSERT_TEXT(nsdk_snoop_state_name(NSDK_SNOOP_ENFORCED), "enforced");
	NSDK_ASSERT_TEXT(nsdk_snoop_state_name(NSDK_SNOOP_PERMITTED), "permitted");
	NSDK_ASSERT_TEXT(nsdk_snoop_state_name(NSDK_SNOOP_REFUSED), "refused");
	NSDK_ASSERT_TEXT(nsdk_snoop_state_name((enum nsdk_snoop_state)99), "unknown");
}

static void long_reasons_are_cut(void)
{
	char text[400];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	nsdk_verdict_set(&out, NSDK_SNOOP_ENFORCED, "%s", text);
	NSDK_ASSERT_INT(strlen(out.reason), sizeof(out.reason) - 1);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(witnesses_that_agree_are_believed),
	NSDK_UNIT_TEST(kernel_alone_is_believed),
	NSDK_UNIT_TEST(every_contradiction_is_unknown),
	NSDK_UNIT_TEST(every_open_question_is_unknown),
	NSDK_UNIT_TEST(answers_are_added_up),
	NSDK_UNIT_TEST(snoop_control_is_bit_7),
	NSDK_UNIT_TEST(states_have_names),
	NSDK_UNIT_TEST(long_reasons_are_cut),
};

NSDK_UNIT_MAIN("lib/iommu/verdict", tests)
