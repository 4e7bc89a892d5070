//! Sessions by transcript: `<` the gateway, `>` ours, `!` what is done besides, `+3s` time, `=` what the
//! session thinks of a connection that has ended.

use super::*;

/// In a script: the pairs that are in a frame, whatever else is.
fn check(script: &str) {
    let mut now = Instant::now();
    let mut session = Session::new(Secret::new("hunter2"), now);
    let mut pending: Vec<String> = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (mark, rest) = line.split_at(1);
        let rest = rest.trim();
        if mark == ">" || mark == "!" {
            assert!(!pending.is_empty(), "nothing was done: {line}");
            let done = pending.remove(0);
            assert_eq!(done, line);
            continue;
        }
        assert!(pending.is_empty(), "before {line:?}: {pending:?}");
        let actions = match mark {
            "<" => session.on_text(rest, now, 0.5),
            "+" => {
                let seconds: f64 = rest.trim_end_matches('s').parse().unwrap();
                now += Duration::from_secs_f64(seconds);
                session.on_tick(now)
            }
            "o" => {
                session.opened(now);
                Vec::new()
            }
            "=" => {
                let (code, expected) = rest.split_once(' ').unwrap();
                let is_of_use = code == "none" || session.closed(code.parse().unwrap());
                let resumes = session.has_session();
                assert_eq!(format!("{is_of_use} {resumes}"), expected, "{line}");
                Vec::new()
            }
            _ => panic!("{line}"),
        };
        pending = actions.into_iter().map(shown).collect();
    }
    assert!(pending.is_empty(), "at the end: {pending:?}");
}

fn shown(action: Action) -> String {
    match action {
        Action::Send(text) => format!("> {text}"),
        Action::Close { code, why } => format!("! close {code}: {why}"),
        Action::Ready { application_id } => format!("! ready {application_id}"),
        Action::Resumed => "! resumed".to_owned(),
        Action::Interaction(it) => {
            let (server, user) = (it.server_id.as_deref(), it.discord_user_id.as_deref());
            let (server, user) = (server.unwrap_or("nowhere"), user.unwrap_or("nobody"));
            format!("! /{} {:?} by {user} in {server}", it.name, it.code)
        }
    }
}

const IDENTIFY: &str = r#"> {"op":2,"d":{"token":"hunter2","intents":1,"properties":{"os":"linux","browser":"goPool","device":"goPool"}}}"#;
const RESUME: &str = r#"> {"op":6,"d":{"token":"hunter2","session_id":"s1","seq":4}}"#;
const HELLO: &str = r#"< {"op":10,"d":{"heartbeat_interval":40000},"s":null,"t":null}"#;
const READY: &str = r#"< {"op":0,"t":"READY","s":1,"d":{"session_id":"s1","resume_gateway_url":"wss://r","user":{"id":"7"},"application":{"id":"8"}}}
    ! ready 8"#;
/// Ready, with events up to the fourth.
const WARM: &str = r#"< {"op":0,"t":"GUILD_CREATE","s":4,"d":{"id":"1"}}"#;

fn ready() -> String {
    format!("{HELLO}\n{IDENTIFY}\n{READY}\n{WARM}\n")
}

#[test]
fn a_session_begins_and_beats_with_what_it_has_heard_last() {
    check(&format!(
        r#"{}
        + 19.9s
        + 0.2s
        > {{"op":1,"d":4}}
        < {{"op":11}}
        + 40s
        > {{"op":1,"d":4}}
        < {{"op":1}}
        > {{"op":1,"d":4}}
        < {{"op":11}}
        + 39s
        + 1s
        > {{"op":1,"d":4}}"#,
        ready()
    ));
}

#[test]
fn the_first_heartbeats_have_no_sequence() {
    check(&format!("{HELLO}\n{IDENTIFY}\n< {{\"op\":1}}\n> {{\"op\":1,\"d\":null}}"));
}

#[test]
fn a_connection_that_does_not_acknowledge_is_left_and_the_session_goes_on() {
    check(&format!(
        r#"{}
        + 20s
        > {{"op":1,"d":4}}
        + 40s
        ! close 4000: the gateway does not answer heartbeats
        < {{"op":1}}
        + 100s
        = none true true
        o
        {HELLO}
        {RESUME}
        < {{"op":0,"t":"RESUMED","s":5,"d":{{}}}}
        ! resumed
        + 20s
        > {{"op":1,"d":5}}"#,
        ready()
    ));
}

#[test]
fn a_session_goes_on_where_discord_asks_for_it() {
    check(&format!(
        r#"{}
        < {{"op":7,"d":null}}
        ! close 4000: Discord asks us to connect anew
        = none true true
        o
        {HELLO}
        {RESUME}
        < {{"op":9,"d":true}}
        ! close 4000: the session is not valid any more
        = none true true
        o
        {HELLO}
        {RESUME}
        < {{"op":9,"d":false}}
        ! close 4000: the session is not valid any more
        = none true false
        o
        {HELLO}
        {IDENTIFY}"#,
        ready()
    ));
}

