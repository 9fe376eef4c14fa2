# SPDX-License-Identifier: GPL-2.0-or-later

UNIT_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/unit
UNIT_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(CHECK_CFLAGS)
UNIT_LIBS = libshared.a $(JSON_LIBS) $(CHECK_LIBS)

# The worker, the protocol and JSON.
worker_unit_tests = \
	tests/unit/test-channel \
	tests/unit/test-come-back \
	tests/unit/test-hotplug-port \
	tests/unit/test-config-space \
	tests/unit/test-device \
	tests/unit/test-checkup \
	tests/unit/test-health \
	tests/unit/test-probe \
	tests/unit/test-holders \
	tests/unit/test-holders-elsewhere \
	tests/unit/test-holders-netns \
	tests/unit/test-holders-network \
	tests/unit/test-holders-processes \
	tests/unit/test-holders-silent \
	tests/unit/test-holders-storage \
	tests/unit/test-json \
	tests/unit/test-json-place \
	tests/unit/test-mend \
	tests/unit/test-keep-off \
	tests/unit/test-rebind \
	tests/unit/test-record \
	tests/unit/test-reset \
	tests/unit/test-image \
	tests/unit/test-reset-ways \
	tests/unit/test-eeh \
	tests/unit/test-plan-eeh \
	tests/unit/test-vfio-hot \
	tests/unit/test-worker-hostile \
	tests/unit/test-worker-messages \
	tests/unit/test-xen \
	tests/unit/test-without-xen
check_PROGRAMS += $(worker_unit_tests)
unit_tests += $(worker_unit_tests)

check_LIBRARIES += libfakepci.a
libfakepci_a_SOURCES = tests/unit/fake-pci.c tests/unit/fake-pci.h tests/unit/unit.h
libfakepci_a_CPPFLAGS = $(UNIT_CPPFLAGS)
libfakepci_a_CFLAGS = $(UNIT_CFLAGS)

tests_unit_test_channel_SOURCES = tests/unit/test-channel.c
tests_unit_test_channel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_channel_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_channel_LDADD = libworker.a $(UNIT_LIBS)

tests_unit_test_config_space_SOURCES = tests/unit/test-config-space.c
tests_unit_test_config_space_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_config_space_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_config_space_LDADD = libworker.a $(UNIT_LIBS)

tests_unit_test_device_SOURCES = tests/unit/test-device.c
tests_unit_test_device_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_device_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_device_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_probe_SOURCES = tests/unit/test-probe.c
tests_unit_test_probe_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_probe_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_probe_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_checkup_SOURCES = tests/unit/test-checkup.c
tests_unit_test_checkup_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_checkup_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_checkup_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_health_SOURCES = tests/unit/test-health.c
tests_unit_test_health_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_health_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_health_LDADD = libworker.a $(UNIT_LIBS)

# Functions of the bed stand for what is in no file.
check_LIBRARIES += libholdersbed.a
libholdersbed_a_SOURCES = tests/unit/holders-bed.c tests/unit/holders-bed.h
libholdersbed_a_CPPFLAGS = $(UNIT_CPPFLAGS)
libholdersbed_a_CFLAGS = $(UNIT_CFLAGS)
holders_bed_ldflags = $(AM_LDFLAGS) \
	-Wl,--wrap=look_claim -Wl,--wrap=xen_guest_of -Wl,--wrap=eventfd -Wl,--wrap=getifaddrs -Wl,--wrap=freeifaddrs \
	-Wl,--wrap=statx -Wl,--wrap=readlinkat
holders_bed_libs = libholdersbed.a libworker.a $(UNIT_LIBS)

tests_unit_test_holders_SOURCES = tests/unit/test-holders.c
tests_unit_test_holders_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_LDFLAGS = $(holders_bed_ldflags)
tests_unit_test_holders_LDADD = $(holders_bed_libs)

tests_unit_test_holders_elsewhere_SOURCES = tests/unit/test-holders-elsewhere.c
tests_unit_test_holders_elsewhere_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_elsewhere_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_elsewhere_LDFLAGS = $(holders_bed_ldflags)
tests_unit_test_holders_elsewhere_LDADD = $(holders_bed_libs)

tests_unit_test_holders_netns_SOURCES = tests/unit/test-holders-netns.c \
	tests/unit/fake-rtnetlink.c tests/unit/fake-rtnetlink.h
tests_unit_test_holders_netns_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_netns_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_netns_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=net_links_socket
tests_unit_test_holders_netns_LDADD = libworker.a $(UNIT_LIBS)

tests_unit_test_holders_network_SOURCES = tests/unit/test-holders-network.c
tests_unit_test_holders_network_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_network_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_network_LDFLAGS = $(holders_bed_ldflags)
tests_unit_test_holders_network_LDADD = $(holders_bed_libs)

