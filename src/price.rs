//! Bitcoin's price (`state-and-services.md` §19.1).

/// `services.toml [price]`, when it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceSettings {
    pub url: String,
}
