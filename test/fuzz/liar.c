/* SPDX-License-Identifier: BSD-3-Clause */
#include "liar.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_fdp_spec.h>
#include <nsdk/nvme_spec.h>

#include "lib/emu/nvme_internal.h"
#include "lib/iommu/iommu_internal.h"

#define MAX_LIES 16u
#define MAX_PIECES 600u
#define HELD_MAX 8u
#define PAGE 4096u

#define CLOCK_STEP_NS 100000ull
#define CLOCK_STEP_MAX_NS 4000000000ull
/* Looks at the clock without a completion in between, before it goes faster. */
#define CLOCK_PATIENCE 128u

/* Memory that the driver has named in the command that was fetched last. */
struct piece {
	uint64_t iova, bytes;
};

/* A completion that comes later. */
struct held {
	uint64_t iova;
	unsigned turns;
	struct nsdk_nvme_cpl cpl;
};

static struct {
	const struct liar_host *host;
	struct emu_nvme *ctrl;
	struct liar_lie lies[MAX_LIES];
	bool told[MAX_LIES];
	unsigned count;
	bool misled;
	unsigned asleep; /* turns that the model is not given */
	struct piece pieces[MAX_PIECES];
	unsigned piece_count;
	uint64_t list_iova, list_bytes;
	bool device_writes;
	bool reports; /* what it writes is a report, of zones or of placement handles */
	struct held held[HELD_MAX];
	unsigned held_count;
	uint64_t now_ns, step_ns;
	unsigned looks;
} liar;

int __real_nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes,
			     bool nosnoop, const char *owner);
int __real_nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from,
			      size_t bytes, bool nosnoop, const char *owner);
int __wrap_nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes,
			     bool nosnoop, const char *owner);
int __wrap_nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from,
			      size_t bytes, bool nosnoop, const char *owner);
uint64_t __wrap_nsdk_clock_ns(void);
int __wrap_sched_yield(void);

