//! What this program was built as: `BUILD_VERSION` and `BUILD_TIME` of the environment at build time
//! (`config.md` §11.2).

/// `BUILD_VERSION`, such as `v1.2.3`; without it the version of the package.
pub const VERSION: &str = given(option_env!("BUILD_VERSION"), env!("CARGO_PKG_VERSION"));

/// `BUILD_TIME`, in UTC.
pub const TIME: &str = given(option_env!("BUILD_TIME"), "(dev build)");

const fn given(text: Option<&'static str>, otherwise: &'static str) -> &'static str {
    match text {
        Some(text) if !text.is_empty() => text,
        _ => otherwise,
    }
}
