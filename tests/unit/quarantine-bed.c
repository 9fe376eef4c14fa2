/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "quarantine-bed.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/journal.h"
#include "shared/cleanup.h"

static char base[] = "/tmp/test-quarantine-store.XXXXXX";
char directory[96];
sd_event *event;
QuarantineStore *store;
QuarantineRecord found[8];
size_t n_found;
unsigned n_unstored;
int found_returns;

void __wrap_journal_quarantine_unstored(const char *name, int error);
void __wrap_journal_quarantine_unstored(const char *name, int error)
{
        n_unstored++;
}

/* ---- the bed ---- */

int on_found(void *userdata, const QuarantineRecord *record)
{
        ck_assert_uint_lt(n_found, ELEMENTSOF(found));
        found[n_found++] = *record;
        return found_returns;
}

void start(void)
{
        n_found = 0;
        ck_assert_int_eq(quarantine_store_new(event, directory, &store), 0);
        ck_assert_int_eq(quarantine_store_load(store, on_found, NULL), 0);
}

void stop(void)
{
        store = quarantine_store_free(store);
}

void restart(void)
{
        stop();
        start();
}

static void setup(void)
{
        ck_assert_ptr_nonnull(mkdtemp(base));
        (void) snprintf(directory, sizeof(directory), "%s/state/quarantine", base);
        ck_assert_int_ge(sd_event_new(&event), 0);
        start();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void teardown(void)
{
        stop();
        sd_event_unref(event);
        ck_assert_int_eq(nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

QuarantineRecord some_record(const char *reason)
{
        QuarantineRecord record = {
                .port = "0000:00:1c.4/00.0",
                .device = {.vendor = 0x8086,
                           .device = 0x10d3,
                           .subsystem_vendor = 0x8086,
                           .subsystem_device = 0xa01f},
                .cause = QUARANTINE_DEAD,
                .method = "flr",
                .uid = 1000,
                .since = 1795000000000000,
                .n_checks = 2,
                .checks = {{.check = "answers",
                            .result = CHECK_FAILED,
                            .before = "answers",
                            .after = "all ones"},
                           {.check = "aer", .result = CHECK_SKIPPED}},
        };

        ck_assert_int_eq(pci_address_parse("0000:03:00.0", &record.device.address), 0);
        record.checks[0].device = record.checks[1].device = record.device.address;
        (void) snprintf(record.reason, sizeof(record.reason), "%s", reason);
        return record;
}

bool is_stored;
static int stored_error;

void on_stored(void *userdata, int error)
{
        is_stored = true;
        stored_error = error;
}

int wait_stored(void)
{
        QuarantineWait *wait;

        is_stored = false;
        ck_assert_int_eq(quarantine_store_wait(store, on_stored, NULL, &wait), 0);
        ck_assert(!is_stored);
        while (!is_stored)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        return stored_error;
}

void put_file(const char *name, const char *text)
{
        char path[512];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/state", base);
        (void) mkdir(path, 0700);
        (void) mkdir(directory, 0700);
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "we");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
}

int count_files(void)
{
        DIR *d = opendir(directory);
        int n = -2; /* . and .. */

        ck_assert_ptr_nonnull(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

void check_same(const QuarantineRecord *a, const QuarantineRecord *b)
{
        ck_assert_str_eq(a->port, b->port);
        ck_assert_int_eq(pci_address_compare(&a->device.address, &b->device.address), 0);
        ck_assert_uint_eq(a->device.vendor, b->device.vendor);
        ck_assert_uint_eq(a->device.subsystem_device, b->device.subsystem_device);
        ck_assert_int_eq(a->cause, b->cause);
        ck_assert_str_eq(a->reason, b->reason);
        ck_assert_str_eq(a->method, b->method);
        ck_assert_uint_eq(a->uid, b->uid);
        ck_assert_uint_eq(a->since, b->since);
        ck_assert_uint_eq(a->n_checks, b->n_checks);
        for (size_t i = 0; i < a->n_checks; i++) {
                ck_assert_str_eq(a->checks[i].check, b->checks[i].check);
                ck_assert_int_eq(a->checks[i].result, b->checks[i].result);
                ck_assert_str_eq(a->checks[i].after, b->checks[i].after);
        }
}

TCase *quarantine_case(Suite *suite)
{
        TCase *tcase = tcase_create("quarantine");

        tcase_add_checked_fixture(tcase, setup, teardown);
        suite_add_tcase(suite, tcase);
        return tcase;
}
