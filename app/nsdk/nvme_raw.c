/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme admin-passthru, io-passthru, flush: commands as they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>

#include "nvme.h"

#define MAX_DATA ((uint64_t)1 << 20)
#define IO_TIMEOUT_NS 10000000000ull

static struct nsdk_nvme_cmd command(const struct nvme_run *run)
{
	const struct nvme_values *v = &run->v;

	return (struct nsdk_nvme_cmd){
		.opcode = (uint8_t)v->opcode.number,
		.flags = (uint8_t)v->flags.number,
		.nsid = (uint32_t)v->nsid.number,
		.cdw2 = (uint32_t)v->cdw2.number,
		.cdw3 = (uint32_t)v->cdw3.number,
		.cdw10 = (uint32_t)v->cdw10.number,
		.cdw11 = (uint32_t)v->cdw11.number,
		.cdw12 = (uint32_t)v->cdw12.number,
		.cdw13 = (uint32_t)v->cdw13.number,
		.cdw14 = (uint32_t)v->cdw14.number,
		.cdw15 = (uint32_t)v->cdw15.number,
	};
}

static void show_command(const struct nsdk_nvme_cmd *cmd, uint64_t bytes)
{
	printf("opcode       : %02x\nflags        : %02x\nnsid         : %08x\n", cmd->opcode,
	       cmd->flags, cmd->nsid);
	printf("cdw2         : %08x\ncdw3         : %08x\ndata_len     : %08x\n", cmd->cdw2,
	       cmd->cdw3, (unsigned)bytes);
	printf("cdw10        : %08x\ncdw11        : %08x\ncdw12        : %08x\n", cmd->cdw10,
	       cmd->cdw11, cmd->cdw12);
	printf("cdw13        : %08x\ncdw14        : %08x\ncdw15        : %08x\n", cmd->cdw13,
	       cmd->cdw14, cmd->cdw15);
}

/* A command that can change something: one that sends data, or none; and what is not known to read. */
static bool only_reads(const struct nvme_run *run, bool admin)
{
	unsigned opcode = (unsigned)run->v.opcode.number;

	if ((opcode & 3) == 2)
		return true;
	return !admin && (opcode == NSDK_NVME_NVM_FLUSH || opcode == NSDK_NVME_NVM_COMPARE ||
			  opcode == NSDK_NVME_NVM_VERIFY);
}

static int check_raw(struct nvme_run *run, bool admin)
{
	const struct nvme_values *v = &run->v;

	if (!v->opcode.given)
		return nvme_usage(run, "--opcode is missing");
	if (v->read && v->write)
		return nvme_usage(run, "--read and --write cannot both be");
	if (v->length.number && !v->read && !v->write)
		return nvme_usage(run, "--data-len wants --read or --write");
	/* Which it is, is in the opcode; nvme-cli wants it said, so it has to agree. */
	if (v->length.number && nsdk_nvme_opcode_dir((uint8_t)v->opcode.number) !=
					(v->read ? NSDK_DMA_FROM_DEVICE : NSDK_DMA_TO_DEVICE))
		return nvme_usage(run, "opcode %02xh moves data the other way than --%s says",
				  (unsigned)v->opcode.number, v->read ? "read" : "write");
	if (v->write && v->length.number && !v->file.given)
		return nvme_usage(run, "--input-file is missing: what is to be sent");
	if (!v->yes && !v->dry_run && !only_reads(run, admin))
		return nvme_usage(run, "command %02xh may change or destroy data; say --yes if that is "
				  "meant", (unsigned)v->opcode.number);
	return TOOL_DONE;
}

static int check_admin(struct nvme_run *run)
{
	return check_raw(run, true);
}

static int check_io(struct nvme_run *run)
{
	return check_raw(run, false);
}

/* The data to be sent, or room for what comes. @return NULL: it was said. */
static uint8_t *prepare_data(struct nvme_run *run)
{
	size_t bytes = (size_t)run->v.length.number, have;
	uint8_t *data = malloc(bytes + 1), *file;

	if (data == NULL) {
		tool_say("no memory");
		return NULL;
	}
	memset(data, (int)run->v.prefill.number, bytes + 1);
	if (run->v.write && bytes) {
		file = nvme_read_file(run->v.file.text, bytes, &have);
		if (file == NULL) {
			free(data);
			return NULL;
		}
		memcpy(data, file, have);
		free(file);
	}
	return data;
}

static void show_result(struct nvme_run *run, const char *kind, const char *name,
			const struct nsdk_nvme_cpl *cpl, const void *data)
{
	size_t bytes = (size_t)run->v.length.number;

	if (run->v.raw) {
		if (run->v.read && bytes)
			nvme_show_bytes(data, bytes);
		return;
	}
	/* Beside the data, not in it: as nvme-cli has it. */
	fprintf(stderr, "%s Command %s is Success and result: 0x%08x\n", kind, name, cpl->dw0);
	if (run->v.read && bytes)
		nvme_show_hex(data, bytes);
}

