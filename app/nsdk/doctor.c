/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nsdk doctor: why does it not work here?
 *
 * The doctor looks at what NSDK needs, from the kernel to each device, and says for every problem
 * the command that mends it. It never fails for what is missing: that is what it is there to say.
 * It changes nothing, but for --probe (doctor_probe.c), which measures. Of a device that is bound to
 * vfio-pci it asks the kernel whether its DMA may bypass the caches, which means opening it for a
 * moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "doctor.h"
#include "doctor_probe.h"
#include "tool.h"

static const char doctor_help[] =
	"usage: nsdk doctor [DEVICE]... [OPTION]...\n"
	"       nsdk doctor --probe DEVICE --yes-overwrite-lba=N [OPTION]...\n"
	"\n"
	"Say what works here and what does not: kernel, IOMMU, iommufd, VFIO, hugepages, locked\n"
	"memory, permissions, the CPU's cache instructions, and of each device its driver, its\n"
	"IOMMU group, and whether its DMA may bypass the caches:\n"
	"  enforced   the IOMMU forces DMA through the caches; no-snoop has no effect\n"
	"  permitted  no-snoop takes effect\n"
	"  unknown    not asked (the device is not bound to vfio-pci) or no answer\n"
	"  refused    no IOMMU protects memory from the device; NSDK will not drive it\n"
	"Every problem comes with the command that mends it. Nothing is changed.\n"
	"\n"
	"Without DEVICE: every NVMe controller, and whatever else is bound to vfio-pci.\n"
	"\n"
	"  --probe        measure instead of asking: is the DMA of this NVMe controller snooped, when\n"
	"                 it is given all the freedom that the IOMMU permits? \"snooped\", \"not snooped\"\n"
	"                 or \"cannot tell\", for its reads and its writes. A device that another\n"
	"                 driver holds is bound to vfio-pci for that, and given back.\n"
	"  --yes-overwrite-lba=N\n"
	"                 the block of the first namespace that --probe may overwrite; it is saved\n"
	"                 before and restored after, unless the process is killed\n"
	"  --io_timeout=TIME\n"
	"                 of --probe: how long a read or write may take [10]\n"
	"  --json[=FILE]  {\"kernel\", \"iommufd\": {\"available\", \"reason\"}, \"vfio\": {\"cdev\",\n"
	"                 \"group\"}, \"hugepages\": [], \"memlock\": {}, \"cpu\": {}, \"devices\":\n"
	"                 [{\"bdf\", \"driver\", \"verdict\": {\"state\", \"reason\"}, …}], …}\n"
	"  --verbose, --help\n"
	"\n"
	"Exit status: 0 answered, whether or not there are problems; 1 could not answer, or --probe\n"
	"found DMA past the caches where that is ruled out; 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  nsdk doctor\n"
	"  nsdk doctor --json | jq '.problems'\n"
	"  nsdk doctor --probe 0000:03:00.0 --yes-overwrite-lba=0\n";

const char *doctor_root = "";

enum {
	OPT_PROBE = TOOL_OPT_FIRST,
	OPT_OVERWRITE,
	OPT_IO_TIMEOUT,
};

static const struct option doctor_options[] = {
	{ "probe", no_argument, NULL, OPT_PROBE },
	{ "yes-overwrite-lba", required_argument, NULL, OPT_OVERWRITE },
	{ "io_timeout", required_argument, NULL, OPT_IO_TIMEOUT },
	TOOL_COMMON_OPTIONS,
};

void doctor_find(struct doctor_facts *facts, const char *topic, enum doctor_state state,
		 const char *mend, const char *format, ...)
{
	struct doctor_finding *finding = calloc(1, sizeof(*finding));
	va_list args;

	if (finding == NULL)
		return;
	finding->topic = topic;
	finding->state = state;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	snprintf(finding->mend, sizeof(finding->mend), "%s", mend == NULL ? "" : mend);
	STAILQ_INSERT_TAIL(&facts->findings, finding, link);
	facts->problems += state == DOCTOR_PROBLEM;
}

static void full_path(const char *path, char *out, size_t out_bytes)
{
	snprintf(out, out_bytes, "%s%s", doctor_root, path);
}

