//! A server that says what it is told to, and what the client makes of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// Answers each connection once, as `script` says, and hands on what was asked. Its thread ends with
/// the test.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    asked: Receiver<String>,
}

impl Served {
    /// `script` is told which request it is, from 0, and may write what it likes.
    pub(crate) fn with(script: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = channel();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                if told.send(request(&mut stream)).is_err() {
                    return;
                }
                script(number, &mut stream);
            }
        });
        Self { address, asked }
    }

    /// The same answer each time.
    pub(crate) fn text(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::with(move |_, stream| stream.write_all(answer.as_bytes()).unwrap())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request, head and body.
    pub(crate) fn asked(&self) -> String {
        self.asked.recv_timeout(LIMIT).unwrap()
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.asked.try_recv().is_ok()
    }
}

/// Waits for what another thread does.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}");
        thread::yield_now();
    }
}

/// A whole response with a JSON body.
pub(crate) fn json(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Word\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return text;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text + &String::from_utf8_lossy(&body)
}

pub(crate) fn outgoing() -> Outgoing {
    Outgoing::new(&OutgoingSettings::default())
}

fn get(url: &str) -> Result<Answer, OutgoingError> {
    get_within(url, LIMIT)
}

fn get_within(url: &str, timeout: Duration) -> Result<Answer, OutgoingError> {
    outgoing().call(Call::get(url, timeout, 100))
}

#[test]
fn an_answer_comes_back_whatever_its_status() {
    let served =
        Served::text(&json(503, "{\"a\":1}").replace("Connection", "Retry-After: 7\r\nConnection"));
    let answer = outgoing().call(
        Call::post(&served.url("/x?y"), Payload::Bytes(b"what"), LIMIT, 100)
            .with("Authorization", "one")
            .with("authorization", "two"),
    );
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.is_success()), (503, false));
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["a"], 1);
    let asked = served.asked();
    assert!(
        asked.starts_with("POST /x?y HTTP/1.1\r\n") && asked.ends_with("\r\n\r\nwhat"),
        "{asked}"
    );
    assert!(asked.contains("authorization: two\r\n") && !asked.contains("one"), "{asked}");
    assert!(asked.contains(&format!("user-agent: goPool/{}", build::VERSION)), "{asked}");
}

#[test]
fn a_stream_is_sent_as_long_as_it_says() {
    let served = Served::text(&json(200, "{}"));
    let mut stream = &b"twelve bytes"[..];
    let body = Payload::Stream(&mut stream, 12);
    outgoing().call(Call::post(&served.url("/"), body, LIMIT, 100)).unwrap();
    let asked = served.asked();
    assert!(asked.contains("content-length: 12\r\n") && asked.ends_with("twelve bytes"), "{asked}");
}

#[test]
fn an_answer_that_is_late_long_or_torn_is_none() {
    let begun = Instant::now();
    let served = Served::with(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        thread::sleep(LIMIT);
    });
    let error = get_within(&served.url("/"), Duration::from_millis(500)).unwrap_err();
    assert_eq!(error, OutgoingError::Timeout);
    assert!(begun.elapsed() < LIMIT / 2);
    let served = Served::text(&json(200, &"x".repeat(101)));
    assert_eq!(get(&served.url("/")).unwrap_err(), OutgoingError::TooLong(100));
    let served = Served::text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    assert!(get(&served.url("/")).is_err());
    // Unless nobody wants to read it.
    let answer = outgoing().call(Call::get(&served.url("/"), LIMIT, 0)).unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
    let served = Served::text("what is this\r\n\r\n");
    assert!(get(&served.url("/")).is_err());
    let served = Served::text(&json(200, "{\"secret\":"));
    let error = get(&served.url("/")).unwrap().json::<serde_json::Value>().unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn no_connection_is_used_twice() {
    let kept = Mutex::new(Vec::new());
    let served = Served::with(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        kept.lock().unwrap().push(stream.try_clone().unwrap());
    });
    let outgoing = outgoing();
    for _ in 0..2 {
        let url = served.url("/");
        let call = Call::get(&url, LIMIT, 100);
        assert_eq!(outgoing.call(call).unwrap().body, b"{}");
        let asked = served.asked();
        assert!(asked.contains("connection: close\r\n"), "{asked}");
    }
}

#[test]
fn no_error_tells_of_the_url() {
    for url in [
        // Nobody listens there.
        "http://127.0.0.1:1/botTOKEN/x".to_owned(),
        "http://no-such-host.invalid/botTOKEN".to_owned(),
        "http://bad host/botTOKEN".to_owned(),
        "ftp://127.0.0.1/botTOKEN".to_owned(),
        format!("https://u:TOKEN@{}/", Served::text("no TLS at all").address),
    ] {
        let error = get(&url).unwrap_err().to_string();
        assert!(!error.contains("TOKEN"), "{error}");
    }
}

#[test]
fn nobody_is_followed_elsewhere() {
    let elsewhere = Served::text(&json(200, "{}"));
    let to = elsewhere.url("/");
    let served = Served::text(&format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(get(&served.url("/")).unwrap().status, 302);
    assert!(!elsewhere.was_asked());
}

/// A server of TLS whose certificate is signed by nobody but itself, and who trusts it.
fn tls_server(name: &str) -> (SocketAddr, Outgoing) {
    let key = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.clone()], private)
    .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut head = [0; 1024];
            // Who does not trust us goes away here.
            if stream.read(&mut head).is_ok() {
                let _ = stream.write_all(json(200, "\"safe\"").as_bytes());
            }
        }
    });
    (address, Outgoing::trusting(roots::Roots::of([certificate]), &OutgoingSettings::default()))
}

