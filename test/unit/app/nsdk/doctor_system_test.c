/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The doctor in a machine that this test makes of files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/nsdk/doctor.h"
#include "nsdk_unit.h"

static char folder[] = "/tmp/nsdk-doctor-test.XXXXXX";
static struct doctor_facts *facts;

/* What nsdk_env_hugepages() and getrlimit() are to say. */
static struct nsdk_hugepage_info pages[2];
static int page_kinds;
static struct rlimit memlock;

int __wrap_nsdk_env_hugepages(struct nsdk_hugepage_info *out, unsigned max);
int __wrap_nsdk_env_hugepages(struct nsdk_hugepage_info *out, unsigned max)
{
	for (int i = 0; i < page_kinds && i < (int)max; i++)
		out[i] = pages[i];
	return page_kinds;
}

/* A sanitizer's run time may ask here, too, for the size of the stack. */
int __real_getrlimit(__rlimit_resource_t resource, struct rlimit *out);
int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit *out);
int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit *out)
{
	if (resource != RLIMIT_MEMLOCK)
		return __real_getrlimit(resource, out);
	*out = memlock;
	return 0;
}

/* What open() says of a path below the folder; 0: what is true. */
static const char *denied;

int __real_open(const char *file, int flags, ...);
int __wrap_open(const char *file, int flags, ...);
int __wrap_open(const char *file, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (denied != NULL && strstr(file, denied) != NULL) {
		errno = EACCES;
		return -1;
	}
	if ((flags & O_CREAT) != 0) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	return __real_open(file, flags, mode);
}

