/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to `nsdk doctor`: what was found, and what is wrong with it.
 */
#ifndef NSDK_DOCTOR_H
#define NSDK_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <nsdk/coherence.h>
#include <nsdk/env.h>
#include <nsdk/iommu.h>
#include <nsdk/pci.h>

/* One thing that was looked at. */
enum doctor_state {
	DOCTOR_OK,
	DOCTOR_NOTE,    /* works, but worth knowing */
	DOCTOR_PROBLEM, /* does not work, and `mend` says what would change that */
};

struct doctor_finding {
	const char *topic; /* "iommu", "hugepages", …, or a device's address */
	enum doctor_state state;
	char text[320];
	char mend[256]; /* a command; "" when there is nothing to mend */
	STAILQ_ENTRY(doctor_finding) link;
};
STAILQ_HEAD(doctor_findings, doctor_finding);

struct doctor_cache {
	unsigned level;
	char type[16];
	uint64_t size_bytes;
	unsigned line_bytes;
	char cpus[64]; /* that share it */
};
#define DOCTOR_MAX_CACHES 8
#define DOCTOR_MAX_HUGEPAGES 64
#define DOCTOR_MAX_IOMMUS 32

struct doctor_device {
	char name[256];
	bool is_pci;
	struct nsdk_pci_info info; /* is_pci */
	struct nsdk_snoop_verdict verdict;
	STAILQ_ENTRY(doctor_device) link;
};
STAILQ_HEAD(doctor_devices, doctor_device);

struct doctor_facts {
	char kernel[80];
	char machine[66];
	unsigned uid;
	char user[64];
	struct {
		bool available;
		char reason[320];
	} iommufd;
	struct {
		bool cdev;
		char cdev_reason[240];
		bool group;
		char group_reason[240];
		bool pci_driver; /* vfio-pci is loaded */
	} vfio;
	struct {
		unsigned groups;
		unsigned count;
		char names[DOCTOR_MAX_IOMMUS][32];
	} iommu;
	struct nsdk_hugepage_info hugepages[DOCTOR_MAX_HUGEPAGES];
	unsigned hugepage_count;
	struct {
		bool unlimited; /* by the limit, or because this process is above it */
		uint64_t soft_bytes;
		uint64_t hard_bytes;
	} memlock;
	struct {
		char model[128];
		char vendor[32];
		bool hypervisor;
		struct nsdk_line_info lines;
		struct doctor_cache caches[DOCTOR_MAX_CACHES];
		unsigned cache_count;
	} cpu;
	struct doctor_devices devices;
	struct doctor_findings findings;
	unsigned problems;
};

/*
 * Prefix of every path that is looked at, "" for the machine's own; a test has a tree of its own.
 */
extern const char *doctor_root;

/* Look at everything but devices. Never fails: what cannot be found out is a finding. */
void doctor_look_at_system(struct doctor_facts *facts);
/* Look at the devices there are, or at those of the list. */
void doctor_look_at_devices(struct doctor_facts *facts, char **specs, unsigned count);
void doctor_free(struct doctor_facts *facts);

/* Note a finding; @p mend may be NULL. */
void doctor_find(struct doctor_facts *facts, const char *topic, enum doctor_state state,
		 const char *mend, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Whether the file below doctor_root can be opened for reading and writing: 0 or -errno. */
int doctor_try_open(const char *path);
/* Whether it is there. */
bool doctor_exists(const char *path);
/* The start of a small file without its last newline. @return whether it could be read. */
bool doctor_read(const char *path, char *buf, size_t buf_bytes);

void doctor_report(const struct doctor_facts *facts);
struct json_object *doctor_json(const struct doctor_facts *facts);

#endif
