/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Wire and register layouts of NVM Express, Base Specification 2.0 ("Base") and NVM Command Set
 * Specification 1.0 ("NVM"). Everything is little endian, as on the wire.
 */
#ifndef NSDK_NVME_SPEC_H
#define NSDK_NVME_SPEC_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define NSDK_SPEC_ASSERT(expr) static_assert(expr, #expr)
#else
#define NSDK_SPEC_ASSERT(expr) _Static_assert(expr, #expr)
#endif

/* ---- Controller registers (Base 3.1.3, figure 35) ---- */
enum nsdk_nvme_reg {
	NSDK_NVME_REG_CAP = 0x00,   /* 64 bits: controller capabilities */
	NSDK_NVME_REG_VS = 0x08,    /* version */
	NSDK_NVME_REG_INTMS = 0x0c, /* interrupt mask set */
	NSDK_NVME_REG_INTMC = 0x10, /* interrupt mask clear */
	NSDK_NVME_REG_CC = 0x14,    /* controller configuration */
	NSDK_NVME_REG_CSTS = 0x1c,  /* controller status */
	NSDK_NVME_REG_NSSR = 0x20,  /* NVM subsystem reset */
	NSDK_NVME_REG_AQA = 0x24,   /* admin queue attributes */
	NSDK_NVME_REG_ASQ = 0x28,   /* 64 bits: admin SQ base */
	NSDK_NVME_REG_ACQ = 0x30,   /* 64 bits: admin CQ base */
	NSDK_NVME_REG_CMBLOC = 0x38,
	NSDK_NVME_REG_CMBSZ = 0x3c,
	NSDK_NVME_REG_BPINFO = 0x40,
	NSDK_NVME_REG_BPRSEL = 0x44,
	NSDK_NVME_REG_BPMBL = 0x48, /* 64 bits */
	NSDK_NVME_REG_CMBMSC = 0x50, /* 64 bits */
	NSDK_NVME_REG_CMBSTS = 0x58,
	NSDK_NVME_REG_CMBEBS = 0x5c,
	NSDK_NVME_REG_CMBSWTP = 0x60,
	NSDK_NVME_REG_NSSD = 0x64,
	NSDK_NVME_REG_CRTO = 0x68,
	NSDK_NVME_REG_PMRCAP = 0xe00, /* persistent memory region */
	NSDK_NVME_REG_PMRCTL = 0xe04,
	NSDK_NVME_REG_PMRSTS = 0xe08,
	NSDK_NVME_REG_PMREBS = 0xe0c,
	NSDK_NVME_REG_PMRSWTP = 0xe10,
	NSDK_NVME_REG_PMRMSCL = 0xe14,
	NSDK_NVME_REG_PMRMSCU = 0xe18,
	NSDK_NVME_REG_DOORBELLS = 0x1000, /* SQ y tail: + 2y(4 << DSTRD); CQ y head: + (2y+1)(4 << DSTRD) */
};

