/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the doctor looks at beside the devices: kernel, IOMMU, iommufd, VFIO, memory, CPU.
 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "tool.h"

/* Locked memory that a modest run needs: a few queues and a pool of 2 MiB pages. */
#define MEMLOCK_WANTED ((uint64_t)64 << 20)
#define CAP_IPC_LOCK_BIT 14

/* ---- Kernel ---- */

/* What the kernel was built with: 'y', 'm', 'n', or '?' when its configuration is not at hand. */
static char kernel_config(const struct doctor_facts *facts, const char *option)
{
	char path[512], line[256];
	size_t length = strlen(option);
	char answer = 'n';
	FILE *file;

	snprintf(path, sizeof(path), "%s/boot/config-%s", doctor_root, facts->kernel);
	file = fopen(path, "re");
	if (file == NULL)
		return '?';
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, option, length) == 0 && line[length] == '=') {
			answer = line[length + 1];
			break;
		}
	}
	fclose(file);
	return answer;
}

static void look_at_kernel(struct doctor_facts *facts)
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	if (!doctor_read("/proc/sys/kernel/osrelease", facts->kernel, sizeof(facts->kernel)))
		snprintf(facts->kernel, sizeof(facts->kernel), "%s", name.release);
	snprintf(facts->machine, sizeof(facts->machine), "%s", name.machine);
	if (sscanf(facts->kernel, "%u.%u", &major, &minor) == 2 &&
	    (major < 6 || (major == 6 && minor < 6)))
		doctor_find(facts, "kernel", DOCTOR_NOTE, NULL,
			    "Linux %s on %s: iommufd with device files came with Linux 6.6, so NSDK "
			    "uses VFIO groups",
			    facts->kernel, facts->machine);
	else
		doctor_find(facts, "kernel", DOCTOR_OK, NULL, "Linux %s on %s", facts->kernel,
			    facts->machine);
}

/* ---- User ---- */

static void look_at_user(struct doctor_facts *facts)
{
	const struct passwd *entry;

	facts->uid = geteuid();
	entry = getpwuid(facts->uid);
	snprintf(facts->user, sizeof(facts->user), "%s", entry != NULL ? entry->pw_name : "?");
	if (facts->uid == 0)
		doctor_find(facts, "user", DOCTOR_OK, NULL, "root");
	else
		doctor_find(facts, "user", DOCTOR_NOTE, NULL,
			    "%s: drives devices that are bound to vfio-pci and whose files in "
			    "/dev/vfio it may open; binding them takes root",
			    facts->user);
}

/* ---- IOMMU ---- */

