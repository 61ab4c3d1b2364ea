//! The long chaos test, against containers.

fn main() {}
