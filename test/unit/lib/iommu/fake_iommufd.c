/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake kernel's iommufd: one file, a few objects.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#define FIRST_ID 100
#define MAX_OBJECTS 32

enum object_kind { NO_OBJECT, IOAS, TABLE, DEVICE };

static struct object {
	enum object_kind kind;
	struct fake_file *owner;
	unsigned users;
	/* of a table */
	uint32_t ioas;
	bool enforces;
	bool made_by_kernel;
	/* of a device */
	struct fake_device *device;
} objects[MAX_OBJECTS];

void fake_iommufd_reset(void)
{
	memset(objects, 0, sizeof(objects));
}

static struct object *find(uint32_t id, enum object_kind kind)
{
	struct object *object;

	if (id < FIRST_ID || id >= FIRST_ID + MAX_OBJECTS)
		return NULL;
	object = &objects[id - FIRST_ID];
	return object->kind == kind ? object : NULL;
}

static uint32_t id_of(const struct object *object)
{
	return FIRST_ID + (uint32_t)(object - objects);
}

static struct object *new_object(enum object_kind kind, struct fake_file *owner)
{
	for (unsigned i = 0; i < MAX_OBJECTS; i++) {
		if (objects[i].kind != NO_OBJECT)
			continue;
		objects[i] = (struct object){.kind = kind, .owner = owner};
		return &objects[i];
	}
	abort();
}

uint32_t fake_iommufd_ioas_of(uint32_t hwpt)
{
	struct object *table = find(hwpt, TABLE);

	return table == NULL ? 0 : table->ioas;
}

static void destroy_table(struct object *table)
{
	fake_unreserve(table->ioas, id_of(table));
	find(table->ioas, IOAS)->users--;
	table->kind = NO_OBJECT;
}

static int destroy(struct iommu_destroy *cmd)
{
	struct object *object = find(cmd->id, IOAS);

	if (object != NULL) {
		if (object->users != 0)
			return fake_errno(EBUSY);
		if (fake.compat_ioas == cmd->id)
			fake.compat_ioas = 0;
		fake.objects_left += fake_map_drop(cmd->id);
		object->kind = NO_OBJECT;
		return 0;
	}
	object = find(cmd->id, TABLE);
	if (object == NULL || object->made_by_kernel)
		return fake_errno(ENOENT);
	if (object->users != 0)
		return fake_errno(EBUSY);
	destroy_table(object);
	return 0;
}

static int table_alloc(struct fake_file *file, struct iommu_hwpt_alloc *cmd)
{
	struct object *dev = find(cmd->dev_id, DEVICE), *ioas = find(cmd->pt_id, IOAS), *table;
	int error;

	if (dev == NULL || ioas == NULL)
		return fake_errno(ENOENT);
	if (dev->device->no_hwpt_alloc)
		return fake_errno(EOPNOTSUPP);
	table = new_object(TABLE, file);
	table->ioas = cmd->pt_id;
	table->enforces = dev->device->enforces;
	ioas->users++;
	if (dev->device->late_table) {
		error = fake_reserve(cmd->pt_id, id_of(table), 1, UINT64_MAX);
		if (error != 0) {
			destroy_table(table);
			return fake_errno(error);
		}
	}
	fake.own_tables++;
	cmd->out_hwpt_id = id_of(table);
	return 0;
}

static int iova_ranges(struct iommu_ioas_iova_ranges *cmd)
{
	struct nsdk_iova_range gaps[64];
	struct nsdk_iova_range *out = (void *)(uintptr_t)cmd->allowed_iovas;
	unsigned count, room = cmd->num_iovas;

	if (find(cmd->ioas_id, IOAS) == NULL)
		return fake_errno(ENOENT);
	count = fake_gaps(cmd->ioas_id, gaps, 64);
	if (fake.many_ranges) {
		/* The last one falls apart into many, a page between each two. */
		uint64_t first = gaps[count - 1].first;

		for (unsigned i = 0; i < 30; i++, count++)
			gaps[count - 1] = (struct nsdk_iova_range){first + i * 0x4000ull,
								   first + i * 0x4000ull + 0x2fff};
		count--;
	}
	for (unsigned i = 0; i < count && i < room; i++)
		out[i] = gaps[i];
	cmd->num_iovas = count;
	cmd->out_iova_alignment = 4096;
	return count > room ? fake_errno(EMSGSIZE) : 0;
}

