/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Namespaces: the active ones, in order of their ids, found at bring-up and looked at again when they
 * change (rescan.c).
 */
#include "nvme_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fdp.h"

/* Makes room for an active namespace; Identify Namespace fills it in. */
int nsdk_nvme_ns_add(struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid)
{
	struct nsdk_nvme_ns *ns;

	if (ctrlr->ns_count == NVME_MAX_NAMESPACES)
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: more than %u active namespaces are not supported",
				 nsdk_device_name(ctrlr->dev), NVME_MAX_NAMESPACES);
	if (ctrlr->ns_count == ctrlr->ns_capacity) {
		uint32_t capacity = ctrlr->ns_capacity ? 2 * ctrlr->ns_capacity : 8;
		struct nsdk_nvme_ns **grown = realloc(ctrlr->namespaces,
						      capacity * sizeof(struct nsdk_nvme_ns *));

		if (!grown)
			goto no_memory;
		ctrlr->namespaces = grown;
		ctrlr->ns_capacity = capacity;
	}
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		goto no_memory;
	ns->ctrlr = ctrlr;
	ns->nsid = nsid;
	ctrlr->namespaces[ctrlr->ns_count++] = ns;
	return 0;

no_memory:
	return nsdk_fail(-ENOMEM, "nvme", "%s: no memory for namespace %u",
			 nsdk_device_name(ctrlr->dev), nsid);
}

void nsdk_nvme_ns_remove(struct nsdk_nvme_ctrlr *ctrlr, uint32_t index)
{
	nsdk_nvme_placement_free(ctrlr->namespaces[index]);
	free(ctrlr->namespaces[index]->zoned);
	free(ctrlr->namespaces[index]);
	ctrlr->ns_count--;
	memmove(&ctrlr->namespaces[index], &ctrlr->namespaces[index + 1],
		(ctrlr->ns_count - index) * sizeof(ctrlr->namespaces[0]));
}

void nsdk_nvme_ns_free_all(struct nsdk_nvme_ctrlr *ctrlr)
{
	while (ctrlr->ns_count)
		nsdk_nvme_ns_remove(ctrlr, ctrlr->ns_count - 1);
	free(ctrlr->namespaces);
	ctrlr->namespaces = NULL;
}

/* No I/O any more, on the short ways either: it is told @p error. */
void nsdk_nvme_ns_close(struct nsdk_nvme_ns *ns, int error)
{
	ns->refusal = error;
	ns->short_lba_end = 0;
	ns->two_pages_lba_end = 0;
}

/* The end of those blocks from which an I/O of @p bytes does not run over the namespace's end. */
static uint64_t lba_end(const struct nsdk_nvme_ns *ns, uint64_t bytes)
{
	uint64_t blocks = bytes >> ns->block_shift;

	return blocks && ns->blocks >= blocks ? ns->blocks - blocks + 1 : 0;
}

/* The index of the format that its blocks have: the upper bits count where there are more than 16. */
unsigned nsdk_nvme_ns_format(const struct nsdk_nvme_id_ns *id)
{
	return (id->flbas & 0xfu) | (id->nlbaf >= 16 ? (id->flbas & 0x60u) >> 1 : 0);
}

/*
 * Takes Identify Namespace data in. A namespace that cannot be driven stays visible, and refuses
 * I/O. @return 0; -ENOENT it is not active after all.
 */
