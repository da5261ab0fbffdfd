//! `evenpath`: composition root.
fn main() {}
