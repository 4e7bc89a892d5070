//! The conversations of `stratum.md` §3 to §5 and §15, and the rules they stand for.

use crate::transcript::{Pool, defaults};

pub(super) const READY: &str = r#"
    > {"id":1,"method":"mining.subscribe","params":["cpuminer/2.5.1"]}
    < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
    > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
    < {"id":2,"result":true,"error":null}
    +250ms
    < {"id":null,"method":"mining.set_difficulty","params":[…]}
    < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
"#;

#[test]
fn new_limits_reach_a_miner_that_is_at_work() {
    let mut pool = Pool::new(defaults());
    pool.play(READY);
    pool.change_settings(|settings| settings.difficulty.min = 1024.0);
    pool.play(
        r#"
        < {"id":null,"method":"mining.set_difficulty","params":[1024]}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        "#,
    );
    // What it may go on with as it is, it does.
    pool.change_settings(|settings| settings.difficulty.min = 16.0);
    pool.change_settings(|settings| settings.difficulty.max = 2048.0);
    pool.change_settings(|settings| settings.vardiff.enabled = false);
    pool.play("");
    pool.change_settings(|settings| settings.difficulty.max = 100.0);
    pool.play(
        r#"
        < {"id":null,"method":"mining.set_difficulty","params":[97]}
        < {"id":null,"method":"mining.notify","params":["1-3",…,true]}
        "#,
    );
}

#[test]
fn new_limits_hold_for_a_miner_that_waits_for_its_first_work() {
    let mut pool = Pool::new(defaults());
    let (before, _) = READY.split_once("+250ms").expect("a pause");
    pool.play(before);
    pool.change_settings(|settings| settings.difficulty.min = 1024.0);
    pool.play(
        r#"
        +250ms
        < {"id":null,"method":"mining.set_difficulty","params":[1024]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn a_plain_miner_gets_difficulty_and_work_after_its_pause() {
    let mut pool = Pool::new(defaults());
    pool.play(READY);
    pool.play(
        r#"
        ! job
        < {"id":null,"method":"mining.notify","params":["2-2",…,false]}
        ! tip
        < {"id":null,"method":"mining.notify","params":["3-3",…,true]}
        "#,
    );
}

#[test]
fn the_complete_job_of_the_specification_is_sent_byte_for_byte() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":2,"result":true,"error":null}
        +249ms
        +1ms
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1","1cda83a5689bf23f73ff4872cef822783a032748000320280000000000000000","01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff280341d10c04bb0723660c00000000","112f676f506f6f6c2f416243642d4566313200000000030000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf900725d1700000000160014751e76e8199196d454941c45d1b3a323f1433bd600127a00000000001976a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac00000000",["dcd983761bfdc8ef9e6a7aa700bf8e7bae5fdae22c3e918a12dee48176b40a5a","d184f96033057cdd3c81efd876f61952c0eae419c52653b5827d939a036cffbf"],"20000000","17034219","662307b7",true]}
        "#,
    );
}

#[test]
fn an_authorize_before_the_subscribe_waits_for_it() {
    Pool::new(defaults()).play(
        r#"
        > {"id":1,"method":"mining.auth","params":["W","x"]}
        < {"id":1,"result":true,"error":null}
        +1s
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id":3,"method":"mining.subscribe","params":[]}
        < {"id":3,"result":null,"error":[20,"already subscribed",null]}
        "#,
    );
}

#[test]
fn a_late_configure_is_answered_first_and_ends_the_pause() {
    Pool::new(defaults()).play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,…}
        > {"id":2,"method":"mining.authorize","params":["W","x"]}
        < {"id":2,"result":true,"error":null}
        +100ms
        > {"id":3,"method":"mining.configure","params":[["version-rolling","subscribe-extranonce"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2}]}
        < {"id":3,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2,"subscribe-extranonce":true},"error":null}
        < {"id":null,"method":"mining.set_version_mask","params":["1fffe000"]}
        < {"id":null,"method":"mining.set_extranonce","params":["00000001",4]}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn configure_takes_every_shape() {
    Pool::new(defaults()).play(
        r#"
        > {"id":2,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"0000000f"}]}
        < {"id":2,"result":{"version-rolling":false},"error":null}
        > {"id":3,"method":"mining.configure","params":["version_rolling, suggest_difficulty",{"version_rolling_mask":"1fffe000","version_rolling_min_bit_count":"2"}]}
        < {"id":3,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2,"suggest_difficulty":true},"error":null}
        > {"id":4,"method":"mining.configure","params":[["minimum-difficulty","subscribe-extranonce","info"],{"minimum-difficulty.value":2048}]}
        < {"id":4,"result":{"minimum-difficulty":true,"subscribe-extranonce":true,"info":false},"error":null}
        > {"id":5,"method":"mining.configure","params":[[]]}
        < {"id":5,"result":{},"error":null}
        > {"id":6,"method":"mining.configure","params":[]}
        < {"id":6,"result":null,"error":[20,"invalid params",null]}
        "#,
    );
}

