/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A FIFO tells two things. read() of an end that was just opened is 0 if nobody has it open for writing;
 * data or EAGAIN, if somebody has. And poll() reports a hang-up once there were writers and the last one has
 * gone (pipe_poll), at once if that was between the two. So there is no moment at which an end could be
 * missed.
 *
 * Order on disk, so that a crash leaves either a claim or rubbish that is known as such:
 *   making     the FIFO, the record under another name, its rename; then somebody is told
 *   removing   the record, the FIFO
 * The directory is nobody else's, so no other process can open a FIFO by its name, for /proc/self/fd
 * neither.
 */

#include "daemon/system/lease-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <utlist.h>

#include "daemon/system/descriptors.h"
#include "daemon/system/journal.h"
#include "daemon/system/lease-record.h"
#include "shared/cleanup.h"

#define FILE_NAME_MAX 32U

typedef struct Entry Entry;

/* A FIFO that somebody has open. */
struct Entry {
        LeaseStore *store;
        char id[CLAIM_ID_MAX];
        bool valid; /* a claim; else its record is damaged, or was not wanted */
        ClaimRecord *record; /* only while loading */
        dev_t dev;
        ino_t ino;
        sd_event_source *io; /* owns the read end */
        Entry *prev, *next;
};

struct LeaseStore {
        sd_event *event;
        int dirfd;
        LeaseHandler handler;
        Entry *entries;
};

DEFINE_CLEANUP(LeaseStore *, lease_store_free);
DEFINE_CLEANUP(ClaimRecord *, lease_record_free);

static const char *file_name(const char *id, const char *suffix, char name[static FILE_NAME_MAX])
{
        (void) snprintf(name, FILE_NAME_MAX, "%s%s", id, suffix);
        return name;
}

static void remove_file(LeaseStore *store, const char *id, const char *suffix)
{
        char name[FILE_NAME_MAX];

        if (unlinkat(store->dirfd, file_name(id, suffix, name), 0) < 0 && errno != ENOENT)
                journal_claim_unusable(name, -errno);
}

static void remove_files(LeaseStore *store, const char *id)
{
        remove_file(store, id, ".json");
        remove_file(store, id, ".fifo");
}

static Entry *entry_free(Entry *entry)
{
        if (!entry)
                return NULL;
        DL_DELETE(entry->store->entries, entry);
        sd_event_source_disable_unref(entry->io);
        lease_record_free(entry->record);
        free(entry);
        return NULL;
}

static Entry *find_entry(const LeaseStore *store, const char *id)
{
        Entry *entry;

        DL_FOREACH (store->entries, entry)
                if (strcmp(entry->id, id) == 0)
                        return entry;
        return NULL;
}

static int on_hang_up(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Entry *entry = userdata;
        LeaseStore *store = entry->store;
        bool was_valid = entry->valid;
        char id[CLAIM_ID_MAX];

        memcpy(id, entry->id, sizeof(id));
        remove_files(store, id);
        entry_free(entry);
        if (was_valid)
                store->handler.released(store->handler.userdata, id);
        return 0;
}

/* Opens the read end. It does not wait for a writer. */
static int open_fifo(LeaseStore *store, const char *id, struct stat *ret_st)
{
        _cleanup_close_ int fd = -EBADF;
        char name[FILE_NAME_MAX];

        fd = openat(store->dirfd, file_name(id, ".fifo", name),
                    O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, ret_st) < 0)
                return -errno;
        return S_ISFIFO(ret_st->st_mode) ? steal_fd(fd) : -EBADMSG;
}

/* Watches a FIFO; takes the descriptor. */
static int entry_new(LeaseStore *store, const char *id, int *fd, const struct stat *st, Entry **ret)
{
        Entry *entry = calloc(1, sizeof(Entry));
        int r;

        if (!entry)
                return -ENOMEM;
        /* A hang-up is reported whatever one asks for, and data are of no interest. */
        r = sd_event_add_io(store->event, &entry->io, *fd, 0, on_hang_up, entry);
        if (r < 0) {
                free(entry);
                return r;
        }
        (void) sd_event_source_set_io_fd_own(entry->io, true);
        (void) steal_fd(*fd);
        entry->store = store;
        memcpy(entry->id, id, strlen(id) + 1);
        entry->dev = st->st_dev;
        entry->ino = st->st_ino;
        DL_APPEND(store->entries, entry);
        *ret = entry;
        return 0;
}

/* Making */

