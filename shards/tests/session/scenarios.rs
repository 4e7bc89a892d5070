//! The scenarios of `stratum.md` §15 to the letter, where the rules' tests stop short of it.

use gopool_shards::work::address::{Network, script_for};
use gopool_shards::work::target::Target;
use gopool_shards::work::template::Template;

use crate::transcript::{Pool, WALLET, defaults, easy, template};

const OTHER_WALLET: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";

const READY: &str = r#"
    > {"id":1,"method":"mining.subscribe","params":["cgminer/4.12.0"]}
    < {"id":1,"result":[[["mining.notify","$S"]],"00000001",4],"error":null}
    > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
    < {"id":2,"result":true,"error":null}
    +250ms
    < {"id":null,"method":"mining.set_difficulty","params":[…]}
    < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
"#;

/// A template of which any hash below the specification's first share is a block.
fn of_difficulty(difficulty: f64) -> Template {
    let mut template = template();
    template.target = Target::from_difficulty(difficulty);
    template
}

#[test]
fn crlf_and_blank_lines_between_requests_change_nothing() {
    let mut pool = Pool::new(defaults());
    pool.receive(
        b"\r\n\n  \t\r\n {\"id\":1,\"method\":\"mining.ping\"}\t \r\n\r\n\n\
          {\"id\":2,\"method\":\"mining.ping\"}\n\r\n{\"id\":3,\"meth",
    );
    pool.receive(b"od\":\"mining.ping\"}\r");
    pool.receive(b"\n\n");
    let pong = |id: u32| format!("{{\"id\":{id},\"result\":\"pong\",\"error\":null}}");
    assert_eq!(pool.hear(), [pong(1), pong(2), pong(3)]);
}

#[test]
fn blank_lines_are_no_sign_of_life() {
    let mut pool = Pool::new(defaults());
    pool.play("+170s");
    pool.receive(b"\r\n\n \n");
    pool.play("+11s\n closed");
}

