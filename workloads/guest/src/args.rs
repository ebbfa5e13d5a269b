//! The `key=value` words of a load.
//!
//! Each load has a table of the keys that it takes. A key that is not in it, a
//! value outside its range or a word without `=` prints one line that names
//! the word and says what is accepted.

use core::fmt;

use crate::say;

/// What stands for a key that is not given.
#[derive(Clone, Copy)]
pub enum Standard {
    /// This number.
    Number(u32),
    /// This number for each processor.
    PerCpu(u32),
}

/// What a key accepts.
#[derive(Clone, Copy)]
pub enum Accepted {
    /// A decimal number in this range.
    Range(u32, u32),
    /// The same, and a multiple of four: bytes that are whole words.
    Words(u32, u32),
    /// One of these words; its value is the place in the list.
    OneOf(&'static [&'static str]),
}

/// A key of a load.
pub struct Key {
    /// What stands before the `=`.
    pub name: &'static str,
    standard: Standard,
    accepted: Accepted,
}

/// Most keys that a load may have.
const MOST: usize = 16;

impl Key {
    /// A key with a number in `least..=most`.
    pub const fn number(name: &'static str, standard: u32, least: u32, most: u32) -> Key {
        Key { name, standard: Standard::Number(standard), accepted: Accepted::Range(least, most) }
    }

    /// A key with a number of bytes, a multiple of four in `least..=most`.
    pub const fn words(name: &'static str, standard: u32, least: u32, most: u32) -> Key {
        Key { name, standard: Standard::Number(standard), accepted: Accepted::Words(least, most) }
    }

    /// A key with a number in `least..=most`, `each` for each processor when not given.
    pub const fn per_cpu(name: &'static str, each: u32, least: u32, most: u32) -> Key {
        Key { name, standard: Standard::PerCpu(each), accepted: Accepted::Range(least, most) }
    }

    /// A key with one of some words; the first stands when it is not given.
    pub const fn choice(name: &'static str, words: &'static [&'static str]) -> Key {
        Key { name, standard: Standard::Number(0), accepted: Accepted::OneOf(words) }
    }

    /// `tasks=`: processes at work, two for each processor when not given.
    pub const TASKS: Key = Key::per_cpu("tasks", 2, 1, 1024);

    fn value(&self, text: &str) -> Option<u32> {
        match self.accepted {
            Accepted::Range(least, most) => number(text).filter(|n| (least..=most).contains(n)),
            Accepted::Words(least, most) => number(text).filter(|n| (least..=most).contains(n) && n % 4 == 0),
            Accepted::OneOf(words) => words.iter().position(|word| *word == text).map(|at| at as u32),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.accepted {
            Accepted::Range(least, most) => write!(f, "{least} to {most}"),
            Accepted::Words(least, most) => write!(f, "a multiple of 4, {least} to {most}"),
            Accepted::OneOf(words) => list(f, words.iter().copied()),
        }
    }
}

/// The keys of a load with their values.
pub struct Values {
    keys: &'static [Key],
    values: [u32; MOST],
    cpus: u32,
}

impl Values {
    /// Reads the words. An error has been printed.
    pub fn parse<'a>(
        keys: &'static [Key],
        words: impl Iterator<Item = &'a str>,
        cpus: u32,
    ) -> Result<Values, ()> {
        let mut values = [0; MOST];
        for (value, key) in values.iter_mut().zip(keys) {
            *value = match key.standard {
                Standard::Number(number) => number,
                Standard::PerCpu(each) => each.saturating_mul(cpus.max(1)),
            };
        }
        for word in words {
            let (name, text) = word.split_once('=').unwrap_or((word, ""));
            let Some(at) = keys.iter().position(|key| key.name == name) else {
                say!("guest: no key in `{}`: one of {}", word, Keys(keys));
                return Err(());
            };
            let Some(value) = keys[at].value(text) else {
                say!("guest: `{}`: {} takes {}", word, name, keys[at]);
                return Err(());
            };
            values[at] = value;
        }
        Ok(Values { keys, values, cpus })
    }

    /// Processors of the machine.
    pub fn cpus(&self) -> u32 {
        self.cpus
    }

    /// The value of a key; naming a key that is not in the load's table is a bug.
    pub fn get(&self, name: &str) -> u32 {
        match self.keys.iter().position(|key| key.name == name) {
            Some(at) => self.values[at],
            None => panic!("the load has no key {name}"),
        }
    }
}

/// A decimal number, digits only.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u32, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

struct Keys(&'static [Key]);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.iter().map(|key| key.name))
    }
}

fn list<'a>(f: &mut fmt::Formatter<'_>, words: impl Iterator<Item = &'a str>) -> fmt::Result {
    for (i, word) in words.enumerate() {
        f.write_str(if i == 0 { "" } else { ", " })?;
        f.write_str(word)?;
    }
    Ok(())
}
