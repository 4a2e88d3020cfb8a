/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Wire layouts of directives (NVM Express Base Specification 2.0, 8.7) and of Flexible Data Placement, as
 * TP4146 and the Base Specification 2.1 ("Base 2.1") have it. Everything is little endian, as on the wire.
 */
#ifndef NSDK_NVME_FDP_SPEC_H
#define NSDK_NVME_FDP_SPEC_H

#include <nsdk/nvme_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Directives (Base 8.7) ---- */

/* Types: dword 12 bits 23:20 (DTYPE) of a command that writes, with bits 31:16 of dword 13 (DSPEC) for it */
enum nsdk_nvme_directive {
	NSDK_NVME_DIRECTIVE_IDENTIFY = 0x0, /* in a write: none */
	NSDK_NVME_DIRECTIVE_STREAMS = 0x1,
	NSDK_NVME_DIRECTIVE_PLACEMENT = 0x2,
};
#define NSDK_NVME_RW_DTYPE(type) ((uint32_t)((type)&0xf) << 20)
#define NSDK_NVME_RW_DTYPE_OF(cdw12) ((cdw12) >> 20 & 0xfu)
#define NSDK_NVME_RW_DSPEC_SHIFT 16

/* Directive Receive and Send, dword 11: 7:0 operation, 15:8 type, 31:16 the type's own (Base 5.10) */
#define NSDK_NVME_DIRECTIVE_CDW11(type, operation, spec) \
	((uint32_t)(spec) << 16 | (uint32_t)((type)&0xff) << 8 | ((operation)&0xffu))
/* Operations of the Identify directive (Base 8.7.2) */
#define NSDK_NVME_DIRECTIVE_RECEIVE_PARAMETERS 0x01u
#define NSDK_NVME_DIRECTIVE_SEND_ENABLE 0x01u
/* Enable Directive, dword 12: 0 on or off, 15:8 which type */
#define NSDK_NVME_DIRECTIVE_ENDIR 0x1u
#define NSDK_NVME_DIRECTIVE_TARGET(type) ((uint32_t)((type)&0xff) << 8)

/** Return Parameters of the Identify directive: a bit for each type. */
struct nsdk_nvme_directives {
	uint8_t supported[32];
	uint8_t enabled[32];
	uint8_t persistent[32]; /**< stays as it is over controller level resets */
	uint8_t reserved96[4000];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_directives) == 4096);

/** Streams directive: Return Parameters (Base 8.7.3.1.1) */
struct nsdk_nvme_streams {
	uint16_t msl;  /**< streams of the whole subsystem, at most */
	uint16_t nssa; /**< … that are available */
	uint16_t nsso; /**< … that are open */
	uint8_t nssc;  /**< what the subsystem can do with them */
	uint8_t reserved7[9];
	uint32_t sws;  /**< blocks that a write should be a multiple of */
	uint16_t sgs;  /**< so many of those are deallocated at once */
	uint16_t nsa;  /**< streams of this namespace that are allocated */
	uint16_t nso;  /**< … that are open */
	uint8_t reserved26[6];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_streams) == 32);

/* ---- Flexible data placement (Base 2.1 8.1.10) ---- */

/* Log pages (Base 2.1 5.1.12.1.28 to 31), of the endurance group that the log specific identifier says */
#define NSDK_NVME_LOG_FDP_CONFIGS 0x20u
#define NSDK_NVME_LOG_FDP_USAGE 0x21u
#define NSDK_NVME_LOG_FDP_STATS 0x22u
#define NSDK_NVME_LOG_FDP_EVENTS 0x23u
#define NSDK_NVME_FDP_HOST_EVENTS 0x1u /* log specific parameter of the last: those, else the controller's */

/* I/O Management Receive and Send (Base 2.1 7.3, 7.4), dword 10: 7:0 operation, 31:16 what it has it for */
enum nsdk_nvme_io_mgmt_opcode {
	NSDK_NVME_NVM_IO_MGMT_RECEIVE = 0x12,
	NSDK_NVME_NVM_IO_MGMT_SEND = 0x1d,
};
#define NSDK_NVME_IO_MGMT_RUH_STATUS 0x01u /* receive */
#define NSDK_NVME_IO_MGMT_RUH_UPDATE 0x01u /* send; with it the number of identifiers, 0's based */

/* Features (Base 2.1 5.1.25.1.20 and 21) */
#define NSDK_NVME_FEAT_FDP 0x1du
#define NSDK_NVME_FEAT_FDP_EVENTS 0x1eu
#define NSDK_NVME_FDP_ENABLE 0x1u
#define NSDK_NVME_FDP_INDEX(value) ((value) >> 8 & 0xffu)
/* FDP Events, dword 11: 15:0 placement handle, 23:16 number of types. Dword 12 bit 0: enable */
#define NSDK_NVME_FDP_EVENTS_CDW11(handle, types) ((uint32_t)(types) << 16 | (handle))

/* Status (Base 2.1 figure 101) */
#define NSDK_NVME_SC_FDP_DISABLED 0x29u
#define NSDK_NVME_SC_INVALID_PLACEMENT_LIST 0x2au

/** FDP Configurations: this, and behind it so many descriptors. */
struct nsdk_nvme_fdp_configs_header {
	uint16_t count; /**< 0's based */
	uint8_t version;
	uint8_t reserved3;
	uint32_t bytes; /**< of the log page */
	uint8_t reserved8[8];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_configs_header) == 16);

