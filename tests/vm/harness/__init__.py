# SPDX-License-Identifier: GPL-2.0-or-later
"""Host side of the test machine: builds it, starts it, talks to it."""
