//! Port 0xE9, the debug console of Bochs and QEMU: a byte written appears on the
//! host; a read gives the port's own number, by which a guest finds it there.
//!
//! It is no part of the guest's console: a guest that prints on both ports
//! would be seen twice. As mostly nobody asks for it, only its end is kept.

/// What a read gives.
pub(super) const READ: u8 = 0xe9;

/// So many bytes are kept at least.
const KEPT: usize = 64 << 10;

/// What was written and not taken yet.
#[derive(Clone, Debug, Default)]
pub(super) struct DebugPort {
    output: Vec<u8>,
}

impl DebugPort {
    pub fn write(&mut self, value: u8) {
        // Cut at twice the size, so that a byte costs the same whatever was written before.
        if self.output.len() >= 2 * KEPT {
            self.output.drain(..KEPT);
        }
        self.output.push(value);
    }

    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let mut port = DebugPort::default();
        for i in 0..1_000_000_u32 {
            port.write(i as u8);
        }
        let output = port.take();
        assert!((KEPT..=2 * KEPT).contains(&output.len()), "{}", output.len());
        assert!(output.iter().rev().zip((0..1_000_000_u32).rev()).all(|(&byte, i)| byte == i as u8));
        assert_eq!(port.take(), b"");
    }
}
