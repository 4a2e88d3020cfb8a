/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reservations (Base 7.3 to 7.6, 8.19).
 *
 * This controller is one host's. With rival=TYPE there is a second host, which does nothing but hold a
 * reservation of that type on every namespace from the start, until it is preempted or cleared away.
 *
 * With resv_file=PATH what a host wants to persist is kept there, and is there again with the next
 * controller; host=2 makes that one the second host's, so that two of them can be in each other's way by
 * turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nsdk/log.h>

#include "nvme_internal.h"

enum { SELF, RIVAL, NOBODY };

#define RIVAL_KEY UINT64_C(0x7269766131)
#define CNTLID_RIVAL 1u
#define HOLDS 1u

#define CANNOT_BE_WRITTEN "emu:nvme: resv_file=%s cannot be written: %s"

#define CONFLICT EMU_NVME_GENERIC(RESERVATION_CONFLICT)

/* What the file begins with. */
struct head {
	char magic[16];
	uint32_t version;
	uint32_t kept_bytes;
	uint64_t reserved;
};
NSDK_SPEC_ASSERT(sizeof(struct head) == 32);

/*
 * Then what it has of each namespace, as the first host sees it. None crosses a page, so that one write is
 * all of it.
 */
struct kept {
	uint64_t keys[2];
	uint32_t generation;
	uint8_t type;
	uint8_t holder;
	uint8_t registered; /* a bit for each */
	uint8_t persists;
	uint64_t reserved;
};
NSDK_SPEC_ASSERT(sizeof(struct kept) == sizeof(struct head));

static const struct head head = {
	.magic = "NSDK reservation",
	.version = 1,
	.kept_bytes = sizeof(struct kept),
};

static bool for_all(unsigned type)
{
	return type >= NSDK_NVME_RESV_WRITE_EXCLUSIVE_ALL;
}

static off_t place_of(unsigned index)
{
	return (off_t)(sizeof(struct head) + index * sizeof(struct kept));
}

/* Hosts in the other order, if this is the second one's controller. */
static unsigned turned(const struct emu_nvme *ctrl, unsigned who)
{
	return ctrl->opts.other_host && who != NOBODY ? 1 - who : who;
}

/* @return false: no controller has kept that. */
static bool take(const struct emu_nvme *ctrl, const struct kept *kept, struct emu_nvme_resv *out)
{
	if (!kept->persists)
		return true;
	if (kept->persists > 1 || kept->type > NSDK_NVME_RESV_EXCLUSIVE_ACCESS_ALL || kept->holder > NOBODY ||
	    kept->registered > 3 || (kept->type == NSDK_NVME_RESV_NONE) != (kept->holder == NOBODY) ||
	    (kept->type && !(for_all(kept->type) ? kept->registered : kept->registered >> kept->holder & 1)))
		return false;
	*out = (struct emu_nvme_resv){
		.generation = kept->generation,
		.type = kept->type,
		.holder = (uint8_t)turned(ctrl, kept->holder),
		.persists = true,
	};
	for (unsigned who = SELF; who <= RIVAL; who++) {
		out->registered[who] = kept->registered >> turned(ctrl, who) & 1;
		out->keys[who] = kept->keys[turned(ctrl, who)];
	}
	return true;
}

static struct kept keep(const struct emu_nvme *ctrl, const struct emu_nvme_resv *resv)
{
	struct kept kept = { .persists = resv->persists };

	if (!resv->persists)
		return kept;
	kept.generation = resv->generation;
	kept.type = resv->type;
	kept.holder = (uint8_t)turned(ctrl, resv->holder);
	for (unsigned who = SELF; who <= RIVAL; who++) {
		kept.registered |= (uint8_t)(resv->registered[turned(ctrl, who)] << who);
		kept.keys[who] = resv->keys[turned(ctrl, who)];
	}
	return kept;
}

