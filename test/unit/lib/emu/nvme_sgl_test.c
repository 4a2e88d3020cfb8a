/* SPDX-License-Identifier: BSD-3-Clause */
/* Data by SGLs: every layout that is allowed, and the status of every one that is not. */
#include "nvme_host.h"

#define BYTES 8192u /* of the transfer: 16 blocks */

static struct host_queue io;
static uint8_t *data;               /* what is on the disk */
static uint8_t *memory;             /* what SGLs point into */
static struct nsdk_nvme_sgl *list;  /* four pages of segments */

static void start(const char *options)
{
	struct nsdk_nvme_cmd cmd;

	host_start(options);
	host_queue_create(&io, 1, 16);
	data = host_pages(BYTES);
	memory = host_pages(16 * HOST_PAGE);
	list = host_pages(4 * HOST_PAGE);
	for (unsigned i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 11 + i / 256);
	cmd = host_rw(NSDK_NVME_NVM_WRITE, 1, 0, 16, host_iova(data), host_iova(data + HOST_PAGE));
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
}

static struct nsdk_nvme_sgl block(const uint8_t *at, uint32_t bytes)
{
	return (struct nsdk_nvme_sgl){ .address = host_iova(at), .length = bytes };
}

static struct nsdk_nvme_sgl segment(const struct nsdk_nvme_sgl *at, uint32_t count, uint8_t type)
{
	return (struct nsdk_nvme_sgl){ .address = host_iova(at), .length = count * 16, .type = type };
}

/* The 16 blocks with this descriptor in the command. */
static int run(unsigned opcode, struct nsdk_nvme_sgl first)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, 0, 16, 0, 0);

	cmd.flags = NSDK_NVME_PSDT_SGL;
	memcpy(&cmd.prp1, &first, sizeof(first));
	return host_run(&io, &cmd);
}

static int read_last(uint32_t count)
{
	return run(NSDK_NVME_NVM_READ, segment(list, count, NSDK_NVME_SGL_LAST_SEGMENT));
}

static void one_block_in_the_command(void)
{
	start("size=1M");
	/* Across pages, from an odd address. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory + 4001, BYTES)), 0);
	NSDK_ASSERT_INT(memcmp(memory + 4001, data, BYTES), 0);
	NSDK_ASSERT_INT(memory[4000], 0);
	NSDK_ASSERT_INT(memory[4001 + BYTES], 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, block(memory + 4001, BYTES)), 0);
	memory[5000] ^= 1;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, block(memory + 4001, BYTES)),
			HOST_MEDIA(COMPARE_FAILURE));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, block(memory + 4001, BYTES)), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory + 20000, BYTES)), 0);
	NSDK_ASSERT_INT(memcmp(memory + 20000, memory + 4001, BYTES), 0);
}

/* Pieces of 1, 2, 3, … bytes; as many as are needed. */
static uint32_t many_pieces(uint8_t *at, uint8_t **where, uint32_t *lengths)
{
	uint32_t total = 0, count = 0;

	for (uint32_t bytes = 1; total < BYTES; bytes++, count++) {
		lengths[count] = bytes < BYTES - total ? bytes : BYTES - total;
		where[count] = at;
		total += lengths[count];
		at += lengths[count] + 3;
	}
	return count;
}

static void expect_pieces(uint8_t **where, const uint32_t *lengths, uint32_t count)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < count; total += lengths[i++])
		if (memcmp(where[i], data + total, lengths[i]) != 0) {
			CU_FAIL("a piece differs");
			return;
		}
	NSDK_ASSERT_INT(total, BYTES);
}

static void segments_in_a_chain(void)
{
	static uint8_t *where[200];
	static uint32_t lengths[200];
	uint32_t count, at = 0;

	start("size=1M");
	count = many_pieces(memory, where, lengths);
	CU_ASSERT_FATAL(count > 100 && count < 200);
	/* All in one segment. */
	for (uint32_t i = 0; i < count; i++)
		list[i] = block(where[i], lengths[i]);
	NSDK_ASSERT_INT(read_last(count), 0);
	expect_pieces(where, lengths, count);
	/* Seven blocks a segment, and the way to the next one; the last has what is left. */
	memset(memory, 0, 16 * HOST_PAGE);
	for (uint32_t i = 0; i < count; i++) {
		if (at % 8 == 7) {
			uint32_t left = count - i;

			list[at] = left <= 8 ? segment(&list[at + 1], left, NSDK_NVME_SGL_LAST_SEGMENT) :
					       segment(&list[at + 1], 8, NSDK_NVME_SGL_SEGMENT);
			at++;
			if (left <= 8) {
				while (i < count) {
					list[at++] = block(where[i], lengths[i]);
					i++;
				}
				break;
			}
		}
		list[at++] = block(where[i], lengths[i]);
	}
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, segment(list, 8, NSDK_NVME_SGL_SEGMENT)), 0);
	expect_pieces(where, lengths, count);
}

static void blocks_of_no_bytes_are_passed_over(void)
{
	start("size=1M");
	list[0] = block(memory, 0);
	list[1] = block(memory, 4096);
	list[2] = (struct nsdk_nvme_sgl){ 0 };
	list[3] = block(memory + 8192, 4096);
	list[4] = block(memory, 0);
	NSDK_ASSERT_INT(read_last(5), 0);
	NSDK_ASSERT_INT(memcmp(memory, data, 4096), 0);
	NSDK_ASSERT_INT(memcmp(memory + 8192, data + 4096, 4096), 0);
}

