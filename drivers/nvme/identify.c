/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Identify (Base 5.17): asking, and not believing everything.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <string.h>

void nsdk_nvme_init_cb(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	ctrlr->init.done = true;
	/*
	 * If the command was Identify the device wrote this: taken back before the CPU looks, and
	 * before the doorbell tells the device that its completion has been consumed.
	 */
	nsdk_sync_for_cpu(ctrlr->coh, ctrlr->id_buffer, NVME_PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
	if (cpl)
		ctrlr->init.cpl = *cpl;
	else
		ctrlr->init.cpl.status = NVME_STATUS_INTERNAL_PATH;
}

/* Into the controller's Identify buffer: one at a time. */
int nsdk_nvme_identify_csi(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint8_t csi, uint32_t nsid,
			   nvme_admin_cb cb, void *ctx)
{
	struct nsdk_nvme_cmd cmd = {
		.opcode = NSDK_NVME_ADMIN_IDENTIFY,
		.nsid = nsid,
		.prp1 = ctrlr->id_iova,
		.cdw10 = cns,
		.cdw11 = (uint32_t)csi << 24,
	};

	/* Of this controller, whichever it is. */
	if (cns == NSDK_NVME_CNS_IO_COMMAND_SETS)
		cmd.cdw10 |= 0xffff0000u;

	/*
	 * Zeroed, so that a controller which answers "success" without writing is not believed to have
	 * said what the command before it said. The zeroes are dirty lines: out of the cache with
	 * them before the device writes there.
	 */
	memset(ctrlr->id_buffer, 0, NVME_PAGE_BYTES);
	nsdk_sync_for_device(ctrlr->coh, ctrlr->id_buffer, NVME_PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
	return nsdk_nvme_admin_submit(ctrlr, &cmd, ctrlr->opts.admin_timeout_ns, cb, ctx);
}

int nsdk_nvme_identify(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint32_t nsid, nvme_admin_cb cb,
		       void *ctx)
{
	return nsdk_nvme_identify_csi(ctrlr, cns, NSDK_NVME_CSI_NVM, nsid, cb, ctx);
}

int nsdk_nvme_identify_csi_start(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint8_t csi, uint32_t nsid)
{
	return nsdk_nvme_identify_csi(ctrlr, cns, csi, nsid, nsdk_nvme_init_cb, NULL);
}

int nsdk_nvme_identify_start(struct nsdk_nvme_ctrlr *ctrlr, uint8_t cns, uint32_t nsid)
{
	return nsdk_nvme_identify(ctrlr, cns, nsid, nsdk_nvme_init_cb, NULL);
}

/* @return 0; -EIO it contradicts itself; -ENOTSUP. */
int nsdk_nvme_identify_ctrlr_done(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nsdk_nvme_id_ctrl *id = &ctrlr->id;
	size_t page_bytes = (size_t)NVME_PAGE_BYTES << NSDK_NVME_CAP_MPSMIN(ctrlr->cap);

	memcpy(id, ctrlr->id_buffer, sizeof(*id));
	if ((id->sqes & 0xf) > 6 || id->sqes >> 4 < 6 || (id->cqes & 0xf) > 4 || id->cqes >> 4 < 4)
		return nsdk_fail(-ENOTSUP, "nvme",
				 "%s: Identify Controller asks for queue entries other than 64 and 16 "
				 "bytes (SQES %02xh, CQES %02xh)",
				 nsdk_device_name(ctrlr->dev), id->sqes, id->cqes);
	ctrlr->max_transfer_bytes = NVME_MAX_TRANSFER_BYTES;
	if (id->mdts && id->mdts < 32 && page_bytes << id->mdts < ctrlr->max_transfer_bytes)
		ctrlr->max_transfer_bytes = page_bytes << id->mdts;
	ctrlr->sgl = NSDK_NVME_SGLS_SUPPORT(id->sgls);
	if (ctrlr->sgl > NSDK_NVME_SGLS_DWORD_ALIGNMENT)
		ctrlr->sgl = 0; /* reserved: who knows what it wants */
	nsdk_nvme_blocks_limits(ctrlr, NULL);
	return 0;
}

/*
 * One page of the active namespace list: namespace ids in ascending order, 0 behind the last.
 *
 * @param[out] next  ask again for ids above this; 0: that was all.
 * @return 0; -EIO the list contradicts itself; -ENOMEM; -ENOTSUP more than we take.
 */
int nsdk_nvme_identify_list_done(struct nsdk_nvme_ctrlr *ctrlr, uint32_t *next)
{
	const uint32_t *list = ctrlr->id_buffer;
	uint32_t last = ctrlr->init.nsid;

	*next = 0;
	for (unsigned i = 0; i < NSDK_NVME_NS_LIST_ENTRIES; i++) {
		uint32_t nsid = list[i];
		int err;

		if (nsid == 0)
			return 0;
		if (nsid <= last || nsid > NSDK_NVME_NSID_ALL - 2)
			return nsdk_fail(-EIO, "nvme",
					 "%s: the active namespace list has %u behind %u, which is not "
					 "in order; the controller cannot be trusted",
					 nsdk_device_name(ctrlr->dev), nsid, last);
		err = nsdk_nvme_ns_add(ctrlr, nsid);
		if (err)
			return err;
		last = nsid;
	}
	*next = last;
	return 0;
}
