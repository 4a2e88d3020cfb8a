/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <nsdk/nvme.h>

#include <string.h>

static void says_it_in_the_specifications_words(void)
{
	NSDK_ASSERT_TEXT(nsdk_nvme_status_text(0), "Generic: Successful Completion");
	NSDK_ASSERT_TEXT(nsdk_nvme_status_text(NSDK_NVME_STATUS(0, 0x80)), "Generic: LBA Out of Range");
	NSDK_ASSERT_TEXT(nsdk_nvme_status_text(NSDK_NVME_STATUS(1, 0x01)),
			 "Command Specific: Invalid Queue Identifier");
	NSDK_ASSERT_TEXT(nsdk_nvme_status_text(NSDK_NVME_STATUS(2, 0x85)),
			 "Media and Data Integrity: Compare Failure");
	NSDK_ASSERT_TEXT(nsdk_nvme_status_text(NSDK_NVME_STATUS(3, 0)), "Path: Internal Path Error");
}

static void ignores_phase_and_retry_bits(void)
{
	uint16_t status = NSDK_NVME_STATUS(0, NSDK_NVME_SC_INVALID_FIELD) | NSDK_NVME_STATUS_DNR_BIT |
			  0x7000 | NSDK_NVME_STATUS_PHASE;

	NSDK_ASSERT_TEXT(nsdk_nvme_status_text(status), "Generic: Invalid Field in Command");
}

static void has_words_for_every_status(void)
{
	for (unsigned status = 0; status <= 0xffff; status++) {
		const char *text = nsdk_nvme_status_text((uint16_t)status);

		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		CU_ASSERT(strlen(text) > 8);
		/* The type is always right, whatever the code. */
		if (NSDK_NVME_STATUS_SCT(status) == NSDK_NVME_SCT_MEDIA)
			CU_ASSERT(strncmp(text, "Media", 5) == 0);
		if (NSDK_NVME_STATUS_SCT(status) == NSDK_NVME_SCT_VENDOR)
			CU_ASSERT(strncmp(text, "Vendor", 6) == 0);
	}
}

static void agrees_with_the_names_in_the_header(void)
{
	static const struct {
		uint8_t sct, sc;
		const char *word;
	} known[] = {
		{ 0, NSDK_NVME_SC_INVALID_OPCODE, "Opcode" },
		{ 0, NSDK_NVME_SC_CID_CONFLICT, "Command ID Conflict" },
		{ 0, NSDK_NVME_SC_ABORTED_SQ_DELETED, "SQ Deletion" },
		{ 0, NSDK_NVME_SC_INVALID_NAMESPACE, "Invalid Namespace" },
		{ 0, NSDK_NVME_SC_INVALID_PRP_OFFSET, "PRP Offset" },
		{ 0, NSDK_NVME_SC_CAPACITY_EXCEEDED, "Capacity" },
		{ 1, NSDK_NVME_SC_CQ_INVALID, "Completion Queue Invalid" },
		{ 1, NSDK_NVME_SC_INVALID_QUEUE_SIZE, "Queue Size" },
		{ 1, NSDK_NVME_SC_AER_LIMIT, "Asynchronous Event Request Limit" },
		{ 1, NSDK_NVME_SC_INVALID_LOG_PAGE, "Log Page" },
		{ 1, NSDK_NVME_SC_INVALID_QUEUE_DELETION, "Queue Deletion" },
		{ 1, NSDK_NVME_SC_ATTRIBUTES_CONFLICT, "Conflicting Attributes" },
		{ 1, NSDK_NVME_SC_WRITE_TO_RO_RANGE, "Read Only Range" },
		{ 2, NSDK_NVME_SC_WRITE_FAULT, "Write Fault" },
		{ 2, NSDK_NVME_SC_UNRECOVERED_READ, "Unrecovered Read" },
		{ 2, NSDK_NVME_SC_ACCESS_DENIED, "Access Denied" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		CU_ASSERT(strstr(nsdk_nvme_status_text(NSDK_NVME_STATUS(known[i].sct, known[i].sc)),
				 known[i].word) != NULL);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(says_it_in_the_specifications_words),
	NSDK_UNIT_TEST(ignores_phase_and_retry_bits),
	NSDK_UNIT_TEST(has_words_for_every_status),
	NSDK_UNIT_TEST(agrees_with_the_names_in_the_header),
};

NSDK_UNIT_MAIN("drivers/nvme/status", tests)
