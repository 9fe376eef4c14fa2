/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Partitionable endpoints of EEH: what their state says, and `thaw`, on files as the kernel for powerpc
 * makes them.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/eeh.h"

#define FROZEN "0x00000000 0x00000001\n"
#define THAWED "0x00000078 0x00000000\n"

static const struct {
        const char *text;
        int state;
} states[] = {
        {THAWED, 0},
        {FROZEN, 1},
        {"00000000 00000001\n", 1}, /* before Linux 4.19 */
        {"0x00000000 0x00000103\n", 1}, /* and it is being recovered, and to be kept */
        {"0x00000078 0x00000102\n", 0},
        {"", -EBADMSG},
        {"0x1\n", -EBADMSG},
        {"frozen\n", -EBADMSG},
        {NULL, -ENOENT},
};

START_TEST(a_state_is_read)
{
        _cleanup_close_ int fd = -EBADF;
        char text[WORKER_VALUE_MAX];

        fd = openat(pci.devices_fd, CARD, O_RDONLY | O_DIRECTORY);
        ck_assert_int_ge(fd, 0);
        if (states[_i].text)
                fake_attribute_set(&pci, CARD, EEH_STATE, states[_i].text);
        ck_assert_int_eq(eeh_read(fd, text), states[_i].state);
}
END_TEST

/* The endpoint has both functions of the card. */
static void use_thaw(const char *state)
{
        model_use_method("thaw");
        fake_attribute_set(&pci, CARD, EEH_STATE, state);
        fake_attribute_set(&pci, SIBLING, EEH_STATE, state);
}

static void thaw(void)
{
        fake_attribute_set(&pci, CARD, EEH_STATE, THAWED);
        fake_attribute_set(&pci, SIBLING, EEH_STATE, THAWED);
}

START_TEST(it_is_thawed)
{
        use_thaw(FROZEN);
        kernel.on_reset = thaw;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; eeh_pe_state " CARD "; verifying; ");
}
END_TEST

static void come_alive(void)
{
        static const uint8_t ids[4] = {0x86, 0x80, 0xd3, 0x10};

        thaw();
        fake_config_set(&pci, CARD, 0, ids, sizeof(ids));
        fake_config_set(&pci, SIBLING, 0, ids, sizeof(ids));
}

/* That it does not answer is why it is thawed; how its registers were nobody knows. */
START_TEST(one_that_does_not_answer)
{
        static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};

        use_thaw(FROZEN);
        kernel.on_reset = come_alive;
        fake_config_set(&pci, CARD, 0, ones, sizeof(ones));
        fake_config_set(&pci, SIBLING, 0, ones, sizeof(ones));
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_UNTOUCHED);
        expect_check(CARD, "answers", CHECK_OK);
}
END_TEST

START_TEST(the_firmware_fails)
{
        use_thaw(FROZEN);
        kernel.reset_error = -EIO;
        run();
        ck_assert_int_eq(result->outcome, WORKER_FAILED);
        ck_assert_int_eq(result->error, EIO);
}
END_TEST

/* The kernel says that all is well, and it has frozen again. */
START_TEST(it_stays_frozen)
{
        use_thaw(FROZEN);
        run();
        ck_assert_int_eq(result->outcome, WORKER_FAILED);
        ck_assert_int_eq(result->error, EIO);
}
END_TEST

START_TEST(nothing_to_thaw)
{
        use_thaw(THAWED);
        run();
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0);
        fake_attribute_remove(&pci, CARD, EEH_STATE);
        run();
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("eeh");
        TCase *tcase = tcase_create("eeh");

        tcase_add_checked_fixture(tcase, model_setup, model_teardown);
        tcase_add_loop_test(tcase, a_state_is_read, 0, ELEMENTSOF(states));
        tcase_add_test(tcase, it_is_thawed);
        tcase_add_test(tcase, one_that_does_not_answer);
        tcase_add_test(tcase, the_firmware_fails);
        tcase_add_test(tcase, it_stays_frozen);
        tcase_add_test(tcase, nothing_to_thaw);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
