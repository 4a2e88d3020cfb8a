/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The snoop verdict: may DMA bypass the CPU caches in this address space?
 *
 * Two witnesses are heard. The kernel says for an address space whether every page table of it
 * enforces snooping (VFIO_DMA_CC_IOMMU); the hardware of each device's IOMMU says whether it could
 * (VT-d: Extended Capability Register, bit 7, Snoop Control). The kernel enforces wherever it can
 * and offers no way out, so the two must agree; where they do not, something is not as we think it
 * is, and a wrong `permitted` would only cost time while a wrong `enforced` would cost data. So any
 * contradiction and any unanswered question is `unknown`, which keeps DMA snooped and flushes all the
 * same where that matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ioas_internal.h"

const char *nsdk_snoop_state_name(enum nsdk_snoop_state state)
{
	static const char *const names[] = {
		[NSDK_SNOOP_UNKNOWN] = "unknown",
		[NSDK_SNOOP_ENFORCED] = "enforced",
		[NSDK_SNOOP_PERMITTED] = "permitted",
		[NSDK_SNOOP_REFUSED] = "refused",
	};

	if ((unsigned)state >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[state];
}

void nsdk_verdict_set(struct nsdk_snoop_verdict *out, enum nsdk_snoop_state state,
		      const char *reason, ...)
{
	va_list args;

	out->state = state;
	va_start(args, reason);
	vsnprintf(out->reason, sizeof(out->reason), reason, args);
	va_end(args);
}

void nsdk_hw_answers_add(struct nsdk_hw_answers *answers, int hw_enforces)
{
	if (hw_enforces == 1)
		answers->can++;
	else if (hw_enforces == 0)
		answers->cannot++;
	else if (hw_enforces == -ENODATA)
		answers->silent++;
	else
		answers->error = hw_enforces;
}

void nsdk_verdict_decide(int cc, const struct nsdk_hw_answers *hw, struct nsdk_snoop_verdict *out)
{
	if (cc != 0 && cc != 1)
		nsdk_verdict_set(out, NSDK_SNOOP_UNKNOWN,
				 "the kernel does not say whether snooping is enforced "
				 "(VFIO_DMA_CC_IOMMU: %s)",
				 cc < 0 ? strerror(-cc) : "an unexpected answer");
	else if (hw->error != 0)
		nsdk_verdict_set(out, NSDK_SNOOP_UNKNOWN,
				 "the IOMMU could not be asked what it can enforce (%s)",
				 strerror(-hw->error));
	else if (hw->can > 0 && hw->cannot > 0)
		nsdk_verdict_set(out, NSDK_SNOOP_UNKNOWN,
				 "devices behind IOMMUs that can and that cannot enforce snooping share "
				 "this address space; give each its own");
	else if (cc == 1 && hw->cannot > 0)
		nsdk_verdict_set(out, NSDK_SNOOP_UNKNOWN,
				 "contradiction: the kernel says that snooping is enforced, but the IOMMU "
				 "cannot (VT-d ECAP.SC is 0)");
	else if (cc == 0 && hw->can > 0)
		nsdk_verdict_set(out, NSDK_SNOOP_UNKNOWN,
				 "contradiction: the kernel says that snooping is not enforced, but the "
				 "IOMMU could (VT-d ECAP.SC is 1)");
	else if (cc == 1)
		nsdk_verdict_set(out, NSDK_SNOOP_ENFORCED,
				 "the IOMMU enforces snooping (VFIO_DMA_CC_IOMMU is 1%s)",
				 hw->can > 0 ? ", VT-d ECAP.SC is 1" : "");
	else
		nsdk_verdict_set(out, NSDK_SNOOP_PERMITTED,
				 "the IOMMU does not enforce snooping (VFIO_DMA_CC_IOMMU is 0%s)",
				 hw->cannot > 0 ? ", VT-d ECAP.SC is 0" : "");
}

void nsdk_verdict_decide_members(int cc, struct nsdk_ioas *ioas, struct nsdk_snoop_verdict *out)
{
	struct nsdk_hw_answers answers = {0};
	const struct nsdk_ioas_member *member;

	TAILQ_FOREACH(member, &ioas->members, link)
		nsdk_hw_answers_add(&answers, member->hw_enforces);
	nsdk_verdict_decide(cc, &answers, out);
}

int nsdk_hw_enforces_sysfs(const char *bdf)
{
	char path[128], text[32], *end;
	unsigned long long ecap;
	int64_t len;
	int fd;

	/* Documentation/ABI/testing/sysfs-class-iommu-intel-iommu; other vendors have nothing alike. */
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu/intel-iommu/ecap", bdf);
	fd = nsdk_sys.open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENODATA : -errno;
	len = nsdk_sys.read(fd, text, sizeof(text) - 1);
	nsdk_sys.close(fd);
	if (len <= 0)
		return len < 0 ? -EIO : -ENODATA;
	text[len] = '\0';
	ecap = strtoull(text, &end, 16);
	return end == text ? -EIO : nsdk_vtd_ecap_sc(ecap);
}
