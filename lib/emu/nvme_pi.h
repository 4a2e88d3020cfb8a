/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to lib/emu/nvme*.c: metadata of blocks and protection information. The essay is in nvme_md.c.
 */
#ifndef NSDK_EMU_NVME_PI_H
#define NSDK_EMU_NVME_PI_H

#include "nvme_internal.h"

#define EMU_NVME_MAX_MD 128u /* bytes of a block */

/* ---- nvme_md.c ---- */

/* @return 0; -1 no memory; to be ended all the same. */
int emu_nvme_md_create(struct emu_nvme *ctrl);
void emu_nvme_md_destroy(struct emu_nvme *ctrl);
/* As wiped blocks have it: all ones. With all queues at rest. */
void emu_nvme_md_wiped(struct emu_nvme *ctrl, uint64_t offset, uint64_t bytes);

/* Formats (nvme_identify.c, nvme_manage.c): what FLBAS, DPS and an LBA format say. */
uint8_t emu_nvme_flbas(const struct emu_nvme *ctrl);
uint8_t emu_nvme_dps(const struct emu_nvme *ctrl);
void emu_nvme_md_identify(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ns *id);
void emu_nvme_md_identify_nvm(const struct emu_nvme *ctrl, struct nsdk_nvme_id_ns_nvm *id);
/* Host Behavior Support, a feature; and whether namespaces are kept from a host for the lack of it. */
uint16_t emu_nvme_md_behavior(struct emu_nvme_req *req, bool set, bool defaults);
bool emu_nvme_md_is_hidden(const struct emu_nvme *ctrl);
/* Takes what Format says of metadata. @param check  only looks. @return whether there is such a format. */
bool emu_nvme_md_format(struct emu_nvme *ctrl, uint32_t cdw10, bool check);

/*
 * In place of those of the store where blocks have metadata; @p bytes are data. begin says what may be said
 * at once of a command, and begins its data.
 */
uint16_t emu_nvme_md_begin(struct emu_nvme_req *req, uint64_t bytes);
uint16_t emu_nvme_md_read(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_md_write(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_md_compare(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes);
uint16_t emu_nvme_md_verify(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes);
/* Behind zeroes in the store; @p deallocated: by whatever says so. */
uint16_t emu_nvme_md_zero(struct emu_nvme_req *req, uint64_t offset, uint64_t bytes, bool deallocated);
/* A range of Copy, data as well; it is @p copied blocks into the whole. */
uint16_t emu_nvme_md_copy(struct emu_nvme_req *req, uint64_t from, uint64_t to, uint64_t bytes,
			  uint64_t copied);

/* ---- nvme_pi.c ---- */

/* The tags that a command says, of its first block. */
struct emu_nvme_tags {
	uint64_t ref_tag;
	uint16_t app_tag, app_mask;
	bool act; /* PRACT */
	bool guard, app, ref;
};

unsigned emu_nvme_pi_bytes(unsigned pif);
struct emu_nvme_tags emu_nvme_tags(const struct emu_nvme_req *req);
/* What is wrong with them at once. @return a status. */
uint16_t emu_nvme_tags_check(const struct emu_nvme_req *req, const struct emu_nvme_tags *tags);
/* Block @p index of a command: metadata @p md of it is made, or looked at. @return a status. */
void emu_nvme_pi_make(const struct emu_nvme_md *of, const struct emu_nvme_tags *tags, uint64_t index,
		      const uint8_t *data, size_t data_bytes, uint8_t *md);
uint16_t emu_nvme_pi_look(const struct emu_nvme_md *of, const struct emu_nvme_tags *tags, uint64_t index,
			  const uint8_t *data, size_t data_bytes, const uint8_t *md);

#endif
