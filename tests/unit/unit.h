/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What every unit test's main() does: runs one suite, each test in a process of its own (unless CK_FORK=no),
 * and prints TAP to standard output.
 */

#include <check.h>
#include <stdlib.h>

static inline int unit_run(Suite *suite)
{
        SRunner *runner = srunner_create(suite);
        int failed;

        srunner_set_tap(runner, "-");
        srunner_run_all(runner, CK_SILENT);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Adds a plain test as a case of its own name. */
#define unit_add(suite, test)                                                                               \
        do {                                                                                                \
                TCase *_case = tcase_create(#test);                                                         \
                tcase_add_test(_case, test);                                                                \
                suite_add_tcase(suite, _case);                                                              \
        } while (0)

/* Adds a test that runs once for each index of a table, as `_i`. */
#define unit_add_table(suite, test, table)                                                                  \
        do {                                                                                                \
                TCase *_case = tcase_create(#test);                                                         \
                tcase_add_loop_test(_case, test, 0, (int) (sizeof(table) / sizeof((table)[0])));            \
                suite_add_tcase(suite, _case);                                                              \
        } while (0)

/* The same for tests that each begin with `setup` and end with `teardown`. */
#define unit_add_fixture(suite, setup, teardown, test)                                                      \
        do {                                                                                                \
                TCase *_case = tcase_create(#test);                                                         \
                tcase_add_checked_fixture(_case, setup, teardown);                                          \
                tcase_add_test(_case, test);                                                                \
                suite_add_tcase(suite, _case);                                                              \
        } while (0)

#define unit_add_table_fixture(suite, setup, teardown, test, table)                                         \
        do {                                                                                                \
                TCase *_case = tcase_create(#test);                                                         \
                tcase_add_checked_fixture(_case, setup, teardown);                                          \
                tcase_add_loop_test(_case, test, 0, (int) (sizeof(table) / sizeof((table)[0])));            \
                suite_add_tcase(suite, _case);                                                              \
        } while (0)
