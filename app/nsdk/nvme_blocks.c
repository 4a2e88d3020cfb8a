/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme dsm, write-zeroes, write-uncor, verify, copy: what is done with blocks where they are.
 */
#include <stdio.h>

#include "nvme.h"

#define MAX_RANGES NSDK_NVME_DSM_MAX_RANGES
NSDK_SPEC_ASSERT(NSDK_NVME_COPY_MAX_RANGES <= MAX_RANGES);

/* What there is of --blocks, --slbs and --ctx-attrs; a list that is shorter goes on with zeroes. */
struct ranges {
	uint64_t blocks[MAX_RANGES], slbas[MAX_RANGES], attrs[MAX_RANGES];
	unsigned count;
};

static bool read_one(struct nvme_run *run, const char *option, const struct nvme_value *value, uint64_t max,
		     uint64_t *out, unsigned *most)
{
	unsigned count = value->given ? nvme_numbers(run, option, value->text, max, out, MAX_RANGES) : 0;

	if (count > *most)
		*most = count;
	return !value->given || count != 0;
}

static int read_ranges(struct nvme_run *run, uint64_t max_blocks, struct ranges *out)
{
	*out = (struct ranges){ .count = 0 };
	if (!read_one(run, "blocks", &run->v.blocks, max_blocks, out->blocks, &out->count) ||
	    !read_one(run, "slbs", &run->v.slbas, UINT64_MAX, out->slbas, &out->count) ||
	    !read_one(run, "ctx-attrs", &run->v.attrs, UINT32_MAX, out->attrs, &out->count))
		return TOOL_USAGE;
	return TOOL_DONE;
}

static uint32_t rw_flags(const struct nvme_run *run)
{
	return (run->v.fua ? NSDK_NVME_RW_FUA : 0) |
	       (run->v.limited_retry ? NSDK_NVME_RW_LIMITED_RETRY : 0);
}

#define RETRY_OPTION NVME_FLAG_OPTION("limited-retry", 'l', limited_retry, "limit the attempts to access the media")
#define FUA_OPTION NVME_FLAG_OPTION("force-unit-access", 'f', fua, "past the write cache")

/* ---- dsm ---- */

#define INTEGRAL_READ 1u
#define INTEGRAL_WRITE 2u

static uint32_t dsm_attributes(const struct nvme_values *v)
{
	if (v->cdw11.given)
		return (uint32_t)v->cdw11.number;
	return (v->deallocate ? NSDK_NVME_DSM_DEALLOCATE : 0) | (v->idr ? INTEGRAL_READ : 0) |
	       (v->idw ? INTEGRAL_WRITE : 0);
}

static int check_dsm(struct nvme_run *run)
{
	struct ranges ranges;
	int status = read_ranges(run, UINT32_MAX, &ranges);

	if (status == TOOL_DONE && ranges.count == 0)
		return nvme_usage(run, "--blocks and --slbs are missing: which ranges");
	if (status == TOOL_DONE && dsm_attributes(&run->v) == 0)
		return nvme_usage(run, "--ad, --idr, --idw or --cdw11 is wanted: what about them");
	if (status == TOOL_DONE && dsm_attributes(&run->v) & NSDK_NVME_DSM_DEALLOCATE && !run->v.yes)
		return nvme_usage(run, "what is in the blocks will be lost; say --yes if that is meant");
	return status;
}

struct dsm {
	unsigned count;
	uint32_t attributes;
};

static int issue_dsm(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
		     nsdk_nvme_cb cb, void *ctx)
{
	const struct dsm *dsm = io->args;

	return nsdk_nvme_dsm(ns, qp, buf, dsm->count, dsm->attributes, cb, ctx);
}

static int run_dsm(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = nvme_ns(run);
	struct nsdk_nvme_dsm_range list[MAX_RANGES];
	struct nsdk_nvme_cpl cpl;
	struct ranges ranges;
	struct dsm dsm;
	struct nvme_io io = {
		.what = "Dataset Management", .issue = issue_dsm, .args = &dsm, .data = list,
		.dir = NSDK_DMA_TO_DEVICE,
	};
	int status = ns != NULL ? read_ranges(run, UINT32_MAX, &ranges) : TOOL_FAILED;

	if (status != TOOL_DONE)
		return status;
	for (unsigned i = 0; i < ranges.count; i++) {
		if (ranges.blocks[i] && !nvme_has_blocks(run, ns, ranges.slbas[i], ranges.blocks[i]))
			return TOOL_FAILED;
		list[i] = (struct nsdk_nvme_dsm_range){
			.attributes = (uint32_t)ranges.attrs[i],
			.blocks = (uint32_t)ranges.blocks[i],
			.slba = ranges.slbas[i],
		};
	}
	dsm = (struct dsm){ .count = ranges.count, .attributes = dsm_attributes(&run->v) };
	io.bytes = ranges.count * sizeof(list[0]);
	status = nvme_do_io(run, ns, &io, &cpl);
	if (status == TOOL_DONE)
		printf("NVMe DSM: success\n");
	return status;
}

