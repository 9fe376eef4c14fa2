/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Errors that the kernel announces, how devices are afterwards, and what the rules want to be done about
 * them. What must follow from each word is worked out before the daemon hears it, from rules and from the
 * hardware's true state alone.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storm.h"
#include "unit.h"

static NodeQuarantine *quarantine_of(size_t i)
{
        Node *node = &storm.tree.nodes[i];

        return &node->quarantine[node->id - NODE_ID];
}

static Device *device_of(size_t i)
{
        return daemon_lives() ? registry_find(storm.registry, &storm.tree.nodes[i].address) : NULL;
}

/* ---- what the rules want ---- */

static bool wants(size_t i, PolicyOnError what)
{
        const NodePolicy *policy = &storm.tree.nodes[i].policy;

        return policy->used && policy->has_on_error && policy->on_error == what;
}

/* An error in the middle of a reset is that reset's affair. */
static bool is_concerned(size_t i)
{
        return !storm.tree.nodes[i].is_bridge && count_resetting(i) == 0;
}

static void expect_aside(size_t i)
{
        if (quarantine_of(i)->in)
                return;
        stats.put_aside++;
        *quarantine_of(i) = (NodeQuarantine){.in = true, .is_error = true, .turn = ++storm.n_quarantines};
}

static void expect_state(size_t i, ErrorState state)
{
        Hardware *hardware = hardware_of(i);

        if (state == ERROR_STATE_BEGIN_RECOVERY && hardware->error != state)
                hardware->since = storm.now;
        hardware->error = state;
        storm.tree.nodes[i].recovering = state == ERROR_STATE_BEGIN_RECOVERY;
}

/* A rule speaks for its own device, and the virtual functions go with theirs. */
static bool is_spoken_for(size_t i, size_t target)
{
        const Node *node = &storm.tree.nodes[i];

        return node->is_bridge || node->physfn == (int) target || wants(i, POLICY_ON_ERROR_RECOVER);
}

const char *own_judge(const Job *job, size_t target, const bool set[static NODES_MAX])
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                if (set[i] && quarantine_of(i)->in && quarantine_of(i)->is_requested)
                        return "somebody has put a member aside, and nobody has asked him";
                if (set[i] && !job->request.plan.release && !is_spoken_for(i, target))
                        return "no rule wants a member to be recovered";
        }
        return NULL;
}

/* ---- looks ---- */

static int port_look(void *userdata, const WorkerRequest *request)
{
        size_t running = 0, node;
        ErrorLook *look = NULL;

        for (size_t i = 0; i < LOOKS_MAX; i++) {
                running += storm.looks[i].id != 0;
                if (storm.looks[i].id == 0)
                        look = &storm.looks[i];
        }
        if (running >= ERROR_LOOKS_MAX)
                storm_wrong("%zu workers look after errors at once", running + 1);
        ck_assert_int_eq(request->operation, WORKER_HEALTH);
        ck_assert_uint_eq(request->n_members, 1);
        node = (size_t) (tree_node(&storm.tree, &request->members[0].address) - storm.tree.nodes);
        hardware_of(node)->is_owed = false;
        if (!storm.is_calm && chance(&storm.tree, 3))
                return -EAGAIN;
        *look = (ErrorLook){
                .id = request->job,
                .node = node,
                .inode = request->members[0].inode,
                .end_at = storm_in(10 * MSEC, 5 * SEC),
        };
        return 0;
}

static bool has_failed(ErrorState state)
{
        return state == ERROR_STATE_FAILED_RECOVERY || state == ERROR_STATE_UNFINISHED_RECOVERY ||
               state == ERROR_STATE_WEDGED;
}

/* The job that brings it back, of the daemon's or of somebody else's. */
static bool is_brought_back(size_t i)
{
        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job))
                if (strcmp(job->request.method, "recover") == 0 && track_of(job->id)->target == i)
                        return true;
        return false;
}

/* What the daemon was asked for in this step. */
static struct {
        size_t node;
        bool asked, refused;
} recovery;

static int port_recover(void *userdata, Device *device, const PolicyRule *rule)
{
        size_t i = (size_t) (tree_node(&storm.tree, &device->facts.address) - storm.tree.nodes);
        int r;

        if (!rule || !wants(i, POLICY_ON_ERROR_RECOVER))
                storm_wrong("%s is to be recovered, and no rule says so", name_of(i));
        recovery.asked = true;
        recovery.node = i;
        if (!storm.is_calm && chance(&storm.tree, 10)) {
                recovery.refused = true;
                return -ENOMEM;
        }
        r = jobs_recover(storm.jobs, device, "rule");
        recovery.refused = r < 0 && r != -EALREADY;
        if (r == -EALREADY && !is_brought_back(i))
                storm_wrong("no job recovers %s", name_of(i));
        return r == -EALREADY ? 0 : r;
}

