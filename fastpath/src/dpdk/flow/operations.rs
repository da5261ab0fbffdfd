//! The six operations, each checked before DPDK gets it.

use super::actions::Actions;
use super::items::Pattern;
use super::queue::What;
use super::refusal::Refusal;
use super::{Flow, Held, Shared, invalid, unknown};
use crate::hardware::Error;
use crate::hardware::program::{Action, Does, Domain, Indirect, IndirectId, Place, Rule, RuleId};
use dpdk_sys::{rte_flow_indir_action_conf, rte_flow_op_attr};
use std::slice::from_ref;

/// What was given to DPDK: on which port, and what it is about.
type Taken = Result<(usize, What), Error>;

fn op_attr(postpone: bool) -> rte_flow_op_attr {
    // SAFETY: a plain record for which zeros are valid.
    let mut attr: rte_flow_op_attr = unsafe { std::mem::zeroed() };
    attr.set_postpone(postpone.into());
    attr
}

/// The indirect actions among `actions`.
fn indirects(actions: &[Action]) -> Vec<IndirectId> {
    let id = |action: &Action| match action {
        Action::Indirect(id) => Some(*id),
        _ => None,
    };
    actions.iter().filter_map(id).collect()
}

impl Flow<'_> {
    /// A rule has these indirect actions, too.
    pub(super) fn hold(&mut self, used: &[IndirectId]) {
        for id in used {
            if let Some(shared) = self.indirects.get_mut(id) {
                shared.users += 1;
            }
        }
    }

    pub(super) fn insert(&mut self, queue: u32, rule: &Rule, postpone: bool) -> Taken {
        let (made, row) = self.room(rule)?;
        let at = self.port(made.spec.port)?;
        self.check_depth(at, queue)?;
        let (port, table, number) = (made.port, made.table.as_ptr(), self.pendings.next());
        let (attr, template) = (op_attr(postpone), rule.does.template);
        let (lane, mut refusal) = (self.lane(queue), Refusal::new());
        let made = self.named(at, |names| {
            let actions = Actions::rule(&rule.does.actions, names)?;
            let error = refusal.as_mut();
            Some(match &rule.place {
                Place::Pattern { spec, last } => {
                    let items = Pattern::rule(&made.spec.pattern, spec, last, names.port)?;
                    let (items, actions) = (items.as_ptr(), actions.as_ptr());
                    // SAFETY: the port is open and started, and has the queue; the table is of it
                    // and by pattern; the templates are in range (`Table::check_rule`); both lists
                    // end with END and live as long as the call.
                    unsafe {
                        dpdk_sys::rte_flow_async_create(
                            port, lane, &attr, table, items, 0, actions, template, number, error,
                        )
                    }
                }
                Place::Index(row) => {
                    let actions = actions.as_ptr();
                    // SAFETY: as above, the table by index, and the index within it.
                    unsafe {
                        dpdk_sys::rte_flow_async_create_by_index(
                            port, lane, &attr, table, *row, actions, template, number, error,
                        )
                    }
                }
            })
        });
        let flow = refusal.pointer("rule: insert", made.ok_or_else(unknown)?);
        let flow = flow.map_err(|e| self.judge(at, queue, e))?;
        let uses = indirects(&rule.does.actions);
        self.hold(&uses);
        if let Some(made) = self.tables.get_mut(&rule.table) {
            made.rules += 1;
            made.rows.extend(row);
        }
        let held = Held {
            table: rule.table,
            row,
            flow,
            at,
            queue,
            busy: true,
            ready: false,
            counts: rule.does.actions.contains(&Action::Count),
            uses,
        };
        self.rules.insert(rule.id, held);
        Ok((at, What::Insert(rule.id)))
    }

    pub(super) fn update(&mut self, queue: u32, id: RuleId, does: &Does, postpone: bool) -> Taken {
        let held = self.claim(queue, id)?;
        if !held.ready {
            return invalid(format!("rule {}: was never inserted", id.0));
        }
        if let Some(made) = self.tables.get(&held.table) {
            made.spec.check_update(does)?;
        }
        let (at, flow, number) = (held.at, held.flow.as_ptr(), self.pendings.next());
        self.check_depth(at, queue)?;
        let (port, attr) = (self.ports[at].index, op_attr(postpone));
        let (lane, mut refusal) = (self.lane(queue), Refusal::new());
        let rc = self.named(at, |names| {
            let actions = Actions::rule(&does.actions, names)?;
            let (list, template, error) = (actions.as_ptr(), does.template, refusal.as_mut());
            // SAFETY: the port is open and started, and has the queue; the rule is of it, was
            // inserted, and nothing about it is under way; the template is in range; the list ends
            // with END and lives as long as the call.
            Some(unsafe {
                dpdk_sys::rte_flow_async_actions_update(
                    port, lane, &attr, flow, list, template, number, error,
                )
            })
        });
        let taken = refusal.check("rule: update", rc.ok_or_else(unknown)?);
        taken.map_err(|e| self.judge(at, queue, e))?;
        let uses = indirects(&does.actions);
        self.hold(&uses);
        self.set_busy(id);
        let counts = does.actions.contains(&Action::Count);
        Ok((at, What::Update(id, counts, uses)))
    }

    pub(super) fn destroy(&mut self, queue: u32, id: RuleId, postpone: bool) -> Taken {
        let held = self.claim(queue, id)?;
        let (at, flow, number) = (held.at, held.flow.as_ptr(), self.pendings.next());
        self.check_depth(at, queue)?;
        let (port, attr) = (self.ports[at].index, op_attr(postpone));
        let (lane, mut refusal) = (self.lane(queue), Refusal::new());
        let error = refusal.as_mut();
        // SAFETY: as for an update; a handle whose insertion failed is to be destroyed, too.
        let rc =
            unsafe { dpdk_sys::rte_flow_async_destroy(port, lane, &attr, flow, number, error) };
        let taken = refusal.check("rule: destroy", rc);
        taken.map_err(|e| self.judge(at, queue, e))?;
        self.set_busy(id);
        // From now on its handle is void (`rte_flow_async_destroy`).
        if let Some(held) = self.rules.get_mut(&id) {
            held.ready = false;
        }
        Ok((at, What::Destroy(id)))
    }

    fn set_busy(&mut self, id: RuleId) {
        if let Some(held) = self.rules.get_mut(&id) {
            held.busy = true;
        }
    }

    pub(super) fn insert_indirect(
        &mut self,
        queue: u32,
        indirect: &Indirect,
        postpone: bool,
    ) -> Taken {
        let id = indirect.id;
        if self.indirects.contains_key(&id) {
            return invalid(format!("action {}: there is one already", id.0));
        }
        check_indirect(&indirect.action)?;
        let at = self.port(indirect.port)?;
        self.check_depth(at, queue)?;
        // SAFETY: a plain record for which zeros are valid.
        let mut conf: rte_flow_indir_action_conf = unsafe { std::mem::zeroed() };
        match indirect.domain {
            Domain::Ingress => conf.set_ingress(1),
            Domain::Egress => conf.set_egress(1),
            Domain::Transfer => conf.set_transfer(1),
        }
        let (port, attr) = (self.ports[at].index, op_attr(postpone));
        let number = self.pendings.next();
        let (lane, mut refusal) = (self.lane(queue), Refusal::new());
        let made = self.named(at, |names| {
            let actions = Actions::rule(from_ref(&indirect.action), names)?;
            let (action, error) = (actions.as_ptr(), refusal.as_mut());
            // SAFETY: the port is open and started, and has the queue; the action and what it
            // points to live as long as the call.
            Some(unsafe {
                dpdk_sys::rte_flow_async_action_handle_create(
                    port, lane, &attr, &conf, action, number, error,
                )
            })
        });
        let handle = refusal.pointer("action: insert", made.ok_or_else(unknown)?);
        let handle = handle.map_err(|e| self.judge(at, queue, e))?;
        let shared = Shared {
            action: indirect.action.clone(),
            handle,
            at,
            queue,
            busy: true,
            ready: false,
            users: 0,
        };
        self.indirects.insert(id, shared);
        Ok((at, What::InsertIndirect(id)))
    }

    pub(super) fn update_indirect(
        &mut self,
        queue: u32,
        id: IndirectId,
        action: &Action,
        postpone: bool,
    ) -> Taken {
        let shared = self.claim_indirect(queue, id)?;
        if !shared.ready {
            return invalid(format!("action {}: was never inserted", id.0));
        }
        check_indirect(action)?;
        let (at, handle, number) = (shared.at, shared.handle.as_ptr(), self.pendings.next());
        self.check_depth(at, queue)?;
        let (port, attr) = (self.ports[at].index, op_attr(postpone));
        let (lane, mut refusal) = (self.lane(queue), Refusal::new());
        let rc = self.named(at, |names| {
            let actions = Actions::rule(from_ref(action), names)?;
            let (new, error) = (actions.as_ptr().cast(), refusal.as_mut());
            // SAFETY: the port is open and started, and has the queue; the handle is of it, was
            // inserted, and nothing about it is under way; of RSS the new action is what is given
            // (`rte_flow_action_handle_update`), which lives as long as the call.
            Some(unsafe {
                dpdk_sys::rte_flow_async_action_handle_update(
                    port, lane, &attr, handle, new, number, error,
                )
            })
        });
        let taken = refusal.check("action: update", rc.ok_or_else(unknown)?);
        taken.map_err(|e| self.judge(at, queue, e))?;
        self.set_indirect_busy(id);
        Ok((at, What::UpdateIndirect(id, action.clone())))
    }

    pub(super) fn destroy_indirect(&mut self, queue: u32, id: IndirectId, postpone: bool) -> Taken {
        let shared = self.claim_indirect(queue, id)?;
        if shared.users != 0 {
            let users = shared.users;
            return invalid(format!("action {}: destroy: {users} rules have it", id.0));
        }
        let (at, handle, number) = (shared.at, shared.handle.as_ptr(), self.pendings.next());
        self.check_depth(at, queue)?;
        let (port, attr) = (self.ports[at].index, op_attr(postpone));
        let (lane, mut refusal) = (self.lane(queue), Refusal::new());
        let error = refusal.as_mut();
        // SAFETY: as for an update; no rule has it.
        let rc = unsafe {
            dpdk_sys::rte_flow_async_action_handle_destroy(port, lane, &attr, handle, number, error)
        };
        let taken = refusal.check("action: destroy", rc);
        taken.map_err(|e| self.judge(at, queue, e))?;
        self.set_indirect_busy(id);
        // No rule gets it any more: mlx5 takes it apart at once (`flow_dv_action_destroy`).
        if let Some(shared) = self.indirects.get_mut(&id) {
            shared.ready = false;
        }
        Ok((at, What::DestroyIndirect(id)))
    }

    fn set_indirect_busy(&mut self, id: IndirectId) {
        if let Some(shared) = self.indirects.get_mut(&id) {
            shared.busy = true;
        }
    }
}

/// mlx5 has no other that is of use here, and an update of another is another record.
fn check_indirect(action: &Action) -> Result<(), Error> {
    match action {
        Action::Rss(rss) if !rss.queues.is_empty() => Ok(()),
        _ => Err(Error::new(
            Error::NOT_SUPPORTED,
            "an indirect action that is not RSS, or without queues",
        )),
    }
}
