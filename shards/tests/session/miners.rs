//! The bytes that real clients send (`miners.md`), and what each needs to hear.

use crate::transcript::{Pool, defaults, easy};

#[test]
fn cpuminer_submits_everything_under_one_id() {
    let mut pool = Pool::new(easy());
    pool.play(
        r#"
        > {"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        > {"id": 2, "method": "mining.authorize", "params": ["W.cpu", "x"]}
        < {"id":2,"result":true,"error":null}
        +250ms
        < {"id":null,"method":"mining.set_difficulty","params":[0.009]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"method": "mining.submit", "params": ["W.cpu", "1-1", "00000000", "662307b7", "01953509"], "id":4}
        < {"id":4,"result":false,"error":[23,"low difficulty share (…
        > {"method": "mining.submit", "params": ["W.cpu", "1-1", "00000000", "662307b7", "01953509"], "id":4}
        < {"id":4,"result":false,"error":[22,"duplicate share",null]}
        "#,
    );
}

#[test]
fn cpuminer_that_comes_back_with_its_session_is_served_and_so_is_its_second_try() {
    Pool::new(defaults()).play(
        r#"
        > {"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1", "1"]}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        "#,
    );
    Pool::new(defaults()).play(
        r#"
        > {"id": 1, "method": "mining.subscribe", "params": []}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        "#,
    );
}

#[test]
fn cgminer_reads_one_line_after_configure_and_it_is_the_answer() {
    Pool::new(defaults()).play(
        r#"
        > {"id": 0, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2}]}
        < {"id":0,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2},"error":null}
        > {"id": 1, "method": "mining.subscribe", "params": ["cgminer/4.12.0"]}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        > {"id": 2, "method": "mining.authorize", "params": ["W.s9", "123"]}
        < {"id":2,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn bitaxe_sends_its_handshake_without_waiting_and_suggests_after_it() {
    let mut settings = defaults();
    settings.difficulty.min = 0.001;
    let mut pool = Pool::new(settings);
    pool.play(
        r#"
        > {"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}
        >> {"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.6.5"]}
        >> {"id": 3, "method": "mining.authorize", "params": ["W.bitaxe", "x"]}
        < {"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":1},"error":null}
        < {"id":2,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[…
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id": 4, "method": "mining.suggest_difficulty", "params": [1000]}
        < {"id":4,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[776]}
        < {"id":null,"method":"mining.notify","params":["1-2",…,true]}
        > {"id": 5, "method": "mining.extranonce.subscribe", "params": []}
        < {"id":5,"result":true,"error":null}
        < {"id":null,"method":"mining.set_extranonce","params":["00000001",4]}
        > {"id":6,"method":"pong","params":[]}
        < {"id":6,"result":null,"error":[-32601,"method not found",null]}
        "#,
    );
}

#[test]
fn bitaxe_sends_the_bits_it_rolled_with_every_share() {
    let mut pool = Pool::new(easy());
    pool.play(
        r#"
        > {"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}
        >> {"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.6.5"]}
        >> {"id": 3, "method": "mining.authorize", "params": ["W.bitaxe", "x"]}
        < {"id":1,…}
        < {"id":2,…}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[0.009]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id": 6, "method": "mining.submit", "params": ["W.bitaxe", "1-1", "0000002a", "662307bc", "0218d484", "00002000"]}
        < {"id":6,"result":true,"error":null}
        > {"id": 7, "method": "mining.submit", "params": ["W.bitaxe", "1-1", "0000002a", "662307bc", "0218d484", "20002000"]}
        < {"id":7,"result":false,"error":[22,"duplicate share",null]}
        "#,
    );
}

#[test]
fn a_probe_that_reads_once_sees_a_notify() {
    Pool::new(defaults()).play(
        r#"
        > {"id": 1, "method": "mining.subscribe", "params": ["bitaxe/BM1366/v2.5.0"]}
        >> {"id": 2, "method": "mining.authorize", "params": ["W", "x"]}
        < {"id":1,…}
        < {"id":2,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn nerdminer_does_not_pad_its_nonce_and_repeats_its_suggestion() {
    let mut settings = easy();
    settings.difficulty.min = 0.0001;
    settings.difficulty.max = 0.0;
    let mut pool = Pool::new(settings);
    pool.play(
        r#"
        > {"id": 1, "method": "mining.subscribe", "params": ["NerdMinerV2/1.7.0"]}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        > {"params": ["W.nerd", "x"], "id": 2, "method": "mining.authorize"}
        < {"id":2,"result":true,"error":null}
        > {"id": 3, "method": "mining.suggest_difficulty", "params": [0.00015]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[0.000113…
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        > {"id":4,"method":"mining.submit","params":["W.nerd","1-1","00000000","662307b7","1953508"]}
        < {"id":4,"result":true,"error":null}
        +30s
        > {"id": 5, "method": "mining.suggest_difficulty", "params": [0.00015]}
        < {"id":5,"result":true,"error":null}
        > {"id":6,"method":"mining.submit","params":["W.nerd","1-1","    0000","662307b7","1953508"]}
        < {"id":6,"result":false,"error":[20,"invalid extranonce2",null]}
        "#,
    );
}

#[test]
fn braiins_os_sends_nulls_and_its_destination() {
    Pool::new(defaults()).play(
        r#"
        > {"id":0,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16}]}
        < {"id":0,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16},"error":null}
        > {"id":1,"method":"mining.subscribe","params":["Braiins OS 2019-06-05",null,"127.0.0.1:3333",null]}
        < {"id":1,"result":[[["mining.notify","1"]],"00000001",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["W.braiins","x"]}
        < {"id":2,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[256]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
    // Set to Sv2 on a Stratum v1 port it opens with bytes that are no text.
    let mut pool = Pool::new(defaults());
    pool.read(b"\x00\x00\x00\x2c\x00\x00\x00\x02\x00\x02\x00\n");
    assert!(pool.closed.is_some());
}

#[test]
fn whatsminer_suggests_before_anything_else() {
    Pool::new(defaults()).play(
        r#"
        > {"id": 1, "method": "mining.suggest_difficulty", "params": [4096]}
        < {"id":1,"result":true,"error":null}
        > {"id": 2, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "1fffe000"}]}
        < {"id":2,…}
        > {"id": 3, "method": "mining.subscribe", "params": ["whatsminer/v1.0"]}
        < {"id":3,…}
        > {"id": 4, "method": "mining.authorize", "params": ["W.wm", "x"]}
        < {"id":4,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[3104]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}

#[test]
fn some_asics_configure_three_things_at_once() {
    Pool::new(defaults()).play(
        r#"
        > {"id": 9966, "method": "mining.configure", "params": [["version-rolling","minimum-difficulty","subscribe-extranonce"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16,"minimum-difficulty.value":2048}]}
        < {"id":9966,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16,"minimum-difficulty":true,"subscribe-extranonce":true},"error":null}
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,…}
        < {"id":null,"method":"mining.set_extranonce","params":["00000001",4]}
        > {"id":3,"method":"mining.authorize","params":["W.asic","x"]}
        < {"id":3,"result":true,"error":null}
        < {"id":null,"method":"mining.set_difficulty","params":[2048]}
        < {"id":null,"method":"mining.notify","params":["1-1",…,true]}
        "#,
    );
}
