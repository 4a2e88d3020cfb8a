/* SPDX-License-Identifier: BSD-3-Clause */
/* The model as a whole: interrupts, resets, threads. */
#include "nvme_host.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nsdk/env.h>

static uint8_t *data;

static void create_cq(struct host_queue *queue, unsigned id, unsigned vector, bool interrupts)
{
	host_queue_init(queue, id, 16);
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_CQ, .prp1 = (uintptr_t)queue->cq,
		.cdw10 = id | 15 << 16, .cdw11 = vector << 16 | (interrupts ? 3 : 1) }), 0);
	NSDK_ASSERT_INT(host_run(&host.admin, &(struct nsdk_nvme_cmd){
		.opcode = NSDK_NVME_ADMIN_CREATE_SQ, .prp1 = host_iova(queue->sq),
		.cdw10 = id | 15 << 16, .cdw11 = id << 16 | 1 }), 0);
}

static int flush(struct host_queue *queue)
{
	return host_run(queue, &(struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_NVM_FLUSH, .nsid = 1 });
}

/* How often it was signalled since. */
static uint64_t signals(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void interrupts_come_by_eventfd(void)
{
	struct host_queue first, second;
	int fds[3];

	host_start("size=1M,queues=2");
	for (unsigned i = 0; i < 3; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK);
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 3), 0);
	create_cq(&first, 1, 2, true);
	create_cq(&second, 2, 1, false);
	CU_ASSERT(signals(fds[0]) > 0);
	NSDK_ASSERT_INT(signals(fds[2]), 0);
	NSDK_ASSERT_INT(flush(&first), 0);
	NSDK_ASSERT_INT(signals(fds[2]), 1);
	/* Not enabled for that queue. */
	NSDK_ASSERT_INT(flush(&second), 0);
	NSDK_ASSERT_INT(signals(fds[1]), 0);
	NSDK_ASSERT_INT(signals(fds[2]), 0);
	/* Several completions of one turn make one. */
	for (unsigned i = 0; i < 5; i++)
		host_push(&first, &(struct nsdk_nvme_cmd){ .opcode = NSDK_NVME_NVM_FLUSH, .nsid = 1 });
	host_ring(&first);
	host_poll(1);
	NSDK_ASSERT_INT(signals(fds[2]), 1);
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, NULL, 0), 0);
	for (unsigned i = 0; i < 5; i++)
		CU_ASSERT(host_wait(&first, &host_last));
	NSDK_ASSERT_INT(flush(&first), 0);
	NSDK_ASSERT_INT(signals(fds[2]), 0);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
}

static void an_interrupt_waits_for_its_vector(void)
{
	struct host_queue io;
	int fds[2] = { -1, -1 };

	host_start("size=1M,queues=1");
	create_cq(&io, 1, 1, true);
	fds[0] = eventfd(0, EFD_NONBLOCK);
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 2), 0);
	NSDK_ASSERT_INT(signals(fds[0]), 1); /* of the admin commands before */
	NSDK_ASSERT_INT(flush(&io), 0);
	fds[1] = eventfd(0, EFD_NONBLOCK);
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 2), 0);
	NSDK_ASSERT_INT(signals(fds[1]), 1);
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 2), 0);
	NSDK_ASSERT_INT(signals(fds[1]), 0);
	close(fds[0]);
	close(fds[1]);
}

static void one_vector_changes_alone(void)
{
	const struct nsdk_emu_model_ops *ops;
	struct host_queue io;
	int none[3] = { -1, -1, -1 }, fd = eventfd(0, EFD_NONBLOCK);

	/* As many as were asked for, whatever the number of queues. */
	host_start("size=1M,queues=1,vectors=4");
	ops = host.model->ops;
	NSDK_ASSERT_INT(ops->irq_count(host.model), 4);
	NSDK_ASSERT_INT(ops->irq_set_one(host.model, 0, fd), -EINVAL);
	NSDK_ASSERT_INT(ops->irq_set(host.model, none, 3), 0);
	NSDK_ASSERT_INT(ops->irq_set_one(host.model, 3, fd), -EINVAL);
	create_cq(&io, 1, 2, true);
	NSDK_ASSERT_INT(flush(&io), 0);
	/* What came while it was masked is sent now, once. */
	NSDK_ASSERT_INT(ops->irq_set_one(host.model, 2, fd), 0);
	NSDK_ASSERT_INT(signals(fd), 1);
	NSDK_ASSERT_INT(flush(&io), 0);
	NSDK_ASSERT_INT(signals(fd), 1);
	NSDK_ASSERT_INT(ops->irq_set_one(host.model, 2, -1), 0);
	NSDK_ASSERT_INT(flush(&io), 0);
	NSDK_ASSERT_INT(signals(fd), 0);
	close(fd);
}

