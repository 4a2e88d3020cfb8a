/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Statuses in the specification's words: Base 2.0 figures 93 to 98, NVM Command Set 1.0 figures 2 to
 * 4. The table is made of literals, so that a text can be handed out without a buffer.
 */
#include <nsdk/nvme.h>

struct status_text {
	uint8_t sct;
	uint8_t sc;
	const char *text;
};

#define GENERIC(sc, text) { NSDK_NVME_SCT_GENERIC, sc, "Generic: " text }
#define COMMAND(sc, text) { NSDK_NVME_SCT_COMMAND, sc, "Command Specific: " text }
#define MEDIA(sc, text) { NSDK_NVME_SCT_MEDIA, sc, "Media and Data Integrity: " text }
#define PATH(sc, text) { NSDK_NVME_SCT_PATH, sc, "Path: " text }

static const struct status_text texts[] = {
	GENERIC(0x00, "Successful Completion"),
	GENERIC(0x01, "Invalid Command Opcode"),
	GENERIC(0x02, "Invalid Field in Command"),
	GENERIC(0x03, "Command ID Conflict"),
	GENERIC(0x04, "Data Transfer Error"),
	GENERIC(0x05, "Commands Aborted due to Power Loss Notification"),
	GENERIC(0x06, "Internal Error"),
	GENERIC(0x07, "Command Abort Requested"),
	GENERIC(0x08, "Command Aborted due to SQ Deletion"),
	GENERIC(0x09, "Command Aborted due to Failed Fused Command"),
	GENERIC(0x0a, "Command Aborted due to Missing Fused Command"),
	GENERIC(0x0b, "Invalid Namespace or Format"),
	GENERIC(0x0c, "Command Sequence Error"),
	GENERIC(0x0d, "Invalid SGL Segment Descriptor"),
	GENERIC(0x0e, "Invalid Number of SGL Descriptors"),
	GENERIC(0x0f, "Data SGL Length Invalid"),
	GENERIC(0x10, "Metadata SGL Length Invalid"),
	GENERIC(0x11, "SGL Descriptor Type Invalid"),
	GENERIC(0x12, "Invalid Use of Controller Memory Buffer"),
	GENERIC(0x13, "PRP Offset Invalid"),
	GENERIC(0x14, "Atomic Write Unit Exceeded"),
	GENERIC(0x15, "Operation Denied"),
	GENERIC(0x16, "SGL Offset Invalid"),
	GENERIC(0x18, "Host Identifier Inconsistent Format"),
	GENERIC(0x19, "Keep Alive Timer Expired"),
	GENERIC(0x1a, "Keep Alive Timeout Invalid"),
	GENERIC(0x1b, "Command Aborted due to Preempt and Abort"),
	GENERIC(0x1c, "Sanitize Failed"),
	GENERIC(0x1d, "Sanitize In Progress"),
	GENERIC(0x1e, "SGL Data Block Granularity Invalid"),
	GENERIC(0x1f, "Command Not Supported for Queue in CMB"),
	GENERIC(0x20, "Namespace is Write Protected"),
	GENERIC(0x21, "Command Interrupted"),
	GENERIC(0x22, "Transient Transport Error"),
	GENERIC(0x23, "Command Prohibited by Command and Feature Lockdown"),
	GENERIC(0x24, "Admin Command Media Not Ready"),
	GENERIC(0x29, "Flexible Data Placement Disabled"),
	GENERIC(0x2a, "Invalid Placement Handle List"),
	GENERIC(0x80, "LBA Out of Range"),
	GENERIC(0x81, "Capacity Exceeded"),
	GENERIC(0x82, "Namespace Not Ready"),
	GENERIC(0x83, "Reservation Conflict"),
	GENERIC(0x84, "Format In Progress"),
	GENERIC(0x85, "Invalid Value Size"),
	GENERIC(0x86, "Invalid Key Size"),
	GENERIC(0x87, "KV Key Does Not Exist"),
	GENERIC(0x88, "Unrecovered Error"),
	GENERIC(0x89, "Key Exists"),
	COMMAND(0x00, "Completion Queue Invalid"),
	COMMAND(0x01, "Invalid Queue Identifier"),
	COMMAND(0x02, "Invalid Queue Size"),
	COMMAND(0x03, "Abort Command Limit Exceeded"),
	COMMAND(0x05, "Asynchronous Event Request Limit Exceeded"),
	COMMAND(0x06, "Invalid Firmware Slot"),
	COMMAND(0x07, "Invalid Firmware Image"),
	COMMAND(0x08, "Invalid Interrupt Vector"),
	COMMAND(0x09, "Invalid Log Page"),
	COMMAND(0x0a, "Invalid Format"),
	COMMAND(0x0b, "Firmware Activation Requires Conventional Reset"),
	COMMAND(0x0c, "Invalid Queue Deletion"),
	COMMAND(0x0d, "Feature Identifier Not Saveable"),
	COMMAND(0x0e, "Feature Not Changeable"),
	COMMAND(0x0f, "Feature Not Namespace Specific"),
	COMMAND(0x10, "Firmware Activation Requires NVM Subsystem Reset"),
	COMMAND(0x11, "Firmware Activation Requires Controller Level Reset"),
	COMMAND(0x12, "Firmware Activation Requires Maximum Time Violation"),
	COMMAND(0x13, "Firmware Activation Prohibited"),
	COMMAND(0x14, "Overlapping Range"),
	COMMAND(0x15, "Namespace Insufficient Capacity"),
	COMMAND(0x16, "Namespace Identifier Unavailable"),
	COMMAND(0x18, "Namespace Already Attached"),
	COMMAND(0x19, "Namespace Is Private"),
	COMMAND(0x1a, "Namespace Not Attached"),
	COMMAND(0x1b, "Thin Provisioning Not Supported"),
	COMMAND(0x1c, "Controller List Invalid"),
	COMMAND(0x1d, "Device Self-test In Progress"),
	COMMAND(0x1e, "Boot Partition Write Prohibited"),
	COMMAND(0x1f, "Invalid Controller Identifier"),
	COMMAND(0x20, "Invalid Secondary Controller State"),
	COMMAND(0x21, "Invalid Number of Controller Resources"),
	COMMAND(0x22, "Invalid Resource Identifier"),
	COMMAND(0x23, "Sanitize Prohibited While Persistent Memory Region is Enabled"),
	COMMAND(0x24, "ANA Group Identifier Invalid"),
	COMMAND(0x25, "ANA Attach Failed"),
	COMMAND(0x26, "Insufficient Capacity"),
	COMMAND(0x27, "Namespace Attachment Limit Exceeded"),
	COMMAND(0x28, "Prohibition of Command Execution Not Supported"),
	COMMAND(0x29, "I/O Command Set Not Supported"),
	COMMAND(0x2a, "I/O Command Set Not Enabled"),
	COMMAND(0x2b, "I/O Command Set Combination Rejected"),
	COMMAND(0x2c, "Invalid I/O Command Set"),
	COMMAND(0x2d, "Identifier Unavailable"),
	COMMAND(0x80, "Conflicting Attributes"),
	COMMAND(0x81, "Invalid Protection Information"),
	COMMAND(0x82, "Attempted Write to Read Only Range"),
	COMMAND(0x83, "Command Size Limit Exceeded"),
	COMMAND(0xb8, "Zoned Boundary Error"),
	COMMAND(0xb9, "Zone Is Full"),
	COMMAND(0xba, "Zone Is Read Only"),
	COMMAND(0xbb, "Zone Is Offline"),
	COMMAND(0xbc, "Zone Invalid Write"),
	COMMAND(0xbd, "Too Many Active Zones"),
	COMMAND(0xbe, "Too Many Open Zones"),
	COMMAND(0xbf, "Invalid Zone State Transition"),
	MEDIA(0x80, "Write Fault"),
	MEDIA(0x81, "Unrecovered Read Error"),
	MEDIA(0x82, "End-to-end Guard Check Error"),
	MEDIA(0x83, "End-to-end Application Tag Check Error"),
	MEDIA(0x84, "End-to-end Reference Tag Check Error"),
	MEDIA(0x85, "Compare Failure"),
	MEDIA(0x86, "Access Denied"),
	MEDIA(0x87, "Deallocated or Unwritten Logical Block"),
	MEDIA(0x88, "End-to-End Storage Tag Check Error"),
	PATH(0x00, "Internal Path Error"),
	PATH(0x01, "Asymmetric Access Persistent Loss"),
	PATH(0x02, "Asymmetric Access Inaccessible"),
	PATH(0x03, "Asymmetric Access Transition"),
	PATH(0x60, "Controller Pathing Error"),
	PATH(0x70, "Host Pathing Error"),
	PATH(0x71, "Command Aborted By Host"),
};

const char *nsdk_nvme_status_text(uint16_t status)
{
	static const char *const unknown[8] = {
		"Generic: unknown status",
		"Command Specific: unknown status",
		"Media and Data Integrity: unknown status",
		"Path: unknown status",
		"Reserved status type 4h",
		"Reserved status type 5h",
		"Reserved status type 6h",
		"Vendor Specific",
	};
	uint8_t sct = NSDK_NVME_STATUS_SCT(status);
	uint8_t sc = NSDK_NVME_STATUS_SC(status);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].sct == sct && texts[i].sc == sc)
			return texts[i].text;
	return unknown[sct];
}
