//! The resources of the contract, as types of the generated bindings, and the numbers of their
//! handles.

/// The number under which a guest holds a resource. It is the resource's representation in Wasm and
/// the key in the [`StageHost`](crate::stage_host::StageHost) that answers the guest.
pub(crate) type Handle = u32;

/// A `table` of the contract.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Table {}

/// A `table-writer`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum TableWriter {}

/// A `blob`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Blob {}

/// A `blob-writer`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum BlobWriter {}

/// A `cursor`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Cursor {}

/// A `model`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Model {}
