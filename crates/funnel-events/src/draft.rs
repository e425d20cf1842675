//! A fact while it is being read, and the record around it.

use crate::config::DecoderConfig;
use crate::event::Event;
use crate::event_type::{EventType, TimeSource};
use crate::json::Value;
use crate::reject::{Reject, RejectCode, RejectStage};

/// One fact on its way to an [`Event`].
#[derive(Debug, Clone)]
pub(crate) struct Draft<'d, 'a> {
    pub(crate) event: Box<Event>,
    /// The part of the record that states the fact.
    pub(crate) body: Value<'d, 'a>,
    /// Whether the body is an element of an array: it knows its ids better than the envelope of
    /// them all.
    pub(crate) in_array: bool,
    /// Whether the time is the fact's own and not the envelope's.
    pub(crate) own_time: bool,
    /// The consumer's id in clear. It leaves this struct only as a keyed hash.
    pub(crate) consumer: Option<String>,
    /// What else tells two facts of this kind apart.
    pub(crate) discriminator: Option<String>,
    /// The body of an engagement attribute, for `sde_json`.
    pub(crate) sde: Option<Value<'d, 'a>>,
}

impl<'d, 'a> Draft<'d, 'a> {
    /// Gives the fact a time that its own source stamped.
    pub(crate) fn set_own_time(&mut self, time_us: Option<i64>) {
        if let Some(time_us) = time_us {
            self.event.event_time_us = time_us;
            self.event.event_time_source = TimeSource::Server;
            self.event.event_time_raw = None;
            self.own_time = true;
        }
    }

    pub(crate) fn set_type(&mut self, event_type: EventType) {
        self.event.event_type = event_type;
    }
}

/// Puts a value where none is.
pub(crate) fn fill<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

/// Puts a value where one is known.
pub(crate) fn replace<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

/// A fact or a refusal of one entry.
#[derive(Debug)]
pub(crate) enum Found<'d, 'a> {
    Fact(Draft<'d, 'a>),
    Reject(Reject),
}

/// The record: its envelope as a template for every fact, its payload, and what was found in it.
#[derive(Debug)]
pub(crate) struct Record<'d, 'a> {
    pub(crate) root: Value<'d, 'a>,
    pub(crate) payload: Value<'d, 'a>,
    pub(crate) base: Event,
    pub(crate) config: &'d DecoderConfig,
    pub(crate) found: Vec<Found<'d, 'a>>,
    /// Entries seen; the index of the next one.
    entries: usize,
}

impl<'d, 'a> Record<'d, 'a> {
    pub(crate) fn new(
        root: Value<'d, 'a>,
        payload: Value<'d, 'a>,
        base: Event,
        config: &'d DecoderConfig,
    ) -> Self {
        Self {
            root,
            payload,
            base,
            config,
            found: Vec::new(),
            entries: 0,
        }
    }

    pub(crate) fn event_type(&self) -> EventType {
        self.base.event_type
    }

    /// The record itself as one fact.
    pub(crate) fn whole(&self) -> Draft<'d, 'a> {
        self.draft(self.payload)
    }

    /// A fact that one part of the record states, without an index.
    fn draft(&self, body: Value<'d, 'a>) -> Draft<'d, 'a> {
        Draft {
            event: Box::new(self.base.clone()),
            body,
            in_array: false,
            own_time: false,
            consumer: None,
            discriminator: None,
            sde: None,
        }
    }

    /// The next fact of a record that states several.
    pub(crate) fn entry(&mut self, body: Value<'d, 'a>) -> Draft<'d, 'a> {
        let mut draft = self.draft(body);
        draft.event.entry_index = Some(self.next_index());
        draft.in_array = true;
        draft
    }

    /// The next fact of a record of which `template` says what is common to all of them.
    pub(crate) fn entry_like(
        &mut self,
        template: &Draft<'d, 'a>,
        body: Value<'d, 'a>,
        event_type: EventType,
    ) -> Draft<'d, 'a> {
        let mut draft = template.clone();
        draft.body = body;
        draft.event.event_type = event_type;
        draft.event.entry_index = Some(self.next_index());
        draft
    }

    fn next_index(&mut self) -> i32 {
        let index = i32::try_from(self.entries).unwrap_or(i32::MAX);
        self.entries += 1;
        index
    }

    pub(crate) fn push(&mut self, draft: Draft<'d, 'a>) {
        self.keep(Found::Fact(draft));
    }

    /// Nothing is kept of a record that will be refused for its size.
    fn keep(&mut self, found: Found<'d, 'a>) {
        if self.is_over_limit() {
            self.found.clear();
        } else {
            self.found.push(found);
        }
    }

    /// Refuses the next entry.
    pub(crate) fn refuse(&mut self, code: RejectCode, path: String, detail: &str) {
        let mut reject = Reject::new(code, detail).at(path);
        reject.stage = RejectStage::Payload;
        reject.entry_index = Some(self.next_index());
        self.keep(Found::Reject(reject));
    }

    /// Refuses an entry that already has its index.
    pub(crate) fn refuse_draft(
        &mut self,
        draft: &Draft<'_, '_>,
        code: RejectCode,
        path: String,
        detail: &str,
    ) {
        let mut reject = Reject::new(code, detail).at(path);
        reject.stage = RejectStage::Payload;
        reject.entry_index = draft.event.entry_index;
        self.keep(Found::Reject(reject));
    }

    /// Elements of an array out of their unions, each with its JSON pointer. One that is no object
    /// is refused.
    pub(crate) fn objects(
        &mut self,
        array: Value<'d, 'a>,
        path: &str,
    ) -> Vec<(Value<'d, 'a>, String)> {
        let mut objects = Vec::new();
        for (position, item) in array.items().enumerate() {
            let item = item.unwrapped();
            let path = format!("{path}/{position}");
            if item.is_object() {
                objects.push((item, path));
            } else {
                self.refuse(RejectCode::NotObject, path, "an entry is an object");
            }
        }
        objects
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.entries > self.config.limits.max_entries
    }
}
