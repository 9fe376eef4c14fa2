/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What one method has done to a device is not how it is to be after the next: the workers of a job hold it
 * against how it was before the first of them.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"

#define COMMAND 0x0406

static WorkerImage images[3];
static uint8_t config[PCI_CFG_SPACE_EXP_SIZE];
static ssize_t config_size;

static void save_config(void)
{
        _cleanup_close_ int fd = openat(pci.devices_fd, CARD "/config", O_RDONLY | O_CLOEXEC);

        config_size = read(fd, config, sizeof(config));
        ck_assert_int_gt(config_size, 0);
}

static void setup(void)
{
        model_setup();
        save_config();
}

static void revive(void)
{
        fake_config_set(&pci, CARD, 0, config, (size_t) config_size);
}

static void damage(void)
{
        fake_config_set16(&pci, CARD, PCI_COMMAND, 0);
}

static void kill_it(void)
{
        fake_config_fill(&pci, CARD, 0xff);
}

static void move_bar(void)
{
        fake_config_set16(&pci, CARD, PCI_BASE_ADDRESS_0 + 2, 0x1234);
}

/* The next one of the job: it is told what the last one has seen, as the daemon does. */
static void next(const char *method, void (*on_reset)(void))
{
        ck_assert_uint_le(result->n_images, ELEMENTSOF(images));
        memcpy(images, result->images, result->n_images * sizeof(WorkerImage));
        request.images = images;
        request.n_images = result->n_images;
        (void) snprintf(request.method, sizeof(request.method), "%s", method);
        set_list("flr bus");
        kernel.on_reset = on_reset;
        run();
}

static void first(void (*on_reset)(void))
{
        kernel.on_reset = on_reset;
        run();
}

START_TEST(how_it_was_is_told)
{
        first(damage);
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        ck_assert_uint_eq(result->n_images, 2);
        ck_assert(pci_address_equal(&result->images[0].address, &members[0].address));
        ck_assert(pci_address_equal(&result->images[1].address, &request.bridge.address));
        ck_assert(result->images[0].answers);
        ck_assert_uint_eq(result->images[0].inode, members[0].inode);
        ck_assert_uint_eq(result->images[0].command, COMMAND);
        ck_assert_uint_eq(result->images[0].vendor, 0x8086);
}
END_TEST

/* Left alone by the second method, or put right by it, or damaged some more. */
static const struct {
        void (*first)(void), (*second)(void);
        Verdict verdict;
        const char *check; /* that failed, NULL: none */
} ladders[] = {
        {damage, NULL, VERDICT_DEGRADED, "command"},  {damage, revive, VERDICT_OK, NULL},
        {move_bar, NULL, VERDICT_DEGRADED, "bars"},   {move_bar, revive, VERDICT_OK, NULL},
        {damage, move_bar, VERDICT_DEGRADED, "bars"}, {kill_it, revive, VERDICT_OK, NULL},
        {kill_it, NULL, VERDICT_DEAD, "answers"},     {NULL, damage, VERDICT_DEGRADED, "command"},
};

START_TEST(held_against_the_first)
{
        first(ladders[_i].first);
        next("bus", ladders[_i].second);
        ck_assert_msg(result->verdict == ladders[_i].verdict, "%s: %s", verdict_to_string(result->verdict),
                      result->message);
        if (ladders[_i].check)
                expect_check(CARD, ladders[_i].check, CHECK_FAILED);
}
END_TEST

START_TEST(the_evidence_is_of_the_first)
{
        const WorkerCheck *check;

        first(damage);
        next("bus", NULL);
        check = find_check(CARD, "command");
        ck_assert_str_eq(check->before, "0x0406");
        ck_assert_str_eq(check->after, "0x0000");
        ck_assert_ptr_nonnull(strstr(result->message, "command was '0x0406' and is '0x0000'"));
}
END_TEST

/* How a device that was dead is to be nobody knows; one that answers by now has what was saved of a dead
 * one. */
START_TEST(dead_before_the_first)
{
        (void) strcpy(request.method, "bus");
        kill_it();
        first(revive);
        expect_check(CARD, "command", CHECK_FAILED);
        next("bus", NULL);
        expect_check(CARD, "command", CHECK_FAILED);
        ck_assert_int_eq(result->verdict, VERDICT_DEGRADED);
        /* Found again in between it is as the kernel has set it up. */
        result->images[0].answers = false;
        result->images[0].inode++;
        next("bus", NULL);
        ck_assert_msg(result->verdict == VERDICT_OK, "%s", result->message);
}
END_TEST

/* Taken away and found again in between, it was set up from nothing; what it is, it has to be still. */
START_TEST(found_again_in_between)
{
        first(damage);
        result->images[0].inode++;
        if (_i == 1)
                result->images[0].class_revision ^= 0x100;
        next("bus", NULL);
        expect_check(CARD, "command", CHECK_OK);
        expect_check(CARD, "header", _i == 0 ? CHECK_OK : CHECK_FAILED);
}
END_TEST

/* The command register is the driver's, too. */
START_TEST(another_driver)
{
        first(damage);
        (void) strcpy(result->images[0].driver, "vfio-pci");
        next("bus", NULL);
        expect_check(CARD, "command", CHECK_OK);
        ck_assert_int_eq(result->verdict, VERDICT_OK);
}
END_TEST

/* A link that one method has left narrower: of the device and of the port above. */
START_TEST(narrower)
{
        first(NULL);
        ck_assert(result->images[_i].has_link);
        result->images[_i].link_width = 32;
        next("bus", NULL);
        expect_check(_i == 0 ? CARD : PORT, "link", CHECK_FAILED);
        expect_check(_i == 0 ? PORT : CARD, "link", CHECK_OK);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("image");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, setup, model_teardown);
        tcase_set_timeout(tree, 60);
        tcase_add_test(tree, how_it_was_is_told);
        tcase_add_loop_test(tree, held_against_the_first, 0, ELEMENTSOF(ladders));
        tcase_add_test(tree, the_evidence_is_of_the_first);
        tcase_add_test(tree, dead_before_the_first);
        tcase_add_loop_test(tree, found_again_in_between, 0, 2);
        tcase_add_test(tree, another_driver);
        tcase_add_loop_test(tree, narrower, 0, 2);
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
