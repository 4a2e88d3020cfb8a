/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Binding against a kernel of our own: writes to driver_override, unbind and drivers_probe move the
 * driver link as the kernel would, or fail when the test wants it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_sysfs.h"
#include "nsdk_unit.h"

#define BDF "0000:00:03.0"
#define DEV "/sys/bus/pci/devices/" BDF

int __wrap_nsdk_pci_file_write(const char *path, const char *text);
int __wrap_nsdk_pci_info(const struct nsdk_pci_addr *addr, struct nsdk_pci_info *out);

static const struct nsdk_pci_addr addr = { 0, 0, 3, 0 };
static struct {
	char driver[64], override[64];
	const char *native; /* the driver that matches the IDs */
	const char *stubborn; /* a driver whose probe fails */
	unsigned late; /* so many probes find no driver, as of a function that is just being added */
	uint32_t class_code;
	unsigned writes;
} kernel;

static void set_driver(const char *driver)
{
	char target[128];

	snprintf(kernel.driver, sizeof(kernel.driver), "%s", driver);
	fake_sysfs_remove(DEV "/driver");
	snprintf(target, sizeof(target), "/sys/bus/pci/drivers/%s", driver);
	if (driver[0] != '\0')
		fake_sysfs_link(DEV "/driver", target);
}

int __wrap_nsdk_pci_info(const struct nsdk_pci_addr *which, struct nsdk_pci_info *out)
{
	memset(out, 0, sizeof(*out));
	out->addr = *which;
	nsdk_pci_addr_format(which, out->bdf);
	out->class_code = kernel.class_code;
	strcpy(out->driver, kernel.driver);
	strcpy(out->driver_override, kernel.override);
	return 0;
}

int __wrap_nsdk_pci_file_write(const char *path, const char *text)
{
	kernel.writes++;
	if (nsdk_unit_fails_now())
		return -EACCES;
	if (strstr(path, "/driver_override") != NULL) {
		snprintf(kernel.override, sizeof(kernel.override), "%s",
			 strcmp(text, "\n") == 0 ? "" : text);
	} else if (strstr(path, "/driver/unbind") != NULL) {
		NSDK_ASSERT_TEXT(text, BDF);
		if (kernel.driver[0] == '\0')
			return -ENOENT;
		set_driver("");
	} else if (strstr(path, "/sys/bus/pci/drivers_probe") != NULL) {
		const char *to = kernel.override[0] != '\0' ? kernel.override : kernel.native;

		NSDK_ASSERT_TEXT(text, BDF);
		if (kernel.driver[0] != '\0')
			return 0;
		if (kernel.late > 0) {
			kernel.late--;
			return 0;
		}
		if (strcmp(to, kernel.stubborn) == 0)
			return -ENXIO;
		set_driver(to);
	} else {
		NSDK_ASSERT_TEXT(path, "(a path that is never written)");
	}
	return 0;
}

static void before(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_sysfs_start(), 0);
	fake_sysfs_dir(DEV);
	fake_sysfs_dir("/sys/bus/pci/drivers/vfio-pci");
	fake_sysfs_dir("/sys/bus/pci/drivers/nvme");
	memset(&kernel, 0, sizeof(kernel));
	kernel.native = "nvme";
	kernel.stubborn = "";
	kernel.class_code = 0x010802;
	set_driver("nvme");
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
	fake_sysfs_stop();
}

static void check_state(const char *driver, const char *override)
{
	NSDK_ASSERT_TEXT(kernel.driver, driver);
	NSDK_ASSERT_TEXT(kernel.override, override);
}

static void check_no_note(void)
{
	CU_ASSERT_FALSE(fake_sysfs_exists("/run/nsdk/bind-" BDF));
}

static void temporary_bind_is_undone_exactly(void)
{
	struct nsdk_pci_restore restore;

	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	check_state("vfio-pci", "vfio-pci");
	CU_ASSERT_TRUE(restore.changed);
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("nvme", "");
	check_no_note();
	NSDK_ASSERT_INT(nsdk_unit_log_count(), 0);
}