/* CAP (Base 3.1.3.1) */
#define NSDK_NVME_CAP_MQES(cap) ((uint32_t)((cap)&0xffff))         /* max queue entries, 0's based */
#define NSDK_NVME_CAP_CQR(cap) ((uint32_t)((cap) >> 16 & 1))       /* contiguous queues required */
#define NSDK_NVME_CAP_AMS_WRR (UINT64_C(1) << 17) /* weighted round robin with an urgent class */
#define NSDK_NVME_CAP_TO(cap) ((uint32_t)((cap) >> 24 & 0xff))     /* timeout in 500 ms units */
#define NSDK_NVME_CAP_DSTRD(cap) ((uint32_t)((cap) >> 32 & 0xf))   /* doorbell stride: 4 << n bytes */
#define NSDK_NVME_CAP_CSS(cap) ((uint32_t)((cap) >> 37 & 0xff))    /* command sets */
#define NSDK_NVME_CAP_MPSMIN(cap) ((uint32_t)((cap) >> 48 & 0xf))  /* min page: 4096 << n bytes */
#define NSDK_NVME_CAP_MPSMAX(cap) ((uint32_t)((cap) >> 52 & 0xf))
#define NSDK_NVME_CAP_PMRS (UINT64_C(1) << 56) /* there is a persistent memory region */
#define NSDK_NVME_CAP_CMBS (UINT64_C(1) << 57) /* there is a memory buffer, enabled by CMBMSC */
/* CMBLOC (Base 3.1.3.11): where the memory buffer is */
#define NSDK_NVME_CMBLOC_BIR(loc) ((loc)&7u)
#define NSDK_NVME_CMBLOC_CDMMMS 0x80u /* one command's data: some of it there, some not */
#define NSDK_NVME_CMBLOC_OFST(loc) ((loc) >> 12) /* in units of CMBSZ.SZU */
/* CMBSZ (Base 3.1.3.12): how much, and for what */
#define NSDK_NVME_CMBSZ_SQS 0x01u   /* submission queues */
#define NSDK_NVME_CMBSZ_CQS 0x02u   /* completion queues */
#define NSDK_NVME_CMBSZ_LISTS 0x04u /* PRP lists, SGLs */
#define NSDK_NVME_CMBSZ_RDS 0x08u   /* data of commands that give the host data */
#define NSDK_NVME_CMBSZ_WDS 0x10u   /* data of commands that take it from the host */
#define NSDK_NVME_CMBSZ_SZU(sz) ((sz) >> 8 & 0xfu) /* 4 KiB << 4n */
#define NSDK_NVME_CMBSZ_SZ(sz) ((sz) >> 12)
/* CMBMSC (Base 3.1.3.16): bits 63:12, what the controller takes for addresses of it */
#define NSDK_NVME_CMBMSC_CRE 0x1u  /* CMBLOC and CMBSZ say something */
#define NSDK_NVME_CMBMSC_CMSE 0x2u /* those addresses count */
/* CMBSTS (Base 3.1.3.17) */
#define NSDK_NVME_CMBSTS_CBAI 0x1u /* those addresses cannot be */
/* PMRCAP (Base 3.1.4.1) */
#define NSDK_NVME_PMRCAP_RDS 0x08u
#define NSDK_NVME_PMRCAP_WDS 0x10u
#define NSDK_NVME_PMRCAP_BIR(cap) ((cap) >> 5 & 7u)
#define NSDK_NVME_PMRCAP_PMRTU(cap) ((cap) >> 8 & 3u)   /* units of PMRTO: 500 ms, minutes */
#define NSDK_NVME_PMRCAP_WB_READ 0x400u   /* a read from the region makes writes persistent */
#define NSDK_NVME_PMRCAP_WB_STATUS 0x800u /* a read of PMRSTS does */
#define NSDK_NVME_PMRCAP_PMRTO(cap) ((cap) >> 16 & 0xffu)
#define NSDK_NVME_PMRCAP_CMSS 0x1000000u
/* PMRCTL (Base 3.1.4.2) */
#define NSDK_NVME_PMRCTL_EN 0x1u
/* PMRSTS (Base 3.1.4.3) */
#define NSDK_NVME_PMRSTS_ERR(sts) ((sts)&0xffu)
#define NSDK_NVME_PMRSTS_NRDY 0x100u
#define NSDK_NVME_PMRSTS_HSTS(sts) ((sts) >> 9 & 7u)
#define NSDK_NVME_PMRSTS_CBAI 0x1000u
/* CC (Base 3.1.3.5) */
#define NSDK_NVME_CC_EN 0x1u
#define NSDK_NVME_CC_CSS_SHIFT 4
#define NSDK_NVME_CC_MPS_SHIFT 7
#define NSDK_NVME_CC_AMS_SHIFT 11
#define NSDK_NVME_CC_AMS_WRR (1u << 11)
#define NSDK_NVME_CC_SHN_SHIFT 14
#define NSDK_NVME_CC_SHN_MASK (3u << 14)
#define NSDK_NVME_CC_SHN_NORMAL (1u << 14)
#define NSDK_NVME_CC_SHN_ABRUPT (2u << 14)
#define NSDK_NVME_CC_IOSQES_SHIFT 16
#define NSDK_NVME_CC_IOCQES_SHIFT 20
/* CSTS (Base 3.1.3.6) */
#define NSDK_NVME_CSTS_RDY 0x1u
#define NSDK_NVME_CSTS_CFS 0x2u
#define NSDK_NVME_CSTS_SHST_MASK 0xcu
#define NSDK_NVME_CSTS_SHST_NORMAL 0x0u
#define NSDK_NVME_CSTS_SHST_OCCURRING 0x4u
#define NSDK_NVME_CSTS_SHST_COMPLETE 0x8u

/* ---- Submission queue entry (Base 3.3.3.1, figure 86) ---- */
struct nsdk_nvme_cmd {
	uint8_t opcode;
	uint8_t flags;    /* bits 1:0 FUSE, bits 7:6 PSDT (0: PRP) */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t mptr;
	uint64_t prp1;    /* or SGL entry 1, with prp2 */
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_cmd) == 64);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_cmd, prp1) == 24);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_cmd, cdw10) == 40);

/* ---- Completion queue entry (Base 3.3.3.2, figure 90) ---- */
struct nsdk_nvme_cpl {
	uint32_t dw0;
	uint32_t dw1;
	uint16_t sqhd;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status; /* bit 0 phase, 8:1 SC, 11:9 SCT, 13:12 CRD, 14 More, 15 DNR */
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_cpl) == 16);

#define NSDK_NVME_STATUS_PHASE 0x1u
#define NSDK_NVME_STATUS_SC(status) ((uint8_t)((status) >> 1 & 0xff))
#define NSDK_NVME_STATUS_SCT(status) ((uint8_t)((status) >> 9 & 0x7))
#define NSDK_NVME_STATUS_DNR(status) ((status) >> 15 & 1)
/* A status without its phase bit, as built by a controller. */
#define NSDK_NVME_STATUS(sct, sc) ((uint16_t)((sct) << 9 | (sc) << 1))
#define NSDK_NVME_STATUS_DNR_BIT 0x8000u

