//! Submissions (`stratum.md` §6, §15): which are taken, which are not and why, and what a miner that
//! comes back finds.

use gopool_shards::settings::Freshness;
use gopool_shards::work::target::Target;

use crate::rules::READY;
use crate::transcript::{Pool, defaults, easy, template};

/// The first share of §16.4.
const SHARE_1: &str = r#"
    > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
"#;

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
