//! What must hold of tables and rules whoever executes them. DPDK checks none of it on the fast entry
//! points and mlx5 next to nothing in release builds (v24.11 `lib/ethdev/rte_flow.c:2086`,
//! `mlx5_flow_hw.c:3915`): a wrong index is a write to somewhere else.

use super::{
    Action, ActionsTemplate, Does, Domain, Group, HashFunction, Insertion, LINEAR_TAG, Operation,
    Place, Rule, RuleId, Source, Table, Target, Verb,
};
use std::fmt;

/// A program that no NIC may be asked to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// A table without room, or with more rows than a LINEAR table can have.
    Size(u32),
    /// A table of rows whose number is no power of two: packets of the others would be lost.
    Rows(u32),
    /// A table of rows in the root.
    RowsInRoot,
    /// A LINEAR table that matches fields.
    LinearFields,
    /// A table without or with more than 32 actions templates.
    Templates(usize),
    /// A field is masked and its item is not there, or the mask has bits that the field has not.
    Mask,
    /// Actions that are not in the order of mlx5, or none or two that decide where packets go.
    Order,
    /// An action that the domain does not have.
    Domain,
    /// An action that root tables do not have.
    Root,
    /// A jump to the root.
    JumpToRoot,
    /// A write to what can only be read, or beyond a field's width.
    Modify,
    /// An RSS action without queues.
    NoQueues,
    /// A rule of another table.
    Table,
    /// A rule by index in a table of patterns, or the other way round.
    Place,
    /// An index beyond the table's rows.
    Index(u32),
    /// A rule whose values are not as many as its template's fields, or not under their masks.
    Values,
    /// No such actions template, or other actions than the template's.
    Actions,
    /// An update in a table of rows, or of ranges.
    Update,
}

impl fmt::Display for Misuse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Size(n) => write!(
                out,
                "a table of {n} rules: not a size that a table can have"
            ),
            Misuse::Rows(n) => write!(out, "{n} rows: must be a power of two"),
            Misuse::RowsInRoot => out.write_str("rows by index in the root group"),
            Misuse::LinearFields => out.write_str("a linear table matches no fields"),
            Misuse::Templates(n) => write!(out, "{n} actions templates: must be 1 to 32"),
            Misuse::Mask => out.write_str("a mask of a field whose item is not in the pattern"),
            Misuse::Order => out.write_str("actions out of order, or not one that ends them"),
            Misuse::Domain => out.write_str("an action of another domain"),
            Misuse::Root => out.write_str("an action that the root group does not have"),
            Misuse::JumpToRoot => out.write_str("a jump to the root group"),
            Misuse::Modify => out.write_str("a write beyond a field, or to one that is read only"),
            Misuse::NoQueues => out.write_str("an RSS action without queues"),
            Misuse::Table => out.write_str("a rule of another table"),
            Misuse::Place => out.write_str("a rule by index and by pattern are not the same"),
            Misuse::Index(n) => write!(out, "row {n} is beyond the table"),
            Misuse::Values => out.write_str("values that are not those of the pattern template"),
            Misuse::Actions => out.write_str("actions that are not those of the template"),
            Misuse::Update => out.write_str("rows, and rules with ranges, cannot be updated"),
        }
    }
}

impl std::error::Error for Misuse {}

/// Rows of a LINEAR table: what the 16 bits of its tag can name.
const LINEAR_ROWS: u32 = 1 << 16;

