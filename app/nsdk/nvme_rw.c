/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme read, write, compare: blocks from and to files.
 *
 * As nvme-cli has it, --block-count is one less than is meant, what a file has too much is left, and what it
 * has too little is zeroes. Protection information that is all there is of metadata is made and checked by
 * the controller, unless --prinfo says otherwise; other metadata comes from a file of its own, or is among
 * the data where the format has it so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <nsdk/nvme_fdp.h>
#include <nsdk/nvme_pi.h>

#include "nvme.h"

struct rw {
	struct nvme_run *run;
	uint8_t opcode;
	bool ext; /* more is said than a plain read or write says */
	uint64_t slba;
	uint32_t blocks;
	uint32_t flags;
	size_t data_bytes, metadata_bytes; /* the metadata is what the buffer ends with */
	struct nsdk_nvme_io_ext more;
};

static int issue_plain(const struct rw *rw, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
		       nsdk_nvme_cb cb, void *ctx)
{
	switch (rw->opcode) {
	case NSDK_NVME_NVM_READ:
		return nsdk_nvme_read(ns, qp, buf, rw->slba, rw->blocks, rw->flags, cb, ctx);
	case NSDK_NVME_NVM_WRITE:
		return nsdk_nvme_write(ns, qp, buf, rw->slba, rw->blocks, rw->flags, cb, ctx);
	default:
		return nsdk_nvme_compare(ns, qp, buf, rw->slba, rw->blocks, rw->flags, cb, ctx);
	}
}

static int issue(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
		 nsdk_nvme_cb cb, void *ctx)
{
	const struct rw *rw = io->args;
	const struct iovec iov = { .iov_base = buf, .iov_len = rw->data_bytes };
	struct nsdk_nvme_io_ext more = rw->more;

	if (!rw->ext)
		return issue_plain(rw, ns, qp, buf, cb, ctx);
	if (more.dtype == NSDK_NVME_DIRECTIVE_PLACEMENT) {
		struct nsdk_nvme_cpl cpl = { 0 };
		int err = nsdk_nvme_placement_learn(ns, qp, &cpl);

		if (!err && nvme_status(rw->run, "I/O Management Receive", &cpl) != TOOL_DONE)
			err = -EIO;
		if (err)
			return err;
	}
	if (rw->metadata_bytes)
		more.metadata = (uint8_t *)buf + (io->bytes - rw->metadata_bytes);
	if (rw->opcode == NSDK_NVME_NVM_READ)
		return nsdk_nvme_readv_ext(ns, qp, &iov, 1, rw->slba, rw->blocks, &more, cb, ctx);
	if (rw->opcode == NSDK_NVME_NVM_WRITE)
		return nsdk_nvme_writev_ext(ns, qp, &iov, 1, rw->slba, rw->blocks, &more, cb, ctx);
	return nsdk_nvme_comparev_ext(ns, qp, &iov, 1, rw->slba, rw->blocks, &more, cb, ctx);
}

/* What the options say, as far as the namespace has it. @return TOOL_DONE, or it was said. */
static int make(struct nvme_run *run, struct nsdk_nvme_ns *ns, struct rw *rw)
{
	const struct nvme_values *v = &run->v;
	const struct nsdk_nvme_metadata *md = nsdk_nvme_ns_metadata(ns);
	uint64_t block = nsdk_nvme_ns_block_bytes(ns);

	rw->slba = v->slba.number;
	rw->blocks = (uint32_t)v->blocks.number + 1;
	rw->flags = (v->fua ? NSDK_NVME_RW_FUA : 0) | (v->limited_retry ? NSDK_NVME_RW_LIMITED_RETRY : 0);
	if (!nvme_has_blocks(run, ns, rw->slba, rw->blocks))
		return TOOL_FAILED;
	/* Where the controller makes all of the metadata, none travels. */
	if (md != NULL && !(md->bytes == md->pi_bytes &&
			    (!v->prinfo.given || v->prinfo.number & 8) && !v->metadata.given)) {
		if (md->extended)
			block += md->bytes;
		else
			rw->metadata_bytes = (size_t)rw->blocks * md->bytes;
	}
	rw->data_bytes = (size_t)rw->blocks * (size_t)block;
	if (v->length.given && v->length.number > rw->data_bytes) {
		tool_say("--data-size=%s is more than the %u block%s of %" PRIu64 " bytes that --block-count=%" PRIu64
			 " means, which begins with 0", v->length.text, rw->blocks, rw->blocks == 1 ? "" : "s",
			 block, v->blocks.number);
		return TOOL_USAGE;
	}
	if (v->length.given && v->length.number < rw->data_bytes)
		fprintf(stderr, "Rounding data size to fit block count (%zu bytes)\n", rw->data_bytes);
	if (rw->metadata_bytes && !v->metadata.given) {
		tool_say("%s: blocks of namespace %u have %u bytes of metadata apart; say with --metadata which "
			 "file has it", nvme_name(run), nsdk_nvme_ns_id(ns), md->bytes);
		return TOOL_USAGE;
	}
	if (!rw->metadata_bytes && v->metadata.given) {
		tool_say("%s: blocks of namespace %u have no metadata apart", nvme_name(run),
			 nsdk_nvme_ns_id(ns));
		return TOOL_USAGE;
	}
	rw->ext = v->prinfo.given || v->hints.given || v->types.given || v->ref_tag.given ||
		  v->app_tag.given || v->app_mask.given || rw->metadata_bytes || (md != NULL && md->extended);
	rw->more = (struct nsdk_nvme_io_ext){
		.ext_bytes = sizeof(rw->more),
		.flags = rw->flags | (uint32_t)v->prinfo.number << 26,
		.dsm = (uint8_t)v->hints.number,
		.own_ref_tag = v->ref_tag.given,
		.ref_tag = v->ref_tag.number,
		.app_tag = (uint16_t)v->app_tag.number,
		.app_mask = (uint16_t)v->app_mask.number,
		.dtype = (uint8_t)v->types.number,
		.dspec = (uint16_t)v->handle.number,
	};
	/* As the plain ones do: none of it travels, so the controller makes it. */
	if (rw->ext && md != NULL && md->pi_bytes == md->bytes && !v->prinfo.given && !rw->metadata_bytes)
		rw->more.flags |= NSDK_NVME_RW_PRACT;
	return TOOL_DONE;
}

