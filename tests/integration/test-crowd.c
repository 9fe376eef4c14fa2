/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Many calls at once, from one connection or one user, and somebody else who wants to be heard too.
 */

#include <signal.h>

#include "harness/claims.h"
#include "harness/fixture.h"

#define QUESTIONS_PER_UID 8U
#define QUESTIONS_IN_ALL  24U

/* The bus has taken all that the client has sent so far. */
static void flush(Client *client)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;

        ck_assert_int_ge(sd_bus_call_method(client->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                            "org.freedesktop.DBus", "GetId", &error, &reply, NULL),
                         0);
        sd_bus_message_unref(reply);
}

static size_t count_done(Call *const *calls, size_t n)
{
        size_t n_done = 0;

        for (size_t i = 0; i < n; i++)
                n_done += call_done(calls[i]);
        return n_done;
}

/* All of bob's calls are read before it is known of any whose it is. */
START_TEST(one_connection_keeps_nobody_out)
{
        Call *burst[4 * QUESTIONS_IN_ALL], *other;
        int lease;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        process_signal(daemon_process(), SIGSTOP);
        for (size_t i = 0; i < ELEMENTSOF(burst); i++)
                burst[i] = acquire_start(bob, card_alone);
        flush(bob);
        other = acquire_start(alice, card_alone);
        flush(alice);
        process_signal(daemon_process(), SIGCONT);

        (void) mock_polkit_request(QUESTIONS_PER_UID);
        for (size_t i = 0; i <= QUESTIONS_PER_UID; i++)
                if (strcmp(mock_polkit_request(i)->subject_name, client_name(alice)) == 0)
                        mock_polkit_answer(i, true, false);
        lease = claim_finish(other, NULL);
        claim_release(&lease);

        wait_until(count_done(burst, ELEMENTSOF(burst)) == ELEMENTSOF(burst) - QUESTIONS_PER_UID);
        for (size_t i = 0; i < ELEMENTSOF(burst); i++) {
                _cleanup_reply_ Reply *reply = NULL;

                if (!call_done(burst[i])) {
                        call_abandon(burst[i]);
                        continue;
                }
                reply = call_finish(burst[i]);
                expect_error(reply, "LimitsExceeded", "Too many");
        }
        bob = client_free(bob);
}
END_TEST

static bool each_is_asked_for_or_refused(Call *const *calls, size_t n)
{
        return count_done(calls, n) + mock_polkit_requests() == n;
}

/* Whoever has none yet gets one of the last places. */
START_TEST(few_users_keep_nobody_out)
{
        enum { USERS = QUESTIONS_IN_ALL / QUESTIONS_PER_UID };
        Client *users[USERS];
        Call *calls[USERS * QUESTIONS_PER_UID], *other;
        size_t n = 0, n_before;
        int lease;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < USERS; i++) {
                users[i] = client_new(UID_CROWD + (uid_t) i);
                for (size_t k = 0; k < QUESTIONS_PER_UID; k++)
                        calls[n++] = acquire_start(users[i], card_alone);
                wait_until(each_is_asked_for_or_refused(calls, n));
        }
        n_before = mock_polkit_requests();
        ck_assert_uint_gt(n_before, 2 * QUESTIONS_PER_UID);
        ck_assert_uint_lt(n_before, QUESTIONS_IN_ALL);

        other = acquire_start(alice, card_alone);
        (void) mock_polkit_request(n_before);
        mock_polkit_answer(n_before, true, false);
        lease = claim_finish(other, NULL);
        claim_release(&lease);

        for (size_t i = 0; i < n; i++)
                call_abandon(calls[i]);
        for (size_t i = 0; i < USERS; i++)
                users[i] = client_free(users[i]);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("crowd");

        program_add(&program, one_connection_keeps_nobody_out);
        program_add(&program, few_users_keep_nobody_out);
        return program_run(&program);
}
