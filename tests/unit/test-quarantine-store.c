/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Quarantines on disk: what was stored is found again, what is damaged keeps its device away all the same,
 * and a crash at any step leaves the old record or the new one.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/system/journal.h"
#include "daemon/system/quarantine-record.h"
#include "daemon/system/quarantine-store.h"
#include "shared/cleanup.h"
#include "unit.h"

#define NAME "0000:00:1c.4_00.0,8086:10d3,8086:a01f.json"

static char base[] = "/tmp/test-quarantine-store.XXXXXX";
static char directory[96];
static sd_event *event;
static QuarantineStore *store;
static QuarantineRecord found[8];
static size_t n_found;
static unsigned n_unstored;
static int found_returns;

/* ---- a disk that fails ---- */

static int
        steps_left; /* until the machine loses power: from then on nothing has any effect; negative: never */
static int full; /* errno of writes, 0: none */
static int hang_fd = -1; /* there is something to read from it when the disk answers again; -1: it does */
static volatile bool has_hung;

static bool is_powered(void)
{
        if (steps_left < 0)
                return true;
        if (steps_left == 0) {
                errno = EIO;
                return false;
        }
        steps_left--;
        return true;
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
        char byte;

        if (hang_fd >= 0) {
                has_hung = true;
                while (read(hang_fd, &byte, 1) < 0)
                        ;
        }
        if (full) {
                errno = full;
                return -1;
        }
        if (steps_left == 0) {
                errno = EIO;
                return -1;
        }
        /* In two parts, between which there is an end, too. */
        if (!is_powered() || size < 2)
                return __real_write(fd, data, size);
        return __real_write(fd, data, size / 2);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
        return is_powered() ? __real_fsync(fd) : -1;
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
        return is_powered() ? __real_renameat(from_fd, from, to_fd, to) : -1;
}

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags)
{
        return is_powered() ? __real_unlinkat(fd, name, flags) : -1;
}

/* Nobody has that much time. */
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
        struct timespec now;

        ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
        ck_assert_int_le(until->tv_sec - now.tv_sec, QUARANTINE_FLUSH_USEC / 1000000);
        return hang_fd >= 0 ? ETIMEDOUT : __real_pthread_cond_timedwait(cond, mutex, until);
}

void __wrap_journal_quarantine_unstored(const char *name, int error);
void __wrap_journal_quarantine_unstored(const char *name, int error)
{
        n_unstored++;
}

/* ---- the bed ---- */

static int on_found(void *userdata, const QuarantineRecord *record)
{
        ck_assert_uint_lt(n_found, ELEMENTSOF(found));
        found[n_found++] = *record;
        return found_returns;
}

static void start(void)
{
        n_found = 0;
        ck_assert_int_eq(quarantine_store_new(event, directory, &store), 0);
        ck_assert_int_eq(quarantine_store_load(store, on_found, NULL), 0);
}

static void restart(void)
{
        store = quarantine_store_free(store);
        steps_left = -1;
        full = 0;
        start();
}

