//! Files served as they are: embedded in the binary, so that a pool is one file to install.

use super::http::{Body, fingerprint};

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type and content.
const FILES: [(&str, &str, &[u8]); 14] = [
    ("/static/app.css", CSS, include_bytes!("../../web/app.css")),
    ("/static/theme.js", SCRIPT, include_bytes!("../../web/theme.js")),
    ("/static/app.js", SCRIPT, include_bytes!("../../web/app.js")),
    ("/static/chart.js", SCRIPT, include_bytes!("../../web/chart.js")),
    ("/static/lookup.js", SCRIPT, include_bytes!("../../web/lookup.js")),
    ("/static/discord.js", SCRIPT, include_bytes!("../../web/discord.js")),
    ("/static/admin.js", SCRIPT, include_bytes!("../../web/admin.js")),
    ("/static/clerk.js", SCRIPT, include_bytes!("../../web/clerk.js")),
    ("/static/uplot.js", SCRIPT, include_bytes!("../../web/vendor/uplot.js")),
    ("/static/uplot.css", CSS, include_bytes!("../../web/vendor/uplot.css")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../../web/favicon.svg")),
    ("/favicon.png", "image/png", include_bytes!("../../web/favicon.png")),
    // Asked for by habit; browsers go by the type, not by the name.
    ("/favicon.ico", "image/png", include_bytes!("../../web/favicon.png")),
    ("/robots.txt", "text/plain; charset=utf-8", include_bytes!("../../web/robots.txt")),
];

pub struct Asset {
    pub path: &'static str,
    pub content_type: &'static str,
    pub body: Body,
    /// Changes with the content: the validator, and the version in [`Asset::url`].
    pub fingerprint: String,
}

impl Asset {
    /// An address that means this very content, and so may be kept for ever.
    pub fn url(&self) -> String {
        format!("{}?{}", self.path, self.version())
    }

    pub fn version(&self) -> String {
        format!("v={}", self.fingerprint)
    }
}

pub struct Assets(Vec<Asset>);

impl Assets {
    pub fn new() -> Self {
        let assets = FILES.into_iter().map(|(path, content_type, bytes)| Asset {
            path,
            content_type,
            body: Body::of_file(bytes),
            fingerprint: fingerprint(bytes),
        });
        Self(assets.collect())
    }

    /// Where a file of `/static/` is, such as `app.css`.
    pub fn url(&self, name: &str) -> String {
        let path = format!("/static/{name}");
        self.find(&path).expect("an embedded file").url()
    }

    pub fn find(&self, path: &str) -> Option<&Asset> {
        self.0.iter().find(|asset| asset.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_paths_are_found() {
        let assets = Assets::new();
        assert!(assets.find("/static/app.css").is_some());
        for path in ["/static/", "/static/../app.css", "/static/%61pp.css", "/overview.html", ""] {
            assert!(assets.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn an_url_names_the_content() {
        let asset = &Assets::new().0[0];
        assert_eq!(
            asset.url(),
            format!("/static/app.css?v={}", fingerprint(asset.body.as_bytes()))
        );
    }
}
