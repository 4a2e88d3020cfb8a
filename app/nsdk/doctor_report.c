/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the doctor found, for people and for programs.
 */
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "tool.h"
#include "lib/env/json.h"

static const char *const state_names[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_NOTE] = "note",
	[DOCTOR_PROBLEM] = "PROBLEM",
};

void doctor_report(const struct doctor_facts *facts)
{
	const struct doctor_finding *finding;

	STAILQ_FOREACH(finding, &facts->findings, link) {
		printf("%-13s %-8s %s\n", finding->topic, state_names[finding->state],
		       finding->text);
		if (finding->mend[0] != '\0')
			printf("%-13s %-8s -> %s\n", "", "", finding->mend);
	}
	if (facts->problems == 0)
		printf("no problems\n");
	else
		printf("%u problem%s\n", facts->problems, facts->problems == 1 ? "" : "s");
}

/* ---- JSON ---- */

static void put_bool(struct json_object *object, const char *key, bool value)
{
	nsdk_json_put(object, key, json_object_new_boolean(value));
}

static struct json_object *json_iommufd(const struct doctor_facts *facts)
{
	struct json_object *object = json_object_new_object();

	put_bool(object, "available", facts->iommufd.available);
	nsdk_json_put_text(object, "reason", facts->iommufd.reason);
	return object;
}

static struct json_object *json_vfio(const struct doctor_facts *facts)
{
	struct json_object *object = json_object_new_object();

	put_bool(object, "cdev", facts->vfio.cdev);
	nsdk_json_put_text(object, "cdev_reason", facts->vfio.cdev_reason);
	put_bool(object, "group", facts->vfio.group);
	nsdk_json_put_text(object, "group_reason", facts->vfio.group_reason);
	put_bool(object, "vfio_pci", facts->vfio.pci_driver);
	return object;
}

static struct json_object *json_iommu(const struct doctor_facts *facts)
{
	struct json_object *object = json_object_new_object();
	struct json_object *names = json_object_new_array();

	for (unsigned i = 0; i < facts->iommu.count && i < DOCTOR_MAX_IOMMUS; i++)
		json_object_array_add(names, json_object_new_string(facts->iommu.names[i]));
	put_bool(object, "active", facts->iommu.groups > 0);
	nsdk_json_put_u64(object, "groups", facts->iommu.groups);
	nsdk_json_put(object, "units", names);
	return object;
}

static struct json_object *json_hugepages(const struct doctor_facts *facts)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < facts->hugepage_count; i++) {
		const struct nsdk_hugepage_info *info = &facts->hugepages[i];
		struct json_object *object = json_object_new_object();

		nsdk_json_put_u64(object, "node", info->node);
		nsdk_json_put_u64(object, "page_bytes", info->page_bytes);
		nsdk_json_put_u64(object, "total", info->total_pages);
		nsdk_json_put_u64(object, "free", info->free_pages);
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *json_memlock(const struct doctor_facts *facts)
{
	struct json_object *object = json_object_new_object();

	/* No limit at all is null: JSON has no infinity. */
	nsdk_json_put(object, "soft_bytes",
	    facts->memlock.soft_bytes == UINT64_MAX ?
		    NULL :
		    json_object_new_uint64(facts->memlock.soft_bytes));
	nsdk_json_put(object, "hard_bytes",
	    facts->memlock.hard_bytes == UINT64_MAX ?
		    NULL :
		    json_object_new_uint64(facts->memlock.hard_bytes));
	put_bool(object, "unlimited", facts->memlock.unlimited);
	return object;
}

static struct json_object *json_cpu(const struct doctor_facts *facts)
{
	struct json_object *object = json_object_new_object();
	struct json_object *caches = json_object_new_array();

	nsdk_json_put_text(object, "model", facts->cpu.model);
	nsdk_json_put_text(object, "writeback", facts->cpu.lines.writeback);
	nsdk_json_put_text(object, "invalidate", facts->cpu.lines.invalidate);
	nsdk_json_put_u64(object, "line_bytes", facts->cpu.lines.line_bytes);
	for (unsigned i = 0; i < facts->cpu.cache_count; i++) {
		const struct doctor_cache *cache = &facts->cpu.caches[i];
		struct json_object *entry = json_object_new_object();

		nsdk_json_put_u64(entry, "level", cache->level);
		nsdk_json_put_text(entry, "type", cache->type);
		nsdk_json_put_u64(entry, "size_bytes", cache->size_bytes);
		nsdk_json_put_u64(entry, "line_bytes", cache->line_bytes);
		nsdk_json_put_text(entry, "shared_cpus", cache->cpus);
		json_object_array_add(caches, entry);
	}
	nsdk_json_put(object, "caches", caches);
	return object;
}

static struct json_object *json_devices(const struct doctor_facts *facts)
{
	struct json_object *array = json_object_new_array();
	const struct doctor_device *device;

	STAILQ_FOREACH(device, &facts->devices, link) {
		struct json_object *object, *verdict = json_object_new_object();

		if (device->is_pci) {
			object = tool_pci_json(&device->info);
		} else {
			object = json_object_new_object();
			nsdk_json_put_text(object, "bdf", device->name);
			nsdk_json_put(object, "driver", NULL);
		}
		nsdk_json_put_text(verdict, "state", nsdk_snoop_state_name(device->verdict.state));
		nsdk_json_put_text(verdict, "reason", device->verdict.reason);
		nsdk_json_put(object, "verdict", verdict);
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *json_problems(const struct doctor_facts *facts)
{
	struct json_object *array = json_object_new_array();
	const struct doctor_finding *finding;

	STAILQ_FOREACH(finding, &facts->findings, link) {
		struct json_object *object;

		if (finding->state != DOCTOR_PROBLEM)
			continue;
		object = json_object_new_object();
		nsdk_json_put_text(object, "topic", finding->topic);
		nsdk_json_put_text(object, "problem", finding->text);
		nsdk_json_put_text(object, "mend", finding->mend);
		json_object_array_add(array, object);
	}
	return array;
}

struct json_object *doctor_json(const struct doctor_facts *facts)
{
	struct json_object *object = json_object_new_object();

	nsdk_json_put_text(object, "kernel", facts->kernel);
	nsdk_json_put_text(object, "machine", facts->machine);
	nsdk_json_put_text(object, "user", facts->user);
	nsdk_json_put(object, "iommu", json_iommu(facts));
	nsdk_json_put(object, "iommufd", json_iommufd(facts));
	nsdk_json_put(object, "vfio", json_vfio(facts));
	nsdk_json_put(object, "hugepages", json_hugepages(facts));
	nsdk_json_put(object, "memlock", json_memlock(facts));
	nsdk_json_put(object, "cpu", json_cpu(facts));
	nsdk_json_put(object, "devices", json_devices(facts));
	nsdk_json_put(object, "problems", json_problems(facts));
	return object;
}
