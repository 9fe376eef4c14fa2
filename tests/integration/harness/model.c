/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The tests' end of the kernel model.
 */

#include "model.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>

#include "kernel-model.h"
#include "loop.h"
#include "sandbox.h"
#include "sysfs.h"

static char *knob_path(const char *address, const char *knob, const char *method)
{
        char *path;

        path = textf(KERNEL_MODEL_DIR "/%s/%s%s%s", address, knob, method ? "." : "", method ? method : "");
        return path;
}

static void knob_set(const char *address, const char *knob, const char *method, const char *text)
{
        _cleanup_free_ char *path = knob_path(address, knob, method);

        file_print(path, "%s\n", text);
}

static int on_log(sd_event_source *source, const struct inotify_event *event, void *data)
{
        (void) source, (void) event, (void) data;
        return 0; /* whoever waits looks again */
}

void model_init(void)
{
        ck_assert_int_ge(sd_event_add_inotify(loop_event(), NULL, KERNEL_MODEL_LOG, IN_MODIFY, on_log, NULL),
                         0);
}

void model_add(const char *address, const char *supported)
{
        directory_make(KERNEL_MODEL_DIR "/%s", address);
        knob_set(address, "supported", NULL, supported ? supported : "");
        knob_set(address, "gate", NULL, "");
        knob_set(address, "busy", NULL, "");
}

void model_fail(const char *address, const char *method, int error)
{
        char text[16];

        (void) snprintf(text, sizeof(text), "%d", error);
        knob_set(address, "errno", method, text);
}

void model_unfail(const char *address, const char *method)
{
        _cleanup_free_ char *path = knob_path(address, "errno", method);

        ck_assert_int_eq(unlink(path), 0);
}

void model_knob(const char *address, const char *knob, const char *text)
{
        knob_set(address, knob, NULL, text);
}

void model_supported(const char *address, const char *supported)
{
        knob_set(address, "supported", NULL, supported);
}

void model_refuse_lists(const char *address, unsigned skip, int error)
{
        char text[32];

        (void) snprintf(text, sizeof(text), "%u %d", skip, error);
        knob_set(address, "list-errno", NULL, text);
}

void model_after(const char *address, const char *method, const char *attribute, const void *data,
                 size_t size)
{
        _cleanup_free_ char *folder = knob_path(address, "after", method), *path = NULL;

        directory_make("%s", folder);
        path = textf("%s/%s", folder, attribute);
        file_write(path, data, size);
}

void model_dies(const char *address, const char *method)
{
        uint8_t config[CONFIG_SIZE];
        size_t size;

        sysfs_config_read(address, config, &size);
        memset(config, 0xff, size);
        model_after(address, method, "config", config, size);
}

void model_degrades(const char *address, const char *method)
{
        uint8_t config[CONFIG_SIZE];
        size_t size;

        sysfs_config_read(address, config, &size);
        memset(config + CONFIG_COMMAND, 0, 2);
        model_after(address, method, "config", config, size);
}

static int hold(const char *address, const char *knob)
{
        _cleanup_free_ char *path = knob_path(address, knob, NULL);
        int fd = open(path, O_RDWR | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(flock(fd, LOCK_EX), 0);
        return fd;
}

int model_hold(const char *address)
{
        return hold(address, "gate");
}

int model_hold_list(const char *address)
{
        knob_set(address, "list-gate", NULL, "");
        return hold(address, "list-gate");
}

int model_hold_reads(const char *address)
{
        return hold(address, "busy");
}

void model_release(int *fd)
{
        /* Not just close(): a process that was forked meanwhile may share the lock. */
        ck_assert_int_eq(flock(*fd, LOCK_UN), 0);
        (void) close(steal_fd(*fd));
}

/* ---- the log ---- */

static bool parse_line(const char *line, ModelEvent *event)
{
        unsigned long long inode, usec;
        int n = 0;

        *event = (ModelEvent){};
        if (sscanf(line, "%15s %31s %llu %d %llu%n", event->what, event->address, &inode, &event->pid, &usec,
                   &n) != 5)
                return false;
        event->inode = inode;
        event->usec = usec;
        (void) snprintf(event->rest, sizeof(event->rest), "%s", line + n + (line[n] == ' '));
        return true;
}

static size_t scan(const char *what, const char *address, size_t index, ModelEvent *ret)
{
        _cleanup_free_ char *text = file_read(KERNEL_MODEL_LOG, NULL);
        char *saved = NULL;
        size_t n = 0;

        ck_assert_ptr_nonnull(text);
        for (char *line = strtok_r(text, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved)) {
                ModelEvent event;

                ck_assert_msg(parse_line(line, &event), "cannot read the kernel model's log: %s", line);
                if ((what && strcmp(event.what, what) != 0) ||
                    (address && strcmp(event.address, address) != 0))
                        continue;
                if (n++ == index && ret)
                        *ret = event;
        }
        return n;
}

size_t model_count(const char *what, const char *address)
{
        return scan(what, address, 0, NULL);
}

bool model_event(const char *what, const char *address, size_t index, ModelEvent *ret)
{
        return scan(what, address, index, ret) > index;
}

ModelEvent model_wait(const char *what, const char *address, size_t index)
{
        uint64_t deadline = loop_deadline();
        _cleanup_free_ char *awaited = NULL;
        ModelEvent event;

        awaited = textf("%s of %s in the kernel", what, address ? address : "any device");
        while (!model_event(what, address, index, &event))
                loop_once(deadline, awaited, __FILE__, __LINE__);
        return event;
}

size_t model_writes(void)
{
        return model_count(NULL, NULL) - model_count("touch", NULL) - model_count("keep-off", NULL);
}

void model_forget(void)
{
        ck_assert_int_eq(truncate(KERNEL_MODEL_LOG, 0), 0);
}
