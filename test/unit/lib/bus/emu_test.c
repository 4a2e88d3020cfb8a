/* SPDX-License-Identifier: BSD-3-Clause */
/* Emulated devices through the device interface: the NVMe model, as a driver would meet it. */
#include "nsdk_unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nsdk/bus.h>
#include <nsdk/emu.h>
#include <nsdk/nvme_spec.h>

#include "lib/bus/bus_internal.h"
#include "lib/coherence/coherence_internal.h"
#include "lib/emu/nvme_internal.h"
#include "lib/iommu/iommu_internal.h"

#define PAGE 4096u
#define ENTRIES 16u
#define MEMORY_BYTES ((size_t)64 * PAGE)

/* ---- What can fail on the way ---- */

int __real_nsdk_ioas_create(struct nsdk_iommu *iommu, struct nsdk_ioas **out);
int __real_nsdk_ioas_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);
int __real_nsdk_ioas_soft_set_notify(struct nsdk_ioas *ioas, nsdk_ioas_soft_notify fn, void *ctx);
int __real_nsdk_cache_model_get(uint64_t seed, struct nsdk_cache_model **out);
int __real_nsdk_iommu_open(enum nsdk_iommu_backend backend, struct nsdk_iommu **out);
int __wrap_nsdk_ioas_create(struct nsdk_iommu *iommu, struct nsdk_ioas **out);
int __wrap_nsdk_ioas_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member);
int __wrap_nsdk_ioas_soft_set_notify(struct nsdk_ioas *ioas, nsdk_ioas_soft_notify fn, void *ctx);
int __wrap_nsdk_cache_model_get(uint64_t seed, struct nsdk_cache_model **out);
int __wrap_nsdk_iommu_open(enum nsdk_iommu_backend backend, struct nsdk_iommu **out);

int __wrap_nsdk_ioas_create(struct nsdk_iommu *iommu, struct nsdk_ioas **out)
{
	return nsdk_unit_fails_now() ? -ENOSPC : __real_nsdk_ioas_create(iommu, out);
}

int __wrap_nsdk_ioas_attach(struct nsdk_ioas *ioas, struct nsdk_ioas_member *member)
{
	return nsdk_unit_fails_now() ? -ENOSPC : __real_nsdk_ioas_attach(ioas, member);
}

int __wrap_nsdk_ioas_soft_set_notify(struct nsdk_ioas *ioas, nsdk_ioas_soft_notify fn, void *ctx)
{
	/* Taking it back cannot fail. */
	return fn && nsdk_unit_fails_now() ? -ENOSPC : __real_nsdk_ioas_soft_set_notify(ioas, fn, ctx);
}

int __wrap_nsdk_cache_model_get(uint64_t seed, struct nsdk_cache_model **out)
{
	return nsdk_unit_fails_now() ? -ENOSPC : __real_nsdk_cache_model_get(seed, out);
}

int __wrap_nsdk_iommu_open(enum nsdk_iommu_backend backend, struct nsdk_iommu **out)
{
	return nsdk_unit_fails_now() ? -ENOSPC : __real_nsdk_iommu_open(backend, out);
}

/* ---- A driver in small ---- */

static struct nsdk_device *dev;
static struct nsdk_bar bar;
static uint8_t *memory;
static uint64_t memory_iova;
static unsigned tail, head;

static void attach(const char *words)
{
	struct nsdk_device_opts opts = { .opts_bytes = sizeof(opts) };

	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach(words, &opts, &dev), 0);
}

static void detach(void)
{
	nsdk_device_detach(dev);
	dev = NULL;
	if (memory)
		munmap(memory, MEMORY_BYTES);
	memory = NULL;
}

static void before(void)
{
	nsdk_unit_log_start();
}

static void after(void)
{
	detach();
	nsdk_unit_log_stop();
}