/* Status code types (Base 3.3.3.2.1.1) */
enum nsdk_nvme_sct {
	NSDK_NVME_SCT_GENERIC = 0,
	NSDK_NVME_SCT_COMMAND = 1,
	NSDK_NVME_SCT_MEDIA = 2,
	NSDK_NVME_SCT_PATH = 3,
	NSDK_NVME_SCT_VENDOR = 7,
};
/* Generic command status (Base figure 94; 80h and above NVM figure 2) */
enum nsdk_nvme_sc_generic {
	NSDK_NVME_SC_SUCCESS = 0x00,
	NSDK_NVME_SC_INVALID_OPCODE = 0x01,
	NSDK_NVME_SC_INVALID_FIELD = 0x02,
	NSDK_NVME_SC_CID_CONFLICT = 0x03,
	NSDK_NVME_SC_DATA_TRANSFER_ERROR = 0x04,
	NSDK_NVME_SC_ABORTED_POWER_LOSS = 0x05,
	NSDK_NVME_SC_INTERNAL_ERROR = 0x06,
	NSDK_NVME_SC_ABORT_REQUESTED = 0x07,
	NSDK_NVME_SC_ABORTED_SQ_DELETED = 0x08,
	NSDK_NVME_SC_ABORTED_FAILED_FUSED = 0x09,
	NSDK_NVME_SC_ABORTED_MISSING_FUSED = 0x0a,
	NSDK_NVME_SC_INVALID_NAMESPACE = 0x0b,
	NSDK_NVME_SC_SEQUENCE_ERROR = 0x0c,
	NSDK_NVME_SC_INVALID_SGL_SEGMENT = 0x0d,
	NSDK_NVME_SC_INVALID_SGL_COUNT = 0x0e,
	NSDK_NVME_SC_DATA_SGL_LENGTH = 0x0f,
	NSDK_NVME_SC_SGL_TYPE = 0x11,
	NSDK_NVME_SC_INVALID_CMB_USE = 0x12,
	NSDK_NVME_SC_INVALID_PRP_OFFSET = 0x13,
	NSDK_NVME_SC_ATOMIC_WRITE_UNIT = 0x14,
	NSDK_NVME_SC_SANITIZE_IN_PROGRESS = 0x1d,
	NSDK_NVME_SC_SGL_GRANULARITY = 0x1e,
	NSDK_NVME_SC_LBA_OUT_OF_RANGE = 0x80,
	NSDK_NVME_SC_CAPACITY_EXCEEDED = 0x81,
	NSDK_NVME_SC_NAMESPACE_NOT_READY = 0x82,
	NSDK_NVME_SC_RESERVATION_CONFLICT = 0x83,
};
/* Command specific status (Base figure 95; NVM figure 3) */
enum nsdk_nvme_sc_command {
	NSDK_NVME_SC_CQ_INVALID = 0x00,
	NSDK_NVME_SC_INVALID_QID = 0x01,
	NSDK_NVME_SC_INVALID_QUEUE_SIZE = 0x02,
	NSDK_NVME_SC_ABORT_LIMIT = 0x03,
	NSDK_NVME_SC_AER_LIMIT = 0x05,
	NSDK_NVME_SC_INVALID_FW_SLOT = 0x06,
	NSDK_NVME_SC_INVALID_FW_IMAGE = 0x07,
	NSDK_NVME_SC_INVALID_VECTOR = 0x08,
	NSDK_NVME_SC_INVALID_LOG_PAGE = 0x09,
	NSDK_NVME_SC_INVALID_FORMAT = 0x0a,
	NSDK_NVME_SC_INVALID_QUEUE_DELETION = 0x0c,
	NSDK_NVME_SC_FEATURE_NOT_SAVEABLE = 0x0d,
	NSDK_NVME_SC_FEATURE_NOT_CHANGEABLE = 0x0e,
	NSDK_NVME_SC_FEATURE_NOT_NS_SPECIFIC = 0x0f,
	NSDK_NVME_SC_OVERLAPPING_RANGE = 0x14,
	NSDK_NVME_SC_NS_INSUFFICIENT_CAPACITY = 0x15,
	NSDK_NVME_SC_NS_ID_UNAVAILABLE = 0x16,
	NSDK_NVME_SC_NS_ALREADY_ATTACHED = 0x18,
	NSDK_NVME_SC_NS_NOT_ATTACHED = 0x1a,
	NSDK_NVME_SC_CTRLR_LIST_INVALID = 0x1c,
	NSDK_NVME_SC_SELF_TEST_IN_PROGRESS = 0x1d,
	NSDK_NVME_SC_ATTRIBUTES_CONFLICT = 0x80,
	NSDK_NVME_SC_INVALID_PROTECTION = 0x81,
	NSDK_NVME_SC_WRITE_TO_RO_RANGE = 0x82,
	NSDK_NVME_SC_SIZE_LIMIT = 0x83,
};
/* Media and data integrity errors (Base figure 96; NVM figure 4) */
enum nsdk_nvme_sc_media {
	NSDK_NVME_SC_WRITE_FAULT = 0x80,
	NSDK_NVME_SC_UNRECOVERED_READ = 0x81,
	NSDK_NVME_SC_GUARD_CHECK = 0x82,
	NSDK_NVME_SC_APP_TAG_CHECK = 0x83,
	NSDK_NVME_SC_REF_TAG_CHECK = 0x84,
	NSDK_NVME_SC_COMPARE_FAILURE = 0x85,
	NSDK_NVME_SC_ACCESS_DENIED = 0x86,
};
/* Path related status (Base figure 97) */
enum nsdk_nvme_sc_path {
	NSDK_NVME_SC_INTERNAL_PATH = 0x00,
	NSDK_NVME_SC_ABORTED_BY_HOST = 0x71,
};

