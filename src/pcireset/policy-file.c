/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "pcireset/policy-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcireset/command.h"
#include "pcireset/error-text.h"
#include "pcireset/policy-check.h"
#include "pcireset/text.h"

/* What a new file begins with. */
#define TEMPLATE "{\n    \"rules\": [\n    ]\n}\n"

/* ---- check ---- */

static int print_checked(const Client *client, const char *path, const PolicyChecked *checked)
{
        _cleanup_json_ json_object *object = NULL;

        if (!client->json)
                return text_print_line(stdout,
                                       "%s is right: rules: %zu, pairs of devices that go together: %zu",
                                       path, checked->n_rules, checked->n_pairs);
        object = json_object_new_object();
        if (!object || json_add(object, "file", json_object_new_string(path)) < 0 ||
            json_add(object, "rules", json_object_new_int64((int64_t) checked->n_rules)) < 0 ||
            json_add(object, "pairs", json_object_new_int64((int64_t) checked->n_pairs)) < 0)
                return -ENOMEM;
        return json_print(stdout, object, false);
}

static int report_wrong(const Client *client, const PolicyChecked *checked, int error, const char *next_step)
{
        if (error == -ENOMEM && !checked->message)
                return error;
        return report_failure(client, EXIT_OTHER, CLIENT_ERROR("PolicyFile"), next_step, "%s",
                              checked->message ? checked->message : strerror(-error));
}

int policy_file_check(Client *client, char **arguments)
{
        _cleanup_(policy_checked_done) PolicyChecked checked = {};
        int r;

        if (!arguments[0] || arguments[1])
                return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), "See `pcireset --help`.",
                                      "`policy check` needs one file: pcireset policy check FILE");
        r = policy_check(arguments[0], &checked);
        if (r < 0)
                return report_wrong(client, &checked, r, NULL);
        return print_checked(client, arguments[0], &checked);
}

/* ---- edit ---- */

/* VISUAL or EDITOR, which may have arguments of their own, as sudoedit and systemctl take them. */
static int run_editor(const Client *client, const char *path)
{
        const char *editor = getenv("VISUAL");
        char *command[] = {(char *) "sh", (char *) "-c", NULL, (char *) "sh", (char *) path, NULL};
        _cleanup_free_ char *script = NULL;
        int r, status;

        if (!editor || !*editor)
                editor = getenv("EDITOR");
        if (!editor || !*editor)
                editor = "editor";
        if (asprintf(&script, "exec %s \"$1\"", editor) < 0) {
                script = NULL;
                return -ENOMEM;
        }
        command[2] = script;
        r = command_run(command, -1, &status);
        if (r < 0)
                return r;
        if (r > 0 || status != 0)
                return report_failure(client, EXIT_OTHER, CLIENT_ERROR("Editor"),
                                      "Set EDITOR to one that is there.",
                                      "the editor `%s` has failed; nothing was changed", editor);
        return EXIT_OK;
}

static int read_text(const char *path, char **ret, size_t *ret_length)
{
        FILE *f = fopen(path, "re");
        size_t n;
        char *text;

        if (!f)
                return -errno;
        text = malloc(POLICY_FILE_MAX + 1);
        if (!text) {
                (void) fclose(f);
                return -ENOMEM;
        }
        n = fread(text, 1, POLICY_FILE_MAX + 1, f);
        (void) fclose(f);
        *ret = text;
        *ret_length = n;
        return n > POLICY_FILE_MAX ? -EFBIG : 0;
}

static int write_copy(int fd, const char *path)
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        int r = read_text(path, &text, &length);
        ssize_t n;

        if (r == -ENOENT)
                n = write(fd, TEMPLATE, strlen(TEMPLATE));
        else if (r < 0)
                return r;
        else
                n = write(fd, text, length);
        return n < 0 ? -errno : 0;
}

/* The copy has the ending that the reader of files wants to see, and is its owner's alone. */
static int make_copy(const char *path, char copy[static 64])
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        (void) snprintf(copy, 64, "/tmp/pcireset-policy.XXXXXX.json");
        fd = mkostemps(copy, (int) strlen(".json"), O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = write_copy(fd, path);
        if (r < 0)
                (void) unlink(copy);
        return r;
}

static int put_in_place(const Client *client, const char *path, const char *copy)
{
        _cleanup_free_ char *text = NULL;
        size_t length;
        int r = read_text(copy, &text, &length);

        if (r >= 0)
                r = policy_put(path, text, length);
        if (r != 0)
                return report_failure(client, EXIT_OTHER, CLIENT_ERROR("PolicyFile"),
                                      "Is the disk full, and may you write there?",
                                      "%s could not be written: %s; what you have written is in %s", path,
                                      strerror(abs(r)), copy);
        (void) unlink(copy);
        return text_print_line(stdout, "%s is in its place. `systemctl reload pciresetd` has it followed.",
                               path);
}

int policy_file_edit(Client *client, char **arguments)
{
        const char *path = arguments[0] ? arguments[0] : POLICY_DEFAULT_FILE;
        _cleanup_(policy_checked_done) PolicyChecked checked = {};
        char copy[64];
        int r;

        if ((arguments[0] && arguments[1]) || path[0] != '/')
                return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), "See `pcireset --help`.",
                                      "`policy edit` takes one file, with its whole path: pcireset policy "
                                      "edit [FILE]");
        r = make_copy(path, copy);
        if (r < 0)
                return report_failure(client, EXIT_OTHER, CLIENT_ERROR("PolicyFile"), NULL,
                                      "%s cannot be copied: %s", path, strerror(-r));
        r = run_editor(client, copy);
        if (r != EXIT_OK) {
                (void) unlink(copy);
                return r;
        }
        r = policy_check(copy, &checked);
        if (r >= 0)
                return put_in_place(client, path, copy);
        return report_wrong(
                client, &checked, r,
                "Put it right there, and move it to its place; the file itself has not changed.");
}
