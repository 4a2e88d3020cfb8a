/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes a system out of a kernel and the host's read-only root: mounts what programs expect, puts
 * memory file systems where they write, and makes the host's folders visible again that lie below
 * such a place (a build tree in /tmp).
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DISKS_DEADLINE_MS 10000

static void mount_or_fault(const char *source, const char *target, const char *type,
			   unsigned long flags, const char *data)
{
	if (mount(source, target, type, flags, data) < 0)
		guest_fault("the guest cannot mount %s on %s: %s", type ? type : source, target,
			    strerror(errno));
}

static void make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		guest_fault("the guest cannot make the folder %s: %s", path, strerror(errno));
}

/* All the folders of an absolute path */
static void make_path(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		make_dir(part, 0755);
		*slash = '/';
	}
	make_dir(part, 0755);
}

void system_mount_kernel(void)
{
	/* The kernel has mounted /dev. /proc and /sys exist on any host that runs Linux. */
	mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* Folders that the guest has for itself, in memory */
static const struct {
	const char *path;
	const char *options;
	bool must;
} private_dirs[] = {
	{"/tmp", "mode=1777", true},
	{"/root", "mode=0700", true},
	{"/mnt", "mode=0755", false},
	{"/media", "mode=0755", false},
	{"/var/tmp", "mode=1777", false},
};

/* Is it covered? A private folder itself stays the guest's own. */
static bool is_below_private(const char *path)
{
	if (strncmp(path, "/run/", 5) == 0)
		return true;
	for (size_t i = 0; i < sizeof(private_dirs) / sizeof(private_dirs[0]); i++) {
		size_t length = strlen(private_dirs[i].path);

		if (strncmp(path, private_dirs[i].path, length) == 0 && path[length] == '/')
			return true;
	}
	return false;
}

static void mount_private(void)
{
	/* The host's root once more, whole, before parts of it are covered */
	mount_or_fault("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	make_dir("/run/lock", 01777);
	make_dir(GUEST_RUN_DIR, 0755);
	make_dir(GUEST_RUN_DIR "/bin", 0755);
	make_dir(GUEST_HOST_DIR, 0755);
	mount_or_fault("/", GUEST_HOST_DIR, NULL, MS_BIND, NULL);
	for (size_t i = 0; i < sizeof(private_dirs) / sizeof(private_dirs[0]); i++) {
		if (private_dirs[i].must || access(private_dirs[i].path, F_OK) == 0)
			mount_or_fault("tmpfs", private_dirs[i].path, "tmpfs", MS_NOSUID | MS_NODEV,
				       private_dirs[i].options);
	}
}

static void mount_devices(void)
{
	static const char *const links[][2] = {
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			guest_fault("the guest cannot link %s: %s", links[i][1], strerror(errno));
	make_dir("/dev/pts", 0755);
	mount_or_fault("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		       "mode=620,gid=5,ptmxmode=666");
	make_dir("/dev/shm", 01777);
	mount_or_fault("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	make_dir("/dev/hugepages", 0755);
	mount_or_fault("hugetlbfs", "/dev/hugepages", "hugetlbfs", MS_NOSUID | MS_NODEV,
		       "mode=1777");
	/* For looking inside; nothing depends on them */
	mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static void expose(const char *path)
{
	char behind[PATH_MAX];

	if (!is_below_private(path))
		return;
	snprintf(behind, sizeof(behind), "%s%s", GUEST_HOST_DIR, path);
	make_path(path);
	mount_or_fault(behind, path, NULL, MS_BIND, NULL);
}

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		guest_fault("the guest cannot start its loopback interface: %s", strerror(errno));
	close(fd);
}

void system_prepare(const struct guest_spec *spec)
{
	/* As a distribution's login gives it; the kernel's own default is 4096 at most */
	const struct rlimit files = {.rlim_cur = 1024, .rlim_max = 524288};

	mount_private();
	mount_devices();
	for (size_t i = 0; i < spec->expose_count; i++)
		expose(spec->expose[i]);
	if (spec->share) {
		make_path(spec->share);
		mount_or_fault("share", spec->share, "9p", 0,
			       "trans=virtio,version=9p2000.L,cache=none,msize=262144");
	}
	setrlimit(RLIMIT_NOFILE, &files);
	if (sethostname("nsdk-vm", strlen("nsdk-vm")) < 0)
		guest_fault("the guest cannot be named: %s", strerror(errno));
	loopback_up();
	system_wait_for_disks(spec->disks);
}

/* Whole disks only: nvme0n1, not nvme0n1p1 */
static long count_disks(void)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	long disks = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, "nvme", 4) == 0)
			disks++;
	closedir(dir);
	return disks;
}

/* The kernel's driver probes and scans in the background. A controller that is made not to work is
 * no fault of the lab: after the deadline the command runs and sees what there is. */
void system_wait_for_disks(long disks)
{
	const struct timespec step = {.tv_nsec = 5000000};
	int64_t until_ms = guest_now_ms() + DISKS_DEADLINE_MS;

	while (count_disks() < disks && guest_now_ms() < until_ms)
		nanosleep(&step, NULL);
}
