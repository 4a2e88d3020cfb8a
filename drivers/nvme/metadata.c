/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O on namespaces whose blocks have metadata (NVM 2.1.4, 5.2): what commands say of protection
 * information, and the memory that metadata travels in.
 *
 * Extended metadata is part of the payload, of which a block is then larger (unit_bytes). Metadata apart is
 * one stretch of device addresses for each command, named by its metadata pointer; where a buffer is not
 * one, the I/O is split. The controller's making it all itself (PRACT, and nothing but protection
 * information in it) leaves data alone, and that is what an I/O means that says nothing of metadata.
 *
 * No-snoop. Metadata is the device's as data is: it goes out with the batch of the next doorbell, and
 * comes back with the completion, before the callback. Metadata of few blocks is less than a cache line;
 * buffers of it begin on a line, and have their last line to themselves. Two commands of an I/O that is
 * split may have a line in common, which does no harm: the CPU stores to none of it meanwhile, so what
 * the first one takes back, and the CPU may load early, is clean, and the second takes it back again.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <string.h>

#include "guard.h"

#define PRINFO_FLAGS (NSDK_NVME_RW_PRACT | NVME_PRCHK_FLAGS)

#define GUARD_32_STORAGE_BITS 16u /* at least so many, or the rest were more than a reference tag has */

/* ---- Formats ---- */

/* @return whether protection information of this format can be driven. */
static bool take_pi(struct nsdk_nvme_metadata *md, uint8_t dps, uint32_t elbaf)
{
	md->pi_type = NSDK_NVME_DPS_TYPE(dps);
	if (md->pi_type == 0)
		return true;
	md->pi_first = dps & NSDK_NVME_DPS_FIRST;
	md->pif = NSDK_NVME_ELBAF_PIF(elbaf);
	md->storage_tag_bits = NSDK_NVME_ELBAF_STS(elbaf);
	md->pi_bytes = nvme_pi_bytes(md->pif);
	return md->pi_type <= 3 && md->pif <= NSDK_NVME_PIF_64 && md->bytes >= md->pi_bytes &&
	       md->storage_tag_bits <= nvme_tags_bytes(md) * 8 &&
	       (md->pif != NSDK_NVME_PIF_32 || md->storage_tag_bits >= GUARD_32_STORAGE_BITS);
}

/* Says that guards of more than 16 bits are known here. In the Identify buffer: one at a time. */
struct nsdk_nvme_cmd nsdk_nvme_metadata_behavior(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_host_behavior *behavior = ctrlr->id_buffer;

	memset(behavior, 0, sizeof(*behavior));
	behavior->lbafee = 1;
	/* Written back before the doorbell, for the device to read. */
	nsdk_sync_for_device(ctrlr->coh, behavior, sizeof(*behavior), NSDK_DMA_TO_DEVICE);
	return (struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
		.prp1 = ctrlr->id_iova,
		.cdw10 = NSDK_NVME_FEAT_HOST_BEHAVIOR,
	};
}

/* Whether the controller says elsewhere what its protection information looks like. */
bool nsdk_nvme_metadata_asks(const struct nsdk_nvme_ns *ns)
{
	return ns->fit && ns->metadata.pi_type && (ns->ctrlr->id.ctratt & NSDK_NVME_CTRATT_ELBAS);
}

/* Whether it says so and has not yet: to go by the usual format would be to store what nobody can check. */
bool nsdk_nvme_metadata_guessed(const struct nsdk_nvme_ns *ns)
{
	return nsdk_nvme_metadata_asks(ns) && !ns->elbaf_known;
}

/* Identify Namespace data of the NVM command set; NULL: the controller does not say. */
void nsdk_nvme_metadata_told(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns_nvm *id)
{
	uint32_t elbaf = id ? id->elbaf[nsdk_nvme_ns_format(&ns->id)] : ns->elbaf;

	/* What was said of the format before holds. */
	if (ns->elbaf_known && elbaf == ns->elbaf)
		return;
	ns->elbaf = elbaf;
	ns->elbaf_known = id != NULL;
	if (id) {
		nsdk_nvme_ns_fill(ns, &ns->id);
		return;
	}
	nsdk_nvme_ns_close(ns, -EIO);
	nsdk_log(NSDK_LOG_WARN, "nvme",
		 "%s: namespace %u cannot be used: the controller has several formats of protection "
		 "information and does not say which one this is (Identify, CNS 05h, failed); attach the "
		 "controller again, or format it without (nvme format --pi=0)",
		 nsdk_device_name(ns->ctrlr->dev), ns->nsid);
}

