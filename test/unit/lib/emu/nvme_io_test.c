/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

static struct host_queue io;
static uint8_t *data, *back;

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 16);
	data = host_pages(4 * HOST_PAGE);
	back = host_pages(4 * HOST_PAGE);
	for (unsigned i = 0; i < 4 * HOST_PAGE; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
}

static int run_at(uint8_t *buffer, unsigned opcode, uint32_t nsid, uint64_t lba, uint32_t blocks)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, nsid, lba, blocks, host_iova(buffer),
					   host_iova(buffer + HOST_PAGE));

	return host_run(&io, &cmd);
}

static int run(unsigned opcode, uint64_t lba, uint32_t blocks)
{
	return run_at(opcode == NSDK_NVME_NVM_READ ? back : data, opcode, 1, lba, blocks);
}

static bool back_is_zero(size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (back[i])
			return false;
	return true;
}

static void reads_what_was_written(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 100, 16), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 100, 16), 0);
	NSDK_ASSERT_INT(memcmp(data, back, 8192), 0);
	/* Beside it nothing changed. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 99, 1), 0);
	CU_ASSERT(back_is_zero(512));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 116, 1), 0);
	CU_ASSERT(back_is_zero(512));
}

static void large_blocks(void)
{
	start("size=1M,lba=4096");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 255, 1), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 255, 1), 0);
	NSDK_ASSERT_INT(memcmp(data, back, 4096), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 255, 2), HOST_GENERIC(LBA_OUT_OF_RANGE));
}

static void namespaces_are_apart(void)
{
	start("size=1M,namespaces=3");
	for (uint32_t nsid = 1; nsid <= 3; nsid++) {
		memset(data, (int)nsid, 512);
		NSDK_ASSERT_INT(run_at(data, NSDK_NVME_NVM_WRITE, nsid, 0, 1), 0);
		NSDK_ASSERT_INT(run_at(data, NSDK_NVME_NVM_WRITE, nsid, 2047, 1), 0);
	}
	for (uint32_t nsid = 1; nsid <= 3; nsid++) {
		NSDK_ASSERT_INT(run_at(back, NSDK_NVME_NVM_READ, nsid, 0, 1), 0);
		NSDK_ASSERT_INT(back[511], nsid);
		NSDK_ASSERT_INT(run_at(back, NSDK_NVME_NVM_READ, nsid, 2047, 1), 0);
		NSDK_ASSERT_INT(back[0], nsid);
		NSDK_ASSERT_INT(run_at(back, NSDK_NVME_NVM_READ, nsid, 2048, 1),
				HOST_GENERIC(LBA_OUT_OF_RANGE));
	}
}

static void ranges_are_checked(void)
{
	static const unsigned opcodes[] = {
		NSDK_NVME_NVM_READ, NSDK_NVME_NVM_WRITE, NSDK_NVME_NVM_COMPARE,
		NSDK_NVME_NVM_WRITE_ZEROES, NSDK_NVME_NVM_WRITE_UNCORRECTABLE, NSDK_NVME_NVM_VERIFY,
	};

	start("size=1M");
	for (unsigned i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		NSDK_ASSERT_INT(run(opcodes[i], 2048, 1), HOST_GENERIC(LBA_OUT_OF_RANGE));
		NSDK_ASSERT_INT(run(opcodes[i], 2047, 2), HOST_GENERIC(LBA_OUT_OF_RANGE));
		NSDK_ASSERT_INT(run(opcodes[i], UINT64_MAX, 1), HOST_GENERIC(LBA_OUT_OF_RANGE));
		NSDK_ASSERT_INT(run(opcodes[i], UINT64_MAX - 3, 8), HOST_GENERIC(LBA_OUT_OF_RANGE));
		CU_ASSERT(NSDK_NVME_STATUS_DNR(host_last.status));
	}
}

static void namespace_ids_are_checked(void)
{
	static const uint32_t wrong[] = { 0, 3, 0x80000000, 0xfffffffe, 0xffffffff };

	start("size=1M,namespaces=2");
	for (unsigned opcode = 0; opcode < 256; opcode++)
		for (unsigned i = 0; i < 5; i++) {
			int status = run_at(data, opcode, wrong[i], 0, 1);

			switch (opcode) {
			case NSDK_NVME_NVM_FLUSH:
				NSDK_ASSERT_INT(status, wrong[i] == NSDK_NVME_NSID_ALL ?
								0 :
								HOST_GENERIC(INVALID_NAMESPACE));
				break;
			case NSDK_NVME_NVM_WRITE:
			case NSDK_NVME_NVM_READ:
			case NSDK_NVME_NVM_WRITE_UNCORRECTABLE:
			case NSDK_NVME_NVM_COMPARE:
			case NSDK_NVME_NVM_WRITE_ZEROES:
			case NSDK_NVME_NVM_DATASET_MANAGEMENT:
			case NSDK_NVME_NVM_VERIFY:
			case NSDK_NVME_NVM_COPY:
			case NSDK_NVME_NVM_RESV_REGISTER:
			case NSDK_NVME_NVM_RESV_REPORT:
			case NSDK_NVME_NVM_RESV_ACQUIRE:
			case NSDK_NVME_NVM_RESV_RELEASE:
				NSDK_ASSERT_INT(status, HOST_GENERIC(INVALID_NAMESPACE));
				break;
			default:
				NSDK_ASSERT_INT(status, HOST_GENERIC(INVALID_OPCODE));
			}
		}
}

static void compares(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 16), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 0, 16), 0);
	data[8191] ^= 1;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 0, 16), HOST_MEDIA(COMPARE_FAILURE));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, 0, 15), 0);
}

static void directives_are_refused(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M");
	cmd = host_rw(NSDK_NVME_NVM_WRITE, 1, 0, 1, host_iova(data), 0);
	cmd.cdw12 |= 1 << 20;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.cdw12 = NSDK_NVME_RW_FUA | NSDK_NVME_RW_LIMITED_RETRY;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

/* Whatever deallocates or zeroes: exactly these blocks read as zeroes, and no others. */
static void expect_hole(uint64_t first, uint64_t count, uint64_t lba, uint32_t blocks)
{
	uint8_t *all = host_pages(blocks * 512);
	struct nsdk_nvme_cmd cmd;

	for (uint32_t at = 0; at < blocks; at += 8) {
		cmd = host_rw(NSDK_NVME_NVM_READ, 1, lba + at, 8, host_iova(all + at * 512), 0);
		CU_ASSERT_EQUAL_FATAL(host_run(&io, &cmd), 0);
	}
	for (uint32_t at = 0; at < blocks; at++) {
		bool hole = lba + at >= first && lba + at < first + count;

		for (unsigned i = 0; i < 512; i++)
			if (all[at * 512 + i] != (hole ? 0 : 0xaa)) {
				CU_FAIL("a block is not what it should be");
				return;
			}
	}
}