/* It is there, and this controller's alone; @return 0, or -errno, and it was said. */
static int open_file(struct emu_nvme *ctrl, struct stat *st)
{
	const char *path = ctrl->opts.resv_file;
	int rc;

	/* A FIFO is not waited for. */
	ctrl->resv_fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (ctrl->resv_fd < 0 && errno == ENOENT)
		ctrl->resv_fd = open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0644);
	if (ctrl->resv_fd < 0) {
		rc = -errno;
		return nsdk_fail(rc, EMU_NVME_ROOM,
				 "emu:nvme: resv_file=%s cannot be opened for reading and writing: %s", path,
				 strerror(-rc));
	}
	if (flock(ctrl->resv_fd, LOCK_EX | LOCK_NB) != 0)
		return nsdk_fail(errno == EWOULDBLOCK ? -EBUSY : -errno, EMU_NVME_ROOM,
				 "emu:nvme: resv_file=%s is in use by another emulated device: hosts share "
				 "it by turns", path);
	/* How large it is, only now, as another may have begun it until then. */
	if (fstat(ctrl->resv_fd, st) != 0 || !S_ISREG(st->st_mode))
		return nsdk_fail(-EINVAL, EMU_NVME_ROOM, "emu:nvme: resv_file=%s is not a file", path);
	return 0;
}

