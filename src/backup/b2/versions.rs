//! What of the object is in the bucket already. The key may be one that cannot look, so nothing
//! here is needed for an upload.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::sums::Part;
use super::{B2, B2Error};

/// Versions looked at for the newest one: unfinished ones stand among them.
const NEWEST_COUNT: usize = 10;
/// Versions looked at, and so deleted, in one run: as many as B2 lists for the price of one call.
const VERSIONS_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Files {
    files: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    file_id: String,
    file_name: String,
    /// `upload` for one that has bytes; `start` for one that is unfinished; `hide` for none.
    #[serde(default)]
    action: String,
    content_sha1: Option<String>,
    #[serde(default)]
    file_info: BTreeMap<String, String>,
}

impl Version {
    fn has(&self, whole: &Part) -> bool {
        let of_parts = self.file_info.get("large_file_sha1");
        let sums = [self.content_sha1.as_ref(), of_parts];
        self.action == "upload" && sums.into_iter().flatten().any(|sum| *sum == whole.sha1)
    }
}

impl B2 {
    /// Whether the newest version has these bytes; no when B2 does not tell.
    pub(super) fn has(&mut self, whole: &Part) -> bool {
        if !self.may("listFiles") {
            return false;
        }
        match self.versions(NEWEST_COUNT) {
            Ok(versions) => versions
                .iter()
                .find(|version| version.action != "start")
                .is_some_and(|version| version.has(whole)),
            Err(error) => {
                debug!(component = "backup", %error, "B2 does not tell what it has");
                false
            }
        }
    }

    /// Deletes versions beyond the newest `keep`.
    pub(in crate::backup) fn delete_older(&mut self, keep: usize) -> Result<(), B2Error> {
        let versions = self.versions(VERSIONS_MAX)?;
        let older = versions.iter().filter(|version| version.action == "upload").skip(keep);
        let mut count = 0;
        for version in older {
            let body = json!({ "fileName": version.file_name, "fileId": version.file_id });
            let _: Value = self.api("b2_delete_file_version", &body, 1)?;
            count += 1;
        }
        if count > 0 {
            info!(component = "backup", count, "older versions deleted in the bucket");
        }
        Ok(())
    }

    /// Gives up what earlier runs have begun and not finished.
    pub(super) fn cancel_unfinished(&mut self) {
        if !self.may("listFiles") {
            return;
        }
        let Ok(bucket_id) = self.bucket_id() else { return };
        let body = json!({ "bucketId": bucket_id, "namePrefix": self.settings.object });
        match self.api::<Files>("b2_list_unfinished_large_files", &body, 1) {
            Ok(Files { files }) => {
                for file in files.iter().filter(|file| file.file_name == self.settings.object) {
                    self.cancel(&file.file_id);
                }
            }
            Err(error) => debug!(component = "backup", %error, "unfinished files are not known"),
        }
    }

    /// What cannot be cancelled now is before the next large file.
    pub(super) fn cancel(&self, file_id: &str) {
        let body = json!({ "fileId": file_id });
        if let Err(error) = self.api_once::<Value>("b2_cancel_large_file", &body, 1) {
            debug!(component = "backup", %error, "an unfinished file stays in the bucket");
        }
    }

    /// Of the object, newest first.
    fn versions(&mut self, count: usize) -> Result<Vec<Version>, B2Error> {
        let object = self.settings.object.clone();
        let body = json!({
            "bucketId": self.bucket_id()?,
            "startFileName": object,
            "prefix": object,
            "maxFileCount": count,
        });
        let Files { mut files } = self.api("b2_list_file_versions", &body, 1)?;
        // Others may begin with the same name; they come behind it.
        files.retain(|file| file.file_name == object);
        Ok(files)
    }
}
