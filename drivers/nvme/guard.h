/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to drivers/nvme: the checksums of protection information. @p pif: enum nsdk_nvme_pif.
 */
#ifndef NSDK_NVME_GUARD_H
#define NSDK_NVME_GUARD_H

#include <stddef.h>
#include <stdint.h>

uint64_t nsdk_nvme_guard_begin(unsigned pif);
uint64_t nsdk_nvme_guard_add(unsigned pif, uint64_t guard, const void *data, size_t bytes);
uint64_t nsdk_nvme_guard_end(unsigned pif, uint64_t guard);

#endif
