/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "fault-vfs.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* SQLite's own file lies behind ours. */
typedef struct File {
        sqlite3_file base;
        sqlite3_file *real;
        const char *path;
} File;

FaultVfs fault_vfs;
static sqlite3_vfs *real_vfs, our_vfs;

#define REAL(file) (((File *) (file))->real)

static int on_close(sqlite3_file *file)
{
        return REAL(file)->pMethods->xClose(REAL(file));
}

static int on_read(sqlite3_file *file, void *buffer, int n, sqlite3_int64 at)
{
        int rc = REAL(file)->pMethods->xRead(REAL(file), buffer, n, at);

        if (atomic_load(&fault_vfs.garble_reads) <= 0)
                return rc;
        atomic_fetch_sub(&fault_vfs.garble_reads, 1);
        for (int i = 0; i < n; i++)
                ((unsigned char *) buffer)[i] ^= (unsigned char) (0xa5 + i);
        return rc;
}

static int on_write(sqlite3_file *file, const void *buffer, int n, sqlite3_int64 at)
{
        int rc = atomic_load(&fault_vfs.write_error);

        return rc != 0 ? rc : REAL(file)->pMethods->xWrite(REAL(file), buffer, n, at);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
        return REAL(file)->pMethods->xTruncate(REAL(file), size);
}

static void copy(const char *path, const char *directory)
{
        char to[512];
        struct stat st;
        int in, out;

        (void) snprintf(to, sizeof(to), "%s%s", directory, strrchr(path, '/'));
        in = open(path, O_RDONLY | O_CLOEXEC);
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        /* A failure is seen by whoever looks for the copy. */
        if (in >= 0 && out >= 0 && fstat(in, &st) == 0)
                (void) !sendfile(out, in, NULL, (size_t) st.st_size);
        (void) close(in);
        (void) close(out);
}

static int on_sync(sqlite3_file *file, int flags)
{
        const char *durable = atomic_load(&fault_vfs.durable);
        int rc = atomic_load(&fault_vfs.sync_error);

        atomic_fetch_add(&fault_vfs.n_syncs, 1);
        if (atomic_load(&fault_vfs.blocked)) {
                atomic_fetch_add(&fault_vfs.n_blocked, 1);
                while (atomic_load(&fault_vfs.blocked))
                        (void) usleep(1000);
                atomic_fetch_sub(&fault_vfs.n_blocked, 1);
        }
        if (rc == 0)
                rc = REAL(file)->pMethods->xSync(REAL(file), flags);
        if (rc == 0 && durable)
                copy(((File *) file)->path, durable);
        return rc;
}

static int on_size(sqlite3_file *file, sqlite3_int64 *size)
{
        return REAL(file)->pMethods->xFileSize(REAL(file), size);
}

static int on_lock(sqlite3_file *file, int lock)
{
        return REAL(file)->pMethods->xLock(REAL(file), lock);
}

static int on_unlock(sqlite3_file *file, int lock)
{
        return REAL(file)->pMethods->xUnlock(REAL(file), lock);
}

static int on_check_lock(sqlite3_file *file, int *ret)
{
        return REAL(file)->pMethods->xCheckReservedLock(REAL(file), ret);
}

static int on_control(sqlite3_file *file, int op, void *argument)
{
        return REAL(file)->pMethods->xFileControl(REAL(file), op, argument);
}

static int on_sector_size(sqlite3_file *file)
{
        return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int on_characteristics(sqlite3_file *file)
{
        return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int on_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
        return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, ret);
}

static int on_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
        return REAL(file)->pMethods->xShmLock(REAL(file), offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
        REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int on_shm_unmap(sqlite3_file *file, int remove)
{
        return REAL(file)->pMethods->xShmUnmap(REAL(file), remove);
}

static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = on_close,
        .xRead = on_read,
        .xWrite = on_write,
        .xTruncate = on_truncate,
        .xSync = on_sync,
        .xFileSize = on_size,
        .xLock = on_lock,
        .xUnlock = on_unlock,
        .xCheckReservedLock = on_check_lock,
        .xFileControl = on_control,
        .xSectorSize = on_sector_size,
        .xDeviceCharacteristics = on_characteristics,
        .xShmMap = on_shm_map,
        .xShmLock = on_shm_lock,
        .xShmBarrier = on_shm_barrier,
        .xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
        File *ours = (File *) file;
        int rc;

        *ours = (File){.real = (sqlite3_file *) (ours + 1), .path = path};
        rc = real_vfs->xOpen(real_vfs, path, ours->real, flags, ret_flags);
        if (ours->real->pMethods)
                ours->base.pMethods = &methods;
        return rc;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
        const char *durable = atomic_load(&fault_vfs.durable);
        char copied[512];

        if (durable && sync) {
                (void) snprintf(copied, sizeof(copied), "%s%s", durable, strrchr(path, '/'));
                (void) unlink(copied);
        }
        return real_vfs->xDelete(real_vfs, path, sync);
}

void fault_vfs_install(void)
{
        if (our_vfs.zName)
                return;
        real_vfs = sqlite3_vfs_find(NULL);
        ck_assert_ptr_nonnull(real_vfs);
        our_vfs = *real_vfs;
        our_vfs.pNext = NULL;
        our_vfs.zName = "fault";
        our_vfs.szOsFile = (int) sizeof(File) + real_vfs->szOsFile;
        our_vfs.xOpen = on_open;
        our_vfs.xDelete = on_delete;
        ck_assert_int_eq(sqlite3_vfs_register(&our_vfs, 1), SQLITE_OK);
}

void fault_vfs_await_blocked(void)
{
        while (atomic_load(&fault_vfs.n_blocked) == 0)
                (void) usleep(1000);
}