static void write_lines(const void *va, size_t bytes, bool invalidate)
{
	const struct nsdk_line_ops *ops = dev->line_ops;

	if (!ops)
		return;
	if (invalidate)
		ops->writeback_invalidate(va, bytes / NSDK_LINE_BYTES);
	else
		ops->writeback(va, bytes / NSDK_LINE_BYTES);
	ops->fence_for_device();
}

/* The admin queue: submission entries in page 0, completion entries in page 1. */
static void bring_up(void)
{
	nsdk_iova_t iova = { 0 };

	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(memory, MAP_FAILED);
	write_lines(memory, MEMORY_BYTES, true);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_map(nsdk_device_ioas(dev), memory, MEMORY_BYTES, NSDK_IOAS_RW,
					    false, &iova), 0);
	memory_iova = iova.addr;
	CU_ASSERT_EQUAL_FATAL(nsdk_device_bar(dev, 0, &bar), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_set_bus_master(dev, true), 0);
	nsdk_device_write32(dev, &bar, NSDK_NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	nsdk_device_write64(dev, &bar, NSDK_NVME_REG_ASQ, memory_iova);
	nsdk_device_write64(dev, &bar, NSDK_NVME_REG_ACQ, memory_iova + PAGE);
	nsdk_device_write32(dev, &bar, NSDK_NVME_REG_CC, NSDK_NVME_CC_EN);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_read32(dev, &bar, NSDK_NVME_REG_CSTS), NSDK_NVME_CSTS_RDY);
	tail = 0;
	head = 0;
}

static volatile uint32_t *doorbell(unsigned index)
{
	return (volatile uint32_t *)((uintptr_t)bar.base + NSDK_NVME_REG_DOORBELLS) + index;
}

/* Identify controller into page 2. @return whether a completion came. */
static bool identify(void)
{
	struct nsdk_nvme_cmd *sq = (void *)memory;
	volatile struct nsdk_nvme_cpl *cq = (void *)(memory + PAGE);

	sq[tail] = (struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_ADMIN_IDENTIFY,
					   .prp1 = memory_iova + 2 * PAGE, .cdw10 = 1 };
	tail = (tail + 1) % ENTRIES;
	__atomic_store_n(doorbell(0), tail, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 100; i++) {
		nsdk_device_poll(dev);
		if (__atomic_load_n(&cq[head].status, __ATOMIC_ACQUIRE) & 1) {
			head++;
			return true;
		}
	}
	return false;
}

/* Tell that the completion is done with. */
static void take(void)
{
	__atomic_store_n(doorbell(1), head, __ATOMIC_RELEASE);
	nsdk_device_poll(dev);
}

/* ---- Tests ---- */

static void attaches_and_says_what_it_is(void)
{
	attach("emu:nvme,size=1M");
	NSDK_ASSERT_TEXT(nsdk_device_name(dev), "emu:nvme,size=1M");
	NSDK_ASSERT_TEXT(nsdk_device_bus_name(dev), "emu");
	NSDK_ASSERT_INT(nsdk_device_numa_node(dev), -1);
	NSDK_ASSERT_INT(nsdk_device_irq_count(dev), 17);
	NSDK_ASSERT_INT(nsdk_iommu_backend_of(nsdk_ioas_iommu(nsdk_device_ioas(dev))),
			NSDK_IOMMU_SOFT);
	NSDK_ASSERT_INT(nsdk_device_fd(dev), -1);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	CU_ASSERT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP) > 0);
	NSDK_ASSERT_INT(nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_VPD), -ENOENT);
}

static void verdict_follows_the_option(void)
{
	attach("emu:nvme,size=1M");
	NSDK_ASSERT_INT(nsdk_device_verdict(dev)->state, NSDK_SNOOP_ENFORCED);
	NSDK_ASSERT_TEXT(nsdk_device_verdict(dev)->reason, "the emulated platform snoops all DMA");
	CU_ASSERT_PTR_NULL(dev->line_ops);
	detach();
	attach("emu:nvme,size=1M,nosnoop=data,seed=1");
	NSDK_ASSERT_INT(nsdk_device_verdict(dev)->state, NSDK_SNOOP_PERMITTED);
	CU_ASSERT_PTR_EQUAL(dev->line_ops, nsdk_cache_model_line_ops());
}

