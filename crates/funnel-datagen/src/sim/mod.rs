//! The simulator: journeys, transport, truth.

mod content;
mod dice;
mod feed;
mod malformed;
mod monitored;
mod options;
mod stray;
mod talk;
mod tour;
mod transport;
mod unmonitored;
mod visitor;
mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat};

pub use options::{Disorder, Options, OptionsError};

use crate::message::Message;
use crate::truth::Truth;
use crate::truth::fold::AccountTally;
use dice::Dice;
use transport::Transport;
use visitor::Visitor;
use world::Account;

const DAY_MS: i64 = 24 * 3_600_000;
/// Visits come mostly by day; this share of the night's is dropped.
const QUIET_NIGHT: f64 = 0.6;
/// Outcomes are told this long after the last session; nothing is open by then.
const SETTLED_DAYS: u64 = 60;

/// Simulated traffic in order of delivery.
///
/// Holds the messages that are still on their way and the visitors who will come back, nothing
/// else; memory does not grow with the number of sessions already told.
#[derive(Debug)]
pub struct Simulation {
    options: Options,
    accounts: Vec<Account>,
    tallies: Vec<AccountTally>,
    dice: Dice,
    transport: Transport,
    truth: Truth,
    /// Sessions not yet given to a visitor.
    budget: u64,
    arrivals: u64,
    /// When the next new visitor comes.
    arrival: i64,
    gap: i64,
    /// Visitors who will come back, by their next visit.
    returning: BinaryHeap<Reverse<(i64, u64)>>,
    visitors: HashMap<u64, Visitor>,
    first: NaiveDate,
    last: NaiveDate,
    done: bool,
}

impl Simulation {
    /// The same options always give the same messages, byte by byte.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        let accounts: Vec<Account> = (0..options.accounts).map(world::account).collect();
        let start = options
            .start
            .and_time(NaiveTime::MIN)
            .and_utc()
            .timestamp_millis();
        let visits = (options.sessions as f64 / (1.0 + options.returning * 2.0)).max(1.0);
        let range = i64::from(options.days) * DAY_MS;
        // Dropped nights make room for more.
        let gap = (range as f64 / visits * 0.75) as i64;
        Ok(Self {
            tallies: accounts.iter().map(|_| AccountTally::new()).collect(),
            accounts,
            dice: Dice::new(options.seed, 0),
            transport: Transport::new(Dice::new(options.seed, 1), options.disorder.clone()),
            truth: Truth {
                seed: options.seed,
                ..Truth::default()
            },
            budget: options.sessions,
            arrivals: 0,
            arrival: start,
            gap: gap.max(1),
            returning: BinaryHeap::new(),
            visitors: HashMap::new(),
            first: options.start,
            last: options.start,
            done: false,
            options,
        })
    }

    /// The truth about all traffic; messages not yet taken are made and dropped.
    pub fn into_truth(mut self) -> Truth {
        while self.next().is_some() {}
        self.truth
    }

    /// The time zone of each simulated account, as the configuration of a reader must state it.
    pub fn time_zones(options: &Options) -> Vec<(String, String)> {
        let accounts = (0..options.accounts).map(world::account);
        accounts.map(|a| (a.id, a.zone.name().to_owned())).collect()
    }

    /// Messages on their way and visitors who will come back: what the simulation holds.
    pub fn held(&self) -> (usize, usize) {
        (self.transport.len(), self.visitors.len())
    }

    /// When the next visit starts, by a new visitor or by one who comes back.
    fn next_visit(&self) -> Option<i64> {
        let arrival = (self.budget > 0).then_some(self.arrival);
        let back = self.returning.peek().map(|Reverse((time, _))| *time);
        match (arrival, back) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn tell_next_visit(&mut self) {
        let back = self
            .returning
            .peek()
            .map(|Reverse((time, index))| (*time, *index));
        match back {
            Some((time, index)) if self.budget == 0 || time <= self.arrival => {
                self.returning.pop();
                if let Some(visitor) = self.visitors.remove(&index) {
                    self.tell(index, visitor);
                }
            }
            _ => self.arrive(),
        }
    }

    fn arrive(&mut self) {
        let account = self.dice.below(self.accounts.len());
        let time = self.arrival;
        self.arrival += self.dice.between(0, 2 * self.gap);
        let night = !(8..22).contains(&self.accounts[account].hour(time));
        if night && self.dice.chance(QUIET_NIGHT) {
            return;
        }
        let index = self.arrivals;
        self.arrivals += 1;
        let visitor = Visitor::new(&self.options, index, account, time, self.budget);
        self.budget -= visitor.visits();
        if self.dice.chance(self.options.disorder.unattributed) {
            let mut dice = Dice::new(self.options.seed, u64::MAX - index);
            let stray = stray::chat(&self.accounts[account].id, index, time, &mut dice);
            self.tallies[account].unattributed(stray.connected, stray.interactive);
            for draft in stray.drafts {
                self.transport
                    .send(draft, &self.accounts[account].id, &mut self.truth);
            }
        }
        self.tell(index, visitor);
    }

    fn tell(&mut self, index: u64, mut visitor: Visitor) {
        let account = &self.accounts[visitor.account];
        let drafts = visitor.visit(account, &self.options);
        for draft in drafts {
            self.transport.send(draft, &account.id, &mut self.truth);
        }
        if let Some(session) = visitor.sessions.last() {
            let date = account.date(session.start);
            self.first = self.first.min(date);
            self.last = self.last.max(date);
            self.tallies[visitor.account].date(date.to_string());
        }
        match visitor.next_visit() {
            Some(time) => {
                self.returning.push(Reverse((time, index)));
                self.visitors.insert(index, visitor);
            }
            None => {
                let tally = &mut self.tallies[visitor.account];
                tally.visitor(visitor.kind.flow(), visitor.device(), &visitor.sessions);
            }
        }
    }

    fn finish(&mut self) {
        self.done = true;
        for (account, tally) in self.accounts.iter().zip(self.tallies.drain(..)) {
            let truth = tally.finish(account.zone.name());
            self.truth.accounts.insert(account.id.clone(), truth);
        }
        // Strays have no session; their own day may be one beyond.
        let last = self.last + Days::new(1);
        self.truth.from = self.first.to_string();
        self.truth.to = last.to_string();
        let as_of = (last + Days::new(SETTLED_DAYS))
            .and_time(NaiveTime::MIN)
            .and_utc();
        self.truth.as_of = DateTime::to_rfc3339_opts(&as_of, SecondsFormat::Secs, true);
    }
}

impl Iterator for Simulation {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        while !self.done {
            let next_visit = self.next_visit();
            // Some calls are made shortly before a session is counted.
            let before = next_visit.map_or(i64::MAX, |time| time - 10_000);
            if let Some(message) = self.transport.deliver(before) {
                return Some(message);
            }
            if next_visit.is_none() {
                self.finish();
            } else {
                self.tell_next_visit();
            }
        }
        None
    }
}
