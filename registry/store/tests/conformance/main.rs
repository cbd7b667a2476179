//! The conformance suite of registries, run against SQLite and PostgreSQL.
//!
//! Each test is a function over a [`World`]. `conformance!` makes two tests of it,
//! `sqlite::SUBJECT::TEST` and `postgres::SUBJECT::TEST`. A function that it does not list is dead
//! code, which the build refuses. After each test the audit is verified, unless the test changed
//! tables without the registry. Failures that only one of the databases can have are in
//! [`migration`], [`migration_from_8`], [`migration_from_9`] and [`server`].

// invariant: SQLite and PostgreSQL behave the same.

mod migration;
mod migration_from_8;
mod migration_from_9;
#[cfg(feature = "postgres")]
mod server;
mod world;

use world::World;

macro_rules! conformance {
    ($($subject:ident: $($test:ident),+;)+) => {
        $(mod $subject;)+

        mod sqlite {
            $(mod $subject {
                $(#[test]
                fn $test() {
                    let world = crate::World::sqlite();
                    crate::$subject::$test(&world);
                    world.check_unless_edited();
                })+
            })+
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(mod $subject {
                $(#[test]
                #[ignore = "needs PostgreSQL"]
                fn $test() {
                    let world = crate::World::postgres();
                    crate::$subject::$test(&world);
                    world.check_unless_edited();
                })+
            })+
        }
    };
}

