/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Metadata of blocks (ms=, mset=, pi=, pil=, pif=): where it is kept, and how it moves.
 *
 * It lies beside the store, in memory, block for block, with all its bits inverted: so what was never
 * written, or was deallocated, is all ones, which means "do not check" where it is protection
 * information. It is under the locks of the store's extents, as its blocks are; each block and its
 * metadata are read and written whole.
 *
 * Extended metadata moves behind its block's data, in the command's own list; metadata apart is one
 * stretch of the host's memory from the metadata pointer on.
 *
 * All namespaces have the same, and Format changes it for all, between none and what ms= says.
 */
#include <string.h>
#include <sys/mman.h>

#include "nvme_pi.h"

/* Format (Base 5.14): dword 10 */
#define LBA_FORMAT(cdw10) (((cdw10) & 0xf) | ((cdw10) >> 8 & 0x30))
#define FORMAT_MSET(cdw10) ((cdw10) >> 4 & 1)
#define FORMAT_PI(cdw10) ((cdw10) >> 5 & 7)
#define FORMAT_PIL(cdw10) ((cdw10) >> 8 & 1)

#define COMPARE_FAILURE emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_COMPARE_FAILURE)
#define MAX_BLOCK 4096u
#define STORAGE_BITS_32 16u

/* ---- Keeping it ---- */

static uint64_t store_bytes(const struct emu_nvme *ctrl)
{
	return (ctrl->store.bytes >> 9) * ctrl->opts.ms;
}

int emu_nvme_md_create(struct emu_nvme *ctrl)
{
	const struct emu_nvme_opts *opts = &ctrl->opts;

	if (!opts->ms)
		return 0;
	ctrl->md.store = emu_nvme_map_sparse(store_bytes(ctrl));
	ctrl->md.bytes = opts->ms;
	ctrl->md.extended = opts->mset;
	ctrl->md.type = opts->pi;
	ctrl->md.first = opts->pil;
	ctrl->md.pif = opts->pif;
	return ctrl->md.store ? 0 : -1;
}

void emu_nvme_md_destroy(struct emu_nvme *ctrl)
{
	if (ctrl->md.store)
		munmap(ctrl->md.store, store_bytes(ctrl));
}

static uint8_t *md_at(const struct emu_nvme *ctrl, uint64_t offset)
{
	return ctrl->md.store + (offset >> ctrl->lba_shift) * ctrl->md.bytes;
}

void emu_nvme_md_wiped(struct emu_nvme *ctrl, uint64_t offset, uint64_t bytes)
{
	if (ctrl->md.bytes)
		emu_nvme_zero_memory(md_at(ctrl, offset), (bytes >> ctrl->lba_shift) * ctrl->md.bytes,
				     ctrl->store.page_bytes);
}

static void load(const struct emu_nvme *ctrl, uint64_t offset, uint8_t *md)
{
	const uint8_t *from = md_at(ctrl, offset);

	for (unsigned i = 0; i < ctrl->md.bytes; i++)
		md[i] = (uint8_t)~from[i];
}

static void keep(struct emu_nvme *ctrl, uint64_t offset, const uint8_t *md)
{
	uint8_t *to = md_at(ctrl, offset);

	for (unsigned i = 0; i < ctrl->md.bytes; i++)
		to[i] = (uint8_t)~md[i];
}

/* ---- Formats: those without metadata come first ---- */

/* 512 bytes, and 4096 where they go into a namespace evenly. */
static unsigned sizes(const struct emu_nvme *ctrl)
{
	return ctrl->opts.size_bytes % 4096 ? 1 : 2;
}

unsigned emu_nvme_formats(const struct emu_nvme *ctrl)
{
	return sizes(ctrl) * (ctrl->opts.ms ? 2 : 1);
}

uint8_t emu_nvme_flbas(const struct emu_nvme *ctrl)
{
	/* Where there is one size, it is the one that the blocks have. */
	return (uint8_t)((ctrl->md.bytes ? sizes(ctrl) : 0) + (ctrl->lba_shift == 12) +
			 (ctrl->md.extended ? NSDK_NVME_FLBAS_EXTENDED : 0));
}

uint8_t emu_nvme_dps(const struct emu_nvme *ctrl)
{
	return (uint8_t)(ctrl->md.type | (ctrl->md.first ? NSDK_NVME_DPS_FIRST : 0));
}

static bool has_room_for_pi(const struct emu_nvme *ctrl)
{
	return ctrl->opts.ms >= emu_nvme_pi_bytes(ctrl->opts.pif);
}

