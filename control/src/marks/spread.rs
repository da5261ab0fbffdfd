//! What the NICs do for software: how they spread packets over workers, and how much they mark.

use crate::api::message::{Offload as View, OffloadMarks, OffloadSpread, OffloadStatus};
use crate::control::Control;
use crate::event::Action;
use crate::nic;
use fastpath::hash::{Field, Settings};
use fastpath::table::LpmWrite;

/// How packets are to be spread where that is not what workers hash by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Seed of the key.
    pub seed: u32,
    /// By ports, too.
    pub ports: bool,
    /// Both directions of a flow to one worker, where the NIC can.
    pub sorted: bool,
}

impl Spread {
    /// As near to `settings` as NICs come.
    pub fn of(settings: &Settings) -> Self {
        let has = |field| settings.fields().has(field);
        Spread {
            seed: settings.seed(),
            ports: has(Field::SourcePort) && has(Field::DestinationPort),
            sorted: settings.is_symmetric(),
        }
    }
}

/// What the ports do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpreadNews {
    /// Each of them.
    pub ports: Vec<OffloadSpread>,
    /// Prefixes that there is room for, if a NIC has said so.
    pub room: Option<usize>,
    /// Whether a NIC marks IPv4, and IPv6, as far as is known.
    pub families: [bool; 2],
}

impl<L: LpmWrite> Control<L> {
    /// What the NICs do for software, from now on.
    pub fn spread(&mut self, news: SpreadNews) {
        if let Some(book) = self.plan.dplane.marks_mut() {
            book.limit(news.room, news.families);
        }
        self.spreading = Some(Box::new(news));
    }

    /// The hash is about to change: where workers hash by nothing that NICs compute, the spread
    /// follows by itself; else it is [`Action::ProgramHash`] that makes it.
    pub(crate) fn spread_anew(&mut self, settings: &Settings) {
        if self.spreading.is_some() && nic::target(settings).is_err() {
            let action = Action::Spread(Spread::of(settings));
            self.actions.push_back(action);
        }
    }

    /// What `show offload` says of it.
    pub(crate) fn show_spread(&self) -> Option<View> {
        let news = self.spreading.as_ref()?;
        Some(View {
            status: OffloadStatus {
                mode: self.config.offload.mode.name().into(),
                state: "sw".into(),
                reasons: vec!["NICs spread packets over workers, who forward them".into()],
                backend: "rss".into(),
                spread: news.ports.clone(),
                marks: self.marked(),
                ..OffloadStatus::default()
            },
            of: None,
        })
    }

    /// Prefixes that NICs mark, and what that saved.
    pub(crate) fn marked(&self) -> Option<OffloadMarks> {
        let (slots, taken, room) = self.plan.dplane.marks()?.counts();
        Some(OffloadMarks {
            slots: slots as u64,
            prefixes: taken as u64,
            room: room as u64,
            lookups_skipped: self.samples.marked(),
        })
    }
}
