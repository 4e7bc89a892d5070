//! The rules of `state-and-services.md` §7, and its row in Appendix D.

use std::collections::HashSet;

use super::*;

const TAG: &str = "aB3d";
const NOW: u64 = 1_700_000_000;

fn codes() -> Codes {
    Codes::new(TAG)
}

/// Codes whose draws are these indexes into the word list, and nothing after them.
fn scripted(draws: &[u16]) -> Codes {
    let mut bytes: Vec<u8> = draws.iter().flat_map(|draw| draw.to_le_bytes()).collect();
    let randomness = move |out: &mut [u8]| {
        if bytes.len() < out.len() {
            return Err(getrandom::Error::UNEXPECTED);
        }
        for (to, from) in out.iter_mut().zip(bytes.drain(..2)) {
            *to = from;
        }
        Ok(())
    };
    Codes::with_randomness(TAG, Box::new(randomness))
}

fn row(user_id: &str, code: &str, created_at_unix: u64) -> StoredCode {
    StoredCode {
        user_id: user_id.to_owned(),
        code: code.to_owned(),
        created_at_unix,
        expires_at_unix: created_at_unix + LIFETIME_SECONDS,
    }
}

/// Whose the code was.
fn redeem(codes: &mut Codes, who: &str, input: &str, now: u64) -> Result<String, RedeemError> {
    codes.redeem(who, input, now).map(|code| code.user_id)
}

#[test]
fn a_code_has_the_tag_as_configured_and_lives_five_minutes() {
    let mut codes = scripted(&[0, 1, 2, 7775]);
    let issued = codes.create("user", NOW).unwrap();
    assert_eq!(issued.code, "aB3d-abacus-abdomen-abdominal-zoom");
    assert_eq!(issued.expires_at_unix, NOW + 300);
}

#[test]
fn a_code_works_once() {
    let mut codes = codes();
    let code = codes.create("user", NOW).unwrap().code;
    assert_eq!(redeem(&mut codes, "discord", &code, NOW + 1), Ok("user".to_owned()));
    assert_eq!(redeem(&mut codes, "discord", &code, NOW + 2), Err(RedeemError::Invalid));
}

#[test]
fn a_code_that_nothing_came_of_is_given_back_as_it_was() {
    let mut codes = codes();
    let code = codes.create("user", NOW).unwrap().code;
    let used = codes.redeem("discord", &code, NOW + 1).unwrap();
    assert_eq!(codes.restore(vec![used.clone()], NOW + 2), 1);
    assert_eq!(redeem(&mut codes, "discord", &code, NOW + 300), Ok("user".to_owned()));
    // Who has made another one meanwhile has that.
    codes.create("user", NOW + 2).unwrap();
    assert_eq!(codes.restore(vec![used], NOW + 3), 0);
}

#[test]
fn a_code_works_through_its_last_second_and_not_after() {
    let mut codes = codes();
    for (user, wait, is_good) in [("a", 300, true), ("b", 301, false)] {
        let code = codes.create(user, NOW).unwrap().code;
        assert_eq!(redeem(&mut codes, "discord", &code, NOW + wait).is_ok(), is_good, "{wait}");
    }
}

#[test]
fn a_code_is_accepted_in_any_case_and_with_more_white_space() {
    let mut codes = scripted(&[7775, 7775, 7775, 7775]);
    codes.create("user", NOW).unwrap();
    let typed = "  Ab3D- ZOOM - zoom-\tZoom  -zoom ";
    assert_eq!(redeem(&mut codes, "discord", typed, NOW), Ok("user".to_owned()));
}

#[test]
fn a_code_without_the_tag_or_with_another_is_rejected_and_stays() {
    let mut codes = codes();
    let code = codes.create("user", NOW).unwrap().code;
    for input in [&code[5..], &format!("aB3e-{}", &code[5..]), &code[..code.len() - 1], "aB3d-"] {
        assert_eq!(redeem(&mut codes, "discord", input, NOW), Err(RedeemError::Invalid), "{input}");
    }
    assert_eq!(redeem(&mut codes, "discord", &code, NOW), Ok("user".to_owned()));
}

