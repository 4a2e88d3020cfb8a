/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protection information made and checked by the host (NVM 5.2): a guard, an application tag and a
 * reference tag, big endian, in the first or last bytes of each block's metadata.
 *
 *	format   guard  application tag  storage and reference tag
 *	16 bits  2      2                4
 *	32 bits  4      2                10
 *	64 bits  8      2                6
 *
 * The storage tag is the upper bits of the last field, and 0 here. The data may be in any pieces, and with
 * extended metadata so may be a block's protection information, so both are walked along.
 */
#include <errno.h>
#include <string.h>

#include <nsdk/nvme_pi.h>

#include "guard.h"

#define MAX_PI_BYTES 16u
#define ESCAPE 0xffffu /* an application tag that means: do not check */

/* The protection information of a block, taken apart. */
struct tuple {
	uint64_t guard, ref_tag;
	uint16_t app_tag;
};

/* A place in memory that is in pieces. */
struct place {
	const struct iovec *iov;
	int more;      /* pieces behind the first */
	size_t offset; /* into the first piece */
};

/* How many of @p bytes are in one piece from here, which is not the end. */
static size_t piece(struct place *place, size_t bytes, uint8_t **at)
{
	size_t left;

	while (place->offset == place->iov->iov_len && place->more) {
		place->more--;
		place->iov++;
		place->offset = 0;
	}
	left = place->iov->iov_len - place->offset;
	*at = (uint8_t *)place->iov->iov_base + place->offset;
	return left < bytes ? left : bytes;
}

static uint64_t add(unsigned pif, uint64_t guard, struct place *place, size_t bytes)
{
	while (bytes) {
		uint8_t *at;
		size_t step = piece(place, bytes, &at);

		guard = nsdk_nvme_guard_add(pif, guard, at, step);
		place->offset += step;
		bytes -= step;
	}
	return guard;
}

static void skip(struct place *place, size_t bytes)
{
	while (bytes) {
		uint8_t *at;
		size_t step = piece(place, bytes, &at);

		place->offset += step;
		bytes -= step;
	}
}

static void copy(struct place *place, uint8_t *raw, size_t bytes, bool to_place)
{
	while (bytes) {
		uint8_t *at;
		size_t step = piece(place, bytes, &at);

		memcpy(to_place ? at : raw, to_place ? raw : at, step);
		place->offset += step;
		raw += step;
		bytes -= step;
	}
}

/* ---- Big endian fields ---- */

static uint64_t get(const uint8_t *raw, unsigned bytes)
{
	uint64_t value = 0;

	/* Of ten bytes the upper ones are the storage tag's. */
	while (bytes--)
		value = value << 8 | *raw++;
	return value;
}

