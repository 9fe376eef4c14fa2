/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rules from policy files: everything that a rule may say is read, and whatever is wrong is refused with its
 * line, its column and the rule. In texts that are wrong a mark shows where.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/dropins.h"
#include "daemon/system/edges.h"
#include "daemon/system/policy-load.h"
#include "shared/cleanup.h"
#include "unit.h"

#define PATH "/etc/pciresetd/policy.d/50.json"

static Policy *policy;
static char *message;

static void setup(void)
{
        policy = policy_new();
        ck_assert_ptr_nonnull(policy);
}

static void teardown(void)
{
        policy_free(policy);
        free(message);
}

static int load_bytes(const char *text, size_t length)
{
        /* A copy of this length, so that a sanitizer sees who reads beyond. */
        char *copy = malloc(length > 0 ? length : 1);
        int r;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, length);
        free(message);
        r = policy_load_text(PATH, copy, length, NULL, policy, &message);
        free(copy);
        ck_assert_int_eq(r < 0, message != NULL);
        return r;
}

static int load(const char *text)
{
        return load_bytes(text, strlen(text));
}

/* ---- what is right ---- */

START_TEST(everything)
{
        static const char text[] =
                "{\"rules\": [{\"id\": \"gpu-1\", \"reason\": \"they keep their memory\",\n"
                "\"match\": {\"address\": \"0000:01:*\", \"modalias\": \"pci:v000010DE*\", \"driver\": "
                "\"vfio*\","
                "\"class\": \"030000/ff0000\", \"assigned\": true, \"kernel\": \"6.6..6.12\"},\n"
                "\"settings\": {\"methods\": [\"bus\", \"flr\"], \"forbid\": [\"pm\"], \"allow_link\": "
                "true,\n"
                "\"driver\": \"rebind\", \"kernel_order\": true, \"on_release\": \"reset\", "
                "\"require_clean\": true,\n\"on_error\": \"quarantine\", \"settle_usec\": 500000, "
                "\"timeout_usec\": 30000000,\n\"known_bad\": [{\"method\": \"flr\", \"source\": \"commit "
                "5727043c73fd\", \"kernel\": \"..6.5\"}],\n\"known_good\": [{\"method\": \"bus\", "
                "\"source\": "
                "\"https://example.org\"}]}}]}\n";
        static const char match[] = "address=0000:01:* modalias=pci:v000010DE* driver=vfio* "
                                    "class=030000/ff0000 assigned=true kernel=6.6..6.12";
        char buffer[POLICY_MATCH_TEXT_MAX], list[RESET_METHOD_LIST_STRING_MAX];
        const PolicySettings *settings;
        const PolicyRule *rule;

        ck_assert_int_eq(load(text), 0);
        ck_assert_uint_eq(policy_n_rules(policy), 1);
        rule = policy_rule(policy, 0);
        settings = &rule->settings;
        ck_assert_str_eq(rule->id, "gpu-1");
        ck_assert_str_eq(rule->file, PATH);
        ck_assert_str_eq(rule->reason, "they keep their memory");
        ck_assert_str_eq(policy_match_format(&rule->match, buffer), match);
        ck_assert_uint_eq(settings->set, (1U << POLICY_KEY_N) - 1);
        ck_assert_str_eq(reset_method_list_format(&settings->methods, list), "bus flr");
        ck_assert_str_eq(reset_method_list_format(&settings->forbid, list), "pm");
        ck_assert(settings->allow_link && settings->kernel_order && settings->require_clean);
        ck_assert_int_eq(settings->driver, POLICY_DRIVER_REBIND);
        ck_assert_int_eq(settings->on_release, POLICY_ON_RELEASE_RESET);
        ck_assert_int_eq(settings->on_error, POLICY_ON_ERROR_QUARANTINE);
        ck_assert_uint_eq(settings->settle_usec, 500000);
        ck_assert_uint_eq(settings->timeout_usec, 30000000);
        ck_assert_uint_eq(rule->n_known, 2);
        ck_assert(rule->known[0].bad && !rule->known[1].bad);
        ck_assert_str_eq(rule->known[0].method, "flr");
        ck_assert_str_eq(rule->known[0].source, "commit 5727043c73fd");
        ck_assert_str_eq(rule->known[0].kernel, "..6.5");
        ck_assert_str_eq(rule->known[1].kernel, "");
}
END_TEST

