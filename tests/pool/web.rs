//! The pages' sockets: HTTPS beside HTTP, and what those cost that only wait.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use crate::node::{Chain, Node};
use crate::poll::until;
use crate::pool::{Pool, SNAPSHOT_LIMIT};
use crate::settings::Settings;
use crate::stratum::ANSWER_LIMIT;
use crate::tls_client;

const IDLE_COUNT: usize = 5000;
/// One address may have 64 connections.
const IDLE_PER_SOURCE: usize = 50;
const IDLE_BYTES_MAX: usize = 8 * 1024;
/// rustls keeps keys and 4 KiB to read into for each of its connections.
const IDLE_TLS_COUNT: usize = 1000;
const IDLE_TLS_BYTES_MAX: usize = 24 * 1024;

const KEPT: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
const CLOSED: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn pool_with_https(node: &Node) -> Pool {
    let mut settings = Settings::of(node);
    settings.status_tls_listen = "127.0.0.1:0".to_owned();
    Pool::start(settings)
}

#[test]
fn the_pages_are_served_over_https_and_http_leads_there() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_https(&node);
    let certificate = tls_client::certificate(&pool.certificate_paths().0);
    let mut tls =
        tls_client::handshake(pool.https(), certificate, "localhost", rustls::ALL_VERSIONS)
            .expect("TLS");
    tls.write_all(CLOSED.as_bytes()).expect("a request");
    let mut text = String::new();
    tls.read_to_string(&mut text).expect("an answer, and an end to it");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let response = pool.get("/pool?x=1", &[]);
    let location = format!("https://127.0.0.1:{}/pool?x=1", pool.https().port());
    assert_eq!((response.status, response.header("location")), (307, Some(&*location)));
}

/// From one of the many addresses of this machine.
fn connect(address: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let source = u8::try_from(index / IDLE_PER_SOURCE).expect("few sources");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, source), 0)).into())?;
    socket.connect(&address.into())?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    Ok(socket.into())
}

fn ask(stream: &mut (impl Read + Write)) {
    stream.write_all(KEPT.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut scratch = [0; 2048];
        let count = stream.read(&mut scratch).expect("an answer");
        assert_ne!(count, 0, "closed after {} bytes", answer.len());
        answer.extend_from_slice(&scratch[..count]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 "));
}

#[test]
fn five_thousand_browsers_that_wait_cost_little() {
    let node = Node::new(Chain::Regtest);
    let pool = Pool::for_node(&node);
    let open = |count: usize| -> Vec<TcpStream> {
        let streams = (0..count).map(|index| {
            let mut stream = connect(pool.http(), index).expect("a connection");
            ask(&mut stream);
            stream
        });
        streams.collect()
    };
    check_idle(&pool, open, IDLE_COUNT, IDLE_BYTES_MAX);
}

#[test]
fn browsers_that_wait_over_tls_cost_little_more() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_https(&node);
    let certificate = tls_client::certificate(&pool.certificate_paths().0);
    let config = tls_client::config(certificate, rustls::ALL_VERSIONS);
    let open = |count: usize| -> Vec<_> {
        let streams = (0..count).map(|index| {
            let stream = connect(pool.https(), index).expect("a connection");
            let name = "localhost".try_into().expect("a name");
            let connection =
                rustls::ClientConnection::new(config.clone(), name).expect("a connection");
            let mut tls = rustls::StreamOwned::new(connection, stream);
            ask(&mut tls);
            tls
        });
        streams.collect()
    };
    check_idle(&pool, open, IDLE_TLS_COUNT, IDLE_TLS_BYTES_MAX);
}

#[track_caller]
fn check_idle<T>(pool: &Pool, open: impl Fn(usize) -> Vec<T>, count: usize, bytes_max: usize) {
    let resident = || usize::try_from(pool.resident_bytes()).expect("a size");
    // What serving takes at all is there after some, and files are closed again.
    let descriptors = pool.descriptor_count();
    drop(open(100));
    until("the first ones have gone", SNAPSHOT_LIMIT, || {
        (pool.descriptor_count() <= descriptors + 20).then_some(())
    });
    let before = resident();
    let held = open(count);
    let each = resident().saturating_sub(before) / count;
    eprintln!("{count} connections that wait: {each} bytes each");
    assert!(each < bytes_max, "{each} bytes for each of {count}, {bytes_max} are allowed");
    drop(held);
}