#[test]
fn without_a_valid_tag_there_are_no_codes() {
    for tag in ["", "abc", "abcde", "ab d", "äöü"] {
        let mut codes = Codes::new(tag);
        assert!(matches!(codes.create("user", NOW), Err(CreateError::NoTag)), "{tag}");
        assert_eq!(redeem(&mut codes, "discord", "x", NOW), Err(RedeemError::NoTag));
        assert!(!codes.clear("user", "x", NOW));
    }
}

#[test]
fn a_new_tag_makes_codes_with_the_old_one_unusable() {
    let mut codes = codes();
    let code = codes.create("user", NOW).unwrap().code;
    codes.set_tag("Zz99");
    assert_eq!(redeem(&mut codes, "discord", &code, NOW), Err(RedeemError::Invalid));
    assert!(codes.create("user", NOW).unwrap().code.starts_with("Zz99-"));
}

#[test]
fn a_user_has_one_code_the_newest() {
    let mut codes = codes();
    let old = codes.create("user", NOW).unwrap().code;
    let new = codes.create("user", NOW).unwrap().code;
    assert_eq!(codes.live().len(), 1);
    assert_eq!(redeem(&mut codes, "discord", &old, NOW), Err(RedeemError::Invalid));
    assert_eq!(redeem(&mut codes, "discord", &new, NOW), Ok("user".to_owned()));
}