static void wrong_words_are_refused(void)
{
	struct nsdk_device *none = (void *)1;

	NSDK_ASSERT_INT(nsdk_device_attach("emu:floppy", NULL, &none), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("there is no emulated device 'emu:floppy'; there is emu:nvme");
	CU_ASSERT_PTR_NULL(none);
	NSDK_ASSERT_INT(nsdk_device_attach("emu:", NULL, &none), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("there is no emulated device 'emu:'");
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nv", NULL, &none), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("'emu:nv'");
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvmex", NULL, &none), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("'emu:nvmex'");
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme,lba=520", NULL, &none), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("lba=520: give 512 or 4096");
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme,turbo=1", NULL, &none), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("there is no option 'turbo'");
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme,", NULL, &none), 0);
	nsdk_device_detach(none);
}

static void every_failure_is_undone(void)
{
	struct nsdk_device *got;
	char words[128];
	unsigned failed = 0;
	int rc;

	/* The file is locked as long as the model is there, so one left behind shows. */
	snprintf(words, sizeof(words), "emu:nvme,size=1M,nosnoop=all,seed=3,file=/tmp/nsdk-emu-test-%d",
		 (int)getpid());
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		rc = nsdk_device_attach(words, NULL, &got);
		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(rc, -ENOSPC);
			CU_ASSERT_PTR_NULL(got);
			failed++;
		} else {
			NSDK_ASSERT_INT(rc, 0);
			nsdk_device_detach(got);
		}
	}
	NSDK_ASSERT_INT(failed, 5);
	unlink(strchr(words, '/'));
}

static void a_driver_gets_through(void)
{
	attach("emu:nvme,size=1M");
	bring_up();
	for (unsigned i = 0; i < 5; i++) {
		memset(memory + 2 * PAGE, 0xff, PAGE);
		CU_ASSERT_FATAL(identify());
		NSDK_ASSERT_INT(((struct nsdk_nvme_id_ctrl *)(void *)(memory + 2 * PAGE))->sqes, 0x66);
		take();
	}
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void no_dma_before_bus_mastering(void)
{
	uint32_t command;

	attach("emu:nvme,size=1M");
	NSDK_ASSERT_INT(nsdk_device_cfg_read(dev, PCI_COMMAND, 2, &command), 0);
	NSDK_ASSERT_INT(command & PCI_COMMAND_MASTER, 0);
	bring_up();
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, false), 0);
	CU_ASSERT_FALSE(identify());
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, true), 0);
	nsdk_device_poll(dev);
	CU_ASSERT(((volatile struct nsdk_nvme_cpl *)(void *)(memory + PAGE))->status & 1);
}

static void bars_are_what_they_are(void)
{
	struct nsdk_bar other;

	attach("emu:nvme,size=1M");
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 2, &other), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("has no memory BAR 2");
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 4, &other), 0);
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 0, &bar), 0);
	/* Each is told from the other: a vector's mask bit, and the version. */
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &other, 12), 1);
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &bar, NSDK_NVME_REG_VS), 0x20000);
}

static void interrupts(void)
{
	uint64_t count = 0;
	int fd = eventfd(0, EFD_NONBLOCK);

	attach("emu:nvme,size=1M");
	bring_up();
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, &fd, 1), 0);
	CU_ASSERT(identify());
	NSDK_ASSERT_INT(read(fd, &count, sizeof(count)), sizeof(count));
	take();
	/* One vector by itself: what comes while it is masked is kept until it is not. */
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 0, -1), 0);
	CU_ASSERT(identify());
	take();
	NSDK_ASSERT_INT(read(fd, &count, sizeof(count)), -1);
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 0, fd), 0);
	NSDK_ASSERT_INT(read(fd, &count, sizeof(count)), sizeof(count));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 1, fd), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot arm interrupt 1");
	NSDK_ASSERT_INT(nsdk_device_irq_disable(dev), 0);
	CU_ASSERT(identify());
	NSDK_ASSERT_INT(read(fd, &count, sizeof(count)), -1);
	close(fd);
}

