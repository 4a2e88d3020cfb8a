/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/iommu/iommu_internal.h"

static char path[] = "/tmp/nsdk-holder-XXXXXX";
static int own_fd;

static int start(void)
{
	own_fd = mkstemp(path);
	return own_fd < 0 ? -1 : 0;
}

static void stop(void)
{
	close(own_fd);
	unlink(path);
}

static void nobody_else_is_nobody(void)
{
	char holder[96] = "x";

	/* This process has it open, but it knows that. */
	nsdk_iommu_file_holder(path, holder, sizeof(holder));
	NSDK_ASSERT_TEXT(holder, "");
	nsdk_iommu_file_holder("/dev/vfio/devices/vfio12345", holder, sizeof(holder));
	NSDK_ASSERT_TEXT(holder, "");
}

static void another_process_is_named(void)
{
	char holder[96], expected[96], byte;
	int ready[2];
	pid_t child;

	CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
	child = fork();
	CU_ASSERT_FATAL(child >= 0);
	if (child == 0) {
		/* It must not outlive a test that fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "holding");
		close(own_fd);
		if (open(path, O_RDWR) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
	nsdk_iommu_file_holder(path, holder, sizeof(holder));
	snprintf(expected, sizeof(expected), " by process %d (holding)", (int)child);
	NSDK_ASSERT_TEXT(holder, expected);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	nsdk_iommu_file_holder(path, holder, sizeof(holder));
	NSDK_ASSERT_TEXT(holder, "");
	close(ready[0]);
	close(ready[1]);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(nobody_else_is_nobody),
	NSDK_UNIT_TEST(another_process_is_named),
};

NSDK_UNIT_MAIN("lib/iommu/holder", tests, .start = start, .stop = stop)