/* ---- Admin commands (Base 5, figure 138) ---- */
enum nsdk_nvme_admin_opcode {
	NSDK_NVME_ADMIN_DELETE_SQ = 0x00,
	NSDK_NVME_ADMIN_CREATE_SQ = 0x01,
	NSDK_NVME_ADMIN_GET_LOG_PAGE = 0x02,
	NSDK_NVME_ADMIN_DELETE_CQ = 0x04,
	NSDK_NVME_ADMIN_CREATE_CQ = 0x05,
	NSDK_NVME_ADMIN_IDENTIFY = 0x06,
	NSDK_NVME_ADMIN_ABORT = 0x08,
	NSDK_NVME_ADMIN_SET_FEATURES = 0x09,
	NSDK_NVME_ADMIN_GET_FEATURES = 0x0a,
	NSDK_NVME_ADMIN_ASYNC_EVENT = 0x0c,
	NSDK_NVME_ADMIN_NS_MANAGEMENT = 0x0d,
	NSDK_NVME_ADMIN_FW_COMMIT = 0x10,
	NSDK_NVME_ADMIN_FW_DOWNLOAD = 0x11,
	NSDK_NVME_ADMIN_SELF_TEST = 0x14,
	NSDK_NVME_ADMIN_NS_ATTACHMENT = 0x15,
	NSDK_NVME_ADMIN_KEEP_ALIVE = 0x18,
	NSDK_NVME_ADMIN_DIRECTIVE_SEND = 0x19,
	NSDK_NVME_ADMIN_DIRECTIVE_RECEIVE = 0x1a,
	NSDK_NVME_ADMIN_VIRTUALIZATION = 0x1c,
	NSDK_NVME_ADMIN_MI_SEND = 0x1d,
	NSDK_NVME_ADMIN_MI_RECEIVE = 0x1e,
	NSDK_NVME_ADMIN_CAPACITY = 0x20,
	NSDK_NVME_ADMIN_LOCKDOWN = 0x24,
	NSDK_NVME_ADMIN_DBBUF_CONFIG = 0x7c,
	NSDK_NVME_ADMIN_FORMAT = 0x80,
	NSDK_NVME_ADMIN_SECURITY_SEND = 0x81,
	NSDK_NVME_ADMIN_SECURITY_RECEIVE = 0x82,
	NSDK_NVME_ADMIN_SANITIZE = 0x84,
	NSDK_NVME_ADMIN_GET_LBA_STATUS = 0x86,
};
/* NVM commands (NVM 3, figure 17) */
enum nsdk_nvme_nvm_opcode {
	NSDK_NVME_NVM_FLUSH = 0x00,
	NSDK_NVME_NVM_WRITE = 0x01,
	NSDK_NVME_NVM_READ = 0x02,
	NSDK_NVME_NVM_WRITE_UNCORRECTABLE = 0x04,
	NSDK_NVME_NVM_COMPARE = 0x05,
	NSDK_NVME_NVM_WRITE_ZEROES = 0x08,
	NSDK_NVME_NVM_DATASET_MANAGEMENT = 0x09,
	NSDK_NVME_NVM_VERIFY = 0x0c,
	NSDK_NVME_NVM_RESV_REGISTER = 0x0d,
	NSDK_NVME_NVM_RESV_REPORT = 0x0e,
	NSDK_NVME_NVM_RESV_ACQUIRE = 0x11,
	NSDK_NVME_NVM_RESV_RELEASE = 0x15,
	NSDK_NVME_NVM_COPY = 0x19,
};
/* Command dword 12 of read and write (NVM 3.2.4, 3.2.6): 15:0 NLB 0's based, 29:26 PRINFO (NVM figure 11) */
#define NSDK_NVME_RW_PRCHK_REF_TAG (1u << 26)
#define NSDK_NVME_RW_PRCHK_APP_TAG (1u << 27)
#define NSDK_NVME_RW_PRCHK_GUARD (1u << 28)
#define NSDK_NVME_RW_PRACT (1u << 29) /* the controller puts protection information in, or takes it off */
#define NSDK_NVME_RW_FUA (1u << 30)
#define NSDK_NVME_RW_LIMITED_RETRY (1u << 31)
/* Command dword 13 of read and write, 7:0: dataset management hints (NVM 3.2.4, figure 46) */
#define NSDK_NVME_RW_DSM_FREQUENCY(n) ((uint8_t)((n)&0xf)) /* 0 to 8 */
#define NSDK_NVME_RW_DSM_LATENCY_IDLE 0x10u
#define NSDK_NVME_RW_DSM_LATENCY_NORMAL 0x20u
#define NSDK_NVME_RW_DSM_LATENCY_LOW 0x30u
#define NSDK_NVME_RW_DSM_SEQUENTIAL 0x40u
#define NSDK_NVME_RW_DSM_INCOMPRESSIBLE 0x80u
/* Write zeroes, cdw12 (NVM 3.2.8) */
#define NSDK_NVME_WZ_DEALLOCATE (1u << 25)
/* Dataset management, cdw11 (NVM 3.2.3) */
#define NSDK_NVME_DSM_DEALLOCATE (1u << 2)

