/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PRPs against a naive model: the builder's answer is read back as a device would read it, byte by
 * byte, and must give the payload's bytes in order.
 */
#include "fake_nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/nvme/nvme_internal.h"

#define LIST_ENTRIES 256u
#define ROUNDS 20000

static const struct nsdk_dma_map *map;
static uint64_t *list;
static uint64_t list_iova;
static unsigned seed = 1;

const struct nsdk_dma_map *__wrap_nsdk_mem_map_of(struct nsdk_mem *mem, struct nsdk_device *dev);

static void before(void)
{
	size_t left;

	fake_reset();
	map = __wrap_nsdk_mem_map_of(NULL, NULL);
	/* Half a page, not at its start. */
	list = (uint64_t *)(void *)fake_buffer(0, 6144);
	CU_ASSERT_EQUAL_FATAL(nsdk_dma_map_lookup(map, (uintptr_t)list, &list_iova, &left), 0);
}

static unsigned pick(unsigned below)
{
	return (unsigned)rand_r(&seed) % below;
}

/* Byte @p at of a payload, the slow way. */
static uint8_t *payload_byte(const struct nvme_payload *payload, size_t at)
{
	const struct iovec *iov = payload->iov;

	if (!iov)
		return (uint8_t *)payload->va + at;
	at += payload->iov_offset;
	while (at >= iov->iov_len)
		at -= iov++->iov_len;
	return (uint8_t *)iov->iov_base + at;
}

/* Byte @p at of what PRPs describe, as a device finds it; NULL where they break the rules. */
static uint8_t *prp_byte(const struct nvme_prps *prps, size_t bytes, size_t at)
{
	size_t first = 4096 - prps->prp1 % 4096;
	size_t index, pages;
	uint64_t entry;

	if (prps->prp1 % 4)
		return NULL;
	if (at < first)
		return fake_va(prps->prp1 + at);
	index = (at - first) / 4096;
	pages = (bytes - first + 4095) / 4096;
	if (pages == 1)
		entry = prps->prp2;
	else
		entry = *(uint64_t *)fake_va(prps->prp2 + 8 * index);
	if (entry % 4096 || (pages > 1 && prps->list_entries != pages))
		return NULL;
	return fake_va(entry + (at - first) % 4096);
}

static void says_the_payload(const struct nvme_payload *payload, size_t bytes)
{
	struct nvme_prps prps;
	int err = nsdk_nvme_prp_build(map, *payload, bytes, list, LIST_ENTRIES, list_iova, &prps);

	CU_ASSERT_EQUAL_FATAL(err, 0);
	for (size_t at = 0; at < bytes; at += 1 + pick(700))
		if (prp_byte(&prps, bytes, at) != payload_byte(payload, at)) {
			CU_FAIL_FATAL("PRPs that describe something else");
		}
	CU_ASSERT_PTR_EQUAL(prp_byte(&prps, bytes, bytes - 1), payload_byte(payload, bytes - 1));
	if (bytes <= 4096 - prps.prp1 % 4096)
		CU_ASSERT_EQUAL(prps.prp2, 0);
}

static void describes_any_buffer_in_one_piece(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		size_t offset = pick(3 * FAKE_PIECE_BYTES / 4) * 4ul;
		struct nvme_payload payload = { .va = (uintptr_t)fake_buffer(1, offset) };

		says_the_payload(&payload, 4 * (1 + pick(1u << (1 + pick(18)))));
	}
}

static void describes_the_edges(void)
{
	static const size_t offsets[] = { 0, 4, 64, 4092, 4096, FAKE_PIECE_BYTES - 4096,
					  FAKE_PIECE_BYTES - 4, FAKE_PIECE_BYTES };
	static const size_t sizes[] = { 4, 512, 4092, 4096, 4100, 8188, 8192, 8196, 12288, 1 << 20 };

	for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			struct nvme_payload payload = { .va = (uintptr_t)fake_buffer(1, offsets[o]) };

			says_the_payload(&payload, sizes[s]);
		}
}

static void says_no_to_memory_that_is_not_the_devices(void)
{
	struct nvme_payload payload = { .va = (uintptr_t)fake_buffer(FAKE_PIECES - 1, 0) };
	struct nvme_prps prps;

	/* Not mapped at all, and a buffer that runs into that. */
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 512, list, LIST_ENTRIES, list_iova, &prps),
			-EFAULT);
	payload.va -= 8192;
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 8192, list, LIST_ENTRIES, list_iova, &prps),
			0);
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 8196, list, LIST_ENTRIES, list_iova, &prps),
			-EFAULT);
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 8192, 1, 3), 0);
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 8196, 1, 3), -EFAULT);
	payload.va = (uintptr_t)&prps;
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 512, 1, 3), -EFAULT);
}

static void does_not_write_beyond_the_list(void)
{
	struct nvme_payload payload = { .va = (uintptr_t)fake_buffer(1, 0) };
	struct nvme_prps prps;

	list[4] = 0x1234;
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 5 * 4096, list, 4, list_iova, &prps), 0);
	CU_ASSERT_EQUAL(list[4], 0x1234);
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 5 * 4096 + 4, list, 4, list_iova, &prps),
			-EINVAL);
	CU_ASSERT_EQUAL(list[4], 0x1234);
}

