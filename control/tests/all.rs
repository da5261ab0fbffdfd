//! All tests of the control plane through its public face but those that need a kernel of their own, in
//! one binary: linking one for each file took longer than running them.

mod activity;
mod answers;
mod beginning;
mod bridge;
mod churn;
mod down;
mod drained;
mod events;
mod exposition;
mod failover;
mod flap;
mod foresee;
mod glean;
mod hash;
mod histories;
mod kernel;
mod lab;
mod lives;
mod model;
mod moves;
mod nic;
mod offload;
mod oracle;
mod own;
mod peer;
mod replay;
mod resilient;
mod resize;
mod resync;
mod returns;
mod router;
mod streams;
mod surviving;
mod warm;
mod what_if;
