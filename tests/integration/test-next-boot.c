/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The machine goes down in the middle of a reset: what was set is gone with the kernel, and so are the
 * records in /run. The next boot looks at the devices that the list in /var names, and says what has become
 * of each; what this boot knows better from elsewhere it does not say.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/kills.h"

/* ---- the machine goes down ---- */

#define UNDER_WAY "/var/lib/pciresetd/under-way.json"

static bool file_exists(const char *path)
{
        return access(path, F_OK) == 0;
}

/* The file as another boot has left it; and what only this one knows is gone. */
static void boot_anew(void)
{
        static char text[65536];
        FILE *file = fopen(UNDER_WAY, "r+e");
        const char *const argv[] = {"rm", "-rf", "/run/pciresetd/jobs", NULL};
        char *id;
        size_t n;

        ck_assert_ptr_nonnull(file);
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = '\0';
        id = strstr(text, "\"boot_id\":\"");
        ck_assert_msg(id, "no boot: %s", text);
        id[strlen("\"boot_id\":\"")] ^= 1;
        rewind(file);
        ck_assert_uint_eq(fwrite(text, 1, n, file), n);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(process_run(0, argv, NULL), 0);
}

/* An earlier method of the job has seen the bridge, which is another one now. */
static void replace_bridge(void)
{
        static const char image[] =
                ",\"images\":[{\"address\":\"" PORT "\",\"inode\":1,\"answers\":false,\"vendor\":0,"
                "\"device\":0,\"subsystem\":0,\"header_type\":0,\"class_revision\":0,\"command\":0,"
                "\"bars\":\"\",\"has_link\":false,\"link_speed\":0,\"link_width\":0,"
                "\"link_reports_active\":false,\"link_active\":false,\"driver\":\"\",\"probe\":\"\"}]}]}\n";
        _cleanup_free_ char *text = file_read(UNDER_WAY, NULL);
        char *bridge = strstr(text, "\"bridge\":{\"address\":\"" PORT "\""), *id, *end = strstr(text, "}]}");

        ck_assert_msg(bridge && end && bridge < end, "no bridge: %s", text);
        id = strstr(bridge, "\"device\":") + strlen("\"device\":");
        id[strspn(id, "0123456789") - 1] ^= 1;
        *end = '\0';
        file_print(UNDER_WAY, "%s%s", text, image);
}

/* The last three: of a device that is there, by what came before and whether the machine is shut down in
 * order. */
static const char *const outcomes_of_boot[] = {"gone", "dead", "there", "shut down", "another bridge"};

START_TEST(machine_goes_down)
{
        const char *how = outcomes_of_boot[_i];
        static uint8_t ones[CONFIG_SIZE];
        Call *running;
        int worker, hold;

        memset(ones, 0xff, sizeof(ones));
        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        wait_until(file_exists(UNDER_WAY));
        if (strcmp(how, "shut down") == 0)
                daemon_stop();
        else
                daemon_kill();
        signals_forget();
        call_abandon(running);
        worker_kill(worker, &hold);
        boot_anew();
        sysfs_set(CARD, "reset_method", "%s\n", METHODS);
        if (strcmp(how, "another bridge") == 0)
                replace_bridge();
        if (strcmp(how, "gone") == 0)
                sysfs_remove(CARD);
        if (strcmp(how, "dead") == 0)
                sysfs_config_write(CARD, 0, ones, sizeof(ones));
        daemon_start();
        wait_until(journal_find("MESSAGE_ID", "a7e0c1be5d0c4f83a6c13a1c31f7b6d4", "PCIRESETD_DEVICE", CARD,
                                "PCIRESETD_METHOD", "flr", "PCIRESETD_UID", "1001", NULL));
        wait_until(count_records() == 0 && !file_exists(UNDER_WAY));
        if (strcmp(how, "dead") == 0) {
                _cleanup_free_ char *state = device_state(bob, CARD);

                ck_assert_str_eq(state, "quarantined");
        } else if (strcmp(how, "gone") != 0) {
                expect_mended("machine-stopped");
        }
}
END_TEST

/* What is under way in this boot is known better from elsewhere; and what is over is in no list. */
START_TEST(nothing_is_said_without_need)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int worker, hold;

        start_with_two_functions();
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        wait_until(!file_exists(UNDER_WAY));
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        worker = model_wait("begin", CARD, 1).pid;
        wait_until(file_exists(UNDER_WAY));
        daemon_kill_amid(running);
        daemon_start();
        model_release(&hold);
        wait_until_gone(worker);
        wait_until(count_records() == 0 && !file_exists(UNDER_WAY));
        ck_assert_uint_eq(journal_count("MESSAGE_ID", "a7e0c1be5d0c4f83a6c13a1c31f7b6d4", NULL), 0);
}
END_TEST

static const char *const odd_files[] = {"", "{}", "nonsense",
                                        "{\"version\":1,\"boot_id\":\"x\",\"requests\":[{}]}"};

START_TEST(list_that_is_damaged)
{
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        directory_make("/var/lib/pciresetd");
        file_print(UNDER_WAY, "%s", odd_files[_i]);
        fixture_start();
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        wait_until(!file_exists(UNDER_WAY));
}
END_TEST

static const char ballast[] = "/var/lib/pciresetd/ballast";

/* With a full disk resets go on. The list, which cannot be kept any more, is none: what it names may have
 * ended long ago when the machine goes down. */
START_TEST(list_without_room)
{
        _cleanup_reply_ Reply *one = NULL, *two = NULL, *three = NULL;
        Call *first, *second;
        int hold, hold2;

        disk_make("/var/lib/pciresetd", "4M");
        start_for_everybody();
        hold = model_hold(CARD);
        hold2 = model_hold(CARD2);
        first = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        wait_until(file_exists(UNDER_WAY));
        disk_fill(ballast, 0);
        second = reset_start(alice, CARD2, "flr", NULL);
        (void) model_wait("begin", CARD2, 0);
        wait_until(journal_find("ERRNO", "28", "PRIORITY", "4", NULL));
        ck_assert(!file_exists(UNDER_WAY));
        model_release(&hold);
        one = call_finish(first);
        expect_success(one);
        /* Once there is room it is whole again. */
        ck_assert_int_eq(unlink(ballast), 0);
        hold = model_hold(CARD);
        first = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 1);
        wait_until(file_exists(UNDER_WAY));
        {
                _cleanup_free_ char *text = file_read(UNDER_WAY, NULL);

                ck_assert_ptr_nonnull(strstr(text, CARD));
                ck_assert_ptr_nonnull(strstr(text, CARD2));
        }
        model_release(&hold);
        model_release(&hold2);
        two = call_finish(first);
        expect_success(two);
        three = call_finish(second);
        expect_success(three);
        wait_until(!file_exists(UNDER_WAY));
}
END_TEST

int main(void)
{
        TestProgram program = program_new("next-boot");

        program_add_table(&program, machine_goes_down, outcomes_of_boot);
        program_add(&program, nothing_is_said_without_need);
        program_add_table(&program, list_that_is_damaged, odd_files);
        program_add(&program, list_without_room);
        return program_run(&program);
}
