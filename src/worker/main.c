/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * pcireset-worker: does one reset, or looks once at who uses devices, and ends.
 *
 * It is given a connected stream socket as standard input, by the daemon or by systemd (Accept=yes,
 * StandardInput=socket), and relies on nothing else: no arguments, no environment, no other descriptor. All
 * paths are constants. What it is asked comes from outside and is checked as such
 * (shared/worker-protocol.h).
 *
 * From the moment a reset's request is read it goes on to its end: a daemon that is gone, or a signal that
 * would end the process, must not leave a device with somebody's method list overwritten.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/worker-record.h"
#include "worker/channel.h"
#include "worker/checkup.h"
#include "worker/clock.h"
#include "worker/device.h"
#include "worker/keep-off.h"
#include "worker/kernel-lines.h"
#include "worker/log.h"
#include "worker/mend.h"
#include "worker/order.h"
#include "worker/record.h"
#include "worker/reset.h"
#include "worker/scan.h"

#define REQUEST_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define RESULT_TIMEOUT_USEC  (30 * USEC_PER_SEC)

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);
DEFINE_CLEANUP(WorkerResult *, worker_result_free);
DEFINE_CLEANUP(WorkerScan *, worker_scan_free);
DEFINE_CLEANUP(Record *, record_close);

typedef struct Worker {
        int fd; /* the socket */
        uint32_t job; /* of the request, 0 before it came */
        ChannelFds fds; /* that came with the request */
        Record *record;
} Worker;

/* Standard output and error may be closed. A file that is opened must not take their numbers, or a library
 * that prints a warning prints it into sysfs. */
static int occupy_standard_descriptors(void)
{
        for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        return -errno;
        return 0;
}

static void ignore_signals(const int *signals, size_t n)
{
        const struct sigaction ignore = {.sa_handler = SIG_IGN};

        for (size_t i = 0; i < n; i++)
                (void) sigaction(signals[i], &ignore, NULL);
}

static int save_list(const char *list, void *userdata)
{
        const Worker *worker = userdata;

        return record_save_list(worker->record, list);
}

static int save_settings(const WorkerSaved *saved, size_t n, void *userdata)
{
        const Worker *worker = userdata;

        return record_save_settings(worker->record, saved, n);
}

static int save_power(void *userdata)
{
        const Worker *worker = userdata;

        return record_save_power(worker->record);
}

static void send_phase(WorkerEventType phase, void *userdata)
{
        const Worker *worker = userdata;
        _cleanup_free_ char *line = NULL;

        /* News that a daemon which does not read now may miss; the result is what counts. */
        if (worker_event_format(&(WorkerEvent){.type = phase}, &line) >= 0)
                (void) channel_send(worker->fd, line, 0);
}

static int send_result(const Worker *worker, WorkerResult *result)
{
        const WorkerEvent event = {.type = WORKER_EVENT_RESULT, .result = result};
        _cleanup_free_ char *line = NULL;
        int r;

        r = worker_event_format(&event, &line);
        if (r < 0)
                return r;
        return channel_send(worker->fd, line, RESULT_TIMEOUT_USEC);
}

static int refuse(const Worker *worker, const char *why, int error, const char *message)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = reset_refusal_new(why, -error, message);

        return result ? send_result(worker, result) : -ENOMEM;
}

