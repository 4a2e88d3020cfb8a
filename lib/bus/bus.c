/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices, however they are reached.
 *
 * Model. An nsdk_device is one function that somebody drives: a PCI function through VFIO (vfio*.c)
 * or a model in this process (emu.c). Behind it stands a table of functions, struct nsdk_bus_ops; a
 * driver sees registers, config space, interrupts and an address space, and cannot tell which it is.
 *
 * Lifetime. Attach opens the device, puts it into an address space (by default one of its own, since
 * a device can then reach nothing but what was mapped for it, and since the snoop verdict is of one
 * device then), and asks the verdict. Detach is the way back in the opposite order: no DMA any more,
 * reset, out of the address space, closed, and given back to the kernel's driver if we took it. BARs
 * stay mapped until detach.
 *
 * A device that vanishes. Hot-unplug shows as registers that read all ones, as a SIGBUS on a BAR
 * (sigbus.c turns that into registers that read all ones), or as the kernel asking for the device back.
 * Each marks it as gone, once and for good: reads give all ones without touching it, writes are
 * dropped, and drivers look at nsdk_device_is_gone() where they wait.
 *
 * Threading. Attach and detach belong to one thread. Register access may come from any thread; who
 * writes which register is the driver's affair. Config space and interrupts are for one thread at a
 * time. Nothing here is on the I/O path but poll, and a doorbell, which is a store to the BAR.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <nsdk/config.h>
#include <nsdk/log.h>
#include <nsdk/pci.h>

#include "bus_internal.h"
#include "lib/env/opts.h"

/* ---- attach and detach ---- */

/* Which bus device words name, and the words behind its prefix. NULL: none. */
static const struct nsdk_bus_ops *find_bus(const char *spec, const char **args)
{
	struct nsdk_pci_addr addr;

	if (strncmp(spec, "emu:", 4) == 0) {
		*args = spec + 4;
		return &nsdk_bus_emu;
	}
	if (strncmp(spec, "pci:", 4) == 0) {
		*args = spec + 4;
		return &nsdk_bus_vfio;
	}
	*args = spec;
	return nsdk_pci_addr_parse(spec, &addr) == 0 ? &nsdk_bus_vfio : NULL;
}

int nsdk_device_attach(const char *spec, const struct nsdk_device_opts *opts,
		       struct nsdk_device **out)
{
	struct nsdk_device_opts known;
	const struct nsdk_bus_ops *ops;
	struct nsdk_device *dev;
	const char *args;
	int rc;

	*out = NULL;
	ops = find_bus(spec, &args);
	if (ops == NULL)
		return nsdk_fail(-EINVAL, "bus",
				 "'%s' names no device: give a PCI address such as pci:0000:00:03.0, or "
				 "an emulated device such as emu:nvme",
				 spec);
	rc = nsdk_opts_take(&known, sizeof(known), opts, "bus");
	if (rc != 0)
		return rc;
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return nsdk_fail(-ENOMEM, "bus", "no memory for a device");
	dev->ops = ops;
	dev->bus_name = ops->name;
	dev->numa_node = -1;
	dev->no_sigbus_handler = known.no_sigbus_handler;
	snprintf(dev->name, sizeof(dev->name), "%s", spec);
	rc = ops->open(dev, args, &known);
	if (rc != 0)
		goto free_device;
	*out = dev;
	return 0;

free_device:
	nsdk_bus_space_put(dev);
	free(dev);
	return rc;
}

void nsdk_device_detach(struct nsdk_device *dev)
{
	if (dev == NULL)
		return;
	dev->ops->close(dev);
	nsdk_bus_space_put(dev);
	free(dev);
}

/* ---- what it is ---- */

const char *nsdk_device_name(const struct nsdk_device *dev)
{
	return dev->name;
}

struct nsdk_ioas *nsdk_device_ioas(struct nsdk_device *dev)
{
	return dev->ioas;
}

const char *nsdk_device_bus_name(const struct nsdk_device *dev)
{
	return dev->bus_name;
}

int nsdk_device_numa_node(const struct nsdk_device *dev)
{
	return dev->numa_node;
}

const struct nsdk_snoop_verdict *nsdk_device_verdict(const struct nsdk_device *dev)
{
	return &dev->verdict;
}

/* ---- vanished devices ---- */