static const struct nvme_option dsm_options[] = {
	NVME_ONE_NSID_OPTION,
	NVME_TEXT_OPTION("ctx-attrs", 'a', attrs, "attributes of each range, as 0,0x10"),
	NVME_TEXT_OPTION("blocks", 'b', blocks, "blocks of each range, as 8,16"),
	NVME_TEXT_OPTION("slbs", 's', slbas, "first block of each range, as 0,0x100"),
	NVME_FLAG_OPTION("ad", 'd', deallocate, "deallocate them: their data is lost (wants --yes)"),
	NVME_FLAG_OPTION("idw", 'w', idw, "they are written together"),
	NVME_FLAG_OPTION("idr", 'r', idr, "they are read together"),
	NVME_NUMBER_OPTION("cdw11", 'c', cdw11, UINT32_MAX, "all attributes as a number, instead of those"),
	NVME_FLAG_OPTION("yes", 0, yes, "with --ad: do it, although it cannot be undone"),
	NVME_TIMEOUT_OPTION(0),
	NVME_END,
};

const struct nvme_sub nvme_dsm = {
	.name = "dsm",
	.summary = "Say how ranges of blocks are used, or that they are not",
	.options = dsm_options,
	.check = check_dsm,
	.run = run_dsm,
};

/* ---- write-zeroes, write-uncor, verify ---- */

struct span {
	uint8_t opcode;
	uint64_t slba;
	uint32_t blocks, flags;
};

static int issue_span(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		      void *buf, nsdk_nvme_cb cb, void *ctx)
{
	const struct span *span = io->args;

	(void)buf;
	if (span->opcode == NSDK_NVME_NVM_WRITE_ZEROES)
		return nsdk_nvme_write_zeroes(ns, qp, span->slba, span->blocks, span->flags, cb, ctx);
	if (span->opcode == NSDK_NVME_NVM_VERIFY)
		return nsdk_nvme_verify(ns, qp, span->slba, span->blocks, span->flags, cb, ctx);
	return nsdk_nvme_write_uncorrectable(ns, qp, span->slba, span->blocks, cb, ctx);
}

static int run_span(struct nvme_run *run, uint8_t opcode, const char *words)
{
	struct nsdk_nvme_ns *ns = nvme_ns(run);
	struct span span = {
		.opcode = opcode,
		.slba = run->v.slba.number,
		.blocks = (uint32_t)run->v.blocks.number + 1,
		.flags = rw_flags(run) | (run->v.deallocate ? NSDK_NVME_WZ_DEALLOCATE : 0),
	};
	struct nvme_io io = {
		.what = nsdk_nvme_io_opcode_name(opcode), .issue = issue_span, .args = &span,
		.dir = NSDK_DMA_TO_DEVICE,
	};
	struct nsdk_nvme_cpl cpl;
	int status;

	if (ns == NULL || !nvme_has_blocks(run, ns, span.slba, span.blocks))
		return TOOL_FAILED;
	status = nvme_do_io(run, ns, &io, &cpl);
	if (status == TOOL_DONE)
		printf("%s\n", words);
	return status;
}

static int run_zeroes(struct nvme_run *run)
{
	return run_span(run, NSDK_NVME_NVM_WRITE_ZEROES, "NVME Write Zeroes Success");
}

static int run_uncorrectable(struct nvme_run *run)
{
	return run_span(run, NSDK_NVME_NVM_WRITE_UNCORRECTABLE, "NVME Write Uncorrectable Success");
}

static int run_verify(struct nvme_run *run)
{
	return run_span(run, NSDK_NVME_NVM_VERIFY, "NVME Verify Success");
}

#define SPAN_OPTIONS                                                                                \
	NVME_ONE_NSID_OPTION, NVME_NUMBER_OPTION("start-block", 's', slba, UINT64_MAX, "first block [0]"),  \
		NVME_NUMBER_OPTION("block-count", 'c', blocks, 65535, "number of blocks, less one [0]"),    \
		NVME_TIMEOUT_OPTION(0)

