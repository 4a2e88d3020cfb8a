/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Log pages and other data structures of admin commands: NVM Express Base Specification 2.0 ("Base")
 * and NVM Command Set Specification 1.0 ("NVM"). Everything is little endian, as on the wire; 16-byte
 * counters are two words, the low one first.
 */
#ifndef NSDK_NVME_LOG_SPEC_H
#define NSDK_NVME_LOG_SPEC_H

#include <nsdk/nvme_spec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Error Information log entry (Base figure 206) */
struct nsdk_nvme_error_entry {
	uint64_t error_count; /* 0: no entry */
	uint16_t sqid;
	uint16_t cmdid;
	uint16_t status_field; /* bit 0 the phase tag */
	uint16_t parm_error_location; /* 7:0 byte, 10:8 bit; FFFFh: none */
	uint64_t lba;
	uint32_t nsid;
	uint8_t vs; /* log page of the vendor's that tells more */
	uint8_t trtype;
	uint8_t reserved30[2];
	uint64_t cs; /* of the command */
	uint16_t trtype_spec_info;
	uint8_t reserved42[22];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_error_entry) == 64);

/* SMART / Health Information log (Base figure 207) */
struct nsdk_nvme_smart_log {
	uint8_t critical_warning;
	uint8_t temperature[2]; /* kelvin */
	uint8_t avail_spare; /* percent, as the next two */
	uint8_t spare_thresh;
	uint8_t percent_used;
	uint8_t endurance_grp_critical_warning_summary;
	uint8_t reserved7[25];
	uint64_t data_units_read[2]; /* thousands of 512 bytes */
	uint64_t data_units_written[2];
	uint64_t host_read_commands[2];
	uint64_t host_write_commands[2];
	uint64_t controller_busy_time[2]; /* minutes */
	uint64_t power_cycles[2];
	uint64_t power_on_hours[2];
	uint64_t unsafe_shutdowns[2];
	uint64_t media_errors[2];
	uint64_t num_err_log_entries[2];
	uint32_t warning_temp_time; /* minutes, as the next */
	uint32_t critical_comp_time;
	uint16_t temp_sensor[8]; /* kelvin; 0: there is none */
	uint32_t thm_temp1_trans_count;
	uint32_t thm_temp2_trans_count;
	uint32_t thm_temp1_total_time; /* seconds, as the next */
	uint32_t thm_temp2_total_time;
	uint8_t reserved232[280];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_smart_log) == 512);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_smart_log, data_units_read) == 32);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_smart_log, warning_temp_time) == 192);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_smart_log, thm_temp2_total_time) == 228);

/* Firmware Slot Information log (Base figure 208) */
struct nsdk_nvme_firmware_log {
	uint8_t afi; /* 2:0 the slot that runs, 6:4 the one that will after the next reset */
	uint8_t reserved1[7];
	char frs[7][8]; /* revision in each slot, from 1; zeroes: empty */
	uint8_t reserved64[448];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_firmware_log) == 512);

/* Commands Supported and Effects log (Base figure 210) */
struct nsdk_nvme_effects_log {
	uint32_t acs[256];  /* by admin opcode */
	uint32_t iocs[256]; /* by I/O opcode */
	uint8_t reserved2048[2048];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_effects_log) == 4096);
/* An entry of it (Base figure 211) */
#define NSDK_NVME_EFFECT_SUPPORTED (1u << 0)     /* CSUPP */
#define NSDK_NVME_EFFECT_BLOCKS (1u << 1)        /* LBCC: changes the content of blocks */
#define NSDK_NVME_EFFECT_NAMESPACE (1u << 2)     /* NCC: … capabilities of a namespace */
#define NSDK_NVME_EFFECT_INVENTORY (1u << 3)     /* NIC: … what namespaces there are */
#define NSDK_NVME_EFFECT_CONTROLLER (1u << 4)    /* CCC: … capabilities of the controller */

