//! The `mixed` load: what a compiler makes of everyday code.
//!
//! A pass builds a search tree of 1024 nodes in 16 KiB, walks it by recursion,
//! follows its nodes as a list and updates them, exchanges fields, counts bytes
//! and sorts a few words: loads, stores and read-modify-writes, with calls and
//! badly predictable branches between them. A pass is about 235 000
//! instructions, of which 40 % access memory (`call`, `ret`, `push` and `pop` included).

/// Nodes of the tree: 16 KiB.
const NODES: usize = 1024;
/// Index that stands for no node.
const NONE: u32 = NODES as u32;

/// One node of the tree and of the list.
#[derive(Clone, Copy)]
struct Node {
    key: u32,
    left: u32,
    right: u32,
    sum: u32,
}

/// All memory of the load.
struct Memory {
    nodes: [Node; NODES],
    counts: [u32; 256],
}

const EMPTY: Node = Node { key: 0, left: NONE, right: NONE, sum: 0 };

static mut MEMORY: Memory = Memory { nodes: [EMPTY; NODES], counts: [0; 256] };

/// Runs `n` passes; the result depends on all of them.
pub fn run(n: u32) -> u32 {
    // SAFETY: called once, by one processor.
    let memory = unsafe { &mut *(&raw mut MEMORY) };
    let mut result = 0;
    for pass in 0..n {
        fill(&mut memory.nodes, pass ^ result);
        for node in 1..NODES as u32 / 2 {
            insert(&mut memory.nodes, node);
        }
        let mut order = 0;
        walk(&mut memory.nodes, 0, &mut order);
        result ^= order;
        for _ in 0..12 {
            result = result.wrapping_add(follow(&mut memory.nodes));
            exchange(&mut memory.nodes, result);
        }
        count(&mut memory.counts, &memory.nodes);
        result = result.wrapping_add(memory.counts[(result & 255) as usize]);
        sort(&mut memory.counts[..64]);
    }
    result
}

#[inline(never)]
fn fill(nodes: &mut [Node; NODES], seed: u32) {
    let mut state = seed | 1;
    for node in nodes {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        *node = Node { key: state ^ state >> 15, ..EMPTY };
    }
}

/// Hangs a node into the tree whose root is node 0.
#[inline(never)]
fn insert(nodes: &mut [Node; NODES], new: u32) {
    let key = nodes[new as usize % NODES].key;
    let mut at = 0;
    loop {
        let node = &mut nodes[at as usize % NODES];
        let child = if key < node.key { &mut node.left } else { &mut node.right };
        if *child == NONE {
            *child = new;
            return;
        }
        at = *child;
    }
}

/// In order: each node's sum says how it was reached.
#[inline(never)]
fn walk(nodes: &mut [Node; NODES], at: u32, order: &mut u32) {
    if at == NONE {
        return;
    }
    let node = nodes[at as usize % NODES];
    walk(nodes, node.left, order);
    *order = order.wrapping_mul(31).wrapping_add(node.key);
    nodes[at as usize % NODES].sum = *order;
    walk(nodes, node.right, order);
}

/// Follows the nodes from one to another, adding to each.
#[inline(never)]
fn follow(nodes: &mut [Node; NODES]) -> u32 {
    let mut at = 0;
    let mut total = 0u32;
    for _ in 0..NODES / 4 {
        let node = &mut nodes[at as usize % NODES];
        node.sum = node.sum.wrapping_add(node.key);
        node.key = node.key.wrapping_add(1);
        total = total.wrapping_add(node.sum);
        at = node.left ^ node.right ^ total;
    }
    total
}

/// Moves fields between nodes that are some way apart.
#[inline(never)]
fn exchange(nodes: &mut [Node; NODES], distance: u32) {
    for at in (0..NODES).step_by(2) {
        let other = (at ^ distance as usize) % NODES;
        let key = nodes[other].key;
        nodes[at].sum ^= key;
        let sum = nodes[at].sum;
        nodes[other].sum = nodes[other].sum.wrapping_add(sum);
        nodes[other].key = nodes[at].key;
        nodes[at].key = key;
    }
}

#[inline(never)]
fn count(counts: &mut [u32; 256], nodes: &[Node; NODES]) {
    for node in nodes {
        counts[node.key as u8 as usize] += 1;
        counts[node.sum as u8 as usize] += 1;
        counts[(node.sum >> 8) as u8 as usize] += 3;
        counts[(node.sum >> 16) as u8 as usize] += 5;
        counts[(node.sum >> 24) as u8 as usize] += 7;
    }
}

/// Shell sort with gaps 13, 4, 1.
#[inline(never)]
fn sort(run: &mut [u32]) {
    for gap in [13, 4, 1] {
        for i in gap..run.len() {
            let mut at = i;
            while at >= gap && run[at - gap] > run[at] {
                run.swap(at, at - gap);
                at -= gap;
            }
        }
    }
}