bool nsdk_device_is_gone(const struct nsdk_device *dev)
{
	/* A flag and nothing else: no other memory is ordered by it. */
	return atomic_load_explicit(&dev->gone, memory_order_relaxed) != 0;
}

void nsdk_device_set_gone(struct nsdk_device *dev, const char *why)
{
	if ((atomic_fetch_or_explicit(&dev->gone, NSDK_GONE_SAID, memory_order_relaxed) &
	     NSDK_GONE_SAID) == 0)
		nsdk_log(NSDK_LOG_ERROR, "bus", "%s is gone: %s", dev->name, why);
}

/* A signal handler marks a device and cannot log: the next who looks says it. */
static void say_if_faulted(struct nsdk_device *dev)
{
	if (atomic_load_explicit(&dev->gone, memory_order_relaxed) == NSDK_SIGBUS_FAULTED)
		nsdk_device_set_gone(dev, "the kernel has taken its registers away");
}

bool nsdk_device_answers(struct nsdk_device *dev)
{
	uint32_t class_revision;

	say_if_faulted(dev);
	if (nsdk_device_is_gone(dev))
		return false;
	/*
	 * All ones may be a register's value; a function that is there has a class that is not. Not the
	 * vendor: that is what VFIO remembers of the function.
	 */
	if (dev->ops->cfg_read(dev, PCI_CLASS_REVISION, 4, &class_revision) == 0 &&
	    class_revision != UINT32_MAX)
		return true;
	nsdk_device_set_gone(dev, "its registers read all ones");
	return false;
}

bool nsdk_device_check(struct nsdk_device *dev)
{
	say_if_faulted(dev);
	if (dev->ops->check != NULL && !nsdk_device_is_gone(dev))
		dev->ops->check(dev);
	return nsdk_device_is_gone(dev) || !nsdk_device_answers(dev);
}

/* ---- config space ---- */

static bool cfg_access_is_sane(unsigned offset, unsigned width)
{
	return (width == 1 || width == 2 || width == 4) && offset % width == 0 &&
	       offset <= PCI_CFG_SPACE_EXP_SIZE - width;
}

static int cfg_failed(struct nsdk_device *dev, int error, const char *verb, unsigned offset,
		      unsigned width)
{
	if (cfg_access_is_sane(offset, width) && !nsdk_device_answers(dev))
		return -ENODEV;
	return nsdk_fail(error, "bus", "cannot %s config space of %s, %u bytes at 0x%x: %s", verb,
			 dev->name, width, offset, strerror(-error));
}

int nsdk_device_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t *out)
{
	int rc = -EINVAL;

	*out = UINT32_MAX;
	if (cfg_access_is_sane(offset, width))
		rc = dev->ops->cfg_read(dev, offset, width, out);
	if (rc != 0)
		return cfg_failed(dev, rc, "read", offset, width);
	/* A byte of ones is nothing unusual. */
	if (width > 1 && *out == UINT32_MAX >> (32 - 8 * width))
		(void)nsdk_device_answers(dev);
	return 0;
}

int nsdk_device_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t value)
{
	int rc = -EINVAL;

	if (cfg_access_is_sane(offset, width))
		rc = dev->ops->cfg_write(dev, offset, width, value);
	return rc == 0 ? 0 : cfg_failed(dev, rc, "write", offset, width);
}

