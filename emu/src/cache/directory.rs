//! Who holds which line: the directory of the coherence protocol.
//!
//! As long as one processor alone has lines of a frame the directory keeps one
//! word for it; from the second processor on each line has its own state.
//!
//! | state of a line | holders | may be written by its holder |
//! |---|---|---|
//! | invalid | none | - |
//! | exclusive (MESI's E and M, which cost the same to take over) | one | yes |
//! | shared | any number | no |

/// Lines in a frame.
const LINES: usize = 64;

/// What the directory knows of a line, seen from one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The other processors that hold it, one bit each.
    pub others: u64,
    /// The processor itself holds it.
    pub mine: bool,
    /// Its only holder may write it.
    pub exclusive: bool,
    /// Until this cycle the line is on its way to its last taker.
    pub ready: u64,
}

#[derive(Clone, Debug, Default)]
enum Frame {
    /// Nobody has touched it.
    #[default]
    Untouched,
    /// One processor alone holds lines of it, each exclusive.
    Sole { cpu: u8, held: u64 },
    /// Several have.
    Several(Box<Several>),
}

#[derive(Clone, Debug)]
struct Several {
    holders: [u64; LINES],
    ready: [u64; LINES],
    exclusive: u64,
}

/// The states of all lines of the touched frames.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// By slot in the RAM arena.
    frames: Vec<Frame>,
}

/// Slot and line within its frame, of a tag.
fn place(tag: u32) -> (usize, usize) {
    ((tag >> 6) as usize, (tag & 63) as usize)
}

impl Directory {
    fn frame(&mut self, slot: usize) -> &mut Frame {
        if slot >= self.frames.len() {
            self.frames.resize(slot + 1, Frame::Untouched);
        }
        &mut self.frames[slot]
    }

    /// The state of a line, seen from processor `me`.
    pub fn view(&self, tag: u32, me: usize) -> View {
        let (slot, line) = place(tag);
        let bit = 1u64 << (me & 63);
        match self.frames.get(slot) {
            None | Some(Frame::Untouched) => View { others: 0, mine: false, exclusive: false, ready: 0 },
            Some(Frame::Sole { cpu, held }) => {
                let held = held >> line & 1 != 0;
                let mine = held && usize::from(*cpu) == me;
                let others = if held && !mine { 1 << (cpu & 63) } else { 0 };
                View { others, mine, exclusive: held, ready: 0 }
            }
            Some(Frame::Several(s)) => View {
                others: s.holders[line] & !bit,
                mine: s.holders[line] & bit != 0,
                exclusive: s.exclusive >> line & 1 != 0,
                ready: s.ready[line],
            },
        }
    }

    /// Processor `me` now holds the line, alone and exclusively or with the others. `ready`: when it has it, if it
    /// came from another processor.
    pub fn take(&mut self, tag: u32, me: usize, alone: bool, ready: Option<u64>) {
        let (slot, line) = place(tag);
        let bit = 1u64 << (me & 63);
        let frame = self.frame(slot);
        match frame {
            Frame::Untouched => *frame = Frame::Sole { cpu: me as u8, held: 1 << line },
            Frame::Sole { cpu, held } if usize::from(*cpu) == me || *held == 0 => {
                *cpu = me as u8;
                *held |= 1 << line;
            }
            Frame::Sole { cpu, held } => {
                let mut s = Box::new(Several { holders: [0; LINES], ready: [0; LINES], exclusive: *held });
                for (i, h) in s.holders.iter_mut().enumerate() {
                    *h = (*held >> i & 1) << (*cpu & 63);
                }
                *frame = Frame::Several(s);
                self.take(tag, me, alone, ready);
            }
            Frame::Several(s) => {
                s.holders[line] = if alone { bit } else { s.holders[line] | bit };
                let single = s.holders[line] == bit;
                s.exclusive = s.exclusive & !(1 << line) | u64::from(single) << line;
                if let Some(cycle) = ready {
                    s.ready[line] = cycle;
                }
            }
        }
    }

    /// Processor `me` evicted the line.
    pub fn drop(&mut self, tag: u32, me: usize) {
        let (slot, line) = place(tag);
        match self.frames.get_mut(slot) {
            Some(Frame::Sole { cpu, held }) if usize::from(*cpu) == me => *held &= !(1 << line),
            Some(Frame::Several(s)) => {
                s.holders[line] &= !(1 << (me & 63));
                if s.holders[line] == 0 {
                    s.exclusive &= !(1 << line);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(d: &Directory, tag: u32) -> u64 {
        (0..4).filter(|&c| d.view(tag, c).mine).fold(0, |m, c| m | 1 << c)
    }

    #[test]
    fn a_frame_of_one_processor_stays_one_word_until_another_comes() {
        let mut d = Directory::default();
        d.take(64, 1, false, None);
        d.take(65, 1, true, None);
        assert!(matches!(d.frames[1], Frame::Sole { cpu: 1, held: 3 }));
        assert_eq!(d.view(64, 1), View { others: 0, mine: true, exclusive: true, ready: 0 });
        assert_eq!(d.view(64, 0), View { others: 2, mine: false, exclusive: true, ready: 0 });
        d.take(64, 0, false, Some(70));
        assert_eq!(d.view(64, 0), View { others: 2, mine: true, exclusive: false, ready: 70 });
        assert_eq!(
            d.view(65, 0),
            View { others: 2, mine: false, exclusive: true, ready: 0 },
            "the others stay"
        );
    }

    #[test]
    fn a_writer_is_alone() {
        let mut d = Directory::default();
        for cpu in 0..4 {
            d.take(5, cpu, false, None);
        }
        assert_eq!(holders(&d, 5), 0xf);
        d.take(5, 2, true, Some(9));
        assert_eq!(holders(&d, 5), 4);
        assert!(d.view(5, 2).exclusive);
    }

    #[test]
    fn an_evicted_line_is_nobodys_and_its_frame_can_change_hands() {
        let mut d = Directory::default();
        d.take(7, 3, true, None);
        d.drop(7, 3);
        assert_eq!(d.view(7, 0).others, 0);
        d.take(7, 0, true, None);
        assert!(matches!(d.frames[0], Frame::Sole { cpu: 0, held: 128 }), "taken over whole");
        d.take(7, 1, false, None);
        d.drop(7, 0);
        d.drop(7, 1);
        assert_eq!(holders(&d, 7), 0);
        assert!(!d.view(7, 2).exclusive);
    }
}
