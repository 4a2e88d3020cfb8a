/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Metadata of blocks, and the protection information in it (NVM 2.1.4, 5.2).
 *
 * A namespace may be formatted with some bytes of metadata for each block, which travel either behind the
 * data of their block ("extended", interleaved) or in memory of their own. With protection information,
 * 8 or 16 of those bytes are a guard (a CRC of the data), an application tag and a reference tag.
 *
 *	who makes and checks it       how
 *	the controller, all of it     nsdk_nvme_read() and its kin, where the metadata is nothing else: the
 *	                              controller puts it in and takes it off, and checks what it reads
 *	… or as said                  nsdk_nvme_readv_ext() with NSDK_NVME_RW_PRACT and NSDK_NVME_RW_PRCHK_*
 *	the host                      nsdk_nvme_pi_generate() before a write, nsdk_nvme_pi_check() after a
 *	                              read, and the _ext calls without NSDK_NVME_RW_PRACT; with
 *	                              NSDK_NVME_RW_PRCHK_* the controller checks on the way as well
 *
 * A block whose application tag is FFFFh is not checked by anybody (type 3: and whose reference tag is
 * all ones): so are blocks that were never written.
 */
#ifndef NSDK_NVME_PI_H
#define NSDK_NVME_PI_H

#include <nsdk/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Protection information formats (NVM 5.2.1): the size of the guard. */
enum nsdk_nvme_pif {
	NSDK_NVME_PIF_16 = 0, /**< CRC-16 (T10 DIF); 8 bytes in all */
	NSDK_NVME_PIF_32 = 1, /**< CRC-32C; 16 bytes */
	NSDK_NVME_PIF_64 = 2, /**< CRC-64; 16 bytes */
};

/** What a block of a namespace has besides its data. */
struct nsdk_nvme_metadata {
	uint32_t block_bytes;     /**< the data */
	uint16_t bytes;           /**< metadata of a block */
	bool extended;            /**< it travels behind its block's data, else apart */
	bool pi_first;            /**< protection information is its first bytes, else its last */
	uint8_t pi_type;          /**< 1 to 3; 0: there is no protection information in it */
	uint8_t pif;              /**< enum nsdk_nvme_pif */
	uint8_t pi_bytes;         /**< 8 or 16, of the metadata's; 0 with type 0 */
	uint8_t storage_tag_bits; /**< upper bits of the reference tag's place, which are 0 */
};

/** A namespace's metadata, valid until detach; NULL: its blocks have none. */
const struct nsdk_nvme_metadata *nsdk_nvme_ns_metadata(const struct nsdk_nvme_ns *ns);

/** The tags of some blocks in a row. */
struct nsdk_nvme_pi {
	uint64_t ref_tag;  /**< the first block's; of types 1 and 2 it goes up by one a block */
	uint16_t app_tag;  /**< of all of them */
	uint16_t app_mask; /**< bits of it that are compared */
	uint32_t check;    /**< what is looked at: NSDK_NVME_RW_PRCHK_* */
};

/** What nsdk_nvme_pi_check() found. */
struct nsdk_nvme_pi_error {
	uint32_t block;    /**< from the first, which is 0 */
	uint32_t check;    /**< the one of NSDK_NVME_RW_PRCHK_* that failed */
	uint64_t expected; /**< what it should be */
	uint64_t found;    /**< what it is */
};

/**
 * Fill in the protection information of blocks that are to be written.
 *
 * @param format    a namespace's, or one made by hand. Other metadata than protection information is left
 *                  as it is; where it comes before, the guard covers it.
 * @param iov       the data, any pieces; with extended metadata each block's behind it.
 * @param metadata  of all blocks, where it travels apart; else NULL.
 * @return 0; -EINVAL a format without protection information or one that cannot be, too few bytes,
 *         metadata missing or too much.
 * Threading: any thread. Source: NVM 5.2.1 to 5.2.3.
 */
int nsdk_nvme_pi_generate(const struct nsdk_nvme_metadata *format, const struct iovec *iov, int iovcnt,
			  void *metadata, uint32_t blocks, const struct nsdk_nvme_pi *pi);

/**
 * Check the protection information of blocks that were read; parameters are nsdk_nvme_pi_generate()'s.
 *
 * @param error  filled in with -EILSEQ; NULL: not wanted.
 * @return 0; -EILSEQ a block is not what its protection information says, or is another one; -EINVAL.
 */
int nsdk_nvme_pi_check(const struct nsdk_nvme_metadata *format, const struct iovec *iov, int iovcnt,
		       const void *metadata, uint32_t blocks, const struct nsdk_nvme_pi *pi,
		       struct nsdk_nvme_pi_error *error);

#ifdef __cplusplus
}
#endif
#endif
