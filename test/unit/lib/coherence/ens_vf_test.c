/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual functions, in a sysfs of the test's own. */
#include "nsdk_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_device.h"
#include "lib/coherence/engine.h"
#include "lib/pci/pci_internal.h"

#define DEVICES "/sys/bus/pci/devices"
#define VF "0000:00:03.0"
#define PF "0000:00:02.0"

static char root[] = "/tmp/nsdk-ens-vf.XXXXXX";
static unsigned char config[256];
static enum nsdk_ens_of_pf pf;

static void run(const char *what)
{
	char command[512];

	snprintf(command, sizeof(command), "cd %s && %s", root, what);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
}

static void before(void)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
	nsdk_pci_set_root(root);
	run("mkdir -p ." DEVICES "/" VF " ." DEVICES "/" PF);
	run("ln -s ../" PF " ." DEVICES "/" VF "/physfn");
	/* Power management at 0x40, then PCI Express at 0x70. */
	memset(config, 0, sizeof(config));
	config[0x34] = 0x40;
	config[0x40] = 0x01;
	config[0x41] = 0x70;
	config[0x70] = 0x10;
	config[0x78] = 0x10;
	config[0x79] = 0x29;
	nsdk_unit_log_start();
}

static void after(void)
{
	nsdk_unit_log_stop();
	run("rm -r sys");
	rmdir(root);
	nsdk_pci_set_root("");
}

static void write_config(size_t bytes)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s" DEVICES "/" PF "/config", root);
	file = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_EQUAL(fwrite(config, 1, bytes, file), bytes);
	fclose(file);
}

static void a_physical_function_is_none(void)
{
	CU_ASSERT_FALSE(nsdk_ens_is_vf("pci:" PF, &pf));
	CU_ASSERT_FALSE(nsdk_ens_is_vf("pci:0000:00:09.0", &pf));
	CU_ASSERT_FALSE(nsdk_ens_is_vf("emu:nvme", &pf));
	CU_ASSERT_FALSE(nsdk_ens_is_vf("", &pf));
}

static void reads_the_physical_functions_bit(void)
{
	write_config(256);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_SET);
	config[0x79] = 0x21;
	write_config(256);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_CLEAR);
}

static void what_cannot_be_read_is_unknown(void)
{
	/* No file. */
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_UNKNOWN);
	/* What an ordinary user gets. */
	write_config(64);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_UNKNOWN);
	/* A list without the capability, one that goes round, one that points into the header. */
	config[0x70] = 0x05;
	write_config(256);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_UNKNOWN);
	config[0x71] = 0x40;
	write_config(256);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_UNKNOWN);
	config[0x41] = 0x10;
	write_config(256);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_UNKNOWN);
	/* A function that is off the bus. */
	memset(config, 0xff, sizeof(config));
	write_config(256);
	CU_ASSERT(nsdk_ens_is_vf("pci:" VF, &pf));
	NSDK_ASSERT_INT(pf, NSDK_ENS_OF_PF_UNKNOWN);
}

/* A virtual function's own bit reads 0, which says nothing. */
static int create(enum nsdk_policy policy, enum nsdk_snoop_state verdict, bool *active)
{
	struct fake_device fake;
	struct nsdk_coherence *coh;
	int err;

	fake_device_init(&fake, verdict, false, false);
	nsdk_unit_log_clear();
	err = nsdk_coherence_create(&fake.dev, policy, &coh);
	*active = !err && nsdk_coherence_active(coh);
	nsdk_coherence_destroy(coh);
	NSDK_ASSERT_INT(fake.writes, 0);
	return err;
}

static void the_decision_follows_the_physical_function(void)
{
	bool active;

	write_config(256);
	NSDK_ASSERT_INT(create(NSDK_POLICY_COHERENT, NSDK_SNOOP_PERMITTED, &active), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("of its physical function is set; clear it there: setpci");
	NSDK_ASSERT_INT(create(NSDK_POLICY_COHERENT, NSDK_SNOOP_ENFORCED, &active), 0);
	NSDK_ASSERT_INT(create(NSDK_POLICY_AUTO, NSDK_SNOOP_PERMITTED, &active), 0);
	CU_ASSERT(active);
	config[0x79] = 0x21;
	write_config(256);
	NSDK_ASSERT_INT(create(NSDK_POLICY_COHERENT, NSDK_SNOOP_UNKNOWN, &active), 0);
	NSDK_ASSERT_INT(create(NSDK_POLICY_AUTO, NSDK_SNOOP_PERMITTED, &active), 0);
	CU_ASSERT_FALSE(active);
	NSDK_ASSERT_INT(create(NSDK_POLICY_NOSNOOP, NSDK_SNOOP_PERMITTED, &active), 0);
	CU_ASSERT(active);
	/* Unknown: not coherent for sure, nor no-snoop for sure. */
	write_config(64);
	NSDK_ASSERT_INT(create(NSDK_POLICY_COHERENT, NSDK_SNOOP_PERMITTED, &active), -EIO);
	NSDK_ASSERT_ONE_SENTENCE("cannot be read (that takes root)");
	NSDK_ASSERT_INT(create(NSDK_POLICY_AUTO, NSDK_SNOOP_PERMITTED, &active), -EIO);
	NSDK_ASSERT_INT(create(NSDK_POLICY_NOSNOOP, NSDK_SNOOP_PERMITTED, &active), 0);
	CU_ASSERT(active);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(a_physical_function_is_none),
	NSDK_UNIT_TEST(reads_the_physical_functions_bit),
	NSDK_UNIT_TEST(what_cannot_be_read_is_unknown),
	NSDK_UNIT_TEST(the_decision_follows_the_physical_function),
};

NSDK_UNIT_MAIN("lib/coherence/ens_vf", tests, .before = before, .after = after)
