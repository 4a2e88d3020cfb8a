/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI-X vectors as eventfds, and the two notices of VFIO: that the device is wanted back, and that it
 * has reported an error it cannot recover from.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/vfio.h>

#include <nsdk/log.h>

#include "vfio_internal.h"

static const struct {
	uint32_t index;
	const char *meaning;
} notices[NSDK_VFIO_NOTICES] = {
	[NSDK_VFIO_NOTICE_REQUEST] = {VFIO_PCI_REQ_IRQ_INDEX,
				      "it is being unplugged, or taken away by its driver"},
	[NSDK_VFIO_NOTICE_ERROR] = {VFIO_PCI_ERR_IRQ_INDEX,
				    "it has reported a PCIe error that it cannot recover from"},
};

/* How many interrupts an index has; an index that the kernel does not know has none. -errno. */
static int count_of_index(const struct nsdk_vfio *vfio, uint32_t index)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};
	int rc = nsdk_sys_ioctl(vfio->fd, VFIO_DEVICE_GET_IRQ_INFO, &info);

	if (rc == -EINVAL)
		return 0;
	return rc < 0 ? rc : (int)info.count;
}

/* Let @p count interrupts of an index from @p first on signal @p eventfds; with count 0, none any more. */
static int set_eventfds(const struct nsdk_vfio *vfio, uint32_t index, unsigned first, const int *eventfds,
			unsigned count)
{
	struct vfio_irq_set *set;
	size_t bytes = sizeof(*set) + count * sizeof(*eventfds);
	int rc;

	set = calloc(1, bytes);
	if (set == NULL)
		return -ENOMEM;
	set->argsz = (uint32_t)bytes;
	set->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		     (count > 0 ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->start = first;
	set->count = count;
	if (count > 0)
		memcpy(set->data, eventfds, count * sizeof(*eventfds));
	rc = nsdk_sys_ioctl(vfio->fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return rc;
}

static void close_notices(struct nsdk_vfio *vfio)
{
	for (unsigned i = 0; i < NSDK_VFIO_NOTICES; i++) {
		if (vfio->notice_fd[i] >= 0)
			nsdk_sys.close(vfio->notice_fd[i]);
		vfio->notice_fd[i] = -1;
	}
}

/* @return 0 or -errno, not logged. */
static int open_notice(struct nsdk_vfio *vfio, unsigned i)
{
	int count = count_of_index(vfio, notices[i].index);

	if (count <= 0)
		return count;
	vfio->notice_fd[i] = nsdk_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vfio->notice_fd[i] < 0)
		return -errno;
	return set_eventfds(vfio, notices[i].index, 0, &vfio->notice_fd[i], 1);
}

int nsdk_vfio_irq_open(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	int rc;

	rc = count_of_index(vfio, VFIO_PCI_MSIX_IRQ_INDEX);
	if (rc >= 0) {
		vfio->irq_count = (unsigned)rc;
		rc = 0;
	}
	for (unsigned i = 0; i < NSDK_VFIO_NOTICES && rc == 0; i++)
		rc = open_notice(vfio, i);
	if (rc == 0)
		return 0;
	/* The kernel forgets the eventfds with the device's file, which the caller closes. */
	close_notices(vfio);
	return nsdk_fail(rc, "bus", "cannot set up the interrupts of %s: %s", dev->name, strerror(-rc));
}

int nsdk_vfio_irq_disarm(struct nsdk_vfio *vfio)
{
	int rc;

	if (vfio->irqs_on == 0)
		return 0;
	rc = set_eventfds(vfio, VFIO_PCI_MSIX_IRQ_INDEX, 0, NULL, 0);
	if (rc == 0)
		vfio->irqs_on = 0;
	return rc;
}

void nsdk_vfio_irq_close(struct nsdk_device *dev)
{
	(void)nsdk_vfio_irq_disarm(nsdk_vfio_of(dev));
	close_notices(nsdk_vfio_of(dev));
}

unsigned nsdk_vfio_irq_count(struct nsdk_device *dev)
{
	return nsdk_vfio_of(dev)->irq_count;
}

int nsdk_vfio_irq_enable(struct nsdk_device *dev, const int *eventfds, unsigned count)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	int rc;

	/* The number of vectors is fixed while MSI-X is on. */
	rc = nsdk_vfio_irq_disable(dev);
	if (rc != 0)
		return rc;
	rc = set_eventfds(vfio, VFIO_PCI_MSIX_IRQ_INDEX, 0, eventfds, count);
	if (rc > 0)
		return nsdk_fail(-ENOSPC, "bus",
				 "cannot arm %u interrupts of %s: the system has only %d vectors left",
				 count, dev->name, rc);
	if (rc != 0)
		return nsdk_fail(rc, "bus", "cannot arm %u interrupts of %s: %s", count, dev->name,
				 strerror(-rc));
	vfio->irqs_on = count;
	return 0;
}

int nsdk_vfio_irq_disable(struct nsdk_device *dev)
{
	int rc = nsdk_vfio_irq_disarm(nsdk_vfio_of(dev));

	if (rc != 0)
		return nsdk_fail(rc, "bus", "cannot disarm the interrupts of %s: %s", dev->name,
				 strerror(-rc));
	return 0;
}

int nsdk_vfio_irq_set(struct nsdk_device *dev, unsigned vector, int eventfd)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	int rc = -EINVAL;

	/* Without an eventfd the kernel gives the interrupt back, which masks the vector in the device. */
	if (vector < vfio->irqs_on)
		rc = set_eventfds(vfio, VFIO_PCI_MSIX_IRQ_INDEX, vector, &eventfd, 1);
	if (rc > 0)
		rc = -ENOSPC;
	if (rc != 0 && nsdk_device_answers(dev))
		return nsdk_fail(rc, "bus", "cannot %s interrupt %u of %s: %s",
				 eventfd < 0 ? "disarm" : "arm", vector, dev->name, strerror(-rc));
	return rc == 0 ? 0 : -ENODEV;
}

unsigned nsdk_vfio_notices(struct nsdk_device *dev, int *fds)
{
	const struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	unsigned count = 0;

	for (unsigned i = 0; i < NSDK_VFIO_NOTICES; i++)
		if (vfio->notice_fd[i] >= 0)
			fds[count++] = vfio->notice_fd[i];
	return count;
}

void nsdk_vfio_check(struct nsdk_device *dev)
{
	struct nsdk_vfio *vfio = nsdk_vfio_of(dev);
	uint64_t count;

	for (unsigned i = 0; i < NSDK_VFIO_NOTICES; i++) {
		if (vfio->notice_fd[i] < 0 ||
		    nsdk_sys.read(vfio->notice_fd[i], &count, sizeof(count)) != sizeof(count))
			continue;
		if (i == NSDK_VFIO_NOTICE_REQUEST)
			vfio->wanted_back = true;
		nsdk_device_set_gone(dev, notices[i].meaning);
	}
}
