/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_host.h"

#define SELECT(number) ((unsigned)(number) << 8)
#define SAVE 0x80000000u

static int get(unsigned fid, uint32_t cdw11)
{
	return host_get_feature(fid, 0, cdw11);
}

static int set(unsigned fid, uint32_t cdw11)
{
	return host_set_feature(fid, 0, cdw11);
}

static void values_are_kept_until_a_reset(void)
{
	static const struct {
		unsigned fid;
		uint32_t nsid, value, kept;
	} features[] = {
		{ NSDK_NVME_FEAT_ARBITRATION, 0, 0x01020304, 0x01020304 },
		{ NSDK_NVME_FEAT_ERROR_RECOVERY, 1, 0x1234, 0x1234 },
		{ NSDK_NVME_FEAT_INTERRUPT_COALESCING, 0, 0x0408, 0x0408 },
		{ NSDK_NVME_FEAT_WRITE_ATOMICITY, 0, 1, 1 },
		{ NSDK_NVME_FEAT_ASYNC_EVENT_CONFIG, 0, 0x3ff, 0x1ff },
	};

	host_start("size=1M");
	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		NSDK_ASSERT_INT(host_set_feature(features[i].fid, features[i].nsid, features[i].value),
				0);
		NSDK_ASSERT_INT(host_get_feature(features[i].fid, features[i].nsid, 0), 0);
		NSDK_ASSERT_INT(host_last.dw0, features[i].kept);
		/* Its default, and what would be saved, stay. */
		for (unsigned select = 1; select <= 2; select++) {
			NSDK_ASSERT_INT(host_get_feature(features[i].fid | SELECT(select),
							 features[i].nsid, 0), 0);
			NSDK_ASSERT_INT(host_last.dw0, 0);
		}
	}
	host_write32(NSDK_NVME_REG_CC, 0);
	host_enable();
	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		NSDK_ASSERT_INT(host_get_feature(features[i].fid, features[i].nsid, 0), 0);
		NSDK_ASSERT_INT(host_last.dw0, 0);
	}
}

static void nothing_can_be_saved(void)
{
	host_start("size=1M");
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_ARBITRATION | SAVE, 0),
			HOST_SPECIFIC(FEATURE_NOT_SAVEABLE));
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_ARBITRATION | SELECT(3), 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 4); /* changeable, and no more */
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_ERROR_RECOVERY | SELECT(3), 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 6); /* of a namespace */
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_ARBITRATION | SELECT(4), 0), HOST_GENERIC(INVALID_FIELD));
}

static void unknown_features_are_refused(void)
{
	static const uint8_t unknown[] = { 0x00, 0x03, 0x0c, 0x0d, 0x0f, 0x10, 0x80, 0xc0, 0xff };

	host_start("size=1M");
	for (unsigned i = 0; i < sizeof(unknown); i++) {
		NSDK_ASSERT_INT(get(unknown[i], 0), HOST_GENERIC(INVALID_FIELD));
		NSDK_ASSERT_INT(set(unknown[i], 0), HOST_GENERIC(INVALID_FIELD));
	}
}

static void namespaces_are_checked(void)
{
	host_start("size=1M,namespaces=2");
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 1, 0),
			HOST_SPECIFIC(FEATURE_NOT_NS_SPECIFIC));
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, 3, 0),
			HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ARBITRATION, NSDK_NVME_NSID_ALL, 0), 0);
	/* Error recovery is each namespace's own. */
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 2, 7), 0);
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 1, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 2, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 7);
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, NSDK_NVME_NSID_ALL, 9), 0);
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 1, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 9);
	NSDK_ASSERT_INT(host_get_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 0, 0),
			HOST_GENERIC(INVALID_NAMESPACE));
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 3, 0),
			HOST_GENERIC(INVALID_NAMESPACE));
	/* Errors for deallocated blocks are not offered. */
	NSDK_ASSERT_INT(host_set_feature(NSDK_NVME_FEAT_ERROR_RECOVERY, 1, 0x10000),
			HOST_GENERIC(INVALID_FIELD));
}

static void write_cache_is_there_or_not(void)
{
	host_start("size=1M,vwc=1");
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1);
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE, 0), 0);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE | SELECT(1), 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1);
	host_stop();
	host_start("size=1M,vwc=0");
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE, 0), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_VOLATILE_WRITE_CACHE, 1), HOST_GENERIC(INVALID_FIELD));
}

static void vectors_are_configured_one_by_one(void)
{
	host_start("size=1M,queues=2");
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_INTERRUPT_VECTOR, 0x10002), 0);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_INTERRUPT_VECTOR, 2), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0x10002);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_INTERRUPT_VECTOR, 1), 0);
	NSDK_ASSERT_INT(host_last.dw0, 1);
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_INTERRUPT_VECTOR, 3), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_INTERRUPT_VECTOR, 3), HOST_GENERIC(INVALID_FIELD));
}

static void there_is_one_power_state_and_one_command_set(void)
{
	host_start("size=1M");
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_POWER_MANAGEMENT, 0), 0);
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_POWER_MANAGEMENT, 1), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_POWER_MANAGEMENT, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 0);
	NSDK_ASSERT_INT(set(0x19, 0), 0);
	NSDK_ASSERT_INT(set(0x19, 1), HOST_GENERIC(INVALID_FIELD));
}

static void temperature_thresholds(void)
{
	host_start("size=1M");
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 343);
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 350), 0);
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 1 << 20 | 280), 0);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 350);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 1 << 20), 0);
	NSDK_ASSERT_INT(host_last.dw0, 280);
	/* There is the composite temperature and no other sensor. */
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 1 << 16), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 8 << 16), HOST_GENERIC(INVALID_FIELD));
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 15 << 16 | 360), 0);
	NSDK_ASSERT_INT(get(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 0), 0);
	NSDK_ASSERT_INT(host_last.dw0, 360);
	NSDK_ASSERT_INT(set(NSDK_NVME_FEAT_TEMPERATURE_THRESHOLD, 2 << 20), HOST_GENERIC(INVALID_FIELD));
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(values_are_kept_until_a_reset),
	NSDK_UNIT_TEST(nothing_can_be_saved),
	NSDK_UNIT_TEST(unknown_features_are_refused),
	NSDK_UNIT_TEST(namespaces_are_checked),
	NSDK_UNIT_TEST(write_cache_is_there_or_not),
	NSDK_UNIT_TEST(vectors_are_configured_one_by_one),
	NSDK_UNIT_TEST(there_is_one_power_state_and_one_command_set),
	NSDK_UNIT_TEST(temperature_thresholds),
};

NSDK_UNIT_MAIN("lib/emu/nvme_features", tests, .after = host_stop)
