//! Placeholder until the strategies are here.
/// Strategies.
#[derive(Clone, Copy, Debug)]
pub enum Strategy { Batched }
impl Strategy {
    pub const NAMES: &'static str = "batched";
    pub fn from_name(name: &str) -> Option<Self> { (name == "batched").then_some(Strategy::Batched) }
}
/// Planted faults.
#[derive(Clone, Copy, Debug)]
pub enum Fault {}
impl Fault {
    pub const NAMES: &'static str = "";
    pub fn from_name(_: &str) -> Option<Self> { None }
}
