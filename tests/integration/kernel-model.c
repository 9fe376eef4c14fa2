/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The kernel model: what the kernel does when somebody writes `reset` or `reset_method`.
 *
 * The trees of the integration tests are plain files, in which a write just lands. This library is preloaded
 * into the daemon and its worker. It looks at each write(): an fd whose name, asked from /proc/self/fd at
 * the time of the write, is below /sys is the kernel's business. There the rules of reset_store(),
 * reset_method_store() and __pci_reset_function_locked() (drivers/pci/pci-sysfs.c, pci.c) hold, as far as a
 * program can see them: who is refused with which errno, which method runs, what the list says afterwards.
 *
 * The kernel's other habit that matters is modelled too: while a device is being reset, reading its
 * `config`, and on many kernels its `uevent`, `driver_override`, `sriov_numvfs`, does not return. And an fd
 * of a device that went away answers ENODEV, also if another device has the same address now.
 *
 * kernel-model.h describes the knobs and the log. Without KERNEL_MODEL_DIR the library does nothing.
 */

#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel-model-internal.h"
#include "kernel-model.h"
#include "shared/cleanup.h"

#define LIST_MAX         256U
#define KERNEL_LIST_SIZE 7U /* the kernel's array of methods without its terminating zero */

static const char *const kernel_methods[] = {"device_specific", "acpi", "flr", "af_flr", "pm", "bus",
                                             "cxl_bus"};

/* Reading these takes the lock that a running reset holds. */
static const char *const hanging_attributes[] = {"config", "uevent", "driver_override", "sriov_numvfs",
                                                 "vpd"};

static bool is_hanging(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(hanging_attributes); i++)
                if (strcmp(hanging_attributes[i], name) == 0)
                        return true;
        return false;
}

/* ---- attributes ---- */

static bool attribute_from_path(char *path, ModelAttribute *a)
{
        static const char deleted[] = " (deleted)";
        size_t length = strlen(path), suffix = sizeof(deleted) - 1;
        struct stat st;
        char *slash;

        if (strncmp(path, "/sys/", 5) != 0 || access(KERNEL_MODEL_DIR, F_OK) < 0)
                return false;
        a->gone = length > suffix && strcmp(path + length - suffix, deleted) == 0;
        if (a->gone)
                path[length - suffix] = '\0';
        slash = strrchr(path, '/');
        *slash = '\0';
        a->name = slash + 1;
        slash = strrchr(path, '/');
        a->address = slash ? slash + 1 : path;
        a->inode = !a->gone && stat(path, &st) == 0 ? st.st_ino : 0;
        return true;
}

static bool attribute_from_fd(int fd, ModelAttribute *a)
{
        char link[64];
        ssize_t n;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = NEXT(readlink)(link, a->path, sizeof(a->path) - 1);
        if (n < 0)
                return false;
        a->path[n] = '\0';
        return attribute_from_path(a->path, a);
}

/* ---- knobs and the log ---- */

static void log_line(const ModelAttribute *a, const char *what, const char *rest)
{
        struct timespec now;
        _cleanup_close_ int fd = open(KERNEL_MODEL_LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        if (fd >= 0)
                (void) dprintf(fd, "%s %s %ju %d %lld%s%s\n", what, a->address, (uintmax_t) a->inode,
                               getpid(), (long long) now.tv_sec * 1000000 + now.tv_nsec / 1000,
                               *rest ? " " : "", rest);
}

void model_log(const ModelAttribute *a, const char *what, const char *format, ...)
{
        int saved_errno = errno;
        char rest[LIST_MAX + 64];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(rest, sizeof(rest), format, arguments);
        va_end(arguments);
        log_line(a, what, rest);
        errno = saved_errno;
}

static const char *knob_path(const ModelAttribute *a, const char *knob, const char *method,
                             char path[static PATH_MAX])
{
        if (method) {
                (void) snprintf(path, PATH_MAX, KERNEL_MODEL_DIR "/%s/%s.%s", a->address, knob, method);
                if (access(path, F_OK) == 0)
                        return path;
        }
        (void) snprintf(path, PATH_MAX, KERNEL_MODEL_DIR "/%s/%s", a->address, knob);
        return path;
}

/* Reads a small file, without its trailing newline. False if there is none. */
static bool read_text(const char *path, char *text, size_t size)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

        if (n < 0)
                return false;
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return true;
}

