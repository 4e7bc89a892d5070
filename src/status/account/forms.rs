//! What a request that changes something carries: a form or JSON, flat and short.

use std::collections::BTreeMap;

use super::super::http::Request;

/// Fields of a body, whichever way it was written; where one value is wanted the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Vec<String>>);

impl Fields {
    /// None when the body is not what its type says.
    pub fn of(request: &Request) -> Option<Self> {
        let content_type = request.header("content-type").unwrap_or_default();
        if content_type.to_ascii_lowercase().contains("application/json") {
            return Self::of_json(&request.body);
        }
        let text = std::str::from_utf8(&request.body).ok()?;
        Self::of_form(text)
    }

    /// `a=b&c=d`, as browsers write forms and queries (WHATWG URL, application/x-www-form-urlencoded).
    pub fn of_form(text: &str) -> Option<Self> {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.entry(decoded(name)?).or_default().push(decoded(value)?);
        }
        Some(Self(fields))
    }

    /// One object of texts, numbers and truths.
    fn of_json(body: &[u8]) -> Option<Self> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).ok()?;
        let mut fields = BTreeMap::new();
        for (name, value) in object {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
                _ => return None,
            };
            fields.insert(name, vec![text]);
        }
        Some(Self(fields))
    }

    /// Trimmed; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).and_then(|values| values.last()).map_or("", |value| value.trim())
    }

    /// All values of a name, trimmed, in their order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(|value| value.trim())
    }

    /// Every name with its last value, trimmed.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter();
        fields.map(|(name, values)| (name.as_str(), values.last().map_or("", |text| text.trim())))
    }

    /// `1`, `true`, `on` and `yes` in any case are true, another text is false; none when it is missing.
    pub fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            "" => None,
            text => Some(["1", "true", "on", "yes"].contains(&&*text.to_ascii_lowercase())),
        }
    }
}

/// Percent-decoded, `+` for a space; none for what is no text afterwards.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(content_type: &str, body: &str) -> Option<Fields> {
        let mut request = Request::get("/", &[("content-type", content_type)]);
        request.body = body.as_bytes().to_vec();
        Fields::of(&request)
    }

    #[test]
    fn a_form_and_json_say_the_same() {
        let form =
            fields("application/x-www-form-urlencoded", "hash=a%2Bb+c&enabled=ON&x").unwrap();
        assert_eq!(
            (form.get("hash"), form.truth("enabled"), form.truth("y")),
            ("a+b c", Some(true), None)
        );
        let json = fields("application/json; charset=utf-8", r#"{"hash":" a ","enabled":false}"#);
        let json = json.unwrap();
        assert_eq!((json.get("hash"), json.truth("enabled")), ("a", Some(false)));
    }

    #[test]
    fn what_is_neither_is_nothing() {
        for (content_type, body) in [
            ("application/json", "{"),
            ("application/json", "[]"),
            ("application/json", r#"{"a":{}}"#),
            ("", "a=%"),
            ("", "a=%2"),
            ("", "a=%+1"),
            ("", "a=%ff"),
        ] {
            assert_eq!(fields(content_type, body), None, "{body}");
        }
    }
}
