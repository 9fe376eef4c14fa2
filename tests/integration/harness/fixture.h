/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A world for one test: a bus, polkit, devices, the daemon, and two users.
 *
 * A test program lists its cases in a suite made by fixture_case(): each case runs in a process and a
 * sandbox of its own, with the bus running and no devices. The test adds devices, then calls
 * fixture_start().
 */

#include <check.h>

#include "../mock-polkit.h"
#include "bus.h"
#include "journal.h"
#include "loop.h"
#include "model.h"
#include "polkit.h"
#include "sandbox.h"
#include "sysfs.h"

/* Root's connection, from which the tests look at things; and the two users, once fixture_start() was
 * called. */
extern Client *observer, *alice, *bob;

bool name_is_owned(const char *name); /* on the bus */

/* Starts polkitd with the default rules, if no polkit is there yet, then the daemon, alice and bob. */
void fixture_start(void);
/* Only the daemon. Waits until it owns its name. */
void daemon_start(void);
/* It must end by itself, with a failure, and never own its name. */
void daemon_start_fails(void);
/* SIGTERM, and it must end by itself, with success. */
void daemon_stop(void);
/* SIGKILL. */
void daemon_kill(void);
Process *daemon_process(void);
/* Waits until it sleeps: no worker runs, and nothing is put off for a moment. Only deadlines of calls are
 * left. */
void daemon_settle(void);
/* SIGKILLs the bus. The daemon must end by itself, with a failure; the clients are good for nothing any
 * more,
 */
void bus_kill(void);
/* and others take their place, on another bus with another polkitd (these rules) and another daemon. */
void bus_start_again(const char *rules);
/* A second argument for the daemon's command line, for the next start. */
void daemon_argument(const char *argument);

/* A root port 0000:00:04.0 with one endpoint below, 0000:01:00.0, which can `flr`, `pm` and `bus`, and
 * another one at 0000:00:05.0 with 0000:02:00.0. Nothing is bound. */
#define PORT  "0000:00:04.0"
#define CARD  "0000:01:00.0"
#define PORT2 "0000:00:05.0"
#define CARD2 "0000:02:00.0"
extern const MockDevice mock_port, mock_card, mock_port2, mock_card2;
void fixture_devices(void);

/* After the reply nothing was written, neither `reset` nor `reset_method`. */
void expect_nothing_written(void);
/* The last method call on a device ran exactly these methods, in this order, blanks between. */
void expect_methods_run(const char *address, const char *methods);
/* A reset of CARD by `flr` that mock_polkit_start(MOCK_POLKIT_NO) refuses: the index-th question of all is
 * about this action, and is told this owner. */
void expect_question(Client *client, size_t index, const char *action, const char *owner);

typedef struct TestProgram {
        const char *name;
        Suite *suite;
        TCase *cases;
} TestProgram;

TestProgram program_new(const char *name);
/* Runs everything, prints TAP, returns main()'s value. */
int program_run(TestProgram *program);
/* CK_RUN_CASE and the like work as with every check program. PCIRESETD_TEST=function runs only that test. */
#define program_add(program, test)                                                                          \
        do {                                                                                                \
                if (program_wants(#test))                                                                   \
                        tcase_add_test((program)->cases, test);                                             \
        } while (0)
#define program_add_table(program, test, table)                                                             \
        do {                                                                                                \
                if (program_wants(#test))                                                                   \
                        tcase_add_loop_test((program)->cases, test, 0, (int) ELEMENTSOF(table));            \
        } while (0)
bool program_wants(const char *test);
