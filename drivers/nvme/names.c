/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of features and commands in the specification's words: Base 2.0 figures 138 and 317, NVM Command
 * Set 1.0 figures 17 and 83, Zoned Namespace Command Set 1.1 figure 26.
 */
#include <nsdk/nvme_admin.h>

struct feature {
	const char *name;
	uint16_t bytes;
};

static const struct feature features[256] = {
	[0x01] = { "Arbitration", 0 },
	[0x02] = { "Power Management", 0 },
	[0x03] = { "LBA Range Type", 4096 },
	[0x04] = { "Temperature Threshold", 0 },
	[0x05] = { "Error Recovery", 0 },
	[0x06] = { "Volatile Write Cache", 0 },
	[0x07] = { "Number of Queues", 0 },
	[0x08] = { "Interrupt Coalescing", 0 },
	[0x09] = { "Interrupt Vector Configuration", 0 },
	[0x0a] = { "Write Atomicity Normal", 0 },
	[0x0b] = { "Async Event Configuration", 0 },
	[0x0c] = { "Autonomous Power State Transition", 256 },
	[0x0d] = { "Host Memory Buffer", 4096 },
	[0x0e] = { "Timestamp", 8 },
	[0x0f] = { "Keep Alive Timer", 0 },
	[0x10] = { "Host Controlled Thermal Management", 0 },
	[0x11] = { "Non-Operational Power State Config", 0 },
	[0x12] = { "Read Recovery Level", 0 },
	[0x13] = { "Predictable Latency Mode Config", 512 },
	[0x14] = { "Predictable Latency Mode Window", 0 },
	[0x15] = { "LBA Status Information Attributes", 0 },
	[0x16] = { "Host Behavior", 512 },
	[0x17] = { "Sanitize", 0 },
	[0x18] = { "Endurance Event Group Configuration", 0 },
	[0x19] = { "I/O Command Set Profile", 0 },
	[0x1a] = { "Spinup Control", 0 },
	[0x1d] = { "Flexible Direct Placement", 0 },
	[0x1e] = { "Flexible Direct Placement Events", 0 },
	[0x7d] = { "Enhanced Controller Metadata", 4096 },
	[0x7e] = { "Controller Metadata", 4096 },
	[0x7f] = { "Namespace Metadata", 4096 },
	[0x80] = { "Software Progress", 0 },
	[0x81] = { "Host Identifier", 16 },
	[0x82] = { "Reservation Notification Mask", 0 },
	[0x83] = { "Reservation Persistence", 0 },
	[0x84] = { "Namespace Write Protection Config", 0 },
};

static const char *const admin_opcodes[256] = {
	[0x00] = "Delete I/O Submission Queue",
	[0x01] = "Create I/O Submission Queue",
	[0x02] = "Get Log Page",
	[0x04] = "Delete I/O Completion Queue",
	[0x05] = "Create I/O Completion Queue",
	[0x06] = "Identify",
	[0x08] = "Abort",
	[0x09] = "Set Features",
	[0x0a] = "Get Features",
	[0x0c] = "Asynchronous Event Request",
	[0x0d] = "Namespace Management",
	[0x10] = "Firmware Commit",
	[0x11] = "Firmware Image Download",
	[0x14] = "Device Self-test",
	[0x15] = "Namespace Attachment",
	[0x18] = "Keep Alive",
	[0x19] = "Directive Send",
	[0x1a] = "Directive Receive",
	[0x1c] = "Virtualization Management",
	[0x1d] = "NVMe-MI Send",
	[0x1e] = "NVMe-MI Receive",
	[0x20] = "Capacity Management",
	[0x24] = "Lockdown",
	[0x7c] = "Doorbell Buffer Config",
	[0x7f] = "Fabrics Commands",
	[0x80] = "Format NVM",
	[0x81] = "Security Send",
	[0x82] = "Security Receive",
	[0x84] = "Sanitize",
	[0x86] = "Get LBA Status",
};

static const char *const io_opcodes[256] = {
	[0x00] = "Flush",
	[0x01] = "Write",
	[0x02] = "Read",
	[0x04] = "Write Uncorrectable",
	[0x05] = "Compare",
	[0x08] = "Write Zeroes",
	[0x09] = "Dataset Management",
	[0x0c] = "Verify",
	[0x0d] = "Reservation Register",
	[0x0e] = "Reservation Report",
	[0x11] = "Reservation Acquire",
	[0x12] = "I/O Management Receive",
	[0x15] = "Reservation Release",
	[0x19] = "Copy",
	[0x1d] = "I/O Management Send",
	[0x79] = "Zone Management Send",
	[0x7a] = "Zone Management Receive",
	[0x7d] = "Zone Append",
};

const char *nsdk_nvme_feature_name(uint8_t fid)
{
	return features[fid].name ? features[fid].name : "Unknown";
}

size_t nsdk_nvme_feature_bytes(uint8_t fid)
{
	return features[fid].bytes;
}

const char *nsdk_nvme_admin_opcode_name(uint8_t opcode)
{
	return admin_opcodes[opcode] ? admin_opcodes[opcode] : "Unknown";
}

const char *nsdk_nvme_io_opcode_name(uint8_t opcode)
{
	return io_opcodes[opcode] ? io_opcodes[opcode] : "Unknown";
}
