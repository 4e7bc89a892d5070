//! Stratum over TLS is Stratum.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::abuse::undisturbed;
use crate::miner::Miner;
use crate::node::{Chain, Node};
use crate::poll::{POLL_INTERVAL, until};
use crate::pool::Pool;
use crate::settings::{MINER_ADDRESS, Settings};
use crate::stratum::{self, Client};
use crate::tls_client::{self, TlsStream};

const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// The files are looked at once a minute.
const RELOAD_LIMIT: Duration = Duration::from_secs(70);
/// How often each offence is committed.
const ROUND_COUNT: usize = 20;

pub fn pool_with_tls(node: &Node) -> Pool {
    let mut settings = Settings::of(node);
    settings.stratum_tls_listen = "127.0.0.1:0";
    Pool::start(settings)
}

fn join(pool: &Pool, worker: &str) -> Miner {
    let connection = tls_client::open(pool.stratum_tls(), &pool.certificate_paths().0);
    Miner::join_over(Client::over(connection), worker, &json!(["harness/1.0"]))
}

#[track_caller]
fn await_tls_count(pool: &Pool, count: u64) {
    pool.await_server(&format!("{count} miners over TLS"), |server| {
        (server["connections"]["tls"] == count).then_some(())
    });
}

#[test]
fn shares_and_blocks_come_in_over_tls() {
    let node = Node::new(Chain::Signet);
    let pool = pool_with_tls(&node);
    let mut miner = join(&pool, MINER_ADDRESS);
    let mut plain = Miner::join(pool.stratum(), &format!("{MINER_ADDRESS}.plain"));
    await_tls_count(&pool, 1);
    let job = miner.job();
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    let again = miner.submit(&share);
    assert_eq!(again.error.expect("a duplicate").0, 22);
    let hash = miner.mine_block_of(&job);
    node.await_tip(&hash, ACCEPT_LIMIT);
    pool.await_found(&hash);
    for miner in [&mut miner, &mut plain] {
        assert!(miner.job_on(&hash).clean);
    }
    miner.leave();
    await_tls_count(&pool, 0);
}

#[test]
fn both_versions_of_tls_and_both_names_are_served() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let certificate = tls_client::certificate(&pool.certificate_paths().0);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for name in ["127.0.0.1", "localhost"] {
            let address = pool.stratum_tls();
            let tls = tls_client::handshake(address, certificate.clone(), name, &[version]);
            let tls = tls.unwrap_or_else(|error| panic!("{version:?} as {name}: {error}"));
            assert_eq!(tls.conn.protocol_version(), Some(version.version));
            let mut client = Client::over(stratum::Connection::over(tls));
            assert_eq!(client.request("mining.ping", &json!([])).result, "pong");
            client.leave();
        }
    }
    // Another certificate is not taken for the pool's.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a pair");
    let address = pool.stratum_tls();
    let other = other.cert.der().clone();
    tls_client::handshake(address, other, "127.0.0.1", rustls::ALL_VERSIONS).unwrap_err();
}

#[test]
fn a_connection_over_tls_ends_with_a_goodbye_of_tls() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let certificate = tls_client::certificate(&pool.certificate_paths().0);
    let address = pool.stratum_tls();
    let mut tls = tls_client::handshake(address, certificate, "127.0.0.1", rustls::ALL_VERSIONS)
        .expect("TLS");
    tls.write_all(b"{\"id\":7,\"method\":\"mining.ping\",\"params\":{}}\n").expect("send");
    // Without it this would be an error: the end may have been an attacker's.
    let mut said = String::new();
    tls.read_to_string(&mut said).expect("the stream ends as TLS says it must");
    let error = json!([-32700, "parse error", null]);
    let said: Value = serde_json::from_str(&said).expect("one line of JSON");
    assert_eq!(said, json!({"id": 7, "result": null, "error": error}));
}

/// Slow: the files are looked at once a minute.
#[test]
fn a_new_certificate_is_used_without_a_restart() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let (certificate_path, key_path) = pool.certificate_paths();
    let old = tls_client::certificate(&certificate_path);
    let mut miner = join(&pool, MINER_ADDRESS);
    let job = miner.job();

    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a pair");
    let new = pair.cert.der().clone();
    // Side by side first: a rename does not leave half a file to be read.
    for (path, text) in
        [(&key_path, pair.signing_key.serialize_pem()), (&certificate_path, pair.cert.pem())]
    {
        let beside = path.with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).expect("replace");
    }
    let connect = |trusted: &rustls::pki_types::CertificateDer<'static>| {
        let address = pool.stratum_tls();
        tls_client::handshake(address, trusted.clone(), "127.0.0.1", rustls::ALL_VERSIONS)
    };
    let tls = until("the new certificate is in use", RELOAD_LIMIT, || {
        assert_eq!(miner.request("mining.ping", &json!([])).result, "pong");
        connect(&new).ok()
    });
    assert_eq!(tls.conn.peer_certificates().expect("it showed one")[0], new);
    connect(&old).unwrap_err();
    let mut newcomer = Miner::join_over(
        Client::over(stratum::Connection::over(tls)),
        &format!("{MINER_ADDRESS}.new"),
        &json!([]),
    );
    newcomer.job();
    // Who was connected before goes on.
    let share = miner.find_share(&job);
    assert!(miner.submit(&share).is_true());
    await_tls_count(&pool, 2);
}

