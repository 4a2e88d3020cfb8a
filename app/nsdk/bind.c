/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk bind and nsdk unbind: hand PCI functions to vfio-pci, and back to the kernel's drivers.
 */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "tool.h"

#define COMMON_HELP                                                                                \
	"  --json[=FILE]  {\"devices\": [{\"bdf\", \"driver\", \"driver_before\"}]}\n"             \
	"  --verbose, --help\n"                                                                    \
	"\n"                                                                                       \
	"Exit status: 0 done; 1 failed, what is listed is done all the same; 2 wrong usage.\n"

static const char bind_help[] =
	"usage: nsdk bind ADDRESS... [OPTION]...\n"
	"\n"
	"Bind PCI functions to vfio-pci, so that NSDK can drive them, also as an ordinary user who\n"
	"may open their files in /dev/vfio. Refused for a device that is in use: a mounted file\n"
	"system, swap, a member of a RAID or volume group, the default route.\n"
	"It lasts until 'nsdk unbind' or the next start of the machine. perf and identify need no\n"
	"bind as root: they do it themselves, and undo it.\n"
	"\n" COMMON_HELP "\n"
	"Example:\n"
	"  nsdk bind 0000:03:00.0\n";

static const char unbind_help[] =
	"usage: nsdk unbind ADDRESS... [OPTION]...\n"
	"\n"
	"Give PCI functions back to the kernel's own drivers.\n"
	"\n" COMMON_HELP "\n"
	"Example:\n"
	"  nsdk unbind 0000:03:00.0\n";

static const struct option bind_options[] = { TOOL_COMMON_OPTIONS };

struct binding {
	bool bind;
	bool print;
	struct json_object *devices;
};

/* @return 0 or -errno, said. */
static int do_one(const struct binding *binding, const struct nsdk_pci_addr *addr)
{
	struct nsdk_pci_info before, after;
	struct json_object *object;
	int rc;

	rc = nsdk_pci_info(addr, &before);
	if (rc != 0)
		return rc;
	rc = binding->bind ? nsdk_pci_bind(addr, "vfio-pci", NULL) : nsdk_pci_unbind(addr);
	if (rc != 0)
		return rc;
	rc = nsdk_pci_info(addr, &after);
	if (rc != 0)
		return rc;
	if (binding->print) {
		const char *was = before.driver[0] == '\0' ? "no driver" : before.driver;
		const char *is = after.driver[0] == '\0' ? "no driver" : after.driver;

		if (strcmp(was, is) == 0)
			printf("%s: %s, as it was\n", after.bdf, is);
		else
			printf("%s: %s, was %s\n", after.bdf, is, was);
	}
	if (binding->devices != NULL) {
		object = json_object_new_object();
		json_object_object_add(object, "bdf", json_object_new_string(after.bdf));
		json_object_object_add(object, "driver", json_object_new_string(after.driver));
		json_object_object_add(object, "driver_before",
				       json_object_new_string(before.driver));
		json_object_array_add(binding->devices, object);
	}
	return 0;
}

static int bind_main(const struct tool_command *self, int argc, char **argv)
{
	struct binding binding = { .bind = self == &tool_bind };
	struct nsdk_pci_addr addr;
	struct json_object *object;
	struct tool_args args;
	int status = TOOL_DONE;

	tool_args_init(&args, self, bind_options, argc, argv);
	if (tool_args_next(&args) == TOOL_OPT_STOP)
		return args.status;
	if (optind == argc)
		return tool_usage(self, "an address is missing, as 0000:00:03.0");
	/* All the words first: nothing is half done for a slip of the finger. */
	for (int i = optind; i < argc; i++)
		if (tool_parse_pci(self, argv[i], &addr) != 0)
			return TOOL_USAGE;
	if (args.json)
		binding.devices = json_object_new_array();
	binding.print = !args.json || args.json_file != NULL;
	for (int i = optind; i < argc; i++) {
		nsdk_pci_addr_parse(argv[i], &addr);
		if (do_one(&binding, &addr) != 0)
			status = TOOL_FAILED;
	}
	if (args.json) {
		object = json_object_new_object();
		json_object_object_add(object, "devices", binding.devices);
		if (tool_json_print(&args, object) != TOOL_DONE)
			status = TOOL_FAILED;
	}
	return status;
}

const struct tool_command tool_bind = {
	.name = "bind",
	.summary = "hand PCI functions to vfio-pci",
	.help = bind_help,
	.run = bind_main,
};

const struct tool_command tool_unbind = {
	.name = "unbind",
	.summary = "give them back to the kernel's drivers",
	.help = unbind_help,
	.run = bind_main,
};