tests_unit_test_holders_processes_SOURCES = tests/unit/test-holders-processes.c
tests_unit_test_holders_processes_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_processes_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_processes_LDFLAGS = $(holders_bed_ldflags)
tests_unit_test_holders_processes_LDADD = $(holders_bed_libs)

tests_unit_test_holders_silent_SOURCES = tests/unit/test-holders-silent.c
tests_unit_test_holders_silent_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_silent_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_silent_LDFLAGS = $(holders_bed_ldflags)
tests_unit_test_holders_silent_LDADD = $(holders_bed_libs)

tests_unit_test_holders_storage_SOURCES = tests/unit/test-holders-storage.c
tests_unit_test_holders_storage_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_holders_storage_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_holders_storage_LDFLAGS = $(holders_bed_ldflags)
tests_unit_test_holders_storage_LDADD = $(holders_bed_libs)

tests_unit_test_json_SOURCES = tests/unit/test-json.c
tests_unit_test_json_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_json_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_json_LDADD = $(UNIT_LIBS)

tests_unit_test_record_SOURCES = tests/unit/test-record.c
tests_unit_test_record_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_record_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_record_LDADD = libworker.a $(UNIT_LIBS)

# A model of the kernel stands behind the one function that writes to devices.
reset_model_sources = tests/unit/reset-model.c tests/unit/reset-model.h
reset_model_ldflags = $(AM_LDFLAGS) -Wl,--wrap=attribute_write -Wl,--wrap=holders_scan

tests_unit_test_keep_off_SOURCES = tests/unit/test-keep-off.c $(reset_model_sources)
tests_unit_test_keep_off_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_keep_off_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_keep_off_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_keep_off_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_rebind_SOURCES = tests/unit/test-rebind.c $(reset_model_sources)
tests_unit_test_rebind_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_rebind_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_rebind_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_rebind_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_mend_SOURCES = tests/unit/test-mend.c $(reset_model_sources)
tests_unit_test_mend_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_mend_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_mend_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_mend_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_reset_SOURCES = tests/unit/test-reset.c $(reset_model_sources)
tests_unit_test_reset_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_reset_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_reset_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_reset_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

# Another stands behind the calls to VFIO.
tests_unit_test_vfio_hot_SOURCES = tests/unit/test-vfio-hot.c $(reset_model_sources)
tests_unit_test_vfio_hot_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_vfio_hot_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_vfio_hot_LDFLAGS = $(reset_model_ldflags) \
	-Wl,--wrap=vfio_open -Wl,--wrap=vfio_ioctl -Wl,--wrap=vfio_group_of
tests_unit_test_vfio_hot_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_eeh_SOURCES = tests/unit/test-eeh.c $(reset_model_sources)
tests_unit_test_eeh_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_eeh_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_eeh_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_eeh_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_plan_eeh_SOURCES = tests/unit/test-plan-eeh.c
tests_unit_test_plan_eeh_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_eeh_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_plan_eeh_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_image_SOURCES = tests/unit/test-image.c $(reset_model_sources)
tests_unit_test_image_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_image_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_image_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_image_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_reset_ways_SOURCES = tests/unit/test-reset-ways.c $(reset_model_sources)
tests_unit_test_reset_ways_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_reset_ways_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_reset_ways_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_reset_ways_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_come_back_SOURCES = tests/unit/test-come-back.c $(reset_model_sources)
tests_unit_test_come_back_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_come_back_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_come_back_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_come_back_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

tests_unit_test_hotplug_port_SOURCES = tests/unit/test-hotplug-port.c $(reset_model_sources)
tests_unit_test_hotplug_port_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_hotplug_port_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_hotplug_port_LDFLAGS = $(reset_model_ldflags)
tests_unit_test_hotplug_port_LDADD = libfakepci.a libworker.a $(UNIT_LIBS)

protocol_sources = tests/unit/protocol.c tests/unit/protocol.h

tests_unit_test_worker_hostile_SOURCES = tests/unit/test-worker-hostile.c $(protocol_sources)
tests_unit_test_worker_hostile_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_worker_hostile_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_worker_hostile_LDADD = $(UNIT_LIBS)

tests_unit_test_worker_messages_SOURCES = tests/unit/test-worker-messages.c $(protocol_sources)
tests_unit_test_worker_messages_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_worker_messages_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_worker_messages_LDADD = $(UNIT_LIBS)

tests_unit_test_xen_SOURCES = tests/unit/test-xen.c
tests_unit_test_xen_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_xen_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_xen_LDADD = libworker.a $(UNIT_LIBS)