static int open_lock(const ModelAttribute *a, const char *knob)
{
        char path[PATH_MAX];

        return open(knob_path(a, knob, NULL, path), O_RDWR | O_CLOEXEC);
}

/* As uninterruptible as it gets: signals do not end the wait. */
static void lock_through(int fd, int operation)
{
        while (fd >= 0 && flock(fd, operation) < 0 && errno == EINTR)
                ;
}

bool model_knob_text(const ModelAttribute *a, const char *knob, char *text, size_t size)
{
        char path[PATH_MAX];

        return read_text(knob_path(a, knob, NULL, path), text, size);
}

int model_knob_number(const ModelAttribute *a, const char *knob)
{
        char text[32];

        return model_knob_text(a, knob, text, sizeof(text)) ? atoi(text) : 0;
}

int model_knob_countdown(const ModelAttribute *a, const char *knob, int error)
{
        int left = model_knob_number(a, knob);
        char path[PATH_MAX];
        _cleanup_close_ int fd = -EBADF;

        if (left <= 0)
                return 0;
        fd = open(knob_path(a, knob, NULL, path), O_WRONLY | O_TRUNC | O_CLOEXEC);
        (void) dprintf(fd, "%d\n", left - 1);
        return error;
}

void model_wait_at_gate(const ModelAttribute *a)
{
        _cleanup_close_ int fd = open_lock(a, "gate");

        lock_through(fd, LOCK_SH);
}

static void wait_while_busy(const ModelAttribute *a)
{
        _cleanup_close_ int fd = open_lock(a, "busy");

        lock_through(fd, LOCK_SH);
}

/* ---- reset_method ---- */

static bool list_contains(const char *list, const char *name)
{
        size_t length = strlen(name);

        for (const char *p = list; *p; p += strspn(p, " ")) {
                size_t n = strcspn(p, " ");

                if (n == length && memcmp(p, name, n) == 0)
                        return true;
                p += n;
        }
        return false;
}

static bool is_kernel_method(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(kernel_methods); i++)
                if (strcmp(kernel_methods[i], name) == 0)
                        return true;
        return false;
}

/* The new list in its canonical form, or a negative errno. Only blanks separate names; duplicates are fine.
 */
static int parse_list(char *text, const char *supported, char list[static LIST_MAX])
{
        size_t n = 0;
        char *saved = NULL;

        list[0] = '\0';
        for (char *name = strtok_r(text, " ", &saved); name; name = strtok_r(NULL, " ", &saved)) {
                if (!is_kernel_method(name) || !list_contains(supported, name) || n++ >= KERNEL_LIST_SIZE)
                        return -EINVAL;
                (void) snprintf(list + strlen(list), LIST_MAX - strlen(list), "%s%s", *list ? " " : "",
                                name);
        }
        return 0;
}

static int store_list(const ModelAttribute *a, const char *list)
{
        char path[PATH_MAX + sizeof("/reset_method")];
        _cleanup_close_ int fd = -EBADF;

        (void) snprintf(path, sizeof(path), "%s/reset_method", a->path);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || ftruncate(fd, 0) < 0)
                return -errno;
        /* An empty list reads as nothing at all, not as an empty line. */
        return *list == '\0' || dprintf(fd, "%s\n", list) > 0 ? 0 : -EIO;
}