#[test]
fn a_difficulty_in_the_password_or_the_name_is_a_floor_and_ends_the_pause() {
    for (user, password) in [("W.s9", "x,d=2048"), ("W.s9+2048", "x")] {
        Pool::new(defaults()).play(&format!(
            r#"
            > {{"id":1,"method":"mining.subscribe","params":[]}}
            < {{"id":1,…}}
            > {{"id":2,"method":"mining.authorize","params":["{user}","{password}"]}}
            < {{"id":2,"result":true,"error":null}}
            < {{"id":null,"method":"mining.set_difficulty","params":[2048]}}
            < {{"id":null,"method":"mining.notify","params":["1-1",…,true]}}
            "#
        ));
    }
}

#[test]
fn a_hint_that_comes_before_the_subscribe_is_not_lost() {
    Pool::new(defaults()).play(
        r#"
        > {"id":1,"method":"mining.authorize","params":["W.a","d=4096"]}
        < {"id":1,"result":true,"error":null}
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,…}
        < {"id":null,"method":"mining.set_difficulty","params":[4096]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn a_suggestion_before_the_subscribe_is_announced_before_the_first_work() {
    Pool::new(defaults()).play(
        r#"
        > {"id":1,"method":"mining.suggest_difficulty","params":[2048]}
        < {"id":1,"result":true,"error":null}
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,…}
        > {"id":3,"method":"mining.authorize","params":["W.a","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[1552]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn only_the_first_suggestion_counts_and_bad_ones_are_told_so() {
    let mut pool = Pool::new(defaults());
    pool.play(READY);
    pool.play(
        r#"
        > {"id":3,"method":"mining.suggest_difficulty","params":[]}
        < {"id":3,"result":true,"error":null}
        > {"id":3,"method":"mining.suggest_difficulty","params":["abc"]}
        < {"id":3,"result":null,"error":[20,"invalid params",null]}
        > {"id":3,"method":"mining.suggest_difficulty","params":[null]}
        < {"id":3,"result":null,"error":[20,"invalid params",null]}
        > {"id":3,"method":"mining.suggest_target","params":["00000000007fff80000000000000000000000000000000000000000000000000"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[388]}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        > {"id":4,"method":"mining.suggest_difficulty","params":[5000]}
        < {"id":4,"result":true,"error":null}
        > {"id":5,"method":"mining.suggest_target","params":["zz"]}
        < {"id":5,"result":null,"error":[20,"invalid target",null]}
        "#,
    );
}

#[test]
fn every_method_is_answered() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":509,"method":"mining.ping","params":[]}
        < {"id":509,"result":"pong","error":null}
        > {"id":"v","method":"client.get_version"}
        < {"id":"v","result":"goPool/v1.2.3","error":null}
        > {"id":7,"method":"mining.unknown","params":[]}
        < {"id":7,"result":null,"error":[-32601,"method not found",null]}
        > {"id":null,"method":"mining.unknown","params":[]}
        > {"method":"mining.ping"}
        < {"id":null,"result":"pong","error":null}
        > {"id":4,"result":true,"error":null}
        < {"id":4,"result":null,"error":[-32601,"method not found",null]}
        > {"id":8,"method":"mining.get_transactions","params":["nope"]}
        < {"id":8,"result":[],"error":null}
        > {"id":8,"method":"mining.get_transactions","params":[]}
        < {"id":8,"result":["5a0ab47681e4de128a913e2ce2da5fae7b8ebf00a77a6a9eefc8fd1b7683d9dc","cf925137514516f2ac2f026517c7ce5f68f4eddeea0c5bf28113052daf7eb1c7"],"error":null}
        > {"id":9,"method":"mining.extranonce.subscribe","params":[]}
        < {"id":9,"result":true,"error":null}
        > {"id":10,"method":"mining.subscribe","params":["x/1","abc123"]}
        < {"id":10,"result":[[["mining.notify","abc123"]],"00000001",4],"error":null}
        < {"id":null,"method":"mining.set_extranonce","params":["00000001",4]}
        "#,
    );
}

#[test]
fn the_subscribe_answer_has_two_shapes() {
    let mut settings = defaults();
    settings.ckpool_emulate = false;
    Pool::new(settings).play(
        r#"
        > {"id":null,"method":"mining.subscribe","params":[5,null]}
        < {"id":null,"result":[[["mining.set_difficulty","1"],["mining.notify","1"],["mining.set_extranonce","1"],["mining.set_version_mask","1"]],"00000001",4],"error":null}
        "#,
    );
}

#[test]
fn who_cannot_be_paid_is_told_and_closed() {
    let long = "x".repeat(257);
    for (user, message) in [
        ("notawallet.rig1", "worker name has no valid bitcoin wallet"),
        ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "worker name has no valid bitcoin wallet"),
        ("", "worker name required"),
        (&long, "worker name too long"),
    ] {
        Pool::new(defaults()).play(&format!(
            r#"
            > {{"id":2,"method":"mining.authorize","params":["{user}","x"]}}
            < {{"id":2,"result":false,"error":[20,"{message}",null]}}
            closed
            "#
        ));
    }
    let mut settings = defaults();
    settings.password = Some("secret".into());
    Pool::new(settings).play(
        r#"
        > {"id":2,"method":"mining.authorize","params":["W","x"]}
        < {"id":2,"result":false,"error":[24,"invalid password",null]}
        closed
        "#,
    );
}

#[test]
fn what_is_no_request_is_answered_if_it_can_be_and_closed() {
    Pool::new(defaults()).play(
        r#"
        > {"id":1,"method":"mining.authorize","params":["worker","x"
        < {"id":1,"result":null,"error":[-32700,"parse error",null]}
        closed
        "#,
    );
    for line in ["GET / HTTP/1.1", r#"[{"id":1,"method":"mining.subscribe","params":[]}]"#, "\u{1}"]
    {
        Pool::new(defaults()).play(&format!("> {line}\n closed"));
    }
}

#[test]
fn silence_ends_a_connection_and_a_ping_keeps_it() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        +180s
        > {"id":1,"method":"mining.ping"}
        < {"id":1,"result":"pong","error":null}
        +180s
        +1s
        closed
        "#,
    );
}

#[test]
fn an_esp_miner_that_waits_for_its_answers_is_served_as_the_specification_shows() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}
        < {"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":1},"error":null}
        > {"id":2,"method":"mining.subscribe","params":["bitaxe/BM1370/v2.6.5"]}
        < {"id":2,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        > {"id":3,"method":"mining.authorize","params":["W.bitaxe","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id":4,"method":"mining.suggest_difficulty","params":[1000]}
        < {"id":4,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[776]}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        > {"id":5,"method":"mining.extranonce.subscribe","params":[]}
        < {"id":5,"result":true,"error":null}
        < {"id":null,"method":"mining.set_extranonce","params":["00000001",4]}
        > {"id":7,"method":"mining.suggest_difficulty","params":[5000]}
        < {"id":7,"result":true,"error":null}
        "#,
    );
}

#[test]
fn a_locked_suggestion_is_taken_as_it_is_and_never_moves() {
    let mut settings = defaults();
    settings.difficulty.lock_suggested = true;
    let mut pool = Pool::new(settings);
    pool.play(
        r#"
        > {"id":1,"method":"mining.suggest_difficulty","params":[2048]}
        < {"id":1,"result":true,"error":null}
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,…}
        > {"id":3,"method":"mining.authorize","params":["W.a","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[2048]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
    // Silence that would lower any other miner's difficulty.
    for _ in 0..10 {
        pool.play("+100s\n> {\"id\":9,\"method\":\"mining.ping\"}\n< {\"id\":9,\"result\":\"pong\",\"error\":null}");
    }
}
