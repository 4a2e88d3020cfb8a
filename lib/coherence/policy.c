/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <nsdk/coherence.h>

static const char *const names[] = {
	[NSDK_POLICY_COHERENT] = "coherent",
	[NSDK_POLICY_AUTO] = "auto",
	[NSDK_POLICY_NOSNOOP] = "nosnoop",
};
#define NAMES (sizeof(names) / sizeof(names[0]))

const char *nsdk_policy_name(enum nsdk_policy policy)
{
	return (size_t)policy < NAMES ? names[policy] : "invalid";
}

int nsdk_policy_parse(const char *text, enum nsdk_policy *out)
{
	for (size_t i = 0; text && i < NAMES; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (enum nsdk_policy)i;
			return 0;
		}
	}
	return -EINVAL;
}
