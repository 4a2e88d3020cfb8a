/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O address spaces: what a device's DMA can reach, and whether it goes through the CPU caches.
 *
 * Model. An nsdk_iommu is a way to the kernel's IOMMU interface; an nsdk_ioas is one address space:
 * a set of mappings, IOVA to memory, and the devices (members) that see exactly these. Three
 * backends stand behind one table of functions (struct nsdk_iommu_ops):
 *
 *	iommufd   an IOAS object of /dev/iommu. Devices are bound to the file and put on a page table
 *	          (HWPT) of the IOAS. Pages pinned for one IOAS can be shared with another.
 *	type1     one VFIO container an address space. The container has mappings only while it has a
 *	          device, so what is mapped before the first one is kept and replayed.
 *	soft      no kernel: a table in this process, for emulated devices.
 *
 * What all have in common is in ioas.c: the record of each mapping, the choice of IOVAs (iova.c),
 * the lock and the verdict. A backend only does its system calls.
 *
 * The verdict (verdict.c) answers whether DMA may bypass the CPU caches. It is asked after every
 * attach, never before: for an address space without devices the kernel answers yes to everything.
 * Whoever is in doubt says `unknown`, which is treated as not permitted.
 *
 * Lifetimes. The handle outlives its address spaces, an address space its members and mappings.
 * A page stays mapped, and pinned, until it is unmapped here; memory must not be freed before.
 *
 * Threading. Any thread may call; calls on one address space are serialised by its lock. Nothing
 * here is on the I/O path: translation for hardware is lib/mem's, only the soft lookup is called for
 * each DMA of an emulated device and takes the reader's side.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <nsdk/log.h>

#include "ioas_internal.h"

static const char *const backend_names[] = {
	[NSDK_IOMMU_AUTO] = "auto",
	[NSDK_IOMMU_IOMMUFD] = "iommufd",
	[NSDK_IOMMU_TYPE1] = "type1",
	[NSDK_IOMMU_SOFT] = "soft",
};

static const struct nsdk_iommu_ops *const backend_ops[] = {
	[NSDK_IOMMU_IOMMUFD] = &nsdk_iommu_iommufd,
	[NSDK_IOMMU_TYPE1] = &nsdk_iommu_type1,
	[NSDK_IOMMU_SOFT] = &nsdk_iommu_soft,
};

const char *nsdk_iommu_backend_name(enum nsdk_iommu_backend backend)
{
	if ((unsigned)backend >= sizeof(backend_names) / sizeof(backend_names[0]))
		return "none";
	return backend_names[backend];
}

/* Open the file of a backend and look whether it is what we need. @return fd or -errno, in words. */
static int probe_open(const char *path, const char *missing, const char *udev_rule, char *reason,
		      size_t reason_bytes)
{
	int fd = nsdk_sys.open(path, O_RDWR | O_CLOEXEC);
	int error = errno;

	if (fd >= 0)
		return fd;
	if (error == EACCES || error == EPERM) {
		snprintf(reason, reason_bytes,
			 "no permission to open %s: run as root, or let root give it to your group with "
			 "'chgrp GROUP %s; chmod 660 %s' (to stay, a udev rule: %s, GROUP=\"GROUP\", "
			 "MODE=\"0660\")",
			 path, path, path, udev_rule);
		return -EACCES;
	}
	if (error == ENOENT || error == ENODEV || error == ENXIO) {
		snprintf(reason, reason_bytes, "%s", missing);
		return -ENODEV;
	}
	snprintf(reason, reason_bytes, "cannot open %s: %s", path, strerror(error));
	return -error;
}

int nsdk_iommu_probe(enum nsdk_iommu_backend backend, char *reason, size_t reason_bytes)
{
	char unused[2];
	int fd, rc = 0;

	if (reason == NULL || reason_bytes == 0) {
		reason = unused;
		reason_bytes = sizeof(unused);
	}
	reason[0] = '\0';
	switch (backend) {
	case NSDK_IOMMU_SOFT:
		return 0;
	case NSDK_IOMMU_IOMMUFD:
		fd = probe_open("/dev/iommu",
				"there is no /dev/iommu: 'modprobe iommufd' as root may bring it; if not, "
				"the kernel is built without CONFIG_IOMMUFD",
				"KERNEL==\"iommu\", SUBSYSTEM==\"misc\"", reason, reason_bytes);
		break;
	case NSDK_IOMMU_TYPE1:
		fd = probe_open("/dev/vfio/vfio",
				"there is no /dev/vfio/vfio: run 'modprobe vfio-pci' as root",
				"KERNEL==\"vfio\", SUBSYSTEM==\"misc\"", reason, reason_bytes);
		if (fd < 0)
			break;
		if (nsdk_sys.ioctl(fd, VFIO_GET_API_VERSION, NULL) != VFIO_API_VERSION ||
		    nsdk_sys.ioctl(fd, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU) != 1) {
			snprintf(reason, reason_bytes,
				 "/dev/vfio/vfio offers no type1 IOMMU: run 'modprobe "
				 "vfio_iommu_type1' as root");
			rc = -ENODEV;
		}
		break;
	default:
		snprintf(reason, reason_bytes, "there is no such backend");
		return -EINVAL;
	}
	if (fd < 0)
		return fd;
	nsdk_sys.close(fd);
	return rc;
}

