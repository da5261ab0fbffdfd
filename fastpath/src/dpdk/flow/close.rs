//! The end: what is in the devices is taken out, in order.

use super::Flow;
use crate::hardware::program::{Operation, TableId};
use crate::hardware::{Error, Steering};
use std::time::{Duration, Instant};

/// How long one step may take; what is left then goes when the port stops.
const PATIENCE: Duration = Duration::from_secs(2);

impl Flow<'_> {
    /// Takes everything out: rules, indirect actions, tables.
    ///
    /// # Errors
    /// The first thing that the driver refused, or that did not complete; the rest is taken out all
    /// the same, and the port's stop destroys what is left.
    pub fn close(mut self) -> Result<(), Error> {
        self.clear()
    }

    pub(super) fn clear(&mut self) -> Result<(), Error> {
        let mut all = self.drain();
        let rules = self.rules.iter();
        let rules = rules.map(|(id, h)| (h.queue, Operation::Destroy(*id)));
        all = all.and(self.take_out(rules.collect()));
        let actions = self.indirects.iter();
        let actions = actions.map(|(id, s)| (s.queue, Operation::DestroyIndirect(*id)));
        all = all.and(self.take_out(actions.collect()));
        let tables: Vec<TableId> = self.tables.keys().copied().collect();
        let tables = tables.into_iter().map(|t| self.destroy_table(t));
        tables.fold(all, Result::and)
    }

    /// Enqueues all of it, makes room when a queue is full, and waits for the end.
    fn take_out(&mut self, operations: Vec<(u32, Operation)>) -> Result<(), Error> {
        let mut all = Ok(());
        for (queue, operation) in operations {
            let mut taken = self.enqueue(queue, &operation, true, 0);
            if taken.as_ref().is_err_and(Error::is_busy) {
                // If there will be no room, there is none for the others either.
                all = all.and(self.drain());
                if self.pendings.len() > 0 {
                    return all;
                }
                taken = self.enqueue(queue, &operation, true, 0);
            }
            all = all.and(taken);
        }
        all.and(self.drain())
    }

    /// Waits for all that is under way.
    fn drain(&mut self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        let (mut all, mut done) = (Ok(()), Vec::new());
        while self.pendings.len() > 0 {
            for queue in 0..self.capabilities.queues {
                let heard = self.push(queue);
                all = all.and(heard).and(self.pull(queue, &mut done));
            }
            done.clear();
            if Instant::now() > until {
                return Err(Error::new(Error::IO, "operations do not complete"));
            }
        }
        all
    }
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            log::error!("flow engine: close: {error}");
            // Something of ours is in the devices, and may complete yet: nobody else may hear of it.
            for port in &mut self.ports {
                std::mem::forget(port.given.take());
            }
        }
    }
}