static void setup(void)
{
        steps_left = -1;
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
        store = quarantine_store_free(store);
        sd_event_unref(event);
        ck_assert_int_eq(nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static QuarantineRecord some_record(const char *reason)
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

static bool is_stored;
static int stored_error;

static void on_stored(void *userdata, int error)
{
        is_stored = true;
        stored_error = error;
}

static int wait_stored(void)
{
        QuarantineWait *wait;

        is_stored = false;
        ck_assert_int_eq(quarantine_store_wait(store, on_stored, NULL, &wait), 0);
        ck_assert(!is_stored);
        while (!is_stored)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        return stored_error;
}

static void put_file(const char *name, const char *text)
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

static int count_files(void)
{
        DIR *d = opendir(directory);
        int n = -2; /* . and .. */

        ck_assert_ptr_nonnull(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

static void check_same(const QuarantineRecord *a, const QuarantineRecord *b)
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

/* ---- there and back ---- */

START_TEST(with_a_serial_number)
{
        QuarantineRecord record = some_record("smokes"), twin;

        (void) snprintf(record.serial, sizeof(record.serial), "00-11-22-33-44-55-66-77");
        (void) snprintf(record.driver, sizeof(record.driver), "igb");
        (void) snprintf(record.boot_id, sizeof(record.boot_id), "0123456789abcdef0123456789abcdef");
        record.inode = UINT64_MAX - 1;
        twin = record;
        twin.serial[22] = '8';
        quarantine_store_write(store, &record);
        quarantine_store_write(store, &twin);
        restart();
        ck_assert_uint_eq(n_found, 2);
        quarantine_store_remove(store, &twin);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);
        ck_assert_str_eq(found[0].serial, record.serial);
        ck_assert_str_eq(found[0].driver, "igb");
        ck_assert_str_eq(found[0].boot_id, record.boot_id);
        ck_assert_uint_eq(found[0].inode, record.inode);
}
END_TEST

START_TEST(what_was_stored_is_found)
{
        QuarantineRecord record = some_record("it smokes, \"really\"");
        char path[512];
        struct stat st;

        ck_assert_uint_eq(n_found, 0);
        quarantine_store_write(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        (void) snprintf(path, sizeof(path), "%s/" NAME, directory);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);

        record.cause = QUARANTINE_REQUESTED;
        record.n_checks = 0;
        quarantine_store_write(store, &record);
        restart(); /* waits for the disk, too */
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);

        quarantine_store_remove(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        quarantine_store_remove(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        restart();
        ck_assert_uint_eq(n_found, 0);
        ck_assert_uint_eq(n_unstored, 0);
}
END_TEST

/* As it was asked for, though a thread does it. */
START_TEST(in_order)
{
        QuarantineRecord record = some_record("first");

        for (int i = 0; i < 50; i++) {
                quarantine_store_remove(store, &record);
                (void) snprintf(record.reason, sizeof(record.reason), "%d", i);
                quarantine_store_write(store, &record);
        }
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_str_eq(found[0].reason, "49");
}
END_TEST

START_TEST(nobody_is_told_who_has_gone)
{
        QuarantineRecord record = some_record("x");
        QuarantineWait *wait;

        quarantine_store_write(store, &record);
        ck_assert_int_eq(quarantine_store_wait(store, on_stored, NULL, &wait), 0);
        ck_assert_ptr_null(quarantine_store_forget(wait));
        is_stored = false;
        store = quarantine_store_free(store);
        start();
        ck_assert(!is_stored);
        ck_assert_uint_eq(n_found, 1);
        ck_assert_ptr_null(quarantine_store_forget(NULL));
}
END_TEST

/* What an earlier version has written. */
START_TEST(without_a_boot)
{
        put_file(NAME, "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":\"x\","
                       "\"method\":\"flr\",\"uid\":1,\"since\":2,\"checks\":[]}");
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_DEAD);
        ck_assert_str_eq(found[0].boot_id, "");
        ck_assert_uint_eq(found[0].inode, 0);
}
END_TEST

/* The daemon ends all the same, and says what is not on the disk. */
START_TEST(the_disk_hangs)
{
        const QuarantineRecord first = some_record("x");
        QuarantineRecord record = first;
        char path[512];
        int fds[2];

        ck_assert_int_eq(pipe(fds), 0);
        hang_fd = fds[0];
        quarantine_store_write(store, &record);
        while (!has_hung)
                (void) usleep(1000);
        record.device.vendor++;
        quarantine_store_write(store, &record);
        store = quarantine_store_free(store);
        ck_assert_uint_eq(n_unstored, 2);
        /* The thread still has what it needs. */
        ck_assert_int_eq(close(fds[1]), 0);
        (void) snprintf(path, sizeof(path), "%s/" NAME, directory);
        while (access(path, F_OK) < 0)
                (void) usleep(1000);
        ck_assert_uint_eq(n_unstored, 2);
        start();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &first);
}
END_TEST

START_TEST(without_a_known_port)
{
        QuarantineRecord record = some_record("x");
        char name[QUARANTINE_NAME_MAX];

        record.port[0] = '\0';
        ck_assert_str_eq(quarantine_name_format(&record, name), "@0000:03:00.0,8086:10d3,8086:a01f.json");
        quarantine_store_write(store, &record);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);
}
END_TEST

START_TEST(the_longest_texts_fit)
{
        QuarantineRecord record = some_record("");

        memset(record.port, 'f', sizeof(record.port) - 1);
        memset(record.reason, '"', sizeof(record.reason) - 1);
        record.n_checks = QUARANTINE_CHECKS_MAX;
        for (size_t i = 0; i < QUARANTINE_CHECKS_MAX; i++) {
                record.checks[i] = record.checks[0];
                memset(record.checks[i].before, '\\', sizeof(record.checks[i].before) - 1);
                memset(record.checks[i].after, '\\', sizeof(record.checks[i].after) - 1);
        }
        quarantine_store_write(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);
}
END_TEST

/* ---- damage ---- */

#define HEAD                                                                                                \
        "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":\"r\",\"method\":"       \
        "\"flr\","                                                                                          \
        "\"uid\":1,\"since\":1,"

static const char *const bad_texts[] = {
        "",
        "{}",
        "[]",
        "\n",
        HEAD "\"checks\":[]",
        HEAD "\"checks\":[]} {}",
        HEAD "\"checks\":[null]}",
        HEAD "\"checks\":[],\"uid\":2}",
        HEAD "\"checks\":[],\"more\":2}",
        HEAD "\"checks\":[{\"check\":\"aer\",\"result\":\"maybe\",\"before\":\"\",\"after\":\"\"}]}",
        HEAD "\"checks\":[{\"check\":\"aer\",\"result\":\"ok\",\"before\":\"\"}]}",
        "{\"version\":2,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":\"r\",\"method\":\"flr\","
        "\"uid\":1,\"since\":1,\"checks\":[]}",
        "{\"version\":1,\"address\":\"03:00.0\",\"cause\":\"dead\",\"reason\":\"r\",\"method\":\"flr\","
        "\"uid\":1,\"since\":1,\"checks\":[]}",
        "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"other\",\"reason\":\"r\",\"method\":"
        "\"flr\","
        "\"uid\":1,\"since\":1,\"checks\":[]}",
        "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":7,\"method\":\"flr\","
        "\"uid\":-1,\"since\":1,\"checks\":[]}",
};

START_TEST(a_damaged_record_keeps_its_device_away)
{
        put_file(NAME, bad_texts[_i]);
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_UNREADABLE);
        ck_assert_str_eq(found[0].port, "0000:00:1c.4/00.0");
        ck_assert_uint_eq(found[0].device.device, 0x10d3);
        ck_assert_ptr_nonnull(strstr(found[0].reason, "damaged"));
        /* It is not lost by being read. */
        restart();
        ck_assert_uint_eq(n_found, 1);
}
END_TEST

