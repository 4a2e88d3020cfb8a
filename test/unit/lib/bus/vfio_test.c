/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "fake_pci.h"
#include "lib/bus/bus_internal.h"

static struct nsdk_device *dev;

static void before(void)
{
	dev = NULL;
	fake_lab_start();
}

static void after(void)
{
	nsdk_device_detach(dev);
	unsetenv("NSDK_IOMMU");
	fake_lab_stop();
}

/* An attach that must fail: nothing is left of it, and what was bound is given back. */
static int refused(const struct nsdk_device_opts *opts)
{
	int rc = fake_attach(0, opts, &dev);

	CU_ASSERT_PTR_NULL(dev);
	NSDK_ASSERT_TEXT(fake_functions[0].driver, "nvme");
	CU_ASSERT_TRUE(fake_kernel_is_idle());
	return rc;
}

static unsigned command(unsigned number)
{
	return fake.devices[number].config[PCI_COMMAND] |
	       (unsigned)fake.devices[number].config[PCI_COMMAND + 1] << 8;
}

/* ---- what an attach gives ---- */

static void cdev_is_taken_and_given_back(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_TEXT(nsdk_device_name(dev), "pci:0000:00:03.0");
	NSDK_ASSERT_TEXT(nsdk_device_bus_name(dev), "vfio-cdev");
	NSDK_ASSERT_INT(nsdk_device_numa_node(dev), 1);
	NSDK_ASSERT_INT(nsdk_device_verdict(dev)->state, NSDK_SNOOP_PERMITTED);
	NSDK_ASSERT_INT(nsdk_device_fd(dev), fake.devices[0].fd);
	NSDK_ASSERT_TEXT(fake_functions[0].driver, "vfio-pci");
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	nsdk_device_detach(dev);
	dev = NULL;
	NSDK_ASSERT_TEXT(fake_functions[0].driver, "nvme");
	NSDK_ASSERT_INT(fake_functions[0].restores, 1);
	NSDK_ASSERT_INT(fake.devices[0].resets, 1);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void group_is_taken_and_given_back(void)
{
	setenv("NSDK_IOMMU", "type1", 1);
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_TEXT(nsdk_device_bus_name(dev), "vfio-group");
	NSDK_ASSERT_INT(nsdk_device_verdict(dev)->state, NSDK_SNOOP_PERMITTED);
	nsdk_device_detach(dev);
	dev = NULL;
	NSDK_ASSERT_TEXT(fake_functions[0].driver, "nvme");
	NSDK_ASSERT_INT(fake.devices[0].resets, 1);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void enforced_is_reported(void)
{
	fake.devices[0].enforces = true;
	fake.devices[0].ecap |= 0x80;
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_INT(nsdk_device_verdict(dev)->state, NSDK_SNOOP_ENFORCED);
	CU_ASSERT_PTR_NOT_NULL(strstr(nsdk_device_verdict(dev)->reason, "IOMMU enforces snooping"));
}

static void no_dma_after_attach(void)
{
	for (unsigned way = 0; way < 2; way++) {
		setenv("NSDK_IOMMU", way == 0 ? "iommufd" : "type1", 1);
		fake.devices[0].keeps_master = true;
		fake.devices[0].config[PCI_COMMAND] = PCI_COMMAND_MASTER;
		CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
		NSDK_ASSERT_INT(command(0), PCI_COMMAND_MEMORY);
		/* And none when it is let go, whatever the driver left. */
		NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, true), 0);
		NSDK_ASSERT_INT(command(0), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		nsdk_device_detach(dev);
		dev = NULL;
		NSDK_ASSERT_INT(command(0), PCI_COMMAND_MEMORY);
		CU_ASSERT_FALSE(fake.devices[0].master_at_reset);
		CU_ASSERT_FALSE(fake.devices[0].dma_possible_at_close);
	}
}

static void no_dma_after_detach_without_a_reset(void)
{
	fake.devices[0].no_reset = true;
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, true), 0);
	nsdk_device_detach(dev);
	dev = NULL;
	NSDK_ASSERT_INT(command(0), PCI_COMMAND_MEMORY);
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void bound_by_the_user_stays_bound(void)
{
	const struct nsdk_device_opts no_bind = {.opts_bytes = sizeof(no_bind)};

	fake_functions[0].driver = "vfio-pci";
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, &no_bind, &dev), 0);
	nsdk_device_detach(dev);
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	nsdk_device_detach(dev);
	CU_ASSERT_EQUAL_FATAL(nsdk_device_attach("pci:00:03.0", NULL, &dev), 0);
	nsdk_device_detach(dev);
	dev = NULL;
	NSDK_ASSERT_TEXT(fake_functions[0].driver, "vfio-pci");
	NSDK_ASSERT_INT(fake_functions[0].restores, 0);
}