static void fill(uint64_t lba, uint32_t blocks)
{
	memset(data, 0xaa, 4096);
	for (uint32_t at = 0; at < blocks; at += 8)
		CU_ASSERT_EQUAL_FATAL(run(NSDK_NVME_NVM_WRITE, lba + at, 8), 0);
}

static void writes_zeroes(void)
{
	start("size=8M");
	fill(0, 1024);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, 3, 5), 0);
	expect_hole(3, 5, 0, 64);
	/* Over whole extents, with ragged ends. */
	fill(0, 1024);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, 101, 777), 0);
	expect_hole(101, 777, 0, 1024);
}

static int deallocate(uint32_t ranges, uint32_t cdw11)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_NVM_DATASET_MANAGEMENT,
		.nsid = 1,
		.prp1 = host_iova(data),
		.prp2 = host_iova(data + HOST_PAGE),
		.cdw10 = ranges - 1,
		.cdw11 = cdw11,
	};

	return host_run(&io, &cmd);
}

static void deallocates(void)
{
	struct nsdk_nvme_dsm_range *ranges;

	start("size=64M");
	ranges = (void *)data;
	fill(0, 1024);
	ranges[0] = (struct nsdk_nvme_dsm_range){ .blocks = 10, .slba = 20 };
	ranges[1] = (struct nsdk_nvme_dsm_range){ .blocks = 0, .slba = 5 };
	ranges[2] = (struct nsdk_nvme_dsm_range){ .blocks = 500, .slba = 30 };
	NSDK_ASSERT_INT(deallocate(3, NSDK_NVME_DSM_DEALLOCATE), 0);
	expect_hole(20, 510, 0, 1024);
	/* Without the attribute they are hints. */
	ranges = (void *)data;
	fill(0, 1024);
	ranges[0] = (struct nsdk_nvme_dsm_range){ .blocks = 1024 };
	NSDK_ASSERT_INT(deallocate(1, 3), 0);
	expect_hole(0, 0, 0, 64);
	/* A large one, at once. */
	fill(200, 8);
	memset(data, 0xaa, 4096);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 131064, 8), 0);
	ranges[0] = (struct nsdk_nvme_dsm_range){ .blocks = 131069 - 201, .slba = 201 };
	NSDK_ASSERT_INT(deallocate(1, NSDK_NVME_DSM_DEALLOCATE), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 200, 8), 0);
	NSDK_ASSERT_INT(back[511], 0xaa);
	NSDK_ASSERT_INT(back[512], 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 131064, 8), 0);
	CU_ASSERT(back_is_zero(5 * 512));
	NSDK_ASSERT_INT(back[5 * 512], 0xaa);
	NSDK_ASSERT_INT(back[8 * 512 - 1], 0xaa);
}

