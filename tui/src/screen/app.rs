//! The state of the screen: which view, what is focused, what lies on top; what an action does
//! to it, and how it is drawn. Knows neither terminal nor thread: what is to be done by others
//! it hands out as [`Effect`]s.

use super::draw::{self, Canvas};
use super::engine::{Command, Look, Pace, Setup, Step};
use super::export;
use super::form::{Form, Verdict};
use super::keys::{self, Action};
use super::palette::{Palette, Prompt};
use super::session::SPEEDS;
use super::snapshot::Snapshot;
use super::theme::{Depth, Role, Theme};
use super::view::{self, Context, View};
use super::watch::StopAt;
use anyhow::{Result, bail};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyEvent, KeyEventKind, MouseButton, MouseEventKind};
use ratatui::layout::{Position, Rect};
use std::path::PathBuf;
use std::sync::Arc;

/// The least size in which anything is shown.
pub const LEAST: (u16, u16) = (60, 15);

/// Something for others to do.
#[derive(Debug)]
pub enum Effect {
    /// For the engine.
    Command(Command),
    /// How fast to run.
    Speed(Option<u64>),
    /// Leave.
    Quit,
}

/// What lies on top of the view.
enum Overlay {
    None,
    Form(Box<Form>),
    Palette(Palette),
    /// A line that is asked for.
    Prompt(Prompt),
}

/// See the module.
pub struct App {
    views: Vec<Box<dyn View>>,
    /// The shown one.
    current: usize,
    /// Where help was called from.
    before_help: usize,
    overlay: Overlay,
    theme: Theme,
    snapshot: Option<Arc<Snapshot>>,
    run: usize,
    cpu: usize,
    speed: usize,
    stop_at: StopAt,
    /// A message at the bottom.
    message: Option<String>,
    /// The last notice of the engine that was shown.
    heard: u64,
    /// Instructions for each second of the host, where a clock is looked at.
    pub host_speed: Option<f64>,
    /// Where things were drawn, for the mouse.
    tabs: Vec<(Rect, usize)>,
    body: Rect,
    /// Counts files written, for their names.
    files: usize,
    directory: PathBuf,
}

impl App {
    /// A screen that shows nothing yet.
    pub fn new(theme: Theme, speed: Option<u64>, stop_at: StopAt, directory: PathBuf) -> App {
        App {
            views: view::all(),
            current: 0,
            before_help: 0,
            overlay: Overlay::None,
            theme,
            snapshot: None,
            run: 0,
            cpu: 0,
            speed: SPEEDS.iter().position(|s| *s == speed).unwrap_or(SPEEDS.len() - 1),
            stop_at,
            message: None,
            heard: 0,
            host_speed: None,
            tabs: Vec::new(),
            body: Rect::ZERO,
            files: 0,
            directory,
        }
    }

    /// Turns to the screen of this name, in small letters.
    pub fn open(&mut self, name: &str) -> Result<()> {
        let names: Vec<_> = self.views.iter().map(|v| v.name().to_lowercase()).collect();
        let Some(screen) = names.iter().position(|n| n == name) else {
            bail!("--screen: no screen '{name}'; accepted are {}", names.join(", "));
        };
        self.turn_to(screen);
        Ok(())
    }

    /// What frames are to show.
    pub fn look(&self) -> Look {
        Look { run: self.run, cpu: self.cpu, interest: self.views[self.current].interest() }
    }

    /// The snapshot that is drawn from now on.
    pub fn show(&mut self, snapshot: Arc<Snapshot>) {
        if self.snapshot.as_ref().is_none_or(|s| s.generation != snapshot.generation) {
            self.cpu = self.cpu.min(snapshot.run().cpus.len().saturating_sub(1));
        }
        // A stop may have chosen another run.
        self.run = snapshot.shown;
        if let Some((number, text)) = &snapshot.notice
            && *number != self.heard
        {
            self.heard = *number;
            self.message = Some(text.clone());
        }
        self.snapshot = Some(snapshot);
    }

