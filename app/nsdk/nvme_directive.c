/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme dir-receive, dir-send: directives of a namespace.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/nvme_fdp.h>

#include "nvme.h"

#define MAX_DATA ((uint64_t)1 << 20)
#define STREAMS_PARAMETERS 1u
#define STREAMS_STATUS 2u
#define STREAMS_ALLOCATE 3u
#define STREAMS_PARAMETERS_BYTES ((uint32_t)sizeof(struct nsdk_nvme_streams))
#define STREAMS_STATUS_BYTES 131072u

#define DIRECTIVE_OPTIONS                                                                          \
	NVME_ONE_NSID_OPTION,                                                                      \
		NVME_NUMBER_OPTION("data-len", 'l', length, MAX_DATA, "bytes of data [what it has]"), \
		NVME_NUMBER_OPTION("dir-type", 'D', code, 255, "type: 0 identify, 1 streams, 2 data " \
			"placement [0]"),                                                          \
		NVME_NUMBER_OPTION("dir-spec", 'S', value, 65535, "what the type has it for [0]"),   \
		NVME_NUMBER_OPTION("dir-oper", 'O', opcode, 255, "operation of that type")

static int check(struct nvme_run *run)
{
	if (!run->v.opcode.given)
		return nvme_usage(run, "--dir-oper is missing: the operation");
	if (run->v.length.number % 4)
		return nvme_usage(run, "--data-len=%s: a multiple of 4 is wanted", run->v.length.text);
	return TOOL_DONE;
}

static bool enables(const struct nvme_run *run)
{
	return run->v.code.number == NSDK_NVME_DIRECTIVE_IDENTIFY &&
	       run->v.opcode.number == NSDK_NVME_DIRECTIVE_SEND_ENABLE;
}

static int check_send(struct nvme_run *run)
{
	int status = check(run);

	if (status != TOOL_DONE)
		return status;
	if (enables(run) && !run->v.target.given)
		return nvme_usage(run, "--target-dir is missing: the type that is turned on or off");
	if (run->v.length.given && run->v.length.number && !run->v.file.given)
		return nvme_usage(run, "--data-len=%s: --input-file is missing, which has the data",
				  run->v.length.text);
	return TOOL_DONE;
}

/* What an operation gives, if nobody says. */
static uint32_t usual_bytes(const struct nvme_run *run)
{
	if (run->v.length.given)
		return (uint32_t)run->v.length.number;
	if (run->v.code.number == NSDK_NVME_DIRECTIVE_IDENTIFY)
		return sizeof(struct nsdk_nvme_directives);
	if (run->v.code.number != NSDK_NVME_DIRECTIVE_STREAMS)
		return 0;
	return run->v.opcode.number == STREAMS_PARAMETERS ? STREAMS_PARAMETERS_BYTES :
	       run->v.opcode.number == STREAMS_STATUS	  ? STREAMS_STATUS_BYTES : 0;
}

static void show_types(const char *title, const uint8_t bits[32], const char *yes, const char *no)
{
	printf("\t%s \n\t\tIdentify Directive  : %s\n\t\tStream Directive    : %s\n"
	       "\t\tPlacement Directive : %s\n", title,
	       nsdk_nvme_directive_in(bits, NSDK_NVME_DIRECTIVE_IDENTIFY) ? yes : no,
	       nsdk_nvme_directive_in(bits, NSDK_NVME_DIRECTIVE_STREAMS) ? yes : no,
	       nsdk_nvme_directive_in(bits, NSDK_NVME_DIRECTIVE_PLACEMENT) ? yes : no);
}

static void show_streams(const uint8_t *data)
{
	struct nsdk_nvme_streams streams;

	memcpy(&streams, data, sizeof(streams));
	printf("\tMax Streams Limit                          (MSL): %u\n"
	       "\tNVM Subsystem Streams Available           (NSSA): %u\n"
	       "\tNVM Subsystem Streams Open                (NSSO): %u\n"
	       "\tNVM Subsystem Stream Capability           (NSSC): %u\n", streams.msl, streams.nssa,
	       streams.nsso, streams.nssc);
	printf("\tStream Write Size (in unit of LB size)     (SWS): %u\n"
	       "\tStream Granularity Size (in unit of SWS)   (SGS): %u\n"
	       "\tNamespace Streams Allocated                (NSA): %u\n"
	       "\tNamespace Streams Open                     (NSO): %u\n", streams.sws, streams.sgs,
	       streams.nsa, streams.nso);
}

/* How many, and which; as many as came. */
static void show_open_streams(const uint8_t *data, uint32_t bytes)
{
	uint16_t count, id;

	memcpy(&count, data, sizeof(count));
	printf("\tOpen Stream Count  : %u\n", count);
	for (unsigned i = 1; i <= count && (i + 1) * sizeof(id) <= bytes; i++) {
		memcpy(&id, data + i * sizeof(id), sizeof(id));
		printf("\tStream Identifier %.6u : %u\n", i, id);
	}
}