static void a_removal_can_be_waited_for(void)
{
	int fds[NSDK_DEVICE_NOTICES];
	uint64_t count;

	attach("emu:nvme,size=1M");
	NSDK_ASSERT_INT(nsdk_device_notices(dev, fds), 1);
	NSDK_ASSERT_INT(read(fds[0], &count, sizeof(count)), -1);
	emu_nvme_pull_out(*(struct emu_nvme **)dev->priv);
	NSDK_ASSERT_INT(read(fds[0], &count, sizeof(count)), sizeof(count));
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	NSDK_ASSERT_ONE_SENTENCE("pulled out");
}

static void only_a_model_with_a_thread_works_alone(void)
{
	attach("emu:nvme,size=1M");
	CU_ASSERT_FALSE(nsdk_device_works_alone(dev));
	detach();
	attach("emu:nvme,size=1M,thread=1");
	CU_ASSERT_TRUE(nsdk_device_works_alone(dev));
}

static uint32_t devctl(void)
{
	uint32_t value = 0;

	nsdk_device_cfg_read(dev, (unsigned)nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP) +
					  PCI_EXP_DEVCTL, 2, &value);
	return value;
}

static void a_reset_keeps_the_policy(void)
{
	unsigned at;

	attach("emu:nvme,size=1M,nosnoop=all,seed=1");
	bring_up();
	at = (unsigned)nsdk_device_cfg_find_cap(dev, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
	CU_ASSERT(devctl() & PCI_EXP_DEVCTL_NOSNOOP_EN);
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, at, 2, devctl() & ~PCI_EXP_DEVCTL_NOSNOOP_EN), 0);
	NSDK_ASSERT_INT(nsdk_device_reset(dev), 0);
	/* The device starts with 1 again; a driver whose policy is coherent must not meet that. */
	NSDK_ASSERT_INT(devctl() & PCI_EXP_DEVCTL_NOSNOOP_EN, 0);
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &bar, NSDK_NVME_REG_CSTS), 0);
	CU_ASSERT_FALSE(identify());
}

static void a_device_may_be_pulled_out(void)
{
	attach("emu:nvme,size=1M,fault=gone@admin2");
	bring_up();
	CU_ASSERT(identify());
	take();
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	identify();
	CU_ASSERT(nsdk_device_is_gone(dev));
	NSDK_ASSERT_ONE_SENTENCE("is gone: it was pulled out");
	CU_ASSERT_FALSE(identify());
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, NSDK_NVME_REG_CSTS), UINT32_MAX);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void iova_width_is_the_options(void)
{
	struct nsdk_iova_range range;
	nsdk_iova_t iova = { (uint64_t)1 << 40 };

	attach("emu:nvme,size=1M,iova_bits=39");
	NSDK_ASSERT_INT(nsdk_ioas_ranges(nsdk_device_ioas(dev), &range, 1), 1);
	CU_ASSERT_EQUAL(range.last, ((uint64_t)1 << 39) - 1);
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT(nsdk_ioas_map(nsdk_device_ioas(dev), memory, MEMORY_BYTES, NSDK_IOAS_RW, true,
				&iova) < 0);
}

static void an_address_space_may_be_shared(void)
{
	struct nsdk_device_opts opts = { .opts_bytes = sizeof(opts) };
	struct nsdk_iommu *iommu;
	struct nsdk_device *other;

	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_SOFT, &iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &opts.ioas), 0);
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme,size=1M,nosnoop=all,seed=1", &opts, &dev), 0);
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme,size=1M,nosnoop=data,seed=1", &opts, &other), 0);
	CU_ASSERT_PTR_EQUAL(nsdk_device_ioas(other), opts.ioas);
	bring_up();
	nsdk_device_detach(other);
	/* The cache model still follows the first one's memory. */
	nsdk_cache_model_reset();
	identify();
	take();
	{
		struct nsdk_cache_model_stats stats;

		nsdk_cache_model_stats(&stats);
		CU_ASSERT(stats.device_writes > 0);
	}
	detach();
	nsdk_ioas_destroy(opts.ioas);
	nsdk_iommu_close(iommu);
}

