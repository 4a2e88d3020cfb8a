/* SPDX-License-Identifier: BSD-3-Clause */
/* Protection information made and checked by the host. */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include <nsdk/nvme_pi.h>

#include "drivers/nvme/guard.h"

#define BLOCKS 5u
#define BLOCK 512u
#define MAX_MD 64u
#define ALL (NSDK_NVME_RW_PRCHK_GUARD | NSDK_NVME_RW_PRCHK_APP_TAG | NSDK_NVME_RW_PRCHK_REF_TAG)

static uint8_t data[BLOCKS * (BLOCK + MAX_MD)], apart[BLOCKS * MAX_MD];
static struct nsdk_nvme_pi pi;

static void before(void)
{
	uint32_t salt = 7;

	for (size_t i = 0; i < sizeof(data); i++) {
		salt = salt * 1664525u + 1013904223u;
		data[i] = (uint8_t)(salt >> 24);
	}
	for (size_t i = 0; i < sizeof(apart); i++)
		apart[i] = (uint8_t)(i * 11 + 3);
	pi = (struct nsdk_nvme_pi){ .ref_tag = 0x01020304, .app_tag = 0xa1b2, .app_mask = 0xffff,
				    .check = ALL };
}

static struct nsdk_nvme_metadata format(unsigned type, unsigned pif, uint16_t bytes, bool extended,
					bool first)
{
	return (struct nsdk_nvme_metadata){
		.block_bytes = BLOCK,
		.bytes = bytes,
		.extended = extended,
		.pi_first = first,
		.pi_type = (uint8_t)type,
		.pif = (uint8_t)pif,
		.pi_bytes = pif ? 16 : 8,
		.storage_tag_bits = pif == NSDK_NVME_PIF_32 ? 16 : 0,
	};
}

static struct iovec whole(const struct nsdk_nvme_metadata *of)
{
	return (struct iovec){ data, (size_t)BLOCKS * (BLOCK + (of->extended ? of->bytes : 0u)) };
}

static int generate(const struct nsdk_nvme_metadata *of)
{
	struct iovec iov = whole(of);

	return nsdk_nvme_pi_generate(of, &iov, 1, of->extended ? NULL : apart, BLOCKS, &pi);
}

static int check(const struct nsdk_nvme_metadata *of, struct nsdk_nvme_pi_error *error)
{
	struct iovec iov = whole(of);

	return nsdk_nvme_pi_check(of, &iov, 1, of->extended ? NULL : apart, BLOCKS, &pi, error);
}

static uint8_t *md_of(const struct nsdk_nvme_metadata *of, unsigned block)
{
	return of->extended ? data + block * (BLOCK + of->bytes) + BLOCK : apart + (size_t)block * of->bytes;
}

static uint8_t *data_of(const struct nsdk_nvme_metadata *of, unsigned block)
{
	return data + (size_t)block * (BLOCK + (of->extended ? of->bytes : 0u));
}

/* Every byte of each format, in its place. */
static void bytes_are_in_their_places(void)
{
	struct nsdk_nvme_metadata of = format(1, NSDK_NVME_PIF_16, 8, false, false);
	uint64_t guard = nsdk_nvme_guard_add(0, nsdk_nvme_guard_begin(0), data + BLOCK, BLOCK);
	const uint8_t sixteen[8] = { (uint8_t)(guard >> 8), (uint8_t)guard, 0xa1, 0xb2, 1, 2, 3, 5 };
	uint8_t raw[16] = { 0 };

	NSDK_ASSERT_INT(generate(&of), 0);
	CU_ASSERT(memcmp(apart + 8, sixteen, 8) == 0);

	of = format(2, NSDK_NVME_PIF_32, 16, true, false);
	pi.ref_tag = UINT64_C(0x1112131415161718);
	NSDK_ASSERT_INT(generate(&of), 0);
	guard = nsdk_nvme_guard_end(1, nsdk_nvme_guard_add(1, nsdk_nvme_guard_begin(1), data_of(&of,
												2), BLOCK));
	memcpy(raw, (uint8_t[]){ (uint8_t)(guard >> 24), (uint8_t)(guard >> 16), (uint8_t)(guard >> 8),
				 (uint8_t)guard, 0xa1, 0xb2, 0, 0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
				 0x1a }, 16);
	CU_ASSERT(memcmp(md_of(&of, 2), raw, 16) == 0);

	of = format(3, NSDK_NVME_PIF_64, 16, false, true);
	NSDK_ASSERT_INT(generate(&of), 0);
	guard = nsdk_nvme_guard_end(2, nsdk_nvme_guard_add(2, nsdk_nvme_guard_begin(2), data_of(&of,
												4), BLOCK));
	for (unsigned i = 0; i < 8; i++)
		raw[i] = (uint8_t)(guard >> (56 - 8 * i));
	/* Of 48 bits, and with type 3 the same everywhere. */
	memcpy(raw + 8, (uint8_t[]){ 0xa1, 0xb2, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 }, 8);
	CU_ASSERT(memcmp(md_of(&of, 4), raw, 16) == 0);
}