/* What Identify Namespace says of it. @return 0; -ENOTSUP it cannot be driven, which has been said. */
int nsdk_nvme_metadata_fill(struct nsdk_nvme_ns *ns, const struct nsdk_nvme_id_ns *id)
{
	const struct nsdk_nvme_lbaf *format = &id->lbaf[nsdk_nvme_ns_format(id)];
	struct nsdk_nvme_metadata md = {
		.block_bytes = 1u << format->lbads,
		.bytes = format->ms,
		.extended = format->ms && (id->flbas & NSDK_NVME_FLBAS_EXTENDED),
	};
	bool fits = md.bytes == 0 || take_pi(&md, id->dps, ns->elbaf);

	/* Once, and whole: where nothing has changed, I/O goes on. */
	ns->metadata = md;
	if (md.bytes % 4 && !md.extended) {
		/* Metadata pointers are in dwords, and most blocks of a split I/O would not begin on one. */
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: namespace %u cannot be used: its blocks have %u bytes of metadata apart, "
			 "which is no multiple of 4; format it with metadata behind the data "
			 "(nvme format --ms=1) or with none", nsdk_device_name(ns->ctrlr->dev), ns->nsid,
			 md.bytes);
		return -EOPNOTSUPP;
	}
	if (fits)
		return 0;
	nsdk_log(NSDK_LOG_WARN, "nvme",
		 "%s: namespace %u cannot be used: its protection information, type %u in %u bytes of "
		 "metadata (format %u, %u bits of storage tag), is not supported; format it without "
		 "(nvme format --pi=0)", nsdk_device_name(ns->ctrlr->dev), ns->nsid, md.pi_type, md.bytes,
		 md.pif, md.storage_tag_bits);
	return -ENOTSUP;
}

const struct nsdk_nvme_metadata *nsdk_nvme_ns_metadata(const struct nsdk_nvme_ns *ns)
{
	return ns->metadata.bytes ? &ns->metadata : NULL;
}

/* ---- Commands ---- */

/* The reference tag of a command's first block: of up to 80 bits, the lowest are in dword 14. */
void nsdk_nvme_put_ref_tag(const struct nsdk_nvme_metadata *md, struct nsdk_nvme_cmd *cmd, uint64_t tag)
{
	/* Those of the storage tag, above, are 0. */
	tag &= nvme_ref_mask(md);
	cmd->cdw14 = (uint32_t)tag;
	cmd->cdw3 = (uint32_t)(tag >> 32);
}

/* What a command says that has no data to do it with: the flags, and where reference tags begin. */
static void say_pi(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba, uint32_t prinfo,
		   struct nvme_extra *extra)
{
	cmd->cdw12 |= prinfo;
	extra->tagged = true;
	extra->counts = ns->metadata.pi_type != 3;
	extra->ref_tag = extra->counts ? lba : 0;
	nsdk_nvme_put_ref_tag(&ns->metadata, cmd, extra->ref_tag);
}

/* All that can be checked with nothing said by the user. */
static uint32_t checks(const struct nsdk_nvme_metadata *md)
{
	return NSDK_NVME_RW_PRCHK_GUARD | (md->pi_type != 3 ? NSDK_NVME_RW_PRCHK_REF_TAG : 0);
}

/* Write Zeroes and Verify: the controller makes it, or checks it. */
void nsdk_nvme_extra_blocks(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba,
			    struct nvme_extra *extra)
{
	*extra = (struct nvme_extra){ .unit_bytes = ns->metadata.block_bytes };
	if (!ns->metadata.pi_type)
		return;
	if (cmd->opcode == NSDK_NVME_NVM_WRITE_ZEROES)
		say_pi(ns, cmd, lba, NSDK_NVME_RW_PRACT, extra);
	else if (cmd->opcode == NSDK_NVME_NVM_VERIFY)
		say_pi(ns, cmd, lba, checks(&ns->metadata), extra);
}

/* Copy: taken off and checked where it is read, and made anew where it is written. */
void nsdk_nvme_extra_copy(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba)
{
	struct nvme_extra extra;

	if (!ns->metadata.pi_type)
		return;
	/* PRINFOR is 15:12, where the ranges' own tags are not looked at, and PRINFOW where PRINFO is. */
	cmd->cdw12 |= (NSDK_NVME_RW_PRACT | NSDK_NVME_RW_PRCHK_GUARD) >> 14;
	say_pi(ns, cmd, lba, NSDK_NVME_RW_PRACT, &extra);
}

/*
 * What a read, write or compare says and carries besides its data.
 *
 * @param cmd    has its opcode; gets flags and tags.
 * @param flags  of dword 12. @param ext  NULL: the user said nothing more.
 * @return 0; -EINVAL.
 */
