//! Finds a template's transactions in the node's answer while it is still coming in: they are nearly
//! all of it, so the work on them is done when the last byte is there.
//!
//! It reads only the layout that matters and believes nothing it does not understand: an escape in
//! a field, a list in an odd place or broken JSON makes it give up, and the general parser reads the
//! whole answer. All that is not in the list is the general parser's in any case.

use std::ops::Range;

use memchr::memchr2;

/// A transaction's fields as the node writes them. Nothing says yet that they are hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawTransaction<'a> {
    /// Where in the answer its bytes are.
    pub(super) data: Range<usize>,
    pub(super) txid: &'a [u8],
    /// Empty when it is not given.
    pub(super) hash: &'a [u8],
}

/// How far an answer has been understood. It is shown the answer from its start each time.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Up to here everything is done with.
    at: usize,
    place: Place,
    list_start: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// Before a member of the answer.
    Answer,
    /// Before a member of `result`.
    Result,
    FirstTransaction,
    AfterTransaction,
    /// The list has ended.
    Done,
    /// It is for the general parser.
    Odd,
}

/// Why there is no next piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// More bytes will tell.
    Short,
    Odd,
}

impl Scan {
    /// The next transaction, as soon as it is there as a whole.
    pub(super) fn next<'a>(&mut self, text: &'a [u8]) -> Option<RawTransaction<'a>> {
        loop {
            match self.step(text) {
                Ok(Some(transaction)) => return Some(transaction),
                Ok(None) if self.place == Place::Done => return None,
                Ok(None) => {}
                Err(Cut::Short) => return None,
                Err(Cut::Odd) => {
                    self.place = Place::Odd;
                    return None;
                }
            }
        }
    }

    /// Where the list's content was, once the answer is there as a whole. `None` when it has not
    /// been understood to its end: then what [`Self::next`] has returned does not count.
    pub(super) fn list(&self) -> Option<Range<usize>> {
        (self.place == Place::Done).then_some(self.list_start..self.at)
    }

    fn step<'a>(&mut self, text: &'a [u8]) -> Result<Option<RawTransaction<'a>>, Cut> {
        match self.place {
            Place::Start => {
                let at = skip_space(text, self.at)?;
                self.enter(text, at, b'{', Place::Answer)?;
            }
            Place::Answer => {
                let (name, value) = member(text, self.at)?;
                match (name, text[value]) {
                    (b"result", b'{') => self.enter(text, value, b'{', Place::Result)?,
                    _ => self.at = next_member(text, value_end(text, value)?)?,
                }
            }
            Place::Result => {
                let (name, value) = member(text, self.at)?;
                match (name, text[value]) {
                    (b"transactions", b'[') => {
                        self.enter(text, value, b'[', Place::FirstTransaction)?;
                        self.list_start = self.at;
                    }
                    _ => self.at = next_member(text, value_end(text, value)?)?,
                }
            }
            Place::FirstTransaction | Place::AfterTransaction => {
                let mut at = skip_space(text, self.at)?;
                if text[at] == b']' {
                    self.at = at;
                    self.place = Place::Done;
                    return Ok(None);
                }
                if self.place == Place::AfterTransaction {
                    at = skip_space(text, expect(text, at, b',')?)?;
                }
                let (transaction, end) = match cores_transaction(text, at) {
                    Some(found) => found,
                    None => transaction(text, at)?,
                };
                self.at = end;
                self.place = Place::AfterTransaction;
                return Ok(Some(transaction));
            }
            Place::Done => {}
            Place::Odd => return Err(Cut::Odd),
        }
        Ok(None)
    }

    fn enter(&mut self, text: &[u8], at: usize, bracket: u8, place: Place) -> Result<(), Cut> {
        self.at = expect(text, at, bracket)?;
        self.place = place;
        Ok(())
    }
}

