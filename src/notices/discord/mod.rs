//! Discord: who is whom there, and what they are told (`state-and-services.md` §13).

mod links;

pub use links::Links;
