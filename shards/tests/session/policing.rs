//! Bans, limits and the difficulty that follows the miner (`stratum.md` §1.11, §7, §9, §15).

use gopool_shards::admission::ban::Ban;
use gopool_shards::work::target::Target;

use crate::transcript::{Pool, WALLET, defaults, easy, template};

const READY: &str = r#"
    > {"id":1,"method":"mining.subscribe","params":["cpuminer/2.5.1"]}
    < {"id":1,"result":[[["mining.notify",…]],…,4],"error":null}
    > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
    < {"id":2,"result":true,"error":null}
    +250ms
    < {"id":null,"method":"mining.set_difficulty","params":[…]}
    < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
"#;

#[test]
fn a_suggestion_outside_enforced_limits_bans_the_worker_for_an_hour() {
    for (suggested, reason) in [("10", "Miner too slow"), ("5000", "Miner too fast")] {
        let mut settings = defaults();
        settings.difficulty.max = 1000.0;
        settings.difficulty.enforce_suggested_limits = true;
        let mut pool = Pool::new(settings);
        pool.play(READY);
        pool.play(&format!(
            r#"
            > {{"id":3,"method":"mining.suggest_difficulty","params":[{suggested}]}}
            < {{"id":null,"method":"client.show_message","params":["Banned: {reason}"]}}
            < {{"id":3,"result":false,"error":[24,"banned until 2024-04-20T01:09:30Z: {reason}",null]}}
            closed
            reconnect
            > {{"id":1,"method":"mining.subscribe","params":[]}}
            < {{"id":1,…}}
            > {{"id":2,"method":"mining.authorize","params":["W.rig1","x"]}}
            < {{"id":null,"method":"client.show_message","params":["Banned: {reason}"]}}
            < {{"id":2,"result":false,"error":[24,"banned until 2024-04-20T01:09:30Z: {reason}",null]}}
            closed
            "#
        ));
        assert_eq!(pool.tally.take().bans.len(), 1, "on its way to the database");
    }
}

#[test]
fn hints_and_minimum_difficulties_are_held_to_the_limits_too() {
    let settings = || {
        let mut settings = defaults();
        settings.difficulty.enforce_suggested_limits = true;
        settings
    };
    Pool::new(settings()).play(
        r#"
        > {"id":2,"method":"mining.authorize","params":["W.rig1","d=10"]}
        < {"id":null,"method":"client.show_message","params":["Banned: Miner too slow"]}
        < {"id":2,"result":false,"error":[24,…]}
        closed
        "#,
    );
    Pool::new(settings()).play(
        r#"
        > {"id":2,"method":"mining.configure","params":[["minimum-difficulty"],{"minimum-difficulty.value":1}]}
        < {"id":null,"method":"client.show_message","params":["Banned: Miner too slow"]}
        < {"id":2,"result":false,"error":[24,…]}
        closed
        "#,
    );
}

#[test]
fn a_permanent_ban_is_told_and_closes() {
    let mut pool = Pool::new(defaults());
    pool.bans.insert(Ban::new(&format!("{WALLET}.rig1"), 0, "abuse", None));
    pool.play(
        r#"
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":null,"method":"client.show_message","params":["Banned: abuse"]}
        < {"id":2,"result":false,"error":[24,"banned: abuse",null]}
        closed
        reconnect
        > {"id":2,"method":"mining.authorize","params":["W.rig2","x"]}
        < {"id":2,"result":true,"error":null}
        "#,
    );
}

#[test]
fn a_banned_client_is_turned_away_at_subscribe() {
    let mut settings = defaults();
    settings.banned_clients = vec!["badminer".into()];
    Pool::new(settings).play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":["BadMiner/2.0"]}
        < {"id":1,"result":null,"error":[20,"banned miner type",null]}
        closed
        "#,
    );
}