static int planned_list_errno(const ModelAttribute *a)
{
        char path[PATH_MAX], text[64];
        int skip, error;

        if (!read_text(knob_path(a, "list-errno", NULL, path), text, sizeof(text)) ||
            sscanf(text, "%d %d", &skip, &error) != 2)
                return 0;
        if (skip == 0)
                return -error;
        {
                _cleanup_close_ int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

                (void) dprintf(fd, "%d %d\n", skip - 1, error);
        }
        return 0;
}

static int write_reset_method(const ModelAttribute *a, const char *data, size_t n)
{
        char path[PATH_MAX], supported[LIST_MAX], text[LIST_MAX], list[LIST_MAX], shown[LIST_MAX];
        _cleanup_close_ int gate = open_lock(a, "list-gate");
        int r = planned_list_errno(a);

        if (gate >= 0)
                model_log(a, "listing", "%s", "");
        lock_through(gate, LOCK_SH);
        if (n >= sizeof(text))
                return -EINVAL;
        memcpy(text, data, n);
        text[n] = '\0';
        if (n > 0 && text[n - 1] == '\n')
                text[n - 1] = '\0';
        strcpy(shown, text);
        for (char *p = strchr(shown, '\n'); p; p = strchr(p, '\n'))
                *p = '?';
        if (!read_text(knob_path(a, "supported", NULL, path), supported, sizeof(supported)))
                supported[0] = '\0';

        if (r == 0 && strcmp(text, "default") == 0)
                r = store_list(a, supported);
        else if (r == 0 && (r = parse_list(text, supported, list)) == 0)
                r = store_list(a, list);
        model_log(a, "list", "%d %s", -r, shown);
        return r;
}

/* ---- reset ---- */

/* pci_parent_bus_reset(): a bus reset is for a function that has the bus to itself. */
static bool alone_on_bus(const ModelAttribute *a)
{
        char path[PATH_MAX];
        DIR *directory;
        size_t n = 0;

        (void) snprintf(path, sizeof(path), "%.*s", (int) (a->address - a->path - 1), a->path);
        directory = opendir(path);
        if (!directory)
                return false;
        for (struct dirent *entry; (entry = readdir(directory));) {
                unsigned domain, bus, device, function;

                if (sscanf(entry->d_name, "%x:%x:%x.%x", &domain, &bus, &device, &function) == 4)
                        n++;
        }
        (void) closedir(directory);
        return n == 1;
}

static void copy_attribute(const char *from, const char *to)
{
        _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CLOEXEC);
        char buffer[4096];

        if (in < 0 || out < 0 || ftruncate(out, 0) < 0)
                return;
        for (ssize_t n; (n = NEXT(read)(in, buffer, sizeof(buffer))) > 0;)
                (void) NEXT(write)(out, buffer, (size_t) n);
}

void model_apply_after(const ModelAttribute *a, const char *method)
{
        char path[PATH_MAX], from[PATH_MAX + NAME_MAX + 1], to[PATH_MAX + NAME_MAX + 1];
        DIR *directory = opendir(knob_path(a, "after", method, path));

        if (!directory)
                return;
        for (struct dirent *entry; (entry = readdir(directory));) {
                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(from, sizeof(from), "%s/%s", path, entry->d_name);
                (void) snprintf(to, sizeof(to), "%s/%s", a->path, entry->d_name);
                copy_attribute(from, to);
        }
        (void) closedir(directory);
}

static int run_method(const ModelAttribute *a, const char *method)
{
        char path[PATH_MAX], text[32];
        int error = 0;

        if (read_text(knob_path(a, "errno", method, path), text, sizeof(text)))
                error = atoi(text);
        if (error == 0 && strcmp(method, "bus") == 0 && !alone_on_bus(a))
                error = ENOTTY;
        if (error == 0)
                model_apply_after(a, method);
        model_log(a, "method", "%s %d", method, error);
        return -error;
}

