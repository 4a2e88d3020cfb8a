/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "fake_pci.h"
#include "lib/bus/bus_internal.h"

static struct nsdk_device *dev;
static struct nsdk_bar bar;

static void before(void)
{
	fake_lab_start();
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
}

static void after(void)
{
	nsdk_device_detach(dev);
	fake_lab_stop();
}

static void map_bar0(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_device_bar(dev, 0, &bar), 0);
	NSDK_ASSERT_INT(bar.bytes, 16384);
}

/* As the device has it. */
static uint32_t device_register(size_t offset)
{
	uint32_t value;

	memcpy(&value, (char *)fake_kernel_bar0(0) + offset, sizeof(value));
	return value;
}

static void set_device_register(size_t offset, uint32_t value)
{
	memcpy((char *)fake_kernel_bar0(0) + offset, &value, sizeof(value));
}

static void registers_are_the_devices(void)
{
	map_bar0();
	nsdk_device_write32(dev, &bar, 0x14, 0x12345678);
	NSDK_ASSERT_INT(device_register(0x14), 0x12345678);
	set_device_register(0x1c, 0x9);
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &bar, 0x1c), 0x9);
	nsdk_device_write64(dev, &bar, 0x28, 0x1122334455667788);
	NSDK_ASSERT_INT(device_register(0x28), 0x55667788);
	NSDK_ASSERT_INT(device_register(0x2c), 0x11223344);
	NSDK_ASSERT_INT(nsdk_device_read64(dev, &bar, 0x28), 0x1122334455667788);
	/* A doorbell is a plain store. */
	*(volatile uint32_t *)((volatile char *)bar.base + 0x1000) = 7;
	NSDK_ASSERT_INT(device_register(0x1000), 7);
}

static void mapped_once(void)
{
	struct nsdk_bar again;

	map_bar0();
	CU_ASSERT_EQUAL_FATAL(nsdk_device_bar(dev, 0, &again), 0);
	CU_ASSERT_PTR_EQUAL(again.base, bar.base);
	NSDK_ASSERT_INT(fake.mmaps, 1);
}

static void bars_that_are_not_there(void)
{
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 4, &bar), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("pci:0000:00:03.0 has no BAR 4");
	CU_ASSERT_PTR_NULL(bar.base);
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 6, &bar), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("has no BAR 6");
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 2, &bar), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("I/O ports");
}

static void bar_that_cannot_be_mapped(void)
{
	fake.devices[0].bar_not_mappable = true;
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 0, &bar), -EOPNOTSUPP);
	NSDK_ASSERT_ONE_SENTENCE("cannot be mapped");
}

static void registers_outside_are_refused(void)
{
	map_bar0();
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 16384), UINT32_MAX);
	nsdk_unit_log_clear();
	CU_ASSERT_EQUAL(nsdk_device_read64(dev, &bar, 16380), UINT64_MAX);
	nsdk_unit_log_clear();
	nsdk_device_write32(dev, &bar, SIZE_MAX - 3, 1);
	NSDK_ASSERT_ONE_SENTENCE("no register of 4 bytes");
	nsdk_device_write32(dev, &bar, 2, 1);
	NSDK_ASSERT_ONE_SENTENCE("no register of 4 bytes at offset 0x2");
	bar.bytes = 2;
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 0), UINT32_MAX);
	NSDK_ASSERT_ONE_SENTENCE("of a BAR of 2 bytes");
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
}

/* As before Linux 4.16: the second page has the MSI-X table. */
static void use_sparse_bar(void)
{
	fake.devices[0].sparse[0] = (struct nsdk_iova_range){0, 4095};
	fake.devices[0].sparse[1] = (struct nsdk_iova_range){8192, 16383};
	fake.devices[0].sparse_count = 2;
}

static void gaps_are_reached_by_calls(void)
{
	use_sparse_bar();
	map_bar0();
	set_device_register(0x1010, 0xabcd);
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &bar, 0x1010), 0xabcd);
	nsdk_device_write32(dev, &bar, 0x1ffc, 0x77);
	NSDK_ASSERT_INT(device_register(0x1ffc), 0x77);
	nsdk_device_write64(dev, &bar, 0x1800, 0x1122334455667788);
	NSDK_ASSERT_INT(nsdk_device_read64(dev, &bar, 0x1800), 0x1122334455667788);
	/* What is mapped is reached directly. */
	set_device_register(0xffc, 0x5);
	set_device_register(0x2000, 0x6);
	NSDK_ASSERT_INT(*(volatile uint32_t *)((volatile char *)bar.base + 0xffc), 0x5);
	NSDK_ASSERT_INT(*(volatile uint32_t *)((volatile char *)bar.base + 0x2000), 0x6);
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &bar, 0x2000), 0x6);
	nsdk_device_write32(dev, &bar, 0x3ffc, 0x8);
	NSDK_ASSERT_INT(device_register(0x3ffc), 0x8);
}

