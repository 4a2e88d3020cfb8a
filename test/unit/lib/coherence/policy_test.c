/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>

#include <nsdk/coherence.h>

static void names_and_words_agree(void)
{
	static const struct {
		enum nsdk_policy policy;
		const char *word;
	} pairs[] = {
		{ NSDK_POLICY_COHERENT, "coherent" },
		{ NSDK_POLICY_AUTO, "auto" },
		{ NSDK_POLICY_NOSNOOP, "nosnoop" },
	};
	enum nsdk_policy policy;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		NSDK_ASSERT_TEXT(nsdk_policy_name(pairs[i].policy), pairs[i].word);
		policy = (enum nsdk_policy)99;
		NSDK_ASSERT_INT(nsdk_policy_parse(pairs[i].word, &policy), 0);
		NSDK_ASSERT_INT(policy, pairs[i].policy);
	}
}

static void other_words_are_refused(void)
{
	static const char *const words[] = { "", "Coherent", "nosnoop ", "no-snoop", "aut", "auto,", NULL };
	enum nsdk_policy policy = NSDK_POLICY_AUTO;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		NSDK_ASSERT_INT(nsdk_policy_parse(words[i], &policy), -EINVAL);
	NSDK_ASSERT_INT(policy, NSDK_POLICY_AUTO);
}

static void a_number_that_is_no_policy_has_a_name_all_the_same(void)
{
	NSDK_ASSERT_TEXT(nsdk_policy_name((enum nsdk_policy)3), "invalid");
	NSDK_ASSERT_TEXT(nsdk_policy_name((enum nsdk_policy)-1), "invalid");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(names_and_words_agree),
	NSDK_UNIT_TEST(other_words_are_refused),
	NSDK_UNIT_TEST(a_number_that_is_no_policy_has_a_name_all_the_same),
};

NSDK_UNIT_MAIN("lib/coherence/policy", tests)