void emu_nvme_md_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ns *id)
{
	id->nlbaf = (uint8_t)(emu_nvme_formats(ctrl) - 1);
	id->flbas = emu_nvme_flbas(ctrl);
	for (unsigned i = 0; i <= id->nlbaf; i++) {
		id->lbaf[i].lbads = i % sizes(ctrl) ? 12 : 9;
		id->lbaf[i].ms = i / sizes(ctrl) ? (uint16_t)ctrl->opts.ms : 0;
	}
	if (!ctrl->opts.ms)
		return;
	id->mc = NSDK_NVME_MC_EXTENDED | NSDK_NVME_MC_SEPARATE;
	if (has_room_for_pi(ctrl))
		id->dpc = 7 | NSDK_NVME_DPC_FIRST | NSDK_NVME_DPC_LAST;
	id->dps = emu_nvme_dps(ctrl);
}

void emu_nvme_md_identify_nvm(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ns_nvm *id)
{
	for (unsigned i = sizes(ctrl); i < emu_nvme_formats(ctrl); i++)
		id->elbaf[i] = ctrl->opts.pif << 7 | (ctrl->opts.pif == 1 ? STORAGE_BITS_32 : 0);
}

bool emu_nvme_md_format(struct emu_nvme *ctrl, uint32_t cdw10, bool check)
{
	unsigned format = LBA_FORMAT(cdw10), type = FORMAT_PI(cdw10);
	bool with = format >= sizes(ctrl);

	if (format >= emu_nvme_formats(ctrl) || type > 3 || (type && !has_room_for_pi(ctrl)) ||
	    (!with && (type || FORMAT_MSET(cdw10) || FORMAT_PIL(cdw10))))
		return false;
	if (check)
		return true;
	/* It is wiped as it is kept: all of it, for whichever blocks. */
	if (ctrl->md.store)
		emu_nvme_zero_memory(ctrl->md.store, store_bytes(ctrl), ctrl->store.page_bytes);
	ctrl->lba_shift = format % sizes(ctrl) ? 12 : 9;
	ctrl->md.bytes = with ? ctrl->opts.ms : 0;
	ctrl->md.extended = FORMAT_MSET(cdw10);
	ctrl->md.type = type;
	ctrl->md.first = FORMAT_PIL(cdw10);
	return true;
}

/* Formats with other guards are for a host that has said that it knows them (NVM 5.2.1). */
bool emu_nvme_md_is_hidden(const struct emu_nvme *ctrl)
{
	return ctrl->md.type && ctrl->md.pif &&
	       !atomic_load_explicit(&ctrl->md.known, memory_order_relaxed);
}

uint16_t emu_nvme_md_behavior(struct emu_nvme_req *req, bool set, bool defaults)
{
	struct nsdk_nvme_host_behavior behavior = { 0 };
	atomic_bool *known = &req->ctrl->md.known;
	uint16_t status;

	if (!set) {
		behavior.lbafee = !defaults && atomic_load(known);
		return emu_nvme_data_reply(req, &behavior, sizeof(behavior), sizeof(behavior));
	}
	status = emu_nvme_data_begin(req, sizeof(behavior));
	if (!status)
		status = emu_nvme_data_from_host(req, &behavior, sizeof(behavior));
	if (!status && (behavior.lbafee > 1 || behavior.acre || behavior.etdas))
		status = EMU_NVME_GENERIC(INVALID_FIELD);
	if (!status)
		atomic_store(known, behavior.lbafee);
	return status;
}

/* ---- Moving it ---- */

/* A command whose blocks are gone through one by one. */
struct walk {
	struct emu_nvme_req *req;
	struct emu_nvme_tags tags;
	bool moves;              /* metadata does */
	uint64_t offset;         /* of the first block */
	struct emu_nvme_prp own; /* where metadata apart goes on */
	uint8_t block[MAX_BLOCK];
	uint8_t md[EMU_NVME_MAX_MD];
};

/* With PRACT, metadata that is protection information and nothing else stays with the controller. */
static bool metadata_moves(const struct emu_nvme *ctrl, const struct emu_nvme_tags *tags)
{
	return !(ctrl->md.type && tags->act && ctrl->md.bytes == emu_nvme_pi_bytes(ctrl->md.pif));
}