#[test]
fn codes_say_whether_there_is_any_use_in_another_try_and_whether_the_session_is_kept() {
    for (code, expected) in [
        ("none", "true true"),
        ("1006", "true true"),
        ("4000", "true true"),
        ("4008", "true true"),
        ("4003", "true false"),
        ("4007", "true false"),
        ("4009", "true false"),
        ("4004", "false false"),
        ("4010", "false false"),
        ("4011", "false false"),
        ("4012", "false false"),
        ("4013", "false false"),
        ("4014", "false false"),
    ] {
        check(&format!("{}= {code} {expected}", ready()));
    }
}

#[test]
fn the_next_connection_is_made_as_soon_as_discord_wants_it() {
    let half = |frame: &str| {
        let now = Instant::now();
        let mut session = Session::new(Secret::new("x"), now);
        session.on_text(frame, now, 0.5);
        session.pause(0.5).as_millis()
    };
    for (frame, millis) in [("{\"op\":7}", 0), ("{\"op\":9,\"d\":true}", 3000), ("{", 500)] {
        assert_eq!(half(frame), millis, "{frame}");
    }
}

#[test]
fn who_does_not_say_hello_or_answer_is_left() {
    check("+ 9.9s\n+ 0.1s\n! close 4000: the gateway does not say hello");
    check(&format!(
        "{HELLO}\n{IDENTIFY}\n+ 29s\n> {{\"op\":1,\"d\":null}}\n< {{\"op\":11}}\n+ 1s\n\
         ! close 4000: the gateway does not answer our introduction"
    ));
}

#[test]
fn what_makes_no_sense_ends_the_connection_and_what_is_not_known_is_passed_over() {
    for text in ["{", "[]", "\"x\"", "{\"d\":1}", "{\"op\":-1}", "{\"op\":\"x\"}"] {
        check(&format!("< {text}\n! close 4000: what came is no frame of the gateway"));
    }
    check(
        "< {\"op\":10,\"d\":null}\n! close 4000: the gateway's hello has no interval of heartbeats",
    );
    check(&format!(
        "{}< {{\"op\":77,\"d\":[]}}\n< {{\"op\":0}}\n< {{\"op\":0,\"t\":\"NEW\",\"s\":2,\"d\":[1]}}\n\
         < {{\"op\":0,\"t\":\"INTERACTION_CREATE\",\"d\":{{\"type\":3}}}}",
        ready()
    ));
    check(&format!(
        "{HELLO}\n{IDENTIFY}\n< {{\"op\":0,\"t\":\"READY\",\"d\":{{}}}}\n\
         ! close 4000: the gateway's READY has no session"
    ));
}

#[test]
fn commands_are_handed_on_with_who_used_them_and_where() {
    check(&format!(
        r#"{}
        < {{"op":0,"t":"INTERACTION_CREATE","s":5,"d":{{"type":2,"id":"1","token":"t","guild_id":"9","member":{{"user":{{"id":"5"}}}},"data":{{"name":"notify","options":[{{"name":"x","value":1}},{{"name":"code","value":"a b"}}]}}}}}}
        ! /notify "a b" by 5 in 9
        < {{"op":0,"t":"INTERACTION_CREATE","s":6,"d":{{"type":2,"id":"1","token":"t","user":{{"id":"5"}},"data":{{"name":"notify-stop"}}}}}}
        ! /notify-stop "" by nobody in nowhere"#,
        ready()
    ));
}

#[test]
fn a_bot_whose_application_has_no_id_of_its_own_is_known_by_its_user() {
    check(&format!(
        "{HELLO}\n{IDENTIFY}\n< {{\"op\":0,\"t\":\"READY\",\"s\":1,\"d\":{{\"session_id\":\"s\",\
         \"resume_gateway_url\":\"wss://r\",\"user\":{{\"id\":\"7\"}}}}}}\n! ready 7"
    ));
}

#[test]
fn it_is_asked_again_when_something_is_due() {
    let now = Instant::now();
    let mut session = Session::new(Secret::new("x"), now);
    assert_eq!(session.next_at(), now + HELLO_PATIENCE);
    let hello = HELLO.trim_start_matches("< ");
    session.on_text(hello, now, 0.5);
    assert_eq!(session.next_at(), now + Duration::from_secs(20));
    session.on_tick(now + Duration::from_secs(20));
    assert_eq!(session.next_at(), now + READY_PATIENCE);
    assert!(!format!("{session:?}").contains("hunter2"));
}
