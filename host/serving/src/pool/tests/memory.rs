//! Where the memory of rows is freed.

use std::sync::mpsc::{Sender, channel};
use std::thread::ThreadId;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, Buffer};
use axum::body::Bytes;

use super::*;

/// The memory of a column, which tells by whom it is freed.
struct Traced {
    bits: [u8; 1],
    freed_by: Sender<ThreadId>,
}

impl AsRef<[u8]> for Traced {
    fn as_ref(&self) -> &[u8] {
        &self.bits
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.freed_by.send(std::thread::current().id());
    }
}

#[test]
fn the_rows_of_a_request_are_freed_by_the_thread_that_asks() {
    let world = Arc::new(World::default());
    let pool = pool(&world, PoolOptions::default());
    let (freed_by, freed) = channel();
    let bits = Buffer::from(Bytes::from_owner(Traced { bits: [1], freed_by }));
    let columns: [(&str, ArrayRef); 2] = [
        ("x", Arc::new(Float64Array::from(vec![1.5]))),
        ("traced", Arc::new(BooleanArray::new(BooleanBuffer::new(bits, 0, 1), None))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("two columns");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert_eq!(runtime.block_on(pool.predict(rows)).expect("it answers"), [3.0]);
    assert_eq!(freed.try_recv(), Ok(std::thread::current().id()));
}
