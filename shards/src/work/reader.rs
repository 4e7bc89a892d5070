//! Reading Bitcoin's serialisation. Lengths come from the network, so none is believed before its
//! bytes are there.

/// The bytes that are left.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

/// The data ends before it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data ends early")]
pub struct Truncated;

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Bytes behind their own CompactSize.
    pub fn take_sized(&mut self) -> Result<&'a [u8], Truncated> {
        let size = self.compact_size()?;
        self.take(usize::try_from(size).map_err(|_| Truncated)?)
    }

    /// Bitcoin's CompactSize.
    pub fn compact_size(&mut self) -> Result<u64, Truncated> {
        let width = match self.take(1)?[0] {
            small @ 0..=0xfc => return Ok(u64::from(small)),
            0xfd => 2,
            0xfe => 4,
            0xff => 8,
        };
        self.number(width)
    }

    /// A little-endian integer of up to eight bytes.
    ///
    /// # Panics
    /// When `width` is more than eight: the caller's bug.
    pub fn number(&mut self, width: usize) -> Result<u64, Truncated> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(bytes))
    }
}
