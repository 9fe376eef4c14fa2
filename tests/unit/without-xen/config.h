/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The configuration of this build, but as `configure --without-xen` makes it.
 */

#include_next "config.h"

#undef HAVE_XENSTORE
#define HAVE_XENSTORE 0
