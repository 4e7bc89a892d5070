//! Who speaks another protocol than the port is told so in its own, and nobody else notices.

use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::Value;

use crate::http;
use crate::node::{Chain, Node};
use crate::stratum::{self, ANSWER_LIMIT};
use crate::tls::pool_with_tls;
use crate::tls_client;

/// Everything the pool says to `bytes`, until it closes.
#[track_caller]
fn said_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = stratum::connect(address).expect("connect");
    stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a socket option");
    stream.write_all(bytes).expect("send");
    let mut said = Vec::new();
    let end = stream.read_to_end(&mut said);
    end.unwrap_or_else(|error| panic!("not closed in order: {error}, after {said:?}"));
    said
}

/// An HTTP request is answered with one response of status 400, and the connection ends.
#[track_caller]
fn check_http(address: SocketAddr) {
    for request in [
        "GET / HTTP/1.1\r\nHost: pool\r\n\r\n",
        "POST /x HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: pool\r\n\r\n",
    ] {
        let said = said_to(address, request.as_bytes());
        let said = String::from_utf8(said)
            .unwrap_or_else(|error| panic!("more than HTTP: {:?}", error.as_bytes()));
        let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{said}");
        assert!(body.contains("Stratum"), "{body}");
    }
    let response = http::get(address, "/", &[]).expect("an answer that HTTP clients understand");
    assert_eq!(response.status, 400);
    assert!(!response.body.is_empty());
}

#[test]
fn http_on_the_plain_port_is_answered_in_http() {
    let node = Node::new(Chain::Regtest);
    check_http(pool_with_tls(&node).stratum());
}

#[test]
fn http_on_the_tls_port_is_answered_in_http() {
    let node = Node::new(Chain::Regtest);
    check_http(pool_with_tls(&node).stratum_tls());
}

#[test]
fn tls_on_the_plain_port_is_answered_with_an_alert() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x0a";
    assert_eq!(said_to(pool.stratum(), hello), b"\x15\x03\x01\x00\x02\x02\x28");
    // What a real client makes of it.
    let certificate = tls_client::certificate(&pool.certificate_paths().0);
    let address = pool.stratum();
    let error = tls_client::handshake(address, certificate, "127.0.0.1", rustls::ALL_VERSIONS)
        .unwrap_err()
        .to_string();
    assert!(error.contains("HandshakeFailure"), "{error}");
}

#[test]
fn json_on_the_tls_port_is_answered_with_one_line_of_json() {
    let node = Node::new(Chain::Regtest);
    let pool = pool_with_tls(&node);
    let subscribe = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n";
    let said = said_to(pool.stratum_tls(), subscribe);
    let said = String::from_utf8(said)
        .unwrap_or_else(|error| panic!("more than JSON: {:?}", error.as_bytes()));
    let line = said.strip_suffix('\n').expect("a line");
    let answer: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
    assert_eq!(answer["error"][0], 20, "{line}");
    assert!(answer["error"][1].as_str().is_some_and(|text| text.contains("TLS")), "{line}");
    assert_eq!(answer["result"], Value::Null, "{line}");
}
