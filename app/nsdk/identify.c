/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk identify: what an NVMe controller says of itself and its namespaces.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include <nsdk/bus.h>
#include <nsdk/mem.h>
#include <nsdk/nvme.h>

#include "identify.h"
#include "tool.h"

static const char identify_help[] =
	"usage: nsdk identify DEVICE [OPTION]...\n"
	"\n"
	"Bring an NVMe controller up and show what it says of itself and its namespaces.\n"
	"\n"
	"  --ns=N         this namespace only [all active ones]\n"
	"  --json[=FILE]  the fields of Identify Controller under their names in the specification\n"
	"                 (as in nvme-cli's JSON), and namespaces[], each with its nsid,\n"
	"                 block_bytes and the fields of Identify Namespace\n"
	"  --verbose, --help\n"
	"\n"
	"A DEVICE is 0000:00:03.0, pci:0000:00:03.0, or emu:nvme[,option=value]... A PCI function\n"
	"that another driver holds is bound to vfio-pci meanwhile and given back.\n"
	"Exit status: 0 done; 1 failed; 2 wrong usage.\n"
	"\n"
	"Example:\n"
	"  nsdk identify emu:nvme,namespaces=2,lba=4096\n";

enum {
	OPT_NS = TOOL_OPT_FIRST,
};

static const struct option identify_options[] = {
	{ "ns", required_argument, NULL, OPT_NS },
	TOOL_COMMON_OPTIONS,
};

static struct json_object *json_ns(const struct nsdk_nvme_ns *ns)
{
	const struct nsdk_nvme_id_ns *data = nsdk_nvme_ns_data(ns);
	struct json_object *object = json_object_new_object();
	struct json_object *formats = json_object_new_array();

	json_object_object_add(object, "nsid", json_object_new_uint64(nsdk_nvme_ns_id(ns)));
	json_object_object_add(object, "block_bytes",
			       json_object_new_uint64(nsdk_nvme_ns_block_bytes(ns)));
	json_object_object_add(object, "size_bytes",
			       json_object_new_uint64(nsdk_nvme_ns_blocks(ns) *
						      nsdk_nvme_ns_block_bytes(ns)));
	identify_json(object, identify_ns_fields, data);
	for (unsigned i = 0; i <= data->nlbaf && i < 64; i++) {
		struct json_object *format = json_object_new_object();

		json_object_object_add(format, "ms", json_object_new_int(data->lbaf[i].ms));
		json_object_object_add(format, "ds", json_object_new_int(data->lbaf[i].lbads));
		json_object_object_add(format, "rp", json_object_new_int(data->lbaf[i].rp & 3));
		json_object_array_add(formats, format);
	}
	json_object_object_add(object, "lbafs", formats);
	return object;
}

static void print_ns(const struct nsdk_nvme_ns *ns)
{
	char size[32];

	printf("namespace %u: %s in blocks of %u bytes\n", nsdk_nvme_ns_id(ns),
	       tool_format_bytes((double)nsdk_nvme_ns_blocks(ns) * nsdk_nvme_ns_block_bytes(ns),
				 size, sizeof(size)),
	       nsdk_nvme_ns_block_bytes(ns));
	identify_print(identify_ns_fields, nsdk_nvme_ns_data(ns), "  ");
}

static struct json_object *json_ctrlr(struct nsdk_device *dev, struct nsdk_nvme_ctrlr *ctrlr,
				      uint32_t nsid)
{
	struct json_object *object = json_object_new_object();
	struct json_object *namespaces = json_object_new_array();

	json_object_object_add(object, "device", json_object_new_string(nsdk_device_name(dev)));
	json_object_object_add(object, "bus", json_object_new_string(nsdk_device_bus_name(dev)));
	json_object_object_add(object, "cap", json_object_new_uint64(nsdk_nvme_ctrlr_cap(ctrlr)));
	json_object_object_add(object, "vs", json_object_new_uint64(nsdk_nvme_ctrlr_version(ctrlr)));
	json_object_object_add(
		object, "max_transfer_bytes",
		json_object_new_uint64(nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr)));
	identify_json(object, identify_ctrl_fields, nsdk_nvme_ctrlr_data(ctrlr));
	for (uint32_t id = nsdk_nvme_ns_next(ctrlr, 0); id != 0; id = nsdk_nvme_ns_next(ctrlr, id))
		if (nsid == 0 || nsid == id)
			json_object_array_add(namespaces, json_ns(nsdk_nvme_ns_get(ctrlr, id)));
	json_object_object_add(object, "namespaces", namespaces);
	return object;
}