/// A self-signed pair of that name which ends in `days` days, less an hour.
fn ending_in(days: u32, name: &str) -> [String; 2] {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a date");
    let day = Duration::from_secs(24 * 3600);
    params.not_after =
        rcgen::date_time_ymd(1970, 1, 1) + now + day * days - Duration::from_secs(3600);
    let key = rcgen::KeyPair::generate().expect("a key");
    [params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem()]
}

#[test]
fn a_certificate_of_the_pools_own_is_renewed_before_it_ends_and_an_operators_is_not() {
    let node = Node::new(Chain::Regtest);
    let mut pool = pool_with_tls(&node);
    for (days, name, is_renewed) in [
        (40, "goPool self-signed", false),
        (20, "goPool self-signed", true),
        (20, "pool.example", false),
    ] {
        let (certificate_path, key_path) = pool.certificate_paths();
        pool.kill();
        let [certificate, key] = ending_in(days, name);
        fs::write(&certificate_path, &certificate)
            .and_then(|()| fs::write(&key_path, &key))
            .expect("write");
        let given = tls_client::certificate(&certificate_path);
        pool = pool.relaunch();
        let there = tls_client::certificate(&certificate_path);
        assert_eq!(there != given, is_renewed, "{name}, {days} days");
        let address = pool.stratum_tls();
        let tls = tls_client::handshake(address, there.clone(), "127.0.0.1", rustls::ALL_VERSIONS);
        let tls = tls.unwrap_or_else(|error| panic!("{name}, {days} days: {error}"));
        assert_eq!(tls.conn.peer_certificates().expect("it showed one")[0], there);
        pool.await_log(
            "certificate in use, and reloaded when its files change",
            &[&format!("days_left={}", if is_renewed { 364 } else { days - 1 })],
            ACCEPT_LIMIT,
        );
    }
}

/// Damage: its name, and what it does to a connection whose handshake is done.
type Damage = (&'static str, fn(&mut TlsStream));

const DAMAGES: [Damage; 6] = [
    ("a record that was not sealed", |tls| {
        let _ = tls.sock.write_all(b"\x17\x03\x03\x00\x20 this is not what was agreed upon");
    }),
    ("a record longer than any", |tls| {
        let _ = tls.sock.write_all(b"\x17\x03\x03\xff\xff");
        let _ = tls.sock.write_all(&[b'a'; 70_000]);
    }),
    ("Stratum in the clear, later", |tls| {
        let _ = tls.sock.write_all(b"{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n");
    }),
    ("a second handshake", |tls| {
        let _ = tls.sock.write_all(b"\x16\x03\x03\x00\x05\x01\x00\x00\x01\x0a");
    }),
    ("a megabyte of zeros", |tls| {
        let _ = tls.sock.write_all(&vec![0; 1024 * 1024]);
    }),
    ("half a record and the end", |tls| {
        let _ = tls.sock.write_all(b"\x17\x03\x03\x00\x20half");
        let _ = tls.sock.shutdown(Shutdown::Write);
    }),
];

#[test]
fn a_broken_record_ends_its_connection_and_nothing_else() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let certificate = tls_client::certificate(&pool.certificate_paths().0);
    let address = pool.stratum_tls();
    undisturbed(&node, &pool, || {
        for round in 0..ROUND_COUNT {
            for (name, damage) in DAMAGES {
                let trusted = certificate.clone();
                let tls =
                    tls_client::handshake(address, trusted, "127.0.0.1", rustls::ALL_VERSIONS);
                let mut tls = tls.unwrap_or_else(|error| panic!("TLS before {name}: {error}"));
                damage(&mut tls);
                check_closed(&mut tls.sock, name, round);
            }
        }
    });
}

#[test]
fn a_broken_handshake_ends_its_connection_and_nothing_else() {
    let mut noise = 0x9e37_79b9_u32;
    let megabyte: Vec<u8> = (0..1024 * 1024)
        .map(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            noise.to_le_bytes()[1]
        })
        .collect();
    // A record's head in front: without it TLS would end at the first byte.
    let hello = [&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"[..], &megabyte].concat();
    let records: Vec<u8> = megabyte
        .chunks(16_000)
        .flat_map(|chunk| [&b"\x16\x03\x01\x3e\x80"[..], chunk].concat())
        .collect();
    let cases: [(&str, &[u8]); 6] = [
        ("a megabyte of noise", &megabyte),
        ("a hello of noise", &hello),
        ("handshake records of noise", &records),
        ("a short hello", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x0a"),
        ("an alert", b"\x15\x03\x01\x00\x02\x02\x28"),
        ("no TLS at all", b"hello?\n"),
    ];
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let address = pool.stratum_tls();
    undisturbed(&node, &pool, || {
        for round in 0..ROUND_COUNT {
            for (name, bytes) in cases {
                let mut stream = stratum::connect(address).expect("connect");
                // The pool may close before it has heard everything.
                let _ = stream.write_all(bytes);
                check_closed(&mut stream, name, round);
            }
        }
    });
}

/// Reads until the pool closes, whatever it says.
#[track_caller]
fn check_closed(stream: &mut std::net::TcpStream, name: &str, round: usize) {
    let deadline = Instant::now() + CLOSE_LIMIT;
    stream.set_read_timeout(Some(POLL_INTERVAL)).expect("a socket option");
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        assert!(Instant::now() < deadline, "{name}: open, round {round}");
    }
}