    /// The snapshot that is drawn.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// What a terminal's event asks for.
    pub fn event(&mut self, event: &Event) -> Vec<Effect> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Event::Mouse(mouse) => {
                let at = Position::new(mouse.column, mouse.row);
                match mouse.kind {
                    MouseEventKind::Down(MouseButton::Left) => self.click(at),
                    MouseEventKind::ScrollUp => self.act(Action::Up),
                    MouseEventKind::ScrollDown => self.act(Action::Down),
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn click(&mut self, at: Position) -> Vec<Effect> {
        if !matches!(self.overlay, Overlay::None) {
            return Vec::new();
        }
        if let Some(&(_, tab)) = self.tabs.iter().find(|(area, _)| area.contains(at)) {
            return self.act(Action::Screen(tab));
        }
        if let Some(snapshot) = self.snapshot.clone()
            && self.body.contains(at)
        {
            let context = Context { snapshot: &snapshot, theme: &self.theme, cpu: self.cpu };
            if let Some(cpu) = self.views[self.current].click(at, self.body, &context) {
                self.cpu = cpu;
            }
        }
        self.looked()
    }

    fn looked(&self) -> Vec<Effect> {
        vec![Effect::Command(Command::Look(self.look()))]
    }

    fn key(&mut self, key: &KeyEvent) -> Vec<Effect> {
        self.message = None;
        match std::mem::replace(&mut self.overlay, Overlay::None) {
            Overlay::None => keys::action(key).map_or_else(Vec::new, |action| self.act(action)),
            Overlay::Palette(mut palette) => match palette.key(key) {
                Verdict::Stay => {
                    self.overlay = Overlay::Palette(palette);
                    Vec::new()
                }
                Verdict::Leave => Vec::new(),
                Verdict::Take(action) => self.act(action),
            },
            Overlay::Prompt(mut prompt) => match prompt.key(key) {
                Verdict::Stay => {
                    self.overlay = Overlay::Prompt(prompt);
                    Vec::new()
                }
                Verdict::Leave => Vec::new(),
                Verdict::Take(text) => self.answer(&prompt, &text),
            },
            Overlay::Form(mut form) => match form.key(key) {
                Verdict::Stay => {
                    self.overlay = Overlay::Form(form);
                    Vec::new()
                }
                Verdict::Leave => Vec::new(),
                Verdict::Take(setup) => self.start(setup),
            },
        }
    }

    fn start(&mut self, setup: Setup) -> Vec<Effect> {
        (self.run, self.cpu) = (0, 0);
        vec![Effect::Command(Command::Start(Box::new(setup))), Effect::Command(Command::Look(self.look()))]
    }

    fn answer(&mut self, prompt: &Prompt, text: &str) -> Vec<Effect> {
        match prompt.action {
            Action::GoTo => match cycle(text) {
                Some(cycle) => vec![Effect::Command(Command::GoTo(cycle))],
                None => self.say(format!("'{text}' is no cycle; accepted are 1234567, 1.5M, 300k")),
            },
            Action::ExportScreen => {
                let written = self.export(text);
                self.say(written)
            }
            _ => vec![Effect::Command(Command::Save(self.directory.join(text)))],
        }
    }

    fn say(&mut self, message: String) -> Vec<Effect> {
        self.message = Some(message);
        Vec::new()
    }

    /// Does what is asked for.
    pub fn act(&mut self, action: Action) -> Vec<Effect> {
        let command = |c| vec![Effect::Command(c)];
        let paused = self.snapshot.as_ref().is_none_or(|s| s.pace == Pace::Paused);
        match action {
            Action::Quit => vec![Effect::Quit],
            Action::Toggle => command(if paused { Command::Run } else { Command::Pause }),
            Action::StepInstruction => command(Command::Step(Step::Instruction)),
            Action::StepTime => {
                let mhz = self.snapshot.as_ref().map_or(1000, |s| s.setup.cell.machine.preset.clock_mhz);
                command(Command::Step(Step::Cycles(u64::from(mhz))))
            }
            Action::StepShootdown => command(Command::Step(Step::Shootdown)),
            Action::StepStale => command(Command::Step(Step::StaleUse)),
            Action::StepWrap => command(Command::Step(Step::Wrap)),
            Action::Back => command(Command::Back),
            Action::Restart => command(Command::Restart),
            Action::GoTo => self.prompt("go to cycle", action, String::new()),
            Action::Setup => {
                if let Some(s) = &self.snapshot {
                    self.overlay = Overlay::Form(Box::new(Form::new(&s.setup)));
                }
                Vec::new()
            }
            Action::Faster | Action::Slower => {
                self.speed = match action {
                    Action::Faster => (self.speed + 1).min(SPEEDS.len() - 1),
                    _ => self.speed.saturating_sub(1),
                };
                vec![Effect::Speed(SPEEDS[self.speed])]
            }
            Action::Screen(n) if n < self.views.len() => self.turn_to(n),
            Action::Screen(_) => Vec::new(),
            Action::NextScreen => self.turn_to((self.current + 1) % self.views.len()),
            Action::PreviousScreen => self.turn_to((self.current + self.views.len() - 1) % self.views.len()),
            Action::Help => {
                let help = self.views.len() - 1;
                let to = if self.current == help { self.before_help } else { help };
                self.turn_to(to)
            }
            Action::Palette => {
                self.overlay = Overlay::Palette(Palette::new());
                Vec::new()
            }
            Action::NextCpu | Action::PreviousCpu => {
                let cpus = self.snapshot.as_ref().map_or(1, |s| s.run().cpus.len()).max(1);
                let forward = if action == Action::NextCpu { 1 } else { cpus - 1 };
                self.cpu = (self.cpu + forward) % cpus;
                self.looked()
            }
            Action::NextRun | Action::PreviousRun => {
                let runs = self.snapshot.as_ref().map_or(1, |s| s.runs.len()).max(1);
                let forward = if action == Action::NextRun { 1 } else { runs - 1 };
                self.run = (self.run + forward) % runs;
                self.looked()
            }
            Action::StopAt => {
                let at = StopAt::ALL.iter().position(|(_, s)| *s == self.stop_at).unwrap_or(0);
                let (name, stop_at) = StopAt::ALL[(at + 1) % StopAt::ALL.len()];
                self.stop_at = stop_at;
                self.message = Some(format!("stops at stale uses: {name}"));
                command(Command::StopAt(stop_at))
            }
            Action::Colours => {
                let at = Depth::ALL.iter().position(|(_, d)| *d == self.theme.depth).unwrap_or(0);
                let (name, depth) = Depth::ALL[(at + 1) % Depth::ALL.len()];
                self.theme.depth = depth;
                self.say(format!("colours: {name}"))
            }
            Action::ExportScreen => {
                let name = self.views[self.current].name().to_lowercase();
                self.files += 1;
                let name = format!("{name}-{}.svg", self.files);
                self.prompt("write screen to (.txt .svg .csv .json)", action, name)
            }
            Action::ExportResult => {
                self.prompt("write result to (.json .csv .txt)", action, "result.json".into())
            }
            Action::Cancel => Vec::new(),
            _ => {
                if let Some(snapshot) = self.snapshot.clone() {
                    let context = Context { snapshot: &snapshot, theme: &self.theme, cpu: self.cpu };
                    if let Some(cpu) = self.views[self.current].act(action, &context) {
                        self.cpu = cpu;
                    }
                }
                self.looked()
            }
        }
    }

    fn turn_to(&mut self, screen: usize) -> Vec<Effect> {
        if self.current != self.views.len() - 1 {
            self.before_help = self.current;
        }
        self.current = screen;
        self.looked()
    }

    fn prompt(&mut self, question: &'static str, action: Action, text: String) -> Vec<Effect> {
        self.overlay = Overlay::Prompt(Prompt { question, action, text });
        Vec::new()
    }

    /// Writes what is on the screen to a file; says what came of it.
    fn export(&mut self, name: &str) -> String {
        let Some(snapshot) = self.snapshot.clone() else { return "there is nothing to write yet".into() };
        let path = self.directory.join(name);
        let context = Context { snapshot: &snapshot, theme: &self.theme, cpu: self.cpu };
        let view = &self.views[self.current];
        let text = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => export::csv(&view.table(&context)),
            Some("json") => export::json(view.name(), &view.table(&context)),
            Some("txt" | "svg") => {
                let (columns, rows) =
                    if self.body.area() > 0 { (self.body.right(), self.body.bottom() + 1) } else { (80, 24) };
                let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
                self.draw(&mut buffer);
                if path.extension().is_some_and(|e| e == "svg") {
                    export::svg(&buffer)
                } else {
                    export::text(&buffer)
                }
            }
            _ => return format!("{name}: accepted are names that end in .txt, .svg, .csv or .json"),
        };
        match std::fs::write(&path, text) {
            Ok(()) => format!("written to {}", path.display()),
            Err(error) => format!("{}: cannot write: {error}", path.display()),
        }
    }

    /// Draws everything.
    pub fn draw(&mut self, buffer: &mut Buffer) {
        let area = buffer.area;
        let theme = self.theme;
        let mut canvas = Canvas::new(buffer, &theme);
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let text = format!("{}x{} is too small: {}x{} needed", area.width, area.height, LEAST.0, LEAST.1);
            canvas.put(area.x, area.y + area.height / 2, &text, Role::Warning);
            return;
        }
        self.draw_tabs(&mut canvas, area);
        let Some(snapshot) = self.snapshot.clone() else {
            canvas.put(area.x + 1, area.y + 2, "starting", Role::Faint);
            return;
        };
        self.draw_status(&mut canvas, Rect { y: area.y + 1, height: 1, ..area }, &snapshot);
        let banner = draw::banner(&snapshot);
        let banner_height = (banner.len() as u16).min(area.height / 3);
        let body = Rect { y: area.y + 2, height: area.height.saturating_sub(3 + banner_height), ..area };
        self.body = body;
        let context = Context { snapshot: &snapshot, theme: &theme, cpu: self.cpu };
        self.views[self.current].draw(&context, body, &mut canvas);
        for (i, line) in banner.iter().take(usize::from(banner_height)).enumerate() {
            let y = body.bottom() + i as u16;
            canvas.put_in(Rect { y, height: 1, ..area }, 1, &line.0, line.1);
        }
        self.draw_bottom(&mut canvas, Rect { y: area.bottom() - 1, height: 1, ..area });
        match &self.overlay {
            Overlay::None => {}
            Overlay::Form(form) => form.draw(&mut canvas, area),
            Overlay::Palette(palette) => palette.draw(&mut canvas, area),
            Overlay::Prompt(prompt) => {
                prompt.draw(&mut canvas, Rect { y: area.bottom() - 1, height: 1, ..area })
            }
        }
    }

