/* SPDX-License-Identifier: BSD-3-Clause */
/* Protection information as the model makes and checks it, byte by byte. */
#include "nvme_host.h"

static struct host_queue io;
static uint8_t *data, *apart;

#define GUARD NSDK_NVME_RW_PRCHK_GUARD
#define APP NSDK_NVME_RW_PRCHK_APP_TAG
#define REF NSDK_NVME_RW_PRCHK_REF_TAG
#define PRACT NSDK_NVME_RW_PRACT

static void start(const char *options)
{
	host_start(options);
	host_queue_create(&io, 1, 16);
	data = host_pages(2 * HOST_PAGE);
	apart = host_pages(HOST_PAGE);
	memset(data, 0xff, 2 * (size_t)HOST_PAGE);
}

/* Set Features, Host Behavior Support. */
static int know(unsigned lbafee)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_SET_FEATURES,
		.prp1 = host_iova(apart),
		.cdw10 = NSDK_NVME_FEAT_HOST_BEHAVIOR,
	};

	memset(apart, 0, 512);
	apart[2] = (uint8_t)lbafee;
	return host_run(&host.admin, &cmd);
}

/* Of the first two blocks, with their numbers for reference tags. */
static struct nsdk_nvme_cmd command(unsigned opcode, uint32_t prinfo)
{
	struct nsdk_nvme_cmd cmd = host_rw(opcode, 1, 0, 2, host_iova(data), host_iova(data + HOST_PAGE));

	cmd.mptr = host_iova(apart);
	cmd.cdw12 |= prinfo;
	cmd.cdw15 = 0xffffc0deu;
	return cmd;
}

static int run(unsigned opcode, uint32_t prinfo)
{
	struct nsdk_nvme_cmd cmd = command(opcode, prinfo);

	return host_run(&io, &cmd);
}

/* As in the specification's examples: 4 KiB of ones, and of 512 bytes what catalogues of checksums say. */
static void guards_are_what_they_should_be(void)
{
	static const uint8_t crc64[8] = { 0xc0, 0xdd, 0xba, 0x73, 0x02, 0xec, 0xa3, 0xac };
	static const uint8_t tail[8] = { 0xc0, 0xde, 0, 0, 0, 0, 0, 1 };

	start("size=1M,lba=4096,ms=16,pi=1,pif=2");
	/* A host that does not know such guards does not have such namespaces. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(know(2), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(know(1), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, GUARD | APP | REF), 0);
	CU_ASSERT(memcmp(apart, crc64, 8) == 0 && memcmp(apart + 16, crc64, 8) == 0);
	CU_ASSERT(memcmp(apart + 24, tail, 8) == 0);
	host_stop();
	/* All zeroes, of which each bit of this guard is zero. */
	start("size=1M,ms=8,pi=1");
	memset(data, 0, HOST_PAGE);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, GUARD | APP | REF), 0);
	CU_ASSERT(memcmp(apart, "\0\0\xc0\xde\0\0\0\0\0\0\xc0\xde\0\0\0\1", 16) == 0);
}

static void each_tag_is_looked_at_if_asked(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,ms=8,pi=2");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), 0);
	cmd = command(NSDK_NVME_NVM_READ, REF);
	cmd.cdw14 = 1;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_MEDIA(REF_TAG_CHECK));
	cmd.cdw12 = GUARD | APP | 1;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	cmd.cdw15 = 0x0f00c1deu;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_MEDIA(APP_TAG_CHECK));
	cmd.cdw15 = 0xf0ffc1deu;
	NSDK_ASSERT_INT(host_run(&io, &cmd), 0);
	/* What the host says is written, be it wrong; and is not, if it wants it looked at. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 0), 0);
	data[700] ^= 1;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, GUARD), HOST_MEDIA(GUARD_CHECK));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, GUARD), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, GUARD), HOST_MEDIA(GUARD_CHECK));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, GUARD), HOST_MEDIA(GUARD_CHECK));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, GUARD), HOST_MEDIA(GUARD_CHECK));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 0), 0);
	/* An application tag of all ones: nothing is. */
	memset(apart + 8, 0xff, 8);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, 0), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, GUARD | APP | REF), 0);
}

