/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The kernel probes every name that is written, and what it listed when it found the device it may refuse
 * now: at that time the bus was half built, so function 0 of a multifunction card lists `bus`. A list that
 * is refused must be shortened, but not by asking for the default alone: an administrator may have removed a
 * method because it wedges the device, and it must not come back by accident. So the default is written only
 * to learn what the kernel supports, and what both lists name is written right after it.
 *
 * Some kernels leak memory on every write of a list (5.15 to 6.12), and some block the DMA of the device for
 * its duration (7.0 on), so there is no write that could be avoided.
 */

#include "worker/method-list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "worker/attribute.h"

#define ATTRIBUTE "reset_method"

#define LIST_DEFAULT_TEXT "default"

int method_list_read(const Device *device, ResetMethodList *ret)
{
        char text[RESET_METHOD_LIST_STRING_MAX + 1];
        ssize_t n;

        n = attribute_read(device->fd, ATTRIBUTE, text, sizeof(text));
        if (n == -EMSGSIZE)
                return -EBADMSG;
        if (n < 0)
                return (int) n;
        return reset_method_list_parse(text, ret);
}

bool method_list_is_only(const ResetMethodList *list, const char *method)
{
        return list->n == 1 && strcmp(list->names[0], method) == 0;
}

/* The newline is no decoration: a write of no bytes does nothing, an empty line empties the list. */
static int write_text(const Device *device, const char *text)
{
        char line[RESET_METHOD_LIST_STRING_MAX + 2];
        _cleanup_close_ int fd = -EBADF;

        /* O_TRUNC, as with a shell's `>`, means nothing to sysfs; on the plain files of a test tree it makes
         * the write replace the text, as sysfs does by itself. */
        fd = openat(device->fd, ATTRIBUTE, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        (void) snprintf(line, sizeof(line), "%s\n", text);
        return attribute_write(fd, line);
}

static int write_list(const Device *device, const ResetMethodList *list)
{
        char text[RESET_METHOD_LIST_STRING_MAX];

        return write_text(device, reset_method_list_format(list, text));
}

int method_list_select(const Device *device, const char *method)
{
        return write_text(device, method);
}

/* The names of `list` that `supported` has too, in the order of `list`. */
static ResetMethodList intersect(const ResetMethodList *list, const ResetMethodList *supported)
{
        ResetMethodList common = {};

        for (size_t i = 0; i < list->n; i++)
                if (reset_method_list_contains(supported, list->names[i]))
                        memcpy(common.names[common.n++], list->names[i], RESET_METHOD_NAME_MAX);
        return common;
}

static ListRestored restore_reduced(const Device *device, const ResetMethodList *old)
{
        ResetMethodList supported, common;

        if (write_text(device, LIST_DEFAULT_TEXT) < 0)
                return LIST_LOST;
        if (method_list_read(device, &supported) < 0)
                return LIST_DEFAULT;

        common = intersect(old, &supported);
        return write_list(device, &common) < 0 ? LIST_DEFAULT : LIST_REDUCED;
}

ListRestored method_list_restore(const Device *device, const char *method, const ResetMethodList *old)
{
        ResetMethodList now;

        /* Nobody but another program changes the list behind our back, and the last word is then theirs. */
        if (method_list_read(device, &now) == 0 && !method_list_is_only(&now, method))
                return LIST_UNTOUCHED;

        if (write_list(device, old) == 0)
                return LIST_EXACT;
        return restore_reduced(device, old);
}

ListRestored method_list_renew(const Device *device, const ResetMethodList *old)
{
        char then[RESET_METHOD_LIST_STRING_MAX], text[RESET_METHOD_LIST_STRING_MAX];
        ResetMethodList now;

        if (method_list_read(device, &now) == 0 &&
            strcmp(reset_method_list_format(&now, text), reset_method_list_format(old, then)) == 0)
                return LIST_UNTOUCHED;

        if (write_list(device, old) == 0)
                return LIST_EXACT;
        return restore_reduced(device, old);
}
