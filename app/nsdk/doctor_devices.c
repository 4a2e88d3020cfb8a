/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the doctor says of devices: who has them, and what the IOMMU lets their DMA do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/bus.h>

#include "doctor.h"
#include "tool.h"

static struct doctor_device *add_device(struct doctor_facts *facts, const char *name)
{
	struct doctor_device *device = calloc(1, sizeof(*device));

	if (device == NULL)
		return NULL;
	snprintf(device->name, sizeof(device->name), "%s", name);
	STAILQ_INSERT_TAIL(&facts->devices, device, link);
	return device;
}

static void __attribute__((format(printf, 3, 4)))
set_verdict(struct doctor_device *device, enum nsdk_snoop_state state, const char *format, ...)
{
	va_list args;

	device->verdict.state = state;
	va_start(args, format);
	vsnprintf(device->verdict.reason, sizeof(device->verdict.reason), format, args);
	va_end(args);
}

/* Open it for a moment. What the library says meanwhile is the answer, not a failure of ours. */
static int ask(struct doctor_device *device, char *sentence, size_t sentence_bytes)
{
	struct nsdk_device *dev;
	int rc;

	tool_log_capture_begin();
	rc = nsdk_device_attach(device->name, NULL, &dev);
	if (rc == 0) {
		device->verdict = *nsdk_device_verdict(dev);
		nsdk_device_detach(dev);
	}
	tool_log_capture_end(sentence, sentence_bytes);
	if (rc == 0)
		return 0;
	if (sentence[0] == '\0')
		snprintf(sentence, sentence_bytes, "%s", strerror(-rc));
	set_verdict(device, rc == -EPERM ? NSDK_SNOOP_REFUSED : NSDK_SNOOP_UNKNOWN, "%s", sentence);
	return rc;
}

static void find_verdict(struct doctor_facts *facts, const struct doctor_device *device)
{
	doctor_find(facts, device->name, DOCTOR_OK, NULL, "no-snoop %s: %s",
		    nsdk_snoop_state_name(device->verdict.state), device->verdict.reason);
}

static void look_at_bound(struct doctor_facts *facts, struct doctor_device *device)
{
	const struct nsdk_pci_info *info = &device->info;
	char sentence[512], mend[160] = "";
	int rc = ask(device, sentence, sizeof(sentence));

	if (rc == 0) {
		find_verdict(facts, device);
		return;
	}
	if (rc == -EACCES)
		snprintf(mend, sizeof(mend), "chown %s /dev/vfio/%d%s%s", facts->user,
			 info->iommu_group, info->vfio_cdev[0] == '\0' ? "" : " /dev/vfio/devices/",
			 info->vfio_cdev);
	doctor_find(facts, device->name, DOCTOR_PROBLEM, mend, "%s", sentence);
}

static void look_at_pci(struct doctor_facts *facts, const struct nsdk_pci_info *info)
{
	struct doctor_device *device = add_device(facts, info->bdf);
	char mend[64];

	if (device == NULL)
		return;
	device->is_pci = true;
	device->info = *info;
	snprintf(mend, sizeof(mend), "nsdk bind %s", info->bdf);
	if (strcmp(info->driver, "vfio-pci") == 0) {
		look_at_bound(facts, device);
	} else if (info->iommu_group < 0) {
		set_verdict(device, NSDK_SNOOP_REFUSED,
			    "no IOMMU is between this device and memory");
		doctor_find(facts, device->name, DOCTOR_PROBLEM,
			    "see the line on the IOMMU above",
			    "has driver %s and no IOMMU group: NSDK will not drive it",
			    info->driver[0] == '\0' ? "none" : info->driver);
	} else {
		set_verdict(device, NSDK_SNOOP_UNKNOWN,
			    "bound to %s, and only what is bound to vfio-pci can be asked: nsdk bind "
			    "%s",
			    info->driver[0] == '\0' ? "no driver" : info->driver, info->bdf);
		doctor_find(facts, device->name, DOCTOR_NOTE, mend,
			    "has driver %s; bind it to vfio-pci to ask about no-snoop",
			    info->driver[0] == '\0' ? "none" : info->driver);
	}
}

static int look_at_scanned(void *ctx, const struct nsdk_pci_info *info)
{
	struct doctor_facts *facts = ctx;

	if (info->class_code == TOOL_CLASS_NVME || strcmp(info->driver, "vfio-pci") == 0)
		look_at_pci(facts, info);
	return 0;
}

static void scan(struct doctor_facts *facts)
{
	char sentence[512];
	int rc;

	/* Without PCI (a container, a small virtual machine) that is a fact, not a failure. */
	tool_log_capture_begin();
	rc = nsdk_pci_scan(look_at_scanned, facts);
	tool_log_capture_end(sentence, sizeof(sentence));
	if (rc < 0)
		doctor_find(facts, "devices", DOCTOR_NOTE, NULL, "PCI cannot be looked at: %s",
			    sentence[0] != '\0' ? sentence : strerror(-rc));
	else if (STAILQ_EMPTY(&facts->devices))
		doctor_find(facts, "devices", DOCTOR_NOTE, "nsdk perf emu:nvme --size=64m",
			    "there is no NVMe controller; an emulated one is always there");
}

static void look_at_named(struct doctor_facts *facts, const char *spec)
{
	struct doctor_device *device;
	struct nsdk_pci_info info;
	struct nsdk_pci_addr addr;
	char sentence[512];
	int rc;

	if (nsdk_pci_addr_parse(spec, &addr) == 0) {
		tool_log_capture_begin();
		rc = nsdk_pci_info(&addr, &info);
		tool_log_capture_end(sentence, sizeof(sentence));
		if (rc == 0) {
			look_at_pci(facts, &info);
			return;
		}
		device = add_device(facts, spec);
		if (device == NULL)
			return;
		set_verdict(device, NSDK_SNOOP_UNKNOWN, "%s",
			    sentence[0] != '\0' ? sentence : strerror(-rc));
		doctor_find(facts, device->name, DOCTOR_PROBLEM, "nsdk list --all", "%s",
			    device->verdict.reason);
		return;
	}
	device = add_device(facts, spec);
	if (device == NULL)
		return;
	if (ask(device, sentence, sizeof(sentence)) == 0)
		find_verdict(facts, device);
	else
		doctor_find(facts, device->name, DOCTOR_PROBLEM, "nsdk perf --help", "%s", sentence);
}

void doctor_look_at_devices(struct doctor_facts *facts, char **specs, unsigned count)
{
	if (count == 0)
		scan(facts);
	for (unsigned i = 0; i < count; i++)
		look_at_named(facts, specs[i]);
}
