/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking again at what namespaces there are, after a command or an event that says that they changed:
 * the list, then each namespace of it, one admin command after the other, nobody waiting.
 *
 * A namespace that has come is added; one that has gone stays as an object, which refuses I/O, because
 * the user may hold it until detach. One whose blocks have another size than before, or other metadata, is
 * taken as it is now if a command of our own did that, as nobody does I/O on it meanwhile; somebody else's
 * change finds I/O of ours under way that counts in blocks of the old size, so there it is closed. One that
 * cannot be asked for its protection information goes on as long as its format says that it is the same.
 *
 * Where there may be zoned namespaces the list of those comes second, and what their zones are like behind
 * what else each says; and so does what protection information looks like, where there is more than one kind.
 *
 * What is asked for during a look is answered by another one behind it.
 */
#include "nvme_internal.h"

#include <errno.h>
#include <string.h>

#include "fdp.h"

static void start(struct nsdk_nvme_ctrlr *ctrlr);

static void finish(struct nsdk_nvme_ctrlr *ctrlr)
{
	struct nvme_rescan_wait *waits = ctrlr->rescan.waits;

	ctrlr->rescan.running = false;
	ctrlr->rescan.waits = ctrlr->rescan.late;
	ctrlr->rescan.late = NULL;
	ctrlr->rescan.own = ctrlr->rescan.late_own;
	ctrlr->rescan.late_own = false;
	/* First: what follows may ask again. */
	if (ctrlr->rescan.waits)
		start(ctrlr);
	while (waits) {
		struct nvme_rescan_wait *wait = waits;

		waits = wait->next;
		wait->done(wait->ctx);
	}
}

/* Identify data has arrived, or never will. @return whether it can be read. */
static bool taken_back(struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_cpl *cpl)
{
	/* Taken back and fenced, before the CPU looks at what the device wrote. */
	nsdk_sync_for_cpu(ctrlr->coh, ctrlr->id_buffer, NVME_PAGE_BYTES, NSDK_DMA_FROM_DEVICE);
	return cpl && nsdk_nvme_cpl_ok(cpl);
}

/* ---- Each namespace ---- */

static void next_ns(struct nsdk_nvme_ctrlr *ctrlr);

/*
 * Whether I/O under way still means what it meant, as far as is known; what is asked for afterwards is not
 * looked at before it is there.
 */
static bool as_before(const struct nsdk_nvme_ctrlr *ctrlr, const struct nsdk_nvme_ns *ns)
{
	const struct nsdk_nvme_metadata *a = &ctrlr->rescan.before, *b = &ns->metadata;

	return a->block_bytes == b->block_bytes && a->bytes == b->bytes && a->extended == b->extended &&
	       a->pi_type == b->pi_type && a->pi_first == b->pi_first &&
	       (nsdk_nvme_metadata_guessed(ns) ||
		(a->pif == b->pif && a->storage_tag_bits == b->storage_tag_bits));
}

static void close_stale(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_ns *ns)
{
	nsdk_nvme_ns_close(ns, -ESTALE);
	nsdk_log(NSDK_LOG_WARN, "nvme",
		 "%s: somebody else has formatted namespace %u with blocks of %u bytes and %u of metadata; "
		 "attach the controller again to use it", nsdk_device_name(ctrlr->dev), ns->nsid,
		 1u << ns->block_shift, ns->metadata.bytes);
}

static bool same_format(const struct nsdk_nvme_id_ns *a, const struct nsdk_nvme_id_ns *b)
{
	const struct nsdk_nvme_lbaf *of_a = &a->lbaf[nsdk_nvme_ns_format(a)];
	const struct nsdk_nvme_lbaf *of_b = &b->lbaf[nsdk_nvme_ns_format(b)];

	return a->flbas == b->flbas && a->dps == b->dps && of_a->ms == of_b->ms &&
	       of_a->lbads == of_b->lbads;
}

/* What has its number may be another one by now: deleted and created between two looks. */
static bool same_namespace(const struct nsdk_nvme_id_ns *a, const struct nsdk_nvme_id_ns *b)
{
	return a->endgid == b->endgid && memcmp(a->nguid, b->nguid, sizeof(a->nguid)) == 0 &&
	       memcmp(a->eui64, b->eui64, sizeof(a->eui64)) == 0;
}