/** FDP Configuration Descriptor; behind it a struct nsdk_nvme_fdp_ruh_desc a handle, then the vendor's. */
struct nsdk_nvme_fdp_config_desc {
	uint16_t bytes;   /**< of all of it, a multiple of 8 */
	uint8_t fdpa;     /**< 3:0 RGIF, 4 volatile write cache, 7 valid */
	uint8_t vss;      /**< bytes that are the vendor's */
	uint32_t nrg;     /**< reclaim groups */
	uint16_t nruh;    /**< reclaim unit handles */
	uint16_t maxpids; /**< 0's based */
	uint32_t nnss;
	uint64_t runs;    /**< bytes of a reclaim unit */
	uint32_t erutl;   /**< seconds; 0: not said */
	uint8_t reserved28[36];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_config_desc) == 64);
#define NSDK_NVME_FDPA_RGIF(fdpa) ((fdpa)&0xfu)
#define NSDK_NVME_FDPA_WRITE_CACHE 0x10u
#define NSDK_NVME_FDPA_VALID 0x80u

/** Reclaim Unit Handle Descriptor */
struct nsdk_nvme_fdp_ruh_desc {
	uint8_t type; /**< enum nsdk_nvme_fdp_ruh_type */
	uint8_t reserved1[3];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_ruh_desc) == 4);
enum nsdk_nvme_fdp_ruh_type {
	NSDK_NVME_RUH_INITIALLY_ISOLATED = 1,
	NSDK_NVME_RUH_PERSISTENTLY_ISOLATED = 2,
};

/** Reclaim Unit Handle Usage: this, and behind it a descriptor of 8 bytes each, of which the first counts. */
struct nsdk_nvme_fdp_usage_header {
	uint16_t nruh;
	uint8_t reserved2[6];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_usage_header) == 8);
#define NSDK_NVME_FDP_USAGE_DESC_BYTES 8u
enum nsdk_nvme_fdp_ruh_usage {
	NSDK_NVME_RUH_UNUSED = 0,
	NSDK_NVME_RUH_HOST = 1,       /**< a placement handle of a namespace, as whoever created it said */
	NSDK_NVME_RUH_CONTROLLER = 2, /**< … as the controller chose */
};

/** FDP Statistics; numbers of 128 bits. */
struct nsdk_nvme_fdp_stats {
	uint64_t hbmw[2]; /**< bytes that hosts have written */
	uint64_t mbmw[2]; /**< bytes that were written to the media */
	uint64_t mbe[2];  /**< bytes of it that were erased */
	uint8_t reserved48[16];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_stats) == 64);

/** FDP Event */
struct nsdk_nvme_fdp_event {
	uint8_t type;       /**< enum nsdk_nvme_fdp_event_type */
	uint8_t flags;      /**< NSDK_NVME_FDP_EVENT_* */
	uint16_t pid;       /**< placement identifier */
	uint64_t timestamp; /**< as the Timestamp feature has it */
	uint32_t nsid;
	uint8_t specific[16]; /**< of Media Reallocated: struct nsdk_nvme_fdp_realloc */
	uint16_t rgid;      /**< reclaim group */
	uint16_t ruhid;     /**< reclaim unit handle */
	uint8_t reserved36[4];
	uint8_t vendor[24];
} __attribute__((packed));
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_event) == 64);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_fdp_event, rgid) == 32);
#define NSDK_NVME_FDP_EVENT_PIV 0x1u   /* pid says something */
#define NSDK_NVME_FDP_EVENT_NSIDV 0x2u /* nsid does */
#define NSDK_NVME_FDP_EVENT_LV 0x4u    /* rgid and ruhid do */
enum nsdk_nvme_fdp_event_type {
	NSDK_NVME_FDP_NOT_FULLY_WRITTEN = 0x00,
	NSDK_NVME_FDP_TIME_LIMIT = 0x01,
	NSDK_NVME_FDP_RESET = 0x02,
	NSDK_NVME_FDP_INVALID_PID = 0x03,
	NSDK_NVME_FDP_REALLOCATED = 0x80, /**< from here on the controller's, before the host's */
	NSDK_NVME_FDP_IMPLICITLY_MODIFIED = 0x81,
};
/** What Media Reallocated says more (NVM Command Set Specification 1.1). */
struct nsdk_nvme_fdp_realloc {
	uint8_t flags; /**< 0: lba says something */
	uint8_t reserved1;
	uint16_t nlbam; /**< blocks that were moved */
	uint64_t lba;
	uint8_t reserved12[4];
} __attribute__((packed));
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_realloc) == 16);

/** FDP Events: this, and behind it the events. */
struct nsdk_nvme_fdp_events_header {
	uint32_t count;
	uint8_t reserved4[60];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_events_header) == 64);
#define NSDK_NVME_FDP_MAX_EVENTS 63u

/** Supported FDP Event Descriptor: what Get Features tells of each type. */
struct nsdk_nvme_fdp_event_state {
	uint8_t type;    /**< enum nsdk_nvme_fdp_event_type */
	uint8_t enabled; /**< bit 0 */
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_fdp_event_state) == 2);

/** Reclaim Unit Handle Status: this, and behind it the descriptors. */
struct nsdk_nvme_ruh_status_header {
	uint8_t reserved0[14];
	uint16_t count;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_ruh_status_header) == 16);
/** Reclaim Unit Handle Status Descriptor (NVM 1.1 3.2.1.1) */
struct nsdk_nvme_ruh_status {
	uint16_t pid;    /**< placement identifier */
	uint16_t ruhid;  /**< the reclaim unit handle behind it */
	uint32_t earutr; /**< seconds until the controller may go on to another unit; 0: not said */
	uint64_t ruamw;  /**< blocks that go into its reclaim unit yet */
	uint8_t reserved16[16];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_ruh_status) == 32);

#ifdef __cplusplus
}
#endif
#endif
