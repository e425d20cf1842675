//! A question to one state of the lake.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use funnel_query::QuerySession;
use funnel_query::format::RowFormat;
use funnel_query::funnel::Funnels;

use super::problem::Problem;
use super::{answer, is_known};
use crate::App;
use crate::access::Caller;
use crate::snapshots::Snapshot;

/// Who asks which state of the lake. The answer has a tag, made of the state, of who asks and of what is asked, so that a
/// question whose answer is known is not asked again.
pub(super) struct Asked {
    app: Arc<App>,
    headers: HeaderMap,
    snapshot: Snapshot,
    tag: String,
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Extension::<Caller>::from_request_parts(parts, app).await;
        let Extension(caller) = caller.map_err(|_| Problem::internal())?;
        let Ok(OriginalUri(uri)) = OriginalUri::from_request_parts(parts, app).await;
        let snapshot = app.snapshots.get(&caller.sight).await?;
        let accept = parts.headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
        let mut hash = blake3::Hasher::new();
        let state = format!(
            "{}\n{}\n{:?}\n{uri}\n",
            snapshot.version,
            snapshot.session.as_of(),
            caller.sight
        );
        hash.update(state.as_bytes());
        hash.update(accept.unwrap_or_default());
        let hash = hash.finalize().to_hex();
        Ok(Self {
            app: Arc::clone(app),
            headers: parts.headers.clone(),
            snapshot,
            tag: format!("W/\"{}\"", hash.get(..32).unwrap_or(&hash)),
        })
    }
}

impl Asked {
    pub(super) fn session(&self) -> Arc<QuerySession> {
        Arc::clone(&self.snapshot.session)
    }

    /// The funnels that have a name.
    pub(super) fn funnels(&self) -> &Funnels {
        &self.snapshot.session.options().funnels
    }

    /// The form that is asked for: by name, or by the header `Accept`.
    pub(super) fn form(&self, format: Option<&str>) -> Result<RowFormat, Problem> {
        answer::form(format, &self.headers)
    }

    /// `answer` with its tag, or that it is known; `query` runs only if it is not.
    pub(super) async fn answer(
        self,
        query: impl Future<Output = Result<Response, Problem>> + Send + 'static,
    ) -> Result<Response, Problem> {
        let mut response = if is_known(&self.headers, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.app.runner.run(query).await?
        };
        let out = response.headers_mut();
        out.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        );
        out.insert(
            header::VARY,
            HeaderValue::from_static("accept, authorization"),
        );
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            out.insert(header::ETAG, tag);
        }
        Ok(response)
    }
}