/// The same as [`transaction`], in a third of the time, of an object in exactly the layout that Core
/// writes; `None` of any other, and of one that is not there as a whole.
fn cores_transaction(text: &[u8], at: usize) -> Option<(RawTransaction<'_>, usize)> {
    let after =
        |at: usize, wanted: &[u8]| text.get(at..)?.starts_with(wanted).then_some(at + wanted.len());
    let skip = |at: usize, may_be: fn(&u8) -> bool| {
        text.get(at..)?.iter().position(|byte| !may_be(byte)).map(|length| at + length)
    };
    let string = |at: usize| {
        let length = memchr2(b'"', b'\\', text.get(at..)?)?;
        Some(at..at + length)
    };
    let data = string(after(at, br#"{"data":""#)?)?;
    let txid = string(after(data.end, br#"","txid":""#)?)?;
    let hash = string(after(txid.end, br#"","hash":""#)?)?;
    let depends = after(hash.end, br#"","depends":["#)?;
    let depends = skip(depends, |byte| byte.is_ascii_digit() || *byte == b',')?;
    let fee = skip(after(depends, br#"],"fee":"#)?, u8::is_ascii_digit)?;
    let sigops = skip(after(fee, br#","sigops":"#)?, u8::is_ascii_digit)?;
    let weight = skip(after(sigops, br#","weight":"#)?, u8::is_ascii_digit)?;
    let end = after(weight, b"}")?;
    Some((RawTransaction { data, txid: &text[txid], hash: &text[hash] }, end))
}

/// The object at `at`, and where it ends.
fn transaction(text: &[u8], at: usize) -> Result<(RawTransaction<'_>, usize), Cut> {
    let (mut data, mut txid, mut hash) = (None, None, None);
    let mut at = expect(text, at, b'{')?;
    loop {
        let (name, value) = member(text, at)?;
        let field = match name {
            b"data" => Some(&mut data),
            b"txid" => Some(&mut txid),
            b"hash" => Some(&mut hash),
            _ => None,
        };
        let end = match field {
            Some(field) => {
                let (content, end) = plain_string(text, value)?;
                if field.replace(content).is_some() {
                    return Err(Cut::Odd);
                }
                end
            }
            None => value_end(text, value)?,
        };
        let after = skip_space(text, end)?;
        match text[after] {
            b',' => at = after + 1,
            b'}' => {
                let [data, txid, hash] = [data, txid, hash].map(Option::unwrap_or_default);
                let [txid, hash] = [txid, hash].map(|range| &text[range]);
                return Ok((RawTransaction { data, txid, hash }, after + 1));
            }
            _ => return Err(Cut::Odd),
        }
    }
}

/// A member's name, and where its value starts.
fn member(text: &[u8], at: usize) -> Result<(&[u8], usize), Cut> {
    let (name, end) = plain_string(text, skip_space(text, at)?)?;
    let colon = skip_space(text, end)?;
    Ok((&text[name], skip_space(text, expect(text, colon, b':')?)?))
}

/// After a value that is not the last of its object.
fn next_member(text: &[u8], end: usize) -> Result<usize, Cut> {
    expect(text, skip_space(text, end)?, b',')
}

/// Where the content of the string at `at` is, which must have no escapes, and where it ends.
fn plain_string(text: &[u8], at: usize) -> Result<(Range<usize>, usize), Cut> {
    let start = expect(text, at, b'"')?;
    let length = memchr2(b'"', b'\\', &text[start..]).ok_or(Cut::Short)?;
    let end = expect(text, start + length, b'"')?;
    Ok((start..start + length, end))
}

/// Where the value at `at` ends.
fn value_end(text: &[u8], at: usize) -> Result<usize, Cut> {
    match text.get(at).ok_or(Cut::Short)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => container_end(text, at),
        _ => {
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t'..=b'\r');
            let length = text[at..].iter().position(is_end).ok_or(Cut::Short)?;
            if length == 0 { Err(Cut::Odd) } else { Ok(at + length) }
        }
    }
}

fn string_end(text: &[u8], at: usize) -> Result<usize, Cut> {
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..).ok_or(Cut::Short)?).ok_or(Cut::Short)?;
        if text[at] == b'"' {
            return Ok(at + 1);
        }
        // Whatever is escaped is no end; the digits of `\u` have none either.
        at += 2;
    }
}

/// Brackets are counted and not told apart: whether they match is the general parser's question.
fn container_end(text: &[u8], mut at: usize) -> Result<usize, Cut> {
    let mut depth = 0_usize;
    loop {
        match text.get(at).ok_or(Cut::Short)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// After white space; there is a byte at what it returns.
fn skip_space(text: &[u8], at: usize) -> Result<usize, Cut> {
    let rest = text.get(at..).ok_or(Cut::Short)?;
    let space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    space.map(|length| at + length).ok_or(Cut::Short)
}

fn expect(text: &[u8], at: usize, wanted: u8) -> Result<usize, Cut> {
    match text.get(at) {
        Some(found) if *found == wanted => Ok(at + 1),
        Some(_) => Err(Cut::Odd),
        None => Err(Cut::Short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when the answer comes in pieces of `step` bytes.
    fn scan(text: &[u8], step: usize) -> (Vec<[String; 3]>, Option<Range<usize>>) {
        let mut scan = Scan::default();
        let mut found = Vec::new();
        for end in (0..text.len()).step_by(step).chain([text.len()]) {
            while let Some(RawTransaction { data, txid, hash }) = scan.next(&text[..end]) {
                let fields = [&text[data], txid, hash];
                found.push(fields.map(|text| String::from_utf8_lossy(text).into()));
            }
        }
        (found, scan.list())
    }

    #[track_caller]
    fn check(text: &str, expected: &[[&str; 3]], list: &str) {
        for step in 1..=text.len() {
            let (found, range) = scan(text.as_bytes(), step);
            assert_eq!(found, expected, "in pieces of {step}");
            let range = range.expect("it is understood");
            assert_eq!(&text[range], list, "in pieces of {step}");
        }
    }

    #[test]
    fn cores_layout_is_understood_however_it_is_cut() {
        let list = concat!(
            r#"{"data":"0a","txid":"11","hash":"22","depends":[],"fee":5,"sigops":1,"weight":4},"#,
            r#"{"data":"0b","txid":"33","hash":"44","depends":[1,2],"fee":6,"sigops":1,"weight":8}"#
        );
        let text = format!(
            r#"{{"result":{{"rules":["csv"],"transactions":[{list}],"bits":"x"}},"error":null,"id":7}}"#
        );
        check(&text, &[["0a", "11", "22"], ["0b", "33", "44"]], list);
    }

    #[test]
    fn the_short_way_and_the_long_one_agree() {
        for text in [
            r#"{"data":"0a","txid":"11","hash":"22","depends":[1,12],"fee":5,"sigops":1,"weight":4}"#,
            r#"{"data":"","txid":"","hash":"","depends":[],"fee":,"sigops":,"weight":}"#,
        ] {
            let short = cores_transaction(text.as_bytes(), 0).expect("Core's layout");
            assert_eq!(short.1, text.len());
            if !text.contains("\"fee\":,") {
                assert_eq!(Ok(short), transaction(text.as_bytes(), 0));
            }
            for end in 0..text.len() {
                assert_eq!(cores_transaction(&text.as_bytes()[..end], 0), None);
            }
        }
        let other = r#"{"data":"0a","txid":"11","hash":"22","depends":[],"fee":"5"}"#;
        assert_eq!(cores_transaction(other.as_bytes(), 0), None);
    }

    #[test]
    fn other_orders_white_space_and_unknown_members_are_understood() {
        let list = " { \"hash\" : \"22\" ,\n\"x\":{\"data\":\"]}\\\"\"}, \"txid\":\"11\",\"data\":\"0a\" }\t";
        let text = format!(
            "\n{{ \"id\" : 7, \"error\" :null, \"odd\":{{\"transactions\":[1]}}, \
             \"result\":\r{{\"mutable\":[\"transactions\",\"a\\\\\"], \"transactions\": [{list}] }} }} "
        );
        check(&text, &[["0a", "11", "22"]], list);
        check(r#"{"result":{"transactions":[]}}"#, &[], "");
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_general_parser() {
        for text in [
            r#"{"result":null,"error":{"code":-10},"id":7}"#,
            r#"{"result":{"transactions":null}}"#,
            r#"{"result":{"trans\u0061ctions":[]}}"#,
            r#"{"result":{"transactions":[{"data":"\u0030a"}]}}"#,
            r#"{"result":{"transactions":[{"d\u0061ta":"0a"}]}}"#,
            r#"{"result":{"transactions":[{"data":"0a","data":"0b"}]}}"#,
            r#"{"result":{"transactions":[{"data":"0a"} {"data":"0b"}]}}"#,
            r#"{"result":{"transactions":[,{"data":"0a"}]}}"#,
            r#"{"result":{"transactions":[{"data":5}]}}"#,
            r#"{"result":{"transactions":[7]}}"#,
            r#"{"result":{"transactions":[{}]}}"#,
            r#"[{"result":{"transactions":[]}}]"#,
            r#"{"result":{"transactions":[{"data":"0a"}"#,
            "",
            "no JSON",
            "\u{fffd}",
        ] {
            for step in 1..=text.len().max(1) {
                assert_eq!(scan(text.as_bytes(), step).1, None, "{text}");
            }
        }
    }

    #[test]
    fn damage_never_causes_a_panic() {
        let text = br#"{"a":[{"b":"\\"}],"result":{"transactions":[{"data":"0a","x":[1,{}]}]}}"#;
        for at in 0..text.len() {
            for byte in [b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b' ', 0, 0xff] {
                let mut damaged = text.to_vec();
                damaged[at] = byte;
                scan(&damaged, 7);
                scan(&damaged[..at], 1);
            }
        }
    }
}
