//! A line read as a Stratum request (`stratum.md` §2.1).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::limits::REQUEST_ID_BYTES_MAX;

/// A request, borrowing from its line.
#[derive(Debug)]
pub struct Request<'a> {
    /// The `id` as it came, to be echoed byte for byte; `null` when there was none.
    pub id: &'a str,
    /// Empty when there was none.
    pub method: Cow<'a, str>,
    pub params: Params<'a>,
}

/// A line that is no request.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// The id to answer to, when id and method could be read before the damage
    /// (`stratum.md` §1.10).
    pub id: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub fn parse(line: &'a [u8]) -> Result<Self, Malformed<'a>> {
        let parsed = std::str::from_utf8(line)
            .ok()
            .and_then(|text| serde_json::from_str::<Request<'a>>(text).ok())
            .filter(|request| request.id.len() <= REQUEST_ID_BYTES_MAX);
        parsed.ok_or_else(|| Malformed { id: recover_id(line) })
    }

    pub fn has_id(&self) -> bool {
        self.id != "null"
    }
}

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RequestVisitor)
    }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Request<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    /// Of repeated members the last wins; unknown ones are skipped.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request<'de>, A::Error> {
        let mut request =
            Request { id: "null", method: Cow::Borrowed(""), params: Params::default() };
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "id" => request.id = map.next_value::<&RawValue>()?.get(),
                "method" => {
                    request.method = map.next_value::<Option<Text<'de>>>()?.unwrap_or_default().0;
                }
                "params" => {
                    request.params = map.next_value::<Option<Params<'de>>>()?.unwrap_or_default();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(request)
    }
}

/// A string that is borrowed when it has no escapes.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// The parameters of a request: an array of anything.
#[derive(Debug, Default)]
pub struct Params<'a>(SmallVec<[&'a RawValue; 8]>);

impl<'a> Params<'a> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameter's JSON, when it is there.
    pub fn json(&self, index: usize) -> Option<&'a str> {
        self.0.get(index).map(|value| value.get())
    }

    /// The parameter, when it is there and a string.
    pub fn string(&self, index: usize) -> Option<Cow<'a, str>> {
        let json = self.json(index)?;
        let inside = json.strip_prefix('"')?.strip_suffix('"')?;
        if inside.contains('\\') {
            return serde_json::from_str(json).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inside))
    }

    /// The parameter as a value, when it is there.
    pub fn value(&self, index: usize) -> Option<serde_json::Value> {
        serde_json::from_str(self.json(index)?).ok()
    }
}

impl<'de> Deserialize<'de> for Params<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParamsVisitor;
        impl<'de> Visitor<'de> for ParamsVisitor {
            type Value = Params<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of parameters")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Params<'de>, A::Error> {
                let mut params = SmallVec::new();
                while let Some(value) = seq.next_element::<&RawValue>()? {
                    params.push(value);
                }
                Ok(Params(params))
            }
        }
        deserializer.deserialize_seq(ParamsVisitor)
    }
}