static int map(struct iommu_ioas_map *cmd)
{
	if (find(cmd->ioas_id, IOAS) == NULL)
		return fake_errno(ENOENT);
	if ((cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA) == 0)
		return fake_errno(EOPNOTSUPP); /* nobody here lets the kernel choose */
	return fake_map_add(cmd->ioas_id, cmd->iova, cmd->user_va, cmd->length,
			    cmd->flags & ~(unsigned)IOMMU_IOAS_MAP_FIXED_IOVA, true);
}

static int copy(struct iommu_ioas_copy *cmd)
{
	struct fake_map *from;

	if (find(cmd->src_ioas_id, IOAS) == NULL || find(cmd->dst_ioas_id, IOAS) == NULL)
		return fake_errno(ENOENT);
	from = fake_map_find(cmd->src_ioas_id, cmd->src_iova, cmd->src_iova);
	if (from == NULL || from->iova != cmd->src_iova || from->bytes != cmd->length)
		return fake_errno(ENOENT);
	return fake_map_add(cmd->dst_ioas_id, cmd->dst_iova, from->va, cmd->length,
			    cmd->flags & ~(unsigned)IOMMU_IOAS_MAP_FIXED_IOVA, false);
}

static int hw_info(struct iommu_hw_info *cmd)
{
	struct object *dev = find(cmd->dev_id, DEVICE);
	struct iommu_hw_info_vtd vtd = {0};

	if (fake.hw_info_error != 0)
		return fake_errno(fake.hw_info_error);
	if (dev == NULL)
		return fake_errno(ENOENT);
	cmd->out_data_type = dev->device->hw_type;
	vtd.ecap_reg = dev->device->ecap;
	if (dev->device->hw_type == IOMMU_HW_INFO_TYPE_INTEL_VTD && cmd->data_len >= sizeof(vtd))
		memcpy((void *)(uintptr_t)cmd->data_uptr, &vtd, sizeof(vtd));
	return 0;
}

static int compat_slot(struct iommu_vfio_ioas *cmd)
{
	if (cmd->op == IOMMU_VFIO_IOAS_SET && find(cmd->ioas_id, IOAS) == NULL)
		return fake_errno(ENOENT);
	fake.compat_ioas = cmd->op == IOMMU_VFIO_IOAS_SET ? cmd->ioas_id : 0;
	return 0;
}

static int check_extension(uintptr_t which)
{
	int cc = 1; /* the empty truth */

	if (which != VFIO_DMA_CC_IOMMU)
		return 0;
	if (fake.compat_ioas == 0)
		return fake_errno(ENODEV);
	for (unsigned i = 0; i < MAX_OBJECTS; i++)
		if (objects[i].kind == TABLE && objects[i].ioas == fake.compat_ioas &&
		    !objects[i].enforces)
			cc = 0;
	return fake.cc_answer >= 0 ? fake.cc_answer : cc;
}

int fake_iommufd_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	switch (request) {
	case IOMMU_DESTROY:
		return destroy(arg);
	case IOMMU_IOAS_ALLOC:
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = id_of(new_object(IOAS, file));
		return 0;
	case IOMMU_HWPT_ALLOC:
		return table_alloc(file, arg);
	case IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(arg);
	case IOMMU_IOAS_MAP:
		return map(arg);
	case IOMMU_IOAS_COPY:
		return copy(arg);
	case IOMMU_IOAS_UNMAP:
		return fake_map_remove(((struct iommu_ioas_unmap *)arg)->ioas_id,
				       ((struct iommu_ioas_unmap *)arg)->iova,
				       ((struct iommu_ioas_unmap *)arg)->length);
	case IOMMU_GET_HW_INFO:
		return hw_info(arg);
	case IOMMU_VFIO_IOAS:
		return compat_slot(arg);
	case VFIO_CHECK_EXTENSION:
		return check_extension((uintptr_t)arg);
	default:
		return fake_errno(ENOTTY);
	}
}

