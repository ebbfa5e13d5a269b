//! Console: the focused processor's registers and the code before it, and what the guest has
//! printed on its serial port.

use super::{Context, View};
use crate::screen::draw::{Canvas, grouped};
use crate::screen::export::Table;
use crate::screen::keys::Action;
use crate::screen::snapshot::{Interest, ProcessorPart};
use crate::screen::theme::Role;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use ratatui::layout::Rect;

/// See the module.
#[derive(Default)]
pub struct Console {
    /// Lines that the console is scrolled back by.
    back: usize,
}

const REGISTERS: [&str; 8] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
const SELECTORS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];
const CONTROL: [&str; 4] = ["cr0", "cr2", "cr3", "cr4"];
/// Set bits of EFLAGS that are named, from the manual's figure.
const FLAGS: [(u32, &str); 12] = [
    (17, "VM"),
    (16, "RF"),
    (14, "NT"),
    (11, "OF"),
    (10, "DF"),
    (9, "IF"),
    (8, "TF"),
    (7, "SF"),
    (6, "ZF"),
    (4, "AF"),
    (2, "PF"),
    (0, "CF"),
];

impl View for Console {
    fn name(&self) -> &'static str {
        "Console"
    }

    fn purpose(&self) -> &'static str {
        "a processor's registers and code, the guest's serial port"
    }

    fn interest(&self) -> Interest {
        Interest::PROCESSOR | Interest::CONSOLE
    }

    fn draw(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let registers = Rect { height: 8.min(area.height), ..area };
        let rest = Rect { y: registers.bottom(), height: area.height - registers.height, ..area };
        let (code, console) = if area.width >= 120 {
            let code = Rect { width: area.width / 2, ..rest };
            (code, Rect { x: code.right() + 1, width: rest.width - code.width - 1, ..rest })
        } else {
            let code = Rect { height: rest.height / 2, ..rest };
            (code, Rect { y: code.bottom(), height: rest.height - code.height, ..rest })
        };
        if let Some(p) = &c.snapshot.part.processor {
            draw_registers(c, p, registers, canvas);
            draw_code(p, code, canvas);
        }
        self.draw_console(c, console, canvas);
    }

    fn act(&mut self, action: Action, c: &Context) -> Option<usize> {
        let lines = c.snapshot.part.console.as_ref().map_or(0, |t| t.lines().count());
        self.back = match action {
            Action::Up => self.back + 1,
            Action::Down => self.back.saturating_sub(1),
            Action::PageUp => self.back + 10,
            Action::PageDown => self.back.saturating_sub(10),
            Action::Home => lines,
            Action::End => 0,
            _ => self.back,
        }
        .min(lines.saturating_sub(1));
        None
    }

    fn table(&self, c: &Context) -> Table {
        let mut table = Table::new(&["cpu", "name", "value"]);
        let Some(p) = &c.snapshot.part.processor else { return table };
        let mut line = |name: &str, value: u32| {
            table.row([c.cpu.to_string(), name.to_owned(), format!("{value:#010x}")]);
        };
        REGISTERS.iter().zip(p.registers).for_each(|(n, v)| line(n, v));
        line("eip", p.eip);
        line("eflags", p.flags);
        CONTROL.iter().zip(p.control).for_each(|(n, v)| line(n, v));
        SELECTORS.iter().zip(p.selectors).for_each(|(n, v)| line(n, v.into()));
        for (address, _, text) in disassemble(p, 16) {
            table.row([c.cpu.to_string(), format!("{address:#010x}"), text]);
        }
        table
    }
}

impl Console {
    fn draw_console(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let inner = canvas.section(area, "Serial port of the guest");
        let Some(text) = &c.snapshot.part.console else { return };
        let lines: Vec<_> = text.lines().collect();
        let room = usize::from(inner.height);
        let end = lines.len().saturating_sub(self.back.min(lines.len().saturating_sub(room)));
        for (i, line) in lines[end.saturating_sub(room)..end].iter().enumerate() {
            canvas.put_in(Rect { y: inner.y + i as u16, height: 1, ..inner }, 1, line, Role::Text);
        }
        if lines.is_empty() {
            canvas.put_in(inner, 1, "nothing yet", Role::Faint);
        }
    }
}