/* Identify, cdw10 CNS (Base 5.17.1, figure 273) */
enum nsdk_nvme_cns {
	NSDK_NVME_CNS_NS = 0x00,
	NSDK_NVME_CNS_CTRLR = 0x01,
	NSDK_NVME_CNS_ACTIVE_NS_LIST = 0x02,
	NSDK_NVME_CNS_NS_DESC_LIST = 0x03,
	NSDK_NVME_CNS_NVMSET_LIST = 0x04,
	NSDK_NVME_CNS_CSI_NS = 0x05,
	NSDK_NVME_CNS_CSI_CTRLR = 0x06,
	NSDK_NVME_CNS_INDEPENDENT_NS = 0x08,
	NSDK_NVME_CNS_FORMAT_NS = 0x09,     /* what a namespace of one format can do, whichever namespace */
	NSDK_NVME_CNS_CSI_FORMAT_NS = 0x0a, /* the same of what a command set has of its own */
	NSDK_NVME_CNS_ALLOCATED_NS_LIST = 0x10,
	NSDK_NVME_CNS_ALLOCATED_NS = 0x11,
	NSDK_NVME_CNS_NS_CTRLR_LIST = 0x12, /* that a namespace is attached to */
	NSDK_NVME_CNS_CTRLR_LIST = 0x13,    /* of the subsystem */
	NSDK_NVME_CNS_PRIMARY_CAPS = 0x14,
	NSDK_NVME_CNS_SECONDARY_LIST = 0x15,
	NSDK_NVME_CNS_GRANULARITY_LIST = 0x16,
	NSDK_NVME_CNS_UUID_LIST = 0x17,
	NSDK_NVME_CNS_DOMAIN_LIST = 0x18,
	NSDK_NVME_CNS_ENDGRP_LIST = 0x19,
	NSDK_NVME_CNS_CSI_ALLOCATED_NS_LIST = 0x1a,
};
/* Features (Base 5.27.1, figure 317) */
enum nsdk_nvme_feature {
	NSDK_NVME_FEAT_ARBITRATION = 0x01,
	NSDK_NVME_FEAT_POWER_MANAGEMENT = 0x02,
	NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD = 0x04,
	NSDK_NVME_FEAT_ERROR_RECOVERY = 0x05,
	NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE = 0x06,
	NSDK_NVME_FEAT_NUMBER_OF_QUEUES = 0x07,
	NSDK_NVME_FEAT_INTERRUPT_COALESCING = 0x08,
	NSDK_NVME_FEAT_INTERRUPT_VECTOR = 0x09,
	NSDK_NVME_FEAT_WRITE_ATOMICITY = 0x0a,
	NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG = 0x0b,
	NSDK_NVME_FEAT_HOST_MEMORY_BUFFER = 0x0d,
	NSDK_NVME_FEAT_HOST_BEHAVIOR = 0x16,
};
/* Log pages (Base 5.16.1, figure 202) */
enum nsdk_nvme_log_page {
	NSDK_NVME_LOG_ERROR = 0x01,
	NSDK_NVME_LOG_SMART = 0x02,
	NSDK_NVME_LOG_FIRMWARE_SLOT = 0x03,
	NSDK_NVME_LOG_CHANGED_NS = 0x04,
	NSDK_NVME_LOG_COMMANDS = 0x05,
	NSDK_NVME_LOG_SELF_TEST = 0x06,
	NSDK_NVME_LOG_TELEMETRY_HOST = 0x07,
	NSDK_NVME_LOG_TELEMETRY_CTRLR = 0x08,
	NSDK_NVME_LOG_ANA = 0x0c,
	NSDK_NVME_LOG_SANITIZE = 0x81,
};

/* Power state descriptor (Base figure 276) */
struct nsdk_nvme_power_state {
	uint16_t mp;
	uint8_t reserved2;
	uint8_t flags;
	uint32_t enlat;
	uint32_t exlat;
	uint8_t rrt, rrl, rwt, rwl;
	uint16_t idlp;
	uint8_t ips;
	uint8_t reserved19;
	uint16_t actp;
	uint8_t apws;
	uint8_t reserved23[9];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_power_state) == 32);

/* Identify Controller data structure (Base 5.17.2.1, figure 275) */
struct nsdk_nvme_id_ctrl {
	uint16_t vid;
	uint16_t ssvid;
	char sn[20];
	char mn[40];
	char fr[8];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts; /* 2^n minimum-size pages; 0: no limit */
	uint16_t cntlid;
	uint32_t ver;
	uint32_t rtd3r;
	uint32_t rtd3e;
	uint32_t oaes;
	uint32_t ctratt;
	uint16_t rrls;
	uint8_t reserved102[9];
	uint8_t cntrltype;
	uint8_t fguid[16];
	uint16_t crdt1, crdt2, crdt3;
	uint8_t reserved134[119];
	uint8_t nvmsr;
	uint8_t vwci;
	uint8_t mec;
	uint16_t oacs;
	uint8_t acl;
	uint8_t aerl;
	uint8_t frmw;
	uint8_t lpa;
	uint8_t elpe;
	uint8_t npss;
	uint8_t avscc;
	uint8_t apsta;
	uint16_t wctemp;
	uint16_t cctemp;
	uint16_t mtfa;
	uint32_t hmpre;
	uint32_t hmmin;
	uint8_t tnvmcap[16];
	uint8_t unvmcap[16];
	uint32_t rpmbs;
	uint16_t edstt;
	uint8_t dsto;
	uint8_t fwug;
	uint16_t kas;
	uint16_t hctma;
	uint16_t mntmt;
	uint16_t mxtmt;
	uint32_t sanicap;
	uint32_t hmminds;
	uint16_t hmmaxd;
	uint16_t nsetidmax;
	uint16_t endgidmax;
	uint8_t anatt;
	uint8_t anacap;
	uint32_t anagrpmax;
	uint32_t nanagrpid;
	uint32_t pels;
	uint16_t domain_id;
	uint8_t reserved358[10];
	uint8_t megcap[16];
	uint8_t reserved384[128];
	uint8_t sqes; /* 3:0 required, 7:4 maximum, log2 */
	uint8_t cqes;
	uint16_t maxcmd;
	uint32_t nn;
	uint16_t oncs;
	uint16_t fuses;
	uint8_t fna;
	uint8_t vwc;
	uint16_t awun;
	uint16_t awupf;
	uint8_t icsvscc;
	uint8_t nwpc;
	uint16_t acwu;
	uint16_t ocfs;
	uint32_t sgls;
	uint32_t mnan;
	uint8_t maxdna[16];
	uint32_t maxcna;
	uint8_t reserved564[204];
	char subnqn[256];
	uint8_t reserved1024[768];
	uint8_t nvmof[256];
	struct nsdk_nvme_power_state psd[32];
	uint8_t vs[1024];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ctrl) == 4096);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, mdts) == 77);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, cntrltype) == 111);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, oacs) == 256);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, tnvmcap) == 280);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, sanicap) == 328);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, sqes) == 512);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, oncs) == 520);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, sgls) == 536);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, subnqn) == 768);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ctrl, psd) == 2048);

