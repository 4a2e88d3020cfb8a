/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>

#include "fake_pci.h"
#include "lib/bus/bus_internal.h"
#include "lib/iommu/iommu_internal.h"

static struct nsdk_device *dev;
static int fds[4];

static void before(void)
{
	fake_lab_start();
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	for (unsigned i = 0; i < 4; i++)
		fds[i] = nsdk_sys.eventfd(0, 0);
}

static void after(void)
{
	nsdk_device_detach(dev);
	for (unsigned i = 0; i < 4; i++)
		nsdk_sys.close(fds[i]);
	fake_lab_stop();
}

static void vectors_are_counted(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_count(dev), 8);
}

static void vectors_signal_their_eventfds(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 3), 0);
	NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 3);
	for (unsigned i = 0; i < 3; i++)
		NSDK_ASSERT_INT(fake.devices[0].irq_fds[i], fds[i]);
	NSDK_ASSERT_INT(nsdk_device_irq_disable(dev), 0);
	NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 0);
	NSDK_ASSERT_INT(nsdk_device_irq_disable(dev), 0);
}

static void vector_can_stay_unarmed(void)
{
	const int some[3] = {fds[0], -1, fds[2]};

	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, some, 3), 0);
	NSDK_ASSERT_INT(fake.devices[0].irq_fds[1], -1);
}

static void number_of_vectors_can_change(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 2), 0);
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 4), 0);
	NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 4);
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 1), 0);
	NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 1);
}

static void one_vector_changes_alone(void)
{
	const int none[3] = {-1, -1, -1};

	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 0, fds[0]), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot arm interrupt 0 of pci:0000:00:03.0");
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, none, 3), 0);
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 1, fds[1]), 0);
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 2, fds[2]), 0);
	NSDK_ASSERT_INT(fake.devices[0].irq_fds[0], -1);
	NSDK_ASSERT_INT(fake.devices[0].irq_fds[1], fds[1]);
	NSDK_ASSERT_INT(fake.devices[0].irq_fds[2], fds[2]);
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 1, -1), 0);
	NSDK_ASSERT_INT(fake.devices[0].irq_fds[1], -1);
	NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 3);
	NSDK_ASSERT_INT(nsdk_device_irq_set(dev, 3, -1), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot disarm interrupt 3");
	CU_ASSERT_TRUE(nsdk_device_works_alone(dev));
}

static void one_vector_may_fail(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 2), 0);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc = nsdk_device_irq_set(dev, 1, -1);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(rc, -EIO);
			NSDK_ASSERT_ONE_SENTENCE("cannot disarm interrupt 1");
		} else {
			NSDK_ASSERT_INT(rc, 0);
		}
	}
}

static void wrong_numbers_are_refused(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 0), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("it has 8 MSI-X vectors");
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 9), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cannot arm 9 interrupts");
}

static void system_without_vectors_left(void)
{
	fake.devices[0].msix_limit = 2;
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 4), -ENOSPC);
	NSDK_ASSERT_ONE_SENTENCE("only 2 vectors left");
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 2), 0);
}

static void detach_disarms(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 2), 0);
	nsdk_device_detach(dev);
	dev = NULL;
	NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 0);
}

static void every_call_may_fail(void)
{
	NSDK_ASSERT_INT(nsdk_device_irq_enable(dev, fds, 2), 0);
	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		int rc = nsdk_device_irq_enable(dev, fds, 3);

		if (nsdk_unit_failed()) {
			NSDK_ASSERT_INT(rc, -EIO);
			NSDK_ASSERT_ONE_SENTENCE("interrupts of pci:0000:00:03.0");
		} else {
			NSDK_ASSERT_INT(rc, 0);
			NSDK_ASSERT_INT(fake.devices[0].irqs_armed, 3);
		}
	}
}

/* ---- notices ---- */

static void nothing_is_wrong(void)
{
	CU_ASSERT_FALSE(nsdk_device_check(dev));
	CU_ASSERT_FALSE(nsdk_device_check(dev));
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void device_is_wanted_back(void)
{
	fake_kernel_signal(fake.devices[0].notice_fds[0]);
	/* Seen when somebody looks. */
	CU_ASSERT_FALSE(nsdk_device_is_gone(dev));
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	CU_ASSERT_TRUE(nsdk_device_is_gone(dev));
	/* The kernel asks again and again; it is said once. */
	fake_kernel_signal(fake.devices[0].notice_fds[0]);
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	NSDK_ASSERT_ONE_SENTENCE("being unplugged");
}

static void notices_can_be_waited_for(void)
{
	int notices[NSDK_DEVICE_NOTICES];

	NSDK_ASSERT_INT(nsdk_device_notices(dev, notices), 2);
	for (unsigned i = 0; i < 2; i++)
		NSDK_ASSERT_INT(notices[i], fake.devices[0].notice_fds[i]);
}

/* Its driver is not offered what is being taken away, and is what has only failed. */
static void who_is_given_back(void)
{
	for (unsigned notice = 0; notice < 2; notice++) {
		fake_kernel_signal(fake.devices[0].notice_fds[notice]);
		CU_ASSERT_TRUE(nsdk_device_check(dev));
		nsdk_unit_log_clear();
		nsdk_device_detach(dev);
		dev = NULL;
		NSDK_ASSERT_TEXT(fake_functions[0].driver, notice == 0 ? "" : "nvme");
		CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
		nsdk_device_detach(dev);
		fake_functions[0].driver = "nvme";
		CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	}
}

static void device_has_failed(void)
{
	fake_kernel_signal(fake.devices[0].notice_fds[1]);
	CU_ASSERT_TRUE(nsdk_device_check(dev));
	NSDK_ASSERT_ONE_SENTENCE("PCIe error");
}

static void conventional_pci_has_no_error_notice(void)
{
	nsdk_device_detach(dev);
	fake.devices[0].config[0x80] = 0;
	CU_ASSERT_EQUAL_FATAL(fake_attach(0, NULL, &dev), 0);
	NSDK_ASSERT_INT(fake.devices[0].notice_fds[1], -1);
	CU_ASSERT(fake.devices[0].notice_fds[0] >= 0);
	CU_ASSERT_FALSE(nsdk_device_check(dev));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(vectors_are_counted),
	NSDK_UNIT_TEST(vectors_signal_their_eventfds),
	NSDK_UNIT_TEST(vector_can_stay_unarmed),
	NSDK_UNIT_TEST(number_of_vectors_can_change),
	NSDK_UNIT_TEST(one_vector_changes_alone),
	NSDK_UNIT_TEST(one_vector_may_fail),
	NSDK_UNIT_TEST(wrong_numbers_are_refused),
	NSDK_UNIT_TEST(system_without_vectors_left),
	NSDK_UNIT_TEST(detach_disarms),
	NSDK_UNIT_TEST(every_call_may_fail),
	NSDK_UNIT_TEST(nothing_is_wrong),
	NSDK_UNIT_TEST(device_is_wanted_back),
	NSDK_UNIT_TEST(device_has_failed),
	NSDK_UNIT_TEST(conventional_pci_has_no_error_notice),
	NSDK_UNIT_TEST(notices_can_be_waited_for),
	NSDK_UNIT_TEST(who_is_given_back),
};

NSDK_UNIT_MAIN("lib/bus/vfio_irq", tests, .before = before, .after = after)
