//! What a run is: the six stages in order; knows no Wasm.
