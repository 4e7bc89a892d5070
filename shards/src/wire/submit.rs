//! `mining.submit` in the shape that nearly every miner gives it, read in one pass. Anything else
//! is left to [`super::request`]: what this reads, that reads the same.

use crate::limits::REQUEST_ID_BYTES_MAX;

/// Parameters of a submission with version bits; without, one less.
const PARAMS_MAX: usize = 6;

/// A submission, borrowing from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// The `id` as it came, to be echoed byte for byte.
    pub id: &'a str,
    pub worker: &'a str,
    pub job_id: &'a str,
    pub extranonce2: &'a str,
    pub ntime: &'a str,
    pub nonce: &'a str,
    pub version: Option<&'a str>,
}

impl<'a> Submit<'a> {
    /// Reads a line of the usual shape: `id` (a whole number or a string), `method` and `params`
    /// (five or six strings), each once and in any order; ASCII without escapes. `None` says
    /// nothing about any other line.
    pub fn scan(line: &'a [u8]) -> Option<Self> {
        // All at once, which a CPU does faster than one by one.
        if !line.iter().fold(true, |all, byte| all & is_plain(*byte)) {
            return None;
        }
        let mut scanner = Scanner { text: std::str::from_utf8(line).ok()?, at: 0 };
        let (mut id, mut is_submit, mut params) = (None, false, None);
        scanner.expect(b'{')?;
        for member in 0..3 {
            if member > 0 {
                scanner.expect(b',')?;
            }
            match scanner.string()? {
                "id" if id.is_none() => {
                    scanner.expect(b':')?;
                    id = Some(scanner.id()?);
                }
                "method" if !is_submit => {
                    scanner.expect(b':')?;
                    is_submit = scanner.string()? == "mining.submit";
                    if !is_submit {
                        return None;
                    }
                }
                "params" if params.is_none() => {
                    scanner.expect(b':')?;
                    params = Some(scanner.strings()?);
                }
                _ => return None,
            }
        }
        scanner.expect(b'}')?;
        if scanner.at != line.len() {
            return None;
        }
        let (params, count) = params?;
        let [worker, job_id, extranonce2, ntime, nonce, version] = params;
        let version = (count == PARAMS_MAX).then_some(version);
        Some(Self { id: id?, worker, job_id, extranonce2, ntime, nonce, version })
    }
}

/// Walks over plain characters.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            self.at += 1;
            if byte != b' ' {
                return Some(byte);
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A string, without its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        self.rest_of_string()
    }

    fn rest_of_string(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let length = memchr::memchr(b'"', rest.as_bytes())?;
        self.at += length + 1;
        Some(&rest[..length])
    }

    /// Five or six strings.
    fn strings(&mut self) -> Option<([&'a str; PARAMS_MAX], usize)> {
        let mut strings = [""; PARAMS_MAX];
        self.expect(b'[')?;
        let mut count = 0;
        loop {
            *strings.get_mut(count)? = self.string()?;
            count += 1;
            match self.next()? {
                b',' => {}
                b']' => break,
                _ => return None,
            }
        }
        (count >= PARAMS_MAX - 1).then_some((strings, count))
    }

    fn id(&mut self) -> Option<&'a str> {
        let first = self.next()?;
        let start = self.at - 1;
        match first {
            b'"' => {
                self.rest_of_string()?;
            }
            b'0' => {}
            b'1'..=b'9' => {
                let rest = &self.text.as_bytes()[self.at..];
                self.at += rest.iter().position(|byte| !byte.is_ascii_digit())?;
            }
            _ => return None,
        }
        let id = &self.text[start..self.at];
        (id.len() <= REQUEST_ID_BYTES_MAX).then_some(id)
    }
}

/// Whether a byte stands for itself wherever it is in a line.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::Request;

    const LINE: &str = r#"{"id":4,"method":"mining.submit","params":["w.r","1-1","00000000","662307b7","01953508"]}"#;

    /// What the scanner reads, the parser reads the same.
    #[track_caller]
    fn check_against_the_parser(line: &[u8]) -> bool {
        let Some(submit) = Submit::scan(line) else { return false };
        let request = Request::parse(line).expect("the scanner read it");
        let params: Vec<_> = (0..request.params.len())
            .map(|index| request.params.string(index).expect("a string").into_owned())
            .collect();
        let Submit { id, worker, job_id, extranonce2, ntime, nonce, version } = submit;
        let mut found = vec![worker, job_id, extranonce2, ntime, nonce];
        found.extend(version);
        assert_eq!((request.id, &*request.method), (id, "mining.submit"));
        assert_eq!(params, found);
        true
    }

    #[test]
    fn the_usual_shapes_are_read() {
        let with = |from: &str, to: &str| LINE.replace(from, to);
        for line in [
            LINE.to_owned(),
            with(":", ": ").replace(',', ", "),
            with("4", "\"a-4\""),
            with("4", "0"),
            with("\"01953508\"", "\"01953508\",\"1fffe000\""),
            r#"{"params": ["w", "j", "e", "t", "n"], "id": 77, "method": "mining.submit"}"#.into(),
            r#"{"method":"mining.submit","params":["","","","",""],"id":"" }"#.into(),
        ] {
            assert!(check_against_the_parser(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn any_other_is_left_to_the_parser() {
        let with = |from: &str, to: &str| LINE.replace(from, to);
        for line in [
            with("mining.submit", "mining.ping"),
            with("mining.submit", "mining.s\\u0075bmit"),
            with("w.r", "w\\\"r"),
            with("w.r", "wé"),
            with("\"w.r\",", ""),
            with("\"w.r\"", "\"a\",\"b\",\"w.r\""),
            with("\"w.r\"", "5"),
            with("4", "04"),
            with("4", "4.5"),
            with("4", "null"),
            with("4", "-4"),
            with("\"id\":4", "\"id\":4,\"id\":5"),
            with("}", ",\"x\":1}"),
            with("}", "}}"),
            with("}", ""),
            with("\"id\":4,", ""),
            with("4", &"1".repeat(REQUEST_ID_BYTES_MAX + 1)),
            String::new(),
        ] {
            assert_eq!(Submit::scan(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn no_damage_makes_the_scanner_read_what_the_parser_does_not() {
        let mut read = 0;
        for position in 0..LINE.len() {
            for byte in 0..=255 {
                let mut damaged = LINE.as_bytes().to_vec();
                damaged[position] = byte;
                read += u32::from(check_against_the_parser(&damaged));
                let mut longer = LINE.as_bytes().to_vec();
                longer.insert(position, byte);
                read += u32::from(check_against_the_parser(&longer));
                check_against_the_parser(&damaged[..position]);
            }
        }
        assert!(read > 1000, "{read} damaged lines were still submissions");
    }
}