/** Host Behavior Support (Base 5.27.1.18) */
struct nsdk_nvme_host_behavior {
	uint8_t acre;
	uint8_t etdas;
	uint8_t lbafee; /**< 1: formats that say more of themselves (CTRATT.ELBAS) are known to the host */
	uint8_t reserved3[509];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_host_behavior) == 512);

/** Host Memory Buffer Descriptor Entry (Base 5.27.1.10) */
struct nsdk_nvme_hmb_entry {
	uint64_t badd;  /**< of memory pages */
	uint32_t bsize; /**< in memory pages (CC.MPS) */
	uint32_t reserved12;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_hmb_entry) == 16);

/* CTRATT (Base figure 275, bytes 99:96) */
#define NSDK_NVME_CTRATT_ENDURANCE_GROUPS (1u << 4)
#define NSDK_NVME_CTRATT_GRANULARITY (1u << 7)
#define NSDK_NVME_CTRATT_UUID_LIST (1u << 9)
#define NSDK_NVME_CTRATT_ELBAS (1u << 15) /* formats say more of themselves (struct nsdk_nvme_id_ns_nvm) */
#define NSDK_NVME_CTRATT_FDP (1u << 19) /* flexible data placement (nsdk/nvme_fdp_spec.h) */
/* OACS (bytes 257:256) */
#define NSDK_NVME_OACS_SECURITY (1u << 0)
#define NSDK_NVME_OACS_FORMAT (1u << 1)
#define NSDK_NVME_OACS_FIRMWARE (1u << 2)
#define NSDK_NVME_OACS_NS_MANAGEMENT (1u << 3)
#define NSDK_NVME_OACS_SELF_TEST (1u << 4)
#define NSDK_NVME_OACS_DIRECTIVES (1u << 5)
#define NSDK_NVME_OACS_DBBUF (1u << 8)
#define NSDK_NVME_OACS_GET_LBA_STATUS (1u << 9)
/* LPA (byte 261) */
#define NSDK_NVME_LPA_TELEMETRY (1u << 3)
/* ONCS (bytes 521:520) */
#define NSDK_NVME_ONCS_COMPARE (1u << 0)
#define NSDK_NVME_ONCS_WRITE_UNCORRECTABLE (1u << 1)
#define NSDK_NVME_ONCS_DSM (1u << 2)
#define NSDK_NVME_ONCS_WRITE_ZEROES (1u << 3)
#define NSDK_NVME_ONCS_RESERVATIONS (1u << 5)
#define NSDK_NVME_ONCS_VERIFY (1u << 7)
#define NSDK_NVME_ONCS_COPY (1u << 8)
/* FUSES (bytes 523:522) */
#define NSDK_NVME_FUSES_COMPARE_AND_WRITE (1u << 0)
/* OCFS (bytes 535:534): source range formats of Copy, a bit each */
#define NSDK_NVME_OCFS_FORMAT(n) (1u << (n))
/* SGLS (bytes 539:536) */
#define NSDK_NVME_SGLS_SUPPORT(sgls) ((sgls)&3u)
#define NSDK_NVME_SGLS_ANY_ALIGNMENT 1u
#define NSDK_NVME_SGLS_DWORD_ALIGNMENT 2u
#define NSDK_NVME_VWC_PRESENT 0x1u

/* Identify Controller data structure of the NVM command set (NVM 4.1.5.2, figure 102) */
struct nsdk_nvme_id_ctrl_nvm {
	uint8_t vsl;  /* verify: 2^n minimum-size pages; 0: no limit; likewise */
	uint8_t wzsl; /* write zeroes */
	uint8_t wusl; /* write uncorrectable */
	uint8_t dmrl;
	uint32_t dmrsl;
	uint64_t dmsl;
	uint8_t reserved16[4080];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ctrl_nvm) == 4096);

/* Identify Namespace data structure of all command sets (Base 5.17.2.8, figure 280) */
struct nsdk_nvme_id_ns_independent {
	uint8_t nsfeat;
	uint8_t nmic;
	uint8_t rescap;
	uint8_t fpi;
	uint32_t anagrpid;
	uint8_t nsattr;
	uint8_t reserved9;
	uint16_t nvmsetid;
	uint16_t endgid;
	uint8_t nstat; /* bit 0: ready */
	uint8_t reserved15;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ns_independent) == 16);

/* Lists of Identify (Base 5.17.2): how many entries, and those; NVM sets, … */
struct nsdk_nvme_nvmset {
	uint16_t id;
	uint16_t endgid;
	uint8_t reserved4[4];
	uint32_t rr4kt; /* 4 KiB random read, typical, 100 ns */
	uint32_t ows;   /* optimal write size, bytes */
	uint8_t tnvmsetcap[16];
	uint8_t unvmsetcap[16];
	uint8_t reserved48[80];
};
struct nsdk_nvme_nvmset_list {
	uint8_t count;
	uint8_t reserved1[127];
	struct nsdk_nvme_nvmset entry[31];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_nvmset_list) == 4096);
/* … domains, */
struct nsdk_nvme_domain {
	uint16_t id;
	uint8_t reserved2[14];
	uint8_t capacity[3][16]; /* all of it; unallocated; of one endurance group at most */
	uint8_t reserved64[64];
};
struct nsdk_nvme_domain_list {
	uint8_t count;
	uint8_t reserved1[127];
	struct nsdk_nvme_domain entry[31];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_domain_list) == 4096);
