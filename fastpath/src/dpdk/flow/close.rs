//! The end: what is in the devices is taken out, in order.

use super::Flow;
use crate::hardware::program::{IndirectId, Operation, RuleId, TableId};
use crate::hardware::{Error, Steering};
use std::time::{Duration, Instant};

/// How long one step may take; what is left then goes when the port stops.
const PATIENCE: Duration = Duration::from_secs(2);

impl Flow<'_> {
    /// Takes everything out: rules, indirect actions, tables.
    ///
    /// # Errors
    /// The first that the driver refused, or that did not complete; the port's stop destroys what is
    /// left.
    pub fn close(mut self) -> Result<(), Error> {
        self.clear()
    }

    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.drain()?;
        let rules: Vec<(RuleId, u32)> = self.rules.iter().map(|(id, h)| (*id, h.queue)).collect();
        for (id, queue) in rules {
            self.insist(queue, &Operation::Destroy(id))?;
        }
        self.drain()?;
        let each = self.indirects.iter();
        let actions: Vec<(IndirectId, u32)> = each.map(|(id, s)| (*id, s.queue)).collect();
        for (id, queue) in actions {
            self.insist(queue, &Operation::DestroyIndirect(id))?;
        }
        self.drain()?;
        let tables: Vec<TableId> = self.tables.keys().copied().collect();
        tables.into_iter().try_for_each(|t| self.destroy_table(t))
    }

    /// Enqueues, and makes room when the queue is full.
    fn insist(&mut self, queue: u32, operation: &Operation) -> Result<(), Error> {
        match self.enqueue(queue, operation, true, 0) {
            Err(error) if error.is_busy() => {
                self.drain()?;
                self.enqueue(queue, operation, true, 0)
            }
            other => other,
        }
    }

    /// Waits for all that is under way.
    fn drain(&mut self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        let mut done = Vec::new();
        while self.pendings.len() > 0 {
            for queue in 0..self.capabilities.queues {
                self.push(queue)?;
                self.pull(queue, &mut done)?;
            }
            done.clear();
            if Instant::now() > until {
                return Err(Error::new(Error::IO, "operations do not complete"));
            }
        }
        Ok(())
    }
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            log::error!("flow engine: close: {error}");
        }
    }
}