#[test]
fn draws_that_are_live_already_are_skipped() {
    let mut codes = scripted(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
    codes.create("a", NOW).unwrap();
    let second = codes.create("b", NOW).unwrap();
    assert_eq!(second.code, "aB3d-abdominal-abdominal-abdominal-abdominal");
}

#[test]
fn after_fifty_collisions_there_is_no_code_and_the_earlier_one_stays() {
    let mut codes = scripted(&[1; 4 * (1 + DRAWS_MAX)]);
    let first = codes.create("a", NOW).unwrap().code;
    assert!(matches!(codes.create("a", NOW), Err(CreateError::NoneUnused)));
    assert_eq!(redeem(&mut codes, "discord", &first, NOW), Ok("a".to_owned()));
    // The script has ended: exactly fifty codes were drawn.
    assert!(matches!(codes.create("a", NOW), Err(CreateError::NoRandomness(_))));
}

#[test]
fn the_oldest_makes_room_for_the_newest() {
    let mut codes = codes();
    let shown: Vec<String> = (0..CODES_MAX as u64)
        .map(|i| codes.create(&i.to_string(), NOW + i / 100).unwrap().code)
        .collect();
    assert_eq!(shown.iter().collect::<HashSet<_>>().len(), CODES_MAX);
    let later = NOW + 20;
    codes.create("one more", later).unwrap();
    assert_eq!(codes.live().len(), CODES_MAX);
    assert_eq!(redeem(&mut codes, "discord", &shown[0], later), Err(RedeemError::Invalid));
    assert_eq!(redeem(&mut codes, "discord", &shown[1], later), Ok("1".to_owned()));
    // Expired ones go before any that is still good: here all that were made first.
    codes.create("much later", NOW + 305).unwrap();
    assert!(codes.live().iter().all(|row| row.expires_at_unix >= NOW + 305));
}

#[test]
fn five_new_codes_in_ten_minutes_are_allowed_to_a_pool_user() {
    let mut codes = codes();
    for _ in 0..5 {
        codes.create("user", NOW).unwrap();
    }
    let error = codes.create("user", NOW + 60).unwrap_err();
    assert!(matches!(error, CreateError::TooMany { wait_seconds: 540 }));
    assert_eq!(error.to_string(), "too many new codes: try again in 540 seconds");
    // The last one made is still good.
    assert_eq!(codes.live().len(), 1);
    codes.create("another", NOW + 60).unwrap();
    codes.create("user", NOW + 600).unwrap();
}

#[test]
fn after_five_failures_even_the_right_code_waits_for_ten_minutes() {
    let mut codes = codes();
    for _ in 0..5 {
        assert_eq!(redeem(&mut codes, "guesser", "aB3d-x", NOW), Err(RedeemError::Invalid));
        assert_eq!(redeem(&mut codes, "guesser", "  ", NOW), Err(RedeemError::Blank));
    }
    let code = codes.create("user", NOW + 400).unwrap().code;
    let refused = Err(RedeemError::TooMany { wait_seconds: 100 });
    assert_eq!(redeem(&mut codes, "guesser", &code, NOW + 500), refused);
    assert_eq!(redeem(&mut codes, "another", &code, NOW + 500), Ok("user".to_owned()));
    let code = codes.create("user", NOW + 600).unwrap().code;
    assert_eq!(redeem(&mut codes, "guesser", &code, NOW + 600), Ok("user".to_owned()));
}

#[test]
fn only_the_owner_clears_a_code_and_only_with_the_code() {
    let mut codes = codes();
    let code = codes.create("user", NOW).unwrap().code;
    assert!(!codes.clear("another", &code, NOW));
    assert!(!codes.clear("user", "aB3d-x-x-x-x", NOW));
    assert!(!codes.clear("user", &code[5..], NOW));
    assert!(codes.clear("user", &code.to_uppercase(), NOW));
    assert!(!codes.clear("user", &code, NOW));
    assert!(codes.live().is_empty());
}

#[test]
fn a_removed_account_has_no_code() {
    let mut codes = codes();
    codes.create("user", NOW).unwrap();
    codes.create("another", NOW).unwrap();
    codes.forget_user("user");
    assert_eq!(codes.live().iter().map(|row| &*row.user_id).collect::<Vec<_>>(), ["another"]);
}

#[test]
fn the_janitor_removes_what_has_run_out() {
    let mut codes = codes();
    codes.create("user", NOW).unwrap();
    codes.expire(NOW + 300);
    assert_eq!(codes.live().len(), 1);
    codes.expire(NOW + 301);
    assert!(codes.live().is_empty());
}

#[test]
fn live_codes_survive_a_restart_without_their_tag() {
    let mut before = codes();
    let shown = before.create("b", NOW + 1).unwrap().code;
    before.create("a", NOW).unwrap();
    let rows = before.live();
    assert_eq!((&*rows[0].user_id, &*rows[1].user_id), ("a", "b"));
    assert_eq!(rows[1], row("b", &shown[5..], NOW + 1));
    let mut after = codes();
    assert_eq!(after.restore(rows.clone(), NOW + 10), 2);
    assert_eq!(after.live(), rows);
    assert_eq!(redeem(&mut after, "discord", &shown, NOW + 10), Ok("b".to_owned()));
}

#[test]
fn rows_that_are_blank_expired_or_double_are_not_restored() {
    let mut codes = codes();
    let rows = vec![
        row("", "a-a-a-a", NOW),
        row("user", " ", NOW),
        row("late", "b-b-b-b", NOW - 301),
        row("long", &"x".repeat(100), NOW),
        row("first", "c-c-c-c", NOW),
        row("second", "c-c-c-c", NOW),
        row("reference", "three-word-code", NOW - 300),
    ];
    assert_eq!(codes.restore(rows, NOW), 2);
    assert_eq!(
        redeem(&mut codes, "discord", "aB3d-three-word-code", NOW),
        Ok("reference".to_owned())
    );
    assert_eq!(redeem(&mut codes, "discord", "aB3d-c-c-c-c", NOW), Ok("first".to_owned()));
}

#[test]
fn of_too_many_rows_the_newest_are_restored() {
    let mut codes = codes();
    let rows = (0..CODES_MAX as u64 + 7).map(|i| row(&i.to_string(), &format!("w{i}"), NOW + i));
    assert_eq!(codes.restore(rows.collect(), NOW), CODES_MAX);
    assert_eq!(codes.live()[0].user_id, "7");
}

#[test]
fn a_restored_code_does_not_outlive_a_new_one() {
    let mut codes = codes();
    codes.restore(vec![row("user", "w", NOW + 1_000_000)], NOW);
    assert_eq!(codes.live()[0].expires_at_unix, NOW + LIFETIME_SECONDS);
}