int nsdk_device_cfg_find_cap(struct nsdk_device *dev, uint8_t cap_id)
{
	uint32_t value;
	unsigned offset;
	int rc;

	rc = nsdk_device_cfg_read(dev, PCI_STATUS, 2, &value);
	if (rc != 0)
		return rc;
	if ((value & PCI_STATUS_CAP_LIST) == 0)
		return -ENOENT;
	rc = nsdk_device_cfg_read(dev, PCI_CAPABILITY_LIST, 1, &value);
	/* At most one capability for each word behind the header, so that a loop in the list ends. */
	for (unsigned left = (PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4; left > 0; left--) {
		if (rc != 0)
			return rc;
		offset = value & ~3u; /* the low bits are reserved */
		if (offset < PCI_STD_HEADER_SIZEOF)
			return -ENOENT;
		rc = nsdk_device_cfg_read(dev, offset, 2, &value);
		if (rc == 0 && (value & 0xff) == cap_id)
			return (int)offset;
		value >>= 8;
	}
	return -ENOENT;
}

int nsdk_device_set_bus_master(struct nsdk_device *dev, bool on)
{
	uint32_t command;
	int rc;

	rc = nsdk_device_cfg_read(dev, PCI_COMMAND, 2, &command);
	if (rc != 0)
		return rc;
	if (((command & PCI_COMMAND_MASTER) != 0) == on)
		return 0;
	return nsdk_device_cfg_write(dev, PCI_COMMAND, 2, command ^ PCI_COMMAND_MASTER);
}

/* ---- registers ---- */

int nsdk_device_bar(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out)
{
	int rc;

	memset(out, 0, sizeof(*out));
	if (index >= NSDK_MAX_BARS)
		return nsdk_fail(-ENOENT, "bus", "%s has no BAR %u: there are at most %d", dev->name,
				 index, NSDK_MAX_BARS);
	if (dev->bars[index].base == NULL) {
		rc = dev->ops->bar_map(dev, index, &dev->bars[index]);
		if (rc != 0) {
			dev->bars[index].base = NULL;
			return rc;
		}
	}
	*out = dev->bars[index];
	return 0;
}

#define MSIX_ENTRY_BYTES 16u

/* Whether one of the two structures of MSI-X lies there. @p where: the dword that says its BAR and offset. */
static bool msix_lies_in(uint32_t where, size_t where_bytes, unsigned index, size_t offset, size_t bytes)
{
	size_t at = where & PCI_MSIX_TABLE_OFFSET;

	return (where & PCI_MSIX_TABLE_BIR) == index && at < offset + bytes && offset < at + where_bytes;
}

int nsdk_device_bar_check(struct nsdk_device *dev, unsigned index, size_t offset, size_t bytes)
{
	uint32_t flags, table, pending;
	struct nsdk_bar bar;
	size_t vectors;
	int rc, cap;

	rc = nsdk_device_bar(dev, index, &bar);
	if (rc != 0)
		return rc;
	if (bytes > bar.bytes || offset > bar.bytes - bytes)
		return -ERANGE;
	if (dev->ops->bar_has != NULL && !dev->ops->bar_has(dev, index, offset, bytes))
		return -EACCES;
	cap = nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_MSIX);
	if (cap == -ENOENT)
		return 0;
	if (cap < 0)
		return cap;
	rc = nsdk_device_cfg_read(dev, (unsigned)cap + PCI_MSIX_FLAGS, 2, &flags);
	if (rc == 0)
		rc = nsdk_device_cfg_read(dev, (unsigned)cap + PCI_MSIX_TABLE, 4, &table);
	if (rc == 0)
		rc = nsdk_device_cfg_read(dev, (unsigned)cap + PCI_MSIX_PBA, 4, &pending);
	if (rc != 0)
		return rc;
	/* 0's based; a pending bit for each, in words of 64. */
	vectors = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
	if (msix_lies_in(table, vectors * MSIX_ENTRY_BYTES, index, offset, bytes) ||
	    msix_lies_in(pending, (vectors + 63) / 64 * 8, index, offset, bytes))
		return -EADDRINUSE;
	return 0;
}

/*
 * Order between registers and memory, as a driver expects it of readl() and writel(): what the CPU
 * wrote before a register write is visible to the device that acts on it, and what it reads after a
 * register read is not older than the register. x86 orders uncached accesses so by itself, and only
 * the compiler must be kept from moving anything.
 */
