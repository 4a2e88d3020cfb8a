/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which CPU this is: what a profile is valid for.
 *
 * x86: CPUID leaf 0 (vendor), leaf 1 (family, model, stepping), leaves 80000002h to 80000004h (name);
 * Intel SDM vol. 2, CPUID; AMD64 APM vol. 3, the same. aarch64: MIDR_EL1, which Linux shows to users
 * (Documentation/arm64/cpu-feature-registers).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/config.h>

#include "profile.h"

#if NSDK_ARCH_X86_64
#include <cpuid.h>

static void vendor_of(char vendor[16])
{
	unsigned eax, ebx, ecx, edx;

	if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx))
		return;
	/* In this order: "Genu" "ineI" "ntel". */
	memcpy(vendor, &ebx, 4);
	memcpy(vendor + 4, &edx, 4);
	memcpy(vendor + 8, &ecx, 4);
}

static void name_of(char name[64])
{
	char text[49] = "";
	const char *from = text;
	size_t length;

	for (unsigned i = 0; i < 3; i++) {
		unsigned word[4];

		if (!__get_cpuid(0x80000002u + i, &word[0], &word[1], &word[2], &word[3]))
			return;
		memcpy(text + (size_t)i * sizeof(word), word, sizeof(word));
	}
	/* Intel pads in front, others behind. */
	while (*from == ' ')
		from++;
	length = strlen(from);
	while (length > 0 && from[length - 1] == ' ')
		length--;
	/* It goes into a JSON file: what is no printable ASCII is none of a name's. */
	for (size_t i = 0; i < length; i++)
		name[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	name[length] = '\0';
}

void nsdk_cpu_id(struct nsdk_cpu_id *out)
{
	unsigned eax, ebx, ecx, edx;

	memset(out, 0, sizeof(*out));
	vendor_of(out->vendor);
	name_of(out->name);
	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		return;
	out->stepping = eax & 0xf;
	out->model = eax >> 4 & 0xf;
	out->family = eax >> 8 & 0xf;
	if (out->family == 6 || out->family == 15)
		out->model |= (eax >> 16 & 0xf) << 4;
	if (out->family == 15)
		out->family += eax >> 20 & 0xff;
}

#else

void nsdk_cpu_id(struct nsdk_cpu_id *out)
{
	char text[32] = "";
	FILE *file;

	memset(out, 0, sizeof(*out));
	file = fopen("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "re");
	if (file == NULL)
		return;
	if (fgets(text, sizeof(text), file) != NULL)
		out->midr = strtoull(text, NULL, 16);
	fclose(file);
	/* Implementer, part, revision: as the register has them. */
	snprintf(out->vendor, sizeof(out->vendor), "arm:%02x", (unsigned)(out->midr >> 24 & 0xff));
	snprintf(out->name, sizeof(out->name), "part %03x r%up%u", (unsigned)(out->midr >> 4 & 0xfff),
		 (unsigned)(out->midr >> 20 & 0xf), (unsigned)(out->midr & 0xf));
}

#endif