#define RULE(settings) "{\"rules\":[{\"id\":\"a\",\"match\":{},\"settings\":{" settings "}}]}"

/* One key each, with the value at the end of its range. */
static const struct {
        const char *text;
        PolicyKey key;
} singles[] = {
        {RULE("\"methods\":[]"), POLICY_METHODS},
        {RULE("\"forbid\":[\"device_specific\",\"acpi\",\"flr\",\"af_flr\",\"pm\",\"bus\",\"cxl_bus\","
              "\"subordinate\",\"vfio_hot\",\"slot\",\"rescan\",\"do_flr\",\"reset_device\"]"),
         POLICY_FORBID},
        {RULE("\"allow_link\":false"), POLICY_ALLOW_LINK},
        {RULE("\"driver\":\"keep\""), POLICY_DRIVER},
        {RULE("\"driver\":\"refuse\""), POLICY_DRIVER},
        {RULE("\"kernel_order\":false"), POLICY_KERNEL_ORDER},
        {RULE("\"on_release\":\"none\""), POLICY_ON_RELEASE},
        {RULE("\"require_clean\":false"), POLICY_REQUIRE_CLEAN},
        {RULE("\"on_error\":\"notify\""), POLICY_ON_ERROR},
        {RULE("\"on_error\":\"recover\""), POLICY_ON_ERROR},
        {RULE("\"settle_usec\":0"), POLICY_SETTLE_USEC},
        {RULE("\"settle_usec\":60000000"), POLICY_SETTLE_USEC},
        {RULE("\"timeout_usec\":0"), POLICY_TIMEOUT_USEC},
        {RULE("\"timeout_usec\":1000000"), POLICY_TIMEOUT_USEC},
        {RULE("\"timeout_usec\":3600000000"), POLICY_TIMEOUT_USEC},
};

START_TEST(single)
{
        ck_assert_int_eq(load(singles[_i].text), 0);
        ck_assert_uint_eq(policy_rule(policy, 0)->settings.set, 1U << singles[_i].key);
        ck_assert_uint_eq(policy_rule(policy, 0)->match.set, 0);
}
END_TEST

START_TEST(edges_beside_rules)
{
        ck_assert_int_eq(
                load("{\"edges\": [{\"devices\": [\"0000:01:00.0\", \"0000:02:00.0\"]}], \"rules\": []}"),
                1);
        ck_assert_int_eq(load("{}"), 0);
        ck_assert_uint_eq(policy_n_rules(policy), 0);
}
END_TEST

/* A daemon that follows no rules must not pass them over. */
START_TEST(rules_that_nobody_follows)
{
        static const char text[] = "{\"edges\": [],\n \"rules\": []}";

        ck_assert_int_eq(policy_load_text(PATH, text, strlen(text), NULL, NULL, &message), -EBADMSG);
        ck_assert_str_eq(message, PATH ": line 2, column 2: unknown key \"rules\"; this version knows "
                                       "\"edges\" only");
}
END_TEST

static void put(const char *directory, const char *name, const char *text)
{
        char path[128];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        fputs(text, file);
        ck_assert_int_eq(fclose(file), 0);
}