    fn draw_tabs(&mut self, canvas: &mut Canvas, area: Rect) {
        let mut x = area.x + 1;
        let last = self.views.len() - 1;
        self.tabs.clear();
        for (i, view) in self.views.iter().enumerate() {
            let key = if i == last { "?".into() } else { (i + 1).to_string() };
            let text = format!(" {key} {} ", view.name());
            let width = text.chars().count() as u16;
            if x + width > area.right() {
                break;
            }
            let role = if i == self.current { Role::Chosen } else { Role::Faint };
            canvas.put(x, area.y, &text, role);
            self.tabs.push((Rect::new(x, area.y, width, 1), i));
            x += width;
        }
        let name = "shootdown";
        if x + 2 + name.len() as u16 <= area.right() {
            canvas.put(area.right() - 1 - name.len() as u16, area.y, name, Role::Title);
        }
    }

    fn draw_status(&self, canvas: &mut Canvas, area: Rect, snapshot: &Snapshot) {
        let run = snapshot.run();
        let (word, role) = draw::state(snapshot);
        let machine = &snapshot.setup.cell.machine;
        let mut x = canvas.put_in(area, 1, &format!(" {word} "), role);
        x += 1;
        let time = draw::time(run.now as f64, machine.preset.clock_mhz);
        let speed = match SPEEDS[self.speed] {
            None => "full speed".into(),
            Some(s) => format!("{} cycles/s", draw::short(s as f64)),
        };
        let mut parts = vec![
            (run.strategy.name().to_owned(), Role::Title),
            (
                format!(
                    "{} on {} x {}, seed {}",
                    snapshot.setup.cell.workload.name, machine.cpus, machine.preset.name, machine.seed
                ),
                Role::Text,
            ),
            (format!("cycle {} ({time})", draw::grouped(run.now)), Role::Text),
            (run.phase.name().to_owned(), Role::Faint),
            (speed, Role::Faint),
        ];
        if snapshot.runs.len() > 1 {
            parts[0].0 = format!("{} ({} of {})", parts[0].0, snapshot.shown + 1, snapshot.runs.len());
        }
        if let Some(speed) = self.host_speed {
            parts.push((format!("{} instr/s", draw::short(speed)), Role::Faint));
        }
        for (text, role) in parts {
            let width = text.chars().count() as u16;
            if x + width >= area.right() {
                break;
            }
            x = canvas.put_in(area, x, &text, role) + 2;
        }
    }