static void print_ctrlr(struct nsdk_device *dev, struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid)
{
	uint32_t version = nsdk_nvme_ctrlr_version(ctrlr);
	char bytes[32];

	printf("%s: NVM Express %u.%u.%u, through %s, at most %s a command\n", nsdk_device_name(dev),
	       version >> 16, version >> 8 & 0xff, version & 0xff, nsdk_device_bus_name(dev),
	       tool_format_bytes((double)nsdk_nvme_ctrlr_max_transfer_bytes(ctrlr), bytes,
				 sizeof(bytes)));
	identify_print(identify_ctrl_fields, nsdk_nvme_ctrlr_data(ctrlr), "  ");
	for (uint32_t id = nsdk_nvme_ns_next(ctrlr, 0); id != 0; id = nsdk_nvme_ns_next(ctrlr, id))
		if (nsid == 0 || nsid == id)
			print_ns(nsdk_nvme_ns_get(ctrlr, id));
}

static int identify(const struct tool_args *args, struct nsdk_device *dev,
		    struct nsdk_nvme_ctrlr *ctrlr, uint32_t nsid)
{
	if (nsid != 0 && nsdk_nvme_ns_get(ctrlr, nsid) == NULL) {
		tool_say("%s has no active namespace %u", nsdk_device_name(dev), nsid);
		return TOOL_FAILED;
	}
	if (!args->json || args->json_file != NULL)
		print_ctrlr(dev, ctrlr, nsid);
	if (args->json)
		return tool_json_print(args, json_ctrlr(dev, ctrlr, nsid));
	return TOOL_DONE;
}

static int identify_main(const struct tool_command *self, int argc, char **argv)
{
	struct nsdk_device_opts attach = { .opts_bytes = sizeof(attach), .bind = true };
	struct nsdk_mem_opts mem_opts = { .opts_bytes = sizeof(mem_opts) };
	struct nsdk_nvme_opts nvme = { .opts_bytes = sizeof(nvme), .io_queues = 1 };
	struct nsdk_nvme_ctrlr *ctrlr;
	struct nsdk_device *dev;
	struct nsdk_mem *mem;
	struct tool_args args;
	uint64_t nsid = 0;
	int opt, rc, status = TOOL_FAILED;

	tool_args_init(&args, self, identify_options, argc, argv);
	while ((opt = tool_args_next(&args)) != TOOL_OPT_END) {
		if (opt == TOOL_OPT_STOP)
			return args.status;
		if (tool_parse_u64(optarg, 1, 0xfffffffe, &nsid) != 0)
			return tool_usage(self,
					  "--ns=%s: a namespace ID from 1 to 4294967294 is wanted",
					  optarg);
	}
	if (optind == argc)
		return tool_usage(self, "a device is missing, as 0000:00:03.0 or emu:nvme");
	if (optind + 1 < argc)
		return tool_usage(self, "it takes one device: '%s' is one word too many",
				  argv[optind + 1]);
	if (!tool_is_device(argv[optind]))
		return tool_usage(self, "'%s' is not a device such as 0000:00:03.0 or emu:nvme",
				  argv[optind]);
	/* The controller's own queues are all the memory there is to map. */
	mem_opts.no_huge = true;
	if (nsdk_mem_create(&mem_opts, &mem) != 0)
		return TOOL_FAILED;
	rc = nsdk_device_attach(argv[optind], &attach, &dev);
	if (rc != 0) {
		status = rc == -EINVAL ? TOOL_USAGE : TOOL_FAILED;
		goto destroy_mem;
	}
	if (nsdk_nvme_attach(dev, mem, &nvme, &ctrlr) != 0)
		goto detach_device;
	status = identify(&args, dev, ctrlr, (uint32_t)nsid);
	if (nsdk_nvme_detach(ctrlr) != 0)
		status = TOOL_FAILED;
detach_device:
	nsdk_device_detach(dev);
destroy_mem:
	if (nsdk_mem_destroy(mem) != 0)
		status = TOOL_FAILED;
	return status;
}

const struct tool_command tool_identify = {
	.name = "identify",
	.summary = "what an NVMe controller says of itself and its namespaces",
	.help = identify_help,
	.run = identify_main,
};