/// Finds the id of a damaged request: members are read from the left, as far as they are sound.
/// The id counts when it is a string, an integer or a boolean, and when a method that is a string
/// without escapes has been read too.
fn recover_id(line: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&line[..error.valid_up_to()]).ok()?,
    };
    let mut rest = text.trim_start().strip_prefix('{')?;
    let (mut id, mut method_seen) = (None, false);
    loop {
        let mut members = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(Ok(key)) = members.next() else { break };
        let after_key = &rest[members.byte_offset()..];
        let Some(value_text) = after_key.trim_start().strip_prefix(':') else { break };
        let mut values = serde_json::Deserializer::from_str(value_text).into_iter::<&RawValue>();
        let Some(Ok(value)) = values.next() else { break };
        let value = value.get();
        match key.get() {
            "\"id\"" => id = Some(value),
            "\"method\"" => method_seen = value.starts_with('"') && !value.contains('\\'),
            _ => {}
        }
        let after_value = &value_text[values.byte_offset()..];
        match after_value.trim_start().strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    let is_echoable = |id: &&str| {
        id.len() <= REQUEST_ID_BYTES_MAX
            && (id.starts_with('"')
                || matches!(*id, "true" | "false")
                || id.parse::<i128>().is_ok())
    };
    id.filter(is_echoable).filter(|_| method_seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(line: &str) -> Request<'_> {
        Request::parse(line.as_bytes()).expect("a request")
    }

    #[track_caller]
    fn malformed(line: &str, id: Option<&str>) {
        match Request::parse(line.as_bytes()) {
            Ok(request) => panic!("{line} was read as {request:?}"),
            Err(found) => assert_eq!(found, Malformed { id }, "{line}"),
        }
    }

    #[test]
    fn a_request_keeps_its_id_as_it_came() {
        for id in ["1", "\"a\\u0020b\"", "null", "9007199254740993", "1.50", "true", "[1, 2]"] {
            let line = format!(r#"{{"id": {id} ,"method":"mining.ping","params":[]}}"#);
            assert_eq!(parse(&line).id, id);
        }
        assert_eq!(parse(r#"{"method":"mining.ping"}"#).id, "null");
    }

    #[test]
    fn missing_null_and_repeated_members_are_tolerated() {
        let request = parse(r#"{"params":null,"id":1}"#);
        assert_eq!((&*request.method, request.params.len()), ("", 0));
        assert_eq!(parse(r#"{"id":1,"method":null}"#).method, "");
        let request = parse(r#"{"id":1,"id":2,"method":"a","method":"b","x":{"y":[1]}}"#);
        assert_eq!((request.id, &*request.method), ("2", "b"));
    }

    #[test]
    fn parameters_are_read_by_type() {
        let request = parse(r#"{"id":1,"method":"m","params":["a","b\"c",5,null,{"d":1}]}"#);
        let params = &request.params;
        assert_eq!(params.len(), 5);
        assert_eq!(params.string(0).as_deref(), Some("a"));
        assert_eq!(params.string(1).as_deref(), Some("b\"c"));
        assert_eq!(params.string(2), None);
        assert_eq!(params.value(2), Some(5.into()));
        assert_eq!(params.string(9), None);
    }

    #[test]
    fn what_is_no_request_is_malformed_and_the_id_is_found_where_it_can_be() {
        malformed(r#"{"id":1,"method":"mining.authorize","params":["worker","x""#, Some("1"));
        malformed(r#"{"id":1,"method":"mining.submit","params":{"a":1}}"#, Some("1"));
        malformed(r#"{"method":"m","id":"x","params":[tru]}"#, Some("\"x\""));
        malformed(r#"{"id":1,"method":5}"#, None);
        malformed(r#"{"id":1,"meth"#, None);
        malformed(r#"{"id":{},"method":"m","params":[}"#, None);
        malformed(r#"{"id":1,"method":"a\u0062","params":[}"#, None);
        malformed(r#"{"id":1,"method":"m"} x"#, Some("1"));
        for silent in ["GET / HTTP/1.1", "[{\"id\":1}]", "\"text\"", "5", "{", "\u{1}", "nul"] {
            malformed(silent, None);
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_depth_without_end_are_malformed() {
        assert!(Request::parse(b"{\"id\":1,\"method\":\"m\",\"params\":[\"\xff\"]}").is_err());
        assert!(Request::parse(b"{\"id\":1,\0}").is_err());
        let deep = "[".repeat(60_000);
        malformed(&format!(r#"{{"id":1,"method":"m","params":{deep}"#), Some("1"));
        // Closed properly it is a request, whose parameter is simply not a string.
        let closed =
            format!(r#"{{"id":1,"method":"m","params":{}{}}}"#, &deep[..9000], "]".repeat(9000));
        let request = parse(&closed);
        assert_eq!((request.params.string(0), request.params.value(0)), (None, None));
    }

    /// A poor man's fuzzer that runs with the tests: no mutation of real lines may panic.
    #[test]
    fn no_damage_to_a_line_panics() {
        let line = br#"{"id":4,"method":"mining.submit","params":["w.r","1-1","00000000","662307b7","01953508"]}"#;
        for position in 0..line.len() {
            for byte in [0, b'"', b'\\', b'{', b'[', b',', 0x80, 0xff] {
                let mut damaged = line.to_vec();
                damaged[position] = byte;
                let _ = Request::parse(&damaged);
                let _ = Request::parse(&damaged[..position]);
            }
        }
    }
}
