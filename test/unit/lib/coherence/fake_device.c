/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nsdk/log.h>

#include "nsdk_unit.h"

#define CAP 0x70
#define DEVCTL (CAP + 8)

int __wrap_nsdk_device_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width,
				uint32_t *out);
int __wrap_nsdk_device_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width,
				 uint32_t value);
int __wrap_nsdk_device_cfg_find_cap(struct nsdk_device *dev, uint8_t cap_id);
const char *__wrap_nsdk_device_name(const struct nsdk_device *dev);
const struct nsdk_snoop_verdict *__wrap_nsdk_device_verdict(const struct nsdk_device *dev);
bool __wrap_nsdk_device_is_gone(const struct nsdk_device *dev);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void fake_device_init(struct fake_device *fake, enum nsdk_snoop_state verdict, bool bit,
		      bool writable)
{
	memset(fake, 0, sizeof(*fake));
	snprintf(fake->dev.name, sizeof(fake->dev.name), "pci:0000:00:03.0");
	fake->dev.verdict.state = verdict;
	snprintf(fake->dev.verdict.reason, sizeof(fake->dev.verdict.reason), "the test says so");
	/* Other bits of Device Control as a real one has them: they must stay. */
	fake->devctl = 0x2110 | (bit ? FAKE_NO_SNOOP : 0);
	fake->writable = 0x7fff & ~(writable ? 0 : FAKE_NO_SNOOP);
}

bool fake_device_bit(const struct fake_device *fake)
{
	return fake->devctl & FAKE_NO_SNOOP;
}

static int refuse(void)
{
	return nsdk_fail(-EIO, "bus", "config space cannot be reached");
}

int __wrap_nsdk_device_cfg_read(struct nsdk_device *dev, unsigned offset, unsigned width,
				uint32_t *out)
{
	struct fake_device *fake = (struct fake_device *)dev;

	if (fake->caps != FAKE_PCIE || offset != DEVCTL || width != 2)
		fake->bad_access = true;
	if (nsdk_unit_fails_now())
		return refuse();
	*out = fake->gone ? 0xffff : fake->devctl;
	return 0;
}

int __wrap_nsdk_device_cfg_write(struct nsdk_device *dev, unsigned offset, unsigned width,
				 uint32_t value)
{
	struct fake_device *fake = (struct fake_device *)dev;

	if (fake->caps != FAKE_PCIE || offset != DEVCTL || width != 2 || (value & 0x8000))
		fake->bad_access = true;
	if (nsdk_unit_fails_now())
		return refuse();
	fake->writes++;
	fake->devctl = (uint16_t)((fake->devctl & ~fake->writable) | (value & fake->writable));
	return 0;
}

int __wrap_nsdk_device_cfg_find_cap(struct nsdk_device *dev, uint8_t cap_id)
{
	struct fake_device *fake = (struct fake_device *)dev;

	if (nsdk_unit_fails_now())
		return refuse();
	if (cap_id == 0x10 && fake->caps == FAKE_PCIE)
		return CAP;
	if (cap_id == 0x07 && fake->caps == FAKE_PCIX)
		return CAP;
	return -ENOENT;
}

const char *__wrap_nsdk_device_name(const struct nsdk_device *dev)
{
	return dev->name;
}

const struct nsdk_snoop_verdict *__wrap_nsdk_device_verdict(const struct nsdk_device *dev)
{
	return &dev->verdict;
}

bool __wrap_nsdk_device_is_gone(const struct nsdk_device *dev)
{
	return ((const struct fake_device *)dev)->gone;
}

/* Memory that runs out, for the tests that wrap these. */
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	void *memory;

	if (nsdk_unit_fails_now() || posix_memalign(&memory, alignment, bytes) != 0)
		return NULL;
	return memory;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	void *memory;

	/* Not malloc(): the compiler would make a call of calloc() out of it and the memset(). */
	if (nsdk_unit_fails_now() || posix_memalign(&memory, 16, count * bytes) != 0)
		return NULL;
	return memset(memory, 0, count * bytes);
}
