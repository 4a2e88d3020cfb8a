/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/env/env_internal.h"

static char root[] = "/tmp/nsdk-sysfs-test.XXXXXX";

static void put(const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/file7", root);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	NSDK_ASSERT_INT(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void before(void)
{
	strcpy(strrchr(root, '.') + 1, "XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
	nsdk_env_sysfs_root = root;
}

static void after(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/file7", root);
	unlink(path);
	rmdir(root);
	nsdk_env_sysfs_root = "/sys";
}

static void text_comes_without_its_newline(void)
{
	char text[8];

	put("0-3\n");
	NSDK_ASSERT_INT(nsdk_env_sysfs_text(text, sizeof(text), "file%d", 7), 0);
	NSDK_ASSERT_TEXT(text, "0-3");
	put("\n");
	NSDK_ASSERT_INT(nsdk_env_sysfs_text(text, sizeof(text), "file%d", 7), 0);
	NSDK_ASSERT_TEXT(text, "");
	put("123456789");
	NSDK_ASSERT_INT(nsdk_env_sysfs_text(text, sizeof(text), "file%d", 7), 0);
	NSDK_ASSERT_TEXT(text, "1234567");
}

static void numbers_are_whole(void)
{
	static const char *const bad[] = { "", "\n", "x", "12x", "-1", "99999999999999999999" };
	uint64_t value = 5;

	put("18446744073709551615\n");
	NSDK_ASSERT_INT(nsdk_env_sysfs_u64(&value, "file7"), 0);
	CU_ASSERT_EQUAL(value, UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(bad[i]);
		value = 5;
		NSDK_ASSERT_INT(nsdk_env_sysfs_u64(&value, "file7"), -EINVAL);
		NSDK_ASSERT_INT(value, 5);
	}
}

static void what_is_not_there_is_an_error(void)
{
	char text[8], path[5000];
	uint64_t value;

	NSDK_ASSERT_INT(nsdk_env_sysfs_u64(&value, "nothing"), -ENOENT);
	NSDK_ASSERT_INT(nsdk_env_sysfs_text(text, sizeof(text), "."), -EISDIR);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	NSDK_ASSERT_INT(nsdk_env_sysfs_text(text, sizeof(text), "%s", path), -ENAMETOOLONG);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(text_comes_without_its_newline),
	NSDK_UNIT_TEST(numbers_are_whole),
	NSDK_UNIT_TEST(what_is_not_there_is_an_error),
};

NSDK_UNIT_MAIN("lib/env/sysfs", tests, .before = before, .after = after)
