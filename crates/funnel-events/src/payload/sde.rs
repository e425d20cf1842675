//! Engagement attributes: eleven kinds, each under up to four names.

use crate::draft::{Draft, fill};
use crate::json::Value;

/// Kinds by the Web Tag's name; other sources' names; the member that holds the body where there is
/// one.
const KINDS: [(&str, &[&str], &[&str]); 10] = [
    ("cart", &["CartStatus", "cartStatus"], &["cartStatus"]),
    ("purchase", &["Purchase"], &[]),
    (
        "prodView",
        &["ViewedProduct", "viewedProduct", "viewProduct"],
        &[],
    ),
    (
        "ctmrinfo",
        &["CustomerInfo", "customerInfo"],
        &["info", "customerInfo"],
    ),
    (
        "mrktInfo",
        &["MarketingCampaignInfo", "marketingCampaignInfo"],
        &["info", "marketingCampaignInfo"],
    ),
    (
        "personal",
        &["PersonalInfo", "personalInfo"],
        &["personal", "personalInfo"],
    ),
    ("lead", &["Lead"], &["lead"]),
    (
        "service",
        &["ServiceActivity", "serviceActivity"],
        &["service", "serviceActivity"],
    ),
    (
        "error",
        &["VisitorError", "visitorError", "formFillingError"],
        &["error", "visitorError"],
    ),
    ("searchInfo", &["SearchInfo"], &[]),
];

/// The Web Tag's name of a kind that any source may name.
pub(super) fn kind_of(name: &str) -> Option<&'static str> {
    KINDS
        .iter()
        .find(|(kind, others, _)| *kind == name || others.contains(&name))
        .map(|(kind, _, _)| *kind)
}

/// Whether a repeat in one session adds to the earlier ones instead of replacing them.
pub(crate) fn is_appended(kind: &str) -> bool {
    !matches!(kind, "cart" | "ctmrinfo" | "mrktInfo" | "personal")
}

/// An attribute as the Web Tag and the APIs report it: the kind stands in `type`.
pub(super) fn read_reported<'d, 'a>(value: Value<'d, 'a>, draft: &mut Draft<'d, 'a>) {
    let kind = value.take_text("type");
    let known = kind.as_deref().and_then(kind_of).map(str::to_owned);
    read(known.or(kind), value, draft);
}

/// An attribute of a kind that its place tells.
pub(super) fn read<'d, 'a>(kind: Option<String>, value: Value<'d, 'a>, draft: &mut Draft<'d, 'a>) {
    let body = KINDS
        .iter()
        .find(|(name, _, _)| kind.as_deref() == Some(name))
        .and_then(|(_, _, inner)| inner.iter().find_map(|name| value.object(name)))
        .unwrap_or(value);
    draft.event.is_authenticated = body.take_bool("isAuthenticated");
    fill(
        &mut draft.event.auth_conversation_id,
        body.take_id("authenticatedConversationId"),
    );
    match kind.as_deref() {
        Some("cart") => read_cart(body, draft),
        Some("purchase") => read_purchase(body, draft),
        Some("ctmrinfo") => read_customer(body, draft),
        Some("mrktInfo") => read_marketing(body, draft),
        Some("lead") => read_lead(body, draft),
        Some("service") => read_service(body, draft),
        Some("prodView") => draft.event.currency = body.take_text("currency"),
        _ => {}
    }
    draft.event.sde_type = kind;
    draft.body = value;
    // `sde_json` tells all of it that may be told.
    draft.sde = Some(body);
    value.mark_all();
}

fn read_cart(body: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.amount = body.take_money("total");
    event.currency = body.take_text("currency");
    event.num_items = body.take_int("numItems");
}

fn read_purchase(body: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.conversion_type = Some("purchase".to_owned());
    event.amount = body.take_money("total");
    event.currency = body.take_text("currency");
    event.order_ref = body.take_id("orderId");
    event.num_items = body
        .object("cart")
        .and_then(|cart| cart.take_int("numItems"));
}

fn read_customer(body: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let customer_type = body
        .take_text("ctype")
        .or_else(|| body.take_text("customerType"));
    draft.event.customer_type = customer_type;
    draft.event.currency = body.take_text("currency");
    draft.consumer = body
        .get("customerId")
        .and_then(|id| id.as_text(1024))
        .filter(|id| !id.is_empty());
}

fn read_marketing(body: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.marketing_channel = ["channel", "originatingChannel", "OriginatingChannel"]
        .iter()
        .find_map(|key| body.take_text(key));
    event.marketing_affiliate = body.take_text("affiliate");
    event.marketing_campaign = body.take_text("campaignId");
}

fn read_lead(body: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    event.conversion_type = Some("lead".to_owned());
    event.amount = body.take_money("value");
    event.currency = body.take_text("currency");
    event.order_ref = body.take_id("leadId");
}

fn read_service(body: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let status = body.get("status").and_then(Value::as_int);
    // Status 0 is "complete"; every other status is on the way there.
    draft.event.conversion_type = (status == Some(0)).then(|| "service".to_owned());
    draft.event.order_ref = body.take_id("serviceId");
    // One service is reported at every status; each report is a fact.
    draft.discriminator = status.map(|status| status.to_string());
}

/// When an attribute was reported, in the sources that say so.
pub(super) fn reported_time(value: Value<'_, '_>) -> Option<i64> {
    ["serverTimeStamp", "originalTimeStamp", "timestamp"]
        .iter()
        .find_map(|key| {
            // Some samples hold 0 for "not known".
            value.take_time(key).filter(|time_us| *time_us > 0)
        })
}
