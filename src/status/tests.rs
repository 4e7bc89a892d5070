//! The whole server over a real loopback socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::*;

mod abuse;
mod clients;
mod https;

struct Server {
    address: SocketAddr,
    https: Option<SocketAddr>,
    snapshots: SnapshotCell,
    switch: Arc<StatusSwitch>,
    /// Its templates, its certificate and its challenges.
    folder: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        Self::with(|_, _| ())
    }

    fn with_json(json: bool) -> Self {
        Self::with(|plan, _| plan.json = json)
    }

    /// One with a plan that is not the usual one; its folder is given too.
    fn with(change: impl FnOnce(&mut StatusPlan, &std::path::Path)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let switch = Arc::new(StatusSwitch::default());
        let folder = tempfile::tempdir().unwrap();
        let snapshots = SnapshotCell::new(sample::busy());
        let mut plan = StatusPlan {
            http: Some(listener),
            https: None,
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
            challenges: folder.path().join("challenges"),
            snapshots: snapshots.clone(),
            history: sample::history(),
            core: None,
            templates: folder.path().to_owned(),
            json: true,
            workers: None,
            admin: None,
        };
        change(&mut plan, folder.path());
        let https = plan.https.as_ref().map(|port| port.listener.local_addr().unwrap());
        let thread = Some(spawn(plan, Arc::clone(&switch)).unwrap());
        Self { address, https, snapshots, switch, folder, thread }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn connect_from(&self, address: [u8; 4]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Everything the server says to `input` until it closes.
    fn talk(&self, input: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(input.as_bytes()).unwrap();
        read_to_end(stream)
    }

    fn stop(&mut self) -> Duration {
        let started = Instant::now();
        self.switch.stop();
        self.thread.take().unwrap().join().unwrap();
        started.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
        }
    }
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The value of the first field of that name.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn status_lines(text: &str) -> Vec<&str> {
    let starts = text.match_indices("HTTP/1.1 ");
    starts.filter_map(|(at, _)| text[at..].lines().next()).collect()
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let server = Server::start();
    let text = server.talk(
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /nope HTTP/1.1\r\nHost: x\r\n\r\n\
         POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
         GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
         GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(
        status_lines(&text),
        [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 404 Not Found",
            "HTTP/1.1 405 Method Not Allowed",
            "HTTP/1.1 200 OK",
        ]
    );
    assert!(text.ends_with("Disallow: /worker\n"));
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start();
    for path in ["/", "/api/server", "/metrics", "/healthz", "/static/app.js", "/nope"] {
        let ask = |method: &str| {
            server
                .talk(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        };
        let (head, get) = (ask("HEAD"), ask("GET"));
        let (fields, body) = get.split_once("\r\n\r\n").unwrap();
        let without_date = |text: &str| {
            text.lines().filter(|l| !l.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_date(head.strip_suffix("\r\n\r\n").unwrap()), without_date(fields));
        assert!(fields.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{path}");
    }
}

/// The answer to a request without a body; `more` is sent in one piece with it.
fn ask_head(stream: &mut TcpStream, more: &str) -> String {
    let asked = format!("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n{more}");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let server = Server::start();
    let mut stream = server.connect();
    for _ in 0..3 {
        assert!(ask_head(&mut stream, "").contains("\r\nConnection: keep-alive\r\n"));
    }
}

#[test]
fn what_cannot_be_read_is_refused_and_ends_the_connection() {
    let server = Server::start();
    for (input, line) in [
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("{\"id\":1}\n", "HTTP/1.1 400 Bad Request"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n",
            "HTTP/1.1 413 Content Too Large",
        ),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"),
    ] {
        let text = server.talk(&format!("{input}GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(status_lines(&text), [line]);
        assert!(text.contains("\r\nConnection: close\r\n"));
    }
    // More input than the kernel buffers must not turn the answer into a reset.
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(60 * 1024));
    assert_eq!(status_lines(&server.talk(&long)), ["HTTP/1.1 431 Request Header Fields Too Large"]);
}

#[test]
fn a_waiting_client_hears_100_continue() {
    let server = Server::start();
    let mut stream = server.connect();
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
              Content-Length: 2\r\n\r\n",
        )
        .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    assert!(read_to_end(stream).starts_with("HTTP/1.1 405 "));
}

#[test]
fn a_head_that_does_not_end_in_time_is_given_up() {
    let server = Server::start();
    // The server's own clocks do not begin before this one.
    let started = Instant::now();
    let silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert_eq!(status_lines(&read_to_end(slow)), ["HTTP/1.1 408 Request Timeout"]);
    assert_eq!(read_to_end(silent), "");
    let taken = started.elapsed();
    assert!(taken > Duration::from_secs(4) && taken < Duration::from_secs(9), "{taken:?}");
}

#[test]
fn stopping_closes_idle_connections_at_once_and_lets_the_others_finish() {
    let mut server = Server::start();
    // Known to the server once a later one has been answered: they are taken in their order.
    let silent = server.connect();
    let (mut idle, mut busy) = (server.connect(), server.connect());
    ask_head(&mut idle, "");
    // What came in one piece with a whole request has been read when that one is answered.
    ask_head(&mut busy, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
    server.switch.stop();
    assert_eq!((read_to_end(silent), read_to_end(idle)), (String::new(), String::new()));
    busy.write_all(b"\r\n").unwrap();
    let text = read_to_end(busy);
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("\r\nConnection: close\r\n"));
    assert!(server.stop() < STOP_TIMEOUT);
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Asks for the overview until it has `words`.
fn await_page(server: &Server, words: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !server.talk(GET).contains(words) {
        assert!(Instant::now() < deadline, "{words}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_operators_pages_are_taken_when_told_and_broken_ones_are_not() {
    let server = Server::start();
    await_page(&server, "<html");
    let page = server.folder.path().join("overview.html");
    std::fs::write(&page, "ours: {{ frame.network }}").unwrap();
    assert!(server.talk(GET).contains("<html"), "not before anybody has said so");
    server.switch.reload();
    await_page(&server, "ours: mainnet");
    std::fs::write(&page, "{% if %}").unwrap();
    server.switch.reload();
    thread::sleep(4 * SWITCH_POLL);
    await_page(&server, "ours: mainnet");
    std::fs::remove_file(&page).unwrap();
    server.switch.reload();
    await_page(&server, "<html");
}

#[test]
fn without_json_there_is_nothing_under_api() {
    let server = Server::with_json(false);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for path in ["/api/server", "/api/overview", "/api/blocks", "/api/openapi.json"] {
        assert_eq!(status_lines(&server.talk(&get(path))), ["HTTP/1.1 404 Not Found"], "{path}");
    }
    assert_eq!(status_lines(&server.talk(&get("/metrics"))), ["HTTP/1.1 200 OK"]);
}

/// Reads until the text is there.
fn hear(stream: &mut TcpStream, text: &str) -> String {
    let mut heard = Vec::new();
    let mut scratch = [0; 4096];
    loop {
        let count = stream.read(&mut scratch).unwrap();
        assert_ne!(count, 0, "closed before {text:?}: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&scratch[..count]);
        if String::from_utf8_lossy(&heard).contains(text) {
            return String::from_utf8(heard).unwrap();
        }
    }
}

#[test]
fn events_are_pushed_until_the_server_stops() {
    let mut server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let begun = hear(&mut stream, "event: figures");
    assert!(begun.starts_with("HTTP/1.1 200 OK\r\n"), "{begun}");
    assert!(begun.contains("\r\nContent-Type: text/event-stream\r\n"));
    assert!(!begun.contains("Content-Length"), "it has no end");
    assert!(begun.contains("retry: 3000\n\nevent: tip\n"), "{begun}");
    server.snapshots.store(sample::busy());
    hear(&mut stream, "event: figures");
    server.stop();
    read_to_end(stream);
}

#[test]
fn thousands_may_listen() {
    const LISTENERS: usize = 2000;
    let mut server = Server::start();
    let mut first = server.connect();
    first.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    hear(&mut first, "event: figures");
    let started = Instant::now();
    // An address may have so many connections and no more.
    let mut streams: Vec<TcpStream> = (0..LISTENERS)
        .map(|number| {
            let mut stream = server.connect_from([127, 0, 1, (number / 60 + 1) as u8]);
            stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for stream in &mut streams {
        hear(stream, "event: figures");
    }
    let coming = started.elapsed();
    let started = Instant::now();
    server.snapshots.store(sample::busy());
    for stream in &mut streams {
        hear(stream, "event: figures");
    }
    // To come, to ask and to be told is more than to be told again: on a machine that has other
    // things to do both take longer.
    let telling = started.elapsed();
    assert!(telling < 5 * FIGURES_INTERVAL + coming, "{telling:?} after {coming:?}");
    assert!(server.stop() < Duration::from_secs(5), "listeners do not hold up the end");
}