static void show(const struct nvme_run *run, const uint8_t *data, uint32_t bytes, uint32_t result)
{
	const struct nsdk_nvme_directives *directives = (const void *)data;
	bool streams = run->v.words && run->v.code.number == NSDK_NVME_DIRECTIVE_STREAMS;

	if (streams && run->v.opcode.number == STREAMS_ALLOCATE)
		printf("\tNamespace Streams Allocated (NSA): %u\n", result & 0xffff);
	if (bytes == 0)
		return;
	if (streams && run->v.opcode.number == STREAMS_PARAMETERS && bytes >= STREAMS_PARAMETERS_BYTES) {
		show_streams(data);
	} else if (streams && run->v.opcode.number == STREAMS_STATUS) {
		show_open_streams(data, bytes);
	} else if (run->v.words && run->v.code.number == NSDK_NVME_DIRECTIVE_IDENTIFY &&
		   bytes == sizeof(*directives)) {
		show_types("Directive support", directives->supported, "supported", "not supported");
		show_types("Directive status", directives->enabled, "enabled", "disabled");
	} else {
		nvme_show_hex(data, bytes);
	}
}

static int run_receive(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run), bytes = usual_bytes(run);
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_directive_receive(
		nsid, (uint8_t)run->v.code.number, (uint8_t)run->v.opcode.number,
		(uint16_t)run->v.value.number, bytes, (uint32_t)run->v.descs.number);
	uint8_t *data = calloc(1, bytes ? bytes : 1);
	struct nsdk_nvme_cpl cpl = { 0 };
	int status = TOOL_FAILED;

	if (data == NULL)
		tool_say("no memory");
	else if (nsid != 0)
		status = nvme_send(run, &cmd, bytes ? data : NULL, bytes, &cpl);
	if (status == TOOL_DONE && nvme_wants_bytes(run)) {
		status = nvme_show_bytes(data, bytes);
	} else if (status == TOOL_DONE) {
		printf("dir-receive: type:%#x operation:%#x spec:%#x nsid:%#x result:%#x\n",
		       (unsigned)run->v.code.number, (unsigned)run->v.opcode.number,
		       (unsigned)run->v.value.number, nsid, cpl.dw0);
		show(run, data, bytes, cpl.dw0);
	}
	free(data);
	return status;
}

static const struct nvme_option receive_options[] = {
	DIRECTIVE_OPTIONS,
	NVME_NUMBER_OPTION("req-resource", 'r', descs, 65535, "streams that are asked for"),
	NVME_FLAG_OPTION("human-readable", 'H', words, "in words"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_dir_receive = {
	.name = "dir-receive",
	.summary = "Send Directive Receive, and show what came of it",
	.options = receive_options,
	.check = check,
	.run = run_receive,
	.binary = true,
};

static int run_send(struct nvme_run *run)
{
	uint32_t nsid = nvme_nsid(run);
	struct nsdk_nvme_cmd cmd;
	struct nsdk_nvme_cpl cpl = { 0 };
	uint8_t *data = NULL;
	size_t bytes = 0;
	int status;

	if (nsid == 0)
		return TOOL_FAILED;
	if (run->v.file.given) {
		data = nvme_read_file(run->v.file.text, MAX_DATA, &bytes);
		if (data == NULL)
			return TOOL_FAILED;
		if (run->v.length.given ? run->v.length.number > bytes : bytes % 4) {
			tool_say("%s has %zu bytes; say a --data-len that it has, a multiple of 4",
				 run->v.file.text, bytes);
			free(data);
			return TOOL_FAILED;
		}
		if (run->v.length.given)
			bytes = run->v.length.number;
	}
	cmd = nsdk_nvme_cmd_directive_send(nsid, (uint8_t)run->v.code.number, (uint8_t)run->v.opcode.number,
					   (uint16_t)run->v.value.number, (uint32_t)bytes,
					   enables(run) ? NSDK_NVME_DIRECTIVE_TARGET(run->v.target.number) |
							     (uint32_t)run->v.endir.number : 0);
	status = nvme_send(run, &cmd, bytes ? data : NULL, bytes, &cpl);
	if (status == TOOL_DONE)
		printf("dir-send: type %#x, operation %#x, spec_val %#x, nsid %#x, result %#x\n",
		       (unsigned)run->v.code.number, (unsigned)run->v.opcode.number,
		       (unsigned)run->v.value.number, nsid, cpl.dw0);
	free(data);
	return status;
}

static const struct nvme_option send_options[] = {
	DIRECTIVE_OPTIONS,
	NVME_NUMBER_OPTION("target-dir", 'T', target, 255, "type that is turned on or off"),
	NVME_NUMBER_OPTION("endir", 'e', endir, 1, "1: on [off]"),
	NVME_TEXT_OPTION("input-file", 'i', file, "what is to be sent, - for the standard input"),
	NVME_END,
};

const struct nvme_sub nvme_dir_send = {
	.name = "dir-send",
	.summary = "Send Directive Send",
	.options = send_options,
	.check = check_send,
	.run = run_send,
};
