//! What calc cannot answer, in words.

use crate::answer::error;
use crate::api::message::Error;
use crate::control::Control;
use fastpath::table::LpmWrite;
use std::net::IpAddr;

/// There is no port `name`.
pub(super) fn no_port<L: LpmWrite>(control: &Control<L>, name: &str) -> Error {
    let ports = &control.plan.ports;
    let names: Vec<&str> = ports.all().map(|p| ports.name(p)).collect();
    let remedy = format!("ports are {}", names.join(", "));
    let object = format!("port {name}");
    error(object, "calc", "no such port".into(), Some(&remedy))
}

pub(super) fn wrong(object: &str, state: &str) -> Error {
    error(
        object.into(),
        "calc",
        format!("it is {state} already"),
        None,
    )
}

pub(super) fn unknown(via: IpAddr) -> Error {
    let remedy = Some("`evenpath show nexthop` lists them");
    let cause = "no route has such a next hop".into();
    error(format!("nexthop {via}"), "calc", cause, remedy)
}

pub(super) fn no_group(what: &str) -> Error {
    let cause = "the flow's route has no next hops".into();
    error(what.into(), "calc", cause, None)
}
