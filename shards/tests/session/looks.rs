//! What control hears of a connection, and when; and which shares may be among the best
//! (`state-and-services.md` §4, §17).

use gopool_shards::tally::{Accuracy, Look, Sums};
use gopool_shards::work::target::{Target, hash_difficulty};

use crate::rules::READY;
use crate::transcript::{Pool, WALLET, defaults, easy, peer, template};

/// When a conversation begins.
const BEGIN: u64 = 1_713_571_770;
const SHARE: &str = r#"
    > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
"#;
const ACCEPTED: &str = r#"< {"id":5,"result":true,"error":null}"#;

/// The look at the first connection, which must be the only one.
#[track_caller]
fn only(sums: &Sums) -> &Look {
    assert_eq!(sums.looks.len(), 1);
    &sums.looks[&1]
}

/// Whether what is played is a reason to look at a miner that is at work.
#[track_caller]
fn check_news(is_news: bool, transcript: &str) {
    let mut settings = defaults();
    settings.difficulty.default = 65536.0;
    let mut pool = Pool::new(settings);
    pool.play(READY);
    pool.report();
    pool.play(transcript);
    assert_eq!(pool.report().looks.len(), usize::from(is_news), "{transcript}");
    assert!(pool.report().looks.is_empty(), "it has been told");
}

#[test]
fn a_miner_is_looked_at_when_it_has_been_authorized() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":["cgminer/4.12.0"]}
        < {"id":1,…}
        "#,
    );
    assert!(pool.report().looks.is_empty());
    pool.play(
        r#"
        +2s
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":2,"result":true,"error":null}
        "#,
    );
    let sums = pool.report();
    let expected = Look {
        worker: format!("{WALLET}.rig1").into(),
        client_id: "cgminer/4.12.0".into(),
        remote: peer().remote,
        is_tls: true,
        connected_at: BEGIN,
        difficulty: 256.0,
        ideal_difficulty: 256.0,
        accepted: 0,
        rejected: 0,
        hashrate: 0.0,
        at: BEGIN + 2,
        accuracy: Accuracy::Warming,
        share_rate: 0.0,
        window_started_at: 0,
        window_accepted: 0,
        window_submissions: 0,
        window_credit: 0.0,
        last_share: None,
        last_reject: "",
        round_trip: peer().round_trip,
        first_share_p50: None,
        first_share_p95: None,
    };
    assert_eq!(only(&sums), &expected);
}

