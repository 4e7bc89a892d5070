//! What pages say of the pool beside its figures: the settings that are for people.

/// Who mines here must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Password {
    /// Anything will do.
    #[default]
    None,
    /// This one, which everybody may see.
    Public(String),
    /// One that the operator tells.
    Secret,
}

/// The settings that pages show; texts that are not set are empty.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub brand_name: String,
    /// The host that miners and people come to.
    pub domain: String,
    pub tagline: String,
    pub location: String,
    /// Who runs the pool, and how they are reached.
    pub operator_name: String,
    pub operator_contact: String,
    /// Added to the heading of the connect panel, and where that leads.
    pub connect_extra: String,
    pub connect_extra_url: String,
    pub github_url: String,
    pub discord_url: String,
    /// An address is put behind it; ends with a slash. Empty where there is no such page.
    pub address_url: String,
    /// To say thanks with; no payout uses it.
    pub donation_address: String,
    pub password: Password,
    pub payout_address: String,
    pub operator_donation: Option<OperatorDonation>,
    pub difficulty_min: f64,
    /// 0 for no limit, as above.
    pub difficulty_max: f64,
    pub target_shares_per_min: f64,
    pub keeps_suggested_difficulty: bool,
    /// What blocked clients call themselves, each once, sorted.
    pub blocked_clients: Vec<String>,
    pub connections_max: usize,
    /// Connections a second, and at once; none for as they come.
    pub accepts: Option<(f64, f64)>,
    pub has_json: bool,
}

/// A part of the pool's fee that goes elsewhere.
#[derive(Clone, Debug, Default)]
pub struct OperatorDonation {
    /// Of the fee.
    pub percent: f64,
    pub address: String,
    pub name: String,
    pub url: String,
}
