//! All groups of a partition at once: rows lie flat in the order of arrival, and are dealt out to
//! their groups when answers are asked for.

use std::mem::size_of;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use funnel_match::{Matcher, Row};

use super::answer::Answer;
use super::call::Call;
use super::{rows, sort};

#[derive(Debug)]
pub(super) struct FunnelGroups {
    call: Call,
    answer: Answer,
    matcher: Matcher,
    /// How many groups there are; some have no rows.
    groups: usize,
    /// The group of each row.
    group_of: Vec<u32>,
    rows: Vec<Row>,
}

/// Rows of group after group; those of group `i` are between offsets `i` and `i + 1`.
struct Dealt {
    rows: Vec<Row>,
    offsets: Vec<usize>,
}

impl FunnelGroups {
    pub(super) fn new(call: Call, answer: Answer) -> Self {
        let matcher = Matcher::new(call.spec.clone());
        Self {
            call,
            answer,
            matcher,
            groups: 0,
            group_of: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// `groups` is how many there are from now on. Their numbers fit in 32 bits once this returns.
    fn grow(&mut self, groups: usize) -> Result<()> {
        if u32::try_from(groups).is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "funnel over {groups} groups in one partition; use more partitions"
            )));
        }
        self.groups = self.groups.max(groups);
        Ok(())
    }

    /// Takes the first groups out; the others move up.
    fn deal(&mut self, emit_to: EmitTo) -> Dealt {
        let taken = match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(groups) => groups.min(self.groups),
        };
        let mut offsets = vec![0; taken + 1];
        for group in self.group_of.iter().map(|group| *group as usize) {
            if group < taken {
                offsets[group + 1] += 1;
            }
        }
        for group in 0..taken {
            offsets[group + 1] += offsets[group];
        }
        let mut next = offsets.clone();
        let mut rows = vec![Row { time: 0, mask: 0 }; offsets[taken]];
        let mut left = 0;
        for index in 0..self.rows.len() {
            let (group, row) = (self.group_of[index] as usize, self.rows[index]);
            if group < taken {
                rows[next[group]] = row;
                next[group] += 1;
            } else {
                self.group_of[left] = (group - taken) as u32; // Smaller than it was.
                self.rows[left] = row;
                left += 1;
            }
        }
        self.groups -= taken;
        self.group_of.truncate(left);
        self.rows.truncate(left);
        if left == 0 {
            // Give the memory back before answers are made.
            (self.group_of, self.rows) = (Vec::new(), Vec::new());
        }
        Dealt { rows, offsets }
    }
}

impl GroupsAccumulator for FunnelGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        rows::read(&self.call, values, opt_filter, |index, row| {
            self.group_of.push(group_indices[index] as u32);
            self.rows.push(row);
        })
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        rows::read_state(values, |history, row| {
            self.group_of.push(group_indices[history] as u32);
            self.rows.push(row);
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let Dealt { mut rows, offsets } = self.deal(emit_to);
        sort(&mut rows, &offsets);
        self.answer
            .evaluate(&mut self.matcher, &self.call, &rows, &offsets)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let Dealt { rows, offsets } = self.deal(emit_to);
        rows::to_state(&rows, &offsets)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let length = values.first().map_or(0, |column| column.len());
        let mut kept = Vec::with_capacity(length);
        let mut offsets = Vec::with_capacity(length + 1);
        rows::read(&self.call, values, opt_filter, |index, row| {
            offsets.resize(index + 1, kept.len());
            kept.push(row);
        })?;
        offsets.resize(length + 1, kept.len());
        rows::to_state(&kept, &offsets)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.rows.capacity() * size_of::<Row>()
            + self.group_of.capacity() * size_of::<u32>()
    }
}
