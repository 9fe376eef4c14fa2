/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Places for calls of which it is not known who asks: whoever sends many keeps nobody out.
 */

#include <stdio.h>
#include <string.h>

#include "daemon/bus/lobby.h"
#include "unit.h"

#define A_ROOM       0U
#define ANOTHER_ROOM 1U

/* As many as the bus lets one user have. */
#define CONNECTIONS 256U

static Lobby *lobby;

static void setup(void)
{
        ck_assert_int_eq(lobby_new(2, &lobby), 0);
}

static void teardown(void)
{
        lobby = lobby_free(lobby);
}

static const char *nobody_goes = "nobody";

/* True if the call was let in; the call that had to go for it has gone. */
static bool send(const char *sender, unsigned room, const char **ret_gone)
{
        const char *crowd;

        *ret_gone = nobody_goes;
        if (!lobby_has_place(lobby, sender, room, &crowd))
                return false;
        if (crowd) {
                static char gone[32];

                (void) snprintf(gone, sizeof(gone), "%s", crowd);
                *ret_gone = gone;
                lobby_leave(lobby, gone, room);
        }
        ck_assert_int_eq(lobby_enter(lobby, sender, room), 0);
        return true;
}

static void send_many(const char *sender, unsigned room, size_t n)
{
        const char *gone;

        for (size_t i = 0; i < n; i++)
                ck_assert(send(sender, room, &gone));
}

START_TEST(counts)
{
        send_many(":1.1", A_ROOM, 3);
        send_many(":1.1", ANOTHER_ROOM, 1);
        send_many(":1.2", A_ROOM, 1);
        ck_assert_uint_eq(lobby_count(lobby, ":1.1", A_ROOM), 3);
        ck_assert_uint_eq(lobby_count(lobby, ":1.1", ANOTHER_ROOM), 1);
        ck_assert_uint_eq(lobby_count(lobby, ":1.2", ANOTHER_ROOM), 0);
        ck_assert_uint_eq(lobby_count(lobby, ":1.3", A_ROOM), 0);
        for (size_t i = 0; i < 3; i++)
                lobby_leave(lobby, ":1.1", A_ROOM);
        ck_assert_uint_eq(lobby_count(lobby, ":1.1", A_ROOM), 0);
        ck_assert_uint_eq(lobby_count(lobby, ":1.1", ANOTHER_ROOM), 1);
}
END_TEST

START_TEST(one_cannot_take_all)
{
        const char *gone;

        send_many(":1.1", A_ROOM, LOBBY_PLACES - 1);
        send_many(":1.2", A_ROOM, 1);
        /* It is all its own doing, */
        ck_assert(!send(":1.1", A_ROOM, &gone));
        /* and others take its places until they are as many. */
        for (size_t i = 0; i < LOBBY_PLACES / 2 - 1; i++) {
                ck_assert(send(":1.2", A_ROOM, &gone));
                ck_assert_str_eq(gone, ":1.1");
        }
        ck_assert(!send(":1.2", A_ROOM, &gone));
        ck_assert(send(":1.3", A_ROOM, &gone));
        ck_assert_uint_eq(lobby_count(lobby, ":1.1", A_ROOM) + lobby_count(lobby, ":1.2", A_ROOM) +
                                  lobby_count(lobby, ":1.3", A_ROOM),
                          LOBBY_PLACES);
        /* The other room is empty. */
        ck_assert(send(":1.1", ANOTHER_ROOM, &gone));
        ck_assert_ptr_eq(gone, nobody_goes);
}
END_TEST

START_TEST(nor_can_one_user)
{
        char sender[32];
        const char *gone;

        for (size_t i = 0; i < 2 * LOBBY_PLACES; i++) {
                (void) snprintf(sender, sizeof(sender), ":1.%zu", i % CONNECTIONS);
                (void) send(sender, A_ROOM, &gone);
        }
        for (size_t i = 0; i < CONNECTIONS; i++) {
                (void) snprintf(sender, sizeof(sender), ":2.%zu", i);
                ck_assert(send(sender, A_ROOM, &gone));
                ck_assert_ptr_ne(gone, nobody_goes);
                ck_assert_int_eq(strncmp(gone, ":1.", 3), 0);
        }
        /* Now each has one. */
        ck_assert(!send(":3.1", A_ROOM, &gone));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("lobby");
        TCase *tcase = tcase_create("lobby");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, counts);
        tcase_add_test(tcase, one_cannot_take_all);
        tcase_add_test(tcase, nor_can_one_user);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