static int run_admin(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = command(run);
	struct nsdk_nvme_cpl cpl;
	uint8_t *data;
	int status;

	if (run->v.show || run->v.dry_run)
		show_command(&cmd, run->v.length.number);
	if (run->v.dry_run)
		return TOOL_DONE;
	data = prepare_data(run);
	if (data == NULL)
		return TOOL_FAILED;
	status = nvme_send(run, &cmd, run->v.length.number ? data : NULL,
			   (size_t)run->v.length.number, &cpl);
	if (status == TOOL_DONE)
		show_result(run, "Admin", nsdk_nvme_admin_opcode_name(cmd.opcode), &cpl, data);
	free(data);
	return status;
}

/* ---- I/O ---- */

struct io_wait {
	bool done;
	struct nsdk_nvme_cpl cpl;
};

static void io_done(void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct io_wait *wait = ctx;

	wait->cpl = *cpl;
	wait->done = true;
}

/* Why the driver did not take a command, where it has not said so itself. */
static void say_refusal(struct nvme_run *run, struct nsdk_nvme_ns *ns, const char *what, int err)
{
	if (tool_said(NSDK_LOG_ERROR))
		return;
	if (err == -EOPNOTSUPP && ns != NULL)
		tool_say("%s: the controller does not offer %s, or not like that, for namespace %u",
			 nvme_name(run), what, nsdk_nvme_ns_id(ns));
	else
		tool_say("%s: %s cannot be sent like that: %s", nvme_name(run), what, strerror(-err));
}

/* One command on a queue pair of its own, with its data in DMA memory. */
int nvme_do_io(struct nvme_run *run, struct nsdk_nvme_ns *ns, struct nvme_io *io, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_dma_pool_opts pool_opts = { .opts_bytes = sizeof(pool_opts), .numa_node = -1 };
	uint64_t timeout_ns = nvme_timeout_ns(run) ? nvme_timeout_ns(run) : IO_TIMEOUT_NS;
	struct io_wait wait = { 0 };
	struct nsdk_nvme_qpair *qp;
	struct nsdk_dma_pool *pool;
	int err, status = TOOL_FAILED;
	uint64_t start_ns;
	void *buf = NULL;

	pool_opts.attr = nsdk_nvme_ctrlr_dma_attr(run->ctrlr);
	if (nsdk_dma_pool_create(run->mem, &pool_opts, &pool) != 0)
		return TOOL_FAILED;
	if (io->bytes && nsdk_dma_alloc(pool, io->bytes, 4096, &buf) != 0)
		goto destroy_pool;
	if (io->bytes && io->dir != NSDK_DMA_FROM_DEVICE)
		memcpy(buf, io->data, io->bytes);
	if (nsdk_nvme_qpair_create(run->ctrlr, NULL, &qp) != 0)
		goto free_buf;
	start_ns = nsdk_clock_ns();
	err = io->issue(io, ns, qp, buf, io_done, &wait);
	if (err != 0) {
		say_refusal(run, ns, io->what, err);
		goto destroy_qpair;
	}
	while (!wait.done && nsdk_clock_ns() < start_ns + timeout_ns)
		nsdk_nvme_qpair_poll(qp, 0);
	io->took_ns = nsdk_clock_ns() - start_ns;
	if (!wait.done) {
		tool_say("%s: %s was not answered within %llu ms", nvme_name(run), io->what,
			 (unsigned long long)(timeout_ns / 1000000));
		goto destroy_qpair;
	}
	status = nvme_status(run, io->what, &wait.cpl);
	*cpl = wait.cpl;
	if (status == TOOL_DONE && io->bytes && io->dir != NSDK_DMA_TO_DEVICE)
		memcpy(io->data, buf, io->bytes);
destroy_qpair:
	/* From here on the device does not touch the buffer. */
	if (nsdk_nvme_qpair_destroy(qp) != 0)
		status = TOOL_FAILED;
free_buf:
	nsdk_dma_free(pool, buf);
destroy_pool:
	nsdk_dma_pool_destroy(pool);
	return status;
}

static int issue_raw(const struct nvme_io *io, struct nsdk_nvme_ns *ns, struct nsdk_nvme_qpair *qp, void *buf,
		     nsdk_nvme_cb cb, void *ctx)
{
	const struct nsdk_nvme_cmd *cmd = io->args;

	/* Whole lines: what the buffer has. */
	return nsdk_nvme_io_passthru(ns, qp, cmd, buf, (io->bytes + 63) / 64 * 64, io->dir, cb, ctx);
}

