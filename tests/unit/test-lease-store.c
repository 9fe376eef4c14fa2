/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Claims on disk: they live as long as any copy of their descriptor, over restarts of the daemon, and
 * nothing else of them is left behind, whatever happens in between. With real FIFOs and real processes.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/system/lease-record.h"
#include "daemon/system/lease-store.h"
#include "shared/cleanup.h"
#include "unit.h"

#define TOLD_MAX 300U

typedef struct Told {
        char ids[TOLD_MAX][CLAIM_ID_MAX];
        uint64_t since[TOLD_MAX];
        unsigned n;
} Told;

static char base[] = "/tmp/test-lease-store.XXXXXX";
static char directory[64];
static sd_event *event;
static LeaseStore *store;
static Told released, found, orphaned;
static ClaimRecord last_found;
static int found_returns;

static void note(Told *told, const char *id, uint64_t since)
{
        ck_assert_uint_lt(told->n, TOLD_MAX);
        strcpy(told->ids[told->n], id);
        told->since[told->n++] = since;
}

static void on_released(void *userdata, const char *id)
{
        note(&released, id, 0);
}

static int on_found(void *userdata, const ClaimRecord *record)
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

static void on_orphaned(void *userdata, const ClaimRecord *record)
{
        note(&orphaned, record->id, record->since);
}

static void start(void)
{
        const LeaseHandler handler = {.released = on_released, .found = on_found, .orphaned = on_orphaned};

        ck_assert_int_eq(lease_store_new(event, directory, &handler, &store), 0);
        ck_assert_int_eq(lease_store_load(store), 0);
}

static void stop(void)
{
        store = lease_store_free(store);
}

static void restart(void)
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

/* Lets happen what can happen now. */
static void settle(void)
{
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                ;
        ck_assert_int_eq(r, 0);
}

static const char *path_of(const char *id, const char *suffix)
{
        static char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s%s", directory, id, suffix);
        return path;
}

static int count_one(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

static int count_files(void)
{
        struct dirent **names;
        int n = scandir(directory, &names, count_one, NULL);

        ck_assert_int_ge(n, 0);
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return n;
}

static ClaimDevice some_devices[2] = {
        {.address = {.domain = 0x10000, .bus = 1}, 0x8086, 0x10d3, 0x8086, 0},
        {.address = {.bus = 0xff, .device = 31, .function = 7}, 0xffff, 0, 1, 0xfffe},
};

static ClaimRecord some_record(void)
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

static int add(char id[static CLAIM_ID_MAX])
{
        ClaimRecord record = some_record();
        int fd;

        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        strcpy(id, record.id);
        return fd;
}

static void put_file(const char *name, const char *suffix, const char *text)
{
        FILE *file = fopen(path_of(name, suffix), "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

START_TEST(a_claim_ends_with_its_descriptor)
{
        char id[CLAIM_ID_MAX];
        struct stat st;
        int fd = add(id);

        ck_assert(lease_id_is_valid(id));
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777U, 0700);
        ck_assert_int_eq(stat(path_of(id, ".fifo"), &st), 0);
        ck_assert(S_ISFIFO(st.st_mode));
        ck_assert_uint_eq(st.st_mode & 07777U, 0600);
        ck_assert_int_eq(access(path_of(id, ".json"), R_OK), 0);
        ck_assert_int_eq(count_files(), 2);
        settle();
        ck_assert_uint_eq(released.n, 0);

        ck_assert_int_eq(close(fd), 0);
        settle();
        ck_assert_uint_eq(released.n, 1);
        ck_assert_str_eq(released.ids[0], id);
        ck_assert_int_eq(count_files(), 0);
        ck_assert_uint_eq(found.n + orphaned.n, 0);
}
END_TEST

START_TEST(copies_keep_it)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id), copy = dup(fd), ends[2];
        pid_t child;

        ck_assert_int_eq(pipe(ends), 0);
        child = fork();
        if (child == 0) {
                char byte;

                /* Until the parent says so. */
                (void) close(ends[1]);
                _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
        }
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(close(fd), 0);
        settle();
        ck_assert_int_eq(close(copy), 0);
        settle();
        ck_assert_uint_eq(released.n, 0);
        (void) close(ends[1]);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        settle();
        ck_assert_uint_eq(released.n, 1);
}
END_TEST

