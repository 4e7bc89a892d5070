//! Who may ask how much, and who they are.

use super::*;

fn lookup(fields: &str) -> String {
    format!("GET /user/x HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")
}

fn is_limited(text: &str) -> bool {
    let wait = field(text, "Retry-After").map(|seconds| seconds.parse::<u64>().unwrap());
    let is_429 = text.starts_with("HTTP/1.1 429 Too Many Requests\r\n");
    assert_eq!(is_429, wait.is_some_and(|wait| (1..=61).contains(&wait)), "{text}");
    is_429
}

#[test]
fn the_eleventh_lookup_in_a_minute_is_refused_and_a_forged_address_does_not_help() {
    let server = Server::start();
    for _ in 0..10 {
        assert!(!is_limited(&server.talk(&lookup(""))));
    }
    assert!(is_limited(&server.talk(&lookup(""))));
    assert!(is_limited(&server.talk(&lookup("X-Forwarded-For: 1.2.3.4\r\n"))));
    assert!(server.talk(GET).starts_with("HTTP/1.1 200 OK"), "pages are not lookups");
}

#[test]
fn behind_a_trusted_proxy_each_client_counts_for_itself() {
    let server = Server::with(|plan, _| {
        plan.trusted_proxies = Networks::parse(&["127.0.0.1"]).unwrap();
    });
    for _ in 0..10 {
        assert!(!is_limited(&server.talk(&lookup("X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n"))));
    }
    assert!(is_limited(&server.talk(&lookup("X-Forwarded-For: 8.8.8.8, 1.2.3.4\r\n"))));
    assert!(!is_limited(&server.talk(&lookup("X-Forwarded-For: 1.2.3.4, 8.8.8.8\r\n"))));
}

#[test]
fn https_at_a_trusted_proxy_is_https() {
    let server = Server::with(|plan, _| {
        plan.trusted_proxies = Networks::parse(&["127.0.0.0/8"]).unwrap();
    });
    let url = PublicUrl { is_https: true, host: "pool.example".to_owned(), port: None };
    server.switch.set_public_url(Some(url));
    let ask = |scheme: &str| {
        let text = server.talk(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {scheme}\r\nConnection: close\r\n\r\n"
        ));
        field(&text, "Strict-Transport-Security").is_some()
    };
    assert!(ask("https"));
    assert!(!ask("http"));
}

/// It is the same search as `/worker/search`, whoever asks.
#[test]
fn wallets_are_looked_up_so_often_and_no_more_in_the_list_of_saved_workers_too() {
    let server = Server::with(|_, _| {});
    let ask = |target: &str| {
        server.talk(&format!("GET {target} HTTP/1.1\r\nHost: pool\r\nConnection: close\r\n\r\n"))
    };
    for number in 0..30 {
        let target = ["/saved-workers?wallet=w", "/stats/?hash=h", "/worker/search"][number % 3];
        assert!(!is_limited(&ask(target)));
    }
    assert!(is_limited(&ask("/saved-workers?wallet=w")));
    assert!(!is_limited(&ask("/saved-workers?sort=name")));
}

#[test]
fn the_proxy_protocol_is_spoken_by_those_who_are_trusted_and_by_them_alone() {
    let server = Server::with(|plan, _| {
        plan.trusted_proxies = Networks::parse(&["127.0.0.1"]).unwrap();
        plan.proxy_protocol = true;
    });
    let line = |source: &str| format!("PROXY TCP4 {source} 10.0.0.1 4711 80\r\n");
    let ask = |source: &str| server.talk(&(line(source) + &lookup("")));
    for _ in 0..10 {
        assert!(!is_limited(&ask("1.2.3.4")));
    }
    assert!(is_limited(&ask("1.2.3.4")));
    assert!(!is_limited(&ask("1.2.3.5")));
    // In pieces, and in the other version.
    let mut stream = server.connect();
    for piece in [&line("1.2.3.4")[..9], &line("1.2.3.4")[9..], &lookup("")] {
        stream.write_all(piece.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(is_limited(&read_to_end(stream)));
    let mut stream = server.connect();
    stream
        .write_all(b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\x01\x02\x03\x04\x0a\0\0\x01\x12\x34\0\x50")
        .unwrap();
    stream.write_all(lookup("").as_bytes()).unwrap();
    assert!(is_limited(&read_to_end(stream)));
    // A proxy that does not say it is none.
    for input in [GET, "PROXY TCP4 x\r\n", "PROXY"] {
        let mut stream = server.connect();
        stream.write_all(input.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        assert_eq!(bytes, b"", "{input}");
    }
    // Nobody else is listened to.
    let server = Server::with(|plan, _| plan.proxy_protocol = true);
    assert!(server.talk(GET).starts_with("HTTP/1.1 200 OK"));
    assert!(server.talk(&(line("1.2.3.4") + GET)).starts_with("HTTP/1.1 400 "));
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let server = Server::start();
    let held: Vec<_> = (0..limits::CONNECTIONS_PER_ADDRESS_MAX).map(|_| server.connect()).collect();
    thread::sleep(Duration::from_millis(200));
    let mut bytes = Vec::new();
    let _ = server.connect().read_to_end(&mut bytes);
    assert_eq!(bytes, b"");
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut stream = server.connect();
        bytes.clear();
        // It may be turned away while the others have not been missed yet.
        let _ = stream.write_all(GET.as_bytes());
        let _ = stream.read_to_end(&mut bytes);
        if bytes.starts_with(b"HTTP/1.1 200 ") {
            break;
        }
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn a_page_comes_in_the_form_that_is_asked_for_and_never_in_parts() {
    let server = Server::start();
    let ask = |method: &str, fields: &str| {
        let mut stream = server.connect();
        let text = format!(
            "{method} /static/app.css HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body = bytes.split_off(end);
        (String::from_utf8(bytes).unwrap(), body)
    };
    let (head, plain) = ask("GET", "");
    assert_eq!(
        (field(&head, "Content-Encoding"), field(&head, "Accept-Ranges")),
        (None, Some("none"))
    );
    assert_eq!(field(&head, "Vary"), Some("Accept-Encoding"));
    let plain_tag = field(&head, "ETag").unwrap().to_owned();
    for encoding in ["gzip", "br"] {
        let accept = format!("Accept-Encoding: {encoding};q=0.8\r\nRange: bytes=0-9\r\n");
        let (head, body) = ask("GET", &accept);
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(field(&head, "Content-Encoding"), Some(encoding));
        let length = body.len().to_string();
        assert_eq!(field(&head, "Content-Length"), Some(&*length));
        let mut decoded = Vec::new();
        if encoding == "br" {
            brotli::BrotliDecompress(&mut &body[..], &mut decoded).unwrap();
        } else {
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut decoded).unwrap();
        }
        assert_eq!(decoded, plain);
        let tag = field(&head, "ETag").unwrap();
        assert_ne!(tag, plain_tag);
        let (head_only, nothing) = ask("HEAD", &accept);
        assert_eq!((field(&head_only, "Content-Length"), nothing.len()), (Some(&*length), 0));
        for known in [tag, &plain_tag] {
            let (head, body) = ask("GET", &format!("{accept}If-None-Match: {known}\r\n"));
            assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty(), "{head}");
            assert_eq!(field(&head, "ETag"), Some(known));
        }
    }
}