START_TEST(larger_than_any)
{
        _cleanup_free_ char *text = malloc(QUARANTINE_FILE_MAX + 100);

        ck_assert_ptr_nonnull(text);
        memset(text, ' ', QUARANTINE_FILE_MAX + 99);
        text[QUARANTINE_FILE_MAX + 99] = '\0';
        put_file(NAME, text);
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_UNREADABLE);
}
END_TEST

START_TEST(no_file_at_all)
{
        char path[512];

        put_file("x", "");
        (void) snprintf(path, sizeof(path), "%s/" NAME, directory);
        ck_assert_int_eq(_i == 0 ? mkdir(path, 0700) : _i == 1 ? mkfifo(path, 0600) : symlink("x", path), 0);
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_UNREADABLE);
}
END_TEST

static const char *const bad_names[] = {
        "x",
        ".json",
        ",8086:10d3,8086:a01f.json",
        "@,8086:10d3,8086:a01f.json",
        "@03:00.0,8086:10d3,8086:a01f.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f",
        "0000:00:1c.4_00.0,8086:10d3.json",
        "0000:00:1c.4_00.0,8086:10D3,8086:a01f.json",
        "0000:00:1c.4_00.0,-086:10d3,8086:a01f.json",
        "0000:00:1c.4_00.0,0x86:10d3,8086:a01f.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f.jsonx",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f.json.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f,.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f,00-11.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f,00-11-22-33-44-55-66-7G.json",
        "0000:00:1c.4_\xff,8086:10d3,8086:a01f.json",
};