static void make(const char *file, const char *text)
{
	char full[256];
	FILE *out;

	snprintf(full, sizeof(full), "%s%s", folder, file);
	for (char *slash = strchr(full + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	if (text == NULL) {
		mkdir(full, 0755);
		return;
	}
	out = fopen(full, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	fputs(text, out);
	fclose(out);
}

static int start(void)
{
	if (mkdtemp(folder) == NULL)
		return -errno;
	doctor_root = folder;
	return 0;
}

static void clear(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s/*", folder);
	if (system(command) != 0)
		CU_FAIL("the folder cannot be cleared");
	if (facts != NULL)
		doctor_free(facts);
	facts = NULL;
}

static void stop(void)
{
	clear();
	rmdir(folder);
}

/* A machine on which everything is as it should be. */
static void before(void)
{
	clear();
	denied = NULL;
	make("/proc/sys/kernel/osrelease", "6.12.1-lab\n");
	make("/proc/cpuinfo", "processor : 0\nvendor_id : GenuineIntel\n"
			      "model name : A CPU @ 1 GHz\nflags : fpu clflush clwb\n\n"
			      "processor : 1\nmodel name : Another\n\n");
	make("/boot/config-6.12.1-lab",
	     "CONFIG_IOMMUFD=y\nCONFIG_VFIO_DEVICE_CDEV=y\nCONFIG_VFIO_GROUP=y\n");
	make("/sys/kernel/iommu_groups/0", NULL);
	make("/sys/kernel/iommu_groups/1", NULL);
	make("/sys/class/iommu/dmar0", NULL);
	make("/sys/bus/pci/drivers/vfio-pci", NULL);
	make("/dev/iommu", "");
	make("/dev/vfio/vfio", "");
	make("/dev/vfio/devices", NULL);
	make("/sys/devices/system/cpu/cpu0/cache/index0/level", "1\n");
	make("/sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
	make("/sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n");
	make("/sys/devices/system/cpu/cpu0/cache/index0/coherency_line_size", "64\n");
	make("/sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list", "0,2\n");
	page_kinds = 1;
	pages[0] = (struct nsdk_hugepage_info){ .node = 0, .page_bytes = 2 << 20, .total_pages = 64,
						.free_pages = 60 };
	memlock.rlim_cur = RLIM_INFINITY;
	memlock.rlim_max = RLIM_INFINITY;
}

static void look(void)
{
	facts = calloc(1, sizeof(*facts));
	CU_ASSERT_PTR_NOT_NULL_FATAL(facts);
	STAILQ_INIT(&facts->findings);
	STAILQ_INIT(&facts->devices);
	doctor_look_at_system(facts);
}

static const struct doctor_finding *finding(const char *topic)
{
	static const struct doctor_finding none = { .text = "no such finding", .mend = "" };
	const struct doctor_finding *found;

	STAILQ_FOREACH(found, &facts->findings, link) {
		if (strcmp(found->topic, topic) == 0)
			return found;
	}
	return &none;
}

#define ASSERT_HAS(text, part)                                                                     \
	do {                                                                                       \
		if (strstr((text), (part)) == NULL)                                                \
			NSDK_ASSERT_TEXT((text), (part));                                          \
	} while (0)

/* A problem with that text and a command that mends it, and no other. */
static void assert_one_problem(const char *topic, const char *text, const char *mend)
{
	const struct doctor_finding *found = finding(topic);

	NSDK_ASSERT_INT(facts->problems, 1);
	NSDK_ASSERT_INT(found->state, DOCTOR_PROBLEM);
	ASSERT_HAS(found->text, text);
	ASSERT_HAS(found->mend, mend);
}

static void nothing_is_wrong_where_all_is_well(void)
{
	look();
	NSDK_ASSERT_INT(facts->problems, 0);
	NSDK_ASSERT_TEXT(facts->kernel, "6.12.1-lab");
	NSDK_ASSERT_TEXT(facts->cpu.model, "A CPU @ 1 GHz");
	NSDK_ASSERT_TEXT(facts->cpu.vendor, "GenuineIntel");
	CU_ASSERT(!facts->cpu.hypervisor);
	CU_ASSERT(facts->iommufd.available && facts->vfio.cdev && facts->vfio.group);
	NSDK_ASSERT_INT(facts->iommu.groups, 2);
	ASSERT_HAS(finding("iommu")->text, "Intel VT-d");
	ASSERT_HAS(finding("hugepages")->text, "60 of 64 x 2 MiB free");
	NSDK_ASSERT_INT(facts->cpu.cache_count, 1);
	NSDK_ASSERT_INT(facts->cpu.caches[0].size_bytes, 48 << 10);
	NSDK_ASSERT_TEXT(facts->cpu.caches[0].cpus, "0,2");
	ASSERT_HAS(finding("cpu")->text, "L1d 48 KiB");
}

static void remove_file(const char *file)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -r %s%s", folder, file);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void without_an_iommu_each_vendor_has_its_way(void)
{
	remove_file("/sys/kernel/iommu_groups/0");
	remove_file("/sys/kernel/iommu_groups/1");
	look();
	assert_one_problem("iommu", "none that is active", "intel_iommu=on");
	doctor_free(facts);
	make("/proc/cpuinfo", "vendor_id : AuthenticAMD\nflags : fpu\n\n");
	look();
	assert_one_problem("iommu", "none that is active", "AMD-Vi");
	doctor_free(facts);
	make("/proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu hypervisor\n\n");
	look();
	assert_one_problem("iommu", "none that is active", "virtual machine");
}

static void iommufd_is_missing_for_a_reason(void)
{
	remove_file("/dev/iommu");
	look();
	/* Groups are there, so it is worth a note. */
	NSDK_ASSERT_INT(facts->problems, 0);
	CU_ASSERT(!facts->iommufd.available);
	ASSERT_HAS(facts->iommufd.reason, "not loaded");
	ASSERT_HAS(finding("iommufd")->mend, "modprobe iommufd");
	doctor_free(facts);
	make("/boot/config-6.12.1-lab", "# CONFIG_IOMMUFD is not set\nCONFIG_IOMMUFD_X=y\n");
	look();
	NSDK_ASSERT_INT(facts->problems, 0);
	ASSERT_HAS(facts->iommufd.reason, "built without CONFIG_IOMMUFD");
	doctor_free(facts);
	remove_file("/boot");
	look();
	ASSERT_HAS(facts->iommufd.reason, "or the kernel is built without it");
	/* Nor groups: nothing works. */
	doctor_free(facts);
	remove_file("/dev/vfio/vfio");
	look();
	assert_one_problem("iommufd", "there is no /dev/iommu", "modprobe iommufd");
}

static void permission_is_a_problem_of_its_own(void)
{
	denied = "/dev/iommu";
	look();
	assert_one_problem("iommufd", "/dev/iommu cannot be opened: Permission denied",
			   "chown ");
	CU_ASSERT(!facts->iommufd.available);
}

static void vfio_pci_must_be_loaded(void)
{
	remove_file("/sys/bus/pci/drivers/vfio-pci");
	look();
	assert_one_problem("vfio-pci", "not loaded", "modprobe vfio-pci");
}

static void cdev_is_known_by_the_folder_or_the_configuration(void)
{
	remove_file("/dev/vfio/devices");
	look();
	CU_ASSERT(facts->vfio.cdev);
	doctor_free(facts);
	make("/boot/config-6.12.1-lab", "CONFIG_IOMMUFD=m\n");
	look();
	CU_ASSERT(!facts->vfio.cdev);
	ASSERT_HAS(facts->vfio.cdev_reason, "CONFIG_VFIO_DEVICE_CDEV");
	NSDK_ASSERT_INT(facts->problems, 0);
}

static void hugepages_may_be_missing_or_in_use(void)
{
	page_kinds = 0;
	look();
	assert_one_problem("hugepages", "there are none", "sysctl -w vm.nr_hugepages=64");
	doctor_free(facts);
	page_kinds = 1;
	pages[0].free_pages = 0;
	look();
	assert_one_problem("hugepages", "all are in use", "vm.nr_hugepages");
	doctor_free(facts);
	/* On one node none, on the other some. */
	page_kinds = 2;
	pages[1] = (struct nsdk_hugepage_info){ .node = 1, .page_bytes = 1 << 30, .total_pages = 2,
						.free_pages = 1 };
	look();
	NSDK_ASSERT_INT(facts->problems, 0);
	ASSERT_HAS(finding("hugepages")->text, "node 1: 1 of 2 x 1 GiB free");
}

static void little_lockable_memory_is_a_problem_for_those_whom_it_binds(void)
{
	memlock.rlim_cur = 8 << 20;
	memlock.rlim_max = 8 << 20;
	look();
	if (facts->memlock.unlimited) {
		/* As root: the capability is above the limit. */
		NSDK_ASSERT_INT(facts->problems, 0);
		ASSERT_HAS(finding("memlock")->text, "CAP_IPC_LOCK");
		return;
	}
	assert_one_problem("memlock", "only 8 MiB", "limits.d/nsdk.conf");
}

static void old_kernels_are_told(void)
{
	make("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
	look();
	NSDK_ASSERT_INT(finding("kernel")->state, DOCTOR_NOTE);
	ASSERT_HAS(finding("kernel")->text, "6.6");
}

static void an_empty_machine_is_answered_for(void)
{
	clear();
	page_kinds = -ENOENT;
	look();
	CU_ASSERT(facts->problems >= 3);
	CU_ASSERT(!facts->iommufd.available && !facts->vfio.cdev && !facts->vfio.group);
	CU_ASSERT(facts->kernel[0] != '\0');
	NSDK_ASSERT_INT(facts->hugepage_count, 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nothing_is_wrong_where_all_is_well),
	NSDK_UNIT_TEST(without_an_iommu_each_vendor_has_its_way),
	NSDK_UNIT_TEST(iommufd_is_missing_for_a_reason),
	NSDK_UNIT_TEST(permission_is_a_problem_of_its_own),
	NSDK_UNIT_TEST(vfio_pci_must_be_loaded),
	NSDK_UNIT_TEST(cdev_is_known_by_the_folder_or_the_configuration),
	NSDK_UNIT_TEST(hugepages_may_be_missing_or_in_use),
	NSDK_UNIT_TEST(little_lockable_memory_is_a_problem_for_those_whom_it_binds),
	NSDK_UNIT_TEST(old_kernels_are_told),
	NSDK_UNIT_TEST(an_empty_machine_is_answered_for),
};

NSDK_UNIT_MAIN("app/nsdk/doctor_system", tests, .start = start, .stop = stop, .before = before)
