/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <string.h>

#include "lib/bus/bus_internal.h"

static struct nsdk_device *dev;

static void before(void)
{
	dev = NULL;
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_device_detach(dev);
	nsdk_unit_log_stop();
}

static void emulated_device_by_its_words(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme,size=16M", NULL, &dev), 0);
	NSDK_ASSERT_TEXT(nsdk_device_name(dev), "emu:nvme,size=16M");
	NSDK_ASSERT_TEXT(nsdk_device_bus_name(dev), "emu");
	NSDK_ASSERT_INT(nsdk_device_numa_node(dev), -1);
	NSDK_ASSERT_INT(nsdk_device_fd(dev), -1);
	NSDK_ASSERT_INT(nsdk_device_verdict(dev)->state, NSDK_SNOOP_ENFORCED);
	NSDK_ASSERT_INT(nsdk_iommu_backend_of(nsdk_ioas_iommu(nsdk_device_ioas(dev))),
			NSDK_IOMMU_SOFT);
	nsdk_device_poll(dev);
	CU_ASSERT_FALSE(nsdk_device_check(dev));
}

static void words_that_name_nothing(void)
{
	static const char *const words[] = {"", "pci", "emu", "nvme0", "0000:00:03", "usb:1-1"};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		NSDK_ASSERT_INT(nsdk_device_attach(words[i], NULL, &dev), -EINVAL);
		CU_ASSERT_PTR_NULL(dev);
		NSDK_ASSERT_ONE_SENTENCE("names no device");
	}
	CU_ASSERT(nsdk_device_attach("emu:", NULL, &dev) < 0);
	NSDK_ASSERT_ONE_SENTENCE("emu:");
	NSDK_ASSERT_INT(nsdk_device_attach("pci:", NULL, &dev), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("is no PCI address");
}

static void options_of_older_and_newer_programs(void)
{
	struct {
		struct nsdk_device_opts known;
		uint64_t unknown;
	} newer = {.known.opts_bytes = sizeof(newer)};
	struct nsdk_device_opts older = {
		.opts_bytes = offsetof(struct nsdk_device_opts, ioas),
		.ioas = (struct nsdk_ioas *)0x1000, /* beyond what an older program has */
	};

	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme", &newer.known, &dev), 0);
	nsdk_device_detach(dev);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme", &older, &dev), 0);
	nsdk_device_detach(dev);
	newer.unknown = 1;
	NSDK_ASSERT_INT(nsdk_device_attach("emu:nvme", &newer.known, &dev), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("newer library");
}

static void gone_is_said_once(void)
{
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme", NULL, &dev), 0);
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	nsdk_device_set_gone(dev, "somebody tripped over the cable");
	nsdk_device_set_gone(dev, "and again");
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	NSDK_ASSERT_ONE_SENTENCE("emu:nvme is gone: somebody tripped over the cable");
}

static void gone_reads_all_ones(void)
{
	struct nsdk_bar bar;

	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme", NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_bar(dev, 0, &bar), 0);
	/* VS, the version that the controller follows. */
	CU_ASSERT(nsdk_device_read32(dev, &bar, 8) >= 0x10400);
	CU_ASSERT_NOT_EQUAL(nsdk_device_read64(dev, &bar, 0), UINT64_MAX);
	nsdk_device_set_gone(dev, "a test says so");
	CU_ASSERT_EQUAL(nsdk_device_read32(dev, &bar, 8), UINT32_MAX);
	CU_ASSERT_EQUAL(nsdk_device_read64(dev, &bar, 0), UINT64_MAX);
	nsdk_device_write32(dev, &bar, 0x14, 1);
}

static void address_space_can_be_shared(void)
{
	struct nsdk_device_opts opts = {.opts_bytes = sizeof(opts)};
	struct nsdk_device *first;

	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme", NULL, &first), 0);
	opts.ioas = nsdk_device_ioas(first);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("emu:nvme", &opts, &dev), 0);
	CU_ASSERT_PTR_EQUAL(nsdk_device_ioas(dev), nsdk_device_ioas(first));
	nsdk_device_detach(dev);
	dev = NULL;
	nsdk_device_detach(first);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

/* Any place and length; what is beside it stays. */
static void copies_behind_a_bar(void)
{
	_Alignas(8) uint8_t bar[64], from[64], back[64];

	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i + 1);
	for (unsigned to = 0; to < 9; to++)
		for (unsigned at = 0; at < 9; at++)
			for (unsigned bytes = 0; bytes < 40; bytes++) {
				memset(bar, 0xee, sizeof(bar));
				memset(back, 0xdd, sizeof(back));
				nsdk_bar_copy_to(bar + to, from + at, bytes);
				nsdk_bar_copy_from(back + at, bar + to, bytes);
				CU_ASSERT(memcmp(bar + to, from + at, bytes) == 0);
				CU_ASSERT(memcmp(back + at, from + at, bytes) == 0);
				CU_ASSERT((to == 0 || bar[to - 1] == 0xee) && bar[to + bytes] == 0xee);
				CU_ASSERT((at == 0 || back[at - 1] == 0xdd) && back[at + bytes] == 0xdd);
			}
}

static void detach_of_nothing(void)
{
	nsdk_device_detach(NULL);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(emulated_device_by_its_words),
	NSDK_UNIT_TEST(words_that_name_nothing),
	NSDK_UNIT_TEST(options_of_older_and_newer_programs),
	NSDK_UNIT_TEST(gone_is_said_once),
	NSDK_UNIT_TEST(gone_reads_all_ones),
	NSDK_UNIT_TEST(address_space_can_be_shared),
	NSDK_UNIT_TEST(copies_behind_a_bar),
	NSDK_UNIT_TEST(detach_of_nothing),
};

NSDK_UNIT_MAIN("lib/bus/bus", tests, .before = before, .after = after)