int nsdk_nvme_ns_fill(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns *id)
{
	const char *device = nsdk_device_name(ns->ctrlr->dev);
	const struct nsdk_nvme_lbaf *format;
	size_t max_blocks;
	unsigned index;

	ns->fit = false;
	if (id != &ns->id)
		ns->id = *id;
	if (id->nsze == 0)
		return -ENOENT;
	nsdk_nvme_ns_close(ns, 0);
	ns->blocks = id->nsze;
	index = nsdk_nvme_ns_format(id);
	format = &id->lbaf[index];
	if (index > id->nlbaf || format->lbads < 9 || format->lbads > 16 ||
	    id->nsze > UINT64_MAX >> format->lbads) {
		ns->refusal = -EIO;
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: namespace %u cannot be used: Identify reports format %u of %u, with "
			 "2^%u bytes a block and %llu blocks", device, ns->nsid, index,
			 id->nlbaf + 1u, format->lbads, (unsigned long long)id->nsze);
		return 0;
	}
	ns->block_shift = format->lbads;
	ns->refusal = nsdk_nvme_metadata_fill(ns, id);
	if (ns->refusal)
		return 0;
	max_blocks = ns->ctrlr->max_transfer_bytes /
		     ((1u << ns->block_shift) + (ns->metadata.extended ? ns->metadata.bytes : 0u));
	if (max_blocks == 0) {
		ns->refusal = -ENOTSUP;
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: namespace %u cannot be used: a block of %u bytes is larger than the "
			 "controller's largest transfer, %zu bytes", device, ns->nsid,
			 1u << ns->block_shift, ns->ctrlr->max_transfer_bytes);
		return 0;
	}
	max_blocks = ns->ctrlr->max_transfer_bytes >> ns->block_shift;
	/* The field in the command has 16 bits, 0's based. */
	ns->max_blocks = max_blocks > 65536 ? 65536 : (uint32_t)max_blocks;
	ns->fit = true;
	if (ns->metadata.bytes) {
		if (nsdk_nvme_metadata_guessed(ns))
			/* What its protection information looks like is asked for next. */
			nsdk_nvme_ns_close(ns, -EBUSY);
		/* The short ways know of none. */
		nsdk_nvme_zns_shape(ns);
		return 0;
	}

	ns->read_dw01 = (uint64_t)ns->nsid << 32 | NSDK_NVME_NVM_READ;
	ns->write_dw01 = (uint64_t)ns->nsid << 32 | NSDK_NVME_NVM_WRITE;
	/* No transfer limit is below a page. */
	ns->short_lba_end = lba_end(ns, NVME_PAGE_BYTES);
	if (ns->short_lba_end)
		ns->short_nlb = (NVME_PAGE_BYTES >> ns->block_shift) - 1;
	ns->two_pages_bytes = 2 * NVME_PAGE_BYTES;
	if (ns->two_pages_bytes > ns->ctrlr->max_transfer_bytes)
		ns->two_pages_bytes = ns->ctrlr->max_transfer_bytes;
	ns->two_pages_lba_end = lba_end(ns, ns->two_pages_bytes);
	nsdk_nvme_zns_shape(ns);
	return 0;
}

/* The index of the first namespace whose id is at least @p nsid. */
static uint32_t ns_lower_bound(const struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid)
{
	uint32_t low = 0, high = ctrlr->ns_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ctrlr->namespaces[middle]->nsid < nsid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t nsdk_nvme_ns_next(const struct nsdk_nvme_ctrlr *ctrlr, uint32_t after)
{
	uint32_t index;

	if (after == UINT32_MAX)
		return 0;
	index = ns_lower_bound(ctrlr, after + 1);
	while (index < ctrlr->ns_count && ctrlr->namespaces[index]->gone)
		index++;
	return index < ctrlr->ns_count ? ctrlr->namespaces[index]->nsid : 0;
}

/* The namespace of that id, gone ones too; NULL: there never was one. */
struct nsdk_nvme_ns *nsdk_nvme_ns_find(const struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid)
{
	uint32_t index = ns_lower_bound(ctrlr, nsid);

	return index < ctrlr->ns_count && ctrlr->namespaces[index]->nsid == nsid ?
		       ctrlr->namespaces[index] : NULL;
}

struct nsdk_nvme_ns *nsdk_nvme_ns_get(struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid)
{
	struct nsdk_nvme_ns *ns = nsdk_nvme_ns_find(ctrlr, nsid);

	return ns && !ns->gone ? ns : NULL;
}

/* The namespace of that id, gone ones too, or a new one, in its place and closed. @return 0 or -errno. */
int nsdk_nvme_ns_have(struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid, struct nsdk_nvme_ns **out)
{
	uint32_t index = ns_lower_bound(ctrlr, nsid);
	int err;

	if (index == ctrlr->ns_count || ctrlr->namespaces[index]->nsid != nsid) {
		/* It comes at the end; those behind its place make room. */
		err = nsdk_nvme_ns_add(ctrlr, nsid);
		if (err)
			return err;
		*out = ctrlr->namespaces[ctrlr->ns_count - 1];
		memmove(&ctrlr->namespaces[index + 1], &ctrlr->namespaces[index],
			(ctrlr->ns_count - 1 - index) * sizeof(ctrlr->namespaces[0]));
		ctrlr->namespaces[index] = *out;
		(*out)->gone = true;
		nsdk_nvme_ns_close(*out, -ENODEV);
	}
	*out = ctrlr->namespaces[index];
	return 0;
}

uint32_t nsdk_nvme_ns_id(const struct nsdk_nvme_ns *ns)
{
	return ns->nsid;
}

const struct nsdk_nvme_id_ns *nsdk_nvme_ns_data(const struct nsdk_nvme_ns *ns)
{
	return &ns->id;
}

int nsdk_nvme_ns_refusal(const struct nsdk_nvme_ns *ns)
{
	return ns->refusal;
}

uint32_t nsdk_nvme_ns_block_bytes(const struct nsdk_nvme_ns *ns)
{
	return ns->block_shift ? 1u << ns->block_shift : 0;
}

uint64_t nsdk_nvme_ns_blocks(const struct nsdk_nvme_ns *ns)
{
	return ns->blocks;
}