#[test]
fn tls_is_with_whom_it_says() {
    let (address, outgoing) = tls_server("localhost");
    let url = format!("https://localhost:{}/", address.port());
    let answer = outgoing.call(Call::get(&url, LIMIT, 100)).unwrap();
    assert_eq!(answer.json::<String>().unwrap(), "safe");
    let mut tunnel = outgoing.tunnel("localhost", address.port(), true).unwrap();
    tunnel.write_all(b"hello").unwrap();
    let mut said = [0; 4];
    tunnel.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP");
    // Signed by nobody whom we trust, and for another name.
    let stranger = super::tests::outgoing();
    let error = stranger.call(Call::get(&url, LIMIT, 100)).unwrap_err();
    assert!(matches!(error, OutgoingError::Tls(_)), "{error:?}");
    let error = stranger.tunnel("localhost", address.port(), true).err().unwrap();
    assert!(matches!(error, OutgoingError::Tls(_)), "{error:?}");
    let (address, outgoing) = tls_server("elsewhere.example");
    let url = format!("https://localhost:{}/", address.port());
    let error = outgoing.call(Call::get(&url, LIMIT, 100)).unwrap_err();
    assert!(matches!(error, OutgoingError::Tls(_)), "{error:?}");
}

fn through(proxy: &str) -> Outgoing {
    Outgoing::new(&OutgoingSettings { proxy: Some(proxy.to_owned()) })
}

#[test]
fn a_proxy_is_asked_for_everything() {
    let served = Served::with(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
        let inner = request(stream);
        let answer = if inner.is_empty() { "plain".to_owned() } else { json(200, "\"far\"") };
        let _ = stream.write_all(answer.as_bytes());
    });
    let proxy = through(&format!("http://me:hunter2@{}", served.address));
    let answer = proxy.call(Call::get("http://far.invalid/", LIMIT, 100)).unwrap();
    assert_eq!(answer.json::<String>().unwrap(), "far");
    let asked = served.asked().to_ascii_lowercase();
    assert!(asked.starts_with("connect far.invalid:80 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: basic bwu6ahvudgvymg=="), "{asked}");
    let mut tunnel = proxy.tunnel("far.invalid", 8080, false).unwrap();
    tunnel.write_all(b"\r\n").unwrap();
    let mut said = [0; 4];
    tunnel.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP");
    assert!(served.asked().starts_with("CONNECT far.invalid:8080 HTTP/1.1\r\n"));
    let served = Served::text("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    let error = through(&served.url("")).tunnel("far.invalid", 1, false).err().unwrap();
    assert!(error.to_string().contains("HTTP status 407"), "{error}");
}

/// SOCKS5 as RFC 1928 and 1929 have it; tells whom it was to connect to.
fn socks() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, asked) = channel();
    let serve = move |stream: &mut TcpStream| -> std::io::Result<()> {
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut methods = vec![0; usize::from(head[1])];
        stream.read_exact(&mut methods)?;
        let mut user = String::new();
        let short = |stream: &mut TcpStream| -> std::io::Result<String> {
            let mut length = [0];
            stream.read_exact(&mut length)?;
            let mut text = vec![0; usize::from(length[0])];
            stream.read_exact(&mut text)?;
            Ok(String::from_utf8(text).unwrap())
        };
        if methods.contains(&2) {
            stream.write_all(&[5, 2])?;
            stream.read_exact(&mut [0])?;
            user = format!("{}:{}@", short(stream)?, short(stream)?);
            stream.write_all(&[1, 0])?;
        } else {
            stream.write_all(&[5, 0])?;
        }
        let mut request = [0; 4];
        stream.read_exact(&mut request)?;
        assert_eq!(request, [5, 1, 0, 3]);
        let host = short(stream)?;
        let mut port = [0; 2];
        stream.read_exact(&mut port)?;
        told.send(format!("{user}{host}:{}", u16::from_be_bytes(port))).unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        super::tests::request(stream);
        stream.write_all(json(200, "\"far\"").as_bytes())
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = serve(&mut stream.unwrap());
        }
    });
    (address, asked)
}

#[test]
fn a_proxy_of_socks_resolves_the_names() {
    let (address, asked) = socks();
    for (proxy, expected) in [
        (format!("socks5://{address}"), "far.invalid"),
        (format!("socks5://me:hunter2@{address}"), "me:hunter2@far.invalid"),
    ] {
        let mut tunnel = through(&proxy).tunnel("far.invalid", 8080, false).unwrap();
        tunnel.write_all(b"\r\n").unwrap();
        let mut said = [0; 4];
        tunnel.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"HTTP");
        assert_eq!(asked.recv_timeout(LIMIT).unwrap(), format!("{expected}:8080"));
        let outgoing = through(&proxy);
        let answer = outgoing.call(Call::get("http://far.invalid/", LIMIT, 100)).unwrap();
        assert_eq!(answer.json::<String>().unwrap(), "far");
        assert_eq!(asked.recv_timeout(LIMIT).unwrap(), format!("{expected}:80"));
    }
}