static void walk_start(struct walk *walk, struct emu_nvme_req *req, uint64_t offset, uint64_t bytes)
{
	const struct emu_nvme *ctrl = req->ctrl;
	uint64_t md_bytes = (bytes >> ctrl->lba_shift) * ctrl->md.bytes;

	walk->req = req;
	walk->tags = emu_nvme_tags(req);
	walk->moves = metadata_moves(ctrl, &walk->tags);
	walk->offset = offset;
	walk->own = (struct emu_nvme_prp){ .iova = req->cmd->mptr, .page_left = (uint32_t)md_bytes };
}

/* Goes through a command's blocks. @p writes: they are stored to. */
static uint16_t visit(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes, bool writes,
		      emu_nvme_block_fn fn)
{
	struct walk walk;

	walk_start(&walk, req, offset, bytes);
	return emu_nvme_store_visit(&req->ctrl->store, offset, bytes, writes, fn, &walk);
}

static uint64_t index_of(const struct walk *walk, uint64_t offset)
{
	return (offset - walk->offset) >> walk->req->ctrl->lba_shift;
}

/* From or to the host, a block's metadata. */
static uint16_t move_md(struct walk *walk, uint8_t *md, bool to_host)
{
	struct emu_nvme_req *req = walk->req;
	unsigned bytes = req->ctrl->md.bytes;
	struct emu_nvme_prp data = req->prp;
	uint16_t status;

	if (!walk->moves)
		return 0;
	if (!req->ctrl->md.extended)
		req->prp = walk->own;
	status = to_host ? emu_nvme_data_to_host(req, md, bytes) : emu_nvme_data_from_host(req, md, bytes);
	if (!req->ctrl->md.extended) {
		walk->own = req->prp;
		req->prp = data;
	}
	return status;
}

static size_t block_bytes(const struct walk *walk)
{
	return (size_t)1 << walk->req->ctrl->lba_shift;
}

static uint16_t look(struct walk *walk, uint64_t offset, const uint8_t *data, const uint8_t *md)
{
	const struct emu_nvme *ctrl = walk->req->ctrl;

	return ctrl->md.type ? emu_nvme_pi_look(&ctrl->md, &walk->tags, index_of(walk, offset), data,
						block_bytes(walk), md) : 0;
}

uint16_t emu_nvme_md_begin(struct emu_nvme_req *req, uint64_t bytes)
{
	const struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_tags tags = emu_nvme_tags(req);
	bool moves = metadata_moves(ctrl, &tags);
	uint16_t status = ctrl->md.type ? emu_nvme_tags_check(req, &tags) : 0;

	if (status)
		return status;
	if (moves && !ctrl->md.extended && !(req->cmd->flags & NSDK_NVME_PSDT_MASK) && (req->cmd->mptr & 3))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (moves && ctrl->md.extended)
		bytes += (bytes >> ctrl->lba_shift) * ctrl->md.bytes;
	if (emu_nvme_data_exceeds(ctrl, bytes))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	return emu_nvme_data_begin(req, bytes);
}

static uint16_t read_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;
	uint16_t status;

	load(walk->req->ctrl, offset, walk->md);
	status = look(walk, offset, data, walk->md);
	if (!status)
		status = emu_nvme_data_to_host(walk->req, data, block_bytes(walk));
	return status ? status : move_md(walk, walk->md, true);
}

uint16_t emu_nvme_md_read(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes)
{
	return visit(req, offset, bytes, false, read_block);
}

static uint16_t write_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;
	struct emu_nvme *ctrl = walk->req->ctrl;
	uint16_t status = emu_nvme_data_from_host(walk->req, walk->block, block_bytes(walk));

	if (!status)
		status = move_md(walk, walk->md, false);
	if (!status && !walk->tags.act)
		status = look(walk, offset, walk->block, walk->md);
	if (status)
		return status;
	if (ctrl->md.type && walk->tags.act)
		emu_nvme_pi_make(&ctrl->md, &walk->tags, index_of(walk, offset), walk->block,
				 block_bytes(walk), walk->md);
	if (walk->req->spoil_guard && ctrl->md.type)
		walk->md[ctrl->md.first ? 0 : ctrl->md.bytes - emu_nvme_pi_bytes(ctrl->md.pif)] ^= 1;
	memcpy(data, walk->block, block_bytes(walk));
	keep(ctrl, offset, walk->md);
	return 0;
}

uint16_t emu_nvme_md_write(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes)
{
	return visit(req, offset, bytes, true, write_block);
}

