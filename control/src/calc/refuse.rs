//! What calc cannot answer, in words.

use crate::answer::error;
use crate::api::message::Error;
use crate::control::Control;
use fastpath::table::{GroupId, LpmWrite};
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

/// The rules of groups are not one flow's.
pub(super) fn rules() -> Error {
    let remedy = Some("leave out the flow, and ask with --group all");
    let cause = "they change tables of groups".into();
    error("rules of groups".into(), "calc", cause, remedy)
}

pub(super) fn only_alone() -> Error {
    let cause = "they are asked about with no other change".into();
    error("rules of groups".into(), "calc", cause, None)
}

pub(super) fn no_group_of(id: GroupId) -> Error {
    let remedy = Some("`evenpath show group` lists them");
    let cause = "there is no such group".into();
    error(format!("group {}", id.0), "calc", cause, remedy)
}