conformance! {
    runs:
        a_run_is_read_back_as_it_was_recorded,
        of_a_repeated_parameter_or_tag_the_last_counts,
        a_run_ends_once,
        if_many_end_a_run_at_once_one_does,
        runs_are_found_by_prefix_pipeline_and_age,
        a_deleted_run_is_listed_no_more_until_it_is_restored,
        parts_of_many_runs_do_not_mix;
    logging:
        every_value_of_a_metric_is_kept_in_the_order_of_time_step_and_value,
        the_last_value_is_that_of_the_greatest_step_then_time_then_value,
        a_metric_without_a_time_is_logged_now,
        a_parameter_is_logged_once,
        a_batch_is_logged_whole_or_not_at_all,
        a_value_that_a_client_logs_again_counts_once,
        a_request_that_is_repeated_before_its_answer_counts_once,
        a_client_logs_only_tags_to_a_run_of_a_pipeline,
        what_is_logged_has_names_within_limits,
        tags_are_replaced_and_removed,
        an_ended_run_is_still_logged_to_and_a_deleted_one_is_not,
        loggers_in_opposite_orders_do_not_block_each_other;
    experiments:
        an_experiment_is_made_by_hand_or_by_its_first_run,
        an_experiment_is_renamed_with_its_runs,
        a_deleted_experiment_takes_no_runs_until_it_is_restored,
        runs_of_a_deleted_experiment_count_as_deleted_until_it_is_restored,
        tags_of_experiments_are_replaced,
        names_of_experiments_are_text_within_limits;
    client_runs:
        a_run_of_a_client_is_read_back_as_it_was_begun,
        a_run_of_a_client_outlives_every_process,
        a_client_ends_its_run_and_begins_it_again,
        a_client_ends_no_run_of_a_pipeline,
        experiments_are_named_by_number,
        the_default_experiment_has_the_number_0,
        an_experiment_named_default_gets_the_number_0_with_all_that_belongs_to_it;
    run_tables:
        a_table_has_the_chosen_values_and_no_others,
        names_are_found_by_a_part_of_them,
        a_curve_is_short_and_keeps_its_extremes,
        a_curve_of_steps_far_apart_is_short,
        experiments_are_listed_with_their_runs,
        what_running_steps_say_is_noted_until_they_are_recorded;
    histories:
        a_batch_of_any_size_is_logged_whole,
        parameters_of_a_batch_that_contradict_each_other_are_refused,
        a_history_is_read_page_by_page,
        histories_of_several_runs_are_read_at_once,
        a_sample_of_histories_has_the_same_steps_in_every_run;
    inputs:
        datasets_and_models_of_a_run_are_read_back,
        the_table_that_a_pipeline_ingested_is_its_dataset,
        runs_are_found_by_the_datasets_that_clients_logged,
        datasets_of_experiments_are_listed_once;
    client_files:
        a_file_is_read_back_as_it_was_uploaded_and_replaced,
        a_file_whose_bytes_were_changed_is_not_served,
        a_folder_is_listed_without_what_lies_deeper,
        a_file_and_a_folder_have_different_paths,
        files_are_deleted_alone_or_with_their_folder,
        what_is_no_path_of_a_file_is_refused,
        a_client_puts_no_file_where_those_of_pipelines_versions_are,
        files_of_deleted_runs_are_garbage_unless_a_version_needs_them;
    logged_models:
        a_logged_model_goes_from_pending_to_ready,
        what_is_no_logged_model_is_refused,
        the_last_metric_of_a_logged_model_is_kept_by_dataset_and_run,
        logged_models_are_found_by_metrics_parameters_tags_and_attributes,
        a_logged_model_knows_the_versions_that_it_was_registered_as;
    accounts:
        the_first_user_is_an_administrator_and_switches_accounts_on,
        the_last_administrator_stays_until_accounts_are_switched_off,
        a_password_is_known_until_another_is_set,
        a_token_is_known_until_it_expires_or_is_revoked,
        a_user_has_a_bounded_number_of_tokens_and_sessions,
        permissions_hold_on_what_they_were_granted_on,
        whoever_creates_something_manages_it_and_the_audit_names_them,
        a_path_of_a_file_belongs_to_its_experiments;
    imported:
        an_identifier_is_reserved_once_and_marked_as_whole,
        an_imported_run_has_its_own_identifier_and_times,
        an_imported_logged_model_has_its_own_identifier_and_times,
        an_imported_version_has_its_own_number_stage_and_times_and_is_pinned;
    foreign:
        a_version_of_a_client_is_read_back_as_it_was_registered,
        a_version_of_a_client_is_neither_judged_nor_deployed_nor_promoted_nor_run,
        a_model_has_versions_of_pipelines_or_of_clients,
        versions_of_clients_go_through_stages_by_mlflows_rules,
        champion_is_an_alias_of_a_clients_model,
        a_version_is_pinned_to_its_files_when_they_are_there,
        a_version_keeps_its_files_when_what_its_source_names_is_deleted_or_moved,
        a_source_that_refers_to_nothing_is_refused,
        versions_of_clients_hide_none_that_their_run_made,
        models_of_clients_are_tagged_described_searched_and_deleted,
        a_changed_source_is_named_by_the_audit;
    stages:
        a_stage_is_read_back_as_it_was_recorded,
        a_stage_is_found_by_its_key_while_its_run_is_not_deleted,
        what_only_runs_reach_is_listed_by_its_last_use,
        metrics_of_a_stage_become_the_runs_under_its_name,
        a_metric_that_is_nan_comes_back_as_nan,
        counts_beyond_the_databases_saturate,
        a_run_that_has_ended_takes_no_more_stages,
        artifacts_of_deleted_runs_are_not_reachable;
    models:
        a_model_is_registered_by_hand_or_by_its_first_version,
        models_are_sorted_by_bytes,
        names_are_identifiers,
        tags_and_descriptions_of_models_are_changed,
        an_alias_moves_only_from_where_it_is_believed_to_be,
        an_alias_that_is_not_there_cannot_be_removed,
        a_forced_alias_moves_from_anywhere,
        some_aliases_are_reserved,
        a_model_is_renamed_with_all_that_belongs_to_it,
        a_model_is_deleted_but_for_its_audit,
        a_model_with_a_champion_is_not_deleted;
    versions:
        a_version_is_read_back_as_it_was_registered,
        a_version_without_one_of_its_artifacts_is_not_registered,
        a_version_with_a_truncated_artifact_is_not_registered,
        a_version_with_a_flipped_byte_in_an_artifact_is_not_registered,
        a_version_whose_artifact_is_restored_is_registered,
        numbers_are_consecutive_and_not_given_again,
        semantic_numbers_are_given_from_the_version_before,
        a_candidate_of_the_same_parts_is_no_new_version,
        the_rows_that_a_version_learnt_from_are_kept,
        rows_that_are_not_known_of_one_training_are_not_known_of_the_version,
        rows_are_hashed_with_a_key_of_the_registrys_own,
        tags_and_descriptions_of_versions_are_changed;
    verdicts:
        a_verdict_is_read_back_as_it_was_recorded,
        a_later_verdict_supersedes_an_earlier_one_and_erases_nothing,
        a_verdict_against_another_champion_is_not_recorded,
        a_verdict_without_an_artifact_that_explains_it_is_not_recorded,
        metrics_of_a_manifest_are_those_of_the_first_verdict;
    lifecycle:
        versions_go_through_stages,
        production_is_reached_by_promotion_alone,
        the_champion_is_not_set_aside_without_another,
        only_an_approved_version_becomes_champion,
        a_promotion_archives_the_champion_before,
        one_rollback_after_another_leads_further_back,
        a_rollback_goes_to_the_version_archived_last_and_not_to_the_newest,
        a_version_that_never_was_champion_is_no_target_of_a_rollback,
        a_deleted_version_is_no_target_of_a_rollback;
    promotions:
        a_promotion_is_intended_then_current_then_finished,
        a_promotion_that_is_undone_leaves_the_champion,
        a_promotion_is_undone_if_the_champion_moved_meanwhile,
        a_promotion_is_undone_even_if_the_champion_it_expected_is_deleted,
        a_promotion_against_another_champion_than_expected_is_refused,
        promoting_the_champion_repairs_its_destination,
        finishing_a_promotion_finishes_those_before_it_at_the_same_destination,
        promotions_of_one_millisecond_are_in_the_order_of_their_completion,
        a_rollback_is_recorded_as_one,
        garbage_is_not_collected_where_somebody_promotes_to,
        what_a_promotion_copies_is_needed_until_it_is_finished,
        a_version_is_promoted_only_against_the_champion_that_it_was_judged_against,
        what_is_rejected_or_undecided_is_not_promoted_until_it_is_judged_again;
    retirement:
        a_model_retires_and_is_deleted,
        a_retired_champion_comes_back_by_rollback_or_by_a_new_verdict,
        a_promotion_that_expected_the_retired_champion_is_undone;
    deployments:
        a_deployment_goes_from_step_to_step_and_ends,
        a_model_has_one_active_deployment,
        a_step_is_made_only_from_the_revision_that_was_looked_at,
        an_end_that_names_no_revision_ends_the_active_deployment,
        an_abort_undoes_the_promotion_of_the_candidate_that_is_under_way,
        what_is_no_deployment_is_refused,
        a_version_of_an_active_deployment_is_not_deleted,
        a_deployment_follows_its_model_to_its_new_name_and_goes_with_it,
        counters_of_several_servers_add_up,
        what_cannot_be_counted_is_refused,
        a_refusal_of_a_version_is_on_record_once;
    webhooks:
        a_webhook_is_read_back_changed_and_deleted,
        every_change_is_queued_for_the_webhooks_that_want_it,
        one_process_tells_a_webhook_and_what_it_took_is_told_no_more;
    hooks:
        every_change_of_a_champion_is_told_in_order,
        a_change_says_whether_production_locations_followed_it,
        a_hook_begins_today_and_its_place_only_moves_on,
        a_hook_is_held_by_one_until_it_lets_go_or_its_time_is_over;
    outcomes:
        of_each_request_the_first_outcome_counts,
        a_posting_of_any_size_is_recorded_whole,
        outcomes_are_tallied_by_arm_and_version_since_a_time,
        the_oldest_outcomes_are_removed,
        outcomes_that_were_posted_first_are_removed_whenever_they_happened,
        what_is_no_outcome_is_refused_with_all_of_its_posting,
        if_many_post_the_same_outcomes_each_is_recorded_once,
        a_model_that_is_deleted_while_outcomes_are_posted_leaves_none,
        outcomes_stay_with_their_model_and_go_with_it;
    watching:
        every_change_of_models_wakes_whoever_watches,
        what_changes_no_model_wakes_nobody,
        a_change_of_another_process_wakes_whoever_watches,
        a_watch_ends_when_a_newer_program_converts_the_tables,
        whoever_watches_for_weeks_holds_up_nobody;
    opening:
        a_registry_to_serve_from_must_exist,
        opening_to_serve_settles_nothing_and_opening_to_work_leaves_what_lives,
        a_registry_that_is_only_read_is_not_changed;
    bounded_pages:
        a_page_of_large_runs_ends_at_its_bound_and_the_next_one_goes_on;
    newer_formats:
        a_newer_format_is_only_read_if_its_maker_says_so,
        a_newer_format_is_written_if_its_maker_says_so,
        a_newer_format_whose_maker_says_nothing_clear_is_left_alone;
    audit:
        an_empty_audit_verifies,
        the_audit_is_read_page_by_page_from_its_end,
        every_change_of_a_model_is_in_the_chain,
        odd_texts_do_not_break_the_chain,
        the_database_refuses_to_change_the_audit,
        an_edited_entry_is_detected,
        a_removed_entry_is_detected_wherever_it_stood,
        an_entry_that_is_removed_with_the_others_renumbered_is_detected,
        reordered_entries_are_detected,
        an_entry_that_nobody_made_is_detected,
        the_champion_of_any_date_is_known,
        views_answer_people_who_ask_in_sql;
    tampering:
        a_changed_value_of_a_version_is_named,
        a_moved_champion_is_named_with_what_was_expected,
        a_changed_verdict_is_named,
        a_verdict_that_nobody_logged_is_named_and_one_that_is_gone,
        a_changed_part_of_a_version_is_named,
        a_key_of_rows_that_was_replaced_is_named_at_every_version_that_has_rows,
        a_changed_model_is_named,
        a_changed_deployment_is_named_and_one_that_nobody_started,
        models_and_versions_that_nobody_registered_are_named_and_those_that_are_gone,
        whatever_the_registry_does_leaves_it_whole;
    concurrency:
        sixty_four_writers_in_two_processes_get_consecutive_versions,
        sixty_four_loggers_in_two_processes_lose_no_metric,
        of_a_thousand_concurrent_promotions_one_champion_is_left,
        of_two_candidates_judged_against_one_champion_one_succeeds_it_and_the_other_is_judged_again,
        an_experiment_that_many_runs_make_at_once_is_one,
        an_alias_that_many_set_at_once_is_set_by_one,
        of_two_processes_that_advance_a_deployment_one_does,
        runs_of_dead_processes_are_killed_and_those_of_live_ones_are_not;
    crashes:
        a_promotion_whose_process_dies_is_settled_by_whoever_opens_next,
        a_process_that_is_killed_anywhere_leaves_one_champion,
        a_collection_whose_process_dies_blocks_no_promotion;
    search:
        runs_are_found_by_metrics_parameters_tags_and_attributes,
        a_metric_is_found_by_its_own_name_alone,
        what_is_missing_comes_last_in_every_order_and_nan_before_it,
        pages_follow_each_other_without_gaps,
        only_runs_of_these_experiments_are_found_and_deleted_ones_apart,
        versions_are_found_by_stage_alias_verdict_and_tag,
        models_and_experiments_are_found_by_name_and_tag;
}
