//! Every scenario and vector of `stratum.md` §15 and §16 has a test, and the test exists: this table
//! is looked up in the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A section of the specification, and the tests that prove it.
const PROVEN: &[(&str, &[&str])] = &[
    (
        "15.1 T1",
        &[
            "a_plain_miner_gets_difficulty_and_work_after_its_pause",
            "a_share_for_the_old_tip_is_stale_only_in_the_strict_mode",
        ],
    ),
    ("15.1 T2", &["an_esp_miner_that_waits_for_its_answers_is_served_as_the_specification_shows"]),
    ("15.1 T3", &["an_authorize_before_the_subscribe_waits_for_it"]),
    ("15.1 T4", &["a_late_configure_is_answered_first_and_ends_the_pause"]),
    (
        "15.1 T5",
        &[
            "a_difficulty_in_the_password_or_the_name_is_a_floor_and_ends_the_pause",
            "the_difficulty_follows_the_miner_with_clean_work_and_shares_in_flight_count",
        ],
    ),
    ("15.1 T6", &["a_suggestion_outside_enforced_limits_bans_the_worker_for_an_hour"]),
    ("15.1 T7", &["a_permanent_ban_is_told_and_closes"]),
    ("15.1 T8", &["the_worker_must_match_only_where_that_is_asked_for"]),
    ("15.1 T9", &["each_bad_field_of_a_submit_has_its_answer"]),
    ("15.2 1", &["a_plain_miner_gets_difficulty_and_work_after_its_pause"]),
    ("15.2 2", &["cgminer_reads_one_line_after_configure_and_it_is_the_answer"]),
    ("15.2 3", &["a_late_configure_is_answered_first_and_ends_the_pause"]),
    ("15.2 4", &["an_authorize_before_the_subscribe_waits_for_it"]),
    ("15.2 5", &["a_difficulty_in_the_password_or_the_name_is_a_floor_and_ends_the_pause"]),
    (
        "15.2 6",
        &[
            "a_difficulty_in_the_password_or_the_name_is_a_floor_and_ends_the_pause",
            "a_hint_is_no_part_of_the_workers_name",
        ],
    ),
    ("15.2 7", &["a_suggestion_before_the_subscribe_is_announced_before_the_first_work"]),
    ("15.2 8", &["only_the_first_suggestion_counts_and_bad_ones_are_told_so"]),
    ("15.2 9", &["a_locked_suggestion_is_taken_as_it_is_and_never_moves"]),
    ("15.2 10", &["a_suggestion_outside_enforced_limits_bans_the_worker_for_an_hour"]),
    ("15.2 11", &["who_cannot_be_paid_is_told_and_closed"]),
    ("15.2 12", &["every_method_is_answered"]),
    (
        "15.2 13",
        &[
            "what_is_no_request_is_answered_if_it_can_be_and_closed",
            "what_is_no_request_ends_its_connection_and_nothing_else",
        ],
    ),
    (
        "15.2 14",
        &[
            "lines_come_out_the_same_at_every_split",
            "crlf_and_blank_lines_between_requests_change_nothing",
            "blank_lines_are_no_sign_of_life",
        ],
    ),
    (
        "15.2 15",
        &[
            "each_bad_field_of_a_submit_has_its_answer",
            "every_row_of_the_submit_matrix_that_needs_length_or_mask_has_its_answer",
        ],
    ),
    (
        "15.2 16",
        &[
            "the_specifications_shares_are_judged_as_it_says",
            "a_good_share_counts_once_in_whatever_spelling",
        ],
    ),
    ("15.2 17", &["an_unknown_job_is_stale_in_every_mode_unless_it_is_a_block"]),
    ("15.2 18", &["a_share_for_the_old_tip_is_stale_only_in_the_strict_mode"]),
    (
        "15.2 19",
        &[
            "a_block_is_a_block_whatever_policy_says",
            "a_block_whose_time_is_outside_the_window_is_a_block",
        ],
    ),
    ("15.2 20", &["blocks_of_every_shape_of_merkle_tree_are_accepted"]),
    (
        "15.2 21",
        &[
            "the_version_table_of_the_specification_holds",
            "every_row_of_the_submit_matrix_that_needs_length_or_mask_has_its_answer",
        ],
    ),
    (
        "15.2 22",
        &[
            "every_method_is_answered",
            "a_late_configure_is_answered_first_and_ends_the_pause",
            "an_esp_miner_that_waits_for_its_answers_is_served_as_the_specification_shows",
        ],
    ),
    ("15.2 23", &["every_method_is_answered", "the_transactions_of_a_named_job_are_its_own"]),
    ("15.2 24", &["one_message_too_many_in_a_minute_ends_the_connection"]),
    ("15.2 25", &["too_many_invalid_submissions_ban_the_worker_and_leave_the_connection_open"]),
    ("15.2 26", &["of_a_client_that_comes_and_goes_the_61st_connection_is_refused"]),
    ("15.2 27", &["a_place_is_free_again_when_its_connection_ends"]),
    ("15.2 28", &["shares_and_blocks_come_in_over_tls"]),
    ("15.2 29", &["a_plain_miner_gets_difficulty_and_work_after_its_pause"]),
    (
        "15.2 30",
        &[
            "the_difficulty_follows_the_miner_with_clean_work_and_shares_in_flight_count",
            "from_any_start_the_rate_is_within_half_of_the_target_in_ten_minutes",
        ],
    ),
    (
        "15.2 31",
        &[
            "the_gate_shuts_after_five_minutes_of_trouble_once_and_opens_at_once",
            "a_pause_tells_every_miner_once_closes_it_and_turns_away_who_comes",
            "a_miner_is_asked_to_come_back_when_the_pool_stops",
        ],
    ),
    ("15.2 32", &["the_subscribe_answer_has_two_shapes"]),
    ("15.2 33", &["a_banned_client_is_turned_away_at_subscribe"]),
    (
        "15.2 34",
        &[
            "another_worker_on_the_connection_gets_clean_work_and_the_old_work_still_counts",
            "the_work_after_a_second_authorize_pays_the_second_wallet",
        ],
    ),
    ("15.2 35", &["a_client_that_never_reads_is_closed"]),
    ("16.1", &["counters_read_as_the_specification_says"]),
    ("16.2", &["workers_are_hashed_as_the_specification_says"]),
    ("16.3", &["difficulties_give_the_targets_of_the_specification"]),
    (
        "16.4",
        &[
            "the_complete_job_of_the_specification_is_sent_byte_for_byte",
            "the_specifications_shares_are_judged_as_it_says",
        ],
    ),
];

#[test]
fn every_scenario_has_a_test_that_exists() {
    let expected = (1..=9)
        .map(|n| format!("15.1 T{n}"))
        .chain((1..=35).map(|n| format!("15.2 {n}")))
        .chain((1..=4).map(|n| format!("16.{n}")));
    let listed: Vec<&str> = PROVEN.iter().map(|(section, _)| *section).collect();
    assert_eq!(listed, expected.collect::<Vec<_>>(), "every section once, in order");
    let tests = test_names();
    for (section, names) in PROVEN {
        assert!(!names.is_empty(), "{section} has no test");
        for name in *names {
            assert!(tests.iter().any(|test| test == name), "{section}: no test is called {name}");
        }
    }
}

/// The names of all functions in the sources of the workspace that stand below `#[test]`.
fn test_names() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    for folder in ["shards/src", "shards/tests", "src", "tests"] {
        rust_files(&root.join(folder), &mut files);
    }
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if line == "#[test]"
                && let Some(name) = lines.find_map(|line| line.strip_prefix("fn "))
            {
                names.extend(name.split('(').next().map(str::to_owned));
            }
        }
    }
    names
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
