//! The audit: every change of a model, in a chain of hashes.
//!
//! Each entry's hash covers the entry and the hash before it, so that editing, removing or
//! reordering an entry breaks the chain at that place. The last hash, the head, is kept apart, so
//! that removing the last entries shows too. Whoever can write the database can forge a whole new
//! chain. The head that `stagewright audit verify` prints, and that every promotion writes beside
//! the model it promotes, reveals such a chain.
//!
//! Each entry also records the state of its model and its version after the change ([`details`]).
//! A verification compares the tables with that ([`verification`]) and names what was changed
//! without an entry.
//!
//! Triggers of the database refuse to change or remove entries. Entries name models by text, so
//! that they outlive them.

mod details;
mod difference;
mod entry;
mod page;
mod verification;

pub use difference::AuditDifference;
pub use entry::AuditEntry;
pub(super) use entry::{COLUMNS, NewEntry, append, append_old, entry, record_all};
pub use page::{AuditPage, AuditSearch};
pub use verification::AuditCheck;
