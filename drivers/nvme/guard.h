/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to drivers/nvme: the checksums of protection information. @p pif: enum nsdk_nvme_pif.
 */
#ifndef NSDK_NVME_GUARD_H
#define NSDK_NVME_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include <nsdk/nvme_pi.h>

uint64_t nsdk_nvme_guard_begin(unsigned pif);
uint64_t nsdk_nvme_guard_add(unsigned pif, uint64_t guard, const void *data, size_t bytes);
uint64_t nsdk_nvme_guard_end(unsigned pif, uint64_t guard);

#define NVME_PRCHK_FLAGS \
	(NSDK_NVME_RW_PRCHK_GUARD | NSDK_NVME_RW_PRCHK_APP_TAG | NSDK_NVME_RW_PRCHK_REF_TAG)

#define NVME_APP_TAG_BYTES 2u

/* All of it, in a block. */
static inline uint8_t nvme_pi_bytes(unsigned pif)
{
	return pif == NSDK_NVME_PIF_16 ? 8 : 16;
}

static inline unsigned nvme_guard_bytes(const struct nsdk_nvme_metadata *format)
{
	return 2u << format->pif;
}

/* What guard and application tag leave: storage and reference tag. */
static inline unsigned nvme_tags_bytes(const struct nsdk_nvme_metadata *format)
{
	return format->pi_bytes - nvme_guard_bytes(format) - NVME_APP_TAG_BYTES;
}

/* The bits of a reference tag: what the storage tag leaves, the lowest 64 of it. */
static inline uint64_t nvme_ref_mask(const struct nsdk_nvme_metadata *format)
{
	unsigned bits = nvme_tags_bytes(format) * 8 - format->storage_tag_bits;

	return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

#endif