static inline void order_before_register_write(void)
{
#if NSDK_ARCH_AARCH64
	__asm__ volatile("dmb oshst" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static inline void order_after_register_read(void)
{
#if NSDK_ARCH_AARCH64
	__asm__ volatile("dmb oshld" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static bool is_outside(const struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
		       unsigned width)
{
	if (bar->bytes >= width && offset <= bar->bytes - width && offset % width == 0)
		return false;
	nsdk_log(NSDK_LOG_ERROR, "bus",
		 "%s: no register of %u bytes at offset 0x%zx of a BAR of %zu bytes", dev->name, width,
		 offset, bar->bytes);
	return true;
}

static uint64_t reg_read(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			 unsigned width)
{
	volatile char *at = (volatile char *)bar->base + offset;
	uint64_t value;

	if (nsdk_device_is_gone(dev) || is_outside(dev, bar, offset, width))
		return UINT64_MAX;
	if (dev->ops->mmio_read != NULL)
		value = dev->ops->mmio_read(dev, bar, offset, width);
	else if (width == 8)
		value = le64toh(*(volatile uint64_t *)at);
	else
		value = le32toh(*(volatile uint32_t *)at);
	order_after_register_read();
	return value;
}

static void reg_write(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
		      unsigned width, uint64_t value)
{
	volatile char *at = (volatile char *)bar->base + offset;

	if (nsdk_device_is_gone(dev) || is_outside(dev, bar, offset, width))
		return;
	order_before_register_write();
	if (dev->ops->mmio_write != NULL)
		dev->ops->mmio_write(dev, bar, offset, width, value);
	else if (width == 8)
		*(volatile uint64_t *)at = htole64(value);
	else
		*(volatile uint32_t *)at = htole32((uint32_t)value);
}

uint32_t nsdk_device_read32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset)
{
	uint32_t value = (uint32_t)reg_read(dev, bar, offset, 4);

	if (value == UINT32_MAX)
		(void)nsdk_device_answers(dev);
	return value;
}

uint64_t nsdk_device_read64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset)
{
	uint64_t value = reg_read(dev, bar, offset, 8);

	if (value == UINT64_MAX)
		(void)nsdk_device_answers(dev);
	return value;
}

void nsdk_device_write32(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			 uint32_t value)
{
	reg_write(dev, bar, offset, 4, value);
}

void nsdk_device_write64(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			 uint64_t value)
{
	reg_write(dev, bar, offset, 8, value);
}

/* ---- memory behind a BAR ---- */

#define WORD_BYTES sizeof(uint64_t)

void nsdk_bar_copy_to(volatile void *bar_memory, const void *from, size_t bytes)
{
	volatile uint8_t *to = bar_memory;
	const uint8_t *in = from;
	uint64_t word;

	for (; bytes != 0 && (uintptr_t)to % WORD_BYTES != 0; bytes--)
		*to++ = *in++;
	for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES, to += WORD_BYTES, in += WORD_BYTES) {
		memcpy(&word, in, sizeof(word));
		*(volatile uint64_t *)(volatile void *)to = word;
	}
	for (; bytes != 0; bytes--)
		*to++ = *in++;
}

void nsdk_bar_copy_from(void *to, const volatile void *bar_memory, size_t bytes)
{
	const volatile uint8_t *from = bar_memory;
	uint8_t *out = to;
	uint64_t word;

	for (; bytes != 0 && (uintptr_t)from % WORD_BYTES != 0; bytes--)
		*out++ = *from++;
	for (; bytes >= WORD_BYTES; bytes -= WORD_BYTES, from += WORD_BYTES, out += WORD_BYTES) {
		word = *(const volatile uint64_t *)(const volatile void *)from;
		memcpy(out, &word, sizeof(word));
	}
	for (; bytes != 0; bytes--)
		*out++ = *from++;
}

/* ---- interrupts, reset, poll ---- */

unsigned nsdk_device_irq_count(struct nsdk_device *dev)
{
	return dev->ops->irq_count(dev);
}

int nsdk_device_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count)
{
	unsigned have = dev->ops->irq_count(dev);

	if (count == 0 || count > have)
		return nsdk_fail(-EINVAL, "bus", "cannot arm %u interrupts of %s: it has %u MSI-X vectors",
				 count, dev->name, have);
	return dev->ops->irq_enable(dev, eventfds, count);
}

int nsdk_device_irq_disable(struct nsdk_device *dev)
{
	return dev->ops->irq_disable(dev);
}

int nsdk_device_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd)
{
	return dev->ops->irq_set(dev, vector, eventfd);
}

unsigned nsdk_device_notices(struct nsdk_device *dev, int *fds)
{
	return dev->ops->notices != NULL ? dev->ops->notices(dev, fds) : 0;
}

bool nsdk_device_works_alone(const struct nsdk_device *dev)
{
	return !dev->needs_turns;
}

int nsdk_device_reset(struct nsdk_device *dev)
{
	return dev->ops->reset(dev);
}

bool nsdk_device_wants_poll(const struct nsdk_device *dev)
{
	return dev->ops->poll != NULL;
}

void nsdk_device_poll(struct nsdk_device *dev)
{
	if (dev->ops->poll != NULL)
		dev->ops->poll(dev);
}