int nvme_send_io(struct nvme_run *run, const struct nsdk_nvme_cmd *cmd, void *data, size_t bytes,
		 struct nsdk_nvme_cpl *cpl)
{
	struct nvme_io io = {
		.what = nsdk_nvme_io_opcode_name(cmd->opcode), .issue = issue_raw, .args = cmd,
		.data = data, .bytes = bytes, .dir = nsdk_nvme_opcode_dir(cmd->opcode),
	};

	return nvme_do_io(run, nsdk_nvme_ns_get(run->ctrlr, cmd->nsid), &io, cpl);
}

static int run_io(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = command(run);
	struct nsdk_nvme_cpl cpl;
	uint8_t *data;
	int status;

	if (run->v.show || run->v.dry_run)
		show_command(&cmd, run->v.length.number);
	if (run->v.dry_run)
		return TOOL_DONE;
	if (!run->v.nsid.given) {
		cmd.nsid = nvme_nsid(run);
		if (cmd.nsid == 0)
			return TOOL_FAILED;
	}
	data = prepare_data(run);
	if (data == NULL)
		return TOOL_FAILED;
	status = nvme_send_io(run, &cmd, data, (size_t)run->v.length.number, &cpl);
	if (status == TOOL_DONE)
		show_result(run, "IO", nsdk_nvme_io_opcode_name(cmd.opcode), &cpl, data);
	free(data);
	return status;
}

static const struct nvme_option raw_options[] = {
	NVME_NUMBER_OPTION("opcode", 'o', opcode, 255, "opcode"),
	NVME_NUMBER_OPTION("flags", 'f', flags, 255, "command flags"),
	NVME_NSID_OPTION("namespace"),
	NVME_NUMBER_OPTION("data-len", 'l', length, MAX_DATA, "bytes of data"),
	NVME_NUMBER_OPTION("prefill", 'p', prefill, 255, "byte that the buffer is filled with [0]"),
	NVME_TEXT_OPTION("input-file", 'i', file, "what is to be sent, - for the standard input"),
	NVME_NUMBER_OPTION("cdw2", '2', cdw2, UINT32_MAX, "dword 2; likewise, …"),
	NVME_NUMBER_OPTION("cdw3", '3', cdw3, UINT32_MAX, "3"),
	NVME_NUMBER_OPTION("cdw10", '4', cdw10, UINT32_MAX, "10"),
	NVME_NUMBER_OPTION("cdw11", '5', cdw11, UINT32_MAX, "11"),
	NVME_NUMBER_OPTION("cdw12", '6', cdw12, UINT32_MAX, "12"),
	NVME_NUMBER_OPTION("cdw13", '7', cdw13, UINT32_MAX, "13"),
	NVME_NUMBER_OPTION("cdw14", '8', cdw14, UINT32_MAX, "14"),
	NVME_NUMBER_OPTION("cdw15", '9', cdw15, UINT32_MAX, "15"),
	NVME_TIMEOUT_OPTION('t'),
	NVME_FLAG_OPTION("read", 'r', read, "data comes from the device"),
	NVME_FLAG_OPTION("write", 'w', write, "data goes to the device"),
	NVME_FLAG_OPTION("raw-binary", 'b', raw, "show the data as bytes"),
	NVME_FLAG_OPTION("show-command", 's', show, "show the command before it is sent"),
	NVME_FLAG_OPTION("dry-run", 'd', dry_run, "show the command and do not send it"),
	NVME_FLAG_OPTION("yes", 0, yes, "send a command that may change something"),
	NVME_END,
};

const struct nvme_sub nvme_admin_passthru = {
	.name = "admin-passthru",
	.summary = "Send any admin command that does not take the driver's queues from it",
	.options = raw_options,
	.check = check_admin,
	.run = run_admin,
};

const struct nvme_sub nvme_io_passthru = {
	.name = "io-passthru",
	.summary = "Send any I/O command",
	.options = raw_options,
	.check = check_io,
	.run = run_io,
};

/* ---- flush ---- */

static int run_flush(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_FLUSH,
		.nsid = nvme_nsid_or_all(run),
	};
	struct nsdk_nvme_cpl cpl;
	int status = nvme_send_io(run, &cmd, NULL, 0, &cpl);

	if (status == TOOL_DONE)
		printf("NVMe Flush: success\n");
	return status;
}

static const struct nvme_option flush_options[] = {
	NVME_NSID_OPTION("this namespace [all]"),
	NVME_END,
};

const struct nvme_sub nvme_flush = {
	.name = "flush",
	.summary = "Commit the volatile write cache",
	.options = flush_options,
	.run = run_flush,
};
