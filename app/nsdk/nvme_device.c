/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk nvme: firmware, self-tests, security protocols, reset.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "nvme.h"

#define MAX_IMAGE_BYTES ((size_t)256 << 20)

/* ---- Firmware ---- */

static int check_commit(struct nvme_run *run)
{
	if (!run->v.action.given)
		return nvme_usage(run, "--action is missing");
	return TOOL_DONE;
}

static int commit(struct nvme_run *run)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_fw_commit((uint8_t)run->v.slot.number,
							   (uint8_t)run->v.action.number,
							   (uint8_t)run->v.bpid.number);
	struct nsdk_nvme_cpl cpl;
	int status = nvme_send(run, &cmd, NULL, 0, &cpl);

	if (status == TOOL_DONE)
		printf("Success committing firmware action:%u slot:%u\n",
		       (unsigned)run->v.action.number, (unsigned)run->v.slot.number);
	return status;
}

#define COMMIT_OPTIONS                                                                             \
	NVME_NUMBER_OPTION("slot", 's', slot, 7, "firmware slot [0, the controller's choice]"),    \
		NVME_NUMBER_OPTION("action", 'a', action, 7,                                       \
				   "0 replace, 1 and activate at the next reset, 2 activate the "  \
				   "slot then, 3 now"),                                            \
		NVME_NUMBER_OPTION("bpid", 'b', bpid, 1, "boot partition")

static const struct nvme_option commit_options[] = { COMMIT_OPTIONS, NVME_END };

const struct nvme_sub nvme_fw_commit = {
	.name = "fw-commit",
	.summary = "Activate a firmware slot (an image is committed by the run that downloads it)",
	.options = commit_options,
	.danger = "the controller will run other firmware",
	.check = check_commit,
	.run = commit,
};

static int check_download(struct nvme_run *run)
{
	if (!run->v.file.given)
		return nvme_usage(run, "--fw is missing: a file with the image");
	if (run->v.chunk.number % 4)
		return nvme_usage(run, "--xfer=%s: a multiple of 4 is wanted", run->v.chunk.text);
	if (run->v.action.given && !run->v.yes)
		return nvme_usage(run, "the controller will run other firmware; say --yes if that is "
				  "meant");
	return TOOL_DONE;
}

static int run_download(struct nvme_run *run)
{
	struct nsdk_nvme_cpl cpl = { 0 };
	size_t bytes;
	void *image = nvme_read_file(run->v.file.text, MAX_IMAGE_BYTES, &bytes);
	int err, status = TOOL_FAILED;

	if (image == NULL)
		return TOOL_FAILED;
	if (bytes % 4) {
		tool_say("%s has %zu bytes, which is no multiple of 4, so it is no firmware image",
			 run->v.file.text, bytes);
		goto free_image;
	}
	err = nsdk_nvme_fw_download(run->ctrlr, image, bytes, (size_t)run->v.chunk.number, &cpl);
	if (err == -EINVAL && run->v.chunk.given) {
		tool_say("--xfer=%s is above the controller's largest transfer, %zu bytes",
			 run->v.chunk.text, nsdk_nvme_ctrlr_max_transfer_bytes(run->ctrlr));
		goto free_image;
	}
	status = nvme_done(run, "Firmware Image Download", err, &cpl);
	if (status == TOOL_DONE) {
		printf("Firmware download success\n");
		if (run->v.action.given)
			status = commit(run);
	}
free_image:
	free(image);
	return status;
}

static const struct nvme_option download_options[] = {
	NVME_TEXT_OPTION("fw", 'f', file, "a file with the image"),
	NVME_NUMBER_OPTION("xfer", 'x', chunk, UINT32_MAX, "bytes of one command [what the controller "
			   "wants]"),
	COMMIT_OPTIONS,
	NVME_FLAG_OPTION("yes", 0, yes, "with --action: do it, although it cannot be undone"),
	NVME_END,
};

const struct nvme_sub nvme_fw_download = {
	.name = "fw-download",
	.summary = "Give the controller a firmware image, and with --action commit it; without, it is "
		   "tried and forgotten, as the end of this run resets the controller",
	.options = download_options,
	.check = check_download,
	.run = run_download,
};

/* ---- Self-test ---- */

#define TEST_SHOW 0u
#define TEST_SHORT 1u
#define TEST_ABORT 0xfu

static int self_tests(struct nvme_run *run, struct nsdk_nvme_self_test_log *log)
{
	struct nsdk_nvme_log_opts opts = {
		.opts_bytes = sizeof(opts),
		.nsid = NSDK_NVME_NSID_ALL,
		.lid = NSDK_NVME_LOG_SELF_TEST,
	};

	return nvme_log(run, &opts, log, sizeof(*log));
}

static int wait_for_test(struct nvme_run *run)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	struct nsdk_nvme_self_test_log log;
	int status;

	while ((status = self_tests(run, &log)) == TOOL_DONE && (log.current_operation & 0xf) != 0) {
		if (tool_stop_requests() != 0) {
			struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_self_test(0, TEST_ABORT);

			nvme_send(run, &cmd, NULL, 0, NULL);
			tool_say("%s: the self-test was stopped", nvme_name(run));
			return TOOL_FAILED;
		}
		nanosleep(&pause, NULL);
	}
	if (status != TOOL_DONE)
		return status;
	if ((log.result[0].status & 0xf) != 0) {
		tool_say("%s: the self-test ended with result %xh", nvme_name(run),
			 log.result[0].status & 0xfu);
		return TOOL_FAILED;
	}
	printf("Device Self Test Completed successfully\n");
	return TOOL_DONE;
}

