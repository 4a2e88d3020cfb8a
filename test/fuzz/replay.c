/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where libFuzzer is not: a main program that gives a fuzz target the inputs that are kept, and a few
 * thousand that a fixed seed makes of them. So each build of each compiler tests with what has been
 * found once.
 *
 *	PROGRAM [FILE|FOLDER]...	the folder of the program's name in test/fuzz/corpus, otherwise
 */
#ifndef NSDK_LIBFUZZER

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX 4096u
#define CHANGED_EACH 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned replayed, changed;

/* xorshift64* */
static uint32_t draw(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static int replay_file(const char *path)
{
	static uint8_t data[INPUT_MAX], copy[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	size_t bytes;

	if (!file)
		return -1;
	bytes = fread(data, 1, sizeof(data), file);
	fclose(file);
	/* If it ends here, the log says where. */
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, bytes);
	replayed++;
	for (unsigned i = 0; i < CHANGED_EACH && bytes > 0; i++, changed++) {
		memcpy(copy, data, bytes);
		for (unsigned n = draw() % 8 + 1; n > 0; n--)
			copy[draw() % bytes] = (uint8_t)draw();
		LLVMFuzzerTestOneInput(copy, bytes);
	}
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int replay(const char *path)
{
	struct dirent **names;
	struct stat st;
	char inside[2048];
	int count, rc = 0;

	if (stat(path, &st))
		return -1;
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	count = scandir(path, &names, NULL, by_name);
	for (int i = 0; i < count; i++) {
		snprintf(inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			rc |= replay_file(inside);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	return count < 0 ? -1 : rc;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	const char *src = getenv("NSDK_SRC");
	char corpus[2048];
	int rc = 0;

	snprintf(corpus, sizeof(corpus), "%s/test/fuzz/corpus/%s", src ? src : ".", name);
	if (argc < 2)
		rc = replay(corpus);
	for (int i = 1; i < argc; i++)
		rc |= replay(argv[i]);
	if (rc || replayed == 0) {
		printf("not ok - %s: the inputs in %s cannot be read\n", name, argc < 2 ? corpus : argv[1]);
		return 1;
	}
	printf("ok - %s: %u inputs that are kept, %u changed ones\n", name, replayed, changed);
	return 0;
}

#endif