static void what_may_not_be_asked(void)
{
	struct nsdk_nvme_cmd cmd;

	start("size=1M,ms=8,pi=1");
	cmd = command(NSDK_NVME_NVM_READ, REF);
	cmd.cdw14 = 5;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_SPECIFIC(INVALID_PROTECTION));
	cmd = command(NSDK_NVME_NVM_WRITE, PRACT);
	cmd.cdw14 = 5;
	NSDK_ASSERT_INT(host_run(&io, &cmd), HOST_SPECIFIC(INVALID_PROTECTION));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_COMPARE, PRACT), HOST_SPECIFIC(INVALID_PROTECTION));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, PRACT), HOST_SPECIFIC(INVALID_PROTECTION));
	host_stop();
	start("size=1M,ms=8,pi=3");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, REF), HOST_SPECIFIC(INVALID_PROTECTION));
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_VERIFY, REF), HOST_SPECIFIC(INVALID_PROTECTION));
	host_stop();
	/* Of metadata that is none, nobody asks. */
	start("size=1M,ms=8");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, GUARD | REF), 0);
}

/* Other metadata: covered where it comes before, and kept whoever makes the rest. */
static void beside_other_metadata(void)
{
	start("size=1M,ms=12,pi=1");
	memset(apart, 0x77, 24);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), 0);
	memset(apart, 0, 24);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, PRACT | GUARD | REF), 0);
	CU_ASSERT(memcmp(apart, "\x77\x77\x77\x77", 4) == 0 && memcmp(apart + 12, "\x77\x77\x77\x77", 4) == 0);
	CU_ASSERT(memcmp(apart + 18, "\xc0\xde\0\0\0\1", 4) == 0);
	apart[3] ^= 1;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, GUARD), HOST_MEDIA(GUARD_CHECK));
	host_stop();
	start("size=1M,ms=12,pi=1,pil=1");
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, 0), 0);
	CU_ASSERT(memcmp(apart + 14, "\xc0\xde\0\0\0\1", 4) == 0);
	apart[11] ^= 1;
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, GUARD), 0);
}

static void zeroes_and_copies_have_it(void)
{
	struct nsdk_nvme_copy_range *range;
	struct nsdk_nvme_cmd copy = { .opcode = NSDK_NVME_NVM_COPY, .nsid = 1, .cdw10 = 1000, .cdw14 = 1000 };

	start("size=1M,ms=16,pi=1,pif=1");
	NSDK_ASSERT_INT(know(1), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, PRACT), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, GUARD | APP | REF), 0);
	CU_ASSERT(apart[4] == 0xc0 && apart[31] == 1);
	/* Deallocated, they are not looked at. */
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE_ZEROES, PRACT | NSDK_NVME_WZ_DEALLOCATE), 0);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_READ, GUARD | APP | REF), 0);
	CU_ASSERT(apart[4] == 0xff);
	NSDK_ASSERT_INT(run(NSDK_NVME_NVM_WRITE, PRACT), 0);
	range = (void *)host_pages(HOST_PAGE);
	range->blocks = 1;
	copy.prp1 = host_iova(range);
	copy.cdw12 = PRACT;
	NSDK_ASSERT_INT(host_run(&io, &copy), HOST_SPECIFIC(INVALID_PROTECTION));
	copy.cdw12 = PRACT | (PRACT | GUARD) >> 14;
	NSDK_ASSERT_INT(host_run(&io, &copy), 0);
	copy = command(NSDK_NVME_NVM_READ, GUARD | REF);
	copy.cdw10 = copy.cdw14 = 1000;
	NSDK_ASSERT_INT(host_run(&io, &copy), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(guards_are_what_they_should_be),
	NSDK_UNIT_TEST(each_tag_is_looked_at_if_asked),
	NSDK_UNIT_TEST(what_may_not_be_asked),
	NSDK_UNIT_TEST(beside_other_metadata),
	NSDK_UNIT_TEST(zeroes_and_copies_have_it),
};

NSDK_UNIT_MAIN("lib/emu/nvme_pi", tests, .after = host_stop)