/* The reply that carries the descriptor may still be on its way. */
START_TEST(a_message_keeps_it)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct iovec byte = {.iov_base = (char[]){'x'}, .iov_len = 1};
        struct msghdr message = {.msg_iov = &byte,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        char id[CLAIM_ID_MAX];
        int pair[2], fd = add(id);

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        ck_assert_int_eq(sendmsg(pair[0], &message, 0), 1);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 0);
        restart();
        ck_assert_uint_eq(found.n, 1);
        (void) close(pair[0]);
        (void) close(pair[1]);
        settle();
        ck_assert_uint_eq(released.n, 1);
}
END_TEST

START_TEST(it_survives_a_restart)
{
        ClaimRecord record = some_record();
        int fd;

        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        for (unsigned i = 1; i < 4; i++) {
                restart();
                ck_assert_uint_eq(found.n, i);
                ck_assert_str_eq(last_found.id, record.id);
                ck_assert_int_eq(last_found.kind, record.kind);
                ck_assert_uint_eq(last_found.uid, record.uid);
                ck_assert_str_eq(last_found.who, record.who);
                ck_assert_str_eq(last_found.why, record.why);
                ck_assert_uint_eq(last_found.since, record.since);
                ck_assert_uint_eq(last_found.n_devices, 2);
                ck_assert_mem_eq(last_found.devices, some_devices, sizeof(some_devices));
                ck_assert_str_eq(lease_store_identify(store, fd), record.id);
                settle();
        }
        ck_assert_uint_eq(released.n + orphaned.n, 0);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 1);
        ck_assert_str_eq(released.ids[0], record.id);
        ck_assert_int_eq(count_files(), 0);
        restart();
        ck_assert_uint_eq(found.n, 3);
}
END_TEST

START_TEST(inhibitors_are_kept_too)
{
        ClaimRecord record = some_record();
        int fd, other;

        record.kind = CLAIM_INHIBIT_DELAY;
        record.devices = NULL;
        record.n_devices = 0;
        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        restart();
        ck_assert_int_eq(last_found.kind, CLAIM_INHIBIT_DELAY);
        ck_assert_uint_eq(last_found.n_devices, 0);
        record.kind = CLAIM_INHIBIT_BLOCK;
        record.since++;
        ck_assert_int_eq(lease_store_add(store, &record, &other), 0);
        restart();
        ck_assert_int_eq(last_found.kind, CLAIM_INHIBIT_BLOCK);
        (void) close(fd);
        (void) close(other);
}
END_TEST

/* The holder dies while no daemon runs. */
START_TEST(an_orphan_is_released_at_the_start)
{
        char id[CLAIM_ID_MAX], kept_id[CLAIM_ID_MAX];
        int fd = add(id), kept;
        pid_t child = fork();

        if (child == 0) {
                (void) pause();
                _exit(0);
        }
        (void) close(fd);
        kept = add(kept_id);
        stop();
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        start();
        ck_assert_uint_eq(orphaned.n, 1);
        ck_assert_str_eq(orphaned.ids[0], id);
        ck_assert_uint_eq(found.n, 1);
        ck_assert_str_eq(found.ids[0], kept_id);
        ck_assert_int_eq(count_files(), 2);
        settle();
        ck_assert_uint_eq(released.n, 0);
        (void) close(kept);
}
END_TEST

/* Between the look of the daemon that starts and its first turn. */
START_TEST(an_end_during_the_start_is_not_missed)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        restart();
        (void) close(fd);
        settle();
        ck_assert_uint_eq(found.n, 1);
        ck_assert_uint_eq(released.n, 1);
}
END_TEST

/* Nothing is to be written there, but it can be done. */
START_TEST(what_holders_write_does_no_harm)
{
        static char much[65536];
        char id[CLAIM_ID_MAX], other_id[CLAIM_ID_MAX];
        int fd = add(id), other = add(other_id);
        ssize_t n;

        n = write(fd, much, sizeof(much));
        ck_assert_int_gt(n, 0);
        ck_assert_int_le(n, sysconf(_SC_PAGESIZE));
        ck_assert_int_gt(write(other, much, 1), 0);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
        restart();
        ck_assert_uint_eq(found.n, 2);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 1);
        ck_assert_str_eq(released.ids[0], id);
        stop();
        (void) close(other);
        start();
        ck_assert_uint_eq(orphaned.n, 1);
}
END_TEST

