//! What the views promise to their readers.

use datafusion::prelude::SessionContext;

use crate::fixture::session;

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/lake");

async fn columns(ctx: &SessionContext, view: &str) -> String {
    let table = ctx.table(view).await.expect("view");
    funnel_events::schema_text(table.schema().as_arrow())
}

#[tokio::test]
async fn the_columns_of_every_view_are_the_published_ones() {
    let session = session(&[]).await;
    for view in [
        "events_enriched",
        "sessions",
        "offers",
        "chats",
        "conversions",
    ] {
        let path = format!("{SCHEMAS}/{view}.txt");
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        let found = columns(session.ctx(), view).await;
        assert_eq!(found, published, "{path} is not what the view gives");
    }
}