int doctor_try_open(const char *path)
{
	char full[512];
	int fd;

	full_path(path, full, sizeof(full));
	fd = open(full, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

bool doctor_exists(const char *path)
{
	char full[512];

	full_path(path, full, sizeof(full));
	return access(full, F_OK) == 0;
}

bool doctor_read(const char *path, char *buf, size_t buf_bytes)
{
	char full[512];
	ssize_t n;
	int fd;

	full_path(path, full, sizeof(full));
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, buf_bytes - 1);
	close(fd);
	if (n < 0)
		return false;
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return true;
}

void doctor_free(struct doctor_facts *facts)
{
	struct doctor_finding *finding;
	struct doctor_device *device;

	while ((finding = STAILQ_FIRST(&facts->findings)) != NULL) {
		STAILQ_REMOVE_HEAD(&facts->findings, link);
		free(finding);
	}
	while ((device = STAILQ_FIRST(&facts->devices)) != NULL) {
		STAILQ_REMOVE_HEAD(&facts->devices, link);
		free(device);
	}
	free(facts);
}

/* What is said of --probe. */
struct probe_args {
	bool wanted, may_overwrite;
	uint64_t lba, io_timeout_ns;
};

static int probe_main(const struct tool_args *args, char **devices, int count, const struct probe_args *probe)
{
	if (count == 0)
		return tool_usage(args->command, "--probe: a device is missing, as 0000:00:03.0");
	if (count > 1)
		return tool_usage(args->command, "--probe takes one device: '%s' is one too many",
				  devices[1]);
	if (!probe->may_overwrite)
		return tool_usage(args->command,
				  "--probe overwrites a block of the first namespace of %s, and puts "
				  "its content back at the end: say which with --yes-overwrite-lba=N",
				  devices[0]);
	return doctor_probe(args, devices[0], probe->lba,
			    probe->io_timeout_ns != 0 ? probe->io_timeout_ns : DOCTOR_IO_TIMEOUT_NS);
}

static int parse_one(const struct tool_command *self, int opt, struct probe_args *probe)
{
	switch (opt) {
	case OPT_PROBE:
		probe->wanted = true;
		return TOOL_DONE;
	case OPT_OVERWRITE:
		probe->may_overwrite = true;
		if (tool_parse_u64(optarg, 0, UINT64_MAX, &probe->lba) == 0)
			return TOOL_DONE;
		return tool_usage(self, "--yes-overwrite-lba=%s: the number of a block is wanted", optarg);
	default:
		return tool_parse_time(self, "io_timeout", optarg, &probe->io_timeout_ns);
	}
}

static int doctor_main(const struct tool_command *self, int argc, char **argv)
{
	struct probe_args probe = { .wanted = false };
	struct doctor_facts *facts;
	struct tool_args args;
	int opt, status = TOOL_DONE;

	tool_args_init(&args, self, doctor_options, argc, argv);
	while ((opt = tool_args_next(&args)) != TOOL_OPT_END) {
		if (opt == TOOL_OPT_STOP)
			return args.status;
		status = parse_one(self, opt, &probe);
		if (status != TOOL_DONE)
			return status;
	}
	for (int i = optind; i < argc; i++)
		if (!tool_is_device(argv[i]))
			return tool_usage(self,
					  "'%s' is not a device such as 0000:00:03.0 or emu:nvme",
					  argv[i]);
	if (probe.wanted)
		return probe_main(&args, argv + optind, argc - optind, &probe);
	if (probe.may_overwrite || probe.io_timeout_ns != 0)
		return tool_usage(self, "--%s is for --probe",
				  probe.may_overwrite ? "yes-overwrite-lba" : "io_timeout");
	facts = calloc(1, sizeof(*facts));
	if (facts == NULL) {
		tool_say("no memory");
		return TOOL_FAILED;
	}
	STAILQ_INIT(&facts->findings);
	STAILQ_INIT(&facts->devices);
	doctor_look_at_system(facts);
	doctor_look_at_devices(facts, argv + optind, (unsigned)(argc - optind));
	if (!args.json || args.json_file != NULL)
		doctor_report(facts);
	if (args.json)
		status = tool_json_print(&args, doctor_json(facts));
	doctor_free(facts);
	return status;
}

const struct tool_command tool_doctor = {
	.name = "doctor",
	.summary = "why it does not work here, and what mends it",
	.help = doctor_help,
	.run = doctor_main,
};
