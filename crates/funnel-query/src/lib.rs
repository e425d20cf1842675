//! A session over the lake: tables, views, named queries, funnel definitions, marts.
