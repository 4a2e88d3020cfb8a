/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Wire layouts of NVM Express, Zoned Namespace Command Set Specification 1.1 ("ZNS"). Everything is
 * little endian, as on the wire.
 */
#ifndef NSDK_NVME_ZNS_SPEC_H
#define NSDK_NVME_ZNS_SPEC_H

#include <nsdk/nvme_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Command set identifiers (Base 2.0 figure 274) */
enum nsdk_nvme_csi {
	NSDK_NVME_CSI_NVM = 0x00,
	NSDK_NVME_CSI_KV = 0x01,
	NSDK_NVME_CSI_ZNS = 0x02,
};
/* CAP.CSS bit 6: more than one command set; CC.CSS: all that there are (Base 3.1.3.1, 3.1.3.5) */
#define NSDK_NVME_CAP_CSS_NVM (1u << 0)
#define NSDK_NVME_CAP_CSS_SETS (1u << 6)
#define NSDK_NVME_CC_CSS_SETS (6u << NSDK_NVME_CC_CSS_SHIFT)
/* Identify: the active namespaces of one command set (Base 5.17.2.8) */
#define NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST 0x07u
/* … and combinations of command sets: 512 of 64 bits, a bit for each identifier (Base 5.17.2.21) */
#define NSDK_NVME_CNS_IO_COMMAND_SETS 0x1cu
#define NSDK_NVME_IO_COMMAND_SET_COMBINATIONS 512u

/* Commands (ZNS 3, figure 26) */
enum nsdk_nvme_zns_opcode {
	NSDK_NVME_ZNS_MGMT_SEND = 0x79,
	NSDK_NVME_ZNS_MGMT_RECEIVE = 0x7a,
	NSDK_NVME_ZNS_APPEND = 0x7d,
};

/* Command specific status (ZNS figure 20) */
enum nsdk_nvme_sc_zns {
	NSDK_NVME_SC_ZONE_BOUNDARY_ERROR = 0xb8,
	NSDK_NVME_SC_ZONE_IS_FULL = 0xb9,
	NSDK_NVME_SC_ZONE_IS_READ_ONLY = 0xba,
	NSDK_NVME_SC_ZONE_IS_OFFLINE = 0xbb,
	NSDK_NVME_SC_ZONE_INVALID_WRITE = 0xbc,
	NSDK_NVME_SC_TOO_MANY_ACTIVE_ZONES = 0xbd,
	NSDK_NVME_SC_TOO_MANY_OPEN_ZONES = 0xbe,
	NSDK_NVME_SC_ZONE_INVALID_TRANSITION = 0xbf,
};

/* Zone Management Send, cdw13 (ZNS 3.4.3): the action, and that it is for all zones */
enum nsdk_nvme_zone_action {
	NSDK_NVME_ZONE_CLOSE = 0x01,
	NSDK_NVME_ZONE_FINISH = 0x02,
	NSDK_NVME_ZONE_OPEN = 0x03,
	NSDK_NVME_ZONE_RESET = 0x04,
	NSDK_NVME_ZONE_OFFLINE = 0x05,
	NSDK_NVME_ZONE_SET_DESC_EXT = 0x10,
};
#define NSDK_NVME_ZONE_SELECT_ALL (1u << 8)

/* Zone Management Receive, cdw13 (ZNS 3.4.2) */
#define NSDK_NVME_ZONE_REPORT 0x00u
#define NSDK_NVME_ZONE_REPORT_EXTENDED 0x01u
#define NSDK_NVME_ZONE_REPORT_PARTIAL (1u << 16) /* the count is of those that were reported */
/** Which zones a report has. */
enum nsdk_nvme_zone_filter {
	NSDK_NVME_ZONES_ALL = 0,
	NSDK_NVME_ZONES_EMPTY = 1,
	NSDK_NVME_ZONES_IMPLICITLY_OPEN = 2,
	NSDK_NVME_ZONES_EXPLICITLY_OPEN = 3,
	NSDK_NVME_ZONES_CLOSED = 4,
	NSDK_NVME_ZONES_FULL = 5,
	NSDK_NVME_ZONES_READ_ONLY = 6,
	NSDK_NVME_ZONES_OFFLINE = 7,
};