fn draw_registers(c: &Context, p: &ProcessorPart, area: Rect, canvas: &mut Canvas) {
    let cpu = c.snapshot.run().cpus.get(c.snapshot.cpu);
    let state = cpu.map_or(String::new(), |v| {
        format!("ring {}, {}, {:?}, cycle {}", v.ring, v.activity.name(), v.state, grouped(p.clock))
            .to_lowercase()
    });
    let inner = canvas.section(area, &format!("Processor {}: {state}", c.snapshot.cpu));
    let mut line = Rect { height: 1, ..inner };
    let mut pairs = |names: &[&str], values: &[String], line: Rect| {
        let mut dx = 1;
        for (name, value) in names.iter().zip(values) {
            dx = canvas.put_in(line, dx, name, Role::Faint) + 1;
            dx = canvas.put_in(line, dx, value, Role::Text) + 2;
        }
    };
    let hex = |values: &[u32]| values.iter().map(|v| format!("{v:08x}")).collect::<Vec<_>>();
    pairs(&REGISTERS[..4], &hex(&p.registers[..4]), line);
    line.y += 1;
    pairs(&REGISTERS[4..], &hex(&p.registers[4..]), line);
    line.y += 1;
    let set: Vec<_> = FLAGS.iter().filter(|(bit, _)| p.flags >> bit & 1 != 0).map(|(_, n)| *n).collect();
    pairs(
        &["eip", "eflags"],
        &[format!("{:08x}", p.eip), format!("{:08x} {}", p.flags, set.join(" "))],
        line,
    );
    line.y += 1;
    pairs(&CONTROL, &hex(&p.control), line);
    line.y += 1;
    pairs(&SELECTORS, &p.selectors.map(|s| format!("{s:04x}")), line);
    line.y += 1;
    let vectors = |set: &[u8]| {
        let set: Vec<_> = set.iter().map(|v| format!("{v:02x}")).collect();
        if set.is_empty() { "none".into() } else { set.join(" ") }
    };
    pairs(&["APIC requests", "in service"], &[vectors(&p.vectors.0), vectors(&p.vectors.1)], line);
    line.y += 1;
    pairs(&["stack"], &[hex(&p.stack).join(" ")], line);
}

fn draw_code(p: &ProcessorPart, area: Rect, canvas: &mut Canvas) {
    let inner = canvas.section(area, &format!("Code, {} bit", p.bits));
    let lines = disassemble(p, usize::from(inner.height));
    if lines.is_empty() {
        canvas.put_in(inner, 1, "not mapped", Role::Warning);
    }
    for (i, (address, bytes, text)) in lines.iter().enumerate() {
        let line = Rect { y: inner.y + i as u16, height: 1, ..inner };
        let role = if i == 0 { Role::Chosen } else { Role::Text };
        canvas.put_in(line, 1, &format!("{address:08x}"), if i == 0 { Role::Key } else { Role::Faint });
        canvas.put_in(line, 11, bytes, Role::Faint);
        canvas.put_in(line, 30, text, role);
    }
}

/// Address, bytes and text of the instructions that come next.
fn disassemble(p: &ProcessorPart, most: usize) -> Vec<(u32, String, String)> {
    let mut decoder = Decoder::with_ip(p.bits, &p.code, u64::from(p.linear), DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    let mut lines = Vec::new();
    while decoder.can_decode() && lines.len() < most {
        let at = decoder.position();
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let bytes = p.code[at..decoder.position()].iter();
        let mut hex: String = bytes.map(|b| format!("{b:02x}")).collect();
        if hex.len() > 18 {
            hex.truncate(16);
            hex.push_str("..");
        }
        lines.push((instruction.ip32(), hex, text));
    }
    lines
}