/* … what the size and the capacity of a new namespace should be multiples of, in bytes, */
struct nsdk_nvme_granularity {
	uint64_t size;
	uint64_t capacity;
};
#define NSDK_NVME_GRANULARITIES 16u
struct nsdk_nvme_granularity_list {
	uint32_t attributes; /* bit 0: entry i is of format i; otherwise entry 0 is of all */
	uint8_t last;        /* entries less one */
	uint8_t reserved5[27];
	struct nsdk_nvme_granularity entry[NSDK_NVME_GRANULARITIES];
	uint8_t reserved288[3808];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_granularity_list) == 4096);
/* … vendors' UUIDs, which a UUID Index selects from 1 on; one of zeroes is behind the last, … */
struct nsdk_nvme_uuid {
	uint8_t association; /* 1:0 none, the PCI vendor, the PCI subsystem vendor */
	uint8_t reserved1[15];
	uint8_t uuid[16]; /* most significant byte first; all FFh: none in this place */
};
#define NSDK_NVME_UUIDS 127u
struct nsdk_nvme_uuid_list {
	uint8_t reserved0[32];
	struct nsdk_nvme_uuid entry[NSDK_NVME_UUIDS];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_uuid_list) == 4096);
/* … secondary controllers */
struct nsdk_nvme_secondary {
	uint16_t scid;
	uint16_t pcid;
	uint8_t scs; /* bit 0: online */
	uint8_t reserved5[3];
	uint16_t vfn;
	uint16_t nvq;
	uint16_t nvi;
	uint8_t reserved14[18];
};
struct nsdk_nvme_secondary_list {
	uint8_t count;
	uint8_t reserved1[31];
	struct nsdk_nvme_secondary entry[127];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_secondary_list) == 4096);
/* Primary controller capabilities (Base 5.17.2.14): queues (vq) and interrupts (vi) to be given away */
struct nsdk_nvme_primary_caps {
	uint16_t cntlid;
	uint16_t portid;
	uint8_t crt;
	uint8_t reserved5[27];
	uint32_t vqfrt;
	uint32_t vqrfa;
	uint16_t vqrfap;
	uint16_t vqprt;
	uint16_t vqfrsm;
	uint16_t vqgran;
	uint8_t reserved48[16];
	uint32_t vifrt;
	uint32_t virfa;
	uint16_t virfap;
	uint16_t viprt;
	uint16_t vifrsm;
	uint16_t vigran;
	uint8_t reserved80[4016];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_primary_caps) == 4096);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_primary_caps, vifrt) == 64);

/* NSFEAT (byte 24): NAWUN, NAWUPF and NACWU are defined for this namespace */
#define NSDK_NVME_NSFEAT_ATOMICITY (1u << 1)
/* RESCAP (byte 31): reservation types, each at the bit of its number (1 to 6) */
#define NSDK_NVME_RESCAP_PERSIST (1u << 0)

/* LBA format (NVM figure 98) */
struct nsdk_nvme_lbaf {
	uint16_t ms;    /* metadata bytes */
	uint8_t lbads;  /* log2 of the data bytes */
	uint8_t rp;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_lbaf) == 4);

/* Identify Namespace data structure (NVM 4.1.5.1, figure 97) */
struct nsdk_nvme_id_ns {
	uint64_t nsze; /* blocks */
	uint64_t ncap;
	uint64_t nuse;
	uint8_t nsfeat;
	uint8_t nlbaf; /* 0's based */
	uint8_t flbas; /* 3:0 low bits of the format index, 6:5 high bits, 4 extended LBA */
	uint8_t mc;
	uint8_t dpc;
	uint8_t dps;
	uint8_t nmic;
	uint8_t rescap;
	uint8_t fpi;
	uint8_t dlfeat;
	uint16_t nawun;
	uint16_t nawupf;
	uint16_t nacwu;
	uint16_t nabsn;
	uint16_t nabo;
	uint16_t nabspf;
	uint16_t noiob;
	uint8_t nvmcap[16];
	uint16_t npwg;
	uint16_t npwa;
	uint16_t npdg;
	uint16_t npda;
	uint16_t nows;
	uint16_t mssrl;
	uint32_t mcl;
	uint8_t msrc;
	uint8_t reserved81;
	uint8_t nulbaf; /* formats with attributes of their own, behind nlbaf's */
	uint8_t reserved83[9];
	uint32_t anagrpid;
	uint8_t reserved96[3];
	uint8_t nsattr;
	uint16_t nvmsetid;
	uint16_t endgid;
	uint8_t nguid[16];
	uint8_t eui64[8];
	struct nsdk_nvme_lbaf lbaf[64];
	uint8_t vs[3712];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ns) == 4096);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns, nvmcap) == 48);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns, nulbaf) == 82);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns, nguid) == 104);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns, lbaf) == 128);

/* FLBAS (byte 26): which format, and how its metadata travels */
#define NSDK_NVME_FLBAS_EXTENDED 0x10u
/* MC (byte 27) */
#define NSDK_NVME_MC_EXTENDED 0x1u
#define NSDK_NVME_MC_SEPARATE 0x2u
/* DPC (byte 28): bits 2:0 types 1 to 3 */
#define NSDK_NVME_DPC_FIRST 0x08u
#define NSDK_NVME_DPC_LAST 0x10u
/* DPS (byte 29) */
#define NSDK_NVME_DPS_TYPE(dps) ((dps)&7u)
#define NSDK_NVME_DPS_FIRST 0x8u

