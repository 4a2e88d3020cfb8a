/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is larger than one command: log pages (Base 5.16) and firmware images (Base 5.12), piece by piece.
 */
#include "nvme_internal.h"

#include <errno.h>

#include <nsdk/nvme_admin.h>

#include "lib/env/opts.h"

#define LPA_OFFSET (1u << 2) /* extended data: long lengths and offsets */
#define RETAIN_EVENT (1u << 15)
#define OFFSET_IS_INDEX (1u << 23)

/* Without extended data the length has 12 bits of dwords (NVMe 1.2); and so much is polite. */
#define PIECE_BYTES NVME_PAGE_BYTES

static struct nsdk_nvme_cmd log_command(const struct nsdk_nvme_log_opts *opts, uint64_t offset,
					size_t bytes, bool last)
{
	uint32_t dwords = (uint32_t)((bytes + 3) / 4) - 1;

	return (struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_GET_LOG_PAGE,
		.nsid = opts->nsid,
		.cdw10 = (dwords & 0xffff) << 16 | (opts->lsp & 0x7fu) << 8 | opts->lid |
			 (opts->retain_event || !last ? RETAIN_EVENT : 0),
		.cdw11 = (uint32_t)opts->lsi << 16 | dwords >> 16,
		.cdw12 = (uint32_t)offset,
		.cdw13 = (uint32_t)(offset >> 32),
		.cdw14 = (uint32_t)opts->csi << 24 | (opts->offset_is_index ? OFFSET_IS_INDEX : 0) |
			 (opts->uuid_index & 0x7fu),
	};
}

int nsdk_nvme_get_log(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_log_opts *opts,
		      void *data, size_t bytes, struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_log_opts own;
	size_t piece, at = 0;
	int err = nsdk_opts_take(&own, sizeof(own), opts, "nvme");

	if (err)
		return err;
	if (bytes == 0 || own.offset % 4)
		return -EINVAL;
	piece = own.offset_is_index ? bytes : PIECE_BYTES;
	if ((bytes > piece || own.offset) && !(ctrlr->id.lpa & LPA_OFFSET))
		return -ENOTSUP;
	while (at < bytes) {
		size_t now = bytes - at < piece ? bytes - at : piece;
		struct nsdk_nvme_cmd cmd = log_command(&own, own.offset + at, now,
						       at + now == bytes);

		err = nsdk_nvme_admin_sync(ctrlr, &cmd, (uint8_t *)data + at, now,
					   NSDK_DMA_FROM_DEVICE, own.timeout_ns, cpl);
		if (err || !nsdk_nvme_cpl_ok(cpl))
			return err;
		at += now;
	}
	return 0;
}

int nsdk_nvme_fw_download(struct nsdk_nvme_ctrlr *ctrlr, const void *image, size_t bytes,
			  size_t piece_bytes, struct nsdk_nvme_cpl *cpl)
{
	/* FWUG: in units of 4 KiB; 0: not said; FFh: any. */
	if (piece_bytes == 0)
		piece_bytes = ctrlr->id.fwug && ctrlr->id.fwug != 0xff ?
				      (size_t)ctrlr->id.fwug * NVME_PAGE_BYTES : NVME_PAGE_BYTES;
	if (bytes == 0 || bytes % 4 || piece_bytes % 4 || piece_bytes > ctrlr->max_transfer_bytes)
		return -EINVAL;
	for (size_t at = 0; at < bytes;) {
		size_t now = bytes - at < piece_bytes ? bytes - at : piece_bytes;
		struct nsdk_nvme_cmd cmd = nsdk_nvme_cmd_fw_download(now, at);
		/* Only read, as the direction says. */
		int err = nsdk_nvme_admin_sync(ctrlr, &cmd, (uint8_t *)(uintptr_t)image + at, now,
					       NSDK_DMA_TO_DEVICE, 0, cpl);

		if (err || !nsdk_nvme_cpl_ok(cpl))
			return err;
		at += now;
	}
	return 0;
}