START_TEST(only_its_own_end_is_recognised)
{
        char id[CLAIM_ID_MAX], other_id[CLAIM_ID_MAX];
        int fd = add(id), other = add(other_id), copy = dup(fd), ends[2], path, in, foreign;

        ck_assert_str_eq(lease_store_identify(store, fd), id);
        ck_assert_str_eq(lease_store_identify(store, copy), id);
        ck_assert_str_eq(lease_store_identify(store, other), other_id);

        ck_assert_int_eq(pipe(ends), 0);
        ck_assert_ptr_null(lease_store_identify(store, ends[1]));
        in = open(path_of(id, ".fifo"), O_RDONLY | O_NONBLOCK);
        ck_assert_int_ge(in, 0);
        ck_assert_ptr_null(lease_store_identify(store, in));
        path = open(path_of(id, ".fifo"), O_PATH);
        ck_assert_int_ge(path, 0);
        ck_assert_ptr_null(lease_store_identify(store, path));
        foreign = open(path_of(id, ".json"), O_RDWR);
        ck_assert_int_ge(foreign, 0);
        ck_assert_ptr_null(lease_store_identify(store, foreign));
        ck_assert_ptr_null(lease_store_identify(store, -1));
        ck_assert_ptr_null(lease_store_identify(store, 1000));

        lease_store_remove(store, id);
        ck_assert_ptr_null(lease_store_identify(store, fd));
        ck_assert_str_eq(lease_store_identify(store, other), other_id);
        (void) close(fd);
        (void) close(copy);
        (void) close(other);
}
END_TEST

START_TEST(a_removed_claim_tells_nobody)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        lease_store_remove(store, id);
        lease_store_remove(store, id);
        lease_store_remove(store, "aaaaaaaaaaaa");
        ck_assert_int_eq(count_files(), 0);
        (void) close(fd);
        settle();
        restart();
        ck_assert_uint_eq(released.n + found.n + orphaned.n, 0);
}
END_TEST

START_TEST(the_oldest_is_found_first)
{
        int fds[20];

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                ClaimRecord record = some_record();

                record.since = (i * 7) % ELEMENTSOF(fds);
                ck_assert_int_eq(lease_store_add(store, &record, &fds[i]), 0);
        }
        restart();
        ck_assert_uint_eq(found.n, ELEMENTSOF(fds));
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                ck_assert_uint_eq(found.since[i], i);
                (void) close(fds[i]);
        }
        settle();
        ck_assert_uint_eq(released.n, ELEMENTSOF(fds));
}
END_TEST

START_TEST(an_unwanted_claim_is_none)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        found_returns = -EBUSY;
        restart();
        ck_assert_uint_eq(found.n, 1);
        ck_assert_ptr_null(lease_store_identify(store, fd));
        ck_assert_int_eq(count_files(), 2);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 0);
        ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(leftovers_are_cleared_away)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        stop();
        ck_assert_int_eq(mkfifo(path_of("aaaaaaaaaaaa", ".fifo"), 0600), 0);
        put_file("bbbbbbbbbbbb", ".json", "{}");
        put_file("cccccccccccc", ".new", "{\"vers");
        ck_assert_int_eq(mkfifo(path_of("cccccccccccc", ".fifo"), 0600), 0);
        ck_assert_int_eq(mkfifo(path_of("dddddddddddd", ".fifo"), 0600), 0);
        put_file("dddddddddddd", ".json", "{}");
        put_file("not-ours", "", "");
        put_file("eeeeeeeeeeee", ".fifo", "a file");
        put_file("eeeeeeeeeeee", ".json", "{}");
        ck_assert_int_eq(mkfifo(path_of("ffffffffffff", ".json"), 0600), 0);
        ck_assert_int_eq(symlink("/etc/passwd", path_of("gggggggggggg", ".json")), 0);
        start();
        ck_assert_uint_eq(found.n, 1);
        ck_assert_uint_eq(orphaned.n, 0);
        /* The claim, the stranger, and the pair that makes no sense. */
        ck_assert_int_eq(access(path_of("not-ours", ""), F_OK), 0);
        ck_assert_int_eq(count_files(), 2 + 1 + 2);
        (void) close(fd);
}
END_TEST

