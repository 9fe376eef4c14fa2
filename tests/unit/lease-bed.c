/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "lease-bed.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

static char base[] = "/tmp/test-lease-store.XXXXXX";
char directory[64];
sd_event *event;
LeaseStore *store;
Told released, found, orphaned;
ClaimRecord last_found;
int found_returns;

static void note(Told *told, const char *id, uint64_t since)
{
        ck_assert_uint_lt(told->n, TOLD_MAX);
        strcpy(told->ids[told->n], id);
        told->since[told->n++] = since;
}

void on_released(void *userdata, const char *id)
{
        note(&released, id, 0);
}

int on_found(void *userdata, const ClaimRecord *record)
{
        note(&found, record->id, record->since);
        free(last_found.devices);
        last_found = *record;
        last_found.devices = calloc(record->n_devices + 1, sizeof(ClaimDevice));
        ck_assert_ptr_nonnull(last_found.devices);
        for (size_t i = 0; i < record->n_devices; i++)
                last_found.devices[i] = record->devices[i];
        return found_returns;
}

void on_orphaned(void *userdata, const ClaimRecord *record)
{
        note(&orphaned, record->id, record->since);
}

void start(void)
{
        const LeaseHandler handler = {.released = on_released, .found = on_found, .orphaned = on_orphaned};

        ck_assert_int_eq(lease_store_new(event, directory, &handler, &store), 0);
        ck_assert_int_eq(lease_store_load(store), 0);
}

void stop(void)
{
        store = lease_store_free(store);
}

void restart(void)
{
        stop();
        start();
}

static void setup(void)
{
        ck_assert_ptr_nonnull(mkdtemp(base));
        (void) snprintf(directory, sizeof(directory), "%s/claims", base);
        ck_assert_int_ge(sd_event_new(&event), 0);
        start();
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void teardown(void)
{
        stop();
        sd_event_unref(event);
        free(last_found.devices);
        (void) nftw(base, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

void settle(void)
{
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                ;
        ck_assert_int_eq(r, 0);
}

const char *path_of(const char *id, const char *suffix)
{
        static char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s%s", directory, id, suffix);
        return path;
}

static int count_one(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

int count_files(void)
{
        struct dirent **names;
        int n = scandir(directory, &names, count_one, NULL);

        ck_assert_int_ge(n, 0);
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return n;
}

ClaimDevice some_devices[2] = {
        {.address = {.domain = 0x10000, .bus = 1}, 0x8086, 0x10d3, 0x8086, 0},
        {.address = {.bus = 0xff, .device = 31, .function = 7}, 0xffff, 0, 1, 0xfffe},
};

ClaimRecord some_record(void)
{
        return (ClaimRecord){
                .kind = CLAIM_LEASE,
                .uid = 1000,
                .who = "a \"machine\" manager",
                .why = "guest übung\\",
                .since = 1795000000000000,
                .devices = some_devices,
                .n_devices = 2,
        };
}

int add(char id[static CLAIM_ID_MAX])
{
        ClaimRecord record = some_record();
        int fd;

        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        strcpy(id, record.id);
        return fd;
}

void put_file(const char *name, const char *suffix, const char *text)
{
        FILE *file = fopen(path_of(name, suffix), "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

TCase *lease_case(Suite *suite)
{
        TCase *tcase = tcase_create("store");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_set_timeout(tcase, 60);
        suite_add_tcase(suite, tcase);
        return tcase;
}