static void check_recovered(size_t i, bool wanted)
{
        const Device *device = device_of(i);

        if (!wanted) {
                if (recovery.asked)
                        storm_wrong("%s is recovered, and need not be", name_of(i));
                return;
        }
        stats.recovered++;
        if (!recovery.asked || recovery.node != i)
                storm_wrong("%s has to be recovered by a rule, and is not", name_of(i));
        if (!recovery.refused)
                return;
        stats.not_recovered++;
        if (!device->quarantine)
                storm_wrong("%s cannot be recovered, and everybody may have it", name_of(i));
        if (!quarantine_of(i)->is_requested && !strstr(device->quarantine->record.reason, NOT_RECOVERED))
                storm_wrong("%s cannot be recovered, and nobody is told: %s", name_of(i),
                            device->quarantine->record.reason);
}

/* What is known of the device from now on. Returns true if it has to be brought back. */
static bool expect_finding(size_t i, Verdict verdict)
{
        Hardware *hardware = hardware_of(i);
        bool is_broken = verdict == VERDICT_DEAD || verdict == VERDICT_DEGRADED, has_rule;
        bool needs_help = is_broken || has_failed(hardware->error);

        has_rule = wants(i, POLICY_ON_ERROR_NOTIFY) || wants(i, POLICY_ON_ERROR_QUARANTINE) ||
                   wants(i, POLICY_ON_ERROR_RECOVER);
        stats.broken += is_broken;
        if (needs_help && is_concerned(i) &&
            (wants(i, POLICY_ON_ERROR_QUARANTINE) || wants(i, POLICY_ON_ERROR_RECOVER) ||
             (is_broken && !has_rule)))
                expect_aside(i);
        if (hardware->error == ERROR_STATE_SUCCESSFUL_RECOVERY && is_broken)
                hardware->error = verdict == VERDICT_DEAD ? ERROR_STATE_RECOVERED_DEAD
                                                          : ERROR_STATE_RECOVERED_DEGRADED;
        return needs_help && is_concerned(i) && wants(i, POLICY_ON_ERROR_RECOVER);
}

static WorkerResult *draw_finding(const ErrorLook *look)
{
        const Node *node = &storm.tree.nodes[look->node];
        WorkerResult *result;

        if (!storm.is_calm && chance(&storm.tree, 5))
                return NULL;
        if (!node->present || node->inode != look->inode)
                return result_new(WORKER_GONE, "");
        result = result_new(!storm.is_calm && chance(&storm.tree, 3) ? WORKER_FAILED : WORKER_DONE, "");
        if (result->outcome == WORKER_DONE)
                result->verdict = result_add_health(result, &node->address, hardware_of(look->node)->health);
        return result;
}

void errors_looked(ErrorLook *ended)
{
        const ErrorLook look = *ended;
        const Node *node = &storm.tree.nodes[look.node];
        WorkerResult *result = draw_finding(&look);
        bool counts = result && result->outcome == WORKER_DONE && !look.is_stale &&
                      hardware_of(look.node)->error != ERROR_STATE_NONE && !node->recovering &&
                      count_resetting(look.node) == 0,
             wanted = false;

        *ended = (ErrorLook){};
        memset(&recovery, 0, sizeof(recovery));
        stats.looked++;
        storm_note("%s was looked at after an error: %s%s", name_of(look.node),
                   result ? verdict_to_string(result->verdict) : "nothing is known",
                   counts ? "" : ", which does not count");
        if (counts)
                wanted = expect_finding(look.node, result->verdict);
        error_events_looked(storm.errors, look.id, result);
        check_recovered(look.node, wanted);
}

/* ---- what is announced ---- */

/* What it means for one device. */
static void expect(size_t i, ErrorEventType type)
{
        static const ErrorState states[] = {
                [ERROR_EVENT_BEGIN] = ERROR_STATE_BEGIN_RECOVERY,
                [ERROR_EVENT_SUCCESS] = ERROR_STATE_SUCCESSFUL_RECOVERY,
                [ERROR_EVENT_FAILURE] = ERROR_STATE_FAILED_RECOVERY,
                [ERROR_EVENT_WEDGED] = ERROR_STATE_WEDGED,
        };

        if (is_concerned(i) && wants(i, POLICY_ON_ERROR_QUARANTINE))
                expect_aside(i);
        for (size_t k = 0; k < LOOKS_MAX && type != ERROR_EVENT_BEGIN; k++)
                if (storm.looks[k].id != 0 && storm.looks[k].node == i &&
                    storm.looks[k].inode == storm.tree.nodes[i].inode)
                        storm.looks[k].is_stale = true;
        hardware_of(i)->is_owed = hardware_of(i)->is_owed || type != ERROR_EVENT_BEGIN;
        expect_state(i, states[type]);
}

static void announce(size_t i, ErrorEventType type)
{
        static const char *const words[] = {"BEGIN_RECOVERY", "SUCCESSFUL_RECOVERY", "FAILED_RECOVERY",
                                            "WEDGED"};
        Device *device = device_of(i);
        ErrorEvent event = {.type = type};

        if (!device)
                return;
        storm_note("%s: %s", name_of(i), words[type]);
        stats.recoveries += type == ERROR_EVENT_BEGIN;
        memset(&recovery, 0, sizeof(recovery));
        expect(i, type);
        for (size_t k = 0; k < storm.tree.n && type == ERROR_EVENT_FAILURE; k++)
                if (storm.tree.nodes[k].present && oracle_is_above(&storm.tree, (int) i, k))
                        expect(k, type);
        (void) snprintf(event.text, sizeof(event.text), "ERROR_EVENT=%s", words[type]);
        error_events_take(storm.errors, device, &event);
        if (recovery.asked)
                storm_wrong("%s is recovered before anybody has looked at it", name_of(recovery.node));
        errors_audit();
}