static void take_ns(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_ns *ns)
{
	const struct nsdk_nvme_id_ns *id = ctrlr->id_buffer;
	bool stale = ns->refusal == -ESTALE;

	ctrlr->rescan.before = ns->metadata;
	ctrlr->rescan.in_use = ns->block_shift != 0 && !ns->gone && !ctrlr->rescan.own &&
			       !nsdk_nvme_metadata_guessed(ns);
	/* One that comes back is another one. */
	if (ns->gone || !same_namespace(id, &ns->id))
		nsdk_nvme_placement_forget(ns);
	/* Of another format more is told later; I/O goes on with what is known of the same one. */
	if (ns->gone || ns->suspended || !same_format(id, &ns->id)) {
		ns->elbaf = 0;
		ns->elbaf_known = false;
	}
	ns->gone = nsdk_nvme_ns_fill(ns, id) != 0;
	ns->suspended = ns->suspended && !ctrlr->rescan.own;
	if (ns->gone) {
		nsdk_nvme_ns_close(ns, -ENODEV);
	} else if (ns->suspended) {
		/* The look behind that command is the one that counts. */
		nsdk_nvme_ns_close(ns, -EBUSY);
	} else if (stale && !ctrlr->rescan.own) {
		nsdk_nvme_ns_close(ns, -ESTALE);
	} else if (ctrlr->rescan.in_use && !as_before(ctrlr, ns)) {
		close_stale(ctrlr, ns);
	}
}

/*
 * What its protection information looks like; NULL: nobody knows. A new format of metadata has been found
 * out before, and of the same one what was known holds.
 */
static void take_pi(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_ns *ns,
		    const struct nsdk_nvme_id_ns_nvm *id)
{
	bool waits = nsdk_nvme_metadata_guessed(ns) && ns->refusal == -EBUSY && !ns->suspended;
	int before = waits ? 0 : ns->refusal;

	if (!id && before)
		return;
	if (!id && waits && ctrlr->rescan.in_use) {
		close_stale(ctrlr, ns);
		return;
	}
	nsdk_nvme_metadata_told(ns, id);
	if (before)
		nsdk_nvme_ns_close(ns, before);
	else if (ctrlr->rescan.in_use && !as_before(ctrlr, ns))
		close_stale(ctrlr, ns);
}

/* What the zones are like, which may be what is missing for it to be used. */
static void take_zoned(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_ns *ns,
		       const struct nsdk_nvme_id_ns_zns *id)
{
	int before = ns->refusal;
	bool same = nsdk_nvme_zns_fill(ns, id);

	if (before == -EBUSY || before == -ESTALE) {
		nsdk_nvme_ns_close(ns, before);
	} else if (!same && !ctrlr->rescan.own) {
		nsdk_nvme_ns_close(ns, -ESTALE);
		nsdk_log(NSDK_LOG_WARN, "nvme",
			 "%s: somebody else has formatted namespace %u with zones of another size; attach "
			 "the controller again to use it", nsdk_device_name(ctrlr->dev), ns->nsid);
	}
}

static void zoned_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	bool good = taken_back(ctrlr, cpl);

	if (cpl)
		take_zoned(ctrlr, ctx, good ? ctrlr->id_buffer : NULL);
	if (cpl)
		next_ns(ctrlr);
	else
		finish(ctrlr);
}

/* All that an ordinary namespace says has been taken. */
static void then_zoned(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_ns *ns)
{
	if (ns->gone || !ns->is_zoned ||
	    nsdk_nvme_identify_csi(ctrlr, NSDK_NVME_CNS_CSI_NS, NSDK_NVME_CSI_ZNS, ns->nsid, zoned_done,
				   ns) != 0)
		next_ns(ctrlr);
}

static void pi_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	bool good = taken_back(ctrlr, cpl);

	take_pi(ctrlr, ctx, good ? ctrlr->id_buffer : NULL);
	if (cpl)
		then_zoned(ctrlr, ctx);
	else
		finish(ctrlr);
}

static void ask_pi(struct nsdk_nvme_ctrlr *ctrlr, struct nsdk_nvme_ns *ns)
{
	if (nsdk_nvme_identify_csi(ctrlr, NSDK_NVME_CNS_CSI_NS, NSDK_NVME_CSI_NVM, ns->nsid, pi_done,
				   ns) == 0)
		return;
	take_pi(ctrlr, ns, NULL);
	then_zoned(ctrlr, ns);
}

static void ns_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	struct nsdk_nvme_ns *ns = ctx;

	if (taken_back(ctrlr, cpl)) {
		take_ns(ctrlr, ns);
	} else if (cpl) {
		/* It is listed and does not answer, so nothing is known of its blocks. */
		nsdk_nvme_ns_close(ns, -ENODEV);
		ns->gone = true;
	}
	if (!cpl)
		finish(ctrlr);
	else if (ns->gone || !nsdk_nvme_metadata_asks(ns))
		then_zoned(ctrlr, ns);
	else
		ask_pi(ctrlr, ns);
}

static void next_ns(struct nsdk_nvme_ctrlr *ctrlr)
{
	while (ctrlr->rescan.index < ctrlr->ns_count) {
		struct nsdk_nvme_ns *ns = ctrlr->namespaces[ctrlr->rescan.index++];

		if (!ns->listed) {
			nsdk_nvme_ns_close(ns, -ENODEV);
			ns->gone = true;
			continue;
		}
		if (nsdk_nvme_identify(ctrlr, NSDK_NVME_CNS_NS, ns->nsid, ns_done, ns) != 0)
			break;
		return;
	}
	finish(ctrlr);
}

