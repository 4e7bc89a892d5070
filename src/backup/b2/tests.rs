//! Conversations with a server that says what it is told to.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};

use super::*;
use crate::outgoing::tests::{Served, json as response, outgoing};

const LIMIT: Duration = Duration::from_secs(10);
const TEXT: &[u8] = b"twelve bytes";
const SHA1: &str = "1ac7a4b8ee5d6bbd3f8e1d0b5f0a5c2e1c0f9a77";

/// What the server does with one request. `{here}` in a body is where it is.
#[derive(Clone)]
enum Say {
    Ok(String),
    Status(u16, &'static str),
    /// With a `Retry-After`.
    Later(u16, &'static str),
    Text(&'static str),
    Nothing,
}

fn say(stream: &mut TcpStream, what: &Say) {
    let here = format!("http://{}", stream.local_addr().unwrap());
    let text = match what {
        Say::Ok(body) => response(200, &body.replace("{here}", &here)),
        Say::Status(status, body) => response(*status, body),
        Say::Later(status, seconds) => response(*status, "{\"code\":\"too_many_requests\"}")
            .replace("Connection", &format!("Retry-After: {seconds}\r\nConnection")),
        Say::Text(text) => (*text).to_owned(),
        Say::Nothing => String::new(),
    };
    let _ = stream.write_all(text.as_bytes());
}

fn ok(body: Value) -> Say {
    Say::Ok(body.to_string())
}

fn account(token: &str, part_bytes: u64) -> Say {
    ok(json!({
        "accountId": "a", "authorizationToken": token, "apiInfo": { "storageApi": {
            "apiUrl": "{here}", "recommendedPartSize": part_bytes, "absoluteMinimumPartSize": 1,
            "capabilities": ["listBuckets", "listFiles", "writeFiles", "deleteFiles"],
        } },
    }))
}

fn buckets() -> Say {
    let bucket = |id: &str, name: &str| json!({ "bucketId": id, "bucketName": name });
    ok(json!({ "buckets": [bucket("0", "other"), bucket("1", "mine")] }))
}

fn versions(files: &[Value]) -> Say {
    ok(json!({ "files": files }))
}

fn version(id: &str, name: &str, action: &str, sha1: &str) -> Value {
    json!({ "fileId": id, "fileName": name, "action": action, "contentSha1": sha1, "fileInfo": {} })
}

fn place(token: &str) -> Say {
    ok(json!({ "uploadUrl": "{here}/up", "authorizationToken": token }))
}

fn taken(text: &[u8]) -> Say {
    ok(json!({ "contentSha1": sha1(text), "fileId": "f" }))
}

fn sha1(text: &[u8]) -> String {
    use sha1::Digest;
    const_hex::encode(sha1::Sha1::digest(text))
}

struct Talk {
    served: Served,
    b2: B2,
    stop: Sender<()>,
}

impl Talk {
    /// What is asked beyond the script finds nobody.
    fn new(script: impl IntoIterator<Item = Say>) -> Self {
        let script: Vec<Say> = script.into_iter().collect();
        let served = Served::with(move |number, stream| {
            say(stream, script.get(number).unwrap_or(&Say::Nothing));
        });
        let settings = B2Settings {
            api_url: served.url(""),
            bucket: "mine".to_owned(),
            object: "a pool/workers.db".to_owned(),
            key_id: Secret::new("key-id"),
            key: Secret::new("hunter2"),
            keep_versions: 0,
        };
        let patience = Patience { call: LIMIT, upload: LIMIT, pause: Duration::from_millis(10) };
        let (stop, stopped) = bounded(0);
        Self { served, b2: B2::new(outgoing(), settings, patience, stopped), stop }
    }

    /// With a bucket that has been found.
    fn connected(script: impl IntoIterator<Item = Say>) -> Self {
        Self::with_parts(1000, script)
    }

    fn with_parts(part_bytes: u64, script: impl IntoIterator<Item = Say>) -> Self {
        let begin = [account("token-1", part_bytes), buckets()];
        let mut talk = Self::new(begin.into_iter().chain(script));
        talk.b2.connect().unwrap();
        talk.asked(&["b2_authorize_account", "b2_list_buckets"]);
        talk
    }

    fn upload(&mut self) -> Result<Done, B2Error> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(TEXT).unwrap();
        self.b2.upload(&mut file)
    }

    /// Calls by the ends of their paths, and no others since.
    #[track_caller]
    fn asked(&self, calls: &[&str]) -> Vec<String> {
        let asked: Vec<String> = calls
            .iter()
            .map(|call| {
                let request = self.served.asked();
                let path = request.split(' ').nth(1).unwrap().to_owned();
                assert!(path.ends_with(&format!("/{call}")), "{call}: {request}");
                request
            })
            .collect();
        assert!(!self.served.was_asked());
        asked
    }
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, B2Error>) -> String {
    result.unwrap_err().to_string()
}

const UPLOAD: [&str; 3] = ["b2_list_file_versions", "b2_get_upload_url", "up"];

#[test]
fn a_file_is_uploaded_by_its_name_and_sum() {
    let mut talk = Talk::connected([versions(&[]), place("token-2"), taken(TEXT)]);
    assert_eq!(talk.upload().unwrap(), Done { bytes: 12, was_there: false });
    let asked = talk.asked(&UPLOAD);
    assert!(asked[0].contains("authorization: token-1\r\n"), "{}", asked[0]);
    assert!(asked[1].ends_with("{\"bucketId\":\"1\"}"), "{}", asked[1]);
    for line in [
        "authorization: token-2\r\n",
        "content-length: 12\r\n",
        "content-type: application/octet-stream\r\n",
        "x-bz-file-name: a%20pool/workers.db\r\n",
        &format!("x-bz-content-sha1: {}\r\n", sha1(TEXT)),
        "\r\n\r\ntwelve bytes",
    ] {
        assert!(asked[2].contains(line), "{line}: {}", asked[2]);
    }
}

#[test]
fn the_same_bytes_are_not_sent_again() {
    let object = "a pool/workers.db";
    let mut large = version("3", object, "upload", "none");
    large["fileInfo"] = json!({ "large_file_sha1": sha1(TEXT) });
    let same = version("2", object, "upload", &sha1(TEXT));
    let unfinished = version("4", object, "start", "none");
    for newest in [vec![same.clone()], vec![large], vec![unfinished, same.clone()]] {
        let mut talk = Talk::connected([versions(&newest)]);
        assert_eq!(talk.upload().unwrap(), Done { bytes: 12, was_there: true });
        talk.asked(&UPLOAD[..1]);
    }
    for other in [
        vec![version("2", object, "upload", SHA1), same.clone()],
        vec![version("2", object, "hide", "none"), same],
        vec![version("2", "a pool/workers.db.old", "upload", &sha1(TEXT))],
    ] {
        let mut talk = Talk::connected([versions(&other), place("t"), taken(TEXT)]);
        assert!(!talk.upload().unwrap().was_there);
    }
}

#[test]
fn tokens_that_have_ended_are_replaced_once() {
    let ended = Say::Status(401, "{\"code\":\"expired_auth_token\",\"message\":\"\"}");
    let mut talk = Talk::connected([
        versions(&[]),
        ended.clone(),
        account("token-9", 1000),
        place("t"),
        taken(TEXT),
    ]);
    talk.upload().unwrap();
    let asked = talk.asked(&[
        "b2_list_file_versions",
        "b2_get_upload_url",
        "b2_authorize_account",
        "b2_get_upload_url",
        "up",
    ]);
    assert!(asked[3].contains("authorization: token-9\r\n"), "{}", asked[3]);
    let mut talk =
        Talk::connected([versions(&[]), ended.clone(), account("token-9", 1000), ended.clone()]);
    let error = refused(talk.upload());
    assert_eq!(error, "b2_get_upload_url is refused with HTTP status 401: expired_auth_token");
    // A key that is wrong is not tried twice.
    let mut talk = Talk::new([ended]);
    assert!(refused(talk.b2.connect()).starts_with("b2_authorize_account is refused"));
    talk.asked(&["b2_authorize_account"]);
}

#[test]
fn an_upload_is_tried_at_five_places() {
    const THERE: &str = "b2_list_file_versions";
    const PLACE: &str = "b2_get_upload_url";
    let none = || versions(&[]);
    for (failure, is_looked_for) in [
        (Say::Status(401, "{}"), false),
        (Say::Status(408, "{}"), true),
        (Say::Status(500, "what is this"), true),
        (Say::Status(503, "{}"), true),
        (Say::Later(429, "0"), false),
        (Say::Nothing, true),
        (Say::Text("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"contentSha1\":"), true),
        (Say::Text("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<p/>"), true),
    ] {
        let mut script = vec![none()];
        let mut calls = vec![THERE];
        for number in 0..TRIES {
            script.push(place(&format!("t{number}")));
            script.push(failure.clone());
            calls.extend([PLACE, "up"]);
            if is_looked_for {
                script.push(none());
                calls.push(THERE);
            }
        }
        let mut talk = Talk::connected(script);
        let error = refused(talk.upload());
        assert!(error.starts_with("b2_upload_file"), "{error}");
        let asked = talk.asked(&calls);
        let tokens = asked.iter().filter(|request| request.starts_with("POST /up "));
        for (number, request) in tokens.enumerate() {
            assert!(request.contains(&format!("authorization: t{number}\r\n")), "{request}");
        }
        let mut talk = Talk::connected(
            [none(), place("t"), failure.clone()]
                .into_iter()
                .chain(is_looked_for.then(none))
                .chain([place("u"), taken(TEXT)]),
        );
        assert!(!talk.upload().unwrap().was_there);
    }
}

#[test]
fn what_came_in_before_the_answer_was_lost_is_not_sent_again() {
    let there = versions(&[version("2", "a pool/workers.db", "upload", &sha1(TEXT))]);
    let mut talk = Talk::connected([versions(&[]), place("t"), Say::Nothing, there]);
    assert!(!talk.upload().unwrap().was_there, "it was sent");
    talk.asked(&[UPLOAD[0], UPLOAD[1], UPLOAD[2], UPLOAD[0]]);
}

#[test]
fn other_refusals_are_final() {
    for status in [400, 403, 404, 302] {
        let words =
            "{\"code\":\"cap_exceeded\",\"message\":\"Go to your account, hunter2, token-1\"}";
        let mut talk = Talk::connected([versions(&[]), place("t"), Say::Status(status, words)]);
        let error = refused(talk.upload());
        assert!(error.contains("cap_exceeded, Go to your account, ***, ***"), "{error}");
        talk.asked(&UPLOAD);
        let mut talk = Talk::new([Say::Status(status, words)]);
        let error = refused(talk.b2.connect());
        assert!(error.contains("Go to your account") && !error.contains("hunter2"), "{error}");
        talk.asked(&["b2_authorize_account"]);
    }
}

#[test]
fn what_is_too_much_for_b2_is_asked_again_later() {
    let busy = || Say::Status(503, "{}");
    let again = [busy(), Say::Later(429, "1"), busy(), busy(), account("t", 1), buckets()];
    let mut talk = Talk::new(again);
    let begun = Instant::now();
    talk.b2.connect().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(1000 + 10 + 40 + 80), "as it asked for");
    let mut talk = Talk::new(vec![busy(); 9]);
    let begun = Instant::now();
    assert!(refused(talk.b2.connect()).contains("HTTP status 503"));
    assert!(begun.elapsed() >= Duration::from_millis(10 + 20 + 40 + 80));
    talk.asked(&["b2_authorize_account"; 5]);
    // Nobody waits for an hour; when it may be is known to who plans the next run.
    let mut talk = Talk::new([Say::Later(429, "3600")]);
    let error = talk.b2.connect().unwrap_err();
    assert_eq!(error.wait(), Some(Duration::from_secs(3600)));
    talk.asked(&["b2_authorize_account"]);
}

#[test]
fn answers_that_are_none_are_told_from_refusals() {
    for (text, words) in [
        (response(200, "<p>Sorry</p>"), "no JSON"),
        (response(200, "{\"accountId\":\"a\"}"), "other JSON"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"accountId\"".to_owned(), ""),
        (String::new(), ""),
    ] {
        let mut talk = Talk::new([Say::Text(Box::leak(text.into_boxed_str()))]);
        let error = talk.b2.connect().unwrap_err();
        assert!(!error.is_answer() && error.to_string().contains(words), "{error}");
    }
    let other = json!({ "buckets": [] });
    let mut talk = Talk::new([account("t", 1), ok(other)]);
    let error = talk.b2.connect().unwrap_err();
    assert!(error.is_answer());
    assert_eq!(error.to_string(), "there is no bucket \"mine\" that the key may see");
}

#[test]
fn nothing_is_sent_to_where_it_could_be_read() {
    for url in ["http://b2.example/", "ftp://127.0.0.1/", "b2.example", ""] {
        let mut talk = Talk::connected([
            versions(&[]),
            ok(json!({ "uploadUrl": url, "authorizationToken": "t" })),
        ]);
        assert!(refused(talk.upload()).contains("cannot be reached safely"), "{url}");
    }
    let mut talk = Talk::new([]);
    assert!(talk.b2.checked_url("c", "https://b2.example/").is_ok());
    assert!(talk.b2.checked_url("c", "http://127.0.0.1:1/").is_ok());
    talk.b2.settings.api_url = "https://b2.example".to_owned();
    assert!(talk.b2.checked_url("c", "http://127.0.0.1:1/").is_err());
    assert!(talk.b2.checked_url("c", "https://pod.b2.example/").is_ok());
}

#[test]
fn a_large_file_goes_in_parts() {
    let begun = version("old", "a pool/workers.db", "start", "none");
    let other = version("theirs", "a pool/workers.db.theirs", "start", "none");
    let mut talk = Talk::with_parts(
        5,
        [
            versions(&[]),
            versions(&[begun, other]),
            ok(json!({})),
            ok(json!({ "fileId": "large" })),
            place("1"),
            taken(b"twelv"),
            place("2"),
            Say::Nothing,
            place("3"),
            taken(b"e byt"),
            place("4"),
            taken(b"es"),
            ok(json!({})),
        ],
    );
    assert_eq!(talk.upload().unwrap(), Done { bytes: 12, was_there: false });
    const PART: &str = "b2_get_upload_part_url";
    let asked = talk.asked(&[
        "b2_list_file_versions",
        "b2_list_unfinished_large_files",
        "b2_cancel_large_file",
        "b2_start_large_file",
        PART,
        "up",
        PART,
        "up",
        PART,
        "up",
        PART,
        "up",
        "b2_finish_large_file",
    ]);
    assert!(asked[2].ends_with("{\"fileId\":\"old\"}"), "{}", asked[2]);
    assert!(asked[3].contains(&sha1(TEXT)), "{}", asked[3]);
    for (index, number, text) in [(5, 1, "twelv"), (7, 2, "e byt"), (9, 2, "e byt"), (11, 3, "es")]
    {
        let request = &asked[index];
        assert!(request.contains(&format!("x-bz-part-number: {number}\r\n")), "{request}");
        assert!(request.ends_with(&format!("\r\n\r\n{text}")), "{request}");
        assert!(request.contains(&sha1(text.as_bytes())), "{request}");
    }
    let hashes = [&b"twelv"[..], b"e byt", b"es"].map(sha1);
    let finish = json!({ "fileId": "large", "partSha1Array": hashes });
    assert!(asked[12].ends_with(&finish.to_string()), "{}", asked[12]);
}

#[test]
fn a_large_file_that_fails_is_cancelled() {
    let mut talk = Talk::with_parts(
        5,
        [
            versions(&[]),
            versions(&[]),
            ok(json!({ "fileId": "large" })),
            place("1"),
            Say::Status(403, "{}"),
            ok(json!({})),
        ],
    );
    assert!(refused(talk.upload()).starts_with("b2_upload_part"));
    let asked = talk.asked(&[
        "b2_list_file_versions",
        "b2_list_unfinished_large_files",
        "b2_start_large_file",
        "b2_get_upload_part_url",
        "up",
        "b2_cancel_large_file",
    ]);
    assert!(asked[5].ends_with("{\"fileId\":\"large\"}"), "{}", asked[5]);
}

#[test]
fn older_versions_are_deleted_and_nothing_else() {
    let object = "a pool/workers.db";
    let listed = versions(&[
        version("6", object, "start", "none"),
        version("5", object, "upload", SHA1),
        version("4", object, "upload", SHA1),
        version("3", object, "hide", "none"),
        version("2", object, "upload", SHA1),
        version("1", object, "upload", SHA1),
        version("0", "a pool/workers.db.theirs", "upload", SHA1),
    ]);
    let mut talk = Talk::connected([listed, ok(json!({})), Say::Status(401, "{}")]);
    talk.b2.delete_older(2).unwrap_err();
    let asked = talk.asked(&[
        "b2_list_file_versions",
        "b2_delete_file_version",
        "b2_delete_file_version",
        "b2_authorize_account",
    ]);
    let body = json!({ "fileName": object, "fileId": "2" });
    assert!(asked[1].ends_with(&body.to_string()), "{}", asked[1]);
    assert!(asked[2].contains("\"fileId\":\"1\""), "{}", asked[2]);
}

#[test]
fn a_key_that_cannot_look_uploads_all_the_same() {
    let blind = json!({
        "accountId": "a", "authorizationToken": "t", "apiInfo": { "storageApi": {
            "apiUrl": "{here}", "recommendedPartSize": 5, "absoluteMinimumPartSize": 100,
            "capabilities": ["listBuckets", "writeFiles"],
        } },
    });
    let mut talk = Talk::new([ok(blind), buckets(), place("t"), taken(TEXT)]);
    talk.b2.connect().unwrap();
    talk.upload().unwrap();
    talk.asked(&["b2_authorize_account", "b2_list_buckets", "b2_get_upload_url", "up"]);
    let mut talk = Talk::connected([Say::Status(500, "{}"), place("t"), taken(TEXT)]);
    talk.upload().unwrap();
    talk.asked(&UPLOAD);
}

#[test]
fn a_try_with_a_limit_ends_with_it() {
    let mut talk = Talk::connected([]);
    talk.b2.limit_to(Limit::of(Duration::ZERO));
    assert!(matches!(talk.upload(), Err(B2Error::TooLate(_))));
    talk.asked(&[]);
    // Nobody waits for what would come too late.
    let mut talk = Talk::new([Say::Later(503, "30")]);
    talk.b2.limit_to(Limit::of(LIMIT));
    let begun = Instant::now();
    assert!(refused(talk.b2.connect()).contains("HTTP status 503"));
    assert!(begun.elapsed() < LIMIT);
    // Connections to it are made, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    talk.b2.settings.api_url = format!("http://{}", silent.local_addr().unwrap());
    talk.b2.limit_to(Limit::of(Duration::from_millis(300)));
    let begun = Instant::now();
    assert!(refused(talk.b2.connect()).ends_with("no answer in time"));
    assert!(begun.elapsed() < LIMIT / 2);
}

#[test]
fn a_pool_that_stops_neither_asks_nor_waits() {
    let mut talk = Talk::new([Say::Later(429, "30")]);
    let stop = talk.stop;
    let begun = Instant::now();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(stop);
    });
    assert!(matches!(talk.b2.connect(), Err(B2Error::Stopped)));
    assert!(matches!(talk.b2.connect(), Err(B2Error::Stopped)));
    assert!(begun.elapsed() < LIMIT);
    stopper.join().unwrap();
}
