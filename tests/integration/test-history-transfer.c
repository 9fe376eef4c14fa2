/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What was learned goes from machine to machine: exported by anybody, imported by whoever may set the
 * policy, all of a file or nothing, and marked for good.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness/fixture.h"

#define HISTORY_DIR "/var/lib/pciresetd"
#define SIGNED      "Ann Admin <ann@example.org>"
#define HEAD        "{\"format\":\"pciresetd-history\",\"version\":2,\"signed_off_by\":\"" SIGNED "\"}\n"

/* The text of an export, and how many rows it says to hold. */
static char *export_text(Client *client, uint64_t *ret_rows)
{
        Call *asked = call_start(client, MANAGER_PATH, MANAGER_INTERFACE, "ExportHistory", "sa{sv}", SIGNED,
                                 0);
        sd_bus_message *answer;
        char *text = calloc(1, 1U << 20);
        ssize_t n;
        int fd;

        wait_until(call_done(asked));
        answer = call_take(asked);
        ck_assert_msg(!sd_bus_message_is_method_error(answer, NULL), "%s",
                      sd_bus_message_get_error(answer) ? sd_bus_message_get_error(answer)->message : "");
        ck_assert_int_gt(sd_bus_message_read(answer, "ht", &fd, ret_rows), 0);
        /* Nobody can change what was signed. */
        ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
        n = pread(fd, text, (1U << 20) - 1, 0);
        ck_assert_int_gt(n, 0);
        sd_bus_message_unref(answer);
        return text;
}

static Reply *import_fd(Client *client, int fd)
{
        return manager_call(client, "ImportHistory", "ha{sv}", fd, 0);
}

static Reply *import_text(Client *client, const char *text)
{
        _cleanup_close_ int fd = file_sealed(text);

        return import_fd(client, fd);
}

static size_t count_rows(void)
{
        _cleanup_reply_ Reply *rows = manager_call(observer, "GetHistory", "a{sv}", 0);

        return reply_length(rows, "0");
}

/* As another machine, which knows nothing yet. */
static void forget_everything(void)
{
        daemon_stop();
        directory_remove(HISTORY_DIR);
        daemon_start();
}

/* Two resets, and the quarantine that came of one of them. */
static char *make_some_history(void)
{
        char *text;
        uint64_t n;

        fixture_devices();
        fixture_start();
        model_dies(CARD2, "pm");
        reply_free(reset(alice, CARD, "flr", NULL));
        reply_free(reset(alice, CARD2, "pm", NULL));
        text = export_text(bob, &n);
        ck_assert_uint_eq(n, 3);
        return text;
}

START_TEST(there_and_back)
{
        _cleanup_free_ char *text = make_some_history();
        _cleanup_reply_ Reply *first = NULL, *second = NULL, *rows = NULL, *facts = NULL, *own = NULL;

        ck_assert_int_eq(strncmp(text, HEAD, strlen(HEAD)), 0);
        ck_assert_ptr_null(strstr(text, "\"uid\""));
        /* What happened here is known already. */
        own = import_text(alice, text);
        expect_success(own);
        ck_assert_int_eq(reply_number(own, "0.known"), 3);
        ck_assert_int_eq(reply_number(own, "0.added"), 0);

        forget_everything();
        first = import_text(alice, text);
        expect_success(first);
        ck_assert_int_eq(reply_number(first, "0.added"), 3);
        ck_assert_str_eq(reply_string(first, "0.origin"), SIGNED);
        second = import_text(alice, text);
        expect_success(second);
        ck_assert_int_eq(reply_number(second, "0.added"), 0);
        ck_assert_int_eq(reply_number(second, "0.known"), 3);

        rows = manager_call(bob, "GetHistory", "a{sv}", 1, "source", "s", "imported");
        ck_assert_uint_eq(reply_length(rows, "0"), 3);
        ck_assert_str_eq(reply_string(rows, "0.0.origin"), SIGNED);
        ck_assert_str_eq(reply_string(rows, "0.0.source"), "imported");
        /* It counts from now on. */
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.ok"), 1);
        ck_assert_int_eq(reply_number(facts, "0.1.1.proven.dead"), 1);
}
END_TEST

START_TEST(not_everybody_may_import)
{
        _cleanup_free_ char *text = make_some_history();
        _cleanup_reply_ Reply *reply = NULL;

        forget_everything();
        reply = import_text(bob, text);
        expect_error(reply, ERROR_ACCESS_DENIED, "set-policy");
        ck_assert_uint_eq(count_rows(), 0);
}
END_TEST

