/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The measurements that need no real kernel, each in the world of an integration test: a bus, the real
 * polkitd, a tree of devices and the daemon. bench-client does the measuring; what it prints is put into
 * PCIRESETD_BENCH_OUTPUT/<name>.json. PCIRESETD_TEST=name measures only that.
 *
 * Unlike the tests, the daemon and its worker run without the kernel model. It looks at each open(), read()
 * and write(), which would be measured too; and a reset that is instant is what a plain file is anyway.
 */

#include <string.h>

#include "bench-history.h"
#include "bench-holders.h"
#include "bench-tree.h"
#include "harness/fixture.h"

#define READ_ROUNDS  "400"
#define RESET_ROUNDS "300"
#define QUIET        "60" /* seconds */

#define DRIVEN "0000:00:06.0"

static void world_start(void)
{
        _cleanup_free_ char *worker = textf("--worker=%s", tested_path("PCIRESET_WORKER"));
        const char *const argv[] = {tested_path("PCIRESETD"), worker, NULL};
        const char *const environment[] = {"SYSTEMD_DEVICE_VERIFY_SYSFS=0", NULL};
        Process *daemon;

        fixture_devices();
        polkit_start(polkit_rules_default);
        daemon = process_start("pciresetd", 0, argv, environment);
        wait_until(name_is_owned(SERVICE) || daemon->ended);
        ck_assert_msg(!daemon->ended, "pciresetd has ended at its start, see its log");
}

static void measure(const char *name, const char *const arguments[])
{
        const char *argv[8] = {TOP_BUILDDIR "/tests/bench/bench-client"};
        const char *directory = getenv("PCIRESETD_BENCH_OUTPUT");
        _cleanup_free_ char *output = NULL, *path = NULL;
        size_t n = 1;
        int status;

        ck_assert_msg(directory, "PCIRESETD_BENCH_OUTPUT is not set");
        for (; *arguments; arguments++)
                argv[n++] = *arguments;
        status = process_run(0, argv, &output);
        ck_assert_msg(status == 0, "%s", output);
        path = textf("%s/%s.json", directory, name);
        file_write(path, output, strlen(output));
}

START_TEST(reads)
{
        world_start();
        measure("reads", (const char *const[]){"reads", CARD, READ_ROUNDS, NULL});
}
END_TEST

/* Without a driver nobody can use a device, so nobody is looked for. The second device has one. */
START_TEST(reset_overhead)
{
        static const MockDevice with_driver = {
                .address = DRIVEN, .methods = "flr", .driver = "nvme", .class = 0x030000};

        sysfs_add(&with_driver);
        world_start();
        measure("warm-up", (const char *const[]){"reset", CARD, "flr", "1001", "10", NULL});
        measure("reset-overhead", (const char *const[]){"reset", CARD, "flr", "1001", RESET_ROUNDS, NULL});
        measure("reset-overhead-scan",
                (const char *const[]){"reset", DRIVEN, "flr", "1001", RESET_ROUNDS, NULL});
}
END_TEST

START_TEST(idle)
{
        world_start();
        /* A daemon that has never done anything has an easy time being quiet. */
        measure("warm-up", (const char *const[]){"reset", CARD, "flr", "1001", "2", NULL});
        measure("idle", (const char *const[]){"idle", QUIET, NULL});
}
END_TEST

/* For what measures itself. */
static void write_result(const char *name, const char *output)
{
        const char *directory = getenv("PCIRESETD_BENCH_OUTPUT");
        _cleanup_free_ char *path = textf("%s/%s.json", directory, name);

        ck_assert_msg(directory, "PCIRESETD_BENCH_OUTPUT is not set");
        file_write(path, output, strlen(output));
}

START_TEST(holders)
{
        _cleanup_free_ char *output = NULL;

        fixture_devices();
        output = holders_measure();
        write_result("holders", output);
}
END_TEST

START_TEST(history)
{
        _cleanup_free_ char *output = NULL;

        world_start();
        measure("warm-up", (const char *const[]){"reset", CARD, "flr", "1001", "1", NULL});
        output = history_measure();
        write_result("history", output);
}
END_TEST

START_TEST(tree_start)
{
        _cleanup_free_ char *output = NULL;

        output = tree_measure_start();
        write_result("tree-start", output);
}
END_TEST

/* A message of twice the functions is twice the bytes: whatever grows faster is ours. */
START_TEST(tree_list)
{
        static const unsigned sizes[] = {16, 256, 4096, 16384};

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_free_ char *name = textf("tree-list-%u", sizes[i]);
                pid_t daemon;

                tree_grow(sizes[i]);
                daemon = tree_daemon_start();
                measure(name, (const char *const[]){"list", sizes[i] > 1000 ? "30" : "300", NULL});
                tree_daemon_stop(daemon);
        }
}
END_TEST

START_TEST(tree_fairness)
{
        pid_t daemon;

        tree_grow(4096);
        daemon = tree_daemon_start();
        measure("tree-fairness", (const char *const[]){"fairness", "3000", NULL});
        tree_daemon_stop(daemon);
}
END_TEST

START_TEST(tree_burst)
{
        _cleanup_free_ char *output = NULL;

        output = tree_measure_burst();
        write_result("tree-burst", output);
}
END_TEST

START_TEST(tree_memory)
{
        _cleanup_free_ char *output = NULL;

        output = tree_measure_memory();
        write_result("tree-memory", output);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("bench");

        program_add(&program, reads);
        program_add(&program, reset_overhead);
        program_add(&program, idle);
        program_add(&program, holders);
        program_add(&program, history);
        program_add(&program, tree_start);
        program_add(&program, tree_memory);
        program_add(&program, tree_list);
        program_add(&program, tree_fairness);
        program_add(&program, tree_burst);
        return program_run(&program);
}
