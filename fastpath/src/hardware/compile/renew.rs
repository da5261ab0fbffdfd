//! When tables can be renewed that have rules which nobody can change any more.

use super::super::program::TableId;
use super::Compiler;
use super::frame::LPM;

impl Compiler {
    /// Renews the tables that ask for it: those of the door at once, since what they do not let in
    /// the rule behind them hands to software; all others when nobody is let in.
    pub(super) fn renew(&mut self) {
        let asked = self.ledger.asked();
        if asked.is_empty() {
            return;
        }
        let shut = self.is_shut();
        for table in asked {
            if shut || self.is_of_the_door(table) {
                self.ledger.renew(table);
            }
        }
    }

    fn is_of_the_door(&self, table: TableId) -> bool {
        let mut admits = self.frame.admits.iter().flatten();
        admits.any(|id| self.ledger.table_of(*id) == Some(table)) || self.is_of_own(table)
    }

    /// Nobody is let in, by any rule of the door.
    fn is_shut(&self) -> bool {
        let each = self.frame.admits.iter().zip(LPM);
        let mut each = each.flat_map(|(cells, group)| cells.iter().map(move |id| (id, group)));
        each.all(|(id, group)| self.ledger.avoids(*id, group))
    }
}
