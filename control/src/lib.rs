//! The control plane of evenpath: typed events in, commits out.
#![forbid(unsafe_code)]
