/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Firmware images (Base 5.11, 5.12) and self-tests (Base 5.9).
 *
 * An image for this model is any file that begins with "NSDKFW1:" and the eight characters of its
 * revision. Slot 1 has what the model came with and is read-only; slot 2 takes images. What was activated
 * runs after the next controller reset.
 *
 * A self-test takes a while by the clock, and is found to be over by whoever asks next.
 */
#include <stdlib.h>
#include <string.h>

#include <nsdk/env.h>

#include "nvme_internal.h"

#define IMAGE_MAGIC "NSDKFW1:"
#define IMAGE_MAGIC_BYTES 8u
#define REVISION_BYTES 8u

#define COMMIT_SLOT(cdw10) ((cdw10) & 7)
#define COMMIT_ACTION(cdw10) ((cdw10) >> 3 & 7)
#define ACTION_REPLACE 0u           /* put the image into the slot */
#define ACTION_REPLACE_ACTIVATE 1u  /* … and run it after the next reset */
#define ACTION_ACTIVATE 2u          /* run the slot after the next reset */

#define TEST_SHORT 1u
#define TEST_EXTENDED 2u
#define TEST_ABORT 0xfu
#define SHORT_NS 100000000u
#define EXTENDED_NS 300000000u
#define RESULT_GOOD 0u
#define RESULT_ABORTED 1u
#define RESULT_RESET 2u
#define RESULT_UNUSED 0xfu
#define VALID_NSID 1u

/* ---- Firmware ---- */

void emu_nvme_firmware_init(struct emu_nvme *ctrl)
{
	memcpy(ctrl->firmware.revision[0], "1.0     ", REVISION_BYTES);
	ctrl->firmware.active = 1;
}

/* With a controller reset. */
void emu_nvme_firmware_reset(struct emu_nvme *ctrl)
{
	if (ctrl->firmware.next)
		ctrl->firmware.active = ctrl->firmware.next;
	ctrl->firmware.next = 0;
	ctrl->firmware.received = 0;
}

int emu_nvme_fw_download(struct emu_nvme_req *req)
{
	struct emu_nvme_firmware *firmware = &req->ctrl->firmware;
	uint64_t bytes = ((uint64_t)req->cmd->cdw10 + 1) * 4;
	uint64_t offset = (uint64_t)req->cmd->cdw11 * 4;
	uint16_t status;

	if (emu_nvme_data_exceeds(req->ctrl, bytes) || offset + bytes > EMU_NVME_IMAGE_BYTES)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (offset == 0)
		firmware->received = 0; /* from the start again */
	if (offset != firmware->received)
		return EMU_NVME_SPECIFIC(OVERLAPPING_RANGE);
	if (!firmware->image)
		firmware->image = malloc(EMU_NVME_IMAGE_BYTES);
	if (!firmware->image)
		return EMU_NVME_PASSING(INTERNAL_ERROR);
	status = emu_nvme_data_begin(req, bytes);
	if (!status)
		status = emu_nvme_data_from_host(req, firmware->image + offset, bytes);
	if (!status)
		firmware->received += bytes;
	return status;
}

int emu_nvme_fw_commit(struct emu_nvme_req *req)
{
	struct emu_nvme_firmware *firmware = &req->ctrl->firmware;
	unsigned slot = COMMIT_SLOT(req->cmd->cdw10), action = COMMIT_ACTION(req->cmd->cdw10);

	if (action > ACTION_ACTIVATE)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (slot == 0)
		slot = EMU_NVME_FIRMWARE_SLOTS; /* the controller's choice: the one that can be written */
	if (slot > EMU_NVME_FIRMWARE_SLOTS)
		return EMU_NVME_SPECIFIC(INVALID_FW_SLOT);
	if (action != ACTION_ACTIVATE) {
		if (slot == 1)
			return EMU_NVME_SPECIFIC(INVALID_FW_SLOT); /* read-only */
		if (firmware->received < IMAGE_MAGIC_BYTES + REVISION_BYTES ||
		    memcmp(firmware->image, IMAGE_MAGIC, IMAGE_MAGIC_BYTES) != 0)
			return EMU_NVME_SPECIFIC(INVALID_FW_IMAGE);
		memcpy(firmware->revision[slot - 1], firmware->image + IMAGE_MAGIC_BYTES,
		       REVISION_BYTES);
		firmware->received = 0;
	}
	if (action != ACTION_REPLACE) {
		if (firmware->revision[slot - 1][0] == '\0')
			return EMU_NVME_SPECIFIC(INVALID_FW_SLOT);
		firmware->next = slot;
	}
	return 0;
}