static void show(const struct rw *rw, uint32_t nsid)
{
	uint32_t control = (rw->ext ? rw->more.flags : rw->flags) >> 16 | (uint32_t)rw->more.dtype << 4;

	printf("opcode       : %02x\nnsid         : %02x\nflags        : %02x\ncontrol      : %04x\n"
	       "nblocks      : %04x\nslba         : %" PRIx64 "\ndsmgmt       : %08x\n",
	       rw->opcode, nsid, 0, control, rw->blocks - 1, rw->slba,
	       rw->more.dsm | (uint32_t)rw->more.dspec << 16);
	printf("reftag       : %" PRIx64 "\napptag       : %04x\nappmask      : %04x\n", rw->more.ref_tag,
	       rw->more.app_tag, rw->more.app_mask);
}

/* As much of a file as there is room for; the rest is as it was. @return false: it was said. */
static bool fill(const char *path, uint8_t *data, size_t bytes)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	size_t have = file ? fread(data, 1, bytes, file) : 0;
	bool good = file != NULL && !ferror(file);

	if (file == stdin)
		path = "the standard input";
	if (!good)
		tool_say("%s cannot be read: %s", path, strerror(errno));
	else if (have == 0)
		tool_say("%s is empty", path);
	if (file != NULL && file != stdin)
		fclose(file);
	return good && have != 0;
}

static bool drain(const char *path, const uint8_t *data, size_t bytes)
{
	FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "wbe");
	bool good = file != NULL && fwrite(data, 1, bytes, file) == bytes;

	if (file != NULL)
		good = (file == stdout ? fflush(file) : fclose(file)) == 0 && good;
	if (!good)
		tool_say("%s cannot be written: %s", file == stdout ? "the standard output" : path,
			 strerror(errno));
	return good;
}

static int transfer(struct nvme_run *run, struct nsdk_nvme_ns *ns, const struct rw *rw)
{
	const char *data = run->v.file.given ? run->v.file.text : "-", *metadata = run->v.metadata.text;
	bool reads = rw->opcode == NSDK_NVME_NVM_READ;
	/* The metadata on lines of its own. */
	size_t data_room = (rw->data_bytes + 63) / 64 * 64;
	struct nvme_io io = {
		.what = nsdk_nvme_io_opcode_name(rw->opcode), .issue = issue, .args = rw,
		.bytes = rw->metadata_bytes ? data_room + rw->metadata_bytes : rw->data_bytes,
		.dir = nsdk_nvme_opcode_dir(rw->opcode),
	};
	struct nsdk_nvme_cpl cpl;
	int status = TOOL_FAILED;
	uint8_t *buf = calloc(1, io.bytes);

	if (buf == NULL) {
		tool_say("no memory for %zu bytes", io.bytes);
		return TOOL_FAILED;
	}
	io.data = buf;
	if (!reads && (!fill(data, buf, rw->data_bytes) ||
		       (rw->metadata_bytes && !fill(metadata, buf + data_room, rw->metadata_bytes))))
		goto free_buf;
	status = nvme_do_io(run, ns, &io, &cpl);
	if (status != TOOL_DONE)
		goto free_buf;
	if (run->v.latency)
		fprintf(reads ? stderr : stdout, " latency: %s: %" PRIu64 " us\n", run->sub->name,
			io.took_ns / 1000);
	if (reads && (!drain(data, buf, rw->data_bytes) ||
		      (rw->metadata_bytes && !drain(metadata, buf + data_room, rw->metadata_bytes))))
		status = TOOL_FAILED;
	if (status == TOOL_DONE)
		fprintf(stderr, "%s: Success\n", run->sub->name);
free_buf:
	free(buf);
	return status;
}