/* States of a zone (ZNS figure 7) */
enum nsdk_nvme_zone_state {
	NSDK_NVME_ZONE_EMPTY = 0x1,
	NSDK_NVME_ZONE_IMPLICITLY_OPEN = 0x2,
	NSDK_NVME_ZONE_EXPLICITLY_OPEN = 0x3,
	NSDK_NVME_ZONE_CLOSED = 0x4,
	NSDK_NVME_ZONE_READ_ONLY = 0xd,
	NSDK_NVME_ZONE_FULL = 0xe,
	NSDK_NVME_ZONE_IS_OFFLINE = 0xf,
};
#define NSDK_NVME_ZONE_SEQWRITE_REQUIRED 0x2u

/* Zone descriptor (ZNS figure 37) */
struct nsdk_nvme_zone_desc {
	uint8_t type;   /* 3:0 */
	uint8_t state;  /* 7:4 enum nsdk_nvme_zone_state */
	uint8_t attributes;
	uint8_t attributes_info;
	uint8_t reserved4[4];
	uint64_t zcap;  /* blocks that can be written */
	uint64_t zslba;
	uint64_t wp;    /* where it goes on; without meaning unless empty, open or closed */
	uint8_t reserved32[32];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_zone_desc) == 64);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_zone_desc, zslba) == 16);
#define NSDK_NVME_ZONE_STATE(byte) ((byte) >> 4)
/* Attributes */
#define NSDK_NVME_ZONE_FINISHED_BY_CONTROLLER (1u << 0)
#define NSDK_NVME_ZONE_FINISH_RECOMMENDED (1u << 1)
#define NSDK_NVME_ZONE_RESET_RECOMMENDED (1u << 2)
#define NSDK_NVME_ZONE_DESC_EXT_VALID (1u << 7)

/* Report Zones: this, and the descriptors behind it; extended, each with its extension (ZNS figure 36) */
struct nsdk_nvme_zone_report_header {
	uint64_t zones;
	uint8_t reserved8[56];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_zone_report_header) == 64);

/* Write and Zone Append: the reference tag of protection information is remapped */
#define NSDK_NVME_ZONE_APPEND_PIREMAP (1u << 25)

/* Extension of an LBA format (ZNS figure 49) */
struct nsdk_nvme_zns_lbafe {
	uint64_t zsze; /* blocks of a zone */
	uint8_t zdes;  /* descriptor extension: so many times 64 bytes */
	uint8_t reserved9[7];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_zns_lbafe) == 16);

/* Identify Namespace data structure of the command set (ZNS 4.1.5.1, figure 48) */
struct nsdk_nvme_id_ns_zns {
	uint16_t zoc;
	uint16_t ozcs;
	uint32_t mar; /* 0's based; FFFFFFFFh: no limit */
	uint32_t mor;
	uint32_t rrl, frl;
	uint32_t rrl1, rrl2, rrl3;
	uint32_t frl1, frl2, frl3;
	uint32_t numzrwa;
	uint16_t zrwafg;
	uint16_t zrwasz;
	uint8_t zrwacap;
	uint8_t reserved53[2763];
	struct nsdk_nvme_zns_lbafe lbafe[64];
	uint8_t vs[256];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ns_zns) == 4096);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns_zns, zrwacap) == 52);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns_zns, lbafe) == 2816);
#define NSDK_NVME_ZOC_VARIABLE_CAPACITY (1u << 0)
#define NSDK_NVME_ZOC_ACTIVE_EXCURSIONS (1u << 1)
#define NSDK_NVME_OZCS_READ_ACROSS (1u << 0)

/* Identify Controller data structure of the command set (ZNS 4.1.5.2, figure 50) */
struct nsdk_nvme_id_ctrl_zns {
	uint8_t zasl; /* Zone Append: 2^n minimum-size pages; 0: as MDTS says */
	uint8_t reserved1[4095];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ctrl_zns) == 4096);

#ifdef __cplusplus
}
#endif
#endif