/* @return 0, or -errno, and it was said. A namespace that it has nothing of has no reservations. */
static int load(struct emu_nvme *ctrl)
{
	const char *path = ctrl->opts.resv_file;
	struct head found;
	struct kept kept;
	struct stat st = { 0 };
	bool good;
	int rc = open_file(ctrl, &st);

	if (rc)
		return rc;
	if (st.st_size == 0) {
		errno = EIO; /* where less was written than that */
		if (pwrite(ctrl->resv_fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head))
			return 0;
		rc = -errno;
		return nsdk_fail(rc, EMU_NVME_ROOM, CANNOT_BE_WRITTEN, path, strerror(-rc));
	}
	good = st.st_size % (off_t)sizeof(kept) == 0 &&
	       pread(ctrl->resv_fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
	       memcmp(&found, &head, sizeof(head)) == 0;
	for (unsigned i = 0; good && i < ctrl->opts.namespaces && place_of(i) < st.st_size; i++)
		good = pread(ctrl->resv_fd, &kept, sizeof(kept), place_of(i)) == (ssize_t)sizeof(kept) &&
		       take(ctrl, &kept, &ctrl->resv[i]);
	if (good)
		return 0;
	return nsdk_fail(-EINVAL, EMU_NVME_ROOM,
			 "emu:nvme: resv_file=%s does not hold what this controller keeps of reservations; "
			 "name another, or one that is not there yet", path);
}

/* What is kept of other namespaces stays. @return false: it was said. */
static bool save(const struct emu_nvme *ctrl, const struct emu_nvme_resv *resv)
{
	struct kept kept = keep(ctrl, resv);

	errno = EIO;
	if (pwrite(ctrl->resv_fd, &kept, sizeof(kept), place_of((unsigned)(resv - ctrl->resv))) ==
	    (ssize_t)sizeof(kept))
		return true;
	nsdk_log(NSDK_LOG_ERROR, EMU_NVME_ROOM, CANNOT_BE_WRITTEN, ctrl->opts.resv_file, strerror(errno));
	return false;
}

int emu_nvme_resv_create(struct emu_nvme *ctrl)
{
	int rc = 0;

	for (unsigned i = 0; i < ctrl->opts.namespaces; i++) {
		ctrl->resv[i].holder = NOBODY;
		if (!ctrl->opts.rival)
			continue;
		ctrl->resv[i].registered[RIVAL] = true;
		ctrl->resv[i].keys[RIVAL] = RIVAL_KEY;
		ctrl->resv[i].type = (uint8_t)ctrl->opts.rival;
		ctrl->resv[i].holder = RIVAL;
		ctrl->resv[i].generation = 1;
	}
	if (ctrl->opts.resv_file[0])
		rc = load(ctrl);
	atomic_store(&ctrl->any_resv, ctrl->opts.rival != 0 || ctrl->opts.resv_file[0]);
	return rc;
}

void emu_nvme_resv_destroy(struct emu_nvme *ctrl)
{
	if (ctrl->resv_fd >= 0)
		close(ctrl->resv_fd);
}

static bool holds(const struct emu_nvme_resv *resv, unsigned who)
{
	return resv->type && (for_all(resv->type) ? resv->registered[who] : resv->holder == who);
}

/* Whether somebody else's reservation is in the way of a command (Base figure 423). */
bool emu_nvme_resv_forbids(struct emu_nvme *ctrl, const struct nsdk_nvme_cmd *cmd)
{
	bool reads = cmd->opcode == NSDK_NVME_NVM_READ || cmd->opcode == NSDK_NVME_NVM_COMPARE ||
		     cmd->opcode == NSDK_NVME_NVM_VERIFY || cmd->opcode == NSDK_NVME_ZNS_MGMT_RECEIVE;
	const struct emu_nvme_resv *resv = &ctrl->resv[cmd->nsid - 1];
	bool forbids = false;

	if (!atomic_load_explicit(&ctrl->any_resv, memory_order_acquire))
		return false;
	pthread_mutex_lock(&ctrl->resv_lock);
	switch (resv->type) {
	case NSDK_NVME_RESV_NONE:
		break;
	case NSDK_NVME_RESV_WRITE_EXCLUSIVE:
		forbids = !reads && resv->holder != SELF;
		break;
	case NSDK_NVME_RESV_EXCLUSIVE_ACCESS:
		forbids = resv->holder != SELF;
		break;
	case NSDK_NVME_RESV_WRITE_EXCLUSIVE_REGISTRANTS:
	case NSDK_NVME_RESV_WRITE_EXCLUSIVE_ALL:
		forbids = !reads && !resv->registered[SELF];
		break;
	default:
		forbids = !resv->registered[SELF];
	}
	pthread_mutex_unlock(&ctrl->resv_lock);
	return forbids;
}

static void release(struct emu_nvme_resv *resv)
{
	resv->type = NSDK_NVME_RESV_NONE;
	resv->holder = NOBODY;
}

/* A reservation of all registrants ends with the last of them. */
static void unregister(struct emu_nvme_resv *resv, unsigned who)
{
	resv->registered[who] = false;
	if (resv->type && (for_all(resv->type) ? !resv->registered[SELF] && !resv->registered[RIVAL] :
						 resv->holder == who))
		release(resv);
}

static uint16_t do_register(struct emu_nvme_resv *resv, const struct nsdk_nvme_cmd *cmd,
			    const uint64_t keys[2])
{
	bool ignore = cmd->cdw10 & NSDK_NVME_RESV_IGNORE_KEY;
	bool mine = resv->registered[SELF] && (ignore || resv->keys[SELF] == keys[0]);

	switch (cmd->cdw10 & 7) {
	case NSDK_NVME_RESV_REGISTER:
		if (resv->registered[SELF] && resv->keys[SELF] != keys[1])
			return CONFLICT;
		resv->keys[SELF] = keys[1];
		resv->registered[SELF] = true;
		break;
	case NSDK_NVME_RESV_UNREGISTER:
		if (!mine)
			return CONFLICT;
		unregister(resv, SELF);
		break;
	case NSDK_NVME_RESV_REPLACE:
		if (!mine && !ignore)
			return CONFLICT;
		resv->keys[SELF] = keys[1];
		resv->registered[SELF] = true;
		break;
	default:
		return EMU_NVME_GENERIC(INVALID_FIELD);
	}
	switch (cmd->cdw10 >> 30) {
	case 1:
		return EMU_NVME_GENERIC(INVALID_FIELD);
	case 2:
		resv->persists = false;
		break;
	case 3:
		resv->persists = true;
		break;
	default:
		break;
	}
	resv->generation++;
	return 0;
}

static uint16_t preempt(struct emu_nvme_resv *resv, unsigned type, uint64_t key)
{
	bool by_key = resv->registered[RIVAL] && resv->keys[RIVAL] == key;
	bool all = resv->type && for_all(resv->type) && key == 0;
	bool takes = all || (resv->type && !for_all(resv->type) &&
			     resv->holder != NOBODY && resv->keys[resv->holder] == key);

	if (!by_key && !all && !takes)
		return CONFLICT;
	if (by_key || all)
		unregister(resv, RIVAL);
	if (takes) {
		resv->type = (uint8_t)type;
		resv->holder = SELF;
	}
	resv->generation++;
	return 0;
}

static uint16_t do_acquire(struct emu_nvme_resv *resv, const struct nsdk_nvme_cmd *cmd,
			   const uint64_t keys[2])
{
	unsigned type = cmd->cdw10 >> 8 & 0xff;

	if (type < NSDK_NVME_RESV_WRITE_EXCLUSIVE || type > NSDK_NVME_RESV_EXCLUSIVE_ACCESS_ALL ||
	    (cmd->cdw10 & 7) > NSDK_NVME_RESV_PREEMPT_AND_ABORT ||
	    (cmd->cdw10 & NSDK_NVME_RESV_IGNORE_KEY)) /* as for release */
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!resv->registered[SELF] || resv->keys[SELF] != keys[0])
		return CONFLICT;
	if ((cmd->cdw10 & 7) != NSDK_NVME_RESV_ACQUIRE)
		return preempt(resv, type, keys[1]);
	if (resv->type)
		return holds(resv, SELF) && resv->type == type ? 0 : CONFLICT;
	resv->type = (uint8_t)type;
	resv->holder = SELF;
	return 0;
}