/* In the order of names over all folders, and one with the name of another replaces it. */
START_TEST(folders)
{
        char high[] = "/tmp/test-policy.XXXXXX", low[] = "/tmp/test-policy.XXXXXX", command[128];
        const char *directories[] = {high, low, NULL};

        ck_assert(mkdtemp(high) && mkdtemp(low));
        put(low, "10.json",
            "{\"rules\":[{\"id\":\"low\",\"match\":{},\"settings\":{\"allow_link\":true}}]}");
        put(low, "20.json", "broken");
        put(low, "40.json", RULE("\"allow_link\":false"));
        put(high, "20.json", "{\"rules\":[{\"id\":\"high\",\"match\":{},\"settings\":{\"forbid\":[]}}]}");
        ck_assert_int_eq(policy_load(directories, NULL, policy, &message), 0);
        put(high, "30.json", RULE("\"forbid\":0"));
        ck_assert_uint_eq(policy_n_rules(policy), 3);
        ck_assert_str_eq(policy_rule(policy, 0)->id, "low");
        ck_assert_str_eq(policy_rule(policy, 1)->id, "high");
        ck_assert_str_eq(policy_rule(policy, 2)->id, "a");
        ck_assert_int_eq(strncmp(policy_rule(policy, 1)->file, high, strlen(high)), 0);
        ck_assert_int_eq(policy_load(directories, NULL, policy, &message), -EBADMSG);
        ck_assert_ptr_nonnull(
                strstr(message, "/30.json: line 1, column 53: rules[0] \"a\": settings.forbid"));
        (void) snprintf(command, sizeof(command), "rm -r %s %s", high, low);
        ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- what is wrong ---- */

#define HEAD  "{\"rules\": [\n  {\"id\": \"a\", \"match\": {}, \"settings\": {\n    "
#define TAIL  "\n  }}\n]}\n"
#define MATCH "{\"rules\": [{\"id\": \"a\", \"settings\": {\"allow_link\": true}, \"match\": "
#define TEN   "xxxxxxxxxx"
#define FIFTY TEN TEN TEN TEN TEN

static const struct {
        const char *text; /* with a mark `@` where it is wrong */
        const char *rule;
} wrong[] = {
        /* the text itself */
        {"@", "one JSON object"},
        {"\n n@onsense", "one JSON object"},
        {"{@'rules': []}", "one JSON object"},
        {"{\"rules\": [@/* none */]}", "one JSON object"},
        {"{\"rules\": []} @x", "one JSON object"},
        {"{\"rules\": [],@}", "one JSON object"},
        {"{\"rules\": [\"@\xff\"]}", "UTF-8"},
        {"{\"rules\": [\"@\xc0\x80\"]}", "UTF-8"},
        {"{\"rules\": [\"@\xed\xa0\x80\"]}", "UTF-8"},
        {"{\"rules\": [\"a@\\u0000\"]}", "one JSON object"},
        {"{\"rules\": [\"@\n\"]}", "one JSON object"},
        /* keys that are there twice, at all levels */
        {"{\"rules\": [],\n @\"rules\": []}", "twice"},
        {"{\"rules\": [{\"id\": \"a\", @\"id\": \"b\", \"match\": {}, \"settings\": {}}]}", "twice"},
        {HEAD "\"allow_link\": true, @\"allow_link\": false" TAIL, "twice"},
        {HEAD "\"allow_link\": true, @\"allow_\\u006cink\": true" TAIL, "twice"},
        {MATCH "{\"driver\": \"a\", @\"driver\": \"b\"}}]}", "twice"},
        {HEAD "\"known_bad\": [{\"method\": \"flr\", @\"method\": \"bus\", \"source\": \"x\"}]" TAIL,
         "twice"},
        /* numbers */
        {HEAD "\"settle_usec\": @1.0" TAIL, "no whole number"},
        {HEAD "\"settle_usec\": @1e3" TAIL, "no whole number"},
        {HEAD "\"settle_usec\": @-Infinity" TAIL, "no whole number"},
        {HEAD "\"settle_usec\": @-1" TAIL, "rules[0] \"a\": settings.settle_usec"},
        {HEAD "\"settle_usec\": @60000001" TAIL, "from 1 to 60000000"},
        {HEAD "\"settle_usec\": @9223372036854775807" TAIL, "settings.settle_usec"},
        {HEAD "\"settle_usec\": @9223372036854775808" TAIL, "settings.settle_usec"},
        {HEAD "\"settle_usec\": @18446744073709551615" TAIL, "settings.settle_usec"},
        {HEAD "\"settle_usec\": @18446744073709551617" TAIL, "settings.settle_usec"},
        {HEAD "\"settle_usec\": @-99999999999999999999999999999999" TAIL, "settings.settle_usec"},
        {HEAD "\"settle_usec\": @1000000000000000000000000000000000000000000000000000000000" TAIL,
         "settings.settle_usec"},
        {HEAD "\"timeout_usec\": @999999" TAIL, "0 or from 1000000 to 3600000000"},
        {HEAD "\"timeout_usec\": @3600000001" TAIL, "settings.timeout_usec"},
        {HEAD "\"timeout_usec\": @\"30s\"" TAIL, "settings.timeout_usec"},
        {HEAD "\"timeout_usec\": @null" TAIL, "settings.timeout_usec"},
        /* the file */
        {"{@\"rule\": []}", "unknown key \"rule\""},
        {"{\"rules\": @{}}", "\"rules\" must be a list"},
        {"{\"rules\": @null}", "\"rules\" must be a list"},
        {"{\"edges\": [@1], \"rules\": []}", "edges[0]"},
        {"{\"rules\": [@1]}", "rules[0]: a rule must be an object"},
        {"{\"rules\": [@null]}", "rules[0]: a rule must be an object"},
        {"{\"rules\": [@[]]}", "rules[0]: a rule must be an object"},
        /* the rule */
        {"{\"rules\": [@{}]}", "rules[0]: \"id\" must be"},
        {"{\"rules\": [{\"id\": @1}]}", "rules[0]: \"id\" must be"},
        {"{\"rules\": [{\"id\": @\"\"}]}", "rules[0]: \"id\" must be"},
        {"{\"rules\": [{\"id\": @\"a b\"}]}", "rules[0]: \"id\" must be"},
        {"{\"rules\": [{\"id\": @\"" FIFTY TEN "xxxx\"}]}", "1 to 63"},
        {"{\"rules\": [@{\"id\": \"a\"}]}", "rules[0] \"a\": \"match\" must be"},
        {"{\"rules\": [@{\"id\": \"a\", \"match\": {}}]}", "rules[0] \"a\": \"settings\" must be"},
        {"{\"rules\": [@{\"id\": \"a\", \"settings\": {\"allow_link\": true}}]}", "\"match\" must be"},
        {"{\"rules\": [{\"id\": \"a\", \"match\": {}, \"settings\": @{}}]}", "at least one key"},
        {"{\"rules\": [{\"id\": \"a\", \"match\": {}, \"settings\": @[]}]}", "\"settings\" must be"},
        {"{\"rules\": [{\"id\": \"a\", @\"Match\": {}}]}", "rules[0] \"a\": unknown key \"Match\""},
        {"{\"rules\": [{\"id\": \"a\", \"reason\": @1, \"match\": {}}]}", "\"reason\" must be"},
        {"{\"rules\": [{\"id\": \"a\", \"reason\": @\"a\\nb\", \"match\": {}}]}", "\"reason\" must be"},
        {"{\"rules\": [{\"id\": \"a\", \"reason\": @\"" FIFTY FIFTY FIFTY FIFTY FIFTY TEN "\"}]}",
         "at most 255"},
        {"{\"rules\": [\n{\"id\": \"a\", \"match\": {}, \"settings\": {\"allow_link\": true}},\n{\"id\": "
         "@\"a\", "
         "\"match\": {}, \"settings\": {\"allow_link\": true}}]}",
         "rules[1] \"a\": another rule"},
        /* its match */
        {MATCH "@\"driver=nvme\"}]}", "\"match\" must be an object"},
        {MATCH "@null}]}", "\"match\" must be an object"},
        {MATCH "{@\"owner\": \"alice\"}}]}", "match: unknown key \"owner\""},
        {MATCH "{\"driver\": @1}}]}", "match.driver must be a text"},
        {MATCH "{\"driver\": @null}}]}", "match.driver must be a text"},
        {MATCH "{\"driver\": @[\"a\"]}}]}", "match.driver must be a text"},
        {MATCH "{\"driver\": @\"[a\"}}]}", "match.driver: \"[a\" is not a driver's name"},
        {MATCH "{\"driver\": @\"" FIFTY FIFTY "\"}}]}", "is not a driver's name"},
        {MATCH "{\"class\": @\"0300\"}}]}", "match.class: \"0300\" is not a class"},
        {MATCH "{\"class\": @768}}]}", "match.class must be a text"},
        {MATCH "{\"address\": @\"01:00.0\"}}]}", "match.address: \"01:00.0\" is not an address"},
        {MATCH "{\"modalias\": @\"pci:v000010de*\"}}]}", "match.modalias: "},
        {MATCH "{\"assigned\": @\"true\"}}]}", "match.assigned must be true or false"},
        {MATCH "{\"kernel\": @\"6.12..6.6\"}}]}", "match.kernel: \"6.12..6.6\" is not a range"},
        /* its settings */
        {HEAD "@\"method\": []" TAIL, "settings: unknown key \"method\""},
        {HEAD "@\"\\u001b[1m\": []" TAIL, "settings: unknown key \"?[1m\""},
        {HEAD "\"methods\": @\"flr\"" TAIL, "settings.methods must be a list"},
        {HEAD "\"methods\": [\"flr\", @\"flr\"]" TAIL, "settings.methods[1]: \"flr\" is there twice"},
        {HEAD "\"methods\": [\"flr\", @1]" TAIL, "settings.methods[1] is no text"},
        {HEAD "\"methods\": [@null]" TAIL, "settings.methods[0] is no text"},
        {HEAD "\"methods\": [@\"any\"]" TAIL, "\"any\" is no method"},
        {HEAD "\"forbid\": [\"bus\", @\"flrr\"]" TAIL, "settings.forbid[1]: \"flrr\" is no method"},
        {HEAD "\"forbid\": [@\"\"]" TAIL, "settings.forbid[0]: \"\" is no method"},
        {HEAD "\"allow_link\": @1" TAIL, "settings.allow_link must be true or false"},
        {HEAD "\"kernel_order\": @[\"flr\"]" TAIL, "settings.kernel_order must be true or false"},
        {HEAD "\"require_clean\": @null" TAIL, "settings.require_clean must be true or false"},
        {HEAD "\"driver\": @\"unbind\"" TAIL, "settings.driver must be \"keep\""},
        {HEAD "\"driver\": @false" TAIL, "settings.driver must be"},
        {HEAD "\"on_release\": @\"\"" TAIL, "settings.on_release must be"},
        {HEAD "\"on_error\": @\"Notify\"" TAIL, "settings.on_error must be"},
        /* what is known */
        {HEAD "\"known_bad\": @{}" TAIL, "settings.known_bad must be a list"},
        {HEAD "\"known_good\": [@\"flr\"]" TAIL, "settings.known_good[0] must be an object"},
        {HEAD "\"known_bad\": [@{\"method\": \"flr\"}]" TAIL,
         "settings.known_bad[0]: \"source\" is missing"},
        {HEAD "\"known_bad\": [@{\"source\": \"x\"}]" TAIL, "\"method\" is missing"},
        {HEAD "\"known_bad\": [{\"method\": @1, \"source\": \"x\"}]" TAIL, "\"method\" is missing, no text"},
        {HEAD "\"known_bad\": [@{\"method\": \"flr\", \"source\": \"\"}]" TAIL, "the source is empty"},
        {HEAD "\"known_bad\": [@{\"method\": \"f\", \"source\": \"x\"}]" TAIL, "the method is not known"},
        {HEAD "\"known_bad\": [@{\"method\": \"flr\", \"source\": \"x\", \"kernel\": \"..\"}]" TAIL,
         "a range"},
        {HEAD "\"known_bad\": [@{\"method\": \"flr\", \"source\": \"x\", \"why\": \"x\"}]" TAIL,
         "no other keys"},
        {HEAD "\"known_bad\": [{\"method\": \"flr\", \"source\": @\"" FIFTY FIFTY FIFTY FIFTY FIFTY TEN
              "\"}]" TAIL,
         "\"source\" is missing, no text, too long"},
};

/* The whole message but for its last part, and none of the file's control characters. */
static void expect_message(size_t line, size_t column, const char *rule)
{
        char place[128];

        (void) snprintf(place, sizeof(place), PATH ": line %zu, column %zu: ", line, column);
        ck_assert_msg(strncmp(message, place, strlen(place)) == 0, "no '%s' in: %s", place, message);
        ck_assert_msg(strstr(message, rule), "no '%s' in: %s", rule, message);
        ck_assert_uint_lt(strlen(message), 400);
        for (const char *p = message; *p; p++)
                ck_assert_int_ge((unsigned char) *p, ' ');
}

START_TEST(is_refused)
{
        const char *marked = wrong[_i].text;
        size_t at = strcspn(marked, "@"), line = 1, column = 1;
        char text[1024];

        memcpy(text, marked, at);
        strcpy(text + at, marked + at + 1);
        for (size_t i = 0; i < at; i++)
                if (text[i] == '\n') {
                        line++;
                        column = 1;
                } else {
                        column++;
                }
        ck_assert_int_eq(load(text), -EBADMSG);
        expect_message(line, column, wrong[_i].rule);
}
END_TEST

START_TEST(nul)
{
        static const char text[] = "{\"rules\": []}\0";

        ck_assert_int_eq(load_bytes(text, sizeof(text)), -EBADMSG);
        expect_message(1, 14, "one JSON object");
}
END_TEST

START_TEST(deep)
{
        static char text[200000];

        memcpy(text, "{\"rules\":", 9);
        memset(text + 9, '[', sizeof(text) - 9);
        ck_assert_int_eq(load_bytes(text, sizeof(text)), -EBADMSG);
        ck_assert_ptr_nonnull(strstr(message, "at most 7 deep"));
}
END_TEST

START_TEST(large)
{
        size_t size = 10U << 20;
        char *text = malloc(size);

        ck_assert_ptr_nonnull(text);
        memset(text, ' ', size);
        memcpy(text, "{}", 2);
        ck_assert_int_eq(load_bytes(text, size), -EFBIG);
        ck_assert_ptr_nonnull(strstr(message, "larger than 1048576 bytes"));
        ck_assert_int_eq(load_bytes(text, DROPIN_SIZE_MAX + 1), -EFBIG);
        ck_assert_int_eq(load_bytes(text, DROPIN_SIZE_MAX), 0);
        free(text);
}
END_TEST

/* As many keys as a file has room for, and the last is there twice: still found soon. */
START_TEST(many_keys)
{
        _cleanup_free_ char *text = NULL;
        size_t size, i;
        FILE *f = open_memstream(&text, &size);

        fputs("{", f);
        for (i = 0; ftell(f) < (long) DROPIN_SIZE_MAX - 64; i++)
                fprintf(f, "\"%zu\":0,", i);
        fprintf(f, "\n\"%zu\":0}", i - 1);
        ck_assert_int_eq(fclose(f), 0);
        ck_assert_int_eq(load_bytes(text, size), -EBADMSG);
        expect_message(2, 1, "twice");
}
END_TEST

START_TEST(many_rules)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputs("{\"rules\":[", f);
        for (size_t i = 0; i <= POLICY_RULES_MAX; i++)
                fprintf(f, "%s\n{\"id\":\"r%zu\",\"match\":{},\"settings\":{\"allow_link\":true}}",
                        i > 0 ? "," : "", i);
        fputs("]}", f);
        ck_assert_int_eq(fclose(f), 0);
        ck_assert_int_eq(load_bytes(text, size), -EBADMSG);
        expect_message(POLICY_RULES_MAX + 2, 1, "rules[4096] \"r4096\": there are more than 4096 rules");
}
END_TEST

