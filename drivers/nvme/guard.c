/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guards of protection information: checksums of blocks (NVM 5.2.1).
 *
 *	16 bits  CRC-16 of T10 DIF: polynomial 8BB7h, most significant bit first, from 0
 *	32 bits  CRC-32C: 1EDC6F41h, least significant bit first, from all ones, inverted
 *	64 bits  CRC-64 of NVMe: AD93D23594C93659h, likewise
 *
 * Eight bytes at a time, by a table for each of them ("slicing by 8"): what a byte does to the checksum
 * depends on how many bytes follow it, so the eight of a word are looked up side by side. The tables
 * are computed once, before the first guard.
 */
#include "guard.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#include <nsdk/nvme_pi.h>

#define POLY16 0x8bb7u
#define POLY32 0x82f63b78u                    /* with its bits reversed */
#define POLY64 UINT64_C(0x9a6c9329ac4bc9b5)   /* likewise */

#define SLICES 8u

static struct {
	uint16_t crc16[SLICES][256];
	uint32_t crc32[SLICES][256];
	uint64_t crc64[SLICES][256];
} tables;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The first table is of a byte with nothing behind it, each further one of a byte with one more zero. */
static void compute(void)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		uint16_t crc16 = (uint16_t)(byte << 8);
		uint32_t crc32 = byte;
		uint64_t crc64 = byte;

		for (unsigned bit = 0; bit < 8; bit++) {
			crc16 = (uint16_t)(crc16 << 1 ^ (crc16 & 0x8000 ? POLY16 : 0));
			crc32 = crc32 >> 1 ^ (crc32 & 1 ? POLY32 : 0);
			crc64 = crc64 >> 1 ^ (crc64 & 1 ? POLY64 : 0);
		}
		tables.crc16[0][byte] = crc16;
		tables.crc32[0][byte] = crc32;
		tables.crc64[0][byte] = crc64;
	}
	for (unsigned i = 1; i < SLICES; i++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			uint16_t crc16 = tables.crc16[i - 1][byte];
			uint32_t crc32 = tables.crc32[i - 1][byte];
			uint64_t crc64 = tables.crc64[i - 1][byte];

			tables.crc16[i][byte] = (uint16_t)(crc16 << 8 ^ tables.crc16[0][crc16 >> 8]);
			tables.crc32[i][byte] = crc32 >> 8 ^ tables.crc32[0][crc32 & 0xff];
			tables.crc64[i][byte] = crc64 >> 8 ^ tables.crc64[0][crc64 & 0xff];
		}
	}
}

static uint16_t update16(uint16_t crc, const uint8_t *at, size_t bytes)
{
	for (; bytes >= 8; at += 8, bytes -= 8)
		crc = tables.crc16[7][at[0] ^ crc >> 8] ^ tables.crc16[6][at[1] ^ (crc & 0xff)] ^
		      tables.crc16[5][at[2]] ^ tables.crc16[4][at[3]] ^ tables.crc16[3][at[4]] ^
		      tables.crc16[2][at[5]] ^ tables.crc16[1][at[6]] ^ tables.crc16[0][at[7]];
	for (; bytes; at++, bytes--)
		crc = (uint16_t)(crc << 8 ^ tables.crc16[0][*at ^ crc >> 8]);
	return crc;
}

/* Eight bytes, the first one lowest. */
static uint64_t load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

static uint32_t update32(uint32_t crc, const uint8_t *at, size_t bytes)
{
	for (; bytes >= 8; at += 8, bytes -= 8) {
		uint64_t word = load(at) ^ crc;

		crc = 0;
		for (unsigned i = 0; i < SLICES; i++)
			crc ^= tables.crc32[SLICES - 1 - i][word >> 8 * i & 0xff];
	}
	for (; bytes; at++, bytes--)
		crc = crc >> 8 ^ tables.crc32[0][(crc ^ *at) & 0xff];
	return crc;
}

static uint64_t update64(uint64_t crc, const uint8_t *at, size_t bytes)
{
	for (; bytes >= 8; at += 8, bytes -= 8) {
		uint64_t word = load(at) ^ crc;

		crc = 0;
		for (unsigned i = 0; i < SLICES; i++)
			crc ^= tables.crc64[SLICES - 1 - i][word >> 8 * i & 0xff];
	}
	for (; bytes; at++, bytes--)
		crc = crc >> 8 ^ tables.crc64[0][(crc ^ *at) & 0xff];
	return crc;
}

/* The guard of nothing, for nsdk_nvme_guard_add(). */
uint64_t nsdk_nvme_guard_begin(unsigned pif)
{
	pthread_once(&once, compute);
	return pif == NSDK_NVME_PIF_16 ? 0 : pif == NSDK_NVME_PIF_32 ? UINT32_MAX : UINT64_MAX;
}

uint64_t nsdk_nvme_guard_add(unsigned pif, uint64_t guard, const void *data, size_t bytes)
{
	switch (pif) {
	case NSDK_NVME_PIF_16:
		return update16((uint16_t)guard, data, bytes);
	case NSDK_NVME_PIF_32:
		return update32((uint32_t)guard, data, bytes);
	default:
		return update64(guard, data, bytes);
	}
}

uint64_t nsdk_nvme_guard_end(unsigned pif, uint64_t guard)
{
	return pif == NSDK_NVME_PIF_16 ? guard : pif == NSDK_NVME_PIF_32 ? ~(uint32_t)guard & UINT32_MAX :
									   ~guard;
}
