//! What is no request, or one that two programs could read differently: refused in words, and the
//! connection closed. After each of them the server answers the next client as ever.

use super::*;

/// A head with one more field.
fn with_field(field: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").into_bytes()
}

fn post_with(fields: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}").into_bytes()
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// The body of a chunked request that says it is, and what might hide behind it.
fn chunked(sizes: &str) -> Vec<u8> {
    post_with("Transfer-Encoding: chunked", sizes)
}

/// Bytes, and the status they are answered with.
fn malformed() -> Vec<(Vec<u8>, u16)> {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunk_and_more = format!("0\r\n\r\n{smuggled}");
    let mut all = vec![
        // Two lengths, or one that is none.
        (post_with("Content-Length: 5\r\nContent-Length: 6", "hello!"), 400),
        (post_with("Content-Length: 5\r\nContent-Length: 5", "hello"), 400),
        (post_with("Content-Length: 5, 5", "hello"), 400),
        (post_with("Content-Length: 5,6", "hello!"), 400),
        (post_with("Content-Length: +5", "hello"), 400),
        (post_with("Content-Length: -1", ""), 400),
        (post_with("Content-Length: 0x5", "hello"), 400),
        (post_with("Content-Length: 5 5", "hello"), 400),
        (post_with("Content-Length: 5.0", "hello"), 400),
        (post_with("Content-Length: ", ""), 400),
        (post_with("Content-Length: five", "hello"), 400),
        (post_with("Content-Length: 1e1", "hello"), 400),
        (post_with("Content-Length: \u{665}", "hello"), 400),
        // Numbers that overflow.
        (post_with("Content-Length: 65537", ""), 413),
        (post_with("Content-Length: 4294967296", ""), 413),
        (post_with("Content-Length: 18446744073709551616", ""), 413),
        (post_with("Content-Length: 18446744073709551621", "hello"), 413),
        (post_with("Content-Length: 99999999999999999999999999999999999999999", ""), 413),
        // A length and chunks.
        (post_with("Content-Length: 5\r\nTransfer-Encoding: chunked", &chunk_and_more), 400),
        (post_with("Transfer-Encoding: chunked\r\nContent-Length: 5", &chunk_and_more), 400),
        (post_with("Transfer-Encoding: identity\r\nContent-Length: 5", "hello"), 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), 400),
        // Chunks are not taken at all, however they are spelled.
        (chunked(&chunk_and_more), 411),
        (chunked("ffffffffffffffff\r\nhello"), 411),
        (chunked("5\r\nhel"), 411),
        (chunked("-5\r\nhello\r\n0\r\n\r\n"), 411),
        (chunked("5;\nx=y\r\nhello\r\n0\r\n\r\n"), 411),
        (chunked("zz\r\n"), 411),
        (post_with("Transfer-Encoding: xchunked", "0\r\n\r\n"), 411),
        (post_with("Transfer-Encoding: chunked, identity", "0\r\n\r\n"), 411),
        (post_with("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"), 400),
        (post_with("Transfer-Encoding : chunked", "0\r\n\r\n"), 400),
        (post_with("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"), 400),
        // Ends of lines and of names.
        (with_field("A: b\r\n c"), 400),
        (with_field("A: b\r\n\tc"), 400),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n".to_vec(), 400),
        (with_field("A: b\rc"), 400),
        (with_field("A: b\nC: d"), 400),
        (b"GET / HTTP/1.1\nHost: x\n\n".to_vec(), 400),
        (b"GET / HTTP/1.1\rHost: x\r\r\n\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (with_field("A : b"), 400),
        (with_field("A\t: b"), 400),
        (with_field("A b: c"), 400),
        (with_field(": b"), 400),
        (with_field("A"), 400),
        (with_field("A\0: b"), 400),
        (with_field("A: \0"), 400),
        (with_field("A: b\x7f"), 400),
        (with_field("A: \x01"), 400),
        (with_field("\u{c4}: b"), 400),
        // Hosts.
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (with_field("Host: y"), 400),
        (with_field("host: x"), 400),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n".to_vec(), 400),
        // Whole URLs that say something else than the rest.
        (get("http://y/"), 400),
        (get("http://y@x/"), 400),
        (get("http://x@y/"), 400),
        (get("http://x:81/"), 400),
        (get("http:///x"), 400),
        (get("http:/x"), 400),
        (get("http://"), 400),
        (get("ftp://x/"), 400),
        (get("file:///etc/passwd"), 400),
        (get("javascript://x/%0aalert(1)"), 400),
        (get("x"), 400),
        (get("*"), 400),
        (get("x:443"), 400),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        // Paths that hide something.
        (get("/%00"), 400),
        (get("/static/app.css%00.png"), 400),
        (get("/\\..\\..\\etc\\passwd"), 400),
        (get("/..%5c..%5cetc"), 400),
        (get("/..%2f..%2fetc/passwd"), 400),
        (get("/%2e%2e/%2e%2e/etc/passwd"), 400),
        (get("/static/.%2e/x"), 400),
        (get("/%c0%ae%c0%ae/x"), 400),
        (get("/%"), 400),
        (get("/%zz"), 400),
        (get("/a%0d%0aSet-Cookie:%20a=b"), 400),
        (get("/\u{e9}"), 400),
        (get("/a#b"), 400),
        (get("/\0"), 400),
        (get("/a b"), 505),
        // Request lines.
        (b"GET /\r\n".to_vec(), 400),
        (b"GET /\r\n\r\n".to_vec(), 400),
        (b"GET\r\n\r\n".to_vec(), 400),
        (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"GET / http/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"G\xc4T / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/11.1\r\nHost: x\r\n\r\n".to_vec(), 505),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_vec(), 505),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n".to_vec(), 505),
        // Other protocols.
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".to_vec(), 505),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), 400),
        (b"\x80\x2e\x01\x03\x01".to_vec(), 400),
        (b"\0\0\0\0".to_vec(), 400),
        (b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n".to_vec(), 400),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), 400),
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (
            b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\x01\x02\x03\x04\x0a\0\0\x01\x12\x34\0\x50".to_vec(),
            400,
        ),
        (b"EHLO x\r\n".to_vec(), 400),
    ];
    // Too much of anything.
    all.push((with_field(&"A: b\r\n".repeat(99)[..6 * 99 - 2]), 431));
    all.push((with_field(&format!("A: {}", "b".repeat(17_000))), 431));
    all.push((with_field(&format!("{}: b", "a".repeat(17_000))), 431));
    all.push((get(&format!("/{}", "a".repeat(17_000))), 431));
    all.push((get(&format!("/?{}", "a".repeat(60_000))), 431));
    all.push(([&b"A"[..]].concat().repeat(17_000), 431));
    all
}

#[test]
fn what_is_malformed_is_refused_and_nobody_else_notices() {
    let server = Server::start();
    let all = malformed();
    assert!(all.len() >= 60);
    for (input, status) in all {
        let shown = input[..input.len().min(120)].escape_ascii().to_string();
        let mut stream = server.connect();
        stream.write_all(&input).unwrap();
        // The answer comes and the connection ends, although we would wait for more.
        let started = Instant::now();
        let text = read_to_end(stream);
        assert!(started.elapsed() < Duration::from_secs(4), "{shown}");
        let lines = status_lines(&text);
        assert_eq!(lines.len(), 1, "{shown}: {text}");
        assert!(lines[0].starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {}", lines[0]);
        assert!(text.contains("\r\nConnection: close\r\n"), "{shown}");
        assert!(text.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{shown}");
        assert!(!text.contains("passwd") && !text.contains("Set-Cookie"), "{shown}");
        let good = server.talk("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(status_lines(&good), ["HTTP/1.1 200 OK"], "after {shown}");
    }
}

#[test]
fn no_path_leads_out_of_the_files() {
    let server = Server::start();
    for (target, status, location) in [
        ("//", 308, Some("/")),
        ("//evil.example/x", 308, Some("/evil.example/x")),
        ("/..//evil.example", 308, Some("/evil.example")),
        ("/static/../../etc/passwd", 308, Some("/etc/passwd")),
        ("/static/./app.css?v=1", 308, Some("/static/app.css?v=1")),
        ("http://x//a", 308, Some("/a")),
        ("/%252e%252e/etc/passwd", 404, None),
        ("/etc/passwd", 404, None),
        ("/....//etc", 308, Some("/..../etc")),
        ("/static/%61pp.css", 200, None),
    ] {
        let text =
            server.talk(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {text}");
        assert_eq!(field(&text, "Location"), location, "{target}");
    }
}