START_TEST(much_knowledge)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputs("{\"rules\":[{\"id\":\"a\",\"match\":{},\"settings\":{\"known_good\":[", f);
        for (size_t i = 0; i <= POLICY_KNOWN_MAX; i++)
                fprintf(f, "%s\n{\"method\":\"flr\",\"source\":\"x\"}", i > 0 ? "," : "");
        fputs("]}}]}", f);
        ck_assert_int_eq(fclose(f), 0);
        ck_assert_int_eq(load_bytes(text, size), -EBADMSG);
        expect_message(POLICY_KNOWN_MAX + 2, 1, "settings.known_good[32]: more than 32");
}
END_TEST

/* Whatever byte of a good file is changed or wherever it is cut: it is read or refused with a message. */
START_TEST(damaged)
{
        static const char good[] =
                "{\"rules\": [{\"id\": \"a\", \"match\": {\"class\": \"03*\"}, \"settings\": "
                "{\"forbid\": [\"pm\"], \"settle_usec\": 5, \"known_bad\": [{\"method\": "
                "\"bus\", \"source\": \"x\", \"kernel\": \"6.6..\"}]}}]}";
        unsigned n_refused = 0;

        for (size_t i = 0; i < strlen(good); i++)
                for (int byte = 0; byte < 256; byte += 3) {
                        char text[sizeof(good)];

                        strcpy(text, good);
                        text[i] = (char) byte;
                        n_refused += load_bytes(text, strlen(good)) < 0;
                        policy_free(policy);
                        setup();
                }
        ck_assert_uint_gt(n_refused, 1000);
        for (size_t i = 0; i < strlen(good); i++)
                ck_assert_int_eq(load_bytes(good, i), -EBADMSG);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy-load");
        TCase *tcase = tcase_create("policy-load");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, everything);
        tcase_add_loop_test(tcase, single, 0, (int) ELEMENTSOF(singles));
        tcase_add_test(tcase, edges_beside_rules);
        tcase_add_test(tcase, rules_that_nobody_follows);
        tcase_add_test(tcase, folders);
        tcase_add_loop_test(tcase, is_refused, 0, (int) ELEMENTSOF(wrong));
        tcase_add_test(tcase, nul);
        tcase_add_test(tcase, deep);
        tcase_add_test(tcase, large);
        tcase_add_test(tcase, many_keys);
        tcase_add_test(tcase, many_rules);
        tcase_add_test(tcase, much_knowledge);
        tcase_add_test(tcase, damaged);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