/* What the user forced with NSDK_IOMMU; AUTO when nothing. @return 0 or -EINVAL, logged. */
static int backend_from_environment(enum nsdk_iommu_backend *out)
{
	const char *word = getenv("NSDK_IOMMU");

	*out = NSDK_IOMMU_AUTO;
	if (word == NULL || word[0] == '\0')
		return 0;
	if (strcmp(word, "iommufd") == 0)
		*out = NSDK_IOMMU_IOMMUFD;
	else if (strcmp(word, "type1") == 0)
		*out = NSDK_IOMMU_TYPE1;
	else
		return nsdk_fail(-EINVAL, "iommu",
				 "NSDK_IOMMU=%s is not understood: it may be iommufd or type1, or unset",
				 word);
	return 0;
}

int nsdk_iommu_resolve(enum nsdk_iommu_backend asked, enum nsdk_iommu_backend *out, bool *forced)
{
	char reason[512], reason_type1[512];
	int rc, rc_type1;

	*out = asked;
	if (asked == NSDK_IOMMU_AUTO) {
		rc = backend_from_environment(out);
		if (rc != 0)
			return rc;
	}
	if (forced != NULL)
		*forced = *out != NSDK_IOMMU_AUTO;
	if (*out != NSDK_IOMMU_AUTO) {
		rc = nsdk_iommu_probe(*out, reason, sizeof(reason));
		return rc == 0 ? 0 : nsdk_fail(rc, "iommu", "%s", reason);
	}
	*out = NSDK_IOMMU_IOMMUFD;
	rc = nsdk_iommu_probe(NSDK_IOMMU_IOMMUFD, reason, sizeof(reason));
	if (rc == 0)
		return 0;
	*out = NSDK_IOMMU_TYPE1;
	rc_type1 = nsdk_iommu_probe(NSDK_IOMMU_TYPE1, reason_type1, sizeof(reason_type1));
	if (rc_type1 == 0)
		return 0;
	/* Name what is nearest to working: something there but closed, before something missing. */
	if (rc != -ENODEV)
		return nsdk_fail(rc, "iommu", "%s", reason);
	if (rc_type1 != -ENODEV)
		return nsdk_fail(rc_type1, "iommu", "%s", reason_type1);
	return nsdk_fail(-ENODEV, "iommu",
			 "the kernel offers neither iommufd (/dev/iommu) nor VFIO containers "
			 "(/dev/vfio/vfio): run 'modprobe vfio-pci' as root");
}

int nsdk_iommu_open(enum nsdk_iommu_backend backend, struct nsdk_iommu **out)
{
	struct nsdk_iommu *iommu;
	int rc;

	*out = NULL;
	if ((unsigned)backend > NSDK_IOMMU_SOFT)
		return nsdk_fail(-EINVAL, "iommu", "there is no IOMMU backend number %d", (int)backend);
	if (backend == NSDK_IOMMU_AUTO) {
		rc = nsdk_iommu_resolve(backend, &backend, NULL);
		if (rc != 0)
			return rc;
	}
	iommu = calloc(1, sizeof(*iommu));
	if (iommu == NULL)
		return nsdk_fail(-ENOMEM, "iommu", "no memory for an IOMMU handle");
	iommu->backend = backend;
	iommu->ops = backend_ops[backend];
	iommu->fd = -1;
	pthread_mutex_init(&iommu->compat_lock, NULL);
	rc = iommu->ops->open(iommu);
	if (rc != 0)
		goto free_handle;
	*out = iommu;
	return 0;

free_handle:
	pthread_mutex_destroy(&iommu->compat_lock);
	free(iommu);
	return rc;
}

void nsdk_iommu_close(struct nsdk_iommu *iommu)
{
	unsigned left;

	if (iommu == NULL)
		return;
	left = atomic_load(&iommu->ioas_count);
	if (left != 0) {
		/* Freed under their feet they would crash; left behind they do no harm. */
		nsdk_log(NSDK_LOG_ERROR, "iommu",
			 "an IOMMU handle stays open: %u of its address spaces were not destroyed", left);
		return;
	}
	iommu->ops->close(iommu);
	pthread_mutex_destroy(&iommu->compat_lock);
	free(iommu);
}

enum nsdk_iommu_backend nsdk_iommu_backend_of(const struct nsdk_iommu *iommu)
{
	return iommu->backend;
}

int nsdk_iommu_fd(const struct nsdk_iommu *iommu)
{
	return iommu->fd;
}