fn ensure(holds: bool, otherwise: Misuse) -> Result<(), Misuse> {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl Table {
    /// Whether the table can be made at all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), Misuse> {
        ensure(self.size != 0, Misuse::Size(0))?;
        if let Insertion::Index(hash) = self.insertion {
            ensure(self.size.is_power_of_two(), Misuse::Rows(self.size))?;
            ensure(self.group != Group(0), Misuse::RowsInRoot)?;
            if hash == HashFunction::Linear {
                ensure(self.size <= LINEAR_ROWS, Misuse::Size(self.size))?;
                ensure(self.pattern.fields.is_empty(), Misuse::LinearFields)?;
            }
        }
        for masked in &self.pattern.fields {
            let has_item = |i| self.pattern.items.contains(i);
            let fits = masked.mask != 0 && masked.mask & !masked.field.full() == 0;
            let item = masked.field.items().iter().any(has_item);
            ensure(fits && item, Misuse::Mask)?;
        }
        let templates = self.actions.len();
        ensure((1..=32).contains(&templates), Misuse::Templates(templates))?;
        self.actions.iter().try_for_each(|t| self.check_template(t))
    }

    fn check_template(&self, template: &ActionsTemplate) -> Result<(), Misuse> {
        let actions = &template.0;
        let ordered = actions
            .windows(2)
            .all(|w| w[0].action.rank() <= w[1].action.rank());
        let fates = actions.iter().filter(|t| t.action.is_fate()).count();
        // What egress rules say nothing of leaves by the wire.
        let ends = fates == 1 || fates == 0 && self.domain == Domain::Egress;
        ensure(ordered && ends, Misuse::Order)?;
        actions
            .iter()
            .try_for_each(|t| self.check_action(&t.action))
    }

    fn check_action(&self, action: &Action) -> Result<(), Misuse> {
        let (domain, root) = (self.domain, self.group == Group(0));
        match action {
            Action::Jump(Group(0)) => Err(Misuse::JumpToRoot),
            Action::Jump(_) => Ok(()),
            Action::Drop => Ok(()),
            Action::Count => ensure(!root, Misuse::Root),
            Action::Mark(_) | Action::Queue(_) => ensure(domain == Domain::Ingress, Misuse::Domain),
            Action::Rss(rss) => {
                ensure(domain == Domain::Ingress, Misuse::Domain)?;
                ensure(!rss.queues.is_empty(), Misuse::NoQueues)
            }
            Action::SendToKernel => {
                ensure(domain == Domain::Ingress, Misuse::Domain)?;
                ensure(!root, Misuse::Root)
            }
            Action::RepresentedPort(_) | Action::ToManager => {
                ensure(domain == Domain::Transfer, Misuse::Domain)?;
                ensure(!root, Misuse::Root)
            }
            Action::Indirect(_) => ensure(domain == Domain::Ingress, Misuse::Domain),
            Action::Modify(modify) => {
                let writable = modify.target != Target::HashResult;
                let end = modify.offset.checked_add(modify.width);
                let fits = end.is_some_and(|end| end <= modify.target.width());
                let from = match modify.source {
                    Source::Value(_) => true,
                    Source::Field(from, offset) => {
                        // Only sets copy.
                        let end = offset.checked_add(modify.width);
                        modify.verb == Verb::Set && end.is_some_and(|end| end <= from.width())
                    }
                };
                let linear = !matches!(modify.target, Target::Tag(LINEAR_TAG)) || !root;
                ensure(writable && fits && from && linear, Misuse::Modify)
            }
        }
    }

    /// Whether `rule` can be put into the table.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_rule(&self, rule: &Rule) -> Result<(), Misuse> {
        ensure(rule.table == self.id, Misuse::Table)?;
        match (&rule.place, self.insertion) {
            (Place::Index(index), Insertion::Index(_)) => {
                ensure(*index < self.size, Misuse::Index(*index))?;
            }
            (Place::Pattern { spec, last }, Insertion::Pattern) => {
                let fields = &self.pattern.fields;
                let ranges = fields.iter().any(|f| f.range);
                let lasts = last.len() == if ranges { fields.len() } else { 0 };
                let under = |(f, v): (&super::Masked, &u128)| v & !f.mask == 0;
                let masked =
                    fields.iter().zip(spec).all(under) && fields.iter().zip(last).all(under);
                ensure(
                    spec.len() == fields.len() && lasts && masked,
                    Misuse::Values,
                )?;
            }
            _ => return Err(Misuse::Place),
        }
        self.check_does(&rule.does)
    }

    /// Whether a rule of the table can do this.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_does(&self, does: &Does) -> Result<(), Misuse> {
        let template = self.actions.get(usize::from(does.template));
        let takes = template.is_some_and(|t| t.takes(&does.actions));
        ensure(takes, Misuse::Actions)?;
        does.actions.iter().try_for_each(|a| self.check_action(a))
    }

    /// Whether a rule of the table can be made to do this instead.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_update(&self, does: &Does) -> Result<(), Misuse> {
        let pattern = self.insertion == Insertion::Pattern;
        let ranges = self.pattern.fields.iter().any(|f| f.range);
        ensure(pattern && !ranges, Misuse::Update)?;
        self.check_does(does)
    }
}

