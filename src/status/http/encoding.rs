//! Compressed forms of what is sent, made once for all who ask for them (RFC 9110 §12.5.3).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Below this, what is saved is less than one packet (`web.md` §1.5).
pub const ENCODED_BYTES_MIN: usize = 1024;
/// Codings looked at in one header; browsers send four.
const CODINGS_MAX: usize = 16;
/// Pages are made anew every few seconds: an effort that costs a millisecond, not ten.
const PAGE_EFFORT: Effort = Effort { gzip: 6, brotli: 4 };
/// Files are compressed once, at the start.
const FILE_EFFORT: Effort = Effort { gzip: 9, brotli: 9 };
/// Brotli's window, as a power of two: more than our longest page, and little memory.
const BROTLI_WINDOW: i32 = 18;

#[derive(Clone, Copy, Debug)]
struct Effort {
    gzip: u32,
    brotli: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    /// In the order of our own liking: the shorter one first.
    const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What an ETag of this form ends in, before its quote.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gz",
        }
    }
}

/// The forms that an `Accept-Encoding` field takes better than, or as well as, the plain one; the
/// best first. Without a field that is none.
pub fn accepted(field: Option<&str>) -> impl Iterator<Item = Encoding> {
    let field = field.unwrap_or_default();
    let plain = weight(field, "identity").unwrap_or(0.0);
    let wish = |encoding: Encoding| {
        let named = weight(field, encoding.name());
        // Its older name is the same thing (RFC 9110 §8.4.1.3).
        let older = (encoding == Encoding::Gzip).then(|| weight(field, "x-gzip")).flatten();
        named.or(older).or_else(|| weight(field, "*")).unwrap_or(0.0)
    };
    let mut wanted = Encoding::ALL.map(|encoding| (encoding, wish(encoding)));
    // Stable: our own order decides between equals.
    wanted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let is_wanted = move |(_, wish): &(Encoding, f32)| *wish > 0.0 && *wish >= plain;
    wanted.into_iter().filter(is_wanted).map(|(encoding, _)| encoding)
}

/// None for a coding that is not named. A weight that cannot be read is a wish that was not made.
fn weight(field: &str, coding: &str) -> Option<f32> {
    field.split(',').take(CODINGS_MAX).find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(coding) {
            return None;
        }
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
        });
        let Some(quality) = quality else { return Some(1.0) };
        Some(quality.parse().ok().filter(|w| (0.0..=1.0).contains(w)).unwrap_or(0.0))
    })
}

/// Bytes, and their compressed forms as soon as somebody has asked for them.
#[derive(Debug)]
pub struct Forms {
    pub plain: Cow<'static, [u8]>,
    effort: Effort,
    brotli: OnceCell<Option<Box<[u8]>>>,
    gzip: OnceCell<Option<Box<[u8]>>>,
}

impl Forms {
    /// Of something that is rendered now and then.
    pub fn of_page(plain: Vec<u8>) -> Self {
        Self::new(plain.into(), PAGE_EFFORT)
    }

    /// Of a file of ours; made at once.
    pub fn of_file(plain: &'static [u8]) -> Self {
        let forms = Self::new(plain.into(), FILE_EFFORT);
        for encoding in Encoding::ALL {
            forms.get(encoding);
        }
        forms
    }

    fn new(plain: Cow<'static, [u8]>, effort: Effort) -> Self {
        Self { plain, effort, brotli: OnceCell::new(), gzip: OnceCell::new() }
    }

    /// None when that form would not be shorter.
    pub fn get(&self, encoding: Encoding) -> Option<&[u8]> {
        if self.plain.len() < ENCODED_BYTES_MIN {
            return None;
        }
        let cell = match encoding {
            Encoding::Brotli => &self.brotli,
            Encoding::Gzip => &self.gzip,
        };
        let made = cell.get_or_init(|| {
            let made = match encoding {
                Encoding::Brotli => brotli(&self.plain, self.effort.brotli),
                Encoding::Gzip => gzip(&self.plain, self.effort.gzip),
            };
            // Writing to memory does not fail.
            made.ok().filter(|bytes| bytes.len() < self.plain.len()).map(Vec::into_boxed_slice)
        });
        made.as_deref()
    }
}

fn gzip(bytes: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::new(level));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8], quality: i32) -> io::Result<Vec<u8>> {
    let parameters = BrotliEncoderParams {
        quality,
        lgwin: BROTLI_WINDOW,
        size_hint: bytes.len(),
        ..BrotliEncoderParams::default()
    };
    let mut made = Vec::with_capacity(bytes.len() / 3);
    brotli::BrotliCompress(&mut &bytes[..], &mut made, &parameters)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_client_chooses_by_weight_and_we_between_equals() {
        use Encoding::{Brotli, Gzip};
        for (field, expected) in [
            ("gzip, deflate, br, zstd", &[Brotli, Gzip][..]),
            ("gzip", &[Gzip]),
            ("GZIP;Q=0.5", &[Gzip]),
            ("x-gzip", &[Gzip]),
            ("br;q=0.1, gzip;q=0.9", &[Gzip, Brotli]),
            ("br;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Gzip]),
            ("*;q=0", &[]),
            ("gzip;q=0, *", &[Brotli]),
            ("identity", &[]),
            ("identity;q=1, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip]),
            ("identity;q=0", &[]),
            ("deflate, zstd", &[]),
            ("gzip;q=x", &[]),
            ("gzip;q=7", &[]),
            ("gzip;q=NaN", &[]),
            (",;,=", &[]),
            ("", &[]),
        ] {
            assert_eq!(accepted(Some(field)).collect::<Vec<_>>(), expected, "{field}");
        }
        assert_eq!(accepted(None).count(), 0);
    }

    #[test]
    fn every_form_is_the_same_text() {
        let text = "shares and blocks ".repeat(300).into_bytes();
        let forms = Forms::of_page(text.clone());
        let mut plain = Vec::new();
        let gzip = forms.get(Encoding::Gzip).unwrap();
        flate2::read::GzDecoder::new(gzip).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, text);
        plain.clear();
        let brotli = forms.get(Encoding::Brotli).unwrap();
        brotli::BrotliDecompress(&mut &brotli[..], &mut plain).unwrap();
        assert_eq!(plain, text);
        assert!(gzip.len() < text.len() / 4 && brotli.len() < text.len() / 4);
        let again = forms.get(Encoding::Gzip).unwrap();
        assert_eq!(again.as_ptr(), gzip.as_ptr(), "made once");
    }

    #[test]
    fn what_would_not_be_shorter_stays_as_it_is() {
        assert_eq!(Forms::of_page(vec![b'a'; ENCODED_BYTES_MIN - 1]).get(Encoding::Gzip), None);
        let mut state = 1u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let forms = Forms::of_page(noise.take(4096).collect());
        assert_eq!(forms.get(Encoding::Gzip), None);
        assert_eq!(forms.get(Encoding::Brotli), None);
    }
}