static void deallocation_checks_all_ranges_first(void)
{
	struct nsdk_nvme_dsm_range *ranges;

	start("size=1M");
	ranges = (void *)data;
	fill(0, 64);
	for (unsigned i = 0; i < 256; i++)
		ranges[i] = (struct nsdk_nvme_dsm_range){ .blocks = 1, .slba = i };
	ranges[255].slba = 2048;
	NSDK_ASSERT_INT(deallocate(256, NSDK_NVME_DSM_DEALLOCATE), HOST_GENERIC(LBA_OUT_OF_RANGE));
	expect_hole(0, 0, 0, 64);
	ranges = (void *)data;
	ranges[0] = (struct nsdk_nvme_dsm_range){ .blocks = UINT32_MAX, .slba = UINT64_MAX };
	NSDK_ASSERT_INT(deallocate(1, NSDK_NVME_DSM_DEALLOCATE), HOST_GENERIC(LBA_OUT_OF_RANGE));
	NSDK_ASSERT_INT(deallocate(1, 0), HOST_GENERIC(LBA_OUT_OF_RANGE));
}

static void spoiled_blocks_cannot_be_read_until_written(void)
{
	static const unsigned readers[] = { NSDK_NVME_NVM_READ, NSDK_NVME_NVM_COMPARE,
					    NSDK_NVME_NVM_VERIFY };

	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, 0, 128), 0);
	/* More than Identify says it does at once. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, 0, 129), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0, 16), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_UNCORRECTABLE, 4, 9), 0);
	for (unsigned i = 0; i < 3; i++) {
		NSDK_ASSERT_INT(run(readers[i], 0, 4), 0);
		NSDK_ASSERT_INT(run(readers[i], 0, 5), HOST_MEDIA(UNRECOVERED_READ));
		NSDK_ASSERT_INT(run(readers[i], 12, 1), HOST_MEDIA(UNRECOVERED_READ));
		NSDK_ASSERT_INT(run_at(data + 13 * 512, readers[i], 1, 13, 1), 0);
	}
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 4, 4), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 4, 4), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 8, 1), HOST_MEDIA(UNRECOVERED_READ));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, 8, 5), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, 0, 128), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(reads_what_was_written),
	NSDK_UNIT_TEST(large_blocks),
	NSDK_UNIT_TEST(namespaces_are_apart),
	NSDK_UNIT_TEST(ranges_are_checked),
	NSDK_UNIT_TEST(namespace_ids_are_checked),
	NSDK_UNIT_TEST(compares),
	NSDK_UNIT_TEST(directives_are_refused),
	NSDK_UNIT_TEST(writes_zeroes),
	NSDK_UNIT_TEST(deallocates),
	NSDK_UNIT_TEST(deallocation_checks_all_ranges_first),
	NSDK_UNIT_TEST(spoiled_blocks_cannot_be_read_until_written),
};

NSDK_UNIT_MAIN("lib/emu/nvme_io", tests, .after = host_stop)
