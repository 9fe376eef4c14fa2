/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "watch-bed.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char base[] = "/tmp/test-watch.XXXXXX";
char fences[64];
sd_event *event;
Watch *watch;
unsigned n_notices, n_owner_notices;
PciAddress last_devices[WATCH_BED_LAST];
size_t n_last_devices;
void (*reaction)(void);

const PciAddress device = {.bus = 1};
const PciAddress other_device = {.bus = 2};

static void on_notice(void *userdata, const PciAddress *devices, size_t n, bool owners)
{
        ck_assert_uint_gt(n, 0);
        if (owners)
                n_owner_notices++;
        else
                n_notices++;
        n_last_devices = n;
        for (size_t i = 0; i < n && i < ELEMENTSOF(last_devices); i++)
                last_devices[i] = devices[i];
        if (reaction)
                reaction();
}

void watch_bed_setup(void)
{
        ck_assert_ptr_nonnull(mkdtemp(base));
        (void) snprintf(fences, sizeof(fences), "%s/scans", base);
        ck_assert_int_eq(mkdir(fences, 0700), 0);
        /* What is left of a worker that was killed. */
        (void) snprintf(fences, sizeof(fences), "%s/scans/101", base);
        ck_assert_int_eq(mkdir(fences, 0700), 0);
        (void) snprintf(fences, sizeof(fences), "%s/scans", base);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(watch_new(event, fences, on_notice, NULL, &watch), 0);
        watch_set_pace(watch, 0, 0);
}

void watch_bed_again(void)
{
        watch_free(watch);
        ck_assert_int_eq(watch_new(event, fences, on_notice, NULL, &watch), 0);
        watch_set_pace(watch, 0, 0);
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

void watch_bed_teardown(void)
{
        watch_free(watch);
        sd_event_unref(event);
        (void) nftw(base, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

bool is_armed(void)
{
        int enabled;

        ck_assert_int_ge(sd_event_source_get_enabled(watch->timer, &enabled), 0);
        return enabled != SD_EVENT_OFF;
}

void settle(void)
{
        int r;

        do
                r = sd_event_run(event, is_armed() ? UINT64_MAX : 0);
        while (r > 0);
        ck_assert_int_eq(r, 0);
}

const char *path_of(const char *name)
{
        static char path[WORKER_NODE_MAX];

        (void) snprintf(path, sizeof(path), "%s/%s", base, name);
        return path;
}

void make_node(const char *name)
{
        ck_assert_int_eq(close(open(path_of(name), O_WRONLY | O_CREAT, 0600)), 0);
}

int open_node(const char *name)
{
        int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        return fd;
}

void answer_begin(Answer *answer, const PciAddress *about)
{
        memset(answer, 0, sizeof(*answer));
        answer->scan = (WorkerScan){.uses = &answer->use, .n_uses = 1, .holders = answer->holders};
        answer->use.device = *about;
        answer->use.nodes = answer->nodes;
}

void answer_add_node(Answer *answer, const char *name)
{
        strcpy(answer->nodes[answer->use.n_nodes++], path_of(name));
}

void answer_add_holder(Answer *answer, HolderKind kind, pid_t pid)
{
        answer->holders[answer->scan.n_holders++] = (Holder){
                .device = answer->use.device, .kind = kind, .pid = (uint32_t) pid};
}

void set(const Answer *answer)
{
        ck_assert_int_eq(watch_set(watch, &answer->use.device, &answer->scan), 0);
}

void set_nodes(const PciAddress *about, const char *first, const char *second)
{
        Answer answer;

        answer_begin(&answer, about);
        answer_add_node(&answer, first);
        if (second)
                answer_add_node(&answer, second);
        set(&answer);
        settle();
        n_notices = n_owner_notices = 0;
}

void raise_fence(uint32_t job)
{
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%u", fences, job);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        ck_assert_int_eq(rmdir(path), 0);
}