static void variant_of_vfio_pci_is_taken_as_it_is(void)
{
	setenv("NSDK_IOMMU", "type1", 1);
	fake_functions[0].driver = "mlx5_vfio_pci";
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_INT(fake_functions[0].binds, 0);
}

static void old_kernel_without_cdev_gets_the_group(void)
{
	fake.devices[0].cdev = -1;
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_TEXT(nsdk_device_bus_name(dev), "vfio-group");
}

/* ---- refusals, each one sentence ---- */

static void bound_elsewhere(void)
{
	const struct nsdk_device_opts no_bind = {.opts_bytes = sizeof(no_bind)};

	NSDK_ASSERT_INT(refused(&no_bind), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE(
		"0000:00:03.0 is bound to the kernel driver nvme; run 'nsdk bind 0000:00:03.0' first");
	fake_functions[0].driver = "";
	NSDK_ASSERT_INT(fake_attach(0, &no_bind, &dev), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("is bound to no driver; run 'nsdk bind 0000:00:03.0' first");
}

static void without_iommu(void)
{
	fake.devices[0].group = -1;
	NSDK_ASSERT_INT(refused(NULL), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("refusing 0000:00:03.0: no IOMMU");
	NSDK_ASSERT_INT(fake_functions[0].binds, 0);
}

static void noiommu_mode(void)
{
	fake.devices[0].noiommu = true;
	NSDK_ASSERT_INT(refused(NULL), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("no IOMMU");
	/* With a group, as VFIO makes one for it. */
	fake_functions[0].driver = "vfio-pci";
	NSDK_ASSERT_INT(fake_attach(0, NULL, &dev), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("no IOMMU");
	CU_ASSERT_TRUE(fake_kernel_is_idle());
}

static void forced_iommufd_without_cdev(void)
{
	setenv("NSDK_IOMMU", "iommufd", 1);
	fake.devices[0].cdev = -1;
	NSDK_ASSERT_INT(refused(NULL), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("NSDK_IOMMU=type1");
}

static void wrong_word_in_the_environment(void)
{
	setenv("NSDK_IOMMU", "vfio", 1);
	NSDK_ASSERT_INT(refused(NULL), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("NSDK_IOMMU=vfio is not understood");
}

static void without_permission(void)
{
	fake.denied_path = "/dev/vfio/devices/vfio0";
	NSDK_ASSERT_INT(refused(NULL), -EACCES);
	CU_ASSERT_TRUE(nsdk_unit_log_has("SUBSYSTEM==\"vfio-dev\""));
	NSDK_ASSERT_ONE_SENTENCE("chgrp GROUP /dev/vfio/devices/vfio0");
	setenv("NSDK_IOMMU", "type1", 1);
	fake.denied_path = "/dev/vfio/7";
	NSDK_ASSERT_INT(refused(NULL), -EACCES);
	NSDK_ASSERT_ONE_SENTENCE("chgrp GROUP /dev/vfio/7");
}

static void without_its_file(void)
{
	fake.missing_path = "/dev/vfio/devices/vfio0";
	NSDK_ASSERT_INT(refused(NULL), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("/dev/vfio/devices/vfio0");
	setenv("NSDK_IOMMU", "type1", 1);
	fake.missing_path = "/dev/vfio/7";
	NSDK_ASSERT_INT(refused(NULL), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("/dev/vfio/7");
}

static void opened_by_another_process(void)
{
	fake.devices[0].busy = true;
	NSDK_ASSERT_INT(refused(NULL), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:03.0 is in use");
	setenv("NSDK_IOMMU", "type1", 1);
	NSDK_ASSERT_INT(refused(NULL), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:03.0 is in use: its IOMMU group 7 is open already");
}

static void attached_twice(void)
{
	struct nsdk_device *again = NULL;

	for (unsigned way = 0; way < 2; way++) {
		setenv("NSDK_IOMMU", way == 0 ? "iommufd" : "type1", 1);
		CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
		NSDK_ASSERT_INT(fake_attach(0, NULL, &again), -EBUSY);
		NSDK_ASSERT_ONE_SENTENCE("attached already, by this program");
		NSDK_ASSERT_TEXT(fake_functions[0].driver, "vfio-pci");
		nsdk_device_detach(dev);
		dev = NULL;
	}
}

static void unsafe_interrupts(void)
{
	fake.devices[0].unsafe_interrupts = true;
	NSDK_ASSERT_INT(refused(NULL), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("iommufd.allow_unsafe_interrupts=1");
	setenv("NSDK_IOMMU", "type1", 1);
	NSDK_ASSERT_INT(refused(NULL), -EPERM);
	NSDK_ASSERT_ONE_SENTENCE("vfio_iommu_type1.allow_unsafe_interrupts=1");
}

static void words_that_name_nothing(void)
{
	NSDK_ASSERT_INT(nsdk_device_attach("pci:0000:00:1f.7", NULL, &dev), -ENODEV);
	NSDK_ASSERT_ONE_SENTENCE("0000:00:1f.7");
	NSDK_ASSERT_INT(nsdk_device_attach("pci:banana", NULL, &dev), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("'banana' is no PCI address");
	NSDK_ASSERT_INT(nsdk_device_attach("banana", NULL, &dev), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("'banana' names no device");
}

/* ---- address spaces from outside ---- */

static void given_address_space_is_shared(void)
{
	struct nsdk_device_opts opts = {.opts_bytes = sizeof(opts), .bind = true};
	struct nsdk_iommu *iommu;
	struct nsdk_device *second;

	fake_kernel_add_device();
	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_IOMMUFD, &iommu), 0);
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(iommu, &opts.ioas), 0);
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, &opts, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(fake_attach(1, &opts, &second), 0);
	CU_ASSERT_PTR_EQUAL(nsdk_device_ioas(dev), opts.ioas);
	CU_ASSERT_PTR_EQUAL(nsdk_device_ioas(second), opts.ioas);
	nsdk_device_detach(second);
	nsdk_device_detach(dev);
	dev = NULL;
	/* It is the caller's to destroy. */
	NSDK_ASSERT_INT(fake.open_fds, 1);
	nsdk_ioas_destroy(opts.ioas);
	nsdk_iommu_close(iommu);
}

static void own_address_spaces_share_a_handle(void)
{
	struct nsdk_device *second;

	fake_kernel_add_device();
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	CU_ASSERT_EQUAL_FATAL(fake_attach(1, NULL, &second), 0);
	CU_ASSERT_PTR_NOT_EQUAL(nsdk_device_ioas(dev), nsdk_device_ioas(second));
	CU_ASSERT_PTR_EQUAL(nsdk_ioas_iommu(nsdk_device_ioas(dev)),
			    nsdk_ioas_iommu(nsdk_device_ioas(second)));
	CU_ASSERT_NOT_EQUAL(fake.devices[0].hwpt, fake.devices[1].hwpt);
	nsdk_device_detach(dev);
	dev = NULL;
	nsdk_device_detach(second);
}

static void soft_address_space_is_refused(void)
{
	struct nsdk_device_opts opts = {.opts_bytes = sizeof(opts), .bind = true};
	struct nsdk_iommu *soft;

	CU_ASSERT_EQUAL_FATAL(nsdk_iommu_open(NSDK_IOMMU_SOFT, &soft), 0);
	opts.iommu = soft;
	NSDK_ASSERT_INT(refused(&opts), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("soft address space");
	CU_ASSERT_EQUAL_FATAL(nsdk_ioas_create(soft, &opts.ioas), 0);
	NSDK_ASSERT_INT(refused(&opts), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("soft address space");
	nsdk_ioas_destroy(opts.ioas);
	nsdk_iommu_close(soft);
}

/* ---- reset ---- */

static void reset_turns_dma_off(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_INT(nsdk_device_set_bus_master(dev, true), 0);
	NSDK_ASSERT_INT(nsdk_device_reset(dev), 0);
	NSDK_ASSERT_INT(fake.devices[0].resets, 1);
	CU_ASSERT_FALSE(fake.devices[0].master_at_reset);
	NSDK_ASSERT_INT(command(0) & PCI_COMMAND_MASTER, 0);
}

static void reset_waits_for_the_kernel(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	fake.devices[0].reset_again = 3;
	NSDK_ASSERT_INT(nsdk_device_reset(dev), 0);
	NSDK_ASSERT_INT(fake.devices[0].resets, 1);
	/* But not for ever. */
	fake.devices[0].reset_again = 1000000;
	NSDK_ASSERT_INT(nsdk_device_reset(dev), -EAGAIN);
	NSDK_ASSERT_ONE_SENTENCE("cannot reset pci:0000:00:03.0");
	fake.devices[0].reset_again = 0;
}

static void function_without_reset(void)
{
	fake.devices[0].no_reset = true;
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_INT(nsdk_device_reset(dev), -EOPNOTSUPP);
	NSDK_ASSERT_ONE_SENTENCE("no function-level reset");
}

/* ---- every call fails once ---- */

/* What does not make an attach fail: the verdict's questions, and a way that AUTO goes around. */
static bool is_tolerated(bool forced)
{
	return fake.failed_request == IOMMU_VFIO_IOAS || fake.failed_request == VFIO_CHECK_EXTENSION ||
	       fake.failed_request == IOMMU_GET_HW_INFO ||
	       (!forced && strcmp(fake.failed_call, "open") == 0) ||
	       nsdk_device_verdict(dev)->state == NSDK_SNOOP_UNKNOWN;
}

static unsigned sweep(const char *forced, bool bind)
{
	const struct nsdk_device_opts opts = {.opts_bytes = sizeof(opts), .bind = bind};
	const char *driver = bind ? "nvme" : "vfio-pci";
	nsdk_iova_t iova;
	unsigned rounds = 0;

	setenv("NSDK_IOMMU", forced, 1);
	fake_functions[0].driver = driver;
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++, rounds++) {
		int rc;

		nsdk_unit_log_clear();
		fake.failed_request = 0;
		fake.failed_call = "";
		rc = fake_attach(0, &opts, &dev);
		if (rc == 0) {
			rc = nsdk_ioas_map(nsdk_device_ioas(dev), (void *)0x7f0000200000, 4096,
					   NSDK_IOAS_RW, false, &iova);
			if (rc != 0) {
				nsdk_device_detach(dev);
				dev = NULL;
			}
		}
		if (rc != 0) {
			CU_ASSERT_TRUE(nsdk_unit_failed());
			CU_ASSERT(rc == -EIO || rc == -ENODEV);
			NSDK_ASSERT_INT(nsdk_unit_log_count(), 1);
			CU_ASSERT_PTR_NULL(dev);
			NSDK_ASSERT_TEXT(fake_functions[0].driver, driver);
			if (!fake_kernel_is_idle())
				printf("# left behind in round %u by a failed %s 0x%lx\n", n,
				       fake.failed_call, fake.failed_request);
			CU_ASSERT_TRUE(fake_kernel_is_idle());
			continue;
		}
		if (nsdk_unit_failed() && !is_tolerated(forced[0] != '\0')) {
			printf("# swallowed in round %u: %s 0x%lx\n", n, fake.failed_call,
			       fake.failed_request);
			CU_FAIL("a failure was swallowed");
		}
		NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
		CU_ASSERT(nsdk_device_verdict(dev)->state == NSDK_SNOOP_PERMITTED ||
			  (nsdk_unit_failed() && nsdk_device_verdict(dev)->state == NSDK_SNOOP_UNKNOWN));
		nsdk_device_detach(dev);
		dev = NULL;
		/* On the way back a call fails too in the last rounds: what the kernel does not take
		 * back ends with its file. */
		if (nsdk_unit_failed())
			fake.objects_left = 0;
		if (nsdk_unit_failed() && strcmp(forced, "type1") == 0)
			fake.misuses = 0;
		CU_ASSERT_TRUE(fake_kernel_is_idle());
		NSDK_ASSERT_TEXT(fake_functions[0].driver, driver);
		fake.devices[0].dma_possible_at_close = false;
	}
	unsetenv("NSDK_IOMMU");
	return rounds;
}

static void every_call_may_fail_by_cdev(void)
{
	CU_ASSERT(sweep("iommufd", true) > 30);
	CU_ASSERT(sweep("iommufd", false) > 28);
}

static void every_call_may_fail_by_group(void)
{
	CU_ASSERT(sweep("type1", true) > 30);
	CU_ASSERT(sweep("type1", false) > 28);
}

static void every_call_may_fail_when_nothing_is_forced(void)
{
	CU_ASSERT(sweep("", true) > 30);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(cdev_is_taken_and_given_back),
	NSDK_UNIT_TEST(group_is_taken_and_given_back),
	NSDK_UNIT_TEST(enforced_is_reported),
	NSDK_UNIT_TEST(no_dma_after_attach),
	NSDK_UNIT_TEST(no_dma_after_detach_without_a_reset),
	NSDK_UNIT_TEST(bound_by_the_user_stays_bound),
	NSDK_UNIT_TEST(variant_of_vfio_pci_is_taken_as_it_is),
	NSDK_UNIT_TEST(old_kernel_without_cdev_gets_the_group),
	NSDK_UNIT_TEST(bound_elsewhere),
	NSDK_UNIT_TEST(without_iommu),
	NSDK_UNIT_TEST(noiommu_mode),
	NSDK_UNIT_TEST(forced_iommufd_without_cdev),
	NSDK_UNIT_TEST(wrong_word_in_the_environment),
	NSDK_UNIT_TEST(without_permission),
	NSDK_UNIT_TEST(without_its_file),
	NSDK_UNIT_TEST(opened_by_another_process),
	NSDK_UNIT_TEST(attached_twice),
	NSDK_UNIT_TEST(unsafe_interrupts),
	NSDK_UNIT_TEST(words_that_name_nothing),
	NSDK_UNIT_TEST(given_address_space_is_shared),
	NSDK_UNIT_TEST(own_address_spaces_share_a_handle),
	NSDK_UNIT_TEST(soft_address_space_is_refused),
	NSDK_UNIT_TEST(reset_turns_dma_off),
	NSDK_UNIT_TEST(reset_waits_for_the_kernel),
	NSDK_UNIT_TEST(function_without_reset),
	NSDK_UNIT_TEST(every_call_may_fail_by_cdev),
	NSDK_UNIT_TEST(every_call_may_fail_by_group),
	NSDK_UNIT_TEST(every_call_may_fail_when_nothing_is_forced),
};

NSDK_UNIT_MAIN("lib/bus/vfio", tests, .before = before, .after = after)
