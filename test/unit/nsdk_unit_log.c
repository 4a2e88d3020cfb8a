/* SPDX-License-Identifier: BSD-3-Clause */
#include "nsdk_unit.h"

#include <nsdk/log.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define KEPT 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char kept[KEPT][1024];
static unsigned int count;
static unsigned int grave;

static void keep(void *ctx, enum nsdk_log_level level, const char *room, const char *message)
{
	(void)ctx;
	(void)room;
	pthread_mutex_lock(&lock);
	snprintf(kept[count % KEPT], sizeof(kept[0]), "%s", message);
	count++;
	if (level <= NSDK_LOG_WARN)
		grave++;
	pthread_mutex_unlock(&lock);
}

void nsdk_unit_log_start(void)
{
	nsdk_unit_log_clear();
	nsdk_log_set_sink(keep, NULL);
}

void nsdk_unit_log_stop(void)
{
	nsdk_log_set_sink(NULL, NULL);
}

void nsdk_unit_log_clear(void)
{
	pthread_mutex_lock(&lock);
	count = 0;
	grave = 0;
	pthread_mutex_unlock(&lock);
}

unsigned int nsdk_unit_log_count(void)
{
	return grave;
}

const char *nsdk_unit_log_last(void)
{
	return count ? kept[(count - 1) % KEPT] : "";
}

bool nsdk_unit_log_has(const char *text)
{
	unsigned int have = count < KEPT ? count : KEPT;

	for (unsigned int i = 0; i < have; i++)
		if (strstr(kept[i], text))
			return true;
	return false;
}

void nsdk_unit_assert_one_sentence(const char *text, const char *file, unsigned int line)
{
	char why[1400];

	snprintf(why, sizeof(why), "%u sentences in the log, expected one with \"%s\"; the last: %s",
		 grave, text, nsdk_unit_log_last());
	CU_assertImplementation(grave == 1 && nsdk_unit_log_has(text), line, why, file, "", CU_FALSE);
	nsdk_unit_log_clear();
}