static int run_request(const Worker *worker, const WorkerRequest *request, WorkerResult **ret)
{
        const ResetEvents events = {
                .save_list = save_list,
                .save_settings = save_settings,
                .save_power = save_power,
                .phase = send_phase,
                .userdata = (void *) worker,
        };
        _cleanup_close_ int devices_fd = -EBADF;

        devices_fd = open(DEVICES_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (devices_fd < 0) {
                *ret = reset_refusal_new(WORKER_WHY_UNREADABLE, errno,
                                         "the list of PCI devices cannot be opened");
                return *ret ? 0 : -ENOMEM;
        }
        if (request->operation == WORKER_MEND)
                return mend_run(devices_fd, request, record_content(worker->record), &events, ret);
        return reset_run(devices_fd, request, worker->fds.fds, &events, ret);
}

/* Nothing is written and nothing has to be put back, so there is no record, and signals end it. */
static int serve_scan(const Worker *worker, const WorkerRequest *request)
{
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = NULL;
        _cleanup_free_ char *line = NULL;
        int r;

        if (!channel_has_peer(worker->fd))
                return -EPIPE;
        r = scan_members(NULL, request, &scan);
        if (r >= 0)
                r = worker_event_format(&(WorkerEvent){.type = WORKER_EVENT_SCAN, .scan = scan}, &line);
        if (r < 0)
                return refuse(worker, WORKER_WHY_INTERNAL, r, "out of memory");
        return channel_send(worker->fd, line, RESULT_TIMEOUT_USEC);
}

/* What is done to one device, or found out about several, without a record: it is over in a moment unless
 * somebody else resets the device, and what it leaves says itself what it was before, or the next daemon
 * makes it right. */
static int serve_short(const Worker *worker, const WorkerRequest *request,
                       int (*run)(int devices_fd, const WorkerRequest *request, WorkerResult **ret))
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = NULL;
        _cleanup_close_ int devices_fd = -EBADF;
        int r;

        if (!channel_has_peer(worker->fd))
                return -EPIPE;
        devices_fd = open(DEVICES_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = devices_fd < 0 ? -errno : run(devices_fd, request, &result);
        if (r < 0)
                return refuse(worker, WORKER_WHY_INTERNAL, r, strerror(-r));
        return send_result(worker, result);
}

static int run_hold(int devices_fd, const WorkerRequest *request, WorkerResult **ret)
{
        return keep_off_run(devices_fd, WORKER_KEPT_OFF_DIR, request, ret);
}

static int serve_reset(Worker *worker, const WorkerRequest *request)
{
        bool is_mending = request->operation == WORKER_MEND;
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = NULL;
        int r;

        r = is_mending ? record_take_over(WORKER_RECORD_DIR, request, &worker->record)
                       : record_open(WORKER_RECORD_DIR, request, &worker->record);
        if (r == -EBUSY)
                return refuse(worker, WORKER_WHY_BUSY, r, "a worker for the same job is at work");
        if (r < 0) {
                log_failure(worker->job, "the job's record cannot be written", r);
                return refuse(worker, WORKER_WHY_RECORD, r, "the job's record cannot be written");
        }

        /* A daemon that was started meanwhile has either seen the lock, and keeps others out of the way, or
         * it had looked before. Then the daemon that sent the request had gone even earlier. */
        if (!channel_has_peer(worker->fd)) {
                /* What is to be put back stays in the record, for the next one. */
                if (is_mending)
                        return -EPIPE;
                result = reset_refusal_new(WORKER_WHY_DENIED, 0, "the daemon that asked has gone");
        } else {
                r = run_request(worker, request, &result);
        }
        if (!result && r >= 0)
                r = -ENOMEM;
        if (r < 0)
                return refuse(worker, WORKER_WHY_INTERNAL, r, "out of memory");

        r = record_finish(worker->record, result);
        if (r < 0)
                log_failure(worker->job, "the result cannot be recorded", r);
        return send_result(worker, result);
}

static int serve(Worker *worker)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *line = NULL;
        size_t length;
        int r;

        r = channel_check_peer(worker->fd);
        if (r == -EPERM)
                return refuse(worker, WORKER_WHY_DENIED, r, "the caller is not served");
        if (r < 0)
                return r;

        r = channel_read_line(worker->fd, WORKER_REQUEST_MAX, REQUEST_TIMEOUT_USEC, &line, &length,
                              &worker->fds);
        if (r < 0)
                return refuse(worker, WORKER_WHY_BAD_REQUEST, r, "no complete request came");

        r = worker_request_parse(line, length, &request);
        if (r < 0)
                return refuse(worker, WORKER_WHY_BAD_REQUEST, r, "the request is malformed");
        if (worker->fds.n != request->n_fds)
                return refuse(worker, WORKER_WHY_BAD_REQUEST, -EBADMSG,
                              "other descriptors came than the request says");

        worker->job = request->job;
        if (request->operation == WORKER_SCAN)
                return serve_scan(worker, request);
        if (request->operation == WORKER_HEALTH)
                return serve_short(worker, request, checkup_run);
        if (request->operation == WORKER_LOG)
                return serve_short(worker, request, kernel_lines_run);

        ignore_signals((const int[]){SIGHUP, SIGINT, SIGTERM}, 3);
        if (request->operation == WORKER_ORDER)
                return serve_short(worker, request, order_run);
        if (request->operation == WORKER_HOLD)
                return serve_short(worker, request, run_hold);
        return serve_reset(worker, request);
}

int main(int argc, char *argv[])
{
        Worker worker = {.fd = STDIN_FILENO};
        int r;

        (void) argv;
        if (argc > 1) {
                (void) fputs("pcireset-worker takes no arguments: pciresetd starts it.\n", stderr);
                return EXIT_FAILURE;
        }

        r = occupy_standard_descriptors();
        if (r >= 0) {
                ignore_signals((const int[]){SIGPIPE}, 1);
                r = serve(&worker);
        }
        channel_fds_done(&worker.fds);
        record_close(worker.record);
        /* Tells the daemon, which waits for our end, that nothing more happens: sooner than the kernel
         * would, which first takes the process apart. */
        (void) close(worker.fd);

        /* The work is done, and a daemon that is gone finds the result in the record. */
        if (r == -EPIPE || r == -ECONNRESET)
                return EXIT_SUCCESS;
        if (r < 0)
                log_failure(worker.job, "the request could not be answered", r);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