void fake_iommufd_closed(struct fake_file *file)
{
	for (unsigned i = 0; i < MAX_OBJECTS; i++) {
		if (objects[i].kind == NO_OBJECT || objects[i].owner != file)
			continue;
		if (objects[i].kind == IOAS)
			fake.objects_left += fake_map_drop(id_of(&objects[i]));
		objects[i].kind = NO_OBJECT;
		fake.objects_left++;
	}
}

/* ---- devices ---- */

int fake_iommufd_bind(struct fake_device *device, int iommufd)
{
	struct fake_file *file = fake_file_of(iommufd);
	struct object *object;

	if (file == NULL || file->kind != FAKE_IOMMUFD)
		return fake_errno(EBADF);
	if (device->unsafe_interrupts)
		return fake_errno(EPERM);
	if (device->group_not_viable)
		return fake_errno(EBUSY);
	object = new_object(DEVICE, file);
	object->device = device;
	device->devid = id_of(object);
	return 0;
}

void fake_iommufd_unbind(struct fake_device *device)
{
	struct object *object = find(device->devid, DEVICE);

	fake_iommufd_detach(device);
	if (object != NULL)
		object->kind = NO_OBJECT;
	device->devid = 0;
}

static struct object *new_table_by_kernel(struct object *ioas, struct fake_device *device)
{
	struct object *table = new_object(TABLE, ioas->owner);

	table->ioas = id_of(ioas);
	table->enforces = device->enforces;
	table->made_by_kernel = true;
	ioas->users++;
	fake.auto_tables++;
	return table;
}

/* The first table that the kernel made for the address space and that the device can be put on. */
static struct object *find_table_for(struct object *ioas, struct fake_device *device)
{
	for (unsigned i = 0; i < MAX_OBJECTS; i++)
		if (objects[i].kind == TABLE && objects[i].made_by_kernel &&
		    objects[i].ioas == id_of(ioas) && (!objects[i].enforces || device->enforces))
			return &objects[i];
	return NULL;
}

int fake_iommufd_attach(struct fake_device *device, uint32_t *pt_id)
{
	struct object *table = find(*pt_id, TABLE), *ioas = find(*pt_id, IOAS);
	int error = 0;

	if (device->hwpt != 0 || device->rejects_tables || (table == NULL && ioas == NULL))
		return fake_errno(EINVAL);
	if (table == NULL)
		table = find_table_for(ioas, device);
	else if (table->enforces && !device->enforces)
		return fake_errno(EINVAL);
	if (table == NULL)
		table = new_table_by_kernel(ioas, device);
	/* The devices of a group are on one table. */
	for (unsigned i = 0; i < fake.device_count; i++)
		if (&fake.devices[i] != device && fake.devices[i].group == device->group &&
		    fake.devices[i].hwpt != 0 && fake.devices[i].hwpt != id_of(table))
			error = EINVAL;
	if (error == 0)
		error = fake_reserve_device(table->ioas, device->devid, device);
	if (error != 0) {
		if (table->made_by_kernel && table->users == 0)
			destroy_table(table);
		return fake_errno(error);
	}
	table->users++;
	device->hwpt = id_of(table);
	*pt_id = id_of(table);
	return 0;
}

void fake_iommufd_detach(struct fake_device *device)
{
	struct object *table = find(device->hwpt, TABLE);

	if (table == NULL)
		return;
	fake_unreserve(table->ioas, device->devid);
	device->hwpt = 0;
	if (--table->users == 0 && table->made_by_kernel)
		destroy_table(table);
}