/* A table of 8 vectors, and their pending bits. */
static void put_msix(uint32_t table, uint32_t pending)
{
	uint8_t *cap = &fake.devices[0].config[0x40];

	cap[PCI_MSIX_FLAGS] = 7;
	cap[PCI_MSIX_FLAGS + 1] = 0;
	memcpy(cap + PCI_MSIX_TABLE, &table, sizeof(table));
	memcpy(cap + PCI_MSIX_PBA, &pending, sizeof(pending));
}

static void what_is_memory_of_a_bar_is_told(void)
{
	put_msix(0x1000, 0x2000);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0, 0x1000), 0);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0, 0x1001), -EADDRINUSE);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x107f, 0x100), -EADDRINUSE);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x1080, 0xf80), 0);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x1080, 0xf81), -EADDRINUSE);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x2007, 1), -EADDRINUSE);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x2008, 0x1ff8), 0);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x2008, 0x1ff9), -ERANGE);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, SIZE_MAX, 2), -ERANGE);
	/* In another BAR they are nobody's business. */
	put_msix(0x1004, 0x2004);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0, 0x4000), 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 4, 0, 1), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("has no BAR 4");
}

static void a_gap_is_no_memory(void)
{
	use_sparse_bar();
	put_msix(4, 4);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0, 0x1000), 0);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x2000, 0x2000), 0);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0xfff, 2), -EACCES);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x1000, 0x1000), -EACCES);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0x1fff, 0x1000), -EACCES);
	NSDK_ASSERT_INT(nsdk_device_bar_check(dev, 0, 0, 0x4000), -EACCES);
}

static void nonsense_from_the_kernel_is_an_error(void)
{
	use_sparse_bar();
	fake.broken_caps = true;
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 0, &bar), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("makes no sense");
	fake.broken_caps = false;
	fake.devices[0].sparse[1].last = 20000;
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 0, &bar), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("makes no sense");
	for (unsigned i = 0; i < 6; i++)
		fake.devices[0].sparse[i] = (struct nsdk_iova_range){0, 4095};
	fake.devices[0].sparse_count = 6;
	NSDK_ASSERT_INT(nsdk_device_bar(dev, 0, &bar), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("makes no sense");
}

static void every_call_may_fail(void)
{
	for (unsigned sparse = 0; sparse < 2; sparse++) {
		unsigned rounds = 0;

		if (sparse == 1)
			use_sparse_bar();
		for (unsigned n = 1; nsdk_unit_fail_next(n); n++, rounds++) {
			int rc = nsdk_device_bar(dev, 0, &bar);

			if (nsdk_unit_failed()) {
				NSDK_ASSERT_INT(rc, -EIO);
				NSDK_ASSERT_ONE_SENTENCE("BAR 0");
				NSDK_ASSERT_INT(fake.mmaps, 0);
			} else {
				NSDK_ASSERT_INT(rc, 0);
			}
		}
		NSDK_ASSERT_INT(rounds, sparse == 0 ? 4 : 7);
		nsdk_device_detach(dev);
		dev = NULL;
		CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	}
}

/* ---- vanished devices ---- */

static void all_ones_of_a_device_that_is_there(void)
{
	map_bar0();
	set_device_register(0x1c, UINT32_MAX);
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 0x1c), UINT32_MAX);
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void all_ones_of_a_device_that_is_gone(void)
{
	map_bar0();
	memset(fake_kernel_bar0(0), 0xff, 4096);
	fake.devices[0].vanished = true;
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 0x1c), UINT32_MAX);
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	NSDK_ASSERT_ONE_SENTENCE("pci:0000:00:03.0 is gone: its registers read all ones");
	/* From now on it is not touched. */
	set_device_register(0x1c, 1);
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 0x1c), UINT32_MAX);
	CU_ASSERT_EQUAL(nsdk_device_read64(dev, &bar, 0x18), UINT64_MAX);
	nsdk_device_write32(dev, &bar, 0x1c, 5);
	NSDK_ASSERT_INT(device_register(0x1c), 1);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void sixty_four_ones_are_looked_at_too(void)
{
	map_bar0();
	memset(fake_kernel_bar0(0), 0xff, 4096);
	fake.devices[0].vanished = true;
	CU_ASSERT_EQUAL(nsdk_device_read64(dev, &bar, 0), UINT64_MAX);
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
}

