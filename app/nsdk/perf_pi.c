/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocks with metadata under a load: who makes protection information and who checks it (--pi_act,
 * --pi_chk), and where metadata lies meanwhile.
 *
 * With --pi_act=1 the controller puts protection information in and takes it off. Otherwise, and where there
 * is other metadata, metadata travels: apart from the data in a buffer of its own, or behind each block in
 * one that takes the place of the data's, to and from which data is copied only where somebody looks at
 * it. Under --verify other metadata holds a byte that goes with address and generation.
 */
#include <errno.h>
#include <string.h>

#include "perf.h"

static bool alone(const struct nsdk_nvme_metadata *md)
{
	return md->pi_type != 0 && md->bytes == md->pi_bytes;
}

int perf_pi_setup(struct perf_device *device)
{
	const struct perf_opts *opts = &device->run->opts;
	const struct nsdk_nvme_metadata *md = nsdk_nvme_ns_metadata(device->ns);
	const char *name = nsdk_device_name(device->dev);
	struct perf_pi *pi = &device->pi;

	if (opts->pi_given && (md == NULL || md->pi_type == 0)) {
		tool_say("namespace %u of %s has no protection information, which --pi_act, --pi_chk, --apptag and "
			 "--apptag_mask are about", device->pattern.nsid, name);
		return -EINVAL;
	}
	if (md == NULL)
		return 0;
	pi->md = md;
	pi->act = md->pi_type != 0 && opts->pi_act;
	pi->check = md->pi_type == 0 ? 0 : opts->pi_chk;
	pi->moves = !(pi->act && alone(md));
	if (pi->moves && (opts->cmb & NSDK_NVME_CMB_DATA)) {
		tool_say("--cmb=data is not for blocks with metadata that travels, as those of namespace %u of %s",
			 device->pattern.nsid, name);
		return -EINVAL;
	}
	return 0;
}

/* ---- A slot's memory ---- */

/* The metadata of a block, where it travels. */
static uint8_t *md_of(const struct perf_job *job, const struct perf_slot *slot, uint32_t block)
{
	const struct nsdk_nvme_metadata *md = job->device->pi.md;

	if (md->extended)
		return (uint8_t *)slot->metadata + block * ((size_t)md->block_bytes + md->bytes) +
		       md->block_bytes;
	return (uint8_t *)slot->metadata + (size_t)block * md->bytes;
}

/* Extended: each block's data, to where it travels or back. */
static void copy_data(const struct perf_job *job, const struct perf_slot *slot, bool out)
{
	const struct nsdk_nvme_metadata *md = job->device->pi.md;

	for (uint32_t i = 0; md->extended && i < job->unit_blocks; i++) {
		uint8_t *data = (uint8_t *)slot->buf + (size_t)i * md->block_bytes;
		uint8_t *wire = md_of(job, slot, i) - md->block_bytes;

		memcpy(out ? wire : data, out ? data : wire, md->block_bytes);
	}
}

int perf_pi_slot(const struct perf_job *job, struct perf_slot *slot)
{
	const struct perf_pi *pi = &job->device->pi;
	size_t bytes;
	int rc;

	if (pi->md == NULL || !pi->moves)
		return 0;
	bytes = job->unit_blocks * ((size_t)pi->md->bytes + (pi->md->extended ? pi->md->block_bytes : 0));
	rc = nsdk_dma_alloc(job->device->pool, bytes, bytes >= 4096 ? 4096 : 0, &slot->metadata);
	if (rc != 0)
		return rc;
	memset(slot->metadata, 0, bytes);
	copy_data(job, slot, true);
	return 0;
}

/* ---- What travels ---- */

static struct nsdk_nvme_pi tags(const struct perf_job *job, const struct perf_slot *slot)
{
	const struct perf_opts *opts = &job->run->opts;

	return (struct nsdk_nvme_pi){
		.ref_tag = job->device->pi.md->pi_type == 3 ? 0 : slot->lba,
		.app_tag = opts->app_tag,
		.app_mask = opts->app_mask,
		.check = job->device->pi.check,
	};
}

static struct iovec payload(const struct perf_job *job, const struct perf_slot *slot)
{
	const struct perf_pi *pi = &job->device->pi;

	if (pi->moves && pi->md->extended)
		return (struct iovec){ slot->metadata,
				       job->unit_blocks * ((size_t)pi->md->block_bytes + pi->md->bytes) };
	return (struct iovec){ slot->cmb != NULL ? slot->cmb : slot->buf,
			       (size_t)job->unit_blocks * pi->md->block_bytes };
}

static void *metadata_apart(const struct perf_job *job, const struct perf_slot *slot)
{
	return job->device->pi.md->extended ? NULL : slot->metadata;
}

/* The bytes of a block's metadata that are not protection information. */
static uint8_t *others_of(const struct perf_job *job, const struct perf_slot *slot, uint32_t block,
			  size_t *bytes)
{
	const struct nsdk_nvme_metadata *md = job->device->pi.md;

	*bytes = (size_t)md->bytes - md->pi_bytes;
	return md_of(job, slot, block) + (md->pi_first ? md->pi_bytes : 0);
}

