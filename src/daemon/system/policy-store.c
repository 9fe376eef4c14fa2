/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Changes stand in a queue, and its head is the one under way. A set rule is first put into a copy of the
 * policy, whose text then goes to the disk; only when it is there the copy holds. So no one sees a rule that
 * a crash could take back, and the next change is made from what holds.
 *
 * A change of stored rules reads no other files: a drop-in that an administrator is just writing is for the
 * next reload.
 */

#include "daemon/system/policy-store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/policy-edit.h"
#include "daemon/system/disk-task.h"
#include "daemon/system/file-replace.h"
#include "daemon/system/journal.h"
#include "daemon/system/policy-write.h"
#include "shared/cleanup.h"

#define ID_PREFIX "set-"

typedef enum ChangeKind {
        CHANGE_RELOAD,
        CHANGE_SET,
        CHANGE_UNSET,
} ChangeKind;

struct PolicyChange {
        PolicyStore *store;
        ChangeKind kind;
        uint32_t uid; /* who sets or takes away */
        PolicyRule rule; /* to set */
        char id[POLICY_ID_MAX];
        bool runtime;
        Policy *edited; /* what holds when the disk has it */
        PolicyHandler handler; /* NULL: nobody waits */
        void *userdata;
        PolicyChange *prev, *next;
};

struct PolicyStore {
        sd_event *event;
        Registry *registry;
        PolicyListener listener;
        void *userdata;
        PolicyChange *changes;
        DiskTask *task; /* of the first one */
        bool running;
        unsigned last_id; /* the highest number that was given to a rule */
};

/* What the thread works on: nothing of the store's. */
typedef struct Work {
        const char *path; /* static; NULL: read all */
        char *text; /* NULL: the file goes */
        Registry *registry;
        PolicyLoaded loaded;
        char *message;
} Work;

DEFINE_CLEANUP(Policy *, policy_free);

static void run_next(PolicyStore *store);

static void work_free(void *data)
{
        Work *work = data;

        if (!work)
                return;
        registry_free(work->registry);
        free(work->text);
        free(work->message);
        free(work);
}

DEFINE_CLEANUP(Work *, work_free);

static int work_run(void *data)
{
        Work *work = data;

        if (work->path)
                return file_replace(work->path, work->text, work->text ? strlen(work->text) : 0);
        return policy_source_read(&work->registry, &work->loaded, &work->message);
}

static const char *file_of(bool runtime)
{
        return runtime ? POLICY_STORED_RUNTIME_FILE : POLICY_STORED_FILE;
}

bool policy_rule_is_stored(const PolicyRule *rule, bool *ret_runtime)
{
        *ret_runtime = strcmp(rule->file, POLICY_STORED_RUNTIME_FILE) == 0;
        return *ret_runtime || strcmp(rule->file, POLICY_STORED_FILE) == 0;
}

const PolicyRule *policy_store_find(const PolicyStore *store, const char *id)
{
        const Policy *policy = registry_policy(store->registry);
        const PolicyRule *rule = policy_find(policy, POLICY_STORED_FILE, id);

        return rule ? rule : policy_find(policy, POLICY_STORED_RUNTIME_FILE, id);
}

/* ---- one change ---- */

/* In no stored rule yet, nor in one that is gone: whoever was allowed to take that one away, and was slow
 * about it, must not take away another one. */
static void new_id(PolicyStore *store, char id[static POLICY_ID_MAX])
{
        do {
                (void) snprintf(id, POLICY_ID_MAX, ID_PREFIX "%u", ++store->last_id);
        } while (policy_store_find(store, id));
}

/* What the devices have already, and over that what is set now. */
static int prepare_set(PolicyChange *change)
{
        const Policy *policy = registry_policy(change->store->registry);
        const char *file = file_of(change->runtime);
        const PolicyRule *old = policy_find_match(policy, file, &change->rule.match);
        PolicyRule rule = {.match = change->rule.match, .file = (char *) file};

        if (!old && policy_count(policy, file) >= POLICY_STORED_MAX)
                return -E2BIG;
        if (old) {
                rule = *old;
                memcpy(change->id, old->id, sizeof(change->id));
        } else {
                new_id(change->store, change->id);
                memcpy(rule.id, change->id, sizeof(rule.id));
        }
        policy_settings_merge(&rule.settings, &change->rule.settings);
        if (change->rule.reason[0] != '\0')
                memcpy(rule.reason, change->rule.reason, sizeof(rule.reason));
        return policy_edit(policy, old, &rule, POLICY_STORED_RUNTIME_FILE, &change->edited);
}

static int prepare_unset(PolicyChange *change)
{
        const PolicyRule *rule = policy_store_find(change->store, change->id);

        if (!rule)
                return -ENOENT;
        (void) policy_rule_is_stored(rule, &change->runtime);
        return policy_edit(registry_policy(change->store->registry), rule, NULL, POLICY_STORED_RUNTIME_FILE,
                           &change->edited);
}

static int prepare(PolicyChange *change, Work *work)
{
        int r;

        if (change->kind == CHANGE_RELOAD)
                return 0;
        r = change->kind == CHANGE_SET ? prepare_set(change) : prepare_unset(change);
        if (r < 0)
                return r;
        work->path = file_of(change->runtime);
        if (policy_count(change->edited, work->path) == 0)
                return 0;
        return policy_write(change->edited, work->path, &work->text);
}

static void change_free(PolicyChange *change)
{
        policy_rule_done(&change->rule);
        policy_free(change->edited);
        free(change);
}

