/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who has a device file open. "Busy" alone leaves the user searching; a process number does not.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ioas_internal.h"

static bool process_has_open(const char *pid, const char *path)
{
	char name[64 + 2 * NAME_MAX], target[256];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(name, sizeof(name), "/proc/%s/fd", pid);
	fds = opendir(name);
	if (fds == NULL)
		return false; /* gone, or another user's */
	while (!found && (entry = readdir(fds)) != NULL) {
		ssize_t len;

		snprintf(name, sizeof(name), "/proc/%s/fd/%s", pid, entry->d_name);
		len = readlink(name, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		found = strcmp(target, path) == 0;
	}
	closedir(fds);
	return found;
}

static void process_name(const char *pid, char *out, size_t out_bytes)
{
	char path[64 + NAME_MAX];
	FILE *file;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(out, (int)out_bytes, file) == NULL)
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	fclose(file);
}

void nsdk_iommu_file_holder(const char *path, char *out, size_t out_bytes)
{
	struct dirent *entry;
	char comm[32];
	DIR *proc;

	out[0] = '\0';
	proc = opendir("/proc");
	if (proc == NULL)
		return;
	while ((entry = readdir(proc)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    atol(entry->d_name) == (long)getpid() ||
		    !process_has_open(entry->d_name, path))
			continue;
		process_name(entry->d_name, comm, sizeof(comm));
		snprintf(out, out_bytes, " by process %s (%s)", entry->d_name, comm);
		break;
	}
	closedir(proc);
}