/* Identify Namespace data structure of the NVM command set (NVM 4.1.5.3, figure 100) */
struct nsdk_nvme_id_ns_nvm {
	uint64_t lbstm;
	uint8_t pic;
	uint8_t reserved9[3];
	uint32_t elbaf[64]; /* 6:0 storage tag bits, 8:7 protection information format */
	uint8_t reserved268[3828];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_id_ns_nvm) == 4096);
NSDK_SPEC_ASSERT(offsetof(struct nsdk_nvme_id_ns_nvm, elbaf) == 12);
#define NSDK_NVME_ELBAF_STS(elbaf) ((elbaf)&0x7fu)
#define NSDK_NVME_ELBAF_PIF(elbaf) ((elbaf) >> 7 & 3u)

/* One range of dataset management (NVM figure 40) */
struct nsdk_nvme_dsm_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t slba;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_dsm_range) == 16);
#define NSDK_NVME_DSM_MAX_RANGES 256u

/* A source range of Copy, format 0 (NVM figure 26) */
struct nsdk_nvme_copy_range {
	uint8_t reserved0[8];
	uint64_t slba;
	uint16_t blocks; /* 0's based */
	uint8_t reserved18[6];
	uint32_t eilbrt;
	uint16_t elbat;
	uint16_t elbatm;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_copy_range) == 32);
/* … and format 1, for namespaces whose protection information is 16 bytes (NVM figure 27) */
struct nsdk_nvme_copy_range_f1 {
	uint8_t reserved0[8];
	uint64_t slba;
	uint16_t blocks; /* 0's based */
	uint8_t reserved18[8];
	uint8_t elbt[10];
	uint16_t elbat;
	uint16_t elbatm;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_copy_range_f1) == 40);
#define NSDK_NVME_COPY_MAX_RANGES 256u

/* ---- Scatter gather lists (Base 4.1.2, figures 111 to 116) ---- */
struct nsdk_nvme_sgl {
	uint64_t address;
	uint32_t length; /* bytes */
	uint8_t reserved12[3];
	uint8_t type;    /* 7:4 type, 3:0 subtype */
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_sgl) == 16);
#define NSDK_NVME_SGL_DATA_BLOCK 0x00u
#define NSDK_NVME_SGL_BIT_BUCKET 0x10u
#define NSDK_NVME_SGL_SEGMENT 0x20u
#define NSDK_NVME_SGL_LAST_SEGMENT 0x30u
/* struct nsdk_nvme_cmd.flags */
#define NSDK_NVME_PSDT_MASK 0xc0u
#define NSDK_NVME_PSDT_SGL 0x40u             /* metadata, if any, in one piece */
#define NSDK_NVME_PSDT_SGL_METADATA 0x80u    /* metadata by an SGL of its own */
#define NSDK_NVME_FUSE_MASK 0x03u
#define NSDK_NVME_FUSE_FIRST 0x01u
#define NSDK_NVME_FUSE_SECOND 0x02u

/* ---- Reservations (Base 7.3 to 7.6) ---- */
enum nsdk_nvme_resv_type {
	NSDK_NVME_RESV_NONE = 0,
	NSDK_NVME_RESV_WRITE_EXCLUSIVE = 1,
	NSDK_NVME_RESV_EXCLUSIVE_ACCESS = 2,
	NSDK_NVME_RESV_WRITE_EXCLUSIVE_REGISTRANTS = 3,
	NSDK_NVME_RESV_EXCLUSIVE_ACCESS_REGISTRANTS = 4,
	NSDK_NVME_RESV_WRITE_EXCLUSIVE_ALL = 5,
	NSDK_NVME_RESV_EXCLUSIVE_ACCESS_ALL = 6,
};
/* cdw10 2:0 of Register, Acquire, Release */
enum nsdk_nvme_resv_register_action {
	NSDK_NVME_RESV_REGISTER = 0,
	NSDK_NVME_RESV_UNREGISTER = 1,
	NSDK_NVME_RESV_REPLACE = 2,
};
enum nsdk_nvme_resv_acquire_action {
	NSDK_NVME_RESV_ACQUIRE = 0,
	NSDK_NVME_RESV_PREEMPT = 1,
	NSDK_NVME_RESV_PREEMPT_AND_ABORT = 2,
};
enum nsdk_nvme_resv_release_action {
	NSDK_NVME_RESV_RELEASE = 0,
	NSDK_NVME_RESV_CLEAR = 1,
};
#define NSDK_NVME_RESV_IGNORE_KEY (1u << 3)
#define NSDK_NVME_RESV_PERSIST_OFF (2u << 30) /* register: gone after power loss */
#define NSDK_NVME_RESV_PERSIST_ON (3u << 30)
/* Reservation Status (Base figure 383), and behind it one of these for each registered controller */
struct nsdk_nvme_resv_status {
	uint32_t generation;
	uint8_t type;
	uint8_t registered[2]; /* how many, little endian */
	uint8_t reserved7[2];
	uint8_t persists;
	uint8_t reserved10[14];
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_resv_status) == 24);
struct nsdk_nvme_resv_ctrlr {
	uint16_t cntlid;
	uint8_t status; /* bit 0: it holds the reservation */
	uint8_t reserved3[5];
	uint64_t host_id;
	uint64_t key;
};
NSDK_SPEC_ASSERT(sizeof(struct nsdk_nvme_resv_ctrlr) == 24);

#define NSDK_NVME_NSID_ALL 0xffffffffu
#define NSDK_NVME_NS_LIST_ENTRIES 1024u

#ifdef __cplusplus
}
#endif
#endif
