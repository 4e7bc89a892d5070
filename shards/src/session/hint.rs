//! Difficulties as people and firmware write them: in numbers, in strings, in user names and in
//! passwords (`stratum.md` §3.5, §4.2, §4.4, §4.5).

/// A number: decimal, with fraction or exponent, or a hexadecimal integer behind `0x`.
/// `None` for anything else, infinities included.
pub fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match hex {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()? as f64
        }
        Some(_) => return None,
        // Rust also reads `inf` and `nan`, which start with a letter; a number never does.
        None if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            text.parse().ok()?
        }
        None => return None,
    };
    number.is_finite().then_some(number)
}

/// A worker name with the difficulty hint behind it taken off, and the hint.
pub fn split_worker_name(name: &str) -> (&str, Option<f64>) {
    let name = name.trim();
    let is_delimiter = |c: char| "+#,:;|& \t\r\n".contains(c);
    let Some(at) = name.find(is_delimiter).filter(|at| *at > 0) else {
        return (name, None);
    };
    let separators = |c: char| "+#,;|& \t\r\n".contains(c);
    let rest = name[at..].trim_start_matches(':');
    let hint = rest.split(separators).find_map(|token| {
        let positive = |text: &str| parse_number(text).filter(|number| *number > 0.0);
        match key_and_value(token) {
            Some((key, value)) if is_difficulty_key(&key) => positive(value),
            Some(_) => None,
            None => positive(token),
        }
    });
    match hint {
        Some(_) => (name[..at].trim(), hint),
        None => (name, None),
    }
}

/// The difficulty hint of a password: its first token with a difficulty's key decides.
pub fn password_hint(password: &str) -> Option<f64> {
    tokens(password)
        .filter_map(key_and_value)
        .find(|(key, _)| is_difficulty_key(key))
        .and_then(|(_, value)| parse_number(value))
        .filter(|number| *number > 0.0)
}

/// Whether `sent` carries the shared password, whole, as a token, or behind `p`, `pass` or
/// `password`.
pub fn password_matches(configured: &str, sent: &str) -> bool {
    let (configured, sent) = (configured.trim(), sent.trim());
    sent == configured
        || tokens(sent).any(|token| token == configured)
        || tokens(sent)
            .filter_map(key_and_value)
            .any(|(key, value)| matches!(&*key, "p" | "pass" | "password") && value == configured)
}

fn tokens(password: &str) -> impl Iterator<Item = &str> {
    password.split(|c: char| ",;|& \t\r\n".contains(c)).filter(|token| !token.is_empty())
}

/// `key=value` or `key:value`, both there; the key in lower case without `-` and `_`.
fn key_and_value(token: &str) -> Option<(String, &str)> {
    let (key, value) = token.split_once(['=', ':'])?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || value.is_empty() {
        return None;
    }
    Some((key.to_ascii_lowercase().replace(['-', '_'], ""), value))
}

fn is_difficulty_key(key: &str) -> bool {
    matches!(key, "d" | "diff" | "difficulty" | "sd" | "suggestdiff" | "suggestdifficulty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_form_and_nothing_else_is() {
        for (text, number) in [
            ("256", 256.0),
            (" 2.5 ", 2.5),
            ("1e3", 1000.0),
            ("0x400", 1024.0),
            ("-1", -1.0),
            (".5", 0.5),
            ("0", 0.0),
        ] {
            assert_eq!(parse_number(text), Some(number), "{text}");
        }
        for text in ["", "abc", "inf", "nan", "-inf", "0x", "0x1.5", "1 2", "1e999"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn worker_names_lose_a_hint_and_nothing_else() {
        for (name, worker, hint) in [
            ("W.rig+1024", "W.rig", Some(1024.0)),
            ("W.rig+d=0x400", "W.rig", Some(1024.0)),
            ("W.rig#difficulty=2.5", "W.rig", Some(2.5)),
            ("W.rig,diff:64", "W.rig", Some(64.0)),
            ("W.rig + 128", "W.rig", Some(128.0)),
            ("W.rig:1024", "W.rig", Some(1024.0)),
            ("W.rig+garage", "W.rig+garage", None),
            ("W.rig+0", "W.rig+0", None),
            ("W.rig#2", "W.rig", Some(2.0)),
            ("W.rig", "W.rig", None),
            ("+1024", "+1024", None),
            (" W.rig ", "W.rig", None),
        ] {
            assert_eq!(split_worker_name(name), (worker, hint), "{name}");
        }
    }

    #[test]
    fn passwords_hint_by_their_first_difficulty_key() {
        for (password, hint) in [
            ("x,d=1024", Some(1024.0)),
            ("diff:64", Some(64.0)),
            ("sd=0x400", Some(1024.0)),
            ("x", None),
            ("d=0", None),
            ("d=abc", None),
            ("d=abc,d=5", None),
            ("", None),
        ] {
            assert_eq!(password_hint(password), hint, "{password}");
        }
    }

    #[test]
    fn the_shared_password_may_stand_among_options() {
        for sent in ["x", "x,d=1024", "d=1024,x", "pass=x,d=1024", "password=x;d=1024", " x "] {
            assert!(password_matches("x", sent), "{sent}");
        }
        for sent in ["d=1024", "X", "", "y=x"] {
            assert!(!password_matches("x", sent), "{sent}");
        }
    }
}
