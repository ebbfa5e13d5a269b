//! What a shootdown is at, on which processor and from when to when; with its marks and colours.

use crate::screen::draw::Canvas;
use crate::screen::theme::Role;
use ratatui::style::Style;
use shootdown_abi::Activity;
use shootdown_workloads::timeline::Shootdown;

/// What a shootdown is at on one processor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Call,
    Wait,
    Return,
    Way,
    Pending,
    Entry,
    Handler,
}

impl Phase {
    pub(super) const ALL: [Phase; 7] =
        [Phase::Call, Phase::Wait, Phase::Return, Phase::Way, Phase::Pending, Phase::Entry, Phase::Handler];

    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Call => "call",
            Phase::Wait => "wait",
            Phase::Return => "return",
            Phase::Way => "on its way",
            Phase::Pending => "pending",
            Phase::Entry => "entry",
            Phase::Handler => "handler",
        }
    }

    pub(super) fn mark(self, canvas: &Canvas) -> &'static str {
        match self {
            Phase::Call | Phase::Return => canvas.theme.pick("▒", "%"),
            Phase::Wait => "~",
            Phase::Way => canvas.theme.pick("─", "-"),
            Phase::Pending => canvas.theme.pick("░", ":"),
            Phase::Entry => canvas.theme.pick("▓", "e"),
            Phase::Handler => canvas.theme.pick("█", "H"),
        }
    }

    pub(super) fn style(self, canvas: &Canvas) -> Style {
        let theme = canvas.theme;
        match self {
            Phase::Call | Phase::Return => theme.activity(Activity::FlushInit),
            Phase::Wait => theme.activity(Activity::AckWait),
            Phase::Way => theme.style(Role::Text),
            Phase::Pending => theme.style(Role::Series(4)),
            Phase::Entry | Phase::Handler => theme.activity(Activity::IpiHandler),
        }
    }
}

/// Letters of moments.
pub(super) const POINTS: [(char, &str); 6] = [
    ('S', "send"),
    ('>', "arrival"),
    ('E', "entry"),
    ('I', "invalidate"),
    ('A', "acknowledge"),
    ('R', "return"),
];

/// Stretches of a shootdown: processor, from, to (`None`: not over), what.
pub(super) fn phases(s: &Shootdown) -> Vec<(usize, u64, Option<u64>, Phase)> {
    let mut all = Vec::new();
    let sent = s.messages.first().map(|m| m.sent);
    let waits = s.waiting.or(sent);
    all.push((s.cpu, s.begun, waits.or(s.done), Phase::Call));
    if let Some(from) = waits {
        all.push((s.cpu, from, s.answered.or(s.done), Phase::Wait));
    }
    if let Some(from) = s.answered {
        all.push((s.cpu, from, s.done, Phase::Return));
    }
    for m in &s.messages {
        for d in &m.deliveries {
            all.push((d.cpu, m.sent, d.arrived, Phase::Way));
            let Some(arrived) = d.arrived else { continue };
            all.push((d.cpu, arrived, d.taken, Phase::Pending));
            let Some(taken) = d.taken else { continue };
            all.push((d.cpu, taken, d.begun, Phase::Entry));
            if let Some(begun) = d.begun {
                all.push((d.cpu, begun, d.acknowledged, Phase::Handler));
            }
        }
    }
    all
}

/// Moments of a shootdown: processor, cycle, letter.
pub(super) fn points(s: &Shootdown) -> Vec<(usize, u64, char)> {
    let mut all: Vec<_> = s.messages.iter().map(|m| (s.cpu, m.sent, 'S')).collect();
    all.extend(s.own.last.map(|at| (s.cpu, at, 'I')));
    all.extend(s.done.map(|at| (s.cpu, at, 'R')));
    for d in s.deliveries() {
        let told = [(d.arrived, '>'), (d.taken, 'E'), (d.dropped.last, 'I'), (d.acknowledged, 'A')];
        all.extend(told.into_iter().filter_map(|(at, letter)| Some((d.cpu, at?, letter))));
    }
    all
}

/// When the last thing of a shootdown that is known of happened.
pub(super) fn last(s: &Shootdown) -> u64 {
    let ends = s.deliveries().filter_map(|d| d.acknowledged.or(d.taken).or(d.arrived));
    ends.chain(s.done).chain(s.answered).chain(s.messages.last().map(|m| m.sent)).max().unwrap_or(s.begun)
}