void liar_found(const char *format, ...)
{
	va_list args;

	fputs("found: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

void liar_reset(const struct liar_lie *lies, unsigned count, const struct liar_host *host)
{
	memset(&liar, 0, sizeof(liar));
	liar.host = host;
	liar.count = count < MAX_LIES ? count : MAX_LIES;
	for (unsigned i = 0; i < liar.count; i++)
		liar.lies[i] = lies[i];
	liar.step_ns = CLOCK_STEP_NS;
}

bool liar_misled(void)
{
	return liar.misled;
}

uint64_t liar_clock_ns(void)
{
	if (++liar.looks % CLOCK_PATIENCE == 0 && liar.step_ns < CLOCK_STEP_MAX_NS)
		liar.step_ns *= 2;
	liar.now_ns += liar.step_ns;
	return liar.now_ns;
}

uint64_t __wrap_nsdk_clock_ns(void)
{
	return liar_clock_ns();
}

/* Nobody else is there to run. */
int __wrap_sched_yield(void)
{
	return 0;
}

/* The lie that is due now, or NULL. */
static const struct liar_lie *due(enum liar_event event)
{
	for (unsigned i = 0; i < liar.count; i++) {
		if (liar.told[i] || liar.lies[i].event % 16 % LIAR_EVENTS != (unsigned)event)
			continue;
		if (liar.lies[i].skip > 0) {
			liar.lies[i].skip--;
			continue;
		}
		liar.told[i] = true;
		return &liar.lies[i];
	}
	return NULL;
}

static unsigned how(const struct liar_lie *lie)
{
	return lie->event >> 4;
}

static uint64_t value_of(const struct liar_lie *lie)
{
	uint64_t value = 0;

	memcpy(&value, lie->value, sizeof(lie->value));
	return le64toh(value);
}

/* ---- What the driver says ---- */

static void *va_of(struct nsdk_emu_dma *dma, uint64_t iova, size_t bytes, size_t *have)
{
	void *va;

	return nsdk_ioas_soft_lookup(dma->ioas, iova, bytes, NSDK_IOAS_READ, &va, have) ? NULL : va;
}

/* One piece of a payload, which must be the host's; it takes any number of mappings. */
static void name_piece(struct nsdk_emu_dma *dma, uint64_t iova, uint64_t bytes)
{
	if (liar.piece_count == MAX_PIECES)
		liar_found("a command of more than %u pages", MAX_PIECES);
	liar.pieces[liar.piece_count++] = (struct piece){ iova, bytes };
	while (bytes > 0) {
		size_t have = 0;
		const void *va = va_of(dma, iova, bytes, &have);

		if (!va && !liar.misled)
			liar_found("a command names IOVA %llxh, where nothing is mapped",
				   (unsigned long long)iova);
		if (!va || !liar.host->owns(va, have, liar.device_writes)) {
			if (!liar.misled)
				liar_found("a command names %zu bytes at %p, which are of no I/O under way",
					   have, va);
			liar.piece_count--; /* the device is not to touch it */
			return;
		}
		iova += have;
		bytes -= have;
	}
}

/* An SGL: one data block in the command, or one segment of them, which is the last. */
static void name_blocks(struct nsdk_emu_dma *dma, const struct nsdk_nvme_cmd *cmd, uint64_t bytes)
{
	struct nsdk_nvme_sgl sgl;
	uint64_t list;

	memcpy(&sgl, &cmd->prp1, sizeof(sgl));
	if (sgl.type == NSDK_NVME_SGL_DATA_BLOCK) {
		if (sgl.length != bytes)
			liar_found("a data block of %u bytes for %llu", sgl.length,
				   (unsigned long long)bytes);
		name_piece(dma, sgl.address, sgl.length);
		return;
	}
	list = sgl.address;
	liar.list_iova = list;
	liar.list_bytes = sgl.length;
	if (sgl.type != NSDK_NVME_SGL_LAST_SEGMENT || list % sizeof(sgl) || sgl.length % sizeof(sgl) ||
	    list % PAGE + liar.list_bytes > PAGE)
		liar_found("a segment of type %02xh with %u bytes at %llxh is none of ours", sgl.type,
			   sgl.length, (unsigned long long)list);
	for (; list < liar.list_iova + liar.list_bytes; list += sizeof(sgl)) {
		/* As the device sees it: past the caches where it may. */
		if (__real_nsdk_emu_dma_read(dma, list, &sgl, sizeof(sgl),
					     liar.ctrl->opts.nosnoop == EMU_NVME_NOSNOOP_ALL,
					     "emu:liar"))
			liar_found("an SGL segment at %llxh, where nothing is mapped",
				   (unsigned long long)list);
		if (sgl.type != NSDK_NVME_SGL_DATA_BLOCK || sgl.length == 0 || sgl.length > bytes)
			liar_found("a descriptor of type %02xh and %u bytes where %llu are left", sgl.type,
				   sgl.length, (unsigned long long)bytes);
		name_piece(dma, sgl.address, sgl.length);
		bytes -= sgl.length;
	}
	if (bytes)
		liar_found("an SGL that is %llu bytes short", (unsigned long long)bytes);
}

static void name_pages(struct nsdk_emu_dma *dma, const struct nsdk_nvme_cmd *cmd, uint64_t bytes)
{
	uint64_t first = PAGE - cmd->prp1 % PAGE, entry;
	uint64_t list;

	if (cmd->prp1 & 3)
		liar_found("PRP1 is %llxh", (unsigned long long)cmd->prp1);
	name_piece(dma, cmd->prp1, bytes < first ? bytes : first);
	if (bytes <= first)
		return;
	bytes -= first;
	if (bytes <= PAGE) {
		if (cmd->prp2 % PAGE)
			liar_found("PRP2 is %llxh, and no list", (unsigned long long)cmd->prp2);
		name_piece(dma, cmd->prp2, bytes);
		return;
	}
	list = cmd->prp2;
	liar.list_iova = list;
	liar.list_bytes = (bytes + PAGE - 1) / PAGE * sizeof(entry);
	if (list % sizeof(entry) || list % PAGE + liar.list_bytes > PAGE)
		liar_found("a PRP list of %llu bytes at %llxh is no list of ours",
			   (unsigned long long)liar.list_bytes, (unsigned long long)list);
	for (; bytes > 0; list += sizeof(entry)) {
		uint64_t part = bytes < PAGE ? bytes : PAGE;

		/* As the device sees it: past the caches where it may. */
		if (__real_nsdk_emu_dma_read(dma, list, &entry, sizeof(entry),
					     liar.ctrl->opts.nosnoop == EMU_NVME_NOSNOOP_ALL,
					     "emu:liar"))
			liar_found("a PRP list at %llxh, where nothing is mapped",
				   (unsigned long long)list);
		if (entry % PAGE)
			liar_found("PRP %llxh in a list", (unsigned long long)entry);
		name_piece(dma, entry, part);
		bytes -= part;
	}
}

/* An I/O command was fetched: what it names is what the device may touch, and nothing else is. */
static void take_command(struct nsdk_emu_dma *dma, const struct nsdk_nvme_cmd *cmd)
{
	uint64_t block = liar.host->block_bytes(cmd->nsid), bytes = 0;

	liar.piece_count = 0;
	liar.list_bytes = 0;
	switch (cmd->opcode) {
	case NSDK_NVME_NVM_READ:
	case NSDK_NVME_NVM_WRITE:
	case NSDK_NVME_NVM_COMPARE:
		bytes = ((cmd->cdw12 & 0xffff) + 1) * block;
		if (block == 0 && !liar.misled)
			liar_found("opcode %02xh for namespace %u, which does no I/O", cmd->opcode,
				   cmd->nsid);
		break;
	case NSDK_NVME_NVM_DATASET_MANAGEMENT:
		bytes = ((cmd->cdw10 & 0xff) + 1) * sizeof(struct nsdk_nvme_dsm_range);
		break;
	case NSDK_NVME_NVM_COPY:
		bytes = ((cmd->cdw12 & 0xff) + 1) * sizeof(struct nsdk_nvme_copy_range);
		break;
	case NSDK_NVME_ZNS_APPEND:
		bytes = ((cmd->cdw12 & 0xffff) + 1) * block;
		break;
	case NSDK_NVME_ZNS_MGMT_RECEIVE:
		bytes = ((uint64_t)cmd->cdw12 + 1) * 4;
		break;
	case NSDK_NVME_NVM_IO_MGMT_RECEIVE:
		bytes = ((uint64_t)cmd->cdw11 + 1) * 4;
		break;
	default:
		break;
	}
	liar.reports = cmd->opcode == NSDK_NVME_ZNS_MGMT_RECEIVE ||
		       cmd->opcode == NSDK_NVME_NVM_IO_MGMT_RECEIVE;
	liar.device_writes = cmd->opcode == NSDK_NVME_NVM_READ || liar.reports;
	if (bytes > 0 && bytes <= (uint64_t)MAX_PIECES * PAGE)
		(cmd->flags & NSDK_NVME_PSDT_SGL ? name_blocks : name_pages)(dma, cmd, bytes);
	else if (bytes > 0 && !liar.misled)
		liar_found("a command of %llu bytes", (unsigned long long)bytes);
}

static bool is_named(uint64_t iova, uint64_t bytes)
{
	for (unsigned i = 0; i < liar.piece_count; i++)
		if (iova >= liar.pieces[i].iova &&
		    iova + bytes <= liar.pieces[i].iova + liar.pieces[i].bytes)
			return true;
	return false;
}

/* ---- What the device says ---- */

static bool in_ring(uint64_t iova, uint64_t ring, uint64_t bytes)
{
	return iova >= ring && iova < ring + bytes;
}

static struct emu_nvme_cq *cq_at(uint64_t iova)
{
	for (unsigned i = 0; i <= liar.ctrl->opts.queues; i++) {
		struct emu_nvme_cq *cq = &liar.ctrl->cqs[i];

		if (cq->exists && in_ring(iova, cq->iova, cq->entries * sizeof(struct nsdk_nvme_cpl)))
			return cq;
	}
	return NULL;
}

static struct emu_nvme_sq *sq_at(uint64_t iova)
{
	for (unsigned i = 0; i <= liar.ctrl->opts.queues; i++) {
		struct emu_nvme_sq *sq = &liar.ctrl->sqs[i];

		if (sq->exists && in_ring(iova, sq->iova, sq->entries * sizeof(struct nsdk_nvme_cmd)))
			return sq;
	}
	return NULL;
}

/* A completion, changed. @return whether it is to be written at all. */
static bool twist(struct nsdk_nvme_cpl *cpl, const struct liar_lie *lie, uint64_t iova)
{
	uint16_t phase = cpl->status & NSDK_NVME_STATUS_PHASE;
	uint64_t value = value_of(lie);
	uint8_t bytes[sizeof(*cpl)];

	switch (how(lie) % 9) {
	case 0: /* never */
		liar.misled = true;
		return false;
	case 1: /* later */
		if (liar.held_count < HELD_MAX) {
			liar.held[liar.held_count++] =
				(struct held){ iova, lie->value[0], *cpl };
			return false;
		}
		return true;
	case 2:
		cpl->status = (uint16_t)(value << 1) | phase;
		return true;
	case 3:
		liar.misled = true;
		cpl->cid = (uint16_t)value;
		return true;
	case 4:
		cpl->sqid = (uint16_t)value;
		return true;
	case 5:
		cpl->sqhd = (uint16_t)value;
		return true;
	case 6:
		cpl->dw0 = (uint32_t)value;
		return true;
	case 7: /* one bit */
		liar.misled = true;
		memcpy(bytes, cpl, sizeof(bytes));
		bytes[value / 8 % sizeof(bytes)] ^= (uint8_t)(1u << value % 8);
		memcpy(cpl, bytes, sizeof(bytes));
		return true;
	default: /* all of it */
		liar.misled = true;
		*cpl = (struct nsdk_nvme_cpl){
			.sqhd = lie->value[0],
			.sqid = lie->value[1],
			.cid = (uint16_t)(lie->value[2] | lie->value[3] << 8),
			.status = (uint16_t)(lie->value[4] | lie->value[5] << 8),
		};
		return true;
	}
}

static void patch(uint8_t *data, size_t bytes, const struct liar_lie *lie)
{
	uint64_t value = value_of(lie);
	size_t at = (value & 0xffff) % bytes, count = 1u << how(lie) % 3;

	if (how(lie) == 15) {
		memset(data, lie->value[2], bytes);
		return;
	}
	for (size_t i = 0; i < count && at + i < bytes; i++)
		data[at + i] = lie->value[2 + i % 4];
}

int __wrap_nsdk_emu_dma_read(struct nsdk_emu_dma *dma, uint64_t iova, void *to, size_t bytes,
			     bool nosnoop, const char *owner)
{
	const struct emu_nvme_sq *sq = bytes == sizeof(struct nsdk_nvme_cmd) ? sq_at(iova) : NULL;
	const struct liar_lie *lie;
	int rc;

	if (!sq && strncmp(owner, "emu:nvme sqid 0", 15) != 0) {
		lie = due(LIAR_COMMAND);
		if (lie || (!is_named(iova, bytes) && !(bytes <= liar.list_bytes &&
							in_ring(iova, liar.list_iova, liar.list_bytes))))
			return -EFAULT;
	}
	rc = __real_nsdk_emu_dma_read(dma, iova, to, bytes, nosnoop, owner);
	if (rc == 0 && sq && sq->id > 0)
		take_command(dma, to);
	return rc;
}

static int write_completion(struct nsdk_emu_dma *dma, uint64_t iova, const void *from, bool nosnoop,
			    const char *owner)
{
	const struct liar_lie *lie = due(LIAR_COMPLETION);
	struct nsdk_nvme_cpl cpl;

	liar.step_ns = CLOCK_STEP_NS;
	memcpy(&cpl, from, sizeof(cpl));
	if (lie && !twist(&cpl, lie, iova))
		return 0;
	return __real_nsdk_emu_dma_write(dma, iova, &cpl, sizeof(cpl), nosnoop, owner);
}

int __wrap_nsdk_emu_dma_write(struct nsdk_emu_dma *dma, uint64_t iova, const void *from,
			      size_t bytes, bool nosnoop, const char *owner)
{
	uint8_t copy[PAGE];
	const struct liar_lie *lie;
	size_t have = 0;
	void *va;
	int rc;

	if (bytes == sizeof(struct nsdk_nvme_cpl) && cq_at(iova))
		return write_completion(dma, iova, from, nosnoop, owner);
	if (strncmp(owner, "emu:nvme sqid 0", 15) == 0) {
		lie = due(LIAR_DATA);
		if (lie && bytes <= sizeof(copy)) {
			memcpy(copy, from, bytes);
			patch(copy, bytes, lie);
			from = copy;
		}
	} else if (liar.reports && is_named(iova, bytes)) {
		lie = due(LIAR_DATA);
		if (lie && bytes <= sizeof(copy)) {
			memcpy(copy, from, bytes);
			patch(copy, bytes, lie);
			from = copy;
		}
	} else if (due(LIAR_COMMAND) || !is_named(iova, bytes) || !liar.device_writes) {
		return -EFAULT;
	}
	rc = __real_nsdk_emu_dma_write(dma, iova, from, bytes, nosnoop, owner);
	for (const uint8_t *at = from; rc == 0 && bytes > 0; at += have, iova += have, bytes -= have) {
		va = va_of(dma, iova, bytes, &have);
		/* What admin commands write is mostly the driver's own. */
		if (liar.host->owns(va, have, true))
			liar.host->wrote(va, at, have);
	}
	return rc;
}

/* ---- The device ---- */

static uint64_t liar_mmio_read(struct nsdk_emu_model *model, unsigned bar, size_t offset,
			       unsigned width)
{
	uint64_t value = nsdk_emu_nvme.mmio_read(model, bar, offset, width);
	const struct liar_lie *lie = due(LIAR_REGISTER);
	uint64_t said;

	if (!lie)
		return value;
	said = value_of(lie);
	/* Where the doorbells are: the model does not follow, and reads them where they are not. */
	if (offset < NSDK_NVME_REG_VS)
		liar.misled = true;
	/* Nor where commands are, if they are on the controller. */
	if (offset >= NSDK_NVME_REG_CMBLOC && offset <= NSDK_NVME_REG_CMBSTS)
		liar.misled = true;
	switch (how(lie) % 4) {
	case 0:
		return UINT64_MAX;
	case 1:
		return said;
	case 2:
		return value ^ UINT64_C(1) << said % 64;
	default:
		return value ^ said << 16;
	}
}

static int liar_cfg_read(struct nsdk_emu_model *model, unsigned offset, unsigned width,
			 uint32_t *out)
{
	int rc = nsdk_emu_nvme.cfg_read(model, offset, width, out);
	const struct liar_lie *lie = due(LIAR_CONFIG);

	if (lie) {
		/* What is no-snoop then, and whether it may do DMA, is anybody's guess. */
		liar.misled = true;
		*out = how(lie) % 2 ? UINT32_MAX : (uint32_t)value_of(lie);
		*out &= UINT32_MAX >> (4 - width) * 8;
	}
	return rc;
}

/* A completion out of nowhere, in a ring's next place. */
static void speak_up(const struct liar_lie *lie)
{
	struct emu_nvme *ctrl = liar.ctrl;
	unsigned qid = lie->value[0] % (ctrl->opts.queues + 1);
	struct emu_nvme_cq *cq = &ctrl->cqs[qid];

	liar.misled = true;
	if (!cq->exists || !cq->sqs || !ctrl->model.dma.bus_master || !emu_nvme_cq_has_room(cq))
		return;
	emu_nvme_post(ctrl, cq, cq->sqs, (uint16_t)(lie->value[1] | lie->value[2] << 8), lie->value[3],
		      (uint16_t)(lie->value[4] << 1));
}

static void speak_late(void)
{
	for (unsigned i = 0; i < liar.held_count; i++) {
		struct held *held = &liar.held[i];

		if (held->turns-- > 0)
			continue;
		/* The ring may have gone meanwhile; then it may not write there any more. */
		if (cq_at(held->iova))
			__real_nsdk_emu_dma_write(&liar.ctrl->model.dma, held->iova, &held->cpl,
						  sizeof(held->cpl),
						  liar.ctrl->opts.nosnoop == EMU_NVME_NOSNOOP_ALL,
						  "emu:liar");
		*held = liar.held[--liar.held_count];
		i--;
	}
}

static void liar_poll(struct nsdk_emu_model *model)
{
	const struct liar_lie *lie = due(LIAR_TURN);

	speak_late();
	if (lie) {
		switch (how(lie) % 6) {
		case 0:
			emu_nvme_pull_out(liar.ctrl);
			break;
		case 1:
			emu_nvme_fatal(liar.ctrl, "a lie");
			break;
		case 2:
			liar.asleep = (unsigned)value_of(lie) & 0xfff;
			break;
		case 3:
			emu_nvme_event_raise(liar.ctrl, lie->value[0] % EMU_NVME_EVENTS, lie->value[1],
					     lie->value[2]);
			break;
		case 4: /* somebody else resets it */
			liar.misled = true;
			nsdk_emu_nvme.reset(model);
			break;
		default:
			speak_up(lie);
			break;
		}
	}
	if (liar.asleep > 0) {
		liar.asleep--;
		return;
	}
	nsdk_emu_nvme.poll(model);
}

static struct nsdk_emu_model_ops ops;

static int liar_create(const char *options, struct nsdk_emu_model **out)
{
	int rc = nsdk_emu_nvme.create(options, out);

	if (rc)
		return rc;
	ops = nsdk_emu_nvme;
	ops.cfg_read = liar_cfg_read;
	ops.mmio_read = liar_mmio_read;
	ops.poll = liar_poll;
	(*out)->ops = &ops;
	liar.ctrl = (struct emu_nvme *)*out;
	return 0;
}

static const struct nsdk_emu_model_ops entry = { .name = "liar", .create = liar_create };

/* Instead of the library's own list, so that no user can meet one. */
const struct nsdk_emu_model_ops *const nsdk_emu_models[] = { &entry, NULL };