static void finds_registered_memory(void)
{
	struct nvme_payload payload = { .va = (uintptr_t)fake_registered() };

	says_the_payload(&payload, 4096);
	payload.va += 512;
	says_the_payload(&payload, 3584);
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 3588, 1, 3), -EFAULT);
}

/* Scattered payloads of all shapes: pages, contiguous pieces, empty pieces, and odd ones. */
static size_t scatter(struct iovec *iov, int *count)
{
	size_t total = 0;
	uint8_t *end = NULL;

	*count = 1 + (int)pick(40);
	for (int i = 0; i < *count; i++) {
		size_t len = 0;
		uint8_t *base = fake_buffer(1 + pick(6), pick(400) * 4096ul);

		switch (pick(8)) {
		case 0: /* empty */
			break;
		case 1: /* goes on where the last one ended */
			base = end ? end : base;
			len = 4 * (1 + pick(3000));
			break;
		case 2: /* anything */
			base += 4 * pick(1024);
			len = 4 * (1 + pick(3000));
			break;
		case 3: /* up to a page's end */
			base += 512 * pick(8);
			len = 4096 - ((uintptr_t)base & 4095);
			break;
		default: /* pages */
			len = 4096ul * (1 + pick(3));
		}
		iov[i] = (struct iovec){ base, len };
		end = base + len;
		total += len;
	}
	return total;
}

/* How far PRPs can reach, said by the rules and not by the walk: joint by joint. */
static size_t naive_reach(const struct nvme_payload *payload, size_t bytes, size_t max)
{
	size_t at = 1;

	if (bytes > max)
		bytes = max;
	for (; at < bytes; at++) {
		uint8_t *here = payload_byte(payload, at), *last = payload_byte(payload, at - 1);

		if (here != last + 1 &&
		    (((uintptr_t)here & 4095) != 0 || ((uintptr_t)(last + 1) & 4095) != 0))
			break;
	}
	return at;
}

static void describes_scattered_payloads_as_far_as_they_go(void)
{
	unsigned whole = 0, partial = 0;
	struct iovec iov[48];

	for (int i = 0; i < 400; i++) {
		struct nvme_payload payload = { .iov = iov };
		int count;
		size_t left = scatter(iov, &count);
		size_t max = 4096ul << pick(9);

		if (left == 0)
			continue;
		NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, left, count, 3), 0);
		NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, left + 4, count, 3), -EINVAL);
		if (left > 4)
			NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, left - 4, count, 3),
					-EINVAL);
		for (unsigned parts = 0; left; parts++) {
			size_t reach = nsdk_nvme_payload_reach(&payload, left, max);

			CU_ASSERT_EQUAL_FATAL(reach, naive_reach(&payload, left, max));
			says_the_payload(&payload, reach);
			nsdk_nvme_payload_advance(&payload, reach);
			left -= reach;
			whole += parts == 0 && left == 0;
			partial += left != 0;
		}
	}
	CU_ASSERT(whole > 10);
	CU_ASSERT(partial > 100);
}

/* What the reach does not allow must not be built either. */
static void says_no_to_what_prps_cannot_say(void)
{
	struct iovec iov[2] = { { fake_buffer(1, 0), 512 }, { fake_buffer(2, 0), 512 } };
	struct nvme_payload payload = { .iov = iov };
	struct nvme_prps prps;

	CU_ASSERT_EQUAL(nsdk_nvme_payload_reach(&payload, 1024, 4096), 512);
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 1024, list, LIST_ENTRIES, list_iova, &prps),
			-EINVAL);
	iov[0].iov_len = 4096;
	iov[1].iov_base = fake_buffer(2, 512);
	CU_ASSERT_EQUAL(nsdk_nvme_payload_reach(&payload, 4608, 8192), 4096);
	NSDK_ASSERT_INT(nsdk_nvme_prp_build(map, payload, 4608, list, LIST_ENTRIES, list_iova, &prps),
			-EINVAL);
}

static void checks_the_alignment_of_each_piece(void)
{
	struct iovec iov[2] = { { fake_buffer(1, 0), 4096 }, { fake_buffer(2, 0), 4096 } };
	struct nvme_payload payload = { .iov = iov };

	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 8192, 2, 63), 0);
	iov[1].iov_base = fake_buffer(2, 32);
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 8192, 2, 3), 0);
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 8192, 2, 63), -EINVAL);
	iov[1].iov_base = fake_buffer(2, 2);
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 8192, 2, 3), -EINVAL);
	iov[1] = (struct iovec){ (void *)(UINTPTR_MAX - 4095), 8192 };
	NSDK_ASSERT_INT(nsdk_nvme_payload_check(map, &payload, 12288, 2, 3), -EINVAL);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(describes_any_buffer_in_one_piece),
	NSDK_UNIT_TEST(describes_the_edges),
	NSDK_UNIT_TEST(says_no_to_memory_that_is_not_the_devices),
	NSDK_UNIT_TEST(does_not_write_beyond_the_list),
	NSDK_UNIT_TEST(finds_registered_memory),
	NSDK_UNIT_TEST(describes_scattered_payloads_as_far_as_they_go),
	NSDK_UNIT_TEST(says_no_to_what_prps_cannot_say),
	NSDK_UNIT_TEST(checks_the_alignment_of_each_piece),
};

NSDK_UNIT_MAIN("drivers/nvme/prp", tests, .before = before)
