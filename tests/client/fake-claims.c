/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The stand-in's leases, inhibitors and holders. Leases and inhibitors are FIFOs whose other end is watched,
 * as the daemon's are: whoever lets the last copy go has released them, and that is told to the script. With
 * FAKE_CLAIMS in the environment the lists have rows of others besides.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-daemon.h"

#define CLAIMS_MAX 32U

typedef struct FakeClaim {
        char id[16], who[256], why[256], mode[16], devices[256]; /* devices: separated by blanks */
        bool inhibitor, gone;
} FakeClaim;

static FakeClaim claims[CLAIMS_MAX];
static unsigned n_claims;

int append_holders(sd_bus_message *m)
{
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 8, "device", "s", "0000:01:00.0", "kind", "s",
                                          "process", "pid", "u", UINT32_C(4242), "uid", "u", UINT32_C(0),
                                          "command", "s", "Xorg", "unit", "s", "session-2.scope", "what",
                                          "s", "/dev/dri/card0", "hard", "b", 0);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 8, "device", "o", path_of("0000:01:00.1"), "kind", "s",
                                          "mount", "pid", "u", UINT32_C(0), "uid", "u", UINT32_C(0),
                                          "command", "s", "", "unit", "s", "", "what", "s",
                                          "/dev/nvme0n1p1 on /mnt", "hard", "b", 1);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 8, "device", "s", "0000:01:00.0", "kind", "s",
                                          "process", "pid", "u", UINT32_C(666), "uid", "u",
                                          UINT32_C(4000000000), "command", "s", HOSTILE, "unit", "s",
                                          HOSTILE, "what", "s", HOSTILE, "hard", "b", 0);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 4, "device", "s", "0000:01:00.0", "kind", "s", "vfio",
                                          "count", "u", UINT32_C(2), "truncated", "b", 1);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 4, "device", "s", "0000:01:00.0", "kind", "s",
                                          "from-the-future", "what", "s", "a thing", "hard", "b", 1);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int on_holders(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        sd_bus_message *reply;
        int r;

        if (strcmp(sd_bus_message_get_path(call), path_of("0000:01:00.0")) != 0)
                return sd_bus_reply_method_return(call, "aa{sv}", 0);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = append_holders(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int append_devices(sd_bus_message *m, const char *devices)
{
        char copy[256], *rest = copy;
        int r;

        (void) snprintf(copy, sizeof(copy), "%s", devices);
        if ((r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(m, "s", "devices")) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "as")) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "s")) < 0)
                return r;
        for (const char *device; r >= 0 && (device = strsep(&rest, " "));)
                if (*device)
                        r = sd_bus_message_append(m, "s", device);
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_claim(sd_bus_message *m, const char *id, unsigned uid, const char *who, const char *why,
                        const char *mode, uint64_t since, const char *devices)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}", "id", "s", id, "uid", "u", uid, "who",
                                          "s", who, "why", "s", why, "since", "t", since);
        if (r >= 0 && *mode)
                r = sd_bus_message_append(m, "{sv}", "mode", "s", mode);
        if (r >= 0)
                r = append_devices(m, devices);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int list(sd_bus_message *call, bool inhibitors)
{
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r >= 0 && getenv("FAKE_CLAIMS"))
                r = append_claim(reply, "L1", 0, "the VM", "it works", inhibitors ? "block" : "",
                                 UINT64_C(1700000000000000), inhibitors ? "" : "0000:01:00.0 0000:01:00.1");
        if (r >= 0 && getenv("FAKE_CLAIMS"))
                r = append_claim(reply, "L2", 4000000000U, HOSTILE, HOSTILE, inhibitors ? "delay" : "", 0,
                                 "0000:02:00.0");
        for (unsigned i = 0; i < n_claims && r >= 0; i++)
                if (!claims[i].gone && claims[i].inhibitor == inhibitors)
                        r = append_claim(reply, claims[i].id, (unsigned) geteuid(), claims[i].who,
                                         claims[i].why, claims[i].mode, UINT64_C(1700000000000000),
                                         claims[i].devices);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int on_leases(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        return list(call, false);
}

int on_inhibitors(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        return list(call, true);
}