static int run_self_test(struct nvme_run *run)
{
	unsigned code = (unsigned)run->v.code.number;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_self_test(nvme_nsid_or_all(run), (uint8_t)code);
	struct nsdk_nvme_self_test_log log;
	int status;

	if (code == TEST_SHOW) {
		status = self_tests(run, &log);
		if (status == TOOL_DONE && (log.current_operation & 0xf) == 0)
			printf("no device self test in progress\n");
		else if (status == TOOL_DONE)
			printf("progress %u%%\n", log.completion & 0x7fu);
		return status;
	}
	status = nvme_send(run, &cmd, NULL, 0, NULL);
	if (status != TOOL_DONE)
		return status;
	if (code == TEST_ABORT) {
		printf("Aborting device self-test operation\n");
		return TOOL_DONE;
	}
	printf("%s Device self-test started\n",
	       code == TEST_SHORT ? "Short" : code == 2 ? "Extended" : "Vendor specific");
	/* The reset at the end of this run would abort a short one. */
	if (!run->v.wait && code != TEST_SHORT)
		return TOOL_DONE;
	tool_stop_install();
	status = wait_for_test(run);
	tool_stop_remove();
	return status;
}

static const struct nvme_option self_test_options[] = {
	NVME_NUMBER_OPTION("self-test-code", 's', code, 15,
			   "0 show what is going on, 1 short, 2 extended, 14 the vendor's, 15 abort"),
	NVME_NSID_OPTION("of this one; 0: none [all]"),
	NVME_FLAG_OPTION("wait", 'w', wait, "until it is over; a short one always is waited for"),
	NVME_END,
};

const struct nvme_sub nvme_device_self_test = {
	.name = "device-self-test",
	.summary = "Start a self-test",
	.options = self_test_options,
	.run = run_self_test,
};

/* ---- Security ---- */

static int check_send(struct nvme_run *run)
{
	if (!run->v.file.given)
		return nvme_usage(run, "--file is missing: what is to be sent");
	return TOOL_DONE;
}

static int run_send(struct nvme_run *run)
{
	size_t bytes;
	void *data = nvme_read_file(run->v.file.text, nsdk_nvme_ctrlr_max_transfer_bytes(run->ctrlr),
				    &bytes);
	struct nsdk_nvme_cmd cmd;
	int status;

	if (data == NULL)
		return TOOL_FAILED;
	cmd = nsdk_nvme_cmd_security_send((uint32_t)run->v.nsid.number, (uint8_t)run->v.secp.number,
					  (uint16_t)run->v.spsp.number, (uint8_t)run->v.nssf.number,
					  run->v.length.given ? (uint32_t)run->v.length.number :
								(uint32_t)bytes);
	status = nvme_send(run, &cmd, data, bytes, NULL);
	if (status == TOOL_DONE)
		printf("NVME Security Send Command Success\n");
	free(data);
	return status;
}

#define SECURITY_OPTIONS                                                                           \
	NVME_NUMBER_OPTION("secp", 'p', secp, 255, "security protocol"),                           \
		NVME_NUMBER_OPTION("spsp", 's', spsp, 65535, "what is its own"),                   \
		NVME_NUMBER_OPTION("nssf", 'N', nssf, 255, "what is NVMe's own"),                  \
		NVME_NSID_OPTION("namespace [none]")

static const struct nvme_option send_options[] = {
	SECURITY_OPTIONS,
	NVME_TEXT_OPTION("file", 'f', file, "what is to be sent, - for the standard input"),
	NVME_NUMBER_OPTION("tl", 't', length, UINT32_MAX, "transfer length [that of the file]"),
	NVME_END,
};

const struct nvme_sub nvme_security_send = {
	.name = "security-send",
	.summary = "Send data of a security protocol",
	.options = send_options,
	.danger = "a security protocol can lock the device or take its data away",
	.check = check_send,
	.run = run_send,
};

static int check_receive(struct nvme_run *run)
{
	if (!run->v.length.given || run->v.length.number == 0)
		return nvme_usage(run, "--size is missing: how many bytes are wanted");
	return TOOL_DONE;
}

static int run_receive(struct nvme_run *run)
{
	uint32_t bytes = (uint32_t)run->v.length.number;
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_security_receive(
		(uint32_t)run->v.nsid.number, (uint8_t)run->v.secp.number,
		(uint16_t)run->v.spsp.number, (uint8_t)run->v.nssf.number, bytes);
	void *data = calloc(1, bytes);
	int status;

	if (data == NULL) {
		tool_say("no memory");
		return TOOL_FAILED;
	}
	status = nvme_send(run, &cmd, data, bytes, NULL);
	if (status == TOOL_DONE && nvme_wants_bytes(run)) {
		nvme_show_bytes(data, bytes);
	} else if (status == TOOL_DONE) {
		printf("NVME Security Receive Command Success\n");
		nvme_show_hex(data, bytes);
	}
	free(data);
	return status;
}

static const struct nvme_option receive_options[] = {
	SECURITY_OPTIONS,
	NVME_NUMBER_OPTION("size", 'x', length, (uint64_t)1 << 20, "bytes that are wanted"),
	NVME_RAW_OPTION,
	NVME_END,
};

const struct nvme_sub nvme_security_recv = {
	.name = "security-recv",
	.summary = "Receive data of a security protocol",
	.options = receive_options,
	.check = check_receive,
	.run = run_receive,
	.binary = true,
};

/* ---- reset ---- */

static int run_reset(struct nvme_run *run)
{
	/* Bringing it up has disabled and enabled it. */
	printf("reset: Success, %s is ready again\n", nvme_name(run));
	return TOOL_DONE;
}

static const struct nvme_option no_options[] = { NVME_END };

const struct nvme_sub nvme_reset = {
	.name = "reset",
	.summary = "Reset the controller",
	.options = no_options,
	.run = run_reset,
};