static int draw_id(char id[static CLAIM_ID_MAX])
{
        uint8_t random[LEASE_ID_LENGTH];

        /* An id is no secret, and nothing here may wait for entropy. */
        if (getrandom(random, sizeof(random), GRND_INSECURE) != (ssize_t) sizeof(random))
                return -EIO;
        for (size_t i = 0; i < LEASE_ID_LENGTH; i++)
                id[i] = "abcdefghijklmnopqrstuvwxyz234567"[random[i] & 31U];
        id[LEASE_ID_LENGTH] = '\0';
        return 0;
}

static int make_fifo(LeaseStore *store, char id[static CLAIM_ID_MAX])
{
        for (;;) {
                char name[FILE_NAME_MAX];
                int r = draw_id(id);

                if (r < 0)
                        return r;
                if (mkfifoat(store->dirfd, file_name(id, ".fifo", name), 0600) >= 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
}

static int write_record(LeaseStore *store, const ClaimRecord *record)
{
        char new_name[FILE_NAME_MAX], name[FILE_NAME_MAX];
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        ssize_t n;
        int r;

        r = lease_record_format(record, &text);
        if (r < 0)
                return r;
        fd = openat(store->dirfd, file_name(record->id, ".new", new_name),
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        n = write(fd, text, strlen(text));
        if (n < 0)
                return -errno;
        if ((size_t) n != strlen(text))
                return -ENOSPC;
        if (renameat(store->dirfd, new_name, store->dirfd, file_name(record->id, ".json", name)) < 0)
                return -errno;
        return 0;
}

/* Both ends of a new FIFO: the entry has the one, the caller the other. */
static int open_both(LeaseStore *store, const char *id, Entry **ret_entry, int *ret_fd)
{
        _cleanup_close_ int fd = -EBADF, client = -EBADF;
        char name[FILE_NAME_MAX];
        struct stat st;
        int r;

        fd = open_fifo(store, id, &st);
        if (fd < 0)
                return fd;
        client = openat(store->dirfd, file_name(id, ".fifo", name),
                        O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (client < 0)
                return -errno;
        if (!descriptor_leaves_room(client))
                return -EMFILE;
        /* Holders can fill it. One page of it is enough to be wasted. */
        (void) fcntl(fd, F_SETPIPE_SZ, 1);
        r = entry_new(store, id, &fd, &st, ret_entry);
        if (r < 0)
                return r;
        *ret_fd = steal_fd(client);
        return 0;
}

int lease_store_add(LeaseStore *store, ClaimRecord *record, int *ret_fd)
{
        _cleanup_close_ int client = -EBADF;
        Entry *entry = NULL;
        int r;

        r = make_fifo(store, record->id);
        if (r < 0)
                return r;
        r = open_both(store, record->id, &entry, &client);
        if (r >= 0)
                r = write_record(store, record);
        if (r < 0) {
                entry_free(entry);
                remove_file(store, record->id, ".new");
                remove_files(store, record->id);
                return r;
        }
        entry->valid = true;
        *ret_fd = steal_fd(client);
        return 0;
}

void lease_store_remove(LeaseStore *store, const char *id)
{
        Entry *entry = find_entry(store, id);

        if (!entry)
                return;
        /* The id may be the entry's own. */
        remove_files(store, entry->id);
        entry_free(entry);
}

const char *lease_store_identify(const LeaseStore *store, int fd)
{
        int flags = fcntl(fd, F_GETFL);
        struct statx st;
        Entry *entry;

        /* Neither does the read end keep it alive, nor a descriptor that only names it: with O_PATH no other
         * mode is kept. */
        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
                return NULL;
        if (descriptor_look(fd, &st) < 0 || !S_ISFIFO(st.stx_mode))
                return NULL;
        DL_FOREACH (store->entries, entry)
                if (entry->valid && entry->dev == makedev(st.stx_dev_major, st.stx_dev_minor) &&
                    entry->ino == st.stx_ino)
                        return entry->id;
        return NULL;
}

/* Loading */

static int read_record(LeaseStore *store, const char *id, ClaimRecord **ret)
{
        _cleanup_(cleanup_lease_record_free) ClaimRecord *record = NULL;
        _cleanup_free_ char *text = malloc(LEASE_RECORD_MAX + 1);
        _cleanup_close_ int fd = -EBADF;
        char name[FILE_NAME_MAX];
        ssize_t n;
        int r;

        if (!text)
                return -ENOMEM;
        /* Not to wait, should it be a FIFO. */
        fd = openat(store->dirfd, file_name(id, ".json", name),
                    O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        n = read(fd, text, LEASE_RECORD_MAX + 1);
        if (n < 0)
                return -errno;
        r = lease_record_parse(text, (size_t) n, &record);
        if (r < 0)
                return r;
        if (strcmp(record->id, id) != 0)
                return -EBADMSG;
        *ret = steal_pointer(record);
        return 0;
}

/* 1: somebody has it open for writing. */
static bool is_held(int fd)
{
        char byte;

        return read(fd, &byte, 1) != 0;
}

/* Nobody has the descriptor any more. */
static void drop_orphan(LeaseStore *store, const char *id, const ClaimRecord *record)
{
        remove_files(store, id);
        if (!record)
                return;
        journal_claim_orphaned(record);
        if (store->handler.orphaned)
                store->handler.orphaned(store->handler.userdata, record);
}

/* What was stored under this id: an entry if somebody has it, else nothing is left of it. */
static int take_up(LeaseStore *store, const char *id)
{
        _cleanup_(cleanup_lease_record_free) ClaimRecord *record = NULL;
        _cleanup_close_ int fd = -EBADF;
        char name[FILE_NAME_MAX];
        struct stat st;
        Entry *entry;
        int r;

        r = read_record(store, id, &record);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                journal_claim_unusable(file_name(id, ".json", name), r);
        fd = open_fifo(store, id, &st);
        if (fd < 0) {
                journal_claim_unusable(file_name(id, ".fifo", name), fd);
                if (fd == -ENOENT)
                        remove_file(store, id, ".json");
                return 0;
        }
        if (!is_held(fd)) {
                drop_orphan(store, id, record);
                return 0;
        }
        r = entry_new(store, id, &fd, &st, &entry);
        if (r < 0)
                return r;
        entry->record = steal_pointer(record);
        return 0;
}

/* Whether the name is <id><suffix>. */
static bool split_name(const char *name, const char *suffix, char id[static CLAIM_ID_MAX])
{
        if (strlen(name) <= LEASE_ID_LENGTH || strcmp(name + LEASE_ID_LENGTH, suffix) != 0)
                return false;
        memcpy(id, name, LEASE_ID_LENGTH);
        id[LEASE_ID_LENGTH] = '\0';
        return lease_id_is_valid(id);
}

static int take_up_name(LeaseStore *store, const char *name)
{
        char id[CLAIM_ID_MAX], json[FILE_NAME_MAX];

        if (split_name(name, ".json", id))
                return take_up(store, id);
        if (split_name(name, ".new", id))
                remove_file(store, id, ".new");
        else if (split_name(name, ".fifo", id)) {
                /* Nobody was ever told of it. */
                if (faccessat(store->dirfd, file_name(id, ".json", json), F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
                    errno == ENOENT)
                        remove_file(store, id, ".fifo");
        } else if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
                journal_claim_unusable(name, -EBADMSG);
        return 0;
}

static int older_first(const Entry *a, const Entry *b)
{
        uint64_t x = a->record ? a->record->since : 0, y = b->record ? b->record->since : 0;

        return x < y ? -1 : x > y;
}

static void announce(LeaseStore *store, Entry *entry)
{
        _cleanup_(cleanup_lease_record_free) ClaimRecord *record = steal_pointer(entry->record);
        int r;

        if (!record)
                return;
        /* Before it is asked: it may remove the claim. */
        entry->valid = true;
        r = store->handler.found(store->handler.userdata, record);
        entry = find_entry(store, record->id);
        if (r < 0 && entry) {
                entry->valid = false;
                journal_claim_unusable(record->id, r);
        }
}

int lease_store_load(LeaseStore *store)
{
        struct dirent **names;
        Entry *entry, *next;
        int n, r = 0;

        n = scandirat(store->dirfd, ".", &names, NULL, alphasort);
        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = take_up_name(store, names[i]->d_name);
                free(names[i]);
        }
        free(names);
        if (r < 0)
                return r;
        DL_SORT(store->entries, older_first);
        DL_FOREACH_SAFE (store->entries, entry, next)
                announce(store, entry);
        return 0;
}

static int open_directory(const char *directory)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid())
                return -EPERM;
        if (fchmod(fd, 0700) < 0)
                return -errno;
        return steal_fd(fd);
}

int lease_store_new(sd_event *event, const char *directory, const LeaseHandler *handler, LeaseStore **ret)
{
        _cleanup_(cleanup_lease_store_free) LeaseStore *store = calloc(1, sizeof(LeaseStore));

        if (!store)
                return -ENOMEM;
        store->event = sd_event_ref(event);
        store->handler = *handler;
        store->dirfd = open_directory(directory);
        if (store->dirfd < 0)
                return store->dirfd;
        *ret = steal_pointer(store);
        return 0;
}

LeaseStore *lease_store_free(LeaseStore *store)
{
        Entry *entry, *next;

        if (!store)
                return NULL;
        DL_FOREACH_SAFE (store->entries, entry, next)
                entry_free(entry);
        if (store->dirfd >= 0)
                (void) close(store->dirfd);
        sd_event_unref(store->event);
        free(store);
        return NULL;
}