int nsdk_nvme_extra_rw(const struct nsdk_nvme_ns *ns, struct nsdk_nvme_cmd *cmd, uint64_t lba,
		       uint32_t flags, const struct nsdk_nvme_io_ext *ext, struct nvme_extra *extra)
{
	const struct nsdk_nvme_metadata *md = &ns->metadata;
	uint32_t prinfo = flags & PRINFO_FLAGS;

	*extra = (struct nvme_extra){ .unit_bytes = md->block_bytes };
	cmd->cdw12 |= flags & NVME_RW_FLAGS;
	if (flags & ~(NVME_RW_FLAGS | (ext && md->pi_type ? PRINFO_FLAGS : 0)))
		return -EINVAL;
	if (!md->bytes)
		return ext && ext->metadata ? -EINVAL : 0;
	if (!ext)
		prinfo = NSDK_NVME_RW_PRACT |
			 (cmd->opcode == NSDK_NVME_NVM_READ ? checks(md) : 0);
	if (md->pi_type) {
		/* What is compared has to be there; and nobody knows a type 3 reference tag but the host. */
		if (((prinfo & NSDK_NVME_RW_PRACT) && cmd->opcode == NSDK_NVME_NVM_COMPARE) ||
		    ((prinfo & NSDK_NVME_RW_PRCHK_REF_TAG) && md->pi_type == 3))
			return -EINVAL;
		say_pi(ns, cmd, lba, prinfo, extra);
		if (ext && (ext->own_ref_tag || md->pi_type == 3)) {
			extra->ref_tag = ext->ref_tag;
			nsdk_nvme_put_ref_tag(md, cmd, ext->ref_tag);
		}
		if (ext)
			cmd->cdw15 = (uint32_t)ext->app_mask << 16 | ext->app_tag;
		if ((prinfo & NSDK_NVME_RW_PRACT) && md->bytes == md->pi_bytes)
			return 0;
	}
	if (!ext || (ext->metadata == NULL) != md->extended)
		return -EINVAL;
	if (md->extended) {
		extra->unit_bytes += md->bytes;
	} else {
		extra->metadata_bytes = md->bytes;
		extra->metadata = (uintptr_t)ext->metadata;
	}
	return 0;
}

/* ---- Memory ---- */

/* The most blocks of one command by what it transfers. */
uint32_t nsdk_nvme_extra_blocks_max(const struct nsdk_nvme_ns *ns, const struct nvme_extra *extra)
{
	size_t blocks;

	if (NVME_LIKELY(extra->unit_bytes == 1u << ns->block_shift))
		return ns->max_blocks;
	blocks = ns->ctrlr->max_transfer_bytes / extra->unit_bytes;
	return blocks < NVME_COMMAND_BLOCKS ? (uint32_t)blocks : NVME_COMMAND_BLOCKS;
}

static size_t round_up(size_t bytes, uint32_t mask)
{
	return (bytes + mask) & ~(size_t)mask;
}

/* As nsdk_nvme_payload_check(), but the last piece may end anywhere: the rest of its line is its own. */
static int check_ragged(const struct nsdk_nvme_qpair *qp, const struct nvme_payload *payload, size_t bytes,
			int iovcnt)
{
	struct iovec whole = { (void *)payload->va, bytes };
	const struct iovec *iov = payload->iov ? payload->iov : &whole;
	uint32_t mask = qp->align_mask;

	if (!payload->iov)
		iovcnt = 1;
	for (int i = 0; i < iovcnt; i++) {
		struct nvme_payload piece = { .va = (uintptr_t)iov[i].iov_base };
		size_t left = iov[i].iov_len;
		int err;

		if (left > bytes || (left != bytes && (left & mask)))
			return -EINVAL;
		if (left == 0)
			continue;
		bytes -= left;
		err = nsdk_nvme_payload_check(qp->ctrlr->map, &piece, round_up(left, mask), 1, mask);
		if (err)
			return err;
	}
	return bytes ? -EINVAL : 0;
}

/*
 * Metadata is not in the controller's memory buffer; and data is there beside metadata that is not only where
 * the controller mixes them.
 */