/* ---- The list ---- */

static void ask_list(struct nsdk_nvme_ctrlr *ctrlr);
static void ask_zoned(struct nsdk_nvme_ctrlr *ctrlr);

static void zoned_list_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	bool good = taken_back(ctrlr, cpl);
	uint32_t next = 0;

	/* An error: the combination with that command set is not in force. */
	if (good && nsdk_nvme_zns_take_list(ctrlr, ctrlr->rescan.after, &next) == 0 && next == 0)
		for (uint32_t i = 0; i < ctrlr->ns_count; i++)
			ctrlr->namespaces[i]->is_zoned = ctrlr->namespaces[i]->zoned_listed;
	ctrlr->rescan.after = next;
	if (!cpl)
		finish(ctrlr);
	else if (next)
		ask_zoned(ctrlr);
	else
		next_ns(ctrlr);
}

static void ask_zoned(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (nsdk_nvme_identify_csi(ctrlr, NSDK_NVME_CNS_CSI_ACTIVE_NS_LIST, NSDK_NVME_CSI_ZNS,
				   ctrlr->rescan.after, zoned_list_done, NULL) != 0)
		finish(ctrlr);
}

/* The list of all is complete. */
static void after_list(struct nsdk_nvme_ctrlr *ctrlr)
{
	ctrlr->rescan.after = 0;
	if (ctrlr->zns)
		ask_zoned(ctrlr);
	else
		next_ns(ctrlr);
}

/* @return 0; -EIO it contradicts itself; -ENOMEM, -ENOTSUP. */
static int take_list(struct nsdk_nvme_ctrlr *ctrlr, bool *full)
{
	const uint32_t *list = ctrlr->id_buffer;

	*full = false;
	for (unsigned i = 0; i < NSDK_NVME_NS_LIST_ENTRIES; i++) {
		struct nsdk_nvme_ns *ns;
		int err;

		if (list[i] == 0)
			return 0;
		if (list[i] <= ctrlr->rescan.after || list[i] > NSDK_NVME_NSID_ALL - 2)
			return nsdk_fail(-EIO, "nvme",
					 "%s: the active namespace list has %u behind %u, which is not "
					 "in order; the namespaces stay as they were",
					 nsdk_device_name(ctrlr->dev), list[i], ctrlr->rescan.after);
		err = nsdk_nvme_ns_have(ctrlr, list[i], &ns);
		if (err)
			return err;
		ns->listed = true;
		ctrlr->rescan.after = list[i];
	}
	*full = true;
	return 0;
}

static void list_done(struct nsdk_nvme_ctrlr *ctrlr, void *ctx, const struct nsdk_nvme_cpl *cpl)
{
	bool full = false;

	if (!taken_back(ctrlr, cpl) || take_list(ctrlr, &full) != 0) {
		/* What was there before is looked at all the same: it may have been suspended. */
		for (uint32_t i = 0; i < ctrlr->ns_count; i++)
			ctrlr->namespaces[i]->listed = !ctrlr->namespaces[i]->gone;
		full = false;
	}
	if (!cpl)
		finish(ctrlr);
	else if (full)
		ask_list(ctrlr);
	else
		after_list(ctrlr);
}

static void ask_list(struct nsdk_nvme_ctrlr *ctrlr)
{
	if (nsdk_nvme_identify(ctrlr, NSDK_NVME_CNS_ACTIVE_NS_LIST, ctrlr->rescan.after, list_done,
			       NULL) != 0)
		finish(ctrlr);
}

static void start(struct nsdk_nvme_ctrlr *ctrlr)
{
	ctrlr->rescan.running = true;
	ctrlr->rescan.after = 0;
	ctrlr->rescan.index = 0;
	/* Where there is no list, those that were found at bring-up are all that are looked at. */
	for (uint32_t i = 0; i < ctrlr->ns_count; i++) {
		ctrlr->namespaces[i]->listed = ctrlr->init.no_list && !ctrlr->namespaces[i]->gone;
		ctrlr->namespaces[i]->zoned_listed = false;
	}
	if (ctrlr->init.no_list)
		after_list(ctrlr);
	else
		ask_list(ctrlr);
}

/*
 * Looks at all namespaces, then calls back; also when that could not be done.
 *
 * @param own   a command of our own has changed them.
 * @param wait  the caller's, with done and ctx filled in, until done runs.
 */
void nsdk_nvme_rescan(struct nsdk_nvme_ctrlr *ctrlr, bool own, struct nvme_rescan_wait *wait)
{
	struct nvme_rescan_wait **list = ctrlr->rescan.running ? &ctrlr->rescan.late :
								 &ctrlr->rescan.waits;

	wait->next = *list;
	*list = wait;
	if (ctrlr->rescan.running) {
		ctrlr->rescan.late_own |= own;
		return;
	}
	ctrlr->rescan.own = own;
	start(ctrlr);
}