static int run_rw(struct nvme_run *run, uint8_t opcode)
{
	struct rw rw = { .run = run, .opcode = opcode };
	struct nsdk_nvme_ns *ns = nvme_ns(run);
	int status = ns != NULL ? make(run, ns, &rw) : TOOL_FAILED;

	if (status != TOOL_DONE)
		return status;
	if (run->v.show || run->v.dry_run)
		show(&rw, nsdk_nvme_ns_id(ns));
	return run->v.dry_run ? TOOL_DONE : transfer(run, ns, &rw);
}

static int run_read(struct nvme_run *run)
{
	return run_rw(run, NSDK_NVME_NVM_READ);
}

static int run_write(struct nvme_run *run)
{
	return run_rw(run, NSDK_NVME_NVM_WRITE);
}

static int run_compare(struct nvme_run *run)
{
	return run_rw(run, NSDK_NVME_NVM_COMPARE);
}

#define RW_OPTIONS(file_help)                                                                                \
	NVME_ONE_NSID_OPTION,                                                                                \
		NVME_NUMBER_OPTION("start-block", 's', slba, UINT64_MAX, "first block [0]"),                \
		NVME_NUMBER_OPTION("block-count", 'c', blocks, 65535, "number of blocks, less one [0]"),    \
		NVME_NUMBER_OPTION("data-size", 'z', length, UINT64_MAX, "bytes of data [those of the blocks]"), \
		NVME_TEXT_OPTION("data", 'd', file, file_help),                                             \
		NVME_TEXT_OPTION("metadata", 'M', metadata, "the same of metadata that travels apart"),     \
		NVME_NUMBER_OPTION("prinfo", 'p', prinfo, 15, "protection: 8 the controller makes or takes it " \
				   "off; 4, 2, 1 check the guard, the application's, the reference tag"),   \
		NVME_NUMBER_OPTION("ref-tag", 'r', ref_tag, UINT64_MAX, "reference tag [the first block]"), \
		NVME_NUMBER_OPTION("app-tag", 'a', app_tag, 65535, "application tag"),                      \
		NVME_NUMBER_OPTION("app-tag-mask", 'm', app_mask, 65535, "bits of it that are checked"),    \
		NVME_FLAG_OPTION("limited-retry", 'l', limited_retry, "limit the attempts to access the media"), \
		NVME_FLAG_OPTION("force-unit-access", 'f', fua, "past the write cache"),                    \
		NVME_NUMBER_OPTION("dsm", 'D', hints, 255, "hints: how the blocks are used"),               \
		NVME_FLAG_OPTION("show-command", 'v', show, "show the command before it is sent"),          \
		NVME_FLAG_OPTION("dry-run", 'w', dry_run, "show the command and do not send it"),           \
		NVME_FLAG_OPTION("latency", 't', latency, "show how long it took"),                         \
		NVME_TIMEOUT_OPTION(0)

static const struct nvme_option read_options[] = {
	RW_OPTIONS("the file they go to [the standard output]"),
	NVME_END,
};
static const struct nvme_option compare_options[] = {
	RW_OPTIONS("the file with the data [the standard input]"),
	NVME_END,
};
static const struct nvme_option write_options[] = {
	RW_OPTIONS("the file with the data [the standard input]"),
	NVME_NUMBER_OPTION("dir-type", 'T', types, 15, "type of directive"),
	NVME_NUMBER_OPTION("dir-spec", 'S', handle, 65535, "what is the directive's own"),
	NVME_END,
};

const struct nvme_sub nvme_read = {
	.name = "read",
	.summary = "Read blocks into a file",
	.options = read_options,
	.run = run_read,
};

const struct nvme_sub nvme_write = {
	.name = "write",
	.summary = "Write blocks from a file; where that ends, zeroes",
	.options = write_options,
	.danger = "what is in the blocks will be lost",
	.run = run_write,
};

const struct nvme_sub nvme_compare = {
	.name = "compare",
	.summary = "Have the controller compare blocks with a file",
	.options = compare_options,
	.run = run_compare,
};
