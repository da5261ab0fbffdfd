//! The software plane: pinned workers that poll, parse, look up, select, rewrite and send.
//!
//! * [`burst`]: owned packets, and what a queue, a frame and a pool are to a worker.

pub mod burst;