/* Nobody touches its registers: config space tells. */
static void one_that_vanishes_unnoticed(void)
{
	CU_ASSERT_FALSE(nsdk_device_check(dev));
	fake.devices[0].vanished = true;
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
	NSDK_ASSERT_ONE_SENTENCE("its registers read all ones");
}

static void one_that_vanishes_before_a_reset(void)
{
	fake.devices[0].vanished = true;
	NSDK_ASSERT_INT(nsdk_device_reset(dev), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("its registers read all ones");
}

/* What touches the registers from now on gets a SIGBUS, as when the kernel has taken them away. */
static void take_registers_away(void)
{
	CU_ASSERT_FATAL(ftruncate(fake.devices[0].memfd, 0) == 0);
}

static void registers_that_are_taken_away(void)
{
	map_bar0();
	take_registers_away();
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 0x1c), UINT32_MAX);
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
	NSDK_ASSERT_ONE_SENTENCE("pci:0000:00:03.0 is gone: the kernel has taken its registers away");
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	CU_ASSERT_EQUAL(nsdk_device_read64(dev, &bar, 0), UINT64_MAX);
	nsdk_device_write32(dev, &bar, 0x14, 0);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

/* A doorbell has no time to look; the next who does finds out. */
static void a_doorbell_that_is_taken_away(void)
{
	map_bar0();
	take_registers_away();
	*(volatile uint32_t *)((volatile char *)bar.base + 0x1000) = 7;
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	NSDK_ASSERT_ONE_SENTENCE("the kernel has taken its registers away");
	/* Attached anew, it is another one. */
	nsdk_device_detach(dev);
	dev = NULL;
	CU_ASSERT_FATAL(ftruncate(fake.devices[0].memfd, 16384) == 0);
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	map_bar0();
	NSDK_ASSERT_INT(nsdk_device_read32(dev, &bar, 0x1000), 0);
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
}

static void no_handler_for_who_has_one(void)
{
	const struct nsdk_device_opts opts = {
		.opts_bytes = sizeof(opts), .bind = true, .no_sigbus_handler = true};
	struct sigaction before_it, with_it;

	sigaction(SIGBUS, NULL, &before_it);
	map_bar0();
	sigaction(SIGBUS, NULL, &with_it);
	CU_ASSERT_PTR_NOT_EQUAL(with_it.sa_sigaction, before_it.sa_sigaction);
	nsdk_device_detach(dev);
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, &opts, &dev), 0);
	map_bar0();
	sigaction(SIGBUS, NULL, &with_it);
	CU_ASSERT_PTR_EQUAL(with_it.sa_sigaction, before_it.sa_sigaction);
	take_registers_away();
	CU_ASSERT_TRUE(nsdk_sigbus_handle(BUS_ADRERR, (char *)bar.base + 0x1c));
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 0x1c), UINT32_MAX);
	NSDK_ASSERT_ONE_SENTENCE("the kernel has taken its registers away");
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(registers_are_the_devices),
	NSDK_UNIT_TEST(mapped_once),
	NSDK_UNIT_TEST(bars_that_are_not_there),
	NSDK_UNIT_TEST(bar_that_cannot_be_mapped),
	NSDK_UNIT_TEST(registers_outside_are_refused),
	NSDK_UNIT_TEST(gaps_are_reached_by_calls),
	NSDK_UNIT_TEST(what_is_memory_of_a_bar_is_told),
	NSDK_UNIT_TEST(a_gap_is_no_memory),
	NSDK_UNIT_TEST(nonsense_from_the_kernel_is_an_error),
	NSDK_UNIT_TEST(every_call_may_fail),
	NSDK_UNIT_TEST(all_ones_of_a_device_that_is_there),
	NSDK_UNIT_TEST(all_ones_of_a_device_that_is_gone),
	NSDK_UNIT_TEST(sixty_four_ones_are_looked_at_too),
	NSDK_UNIT_TEST(one_that_vanishes_unnoticed),
	NSDK_UNIT_TEST(one_that_vanishes_before_a_reset),
	NSDK_UNIT_TEST(registers_that_are_taken_away),
	NSDK_UNIT_TEST(a_doorbell_that_is_taken_away),
	NSDK_UNIT_TEST(no_handler_for_who_has_one),
};

NSDK_UNIT_MAIN("lib/bus/vfio_bar", tests, .before = before, .after = after)