static void lengths_must_be_those_of_the_data(void)
{
	start("size=1M");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory, BYTES - 1)), HOST_GENERIC(DATA_SGL_LENGTH));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory, BYTES + 1)), HOST_GENERIC(DATA_SGL_LENGTH));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory, 0)), HOST_GENERIC(DATA_SGL_LENGTH));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory, UINT32_MAX)),
			HOST_GENERIC(DATA_SGL_LENGTH));
	list[0] = block(memory, BYTES);
	list[1] = block(memory, 1);
	NSDK_ASSERT_INT(read_last(2), HOST_GENERIC(DATA_SGL_LENGTH));
	CU_ASSERT(NSDK_NVME_STATUS_DNR(host_last.status));
	/* Nothing has been moved. */
	NSDK_ASSERT_INT(memory[0], 0);
	NSDK_ASSERT_INT(read_last(1), 0);
}

static void segments_must_be_well_formed(void)
{
	struct nsdk_nvme_sgl first;

	start("size=1M");
	list[0] = block(memory, BYTES);
	first = segment(list, 1, NSDK_NVME_SGL_LAST_SEGMENT);
	first.length = 0;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, first), HOST_GENERIC(INVALID_SGL_SEGMENT));
	first.length = 17;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, first), HOST_GENERIC(INVALID_SGL_SEGMENT));
	first.length = 16;
	first.address += 4;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, first), HOST_GENERIC(INVALID_SGL_SEGMENT));
	/* A segment that is not the last one ends with the way to the next. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, segment(list, 1, NSDK_NVME_SGL_SEGMENT)),
			HOST_GENERIC(INVALID_SGL_SEGMENT));
	/* … which stands nowhere else, and not in the last. */
	list[0] = segment(list + 2, 1, NSDK_NVME_SGL_LAST_SEGMENT);
	list[1] = block(memory, BYTES);
	list[2] = block(memory, BYTES);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, segment(list, 2, NSDK_NVME_SGL_SEGMENT)),
			HOST_GENERIC(INVALID_SGL_COUNT));
	NSDK_ASSERT_INT(read_last(1), HOST_GENERIC(INVALID_SGL_COUNT));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, segment(list, 1, NSDK_NVME_SGL_SEGMENT)), 0);
	/* A chain without an end. */
	list[0] = block(memory, 0);
	list[1] = segment(list, 2, NSDK_NVME_SGL_SEGMENT);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, segment(list, 2, NSDK_NVME_SGL_SEGMENT)),
			HOST_GENERIC(INVALID_SGL_COUNT));
	/* Memory that is not the device's. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ,
			    (struct nsdk_nvme_sgl){ .address = 0x10, .length = BYTES }),
			HOST_GENERIC(DATA_TRANSFER_ERROR));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ,
			    (struct nsdk_nvme_sgl){ .address = 0x10, .length = 16,
						    .type = NSDK_NVME_SGL_LAST_SEGMENT }),
			HOST_GENERIC(DATA_TRANSFER_ERROR));
}

static void types_that_are_not_offered(void)
{
	start("size=1M");
	for (unsigned type = 1; type < 256; type++) {
		if (type == NSDK_NVME_SGL_SEGMENT || type == NSDK_NVME_SGL_LAST_SEGMENT)
			continue;
		list[0] = block(memory, BYTES);
		list[0].type = (uint8_t)type;
		NSDK_ASSERT_INT(read_last(1), HOST_GENERIC(SGL_TYPE));
		NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, list[0]), HOST_GENERIC(SGL_TYPE));
	}
}

static void dwords_where_dwords_are_asked_for(void)
{
	start("size=1M,sgl=dword");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory + 4, BYTES)), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory + 2, BYTES)), HOST_GENERIC(SGL_GRANULARITY));
	list[0] = block(memory, 6);
	list[1] = block(memory + 8, BYTES - 6);
	NSDK_ASSERT_INT(read_last(2), HOST_GENERIC(SGL_GRANULARITY));
}

static void none_where_there_are_none(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,sgl=none");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, block(memory, BYTES)), HOST_GENERIC(INVALID_FIELD));
	host_stop();
	start("size=1M");
	/* Metadata by an SGL, and a value that means nothing; and never for an admin command. */
	cmd = host_rw(NSDK_NVME_NVM_READ, 1, 0, 16, host_iova(memory), BYTES);
	cmd.flags = NSDK_NVME_PSDT_SGL_METADATA;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd.flags = NSDK_NVME_PSDT_MASK;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_GENERIC(INVALID_FIELD));
	cmd = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_IDENTIFY, .flags = NSDK_NVME_PSDT_SGL,
				      .prp1 = host_iova(memory), .prp2 = 4096, .cdw10 = 1 };
	NSDK_ASSERT_INT(host_run(&host.admin, &cmd), HOST_GENERIC(INVALID_FIELD));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(one_block_in_the_command),
	NSDK_UNIT_TEST(segments_in_a_chain),
	NSDK_UNIT_TEST(blocks_of_no_bytes_are_passed_over),
	NSDK_UNIT_TEST(lengths_must_be_those_of_the_data),
	NSDK_UNIT_TEST(segments_must_be_well_formed),
	NSDK_UNIT_TEST(types_that_are_not_offered),
	NSDK_UNIT_TEST(dwords_where_dwords_are_asked_for),
	NSDK_UNIT_TEST(none_where_there_are_none),
};

NSDK_UNIT_MAIN("lib/emu/nvme_sgl", tests, .after = host_stop)
