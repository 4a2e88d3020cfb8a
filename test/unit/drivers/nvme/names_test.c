/* SPDX-License-Identifier: BSD-3-Clause */
/* Names in the specification's words, and the bits of commands that the header fills in. */
#include "nsdk_unit.h"

#include <string.h>

#include <nsdk/nvme_admin.h>

static void names_are_there_and_unknown_ones_too(void)
{
	unsigned named = 0;

	NSDK_ASSERT_TEXT(nsdk_nvme_admin_opcode_name(NSDK_NVME_ADMIN_FORMAT), "Format NVM");
	NSDK_ASSERT_TEXT(nsdk_nvme_io_opcode_name(NSDK_NVME_NVM_WRITE_ZEROES), "Write Zeroes");
	NSDK_ASSERT_TEXT(nsdk_nvme_feature_name(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD),
			 "Temperature Threshold");
	NSDK_ASSERT_TEXT(nsdk_nvme_feature_name(0), "Unknown");
	NSDK_ASSERT_TEXT(nsdk_nvme_io_opcode_name(0xff), "Unknown");
	for (unsigned i = 0; i < 256; i++) {
		CU_ASSERT(nsdk_nvme_admin_opcode_name((uint8_t)i)[0] != '\0');
		CU_ASSERT(nsdk_nvme_io_opcode_name((uint8_t)i)[0] != '\0');
		CU_ASSERT(nsdk_nvme_feature_bytes((uint8_t)i) <= 4096);
		named += strcmp(nsdk_nvme_feature_name((uint8_t)i), "Unknown") != 0;
	}
	NSDK_ASSERT_INT(named, 36);
	NSDK_ASSERT_INT(nsdk_nvme_feature_bytes(0x0e), 8);
	NSDK_ASSERT_INT(nsdk_nvme_feature_bytes(0x04), 0);
}

/* Each against the specification's figure, dword by dword. */
static void commands_are_as_specified(void)
{
	struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_identify(0x12, 5, 0x1234, 2);

	NSDK_ASSERT_INT(cmd.opcode, 0x06);
	NSDK_ASSERT_INT(cmd.nsid, 5);
	NSDK_ASSERT_INT(cmd.cdw10, 0x12340012);
	NSDK_ASSERT_INT(cmd.cdw11, 0x02000000);
	cmd = nsdk_nvme_cmd_get_features(4, NSDK_NVME_FEATURE_SAVED, 1, 9);
	NSDK_ASSERT_INT(cmd.opcode, 0x0a);
	NSDK_ASSERT_INT(cmd.cdw10, 0x204);
	NSDK_ASSERT_INT(cmd.cdw11, 9);
	cmd = nsdk_nvme_cmd_set_features(4, true, 1, 0x150, 7);
	NSDK_ASSERT_INT(cmd.opcode, 0x09);
	NSDK_ASSERT_INT(cmd.cdw10, 0x80000004);
	NSDK_ASSERT_INT(cmd.cdw11, 0x150);
	NSDK_ASSERT_INT(cmd.cdw12, 7);
	cmd = nsdk_nvme_cmd_ns_create(2);
	NSDK_ASSERT_INT(cmd.opcode, 0x0d);
	NSDK_ASSERT_INT(cmd.cdw10, 0);
	NSDK_ASSERT_INT(cmd.cdw11, 0x02000000);
	cmd = nsdk_nvme_cmd_ns_delete(3);
	NSDK_ASSERT_INT(cmd.cdw10, 1);
	NSDK_ASSERT_INT(cmd.nsid, 3);
	cmd = nsdk_nvme_cmd_ns_attach(3, true);
	NSDK_ASSERT_INT(cmd.opcode, 0x15);
	NSDK_ASSERT_INT(cmd.cdw10, 1);
	/* LBAFL 3:0, MSET 4, PI 7:5, PIL 8, SES 11:9, LBAFU 13:12 */
	cmd = nsdk_nvme_cmd_format(3, 0x25, true, 3, true, 2);
	NSDK_ASSERT_INT(cmd.opcode, 0x80);
	NSDK_ASSERT_INT(cmd.cdw10, 0x5 | 1 << 4 | 3 << 5 | 1 << 8 | 2 << 9 | 2 << 12);
	/* SANACT 2:0, AUSE 3, OWPASS 7:4, OIPBP 8, NDAS 9 */
	cmd = nsdk_nvme_cmd_sanitize(NSDK_NVME_SANITIZE_OVERWRITE, true, 16, true, true, 0xdeadbeef);
	NSDK_ASSERT_INT(cmd.opcode, 0x84);
	NSDK_ASSERT_INT(cmd.cdw10, 3 | 1 << 3 | 1 << 8 | 1 << 9);
	NSDK_ASSERT_INT(cmd.cdw11, 0xdeadbeef);
	cmd = nsdk_nvme_cmd_fw_download(4096, 8192);
	NSDK_ASSERT_INT(cmd.opcode, 0x11);
	NSDK_ASSERT_INT(cmd.cdw10, 1023);
	NSDK_ASSERT_INT(cmd.cdw11, 2048);
	cmd = nsdk_nvme_cmd_fw_commit(2, 3, 1);
	NSDK_ASSERT_INT(cmd.opcode, 0x10);
	NSDK_ASSERT_INT(cmd.cdw10, 0x80000000 | 3 << 3 | 2);
	/* NSSF 7:0, SPSP 23:8, SECP 31:24 */
	cmd = nsdk_nvme_cmd_security_send(1, 0xef, 0x1234, 0x56, 512);
	NSDK_ASSERT_INT(cmd.opcode, 0x81);
	NSDK_ASSERT_INT(cmd.cdw10, 0xef123456);
	NSDK_ASSERT_INT(cmd.cdw11, 512);
	cmd = nsdk_nvme_cmd_security_receive(1, 0xef, 0x1234, 0x56, 512);
	NSDK_ASSERT_INT(cmd.opcode, 0x82);
	NSDK_ASSERT_INT(cmd.cdw10, 0xef123456);
	cmd = nsdk_nvme_cmd_self_test(1, 0x1f);
	NSDK_ASSERT_INT(cmd.opcode, 0x14);
	NSDK_ASSERT_INT(cmd.cdw10, 0xf);
	cmd = nsdk_nvme_cmd_get_lba_status(1, 0x123456789, 16, 0x11, 4096);
	NSDK_ASSERT_INT(cmd.opcode, 0x86);
	NSDK_ASSERT_INT(cmd.cdw10, 0x23456789);
	NSDK_ASSERT_INT(cmd.cdw11, 1);
	NSDK_ASSERT_INT(cmd.cdw12, 1023);
	NSDK_ASSERT_INT(cmd.cdw13, 0x11000010);
}

static void opcodes_say_which_way_data_goes(void)
{
	NSDK_ASSERT_INT(nsdk_nvme_opcode_dir(NSDK_NVME_ADMIN_IDENTIFY), NSDK_DMA_FROM_DEVICE);
	NSDK_ASSERT_INT(nsdk_nvme_opcode_dir(NSDK_NVME_ADMIN_SET_FEATURES), NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(nsdk_nvme_opcode_dir(NSDK_NVME_NVM_WRITE), NSDK_DMA_TO_DEVICE);
	NSDK_ASSERT_INT(nsdk_nvme_opcode_dir(0xc3), NSDK_DMA_BIDIRECTIONAL);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(names_are_there_and_unknown_ones_too),
	NSDK_UNIT_TEST(commands_are_as_specified),
	NSDK_UNIT_TEST(opcodes_say_which_way_data_goes),
};

NSDK_UNIT_MAIN("drivers/nvme/names", tests)