/* __pci_reset_function_locked(): the next method only after ENOTTY. */
static int run_list(const ModelAttribute *a)
{
        char path[PATH_MAX + sizeof("/reset_method")], list[LIST_MAX], *saved = NULL;
        int r = -ENOTTY;

        (void) snprintf(path, sizeof(path), "%s/reset_method", a->path);
        if (!read_text(path, list, sizeof(list)))
                return -ENODEV;
        for (char *method = strtok_r(list, " ", &saved); method && r == -ENOTTY;
             method = strtok_r(NULL, " ", &saved))
                r = run_method(a, method);
        return r;
}

static int write_reset(int file, const ModelAttribute *a, const char *data, size_t n)
{
        _cleanup_close_ int gate = -EBADF, busy = -EBADF;
        char text[32] = "", *end;
        struct stat st;
        int r;

        if (n < sizeof(text))
                memcpy(text, data, n);
        if (strtoul(text, &end, 0) != 1 || end == text || !(*end == '\0' || strcmp(end, "\n") == 0)) {
                model_log(a, "bad", "%s", a->name);
                return -EINVAL;
        }
        busy = open_lock(a, "busy");
        lock_through(busy, LOCK_EX);
        model_log(a, "begin", "%s", "");
        gate = open_lock(a, "gate");
        lock_through(gate, LOCK_SH);
        if (fstat(file, &st) < 0 || st.st_nlink == 0)
                r = -ENODEV; /* pulled out meanwhile */
        else
                r = run_list(a);
        model_log(a, "end", "%d", -r);
        return r;
}

/* As a text without its newline. */
static bool copy_text(const void *data, size_t n, char text[static LIST_MAX])
{
        if (n >= LIST_MAX)
                return false;
        memcpy(text, data, n);
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return true;
}

bool kernel_write(int fd, const void *data, size_t n, ssize_t *ret)
{
        char text[LIST_MAX];
        ModelAttribute a;
        int r;

        if (!attribute_from_fd(fd, &a))
                return false;
        if (a.gone)
                r = -ENODEV;
        else if (n == 0)
                r = 0; /* sysfs drops it */
        else if (strcmp(a.name, "reset") == 0)
                r = write_reset(fd, &a, data, n);
        else if (strcmp(a.name, "reset_method") == 0)
                r = write_reset_method(&a, data, n);
        else if (!copy_text(data, n, text) || !kernel_write_tree(&a, text, &r)) {
                model_log(&a, "bad", "%s", a.name);
                r = -EACCES;
        }
        *ret = r < 0 ? -1 : (ssize_t) n;
        if (r < 0)
                errno = -r;
        return true;
}

/* ---- reading and opening ---- */

bool kernel_may_read(int fd)
{
        int saved_errno = errno;
        ModelAttribute a;

        if (!attribute_from_fd(fd, &a)) {
                errno = saved_errno;
                return true;
        }
        if (!a.gone && is_hanging(a.name)) {
                wait_while_busy(&a);
                (void) attribute_from_fd(fd, &a);
        }
        errno = a.gone ? ENODEV : saved_errno;
        return !a.gone;
}

void kernel_opened(int fd)
{
        int saved_errno = errno;
        ModelAttribute a;

        if (fd >= 0 && attribute_from_fd(fd, &a) && is_hanging(a.name))
                model_log(&a, "touch", "%s %s", a.name, program_invocation_short_name);
        errno = saved_errno;
}

static bool is_below_sys(int directory, const char *path)
{
        char link[64], base[PATH_MAX];
        ssize_t n;

        if (*path == '/')
                return strncmp(path, "/sys/", 5) == 0 && access(KERNEL_MODEL_DIR, F_OK) == 0;
        (void) snprintf(link, sizeof(link), directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d",
                        directory);
        n = NEXT(readlink)(link, base, sizeof(base));
        return n >= 5 && memcmp(base, "/sys/", 5) == 0 && access(KERNEL_MODEL_DIR, F_OK) == 0;
}

int kernel_opening_flags(int directory, const char *path, int flags)
{
        return (flags & (O_CREAT | O_TRUNC)) && is_below_sys(directory, path) ? flags & ~(O_CREAT | O_TRUNC)
                                                                              : flags;
}
