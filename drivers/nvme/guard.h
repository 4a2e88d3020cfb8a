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

#define NVME_APP_TAG_BYTES 2u

static inline unsigned nvme_guard_bytes(const struct nsdk_nvme_metadata *format)
{
	return 2u << format->pif;
}

/* The bits of a reference tag: what guard, application tag and storage tag leave, the lowest 64 of it. */
static inline uint64_t nvme_ref_mask(const struct nsdk_nvme_metadata *format)
{
	unsigned bits = (format->pi_bytes - nvme_guard_bytes(format) - NVME_APP_TAG_BYTES) * 8 -
			format->storage_tag_bits;

	return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

#endif