/* The first one is over: the next may begin before its handler is called, which may ask for more. */
static void end(PolicyStore *store, const Work *work, int error)
{
        PolicyChange *change = store->changes;
        const PolicyOutcome outcome = {
                .error = error,
                .message = work ? work->message : NULL,
                .id = change->id,
                .loaded = work && change->kind == CHANGE_RELOAD && error == 0 ? &work->loaded : NULL,
        };

        DL_DELETE(store->changes, change);
        if (error >= 0 && store->listener)
                store->listener(store->userdata);
        /* Whether or not somebody still waits for it. */
        if (change->kind != CHANGE_RELOAD)
                journal_policy_changed(change->uid, change->id, change->kind == CHANGE_UNSET, error);
        if (change->handler)
                change->handler(change->userdata, &outcome);
        change_free(change);
}

static void on_done(void *userdata, void *data, int result)
{
        _cleanup_(cleanup_work_free) Work *work = data;
        PolicyStore *store = userdata;
        PolicyChange *change = store->changes;

        store->task = NULL;
        if (result >= 0 && change->kind == CHANGE_RELOAD)
                registry_take_policy(store->registry, work->registry);
        else if (result >= 0)
                registry_change_policy(store->registry, steal_pointer(change->edited));
        end(store, work, result);
        run_next(store);
}

static int start(PolicyStore *store)
{
        _cleanup_(cleanup_work_free) Work *data = calloc(1, sizeof(Work));
        const DiskWork work = {
                .run = work_run,
                .done = on_done,
                .release = work_free,
                .data = data,
                .userdata = store,
        };
        int r;

        if (!data)
                return -ENOMEM;
        r = prepare(store->changes, data);
        if (r >= 0)
                r = disk_task_start(store->event, &work, &store->task);
        if (r >= 0)
                (void) steal_pointer(data);
        return r;
}

static int on_turn(sd_event_source *source, void *userdata)
{
        PolicyStore *store = userdata;
        int r;

        sd_event_source_unref(source);
        store->running = false;
        if (!store->changes || store->task)
                return 0;
        r = start(store);
        if (r < 0) {
                end(store, NULL, r);
                run_next(store);
        }
        return 0;
}

/* From the loop, so that no handler is called before who asked has got his answer. */
static void run_next(PolicyStore *store)
{
        sd_event_source *source;

        if (!store->changes || store->task || store->running)
                return;
        if (sd_event_add_defer(store->event, &source, on_turn, store) >= 0)
                store->running = true;
}

static int enqueue(PolicyStore *store, const PolicyChange *what, PolicyChange **ret)
{
        const PolicyChange *other;
        PolicyChange *change;
        unsigned n;

        DL_COUNT(store->changes, other, n);
        if (n >= POLICY_CHANGES_MAX)
                return -EBUSY;
        change = malloc(sizeof(PolicyChange));
        if (!change)
                return -ENOMEM;
        *change = *what;
        change->store = store;
        DL_APPEND(store->changes, change);
        if (ret)
                *ret = change;
        run_next(store);
        return 0;
}

/* ---- for others ---- */

int policy_store_reload(PolicyStore *store, PolicyHandler handler, void *userdata, PolicyChange **ret)
{
        return enqueue(store,
                       &(PolicyChange){.kind = CHANGE_RELOAD, .handler = handler, .userdata = userdata},
                       ret);
}

int policy_store_set(PolicyStore *store, uint32_t uid, PolicyRule *rule, bool runtime, PolicyHandler handler,
                     void *userdata, PolicyChange **ret)
{
        int r = enqueue(store,
                        &(PolicyChange){.kind = CHANGE_SET,
                                        .uid = uid,
                                        .rule = *rule,
                                        .runtime = runtime,
                                        .handler = handler,
                                        .userdata = userdata},
                        ret);

        if (r >= 0)
                *rule = (PolicyRule){};
        return r;
}

int policy_store_unset(PolicyStore *store, uint32_t uid, const char *id, PolicyHandler handler,
                       void *userdata, PolicyChange **ret)
{
        PolicyChange change = {.kind = CHANGE_UNSET, .uid = uid, .handler = handler, .userdata = userdata};

        (void) snprintf(change.id, sizeof(change.id), "%s", id);
        return enqueue(store, &change, ret);
}

PolicyChange *policy_change_forget(PolicyChange *change)
{
        if (change)
                change->handler = NULL;
        return NULL;
}

int policy_store_load(PolicyStore *store, PolicyLoaded *ret, char **ret_message)
{
        Registry *read;
        int r = policy_source_read(&read, ret, ret_message);

        if (r < 0)
                return r;
        registry_take_policy(store->registry, read);
        registry_free(read);
        return 0;
}

int policy_store_new(sd_event *event, Registry *registry, PolicyListener listener, void *userdata,
                     PolicyStore **ret)
{
        PolicyStore *store = calloc(1, sizeof(PolicyStore));

        if (!store)
                return -ENOMEM;
        store->event = sd_event_ref(event);
        store->registry = registry;
        store->listener = listener;
        store->userdata = userdata;
        *ret = store;
        return 0;
}

PolicyStore *policy_store_free(PolicyStore *store)
{
        PolicyChange *change, *next;

        if (!store)
                return NULL;
        disk_task_forget(store->task);
        DL_FOREACH_SAFE (store->changes, change, next) {
                DL_DELETE(store->changes, change);
                change_free(change);
        }
        sd_event_unref(store->event);
        free(store);
        return NULL;
}
