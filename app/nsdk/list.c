/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk list: the devices that NSDK can drive, and who has them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "tool.h"

static const char list_help[] =
	"usage: nsdk list [OPTION]...\n"
	"\n"
	"List the devices that NSDK can drive: address, kernel driver, IOMMU group, NUMA node, IDs\n"
	"and name. A device that is bound to vfio-pci is ready for NSDK.\n"
	"\n"
	"  --all          every PCI function, not just those that NSDK has a driver for\n"
	"  --json[=FILE]  {\"devices\": [{\"bdf\", \"driver\", \"iommu_group\", \"numa_node\", …}]}\n"
	"  --verbose, --help\n"
	"\n"
	"Exit status: 0 done, even when there is none; 1 failed; 2 wrong usage.\n";

enum {
	OPT_ALL = TOOL_OPT_FIRST,
};

static const struct option list_options[] = {
	{ "all", no_argument, NULL, OPT_ALL },
	TOOL_COMMON_OPTIONS,
};

struct listing {
	bool all;
	struct json_object *devices;
	unsigned count;
	bool print;
};

struct json_object *tool_pci_json(const struct nsdk_pci_info *info)
{
	struct json_object *object = json_object_new_object();
	char id[8];

	json_object_object_add(object, "bdf", json_object_new_string(info->bdf));
	json_object_object_add(object, "driver",
			       info->driver[0] == '\0' ? NULL :
							 json_object_new_string(info->driver));
	json_object_object_add(object, "iommu_group",
			       info->iommu_group < 0 ? NULL :
						       json_object_new_int(info->iommu_group));
	json_object_object_add(object, "numa_node",
			       info->numa_node < 0 ? NULL : json_object_new_int(info->numa_node));
	json_object_object_add(object, "vfio_cdev",
			       info->vfio_cdev[0] == '\0' ?
				       NULL :
				       json_object_new_string(info->vfio_cdev));
	snprintf(id, sizeof(id), "%04x", info->vendor_id);
	json_object_object_add(object, "vendor_id", json_object_new_string(id));
	snprintf(id, sizeof(id), "%04x", info->device_id);
	json_object_object_add(object, "device_id", json_object_new_string(id));
	snprintf(id, sizeof(id), "%06x", info->class_code & 0xffffff);
	json_object_object_add(object, "class", json_object_new_string(id));
	json_object_object_add(object, "name", json_object_new_string(info->name));
	return object;
}

static const char *number_or_dash(int number, char *buf, size_t buf_bytes)
{
	if (number < 0)
		snprintf(buf, buf_bytes, "-");
	else
		snprintf(buf, buf_bytes, "%d", number);
	return buf;
}

static int list_one(void *ctx, const struct nsdk_pci_info *info)
{
	struct listing *listing = ctx;
	char group[16], node[16];

	if (!listing->all && info->class_code != TOOL_CLASS_NVME)
		return 0;
	if (listing->devices != NULL)
		json_object_array_add(listing->devices, tool_pci_json(info));
	if (listing->print) {
		if (listing->count == 0)
			printf("%-13s %-12s %5s %4s %-9s %s\n", "ADDRESS", "DRIVER", "GROUP",
			       "NODE", "ID", "NAME");
		printf("%-13s %-12s %5s %4s %04x:%04x %s\n", info->bdf,
		       info->driver[0] == '\0' ? "-" : info->driver,
		       number_or_dash(info->iommu_group, group, sizeof(group)),
		       number_or_dash(info->numa_node, node, sizeof(node)), info->vendor_id,
		       info->device_id, info->name);
	}
	listing->count++;
	return 0;
}

static int list_main(const struct tool_command *self, int argc, char **argv)
{
	struct listing listing = { 0 };
	struct json_object *object;
	struct tool_args args;
	int opt, rc;

	tool_args_init(&args, self, list_options, argc, argv);
	while ((opt = tool_args_next(&args)) != TOOL_OPT_END) {
		if (opt == TOOL_OPT_STOP)
			return args.status;
		listing.all = true; /* the only one there is */
	}
	if (optind < argc)
		return tool_usage(self, "it takes no device: '%s' is one word too many",
				  argv[optind]);
	if (args.json)
		listing.devices = json_object_new_array();
	listing.print = !args.json || args.json_file != NULL;
	rc = nsdk_pci_scan(list_one, &listing);
	if (rc != 0) {
		json_object_put(listing.devices);
		return TOOL_FAILED;
	}
	if (listing.print && listing.count == 0)
		printf("there is no %s on this machine\n",
		       listing.all ? "PCI function" : "NVMe controller");
	if (!args.json)
		return TOOL_DONE;
	object = json_object_new_object();
	json_object_object_add(object, "devices", listing.devices);
	return tool_json_print(&args, object);
}

const struct tool_command tool_list = {
	.name = "list",
	.summary = "the devices that NSDK can drive, and which driver has them",
	.help = list_help,
	.run = list_main,
};
