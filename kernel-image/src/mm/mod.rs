//! Placeholder until the VM is here.
/// A user half.
pub struct AddressSpace {}
