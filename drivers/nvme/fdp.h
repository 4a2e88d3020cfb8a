/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to drivers/nvme: directives and placement identifiers (directive.c).
 */
#ifndef NSDK_NVME_FDP_PRIVATE_H
#define NSDK_NVME_FDP_PRIVATE_H

#include "nvme_internal.h"

int nsdk_nvme_placement_set(struct nsdk_nvme_ns *ns, uint16_t *pids, unsigned count);
void nsdk_nvme_placement_forget(struct nsdk_nvme_ns *ns);
void nsdk_nvme_placement_free(struct nsdk_nvme_ns *ns);
bool nsdk_nvme_placement_is_there(const struct nsdk_nvme_ns *ns);
int nsdk_nvme_placement_check(const struct nsdk_nvme_ns *ns, uint16_t pid);
int nsdk_nvme_directive_say(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd,
			    const struct nsdk_nvme_io_ext *ext);
int nsdk_nvme_directive_only(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd,
			     const struct nsdk_nvme_io_ext *ext);

#endif