static int check_own(const struct nsdk_nvme_ctrlr *ctrlr, const struct nvme_payload *payload, int iovcnt,
		     const struct nvme_payload *metadata, size_t bytes)
{
	bool mixed = ctrlr->cmb.loc & NSDK_NVME_CMBLOC_CDMMMS;

	if (nsdk_dma_map_is_own(ctrlr->map, metadata->va) ||
	    nsdk_dma_map_is_own(ctrlr->map, metadata->va + bytes - 1))
		return -EINVAL;
	if (!payload->iov)
		return !mixed && nsdk_dma_map_is_own(ctrlr->map, payload->va) ? -EINVAL : 0;
	for (int i = 0; i < iovcnt; i++)
		if (!mixed && nsdk_dma_map_is_own(ctrlr->map, (uintptr_t)payload->iov[i].iov_base))
			return -EINVAL;
	return 0;
}

/* Whether payload and metadata of an I/O are DMA memory of the device, where they may be. */
int nsdk_nvme_extra_check(const struct nsdk_nvme_qpair *qp, const struct nvme_extra *extra,
			  const struct nvme_payload *payload, int iovcnt, uint32_t blocks)
{
	size_t bytes = (size_t)blocks * extra->unit_bytes;
	struct nvme_payload metadata = { .va = extra->metadata };
	size_t apart = round_up((size_t)blocks * extra->metadata_bytes, qp->align_mask);
	int err;

	if (NVME_UNLIKELY(qp->nosnoop && (bytes & qp->align_mask)))
		err = check_ragged(qp, payload, bytes, iovcnt);
	else
		err = nsdk_nvme_payload_check(qp->ctrlr->map, payload, bytes, iovcnt,
					      nsdk_nvme_sgl_align_mask(qp));
	if (err || !extra->metadata_bytes)
		return err;
	err = nsdk_nvme_payload_check(qp->ctrlr->map, &metadata, apart, 1, qp->align_mask);
	if (NVME_UNLIKELY(!err && qp->ctrlr->map->own.bytes))
		err = check_own(qp->ctrlr, payload, iovcnt, &metadata, apart);
	return err;
}

/* How many blocks' metadata from here is one stretch of device addresses; at most @p blocks. */
uint32_t nsdk_nvme_extra_reach(const struct nsdk_nvme_qpair *qp, const struct nvme_extra *extra,
			       uint32_t blocks)
{
	size_t bytes = (size_t)blocks * extra->metadata_bytes, have = 0, step;
	uint64_t first = 0, iova;

	if (NVME_LIKELY(!extra->metadata_bytes))
		return blocks;
	while (have < bytes) {
		if (nsdk_dma_map_lookup(qp->ctrlr->map, extra->metadata + have, &iova, &step) != 0)
			break;
		if (have == 0)
			first = iova;
		else if (iova != first + have)
			break;
		have += step;
	}
	return have < bytes ? (uint32_t)(have / extra->metadata_bytes) : blocks;
}

/* Behind these blocks. */
void nsdk_nvme_extra_advance(struct nvme_extra *extra, uint32_t blocks)
{
	extra->metadata += (size_t)blocks * extra->metadata_bytes;
	extra->ref_tag += extra->counts ? blocks : 0;
}

/* nsdk_nvme_issue() with metadata of its own, all of which has been checked. */
int nsdk_nvme_issue_extra(struct nsdk_nvme_qpair *qp, struct nsdk_nvme_cmd *cmd,
			  const struct nvme_payload *payload, const struct nvme_extra *extra,
			  uint32_t blocks, enum nsdk_dma_dir dir, nsdk_nvme_cb cb, void *ctx)
{
	size_t bytes = (size_t)blocks * extra->metadata_bytes, step;
	void *metadata = (void *)extra->metadata;
	struct nvme_tracker *t = qp->free;
	int err;

	if (bytes) {
		err = nsdk_dma_map_lookup(qp->ctrlr->map, extra->metadata, &cmd->mptr, &step);
		if (err)
			return err;
	}
	err = nsdk_nvme_issue(qp, cmd, payload, (size_t)blocks * extra->unit_bytes, dir, cb, ctx);
	if (err || !bytes || !qp->nosnoop)
		return err;
	/* Given to the device with its payload, by the next doorbell. */
	nsdk_flush_batch_for_device(qp->to_device, metadata, bytes, dir);
	if (dir != NSDK_DMA_TO_DEVICE) {
		qp->metadata[t->cid] = (struct iovec){ metadata, bytes };
		t->has_metadata = true;
	}
	return 0;
}

/* Its completion has been seen, or never will be: taken back with its payload, before its callback. */
void nsdk_nvme_metadata_take_back(struct nsdk_nvme_qpair *qp, struct nvme_tracker *t)
{
	const struct iovec *metadata = &qp->metadata[t->cid];

	t->has_metadata = false;
	nsdk_flush_batch_for_cpu(qp->from_device, metadata->iov_base, metadata->iov_len,
				 NSDK_DMA_FROM_DEVICE);
}
