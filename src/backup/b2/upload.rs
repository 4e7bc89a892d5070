//! One copy on its way: whole, or in parts when it is large.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::debug;

use super::sums::{self, Part, Sums};
use super::{ANSWER_BYTES_MAX, B2, B2Error, TRIES};
use crate::outgoing::{Call, Payload};

const CONTENT_TYPE: &str = "application/octet-stream";
/// A larger file goes in parts, even if B2 should recommend larger ones.
const PART_BYTES_MAX: u64 = 100_000_000;
/// As many parts as a file may have.
const PARTS_MAX: u64 = 10_000;
/// Bytes in a second on a line that is still taken for one that works.
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;
/// What may stand in a name as it is: what RFC 3986 does not reserve, and the folders.
const IN_NAMES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backup) struct Done {
    pub(in crate::backup) bytes: u64,
    /// The newest version in the bucket had the same bytes, so none were sent.
    pub(in crate::backup) was_there: bool,
}

/// Where bytes are to be sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    upload_url: String,
    authorization_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    content_sha1: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    file_id: String,
}

/// How to ask for a place, and what stands in the head of what is sent there.
struct Sending<'a> {
    call: &'static str,
    place_call: &'static str,
    place_body: Value,
    headers: Vec<(&'static str, String)>,
    part: &'a Part,
}

/// A part of a file, read while it is sent, and no further when the pool stops or the time is up.
struct Slice<'a> {
    b2: &'a B2,
    rest: io::Take<&'a mut File>,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.b2.check_stop().map_err(io::Error::other)?;
        self.rest.read(buffer)
    }
}

impl B2 {
    /// Makes the file the newest version of the object. [`B2::connect`] has been called.
    pub(in crate::backup) fn upload(&mut self, file: &mut File) -> Result<Done, B2Error> {
        let part_bytes = self.part_bytes(file.metadata()?.len())?;
        let sums = sums::of(file, part_bytes)?;
        let bytes = sums.whole.bytes;
        // It may be there although nobody knows: an answer was lost, or the pool was killed.
        if self.has(&sums.whole) {
            return Ok(Done { bytes, was_there: true });
        }
        if sums.parts.len() > 1 {
            self.upload_large(file, &sums)?;
        } else {
            self.upload_whole(file, &sums.whole)?;
        }
        Ok(Done { bytes, was_there: false })
    }

    fn part_bytes(&self, file_bytes: u64) -> Result<u64, B2Error> {
        let account = self.account()?;
        let wanted = account.part_bytes.min(PART_BYTES_MAX);
        Ok(wanted.max(account.part_bytes_min).max(file_bytes.div_ceil(PARTS_MAX)).max(1))
    }

    fn upload_whole(&mut self, file: &mut File, whole: &Part) -> Result<(), B2Error> {
        let name = utf8_percent_encode(&self.settings.object, IN_NAMES).to_string();
        let sending = Sending {
            call: "b2_upload_file",
            place_call: "b2_get_upload_url",
            place_body: json!({ "bucketId": self.bucket_id()? }),
            headers: vec![("X-Bz-File-Name", name), ("Content-Type", CONTENT_TYPE.to_owned())],
            part: whole,
        };
        self.send(file, &sending, |b2| b2.has(whole))
    }

    fn upload_large(&mut self, file: &mut File, sums: &Sums) -> Result<(), B2Error> {
        // What was begun before a crash is paid for as long as it is there.
        self.cancel_unfinished();
        let body = json!({
            "bucketId": self.bucket_id()?,
            "fileName": self.settings.object,
            "contentType": CONTENT_TYPE,
            // B2 sums up parts only; this is where its own tools put the sum of the whole.
            "fileInfo": { "large_file_sha1": sums.whole.sha1 },
        });
        let started: Started = self.api("b2_start_large_file", &body, TRIES)?;
        let result = self.send_parts(file, sums, &started.file_id);
        if result.is_err() {
            self.cancel(&started.file_id);
        }
        result
    }

    fn send_parts(&mut self, file: &mut File, sums: &Sums, file_id: &str) -> Result<(), B2Error> {
        for (index, part) in sums.parts.iter().enumerate() {
            let sending = Sending {
                call: "b2_upload_part",
                place_call: "b2_get_upload_part_url",
                place_body: json!({ "fileId": file_id }),
                headers: vec![("X-Bz-Part-Number", (index + 1).to_string())],
                part,
            };
            // A part that is sent again takes the place of the one before.
            self.send(file, &sending, |_| false)?;
        }
        let hashes: Vec<&str> = sums.parts.iter().map(|part| &*part.sha1).collect();
        let body = json!({ "fileId": file_id, "partSha1Array": hashes });
        let _: Value = self.api("b2_finish_large_file", &body, TRIES)?;
        Ok(())
    }

    /// Sends bytes, to another place after each failure. `has_arrived` is asked after a failure
    /// that may have come after the work: a second version would be one too many.
    fn send(
        &mut self,
        file: &mut File,
        sending: &Sending<'_>,
        has_arrived: impl Fn(&mut Self) -> bool,
    ) -> Result<(), B2Error> {
        let mut tries = 1;
        loop {
            let place: Place = self.api(sending.place_call, &sending.place_body, TRIES)?;
            let url = self.checked_url(sending.place_call, &place.upload_url)?;
            let error = match self.send_to(&url, &place.authorization_token, file, sending) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.check_stop()?;
            if error.leaves_it_open() && has_arrived(self) {
                return Ok(());
            }
            if tries == TRIES || !error.is_of_the_place() {
                return Err(error);
            }
            debug!(component = "backup", call = sending.call, %error, "sent again elsewhere");
            if error.asks_for_a_pause() {
                self.pause(error, tries)?;
            }
            tries += 1;
        }
    }

    fn send_to(
        &self,
        url: &str,
        token: &str,
        file: &mut File,
        sending: &Sending<'_>,
    ) -> Result<(), B2Error> {
        let part = sending.part;
        file.seek(SeekFrom::Start(part.from))?;
        let mut slice = Slice { b2: self, rest: Read::take(file, part.bytes) };
        let on_the_way = Duration::from_secs(part.bytes / SLOWEST_BYTES_PER_SECOND);
        let body = Payload::Stream(&mut slice, part.bytes);
        let timeout = self.limit.left(self.patience.upload + on_the_way);
        let call = Call::post(url, body, timeout, ANSWER_BYTES_MAX)
            .with("Authorization", token)
            .with("X-Bz-Content-Sha1", part.sha1.as_str());
        let call = sending
            .headers
            .iter()
            .fold(call, |call, (name, value)| call.with(name, value.as_str()));
        let answer = self.outgoing.call(call);
        let taken: Taken = self.read(sending.call, answer)?;
        // What was verified is said plainly; anything else is not what was sent.
        if taken.content_sha1 == part.sha1 {
            Ok(())
        } else {
            Err(B2Error::OtherBytes { call: sending.call })
        }
    }
}