static int on_released(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        FakeClaim *claim = userdata;
        char line[64];

        claim->gone = true;
        (void) snprintf(line, sizeof(line), "released %s", claim->id);
        tell(line);
        sd_event_source_disable_unref(source);
        return 0;
}

/* Makes the FIFO, and gives an end of it away. Its name is gone before anybody has it. */
static int make_claim(FakeClaim *claim)
{
        char directory[] = "/tmp/fake-claim.XXXXXX", path[sizeof(directory) + 8];
        sd_event_source *source;
        int read_end, write_end, r;

        if (!mkdtemp(directory))
                return -errno;
        (void) snprintf(path, sizeof(path), "%s/fifo", directory);
        if (mkfifo(path, 0600) < 0)
                return -errno;
        read_end = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        write_end = open(path, O_WRONLY | O_CLOEXEC);
        (void) unlink(path);
        (void) rmdir(directory);
        if (read_end < 0 || write_end < 0)
                return -EIO;

        (void) snprintf(claim->id, sizeof(claim->id), "F%u", n_claims);
        r = sd_event_add_io(event, &source, read_end, EPOLLHUP, on_released, claim);
        if (r < 0)
                return r;
        (void) sd_event_source_set_io_fd_own(source, true);
        n_claims++;
        return write_end;
}

static int read_claim(sd_bus_message *call, FakeClaim *claim)
{
        const char *device, *who, *why, *mode = "";
        int r = sd_bus_message_enter_container(call, 'a', "s");

        while (r >= 0 && (r = sd_bus_message_read(call, "s", &device)) > 0)
                (void) snprintf(claim->devices + strlen(claim->devices),
                                sizeof(claim->devices) - strlen(claim->devices), "%s%s",
                                *claim->devices ? " " : "", device);
        if (r >= 0)
                r = sd_bus_message_exit_container(call);
        if (r >= 0)
                r = claim->inhibitor ? sd_bus_message_read(call, "sss", &who, &why, &mode)
                                     : sd_bus_message_read(call, "ss", &who, &why);
        if (r < 0)
                return r;
        (void) snprintf(claim->who, sizeof(claim->who), "%s", who);
        (void) snprintf(claim->why, sizeof(claim->why), "%s", why);
        (void) snprintf(claim->mode, sizeof(claim->mode), "%s", mode);
        return 0;
}

/* What is refused, by address. */
static int refuse(sd_bus_message *call, const char *devices)
{
        static const struct {
                const char *device, *name, *text;
        } refusals[] = {
                {"0000:09:00.0", BUS_NAME ".Error.NoSuchDevice", "0000:09:00.0: there is no such device"},
                {"0000:02:00.0", BUS_NAME ".Error.Leased",
                 "0000:02:00.0: somebody else has a lease: " HOSTILE},
                {"0000:01:00.1", SD_BUS_ERROR_ACCESS_DENIED, "uid 7 may not " BUS_NAME ".acquire"},
        };

        for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
                if (strstr(devices, refusals[i].device))
                        return reply_error(call, refusals[i].name, refusals[i].text);
        return 0;
}

static int claim(sd_bus_message *call, bool inhibitor)
{
        FakeClaim *new = &claims[n_claims];
        char line[1024];
        int fd, r;

        if (n_claims == CLAIMS_MAX)
                return reply_error(call, BUS_NAME ".Error.LimitsExceeded", "too many");
        *new = (FakeClaim){.inhibitor = inhibitor};
        r = read_claim(call, new);
        if (r < 0)
                return r;
        r = refuse(call, new->devices);
        if (r != 0)
                return r;

        (void) snprintf(line, sizeof(line), "claimed F%u devices=%s who=%s why=%s mode=%s", n_claims,
                        new->devices, new->who, new->why, new->mode);
        fd = make_claim(new);
        if (fd < 0)
                return fd;
        tell(line);
        r = inhibitor ? sd_bus_reply_method_return(call, "h", fd)
                      : sd_bus_reply_method_return(call, "hs", fd, new->id);
        (void) close(fd);
        return r;
}

int on_acquire(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        return claim(call, false);
}

int on_inhibit(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        return claim(call, true);
}