# The same test and the worker's part, built without xenstore: this config.h is found first.
tests_unit_test_without_xen_SOURCES = tests/unit/test-xen.c tests/unit/without-xen/config.h src/worker/xen.c
tests_unit_test_without_xen_CPPFLAGS = -iquote $(top_srcdir)/tests/unit/without-xen $(UNIT_CPPFLAGS)
tests_unit_test_without_xen_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_without_xen_LDADD = $(UNIT_LIBS)

# The words and the domain.
domain_unit_tests = \
	tests/unit/test-address \
	tests/unit/test-driver \
	tests/unit/test-claims \
	tests/unit/test-jobs \
	tests/unit/test-jobs-held \
	tests/unit/test-error-events \
	tests/unit/test-kernel-order \
	tests/unit/test-worker-order \
	tests/unit/test-jobs-lost \
	tests/unit/test-lobby \
	tests/unit/test-owner \
	tests/unit/test-jobs-looked \
	tests/unit/test-jobs-random \
	tests/unit/test-jobs-silent \
	tests/unit/test-jobs-waiting \
	tests/unit/test-lane \
	tests/unit/test-method \
	tests/unit/test-plan \
	tests/unit/test-plan-sets \
	tests/unit/test-plan-use \
	tests/unit/test-plan-policy \
	tests/unit/test-policy \
	tests/unit/test-policy-edit \
	tests/unit/test-policy-match \
	tests/unit/test-policy-order \
	tests/unit/test-plan-proven \
	tests/unit/test-cleanliness \
	tests/unit/test-quarantine-cards \
	tests/unit/test-quarantine \
	tests/unit/test-recover \
	tests/unit/test-recover-by-rule \
	tests/unit/test-release \
	tests/unit/test-release-lost \
	tests/unit/test-release-vfio \
	tests/unit/test-release-sets \
	tests/unit/test-release-random \
	tests/unit/test-registry \
	tests/unit/test-utf8
check_PROGRAMS += $(domain_unit_tests)
unit_tests += $(domain_unit_tests)

check_LIBRARIES += libworld.a
libworld_a_SOURCES = tests/unit/job-world.c tests/unit/job-world.h tests/unit/world.c tests/unit/world.h
libworld_a_CPPFLAGS = $(UNIT_CPPFLAGS)
libworld_a_CFLAGS = $(UNIT_CFLAGS)

tests_unit_test_address_SOURCES = tests/unit/test-address.c
tests_unit_test_address_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_address_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_address_LDADD = $(UNIT_LIBS)

tests_unit_test_driver_SOURCES = tests/unit/test-driver.c
tests_unit_test_driver_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_driver_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_driver_LDADD = $(UNIT_LIBS)

tests_unit_test_utf8_SOURCES = tests/unit/test-utf8.c
tests_unit_test_utf8_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_utf8_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_utf8_LDADD = $(UNIT_LIBS)

tests_unit_test_worker_order_SOURCES = tests/unit/test-worker-order.c
tests_unit_test_worker_order_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_worker_order_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_worker_order_LDADD = $(UNIT_LIBS)

tests_unit_test_method_SOURCES = tests/unit/test-method.c
tests_unit_test_method_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_method_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_method_LDADD = $(UNIT_LIBS)

tests_unit_test_jobs_SOURCES = tests/unit/test-jobs.c
tests_unit_test_jobs_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jobs_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_lane_SOURCES = tests/unit/test-lane.c
tests_unit_test_lane_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lane_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lane_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_plan_SOURCES = tests/unit/test-plan.c
tests_unit_test_plan_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_plan_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_registry_SOURCES = tests/unit/test-registry.c
tests_unit_test_registry_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_registry_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_registry_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_claims_SOURCES = tests/unit/test-claims.c
tests_unit_test_claims_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_claims_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_claims_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_plan_sets_SOURCES = tests/unit/test-plan-sets.c
tests_unit_test_plan_sets_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_sets_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_plan_sets_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_plan_policy_SOURCES = tests/unit/test-plan-policy.c
tests_unit_test_plan_policy_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_plan_policy_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_policy_edit_SOURCES = tests/unit/test-policy-edit.c
tests_unit_test_policy_edit_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_policy_edit_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policy_edit_LDADD = libdomain.a $(UNIT_LIBS)

