//! What a miner says: lines made once, in which only digits change from one share to the next.

use clap::ValueEnum;

/// How a client writes its requests: the same, in another order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// Bitaxe's firmware: the id first, with spaces
    #[default]
    Bitaxe,
    /// cgminer and what descends from it: the parameters first
    Cgminer,
    /// The id first, without spaces
    Compact,
}

impl Dialect {
    fn request(self, id: &str, method: &str, params: &[&str]) -> String {
        let space = if self == Self::Compact { "" } else { " " };
        let quoted: Vec<String> = params.iter().map(|param| format!("\"{param}\"")).collect();
        let params = format!("\"params\":{space}[{}]", quoted.join(&format!(",{space}")));
        let id = format!("\"id\":{space}{id}");
        let method = format!("\"method\":{space}\"{method}\"");
        let members = match self {
            Self::Cgminer => [params, id, method],
            Self::Bitaxe | Self::Compact => [id, method, params],
        };
        format!("{{{}}}\n", members.join(&format!(",{space}")))
    }

    /// Subscribe and authorize in one go, as clients do that do not wait for answers.
    pub fn handshake(self, worker: &str) -> String {
        let client = concat!("gopool-flood/", env!("CARGO_PKG_VERSION"));
        let subscribe = self.request(&SUBSCRIBE_ID.to_string(), "mining.subscribe", &[client]);
        subscribe + &self.request(&AUTHORIZE_ID.to_string(), "mining.authorize", &[worker, "x"])
    }
}

pub const SUBSCRIBE_ID: u64 = 1;
pub const AUTHORIZE_ID: u64 = 2;
/// The first share's id. All have seven digits, so that an id never changes the size of its line.
pub const SHARE_ID_FIRST: u64 = 1_000_000;
const SHARE_IDS: u64 = 9_000_000;
const ID_DIGITS: usize = 7;
/// Of extranonce2 at most so many are counted through; longer ones end in zeros.
const EXTRANONCE2_DIGITS_MAX: usize = 8;

/// The id of a connection's share, by its number.
#[inline]
pub fn share_id(number: u64) -> u64 {
    SHARE_ID_FIRST + number % SHARE_IDS
}

/// A number's share is at most this far from `id`'s, counted back from `next`, the number of the
/// next share. None for an id that is no share's.
#[inline]
pub fn share_number(id: u64, next: u64) -> Option<u64> {
    let place = id.checked_sub(SHARE_ID_FIRST).filter(|place| *place < SHARE_IDS)?;
    let behind = (next % SHARE_IDS + SHARE_IDS - place) % SHARE_IDS;
    next.checked_sub(if behind == 0 { SHARE_IDS } else { behind })
}

/// `mining.submit` of one connection and one job, with the places of what changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmitLine {
    line: Box<[u8]>,
    id_at: u16,
    extranonce2_at: u16,
    extranonce2_digits: u16,
    nonce_at: u16,
}

impl SubmitLine {
    pub fn new(
        dialect: Dialect,
        worker: &str,
        job: &str,
        extranonce2_bytes: usize,
        ntime: &str,
    ) -> Self {
        let id = "#".repeat(ID_DIGITS);
        let extranonce2_digits = (2 * extranonce2_bytes).min(EXTRANONCE2_DIGITS_MAX);
        let zeros = "0".repeat(2 * extranonce2_bytes - extranonce2_digits);
        let extranonce2 = "*".repeat(extranonce2_digits) + &zeros;
        let params = [worker, job, &extranonce2, ntime, "++++++++"];
        let line = dialect.request(&id, "mining.submit", &params);
        // None of these can be part of a worker's name or a job's id here.
        let place = |mark: char| line.find(mark).unwrap_or_default() as u16;
        Self {
            id_at: place('#'),
            extranonce2_at: place('*'),
            extranonce2_digits: extranonce2_digits as u16,
            nonce_at: place('+'),
            line: line.into_bytes().into(),
        }
    }

    /// Appends a share.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, id: u64, extranonce2: u32, nonce: u32) {
        let start = out.len();
        out.extend_from_slice(&self.line);
        let line = &mut out[start..];
        let at = usize::from(self.id_at);
        write_decimal(&mut line[at..at + ID_DIGITS], id);
        let at = usize::from(self.extranonce2_at);
        let digits = usize::from(self.extranonce2_digits);
        // The last digits change most.
        line[at..at + digits].copy_from_slice(&hex(extranonce2)[EXTRANONCE2_DIGITS_MAX - digits..]);
        let at = usize::from(self.nonce_at);
        line[at..at + 8].copy_from_slice(&hex(nonce));
    }

    pub fn bytes(&self) -> usize {
        self.line.len()
    }
}

/// Eight digits, most significant first: each half-byte in a byte of its own, then all at once.
#[inline]
fn hex(value: u32) -> [u8; 8] {
    let mut spread = u64::from(value);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One where the digit is a letter.
    let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (spread + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
}

#[inline]
fn write_decimal(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_patched_line_is_the_line_that_was_meant() {
        for dialect in [Dialect::Bitaxe, Dialect::Cgminer, Dialect::Compact] {
            for bytes in [1, 4, 8] {
                let line = SubmitLine::new(dialect, "wallet.rig", "1f-2", bytes, "66230000");
                let mut out = b"before".to_vec();
                line.write(&mut out, 1_234_567, 0x89ab_cdef, 0x0001_e240);
                let text = std::str::from_utf8(&out[6..]).unwrap();
                assert!(text.ends_with('\n') && text.len() == line.bytes());
                let request: Value = serde_json::from_str(text).unwrap();
                assert_eq!(request["id"], 1_234_567);
                assert_eq!(request["method"], "mining.submit");
                let extranonce2 = match bytes {
                    1 => "ef",
                    4 => "89abcdef",
                    _ => "89abcdef00000000",
                };
                let params = ["wallet.rig", "1f-2", extranonce2, "66230000", "0001e240"];
                assert_eq!(request["params"], serde_json::json!(params));
            }
        }
    }

    #[test]
    fn a_handshake_is_two_requests() {
        for dialect in [Dialect::Bitaxe, Dialect::Cgminer, Dialect::Compact] {
            let text = dialect.handshake("wallet.rig");
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 2);
            assert_eq!(lines[0]["method"], "mining.subscribe");
            assert_eq!(lines[1]["params"], serde_json::json!(["wallet.rig", "x"]));
        }
    }

    #[test]
    fn digits_are_those_of_the_formatter() {
        for value in [0, 1, 9, 10, 0xff, 0xdead_beef, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            assert_eq!(hex(value), format!("{value:08x}").as_bytes());
        }
    }

    #[test]
    fn a_share_is_known_by_its_id() {
        assert_eq!(share_number(share_id(0), 1), Some(0));
        assert_eq!(share_number(share_id(41), 44), Some(41));
        let far = 3 * SHARE_IDS;
        assert_eq!(share_number(share_id(far - 1), far + 2), Some(far - 1));
        assert_eq!(share_number(share_id(5), 3), None);
        assert_eq!(share_number(AUTHORIZE_ID, 3), None);
    }
}