/* What is claimed cannot be said any more, but somebody still relies on it. */
START_TEST(a_damaged_record_stays_while_it_is_held)
{
        char id[CLAIM_ID_MAX], other_id[CLAIM_ID_MAX], text[4096] = "";
        int fd = add(id), other = add(other_id);
        FILE *file;

        stop();
        file = fopen(path_of(other_id, ".json"), "re");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
        (void) fclose(file);
        /* The one of somebody else. */
        put_file(id, ".json", text);
        put_file(other_id, ".json", "");
        start();
        ck_assert_uint_eq(found.n + orphaned.n, 0);
        ck_assert_ptr_null(lease_store_identify(store, fd));
        ck_assert_int_eq(count_files(), 4);
        (void) close(fd);
        (void) close(other);
        settle();
        ck_assert_uint_eq(released.n, 0);
        ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(a_failure_leaves_nothing)
{
        const struct rlimit nothing = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
        ClaimRecord record = some_record();
        int fd = -1;

        record.n_devices = 0;
        ck_assert_int_eq(lease_store_add(store, &record, &fd), -EINVAL);
        record.n_devices = 2;
        (void) signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &nothing), 0);
        ck_assert_int_eq(lease_store_add(store, &record, &fd), -EFBIG);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
        ck_assert_int_eq(fd, -1);
        ck_assert_int_eq(count_files(), 0);
        settle();
        ck_assert_uint_eq(released.n, 0);
        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        (void) close(fd);
}
END_TEST

START_TEST(descriptors_are_left_for_others)
{
        const struct rlimit few = {100, 100};
        ClaimRecord record = some_record();
        int fds[100];
        unsigned n = 0;
        int r;

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        while ((r = lease_store_add(store, &record, &fds[n])) == 0)
                n++;
        ck_assert_int_eq(r, -EMFILE);
        ck_assert_uint_gt(n, 0);
        ck_assert_int_eq(count_files(), (int) n * 2);
        ck_assert_int_lt(dup(0), 100 - 60);
        while (n > 0)
                (void) close(fds[--n]);
}
END_TEST

/* The daemon and the holders at once, at any moment: they are one process here. */
START_TEST(a_crash_leaves_nothing_but_claims)
{
        for (unsigned i = 0; i < 40; i++) {
                char bytes[64], id[CLAIM_ID_MAX];
                int ends[2];
                pid_t child;

                ck_assert_int_eq(pipe(ends), 0);
                child = fork();
                if (child == 0) {
                        /* An event loop is not for a child. */
                        if (sd_event_new(&event) < 0)
                                _exit(1);
                        start();
                        for (;;) {
                                int fd = add(id);

                                if (write(ends[1], "x", 1) != 1)
                                        _exit(1);
                                if (i % 2 == 0) {
                                        (void) close(fd);
                                        settle();
                                        released.n = 0;
                                }
                        }
                }
                (void) close(ends[1]);
                for (unsigned n = 0; n < 1 + i % 7; n++)
                        ck_assert_int_eq(read(ends[0], bytes, 1), 1);
                ck_assert_int_eq(kill(child, SIGKILL), 0);
                ck_assert_int_eq(waitpid(child, NULL, 0), child);
                (void) close(ends[0]);
                restart();
                ck_assert_uint_eq(found.n, 0);
                ck_assert_int_eq(count_files(), 0);
                orphaned.n = 0;
        }
}
END_TEST

START_TEST(the_directory_must_be_ours)
{
        const LeaseHandler handler = {.released = on_released, .found = on_found};
        LeaseStore *other;
        struct stat st;

        stop();
        ck_assert_int_eq(chmod(directory, 0777), 0);
        start();
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777U, 0700);
        stop();
        if (geteuid() == 0) {
                ck_assert_int_eq(chown(directory, 65534, 65534), 0);
                ck_assert_int_eq(lease_store_new(event, directory, &handler, &other), -EPERM);
        }
        ck_assert_int_eq(rmdir(directory), 0);
        ck_assert_int_eq(symlink("/tmp", directory), 0);
        ck_assert_int_lt(lease_store_new(event, directory, &handler, &other), 0);
        ck_assert_int_eq(unlink(directory), 0);
}
END_TEST

#define HEAD                                                                                                \
        "{\"version\":1,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\","    \
        "\"since\":1,"
#define DEVICE(address)                                                                                     \
        "{\"address\":\"" address                                                                           \
        "\",\"vendor\":1,\"device\":2,\"subsystem_vendor\":3,\"subsystem_device\":4}"

