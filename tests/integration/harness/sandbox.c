/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The sandbox: new mount, process, network and IPC namespaces around one test.
 *
 * Everything that is private to the test is mounted over the place where the real thing is, so that neither
 * the daemon nor polkitd nor busctl has to be told: /run (with the bus socket, the journal's and pciresetd's
 * folders), polkit's actions and rules, /etc/passwd with alice and bob, and later /sys. In a network
 * namespace of one's own, udev's multicasts are real netlink messages that reach nobody else. The test is
 * the first process of its process namespace, so whatever it has started is killed with it, crash or not.
 */

#include "sandbox.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shared/cleanup.h"

char *textf(const char *format, ...)
{
        va_list arguments;
        char *text;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        ck_assert_int_ge(n, 0);
        return text;
}

void file_write(const char *path, const void *data, size_t size)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
        ck_assert_msg(write(fd, data, size) == (ssize_t) size, "%s: %s", path, strerror(errno));
}

void file_print(const char *path, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        ck_assert_int_ge(n, 0);
        file_write(path, text, (size_t) n);
}

char *file_read(const char *path, size_t *ret_size)
{
        FILE *file = fopen(path, "re");
        char *data = NULL;
        size_t size = 0;

        if (!file)
                return NULL;
        if (getdelim(&data, &size, EOF, file) < 0) {
                free(data);
                data = strdup("");
        }
        if (ret_size)
                *ret_size = (size_t) ftell(file);
        (void) fclose(file);
        return data;
}

void disk_make(const char *path, const char *size)
{
        _cleanup_free_ char *options = textf("size=%s,nr_inodes=64,mode=700", size);

        directory_make("%s", path);
        ck_assert_int_eq(mount("tmpfs", path, "tmpfs", 0, options), 0);
}

void disk_fill(const char *path, unsigned n_left)
{
        static const char page[4096];
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        off_t size = 0;

        ck_assert_int_ge(fd, 0);
        while (write(fd, page, sizeof(page)) > 0)
                size += (off_t) sizeof(page);
        ck_assert_int_eq(errno, ENOSPC);
        ck_assert_int_eq(ftruncate(fd, size - (off_t) (n_left * sizeof(page))), 0);
}

int file_sealed(const char *text)
{
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
        return fd;
}

void directory_make(const char *format, ...)
{
        _cleanup_free_ char *path = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&path, format, arguments);
        va_end(arguments);
        ck_assert_int_ge(n, 0);
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void) mkdir(path, 0755);
                *slash = '/';
        }
        ck_assert_msg(mkdir(path, 0755) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void) st, (void) type, (void) ftw;
        return remove(path);
}

void directory_remove(const char *path)
{
        ck_assert_msg(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, "%s: %s", path,
                      strerror(errno));
}

void policy_put(const char *text)
{
        directory_make("%s", POLICY_ADMIN_DIR);
        file_write(POLICY_ADMIN_FILE, text, strlen(text));
}

const char *tested_path(const char *variable)
{
        static const struct {
                const char *variable, *built;
        } paths[] = {
                {"PCIRESETD", TOP_BUILDDIR "/pciresetd"},
                {"PCIRESET_WORKER", TOP_BUILDDIR "/pcireset-worker"},
                {"PCIRESETD_KERNEL_MODEL", TOP_BUILDDIR "/tests/integration/kernel-model.so"},
                {"PCIRESETD_SOURCE", TOP_SRCDIR},
        };
        const char *value = getenv(variable);

        for (size_t i = 0; i < ELEMENTSOF(paths) && !value; i++)
                if (strcmp(paths[i].variable, variable) == 0)
                        value = paths[i].built;
        ck_assert_msg(value && access(value, F_OK) == 0, "There is no %s: build it first, or set %s.",
                      value ? value : variable, variable);
        return value;
}

static void mount_or_fail(const char *what, const char *where, const char *type, unsigned long flags)
{
        ck_assert_msg(mount(what, where, type, flags, NULL) == 0, "Cannot mount %s: %s", where,
                      strerror(errno));
}

/* tmpfs over a folder of the system. What does not exist there is not used by this system's polkit either.
 */