/* Whoever keeps such a file could let the daemon wait, or change it meanwhile. */
START_TEST(only_sealed_memfds)
{
        int fds[2], memfd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_reply_ Reply *pipe_reply = NULL, *file = NULL, *unsealed = NULL;

        fixture_devices();
        fixture_start();
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
        pipe_reply = import_fd(alice, fds[0]);
        expect_error(pipe_reply, ERROR_INVALID_ARGS, "memfd");
        unsealed = import_fd(alice, memfd);
        expect_error(unsealed, ERROR_INVALID_ARGS, "memfd");
        file_print("/run/tmp/history", HEAD);
        (void) close(fds[0]);
        fds[0] = open("/run/tmp/history", O_RDONLY | O_CLOEXEC);
        file = import_fd(alice, fds[0]);
        expect_error(file, ERROR_INVALID_ARGS, "memfd");
        (void) close(fds[0]);
        (void) close(fds[1]);
        (void) close(memfd);
}
END_TEST

static const struct {
        const char *from, *to; /* the last row is changed by this */
        const char *part;
} bad_texts[] = {
        {"\"method\":\"pm\"", "\"method\":\"P M\"", "Line 3"},
        {"\"verdict\":\"dead\"", "\"verdict\":\"fine\"", "verdict"},
        {"\"method\":\"pm\"", "\"method\":\"pm\",\"uid\":0", "Line 3"},
        {"\"version\":2", "\"version\":3", "Line 1"},
};

START_TEST(a_bad_line_leaves_nothing_behind)
{
        _cleanup_free_ char *text = make_some_history(), *changed = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        char *at = strstr(text, bad_texts[_i].from);

        ck_assert_ptr_nonnull(at);
        changed = textf("%.*s%s%s", (int) (at - text), text, bad_texts[_i].to,
                        at + strlen(bad_texts[_i].from));
        forget_everything();
        reply = import_text(alice, changed);
        expect_error(reply, ERROR_INVALID_ARGS, bad_texts[_i].part);
        ck_assert_uint_eq(count_rows(), 0);
}
END_TEST

START_TEST(signing_off)
{
        static const char *const bad[] = {
                "", "two\nlines",
                "0123456789012345678901234567890123456789012345678901234567890123456789"
                "0123456789012345678901234567890123456789012345678901234567"};
        _cleanup_reply_ Reply *others = NULL;

        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_reply_ Reply *reply = manager_call(bob, "ExportHistory", "sa{sv}", bad[i], 0);

                expect_error(reply, ERROR_INVALID_ARGS, "sign");
        }
        others = manager_call(bob, "ExportHistory", "sa{sv}", SIGNED, 1, "uid", "u", UID_ALICE);
        expect_error(others, ERROR_ACCESS_DENIED, "root");
}
END_TEST

/* Longer than what goes into an answer at a time, and not a multiple of it. */
#define MANY 99U

/* The last line of an export again and again, each a microsecond later. */
static char *multiply(const char *text)
{
        const char *last = (const char *) memrchr(text, '\n', strlen(text) - 1) + 1;
        const char *time = strstr(last, "\"time_usec\":");
        uint64_t usec = strtoull(strchr(time, ':') + 1, NULL, 10);
        const char *rest = strchr(time, ',');
        _cleanup_free_ char *lines = calloc(1, 1);

        for (unsigned i = 0; i < MANY; i++) {
                char *longer = textf("%s%.*s\"time_usec\":%" PRIu64 "%s", lines, (int) (time - last), last,
                                     usec + 1 + i, rest);

                free(lines);
                lines = longer;
        }
        return textf("%s%s", HEAD, lines);
}

START_TEST(a_long_answer_is_whole)
{
        _cleanup_free_ char *text = make_some_history(), *many = multiply(text);
        _cleanup_reply_ Reply *imported = NULL, *rows = NULL;

        forget_everything();
        imported = import_text(alice, many);
        expect_success(imported);
        ck_assert_int_eq(reply_number(imported, "0.added"), MANY);
        rows = manager_call(bob, "GetHistory", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(rows, "0"), MANY);
        for (unsigned i = 1; i < MANY; i++) {
                char before[32], place[32];

                (void) snprintf(before, sizeof(before), "0.%u.time_usec", i - 1);
                (void) snprintf(place, sizeof(place), "0.%u.time_usec", i);
                ck_assert_int_eq(reply_number(rows, place), reply_number(rows, before) - 1);
        }
}
END_TEST

int main(void)
{
        TestProgram program = program_new("history-transfer");

        program_add(&program, there_and_back);
        program_add(&program, not_everybody_may_import);
        program_add(&program, only_sealed_memfds);
        program_add_table(&program, a_bad_line_leaves_nothing_behind, bad_texts);
        program_add(&program, signing_off);
        program_add(&program, a_long_answer_is_whole);
        return program_run(&program);
}