START_TEST(a_record_can_be_read)
{
        const char *text = HEAD "\"devices\":[" DEVICE("0000:01:00.0") "," DEVICE("0000:01:00.1") "]}";
        ClaimRecord *record;

        ck_assert_int_eq(lease_record_parse(text, strlen(text), &record), 0);
        ck_assert_uint_eq(record->n_devices, 2);
        ck_assert_uint_eq(record->devices[1].address.function, 1);
        ck_assert_uint_eq(record->devices[1].subsystem_device, 4);
        lease_record_free(record);
}
END_TEST

static const char *const bad_records[] = {
        "",
        "{}",
        "[]",
        HEAD "\"devices\":[]}",
        HEAD "\"devices\":[" DEVICE("01:00.0") "]}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "," DEVICE("0000:01:00.0") "]}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "],\"more\":1}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "]} {}",
        HEAD "\"devices\":[{\"address\":\"0000:01:00.0\"}]}",
        HEAD "\"devices\":[null]}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "],\"uid\":2}",
        "{\"version\":2,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"aaaaaaaaaaa1\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"../"
        "aaaaaaaaa\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\",\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"other\",\"uid\":1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"lease\",\"uid\":-1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
};

START_TEST(a_bad_record_is_refused)
{
        ClaimRecord *record;

        ck_assert_int_eq(lease_record_parse(bad_records[_i], strlen(bad_records[_i]), &record), -EBADMSG);
}
END_TEST

START_TEST(the_largest_record_fits)
{
        static ClaimDevice devices[CLAIM_DEVICES_MAX];
        ClaimRecord record = some_record(), *back;
        _cleanup_free_ char *text = NULL;

        memset(record.who, '"', sizeof(record.who) - 1);
        memset(record.why, '\n', sizeof(record.why) - 1);
        record.devices = devices;
        record.n_devices = CLAIM_DEVICES_MAX;
        strcpy(record.id, "zzzzzzzzzz77");
        for (unsigned i = 0; i < CLAIM_DEVICES_MAX; i++)
                devices[i] = (ClaimDevice){.address = {.domain = UINT32_MAX - i, .bus = 255, .device = 31},
                                           UINT16_MAX,
                                           UINT16_MAX,
                                           UINT16_MAX,
                                           UINT16_MAX};
        ck_assert_int_eq(lease_record_format(&record, &text), 0);
        ck_assert_int_eq(lease_record_parse(text, strlen(text), &back), 0);
        ck_assert_uint_eq(back->n_devices, CLAIM_DEVICES_MAX);
        ck_assert_str_eq(back->who, record.who);
        ck_assert_uint_eq(strlen(back->why), sizeof(record.why) - 1);
        ck_assert_int_eq(back->why[0], '?');
        lease_record_free(back);
}
END_TEST

static Suite *lease_store_suite(void)
{
        Suite *suite = suite_create("lease-store");
        TCase *tcase = tcase_create("store");

        unit_add(suite, a_record_can_be_read);
        unit_add_table(suite, a_bad_record_is_refused, bad_records);
        unit_add(suite, the_largest_record_fits);

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, a_claim_ends_with_its_descriptor);
        tcase_add_test(tcase, copies_keep_it);
        tcase_add_test(tcase, a_message_keeps_it);
        tcase_add_test(tcase, it_survives_a_restart);
        tcase_add_test(tcase, inhibitors_are_kept_too);
        tcase_add_test(tcase, an_orphan_is_released_at_the_start);
        tcase_add_test(tcase, an_end_during_the_start_is_not_missed);
        tcase_add_test(tcase, what_holders_write_does_no_harm);
        tcase_add_test(tcase, only_its_own_end_is_recognised);
        tcase_add_test(tcase, a_removed_claim_tells_nobody);
        tcase_add_test(tcase, the_oldest_is_found_first);
        tcase_add_test(tcase, an_unwanted_claim_is_none);
        tcase_add_test(tcase, leftovers_are_cleared_away);
        tcase_add_test(tcase, a_damaged_record_stays_while_it_is_held);
        tcase_add_test(tcase, a_failure_leaves_nothing);
        tcase_add_test(tcase, descriptors_are_left_for_others);
        tcase_add_test(tcase, a_crash_leaves_nothing_but_claims);
        tcase_add_test(tcase, the_directory_must_be_ours);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(lease_store_suite());
}
