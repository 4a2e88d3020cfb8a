/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IOMMU groups as files, /dev/vfio/N. The kernel lets a group be opened once, while a process may
 * drive several devices of it, so the file is shared and counted here. A group is in one container,
 * hence all its devices in one address space.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#include "vfio_internal.h"

struct nsdk_vfio_group {
	int number;
	unsigned refs;
	char name[NSDK_PCI_ADDR_CHARS]; /* of the device that opened it */
	struct nsdk_ioas *ioas;
	struct nsdk_ioas_member member;
	LIST_ENTRY(nsdk_vfio_group) link;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(nsdk_vfio_groups, nsdk_vfio_group) groups = LIST_HEAD_INITIALIZER(groups);

static int open_failed(int error, const char *path, const struct nsdk_vfio_group *group)
{
	char holder[96];

	switch (error) {
	case -EACCES:
		return nsdk_fail(error, "bus",
				 "no permission to open %s for %s: run as root, or let root give it to "
				 "your group with 'chgrp GROUP %s; chmod 660 %s' (to stay, a udev rule: "
				 "SUBSYSTEM==\"vfio\", GROUP=\"GROUP\", MODE=\"0660\")",
				 path, group->name, path, path);
	case -EBUSY:
		nsdk_iommu_file_holder(path, holder, sizeof(holder));
		return nsdk_fail(error, "bus",
				 "%s is in use: its IOMMU group %d is open already%s; end what uses it",
				 group->name, group->number, holder);
	case -ENOENT:
		return nsdk_fail(-ENODEV, "bus",
				 "%s should have the file %s, but it is not there: is the kernel built "
				 "with CONFIG_VFIO_GROUP, and is /dev passed on into this container?",
				 group->name, path);
	default:
		return nsdk_fail(error, "bus", "cannot open %s for %s: %s", path, group->name,
				 strerror(-error));
	}
}

/* Open the group and put it into the address space. @return 0 or -errno, logged. */
static int open_group(struct nsdk_vfio_group *group)
{
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/dev/vfio/%d", group->number);
	fd = nsdk_sys.open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return open_failed(-errno, path, group);
	group->member = (struct nsdk_ioas_member){
		.name = group->name,
		.group = group->number,
		.device_fd = -1,
		.group_fd = fd,
	};
	rc = nsdk_ioas_attach(group->ioas, &group->member);
	if (rc != 0)
		nsdk_sys.close(fd);
	return rc;
}

static struct nsdk_vfio_group *find(int number)
{
	struct nsdk_vfio_group *group;

	LIST_FOREACH(group, &groups, link)
		if (group->number == number)
			return group;
	return NULL;
}

int nsdk_vfio_group_get(int number, const char *bdf, struct nsdk_ioas *ioas,
			struct nsdk_vfio_group **out)
{
	struct nsdk_vfio_group *group;
	int rc = 0;

	pthread_mutex_lock(&lock);
	group = find(number);
	if (group != NULL) {
		if (group->ioas == ioas)
			group->refs++;
		else
			rc = nsdk_fail(-EBUSY, "bus",
				       "%s shares IOMMU group %d with %s, which is attached already: "
				       "both must be given the same address space "
				       "(nsdk_device_opts.ioas)",
				       bdf, number, group->name);
		goto unlock;
	}
	group = calloc(1, sizeof(*group));
	if (group == NULL) {
		rc = nsdk_fail(-ENOMEM, "bus", "no memory for an IOMMU group");
		goto unlock;
	}
	group->number = number;
	group->refs = 1;
	group->ioas = ioas;
	snprintf(group->name, sizeof(group->name), "%s", bdf);
	rc = open_group(group);
	if (rc != 0) {
		free(group);
		goto unlock;
	}
	LIST_INSERT_HEAD(&groups, group, link);
unlock:
	pthread_mutex_unlock(&lock);
	if (rc == 0)
		*out = group;
	return rc;
}

void nsdk_vfio_group_put(struct nsdk_vfio_group *group)
{
	pthread_mutex_lock(&lock);
	if (--group->refs == 0) {
		LIST_REMOVE(group, link);
		nsdk_ioas_detach(group->ioas, &group->member);
		nsdk_sys.close(group->member.group_fd);
		free(group);
	}
	pthread_mutex_unlock(&lock);
}

int nsdk_vfio_group_fd(const struct nsdk_vfio_group *group)
{
	return group->member.group_fd;
}
