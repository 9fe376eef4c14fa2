/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Thread and loop share one small object. Whoever of the two is the last to let go of it frees it, which one
 * atomic exchange decides.
 */

#include "daemon/system/disk-task.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "shared/cleanup.h"

enum {
        RUNS,
        HAS_ENDED,
        IS_FORGOTTEN,
};

struct DiskTask {
        DiskWork work;
        sd_event_source *source;
        int fd; /* an eventfd: the thread has ended */
        int result;
        atomic_int state;
};

static void task_free(DiskTask *task)
{
        cleanup_close(&task->fd);
        free(task);
}

static void *run(void *argument)
{
        DiskTask *task = argument;

        task->result = task->work.run(task->work.data);
        if (atomic_exchange(&task->state, HAS_ENDED) == IS_FORGOTTEN) {
                task->work.release(task->work.data);
                task_free(task);
                return NULL;
        }
        /* From here on the loop may free it. The descriptor is closed by nobody else meanwhile: it is only
         * read once this has been written. */
        (void) eventfd_write(task->fd, 1);
        return NULL;
}

static int on_ended(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        DiskTask *task = userdata;
        const DiskWork work = task->work;
        int result = task->result;

        sd_event_source_disable_unref(task->source);
        task_free(task);
        work.done(work.userdata, work.data, result);
        return 0;
}

/* Signals are the loop's. */
static int start_thread(DiskTask *task)
{
        pthread_attr_t attributes;
        sigset_t all, old;
        pthread_t thread;
        int r;

        r = pthread_attr_init(&attributes);
        if (r > 0)
                return -r;
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&thread, &attributes, run, task);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        (void) pthread_attr_destroy(&attributes);
        return -r;
}

int disk_task_start(sd_event *event, const DiskWork *work, DiskTask **ret)
{
        DiskTask *task = calloc(1, sizeof(DiskTask));
        int r;

        if (!task)
                return -ENOMEM;
        task->work = *work;
        task->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = task->fd < 0 ? -errno : sd_event_add_io(event, &task->source, task->fd, EPOLLIN, on_ended, task);
        if (r >= 0)
                r = start_thread(task);
        if (r < 0) {
                sd_event_source_disable_unref(task->source);
                task_free(task);
                return r;
        }
        *ret = task;
        return 0;
}

DiskTask *disk_task_forget(DiskTask *task)
{
        if (!task)
                return NULL;
        task->source = sd_event_source_disable_unref(task->source);
        if (atomic_exchange(&task->state, IS_FORGOTTEN) == HAS_ENDED) {
                eventfd_t value;

                /* The thread is about to write, or has: it is done with the object when that is there. */
                while (eventfd_read(task->fd, &value) < 0 && (errno == EAGAIN || errno == EINTR))
                        (void) sched_yield();
                task->work.release(task->work.data);
                task_free(task);
        }
        return NULL;
}
