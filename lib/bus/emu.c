/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The emulated bus: device models of lib/emu behind the same table as hardware.
 *
 * The model plays the device, the soft address space the IOMMU, and the cache model the memory
 * behind the CPU's caches, wherever the model is one that bypasses them. This file plugs the three
 * together, and does what a kernel would do between a driver and its device: it keeps over a reset
 * what the kernel keeps, and has no DMA before bus mastering is turned on.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "bus_internal.h"
#include "lib/emu/emu_internal.h"
#include "lib/iommu/iommu_internal.h"

struct emu_device {
	struct nsdk_emu_model *model;
	struct nsdk_ioas_member member;
	struct nsdk_cache_model *cache; /* NULL: the model's DMA is always snooped */
	int gone_fd;                    /* readable when it is pulled out */
};

static struct emu_device *emu_of(struct nsdk_device *dev)
{
	return dev->priv;
}

static struct nsdk_emu_model *model_of(struct nsdk_device *dev)
{
	return emu_of(dev)->model;
}

/* ---- Opening ---- */

static int create_model(const char *args, struct nsdk_emu_model **out)
{
	size_t chars = strcspn(args, ",");
	char names[128] = "";
	size_t used = 0;

	for (unsigned i = 0; nsdk_emu_models[i]; i++) {
		const struct nsdk_emu_model_ops *ops = nsdk_emu_models[i];

		if (strlen(ops->name) == chars && memcmp(ops->name, args, chars) == 0)
			return ops->create(args[chars] == ',' ? args + chars + 1 : "", out);
		if (used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%semu:%s",
						 i > 0 ? ", " : "", ops->name);
	}
	return nsdk_fail(-ENODEV, "bus", "there is no emulated device 'emu:%.*s'; there is %s",
			 (int)chars, args, names);
}

/* The address space's lock is held, and it must not be called back. */
static void follow_mapping(void *ctx, void *va, size_t bytes, bool mapped)
{
	struct emu_device *emu = ctx;

	if (mapped)
		nsdk_cache_model_map(emu->cache, va, bytes);
	else
		nsdk_cache_model_unmap(emu->cache, va, bytes);
}

/* Put the cache model between the device and memory. */
static int open_cache(struct nsdk_device *dev)
{
	struct emu_device *emu = emu_of(dev);
	int rc;

	rc = nsdk_cache_model_get(emu->model->seed, &emu->cache);
	if (rc)
		return rc;
	rc = nsdk_ioas_soft_set_notify(dev->ioas, follow_mapping, emu);
	if (rc) {
		nsdk_cache_model_put(emu->cache);
		emu->cache = NULL;
		return rc;
	}
	dev->line_ops = nsdk_cache_model_line_ops();
	return 0;
}

static void close_cache(struct nsdk_device *dev)
{
	struct emu_device *emu = emu_of(dev);

	if (!emu->cache)
		return;
	nsdk_ioas_soft_set_notify(dev->ioas, NULL, emu);
	nsdk_cache_model_put(emu->cache);
}

static int emu_open(struct nsdk_device *dev, const char *args, const struct nsdk_device_opts *opts)
{
	struct emu_device *emu;
	int rc;

	emu = calloc(1, sizeof(*emu));
	if (!emu)
		return nsdk_fail(-ENOMEM, "bus", "no memory for an emulated device");
	dev->priv = emu;
	snprintf(dev->name, sizeof(dev->name), "emu:%s", args);
	rc = create_model(args, &emu->model);
	if (rc)
		goto free_emu;
	emu->gone_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (emu->gone_fd < 0) {
		rc = nsdk_fail(-errno, "bus", "no file descriptor for %s: %s; raise the limit (ulimit -n)",
			       dev->name, strerror(errno));
		goto destroy_model;
	}
	atomic_store(&emu->model->gone_fd, emu->gone_fd);
	dev->needs_turns = !emu->model->own_thread;
	rc = nsdk_bus_space_get(dev, opts, NSDK_IOMMU_SOFT);
	if (rc)
		goto close_fd;
	emu->member = (struct nsdk_ioas_member){
		.name = dev->name,
		.group = -1,
		.device_fd = -1,
		.group_fd = -1,
		.soft_permits_nosnoop = emu->model->wants_nosnoop,
		.soft_iova_bits = emu->model->iova_bits,
	};
	rc = nsdk_ioas_attach(dev->ioas, &emu->member);
	if (rc)
		goto put_space;
	if (emu->model->wants_nosnoop) {
		rc = open_cache(dev);
		if (rc)
			goto detach;
	}
	/* The model does no DMA before its bus mastering bit is set, and looks at this only then. */
	emu->model->dma.ioas = dev->ioas;
	emu->model->dma.cache = emu->cache;
	nsdk_ioas_verdict(dev->ioas, &dev->verdict);
	return 0;

detach:
	nsdk_ioas_detach(dev->ioas, &emu->member);
put_space:
	nsdk_bus_space_put(dev);
close_fd:
	atomic_store(&emu->model->gone_fd, -1);
	close(emu->gone_fd);
destroy_model:
	emu->model->ops->destroy(emu->model);
free_emu:
	free(emu);
	dev->priv = NULL;
	return rc;
}

static void emu_close(struct nsdk_device *dev)
{
	struct emu_device *emu = emu_of(dev);

	for (unsigned i = 0; i < NSDK_MAX_BARS; i++)
		if (dev->bars[i].base)
			nsdk_cache_model_uncached(dev->bars[i].base, dev->bars[i].bytes, false);
	/* First, as nobody may reach an address space that ends. */
	emu->model->ops->destroy(emu->model);
	close(emu->gone_fd);
	close_cache(dev);
	nsdk_ioas_detach(dev->ioas, &emu->member);
	nsdk_bus_space_put(dev);
	free(emu);
	dev->priv = NULL;
}