START_TEST(a_name_that_is_none_is_nobodys)
{
        QuarantineRecord record;

        ck_assert_int_eq(quarantine_name_parse(bad_names[_i], &record), -EBADMSG);
        put_file(bad_names[_i], "{}");
        restart();
        ck_assert_uint_eq(n_found, 0);
        ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(nothing_starts_without_knowing)
{
        QuarantineStore *other;
        char path[512];

        put_file("x", "");
        (void) snprintf(path, sizeof(path), "%s/x", directory);
        ck_assert_int_eq(quarantine_store_new(event, path, &other), 0);
        ck_assert_int_eq(quarantine_store_load(other, on_found, NULL), -ENOTDIR);
        quarantine_store_free(other);

        put_file(NAME, "");
        found_returns = -ENOMEM;
        ck_assert_int_eq(quarantine_store_load(store, on_found, NULL), -ENOMEM);
        found_returns = 0;
}
END_TEST

/* ---- crashes and full disks ---- */

START_TEST(a_crash_leaves_the_old_or_the_new_one)
{
        QuarantineRecord old = some_record("old"), new = some_record("new");
        bool was_old = false, was_new = false;

        for (int steps = 0; !was_new || steps < 20; steps++) {
                quarantine_store_write(store, &old);
                ck_assert_int_eq(wait_stored(), 0);
                steps_left = steps;
                quarantine_store_write(store, &new);
                restart();
                ck_assert_uint_eq(n_found, 1);
                if (strcmp(found[0].reason, "old") == 0) {
                        check_same(&found[0], &old);
                        /* Once the new one is there, it stays. */
                        ck_assert(!was_new);
                        was_old = true;
                } else {
                        check_same(&found[0], &new);
                        was_new = true;
                }
                /* Nothing is left lying about. */
                ck_assert_int_eq(count_files(), 1);
                ck_assert_int_lt(steps, 200);
        }
        ck_assert(was_old);
}
END_TEST

START_TEST(a_crash_while_it_is_removed)
{
        QuarantineRecord record = some_record("x");

        for (int steps = 0; steps < 3; steps++) {
                quarantine_store_write(store, &record);
                ck_assert_int_eq(wait_stored(), 0);
                steps_left = steps;
                quarantine_store_remove(store, &record);
                restart();
                ck_assert_uint_eq(n_found, steps == 0);
        }
}
END_TEST

START_TEST(a_full_disk_is_told)
{
        QuarantineRecord old = some_record("old"), new = some_record("new");

        quarantine_store_write(store, &old);
        ck_assert_int_eq(wait_stored(), 0);
        full = ENOSPC;
        quarantine_store_write(store, &new);
        ck_assert_int_eq(wait_stored(), -ENOSPC);
        ck_assert_uint_eq(n_unstored, 1);
        /* And then it goes on. */
        full = 0;
        quarantine_store_write(store, &new);
        ck_assert_int_eq(wait_stored(), 0);
        ck_assert_uint_eq(n_unstored, 1);
        full = ENOSPC;
        quarantine_store_write(store, &old);
        restart();
        ck_assert_uint_eq(n_unstored, 2);
        ck_assert_uint_eq(n_found, 1);
        ck_assert_str_eq(found[0].reason, "new");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quarantine-store");
        TCase *tcase = tcase_create("quarantine-store");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, what_was_stored_is_found);
        tcase_add_test(tcase, with_a_serial_number);
        tcase_add_test(tcase, in_order);
        tcase_add_test(tcase, nobody_is_told_who_has_gone);
        tcase_add_test(tcase, without_a_boot);
        tcase_add_test(tcase, the_disk_hangs);
        tcase_add_test(tcase, without_a_known_port);
        tcase_add_test(tcase, the_longest_texts_fit);
        tcase_add_loop_test(tcase, a_damaged_record_keeps_its_device_away, 0, (int) ELEMENTSOF(bad_texts));
        tcase_add_test(tcase, larger_than_any);
        tcase_add_loop_test(tcase, no_file_at_all, 0, 3);
        tcase_add_loop_test(tcase, a_name_that_is_none_is_nobodys, 0, (int) ELEMENTSOF(bad_names));
        tcase_add_test(tcase, nothing_starts_without_knowing);
        tcase_add_test(tcase, a_crash_leaves_the_old_or_the_new_one);
        tcase_add_test(tcase, a_crash_while_it_is_removed);
        tcase_add_test(tcase, a_full_disk_is_told);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