static void recovery_begins(size_t i)
{
        Hardware *hardware = hardware_of(i);

        hardware->recovers = true;
        hardware->is_endless = chance(&storm.tree, 10);
        announce(i, ERROR_EVENT_BEGIN);
}

/* That it was successful the kernel says of many that are not what they were. */
static void recovery_ends(size_t i)
{
        Hardware *hardware = hardware_of(i);
        bool fails = chance(&storm.tree, 25);
        unsigned how = pick(&storm.tree, 100);

        hardware->recovers = false;
        if (how < (fails ? 50 : 10))
                hardware->health = HEALTH_DEAD;
        else if (how < (fails ? 70 : 40) && hardware->health == HEALTH_WELL)
                hardware->health = HEALTH_CHANGED;
        announce(i, fails ? ERROR_EVENT_FAILURE : ERROR_EVENT_SUCCESS);
}

void errors_of_the_weather(void)
{
        Tree *tree = &storm.tree;
        size_t hit = (storm.hot + pick(tree, 8)) % tree->n;

        for (size_t i = 0; i < tree->n; i++)
                if (tree->nodes[i].present && hardware_of(i)->recovers && !hardware_of(i)->is_endless &&
                    chance(tree, 50))
                        recovery_ends(i);
        if (!tree->nodes[hit].present)
                return;
        if (chance(tree, 40))
                recovery_begins(hit);
        else if (chance(tree, 10))
                announce(hit, ERROR_EVENT_WEDGED);
}

void errors_calm(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                hardware_of(i)->recovers = false;
                if (storm.tree.nodes[i].recovering)
                        announce(i, ERROR_EVENT_SUCCESS);
        }
}

void errors_time_over(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Hardware *hardware = hardware_of(i);

                if (hardware->error != ERROR_STATE_BEGIN_RECOVERY ||
                    storm.now < hardware->since + RECOVERY_USEC_MAX)
                        continue;
                storm_note("of %s no end was told", name_of(i));
                stats.unfinished++;
                for (size_t k = 0; k < LOOKS_MAX; k++)
                        if (storm.looks[k].id != 0 && storm.looks[k].node == i &&
                            storm.looks[k].inode == hardware->inode)
                                storm.looks[k].is_stale = true;
                hardware_of(i)->is_owed = true;
                expect_state(i, ERROR_STATE_UNFINISHED_RECOVERY);
        }
        error_events_time_over(storm.errors);
}

void errors_forget(size_t i)
{
        Hardware *hardware = hardware_of(i);

        if (hardware->error != ERROR_STATE_BEGIN_RECOVERY)
                hardware->error = ERROR_STATE_NONE;
}

/* ---- with the daemon ---- */

static void port_note(void *userdata, const Device *device, const ErrorNote *note)
{
}

static void port_wait(void *userdata, uint64_t usec)
{
        storm.error_at = usec > 0 ? storm.now + usec : NEVER;
}

static uint64_t now(void *userdata)
{
        return storm.now;
}

static uint32_t new_id(void *userdata)
{
        return ++storm.last_job;
}

void errors_begin(void)
{
        const ErrorPorts ports = {
                .look = port_look,
                .note = port_note,
                .wait = port_wait,
                .recover = port_recover,
                .now_realtime = now,
                .now_boottime = now,
                .new_id = new_id,
        };

        ck_assert_int_eq(error_events_new(storm.registry, storm.quarantines, &ports, &storm.errors), 0);
        /* What was announced before nobody can find out. */
        for (size_t i = 0; i < storm.tree.n; i++) {
                expect_state(i, ERROR_STATE_NONE);
                hardware_of(i)->is_owed = false;
        }
}

void errors_end(void)
{
        memset(storm.looks, 0, sizeof(storm.looks));
        storm.error_at = NEVER;
        storm.errors = error_events_free(storm.errors);
}

void errors_audit(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Device *device = device_of(i);

                if (!device)
                        continue;
                if (device->error_state != hardware_of(i)->error)
                        storm_wrong("%s is '%s' after an error, and should be '%s'", name_of(i),
                                    error_state_to_string(device->error_state),
                                    error_state_to_string(hardware_of(i)->error));
                if (!!device->quarantine != quarantine_of(i)->in)
                        storm_wrong("%s is%s in quarantine after an error", name_of(i),
                                    device->quarantine ? "" : " not");
        }
}

void errors_check_at_rest(void)
{
        for (size_t i = 0; i < storm.tree.n; i++)
                if (storm.tree.nodes[i].present && hardware_of(i)->is_owed)
                        storm_wrong("nobody has looked at %s after an error", name_of(i));
}
