//! The operator's password as `admin.toml` keeps it: as Argon2id, and as the SHA-256 that files of
//! earlier versions have. Both take a thread's time, the first one some 20 ms and 19 MiB of memory.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::entropy;

/// RFC 9106 §3.1 recommends 128 bits.
const SALT_BYTES: usize = 16;
/// What OWASP asks for at least: 19 MiB, two passes, one lane. Files may ask for more.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// What a file may ask for at most: a slip of the pen must not take all memory of the machine.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;

/// What a password is compared with: the best that there is of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Kept {
    /// A PHC string: `$argon2id$v=19$m=…`.
    Argon2id(String),
    /// 64 hex digits.
    Sha256(String),
    Plain(String),
    /// Nothing: no password is right.
    None,
}

impl Kept {
    /// Of what a file has; blank is nothing. A hash wins over the password itself.
    pub fn of(argon2id: &str, sha256: &str, plain: &str) -> Self {
        if !argon2id.is_empty() {
            Self::Argon2id(argon2id.to_owned())
        } else if !sha256.is_empty() {
            Self::Sha256(sha256.to_ascii_lowercase())
        } else if !plain.is_empty() {
            Self::Plain(plain.to_owned())
        } else {
            Self::None
        }
    }

    /// Whether it is this password. What cannot be read is nobody's.
    pub fn is(&self, password: &str) -> bool {
        let is_same = match self {
            Self::Argon2id(phc) => return is_argon2id(phc, password),
            Self::Sha256(hex) => hex.as_bytes().ct_eq(sha256(password).as_bytes()),
            Self::Plain(plain) => plain.as_bytes().ct_eq(password.as_bytes()),
            Self::None => return false,
        };
        !password.is_empty() && bool::from(is_same)
    }
}

/// Which kind it is, and nothing more.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Argon2id(_) => "Argon2id",
            Self::Sha256(_) => "Sha256",
            Self::Plain(_) => "Plain",
            Self::None => "None",
        })
    }
}

/// In hex.
pub fn sha256(password: &str) -> String {
    const_hex::encode(Sha256::digest(password.as_bytes()))
}

/// With a salt of its own, as a PHC string.
pub fn argon2id(password: &str) -> String {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("within what Argon2 allows");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt: [u8; SALT_BYTES] = entropy::bytes();
    let hash: PasswordHash = argon2
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("a salt of 16 bytes and a password below 4 GiB");
    hash.to_string()
}

fn is_argon2id(phc: &str, password: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    let Ok(params) = Params::try_from(&hash) else { return false };
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
        return false;
    }
    // The hash says which kind of Argon2 and how much of it.
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_whichever_of_its_hashes_is_best() {
        let phc = argon2id("correct horse");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, argon2id("correct horse"), "each has a salt of its own");
        let stale = sha256("battery staple");
        for (kept, right, wrong) in [
            (Kept::of(&phc, &stale, "plain"), "correct horse", "battery staple"),
            (Kept::of("", &stale.to_ascii_uppercase(), "plain"), "battery staple", "plain"),
            (Kept::of("", "", "plain"), "plain", "plain "),
        ] {
            assert!(kept.is(right) && !kept.is(wrong) && !kept.is(""), "{kept:?}");
        }
    }

    #[test]
    fn what_is_not_there_or_cannot_be_read_is_nobodys_password() {
        for kept in [
            Kept::of("", "", ""),
            Kept::of("", &sha256(""), ""),
            Kept::of("$argon2id$v=19$broken", &sha256("x"), "x"),
            Kept::of("$argon2id$v=19$m=4000000000,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "", ""),
            Kept::of("x", "", "x"),
        ] {
            assert!(!kept.is("x") && !kept.is(""), "{kept:?}");
        }
    }

    #[test]
    fn a_hash_that_others_have_made_is_read() {
        // Of the reference implementation's own tests: version 19, `password`, `somesalt`.
        let kept = Kept::Argon2id(
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
                .to_owned(),
        );
        assert!(kept.is("password") && !kept.is("Password"));
    }
}
