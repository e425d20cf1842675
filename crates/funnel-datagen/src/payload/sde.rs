//! Engagement attributes (SDEs) as reported.

use crate::json::{Obj, quoted};

/// A purchase; `cents` is the total.
pub fn purchase(order: &str, cents: i64, items: i64) -> Obj {
    let mut cart = Obj::new();
    cart.arr(
        "products",
        &[product("Debit card cover", "AC-09", cents, items)],
    );
    cart.int("numItems", items);
    let mut o = Obj::with_capacity(300);
    o.str("type", "purchase")
        .raw("total", &money(cents))
        .str("currency", "USD");
    o.str("orderId", order).obj("cart", cart);
    o
}

/// A lead without a value.
pub fn lead(lead_id: &str) -> Obj {
    let mut inner = Obj::new();
    inner
        .str("topic", "home loan callback")
        .str("leadId", lead_id);
    let mut o = Obj::new();
    o.str("type", "lead").obj("lead", inner);
    o
}

/// A service activity; status 0 is complete.
pub fn service(service_id: &str, status: i64) -> Obj {
    let mut inner = Obj::new();
    inner.str("topic", "address change").int("status", status);
    inner
        .str("category", "account")
        .str("serviceId", service_id);
    let mut o = Obj::new();
    o.str("type", "service").obj("service", inner);
    o
}

/// Customer info.
pub fn customer(customer_id: &str, kind: &str) -> Obj {
    let mut info = Obj::new();
    info.str("cstatus", "active")
        .str("ctype", kind)
        .str("customerId", customer_id);
    info.raw("balance", "1520.4").str("currency", "USD");
    let mut o = Obj::new();
    o.str("type", "ctmrinfo").obj("info", info);
    o
}

/// Marketing source.
pub fn marketing(channel: i64, campaign: &str) -> Obj {
    let mut info = Obj::new();
    info.str("channel", &channel.to_string())
        .str("affiliate", "SpringMailer");
    info.str("campaignId", campaign);
    let mut o = Obj::new();
    o.str("type", "mrktInfo").obj("info", info);
    o
}

/// Personal info.
pub fn personal(language: &str) -> Obj {
    let mut contact = Obj::new();
    contact
        .str("email", "dana@example.test")
        .str("phone", "+1 555-0100");
    contact.str("phoneType", "MOBILE");
    let mut personal = Obj::new();
    personal.str("firstname", "Dana").str("lastname", "Reyes");
    personal
        .arr("contacts", &[contact.end()])
        .str("gender", "OTHER")
        .str("language", language);
    let mut o = Obj::new();
    o.str("type", "personal").obj("personal", personal);
    o
}

/// A viewed product.
pub fn viewed_product(sku: &str, cents: i64) -> Obj {
    let mut o = Obj::new();
    o.str("type", "prodView").str("currency", "USD");
    o.arr("products", &[product("Fixed 15y loan", sku, cents, 1)]);
    o
}

/// A changed cart.
pub fn cart(cents: i64, items: i64) -> Obj {
    let mut o = Obj::new();
    o.str("type", "cart")
        .raw("total", &money(cents))
        .str("currency", "USD");
    o.int("numItems", items);
    o.arr(
        "products",
        &[product("Debit card cover", "AC-09", cents, items)],
    );
    o
}

/// An error the visitor met.
pub fn error(code: &str) -> Obj {
    let mut inner = Obj::new();
    inner
        .str("contextId", "Loan application step 2")
        .str("message", "Income missing");
    inner
        .str("code", code)
        .int("level", 5)
        .bool("resolved", false);
    let mut o = Obj::new();
    o.str("type", "error").obj("error", inner);
    o
}

/// Words searched for.
pub fn search(words: &str) -> Obj {
    let mut o = Obj::new();
    o.str("type", "searchInfo")
        .arr("keywords", &[quoted(words)]);
    o
}

/// Cents as a decimal number.
pub fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn product(name: &str, sku: &str, cents: i64, quantity: i64) -> String {
    let mut p = Obj::new();
    p.str("name", name)
        .str("category", "accessories")
        .str("sku", sku);
    p.raw("price", &money(cents / quantity.max(1)));
    let mut o = Obj::new();
    o.obj("product", p).int("quantity", quantity);
    o.end()
}