static void cover(const char *path)
{
        if (access(path, F_OK) == 0)
                mount_or_fail("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV);
}

/*
 * The same for a folder that tests write to, which therefore has to be there: all that is left behind is an
 * empty folder. It is not removed, because other tests may have their own mount on it just now.
 */
static void cover_own(const char *path)
{
        directory_make("%s", path);
        mount_or_fail("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV);
}

/* Puts lines in front of a file of the system: first, since a real user of the same number may exist. */
static void prepend(const char *file, const char *lines)
{
        _cleanup_free_ char *path = textf("/run/etc%s", strrchr(file, '/')), *text = file_read(file, NULL);

        ck_assert_ptr_nonnull(text);
        file_print(path, "%s%s", lines, text);
        mount_or_fail(path, file, NULL, MS_BIND);
}

static void add_users(void)
{
        char *passwd, *group;
        size_t passwd_size, group_size;
        FILE *users = open_memstream(&passwd, &passwd_size), *groups = open_memstream(&group, &group_size);

        (void) fprintf(users, "alice:x:%u:%u:Alice:/nonexistent:/bin/sh\n", UID_ALICE, UID_ALICE);
        (void) fprintf(users, "bob:x:%u:%u:Bob:/nonexistent:/bin/sh\n", UID_BOB, UID_BOB);
        (void) fprintf(groups, "alice:x:%u:\nbob:x:%u:\n", UID_ALICE, UID_BOB);
        for (unsigned uid = UID_CROWD; uid < UID_CROWD + CROWD_SIZE; uid++) {
                (void) fprintf(users, "crowd%u:x:%u:%u::/nonexistent:/bin/sh\n", uid, uid, uid);
                (void) fprintf(groups, "crowd%u:x:%u:\n", uid, uid);
        }
        ck_assert_int_eq(fclose(users) | fclose(groups), 0);
        prepend("/etc/passwd", passwd);
        prepend("/etc/group", group);
        free(passwd);
        free(group);
}

/* Nobody's stored settings are changed, or found. */
static void furnish_state(void)
{
        mount_or_fail("tmpfs", "/var/lib", "tmpfs", MS_NOSUID | MS_NODEV);
        directory_make("/var/lib/pciresetd");
        ck_assert_int_eq(chmod("/var/lib/pciresetd", 0700), 0);
}

static void furnish(void)
{
        static const char *const folders[] = {"/run/etc",
                                              "/run/dbus",
                                              "/run/log",
                                              "/run/tmp",
                                              "/run/udev",
                                              "/run/udev/data",
                                              "/run/systemd/journal",
                                              "/run/pciresetd"};

        mount_or_fail("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
        mount_or_fail("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV);
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                directory_make("%s", folders[i]);
        ck_assert_int_eq(chmod("/run/tmp", 01777), 0);
        /* libudev listens to udevd's group only if udevd is there. */
        file_write("/run/udev/control", "", 0);

        cover("/usr/share/polkit-1/actions");
        cover("/usr/share/polkit-1/rules.d");
        cover("/usr/local/share/polkit-1/rules.d");
        cover("/etc/polkit-1/rules.d");
        cover_own(POLICY_VENDOR_DIR);
        cover_own(POLICY_ADMIN_DIR);
        furnish_state();
        add_users();
}

/* As diagnostics of the Test Anything Protocol. */
static void show_log(const char *path)
{
        _cleanup_free_ char *text = file_read(path, NULL);
        char *saved = NULL;

        if (!text || !*text)
                return;
        (void) fprintf(stderr, "# --- %s\n", strrchr(path, '/') + 1);
        for (char *line = strtok_r(text, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved))
                (void) fprintf(stderr, "# %s\n", line);
}

static void show_logs(void)
{
        DIR *directory = opendir(SANDBOX_LOG_DIR);

        if (directory) {
                for (struct dirent *entry; (entry = readdir(directory));) {
                        _cleanup_free_ char *path = NULL;

                        if (entry->d_name[0] != '.' &&
                            asprintf(&path, SANDBOX_LOG_DIR "/%s", entry->d_name) > 0)
                                show_log(path);
                }
                (void) closedir(directory);
        }
        show_log("/run/kernel-model/log");
}

static void __attribute__((noreturn)) wait_outside(pid_t inside)
{
        int status;

        while (waitpid(inside, &status, 0) < 0)
                if (errno != EINTR)
                        _exit(EXIT_FAILURE);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
                show_logs();
        if (WIFSIGNALED(status)) {
                (void) signal(WTERMSIG(status), SIG_DFL);
                (void) raise(WTERMSIG(status));
        }
        /* Not exit(): what is registered with atexit() belongs to the test. */
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

void sandbox_enter(void)
{
        pid_t inside, outside = getpid();

        ck_assert_msg(geteuid() == 0, "The integration tests need root: they make namespaces and mount.");
        ck_assert_msg(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) == 0,
                      "Cannot make namespaces: %s. The integration tests need all of root's capabilities.",
                      strerror(errno));
        ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);

        inside = fork();
        ck_assert_int_ge(inside, 0);
        if (inside > 0)
                wait_outside(inside);
        ck_assert_int_eq(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        /* The parent may have died before that; its number is not visible here, 0 stands for outside. */
        if (getppid() != 0 || kill(outside, 0) < -1)
                _exit(EXIT_FAILURE);
        furnish();
}
