/* SPDX-License-Identifier: BSD-3-Clause */
/* The checksums of protection information: published values, and each length against the definition. */
#include "nsdk_unit.h"

#include <string.h>

#include <nsdk/nvme_pi.h>

#include "drivers/nvme/guard.h"

static uint64_t guard_of(unsigned pif, const void *data, size_t bytes)
{
	return nsdk_nvme_guard_end(pif, nsdk_nvme_guard_add(pif, nsdk_nvme_guard_begin(pif), data, bytes));
}

/* What catalogues of checksums give for these digits, and the specification's own examples. */
static void published_values(void)
{
	uint8_t block[4096] = { 0 };

	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_16, "123456789", 9), 0xd0db);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_32, "123456789", 9), 0xe3069283);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_64, "123456789", 9), UINT64_C(0xae8b14860a799888));
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_16, block, 32), 0);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_16, block, sizeof(block)), 0);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_32, block, 32), 0x8a9136aa);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_64, block, sizeof(block)), UINT64_C(0x6482d367eb22b64e));
	memset(block, 0xff, sizeof(block));
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_32, block, 32), 0x62a8ab43);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_64, block, sizeof(block)), UINT64_C(0xc0ddba7302eca3ac));
	for (unsigned i = 0; i < 32; i++)
		block[i] = (uint8_t)i;
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_32, block, 32), 0x46dd794e);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_16, "", 0), 0);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_32, "", 0), 0);
	CU_ASSERT_EQUAL(guard_of(NSDK_NVME_PIF_64, "", 0), 0);
}

/* Bit by bit, as the polynomials say. */
static uint64_t slow(unsigned pif, const uint8_t *at, size_t bytes)
{
	static const uint64_t start[] = { 0, UINT32_MAX, UINT64_MAX };
	static const uint64_t poly[] = { 0x8bb7, 0x82f63b78, UINT64_C(0x9a6c9329ac4bc9b5) };
	uint64_t crc = start[pif];

	for (; bytes; at++, bytes--) {
		crc ^= pif ? *at : (uint64_t)*at << 8;
		for (unsigned bit = 0; bit < 8; bit++) {
			if (pif)
				crc = crc >> 1 ^ (crc & 1 ? poly[pif] : 0);
			else
				crc = (crc << 1 ^ (crc & 0x8000 ? poly[0] : 0)) & 0xffff;
		}
	}
	return crc ^ start[pif];
}

static void each_length_from_each_place(void)
{
	uint8_t data[300];
	uint32_t salt = 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		salt = salt * 1664525u + 1013904223u;
		data[i] = (uint8_t)(salt >> 24);
	}
	for (unsigned pif = 0; pif < 3; pif++)
		for (size_t from = 0; from < 9; from++)
			for (size_t bytes = 0; bytes < 70; bytes++)
				CU_ASSERT_EQUAL(guard_of(pif, data + from, bytes), slow(pif,
						data + from, bytes));
}

static void pieces_make_a_whole(void)
{
	uint8_t data[64];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37);
	for (unsigned pif = 0; pif < 3; pif++)
		for (size_t cut = 0; cut <= sizeof(data); cut++) {
			uint64_t guard = nsdk_nvme_guard_add(pif, nsdk_nvme_guard_begin(pif), data, cut);

			guard = nsdk_nvme_guard_add(pif, guard, data + cut, sizeof(data) - cut);
			CU_ASSERT_EQUAL(nsdk_nvme_guard_end(pif, guard), guard_of(pif, data, sizeof(data)));
		}
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(published_values),
	NSDK_UNIT_TEST(each_length_from_each_place),
	NSDK_UNIT_TEST(pieces_make_a_whole),
};

NSDK_UNIT_MAIN("drivers/nvme/guard", tests)