    fn draw_bottom(&self, canvas: &mut Canvas, area: Rect) {
        if let Some(message) = &self.message {
            canvas.put_in(area, 1, message, Role::Warning);
            return;
        }
        let mut x = 1;
        for b in keys::bindings().filter(|b| !b.hint.is_empty()) {
            let key = b.keys.split(' ').next().unwrap_or_default();
            let width = (key.len() + 1 + b.hint.len()) as u16;
            if x + width > area.width {
                break;
            }
            x = canvas.put_in(area, x, key, Role::Key) + 1;
            x = canvas.put_in(area, x, b.hint, Role::Faint) + 2;
        }
    }
}

/// `1234567`, `1.5M`, `300k`, `2G`.
fn cycle(text: &str) -> Option<u64> {
    let text = text.trim().replace(['_', ','], "");
    if let Ok(n) = text.parse() {
        return Some(n);
    }
    let unit = match text.chars().last()?.to_ascii_lowercase() {
        'k' => 1e3,
        'm' => 1e6,
        'g' => 1e9,
        _ => return None,
    };
    let number: f64 = text[..text.len() - 1].parse().ok()?;
    (number >= 0.0 && number.is_finite()).then_some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_read_with_units() {
        assert_eq!(cycle("1234"), Some(1234));
        assert_eq!(cycle("1_234"), Some(1234));
        assert_eq!(cycle("1.5M"), Some(1_500_000));
        assert_eq!(cycle("300k"), Some(300_000));
        assert_eq!((cycle("x"), cycle(""), cycle("-1k"), cycle("ü")), (None, None, None, None));
    }
}