static const struct nvme_option zeroes_options[] = {
	SPAN_OPTIONS,
	NVME_FLAG_OPTION("deac", 'd', deallocate, "deallocate them, if they read as zeroes then"),
	RETRY_OPTION,
	FUA_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_write_zeroes = {
	.name = "write-zeroes",
	.summary = "Set blocks to zero",
	.options = zeroes_options,
	.danger = "what is in the blocks will be lost",
	.run = run_zeroes,
};

static const struct nvme_option uncorrectable_options[] = { SPAN_OPTIONS, NVME_END };

const struct nvme_sub nvme_write_uncor = {
	.name = "write-uncor",
	.summary = "Mark blocks as ones that cannot be read, until they are written again",
	.options = uncorrectable_options,
	.danger = "what is in the blocks will be lost",
	.run = run_uncorrectable,
};

static const struct nvme_option verify_options[] = { SPAN_OPTIONS, RETRY_OPTION, FUA_OPTION, NVME_END };

const struct nvme_sub nvme_verify = {
	.name = "verify",
	.summary = "Have the controller check that blocks can be read",
	.options = verify_options,
	.run = run_verify,
};

/* ---- copy ---- */

static int check_copy(struct nvme_run *run)
{
	struct ranges ranges;
	int status = read_ranges(run, 65535, &ranges);

	if (status == TOOL_DONE && ranges.count == 0)
		return nvme_usage(run, "--slbs and --blocks are missing: which ranges");
	if (status == TOOL_DONE && !run->v.sdlba.given)
		return nvme_usage(run, "--sdlba is missing: the first block that they go to");
	return status;
}

struct copy {
	unsigned count;
	uint64_t lba;
	uint32_t flags;
};

static int issue_copy(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp,
		      void *buf, nsdk_nvme_cb cb, void *ctx)
{
	const struct copy *copy = io->args;

	return nsdk_nvme_copy(ns, qp, buf, copy->count, copy->lba, copy->flags, cb, ctx);
}

/* Whether the controller takes that much in one command; it was said otherwise. */
static bool within_limits(struct nvme_run *run, struct nsdk_nvme_ns *ns, const struct ranges *ranges,
			  uint64_t total)
{
	const struct nsdk_nvme_id_ns *id = nsdk_nvme_ns_data(ns);
	uint64_t longest = 0;

	/* It offers no Copy: what there would be of limits is nothing. */
	if (!(nsdk_nvme_ctrlr_data(run->ctrlr)->oncs & NSDK_NVME_ONCS_COPY))
		return true;
	for (unsigned i = 0; i < ranges->count; i++)
		if (ranges->blocks[i] + 1 > longest)
			longest = ranges->blocks[i] + 1;
	if (ranges->count <= id->msrc + 1u && longest <= id->mssrl && total <= id->mcl)
		return true;
	tool_say("%s: one Copy takes at most %u ranges, of at most %u blocks each and %u together", nvme_name(run),
		 id->msrc + 1u, id->mssrl, id->mcl);
	return false;
}

static int run_copy(struct nvme_run *run)
{
	struct nsdk_nvme_ns *ns = nvme_ns(run);
	struct nsdk_nvme_copy_range list[MAX_RANGES];
	struct nsdk_nvme_cpl cpl;
	struct ranges ranges;
	struct copy copy;
	struct nvme_io io = {
		.what = "Copy", .issue = issue_copy, .args = &copy, .data = list, .dir = NSDK_DMA_TO_DEVICE,
	};
	uint64_t total = 0;
	int status = ns != NULL ? read_ranges(run, 65535, &ranges) : TOOL_FAILED;

	if (status != TOOL_DONE)
		return status;
	for (unsigned i = 0; i < ranges.count; i++) {
		if (!nvme_has_blocks(run, ns, ranges.slbas[i], ranges.blocks[i] + 1))
			return TOOL_FAILED;
		list[i] = (struct nsdk_nvme_copy_range){
			.slba = ranges.slbas[i],
			.blocks = (uint16_t)ranges.blocks[i],
		};
		total += ranges.blocks[i] + 1;
	}
	if (!nvme_has_blocks(run, ns, run->v.sdlba.number, total) || !within_limits(run, ns, &ranges, total))
		return TOOL_FAILED;
	copy = (struct copy){ .count = ranges.count, .lba = run->v.sdlba.number, .flags = rw_flags(run) };
	io.bytes = ranges.count * sizeof(list[0]);
	status = nvme_do_io(run, ns, &io, &cpl);
	if (status == TOOL_DONE)
		printf("NVMe Copy: success\n");
	return status;
}

static const struct nvme_option copy_options[] = {
	NVME_ONE_NSID_OPTION,
	NVME_NUMBER_OPTION("sdlba", 'd', sdlba, UINT64_MAX, "first block that they go to"),
	NVME_TEXT_OPTION("slbs", 's', slbas, "first block of each range, as 0,0x100"),
	NVME_TEXT_OPTION("blocks", 'b', blocks, "blocks of each range, less one, as 7,15"),
	RETRY_OPTION,
	FUA_OPTION,
	NVME_TIMEOUT_OPTION(0),
	NVME_END,
};

const struct nvme_sub nvme_copy = {
	.name = "copy",
	.summary = "Copy ranges of blocks, one behind the other, to another place",
	.options = copy_options,
	.danger = "what is in the blocks they go to will be lost",
	.check = check_copy,
	.run = run_copy,
};
