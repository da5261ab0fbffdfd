//! Tables and their templates: made and destroyed at once, in DPDK's order.

use super::actions::{Actions, Names};
use super::items::Pattern;
use super::refusal::Refusal;
use crate::hardware::Error;
use crate::hardware::program::{Domain, HashFunction, Insertion, Table};
use dpdk_sys::{
    rte_flow_actions_template, rte_flow_actions_template_attr, rte_flow_pattern_template,
    rte_flow_pattern_template_attr, rte_flow_table_hash_func as hash,
    rte_flow_table_insertion_type as insertion, rte_flow_template_table,
    rte_flow_template_table_attr,
};
use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// A table, and what has been put into it.
pub(super) struct Made {
    pub(super) spec: Table,
    /// DPDK's number of its port.
    pub(super) port: u16,
    pub(super) table: NonNull<rte_flow_template_table>,
    /// They go after the table, and if it stays they do: the port's stop destroys both.
    templates: ManuallyDrop<Templates>,
    /// Rules, those included that failed and were not destroyed.
    pub(super) rules: u32,
    /// Rows that have one.
    pub(super) rows: HashSet<u32>,
}

/// Templates of a port; destroyed with this.
struct Templates {
    port: u16,
    pattern: NonNull<rte_flow_pattern_template>,
    actions: Vec<NonNull<rte_flow_actions_template>>,
}

impl Drop for Templates {
    fn drop(&mut self) {
        for template in &self.actions {
            let mut refusal = Refusal::new();
            // SAFETY: made on this port; the table that used it, if one was made, is gone.
            let rc = unsafe {
                let template = template.as_ptr();
                dpdk_sys::rte_flow_actions_template_destroy(self.port, template, refusal.as_mut())
            };
            if let Err(error) = refusal.check("actions template: destroy", rc) {
                log::warn!("port {}: {error}", self.port);
            }
        }
        let mut refusal = Refusal::new();
        // SAFETY: as above.
        let rc = unsafe {
            let template = self.pattern.as_ptr();
            dpdk_sys::rte_flow_pattern_template_destroy(self.port, template, refusal.as_mut())
        };
        if let Err(error) = refusal.check("pattern template: destroy", rc) {
            log::warn!("port {}: {error}", self.port);
        }
    }
}

/// Sets the one bit of a record that says which domain it is of.
macro_rules! in_domain {
    ($record:expr, $domain:expr) => {
        match $domain {
            Domain::Ingress => $record.set_ingress(1),
            Domain::Egress => $record.set_egress(1),
            Domain::Transfer => $record.set_transfer(1),
        }
    };
}

impl Templates {
    fn new(spec: &Table, port: u16, names: Names<'_>) -> Result<Templates, Error> {
        // SAFETY: a plain record for which zeros are valid.
        let mut attr: rte_flow_pattern_template_attr = unsafe { std::mem::zeroed() };
        attr.set_relaxed_matching(spec.pattern.relaxed.into());
        in_domain!(attr, spec.domain);
        let pattern = Pattern::template(&spec.pattern);
        let mut refusal = Refusal::new();
        // SAFETY: the port exists; the items end with END and live as long as the call.
        let made = unsafe {
            let items = pattern.as_ptr();
            dpdk_sys::rte_flow_pattern_template_create(port, &attr, items, refusal.as_mut())
        };
        let mut templates = Templates {
            port,
            pattern: refusal.pointer("pattern template: create", made)?,
            actions: Vec::with_capacity(spec.actions.len()),
        };
        // SAFETY: a plain record for which zeros are valid.
        let mut attr: rte_flow_actions_template_attr = unsafe { std::mem::zeroed() };
        in_domain!(attr, spec.domain);
        for template in &spec.actions {
            let (actions, masks) = Actions::template(template, names).ok_or_else(unknown)?;
            let mut refusal = Refusal::new();
            let (actions, masks) = (actions.as_ptr(), masks.as_ptr());
            // SAFETY: the port exists; both lists are as long, end with END, and live as long as
            // the call.
            let made = unsafe {
                dpdk_sys::rte_flow_actions_template_create(
                    port,
                    &attr,
                    actions,
                    masks,
                    refusal.as_mut(),
                )
            };
            let made = refusal.pointer("actions template: create", made)?;
            templates.actions.push(made);
        }
        Ok(templates)
    }
}

