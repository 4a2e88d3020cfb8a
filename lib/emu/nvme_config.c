/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Config space of the NVMe model: a type 0 header, power management, PCI Express with function level
 * reset and Enable No Snoop, MSI-X. Extended config space is empty.
 *
 * As VFIO hands a function over, Memory Space Enable is on after a reset.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "nvme_internal.h"

#define CONFIG_BYTES 4096u

/* No vendor has this number; no kernel sees it. */
#define VENDOR_ID 0xfff0
#define DEVICE_ID 0x0001

#define CAP_PM 0x40
#define CAP_PCIE 0x50
#define CAP_MSIX 0x90

/* linux/pci_regs.h has these in parts only. */
#define DEVCTL_READ_REQUEST_512 (2 << 12)
#define DEVCAP2_BYTES 0x3c

static void put16(uint8_t *space, unsigned offset, uint16_t value)
{
	value = htole16(value);
	memcpy(space + offset, &value, sizeof(value));
}

static void put32(uint8_t *space, unsigned offset, uint32_t value)
{
	value = htole32(value);
	memcpy(space + offset, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *space, unsigned offset)
{
	uint16_t value;

	memcpy(&value, space + offset, sizeof(value));
	return le16toh(value);
}

/* What a function shows after power-on, and which bits of it stick when written. */
void emu_nvme_config_init(struct emu_nvme *ctrl)
{
	uint8_t *cfg = ctrl->cfg, *writable = ctrl->cfg_writable;
	uint16_t devctl;

	memset(cfg, 0, sizeof(ctrl->cfg));
	memset(writable, 0, sizeof(ctrl->cfg_writable));

	put16(cfg, PCI_VENDOR_ID, VENDOR_ID);
	put16(cfg, PCI_DEVICE_ID, DEVICE_ID);
	put16(cfg, PCI_COMMAND, PCI_COMMAND_MEMORY);
	put16(writable, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
					     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	put16(cfg, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put32(cfg, PCI_CLASS_REVISION, 0x01080200); /* NVM Express I/O controller */
	put16(cfg, PCI_SUBSYSTEM_VENDOR_ID, VENDOR_ID);
	put16(cfg, PCI_SUBSYSTEM_ID, DEVICE_ID);
	put32(writable, PCI_CACHE_LINE_SIZE, 0xff);
	put32(writable, PCI_INTERRUPT_LINE, 0xff);
	/* The size of a BAR is what does not stick of all ones. */
	put32(cfg, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64);
	put32(writable, PCI_BASE_ADDRESS_0, (uint32_t) ~(ctrl->bar0_bytes - 1));
	put32(writable, PCI_BASE_ADDRESS_1, UINT32_MAX);
	if (ctrl->opts.pmr_bytes) {
		put32(cfg, PCI_BASE_ADDRESS_2,
		      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
		put32(writable, PCI_BASE_ADDRESS_2, (uint32_t) ~(ctrl->opts.pmr_bytes - 1));
		put32(writable, PCI_BASE_ADDRESS_3, UINT32_MAX);
	}
	put32(cfg, PCI_BASE_ADDRESS_4, PCI_BASE_ADDRESS_MEM_TYPE_64);
	put32(writable, PCI_BASE_ADDRESS_4, (uint32_t) ~(ctrl->bar4_bytes - 1));
	put32(writable, PCI_BASE_ADDRESS_5, UINT32_MAX);
	cfg[PCI_CAPABILITY_LIST] = CAP_PM;

	/* D0 and D3hot, registers kept in D3hot, no wake. */
	cfg[CAP_PM] = PCI_CAP_ID_PM;
	cfg[CAP_PM + PCI_CAP_LIST_NEXT] = CAP_PCIE;
	put16(cfg, CAP_PM + PCI_PM_PMC, 3);
	put16(cfg, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	put16(writable, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);

	/* Version 2, an endpoint. Links are reported as 8 GT/s x4. */
	cfg[CAP_PCIE] = PCI_CAP_ID_EXP;
	cfg[CAP_PCIE + PCI_CAP_LIST_NEXT] = CAP_MSIX;
	put16(cfg, CAP_PCIE + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(cfg, CAP_PCIE + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR);
	devctl = PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
		 PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
		 PCI_EXP_DEVCTL_READRQ;
	/* Enable No Snoop: 1 out of reset where it is not hardwired to 0, as PCI Express has it. */
	if (ctrl->opts.nosnoop != EMU_NVME_NOSNOOP_NONE)
		devctl |= PCI_EXP_DEVCTL_NOSNOOP_EN;
	put16(writable, CAP_PCIE + PCI_EXP_DEVCTL, devctl);
	put16(cfg, CAP_PCIE + PCI_EXP_DEVCTL,
	      DEVCTL_READ_REQUEST_512 | PCI_EXP_DEVCTL_RELAX_EN | (devctl & PCI_EXP_DEVCTL_NOSNOOP_EN));
	put32(cfg, CAP_PCIE + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_8_0GB | 4 << 4);
	put16(cfg, CAP_PCIE + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_8_0GB | 4 << 4);
	_Static_assert(CAP_PCIE + DEVCAP2_BYTES <= CAP_MSIX, "capabilities overlap");

	cfg[CAP_MSIX] = PCI_CAP_ID_MSIX;
	put16(cfg, CAP_MSIX + PCI_MSIX_FLAGS, (uint16_t)(ctrl->vector_count - 1));
	put16(writable, CAP_MSIX + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	put32(cfg, CAP_MSIX + PCI_MSIX_TABLE, 4);
	put32(cfg, CAP_MSIX + PCI_MSIX_PBA, 4 | ctrl->vector_count * 16);

	/* Every vector is masked after a reset. */
	memset(ctrl->bar4, 0, ctrl->bar4_bytes);
	for (unsigned i = 0; i < ctrl->vector_count; i++)
		put32(ctrl->bar4, i * 16 + PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT);

	ctrl->model.dma.bus_master = false;
	ctrl->model.dma.nosnoop_enabled = devctl & PCI_EXP_DEVCTL_NOSNOOP_EN;
}

/* Function level reset: as after power-on, but for what the platform had put into the BARs. */
void emu_nvme_config_reset(struct emu_nvme *ctrl)
{
	uint8_t bars[24];

	memcpy(bars, ctrl->cfg + PCI_BASE_ADDRESS_0, sizeof(bars));
	emu_nvme_config_init(ctrl);
	memcpy(ctrl->cfg + PCI_BASE_ADDRESS_0, bars, sizeof(bars));
}

static bool in_d0(const struct emu_nvme *ctrl)
{
	return (get16(ctrl->cfg, CAP_PM + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK) == 0;
}

bool emu_nvme_config_decodes(const struct emu_nvme *ctrl)
{
	return (get16(ctrl->cfg, PCI_COMMAND) & PCI_COMMAND_MEMORY) && in_d0(ctrl);
}

void emu_nvme_config_msix(struct emu_nvme *ctrl, bool on)
{
	uint16_t flags = get16(ctrl->cfg, CAP_MSIX + PCI_MSIX_FLAGS);

	flags &= (uint16_t)~PCI_MSIX_FLAGS_ENABLE;
	put16(ctrl->cfg, CAP_MSIX + PCI_MSIX_FLAGS, on ? flags | PCI_MSIX_FLAGS_ENABLE : flags);
}

static bool access_is_good(unsigned offset, unsigned width)
{
	return (width == 1 || width == 2 || width == 4) && offset % width == 0 &&
	       offset + width <= CONFIG_BYTES;
}

int emu_nvme_config_read(struct emu_nvme *ctrl, unsigned offset, unsigned width, uint32_t *out)
{
	uint32_t value = 0;

	if (!access_is_good(offset, width))
		return -EINVAL; /* the bus says so */
	if (atomic_load_explicit(&ctrl->gone, memory_order_acquire)) {
		*out = UINT32_MAX >> (4 - width) * 8;
		return 0;
	}
	pthread_mutex_lock(&ctrl->registers);
	if (offset < sizeof(ctrl->cfg))
		memcpy(&value, ctrl->cfg + offset, width);
	pthread_mutex_unlock(&ctrl->registers);
	*out = le32toh(value);
	return 0;
}

int emu_nvme_config_write(struct emu_nvme *ctrl, unsigned offset, unsigned width, uint32_t value)
{
	unsigned devctl = CAP_PCIE + PCI_EXP_DEVCTL;
	bool flr = false;

	if (!access_is_good(offset, width))
		return -EINVAL; /* the bus says so */
	if (atomic_load_explicit(&ctrl->gone, memory_order_acquire) || offset >= sizeof(ctrl->cfg))
		return 0;
	pthread_mutex_lock(&ctrl->registers);
	/* Bus mastering and no-snoop are looked at by every DMA. */
	emu_nvme_freeze(ctrl);
	for (unsigned i = 0; i < width; i++) {
		uint8_t byte = (uint8_t)(value >> i * 8), mask = ctrl->cfg_writable[offset + i];

		ctrl->cfg[offset + i] = (uint8_t)((ctrl->cfg[offset + i] & ~mask) | (byte & mask));
		if (offset + i == devctl + 1)
			flr = byte & PCI_EXP_DEVCTL_BCR_FLR >> 8;
	}
	if (flr)
		emu_nvme_function_reset(ctrl);
	ctrl->model.dma.bus_master =
		(get16(ctrl->cfg, PCI_COMMAND) & PCI_COMMAND_MASTER) && in_d0(ctrl);
	ctrl->model.dma.nosnoop_enabled = get16(ctrl->cfg, devctl) & PCI_EXP_DEVCTL_NOSNOOP_EN;
	emu_nvme_thaw(ctrl);
	pthread_mutex_unlock(&ctrl->registers);
	return 0;
}
