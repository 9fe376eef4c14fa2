/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "shared/utf8.h"
#include "worker/attribute.h"

#define CLASS_NVME    0x010802U
#define CLASS_NETWORK 0x02U /* the base class */

/* Long enough for the states of a driver, and for numbers. */
#define WORD_MAX 32U

/* How bad it is: the worst of several things is what counts. */
static ProbeResult worse(ProbeResult a, ProbeResult b)
{
        return a > b ? a : b;
}

static ProbeResult judge_controller(int fd, char *word)
{
        static const char *const on_its_way[] = {"new", "resetting", "connecting"};

        if (attribute_read(fd, "state", word, WORD_MAX) < 0)
                return PROBE_NONE;
        if (strcmp(word, "live") == 0)
                return PROBE_WORKS;
        for (size_t i = 0; i < ELEMENTSOF(on_its_way); i++)
                if (strcmp(word, on_its_way[i]) == 0)
                        return PROBE_PENDING;
        return PROBE_FAILED;
}

/* One that is down has no carrier to lose (drivers/net: carrier_show answers -EINVAL). A link takes seconds
 * to come up. */
static ProbeResult judge_interface(int fd, char *word)
{
        uint64_t flags, carrier;

        if (attribute_read_unsigned(fd, "flags", UINT32_MAX, &flags) < 0 || !(flags & IFF_UP) ||
            attribute_read_unsigned(fd, "carrier", 1, &carrier) < 0)
                return PROBE_NONE;
        (void) snprintf(word, WORD_MAX, carrier ? "carrier" : "no carrier");
        return carrier ? PROBE_WORKS : PROBE_PENDING;
}

/* Everything in a class directory of the device's: the worst of it. */
static ProbeResult probe_class(const Device *device, const char *class,
                               ProbeResult (*judge)(int fd, char *word), char *text)
{
        int fd = openat(device->fd, class, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        ProbeResult result = PROBE_NONE;
        const struct dirent *entry;
        size_t used = 0;
        DIR *dir;

        if (fd < 0)
                return PROBE_NONE;
        dir = fdopendir(fd);
        if (!dir) {
                (void) close(fd);
                return PROBE_NONE;
        }
        while ((entry = readdir(dir))) {
                _cleanup_close_ int below = -EBADF;
                char word[WORD_MAX] = "";
                ProbeResult found;

                if (entry->d_name[0] == '.')
                        continue;
                below = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                found = below < 0 ? PROBE_NONE : judge(below, word);
                if (found == PROBE_NONE)
                        continue;
                result = worse(result, found);
                if (used < WORKER_VALUE_MAX)
                        used += (size_t) snprintf(text + used, WORKER_VALUE_MAX - used, "%s%.40s %s",
                                                  used > 0 ? ", " : "", entry->d_name, word);
        }
        (void) closedir(dir);
        return result;
}

ProbeResult probe_read(const Device *device, char text[static WORKER_VALUE_MAX])
{
        uint32_t class = device->expected->class;
        ProbeResult result = PROBE_NONE;

        text[0] = '\0';
        if (class == CLASS_NVME)
                result = probe_class(device, "nvme", judge_controller, text);
        else if (class >> 16 == CLASS_NETWORK)
                result = probe_class(device, "net", judge_interface, text);
        (void) utf8_sanitize(text);
        return result;
}
