/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protection information as a controller makes and checks it (NVM 5.2). Nothing is shared with the driver's
 * own, which this one is to find out.
 */
#include <string.h>

#include "nvme_pi.h"

#define DWORD_PRINFO(req) ((req)->cmd->cdw12 >> 26 & 0xf)

/* Bit by bit where nothing else is asked for would be too slow, so byte by byte. */
static uint64_t byte_crc(unsigned pif, uint64_t crc)
{
	for (unsigned bit = 0; bit < 8; bit++) {
		if (pif == 0)
			crc = (crc << 1 ^ (crc & 0x8000 ? 0x8bb7 : 0)) & 0xffff;
		else if (pif == 1)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		else
			crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0x9a6c9329ac4bc9b5) : 0);
	}
	return crc;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t crcs[3][256];

static void compute(void)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		crcs[0][byte] = byte_crc(0, (uint64_t)byte << 8);
		crcs[1][byte] = byte_crc(1, byte);
		crcs[2][byte] = byte_crc(2, byte);
	}
}

static uint64_t crc_of(unsigned pif, uint64_t crc, const uint8_t *at, size_t bytes)
{
	for (; bytes; at++, bytes--)
		crc = pif == 0 ? (crc << 8 & 0xffff) ^ crcs[0][(crc >> 8 ^ *at) & 0xff] :
				 crc >> 8 ^ crcs[pif][(crc ^ *at) & 0xff];
	return crc;
}

unsigned emu_nvme_pi_bytes(unsigned pif)
{
	return pif == 0 ? 8 : 16;
}

static uint64_t guard_of(const struct emu_nvme_md *of, const uint8_t *data, size_t data_bytes,
			 const uint8_t *md)
{
	static const uint64_t ones[] = { 0, UINT32_MAX, UINT64_MAX };
	uint64_t crc = ones[of->pif];

	pthread_once(&once, compute);
	crc = crc_of(of->pif, crc, data, data_bytes);
	if (!of->first)
		crc = crc_of(of->pif, crc, md, of->bytes - emu_nvme_pi_bytes(of->pif));
	return crc ^ ones[of->pif];
}

/* Where it is in the metadata of a block. */
static size_t place_of(const struct emu_nvme_md *of)
{
	return of->first ? 0 : of->bytes - emu_nvme_pi_bytes(of->pif);
}

static unsigned guard_bytes(const struct emu_nvme_md *of)
{
	return 2u << of->pif;
}

static unsigned ref_bytes(const struct emu_nvme_md *of)
{
	return of->pif == 0 ? 4 : of->pif == 1 ? 8 : 6;
}

static uint64_t ref_mask(const struct emu_nvme_md *of)
{
	return UINT64_MAX >> (8 - ref_bytes(of)) * 8;
}

static uint64_t read_be(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return value;
}

static void write_be(uint8_t *to, unsigned bytes, uint64_t value)
{
	for (unsigned i = bytes; i-- > 0; value >>= 8)
		to[i] = (uint8_t)value;
}

struct emu_nvme_tags emu_nvme_tags(const struct emu_nvme_req *req)
{
	const struct nsdk_nvme_cmd *cmd = req->cmd;
	uint64_t ref = cmd->cdw14 | (uint64_t)cmd->cdw3 << 32;
	unsigned prinfo = DWORD_PRINFO(req);

	return (struct emu_nvme_tags){
		.ref_tag = ref & ref_mask(&req->ctrl->md),
		.app_tag = (uint16_t)cmd->cdw15,
		.app_mask = (uint16_t)(cmd->cdw15 >> 16),
		.act = prinfo & 8,
		.guard = prinfo & 4,
		.app = prinfo & 2,
		.ref = prinfo & 1,
	};
}

uint16_t emu_nvme_tags_check(const struct emu_nvme_req *req, const struct emu_nvme_tags *tags)
{
	const struct emu_nvme_md *of = &req->ctrl->md;
	bool writes = req->cmd->opcode == NSDK_NVME_NVM_WRITE ||
		      req->cmd->opcode == NSDK_NVME_NVM_WRITE_ZEROES;

	if (of->type == 3 && tags->ref)
		return EMU_NVME_SPECIFIC(INVALID_PROTECTION);
	if (of->type == 1 && (tags->ref || (tags->act && writes)) &&
	    tags->ref_tag != (req->lba & ref_mask(of)))
		return EMU_NVME_SPECIFIC(INVALID_PROTECTION);
	if (tags->act && (req->cmd->opcode == NSDK_NVME_NVM_COMPARE ||
			  req->cmd->opcode == NSDK_NVME_NVM_VERIFY))
		return EMU_NVME_SPECIFIC(INVALID_PROTECTION);
	return 0;
}

void emu_nvme_pi_make(const struct emu_nvme_md *of, const struct emu_nvme_tags *tags, uint64_t index,
		      const uint8_t *data, size_t data_bytes, uint8_t *md)
{
	uint8_t *pi = md + place_of(of);
	unsigned guard = guard_bytes(of);
	uint64_t ref = (tags->ref_tag + (of->type == 3 ? 0 : index)) & ref_mask(of);

	memset(pi, 0, emu_nvme_pi_bytes(of->pif)); /* a storage tag of 0 */
	write_be(pi, guard, guard_of(of, data, data_bytes, md));
	write_be(pi + guard, 2, tags->app_tag);
	write_be(pi + emu_nvme_pi_bytes(of->pif) - ref_bytes(of), ref_bytes(of), ref);
}

uint16_t emu_nvme_pi_look(const struct emu_nvme_md *of, const struct emu_nvme_tags *tags, uint64_t index,
			  const uint8_t *data, size_t data_bytes, const uint8_t *md)
{
	const uint8_t *pi = md + place_of(of);
	unsigned guard = guard_bytes(of);
	uint16_t app = (uint16_t)read_be(pi + guard, 2);
	uint64_t ref = read_be(pi + emu_nvme_pi_bytes(of->pif) - ref_bytes(of), ref_bytes(of));

	if (app == 0xffff && (of->type != 3 || ref == ref_mask(of)))
		return 0;
	if (tags->guard && read_be(pi, guard) != guard_of(of, data, data_bytes, md))
		return emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_GUARD_CHECK);
	if (tags->app && ((app ^ tags->app_tag) & tags->app_mask))
		return emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_APP_TAG_CHECK);
	if (tags->ref && ref != ((tags->ref_tag + index) & ref_mask(of)))
		return emu_nvme_error(NSDK_NVME_SCT_MEDIA, NSDK_NVME_SC_REF_TAG_CHECK);
	return 0;
}