static uint8_t other_byte(const struct perf_slot *slot, uint32_t block)
{
	return (uint8_t)(perf_mix64(slot->lba + block + ((uint64_t)slot->generation << 40)) | 1);
}

void perf_pi_before_write(const struct perf_job *job, const struct perf_slot *slot)
{
	const struct perf_pi *pi = &job->device->pi;
	struct nsdk_nvme_pi own;
	struct iovec iov;
	size_t bytes;

	if (pi->md == NULL || !pi->moves)
		return;
	if (job->generations != NULL) {
		copy_data(job, slot, true);
		for (uint32_t i = 0; i < job->unit_blocks; i++) {
			uint8_t *others = others_of(job, slot, i, &bytes);

			memset(others, other_byte(slot, i), bytes);
		}
	}
	if (pi->act || pi->md->pi_type == 0)
		return;
	own = tags(job, slot);
	iov = payload(job, slot);
	nsdk_nvme_pi_generate(pi->md, &iov, 1, metadata_apart(job, slot), job->unit_blocks, &own);
}

static const char *check_name(uint32_t check)
{
	return check == NSDK_NVME_RW_PRCHK_GUARD ? "guard" :
	       check == NSDK_NVME_RW_PRCHK_APP_TAG ? "application tag" : "reference tag";
}

static void say_wrong(const struct perf_job *job, uint64_t lba, const char *what, uint64_t expected,
		      uint64_t found)
{
	tool_say("%s: namespace %u, LBA %llu: expected %s %llxh, found %llxh",
		 nsdk_device_name(job->device->dev), job->device->pattern.nsid, (unsigned long long)lba, what,
		 (unsigned long long)expected, (unsigned long long)found);
}

uint32_t perf_pi_after_read(const struct perf_job *job, const struct perf_slot *slot)
{
	const struct perf_pi *pi = &job->device->pi;
	struct nsdk_nvme_pi_error error;
	struct nsdk_nvme_pi own;
	struct iovec iov;
	uint32_t bad = 0;
	size_t bytes;

	if (pi->md == NULL || !pi->moves)
		return 0;
	if (!pi->act && pi->md->pi_type != 0) {
		own = tags(job, slot);
		iov = payload(job, slot);
		if (nsdk_nvme_pi_check(pi->md, &iov, 1, metadata_apart(job, slot), job->unit_blocks, &own,
				       &error) != 0) {
			say_wrong(job, slot->lba + error.block, check_name(error.check), error.expected,
				  error.found);
			bad++;
		}
	}
	if (job->generations == NULL)
		return bad;
	copy_data(job, slot, false);
	for (uint32_t i = 0; i < job->unit_blocks && slot->generation != 0; i++) {
		const uint8_t *others = others_of(job, slot, i, &bytes);
		size_t wrong = 0;

		while (wrong < bytes && others[wrong] == other_byte(slot, i))
			wrong++;
		if (wrong == bytes)
			continue;
		say_wrong(job, slot->lba + i, "metadata", other_byte(slot, i), others[wrong]);
		bad++;
	}
	return bad;
}

int perf_pi_submit(struct perf_job *job, struct perf_slot *slot, nsdk_nvme_cb cb)
{
	const struct perf_opts *opts = &job->run->opts;
	const struct perf_pi *pi = &job->device->pi;
	struct nsdk_nvme_io_ext ext = {
		.ext_bytes = sizeof(ext),
		.flags = (pi->act ? NSDK_NVME_RW_PRACT : 0) |
			 (pi->md->pi_type == 3 ? pi->check & ~NSDK_NVME_RW_PRCHK_REF_TAG : pi->check),
		.app_tag = opts->app_tag,
		.app_mask = opts->app_mask,
		.metadata = metadata_apart(job, slot),
	};

	slot->iov = payload(job, slot);
	if (slot->dir == PERF_WRITE && opts->fdp.on)
		perf_fdp_place(job, &ext);
	if (slot->dir == PERF_WRITE)
		return nsdk_nvme_writev_ext(job->device->ns, job->qp, &slot->iov, 1, slot->lba,
					    job->unit_blocks, &ext, cb, slot);
	return nsdk_nvme_readv_ext(job->device->ns, job->qp, &slot->iov, 1, slot->lba, job->unit_blocks,
				   &ext, cb, slot);
}

/* ---- Options ---- */

int perf_pi_parse_chk(const struct tool_command *command, uint32_t *out)
{
	static const struct {
		const char *word;
		uint32_t check;
	} words[] = {
		{ "GUARD", NSDK_NVME_RW_PRCHK_GUARD },
		{ "REFTAG", NSDK_NVME_RW_PRCHK_REF_TAG },
		{ "APPTAG", NSDK_NVME_RW_PRCHK_APP_TAG },
		{ "none", 0 },
	};
	const char *at = optarg;

	*out = 0;
	for (;;) {
		size_t chars = strcspn(at, ","), i = 0;

		while (i < 4 && (strlen(words[i].word) != chars || strncmp(at, words[i].word, chars) != 0))
			i++;
		if (i == 4)
			return tool_usage(command,
					  "--pi_chk=%s: GUARD, REFTAG and APPTAG, with commas between, or "
					  "none is wanted", optarg);
		*out |= words[i].check;
		if (at[chars] == '\0')
			return TOOL_DONE;
		at += chars + 1;
	}
}
