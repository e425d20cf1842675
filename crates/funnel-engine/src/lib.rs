//! What we add to DataFusion: funnel aggregate functions.