/* All shapes: what was made is right, and what is not is named. */
static void what_was_made_is_right(void)
{
	for (unsigned i = 0; i < 3 * 3 * 2 * 2 * 2; i++) {
		unsigned pif = i % 3, type = i / 3 % 3 + 1;
		uint16_t bytes = i / 9 % 2 ? MAX_MD : pif ? 16 : 8;
		struct nsdk_nvme_metadata of = format(type, pif, bytes, i / 18 % 2, i / 36 % 2);
		struct nsdk_nvme_pi_error error = { 0 };
		uint8_t *tuple;

		before();
		NSDK_ASSERT_INT(generate(&of), 0);
		NSDK_ASSERT_INT(check(&of, &error), 0);
		tuple = md_of(&of, 3) + (of.pi_first ? 0 : of.bytes - of.pi_bytes);

		data_of(&of, 3)[BLOCK - 1] ^= 1;
		NSDK_ASSERT_INT(check(&of, &error), -EILSEQ);
		NSDK_ASSERT_INT(error.block, 3);
		CU_ASSERT_EQUAL(error.check, NSDK_NVME_RW_PRCHK_GUARD);
		CU_ASSERT(error.expected != error.found);
		pi.check = ALL & ~NSDK_NVME_RW_PRCHK_GUARD;
		NSDK_ASSERT_INT(check(&of, NULL), 0);
		pi.check = ALL;
		data_of(&of, 3)[BLOCK - 1] ^= 1;

		tuple[2u << pif] ^= 0x10;
		NSDK_ASSERT_INT(check(&of, &error), -EILSEQ);
		CU_ASSERT_EQUAL(error.check, NSDK_NVME_RW_PRCHK_APP_TAG);
		CU_ASSERT_EQUAL(error.expected, 0xa1b2);
		CU_ASSERT_EQUAL(error.found, 0xb1b2);
		pi.app_mask = 0x00ff;
		NSDK_ASSERT_INT(check(&of, NULL), 0);
		pi.app_mask = 0xffff;
		tuple[2u << pif] ^= 0x10;

		tuple[of.pi_bytes - 1] ^= 8;
		NSDK_ASSERT_INT(check(&of, &error), -EILSEQ);
		CU_ASSERT_EQUAL(error.check, NSDK_NVME_RW_PRCHK_REF_TAG);
		CU_ASSERT_EQUAL(error.expected, 0x01020304u + (type == 3 ? 0 : 3));
		CU_ASSERT_EQUAL(error.found, error.expected ^ 8);
		tuple[of.pi_bytes - 1] ^= 8;

		/* Other metadata is covered where it comes before, and nowhere else. */
		if (of.bytes == of.pi_bytes)
			continue;
		md_of(&of, 3)[of.pi_first ? of.bytes - 1 : 0] ^= 1;
		NSDK_ASSERT_INT(check(&of, &error), of.pi_first ? 0 : -EILSEQ);
	}
}

/* The same in pieces that cut through blocks, metadata and tags, some of them empty. */
static void pieces_cut_anywhere(void)
{
	for (unsigned i = 0; i < 4; i++) {
		struct nsdk_nvme_metadata of = format(1, i % 2 ? 2 : 0, i % 2 ? 24 : 8, i / 2, false);
		struct iovec one = whole(&of), iov[80];
		uint8_t expected[sizeof(data)], expected_apart[sizeof(apart)];
		size_t at = 0;
		int count = 0;

		before();
		NSDK_ASSERT_INT(generate(&of), 0);
		memcpy(expected, data, sizeof(data));
		memcpy(expected_apart, apart, sizeof(apart));
		for (unsigned b = 0; b < BLOCKS; b++)
			memset(md_of(&of, b) + of.bytes - of.pi_bytes, 0, of.pi_bytes);
		while (at < one.iov_len) {
			size_t step = (size_t)(count * 7) % 75;

			if (step > one.iov_len - at)
				step = one.iov_len - at;
			CU_ASSERT_FATAL(count < 80);
			iov[count++] = (struct iovec){ data + at, step };
			at += step;
		}
		NSDK_ASSERT_INT(nsdk_nvme_pi_generate(&of, iov, count, of.extended ? NULL : apart,
						      BLOCKS, &pi), 0);
		CU_ASSERT(memcmp(expected, data, sizeof(data)) == 0);
		CU_ASSERT(memcmp(expected_apart, apart, sizeof(apart)) == 0);
		NSDK_ASSERT_INT(nsdk_nvme_pi_check(&of, iov, count, of.extended ? NULL : apart,
						   BLOCKS, &pi, NULL),
				0);
	}
}

