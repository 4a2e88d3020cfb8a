/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOMMU handle that devices share when nobody gives them one, and the address space of a device.
 *
 * One handle for all lets iommufd share pinned pages between their address spaces. It is made with
 * the first device and closed with the last; an application that wants several passes its own.
 */
#include <errno.h>
#include <pthread.h>

#include <nsdk/log.h>

#include "bus_internal.h"
#include "lib/iommu/iommu_internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct nsdk_iommu *iommu;
	unsigned refs;
} shared[NSDK_IOMMU_SOFT + 1];

int nsdk_bus_iommu_get(enum nsdk_iommu_backend backend, struct nsdk_iommu **out)
{
	int rc = 0;

	*out = NULL;
	if (backend == NSDK_IOMMU_AUTO) {
		rc = nsdk_iommu_resolve(backend, &backend, NULL);
		if (rc != 0)
			return rc;
	}
	pthread_mutex_lock(&lock);
	if (shared[backend].refs == 0)
		rc = nsdk_iommu_open(backend, &shared[backend].iommu);
	if (rc == 0) {
		shared[backend].refs++;
		*out = shared[backend].iommu;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void nsdk_bus_iommu_put(struct nsdk_iommu *iommu)
{
	enum nsdk_iommu_backend backend;

	if (iommu == NULL)
		return;
	backend = nsdk_iommu_backend_of(iommu);
	pthread_mutex_lock(&lock);
	if (shared[backend].iommu == iommu && --shared[backend].refs == 0) {
		nsdk_iommu_close(iommu);
		shared[backend].iommu = NULL;
	}
	pthread_mutex_unlock(&lock);
}

/* An emulated device lives in a soft address space, hardware in one of the kernel's. */
static int check_backend(const struct nsdk_device *dev, const struct nsdk_iommu *iommu,
			 enum nsdk_iommu_backend wanted)
{
	enum nsdk_iommu_backend given = nsdk_iommu_backend_of(iommu);

	if ((given == NSDK_IOMMU_SOFT) == (wanted == NSDK_IOMMU_SOFT))
		return 0;
	return nsdk_fail(-EINVAL, "bus",
			 "%s cannot use the address space that it was given: emulated devices need a "
			 "soft one, hardware one of iommufd or type1",
			 dev->name);
}

int nsdk_bus_space_get(struct nsdk_device *dev, const struct nsdk_device_opts *opts,
		       enum nsdk_iommu_backend backend)
{
	struct nsdk_iommu *iommu = opts->ioas != NULL ? nsdk_ioas_iommu(opts->ioas) : opts->iommu;
	int rc;

	if (iommu != NULL) {
		rc = check_backend(dev, iommu, backend);
		if (rc != 0)
			return rc;
	} else {
		rc = nsdk_bus_iommu_get(backend, &dev->iommu);
		if (rc != 0)
			return rc;
		iommu = dev->iommu;
	}
	if (opts->ioas != NULL) {
		dev->ioas = opts->ioas;
		return 0;
	}
	rc = nsdk_ioas_create(iommu, &dev->ioas);
	if (rc != 0) {
		nsdk_bus_space_put(dev);
		return rc;
	}
	dev->ioas_owned = true;
	return 0;
}

void nsdk_bus_space_put(struct nsdk_device *dev)
{
	if (dev->ioas_owned)
		nsdk_ioas_destroy(dev->ioas);
	dev->ioas = NULL;
	dev->ioas_owned = false;
	nsdk_bus_iommu_put(dev->iommu);
	dev->iommu = NULL;
}