size_t emu_nvme_firmware_log(const struct emu_nvme *ctrl, void *out)
{
	struct nsdk_nvme_firmware_log log = {
		.afi = (uint8_t)(ctrl->firmware.active | ctrl->firmware.next << 4),
	};

	memcpy(log.frs, ctrl->firmware.revision, sizeof(ctrl->firmware.revision));
	memcpy(out, &log, sizeof(log));
	return sizeof(log);
}

/* ---- Self-test ---- */

static uint64_t power_on_hours(const struct emu_nvme *ctrl)
{
	return (nsdk_clock_ns() - ctrl->power_on_ns) / 3600000000000u;
}

static void end_test(struct emu_nvme *ctrl, unsigned result)
{
	struct emu_nvme_self_test *test = &ctrl->self_test;

	memmove(&test->results[1], &test->results[0],
		sizeof(test->results) - sizeof(test->results[0]));
	test->results[0] = (struct nsdk_nvme_self_test_result){
		.status = (uint8_t)(test->code << 4 | result),
		.valid = test->nsid ? VALID_NSID : 0,
		.power_on_hours = power_on_hours(ctrl),
		.nsid = test->nsid,
	};
	if (test->count < NSDK_NVME_SELF_TEST_RESULTS)
		test->count++;
	test->code = 0;
}

static void end_in_time(struct emu_nvme *ctrl)
{
	if (ctrl->self_test.code && nsdk_clock_ns() >= ctrl->self_test.end_ns)
		end_test(ctrl, RESULT_GOOD);
}

/* A controller reset ends a short one (Base 5.9); an extended one goes on. */
void emu_nvme_self_test_reset(struct emu_nvme *ctrl)
{
	end_in_time(ctrl);
	if (ctrl->self_test.code == TEST_SHORT)
		end_test(ctrl, RESULT_RESET);
}

int emu_nvme_self_test(struct emu_nvme_req *req)
{
	struct emu_nvme *ctrl = req->ctrl;
	struct emu_nvme_self_test *test = &ctrl->self_test;
	unsigned code = req->cmd->cdw10 & 0xf;
	uint32_t nsid = req->cmd->nsid;

	if (nsid != 0 && nsid != NSDK_NVME_NSID_ALL && !emu_nvme_ns_attached(ctrl, nsid))
		return EMU_NVME_GENERIC(INVALID_NAMESPACE);
	end_in_time(ctrl);
	if (code == TEST_ABORT) {
		if (test->code)
			end_test(ctrl, RESULT_ABORTED);
		return 0;
	}
	if (code != TEST_SHORT && code != TEST_EXTENDED)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (test->code)
		return EMU_NVME_SPECIFIC(SELF_TEST_IN_PROGRESS);
	test->code = (uint8_t)code;
	test->nsid = nsid;
	test->length_ns = code == TEST_SHORT ? SHORT_NS : EXTENDED_NS;
	test->end_ns = nsdk_clock_ns() + test->length_ns;
	return 0;
}

size_t emu_nvme_self_test_log(struct emu_nvme *ctrl, void *out)
{
	struct emu_nvme_self_test *test = &ctrl->self_test;
	struct nsdk_nvme_self_test_log log = { 0 };
	uint64_t now_ns = nsdk_clock_ns();

	end_in_time(ctrl);
	if (test->code) {
		log.current_operation = test->code;
		log.completion = now_ns < test->end_ns ?
			(uint8_t)(100 - (test->end_ns - now_ns) * 100 / test->length_ns) : 99;
	}
	memcpy(log.result, test->results, sizeof(log.result));
	for (unsigned i = test->count; i < NSDK_NVME_SELF_TEST_RESULTS; i++)
		log.result[i].status = RESULT_UNUSED;
	memcpy(out, &log, sizeof(log));
	return sizeof(log);
}
