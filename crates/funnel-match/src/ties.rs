//! Which steps can be given to different rows of the same time: bipartite matching on small groups.

/// Nobody has the row.
const FREE: u8 = u8::MAX;

/// A group of rows with the same time.
#[derive(Debug)]
pub(crate) struct Ties {
    steps: usize,
    masks: Vec<u64>,
    /// Where each of them is in the group.
    positions: Vec<usize>,
    /// Rows kept so far that satisfy a step, by step.
    kept: Vec<usize>,
    /// All steps that some row satisfies.
    union: u64,
    /// Does every row satisfy just one step? Then there is nothing to choose.
    exclusive: bool,
    /// Which step has a row, by row.
    owner: Vec<u8>,
    visited: Vec<bool>,
}

impl Ties {
    pub(crate) fn new(steps: usize) -> Self {
        Self {
            steps,
            masks: Vec::new(),
            positions: Vec::new(),
            kept: vec![0; steps],
            union: 0,
            exclusive: true,
            owner: Vec::new(),
            visited: Vec::new(),
        }
    }

    /// Takes a new group, positions and masks; the masks hold no bits above the number of steps.
    pub(crate) fn load(&mut self, masks: impl Iterator<Item = (usize, u64)>) {
        self.masks.clear();
        self.positions.clear();
        self.kept.fill(0);
        self.union = 0;
        self.exclusive = true;
        for (position, mask) in masks {
            // A matching uses at most `steps` rows, so as many candidates for a step are enough:
            // one of them is always left. This bounds the work on a group of any size.
            if !bits(mask).any(|step| self.kept[step] < self.steps) {
                continue;
            }
            bits(mask).for_each(|step| self.kept[step] += 1);
            self.masks.push(mask);
            self.positions.push(position);
            self.union |= mask;
            self.exclusive &= mask.is_power_of_two();
        }
    }

    /// How many steps in a row, beginning with `first`, can be given to different rows.
    pub(crate) fn run_from(&mut self, first: usize) -> usize {
        let run_max = (self.union >> first).trailing_ones() as usize;
        if self.exclusive || run_max < 2 {
            return run_max;
        }
        self.owner.clear();
        self.owner.resize(self.masks.len(), FREE);
        (first..first + run_max)
            .take_while(|&step| self.find_row_for(step))
            .count()
    }

    /// After [`run_from`](Self::run_from): the positions of the rows given to `first` and the steps
    /// after it, as many as `given` has room for.
    pub(crate) fn rows_of(&self, first: usize, given: &mut [usize]) {
        if self.exclusive || given.len() < 2 {
            for (step, slot) in (first..).zip(given) {
                let row = self.masks.iter().position(|mask| mask >> step & 1 == 1);
                *slot = row.map_or(0, |row| self.positions[row]);
            }
            return;
        }
        for (owner, position) in self.owner.iter().zip(&self.positions) {
            if *owner != FREE
                && let Some(slot) = given.get_mut(usize::from(*owner).wrapping_sub(first))
            {
                *slot = *position;
            }
        }
    }

    fn find_row_for(&mut self, step: usize) -> bool {
        self.visited.clear();
        self.visited.resize(self.masks.len(), false);
        self.augment(step)
    }

    /// Gives `step` a free row, or one whose owner finds another. At most one call deep per step.
    fn augment(&mut self, step: usize) -> bool {
        for row in 0..self.masks.len() {
            if self.masks[row] >> step & 1 == 0 || self.visited[row] {
                continue;
            }
            self.visited[row] = true;
            let owner = self.owner[row];
            if owner == FREE || self.augment(usize::from(owner)) {
                self.owner[row] = step as u8; // below 64
                return true;
            }
        }
        false
    }
}

/// The positions of the bits of `mask`, lowest first.
pub(crate) fn bits(mask: u64) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        if rest == 0 {
            return None;
        }
        let bit = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(masks: &[u64], first: usize) -> usize {
        let mut ties = Ties::new(8);
        ties.load(masks.iter().copied().enumerate());
        ties.run_from(first)
    }

    #[test]
    fn one_row_serves_one_step() {
        assert_eq!(run(&[0b111], 0), 1);
        assert_eq!(run(&[0b111, 0b111], 0), 2);
    }

    #[test]
    fn rows_are_exchanged_until_every_step_has_one() {
        // Step 0 must leave the first row to step 1, and that one the second row to step 2.
        assert_eq!(run(&[0b011, 0b111, 0b001], 0), 3);
    }

    #[test]
    fn run_begins_where_it_is_asked_to() {
        assert_eq!(run(&[0b0100, 0b1100], 2), 2);
        assert_eq!(run(&[0b0100, 0b1100], 1), 0);
    }

    #[test]
    fn a_thousand_equal_rows_cost_no_more_than_the_steps() {
        let mut ties = Ties::new(3);
        ties.load((0..1000).map(|row| (row, 0b111)));
        assert_eq!(ties.masks.len(), 3);
        assert_eq!(ties.run_from(0), 3);
    }
}
