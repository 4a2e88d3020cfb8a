/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directives (Base 8.7): which a namespace knows, and what a command that writes says of one. With the data
 * placement directive that is a placement identifier, so a namespace's list of those is kept here.
 *
 * The list is learned from a command on a queue pair (fdp.c), since there is no admin command that tells it.
 * Writers on other threads look at it meanwhile: what it was before stays until the namespace goes, and is
 * taken again when it is the same again, so that nothing piles up.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_fdp.h>

#include "fdp.h"

/* Identifiers that a sentence names. */
#define NAMED 8u

struct nvme_placement {
	struct nvme_placement *next; /* of all that there were */
	unsigned count;
	uint16_t pids[]; /* ascending */
};

/* ---- Which there are ---- */

int nsdk_nvme_directives(struct nsdk_nvme_ns *ns, struct nsdk_nvme_directives *out,
			 struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_directive_receive(
		ns->nsid, NSDK_NVME_DIRECTIVE_IDENTIFY, NSDK_NVME_DIRECTIVE_RECEIVE_PARAMETERS, 0,
		sizeof(*out), 0);
	int err;

	if (!(ns->ctrlr->id.oacs & NSDK_NVME_OACS_DIRECTIVES))
		return -EOPNOTSUPP;
	err = nsdk_nvme_admin_sync(ns->ctrlr, &cmd, out, sizeof(*out), NSDK_DMA_FROM_DEVICE, 0, cpl);
	if (err || !nsdk_nvme_cpl_ok(cpl))
		return err;
	for (unsigned type = 0; type < 256; type++)
		if (nsdk_nvme_directive_in(out->enabled, (uint8_t)type) &&
		    !nsdk_nvme_directive_in(out->supported, (uint8_t)type))
			return nsdk_fail(-EIO, "nvme",
					 "%s: namespace %u has directive type %02xh on, and does not know it; "
					 "the controller cannot be trusted",
					 nsdk_device_name(ns->ctrlr->dev), ns->nsid, type);
	return 0;
}

int nsdk_nvme_directive_enable(struct nsdk_nvme_ns *ns, uint8_t type, bool on, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_directive_send(
		ns->nsid, NSDK_NVME_DIRECTIVE_IDENTIFY, NSDK_NVME_DIRECTIVE_SEND_ENABLE, 0, 0,
		NSDK_NVME_DIRECTIVE_TARGET(type) | (on ? NSDK_NVME_DIRECTIVE_ENDIR : 0));

	if (!(ns->ctrlr->id.oacs & NSDK_NVME_OACS_DIRECTIVES))
		return -EOPNOTSUPP;
	if (type == NSDK_NVME_DIRECTIVE_IDENTIFY)
		return -EINVAL;
	return nsdk_nvme_admin_sync(ns->ctrlr, &cmd, NULL, 0, NSDK_DMA_TO_DEVICE, 0, cpl);
}

/* ---- Placement identifiers ---- */

static const struct nvme_placement *placement_of(const struct nsdk_nvme_ns *ns)
{
	/* What the list says was stored before it was put there. */
	return atomic_load_explicit(&ns->placement, memory_order_acquire);
}

