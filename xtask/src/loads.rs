//! The loads of the guest program with arguments that make them small.

/// Every load, with its arguments. The number of tasks is given, as it stands for two per processor otherwise: a
/// checksum depends on the arguments alone. The pages are more than the window has slots.
pub const LOADS: &[(&str, &str)] = &[
    ("kmap-storm", "tasks=6 pages=1500 ops=400 warmup=50 think=4"),
    ("pagecache-read", "tasks=5 pages=1200 ops=150 warmup=20 think=4"),
    ("pagecache-write", "tasks=5 pages=1200 ops=120 warmup=20 think=4"),
    ("fork-cow", "tasks=4 pages=160 ops=60 rounds=3"),
    ("syscall", "tasks=5 ops=500 warmup=20 think=4"),
    ("fault-zero", "tasks=5 pages=40 ops=150 warmup=20 crew=threads"),
    ("munmap", "tasks=5 pages=6 ops=60 warmup=10 reads=20"),
    ("mremap", "tasks=5 pages=6 ops=60 warmup=10 reads=20"),
    ("shm-many", "tasks=5 pages=200 ops=300 warmup=20"),
    ("shm-calls", "tasks=3 pages=40 ops=20 warmup=2 reads=20 cut=done"),
    ("peek", "tasks=5 pages=20 ops=200 warmup=20"),
    ("swap", "tasks=5 pages=300 ops=100 warmup=20"),
    ("mixed", "tasks=5 pages=1200 ops=150 warmup=20 think=4"),
    ("mapped-file", "tasks=5 pages=6 ops=60 warmup=10 reads=20"),
];

/// Little NORMAL memory, so that files and user memory lie in HIGHMEM: the kernel's word, and MiB of the machine.
pub const NORMAL: &str = "normal=32M";
pub const MEM: u32 = 128;