impl Operation {
    /// The rule that it is about, if it is about one.
    pub const fn rule(&self) -> Option<RuleId> {
        match self {
            Operation::Insert(rule) => Some(rule.id),
            Operation::Update(id, _) | Operation::Destroy(id) => Some(*id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Field, Modify, PatternTemplate, Rss, RssFields, TableId};
    use super::*;
    use crate::table::PortId;

    fn table(domain: Domain, group: u32, insertion: Insertion, actions: &[Action]) -> Table {
        Table {
            id: TableId(1),
            port: PortId(0),
            domain,
            group: Group(group),
            priority: 0,
            insertion,
            size: 64,
            pattern: PatternTemplate::flow4(),
            actions: vec![ActionsTemplate::per_rule(actions)],
        }
    }

    const ROWS: Insertion = Insertion::Index(HashFunction::Crc32);

    #[test]
    fn tables_that_no_nic_may_be_asked_for() {
        let jump = [Action::Jump(Group(1))];
        let rows = |group| table(Domain::Ingress, group, ROWS, &jump);
        assert_eq!(rows(1).check(), Ok(()));
        assert_eq!(rows(0).check(), Err(Misuse::RowsInRoot));
        let odd = Table {
            size: 96,
            ..rows(1)
        };
        assert_eq!(odd.check(), Err(Misuse::Rows(96)));
        let mut linear = rows(1);
        linear.insertion = Insertion::Index(HashFunction::Linear);
        assert_eq!(linear.check(), Err(Misuse::LinearFields));
        linear.pattern = PatternTemplate::default();
        assert_eq!(linear.check(), Ok(()));
        linear.size = 1 << 17;
        assert_eq!(linear.check(), Err(Misuse::Size(1 << 17)));
        let mut wide = rows(1);
        wide.pattern.fields[2].mask = 0x100;
        assert_eq!(wide.check(), Err(Misuse::Mask));
        wide.pattern = PatternTemplate::exact(&[super::super::Item::Eth], &[Field::Ipv4Ttl]);
        assert_eq!(wide.check(), Err(Misuse::Mask));
        wide.actions.clear();
        wide.pattern = PatternTemplate::default();
        assert_eq!(wide.check(), Err(Misuse::Templates(0)));
    }

    #[test]
    fn actions_have_an_order_and_their_domains() {
        let check = |domain, group, actions: &[Action]| {
            table(domain, group, Insertion::Pattern, actions).check()
        };
        let (jump, ttl) = (Action::Jump(Group(2)), Modify::decrement(Target::Ipv4Ttl));
        let modify = Action::Modify(ttl);
        use Domain::{Egress, Ingress, Transfer};
        let all = [Action::Count, modify.clone(), Action::Queue(3)];
        assert_eq!(check(Ingress, 1, &all), Ok(()));
        assert_eq!(check(Transfer, 1, &all), Err(Misuse::Domain));
        assert_eq!(check(Ingress, 0, &all), Err(Misuse::Root));
        let swapped = [modify.clone(), Action::Count, jump.clone()];
        assert_eq!(check(Ingress, 1, &swapped), Err(Misuse::Order));
        assert_eq!(check(Ingress, 1, &[Action::Count]), Err(Misuse::Order));
        assert_eq!(check(Egress, 1, std::slice::from_ref(&modify)), Ok(()));
        assert_eq!(check(Ingress, 1, &[jump.clone(), jump]), Err(Misuse::Order));
        let root = [Action::Jump(Group(0))];
        assert_eq!(check(Ingress, 1, &root), Err(Misuse::JumpToRoot));
        let represented = [Action::RepresentedPort(PortId(1))];
        assert_eq!(check(Transfer, 1, &represented), Ok(()));
        assert_eq!(check(Transfer, 0, &represented), Err(Misuse::Root));
        assert_eq!(check(Ingress, 1, &represented), Err(Misuse::Domain));
        let nowhere = Action::Rss(Rss {
            queues: Vec::new(),
            key: None,
            fields: RssFields::Flow,
            symmetric: false,
        });
        assert_eq!(check(Ingress, 1, &[nowhere]), Err(Misuse::NoQueues));
        let mut wrong = ttl;
        wrong.offset = 1;
        let read_only = Modify::set(Target::HashResult, 1);
        for bad in [wrong, read_only] {
            let actions = [Action::Modify(bad), Action::Drop];
            assert_eq!(check(Ingress, 1, &actions), Err(Misuse::Modify));
        }
    }

    #[test]
    fn rules_fit_their_table_or_are_refused() {
        let jump = |group| vec![Action::Jump(Group(group))];
        let rows = table(Domain::Ingress, 1, ROWS, &jump(1));
        let rule = |place, does| Rule {
            id: RuleId(1),
            table: TableId(1),
            place,
            does,
        };
        let does = Does::new(0, jump(7));
        let at = |index| rule(Place::Index(index), does.clone());
        assert_eq!(rows.check_rule(&at(63)), Ok(()));
        assert_eq!(rows.check_rule(&at(64)), Err(Misuse::Index(64)));
        let values = rule(Place::values([1, 2, 3, 4, 5]), does.clone());
        assert_eq!(rows.check_rule(&values), Err(Misuse::Place));
        assert_eq!(rows.check_update(&does), Err(Misuse::Update));
        let patterns = table(Domain::Ingress, 1, Insertion::Pattern, &jump(1));
        assert_eq!(patterns.check_rule(&values), Ok(()));
        assert_eq!(patterns.check_update(&does), Ok(()));
        let few = rule(Place::values([1, 2, 3, 4]), does.clone());
        assert_eq!(patterns.check_rule(&few), Err(Misuse::Values));
        let wide = rule(Place::values([1, 2, 300, 4, 5]), does);
        assert_eq!(patterns.check_rule(&wide), Err(Misuse::Values));
        for does in [Does::new(1, jump(7)), Does::new(0, vec![Action::Drop])] {
            assert_eq!(patterns.check_does(&does), Err(Misuse::Actions));
        }
    }
}