static int ascending(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/*
 * These are all that it has. They are sorted here.
 * @return 0; -EEXIST one is there twice; -ENOMEM.
 */
int nsdk_nvme_placement_set(struct nsdk_nvme_ns *ns, uint16_t *pids, unsigned count)
{
	struct nvme_placement *now = ns->placements;

	qsort(pids, count, sizeof(*pids), ascending);
	for (unsigned i = 1; i < count; i++)
		if (pids[i] == pids[i - 1])
			return -EEXIST;
	while (now && (now->count != count || memcmp(now->pids, pids, count * sizeof(*pids)) != 0))
		now = now->next;
	if (!now) {
		now = calloc(1, sizeof(*now) + count * sizeof(*pids));
		if (!now)
			return -ENOMEM;
		now->next = ns->placements;
		ns->placements = now;
		now->count = count;
		memcpy(now->pids, pids, count * sizeof(*pids));
	}
	/* All of it before it is found. */
	atomic_store_explicit(&ns->placement, now, memory_order_release);
	return 0;
}

/* Nothing is known any more; who looks at the list yet, may. */
void nsdk_nvme_placement_forget(struct nsdk_nvme_ns *ns)
{
	atomic_store_explicit(&ns->placement, NULL, memory_order_relaxed);
}

/* With the namespace. */
void nsdk_nvme_placement_free(struct nsdk_nvme_ns *ns)
{
	while (ns->placements) {
		struct nvme_placement *next = ns->placements->next;

		free(ns->placements);
		ns->placements = next;
	}
}

unsigned nsdk_nvme_ns_placements(const struct nsdk_nvme_ns *ns, const uint16_t **out)
{
	const struct nvme_placement *placement = placement_of(ns);

	*out = placement ? placement->pids : NULL;
	return placement ? placement->count : 0;
}

static bool has(const struct nvme_placement *placement, uint16_t pid)
{
	unsigned low = 0, high = placement->count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (placement->pids[middle] < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < placement->count && placement->pids[low] == pid;
}

static int refuse(const struct nsdk_nvme_ns *ns, const struct nvme_placement *placement, uint16_t pid)
{
	char list[NAMED * 8] = "";
	size_t used = 0;

	for (unsigned i = 0; i < placement->count && i < NAMED; i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%u", i ? ", " : "",
					 placement->pids[i]);
	return nsdk_fail(-EINVAL, "nvme",
			 "%s: namespace %u has no placement identifier %u; use one of the %u that it has: %s%s",
			 nsdk_device_name(ns->ctrlr->dev), ns->nsid, pid, placement->count, list,
			 placement->count > NAMED ? ", …" : "");
}

bool nsdk_nvme_placement_is_there(const struct nsdk_nvme_ns *ns)
{
	return (ns->ctrlr->id.ctratt & NSDK_NVME_CTRATT_FDP) && ns->id.endgid;
}

/* Whether the namespace has it. @return 0; -EOPNOTSUPP; -EINVAL, said. */
int nsdk_nvme_placement_check(const struct nsdk_nvme_ns *ns, uint16_t pid)
{
	const struct nvme_placement *placement = placement_of(ns);

	if (!nsdk_nvme_placement_is_there(ns))
		return -EOPNOTSUPP;
	if (!placement)
		return nsdk_fail(-EINVAL, "nvme",
				 "%s: which placement identifiers namespace %u has is not known yet; ask it by "
				 "nsdk_nvme_placement_learn()", nsdk_device_name(ns->ctrlr->dev), ns->nsid);
	return has(placement, pid) ? 0 : refuse(ns, placement, pid);
}

/* ---- Commands ---- */

/* What a command that writes says of a directive. @return 0; -EINVAL; -EOPNOTSUPP. */
int nsdk_nvme_directive_say(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd,
			    const struct nsdk_nvme_io_ext *ext)
{
	int err = 0;

	if (ext->dtype == NSDK_NVME_DIRECTIVE_IDENTIFY)
		return ext->dspec ? -EINVAL : 0;
	if (cmd->opcode != NSDK_NVME_NVM_WRITE && cmd->opcode != NSDK_NVME_NVM_WRITE_ZEROES &&
	    cmd->opcode != NSDK_NVME_NVM_COPY)
		return -EINVAL;
	if (!(ns->ctrlr->id.oacs & NSDK_NVME_OACS_DIRECTIVES))
		return -EOPNOTSUPP;
	if (ext->dtype == NSDK_NVME_DIRECTIVE_PLACEMENT)
		err = nsdk_nvme_placement_check(ns, ext->dspec);
	else if (ext->dtype != NSDK_NVME_DIRECTIVE_STREAMS)
		err = -EINVAL;
	if (err)
		return err;
	cmd->cdw12 |= NSDK_NVME_RW_DTYPE(ext->dtype);
	cmd->cdw13 |= (uint32_t)ext->dspec << NSDK_NVME_RW_DSPEC_SHIFT;
	return 0;
}

/* Of commands that take nothing else. */
int nsdk_nvme_directive_only(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd,
			     const struct nsdk_nvme_io_ext *ext)
{
	if (ext->ext_bytes != sizeof(*ext) || ext->dsm || ext->own_ref_tag || ext->app_tag || ext->app_mask ||
	    ext->metadata || ext->ref_tag)
		return -EINVAL;
	return nsdk_nvme_directive_say(ns, cmd, ext);
}
