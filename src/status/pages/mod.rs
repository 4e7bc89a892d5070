//! HTML pages, rendered here so that they are complete without JavaScript. The templates are in
//! `web/`; an operator may put others in their place.

mod chart;
mod frame;
mod functions;
mod overview;
mod public;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;

use minijinja::value::Value;
use minijinja::{Environment, Error, context};

pub use chart::{Chart, spark};
pub use frame::Frame;
pub use overview::{HOST_PLACEHOLDER, odds};
pub use public::{Facts, Page};

use super::assets::Assets;

/// Every template and what it is made of.
pub struct Pages(Environment<'static>);

/// Those in the binary, by the names under which an operator may put others in their place.
const EMBEDDED: [(&str, &str); 32] = [
    ("layout.html", include_str!("../../../web/layout.html")),
    ("parts.html", include_str!("../../../web/parts.html")),
    ("overview.html", include_str!("../../../web/overview.html")),
    ("pool.html", include_str!("../../../web/pool.html")),
    ("blocks.html", include_str!("../../../web/blocks.html")),
    ("node.html", include_str!("../../../web/node.html")),
    ("server.html", include_str!("../../../web/server.html")),
    ("about.html", include_str!("../../../web/about.html")),
    ("help.html", include_str!("../../../web/help.html")),
    ("privacy.html", include_str!("../../../web/privacy.html")),
    ("terms.html", include_str!("../../../web/terms.html")),
    ("lookup.html", include_str!("../../../web/lookup.html")),
    ("search.html", include_str!("../../../web/search.html")),
    ("worker.html", include_str!("../../../web/worker.html")),
    ("worker_message.html", include_str!("../../../web/worker_message.html")),
    ("saved_workers.html", include_str!("../../../web/saved_workers.html")),
    ("discord.html", include_str!("../../../web/discord.html")),
    ("error.html", include_str!("../../../web/error.html")),
    ("admin_base.html", include_str!("../../../web/admin_base.html")),
    ("admin_login.html", include_str!("../../../web/admin_login.html")),
    ("admin_settings.html", include_str!("../../../web/admin_settings.html")),
    ("admin_config.html", include_str!("../../../web/admin_config.html")),
    ("admin_logs.html", include_str!("../../../web/admin_logs.html")),
    ("admin.html", include_str!("../../../web/admin.html")),
    ("admin_parts.html", include_str!("../../../web/admin_parts.html")),
    ("admin_miners.html", include_str!("../../../web/admin_miners.html")),
    ("sign_in.html", include_str!("../../../web/sign_in.html")),
    ("admin_strangers.html", include_str!("../../../web/admin_strangers.html")),
    ("admin_accounts.html", include_str!("../../../web/admin_accounts.html")),
    ("admin_bans.html", include_str!("../../../web/admin_bans.html")),
    ("admin_operator.html", include_str!("../../../web/admin_operator.html")),
    ("admin_stopping.html", include_str!("../../../web/admin_stopping.html")),
];

/// Why an operator's pages are not used.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    #[error("cannot read {name}: {source}")]
    Unreadable { name: &'static str, source: io::Error },
    #[error("{name} cannot be used: {source}")]
    Unusable { name: &'static str, source: Error },
}

impl Pages {
    pub fn embedded(assets: &Assets) -> Self {
        Self::parse(assets, EMBEDDED.map(|(name, source)| (name, source.to_owned())))
            .expect("embedded templates parse, as tests see")
    }

    /// Those of `folder`, and those of the binary where it has none.
    pub fn load(assets: &Assets, folder: &Path) -> Result<Self, PagesError> {
        let mut sources = EMBEDDED.map(|(name, source)| (name, source.to_owned()));
        for (name, source) in &mut sources {
            match fs::read_to_string(folder.join(*name)) {
                Ok(text) => *source = text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(PagesError::Unreadable { name, source }),
            }
        }
        Self::parse(assets, sources)
    }

    fn parse(
        assets: &Assets,
        sources: [(&'static str, String); EMBEDDED.len()],
    ) -> Result<Self, PagesError> {
        let mut templates = Environment::new();
        for (name, text) in sources {
            templates
                .add_template_owned(name, text)
                .map_err(|source| PagesError::Unusable { name, source })?;
        }
        functions::add(&mut templates, assets);
        Ok(Self(templates))
    }

    /// Renders a template: `frame` is what all pages have around them, `page` what is its own.
    pub fn render(&self, template: &str, frame: &Frame, page: Value) -> Result<String, Error> {
        self.0.get_template(template)?.render(context! { frame, ..page })
    }
}