static void an_override_of_before_comes_back(void)
{
	struct nsdk_pci_restore restore;

	strcpy(kernel.override, "nvme");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("nvme", "nvme");
}

static void no_driver_of_before_comes_back(void)
{
	struct nsdk_pci_restore restore;

	set_driver("");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	check_state("vfio-pci", "vfio-pci");
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("", "");
}

static void what_the_user_bound_stays(void)
{
	struct nsdk_pci_restore restore;

	set_driver("vfio-pci");
	strcpy(kernel.override, "vfio-pci");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	CU_ASSERT_FALSE(restore.changed);
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("vfio-pci", "vfio-pci");
	NSDK_ASSERT_INT(kernel.writes, 0);
	check_no_note();
}

static void a_killed_run_is_undone_by_the_next(void)
{
	struct nsdk_pci_restore restore;

	/* As a process leaves it that was killed: bound, with its note, and nobody holding the lock. */
	set_driver("vfio-pci");
	strcpy(kernel.override, "vfio-pci");
	fake_sysfs_file("/run/nsdk/bind-" BDF, "nvme\n\n4711\n");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	CU_ASSERT_TRUE(restore.changed);
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("nvme", "");
	check_no_note();
}

static void unbind_follows_the_note_of_a_killed_run(void)
{
	set_driver("vfio-pci");
	strcpy(kernel.override, "vfio-pci");
	kernel.native = "other";
	fake_sysfs_file("/run/nsdk/bind-" BDF, "nvme\n\n4711\n");
	NSDK_ASSERT_INT(nsdk_pci_unbind(&addr), 0);
	check_state("nvme", "");
	check_no_note();
}

static void a_stale_note_of_a_function_that_moved_on_is_dropped(void)
{
	struct nsdk_pci_restore restore;

	/* The note says "other", but since then somebody has bound nvme: nvme is what comes back. */
	fake_sysfs_file("/run/nsdk/bind-" BDF, "other\n\n4711\n");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	NSDK_ASSERT_TEXT(restore.driver, "nvme");
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("nvme", "");
}

static void a_bind_that_stays_leaves_no_note(void)
{
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", NULL), 0);
	check_state("vfio-pci", "vfio-pci");
	check_no_note();
	NSDK_ASSERT_INT(nsdk_pci_unbind(&addr), 0);
	check_state("nvme", "");
}

static void two_at_once_are_kept_apart(void)
{
	struct nsdk_pci_restore one, two;

	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &one), 0);
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &two), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("in use by another NSDK process");
	NSDK_ASSERT_INT(nsdk_pci_unbind(&addr), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("in use by another NSDK process");
	check_state("vfio-pci", "vfio-pci");
	NSDK_ASSERT_INT(nsdk_pci_restore(&one), 0);
	check_state("nvme", "");
}

static void refuses_a_bridge(void)
{
	struct nsdk_pci_restore restore;

	kernel.class_code = 0x060400;
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("is a bridge");
	check_state("nvme", "");
	check_no_note();
}

static void refuses_what_is_in_use(void)
{
	struct nsdk_pci_restore restore;

	fake_sysfs_file("/sys/devices/pci0000:00/" BDF "/nvme/nvme0/nvme0n1/dev", "259:0\n");
	fake_sysfs_link("/sys/class/block/nvme0n1",
			"/sys/devices/pci0000:00/" BDF "/nvme/nvme0/nvme0n1");
	fake_sysfs_file("/proc/self/mountinfo", "30 22 259:0 / /home rw - ext4 /dev/x rw\n");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), -EBUSY);
	NSDK_ASSERT_ONE_SENTENCE("disk nvme0n1, mounted on /home");
	check_state("nvme", "");
	NSDK_ASSERT_INT(kernel.writes, 0);
	check_no_note();
}

static void says_that_the_driver_is_missing(void)
{
	struct nsdk_pci_restore restore;

	fake_sysfs_remove("/sys/bus/pci/drivers/vfio-pci");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("modprobe vfio-pci");
	check_state("nvme", "");
	check_no_note();
}