#[test]
fn one_message_too_many_in_a_minute_ends_the_connection() {
    let mut settings = defaults();
    settings.messages_per_minute = 10;
    let mut pool = Pool::new(settings.clone());
    let ping = r#"
        > {"id":1,"method":"mining.ping"}
        < {"id":1,"result":"pong","error":null}
    "#;
    pool.play(&ping.repeat(10));
    pool.play("+60s");
    pool.play(&ping.repeat(10));
    pool.play(
        r#"
        > {"id":1,"method":"mining.ping"}
        < {"id":null,"method":"client.show_message","params":["Banned: stratum message rate limit"]}
        closed
        "#,
    );
    assert!(pool.tally.take().bans.is_empty(), "nobody is known by name");
    // Submissions count half in the first minutes; what had a name is banned under it.
    let mut pool = Pool::new(settings);
    pool.play(READY);
    let submit = r#"
        > {"id":4,"method":"mining.submit","params":["W.rig1","zz-zz","00000000","662307b7","01953508"]}
        < {"id":4,"result":false,"error":[21,"job not found",null]}
    "#;
    pool.play(&submit.repeat(16));
    pool.play(
        r#"
        > {"id":4,"method":"mining.submit","params":["W.rig1","zz-zz","00000000","662307b7","01953508"]}
        < {"id":null,"method":"client.show_message","params":["Banned: stratum message rate limit"]}
        closed
        "#,
    );
    assert_eq!(pool.tally.take().bans.len(), 1);
}

const BAD_NONCE: &str = r#"
    > {"id":77,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","xyz"]}
    < {"id":77,"result":false,"error":[20,"invalid nonce",null]}
"#;

const BANNED: &str = r#"
    > {"id":77,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","xyz"]}
    < {"id":null,"method":"client.show_message","params":["Banned until 2024-04-20T00:24:30Z: too many invalid submissions (40 in 5m0s)"]}
    < {"id":77,"result":false,"error":[24,"banned until 2024-04-20T00:24:30Z: too many invalid submissions (40 in 5m0s)",null]}
"#;

#[test]
fn too_many_invalid_submissions_ban_the_worker_and_leave_the_connection_open() {
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.play(&BAD_NONCE.repeat(39));
    pool.play(BANNED);
    pool.play(
        r#"
        > {"id":78,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":78,"result":false,"error":[24,"banned until 2024-04-20T00:24:30Z: too many invalid submissions (40 in 5m0s)",null]}
        > {"id":79,"method":"mining.ping"}
        < {"id":79,"result":"pong","error":null}
        ! job
        < {"id":null,"method":"mining.notify",…,false]}
        reconnect
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":null,"method":"client.show_message","params":["Banned: too many invalid submissions (40 in 5m0s)"]}
        < {"id":2,"result":false,"error":[24,"banned until 2024-04-20T00:24:30Z: too many invalid submissions (40 in 5m0s)",null]}
        closed
        +900s
        reconnect
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":2,"result":true,"error":null}
        "#,
    );
}

#[test]
fn a_block_of_a_banned_connection_is_a_block() {
    let mut easy_block = template();
    easy_block.target = Target::from_difficulty(0.009);
    let mut pool = Pool::with_template(defaults(), easy_block);
    pool.play(READY);
    pool.play(&BAD_NONCE.repeat(39));
    pool.play(BANNED);
    pool.play(
        r#"
        > {"id":78,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":78,"result":true,"error":null}
        > {"id":78,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":78,"result":false,"error":[24,…]}
        "#,
    );
    assert_eq!(pool.solved.len(), 1, "and only one");
}

#[test]
fn zero_switches_the_bans_off() {
    let mut settings = easy();
    settings.bans.threshold = 0;
    let mut pool = Pool::new(settings);
    pool.play(READY);
    pool.play(&BAD_NONCE.repeat(100));
}

#[test]
fn the_difficulty_follows_the_miner_with_clean_work_and_shares_in_flight_count() {
    let mut settings = defaults();
    // Any hash is a share at first.
    settings.difficulty.min = 1e-10;
    settings.difficulty.default = 1e-10;
    let mut pool = Pool::new(settings);
    pool.play(READY);
    let mut moves = 0;
    for nonce in 0..400 {
        pool.play("+50ms");
        pool.read(
            format!(
                "{{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"{WALLET}.rig1\",\"1-1\",\
                 \"00000000\",\"662307b7\",\"{nonce:08x}\"]}}\n"
            )
            .as_bytes(),
        );
        let said = pool.hear();
        assert_eq!(said[0], r#"{"id":4,"result":true,"error":null}"#, "share {nonce}");
        if let [_, difficulty, notify] = &said[..] {
            assert!(difficulty.contains("mining.set_difficulty"), "{difficulty}");
            assert!(notify.contains("mining.notify") && notify.ends_with(",true]}"), "{notify}");
            moves += 1;
        } else {
            assert_eq!(said.len(), 1, "{said:?}");
        }
    }
    assert!(moves >= 1, "400 shares in 20 s are more than 15 a minute");
    let sums = pool.tally.take();
    assert_eq!((sums.accepted, sums.vardiff_up), (400, moves));
}