static void put(uint8_t *raw, unsigned bytes, uint64_t value)
{
	while (bytes--) {
		raw[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static struct tuple unpack(const struct nsdk_nvme_metadata *format, const uint8_t *raw)
{
	unsigned guard = nvme_guard_bytes(format);

	return (struct tuple){
		.guard = get(raw, guard),
		.app_tag = (uint16_t)get(raw + guard, NVME_APP_TAG_BYTES),
		.ref_tag = get(raw + guard + NVME_APP_TAG_BYTES, nvme_tags_bytes(format)) &
			   nvme_ref_mask(format),
	};
}

static void pack(const struct nsdk_nvme_metadata *format, const struct tuple *tuple, uint8_t *raw)
{
	unsigned guard = nvme_guard_bytes(format);

	put(raw, guard, tuple->guard);
	put(raw + guard, NVME_APP_TAG_BYTES, tuple->app_tag);
	put(raw + guard + NVME_APP_TAG_BYTES, nvme_tags_bytes(format), tuple->ref_tag);
}

/* ---- Blocks ---- */

static bool is_valid(const struct nsdk_nvme_metadata *format)
{
	return format->pi_type >= 1 && format->pi_type <= 3 && format->pif <= NSDK_NVME_PIF_64 &&
	       format->pi_bytes == nvme_pi_bytes(format->pif) && format->bytes >= format->pi_bytes &&
	       format->storage_tag_bits <= nvme_tags_bytes(format) * 8;
}

static int check_memory(const struct nsdk_nvme_metadata *format, const struct iovec *iov, int iovcnt,
			const void *metadata, uint32_t blocks)
{
	uint64_t wanted = (uint64_t)blocks * (format->block_bytes + (format->extended ? format->bytes : 0u));

	if (!is_valid(format) || (metadata == NULL) != format->extended)
		return -EINVAL;
	for (int i = 0; i < iovcnt && wanted; i++)
		wanted -= iov[i].iov_len < wanted ? iov[i].iov_len : wanted;
	return wanted ? -EINVAL : 0;
}

/*
 * One block: its guard as it should be, and its protection information as it is or is to be. Both places
 * are the same one with extended metadata.
 */
static void block(const struct nsdk_nvme_metadata *format, struct place *data, struct place *metadata,
		  struct tuple *tuple, uint64_t *guard, bool generate)
{
	size_t others = (size_t)format->bytes - format->pi_bytes;
	uint8_t raw[MAX_PI_BYTES];
	uint64_t sum = nsdk_nvme_guard_begin(format->pif);

	sum = add(format->pif, sum, data, format->block_bytes);
	/* Metadata before protection information is covered, and that behind it is not. */
	if (!format->pi_first)
		sum = add(format->pif, sum, metadata, others);
	*guard = nsdk_nvme_guard_end(format->pif, sum);
	if (generate) {
		tuple->guard = *guard;
		pack(format, tuple, raw);
	}
	copy(metadata, raw, format->pi_bytes, generate);
	if (!generate)
		*tuple = unpack(format, raw);
	if (format->pi_first)
		skip(metadata, others);
}

/* The reference tag that block number @p i has. */
static uint64_t ref_tag_of(const struct nsdk_nvme_metadata *format, const struct nsdk_nvme_pi *pi, uint32_t i)
{
	return (pi->ref_tag + (format->pi_type == 3 ? 0 : i)) & nvme_ref_mask(format);
}

int nsdk_nvme_pi_generate(const struct nsdk_nvme_metadata *format, const struct iovec *iov, int iovcnt,
			  void *metadata, uint32_t blocks, const struct nsdk_nvme_pi *pi)
{
	struct iovec apart = { metadata, (size_t)blocks * format->bytes };
	struct place data = { .iov = iov, .more = iovcnt - 1 }, own = { .iov = &apart };
	uint64_t guard;
	int err = check_memory(format, iov, iovcnt, metadata, blocks);

	for (uint32_t i = 0; i < blocks && !err; i++) {
		struct tuple tuple = {
			.app_tag = pi->app_tag,
			.ref_tag = ref_tag_of(format, pi, i),
		};

		block(format, &data, format->extended ? &data : &own, &tuple, &guard, true);
	}
	return err;
}

/* @return 0, or what is wrong: one of NSDK_NVME_RW_PRCHK_*. */
static uint32_t look(const struct nsdk_nvme_metadata *format, const struct nsdk_nvme_pi *pi,
		     const struct tuple *found, uint64_t guard, uint64_t ref_tag,
		     struct nsdk_nvme_pi_error *error)
{
	if (found->app_tag == ESCAPE && (format->pi_type != 3 || found->ref_tag == nvme_ref_mask(format)))
		return 0;
	if ((pi->check & NSDK_NVME_RW_PRCHK_GUARD) && found->guard != guard) {
		error->expected = guard;
		error->found = found->guard;
		return NSDK_NVME_RW_PRCHK_GUARD;
	}
	if ((pi->check & NSDK_NVME_RW_PRCHK_APP_TAG) &&
	    ((found->app_tag ^ pi->app_tag) & pi->app_mask)) {
		error->expected = pi->app_tag;
		error->found = found->app_tag;
		return NSDK_NVME_RW_PRCHK_APP_TAG;
	}
	if ((pi->check & NSDK_NVME_RW_PRCHK_REF_TAG) && found->ref_tag != ref_tag) {
		error->expected = ref_tag;
		error->found = found->ref_tag;
		return NSDK_NVME_RW_PRCHK_REF_TAG;
	}
	return 0;
}

int nsdk_nvme_pi_check(const struct nsdk_nvme_metadata *format, const struct iovec *iov, int iovcnt,
		       const void *metadata, uint32_t blocks, const struct nsdk_nvme_pi *pi,
		       struct nsdk_nvme_pi_error *error)
{
	struct iovec apart = { (void *)(uintptr_t)metadata, (size_t)blocks * format->bytes };
	struct place data = { .iov = iov, .more = iovcnt - 1 }, own = { .iov = &apart };
	struct nsdk_nvme_pi_error unwanted;
	int err = check_memory(format, iov, iovcnt, metadata, blocks);

	if (!err && (pi->check & ~NVME_PRCHK_FLAGS))
		err = -EINVAL;
	if (!error)
		error = &unwanted;
	for (uint32_t i = 0; i < blocks && !err; i++) {
		struct tuple found;
		uint64_t guard;

		block(format, &data, format->extended ? &data : &own, &found, &guard, false);
		error->check = look(format, pi, &found, guard, ref_tag_of(format, pi, i), error);
		if (error->check) {
			error->block = i;
			err = -EILSEQ;
		}
	}
	return err;
}