static void a_driver_that_does_not_take_it_is_undone(void)
{
	struct nsdk_pci_restore restore;

	kernel.stubborn = "vfio-pci";
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), -ENXIO);
	NSDK_ASSERT_ONE_SENTENCE("cannot bind " BDF);
	check_state("nvme", "");
	check_no_note();
}

static void every_write_that_fails_is_undone(void)
{
	struct nsdk_pci_restore restore;
	int rc;

	for (unsigned n = 1; nsdk_unit_fail_next(n); n++) {
		nsdk_unit_log_clear();
		rc = nsdk_pci_bind(&addr, "vfio-pci", &restore);
		if (rc != 0) {
			CU_ASSERT_TRUE(nsdk_unit_failed());
			NSDK_ASSERT_ONE_SENTENCE("cannot bind " BDF);
			check_state("nvme", "");
			check_no_note();
			continue;
		}
		/* A probe whose write fails is judged by who has the function afterwards. */
		check_state("vfio-pci", "vfio-pci");
		nsdk_unit_fail_none();
		NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
		check_state("nvme", "");
	}
	CU_ASSERT_TRUE(kernel.writes > 6);
}

static void unbind_leaves_a_kernel_driver_alone(void)
{
	NSDK_ASSERT_INT(nsdk_pci_unbind(&addr), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("not bound to vfio-pci but to nvme");
	check_state("nvme", "");
}

static void unbind_says_when_nobody_takes_it(void)
{
	set_driver("vfio-pci");
	strcpy(kernel.override, "vfio-pci");
	kernel.stubborn = "nvme";
	NSDK_ASSERT_INT(nsdk_pci_unbind(&addr), -ENOENT);
	NSDK_ASSERT_ONE_SENTENCE("no driver of the kernel took it");
	check_state("", "");
}

static void just_plugged_in(void)
{
	struct nsdk_pci_restore restore;

	set_driver("");
	kernel.late = 3;
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	check_state("vfio-pci", "vfio-pci");
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("", "");
	/* Not for ever. */
	kernel.late = UINT32_MAX;
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("cannot bind " BDF);
	check_state("", "");
	check_no_note();
}

/* Pulled out, and still in sysfs: its driver is not troubled. */
static void gone_before_it_is_given_back(void)
{
	struct nsdk_pci_restore restore;

	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	fake_sysfs_file(DEV "/config", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
	check_state("vfio-pci", "");
	check_no_note();
	fake_sysfs_file(DEV "/config", "0123456789abcdef");
	NSDK_ASSERT_INT(nsdk_pci_bind(&addr, "vfio-pci", &restore), 0);
	NSDK_ASSERT_INT(nsdk_pci_restore(&restore), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(temporary_bind_is_undone_exactly),
	NSDK_UNIT_TEST(an_override_of_before_comes_back),
	NSDK_UNIT_TEST(no_driver_of_before_comes_back),
	NSDK_UNIT_TEST(what_the_user_bound_stays),
	NSDK_UNIT_TEST(a_killed_run_is_undone_by_the_next),
	NSDK_UNIT_TEST(unbind_follows_the_note_of_a_killed_run),
	NSDK_UNIT_TEST(a_stale_note_of_a_function_that_moved_on_is_dropped),
	NSDK_UNIT_TEST(a_bind_that_stays_leaves_no_note),
	NSDK_UNIT_TEST(two_at_once_are_kept_apart),
	NSDK_UNIT_TEST(refuses_a_bridge),
	NSDK_UNIT_TEST(refuses_what_is_in_use),
	NSDK_UNIT_TEST(says_that_the_driver_is_missing),
	NSDK_UNIT_TEST(a_driver_that_does_not_take_it_is_undone),
	NSDK_UNIT_TEST(every_write_that_fails_is_undone),
	NSDK_UNIT_TEST(unbind_leaves_a_kernel_driver_alone),
	NSDK_UNIT_TEST(unbind_says_when_nobody_takes_it),
	NSDK_UNIT_TEST(just_plugged_in),
	NSDK_UNIT_TEST(gone_before_it_is_given_back),
};

NSDK_UNIT_MAIN("lib/pci/bind", tests, .before = before, .after = after)
