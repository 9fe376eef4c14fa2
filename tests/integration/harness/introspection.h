/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Interface descriptions in XML, taken apart.
 */

#include <stdbool.h>
#include <stddef.h>

/* What an interface in an introspection document promises, one line for each element: methods, then signals,
 * then properties, each in the order of the document, as `method NAME`, `signal NAME`, `property NAME TYPE
 * ACCESS EMITS`, and indented below its member `in TYPE NAME` and `out TYPE NAME`. Defaults are filled in;
 * comments and documentation are left out. NULL: the document has no such interface. */
char *introspection_describe(const char *xml, const char *interface);

/* Calls `found` for every method in the document, with its interface and the signature of what goes in. */
void introspection_for_each_method(const char *xml, void (*found)(const char *interface, const char *member,
                                                                  const char *signature));
