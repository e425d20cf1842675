//! Drafts to events: what all facts have in common, whatever their source.

use crate::config::{DecoderConfig, TimeRules};
use crate::decoder::Entry;
use crate::draft::{Draft, Found, Record, fill};
use crate::event::Event;
use crate::event_type::EventType;
use crate::extra;
use crate::identity::{content_hash, entry_hash, event_id};
use crate::privacy::{clean_url, scrub};
use crate::reject::{Reject, RejectCode};

/// What became of a record's drafts.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) entries: Vec<Entry>,
    /// A consumer was named, but there is no key to hash him with.
    pub(crate) consumer_without_key: bool,
}

/// Completes everything that was found.
pub(crate) fn finish(mut record: Record<'_, '_>) -> Finished {
    let found = std::mem::take(&mut record.found);
    let mut finished = Finished {
        entries: Vec::with_capacity(found.len()),
        consumer_without_key: false,
    };
    // Normalising reads the last members: only then it is known what nobody read.
    let found: Vec<_> = found
        .into_iter()
        .map(|found| match found {
            Found::Fact(mut draft) => {
                finished.consumer_without_key |=
                    draft.consumer.is_some() && record.config.consumer_hash_key.is_none();
                normalise(&record, &mut draft);
                Found::Fact(draft)
            }
            reject @ Found::Reject(_) => reject,
        })
        .collect();
    let limit = record.config.limits.max_json_bytes;
    let keep = &record.config.keep;
    let shared = extra::shared(record.root, keep, limit);
    let mut hashed = None;
    for found in found {
        let mut draft = match found {
            Found::Fact(draft) => draft,
            Found::Reject(reject) => {
                finished.entries.push(Entry::Reject(Box::new(reject)));
                continue;
            }
        };
        if let Err(reject) = check_age(&draft.event, &record.config.time) {
            finished.entries.push(Entry::Reject(reject));
            continue;
        }
        // Facts of one conversation share its body; it is hashed once.
        let position = draft.body.position();
        let entry = match hashed {
            Some((at, hash)) if at == position => hash,
            _ => entry_hash(draft.body),
        };
        hashed = Some((position, entry));
        draft.event.event_id = event_id(&draft, &entry);
        draft.event.content_hash = content_hash(record.root, &draft, &entry);
        let own = record.root.holds_in_array(position).then_some(draft.body);
        draft.event.extra_json = shared.with(own, keep, limit);
        finished.entries.push(Entry::Event(draft.event));
    }
    finished
}

fn normalise(record: &Record<'_, '_>, draft: &mut Draft<'_, '_>) {
    let config = record.config;
    if let Some(body) = draft.sde {
        draft.event.sde_json =
            extra::attribute_json(body, &config.keep, config.limits.max_json_bytes);
    }
    set_consumer(config, draft);
    let event = &mut *draft.event;
    event.event_type_code = event.event_type.code();
    if event.event_type.is_chat() && event.entry_index.is_none() {
        fill(&mut event.line_seq, record.root.take_int("seq"));
    }
    set_keys(event);
    set_defaults(event);
    clean(event, config);
}

/// The consumer leaves as a keyed hash or not at all.
fn set_consumer(config: &DecoderConfig, draft: &mut Draft<'_, '_>) {
    let (Some(consumer), Some(key)) = (&draft.consumer, &config.consumer_hash_key) else {
        return;
    };
    draft.event.consumer_key = Some(key.consumer_key(&draft.event.account_id, consumer));
    draft.event.consumer_key_id = Some(key.id().to_owned());
}

fn set_keys(event: &mut Event) {
    // Some sources add a dot and a hash to the session; the part before it is what all sources
    // know.
    event.session_id = event
        .session_id_raw
        .as_deref()
        .and_then(|raw| raw.split('.').next())
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    if let (Some(visitor), Some(session)) = (&event.visitor_id, &event.session_id) {
        let session_key = format!("{}|{visitor}|{session}", event.account_id);
        event.offer_key = event
            .context_id
            .as_ref()
            .map(|context| format!("{session_key}|{context}"));
        event.session_key = Some(session_key);
    }
    if event.chat_key.is_none() {
        event.chat_key = event
            .rt_session_id
            .map(|chat| format!("{}{chat}", event.account_id));
    }
}

fn set_defaults(event: &mut Event) {
    let about_offer = event.event_type.is_offer();
    if about_offer || event.event_type.is_chat() {
        let messaging = event.source_system == "monitoring_api";
        fill(&mut event.conversation_type, Some(i16::from(messaging)));
    }
    // An answer without an engagement says nothing of its kind.
    if about_offer
        && (event.event_type != EventType::EngagementRetrieved || event.engagement_id.is_some())
    {
        fill(&mut event.is_content, Some(false));
    }
    if event.participant_id.is_some() {
        fill(&mut event.is_authenticated, Some(true));
    }
    if event.os.as_deref() == Some("MAC_OS") {
        event.os = Some("MAC_OSX".to_owned());
    }
}

/// Takes out of the text columns what may not be stored.
fn clean(event: &mut Event, config: &DecoderConfig) {
    let keep_query = config.keep.url_query;
    for url in [&mut event.url, &mut event.referrer_url] {
        *url = url
            .take()
            .map(|url| clean_url(&url, keep_query))
            .filter(|url| !url.is_empty());
    }
    if !config.keep.page_title {
        event.page_title = None;
    }
    for texts in [
        &mut event.sections,
        &mut event.consumer_sections,
        &mut event.entry_points,
    ] {
        for text in texts.iter_mut().flatten() {
            *text = scrub("section", &clean_url(text, keep_query)).into_owned();
        }
    }
}

/// Refusal by age, if configured. Without `producedAt` there is nothing to measure from.
fn check_age(event: &Event, rules: &TimeRules) -> Result<(), Box<Reject>> {
    let Some(produced_us) = event.produced_time_us else {
        return Ok(());
    };
    let beyond = |limit: Option<std::time::Duration>, span_us: i64| {
        limit.is_some_and(|limit| {
            i128::from(span_us) > i128::try_from(limit.as_micros()).unwrap_or(i128::MAX)
        })
    };
    let refuse = |code, detail: &str| {
        let mut reject = Reject::new(code, detail);
        reject.entry_index = event.entry_index;
        Err(Box::new(reject))
    };
    let age_us = produced_us.saturating_sub(event.event_time_us);
    if beyond(rules.max_age, age_us) {
        return refuse(
            RejectCode::TimeTooOld,
            "the event is older than `time.max_age` allows",
        );
    }
    if beyond(rules.future_tolerance, age_us.saturating_neg()) {
        return refuse(
            RejectCode::TimeFuture,
            "the event lies further in the future than `time.future_tolerance` allows",
        );
    }
    Ok(())
}
