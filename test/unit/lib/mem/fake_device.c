/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_device.h"

#include <errno.h>
#include <string.h>

#include <nsdk/log.h>

#include "nsdk_unit.h"

#include "lib/coherence/coherence_internal.h"

#define RANGES 256

/* Ranges written back, in order; those before `fenced` were fenced too. */
static struct {
	uintptr_t first, last;
} flushed[RANGES];
static unsigned flushed_count, fenced_count;

void fake_reset(void)
{
	flushed_count = 0;
	fenced_count = 0;
}

size_t fake_flushed_bytes(void)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < fenced_count; i++)
		bytes += flushed[i].last - flushed[i].first + 1;
	return bytes;
}

unsigned fake_count(const struct nsdk_ioas *ioas)
{
	return ioas->count;
}

static bool is_flushed(uintptr_t va, size_t bytes)
{
	for (unsigned i = 0; i < fenced_count; i++)
		if (flushed[i].first <= va && va + bytes - 1 <= flushed[i].last)
			return true;
	return false;
}

static void writeback(const void *va, size_t lines)
{
	CU_ASSERT_EQUAL((uintptr_t)va % NSDK_LINE_BYTES, 0);
	CU_ASSERT_NOT_EQUAL(lines, 0);
	CU_ASSERT_FATAL(flushed_count < RANGES);
	flushed[flushed_count].first = (uintptr_t)va;
	flushed[flushed_count].last = (uintptr_t)va + lines * NSDK_LINE_BYTES - 1;
	flushed_count++;
	/* What is flushed must be there: line operations fault like loads. */
	(void)*(volatile const char *)va;
	(void)*(volatile const char *)(flushed[flushed_count - 1].last);
}

static void fence(void)
{
	fenced_count = flushed_count;
}

static void wrong_fence(void)
{
	CU_FAIL("a fence for the CPU does not order anything before the device");
}

static const struct nsdk_line_ops ops = {
	.name = "fake",
	.writeback = writeback,
	.writeback_invalidate = writeback,
	.fence_for_device = fence,
	.fence_for_cpu = wrong_fence,
};

const struct nsdk_line_ops *nsdk_line_ops_cpu(void)
{
	return &ops;
}

const struct nsdk_line_ops *nsdk_coherence_line_ops(const struct nsdk_coherence *coh)
{
	return &ops;
}

bool nsdk_coherence_set_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow)
{
	if (coh->shadow && coh->shadow != shadow)
		return false;
	coh->shadow = shadow;
	coh->shadow_users++;
	return true;
}

/* A device that is not forced to be snooped is one that bypasses the caches, here. */
bool nsdk_coherence_active(const struct nsdk_coherence *coh)
{
	return coh->flush_fresh;
}

void nsdk_coherence_drop_shadow(struct nsdk_coherence *coh, const struct nsdk_shadow *shadow)
{
	if (coh->shadow == shadow && --coh->shadow_users == 0)
		coh->shadow = NULL;
}

bool fake_quiesce_fails;
unsigned fake_quiesces;

int nsdk_flusher_quiesce(void)
{
	fake_quiesces++;
	return fake_quiesce_fails ? nsdk_fail(-ETIMEDOUT, "coherence", "made to fail") : 0;
}

bool nsdk_coherence_flush_fresh(const struct nsdk_coherence *coh)
{
	return coh->flush_fresh;
}

struct nsdk_ioas *nsdk_device_ioas(struct nsdk_device *dev)
{
	return dev->ioas;
}

const char *nsdk_device_name(const struct nsdk_device *dev)
{
	return dev->name;
}

struct nsdk_iommu *nsdk_ioas_iommu(struct nsdk_ioas *ioas)
{
	return ioas->iommu;
}

static int add_mapping(struct nsdk_ioas *ioas, void *va, size_t bytes, nsdk_iova_t *iova)
{
	if (nsdk_unit_fails_now())
		return -ENOSPC;
	for (unsigned i = 0; i < ioas->count; i++)
		CU_ASSERT_FALSE((char *)va < (char *)ioas->mappings[i].va + ioas->mappings[i].bytes &&
				(char *)ioas->mappings[i].va < (char *)va + bytes);
	if (ioas->needs_flush)
		CU_ASSERT_TRUE(is_flushed((uintptr_t)va, bytes));
	CU_ASSERT_FATAL(ioas->count < FAKE_MAPPINGS);
	iova->addr = (uint64_t)(uintptr_t)va + ioas->iova_offset;
	ioas->mappings[ioas->count++] = (struct fake_mapping){ va, bytes, iova->addr };
	return 0;
}

int nsdk_ioas_map(struct nsdk_ioas *ioas, void *va, size_t bytes, unsigned prot, bool fixed,
		  nsdk_iova_t *iova)
{
	NSDK_ASSERT_INT(prot, NSDK_IOAS_RW);
	CU_ASSERT_FALSE(fixed);
	ioas->maps++;
	return add_mapping(ioas, va, bytes, iova);
}

int nsdk_ioas_copy(struct nsdk_ioas *dst, struct nsdk_ioas *src, nsdk_iova_t src_iova, void *va,
		   size_t bytes, unsigned prot, bool fixed, nsdk_iova_t *iova)
{
	bool found = false;

	for (unsigned i = 0; i < src->count; i++)
		found |= src->mappings[i].iova == src_iova.addr && src->mappings[i].bytes == bytes;
	CU_ASSERT_TRUE(found);
	CU_ASSERT_PTR_EQUAL(dst->iommu, src->iommu);
	NSDK_ASSERT_INT(prot, NSDK_IOAS_RW);
	CU_ASSERT_FALSE(fixed);
	dst->copies++;
	return add_mapping(dst, va, bytes, iova);
}

int nsdk_ioas_unmap(struct nsdk_ioas *ioas, nsdk_iova_t iova, size_t bytes)
{
	uint64_t looked_up;
	size_t left;

	ioas->unmaps++;
	for (unsigned i = 0; i < ioas->count; i++) {
		if (ioas->mappings[i].iova != iova.addr || ioas->mappings[i].bytes != bytes)
			continue;
		if (ioas->watch)
			NSDK_ASSERT_INT(nsdk_dma_map_lookup(ioas->watch, (uintptr_t)ioas->mappings[i].va,
							    &looked_up, &left),
					-EFAULT);
		/* The device could write here until now, so the pages must still be here. */
		*(volatile char *)ioas->mappings[i].va = 1;
		if (ioas->unmap_fails)
			return -EIO;
		ioas->mappings[i] = ioas->mappings[--ioas->count];
		return 0;
	}
	CU_FAIL("an unmap of what is not mapped");
	return -ENOENT;
}