static void interrupts_get_lost(void)
{
	int fds[2] = { -1, eventfd(0, EFD_NONBLOCK) };
	struct host_queue io;

	host_start("size=1M,queues=1,fault=lostirq@2");
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 2), 0);
	create_cq(&io, 1, 1, true);
	for (unsigned i = 1; i <= 3; i++) {
		NSDK_ASSERT_INT(flush(&io), 0);
		NSDK_ASSERT_INT(signals(fds[1]), i != 2);
	}
	host_stop();
	host_start("size=1M,queues=1,fault=lostirq@every2");
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 2), 0);
	create_cq(&io, 1, 1, true);
	for (unsigned i = 1; i <= 6; i++) {
		NSDK_ASSERT_INT(flush(&io), 0);
		NSDK_ASSERT_INT(signals(fds[1]), i % 2 != 0);
	}
	close(fds[1]);
}

static void too_many_vectors_are_refused(void)
{
	int fds[4] = { -1, -1, -1, -1 };

	nsdk_unit_log_start();
	host_start("size=1M,queues=2");
	NSDK_ASSERT_INT(host.model->ops->irq_set(host.model, fds, 4), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("there are 3");
	nsdk_unit_log_stop();
}

static void a_reset_ends_everything(void)
{
	struct host_queue io;

	host_start("size=1M,latency_us=1000000");
	create_cq(&io, 1, 0, true);
	data = host_pages(HOST_PAGE);
	memset(data, 0xee, HOST_PAGE);
	for (unsigned i = 0; i < 8; i++) {
		struct nsdk_nvme_cmd cmd = host_rw(NSDK_NVME_NVM_READ, 1, i, 1, host_iova(data), 0);

		host_push(&io, &cmd);
	}
	host_ring(&io);
	host_poll(5);
	host.model->ops->reset(host.model);
	host_poll(5);
	CU_ASSERT_FALSE(host_peek(&io, &host_last));
	NSDK_ASSERT_INT(data[0], 0xee);
	CU_ASSERT_FALSE(host.model->dma.bus_master);
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_CC), 0);
	/* Doorbells start at 0 again. */
	NSDK_ASSERT_INT(host_read32(NSDK_NVME_REG_DOORBELLS + 8), 0);
}

static void a_thread_that_cannot_run_is_refused(void)
{
	struct nsdk_emu_model *model;

	nsdk_unit_log_start();
	NSDK_ASSERT_INT(nsdk_emu_nvme.create("size=1M,thread=1,cpu=1023", &model), -EINVAL);
	NSDK_ASSERT_ONE_SENTENCE("cpu=1023: no thread can run on that CPU");
	nsdk_unit_log_stop();
}

/* ---- Threads ---- */

#define WORKERS 3u
#define ROUNDS 400u

static struct host_queue queues[WORKERS];
static uint8_t *buffers[WORKERS];
static atomic_uint failures;

/* A queue pair of one's own, the model polled by all. Everything is checked by data. */
static void *work(void *arg)
{
	unsigned worker = (unsigned)(uintptr_t)arg;
	uint8_t *out = buffers[worker], *in = out + HOST_PAGE;
	struct host_queue *queue = &queues[worker];
	struct nsdk_nvme_cpl cpl;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t lba = (worker * ROUNDS + round) * 8 % 16384;
		struct nsdk_nvme_cmd cmd = host_rw(NSDK_NVME_NVM_WRITE, 1, lba, 8, host_iova(out), 0);

		memset(out, (int)(worker * 64 + round), HOST_PAGE);
		for (unsigned pass = 0; pass < 2; pass++) {
			host_push(queue, &cmd);
			host_ring(queue);
			if (!host_wait(queue, &cpl) || cpl.status >> 1) {
				atomic_fetch_add(&failures, 1);
				return NULL;
			}
			cmd.opcode = NSDK_NVME_NVM_READ;
			cmd.prp1 = host_iova(in);
		}
		if (memcmp(in, out, HOST_PAGE) != 0)
			atomic_fetch_add(&failures, 1);
	}
	return NULL;
}

