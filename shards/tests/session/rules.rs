//! The conversations of `stratum.md` §3 to §6 and §15, and the rules they stand for.

use gopool_shards::settings::Freshness;
use gopool_shards::work::target::Target;

use crate::transcript::{Pool, defaults, easy, template};

const READY: &str = r#"
    > {"id":1,"method":"mining.subscribe","params":["cpuminer/2.5.1"]}
    < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
    > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
    < {"id":2,"result":true,"error":null}
    +250ms
    < {"id":null,"method":"mining.set_difficulty","params":[…]}
    < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
"#;

/// The first share of §16.4.
const SHARE_1: &str = r#"
    > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
"#;

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
fn the_specifications_shares_are_judged_as_it_says() {
    let mut pool = Pool::new(defaults());
    pool.play(READY);
    pool.play(&format!(
        r#"{SHARE_1}
        < {{"id":5,"result":false,"error":[23,"low difficulty share (0.00966366 expected 256)",null]}}
        > {{"id":6,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307B7","1953508"]}}
        < {{"id":6,"result":false,"error":[22,"duplicate share",null]}}
        "#
    ));
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.play(&format!("{SHARE_1} < {{\"id\":5,\"result\":true,\"error\":null}}"));
    // The second share rolls the version, in either spelling.
    for version in ["00002000", "20002000", "2000"] {
        let mut pool = Pool::new(easy());
        pool.play(
            r#"
            > {"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}
            < {"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":1},"error":null}
            > {"id":2,"method":"mining.subscribe","params":[]}
            < {"id":2,…}
            > {"id":3,"method":"mining.authorize","params":["W.rig1","x"]}
            < {"id":3,"result":true,"error":null}
            < {"id":null,"method":"mining.set_difficulty","params":[0.009]}
            < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
            "#,
        );
        pool.play(&format!(
            r#"
            > {{"id":6,"method":"mining.submit","params":["W.rig1","1-1","0000002a","662307bc","0218d484","{version}"]}}
            < {{"id":6,"result":true,"error":null}}
            "#
        ));
        let sums = pool.tally.take();
        assert!((sums.best_difficulty / 0.010587085660706964 - 1.0).abs() < 1e-14);
        assert_eq!(sums.accepted_difficulty, 0.009);
    }
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
fn each_bad_field_of_a_submit_has_its_answer() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":11,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":11,"result":false,"error":[24,"unauthorized",null]}
        "#,
    );
    pool.play(READY);
    for (params, code, message) in [
        (r#""W.rig1","1-1","00000000","662307b7""#, 20, "invalid params"),
        (r#"7,"1-1","00000000","662307b7","01953508""#, 20, "invalid worker"),
        (r#""","1-1","00000000","662307b7","01953508""#, 20, "worker name required"),
        (r#""W.rig1",1,"00000000","662307b7","01953508""#, 20, "invalid job id"),
        (r#""W.rig1"," ","00000000","662307b7","01953508""#, 20, "job id required"),
        (r#""W.rig1","zz-zz","00000000","662307b7","01953508""#, 21, "job not found"),
        (r#""W.rig1","1-1","0000","662307b7","01953508""#, 20, "invalid extranonce2"),
        (r#""W.rig1","1-1","0000000g","662307b7","01953508""#, 20, "invalid extranonce2"),
        (r#""W.rig1","1-1",0,"662307b7","01953508""#, 20, "invalid extranonce2"),
        (r#""W.rig1","1-1","00000000","0x6623","01953508""#, 20, "invalid ntime"),
        (r#""W.rig1","1-1","00000000","662307b6","01953508""#, 20, "invalid ntime"),
        (r#""W.rig1","1-1","00000000","66232310","01953508""#, 20, "invalid ntime"),
        (r#""W.rig1","1-1","00000000","662307b7",26555656"#, 20, "invalid nonce"),
        (r#""W.rig1","1-1","00000000","662307b7","019535080""#, 20, "invalid nonce"),
        (
            r#""W.rig1","1-1","00000000","662307b7","01953508","00002000""#,
            20,
            "version rolling not enabled",
        ),
        (r#""W.rig1","1-1","00000000","662307b7","01953508","""#, 20, "version required"),
        (r#""W.rig1","1-1","00000000","662307b7","01953508","0x00002000""#, 20, "version too long"),
        (r#""W.rig1","1-1","00000000","662307b7","01953508","zz""#, 20, "invalid version"),
        (r#""W.rig1","1-1","00000000","662307b7","01953508",5"#, 20, "invalid version"),
    ] {
        pool.play(&format!(
            r#"
            > {{"id":10,"method":"mining.submit","params":[{params}]}}
            < {{"id":10,"result":false,"error":[{code},"{message}",null]}}
            "#
        ));
    }
    // Both ends of the time window are inside it.
    for ntime in ["662307b7", "6623230f"] {
        pool.play(&format!(
            r#"
            > {{"id":10,"method":"mining.submit","params":["W.rig1","1-1","0000abcd","{ntime}","01953508"]}}
            < {{"id":10,"result":false,"error":[23,"low difficulty share (…
            "#
        ));
    }
}

#[test]
fn the_worker_must_match_only_where_that_is_asked_for() {
    let mut settings = defaults();
    settings.shares.require_worker_match = true;
    let mut pool = Pool::new(settings);
    pool.play(READY);
    pool.play(
        r#"
        > {"id":9,"method":"mining.submit","params":["W.other","1-1","00000000","662307b7","01953508"]}
        < {"id":9,"result":false,"error":[24,"unauthorized",null]}
        "#,
    );
}

#[test]
fn a_share_for_the_old_tip_is_stale_only_in_the_strict_mode() {
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.play("! tip\n < {\"id\":null,\"method\":\"mining.notify\",…,true]}");
    pool.play(&format!("{SHARE_1} < {{\"id\":5,\"result\":true,\"error\":null}}"));
    let mut settings = easy();
    settings.shares.freshness = Freshness::JobIdAndPrevHash;
    let mut pool = Pool::new(settings);
    pool.play(READY);
    pool.play("! tip\n < {\"id\":null,\"method\":\"mining.notify\",…,true]}");
    pool.play(&format!(
        "{SHARE_1} < {{\"id\":5,\"result\":false,\"error\":[21,\"job not found\",null]}}"
    ));
    assert_eq!(pool.tally.take().rejected["stale job"], 1);
}

/// A template so easy that the specification's first share is a block.
fn easy_template() -> gopool_shards::work::template::Template {
    let mut template = template();
    template.target = Target::from_difficulty(0.009);
    template
}

#[test]
fn a_block_is_a_block_whatever_policy_says() {
    let mut settings = defaults();
    settings.shares.freshness = Freshness::JobIdAndPrevHash;
    settings.shares.require_worker_match = true;
    let mut pool = Pool::with_template(settings, easy_template());
    pool.play(READY);
    pool.play("! tip\n < {\"id\":null,\"method\":\"mining.notify\",…,true]}");
    // Old tip, another worker, far below the share difficulty: and still it must reach the node.
    pool.play(
        r#"
        > {"id":5,"method":"mining.submit","params":["W.other","1-1","00000000","662307b7","01953508"]}
        < {"id":5,"result":true,"error":null}
        "#,
    );
    let [block] = &pool.solved[..] else { panic!("{:?}", pool.solved) };
    assert_eq!(block.job.height, 840_001);
    assert_eq!(
        const_hex::encode(block.header),
        "00000020a583da1c3ff29b687248ff737822f8ce4827033a2820030000000000000000009f26935d1905b197c59ae4c009f2569e3cfca10b06aff2827aa597a0a54f95d1b70723661942031708359501"
    );
    assert_eq!((block.split.worker, block.split.pool), (392_000_000, 8_000_000));
    let sums = pool.tally.take();
    assert_eq!((sums.accepted, sums.accepted_difficulty), (1, 256.0), "counted like any share");
}

#[test]
fn a_block_found_for_a_job_that_takes_no_more_shares_is_kept() {
    let mut pool = Pool::with_template(defaults(), easy_template());
    pool.play(READY);
    for _ in 0..12 {
        pool.play("! job\n < {\"id\":null,\"method\":\"mining.notify\",…,false]}");
    }
    pool.play(
        r#"
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":5,"result":true,"error":null}
        > {"id":6,"method":"mining.submit","params":["W.rig1","1-1","00000001","662307b7","01953508"]}
        < {"id":6,"result":false,"error":[21,"job not found",null]}
        "#,
    );
    assert_eq!(pool.solved.len(), 1);
}

#[test]
fn another_worker_on_the_connection_gets_clean_work_and_the_old_work_still_counts() {
    let mut pool = Pool::new(easy());
    pool.play(READY);
    pool.play(
        r#"
        > {"id":3,"method":"mining.authorize","params":["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa.b","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        "#,
    );
    pool.play(&format!("{SHARE_1} < {{\"id\":5,\"result\":true,\"error\":null}}"));
    let sums = pool.tally.take();
    let first = sums.workers.iter().find(|(name, _)| name.ends_with(".rig1")).expect("counted").1;
    assert_eq!((first.accepted, first.connections), (1, 0), "the share pays whom it was made for");
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
fn a_miner_that_comes_back_goes_on_where_it_was() {
    let mut pool = Pool::with_secret_ids(easy());
    pool.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":["cgminer/4.12.0"]}
        < {"id":1,"result":[[["mining.notify","$S"]],"00000001",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":2,"result":true,"error":null}
        +250ms
        < {"id":null,"method":"mining.set_difficulty","params":[0.009]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id":3,"method":"mining.submit","params":["W.rig1","1-1","00000001","662307b7","00000001"]}
        < {"id":3,"result":false,"error":[23,…]}
        reconnect
        +60s
        > {"id":1,"method":"mining.subscribe","params":["cgminer/4.12.0","$S"]}
        < {"id":1,"result":[[["mining.notify","$S"]],"00000001",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":2,"result":true,"error":null}
        +250ms
        < {"id":null,"method":"mining.set_difficulty","params":[0.009]}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":5,"result":true,"error":null}
        > {"id":6,"method":"mining.submit","params":["W.rig1","1-1","00000001","662307b7","00000001"]}
        < {"id":6,"result":false,"error":[22,"duplicate share",null]}
        reconnect
        +300s
        closed
        reconnect
        > {"id":1,"method":"mining.subscribe","params":["cgminer/4.12.0","$S"]}
        < {"id":1,"result":[[["mining.notify",…]],"00000002",4],"error":null}
        "#,
    );
}

#[test]
fn nobody_takes_the_place_of_a_miner_that_is_there() {
    let mut pool = Pool::with_secret_ids(defaults());
    pool.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":["x/1","1-0123456789abcdef"]}
        < {"id":1,"result":[[["mining.notify","$S"]],"00000001",4],"error":null}
        reconnect
        > {"id":1,"method":"mining.subscribe","params":["x/1","$S"]}
        < {"id":1,"result":[[["mining.notify",…]],"00000002",4],"error":null}
        "#,
    );
}

#[test]
fn a_low_share_whose_mistake_is_known_is_told_it_and_not_every_time() {
    let mut pool = Pool::new(easy());
    pool.play(
        r#"
        > {"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}
        < {"id":1,…}
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,…}
        > {"id":3,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[0.009]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id":4,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","08359501"]}
        < {"id":4,"result":false,"error":[23,"low difficulty share (…): its nonce has the bytes the wrong way round",null]}
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508","00002000"]}
        < {"id":5,"result":false,"error":[23,"low difficulty share (… expected 0.009)",null]}
        +10s
        > {"id":6,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508","00004000"]}
        < {"id":6,"result":false,"error":[23,"low difficulty share (…): it was mined without the version bits that were submitted",null]}
        +10s
        > {"id":7,"method":"mining.submit","params":["W.rig1","1-1","2a000000","662307bc","0218d484","00002000"]}
        < {"id":7,"result":false,"error":[23,"low difficulty share (…): its extranonce2 has the bytes the wrong way round",null]}
        ! job
        < {"id":null,"method":"mining.notify","params":["2-2",…,false]}
        +10s
        > {"id":8,"method":"mining.submit","params":["W.rig1","2-2","00000000","662307b7","01953508"]}
        < {"id":8,"result":false,"error":[23,"low difficulty share (…): it was mined on another job than the one named",null]}
        "#,
    );
    let sums = pool.tally.take();
    assert_eq!(sums.mistakes.values().sum::<u64>(), 4);
    assert_eq!(sums.mistakes["version not rolled"], 1);
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

#[test]
fn an_unknown_job_is_stale_in_every_mode_unless_it_is_a_block() {
    let submit = r#"
        > {"id":5,"method":"mining.submit","params":["W.rig1","zz-zz","00000000","662307b7","01953508"]}
    "#;
    for freshness in [Freshness::Off, Freshness::JobId, Freshness::JobIdAndPrevHash] {
        let mut settings = easy();
        settings.shares.freshness = freshness;
        let mut pool = Pool::new(settings);
        pool.play(READY);
        pool.play(&format!(
            "{submit}< {{\"id\":5,\"result\":false,\"error\":[21,\"job not found\",null]}}"
        ));
    }
    let mut settings = easy();
    settings.shares.freshness = Freshness::Off;
    let mut pool = Pool::with_template(settings, easy_template());
    pool.play(READY);
    pool.play(&format!("{submit}< {{\"id\":5,\"result\":true,\"error\":null}}"));
    assert_eq!(pool.solved.len(), 1);
}