tests_unit_test_plan_use_SOURCES = tests/unit/test-plan-use.c
tests_unit_test_plan_use_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_use_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_plan_use_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_error_events_SOURCES = tests/unit/test-error-events.c
tests_unit_test_error_events_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_error_events_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_error_events_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_kernel_order_SOURCES = tests/unit/test-kernel-order.c
tests_unit_test_kernel_order_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_kernel_order_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_kernel_order_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_jobs_held_SOURCES = tests/unit/test-jobs-held.c
tests_unit_test_jobs_held_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_held_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jobs_held_LDADD = libworld.a libdomain.a $(UNIT_LIBS)
tests_unit_test_jobs_lost_SOURCES = tests/unit/test-jobs-lost.c
tests_unit_test_jobs_lost_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_lost_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lobby_SOURCES = tests/unit/test-lobby.c
tests_unit_test_lobby_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lobby_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lobby_LDADD = libbus.a $(UNIT_LIBS)
tests_unit_test_owner_SOURCES = tests/unit/test-owner.c
tests_unit_test_owner_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_owner_CFLAGS = $(UNIT_CFLAGS) $(SYSTEM_CFLAGS)
tests_unit_test_owner_LDADD = libbus.a libdomain.a $(SYSTEMD_LIBS) $(UNIT_LIBS)

tests_unit_test_jobs_lost_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_plan_proven_SOURCES = tests/unit/test-plan-proven.c
tests_unit_test_plan_proven_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_plan_proven_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_plan_proven_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

recover_bed_sources = tests/unit/recover-bed.c tests/unit/recover-bed.h

tests_unit_test_recover_SOURCES = tests/unit/test-recover.c $(recover_bed_sources)
tests_unit_test_recover_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_recover_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_recover_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_recover_by_rule_SOURCES = tests/unit/test-recover-by-rule.c $(recover_bed_sources)
tests_unit_test_recover_by_rule_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_recover_by_rule_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_recover_by_rule_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_cleanliness_SOURCES = tests/unit/test-cleanliness.c
tests_unit_test_cleanliness_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cleanliness_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cleanliness_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_release_random_SOURCES = tests/unit/test-release-random.c
tests_unit_test_release_random_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_release_random_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_release_random_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

release_bed_sources = tests/unit/release-bed.c tests/unit/release-bed.h

tests_unit_test_release_SOURCES = tests/unit/test-release.c $(release_bed_sources)
tests_unit_test_release_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_release_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_release_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_release_lost_SOURCES = tests/unit/test-release-lost.c $(release_bed_sources)
tests_unit_test_release_lost_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_release_lost_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_release_lost_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_release_sets_SOURCES = tests/unit/test-release-sets.c $(release_bed_sources)
tests_unit_test_release_sets_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_release_sets_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_release_sets_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_release_vfio_SOURCES = tests/unit/test-release-vfio.c $(release_bed_sources)
tests_unit_test_release_vfio_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_release_vfio_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_release_vfio_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_quarantine_cards_SOURCES = tests/unit/test-quarantine-cards.c
tests_unit_test_quarantine_cards_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_quarantine_cards_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_quarantine_cards_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_quarantine_SOURCES = tests/unit/test-quarantine.c
tests_unit_test_quarantine_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_quarantine_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_quarantine_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_jobs_looked_SOURCES = tests/unit/test-jobs-looked.c
tests_unit_test_jobs_looked_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_looked_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jobs_looked_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_jobs_waiting_SOURCES = tests/unit/test-jobs-waiting.c
tests_unit_test_jobs_waiting_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_waiting_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jobs_waiting_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_jobs_silent_SOURCES = tests/unit/test-jobs-silent.c
tests_unit_test_jobs_silent_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_silent_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jobs_silent_LDADD = libworld.a libdomain.a $(UNIT_LIBS)

tests_unit_test_jobs_random_SOURCES = tests/unit/test-jobs-random.c \
	tests/unit/random-oracle.c tests/unit/random-oracle.h \
	tests/unit/random-track.c tests/unit/random-track.h \
	tests/unit/random-tree.c tests/unit/random-tree.h
tests_unit_test_jobs_random_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_jobs_random_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_jobs_random_LDADD = libdomain.a $(UNIT_LIBS)

tests_unit_test_policy_match_SOURCES = tests/unit/test-policy-match.c
tests_unit_test_policy_match_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_policy_match_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policy_match_LDADD = libdomain.a $(UNIT_LIBS)

tests_unit_test_policy_SOURCES = tests/unit/test-policy.c tests/unit/policy-bed.c tests/unit/policy-bed.h
tests_unit_test_policy_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policy_LDADD = libdomain.a $(UNIT_LIBS)

tests_unit_test_json_place_SOURCES = tests/unit/test-json-place.c
tests_unit_test_json_place_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_json_place_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_json_place_LDADD = $(UNIT_LIBS)

tests_unit_test_policy_order_SOURCES = tests/unit/test-policy-order.c tests/unit/policy-bed.c tests/unit/policy-bed.h
tests_unit_test_policy_order_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_policy_order_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_policy_order_LDADD = libdomain.a $(UNIT_LIBS)
