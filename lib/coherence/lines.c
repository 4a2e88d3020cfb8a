/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of the architecture's line operations this CPU gets. */
#include <stdatomic.h>

#include "lines.h"

static const struct nsdk_lines_kind *best(void)
{
	/* Every thread that gets here first finds the same, so a race does no harm. */
	static _Atomic(const struct nsdk_lines_kind *) found;
	const struct nsdk_lines_kind *kind = atomic_load_explicit(&found, memory_order_relaxed);

	if (kind)
		return kind;
	kind = &nsdk_lines_kinds[nsdk_lines_kind_count - 1];
	for (unsigned i = 0; i < nsdk_lines_kind_count; i++) {
		if (nsdk_lines_kinds[i].usable()) {
			kind = &nsdk_lines_kinds[i];
			break;
		}
	}
	atomic_store_explicit(&found, kind, memory_order_relaxed);
	return kind;
}

const struct nsdk_line_ops *nsdk_line_ops_cpu(void)
{
	return &best()->ops;
}

void nsdk_line_info(struct nsdk_line_info *out)
{
	const struct nsdk_lines_kind *kind = best();

	out->writeback = kind->writeback;
	out->invalidate = kind->invalidate;
	out->line_bytes = nsdk_lines_granule_bytes();
}
