/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What users type: options of emulated devices, CPU lists, PCI addresses. Each is taken or refused;
 * what is taken is within its bounds, and a CPU list comes out as it went in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>
#include <nsdk/log.h>
#include <nsdk/pci.h>

#include "lib/emu/nvme_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void quiet(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
}

static void try_cpus(const char *text)
{
	nsdk_cpumask_t mask, again;
	char list[NSDK_MAX_CPUS * 6];

	if (nsdk_cpumask_parse(text, &mask))
		return;
	if (nsdk_cpumask_format(&mask, list, sizeof(list)) >= (int)sizeof(list) ||
	    nsdk_cpumask_parse(list, &again) || memcmp(&mask, &again, sizeof(mask)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct emu_nvme_opts opts;
	struct nsdk_pci_addr addr;
	char *text;

	nsdk_log_set_sink(quiet, NULL);
	/* Of its exact size, so that a byte behind its end is noticed. */
	text = malloc(bytes + 1);
	if (!text)
		return 0;
	memcpy(text, data, bytes);
	text[bytes] = '\0';
	try_cpus(text);
	nsdk_pci_addr_parse(text, &addr);
	if (emu_nvme_opts_read(text, &opts) == 0 &&
	    (opts.queues == 0 || opts.queues > EMU_NVME_MAX_QUEUES || opts.entries < 2 ||
	     opts.namespaces == 0 || opts.namespaces > EMU_NVME_MAX_NAMESPACES || opts.mdts > 16 ||
	     (opts.lba_bytes != 512 && opts.lba_bytes != 4096)))
		abort();
	free(text);
	return 0;
}