#[test]
fn only_what_changes_a_miner_is_news() {
    check_news(false, "+1s");
    check_news(false, "! job\n < {\"id\":null,\"method\":\"mining.notify\",…}");
    check_news(false, "> {\"id\":9,\"method\":\"mining.ping\"}\n < {\"id\":9,…}");
    let same = r#"
        > {"id":9,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":9,"result":true,"error":null}
    "#;
    check_news(false, same);
    let other = r#"
        > {"id":9,"method":"mining.authorize","params":["W.rig2","x"]}
        < {"id":9,"result":true,"error":null}
        < {"id":null,"method":"mining.notify",…}
    "#;
    check_news(true, other);
    let difficulty = r#"
        > {"id":9,"method":"mining.suggest_difficulty","params":[4096]}
        < {"id":9,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[3104]}
        < {"id":null,"method":"mining.notify",…}
    "#;
    check_news(true, difficulty);
    let low = "< {\"id\":5,\"result\":false,\"error\":[23,…";
    check_news(true, &format!("{SHARE}{low}"));
    let unhashed = r#"
        > {"id":5,"method":"mining.submit","params":["W.rig1","zz-zz","00000000","662307b7","01953508"]}
        < {"id":5,"result":false,"error":[21,…
    "#;
    check_news(true, unhashed);
    // For want of shares (§7.10), with the time the only event.
    check_news(
        true,
        r#"
        +100s
        < {"id":null,"method":"mining.set_difficulty",…
        < {"id":null,"method":"mining.notify",…
        "#,
    );
}

#[test]
fn a_look_tells_what_became_of_the_submissions() {
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.report();
    pool.play(&format!("+10s\n{SHARE}{ACCEPTED}"));
    let sums = pool.report();
    let look = only(&sums);
    let share = look.last_share.expect("there was one");
    assert!(share.is_accepted && share.at == BEGIN + 10);
    assert!((share.difficulty / 0.009_663_66 - 1.0).abs() < 1e-5, "as found, not as credited");
    assert_eq!(hash_difficulty(&share.hash), share.difficulty);
    assert_eq!((look.accepted, look.rejected, look.last_reject), (1, 0, ""));
    assert_eq!((look.window_started_at, look.window_submissions), (BEGIN + 10, 1));
    assert_eq!((look.window_accepted, look.window_credit), (1, 0.009));
    assert_eq!(look.first_share_p50.expect("one sample").as_secs(), 10);

    // It is hashed before it is found to be a duplicate.
    pool.play(&format!(
        "+5s\n{SHARE}< {{\"id\":5,\"result\":false,\"error\":[22,\"duplicate share\",null]}}"
    ));
    let sums = pool.report();
    let look = only(&sums);
    let duplicate = look.last_share.expect("there were two");
    assert_eq!((duplicate.is_accepted, duplicate.at), (false, BEGIN + 15));
    assert_eq!((duplicate.difficulty, duplicate.hash), (share.difficulty, share.hash));
    assert_eq!((look.accepted, look.rejected, look.last_reject), (1, 1, "duplicate share"));
    assert_eq!((look.window_started_at, look.window_submissions), (BEGIN + 10, 2));

    pool.play(
        r#"
        > {"id":5,"method":"mining.submit","params":["W.rig1","zz-zz","00000000","662307b7","01953508"]}
        < {"id":5,"result":false,"error":[21,"job not found",null]}
        "#,
    );
    let sums = pool.report();
    let look = only(&sums);
    let unhashed = look.last_share.expect("there were three");
    assert_eq!((unhashed.difficulty, unhashed.hash), (0.0, [0; 32]));
    assert_eq!((look.accepted, look.rejected, look.last_reject), (1, 2, "stale job"));
    assert_eq!(look.connected_at, BEGIN);
}

#[test]
fn submissions_of_a_banned_miner_are_not_told_of() {
    let mut settings = defaults();
    settings.bans.threshold = 1;
    let mut pool = Pool::new(settings);
    pool.play(READY);
    pool.play(
        r#"
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","0000","662307b7","01953508"]}
        < {"id":null,"method":"client.show_message",…}
        < {"id":5,"result":false,"error":[24,…
        "#,
    );
    assert_eq!(only(&pool.report()).rejected, 1, "the one that it was banned for");
    pool.play(&format!("{SHARE}< {{\"id\":5,\"result\":false,\"error\":[24,…"));
    assert!(pool.report().looks.is_empty());
}

#[test]
fn a_connection_is_gone_only_if_it_was_ever_looked_at() {
    let mut pool = Pool::new(defaults());
    pool.play(READY);
    pool.play("reconnect");
    let sums = pool.report();
    assert!(sums.looks.is_empty() && sums.gone.is_empty());
    pool.play(READY_AGAIN);
    assert!(pool.report().looks.contains_key(&2));
    // News that it takes to its grave.
    pool.play(&format!("{SHARE}< {{\"id\":5,\"result\":false,\"error\":[23,…"));
    pool.play("reconnect");
    let sums = pool.report();
    assert!(sums.looks.is_empty());
    assert_eq!(sums.gone, [2]);
    pool.play("reconnect");
    assert!(pool.report().gone.is_empty());
}

/// [`READY`] on another connection.
const READY_AGAIN: &str = r#"
    > {"id":1,"method":"mining.subscribe","params":[]}
    < {"id":1,…}
    > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
    < {"id":2,"result":true,"error":null}
    +250ms
    < {"id":null,"method":"mining.set_difficulty","params":[256]}
    < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
"#;

#[test]
fn an_accepted_share_may_be_one_of_the_best_and_a_rejected_one_never() {
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.play(&format!("{SHARE}{ACCEPTED}"));
    let sums = pool.report();
    let [best] = &sums.best_shares[..] else { panic!("{:?}", sums.best_shares) };
    let share = only(&sums).last_share.expect("there was one");
    assert_eq!(*best.worker, *format!("{WALLET}.rig1"));
    assert_eq!((best.difficulty, best.hash, best.at), (share.difficulty, share.hash, BEGIN));

    let mut pool = Pool::new(defaults());
    pool.play(READY);
    pool.play(&format!("{SHARE}< {{\"id\":5,\"result\":false,\"error\":[23,…"));
    assert!(pool.report().best_shares.is_empty());
}

#[test]
fn a_block_is_among_the_best_shares_although_it_misses_the_difficulty() {
    let mut template = template();
    template.target = Target::from_difficulty(0.009);
    let mut pool = Pool::with_template(defaults(), template);
    pool.play(READY);
    pool.play(&format!("{SHARE}{ACCEPTED}"));
    let [block] = &pool.solved[..] else { panic!("{:?}", pool.solved) };
    let (hash, difficulty) = (block.hash, block.difficulty);
    let sums = pool.report();
    let [best] = &sums.best_shares[..] else { panic!("{:?}", sums.best_shares) };
    assert_eq!((best.hash, best.difficulty), (hash, difficulty));
}

#[test]
fn a_best_share_belongs_to_whom_the_work_was_made_for() {
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.play(
        r#"
        > {"id":3,"method":"mining.authorize","params":["W.other","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        "#,
    );
    pool.play(&format!("{SHARE}{ACCEPTED}"));
    let sums = pool.report();
    assert_eq!(*only(&sums).worker, *format!("{WALLET}.other"));
    assert_eq!(*sums.best_shares[0].worker, *format!("{WALLET}.rig1"));
}