#[test]
fn every_row_of_the_submit_matrix_that_needs_length_or_mask_has_its_answer() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00006000"}]}
        < {"id":3,"result":{"version-rolling":true,"version-rolling.mask":"00006000","version-rolling.min-bit-count":1},"error":null}
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,…}
        > {"id":2,"method":"mining.authorize","params":["W","x"]}
        < {"id":2,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
    let (worker, job) = ("w".repeat(257), "1".repeat(129));
    let share = r#""00000000","662307b7","01953508""#;
    for (params, message) in [
        (format!(r#""{worker}","1-1",{share}"#), "worker name too long"),
        (format!(r#""{}","{job}",{share}"#, &worker[1..]), "job id too long"),
        (format!(r#""w","1-1",{share},"00000010""#), "invalid version mask"),
        (format!(r#""w","1-1",{share},"20000010""#), "invalid version mask"),
        (format!(r#""w","1-1",{share},"20008000""#), "invalid version mask"),
        (r#""w","1-1","00000000",1713571767,"01953508""#.to_owned(), "invalid ntime"),
        (format!(r#""w","1-1",{share},"","""#), "invalid params"),
        (String::new(), "invalid params"),
    ] {
        pool.play(&format!(
            r#"
            > {{"id":9,"method":"mining.submit","params":[{params}]}}
            < {{"id":9,"result":false,"error":[20,"{message}",null]}}
            "#
        ));
    }
    let unknown = &job[1..];
    pool.play(&format!(
        r#"
        > {{"id":9,"method":"mining.submit","params":["w","{unknown}",{share}]}}
        < {{"id":9,"result":false,"error":[21,"job not found",null]}}
        > {{"id":9,"method":"mining.submit","params":["w"," 1-1 ",{share},"20002000"]}}
        < {{"id":9,"result":false,"error":[23,"low difficulty share (…
        "#
    ));
}

#[test]
fn a_good_share_counts_once_in_whatever_spelling() {
    let mut pool = Pool::new(easy());
    pool.play(&READY.replace("$S", "1"));
    let refused = r#"< {"id":5,"result":false,"error":[22,"duplicate share",null]}"#;
    let accepted = r#"< {"id":5,"result":true,"error":null}"#;
    for (fields, answer) in [
        (r#""00000000","662307b7","01953508""#, accepted),
        (r#""00000000","662307b7","01953508""#, refused),
        (r#""00000000","662307B7","1953508""#, refused),
        (r#""00000000","662307b7","1953508","20000000""#, refused),
        (r#""00000000","662307b7","1953508","0""#, refused),
    ] {
        pool.play(&format!(
            "> {{\"id\":5,\"method\":\"mining.submit\",\"params\":[\"W.rig1\",\"1-1\",{fields}]}}\n{answer}"
        ));
    }
    assert_eq!(pool.tally.take().accepted, 1);
}

#[test]
fn a_hint_is_no_part_of_the_workers_name() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":2,"method":"mining.authorize","params":["W.a+4096","x"]}
        < {"id":2,"result":true,"error":null}
        "#,
    );
    let workers: Vec<String> =
        pool.tally.take().workers.keys().map(|name| (**name).into()).collect();
    assert_eq!(workers, [format!("{WALLET}.a")]);
}

#[test]
fn the_transactions_of_a_named_job_are_its_own() {
    let mut pool = Pool::new(defaults());
    pool.play(&READY.replace("$S", "1"));
    pool.play(
        r#"
        ! job
        < {"id":null,"method":"mining.notify","params":["2-2",…,false]}
        > {"id":8,"method":"mining.get_transactions","params":[" 1-1 "]}
        < {"id":8,"result":["5a0ab47681e4de128a913e2ce2da5fae7b8ebf00a77a6a9eefc8fd1b7683d9dc","cf925137514516f2ac2f026517c7ce5f68f4eddeea0c5bf28113052daf7eb1c7"],"error":null}
        > {"id":8,"method":"mining.get_transactions","params":[5]}
        < {"id":8,"result":["cf925137514516f2ac2f026517c7ce5f68f4eddeea0c5bf28113052daf7eb1c7"],"error":null}
        > {"id":8,"method":"mining.get_transactions","params":["2-1"]}
        < {"id":8,"result":[],"error":null}
        "#,
    );
}

#[test]
fn a_block_whose_time_is_outside_the_window_is_a_block() {
    let mut pool = Pool::with_template(defaults(), of_difficulty(1e-10));
    pool.play(&READY.replace("$S", "1"));
    for ntime in ["0", "662307b6", "66232310", "ffffffff"] {
        pool.play(&format!(
            r#"
            > {{"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","{ntime}","1"]}}
            < {{"id":5,"result":true,"error":null}}
            "#
        ));
    }
    assert_eq!(pool.solved.len(), 4);
}

#[test]
fn the_work_after_a_second_authorize_pays_the_second_wallet() {
    let mut pool = Pool::new(defaults());
    pool.play(&READY.replace("$S", "1"));
    let script_hex =
        |wallet| const_hex::encode(script_for(wallet, Network::Mainnet).expect("an address"));
    pool.read(
        format!(
            "{{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"{OTHER_WALLET}.b\",\"x\"]}}\n"
        )
        .as_bytes(),
    );
    let said = pool.hear();
    let notify = said.last().expect("work");
    assert!(notify.contains("\"1-2\"") && notify.ends_with(",true]}"), "{notify}");
    assert!(notify.contains(&script_hex(OTHER_WALLET)), "{notify}");
    assert!(!notify.contains(&script_hex(WALLET)), "{notify}");
}

/// The mistake of a request that asks for an option as if it were an extension.
#[test]
fn an_unknown_extension_cannot_undo_what_is_answered_under_its_name() {
    let mut pool = Pool::new(defaults());
    pool.play(
        r#"
        > {"id":1,"method":"mining.configure","params":[["version-rolling","version-rolling.mask"],{}]}
        < {"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":1},"error":null}
        "#,
    );
}

#[test]
fn a_block_of_a_late_job_is_found_once_even_by_a_miner_that_comes_back() {
    let mut pool = Pool::with_template(defaults(), of_difficulty(0.009)).secret();
    pool.play(READY);
    for _ in 0..12 {
        pool.play("! job\n < {\"id\":null,\"method\":\"mining.notify\",…,false]}");
    }
    pool.play(
        r#"
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":5,"result":true,"error":null}
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":5,"result":false,"error":[22,"duplicate share",null]}
        reconnect
        > {"id":1,"method":"mining.subscribe","params":["cgminer/4.12.0","$S"]}
        < {"id":1,"result":[[["mining.notify","$S"]],"00000001",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["W.rig1","x"]}
        < {"id":2,"result":true,"error":null}
        > {"id":5,"method":"mining.submit","params":["W.rig1","1-1","00000000","662307b7","01953508"]}
        < {"id":5,"result":false,"error":[22,"duplicate share",null]}
        "#,
    );
    assert_eq!(pool.solved.len(), 1);
}
