/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A question to a long history: GetHistory with a filter, against the same question to the sqlite3 shell,
 * which has to be started for it, as somebody has to who has no daemon. Both are asked for all columns of as
 * many rows, and their answers are counted.
 */

#include "bench-history.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define FILE_NAME "/var/lib/pciresetd/history.db"
#define ROWS      100000
#define ROUNDS    100
#define ANSWERED  100 /* what GetHistory gives without a limit */

extern char **environ;

/* All rows are the one of the real reset but for what filters look at: fifty kinds of devices, three
 * methods, and one in eight went badly. */
#define COLUMNS                                                                                             \
        "boot_id, job, address, vendor, subsystem_vendor, subsystem_device, revision, class, "              \
        "driver_before, driver_after, kernel, firmware, port, set_size, outcome, error, why, written, "     \
        "checks, checks_left_out, duration_usec, uid, rule, policy, source, origin"

static const char fill[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) "
                           "INSERT INTO attempt(time_usec, device, method, verdict, " COLUMNS ") "
                           "SELECT time_usec - i * 1000000, 4096 + i % 50, "
                           "CASE i % 3 WHEN 0 THEN 'flr' WHEN 1 THEN 'pm' ELSE 'bus' END, "
                           "CASE i % 8 WHEN 0 THEN 'dead' ELSE 'ok' END, " COLUMNS
                           " FROM n, (SELECT * FROM attempt LIMIT 1)";

static const char question[] =
        "SELECT * FROM attempt WHERE vendor = 32902 AND device = 4103 AND "
        "method = 'flr' AND verdict = 'ok' ORDER BY time_usec DESC, id DESC LIMIT 100";

/* Runs the shell, and returns how many lines it has written. */
static size_t run_shell(const char *sql)
{
        const char *const argv[] = {"sqlite3", FILE_NAME, sql, NULL};
        posix_spawn_file_actions_t actions;
        char buffer[65536];
        size_t lines = 0;
        int fds[2], status;
        ssize_t n;
        pid_t pid;

        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
        ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO), 0);
        ck_assert_int_eq(
                posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *) (uintptr_t) argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        (void) close(fds[1]);
        while ((n = read(fds[0], buffer, sizeof(buffer))) > 0)
                for (const char *at = buffer; (at = memchr(at, '\n', (size_t) (buffer + n - at))); at++)
                        lines++;
        (void) close(fds[0]);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(status == 0, "sqlite3 has ended with status %d", status);
        return lines;
}

/* Only what a client cannot avoid: the answer is there. */
static sd_bus_message *ask(Client *client)
{
        Call *asked = call_start(client, MANAGER_PATH, MANAGER_INTERFACE, "GetHistory", "a{sv}", 4,
                                 "vendor_id", "q", 32902, "device_id", "q", 4103, "method", "s", "flr",
                                 "verdict", "s", "ok");

        wait_until(call_done(asked));
        return call_take(asked);
}

static size_t count_rows(sd_bus_message *answer)
{
        size_t n = 0;

        ck_assert(sd_bus_message_is_method_error(answer, NULL) == 0);
        ck_assert_int_gt(sd_bus_message_enter_container(answer, 'a', "a{sv}"), 0);
        while (sd_bus_message_at_end(answer, false) == 0) {
                ck_assert_int_ge(sd_bus_message_skip(answer, "a{sv}"), 0);
                n++;
        }
        return n;
}

static void print_series(FILE *file, const char *name, const uint64_t values[static ROUNDS])
{
        fprintf(file, ",\"%s\":[", name);
        for (unsigned i = 0; i < ROUNDS; i++)
                fprintf(file, "%s%lu", i ? "," : "", (unsigned long) values[i]);
        fputs("]", file);
}

char *history_measure(void)
{
        _cleanup_client_ Client *client = client_new(0);
        uint64_t history[ROUNDS], shell[ROUNDS];
        char *output;
        size_t size;
        FILE *file;

        (void) run_shell(fill);
        for (unsigned i = 0; i < ROUNDS; i++) {
                uint64_t started = now_usec();
                sd_bus_message *answer = ask(client);

                history[i] = now_usec() - started;
                ck_assert_uint_eq(count_rows(answer), ANSWERED);
                sd_bus_message_unref(answer);

                started = now_usec();
                ck_assert_uint_eq(run_shell(question), ANSWERED);
                shell[i] = now_usec() - started;
        }

        file = open_memstream(&output, &size);
        ck_assert_ptr_nonnull(file);
        fprintf(file, "{\"rows\":%d,\"answered\":%d", ROWS, ANSWERED);
        print_series(file, "history", history);
        print_series(file, "shell", shell);
        fputs("}\n", file);
        ck_assert_int_eq(fclose(file), 0);
        return output;
}
