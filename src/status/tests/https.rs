//! HTTPS, and what HTTP says beside it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::tls::Certificate;

/// An answer as soon as the other end has closed its TLS.
fn talk_tls(server: &Server, alpn: &[&str], input: &str) -> (String, Option<Vec<u8>>) {
    let pem = server.folder.path().join("tls_cert.pem");
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(server.https.unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    tls.write_all(input.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // Without a closing word this would be an error.
    tls.read_to_end(&mut bytes).unwrap();
    let protocol = tls.conn.alpn_protocol().map(<[u8]>::to_vec);
    (String::from_utf8(bytes).unwrap(), protocol)
}

fn with_https(change: impl FnOnce(&mut StatusPlan)) -> Server {
    Server::with(|plan, folder| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tls = Certificate::load_or_make(folder).unwrap().server_config().unwrap();
        plan.https = Some(HttpsPort { listener, tls });
        change(plan);
    })
}

const GET_PAGE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn the_pages_are_served_over_tls() {
    let server = with_https(|_| ());
    let (text, protocol) = talk_tls(&server, &["h2", "http/1.1"], GET_PAGE);
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("</html>"));
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
    let two = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n{GET_PAGE}");
    assert_eq!(status_lines(&talk_tls(&server, &[], &two).0).len(), 2);
    let refused = talk_tls(&server, &[], "GET / HTTP/1.1\r\n\r\n").0;
    assert_eq!(status_lines(&refused), ["HTTP/1.1 400 Bad Request"]);
}

#[test]
fn plain_http_and_silence_on_the_tls_port_are_given_up() {
    let server = with_https(|_| ());
    let connect = || {
        let stream = TcpStream::connect(server.https.unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let silent = connect();
    let mut plain = connect();
    plain.write_all(GET_PAGE.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"));
    let started = Instant::now();
    assert_eq!(read_to_end(silent), "");
    assert!(started.elapsed() < Duration::from_secs(9));
    assert!(talk_tls(&server, &[], GET_PAGE).0.starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn http_leads_to_https_whatever_it_is_asked() {
    let server = with_https(|_| ());
    let port = server.https.unwrap().port();
    for (request, location) in [
        ("GET / HTTP/1.1\r\nHost: pool:8080", format!("https://pool:{port}/")),
        ("HEAD /a//b?c=%2f HTTP/1.1\r\nHost: pool", format!("https://pool:{port}/a//b?c=%2f")),
        (
            "POST /admin/login?x HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0",
            format!("https://[::1]:{port}/admin/login?x"),
        ),
        ("BREW /tea HTTP/1.1\r\nHost: pool", format!("https://pool:{port}/tea")),
        ("GET http://pool/x HTTP/1.1\r\nHost: pool", format!("https://pool:{port}/x")),
        ("GET /x HTTP/1.0", format!("https://localhost:{port}/x")),
    ] {
        let text = server.talk(&format!("{request}\r\nConnection: close\r\n\r\n"));
        assert!(text.starts_with("HTTP/1.1 307 Temporary Redirect\r\n"), "{request}: {text}");
        assert_eq!(field(&text, "Location"), Some(&*location), "{request}");
        assert_eq!(field(&text, "X-Frame-Options"), Some("DENY"));
        assert_eq!(field(&text, "Strict-Transport-Security"), None);
    }
    let text = server.talk("GET / HTTP/1.1\r\nHost: a<b\r\nConnection: close\r\n\r\n");
    assert_eq!(status_lines(&text), ["HTTP/1.1 400 Bad Request"]);
}

#[test]
fn the_public_url_decides_where_to_and_whether_browsers_stay() {
    let server = with_https(|_| ());
    let set = |is_https| {
        let url = PublicUrl { is_https, host: "pool.example".to_owned(), port: None };
        server.switch.set_public_url(Some(url));
    };
    let https_only = || {
        let (text, _) = talk_tls(&server, &[], GET_PAGE);
        field(&text, "Strict-Transport-Security").map(str::to_owned)
    };
    assert_eq!(https_only(), None);
    set(false);
    assert_eq!(https_only(), None);
    set(true);
    assert_eq!(https_only().as_deref(), Some("max-age=31536000"));
    let text = server.talk(GET_PAGE);
    assert_eq!(field(&text, "Location"), Some("https://pool.example/"));
    assert_eq!(field(&text, "Strict-Transport-Security"), None);
}

#[test]
fn https_alone_is_served_and_so_is_a_challenge_over_http() {
    let server = with_https(|plan| plan.http = None);
    assert!(talk_tls(&server, &[], GET_PAGE).0.starts_with("HTTP/1.1 200 OK"));
    for server in [with_https(|_| ()), Server::start()] {
        let folder = server.folder.path().join("challenges");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("to-ken"), "to-ken.key").unwrap();
        let text = server.talk(
            "GET /.well-known/acme-challenge/to-ken HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("\r\n\r\nto-ken.key"));
    }
}
