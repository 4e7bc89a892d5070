//! What one place has yet to be told of, as the database has it: found blocks that this process cannot
//! tell are told by the next.

use crate::store::WeakStoreHandle;

/// The list of one place; it keeps no database open.
pub(super) struct Untold {
    pub place: &'static str,
    pub store: WeakStoreHandle,
}

impl Untold {
    /// There they know of it. After the database has been closed they will be told again, which is better
    /// than not at all.
    pub fn strike(&self, hash_hex: &str) {
        if let Some(store) = self.store.upgrade() {
            store.told(self.place, hash_hex);
        }
    }
}
