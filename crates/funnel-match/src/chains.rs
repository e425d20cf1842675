//! The rows of the best chain of each length, kept only when a chain is asked for.

/// A square matrix of positions: row `step` holds the chain whose last step is `step`.
#[derive(Debug)]
pub(crate) struct Chains {
    steps: usize,
    positions: Vec<usize>,
}

impl Chains {
    pub(crate) fn new(steps: usize) -> Self {
        Self {
            steps,
            positions: vec![0; steps * steps],
        }
    }

    /// The chain that ends with `step`.
    pub(crate) fn get(&self, step: usize) -> &[usize] {
        let at = step * self.steps;
        &self.positions[at..=at + step]
    }

    /// The chain that ends with `step` becomes the one before it and the row at `position`.
    pub(crate) fn extend(&mut self, step: usize, position: usize) {
        self.join(step, step, [position]);
    }

    /// The chain that ends with `step` becomes the one of length `base` and the rows after it.
    pub(crate) fn join(&mut self, step: usize, base: usize, rows: impl IntoIterator<Item = usize>) {
        let at = step * self.steps;
        if base > 0 {
            let from = (base - 1) * self.steps;
            self.positions.copy_within(from..from + base, at);
        }
        for (slot, position) in self.positions[at + base..=at + step].iter_mut().zip(rows) {
            *slot = position;
        }
    }
}