/* ---- With the cache model ---- */

static uint64_t violations(void)
{
	struct nsdk_cache_model_stats stats;

	nsdk_cache_model_stats(&stats);
	return stats.violations_total;
}

static void take_back(const void *va, size_t bytes)
{
	const struct nsdk_line_ops *ops = dev->line_ops;

	ops->acquire_for_cpu();
	ops->writeback_invalidate(va, bytes / NSDK_LINE_BYTES);
	ops->fence_for_cpu();
}

/* One identify, by the book but for what is left out. */
static uint64_t identify_leaving_out(bool for_device, bool for_cpu)
{
	uint64_t found;

	attach("emu:nvme,size=1M,nosnoop=data,seed=5");
	bring_up();
	nsdk_cache_model_reset();
	memset(memory + 2 * PAGE, 0xdd, PAGE);
	if (for_device)
		write_lines(memory + 2 * PAGE, PAGE, true);
	CU_ASSERT(identify());
	if (for_cpu)
		take_back(memory + 2 * PAGE, PAGE);
	if (for_device && for_cpu)
		NSDK_ASSERT_INT(((struct nsdk_nvme_id_ctrl *)(void *)(memory + 2 * PAGE))->sqes, 0x66);
	take();
	found = violations();
	detach();
	return found;
}

static void the_cache_model_watches(void)
{
	NSDK_ASSERT_INT(identify_leaving_out(true, true), 0);
	CU_ASSERT(identify_leaving_out(true, false) > 0);
	CU_ASSERT(identify_leaving_out(false, true) > 0);
}

static void no_snoop_disabled_needs_no_syncs(void)
{
	attach("emu:nvme,size=1M,nosnoop=all,seed=5");
	NSDK_ASSERT_INT(nsdk_device_cfg_write(dev, (unsigned)nsdk_device_cfg_find_cap(dev,
									PCI_CAP_ID_EXP) +
							   PCI_EXP_DEVCTL, 2, 0), 0);
	bring_up();
	nsdk_cache_model_reset();
	CU_ASSERT(identify());
	NSDK_ASSERT_INT(((struct nsdk_nvme_id_ctrl *)(void *)(memory + 2 * PAGE))->sqes, 0x66);
	take();
	NSDK_ASSERT_INT(violations(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(attaches_and_says_what_it_is),
	NSDK_UNIT_TEST(verdict_follows_the_option),
	NSDK_UNIT_TEST(wrong_words_are_refused),
	NSDK_UNIT_TEST(every_failure_is_undone),
	NSDK_UNIT_TEST(a_driver_gets_through),
	NSDK_UNIT_TEST(no_dma_before_bus_mastering),
	NSDK_UNIT_TEST(bars_are_what_they_are),
	NSDK_UNIT_TEST(interrupts),
	NSDK_UNIT_TEST(a_removal_can_be_waited_for),
	NSDK_UNIT_TEST(only_a_model_with_a_thread_works_alone),
	NSDK_UNIT_TEST(a_reset_keeps_the_policy),
	NSDK_UNIT_TEST(a_device_may_be_pulled_out),
	NSDK_UNIT_TEST(iova_width_is_the_options),
	NSDK_UNIT_TEST(an_address_space_may_be_shared),
	NSDK_UNIT_TEST(the_cache_model_watches),
	NSDK_UNIT_TEST(no_snoop_disabled_needs_no_syncs),
};

NSDK_UNIT_MAIN("lib/bus/emu", tests, .before = before, .after = after)