static void *disturb(void *arg)
{
	atomic_bool *stop = arg;
	int fds[4] = { -1, -1, -1, -1 };
	uint32_t value;

	fds[2] = eventfd(0, EFD_NONBLOCK);
	while (!atomic_load(stop)) {
		host_read32(NSDK_NVME_REG_CSTS);
		host.model->ops->cfg_read(host.model, 0, 4, &value);
		host.model->ops->irq_set(host.model, fds, 4);
		host.model->ops->irq_set(host.model, NULL, 0);
		/* All queues stand still for it: leave them some time. */
		usleep(50);
	}
	close(fds[2]);
	return NULL;
}

static void run_workers(const char *options)
{
	pthread_t threads[WORKERS], other;
	atomic_bool stop = false;

	host_start(options);
	atomic_store(&failures, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		host_queue_create(&queues[i], i + 1, 16);
		buffers[i] = host_pages(2 * HOST_PAGE);
	}
	pthread_create(&other, NULL, disturb, &stop);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	pthread_join(other, NULL);
	NSDK_ASSERT_INT(atomic_load(&failures), 0);
}

static void several_threads_poll(void)
{
	run_workers("size=8M,queues=3");
}

static void the_model_has_a_thread(void)
{
	run_workers("size=8M,queues=3,thread=1");
}

static void threads_and_latency(void)
{
	run_workers("size=8M,queues=3,thread=1,latency_us=50");
}

/* All write and read the same block, and poll; what is read is of one writer. */
static void *fight(void *arg)
{
	unsigned worker = (unsigned)(uintptr_t)arg;
	uint8_t *out = buffers[worker], *in = out + HOST_PAGE;
	struct nsdk_nvme_cpl cpl;
	struct nsdk_nvme_cmd cmd;

	for (unsigned round = 0; round < 4 * ROUNDS; round++) {
		memset(out, (int)(worker * 64 + round % 64), HOST_PAGE);
		cmd = host_rw(round % 2 ? NSDK_NVME_NVM_READ : NSDK_NVME_NVM_WRITE, 1, 0, 1,
			      host_iova(round % 2 ? in : out), 0);
		host_push(&queues[worker], &cmd);
		host_ring(&queues[worker]);
		if (!host_wait(&queues[worker], &cpl) || cpl.status >> 1 ||
		    (round % 2 && memcmp(in, in + 1, HOST_PAGE - 1) != 0))
			atomic_fetch_add(&failures, 1);
	}
	return NULL;
}

static void blocks_are_never_torn(void)
{
	pthread_t threads[WORKERS];

	host_start("size=1M,queues=3,lba=4096");
	atomic_store(&failures, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		host_queue_create(&queues[i], i + 1, 16);
		buffers[i] = host_pages(2 * HOST_PAGE);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, fight, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	NSDK_ASSERT_INT(atomic_load(&failures), 0);
}

static const struct nsdk_unit_test tests[] = {
	NSDK_UNIT_TEST(interrupts_come_by_eventfd),
	NSDK_UNIT_TEST(one_vector_changes_alone),
	NSDK_UNIT_TEST(interrupts_get_lost),
	NSDK_UNIT_TEST(an_interrupt_waits_for_its_vector),
	NSDK_UNIT_TEST(too_many_vectors_are_refused),
	NSDK_UNIT_TEST(a_reset_ends_everything),
	NSDK_UNIT_TEST(a_thread_that_cannot_run_is_refused),
	NSDK_UNIT_TEST(several_threads_poll),
	NSDK_UNIT_TEST(the_model_has_a_thread),
	NSDK_UNIT_TEST(threads_and_latency),
	NSDK_UNIT_TEST(blocks_are_never_torn),
};

NSDK_UNIT_MAIN("lib/emu/nvme", tests, .after = host_stop)
