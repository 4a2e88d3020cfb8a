/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_lines.h"

#include <string.h>

struct fake_lines fake_lines;
char fake_memory[FAKE_LINES * NSDK_LINE_BYTES] __attribute__((aligned(4096)));

void fake_lines_clear(void)
{
	memset(&fake_lines, 0, sizeof(fake_lines));
}

static void operate(unsigned *counts, const void *va, size_t lines)
{
	uintptr_t offset = (uintptr_t)va - (uintptr_t)fake_memory;

	fake_lines.calls++;
	fake_lines.after_fence++;
	if (offset % NSDK_LINE_BYTES != 0 || lines == 0 ||
	    offset / NSDK_LINE_BYTES + lines > FAKE_LINES) {
		fake_lines.bad_range = true;
		return;
	}
	for (size_t i = 0; i < lines; i++)
		counts[offset / NSDK_LINE_BYTES + i]++;
}

static void writeback(const void *va, size_t lines)
{
	operate(fake_lines.writebacks, va, lines);
}

static void writeback_invalidate(const void *va, size_t lines)
{
	if (fake_lines.acquires == 0)
		fake_lines.before_acquire++;
	operate(fake_lines.invalidates, va, lines);
}

static void copy(void *to, const void *from, size_t lines)
{
	operate(fake_lines.streamed, to, lines);
	memcpy(to, from, lines * NSDK_LINE_BYTES);
}

static void fill(void *to, int byte, size_t lines)
{
	operate(fake_lines.streamed, to, lines);
	memset(to, byte, lines * NSDK_LINE_BYTES);
}

static void acquire_for_cpu(void)
{
	fake_lines.acquires++;
}

static void fence_for_device(void)
{
	fake_lines.fences_for_device++;
	fake_lines.after_fence = 0;
}

static void fence_for_cpu(void)
{
	fake_lines.fences_for_cpu++;
	fake_lines.after_fence = 0;
}

const struct nsdk_line_ops fake_line_ops = {
	.name = "fake",
	.writeback = writeback,
	.writeback_invalidate = writeback_invalidate,
	.acquire_for_cpu = acquire_for_cpu,
	.fence_for_device = fence_for_device,
	.fence_for_cpu = fence_for_cpu,
	.copy = copy,
	.fill = fill,
};