/* ---- Access ---- */

static void look_for_removal(struct nsdk_device *dev)
{
	struct nsdk_emu_model *model = model_of(dev);
	char why[120];
	uint64_t iova;

	if (!model->ops->gone(model))
		return;
	iova = atomic_load(&model->dma.contained_iova);
	snprintf(why, sizeof(why), "it wrote to IOVA 0x%llx, which is not mapped, and its link was taken down",
		 (unsigned long long)iova);
	nsdk_device_set_gone(dev, iova ? why : "it was pulled out");
}

static int emu_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t *out)
{
	return model_of(dev)->ops->cfg_read(model_of(dev), offset, width, out);
}

static int emu_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width, uint32_t value)
{
	return model_of(dev)->ops->cfg_write(model_of(dev), offset, width, value);
}

static int emu_bar_map(struct nsdk_device *dev, unsigned index, struct nsdk_bar *out)
{
	int rc = model_of(dev)->ops->bar(model_of(dev), index, out);

	if (rc)
		return nsdk_fail(rc, "bus", "%s has no memory BAR %u", dev->name, index);
	/* As VFIO maps it. */
	nsdk_cache_model_uncached(out->base, out->bytes, true);
	return 0;
}

/* Which BAR it is; the caller's struct is a copy of what bar_map gave. */
static unsigned bar_index(const struct nsdk_device *dev, const struct nsdk_bar *bar)
{
	unsigned index = 0;

	while (index < NSDK_MAX_BARS && dev->bars[index].base != bar->base)
		index++;
	return index;
}

static uint64_t emu_mmio_read(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			      unsigned width)
{
	struct nsdk_emu_model *model = model_of(dev);
	uint64_t value = model->ops->mmio_read(model, bar_index(dev, bar), offset, width);

	look_for_removal(dev);
	return value;
}

static void emu_mmio_write(struct nsdk_device *dev, const struct nsdk_bar *bar, size_t offset,
			   unsigned width, uint64_t value)
{
	struct nsdk_emu_model *model = model_of(dev);

	model->ops->mmio_write(model, bar_index(dev, bar), offset, width, value);
}

static unsigned emu_irq_count(struct nsdk_device *dev)
{
	return model_of(dev)->ops->irq_count(model_of(dev));
}

static int emu_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count)
{
	return model_of(dev)->ops->irq_set(model_of(dev), eventfds, count);
}

static int emu_irq_disable(struct nsdk_device *dev)
{
	return model_of(dev)->ops->irq_set(model_of(dev), NULL, 0);
}

static int emu_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd)
{
	int rc = model_of(dev)->ops->irq_set_one(model_of(dev), vector, eventfd);

	return rc ? nsdk_fail(rc, "bus", "cannot %s interrupt %u of %s: it is none of those that were enabled",
			      eventfd < 0 ? "disarm" : "arm", vector, dev->name) : 0;
}

static unsigned emu_notices(struct nsdk_device *dev, int *fds)
{
	fds[0] = emu_of(dev)->gone_fd;
	return 1;
}

/* A word of a capability that the kernel carries over a reset. */
struct kept_word {
	uint8_t cap_id;
	uint8_t offset;
	int cap;
	uint32_t value;
};

/*
 * Function level reset. Whatever the device starts with again, Enable No Snoop stays as the driver's
 * policy has set it, and armed vectors stay armed; bus mastering is off.
 */
static int emu_reset(struct nsdk_device *dev)
{
	struct kept_word words[] = {
		{ .cap_id = PCI_CAP_ID_EXP, .offset = PCI_EXP_DEVCTL },
		{ .cap_id = PCI_CAP_ID_MSIX, .offset = PCI_MSIX_FLAGS },
	};
	struct nsdk_emu_model *model = model_of(dev);
	const unsigned count = sizeof(words) / sizeof(words[0]);
	int rc;

	for (unsigned i = 0; i < count; i++) {
		words[i].cap = nsdk_device_cfg_find_cap(dev, words[i].cap_id);
		if (words[i].cap < 0)
			continue;
		rc = nsdk_device_cfg_read(dev, (unsigned)words[i].cap + words[i].offset, 2,
					  &words[i].value);
		if (rc)
			return rc;
	}
	model->ops->reset(model);
	for (unsigned i = 0; i < count; i++) {
		if (words[i].cap < 0)
			continue;
		rc = nsdk_device_cfg_write(dev, (unsigned)words[i].cap + words[i].offset, 2,
					   words[i].value);
		if (rc)
			return rc;
	}
	return 0;
}

static void emu_poll(struct nsdk_device *dev)
{
	struct emu_device *emu = emu_of(dev);

	emu->model->ops->poll(emu->model);
	if (emu->cache)
		nsdk_cache_model_adversary(emu->cache);
	look_for_removal(dev);
}

const struct nsdk_bus_ops nsdk_bus_emu = {
	.name = "emu",
	.open = emu_open,
	.close = emu_close,
	.cfg_read = emu_cfg_read,
	.cfg_write = emu_cfg_write,
	.bar_map = emu_bar_map,
	.mmio_read = emu_mmio_read,
	.mmio_write = emu_mmio_write,
	.irq_count = emu_irq_count,
	.irq_enable = emu_irq_enable,
	.irq_disable = emu_irq_disable,
	.irq_set = emu_irq_set,
	.notices = emu_notices,
	.reset = emu_reset,
	.poll = emu_poll,
	.check = look_for_removal,
};
