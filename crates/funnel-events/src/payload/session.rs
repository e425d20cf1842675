//! Sessions and engagement requests: App Engagement API, Monitoring API, and what they say of the
//! visitor.

use super::{offer, sde};
use crate::draft::{Draft, Record, fill};
use crate::event_type::EventType;
use crate::json::Value;
use crate::reject::RejectCode;

/// Impression events and what each means.
const IMPRESSIONS: [(&str, EventType); 5] = [
    ("impDisplay", EventType::EngagementImpression),
    ("impAccept", EventType::EngagementClick),
    ("impExpanded", EventType::EngagementExpanded),
    ("impTimeout", EventType::EngagementTimeout),
    ("impClose", EventType::EngagementDeclined),
];

/// A request body: impression events, then engagement attributes. Their order inside the arrays
/// means nothing, and they carry no time. True if the payload has this shape.
pub(super) fn read_body<'d, 'a>(record: &mut Record<'d, 'a>) -> bool {
    let payload = record.payload;
    let impressions = payload.array("impAttributes");
    let attributes = payload.array("engagementAttributes");
    if impressions.is_none() && attributes.is_none() {
        return false;
    }
    // The body of a first call is a fact of its own: a session, a page, a request for an
    // engagement.
    let is_call = matches!(
        record.event_type(),
        EventType::SessionStarted | EventType::PageViewed | EventType::EngagementRetrieved
    );
    if is_call {
        let mut draft = record.entry(payload);
        draft.in_array = false;
        offer::read_ids(payload, &mut draft);
        read_answer(payload, &mut draft);
        read_visitor(payload, &mut draft);
        read_page(payload, &mut draft);
        record.push(draft);
    }
    for (item, path) in entries(record, impressions, "/payload/impAttributes") {
        read_impression(record, item, &path);
    }
    for (item, _) in entries(record, attributes, "/payload/engagementAttributes") {
        let mut draft = record.entry(item);
        draft.set_type(EventType::SdeReported);
        fill_page(payload, &mut draft);
        sde::read_reported(item, &mut draft);
        record.push(draft);
    }
    true
}

fn entries<'d, 'a>(
    record: &mut Record<'d, 'a>,
    array: Option<Value<'d, 'a>>,
    path: &str,
) -> Vec<(Value<'d, 'a>, String)> {
    array
        .map(|array| record.objects(array, path))
        .unwrap_or_default()
}

/// The page that the whole body speaks of.
fn fill_page(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    fill(&mut draft.event.page_id, payload.take_id("pageId"));
}

fn read_impression<'d, 'a>(record: &mut Record<'d, 'a>, item: Value<'d, 'a>, path: &str) {
    let mut draft = record.entry(item);
    let known = item
        .get("type")
        .and_then(|kind| IMPRESSIONS.iter().find(|(name, _)| *name == kind.text()));
    let Some((name, event_type)) = known else {
        let detail = "an impression event has one of the types impDisplay, impAccept, impExpanded, impTimeout, impClose";
        return record.refuse_draft(
            &draft,
            RejectCode::TypeUnknown,
            format!("{path}/type"),
            detail,
        );
    };
    draft.set_type(*event_type);
    draft.event.source_event = (*name).to_owned();
    fill_page(record.payload, &mut draft);
    offer::read_ids(item, &mut draft);
    offer::read_state(item, &mut draft);
    record.push(draft);
}

/// An answer of the Monitoring API, which offers several engagements. True if the payload has this
/// shape.
pub(super) fn read_offers(record: &mut Record<'_, '_>) -> bool {
    let payload = record.payload;
    let Some(offers) = payload.array("engagementDetails") else {
        return false;
    };
    let objects = record.objects(offers, "/payload/engagementDetails");
    for (item, _) in objects {
        let mut draft = record.entry(item);
        offer::read_ids(item, &mut draft);
        super::read_conversation(item, "conversationId", &mut draft);
        draft.event.availability = Some("Available".to_owned());
        read_session(payload, &mut draft);
        record.push(draft);
    }
    true
}

/// The ids that an answer gives to the visit.
fn read_session(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    fill(&mut event.visitor_id, payload.take_id("visitorId"));
    fill(&mut event.session_id_raw, payload.take_id("sessionId"));
    fill(&mut event.page_id, payload.take_id("pageId"));
}

/// An answer to a request for an engagement: available with details, not available, or an error.
pub(super) fn read_answer(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    if draft.event.event_type.is_chat() {
        return;
    }
    read_session(payload, draft);
    let event = &mut draft.event;
    event.availability = payload.take_text("status");
    if event.availability.is_none() && event.event_type == EventType::EngagementRetrieved {
        event.availability = implied_availability(payload).map(str::to_owned);
    }
    if let Some(time) = payload
        .get("time")
        .filter(|_| event.availability.as_deref() == Some("Error"))
    {
        time.mark();
    }
    if let Some(details) = payload.object("engagementDetails") {
        offer::read_ids(details, draft);
    }
}

/// What an answer without a status says by its shape.
fn implied_availability(payload: Value<'_, '_>) -> Option<&'static str> {
    if payload.get("internalCode").is_some() || payload.get("error").is_some() {
        Some("Error")
    } else if payload.object("engagementDetails").is_some() {
        Some("Available")
    } else if payload
        .get("sessionId")
        .or_else(|| payload.get("visitorId"))
        .is_some()
    {
        Some("NotAvailable")
    } else {
        None
    }
}

/// Device, places and identities that a request tells of its visitor.
pub(super) fn read_visitor(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    fill(
        &mut event.consumer_sections,
        payload.take_texts("consumerSections"),
    );
    fill(&mut event.entry_points, payload.take_texts("entryPoints"));
    fill(
        &mut event.control_group,
        payload.take_text("siteControlGroup"),
    );
    for device in [
        payload.object("appDetails"),
        payload.object("clientProperties"),
        Some(payload),
    ] {
        let Some(device) = device else { continue };
        read_device(device, draft);
    }
    read_identities(payload, draft);
}

/// Device family and operating system under all the names they have.
pub(super) fn read_device(device: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    for key in ["deviceFamily", "device", "sourceDevice"] {
        fill(&mut event.device_family, device.take_known_text(key));
    }
    for key in ["os", "osName", "deviceOS", "operatingSystem"] {
        fill(&mut event.os, device.take_known_text(key));
    }
    fill(&mut event.browser, device.take_known_text("browser"));
}

/// Identities claimed by the page. They are not proof: only `consumer_key` and `acr` come of them.
fn read_identities(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let identities = payload.array("identities");
    for identity in identities.into_iter().flat_map(Value::items) {
        let acr = identity.take_text("acr");
        let stronger = draft.event.acr.is_none() || acr.as_deref() == Some("loa1");
        if stronger {
            draft.event.acr = acr;
            draft.consumer = identity.get("sub").and_then(|sub| sub.as_text(1024));
        }
    }
    let consumer = payload
        .get("consumerId")
        .and_then(|consumer| consumer.as_text(1024));
    fill(&mut draft.consumer, consumer);
}

/// A page of the Web Tag.
pub(super) fn read_page(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    fill(&mut event.url, payload.take_url("url"));
    let referrer = payload.take_url("referrerUrl");
    fill(
        &mut event.referrer_url,
        referrer.or_else(|| payload.take_url("referrer")),
    );
    let title = payload.take_text("pageTitle");
    fill(
        &mut event.page_title,
        title.or_else(|| payload.take_text("title")),
    );
    let sections = payload.take_texts("sections");
    fill(
        &mut event.sections,
        sections.or_else(|| payload.take_texts("section")),
    );
}