/* Protection information is checked, and other metadata is compared, as data is (NVM 3.2.1). */
static uint16_t compare_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;
	const struct emu_nvme_md *of = &walk->req->ctrl->md;
	size_t from = 0, bytes = of->bytes;
	uint8_t md[EMU_NVME_MAX_MD];
	uint16_t status = emu_nvme_data_from_host(walk->req, walk->block, block_bytes(walk));

	if (!status)
		status = move_md(walk, walk->md, false);
	load(walk->req->ctrl, offset, md);
	if (!status)
		status = look(walk, offset, data, md);
	if (status)
		return status;
	if (of->type) {
		bytes -= emu_nvme_pi_bytes(of->pif);
		from = of->first ? emu_nvme_pi_bytes(of->pif) : 0;
	}
	return memcmp(data, walk->block, block_bytes(walk)) ||
	       memcmp(md + from, walk->md + from, bytes) ? COMPARE_FAILURE : 0;
}

uint16_t emu_nvme_md_compare(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes)
{
	return visit(req, offset, bytes, false, compare_block);
}

static uint16_t verify_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;

	load(walk->req->ctrl, offset, walk->md);
	return look(walk, offset, data, walk->md);
}

uint16_t emu_nvme_md_verify(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes)
{
	uint16_t status;
	struct walk walk;

	walk_start(&walk, req, offset, bytes);
	status = req->ctrl->md.type ? emu_nvme_tags_check(req, &walk.tags) : 0;
	return status ? status :
			emu_nvme_store_visit(&req->ctrl->store, offset, bytes, false, verify_block, &walk);
}

static uint16_t zero_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;
	struct emu_nvme *ctrl = walk->req->ctrl;

	memset(walk->md, 0, ctrl->md.bytes);
	emu_nvme_pi_make(&ctrl->md, &walk->tags, index_of(walk, offset), data, block_bytes(walk), walk->md);
	keep(ctrl, offset, walk->md);
	return 0;
}

static uint16_t forget_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;

	(void)data;
	memset(md_at(walk->req->ctrl, offset), 0, walk->req->ctrl->md.bytes);
	return 0;
}

uint16_t emu_nvme_md_zero(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes, bool deallocated)
{
	uint16_t status;
	struct walk walk;
	bool makes;

	walk_start(&walk, req, offset, bytes);
	makes = !deallocated && req->ctrl->md.type && walk.tags.act;
	status = makes ? emu_nvme_tags_check(req, &walk.tags) : 0;
	return status ? status :
			emu_nvme_store_visit(&req->ctrl->store, offset, bytes, true,
					     makes ? zero_block : forget_block, &walk);
}

/* ---- Copy ---- */

static uint16_t take_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;
	uint16_t status;

	load(walk->req->ctrl, offset, walk->md);
	status = look(walk, offset, data, walk->md);
	memcpy(walk->block, data, block_bytes(walk));
	return status;
}

static uint16_t put_block(void *ctx, uint64_t offset, uint8_t *data)
{
	struct walk *walk = ctx;
	struct emu_nvme *ctrl = walk->req->ctrl;

	memcpy(data, walk->block, block_bytes(walk));
	if (ctrl->md.type && walk->tags.act)
		emu_nvme_pi_make(&ctrl->md, &walk->tags, index_of(walk, offset), data, block_bytes(walk),
				 walk->md);
	keep(ctrl, offset, walk->md);
	return 0;
}

uint16_t emu_nvme_md_copy(struct emu_nvme_req *req, uint64_t from, uint64_t to, uint64_t bytes,
			  uint64_t copied)
{
	size_t block = (size_t)1 << req->ctrl->lba_shift;
	unsigned prinfor = req->cmd->cdw12 >> 12 & 0xf;
	struct emu_nvme_tags written;
	struct walk walk;
	uint16_t status = 0;

	walk_start(&walk, req, to, bytes);
	written = walk.tags;
	written.ref_tag += copied;
	/* One without the other would be more or less than there is. */
	if (req->ctrl->md.type && (written.act != !!(prinfor & 8) || (prinfor & 3)))
		return EMU_NVME_SPECIFIC(INVALID_PROTECTION);
	for (uint64_t at = 0; at < bytes && !status; at += block) {
		walk.tags.guard = prinfor & 4;
		walk.tags.app = walk.tags.ref = false;
		status = emu_nvme_store_visit(&req->ctrl->store, from + at, block, false, take_block, &walk);
		walk.tags = written;
		if (!status)
			status = emu_nvme_store_visit(&req->ctrl->store, to + at, block, true,
						      put_block, &walk);
	}
	return status;
}