static unsigned count_entries(const char *path, char (*names)[32], unsigned max)
{
	char full[512];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(full, sizeof(full), "%s%s", doctor_root, path);
	dir = opendir(full);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (names != NULL && count < max)
			snprintf(names[count], sizeof(names[count]), "%.31s", entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static const char *iommu_kind(const char *name)
{
	if (strncmp(name, "dmar", 4) == 0)
		return "Intel VT-d";
	if (strncmp(name, "ivhd", 4) == 0)
		return "AMD-Vi";
	if (strncmp(name, "smmu", 4) == 0)
		return "Arm SMMU";
	return strncmp(name, "virtio", 6) == 0 || strncmp(name, "pci", 3) == 0 ? "virtio-iommu" :
										 "IOMMU";
}

static void look_at_iommu(struct doctor_facts *facts)
{
	const char *mend;

	facts->iommu.groups = count_entries("/sys/kernel/iommu_groups", NULL, 0);
	facts->iommu.count =
		count_entries("/sys/class/iommu", facts->iommu.names, DOCTOR_MAX_IOMMUS);
	if (facts->iommu.groups > 0) {
		doctor_find(facts, "iommu", DOCTOR_OK, NULL, "%s%s%s, %u groups",
			    facts->iommu.count > 0 ? iommu_kind(facts->iommu.names[0]) :
						     "an IOMMU",
			    facts->iommu.count > 0 ? ", first unit " : "",
			    facts->iommu.count > 0 ? facts->iommu.names[0] : "",
			    facts->iommu.groups);
		return;
	}
	if (facts->cpu.hypervisor)
		mend = "give this virtual machine an IOMMU (QEMU: -device intel-iommu,intremap=on)";
	else if (strcmp(facts->cpu.vendor, "GenuineIntel") == 0)
		mend = "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on /' /etc/default/grub && "
		       "update-grub && reboot; and VT-d on in the firmware's setup";
	else
		mend = "turn the IOMMU (AMD-Vi, SMMU) on in the firmware's setup, and reboot";
	doctor_find(facts, "iommu", DOCTOR_PROBLEM, mend,
		    "there is none that is active: nothing would keep a device away from memory "
		    "that is not its own, so NSDK drives emulated devices only");
}

/* ---- iommufd and VFIO ---- */

static void may_not_open(struct doctor_facts *facts, const char *topic, const char *path, int rc)
{
	char mend[160];

	snprintf(mend, sizeof(mend), "chown %s %s (a udev rule makes it last, see the guide)",
		 facts->user, path);
	doctor_find(facts, topic, DOCTOR_PROBLEM, mend, "%s cannot be opened: %s", path,
		    strerror(-rc));
}

static void look_at_iommufd(struct doctor_facts *facts)
{
	int rc = doctor_try_open("/dev/iommu");
	char built = kernel_config(facts, "CONFIG_IOMMUFD");
	enum doctor_state state = DOCTOR_NOTE;

	facts->iommufd.available = rc == 0;
	if (rc == 0) {
		snprintf(facts->iommufd.reason, sizeof(facts->iommufd.reason),
			 "/dev/iommu opens");
		doctor_find(facts, "iommufd", DOCTOR_OK, NULL, "%s", facts->iommufd.reason);
		return;
	}
	if (rc == -EACCES || rc == -EPERM) {
		snprintf(facts->iommufd.reason, sizeof(facts->iommufd.reason),
			 "/dev/iommu cannot be opened: %s", strerror(-rc));
		may_not_open(facts, "iommufd", "/dev/iommu", rc);
		return;
	}
	if (built == 'n') {
		snprintf(facts->iommufd.reason, sizeof(facts->iommufd.reason),
			 "the kernel is built without CONFIG_IOMMUFD, so NSDK uses VFIO groups");
		doctor_find(facts, "iommufd", DOCTOR_NOTE, NULL, "%s", facts->iommufd.reason);
		return;
	}
	if (rc == -ENOENT)
		snprintf(facts->iommufd.reason, sizeof(facts->iommufd.reason),
			 "there is no /dev/iommu: the module iommufd is not loaded%s",
			 built == '?' ? ", or the kernel is built without it" : "");
	else
		snprintf(facts->iommufd.reason, sizeof(facts->iommufd.reason),
			 "/dev/iommu cannot be opened: %s", strerror(-rc));
	/* Without a group either, nothing on this machine can be driven. */
	if (!doctor_exists("/dev/vfio/vfio"))
		state = DOCTOR_PROBLEM;
	doctor_find(facts, "iommufd", state, "modprobe iommufd", "%s", facts->iommufd.reason);
}

static void look_at_cdev(struct doctor_facts *facts)
{
	char built = kernel_config(facts, "CONFIG_VFIO_DEVICE_CDEV");
	char *reason = facts->vfio.cdev_reason;
	size_t bytes = sizeof(facts->vfio.cdev_reason);

	facts->vfio.cdev = doctor_exists("/dev/vfio/devices") || built == 'y';
	if (doctor_exists("/dev/vfio/devices"))
		snprintf(reason, bytes, "/dev/vfio/devices is there");
	else if (built == 'y')
		snprintf(reason, bytes, "built in; no device is bound to vfio-pci yet");
	else if (built == 'n')
		snprintf(reason, bytes, "the kernel is built without CONFIG_VFIO_DEVICE_CDEV");
	else
		snprintf(reason, bytes, "there is no /dev/vfio/devices; it comes with the first "
					"device that is bound, if the kernel has it");
}

static void look_at_group(struct doctor_facts *facts)
{
	int rc = doctor_try_open("/dev/vfio/vfio");
	char *reason = facts->vfio.group_reason;
	size_t bytes = sizeof(facts->vfio.group_reason);

	facts->vfio.group = rc == 0;
	if (rc == 0)
		snprintf(reason, bytes, "/dev/vfio/vfio opens");
	else if (rc == -ENOENT)
		snprintf(reason, bytes,
			 "there is no /dev/vfio/vfio: VFIO is not loaded, or built without groups");
	else
		snprintf(reason, bytes, "/dev/vfio/vfio cannot be opened: %s", strerror(-rc));
}

static void look_at_vfio(struct doctor_facts *facts)
{
	look_at_cdev(facts);
	look_at_group(facts);
	facts->vfio.pci_driver = doctor_exists("/sys/bus/pci/drivers/vfio-pci");
	doctor_find(facts, "vfio cdev", facts->vfio.cdev ? DOCTOR_OK : DOCTOR_NOTE, NULL, "%s",
		    facts->vfio.cdev_reason);
	doctor_find(facts, "vfio group", facts->vfio.group ? DOCTOR_OK : DOCTOR_NOTE, NULL, "%s",
		    facts->vfio.group_reason);
	if (facts->vfio.pci_driver)
		doctor_find(facts, "vfio-pci", DOCTOR_OK, NULL, "the driver is loaded");
	else
		doctor_find(facts, "vfio-pci", DOCTOR_PROBLEM, "modprobe vfio-pci",
			    "the driver is not loaded, so no PCI function can be bound to it");
}

/* ---- Memory ---- */

static void look_at_hugepages(struct doctor_facts *facts)
{
	int count = nsdk_env_hugepages(facts->hugepages, DOCTOR_MAX_HUGEPAGES);
	uint64_t free_pages = 0, all_pages = 0;
	char text[200] = "", size[32];
	size_t used = 0;

	if (count < 0)
		count = 0;
	facts->hugepage_count =
		count > DOCTOR_MAX_HUGEPAGES ? DOCTOR_MAX_HUGEPAGES : (unsigned)count;
	for (unsigned i = 0; i < facts->hugepage_count; i++) {
		const struct nsdk_hugepage_info *info = &facts->hugepages[i];

		if (info->total_pages == 0)
			continue;
		all_pages += info->total_pages;
		free_pages += info->free_pages;
		if (used < sizeof(text) - 48)
			used += (size_t)snprintf(
				text + used, sizeof(text) - used, "%snode %u: %llu of %llu x %s free",
				used == 0 ? "" : ", ", info->node,
				(unsigned long long)info->free_pages,
				(unsigned long long)info->total_pages,
				tool_format_bytes((double)info->page_bytes, size, sizeof(size)));
	}
	if (free_pages > 0)
		doctor_find(facts, "hugepages", DOCTOR_OK, NULL, "%s", text);
	else if (all_pages > 0)
		doctor_find(facts, "hugepages", DOCTOR_PROBLEM,
			    "sysctl -w vm.nr_hugepages=$(($(cat /proc/sys/vm/nr_hugepages) + 64))",
			    "all are in use (%s)", text);
	else
		doctor_find(facts, "hugepages", DOCTOR_PROBLEM, "sysctl -w vm.nr_hugepages=64",
			    "there are none; only emulated devices do without");
}

static bool has_ipc_lock(void)
{
	unsigned long long effective = 0;
	char line[128];
	FILE *file = fopen("/proc/self/status", "re");

	if (file == NULL)
		return geteuid() == 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	fclose(file);
	return (effective >> CAP_IPC_LOCK_BIT & 1) != 0;
}

static void look_at_memlock(struct doctor_facts *facts)
{
	struct rlimit limit = { 0, 0 };
	char size[32], mend[256];

	getrlimit(RLIMIT_MEMLOCK, &limit);
	facts->memlock.soft_bytes = limit.rlim_cur;
	facts->memlock.hard_bytes = limit.rlim_max;
	facts->memlock.unlimited = limit.rlim_cur == RLIM_INFINITY || has_ipc_lock();
	if (facts->memlock.unlimited) {
		doctor_find(facts, "memlock", DOCTOR_OK, NULL, "%s",
			    limit.rlim_cur == RLIM_INFINITY ?
				    "unlimited" :
				    "limited, but not for this process, which has CAP_IPC_LOCK");
		return;
	}
	tool_format_bytes((double)limit.rlim_cur, size, sizeof(size));
	if (limit.rlim_cur >= MEMLOCK_WANTED) {
		doctor_find(facts, "memlock", DOCTOR_OK, NULL,
			    "%s of memory may be locked for DMA", size);
		return;
	}
	if (limit.rlim_max >= MEMLOCK_WANTED)
		snprintf(mend, sizeof(mend), "ulimit -l %s",
			 limit.rlim_max == RLIM_INFINITY ? "unlimited" : "hard");
	else
		snprintf(mend, sizeof(mend),
			 "echo '%s - memlock unlimited' > /etc/security/limits.d/nsdk.conf, as root, "
			 "and log in again",
			 facts->user);
	doctor_find(facts, "memlock", DOCTOR_PROBLEM, mend,
		    "only %s of memory may be locked for DMA by %s", size, facts->user);
}

/* ---- CPU ---- */

static void read_cpuinfo(struct doctor_facts *facts)
{
	char path[512], line[2048];
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/cpuinfo", doctor_root);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	/* The first CPU's lines are enough. */
	while (fgets(line, sizeof(line), file) != NULL && line[0] != '\n') {
		sscanf(line, "model name : %127[^\n]", facts->cpu.model);
		sscanf(line, "vendor_id : %31[^\n]", facts->cpu.vendor);
		if (strncmp(line, "flags", 5) == 0 && strstr(line, " hypervisor") != NULL)
			facts->cpu.hypervisor = true;
	}
	fclose(file);
}

static void read_cache(struct doctor_facts *facts, unsigned index)
{
	struct doctor_cache *cache = &facts->cpu.caches[facts->cpu.cache_count];
	char path[160], text[64];
	uint64_t number;

#define CACHE_FILE(name)                                                                           \
	(snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%u/%s", index,      \
		  name),                                                                           \
	 path)
	if (!doctor_read(CACHE_FILE("level"), text, sizeof(text)) ||
	    tool_parse_u64(text, 1, 9, &number) != 0)
		return;
	cache->level = (unsigned)number;
	if (doctor_read(CACHE_FILE("size"), text, sizeof(text)))
		tool_parse_bytes(text, &cache->size_bytes);
	if (doctor_read(CACHE_FILE("coherency_line_size"), text, sizeof(text)) &&
	    tool_parse_u64(text, 1, 4096, &number) == 0)
		cache->line_bytes = (unsigned)number;
	doctor_read(CACHE_FILE("type"), cache->type, sizeof(cache->type));
	doctor_read(CACHE_FILE("shared_cpu_list"), cache->cpus, sizeof(cache->cpus));
#undef CACHE_FILE
	facts->cpu.cache_count++;
}

static void find_cpu(struct doctor_facts *facts)
{
	const struct nsdk_line_info *lines = &facts->cpu.lines;
	char caches[160] = "", size[32];
	size_t used = 0;

	for (unsigned i = 0; i < facts->cpu.cache_count && used < sizeof(caches) - 40; i++) {
		const struct doctor_cache *cache = &facts->cpu.caches[i];
		const char *kind = strcmp(cache->type, "Data") == 0	   ? "d" :
				   strcmp(cache->type, "Instruction") == 0 ? "i" :
									     "";

		used += (size_t)snprintf(caches + used, sizeof(caches) - used, ", L%u%s %s",
					 cache->level, kind,
					 tool_format_bytes((double)cache->size_bytes, size,
							   sizeof(size)));
	}
	doctor_find(facts, "cpu", lines->line_bytes == NSDK_LINE_BYTES ? DOCTOR_OK : DOCTOR_PROBLEM,
		    lines->line_bytes == NSDK_LINE_BYTES ? NULL :
							   "stay with --policy=coherent here",
		    "%s: %s writes back, %s invalidates, %u-byte lines%s",
		    facts->cpu.model[0] != '\0' ? facts->cpu.model : facts->machine,
		    lines->writeback, lines->invalidate, lines->line_bytes, caches);
}

void doctor_look_at_system(struct doctor_facts *facts)
{
	read_cpuinfo(facts);
	nsdk_line_info(&facts->cpu.lines);
	for (unsigned i = 0; i < DOCTOR_MAX_CACHES; i++)
		read_cache(facts, i);
	look_at_kernel(facts);
	look_at_user(facts);
	look_at_iommu(facts);
	look_at_iommufd(facts);
	look_at_vfio(facts);
	look_at_hugepages(facts);
	look_at_memlock(facts);
	find_cpu(facts);
}