/// A name that nothing has.
pub(super) fn unknown() -> Error {
    Error::new(
        Error::NOT_FOUND,
        "it names a port or an indirect action that there is not",
    )
}

impl Made {
    /// Makes the templates and the table on `port`. The table was checked.
    pub(super) fn new(spec: &Table, port: u16, names: Names<'_>) -> Result<Made, Error> {
        let templates = Templates::new(spec, port, names)?;
        // SAFETY: a plain record for which zeros are valid.
        let mut attr: rte_flow_template_table_attr = unsafe { std::mem::zeroed() };
        attr.flow_attr.group = spec.group.0;
        attr.flow_attr.priority = spec.priority;
        in_domain!(attr.flow_attr, spec.domain);
        attr.nb_flows = spec.size;
        (attr.insertion_type, attr.hash_func) = match spec.insertion {
            Insertion::Pattern => (
                insertion::RTE_FLOW_TABLE_INSERTION_TYPE_PATTERN,
                hash::RTE_FLOW_TABLE_HASH_FUNC_DEFAULT,
            ),
            Insertion::Index(HashFunction::Crc32) => (
                insertion::RTE_FLOW_TABLE_INSERTION_TYPE_INDEX,
                hash::RTE_FLOW_TABLE_HASH_FUNC_CRC32,
            ),
            Insertion::Index(HashFunction::Linear) => (
                insertion::RTE_FLOW_TABLE_INSERTION_TYPE_INDEX,
                hash::RTE_FLOW_TABLE_HASH_FUNC_LINEAR,
            ),
        };
        let mut patterns = [templates.pattern.as_ptr()];
        let mut actions: Vec<_> = templates.actions.iter().map(|t| t.as_ptr()).collect();
        let mut refusal = Refusal::new();
        // SAFETY: the port exists; all templates are of it; as many as are announced are read (at
        // most 32 of actions, `Table::check`).
        let made = unsafe {
            dpdk_sys::rte_flow_template_table_create(
                port,
                &attr,
                patterns.as_mut_ptr(),
                1,
                actions.as_mut_ptr(),
                actions.len() as u8,
                refusal.as_mut(),
            )
        };
        Ok(Made {
            spec: spec.clone(),
            port,
            table: refusal.pointer("template table: create", made)?,
            templates: ManuallyDrop::new(templates),
            rules: 0,
            rows: HashSet::new(),
        })
    }

    /// Destroys the empty table, then its templates. On failure it is given back.
    pub(super) fn destroy(self) -> Result<(), (Box<Made>, Error)> {
        let mut refusal = Refusal::new();
        // SAFETY: made on this port, and without rules.
        let rc = unsafe {
            let table = self.table.as_ptr();
            dpdk_sys::rte_flow_template_table_destroy(self.port, table, refusal.as_mut())
        };
        match refusal.check("template table: destroy", rc) {
            Ok(_) => {
                drop(ManuallyDrop::into_inner(self.templates));
                Ok(())
            }
            Err(error) => Err((Box::new(self), error)),
        }
    }

    /// What the device computes for a packet with these values.
    pub(super) fn hash(&self, values: &[u128], names: Names<'_>) -> Result<u32, Error> {
        let fields = &self.spec.pattern.fields;
        if self.spec.insertion != Insertion::Index(HashFunction::Crc32)
            || values.len() != fields.len()
        {
            let why = "not a table of rows by CRC-32, or not its values";
            return Err(Error::new(Error::INVALID, why));
        }
        // The driver does not apply the masks.
        let each = values.iter().zip(fields);
        let masked: Vec<u128> = each.map(|(value, f)| value & f.mask).collect();
        let pattern = Pattern::rule(&self.spec.pattern, &masked, &[], names.port);
        let pattern = pattern.ok_or_else(unknown)?;
        let (mut found, mut refusal) = (0, Refusal::new());
        // SAFETY: the table is of this port; the items end with END and live as long as the call.
        let rc = unsafe {
            dpdk_sys::rte_flow_calc_table_hash(
                self.port,
                self.table.as_ptr(),
                pattern.as_ptr(),
                0,
                &mut found,
                refusal.as_mut(),
            )
        };
        refusal.check("hash of a table", rc)?;
        Ok(found)
    }
}