/* Device Self-test log (Base figures 212, 213) */
struct nsdk_nvme_self_test_result {
	uint8_t status; /* 3:0 result, Fh: not used; 7:4 the code of the command */
	uint8_t segment;
	uint8_t valid; /* bits: 0 nsid, 1 failing LBA, 2 status code type, 3 status code */
	uint8_t reserved3;
	uint64_t power_on_hours;
	uint32_t nsid;
	uint64_t failing_lba;
	uint8_t status_code_type;
	uint8_t status_code;
	uint8_t vs[2];
} __attribute__((packed));
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_self_test_result) == 28);
#define NSDK_NVME_SELF_TEST_RESULTS 20u
struct nsdk_nvme_self_test_log {
	uint8_t current_operation; /* 3:0, 0: none */
	uint8_t completion;        /* 6:0 percent */
	uint8_t reserved2[2];
	struct nsdk_nvme_self_test_result result[NSDK_NVME_SELF_TEST_RESULTS]; /* the newest first */
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_self_test_log) == 564);

/* Telemetry log header (Base figures 216, 217); the data follows in blocks of 512 bytes */
struct nsdk_nvme_telemetry_header {
	uint8_t lid;
	uint8_t reserved1[4];
	uint8_t ieee[3];
	uint16_t last_block[3]; /* of data area 1, 2, 3 */
	uint8_t reserved14[2];
	uint32_t last_block4;
	uint8_t reserved20[361];
	uint8_t host_generation;
	uint8_t available; /* controller-initiated data is there */
	uint8_t generation;
	uint8_t reason[128];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_telemetry_header) == 512);

/* Sanitize Status log (Base figure 267) */
struct nsdk_nvme_sanitize_log {
	uint16_t sprog; /* of 65536 */
	uint16_t sstat; /* 2:0 status, 7:3 passes done, 8 never written since */
	uint32_t scdw10;
	uint32_t estimate_overwrite; /* seconds, as the others; FFFFFFFFh: not said */
	uint32_t estimate_block_erase;
	uint32_t estimate_crypto_erase;
	uint32_t estimate_overwrite_no_deallocate;
	uint32_t estimate_block_erase_no_deallocate;
	uint32_t estimate_crypto_erase_no_deallocate;
	uint8_t reserved32[480];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_sanitize_log) == 512);
#define NSDK_NVME_SANITIZE_NEVER 0u
#define NSDK_NVME_SANITIZE_DONE 1u
#define NSDK_NVME_SANITIZE_RUNNING 2u
#define NSDK_NVME_SANITIZE_FAILED 3u

/* Asymmetric Namespace Access log (Base figures 220, 221); group descriptors follow */
struct nsdk_nvme_ana_header {
	uint64_t change_count;
	uint16_t groups;
	uint8_t reserved10[6];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_ana_header) == 16);
struct nsdk_nvme_ana_group {
	uint32_t group;
	uint32_t namespaces; /* NSIDs that follow */
	uint64_t change_count;
	uint8_t state; /* 3:0: 1 optimized, 2 not, 3 inaccessible, 4 persistent loss, Fh change */
	uint8_t reserved17[15];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_ana_group) == 32);

/* Controller list (Base 4.5.1), as Namespace Attachment takes it */
#define NSDK_NVME_CTRLR_LIST_ENTRIES 2047u
struct nsdk_nvme_ctrlr_list {
	uint16_t count;
	uint16_t id[NSDK_NVME_CTRLR_LIST_ENTRIES];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_ctrlr_list) == 4096);

/* Namespace identification descriptor (Base figure 277); a value of that many bytes follows */
struct nsdk_nvme_ns_descriptor {
	uint8_t type; /* 1 EUI-64, 2 NGUID, 3 UUID, 4 command set; 0: the end of the list */
	uint8_t bytes;
	uint8_t reserved2[2];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_ns_descriptor) == 4);

/* LBA status (NVM figures 101, 102); descriptors follow the header */
struct nsdk_nvme_lba_status_descriptor {
	uint64_t slba;
	uint32_t blocks;
	uint8_t reserved12;
	uint8_t status;
	uint8_t reserved14[2];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_lba_status_descriptor) == 16);
struct nsdk_nvme_lba_status {
	uint32_t count;
	uint8_t condition;
	uint8_t reserved5[3];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_lba_status) == 8);

#ifdef __cplusplus
}
#endif
#endif
