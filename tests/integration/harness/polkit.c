/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * polkitd itself needs nothing but a bus, its actions and its rules; the sandbox has put empty folders over
 * those of the system. It drops its privileges by itself.
 *
 * The agent: polkitd calls the registered client's BeginAuthentication. Whether the user has proved who he
 * is, polkitd takes the word of root for it (AuthenticationAgentResponse2, normally called by the set-uid
 * helper after PAM); here the test gives that word.
 */

#include "polkit.h"

#include <check.h>
#include <string.h>

#include "fixture.h"

#define POLKIT_SERVICE   "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define AGENT_PATH       "/org/pciresetd/test/agent"
#define AGENT_INTERFACE  "org.freedesktop.PolicyKit1.AuthenticationAgent"

const char *const polkit_rules_default =
        "polkit.addRule(function(action, subject) {\n"
        "    if (action.id.indexOf('org.pciresetd1.') == 0)\n"
        "        return subject.user == 'alice' ? polkit.Result.YES : polkit.Result.NO;\n"
        "});\n";

static Process *polkitd;

static struct {
        AgentAnswer answer;
        sd_bus_message *open; /* the BeginAuthentication that has no answer yet */
        char *action, *message, *cookie;
        uint32_t uid; /* who shall prove himself */
        size_t dialogs;
} agent;

/* ---- polkitd ---- */

static const char *find_polkitd(void)
{
        static const char *const places[] = {"/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd",
                                             "/usr/libexec/polkit-1/polkitd",
                                             "/usr/lib/policykit-1/polkitd"};

        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                if (access(places[i], X_OK) == 0)
                        return places[i];
        ck_abort_msg("There is no polkitd on this system: install polkit (Debian: polkitd).");
}

void polkit_start(const char *rules)
{
        static const char actions[] = "/usr/share/polkit-1/actions/org.pciresetd1.policy";
        const char *argv[] = {find_polkitd(), "--no-debug", NULL};
        _cleanup_free_ char *policy = NULL, *path = NULL;
        size_t size;

        path = textf("%s/policy/org.pciresetd1.policy", tested_path("PCIRESETD_SOURCE"));
        policy = file_read(path, &size);
        ck_assert_msg(policy, "%s is not there", path);
        file_write(actions, policy, size);
        file_print("/etc/polkit-1/rules.d/50-test.rules", "%s", rules);
        polkitd = process_start("polkitd", 0, argv, NULL);
        wait_until(name_is_owned(POLKIT_SERVICE) || polkitd->ended);
        ck_assert_msg(!polkitd->ended, "polkitd has ended, see its log");
}

void polkit_stop(void)
{
        polkitd = process_free(polkitd);
        wait_until(!name_is_owned(POLKIT_SERVICE));
}

/* ---- the agent ---- */

static void close_dialog(void)
{
        sd_bus_message *open = steal_pointer(agent.open);

        if (!open)
                return; /* polkitd has taken it back meanwhile */
        if (agent.answer == AGENT_APPROVE)
                ck_assert_int_ge(sd_bus_reply_method_return(open, NULL), 0);
        else
                ck_assert_int_ge(sd_bus_reply_method_errorf(open, POLKIT_SERVICE ".Error.Cancelled",
                                                            "The dialog was closed."),
                                 0);
        sd_bus_message_unref(open);
}

static int on_believed(sd_bus_message *message, void *data, sd_bus_error *error)
{
        (void) data, (void) error;
        ck_assert_msg(!sd_bus_message_is_method_error(message, NULL), "polkitd does not believe root: %s",
                      sd_bus_message_get_error(message)->message);
        close_dialog();
        return 0;
}

void agent_answer(AgentAnswer answer)
{
        ck_assert_ptr_nonnull(agent.open);
        agent.answer = answer;
        if (answer == AGENT_APPROVE)
                ck_assert_int_ge(sd_bus_call_method_async(observer->bus, NULL, POLKIT_SERVICE, POLKIT_PATH,
                                                          POLKIT_INTERFACE, "AuthenticationAgentResponse2",
                                                          on_believed, NULL, "us(sa{sv})", agent.uid,
                                                          agent.cookie, "unix-user", 1, "uid", "u", 0U),
                                 0);
        else
                close_dialog();
}

static int on_begin(sd_bus_message *message, void *data, sd_bus_error *error)
{
        const char *action, *text, *icon, *cookie;

        (void) data, (void) error;
        ck_assert_int_gt(sd_bus_message_read(message, "sss", &action, &text, &icon), 0);
        ck_assert_int_gt(sd_bus_message_skip(message, "a{ss}"), 0);
        ck_assert_int_gt(sd_bus_message_read(message, "s", &cookie), 0);

        free(agent.action), free(agent.message), free(agent.cookie);
        agent.action = strdup(action);
        agent.message = strdup(text);
        agent.cookie = strdup(cookie);
        agent.open = sd_bus_message_ref(message);
        agent.dialogs++;
        if (agent.answer != AGENT_WAIT)
                agent_answer(agent.answer);
        return 1;
}

static int on_cancel(sd_bus_message *message, void *data, sd_bus_error *error)
{
        (void) data, (void) error;
        agent.open = sd_bus_message_unref(agent.open);
        return sd_bus_reply_method_return(message, NULL);
}

static const sd_bus_vtable agent_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("BeginAuthentication", "sssa{ss}sa(sa{sv})", "", on_begin, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CancelAuthentication", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* When the process started, in the units of /proc: with the pid it is what polkit knows a process by. */
static uint64_t start_time(pid_t pid)
{
        _cleanup_free_ char *path = textf("/proc/%d/stat", pid), *stat = file_read(path, NULL);
        unsigned long long ticks = 0;

        ck_assert_ptr_nonnull(stat);
        /* Field 22; the name in field 2 may contain anything, so count from its closing bracket. */
        ck_assert_int_eq(
                sscanf(strrchr(stat, ')') + 1,
                       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                       &ticks),
                1);
        return ticks;
}

void agent_register(Client *client, AgentAnswer answer)
{
        Reply *reply;

        agent.answer = answer;
        agent.uid = client->uid;
        ck_assert_int_ge(
                sd_bus_add_object_vtable(client->bus, NULL, AGENT_PATH, AGENT_INTERFACE, agent_vtable, NULL),
                0);
        reply = call_service(
                client, POLKIT_SERVICE, POLKIT_PATH, POLKIT_INTERFACE, "RegisterAuthenticationAgent",
                "(sa{sv})ss", "unix-process", 3, "pid", "u", (uint32_t) client->process->pid, "start-time",
                "t", start_time(client->process->pid), "uid", "i", (int32_t) client->uid, "C", AGENT_PATH);
        reply_free(reply);
}

size_t agent_dialogs(void)
{
        return agent.dialogs;
}

const char *agent_action(void)
{
        return agent.action;
}

const char *agent_message(void)
{
        return agent.message;
}