static uint16_t do_release(struct emu_nvme_resv *resv, const struct nsdk_nvme_cmd *cmd, uint64_t key)
{
	unsigned type = cmd->cdw10 >> 8 & 0xff;

	if ((cmd->cdw10 & 7) > NSDK_NVME_RESV_CLEAR || (cmd->cdw10 & NSDK_NVME_RESV_IGNORE_KEY))
		return EMU_NVME_GENERIC(INVALID_FIELD);
	if (!resv->registered[SELF] || resv->keys[SELF] != key)
		return CONFLICT;
	if ((cmd->cdw10 & 7) == NSDK_NVME_RESV_CLEAR) {
		resv->registered[SELF] = false;
		resv->registered[RIVAL] = false;
		release(resv);
		resv->generation++;
		return 0;
	}
	if (!holds(resv, SELF))
		return 0; /* nothing to release, which is no error */
	if (resv->type != type)
		return EMU_NVME_GENERIC(INVALID_FIELD);
	release(resv);
	return 0;
}

static uint16_t report(struct emu_nvme_req *req, const struct emu_nvme_resv *resv)
{
	struct {
		struct nsdk_nvme_resv_status status;
		struct nsdk_nvme_resv_ctrlr ctrlrs[2];
	} out = { .status = { .generation = resv->generation, .type = resv->type } };
	unsigned count = 0;

	if (req->cmd->cdw11 & 1) /* the extended structure is for those with long host identifiers */
		return emu_nvme_error(NSDK_NVME_SCT_GENERIC, 0x18);
	out.status.persists = resv->persists;
	for (unsigned who = SELF; who <= RIVAL; who++) {
		if (!resv->registered[who])
			continue;
		out.ctrlrs[count++] = (struct nsdk_nvme_resv_ctrlr){
			.cntlid = who == SELF ? 0 : CNTLID_RIVAL,
			.status = holds(resv, who) ? HOLDS : 0,
			.host_id = who,
			.key = resv->keys[who],
		};
	}
	out.status.registered[0] = (uint8_t)count;
	return emu_nvme_data_reply(req, &out, sizeof(out.status) + count * sizeof(out.ctrlrs[0]),
				   ((uint64_t)req->cmd->cdw10 + 1) * 4);
}

uint16_t emu_nvme_resv(struct emu_nvme_req *req)
{
	struct emu_nvme_resv *resv = &req->ctrl->resv[req->cmd->nsid - 1];
	uint64_t keys[2] = { 0 };
	uint64_t bytes = sizeof(keys);
	struct emu_nvme_resv was;
	uint16_t status = 0;

	if (req->cmd->opcode == NSDK_NVME_NVM_RESV_REPORT) {
		if (emu_nvme_data_exceeds(req->ctrl, ((uint64_t)req->cmd->cdw10 + 1) * 4))
			return EMU_NVME_GENERIC(INVALID_FIELD);
	} else {
		if (req->cmd->opcode == NSDK_NVME_NVM_RESV_RELEASE)
			bytes = sizeof(keys[0]);
		status = emu_nvme_data_begin(req, bytes);
		if (!status)
			status = emu_nvme_data_from_host(req, keys, bytes);
		if (status)
			return status;
	}
	pthread_mutex_lock(&req->ctrl->resv_lock);
	was = *resv;
	switch (req->cmd->opcode) {
	case NSDK_NVME_NVM_RESV_REGISTER:
		status = do_register(resv, req->cmd, keys);
		break;
	case NSDK_NVME_NVM_RESV_ACQUIRE:
		status = do_acquire(resv, req->cmd, keys);
		break;
	case NSDK_NVME_NVM_RESV_RELEASE:
		status = do_release(resv, req->cmd, keys[0]);
		break;
	default:
		status = report(req, resv);
	}
	if (!status && req->ctrl->opts.resv_file[0] && req->cmd->opcode != NSDK_NVME_NVM_RESV_REPORT &&
	    !save(req->ctrl, resv)) {
		*resv = was;
		status = EMU_NVME_GENERIC(INTERNAL_ERROR);
	}
	if (resv->type)
		/* Release: who sees it looks under the lock; who does not was there before it. */
		atomic_store_explicit(&req->ctrl->any_resv, true, memory_order_release);
	pthread_mutex_unlock(&req->ctrl->resv_lock);
	return status;
}
