//! Reader of MOO files: captured single instructions, in chunks.
//!
//! A chunk is a four-letter name, its length (u32) and its payload, all little-endian. `TEST` holds the chunks of
//! one case; of these `INIT` and `FINA` hold the state before and what differs after. Registers come as a mask and a
//! value for each bit set, 16 bits wide (`REGS`, 80286) or 32 (`RG32`, 80386). Unknown chunks are passed over.
//! (Format of the SingleStepTests suites.)

const NAMES16: [&str; 14] =
    ["ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags"];
const NAMES32: [&str; 20] = [
    "cr0", "cr3", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "cs", "ds", "es", "fs", "gs", "ss",
    "eip", "eflags", "dr6", "dr7",
];

/// Registers by name.
pub type Registers = Vec<(&'static str, u32)>;

/// Registers and memory, all before, or those that have changed after.
#[derive(Debug, Default)]
pub struct State {
    pub registers: Registers,
    /// Bits of registers that are defined, where the file says so.
    pub defined: Registers,
    pub memory: Vec<(u32, u8)>,
}

#[derive(Debug, Default)]
pub struct Case {
    pub name: String,
    /// The instruction's bytes; the last is a `hlt`.
    pub bytes: Vec<u8>,
    pub before: State,
    pub after: State,
    /// Vector, and about where the flags were pushed.
    pub exception: Option<(u8, u32)>,
}

#[derive(Debug, Default)]
pub struct File {
    pub cases: Vec<Case>,
    /// Bits of registers that are defined in the whole file.
    pub defined: Registers,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("a chunk is cut short")?;
        self.0 = rest;
        Ok(head)
    }

    /// A little-endian number of `n` bytes.
    fn number(&mut self, n: usize) -> Result<u32, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b)))
    }

    fn chunk(&mut self) -> Result<Option<(&'a [u8], Reader<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = self.take(4)?;
        let len = self.number(4)? as usize;
        Ok(Some((name, Reader(self.take(len)?))))
    }

    fn counted(&mut self) -> Result<&'a [u8], String> {
        let n = self.number(4)? as usize;
        self.take(n)
    }

    /// A mask and a value of `width` bytes for each bit set.
    fn registers(&mut self, names: &[&'static str], width: usize) -> Result<Registers, String> {
        let mask = self.number(width)?;
        if mask.checked_shr(names.len() as u32).unwrap_or(0) != 0 {
            return Err(format!("register mask {mask:#x} names more than {} registers", names.len()));
        }
        let here = names.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 != 0);
        here.map(|(_, name)| Ok((*name, self.number(width)?))).collect()
    }

    fn state(&mut self) -> Result<State, String> {
        let mut state = State::default();
        while let Some((name, mut r)) = self.chunk()? {
            match name {
                b"REGS" => state.registers = r.registers(&NAMES16, 2)?,
                b"RG32" => state.registers = r.registers(&NAMES32, 4)?,
                b"RMSK" => state.defined = r.registers(&NAMES16, 2)?,
                b"RM32" => state.defined = r.registers(&NAMES32, 4)?,
                b"RAM " => {
                    let n = r.number(4)?;
                    state.memory = (0..n)
                        .map(|_| Ok((r.number(4)?, r.number(1)? as u8)))
                        .collect::<Result<_, String>>()?;
                }
                _ => {}
            }
        }
        Ok(state)
    }

    fn case(&mut self) -> Result<Case, String> {
        let mut case = Case::default();
        self.number(4)?;
        while let Some((name, mut r)) = self.chunk()? {
            match name {
                b"NAME" => case.name = String::from_utf8_lossy(r.counted()?).trim().to_owned(),
                b"BYTS" => case.bytes = r.counted()?.to_vec(),
                b"INIT" => case.before = r.state()?,
                b"FINA" => case.after = r.state()?,
                b"EXCP" => case.exception = Some((r.number(1)? as u8, r.number(4)?)),
                _ => {}
            }
        }
        Ok(case)
    }
}

/// The cases of a file.
pub fn read(bytes: &[u8]) -> Result<File, String> {
    let mut reader = Reader(bytes);
    let mut file = File::default();
    let mut announced = None;
    while let Some((name, mut r)) = reader.chunk()? {
        match name {
            b"MOO " => {
                r.take(4)?;
                announced = Some(r.number(4)? as usize);
            }
            b"TEST" => file.cases.push(r.case()?),
            b"RMSK" => file.defined = r.registers(&NAMES16, 2)?,
            b"RM32" => file.defined = r.registers(&NAMES32, 4)?,
            _ => {}
        }
    }
    match announced {
        None => Err("no MOO chunk".into()),
        Some(n) if n != file.cases.len() => Err(format!("{} cases, {n} announced", file.cases.len())),
        Some(_) => Ok(file),
    }
}

#[test]
fn chunks_are_taken_apart_and_damage_is_told() {
    let chunk = |name: &[u8], payload: &[u8]| [name, &(payload.len() as u32).to_le_bytes(), payload].concat();
    let registers = chunk(b"REGS", &[0x01, 0x20, 0x34, 0x12, 0x02, 0x00]);
    let memory = chunk(b"RAM ", &[1, 0, 0, 0, 0x78, 0x56, 0x01, 0x00, 0xab]);
    let init = chunk(b"INIT", &[registers, chunk(b"NONE", &[1, 2, 3]), memory].concat());
    let bytes = chunk(b"BYTS", &[2, 0, 0, 0, 0x90, 0xf4]);
    let test = chunk(b"TEST", &[&[0; 4][..], &bytes, &init, &chunk(b"EXCP", &[13, 6, 0, 0, 0])].concat());
    let head = |n: u8| chunk(b"MOO ", &[1, 0, 0, 0, n, 0, 0, 0, b'C', b'2', b'8', b'6']);
    let file = read(&[head(1), test.clone()].concat()).expect("a file");
    let case = &file.cases[0];
    assert_eq!(case.bytes, [0x90, 0xf4]);
    assert_eq!(case.before.registers, [("ax", 0x1234), ("flags", 2)]);
    assert_eq!(case.before.memory, [(0x1_5678, 0xab)]);
    assert_eq!(case.exception, Some((13, 6)));
    assert!(read(&[head(2), test.clone()].concat()).unwrap_err().contains("announced"));
    assert!(read(&test[..test.len() - 1]).unwrap_err().contains("cut short"));
}