/* An application tag of all ones: nothing is checked; of type 3 only if the reference tag is, too. */
static void some_are_not_checked(void)
{
	for (unsigned type = 1; type <= 3; type++) {
		struct nsdk_nvme_metadata of = format(type, 0, 8, false, false);

		before();
		NSDK_ASSERT_INT(generate(&of), 0);
		memset(md_of(&of, 1), 0xff, 4);
		NSDK_ASSERT_INT(check(&of, NULL), type == 3 ? -EILSEQ : 0);
		memset(md_of(&of, 1), 0xff, 8);
		NSDK_ASSERT_INT(check(&of, NULL), 0);
	}
}

/* 32 bits, and beyond them they begin again. */
static void reference_tags_wrap(void)
{
	struct nsdk_nvme_metadata of = format(2, 0, 8, false, false);

	pi.ref_tag = 0xfffffffe;
	NSDK_ASSERT_INT(generate(&of), 0);
	NSDK_ASSERT_INT(check(&of, NULL), 0);
	CU_ASSERT(memcmp(md_of(&of, 1) + 4, "\xff\xff\xff\xff", 4) == 0);
	CU_ASSERT(memcmp(md_of(&of, 2) + 4, "\0\0\0\0", 4) == 0);
	/* A storage tag takes the upper ones. */
	of.storage_tag_bits = 8;
	NSDK_ASSERT_INT(generate(&of), 0);
	NSDK_ASSERT_INT(check(&of, NULL), 0);
	CU_ASSERT(memcmp(md_of(&of, 1) + 4, "\0\xff\xff\xff", 4) == 0);
}

static void refuses_what_cannot_be(void)
{
	struct nsdk_nvme_metadata good = format(1, 0, 8, false, false), of;
	struct iovec iov = whole(&good);

	of = good;
	of.pi_type = 0;
	NSDK_ASSERT_INT(generate(&of), -EINVAL);
	of.pi_type = 4;
	NSDK_ASSERT_INT(generate(&of), -EINVAL);
	of = good;
	of.pif = 3;
	NSDK_ASSERT_INT(generate(&of), -EINVAL);
	of = good;
	of.pi_bytes = 16;
	NSDK_ASSERT_INT(generate(&of), -EINVAL);
	of = good;
	of.bytes = 7;
	NSDK_ASSERT_INT(generate(&of), -EINVAL);
	of = good;
	of.storage_tag_bits = 33;
	NSDK_ASSERT_INT(generate(&of), -EINVAL);
	of = good;
	NSDK_ASSERT_INT(nsdk_nvme_pi_generate(&of, &iov, 1, NULL, BLOCKS, &pi), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_pi_generate(&of, &iov, 1, apart, BLOCKS + 1, &pi), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_pi_check(&of, &iov, 0, apart, BLOCKS, &pi, NULL), -EINVAL);
	of.extended = true;
	NSDK_ASSERT_INT(nsdk_nvme_pi_generate(&of, &iov, 1, apart, 1, &pi), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_pi_generate(&of, &iov, 1, NULL, BLOCKS, &pi), -EINVAL);
	NSDK_ASSERT_INT(nsdk_nvme_pi_generate(&of, &iov, 1, NULL, BLOCKS - 1, &pi), 0);
	pi.check |= NSDK_NVME_RW_PRACT;
	NSDK_ASSERT_INT(check(&good, NULL), -EINVAL);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(bytes_are_in_their_places),
	NSDK_UNIT_TEST(what_was_made_is_right),
	NSDK_UNIT_TEST(pieces_cut_anywhere),
	NSDK_UNIT_TEST(some_are_not_checked),
	NSDK_UNIT_TEST(reference_tags_wrap),
	NSDK_UNIT_TEST(refuses_what_cannot_be),
};

NSDK_UNIT_MAIN("drivers/nvme/pi", tests, .before = before)
